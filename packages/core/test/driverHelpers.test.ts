import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { KeyRef } from "../src/ApiKey.ts"
import * as ApiKeyDriver from "../src/ApiKeyDriver.ts"
import {
  ApiKeyError,
  type ApiKeyErrorReason,
  type Issue,
  KeyNotFound,
  PermissionDenied,
  ProviderUnavailable,
  RateLimited,
  UnexpectedResponse
} from "../src/ApiKeyError.ts"
import { ApiKeyService, type KeyPatch, type KeySpec } from "../src/ApiKeyService.ts"
import * as WireValue from "../src/WireValue.ts"
import { expectError, expectReason } from "./support.ts"

/**
 * Works over a large input: what is linear takes milliseconds, and what is quadratic longer than the time-out of a test. The
 * two are so far apart that a busy machine does not matter.
 */
const assertLinear = (work: (size: number) => () => unknown) => {
  work(200_000)()
}

describe("freeText", () => {
  const rule = ApiKeyDriver.freeText({ max: 8 })
  const messageOf = (value: string, checked = rule(value)) =>
    Result.isSuccess(checked) ? assert.fail(`accepted ${JSON.stringify(value)}`) : checked.failure

  for (const value of ["a", "12345678", "a b", "a  b", "ключ", "🔑🔑🔑🔑", "<&\"'>", "%00", "a\u00a0b", "-", "null"]) {
    it(`takes ${JSON.stringify(value)} as it is`, () => {
      assert.deepStrictEqual(rule(value), Result.succeed(value))
    })
  }

  const refused: ReadonlyArray<readonly [string, RegExp]> = [
    ["", /1 to 8/],
    ["123456789", /1 to 8/],
    ["🔑🔑🔑🔑🔑", /1 to 8/],
    [" ", /space/],
    [" a", /space/],
    ["a ", /space/],
    ["\u00a0a", /space/],
    ["a\ufeff", /space/],
    ["a\u2028", /space/],
    ["a\n", /space/],
    ["a\nb", /line breaks/],
    ["a\rb", /line breaks/],
    ["a\tb", /control/],
    ["a\u0000b", /control/],
    ["\u0000", /control/],
    ["a\u001bb", /control/],
    ["a\u007f", /control/],
    ["a\u0085b", /control/],
    ["a\u009fb", /control/],
    ["a\ud83d", /surrogate/],
    ["\udd11a", /surrogate/],
    ["\udd11\ud83d", /surrogate/]
  ]
  for (const [value, message] of refused) {
    it(`refuses ${JSON.stringify(value)}`, () => {
      const [issue, ...others] = messageOf(value)
      assert.strictEqual(others.length, 0)
      assert.deepStrictEqual(issue?.path, [])
      assert.match(issue?.message ?? "", message)
    })
  }

  it("takes exactly what the rule says, changes nothing, and never quotes what it refuses", () => {
    const units = fc.oneof(
      fc.string({ unit: "binary", maxLength: 10 }),
      // Half characters as well, which `binary` has none of.
      fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 10 }).map((codes) => String.fromCharCode(...codes)),
      fc.string({
        unit: fc.constantFrom(" ", "a", "\n", "\u0000", "\ud800", "é", "\u2028", "\u202e", "\u2066", "\u200d"),
        maxLength: 10
      })
    )
    fc.assert(
      fc.property(units, fc.integer({ min: 1, max: 10 }), (value, max) => {
        const checked = ApiKeyDriver.freeText({ max })(value)
        const inRange = value.length >= 1 && value.length <= max
        const controls = [...value].some((char) => {
          const code = char.codePointAt(0) ?? 0
          return (
            code < 0x20 ||
            (code >= 0x7f && code < 0xa0) ||
            (code >= 0xd800 && code < 0xe000) ||
            [0x2028, 0x2029].includes(code) ||
            (code >= 0x202a && code <= 0x202e) ||
            (code >= 0x2066 && code <= 0x2069)
          )
        })
        const expected = inRange && value.trim() === value && !controls
        assert.strictEqual(Result.isSuccess(checked), expected)
        if (Result.isSuccess(checked)) assert.strictEqual(checked.success, value)
        else {
          assert.strictEqual(checked.failure.length, 1)
          if (value.length > 5) assert.notInclude(JSON.stringify(checked.failure), value)
        }
      }),
      { numRuns: 1000 }
    )
  })

  it("takes time in proportion to the text, whatever it is made of", () => {
    const long = ApiKeyDriver.freeText({ max: 10_000_000 })
    for (const part of ["a", " ", " a", "\n", "\u00a0", "🔑", "\ud83d"]) {
      assertLinear((size) => {
        const value = `a${part.repeat(size / part.length)}a`
        return () => long(value)
      })
    }
  })
})

