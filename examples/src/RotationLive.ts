/**
 * Rotation that is durable on one file: the vault and the engine's progress are tables of the same SQLite file, which this
 * process has to itself. Everything is read from the environment.
 *
 * Watch out: the sealing key must not lie beside the file. Whoever has both has your keys; whoever loses it has none.
 */

import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import {
  type Candidate,
  KeyVault,
  Rotation,
  RotationEngine,
  type RotationOptions,
  SqlVaultStore
} from "@effect-api-keys/rotation"
import { NodeSqlite } from "@effect-api-keys/rotation/node"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const jetEmail = JetEmail.layerConfig({
  apiKey: Config.Redacted("JETEMAIL_API_KEY"),
  baseUrl: Config.withDefault(Config.String("JETEMAIL_BASE_URL"), "https://api.jetemail.com"),
  defaults: { domains: "any", ips: "any", quota: "unlimited" }
})

const smtp2go = MailerPatch.layerConfig({
  apiKey: Config.Redacted("SMTP2GO_API_KEY"),
  baseUrl: Config.withDefault(Config.String("SMTP2GO_BASE_URL"), "https://api.smtp2go.com/v3"),
  defaults: { rate: "unlimited" }
})

const voiceable = Voiceable.layerConfig({
  apiKey: Config.Redacted("VOICEABLE_API_KEY"),
  baseUrl: Config.String("VOICEABLE_BASE_URL"),
  defaults: { origins: "any", resources: "any", keyType: "private" }
})

/** Of a vendor that documents no harmless question, a new key is promoted untried: that is written out. */
export const accounts = (name: string) => {
  switch (name) {
    case "jetemail":
      return { keys: jetEmail, verify: "none" } as const
    case "smtp2go":
      return { keys: smtp2go, verify: ({ secret }: Candidate) => MailerPatch.verify(secret) }
    case "voiceable":
      return { keys: voiceable, verify: "none" } as const
    default:
      return undefined
  }
}

const layerFile = Layer.unwrap(Effect.map(Config.String("VAULT_FILE"), (filename) => NodeSqlite.layer({ filename })))

/** Where keys are kept; a program that only reads them needs no more than this. */
export const layerVault = Layer.unwrap(
  Effect.map(Config.Redacted("SEALING_KEY"), (key) =>
    KeyVault.layer({ sealingKeys: { current: "k1", keys: { k1: key } } })
  )
).pipe(Layer.provide(SqlVaultStore.layer()), Layer.provide(layerFile))

/** Provide an `HttpClient` (such as `FetchHttpClient.layer`) below it. */
export const layer = (options?: Omit<RotationOptions, "accounts">) =>
  Rotation.layer({ ...options, accounts }).pipe(
    Layer.provideMerge(layerVault),
    Layer.provide(RotationEngine.layerSingle()),
    Layer.provide(layerFile)
  )
