import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it, layer } from "@effect/vitest"
import type * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { NodeSqlite } from "../src/node/index.ts"
import * as RotationEngine from "../src/RotationEngine.ts"
import { type Child, run } from "./engine/child.ts"
import type { Payload, Program } from "./engine/protocol.ts"
import { available, byName, database, freePort, Postgres } from "./postgres.ts"

const workflow = "toy/v1"
const longEnough = 60_000
const aDay = 86_400_000

/** For a busy machine: each test starts several processes. */
const patience = { timeout: 60_000 }

const payload = (id: string, more: Partial<Payload> = {}): Payload => ({
  id,
  waitMs: 0,
  end: "well",
  text: "api_test_planted",
  ...more
})

/** What was said of the activities, such as `begin first`. */
const steps = ({ heard }: Child) =>
  heard.flatMap((line) => (line.said === "begin" || line.said === "end" ? [`${line.said} ${line.step}`] : []))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-api-keys-engine-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

interface Store {
  readonly store: Program["store"]
  /** Makes every durable clock due, while no process runs. */
  readonly ring: Effect.Effect<void>
}

const fileStore = Effect.map(
  folder,
  (path): Store => ({
    store: { kind: "file", path: join(path, "engine.db") },
    ring: Effect.sync(() => {
      const db = new DatabaseSync(join(path, "engine.db"))
      const { changes } = db.prepare("UPDATE api_key_rotation_messages SET deliver_at = 1 WHERE deliver_at > 1").run()
      db.close()
      assert.strictEqual(changes, 1)
    })
  })
)

/** A rotation that is killed in an activity, waits for a day, and is killed while it waits. */
const outlives = Effect.fnUntraced(function* ({ ring, store }: Store) {
  const program: Program = { workflow, store, tasks: [] }
  const mine = payload("a", { waitMs: aDay })
  const hold = { step: "second", ms: longEnough }
  const killed = yield* run({ ...program, hold, tasks: [{ ask: "execute", payload: mine }] })
  assert.deepInclude(yield* killed.hear({ said: "begin", step: "second" }), { attempt: 1 })
  yield* killed.signal("SIGKILL")
  assert.deepStrictEqual(steps(killed), ["begin first", "end first", "begin second"])

  // Nobody asks for it: the rows do.
  const resumed = yield* run({ ...program, tasks: [{ ask: "poll", payload: mine }] })
  assert.deepInclude(yield* resumed.hear({ said: "begin", step: "second" }), { attempt: 1 })
  assert.deepInclude(yield* resumed.hear({ said: "polled" }), { outcome: "suspended" })
  yield* resumed.signal("SIGKILL")
  assert.deepStrictEqual(steps(resumed), ["begin second", "end second"])

  yield* ring
  const rung = yield* run({ ...program, tasks: [{ ask: "execute", payload: mine }] })
  assert.deepInclude(yield* rung.hear({ said: "executed" }), { outcome: "success" })
  assert.deepStrictEqual(steps(rung), ["begin third", "end third"])
}, Effect.scoped)

