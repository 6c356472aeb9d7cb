import { HttpFaults, HttpSandbox } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"

/** Variables of the environment, for this program alone. */
export const environment = (variables: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromUnknown(variables))

/** The sandboxes' own management keys, under the names that the recipes read. */
export const credentials = {
  JETEMAIL_API_KEY: "api_test_jetemail_sandbox",
  SMTP2GO_API_KEY: "api-api_test_mgr00000000000000000000",
  VOICEABLE_API_KEY: "api_test_voiceable_sandbox",
  VOICEABLE_BASE_URL: "https://voiceable.example/api/v1"
}

const clientOf = (app: HttpSandbox.App) =>
  Effect.map(Layer.build(HttpSandbox.layerClient(app)), Context.get(HttpClient.HttpClient))

/** An `HttpClient` that finds each vendor's sandbox where the vendor is, by the host alone, and faults on demand. */
const internet = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const jetEmail = yield* clientOf((yield* JetEmailSandbox.JetEmailSandbox).app)
    const smtp2go = yield* clientOf((yield* MailerPatchSandbox.MailerPatchSandbox).app)
    const voiceable = yield* clientOf((yield* VoiceableSandbox.VoiceableSandbox).app)
    return HttpClient.make((request) => {
      const { hostname } = new URL(request.url)
      const vendor = hostname.endsWith("jetemail.com") ? jetEmail : hostname.endsWith("smtp2go.com") ? smtp2go : voiceable
      return vendor.execute(request)
    })
  })
)

/** All three vendors in process, each with a fresh account, and by the test's own clock. */
export const vendors = HttpFaults.layer.pipe(
  Layer.provideMerge(internet),
  Layer.provideMerge(JetEmailSandbox.layer()),
  Layer.provideMerge(MailerPatchSandbox.layer()),
  Layer.provideMerge(VoiceableSandbox.layer())
)
