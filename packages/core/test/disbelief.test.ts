/** What a reply says is not believed where it may be another's, or where it cannot be read. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { KeyRef } from "../src/ApiKey.ts"
import type { ApiKeyDriver, KeyRecord } from "../src/ApiKeyDriver.ts"
import {
  ApiKeyError,
  InvalidRequest,
  KeyNotFound,
  PartiallyApplied,
  PermissionDenied,
  ProviderUnavailable
} from "../src/ApiKeyError.ts"
import { ApiKeyService } from "../src/ApiKeyService.ts"
import { compareEcho } from "../src/internal/echo.ts"
import * as ProviderClient from "../src/ProviderClient.ts"
import { HttpSandbox } from "../src/testing/index.ts"
import { expectError, expectReason } from "./support.ts"

const manager = "api_test_manager"
const generous = { limit: 1000, window: "1 minute" } as const

const make = (options: Partial<ProviderClient.VendorOptions> = {}) =>
  ProviderClient.make({
    provider: "acme",
    baseUrl: "https://api.acme.test",
    authorization: (credential) => ["x-acme-key", credential],
    budgets: { ordinary: generous, urgent: generous, lockout: "5 minutes" },
    apiKey: Redacted.make(manager),
    retry: { base: 0 },
    ...options
  })

const replying = (body: string, status = 200) =>
  HttpSandbox.layerClient(Effect.sync(() => HttpServerResponse.text(body, { status })))

describe("a mint's reply that holds the manager's own credential", () => {
  const minting = Effect.flatMap(make(), (client) =>
    client.prepare({
      method: "POST",
      path: "/keys",
      safety: "mint",
      reply: Schema.Struct({ secret: Schema.String }),
      // As generous as can be.
      salvage: () => Option.some({ secret: "salvaged" })
    })({})
  ).pipe(Effect.flatMap(({ send }) => send))

  for (const [what, body] of [
    ["as the new secret", JSON.stringify({ secret: manager })],
    ["beside another secret", JSON.stringify({ secret: "api_test_new", headers: { "x-acme-key": manager } })],
    ["in text", `x-acme-key: ${manager}`],
    ["escaped", JSON.stringify({ secret: manager }).replace("api_test", "\\u0061pi\\u005ftest")]
  ] as const) {
    it.effect(`is not believed: ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* expectError(minting, "OutcomeUnknown")
        assert.match(error.message, /manager's own credential/)
        assert.notInclude(error.message, manager)
      }).pipe(Effect.scoped, Effect.provide(replying(body)))
    )
  }

  it.effect("a read may hold it: the manager's own key may be among those it lists", () =>
    Effect.gen(function* () {
      const client = yield* make()
      const shown = yield* client.call({ method: "GET", path: "/keys", safety: "read", reply: Schema.Unknown })({})
      assert.deepStrictEqual(shown, [manager])
    }).pipe(Effect.scoped, Effect.provide(replying(JSON.stringify([manager]))))
  )
})

describe("an endpoint's guard", () => {
  const refusal = new InvalidRequest({ source: "client", issues: [{ path: ["ref"], message: "is the manager's own" }] })
  const removing = (client: ProviderClient.ProviderClient, id: string) =>
    client.call({
      ...ProviderClient.undocumentedRemoval(() => false),
      method: "POST",
      path: "/remove",
      body: Schema.Struct({ id: Schema.String }),
      guard: (body, credential) => (body.id === credential ? refusal : undefined)
    })({ body: { id } })

  it.effect("sees the credential that the request itself would carry", () => {
    const seen: Array<string | undefined> = []
    const layer = HttpSandbox.layerClient(
      Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => {
        seen.push(headers["x-acme-key"])
        return HttpServerResponse.empty({ status: 204 })
      })
    )
    let reads = 0
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.sync(() => Redacted.make(`api_test_${++reads}`)) })
      yield* removing(client, "api_test_2")
      const error = yield* expectError(removing(client, "api_test_2"), "InvalidRequest")
      assert.match(error.message, /the manager's own/)
      assert.deepStrictEqual(seen, ["api_test_1"], "the second was never sent")
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("is asked again for every repeat", () => {
    let requests = 0
    const layer = HttpSandbox.layerClient(
      Effect.sync(() => {
        requests++
        return HttpServerResponse.empty({ status: 503 })
      })
    )
    let reads = 0
    return Effect.gen(function* () {
      const client = yield* make({
        apiKey: Effect.sync(() => Redacted.make(++reads === 1 ? "api_test_1" : "api_test_2"))
      })
      // The first attempt may have been carried out: that is what is said.
      yield* expectReason(removing(client, "api_test_2"), "ProviderUnavailable")
      assert.strictEqual(requests, 1)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})

describe("a removal whose reply is not documented", () => {
  const isRefusal = (reply: unknown) => Predicate.isObject(reply) && "error" in reply
  const endpoint = { ...ProviderClient.undocumentedRemoval(isRefusal), method: "DELETE", path: "/keys/:id" } as const

  for (const [what, body, status] of [
    ["JSON", `{"success":false}`, 200],
    ["text", "<html>", 200],
    ["nothing", "", 204],
    ["a redirect", "", 302]
  ] as const) {
    it.effect(`is over, and proves nothing: ${what}`, () =>
      Effect.gen(function* () {
        const client = yield* make()
        yield* client.call(endpoint)({ params: { id: "1" } })
      }).pipe(Effect.scoped, Effect.provide(replying(body, status)))
    )
  }

  it.effect("but for one that says no", () =>
    Effect.gen(function* () {
      const client = yield* make()
      yield* expectReason(client.call(endpoint)({ params: { id: "1" } }), "UnexpectedResponse")
    }).pipe(Effect.scoped, Effect.provide(replying(`{"error":"no"}`)))
  )

  it.effect("a reply that is too large says as little as any other", () =>
    Effect.gen(function* () {
      const client = yield* make({ maxReplyBytes: 10 })
      yield* client.call(endpoint)({ params: { id: "1" } })
    }).pipe(Effect.scoped, Effect.provide(replying(`"${"x".repeat(100)}"`)))
  )

  it.effect("an error is an error", () =>
    Effect.gen(function* () {
      const client = yield* make()
      yield* expectReason(client.call(endpoint)({ params: { id: "1" } }), "PermissionDenied")
    }).pipe(Effect.scoped, Effect.provide(replying("", 403)))
  )
})

const record = (parts: Partial<KeyRecord>): KeyRecord => ({
  handle: "acme_1",
  status: "active",
  providerStatus: "on",
  restrictions: {},
  ...parts
})

describe("what is shown and cannot be read", () => {
  const unreadable = ["scopes", "rate", "name", "options.kind"]

  it("is not what was asked for", () => {
    const asked = {
      name: "a",
      restrictions: { scopes: ["send"], rate: { max: 1, per: { hours: 1 } } },
      options: { kind: "x" }
    } as const
    const echo = compareEcho(asked, record({ unreadable }))
    assert.deepStrictEqual([...echo.missing].sort(), [...unreadable].sort())
    assert.deepStrictEqual([...echo.applied, ...echo.unseen], [])
  })

  it("unless that was everything: it cannot be wider", () => {
    const asked = { restrictions: { scopes: "any", rate: "unlimited" } } as const
    assert.deepStrictEqual(compareEcho(asked, record({ unreadable })).missing, [])
  })

  it("what is not shown at all proves nothing", () => {
    const echo = compareEcho({ restrictions: { scopes: ["send"] } }, record({}))
    assert.deepStrictEqual([echo.missing, echo.unseen], [[], ["scopes"]])
  })
})

/** A driver of which only what a test is about is given. */
const driver = (parts: Partial<ApiKeyDriver>): ApiKeyDriver => ({
  provider: "acme",
  account: "default",
  restrictions: {},
  defaults: {},
  name: Result.succeed,
  address: (value) => (value.startsWith("id") ? Result.succeed(value) : Result.fail([{ path: [], message: "no id" }])),
  handle: (id) => `acme_${id}`,
  ...parts
})

