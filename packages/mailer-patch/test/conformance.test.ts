import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, ApiKeyService, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { Conformance, HttpFaults } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const spec: KeySpec = {
  name: "acme",
  scopes: ["/email/send", "/stats/*"],
  rate: { max: 1000, per: { months: 4, hours: 5 } },
  options: { smtp2go: { openTrackingEnabled: true, auditEmail: "audit@acme.example" } }
}
const patch: KeyPatch = { name: "acme 2", scopes: ["/email/send"], rate: { max: 500, per: { minutes: 30 } } }

const vendor = Layer.effect(
  Conformance.ConformanceVendor,
  Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, ({ credential, isLive, keys }) =>
    Conformance.httpVendor({
      isLive: (secret) => isLive(Redacted.value(secret)),
      liveKeys: Effect.map(
        keys,
        (all) => all.filter((key) => key.status === "allowed" && key.secret !== Redacted.value(credential)).length
      ),
      targets: {
        create: { url: "/api_keys/add" },
        rotate: { url: "/api_keys/add" },
        change: { method: "PATCH" },
        remove: { url: "/api_keys/remove" },
        read: { url: "/api_keys/view" }
      }
    })
  )
)

const adapter = (sandbox: MailerPatchSandbox.MailerPatchSandbox["Service"], baseUrl: string | undefined) =>
  MailerPatch.layer({
    apiKey: sandbox.credential,
    baseUrl: baseUrl === undefined ? undefined : `${baseUrl}/v3`,
    defaults: { rate: "unlimited" },
    // No delay between repeats: over real HTTP the test's clock stands still.
    retry: { base: 0 }
  })

type Bound = Layer.Layer<ApiKeyService | Conformance.ConformanceVendor, ApiKeyError | ServeError>

const inProcess: Bound = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, (sandbox) => adapter(sandbox, undefined))
).pipe(Layer.merge(vendor), Layer.provide(HttpFaults.layer), Layer.provide(MailerPatchSandbox.layerClient()))

const overHttp = (client: Layer.Layer<HttpClient.HttpClient>): Bound =>
  Layer.unwrap(
    HttpServer.addressFormattedWith((baseUrl) =>
      Effect.map(MailerPatchSandbox.MailerPatchSandbox, (sandbox) => adapter(sandbox, baseUrl))
    )
  ).pipe(
    Layer.merge(vendor),
    Layer.provide(HttpFaults.layer),
    Layer.provide(client),
    Layer.provide(MailerPatchSandbox.layerServer()),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

const doors: ReadonlyArray<readonly [string, Bound]> = [
  ["in process", inProcess],
  ["over real HTTP, by fetch", overHttp(FetchHttpClient.layer)],
  ["over real HTTP, by undici", overHttp(NodeHttpClient.layerUndici)]
]

for (const [door, layer] of doors) {
  describe(`SMTP2GO conforms, ${door}`, () => {
    const outcomes = new Map<string, string>()
    for (const { name, run } of Conformance.cases({
      spec,
      patch,
      unknownAddress: "api-api_test_unknown0000000000000000"
    })) {
      it.effect(name, () =>
        Effect.gen(function* () {
          outcomes.set(name, yield* run)
        }).pipe(Effect.provide(layer))
      )
    }
    it("skips only what needs a list that shows secrets", () => {
      assert.deepStrictEqual(
        [...outcomes].filter(([, outcome]) => outcome === "skipped").map(([name]) => name),
        ["a list that masks its secrets recovers nothing, and prepares nothing"]
      )
    })
  })
}