const KeyOptions = Schema.Struct({
  status: Schema.optionalKey(Schema.Literals(["allowed", "sandbox"])),
  ipPool: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  "open-tracking": Schema.optionalKey(Schema.Boolean)
})

const expected = {
  status: `must be "allowed" or "sandbox"`,
  ipPool: "must be a whole number, or null",
  "open-tracking": "must be true or false"
} as const

const rule = ApiKeyDriver.options(KeyOptions, expected)

const unknown = "is not an option of this vendor: known are status, ipPool, open-tracking"

describe("options", () => {
  const issuesOf = (value: unknown): ReadonlyArray<Issue> => {
    const checked = rule(value)
    return Result.isSuccess(checked) ? assert.fail("was accepted") : checked.failure
  }

  const taken: ReadonlyArray<typeof KeyOptions.Type> = [
    {},
    { status: "sandbox" },
    { ipPool: null },
    { status: "allowed", ipPool: 3, "open-tracking": false }
  ]
  for (const value of taken) {
    it(`${JSON.stringify(value)} is taken`, () => {
      assert.deepStrictEqual(Result.getOrUndefined(rule(value)), value)
    })
  }

  for (const value of [undefined, null, "status", 5, true, [], [{ status: "sandbox" }], () => ({}), Symbol("status")]) {
    it(`${String(inspect(value))} is no options`, () => {
      assert.deepStrictEqual(issuesOf(value), [
        { path: [], message: "must be an object of: status, ipPool, open-tracking" }
      ])
    })
  }

  it("every field that is wrong has its own words, in the order that it was given, and those that are right none", () => {
    assert.deepStrictEqual(issuesOf({ ipPool: "api_test_value", status: "allowed", "open-tracking": 1 }), [
      { path: ["ipPool"], message: expected.ipPool },
      { path: ["open-tracking"], message: expected["open-tracking"] }
    ])
    assert.deepStrictEqual(issuesOf({ status: undefined }), [{ path: ["status"], message: expected.status }])
    assert.deepStrictEqual(issuesOf({ status: null, stauts: "sandbox" }), [
      { path: ["status"], message: expected.status },
      { path: ["stauts"], message: unknown }
    ])
  })

  it("a field that is not known is named only where its name cannot be a value", () => {
    for (const name of ["api_test_4f9a8c7e6d5b4a", "with space", "a.b", "é", "", "x".repeat(25), "9"]) {
      assert.deepStrictEqual(issuesOf({ [name]: 1 }), [{ path: ["?"], message: unknown }])
    }
  })

  for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf", "__proto__"]) {
    it(`"${name}" is a field like any other, and not known`, () => {
      const value: unknown = JSON.parse(`{${JSON.stringify(name)}:{"status":"sandbox"}}`)
      assert.deepStrictEqual(issuesOf(value), [{ path: [name], message: unknown }])
    })
  }

  it("what is refused always says why, by paths and our own words alone", () => {
    const words = new Set<string>([
      unknown,
      ...Object.values(expected),
      "must be an object of: status, ipPool, open-tracking"
    ])
    const value = fc.oneof(
      fc.anything(),
      fc.dictionary(
        fc.oneof(fc.constantFrom("status", "ipPool", "open-tracking"), fc.string()),
        fc.oneof(fc.constantFrom("sandbox", "allowed", true, 3), fc.anything())
      )
    )
    fc.assert(
      fc.property(value, (given) => {
        const checked = rule(given)
        if (Result.isSuccess(checked)) {
          assert.isTrue(Schema.is(KeyOptions)(given))
          return
        }
        assert.isNotEmpty(checked.failure)
        for (const { message, path } of checked.failure) {
          assert.isTrue(words.has(message))
          assert.isTrue(path.length === 0 || /^([A-Za-z_-]{1,24}|\?)$/.test(String(path[0])))
        }
      }),
      { numRuns: 1000 }
    )
  })

  it("the schema's own messages, which quote, are never shown", () => {
    const quoting = ApiKeyDriver.options(
      Schema.Struct({
        label: Schema.optionalKey(
          Schema.String.check(Schema.makeFilter((label) => label.length < 3 || `${label} is too long`))
        )
      }),
      { label: "must be short" }
    )
    assert.deepStrictEqual(
      quoting({ label: "api_test_value" }),
      Result.fail([{ path: ["label"], message: "must be short" }])
    )
  })

  const hiding: ReadonlyArray<readonly [string, unknown]> = [
    ["behind a prototype", Object.create({ status: "api_test_value" })],
    ["behind a symbol", { [Symbol("status")]: "api_test_value" }],
    ["that is not enumerable", Object.defineProperty({}, "status", { value: "api_test_value" })]
  ]
  for (const [what, value] of hiding) {
    it(`what is refused for a field ${what} still says so`, () => {
      const issues = issuesOf(value)
      assert.isNotEmpty(issues, "an InvalidRequest without a single issue helps nobody")
      assert.notInclude(JSON.stringify(issues), "api_test_value")
    })
  }

  it("a Map, or a class that shows none of the fields, is not nothing: what is in it must not be passed over", () => {
    class Hidden {
      #status = "sandbox"
      read() {
        return this.#status
      }
    }
    for (const value of [new Map([["status", "sandbox"]]), new Set(["sandbox"]), new Date(0), new Hidden()]) {
      assert.deepStrictEqual(issuesOf(value), [
        { path: [], message: "must be an object of: status, ipPool, open-tracking" }
      ])
    }
    assert.isTrue(Result.isSuccess(rule({})) && Result.isSuccess(rule(Object.create(null))))
  })

  it("so does what is refused for two fields that are right, each for itself", () => {
    const either = ApiKeyDriver.options(
      KeyOptions.check(
        Schema.makeFilter((o) => o.status === undefined || o.ipPool === undefined || "one of the two, not both")
      ),
      expected
    )
    const checked = either({ status: "sandbox", ipPool: 1 })
    assert.isTrue(Result.isFailure(checked))
    if (Result.isFailure(checked)) assert.isNotEmpty(checked.failure)
  })

  it("takes time in proportion to what it is given", () => {
    assertLinear((size) => {
      const value = Object.fromEntries(Array.from({ length: size / 4 }, (_, index) => [`field${index}`, index]))
      return () => rule(value)
    })
  })
})

