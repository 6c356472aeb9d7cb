import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { KeyRef } from "@effect-api-keys/core"
import { HttpFaults, HttpSandbox } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { type Adopted, Rotation, type RotationOptions } from "@effect-api-keys/rotation"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import * as KeyTable from "../src/KeyTable.ts"
import * as RotationLive from "../src/RotationLive.ts"
import * as Vault from "../src/Vault.ts"
import * as VendorByEnvironment from "../src/vendorByEnvironment.ts"

/** Variables of the environment, for this program alone. */
export const environment = (variables: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromUnknown(variables))

/** The sandboxes' own management keys, under the names that the recipes read. */
export const credentials = {
  JETEMAIL_API_KEY: "api_test_jetemail_sandbox",
  SMTP2GO_API_KEY: "api-api_test_mgrfakefakefakefakefmgr",
  VOICEABLE_API_KEY: "api_test_voiceable_sandbox",
  VOICEABLE_BASE_URL: "https://voiceable.example/api/v1"
}

const clientOf = (app: HttpSandbox.App) =>
  Effect.map(Layer.build(HttpSandbox.layerClient(app)), Context.get(HttpClient.HttpClient))

/** An `HttpClient` that finds each vendor's sandbox where the vendor is, by the host alone, and faults on demand. */
const internet = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const jetEmail = yield* clientOf((yield* JetEmailSandbox.JetEmailSandbox).app)
    const smtp2go = yield* clientOf((yield* MailerPatchSandbox.MailerPatchSandbox).app)
    const voiceable = yield* clientOf((yield* VoiceableSandbox.VoiceableSandbox).app)
    return HttpClient.make((request) => {
      const { hostname } = new URL(request.url)
      const vendor = hostname.endsWith("jetemail.com")
        ? jetEmail
        : hostname.endsWith("smtp2go.com")
          ? smtp2go
          : voiceable
      return vendor.execute(request)
    })
  })
)

/** All three vendors in process, each with a fresh account, and by the test's own clock. */
export const vendors = HttpFaults.layer.pipe(
  Layer.provideMerge(internet),
  Layer.provideMerge(JetEmailSandbox.layer({ credential: credentials.JETEMAIL_API_KEY })),
  Layer.provideMerge(MailerPatchSandbox.layer({ credential: credentials.SMTP2GO_API_KEY })),
  Layer.provideMerge(VoiceableSandbox.layer({ credential: credentials.VOICEABLE_API_KEY }))
)

/** The vendors that share `create`, `patch`, `rotate`, `revoke`, `delete`, `get` and `list`. */
export const names = ["jetemail", "smtp2go", "voiceable"] as const
export type Name = (typeof names)[number]

/** The recipe's own layer, at one vendor's sandbox; the other vendors' are there and get nothing. */
export const at = (vendor: Name) =>
  VendorByEnvironment.layer.pipe(
    Layer.provide(environment({ ...credentials, KEYS_VENDOR: vendor })),
    Layer.provideMerge(vendors)
  )

/** Whether a vendor lets anyone in with this secret. */
export const isLive = Effect.fnUntraced(function* (vendor: Name, secret: Redacted.Redacted<string>) {
  const sandboxes = {
    jetemail: yield* JetEmailSandbox.JetEmailSandbox,
    smtp2go: yield* MailerPatchSandbox.MailerPatchSandbox,
    voiceable: yield* VoiceableSandbox.VoiceableSandbox
  }
  return yield* sandboxes[vendor].isLive(Redacted.value(secret))
})

/** How many requests a vendor has seen. */
export const requestsAt = Effect.fnUntraced(function* (vendor: Name) {
  const seen: Readonly<Record<Name, Effect.Effect<ReadonlyArray<unknown>>>> = {
    jetemail: (yield* JetEmailSandbox.JetEmailSandbox).requests,
    smtp2go: (yield* MailerPatchSandbox.MailerPatchSandbox).requests,
    voiceable: (yield* VoiceableSandbox.VoiceableSandbox).requests
  }
  return (yield* seen[vendor]).length
})

/** Vault and table in memory. */
export const stores = Layer.merge(
  Vault.layerMemory,
  KeyTable.layerMemory.pipe(Layer.provide(environment({ KEY_HASH_PEPPER: "api_test_pepper" })))
)

/** What is in a tenant's slot of the vault; a test that finds nothing there has failed. */
export const storedKey = Effect.fnUntraced(function* (tenant: string) {
  const rows = yield* (yield* KeyTable.KeyTable).ofTenant(tenant)
  const row = rows.find(({ current }) => current)
  if (row === undefined) return yield* Effect.die("the tenant has no current row")
  const key = yield* (yield* Vault.Vault).read(row.slot)
  return { row, rows, key: yield* Effect.orDie(Effect.fromOption(key)) }
})

/** A table that is down when it is written. */
export const tableDown = Layer.effect(
  KeyTable.KeyTable,
  Effect.map(KeyTable.KeyTable, (table) => ({ ...table, switchTo: () => Effect.die("the database is down") }))
)

/** A folder of this test's own. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-api-keys-examples-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

export const sealingKey = Buffer.from("api_test_sealing_key_of_32_bytes").toString("base64")

/** The recipes' rotation on a file of this test's own, at the vendors in process. */
export const rotating = (options?: Omit<RotationOptions, "accounts">) =>
  Layer.unwrap(
    Effect.map(folder, (path) =>
      RotationLive.layer(options).pipe(
        Layer.provide(environment({ ...credentials, SEALING_KEY: sealingKey, VAULT_FILE: join(path, "vault.sqlite") }))
      )
    )
  ).pipe(Layer.provideMerge(vendors))

/** A key that a vendor's sandbox has had all along, in the slot `mail` of the account of the vendor's name. */
export const adopted = Effect.fnUntraced(function* (vendor: Name) {
  const add: Readonly<Record<Name, Effect.Effect<readonly [address: string, secret: string]>>> = {
    jetemail: Effect.map((yield* JetEmailSandbox.JetEmailSandbox).addKey({ name: "acme" }), ({ token }) => [
      token,
      token
    ]),
    smtp2go: Effect.map(
      (yield* MailerPatchSandbox.MailerPatchSandbox).addKey({ description: "acme" }),
      ({ secret }) => [secret, secret]
    ),
    voiceable: Effect.map((yield* VoiceableSandbox.VoiceableSandbox).addKey({ name: "acme" }), ({ id, keyValue }) => [
      String(id),
      keyValue
    ])
  }
  const [address, secret] = yield* add[vendor]
  const id = { account: vendor, slot: "mail" }
  const ref: Adopted["ref"] = new KeyRef({ provider: vendor, account: "default", value: Redacted.make(address) })
  const { adopt } = yield* Rotation
  yield* adopt(id, { ref, secret: Redacted.make(secret) })
  return { id, secret: Redacted.make(secret) }
})

/**
 * Lets the test's clock run until this has ended. Between two steps the platform has its turn: sealing is done by its threads,
 * and no deadline of the program may pass meanwhile.
 */
export const passingTime = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  while (fiber.pollUnsafe() === undefined) {
    yield* Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 1)))
    yield* TestClock.adjust("1 second")
  }
  return yield* Fiber.join(fiber)
})
