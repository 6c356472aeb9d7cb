import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import { WebCrypto } from "effect/crypto/WebCrypto"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { type IssuedKey, KeyRef } from "../src/ApiKey.ts"
import * as ApiKeyDriver from "../src/ApiKeyDriver.ts"
import { ApiKeyError, OutcomeUnknown, PartiallyApplied, ProviderUnavailable } from "../src/ApiKeyError.ts"
import { ApiKeyService } from "../src/ApiKeyService.ts"
import { Urgent } from "../src/internal/limiter.ts"
import { markName } from "../src/internal/recovery.ts"
import { KeySnapshot, MintIntent, markerOf, type Recovery, unmarkedName } from "../src/Recovery.ts"
import { MemoryProvider } from "../src/testing/index.ts"
import { expectError, expectReason, recordingLogger } from "./support.ts"

// ---------------------------------------------------------------------------------------------------------------------
// A driver that writes down what it is asked for, in the order of its calls
// ---------------------------------------------------------------------------------------------------------------------

type Kind = "in place" | "successor"
type Record = ApiKeyDriver.KeyRecord

const old = "api_test_old"
const fresh = "api_test_new"
const handle = (address: string) => `h_${address.slice(9)}`

const record = (parts: Partial<Record> = {}): Record => ({
  handle: "h_other",
  status: "active",
  providerStatus: "on",
  restrictions: {},
  ...parts
})

/** A key that the list shows in full, as of the in-place vendor. */
const shown = (address: string, parts: Partial<Record> = {}): Record =>
  record({ address, handle: handle(address), name: "acme", options: { id: `id_${address}` }, ...parts })

interface Given {
  readonly kind?: Kind
  readonly listed?: () => ReadonlyArray<Record>
  readonly secrets?: boolean
  readonly identity?: boolean
  /** What the old key is called; empty for nothing. */
  readonly oldName?: string
  readonly send?: Effect.Effect<ApiKeyDriver.Minted, ApiKeyError>
  readonly activate?: Effect.Effect<void, ApiKeyError>
  readonly retire?: Effect.Effect<void, ApiKeyError>
  readonly rename?: Effect.Effect<Record | undefined, ApiKeyError>
  readonly remove?: Effect.Effect<void, ApiKeyError>
  readonly parts?: Partial<ApiKeyDriver.ApiKeyDriver>
  readonly marks?: boolean
}

const unavailable = new ApiKeyError({
  provider: "acme",
  operation: "test",
  reason: new ProviderUnavailable({ problem: "status", sent: true })
})
const lost = new ApiKeyError({
  provider: "acme",
  operation: "test",
  reason: new OutcomeUnknown({ problem: "transport", issues: [] })
})

const fake = (given: Given = {}) => {
  const calls: Array<string> = []
  const noting = <A>(call: string, effect: Effect.Effect<A, ApiKeyError>) =>
    Effect.flatMap(Urgent, (urgent) => {
      calls.push(urgent ? `${call}, urgently` : call)
      return effect
    })
  const { kind = "successor", listed = () => [], marks = true, oldName = "acme" } = given
  const minted = (name: string) =>
    given.send ?? Effect.succeed({ address: fresh, secret: fresh, echo: shown(fresh, { name }) })
  const activate = (address: string) => noting(`activate ${address}`, given.activate ?? Effect.void)
  const driver: ApiKeyDriver.ApiKeyDriver = {
    provider: "acme",
    account: "default",
    restrictions: {},
    defaults: {},
    name: ApiKeyDriver.freeText({ max: 64 }),
    address: ApiKeyDriver.text((value) => (value.includes("*") ? Result.fail("is masked") : Result.succeed(value))),
    handle,
    mint: ({ name }, { inert }) =>
      Effect.succeed({
        send: noting(`mint "${name}"${inert ? ", inert" : ""}`, minted(name)),
        ...(inert && kind === "successor" ? { activate } : {})
      }),
    patch: (address, { name }) =>
      noting(`rename ${address} to "${name}"`, given.rename ?? Effect.succeed(shown(address, { name: name ?? "" }))),
    remove: (address) => noting(`remove ${address}`, given.remove ?? Effect.void),
    list: () =>
      Stream.fromIterableEffect(
        noting(
          "list",
          Effect.sync(() => listed())
        )
      ),
    rotation:
      kind === "in place"
        ? { inPlace: (address) => Effect.succeed({ send: noting(`rotate ${address}`, minted("")) }) }
        : {
            successor: (_, mark) => {
              const name = marks ? mark(oldName) : oldName
              return Effect.succeed({
                spec: { name, restrictions: {} },
                send: noting(`copy "${name}"`, minted(name)),
                activate
              })
            },
            retire: (address) => noting(`retire ${address}`, given.retire ?? Effect.void)
          },
    recovery: {
      maxName: 64,
      secrets: given.secrets ?? kind === "in place",
      ...(given.identity === false
        ? {}
        : { identity: ({ options }) => (typeof options?.id === "string" ? options.id : undefined) })
    },
    ...given.parts
  }
  const { layer: logger, logged } = recordingLogger()
  return {
    calls,
    logged,
    /** Every logger there is fails. */
    withBrokenLogger: <A, E>(effect: Effect.Effect<A, E, ApiKeyService>) =>
      effect.pipe(
        Effect.provide(ApiKeyService.layer(Effect.succeed(driver))),
        Effect.provide(
          Logger.layer([
            Logger.make(() => {
              throw new Error("no logger")
            })
          ])
        )
      ),
    run: <A, E>(effect: Effect.Effect<A, E, ApiKeyService>) =>
      effect.pipe(Effect.provide(Layer.merge(ApiKeyService.layer(Effect.succeed(driver)), logger)))
  }
}

const ref = new KeyRef({ provider: "acme", account: "default", value: Redacted.make(old) })
const marker = `ek-${"a".repeat(24)}`
const epoch = DateTime.makeUnsafe(0)

const snapshot = (...handles: ReadonlyArray<string>) =>
  new KeySnapshot({ provider: "acme", account: "default", takenAt: epoch, handles })

const intentOf = (parts: Partial<ConstructorParameters<typeof MintIntent>[0]> = {}) =>
  new MintIntent({ provider: "acme", account: "default", verb: "create", marker, preparedAt: epoch, ...parts })

/** For a rotation, by a successor or in place. */
const rotateIntent = (kind: Kind, parts: Partial<ConstructorParameters<typeof MintIntent>[0]> = {}) =>
  intentOf({
    verb: "rotate",
    handle: handle(old),
    ...(kind === "in place" ? { identity: `id_${old}` } : {}),
    ...parts
  })

const fieldsOf = (error: ApiKeyError) =>
  error.reason._tag === "InvalidRequest" || error.reason._tag === "UnexpectedResponse"
    ? error.reason.issues.map(({ path }) => path.join("."))
    : []

// ---------------------------------------------------------------------------------------------------------------------

