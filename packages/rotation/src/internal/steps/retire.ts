import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { changed } from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { again, ended, nextOf } from "./stepEnd.ts"

/** Shuts the old key off, after another look at what someone did with it meanwhile. */
export const retire = (context: Context): Attempt => {
  const { find, id, isOurs, keys, orphanOf, rotationId, vault, write } = context
  return Effect.fnUntraced(function* (slot, rotation) {
    const previous = Option.getOrUndefined(slot.previous)
    if (previous === undefined) return nextOf(rotation)
    const old = yield* find(previous.ref)
    const gone = Option.isNone(old)
    // "Not found" is believed only where the same credential sees the key that replaced it.
    if (gone) yield* keys.get(slot.current.ref)
    const problem = rotation.retiring ? undefined : yield* changed(old, rotation.before)
    if (problem !== undefined) {
      if (!(yield* isOurs)) return again
      const off = gone || old.value.status === "disabled"
      const orphan = off
        ? undefined
        : yield* orphanOf({ handle: previous.handle, ref: Option.some(previous.ref), inert: false }, "unretired")
      yield* vault.dropPrevious(id, rotationId, orphan)
      return ended("superseded", problem)
    }
    if (!gone) {
      if (!rotation.retiring) yield* write(vault.note(id, rotationId, { retiring: true }))
      yield* keys.revoke(previous.ref)
    }
    yield* vault.dropPrevious(id, rotationId)
    return nextOf(rotation)
  })
}
