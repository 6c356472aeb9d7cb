/**
 * What SMTP2GO takes as an endpoint, an e-mail address and a footer, decided before anything is sent: pure, linear, and
 * never with the value in a message.
 */
import * as Result from "effect/Result"

const maxEndpoint = 200

/** An endpoint's path (`/email/send`), or a wildcard below one (`/email/*`). Source: `endpoints` on "Patch an API key". */
export const checkEndpoint = (endpoint: string): Result.Result<string, string> => {
  if (endpoint === "*" || endpoint === "/*") return Result.fail(`is everything: write "any" in place of the list`)
  // One that is too long is no path, and is not looked through.
  const [start, ...segments] = endpoint.length > maxEndpoint ? [] : endpoint.replace(/\/\*$/, "").split("/")
  const isPath = start === "" && segments.length > 0 && segments.every((segment) => /^[a-z0-9_-]+$/.test(segment))
  return isPath
    ? Result.succeed(endpoint)
    : Result.fail("must be a path such as /email/send, or a wildcard such as /email/*, in lower case")
}

const maxEmail = 254
const maxLocalPart = 64

/**
 * An e-mail address, plainly: no display name, no quotes, no address literal; in lower case, for a vendor that lower-cases
 * it would seem to have set another.
 */
export const isEmail = (text: string): boolean => {
  if (text.length > maxEmail || !/^[\x21-\x7e]+$/.test(text) || /[A-Z]/.test(text)) return false
  const [local = "", domain = "", ...rest] = text.split("@")
  const labels = domain.split(".")
  return (
    rest.length === 0 &&
    local.length <= maxLocalPart &&
    local.split(".").every((atom) => /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+$/.test(atom)) &&
    labels.length > 1 &&
    labels.every((label) => label.length <= 63 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label)) &&
    /[a-z]/.test(labels.at(-1) ?? "")
  )
}

/** The variables of the unsubscribe footer. Source: `feedback_html` and `feedback_text` on the page "Patch an API key". */
const variables: ReadonlySet<string> = new Set(["UNSUBSCRIBE", "EMAIL"])

/** The vendor takes a body of at most 1 MB; both texts of a footer fit in it, however they are encoded. */
const maxFooter = 50_000

/**
 * The text of an unsubscribe footer: a variable that the vendor does not know would reach every recipient as it is. Lines
 * end with a line feed alone, for a vendor that normalises them would seem to have set another text.
 */
export const isFooter = (text: string): boolean =>
  text.length <= maxFooter &&
  text.isWellFormed() &&
  !text.includes("\r") &&
  Array.from(text.matchAll(/%%([^%\s][^%]{0,39})%%/g), ([, name = ""]) => name).every((name) => variables.has(name))
