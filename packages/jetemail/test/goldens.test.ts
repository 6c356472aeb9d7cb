import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, type ReasonTag } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as JetEmailClient from "../src/JetEmailClient.ts"
import type * as Wire from "../src/JetEmailSchema.ts"
import { TOKEN, type VendorExample, vendorExamples } from "./vendorExamples.ts"

/** What the client must make of each documented error. */
const reasons: Record<string, ReasonTag> = {
  "create 400": "InvalidRequest",
  "create 401": "AuthenticationFailed",
  "create 403": "KeyLimitReached",
  "create 500": "OutcomeUnknown",
  "update 400": "InvalidRequest",
  "update 401": "AuthenticationFailed",
  "update 404": "KeyNotFound",
  "update 500": "ProviderUnavailable",
  "rotate 400": "InvalidRequest",
  "rotate 401": "AuthenticationFailed",
  "rotate 403": "InvalidKeyState",
  "rotate 404": "KeyNotFound",
  "rotate 500": "OutcomeUnknown"
}

const kindOf = (example: VendorExample) =>
  example.method === "PATCH" ? "update" : example.path.endsWith("/rotate") ? "rotate" : "create"

/** A vendor that records what comes and answers as the page says. */
const recorder = (example: VendorExample) => {
  const sent: Array<{ readonly request: HttpClientRequest.HttpClientRequest; readonly body: unknown }> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      const { body } = request
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "null"
      sent.push({ request, body: JSON.parse(text) })
      return HttpClientResponse.fromWeb(
        request,
        new Response(JSON.stringify(example.response), { status: example.status })
      )
    })
  )
  return { sent, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

/** The call of the client that says what the example's request says. */
const callFor = (
  client: JetEmailClient.JetEmailClient["Service"],
  { request, ...example }: VendorExample
): Effect.Effect<typeof Wire.TokenReply.Type | undefined, ApiKeyError> => {
  assert(Predicate.isObject(request))
  const { api_token, ...fields } = request
  const token = Redacted.make(Predicate.isString(api_token) ? api_token : TOKEN)
  switch (kindOf({ request, ...example })) {
    case "create":
      return Effect.flatMap(
        // The page's own values; where it shows a request that no type admits, a plain one that leads to the reply.
        client.create(("name" in fields ? fields : { name: "Development API Key" }) as typeof Wire.CreateRequest.Type),
        ({ send }) => send
      )
    case "rotate":
      return Effect.flatMap(client.rotate({ token }), ({ send }) => send)
    case "update":
      if (fields.status === 0 || fields.status === 1)
        return Effect.as(client.setStatus({ token, status: fields.status }), undefined)
      return Effect.as(
        client.update(
          (example.status === 400 ? { token, name: "a name" } : { token, ...fields }) as typeof Wire.UpdateRequest.Type
        ),
        undefined
      )
  }
}

/** Requests of the pages that our types cannot say, each for a reason. */
const unsayable = (example: VendorExample): boolean =>
  // 400: the client refuses it before it is sent. `status` beside other fields: the vendor would ignore those.
  example.status === 400 || (example.name === "properties" && kindOf(example) === "update")

describe("the vendor's examples, as the client sends and reads them", () => {
  for (const example of vendorExamples) {
    it.effect(`${example.page}: ${example.name}`, () =>
      Effect.gen(function* () {
        const { layer, sent } = recorder(example)
        const exit = yield* Effect.gen(function* () {
          const client = yield* JetEmailClient.make({ apiKey: Redacted.make("api_test_manager"), retry: false })
          return yield* Effect.exit(callFor(client, example))
        }).pipe(Effect.provide(layer))

        const [first, ...others] = sent
        assert(first !== undefined && others.length === 0, "exactly one request")
        assert.strictEqual(first.request.method, example.method)
        assert.strictEqual(first.request.url, `https://api.jetemail.com${example.path}`)
        assert.strictEqual(first.request.headers.authorization, "Bearer api_test_manager")
        assert(first.request.body._tag === "Uint8Array")
        assert.match(first.request.body.contentType, /^application\/json/)
        if (!unsayable(example)) assert.deepStrictEqual(first.body, example.request)

        if (example.status === 200) {
          assert(Exit.isSuccess(exit))
          if ("api_token" in example.response) {
            assert(exit.value !== undefined, "a token")
            assert.strictEqual(Redacted.value(exit.value.token), example.response.api_token)
          }
        } else {
          const error = yield* Effect.flip(exit)
          assert(error instanceof ApiKeyError)
          assert.strictEqual(error.reason._tag, reasons[`${kindOf(example)} ${example.status}`])
          assert.deepStrictEqual(error.http, { method: example.method, path: example.path, status: example.status })
          assert.notInclude(JSON.stringify(error), String(example.response.error), "the vendor's text")
        }
      })
    )
  }

  it("cover every documented status", () => {
    const documented = vendorExamples.filter(({ status }) => status !== 200).map((e) => `${kindOf(e)} ${e.status}`)
    assert.deepStrictEqual(new Set(documented), new Set(Object.keys(reasons)))
  })
})
