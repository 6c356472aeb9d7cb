/**
 * What to do about each reason of an `ApiKeyError`, for a job runner or the edge of an HTTP API.
 *
 * `Match.valueTags` must be given all of them: a reason that a later version adds does not compile until you decide.
 * Watch out: read the fields. `PartiallyApplied` with `revoked: false` is a live key that nobody holds, and a mint that is
 * `OutcomeUnknown` must not be sent again before someone has looked at the vendor's list.
 */
import type { ApiKeyError } from "@effect-api-keys/core"
import * as Duration from "effect/Duration"
import * as Match from "effect/Match"

export type Advice =
  /** The same call may succeed after this long. */
  | { readonly do: "retry"; readonly status: 503; readonly after: Duration.Duration }
  /** The caller's input is at fault; the same call fails again. */
  | { readonly do: "fix"; readonly status: 404 | 409 | 422; readonly message: string }
  /** Something may have happened at the vendor: look at its list, by name, before anything else. */
  | { readonly do: "look"; readonly status: 502; readonly message: string }
  /** Only a person of ours can help; the caller learns nothing. */
  | { readonly do: "page"; readonly status: 500; readonly message: string }

export const adviceFor = (error: ApiKeyError): Advice => {
  // Safe to show and to log: no error of the library holds a secret or a vendor's text.
  const { message } = error
  const fix = (status: 404 | 409 | 422): Advice => ({ do: "fix", status, message })
  const look: Advice = { do: "look", status: 502, message }
  const page: Advice = { do: "page", status: 500, message }
  return Match.valueTags(error.reason, {
    AuthenticationFailed: () => page,
    PermissionDenied: () => page,
    KeyNotFound: () => fix(404),
    InvalidRequest: () => fix(422),
    KeyLimitReached: () => page,
    InvalidKeyState: () => fix(409),
    RateLimited: ({ retryAfter }): Advice => ({ do: "retry", status: 503, after: retryAfter }),
    ProviderUnavailable: (): Advice => ({ do: "retry", status: 503, after: Duration.seconds(30) }),
    OutcomeUnknown: () => look,
    // After a mint the key is shut off, or it is live and nobody holds it; after a patch, part of it holds.
    PartiallyApplied: ({ revoked }) => (revoked === false ? page : look),
    // Programs that use `can` do not compile where these could happen.
    UnsupportedOperation: () => page,
    UnsupportedRestriction: () => fix(422),
    // The vendor has changed, or something stands between us and it; the call may have been carried out.
    UnexpectedResponse: () => page
  })
}
