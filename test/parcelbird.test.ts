/** An adapter for a vendor that does not exist, written by docs/writing-an-adapter.md alone: does the guide hold up? */

import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it } from "@effect/vitest"
import { ApiKeyError, ApiKeyService, type Capable } from "@effect-api-keys/core"
import { Conformance, HttpFaults } from "@effect-api-keys/core/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Parcelbird from "./parcelbird/Parcelbird.ts"
import { layerClient, layerServer, ParcelbirdSandbox } from "./parcelbird/ParcelbirdSandbox.ts"

const vendor = Layer.effect(
  Conformance.ConformanceVendor,
  Effect.flatMap(ParcelbirdSandbox, ({ tokens }) => {
    const live = Effect.map(tokens, (all) => all.filter(({ frozen }) => !frozen))
    return Conformance.httpVendor({
      isLive: (secret) => Effect.map(live, (all) => all.some(({ value }) => value === Redacted.value(secret))),
      liveKeys: Effect.map(live, (all) => all.length),
      targets: {
        create: { method: "PUT" },
        rotate: { method: "PUT" },
        change: { method: "POST" },
        remove: { method: "DELETE" },
        read: { method: "GET" }
      }
    })
  })
)

const adapter = Layer.unwrap(
  Effect.map(ParcelbirdSandbox, ({ credential }) =>
    Parcelbird.layer({ apiKey: credential, defaults: { scopes: "any", rate: "unlimited" }, retry: { base: 0 } })
  )
)

const bound = adapter.pipe(Layer.merge(vendor), Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(layerClient))

const cases = Conformance.cases({
  spec: {
    name: "acme",
    scopes: ["orders.*", "alerts"],
    rate: { max: 500, per: { days: 1 } },
    options: { parcelbird: { priority: "high" } }
  },
  patch: { name: "acme two", rate: { max: 200, per: { days: 1 } } },
  unknownAddress: "tk-unknown"
})

const test = <A, E>(
  name: string,
  run: Effect.Effect<A, E, Layer.Success<typeof bound>>,
  layer: Layer.Layer<Layer.Success<typeof bound>, ApiKeyError> = bound
) => it.effect(name, () => Effect.provide(run, layer))

/** Without our own limiter, for tests of more calls than the vendor takes in a minute. */
const unlimited = Layer.unwrap(
  Effect.map(ParcelbirdSandbox, ({ behave, credential }) =>
    Parcelbird.layer({ apiKey: credential, defaults: { scopes: "any", rate: "unlimited" }, rateLimit: false }).pipe(
      Layer.merge(Layer.effectDiscard(behave({ limits: false })))
    )
  )
).pipe(Layer.merge(vendor), Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(layerClient))

const verbs = ApiKeyService.can(
  "create",
  "patch",
  "rotate",
  "overlap",
  "disable",
  "enable",
  "revoke",
  "delete",
  "get",
  "list",
  "scopes",
  "rate"
)

const spec = { name: "acme", scopes: ["orders.*"], rate: { max: 500, per: { days: 1 } } } as const

const frozen = Effect.flatMap(ParcelbirdSandbox, ({ tokens }) =>
  Effect.map(tokens, (all) => all.map((row) => [row.ref, row.frozen]))
)

/** What left for the vendor since the start, by method and path. */
const sent = Effect.flatMap(ParcelbirdSandbox, ({ seen }) =>
  Effect.map(seen, (all) => all.map(({ method, path }) => `${method} ${path}`))
)

const issuesOf = ({ reason }: ApiKeyError) => ("issues" in reason ? reason.issues : [])

describe("conformance", () => {
  // Parcelbird has every verb; its list shows no secrets that it could mask.
  const skipped: ReadonlyArray<string> = ["a list that masks its secrets recovers nothing, and prepares nothing"]
  for (const { name, run } of cases) {
    test(
      name,
      Effect.map(run, (outcome) => expect(outcome).toBe(skipped.includes(name) ? "skipped" : "passed"))
    )
  }
})

