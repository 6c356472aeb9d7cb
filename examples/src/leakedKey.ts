/**
 * A leaked string, shut off in seconds: the string is all there is.
 *
 * The hash of it finds the row, the row the vault's slot, and the slot the key's ref: right at every vendor, and the only
 * way at Voiceable, where a secret does not name its key. A key that we have no row of is still found where the secret is the
 * address (JetEmail, SMTP2GO). Watch out: the string goes nowhere else, not into a log, a ticket or a command line.
 */
import { ApiKeyService } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { KeyTable } from "./KeyTable.ts"
import { Vault } from "./Vault.ts"

const stored = Effect.fnUntraced(function* (leaked: Redacted.Redacted<string>) {
  const row = yield* (yield* KeyTable).bySecret(leaked)
  if (Option.isNone(row)) return Option.none()
  const key = yield* (yield* Vault).read(row.value.slot)
  return Option.map(key, ({ ref }) => ({ ref, tenant: row.value.tenant }))
})

/**
 * What became of the key, and which tenant needs a new one. `gone` is a key that the vendor does not know any more: it was
 * deleted or rotated before. A string that cannot be a key of this vendor fails with `InvalidRequest`, and nothing is sent.
 */
export const shutOff = Effect.fnUntraced(function* (leaked: Redacted.Redacted<string>) {
  const keys = yield* ApiKeyService.can("revoke")
  const found = yield* stored(leaked)
  const ref = Option.isSome(found) ? found.value.ref : keys.ref(leaked)
  const outcome = yield* keys
    .revoke(ref)
    .pipe(Effect.catchReason("ApiKeyError", "KeyNotFound", () => Effect.succeed("gone" as const)))
  return { outcome, tenant: Option.map(found, ({ tenant }) => tenant) }
})
