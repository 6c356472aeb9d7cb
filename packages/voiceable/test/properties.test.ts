import { assert, describe, it } from "@effect/vitest"
import type { ApiKey, ApiKeyError, IssuedKey, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import * as Wire from "../src/VoiceableSchema.ts"

const layer = Layer.unwrap(
  Effect.map(VoiceableSandbox.VoiceableSandbox, ({ credential }) =>
    Voiceable.layer({
      apiKey: credential,
      baseUrl: "https://voiceable.example/api/v1",
      defaults: { origins: "any", resources: "any", keyType: "private" },
      retry: { base: 0 },
      rateLimit: false
    })
  )
).pipe(
  Layer.provideMerge(HttpFaults.layer),
  Layer.provideMerge(VoiceableSandbox.layerClient({ requestsPerMinute: Number.POSITIVE_INFINITY }))
)

const name = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 40 })
  .filter((text) => text.trim() === text && text.isWellFormed() && !/\p{Cc}/u.test(text))
const origin = fc
  .tuple(fc.constantFrom("http", "https"), fc.domain(), fc.option(fc.integer({ min: 1, max: 65535 })))
  .map(([scheme, host, port]) => `${scheme}://${host}${port === null ? "" : `:${port}`}`)
  // A port that goes without saying is refused: browsers do not send it.
  .filter((value) => new URL(value).origin === value.toLowerCase())
const assistant = fc.oneof(fc.nat().map(String), fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/))
const list = (entry: fc.Arbitrary<string>) =>
  fc.oneof(
    fc.constant("any" as const),
    fc
      .uniqueArray(entry, { minLength: 1, maxLength: 5 })
      .map((entries): readonly [string, ...string[]] => [entries[0] ?? "", ...entries.slice(1)])
  )
const origins = list(origin)
const resources = list(assistant)
const optional = { requiredKeys: [] }
const options = fc.record({ keyType: fc.constantFrom("private", "public"), transientAssistant: fc.boolean() }, optional)
const spec: fc.Arbitrary<KeySpec> = fc
  .tuple(name, fc.record({ origins, resources }, optional), options)
  .map(([name, restrictions, voiceable]) => ({ name, ...restrictions, options: { voiceable } }))
const patch: fc.Arbitrary<KeyPatch> = fc
  .record({ name, origins, resources }, optional)
  .filter((fields) => Object.keys(fields).length > 0)

const run = <A>(effect: Effect.Effect<A, ApiKeyError, Layer.Success<typeof layer>>): Promise<A> =>
  Effect.runPromise(effect.pipe(Effect.provide(layer), Effect.provide(Logger.layer([]))))

/** What a key is, by the vendor's own fields. */
interface Model {
  readonly name: string
  readonly keyType: string
  readonly allowedOrigins: ReadonlyArray<string>
  readonly allowedAssistants: ReadonlyArray<string>
  readonly transientAssistant: boolean
}

/** An origin as browsers write it, with no duplicates: said here again, and not taken from the adapter. */
const asBrowsersDo = (asked: KeySpec["origins"]): ReadonlyArray<string> =>
  asked === undefined || asked === "any" ? [] : [...new Set(asked.map((value) => new URL(value).origin))]

const newModel = (asked: KeySpec): Model => ({
  name: asked.name,
  keyType: asked.options?.voiceable?.keyType ?? "private",
  allowedOrigins: asBrowsersDo(asked.origins),
  allowedAssistants: asked.resources === undefined || asked.resources === "any" ? [] : asked.resources,
  transientAssistant: asked.options?.voiceable?.transientAssistant ?? false
})

const patched = (model: Model, change: KeyPatch): Model => ({
  ...model,
  ...(change.name === undefined ? {} : { name: change.name }),
  ...(change.origins === undefined ? {} : { allowedOrigins: asBrowsersDo(change.origins) }),
  ...(change.resources === undefined
    ? {}
    : { allowedAssistants: change.resources === "any" ? [] : [...new Set(change.resources)] })
})

const modelOf = (row: VoiceableSandbox.SandboxKey): Model => ({
  name: row.name,
  keyType: row.keyType,
  allowedOrigins: row.allowedOrigins,
  allowedAssistants: row.allowedAssistants,
  transientAssistant: row.transientAssistant
})

/** What the service shows of a key, and what it must show of it. */
const shownOf = ({ name, options, restrictions }: ApiKey): unknown => ({
  name,
  options,
  restrictions: { ...restrictions }
})
const shownAs = (model: Model): unknown => ({
  name: Option.some(model.name),
  restrictions: {
    origins: model.allowedOrigins.length === 0 ? "any" : model.allowedOrigins,
    resources: model.allowedAssistants.length === 0 ? "any" : model.allowedAssistants
  },
  options: { keyType: model.keyType, transientAssistant: model.transientAssistant }
})

