/**
 * A domain is removed from an account, so no key may send for it any more.
 *
 * Watch out: an empty list is refused, because some vendors read it as "everything". A key whose last domain goes is
 * revoked, never widened. No vendor here has conditional updates, so what `confirm` cannot confirm is done again from a
 * fresh reading, and a key that is still not as it should be is revoked: better shut than wide.
 */
import { ApiKeyError, ApiKeyService, type KeyRef } from "@effect-api-keys/core"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The key may send for every domain, or the vendor does not show for which: a list must be written by a person. */
export class NoList extends Data.TaggedError("NoList")<{ readonly handle: string }> {}

const narrow = Effect.fnUntraced(function* (ref: KeyRef, domain: string) {
  const keys = yield* ApiKeyService.can("get", "patch", "revoke", "domains")
  const { handle, restrictions } = yield* keys.get(ref)
  const { domains } = restrictions
  if (domains === undefined || domains === "any") return yield* new NoList({ handle })
  const [first, ...others] = domains.filter((listed) => listed !== domain.toLowerCase())
  if (first === undefined) return yield* keys.revoke(ref)
  if (others.length + 1 === domains.length) return "not listed"
  yield* keys.patch(ref, { domains: [first, ...others] }, { confirm: true })
  return "narrowed"
})

/** Makes sure that a key does not send for a domain, and says how. */
export const removeDomain = (ref: KeyRef, domain: string) =>
  narrow(ref, domain).pipe(
    // The patch was sent, and reading the key again shows something else, or could not be done.
    Effect.retry({ while: ApiKeyError.is("PartiallyApplied"), times: 2 }),
    Effect.catchIf(ApiKeyError.is("PartiallyApplied"), () =>
      Effect.flatMap(ApiKeyService.can("revoke"), (keys) => keys.revoke(ref))
    )
  )
