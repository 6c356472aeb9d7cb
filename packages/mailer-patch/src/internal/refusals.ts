import { AuthenticationFailed, InvalidRequest, KeyNotFound, PermissionDenied } from "@effect-api-keys/core/ApiKeyError"
import type { Errors } from "@effect-api-keys/core/ProviderClient"
import * as Option from "effect/Option"
import { readRefusal } from "../MailerPatchSchema.ts"

type Refusal = Option.Option.Value<ReturnType<typeof readRefusal>>

/** Where the vendor's fields are said in our words; a field that is not here is not named. */
const paths: Readonly<Record<string, ReadonlyArray<string>>> = {
  id: ["ref"],
  description: ["name"],
  endpoints: ["scopes"],
  custom_ratelimit: ["rate"],
  custom_ratelimit_value: ["rate", "max"],
  custom_ratelimit_period: ["rate", "per"],
  subaccount_id: ["subaccount"],
  ip_pool: ["options", "smtp2go", "ipPool"],
  feedback_enabled: ["options", "smtp2go", "feedbackEnabled"],
  feedback_html: ["options", "smtp2go", "feedbackHtml"],
  feedback_text: ["options", "smtp2go", "feedbackText"],
  open_tracking_enabled: ["options", "smtp2go", "openTrackingEnabled"],
  click_tracking_enabled: ["options", "smtp2go", "clickTrackingEnabled"],
  archive_enabled: ["options", "smtp2go", "archiveEnabled"],
  audit_email: ["options", "smtp2go", "auditEmail"],
  bounce_notifications: ["options", "smtp2go", "bounceNotifications"],
  status: ["options", "smtp2go", "status"]
}

const invalid = (refusal: Option.Option<Refusal>) =>
  new InvalidRequest({
    source: "provider",
    issues: Option.match(refusal, { onNone: () => [], onSome: ({ fields }) => fields }).flatMap((field) => {
      const path = Object.hasOwn(paths, field) ? paths[field] : undefined
      return path === undefined ? [] : [{ path, message: "was refused by the vendor" }]
    })
  })

/** The parameter that carries the credential is called `api_key`, the one that names a key `id`. */
const namesCredential = ({ fields, text }: Refusal): boolean =>
  fields.includes("api_key") || (fields.length === 0 && /\bapi user matching the passed 'api_key'/i.test(text))

/**
 * Whether a refusal is of the manager's credential. The vendor answers 401 by its documents; 400, 403 and 500 have been
 * seen by others, 400 with its generic code. What may as well be said of the key that a request names is not.
 */
const isOfCredential = (refusal: Refusal): boolean => {
  const { code, fields, text } = refusal
  return (
    namesCredential(refusal) ||
    (code === "API_EXCEPTION" &&
      fields.length === 0 &&
      (text === "" || /\bapi[ _](?:key|user)\b|credential|authenti/i.test(text)) &&
      !/\bid\b|found|exist|limit|maximum|specified|requested/i.test(text))
  )
}

const rejected = new AuthenticationFailed({ problem: "rejected" })

/** What the vendor's statuses mean where they lie; a reply that is not the vendor's own means what it means everywhere. */
export const errors: Errors = {
  400: (reply) => {
    const refusal = readRefusal(reply)
    return Option.match(refusal, {
      onNone: () => undefined,
      onSome: (said) =>
        said.code === "ENDPOINT_PERMISSION_DENIED"
          ? new PermissionDenied()
          : isOfCredential(said)
            ? rejected
            : invalid(refusal)
    })
  },
  402: (reply) => invalid(readRefusal(reply)),
  403: (reply) =>
    Option.exists(readRefusal(reply), (said) => said.code === "INVALID_IN_PAYLOAD" || isOfCredential(said))
      ? rejected
      : undefined,
  // Only what names the credential: a mint that it was refused to was not carried out, and of any other nobody knows.
  500: (reply) => (Option.exists(readRefusal(reply), namesCredential) ? rejected : undefined)
}

/** What leaves it open whether the credential was meant. */
const unclear = new PermissionDenied()

/**
 * Whether a refusal may be believed of a key that asks about itself: a proxy's is not the vendor's, the generic code alone may
 * mean anything, a key that may not do something is alive, and what is down now says nothing of a key.
 */
const isBelieved = ({ code, own, text }: Refusal): boolean =>
  own &&
  (text !== "" || code !== "API_EXCEPTION") &&
  !/permi|allow|access|den(?:y|ied)|endpoint|unavailable|temporar|later|again|time/i.test(text)

/**
 * Of a key that asks about itself, where more hangs on it than an error message: a living key must not be called rejected. What
 * is not the vendor's own word is none; the rest means what it means everywhere.
 */
export const ofCandidate: Errors = {
  400: (reply) => (Option.exists(readRefusal(reply), isBelieved) ? undefined : unclear),
  401: (reply) =>
    Option.exists(readRefusal(reply), ({ code, own }) => own && code !== "ENDPOINT_PERMISSION_DENIED")
      ? undefined
      : unclear,
  403: (reply) => (Option.exists(readRefusal(reply), isBelieved) ? undefined : unclear)
}

/** Of an endpoint that names a key. A 404 of a proxy says nothing of it. */
export const notFound: Errors = {
  404: (reply) => (Option.exists(readRefusal(reply), ({ own }) => own) ? new KeyNotFound() : undefined)
}
