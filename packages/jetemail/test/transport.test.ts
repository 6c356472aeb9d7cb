import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, KeySpec } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const spec: KeySpec = { name: "acme" }

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
          resume(Effect.succeed({ baseUrl: `http://127.0.0.1:${port}`, seen, stop }))
        })
      }
    ),
    ({ stop }) => stop
  )

const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layerNodeHttp]
]

for (const [name, client] of clients) {
  const withKeys = <A, E>(baseUrl: string, use: (keys: ApiKeyService["Service"]) => Effect.Effect<A, E>) =>
    Effect.flatMap(ApiKeyService, use).pipe(
      Effect.provide(
        JetEmail.layer({
          apiKey: Redacted.make("api_test_manager"),
          baseUrl,
          defaults: { domains: "any", ips: "any", quota: "unlimited" },
          retry: false
        }).pipe(Layer.provide(client))
      )
    )

  const reason = <A>(effect: Effect.Effect<A, ApiKeyError>) => Effect.map(Effect.flip(effect), (error) => error.reason)

  describe(`over a real socket, by ${name}`, () => {
    for (const status of [301, 302, 303, 307, 308]) {
      it.effect(`a ${status} is not followed`, () =>
        Effect.gen(function* () {
          const { baseUrl, seen } = yield* serve((_request, response) => {
            response.writeHead(status, { location: "/elsewhere" }).end()
          })
          const ref = yield* withKeys(baseUrl, (keys) =>
            Effect.succeed(keys.ref(Redacted.make("transactional_api_test")))
          )
          const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
          assert.strictEqual(created._tag, "OutcomeUnknown")
          const disabled = yield* withKeys(baseUrl, (keys) => reason(keys.disable(ref)))
          assert(disabled._tag === "UnexpectedResponse" && disabled.problem === "redirect")
          assert.deepStrictEqual(seen, ["POST /outbound/transactional-keys", "PATCH /outbound/transactional-keys"])
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
      })
    )

    it.effect("a body that breaks off is OutcomeUnknown on a mint, and a failure on a read", () =>
      Effect.gen(function* () {
        const { baseUrl } = yield* serve((_request, response) => {
          response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
          response.write(`{"success":true,"api_token":"transactional_api_test_cut`, () => response.destroy())
        })
        const created = yield* withKeys(baseUrl, (keys) => reason(keys.create(spec)))
        assert.strictEqual(created._tag, "OutcomeUnknown")
        const read = yield* withKeys(baseUrl, (keys) =>
          reason(keys.get(keys.ref(Redacted.make("transactional_api_test"))))
        )
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
        const read = yield* withKeys(baseUrl, (keys) =>
          reason(keys.get(keys.ref(Redacted.make("transactional_api_test"))))
        )
        assert(read._tag === "UnexpectedResponse" && read.problem === "size", read._tag)
        assert.isBelow(written, 200, "the reply was read on and on")
      })
    )

    it.effect("the credential goes out in its header and nothing of a trace does", () =>
      Effect.gen(function* () {
        let headers: IncomingMessage["headers"] = {}
        const { baseUrl } = yield* serve((request, response) => {
          headers = request.headers
          response.end(`{"success":true,"transactionalKeys":[]}`)
        })
        yield* withKeys(baseUrl, (keys) =>
          Effect.exit(keys.get(keys.ref(Redacted.make("transactional_api_test"))))
        ).pipe(Effect.withSpan("the caller's own"))
        assert.strictEqual(headers.authorization, "Bearer api_test_manager")
        assert.isUndefined(headers.traceparent)
        assert.isUndefined(headers.b3)
      })
    )
  })
}
