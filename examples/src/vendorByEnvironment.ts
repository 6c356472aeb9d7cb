/**
 * The vendor by environment: `KEYS_VENDOR` says whose keys they are, and only that vendor's variables are read.
 *
 * The program relies on what all three vendors share. What one of them lacks, such as `disable` or `domains`, does not
 * compile with this layer. Watch out: where a spec is silent the layer's `defaults` decide; these are as open as it gets.
 */
import { ApiKeyService, type IssuedKey } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const layerFor = ApiKeyService.oneOf({
  jetemail: JetEmail.layerConfig({
    apiKey: Config.Redacted("JETEMAIL_API_KEY"),
    defaults: { domains: "any", ips: "any", quota: "unlimited" }
  }),
  smtp2go: MailerPatch.layerConfig({
    apiKey: Config.Redacted("SMTP2GO_API_KEY"),
    region: Config.withDefault(Config.Literals(["global", "us", "eu", "au"], "SMTP2GO_REGION"), "global"),
    defaults: { rate: "unlimited" }
  }),
  voiceable: Voiceable.layerConfig({
    apiKey: Config.Redacted("VOICEABLE_API_KEY"),
    baseUrl: Config.String("VOICEABLE_BASE_URL"),
    defaults: { origins: "any", resources: "any", keyType: "private" }
  })
})

/** Provide an `HttpClient` (such as `FetchHttpClient.layer`) below it. */
export const layer = Layer.unwrap(
  Effect.map(Config.Literals(["jetemail", "smtp2go", "voiceable"], "KEYS_VENDOR"), layerFor)
)

/** A key for a tenant, at whichever vendor. The options of the others are carried and not applied. */
export const issue = Effect.fnUntraced(function* <E, R>(
  tenant: string,
  deliver: (key: IssuedKey) => Effect.Effect<void, E, R>
) {
  const keys = yield* ApiKeyService.can("create")
  return yield* keys.create(
    { name: tenant, options: { smtp2go: { clickTrackingEnabled: false }, voiceable: { keyType: "public" } } },
    { deliver }
  )
})
