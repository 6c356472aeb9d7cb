import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { ApiKeyError, InvalidKeyState, KeyNotFound, type ReasonTag } from "../src/ApiKeyError.ts"
import { Urgent } from "../src/internal/limiter.ts"
import * as ProviderClient from "../src/ProviderClient.ts"
import { HttpFaults, HttpSandbox } from "../src/testing/index.ts"
import { breathe, expectReason, property, recordingTracer, run, settle } from "./support.ts"

const secret = "api_test_manager"
const minted = "api_test_minted_secret"

interface Received {
  readonly method: string
  readonly url: string
  readonly headers: Headers.Headers
  readonly body: string
  readonly at: number
}

/** A vendor with one key, `k1`; it counts what it carried out. */
const makeVendor = () => {
  const received: Array<Received> = []
  const keys = new Set(["k1"])
  const vendor = { received, keys, committed: 0 }
  const app: HttpSandbox.App = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* Effect.orElseSucceed(request.text, () => "")
    const at = yield* Clock.currentTimeMillis
    received.push({ method: request.method, url: request.originalUrl, headers: request.headers, body, at })
    const id = new URL(request.originalUrl).pathname.split("/").at(-1) ?? ""
    const notFound = HttpServerResponse.jsonUnsafe({ error: `no key ${id}` }, { status: 404 })
    switch (request.method) {
      case "GET":
        return HttpServerResponse.jsonUnsafe({ id: "k1", name: "one" })
      case "POST":
        vendor.committed++
        return HttpServerResponse.jsonUnsafe({ id: `k${vendor.committed + 1}`, secret: minted })
      case "PATCH":
        if (!keys.has(id)) return notFound
        vendor.committed++
        return HttpServerResponse.jsonUnsafe({ id: "k1", name: "two" })
      default:
        if (!keys.delete(id)) return notFound
        vendor.committed++
        return HttpServerResponse.jsonUnsafe({ ok: true })
    }
  })
  return { vendor, app, layer: Layer.provideMerge(HttpFaults.layer, HttpSandbox.layerClient(app)) }
}

const Shown = Schema.Struct({ id: Schema.String, name: Schema.String })
const Minted = Schema.Struct({ id: Schema.String, secret: Schema.String })
const errors = { 404: () => new KeyNotFound() }

const read = { method: "GET", path: "/keys/:id", safety: "read", reply: Shown, errors } as const
const idempotent = {
  method: "PATCH",
  path: "/keys/:id",
  safety: "idempotent",
  body: Schema.String,
  reply: Shown,
  errors
} as const
const remove = {
  method: "DELETE",
  path: "/keys/:id",
  safety: "remove",
  reply: Schema.Struct({ ok: Schema.Boolean }),
  gone: () => ({ ok: true }),
  errors
} as const
const mint = { method: "POST", path: "/keys", safety: "mint", body: Schema.String, reply: Minted, errors } as const

const generous = { limit: 1000, window: "1 minute" } as const

type Options = Partial<ProviderClient.VendorOptions>

const make = (options: Options = {}) =>
  ProviderClient.make({
    provider: "acme",
    baseUrl: "https://api.acme.test/v1",
    authorization: (credential) => ["x-acme-key", credential],
    budgets: { ordinary: generous, urgent: generous, lockout: "5 minutes" },
    apiKey: Redacted.make(secret),
    ...options
  })

const reading = (options?: Options) =>
  Effect.flatMap(make(options), (client) => client.call(read)({ params: { id: "k1" } }))

/** One call of each safety, against the key `k1`. */
const calls: Record<
  ProviderClient.Safety,
  (client: ProviderClient.ProviderClient) => Effect.Effect<unknown, ApiKeyError>
> = {
  read: (client) => client.call(read)({ params: { id: "k1" } }),
  idempotent: (client) => client.call(idempotent)({ params: { id: "k1" }, body: "k1" }),
  remove: (client) => client.call(remove)({ params: { id: "k1" } }),
  mint: (client) => Effect.flatMap(client.prepare(mint)({ body: "k1" }), ({ send }) => send)
}

const safeties = ["read", "idempotent", "remove", "mint"] as const

/** What a person or a log may see of an error. */
const renderings = (error: ApiKeyError): string =>
  [
    String(error),
    error.message,
    error.stack ?? "",
    JSON.stringify(error),
    inspect(error, { depth: Infinity, showHidden: true }),
    Cause.pretty(Cause.fail(error))
  ].join("\n")

describe("the manager's credential", () => {
  it.effect("an effect is run for every call, so that the credential can rotate", () => {
    const { layer, vendor } = makeVendor()
    let generation = 0
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.sync(() => Redacted.make(`api_test_${++generation}`)) })
      assert.strictEqual(generation, 0, "making the client reads nothing")
      yield* calls.read(client)
      yield* calls.mint(client)
      assert.deepStrictEqual(
        vendor.received.map(({ headers }) => headers["x-acme-key"]),
        ["api_test_1", "api_test_2"]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("an effect is run again for a repeat", () => {
    const { layer, vendor } = makeVendor()
    let generation = 0
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.sync(() => Redacted.make(`api_test_${++generation}`)) })
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 503, commit: true })
      yield* run(calls.read(client))
      assert.deepStrictEqual(
        vendor.received.map(({ headers }) => headers["x-acme-key"]),
        ["api_test_1", "api_test_2"]
      )
    }).pipe(Effect.provide(layer))
  })

  const wiped = Redacted.make(secret)
  Redacted.wipeUnsafe(wiped)
  const unreadable: Record<string, ProviderClient.Credential> = {
    "fails with the secret": Effect.fail({ message: `cannot decrypt ${secret}` }),
    "dies with the secret": Effect.die(new Error(secret)),
    throws: Effect.sync(() => {
      throw new Error(secret)
    }),
    "was wiped": wiped,
    "gives a wiped one": Effect.succeed(wiped)
  }
  for (const [what, apiKey] of Object.entries(unreadable)) {
    for (const safety of safeties) {
      it.effect(`one that ${what}: "unreadable", nothing is sent, and the secret is nowhere (${safety})`, () => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          const client = yield* make({ apiKey })
          const error = yield* Effect.flip(calls[safety](client))
          assert.strictEqual(error.reason._tag === "AuthenticationFailed" && error.reason.problem, "unreadable")
          assert.isFalse(renderings(error).includes(secret))
          assert.strictEqual(vendor.received.length, 0)
        }).pipe(Effect.provide(layer))
      })
    }
  }

  it.effect("a caller who leaves while it is read is interrupted, and nothing is sent", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.never })
      const fiber = yield* Effect.forkChild(calls.read(client))
      yield* breathe
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), "interrupted, not failed")
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("one that never comes is unreadable after the time-out, and nothing is sent", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.never, timeout: "5 seconds" })
      const { problem } = yield* run(expectReason(calls.mint(client), "AuthenticationFailed"))
      assert.strictEqual(problem, "unreadable")
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("one that is no text, as from an environment variable that is not set: malformed", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      for (const value of [undefined, null, 5]) {
        // What a caller without types may pass.
        const apiKey = Redacted.make(value as unknown as string)
        const { problem } = yield* expectReason(reading({ apiKey }), "AuthenticationFailed")
        assert.strictEqual(problem, "malformed")
      }
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  const malformed: Record<string, string> = {
    empty: "",
    CR: "api_test\r1",
    LF: "api_test\n1",
    "CRLF and a header": "api_test\r\nx-evil: 1",
    "a trailing line end": `${secret}\n`,
    "a space": "api test",
    "a leading space": ` ${secret}`,
    tab: "api\ttest",
    NUL: "api\u0000test",
    DEL: "api\u007ftest",
    "no ASCII": "api_tést",
    "a line separator": "api\u2028test"
  }
  for (const [what, value] of Object.entries(malformed)) {
    it.effect(`with ${what}: "malformed", and nothing is sent`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        for (const apiKey of [Redacted.make(value), Effect.succeed(Redacted.make(value))]) {
          const error = yield* Effect.flip(reading({ apiKey }))
          assert.strictEqual(error.reason._tag === "AuthenticationFailed" && error.reason.problem, "malformed")
          if (value !== "") assert.isFalse(renderings(error).includes(value))
        }
        assert.strictEqual(vendor.received.length, 0)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("any other credential arrives whole, and only in its header", () =>
    property(
      fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), minLength: 12 }),
      (value) => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          yield* reading({ apiKey: Redacted.make(value) })
          const [request] = vendor.received
          const { headers = Headers.empty, url = value } = request ?? {}
          assert.isFalse(url.includes(value))
          assert.deepStrictEqual(
            Object.keys(headers).filter((name) => headers[name] === value),
            ["x-acme-key"]
          )
        }).pipe(Effect.scoped, Effect.provide(layer), Effect.orDie)
      },
      { numRuns: 50 }
    )
  )
})

