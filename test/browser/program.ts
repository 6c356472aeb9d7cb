/** The main job at all three vendors, at one origin: what is bundled for browsers and workers. */
import { type ApiKeyError, ApiKeyService } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Redacted from "effect/Redacted"

/** The sandboxes' management keys. */
export interface Credentials {
  readonly jetemail: string
  readonly smtp2go: string
  readonly voiceable: string
}

const main = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "rotate", "revoke")
  const created = yield* keys.create({ name: "acme" })
  const { issued, previous } = yield* keys.rotate(created.ref, { deliver: () => Effect.void })
  const revoked = yield* keys.revoke(issued.ref)
  return { previous, revoked, secret: String(issued.secret) }
})

export type Done = Effect.Success<typeof main>

const failed = (error: ApiKeyError) => new Error(error.message)

/** What became of the keys at each vendor. */
export const run = (origin: string, credentials: Credentials): Promise<Readonly<Record<keyof Credentials, Done>>> => {
  const vendors = {
    jetemail: JetEmail.layer({
      apiKey: Redacted.make(credentials.jetemail),
      baseUrl: origin,
      defaults: { domains: ["acme.example"], ips: ["2001:db8::1"], quota: 500 }
    }),
    smtp2go: MailerPatch.layer({
      apiKey: Redacted.make(credentials.smtp2go),
      baseUrl: `${origin}/v3`,
      defaults: { rate: "unlimited" }
    }),
    voiceable: Voiceable.layer({
      apiKey: Redacted.make(credentials.voiceable),
      baseUrl: `${origin}/api/v1`,
      defaults: { origins: "any", resources: "any", keyType: "private" }
    })
  }
  return Effect.all(
    {
      jetemail: Effect.provide(main, vendors.jetemail),
      smtp2go: Effect.provide(main, vendors.smtp2go),
      voiceable: Effect.provide(main, vendors.voiceable)
    },
    { concurrency: "unbounded" }
  ).pipe(Effect.mapError(failed), Effect.provide(FetchHttpClient.layer), Effect.runPromise)
}
