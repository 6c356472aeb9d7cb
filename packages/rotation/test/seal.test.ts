import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import * as Seal from "../src/internal/seal.ts"

const bytes = (fill: number, length = 32) => Buffer.alloc(length, fill)
const keyOf = (fill: number) => Redacted.make(bytes(fill).toString("base64"))
const keysOf = (current: string, keys: Record<string, Redacted.Redacted<string>>): Seal.SealingKeys => ({
  current,
  keys
})

const one = keysOf("k1", { k1: keyOf(1) })
const two = keysOf("k2", { k1: keyOf(1), k2: keyOf(2) })
const binding = ["key", "acme", "mail", 1]

/** The problem that an effect fails with, or what it gave. */
const outcome = <A>(effect: Effect.Effect<A, { readonly problem: string }>) =>
  Effect.match(effect, { onFailure: ({ problem }) => problem, onSuccess: (value) => ({ value }) })

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.string({ minLength: 5000, maxLength: 6000 }))
const part = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.constantFrom("1", 1, "", 0, -0, "0", "null", Number.NaN)
)
const parts = fc.array(part, { maxLength: 5 })

const check = <Ts extends [unknown, ...Array<unknown>]>(
  property: fc.IAsyncPropertyWithHooks<Ts>,
  parameters: fc.Parameters<Ts> = {}
) => Effect.promise(() => fc.assert(property, { numRuns: 100, ...parameters }))