describe("baseUrl", () => {
  const refused = [
    "",
    "api.acme.test",
    "/v1",
    "http://api.acme.test",
    "http://127.0.0.1.evil.test",
    "http://localhost.evil.test",
    "http://evil.test/localhost",
    "http://[::2]",
    "ftp://api.acme.test",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://user:pass@api.acme.test",
    "https://user@api.acme.test",
    "https://api.acme.test?key=1",
    "https://api.acme.test/#part"
  ]
  for (const baseUrl of refused) {
    it.effect(`refuses "${baseUrl}", without quoting it`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(make({ baseUrl }))
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        assert.deepStrictEqual(error.reason._tag === "InvalidRequest" && error.reason.issues[0]?.path, ["baseUrl"])
        if (baseUrl !== "") assert.isFalse(renderings(error).includes(baseUrl))
      }).pipe(Effect.provide(makeVendor().layer))
    )
  }

  const accepted: Record<string, string> = {
    "https://api.acme.test": "https://api.acme.test/keys/k1",
    "https://api.acme.test/": "https://api.acme.test/keys/k1",
    "https://api.acme.test/v3//": "https://api.acme.test/v3/keys/k1",
    "https://api.acme.test/?": "https://api.acme.test/keys/k1",
    "https://api.acme.test/v3#": "https://api.acme.test/v3/keys/k1",
    "http://localhost:8080": "http://localhost:8080/keys/k1",
    "http://127.0.0.1:8080": "http://127.0.0.1:8080/keys/k1",
    "http://[::1]:8080": "http://[::1]:8080/keys/k1"
  }
  for (const [baseUrl, url] of Object.entries(accepted)) {
    it.effect(`accepts "${baseUrl}"`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        yield* reading({ baseUrl })
        assert.deepStrictEqual(
          vendor.received.map((request) => request.url),
          [url]
        )
      }).pipe(Effect.provide(layer))
    })
  }
})

describe("options", () => {
  // What a caller without types may pass.
  const soon = "soon" as "1 second"
  const wrong: ReadonlyArray<readonly [string, Options]> = [
    ["timeout", { timeout: soon }],
    ["retry.base", { retry: { base: soon } }],
    ["retry.times", { retry: { times: -1 } }],
    ["retry.times", { retry: { times: 1.5 } }],
    ["retry.times", { retry: { times: Number.NaN } }],
    ["rateLimit.maxWait", { rateLimit: { maxWait: soon } }],
    ["maxReplyBytes", { maxReplyBytes: 0 }],
    ["maxReplyBytes", { maxReplyBytes: Number.NaN }],
    ["maxReplyBytes", { maxReplyBytes: Number.POSITIVE_INFINITY }]
  ]
  for (const [path, options] of wrong) {
    it.effect(`${inspect(options)} is refused by its name`, () =>
      Effect.gen(function* () {
        const { issues, source } = yield* expectReason(make(options), "InvalidRequest")
        assert.strictEqual(source, "client")
        assert.deepStrictEqual(
          issues.map((issue) => issue.path.join(".")),
          [path]
        )
      }).pipe(Effect.provide(makeVendor().layer))
    )
  }
})

