import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Attempt } from "./context.ts"
import { nextOf, wait } from "./stepEnd.ts"

/** Leaves the old key alive for those who still use it: for a time, or until they say that they have the new one. */
export const overlap: Attempt = Effect.fnUntraced(function* (slot, rotation) {
  if (Option.isNone(slot.previous) || rotation.acknowledged) return nextOf(rotation)
  // A clock that was set back does not make it longer than it is.
  const left = Math.min(
    rotation.overlap,
    (rotation.promotedAt ?? 0) + rotation.overlap - (yield* Clock.currentTimeMillis)
  )
  if (!rotation.acknowledgement) return left <= 0 ? nextOf(rotation) : wait("Unacknowledged", left)
  return wait("Unacknowledged", left > 0 ? left : Duration.hours(1))
})
