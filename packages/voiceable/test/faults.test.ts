import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyRef, KeySpec, ReasonTag, Verb } from "@effect-api-keys/core"
import { type ApiKeyError, ApiKeyService, MintIntent } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const spec: KeySpec = { name: "acme", origins: ["https://acme.example"], resources: ["123"] }

const adapter = Layer.unwrap(
  Effect.map(VoiceableSandbox.VoiceableSandbox, ({ credential }) =>
    Voiceable.layer({
      apiKey: credential,
      baseUrl: "https://voiceable.example/api/v1",
      defaults: { origins: "any", resources: "any", keyType: "private" }
    })
  )
)

const faulty = adapter.pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(VoiceableSandbox.layerClient()))

/** The secrets of the keys beside the manager's own. */
const liveSecrets = Effect.flatMap(VoiceableSandbox.VoiceableSandbox, ({ keys }) =>
  Effect.map(keys, (all) => all.filter(({ id }) => id !== 1).map(({ keyValue }) => keyValue))
)

/** What a create was prepared with, some other day. */
const intent = new MintIntent({
  provider: "voiceable",
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

/** Every verb that the vendor has, the request that a fault strikes, and of what kind it is. */
const verbs: Record<
  Exclude<Verb, "disable" | "enable">,
  {
    readonly method: "GET" | "POST" | "PUT" | "DELETE"
    readonly kind: "mint" | "remove" | "other"
    readonly call: (called: Called) => Effect.Effect<unknown, ApiKeyError>
  }
> = {
  create: { method: "POST", kind: "mint", call: ({ deliver, keys }) => keys.create(spec, { deliver }) },
  rotate: { method: "POST", kind: "mint", call: ({ deliver, keys, ref }) => keys.rotate(ref, { deliver }) },
  patch: { method: "PUT", kind: "other", call: ({ keys, ref }) => keys.patch(ref, { name: "b" }) },
  revoke: { method: "DELETE", kind: "remove", call: ({ keys, ref }) => keys.revoke(ref) },
  delete: { method: "DELETE", kind: "remove", call: ({ keys, ref }) => keys.delete(ref) },
  get: { method: "GET", kind: "other", call: ({ keys, ref }) => keys.get(ref) },
  list: { method: "GET", kind: "other", call: ({ keys }) => Stream.runCollect(keys.list()) },
  prepare: { method: "GET", kind: "other", call: ({ keys, ref }) => keys.prepare(ref) },
  recover: { method: "GET", kind: "other", call: ({ keys }) => keys.recover(intent) }
}

interface Expectation {
  readonly fault: HttpFaults.Fault
  /** Whether the vendor carries the request out. */
  readonly commits: boolean
  /** How a mint ends. */
  readonly mint: ReasonTag
  /** How every other verb ends; `success` after a repeat. */
  readonly other: ReasonTag | "success"
  /** How a removal ends, where that differs: what its reply leaves open is looked up. */
  readonly remove?: ReasonTag | "success"
}

const html = "<html></html>"
const evil = { location: "https://evil.example/" }
const expectations: Record<string, Expectation> = {
  refused: { fault: "refused", commits: false, mint: "ProviderUnavailable", other: "success" },
  hang: { fault: "hang", commits: false, mint: "OutcomeUnknown", other: "success" },
  reset: { fault: "reset", commits: false, mint: "OutcomeUnknown", other: "success" },
  "reset after commit": { fault: "resetAfterCommit", commits: true, mint: "OutcomeUnknown", other: "success" },
  "hang after commit": { fault: "hangAfterCommit", commits: true, mint: "OutcomeUnknown", other: "success" },
  "a body that is cut off": {
    fault: { status: 200, body: `{"status":{"code":200,"message":"API key`, commit: true },
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
  },
  "not JSON": {
    fault: "notJson",
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
  },
  "empty body": {
    fault: "emptyBody",
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
  },
  "empty object": {
    fault: "emptyObject",
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
  },
  "204 after commit": {
    fault: { status: 204, commit: true },
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
  },
  "a page, and nothing done": {
    fault: { status: 200, body: html },
    commits: false,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse"
  },
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
  "404 of a proxy": {
    fault: { status: 404, body: html },
    commits: false,
    mint: "InvalidRequest",
    other: "InvalidRequest"
  },
  "redirect, and nothing done": {
    fault: { status: 302, headers: evil },
    commits: false,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse"
  },
  "redirect after commit": {
    fault: { status: 302, headers: evil, commit: true },
    commits: true,
    mint: "OutcomeUnknown",
    other: "UnexpectedResponse",
    remove: "success"
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

for (const [verb, { call, kind, method }] of Object.entries(verbs)) {
  describe(`${verb}, when something goes wrong`, () => {
    for (const [name, { commits, fault, mint, other, remove = other }] of Object.entries(expectations)) {
      const expected = { mint, other, remove }[kind]
      it.effect(`${name}: ${expected}`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* VoiceableSandbox.VoiceableSandbox
          const faults = yield* HttpFaults.HttpFaults
          const { ref, secret } = yield* keys.create(spec)
          const delivered: Array<IssuedKey> = []
          const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))
          const before = (yield* faults.attempts).length
          yield* faults.inject(fault, { method })

          const exit = yield* finish(yield* Effect.forkChild(call({ keys, ref, deliver })))
          assert.strictEqual(tagOf(exit), expected)

          const attempts = (yield* faults.attempts).slice(before)
          assert.isFalse(
            attempts.some(({ url }) => url.includes("evil")),
            "a redirect is not followed"
          )
          const live = yield* liveSecrets
          if (kind === "mint") {
            assert.strictEqual(attempts.filter(({ method }) => method === "POST").length, 1, "a mint is sent once")
            assert.deepStrictEqual(delivered, [])
            // What was minted is an orphan, and the old key of a rotation is not touched.
            assert.lengthOf(live, commits ? 2 : 1)
            assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          } else {
            assert.isAtMost(attempts.length, 3)
            if (kind === "remove") assert.deepStrictEqual(live, expected === "success" ? [] : [Redacted.value(secret)])
          }
          if (Exit.isFailure(exit)) {
            const error = Result.getOrThrow(Cause.findError(exit.cause))
            assert.deepStrictEqual([error.provider, error.operation], ["voiceable", verb])
            assert.notInclude(JSON.stringify(error), Redacted.value(secret))
          }
        }).pipe(Effect.provide(faulty))
      )
    }

    if (kind !== "mint") {
      it.effect("goes on: ProviderUnavailable after a bounded number of attempts", () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const faults = yield* HttpFaults.HttpFaults
          const { ref } = yield* keys.create(spec)
          const before = (yield* faults.attempts).length
          yield* faults.inject("reset", { method, times: 1000 })
          const exit = yield* finish(yield* Effect.forkChild(call({ keys, ref, deliver: () => Effect.void })))
          assert.strictEqual(tagOf(exit), "ProviderUnavailable")
          // A patch reads the key first, once.
          assert.strictEqual((yield* faults.attempts).length - before, verb === "patch" ? 5 : 4)
        }).pipe(Effect.provide(faulty))
      )
    }
  })
}

