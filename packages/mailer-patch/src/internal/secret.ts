import { isPlainSecret } from "@effect-api-keys/core/WireValue"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

const usernameLength = 16

/** The vendor's documents speak of 32 characters, once with `api-` in front of them and once with it among them. */
const shortestKey = 32

/** Whether a string can be a whole key: neither a username nor a masked key passes for one. */
export const isWholeKey = (text: string): boolean =>
  text.startsWith("api-") && text.length >= shortestKey && isPlainSecret(text)

/** A string that can hardly be anything but a key: `api-` and the 32 characters that the vendor's documents speak of. */
export const looksLikeKey = (text: string): boolean => /^api-[A-Za-z0-9_-]{32}$/.test(text)

/**
 * The username of a key as the vendor shows it: `api-` and twelve characters, which is what stands before its mask. Source:
 * `username` of the OpenAPI document. None where it is anything else: it is printed everywhere.
 */
export const readUsername = (shown: string): Option.Option<string> => {
  const [visible = ""] = shown.split("*", 1)
  const name = visible.slice(0, usernameLength)
  return /^api-[A-Za-z0-9_-]{12}$/i.test(name) && (visible.length < shown.length || shown.length === usernameLength)
    ? Option.some(name)
    : Option.none()
}

/** The printable handle of a key, which is its username at the vendor. */
export const usernameOf = (key: string): string => key.slice(0, usernameLength)

/** A key that may be sent to this vendor as an `id`. */
export const checkKey = (key: string): Result.Result<string, string> =>
  isWholeKey(key)
    ? Result.succeed(key)
    : Result.fail(
        `must be a whole API key of SMTP2GO ("api-" and 32 characters): neither its username nor a masked one names it`
      )
