import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { KeyVault } from "../KeyVault.ts"
import type { RotationError, RotationProblem } from "../RotationError.ts"
import type { RotationRecord, Slot } from "../Slot.ts"
import type { SlotId } from "../VaultStore.ts"
import type { Accounts } from "./accounts.ts"
import * as Failure from "./failure.ts"
import * as Faults from "./faults.ts"
import type { Limits } from "./steps/context.ts"
import * as Steps from "./steps.ts"
import { isEnded } from "./transitions.ts"

export interface Setting {
  readonly vault: KeyVault["Service"]
  readonly accounts: Accounts
  readonly limits: Limits
  /** How often to look. */
  readonly every: Duration.Duration
  /** Sees to it that someone goes on with the rotation of a slot. */
  readonly resume: (id: SlotId) => Effect.Effect<unknown, RotationError>
}

/** How many slots are looked after at once: an account that does not answer does not keep the others waiting. */
const concurrency = 5

const aDay = Duration.toMillis("1 day")

/**
 * Whether the ledger of a rotation that has ended is gone through at this look: soon after its end, then ever more rarely, and
 * at last once a day. What is in it may be there for months.
 */
export const isSweepDue = (age: number, every: number): boolean => {
  const phase = (millis: number) =>
    millis < aDay ? Math.floor(Math.log2(Math.max(1, millis / every))) : 1000 + Math.floor(millis / aDay)
  return age < 2 * every || phase(age) !== phase(age - every)
}

/** What a sweep waits for by itself: it is looked again, and nothing is wrong. */
const isPatience = (problem: RotationProblem): boolean => problem === "NotSeen" || Failure.isOvertaken(problem)

/** Looks through the vault for what nobody goes on with. */
export const run = ({ accounts, every, limits, resume, vault }: Setting): Effect.Effect<void> =>
  Effect.suspend(() => {
    /** What is met at every look. */
    const faults = Faults.make()
    /** Sweeps are rare: that one was not met at a look says nothing. */
    const sweepFaults = Faults.make()
    // A process may live for less time than lies between two sweeps.
    let isFirst = true

    const saySweep = Effect.fnUntraced(function* ({ account, slot }: Slot, problem: RotationProblem) {
      if (isPatience(problem)) return
      yield* sweepFaults.say(
        "what a rotation has left behind cannot be looked after",
        problem === "UnknownAccount" ? { account, problem } : { account, slot, problem }
      )
      // It may have been mended: it is read anew.
      if (problem === "AuthenticationFailed" || problem === "PermissionDenied") yield* accounts.renew(account)
    })

    /** Looks for what lost mints of a rotation that has ended left behind. */
    const sweep = (slot: Slot, rotation: RotationRecord) =>
      Effect.scoped(
        Effect.flatMap(accounts.open("sweep", slot), ({ keys, verify }) => {
          const id = { account: slot.account, slot: slot.slot }
          return Steps.attempt({ id, rotationId: rotation.id, vault, keys, verify, limits }, slot, rotation, "sweep")
        })
      ).pipe(
        Effect.flatMap((end) => (end._tag === "Wait" ? saySweep(slot, end.problem) : Effect.void)),
        Effect.catchCause((cause) => saySweep(slot, Failure.problemOf(cause)))
      )

    const lookAfter = Effect.fnUntraced(function* (slot: Slot) {
      const rotation = Option.getOrUndefined(slot.rotation)
      if (rotation === undefined) return
      if (isEnded(rotation)) {
        // It is open for a person, and there is nothing of it at the vendor.
        if (slot.intents.length === 0 && slot.orphans.length === 0) return
        const age = (yield* Clock.currentTimeMillis) - (rotation.endedAt ?? 0)
        if (isFirst || isSweepDue(age, Duration.toMillis(every))) yield* sweep(slot, rotation)
      } else {
        yield* resume({ account: slot.account, slot: slot.slot })
      }
    })

    const look = vault.scan({ open: true }).pipe(
      Stream.mapEffect(
        // One slot that cannot be helped does not keep the others from it; it is looked at again.
        Result.match({
          onFailure: (error) => faults.say("a slot of the vault cannot be read, so nobody goes on with it", error),
          onSuccess: (slot) =>
            Effect.catchCause(lookAfter(slot), (cause) => {
              const problem = Failure.problemOf(cause)
              if (Failure.isOvertaken(problem)) return Effect.void
              const { account } = slot
              return faults.say("nobody goes on with a rotation", { account, slot: slot.slot, problem })
            })
        }),
        { concurrency, unordered: true }
      ),
      Stream.runDrain,
      Effect.andThen(faults.looked),
      Effect.andThen(
        Effect.sync(() => {
          isFirst = false
        })
      ),
      Effect.catchCause((cause) =>
        faults.say("the vault cannot be looked through, so nobody goes on with its rotations", {
          problem: Failure.problemOf(cause)
        })
      )
    )

    return Effect.asVoid(Effect.repeat(look, Schedule.spaced(every)))
  })