const service = (parts: Partial<ApiKeyDriver>) => ApiKeyService.layer(Effect.succeed(driver(parts)))
const failing = (reason: ApiKeyError["reason"]) =>
  Effect.fail(new ApiKeyError({ provider: "acme", operation: "any", reason }))
const ref = new KeyRef({ provider: "acme", account: "default", value: Redacted.make("id1") })

describe("a status that the reply does not show", () => {
  const unknown = record({ status: "unknown", providerStatus: "unknown" })

  for (const [read, tag] of [
    ["disabled", undefined],
    ["active", "InvalidKeyState"]
  ] as const) {
    it.effect(`is read: a key that is then ${read} ${tag === undefined ? "is off" : "is not said to be off"}`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        for (const off of [keys.disable(ref), keys.revoke(ref)]) {
          if (tag === undefined) yield* off
          else yield* expectReason(off, tag)
        }
      }).pipe(
        Effect.provide(
          service({ setStatus: () => Effect.succeed(unknown), get: () => Effect.succeed(record({ status: read })) })
        )
      )
    )
  }

  it.effect("where nothing can be read, it is not known", () =>
    Effect.gen(function* () {
      yield* expectReason((yield* ApiKeyService).disable(ref), "InvalidKeyState")
    }).pipe(Effect.provide(service({ setStatus: () => Effect.succeed(unknown) })))
  )
})

