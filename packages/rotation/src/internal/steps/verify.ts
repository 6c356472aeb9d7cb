import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { HeldKey } from "../../Slot.ts"
import type { Verdict } from "../../Verify.ts"
import { giveWay } from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { ended, goTo, nextOf, wait } from "./stepEnd.ts"

/** Asks the program's probe whether the new key works; of the old key first, as a control. */
export const verify = (context: Context): Attempt => {
  const { abandon, id, keys, limits, verify: ask } = context

  const probe = (key: HeldKey): Effect.Effect<Verdict> => {
    if (ask === "none") return Effect.succeed("accepted")
    if (Option.isNone(key.secret)) return Effect.succeed("unclear")
    const { handle, ref, secret } = key
    return Effect.suspend(() => ask({ id, provider: keys.provider, handle, ref, secret: secret.value })).pipe(
      Effect.timeout("30 seconds"),
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.succeed<Verdict>("unclear")
      )
    )
  }

  return Effect.fnUntraced(function* (slot, rotation) {
    const now = yield* Clock.currentTimeMillis
    const undoable = rotation.strategy !== "in-place"
    const key = undoable ? Option.getOrUndefined(slot.pending) : slot.current
    if (key === undefined) return goTo("mint")
    if (ask === "none") return nextOf(rotation)
    // An old key that was shut off because it leaked, or was rotated in place, is no control. Of one whose secret nobody knows
    // nothing can be asked.
    if (undoable && rotation.kind === "rotate" && Option.isSome(slot.current.secret)) {
      const control = yield* probe(slot.current)
      if (control !== "accepted") {
        const superseded = yield* giveWay(context, slot, rotation, key)
        return superseded ?? wait(control === "rejected" ? "ControlRejected" : "Unverified")
      }
    }
    const verdict = yield* probe(key)
    if (verdict === "accepted") return nextOf(rotation)
    if (!undoable) {
      // There is no way back, and the old key is dead: that it cannot be shown to work is said, and does not hold it up.
      if (now - rotation.since < limits.lateArrival) return wait(verdict === "rejected" ? "Rejected" : "Unverified")
      return nextOf(rotation)
    }
    if (verdict === "unclear") return wait("Unverified")
    if (now - key.storedAt < limits.propagation) return wait("Rejected", "10 seconds")
    yield* abandon(key)
    return rotation.mints >= limits.maxMints ? ended("failed", "Rejected") : goTo("mint")
  })
}
