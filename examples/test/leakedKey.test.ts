import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { shutOff } from "../src/leakedKey.ts"
import { signUp } from "../src/signUp.ts"
import { at, isLive, names, requestsAt, storedKey, stores } from "./support.ts"

/** As it comes in: a string that somebody found. */
const found = (secret: Redacted.Redacted<string>) => Redacted.make(Redacted.value(secret))

const strangers = {
  jetemail: JetEmailSandbox.JetEmailSandbox.use(({ addKey }) => Effect.map(addKey(), ({ token }) => token)),
  smtp2go: MailerPatchSandbox.MailerPatchSandbox.use(({ addKey }) => Effect.map(addKey(), ({ secret }) => secret)),
  voiceable: VoiceableSandbox.VoiceableSandbox.use(({ addKey }) => Effect.map(addKey(), ({ keyValue }) => keyValue))
}

/** Voiceable's reply to a deletion proves nothing: the key is looked for as well. */
const requests = { jetemail: 1, smtp2go: 1, voiceable: 2 } as const

const revoked = { jetemail: "disabled", smtp2go: "disabled", voiceable: "deleted" } as const

describe("a leaked string", () => {
  for (const vendor of names) {
    it.effect(
      `${vendor}: is found by its hash and ${revoked[vendor]}, with ${requests[vendor]} sent, and its tenant is named`,
      () =>
        Effect.gen(function* () {
          yield* signUp("acme")
          const { key } = yield* storedKey("acme")
          const before = yield* requestsAt(vendor)
          assert.deepStrictEqual(yield* shutOff(found(key.secret)), {
            outcome: revoked[vendor],
            tenant: Option.some("acme")
          })
          assert.isFalse(yield* isLive(vendor, key.secret))
          assert.strictEqual((yield* requestsAt(vendor)) - before, requests[vendor])
        }).pipe(Effect.provide([at(vendor), stores]))
    )
  }

  for (const vendor of ["jetemail", "smtp2go"] as const) {
    it.effect(`${vendor}: a key that we have no row of is shut off by the string itself`, () =>
      Effect.gen(function* () {
        const secret = Redacted.make(yield* strangers[vendor])
        assert.isTrue(yield* isLive(vendor, secret))
        assert.deepStrictEqual(yield* shutOff(secret), { outcome: "disabled", tenant: Option.none() })
        assert.isFalse(yield* isLive(vendor, secret))
      }).pipe(Effect.provide([at(vendor), stores]))
    )
  }

  it.effect("voiceable: a secret is no ref, so a key that we have no row of is refused, and nothing is sent", () =>
    Effect.gen(function* () {
      const secret = Redacted.make(yield* strangers.voiceable)
      const error = yield* Effect.flip(shutOff(secret))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, "a secret does not name its key")
      assert.notInclude(`${inspect(error)}${JSON.stringify(error)}`, Redacted.value(secret))
      assert.strictEqual(yield* requestsAt("voiceable"), 0)
      assert.isTrue(yield* isLive("voiceable", secret))
    }).pipe(Effect.provide([at("voiceable"), stores]))
  )

  it.effect("a key that the vendor no longer knows is reported as gone", () =>
    Effect.gen(function* () {
      const vendor = yield* VoiceableSandbox.VoiceableSandbox
      yield* signUp("acme")
      const { key } = yield* storedKey("acme")
      yield* vendor.removeKey(Number(Redacted.value(key.ref.value)))
      assert.deepStrictEqual(yield* shutOff(found(key.secret)), { outcome: "gone", tenant: Option.some("acme") })
    }).pipe(Effect.provide([at("voiceable"), stores]))
  )

  it.effect("what can be no key of the vendor is refused before it is sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(shutOff(Redacted.make("ghp_api_test_another_vendors")))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.strictEqual(yield* requestsAt("jetemail"), 0)
    }).pipe(Effect.provide([at("jetemail"), stores]))
  )
})
