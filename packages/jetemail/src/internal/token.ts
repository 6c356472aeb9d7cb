import { isPlainSecret } from "@effect-api-keys/core/WireValue"
import * as Result from "effect/Result"

const prefix = "transactional_"

/** A string that can hardly be anything but a token: the vendor's own words ("transactional_key_created") are not. */
export const looksLikeToken = (text: string): boolean =>
  text.startsWith(prefix) && text.length >= prefix.length + 8 && /[0-9]/.test(text) && isPlainSecret(text)

/** A token that may be sent to this vendor: another vendor's leaked secret must not be. */
export const checkToken = (token: string): Result.Result<string, string> =>
  !token.startsWith(prefix)
    ? Result.fail(`must be a token of JetEmail, which starts with "${prefix}"`)
    : isPlainSecret(token)
      ? Result.succeed(token)
      : Result.fail("must be a whole token of visible ASCII characters, not masked or shortened")