describe("markers in names", () => {
  const base32 = fc.string({
    unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz234567"),
    minLength: 24,
    maxLength: 24
  })
  const markers = base32.map((text) => `ek-${text}`)

  it("a marker is a word of its own, at the end", () => {
    assert.strictEqual(markerOf(marker), marker)
    assert.strictEqual(markerOf(`acme ${marker}`), marker)
    for (const name of [
      "",
      "acme",
      marker.slice(1),
      marker.slice(0, -1),
      `${marker} `,
      `${marker} acme`,
      `x${marker}`,
      `acme-${marker}`,
      `acme\n${marker}`,
      `acme ${marker.toUpperCase()}`,
      `acme ek-${"a".repeat(23)}1`,
      `acme ${marker}a`
    ]) {
      assert.isUndefined(markerOf(name), JSON.stringify(name))
      assert.strictEqual(unmarkedName(name), name)
    }
  })

  it("what was put on a name that fits is taken off again, and nothing else", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 30 }), markers, (name, marker) => {
        const marked = markName(name, marker, 64)
        assert.strictEqual(markerOf(marked), marker)
        assert.strictEqual(unmarkedName(marked), unmarkedName(name))
      })
    )
  })

  it("a name that would not fit is cut, at a whole character and not at a space", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), markers, fc.nat(90), (name, marker, max) => {
        const marked = markName(name, marker, max)
        assert.isAtMost(marked.length, Math.max(max, marker.length))
        assert.strictEqual(markerOf(marked), marker)
        if (name.isWellFormed()) assert.isTrue(marked.isWellFormed())
        if (marked === marker) return
        const kept = marked.slice(0, -marker.length - 1)
        assert.isTrue(name.startsWith(kept))
        if (kept !== name) assert.strictEqual(kept, kept.trimEnd())
      })
    )
    assert.strictEqual(markName("abcdefgh ij", marker, marker.length + 1 + 9), `abcdefgh ${marker}`)
    assert.strictEqual(markName("abc🔑", marker, marker.length + 1 + 4), `abc ${marker}`)
    assert.strictEqual(markName("", marker, 64), marker)
    assert.strictEqual(markName("acme", marker, marker.length), marker)
  })

  it("several are taken off, and it takes no time on a long name", () => {
    assert.strictEqual(unmarkedName(`acme ${marker} ${marker}`), "acme")
    assert.strictEqual(unmarkedName(marker), "")
    assert.strictEqual(unmarkedName(`${marker} ${marker}`), "")
    assert.strictEqual(unmarkedName("ek- ".repeat(100_000)).length, 400_000)
  })
})

describe("an intent", () => {
  it.effect("its marker is of secure randomness, and no other's", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const markers = new Set<string>()
      for (let index = 0; index < 200; index++) {
        const intent = yield* keys.prepare("create", { snapshot: "none" })
        assert.strictEqual(markerOf(intent.marker), intent.marker)
        markers.add(intent.marker)
      }
      assert.strictEqual(markers.size, 200)
      const counted = (byte: number) =>
        Effect.map(
          keys.prepare("create", { snapshot: "none" }).pipe(
            Effect.provideService(WebCrypto, {
              ...globalThis.crypto,
              getRandomValues: <A extends ArrayBufferView | null>(bytes: A): A => {
                if (bytes instanceof Uint8Array) bytes.fill(byte)
                return bytes
              }
            })
          ),
          (intent) => intent.marker
        )
      assert.strictEqual(yield* counted(0), `ek-${"a".repeat(24)}`)
      assert.strictEqual(yield* counted(255), `ek-${"7".repeat(24)}`)
    }).pipe(fake().run)
  )

  it("stands in JSON as plain strings, and is read again from it", () => {
    const codec = Schema.toCodecJson(MintIntent)
    const whole = rotateIntent("in place", { snapshot: snapshot("h_a", "h_b") })
    const encoded = Schema.encodeSync(codec)(whole)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(encoded)), {
      provider: "acme",
      account: "default",
      verb: "rotate",
      marker,
      handle: "h_old",
      identity: "id_api_test_old",
      snapshot: {
        provider: "acme",
        account: "default",
        takenAt: "1970-01-01T00:00:00.000Z",
        handles: ["h_a", "h_b"]
      },
      preparedAt: "1970-01-01T00:00:00.000Z"
    })
    for (const intent of [whole, intentOf(), rotateIntent("successor")]) {
      const read = Schema.decodeSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(intent))))
      assert.instanceOf(read, MintIntent)
      assert.isTrue(Equal.equals(read, intent))
    }
  })

  it("is in an error's JSON, too, and in its message is what to do", () => {
    const error = new ApiKeyError({
      provider: "acme",
      operation: "create",
      reason: new OutcomeUnknown({ problem: "timeout", issues: [], intent: intentOf() })
    })
    const codec = Schema.toCodecJson(ApiKeyError)
    const read = Schema.decodeSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error))))
    assert(read.reason._tag === "OutcomeUnknown")
    assert.isTrue(Equal.equals(read.reason.intent, intentOf()))
    assert.match(error.message, /Call `recover` with its `intent` before minting again/)
    assert.match(lost.message, /Look at the vendor's list before minting again/)
  })
})

