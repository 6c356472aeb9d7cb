import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { IntentRecord } from "../../Slot.ts"
import type { Context } from "./context.ts"
import { type Failure, isFinal } from "./stepEnd.ts"

/**
 * What became of a mint that was announced and whose end nobody saw. With the epoch of whoever asks, a key that is found with
 * its secret is taken in; else it is removed.
 */
export const settle = Effect.fnUntraced(function* (
  { id, keys, orphanOf, remove, rotationId, vault }: Context,
  { intent }: IntentRecord,
  epoch?: number
): Effect.fn.Return<"taken" | "gone" | "unseen" | "undetermined", Failure> {
  /** Removes what was found; what cannot be removed, now or at all, is written down: for the sweep, or for a person. */
  const clear = Effect.fnUntraced(function* (found: Parameters<typeof orphanOf>[0]) {
    const gone = Option.isSome(found.ref) && (yield* Effect.orElseSucceed(remove(found.ref.value, 0), () => false))
    if (gone) yield* vault.closeIntent(id, intent.marker)
    else yield* vault.addOrphan(id, yield* orphanOf(found, "lost"), intent.marker)
  })
  // What the vendor's layer does not take for its own any more is left to a person.
  const recovery = yield* Effect.catchIf(keys.recover(intent), isFinal, () => Effect.succeed(undefined))
  switch (recovery?._tag) {
    case "Recovered": {
      // One that was rotated in place is the slot's own key: the next rotation takes it in.
      if (recovery.attribution === "unproven" && epoch === undefined) return "undetermined"
      if (epoch !== undefined) {
        yield* vault.put(id, rotationId, epoch, recovery.issued, intent.marker)
        return "taken"
      }
      const { handle, ref } = recovery.issued
      yield* clear({ handle, ref: Option.some(ref), inert: false })
      return "gone"
    }
    case "Orphaned": {
      yield* clear(recovery)
      return "gone"
    }
    case "NotApplied":
    case "NotSeen":
      return "unseen"
    case "Undetermined":
    case undefined:
      return "undetermined"
  }
})
