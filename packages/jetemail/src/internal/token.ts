import * as Result from "effect/Result"

const prefix = "transactional_"

/** What may stand for a token: visible ASCII of a sane length, and not masked. Its real alphabet is not published. */
export const isPlainToken = (token: string): boolean =>
  token.length <= 4096 && /^[\x21-\x7e]+$/.test(token) && !/\*|\.{2,}/.test(token)

/** A string that can hardly be anything but a token: the vendor's own words ("transactional_key_created") are not. */
export const looksLikeToken = (text: string): boolean =>
  text.startsWith(prefix) && text.length >= prefix.length + 8 && /[0-9]/.test(text) && isPlainToken(text)

/** A token that may be sent to this vendor: another vendor's leaked secret must not be. */
export const checkToken = (token: string): Result.Result<string, string> =>
  !token.startsWith(prefix)
    ? Result.fail(`must be a token of JetEmail, which starts with "${prefix}"`)
    : isPlainToken(token)
      ? Result.succeed(token)
      : Result.fail("must be a whole token of visible ASCII characters, not masked or shortened")
