import { assert, describe, it } from "@effect/vitest"
import { type ApiKeyError, ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

const bound = Layer.unwrap(
  Effect.map(VoiceableSandbox.VoiceableSandbox, ({ credential }) =>
    Voiceable.layer({
      apiKey: credential,
      baseUrl: "https://voiceable.example/api/v1",
      defaults: { origins: "any", resources: "any", keyType: "private" }
    })
  )
).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(VoiceableSandbox.layerClient()))

const test = <A, E>(name: string, run: Effect.Effect<A, E, Layer.Success<typeof bound>>) =>
  it.effect(name, () => Effect.provide(run, bound))

const sent = Effect.flatMap(VoiceableSandbox.VoiceableSandbox, ({ requests }) =>
  Effect.map(requests, (all) => all.map(({ body, method }) => [method, body]))
)

describe("a mint with an intent", () => {
  test(
    "is sent under its marker, and renamed by an update of the name alone, last of all",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const intent = yield* keys.prepare("create")
      const { ref } = yield* keys.create({ name: "acme" }, { intent })
      const rotation = yield* keys.prepare(ref)
      yield* keys.rotate(ref, { intent: rotation, deliver: () => Effect.void })
      const of = (body: unknown, name: string) => assert.deepNestedInclude(body, { "api_key.name": name })
      const requests = (yield* sent).filter(([method]) => method !== "GET")
      assert.deepStrictEqual(
        requests.map(([method]) => method),
        ["POST", "PUT", "POST", "DELETE", "PUT"]
      )
      of(requests[0]?.[1], `acme ${intent.marker}`)
      assert.deepStrictEqual(requests[1]?.[1], { api_key: { name: "acme" } })
      of(requests[2]?.[1], `acme ${rotation.marker}`)
      assert.deepStrictEqual(requests[4]?.[1], { api_key: { name: "acme" } })
    })
  )

  for (const verb of ["create", "rotate"] as const) {
    test(
      `${verb}: a lost key is live, is found by its marker, and is deleted by its id`,
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const http = yield* HttpFaults.HttpFaults
        const vendor = yield* VoiceableSandbox.VoiceableSandbox
        const old = yield* keys.create({ name: "acme" })
        const intent = yield* keys.prepare(verb === "create" ? "create" : old.ref)
        yield* http.inject("resetAfterCommit", { method: "POST" })
        const mint: Effect.Effect<unknown, ApiKeyError> =
          verb === "create" ? keys.create({ name: "acme" }, { intent }) : keys.rotate(old.ref, { intent })
        yield* Effect.flip(mint)
        const orphan = (yield* vendor.keys).at(-1)
        assert(orphan !== undefined)
        assert.strictEqual(orphan.name, `acme ${intent.marker}`)
        const found = yield* keys.recover(intent)
        assert(found._tag === "Orphaned")
        assert.deepStrictEqual(
          [found.handle, found.revocable, found.inert],
          [`voiceable_${orphan.id}`, true, false],
          "the vendor has no states: what is there works"
        )
        assert.isTrue(yield* vendor.isLive(orphan.keyValue))
        assert.strictEqual(yield* keys.revoke(Option.getOrThrow(found.ref)), "deleted")
        assert.isFalse(yield* vendor.isLive(orphan.keyValue))
        assert.isTrue(yield* vendor.isLive(Redacted.value(old.secret)))
        assert.strictEqual((yield* keys.recover(intent))._tag, "NotSeen")
      })
    )
  }
})
