import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyRef } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults, Witness } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const manager = "api_test_canary_manager"
const leaked = "api_test_voiceable_leaked"
/** Voiceable's secrets as the sandbox mints them, and the manager's credential. */
const secret = /api_test_(?:voiceable|canary)/

type Keys = ApiKeyService["Service"]
type Client = Voiceable.VoiceableClient["Service"]

/** A mint with an intent, and a look at what became of it. */
const prepared = (
  keys: Keys,
  ref: KeyRef | undefined,
  deliver: () => Effect.Effect<void, string> = () => Effect.void
) =>
  Effect.gen(function* () {
    const intent = yield* keys.prepare(ref ?? "create")
    const options = { deliver, intent }
    const minted = yield* Effect.exit<unknown, ApiKeyError | string, never>(
      ref === undefined ? keys.create({ name: "acme" }, options) : keys.rotate(ref, options)
    )
    return { intent, minted, found: yield* keys.recover(intent) }
  })

const verbs: Record<string, (keys: Keys, ref: KeyRef, client: Client) => Effect.Effect<unknown, ApiKeyError | string>> =
  {
    create: (keys) => keys.create({ name: "acme" }),
    "create, not delivered": (keys) => keys.create({ name: "acme" }, { deliver: () => Effect.fail("vault down") }),
    rotate: (keys, ref) => keys.rotate(ref, { deliver: () => Effect.void }),
    "rotate, not delivered": (keys, ref) => keys.rotate(ref, { deliver: (_: IssuedKey) => Effect.fail("vault down") }),
    patch: (keys, ref) => keys.patch(ref, { resources: ["5"] }, { confirm: true }),
    disable: (keys, ref) => keys.disable(ref),
    enable: (keys, ref) => keys.enable(ref),
    revoke: (keys, ref) => keys.revoke(ref),
    delete: (keys, ref) => keys.delete(ref),
    get: (keys, ref) => keys.get(ref),
    list: (keys) => Stream.runCollect(keys.list()),
    prepare: (keys) => keys.prepare("create"),
    "prepare, of a key": (keys, ref) => keys.prepare(ref),
    "a create with an intent": (keys) => prepared(keys, undefined),
    "a rotation with an intent": (keys, ref) => prepared(keys, ref),
    "a create with an intent, not delivered": (keys) => prepared(keys, undefined, () => Effect.fail("vault down")),
    "a rotation with an intent, not delivered": (keys, ref) => prepared(keys, ref, () => Effect.fail("vault down")),
    "the client's create": (_, __, client) =>
      Effect.flatMap(client.create({ name: "acme", keyType: "private" }), ({ send }) => send),
    "the client's update": (_, __, client) => client.update("2", { name: "b" }),
    "the client's get": (_, __, client) => client.get("2"),
    "the client's list": (_, __, client) => client.list,
    "the client's delete": (_, __, client) => client.delete("2")
  }

/** Those that read a key, or all of them. */
const reads = new Set([
  "rotate",
  "patch",
  "get",
  "list",
  "prepare",
  "a rotation with an intent",
  "the client's get",
  "the client's list"
])

/** A vendor that answers with the secrets it was sent, where an error or a field should be. */
const echoing = JSON.stringify({
  status: { code: 422, message: manager },
  error: `api_test_voiceable_echo ${manager}`,
  errors: [`Name api_test_voiceable_echo`, manager],
  details: "api_test_voiceable_echo",
  api_test_voiceable_field: 1
})
/** A reply of another shape, with more secrets than one can be certain of. */
const confusing = JSON.stringify({
  data: [
    { id: 2, key_value: "api_test_voiceable_one" },
    { id: 3, key_value: "api_test_voiceable_two" }
  ]
})
const misplaced = JSON.stringify({
  data: { id: "api_test_voiceable_id", key_value: ["api_test_voiceable_list"], created_at: "api_test_voiceable_date" }
})
const faults: Record<string, HttpFaults.Fault | undefined> = {
  "nothing goes wrong": undefined,
  "the reply is lost": "resetAfterCommit",
  "the reply is cut off": "truncatedBody",
  "200 with secrets for an answer": { status: 200, body: echoing },
  "200 with too many secrets": { status: 200, body: confusing },
  "200 with secrets in the wrong places": { status: 200, body: misplaced },
  "400 with secrets for an error": { status: 400, body: echoing },
  "404 with secrets for an error": { status: 404, body: echoing },
  "422 with secrets for an error": { status: 422, body: echoing },
  "500 with secrets for an error": { status: 500, body: echoing },
  "a redirect to a secret": { status: 302, headers: { location: "https://x.example/api_test_voiceable_1" } },
  "429": { status: 429, headers: { "retry-after": "300", "x-key": "api_test_voiceable_1" } }
}

const layerOf = (apiKey: Voiceable.Options["apiKey"]) =>
  Voiceable.layer({
    apiKey,
    baseUrl: "https://voiceable.example/api/v1",
    defaults: { origins: "any", resources: "any", keyType: "private" },
    retry: { base: 0, times: 1 }
  }).pipe(
    Layer.provideMerge(HttpFaults.layer),
    Layer.provideMerge(VoiceableSandbox.layerClient({ credential: manager }))
  )

