import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { KeyVault } from "../KeyVault.ts"
import type { Progress, StartOptions } from "../Rotation.ts"
import type { RotationError, RotationProblem } from "../RotationError.ts"
import type { ScheduleOptions } from "../RotationSchedule.ts"
import type { Slot } from "../Slot.ts"
import type { SlotId } from "../VaultStore.ts"
import * as Failure from "./failure.ts"
import * as Faults from "./faults.ts"
import * as Options from "./options.ts"
import { isEnded } from "./transitions.ts"

/** What a schedule goes by where its options do not say; `jitter` is a share of `every`. */
export const defaults = { atMost: 10, check: "1 minute", jitter: 0.1, retryAfter: "1 day" } as const

/** After how many attempts a step waits for something that may take for ever. */
const troubled = 3

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

/** Whether a slot's rotation is about to make a key: what waits, for its overlap or for something to be mended, is not. */
export const isMinting = ({ rotation }: Slot): boolean =>
  Option.exists(
    rotation,
    (last) => !isEnded(last) && last.promotedAt === undefined && !last.overdue && last.attempts < troubled
  )

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
  { account, ...options }: ScheduleOptions
): Effect.fn.Return<never, RotationError> {
  const { atMost = defaults.atMost, check: pause = defaults.check, every, jitter, ...others } = options
  const { retryAfter = defaults.retryAfter, ...given } = others
  const age = yield* Options.millis("schedule", "every", every, "pause")
  const timing: Timing = {
    every: age,
    jitter: jitter === undefined ? age * defaults.jitter : yield* Options.millis("schedule", "jitter", jitter),
    retryAfter: yield* Options.millis("schedule", "retryAfter", retryAfter, "endless")
  }
  const most = yield* Options.count("schedule", "atMost", atMost)
  const between = yield* Options.duration("schedule", "check", pause, "pause")
  if (account !== undefined) yield* Options.name("schedule", "account", account)
  yield* check(given)
  const filter = account === undefined ? {} : { account }

  const faults = Faults.make()

  const readable = (open?: true) =>
    vault.scan(open === undefined ? filter : { ...filter, open }).pipe(
      Stream.tap((found) =>
        Result.isSuccess(found)
          ? Effect.void
          : faults.say("a slot of the vault cannot be read, so its key is not rotated", found.failure)
      ),
      Stream.filterMap((found) => found)
    )

  const countMinting = readable(true).pipe(Stream.filter(isMinting), Stream.runCount)

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
    const room = most - (yield* countMinting)
    if (room <= 0) return
    const now = yield* Clock.currentTimeMillis
    const unknown = new Set<string>()

    /** What cannot be started takes nobody's place, and an account that is not there is asked for once. */
    const sayOf = ({ account, slot }: SlotId, problem: RotationProblem) => {
      if (problem !== "UnknownAccount") {
        return faults.say("a key is due, and its rotation cannot be started", { account, slot, problem })
      }
      unknown.add(account)
      return faults.say("keys are due, and their account cannot be opened", { account, problem })
    }

    const started = yield* readable().pipe(
      Stream.filter((slot) => isDue(timing, slot, now)),
      Stream.mapEffect((slot) =>
        unknown.has(slot.account)
          ? Effect.succeed(false)
          : Effect.catchCause(begin(slot), (cause) => {
              const problem = Failure.problemOf(cause)
              return Effect.as(Failure.isOvertaken(problem) ? Effect.void : sayOf(slot, problem), false)
            })
      ),
      Stream.filter((started) => started),
      Stream.take(room),
      Stream.runCount
    )
    // It has come to the end of the vault.
    if (started < room) yield* faults.looked
  })

  // A vault that cannot be read now is read again.
  const look = Effect.catchCause(tick, (cause) =>
    faults.say("the vault cannot be looked through, so no key is rotated when it is due", {
      account,
      problem: Failure.problemOf(cause)
    })
  )

  return yield* Effect.forever(Effect.andThen(look, Effect.sleep(between)))
})
