import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService, type KeyRef } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { NoList, removeDomain } from "../src/narrow.ts"
import { credentials, vendors } from "./support.ts"

const layer = JetEmail.layer({
  apiKey: Redacted.make(credentials.JETEMAIL_API_KEY),
  defaults: { domains: "any", ips: "any", quota: "unlimited" },
  retry: false
}).pipe(Layer.provideMerge(vendors))

const keyFor = (...domains: readonly [string, ...ReadonlyArray<string>]) =>
  Effect.gen(function* () {
    const keys = yield* ApiKeyService.can("create", "domains")
    return (yield* keys.create({ name: "acme", domains })).ref
  })

const shown = Effect.fnUntraced(function* (ref: KeyRef) {
  const { keys } = yield* JetEmailSandbox.JetEmailSandbox
  const key = (yield* keys).find(({ token }) => token === Redacted.value(ref.value))
  return { all: key?.allowAllDomains, domains: key?.approvedDomains, status: key?.status }
})

/** A reply that says yes to a change that is then not there, as after somebody else's change. */
const undone = { status: 200, body: JSON.stringify({ success: true, message: "Key updated successfully" }) }

describe("narrowing when a domain is removed", () => {
  it.effect("the domain is off the list, and the others stay", () =>
    Effect.gen(function* () {
      const ref = yield* keyFor("a.example", "b.example", "c.example")
      assert.strictEqual(yield* removeDomain(ref, "B.example"), "narrowed")
      assert.deepStrictEqual(yield* shown(ref), { all: false, domains: ["a.example", "c.example"], status: "active" })
      assert.strictEqual(yield* removeDomain(ref, "b.example"), "not listed")
    }).pipe(Effect.provide(layer))
  )

  it.effect("the last domain takes the key with it: it is never widened, and an empty list never sent", () =>
    Effect.gen(function* () {
      const ref = yield* keyFor("a.example")
      assert.strictEqual(yield* removeDomain(ref, "a.example"), "disabled")
      assert.deepStrictEqual(yield* shown(ref), { all: false, domains: ["a.example"], status: "disabled" })
    }).pipe(Effect.provide(layer))
  )

  it.effect("a key for every domain has no list to take one from", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create")
      const { handle, ref } = yield* keys.create({ name: "open" })
      const error = yield* Effect.flip(removeDomain(ref, "a.example"))
      assert.instanceOf(error, NoList)
      assert.strictEqual(error.handle, handle)
    }).pipe(Effect.provide(layer))
  )

  it.effect("a change that cannot be confirmed is made again", () =>
    Effect.gen(function* () {
      const http = yield* HttpFaults.HttpFaults
      const ref = yield* keyFor("a.example", "b.example")
      yield* http.inject(undone, { method: "PATCH", times: 2 })
      assert.strictEqual(yield* removeDomain(ref, "b.example"), "narrowed")
      assert.deepStrictEqual(yield* shown(ref), { all: false, domains: ["a.example"], status: "active" })
    }).pipe(Effect.provide(layer))
  )

  it.effect("a change that can never be confirmed shuts the key off", () =>
    Effect.gen(function* () {
      const http = yield* HttpFaults.HttpFaults
      const ref = yield* keyFor("a.example", "b.example")
      yield* http.inject(undone, { method: "PATCH", times: 3 })
      assert.strictEqual(yield* removeDomain(ref, "b.example"), "disabled")
      assert.strictEqual((yield* shown(ref)).status, "disabled")
    }).pipe(Effect.provide(layer))
  )

  it.effect("a vendor that cannot be reached fails the call, and nothing was changed", () =>
    Effect.gen(function* () {
      const http = yield* HttpFaults.HttpFaults
      const ref = yield* keyFor("a.example", "b.example")
      yield* http.inject("refused", { times: 10 })
      const error = yield* Effect.flip(removeDomain(ref, "b.example"))
      assert.strictEqual(error._tag === "ApiKeyError" && error.reason._tag, "ProviderUnavailable")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* shown(ref)).domains, ["a.example", "b.example"])
    }).pipe(Effect.provide(layer))
  )
})
