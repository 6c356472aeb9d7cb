import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyPatch, KeySpec, ReasonTag } from "@effect-api-keys/core"
import { ApiKeyError, ApiKeyService, KeyRef } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const baseUrl = "https://voiceable.example/api/v1"
const defaults: Voiceable.Defaults = { origins: "any", resources: "any", keyType: "private" }

const withSandbox = (
  options: Partial<Voiceable.Options> = {},
  sandbox: VoiceableSandbox.Options = {}
): Layer.Layer<Voiceable.Provides | HttpFaults.HttpFaults | VoiceableSandbox.VoiceableSandbox, ApiKeyError> =>
  Layer.unwrap(
    Effect.map(VoiceableSandbox.VoiceableSandbox, ({ credential }) =>
      Voiceable.layer({ apiKey: credential, baseUrl, defaults, retry: { base: 0 }, ...options })
    )
  ).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(VoiceableSandbox.layerClient(sandbox)))

const spec: KeySpec = { name: "acme", origins: ["https://acme.example"], resources: ["123"] }

/** The id of the first key that a test makes: the manager's own is 1. */
const FIRST = 2
const MINTED = "api_test_voiceable_0001"

const setup = Effect.gen(function* () {
  const keys = yield* ApiKeyService
  const sandbox = yield* VoiceableSandbox.VoiceableSandbox
  const faults = yield* HttpFaults.HttpFaults
  const client = yield* Voiceable.VoiceableClient
  /** What the vendor holds beside the manager's own key. */
  const stored = Effect.map(sandbox.keys, (all) => all.filter(({ id }) => id !== 1))
  /** The requests since the last look, as `METHOD path`. */
  let looked = 0
  const sent = Effect.map(sandbox.requests, (all) => {
    const recent = all.slice(looked).map(({ method, path }) => `${method} ${path}`)
    looked = all.length
    return recent
  })
  return { keys, sandbox, faults, client, stored, sent }
})

const lastBody = Effect.map(VoiceableSandbox.VoiceableSandbox, ({ requests }) =>
  Effect.map(requests, (all) => all.at(-1)?.body)
).pipe(Effect.flatten)

const isTagged = <R extends { readonly _tag: string }, Tag extends R["_tag"]>(
  reason: R,
  tag: Tag
): reason is Extract<R, { readonly _tag: Tag }> => reason._tag === tag

const expectError = <A, E, R>(effect: Effect.Effect<A, ApiKeyError | E, R>, tag: ReasonTag) =>
  Effect.map(Effect.result(effect), (result) => {
    assert(Result.isFailure(result), `a success in place of ${tag}`)
    const { failure } = result
    assert(failure instanceof ApiKeyError)
    assert.strictEqual(failure.reason._tag, tag, failure.message)
    return failure
  })

const expectReason = <A, E, R, const Tag extends ReasonTag>(effect: Effect.Effect<A, ApiKeyError | E, R>, tag: Tag) =>
  Effect.map(expectError(effect, tag), ({ reason }) => (isTagged(reason, tag) ? reason : assert.fail(reason._tag)))

const paths = (reason: { readonly issues: ReadonlyArray<{ readonly path: ReadonlyArray<string | number> }> }) =>
  reason.issues.map(({ path }) => path.join("."))

/** A key as the vendor shows it; what is `undefined` is not shown. */
const row = (shown: Readonly<Record<string, unknown>> = {}) => ({
  id: FIRST,
  key_type: "private",
  name: "acme",
  key_value: null,
  allowed_origins: ["https://acme.example"],
  allowed_assistants: ["123"],
  transient_assistant: false,
  user_id: 1,
  user_email: "user@example.com",
  created_at: "2024-01-10T08:00:00Z",
  updated_at: "2024-01-15T11:00:00Z",
  ...shown
})

const enveloped = (data: unknown, code = 200) => ({ status: { code, message: "of the vendor" }, data })

/** A reply that takes the place of the vendor's own, after the vendor has carried the request out. */
const instead = (reply: unknown, status = 200): HttpFaults.Fault => ({
  status,
  body: typeof reply === "string" ? reply : JSON.stringify(reply),
  commit: true
})

const html = "<!DOCTYPE html><html><body>Not here</body></html>"

const refOf = (value: string): KeyRef =>
  new KeyRef({ provider: "voiceable", account: "default", value: Redacted.make(value) })

/** Keeps what is delivered. */
const vault = () => {
  const delivered: Array<IssuedKey> = []
  return { delivered, deliver: (key: IssuedKey) => Effect.sync(() => void delivered.push(key)) }
}