describe("sealing", () => {
  it.effect("opens again what it sealed, and with the same binding alone", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      yield* check(
        fc.asyncProperty(text, parts, parts, (plaintext, given, other) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const sealed = yield* sealer.seal(plaintext, given)
              assert.match(sealed, /^v1\.k1\.[A-Za-z0-9_-]+$/)
              assert.strictEqual(yield* sealer.open(sealed, given), plaintext)
              const written = (binding: ReadonlyArray<string | number>) =>
                binding.map((part) => [typeof part, String(part)])
              const same = JSON.stringify(written(given)) === JSON.stringify(written(other))
              assert.deepStrictEqual(
                yield* outcome(sealer.open(sealed, other)),
                same ? { value: plaintext } : "Unreadable"
              )
            })
          )
        )
      )
    })
  )

  it.effect("bindings that read alike when put together are different ones", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      const bindings = [
        [],
        [""],
        ["", ""],
        ["a", "bc"],
        ["ab", "c"],
        [`a","b`],
        ["a", "b"],
        ["1"],
        [1],
        ["NaN"],
        [Number.NaN],
        [Number.POSITIVE_INFINITY],
        [`{"number":"1"}`],
        ["a", "bc", 1],
        ["\ud800"],
        ["\ufffd"]
      ]
      for (const [index, given] of bindings.entries()) {
        const sealed = yield* sealer.seal("text", given)
        for (const [otherIndex, other] of bindings.entries()) {
          const expected = index === otherIndex ? { value: "text" } : "Unreadable"
          assert.deepStrictEqual(yield* outcome(sealer.open(sealed, other)), expected)
        }
      }
    })
  )

  it.effect("never seals twice alike", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      const sealed = yield* Effect.forEach(Array.from({ length: 500 }), () => sealer.seal("text", binding))
      assert.strictEqual(new Set(sealed.map((text) => text.slice(0, "v1.k1.".length + 16))).size, 500)
    })
  )

  it.effect("a change of any byte, or of any character, is noticed", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(two)
      // Lengths that leave none, two and four bits over in base64.
      for (const plaintext of ["api_test_a", "api_test_ab", "api_test_abc", ""]) {
        const sealed = yield* sealer.seal(plaintext, binding)
        const body = Buffer.from(sealed.slice("v1.k2.".length), "base64url")
        for (let index = 0; index < body.length; index++) {
          for (const mask of [1, 0x80, 0xff]) {
            const changed = Buffer.from(body)
            changed.writeUInt8(changed.readUInt8(index) ^ mask, index)
            const text = `v1.k2.${changed.toString("base64url")}`
            assert.strictEqual(yield* outcome(sealer.open(text, binding)), "Unreadable")
          }
        }
        for (let index = 0; index < sealed.length; index++) {
          for (const char of ["A", "B", "w", "1", "2", ".", "-", "=", "\n", "é", ""]) {
            const text = sealed.slice(0, index) + char + sealed.slice(index + 1)
            if (text === sealed) continue
            assert.strictEqual(yield* outcome(sealer.open(text, binding)), "Unreadable", JSON.stringify([index, char]))
          }
        }
        for (let length = 0; length < sealed.length; length++) {
          assert.strictEqual(yield* outcome(sealer.open(sealed.slice(0, length), binding)), "Unreadable")
        }
        for (const added of ["A", "AAAA", "=", "\n", " ", ".", "\0"]) {
          assert.strictEqual(yield* outcome(sealer.open(sealed + added, binding)), "Unreadable")
          assert.strictEqual(yield* outcome(sealer.open(added + sealed, binding)), "Unreadable")
        }
        for (const version of ["v2", "v0", "V1", "v", ""]) {
          assert.strictEqual(yield* outcome(sealer.open(sealed.replace("v1", version), binding)), "Unreadable")
        }
      }
    })
  )

  it.effect("anything else is Unreadable", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      yield* check(
        fc.asyncProperty(
          fc.oneof(
            fc.string(),
            fc.string({ unit: "binary" }),
            fc.base64String().map((body) => `v1.k1.${body}`),
            fc.uint8Array({ maxLength: 60 }).map((body) => `v1.k1.${Buffer.from(body).toString("base64url")}`)
          ),
          (sealed) =>
            Effect.runPromise(
              Effect.map(outcome(sealer.open(sealed, binding)), (found) => assert.strictEqual(found, "Unreadable"))
            )
        )
      )
    })
  )

  it.effect("text that is not well-formed is refused: it would come back as other text", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      assert.strictEqual(yield* outcome(sealer.seal("\ud83d", binding)), "Invalid")
      const withMark = "\ufefftext\0"
      assert.strictEqual(yield* sealer.open(yield* sealer.seal(withMark, binding), binding), withMark)
    })
  )

  it.effect("is AES-256-GCM, as others write it", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      const sealed = yield* sealer.seal("text", ["a", 1])
      const body = Buffer.from(sealed.slice("v1.k1.".length), "base64url")
      const key = yield* Effect.promise(() => crypto.subtle.importKey("raw", bytes(1), "AES-GCM", false, ["decrypt"]))
      const additionalData = Buffer.from(`["effect-api-keys/rotation","v1","k1","a",{"number":"1"}]`)
      const plaintext = yield* Effect.promise(() =>
        crypto.subtle.decrypt({ name: "AES-GCM", iv: body.subarray(0, 12), additionalData }, key, body.subarray(12))
      )
      assert.strictEqual(Buffer.from(plaintext).toString(), "text")
    })
  )

  it.effect("what a released version sealed still opens", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(two)
      const golden = "v1.k2.54i0FmexALGwaL2NkCV9THffweFnIBXkH_Y4J3pB9xvtlywYv_cVsQXCMg"
      assert.strictEqual(yield* sealer.open(golden, binding), "api_test_golden")
      assert.strictEqual(
        yield* sealer.fingerprint(Redacted.make("api_test_golden")),
        "k2.f613632e49cead6faa77826294df49856b02f3aeb6f18671d313e57b264e2564"
      )
      assert.strictEqual(
        yield* sealer.fingerprint(Redacted.make("api_test_golden"), "address"),
        "k2.060b211d76ec5751bb0fa0a2518cbac0e24b9ca710ea9f0ee483e02a46482307"
      )
    })
  )
})

describe("several keys", () => {
  it.effect("what an older key sealed opens, until the key is gone", () =>
    Effect.gen(function* () {
      const [before, after] = [yield* Seal.make(one), yield* Seal.make(two)]
      const sealed = yield* before.seal("text", binding)
      assert.strictEqual(yield* after.open(sealed, binding), "text")
      assert.deepStrictEqual(Seal.keyIdOf(sealed), Option.some("k1"))
      assert.deepStrictEqual(Seal.keyIdOf(yield* after.seal("text", binding)), Option.some("k2"))
      const gone = yield* Seal.make(keysOf("k2", { k2: keyOf(2) }))
      const error = yield* Effect.flip(gone.open(sealed, binding))
      assert.strictEqual(error.problem, "Unreadable")
      assert.include(error.message, "the key k1, which is not given")
    })
  )

  it.effect("the same bytes under another id do not open it", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(keysOf("k1", { k1: keyOf(1), k2: keyOf(1) }))
      const sealed = yield* sealer.seal("text", binding)
      assert.strictEqual(yield* outcome(sealer.open(sealed.replace("v1.k1", "v1.k2"), binding)), "Unreadable")
    })
  )

  it.effect("a sealed text names its key, and anything else names none", () =>
    Effect.sync(() => {
      for (const text of [
        "",
        "v1",
        "v1.k1",
        "v1.k1.",
        "v2.k1.AAAA",
        "v1..AAAA",
        "v1.k 1.AAAA",
        "v1.k1.AA.A",
        "v1.k1.AAAA\n"
      ]) {
        assert.deepStrictEqual(Seal.keyIdOf(text), Option.none(), text)
      }
      assert.deepStrictEqual(Seal.keyIdOf(`v1.${"k".repeat(33)}.AAAA`), Option.none())
    })
  )
})

