import type { KeyRef } from "@effect-api-keys/core/ApiKey"
import { markerOf, unmarkedName } from "@effect-api-keys/core/Recovery"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Orphan, RotationRecord, Slot } from "../../Slot.ts"
import { isHeld } from "../transitions.ts"
import { type Attempt, type Context, openIntents } from "./context.ts"
import { settle } from "./settle.ts"
import { afterFailure, ended, type Failure, nextOf, wait } from "./stepEnd.ts"

/** Looks for what lost mints have left behind, and takes the marker off the new key's name. */
export const sweep = (context: Context): Attempt => {
  const { find, id, isGone, keys, limits, remove, vault } = context

  /** Whether the vendor does not know a key any more that was there for long. */
  const isLost = (ref: KeyRef) =>
    Effect.flatMap(find(ref), (found) => (Option.isSome(found) ? Effect.succeed(false) : isGone(0)))

  /** Removes an orphan, unless a person is to decide about it; whether that failed, and how. */
  const clear = Effect.fnUntraced(function* ({
    foundAt,
    handle,
    origin,
    ref
  }: Orphan): Effect.fn.Return<void, Failure> {
    if (Option.isNone(ref)) return
    // It may have been taken in again meanwhile.
    const used = isHeld(yield* vault.read(id), { ref: ref.value })
    // Whether an old key is to go is for a person to say.
    const gone = used || (origin === "unretired" ? yield* isLost(ref.value) : yield* remove(ref.value, foundAt))
    if (gone) yield* vault.closeOrphan(id, handle)
  })

  /** Takes orphans out of the ledger that a person has removed: the list shows the slot's own key, and not them. */
  const forget = Effect.fnUntraced(function* (slot: Slot): Effect.fn.Return<void, Failure> {
    const unreachable = slot.orphans.filter(({ ref }) => Option.isNone(ref))
    if (unreachable.length === 0) return
    const listed = new Set(yield* Stream.runCollect(Stream.map(keys.list(), ({ handle }) => handle)))
    if (!listed.has(slot.current.handle)) return
    yield* Effect.forEach(
      unreachable.filter(({ handle }) => !listed.has(handle)),
      ({ handle }) => vault.closeOrphan(id, handle)
    )
  })

  /** Takes the marker off the new key's name, which is for people; whether it is off. */
  const rename = ({ current }: Slot, { before }: RotationRecord): Effect.Effect<boolean> =>
    Effect.gen(function* () {
      const key = yield* find(current.ref)
      const name = Option.getOrUndefined(Option.flatMap(key, (found) => found.name))
      const bare = name === undefined || markerOf(name) === undefined ? "" : (before?.name ?? unmarkedName(name))
      if (bare !== "") yield* keys.patch(current.ref, { name: bare })
      return true
    }).pipe(Effect.catchTag("ApiKeyError", () => Effect.succeed(false)))

  return Effect.fnUntraced(function* (slot, rotation) {
    const now = yield* Clock.currentTimeMillis
    let late = 0
    for (const record of openIntents(slot)) {
      const found = yield* settle(context, record)
      if (found === "gone" || found === "taken") continue
      const left = Math.min(limits.lateArrival, record.recordedAt + limits.lateArrival - now)
      if (left > 0) late = Math.max(late, left)
      // What cannot be told stays in the ledger, for a person.
      else if (found === "unseen") yield* vault.closeIntent(id, record.intent.marker)
    }
    // One that cannot be removed does not keep the others alive.
    const cleared = yield* Effect.forEach(slot.orphans, (orphan) => Effect.result(clear(orphan)))
    yield* forget(slot)
    const renamed = rotation.strategy === "in-place" || (yield* rename(slot, rotation))
    const failed = cleared.find(Result.isFailure)
    if (failed !== undefined) return afterFailure(failed.failure)
    if (late > 0) return wait("NotSeen", late)
    // It does not hold a rotation up for long.
    if (!renamed && rotation.attempts < 5) return wait("ProviderUnavailable")
    if (rotation.kind === "replace" && rotation.promotedAt === undefined) return ended("contained")
    return nextOf(rotation)
  })
}