describe("what is sent", () => {
  it.effect("every restriction of a new key is said, open ones too, and its type", () =>
    Effect.gen(function* () {
      const { keys, sent } = yield* setup
      yield* keys.create({ name: "open" })
      assert.deepStrictEqual(yield* lastBody, {
        api_key: { name: "open", key_type: "private", allowed_origins: [], allowed_assistants: [] }
      })
      yield* keys.create({ ...spec, options: { voiceable: { keyType: "public", transientAssistant: true } } })
      assert.deepStrictEqual(yield* lastBody, {
        api_key: {
          name: "acme",
          key_type: "public",
          allowed_origins: ["https://acme.example"],
          allowed_assistants: ["123"],
          transient_assistant: true
        }
      })
      assert.deepStrictEqual(yield* sent, ["POST /api/v1/api_keys", "POST /api/v1/api_keys"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a spec that is silent gets the layer's defaults", () =>
    Effect.gen(function* () {
      const { keys, stored } = yield* setup
      const key = yield* keys.create({ name: "narrow" })
      assert.deepStrictEqual(key.unrestricted, Option.some(["resources"] as const))
      const [made] = yield* stored
      assert.deepStrictEqual(made?.allowedOrigins, ["https://default.example"])
      assert.deepStrictEqual(made?.allowedAssistants, [])
      assert.strictEqual(made?.keyType, "public")
    }).pipe(
      Effect.provide(
        withSandbox({ defaults: { origins: ["https://default.example"], resources: "any", keyType: "public" } })
      )
    )
  )

  it.effect("a patch says what it changes and nothing else, by PUT", () =>
    Effect.gen(function* () {
      const { keys, sent } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sent
      yield* keys.patch(ref, { name: "acme 2" })
      assert.deepStrictEqual(yield* lastBody, { api_key: { name: "acme 2" } })
      yield* keys.patch(ref, { origins: ["https://b.example"] })
      assert.deepStrictEqual(yield* lastBody, { api_key: { allowed_origins: ["https://b.example"] } })
      yield* keys.patch(ref, { resources: ["456", "789"] })
      assert.deepStrictEqual(yield* lastBody, { api_key: { allowed_assistants: ["456", "789"] } })
      yield* keys.patch(ref, { origins: "any", resources: "any" })
      assert.deepStrictEqual(yield* lastBody, { api_key: { allowed_origins: [], allowed_assistants: [] } })
      // The key is read first, so that a list that a change takes along is seen.
      const once = ["GET /api/v1/api_keys/2", "PUT /api/v1/api_keys/2"]
      assert.deepStrictEqual(yield* sent, [...once, ...once, ...once, ...once])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("origins are sent as browsers send them, and once", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create({
        name: "acme",
        origins: ["https://ACME.example/", "https://acme.example", "http://localhost:3000"]
      })
      const created = yield* lastBody
      assert.deepNestedInclude(created, {
        "api_key.allowed_origins": ["https://acme.example", "http://localhost:3000"]
      })
      yield* keys.patch(ref, { origins: ["https://Acme.example", "https://acme.example/"] })
      assert.deepStrictEqual(yield* lastBody, { api_key: { allowed_origins: ["https://acme.example"] } })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("settings that are fixed at creation are refused in a patch, and nothing is sent", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const ref = refOf("2")
      for (const [options, field] of [
        [{ keyType: "public" }, "options.voiceable.keyType"],
        [{ transientAssistant: false }, "options.voiceable.transientAssistant"]
      ] as const) {
        const error = yield* expectError(
          keys.patch(ref, { name: "b", options: { voiceable: options } }),
          "InvalidRequest"
        )
        assert(error.reason._tag === "InvalidRequest" && error.reason.source === "client")
        assert.deepStrictEqual(paths(error.reason), [field])
        assert.include(error.message, "create another key")
        assert.strictEqual(error.operation, "patch")
      }
      const both = { keyType: "private", transientAssistant: true } as const
      const reason = yield* expectReason(keys.patch(ref, { options: { voiceable: both } }), "InvalidRequest")
      assert.deepStrictEqual(paths(reason), ["options.voiceable.keyType", "options.voiceable.transientAssistant"])
      // Nothing in them is nothing said.
      yield* expectReason(keys.patch(ref, { options: { voiceable: {} } }), "InvalidRequest")
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the client has no way to say a field that the endpoint does not know", () =>
    Effect.gen(function* () {
      const { client, faults } = yield* setup
      // A cast, or JavaScript, can say anything: it is refused, not stripped.
      const changes = { name: "new", keyType: "public" } as unknown as Parameters<typeof client.update>[1]
      const error = yield* expectError(client.update("2", changes), "InvalidRequest")
      assert.match(error.message, /keyType/)
      const key = { ...changes, status: "disabled" } as unknown as Parameters<typeof client.create>[0]
      assert.match((yield* expectError(client.create(key), "InvalidRequest")).message, /status/)
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the client's endpoints, called directly, name themselves in errors, and never the id", () =>
    Effect.gen(function* () {
      const { client } = yield* setup
      const missing = yield* expectError(client.get("424242"), "KeyNotFound")
      assert.strictEqual(missing.operation, "GET /api_keys/:id")
      assert.notInclude(inspect(missing, { depth: 9 }), "424242")
      const key = yield* Effect.flatMap(client.create({ name: "acme", keyType: "private" }), ({ send }) => send)
      assert.deepStrictEqual(Option.map(key.keyValue, Redacted.value), Option.some(MINTED))
      yield* client.delete("2")
      yield* expectReason(client.get("2"), "KeyNotFound")
      const ref = client.ref("7")
      assert.deepStrictEqual([ref.provider, ref.account, Redacted.value(ref.value)], ["voiceable", "default", "7"])
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("limits and hostile input", () => {
  const hostile: ReadonlyArray<readonly [field: string, bad: Record<string, unknown>]> = [
    ["name", { name: "" }],
    ["name", { name: "a".repeat(256) }],
    ["name", { name: "   " }],
    ["name", { name: " padded" }],
    ["name", { name: "line\nbreak" }],
    ["name", { name: "half \ud800" }],
    ["name", { name: 12345 }],
    ["origins", { origins: [] }],
    ["origins", { origins: ["*"] }],
    ["origins", { origins: ["https://*.acme.example"] }],
    ["origins", { origins: ["acme.example"] }],
    ["origins", { origins: ["https://acme.example/path"] }],
    ["origins", { origins: ["https://acme.example?query"] }],
    ["origins", { origins: ["https://user@acme.example"] }],
    ["origins", { origins: ["ftp://acme.example"] }],
    ["origins", { origins: ["null"] }],
    ["origins", { origins: ["https://a.example:443"] }],
    ["origins", { origins: ["http://a.example:80"] }],
    ["origins", { origins: ["https://acme.example", "http://2130706433"] }],
    ["origins", { origins: ["https://a..b"] }],
    ["origins", { origins: ["https://a.example."] }],
    ["origins", { origins: ["https://a.example,https://b.example"] }],
    ["origins", { origins: [`https://${"a".repeat(1_000_000)}.example`] }],
    ["origins", { origins: Array.from({ length: 501 }, (_, i) => `https://d${i}.example`) }],
    ["origins", { origins: "https://acme.example" }],
    ["origins", { origins: undefined }],
    ["resources", { resources: [] }],
    ["resources", { resources: ["*"] }],
    ["resources", { resources: ["../admin"] }],
    ["resources", { resources: ["123,456"] }],
    ["resources", { resources: [""] }],
    ["resources", { resources: [123] }],
    ["resources", { resources: ["1".repeat(65)] }],
    ["resources", { resources: Array.from({ length: 501 }, (_, i) => `${i}`) }],
    ["options.voiceable.keyType", { options: { voiceable: { keyType: "admin-key" } } }],
    ["options.voiceable.transientAssistant", { options: { voiceable: { transientAssistant: "yes, please" } } }],
    ["options.voiceable.keytype", { options: { voiceable: { keytype: "public-key" } } }],
    ["options.voiceable", { options: { voiceable: "public-key" } }],
    ["allowed_origins", { allowed_origins: ["https://acme.example"] }]
  ]
  it.effect.each(hostile.map(([field, bad], index) => ({ bad, field, index })))(
    "refuses $field ($index)",
    ({ bad, field }) =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        // A program in JavaScript can ask for anything.
        const error = yield* expectError(keys.create({ ...spec, ...bad } as KeySpec), "InvalidRequest")
        assert.include(error.message, field)
        const value = JSON.stringify(Object.values(bad)[0] ?? null).replace(/^[{":a-zA-Z]*[["]+|[\]"}]+$/g, "")
        if (value.length > 3) assert.notInclude(error.message, value, "the message holds the value")
        assert.deepStrictEqual(yield* faults.attempts, [])
      }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("accepts what is just within the limits", () =>
    Effect.gen(function* () {
      const { keys, stored } = yield* setup
      const { ref } = yield* keys.create({
        name: "ü".repeat(255),
        origins: ["https://d0.example", ...Array.from({ length: 499 }, (_, i) => `https://d${i + 1}.example`)],
        resources: ["a-Z_9".padEnd(64, "0"), ...Array.from({ length: 499 }, (_, i) => `${i}`)]
      })
      const shown = yield* keys.get(ref)
      assert.lengthOf(shown.restrictions.origins ?? [], 500)
      assert.lengthOf(shown.restrictions.resources ?? [], 500)
      assert.lengthOf(yield* stored, 1)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("restrictions that the vendor lacks are refused", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const restriction of ["domains", "ips", "scopes", "quota", "rate"] as const) {
        const asked = { ...spec, [restriction]: restriction === "quota" ? "unlimited" : "any" }
        const reason = yield* expectReason(keys.create(asked), "UnsupportedRestriction")
        assert.strictEqual(reason.restriction, restriction)
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a reply of 20 MB fails typed", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const body = JSON.stringify(enveloped(row({ name: "x".repeat(20_000_000) })))
      yield* faults.inject({ status: 200, body }, { method: "GET" })
      assert.strictEqual((yield* expectReason(keys.get(ref), "UnexpectedResponse")).problem, "size")
      yield* faults.inject({ status: 200, body }, { method: "POST" })
      yield* expectReason(keys.create(spec), "OutcomeUnknown")
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("ids", () => {
  const wrong = [
    "api_test_voiceable_leaked",
    "0",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "01",
    " 1",
    "1 ",
    "1\n",
    "0x10",
    "",
    "١",
    "1_000",
    "NaN",
    "Infinity",
    "9".repeat(16),
    "9".repeat(17),
    "1".repeat(1_000_000),
    "../x",
    "..",
    "1/../2",
    "1?admin=1",
    "1%2f2",
    "1;2"
  ]
  const verbs: Record<string, (keys: ApiKeyService["Service"], ref: KeyRef) => Effect.Effect<unknown, ApiKeyError>> = {
    get: (keys, ref) => keys.get(ref),
    patch: (keys, ref) => keys.patch(ref, { name: "b" }),
    rotate: (keys, ref) => keys.rotate(ref),
    revoke: (keys, ref) => keys.revoke(ref),
    delete: (keys, ref) => keys.delete(ref)
  }
  for (const [verb, call] of Object.entries(verbs)) {
    it.effect(`what is no id is refused before anything is sent, by ${verb}`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        for (const value of wrong) {
          const error = yield* expectError(call(keys, keys.ref(Redacted.make(value))), "InvalidRequest")
          assert(error.reason._tag === "InvalidRequest" && error.reason.source === "client")
          assert.deepStrictEqual(paths(error.reason), ["ref.value"])
          assert.include(error.message, "the key's id, a whole number")
          assert.include(error.message, "find the ref that you stored beside a hash of it")
          assert.isUndefined(error.handle)
          if (value.length > 1) assert.notInclude(inspect(error, { depth: 9 }), value)
        }
        assert.deepStrictEqual(yield* faults.attempts, [])
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("a handle names the key by its id, and does not print what is no id", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const key = yield* keys.create(spec)
      assert.strictEqual(key.handle, "voiceable_2")
      assert.strictEqual(keys.handle(key.ref), "voiceable_2")
      assert.strictEqual((yield* keys.get(key.ref)).handle, "voiceable_2")
      // Who has only the leaked secret may well take it for the address, as it is at other vendors.
      assert.notInclude(keys.handle(keys.ref(key.secret)), Redacted.value(key.secret))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a ref that the list gives is one that the verbs take", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const far = [999_999_999_999_999, 1e15, Number.MAX_SAFE_INTEGER].map((id) => row({ id }))
      yield* faults.inject(instead(enveloped(far)))
      const shown = yield* Stream.runCollect(keys.list())
      assert.lengthOf(shown, 3)
      for (const [index, { ref }] of shown.entries()) {
        if (Option.isNone(ref)) continue
        yield* faults.inject(instead(enveloped(far[index])))
        assert.deepStrictEqual((yield* keys.get(ref.value)).ref, ref)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a ref of another vendor or account is refused", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const value = Redacted.make("2")
      yield* expectReason(
        keys.revoke(new KeyRef({ provider: "jetemail", account: "default", value })),
        "InvalidRequest"
      )
      yield* expectReason(keys.revoke(new KeyRef({ provider: "voiceable", account: "eu", value })), "InvalidRequest")
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("what is read", () => {
  it.effect("a key, in neutral words", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5))
      const { keys } = yield* setup
      const options = { voiceable: { keyType: "public", transientAssistant: true } } as const
      const key = yield* keys.create({ ...spec, options })
      assert.strictEqual(Redacted.value(key.ref.value), "2")
      assert.strictEqual(Redacted.value(key.secret), MINTED)
      yield* TestClock.adjust("1 hour")
      yield* keys.patch(key.ref, { name: "acme 2" })
      const shown = yield* keys.get(key.ref)
      assert.deepStrictEqual(shown.name, Option.some("acme 2"))
      assert.deepStrictEqual([shown.status, shown.providerStatus], ["active", "active"])
      assert.deepStrictEqual({ ...shown.restrictions }, { origins: ["https://acme.example"], resources: ["123"] })
      assert.deepStrictEqual(shown.options, options.voiceable)
      assert.deepStrictEqual(shown.ref, Option.some(key.ref))
      const millis = (date: Option.Option<DateTime.Utc>) =>
        Option.getOrUndefined(Option.map(date, DateTime.toEpochMillis))
      assert.strictEqual(millis(shown.createdAt), Date.UTC(2026, 0, 2, 3, 4, 5))
      assert.strictEqual(millis(shown.updatedAt), Date.UTC(2026, 0, 2, 4, 4, 5))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("an empty list is everything, and so is one with the wildcard of browsers in it", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const open = yield* sandbox.addKey()
      assert.deepStrictEqual(
        { ...(yield* keys.get(refOf(String(open.id)))).restrictions },
        { origins: "any", resources: "any" }
      )
      const wild = yield* sandbox.addKey({ allowedOrigins: ["https://a.example", "*"], allowedAssistants: ["1"] })
      assert.deepStrictEqual(
        { ...(yield* keys.get(refOf(String(wild.id)))).restrictions },
        { origins: "any", resources: ["1"] }
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("origins are compared as browsers do, and what is no origin is shown as it is", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { id } = yield* sandbox.addKey({ allowedOrigins: ["https://ACME.example/", "https://*.acme.example"] })
      const { restrictions } = yield* keys.get(refOf(String(id)))
      assert.deepStrictEqual(restrictions.origins, ["https://acme.example", "https://*.acme.example"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("assistants may come as numbers", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const shown = row({ key_value: MINTED, allowed_assistants: [123] })
      yield* faults.inject(instead(enveloped(shown), 201), { method: "POST" })
      const { ref } = yield* keys.create(spec)
      yield* faults.inject(instead(enveloped(row({ allowed_assistants: [456, "789"] }))), { method: "PUT" })
      assert.strictEqual((yield* keys.patch(ref, { resources: ["456", "789"] })).proof, "echoed")
      yield* faults.inject(instead(enveloped(row({ allowed_assistants: [456, "789"] }))), { method: "GET" })
      assert.deepStrictEqual((yield* keys.get(ref)).restrictions.resources, ["456", "789"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("what is not shown, or in no form that we know, is absent and never guessed", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      yield* faults.inject(instead({ data: { id: FIRST } }), { method: "GET" })
      const bare = yield* keys.get(refOf("2"))
      assert.deepStrictEqual({ ...bare.restrictions }, {})
      assert.deepStrictEqual([bare.name, bare.createdAt, bare.updatedAt], [Option.none(), Option.none(), Option.none()])
      assert.deepStrictEqual(bare.options, {})
      const odd = row({
        id: "2",
        name: 7,
        key_type: null,
        allowed_origins: "https://acme.example",
        allowed_assistants: [{ id: 1 }],
        transient_assistant: "maybe",
        created_at: 1704873600,
        updated_at: "yesterday"
      })
      yield* faults.inject(instead(enveloped(odd)), { method: "GET" })
      assert.deepStrictEqual(inspect(yield* keys.get(refOf("2"))), inspect(bare))
      yield* faults.inject(instead(enveloped(row({ allowed_origins: null, key_type: "restricted" }))), {
        method: "GET"
      })
      const newer = yield* keys.get(refOf("2"))
      assert.deepStrictEqual({ ...newer.restrictions }, { resources: ["123"] })
      assert.deepStrictEqual(newer.options, { keyType: "restricted", transientAssistant: false })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("replies without the envelope are read like those with it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      yield* faults.inject(instead(row({ key_value: MINTED }), 201), { method: "POST" })
      const key = yield* keys.create(spec)
      assert.deepStrictEqual([key.handle, Redacted.value(key.secret)], ["voiceable_2", MINTED])
      yield* faults.inject(instead(row({ name: "bare" })), { method: "PUT" })
      assert.strictEqual((yield* keys.patch(key.ref, { name: "bare" })).proof, "echoed")
      yield* faults.inject(instead(row({ name: "bare" })), { method: "GET" })
      assert.deepStrictEqual((yield* keys.get(key.ref)).name, Option.some("bare"))
      yield* faults.inject(instead([row({ name: "bare" })]), { method: "GET" })
      assert.deepStrictEqual(
        (yield* Stream.runCollect(keys.list())).map(({ handle }) => handle),
        ["voiceable_2"]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const status of [200, 201] as const) {
    it.effect(`a creation may be answered ${status}`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        yield* sandbox.setCreateStatus(status)
        const key = yield* keys.create(spec)
        assert.isTrue(yield* sandbox.isLive(Redacted.value(key.secret)))
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("the list shows every key of the user, the manager's own too, and can be asked for a name", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* keys.create(spec)
      yield* keys.create({ ...spec, name: "acme 2" })
      yield* keys.create(spec)
      yield* sandbox.addKey({ name: "acme", userId: 2 })
      const handles = (filter?: { readonly name: string }) =>
        Effect.map(Stream.runCollect(keys.list(filter)), (all) => all.map(({ handle }) => handle))
      assert.deepStrictEqual(yield* handles(), ["voiceable_1", "voiceable_2", "voiceable_3", "voiceable_4"])
      assert.deepStrictEqual(yield* handles({ name: "acme" }), ["voiceable_2", "voiceable_4"])
      assert.deepStrictEqual(yield* handles({ name: "acm" }), [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("one odd row hides no other", () =>
    Effect.gen(function* () {
      const { client, faults, keys } = yield* setup
      const ids = ["not a number", -1, 1.5, "0x10", "1e3", " 2", "2 ", "+2", "02", "2.0", true, 1e16]
      const rows = [null, 7, "x", [], ...ids.map((id) => ({ id })), row({ id: 9 })]
      yield* faults.inject(instead(enveloped(rows)), { times: 2 })
      assert.lengthOf(yield* client.list, rows.length)
      const shown = yield* Stream.runCollect(keys.list())
      assert.deepStrictEqual(
        shown.map(({ handle, ref }) => [handle, Option.isSome(ref)]),
        [...Array.from({ length: rows.length - 1 }, () => ["voiceable_unknown", false]), ["voiceable_9", true]]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a list that is none, and a key without an id, are UnexpectedResponse", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const noList = [enveloped({ keys: [] }), enveloped(null), {}, "", html, `"text"`]
      for (const body of noList) {
        yield* faults.inject(instead(body), { method: "GET" })
        yield* expectReason(Stream.runCollect(keys.list()), "UnexpectedResponse")
      }
      const noKey = [
        enveloped(null),
        enveloped([row()]),
        enveloped(row({ id: undefined })),
        enveloped(row({ id: "0x10" })),
        { data: {}, id: 2 },
        "",
        html
      ]
      for (const body of noKey) {
        yield* faults.inject(instead(body), { method: "GET" })
        yield* expectReason(keys.get(refOf("2")), "UnexpectedResponse")
        yield* faults.inject(instead(enveloped(row())), { method: "GET" })
        yield* faults.inject(instead(body), { method: "PUT" })
        const error = yield* expectError(keys.patch(refOf("2"), { name: "b" }), "UnexpectedResponse")
        assert.strictEqual(error.http?.method, "PUT")
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  const refusing: Record<string, Readonly<Record<string, unknown>>> = {
    "status.code 422": { status: { code: 422, message: "Unprocessable" } },
    "status.code 500": { status: { code: 500 } },
    'status.code "404"': { status: { code: "404" } },
    "an error": { status: { code: 200 }, error: "no" },
    errors: { errors: ["no"] }
  }
  for (const [what, says] of Object.entries(refusing)) {
    it.effect(`a 200 with ${what} is not believed, though it shows a key`, () =>
      Effect.gen(function* () {
        const { faults, keys, stored } = yield* setup
        const { deliver, delivered } = vault()
        const { ref } = yield* keys.create(spec)
        const body = { ...says, data: row({ name: "b", key_value: "api_test_voiceable_not_ours" }) }
        yield* faults.inject(instead(body), { method: "GET" })
        yield* expectReason(keys.get(ref), "UnexpectedResponse")
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { method: "PUT" })
        const changed = yield* expectError(keys.patch(ref, { name: "b" }), "UnexpectedResponse")
        assert.strictEqual(changed.http?.method, "PUT")
        yield* faults.inject(instead({ ...says, data: [row()] }), { method: "GET" })
        yield* expectReason(Stream.runCollect(keys.list()), "UnexpectedResponse")
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { method: "POST" })
        yield* expectReason(keys.create(spec, { deliver }), "OutcomeUnknown")
        assert.lengthOf(delivered, 0)
        assert.lengthOf(yield* stored, 1)
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("errors that are none are none", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const says of [{ errors: [] }, { error: null }, { error: null, errors: null }]) {
        yield* faults.inject(instead({ ...enveloped(row()), ...says }), { method: "GET" })
        assert.deepStrictEqual((yield* keys.get(ref)).name, Option.some("acme"))
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a reply about another key than was asked for is UnexpectedResponse", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const other = instead(enveloped(row({ id: 22 })))
      yield* faults.inject(other, { method: "GET" })
      const read = yield* expectError(keys.get(ref), "UnexpectedResponse")
      assert.include(read.message, "data.id")
      yield* faults.inject(other, { method: "PUT" })
      const changed = yield* expectError(keys.patch(ref, { name: "acme" }), "UnexpectedResponse")
      assert.deepStrictEqual([changed.operation, changed.handle], ["patch", "voiceable_2"])
      yield* faults.inject(other, { method: "GET" })
      yield* expectReason(keys.rotate(ref), "UnexpectedResponse")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a secret that the list or a reading shows is redacted", () =>
    Effect.gen(function* () {
      const { client, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      yield* sandbox.showKeyValues(true)
      const everything = [
        yield* client.get("2"),
        yield* client.list,
        yield* keys.get(ref),
        yield* Stream.runCollect(keys.list())
      ]
      const text = `${inspect(everything, { depth: 9 })} ${JSON.stringify(everything)}`
      assert.include(text, "acme")
      assert.notInclude(text, Redacted.value(secret))
      assert.notInclude(text, Redacted.value(sandbox.credential))
      assert.deepStrictEqual((yield* client.get("2")).keyValue, Option.some(secret))
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("a reply to a creation that is not as documented", () => {
  const secret = "api_test_voiceable_salvaged"
  const whole = JSON.stringify(enveloped(row({ key_value: secret }), 201))

  const found: Record<string, string> = {
    "cut off behind the secret": whole.slice(0, whole.indexOf(`,"allowed_origins"`)),
    "cut off behind the id, which comes last": `{"data":{"key_value" : "${secret}","user_id":1,"id" : 2 }`,
    "of another depth": JSON.stringify({ result: { api_key: row({ key_value: secret }) } }),
    "in a list of one": JSON.stringify([{ id: 2, key_value: secret }]),
    "in text that repeats it": `${whole}\n${whole}`,
    "cut off, beside another id": `{"user":{"id":1},"key":{"id":2,"key_value":"${secret}",`
  }
  for (const [what, body] of Object.entries(found)) {
    it.effect(`the key is found: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { deliver, delivered } = vault()
        yield* faults.inject(instead(body, 201), { method: "POST" })
        const key = yield* keys.create(spec, { deliver })
        assert.deepStrictEqual([key.handle, Redacted.value(key.secret)], ["voiceable_2", secret])
        assert.lengthOf(delivered, 1)
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  const two = row({ id: 3, key_value: "api_test_voiceable_another" })
  const lost: Record<string, string> = {
    "cut off within the secret": whole.slice(0, whole.indexOf(secret) + 20),
    "cut off before the secret": whole.slice(0, whole.indexOf(`"key_value"`)),
    "cut off within the id": `{"data":{"key_value":"${secret}","id":2`,
    "a secret and no id": JSON.stringify({ key_value: secret }),
    "two keys": JSON.stringify(enveloped([row({ key_value: secret }), two])),
    "two keys, cut off": JSON.stringify([row({ key_value: secret }), two]).slice(0, -3),
    "the id of something in it, cut off": `{"data":{"key_value":"${secret}","name":"a","user":{"id":3},"allowed_or`,
    "the id of something before it, cut off": `{"data":{"user":{"id":3},"key_value":"${secret}","name":"a",`,
    "two ids in one, cut off": `{"id":1,"key_value":"${secret}","id":2,`,
    "two secrets, cut off": `{"id":2,"key_value":"${secret}","last":{"key_value":"${secret}2"}`,
    "another's id": `{"user_id":2,"key_value":"${secret}",`,
    "a masked secret, cut off": `{"id":2,"key_value":"api_test_voiceable_****",`,
    "an escaped secret, cut off": `{"id":2,"key_value":"api_test\\u0041",`,
    "an id that is none": JSON.stringify(enveloped(row({ id: "2b", key_value: secret }))),
    "a hexadecimal id": JSON.stringify(enveloped(row({ id: "0x10", key_value: secret }))),
    "an error beside the key": JSON.stringify({ ...enveloped(row({ key_value: secret })), error: "no" }),
    "errors beside the key": JSON.stringify({ ...enveloped(row({ key_value: secret })), errors: ["no"] }),
    "an envelope that says 422, with a key": JSON.stringify(enveloped(row({ key_value: secret }), 422)),
    "an envelope that says 422, with a key at another depth": JSON.stringify(
      enveloped({ api_key: row({ key_value: secret }) }, 422)
    ),
    "a filtered secret, cut off": `{"id":2,"key_value":"[FILTERED]",`,
    "no secret, cut off": `{"id":2,"key_value":"null",`,
    "a page": html,
    nothing: "",
    "an empty object": "{}"
  }
  for (const [what, body] of Object.entries(lost)) {
    it.effect(`OutcomeUnknown: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { deliver, delivered } = vault()
        yield* faults.inject(instead(body, 201), { method: "POST" })
        const error = yield* expectError(keys.create(spec, { deliver }), "OutcomeUnknown")
        assert.notInclude(inspect(error, { depth: 9 }), "api_test")
        assert.lengthOf(delivered, 0)
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  const keyless: Record<string, unknown> = {
    "is null": null,
    "is left out": undefined,
    "is empty": "",
    "is filtered": "[FILTERED]",
    'is the word "null"': "null",
    'is the word "undefined"': "undefined",
    "is too short for a secret": "a".repeat(15),
    "is masked": "api_test_voiceable_****",
    "is shortened": "api_test..0001",
    "is no string": { value: "api_test_voiceable_0001" }
  }
  for (const [what, key_value] of Object.entries(keyless)) {
    it.effect(`a key whose key_value ${what} is named, and left alone: it may be another`, () =>
      Effect.gen(function* () {
        const { faults, keys, sent, stored } = yield* setup
        const { deliver, delivered } = vault()
        yield* faults.inject(instead(enveloped(row({ key_value })), 201), { method: "POST" })
        const error = yield* expectError(keys.create(spec, { deliver }), "OutcomeUnknown")
        assert.strictEqual(error.handle, "voiceable_2")
        assert.lengthOf(delivered, 0)
        assert.lengthOf(yield* stored, 1)
        assert.deepStrictEqual(yield* sent, ["POST /api/v1/api_keys"])
      }).pipe(Effect.provide(withSandbox()))
    )
  }
})

describe("a patch", () => {
  it.effect("that the vendor echoes is proven, and `confirm` reads again", () =>
    Effect.gen(function* () {
      const { keys, sent } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sent
      const echoed = yield* keys.patch(ref, { name: "b", origins: "any", resources: ["9"] })
      assert.strictEqual(echoed.proof, "echoed")
      const shown = Option.getOrThrow(echoed.key)
      assert.deepStrictEqual({ ...shown.restrictions }, { origins: "any", resources: ["9"] })
      const once = ["GET /api/v1/api_keys/2", "PUT /api/v1/api_keys/2"]
      assert.deepStrictEqual(yield* sent, once)
      assert.strictEqual((yield* keys.patch(ref, { name: "c" }, { confirm: true })).proof, "confirmed")
      assert.deepStrictEqual(yield* sent, [...once, "GET /api/v1/api_keys/2"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("whose reply shows nothing but the id is acknowledged, and cannot be confirmed from a bare view", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* faults.inject(instead(enveloped({ id: FIRST })), { method: "PUT" })
      assert.strictEqual((yield* keys.patch(ref, { origins: ["https://b.example"] })).proof, "acknowledged")
      yield* faults.inject(instead(enveloped(row())), { method: "GET" })
      yield* faults.inject(instead(enveloped({ id: FIRST })), { method: "PUT" })
      yield* faults.inject(instead(enveloped({ id: FIRST })), { method: "GET" })
      const reason = yield* expectReason(
        keys.patch(ref, { origins: ["https://c.example"] }, { confirm: true }),
        "UnexpectedResponse"
      )
      assert.deepStrictEqual(paths(reason), ["origins"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("that opens a key is PartiallyApplied where the vendor ignores empty lists", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setEmptyLists("ignored")
      const change: KeyPatch = { name: "b", origins: "any", resources: "any" }
      const reason = yield* expectReason(keys.patch(ref, change), "PartiallyApplied")
      assert.deepStrictEqual([reason.applied, reason.missing], [["name"], ["origins", "resources"]])
      assert.isUndefined(reason.revoked)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("that narrows a key is PartiallyApplied where the echo is wider", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create({ ...spec, resources: ["123", "456"] })
      const shown = row({ allowed_origins: [], allowed_assistants: ["123", "456"] })
      yield* faults.inject(instead(enveloped(shown)), { method: "PUT" })
      const change: KeyPatch = { origins: ["https://acme.example"], resources: ["123"] }
      const reason = yield* expectReason(keys.patch(ref, change), "PartiallyApplied")
      assert.deepStrictEqual(reason.missing, ["origins", "resources"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("that took effect is not said to be unsent when reading it back fails", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* faults.inject(instead(enveloped(row())), { method: "GET" })
      yield* faults.inject({ status: 429, headers: { "retry-after": "300" } }, { method: "GET" })
      const reason = yield* expectReason(keys.patch(ref, { name: "b" }, { confirm: true }), "PartiallyApplied")
      assert.deepStrictEqual([reason.applied, reason.missing], [["name"], ["confirmation"]])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("is not sent where the key cannot be read first", () =>
    Effect.gen(function* () {
      const { faults, keys, sent, stored } = yield* setup
      const { ref } = yield* keys.create(spec)
      const before = yield* stored
      yield* sent
      for (const [fault, tag] of [
        [{ status: 503 }, "ProviderUnavailable"],
        [{ status: 401 }, "AuthenticationFailed"],
        [instead(enveloped(row({ id: 9 }))), "UnexpectedResponse"],
        [instead(enveloped(row(), 404)), "UnexpectedResponse"]
      ] as const) {
        yield* faults.inject(fault, { method: "GET" })
        yield* expectReason(keys.patch(ref, { name: "b" }), tag)
      }
      assert.isFalse((yield* sent).some((request) => request.startsWith("PUT")))
      assert.deepStrictEqual(yield* stored, before)
    }).pipe(Effect.provide(withSandbox({ retry: false, rateLimit: false })))
  )

  const along: Record<string, readonly [Readonly<Record<string, unknown>>, ReadonlyArray<string>]> = {
    "every origin": [{ allowed_origins: [] }, ["origins"]],
    "every assistant": [{ allowed_assistants: [] }, ["resources"]],
    both: [{ allowed_origins: [], allowed_assistants: [] }, ["origins", "resources"]],
    "another origin": [{ allowed_origins: ["https://acme.example", "https://b.example"] }, ["origins"]],
    "another assistant": [{ allowed_assistants: ["456"] }, ["resources"]],
    // What an emptied list may well look like.
    "origins as null": [{ allowed_origins: null }, ["origins"]],
    "origins that cannot be read": [{ allowed_origins: "*", allowed_assistants: {} }, ["origins", "resources"]],
    "another type": [{ key_type: "public" }, ["options.keyType"]],
    "transient assistants": [{ transient_assistant: true }, ["options.transientAssistant"]]
  }
  for (const [what, [shown, missing]] of Object.entries(along)) {
    it.effect(`of the name whose reply shows ${what}, which nobody asked for, is PartiallyApplied`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        for (const options of [{}, { confirm: true }]) {
          yield* faults.inject(instead(enveloped(row({ name: "b", ...shown }))), { method: "PUT" })
          const error = yield* expectError(keys.patch(ref, { name: "b" }, options), "PartiallyApplied")
          assert(error.reason._tag === "PartiallyApplied")
          assert.deepStrictEqual([error.reason.applied, error.reason.missing], [["name"], missing])
          assert.deepStrictEqual([error.operation, error.handle], ["patch", "voiceable_2"])
        }
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  for (const [what, said] of [
    ["errors by field", { errors: { base: ["no"] } }],
    ["errors as text", { errors: "no" }],
    ["an error object", { error: { message: "no" } }],
    ["an error", { error: true }]
  ] as const) {
    it.effect(`whose reply shows the key beside ${what} is not believed`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        yield* faults.inject(instead({ ...enveloped(row({ name: "b" })), ...said }), { method: "PUT" })
        yield* expectReason(keys.patch(ref, { name: "b" }), "UnexpectedResponse")
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("of one list is PartiallyApplied where the reply shows the other one open", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const shown = row({ allowed_origins: ["https://b.example"], allowed_assistants: [] })
      yield* faults.inject(instead(enveloped(shown)), { method: "PUT" })
      const reason = yield* expectReason(keys.patch(ref, { origins: ["https://b.example"] }), "PartiallyApplied")
      assert.deepStrictEqual([reason.applied, reason.missing], [["origins"], ["resources"]])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("that leaves the lists as they were, in another order or form, takes nothing along", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create({
        ...spec,
        origins: ["https://acme.example", "https://b.example"],
        resources: ["123", "456"]
      })
      const same = {
        name: "b",
        allowed_origins: ["https://B.example/", "https://acme.example"],
        allowed_assistants: [456, 123]
      }
      for (const shown of [row(same), { id: FIRST, name: "b" }]) {
        yield* faults.inject(instead(enveloped(shown)), { method: "PUT" })
        assert.strictEqual((yield* keys.patch(ref, { name: "b" })).proof, "echoed")
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("whose reply shows what was asked in a form that cannot be read is PartiallyApplied", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const allowed_origins of [null, "*", "[]", {}]) {
        yield* faults.inject(instead(enveloped(row({ allowed_origins }))), { method: "PUT" })
        const narrowed = yield* expectReason(keys.patch(ref, { origins: ["https://b.example"] }), "PartiallyApplied")
        assert.deepStrictEqual(narrowed.missing, ["origins"])
        // Whatever it is, it is not narrower than everything.
        yield* faults.inject(instead(enveloped(row({ allowed_origins }))), { method: "PUT" })
        assert.strictEqual((yield* keys.patch(ref, { origins: "any" })).proof, "acknowledged")
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("with nothing in it is refused", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      yield* expectReason(keys.patch(refOf("2"), {}), "InvalidRequest")
      yield* expectReason(keys.patch(refOf("2"), { origins: undefined } as unknown as KeyPatch), "InvalidRequest")
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("statuses", () => {
  const expected: ReadonlyArray<readonly [status: number, create: ReasonTag, other: ReasonTag, list: ReasonTag]> = [
    [400, "InvalidRequest", "InvalidRequest", "InvalidRequest"],
    [401, "AuthenticationFailed", "AuthenticationFailed", "AuthenticationFailed"],
    [403, "PermissionDenied", "PermissionDenied", "PermissionDenied"],
    [404, "InvalidRequest", "KeyNotFound", "InvalidRequest"],
    [409, "InvalidRequest", "InvalidRequest", "InvalidRequest"],
    [422, "InvalidRequest", "InvalidRequest", "InvalidRequest"],
    [500, "OutcomeUnknown", "ProviderUnavailable", "ProviderUnavailable"],
    [502, "OutcomeUnknown", "ProviderUnavailable", "ProviderUnavailable"],
    [503, "OutcomeUnknown", "ProviderUnavailable", "ProviderUnavailable"],
    [429, "RateLimited", "RateLimited", "RateLimited"]
  ]
  for (const shape of ["documented", "messageOnly"] as const) {
    for (const [status, create, other, list] of expected) {
      it.effect(`${status}, ${shape}`, () =>
        Effect.gen(function* () {
          const { faults, keys, sandbox, stored } = yield* setup
          const { ref } = yield* keys.create(spec)
          const before = yield* stored
          yield* sandbox.setErrorShape(shape)
          const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, ApiKeyError>, ReasonTag]> = [
            ["create", keys.create(spec), create],
            ["patch", keys.patch(ref, { name: "b" }), other],
            ["get", keys.get(ref), other],
            ["rotate", keys.rotate(ref), other],
            ["revoke", keys.revoke(ref), other],
            ["delete", keys.delete(ref), other],
            ["list", Stream.runCollect(keys.list()), list]
          ]
          for (const [verb, call, tag] of calls) {
            yield* sandbox.failNext(status)
            const error = yield* expectError(call, tag)
            assert.strictEqual(error.operation, verb)
            assert.strictEqual(error.http?.status, status)
            assert.notInclude(inspect(error, { depth: 9 }), "Request failed", "the vendor's text")
            if (error.reason._tag === "InvalidRequest") assert.strictEqual(error.reason.source, "provider")
          }
          // A patch reads first: here the change itself is refused.
          const code = { code: status, message: "Request failed" }
          const body = shape === "documented" ? { status: code, error: "Request failed", errors: [] } : { status: code }
          yield* faults.inject({ status, body: JSON.stringify(body) }, { method: "PUT" })
          const changed = yield* expectError(keys.patch(ref, { name: "b" }), other)
          assert.deepStrictEqual(
            [changed.operation, changed.http?.method, changed.http?.status],
            ["patch", "PUT", status]
          )
          assert.deepStrictEqual(yield* stored, before)
        }).pipe(Effect.provide(withSandbox({ retry: false, rateLimit: false })))
      )
    }
  }

  it.effect("a manager's key that is gone, or public, is told apart", () => {
    let current = "api_test_voiceable_public"
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* sandbox.addKey({ keyType: "public", keyValue: current })
      yield* expectReason(keys.create(spec), "PermissionDenied")
      yield* expectReason(keys.revoke(refOf("2")), "PermissionDenied")
      current = "api_test_voiceable_gone"
      yield* expectReason(keys.get(refOf("2")), "AuthenticationFailed")
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.sync(() => Redacted.make(current)) })))
  })

  const said = [
    ["Name can't be blank", "name"],
    ["Key type is not included in the list", "options.voiceable.keyType"],
    ["key_type must be private api_test_text", "options.voiceable.keyType"],
    ["Allowed origins is invalid: https://api_test_text", "origins"],
    ["allowed_origins[0] is invalid", "origins"],
    ["Allowed assistants 999 do not exist", "resources"],
    ["Transient assistant is for private keys", "options.voiceable.transientAssistant"]
  ] as const
  for (const status of [400, 422]) {
    it.effect(`a ${status} names our fields, and holds nothing of the vendor's text`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        for (const [text, path] of said) {
          const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, ApiKeyError>]> = [
            ["POST", keys.create(spec)],
            ["PUT", keys.patch(refOf("2"), { name: "b" })]
          ]
          for (const [method, call] of calls) {
            const body = { status: { code: status, message: text }, error: text, errors: [text], details: text }
            yield* faults.inject(instead(body, status), { method })
            const error = yield* expectError(call, "InvalidRequest")
            assert(error.reason._tag === "InvalidRequest" && error.reason.source === "provider")
            assert.deepStrictEqual(paths(error.reason), [path])
            assert.notInclude(inspect(error, { depth: 9 }), text.split(" ").slice(-2).join(" "))
          }
        }
        const errors = [...said.map(([text]) => text), "Base is invalid"]
        yield* faults.inject(instead({ errors }, status), { method: "POST" })
        const all = yield* expectReason(keys.create(spec), "InvalidRequest")
        assert.deepStrictEqual(paths(all), [
          "name",
          "options.voiceable.keyType",
          "origins",
          "resources",
          "options.voiceable.transientAssistant"
        ])
        const others = ["Namesake is taken", "Its name is taken", "Disallowed origins", "keytype", "Key  type"]
        const silent = [
          { errors: others },
          { errors: { name: ["is taken"] } },
          { errors: [7, "Name"] },
          {},
          [],
          "",
          html
        ]
        for (const body of silent) {
          yield* faults.inject(instead(body, status), { method: "POST" })
          assert.deepStrictEqual((yield* expectReason(keys.create(spec), "InvalidRequest")).issues, [])
        }
      }).pipe(Effect.provide(withSandbox({ rateLimit: false })))
    )
  }

  it.effect("what the vendor itself refuses is named", () =>
    Effect.gen(function* () {
      const { client, faults } = yield* setup
      // The client's own types let a blank name through.
      const reason = yield* expectReason(client.update("1", { name: " " }), "InvalidRequest")
      assert.deepStrictEqual([reason.source, paths(reason)], ["provider", ["name"]])
      assert.lengthOf(yield* faults.attempts, 1)
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("a 404", () => {
  it.effect("of the vendor is KeyNotFound, in every verb on one key", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const foreign = yield* sandbox.addKey({ userId: 2 })
      for (const shape of ["documented", "messageOnly"] as const) {
        yield* sandbox.setErrorShape(shape)
        for (const id of ["999999", String(foreign.id)]) {
          const ref = refOf(id)
          yield* expectReason(keys.get(ref), "KeyNotFound")
          yield* expectReason(keys.patch(ref, { name: "b" }), "KeyNotFound")
          yield* expectReason(keys.rotate(ref), "KeyNotFound")
          yield* expectReason(keys.revoke(ref), "KeyNotFound")
          yield* expectReason(keys.delete(ref), "KeyNotFound")
        }
      }
      assert.isTrue(yield* sandbox.isLive(foreign.keyValue))
    }).pipe(Effect.provide(withSandbox()))
  )

  const foreign: Record<string, unknown> = {
    "a proxy's page": html,
    nothing: "",
    "an empty object": {},
    "a list": [],
    "JSON of another service": { message: "Not Found" },
    "a gateway's error": { error: "Not Found" },
    "a gateway's error and errors": { error: "Not Found", errors: ["Not Found"] },
    "errors of nothing": { errors: [] },
    "an envelope of nothing": { status: {} },
    "an envelope that says something else": { status: { code: 200, message: "ok" } },
    "an envelope that says so in its text alone": { status: { message: "404 Not Found" } },
    "an envelope within another": { data: { status: { code: 404 } } },
    "what Rails answers where no route matches: the wrong base URL": { status: 404, error: "Not Found" }
  }
  for (const [what, body] of Object.entries(foreign)) {
    it.effect(`that is not the vendor's own says nothing of the key: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const text = typeof body === "string" ? body : JSON.stringify(body)
        const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, ApiKeyError>]> = [
          ["GET", keys.get(ref)],
          ["GET", keys.patch(ref, { name: "b" })],
          ["PUT", keys.patch(ref, { name: "b" })],
          ["GET", keys.rotate(ref)],
          ["DELETE", keys.revoke(ref)],
          ["DELETE", keys.delete(ref)]
        ]
        for (const [method, call] of calls) {
          yield* faults.inject({ status: 404, body: text }, { method })
          const error = yield* expectError(call, "InvalidRequest")
          assert.deepStrictEqual([error.http?.method, error.http?.status], [method, 404])
        }
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withSandbox()))
    )

    it.effect(`that is not the vendor's own does not retire the old key of a rotation: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const old = yield* keys.create(spec)
        const { deliver, delivered } = vault()
        const text = typeof body === "string" ? body : JSON.stringify(body)
        yield* faults.inject({ status: 404, body: text }, { method: "DELETE" })
        const { incomplete, issued, previous } = yield* keys.rotate(old.ref, { deliver })
        assert.strictEqual(previous, "live")
        assert(incomplete?.step === "retire")
        assert.strictEqual(incomplete.error.reason._tag, "InvalidRequest")
        assert.deepStrictEqual(delivered, [issued])
        assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
        assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      }).pipe(Effect.provide(withSandbox()))
    )
  }
})

describe("deletion", () => {
  const verbs = {
    delete: (keys: ApiKeyService["Service"], ref: KeyRef) => Effect.asVoid(keys.delete(ref)),
    revoke: (keys: ApiKeyService["Service"], ref: KeyRef) =>
      Effect.map(keys.revoke(ref), (how) => assert.strictEqual(how, "deleted"))
  }
  for (const [verb, call] of Object.entries(verbs)) {
    for (const reply of [200, 204, 302] as const) {
      it.effect(`${verb}: after a ${reply} the key is looked for, and gone`, () =>
        Effect.gen(function* () {
          const { keys, sandbox, sent } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* sandbox.setDeleteReply(reply)
          yield* sent
          yield* call(keys, ref)
          assert.isFalse(yield* sandbox.isLive(Redacted.value(secret)))
          // A redirect that were followed would be a request to the list.
          assert.deepStrictEqual(yield* sent, ["DELETE /api/v1/api_keys/2", "GET /api/v1/api_keys/2"])
          yield* expectReason(keys.get(ref), "KeyNotFound")
        }).pipe(Effect.provide(withSandbox()))
      )
    }

    for (const reply of ["redirectUndone", "htmlUndone"] as const) {
      it.effect(`${verb}: ${reply} leaves the key there, and is not called a success`, () =>
        Effect.gen(function* () {
          const { keys, sandbox, sent } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* sandbox.setDeleteReply(reply)
          yield* sent
          const error = yield* expectError(call(keys, ref), "UnexpectedResponse")
          assert.include(error.message, "the key is still there")
          assert.deepStrictEqual([error.operation, error.handle], [verb, "voiceable_2"])
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          assert.deepStrictEqual(yield* sent, ["DELETE /api/v1/api_keys/2", "GET /api/v1/api_keys/2"])
        }).pipe(Effect.provide(withSandbox()))
      )
    }

    const undone: Record<string, HttpFaults.Fault> = {
      "the vendor's envelope": { status: 200, body: `{"status":{"code":200,"message":"API key deleted"}}` },
      "the vendor's envelope, and an error in it": {
        status: 200,
        body: `{"status":{"code":200},"data":{"error":"no"}}`
      },
      "the vendor's envelope, and the key": { status: 200, body: JSON.stringify(enveloped(row())) },
      "an empty object": { status: 200, body: "{}" },
      "an empty body": { status: 200, body: "" },
      "a key": { status: 200, body: JSON.stringify(row()) },
      "a status that is none": { status: 200, body: `{"status":"ok"}` },
      "a list": { status: 200, body: "[]" },
      "303": { status: 303, headers: { location: "https://evil.example/login" } },
      "307": { status: 307, headers: { location: "https://evil.example/login" } },
      "304": { status: 304 }
    }
    for (const [what, fault] of Object.entries(undone)) {
      it.effect(`${verb}: a reply that says nothing, and nothing done, is not called a success: ${what}`, () =>
        Effect.gen(function* () {
          const { faults, keys, sandbox } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* faults.inject(fault, { method: "DELETE" })
          const error = yield* expectError(call(keys, ref), "UnexpectedResponse")
          assert.include(error.message, "the key is still there")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          assert.isFalse((yield* faults.attempts).some(({ url }) => url.includes("evil")))
        }).pipe(Effect.provide(withSandbox()))
      )
    }

    for (const [what, body] of [
      ["an error beside the envelope", `{"status":{"code":200},"error":"no"}`],
      ["errors beside the envelope", `{"status":{"code":200},"errors":["no"]}`],
      ["an envelope that says 401", `{"status":{"code":401,"message":"Unauthorized"}}`]
    ] as const) {
      it.effect(`${verb}: a 200 that says no is no success, wherever the key is: ${what}`, () =>
        Effect.gen(function* () {
          const { faults, keys, sandbox, sent } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* faults.inject({ status: 200, body }, { method: "DELETE" })
          // Nor where reading it would not find it, for another reason.
          yield* faults.inject({ status: 404, body: `{"status":{"code":404}}` }, { method: "GET" })
          yield* sent
          yield* expectReason(call(keys, ref), "UnexpectedResponse")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          assert.deepStrictEqual(yield* sent, [])
        }).pipe(Effect.provide(withSandbox()))
      )
    }

    const unseen: Record<string, readonly [HttpFaults.Fault, "PartiallyApplied" | "UnexpectedResponse"]> = {
      "a page that is not found": [{ status: 404, body: html }, "PartiallyApplied"],
      "what Rails answers where no route matches": [
        { status: 404, body: `{"status":404,"error":"Not Found"}` },
        "PartiallyApplied"
      ],
      "a gateway's error": [{ status: 404, body: `{"error":"Not Found"}` }, "PartiallyApplied"],
      "a login": [{ status: 302, headers: { location: "/login" } }, "UnexpectedResponse"],
      "another key": [instead(enveloped(row({ id: 9 }))), "UnexpectedResponse"],
      "a 200 that says 404": [{ status: 200, body: `{"status":{"code":404}}` }, "UnexpectedResponse"],
      "no credential any more": [{ status: 401 }, "PartiallyApplied"],
      "no permission any more": [{ status: 403 }, "PartiallyApplied"],
      "a limit": [{ status: 429, headers: { "retry-after": "300" } }, "PartiallyApplied"],
      "nobody who listens": ["refused", "PartiallyApplied"],
      "a connection that breaks": ["reset", "PartiallyApplied"],
      "a vendor that is down": [{ status: 503 }, "PartiallyApplied"]
    }
    for (const [what, [fault, tag]] of Object.entries(unseen)) {
      for (const reply of [200, "redirectUndone"] as const) {
        it.effect(`${verb}: a ${reply} is no success where looking for the key meets ${what}`, () =>
          Effect.gen(function* () {
            const { faults, keys, sandbox } = yield* setup
            const { ref } = yield* keys.create(spec)
            yield* sandbox.setDeleteReply(reply)
            yield* faults.inject(fault, { method: "GET", times: 4 })
            const error = yield* expectError(call(keys, ref), tag)
            assert.deepStrictEqual([error.operation, error.handle], [verb, "voiceable_2"])
            if (error.reason._tag !== "PartiallyApplied") return
            assert.deepStrictEqual([error.reason.applied, error.reason.missing], [["delete"], ["confirmation"]])
            assert.isUndefined(error.reason.revoked)
            assert.notMatch(error.message, /not(?:hing)?\b.{0,9}\bsent|refuse/i, "the deletion was sent")
          }).pipe(Effect.provide(withSandbox()))
        )
      }
    }

    it.effect(`${verb}: is not said to be unsent where the limiter holds back the look`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        // A revoke has a reserve beside.
        const others = verb === "revoke" ? 78 : 58
        const read: Effect.Effect<unknown, ApiKeyError> =
          verb === "revoke" ? keys.revoke(refOf("999999")) : keys.get(ref)
        yield* Effect.forEach(Array.from({ length: others }), () => Effect.exit(read))
        const reason = yield* expectReason(call(keys, ref), "PartiallyApplied")
        assert.deepStrictEqual([reason.applied, reason.missing], [["delete"], ["confirmation"]])
        assert.isFalse(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
    )

    it.effect(`${verb}: a 404 on the repeat of a lost one is a success, a page that is not found is none`, () =>
      Effect.gen(function* () {
        const { faults, keys, sent } = yield* setup
        const first = yield* keys.create(spec)
        yield* sent
        yield* faults.inject("resetAfterCommit", { method: "DELETE" })
        yield* call(keys, first.ref)
        assert.deepStrictEqual(yield* sent, [
          "DELETE /api/v1/api_keys/2",
          "DELETE /api/v1/api_keys/2",
          "GET /api/v1/api_keys/2"
        ])
        const second = yield* keys.create(spec)
        yield* faults.inject("reset", { method: "DELETE" })
        yield* faults.inject({ status: 404, body: html }, { method: "DELETE" })
        yield* expectReason(call(keys, second.ref), "InvalidRequest")
      }).pipe(Effect.provide(withSandbox()))
    )

    for (const [what, body] of Object.entries({
      "a page": html,
      "an error": `{"error":"Not Found"}`,
      "errors of nothing": `{"errors":[]}`,
      "what Rails answers": `{"status":404,"error":"Not Found"}`
    })) {
      it.effect(`${verb}: a gateway's 502, and its 404 on the repeat, are no success: ${what}`, () =>
        Effect.gen(function* () {
          const { faults, keys, sandbox, sent } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* sent
          yield* faults.inject({ status: 502, body: html }, { method: "DELETE" })
          yield* faults.inject({ status: 404, body }, { method: "DELETE" })
          yield* expectReason(call(keys, ref), "InvalidRequest")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
          // Neither of them reached the vendor, and nothing was looked up.
          assert.deepStrictEqual(yield* sent, [])
        }).pipe(Effect.provide(withSandbox()))
      )
    }

    it.effect(
      `${verb}: the vendor's own 404 on a repeat is looked up too, and not believed where the key is there`,
      () =>
        Effect.gen(function* () {
          const { faults, keys, sandbox } = yield* setup
          const { ref, secret } = yield* keys.create(spec)
          yield* faults.inject("reset", { method: "DELETE" })
          yield* faults.inject({ status: 404, body: `{"status":{"code":404}}` }, { method: "DELETE" })
          yield* expectReason(call(keys, ref), "UnexpectedResponse")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
        }).pipe(Effect.provide(withSandbox()))
    )

    it.effect(`${verb}: a 404 on the first attempt, or after one that was not sent, is KeyNotFound`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        yield* expectReason(call(keys, refOf("999999")), "KeyNotFound")
        yield* faults.inject("refused", { method: "DELETE" })
        yield* expectReason(call(keys, refOf("999999")), "KeyNotFound")
      }).pipe(Effect.provide(withSandbox()))
    )
  }
})

describe("rotation", () => {
  const full: Partial<VoiceableSandbox.SandboxKey> = {
    name: "Receptionist",
    keyType: "public",
    allowedOrigins: ["https://a.example", "https://b.example:8443"],
    allowedAssistants: ["123", "abc"],
    transientAssistant: true
  }

  it.effect("the successor is a copy, delivered while the old key lives, which is then deleted", () =>
    Effect.gen(function* () {
      const { keys, sandbox, sent, stored } = yield* setup
      const old = yield* sandbox.addKey(full)
      yield* TestClock.adjust("1 hour")
      const lived: Array<boolean> = []
      const rotated = yield* keys.rotate(refOf("2"), {
        deliver: ({ secret }) =>
          Effect.gen(function* () {
            lived.push(yield* sandbox.isLive(Redacted.value(secret)), yield* sandbox.isLive(old.keyValue))
          })
      })
      assert.deepStrictEqual(lived, [true, true])
      assert.deepStrictEqual([rotated.previous, rotated.incomplete], ["retired", undefined])
      assert.strictEqual(rotated.issued.handle, "voiceable_3")
      assert.deepStrictEqual(rotated.issued.name, Option.some("Receptionist"))
      const [successor, ...others] = yield* stored
      assert.lengthOf(others, 0)
      assert.deepStrictEqual(successor, {
        ...old,
        id: 3,
        keyValue: Redacted.value(rotated.issued.secret),
        createdAt: 3_600_000,
        updatedAt: 3_600_000
      })
      assert.deepStrictEqual(yield* sent, [
        "GET /api/v1/api_keys/2",
        "POST /api/v1/api_keys",
        "DELETE /api/v1/api_keys/2",
        "GET /api/v1/api_keys/2"
      ])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the copy is of the old key, and not of the layer's defaults", () =>
    Effect.gen(function* () {
      const { keys, sandbox, stored } = yield* setup
      yield* sandbox.addKey({ name: "open", keyType: "private" })
      const { issued } = yield* keys.rotate(refOf("2"), { deliver: () => Effect.void })
      assert.deepStrictEqual(issued.unrestricted, Option.some(["origins", "resources"] as const))
      const [made] = yield* stored
      assert.deepStrictEqual([made?.keyType, made?.allowedOrigins, made?.allowedAssistants], ["private", [], []])
    }).pipe(
      Effect.provide(
        withSandbox({ defaults: { origins: ["https://default.example"], resources: ["1"], keyType: "public" } })
      )
    )
  )

  it.effect("what someone wrote in the dashboard is copied as it is, however odd", () =>
    Effect.gen(function* () {
      const { keys, sandbox, stored } = yield* setup
      const odd = { name: "x".repeat(300), allowedOrigins: ["https://*.acme.example"], allowedAssistants: ["a b"] }
      yield* sandbox.addKey(odd)
      yield* keys.rotate(refOf("2"), { deliver: () => Effect.void })
      const [made] = yield* stored
      assert.deepStrictEqual(
        [made?.id, made?.name, made?.allowedOrigins, made?.allowedAssistants],
        [3, odd.name, odd.allowedOrigins, odd.allowedAssistants]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("no copy is wider: an assistant that is called * is one assistant", () =>
    Effect.gen(function* () {
      const { keys, sandbox, stored } = yield* setup
      yield* sandbox.addKey({ name: "odd", allowedAssistants: ["*", "123"] })
      yield* Effect.exit(keys.rotate(refOf("2"), { deliver: () => Effect.void }))
      for (const { allowedAssistants } of yield* stored) assert.notDeepEqual(allowedAssistants, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("with keepPrevious, or without deliver, both live", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* keys.create(spec)
      const kept = yield* keys.rotate(old.ref, { deliver: () => Effect.void, keepPrevious: true })
      const handed = yield* keys.rotate(old.ref)
      assert.deepStrictEqual([kept.previous, handed.previous], ["live", "live"])
      for (const { secret } of [old, kept.issued, handed.issued]) {
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }
      assert.strictEqual(yield* keys.revoke(old.ref), "deleted")
    }).pipe(Effect.provide(withSandbox()))
  )

  const hidden: Record<string, readonly [shown: Readonly<Record<string, unknown>>, paths: ReadonlyArray<string>]> = {
    name: [{ name: undefined }, ["name"]],
    origins: [{ allowed_origins: undefined }, ["origins"]],
    "origins in another form": [{ allowed_origins: "https://acme.example" }, ["origins"]],
    assistants: [{ allowed_assistants: null }, ["resources"]],
    "assistants in another form": [{ allowed_assistants: [{ id: 1 }] }, ["resources"]],
    "origins but as null": [{ allowed_origins: null }, ["origins"]],
    "origins but as the wildcard": [{ allowed_origins: "*" }, ["origins"]],
    type: [{ key_type: undefined }, ["options.keyType"]],
    "type but as null": [{ key_type: null }, ["options.keyType"]],
    "a type that we know": [{ key_type: "admin" }, ["options.keyType"]],
    "transient assistants in a form that we know": [{ transient_assistant: "maybe" }, ["options.transientAssistant"]],
    anything: [
      { name: null, allowed_origins: null, allowed_assistants: null, key_type: null },
      ["name", "origins", "resources", "options.keyType"]
    ]
  }
  for (const [what, [shown, expected]] of Object.entries(hidden)) {
    it.effect(`a view that does not show ${what} is not copied, and nothing is minted`, () =>
      Effect.gen(function* () {
        const { faults, keys, sent, stored } = yield* setup
        const { ref } = yield* keys.create(spec)
        yield* sent
        yield* faults.inject(instead(enveloped(row(shown))), { method: "GET" })
        const error = yield* expectError(keys.rotate(ref, { deliver: () => Effect.void }), "UnexpectedResponse")
        assert(error.reason._tag === "UnexpectedResponse")
        assert.deepStrictEqual(paths(error.reason), expected)
        assert.deepStrictEqual([error.operation, error.handle], ["rotate", "voiceable_2"])
        assert.include(error.message, "create a key in its place")
        assert.lengthOf(yield* stored, 1)
        assert.deepStrictEqual(yield* sent, ["GET /api/v1/api_keys/2"])
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("a view that does not show transient assistants is copied without them", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox, stored } = yield* setup
      yield* sandbox.addKey({ ...full, transientAssistant: true })
      yield* faults.inject(instead(enveloped(row({ key_type: "public", transient_assistant: undefined }))), {
        method: "GET"
      })
      yield* keys.rotate(refOf("2"), { deliver: () => Effect.void })
      assert.isFalse((yield* stored)[0]?.transientAssistant)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a lost reply leaves the old key alone, and an orphan that the list shows and that can be deleted", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox, stored } = yield* setup
      const old = yield* keys.create(spec)
      const { deliver, delivered } = vault()
      yield* TestClock.adjust("1 hour")
      yield* faults.inject("resetAfterCommit", { method: "POST" })
      yield* expectReason(keys.rotate(old.ref, { deliver }), "OutcomeUnknown")
      assert.lengthOf(delivered, 0)
      assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
      const [, orphan, ...others] = yield* Stream.runCollect(keys.list({ name: "acme" }))
      assert(orphan !== undefined && others.length === 0)
      assert.strictEqual(orphan.handle, "voiceable_3")
      assert.deepStrictEqual(Option.map(orphan.createdAt, DateTime.toEpochMillis), Option.some(3_600_000))
      yield* keys.delete(Option.getOrThrow(orphan.ref))
      assert.deepStrictEqual(
        (yield* stored).map(({ id }) => id),
        [FIRST]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("an old key that cannot be deleted: both live, and the result says so", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* keys.create(spec)
      const { deliver, delivered } = vault()
      yield* sandbox.setDeleteReply("redirectUndone")
      const { incomplete, issued, previous } = yield* keys.rotate(old.ref, { deliver })
      assert.strictEqual(previous, "live")
      assert(incomplete?.step === "retire")
      assert.deepStrictEqual(
        [incomplete.error.reason._tag, incomplete.error.operation, incomplete.error.handle],
        ["UnexpectedResponse", "rotate", "voiceable_2"]
      )
      assert.deepStrictEqual(delivered, [issued])
      assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("an old key that someone else deleted meanwhile is not said to live: the successor is found", () =>
    Effect.gen(function* () {
      const { keys, sandbox, sent } = yield* setup
      const old = yield* keys.create(spec)
      yield* sent
      const { incomplete, previous } = yield* keys.rotate(old.ref, { deliver: () => sandbox.removeKey(FIRST) })
      assert.deepStrictEqual([previous, incomplete], ["retired", undefined])
      assert.deepStrictEqual(yield* sent, [
        "GET /api/v1/api_keys/2",
        "POST /api/v1/api_keys",
        "DELETE /api/v1/api_keys/2",
        "GET /api/v1/api_keys/3"
      ])
    }).pipe(Effect.provide(withSandbox()))
  )

  const blind: Record<string, HttpFaults.Fault> = {
    "not found either": { status: 404, body: `{"status":{"code":404}}` },
    "a page that is not found": { status: 404, body: html },
    "a login": { status: 302, headers: { location: "/login" } },
    "a page": { status: 200, body: html },
    "no credential any more": { status: 401 },
    "a vendor that is down": { status: 503 }
  }
  for (const [what, fault] of Object.entries(blind)) {
    it.effect(`an old key that is not found is not believed gone where looking for the new one meets ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const old = yield* keys.create(spec)
        const { deliver, delivered } = vault()
        yield* faults.inject({ status: 404, body: `{"status":{"code":404}}` }, { method: "DELETE" })
        yield* faults.inject(fault, { method: "GET", url: "/api_keys/3", times: 9 })
        const { incomplete, issued, previous } = yield* keys.rotate(old.ref, { deliver })
        assert.strictEqual(previous, "live")
        assert(incomplete?.step === "retire")
        assert.deepStrictEqual(
          [incomplete.error.reason._tag, incomplete.error.operation, incomplete.error.handle],
          ["KeyNotFound", "rotate", "voiceable_2"]
        )
        assert.deepStrictEqual(delivered, [issued])
        assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("an old key that was deleted and cannot be looked for is not said to be retired", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const old = yield* keys.create(spec)
      const { incomplete, previous } = yield* keys.rotate(old.ref, {
        deliver: () => faults.inject({ status: 401 }, { method: "GET" })
      })
      assert.strictEqual(previous, "live")
      assert(incomplete?.step === "retire" && incomplete.error.reason._tag === "PartiallyApplied")
      const { applied, missing } = incomplete.error.reason
      assert.deepStrictEqual([applied, missing], [["delete"], ["confirmation"]])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a successor that cannot be delivered is deleted, and the old key lives on", () =>
    Effect.gen(function* () {
      const { keys, sandbox, stored } = yield* setup
      const old = yield* keys.create(spec)
      const failure = yield* Effect.flip(keys.rotate(old.ref, { deliver: () => Effect.fail("vault down" as const) }))
      assert.strictEqual(failure, "vault down")
      assert.deepStrictEqual(
        (yield* stored).map(({ id }) => id),
        [FIRST]
      )
      assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a successor without a secret is named, and the old key lives on", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox, stored } = yield* setup
      const old = yield* keys.create(spec)
      yield* faults.inject(instead(enveloped(row({ id: 3 })), 201), { method: "POST" })
      const error = yield* expectError(keys.rotate(old.ref, { deliver: () => Effect.void }), "OutcomeUnknown")
      assert.strictEqual(error.handle, "voiceable_3")
      assert.lengthOf(yield* stored, 2)
      assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect(
    "a reply that names the old key as the new one is not believed, and the old key is not deleted for it",
    () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const old = yield* keys.create(spec)
        for (const key_value of [Redacted.value(old.secret), null]) {
          yield* faults.inject(instead(enveloped(row({ key_value })), 201), { method: "POST" })
          yield* expectReason(keys.rotate(old.ref, { deliver: () => Effect.void }), "OutcomeUnknown")
        }
        assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
      }).pipe(Effect.provide(withSandbox()))
  )
})

describe("what the vendor lacks", () => {
  it.effect("is said by `supports`", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const can = [
        "create",
        "patch",
        "rotate",
        "revoke",
        "delete",
        "get",
        "list",
        "overlap",
        "origins",
        "resources"
      ] as const
      const cannot = ["disable", "enable", "domains", "ips", "scopes", "quota", "rate"] as const
      assert.deepStrictEqual(
        can.filter((need) => !keys.supports(need)),
        []
      )
      assert.deepStrictEqual(
        cannot.filter((need) => keys.supports(need)),
        []
      )
      assert.deepStrictEqual([keys.provider, keys.account], ["voiceable", "default"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("fails typed at run time, and nothing is sent", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      assert.strictEqual((yield* expectReason(keys.disable(refOf("2")), "UnsupportedOperation")).need, "disable")
      assert.strictEqual((yield* expectReason(keys.enable(refOf("2")), "UnsupportedOperation")).need, "enable")
      yield* expectReason(keys.enable(refOf("2"), { as: "sandbox" }), "InvalidRequest")
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it("does not compile through `can`", () => {
    // What is proved here is proved by the compiler.
    const layer = withSandbox()
    const has = ApiKeyService.can(
      "create",
      "patch",
      "rotate",
      "revoke",
      "delete",
      "get",
      "list",
      "overlap",
      "origins",
      "resources"
    ).pipe(Effect.provide(layer)) satisfies Effect.Effect<unknown, ApiKeyError>
    // @ts-expect-error: there is no Can<"disable">
    const disables: Effect.Effect<unknown, ApiKeyError> = Effect.provide(ApiKeyService.can("disable"), layer)
    // @ts-expect-error: there is no Can<"enable">
    const enables: Effect.Effect<unknown, ApiKeyError> = Effect.provide(ApiKeyService.can("enable"), layer)
    // @ts-expect-error: there is no Can<"domains">
    const domains: Effect.Effect<unknown, ApiKeyError> = Effect.provide(ApiKeyService.can("domains"), layer)
    assert.lengthOf([has, disables, enables, domains], 4)
  })

  it("options of the wrong type do not compile", () => {
    const apiKey = Redacted.make("api_test_voiceable_x")
    // @ts-expect-error: baseUrl is required
    const noBaseUrl: Voiceable.Options = { apiKey, defaults }
    // @ts-expect-error: defaults are required
    const noDefaults: Voiceable.Options = { apiKey, baseUrl }
    // @ts-expect-error: the type of keys is required
    const noKeyType: Voiceable.Options = { apiKey, baseUrl, defaults: { origins: "any", resources: "any" } }
    // @ts-expect-error: a type that there is not
    const badKeyType: KeySpec = { name: "acme", options: { voiceable: { keyType: "admin" } } }
    assert.lengthOf([noBaseUrl, noDefaults, noKeyType, badKeyType], 4)
  })
})

describe("the limiter", () => {
  for (const [what, sandboxOptions, seconds] of [
    ["without Retry-After it is a minute", { retryAfter: false }, 60],
    ["with Retry-After it is as long as that", { retryAfter: true }, 25]
  ] as const) {
    it.effect(`after a 429 nothing is sent until the lockout is over, not even a revoke: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref } = yield* keys.create(spec)
        yield* sandbox.lockOut({ seconds: seconds - 1 })
        if (sandboxOptions.retryAfter) yield* sandbox.lockOut({ seconds })
        const first = yield* expectError(keys.get(ref), "RateLimited")
        assert.deepStrictEqual(first.retryAfter, Duration.seconds(seconds))
        const before = (yield* faults.attempts).length
        yield* expectReason(keys.revoke(ref), "RateLimited")
        yield* expectReason(keys.create(spec), "RateLimited")
        yield* TestClock.adjust(Duration.seconds(seconds - 11))
        assert.strictEqual((yield* expectReason(keys.get(ref), "RateLimited")).source, "limiter")
        assert.strictEqual((yield* faults.attempts).length, before)
        // The last ten seconds are within `maxWait`.
        yield* TestClock.adjust("2 seconds")
        const waiting = yield* Effect.forkChild(keys.revoke(ref))
        yield* TestClock.adjust("9 seconds")
        assert.strictEqual(yield* Fiber.join(waiting), "deleted")
        // The deletion, and the look whether it is true.
        assert.strictEqual((yield* faults.attempts).length, before + 2)
      }).pipe(Effect.provide(withSandbox({}, sandboxOptions)))
    )
  }

  it.effect("60 calls a minute go out, and shutting a key off still has a reserve, with its check", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox, stored } = yield* setup
      yield* sandbox.setDeleteReply(302)
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 59 }), () => keys.get(ref))
      const held = yield* expectReason(keys.get(ref), "RateLimited")
      assert.deepStrictEqual([held.source, Duration.toSeconds(held.retryAfter)], ["limiter", 1])
      yield* expectReason(keys.delete(ref), "RateLimited")
      assert.strictEqual(yield* keys.revoke(ref), "deleted")
      assert.deepStrictEqual(yield* stored, [])
      assert.lengthOf(yield* faults.attempts, 62)
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )

  it.effect("a key that cannot be delivered is shut off from the reserve, when nothing else is left", () =>
    Effect.gen(function* () {
      const { keys, stored } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 58 }), () => keys.get(ref))
      yield* Effect.exit(keys.create(spec, { deliver: () => Effect.fail("vault down") }))
      yield* expectReason(keys.get(ref), "RateLimited")
      assert.lengthOf(yield* stored, 1)
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )

  it.effect("a change that may have been carried out is not said to be unsent, when its repeat is held back", () =>
    Effect.gen(function* () {
      const { faults, keys, stored } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 57 }), () => keys.get(ref))
      yield* faults.inject({ status: 503, commit: true }, { method: "PUT" })
      const reason = yield* expectReason(keys.patch(ref, { name: "b" }), "ProviderUnavailable")
      assert.isTrue(reason.sent)
      assert.strictEqual((yield* stored)[0]?.name, "b")
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )

  it.effect("a hurried program does not get the account locked out, and can still revoke", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const other = yield* keys.create(spec)
      const reads = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 300 }), () => Effect.exit(keys.get(other.ref)), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* keys.revoke(ref), "deleted", "the reserve lets a revoke through at once")
      for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(reads)
      const requests = yield* sandbox.requests
      assert.isFalse(requests.some(({ status }) => status === 429))
      assert.isAbove(requests.length, 60)
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("layers", () => {
  it.effect("the credential rotates under a living layer", () => {
    let current = "api_test_voiceable_first"
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* sandbox.setCredential("api_test_voiceable_first")
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setCredential("api_test_voiceable_second")
      yield* expectReason(keys.get(ref), "AuthenticationFailed")
      current = "api_test_voiceable_second"
      yield* keys.get(ref)
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.sync(() => Redacted.make(current)) })))
  })

  it.effect("bad options fail typed, and name the field", () =>
    Effect.gen(function* () {
      for (const [options, field] of [
        [{ baseUrl: undefined }, "baseUrl"],
        [{ baseUrl: "" }, "baseUrl"],
        [{ baseUrl: "http://voiceable.example/api/v1" }, "baseUrl"],
        [{ baseUrl: "not a url" }, "baseUrl"],
        [{ baseUrl: "https://user:pass@voiceable.example" }, "baseUrl"],
        [{ timeout: "1e3 seconds" }, "timeout"],
        [{ retry: { base: "soon" } }, "retry.base"],
        [{ retry: { times: -1 } }, "retry.times"],
        [{ rateLimit: { maxWait: "later" } }, "rateLimit.maxWait"],
        [{ maxReplyBytes: Number.NaN }, "maxReplyBytes"],
        [{ defaults: undefined }, "defaults"],
        [{ defaults: { origins: "any", resources: "any" } }, "defaults.keyType"],
        [{ defaults: { ...defaults, keyType: undefined } }, "defaults.keyType"],
        [{ defaults: { ...defaults, keyType: "admin" } }, "defaults.keyType"],
        [{ defaults: { ...defaults, origins: [] } }, "defaults.origins"],
        [{ defaults: { ...defaults, origins: ["acme.example"] } }, "defaults.origins"],
        [{ defaults: { resources: "any", keyType: "private" } }, "defaults.origins"],
        [{ defaults: { origins: "any", keyType: "private" } }, "defaults.resources"],
        [{ defaults: { ...defaults, resources: ["*"] } }, "defaults.resources"]
      ] as const) {
        // Options from a file or from JavaScript can be anything.
        const layer = withSandbox(options as unknown as Partial<Voiceable.Options>)
        const error = yield* expectError(Effect.provide(Effect.asVoid(ApiKeyService), layer), "InvalidRequest")
        assert.include(error.message, field)
        assert.deepStrictEqual([error.provider, error.operation], ["voiceable", "layer"])
      }
    })
  )

  it.effect(
    "a credential that cannot be read, or cannot stand in a header, is AuthenticationFailed, and nothing is sent",
    () =>
      Effect.gen(function* () {
        for (const [apiKey, problem] of [
          [Effect.fail("api_test_voiceable_vault"), "unreadable"],
          [Redacted.make("api_test\nvoiceable"), "malformed"],
          [Redacted.make(""), "malformed"]
        ] as const) {
          yield* Effect.gen(function* () {
            const { faults, keys } = yield* setup
            assert.strictEqual((yield* expectReason(keys.create(spec), "AuthenticationFailed")).problem, problem)
            assert.deepStrictEqual(yield* faults.attempts, [])
          }).pipe(Effect.provide(withSandbox({ apiKey })))
        }
      })
  )

  it.effect("the base URL may have any path, and a slash at its end", () =>
    Effect.gen(function* () {
      const { keys, sent } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* keys.get(ref)
      assert.deepStrictEqual(yield* sent, ["POST /voiceable-api/api_keys", "GET /voiceable-api/api_keys/2"])
    }).pipe(
      Effect.provide(
        withSandbox({ baseUrl: "https://api.voiceable.example/voiceable-api/" }, { prefixes: ["/voiceable-api"] })
      )
    )
  )

  it.effect("layerConfig takes Configs and plain values, side by side", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      assert.strictEqual(keys.account, "eu")
      yield* keys.create(spec)
    }).pipe(
      Effect.provide(
        Voiceable.layerConfig({
          apiKey: Config.Redacted("VOICEABLE_API_KEY"),
          baseUrl: Config.String("VOICEABLE_BASE_URL"),
          account: Config.String("VOICEABLE_ACCOUNT"),
          defaults
        }).pipe(Layer.provide(VoiceableSandbox.layerClient({ credential: "api_test_from_config" })))
      ),
      Effect.provide(
        ConfigProvider.layer(
          ConfigProvider.fromUnknown({
            VOICEABLE_API_KEY: "api_test_from_config",
            VOICEABLE_BASE_URL: baseUrl,
            VOICEABLE_ACCOUNT: "eu"
          })
        )
      )
    )
  )

  it.effect("layerConfig fails with a ConfigError where a Config does", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.provide(
          Effect.asVoid(ApiKeyService),
          Voiceable.layerConfig({ apiKey: Config.Redacted("NOT_SET"), baseUrl, defaults }).pipe(
            Layer.provide(VoiceableSandbox.layerClient())
          )
        )
      )
      assert.strictEqual(error._tag, "ConfigError")
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({}))))
  )

  it.effect("a mint whose layer is closed is not sent", () =>
    Effect.gen(function* () {
      const keys = yield* Effect.provide(ApiKeyService, withSandbox())
      const exit = yield* Effect.exit(keys.create(spec))
      assert.isTrue(Exit.isFailure(exit))
      const reason = yield* expectReason(keys.create(spec), "ProviderUnavailable")
      assert.deepStrictEqual([reason.problem, reason.sent], ["closed", false])
    })
  )
})