const stored = Effect.flatMap(VoiceableSandbox.VoiceableSandbox, ({ keys }) =>
  Effect.map(keys, (all) => all.filter(({ id }) => id !== 1))
)

describe("round trips", () => {
  it("what is asked is what the vendor stores, and what is read back", () =>
    fc.assert(
      fc.asyncProperty(spec, (asked) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const { ref } = yield* keys.create(asked)
            assert.deepStrictEqual((yield* stored).map(modelOf), [newModel(asked)])
            assert.deepStrictEqual(shownOf(yield* keys.get(ref)), shownAs(newModel(asked)))
          })
        )
      )
    ))

  it("a patch changes what it names; twice is once; confirmed both times", () =>
    fc.assert(
      fc.asyncProperty(spec, patch, (asked, change) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const { ref } = yield* keys.create(asked)
            const once = yield* keys.patch(ref, change, { confirm: true })
            const first = yield* stored
            const echoed = yield* keys.patch(ref, change)
            const twice = yield* keys.patch(ref, change, { confirm: true })
            assert.deepStrictEqual([once.proof, echoed.proof, twice.proof], ["confirmed", "echoed", "confirmed"])
            assert.deepStrictEqual(first.map(modelOf), [patched(newModel(asked), change)])
            assert.deepStrictEqual(
              (yield* stored).map((row) => ({ ...row, updatedAt: 0 })),
              first.map((row) => ({ ...row, updatedAt: 0 }))
            )
          })
        )
      )
    ))

  it("a rotation changes the id, the secret and the dates, and nothing else", () =>
    fc.assert(
      fc.asyncProperty(spec, (asked) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const { ref } = yield* keys.create(asked)
            const before = yield* stored
            yield* keys.rotate(ref, { deliver: () => Effect.void })
            const after = yield* stored
            assert.deepStrictEqual(after.map(modelOf), before.map(modelOf))
            assert.notDeepEqual(
              after.map(({ id, keyValue }) => [id, keyValue]),
              before.map(({ id, keyValue }) => [id, keyValue])
            )
          })
        )
      )
    ))
})

describe("replies", () => {
  const secret = "api_test_voiceable_property"
  const reply = fc
    .tuple(
      fc.integer({ min: 1, max: 999_999_999_999_999 }),
      fc.string({ unit: "grapheme" }),
      fc.array(fc.string()),
      fc.boolean(),
      fc.boolean()
    )
    .map(([id, name, entries, last, enveloped]) => {
      const key = { user_id: 7, name, allowed_origins: entries, key_value: secret, allowed_assistants: entries }
      const row = last ? { ...key, id } : { id, ...key }
      return {
        id: String(id),
        text: JSON.stringify(enveloped ? { status: { code: 201, message: name }, data: row } : row)
      }
    })

  it("are read wherever they are whole", () => {
    fc.assert(
      fc.property(reply, ({ id, text }) => {
        const key = Wire.readKeyReply(JSON.parse(text))
        assert.deepStrictEqual(key.id, Option.some(id))
        assert.deepStrictEqual(Option.map(key.keyValue, Redacted.value), Option.some(secret))
      })
    )
  })

  it("that were cut off anywhere give the right key or none", () => {
    let found = 0
    fc.assert(
      fc.property(reply, fc.double({ min: 0, max: 1, noNaN: true }), ({ id, text }, part) => {
        const salvaged = Wire.salvageKey(text.slice(0, Math.ceil(text.length * part)))
        if (Option.isNone(salvaged)) return
        found++
        const key = Wire.readKeyReply(salvaged.value)
        assert.deepStrictEqual(key.id, Option.some(id))
        assert.deepStrictEqual(Option.map(key.keyValue, Redacted.value), Option.some(secret))
      }),
      { numRuns: 1000 }
    )
    assert.isAbove(found, 50, "the property hardly ever met a reply that could be read")
  })

  it("of any shape are no defect, and never a key with a secret that is not plain", () => {
    const field = fc.constantFrom("id", "key_value", "data", "status", "errors", "error", "allowed_origins", "name")
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(1, "2", secret, "api_test_****", "[FILTERED]", "null", "0x10", [], {}, null, "a b")
    )
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5 },
        value,
        fc.dictionary(field, tie("tree"), { maxKeys: 5 }),
        fc.array(tie("tree"), { maxLength: 4 })
      )
    }))
    fc.assert(
      fc.property(tree, (reply) => {
        const keys = [Wire.readKeyReply(reply), ...Wire.readKeysReply(reply)]
        const salvaged = Option.map(Wire.salvageKey(reply), Wire.readKeyReply)
        if (Option.isSome(salvaged)) {
          keys.push(salvaged.value)
          assert.isTrue(Option.isSome(salvaged.value.id) && Option.isSome(salvaged.value.keyValue))
        }
        for (const { id, keyValue } of keys) {
          assert.match(
            Option.getOrElse(id, () => "1"),
            /^[1-9]\d*$/
          )
          assert.match(
            Option.match(keyValue, { onNone: () => "x".repeat(16), onSome: Redacted.value }),
            /^[\x21-\x7e]{16,}$/
          )
        }
        Wire.refusedFields(reply)
        Wire.isNotFound(reply)
      }),
      { numRuns: 2000 }
    )
  })

  it("of megabytes that end in nothing are looked through once", () => {
    const pieces = [
      `"key_value":"`,
      `"key_value" : `,
      `"id":`,
      `"id": 1`,
      `"id"        :        9999999`,
      `"`,
      `\\"`,
      " "
    ]
    for (const piece of pieces) assertLinear((size) => piece.repeat(size / piece.length))
    assertLinear((size) => `"key_value":"${"a".repeat(size)}`)
  })
})

