import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"
import { NodeSqlite } from "../src/node/index.ts"
import type { Account } from "../src/Rotation.ts"
import * as RotationEngine from "../src/RotationEngine.ts"
import type { RotationError } from "../src/RotationError.ts"
import type { Problem } from "../src/Slot.ts"
import { makeMemory, type VaultStore } from "../src/VaultStore.ts"
import { fixture, hasEnded, id, mapKeys, sealingKeys, stepOf } from "./fixture.ts"
import type { World } from "./support/vendors.ts"

const names = ["jetemail", "smtp2go", "voiceable"] as const

/** A secret as it is, and in the forms that data takes. */
const formsOf = (secret: string): ReadonlyArray<string> => {
  const hex = Buffer.from(secret).toString("hex")
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    hex,
    hex.toUpperCase(),
    // Where a text begins decides its base64; the ends that hang on their neighbours are cut off.
    ...[0, 1, 2].map((shift) =>
      Buffer.from("x".repeat(shift) + secret)
        .toString("base64url")
        .slice(shift + 1, -3)
    )
  ]
}

/** Whether a text shows one of these forms, also in the other alphabet of base64. */
const shows = (text: string, forms: ReadonlySet<string>): boolean => {
  const plain = text.replaceAll("+", "-").replaceAll("/", "_")
  for (const form of forms) if (text.includes(form) || plain.includes(form)) return true
  return false
}

/** What printing a value shows, in the ways that programs print. */
const renderings = (value: unknown): ReadonlyArray<string> => [
  String(value),
  JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part)) ?? "",
  inspect(value, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null }),
  inspect(value, { depth: Infinity, showHidden: true, customInspect: false, getters: true }),
  ...(value instanceof Error ? [value.message, value.stack ?? ""] : []),
  ...(Cause.isCause(value) ? [Cause.pretty(value)] : []),
  ...(Exit.isExit(value) && Exit.isFailure(value) ? [Cause.pretty(value.cause)] : [])
]

/** All that anyone gets to see of a program, by where. */
class Seen {
  readonly things: Array<readonly [string, unknown]> = []
  readonly add = (where: string, ...what: ReadonlyArray<unknown>): void => {
    for (const one of what) this.things.push([where, one])
  }
  /** Where a secret stands. */
  leaks(secrets: Iterable<string>): ReadonlyArray<string> {
    const forms = new Set(Array.from(secrets).flatMap(formsOf))
    const texts = Map.groupBy(this.things, ([where]) => where)
    return Array.from(texts).flatMap(([where, things]) =>
      shows(things.flatMap(([, what]) => renderings(what)).join("\n"), forms) ? [where] : []
    )
  }
}

/** Every row of every table. */
const dump = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ readonly name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
  return yield* Effect.forEach(tables, ({ name }) =>
    Effect.map(sql`SELECT * FROM ${sql(name)}`, (rows) => ({ name, rows }))
  )
}).pipe(Effect.provideService(SqlClient.SafeIntegers, true))

const secretsOf = Effect.fnUntraced(function* (world: World) {
  const keys = yield* world.keys
  return [world.credential, ...keys.map(({ secret }) => secret), ...Object.values(sealingKeys.keys).map(Redacted.value)]
})

const soon = (what: Effect.Effect<boolean, RotationError>) =>
  Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), what), { until: (holds) => holds }).pipe(
    Effect.timeout("10 seconds"),
    Effect.orDie
  )

