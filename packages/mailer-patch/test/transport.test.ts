import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, KeySpec } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const MANAGER = "api-api_test_manager0000000000000000"
const SECRET = "api-api_test_00000000000000000000000"
const spec: KeySpec = { name: "acme" }

interface Seen {
  readonly line: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}
type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A server on loopback that answers as it is told, and remembers what it was asked for. */
const serve = (answer: Answer) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly baseUrl: string; readonly seen: Array<Seen>; readonly stop: Effect.Effect<void> }>(
      (resume) => {
        const seen: Array<Seen> = []
        const server = createServer((request, response) => {
          let body = ""
          request.setEncoding("utf8")
          request.on("data", (chunk) => {
            body += chunk
          })
          request.on("end", () => {
            seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body })
            answer(request, response)
          })
        })
        const stop = Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ baseUrl: `http://127.0.0.1:${port}/v3`, seen, stop }))
        })
      }
    ),
    ({ stop }) => stop
  )

const json = (response: ServerResponse, body: unknown, status = 200) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layerNodeHttp]
]

for (const [name, client] of clients) {
  const withKeys = <A, E>(baseUrl: string, use: (keys: ApiKeyService["Service"]) => Effect.Effect<A, E>) =>
    Effect.flatMap(ApiKeyService, use).pipe(
      Effect.provide(
        MailerPatch.layer({
          apiKey: Redacted.make(MANAGER),
          baseUrl,
          defaults: { rate: "unlimited" },
          retry: false
        }).pipe(Layer.provide(client))
      )
    )

  const reason = <A>(effect: Effect.Effect<A, ApiKeyError>) => Effect.map(Effect.flip(effect), (error) => error.reason)
  const refIn = (keys: ApiKeyService["Service"]) => keys.ref(Redacted.make(SECRET))

  describe(`over a real socket, by ${name}`, () => {
    for (const status of [301, 302, 303, 307, 308]) {
      it.effect(`a ${status} is not followed`, () =>
        Effect.gen(function* () {
          const { baseUrl, seen } = yield* serve((_request, response) => {
            response.writeHead(status, { location: "/elsewhere" }).end()
          })
          const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
          assert.strictEqual(created._tag, "OutcomeUnknown")
          const disabled = yield* withKeys(baseUrl, (keys) => reason(keys.disable(refIn(keys))))
          assert(disabled._tag === "UnexpectedResponse" && disabled.problem === "redirect")
          const deleted = yield* withKeys(baseUrl, (keys) => reason(keys.delete(refIn(keys))))
          // A removal may well answer so: it is the read afterwards that says nothing.
          assert(deleted._tag === "UnexpectedResponse" && deleted.problem === "redirect")
          assert.deepStrictEqual(
            seen.map(({ line }) => line),
            ["POST /v3/api_keys/add", "PATCH /v3/api_keys/edit", "POST /v3/api_keys/remove", "POST /v3/api_keys/view"]
          )
        })
      )
    }

    it.effect("a refused connection is provably not sent, on a mint too", () =>
      Effect.gen(function* () {
        const { baseUrl, stop } = yield* serve(() => {})
        yield* stop
        const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
        assert(created._tag === "ProviderUnavailable" && !created.sent, created._tag)
      })
    )

    it.effect("a connection that breaks after the request is OutcomeUnknown on a mint, and sent once", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((_request, response) => {
          response.destroy()
        })
        const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
        assert(created._tag === "OutcomeUnknown" && created.problem === "transport", created._tag)
        assert.strictEqual(seen.length, 1)
        const patched = yield* withKeys(baseUrl, (keys) => reason(keys.patch(refIn(keys), { name: "acme 2" })))
        assert(patched._tag === "ProviderUnavailable" && patched.sent, patched._tag)
      })
    )

    it.effect("a body that breaks off is OutcomeUnknown on a mint, and a failure on a read", () =>
      Effect.gen(function* () {
        const { baseUrl } = yield* serve((_request, response) => {
          response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
          response.write(`{"request_id":"1","data":[{"api_key":"${SECRET}","descr`, () => response.destroy())
        })
        const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
        assert.strictEqual(created._tag, "OutcomeUnknown")
        const read = yield* withKeys(baseUrl, (keys) => reason(keys.get(refIn(keys))))
        assert.strictEqual(read._tag, "ProviderUnavailable")
      })
    )

    it.effect("a reply without end is given up on at its limit", () =>
      Effect.gen(function* () {
        let written = 0
        const { baseUrl } = yield* serve((_request, response) => {
          const chunk = "x".repeat(1 << 20)
          const write = () => {
            if (response.destroyed) return
            written++
            response.write(chunk, write)
          }
          write()
        })
        const read = yield* withKeys(baseUrl, (keys) => reason(keys.get(refIn(keys))))
        assert(read._tag === "UnexpectedResponse" && read.problem === "size", read._tag)
        assert.isBelow(written, 200, "the reply was read on and on")
      })
    )

    it.effect("a removal with whatever body, of whatever framing, is looked after", () =>
      Effect.gen(function* () {
        for (const finish of [
          (response: ServerResponse) => response.writeHead(200).end(),
          (response: ServerResponse) => response.writeHead(200, { "content-length": "0" }).end(),
          (response: ServerResponse) => response.writeHead(204).end(),
          (response: ServerResponse) => response.writeHead(200, { "content-type": "text/plain" }).end("Removed"),
          (response: ServerResponse) => json(response, { request_id: "1", data: { success: true } }),
          (response: ServerResponse) => response.writeHead(302, { location: "/elsewhere" }).end()
        ]) {
          const { baseUrl, seen } = yield* serve((request, response) => {
            if (request.url?.endsWith("/remove") === true) finish(response)
            else json(response, { request_id: "1", data: [] })
          })
          yield* withKeys(baseUrl, (keys) => keys.delete(refIn(keys)))
          assert.deepStrictEqual(
            seen.map(({ body, line }) => `${line} ${body}`),
            [`POST /v3/api_keys/remove {"id":"${SECRET}"}`, `POST /v3/api_keys/view {"id":"${SECRET}"}`]
          )
        }
      })
    )

    it.effect("a PATCH with its body, and the vendor's error in the reply", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((_request, response) => {
          const error = { error: "no", error_code: "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED" }
          json(response, { request_id: "1", data: error }, 400)
        })
        const patched = yield* withKeys(baseUrl, (keys) => reason(keys.patch(refIn(keys), { name: "É😀" })))
        assert.strictEqual(patched._tag, "PermissionDenied")
        const [request] = seen
        assert.strictEqual(request?.line, "PATCH /v3/api_keys/edit")
        assert.match(request?.headers["content-type"] ?? "", /^application\/json/)
        assert.deepStrictEqual(JSON.parse(request?.body ?? ""), { id: SECRET, description: "É😀" })
      })
    )

    it.effect("the credential goes out in its header, no key in a URL, and nothing of a trace", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((_request, response) => {
          json(response, { request_id: "1", data: [{ api_key: SECRET, status: "allowed" }] })
        })
        yield* withKeys(baseUrl, (keys) =>
          Effect.all([
            Effect.exit(keys.get(refIn(keys))),
            Effect.exit(keys.enable(refIn(keys))),
            Effect.exit(keys.delete(refIn(keys)))
          ])
        ).pipe(Effect.withSpan("the caller's own"))
        assert.deepStrictEqual(
          seen.map(({ line }) => line.split("/").at(-1)),
          ["view", "edit", "remove", "view"]
        )
        for (const { body, headers, line } of seen) {
          assert.strictEqual(headers["x-smtp2go-api-key"], MANAGER)
          assert.isUndefined(headers.authorization)
          assert.isUndefined(headers.cookie)
          assert.isUndefined(headers.traceparent)
          assert.isUndefined(headers.b3)
          assert.notInclude(line, "api_test")
          assert.notInclude(body, MANAGER)
        }
      })
    )
  })
}