describe("prepare", () => {
  const twoKeys = () => [shown(old), shown("api_test_two")]

  for (const kind of ["in place", "successor"] as const) {
    for (const target of ["create", ref] as const) {
      const verb = target === "create" ? "create" : "rotate"
      it.effect(`${verb}, ${kind}: reads the list once, and says what is there`, () => {
        const { calls, run } = fake({ kind, listed: twoKeys })
        return Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const intent = yield* keys.prepare(target)
          assert.deepStrictEqual(calls, ["list"])
          const { account, handle: of, identity, provider, snapshot } = intent
          assert.deepStrictEqual([provider, account, intent.verb], ["acme", "default", verb])
          assert.deepStrictEqual(snapshot?.handles, ["h_old", "h_two"])
          assert.strictEqual(of, verb === "create" ? undefined : "h_old")
          assert.strictEqual(identity, verb === "rotate" && kind === "in place" ? `id_${old}` : undefined)
          assert.notInclude(
            JSON.stringify(Schema.encodeSync(Schema.toCodecJson(KeySnapshot))(snapshot ?? raise())),
            old
          )

          // One snapshot serves a batch; the record of a key that is rotated in place is needed all the same.
          calls.length = 0
          const again = yield* keys.prepare(target, { snapshot: snapshot ?? "none" })
          assert.isTrue(Equal.equals(again.snapshot, snapshot))
          assert.notStrictEqual(again.marker, intent.marker)
          const without = yield* keys.prepare(target, { snapshot: "none" })
          assert.isUndefined(without.snapshot)
          assert.deepStrictEqual(calls, verb === "rotate" && kind === "in place" ? ["list", "list"] : [])
        }).pipe(run)
      })
    }
  }

  const cannot = (what: string, given: Given, target: "create" | KeyRef, reason: string, field?: string) =>
    it.effect(`${target === "create" ? "create" : "rotate"}, ${what}: ${reason}`, () => {
      const { calls, run } = fake(given)
      return Effect.gen(function* () {
        const error = yield* Effect.flip((yield* ApiKeyService).prepare(target))
        assert.strictEqual(error.reason._tag, reason)
        assert.deepStrictEqual([error.operation, error.handle], ["prepare", target === "create" ? undefined : "h_old"])
        if (field !== undefined) assert.deepStrictEqual(fieldsOf(error), [field])
        assert.notInclude(inspect(error), old)
        for (const call of calls) assert.strictEqual(call, "list")
      }).pipe(run)
    })

  const { address: _, ...masked } = shown("api_test_masked")
  const { name: __, ...unnamed } = shown(old)
  const inPlace = (...listed: ReadonlyArray<Record>): Given => ({ kind: "in place", listed: () => listed })
  cannot("one key's secret is masked", inPlace(shown(old), masked), "create", "UnexpectedResponse", "secret")
  cannot("no key's name is shown", inPlace(unnamed), "create", "UnexpectedResponse", "name")
  cannot("the key is not there", inPlace(shown("api_test_two")), ref, "KeyNotFound")
  cannot("the key may be a masked one", inPlace(shown("api_test_two"), masked), ref, "UnexpectedResponse", "secret")
  cannot("no identity is shown", inPlace(shown(old, { options: {} })), ref, "UnexpectedResponse", "identity")
  cannot("the key is disabled", inPlace(shown(old, { status: "disabled" })), ref, "InvalidKeyState")
  cannot(
    "the vendor has no identities",
    { ...inPlace(shown(old)), identity: false },
    ref,
    "UnexpectedResponse",
    "identity"
  )
  cannot("the list shows no secrets", { ...inPlace(shown(old)), secrets: false }, ref, "UnsupportedOperation")

  for (const [what, parts] of [
    ["list", { list: undefined }],
    ["patch", { patch: undefined }],
    ["recovery", { recovery: undefined }]
  ] as const) {
    it.effect(`without ${what}, nothing of it is there`, () => {
      // A part that is `undefined` is one that is left out, whatever the types say.
      const { calls: sent, run } = fake({ parts: parts as object })
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        assert.isFalse(keys.supports("prepare") || keys.supports("recover"))
        const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
          keys.prepare("create"),
          keys.prepare(ref),
          keys.recover(intentOf()),
          keys.create({ name: "acme" }, { intent: intentOf() }),
          keys.rotate(ref, { intent: rotateIntent("successor") })
        ]
        for (const call of calls) yield* expectError(call, "UnsupportedOperation")
        assert.deepStrictEqual(sent, [])
      }).pipe(run)
    })
  }

  it.effect("what cannot be minted is not prepared", () => {
    const { run } = fake({ parts: { mint: undefined, rotation: undefined } as object })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* expectError(keys.prepare("create"), "UnsupportedOperation")
      yield* expectError(keys.prepare(ref), "UnsupportedOperation")
    }).pipe(run)
  })

  it.effect("a masked list is normal where lost keys are orphans", () =>
    Effect.gen(function* () {
      const intent = yield* (yield* ApiKeyService).prepare("create")
      assert.deepStrictEqual(intent.snapshot?.handles, ["h_masked"])
    }).pipe(fake({ listed: () => [masked] }).run)
  )

  it.effect("a snapshot of someone else is refused, and nothing is read", () => {
    const { calls, run } = fake()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const of = (parts: { readonly provider?: string; readonly account?: string }) =>
        new KeySnapshot({ provider: "acme", account: "default", takenAt: epoch, handles: [], ...parts })
      for (const [given, fields] of [
        [of({ provider: "another" }), ["snapshot.provider"]],
        [of({ account: "another" }), ["snapshot.account"]],
        [of({ provider: "another", account: "another" }), ["snapshot.provider", "snapshot.account"]],
        // From JavaScript, or from JSON without its schema.
        [{ ...snapshot() } as KeySnapshot, ["snapshot"]],
        ["all" as "none", ["snapshot"]]
      ] as const) {
        for (const target of ["create", ref] as const) {
          const error = yield* expectError(keys.prepare(target, { snapshot: given }), "InvalidRequest")
          assert.deepStrictEqual(fieldsOf(error), [...fields])
        }
      }
      assert.deepStrictEqual(calls, [])
    }).pipe(run)
  })
})

const raise = (): never => assert.fail("there is none")

// ---------------------------------------------------------------------------------------------------------------------

/** What is found, without its classes. */
const plain = (found: Recovery) => {
  switch (found._tag) {
    case "Recovered":
      return ["Recovered", found.attribution, found.issued.handle, Redacted.value(found.issued.secret)]
    case "Orphaned":
      return [
        "Orphaned",
        found.handle,
        Option.getOrUndefined(Option.map(found.ref, ({ value }) => Redacted.value(value))),
        ...(found.revocable ? ["revocable"] : []),
        ...(found.inert ? ["inert"] : [])
      ]
    case "Undetermined":
      return ["Undetermined", found.problem, ...found.candidates]
    default:
      return [found._tag]
  }
}

const withoutAddress = ({ address: _, ...rest }: Record): Record => rest
const withoutName = ({ name: _, ...rest }: Record): Record => rest
const withoutIdentity = (shown: Record): Record => ({ ...shown, options: {} })