/** Looks through a large text: what is quadratic takes longer than the time-out of a test, and what is linear no time. */
const assertLinear = (textOf: (size: number) => string) => {
  Wire.salvageKey(textOf(500_000))
}

type Step =
  | { readonly verb: "create"; readonly asked: KeySpec }
  | { readonly verb: "patch"; readonly slot: number; readonly change: KeyPatch }
  | { readonly verb: "rotate"; readonly slot: number; readonly keepPrevious: boolean }
  | { readonly verb: "revoke" | "delete"; readonly slot: number }

const slot = fc.nat({ max: 5 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: spec.map((asked) => ({ verb: "create" as const, asked })) },
  fc.tuple(slot, patch).map(([slot, change]) => ({ verb: "patch" as const, slot, change })),
  fc.tuple(slot, fc.boolean()).map(([slot, keepPrevious]) => ({ verb: "rotate" as const, slot, keepPrevious })),
  fc.tuple(fc.constantFrom("revoke" as const, "delete" as const), slot).map(([verb, slot]) => ({ verb, slot }))
)

describe("any sequence of verbs", () => {
  it("leaves the vendor with what the model has, and shows it", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 15 }),
        fc.constantFrom(200 as const, 204 as const, 302 as const),
        (steps, deleteReply) =>
          run(
            Effect.gen(function* () {
              const keys = yield* ApiKeyService
              const sandbox = yield* VoiceableSandbox.VoiceableSandbox
              yield* sandbox.setDeleteReply(deleteReply)
              const issued: Array<IssuedKey> = []
              const live = new Map<string, Model>()
              const take = (key: IssuedKey, model: Model) => {
                issued.push(key)
                live.set(key.handle, model)
              }
              for (const action of steps) {
                if (action.verb === "create") {
                  take(yield* keys.create(action.asked), newModel(action.asked))
                  continue
                }
                const target = issued[action.slot]
                if (target === undefined) continue
                const model = live.get(target.handle)
                const call: Effect.Effect<void, ApiKeyError> =
                  action.verb === "patch"
                    ? Effect.map(keys.patch(target.ref, action.change), ({ proof }) => {
                        assert.strictEqual(proof, "echoed")
                        if (model !== undefined) live.set(target.handle, patched(model, action.change))
                      })
                    : action.verb === "rotate"
                      ? Effect.map(
                          keys.rotate(target.ref, { deliver: () => Effect.void, keepPrevious: action.keepPrevious }),
                          ({ issued, previous }) => {
                            assert.strictEqual(previous, action.keepPrevious ? "live" : "retired")
                            if (model !== undefined) take(issued, model)
                            if (!action.keepPrevious) live.delete(target.handle)
                          }
                        )
                      : Effect.map(keys[action.verb](target.ref), () => {
                          live.delete(target.handle)
                        })
                const result = yield* Effect.result(call)
                assert.strictEqual(
                  Result.isFailure(result) ? result.failure.reason._tag : "success",
                  model === undefined ? "KeyNotFound" : "success"
                )
              }
              const rows = yield* stored
              assert.deepStrictEqual(new Map(rows.map((row) => [`voiceable_${row.id}`, modelOf(row)])), live)
              const shown = yield* Stream.runCollect(keys.list())
              assert.deepStrictEqual(
                shown.filter(({ handle }) => handle !== "voiceable_1").map(shownOf),
                rows.map((row) => shownAs(modelOf(row)))
              )
              for (const { handle, secret } of issued) {
                assert.strictEqual(yield* sandbox.isLive(Redacted.value(secret)), live.has(handle))
              }
            })
          )
      )
    ))
})

