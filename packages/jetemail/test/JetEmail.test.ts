import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeySpec, ReasonTag } from "@effect-api-keys/core"
import { ApiKeyService, KeyRef } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const defaults: JetEmail.Defaults = { domains: "any", ips: "any", quota: "unlimited" }

const withSandbox = (
  options: Partial<JetEmail.Options> = {},
  sandbox: JetEmailSandbox.Options = {}
): Layer.Layer<JetEmail.Provides | HttpFaults.HttpFaults | JetEmailSandbox.JetEmailSandbox, ApiKeyError> =>
  Layer.unwrap(
    Effect.map(JetEmailSandbox.JetEmailSandbox, ({ credential }) =>
      JetEmail.layer({ apiKey: credential, defaults, retry: { base: 0 }, ...options } as JetEmail.Options)
    )
  ).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(JetEmailSandbox.layerClient(sandbox)))

const spec: KeySpec = { name: "acme", domains: ["acme.example"], ips: ["192.0.2.1"], quota: 1000 }

const setup = Effect.gen(function* () {
  const keys = yield* ApiKeyService
  const sandbox = yield* JetEmailSandbox.JetEmailSandbox
  const faults = yield* HttpFaults.HttpFaults
  const client = yield* JetEmail.JetEmailClient
  return { keys, sandbox, faults, client }
})

const lastBody = Effect.map(JetEmailSandbox.JetEmailSandbox, ({ requests }) =>
  Effect.map(requests, (all) => all.at(-1)?.body)
).pipe(Effect.flatten)

const expectReason = <A>(effect: Effect.Effect<A, ApiKeyError>, tag: ReasonTag) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error.reason._tag, tag, error.message)
    return error
  })

/** Keeps what is delivered. */
const vault = () => {
  const delivered: Array<IssuedKey> = []
  return { delivered, deliver: (key: IssuedKey) => Effect.sync(() => void delivered.push(key)) }
}

