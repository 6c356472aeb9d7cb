import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyRef, KeySpec, ReasonTag, Verb } from "@effect-api-keys/core"
import { type ApiKeyError, ApiKeyService, MintIntent } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
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
import { TestClock } from "effect/testing"

const spec: KeySpec = { name: "acme", scopes: ["/email/send"], rate: { max: 100, per: { hours: 1 } } }

const adapter = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
    MailerPatch.layer({ apiKey: credential, defaults: { rate: "unlimited" } })
  )
)
const faulty = adapter.pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(MailerPatchSandbox.layerClient()))

/** What a create was prepared with, some other day. */
const intent = new MintIntent({
  provider: "smtp2go",
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
    readonly target: HttpFaults.Target & { readonly url: string }
    readonly mints: boolean
    readonly call: (called: Called) => Effect.Effect<unknown, ApiKeyError>
  }
> = {
  create: { target: { url: "/add" }, mints: true, call: ({ deliver, keys }) => keys.create(spec, { deliver }) },
  rotate: { target: { url: "/add" }, mints: true, call: ({ deliver, keys, ref }) => keys.rotate(ref, { deliver }) },
  patch: { target: { url: "/edit" }, mints: false, call: ({ keys, ref }) => keys.patch(ref, { name: "acme 2" }) },
  disable: { target: { url: "/edit" }, mints: false, call: ({ keys, ref }) => keys.disable(ref) },
  enable: { target: { url: "/edit" }, mints: false, call: ({ keys, ref }) => keys.enable(ref) },
  revoke: { target: { url: "/edit" }, mints: false, call: ({ keys, ref }) => keys.revoke(ref) },
  delete: { target: { url: "/remove" }, mints: false, call: ({ keys, ref }) => keys.delete(ref) },
  get: { target: { url: "/view" }, mints: false, call: ({ keys, ref }) => keys.get(ref) },
  list: { target: { url: "/view" }, mints: false, call: ({ keys }) => Stream.runCollect(keys.list()) },
  prepare: { target: { url: "/view" }, mints: false, call: ({ keys, ref }) => keys.prepare(ref) },
  recover: { target: { url: "/view" }, mints: false, call: ({ keys }) => keys.recover(intent) }
}

/** Those that ask for no key, but for all of them. */
const lists: ReadonlySet<string> = new Set(["list", "prepare", "recover"])

interface Expectation {
  readonly fault: HttpFaults.Fault
  /** Whether the vendor carries the request out. */
  readonly commits: boolean
  /** How a mint ends. */
  readonly mint: ReasonTag | "success"
  /** How every other verb ends; `success` after a repeat. */
  readonly other: ReasonTag | "success"
  /** How a removal ends, where a look at the key decides. */
  readonly remove?: ReasonTag | "success"
  /** How a list ends, which asks for no key. */
  readonly list?: ReasonTag
}

const html = "<html></html>"
const said = (error: string, code = "API_EXCEPTION") =>
  JSON.stringify({ request_id: "1", data: { error, error_code: `E_ApiResponseCodes.${code}` } })
const lost = { mint: "OutcomeUnknown", other: "success" } as const
const unreadable = { mint: "OutcomeUnknown", other: "UnexpectedResponse", remove: "success" } as const

const expectations: Record<string, Expectation> = {
  refused: { fault: "refused", commits: false, mint: "ProviderUnavailable", other: "success" },
  hang: { fault: "hang", commits: false, ...lost },
  reset: { fault: "reset", commits: false, ...lost },
  "reset after commit": { fault: "resetAfterCommit", commits: true, ...lost },
  "hang after commit": { fault: "hangAfterCommit", commits: true, ...lost },
  // The key stands in the first half of the reply to add.
  "truncated body": { fault: "truncatedBody", commits: true, ...unreadable, mint: "success" },
  "not JSON": { fault: "notJson", commits: true, ...unreadable },
  "empty body": { fault: "emptyBody", commits: true, ...unreadable },
  "empty object": { fault: "emptyObject", commits: true, ...unreadable },
  "200, not the vendor's": {
    fault: { status: 200, body: html },
    commits: false,
    ...unreadable,
    remove: "UnexpectedResponse"
  },
  "200 with an error": {
    fault: { status: 200, body: said("no") },
    commits: false,
    ...unreadable,
    remove: "UnexpectedResponse"
  },
  "204": { fault: { status: 204, commit: true }, commits: true, ...unreadable },
  "400, not the vendor's": {
    fault: { status: 400, body: html },
    commits: false,
    mint: "InvalidRequest",
    other: "InvalidRequest"
  },
  "401": { fault: { status: 401 }, commits: false, mint: "AuthenticationFailed", other: "AuthenticationFailed" },
  "403, not the vendor's": {
    fault: { status: 403, body: html },
    commits: false,
    mint: "PermissionDenied",
    other: "PermissionDenied"
  },
  "404, not the vendor's": {
    fault: { status: 404, body: html },
    commits: false,
    mint: "InvalidRequest",
    other: "InvalidRequest"
  },
  "404, the vendor's": {
    fault: { status: 404, body: said("no such key") },
    commits: false,
    mint: "InvalidRequest",
    other: "KeyNotFound",
    list: "InvalidRequest"
  },
  "413": { fault: { status: 413 }, commits: false, mint: "InvalidRequest", other: "InvalidRequest" },
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
  "408": { fault: { status: 408 }, commits: false, ...lost },
  "500": { fault: { status: 500, body: html }, commits: false, ...lost },
  "500, the vendor's": { fault: { status: 500, body: said("The request failed") }, commits: false, ...lost },
  "500, of the credential": {
    fault: { status: 500, body: said("An API User matching the passed 'api_key' was not found") },
    commits: false,
    mint: "AuthenticationFailed",
    other: "AuthenticationFailed"
  },
  "503 after commit": { fault: { status: 503, commit: true }, commits: true, ...lost },
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

/** The keys but the manager's. */
const minted = Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, ({ keys }) =>
  Effect.map(keys, (all) => all.slice(1))
)
const live = Effect.map(minted, (all) => all.filter(({ status }) => status === "allowed").length)

for (const [verb, { call, mints, target }] of Object.entries(verbs)) {
  describe(`${verb}, when something goes wrong`, () => {
    for (const [name, { commits, fault, mint, other, remove = other, list = other }] of Object.entries(expectations)) {
      const expected = mints ? mint : verb === "delete" ? remove : lists.has(verb) ? list : other
      it.effect(`${name}: ${expected}`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
          const faults = yield* HttpFaults.HttpFaults
          const { ref, secret } = yield* keys.create(spec)
          const delivered: Array<IssuedKey> = []
          const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))
          const before = (yield* faults.attempts).length
          yield* faults.inject(fault, target)

          const exit = yield* finish(yield* Effect.forkChild(call({ keys, ref, deliver })))
          assert.strictEqual(tagOf(exit), expected)

          const all = (yield* faults.attempts).slice(before)
          assert.isFalse(
            all.some(({ url }) => url.includes("evil")),
            "a redirect is not followed"
          )
          const attempts = all.filter(({ url }) => url.includes(target.url))
          const isLive = yield* sandbox.isLive(Redacted.value(secret))
          if (mints) {
            assert.strictEqual(attempts.length, 1, "a mint is sent once")
            assert.strictEqual(delivered.length, expected === "success" ? 1 : 0)
            assert.strictEqual((yield* minted).length, commits ? 2 : 1)
            // A lost successor is blocked, so that nobody's key is live.
            assert.strictEqual(yield* live, verb === "create" && commits ? 2 : 1)
            assert.strictEqual(isLive, !(verb === "rotate" && expected === "success"))
          } else {
            assert.isAtMost(attempts.length, 2)
            if (verb === "delete" && expected === "success") {
              assert.deepStrictEqual(yield* minted, [])
            } else if (expected === "success") {
              assert.strictEqual(isLive, verb !== "revoke" && verb !== "disable")
            } else if (!commits) {
              assert.isTrue(isLive)
            }
          }
          if (Exit.isFailure(exit)) {
            const error = Result.getOrThrow(Cause.findError(exit.cause))
            assert.deepStrictEqual([error.provider, error.operation], ["smtp2go", verb])
            assert.notInclude(JSON.stringify(error), Redacted.value(secret))
          }
        }).pipe(Effect.provide(faulty))
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
        }).pipe(Effect.provide(faulty))
      )
    }
  })
}

