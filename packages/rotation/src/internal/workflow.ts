import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as Workflow from "effect/workflow/Workflow"
import { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import type { KeyVault } from "../KeyVault.ts"
import { Outcome, Problem, type RotationRecord } from "../Slot.ts"
import type { SlotId } from "../VaultStore.ts"
import { Advanced, backoff, pauseOf } from "./attempt.ts"

/**
 * The workflow, as the engine knows it. Its name has its version: a runner of another version leaves it alone.
 *
 * @since 0.1.0
 * @category workflow
 */
export const RotationWorkflow = Workflow.make("@effect-api-keys/rotation/Rotation/v1", {
  payload: {
    account: Schema.String,
    slot: Schema.String,
    rotationId: Schema.String,
    /** The name of a rotation may be given again, when another has come between. */
    startedAt: Schema.String,
    run: Schema.String
  },
  idempotencyKey: ({ account, rotationId, run, slot, startedAt }) =>
    JSON.stringify([account, slot, rotationId, startedAt, run]),
  /** Without an `outcome` where a further execution goes on with the rotation. */
  success: Schema.Struct({ outcome: Schema.optionalKey(Outcome), problem: Schema.optionalKey(Problem) })
})

/** The longest pause after an attempt that could not reach the vault: nobody can cut it short. */
const longestLoss = 60_000

/**
 * Up to this long a pause is slept through, and so held against whoever ends the process in order; a longer one outlasts the
 * process, and can be cut short.
 */
const sleptThrough = Duration.seconds(2)

/** How many attempts one execution makes: the engine goes through all of them again at each wake-up. */
export const attemptsPerRun = 50

const isOfStorage = (cause: Cause.Cause<never>): boolean =>
  cause.reasons.some((reason) => Cause.isDieReason(reason) && Predicate.isTagged(reason.defect, "PersistenceError"))

/** The executions of one engine. */
export interface Executions {
  /** Has a rotation executed; changes nothing where it is already. */
  readonly execute: (id: SlotId, rotation: RotationRecord) => Effect.Effect<void>
  /**
   * What the engine knows of a rotation's execution. `lost`: it ended, and the rotation did not. `asleep`: it is in a pause.
   * `unknown`: it is running, or was never started here. Dies where the engine cannot look.
   */
  readonly stateOf: (id: SlotId, rotation: RotationRecord) => Effect.Effect<"lost" | "asleep" | "unknown">
  /** Cuts the pause short that a rotation is in. */
  readonly wake: (id: SlotId, rotation: RotationRecord) => Effect.Effect<void>
}

const payloadOf = ({ account, slot }: SlotId, { id, run, startedAt }: RotationRecord) => ({
  account,
  slot,
  rotationId: id,
  startedAt: String(startedAt),
  run: String(run)
})

export const executions: Effect.Effect<Executions, never, WorkflowEngine> = Effect.map(WorkflowEngine, (engine) => {
  const withEngine = Effect.provideService(WorkflowEngine, engine)
  const idOf = (id: SlotId, rotation: RotationRecord) => RotationWorkflow.executionId(payloadOf(id, rotation))
  return {
    execute: (id, rotation) =>
      // From within another execution it is none of that one's.
      Effect.asVoid(withEngine(RotationWorkflow.execute(payloadOf(id, rotation), { discard: true, detached: true }))),
    stateOf: Effect.fnUntraced(function* (id, rotation) {
      const executionId = yield* idOf(id, rotation)
      // A defect of an execution is given as one of the look, and so is one of the engine's own storage.
      const found = yield* Effect.exit(withEngine(RotationWorkflow.poll(executionId)))
      if (found._tag === "Failure") return isOfStorage(found.cause) ? yield* Effect.failCause(found.cause) : "lost"
      if (Option.isNone(found.value)) return "unknown"
      return found.value.value._tag === "Complete" ? "lost" : "asleep"
    }),
    wake: Effect.fnUntraced(function* (id, rotation) {
      const executionId = yield* idOf(id, rotation)
      const name = pauseOf(rotation)
      if (name !== undefined) {
        const { deferred } = DurableClock.make({ name, duration: 0 })
        const token = DurableDeferred.tokenFromExecutionId(deferred, { workflow: RotationWorkflow, executionId })
        yield* withEngine(DurableDeferred.succeed(deferred, { token, value: undefined }))
      }
      yield* withEngine(RotationWorkflow.resume(executionId))
    })
  }
})

/** Runs attempt after attempt, with durable pauses between them. */
export const layer = (
  advance: (id: SlotId, rotationId: string) => Effect.Effect<Advanced>,
  vault: KeyVault["Service"],
  { execute }: Executions
): Layer.Layer<never, never, WorkflowEngine> =>
  RotationWorkflow.toLayer(
    Effect.fnUntraced(function* ({ account, rotationId, run, slot }) {
      const id = { account, slot }
      let losses = 0
      for (let attempt = 1; attempt <= attemptsPerRun; attempt++) {
        const result: Advanced = yield* Activity.make({
          name: `advance/${attempt}`,
          success: Advanced,
          execute: advance(id, rotationId)
        })
        losses = result._tag === "Lost" ? losses + 1 : 0
        switch (result._tag) {
          case "Went":
            break
          case "Ended": {
            const { outcome, problem } = result
            return { outcome, ...(problem === undefined ? {} : { problem }) }
          }
          case "Wait":
            yield* pause(result.pause, result.millis)
            break
          case "Lost":
            yield* pause(`lost/${attempt}`, backoff(losses - 1, longestLoss))
        }
      }
      yield* Activity.make({
        name: "continue",
        // Where this fails, the watch finds a rotation that nobody executes.
        execute: Effect.ignoreCause(
          Effect.flatMap(vault.rerun(id, rotationId, Number(run) + 1), ({ rotation }) =>
            Option.match(rotation, { onNone: () => Effect.void, onSome: (next) => execute(id, next) })
          )
        )
      })
      return {}
    })
  )

const pause = (name: string, millis: number) =>
  DurableClock.sleep({ name, duration: Duration.millis(millis), inMemoryThreshold: sleptThrough })