describe("what is sent", () => {
  it.effect("every restriction of a new key is said, open ones too", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      yield* keys.create({ name: "open" })
      assert.deepStrictEqual(yield* lastBody, { name: "open", allowAllDomains: true, ipRestrictions: [], quota: 0 })
      yield* keys.create(spec)
      assert.deepStrictEqual(yield* lastBody, {
        name: "acme",
        allowAllDomains: false,
        approvedDomains: ["acme.example"],
        ipRestrictions: ["192.0.2.1"],
        quota: 1000
      })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a spec that is silent gets the layer's defaults", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const key = yield* keys.create({ name: "narrow" })
      assert.deepStrictEqual(key.unrestricted, Option.some(["ips"] as const))
      const [stored] = yield* sandbox.keys
      assert.deepStrictEqual(stored?.approvedDomains, ["default.example"])
      assert.strictEqual(stored?.quota, 5)
    }).pipe(Effect.provide(withSandbox({ defaults: { domains: ["default.example"], ips: "any", quota: 5 } })))
  )

  it.effect("a patch says what it changes and nothing else", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const api_token = Redacted.value(ref.value)
      yield* keys.patch(ref, { quota: 5 })
      assert.deepStrictEqual(yield* lastBody, { api_token, quota: 5 })
      yield* keys.patch(ref, { domains: "any", ips: "any", quota: "unlimited" })
      assert.deepStrictEqual(yield* lastBody, { api_token, allowAllDomains: true, ipRestrictions: [], quota: 0 })
      yield* keys.patch(ref, { domains: ["ACME.example", "acme.example"] })
      assert.deepStrictEqual(yield* lastBody, { api_token, allowAllDomains: false, approvedDomains: ["acme.example"] })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("disable and enable send the status alone", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const api_token = Redacted.value(ref.value)
      yield* keys.disable(ref)
      assert.deepStrictEqual(yield* lastBody, { api_token, status: 0 })
      yield* keys.enable(ref)
      const bodies = (yield* sandbox.requests).filter(({ method }) => method === "PATCH").map(({ body }) => body)
      assert.deepStrictEqual(bodies.at(-1), { api_token, status: 1 })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the client has no way to say a status beside other fields", () =>
    Effect.gen(function* () {
      const { client, faults } = yield* setup
      const token = Redacted.make("transactional_api_test_x")
      // A cast, or JavaScript, can say anything: it is refused, not stripped.
      const request = { token, name: "new", status: 0 } as unknown as Parameters<typeof client.update>[0]
      const error = yield* expectReason(client.update(request), "InvalidRequest")
      assert.match(error.message, /status/)
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("limits and hostile input", () => {
  const hostile: ReadonlyArray<readonly [field: string, bad: Record<string, unknown>]> = [
    ["name", { name: "a".repeat(65) }],
    ["name", { name: "   " }],
    ["name", { name: "line\nbreak" }],
    ["name", { name: "cr\r\nlf: header" }],
    ["name", { name: "no-break\u00a0space" }],
    ["domains", { domains: ["user@example.com"] }],
    ["domains", { domains: ["example.com evil.com"] }],
    ["domains", { domains: ["localhost"] }],
    ["domains", { domains: ["*.example.com"] }],
    ["domains", { domains: ["../admin"] }],
    ["domains", { domains: ["a".repeat(1_000_000)] }],
    ["domains", { domains: [`${"a".repeat(48)}!`] }],
    ["domains", { domains: ["mail.production-service-eu-west-1.example-company.c0m1"] }],
    ["domains", { domains: Array.from({ length: 254 }, (_, i) => `d${i}.example`) }],
    ["ips", { ips: ["10.0.0.0/33"] }],
    ["ips", { ips: ["1.2.3.4 OR 1=1"] }],
    ["ips", { ips: ["10.0.0.1,10.0.0.2"] }],
    ["ips", { ips: ["garbage::1"] }],
    ["ips", { ips: ["0.0.0.0/0"] }],
    ["ips", { ips: ["192.0.2.1", "::/0"] }],
    ["ips", { ips: Array.from({ length: 51 }, (_, i) => `192.0.2.${i}`) }],
    ["quota", { quota: 1_000_001 }],
    ["quota", { quota: 1.5 }],
    ["quota", { quota: 0 }]
  ]
  it.effect.each(hostile.map(([field, bad], index) => ({ bad, field, index })))(
    "refuses $field ($index)",
    ({ bad, field }) =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        // A program in JavaScript can ask for anything.
        const error = yield* expectReason(keys.create({ ...spec, ...bad } as KeySpec), "InvalidRequest")
        assert.include(error.message, field)
        const value = JSON.stringify(Object.values(bad)[0]).replace(/^[["]+|[\]"]+$/g, "")
        if (value.length > 3) assert.notInclude(error.message, value, "the message holds the value")
        assert.deepStrictEqual(yield* faults.attempts, [])
      }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("accepts what is just within the limits", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* keys.create({
        name: "a".repeat(64),
        domains: ["d0.example", ...Array.from({ length: 252 }, (_, i) => `d${i + 1}.example`)],
        ips: ["192.0.2.0", ...Array.from({ length: 49 }, (_, i) => `192.0.2.${i + 1}`)],
        quota: 1_000_000
      })
      assert.strictEqual((yield* sandbox.keys).length, 1)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("another vendor's secret is not sent to this one", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const leaked of [
        "api_test_of_another_vendor",
        "transactional_a***",
        "transactional_a..b",
        "transactional_a b",
        "transactional_é"
      ]) {
        const error = yield* expectReason(keys.revoke(keys.ref(Redacted.make(leaked))), "InvalidRequest")
        assert.notInclude(error.message, leaked)
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a reply of 20 MB fails typed", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const body = JSON.stringify({ success: true, transactionalKeys: [{ name: "x".repeat(20_000_000) }] })
      yield* faults.inject({ status: 200, body }, { method: "GET" })
      const read = yield* expectReason(keys.get(ref), "UnexpectedResponse")
      assert(read.reason._tag === "UnexpectedResponse" && read.reason.problem === "size")
      yield* faults.inject({ status: 200, body }, { method: "POST" })
      yield* expectReason(keys.create(spec), "OutcomeUnknown")
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("what is read", () => {
  for (const format of ["current", "legacy"] as const) {
    it.effect(`the ${format} list decodes`, () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5))
        const { keys, sandbox } = yield* setup
        const key = yield* keys.create(spec)
        yield* sandbox.setListFormat(format)
        const shown = yield* keys.get(key.ref)
        assert.strictEqual(shown.handle, key.handle)
        assert.strictEqual(shown.status, "active")
        assert.deepStrictEqual(shown.restrictions.ips, ["192.0.2.1"])
        assert.strictEqual(shown.restrictions.quota, 1000)
        assert.deepStrictEqual(
          Option.map(shown.createdAt, DateTime.toEpochMillis),
          Option.some(Date.UTC(2026, 0, 2, 3, 4, 5))
        )
        assert.isTrue(Option.isSome(shown.updatedAt))
        const current = format === "current"
        assert.deepStrictEqual(shown.restrictions.domains, current ? ["acme.example"] : undefined)
        assert.deepStrictEqual(shown.name, current ? Option.some("acme") : Option.none())
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("one date in seconds and one in milliseconds", () =>
    Effect.gen(function* () {
      const { client, faults } = yield* setup
      const row = { api_token: "transactional_api_test_1", created_date: "1724113774000", last_modified: 1735937552 }
      yield* faults.inject({ status: 200, body: JSON.stringify({ "transactional-keys": [row] }) })
      const [key] = yield* client.list
      assert.deepStrictEqual(key?.createdAt, DateTime.make("2024-08-20T00:29:34.000Z"))
      assert.deepStrictEqual(key?.modifiedAt, DateTime.make("2025-01-03T20:52:32.000Z"))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("statuses that nobody told us of decode, as unknown", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const [word, status] of [
        ["suspended", "suspended"],
        ["quota-locked", "suspended"],
        ["quota-unlocked", "unknown"],
        ["on-holiday", "unknown"]
      ] as const) {
        yield* sandbox.setStatus(Redacted.value(ref.value), word)
        const shown = yield* keys.get(ref)
        assert.strictEqual(shown.status, status)
        assert.strictEqual(shown.providerStatus, word)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a masked list is reported, not used", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const key = yield* keys.create(spec)
      yield* sandbox.setMasked(true)
      const [shown] = yield* Stream.runCollect(keys.list())
      assert(shown !== undefined && Option.isNone(shown.ref))
      assert.notInclude(shown.handle, "*")
      yield* expectReason(keys.get(key.ref), "UnexpectedResponse")
      yield* expectReason(keys.patch(key.ref, { quota: 1 }, { confirm: true }), "UnexpectedResponse")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a token is found in a reply of another shape, but not among several", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const token = "transactional_api_test_salvaged_1"
      yield* faults.inject(
        { status: 200, body: JSON.stringify({ data: { key: { value: token } } }) },
        { method: "POST" }
      )
      const key = yield* keys.create(spec, { deliver: () => Effect.void })
      assert.strictEqual(Redacted.value(key.secret), token)
      yield* faults.inject({ status: 200, body: JSON.stringify([token, `${token}2`]) }, { method: "POST" })
      const error = yield* expectReason(keys.create(spec), "OutcomeUnknown")
      assert.notInclude(inspect(error), token)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a token is found in a reply that was cut off behind it, and not in one that was cut off within it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const token = "transactional_api_test_salvaged_1"
      const whole = `{"success":true,"api_token":"${token}","mess`
      yield* faults.inject({ status: 200, body: whole }, { method: "POST" })
      const key = yield* keys.create(spec, { deliver: () => Effect.void })
      assert.strictEqual(Redacted.value(key.secret), token)
      yield* faults.inject({ status: 200, body: whole.slice(0, -10) }, { method: "POST" })
      yield* expectReason(keys.create(spec), "OutcomeUnknown")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("what only sounds like a token is none, and a reply that says no holds none", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const body of [
        { success: true, event: "transactional_key_created", api_token: null },
        { success: false, code: "transactional_key_locked" },
        { success: false, api_token: "transactional_api_test_1234567" },
        { success: true, api_token: "transactional_****1234" }
      ]) {
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { method: "POST" })
        yield* expectReason(keys.create(spec), "OutcomeUnknown")
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a name that looks like a token is none: a reply that shows only the name is OutcomeUnknown", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { deliver, delivered } = vault()
      const name = "transactional_abcdef12"
      const token = "transactional_api_test_salvaged_1"
      const before = (yield* faults.attempts).length
      const replies = [
        { name },
        { success: true, data: { name } },
        { success: true, message: name, key: { name, label: name } },
        [name]
      ]
      for (const reply of replies) {
        yield* faults.inject({ status: 200, body: JSON.stringify(reply) }, { method: "POST" })
        const error = yield* expectReason(keys.create({ ...spec, name }, { deliver }), "OutcomeUnknown")
        assert(error.reason._tag === "OutcomeUnknown" && error.reason.problem === "reply")
      }
      // In a reply that was cut off too.
      yield* faults.inject({ status: 200, body: `{"api_token":"${name}","na` }, { method: "POST" })
      yield* expectReason(keys.create({ ...spec, name }, { deliver }), "OutcomeUnknown")
      assert.lengthOf(delivered, 0)
      // Nothing was shut off for it either.
      assert.deepStrictEqual(
        (yield* faults.attempts).slice(before).map(({ method }) => method),
        [...replies, "cut off"].map(() => "POST")
      )
      assert.deepStrictEqual(yield* sandbox.keys, [])
      // The token beside it is found.
      yield* faults.inject({ status: 200, body: JSON.stringify({ name, value: token }) }, { method: "POST" })
      const key = yield* keys.create({ ...spec, name }, { deliver })
      assert.strictEqual(Redacted.value(key.secret), token)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect(
    "the manager's own credential in a reply to a mint is never delivered, and nothing is shut off for it",
    () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { deliver, delivered } = vault()
        const own = Redacted.value(sandbox.credential)
        const old = yield* keys.create(spec)
        const before = (yield* faults.attempts).length
        const replies = [
          { success: true, api_token: own },
          { success: true, api_token: `${own}_and_more` },
          { success: true, api_token: "transactional_api_test_1234567", note: own },
          { headers: { authorization: `Bearer ${own}` }, data: "transactional_api_test_1234567" }
        ].map((reply) => JSON.stringify(reply))
        for (const body of [...replies, `{"api_token":"${own}","na`]) {
          const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
            keys.create(spec, { deliver }),
            keys.rotate(old.ref, { deliver })
          ]
          for (const call of calls) {
            yield* faults.inject({ status: 200, body }, { method: "POST" })
            const error = yield* expectReason(call, "OutcomeUnknown")
            assert(error.reason._tag === "OutcomeUnknown" && error.reason.problem === "reply")
            assert.notInclude(`${inspect(error, { depth: 9 })}${JSON.stringify(error)}`, own)
          }
        }
        assert.lengthOf(delivered, 0)
        assert.isTrue((yield* faults.attempts).slice(before).every(({ method }) => method === "POST"))
        assert.isTrue(yield* sandbox.isLive(Redacted.value(old.secret)))
      }).pipe(Effect.provide(withSandbox({ rateLimit: false })))
  )

  it.effect("a token is delivered whatever it looks like: it is the only copy", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const token of [`transactional_${"a1".repeat(1000)}`, "of_another_prefix"]) {
        yield* faults.inject(
          { status: 200, body: JSON.stringify({ success: true, api_token: token }) },
          { method: "POST" }
        )
        const key = yield* keys.create(spec, { deliver: () => Effect.void })
        assert.strictEqual(Redacted.value(key.secret), token)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("one odd row hides no other, and no status is a defect", () =>
    Effect.gen(function* () {
      const { client, faults, keys } = yield* setup
      const rows = [null, 7, "x", { api_token: "transactional_api_test_1", status: "constructor", uuid: "not a uuid" }]
      yield* faults.inject({ status: 200, body: JSON.stringify({ transactionalKeys: rows }) }, { times: 2 })
      assert.strictEqual((yield* client.list).length, 4)
      const shown = yield* Stream.runCollect(keys.list())
      assert.deepStrictEqual(
        shown.map(({ status }) => status),
        ["unknown", "unknown", "unknown", "unknown"]
      )
      assert.isFalse(shown.some(({ handle }) => handle.includes("not a uuid")))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a rotation's new token is found beside the old one", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const token = "transactional_api_test_salvaged_1"
      const body = JSON.stringify({ old: Redacted.value(ref.value), new: token })
      yield* faults.inject({ status: 200, body }, { url: "/rotate" })
      const { issued } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert.strictEqual(Redacted.value(issued.secret), token)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a rotation that names the old token as the new one is not believed", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const body = JSON.stringify({ success: true, api_token: Redacted.value(ref.value) })
      yield* faults.inject({ status: 200, body }, { url: "/rotate" })
      yield* expectReason(keys.rotate(ref, { deliver: () => Effect.void }), "OutcomeUnknown")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a 200 that says no is not a yes", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const body of [`{"success":false,"error":"no"}`, "{}", "", "<html></html>"]) {
        yield* faults.inject({ status: 200, body }, { method: "PATCH" })
        yield* expectReason(keys.disable(ref), "UnexpectedResponse")
      }
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("a 404", () => {
  const foreign: Record<string, string> = {
    "a proxy's page": "<html>Not Found</html>",
    nothing: "",
    "an empty object": "{}",
    "an error of a gateway": `{"error":"Not Found"}`,
    "an error without words": `{"success":false}`,
    "an error that is no text": `{"success":false,"error":{"code":404}}`,
    "a success": `{"success":true,"error":"Not Found"}`,
    "another service's": `{"message":"Not Found"}`,
    "a list": `[{"success":false,"error":"Not Found"}]`
  }
  for (const [what, body] of Object.entries(foreign)) {
    it.effect(`that is not the vendor's own says nothing of the key: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { deliver, delivered } = vault()
        const { ref, secret } = yield* keys.create(spec)
        const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, ApiKeyError>]> = [
          ["PATCH", keys.patch(ref, { quota: 5 })],
          ["PATCH", keys.disable(ref)],
          ["PATCH", keys.enable(ref)],
          ["PATCH", keys.revoke(ref)],
          ["DELETE", keys.delete(ref)],
          ["POST", keys.rotate(ref, { deliver })],
          ["GET", keys.get(ref)]
        ]
        for (const [method, call] of calls) {
          yield* faults.inject({ status: 404, body }, { method })
          const error = yield* expectReason(call, "InvalidRequest")
          assert.deepStrictEqual([error.http?.method, error.http?.status], [method, 404])
        }
        assert.lengthOf(delivered, 0)
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withSandbox()))
    )

    it.effect(`that is not the vendor's own does not make the repeat of a lost deletion a success: ${what}`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        for (const lost of ["reset", { status: 502, body: "<html>Bad Gateway</html>" }] as const) {
          yield* faults.inject(lost, { method: "DELETE" })
          yield* faults.inject({ status: 404, body }, { method: "DELETE" })
          yield* expectReason(keys.delete(ref), "InvalidRequest")
        }
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("of the vendor is KeyNotFound, and on the repeat of a lost deletion a success", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const ref = keys.ref(Redacted.make("transactional_api_test_foreign"))
      yield* expectReason(keys.patch(ref, { quota: 5 }), "KeyNotFound")
      yield* expectReason(keys.disable(ref), "KeyNotFound")
      yield* expectReason(keys.rotate(ref), "KeyNotFound")
      yield* expectReason(keys.delete(ref), "KeyNotFound")
      const key = yield* keys.create(spec)
      yield* faults.inject("resetAfterCommit", { method: "DELETE" })
      yield* keys.delete(key.ref)
      assert.isFalse(yield* sandbox.isLive(Redacted.value(key.secret)))
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("what is promised", () => {
  it.effect("`confirm` finds a patch that the vendor acknowledged and dropped", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* faults.inject({ status: 200, body: `{"success":true}` }, { method: "PATCH" })
      const error = yield* expectReason(
        keys.patch(ref, { name: "acme", quota: 5, domains: ["b.example"] }, { confirm: true }),
        "PartiallyApplied"
      )
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.applied, ["name"])
      assert.deepStrictEqual(error.reason.missing, ["domains", "quota"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("`confirm` does not confirm what the list does not show", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setListFormat("legacy")
      const error = yield* expectReason(
        keys.patch(ref, { domains: ["b.example"] }, { confirm: true }),
        "UnexpectedResponse"
      )
      assert.include(error.message, "domains")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("enable says so when the vendor keeps the key shut", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setStatus(Redacted.value(ref.value), "suspended")
      const error = yield* expectReason(keys.enable(ref), "InvalidKeyState")
      assert(error.reason._tag === "InvalidKeyState" && error.reason.status === "suspended")
      yield* expectReason(keys.enable(ref, { as: "sandbox" }), "InvalidRequest")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("403 is a plan limit on create and a state on rotate", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* expectReason(keys.create(spec), "KeyLimitReached")
      yield* keys.disable(ref)
      yield* expectReason(keys.rotate(ref), "InvalidKeyState")
    }).pipe(Effect.provide(withSandbox({}, { keyLimit: 1 })))
  )

  it.effect("a 403 that is not the vendor's own is PermissionDenied: nobody should delete keys for it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* faults.inject({ status: 403, body: "<html>blocked</html>" }, { method: "POST", times: 2 })
      yield* expectReason(keys.create(spec), "PermissionDenied")
      yield* expectReason(keys.rotate(ref), "PermissionDenied")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a change that took effect is not said to be unsent when reading it back fails", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      yield* keys.disable(ref)
      yield* faults.inject({ status: 429, headers: { "retry-after": "300" } }, { method: "GET" })
      const enabled = yield* expectReason(keys.enable(ref), "PartiallyApplied")
      assert(enabled.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual([enabled.reason.applied, enabled.reason.missing], [["active"], ["confirmation"]])
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a foreign token, known to the vendor or not, is KeyNotFound", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const ref = new KeyRef({
        provider: "jetemail",
        account: "default",
        value: Redacted.make("transactional_api_test_foreign")
      })
      yield* expectReason(keys.revoke(ref), "KeyNotFound")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("after a 429 nothing is sent until the lockout is over, not even a revoke", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.lockOut()
      const first = yield* expectReason(keys.get(ref), "RateLimited")
      assert.deepStrictEqual(first.retryAfter, Duration.minutes(5))
      const before = (yield* faults.attempts).length
      yield* expectReason(keys.revoke(ref), "RateLimited")
      yield* expectReason(keys.create(spec), "RateLimited")
      yield* TestClock.adjust("289 seconds")
      const late = yield* expectReason(keys.get(ref), "RateLimited")
      assert(late.reason._tag === "RateLimited" && late.reason.source === "limiter")
      assert.strictEqual((yield* faults.attempts).length, before)
      // The last ten seconds are within `maxWait`.
      yield* TestClock.adjust("2 seconds")
      const waiting = yield* Effect.forkChild(keys.revoke(ref))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* Fiber.join(waiting), "disabled")
      assert.strictEqual((yield* faults.attempts).length, before + 1)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a change that may have been carried out is not said to be unsent, when its repeat is held back", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 88 }), () => keys.get(ref))
      yield* faults.inject({ status: 503, commit: true }, { method: "PATCH" })
      const error = yield* expectReason(keys.patch(ref, { quota: 5 }), "ProviderUnavailable")
      assert(error.reason._tag === "ProviderUnavailable" && error.reason.sent)
      assert.deepStrictEqual(
        (yield* sandbox.keys).map(({ quota }) => quota),
        [5]
      )
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )

  it.effect("a key that cannot be delivered is shut off from the reserve, when nothing else is left", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 88 }), () => keys.get(ref))
      yield* Effect.exit(keys.create(spec, { deliver: () => Effect.fail("vault down") }))
      yield* expectReason(keys.get(ref), "RateLimited")
      assert.strictEqual((yield* sandbox.keys).length, 1)
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )

  it.effect("a hurried program does not get the account locked out, and can still revoke", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const reads = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 600 }), () => Effect.exit(keys.get(ref)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* keys.revoke(ref), "disabled", "the reserve lets a revoke through at once")
      for (let second = 0; second < 120; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(reads)
      const requests = yield* sandbox.requests
      assert.isFalse(requests.some(({ status }) => status === 429))
      assert.isAbove(requests.length, 100)
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("handles", () => {
  const handleOf = (options: Partial<JetEmail.Options>) =>
    Effect.map(ApiKeyService, (keys) => keys.handle(keys.ref(Redacted.make("transactional_api_test_a1b2c3d4")))).pipe(
      Effect.provide(withSandbox(options))
    )

  it.effect("are printable, and keyed by the credential unless a key is given", () =>
    Effect.gen(function* () {
      const one = yield* handleOf({ apiKey: Redacted.make("api_test_one") })
      const again = yield* handleOf({ apiKey: Redacted.make("api_test_one") })
      const two = yield* handleOf({ apiKey: Redacted.make("api_test_two") })
      assert.match(one, /^jetemail_[0-9a-f]{20}$/)
      assert.strictEqual(one, again)
      assert.notStrictEqual(one, two)
      const handleKey = Redacted.make("api_test_handle_key")
      assert.strictEqual(
        yield* handleOf({ apiKey: Redacted.make("api_test_one"), handleKey }),
        yield* handleOf({ apiKey: Effect.succeed(Redacted.make("api_test_two")), handleKey })
      )
    })
  )
})

describe("layers", () => {
  it.effect("the credential rotates under a living layer", () => {
    let current = "api_test_first"
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* sandbox.setCredential("api_test_first")
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setCredential("api_test_second")
      yield* expectReason(keys.get(ref), "AuthenticationFailed")
      current = "api_test_second"
      yield* keys.get(ref)
    }).pipe(
      Effect.provide(
        withSandbox({
          apiKey: Effect.sync(() => Redacted.make(current)),
          handleKey: Redacted.make("api_test_handle_key")
        })
      )
    )
  })

  it.effect("bad options fail typed, and name the field", () =>
    Effect.gen(function* () {
      for (const [options, field] of [
        [{ baseUrl: "http://api.jetemail.example" }, "baseUrl"],
        [{ baseUrl: "not a url" }, "baseUrl"],
        [{ baseUrl: "https://user:pass@api.jetemail.example" }, "baseUrl"],
        [{ apiKey: Effect.succeed(Redacted.make("api_test_x")) }, "handleKey"],
        [{ handleKey: Redacted.make("") }, "handleKey"],
        [{ timeout: "1e3 seconds" }, "timeout"],
        [{ retry: { base: "soon" } }, "retry.base"],
        [{ retry: { times: -1 } }, "retry.times"],
        [{ rateLimit: { maxWait: "later" } }, "rateLimit.maxWait"],
        [{ maxReplyBytes: Number.NaN }, "maxReplyBytes"],
        [{ defaults: undefined }, "defaults.domains"],
        [{ defaults: { domains: [], ips: "any", quota: "unlimited" } }, "defaults.domains"],
        [{ defaults: { domains: "any", ips: "any", quota: 0 } }, "defaults.quota"],
        [{ defaults: { domains: "any", quota: 1 } }, "defaults.ips"]
      ] as const) {
        // Options from a file or from JavaScript can be anything.
        const layer = withSandbox(options as unknown as Partial<JetEmail.Options>)
        const error = yield* expectReason(Effect.provide(Effect.asVoid(ApiKeyService), layer), "InvalidRequest")
        assert.include(error.message, field)
      }
    })
  )

  it.effect("layerConfig takes Configs and plain values, side by side", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      assert.strictEqual(keys.account, "eu")
      yield* keys.create(spec)
    }).pipe(
      Effect.provide(
        JetEmail.layerConfig({
          apiKey: Config.Redacted("JETEMAIL_API_KEY"),
          account: Config.String("JETEMAIL_ACCOUNT"),
          defaults
        }).pipe(Layer.provide(JetEmailSandbox.layerClient({ credential: "api_test_from_config" })))
      ),
      Effect.provide(
        ConfigProvider.layer(
          ConfigProvider.fromUnknown({ JETEMAIL_API_KEY: "api_test_from_config", JETEMAIL_ACCOUNT: "eu" })
        )
      )
    )
  )

  it.effect("layerConfig fails with a ConfigError where a Config does", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.provide(
          Effect.asVoid(ApiKeyService),
          JetEmail.layerConfig({ apiKey: Config.Redacted("NOT_SET"), defaults }).pipe(
            Layer.provide(JetEmailSandbox.layerClient())
          )
        )
      )
      assert.strictEqual(error._tag, "ConfigError")
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({}))))
  )
})
