import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { ApiKey, IncompleteRotation, IssuedKey, KeyRef, KeyStatus, PatchedKey, RotatedKey } from "../src/ApiKey.ts"
import { ApiKeyError, KeyNotFound } from "../src/ApiKeyError.ts"
import { property } from "./support.ts"

const secret = "api_test_secret_1"
const address = "api_test_address_1"

const refOf = (provider: string, account: string, value: string) =>
  new KeyRef({ provider, account, value: Redacted.make(value) })
const ref = refOf("jetemail", "default", address)
const issued = new IssuedKey({
  ref,
  handle: "jetemail_1",
  secret: Redacted.make(secret),
  name: Option.some("acme"),
  unrestricted: Option.some(["ips"])
})
const key = new ApiKey({
  provider: "jetemail",
  handle: "jetemail_1",
  ref: Option.some(ref),
  name: Option.some("acme"),
  status: "active",
  providerStatus: "ACTIVE",
  restrictions: { domains: ["acme.example"], quota: 5, rate: { max: 1, per: { months: 1 } } },
  createdAt: Option.some(DateTime.makeUnsafe("2026-11-20T12:00:00Z")),
  updatedAt: Option.none(),
  options: { uuid: "1" }
})

/** Every way in which a value ends up in a log. */
const shown = (value: unknown): string =>
  [
    String(value),
    `${JSON.stringify(value)}`,
    inspect(value),
    inspect(value, { depth: Infinity, showHidden: true }),
    inspect(value, { depth: Infinity, showHidden: true, customInspect: false }),
    Formatter.format(value),
    Formatter.formatJson(value),
    Cause.pretty(Cause.fail(value)),
    JSON.stringify(Object.entries(Object(value)))
  ].join("\n")

const leaks = (value: unknown) => [secret, address].filter((text) => shown(value).includes(text))

it("the detector finds what is not redacted", () => {
  assert.deepStrictEqual(leaks({ secret, ref: { address } }), [secret, address])
  assert.deepStrictEqual(leaks(new Error(secret)), [secret])
})

