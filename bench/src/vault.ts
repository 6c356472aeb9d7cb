/** A vault in a file, with as many slots as are wanted. */
import { DatabaseSync } from "node:sqlite"
import { KeyRef } from "@effect-api-keys/core/ApiKey"
import { KeyVault } from "@effect-api-keys/rotation/KeyVault"
import { NodeSqlite } from "@effect-api-keys/rotation/node"
import * as SqlVaultStore from "@effect-api-keys/rotation/SqlVaultStore"
import { type StoredSlot, VaultStore } from "@effect-api-keys/rotation/VaultStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

export const account = "jetemail"

export const sealingKeys = {
  current: "k1",
  keys: { k1: Redacted.make(Buffer.from("api_test_sealing_key_32_bytes_ok").toString("base64")) }
}

/**
 * Writes all rows in one transaction. The real store commits each to the disk before it says that a key is safe, which is what it is
 * for, and what takes too long here.
 */
const bulk = (db: DatabaseSync): VaultStore["Service"] => {
  const insert = db.prepare(
    `INSERT INTO api_keys_vault_slots (account, slot, version, document, fingerprints, open) VALUES (?, ?, ?, ?, ?, ?)`
  )
  return {
    read: () => Effect.succeed(Option.none()),
    find: () => Effect.succeed([]),
    list: () => Stream.empty,
    write: ({ account, document, fingerprints, open, slot, version }: StoredSlot) =>
      Effect.sync(() => {
        insert.run(account, slot, version, document, JSON.stringify(fingerprints), open ? 1 : 0)
        return true
      })
  }
}

const adoptAll = (count: number) =>
  Effect.flatMap(KeyVault, (vault) =>
    Effect.forEach(
      Array.from({ length: count }, (_, index) => index),
      (index) => {
        const token = `transactional_api_test_${String(index).padStart(6, "0")}`
        const ref = new KeyRef({ provider: "jetemail", account: "default", value: Redacted.make(token) })
        const key = { ref, handle: `jetemail_${index}`, secret: Redacted.make(token) }
        return vault.adopt({ account, slot: `tenant-${index}/mail` }, key)
      },
      // The platform seals beside the program.
      { concurrency: 32, discard: true }
    )
  )

/** Makes the file: the tables by the real store, the rows in one go. */
export const fill = async (filename: string, count: number): Promise<void> => {
  await Effect.runPromise(
    Effect.provide(Effect.void, SqlVaultStore.layer().pipe(Layer.provide(NodeSqlite.layer({ filename }))))
  )
  const db = new DatabaseSync(filename)
  db.exec("BEGIN")
  const vault = KeyVault.layer({ sealingKeys }).pipe(Layer.provide(Layer.sync(VaultStore, () => bulk(db))))
  await Effect.runPromise(Effect.provide(adoptAll(count), vault))
  db.exec("COMMIT")
  db.close()
}
