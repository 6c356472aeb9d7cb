import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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
      yield* remove(recovery.issued.ref)
      yield* vault.closeIntent(id, intent.marker)
      return "gone"
    }
    case "Orphaned": {
      const removed = Option.isSome(recovery.ref)
        ? yield* Effect.exit(remove(recovery.ref.value))
        : Exit.fail<unknown>(undefined)
      // One that cannot be removed, now or at all, is written down: for the sweep, or for a person.
      if (Exit.isSuccess(removed)) yield* vault.closeIntent(id, intent.marker)
      else yield* vault.addOrphan(id, yield* orphanOf(recovery, "lost"), intent.marker)
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
