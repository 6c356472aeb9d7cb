/**
 * One process of the engine's tests: a small workflow that says what it does, on the engine that the argument asks for.
 *
 * Each line on standard output is a {@link Said}. It ends when its input does, and with that never outlives the tests.
 */
import { writeSync } from "node:fs"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as RotationEngine from "../../src/RotationEngine.ts"
import type { Program, Said } from "./protocol.ts"

// The parent passes this type, as JSON.
const program = JSON.parse(process.argv[2] ?? "{}") as Program

const say = (said: Said) => Effect.sync(() => writeSync(1, `${JSON.stringify(said)}\n`))

class ToyError extends Schema.TaggedError<ToyError>("test/ToyError")("ToyError", { text: Schema.String }) {}

const Toy = Workflow.make(program.workflow, {
  payload: {
    id: Schema.String,
    /** How long its durable clock runs. */
    waitMs: Schema.Int,
    /** How the second activity ends. */
    end: Schema.Literals(["well", "error", "defect"]),
    text: Schema.String
  },
  success: Schema.Redacted(Schema.String),
  error: ToyError,
  idempotencyKey: ({ id }) => id
})

const step = <A, E>(name: string, id: string, then: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const attempt = yield* Activity.CurrentAttempt
    yield* say({ said: "begin", step: name, id, attempt })
    if (program.hold?.step === name) yield* Effect.sleep(program.hold.ms)
    const value = yield* then
    yield* say({ said: "end", step: name, id, attempt })
    return value
  })

const layerToy = Toy.toLayer(({ end, id, text, waitMs }) =>
  Effect.gen(function* () {
    yield* Activity.make({ name: "first", execute: step("first", id, Effect.void) })
    const made = yield* Activity.make({
      name: "second",
      success: Schema.Redacted(Schema.String),
      error: ToyError,
      execute: step(
        "second",
        id,
        end === "error"
          ? Effect.fail(new ToyError({ text: `${text}-error` }))
          : end === "defect"
            ? Effect.die(new Error(`${text}-defect`))
            : Effect.succeed(Redacted.make(`${text}-redacted`))
      )
    })
    if (waitMs > 0) {
      yield* DurableClock.sleep({ name: "wait", duration: Duration.millis(waitMs), inMemoryThreshold: Duration.zero })
    }
    yield* Activity.make({ name: "third", execute: step("third", id, Effect.void) })
    return made
  })
)

const outcome = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isSuccess(exit) ? "success" : Cause.hasDies(exit.cause) ? "defect" : "failure"

const carryOut = Effect.forEach(program.tasks, (task) => {
  if (task.ask === "execute") {
    return Effect.flatMap(Effect.exit(Toy.execute(task.payload)), (exit) =>
      say({ said: "executed", id: task.payload.id, outcome: outcome(exit) })
    )
  }
  if (task.ask === "start") return Toy.execute(task.payload, { discard: true })
  return Effect.gen(function* () {
    const executionId = yield* Toy.executionId(task.payload)
    let found: string | undefined
    while (found === undefined) {
      const exit = yield* Effect.exit(Toy.poll(executionId))
      if (Exit.isFailure(exit)) found = outcome(exit)
      else if (Option.isSome(exit.value)) {
        const result = exit.value.value
        found = result._tag === "Suspended" ? "suspended" : outcome(result.exit)
      } else yield* Effect.sleep("20 millis")
    }
    yield* say({ said: "polled", id: task.payload.id, outcome: found })
  })
})

type Engine = Layer.Layer<WorkflowEngine.WorkflowEngine, { readonly _tag: string; readonly message: string }>

const engine: Effect.Effect<Engine> = Effect.gen(function* (): Effect.fn.Return<Engine> {
  const { prefix, settings, store } = program
  if (store.kind === "file") {
    const NodeSqlite = yield* Effect.promise(() => import("../../src/node/NodeSqlite.ts"))
    return RotationEngine.layerSingle({ prefix, settings }).pipe(
      Layer.provide(NodeSqlite.layer({ filename: store.path }))
    )
  }
  const NodeClusterSocket = yield* Effect.promise(() => import("@effect/platform-node/NodeClusterSocket"))
  const Postgres = yield* Effect.promise(() => import("../postgres.ts"))
  return RotationEngine.layerCluster({
    address: store.port === 0 ? "none" : { host: "127.0.0.1", port: store.port },
    cluster:
      store.port === 0
        ? (options) => NodeClusterSocket.layer({ ...options, clientOnly: true })
        : NodeClusterSocket.layer,
    prefix,
    settings
  }).pipe(Layer.provide(Postgres.client(store.url)))
})

process.stdin.once("end", () => process.exit()).resume()

const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
  writeSync(1, `${JSON.stringify({ said: "log", level: logLevel, text: String(message) } satisfies Said)}\n`)
})

const main = Effect.gen(function* () {
  yield* say({ said: "ready", sinceStartMs: Math.round(performance.now()) })
  yield* carryOut
  return yield* Effect.never
}).pipe(
  Effect.provide(layerToy.pipe(Layer.provideMerge(Layer.unwrap(engine)))),
  // A layer that cannot be built: its typed error is what a test asks about.
  Effect.tapError((error) => say({ said: "refused", tag: error._tag, text: error.message })),
  Effect.provide(Logger.layer([logger]))
)

NodeRuntime.runMain(main, { disableErrorReporting: true })
