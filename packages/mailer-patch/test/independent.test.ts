/**
 * The sandbox, spoken to by others: plain `fetch` with what the vendor's documents show, and the vendor's own client for
 * Node. Neither is this project's adapter.
 */
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Smtp2go from "smtp2go-nodejs"
import { MASKED, SECRET, USERNAME, type VendorExample, vendorExamples } from "./vendorExamples.ts"

const layerLoopback = (options?: MailerPatchSandbox.Options) =>
  MailerPatchSandbox.layerServer(options).pipe(
    Layer.provideMerge(NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" }))
  )

const start = Effect.gen(function* () {
  const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
  const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
  return { sandbox, base: `${address}/v3`, credential: Redacted.value(sandbox.credential) }
})

const at = (value: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (node, name) => (typeof node === "object" && node !== null ? Reflect.get(node, name) : undefined),
    value
  )

const REQUEST_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A key's reply with its key's form instead of the key. */
const withForm = (key: unknown): unknown => {
  const value = at(key, "api_key")
  if (typeof key !== "object" || key === null || typeof value !== "string") return key
  const form = /^api-api_test_\w{23}$/.test(value)
    ? "full"
    : /^api-api_test_\w{3}\*{20}$/.test(value)
      ? "masked"
      : value
  return { ...key, api_key: form }
}

// -----------------------------------------------------------------------------
// fetch
// -----------------------------------------------------------------------------

const fetchJson = (base: string, secret: string, { method, path }: VendorExample, body: unknown) =>
  Effect.promise(async () => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { "X-Smtp2go-Api-Key": secret, "Content-Type": "application/json" },
      body: JSON.stringify(body)
    })
    const text = await response.text()
    const parsed: unknown = JSON.parse(text)
    return { status: response.status, body: parsed }
  })

/** The key that an example acts on. */
const prepare = Effect.fnUntraced(function* (path: string) {
  const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
  if (path === "/api_keys/add") return
  yield* sandbox.addKey({
    secret: SECRET,
    ...(path === "/api_keys/view"
      ? {
          description: "test api key again",
          customRatelimit: true,
          customRatelimitValue: 123,
          customRatelimitPeriod: "0:30:00",
          ipPool: 1234,
          feedbackEnabled: true,
          feedbackHtml: "test_html",
          feedbackText: "test_text"
        }
      : {}),
    endpoints: path === "/api_keys/permissions" ? ["/email/send", "/api_keys/view"] : ["/email/send"]
  })
})

describe("the vendor's examples, by fetch", () => {
  for (const example of vendorExamples) {
    const name = `${example.method} ${example.path}`

    it.effect(`${name} · 200`, () =>
      Effect.gen(function* () {
        const { base, credential, sandbox } = yield* start
        yield* prepare(example.path)
        const secret = example.path === "/api_keys/permissions" ? SECRET : credential
        const reply = yield* fetchJson(base, secret, example, { ...example.request, ...example.also })
        assert.strictEqual(reply.status, 200)
        assert.match(String(at(reply.body, "request_id")), REQUEST_ID)
        const data = at(reply.body, "data")
        if (example.response === undefined) {
          assert.deepStrictEqual(
            (yield* sandbox.keys).map((key) => key.secret),
            [credential]
          )
        } else {
          assert.deepStrictEqual(Object.keys(Object(reply.body)).sort(), Object.keys(example.response).sort())
          assert.isArray(data)
          assert.deepStrictEqual(Array.from(Object(data), withForm), example.response.data.map(withForm))
        }
        const [request] = yield* sandbox.requests
        const url = new URL(`${base}${example.path}`)
        assert.deepStrictEqual([request?.host, request?.url], [url.host, url.href])
        assert.deepStrictEqual(request?.credentials, ["header"])
      }).pipe(Effect.provide(layerLoopback({ fields: "subset" })))
    )

    it.effect(`${name} · request properties alone`, () =>
      Effect.gen(function* () {
        const { base, credential } = yield* start
        yield* prepare(example.path)
        const reply = yield* fetchJson(base, credential, example, example.request)
        assert.strictEqual(reply.status, 200)
      }).pipe(Effect.provide(layerLoopback()))
    )

    const { fields } = example
    if (fields !== undefined) {
      it.effect(`${name} · the schema's fields, in the schema's envelope`, () =>
        Effect.gen(function* () {
          const { base, credential } = yield* start
          yield* prepare(example.path)
          const limit = { custom_ratelimit: true, custom_ratelimit_value: 123 }
          const sent = { ...example.request, ...example.also, ...(example.path === "/api_keys/view" ? {} : limit) }
          const reply = yield* fetchJson(base, credential, example, sent)
          const shown = at(reply.body, "data", 0, "data")
          for (const [field, value] of Object.entries(fields)) {
            if (field === "api_key") {
              assert.strictEqual(at(withForm(shown), "api_key"), at(withForm(fields), "api_key"))
            } else if (field === "username" && example.path === "/api_keys/add") {
              assert.strictEqual(at(shown, "username"), String(at(shown, "api_key")).slice(0, USERNAME.length))
            } else assert.deepStrictEqual(at(shown, field), value, field)
          }
          assert.match(String(at(reply.body, "data", 0, "request_id")), REQUEST_ID)
        }).pipe(Effect.provide(layerLoopback({ envelope: "double", defaultRatelimitValue: 123 })))
      )
    }

    it.effect(`${name} · 400`, () =>
      Effect.gen(function* () {
        const { base, credential, sandbox } = yield* start
        yield* prepare(example.path)
        yield* sandbox.editKey(credential, { endpoints: ["/email/send"] })
        // No key lacks this one endpoint, and still the vendor documents what it says to one that does.
        if (example.path === "/api_keys/permissions") yield* sandbox.failNext(400)
        const before = yield* sandbox.keys
        const reply = yield* fetchJson(base, credential, example, { ...example.request, ...example.also })
        assert.strictEqual(reply.status, 400)
        assert.deepStrictEqual(at(reply.body, "data"), at(example.refusal, "data"))
        assert.deepStrictEqual(Object.keys(Object(reply.body)), Object.keys(Object(example.refusal)))
        assert.deepStrictEqual(yield* sandbox.keys, before)
      }).pipe(Effect.provide(layerLoopback()))
    )
  }

  it("mask a key as the vendor does", () => {
    assert.strictEqual(MASKED, `${USERNAME}${"*".repeat(20)}`)
    assert.isTrue(SECRET.startsWith(USERNAME))
    assert.deepStrictEqual([SECRET.length, MASKED.length], [36, 36])
  })
})

