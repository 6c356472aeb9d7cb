import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyRef, KeySpec, ReasonTag, Verb } from "@effect-api-keys/core"
import { type ApiKeyError, ApiKeyService, MintIntent } from "@effect-api-keys/core"
import { HttpFaults, Witness } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { TestClock } from "effect/testing"

const spec: KeySpec = { name: "acme", domains: ["acme.example"], ips: ["192.0.2.1"], quota: 1000 }

const adapter = Layer.unwrap(
  Effect.map(JetEmailSandbox.JetEmailSandbox, ({ credential }) =>
    JetEmail.layer({ apiKey: credential, defaults: { domains: "any", ips: "any", quota: "unlimited" } })
  )
)

/** Runs a test on a sandbox of its own, with faults on the way. */
const atSandbox = Effect.provide(
  adapter.pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(JetEmailSandbox.layerClient()))
)

/** What a create was prepared with, some other day. */
const intent = new MintIntent({
  provider: "jetemail",
  account: "default",
  verb: "create",
  marker: `ek-${"a".repeat(24)}`,
  preparedAt: DateTime.makeUnsafe(0)
})

interface Called {
  readonly keys: ApiKeyService["Service"]
  readonly ref: KeyRef
  readonly deliver: (key: IssuedKey) => Effect.Effect<void>
}

/** Every verb, the request that a fault strikes, and whether it mints. */
const verbs: Record<
  Verb,
  {
    readonly target: HttpFaults.Target
    readonly mints: boolean
    readonly call: (called: Called) => Effect.Effect<unknown, ApiKeyError>
  }
> = {
  create: { target: { method: "POST" }, mints: true, call: ({ deliver, keys }) => keys.create(spec, { deliver }) },
  rotate: { target: { method: "POST" }, mints: true, call: ({ deliver, keys, ref }) => keys.rotate(ref, { deliver }) },
  patch: { target: { method: "PATCH" }, mints: false, call: ({ keys, ref }) => keys.patch(ref, { quota: 7 }) },
  disable: { target: { method: "PATCH" }, mints: false, call: ({ keys, ref }) => keys.disable(ref) },
  enable: { target: { method: "PATCH" }, mints: false, call: ({ keys, ref }) => keys.enable(ref) },
  revoke: { target: { method: "PATCH" }, mints: false, call: ({ keys, ref }) => keys.revoke(ref) },
  delete: { target: { method: "DELETE" }, mints: false, call: ({ keys, ref }) => keys.delete(ref) },
  get: { target: { method: "GET" }, mints: false, call: ({ keys, ref }) => keys.get(ref) },
  list: { target: { method: "GET" }, mints: false, call: ({ keys }) => Stream.runCollect(keys.list()) },
  prepare: { target: { method: "GET" }, mints: false, call: ({ keys, ref }) => keys.prepare(ref) },
  recover: { target: { method: "GET" }, mints: false, call: ({ keys }) => keys.recover(intent) }
}

interface Expectation {
  readonly fault: HttpFaults.Fault
  /** Whether the vendor carries the request out. */
  readonly commits: boolean
  /** How a mint ends. */
  readonly mint: ReasonTag
  /** How every other verb ends; `success` after a repeat. */
  readonly other: ReasonTag | "success"
}

