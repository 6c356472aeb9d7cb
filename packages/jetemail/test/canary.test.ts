import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyRef } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults, Witness } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const manager = "api_test_canary_manager"
/** JetEmail's tokens as the sandbox mints them, and the manager's credential. */
const secret = /transactional_api_test|api_test_canary/

type Keys = ApiKeyService["Service"]

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

const verbs: Record<string, (keys: Keys, ref: KeyRef) => Effect.Effect<unknown, ApiKeyError | string>> = {
  create: (keys) => keys.create({ name: "acme" }),
  "create, not delivered": (keys) => keys.create({ name: "acme" }, { deliver: () => Effect.fail("vault down") }),
  rotate: (keys, ref) => keys.rotate(ref, { deliver: () => Effect.void }),
  "rotate, not delivered": (keys, ref) => keys.rotate(ref, { deliver: (_: IssuedKey) => Effect.fail("vault down") }),
  patch: (keys, ref) => keys.patch(ref, { quota: 5 }, { confirm: true }),
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
  "a rotation with an intent, not delivered": (keys, ref) => prepared(keys, ref, () => Effect.fail("vault down"))
}

/** A vendor that answers with the secrets it was sent, where an error or a field should be. */
const echoing = `{"success":false,"error":"transactional_api_test_echo ${manager}","transactional_api_test_field":1}`
const faults: Record<string, HttpFaults.Fault | undefined> = {
  "nothing goes wrong": undefined,
  "the reply is lost": "resetAfterCommit",
  "the reply is cut off": "truncatedBody",
  "200 with secrets for an answer": { status: 200, body: echoing },
  "400 with secrets for an error": { status: 400, body: echoing },
  "500 with secrets for an error": { status: 500, body: echoing },
  "a redirect to a secret": { status: 302, headers: { location: "https://x.example/transactional_api_test_1" } },
  "429": { status: 429, headers: { "retry-after": "300", "x-token": "transactional_api_test_1" } }
}

const bound = JetEmail.layer({
  apiKey: Redacted.make(manager),
  defaults: { domains: "any", ips: "any", quota: "unlimited" },
  retry: { base: 0, times: 1 }
}).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(JetEmailSandbox.layerClient({ credential: manager })))

describe("no secret is seen", () => {
  for (const [verb, call] of Object.entries(verbs)) {
    for (const [what, fault] of Object.entries(faults)) {
      it.effect(`${verb}, ${what}`, () =>
        Effect.gen(function* () {
          const witness = Witness.make(inspect)
          const exit = yield* Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const http = yield* HttpFaults.HttpFaults
            const { ref } = yield* keys.create({ name: "acme" })
            if (fault !== undefined) yield* http.inject(fault, { times: 10 })
            return yield* Effect.exit(call(keys, ref).pipe(Effect.withSpan("the caller's")))
          }).pipe(Effect.provide(bound), Effect.provide(witness.layer))
          const found = witness.seen(exit, yield* Metric.snapshot).filter((text) => secret.test(text))
          assert.deepStrictEqual(found, [])
          assert.isAbove(witness.spans.length, 1, "the spans were recorded")
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
      )
    }
  }

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
        }).pipe(Effect.provide(bound), Effect.provide(witness.layer))
        assert(Exit.isSuccess(exit))
        assert.strictEqual(exit.value.found._tag, "Recovered")
        const found = witness.seen(exit, yield* Metric.snapshot).filter((text) => secret.test(text))
        assert.deepStrictEqual(found, [])
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    )
  }

  it.effect("and the witness sees one that is planted", () =>
    Effect.gen(function* () {
      const witness = Witness.make(inspect)
      const planted = (where: string) => `transactional_api_test_planted_${where}`
      const exit = yield* Effect.log(planted("log")).pipe(
        Effect.andThen(Effect.fail({ token: planted("error") })),
        Effect.withSpan("span", { attributes: { token: planted("span") } }),
        Effect.exit,
        Effect.provide(witness.layer)
      )
      const found = witness.seen(exit, [{ token: planted("metric") }]).join("\n")
      for (const where of ["log", "error", "span", "metric"]) assert.include(found, planted(where))
    })
  )
})