describe("a mint with an intent, when something goes wrong", () => {
  for (const verb of ["create", "rotate"] as const) {
    for (const [name, { commits, fault, mint }] of Object.entries(expectations)) {
      const found = commits && mint !== "success" ? "Orphaned" : "NotSeen"
      it.effect(`${verb}, ${name}: ${mint}, and ${found} afterwards`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
          const faults = yield* HttpFaults.HttpFaults
          const { ref, secret } = yield* keys.create(spec)
          const intent = yield* keys.prepare(verb === "create" ? "create" : ref)
          yield* faults.inject(fault, { url: "/add" })
          const options = { deliver: () => Effect.void, intent }
          const called = verb === "create" ? keys.create(spec, options) : keys.rotate(ref, options)
          const exit = yield* finish(yield* Effect.forkChild(called))
          assert.strictEqual(tagOf(exit), mint)
          if (Exit.isFailure(exit)) {
            const { reason } = Result.getOrThrow(Cause.findError(exit.cause))
            if (reason._tag === "OutcomeUnknown") assert.deepStrictEqual(reason.intent, intent)
          }
          // A 429 shuts the gate for a while.
          yield* TestClock.adjust("6 minutes")
          const recovered = yield* keys.recover(intent)
          assert.strictEqual(recovered._tag, found)
          if (mint !== "success") {
            // Blocked, so that the key that nobody holds works for nobody.
            assert.strictEqual(yield* live, 1)
            assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          }
          if (recovered._tag !== "Orphaned") return
          assert.deepStrictEqual([recovered.inert, recovered.revocable], [true, false])
          const orphan = (yield* minted).find(({ username }) => username === recovered.handle)
          assert.strictEqual(orphan?.description, `acme ${intent.marker}`)
        }).pipe(Effect.provide(faulty))
      )
    }
  }
})