const html = "<html></html>"
const expectations: Record<string, Expectation> = {
  refused: { fault: "refused", commits: false, mint: "ProviderUnavailable", other: "success" },
  hang: { fault: "hang", commits: false, mint: "OutcomeUnknown", other: "success" },
  reset: { fault: "reset", commits: false, mint: "OutcomeUnknown", other: "success" },
  "reset after commit": { fault: "resetAfterCommit", commits: true, mint: "OutcomeUnknown", other: "success" },
  "hang after commit": { fault: "hangAfterCommit", commits: true, mint: "OutcomeUnknown", other: "success" },
  "truncated body": { fault: "truncatedBody", commits: true, mint: "OutcomeUnknown", other: "UnexpectedResponse" },
  "not JSON": { fault: "notJson", commits: true, mint: "OutcomeUnknown", other: "UnexpectedResponse" },
  "empty body": { fault: "emptyBody", commits: true, mint: "OutcomeUnknown", other: "UnexpectedResponse" },
  "empty object": { fault: "emptyObject", commits: true, mint: "OutcomeUnknown", other: "UnexpectedResponse" },
  "429, wait 5 minutes": {
    fault: { status: 429, headers: { "retry-after": "300" } },
    commits: false,
    mint: "RateLimited",
    other: "RateLimited"
  },
  "429, wait 1 second": {
    fault: { status: 429, headers: { "retry-after": "1" } },
    commits: false,
    mint: "RateLimited",
    other: "success"
  },
  "429, no Retry-After": { fault: { status: 429 }, commits: false, mint: "RateLimited", other: "RateLimited" },
  "408": { fault: { status: 408 }, commits: false, mint: "OutcomeUnknown", other: "success" },
  "500": { fault: { status: 500, body: html }, commits: false, mint: "OutcomeUnknown", other: "success" },
  "503 after commit": { fault: { status: 503, commit: true }, commits: true, mint: "OutcomeUnknown", other: "success" },
  redirect: {
    fault: { status: 302, headers: { location: "https://evil.example/" } },
    commits: false,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse"
  }
}

/** Lets time pass until a call has ended. */
const finish = Effect.fnUntraced(function* <A, E>(fiber: Fiber.Fiber<A, E>) {
  for (let second = 0; second < 300 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
  const exit = fiber.pollUnsafe()
  assert(exit !== undefined, "the call hangs")
  return exit
})

const tagOf = (exit: Exit.Exit<unknown, ApiKeyError>): string =>
  Exit.isSuccess(exit)
    ? "success"
    : Result.match(Cause.findError(exit.cause), {
        onFailure: () => "defect or interruption",
        onSuccess: (error) => error.reason._tag
      })

for (const [verb, { call, mints, target }] of Object.entries(verbs)) {
  describe(`${verb}, when something goes wrong`, () => {
    for (const [name, { commits, fault, mint, other }] of Object.entries(expectations)) {
      it.effect(`${name}: ${mints ? mint : other}`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* JetEmailSandbox.JetEmailSandbox
          const faults = yield* HttpFaults.HttpFaults
          const { ref, secret } = yield* keys.create(spec)
          const delivered: Array<IssuedKey> = []
          const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))
          const before = (yield* faults.attempts).length
          yield* faults.inject(fault, target)

          const exit = yield* finish(yield* Effect.forkChild(call({ keys, ref, deliver })))
          assert.strictEqual(tagOf(exit), mints ? mint : other)

          const attempts = (yield* faults.attempts).slice(before)
          assert.isFalse(
            attempts.some(({ url }) => url.includes("evil")),
            "a redirect is not followed"
          )
          if (mints) {
            assert.strictEqual(attempts.length, 1, "a mint is sent once")
            assert.deepStrictEqual(delivered, [])
            const live = (yield* sandbox.keys).filter(({ status }) => status === "active").length
            assert.strictEqual(live, verb === "create" && commits ? 2 : 1)
            assert.strictEqual(yield* sandbox.isLive(Redacted.value(secret)), !(verb === "rotate" && commits))
          } else {
            assert.isAtMost(attempts.length, 3)
            if (verb === "delete" && other === "success") assert.deepStrictEqual(yield* sandbox.keys, [])
            if (verb === "revoke" && other === "success") {
              assert.isFalse(yield* sandbox.isLive(Redacted.value(secret)))
            }
          }
          if (Exit.isFailure(exit)) {
            const error = Result.getOrThrow(Cause.findError(exit.cause))
            assert.deepStrictEqual([error.provider, error.operation], ["jetemail", verb])
            assert.notInclude(JSON.stringify(error), Redacted.value(secret))
          }
        }).pipe(atSandbox)
      )
    }

    if (!mints) {
      it.effect("goes on: ProviderUnavailable after a bounded number of attempts", () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const faults = yield* HttpFaults.HttpFaults
          const { ref } = yield* keys.create(spec)
          const before = (yield* faults.attempts).length
          yield* faults.inject("reset", { ...target, times: 1000 })
          const exit = yield* finish(yield* Effect.forkChild(call({ keys, ref, deliver: () => Effect.void })))
          assert.strictEqual(tagOf(exit), "ProviderUnavailable")
          assert.strictEqual((yield* faults.attempts).length - before, 4)
        }).pipe(atSandbox)
      )
    }
  })
}