describe("recover", () => {
  const marked = (address: string, parts: Partial<Record> = {}) => shown(address, { name: `acme ${marker}`, ...parts })
  const other = shown("api_test_other", { name: `acme ek-${"b".repeat(24)}` })
  const one = marked("api_test_one")
  const masking = record({ handle: "h_masked" })

  const table: ReadonlyArray<
    readonly [
      what: string,
      given: Given & { readonly list: ReadonlyArray<Record>; readonly intent?: MintIntent },
      found: ReadonlyArray<string | undefined>
    ]
  > = [
    // By the marker, where the list shows secrets.
    ["an empty list", { kind: "in place", list: [] }, ["NotSeen"]],
    ["other keys, other markers", { kind: "in place", list: [shown(old), other] }, ["NotSeen"]],
    ["one", { kind: "in place", list: [other, one] }, ["Recovered", "proven", "h_one", "api_test_one"]],
    [
      "one that was there before, by its handle",
      { kind: "in place", list: [one], intent: intentOf({ snapshot: snapshot("h_one") }) },
      ["Recovered", "proven", "h_one", "api_test_one"]
    ],
    [
      "one, of the marker alone",
      { kind: "in place", list: [marked("api_test_one", { name: marker })] },
      ["Recovered", "proven", "h_one", "api_test_one"]
    ],
    [
      "one, whose marker is not at the end",
      { kind: "in place", list: [marked("api_test_one", { name: `${marker} acme` })] },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "one, whose marker came back in another case",
      { kind: "in place", list: [marked("api_test_one", { name: `Acme ${marker}`.toUpperCase() })] },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "one, whose marker was cut",
      { kind: "in place", list: [marked("api_test_one", { name: `acme ${marker.slice(0, 11)}` })] },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "one, of whose marker too little is left",
      { kind: "in place", list: [marked("api_test_one", { name: `acme ${marker.slice(0, 10)}` })] },
      ["NotSeen"]
    ],
    [
      "one, and another that holds its marker otherwise",
      { kind: "in place", list: [marked("api_test_two", { name: `acme ${marker} copy` }), one] },
      ["Recovered", "proven", "h_one", "api_test_one"]
    ],
    [
      "one that is disabled",
      { kind: "in place", list: [marked("api_test_one", { status: "disabled" })] },
      ["Recovered", "proven", "h_one", "api_test_one"]
    ],
    ["one without its secret", { kind: "in place", list: [withoutAddress(one)] }, ["Undetermined", "masked", "h_one"]],
    [
      "one with a masked secret",
      { kind: "in place", list: [marked("api_test_o**")] },
      ["Undetermined", "masked", "h_o**"]
    ],
    [
      "two",
      { kind: "in place", list: [one, shown(old), marked("api_test_two")] },
      ["Undetermined", "several", "h_one", "h_two"]
    ],
    ["a nameless one, and no snapshot", { kind: "in place", list: [withoutName(one), other] }, ["NotSeen"]],
    ["a nameless one, and no snapshot, where names need not be", { list: [withoutName(one)] }, ["NotSeen"]],
    [
      "none with a name, and no snapshot",
      { kind: "in place", list: [withoutName(one), withoutName(other)] },
      ["Undetermined", "unnamed", "h_one", "h_other"]
    ],
    [
      "a nameless new one",
      { kind: "in place", list: [withoutName(one), other], intent: intentOf({ snapshot: snapshot() }) },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "a nameless old one",
      { kind: "in place", list: [withoutName(one)], intent: intentOf({ snapshot: snapshot("h_one") }) },
      ["NotSeen"]
    ],
    [
      "a nameless new one, and the key itself",
      { kind: "in place", list: [withoutName(other), one], intent: intentOf({ snapshot: snapshot() }) },
      ["Recovered", "proven", "h_one", "api_test_one"]
    ],
    [
      "one more nameless key of a handle that several have",
      { list: [masking, masking], intent: intentOf({ snapshot: snapshot("h_masked") }) },
      ["Undetermined", "unnamed", "h_masked", "h_masked"]
    ],
    [
      "as many nameless keys of a handle that several have",
      { list: [masking, masking], intent: intentOf({ snapshot: snapshot("h_masked", "h_masked") }) },
      ["NotSeen"]
    ],
    // By the marker, where it does not.
    ["an orphan", { list: [one] }, ["Orphaned", "h_one", "api_test_one", "revocable"]],
    [
      "an orphan that is off",
      { list: [marked("api_test_one", { status: "disabled" })] },
      ["Orphaned", "h_one", "api_test_one", "revocable", "inert"]
    ],
    [
      "an orphan in a state we do not know",
      { list: [marked("api_test_one", { status: "unknown" })] },
      ["Orphaned", "h_one", "api_test_one", "revocable"]
    ],
    ["an orphan that is masked", { list: [withoutAddress(one)] }, ["Orphaned", "h_one", undefined]],
    ["an orphan whose address is no address", { list: [marked("api_test_o**")] }, ["Orphaned", "h_o**", undefined]],
    [
      "an orphan, and nothing to revoke with",
      { list: [one], parts: { remove: undefined } as object },
      ["Orphaned", "h_one", "api_test_one"]
    ],
    ["two orphans", { list: [one, marked("api_test_two")] }, ["Undetermined", "several", "h_one", "h_two"]],
    [
      "a lost successor",
      { list: [shown(old), one], intent: rotateIntent("successor") },
      ["Orphaned", "h_one", "api_test_one", "revocable"]
    ],
    ["no successor", { list: [shown(old)], intent: rotateIntent("successor") }, ["NotSeen"]],
    // By the identity.
    ["the old secret", { kind: "in place", list: [shown(old)], intent: rotateIntent("in place") }, ["NotSeen"]],
    [
      "a new secret",
      {
        kind: "in place",
        list: [other, shown(fresh, { options: { id: `id_${old}` } })],
        intent: rotateIntent("in place")
      },
      ["Recovered", "unproven", "h_new", fresh]
    ],
    [
      "a new secret, masked",
      {
        kind: "in place",
        list: [withoutAddress(shown(fresh, { options: { id: `id_${old}` } }))],
        intent: rotateIntent("in place")
      },
      ["Undetermined", "masked", "h_new"]
    ],
    [
      "the old handle, masked",
      { kind: "in place", list: [withoutAddress(shown(old))], intent: rotateIntent("in place") },
      ["Undetermined", "masked", "h_old"]
    ],
    [
      "the key is gone",
      { kind: "in place", list: [other], intent: rotateIntent("in place") },
      ["Undetermined", "gone"]
    ],
    ["every key is gone", { kind: "in place", list: [], intent: rotateIntent("in place") }, ["Undetermined", "gone"]],
    [
      "two of one identity",
      {
        kind: "in place",
        list: [shown(old), shown(fresh, { options: { id: `id_${old}` } })],
        intent: rotateIntent("in place")
      },
      ["Undetermined", "several", "h_old", "h_new"]
    ],
    [
      "the marker, which in place is nowhere",
      { kind: "in place", list: [shown(old), one], intent: rotateIntent("in place") },
      ["NotSeen"]
    ],
    [
      "no identities, and the old secret",
      { kind: "in place", list: [withoutIdentity(shown(old))], intent: rotateIntent("in place") },
      ["NotSeen"]
    ],
    [
      "no identities, and new keys",
      {
        kind: "in place",
        list: [withoutIdentity(one), withoutIdentity(other)],
        intent: rotateIntent("in place", { snapshot: snapshot("h_old", "h_other") })
      },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "no identities, and no snapshot",
      { kind: "in place", list: [withoutIdentity(one)], intent: rotateIntent("in place") },
      ["Undetermined", "unnamed", "h_one"]
    ],
    [
      "no identities, and the keys from before",
      {
        kind: "in place",
        list: [withoutIdentity(other)],
        intent: rotateIntent("in place", { snapshot: snapshot("h_old", "h_other") })
      },
      ["Undetermined", "gone"]
    ]
  ]

  for (const [what, { intent = intentOf(), list, ...given }, found] of table) {
    it.effect(`${given.kind ?? "successor"}, ${intent.verb}: ${what}: ${found.slice(0, 2).join(", ")}`, () => {
      const { calls, run } = fake({ ...given, listed: () => list })
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        assert.deepStrictEqual(plain(yield* keys.recover(intent)), found)
        assert.deepStrictEqual(plain(yield* keys.recover(intent, { sent: true })), found)
        // By the caller's own record nothing was sent; what is seen is seen all the same.
        const known = yield* keys.recover(intent, { sent: false })
        assert.deepStrictEqual(plain(known), found[0] === "NotSeen" ? ["NotApplied"] : found)
        // Its order is no sign of anything.
        const reversed = fake({ ...given, listed: () => [...list].reverse() })
        const [tag, ...rest] = plain(yield* reversed.run(Effect.flatMap(ApiKeyService, (same) => same.recover(intent))))
        assert.deepStrictEqual([tag, ...rest.sort()], [found[0], ...found.slice(1).sort()])
        assert.deepStrictEqual(calls, ["list", "list", "list"])
      }).pipe(run)
    })
  }

  it.effect("a recovered key says what it is called, and what it is not restricted by, where that is shown", () => {
    const rules = { domains: Result.succeed, quota: Result.succeed } satisfies ApiKeyDriver.RestrictionRules
    const parts = { restrictions: rules, defaults: { domains: "any", quota: "unlimited" } } as const
    const recovered = (restrictions: Record["restrictions"]) =>
      fake({ kind: "in place", parts, listed: () => [marked("api_test_one", { restrictions })] }).run(
        Effect.gen(function* () {
          const found = yield* (yield* ApiKeyService).recover(intentOf())
          assert(found._tag === "Recovered")
          assert.deepStrictEqual(found.issued.name, Option.some(`acme ${marker}`))
          assert.strictEqual(Redacted.value(found.issued.ref.value), "api_test_one")
          return Option.getOrUndefined(found.issued.unrestricted)
        })
      )
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* recovered({ domains: "any", quota: 5 }), ["domains"])
      assert.deepStrictEqual(yield* recovered({ domains: ["a.example"], quota: 5 }), [])
      assert.isUndefined(yield* recovered({ domains: "any" }), "the quota is not shown")
    })
  })

  it.effect("every page of the list is read", () => {
    const pages = Stream.fromIterable([[shown(old)], [], [other], [one]])
    const { run } = fake({ parts: { list: () => Stream.flatMap(pages, Stream.fromIterable) } })
    return Effect.gen(function* () {
      assert.strictEqual((yield* (yield* ApiKeyService).recover(intentOf()))._tag, "Orphaned")
    }).pipe(run)
  })

  it.effect("a list that breaks off proves nothing", () => {
    const { run } = fake({ parts: { list: () => Stream.concat(Stream.make(shown(old)), Stream.fail(unavailable)) } })
    return Effect.gen(function* () {
      const error = yield* expectError((yield* ApiKeyService).recover(rotateIntent("successor")), "ProviderUnavailable")
      assert.deepStrictEqual([error.operation, error.handle], ["recover", "h_old"])
    }).pipe(run)
  })

  describe("never guesses", () => {
    const kinds = fc.constantFrom<Kind>("in place", "successor")
    const rows = fc.array(
      fc.record({
        number: fc.nat(20),
        marked: fc.constantFrom("ours", "another's", "not", "nameless"),
        shows: fc.constantFrom("all", "no address", "no identity"),
        identity: fc.constantFrom("ours", "own"),
        status: fc.constantFrom<Record["status"]>("active", "disabled", "unknown")
      }),
      { maxLength: 6 }
    )
    const toRecords = (all: ReadonlyArray<Row>): ReadonlyArray<Record> =>
      all.map(({ identity, marked, number, shows, status }, index) => {
        // No two keys have one address; a listed key may well be the old one.
        const address = number === 0 && index === 0 ? old : `api_test_${index}_${number}`
        const name = { ours: `a ${marker}`, "another's": `a ek-${"b".repeat(24)}`, not: "a", nameless: undefined }[
          marked
        ]
        return {
          ...(shows === "no address" ? {} : { address }),
          handle: handle(address),
          ...(name === undefined ? {} : { name }),
          status,
          providerStatus: status,
          restrictions: {},
          options: shows === "no identity" ? {} : { id: identity === "ours" ? `id_${old}` : `id_${address}` }
        }
      })
    interface Row {
      readonly number: number
      readonly marked: "ours" | "another's" | "not" | "nameless"
      readonly shows: "all" | "no address" | "no identity"
      readonly identity: "ours" | "own"
      readonly status: Record["status"]
    }

    it("whatever the list is", async () => {
      const seen = new Set<string>()
      await fc.assert(
        fc.asyncProperty(
          kinds,
          fc.constantFrom("create", "rotate"),
          rows,
          fc.option(fc.subarray(["h_old", "h_0_1", "h_1_1", "h_2_2"]), { nil: undefined }),
          fc.boolean(),
          async (kind, verb, all, before, sent) => {
            const listed = toRecords(all)
            const parts = before === undefined ? {} : { snapshot: snapshot(...before) }
            const intent = verb === "create" ? intentOf(parts) : rotateIntent(kind, parts)
            const found = await Effect.runPromise(
              fake({ kind, listed: () => listed }).run(
                Effect.flatMap(ApiKeyService, (keys) => keys.recover(intent, { sent }))
              )
            )
            seen.add(found._tag === "Undetermined" ? found.problem : found._tag)
            const inPlace = kind === "in place" && verb === "rotate"
            const ours = listed.filter((row) =>
              inPlace ? row.options?.id === `id_${old}` : row.name?.endsWith(` ${marker}`) === true
            )
            const [only] = ours
            switch (found._tag) {
              case "Recovered": {
                // The one key that is ours, with a secret that the list shows, which is another than the one from before.
                assert.lengthOf(ours, 1)
                assert.strictEqual(only?.address, Redacted.value(found.issued.secret))
                assert.strictEqual(found.attribution, inPlace ? "unproven" : "proven")
                if (inPlace) assert.notStrictEqual(only?.address, old)
                return assert.strictEqual(kind, "in place")
              }
              case "Orphaned": {
                assert.lengthOf(ours, 1)
                assert.deepStrictEqual([found.handle, found.inert], [only?.handle, only?.status === "disabled"])
                assert.strictEqual(Option.isSome(found.ref), only?.address !== undefined)
                return assert.strictEqual(kind, "successor")
              }
              case "NotSeen":
              case "NotApplied": {
                assert.strictEqual(found._tag, sent ? "NotSeen" : "NotApplied")
                if (inPlace) return assert.isTrue(listed.some((row) => row.address === old))
                assert.deepStrictEqual(ours, [])
                const nameless = listed.filter((row) => row.name === undefined)
                return assert.isTrue(before === undefined || nameless.every((row) => before.includes(row.handle)))
              }
              case "Undetermined": {
                const handles = listed.map((row) => row.handle)
                for (const candidate of found.candidates) assert.include(handles, candidate)
                if (found.problem === "several") assert.isAbove(ours.length, 1)
                if (found.problem === "gone") assert.isTrue(inPlace && ours.length === 0)
                if (found.problem === "masked") assert.isUndefined(only?.address)
                if (found.problem === "unnamed") assert.lengthOf(ours, 0)
                return
              }
            }
          }
        ),
        { numRuns: 1000 }
      )
      for (const tag of ["Recovered", "Orphaned", "NotSeen", "NotApplied", "masked", "unnamed", "several", "gone"]) {
        assert.isTrue(seen.has(tag), `${tag} was met`)
      }
    })
  })
})