describe("the engine on one file", { concurrent: true, ...patience }, () => {
  it.live(
    "what is killed in an activity goes on in the next process: what has finished is not repeated, what was cut off runs again and cannot tell, a clock of a day goes on",
    () => Effect.scoped(Effect.flatMap(fileStore, outlives))
  )

  it.live("a planned end lets the activity finish, and its result counts", () =>
    Effect.gen(function* () {
      const { store } = yield* fileStore
      const program: Program = { workflow, store, tasks: [{ ask: "execute", payload: payload("a") }] }
      const ended = yield* run({ ...program, hold: { step: "second", ms: 1_000 } })
      yield* ended.hear({ said: "begin", step: "second" })
      yield* ended.signal("SIGTERM")
      assert.deepStrictEqual(steps(ended), ["begin first", "end first", "begin second", "end second"])
      const next = yield* run(program)
      assert.deepInclude(yield* next.hear({ said: "executed" }), { outcome: "success" })
      assert.deepStrictEqual(steps(next), ["begin third", "end third"])
    }).pipe(Effect.scoped)
  )

  it.live("a second process on the file is refused, with an error that says why", () =>
    Effect.gen(function* () {
      const { store } = yield* fileStore
      const first = yield* run({ workflow, store, tasks: [] })
      yield* first.hear({ said: "ready" })
      const second = yield* run({ workflow, store, tasks: [] })
      const refused = yield* second.hear({ said: "refused", tag: "SqlError" })
      assert.include(JSON.stringify(refused), "is open already")
      yield* first.signal("SIGKILL")
      const third = yield* run({ workflow, store, tasks: [] })
      yield* third.hear({ said: "ready" })
    }).pipe(Effect.scoped)
  )

  it.effect("a file that others may open too is refused", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      const shared = NodeSqlite.layer({ filename, exclusive: false })
      const error = yield* RotationEngine.layerSingle().pipe(Layer.provide(shared), Layer.build, Effect.flip)
      assert.deepInclude(error, { _tag: "RotationEngineError", problem: "NotExclusive" })
    }).pipe(Effect.scoped)
  )

  it.live(
    "a program that does not know the workflow: under another prefix it touches nothing, with these settings the execution waits, with Effect's it fails for ever, and only another id runs",
    () =>
      Effect.gen(function* () {
        const { store } = yield* fileStore
        const mine = payload("a")
        const program: Program = { workflow, store, hold: { step: "second", ms: longEnough }, tasks: [] }
        const stranger: Program = { workflow: "other/v1", store, tasks: [] }
        const hasty = { entityRegistrationTimeout: 100, entityMessagePollInterval: 100 }
        const first = yield* run({ ...program, tasks: [{ ask: "start", payload: mine }] })
        yield* first.hear({ said: "begin", step: "second" })
        yield* first.signal("SIGKILL")

        const elsewhere = yield* run({ ...stranger, prefix: "elsewhere", settings: hasty })
        yield* elsewhere.hear({ said: "ready" })
        yield* Effect.sleep("500 millis")
        assert.isEmpty(elsewhere.heard.filter(({ said }) => said === "log"))
        yield* elsewhere.signal("SIGKILL")

        const patient = yield* run({ ...stranger, settings: { entityMessagePollInterval: 100 } })
        yield* patient.hear({ said: "log", text: "Could not find entity manager for address, retrying" })
        yield* Effect.sleep("500 millis")
        yield* patient.signal("SIGKILL")

        // That it waits, here and above, is seen by the next one's finding it.
        const failing = yield* run({ ...stranger, settings: hasty })
        yield* failing.hear({ said: "log", text: "Could not find entity manager for address, retrying" })
        yield* Effect.sleep("1 second")
        yield* failing.signal("SIGKILL")

        const last = yield* run({
          workflow,
          store,
          tasks: [
            { ask: "poll", payload: mine },
            { ask: "execute", payload: mine },
            { ask: "execute", payload: payload("b") }
          ]
        })
        assert.deepInclude(yield* last.hear({ said: "polled", id: "a" }), { outcome: "defect" })
        assert.deepInclude(yield* last.hear({ said: "executed", id: "a" }), { outcome: "defect" })
        assert.deepInclude(yield* last.hear({ said: "executed", id: "b" }), { outcome: "success" })
      }).pipe(Effect.scoped)
  )

  it.live("payloads, errors, defects and even what is redacted lie in the file in clear", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const ends = ["well", "error", "defect"] as const
      const child = yield* run({
        workflow,
        store: { kind: "file", path: join(path, "engine.db") },
        tasks: ends.map((end) => ({ ask: "execute", payload: payload(end, { end }) }))
      })
      for (const [id, outcome] of [
        ["well", "success"],
        ["error", "failure"],
        ["defect", "defect"]
      ] as const) {
        assert.deepInclude(yield* child.hear({ said: "executed", id }), { outcome })
      }
      yield* child.signal("SIGKILL")
      const bytes = readdirSync(path).map((name) => readFileSync(join(path, name), "latin1"))
      for (const planted of ["", "-redacted", "-error", "-defect"]) {
        assert.isTrue(
          bytes.some((text) => text.includes(`"api_test_planted${planted}`)),
          planted
        )
      }
    }).pipe(Effect.scoped)
  )
})

describe("the engine's settings", () => {
  const { clusterSettings, singleSettings } = RotationEngine
  const seconds = (input: Duration.Input | undefined) => Duration.toSeconds(Duration.fromInputUnsafe(input ?? 0))
  const both = [singleSettings, clusterSettings]

  it("wait without end for a program that knows a workflow: it would be recorded as failed for ever", () => {
    for (const settings of both) assert.strictEqual(seconds(settings.entityRegistrationTimeout), Infinity)
  })

  it("give a machine's work away when its mint must be over, with its retries", () => {
    // A request may take 30 seconds, and a machine that has lost the database is to be done with it.
    assert.strictEqual(seconds(clusterSettings.shardLockExpiration), 120)
    assert.isAbove(seconds(clusterSettings.shardLockExpiration), 3 * 30)
    // It notices well before.
    assert.strictEqual(seconds(clusterSettings.shardLockRefreshInterval), 10)
    assert.strictEqual(clusterSettings.shardLockDisableAdvisory, false)
    assert.strictEqual(seconds(clusterSettings.runnerHealthCheckInterval), 5)
  })

  it("wait at a planned end for a mint under way, and not until Kubernetes kills", () => {
    for (const settings of both) assert.strictEqual(seconds(settings.entityTerminationTimeout), 25)
  })

  it("let either engine take the other's tables, and ring clocks soon", () => {
    for (const settings of both) assert.strictEqual(settings.shardsPerGroup, 60)
    assert.strictEqual(seconds(singleSettings.entityMessagePollInterval), 1)
    assert.strictEqual(seconds(clusterSettings.entityMessagePollInterval), 5)
  })
})