describe("options at the service", () => {
  const made = () => {
    const minted: Array<unknown> = []
    const patched: Array<unknown> = []
    const driver: ApiKeyDriver.ApiKeyDriver = {
      provider: "acme",
      account: "default",
      restrictions: {},
      defaults: {},
      name: Result.succeed,
      address: Result.succeed,
      handle: () => "acme_1",
      options: rule,
      mint: ({ options }) =>
        Effect.sync(() => {
          minted.push(options)
          return { send: Effect.succeed({ address: "1", secret: "api_test_acme" }) }
        }),
      patch: (_address, { options }) =>
        Effect.sync(() => {
          patched.push(options)
          return undefined
        })
    }
    return { layer: ApiKeyService.layer(Effect.succeed(driver)), minted, patched }
  }
  const ref = new KeyRef({ provider: "acme", account: "default", value: Redacted.make("1") })
  // Namespaces are added by module augmentation, in adapters; here the input is as from JavaScript.
  const specOf = (acme: unknown) => ({ name: "a", options: { acme } }) as KeySpec
  const patchOf = (acme: unknown, more: object = {}) => ({ options: { acme }, ...more }) as KeyPatch

  it.effect("the vendor's namespace with nothing in it is nothing said: a spec is as without it", () => {
    const { layer, minted } = made()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* keys.create(specOf({}))
      yield* keys.create({ name: "a" })
      yield* keys.create(specOf({ status: "sandbox" }))
      assert.deepStrictEqual(minted, [undefined, undefined, { status: "sandbox" }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("and a patch of it alone is empty", () => {
    const { layer, patched } = made()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      for (const patch of [patchOf({}), patchOf(undefined), patchOf({}, { options: {} })]) {
        const error = yield* expectError(keys.patch(ref, patch), "InvalidRequest")
        assert.include(error.message, "the patch is empty")
      }
      assert.deepStrictEqual(patched, [])
      yield* keys.patch(ref, patchOf({}, { name: "b" }))
      yield* keys.patch(ref, patchOf({ ipPool: null }))
      assert.deepStrictEqual(patched, [undefined, { ipPool: null }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("what is no object is not nothing", () => {
    const { layer, minted } = made()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      for (const bad of [[], null, "", 0, false]) yield* expectError(keys.create(specOf(bad)), "InvalidRequest")
      assert.deepStrictEqual(minted, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("an error shows the field's words below its path, and no value", () => {
    const { layer } = made()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const error = yield* expectError(keys.create(specOf({ status: "api_test_value" })), "InvalidRequest")
      assert.include(error.message, `options.acme.status: ${expected.status}`)
      assert.notInclude(inspect(error, { depth: Infinity }), "api_test_value")
    }).pipe(Effect.provide(layer))
  })

  // As for restrictions: see hardening.test.ts.
  class Sandboxed {
    get status() {
      return "sandbox"
    }
  }
  const inherited: ReadonlyArray<readonly [string, () => object]> = [
    ["a class's getter", () => new Sandboxed()],
    ["a prototype", () => Object.create({ status: "sandbox" })]
  ]
  for (const [what, given] of inherited) {
    it.effect(`an option behind ${what} is not passed over`, () => {
      const { layer, minted, patched } = made()
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        yield* keys.create(specOf(given()))
        assert.deepStrictEqual(minted, [{ status: "sandbox" }], "dropped, it would make a key that sends for real")
        yield* keys.patch(ref, patchOf(given()))
        assert.deepStrictEqual(patched, [{ status: "sandbox" }])
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("options that throw when they are read are bad input, and what they threw is not shown", () => {
    const { layer, minted } = made()
    const thrown = (): never => {
      throw new Error("api_test_thrown")
    }
    const throwing: ReadonlyArray<object> = [
      Object.defineProperty({}, "status", { get: thrown, enumerable: true }),
      new Proxy({}, { ownKeys: thrown }),
      new Proxy({ status: "sandbox" }, { get: thrown })
    ]
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      for (const bad of throwing) {
        const error = yield* expectError(keys.create(specOf(bad)), "InvalidRequest")
        assert.notInclude(inspect(error, { depth: Infinity }), "api_test_thrown")
        yield* expectError(keys.patch(ref, patchOf(bad)), "InvalidRequest")
      }
      assert.deepStrictEqual(minted, [])
    }).pipe(Effect.provide(layer))
  })
})

describe("removeAndVerify", () => {
  const failing = (reason: ApiKeyErrorReason) =>
    Effect.fail(new ApiKeyError({ provider: "acme", operation: "GET /keys/:id", reason }))

  const removing = (
    remove: Effect.Effect<void, ApiKeyError>,
    get: Effect.Effect<unknown, ApiKeyError> = Effect.die("read, for no reason")
  ) => ApiKeyDriver.removeAndVerify({ provider: "acme", remove, get })

  it.effect("a removal that failed failed, as it says: nothing is read", () =>
    Effect.gen(function* () {
      yield* expectReason(removing(failing(new KeyNotFound())), "KeyNotFound")
      const { problem, sent } = yield* expectReason(
        removing(failing(new ProviderUnavailable({ problem: "timeout", sent: true }))),
        "ProviderUnavailable"
      )
      assert.deepStrictEqual([problem, sent], ["timeout", true])
    })
  )

  it.effect("is a success where the key is then gone, read once and after the removal", () => {
    const order: Array<string> = []
    const step = <A, E>(name: string, end: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        order.push(name)
        return end
      })
    return Effect.gen(function* () {
      assert.isUndefined(yield* removing(step("remove", Effect.void), step("get", failing(new KeyNotFound()))))
      assert.deepStrictEqual(order, ["remove", "get"])
    })
  })

  it.effect("one that left the key there is a failure, which shows nothing of the key", () =>
    Effect.gen(function* () {
      for (const shown of [{ secret: "api_test_value" }, undefined, null, new KeyNotFound()]) {
        const error = yield* expectError(removing(Effect.void, Effect.succeed(shown)), "UnexpectedResponse")
        assert.deepStrictEqual([error.provider, error.operation], ["acme", "delete"])
        assert.match(error.message, /still there/)
        assert.notInclude(inspect(error, { depth: Infinity }), "api_test_value")
      }
    })
  )

  it.effect("one that cannot be verified is no success, and does not say that nothing was sent", () =>
    Effect.gen(function* () {
      for (const reason of [
        new PermissionDenied(),
        new ProviderUnavailable({ problem: "transport", sent: false }),
        new RateLimited({ retryAfter: Duration.seconds(1), source: "limiter" })
      ]) {
        const error = yield* expectError(removing(Effect.void, failing(reason)), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual([error.reason.applied, error.reason.missing], [["delete"], ["confirmation"]])
        assert.notMatch(error.message, /[Nn]othing was sent|not carried out/)
      }
      const unreadable = new UnexpectedResponse({ problem: "body", issues: [] })
      yield* expectReason(removing(Effect.void, failing(unreadable)), "UnexpectedResponse")
      const exit = yield* Effect.exit(removing(Effect.void, Effect.die("broken")))
      assert.strictEqual(exit._tag, "Failure")
    })
  )
})

describe("cannotCopy", () => {
  it("names each field by its path, and what to do", () => {
    const error = ApiKeyDriver.cannotCopy("acme", ["scopes", "options.keyType"])
    assert(error.reason._tag === "UnexpectedResponse")
    assert.deepStrictEqual(
      error.reason.issues.map(({ path }) => path),
      [["scopes"], ["options", "keyType"]]
    )
    assert.match(error.message, /create a key in its place/)
  })
})

describe("WireValue", () => {
  const readers = {
    readString: WireValue.readString,
    readNumber: WireValue.readNumber,
    readBoolean: WireValue.readBoolean,
    readStrings: WireValue.readStrings,
    readIsoDate: WireValue.readIsoDate
  } as const

  const json = fc.jsonValue({ maxDepth: 6, noUnicodeString: false })

  /** What a vendor may send where a date, a number or a secret is due. */
  const nearMiss = fc.oneof(
    fc.date({ noInvalidDate: false }).map((date) => (Number.isNaN(date.getTime()) ? "NaN" : date.toISOString())),
    fc.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.+Z -]{0,24}$/),
    fc.stringMatching(/^[-+ ]?[\d.eExX_,]{0,12} ?$/),
    fc.double().map(String),
    fc.constantFrom("NaN", "Infinity", "-Infinity", "true", "1", "0", "null", "", " ", "__proto__")
  )

  it("no reader throws on any JSON, and each gives what it promises or nothing", () => {
    fc.assert(
      fc.property(fc.oneof(json, nearMiss), (value) => {
        const fields = WireValue.readObject(value)
        assert.isTrue(typeof fields === "object" && !Array.isArray(fields))
        for (const field of Object.keys(fields)) assert.strictEqual(fields[field], (value as typeof fields)[field])
        const shown = {
          string: Option.getOrUndefined(WireValue.readString(value)),
          number: Option.getOrUndefined(WireValue.readNumber(value)),
          boolean: Option.getOrUndefined(WireValue.readBoolean(value)),
          strings: Option.getOrUndefined(WireValue.readStrings(value)),
          date: Option.getOrUndefined(WireValue.readIsoDate(value))
        }
        assert.strictEqual(shown.string, typeof value === "string" && value !== "" ? value : undefined)
        if (shown.number !== undefined) assert.isTrue(Number.isFinite(shown.number))
        assert.strictEqual(
          shown.boolean,
          [true, 1, "true", "1"].some((yes) => yes === value)
            ? true
            : [false, 0, "false", "0"].some((no) => no === value)
              ? false
              : undefined
        )
        const allStrings = Array.isArray(value) && value.every((entry) => typeof entry === "string")
        assert.strictEqual(shown.strings, allStrings ? value : undefined)
        if (shown.date !== undefined) assert.isTrue(Number.isFinite(DateTime.toEpochMillis(shown.date)))
        for (const found of WireValue.stringsIn(value))
          assert.isTrue(JSON.stringify(value).includes(JSON.stringify(found)))
      }),
      { numRuns: 1000 }
    )
  })

  it("null and what is missing are none to each", () => {
    for (const reader of Object.values(readers)) {
      for (const missing of [null, undefined, {}, Number.NaN]) assert.strictEqual(reader(missing)._tag, "None")
    }
    for (const none of [null, undefined, "text", 5, true, ["a"]]) {
      assert.deepStrictEqual(WireValue.readObject(none), {})
      assert.isUndefined(WireValue.readObject(none).length)
    }
  })

  it("an object's own fields are read, whatever they are called", () => {
    const given: unknown = JSON.parse(`{"__proto__":{"admin":true},"a":1}`)
    assert.strictEqual(WireValue.readObject(given).a, 1)
    assert.isUndefined(WireValue.readObject(given).admin)
  })

  for (const [value, number] of [
    [5, 5],
    [0, 0],
    [-0.5, -0.5],
    ["12", 12],
    [" 12 ", 12],
    ["1e3", 1000],
    ["-0.5", -0.5]
  ] as const) {
    it(`readNumber: ${JSON.stringify(value)} is ${number}`, () => {
      assert.deepStrictEqual(WireValue.readNumber(value), Option.some(number))
    })
  }
  for (const value of ["", " ", "\n", "12 a", "1,5", "1_000", "NaN", "Infinity", "1e999", true, [5], ["5"], 5n]) {
    it(`readNumber: ${inspect(value)} is none`, () => {
      assert.deepStrictEqual(WireValue.readNumber(value), Option.none())
    })
  }
  it("readNumber: neither is a number that is none", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      assert.deepStrictEqual(WireValue.readNumber(value), Option.none())
    }
  })

  it("readBoolean: other text and other numbers are none", () => {
    for (const value of ["yes", "TRUE", " true", "2", 2, -1, "", [], null]) {
      assert.deepStrictEqual(WireValue.readBoolean(value), Option.none())
    }
  })

  it("objectsIn: every object, four levels deep and no deeper, and lists are looked into", () => {
    assert.deepStrictEqual(WireValue.objectsIn([{ a: 1 }, [{ b: 2 }], "c", null]), [{ a: 1 }, { b: 2 }])
    assert.lengthOf(WireValue.objectsIn({ a: { b: { c: { d: { e: {} } } } } }), 5)
    for (const none of [undefined, null, "a", 1, [], [[]]]) assert.deepStrictEqual(WireValue.objectsIn(none), [])
  })

  it("readStrings: an empty list is a list, and one that holds anything but strings is none", () => {
    assert.deepStrictEqual(WireValue.readStrings([]), Option.some([]))
    assert.deepStrictEqual(WireValue.readStrings(["a", ""]), Option.some(["a", ""]))
    for (const value of [["a", null], ["a", 1], [["a"]], "a", { 0: "a", length: 1 }]) {
      assert.deepStrictEqual(WireValue.readStrings(value), Option.none())
    }
  })

  for (const [text, iso] of [
    ["2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000Z"],
    ["2026-11-20T12:00:00.123456Z", "2026-11-20T12:00:00.123Z"],
    ["2026-11-20T12:00:00+02:00", "2026-11-20T10:00:00.000Z"],
    ["2026-11-20T12:00:00-0230", "2026-11-20T14:30:00.000Z"]
  ] as const) {
    it(`readIsoDate: ${text}`, () => {
      assert.deepStrictEqual(Option.map(WireValue.readIsoDate(text), DateTime.formatIso), Option.some(iso))
    })
  }
  for (const text of [
    // Without an offset it is a time of who knows where.
    "2026-11-20T12:00:00",
    "2026-11-20",
    "2026-11-20 12:00:00Z",
    "2026-11-20T12:00:00z",
    "2026-13-20T12:00:00Z",
    "2026-11-20T25:00:00Z",
    "2026-11-20T12:00:00+99:99",
    "2026-11-20TZ",
    "2026-11-20T12:00:00Z\n",
    "\n2026-11-20T12:00:00Z",
    "x2026-11-20T12:00:00Z",
    "+002026-11-20T12:00:00Z",
    "Fri, 20 Nov 2026 12:00:00 GMT",
    "1790000000",
    "now"
  ]) {
    it(`readIsoDate: ${JSON.stringify(text)} is none`, () => {
      assert.deepStrictEqual(WireValue.readIsoDate(text), Option.none())
    })
  }
  it("readIsoDate: a number is none, and a date comes back as it was written", () => {
    assert.deepStrictEqual(WireValue.readIsoDate(1_790_000_000), Option.none())
    fc.assert(
      fc.property(
        fc.date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true }),
        (date) => {
          const read = WireValue.readIsoDate(date.toISOString())
          assert.deepStrictEqual(Option.map(read, DateTime.toEpochMillis), Option.some(date.getTime()))
        }
      )
    )
  })

  describe("isPlainSecret", () => {
    for (const text of ["api_test_1", "a", "a.b", "api.test.1", "api-test=/+", "!~", "x".repeat(4096), "."]) {
      it(`${text.length > 20 ? `${text.length} characters` : text}: yes`, () => {
        assert.isTrue(WireValue.isPlainSecret(text))
      })
    }
    for (const text of [
      "",
      "x".repeat(4097),
      "api_test_***",
      "*",
      "api_test..",
      "..api_test",
      "api...test",
      "api_test…",
      "api_test•••",
      "api test",
      " api_test",
      "api_test\n",
      "api\u0000test",
      "api\u007ftest",
      "api_tést"
    ]) {
      it(`${text.length > 20 ? `${text.length} characters` : JSON.stringify(text)}: no`, () => {
        assert.isFalse(WireValue.isPlainSecret(text))
      })
    }
  })

  describe("stringsIn", () => {
    it("finds the strings of four levels, in order, and no names", () => {
      assert.deepStrictEqual(WireValue.stringsIn("a"), ["a"])
      assert.deepStrictEqual(WireValue.stringsIn({ name: "a", list: ["b", 1, null, { c: "c", d: true }], e: "" }), [
        "a",
        "b",
        "c",
        ""
      ])
      assert.deepStrictEqual(WireValue.stringsIn([[[["four"]]]]), ["four"])
      assert.deepStrictEqual(WireValue.stringsIn([[[[["five"]]]]]), [])
      assert.deepStrictEqual(WireValue.stringsIn({ a: { b: { c: { d: "four", e: { f: "five" } } } } }), ["four"])
      for (const none of [null, undefined, 5, true]) assert.deepStrictEqual(WireValue.stringsIn(none), [])
    })

    it("a reply that is as deep as the parser lets it be does not hang or throw", () => {
      const depth = 5_000
      const deep: unknown = JSON.parse(`${"[".repeat(depth)}"a"${"]".repeat(depth)}`)
      assert.deepStrictEqual(WireValue.stringsIn(deep), [])
    })

    it("nor does one that holds itself", () => {
      const loop: Record<string, unknown> = { a: "a" }
      loop.self = loop
      assert.deepStrictEqual(WireValue.stringsIn(loop), ["a", "a", "a", "a"])
    })
  })

  it("hostile input takes time in proportion to it", () => {
    const parts = [" ", "9", "0", ".", "..", "*", "a", "-", "T", "Z", "+00:00", "\n", "é", "2026-11-20T"]
    const read = (value: unknown) => [
      ...Object.values(readers).map((reader) => reader(value)),
      typeof value === "string" && WireValue.isPlainSecret(value),
      WireValue.stringsIn(value).length
    ]
    for (const part of parts) {
      for (const frame of [
        (text: string) => text,
        (text: string) => `2026-11-20T${text}Z!`,
        (text: string) => `1${text}1`
      ]) {
        assertLinear((size) => {
          const value = frame(part.repeat(size / part.length))
          return () => read(value)
        })
      }
    }
    // As long as a secret may be, and refused for its last character alone.
    for (const part of parts) assertLinear(() => () => WireValue.isPlainSecret(`${part.repeat(4095 / part.length)}é`))
    for (const make of [
      (size: number): unknown => Array.from({ length: size }, () => "a"),
      (size: number): unknown => Array.from({ length: size }, () => ({ a: ["a"] })),
      (size: number): unknown => Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, "a"]))
    ]) {
      assertLinear((size) => {
        const value = make(size / 2)
        return () => read(value)
      })
    }
  })
})
