import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type { KeyVault } from "../KeyVault.ts"
import type { RotationEvent } from "../RotationEvent.ts"
import { Outcome, Problem, type RotationRecord, type Slot } from "../Slot.ts"
import { VaultError } from "../VaultError.ts"
import type { SlotId } from "../VaultStore.ts"
import type { Accounts } from "./accounts.ts"
import type * as Context from "./steps/context.ts"
import { afterFailure, type StepEnd, wait } from "./steps/stepEnd.ts"
import * as Steps from "./steps.ts"
import { isEnded } from "./transitions.ts"

/** The result of one attempt, as the engine writes it down: words and numbers of our own, and nothing else. */
export const Advanced = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Went") }),
  /** `pause` names the pause, for whoever wants to cut it short. */
  Schema.Struct({ _tag: Schema.Literal("Wait"), millis: Schema.Finite, pause: Schema.String }),
  /** The vault could not be read or written. */
  Schema.Struct({ _tag: Schema.Literal("Lost") }),
  Schema.Struct({ _tag: Schema.Literal("Ended"), outcome: Outcome, problem: Schema.optionalKey(Problem) })
])
export type Advanced = typeof Advanced.Type

/** What an attempt needs to know of the service's options; durations in milliseconds. */
export interface Limits extends Context.Limits {
  /** After how long a step that does not get on is overdue. */
  readonly overdueAfter: number
}

export interface Setting {
  readonly vault: KeyVault["Service"]
  readonly accounts: Accounts
  readonly limits: Limits
  readonly publish: (event: RotationEvent) => Effect.Effect<unknown>
}

/** The first pause between two attempts of a step, and the longest. */
const firstPause = 5_000
const longestPause = 15 * 60_000

export const backoff = (attempts: number, longest: number = longestPause): number =>
  Math.min(longest, firstPause * 2 ** Math.min(attempts, 20))

/** How often a step may say itself when it is to be tried again; after that the pauses grow. */
const patientAttempts = 5

/** Names the pause after the attempt that a record is about to make; no other pause of its execution has this name. */
const pauseBefore = ({ attempts, since, step }: RotationRecord): string => `${step}/${since}/${attempts}`

/** The pause that a rotation is in; none where it has not waited in this step. */
export const pauseOf = (rotation: RotationRecord): string | undefined =>
  rotation.attempts === 0 ? undefined : pauseBefore({ ...rotation, attempts: rotation.attempts - 1 })

/** Whether the step that a rotation is in takes longer than it should. */
export const isLate = (
  { acknowledgement, overlap, promotedAt, since, step }: RotationRecord,
  { lateArrival, overdueAfter }: Limits,
  now: number
): boolean => {
  switch (step) {
    // A consumer that must acknowledge has the overlap for it.
    case "overlap":
      return now >= (promotedAt ?? since) + overlap + (acknowledgement ? 0 : overdueAfter)
    // A lost mint is looked for as long as it may arrive.
    case "sweep":
      return now >= since + lateArrival + overdueAfter
    default:
      return now >= since + overdueAfter
  }
}

const endOf = ({ outcome = "superseded", problem }: Partial<RotationRecord>): Advanced => ({
  _tag: "Ended",
  outcome,
  ...(problem === undefined ? {} : { problem })
})

const went: Advanced = { _tag: "Went" }

const pauseAfter = Effect.fnUntraced(function* (attempts: number, asked: number | undefined) {
  if (asked === undefined) return Math.ceil(backoff(attempts) * (0.8 + 0.4 * (yield* Random.next)))
  return attempts < patientAttempts ? asked : Math.max(asked, backoff(attempts - patientAttempts))
})

