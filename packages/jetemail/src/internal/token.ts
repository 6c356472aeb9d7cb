import * as Result from "effect/Result"

const prefix = "transactional_"

/** What may stand for a token: visible ASCII of a sane length, and not masked. Its real alphabet is not published. */
export const isPlainToken = (token: string): boolean =>
  token.length <= 512 && /^[\x21-\x7e]+$/.test(token) && !/\*|\.{2,}/.test(token)

/** A token that may be sent to this vendor: another vendor's leaked secret must not be. */
export const checkToken = (token: string): Result.Result<string, string> =>
  !token.startsWith(prefix)
    ? Result.fail(`must be a token of JetEmail, which starts with "${prefix}"`)
    : isPlainToken(token)
      ? Result.succeed(token)
      : Result.fail("must be a whole token of visible ASCII characters, not masked or shortened")
