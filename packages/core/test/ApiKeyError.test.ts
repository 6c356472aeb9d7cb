import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import {
  ApiKeyError,
  ApiKeyErrorReason,
  AuthenticationFailed,
  InvalidKeyState,
  InvalidRequest,
  type Issue,
  KeyLimitReached,
  KeyNotFound,
  OutcomeUnknown,
  PartiallyApplied,
  PermissionDenied,
  ProviderUnavailable,
  RateLimited,
  type ReasonTag,
  UnexpectedResponse,
  UnsupportedOperation,
  UnsupportedRestriction
} from "../src/ApiKeyError.ts"
import { property } from "./support.ts"

const issues: ReadonlyArray<Issue> = [
  { path: ["domains", 3], message: "is no domain" },
  { path: [], message: "not JSON" }
]

/** Every reason, in every variety, with what its message must say. */
const samples: ReadonlyArray<readonly [ApiKeyErrorReason, ReadonlyArray<string>]> = [
  [new AuthenticationFailed({ problem: "unreadable" }), ["apiKey", "Nothing was sent"]],
  [new AuthenticationFailed({ problem: "malformed" }), ["visible ASCII", "Nothing was sent"]],
  [new AuthenticationFailed({ problem: "rejected" }), ["check"]],
  [new PermissionDenied(), ["grant"]],
  [new KeyNotFound(), ["no such key"]],
  [
    new InvalidRequest({ source: "client", issues }),
    ["before anything was sent", "domains[3]: is no domain", "not JSON"]
  ],
  [new InvalidRequest({ source: "provider", issues }), ["the vendor refused", "domains[3]: is no domain"]],
  [new InvalidRequest({ source: "provider", issues: [] }), ["the vendor refused"]],
  [new KeyLimitReached(), ["delete keys"]],
  [new InvalidKeyState({}), ["state"]],
  ...(["active", "disabled", "suspended", "sandbox", "unknown"] as const).map(
    (status) => [new InvalidKeyState({ status }), [`"${status}"`]] as const
  ),
  [new RateLimited({ retryAfter: Duration.seconds(300), source: "provider" }), ["429", "300 s"]],
  [new RateLimited({ retryAfter: Duration.millis(1200), source: "limiter" }), ["2 s", "Nothing was sent"]],
  ...(["transport", "timeout", "status", "limiter", "closed"] as const).flatMap((problem) => [
    [new ProviderUnavailable({ problem, sent: true }), ["safe to repeat"]] as const,
    [new ProviderUnavailable({ problem, sent: false }), ["Nothing was sent"]] as const
  ]),
  ...(["timeout", "transport", "status", "reply"] as const).map(
    (problem) =>
      [
        new OutcomeUnknown({ problem, issues }),
        ["may or may not have been minted", "not tried again", "list", "domains[3]"]
      ] as const
  ),
  [new PartiallyApplied({ applied: ["name"], missing: ["quota", "ips"] }), ["quota, ips", "took effect: name"]],
  [new PartiallyApplied({ applied: [], missing: ["quota"], revoked: true }), ["was shut off"]],
  [new PartiallyApplied({ applied: [], missing: ["deliver"], revoked: false }), ["COULD NOT", "find it"]],
  [new UnsupportedOperation({ need: "disable" }), [`"disable"`]],
  [new UnsupportedRestriction({ restriction: "ips" }), [`"ips"`, "Nothing was sent"]],
  [new UnexpectedResponse({ problem: "body", issues }), ["domains[3]"]],
  [new UnexpectedResponse({ problem: "size", issues: [] }), ["maxReplyBytes"]],
  [new UnexpectedResponse({ problem: "redirect", issues: [] }), ["never followed", "baseUrl"]]
]

const errorOf = (reason: ApiKeyErrorReason) =>
  new ApiKeyError({
    provider: "acme",
    operation: "rotate",
    handle: "acme_1",
    http: { method: "POST", path: "/keys/:id", status: 418 },
    reason
  })

const tags: ReadonlyArray<ReasonTag> = ApiKeyErrorReason.members.map(({ fields }) => fields._tag.schema.literal)

it("there is a sample of every reason", () => {
  assert.deepStrictEqual([...new Set(samples.map(([{ _tag }]) => _tag))].sort(), [...tags].sort())
  assert.strictEqual(tags.length, 13)
})