describe("rotation", () => {
  test(
    "the successor is dead until it is delivered, and the old token works until then",
    Effect.gen(function* () {
      const keys = yield* verbs
      const old = yield* keys.create({ ...spec, options: { parcelbird: { priority: "high" } } })
      let meanwhile: unknown
      const services = yield* Effect.context<ParcelbirdSandbox>()
      const { issued, previous } = yield* keys.rotate(old.ref, {
        deliver: () =>
          Effect.map(Effect.provideContext(frozen, services), (rows) => {
            meanwhile = rows
          })
      })
      expect(meanwhile).toEqual([
        ["tk-7", false],
        ["tk-8", true]
      ])
      expect(yield* frozen).toEqual([
        ["tk-7", true],
        ["tk-8", false]
      ])
      expect(previous).toBe("retired")
      expect((yield* keys.get(issued.ref)).options).toEqual({ priority: "high" })
    })
  )

  test(
    "a successor whose reply is lost is a dead token",
    Effect.gen(function* () {
      const keys = yield* verbs
      const http = yield* HttpFaults.HttpFaults
      const old = yield* keys.create(spec)
      yield* http.inject("resetAfterCommit", { method: "PUT" })
      const error = yield* Effect.flip(keys.rotate(old.ref, { deliver: () => Effect.void }))
      expect(error).toMatchObject({ reason: { _tag: "OutcomeUnknown" } })
      expect(yield* frozen).toEqual([
        ["tk-7", false],
        ["tk-8", true]
      ])
    })
  )

  test(
    "a prepared mint that is lost is a dead token, found on any page by its marker, and deleted",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "rotate", "prepare", "recover", "delete")
      const http = yield* HttpFaults.HttpFaults
      const old = yield* keys.create({ name: "acme" })
      for (const target of ["create", old.ref] as const) {
        const intent = yield* keys.prepare(target)
        yield* http.inject("resetAfterCommit", { method: "PUT" })
        const mint: Effect.Effect<unknown, ApiKeyError> =
          target === "create" ? keys.create({ name: "acme" }, { intent }) : keys.rotate(target, { intent })
        expect(yield* Effect.flip(mint)).toMatchObject({ reason: { _tag: "OutcomeUnknown", intent } })
        const found = yield* keys.recover(intent)
        expect(found).toMatchObject({ _tag: "Orphaned", inert: true, revocable: true })
        if (found._tag === "Orphaned") yield* keys.delete(Option.getOrThrow(found.ref))
        expect(yield* frozen).toEqual([["tk-7", false]])
        expect((yield* keys.recover(intent))._tag).toBe("NotSeen")
      }
    }),
    unlimited
  )

  test(
    "a frozen token is not rotated, which would bring it back, and not patched: InvalidKeyState",
    Effect.gen(function* () {
      const keys = yield* verbs
      const key = yield* keys.create(spec)
      expect(yield* keys.revoke(key.ref)).toBe("disabled")
      const rotation = yield* Effect.flip(keys.rotate(key.ref))
      expect(rotation).toMatchObject({ handle: "parcelbird_tk-7", reason: { _tag: "InvalidKeyState" } })
      const patch = yield* Effect.flip(keys.patch(key.ref, { name: "other" }))
      expect(patch).toMatchObject({ http: { status: 409 }, reason: { _tag: "InvalidKeyState" } })
      expect(yield* frozen).toEqual([["tk-7", true]])
    })
  )

  test(
    "a token that may send nothing, or whose limits are not shown, has no successor",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { behave } = yield* ParcelbirdSandbox
      const key = yield* keys.create(spec)
      yield* behave({ twist: { topics: [], daily: 0 } })
      yield* Effect.exit(keys.patch(key.ref, { name: "other" }))
      const error = yield* Effect.flip(keys.rotate(key.ref))
      expect(error).toMatchObject({ operation: "rotate", reason: { _tag: "UnexpectedResponse" } })
      expect(error instanceof ApiKeyError && issuesOf(error).map(({ path }) => path)).toEqual([["rate"], ["scopes"]])
      expect((yield* keys.get(key.ref)).restrictions).toEqual({})
    })
  )
})

