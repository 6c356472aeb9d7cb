import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService, MintIntent, unmarkedName } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

const bound = Layer.unwrap(
  Effect.map(JetEmailSandbox.JetEmailSandbox, ({ credential }) =>
    JetEmail.layer({ apiKey: credential, defaults: { domains: "any", ips: "any", quota: "unlimited" } })
  )
).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(JetEmailSandbox.layerClient()))

const test = <A, E>(name: string, run: Effect.Effect<A, E, Layer.Success<typeof bound>>) =>
  it.effect(name, () => Effect.provide(run, bound))

const sent = Effect.flatMap(JetEmailSandbox.JetEmailSandbox, ({ requests }) =>
  Effect.map(requests, (all) => all.map(({ body, method }) => [method, body]))
)

const lose = Effect.flatMap(HttpFaults.HttpFaults, ({ inject }) => inject("resetAfterCommit", { method: "POST" }))

describe("a create with an intent", () => {
  test(
    "is sent under its marker, and renamed by a patch of the name alone",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const intent = yield* keys.prepare("create")
      const key = yield* keys.create({ name: "acme", quota: 7 }, { intent })
      const token = Redacted.value(key.secret)
      assert.deepStrictEqual(yield* sent, [
        ["GET", undefined],
        ["POST", { name: `acme ${intent.marker}`, allowAllDomains: true, ipRestrictions: [], quota: 7 }],
        ["PATCH", { api_token: token, name: "acme" }]
      ])
      assert.deepStrictEqual(key.name, Option.some("acme"))
    })
  )

  test(
    "a name of 64 characters is cut for the marker, and whole at the end",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { keys: rows } = yield* JetEmailSandbox.JetEmailSandbox
      const name = `${"long-name_".repeat(6)}1234`
      const intent = yield* keys.prepare("create")
      yield* lose
      yield* Effect.flip(keys.create({ name }, { intent }))
      assert.deepStrictEqual(
        (yield* rows).map((row) => [row.name, row.name.length]),
        [[`${name.slice(0, 36)} ${intent.marker}`, 64]]
      )
      yield* keys.create({ name }, { intent: yield* keys.prepare("create") })
      assert.strictEqual((yield* rows)[1]?.name, name)
    })
  )

  test(
    "that was lost is read again from the list, and can be given its name and used",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const vendor = yield* JetEmailSandbox.JetEmailSandbox
      yield* vendor.addKey({ name: "acme" })
      const intent = yield* keys.prepare("create")
      yield* lose
      yield* Effect.flip(keys.create({ name: "acme", domains: ["acme.example"] }, { intent }))
      const found = yield* keys.recover(intent)
      assert(found._tag === "Recovered")
      const { issued } = found
      assert.strictEqual(found.attribution, "proven")
      assert.isTrue(yield* vendor.isLive(Redacted.value(issued.secret)))
      assert.deepStrictEqual(Option.getOrUndefined(issued.unrestricted), ["ips", "quota"])
      const name = unmarkedName(Option.getOrThrow(issued.name))
      assert.strictEqual(name, "acme")
      yield* keys.patch(issued.ref, { name })
      assert.strictEqual((yield* keys.recover(intent))._tag, "NotSeen")
    })
  )
})

describe("a rotation with an intent", () => {
  test(
    "is sent as ever; the intent knows the key by its uuid and handle, and holds no token",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { token, uuid } = yield* (yield* JetEmailSandbox.JetEmailSandbox).addKey({ name: "acme" })
      const ref = keys.ref(Redacted.make(token))
      const intent = yield* keys.prepare(ref)
      assert.deepStrictEqual([intent.identity, intent.handle], [uuid, keys.handle(ref)])
      assert.notInclude(JSON.stringify(Schema.encodeSync(Schema.toCodecJson(MintIntent))(intent)), token)
      const { previous } = yield* keys.rotate(ref, { intent, deliver: () => Effect.void })
      assert.strictEqual(previous, "dead")
      assert.deepStrictEqual(yield* sent, [
        ["GET", undefined],
        ["POST", { api_token: token }]
      ])
    })
  )

  test(
    "that was lost is read again by the uuid; by whom it was rotated, the list does not say",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const vendor = yield* JetEmailSandbox.JetEmailSandbox
      const { token } = yield* vendor.addKey({ name: "acme" })
      yield* vendor.addKey({ name: "acme" })
      const ref = keys.ref(Redacted.make(token))
      const intent = yield* keys.prepare(ref)
      assert.strictEqual((yield* keys.recover(intent))._tag, "NotSeen")
      yield* lose
      yield* Effect.flip(keys.rotate(ref, { intent, deliver: () => Effect.void }))
      const found = yield* keys.recover(intent)
      assert(found._tag === "Recovered" && found.attribution === "unproven")
      assert.isTrue(yield* vendor.isLive(Redacted.value(found.issued.secret)))
      assert.isFalse(yield* vendor.isLive(token))
      yield* vendor.removeKey(Redacted.value(found.issued.secret))
      assert.deepStrictEqual(yield* keys.recover(intent), { _tag: "Undetermined", problem: "gone", candidates: [] })
    })
  )
})