describe("the engine's prefix", () => {
  const longest = "a".repeat(36)

  for (const prefix of ["", "sqlite_x", "sqlite", 'a"b', "a.b", "a b", "Upper", "é", `${longest}a`]) {
    it.effect(`${JSON.stringify(prefix)} is refused by every layer, with an error that says why`, () =>
      Effect.gen(function* () {
        const refused = <A, E>(layer: Layer.Layer<A, E, SqlClient.SqlClient>) =>
          Effect.map(
            Layer.build(Layer.provide(layer, NodeSqlite.layer({ filename: ":memory:" }))).pipe(
              Effect.scoped,
              Effect.flip
            ),
            (error) => {
              if (!(error instanceof RotationEngine.RotationEngineError)) return assert.fail("another error")
              assert.strictEqual(error.problem, "Prefix")
              assert.include(error.message, "`prefix` must be 1 to 36 ")
            }
          )
        yield* refused(RotationEngine.layerSingle({ prefix }))
        yield* refused(RotationEngine.layerStorage({ prefix }).pipe(Layer.provide(ShardingConfig.layer())))
        const cluster = (): Layer.Layer<Sharding.Sharding> => Layer.unwrap(Effect.die("it was asked for"))
        yield* refused(RotationEngine.layerCluster({ address: "none", cluster, prefix }))
      })
    )
  }

  it.effect("may be as long as the names of its indexes leave, which stand beside each other", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Effect.scoped(Layer.build(Layer.fresh(RotationEngine.layerSingle({ prefix: longest }))))
      yield* Effect.scoped(
        Layer.build(RotationEngine.layerStorage({ prefix: longest }).pipe(Layer.provide(ShardingConfig.layer())))
      )
      const rows = yield* sql<{
        readonly name: string
      }>`SELECT name FROM sqlite_master WHERE name LIKE ${`${longest}%`}`
      // PostgreSQL cuts a longer name off.
      assert.strictEqual(Math.max(...rows.map(({ name }) => name.length)), 63)
    }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
  )
})

layer(Postgres.layer, { excludeTestServices: true })("the engine on PostgreSQL", (it) => {
  it.effect.skipIf(!available)(byName("a database that others may open too is not for one process"), () =>
    Effect.gen(function* () {
      const { layer } = yield* database
      const error = yield* RotationEngine.layerSingle().pipe(Layer.provide(layer), Layer.build, Effect.flip)
      assert.deepInclude(error, { _tag: "RotationEngineError", problem: "NotExclusive" })
    }).pipe(Effect.scoped)
  )

  it.effect.skipIf(!available)(
    byName(
      "of two machines one runs it; stopped past the lock, it is overtaken, and when it wakes it finishes the activity that it was in a second time, and no more"
    ),
    () =>
      Effect.gen(function* () {
        const { url } = yield* database
        const machine = (port: number): Program => ({
          workflow,
          store: { kind: "postgres", url, port },
          settings: {
            shardLockExpiration: 2_000,
            shardLockRefreshInterval: 300,
            refreshAssignmentsInterval: 200,
            runnerHealthCheckInterval: 500,
            entityMessagePollInterval: 200
          },
          hold: { step: "second", ms: 1_000 },
          tasks: []
        })
        // At the same time, so that both make the tables.
        const one = yield* run(machine(yield* Effect.promise(freePort)))
        const two = yield* run(machine(yield* Effect.promise(freePort)))
        yield* one.hear({ said: "ready" })
        yield* two.hear({ said: "ready" })
        // Until they have shared the shards out: who has to give one away stands still for a while.
        yield* Effect.sleep("1500 millis")
        const starter = yield* run({ ...machine(0), tasks: [{ ask: "execute", payload: payload("a") }] })
        const begun = (child: Child) => child.hear({ said: "begin", step: "second" })
        const [owner, other] = yield* Effect.raceFirst(
          Effect.as(begun(one), [one, two] as const),
          Effect.as(begun(two), [two, one] as const)
        )
        yield* owner.signal("SIGSTOP")
        assert.notInclude(steps(other), "begin first")

        yield* other.hear({ said: "end", step: "third" })
        assert.deepStrictEqual(steps(other), ["begin second", "end second", "begin third", "end third"])
        assert.notInclude(steps(owner), "end second")

        yield* owner.signal("SIGCONT")
        // The side effect of an activity that somebody else has finished long since.
        yield* owner.hear({ said: "end", step: "second" })
        assert.deepInclude(yield* starter.hear({ said: "executed" }), { outcome: "success" })
        assert.notInclude(steps(owner), "begin third")
      }).pipe(Effect.scoped),
    patience
  )
})