describe("replies", () => {
  test(
    "the list is read page by page",
    Effect.gen(function* () {
      const keys = yield* verbs
      for (const name of ["a", "b", "a", "c", "a"]) yield* keys.create({ ...spec, name })
      const names = (filter?: { readonly name: string }) =>
        Effect.map(Stream.runCollect(keys.list(filter)), (all) => all.map(({ name }) => Option.getOrUndefined(name)))
      expect(yield* names()).toEqual(["a", "b", "a", "c", "a"])
      expect((yield* sent).slice(-3)).toEqual([
        "GET /v2/tokens",
        "GET /v2/tokens?after=tk-8",
        "GET /v2/tokens?after=tk-10"
      ])
      expect(yield* names({ name: "a" })).toEqual(["a", "a", "a"])
    }),
    unlimited
  )

  test(
    "a queued deletion is verified: the token is read until it is gone, and one that stays is a failure",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { behave } = yield* ParcelbirdSandbox
      const [gone, stays] = [yield* keys.create(spec), yield* keys.create(spec)]
      yield* behave({ queue: 1500 })
      const deleted = yield* Effect.forkChild(keys.delete(gone.ref))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(deleted)
      expect((yield* sent).slice(2)).toEqual(["DELETE /v2/tokens/tk-7", ...Array(3).fill("GET /v2/tokens/tk-7")])
      yield* behave({ queue: 3_600_000 })
      const failed = yield* Effect.forkChild(Effect.flip(keys.delete(stays.ref)))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(failed)
      expect(error).toMatchObject({ operation: "delete", handle: stays.handle, reason: { _tag: "UnexpectedResponse" } })
      expect(error.message).toContain("the key is still there")
    })
  )

  test(
    "403 bad_key is our credential, 403 scope is what it may not do",
    Effect.gen(function* () {
      const { behave } = yield* ParcelbirdSandbox
      const keys = yield* verbs
      const http = yield* HttpFaults.HttpFaults
      const key = yield* keys.create(spec)
      yield* behave({ forbidden: ["GET", "PUT", "POST", "DELETE"] })
      const calls = [
        keys.create(spec),
        keys.patch(key.ref, { name: "b" }),
        keys.disable(key.ref),
        keys.delete(key.ref),
        keys.get(key.ref),
        Stream.runDrain(keys.list())
      ]
      for (const call of calls) {
        expect((yield* Effect.flip(Effect.asVoid(call))).reason._tag).toBe("PermissionDenied")
        yield* http.inject({ status: 403, body: `{"fault":"bad_key"}` })
        const error = yield* Effect.flip(Effect.asVoid(call))
        expect(error.reason).toMatchObject({ _tag: "AuthenticationFailed", problem: "rejected" })
      }
    }),
    unlimited
  )

  test(
    "a status is believed where the vendor's own fault stands beside it, and not where a proxy's page does",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { behave } = yield* ParcelbirdSandbox
      const http = yield* HttpFaults.HttpFaults
      const key = yield* keys.create(spec)
      yield* behave({ plan: 0 })
      expect((yield* Effect.flip(keys.create(spec))).reason._tag).toBe("KeyLimitReached")
      yield* http.inject({ status: 507, body: "<html>" })
      expect((yield* Effect.flip(keys.create(spec))).reason._tag).toBe("OutcomeUnknown")
      // The first attempt is lost on its way, and the repeat is answered by a proxy: nothing says that the token is gone.
      yield* http.inject("reset", { method: "DELETE" })
      yield* http.inject({ status: 404, body: "<html>" }, { method: "DELETE" })
      const error = yield* Effect.flip(keys.delete(key.ref))
      expect(error.reason).toMatchObject({ _tag: "InvalidRequest", source: "provider" })
      expect(yield* frozen).toEqual([["tk-7", false]])
    })
  )

  test(
    "a token that comes out other than asked is taken back",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { behave } = yield* ParcelbirdSandbox
      for (const [twist, missing] of [
        [{ topics: "*" }, "scopes"],
        [{ topics: ["orders.*", "alerts"] }, "scopes"],
        [{ daily: 501 }, "rate"],
        [{ daily: -1 }, "rate"],
        // Nothing at all, for which there is no neutral word.
        [{ topics: [] }, "scopes"],
        // No priority is asked for: the driver's own default is.
        [{ priority: "high" }, "options.priority"]
      ] as const) {
        yield* behave({ twist: { topics: spec.scopes, daily: spec.rate.max, priority: "normal", ...twist } })
        const error = yield* Effect.flip(keys.create(spec))
        expect(error.reason).toMatchObject({ _tag: "PartiallyApplied", missing: [missing], revoked: true })
        expect(yield* frozen).toEqual([])
      }
    }),
    unlimited
  )

  test(
    "a token without its secret is named, and left alone: it may be another",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { behave } = yield* ParcelbirdSandbox
      for (const value of [undefined, null, "api_test_parce…", "api_test_********"]) {
        yield* behave({ reply: { value } })
        const error = yield* Effect.flip(keys.create(spec))
        expect(error.reason._tag).toBe("OutcomeUnknown")
        expect(error.handle).toMatch(/^parcelbird_|^tk-/)
      }
    }),
    unlimited
  )
})