describe("handles that are hashed with another key since", () => {
  it.effect(
    "are refused, for an old token would look like a new one; with the ref of the key, it is known by its token",
    () =>
      Effect.gen(function* () {
        const { addKey, credential } = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* addKey({ name: "acme" })
        const within = <A, E>(handleKey: string, run: Effect.Effect<A, E, ApiKeyService>) =>
          Effect.provide(
            run,
            JetEmail.layer({
              apiKey: credential,
              handleKey: Redacted.make(handleKey),
              defaults: { domains: "any", ips: "any", quota: "unlimited" }
            })
          )
        const intent = yield* within(
          "api_test_one",
          Effect.flatMap(ApiKeyService, (keys) => keys.prepare(keys.ref(Redacted.make(token)), { snapshot: "none" }))
        )
        const recover = Effect.flatMap(ApiKeyService, (keys) => keys.recover(intent))
        const { reason } = yield* Effect.flip(within("api_test_two", recover))
        assert(reason._tag === "InvalidRequest")
        assert.deepStrictEqual(
          reason.issues.map(({ path }) => path),
          [["intent", "markerHandle"]]
        )
        assert.strictEqual((yield* within("api_test_one", recover))._tag, "NotSeen")
        const withRef = Effect.flatMap(ApiKeyService, (keys) =>
          keys.recover(intent, { ref: keys.ref(Redacted.make(token)) })
        )
        assert.strictEqual((yield* within("api_test_two", withRef))._tag, "NotSeen")
        const rotate = Effect.flatMap(ApiKeyService, (keys) => keys.rotate(keys.ref(Redacted.make(token))))
        const { issued } = yield* within("api_test_two", rotate)
        const found = yield* within("api_test_two", withRef)
        assert(found._tag === "Recovered")
        assert.deepStrictEqual(
          [found.attribution, Redacted.value(found.issued.secret)],
          ["unproven", Redacted.value(issued.secret)]
        )
      }).pipe(Effect.provide(JetEmailSandbox.layerClient()))
  )
})

describe("where the list does not show what a recovery needs, nothing is prepared", () => {
  const refused = (
    name: string,
    change: (vendor: JetEmailSandbox.JetEmailSandbox["Service"], token: string) => Effect.Effect<void>,
    expected: { readonly create: ReadonlyArray<string>; readonly rotate: ReadonlyArray<string> }
  ) =>
    test(
      name,
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const vendor = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* vendor.addKey({ name: "acme" })
        yield* change(vendor, token)
        const end = (target: Parameters<typeof keys.prepare>[0]) =>
          Effect.match(keys.prepare(target), {
            onSuccess: () => ["prepared"],
            onFailure: ({ reason }) => [
              reason._tag,
              ...("issues" in reason ? reason.issues.map(({ path }) => path.join(".")) : [])
            ]
          })
        assert.deepStrictEqual(yield* end("create"), expected.create)
        assert.deepStrictEqual(yield* end(keys.ref(Redacted.make(token))), expected.rotate)
        for (const [method] of yield* sent) assert.strictEqual(method, "GET")
      })
    )

  refused("masked tokens", ({ setMasked }) => setMasked(true), {
    create: ["UnexpectedResponse", "secret"],
    rotate: ["UnexpectedResponse", "secret"]
  })
  refused("the older list, without names and uuids", ({ setListFormat }) => setListFormat("legacy"), {
    create: ["UnexpectedResponse", "name"],
    rotate: ["UnexpectedResponse", "identity"]
  })
  refused("a disabled key, which the vendor does not rotate", ({ setStatus }, token) => setStatus(token, "disabled"), {
    create: ["prepared"],
    rotate: ["InvalidKeyState"]
  })
  refused("a key that is not there", ({ removeKey }, token) => removeKey(token), {
    create: ["prepared"],
    rotate: ["KeyNotFound"]
  })

  test(
    "a list that was masked since recovers nothing, and says which key it is",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const vendor = yield* JetEmailSandbox.JetEmailSandbox
      const intent = yield* keys.prepare("create")
      yield* lose
      yield* Effect.flip(keys.create({ name: "acme" }, { intent }))
      yield* vendor.setMasked(true)
      const [row] = yield* vendor.keys
      const candidates = [`jetemail_${row?.uuid}`]
      assert.deepStrictEqual(yield* keys.recover(intent), { _tag: "Undetermined", problem: "masked", candidates })
      yield* vendor.setListFormat("legacy")
      yield* vendor.setMasked(false)
      const found = yield* keys.recover(intent)
      assert(found._tag === "Undetermined" && found.problem === "unnamed")
      assert.lengthOf(found.candidates, 1)
    })
  )
})
