import { assert, describe, it } from "@effect/vitest"
import * as Core from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import { type Advice, adviceFor } from "../src/reasons.ts"
import { at } from "./support.ts"

const errorOf = (reason: Core.ApiKeyErrorReason) =>
  new Core.ApiKeyError({ provider: "acme", operation: "create", handle: "acme_1", reason })

/** One of each; the record makes the compiler ask for a new one. */
const expected: { readonly [Tag in Core.ReasonTag]: readonly [Core.ApiKeyErrorReason & { _tag: Tag }, Advice["do"]] } =
  {
    AuthenticationFailed: [new Core.AuthenticationFailed({ problem: "rejected" }), "page"],
    PermissionDenied: [new Core.PermissionDenied(), "page"],
    KeyNotFound: [new Core.KeyNotFound(), "fix"],
    InvalidRequest: [new Core.InvalidRequest({ source: "client", issues: [] }), "fix"],
    KeyLimitReached: [new Core.KeyLimitReached(), "page"],
    InvalidKeyState: [new Core.InvalidKeyState({}), "fix"],
    RateLimited: [new Core.RateLimited({ retryAfter: Duration.seconds(7), source: "limiter" }), "retry"],
    ProviderUnavailable: [new Core.ProviderUnavailable({ problem: "timeout", sent: true }), "retry"],
    OutcomeUnknown: [new Core.OutcomeUnknown({ problem: "timeout", issues: [] }), "look"],
    PartiallyApplied: [new Core.PartiallyApplied({ applied: [], missing: ["quota"] }), "look"],
    UnsupportedOperation: [new Core.UnsupportedOperation({ need: "disable" }), "page"],
    UnsupportedRestriction: [new Core.UnsupportedRestriction({ restriction: "quota" }), "fix"],
    UnexpectedResponse: [new Core.UnexpectedResponse({ problem: "body", issues: [] }), "page"]
  }

describe("what to do about each reason", () => {
  for (const [reason, advice] of Object.values(expected)) {
    it(`${reason._tag}: ${advice}`, () => {
      assert.strictEqual(adviceFor(errorOf(reason)).do, advice)
    })
  }

  it("is to try again just where the library says that this may help", () => {
    for (const [reason, advice] of Object.values(expected)) {
      assert.strictEqual(reason.isRetryable, advice === "retry", reason._tag)
    }
  })

  it("is to call somebody where a key may be live that nobody holds", () => {
    const reason = new Core.PartiallyApplied({ applied: [], missing: ["quota"], revoked: false })
    assert.deepInclude(adviceFor(errorOf(reason)), { do: "page", status: 500 })
  })

  it("a reason that is left out does not compile", () => {
    const partial = (reason: Core.KeyNotFound | Core.PermissionDenied) =>
      // @ts-expect-error: PermissionDenied is missing
      Match.valueTags(reason, { KeyNotFound: () => "gone" })
    assert.strictEqual(partial(new Core.KeyNotFound()), "gone")
  })

  it.effect("a vendor's 429 says when, and a lost create says where to look", () =>
    Effect.gen(function* () {
      const keys = yield* Core.ApiKeyService.can("create")
      yield* (yield* HttpFaults.HttpFaults).inject("resetAfterCommit", { method: "POST" })
      const lost = adviceFor(yield* Effect.flip(keys.create({ name: "acme" })))
      assert.strictEqual(lost.do, "look")
      yield* (yield* JetEmailSandbox.JetEmailSandbox).lockOut({ seconds: 90 })
      assert.deepStrictEqual(adviceFor(yield* Effect.flip(keys.create({ name: "acme" }))), {
        do: "retry",
        status: 503,
        after: Duration.seconds(90)
      })
    }).pipe(Effect.provide(at("jetemail")))
  )
})
