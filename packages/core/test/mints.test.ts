import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { type IssuedKey, KeyRef } from "../src/ApiKey.ts"
import type { ApiKeyDriver, KeyRecord, Minted, PreparedMint } from "../src/ApiKeyDriver.ts"
import type { ApiKeyError } from "../src/ApiKeyError.ts"
import { ApiKeyService, type KeySpec } from "../src/ApiKeyService.ts"
import { Urgent } from "../src/internal/limiter.ts"
import { expectError, recordingLogger, recordingTracer } from "./support.ts"

// At many vendors an address is the secret: neither may be told.
const address = "api_test_new_address"
const oldAddress = "api_test_old_address"
const secret = "api_test_new_secret"
const handle = "acme_9"

const ref = new KeyRef({ provider: "acme", account: "default", value: Redacted.make(oldAddress) })

type Noting = <A>(call: string, effect: Effect.Effect<A, ApiKeyError>) => Effect.Effect<A, ApiKeyError>

/** A driver whose mints, new keys and successors, end with `minted`; each of its calls is written down as it is run. */
const fake = (minted: Minted, parts: (noting: Noting) => Partial<ApiKeyDriver> = () => ({})) => {
  const calls: Array<string> = []
  const noting: Noting = (call, effect) =>
    Effect.flatMap(Urgent, (urgent) => {
      calls.push(urgent ? `${call}, urgently` : call)
      return effect
    })
  const send = noting("mint", Effect.succeed(minted))
  const driver: ApiKeyDriver = {
    provider: "acme",
    account: "default",
    restrictions: {},
    defaults: {},
    name: Result.succeed,
    address: Result.succeed,
    handle: (given) => (given === address ? handle : "acme_1"),
    mint: () => Effect.succeed({ send }),
    remove: (given) => noting(`remove ${given}`, Effect.void),
    rotation: {
      successor: () =>
        Effect.succeed({
          spec: { name: "a", restrictions: {} },
          send,
          activate: (given) => noting(`activate ${given}`, Effect.void)
        }),
      retire: (given) => noting(`retire ${given}`, Effect.void)
    },
    ...parts(noting)
  }
  const { layer: logger, logged } = recordingLogger()
  const { spans, tracer } = recordingTracer()
  return {
    calls,
    logged,
    service: ApiKeyService.layer(Effect.succeed(driver)),
    /** With the driver's service, and everything that is logged or traced recorded. */
    run: <A, E>(effect: Effect.Effect<A, E, ApiKeyService>) =>
      effect.pipe(
        Effect.provide(Layer.merge(ApiKeyService.layer(Effect.succeed(driver)), logger)),
        Effect.withTracer(tracer)
      ),
    observed: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      effect.pipe(Effect.provide(logger), Effect.withTracer(tracer)),
    told: () => render([logged, spans])
  }
}

const render = (value: unknown) => inspect(value, { depth: Infinity, showHidden: true, customInspect: false })

/** The verbs that mint a key beside the others. */
const verbs = {
  create: (keys: ApiKeyService["Service"], deliver?: (key: IssuedKey) => Effect.Effect<void>) =>
    Effect.asVoid(keys.create({ name: "a" }, deliver === undefined ? {} : { deliver })),
  rotate: (keys: ApiKeyService["Service"], deliver?: (key: IssuedKey) => Effect.Effect<void>) =>
    Effect.asVoid(keys.rotate(ref, deliver === undefined ? {} : { deliver }))
} as const

/** What a reply shows of a key. */
const echo = (parts: Partial<KeyRecord>): KeyRecord => ({
  handle,
  status: "active",
  providerStatus: "on",
  restrictions: {},
  ...parts
})

const secretless: Minted = { address, secret: "", echo: echo({ name: "a" }) }

describe("a mint whose reply names a key and not its secret", () => {
  for (const [verb, call] of Object.entries(verbs)) {
    describe(verb, () => {
      for (const [what, minted] of [
        ["neither", { address: "", secret: "" }],
        ["the secret and not the key", { address: "", secret }],
        // It may be any key of the account, the manager's own among them, even one of the name that was asked for.
        ["a key", { address, secret: "" }],
        ["a key of the name that was asked for", secretless]
      ] as const) {
        it.effect(`one that names ${what}: nobody knows, and nothing is removed`, () => {
          const { calls, logged, run, told } = fake(minted)
          return Effect.gen(function* () {
            const keys = yield* ApiKeyService
            for (const deliver of [undefined, () => Effect.die("delivered")]) {
              calls.length = 0
              const error = yield* expectError(call(keys, deliver), "OutcomeUnknown")
              assert.match(error.message, /the reply holds no secret/)
              const named = minted.address === "" ? (verb === "create" ? undefined : "acme_1") : handle
              assert.strictEqual(error.handle, named, "the new key's, where there is one to look at")
              assert.deepStrictEqual(calls, ["mint"])
              for (const hidden of [secret, address, oldAddress]) assert.notInclude(render(error), hidden)
            }
            assert.deepStrictEqual(logged, [])
            for (const hidden of [secret, address, oldAddress]) assert.notInclude(told(), hidden)
          }).pipe(run)
        })
      }
    })
  }

  for (const given of ["", secret]) {
    it.effect(
      `a rotation whose reply names the old key, ${given === "" ? "without" : "with"} a secret, does not remove it`,
      () => {
        const { calls, run } = fake({ address: oldAddress, secret: given })
        return Effect.gen(function* () {
          const error = yield* expectError(verbs.rotate(yield* ApiKeyService), "OutcomeUnknown")
          assert.match(error.message, /names the old secret/)
          assert.deepStrictEqual(calls, ["mint"])
        }).pipe(run)
      }
    )
  }

  it.effect("one with its secret is handed over as ever", () => {
    const { calls, run } = fake({ address, secret })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const delivered: Array<string> = []
      const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(Redacted.value(key.secret)))
      yield* verbs.create(keys, deliver)
      yield* verbs.rotate(keys, deliver)
      assert.deepStrictEqual(delivered, [secret, secret])
      assert.deepStrictEqual(calls, ["mint", "mint", `activate ${address}, urgently`, `retire ${oldAddress}, urgently`])
    }).pipe(run)
  })
})