/** Runs rotations on an engine that writes everything down, and gathers whatever can be seen of them. */
const watch = Effect.fnUntraced(function* (
  name: (typeof names)[number],
  spoil?: { readonly account: (account: Account) => Account; readonly waits: Problem }
) {
  const seen = new Seen()
  const memory = yield* makeMemory
  const store: VaultStore["Service"] = {
    ...memory,
    write: (row) =>
      Effect.andThen(
        Effect.sync(() => seen.add("a row of the vault", row)),
        memory.write(row)
      )
  }
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const logger = Logger.make(({ cause, fiber, message }) => {
    seen.add("the log", message, cause, fiber.getRef(References.CurrentLogAnnotations))
  })
  const secrets = new Set<string>()
  yield* Effect.gen(function* () {
    const context = yield* Layer.build(NodeSqlite.layer({ filename: ":memory:" }))
    const sql = Layer.succeed(SqlClient.SqlClient, Context.get(context, SqlClient.SqlClient))
    const engine = RotationEngine.layerSingle({ settings: { entityMessagePollInterval: 20 } })
    const made = yield* fixture(name, { store, ...(spoil === undefined ? {} : { account: spoil.account }) })
    const remember = Effect.map(secretsOf(made.world), (all) => {
      for (const secret of all) secrets.add(secret)
    })
    yield* remember
    const machine = yield* made.machine({ overlap: 0 }, Layer.orDie(engine).pipe(Layer.provide(sql)))
    const { rotation, vault } = machine
    const ask = Effect.fnUntraced(function* <A>(what: string, effect: Effect.Effect<A, unknown>) {
      const exit = yield* Effect.exit(effect)
      seen.add(what, exit)
      yield* remember
    })
    yield* ask("adopt", rotation.adopt(id, made.first))
    if (spoil === undefined) {
      yield* ask("adopt again", rotation.adopt(id, { ref: made.first.ref, secret: Redacted.make("api_test_another") }))
      secrets.add("api_test_another")
    }
    yield* ask("adopt of another", rotation.adopt({ ...id, account: "other" }, made.first))
    yield* ask("plan", rotation.plan(id))
    yield* ask("start", rotation.start(id, { rotationId: "r1" }))
    yield* ask("resume", rotation.resume(id))
    yield* soon(
      spoil === undefined ? hasEnded(rotation) : Effect.map(stepOf(rotation), (last) => last?.problem === spoil.waits)
    )
    yield* remember
    yield* ask("the leaked string of nobody", rotation.revokeAndReplace(Redacted.make("api_test_of_nobody")))
    secrets.add("api_test_of_nobody")
    const { current } = yield* vault.read(id)
    seen.add("a held key", current)
    yield* ask("match", vault.match(Redacted.make(Redacted.value(made.first.secret))))
    if (spoil === undefined) {
      yield* ask("revokeAndReplace", rotation.revokeAndReplace(id, { rotationId: "incident" }))
      yield* soon(hasEnded(rotation))
    }
    yield* ask("acknowledge", rotation.acknowledge(id, "r1"))
    yield* ask("settle", rotation.settle(id, "none"))
    yield* ask("poll", rotation.poll(id))
    yield* ask("attention", Stream.runCollect(rotation.attention()))
    yield* ask("slots", Stream.runCollect(vault.slots()))
    yield* ask("remove, of none", rotation.remove({ account: id.account, slot: "none" }))
    yield* ask("remove", rotation.remove(id))
    seen.add("an event", ...machine.events)
    seen.add("the engine's tables", ...(yield* Effect.provide(dump, sql)))
    seen.add("a span", ...spans.map(({ attributes, events, name, status }) => ({ attributes, events, name, status })))
    yield* machine.close
    const last = yield* Effect.result(stepOf(rotation))
    seen.add("a closed service", last)
  }).pipe(
    Effect.scoped,
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(References.MinimumLogLevel, "All")
  )
  return { seen, secrets, spans }
})

describe("no secret is shown", () => {
  for (const name of names) {
    it.live(`${name}: by what the service gives, says, stores or logs`, () =>
      Effect.gen(function* () {
        const { secrets, seen, spans } = yield* watch(name)
        assert.isAtLeast(secrets.size, 5)
        assert.isAtLeast(spans.length, 10)
        for (const where of ["a row of the vault", "an event", "the engine's tables", "slots", "plan"]) {
          assert.isTrue(
            seen.things.some(([one]) => one === where),
            `nothing was seen of ${where}`
          )
        }
        assert.deepStrictEqual(seen.leaks(secrets), [])
      })
    )
  }

  it.live("though the program's own functions die of it, and fail with it", () =>
    Effect.gen(function* () {
      const blurt = (secret: string) => new Error(`${secret} does not work`, { cause: secret })
      let adopted = false
      const dying = (account: Account) =>
        mapKeys(account, (keys) => ({
          ...keys,
          get: (ref) =>
            Effect.suspend(() => {
              const again = adopted
              adopted = true
              return again ? Effect.die(blurt(Redacted.value(ref.value))) : keys.get(ref)
            })
        }))
      const failing = (account: Account): Account => ({
        ...account,
        verify: ({ secret }) => Effect.fail(blurt(Redacted.value(secret)))
      })
      for (const spoil of [
        { account: dying, waits: "Defect" },
        { account: failing, waits: "Unverified" }
      ] as const) {
        const { secrets, seen } = yield* watch("smtp2go", spoil)
        assert.deepStrictEqual(seen.leaks(secrets), [])
      }
    })
  )

  it("and one that is shown would be found", () => {
    const secret = "api_test_canary/with+signs?"
    const planted: Record<string, unknown> = {
      "as it is": { text: `before ${secret} after` },
      "in an error": new Error(`it was ${secret}`),
      "in the cause of one": Cause.die(new Error("a", { cause: { secret } })),
      "in a failure": Exit.fail({ secret }),
      "in base64": { text: Buffer.from(`{"secret":"${secret}"}`).toString("base64") },
      "in base64url": [Buffer.from(`ab${secret}`).toString("base64url")],
      "in hex": { nested: { deep: { deeper: Buffer.from(secret).toString("hex") } } },
      "in an address": `https://example.com/?key=${encodeURIComponent(secret)}`,
      "in JSON in JSON": JSON.stringify({ inner: JSON.stringify({ secret }) })
    }
    for (const [where, what] of Object.entries(planted)) {
      const seen = new Seen()
      seen.add("here", { nothing: "else" })
      seen.add(where, what)
      assert.deepStrictEqual(seen.leaks([secret]), [where])
    }
    const seen = new Seen()
    seen.add("hidden", Redacted.make(secret))
    assert.deepStrictEqual(seen.leaks([secret]), [])
  })
})