describe("a mint with an intent, when something goes wrong", () => {
  for (const verb of ["create", "rotate"] as const) {
    for (const [name, { commits, fault, mint }] of Object.entries(expectations)) {
      const found = commits ? "Orphaned" : "NotSeen"
      it.effect(`${verb}, ${name}: ${mint}, and ${found} afterwards`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* VoiceableSandbox.VoiceableSandbox
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
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          if (recovered._tag !== "Orphaned") return assert.lengthOf(yield* liveSecrets, 1)
          assert.deepStrictEqual([recovered.inert, recovered.revocable], [false, true])
          assert.lengthOf(yield* liveSecrets, 2)
          yield* keys.revoke(Option.getOrThrow(recovered.ref))
          assert.deepStrictEqual(yield* liveSecrets, [Redacted.value(secret)])
          assert.strictEqual((yield* keys.recover(intent))._tag, "NotSeen")
        }).pipe(Effect.provide(faulty))
      )
    }
  }
})

describe("rotate, when something goes wrong beside its mint", () => {
  for (const [name, { fault, other, remove = other }] of Object.entries(expectations)) {
    it.effect(`in reading the old key, ${name}: ${other}`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const faults = yield* HttpFaults.HttpFaults
        const { ref, secret } = yield* keys.create(spec)
        yield* faults.inject(fault, { method: "GET" })
        const exit = yield* finish(yield* Effect.forkChild(keys.rotate(ref, { deliver: () => Effect.void })))
        assert.strictEqual(tagOf(exit), other)
        const posts = (yield* faults.attempts).filter(({ method }) => method === "POST")
        assert.lengthOf(posts, other === "success" ? 2 : 1)
        assert.lengthOf(yield* liveSecrets, 1)
        assert.strictEqual(yield* sandbox.isLive(Redacted.value(secret)), other !== "success")
      }).pipe(Effect.provide(faulty))
    )

    it.effect(`in deleting the old key, ${name}: ${remove}`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const faults = yield* HttpFaults.HttpFaults
        const { ref, secret } = yield* keys.create(spec)
        yield* faults.inject(fault, { method: "DELETE" })
        const exit = yield* finish(yield* Effect.forkChild(keys.rotate(ref, { deliver: () => Effect.void })))
        assert(Exit.isSuccess(exit), "the successor was delivered: the call succeeds")
        const { incomplete, issued, previous } = exit.value
        assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
        const lives = yield* sandbox.isLive(Redacted.value(secret))
        assert.deepStrictEqual([previous, lives], remove === "success" ? ["retired", false] : ["live", true])
        if (remove === "success") return assert.isUndefined(incomplete)
        assert(incomplete?.step === "retire")
        assert.strictEqual(incomplete.error.reason._tag, remove)
      }).pipe(Effect.provide(faulty))
    )
  }
})