describe("options that a driver asks for by itself", () => {
  type Own = PreparedMint["options"]

  /** A vendor whose driver asks for `own` by itself, and whose reply shows `parts`. */
  const vendor = (own: Own, parts: Partial<KeyRecord>) =>
    fake({ address, secret }, (noting) => {
      const send = noting("mint", Effect.succeed({ address, secret, echo: echo(parts) }))
      const prepared = own === undefined ? { send } : { options: own, send }
      return {
        restrictions: { quota: Result.succeed },
        defaults: { quota: "unlimited" },
        options: (input) => Result.succeed(input),
        mint: () => Effect.succeed(prepared),
        rotation: {
          successor: () => Effect.succeed({ ...prepared, spec: { name: "a", restrictions: {} } }),
          retire: (given) => noting(`retire ${given}`, Effect.void)
        }
      }
    })

  const tracked = { tracking: false }
  const create = (input: object = { name: "a" }) =>
    Effect.flatMap(ApiKeyService, (keys) => keys.create(input as KeySpec))

  for (const [verb, call] of Object.entries(verbs)) {
    it.effect(`${verb}: one that came back different: the key is shut off and delivered to nobody`, () => {
      const { calls, run } = vendor(tracked, { name: "a", options: { tracking: true } })
      return Effect.gen(function* () {
        const error = yield* expectError(
          call(yield* ApiKeyService, () => Effect.die("delivered")),
          "PartiallyApplied"
        )
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(error.reason.applied, ["name"])
        assert.deepStrictEqual(error.reason.missing, ["options.tracking"])
        assert.isTrue(error.reason.revoked)
        assert.strictEqual(error.handle, handle)
        assert.deepStrictEqual(calls, ["mint", `remove ${address}, urgently`])
      }).pipe(run)
    })
  }

  it.effect("what was asked goes before them, and what took effect is said beside the rest", () => {
    const { run } = vendor({ a: 0, b: 2, c: 3 }, { options: { a: 1, b: 3 } })
    return Effect.gen(function* () {
      const error = yield* expectError(create({ name: "a", options: { acme: { a: 1 } } }), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.applied, ["options.a"])
      assert.deepStrictEqual(error.reason.missing, ["options.b"])
    }).pipe(run)
  })

  for (const [what, parts] of [
    ["came back as it was asked for", { options: { tracking: false } }],
    ["is not shown", {}],
    ["is shown beside others", { options: { tracking: false, more: 1 } }]
  ] as const) {
    it.effect(`what ${what} is no reason to shut a key off`, () => {
      const { calls, run } = vendor(tracked, parts)
      return Effect.gen(function* () {
        const key = yield* create()
        assert.strictEqual(Redacted.value(key.secret), secret)
        assert.deepStrictEqual(calls, ["mint"])
      }).pipe(run)
    })
  }

  it.effect("a driver that says nothing is held to what the caller asked, defaults included", () => {
    const { run } = vendor(undefined, { restrictions: { quota: 10 }, options: { tracking: true } })
    return Effect.gen(function* () {
      const error = yield* expectError(
        create({ name: "a", options: { acme: { tracking: false } } }),
        "PartiallyApplied"
      )
      assert.deepStrictEqual(error.reason._tag === "PartiallyApplied" && error.reason.missing, [
        "quota",
        "options.tracking"
      ])
    }).pipe(run)
  })

  it.effect("a failed delivery shuts the key off as ever, with the caller's own cause", () => {
    const { calls, run } = vendor(tracked, { options: { tracking: false } })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const exit = yield* Effect.exit(keys.create({ name: "a" }, { deliver: () => Effect.fail("vault down" as const) }))
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(
        exit.cause.reasons.filter(Cause.isFailReason).map(({ error }) => error),
        ["vault down"]
      )
      assert.deepStrictEqual(calls, ["mint", `remove ${address}, urgently`])
    }).pipe(run)
  })
})
