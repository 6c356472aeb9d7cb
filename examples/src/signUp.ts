/**
 * A sign-up that keeps what is worth stealing out of the database, at any vendor.
 *
 * At JetEmail and SMTP2GO a key's ref *is* its secret, at Voiceable it is an id. So the vault gets both, ref and secret, and
 * the database gets a row about them: handle, vendor, account, slot, and a keyed hash of the secret (see `KeyTable.ts`).
 * Watch out: both are written by `deliver`. If either fails the new key is shut off, and nobody has a row without a key.
 */
import { ApiKeyService, type IssuedKey } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import { KeyTable } from "./KeyTable.ts"
import { Vault } from "./Vault.ts"

/** A slot for each key, not for each tenant: a second key never overwrites a first one that is still live. */
const slotOf = (tenant: string, key: IssuedKey) => `${tenant}/${key.ref.provider}/${key.handle}`

/** Puts a new key where it belongs; the `deliver` of every `create` and `rotate`. Vault first: a row promises a secret. */
export const store = (tenant: string) =>
  Effect.fnUntraced(function* (key: IssuedKey) {
    const table = yield* KeyTable
    const vault = yield* Vault
    const slot = slotOf(tenant, key)
    yield* vault.put(slot)(key)
    yield* table.switchTo(table.rowOf(tenant, slot, key))
  })

/** What the caller gets is safe to print and to send. */
export const signUp = Effect.fnUntraced(function* (tenant: string) {
  const keys = yield* ApiKeyService.can("create")
  const { handle } = yield* keys.create({ name: tenant }, { deliver: store(tenant) })
  return { tenant, handle }
})
