import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Digest from "../digest.ts"
import { giveWay, missing } from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { ended, goTo, nextOf } from "./stepEnd.ts"

/** Brings a new key that was minted switched off to the old key's status. */
export const activate = (context: Context): Attempt => {
  const { abandon, find, keys } = context
  return Effect.fnUntraced(function* (slot, rotation) {
    const pending = Option.getOrUndefined(slot.pending)
    if (pending === undefined) return goTo("mint")
    const successor = yield* find(pending.ref)
    if (Option.isNone(successor)) return yield* missing(context, slot, rotation, pending)
    const superseded = yield* giveWay(context, slot, rotation, pending)
    if (superseded !== undefined) return superseded
    const { before } = rotation
    if (rotation.strategy === "recreate" && before?.digest !== (yield* Digest.ofSettings(successor.value))) {
      yield* abandon(pending)
      return ended("contained", "Changed")
    }
    const as = before?.status
    if ((as === "active" || as === "sandbox") && successor.value.status === "disabled" && keys.supports("enable")) {
      yield* keys.enable(pending.ref, { as })
    }
    return nextOf(rotation)
  })
}
