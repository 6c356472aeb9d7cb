import { isPlainSecret } from "@effect-api-keys/core/WireValue"
import * as Result from "effect/Result"

/** `api-` and twelve characters: what a key is called where its secret is masked. Source: `username` of the OpenAPI document. */
export const usernameLength = 16

const prefix = "api-"

/** Whether a string can be a whole key: longer than a username, so that neither it nor a masked key passes for one. */
export const isWholeKey = (text: string): boolean =>
  text.startsWith(prefix) && text.length > usernameLength && isPlainSecret(text)

/** A string that can hardly be anything but a key: `api-` and the 32 characters that the vendor's documents speak of. */
export const looksLikeKey = (text: string): boolean => /^api-[A-Za-z0-9_-]{32}$/.test(text)

/** The printable handle of a key, which is its username at the vendor. */
export const usernameOf = (key: string): string => key.slice(0, usernameLength)

/** A key that may be sent to this vendor as an `id`. */
export const checkKey = (key: string): Result.Result<string, string> =>
  isWholeKey(key)
    ? Result.succeed(key)
    : Result.fail(
        `must be a whole API key of SMTP2GO ("api-" and 32 characters): neither its username nor a masked one names it`
      )
