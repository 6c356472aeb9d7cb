import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, ApiKeyService, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { Conformance, HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const spec: KeySpec = { name: "acme", domains: ["acme.example"], ips: ["192.0.2.1", "2001:db8::/32"], quota: 1000 }
const patch: KeyPatch = { name: "acme-2", domains: ["acme.example", "mail.acme.example"], quota: 500 }

const vendor = Layer.effect(
  Conformance.ConformanceVendor,
  Effect.flatMap(JetEmailSandbox.JetEmailSandbox, ({ isLive, keys, setMasked }) =>
    Conformance.httpVendor({
      isLive: (secret) => isLive(Redacted.value(secret)),
      liveKeys: Effect.map(keys, (all) => all.filter((key) => key.status === "active").length),
      targets: {
        create: { method: "POST" },
        rotate: { method: "POST", url: "/rotate" },
        change: { method: "PATCH" },
        remove: { method: "DELETE" },
        read: { method: "GET" }
      },
      mask: setMasked(true)
    })
  )
)

const adapter = (sandbox: JetEmailSandbox.JetEmailSandbox["Service"], baseUrl: string | undefined) =>
  JetEmail.layer({
    apiKey: sandbox.credential,
    baseUrl,
    defaults: { domains: "any", ips: "any", quota: "unlimited" },
    // No delay between repeats: over real HTTP the test's clock stands still.
    retry: { base: 0 }
  })

type Bound = Layer.Layer<ApiKeyService | Conformance.ConformanceVendor, ApiKeyError | ServeError>

const inProcess: Bound = Layer.unwrap(
  Effect.map(JetEmailSandbox.JetEmailSandbox, (sandbox) => adapter(sandbox, undefined))
).pipe(Layer.merge(vendor), Layer.provide(HttpFaults.layer), Layer.provide(JetEmailSandbox.layerClient()))

const overHttp = (client: Layer.Layer<HttpClient.HttpClient>): Bound =>
  Layer.unwrap(
    HttpServer.addressFormattedWith((baseUrl) =>
      Effect.map(JetEmailSandbox.JetEmailSandbox, (sandbox) => adapter(sandbox, baseUrl))
    )
  ).pipe(
    Layer.merge(vendor),
    Layer.provide(HttpFaults.layer),
    Layer.provide(client),
    Layer.provide(JetEmailSandbox.layerServer()),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

const doors: ReadonlyArray<readonly [string, Bound]> = [
  ["in process", inProcess],
  ["over real HTTP, by fetch", overHttp(FetchHttpClient.layer)],
  ["over real HTTP, by undici", overHttp(NodeHttpClient.layerUndici)]
]

for (const [door, layer] of doors) {
  describe(`JetEmail conforms, ${door}`, () => {
    const outcomes = new Map<string, string>()
    for (const { name, run } of Conformance.cases({ spec, patch, unknownAddress: "transactional_api_test_unknown" })) {
      it.effect(name, () =>
        Effect.gen(function* () {
          outcomes.set(name, yield* run)
        }).pipe(Effect.provide(layer))
      )
    }
    it("skips only what needs an overlap", () => {
      assert.deepStrictEqual(
        [...outcomes].filter(([, outcome]) => outcome === "skipped").map(([name]) => name),
        [
          "with `keepPrevious` both keys live",
          "a successor that cannot be delivered is shut off, and the old key works on",
          "with `activate: false` the successor waits to be enabled, and the old key works on"
        ]
      )
    })
  })
}
