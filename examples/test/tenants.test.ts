import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpSandbox } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { Accounts, issue, keysOf, revoke, type Tenant } from "../src/tenants.ts"
import { credentials, environment } from "./support.ts"

const EU = "api_test_jetemail_eu"
const US = "api_test_jetemail_us"

/** Two accounts at JetEmail and one at SMTP2GO; a request goes to the account whose credential it carries. */
const setup = Effect.gen(function* () {
  const jetEmail = (credential: string) =>
    Effect.map(Layer.build(JetEmailSandbox.layer({ credential })), Context.get(JetEmailSandbox.JetEmailSandbox))
  const eu = yield* jetEmail(EU)
  const us = yield* jetEmail(US)
  const smtp2go = Context.get(
    yield* Layer.build(MailerPatchSandbox.layer({ credential: credentials.SMTP2GO_API_KEY })),
    MailerPatchSandbox.MailerPatchSandbox
  )
  const clientOf = ({ app }: { readonly app: HttpSandbox.App }) =>
    Effect.map(Layer.build(HttpSandbox.layerClient(app)), Context.get(HttpClient.HttpClient))
  const clients = { eu: yield* clientOf(eu), us: yield* clientOf(us), smtp2go: yield* clientOf(smtp2go) }
  const internet = HttpClient.make((request) => {
    const { authorization } = request.headers
    return (
      authorization === undefined ? clients.smtp2go : authorization.endsWith(EU) ? clients.eu : clients.us
    ).execute(request)
  })
  const layer = Accounts.layer.pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, internet)),
    Layer.provide(
      environment({
        JETEMAIL_EU_API_KEY: EU,
        JETEMAIL_US_API_KEY: US,
        SMTP2GO_MAIN_API_KEY: credentials.SMTP2GO_API_KEY
      })
    )
  )
  return { eu, us, smtp2go, context: yield* Layer.build(layer) }
})

const acme: Tenant = { id: "acme", vendor: "jetemail", account: "eu" }
const beta: Tenant = { id: "beta", vendor: "jetemail", account: "eu" }
const corp: Tenant = { id: "corp", vendor: "jetemail", account: "us" }
const dent: Tenant = { id: "dent", vendor: "smtp2go", account: "main" }

const drop = () => Effect.void
const serviceOf = (tenant: Tenant) =>
  Effect.provide(
    ApiKeyService.useSync((keys) => keys),
    keysOf(tenant)
  )

describe("tenants over vendors and accounts", () => {
  it.effect("a tenant's record decides at which vendor and account its key is made", () =>
    Effect.gen(function* () {
      const { context, eu, smtp2go, us } = yield* setup
      yield* Effect.forEach([acme, beta, corp, dent], (tenant) => issue(tenant, drop), { concurrency: 4 }).pipe(
        Effect.provideContext(context)
      )
      assert.deepStrictEqual((yield* eu.keys).map(({ name }) => name).sort(), ["acme", "beta"])
      assert.deepStrictEqual(
        (yield* us.keys).map(({ name }) => name),
        ["corp"]
      )
      assert.deepStrictEqual(
        (yield* smtp2go.keys).slice(1).map(({ description }) => description),
        ["dent"]
      )
    })
  )

  it.effect("a ref of another account at the same vendor is refused, and nothing is sent", () =>
    Effect.gen(function* () {
      const { context, eu, us } = yield* setup
      yield* Effect.gen(function* () {
        const { ref, secret } = yield* issue(acme, drop)
        const before = (yield* us.requests).length
        const error = yield* Effect.flip(revoke(corp, ref))
        assert.strictEqual(error._tag === "ApiKeyError" && error.reason._tag, "InvalidRequest")
        assert.include(error.message, "another account")
        assert.strictEqual((yield* us.requests).length, before)
        assert.isTrue(yield* eu.isLive(Redacted.value(secret)))
        assert.strictEqual(yield* revoke(beta, ref), "disabled")
        assert.isFalse(yield* eu.isLive(Redacted.value(secret)))
      }).pipe(Effect.provideContext(context))
    })
  )

  it.effect("all tenants of an account share one layer, which is released when it was idle for five minutes", () =>
    Effect.gen(function* () {
      const { context } = yield* setup
      yield* Effect.gen(function* () {
        const first = yield* serviceOf(acme)
        assert.notStrictEqual(yield* serviceOf(corp), first)
        yield* TestClock.adjust("4 minutes")
        assert.strictEqual(yield* serviceOf(beta), first)
        yield* TestClock.adjust("4 minutes")
        assert.strictEqual(yield* serviceOf(acme), first)
        yield* TestClock.adjust("5 minutes")
        assert.notStrictEqual(yield* serviceOf(acme), first)
        // What was released is closed: it mints no more.
        const error = yield* Effect.flip(first.create({ name: "late" }))
        assert.include(error.message, "closed")
      }).pipe(Effect.provideContext(context))
    })
  )

  it.effect("an account without a credential is a ConfigError that names the variable", () =>
    Effect.gen(function* () {
      const { context } = yield* setup
      const error = yield* Effect.flip(issue({ ...acme, account: "apac" }, drop)).pipe(Effect.provideContext(context))
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, "JETEMAIL_APAC_API_KEY")
    })
  )
})
