import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, KeyRef, KeySpec } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const spec: KeySpec = { name: "acme" }
const refOf = (keys: ApiKeyService["Service"]): KeyRef => keys.ref(Redacted.make("2"))

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A server on loopback that answers as it is told, and remembers what it was asked for. */
const serve = (answer: Answer) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly baseUrl: string; readonly seen: Array<string>; readonly stop: Effect.Effect<void> }>(
      (resume) => {
        const seen: Array<string> = []
        const server = createServer((request, response) => {
          seen.push(`${request.method} ${request.url}`)
          request.resume()
          request.on("end", () => answer(request, response))
        })
        const stop = Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ baseUrl: `http://127.0.0.1:${port}/api/v1`, seen, stop }))
        })
      }
    ),
    ({ stop }) => stop
  )

const notFound = `{"status":{"code":404,"message":"Not Found"},"error":"API key not found"}`
const there = `{"status":{"code":200,"message":"ok"},"data":{"id":2}}`

const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layerNodeHttp]
]

for (const [name, client] of clients) {
  const adapter = (apiKey: Redacted.Redacted<string>, baseUrl: string) =>
    Voiceable.layer({
      apiKey,
      baseUrl,
      defaults: { origins: "any", resources: "any", keyType: "private" },
      retry: false
    }).pipe(Layer.provide(client))

  const withKeys = <A, E>(baseUrl: string, use: (keys: ApiKeyService["Service"]) => Effect.Effect<A, E>) =>
    Effect.flatMap(ApiKeyService, use).pipe(Effect.provide(adapter(Redacted.make("api_test_manager"), baseUrl)))

  const reason = <A>(effect: Effect.Effect<A, ApiKeyError>) => Effect.map(Effect.flip(effect), (error) => error.reason)

  describe(`over a real socket, by ${name}`, () => {
    for (const status of [301, 302, 303, 307, 308]) {
      it.effect(`a ${status} is not followed`, () =>
        Effect.gen(function* () {
          const { baseUrl, seen } = yield* serve((request, response) => {
            // A patch reads the key first.
            if (request.method === "GET" && request.url === "/api/v1/api_keys/2") {
              response.writeHead(200, { "content-type": "application/json" }).end(there)
            } else response.writeHead(status, { location: "/elsewhere" }).end()
          })
          const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
          assert.strictEqual(created._tag, "OutcomeUnknown")
          const patched = yield* withKeys(baseUrl, (keys) => reason(keys.patch(refOf(keys), { name: "b" })))
          assert(patched._tag === "UnexpectedResponse" && patched.problem === "redirect")
          const listed = yield* withKeys(baseUrl, (keys) => reason(Stream.runCollect(keys.list())))
          assert(listed._tag === "UnexpectedResponse" && listed.problem === "redirect")
          const read = yield* withKeys(baseUrl, (keys) => reason(keys.get(keys.ref(Redacted.make("3")))))
          assert(read._tag === "UnexpectedResponse" && read.problem === "redirect")
          assert.deepStrictEqual(seen, [
            "POST /api/v1/api_keys",
            "GET /api/v1/api_keys/2",
            "PUT /api/v1/api_keys/2",
            "GET /api/v1/api_keys",
            "GET /api/v1/api_keys/3"
          ])
        })
      )

      it.effect(`a ${status} after a deletion is not followed: the key is looked for, and is gone`, () =>
        Effect.gen(function* () {
          const { baseUrl, seen } = yield* serve((request, response) => {
            if (request.method === "DELETE") response.writeHead(status, { location: "/api/v1/api_keys" }).end()
            else response.writeHead(404, { "content-type": "application/json" }).end(notFound)
          })
          assert.strictEqual(yield* withKeys(baseUrl, (keys) => keys.revoke(refOf(keys))), "deleted")
          assert.deepStrictEqual(seen, ["DELETE /api/v1/api_keys/2", "GET /api/v1/api_keys/2"])
        })
      )

      it.effect(`a ${status} in place of a deletion is not followed: the key is looked for, and is there`, () =>
        Effect.gen(function* () {
          const { baseUrl, seen } = yield* serve((request, response) => {
            if (request.method === "DELETE") response.writeHead(status, { location: "/login" }).end()
            else response.writeHead(200, { "content-type": "application/json" }).end(there)
          })
          const revoked = yield* withKeys(baseUrl, (keys) => reason(keys.revoke(refOf(keys))))
          assert.strictEqual(revoked._tag, "UnexpectedResponse")
          assert.deepStrictEqual(seen, ["DELETE /api/v1/api_keys/2", "GET /api/v1/api_keys/2"])
        })
      )
    }

    it.effect("a server that answers with the request gives away no credential for a key, and nothing is deleted", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((request, response) => {
          const { headers, method, url } = request
          const echo = { method, url, headers, id: 2, key_value: headers["x-api-key"], name: "acme" }
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(echo))
        })
        const apiKey = Redacted.make("api_test_voiceable_manager")
        const created = yield* Effect.flatMap(ApiKeyService, (keys) => reason(keys.create(spec))).pipe(
          Effect.provide(adapter(apiKey, baseUrl))
        )
        assert(created._tag === "OutcomeUnknown" && created.problem === "reply", created._tag)
        assert.deepStrictEqual(seen, ["POST /api/v1/api_keys"])
      })
    )

    it.effect("a 204 without a body after a deletion: the key is looked for, and is gone", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((request, response) => {
          if (request.method === "DELETE") response.writeHead(204).end()
          else response.writeHead(404, { "content-type": "application/json" }).end(notFound)
        })
        yield* withKeys(baseUrl, (keys) => keys.delete(refOf(keys)))
        assert.deepStrictEqual(seen, ["DELETE /api/v1/api_keys/2", "GET /api/v1/api_keys/2"])
      })
    )

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
      })
    )

    it.effect("a body that breaks off is OutcomeUnknown on a mint, and a failure on a read and a deletion", () =>
      Effect.gen(function* () {
        const { baseUrl, seen } = yield* serve((_request, response) => {
          response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
          response.write(`{"status":{"code":200},"data":{"id":2,"key_value":"api_test_cut`, () => response.destroy())
        })
        const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
        assert.strictEqual(created._tag, "OutcomeUnknown")
        const read = yield* withKeys(baseUrl, (keys) => reason(keys.get(refOf(keys))))
        assert.strictEqual(read._tag, "ProviderUnavailable")
        const deleted = yield* withKeys(baseUrl, (keys) => reason(keys.delete(refOf(keys))))
        assert.strictEqual(deleted._tag, "ProviderUnavailable")
        assert.lengthOf(seen, 3)
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
        const read = yield* withKeys(baseUrl, (keys) => reason(keys.get(refOf(keys))))
        assert(read._tag === "UnexpectedResponse" && read.problem === "size", read._tag)
        assert.isBelow(written, 200, "the reply was read on and on")
      })
    )

    it.effect("the credential goes out in its header and nothing of a trace does", () =>
      Effect.gen(function* () {
        let headers: IncomingMessage["headers"] = {}
        const { baseUrl } = yield* serve((request, response) => {
          headers = request.headers
          response.end(there)
        })
        yield* withKeys(baseUrl, (keys) => keys.get(refOf(keys))).pipe(Effect.withSpan("the caller's own"))
        assert.strictEqual(headers["x-api-key"], "api_test_manager")
        assert.isUndefined(headers.authorization)
        assert.isUndefined(headers.cookie)
        assert.isUndefined(headers.traceparent)
        assert.isUndefined(headers.b3)
      })
    )

    it.effect("the sandbox's own redirect to the list is no second deletion", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const origin = yield* HttpServer.addressFormattedWith(Effect.succeed)
        yield* sandbox.setDeleteReply(302)
        yield* Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const { ref, secret } = yield* keys.create(spec)
          const { issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
          assert.strictEqual(previous, "retired")
          assert.isFalse(yield* sandbox.isLive(Redacted.value(secret)))
          assert.strictEqual(yield* keys.revoke(issued.ref), "deleted")
          yield* sandbox.setDeleteReply("redirectUndone")
          const other = yield* keys.create(spec)
          assert.strictEqual((yield* reason(keys.revoke(other.ref)))._tag, "UnexpectedResponse")
          assert.isTrue(yield* sandbox.isLive(Redacted.value(other.secret)))
        }).pipe(Effect.provide(adapter(sandbox.credential, `${origin}/api/v1`)))
        const deletions = (yield* sandbox.requests).filter(({ method }) => method === "DELETE")
        assert.deepStrictEqual(
          deletions.map(({ path }) => path),
          ["/api/v1/api_keys/2", "/api/v1/api_keys/3", "/api/v1/api_keys/4"]
        )
        assert.isFalse((yield* sandbox.requests).some(({ path }) => path === "/login"))
      }).pipe(
        Effect.provide(
          VoiceableSandbox.layerServer().pipe(
            Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
          )
        )
      )
    )
  })
}