describe("keys that are none", () => {
  const canary = "canary_Qv7_canary_Qv7_canary_Qv7_canary_Qv7"
  const invalid = (keys: Seal.SealingKeys) =>
    Effect.map(Effect.flip(Seal.make(keys)), (error) => {
      assert.strictEqual(error.problem, "Invalid")
      for (const shown of [error.message, inspect(error, { depth: null, showHidden: true }), JSON.stringify(error)]) {
        assert.notInclude(shown, "canary_Qv7")
      }
      return error.message
    })

  it.effect("are refused by id, and never shown", () =>
    Effect.gen(function* () {
      const values = [
        canary,
        "",
        bytes(1, 31).toString("base64"),
        bytes(1, 33).toString("base64"),
        `${bytes(1).toString("base64")}\n`,
        ` ${bytes(1).toString("base64")}`,
        `${bytes(1).toString("base64")}==`,
        bytes(1).toString("hex"),
        // The last character holds two bits too many.
        bytes(1).toString("base64").replace(/.=$/, "F=")
      ]
      for (const value of values) {
        const message = yield* invalid(keysOf("good", { good: keyOf(1), odd_1: Redacted.make(value) }))
        assert.include(message, "the sealing key odd_1 is not 32 bytes in base64")
      }
      assert.include(yield* invalid(keysOf("k1", {})), "there is no sealing key")
      assert.include(yield* invalid(keysOf(canary, { k1: keyOf(1) })), "one of k1")
      assert.include(yield* invalid(keysOf("toString", { k1: keyOf(1) })), "one of k1")
      for (const id of [canary, "", "a.b", "a b", "é"]) {
        assert.include(yield* invalid(keysOf(id, { [id]: keyOf(1) })), "the id of a sealing key")
      }
      // As JavaScript may call it.
      const plain = { k1: canary } as unknown as Record<string, Redacted.Redacted<string>>
      assert.include(yield* invalid(keysOf("k1", plain)), "`Redacted`")
      const number = { k1: Redacted.make(7) } as unknown as Record<string, Redacted.Redacted<string>>
      assert.include(yield* invalid(keysOf("k1", number)), "32 bytes")
    })
  )

  it.effect("base64 and base64url, with or without padding, are one key", () =>
    Effect.gen(function* () {
      const raw = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index * 3))
      const base64 = raw.toString("base64")
      const sealed = yield* Effect.flatMap(Seal.make(keysOf("k", { k: Redacted.make(base64) })), ({ seal }) =>
        seal("text", [])
      )
      for (const spelling of [
        base64,
        base64.replace(/=+$/, ""),
        raw.toString("base64url"),
        `${raw.toString("base64url")}=`
      ]) {
        const sealer = yield* Seal.make(keysOf("k", { k: Redacted.make(spelling) }))
        assert.strictEqual(yield* sealer.open(sealed, []), "text")
      }
    })
  )
})