describe("requests", () => {
  test(
    "a fourth mint within a minute is held back, and other calls are not",
    Effect.gen(function* () {
      const keys = yield* verbs
      const key = yield* keys.create(spec)
      yield* keys.create(spec)
      yield* keys.create(spec)
      const error = yield* Effect.flip(keys.create(spec))
      expect(error.reason).toMatchObject({ _tag: "RateLimited", source: "limiter" })
      yield* keys.get(key.ref)
      expect((yield* sent).filter((line) => line.startsWith("PUT"))).toHaveLength(3)
      yield* TestClock.adjust("1 minute")
      yield* keys.create(spec)
    })
  )

  test(
    "a rate is by the day alone",
    Effect.gen(function* () {
      const keys = yield* verbs
      for (const per of [{ hours: 24 }, { days: 2 }, { days: 1, hours: 1 }, { minutes: 1 }, { months: 1 }]) {
        const error = yield* Effect.flip(keys.create({ ...spec, rate: { max: 5, per } }))
        expect(error.message).toContain("rate.per: must be { days: 1 }: Parcelbird counts by the day alone")
      }
      expect(yield* sent).toEqual([])
    })
  )

  test(
    "what is written out goes as the vendor's own words",
    Effect.gen(function* () {
      const keys = yield* verbs
      const { seen } = yield* ParcelbirdSandbox
      const key = yield* keys.create({ name: "acme" })
      yield* keys.patch(key.ref, { scopes: ["orders.created"], rate: { max: 7, per: { days: 1 } } })
      const [create, patch] = yield* seen
      expect(JSON.parse(create?.body ?? "")).toEqual({
        title: "acme",
        topics: "*",
        daily: -1,
        priority: "normal",
        frozen: false
      })
      expect(JSON.parse(patch?.body ?? "")).toEqual({ topics: ["orders.created"], daily: 7 })
    })
  )

  test(
    "options are strict, and the priority is for creation alone",
    Effect.gen(function* () {
      const keys = yield* verbs
      const key = yield* keys.create({ ...spec, options: { parcelbird: { priority: "high" } } })
      // @ts-expect-error a word that the vendor lacks
      const word = yield* Effect.flip(keys.create({ ...spec, options: { parcelbird: { priority: "urgent" } } }))
      // @ts-expect-error a field that the vendor lacks
      const field = yield* Effect.flip(keys.create({ ...spec, options: { parcelbird: { colour: "red" } } }))
      const patch = yield* Effect.flip(keys.patch(key.ref, { options: { parcelbird: { priority: "normal" } } }))
      expect(issuesOf(word)).toEqual([
        { path: ["options", "parcelbird", "priority"], message: `must be "high" or "normal"` }
      ])
      expect(issuesOf(field).map(({ path }) => path)).toEqual([["options", "parcelbird", "colour"]])
      expect(issuesOf(patch)).toEqual([
        { path: ["options", "parcelbird", "priority"], message: "can be set at creation alone" }
      ])
      expect(patch).toMatchObject({ operation: "patch", handle: key.handle, reason: { source: "client" } })
      expect(yield* sent).toEqual(["PUT /v2/tokens"])
    })
  )

  test(
    "hostile refs never reach the wire",
    Effect.gen(function* () {
      const keys = yield* verbs
      for (const ref of ["tk-…9", "../tokens", "tk-7/thaw", "tk-7?after=tk-8", "api_test_parcelbird_7"]) {
        const error = yield* Effect.flip(keys.get(keys.ref(Redacted.make(ref))))
        expect(error.reason._tag).toBe("InvalidRequest")
        expect(JSON.stringify(error)).not.toContain(ref)
      }
      expect(yield* sent).toEqual([])
    })
  )
})