/** Makes one attempt at the step that a rotation is in, and writes down how it ended. */
const attempt = Effect.fnUntraced(function* (
  { accounts, limits, publish, vault }: Setting,
  id: SlotId,
  rotationId: string
): Effect.fn.Return<Advanced, VaultError> {
  const slot = yield* vault.read(id)
  const rotation = Option.getOrUndefined(slot.rotation)
  if (rotation === undefined || rotation.id !== rotationId) return endOf({})
  if (isEnded(rotation)) return endOf(rotation)
  const now = yield* Clock.currentTimeMillis
  const tell = (what: Pick<RotationEvent, "event" | "problem" | "outcome">) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) =>
      publish({
        slotId: { account: slot.account, slot: slot.slot },
        rotationId,
        step: rotation.step,
        at,
        ...what
      })
    )

  const tryStep = Effect.scoped(
    Effect.matchEffect(accounts.open(rotation.step, id), {
      onFailure: () => Effect.succeed(wait("UnknownAccount")),
      onSuccess: ({ keys, verify }) => Steps.attempt({ id, rotationId, vault, keys, verify, limits }, slot, rotation)
    })
  ).pipe(
    // An interruption that is not this fiber's own comes from a function that was given to us, and is a defect like others.
    Effect.catchCause((cause) => {
      const error = cause.reasons.find(Cause.isFailReason)?.error
      return Effect.succeed<StepEnd>(error === undefined ? wait("Defect") : afterFailure(error))
    })
  )

  if (rotation.attempts === 0) yield* tell({ event: "started" })
  const end = yield* tryStep
  switch (end._tag) {
    case "Next": {
      yield* vault.advance(id, rotationId, rotation.step, end.step)
      yield* tell({ event: "done" })
      return went
    }
    case "End": {
      // A key that leaked was not left as it was.
      const failed = end.outcome === "failed" && rotation.kind === "replace"
      const ended = yield* vault.end(id, rotationId, failed ? "contained" : end.outcome, end.problem)
      const { outcome = end.outcome, problem } = Option.getOrElse(ended.rotation, () => end)
      yield* tell({ event: "ended", outcome, ...(problem === undefined ? {} : { problem }) })
      return endOf({ outcome, ...(problem === undefined ? {} : { problem }) })
    }
    case "Wait": {
      // It may have been mended: it is read anew.
      if (end.problem === "AuthenticationFailed" || end.problem === "PermissionDenied")
        yield* accounts.renew(id.account)
      const late = isLate(rotation, limits, now)
      const waited = yield* vault.waited(id, rotationId, rotation.step, end.problem, late)
      yield* tell({ event: "waiting", problem: end.problem })
      if (late && !rotation.overdue) {
        yield* tell({ event: "overdue", problem: end.problem })
        const { account, slot } = id
        yield* Effect.logWarning("a rotation is overdue", {
          account,
          slot,
          rotationId,
          step: rotation.step,
          problem: end.problem
        })
      }
      // What someone has written meanwhile is what the pause would wait for.
      if (hasMoved(slot, waited)) return went
      const millis = yield* pauseAfter(rotation.attempts, end.after)
      return { _tag: "Wait", millis, pause: pauseBefore(rotation) }
    }
  }
})

/** Whether someone else has taken a rotation on, or acknowledged it, between an attempt's first look and its last. */
const hasMoved = (before: Slot, after: Slot): boolean =>
  Option.match(Option.product(before.rotation, after.rotation), {
    onNone: () => true,
    onSome: ([was, is]) => was.step !== is.step || was.acknowledged !== is.acknowledged
  })

/** An attempt as the engine runs it: whatever happens in it, what is written down is of our own words. */
export const make =
  (setting: Setting) =>
  (id: SlotId, rotationId: string): Effect.Effect<Advanced> =>
    attempt(setting, id, rotationId).pipe(
      // Another rotation has taken the slot over: the next look says so.
      Effect.catchIf(VaultError.is("Fenced"), () => Effect.succeed(went)),
      // What was done so far is done again, and changes nothing.
      Effect.catchCause(() => Effect.succeed<Advanced>({ _tag: "Lost" }))
    )