describe("faults", () => {
  interface Expected {
    readonly reason: ReasonTag | "success"
    readonly problem?: string
    readonly attempts: number
    /** How often the vendor carried it out. */
    readonly committed: number
    readonly sent?: boolean
  }
  type Row = Record<"read" | "idempotent" | "remove" | "mint", Expected>

  const unavailable = (problem: string, committed = 0, sent = true): Expected => ({
    reason: "ProviderUnavailable",
    problem,
    attempts: 4,
    committed,
    sent
  })
  const unknown = (problem: string, committed = 0): Expected => ({
    reason: "OutcomeUnknown",
    problem,
    attempts: 1,
    committed
  })
  const once = (reason: ReasonTag | "success", committed = 0, problem?: string): Expected => ({
    reason,
    attempts: 1,
    committed,
    ...(problem === undefined ? {} : { problem })
  })
  /** The same for all repeatable calls, where the vendor does nothing. */
  const same = (repeatable: Expected, mint: Expected): Row => ({
    read: repeatable,
    idempotent: repeatable,
    remove: repeatable,
    mint
  })
  /** A reply that is lost each time after the vendor did its work; a removal works only once. */
  const lost = (problem: string): Row => ({
    read: unavailable(problem),
    idempotent: unavailable(problem, 4),
    remove: unavailable(problem, 1),
    mint: unknown(problem, 1)
  })
  const unreadable: Row = {
    read: once("UnexpectedResponse", 0, "body"),
    idempotent: once("UnexpectedResponse", 1, "body"),
    remove: once("UnexpectedResponse", 1, "body"),
    mint: unknown("reply", 1)
  }
  const definite = (reason: ReasonTag, problem?: string): Row =>
    same(once(reason, 0, problem), once(reason, 0, problem))
  const location = { location: "https://evil.test/steal" }

  // Each fault strikes every attempt.
  const table: ReadonlyArray<readonly [string, HttpFaults.Fault, Row]> = [
    [
      "refused",
      "refused",
      same(unavailable("transport", 0, false), { ...unavailable("transport", 0, false), attempts: 1 })
    ],
    ["hang", "hang", same(unavailable("timeout"), unknown("timeout"))],
    ["reset", "reset", same(unavailable("transport"), unknown("transport"))],
    ["resetAfterCommit", "resetAfterCommit", lost("transport")],
    ["hangAfterCommit", "hangAfterCommit", lost("timeout")],
    ["truncatedBody", "truncatedBody", unreadable],
    ["notJson", "notJson", unreadable],
    ["emptyBody", "emptyBody", unreadable],
    ["emptyObject", "emptyObject", unreadable],
    ["408", { status: 408 }, same(unavailable("status"), unknown("status"))],
    ["500", { status: 500 }, same(unavailable("status"), unknown("status"))],
    ["503 after the work", { status: 503, commit: true }, lost("status")],
    ["599", { status: 599 }, same(unavailable("status"), unknown("status"))],
    ["429 of five minutes", { status: 429 }, definite("RateLimited")],
    [
      "429 of 2 s",
      { status: 429, headers: { "retry-after": "2" } },
      same({ reason: "RateLimited", attempts: 4, committed: 0 }, once("RateLimited"))
    ],
    ...[301, 302, 303, 307, 308].map(
      (status) =>
        [
          `${status}`,
          { status, headers: location },
          same(once("UnexpectedResponse", 0, "redirect"), unknown("reply"))
        ] as const
    ),
    [
      "a redirect after the work",
      { status: 303, headers: location, commit: true },
      {
        read: once("UnexpectedResponse", 0, "redirect"),
        idempotent: once("UnexpectedResponse", 1, "redirect"),
        remove: once("UnexpectedResponse", 1, "redirect"),
        mint: unknown("reply", 1)
      }
    ],
    ["304", { status: 304 }, same(once("UnexpectedResponse", 0, "redirect"), unknown("reply"))],
    ["400", { status: 400 }, definite("InvalidRequest")],
    ["401", { status: 401 }, definite("AuthenticationFailed", "rejected")],
    ["402", { status: 402 }, definite("PermissionDenied")],
    ["403", { status: 403 }, definite("PermissionDenied")],
    ["404", { status: 404 }, definite("KeyNotFound")],
    ["409", { status: 409 }, definite("InvalidRequest")],
    ["422 with a secret in its text", { status: 422, body: JSON.stringify(minted) }, definite("InvalidRequest")]
  ]

  for (const [name, fault, row] of table) {
    for (const safety of safeties) {
      const expected = row[safety]
      it.effect(`${name} on ${safety}: ${expected.reason} after ${expected.attempts}`, () => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          const faults = yield* HttpFaults.HttpFaults
          const client = yield* make()
          yield* faults.inject(fault, { times: 100 })
          const exit = yield* settle(Effect.flip(calls[safety](client)))
          if (Exit.isFailure(exit)) return assert.fail(`succeeded instead of ${expected.reason}`)
          const error = exit.value
          const { reason } = error
          assert.strictEqual(reason._tag, expected.reason, error.message)
          if (expected.problem !== undefined) {
            assert.strictEqual(Predicate.hasProperty(reason, "problem") ? reason.problem : undefined, expected.problem)
          }
          if (reason._tag === "ProviderUnavailable") assert.strictEqual(reason.sent, expected.sent)
          const attempts = yield* faults.attempts
          assert.strictEqual(attempts.length, expected.attempts, "attempts")
          assert.strictEqual(vendor.committed, expected.committed, "carried out")
          assert.isTrue(
            attempts.every(({ url }) => url.startsWith("https://api.acme.test/v1/keys")),
            "nothing goes anywhere else"
          )
          assert.isFalse(renderings(error).includes(minted), "nothing of the reply")
          assert.isFalse(renderings(error).includes(secret))
          assert.isFalse(renderings(error).includes("evil.test"))
        }).pipe(Effect.provide(layer))
      })
    }
  }

  for (const fault of ["refused", "hang", "reset", "resetAfterCommit", "hangAfterCommit"] as const) {
    for (const safety of ["read", "idempotent", "remove"] as const) {
      it.effect(`${fault}, once, on ${safety}: the repeat succeeds`, () => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          const faults = yield* HttpFaults.HttpFaults
          yield* faults.inject(fault)
          yield* run(calls[safety](yield* make()))
          assert.strictEqual((yield* faults.attempts).length, 2)
          if (safety === "remove") assert.strictEqual(vendor.committed, 1)
        }).pipe(Effect.provide(layer))
      })
    }
  }

  it.effect("the time-out is the one that was asked for, and counts per attempt", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject("hang", { times: 100 })
      const client = yield* make({ timeout: "2 seconds", retry: false })
      const fiber = yield* Effect.forkChild(Effect.flip(calls.mint(client)))
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag === "OutcomeUnknown" && error.reason.problem, "timeout")
    }).pipe(Effect.provide(layer))
  })

  for (const safety of safeties) {
    it.effect(`the time-out holds against a client that cannot be interrupted (${safety})`, () =>
      Effect.gen(function* () {
        const client = yield* make({
          transformClient: () => HttpClient.make(() => Effect.uninterruptible(Effect.never))
        })
        const tag = safety === "mint" ? "OutcomeUnknown" : "ProviderUnavailable"
        const { problem } = yield* run(expectReason(calls[safety](client), tag))
        assert.strictEqual(problem, "timeout")
      }).pipe(Effect.provide(makeVendor().layer))
    )
  }

  for (const safety of ["read", "mint"] as const) {
    it.effect(`a reply is one as soon as it is there, whatever the client has forked (${safety})`, () =>
      Effect.gen(function* () {
        const client = yield* make({
          transformClient: HttpClient.tap(() =>
            Effect.forkChild(Effect.uninterruptible(Effect.sleep("1 hour")), { startImmediately: true })
          )
        })
        const fiber = yield* Effect.forkChild(calls[safety](client))
        yield* TestClock.adjust("1 second")
        assert.isTrue(fiber.pollUnsafe()?._tag === "Success")
      }).pipe(Effect.provide(makeVendor().layer))
    )
  }

  it.effect("a body that never ends is a time-out too", () => {
    const drip = HttpServerResponse.stream(Stream.concat(Stream.succeed(new Uint8Array([123])), Stream.never))
    return Effect.gen(function* () {
      const client = yield* make({ retry: false })
      const onRead = yield* run(expectReason(calls.read(client), "ProviderUnavailable"))
      assert.strictEqual(onRead.problem, "timeout")
      const onMint = yield* run(expectReason(calls.mint(client), "OutcomeUnknown"))
      assert.strictEqual(onMint.problem, "timeout")
    }).pipe(Effect.provide(HttpSandbox.layerClient(Effect.succeed(drip))))
  })

  it.effect("a body that breaks off is transport, and what an error status means does not hang on it", () => {
    const broken = (status: number) =>
      HttpServerResponse.stream(Stream.concat(Stream.succeed(new Uint8Array([123])), Stream.fail("broken")), { status })
    return Effect.gen(function* () {
      let status = 200
      const layer = HttpSandbox.layerClient(Effect.sync(() => broken(status)))
      yield* Effect.gen(function* () {
        const client = yield* make({ retry: false })
        const onRead = yield* expectReason(calls.read(client), "ProviderUnavailable")
        assert.deepStrictEqual([onRead.problem, onRead.sent], ["transport", true])
        assert.strictEqual((yield* expectReason(calls.mint(client), "OutcomeUnknown")).problem, "transport")
        status = 403
        yield* expectReason(calls.mint(client), "PermissionDenied")
      }).pipe(Effect.provide(layer))
    })
  })

  const codes = (reasons: ReadonlyArray<unknown>) => Object.assign(new AggregateError([]), { errors: reasons })
  const refused = { code: "ECONNREFUSED", syscall: "connect" }
  const causes: ReadonlyArray<readonly [string, unknown, boolean]> = [
    ["connection refused", Object.assign(new Error(), { code: "ECONNREFUSED", syscall: "connect" }), false],
    ["refused while reading", Object.assign(new Error(), { code: "ECONNREFUSED", syscall: "read" }), true],
    ["host unreachable while reading", Object.assign(new Error(), { code: "EHOSTUNREACH", syscall: "read" }), true],
    ["no such host", Object.assign(new Error(), { code: "ENOTFOUND", syscall: "getaddrinfo" }), false],
    [
      "connection refused, inside fetch's own error",
      new TypeError("fetch failed", {
        cause: Object.assign(new Error(), { code: "ECONNREFUSED", syscall: "connect" })
      }),
      false
    ],
    ["every address refused", codes([refused, { ...refused, code: "ENETUNREACH" }]), false],
    ["one address refused, one reset", codes([refused, { code: "ECONNRESET", syscall: "read" }]), true],
    ["no attempts at all", codes([]), true],
    ["reset", Object.assign(new Error(), { code: "ECONNRESET" }), true],
    [
      "reset, caused by a refusal",
      Object.assign(new Error("", { cause: refused }), { code: "ECONNRESET", syscall: "read" }),
      true
    ],
    ["anything", new Error("ECONNREFUSED"), true],
    ["nothing", undefined, true]
  ]
  for (const [what, cause, sent] of causes) {
    it.effect(`${what}: ${sent ? "may have been sent" : "provably not sent"}`, () => {
      const fetch = () => Promise.reject(cause)
      return Effect.gen(function* () {
        const client = yield* make({ retry: false })
        const error = yield* Effect.flip(calls.mint(client))
        assert.strictEqual(error.reason._tag, sent ? "OutcomeUnknown" : "ProviderUnavailable")
        const unavailable = yield* expectReason(calls.read(client), "ProviderUnavailable")
        assert.strictEqual(unavailable.sent, sent)
      }).pipe(Effect.provide(FetchHttpClient.layer), Effect.provideService(FetchHttpClient.Fetch, fetch))
    })
  }

  it.effect("a cause that is its own cause does not hang us", () => {
    const cause = new Error("round")
    cause.cause = cause
    return Effect.gen(function* () {
      const client = yield* make({ retry: false })
      yield* expectReason(calls.mint(client), "OutcomeUnknown")
    }).pipe(
      Effect.provide(FetchHttpClient.layer),
      Effect.provideService(FetchHttpClient.Fetch, () => Promise.reject(cause))
    )
  })
})