const fault: fc.Arbitrary<readonly [HttpFaults.Fault, HttpFaults.Target] | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom<HttpFaults.Fault>(
        "refused",
        "reset",
        "resetAfterCommit",
        "truncatedBody",
        "notJson",
        "emptyObject",
        { status: 500 },
        { status: 503, commit: true },
        { status: 302 },
        { status: 302, commit: true },
        { status: 204, commit: true },
        { status: 404 },
        { status: 422 },
        { status: 201, commit: true, body: `{"data":{"id":999999}}` }
      ),
      fc.constantFrom<HttpFaults.Target>({}, { method: "GET" }, { method: "POST" }, { method: "DELETE" }, { times: 9 })
    )
  }
)

/** What is known of a key that was delivered. */
interface Known {
  readonly key: IssuedKey
  /** Whether it is live for certain; `undefined` after a failure that leaves it open. */
  live: boolean | undefined
  model: Model | undefined
}

describe("any sequence of verbs and faults", () => {
  it("loses no key in silence, and lets none live or widen that was shut off or narrowed", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fault), { maxLength: 15 }), (steps) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* VoiceableSandbox.VoiceableSandbox
            const faults = yield* HttpFaults.HttpFaults
            const known: Array<Known> = []
            /** Mints of which the caller was told that nobody can tell, or that the key may live. */
            let reported = 0
            const report = ({ reason }: ApiKeyError) => {
              if (
                reason._tag === "OutcomeUnknown" ||
                (reason._tag === "PartiallyApplied" && reason.revoked === false)
              ) {
                reported++
              }
            }
            for (const [action, fault] of steps) {
              yield* faults.clear
              if (fault !== undefined) yield* faults.inject(...fault)
              const delivered: Array<IssuedKey> = []
              const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(key))
              if (action.verb === "create") {
                const result = yield* Effect.result(keys.create(action.asked, { deliver }))
                if (Result.isSuccess(result)) {
                  assert.deepStrictEqual(delivered, [result.success])
                  known.push({ key: result.success, live: true, model: newModel(action.asked) })
                } else {
                  assert.deepStrictEqual(delivered, [])
                  report(result.failure)
                }
                continue
              }
              const target = known[action.slot]
              if (target === undefined) continue
              const { ref } = target.key
              switch (action.verb) {
                case "patch": {
                  const result = yield* Effect.result(keys.patch(ref, action.change))
                  target.model =
                    Result.isSuccess(result) && target.model !== undefined
                      ? patched(target.model, action.change)
                      : undefined
                  break
                }
                case "rotate": {
                  const { keepPrevious } = action
                  const result = yield* Effect.result(keys.rotate(ref, { deliver, keepPrevious }))
                  if (Result.isFailure(result)) {
                    assert.deepStrictEqual(delivered, [])
                    report(result.failure)
                    break
                  }
                  const { incomplete, issued, previous } = result.success
                  assert.deepStrictEqual(delivered, [issued])
                  assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)), "the successor is dead")
                  known.push({ key: issued, live: true, model: target.model })
                  if (previous === "retired") target.live = false
                  else if (incomplete !== undefined) target.live = undefined
                  break
                }
                case "delete":
                case "revoke": {
                  const result = yield* Effect.result(keys[action.verb](ref))
                  const gone = Result.isSuccess(result) || result.failure.reason._tag === "KeyNotFound"
                  target.live = gone || target.live === false ? false : undefined
                }
              }
            }

            const rows = yield* stored
            for (const { key, live, model } of known) {
              const secret = Redacted.value(key.secret)
              if (live !== undefined) assert.strictEqual(yield* sandbox.isLive(secret), live)
              const row = rows.find(({ keyValue }) => keyValue === secret)
              if (row !== undefined && model !== undefined) assert.deepStrictEqual(modelOf(row), model)
            }
            const held = new Set(known.map(({ key }) => Redacted.value(key.secret)))
            const strangers = rows.filter(({ keyValue }) => !held.has(keyValue))
            assert.isAtMost(strangers.length, reported, "a live key that nobody holds and nobody was told of")
          })
        )
      ),
      { numRuns: 150 }
    ))
})
