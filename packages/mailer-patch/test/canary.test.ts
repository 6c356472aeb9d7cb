import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyRef } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults, Witness } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const manager = "api-api_test_mgrtopsecrettopsecretmm"
/** More of a key than its username, which is `api-api_test_` and three characters; and what usernames do not have. */
const secret = /api-api_test_[A-Za-z0-9_-]{4}|topsecret|fakefake/

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

const own = (keys: Keys) => keys.ref(Redacted.make(manager))
type Client = MailerPatch.MailerPatchClient["Service"]

const verbs: Record<string, (keys: Keys, ref: KeyRef, client: Client) => Effect.Effect<unknown, ApiKeyError | string>> =
  {
    create: (keys) => keys.create({ name: "acme" }),
    "create, not delivered": (keys) => keys.create({ name: "acme" }, { deliver: () => Effect.fail("vault down") }),
    rotate: (keys, ref) => keys.rotate(ref, { deliver: () => Effect.void }),
    "rotate, not delivered": (keys, ref) => keys.rotate(ref, { deliver: (_: IssuedKey) => Effect.fail("vault down") }),
    "rotate, the manager's own": (keys) => keys.rotate(own(keys), { deliver: () => Effect.void }),
    patch: (keys, ref) =>
      keys.patch(
        ref,
        { name: "acme 2", rate: { max: 5, per: { hours: 1 } }, options: { smtp2go: { archiveEnabled: true } } },
        { confirm: true }
      ),
    "patch, refused": (keys, ref) => keys.patch(ref, { options: { smtp2go: { status: "blocked" } } }),
    "patch, the manager's own": (keys) => keys.patch(own(keys), { scopes: ["/email/send"] }),
    disable: (keys, ref) => keys.disable(ref),
    enable: (keys, ref) => keys.enable(ref),
    "enable, as sandbox": (keys, ref) => keys.enable(ref, { as: "sandbox" }),
    revoke: (keys, ref) => keys.revoke(ref),
    "revoke, the manager's own": (keys) => keys.revoke(own(keys)),
    "revoke, of another vendor's secret": (keys) => keys.revoke(keys.ref(Redacted.make("topsecret_of_another_vendor"))),
    delete: (keys, ref) => keys.delete(ref),
    "delete, the manager's own": (keys) => keys.delete(own(keys)),
    get: (keys, ref) => keys.get(ref),
    "get, the manager's own": (keys) => keys.get(own(keys)),
    list: (keys) => Stream.runCollect(keys.list()),
    prepare: (keys) => keys.prepare("create"),
    "prepare, of a key": (keys, ref) => keys.prepare(ref),
    "a create with an intent": (keys) => prepared(keys, undefined),
    "a rotation with an intent": (keys, ref) => prepared(keys, ref),
    "a create with an intent, not delivered": (keys) => prepared(keys, undefined, () => Effect.fail("vault down")),
    "a rotation with an intent, not delivered": (keys, ref) => prepared(keys, ref, () => Effect.fail("vault down")),
    "verify, a living key": (_, ref, client) => client.verify(ref.value),
    "verify, another": (_, __, client) => client.verify(Redacted.make(leaked)),
    "verify, what cannot be sent": (_, __, client) => client.verify(Redacted.make(`${leaked}\n`))
  }

/** A vendor that answers with the secrets it was sent, where an error or a field should be. */
const leaked = "api-api_test_echofakefakefakefakeecho"
const echoing = (shape: "nested" | "flat") => {
  const error = {
    error: `${leaked} ${manager}`,
    error_code: `E_ApiResponseCodes.${leaked}`,
    field_validation_errors: [
      { fieldname: leaked, message: manager },
      { fieldname: "id", message: leaked }
    ],
    [leaked]: manager
  }
  return JSON.stringify(shape === "nested" ? { request_id: leaked, data: error } : { request_id: leaked, ...error })
}
const odd = JSON.stringify({
  [leaked]: 1,
  data: [
    { api_key: `${leaked}*`, username: leaked, custom_ratelimit_period: leaked, ippool: leaked, [leaked]: leaked },
    { api_key: leaked, username: manager, endpoints: [{ [leaked]: leaked }] },
    leaked
  ]
})

