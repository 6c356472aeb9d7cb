import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { layerNew, layerOld, moveTenant } from "../src/moveTenant.ts"
import { signUp } from "../src/signUp.ts"
import { Vault } from "../src/Vault.ts"
import { at, credentials, environment, isLive, storedKey, stores, tableDown } from "./support.ts"

// The tenant signs up at SMTP2GO with a layer of its own, and is moved with the recipe's two.
const layer = Layer.merge(layerOld, layerNew).pipe(
  Layer.provide(environment(credentials)),
  Layer.provideMerge(at("smtp2go")),
  Layer.provideMerge(stores)
)

const move = moveTenant("acme", "acme.example")

/** How the tenant's keys stand at the new vendor, in order of birth. */
const atJetEmail = Effect.flatMap(JetEmailSandbox.JetEmailSandbox, ({ keys }) =>
  Effect.map(keys, (all) => all.map(({ name, status }) => `${name}: ${status}`))
)

const signedUp = Effect.andThen(signUp("acme"), storedKey("acme"))

const stillAtSmtp2go = Effect.fnUntraced(function* (old: Effect.Success<typeof signedUp>) {
  assert.isTrue(yield* isLive("smtp2go", old.key.secret))
  assert.deepStrictEqual((yield* storedKey("acme")).row, old.row)
})

const moved = Effect.fnUntraced(function* (old: Effect.Success<typeof signedUp>) {
  const now = yield* storedKey("acme")
  assert.strictEqual(now.row.provider, "jetemail")
  assert.strictEqual(now.rows.length, 1)
  assert.isTrue(yield* isLive("jetemail", now.key.secret))
  assert.isFalse(yield* isLive("smtp2go", old.key.secret))
})

describe("moving a tenant from SMTP2GO to JetEmail", () => {
  it.effect("the new key is current and works, and the old one is off; moving again does nothing", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      yield* move
      yield* moved(old)
      yield* move
      assert.deepStrictEqual(yield* atJetEmail, ["acme: active"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("where the new vendor makes no key, the old one works and is current", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      yield* (yield* HttpFaults.HttpFaults).inject({ status: 400 }, { method: "POST", url: "jetemail" })
      const error = yield* Effect.flip(move)
      assert.strictEqual(error._tag === "ApiKeyError" && error.reason._tag, "InvalidRequest")
      yield* stillAtSmtp2go(old)
      yield* move
      yield* moved(old)
    }).pipe(Effect.provide(layer))
  )

  it.effect("where the switch fails, the new key is shut off, and the old one works and is current", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      yield* Effect.exit(move).pipe(Effect.provide(tableDown))
      yield* stillAtSmtp2go(old)
      assert.notInclude(yield* atJetEmail, "acme: active")
      yield* move
      yield* moved(old)
    }).pipe(Effect.provide(layer))
  )

  it.effect("a key that was made but whose reply was lost is shut off by the next run", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      yield* (yield* HttpFaults.HttpFaults).inject("resetAfterCommit", { method: "POST", url: "jetemail" })
      const error = yield* Effect.flip(move)
      assert.strictEqual(error._tag === "ApiKeyError" && error.reason._tag, "OutcomeUnknown")
      assert.deepStrictEqual(yield* atJetEmail, ["acme: active"])
      yield* stillAtSmtp2go(old)
      yield* move
      assert.deepStrictEqual(yield* atJetEmail, ["acme: disabled", "acme: active"])
      yield* moved(old)
    }).pipe(Effect.provide(layer))
  )

  it.effect("where the old key cannot be shut off, the new one is in use, and the next run finishes", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      yield* (yield* MailerPatchSandbox.MailerPatchSandbox).failNext(403)
      const error = yield* Effect.flip(move)
      assert.instanceOf(error, ApiKeyError)
      const now = yield* storedKey("acme")
      assert.strictEqual(now.row.provider, "jetemail")
      assert.isTrue(yield* isLive("smtp2go", old.key.secret))
      yield* move
      yield* moved(old)
      assert.deepStrictEqual(yield* atJetEmail, ["acme: active"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("an old key that is not in the vault keeps its row: it is not forgotten", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      const vault = yield* Vault
      const lossy = Layer.succeed(Vault, {
        ...vault,
        read: (slot: string) => (slot === old.row.slot ? Effect.succeed(Option.none()) : vault.read(slot))
      })
      const error = yield* Effect.flip(Effect.provide(move, lossy))
      assert.strictEqual(error._tag, "NoSuchElementError")
      assert.deepStrictEqual(
        (yield* storedKey("acme")).rows.map(({ current, provider }) => `${provider} ${current}`),
        ["smtp2go false", "jetemail true"]
      )
      yield* move
      yield* moved(old)
    }).pipe(Effect.provide(layer))
  )

  it.effect("an old key that is gone already is no error", () =>
    Effect.gen(function* () {
      const old = yield* signedUp
      const { keys, removeKey } = yield* MailerPatchSandbox.MailerPatchSandbox
      for (const { description, secret } of yield* keys) if (description === "acme") yield* removeKey(secret)
      yield* move
      yield* moved(old)
    }).pipe(Effect.provide(layer))
  )
})
