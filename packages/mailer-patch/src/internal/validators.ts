/**
 * What SMTP2GO takes as an endpoint, an e-mail address and a footer, decided before anything is sent: pure, linear, and
 * never with the value in a message.
 */
import * as Result from "effect/Result"

const maxEndpoint = 200

/** An endpoint's path (`/email/send`), or a wildcard below one (`/email/*`). Source: `endpoints` on "Patch an API key". */
export const checkEndpoint = (endpoint: string): Result.Result<string, string> => {
  if (endpoint === "*" || endpoint === "/*") return Result.fail(`is everything: write "any" in place of the list`)
  return endpoint.length <= maxEndpoint && /^(?:\/[a-z0-9_-]+)+(?:\/\*)?$/.test(endpoint)
    ? Result.succeed(endpoint)
    : Result.fail("must be a path such as /email/send, or a wildcard such as /email/*, in lower case")
}

const maxEmail = 254
const maxLocalPart = 64

/** An e-mail address, plainly: no display name, no quotes, no address literal. */
export const isEmail = (text: string): boolean => {
  if (text.length > maxEmail || !/^[\x21-\x7e]+$/.test(text)) return false
  const [local = "", domain = "", ...rest] = text.split("@")
  return (
    rest.length === 0 &&
    local.length > 0 &&
    local.length <= maxLocalPart &&
    /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+$/.test(local) &&
    domain.includes(".") &&
    domain.split(".").every((label) => label.length <= 63 && /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/.test(label))
  )
}

/** The variables of the unsubscribe footer. Source: `feedback_html` and `feedback_text` on the page "Patch an API key". */
const variables: ReadonlySet<string> = new Set(["UNSUBSCRIBE", "EMAIL"])

/** The vendor takes a body of at most 1 MB; both texts of a footer fit in it, however they are encoded. */
const maxFooter = 50_000

/** The text of an unsubscribe footer: a variable that the vendor does not know would reach every recipient as it is. */
export const isFooter = (text: string): boolean =>
  text.length <= maxFooter &&
  text.isWellFormed() &&
  Array.from(text.matchAll(/%%([A-Za-z_]{1,40})%%/g), ([, name = ""]) => name).every((name) => variables.has(name))