describe("an old key that is not found when it is to be retired", () => {
  const rotation = {
    successor: () =>
      Effect.succeed({
        spec: { name: "a", restrictions: {} },
        send: Effect.succeed({ address: "id2", secret: "api_test_new" })
      }),
    retire: () => failing(new KeyNotFound())
  }
  const rotate = Effect.flatMap(ApiKeyService, (keys) => keys.rotate(ref, { deliver: () => Effect.void }))

  it.effect("is gone where the new one is found", () => {
    const read: Array<string> = []
    return Effect.gen(function* () {
      const { incomplete, previous } = yield* rotate
      assert.deepStrictEqual([previous, incomplete], ["retired", undefined])
      assert.deepStrictEqual(read, ["id2"])
    }).pipe(
      Effect.provide(
        service({
          rotation,
          get: (id) => {
            read.push(id)
            return Effect.succeed(record({}))
          }
        })
      )
    )
  })

  for (const [what, get] of [
    ["is not found either", () => failing(new KeyNotFound())],
    ["cannot be read", () => failing(new ProviderUnavailable({ problem: "status", sent: true }))]
  ] as const) {
    it.effect(`may live where the new one ${what}`, () =>
      Effect.gen(function* () {
        const { incomplete, previous } = yield* rotate
        assert.strictEqual(previous, "live")
        assert(incomplete?.step === "retire")
        assert.strictEqual(incomplete.error.reason._tag, "KeyNotFound")
      }).pipe(Effect.provide(service({ rotation, get })))
    )
  }
})

describe("taking back a key whose removal could not be looked up", () => {
  const taken = new PartiallyApplied({ applied: ["delete"], missing: ["confirmation"] })
  const create = Effect.flatMap(ApiKeyService, (keys) =>
    Effect.exit(keys.create({ name: "a" }, { deliver: () => Effect.fail("vault down" as const) }))
  )
  const parts = (removal: ApiKeyError["reason"], disabling: ApiKeyError["reason"]) => ({
    mint: () => Effect.succeed({ send: Effect.succeed({ address: "id2", secret: "api_test_new" }) }),
    remove: () => failing(removal),
    setStatus: () => failing(disabling)
  })
  /** Whether the failure says that the key may be live. */
  const alarm = (exit: Exit.Exit<unknown, unknown>) =>
    Exit.isFailure(exit) &&
    exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error instanceof ApiKeyError)

  for (const [what, removal, disabling, alarmed] of [
    ["it was taken, and now the key is not known", taken, new KeyNotFound(), false],
    ["it was refused, and the key is not known", new PermissionDenied(), new KeyNotFound(), true],
    ["it was taken, and the key cannot be disabled", taken, new PermissionDenied(), true]
  ] as const) {
    it.effect(`${alarmed ? "may be live" : "is gone"}: ${what}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(alarm(yield* create), alarmed)
      }).pipe(Effect.provide(service(parts(removal, disabling))))
    )
  }
})

describe("the handle of a ref that this vendor would refuse", () => {
  it.effect("says nothing of what it holds", () =>
    Effect.gen(function* () {
      const { handle, ref: refOf } = yield* ApiKeyService
      assert.strictEqual(handle(ref), "acme_id1")
      assert.strictEqual(handle(refOf(Redacted.make("api_test_leaked"))), "acme_unknown")
      assert.strictEqual(handle(new KeyRef({ ...ref, provider: "another" })), "acme_unknown")
    }).pipe(Effect.provide(service({})))
  )
})
