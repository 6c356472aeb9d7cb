import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Telemetry from "../src/telemetry.ts"
import { at, credentials, environment, type Name, names } from "./support.ts"

interface Post {
  readonly path: string
  readonly body: string
}

/** A collector on loopback: takes every post, and remembers its path, headers and bytes. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly posts: ReadonlyArray<Post>; readonly close: () => void }>(
    (resume) => {
      const posts: Array<Post> = []
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          posts.push({ path: request.url ?? "", body: Buffer.concat(chunks).toString("utf8") })
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        // A server that listens on TCP has an address of this form.
        const { port } = server.address() as AddressInfo
        const close = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, posts, close }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const Value = Schema.Struct({ stringValue: Schema.optionalKey(Schema.String) })
const Span = Schema.Struct({
  name: Schema.String,
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optionalKey(Schema.String),
  attributes: Schema.Array(Schema.Struct({ key: Schema.String, value: Value }))
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({ scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })) }))
})
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Traces))

const spansOf = (posts: ReadonlyArray<Post>) =>
  posts
    .filter(({ path }) => path === "/v1/traces")
    .flatMap(({ body }) => decode(body).resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    .map(({ attributes, ...span }) => ({
      ...span,
      attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue]))
    }))

/** A key's life, and a call that fails; gives all that must not be seen anywhere. */
const program = Effect.fnUntraced(function* (vendor: Name) {
  const keys = yield* ApiKeyService.can("create", "revoke", "get")
  const http = yield* HttpFaults.HttpFaults
  const first = yield* keys.create({ name: "acme" }, { deliver: () => Effect.logInfo("delivered") })
  const second = yield* Telemetry.replaceKey(first, () => Effect.void)
  yield* http.inject({ status: 422, body: Redacted.value(second.secret) }, { times: 9 })
  const error = yield* Effect.flip(keys.get(second.ref))
  yield* Effect.logError("failed", error)
  yield* http.clear
  yield* keys.revoke(second.ref)
  const secrets = [first.secret, second.secret, Redacted.make(credentials[credentialOf[vendor]])]
  return { first, second, secrets: secrets.map((secret) => Redacted.value(secret)) }
})

const credentialOf = {
  jetemail: "JETEMAIL_API_KEY",
  smtp2go: "SMTP2GO_API_KEY",
  voiceable: "VOICEABLE_API_KEY"
} as const

/** Nothing on the console; the exporter adds itself. */
const quiet = Logger.layer([])

const otlp = (url: string) =>
  environment({
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_METRICS_EXPORTER: "otlp",
    OTEL_LOGS_EXPORTER: "otlp",
    // Milliseconds that the end of the program waits for a collector that does not answer.
    OTEL_EXPORTER_OTLP_TIMEOUT: "500"
  })

describe("telemetry, exported to a collector", () => {
  for (const vendor of names) {
    it.live(`${vendor}: spans arrive with provider and handle, and no secret is in any byte that was sent`, () =>
      Effect.gen(function* () {
        const { posts, url } = yield* collector
        // The layer is closed here, which exports what is left.
        const { first, second, secrets } = yield* program(vendor).pipe(
          Effect.provide(at(vendor)),
          Effect.provide(Telemetry.layer.pipe(Layer.provide(otlp(url))))
        )
        const spans = spansOf(posts)
        const named = (name: string) => spans.filter((span) => span.name === name)

        const [create] = named("ApiKeyService.create")
        assert.strictEqual(create?.attributes["api_key.provider"], vendor)
        assert.strictEqual(create?.attributes["api_key.account"], "default")

        const [replace] = named("replaceKey")
        const [rotate] = named("ApiKeyService.rotate")
        assert.strictEqual(rotate?.attributes["api_key.handle"], first.handle)
        assert.strictEqual(rotate?.parentSpanId, replace?.spanId)
        assert.strictEqual(replace?.attributes.old, first.handle)

        const [get] = named("ApiKeyService.get")
        assert.strictEqual(get?.attributes["api_key.handle"], second.handle)
        const [revoke] = named("ApiKeyService.revoke")
        assert.strictEqual(revoke?.attributes["api_key.handle"], second.handle)

        const all = posts.map(({ body }) => body).join("\n")
        assert.deepStrictEqual([...new Set(posts.map(({ path }) => path))].sort(), [
          "/v1/logs",
          "/v1/metrics",
          "/v1/traces"
        ])
        assert.include(all, "effect_api_keys_operations")
        assert.include(all, second.handle)
        for (const secret of secrets) assert.notInclude(all, secret)
      }).pipe(Effect.scoped, Effect.provide(quiet))
    )
  }

  it.live("without the variables nothing is exported, and the program runs all the same", () =>
    Effect.gen(function* () {
      const { posts } = yield* collector
      yield* program("jetemail").pipe(
        Effect.provide(at("jetemail")),
        Effect.provide(Telemetry.layer.pipe(Layer.provide(environment({}))))
      )
      assert.deepStrictEqual(posts, [])
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )

  it.live("a collector that is down does not keep the program from its end", () =>
    Effect.gen(function* () {
      const { close, url } = yield* collector
      close()
      const { second } = yield* program("jetemail").pipe(
        Effect.provide(at("jetemail")),
        Effect.provide(Telemetry.layer.pipe(Layer.provide(otlp(url))))
      )
      assert.strictEqual(second.ref.provider, "jetemail")
    }).pipe(Effect.scoped, Effect.provide(quiet))
  )
})