describe("a mint with an intent, when something goes wrong", () => {
  for (const verb of ["create", "rotate"] as const) {
    for (const [name, { commits, fault, mint }] of Object.entries(expectations)) {
      const found = commits ? "Recovered" : "NotSeen"
      it.effect(`${verb}, ${name}: ${mint}, and ${found} afterwards`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* JetEmailSandbox.JetEmailSandbox
          const faults = yield* HttpFaults.HttpFaults
          const { ref, secret } = yield* keys.create(spec)
          const intent = yield* keys.prepare(verb === "create" ? "create" : ref)
          yield* faults.inject(fault, { method: "POST" })
          const options = { deliver: () => Effect.void, intent }
          const called = verb === "create" ? keys.create(spec, options) : keys.rotate(ref, options)
          const exit = yield* finish(yield* Effect.forkChild(called))
          assert.strictEqual(tagOf(exit), mint)
          assert(Exit.isFailure(exit))
          const { reason } = Result.getOrThrow(Cause.findError(exit.cause))
          if (reason._tag === "OutcomeUnknown") assert.deepStrictEqual(reason.intent, intent)
          // A 429 shuts the gate for a while.
          yield* TestClock.adjust("6 minutes")
          const recovered = yield* keys.recover(intent)
          assert.strictEqual(recovered._tag, found)
          const live = (yield* sandbox.keys).filter(({ status }) => status === "active")
          assert.lengthOf(live, verb === "create" && commits ? 2 : 1)
          if (recovered._tag !== "Recovered") return
          assert.strictEqual(recovered.attribution, verb === "create" ? "proven" : "unproven")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(recovered.issued.secret)))
          assert.notStrictEqual(Redacted.value(recovered.issued.secret), Redacted.value(secret))
        }).pipe(atSandbox)
      )
    }
  }
})

/** Holds the next request at a point, until it is let go. */
const makeGate = () => {
  const reached = Deferred.makeUnsafe<void>()
  const proceed = Deferred.makeUnsafe<void>()
  let point: "before" | "after" | undefined
  const hold = (here: "before" | "after") =>
    Effect.suspend(() => {
      if (point !== here) return Effect.void
      point = undefined
      return Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(proceed))
    })
  const layer = Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      HttpClient.transform(client, (pass) =>
        Effect.andThen(
          hold("before"),
          Effect.tap(pass, () => hold("after"))
        )
      )
    )
  )
  const arm = (at: "before" | "after") =>
    Effect.sync(() => {
      point = at
    })
  return { arm, layer, proceed, reached }
}

describe("a caller who is interrupted", () => {
  for (const [verb, { call, mints }] of Object.entries(verbs)) {
    for (const point of ["before", "after"] as const) {
      it.effect(`in ${verb}, ${point} the vendor carried it out`, () =>
        Effect.gen(function* () {
          const gate = makeGate()
          const scope = yield* Scope.make()
          const sandbox = yield* JetEmailSandbox.JetEmailSandbox
          const context = yield* Layer.buildWithScope(adapter.pipe(Layer.provide(gate.layer)), scope)
          const keys = yield* Effect.provideContext(ApiKeyService, context)
          const { ref } = yield* keys.create(spec)
          const delivered: Array<IssuedKey> = []
          const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))

          yield* gate.arm(point)
          const caller = yield* Effect.forkChild(call({ keys, ref, deliver }))
          yield* Deferred.await(gate.reached)
          yield* Fiber.interrupt(caller)
          yield* Deferred.succeed(gate.proceed, undefined)
          yield* Scope.close(scope, Exit.void)

          const requests = (yield* sandbox.requests).length
          yield* TestClock.adjust("10 minutes")
          assert.strictEqual((yield* sandbox.requests).length, requests, "nothing is sent after the layer has closed")
          const live = (yield* sandbox.keys).filter(({ status }) => status === "active").map(({ token }) => token)
          if (!mints) return
          const [key, ...others] = delivered
          assert(key !== undefined && others.length === 0, "a mint is delivered though its caller left")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(key.secret)))
          assert.strictEqual(live.length, verb === "create" ? 2 : 1)
        }).pipe(Effect.provide(JetEmailSandbox.layerClient()))
      )
    }
  }
})