describe("every reason", () => {
  for (const [reason, words] of samples) {
    const title = `${reason._tag} ${JSON.stringify({ ...reason })}`
    const error = errorOf(reason)

    it(`${title} says what happened and what to do`, () => {
      assert.isAbove(reason.message.length, 10)
      assert.notInclude(reason.message, "undefined")
      assert.notInclude(reason.message, "[object")
      for (const word of words) assert.include(reason.message, word)
    })

    it(`${title} is told by the error, with vendor, verb, key and exchange`, () => {
      assert.include(error.message, reason.message)
      for (const word of ["acme", "rotate", "acme_1", "POST /keys/:id → 418"]) assert.include(error.message, word)
      assert.include(Cause.pretty(Cause.fail(error)), reason.message)
      assert.include(String(error), reason.message)
      assert.notInclude(new ApiKeyError({ provider: "acme", operation: "list", reason }).message, "undefined")
    })

    it.effect(`${title} goes to JSON and comes back`, () =>
      Effect.gen(function* () {
        const json = Schema.fromJsonString(Schema.toCodecJson(ApiKeyError))
        const text = yield* Schema.encodeUnknownEffect(json)(error)
        const decoded = yield* Schema.decodeUnknownEffect(json)(text)
        assert.instanceOf(decoded, ApiKeyError)
        assert.strictEqual(decoded.reason._tag, reason._tag)
        assert.strictEqual(decoded.message, error.message)
        assert.strictEqual(decoded.isRetryable, error.isRetryable)
        assert.deepStrictEqual(decoded.retryAfter, error.retryAfter)
        assert.isTrue(Equal.equals(decoded.reason, reason))
        assert.strictEqual(yield* Schema.encodeUnknownEffect(json)(decoded), text)
      })
    )

    it(`${title} is retryable or not, and says for how long to wait`, () => {
      const retryable = reason._tag === "RateLimited" || reason._tag === "ProviderUnavailable"
      assert.strictEqual(reason.isRetryable, retryable)
      assert.strictEqual(error.isRetryable, retryable)
      assert.strictEqual(error.retryAfter, reason._tag === "RateLimited" ? reason.retryAfter : undefined)
    })

    it(`${title} is found by \`is\`, by its tag and no other`, () => {
      assert.isTrue(ApiKeyError.is(reason._tag)(error))
      assert.isTrue(ApiKeyError.is(...tags)(error))
      assert.isFalse(ApiKeyError.is(...tags.filter((tag) => tag !== reason._tag))(error))
      assert.isFalse(ApiKeyError.is(reason._tag)(reason), "a reason is not the error")
    })

    it.effect(`${title} is caught by catchReason, and by no other`, () =>
      Effect.gen(function* () {
        const [other = reason._tag] = tags.filter((tag) => tag !== reason._tag)
        const caught = Effect.fail(error).pipe(
          Effect.catchReason("ApiKeyError", other, () => Effect.succeed("other")),
          Effect.catchReason("ApiKeyError", reason._tag, (caught) => Effect.succeed(caught))
        )
        assert.strictEqual(yield* caught, reason)
      })
    )
  }
})

describe("ApiKeyError", () => {
  it("`is` is false for anything else", () => {
    const is = ApiKeyError.is("KeyNotFound")
    for (const value of [
      undefined,
      null,
      "KeyNotFound",
      new Error("KeyNotFound"),
      { _tag: "ApiKeyError", reason: { _tag: "KeyNotFound" } }
    ]) {
      assert.isFalse(is(value))
    }
    assert.isFalse(ApiKeyError.is()(errorOf(new KeyNotFound())))
  })

  it.effect("works with catchIf, unwrapReason and catchReasons", () =>
    Effect.gen(function* () {
      const failing = Effect.fail(errorOf(new RateLimited({ retryAfter: Duration.seconds(5), source: "provider" })))
      const waited = yield* Effect.catchIf(failing, ApiKeyError.is("RateLimited"), ({ reason }) =>
        Effect.succeed(Duration.toSeconds(reason.retryAfter))
      )
      assert.strictEqual(waited, 5)
      const unwrapped = yield* failing.pipe(
        Effect.unwrapReason("ApiKeyError"),
        Effect.catchTag("RateLimited", ({ source }) => Effect.succeed(source))
      )
      assert.strictEqual(unwrapped, "provider")
      const chosen = yield* failing.pipe(
        Effect.catchReasons("ApiKeyError", {
          KeyNotFound: () => Effect.succeed("gone"),
          RateLimited: () => Effect.succeed("later")
        })
      )
      assert.strictEqual(chosen, "later")
    })
  )

  it("another library's RateLimited is not ours", () => {
    class Foreign extends Schema.TaggedError<Foreign>("other/RateLimited")("RateLimited", {}) {}
    assert.isFalse(Schema.is(ApiKeyErrorReason)(new Foreign()))
  })

  it("names the package in its identifiers", () => {
    for (const schema of [ApiKeyError, ...ApiKeyErrorReason.members]) {
      assert.match(schema.identifier, /^@effect-api-keys\/core\//)
    }
  })

  it.effect("any issue, status and duration survives the round trip, or is refused when it is made", () =>
    property(
      fc.record({
        path: fc.array(fc.oneof(fc.string(), fc.nat())),
        message: fc.string(),
        status: fc.integer({ min: 100, max: 599 }),
        millis: fc.nat()
      }),
      ({ message, millis, path, status }) =>
        Effect.gen(function* () {
          const json = Schema.fromJsonString(Schema.toCodecJson(ApiKeyError))
          for (const reason of [
            new InvalidRequest({ source: "provider", issues: [{ path, message }] }),
            new RateLimited({ retryAfter: Duration.millis(millis), source: "limiter" })
          ]) {
            const error = new ApiKeyError({
              provider: "acme",
              operation: "get",
              http: { method: "GET", path: "/", status },
              reason
            })
            const text = yield* Schema.encodeUnknownEffect(json)(error)
            assert.isTrue(Equal.equals((yield* Schema.decodeUnknownEffect(json)(text)).reason, reason))
          }
        }).pipe(Effect.orDie),
      { numRuns: 100 }
    )
  )

  it("names its parts in the order of a path", () => {
    const message = (path: Issue["path"]) =>
      new InvalidRequest({ source: "provider", issues: [{ path, message: "no" }] }).message
    assert.include(message(["defaults", "ips", 0]), "defaults.ips[0]: no")
    assert.include(message([0, "name"]), "[0].name: no")
  })
})