describe("repeats", () => {
  it.effect("none with `retry: false`, nor with `times: 0`", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      for (const retry of [false, { times: 0 }] as const) {
        const before = (yield* faults.attempts).length
        yield* faults.inject({ status: 500 })
        yield* run(expectReason(reading({ retry }), "ProviderUnavailable"))
        yield* faults.inject({ status: 429, headers: { "retry-after": "1" } })
        const client = yield* make({ retry })
        yield* run(expectReason(calls.read(client), "RateLimited"), { step: "100 millis" })
        assert.strictEqual((yield* faults.attempts).length - before, 2)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("back off, longer each time", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 500, commit: true }, { times: 100 })
      yield* settle(reading({ retry: { times: 4, base: "1 second" } }), { step: "10 millis", steps: 5000 })
      const gaps = vendor.received.slice(1).map(({ at }, index) => at - (vendor.received[index]?.at ?? 0))
      assert.strictEqual(gaps.length, 4)
      // Jitter is a fifth either way.
      for (const [index, gap] of gaps.entries()) {
        assert.isAtLeast(gap, 800 * 2 ** index - 20)
        assert.isAtMost(gap, 1200 * 2 ** index + 20)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("are jittered, so that many callers do not come back at once", () => {
    const firstGap = (seed: string) => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        yield* faults.inject({ status: 500, commit: true }, { times: 100 })
        yield* settle(Random.withSeed(reading({ retry: { times: 1, base: "10 seconds" } }), seed), {
          step: "10 millis",
          steps: 2000
        })
        const [first, second] = vendor.received
        return (second?.at ?? 0) - (first?.at ?? 0)
      }).pipe(Effect.provide(layer, { local: true }))
    }
    return Effect.gen(function* () {
      const gaps = yield* Effect.forEach(["a", "b", "c", "d"], firstGap)
      assert.strictEqual(new Set(gaps).size, 4, gaps.join())
    })
  })

  it.effect("a 404 on the first attempt of a removal is KeyNotFound", () => {
    const { layer, vendor } = makeVendor()
    vendor.keys.clear()
    return Effect.gen(function* () {
      yield* expectReason(calls.remove(yield* make()), "KeyNotFound")
      assert.strictEqual(vendor.received.length, 1)
    }).pipe(Effect.provide(layer))
  })

  for (const fault of ["resetAfterCommit", "hangAfterCommit", { status: 502, commit: true }] as const) {
    it.effect(`a 404 on the repeat of a removal whose reply was lost is success (${inspect(fault)})`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        yield* faults.inject(fault)
        assert.deepStrictEqual(yield* run(calls.remove(yield* make())), { ok: true })
        assert.strictEqual(vendor.committed, 1)
        assert.strictEqual(vendor.received.length, 2)
      }).pipe(Effect.provide(layer))
    })
  }

  for (const fault of ["refused", { status: 429, headers: { "retry-after": "1" } }] as const) {
    it.effect(`a 404 on a repeat is KeyNotFound where no earlier attempt was carried out (${inspect(fault)})`, () => {
      const { layer, vendor } = makeVendor()
      vendor.keys.clear()
      return Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        yield* faults.inject(fault)
        yield* run(expectReason(calls.remove(yield* make()), "KeyNotFound"))
        assert.strictEqual((yield* faults.attempts).length, 2)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("a 404 on the repeat of anything else is KeyNotFound", () => {
    const { layer, vendor } = makeVendor()
    vendor.keys.clear()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 500 })
      yield* run(expectReason(calls.idempotent(yield* make()), "KeyNotFound"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a caller who leaves stops the repeats", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 500 }, { times: 100 })
      const fiber = yield* Effect.forkChild(calls.read(yield* make({ retry: { times: 50 } })))
      yield* breathe
      yield* Fiber.interrupt(fiber)
      const before = (yield* faults.attempts).length
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* faults.attempts).length, before)
    }).pipe(Effect.provide(layer))
  })
})

