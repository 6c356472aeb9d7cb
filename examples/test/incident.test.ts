import { assert, describe, it } from "@effect/vitest"
import { HttpFaults } from "@effect-api-keys/core/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { KeyVault, Rotation } from "@effect-api-keys/rotation"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { replace, replaceOrRevoke, tasks } from "../src/incident.ts"
import { adopted, at, isLive, names, passingTime, requestsAt, rotating } from "./support.ts"

/** As it comes in: a string that somebody found. */
const found = (secret: Redacted.Redacted<string>) => Redacted.make(Redacted.value(secret))

describe("a leaked string, in the vault", () => {
  for (const vendor of names) {
    it.effect(`${vendor}: is shut off and replaced, and consumers find another key that works`, () =>
      Effect.gen(function* () {
        const { id, secret } = yield* adopted(vendor)
        const [replaced, ...others] = yield* passingTime(replace(found(secret), "INC-7"))
        assert.isEmpty(others)
        const { current, orphans } = yield* (yield* KeyVault).read(id)
        assert.deepStrictEqual(replaced, { slot: "mail", outcome: "completed", handle: current.handle })
        assert.isFalse(yield* isLive(vendor, secret))
        assert.isTrue(yield* isLive(vendor, yield* Effect.fromOption(current.secret)))
        assert.deepStrictEqual(orphans, [])
        assert.deepStrictEqual(yield* tasks, [])
      }).pipe(Effect.provide(rotating()))
    )
  }

  it.effect(
    "a reply that is lost on the way leaves a key that only a person can remove: it is off, and on the list",
    () =>
      Effect.gen(function* () {
        const http = yield* HttpFaults.HttpFaults
        const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
        const { id, secret } = yield* adopted("smtp2go")
        yield* http.inject("resetAfterCommit", { url: "/api_keys/add" })
        const [replaced] = yield* passingTime(replace(found(secret), "INC-7"))
        assert.strictEqual(replaced?.outcome, "completed")

        const { current, orphans } = yield* (yield* KeyVault).read(id)
        const [orphan] = orphans
        assert.deepStrictEqual(yield* tasks, [
          `mail: remove ${orphan?.handle} in the vendor's dashboard (it is switched off), and settle it`
        ])
        const live = (yield* vendor.keys).filter(
          ({ description, status }) => description === "acme" && status === "allowed"
        )
        assert.deepStrictEqual(
          live.map(({ secret }) => secret),
          [Redacted.value(yield* Effect.fromOption(current.secret))]
        )
        yield* (yield* Rotation).settle(id, orphan?.handle ?? "")
        assert.deepStrictEqual(yield* tasks, [])
      }).pipe(Effect.provide(rotating()))
  )

  it.effect("a string that no slot holds is refused, and nothing is sent; where it is an address, it is shut off", () =>
    Effect.gen(function* () {
      const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
      const { secret } = yield* vendor.addKey({ description: "a stranger" })
      const error = yield* Effect.flip(replace(Redacted.make(secret), "INC-8"))
      assert.strictEqual(error.problem, "NoMatch")
      assert.strictEqual(yield* requestsAt("smtp2go"), 0)
      assert.notInclude(`${error.message}${JSON.stringify(error)}`, secret)

      assert.deepStrictEqual(yield* replaceOrRevoke(Redacted.make(secret), "INC-8"), [])
      assert.isFalse(yield* isLive("smtp2go", Redacted.make(secret)))
    }).pipe(Effect.provide(at("smtp2go")), Effect.provide(rotating()))
  )
})