describe("fingerprints", () => {
  it.effect("are the same for the same secret and key, and for nothing else", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* Seal.make(one), yield* Seal.make(two)]
      const [a, b] = [Redacted.make("api_test_a"), Redacted.make("api_test_b")]
      const print = yield* first.fingerprint(a)
      assert.match(print, /^k1\.[0-9a-f]{64}$/)
      assert.strictEqual(yield* first.fingerprint(Redacted.make("api_test_a")), print)
      assert.notStrictEqual(yield* first.fingerprint(b), print)
      assert.match(yield* second.fingerprint(a), /^k2\./)
      const all = yield* second.fingerprints(a)
      assert.deepStrictEqual([...all].sort(), [print, yield* second.fingerprint(a)].sort())
      assert.notStrictEqual(all[0]?.slice(3), all[1]?.slice(3))
    })
  )

  it.effect("of an address are none of a string that leaks", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(two)
      const text = Redacted.make("api_test_a")
      const [leaks, addresses] = [yield* sealer.fingerprints(text), yield* sealer.fingerprints(text, "address")]
      assert.strictEqual(new Set([...leaks, ...addresses]).size, 4)
      assert.include(addresses, yield* sealer.fingerprint(text, "address"))
      assert.deepStrictEqual(yield* sealer.fingerprints(text, "leak"), leaks)
    })
  )

  it.effect("are not a hash that anyone could compute, nor one under the sealing key itself", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(one)
      const secret = "api_test_a"
      const found = (yield* sealer.fingerprint(Redacted.make(secret))).slice("k1.".length)
      const hex = (buffer: ArrayBuffer) => Buffer.from(buffer).toString("hex")
      assert.notStrictEqual(
        found,
        hex(yield* Effect.promise(() => crypto.subtle.digest("SHA-256", Buffer.from(secret))))
      )
      const key = yield* Effect.promise(() =>
        crypto.subtle.importKey("raw", bytes(1), { name: "HMAC", hash: "SHA-256" }, false, ["sign"])
      )
      assert.notStrictEqual(
        found,
        hex(yield* Effect.promise(() => crypto.subtle.sign("HMAC", key, Buffer.from(secret))))
      )
    })
  )
})

describe("what is printed", () => {
  const canary = "canary_Qv7"
  const secretKey = Buffer.from(`${canary}_key`.padEnd(32, "_"))
  const needles = [
    canary,
    secretKey.toString("base64"),
    secretKey.toString("base64url"),
    secretKey.toString("hex"),
    // Lists of bytes come in columns, with commas or without.
    [...secretKey].join(","),
    secretKey.toString("hex").replace(/(..)(?=.)/g, "$1,")
  ]
  const show = (value: unknown): ReadonlyArray<string> => {
    const options = { depth: Number.POSITIVE_INFINITY, maxArrayLength: null, maxStringLength: null, showHidden: true }
    return [
      inspect(value, options),
      inspect(value, { ...options, showProxy: true }),
      String(value),
      `${JSON.stringify(value)}`
    ]
  }
  const shows = (value: unknown): boolean =>
    show(value)
      .flatMap((text) => [text, text.replace(/[\s,]+/g, ",")])
      .some((text) => needles.some((needle) => text.includes(needle)))

  it.effect("is neither key nor text", () =>
    Effect.gen(function* () {
      assert.isTrue(shows({ deep: { secretKey: [...secretKey] } }), "the search finds nothing")
      assert.isTrue(shows({ deep: new Map([[1, { canary }]]) }), "the search finds nothing")
      const keys = keysOf("k1", { k1: Redacted.make(secretKey.toString("base64")) })
      const sealer = yield* Seal.make(keys)
      const sealed = yield* sealer.seal(canary, binding)
      const other = yield* Seal.make(one)
      const values: ReadonlyArray<unknown> = [
        keys,
        Seal.make(keys),
        sealer,
        sealer.seal(canary, binding),
        sealer.open(sealed, binding),
        sealer.fingerprint(Redacted.make(canary)),
        sealer.fingerprints(Redacted.make(canary)),
        sealed,
        yield* sealer.fingerprint(Redacted.make(canary)),
        yield* Effect.exit(other.open(sealed, binding)),
        yield* Effect.exit(sealer.open(sealed, ["other"])),
        yield* Effect.exit(sealer.seal(`${canary}\ud83d`, binding)),
        yield* Effect.exit(Seal.make(keysOf("k2", keys.keys))),
        yield* Effect.exit(Seal.make(keysOf("k1", { k1: Redacted.make(`${secretKey.toString("base64")}x`) })))
      ]
      for (const [index, value] of values.entries()) assert.isFalse(shows(value), `value ${index}`)
      const cause = yield* Effect.flip(Effect.sandbox(sealer.seal(`${canary}\ud83d`, binding)))
      assert.isFalse(shows(Cause.pretty(cause)))
      assert.isFalse(shows(cause))
    })
  )
})
