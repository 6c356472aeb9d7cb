import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { KeyVault } from "../KeyVault.ts"
import type { Progress, StartOptions } from "../Rotation.ts"
import { RotationError } from "../RotationError.ts"
import type { ScheduleOptions } from "../RotationSchedule.ts"
import type { Slot } from "../Slot.ts"
import type { SlotId } from "../VaultStore.ts"
import * as Options from "./options.ts"
import { isEnded } from "./transitions.ts"

/** A number from 0 up to 1 that is always the same for a slot, and looks random beside those of others. */
export const spread = ({ account, slot }: SlotId): number => {
  let hash = 2166136261
  for (const unit of `${account}\u0000${slot}`) hash = Math.imul(hash ^ (unit.codePointAt(0) ?? 0), 16777619)
  // So that names which differ in their last letter alone are not neighbours.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/** When slots are due; durations in milliseconds. */
export interface Timing {
  readonly every: number
  readonly jitter: number
  readonly retryAfter: number
}

/** Whether a slot's key is to be rotated now. */
export const isDue = ({ every, jitter, retryAfter }: Timing, slot: Slot, now: number): boolean => {
  const last = Option.getOrUndefined(slot.rotation)
  if (last !== undefined) {
    const { endedAt, outcome } = last
    if (!isEnded(last)) return false
    if (endedAt !== undefined && outcome !== "completed" && now < endedAt + retryAfter) return false
  }
  return now >= slot.current.storedAt + every + spread(slot) * jitter
}

/** From what the vault says, so that two schedulers start the same one. */
const rotationIdOf = ({ epoch, rotation }: Slot): string => {
  const ended = Option.match(rotation, { onNone: () => 0, onSome: ({ endedAt = 0 }) => endedAt })
  return `scheduled-${epoch}-${ended}`
}

export interface Setting {
  readonly vault: KeyVault["Service"]
  /** Checks what would make every `start` fail. */
  readonly check: (given: StartOptions) => Effect.Effect<unknown, RotationError>
  readonly start: (id: SlotId, options: StartOptions) => Effect.Effect<Progress, RotationError>
}

/** Starts the rotation of every slot when it is due. */
export const run = Effect.fnUntraced(function* (
  { check, start, vault }: Setting,
  { account, atMost = 10, check: pause = "1 minute", every, jitter, retryAfter = "1 day", ...given }: ScheduleOptions
): Effect.fn.Return<never, RotationError> {
  const age = yield* Options.millis("schedule", "every", every, "pause")
  const timing: Timing = {
    every: age,
    jitter: jitter === undefined ? age / 10 : yield* Options.millis("schedule", "jitter", jitter),
    retryAfter: yield* Options.millis("schedule", "retryAfter", retryAfter, "endless")
  }
  const most = yield* Options.count("schedule", "atMost", atMost)
  const between = yield* Options.duration("schedule", "check", pause, "pause")
  if (account !== undefined) yield* Options.name("schedule", "account", account)
  yield* check(given)
  const filter = account === undefined ? {} : { account }

  const readable = (open?: true) =>
    Stream.filterMap(vault.scan(open === undefined ? filter : { ...filter, open }), (found) => found)

  const countRunning = readable(true).pipe(
    Stream.filter(({ rotation }) =>
      Option.exists(rotation, (last) => !isEnded(last) && !last.overdue && last.promotedAt === undefined)
    ),
    Stream.runCount
  )

  /** Starts the rotation of a slot, if that is still due; gives whether one more is under way. */
  const begin = Effect.fnUntraced(function* ({ account, slot }: SlotId) {
    const id = { account, slot }
    // What was listed is old by the time that others have been started.
    const fresh = yield* vault.read(id)
    if (!isDue(timing, fresh, yield* Clock.currentTimeMillis)) return false
    const { outcome } = yield* start(id, { ...given, rotationId: rotationIdOf(fresh) })
    return outcome === undefined
  })

  const tick = Effect.gen(function* () {
    const room = most - (yield* countRunning)
    if (room <= 0) return
    const now = yield* Clock.currentTimeMillis
    const unknown = new Set<string>()
    yield* readable().pipe(
      Stream.filter((slot) => isDue(timing, slot, now)),
      Stream.mapEffect((slot) =>
        // A slot that cannot be started takes nobody's place, and an account that is not there is asked for once.
        unknown.has(slot.account)
          ? Effect.succeed(false)
          : Effect.map(Effect.result(begin(slot)), (started) => {
              if (Result.isFailure(started) && RotationError.is("UnknownAccount")(started.failure))
                unknown.add(slot.account)
              return Result.isSuccess(started) && started.success
            })
      ),
      Stream.filter((started) => started),
      Stream.take(room),
      Stream.runDrain
    )
  })

  // A vault that cannot be read now is read again.
  return yield* Effect.forever(Effect.andThen(Effect.ignoreCause(tick), Effect.sleep(between)))
})
