/**
 * The database's side of keys, in memory: one row for each key, with nothing in it that anyone could use.
 *
 * A row says whose key it is, how logs name it, where in the vault it lies, and a keyed hash of its secret. A real one is a
 * table with a unique index on `hash` and a transaction around `switchTo`.
 */
import { createHmac } from "node:crypto"
import type { IssuedKey } from "@effect-api-keys/core"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

export interface KeyRow {
  readonly tenant: string
  readonly provider: string
  readonly account: string
  readonly handle: string
  /** Where in the vault secret and address are. */
  readonly slot: string
  /** HMAC-SHA-256 of the secret: finds the row of a leaked string, and says nothing of it without the pepper. */
  readonly hash: string
  /** Whether the tenant's mail goes out with this key. */
  readonly current: boolean
}

export class KeyTable extends Context.Service<
  KeyTable,
  {
    /** The row of a key that was just minted. */
    readonly rowOf: (tenant: string, slot: string, key: IssuedKey) => KeyRow
    /** Writes the row, and makes it its tenant's current one in the same step. */
    readonly switchTo: (row: KeyRow) => Effect.Effect<void>
    readonly bySecret: (secret: Redacted.Redacted<string>) => Effect.Effect<Option.Option<KeyRow>>
    readonly ofTenant: (tenant: string) => Effect.Effect<ReadonlyArray<KeyRow>>
    readonly remove: (row: KeyRow) => Effect.Effect<void>
  }
>()("@effect-api-keys/examples/KeyTable") {}

/** `KEY_HASH_PEPPER` is a secret of your own, kept apart from the database: without it the hashes are of no use. */
export const layerMemory: Layer.Layer<KeyTable, Config.ConfigError> = Layer.effect(
  KeyTable,
  Effect.gen(function* () {
    const pepper = yield* Config.Redacted("KEY_HASH_PEPPER")
    const rows = new Map<string, KeyRow>()
    const all = () => [...rows.values()]
    const hashOf = (secret: Redacted.Redacted<string>) =>
      createHmac("sha256", Redacted.value(pepper)).update(Redacted.value(secret)).digest("hex")
    return {
      rowOf: (tenant, slot, key) => ({
        tenant,
        provider: key.ref.provider,
        account: key.ref.account,
        handle: key.handle,
        slot,
        hash: hashOf(key.secret),
        current: true
      }),
      switchTo: (row) =>
        Effect.sync(() => {
          for (const old of all()) if (old.tenant === row.tenant) rows.set(old.hash, { ...old, current: false })
          rows.set(row.hash, row)
        }),
      bySecret: (secret) => Effect.sync(() => Option.fromUndefinedOr(rows.get(hashOf(secret)))),
      ofTenant: (tenant) => Effect.sync(() => all().filter((row) => row.tenant === tenant)),
      remove: (row) => Effect.sync(() => void rows.delete(row.hash))
    }
  })
)