describe("a rotation, when something goes wrong before or after its mint", () => {
  const struck = Effect.fnUntraced(function* (fault: HttpFaults.Fault, target: HttpFaults.Target) {
    const keys = yield* ApiKeyService
    const faults = yield* HttpFaults.HttpFaults
    const { ref, secret } = yield* keys.create(spec)
    const delivered: Array<IssuedKey> = []
    yield* faults.inject(fault, target)
    const exit = yield* finish(
      yield* Effect.forkChild(keys.rotate(ref, { deliver: (key) => Effect.sync(() => void delivered.push(key)) }))
    )
    return { delivered, exit, secret: Redacted.value(secret) }
  })

  for (const [name, { commits: _, fault, other }] of Object.entries(expectations)) {
    it.effect(`${name}, at the view: ${other}`, () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { delivered, exit, secret } = yield* struck(fault, { url: "/view" })
        assert.strictEqual(tagOf(exit), other)
        assert.strictEqual(delivered.length, other === "success" ? 1 : 0)
        assert.strictEqual(yield* live, 1)
        if (other !== "success") {
          assert.lengthOf(yield* minted, 1, "nothing was minted")
          assert.isTrue(yield* sandbox.isLive(secret))
        }
      }).pipe(Effect.provide(faulty))
    )

    it.effect(`${name}, at the activation: ${other === "success" ? "goes on" : "incomplete"}`, () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { delivered, exit, secret } = yield* struck(fault, { url: "/edit" })
        assert(Exit.isSuccess(exit), "the key is out: the result must be too")
        const { incomplete, issued, previous } = exit.value
        assert.deepStrictEqual(delivered, [issued])
        const oldIsLive = yield* sandbox.isLive(secret)
        if (other === "success") {
          assert.deepStrictEqual([incomplete, previous, oldIsLive], [undefined, "retired", false])
          assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
        } else {
          assert(incomplete?.step === "activate")
          assert.strictEqual(incomplete.error.reason._tag, other)
          assert.deepStrictEqual([previous, oldIsLive], ["live", true])
        }
      }).pipe(Effect.provide(faulty))
    )
  }
})

/** Holds the next request of an endpoint at a point, until it is let go. */
const makeGate = (url: string) => {
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
        request.url.includes(url)
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
  for (const [verb, { call, mints, target }] of Object.entries(verbs)) {
    // A rotation's other steps, too: the look before it mints, and what follows the delivery.
    for (const url of verb === "rotate" ? ["/view", "/add", "/edit"] : [target.url]) {
      for (const point of ["before", "after"] as const) {
        it.effect(`in ${verb}, at ${url}, ${point} the vendor carried it out`, () =>
          Effect.gen(function* () {
            const gate = makeGate(url)
            const scope = yield* Scope.make()
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const context = yield* Layer.buildWithScope(adapter.pipe(Layer.provide(gate.layer)), scope)
            const keys = yield* Effect.provideContext(ApiKeyService, context)
            const { ref, secret } = yield* keys.create(spec)
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
            if (!mints) return
            if (url === "/view") {
              assert.deepStrictEqual(delivered, [])
              assert.lengthOf(yield* minted, 1, "nothing was minted yet")
              assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
              return
            }
            const [key, ...others] = delivered
            assert(key !== undefined && others.length === 0, "a mint is delivered though its caller left")
            assert.isTrue(yield* sandbox.isLive(Redacted.value(key.secret)))
            assert.strictEqual(yield* live, verb === "create" ? 2 : 1)
          }).pipe(Effect.provide(MailerPatchSandbox.layerClient()))
        )
      }
    }
  }

  for (const verb of ["create", "rotate"] as const) {
    for (const point of ["before", "after"] as const) {
      it.effect(
        `in ${verb} without a delivery, ${point} the vendor carried it out: nobody holds the key, so it is removed`,
        () =>
          Effect.gen(function* () {
            const gate = makeGate("/add")
            const scope = yield* Scope.make()
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const context = yield* Layer.buildWithScope(adapter.pipe(Layer.provide(gate.layer)), scope)
            const keys = yield* Effect.provideContext(ApiKeyService, context)
            const { ref, secret } = yield* keys.create(spec)
            yield* gate.arm(point)
            const caller = yield* Effect.forkChild(
              verb === "create" ? Effect.asVoid(keys.create(spec)) : Effect.asVoid(keys.rotate(ref))
            )
            yield* Deferred.await(gate.reached)
            yield* Fiber.interrupt(caller)
            yield* Deferred.succeed(gate.proceed, undefined)
            yield* Scope.close(scope, Exit.void)
            assert.lengthOf(yield* minted, 1)
            assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          }).pipe(Effect.provide(MailerPatchSandbox.layerClient()))
      )
    }
  }
})
