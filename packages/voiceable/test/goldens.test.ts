import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, type ReasonTag } from "@effect-api-keys/core"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as VoiceableClient from "../src/VoiceableClient.ts"
import type * as Wire from "../src/VoiceableSchema.ts"
import { CREDENTIAL, type VendorExample, vendorExamples } from "./vendorExamples.ts"

/** What the client must make of each documented error. */
const reasons: Record<string, ReasonTag> = {
  "update 401": "AuthenticationFailed",
  "update 404": "KeyNotFound",
  "update 422": "InvalidRequest",
  "get 401": "AuthenticationFailed",
  "get 404": "KeyNotFound"
}

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

/** The page's request in the client's words: what the envelope holds, in camel case. */
const inOurWords = (request: unknown): unknown => {
  assert(Predicate.isReadonlyObject(request) && Predicate.isReadonlyObject(request.api_key))
  return Object.fromEntries(
    Object.entries(request.api_key).map(([field, value]) => [
      field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value
    ])
  )
}

const idOf = ({ path }: VendorExample): string => path.replace("/api/v1/api_keys/", "")

/** The call of the client that says what the example's request says; the page's values are of the types they need. */
const callFor = (
  client: VoiceableClient.VoiceableClient["Service"],
  example: VendorExample
): Effect.Effect<ReadonlyArray<Wire.VoiceableKey> | "no more", ApiKeyError> => {
  const one = Effect.map((key: Wire.VoiceableKey) => [key])
  switch (example.operation) {
    case "create": {
      const asked = inOurWords(example.request) as (typeof Wire.CreateRequest.Type)["apiKey"]
      return one(Effect.flatMap(client.create(asked), ({ send }) => send))
    }
    case "update": {
      const changes = inOurWords(example.request) as (typeof Wire.UpdateRequest.Type)["apiKey"]
      return one(client.update(idOf(example), unsayable(example) ? { name: "a name" } : changes))
    }
    case "get":
      return one(client.get(idOf(example)))
    case "list":
      return client.list
    case "delete":
      return Effect.as(client.delete(idOf(example)), "no more")
  }
}

/** 422: the client refuses it before it is sent, so that a plain request leads to the reply. */
const unsayable = (example: VendorExample): boolean => example.status === 422

/** What the client must read from the reply, by the vendor's own names; an empty secret is none. */
const asShown = (key: unknown): Record<string, unknown> => {
  assert(Predicate.isReadonlyObject(key))
  const { user_email: _, user_id: __, ...row } = key
  return row
}

const asRead = (key: Wire.VoiceableKey): Record<string, unknown> => {
  const date = (value: Option.Option<DateTime.Utc>) =>
    Option.getOrUndefined(Option.map(value, (utc) => DateTime.formatIso(utc).replace(".000Z", "Z")))
  return {
    id: Number(Option.getOrUndefined(key.id)),
    key_type: Option.getOrUndefined(key.keyType),
    name: Option.getOrUndefined(key.name),
    key_value: Option.getOrNull(Option.map(key.keyValue, Redacted.value)),
    allowed_origins: Option.getOrUndefined(key.allowedOrigins),
    allowed_assistants: Option.getOrUndefined(key.allowedAssistants),
    transient_assistant: Option.getOrUndefined(key.transientAssistant),
    created_at: date(key.createdAt),
    updated_at: date(key.updatedAt)
  }
}

describe("the vendor's examples, as the client sends and reads them", () => {
  for (const example of vendorExamples) {
    it.effect(`${example.operation}: ${example.name}`, () =>
      Effect.gen(function* () {
        const { layer, sent } = recorder(example)
        const exit = yield* Effect.gen(function* () {
          const client = yield* VoiceableClient.make({
            apiKey: Redacted.make(CREDENTIAL),
            baseUrl: "https://api.example.com/api/v1",
            retry: false
          })
          return yield* Effect.exit(callFor(client, example))
        }).pipe(Effect.provide(layer))

        const [first, ...others] = sent
        assert(first !== undefined && others.length === 0, "exactly one request")
        const { request } = first
        assert.strictEqual(request.method, example.method)
        assert.strictEqual(request.url, `https://api.example.com${example.path}`)
        assert.deepStrictEqual(request.urlParams.params, [])
        assert.strictEqual(request.headers["x-api-key"], CREDENTIAL)
        assert.isUndefined(request.headers.authorization)
        assert.strictEqual(request.headers.accept, "application/json")
        if (example.request === undefined) {
          assert.strictEqual(request.body._tag, "Empty")
        } else {
          assert(request.body._tag === "Uint8Array")
          assert.match(request.body.contentType, /^application\/json/)
          if (!unsayable(example)) assert.deepStrictEqual(first.body, example.request)
        }

        const { response } = example
        assert(Predicate.isReadonlyObject(response))
        if (example.status < 300) {
          assert(Exit.isSuccess(exit))
          if (example.operation === "delete") return assert.strictEqual(exit.value, "no more")
          const shown = Array.isArray(response.data) ? response.data : [response.data]
          assert(!Predicate.isString(exit.value))
          assert.deepStrictEqual(exit.value.map(asRead), shown.map(asShown))
        } else {
          const error = yield* Effect.flip(exit)
          assert(error instanceof ApiKeyError)
          assert.strictEqual(error.reason._tag, reasons[`${example.operation} ${example.status}`])
          assert.deepStrictEqual(error.http, {
            method: example.method,
            path: "/api_keys/:id",
            status: example.status
          })
          assert.notInclude(JSON.stringify(error), String(response.error), "the vendor's text")
          if (error.reason._tag === "InvalidRequest") {
            assert.deepStrictEqual(
              error.reason.issues.map(({ path }) => path),
              [["name"]]
            )
          }
        }
      })
    )
  }

  it("cover every documented status, and every operation", () => {
    const documented = vendorExamples
      .filter(({ status }) => status >= 300)
      .map(({ operation, status }) => `${operation} ${status}`)
    assert.deepStrictEqual(new Set(documented), new Set(Object.keys(reasons)))
    assert.deepStrictEqual(
      new Set(vendorExamples.filter(({ status }) => status < 300).map(({ operation }) => operation)),
      new Set(["list", "get", "create", "update", "delete"])
    )
  })
})