describe("over real HTTP", () => {
  const real = Layer.unwrap(
    Effect.gen(function* () {
      const { credential } = yield* ParcelbirdSandbox
      const baseUrl = yield* HttpServer.addressFormattedWith((address) => Effect.succeed(`${address}/v2`))
      return Parcelbird.layer({ apiKey: credential, baseUrl, defaults: { scopes: "any", rate: "unlimited" } })
    })
  ).pipe(
    Layer.provideMerge(layerServer),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(FetchHttpClient.layer)
  )

  it.live("replies without a body, as text, and by pages are read", () =>
    Effect.gen(function* () {
      const keys = yield* verbs
      const key = yield* keys.create(spec)
      const { issued } = yield* keys.rotate(key.ref, { deliver: () => Effect.void })
      yield* keys.disable(issued.ref)
      yield* keys.enable(issued.ref)
      yield* keys.create(spec)
      yield* keys.delete(key.ref)
      expect((yield* Stream.runCollect(keys.list())).map(({ handle }) => handle)).toEqual([
        "parcelbird_tk-8",
        "parcelbird_tk-9"
      ])
    }).pipe(Effect.provide(real))
  )
})

describe("types", () => {
  it("can do what the driver has, and nothing else", () => {
    const layer = Parcelbird.layer({ apiKey: Redacted.make("x"), defaults: { scopes: "any", rate: "unlimited" } })
    const run = <A, E>(effect: Effect.Effect<A, E, HttpClient.HttpClient>) => Effect.isEffect(effect)
    expect(run(Effect.provide(verbs, layer))).toBe(true)
    // @ts-expect-error Parcelbird knows no domains
    run(Effect.provide(ApiKeyService.can("create", "domains"), layer))
    // @ts-expect-error and no quota
    run(Effect.provide(ApiKeyService.can("quota"), layer))
    // @ts-expect-error each restriction needs a default
    Parcelbird.layer({ apiKey: Redacted.make("x"), defaults: { scopes: "any" } })
    const specs = (keys: Capable<"create" | "scopes">) => [
      keys.create({ name: "a", scopes: "any" }),
      // @ts-expect-error it was not asked for
      keys.create({ name: "a", rate: "unlimited" }),
      // @ts-expect-error an empty list is no list
      keys.create({ name: "a", scopes: [] })
    ]
    expect(specs).toBeTypeOf("function")
  })
})
