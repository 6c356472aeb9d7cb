/**
 * Moving tenants from SMTP2GO to JetEmail, both in one program: each has a tag of its own, for a program has one
 * `ApiKeyService`. Safe to start again after any failure: the old key works until the new one is stored and switched to.
 *
 * Watch out: `ApiKeyService.can(…)` with `Effect.provide` around it gives you verbs whose layer is closed already. Take them
 * in a layer, as here. One mover at a time: two could both create.
 */
import { ApiKeyService, type Capable } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { KeyTable } from "./KeyTable.ts"
import { store } from "./signUp.ts"
import { Vault } from "./Vault.ts"

export class OldKeys extends Context.Service<OldKeys, Capable<"revoke">>()("@effect-api-keys/examples/OldKeys") {}
export class NewKeys extends Context.Service<NewKeys, Capable<"create" | "list" | "revoke" | "domains">>()(
  "@effect-api-keys/examples/NewKeys"
) {}

export const layerOld = Layer.effect(OldKeys, ApiKeyService.can("revoke")).pipe(
  Layer.provide(
    MailerPatch.layerConfig({ apiKey: Config.Redacted("SMTP2GO_API_KEY"), defaults: { rate: "unlimited" } })
  )
)

export const layerNew = Layer.effect(NewKeys, ApiKeyService.can("create", "list", "revoke", "domains")).pipe(
  Layer.provide(
    JetEmail.layerConfig({
      apiKey: Config.Redacted("JETEMAIL_API_KEY"),
      defaults: { domains: "any", ips: "any", quota: "unlimited" }
    })
  )
)

/** A run that was killed between mint and `deliver` left a key whose secret nobody has. We have no row yet: it is no other. */
const shutOffOrphans = Effect.fnUntraced(function* (tenant: string) {
  const keys = yield* NewKeys
  yield* Stream.runForEach(keys.list({ name: tenant }), ({ ref, status }) =>
    Option.isSome(ref) && status !== "disabled" ? keys.revoke(ref.value) : Effect.void
  )
})

export const moveTenant = Effect.fnUntraced(function* (tenant: string, domain: string) {
  const table = yield* KeyTable
  const vault = yield* Vault
  if (!(yield* table.ofTenant(tenant)).some(({ provider }) => provider === JetEmail.provider)) {
    yield* shutOffOrphans(tenant)
    // `store` switches the tenant over. If that fails the new key is shut off, and the old one is still the current one.
    yield* (yield* NewKeys).create({ name: tenant, domains: [domain] }, { deliver: store(tenant) })
  }
  const old = (yield* table.ofTenant(tenant)).filter(({ provider }) => provider === MailerPatch.provider)
  for (const row of old) {
    // A row whose slot is empty stops here and stays: its key may be live, and only a person can find it.
    const { ref } = yield* Effect.fromOption(yield* vault.read(row.slot))
    const shutOff = (yield* OldKeys).revoke(ref)
    yield* Effect.catchReason(shutOff, "ApiKeyError", "KeyNotFound", () => Effect.void)
    yield* table.remove(row)
  }
})
