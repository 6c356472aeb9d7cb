/**
 * What Voiceable takes as an id, an origin and an assistant, decided before anything is sent: pure, linear, and never with
 * the value in a message.
 */
import * as Result from "effect/Result"

/** A key's id. A leaked secret is none, and must not be sent as a part of a path. */
export const checkId = (id: string): Result.Result<string, string> =>
  /^[1-9]\d{0,15}$/.test(id) && Number.isSafeInteger(Number(id))
    ? Result.succeed(id)
    : Result.fail(
        "must be the key's id, a whole number: a secret does not name its key at Voiceable, so find the ref that you stored beside a hash of it"
      )

const maxOrigin = 300

const isHost = (host: string): boolean =>
  /^\[[0-9a-f:.]+\]$/.test(host) ||
  host.split(".").every((label) => label.length <= 63 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label))

/**
 * An origin as browsers send it: scheme, host and perhaps a port, and nothing behind them. What a URL parser would write
 * in another way (a port that goes without saying, an address as one number) is refused, for it would never match.
 */
export const checkOrigin = (origin: string): Result.Result<string, string> => {
  if (origin === "*") return Result.fail(`is everything: write "any" in place of the list`)
  const expected =
    "must be an origin as browsers send it, such as https://app.example.com, without path, query or wildcard"
  if (origin.length > maxOrigin || !/^https?:\/\/[A-Za-z0-9.:[\]-]+\/?$/.test(origin)) return Result.fail(expected)
  const given = origin.toLowerCase().replace(/\/$/, "")
  const url = Result.try(() => new URL(given))
  return Result.isSuccess(url) && url.success.origin === given && isHost(url.success.hostname)
    ? Result.succeed(given)
    : Result.fail(expected)
}

/** An assistant's id, as a string. Source: `allowed_assistants` on the page "Update API Key", whose examples are numbers. */
export const checkAssistant = (id: string): Result.Result<string, string> =>
  /^[A-Za-z0-9_-]{1,64}$/.test(id)
    ? Result.succeed(id)
    : Result.fail(`must be the id of an assistant, such as "123"; write "any" in place of the list for all of them`)