describe("no secret is seen", () => {
  for (const shown of [false, true]) {
    for (const [verb, call] of Object.entries(verbs)) {
      if (shown && !reads.has(verb)) continue
      for (const [what, fault] of Object.entries(faults)) {
        it.effect(`${verb}, ${what}${shown ? ", where readings show the secrets" : ""}`, () =>
          Effect.gen(function* () {
            const witness = Witness.make(inspect)
            const { exit, urls } = yield* Effect.gen(function* () {
              const keys = yield* ApiKeyService
              const http = yield* HttpFaults.HttpFaults
              const sandbox = yield* VoiceableSandbox.VoiceableSandbox
              const client = yield* Voiceable.VoiceableClient
              yield* sandbox.showKeyValues(shown)
              const { ref } = yield* keys.create({ name: "acme" })
              if (fault !== undefined) yield* http.inject(fault, { times: 10 })
              const exit = yield* Effect.exit(call(keys, ref, client).pipe(Effect.withSpan("the caller's")))
              return { exit, urls: (yield* http.attempts).map(({ url }) => url) }
            }).pipe(Effect.provide(layerOf(Redacted.make(manager))), Effect.provide(witness.layer))
            const found = [...urls, ...witness.seen(exit, yield* Metric.snapshot)].filter((text) => secret.test(text))
            assert.deepStrictEqual(found, [])
            assert.isAbove(witness.spans.length, 1, "the spans were recorded")
          }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
        )
      }
    }
  }

  for (const [verb, call] of Object.entries(verbs)) {
    it.effect(`${verb}, of a leaked secret in place of an id`, () =>
      Effect.gen(function* () {
        const witness = Witness.make(inspect)
        const { exit, urls } = yield* Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const http = yield* HttpFaults.HttpFaults
          const client = yield* Voiceable.VoiceableClient
          const ref = keys.ref(Redacted.make(leaked))
          const exit = yield* Effect.exit(call(keys, ref, client).pipe(Effect.withSpan("the caller's")))
          return { exit, urls: (yield* http.attempts).map(({ url }) => url) }
        }).pipe(Effect.provide(layerOf(Redacted.make(manager))), Effect.provide(witness.layer))
        const found = [...urls, ...witness.seen(exit, yield* Metric.snapshot)].filter((text) => secret.test(text))
        assert.deepStrictEqual(found, [])
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    )
  }

  it.effect("a credential that cannot be sent, or whose effect fails with it", () =>
    Effect.gen(function* () {
      for (const apiKey of [Redacted.make(`${manager}\n`), Effect.fail(new Error(manager)), Effect.die(manager)]) {
        const witness = Witness.make(inspect)
        const exit = yield* Effect.flatMap(ApiKeyService, (keys) => keys.create({ name: "acme" })).pipe(
          Effect.provide(layerOf(apiKey)),
          Effect.exit,
          Effect.provide(witness.layer)
        )
        assert.isTrue(Exit.isFailure(exit))
        const found = witness.seen(exit, yield* Metric.snapshot).filter((text) => secret.test(text))
        assert.deepStrictEqual(found, [])
      }
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  // The list is read before and after: only the mint's own reply is lost.
  for (const of of ["create", "rotate"] as const) {
    it.effect(`a ${of} with an intent whose reply alone is lost`, () =>
      Effect.gen(function* () {
        const witness = Witness.make(inspect)
        const exit = yield* Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const http = yield* HttpFaults.HttpFaults
          const { ref } = yield* keys.create({ name: "acme" })
          yield* http.inject("resetAfterCommit", { method: "POST" })
          return yield* Effect.exit(prepared(keys, of === "create" ? undefined : ref))
        }).pipe(Effect.provide(layerOf(Redacted.make(manager))), Effect.provide(witness.layer))
        assert(Exit.isSuccess(exit))
        assert.strictEqual(exit.value.found._tag, "Orphaned")
        const found = witness.seen(exit, yield* Metric.snapshot).filter((text) => secret.test(text))
        assert.deepStrictEqual(found, [])
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    )
  }

  it.effect("and the witness sees one that is planted", () =>
    Effect.gen(function* () {
      const witness = Witness.make(inspect)
      const planted = (where: string) => `api_test_voiceable_planted_${where}`
      const exit = yield* Effect.log(planted("log")).pipe(
        Effect.andThen(Effect.fail({ token: planted("error") })),
        Effect.withSpan("span", { attributes: { token: planted("span") } }),
        Effect.exit,
        Effect.provide(witness.layer)
      )
      const found = witness.seen(exit, [{ token: planted("metric") }]).filter((text) => secret.test(text))
      for (const where of ["log", "error", "span", "metric"]) {
        assert.isTrue(found.some((text) => text.includes(planted(where))))
      }
      const success = witness.seen(Exit.succeed({ deep: [{ name: planted("value") }] }), [])
      assert.isTrue(success.some((text) => text.includes(planted("value"))))
    })
  )
})
