import type { ApiKey } from "@effect-api-keys/core/ApiKey"
import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Struct from "effect/Struct"
import { giveWay, missing } from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { goTo, nextOf } from "./stepEnd.ts"

/** Whether a successor may do what the old key may: the old key can be widened for a moment, and just then be copied. */
const isCopy = (old: ApiKey, successor: ApiKey): boolean =>
  ApiKeyDriver.compareEcho(
    { restrictions: old.restrictions },
    // Its name is its own.
    Struct.pick(successor, ["handle", "status", "providerStatus", "restrictions"])
  ).missing.length === 0 && Equal.equals(old.options, successor.options)

/** Makes the pending key the current one, and that the previous one. */
export const promote = (context: Context): Attempt => {
  const { find, id, rotationId, vault } = context
  return Effect.fnUntraced(function* (slot, rotation) {
    if (rotation.promotedAt !== undefined) return nextOf(rotation)
    const pending = Option.getOrUndefined(slot.pending)
    if (pending === undefined) return goTo("mint")
    const successor = yield* find(pending.ref)
    if (Option.isNone(successor)) return yield* missing(context, slot, rotation, pending)
    // The probe may have taken days.
    const superseded = yield* giveWay(context, slot, rotation, pending, (old) => !isCopy(old, successor.value))
    if (superseded !== undefined) return superseded
    yield* vault.promote(id, rotationId, pending.epoch)
    return nextOf(rotation)
  })
}
