/**
 * A rotation whose process is killed at the worst moment, and another process that goes on: for the quickstart and the tests.
 *
 * The key is in a vault on a file. `resumedRotation.ts` rotates it in a process of its own, and is killed when the vendor has
 * minted the new key and nobody has read the reply. Then the same command is run again.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ApiKeyService, unmarkedName } from "@effect-api-keys/core"
import { KeyVault } from "@effect-api-keys/rotation"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Vendor } from "./loopback.ts"
import * as RotatingProcess from "./RotatingProcess.ts"
import * as RotationLive from "./RotationLive.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-api-keys-rotation-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** The vendor's account and the slot in it. */
const slot = "acme/mail"

/** What is true at one moment: what the vault says, and what the vendor says. */
const look = Effect.fnUntraced(function* (account: string) {
  const keys = yield* ApiKeyService
  const vendor = yield* Vendor
  const held = yield* (yield* KeyVault).read({ account, slot })
  const secret = yield* Effect.fromOption(held.current.secret)
  const listed = yield* Stream.runCollect(keys.list())
  // All but the manager's own.
  const made = listed.filter(({ name }) => Option.exists(name, (text) => unmarkedName(text) === "acme"))
  return {
    current: held.current.handle,
    currentWorks: yield* vendor.isLive({ secret }),
    orphans: held.orphans,
    intents: held.intents,
    keys: made.map(({ handle }) => handle),
    working: made.filter(({ status }) => status === "active").map(({ handle }) => handle)
  }
})

/**
 * Kills a rotation after a request, resumes it, and gives what was true after the first process and after the second. `name`
 * is that of the account, where it is not the vendor's.
 */
export const killedAndResumed = Effect.fnUntraced(function* (killAfter: RegExp, name?: string) {
  const keys = yield* ApiKeyService
  const account = name ?? keys.provider
  const env = {
    ...(yield* Vendor).environment,
    VAULT_FILE: join(yield* folder, "vault.sqlite"),
    SEALING_KEY: Buffer.from("api_test_sealing_key_of_32_bytes").toString("base64"),
    ROTATION_OVERLAP: "100 millis"
  }
  // Opened for a moment each time: a process that rotates has the file to itself.
  const inVault = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(
      Effect.provide(effect, RotationLive.layerVault),
      ConfigProvider.layer(ConfigProvider.fromUnknown(env))
    )
  const args = [account, slot, "first"]

  const old = yield* inVault(
    KeyVault.use((vault) =>
      keys.create({ name: "acme" }, { deliver: (key) => Effect.asVoid(vault.adopt({ account, slot }, key)) })
    )
  )
  const first = yield* RotatingProcess.run({ args, env, killAfter })
  const afterKill = yield* inVault(look(account))
  const second = yield* RotatingProcess.run({ args, env })
  const atEnd = yield* inVault(look(account))
  return { old: old.handle, first, afterKill, second, atEnd }
}, Effect.scoped)