describe("a key that was not delivered", () => {
  for (const [name, { fault, other, remove = other }] of Object.entries(expectations)) {
    it.effect(`is said to live where it does: ${name}, when it is taken back`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const faults = yield* HttpFaults.HttpFaults
        yield* faults.inject(fault, { method: "DELETE" })
        const deliver = () => Effect.fail("vault down" as const)
        const exit = yield* finish(yield* Effect.forkChild(keys.create(spec, { deliver })))
        assert(Exit.isFailure(exit))
        const errors = exit.cause.reasons.flatMap((reason) => (Cause.isFailReason(reason) ? [reason.error] : []))
        assert.strictEqual(errors[0], "vault down")
        const said = errors.some(
          (error) =>
            error !== "vault down" && error.reason._tag === "PartiallyApplied" && error.reason.revoked === false
        )
        const live = (yield* liveSecrets).length
        assert.deepStrictEqual([live, said], remove === "success" ? [0, false] : [1, true])
      }).pipe(Effect.provide(faulty))
    )
  }
})

/** Holds the next request of this method at a point, until it is let go. */
const makeGate = (method: string) => {
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
      HttpClient.transform(client, (pass, request) =>
        request.method === method
          ? Effect.andThen(
              hold("before"),
              Effect.tap(pass, () => hold("after"))
            )
          : pass
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
  const interrupted = Effect.fnUntraced(function* (
    method: string,
    point: "before" | "after",
    call: (called: Called) => Effect.Effect<unknown, ApiKeyError>
  ) {
    const gate = makeGate(method)
    const scope = yield* Scope.make()
    const sandbox = yield* VoiceableSandbox.VoiceableSandbox
    const context = yield* Layer.buildWithScope(adapter.pipe(Layer.provide(gate.layer)), scope)
    const keys = yield* Effect.provideContext(ApiKeyService, context)
    const old = yield* keys.create(spec)
    const delivered: Array<IssuedKey> = []
    const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))

    yield* gate.arm(point)
    const caller = yield* Effect.forkChild(call({ keys, ref: old.ref, deliver }))
    yield* Deferred.await(gate.reached)
    yield* Fiber.interrupt(caller)
    yield* Deferred.succeed(gate.proceed, undefined)
    yield* Scope.close(scope, Exit.void)

    const requests = (yield* sandbox.requests).length
    yield* TestClock.adjust("10 minutes")
    assert.strictEqual((yield* sandbox.requests).length, requests, "nothing is sent after the layer has closed")
    return { delivered, live: yield* liveSecrets, old: Redacted.value(old.secret) }
  })

  for (const [verb, { call, kind, method }] of Object.entries(verbs)) {
    for (const point of ["before", "after"] as const) {
      it.effect(`in ${verb}, ${point} the vendor carried it out`, () =>
        Effect.gen(function* () {
          const { delivered, live, old } = yield* interrupted(method, point, call)
          if (kind !== "mint") {
            return assert.deepStrictEqual(live, kind === "remove" && point === "after" ? [] : [old])
          }
          const [key, ...others] = delivered
          assert(key !== undefined && others.length === 0, "a mint is delivered though its caller left")
          const fresh = Redacted.value(key.secret)
          assert.deepStrictEqual(live, verb === "create" ? [old, fresh] : [fresh])
        }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
      )
    }
  }

  for (const point of ["before", "after"] as const) {
    it.effect(`in reading the old key of a rotation, ${point} the vendor answered: nothing is minted`, () =>
      Effect.gen(function* () {
        const { delivered, live, old } = yield* interrupted("GET", point, verbs.rotate.call)
        assert.deepStrictEqual([delivered, live], [[], [old]])
      }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
    )

    it.effect(`in deleting the old key of a rotation, ${point} the vendor did: it is deleted all the same`, () =>
      Effect.gen(function* () {
        const { delivered, live } = yield* interrupted("DELETE", point, verbs.rotate.call)
        assert.deepStrictEqual(
          live,
          delivered.map(({ secret }) => Redacted.value(secret))
        )
        assert.lengthOf(live, 1)
      }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
    )

    it.effect(`in a mint without deliver, ${point} the vendor carried it out: nobody holds it, and it is deleted`, () =>
      Effect.gen(function* () {
        const created = yield* interrupted("POST", point, ({ keys }) => keys.create(spec))
        assert.deepStrictEqual(created.live, [created.old])
      }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
    )

    it.effect(
      `in a rotation without deliver, ${point} the vendor minted: the successor is deleted, the old key not`,
      () =>
        Effect.gen(function* () {
          const rotated = yield* interrupted("POST", point, ({ keys, ref }) => keys.rotate(ref))
          assert.deepStrictEqual(rotated.live, [rotated.old])
        }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
    )
  }
})
