import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults, HttpSandbox } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { vendorExamples } from "./vendorExamples.ts"

const bound = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
    MailerPatch.layer({ apiKey: credential, defaults: { rate: "unlimited" }, region: "eu" })
  )
).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(MailerPatchSandbox.layerClient()))

const test = <A, E>(name: string, run: Effect.Effect<A, E, Layer.Success<typeof bound>>) =>
  it.effect(name, () => Effect.provide(run, bound))

const said = (error: string, code = "API_EXCEPTION") =>
  JSON.stringify({ request_id: "1", data: { error, error_code: `E_ApiResponseCodes.${code}` } })

const candidate = "api-api_test_candidate00000000000000"

/** Lets time pass until it is answered. */
const verify = (key: string) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(MailerPatch.verify(Redacted.make(key)))
    for (let second = 0; second < 300 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

describe("verify", () => {
  test(
    "asks with the key itself, at the address of the layer, and sends nothing else",
    Effect.gen(function* () {
      const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
      const { secret } = yield* vendor.addKey()
      assert.strictEqual(yield* MailerPatch.verify(Redacted.make(secret)), "accepted")
      const [request, ...more] = yield* vendor.requests
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(
        [request?.method, request?.url, request?.body, request?.credentials],
        ["POST", "https://eu-api.smtp2go.com/v3/api_keys/permissions", {}, ["header"]]
      )
    })
  )

  for (const [what, key, rejected] of [
    ["a key that may do little", { endpoints: ["/email/send"] }, false],
    ["a key in the sandbox state", { status: "sandbox" }, false],
    ["a key that the vendor keeps from sending", { sendingStatus: "blocked" }, false],
    ["a blocked key", { status: "blocked" }, true]
  ] as const) {
    for (const credentialRejection of ["401", "400", "403", "500"] as const) {
      for (const errorShape of ["nested", "flat"] as const) {
        test(
          `${what}: ${rejected ? "rejected" : "accepted"} (${credentialRejection}, ${errorShape})`,
          Effect.gen(function* () {
            const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
            yield* vendor.setHabits({ credentialRejection, errorShape, permissionRejection: "403" })
            const { secret } = yield* vendor.addKey(key)
            assert.strictEqual(yield* verify(secret), rejected ? "rejected" : "accepted")
            yield* vendor.removeKey(secret)
            assert.strictEqual(yield* verify(secret), "rejected", "a key that is gone")
          })
        )
      }
    }
  }

  const unclear: Record<string, HttpFaults.Fault> = {
    "nobody answers": "refused",
    "the connection breaks": "reset",
    "no answer comes": "hang",
    "a reply that is cut off": "truncatedBody",
    "a page": "notJson",
    "an empty body": "emptyBody",
    "an empty object": "emptyObject",
    "200 with an error": { status: 200, body: said("The API key is invalid or disabled") },
    "400 of a narrow but living key": { status: 400, body: said("no permission", "ENDPOINT_PERMISSION_DENIED") },
    "403 of a narrow but living key": { status: 403, body: said("no permission", "ENDPOINT_PERMISSION_DENIED") },
    "400 of a key that may not do this, in other words": {
      status: 400,
      body: said("This API key is not allowed to access this endpoint")
    },
    "403 of a key that may not do this, in other words": {
      status: 403,
      body: said("The API key lacks permission", "INVALID_IN_PAYLOAD")
    },
    "400 of a proxy": { status: 400, body: "<html>" },
    "400 without a word": { status: 400 },
    "400, the generic code alone": { status: 400, body: said("") },
    "400 of a limit": { status: 400, body: said("The API key has reached its limit") },
    "400 of an authentication that is down": {
      status: 400,
      body: said("Authentication is temporarily unavailable")
    },
    "403 of an authentication that is down": { status: 403, body: said("Authentication failed, try again") },
    "401 of a proxy": { status: 401, body: "<html>" },
    "401 of a proxy, in JSON": { status: 401, body: `{"error":"Unauthorized"}` },
    "401 without a word": { status: 401, body: "" },
    "402": { status: 402, body: said("failed") },
    "403 of a proxy": { status: 403, body: "<html>" },
    "403, the generic code alone": { status: 403, body: said("") },
    "404": { status: 404, body: said("no such endpoint") },
    "429": { status: 429, headers: { "retry-after": "60" } },
    "500": { status: 500, body: said("The request failed") },
    "500 of a proxy": { status: 500, body: "<html>" },
    "503": { status: 503 },
    "a redirect": { status: 302, headers: { location: "https://evil.example/" } }
  }
  for (const [what, fault] of Object.entries(unclear)) {
    test(
      `${what}: unclear, of a living key`,
      Effect.gen(function* () {
        const { secret } = yield* (yield* MailerPatchSandbox.MailerPatchSandbox).addKey()
        const http = yield* HttpFaults.HttpFaults
        yield* http.inject(fault, { times: 10 })
        assert.strictEqual(yield* verify(secret), "unclear")
        for (const { url } of yield* http.attempts) assert.notInclude(url, "evil")
      })
    )
  }

  test(
    "what cannot be a credential is not sent, and never is the manager's in its place",
    Effect.gen(function* () {
      const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
      const others = [
        "transactional_api_test_of_another_vendor",
        candidate.slice(0, 16),
        `${candidate.slice(0, 16)}****`
      ]
      for (const key of ["", " ", `${candidate}\n`, `${candidate} `, "käse", ...others]) {
        assert.strictEqual(yield* verify(key), "unclear")
      }
      // From JavaScript.
      for (const key of [undefined, null, candidate]) {
        assert.strictEqual(yield* MailerPatch.verify(key as unknown as Redacted.Redacted<string>), "unclear")
      }
      const wiped = Redacted.make(candidate)
      Redacted.wipeUnsafe(wiped)
      assert.strictEqual(yield* MailerPatch.verify(wiped), "unclear")
      assert.deepStrictEqual(yield* vendor.requests, [])
    })
  )

  test(
    "the manager's own calls are none the worse for it",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      assert.strictEqual(yield* verify(candidate), "rejected")
      yield* keys.create({ name: "acme" })
    })
  )

  test(
    "it waits for the layer's limiter, as every call does",
    Effect.gen(function* () {
      const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
      yield* vendor.lockOut({ seconds: 60 })
      const { secret } = yield* vendor.addKey()
      assert.strictEqual(yield* verify(secret), "unclear")
      const sent = (yield* vendor.requests).length
      assert.strictEqual(yield* verify(secret), "unclear")
      assert.strictEqual((yield* vendor.requests).length, sent, "the vendor said to wait")
    })
  )

  it.effect("the vendor's own example of the reply is accepted", () => {
    const example = vendorExamples.find(({ path }) => path === "/api_keys/permissions")
    assert(example !== undefined)
    const seen: Array<unknown> = []
    const app: HttpSandbox.App = Effect.gen(function* () {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      seen.push(headers["x-smtp2go-api-key"])
      return HttpServerResponse.jsonUnsafe(example.response)
    })
    return Effect.gen(function* () {
      assert.isDefined(example.response)
      assert.strictEqual(yield* MailerPatch.verify(Redacted.make(candidate)), "accepted")
      assert.deepStrictEqual(seen, [candidate])
    }).pipe(
      Effect.provide(
        MailerPatch.layer({
          apiKey: Redacted.make("api-api_test_mgr00000000000000000000000"),
          defaults: { rate: "unlimited" }
        }).pipe(Layer.provide(HttpSandbox.layerClient(app)))
      )
    )
  })
})