// ---------------------------------------------------------------------------------------------------------------------

describe("an intent that is not for this is refused, and nothing is sent", () => {
  const foreign = { provider: "another", account: "another", marker: "ek-short" } as const
  for (const kind of ["in place", "successor"] as const) {
    it.effect(kind, () => {
      const { calls, run } = fake({ kind, listed: () => [shown(old)] })
      return Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const refused = (call: Effect.Effect<unknown, ApiKeyError>, ...fields: ReadonlyArray<string>) =>
          Effect.map(expectError(call, "InvalidRequest"), (error) =>
            assert.deepStrictEqual(
              fieldsOf(error).sort(),
              fields.map((field) => (field === "" ? "intent" : `intent.${field}`)).sort()
            )
          )
        const create = (intent: MintIntent) => keys.create({ name: "acme" }, { intent })
        const rotate = (intent: MintIntent) => keys.rotate(ref, { intent })
        for (const [field, value] of Object.entries(foreign)) {
          yield* refused(create(intentOf({ [field]: value })), field)
          yield* refused(rotate(rotateIntent(kind, { [field]: value })), field)
          yield* refused(keys.recover(intentOf({ [field]: value })), field)
        }
        yield* refused(create(intentOf({ provider: "another", account: "another" })), "provider", "account")
        yield* refused(rotate(intentOf()), "verb", "handle")
        yield* refused(create(rotateIntent(kind)), "verb", "handle")
        yield* refused(rotate(rotateIntent(kind, { handle: "h_other" })), "handle")
        // Of a vendor that rotates otherwise: it may have been another version of the adapter.
        const otherwise = rotateIntent(kind === "in place" ? "successor" : "in place")
        yield* refused(rotate(otherwise), "identity")
        // Without the handle, the secret from before would look like a new one.
        const { handle: _, ...rest } = rotateIntent(kind)
        yield* refused(keys.recover(new MintIntent(rest)), "handle")
        yield* refused(keys.recover(intentOf({ handle: handle(old) })), "handle")
        const rehashed = { markerHandle: `h2_${marker.slice(9)}` }
        yield* refused(keys.recover(rotateIntent(kind, rehashed)), "markerHandle")
        yield* refused(rotate(rotateIntent(kind, rehashed)), "markerHandle")
        yield* refused(keys.recover(otherwise), "identity")
        // A ref that is not the key's: its secret from before would look like a new one.
        const other = keys.ref(Redacted.make(fresh))
        for (const [intent, given] of [
          [rotateIntent(kind), other],
          [intentOf(), ref]
        ] as const) {
          const { reason } = yield* expectError(keys.recover(intent, { ref: given }), "InvalidRequest")
          assert(reason._tag === "InvalidRequest")
          assert.deepStrictEqual(
            reason.issues.map(({ path }) => path),
            [["ref"]]
          )
        }
        // From JavaScript, or from JSON without its schema.
        for (const none of [{ ...intentOf() }, null, "intent", JSON.parse(JSON.stringify(intentOf()))]) {
          yield* refused(create(none), "")
          yield* refused(rotate(none), "")
          yield* refused(keys.recover(none), "")
        }
        assert.deepStrictEqual(calls, [])
      }).pipe(run)
    })
  }

  it.effect("nor does what it holds show in the error", () => {
    const leak = "api_test_leaked"
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const error = yield* expectError(
        keys.recover(rotateIntent("successor", { provider: leak, account: leak, marker: leak, handle: leak })),
        "InvalidRequest"
      )
      assert.notInclude(inspect(error, { depth: 10 }), leak)
    }).pipe(fake().run)
  })
})