describe("KeyRef", () => {
  it("is equal by provider, account and value, and by nothing less", () => {
    const same = refOf("jetemail", "default", address)
    assert.isTrue(Equal.equals(ref, same))
    assert.strictEqual(Hash.hash(ref), Hash.hash(same))
    assert.strictEqual(HashMap.size(HashMap.make([ref, 1], [same, 2])), 1)
    for (const other of [
      refOf("smtp2go", "default", address),
      refOf("jetemail", "second", address),
      refOf("jetemail", "default", "other")
    ]) {
      assert.isFalse(Equal.equals(ref, other))
    }
  })

  it.effect("equality is exactly that of the three", () =>
    property(
      fc.tuple(...Array.from({ length: 6 }, () => fc.constantFrom("a", "b", "ab", ""))),
      ([p1, a1, v1, p2, a2, v2]) =>
        Effect.sync(() => {
          const equal = p1 === p2 && a1 === a2 && v1 === v2
          const [one, two] = [refOf(p1 ?? "", a1 ?? "", v1 ?? ""), refOf(p2 ?? "", a2 ?? "", v2 ?? "")]
          assert.strictEqual(Equal.equals(one, two), equal)
          if (equal) assert.strictEqual(Hash.hash(one), Hash.hash(two))
        })
    )
  )

  it("prints as its provider alone", () => {
    for (const text of [String(ref), `${ref}`, inspect(ref), inspect(ref, { depth: Infinity, showHidden: true })]) {
      assert.strictEqual(text, "KeyRef(jetemail)")
    }
    assert.strictEqual(JSON.stringify({ ref }), '{"ref":"KeyRef(jetemail)"}')
    assert.deepStrictEqual(leaks(ref), [])
  })

  it("holds its value for those who ask for it", () => {
    assert.strictEqual(Redacted.value(ref.value), address)
  })

  it.effect("refuses to be encoded, without saying what it holds", () =>
    Effect.gen(function* () {
      for (const schema of [KeyRef, Schema.toCodecJson(KeyRef), Schema.Struct({ ref: KeyRef })]) {
        const exit = yield* Effect.exit(
          Schema.encodeUnknownEffect(schema)("fields" in schema && "ref" in schema.fields ? { ref } : ref)
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(leaks(exit), [])
      }
    })
  )

  it.effect("is decoded from what was stored, and a failure to do so shows nothing", () =>
    Effect.gen(function* () {
      const stored = { provider: "jetemail", account: "default", value: address }
      assert.isTrue(Equal.equals(yield* Schema.decodeUnknownEffect(KeyRef)(stored), ref))
      for (const broken of [
        { ...stored, provider: 5 },
        { provider: "jetemail", value: address },
        { ...stored, value: [address] },
        { ...stored, value: { token: address } },
        { ...stored, account: null }
      ]) {
        const exit = yield* Effect.exit(Schema.decodeUnknownEffect(KeyRef)(broken))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(leaks(exit), [])
      }
    })
  )
})

describe("what holds a key", () => {
  const rotated: RotatedKey<string> = {
    issued,
    previous: "dead",
    incomplete: { step: "deliver", cause: Cause.fail("no") }
  }
  const holders = {
    IssuedKey: issued,
    ApiKey: key,
    PatchedKey: new PatchedKey({ key: Option.some(key), proof: "echoed" }),
    RotatedKey: rotated,
    "an exit of one": Exit.succeed(issued),
    "a failure with one": Exit.fail(issued)
  }
  for (const [what, value] of Object.entries(holders)) {
    it(`${what} shows neither secret nor address, however it is printed`, () => {
      assert.deepStrictEqual(leaks(value), [])
    })
  }

  it("two keys are equal by what they hold", () => {
    const same = new IssuedKey({ ...issued, secret: Redacted.make(secret) })
    assert.isTrue(Equal.equals(issued, same))
    assert.isFalse(Equal.equals(issued, new IssuedKey({ ...issued, secret: Redacted.make("other") })))
  })

  const rotations = RotatedKey(Schema.String)
  for (const [what, schema, value] of [
    ["IssuedKey", IssuedKey, issued],
    ["ApiKey with its ref", ApiKey, key],
    ["PatchedKey with its ref", PatchedKey, holders.PatchedKey],
    ["RotatedKey", rotations, rotated]
  ] as const) {
    it.effect(`${what} refuses to be encoded, and shows nothing`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Schema.encodeUnknownEffect(schema)(value))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(leaks(exit), [])
      })
    )

    it(`${what} is of its own schema`, () => {
      assert.isTrue(Schema.is(schema)(value))
    })
  }

  it.effect("without addresses an ApiKey and a PatchedKey go to JSON and come back", () =>
    Effect.gen(function* () {
      const masked = new ApiKey({ ...key, ref: Option.none() })
      const json = Schema.fromJsonString(Schema.toCodecJson(ApiKey))
      const text = yield* Schema.encodeUnknownEffect(json)(masked)
      assert.isTrue(Equal.equals(yield* Schema.decodeUnknownEffect(json)(text), masked))
      const patched = new PatchedKey({ key: Option.none(), proof: "acknowledged" })
      const patches = Schema.fromJsonString(Schema.toCodecJson(PatchedKey))
      const encoded = yield* Schema.encodeUnknownEffect(patches)(patched)
      assert.isTrue(Equal.equals(yield* Schema.decodeUnknownEffect(patches)(encoded), patched))
    })
  )

  it.effect("an incomplete rotation goes to JSON and comes back, with the caller's error in its cause", () =>
    Effect.gen(function* () {
      const json = Schema.fromJsonString(Schema.toCodecJson(IncompleteRotation(Schema.String)))
      const error = new ApiKeyError({ provider: "acme", operation: "rotate", reason: new KeyNotFound() })
      const values: ReadonlyArray<IncompleteRotation<string>> = [
        { step: "activate", error },
        { step: "retire", error },
        { step: "deliver", cause: Cause.combine(Cause.fail("vault down"), Cause.fail(error)) }
      ]
      for (const value of values) {
        const text = yield* Schema.encodeUnknownEffect(json)(value)
        const decoded = yield* Schema.decodeUnknownEffect(json)(text)
        assert.strictEqual(decoded.step, value.step)
        if (decoded.step === "deliver") {
          const errors = decoded.cause.reasons.filter(Cause.isFailReason).map((reason) => reason.error)
          assert.strictEqual(errors[0], "vault down")
          assert.instanceOf(errors[1], ApiKeyError)
        }
      }
    })
  )

  it("states are these five", () => {
    assert.deepStrictEqual([...KeyStatus.literals], ["active", "disabled", "suspended", "sandbox", "unknown"])
    assert.isFalse(Schema.is(KeyStatus)("blocked"))
  })

  it("what a vendor shows of restrictions is checked like what is asked", () => {
    for (const restrictions of [{ domains: [] }, { quota: 0 }, { rate: { max: 1, per: 60 } }, { ips: null }]) {
      assert.isFalse(Schema.is(Schema.Struct(ApiKey.fields).fields.restrictions)(restrictions))
    }
  })
})
