/**
 * Tenants over vendors and accounts: a tenant's record names both, and `LayerMap` keeps one layer for each account that is
 * in use. All tenants of an account share its limiter, and a layer that is idle for five minutes is released.
 *
 * Watch out: the key of the map must be the account and nothing else. With the tenant in it, every tenant would get a layer
 * and a limiter of its own, and together they would exceed the vendor's budget.
 */
import { ApiKeyService, type IssuedKey, type KeyRef } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as LayerMap from "effect/LayerMap"

/** An account at a vendor; `account` is your own name for it. Plain data: two of the same content are the same key. */
export interface Account {
  readonly vendor: "jetemail" | "smtp2go"
  readonly account: string
}

export interface Tenant extends Account {
  readonly id: string
}

/** The credential of the account `eu` at JetEmail is in `JETEMAIL_EU_API_KEY`. */
const layerFor = ({ account, vendor }: Account) => {
  const apiKey = Config.Redacted(`${vendor}_${account}_API_KEY`.toUpperCase())
  return ApiKeyService.oneOf({
    jetemail: JetEmail.layerConfig({ apiKey, account, defaults: { domains: "any", ips: "any", quota: "unlimited" } }),
    smtp2go: MailerPatch.layerConfig({ apiKey, account, defaults: { rate: "unlimited" } })
  })(vendor)
}

/** Provide its `layer` once, at the top of your program, with an `HttpClient` below it. */
export class Accounts extends LayerMap.Service<Accounts>()("@effect-api-keys/examples/Accounts", {
  lookup: layerFor,
  idleTimeToLive: "5 minutes"
}) {}

/** The keys of a tenant's account, as a layer for any program that needs `ApiKeyService`. */
export const keysOf = ({ account, vendor }: Account) => Accounts.get({ vendor, account })

/** A key for a tenant. Its ref holds vendor and account: no other account takes it. */
export const issue = <E, R>(tenant: Tenant, deliver: (key: IssuedKey) => Effect.Effect<void, E, R>) =>
  ApiKeyService.can("create").pipe(
    Effect.flatMap((keys) => keys.create({ name: tenant.id }, { deliver })),
    Effect.provide(keysOf(tenant))
  )

/** Shuts off a key of a tenant. */
export const revoke = (tenant: Tenant, ref: KeyRef) =>
  ApiKeyService.can("revoke").pipe(
    Effect.flatMap((keys) => keys.revoke(ref)),
    Effect.provide(keysOf(tenant))
  )
