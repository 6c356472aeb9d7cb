/**
 * Keys that are rotated on a schedule: each slot when its key is a month old, spread over a day, with a day on which the old
 * key works beside the new one. Consumers read the key from the vault, and say when they have taken it.
 *
 * Watch out: run the schedule where the engine is, and as often as you like; two of them start the same rotation. What is
 * printed are handles, steps and problems, never a secret.
 */
import { KeyVault, Rotation, type RotationEvent, type ScheduleOptions, type SlotId } from "@effect-api-keys/rotation"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import type * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

export const monthly: ScheduleOptions = {
  every: "30 days",
  jitter: "1 day",
  overlap: "1 day",
  // The old key goes when its consumer has taken the new one, and not before; after a day without that, it is overdue.
  acknowledgement: true
}

const line = ({ event, outcome, problem, slotId, step }: RotationEvent): string =>
  [`${slotId.account}/${slotId.slot}`, step, event, outcome, problem].filter((word) => word !== undefined).join(" ")

/** Starts what is due, and prints what happens; runs until it is interrupted. */
export const keepRotating = Effect.fnUntraced(function* (options: ScheduleOptions) {
  const rotation = yield* Rotation
  yield* Effect.forkScoped(Stream.runForEach(rotation.events, (event) => Console.log(line(event))))
  return yield* rotation.schedule(options)
}, Effect.scoped)

/**
 * A consumer of one slot: hands on each new key, and acknowledges it when `use` has taken it. It asks the vault, which may be
 * in another process than the engine; only to acknowledge it needs the service.
 */
export const consume = Effect.fnUntraced(function* <R>(
  id: SlotId,
  use: (secret: Redacted.Redacted<string>) => Effect.Effect<void, never, R>,
  every: Schedule.Schedule<unknown>
) {
  const vault = yield* KeyVault
  const rotation = yield* Rotation
  const taken = yield* Ref.make("")
  const look = Effect.gen(function* () {
    const { current, rotation: last } = yield* vault.read(id)
    if (current.handle !== (yield* Ref.get(taken)) && Option.isSome(current.secret)) {
      yield* use(current.secret.value)
      yield* Ref.set(taken, current.handle)
    }
    // Also where this consumer was started anew in the middle of a rotation: it has the new key then.
    const open = Option.filter(
      last,
      ({ acknowledged, outcome, step }) => step === "overlap" && !acknowledged && outcome === undefined
    )
    if (Option.isSome(open)) yield* rotation.acknowledge(id, open.value.id)
  })
  // A vault that cannot be read now does not end it: the key that it has still works.
  return yield* Effect.repeat(
    Effect.catch(look, (error) => Effect.logWarning(error.message)),
    every
  )
})