describe("429", () => {
  const usual = Duration.minutes(5)
  // Anything but whole seconds or a date in the future.
  const headers: ReadonlyArray<readonly [string, string | undefined, Duration.Duration]> = [
    ["missing", undefined, usual],
    ["seconds", "120", Duration.seconds(120)],
    ["padded seconds", " 120 ", Duration.seconds(120)],
    ["absurd", "1000000000000", Duration.hours(1)],
    ["absurder", "9".repeat(400), Duration.hours(1)],
    ["zero", "0", Duration.seconds(1)],
    ["negative", "-5", usual],
    ["a fraction", "1.5", usual],
    ["exponent", "1e3", usual],
    ["infinite", "Infinity", usual],
    ["garbage", "soon", usual],
    ["empty", "", usual],
    ["two", "1, 2", usual],
    ["a date", "Thu, 01 Jan 1970 00:02:00 GMT", Duration.seconds(120)],
    ["a date long past", "Thu, 01 Jan 1970 00:00:00 GMT", Duration.seconds(1)],
    ["a date far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", Duration.hours(1)]
  ]
  for (const [what, header, expected] of headers) {
    it.effect(`Retry-After ${what}: the gate is shut for ${Duration.format(expected)}`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        const client = yield* make({ rateLimit: { maxWait: 0 } })
        yield* faults.inject({ status: 429, ...(header === undefined ? {} : { headers: { "retry-after": header } }) })
        const limited = yield* expectReason(calls.read(client), "RateLimited")
        assert.strictEqual(limited.source, "provider")
        assert.strictEqual(Duration.toMillis(limited.retryAfter), Duration.toMillis(expected))
        // Nothing more is sent, by any call, to the last millisecond.
        for (const wait of [Duration.zero, Duration.subtract(expected, Duration.millis(1))]) {
          yield* TestClock.adjust(wait)
          for (const safety of safeties) {
            for (const urgent of [false, true]) {
              const held = yield* expectReason(
                calls[safety](client).pipe(Effect.provideService(Urgent, urgent)),
                "RateLimited"
              )
              assert.strictEqual(held.source, "limiter")
              assert.isAtMost(Duration.toMillis(held.retryAfter), Duration.toMillis(expected))
            }
          }
        }
        assert.strictEqual((yield* faults.attempts).length, 1)
        yield* TestClock.adjust("1 millis")
        yield* calls.read(client)
        assert.strictEqual(vendor.received.length, 1)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("a date is read against the test's own now", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* TestClock.setTime(DateTime.toEpochMillis(DateTime.makeUnsafe("2026-11-20T12:00:00Z")))
      yield* faults.inject({ status: 429, headers: { "retry-after": "Fri, 20 Nov 2026 12:05:00 GMT" } })
      const { retryAfter } = yield* expectReason(reading(), "RateLimited")
      assert.strictEqual(Duration.toSeconds(retryAfter), 300)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a call with enough patience waits for the gate, and goes out when it opens", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* make({ rateLimit: { maxWait: "6 minutes" }, retry: false })
      yield* faults.inject({ status: 429 })
      yield* expectReason(calls.read(client), "RateLimited")
      const mint = yield* Effect.forkChild(calls.mint(client))
      yield* TestClock.adjust("299999 millis")
      assert.strictEqual(vendor.received.length, 0)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(mint)
      assert.strictEqual(vendor.committed, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a short wait is waited out in full before a repeat", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      for (const rateLimit of [{}, false] as const) {
        const client = yield* make({ rateLimit })
        const from = yield* Clock.currentTimeMillis
        yield* faults.inject({ status: 429, headers: { "retry-after": "7" } })
        yield* run(calls.read(client), { step: "100 millis" })
        assert.isAtLeast((vendor.received.at(-1)?.at ?? 0) - from, 7000)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("a wait longer than maxWait is not waited out", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 429, headers: { "retry-after": "11" } })
      yield* expectReason(reading(), "RateLimited")
      assert.strictEqual((yield* faults.attempts).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("two 429s of calls that were under way: the longer one counts, for urgent calls too", () => {
    const replies: Array<Deferred.Deferred<string>> = []
    let attempts = 0
    const app: HttpSandbox.App = Effect.gen(function* () {
      attempts++
      const reply = yield* Deferred.make<string>()
      replies.push(reply)
      return HttpServerResponse.empty({ status: 429, headers: { "retry-after": yield* Deferred.await(reply) } })
    })
    return Effect.gen(function* () {
      for (const [first, second] of [
        ["60", "300"],
        ["300", "60"],
        ["60", "60"]
      ] as const) {
        yield* Effect.gen(function* () {
          replies.length = 0
          attempts = 0
          const client = yield* make({ rateLimit: { maxWait: 0 } })
          const longest = Math.max(Number(first), Number(second)) * 1000
          const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.flip(calls.read(client))))
          yield* breathe
          for (const [index, header] of [first, second].entries()) {
            const reply = replies[index]
            if (reply !== undefined) yield* Deferred.succeed(reply, header)
            yield* breathe
          }
          yield* Effect.forEach(fibers, Fiber.join)
          for (const wait of [0, longest - 1]) {
            yield* TestClock.adjust(wait)
            for (const urgent of [false, true]) {
              const held = yield* expectReason(
                calls.read(client).pipe(Effect.provideService(Urgent, urgent)),
                "RateLimited"
              )
              assert.strictEqual(held.source, "limiter")
              assert.strictEqual(Duration.toMillis(held.retryAfter), longest - wait)
            }
          }
          assert.strictEqual(attempts, 2)
          yield* TestClock.adjust(1)
          const third = yield* Effect.forkChild(calls.read(client))
          yield* breathe
          assert.strictEqual(attempts, 3, "open again")
          yield* Fiber.interrupt(third)
        }).pipe(Effect.scoped)
      }
    }).pipe(Effect.provide(HttpSandbox.layerClient(app)))
  })

  it.effect("with `rateLimit: false` there is no gate and no budget", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const budget = { limit: 1, window: "1 hour" } as const
      const client = yield* make({ rateLimit: false, budgets: { ordinary: budget, urgent: budget, lockout: "1 hour" } })
      yield* faults.inject({ status: 429 })
      yield* expectReason(calls.mint(client), "RateLimited")
      yield* Effect.forEach(Array.from({ length: 20 }), () => calls.read(client))
      assert.strictEqual(vendor.received.length, 20)
    }).pipe(Effect.provide(layer))
  })
})

