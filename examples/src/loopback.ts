/** The three vendors' sandboxes, each behind a real server on loopback, and the adapters bound to them. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import type { IssuedKey } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/** What only the vendor can tell. */
export class Vendor extends Context.Service<
  Vendor,
  {
    readonly name: string
    /** Whether the vendor would accept this key now. */
    readonly isLive: (key: Pick<IssuedKey, "secret">) => Effect.Effect<boolean>
    /** How many requests it has had. */
    readonly requests: Effect.Effect<number>
    /** How another process reaches it: the variables that `RotationLive` reads. */
    readonly environment: Readonly<Record<string, string>>
  }
>()("@effect-api-keys/examples/Vendor") {}

interface Sandbox {
  readonly credential: Redacted.Redacted<string>
  readonly isLive: (secret: string) => Effect.Effect<boolean>
  readonly requests: Effect.Effect<ReadonlyArray<unknown>>
}

const vendor = (name: string, baseUrl: string, { credential, isLive, requests }: Sandbox) =>
  Layer.succeed(Vendor, {
    name,
    isLive: (key) => isLive(Redacted.value(key.secret)),
    requests: Effect.map(requests, ({ length }) => length),
    environment: {
      [`${name.toUpperCase()}_API_KEY`]: Redacted.value(credential),
      [`${name.toUpperCase()}_BASE_URL`]: baseUrl
    }
  })

const server = () => NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
const address = HttpServer.addressFormattedWith(Effect.succeed)

export const jetEmail = Layer.unwrap(
  Effect.gen(function* () {
    const sandbox = yield* JetEmailSandbox.JetEmailSandbox
    const baseUrl = yield* address
    const adapter = JetEmail.layer({
      apiKey: sandbox.credential,
      baseUrl,
      defaults: { domains: "any", ips: "any", quota: "unlimited" }
    })
    return Layer.merge(adapter, vendor("JetEmail", baseUrl, sandbox))
  })
).pipe(
  Layer.provide(FetchHttpClient.layer),
  Layer.provideMerge(JetEmailSandbox.layerServer()),
  Layer.provideMerge(server())
)

export const mailerPatch = Layer.unwrap(
  Effect.gen(function* () {
    const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
    const baseUrl = `${yield* address}/v3`
    const adapter = MailerPatch.layer({
      apiKey: sandbox.credential,
      baseUrl,
      defaults: { rate: "unlimited" }
    })
    return Layer.merge(adapter, vendor("SMTP2GO", baseUrl, sandbox))
  })
).pipe(
  Layer.provide(FetchHttpClient.layer),
  Layer.provideMerge(MailerPatchSandbox.layerServer()),
  Layer.provideMerge(server())
)

export const voiceable = Layer.unwrap(
  Effect.gen(function* () {
    const sandbox = yield* VoiceableSandbox.VoiceableSandbox
    const baseUrl = `${yield* address}/api/v1`
    const adapter = Voiceable.layer({
      apiKey: sandbox.credential,
      baseUrl,
      defaults: { origins: "any", resources: "any", keyType: "private" }
    })
    return Layer.merge(adapter, vendor("Voiceable", baseUrl, sandbox))
  })
).pipe(
  Layer.provide(FetchHttpClient.layer),
  Layer.provideMerge(VoiceableSandbox.layerServer()),
  Layer.provideMerge(server())
)