describe("what a span shows of the exchanges with the vendor", () => {
  const template = "/outbound/transactional-keys"
  const exchange = (method: string, path: string, status?: number) => ({
    "http.request.method": method,
    "url.template": path,
    ...(status === undefined ? {} : { "http.response.status_code": status })
  })
  const patched = (...statuses: ReadonlyArray<number | undefined>) =>
    statuses.map((status) => exchange("PATCH", template, status))
  const rotated = (status?: number) => [exchange("POST", `${template}/rotate`, status)]

  const rows: ReadonlyArray<readonly [Verb, ReadonlyArray<HttpFaults.Fault>, ReadonlyArray<object>]> = [
    ["patch", [], patched(200)],
    ["patch", [{ status: 500 }], patched(500, 200)],
    ["patch", ["reset"], patched(undefined, 200)],
    // The status of an earlier one does not stay.
    ["patch", [{ status: 500 }, "reset", "reset", "reset"], patched(500, undefined, undefined, undefined)],
    ["patch", ["hang"], patched(undefined, 200)],
    ["rotate", [], rotated(200)],
    ["rotate", ["hangAfterCommit"], rotated()],
    ["rotate", ["truncatedBody"], rotated(200)],
    ["rotate", [{ status: 429 }], rotated(429)]
  ]
  /** A witness of one call, and what its span shows: each exchange, and the last of them as its attributes. */
  const recording = () => {
    const { layer, spans } = Witness.make(inspect)
    const shows = (expected: ReadonlyArray<object>) => {
      const [span, ...others] = spans
      assert(span instanceof Tracer.NativeSpan && others.length === 0)
      assert.deepStrictEqual(
        span.events.map(([name, , attributes]) => ({ name, attributes })),
        expected.map((attributes) => ({ name: "http", attributes }))
      )
      const last = Array.from(span.attributes).filter(([key]) => !key.startsWith("api_key."))
      assert.deepStrictEqual(Object.fromEntries(last), expected.at(-1))
    }
    return { shows, layer }
  }

  for (const [verb, struck, expected] of rows) {
    it.effect(`${verb}, ${struck.length === 0 ? "all well" : JSON.stringify(struck)}`, () => {
      const { layer, shows } = recording()
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const faults = yield* HttpFaults.HttpFaults
        const { ref } = yield* keys.create(spec)
        for (const fault of struck) yield* faults.inject(fault)
        const called = verbs[verb].call({ keys, ref, deliver: () => Effect.void })
        yield* finish(yield* Effect.forkChild(Effect.provide(called, layer)))
        shows(expected)
      }).pipe(atSandbox)
    })
  }

  for (const broken of ["event", "attribute", "end"] as const) {
    it.effect(`a tracer whose ${broken} throws takes no key away`, () => {
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          const attribute = span.attribute.bind(span)
          const fail = () => {
            throw new Error("the exporter is broken")
          }
          // Before the mint is sent it may do as it likes.
          const attributed = (key: string, value: unknown) => (key.startsWith("http") ? fail() : attribute(key, value))
          return Object.assign(span, { [broken]: broken === "attribute" ? attributed : fail })
        }
      })
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { ref, secret } = yield* Effect.withTracer(keys.create(spec), tracer)
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
        const { issued } = yield* Effect.withTracer(keys.rotate(ref), tracer)
        assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      }).pipe(atSandbox)
    })
  }

  it.effect("one that its caller has left", () => {
    const { layer, shows } = recording()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const faults = yield* HttpFaults.HttpFaults
      const { ref } = yield* keys.create(spec)
      yield* faults.inject("hang")
      const caller = yield* Effect.forkChild(Effect.provide(keys.patch(ref, { quota: 7 }), layer))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      shows(patched(undefined))
    }).pipe(atSandbox)
  })
})