describe("the limiter", () => {
  const small: ProviderClient.Budgets = {
    ordinary: { limit: 3, window: "1 minute" },
    urgent: { limit: 2, window: "1 minute" },
    lockout: "5 minutes"
  }

  /**
   * The most calls in any window of 60 s, its end left out, and with it the microsecond by which sums of fractions miss:
   * the clock of a test knows fractions of a millisecond, and a real one does not.
   */
  const densest = (times: ReadonlyArray<number>): number =>
    Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + 60_000 - 0.001).length))

  it.effect("at most 2 × limit − 1 calls leave in any 60 s, whatever the schedule", () =>
    property(
      fc.record({
        // 7, 9 and 13 do not divide a minute's milliseconds: their waits are fractions, which rounding may end early.
        limit: fc.constantFrom(1, 2, 3, 5, 7, 9, 10, 13),
        maxWait: fc.constantFrom(0, 5_000, 60_000, 600_000),
        arrivals: fc.array(fc.record({ gap: fc.nat({ max: 30_000 }), burst: fc.integer({ min: 1, max: 12 }) }), {
          minLength: 1,
          maxLength: 12
        })
      }),
      ({ arrivals, limit, maxWait }) => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          const budget = { limit, window: "1 minute" } as const
          const client = yield* make({
            budgets: { ...small, ordinary: budget },
            rateLimit: { maxWait },
            retry: false
          })
          for (const { burst, gap } of arrivals) {
            yield* TestClock.adjust(gap)
            for (let call = 0; call < burst; call++) yield* Effect.forkChild(Effect.exit(calls.read(client)))
            yield* TestClock.adjust(0)
          }
          yield* TestClock.adjust("15 minutes")
          const bound = 60_000 % limit === 0 ? 2 * limit - 1 : 2 * limit
          assert.isAtMost(densest(vendor.received.map(({ at }) => at)), bound)
          assert.isAtLeast(vendor.received.length, 1)
        }).pipe(Effect.scoped, Effect.provide(layer), Effect.orDie)
      },
      { numRuns: 30 }
    )
  )

  it.effect("the bound is tight, and urgent calls have their own", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make({ budgets: small, rateLimit: { maxWait: "10 minutes" } })
      yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 30 }), () => calls.read(client), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(vendor.received.length, 30)
      assert.strictEqual(densest(vendor.received.map(({ at }) => at)), 5)
      vendor.received.length = 0
      yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 30 }), () => calls.read(client), { concurrency: "unbounded" }).pipe(
          Effect.provideService(Urgent, true)
        )
      )
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(vendor.received.length, 30)
      assert.isAtMost(densest(vendor.received.map(({ at }) => at)), 5 + 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("when the ordinary bucket is empty, urgent calls go out and others do not", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make({ budgets: small, rateLimit: { maxWait: 0 } })
      yield* Effect.forEach([1, 2, 3], () => calls.read(client))
      const limited = yield* expectReason(calls.read(client), "RateLimited")
      assert.strictEqual(limited.source, "limiter")
      assert.strictEqual(Duration.toMillis(limited.retryAfter), 20_000)
      const urgently = Effect.provideService(calls.remove(client), Urgent, true)
      yield* urgently
      yield* expectReason(urgently, "KeyNotFound")
      assert.strictEqual(vendor.received.length, 5)
      // The reserve has an end too, and then the wait is for whichever bucket fills first.
      const empty = yield* expectReason(urgently, "RateLimited")
      assert.strictEqual(Duration.toMillis(empty.retryAfter), 20_000)
      assert.strictEqual(vendor.received.length, 5)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a mint waits for its token before it is prepared, and can be left while it waits", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make({ budgets: small, rateLimit: { maxWait: "1 minute" } })
      yield* Effect.forEach([1, 2, 3], () => calls.read(client))
      const fiber = yield* Effect.forkChild(calls.mint(client))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(vendor.committed, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("every attempt takes a token, repeats included", () => {
    const { layer } = makeVendor()
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* make({ budgets: small, rateLimit: { maxWait: 0 } })
      yield* faults.inject({ status: 500 }, { times: 100 })
      yield* run(expectReason(calls.read(client), "RateLimited"))
      assert.strictEqual((yield* faults.attempts).length, 3)
    }).pipe(Effect.provide(layer))
  })

  const provided = Layer.provideMerge(makeVendor().layer, RateLimiter.layerStoreMemory)

  it.effect("two clients that share a store share budget and gate; other accounts and providers do not", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const options = { budgets: small, rateLimit: { maxWait: 0 }, retry: false } as const
      const [one, two] = [yield* make(options), yield* make(options)]
      const elsewhere = yield* make({ ...options, account: "other" })
      const another = yield* make({ ...options, provider: "other" })
      yield* calls.read(one)
      yield* calls.read(two)
      yield* calls.read(one)
      yield* expectReason(calls.read(two), "RateLimited")
      yield* calls.read(elsewhere)
      yield* TestClock.adjust("1 minute")
      yield* faults.inject({ status: 429 })
      yield* expectReason(calls.read(one), "RateLimited")
      const held = yield* expectReason(Effect.provideService(calls.read(two), Urgent, true), "RateLimited")
      assert.strictEqual(held.source, "limiter")
      yield* calls.read(elsewhere)
      yield* calls.read(another)
    }).pipe(Effect.provide(provided))
  )

  it.effect("without a store each client counts for itself", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const options = { budgets: small, rateLimit: { maxWait: 0 } } as const
      const [one, two] = [yield* make(options), yield* make(options)]
      yield* Effect.forEach([1, 2, 3], () => Effect.andThen(calls.read(one), calls.read(two)))
      assert.strictEqual(vendor.received.length, 6)
    }).pipe(Effect.provide(layer))
  })

  const broken = new RateLimiter.RateLimiterError({
    reason: new RateLimiter.RateLimitStoreError({ message: "redis://user:pass@host is down" })
  })
  const storeOf = (end: Effect.Effect<never, RateLimiter.RateLimiterError>) =>
    Layer.succeed(
      RateLimiter.RateLimiterStore,
      RateLimiter.RateLimiterStore.of({
        fixedWindow: () => end,
        tokenBucket: () => end,
        adaptiveConsume: () => end,
        adaptiveFeedback: () => end
      })
    )
  const stores = {
    fails: storeOf(Effect.fail(broken)),
    hangs: storeOf(Effect.never),
    dies: storeOf(Effect.die(new Error("no such script"))),
    "hangs on tokens alone": Layer.succeed(
      RateLimiter.RateLimiterStore,
      RateLimiter.RateLimiterStore.of({
        fixedWindow: () => Effect.succeed([0, 0]),
        tokenBucket: () => Effect.never,
        adaptiveConsume: () => Effect.never,
        adaptiveFeedback: () => Effect.never
      })
    )
  }
  for (const [what, store] of Object.entries(stores)) {
    it.effect(`a store that ${what}: ordinary calls do not go out, urgent ones do`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const client = yield* make()
        for (const safety of ["read", "mint"] as const) {
          const reason = yield* run(expectReason(calls[safety](client), "ProviderUnavailable"))
          assert.deepStrictEqual([reason.problem, reason.sent], ["limiter", false])
        }
        assert.strictEqual(vendor.received.length, 0)
        yield* run(Effect.provideService(calls.remove(client), Urgent, true))
        assert.strictEqual(vendor.committed, 1)
      }).pipe(Effect.provide(Layer.merge(layer, store)))
    })

    it.effect(`a store that ${what} does not hide a 429`, () => {
      const { layer } = makeVendor()
      return Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        yield* faults.inject({ status: 429 })
        const client = yield* make()
        const { source } = yield* run(
          expectReason(Effect.provideService(calls.mint(client), Urgent, true), "RateLimited")
        )
        assert.strictEqual(source, "provider")
      }).pipe(Effect.provide(Layer.merge(layer, store)))
    })
  }
})

