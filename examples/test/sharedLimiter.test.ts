import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpSandbox } from "@effect-api-keys/core/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as SharedLimiter from "../src/sharedLimiter.ts"
import { credentials, environment } from "./support.ts"

const absent = spawnSync("redis-server", ["--version"]).status !== 0
const byName = (name: string) =>
  absent ? `${name} (redis-server is not installed: apt-get install redis-server)` : name

const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

/** Starts a Redis on this port of loopback, which keeps nothing; gives what ends it. */
const start = Effect.fnUntraced(function* (port: number) {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-api-keys-redis-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
  const kill = (child: ChildProcess) =>
    Effect.andThen(
      Effect.sync(() => child.kill("SIGKILL")),
      ended(child)
    )
  const child = yield* Effect.acquireRelease(
    Effect.callback<ChildProcess>((resume) => {
      const started = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] })
      started.once("exit", () => resume(Effect.die(new Error("redis-server ended"))))
      started.stdout.on("data", (chunk: Buffer) => {
        if (chunk.includes("Ready to accept connections")) resume(Effect.succeed(started))
      })
    }),
    kill
  )
  return kill(child)
})

/** A Redis of this test's own, on a free port. */
const redis = Effect.gen(function* () {
  const port = yield* freePort
  return { port, url: `redis://127.0.0.1:${port}`, kill: yield* start(port) }
})

const variables = (url: string) => environment({ SMTP2GO_API_KEY: credentials.SMTP2GO_API_KEY, REDIS_URL: url })

/** The vendor, and two processes that work on one account there: nothing in common but Redis. */
const twoProcesses = Effect.fnUntraced(function* (url: string) {
  const vendor = Context.get(
    yield* Layer.build(MailerPatchSandbox.layer({ credential: credentials.SMTP2GO_API_KEY })),
    MailerPatchSandbox.MailerPatchSandbox
  )
  const process = Effect.map(
    Layer.build(
      Layer.fresh(SharedLimiter.layer).pipe(
        Layer.provide(HttpSandbox.layerClient(vendor.app)),
        Layer.provide(variables(url))
      )
    ),
    Context.get(ApiKeyService)
  )
  return { vendor, a: yield* process, b: yield* process }
})

const quiet = Logger.layer([])

describe("a limiter shared through Redis", () => {
  it.live.skipIf(absent)(
    byName("two processes together make five keys, and the sixth is held back by the limiter"),
    () =>
      Effect.gen(function* () {
        const { a, b, vendor } = yield* twoProcesses((yield* redis).url)
        const outcomes = yield* Effect.forEach(
          [a, b, a, b, a, b, a, b],
          (keys, index) =>
            keys.create({ name: `key ${index}` }).pipe(
              Effect.as("made"),
              Effect.catchReason("ApiKeyError", "RateLimited", ({ retryAfter, source }) => {
                assert.isAbove(Duration.toSeconds(retryAfter), 60)
                return Effect.succeed(source)
              })
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(outcomes.sort(), [
          "limiter",
          "limiter",
          "limiter",
          ...Array.from({ length: 5 }, () => "made")
        ])
        const requests = yield* vendor.requests
        assert.deepStrictEqual(
          requests.map(({ path, status }) => `${path} ${status}`),
          Array.from({ length: 5 }, () => "/v3/api_keys/add 200")
        )
      }).pipe(Effect.scoped, Effect.provide(quiet))
  )

  it.live.skipIf(absent)(byName("a 429 that one process meets holds the other back, revoke too"), () =>
    Effect.gen(function* () {
      const { a, b, vendor } = yield* twoProcesses((yield* redis).url)
      const { ref } = yield* a.create({ name: "acme" })
      yield* vendor.lockOut({ seconds: 60 })
      const met = yield* Effect.flip(a.get(ref))
      assert.deepInclude(met.reason, { _tag: "RateLimited", source: "provider" })
      const before = (yield* vendor.requests).length
      for (const call of [Effect.asVoid(b.get(ref)), Effect.asVoid(b.revoke(ref))]) {
        const held = yield* Effect.flip(call)
        assert.deepInclude(held.reason, { _tag: "RateLimited", source: "limiter" })
      }
      assert.strictEqual((yield* vendor.requests).length, before)
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )

  it.live.skipIf(absent)(
    byName("a Redis that dies stops other calls, which say so, but not revoke; and it may come back"),
    () =>
      Effect.gen(function* () {
        const { kill, port, url } = yield* redis
        const { a, vendor } = yield* twoProcesses(url)
        const { ref } = yield* a.create({ name: "acme" })
        yield* kill
        const before = (yield* vendor.requests).length
        const error = yield* Effect.flip(a.create({ name: "beta" }))
        assert.deepInclude(error.reason, { _tag: "ProviderUnavailable", problem: "limiter", sent: false })
        assert.strictEqual((yield* vendor.requests).length, before)
        const startedAt = performance.now()
        assert.strictEqual(yield* a.revoke(ref), "disabled")
        assert.isBelow(performance.now() - startedAt, 1_000)
        yield* start(port)
        yield* Effect.retry(a.create({ name: "gamma" }), {
          while: (again) => again.reason._tag === "ProviderUnavailable",
          schedule: Schedule.spaced("50 millis")
        })
      }).pipe(Effect.scoped, Effect.provide(quiet))
  )

  it.live("a process that starts while Redis is down counts by itself, and can revoke", () =>
    Effect.gen(function* () {
      const { a, b } = yield* twoProcesses(`redis://127.0.0.1:${yield* freePort}`)
      const { ref } = yield* a.create({ name: "acme" })
      assert.strictEqual(yield* b.revoke(ref), "disabled")
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )
})