describe("a mint with an intent", () => {
  const delivering = (calls: Array<string>, then: Effect.Effect<void, string> = Effect.void) => ({
    deliver: ({ handle, name }: IssuedKey) =>
      Effect.suspend(() => {
        calls.push(`deliver ${handle}, "${Option.getOrElse(name, () => "")}"`)
        return then
      })
  })
  const mints = {
    create: (keys: ApiKeyService["Service"], options: object = {}) =>
      keys.create({ name: "acme" }, { intent: intentOf(), ...options }),
    rotate: (keys: ApiKeyService["Service"], options: object = {}) =>
      Effect.map(keys.rotate(ref, { intent: rotateIntent("successor"), ...options }), ({ issued }) => issued)
  }

  it.effect("create: minted off under its marker, delivered, switched on, and named last", () => {
    const { calls, logged, run } = fake()
    return Effect.gen(function* () {
      const key = yield* mints.create(yield* ApiKeyService, delivering(calls))
      assert.deepStrictEqual(calls, [
        `mint "acme ${marker}", inert`,
        `deliver h_new, "acme"`,
        `activate ${fresh}, urgently`,
        `rename ${fresh} to "acme"`
      ])
      assert.deepStrictEqual(key.name, Option.some("acme"))
      assert.deepStrictEqual(logged, [])
    }).pipe(run)
  })

  it.effect("rotate: copied under its marker, delivered, switched on, the old key retired, and named last", () => {
    const { calls, run } = fake()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const options = { intent: rotateIntent("successor"), ...delivering(calls) }
      const { issued, previous } = yield* keys.rotate(ref, options)
      assert.deepStrictEqual(calls, [
        `copy "acme ${marker}"`,
        `deliver h_new, "acme"`,
        `activate ${fresh}, urgently`,
        `retire ${old}, urgently`,
        `rename ${fresh} to "acme"`
      ])
      assert.deepStrictEqual([issued.name, previous], [Option.some("acme"), "retired"])
      calls.length = 0
      yield* keys.rotate(ref, { ...options, keepPrevious: true, activate: false })
      assert.deepStrictEqual(calls, [`copy "acme ${marker}"`, `deliver h_new, "acme"`, `rename ${fresh} to "acme"`])
    }).pipe(run)
  })

  it.effect("rotate in place: sent as ever, and nothing is renamed", () => {
    const { calls, run } = fake({ kind: "in place" })
    return Effect.gen(function* () {
      const { issued, previous } = yield* (yield* ApiKeyService).rotate(ref, {
        intent: rotateIntent("in place"),
        ...delivering(calls)
      })
      assert.deepStrictEqual(calls, [`rotate ${old}`, `deliver h_new, ""`])
      assert.deepStrictEqual([issued.name, previous], [Option.none(), "dead"])
    }).pipe(run)
  })

  it.effect("without one everything is as it was", () => {
    const { calls, run } = fake()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* keys.create({ name: "acme" }, delivering(calls))
      yield* keys.rotate(ref, delivering(calls))
      assert.deepStrictEqual(calls, [
        `mint "acme"`,
        `deliver h_new, "acme"`,
        `copy "acme"`,
        `deliver h_new, "acme"`,
        `activate ${fresh}, urgently`,
        `retire ${old}, urgently`
      ])
    }).pipe(run)
  })

  it.effect("a copy of a key that still bears a marker does not inherit it, with an intent or without", () => {
    const another = `acme ek-${"b".repeat(24)}`
    const { calls, run } = fake({ oldName: another })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      assert.deepStrictEqual((yield* keys.rotate(ref)).issued.name, Option.some("acme"))
      assert.deepStrictEqual((yield* mints.rotate(keys)).name, Option.some("acme"))
      assert.deepStrictEqual(
        calls.filter((call) => !call.startsWith("activate")),
        [`copy "acme"`, `copy "acme ${marker}"`, `rename ${fresh} to "acme"`]
      )
    }).pipe(run)
  })

  it.effect("a copy of a key without a name is called by its marker, and keeps it", () => {
    const { calls, logged, run } = fake({ oldName: "" })
    return Effect.gen(function* () {
      const key = yield* mints.rotate(yield* ApiKeyService)
      assert.deepStrictEqual(calls, [`copy "${marker}"`, `activate ${fresh}, urgently`])
      assert.deepStrictEqual([key.name, logged], [Option.some(marker), []])
      const again = fake({ oldName: marker })
      yield* again.run(Effect.flatMap(ApiKeyService, (keys) => keys.rotate(ref)))
      assert.include(again.calls, `copy ""`)
    }).pipe(run)
  })

  it.effect("a name is cut where both would not fit, and given whole at the end", () => {
    const name = "a".repeat(64)
    const { calls, run } = fake()
    return Effect.gen(function* () {
      const key = yield* (yield* ApiKeyService).create({ name }, { intent: intentOf() })
      assert.deepStrictEqual(calls, [
        `mint "${"a".repeat(36)} ${marker}", inert`,
        `activate ${fresh}, urgently`,
        `rename ${fresh} to "${name}"`
      ])
      assert.deepStrictEqual(key.name, Option.some(name))
    }).pipe(run)
  })

  for (const [what, rename, says] of [
    ["fails", Effect.fail(unavailable), `acme ${marker}`],
    ["dies", Effect.die("no"), `acme ${marker}`],
    ["is not shown to have happened", Effect.succeed(shown(fresh, { name: `acme ${marker}` })), `acme ${marker}`],
    ["ends in another name", Effect.succeed(shown(fresh, { name: "ACME" })), "ACME"],
    ["is only acknowledged", Effect.succeed(undefined), "acme"]
  ] as const) {
    for (const [verb, mint] of Object.entries(mints)) {
      it.effect(`${verb}: a renaming that ${what} fails nothing, and the key says what it is called`, () => {
        const given = fake({ rename })
        const { logged, run } = given
        return Effect.gen(function* () {
          const calls: Array<string> = []
          const key = yield* run(Effect.flatMap(ApiKeyService, (keys) => mint(keys, delivering(calls))))
          assert.deepStrictEqual(key.name, Option.some(says))
          assert.deepStrictEqual(calls, [`deliver h_new, "acme"`])
          assert.deepStrictEqual(
            logged.map(({ level }) => level),
            says === "acme" ? [] : ["Warn"]
          )
          assert.notInclude(inspect(logged, { depth: 10 }), fresh)
          const same = yield* given.withBrokenLogger(Effect.flatMap(ApiKeyService, (keys) => mint(keys)))
          assert.deepStrictEqual(same.name, Option.some(says), "a logger that fails takes nothing away")
        })
      })
    }
  }

  const narrow = { domains: ["acme.example"] } as const
  const wide = { domains: "any" } as const
  for (const [what, rename, domains] of [
    [
      "as its reply shows",
      Effect.succeed(shown(fresh, { name: "acme", restrictions: wide })),
      { domains: ApiKeyDriver.allowList({ entry: Result.succeed }) }
    ],
    [
      "as the driver saw",
      Effect.fail(
        new ApiKeyError({
          provider: "acme",
          operation: "patch",
          reason: new PartiallyApplied({ applied: ["name"], missing: ["domains"] })
        })
      ),
      {}
    ]
  ] as const) {
    const opened = () =>
      fake({
        rename,
        send: Effect.succeed({ address: fresh, secret: fresh }),
        parts: {
          restrictions: domains,
          defaults: domains.domains === undefined ? {} : narrow,
          rotation: {
            successor: (_, mark) =>
              Effect.succeed({
                spec: { name: mark("acme"), restrictions: domains.domains === undefined ? {} : narrow },
                send: Effect.succeed({ address: fresh, secret: fresh })
              }),
            retire: () => Effect.void
          }
        }
      })

    it.effect(`a renaming that opens the key, ${what}: a created one is taken back, and the call fails`, () => {
      const { calls, logged, run } = opened()
      return Effect.gen(function* () {
        const error = yield* expectError(mints.create(yield* ApiKeyService, delivering(calls)), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual([error.reason.missing, error.reason.revoked], [["domains"], true])
        assert.strictEqual(calls.at(-1), `remove ${fresh}, urgently`)
        assert.deepStrictEqual(
          logged.map(({ level }) => level),
          ["Error"]
        )
      }).pipe(run)
    })

    it.effect(`${what}: a copy is taken back where the old key still works`, () => {
      const { calls, run } = opened()
      return Effect.gen(function* () {
        const { missing, revoked } = yield* expectReason(mints.rotate(yield* ApiKeyService), "PartiallyApplied")
        assert.deepStrictEqual([missing, revoked], [["domains"], true])
        assert.strictEqual(calls.at(-1), `remove ${fresh}, urgently`)
      }).pipe(run)
    })

    it.effect(`${what}: where the old key is retired the copy stays, and the result says so`, () => {
      const { calls, run } = opened()
      return Effect.gen(function* () {
        const options = { intent: rotateIntent("successor"), ...delivering(calls) }
        const { incomplete, issued, previous } = yield* (yield* ApiKeyService).rotate(ref, options)
        assert(incomplete?.step === "rename" && incomplete.error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(incomplete.error.reason.missing, ["domains"])
        assert.deepStrictEqual([previous, issued.handle, incomplete.error.handle], ["retired", "h_new", "h_new"])
        assert.isFalse(calls.some((call) => call.startsWith("remove")))
      }).pipe(run)
    })
  }

  for (const [verb, mint] of Object.entries(mints)) {
    it.effect(`${verb}: a renaming that does not end is given up after ten seconds`, () => {
      const reached = Deferred.makeUnsafe<void>()
      const { calls, logged, run } = fake({
        rename: Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      })
      return Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(mint(yield* ApiKeyService, delivering(calls)))
        yield* Deferred.await(reached)
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        const key = yield* Fiber.join(fiber)
        assert.deepStrictEqual(key.name, Option.some(`acme ${marker}`))
        assert.deepStrictEqual(
          logged.map(({ level }) => level),
          ["Warn"]
        )
      }).pipe(run)
    })
  }

  for (const [verb, mint] of Object.entries(mints)) {
    it.effect(`${verb}: a reply that is lost says what it was prepared with`, () => {
      const { calls, run } = fake({ send: Effect.fail(lost) })
      return Effect.gen(function* () {
        const { intent } = yield* expectReason(mint(yield* ApiKeyService, delivering(calls)), "OutcomeUnknown")
        assert.isTrue(Equal.equals(intent, verb === "create" ? intentOf() : rotateIntent("successor")))
        assert.lengthOf(calls, 1)
      }).pipe(run)
    })

    it.effect(`${verb}: and so does one without a secret`, () =>
      Effect.gen(function* () {
        const { intent } = yield* expectReason(mint(yield* ApiKeyService), "OutcomeUnknown")
        assert.strictEqual(intent?.marker, marker)
      }).pipe(fake({ send: Effect.succeed({ address: "", secret: "" }) }).run)
    )

    it.effect(`${verb}: what is known to be not sent does not`, () =>
      Effect.gen(function* () {
        const error = yield* expectError(mint(yield* ApiKeyService), "ProviderUnavailable")
        assert.notInclude(JSON.stringify(error), marker)
      }).pipe(fake({ send: Effect.fail(unavailable) }).run)
    )

    it.effect(`${verb}: a key that comes back under another name than its marked one is taken back`, () => {
      const { calls, run } = fake({
        send: Effect.succeed({ address: fresh, secret: fresh, echo: shown(fresh, { name: "acme" }) })
      })
      return Effect.gen(function* () {
        const { missing } = yield* expectReason(mint(yield* ApiKeyService, delivering(calls)), "PartiallyApplied")
        assert.deepStrictEqual(missing, ["name"])
        assert.deepStrictEqual(calls.slice(1), [`remove ${fresh}, urgently`])
      }).pipe(run)
    })

    it.effect(`${verb}: a key that is not delivered is taken back, and not renamed`, () => {
      const { calls, run } = fake()
      return Effect.gen(function* () {
        const exit = yield* Effect.exit(
          Effect.flatMap(ApiKeyService, (keys) => mint(keys, delivering(calls, Effect.fail("vault down"))))
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(calls.slice(1), [`deliver h_new, "acme"`, `remove ${fresh}, urgently`])
      }).pipe(run)
    })

    it.effect(
      `${verb}: a key whose caller left is taken back where nobody holds it, neither switched on nor renamed`,
      () => {
        const reached = Deferred.makeUnsafe<void>()
        const proceed = Deferred.makeUnsafe<void>()
        const { calls, run } = fake({
          send: Effect.andThen(
            Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(proceed)),
            Effect.succeed({ address: fresh, secret: fresh })
          )
        })
        return Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const fiber = yield* Effect.forkChild(mint(keys))
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
          yield* Deferred.succeed(proceed, undefined)
        }).pipe(
          run,
          Effect.andThen(Effect.sync(() => assert.deepStrictEqual(calls.slice(1), [`remove ${fresh}, urgently`])))
        )
      }
    )
  }

  it.effect("a new key that cannot be switched on is taken back, and the call fails with that, and with why", () => {
    const { calls, run } = fake({ activate: Effect.fail(unavailable) })
    return Effect.gen(function* () {
      const exit = yield* Effect.exit(mints.create(yield* ApiKeyService, delivering(calls)))
      assert(Exit.isFailure(exit))
      const [error, why] = exit.cause.reasons.flatMap((reason) => (Cause.isFailReason(reason) ? [reason.error] : []))
      assert(error?.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual([error.reason.missing, error.reason.revoked], [["activate"], true])
      assert.deepStrictEqual([error.operation, error.handle, error.isRetryable], ["create", "h_new", false])
      assert.deepStrictEqual(
        [why?.reason._tag, why?.operation, why?.handle],
        ["ProviderUnavailable", "create", "h_new"]
      )
      assert.deepStrictEqual(calls.slice(1), [
        `deliver h_new, "acme"`,
        `activate ${fresh}, urgently`,
        `remove ${fresh}, urgently`
      ])
    }).pipe(run)
  })

  it.effect("and where it cannot be taken back, that is said as well", () => {
    const { logged, run } = fake({ activate: Effect.fail(unavailable), remove: Effect.fail(unavailable) })
    return Effect.gen(function* () {
      const exit = yield* Effect.exit(mints.create(yield* ApiKeyService))
      assert(Exit.isFailure(exit))
      const reasons = exit.cause.reasons.flatMap((r) => (Cause.isFailReason(r) ? [r.error.reason] : []))
      assert.deepStrictEqual(
        reasons.map(({ _tag }) => _tag),
        ["PartiallyApplied", "ProviderUnavailable"]
      )
      assert.isTrue(reasons.some((reason) => reason._tag === "PartiallyApplied" && reason.revoked === false))
      assert.deepStrictEqual(
        logged.map(({ level }) => level),
        ["Error"]
      )
    }).pipe(run)
  })

  it.effect("a successor that cannot be switched on is delivered, and gets its name all the same", () => {
    const { calls, run } = fake({ activate: Effect.fail(unavailable) })
    return Effect.gen(function* () {
      const options = { intent: rotateIntent("successor"), ...delivering(calls) }
      const { incomplete, issued } = yield* (yield* ApiKeyService).rotate(ref, options)
      assert.deepStrictEqual([incomplete?.step, issued.name], ["activate", Option.some("acme")])
      assert.deepStrictEqual(calls.slice(2), [`activate ${fresh}, urgently`, `rename ${fresh} to "acme"`])
    }).pipe(run)
  })

  it.effect("a driver that does not mark its copies sends nothing", () => {
    const { calls, run } = fake({ marks: false })
    return Effect.gen(function* () {
      yield* expectError(mints.rotate(yield* ApiKeyService), "UnsupportedOperation")
      assert.deepStrictEqual(calls, [])
    }).pipe(run)
  })

  it.effect("`activate: false` without `keepPrevious: true` is refused", () => {
    const { calls, run } = fake()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      for (const options of [{ activate: false }, { activate: false, keepPrevious: false }]) {
        assert.deepStrictEqual(
          fieldsOf(yield* expectError(Effect.asVoid(keys.rotate(ref, options)), "InvalidRequest")),
          ["activate"]
        )
      }
      assert.deepStrictEqual(calls, [])
    }).pipe(run)
  })
})