describe("replies", () => {
  const megabyte = new Uint8Array(1024 * 1024).fill(0x20)

  /** A reply of 20 MB that counts how much of it was pulled. */
  const large = (headers: Record<string, string>, status = 200) => {
    const seen = { chunks: 0, closed: false }
    const body = Stream.range(1, 20).pipe(
      Stream.rechunk(1),
      Stream.map(() => {
        seen.chunks++
        return megabyte
      }),
      Stream.onExit(() =>
        Effect.sync(() => {
          seen.closed = true
        })
      )
    )
    const app = Effect.sync(() => HttpServerResponse.stream(body, { status, headers }))
    return { seen, layer: HttpSandbox.layerClient(app) }
  }

  for (const safety of ["read", "mint"] as const) {
    const tag = safety === "mint" ? "OutcomeUnknown" : "UnexpectedResponse"

    it.effect(`20 MB on ${safety}, without content-length: ${tag}, and the stream is stopped early`, () => {
      const { layer, seen } = large({})
      return Effect.gen(function* () {
        yield* expectReason(calls[safety](yield* make()), tag)
        assert.strictEqual(seen.chunks, 17)
        assert.isTrue(seen.closed)
      }).pipe(Effect.provide(layer))
    })

    it.effect(`20 MB on ${safety}, with content-length: ${tag}, and nothing of it is read`, () => {
      const { layer, seen } = large({ "content-length": String(20 * megabyte.length) })
      return Effect.gen(function* () {
        yield* expectReason(calls[safety](yield* make()), tag)
        assert.strictEqual(seen.chunks, 0)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("a content-length that lies does not help, where a client passes it on", () => {
    const { layer } = large({ "content-length": "10" })
    return Effect.gen(function* () {
      const { problem } = yield* expectReason(reading(), "UnexpectedResponse")
      assert.strictEqual(problem, "size")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a content-length says nothing of what is compressed", () => {
    const { layer, seen } = large({ "content-length": "10", "content-encoding": "br" })
    return Effect.gen(function* () {
      const { problem } = yield* expectReason(reading(), "UnexpectedResponse")
      assert.strictEqual(problem, "size")
      assert.strictEqual(seen.chunks, 17)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a large error says what its status says, and is not read to its end", () => {
    const { layer, seen } = large({}, 403)
    return Effect.gen(function* () {
      yield* expectReason(reading(), "PermissionDenied")
      assert.strictEqual(seen.chunks, 17)
    }).pipe(Effect.provide(layer))
  })

  it.effect("maxReplyBytes is exact, and counts bytes", () => {
    const text = JSON.stringify({ id: "é", name: "ü" })
    const bytes = new TextEncoder().encode(text).length
    const layer = HttpSandbox.layerClient(Effect.succeed(HttpServerResponse.text(text)))
    return Effect.gen(function* () {
      assert.isAbove(bytes, text.length)
      assert.deepStrictEqual(yield* reading({ maxReplyBytes: bytes }), { id: "é", name: "ü" })
      yield* expectReason(reading({ maxReplyBytes: bytes - 1 }), "UnexpectedResponse")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a character that is cut by a chunk is read whole", () => {
    const text = new TextEncoder().encode(JSON.stringify({ id: "k1", name: "🔑ключ" }))
    const body = Stream.fromIterable([...text].map((byte) => new Uint8Array([byte])))
    return Effect.gen(function* () {
      assert.strictEqual((yield* reading()).name, "🔑ключ")
    }).pipe(Effect.provide(HttpSandbox.layerClient(Effect.sync(() => HttpServerResponse.stream(body)))))
  })

  const answering = (body: unknown, status = 200) =>
    HttpSandbox.layerClient(Effect.sync(() => HttpServerResponse.jsonUnsafe(body, { status })))

  it.effect("what is not needed is not looked at", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reading(), { id: "k1", name: "one" })
    }).pipe(Effect.provide(answering({ id: "k1", name: "one", new: [{ deep: null }], __proto__: { name: 1 } })))
  )

  it.effect("an error names paths and never values", () => {
    const hostile = { id: secret, name: { inner: minted }, [minted]: minted, list: [minted] }
    return Effect.gen(function* () {
      const error = yield* Effect.flip(reading())
      assert.strictEqual(error.reason._tag, "UnexpectedResponse")
      assert.deepStrictEqual(error.reason._tag === "UnexpectedResponse" ? error.reason.issues : [], [
        { path: ["name"], message: "missing or of an unexpected shape" }
      ])
      const text = renderings(error)
      for (const value of [minted, secret]) assert.isFalse(text.includes(value))
    }).pipe(Effect.provide(answering(hostile)))
  })

  const tokens = [
    "tok.secret/with+odd=signs",
    "tok_4f9a8c7e6d5b4a39281706f5",
    "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "1234"
  ]
  for (const token of tokens) {
    it.effect(`a reply whose keys are values shows none of them: ${token}`, () => {
      const endpoint = {
        method: "GET",
        path: "/keys",
        safety: "read",
        reply: Schema.Struct({ keys: Schema.Record(Schema.String, Schema.Struct({ name: Schema.String })) })
      } as const
      return Effect.gen(function* () {
        const client = yield* make()
        const error = yield* Effect.flip(client.call(endpoint)({}))
        assert.isFalse(renderings(error).includes(token))
        assert.deepStrictEqual(error.reason._tag === "UnexpectedResponse" && error.reason.issues[0]?.path, [
          "keys",
          "?",
          "name"
        ])
      }).pipe(Effect.provide(answering({ keys: { [token]: { name: 1 } } })))
    })
  }

  for (const body of [null, [], "text", 5, true, [[[]]], { id: null, name: null }]) {
    it.effect(`${JSON.stringify(body)} fails typed`, () =>
      Effect.gen(function* () {
        const client = yield* make()
        yield* expectReason(calls.read(client), "UnexpectedResponse")
        yield* expectReason(calls.mint(client), "OutcomeUnknown")
      }).pipe(Effect.provide(answering(body)))
    )
  }

  const salvaging = {
    ...mint,
    salvage: (reply: unknown, input: string) =>
      Predicate.hasProperty(reply, "key") && Predicate.isString(reply.key)
        ? Option.some({ id: input, secret: reply.key })
        : Option.none<typeof Minted.Type>()
  }
  const minting = Effect.gen(function* () {
    const client = yield* make()
    const { send } = yield* client.prepare<string, typeof Minted.Type>(salvaging)({ body: "k9" })
    return yield* send
  })

  it.effect("a mint's secret is salvaged from a reply of another shape", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* minting, { id: "k9", secret: minted })
    }).pipe(Effect.provide(answering({ key: minted })))
  )

  it.effect("a mint's secret is salvaged from a reply that is no JSON", () => {
    const fromText = {
      ...mint,
      salvage: (reply: unknown, body: string) =>
        typeof reply === "string" ? Option.some({ id: body, secret: reply }) : Option.none<typeof Minted.Type>()
    }
    return Effect.gen(function* () {
      const client = yield* make()
      const { send } = yield* client.prepare(fromText)({ body: "k9" })
      assert.deepStrictEqual(yield* send, { id: "k9", secret: minted })
    }).pipe(Effect.provide(HttpSandbox.layerClient(Effect.sync(() => HttpServerResponse.text(minted)))))
  })

  it.effect("what cannot be salvaged is OutcomeUnknown, with paths alone", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(minting)
      assert.strictEqual(error.reason._tag, "OutcomeUnknown")
      assert.strictEqual(error.http?.status, 200)
      assert.isFalse(renderings(error).includes(minted))
    }).pipe(Effect.provide(answering({ nested: { key: minted } })))
  )

  it.effect("only a 2xx is salvaged", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(minting)
      assert.strictEqual(error.reason._tag, "OutcomeUnknown")
      assert.strictEqual(error.http?.status, 500)
    }).pipe(Effect.provide(answering({ key: minted }, 500)))
  )

  it.effect("an endpoint's own reading of a status is asked first, with the reply", () => {
    const seen: Array<unknown> = []
    const endpoint = {
      ...read,
      errors: {
        403: (reply: unknown) => {
          seen.push(reply)
          return new InvalidKeyState({})
        }
      }
    }
    return Effect.gen(function* () {
      const client = yield* make()
      yield* expectReason(client.call(endpoint)({ params: { id: "k1" } }), "InvalidKeyState")
      assert.deepStrictEqual(seen, [{ code: 1 }])
    }).pipe(Effect.provide(answering({ code: 1 }, 403)))
  })
})

describe("requests", () => {
  const getting = (id: string) => Effect.flatMap(make(), (client) => client.call(read)({ params: { id } }))

  for (const id of ["", ".", ".."]) {
    it.effect(`"${id}" cannot stand in a path, and nothing is sent`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const reason = yield* expectReason(getting(id), "InvalidRequest")
        assert.deepStrictEqual([reason.source, reason.issues[0]?.path], ["client", ["id"]])
        assert.strictEqual(vendor.received.length, 0)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("half a character is refused and not a defect", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      yield* expectReason(getting("a\ud800b"), "InvalidRequest")
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a parameter that the template names and the endpoint does not give is refused", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make()
      for (const params of [{}, { ID: "k1" }]) {
        yield* expectReason(client.call(remove)({ params }), "InvalidRequest")
      }
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  const odd: Record<string, string> = {
    "../keys": "..%2Fkeys",
    "a/b": "a%2Fb",
    "a?b=c#d": "a%3Fb%3Dc%23d",
    "%2e%2e": "%252e%252e",
    "a b": "a%20b",
    "a\r\nb": "a%0D%0Ab",
    "..\\..": "..%5C..",
    ":id": "%3Aid",
    "$&": "%24%26",
    "...": "..."
  }
  for (const [id, encoded] of Object.entries(odd)) {
    it.effect(`${JSON.stringify(id)} stays one segment of the path`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        yield* getting(id)
        assert.deepStrictEqual(
          vendor.received.map(({ url }) => url),
          [`https://api.acme.test/v1/keys/${encoded}`]
        )
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("whatever the parameter, one request leaves below the path, or none", () =>
    property(
      fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constantFrom("\ud800", "..", "./", "//", "%00")),
      (id) => {
        const { layer, vendor } = makeVendor()
        return Effect.gen(function* () {
          const exit = yield* Effect.exit(getting(id))
          if (Exit.isFailure(exit)) {
            assert.strictEqual(vendor.received.length, 0)
            assert.isFalse(Cause.hasDies(exit.cause))
          } else {
            const url = new URL(vendor.received[0]?.url ?? "")
            assert.strictEqual(url.origin + url.search + url.hash, "https://api.acme.test")
            const [, version, keys, segment, ...rest] = url.pathname.split("/")
            assert.deepStrictEqual([version, keys, rest], ["v1", "keys", []])
            assert.strictEqual(decodeURIComponent(segment ?? ""), id)
          }
        }).pipe(Effect.scoped, Effect.provide(layer))
      },
      { numRuns: 100 }
    )
  )

  it.effect("an error shows the template and neither the path nor the credential", () => {
    const { layer } = makeVendor()
    const leaked = "tok_leaked/with space"
    return Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      yield* faults.inject({ status: 400, body: leaked })
      const error = yield* Effect.flip(getting(leaked))
      assert.deepStrictEqual(error.http, { method: "GET", path: "/keys/:id", status: 400 })
      assert.strictEqual(error.operation, "GET /keys/:id")
      const text = renderings(error)
      for (const value of [leaked, encodeURIComponent(leaked), secret]) assert.isFalse(text.includes(value))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a body that does not encode is refused by path, and nothing is sent", () => {
    const { layer, vendor } = makeVendor()
    const endpoint = {
      ...mint,
      body: Schema.Struct({ token: Schema.String.check(Schema.isMaxLength(3)) })
    }
    return Effect.gen(function* () {
      const client = yield* make()
      const exit = yield* Effect.exit(
        client.prepare<{ readonly token: string }, typeof Minted.Type>(endpoint)({ body: { token: minted } })
      )
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : assert.fail("it was accepted")
      assert.instanceOf(error, ApiKeyError)
      if (!(error instanceof ApiKeyError)) return
      assert.deepStrictEqual(error.reason._tag === "InvalidRequest" && error.reason.issues[0]?.path, ["token"])
      assert.isFalse(renderings(error).includes(minted))
      assert.strictEqual(vendor.received.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a prepared mint sends nothing until it is sent", () => {
    const { layer, vendor } = makeVendor()
    return Effect.gen(function* () {
      const client = yield* make()
      const { send } = yield* client.prepare(mint)({ body: "k1" })
      assert.strictEqual(vendor.received.length, 0)
      yield* send
      assert.strictEqual(vendor.received.length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("transformClient has the last word on the client", () => {
    const { layer } = makeVendor()
    let seen = 0
    return Effect.gen(function* () {
      yield* reading({ transformClient: HttpClient.tapRequest(() => Effect.sync(() => void seen++)) })
      assert.strictEqual(seen, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "fetch is told not to follow, not to send cookies and not to store, and a redirect stays where it is",
    () => {
      const inits: Array<RequestInit | undefined> = []
      const urls: Array<string> = []
      const fetch = (input: RequestInfo | URL, init?: RequestInit) => {
        urls.push(String(input))
        inits.push(init)
        return Promise.resolve(new Response("", { status: 302, headers: { location: "https://evil.test" } }))
      }
      return Effect.gen(function* () {
        const client = yield* make()
        yield* expectReason(calls.read(client), "UnexpectedResponse")
        yield* expectReason(calls.mint(client), "OutcomeUnknown")
        assert.deepStrictEqual(
          inits.map((init) => `${init?.redirect} ${init?.credentials} ${init?.cache}`),
          ["manual omit no-store", "manual omit no-store"]
        )
        assert.deepStrictEqual(urls, ["https://api.acme.test/v1/keys/k1", "https://api.acme.test/v1/keys"])
      }).pipe(
        Effect.provide(FetchHttpClient.layer),
        Effect.provideService(FetchHttpClient.Fetch, fetch),
        // A caller's own settings change nothing.
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "follow", credentials: "include" })
      )
    }
  )
})

describe("bodies", () => {
  const Body = Schema.Struct({ name: Schema.String, quota: Schema.Number, rates: Schema.Array(Schema.Number) })
  const endpoint = { method: "PUT", path: "/keys", safety: "idempotent", body: Body, reply: Schema.Unknown } as const
  const good = { name: "acme", quota: 1, rates: [1, 2] }

  for (const [what, body, path] of [
    ["a number without end", { ...good, quota: Number.POSITIVE_INFINITY }, ["quota"]],
    ["no number", { ...good, quota: Number.NaN }, ["quota"]],
    ["one in a list", { ...good, rates: [1, Number.NEGATIVE_INFINITY] }, ["rates", 1]],
    ["a field that is not the endpoint's", Object.assign({ other: true }, good), ["other"]]
  ] as const) {
    it.effect(`${what} is refused by its place, and nothing is sent`, () => {
      const { layer, vendor } = makeVendor()
      return Effect.gen(function* () {
        const client = yield* make()
        const { issues } = yield* expectReason(client.call(endpoint)({ body }), "InvalidRequest")
        assert.deepStrictEqual(
          issues.map((issue) => issue.path),
          [path]
        )
        assert.strictEqual(vendor.received.length, 0)
      }).pipe(Effect.provide(layer))
    })
  }
})

describe("tracing", () => {
  for (const safety of safeties) {
    it.effect(`no span of its own and no traceparent (${safety}), whatever the caller set`, () => {
      const { layer, vendor } = makeVendor()
      const { spans, tracer } = recordingTracer()
      return Effect.gen(function* () {
        const client = yield* make()
        yield* Effect.withSpan(calls[safety](client), "caller")
        assert.deepStrictEqual(
          spans.map(({ name }) => name),
          ["caller"]
        )
        assert.deepStrictEqual(
          spans.flatMap(({ attributes, events }) => [...attributes.keys(), ...events]),
          [],
          "nothing is written on a caller's own span"
        )
        const names = vendor.received.flatMap(({ headers }) => Object.keys(headers))
        for (const name of ["traceparent", "tracestate", "b3", "baggage"]) assert.notInclude(names, name)
      }).pipe(
        Effect.withTracer(tracer),
        Effect.provideService(HttpClient.TracerPropagationEnabled, true),
        Effect.provideService(HttpClient.TracerDisabledWhen, () => false),
        Effect.provide(layer)
      )
    })
  }

  it.effect("the headers that hold a credential are redacted wherever a request is shown", () => {
    const shown: Array<string> = []
    const client = HttpClient.make((request, _url, _signal, fiber) => {
      const names = fiber.getRef(Headers.CurrentRedactedNames)
      shown.push(JSON.stringify(Headers.redact(request.headers, names)))
      return Effect.never
    })
    return Effect.gen(function* () {
      yield* settle(Effect.exit(reading({ retry: false })))
      assert.strictEqual(shown.length, 1)
      assert.isFalse(shown.join().includes(secret))
    }).pipe(Effect.provideService(HttpClient.HttpClient, client))
  })
})
