import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { HeldKey, Orphan } from "../../Slot.ts"
import * as Before from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { errorsOf, goTo, isNotFound, nextOf, wait } from "./stepEnd.ts"

/** Shuts off what leaked, and every other key of the slot, before anything else is done. */
export const contain = (context: Context): Attempt => {
  const { abandon, find, id, keys, rotationId, vault, write } = context

  /** Nothing is said of keys that are gone already: that is what is wanted. */
  const shutOff = ({ ref }: Pick<HeldKey, "ref">) =>
    Effect.catchIf(Effect.asVoid(keys.revoke(ref)), isNotFound, () => Effect.void)

  const shutOffOrphan = Effect.fnUntraced(function* ({ handle, origin, ref }: Orphan) {
    if (Option.isSome(ref)) yield* shutOff({ ref: ref.value })
    // Whether it was to stay was for a person to say; others are removed by the sweep.
    if (origin === "unretired") yield* vault.closeOrphan(id, handle)
  })

  return Effect.fnUntraced(function* (slot, rotation) {
    const { leaked } = rotation
    const orphan = slot.orphans.find(({ handle }) => handle === leaked)
    // One that nobody uses: no other key of the slot is worse for it.
    if (orphan !== undefined && slot.current.handle !== leaked) {
      yield* shutOffOrphan(orphan)
      return goTo("sweep")
    }
    const whole = leaked === undefined || slot.current.handle === leaked
    // What it was is read before it is shut off, or not at all: afterwards it shows what we made of it.
    if (whole && !rotation.retiring) {
      const seen = yield* Effect.exit(Effect.timeoutOption(find(slot.current.ref), "5 seconds"))
      const read = Exit.isSuccess(seen) ? Option.getOrUndefined(seen.value) : undefined
      // Without it there is nothing to mint a successor from. For that, and for no more, the shutting off waits.
      if (read === undefined && rotation.attempts < 2) {
        const [error] = Exit.isFailure(seen) ? errorsOf(seen.cause) : []
        return wait(error?.reason._tag ?? "ProviderUnavailable", "1 second")
      }
      const before =
        read !== undefined && Option.isSome(read)
          ? yield* Before.describe(context, read.value, rotation.strategy === "recreate")
          : undefined
      yield* write(vault.note(id, rotationId, { retiring: true, ...(before === undefined ? {} : { before }) }))
    }
    if (whole) yield* shutOff(slot.current)
    if (Option.isSome(slot.previous)) {
      yield* shutOff(slot.previous.value)
      yield* vault.dropPrevious(id, rotationId)
    }
    if (Option.isSome(slot.pending)) {
      yield* shutOff(slot.pending.value)
      yield* abandon(slot.pending.value)
    }
    return whole ? nextOf(rotation) : goTo("sweep")
  })
}