describe("with the memory provider", () => {
  for (const [kind, layer, status, found] of [
    ["by successor", MemoryProvider.layer(), "disabled", "Orphaned"],
    ["in place", MemoryProvider.layerInPlace(), "active", "Recovered"]
  ] as const) {
    it.effect(`${kind}: a lost create is ${status}, and ${found}`, () =>
      Effect.gen(function* () {
        const memory = yield* MemoryProvider.MemoryProvider
        const keys = yield* ApiKeyService.can("create", "prepare", "recover")
        const intent = yield* keys.prepare("create")
        yield* memory.next("mint", { after: Effect.fail(new OutcomeUnknown({ problem: "transport", issues: [] })) })
        yield* expectError(keys.create({ name: "acme" }, { intent }), "OutcomeUnknown")
        assert.deepStrictEqual(
          (yield* memory.keys).map(({ name, status }) => [name, status]),
          [[`acme ${intent.marker}`, status]]
        )
        assert.strictEqual((yield* keys.recover(intent))._tag, found)
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("a lost copy is found, shut off, and the rotation done again", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryProvider.MemoryProvider
      const keys = yield* ApiKeyService.can("create", "rotate", "overlap", "prepare", "recover", "revoke", "delete")
      const key = yield* keys.create({ name: "acme" })
      const intent = yield* keys.prepare(key.ref)
      yield* memory.next("rotate", { after: Effect.fail(new OutcomeUnknown({ problem: "transport", issues: [] })) })
      yield* expectError(keys.rotate(key.ref, { intent, deliver: () => Effect.void }), "OutcomeUnknown")
      const found = yield* keys.recover(intent)
      assert(found._tag === "Orphaned" && found.inert && found.revocable)
      yield* keys.delete(Option.getOrThrow(found.ref))
      const { issued } = yield* keys.rotate(key.ref, {
        intent: yield* keys.prepare(key.ref),
        deliver: () => Effect.void
      })
      assert.deepStrictEqual(
        (yield* memory.keys).map(({ name, secret, status }) => [name, secret, status]),
        [["acme", Redacted.value(issued.secret), "active"]]
      )
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )
})
