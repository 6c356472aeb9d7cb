import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, ApiKeyService, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { Conformance, HttpFaults } from "@effect-api-keys/core/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const spec: KeySpec = {
  name: "acme",
  origins: ["https://acme.example", "http://localhost:3000"],
  resources: ["123"],
  options: { voiceable: { transientAssistant: true } }
}
const patch: KeyPatch = { name: "acme 2", origins: ["https://acme.example"], resources: ["123", "456"] }

const vendor = Layer.effect(
  Conformance.ConformanceVendor,
  Effect.flatMap(VoiceableSandbox.VoiceableSandbox, ({ credential, isLive, keys }) =>
    Conformance.httpVendor({
      isLive: (secret) => isLive(Redacted.value(secret)),
      liveKeys: Effect.map(keys, (all) => all.filter((key) => key.keyValue !== Redacted.value(credential)).length),
      targets: {
        create: { method: "POST" },
        rotate: { method: "POST" },
        change: { method: "PUT" },
        remove: { method: "DELETE" },
        read: { method: "GET" }
      }
    })
  )
)

const adapter = (sandbox: VoiceableSandbox.VoiceableSandbox["Service"], baseUrl = "https://voiceable.example") =>
  Voiceable.layer({
    apiKey: sandbox.credential,
    baseUrl: `${baseUrl}/api/v1`,
    defaults: { origins: "any", resources: "any", keyType: "private" },
    // No delay between repeats: over real HTTP the test's clock stands still.
    retry: { base: 0 }
  })

type Bound = Layer.Layer<ApiKeyService | Conformance.ConformanceVendor, ApiKeyError | ServeError>

const inProcess: Bound = Layer.unwrap(
  Effect.map(VoiceableSandbox.VoiceableSandbox, (sandbox) => adapter(sandbox, undefined))
).pipe(Layer.merge(vendor), Layer.provide(HttpFaults.layer), Layer.provide(VoiceableSandbox.layerClient()))

const overHttp = (client: Layer.Layer<HttpClient.HttpClient>): Bound =>
  Layer.unwrap(
    HttpServer.addressFormattedWith((baseUrl) =>
      Effect.map(VoiceableSandbox.VoiceableSandbox, (sandbox) => adapter(sandbox, baseUrl))
    )
  ).pipe(
    Layer.merge(vendor),
    Layer.provide(HttpFaults.layer),
    Layer.provide(client),
    Layer.provide(VoiceableSandbox.layerServer()),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

const doors: ReadonlyArray<readonly [string, Bound]> = [
  ["in process", inProcess],
  ["over real HTTP, by fetch", overHttp(FetchHttpClient.layer)],
  ["over real HTTP, by undici", overHttp(NodeHttpClient.layerUndici)]
]

for (const [door, layer] of doors) {
  describe(`Voiceable conforms, ${door}`, () => {
    const outcomes = new Map<string, string>()
    for (const { name, run } of Conformance.cases({ spec, patch, unknownAddress: "999999" })) {
      it.effect(name, () =>
        Effect.gen(function* () {
          outcomes.set(name, yield* run)
        }).pipe(Effect.provide(layer))
      )
    }
    it("skips only what needs disable and enable, or a list that shows secrets", () => {
      assert.deepStrictEqual(
        [...outcomes].filter(([, outcome]) => outcome === "skipped").map(([name]) => name),
        [
          "a rotation does not bring a disabled key back to life",
          "a disabled key is dead until it is enabled",
          "a disable whose reply is lost is repeated",
          "a list that masks its secrets recovers nothing, and prepares nothing",
          "with `activate: false` the successor waits to be enabled, and the old key works on"
        ]
      )
    })
  })
}