describe("a whole life, by fetch", () => {
  it.effect("with all three ways to show the calling key", () =>
    Effect.gen(function* () {
      const { base, credential, sandbox } = yield* start
      const post = (path: string, body: Record<string, unknown>, headers: Record<string, string>, method = "POST") =>
        Effect.promise(async () => {
          const response = await fetch(`${base}${path}`, {
            method,
            headers: { "Content-Type": "application/json", ...headers },
            body: JSON.stringify(body)
          })
          const parsed: unknown = await response.json()
          return { status: response.status, body: parsed }
        })
      const bearer = { Authorization: `Bearer ${credential}` }
      const added = yield* post("/api_keys/add", { description: "life", status: "blocked" }, bearer)
      const secret = String(at(added.body, "data", 0, "api_key"))
      assert.isFalse(yield* sandbox.isLive(secret))
      yield* post("/api_keys/edit", { id: secret, status: "allowed", api_key: credential }, {}, "PATCH")
      assert.isTrue(yield* sandbox.isLive(secret))
      const found = yield* post("/api_keys/view", { search: "LIFE" }, { "x-smtp2go-api-key": credential })
      assert.strictEqual(at(found.body, "data", 0, "username"), secret.slice(0, 16))
      assert.strictEqual((yield* post("/api_keys/remove", { id: secret }, bearer)).status, 200)
      assert.strictEqual((yield* post("/api_keys/remove", { id: secret }, bearer)).status, 404)
      assert.deepStrictEqual(
        (yield* sandbox.requests).map((request) => [request.credentials.join(), request.status]),
        [
          ["bearer", 200],
          ["body", 200],
          ["header", 200],
          ["bearer", 200],
          ["bearer", 404]
        ]
      )
      assert.notInclude(JSON.stringify(yield* sandbox.requests), credential)
    }).pipe(Effect.provide(layerLoopback()))
  )

  it.effect("with replies that have no JSON", () =>
    Effect.gen(function* () {
      const { base, credential, sandbox } = yield* start
      for (const [removeBody, expected] of [
        ["text", "Removed"],
        ["empty", ""]
      ] as const) {
        yield* sandbox.setHabits({ removeBody })
        const { secret } = yield* sandbox.addKey()
        const reply = yield* Effect.promise(async () => {
          const response = await fetch(`${base}/api_keys/remove`, {
            method: "POST",
            headers: { "X-Smtp2go-Api-Key": credential, "Content-Type": "application/json" },
            body: JSON.stringify({ id: secret })
          })
          return [response.status, await response.text()]
        })
        assert.deepStrictEqual(reply, [200, expected])
      }
    }).pipe(Effect.provide(layerLoopback()))
  )

  it.effect("with a body of more than a megabyte", () =>
    Effect.gen(function* () {
      const { base, credential } = yield* start
      const status = yield* Effect.promise(async () => {
        const response = await fetch(`${base}/api_keys/add`, {
          method: "POST",
          headers: { "X-Smtp2go-Api-Key": credential, "Content-Type": "application/json" },
          body: JSON.stringify({ description: "a".repeat(1_000_001) })
        })
        return response.status
      })
      assert.strictEqual(status, 413)
    }).pipe(Effect.provide(layerLoopback()))
  )
})

