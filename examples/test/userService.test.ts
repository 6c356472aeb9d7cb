import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { ApiKeyError, type Can, KeyNotFound, RateLimited } from "@effect-api-keys/core"
import { HttpFaults, issuedKey, layerTest } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Mailboxes from "../src/userService.ts"
import * as Vault from "../src/Vault.ts"
import { credentials, vendors } from "./support.ts"

const issued = issuedKey({ name: "acme" })

const failure = (operation: string, reason: ApiKeyError["reason"]) =>
  new ApiKeyError({ provider: "test", operation, reason })

/** The service over verbs that the test makes up. */
const unit = (parts: Parameters<typeof layerTest>[0]) =>
  Mailboxes.layer.pipe(Layer.provide(layerTest(parts)), Layer.provideMerge(Vault.layerMemory))

describe("a service of your own, by itself (layerTest)", () => {
  it.effect("asks for a key of this tenant and domain, and has it stored", () => {
    const asked: Array<unknown> = []
    return Effect.gen(function* () {
      const mailboxes = yield* Mailboxes.Mailboxes
      assert.strictEqual(yield* mailboxes.open("acme", "acme.example"), "test_handle")
      assert.deepStrictEqual(asked, [{ name: "acme", domains: ["acme.example"] }])
      assert.deepStrictEqual(yield* (yield* Vault.Vault).read("acme"), Option.some(issued))
    }).pipe(
      Effect.provide(
        unit({
          create: (spec, options) => {
            asked.push(spec)
            // A test's `create` calls `deliver` itself, as a vendor's layer would.
            return Effect.as(options?.deliver?.(issued) ?? Effect.void, issued)
          }
        })
      )
    )
  })

  it.effect("says that it is busy where the library says that it may be tried again", () =>
    Effect.gen(function* () {
      const mailboxes = yield* Mailboxes.Mailboxes
      const error = yield* Effect.flip(mailboxes.open("acme", "acme.example"))
      assert.strictEqual(error.tenant, "acme")
    }).pipe(
      Effect.provide(
        unit({
          create: () =>
            Effect.fail(failure("create", new RateLimited({ retryAfter: Duration.seconds(5), source: "provider" })))
        })
      )
    )
  )

  it.effect("closing what is gone is no error, and any other failure is a defect", () =>
    Effect.gen(function* () {
      const close = Effect.gen(function* () {
        yield* (yield* Vault.Vault).put("acme")(issued)
        yield* (yield* Mailboxes.Mailboxes).close("acme")
      })
      yield* close.pipe(Effect.provide(unit({ delete: () => Effect.fail(failure("delete", new KeyNotFound())) })))
      // No verbs at all: `UnsupportedOperation`.
      const exit = yield* Effect.exit(Effect.provide(close, unit({})))
      assert.isTrue(Exit.hasDies(exit))
    })
  )
})

/** The same service over JetEmail itself, in memory. */
const integration = Mailboxes.layer.pipe(
  Layer.provide(
    JetEmail.layer({
      apiKey: Redacted.make(credentials.JETEMAIL_API_KEY),
      defaults: { domains: "any", ips: "any", quota: "unlimited" }
    })
  ),
  Layer.provideMerge(Vault.layerMemory),
  Layer.provideMerge(vendors)
)

describe("the same service, with a vendor (its sandbox)", () => {
  it.effect("opens a mailbox whose key works for that domain alone, and closes it for good", () =>
    Effect.gen(function* () {
      const mailboxes = yield* Mailboxes.Mailboxes
      const vendor = yield* JetEmailSandbox.JetEmailSandbox
      yield* mailboxes.open("acme", "acme.example")
      const key = yield* Effect.orDie(Effect.fromOption(yield* (yield* Vault.Vault).read("acme")))
      assert.isTrue(yield* vendor.isLive(Redacted.value(key.secret)))
      assert.deepStrictEqual((yield* vendor.keys)[0]?.approvedDomains, ["acme.example"])
      yield* mailboxes.close("acme")
      yield* mailboxes.close("acme")
      yield* mailboxes.close("beta")
      assert.deepStrictEqual(yield* vendor.keys, [])
    }).pipe(Effect.provide(integration))
  )

  it.effect("a reply that is lost is a defect, and not a mailbox: nobody may simply try again", () =>
    Effect.gen(function* () {
      yield* (yield* HttpFaults.HttpFaults).inject("resetAfterCommit", { method: "POST" })
      const mailboxes = yield* Mailboxes.Mailboxes
      const exit = yield* Effect.exit(mailboxes.open("acme", "acme.example"))
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(yield* (yield* Vault.Vault).read("acme"), Option.none())
    }).pipe(Effect.provide(integration))
  )

  it("a vendor without domains does not compile", () => {
    const bound = Mailboxes.layer.pipe(
      Layer.provide(
        Voiceable.layer({
          apiKey: Redacted.make(credentials.VOICEABLE_API_KEY),
          baseUrl: credentials.VOICEABLE_BASE_URL,
          defaults: { origins: "any", resources: "any", keyType: "private" }
        })
      )
    )
    expectTypeOf<Layer.Services<typeof bound>>().toEqualTypeOf<HttpClient.HttpClient | Vault.Vault | Can<"domains">>()
  })
})