const faults: Record<string, HttpFaults.Fault | undefined> = {
  "nothing goes wrong": undefined,
  "the reply is lost": "resetAfterCommit",
  "the reply is cut off": "truncatedBody",
  "the reply is empty": "emptyBody",
  "200 with secrets for an error": { status: 200, body: echoing("nested") },
  "200 with secrets where they do not belong": { status: 200, body: odd },
  "200 that is no JSON": { status: 200, body: `<html>${leaked} "api_key":"${manager}"` },
  "400 with secrets for an error": { status: 400, body: echoing("nested") },
  "400 with secrets for an error, flat": { status: 400, body: echoing("flat") },
  "402 with secrets for an error": { status: 402, body: echoing("flat") },
  "403 with secrets for an error": { status: 403, body: echoing("nested") },
  "404 with secrets for an error": { status: 404, body: echoing("nested") },
  "500 with secrets for an error": { status: 500, body: echoing("flat") },
  "a redirect to a secret": { status: 302, headers: { location: `https://x.example/${leaked}` } },
  "429": { status: 429, headers: { "retry-after": "300", "x-token": leaked }, body: echoing("nested") }
}

const bound = MailerPatch.layer({
  apiKey: Redacted.make(manager),
  defaults: { rate: "unlimited" },
  retry: { base: 0, times: 1 }
}).pipe(
  Layer.provideMerge(HttpFaults.layer),
  Layer.provideMerge(MailerPatchSandbox.layerClient({ credential: manager }))
)

describe("no secret is seen", () => {
  for (const [verb, call] of Object.entries(verbs)) {
    for (const [what, fault] of Object.entries(faults)) {
      for (const masked of fault === undefined ? [true, false] : [true]) {
        it.effect(`${verb}, ${what}${masked ? "" : ", and the vendor masks nothing"}`, () =>
          Effect.gen(function* () {
            const witness = Witness.make(inspect)
            const urls: Array<string> = []
            const exit = yield* Effect.gen(function* () {
              const keys = yield* ApiKeyService
              const http = yield* HttpFaults.HttpFaults
              const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
              yield* sandbox.setHabits({ masked })
              const { ref } = yield* keys.create({ name: "acme" })
              if (fault !== undefined) yield* http.inject(fault, { times: 10 })
              const exit = yield* Effect.exit(
                call(keys, ref, yield* MailerPatch.MailerPatchClient).pipe(Effect.withSpan("the caller's"))
              )
              urls.push(...(yield* http.attempts).map(({ url }) => url))
              return exit
            }).pipe(Effect.provide(bound), Effect.provide(witness.layer))
            const found = [...urls, ...witness.seen(exit, yield* Metric.snapshot)].filter((text) => secret.test(text))
            assert.deepStrictEqual(found, [])
            assert.isAbove(witness.spans.length, 1, "the spans were recorded")
            assert.isAbove(urls.length, 0, "the requests were seen")
          }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
        )
      }
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
          yield* http.inject("resetAfterCommit", { url: "/add" })
          return yield* Effect.exit(prepared(keys, of === "create" ? undefined : ref))
        }).pipe(Effect.provide(bound), Effect.provide(witness.layer))
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
      const planted = (where: string) => `api-api_test_planted_${where}`
      const exit = yield* Effect.log(planted("log")).pipe(
        Effect.andThen(Effect.fail({ key: planted("error") })),
        Effect.withSpan("span", { attributes: { key: planted("span") } }),
        Effect.exit,
        Effect.provide(witness.layer)
      )
      const found = witness
        .seen(exit, [{ key: planted("metric") }])
        .filter((text) => secret.test(text))
        .join("\n")
      for (const where of ["log", "error", "span", "metric"]) assert.include(found, planted(where))
      for (const one of [manager, leaked, "api-api_test_001fakefakefakefakef001"]) assert.match(one, secret)
      assert.notMatch("api-api_test_001", secret, "a username may be seen")
    })
  )
})