// -----------------------------------------------------------------------------
// the vendor's client
// -----------------------------------------------------------------------------

/**
 * A call by the vendor's client for Node: it puts the calling key into the body, answers a reply's body, and where the
 * status says that it failed, the whole reply.
 */
const consume = (
  base: string,
  apiKey: string,
  endpoint: string,
  fields: Readonly<Record<string, string | boolean>> = {},
  method: "POST" | "PATCH" = "POST"
): Effect.Effect<unknown> =>
  Effect.promise(() => {
    const client = new Smtp2go.ApiClient(apiKey)
    client.apiUrl = `${base}/`
    return client.consume(new Smtp2go.Service(endpoint, new Map(Object.entries(fields)), method))
  })

type Api = typeof Smtp2go.default

/** Node has the client's function below the module's own default, as the types say; Vitest lifts it. */
const callable = (given: Api | Api["default"]): Api["default"] => (typeof given === "function" ? given : given.default)

describe("the vendor's client for Node", () => {
  it.effect("makes, finds, changes and removes a key", () =>
    Effect.gen(function* () {
      const { base, credential, sandbox } = yield* start
      const added = yield* consume(base, credential, "api_keys/add", {
        description: "by the SDK",
        archive_enabled: true
      })
      const secret = String(at(added, "data", 0, "api_key"))
      assert.match(secret, /^api-api_test_\w{23}$/)
      assert.isTrue(yield* sandbox.isLive(secret))
      const viewed = yield* consume(base, credential, "api_keys/view", { id: secret })
      assert.strictEqual(at(viewed, "data", 0, "description"), "by the SDK")
      assert.strictEqual(at(viewed, "data", 0, "archive_enabled"), true)
      assert.notInclude(JSON.stringify(viewed), secret)
      const patched = yield* consume(base, credential, "api_keys/edit", { id: secret, status: "blocked" }, "PATCH")
      assert.deepStrictEqual(
        [at(patched, "data", 0, "status"), at(patched, "data", 0, "archive_enabled")],
        ["blocked", true]
      )
      assert.isFalse(yield* sandbox.isLive(secret))
      const edited = yield* consume(base, credential, "api_keys/edit", { id: secret })
      assert.deepStrictEqual(
        [at(edited, "data", 0, "status"), at(edited, "data", 0, "archive_enabled")],
        ["allowed", false]
      )
      assert.match(
        String(at(yield* consume(base, credential, "api_keys/remove", { id: secret }), "request_id")),
        REQUEST_ID
      )
      assert.lengthOf(yield* sandbox.keys, 1)
      const requests = yield* sandbox.requests
      assert.isTrue(requests.every((request) => request.credentials.join() === "body" && request.status === 200))
      assert.notInclude(JSON.stringify(requests), credential)
    }).pipe(Effect.provide(layerLoopback()))
  )

  it.effect("is made and called as its readme shows", () =>
    Effect.gen(function* () {
      const { base, credential } = yield* start
      const api = callable(Smtp2go.default)
      const permissions = yield* Effect.promise(() => {
        const made = api(credential)
        const client = made.client()
        client.apiUrl = `${base}/`
        return client.consume(made.service("api_keys/permissions"))
      })
      assert.deepStrictEqual(at(permissions, "data"), ["*"])
    }).pipe(Effect.provide(layerLoopback()))
  )

  it.effect("is refused as anyone is", () =>
    Effect.gen(function* () {
      const { base, credential, sandbox } = yield* start
      const refused = (reply: unknown) => [at(reply, "status"), at(reply, "data", "data", "error_code")]
      const { secret } = yield* sandbox.addKey()
      assert.deepStrictEqual(refused(yield* consume(base, secret, "api_keys/view")), [
        400,
        "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"
      ])
      assert.deepStrictEqual(refused(yield* consume(base, "api_test_wrong", "api_keys/view")), [
        401,
        "E_ApiResponseCodes.API_EXCEPTION"
      ])
      const wrong = yield* consume(base, credential, "api_keys/add", { status: "off" })
      assert.deepStrictEqual(refused(wrong), [400, "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD"])
      assert.strictEqual(at(wrong, "data", "data", "field_validation_errors", "fieldname"), "status")
      assert.deepStrictEqual(refused(yield* consume(base, credential, "api_keys/patch", { id: secret }, "PATCH")), [
        404,
        "E_ApiResponseCodes.API_EXCEPTION"
      ])
      for (let index = 0; index < 4; index++) yield* consume(base, credential, "api_keys/add")
      assert.deepStrictEqual(refused(yield* consume(base, credential, "api_keys/add")), [
        429,
        "E_ApiResponseCodes.REQ_LIMIT_EXCEEDED"
      ])
    }).pipe(Effect.provide(layerLoopback()))
  )
})
