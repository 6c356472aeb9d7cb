import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyPatch, KeySpec, Period, ReasonTag } from "@effect-api-keys/core"
import { ApiKeyService, KeyRef } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"

const defaults: MailerPatch.Defaults = { rate: "unlimited" }

const withSandbox = (
  options: Partial<MailerPatch.Options> = {},
  sandbox: MailerPatchSandbox.Options = {}
): Layer.Layer<MailerPatch.Provides | HttpFaults.HttpFaults | MailerPatchSandbox.MailerPatchSandbox, ApiKeyError> =>
  Layer.unwrap(
    Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
      MailerPatch.layer({ apiKey: credential, defaults, retry: { base: 0 }, ...options })
    )
  ).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(MailerPatchSandbox.layerClient(sandbox)))

/** For tests of many calls that are not about limits. */
const unlimited: MailerPatchSandbox.Options = {
  addsPerMinute: Number.POSITIVE_INFINITY,
  requestsPerMinute: Number.POSITIVE_INFINITY,
  errorsPerMinute: Number.POSITIVE_INFINITY
}
const withoutLimits = (options: Partial<MailerPatch.Options> = {}, sandbox: MailerPatchSandbox.Options = {}) =>
  withSandbox({ rateLimit: false, ...options }, { ...unlimited, ...sandbox })

const spec: KeySpec = { name: "acme", scopes: ["/email/send"], rate: { max: 100, per: { minutes: 30 } } }

const setup = Effect.gen(function* () {
  const keys = yield* ApiKeyService
  const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
  const faults = yield* HttpFaults.HttpFaults
  const client = yield* MailerPatch.MailerPatchClient
  return { keys, sandbox, faults, client }
})

const requests = Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, (sandbox) => sandbox.requests)
const lastBody = Effect.map(requests, (all) => all.at(-1)?.body)
/** What was sent from here on, as `METHOD endpoint`. */
const callsOf = (all: ReadonlyArray<MailerPatchSandbox.RecordedRequest>) =>
  all.map(({ method, path }) => `${method} ${path.replace("/v3/api_keys/", "")}`)

const expectReason = <A, R>(effect: Effect.Effect<A, ApiKeyError, R>, tag: ReasonTag) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error.reason._tag, tag, error.message)
    return error
  })

const secretOf = (key: { readonly ref: KeyRef }) => Redacted.value(key.ref.value)
const storedOf = (secret: string) =>
  Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, ({ keys }) =>
    Effect.map(keys, (all) => all.find((key) => key.secret === secret))
  )

const parse = (text: string): unknown => JSON.parse(text)
const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest): Record<string, unknown> => {
  const read = body._tag === "Uint8Array" ? parse(new TextDecoder().decode(body.body)) : undefined
  return Predicate.isObject(read) ? { ...read } : {}
}

type Row = Readonly<Record<string, unknown>>
type Strikes = (request: HttpClientRequest.HttpClientRequest, body: Row) => boolean

const to =
  (call: string): Strikes =>
  ({ method, url }) =>
    `${method} ${url.split("/").at(-1)}` === call

/** Changes the keys of the replies to some requests, which are carried out as ever. */
const rewriting =
  (strikes: Strikes, change: (row: Row) => unknown) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient =>
    HttpClient.transform(client, (pass, request) =>
      strikes(request, bodyOf(request))
        ? Effect.flatMap(pass, (response) =>
            Effect.map(response.text, (text) => {
              const reply = parse(text)
              assert(Predicate.isObject(reply) && Array.isArray(reply.data))
              const body = JSON.stringify({ ...reply, data: reply.data.map(change) })
              return HttpClientResponse.fromWeb(request, new Response(body, { status: response.status }))
            })
          )
        : pass
    )

/** Answers some requests, which the vendor never sees. */
const answering =
  (strikes: Strikes, status: number, body: unknown = {}) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient =>
    HttpClient.transform(client, (pass, request) =>
      strikes(request, bodyOf(request))
        ? Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(JSON.stringify(body), { status })))
        : pass
    )

const both =
  (...changes: ReadonlyArray<(client: HttpClient.HttpClient) => HttpClient.HttpClient>) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient =>
    changes.reduce((changed, change) => change(changed), client)

const nested = (error: Row) => JSON.stringify({ request_id: "1", data: error })
const flat = (error: Row) => JSON.stringify({ request_id: "1", ...error })
const shapes = { nested, flat }

/** Every setting that `options.smtp2go` has, but the status. */
const everyOption = {
  ipPool: 1234,
  feedbackEnabled: true,
  feedbackHtml: "<a href='%%UNSUBSCRIBE%%'>leave</a> %%EMAIL%%",
  feedbackText: "leave: %%UNSUBSCRIBE%% %%EMAIL%%",
  openTrackingEnabled: true,
  clickTrackingEnabled: true,
  archiveEnabled: true,
  auditEmail: "audit@acme.example",
  bounceNotifications: "drop"
} as const
const everyOptionOnTheWire = {
  ip_pool: 1234,
  feedback_enabled: true,
  feedback_html: "<a href='%%UNSUBSCRIBE%%'>leave</a> %%EMAIL%%",
  feedback_text: "leave: %%UNSUBSCRIBE%% %%EMAIL%%",
  open_tracking_enabled: true,
  click_tracking_enabled: true,
  archive_enabled: true,
  audit_email: "audit@acme.example",
  bounce_notifications: "drop"
}

/** A period, in the vendor's words, and as they are read back where that is not the same. */
const periods: ReadonlyArray<readonly [period: Period, words: string, readBack?: Period]> = [
  [{ minutes: 30 }, "0:30:00"],
  [{ seconds: 1 }, "0:00:01"],
  [{ seconds: 59, minutes: 59, hours: 23 }, "23:59:59"],
  [{ minutes: 90 }, "1:30:00", { hours: 1, minutes: 30 }],
  [{ seconds: 3600 }, "1:00:00", { hours: 1 }],
  [{ minutes: 1440 }, "1 day", { days: 1 }],
  [{ hours: 1 }, "1 hour"],
  [{ hours: 24 }, "24 hours"],
  [{ hours: 100 }, "100 hours"],
  [{ days: 1 }, "1 day"],
  [{ days: 2 }, "2 days"],
  [{ days: 1, hours: 12 }, "1 day 12:00:00"],
  [{ days: 1, seconds: 1 }, "1 day 0:00:01"],
  [{ hours: 30, minutes: 5 }, "1 day 6:05:00", { days: 1, hours: 6, minutes: 5 }],
  [{ weeks: 1 }, "1 week"],
  [{ weeks: 3 }, "3 weeks"],
  [{ weeks: 1, days: 1 }, "8 days", { days: 8 }],
  [{ weeks: 1, minutes: 1 }, "7 days 0:01:00", { days: 7, minutes: 1 }],
  [{ months: 1 }, "1 month"],
  [{ months: 3 }, "3 months"],
  [{ months: 4, hours: 5 }, "4 months 5:00:00"],
  [{ months: 1, seconds: 86_399 }, "1 month 23:59:59", { months: 1, hours: 23, minutes: 59, seconds: 59 }],
  [{ hours: 999_999 }, "999999 hours"],
  [{ months: 999_999 }, "999999 months"]
]

describe("what is sent", () => {
  it.effect("everything of a new key is said: its open scopes and rate, and its status", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const plain = yield* keys.create({ name: "plain" })
      assert.deepStrictEqual(yield* lastBody, {
        description: "plain",
        endpoints: ["/email/send"],
        custom_ratelimit: false,
        status: "allowed"
      })
      assert.deepStrictEqual(plain.unrestricted, Option.some(["rate"] as const))
      const open = yield* keys.create({ name: "open", scopes: "any", rate: "unlimited" })
      assert.deepStrictEqual(yield* lastBody, {
        description: "open",
        endpoints: ["*"],
        custom_ratelimit: false,
        status: "allowed"
      })
      assert.deepStrictEqual(open.unrestricted, Option.some(["scopes", "rate"] as const))
      yield* keys.create({ ...spec, scopes: ["/email/*", "/stats/email_summary", "/email/*"] })
      assert.deepStrictEqual(yield* lastBody, {
        description: "acme",
        endpoints: ["/email/*", "/stats/email_summary"],
        custom_ratelimit: true,
        custom_ratelimit_value: 100,
        custom_ratelimit_period: "0:30:00",
        status: "allowed"
      })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a spec that is silent gets the layer's defaults, the endpoints too", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      yield* keys.create({ name: "narrow" })
      assert.deepInclude(yield* lastBody, {
        endpoints: ["/stats/*"],
        custom_ratelimit: true,
        custom_ratelimit_value: 5,
        custom_ratelimit_period: "1 day"
      })
      yield* keys.create({ name: "wide", scopes: "any", rate: "unlimited" })
      assert.deepInclude(yield* lastBody, { endpoints: ["*"], custom_ratelimit: false })
    }).pipe(Effect.provide(withSandbox({ defaults: { scopes: ["/stats/*"], rate: { max: 5, per: { days: 1 } } } })))
  )

  it.effect("every option of a new key, and what comes back holds them", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create({ name: "acme", options: { smtp2go: everyOption } })
      assert.deepStrictEqual(yield* lastBody, {
        description: "acme",
        endpoints: ["/email/send"],
        custom_ratelimit: false,
        status: "allowed",
        ...everyOptionOnTheWire
      })
      const { options } = yield* keys.get(ref)
      assert.deepStrictEqual(options, { status: "allowed", ...everyOption })
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [option, value] of Object.entries(everyOption)) {
    it.effect(`a patch of ${option} says it and nothing else, and its echo is compared`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        const patch: KeyPatch = { options: { smtp2go: { [option]: value } } }
        const before = yield* storedOf(secretOf({ ref }))
        assert.strictEqual((yield* keys.patch(ref, patch)).proof, "echoed")
        const field = Object.keys(everyOptionOnTheWire)[Object.keys(everyOption).indexOf(option)] ?? ""
        assert.deepStrictEqual(yield* lastBody, { id: secretOf({ ref }), [field]: value })
        assert.deepStrictEqual(yield* storedOf(secretOf({ ref })), { ...before, [option]: value } as typeof before)
        assert.strictEqual((yield* keys.patch(ref, patch, { confirm: true })).proof, "confirmed")
        // The vendor says yes, and shows another value.
        const shown = field === "ip_pool" ? "ippool" : field
        const row = { api_key: secretOf({ ref }), status: "allowed", [shown]: typeof value === "boolean" ? !value : 7 }
        const other = typeof value === "string" ? { ...row, [shown]: "from" } : row
        yield* faults.inject({ status: 200, body: JSON.stringify({ data: [other] }) }, { method: "PATCH" })
        const error = yield* expectReason(keys.patch(ref, patch), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(error.reason.missing, [`options.${option}`])
        assert.isUndefined(error.reason.revoked)
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("a patch says what it changes and nothing else", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const id = secretOf({ ref })
      const cases: ReadonlyArray<readonly [KeyPatch, Row]> = [
        [{ name: "acme 2" }, { description: "acme 2" }],
        [{ scopes: "any" }, { endpoints: ["*"] }],
        [{ scopes: ["/email/*"] }, { endpoints: ["/email/*"] }],
        [{ rate: "unlimited" }, { custom_ratelimit: false }],
        [
          { rate: { max: 7, per: { weeks: 2 } } },
          { custom_ratelimit: true, custom_ratelimit_value: 7, custom_ratelimit_period: "2 weeks" }
        ],
        [
          { name: "acme 3", rate: "unlimited", options: { smtp2go: { archiveEnabled: false } } },
          { description: "acme 3", custom_ratelimit: false, archive_enabled: false }
        ]
      ]
      for (const [patch, body] of cases) {
        assert.strictEqual((yield* keys.patch(ref, patch)).proof, "echoed")
        assert.deepStrictEqual(yield* lastBody, { id, ...body })
      }
      assert.isFalse((yield* requests).some(({ method, path }) => method === "POST" && path.endsWith("/edit")))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("states are the status alone, and a removal or a look the key alone", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const id = Redacted.value(secret)
      const steps = [
        [keys.disable(ref), "PATCH edit", { id, status: "blocked" }],
        [keys.enable(ref), "PATCH edit", { id, status: "allowed" }],
        [keys.enable(ref, { as: "active" }), "PATCH edit", { id, status: "allowed" }],
        [keys.enable(ref, { as: "sandbox" }), "PATCH edit", { id, status: "sandbox" }],
        [Effect.asVoid(keys.get(ref)), "POST view", { id }],
        [Effect.asVoid(Stream.runDrain(keys.list())), "POST view", {}],
        [Effect.asVoid(Stream.runDrain(keys.list({ name: "acme" }))), "POST view", {}],
        [Effect.asVoid(keys.revoke(ref)), "PATCH edit", { id, status: "blocked" }],
        [keys.delete(ref), "POST remove, POST view", { id }]
      ] as const
      for (const [step, calls, body] of steps) {
        const before = (yield* sandbox.requests).length
        yield* step
        const sent = (yield* sandbox.requests).slice(before)
        assert.strictEqual(callsOf(sent).join(", "), calls)
        for (const request of sent) assert.deepStrictEqual(request.body, body)
      }
      for (const { credentials, headers } of yield* sandbox.requests) {
        assert.deepStrictEqual(credentials, ["header"], "the credential travels in its header alone")
        assert.match(headers["content-type"] ?? "", /^application\/json/)
        assert.strictEqual(headers.accept, "application/json")
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a subaccount rides on every call but permissions", () =>
    Effect.gen(function* () {
      const { client, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* keys.patch(ref, { name: "acme 2" }, { confirm: true })
      yield* Stream.runDrain(keys.list())
      const { issued } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      yield* keys.disable(ref)
      yield* keys.delete(issued.ref)
      yield* client.permissions
      for (const { body, path } of yield* sandbox.requests) {
        assert(Predicate.isObject(body))
        assert.strictEqual(body.subaccount_id, path.endsWith("/permissions") ? undefined : "api_test_sub")
      }
      assert.deepStrictEqual(
        (yield* sandbox.keys).map(({ subaccountId }) => subaccountId),
        [null, "api_test_sub"]
      )
    }).pipe(Effect.provide(withSandbox({ subaccount: "api_test_sub", account: "sub" })))
  )

  it.effect("a layer without one finds no key of a subaccount", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { secret } = yield* sandbox.addKey({ subaccountId: "api_test_sub" })
      yield* expectReason(keys.get(keys.ref(Redacted.make(secret))), "KeyNotFound")
      yield* expectReason(keys.disable(keys.ref(Redacted.make(secret))), "KeyNotFound")
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [region, host] of [
    [undefined, "api.smtp2go.com"],
    ["global", "api.smtp2go.com"],
    ["us", "us-api.smtp2go.com"],
    ["eu", "eu-api.smtp2go.com"],
    ["au", "au-api.smtp2go.com"]
  ] as const) {
    it.effect(`region ${region}: ${host}`, () =>
      Effect.gen(function* () {
        const { keys } = yield* setup
        yield* keys.create(spec)
        const [request] = yield* requests
        assert.strictEqual(request?.url, `https://${host}/v3/api_keys/add`)
      }).pipe(Effect.provide(withSandbox(region === undefined ? {} : { region })))
    )
  }
})

describe("rates", () => {
  it.effect("every period is said in the vendor's words, and means the same read back", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const [per, words, readBack = per] of periods) {
        yield* keys.patch(ref, { rate: { max: 3, per } })
        assert.deepInclude(yield* lastBody, {
          custom_ratelimit: true,
          custom_ratelimit_value: 3,
          custom_ratelimit_period: words
        })
        assert.deepStrictEqual((yield* keys.get(ref)).restrictions.rate, { max: 3, per: readBack }, words)
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a period that the vendor has no words for is refused before anything is sent", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const ref = keys.ref(Redacted.make("api-api_test_00000000000000000000000"))
      const bad: ReadonlyArray<readonly [Period, path: string]> = [
        [{ months: 1, days: 1 }, "rate.per"],
        [{ months: 1, hours: 24 }, "rate.per"],
        [{ months: 1, weeks: 1 }, "rate.per"],
        [{ months: 1, seconds: 86_400 }, "rate.per"],
        [{ months: 1_000_000 }, "rate.per"],
        [{ hours: 1_000_000 }, "rate.per"],
        [{ weeks: 5953 }, "rate.per"],
        [{ seconds: Number.MAX_SAFE_INTEGER }, "rate.per"],
        [{ weeks: Number.MAX_SAFE_INTEGER }, "rate.per"]
      ]
      for (const [per, path] of bad) {
        const rate = { max: 1, per }
        for (const call of [
          Effect.asVoid(keys.patch(ref, { rate })),
          Effect.asVoid(keys.create({ name: "acme", rate }))
        ]) {
          assert.include((yield* expectReason(call, "InvalidRequest")).message, path)
        }
      }
      const error = yield* expectReason(
        keys.patch(ref, { rate: { max: 2_147_483_648, per: { days: 1 } } }),
        "InvalidRequest"
      )
      assert.include(error.message, "rate.max")
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("what the vendor shows is read, and what it means by nothing is not taken for a limit", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { secret } = yield* sandbox.addKey()
      const ref = keys.ref(Redacted.make(secret))
      const shown: ReadonlyArray<readonly [words: string | null, per: Period | undefined]> = [
        ["1 hours", { hours: 1 }],
        ["12 hour", { hours: 12 }],
        ["2 weeks 1:00:00", { weeks: 2, hours: 1 }],
        ["1 hour 5:00:00", { hours: 6 }],
        ["100:00:00", { hours: 100 }],
        ["4 months 5:00:00", { months: 4, hours: 5 }],
        ["0 months 0:30:00", { minutes: 30 }],
        [null, undefined],
        ["0:00:00", undefined],
        ["0 hours", undefined],
        ["unlimited", undefined],
        ["30", undefined],
        ["1 minute", undefined],
        ["1 HOUR", undefined],
        ["1  hour", undefined],
        [" 1 hour", undefined],
        ["1 hour ", undefined],
        ["-1 hour", undefined],
        ["1.5 hours", undefined],
        ["1:60:00", undefined],
        ["1:00:60", undefined],
        ["1:0:00", undefined],
        ["1000000 hours", undefined],
        ["1 hour 1 day", undefined],
        ["1 hour\n", undefined]
      ]
      for (const [words, per] of shown) {
        yield* sandbox.editKey(secret, { customRatelimit: true, customRatelimitValue: 9, customRatelimitPeriod: words })
        const { rate } = (yield* keys.get(ref)).restrictions
        assert.deepStrictEqual(rate, per === undefined ? undefined : { max: 9, per }, String(words))
      }
      yield* sandbox.editKey(secret, { customRatelimitPeriod: "1 hour" })
      for (const value of [null, 0, -1]) {
        yield* sandbox.editKey(secret, { customRatelimitValue: value })
        assert.isUndefined((yield* keys.get(ref)).restrictions.rate)
      }
      yield* sandbox.editKey(secret, { customRatelimit: false, customRatelimitValue: 9 })
      assert.strictEqual((yield* keys.get(ref)).restrictions.rate, "unlimited")
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("both spellings of the switch are read", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const ratelimitField of ["custom_rate_limit", "custom_ratelimit"] as const) {
        yield* sandbox.setHabits({ ratelimitField })
        assert.deepStrictEqual((yield* keys.get(ref)).restrictions.rate, { max: 100, per: { minutes: 30 } })
        assert.strictEqual((yield* keys.patch(ref, { rate: spec.rate ?? "unlimited" })).proof, "echoed")
      }
    }).pipe(Effect.provide(withSandbox()))
  )
})

/** The strings in a value, however deep. */
const strings = (value: unknown): ReadonlyArray<string> =>
  Predicate.isString(value) ? [value] : Predicate.isObjectOrArray(value) ? Object.values(value).flatMap(strings) : []

describe("limits and hostile input", () => {
  const longest = `/${"a".repeat(199)}`
  const hostile: ReadonlyArray<readonly [field: string, bad: Row]> = [
    ["name", { name: "" }],
    ["name", { name: "a".repeat(256) }],
    ["name", { name: " acme" }],
    ["name", { name: "line\nbreak" }],
    ["name", { name: "cr\r\nlf: header" }],
    ["name", { name: "half \ud800 pair" }],
    ["name", { name: "line\u2028separator" }],
    ["name", { name: "turned \u202e around" }],
    ["scopes", { scopes: [] }],
    ["scopes", { scopes: ["*"] }],
    ["scopes", { scopes: ["/*"] }],
    ["scopes", { scopes: ["/email/send", "*"] }],
    ["scopes", { scopes: ["email/send"] }],
    ["scopes", { scopes: ["/Email/Send"] }],
    ["scopes", { scopes: ["/email/"] }],
    ["scopes", { scopes: ["/email*"] }],
    ["scopes", { scopes: ["/*/send"] }],
    ["scopes", { scopes: ["/email/../admin"] }],
    ["scopes", { scopes: ["/email//send"] }],
    ["scopes", { scopes: ["/email/send?x=1"] }],
    ["scopes", { scopes: ["/email/send "] }],
    ["scopes", { scopes: ["/email/send\n"] }],
    ["scopes", { scopes: [`${longest}a`] }],
    ["scopes", { scopes: ["/".repeat(1_000_000)] }],
    ["scopes", { scopes: Array.from({ length: 501 }, (_, i) => `/email/${i}`) }],
    ["rate", { rate: 5 }],
    ["rate", { rate: { max: 0, per: { hours: 1 } } }],
    ["rate", { rate: { max: 1.5, per: { hours: 1 } } }],
    ["rate", { rate: { max: 1, per: {} } }],
    ["rate", { rate: { max: 1, per: "1 hour" } }],
    ["rate", { rate: undefined }],
    ["options.smtp2go", { options: { smtp2go: "from" } }],
    ["options.smtp2go.ipPool", { options: { smtp2go: { ipPool: 0 } } }],
    ["options.smtp2go.ipPool", { options: { smtp2go: { ipPool: 1.5 } } }],
    ["options.smtp2go.ipPool", { options: { smtp2go: { ipPool: "1234" } } }],
    ["options.smtp2go.feedbackEnabled", { options: { smtp2go: { feedbackEnabled: "yes!" } } }],
    ["options.smtp2go.feedbackHtml", { options: { smtp2go: { feedbackHtml: "%%UNSUBSCRIBED%%" } } }],
    ["options.smtp2go.feedbackHtml", { options: { smtp2go: { feedbackHtml: "a".repeat(50_001) } } }],
    ["options.smtp2go.feedbackText", { options: { smtp2go: { feedbackText: "%%email%%" } } }],
    ["options.smtp2go.feedbackText", { options: { smtp2go: { feedbackText: "half \ud800 pair" } } }],
    ["options.smtp2go.openTrackingEnabled", { options: { smtp2go: { openTrackingEnabled: 1 } } }],
    ["options.smtp2go.clickTrackingEnabled", { options: { smtp2go: { clickTrackingEnabled: null } } }],
    ["options.smtp2go.archiveEnabled", { options: { smtp2go: { archiveEnabled: "affirmative" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "auditor" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "Audit <a@acme.example>" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "a@acme.example,b@acme.example" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "a@acme.example\r\nBcc: b@acme.example" } } }],
    ["options.smtp2go.bounceNotifications", { options: { smtp2go: { bounceNotifications: "to" } } }],
    ["options.smtp2go.bounceNotifications", { options: { smtp2go: { bounceNotifications: "" } } }],
    ["options.smtp2go.bounceNotifications", { options: { smtp2go: { bounceNotifications: "Drop" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "Audit@acme.example" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "a..b@acme.example" } } }],
    ["options.smtp2go.auditEmail", { options: { smtp2go: { auditEmail: "audit@192.0.2.1" } } }],
    ["options.smtp2go.bounceNotifications", { options: { smtp2go: { bounceNotifications: "A@acme.example" } } }],
    ["options.smtp2go.feedbackHtml", { options: { smtp2go: { feedbackHtml: "two\r\nlines" } } }],
    ["options.smtp2go.feedbackText", { options: { smtp2go: { feedbackText: "%%first name%%" } } }],
    ["options.smtp2go", { options: { smtp2go: new Map([["archiveEnabled", true]]) } }],
    ["options.smtp2go", { options: { smtp2go: new Set(["archiveEnabled"]) } }],
    ["options.smtp2go.status", { options: { smtp2go: { status: "suspended" } } }],
    ["options.smtp2go.status", { options: { smtp2go: { status: "active" } } }],
    ["options.smtp2go.ippool", { options: { smtp2go: { ippool: 1234 } } }],
    ["options.smtp2go.subaccountId", { options: { smtp2go: { subaccountId: "api_test_sub" } } }]
  ]
  it.effect.each(hostile.map(([field, bad], index) => ({ bad, field, index })))(
    "refuses $field ($index)",
    ({ bad, field }) =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        // A program in JavaScript can ask for anything.
        const error = yield* expectReason(keys.create({ ...spec, ...bad } as KeySpec), "InvalidRequest")
        assert(error.reason._tag === "InvalidRequest" && error.reason.source === "client")
        assert.include(error.message, field)
        // What the messages themselves show as examples is no leak.
        for (const value of strings(bad).filter((text) => text.length > 3 && !/^\/?email\/(?:send)?$/.test(text))) {
          assert.notInclude(error.message, value, "the message holds the value")
        }
        assert.deepStrictEqual(yield* faults.attempts, [])
      }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("refuses restrictions that the vendor does not have", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const [restriction, value] of [
        ["domains", ["acme.example"]],
        ["ips", ["192.0.2.1"]],
        ["origins", "any"],
        ["resources", "any"],
        ["quota", 5]
      ] as const) {
        assert.isFalse(keys.supports(restriction))
        yield* expectReason(keys.create({ ...spec, [restriction]: value } as KeySpec), "UnsupportedRestriction")
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("accepts what is just within the limits, in a body that the vendor still takes", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      // Six bytes a character, once it is JSON.
      const footer = "\u0001".repeat(50_000)
      const { ref } = yield* keys.create({
        name: "é".repeat(255),
        scopes: [longest, ...Array.from({ length: 499 }, (_, i) => `/${String(i).padStart(3, "0")}${"a".repeat(196)}`)],
        rate: { max: 2_147_483_647, per: { months: 999_999, hours: 23, minutes: 59, seconds: 59 } },
        options: {
          smtp2go: {
            ...everyOption,
            ipPool: Number.MAX_SAFE_INTEGER,
            feedbackHtml: footer,
            feedbackText: footer,
            auditEmail: `${"a".repeat(64)}@${"b".repeat(63)}.${"c".repeat(63)}.example`,
            status: "sandbox"
          }
        }
      })
      assert.lengthOf((yield* storedOf(secretOf({ ref })))?.endpoints ?? [], 500)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("what names no key is not sent: another vendor's secret, a username, a masked key", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      for (const leaked of [
        "transactional_api_test_of_another_vendor",
        "api_test_of_another_vendor",
        "api-api_test_000",
        "api-",
        "api-api_test_000********************",
        "api-api_test_000…0000000000000000000",
        "api-api_test_000...000",
        "api-api_test_000 0000000000000000000",
        "API-api_test_0000000000000000000000",
        `api-${"a".repeat(5000)}`
      ]) {
        const ref = keys.ref(Redacted.make(leaked))
        for (const call of [keys.revoke(ref), keys.delete(ref), keys.get(ref), keys.rotate(ref)]) {
          const error = yield* expectReason(call, "InvalidRequest")
          assert.notInclude(inspect(error), leaked)
          assert.isUndefined(error.handle)
        }
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a patch of the status is refused: disable and enable change it", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const before = (yield* sandbox.requests).length
      for (const status of ["allowed", "blocked", "sandbox"] as const) {
        const error = yield* expectReason(
          keys.patch(ref, { name: "acme 2", options: { smtp2go: { status, auditEmail: "a@acme.example" } } }),
          "InvalidRequest"
        )
        assert.match(error.message, /options\.smtp2go\.status.*disable.*enable/)
      }
      assert.strictEqual((yield* sandbox.requests).length, before)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a reply of 20 MB fails typed", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const body = JSON.stringify({ data: [{ description: "x".repeat(20_000_000) }] })
      yield* faults.inject({ status: 200, body }, { url: "/view" })
      const read = yield* expectReason(keys.get(ref), "UnexpectedResponse")
      assert(read.reason._tag === "UnexpectedResponse" && read.reason.problem === "size")
      yield* faults.inject({ status: 200, body }, { url: "/add" })
      yield* expectReason(keys.create(spec), "OutcomeUnknown")
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("what is read", () => {
  const habits: ReadonlyArray<MailerPatchSandbox.PartialHabits> = [
    {},
    { masked: false },
    { envelope: "double" },
    { envelope: "double", masked: false },
    { ratelimitField: "custom_ratelimit" },
    { defaultRatelimitValue: 0 }
  ]
  for (const habit of habits) {
    it.effect(`every verb works where the vendor has the habit ${JSON.stringify(habit)}`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        yield* sandbox.setHabits(habit)
        const key = yield* keys.create({ ...spec, options: { smtp2go: everyOption } })
        assert.match(key.handle, /^api-.{12}$/)
        const shown = yield* keys.get(key.ref)
        assert.strictEqual(shown.handle, key.handle)
        assert.deepStrictEqual(shown.ref, Option.some(key.ref))
        assert.deepStrictEqual(shown.name, Option.some("acme"))
        assert.deepStrictEqual({ ...shown.restrictions }, { scopes: spec.scopes, rate: spec.rate })
        assert.deepStrictEqual([shown.status, shown.providerStatus], ["active", "allowed"])
        assert.deepStrictEqual([shown.createdAt, shown.updatedAt], [Option.none(), Option.none()])
        const patched = yield* keys.patch(key.ref, { rate: "unlimited", scopes: "any" }, { confirm: true })
        assert.strictEqual(patched.proof, "confirmed")
        assert.deepStrictEqual(Option.getOrThrow(patched.key).ref, Option.some(key.ref))
        yield* keys.disable(key.ref)
        yield* keys.enable(key.ref, { as: "sandbox" })
        const { issued, previous } = yield* keys.rotate(key.ref, { deliver: () => Effect.void })
        assert.strictEqual(previous, "retired")
        const listed = yield* Stream.runCollect(keys.list({ name: "acme" }))
        assert.deepStrictEqual(
          listed.map(({ handle, ref, status }) => [handle, Option.isSome(ref), status]),
          [
            [key.handle, habit.masked === false, "disabled"],
            [issued.handle, habit.masked === false, "sandbox"]
          ]
        )
        yield* keys.delete(key.ref)
        yield* expectReason(keys.get(key.ref), "KeyNotFound")
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("a vendor that shows as little as its examples: what is not shown is absent, and nothing is guessed", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* sandbox.setHabits({ fields: "subset" })
      const key = yield* keys.create(spec)
      const shown = yield* keys.get(key.ref)
      assert.strictEqual(shown.handle, key.handle, "the mask names the key")
      assert.deepStrictEqual({ ...shown.restrictions }, { scopes: spec.scopes })
      assert.strictEqual((yield* keys.patch(key.ref, { rate: "unlimited" })).proof, "acknowledged")
      assert.strictEqual((yield* keys.patch(key.ref, { name: "acme 2" })).proof, "echoed")
      const error = yield* expectReason(
        keys.patch(key.ref, { rate: "unlimited" }, { confirm: true }),
        "UnexpectedResponse"
      )
      assert.include(error.message, "rate")
      yield* keys.disable(key.ref)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a reply to add that shows the key and no status does not cost the key", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const key = yield* keys.create(spec, { deliver: () => Effect.void })
      assert.isTrue(yield* sandbox.isLive(Redacted.value(key.secret)))
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST add"), ({ status: _, ...row }) => row)
        })
      )
    )
  )

  it.effect("states", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const id = Redacted.value(secret)
      for (const [word, sendingStatus, status] of [
        ["allowed", undefined, "active"],
        ["allowed", null, "active"],
        ["allowed", "allowed", "active"],
        ["allowed", "blocked", "suspended"],
        ["allowed", "suspended", "suspended"],
        // Its values are not documented: what else it says is shown, and taken for nothing.
        ["allowed", "Suspended for misuse", "active"],
        ["allowed", "Blocked", "active"],
        ["allowed", "unblocked", "active"],
        ["allowed", "not suspended", "active"],
        ["blocked", "blocked", "disabled"],
        ["blocked", undefined, "disabled"],
        ["sandbox", "blocked", "sandbox"],
        ["sandbox", undefined, "sandbox"],
        ["constructor", undefined, "unknown"],
        ["on-holiday", "blocked", "unknown"]
      ] as const) {
        yield* sandbox.editKey(id, { status: word, sendingStatus })
        const shown = yield* keys.get(ref)
        assert.strictEqual(shown.status, status, `${word}, ${sendingStatus}`)
        assert.strictEqual(shown.providerStatus, word)
        assert.strictEqual(shown.options.sendingStatus, sendingStatus ?? undefined)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a masked list gives no ref, and the handle that the key always had", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const key = yield* keys.create(spec)
      const listed = yield* Stream.runCollect(keys.list())
      assert.deepStrictEqual(
        listed.map(({ handle, ref }) => [handle, Option.isNone(ref)]),
        [
          ["api-api_test_mgr", true],
          [key.handle, true]
        ]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("one odd row hides no other, and none is a defect", () =>
    Effect.gen(function* () {
      const { client, faults, keys } = yield* setup
      const rows = [
        null,
        7,
        "x",
        [],
        { status: "constructor", endpoints: "x", custom_rate_limit: "yes", api_key: "****", username: "x".repeat(99) },
        { endpoints: ["", "a b"], custom_rate_limit: true, custom_ratelimit_value: 1e300, ippool: {} },
        { username: "api-api_test_one", status: "allowed" }
      ]
      yield* faults.inject({ status: 200, body: JSON.stringify({ data: rows }) }, { times: 2 })
      assert.strictEqual((yield* client.list()).length, rows.length)
      const shown = yield* Stream.runCollect(keys.list())
      assert.deepStrictEqual(
        shown.map(({ handle, status }) => `${handle} ${status}`),
        [...Array.from({ length: 6 }, () => "api-masked unknown"), "api-api_test_one active"]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a secret is found in a reply of another shape, but not among several", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const key = "api-api_test_salvaged000000000000000"
      assert.lengthOf(key, 36)
      for (const body of [
        { data: { key: { api_key: key } } },
        { result: [{ api_key: key }] },
        { api_key: key, description: "acme" },
        { data: [{ description: "acme" }, { api_key: key }] }
      ]) {
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { url: "/add" })
        const created = yield* keys.create(spec, { deliver: () => Effect.void })
        assert.strictEqual(Redacted.value(created.secret), key)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a secret is found in a reply that was cut off behind it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const key = "api-api_test_salvaged000000000000000"
      const whole = `{"request_id":"1","data":[{"api_key":"${key}","descr`
      yield* faults.inject({ status: 200, body: whole }, { url: "/add" })
      const created = yield* keys.create(spec, { deliver: () => Effect.void })
      assert.strictEqual(Redacted.value(created.secret), key)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a name that looks like a key is not taken for the key, not even in its place", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const name = "api-api_test_named000000000000000000"
      for (const body of [{ data: [{ api_key: name, status: "allowed" }] }, { result: { api_key: name } }]) {
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { url: "/add" })
        yield* expectReason(
          keys.create({ ...spec, name }, { deliver: () => Effect.die("delivered") }),
          "OutcomeUnknown"
        )
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [field, value] of [
    ["ippool", 1.5],
    ["ippool", -3],
    ["endpoints", [""]]
  ] as const) {
    it.effect(`a key that shows ${field} as ${JSON.stringify(value)} is not copied`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const body = {
          data: [{ api_key: `${Redacted.value(secret).slice(0, 16)}****`, status: "allowed", [field]: value }]
        }
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { url: "/view" })
        const before = (yield* sandbox.keys).length
        const error = yield* expectReason(keys.rotate(ref, { deliver: () => Effect.void }), "UnexpectedResponse")
        assert.include(inspect(error, { depth: 9 }), field === "ippool" ? "ipPool" : "scopes")
        assert.lengthOf(yield* sandbox.keys, before)
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("what only looks like a key is none, and a reply that says no holds none", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const key = "api-api_test_salvaged000000000000000"
      const bodies: ReadonlyArray<unknown> = [
        { data: [] },
        { data: {} },
        { data: [{ api_key: "api-api_test_000********************" }] },
        { data: [{ api_key: "api-api_test_000" }] },
        { data: [{ api_key: null, username: "api-api_test_000" }] },
        { data: [{ api_key: key }, { api_key: `${key.slice(0, -1)}1` }] },
        [{ api_key: key }, { api_key: `${key.slice(0, -1)}1` }],
        // By no name, or by another, it may be anything.
        key,
        [key],
        { data: { key: { value: key } } },
        { data: [{ id: key, "x-smtp2go-api-key": key }] },
        { data: { error: "no", error_code: "E_ApiResponseCodes.API_EXCEPTION", api_key: key } },
        { error: "no", api_key: key },
        { data: [{ api_key: key, error: "no" }] },
        { data: { result: { api_key: key, error_code: "E_ApiResponseCodes.API_EXCEPTION" } } },
        { data: [{ key: key.slice(0, -1) }] },
        { data: [{ note: `the key ${key}` }] }
      ]
      for (const body of bodies) {
        yield* faults.inject({ status: 200, body: JSON.stringify(body) }, { url: "/add" })
        const error = yield* expectReason(keys.create(spec), "OutcomeUnknown")
        assert.notInclude(inspect(error, { depth: 9 }), "salvaged")
      }
      for (const body of [
        `{"data":[{"api_key":"${key.slice(0, -3)}`,
        `{"data":[{"api_key":"${key}","x":{"api_key":"${key.slice(0, -1)}1"`,
        `<html>${key}</html>`,
        ""
      ]) {
        yield* faults.inject({ status: 200, body }, { url: "/add" })
        yield* expectReason(keys.create(spec), "OutcomeUnknown")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a name that looks like a key is not taken for one, wherever the reply repeats it", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const name = "api-api_test_named000000000000000000"
      const real = "api-api_test_salvaged000000000000000"
      assert.lengthOf(name, 36)
      const named: KeySpec = { ...spec, name, options: { smtp2go: { feedbackText: name } } }
      const delivered: Array<string> = []
      const deliver = (key: IssuedKey) => Effect.sync(() => void delivered.push(Redacted.value(key.secret)))
      const before = (yield* sandbox.requests).length
      for (const body of [
        JSON.stringify({ result: { description: name } }),
        JSON.stringify({ result: { api_key: name, description: name } }),
        JSON.stringify({ data: { key: { api_key: name } } }),
        JSON.stringify({ name, data: [name] }),
        JSON.stringify(name),
        `{"data":[{"description":"${name}","feedb`,
        `{"data":[{"api_key":"${name}","descr`
      ]) {
        yield* faults.inject({ status: 200, body }, { url: "/add" })
        yield* expectReason(keys.create(named, { deliver }), "OutcomeUnknown")
      }
      assert.deepStrictEqual(delivered, [])
      assert.lengthOf(yield* sandbox.requests, before, "nothing is removed by that name")
      for (const body of [
        JSON.stringify({ request: { description: name, api_key: name }, result: { api_key: real } }),
        `{"data":[{"description":"${name}","api_key":"${real}","feedb`
      ]) {
        yield* faults.inject({ status: 200, body }, { url: "/add" })
        yield* keys.create(named, { deliver })
      }
      assert.deepStrictEqual(delivered, [real, real])
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a list, or a look, at what is no reply of keys: UnexpectedResponse", () =>
    Effect.gen(function* () {
      const { client, faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const error = { error: "no", error_code: "E_ApiResponseCodes.API_EXCEPTION" }
      for (const reply of [
        {},
        { data: {} },
        { data: "x" },
        { data: { status: "allowed" } },
        { data: { success: true } },
        { data: { data: {} } },
        { data: error },
        { data: [error] },
        { data: [{ data: error }] },
        { data: [{ api_key: secretOf({ ref }) }, error] },
        { data: [{ api_key: secretOf({ ref }), ...error }] },
        error,
        []
      ]) {
        yield* faults.inject({ status: 200, body: JSON.stringify(reply) }, { url: "/view", times: 3 })
        const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
          Stream.runDrain(keys.list()),
          client.list(),
          keys.get(ref)
        ]
        for (const call of calls) {
          const { reason } = yield* expectReason(call, "UnexpectedResponse")
          assert(reason._tag === "UnexpectedResponse" && reason.problem === "body", JSON.stringify(reply))
        }
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a key is gone only where nothing is shown", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const username = "api-api_test_oth"
      for (const [rows, tag] of [
        [[], "KeyNotFound"],
        [[{}], "UnexpectedResponse"],
        [[null], "UnexpectedResponse"],
        [[{ status: "allowed" }], "UnexpectedResponse"],
        [[{ api_key: "****" }], "UnexpectedResponse"],
        [[{ username }], "UnexpectedResponse"],
        [[{ api_key: `${username}********************` }], "UnexpectedResponse"],
        // The mask is the key's own; what stands beside it may be anything.
        [
          [{ api_key: `${username}********************`, username: secretOf({ ref }).slice(0, 16) }],
          "UnexpectedResponse"
        ],
        [[{ username: `${secretOf({ ref }).slice(0, 15)}` }], "UnexpectedResponse"]
      ] as const) {
        yield* faults.inject({ status: 200, body: JSON.stringify({ data: rows }) }, { url: "/view" })
        yield* expectReason(keys.get(ref), tag)
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a row with the key's mask is the key's, whatever username stands beside it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { handle, ref } = yield* keys.create(spec)
      const mask = `${secretOf({ ref }).slice(0, 16)}********************`
      for (const username of [
        "api-api_test_oth",
        "api-other",
        "someone@acme.example",
        "",
        null,
        7,
        secretOf({ ref })
      ]) {
        const body = JSON.stringify({ data: [{ api_key: mask, username, description: "mine", status: "allowed" }] })
        yield* faults.inject({ status: 200, body }, { url: "/view", times: 2 })
        const shown = yield* keys.get(ref)
        assert.deepStrictEqual([shown.handle, shown.name], [handle, Option.some("mine")])
        const [listed] = yield* Stream.runCollect(keys.list())
        assert.strictEqual(listed?.handle, handle)
        yield* faults.inject({ status: 200, body }, { method: "PATCH" })
        yield* keys.enable(ref)
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("no handle is longer than a username, or shows more", () =>
    Effect.gen(function* () {
      const { client, faults, keys } = yield* setup
      const secret = "api-api_test_whole000000000000000000"
      const rows: ReadonlyArray<readonly [Row, string]> = [
        [{ api_key: secret }, "api-api_test_who"],
        [{ api_key: secret, username: "x".repeat(99) }, "api-api_test_who"],
        [{ api_key: `${secret.slice(0, 30)}******` }, "api-api_test_who"],
        [{ username: "api-api_test_who" }, "api-api_test_who"],
        [{ username: secret }, "api-masked"],
        [{ username: `${secret.slice(0, 16)}…` }, "api-masked"],
        [{ username: secret.slice(4) }, "api-masked"],
        [{ username: "api-api_test_w" }, "api-masked"],
        [{ username: "api-api_test_w\u001b[" }, "api-masked"],
        [{ username: "someone@acme.exa" }, "api-masked"],
        [{ api_key: secret.slice(0, 31) }, "api-masked"],
        [{ api_key: `****${secret.slice(4)}` }, "api-masked"],
        [{ api_key: `${secret.slice(0, 12)}****` }, "api-masked"],
        [{ api_key: `${secret} ` }, "api-masked"],
        [{ api_key: { value: secret }, username: [secret] }, "api-masked"],
        [{ id: secret, description: "acme" }, "api-masked"]
      ]
      const body = JSON.stringify({ data: rows.map(([row]) => row) })
      yield* faults.inject({ status: 200, body }, { url: "/view", times: 2 })
      const listed = yield* Stream.runCollect(keys.list())
      assert.deepStrictEqual(
        listed.map(({ handle }) => handle),
        rows.map(([, handle]) => handle)
      )
      for (const { username } of yield* client.list()) {
        assert.isTrue(Option.isNone(username) || username.value.length === 16)
      }
      assert.deepStrictEqual(
        listed.filter(({ ref }) => Option.isSome(ref)).map(({ handle }) => handle),
        ["api-api_test_who", "api-api_test_who"]
      )
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("what the vendor says of sending is shown where it is plain", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const [sending_status, shown] of [
        ["blocked", "blocked"],
        ["x".repeat(64), "x".repeat(64)],
        [7, 7],
        [false, false],
        ["x".repeat(65), undefined],
        [null, undefined],
        [["blocked"], undefined],
        [{ blocked: true }, undefined]
      ] as const) {
        const row = { api_key: secretOf({ ref }), status: "allowed", sending_status }
        yield* faults.inject({ status: 200, body: JSON.stringify({ data: [row] }) }, { url: "/view" })
        const { options, status } = yield* keys.get(ref)
        assert.deepStrictEqual(options.sendingStatus, shown)
        assert.strictEqual(status, sending_status === "blocked" ? "suspended" : "active")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a patch or a state whose reply shows no key, or another one, is not believed", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const other = yield* sandbox.addKey()
      const bodies = [
        { data: [] },
        { data: {} },
        { data: [{ status: "blocked" }] },
        { data: [{ api_key: other.secret, status: "blocked" }] },
        { data: [{ username: other.username, status: "blocked" }] },
        {},
        { request_id: "1" },
        { data: null },
        []
      ]
      for (const body of [...bodies.map((reply) => JSON.stringify(reply)), "", "<html></html>"]) {
        for (const call of [
          keys.patch(ref, { name: "acme 2" }),
          keys.disable(ref),
          keys.enable(ref),
          keys.revoke(ref)
        ]) {
          yield* faults.inject({ status: 200, body }, { method: "PATCH" })
          yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "UnexpectedResponse")
        }
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("the key is found among others in a reply", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const other = yield* sandbox.addKey()
      const row = { username: secretOf({ ref }).slice(0, 16), description: "mine" }
      const body = JSON.stringify({ data: [{ username: other.username, description: "other" }, row] })
      yield* faults.inject({ status: 200, body }, { url: "/view" })
      assert.deepStrictEqual((yield* keys.get(ref)).name, Option.some("mine"))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a key whose row the vendor masks in another way is not said to be gone", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const body = JSON.stringify({ data: [{ api_key: "api-api_****…akef", status: "allowed" }] })
      yield* faults.inject({ status: 200, body }, { url: "/view", times: 2 })
      yield* expectReason(keys.get(ref), "UnexpectedResponse")
      yield* faults.inject({ status: 200, body: "" }, { url: "/remove" })
      yield* expectReason(keys.delete(ref), "UnexpectedResponse")
    }).pipe(Effect.provide(withSandbox()))
  )
})

/** Every call of the vendor, by a verb or by the client. */
const everyCall = Effect.map(setup, ({ client, keys, sandbox }) => {
  const ref = (secret: string) => keys.ref(Redacted.make(secret))
  return {
    sandbox,
    calls: (secret: string): ReadonlyArray<readonly [name: string, call: Effect.Effect<unknown, ApiKeyError>]> => [
      ["create", keys.create(spec)],
      ["patch", keys.patch(ref(secret), { name: "acme 2" })],
      ["get", keys.get(ref(secret))],
      ["list", Stream.runDrain(keys.list())],
      ["disable", keys.disable(ref(secret))],
      ["revoke", keys.revoke(ref(secret))],
      ["enable", keys.enable(ref(secret))],
      ["rotate", keys.rotate(ref(secret), { deliver: () => Effect.void })],
      ["delete", keys.delete(ref(secret))],
      ["permissions", client.permissions]
    ]
  }
})

describe("refusals", () => {
  for (const credentialRejection of ["401", "400", "403", "500"] as const) {
    for (const errorShape of ["nested", "flat"] as const) {
      it.effect(`a rejected credential, as ${credentialRejection}, ${errorShape}`, () =>
        Effect.gen(function* () {
          const { calls, sandbox } = yield* everyCall
          const { secret } = yield* sandbox.addKey()
          yield* sandbox.setHabits({ credentialRejection, errorShape })
          yield* sandbox.setCredential("api-api_test_another0000000000000000")
          for (const [name, call] of calls(secret)) {
            const before = (yield* sandbox.requests).length
            const error = yield* expectReason(call, "AuthenticationFailed")
            assert(error.reason._tag === "AuthenticationFailed" && error.reason.problem === "rejected", name)
            const sent = (yield* sandbox.requests).slice(before)
            assert.lengthOf(sent, 1, `${name} is not repeated`)
            assert.strictEqual(sent[0]?.status, Number(credentialRejection))
            assert.notInclude(inspect(error, { depth: 9 }), "API User")
          }
        }).pipe(Effect.provide(withoutLimits()))
      )
    }
  }

  it.effect("a manager's key that was blocked is AuthenticationFailed too", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* sandbox.setStatus(Redacted.value(sandbox.credential), "blocked")
      yield* expectReason(keys.create(spec), "AuthenticationFailed")
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [shape, enclose] of Object.entries(shapes)) {
    it.effect(`a 500 that is not of the credential leaves a mint open (${shape})`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { secret } = yield* sandbox.addKey()
        const error_code = "E_ApiResponseCodes.API_EXCEPTION"
        for (const body of [
          enclose({ error: "The request failed", error_code }),
          enclose({ error: "An unexpected error occurred" }),
          enclose({ error: "The id is not of an API key", error_code }),
          "{}",
          "",
          "<html>API User 'api_key'</html>"
        ]) {
          yield* faults.inject({ status: 500, body }, { url: "/add" })
          yield* expectReason(keys.create(spec), "OutcomeUnknown")
          yield* faults.inject({ status: 500, body }, { url: "/add" })
          yield* expectReason(keys.rotate(keys.ref(Redacted.make(secret))), "OutcomeUnknown")
        }
      }).pipe(Effect.provide(withoutLimits()))
    )

    it.effect(
      `a 500 that speaks of keys, or says nothing but the generic code, leaves a mint open too (${shape})`,
      () =>
        Effect.gen(function* () {
          const { faults, keys } = yield* setup
          const error_code = "E_ApiResponseCodes.API_EXCEPTION"
          for (const error of [
            { error_code },
            { error: "", error_code },
            { error: "An error occurred while creating the API key", error_code },
            { error: "The API key was stored but could not be returned", error_code }
          ]) {
            yield* faults.inject({ status: 500, body: enclose(error) }, { url: "/add" })
            yield* expectReason(keys.create(spec), "OutcomeUnknown")
          }
        }).pipe(Effect.provide(withoutLimits()))
    )

    it.effect(`every parameter that the vendor refuses is named in our words, without its text (${shape})`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        const paths = {
          id: "ref",
          description: "name",
          endpoints: "scopes",
          custom_ratelimit: "rate",
          custom_ratelimit_value: "rate.max",
          custom_ratelimit_period: "rate.per",
          subaccount_id: "subaccount",
          ip_pool: "options.smtp2go.ipPool",
          feedback_enabled: "options.smtp2go.feedbackEnabled",
          feedback_html: "options.smtp2go.feedbackHtml",
          feedback_text: "options.smtp2go.feedbackText",
          open_tracking_enabled: "options.smtp2go.openTrackingEnabled",
          click_tracking_enabled: "options.smtp2go.clickTrackingEnabled",
          archive_enabled: "options.smtp2go.archiveEnabled",
          audit_email: "options.smtp2go.auditEmail",
          bounce_notifications: "options.smtp2go.bounceNotifications",
          status: "options.smtp2go.status"
        }
        assert.lengthOf(Object.keys(paths), 17)
        const refusal = (errors: unknown) =>
          enclose({
            error: "quux",
            error_code: "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD",
            field_validation_errors: errors
          })
        const refused = Effect.fnUntraced(function* (errors: unknown, status = 400) {
          yield* faults.inject({ status, body: refusal(errors) }, { method: "PATCH" })
          const error = yield* expectReason(keys.patch(ref, { name: "acme 2" }), "InvalidRequest")
          assert(error.reason._tag === "InvalidRequest" && error.reason.source === "provider")
          assert.notInclude(inspect(error, { depth: 9 }), "quux")
          return error.reason.issues.map(({ path }) => path.join("."))
        })
        for (const [fieldname, path] of Object.entries(paths)) {
          assert.deepStrictEqual(yield* refused({ fieldname, message: "quux" }), [path])
        }
        assert.deepStrictEqual(yield* refused({ fieldname: "audit_email", message: "quux" }, 402), [paths.audit_email])
        assert.deepStrictEqual(
          yield* refused([
            { fieldname: "status", message: "quux" },
            { fieldname: "quux_field", message: "quux" },
            { fieldname: "constructor" },
            { fieldname: 7 },
            null,
            "status",
            { fieldname: "description", message: "quux" }
          ]),
          [paths.status, paths.description]
        )
        assert.deepStrictEqual(yield* refused(undefined), [])
        assert.deepStrictEqual(yield* refused("quux"), [])
      }).pipe(Effect.provide(withoutLimits()))
    )

    it.effect(`ENDPOINT_PERMISSION_DENIED is PermissionDenied as 400 and as 403 (${shape})`, () =>
      Effect.gen(function* () {
        const { calls, sandbox } = yield* everyCall
        const { secret } = yield* sandbox.addKey()
        for (const permissionRejection of ["400", "403"] as const) {
          yield* sandbox.setHabits({ permissionRejection, errorShape: shape === "flat" ? "flat" : "nested" })
          for (const [name, call] of calls(secret)) {
            if (name === "permissions") continue
            const error = yield* expectReason(call, "PermissionDenied")
            assert.notInclude(inspect(error, { depth: 9 }), "You do not have")
          }
        }
      }).pipe(Effect.provide(withoutLimits({}, { credentialEndpoints: ["/email/send"] })))
    )

    it.effect(`a 404 is KeyNotFound where it is the vendor's own (${shape})`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, ApiKeyError>]> = [
          ["/edit", keys.patch(ref, { name: "acme 2" })],
          ["/edit", keys.revoke(ref)],
          ["/view", keys.get(ref)],
          ["/remove", keys.delete(ref)]
        ]
        for (const [url, call] of calls) {
          const body = enclose({ error: "no such key", error_code: "E_ApiResponseCodes.API_EXCEPTION" })
          yield* faults.inject({ status: 404, body }, { url })
          yield* expectReason(call, "KeyNotFound")
          for (const strange of ["<html>404</html>", "", "{}", `{"message":"no Route matched"}`]) {
            yield* faults.inject({ status: 404, body: strange }, { url })
            yield* expectReason(call, "InvalidRequest")
          }
        }
        yield* faults.inject({ status: 404, body: enclose({ error: "no" }) }, { url: "/add" })
        yield* expectReason(keys.create(spec), "InvalidRequest")
      }).pipe(Effect.provide(withoutLimits()))
    )

    it.effect(`a 200 that holds an error is no success, at any endpoint (${shape})`, () =>
      Effect.gen(function* () {
        const { faults } = yield* setup
        const { calls, sandbox } = yield* everyCall
        const { secret } = yield* sandbox.addKey()
        const row = { api_key: secret, username: secret.slice(0, 16), status: "allowed" }
        for (const error of [
          { error: "vendor text", error_code: "E_ApiResponseCodes.API_EXCEPTION" },
          { error: "vendor text" },
          { error_code: "E_ApiResponseCodes.API_EXCEPTION", ...row }
        ]) {
          for (const [name, call] of calls(secret)) {
            const before = (yield* faults.attempts).length
            yield* faults.inject({ status: 200, body: enclose(error) }, { times: 9 })
            const failed = yield* expectReason(call, name === "create" ? "OutcomeUnknown" : "UnexpectedResponse")
            yield* faults.clear
            assert.notInclude(inspect(failed, { depth: 9 }), "vendor text")
            assert.isAtMost((yield* faults.attempts).length - before, name === "delete" ? 2 : 1)
          }
        }
        assert.deepStrictEqual((yield* storedOf(secret))?.status, "allowed")
      }).pipe(Effect.provide(withoutLimits()))
    )
  }

  it.effect("an endpoint's 400 that comes as 200 is no success either", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { secret } = yield* sandbox.addKey()
      yield* sandbox.setHabits({ errorsAs200: true })
      const ref = keys.ref(Redacted.make(secret))
      yield* expectReason(keys.create(spec), "OutcomeUnknown")
      yield* expectReason(keys.patch(ref, { name: "x" }), "UnexpectedResponse")
      yield* expectReason(keys.delete(ref), "UnexpectedResponse")
      yield* expectReason(keys.revoke(ref), "UnexpectedResponse")
      assert.isTrue(yield* sandbox.isLive(secret))
    }).pipe(Effect.provide(withSandbox({}, { credentialEndpoints: ["/email/send"] })))
  )

  it.effect("402 is the request's fault, of a mint too", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const body of [nested({ error: "vendor text" }), flat({ error: "vendor text" }), "{}", ""]) {
        yield* faults.inject({ status: 402, body }, { times: 2 })
        const created = yield* expectReason(keys.create(spec), "InvalidRequest")
        assert(created.reason._tag === "InvalidRequest" && created.reason.source === "provider")
        yield* expectReason(keys.patch(ref, { name: "acme 2" }), "InvalidRequest")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a 403 that is not the vendor's own says nothing of the credential", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      yield* faults.inject({ status: 403, body: "<html>blocked</html>" })
      yield* expectReason(keys.create(spec), "PermissionDenied")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a 403 and a 500 are of the credential only where they speak of it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const exception = "E_ApiResponseCodes.API_EXCEPTION"
      const passed = "An API User matching the passed 'api_key' was not found"
      const cases: ReadonlyArray<readonly [status: number, Row, edit: ReasonTag, add: ReasonTag]> = [
        [403, { error: "Invalid credentials", error_code: exception }, "AuthenticationFailed", "AuthenticationFailed"],
        [403, { error: passed }, "AuthenticationFailed", "AuthenticationFailed"],
        [403, { error: "The API key does not exist", error_code: exception }, "PermissionDenied", "PermissionDenied"],
        [403, { error: "API key limit reached", error_code: exception }, "PermissionDenied", "PermissionDenied"],
        [403, { error: "no", error_code: exception }, "PermissionDenied", "PermissionDenied"],
        [403, { error: "Invalid credentials" }, "PermissionDenied", "PermissionDenied"],
        [500, { error: passed }, "AuthenticationFailed", "AuthenticationFailed"],
        [
          500,
          { error: "the 'api_key' could not be stored", error_code: exception },
          "ProviderUnavailable",
          "OutcomeUnknown"
        ],
        [500, { error: "Invalid credentials", error_code: exception }, "ProviderUnavailable", "OutcomeUnknown"],
        [500, { error: "API key", error_code: exception }, "ProviderUnavailable", "OutcomeUnknown"]
      ]
      for (const [status, error, edit, add] of cases) {
        for (const enclose of Object.values(shapes)) {
          yield* faults.inject({ status, body: enclose(error) }, { method: "PATCH" })
          yield* expectReason(keys.patch(ref, { name: "acme 2" }), edit)
          yield* faults.inject({ status, body: enclose(error) }, { url: "/add" })
          yield* expectReason(keys.create(spec), add)
        }
      }
    }).pipe(Effect.provide(withoutLimits({ retry: false })))
  )

  for (const [what, reply] of [
    ["JSON of a framework", { error: "Not Found" }],
    ["JSON of another framework", { statusCode: 404, error: "Not Found", message: "Cannot POST /v3/api_keys" }],
    ["JSON with a code of its own", { error: "Not Found", error_code: "not_found" }],
    ["JSON within data", { data: { error: "Not Found" } }],
    ["JSON with a number for a request's id", { request_id: 7, error: "Not Found" }],
    ["JSON with nothing but a request's id", { request_id: "1" }],
    ["JSON that is none of ours", { message: "no Route matched with those values" }],
    ["a page", "<html></html>"]
  ] as const) {
    it.effect(`a 404 that is ${what} says nothing of the key`, () =>
      Effect.gen(function* () {
        const { client, faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
          keys.patch(ref, { name: "acme 2" }),
          keys.disable(ref),
          keys.enable(ref),
          keys.revoke(ref),
          keys.get(ref),
          keys.delete(ref),
          keys.rotate(ref),
          client.view(secret),
          client.remove(secret),
          Stream.runDrain(keys.list())
        ]
        for (const call of calls) {
          yield* faults.inject({ status: 404, body: JSON.stringify(reply) })
          yield* expectReason(call, "InvalidRequest")
        }
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withoutLimits({ retry: false })))
    )
  }

  it.effect("the vendor's own 404 is KeyNotFound, but of a list, which asks for no key", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const body of [
        nested({ error: "no" }),
        flat({ error: "no" }),
        JSON.stringify({ data: { error_code: "E_ApiResponseCodes.NOT_FOUND" } }),
        JSON.stringify({ error_code: "E_ApiResponseCodes.NOT_FOUND" })
      ]) {
        for (const call of [keys.get(ref), keys.disable(ref), keys.delete(ref)]) {
          yield* faults.inject({ status: 404, body })
          yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "KeyNotFound")
        }
        yield* faults.inject({ status: 404, body })
        yield* expectReason(Stream.runDrain(keys.list()), "InvalidRequest")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a 400 is of the credential only where it speaks of it", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const exception = "E_ApiResponseCodes.API_EXCEPTION"
      const invalid = "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD"
      const cases: ReadonlyArray<readonly [Row, ReasonTag]> = [
        [{ error: "The API key is invalid", error_code: exception }, "AuthenticationFailed"],
        [{ error: "Invalid credentials", error_code: exception }, "AuthenticationFailed"],
        [{ error: "Authentication failed", error_code: "API_EXCEPTION" }, "AuthenticationFailed"],
        [{ error_code: exception }, "AuthenticationFailed"],
        [{ error: "An API User matching the passed 'api_key' was not found", error_code: "x" }, "AuthenticationFailed"],
        [{ error: "no API User matches the 'api_key'", error_code: "other" }, "InvalidRequest"],
        [
          { error: "x", error_code: invalid, field_validation_errors: { fieldname: "api_key" } },
          "AuthenticationFailed"
        ],
        // What may as well be said of the key that the request names, or of how many there are.
        [{ error: "No API key matches the passed id", error_code: exception }, "InvalidRequest"],
        [{ error: "API key not found", error_code: exception }, "InvalidRequest"],
        [{ error: "The API key does not exist", error_code: exception }, "InvalidRequest"],
        [{ error: "The limit of API keys is reached", error_code: exception }, "InvalidRequest"],
        [{ error: "The maximum number of API keys is reached", error_code: exception }, "InvalidRequest"],
        [{ error: "The specified API key is invalid", error_code: exception }, "InvalidRequest"],
        [{ error: "The requested API key is invalid", error_code: exception }, "InvalidRequest"],
        [{ error: "The endpoints are not known", error_code: exception }, "InvalidRequest"],
        [{ error: "The API key is invalid", error_code: invalid }, "InvalidRequest"],
        [
          { error: "The API key is invalid", error_code: exception, field_validation_errors: { fieldname: "id" } },
          "InvalidRequest"
        ],
        [
          { error: "no 'api_key' here", error_code: invalid, field_validation_errors: { fieldname: "description" } },
          "InvalidRequest"
        ],
        [{ error: "x" }, "InvalidRequest"],
        [{}, "InvalidRequest"]
      ]
      for (const [error, tag] of cases) {
        for (const enclose of Object.values(shapes)) {
          yield* faults.inject({ status: 400, body: enclose(error) }, { method: "PATCH" })
          yield* expectReason(keys.patch(ref, { name: "acme 2" }), tag)
        }
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a foreign key is KeyNotFound, however the vendor says so", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const ref = new KeyRef({
        provider: "smtp2go",
        account: "default",
        value: Redacted.make("api-api_test_foreign0000000000000000")
      })
      for (const unknownView of ["empty", "404"] as const) {
        yield* sandbox.setHabits({ unknownView })
        yield* expectReason(keys.get(ref), "KeyNotFound")
        yield* expectReason(keys.rotate(ref), "KeyNotFound")
      }
      yield* expectReason(keys.revoke(ref), "KeyNotFound")
      yield* expectReason(keys.patch(ref, { name: "x" }), "KeyNotFound")
      yield* expectReason(keys.delete(ref), "KeyNotFound")
      yield* sandbox.setHabits({ unknownView: "400", unknownKey: "400" })
      for (const call of [keys.get(ref), keys.revoke(ref), keys.delete(ref)]) {
        const error = yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "InvalidRequest")
        assert.include(error.message, "ref: ")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )
})

describe("a key that comes back other than asked", () => {
  const asked: KeySpec = {
    ...spec,
    options: { smtp2go: { ...everyOption, openTrackingEnabled: false, status: "sandbox" } }
  }
  const differences: Readonly<Record<string, Row>> = {
    name: { description: "other" },
    scopes: { endpoints: ["*"] },
    "scopes, one more": { endpoints: ["/email/send", "/api_keys/add"] },
    "scopes, others": { endpoints: ["/stats/*"] },
    rate: { custom_rate_limit: false },
    "rate, a higher one": { custom_ratelimit_value: 101 },
    "rate, a shorter period": { custom_ratelimit_period: "0:29:59" },
    "options.status": { status: "allowed" },
    "options.status, an unknown one": { status: "on-holiday" },
    "options.ipPool": { ippool: 1 },
    "options.ipPool, none": { ippool: null },
    "options.feedbackEnabled": { feedback_enabled: false },
    "options.feedbackHtml": { feedback_html: "" },
    "options.feedbackText": { feedback_text: "other" },
    "options.openTrackingEnabled": { open_tracking_enabled: true },
    "options.clickTrackingEnabled": { click_tracking_enabled: false },
    "options.archiveEnabled": { archive_enabled: false },
    "options.auditEmail": { audit_email: null },
    "options.bounceNotifications": { bounce_notifications: "from" },
    // What is shown and cannot be read is not what was asked.
    "name, a number": { description: 7 },
    "scopes, a word": { endpoints: "*" },
    "scopes, null": { endpoints: null },
    "scopes, an empty list": { endpoints: [] },
    "scopes, a list with null": { endpoints: ["/email/send", null] },
    "scopes, an object": { endpoints: { 0: "/email/send" } },
    "rate, on for no time": { custom_ratelimit_period: "0:00:00" },
    "rate, on without a period": { custom_ratelimit_period: null },
    "rate, on without a value": { custom_ratelimit_value: null },
    "rate, on for nothing": { custom_ratelimit_value: 0 },
    "rate, a fraction": { custom_ratelimit_value: 99.5 },
    "rate, a switch that is null": { custom_rate_limit: null },
    "rate, a switch that is no switch": { custom_rate_limit: "perhaps" },
    "rate, two switches that disagree": { custom_ratelimit: false },
    "rate, two values that disagree": { custom_rate_limit_value: 1000 },
    "rate, two periods that disagree": { custom_rate_limit_period: "0:00:01" },
    "options.status, a number": { status: 7 },
    "options.ipPool, 0 for none": { ippool: 0 },
    "options.ipPool, no number": { ippool: "a pool" },
    "options.ipPool, two that disagree": { ip_pool: 1 },
    "options.feedbackEnabled, null for off": { feedback_enabled: null },
    "options.feedbackEnabled, no switch": { feedback_enabled: "perhaps" },
    "options.feedbackHtml, a number": { feedback_html: 7 },
    "options.feedbackText, a list": { feedback_text: [] },
    "options.openTrackingEnabled, no switch": { open_tracking_enabled: {} },
    "options.auditEmail, a list": { audit_email: ["audit@acme.example"] },
    "options.bounceNotifications, a switch": { bounce_notifications: true }
  }
  for (const [name, change] of Object.entries(differences)) {
    const field = name.split(",")[0] ?? ""
    it.effect(`${name}: a new key is removed before anyone has it`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const delivered: Array<IssuedKey> = []
        const error = yield* expectReason(
          keys.create(asked, { deliver: (key) => Effect.sync(() => void delivered.push(key)) }),
          "PartiallyApplied"
        )
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(error.reason.missing, [field])
        assert.isTrue(error.reason.revoked)
        assert.notInclude(error.reason.applied, field)
        assert.deepStrictEqual(delivered, [])
        assert.lengthOf(yield* sandbox.keys, 1, "the manager's alone")
        assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST add", "POST remove", "POST view"])
      }).pipe(
        Effect.provide(withSandbox({ transformClient: rewriting(to("POST add"), (row) => ({ ...row, ...change })) }))
      )
    )

    it.effect(`${name}: a successor too, and the old key is left alone`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const { endpoints = ["/email/send"], ...old } = {
          ...everyOption,
          openTrackingEnabled: false,
          status: "sandbox",
          description: "acme",
          endpoints: ["/email/send"],
          customRatelimit: true,
          customRatelimitValue: 100,
          customRatelimitPeriod: "0:30:00"
        }
        const before = yield* sandbox.addKey({ ...old, endpoints })
        const error = yield* expectReason(
          keys.rotate(keys.ref(Redacted.make(before.secret)), {
            deliver: () => Effect.die("delivered a key that is not as asked")
          }),
          "PartiallyApplied"
        )
        assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
        assert.deepStrictEqual(error.reason.missing, [field])
        assert.lengthOf(yield* sandbox.keys, 2)
        assert.deepStrictEqual(yield* storedOf(before.secret), before)
      }).pipe(
        Effect.provide(withSandbox({ transformClient: rewriting(to("POST add"), (row) => ({ ...row, ...change })) }))
      )
    )
  }

  for (const status of ["blocked", "sandbox", "on-holiday"]) {
    it.effect(`a key is asked for as allowed unless it says otherwise, so that ${status} is not as asked`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const error = yield* expectReason(keys.create(spec), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
        assert.deepStrictEqual(error.reason.missing, ["options.status"])
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(
        Effect.provide(withSandbox({ transformClient: rewriting(to("POST add"), (row) => ({ ...row, status })) }))
      )
    )
  }

  it.effect("a successor that is minted with its last status is held against the old key too", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const blocked = yield* sandbox.addKey({ status: "blocked" })
      const before = yield* sandbox.keys
      for (const secret of [blocked.secret, Redacted.value(sandbox.credential)]) {
        const error = yield* expectReason(keys.rotate(keys.ref(Redacted.make(secret))), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
        assert.deepStrictEqual(error.reason.missing, ["rate", "options.openTrackingEnabled"])
      }
      assert.deepStrictEqual(yield* sandbox.keys, before)
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST add"), (row) => ({
            ...row,
            custom_rate_limit: true,
            custom_ratelimit_value: 5,
            custom_ratelimit_period: "1 hour",
            open_tracking_enabled: true
          }))
        })
      )
    )
  )

  it.effect("one that can be neither removed nor blocked is said to be live", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const error = yield* expectReason(keys.create(spec), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === false)
      assert.strictEqual(error.handle, (yield* sandbox.keys)[1]?.username)
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: both(
            rewriting(to("POST add"), (row) => ({ ...row, endpoints: ["*"] })),
            answering(to("POST remove"), 403),
            answering(to("PATCH edit"), 403)
          )
        })
      )
    )
  )

  it.effect("one that cannot be removed is blocked", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const error = yield* expectReason(keys.create(spec), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
      assert.strictEqual((yield* sandbox.keys)[1]?.status, "blocked")
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: both(
            rewriting(to("POST add"), (row) => ({ ...row, endpoints: ["*"] })),
            answering(to("POST remove"), 403)
          )
        })
      )
    )
  )

  it.effect("one whose removal the vendor takes and does not carry out is blocked", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const error = yield* expectReason(keys.create(spec), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
      assert.strictEqual((yield* sandbox.keys)[1]?.status, "blocked")
      assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST add", "POST view", "PATCH edit"])
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: both(
            rewriting(to("POST add"), (row) => ({ ...row, endpoints: ["*"] })),
            answering(to("POST remove"), 200, { success: true })
          )
        })
      )
    )
  )

  it.effect("where everything was asked for, what cannot be read is no less", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* keys.create({ name: "open", scopes: "any", rate: "unlimited" })
      assert.lengthOf(yield* sandbox.keys, 2)
      // A list was asked for, so it counts; the rate was not.
      const error = yield* expectReason(keys.create({ name: "half", rate: "unlimited" }), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.missing, ["scopes"])
      assert.lengthOf(yield* sandbox.keys, 2)
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST add"), (row) => ({
            ...row,
            endpoints: "*",
            custom_rate_limit: true,
            custom_ratelimit_value: null,
            custom_ratelimit_period: null
          }))
        })
      )
    )
  )

  it.effect("a switch that is shown as null is off, as asked", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const options = { smtp2go: { feedbackEnabled: false, openTrackingEnabled: false, archiveEnabled: false } }
      const { ref } = yield* keys.create({ ...spec, options })
      assert.strictEqual((yield* keys.patch(ref, { options }, { confirm: true })).proof, "confirmed")
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(
            () => true,
            (row) => ({ ...row, feedback_enabled: null, open_tracking_enabled: null, archive_enabled: 0, ippool: 0 })
          )
        })
      )
    )
  )

  it.effect("a patch whose echo cannot be read is PartiallyApplied too", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const patches: ReadonlyArray<readonly [KeyPatch, string]> = [
        [{ scopes: ["/stats/*"] }, "scopes"],
        [{ rate: { max: 5, per: { days: 1 } } }, "rate"],
        [{ options: { smtp2go: { ipPool: 7 } } }, "options.ipPool"]
      ]
      for (const [patch, field] of patches) {
        const { reason } = yield* expectReason(keys.patch(ref, patch), "PartiallyApplied")
        assert(reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(reason.missing, [field])
      }
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("PATCH edit"), (row) => ({
            ...row,
            endpoints: null,
            custom_rate_limit: true,
            custom_ratelimit_period: "0:00:00",
            ippool: 7,
            ip_pool: 8
          }))
        })
      )
    )
  )

  it.effect("what is not shown is neither proven nor disproven", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      yield* keys.create(spec)
      assert.lengthOf(yield* sandbox.keys, 2)
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST add"), ({ api_key, status }) => ({ api_key, status }))
        })
      )
    )
  )

  it.effect("a patch whose echo differs is PartiallyApplied, and says what took effect", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const error = yield* expectReason(
        keys.patch(ref, {
          name: "acme 2",
          scopes: ["/stats/*"],
          rate: { max: 5, per: { days: 1 } },
          options: { smtp2go: { archiveEnabled: true, auditEmail: "a@acme.example" } }
        }),
        "PartiallyApplied"
      )
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.applied, ["name", "options.auditEmail"])
      assert.deepStrictEqual(error.reason.missing, ["scopes", "rate", "options.archiveEnabled"])
      assert.isUndefined(error.reason.revoked)
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("PATCH edit"), (row) => ({
            ...row,
            endpoints: ["/stats/*", "/email/send"],
            custom_ratelimit_value: 6,
            archive_enabled: false
          }))
        })
      )
    )
  )

  it.effect("`confirm` finds a change that the vendor showed and did not keep", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const error = yield* expectReason(
        keys.patch(ref, { scopes: ["/stats/*"] }, { confirm: true }),
        "PartiallyApplied"
      )
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.missing, ["scopes"])
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST view"), (row) => ({ ...row, endpoints: ["/email/send"] }))
        })
      )
    )
  )
})

describe("states", () => {
  it.effect("a key is created allowed, blocked or in the sandbox, as asked", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      for (const [status, state] of [
        ["allowed", "active"],
        ["blocked", "disabled"],
        ["sandbox", "sandbox"]
      ] as const) {
        const { ref } = yield* keys.create({ ...spec, options: { smtp2go: { status } } })
        assert.strictEqual((yield* storedOf(secretOf({ ref })))?.status, status)
        assert.strictEqual((yield* keys.get(ref)).status, state)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("any state follows any", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      const steps = {
        disabled: keys.disable(ref),
        sandbox: keys.enable(ref, { as: "sandbox" }),
        active: keys.enable(ref)
      }
      for (const from of ["disabled", "sandbox", "active"] as const) {
        for (const to of ["disabled", "sandbox", "active"] as const) {
          yield* steps[from]
          yield* steps[to]
          assert.strictEqual((yield* keys.get(ref)).status, to)
        }
      }
      assert.strictEqual(yield* keys.revoke(ref), "disabled")
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("enable says so when the vendor itself keeps the key from sending, and disable still works", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.editKey(secretOf({ ref }), { sendingStatus: "blocked" })
      const error = yield* expectReason(keys.enable(ref), "InvalidKeyState")
      assert(error.reason._tag === "InvalidKeyState" && error.reason.status === "suspended")
      yield* keys.disable(ref)
      assert.strictEqual((yield* keys.get(ref)).status, "disabled")
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [what, change] of [
    ["no status", ({ status: _, ...row }: Row): Row => row],
    ["a status that is none", (row: Row): Row => ({ ...row, status: null })],
    ["only the key", ({ api_key }: Row): Row => ({ api_key })]
  ] as const) {
    it.effect(`a reply that shows ${what} is not believed: the key is read`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const steps = [
          [keys.disable(ref), "blocked"],
          [keys.enable(ref), "allowed"],
          [Effect.asVoid(keys.revoke(ref)), "blocked"],
          [keys.enable(ref, { as: "sandbox" }), "sandbox"],
          [keys.enable(ref), "allowed"]
        ] as const
        for (const [step, status] of steps) {
          const before = (yield* sandbox.requests).length
          yield* step
          assert.deepStrictEqual(callsOf((yield* sandbox.requests).slice(before)), ["PATCH edit", "POST view"])
          assert.strictEqual((yield* storedOf(Redacted.value(secret)))?.status, status)
        }
        // The vendor takes it, and does nothing.
        const body = JSON.stringify({ data: [change({ api_key: Redacted.value(secret), status: "blocked" })] })
        for (const call of [keys.disable(ref), Effect.asVoid(keys.revoke(ref))]) {
          yield* faults.inject({ status: 200, body }, { method: "PATCH" })
          const { reason } = yield* expectReason(call, "InvalidKeyState")
          assert(reason._tag === "InvalidKeyState" && reason.status === "active")
        }
      }).pipe(Effect.provide(withoutLimits({ transformClient: rewriting(to("PATCH edit"), change) })))
    )
  }

  it.effect("a state that the reply shows to be another is InvalidKeyState", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (const call of [keys.disable(ref), keys.revoke(ref), keys.enable(ref, { as: "sandbox" })]) {
        const error = yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "InvalidKeyState")
        assert(error.reason._tag === "InvalidKeyState" && error.reason.status === "active")
      }
    }).pipe(
      Effect.provide(
        withSandbox({ transformClient: rewriting(to("PATCH edit"), (row) => ({ ...row, status: "allowed" })) })
      )
    )
  )
})

describe("rotation", () => {
  const full = {
    description: "acme",
    customRatelimit: true,
    customRatelimitValue: 100,
    customRatelimitPeriod: "4 months 5:00:00",
    ...everyOption,
    endpoints: ["/email/*", "/stats/*"]
  }
  const onTheWire = {
    description: "acme",
    custom_ratelimit: true,
    custom_ratelimit_value: 100,
    custom_ratelimit_period: "4 months 5:00:00",
    ...everyOptionOnTheWire,
    endpoints: ["/email/*", "/stats/*"]
  }

  for (const status of ["allowed", "sandbox", "blocked"] as const) {
    it.effect(
      `of a key that is ${status}: minted blocked, delivered, switched to ${status}, then the old one blocked`,
      () =>
        Effect.gen(function* () {
          const { keys, sandbox } = yield* setup
          const old = yield* sandbox.addKey({ ...full, status })
          const seen: Array<unknown> = []
          const { incomplete, issued, previous } = yield* keys.rotate(keys.ref(Redacted.make(old.secret)), {
            deliver: (key) =>
              Effect.gen(function* () {
                const calls = callsOf(yield* sandbox.requests)
                seen.push([
                  (yield* storedOf(Redacted.value(key.secret)))?.status,
                  (yield* storedOf(old.secret))?.status
                ])
                assert.deepStrictEqual(calls, ["POST view", "POST add"], "delivered before anything else is changed")
              })
          })
          assert.deepStrictEqual(seen, [["blocked", status]])
          assert.strictEqual(previous, "retired")
          assert.isUndefined(incomplete)
          const id = Redacted.value(issued.secret)
          assert.notStrictEqual(id, old.secret)
          const sent = yield* sandbox.requests
          assert.deepStrictEqual(
            sent.map(({ body }) => body),
            [
              { id: old.secret },
              { ...onTheWire, status: "blocked" },
              ...(status === "blocked" ? [] : [{ id, status }]),
              { id: old.secret, status: "blocked" }
            ]
          )
          const { secret: _, username: __, ...settings } = old
          const { secret: ___, username: ____, ...copied } = (yield* storedOf(id)) ?? old
          assert.deepStrictEqual(copied, settings, "every setting is copied")
          assert.deepStrictEqual(yield* storedOf(old.secret), { ...old, status: "blocked" })
          assert.deepStrictEqual(issued.name, Option.some("acme"))
          assert.deepStrictEqual(issued.unrestricted, Option.some([]))
        }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("of a key as the vendor makes it from nothing: no name, no settings, open", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey({ description: null, endpoints: ["*"] })
      const { issued } = yield* keys.rotate(keys.ref(Redacted.make(old.secret)))
      assert.deepStrictEqual((yield* sandbox.requests)[1]?.body, {
        endpoints: ["*"],
        custom_ratelimit: false,
        feedback_enabled: false,
        open_tracking_enabled: false,
        click_tracking_enabled: false,
        archive_enabled: false,
        bounce_notifications: "from",
        status: "blocked"
      })
      assert.deepStrictEqual(issued.unrestricted, Option.some(["scopes", "rate"] as const))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("every period that the vendor shows is copied as it means", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      for (const words of [
        "0:30:00",
        "1 hour",
        "2 days",
        "3 months",
        "4 months 5:00:00",
        "1 week",
        "2 weeks 1:00:00",
        "1 hour 5:00:00",
        "48:00:00",
        "1 day 25:00:00",
        "12 hours 0:00:01"
      ]) {
        const old = yield* sandbox.addKey({ ...full, customRatelimitPeriod: words })
        const before = yield* keys.get(keys.ref(Redacted.make(old.secret)))
        const { issued } = yield* keys.rotate(keys.ref(Redacted.make(old.secret)))
        const after = yield* keys.get(issued.ref)
        const seconds = (rate: typeof before.restrictions.rate) =>
          rate === undefined || rate === "unlimited"
            ? undefined
            : [
                rate.per.months ?? 0,
                (((rate.per.weeks ?? 0) * 7 + (rate.per.days ?? 0)) * 24 + (rate.per.hours ?? 0)) * 3600 +
                  (rate.per.minutes ?? 0) * 60 +
                  (rate.per.seconds ?? 0)
              ]
        assert.isDefined(seconds(after.restrictions.rate))
        assert.deepStrictEqual(seconds(after.restrictions.rate), seconds(before.restrictions.rate), words)
        if (/^(?:0:30:00|1 hour|2 days|3 months|4 months 5:00:00|1 week)$/.test(words)) {
          assert.strictEqual((yield* storedOf(Redacted.value(issued.secret)))?.customRatelimitPeriod, words)
        }
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("of a key whose period only the vendor has words for: UnexpectedResponse, and nothing is minted", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey({ ...full, customRatelimitPeriod: "1 month 30:00:00" })
      const error = yield* expectReason(keys.rotate(keys.ref(Redacted.make(old.secret))), "UnexpectedResponse")
      assert.include(error.message, "rate")
      assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST view"])
    }).pipe(Effect.provide(withSandbox()))
  )

  const hidden: Readonly<Record<string, { readonly change: (row: Row) => Row; readonly path: string }>> = {
    "no endpoints": { change: ({ endpoints: _, ...row }) => row, path: "scopes" },
    "an empty list of endpoints": { change: (row) => ({ ...row, endpoints: [] }), path: "scopes" },
    "endpoints that are none": { change: (row) => ({ ...row, endpoints: ["/email/send", null] }), path: "scopes" },
    "no switch of the limit": { change: ({ custom_rate_limit: _, ...row }) => row, path: "rate" },
    "a switch that is null": { change: (row) => ({ ...row, custom_rate_limit: null }), path: "rate" },
    "a limit without its value": { change: (row) => ({ ...row, custom_ratelimit_value: null }), path: "rate" },
    "a limit without its period": { change: (row) => ({ ...row, custom_ratelimit_period: "0:00:00" }), path: "rate" },
    "a period of no known words": { change: (row) => ({ ...row, custom_ratelimit_period: "1 year" }), path: "rate" },
    "switches that disagree": { change: (row) => ({ ...row, custom_ratelimit: false }), path: "rate" },
    "values that disagree": { change: (row) => ({ ...row, custom_rate_limit_value: 5 }), path: "rate" },
    "periods that disagree": { change: (row) => ({ ...row, custom_rate_limit_period: "1 week" }), path: "rate" },
    "a limit of a fraction": { change: (row) => ({ ...row, custom_ratelimit_value: 0.5 }), path: "rate" },
    "endpoints in one word": { change: (row) => ({ ...row, endpoints: "*" }), path: "scopes" },
    "endpoints that are null": { change: (row) => ({ ...row, endpoints: null }), path: "scopes" },
    "pools that disagree": { change: (row) => ({ ...row, ip_pool: 1 }), path: "options.ipPool" },
    "a pool of no number": { change: (row) => ({ ...row, ippool: {} }), path: "options.ipPool" },
    "a description of no text": { change: (row) => ({ ...row, description: 7 }), path: "name" },
    "a footer of no text": { change: (row) => ({ ...row, feedback_html: 7 }), path: "options.feedbackHtml" },
    "a switch of no meaning": { change: (row) => ({ ...row, archive_enabled: "?" }), path: "options.archiveEnabled" },
    "an audit of no text": { change: (row) => ({ ...row, audit_email: [] }), path: "options.auditEmail" },
    "no status": { change: ({ status: _, ...row }) => row, path: "status" },
    "a status of no known word": { change: (row) => ({ ...row, status: "on-holiday" }), path: "status" }
  }
  for (const [what, { change, path }] of Object.entries(hidden)) {
    it.effect(`a view with ${what}: UnexpectedResponse, and nothing is minted`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const old = yield* sandbox.addKey(full)
        const error = yield* expectReason(keys.rotate(keys.ref(Redacted.make(old.secret))), "UnexpectedResponse")
        assert(error.reason._tag === "UnexpectedResponse")
        assert.deepStrictEqual(
          error.reason.issues.map(({ path }) => path.join(".")),
          [path]
        )
        assert.strictEqual(error.operation, "rotate")
        assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST view"])
      }).pipe(Effect.provide(withSandbox({ transformClient: rewriting(to("POST view"), change) })))
    )
  }

  it.effect("a vendor that shows as little as its examples: UnexpectedResponse, and nothing is minted", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey(full)
      yield* sandbox.setHabits({ fields: "subset" })
      yield* expectReason(keys.rotate(keys.ref(Redacted.make(old.secret))), "UnexpectedResponse")
      assert.lengthOf(yield* sandbox.keys, 2)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("spellings that agree do not stop it, nor a pool of 0 and switches of null", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey(full)
      const { previous } = yield* keys.rotate(keys.ref(Redacted.make(old.secret)), { deliver: () => Effect.void })
      assert.strictEqual(previous, "retired")
      const added = (yield* sandbox.requests)[1]?.body
      assert.deepInclude(added, { custom_ratelimit: true, archive_enabled: false, feedback_enabled: false })
      assert.notProperty(added, "ip_pool")
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: rewriting(to("POST view"), (row) => ({
            ...row,
            custom_rate_limit: true,
            custom_ratelimit: "1",
            custom_rate_limit_value: "100",
            ippool: 0,
            ip_pool: null,
            archive_enabled: null,
            feedback_enabled: null
          }))
        })
      )
    )
  )

  const notFound: Row = { request_id: "1", data: { error: "no", error_code: "E_ApiResponseCodes.NOT_FOUND" } }
  const retiring: Strikes = ({ method }, body) => method === "PATCH" && body.status === "blocked"
  for (const [what, change, expected] of [
    ["a framework's 404", answering(retiring, 404, { error: "Not Found" }), "live"],
    ["a framework's 404 with a code", answering(retiring, 404, { error: "x", error_code: "ERR_404" }), "live"],
    ["a gateway's 404", answering(retiring, 404, "<html></html>"), "live"],
    ["the vendor's 404, and the new key is there", answering(retiring, 404, notFound), "retired"],
    [
      "the vendor's 404, and the new key cannot be looked at either",
      // The first look is at the old key, before there is a new one.
      (client: HttpClient.HttpClient) => {
        let looks = 0
        return both(
          answering((request, body) => to("POST view")(request, body) && looks++ > 0, 404, notFound),
          answering(retiring, 404, notFound)
        )(client)
      },
      "live"
    ]
  ] as const) {
    it.effect(`a retirement that meets ${what}: ${expected}`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const { incomplete, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
        assert.strictEqual(previous, expected)
        assert.strictEqual(incomplete?.step, expected === "live" ? "retire" : undefined)
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)), "nobody blocked it")
      }).pipe(Effect.provide(withSandbox({ transformClient: change })))
    )
  }

  it.effect("a failed delivery: the successor is removed, the old key is as it was", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey(full)
      const error = yield* Effect.flip(
        keys.rotate(keys.ref(Redacted.make(old.secret)), { deliver: () => Effect.fail("vault down") })
      )
      assert.strictEqual(error, "vault down")
      assert.lengthOf(yield* sandbox.keys, 2)
      assert.deepStrictEqual(yield* storedOf(old.secret), old)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("an activation that fails: incomplete, and the old key lives on", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      yield* faults.inject({ status: 403 }, { method: "PATCH" })
      const { incomplete, issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert(incomplete?.step === "activate")
      assert.strictEqual(incomplete.error.reason._tag, "PermissionDenied")
      assert.deepStrictEqual([incomplete.error.operation, incomplete.error.handle], ["rotate", issued.handle])
      assert.strictEqual(previous, "live")
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      assert.strictEqual((yield* storedOf(Redacted.value(issued.secret)))?.status, "blocked")
      assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST add", "POST view", "POST add"])
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [shown, state] of [
    ["blocked", "disabled"],
    ["sandbox", "sandbox"]
  ] as const) {
    it.effect(`an activation after which the key is shown ${shown}: incomplete, and the old key lives on`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        const { incomplete, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
        assert(incomplete?.step === "activate" && incomplete.error.reason._tag === "InvalidKeyState")
        assert.strictEqual(incomplete.error.reason.status, state)
        assert.strictEqual(previous, "live")
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(
        Effect.provide(
          withSandbox({ transformClient: rewriting(to("PATCH edit"), (row) => ({ ...row, status: shown })) })
        )
      )
    )
  }

  it.effect("a retirement that fails: incomplete, both keys live", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref, secret, handle } = yield* keys.create(spec)
      const { incomplete, issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert(incomplete?.step === "retire" && incomplete.error.reason._tag === "PermissionDenied")
      assert.strictEqual(incomplete.error.handle, handle)
      assert.strictEqual(previous, "live")
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
    }).pipe(
      Effect.provide(
        withSandbox({
          transformClient: answering(({ method }, body) => method === "PATCH" && body.status === "blocked", 403)
        })
      )
    )
  )

  it.effect("a lost reply to add leaves a key that is blocked, and the old one alone", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      yield* faults.inject("resetAfterCommit", { url: "/add" })
      yield* expectReason(keys.rotate(ref, { deliver: () => Effect.void }), "OutcomeUnknown")
      const [, old, orphan] = yield* sandbox.keys
      assert.deepStrictEqual([old?.status, orphan?.status, orphan?.description], ["allowed", "blocked", "acme"])
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      assert.isFalse(yield* sandbox.isLive(orphan?.secret ?? ""))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("keepPrevious: the successor works, and the old key still does", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const { incomplete, issued, previous } = yield* keys.rotate(ref, {
        deliver: () => Effect.void,
        keepPrevious: true
      })
      assert.deepStrictEqual([incomplete, previous], [undefined, "live"])
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      assert.deepStrictEqual(callsOf(yield* sandbox.requests).slice(1), ["POST view", "POST add", "PATCH edit"])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("without a delivery both live, until the caller has what it was given", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const { issued, previous } = yield* keys.rotate(ref)
      assert.strictEqual(previous, "live")
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a key that the manager may not copy is refused, and nothing is minted", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* sandbox.addKey({ endpoints: ["*"] })
      yield* expectReason(keys.rotate(keys.ref(Redacted.make(old.secret))), "PermissionDenied")
      assert.lengthOf(yield* sandbox.keys, 2)
    }).pipe(Effect.provide(withSandbox({}, { credentialEndpoints: ["/api_keys/*"] })))
  )
})

describe("the manager's own key", () => {
  const own = Effect.map(setup, (all) => ({ ...all, ref: all.keys.ref(all.sandbox.credential) }))

  it.effect("is not shut off, narrowed or removed: refused before anything is sent", () =>
    Effect.gen(function* () {
      const { faults, keys, ref, sandbox } = yield* own
      const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
        keys.revoke(ref),
        keys.disable(ref),
        keys.delete(ref),
        keys.enable(ref, { as: "sandbox" }),
        keys.patch(ref, { scopes: ["/email/send"] }),
        keys.patch(ref, { scopes: ["/api_keys/*"], name: "manager" })
      ]
      for (const call of calls) {
        const error = yield* expectReason(call, "InvalidRequest")
        assert(error.reason._tag === "InvalidRequest" && error.reason.source === "client")
        assert.match(error.message, /ref: is the key that the manager itself is using/)
        assert.notInclude(inspect(error, { depth: 9 }), Redacted.value(sandbox.credential))
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("nor by the client", () =>
    Effect.gen(function* () {
      const { client, faults, sandbox } = yield* own
      const id = sandbox.credential
      const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
        client.remove(id),
        client.edit({ id, status: "blocked" }),
        client.edit({ id, status: "sandbox" }),
        client.edit({ id, status: "allowed", endpoints: ["/api_keys/*"] })
      ]
      for (const call of calls) yield* expectReason(call, "InvalidRequest")
      assert.deepStrictEqual(yield* faults.attempts, [])
      assert.isTrue(yield* client.isOwn(Redacted.value(id)))
      assert.isFalse(yield* client.isOwn(`${Redacted.value(id)}x`))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("may be renamed, limited, widened, switched on, and looked at", () =>
    Effect.gen(function* () {
      const { keys, ref, sandbox } = yield* own
      yield* keys.patch(ref, { name: "manager" })
      yield* keys.patch(ref, { rate: { max: 5, per: { days: 1 } } })
      yield* keys.patch(ref, { scopes: "any" })
      yield* keys.patch(ref, { options: { smtp2go: { archiveEnabled: true } } })
      yield* keys.enable(ref)
      yield* keys.enable(ref, { as: "active" })
      assert.deepStrictEqual((yield* keys.get(ref)).name, Option.some("manager"))
      const [stored] = yield* sandbox.keys
      assert.deepInclude(stored, { description: "manager", customRatelimitValue: 5, archiveEnabled: true })
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("is the one that the manager uses now: an old one may be shut off", () => {
    let current = "api-api_test_mgrfirst00000000000000000"
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const first = keys.ref(Redacted.make(current))
      const { secret } = yield* sandbox.addKey({ endpoints: ["*"] })
      yield* expectReason(keys.revoke(first), "InvalidRequest")
      current = secret
      yield* keys.revoke(first)
      yield* expectReason(keys.revoke(keys.ref(Redacted.make(secret))), "InvalidRequest")
    }).pipe(
      Effect.provide(
        withSandbox(
          { apiKey: Effect.sync(() => Redacted.make(current)) },
          { credential: "api-api_test_mgrfirst00000000000000000" }
        )
      )
    )
  })

  it.effect("is the same key in other letter case", () =>
    Effect.gen(function* () {
      const { client, faults, keys, sandbox } = yield* own
      const manager = Redacted.value(sandbox.credential)
      for (const value of [
        `api-${manager.slice(4).toUpperCase()}`,
        `${manager.slice(0, -4)}${manager.slice(-4).toUpperCase()}`
      ]) {
        const id = Redacted.make(value)
        const ref = keys.ref(id)
        const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
          keys.patch(ref, { scopes: ["/email/send"] }),
          keys.disable(ref),
          keys.revoke(ref),
          keys.enable(ref, { as: "sandbox" }),
          keys.delete(ref),
          client.remove(id),
          client.edit({ id, status: "blocked" })
        ]
        for (const call of calls) assert.match((yield* expectReason(call, "InvalidRequest")).message, /manager itself/)
        assert.isTrue(yield* client.isOwn(value))
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox({}, { credential: "api-api_test_mgrcase000000000abcdef" })))
  )

  const twoManagers = ["api-api_test_mgrfirst00000000000000000", "api-api_test_mgrsecond0000000000000000"] as const

  it.effect("is the one that this very request would carry, where `apiKey` has moved on", () => {
    const [first, second] = twoManagers
    const given: Array<string> = [first]
    return Effect.gen(function* () {
      const { faults, keys } = yield* setup
      yield* Effect.exit(keys.get(keys.ref(Redacted.make(second))))
      const before = (yield* faults.attempts).length
      for (const call of [
        keys.delete(keys.ref(Redacted.make(second))),
        keys.disable(keys.ref(Redacted.make(second)))
      ]) {
        yield* expectReason(call, "InvalidRequest")
      }
      assert.lengthOf(yield* faults.attempts, before)
    }).pipe(
      Effect.provide(
        withSandbox({ apiKey: Effect.sync(() => Redacted.make(given.shift() ?? second)) }, { credential: first })
      )
    )
  })

  it.effect("is the one that a repeat would carry", () => {
    const [first, second] = twoManagers
    const given: Array<string> = [first]
    return Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      yield* faults.inject({ status: 502, body: "" }, { url: "/remove" })
      const removal = yield* Effect.forkChild(Effect.flip(keys.delete(keys.ref(Redacted.make(second)))))
      yield* TestClock.adjust("10 seconds")
      // The first try may have been carried out, so that "refused before anything was sent" would not be true.
      assert.strictEqual((yield* Fiber.join(removal)).reason._tag, "ProviderUnavailable")
      assert.lengthOf(yield* faults.attempts, 1)
      assert.deepStrictEqual(yield* sandbox.requests, [])
    }).pipe(
      Effect.provide(
        withSandbox({ apiKey: Effect.sync(() => Redacted.make(given.shift() ?? second)) }, { credential: first })
      )
    )
  })

  for (const offset of [0, 1]) {
    it.effect(`no request ever shuts off the key that it carries, however \`apiKey\` alternates (${offset})`, () => {
      let reads = offset
      const sent: Array<readonly [carried: string | undefined, id: unknown]> = []
      return Effect.gen(function* () {
        const { keys } = yield* setup
        const refused: Array<string> = []
        for (let round = 0; round < 4; round++) {
          for (const manager of twoManagers) {
            const ref = keys.ref(Redacted.make(manager))
            const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
              keys.disable(ref),
              keys.delete(ref),
              keys.patch(ref, { scopes: ["/email/send"] })
            ]
            for (const call of calls) {
              const tag = yield* Effect.match(call, {
                onFailure: ({ reason }) => reason._tag,
                onSuccess: () => "success"
              })
              refused.push(tag)
              // So that every verb meets either key.
              if (round % 2 === 1) reads++
            }
          }
        }
        assert.include(refused, "InvalidRequest")
        assert.isNotEmpty(sent)
        for (const [carried, id] of sent) assert.notStrictEqual(id, carried)
      }).pipe(
        Effect.provide(
          withoutLimits({
            retry: false,
            apiKey: Effect.sync(() => Redacted.make(twoManagers[reads++ % 2] ?? "")),
            transformClient: (client) =>
              answering((request, body) => {
                if (!request.url.endsWith("/view")) sent.push([request.headers["x-smtp2go-api-key"], body.id])
                return true
              }, 403)(client)
          })
        )
      )
    })
  }

  const fresh = "api-api_test_salvaged000000000000000"
  const echoes: Readonly<Record<string, (own: string) => string>> = {
    "as the new key": (own) => JSON.stringify({ request_id: "1", data: [{ api_key: own, status: "allowed" }] }),
    "as the new key, in an envelope": (own) => JSON.stringify({ data: [{ data: { api_key: own } }] }),
    "by that name, in another shape": (own) => JSON.stringify({ request: { api_key: own, description: "acme" } }),
    "by that name, in text": (own) => `<pre>{"api_key":"${own}","description":"acme"}</pre>`,
    "by that name, in a reply cut off": (own) => `{"request":{"api_key":"${own}","descr`,
    "in text": (own) => `You sent x-smtp2go-api-key: ${own}`,
    "as a header beside the new key": (own) =>
      JSON.stringify({ data: [{ api_key: fresh, status: "allowed" }], headers: { "x-smtp2go-api-key": own } }),
    "by that name beside the new key": (own) =>
      JSON.stringify({ data: [{ api_key: fresh }], request: { api_key: own } }),
    "in a description": (own) => JSON.stringify({ data: [{ api_key: fresh, description: `made by ${own}` }] })
  }
  for (const [where, echo] of Object.entries(echoes)) {
    it.effect(`in the reply to add, ${where}: OutcomeUnknown, and neither delivered nor removed`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* own
        const { secret } = yield* sandbox.addKey({ endpoints: ["/email/send"] })
        const manager = Redacted.value(sandbox.credential)
        const deliver = () => Effect.die("delivered the manager's own key")
        const calls: ReadonlyArray<Effect.Effect<unknown, ApiKeyError>> = [
          keys.create({ name: "acme" }, { deliver }),
          keys.create({ name: "acme" }),
          keys.rotate(keys.ref(Redacted.make(secret)), { deliver })
        ]
        for (const call of calls) {
          yield* faults.inject({ status: 200, body: echo(manager) }, { url: "/add" })
          const error = yield* expectReason(call, "OutcomeUnknown")
          assert(error.reason._tag === "OutcomeUnknown" && error.reason.problem === "reply")
          assert.notInclude(inspect(error, { depth: 9 }), manager)
          assert.notInclude(inspect(error, { depth: 9 }), fresh)
        }
        assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST view"], "the rotation's look")
        assert.deepStrictEqual(
          (yield* sandbox.keys).map(({ status }) => status),
          ["allowed", "allowed"]
        )
      }).pipe(Effect.provide(withoutLimits()))
    )
  }

  it.effect("in the reply to add: it is the one that the request carried, not an older one", () => {
    const [first, second] = twoManagers
    let current: string = first
    return Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const reply = (own: string) => JSON.stringify({ data: [{ api_key: fresh, status: "allowed" }], by: own })
      yield* faults.inject({ status: 200, body: reply(first) }, { url: "/add" })
      yield* expectReason(keys.create({ name: "acme" }), "OutcomeUnknown")
      current = second
      yield* faults.inject({ status: 200, body: reply(second) }, { url: "/add" })
      yield* expectReason(keys.create({ name: "acme" }), "OutcomeUnknown")
      yield* faults.inject({ status: 200, body: reply(first) }, { url: "/add" })
      assert.strictEqual(Redacted.value((yield* keys.create({ name: "acme" })).secret), fresh)
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.sync(() => Redacted.make(current)) }, { credential: first })))
  })

  it.effect("a credential that cannot be read sends nothing, and is not taken for another's", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const ref = keys.ref(Redacted.make("api-api_test_00000000000000000000000"))
      for (const call of [keys.revoke(ref), keys.delete(ref), keys.create(spec)]) {
        const error = yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "AuthenticationFailed")
        assert(error.reason._tag === "AuthenticationFailed" && error.reason.problem === "unreadable")
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.fail("vault down") })))
  )

  it.effect("rotates end to end where `apiKey` follows the delivery", () => {
    const first = "api-api_test_mgrfirst00000000000000000"
    let current = first
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { incomplete, issued, previous } = yield* keys.rotate(keys.ref(Redacted.make(first)), {
        deliver: (key) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* storedOf(Redacted.value(key.secret)))?.status, "allowed", "works at once")
            current = Redacted.value(key.secret)
          })
      })
      assert.deepStrictEqual([incomplete, previous], [undefined, "retired"])
      assert.strictEqual((yield* storedOf(first))?.status, "blocked")
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST view", "POST add", "PATCH edit"])
      yield* keys.create(spec)
      yield* keys.delete(keys.ref(Redacted.make(first)))
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.sync(() => Redacted.make(current)) }, { credential: first })))
  })

  it.effect("rotated under a fixed `apiKey`: incomplete, the old key lives on and the manager with it", () =>
    Effect.gen(function* () {
      const { keys, ref, sandbox } = yield* own
      const { incomplete, issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert(incomplete?.step === "retire" && incomplete.error.reason._tag === "InvalidRequest")
      assert.strictEqual(incomplete.error.reason.source, "client")
      assert.strictEqual(previous, "live")
      assert.deepInclude((yield* sandbox.requests)[1]?.body, { status: "allowed", endpoints: ["*"] })
      assert.isTrue(yield* sandbox.isLive(Redacted.value(sandbox.credential)))
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      yield* keys.create(spec)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("rotated, not delivered: the successor is removed, and the manager goes on", () =>
    Effect.gen(function* () {
      const { keys, ref, sandbox } = yield* own
      yield* Effect.flip(keys.rotate(ref, { deliver: () => Effect.fail("vault down") }))
      assert.lengthOf(yield* sandbox.keys, 1)
      yield* keys.create(spec)
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("a vendor whose replies to an edit show no status", () => {
  const silent = (client: HttpClient.HttpClient) =>
    HttpClient.transform(client, (response, request) =>
      request.method !== "PATCH"
        ? response
        : Effect.flatMap(response, (shown) =>
            Effect.map(Effect.orDie(shown.text), (text) =>
              HttpClientResponse.fromWeb(request, new Response(text.replaceAll(/"status":"[a-z]+",?/g, "")))
            )
          )
    )

  it.effect("is read back: disable, enable and a rotation are what they are elsewhere", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const old = yield* keys.create(spec)
      yield* keys.disable(old.ref)
      yield* keys.enable(old.ref)
      const { incomplete, issued, previous } = yield* keys.rotate(old.ref, { deliver: () => Effect.void })
      assert.deepStrictEqual([previous, incomplete], ["retired", undefined])
      assert.isTrue(yield* sandbox.isLive(Redacted.value(issued.secret)))
      assert.isFalse(yield* sandbox.isLive(Redacted.value(old.secret)))
    }).pipe(Effect.provide(withSandbox({ transformClient: silent })))
  )
})

describe("removal", () => {
  for (const removeBody of ["json", "text", "empty"] as const) {
    it.effect(`a body that is ${removeBody}`, () =>
      Effect.gen(function* () {
        const { keys, sandbox } = yield* setup
        const { ref } = yield* keys.create(spec)
        yield* sandbox.setHabits({ removeBody })
        yield* keys.delete(ref)
        assert.lengthOf(yield* sandbox.keys, 1)
        assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST add", "POST remove", "POST view"])
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("whatever the reply says, where the key is still there: UnexpectedResponse", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      for (const body of [
        "",
        "Removed",
        "<html></html>",
        "[]",
        "7",
        "null",
        `"ok"`,
        "{}",
        `{"success":false}`,
        `{"success":true}`,
        `{"message":"Unauthorized"}`,
        `{"request_id":"1","data":{}}`,
        `{"request_id":"1","data":[]}`
      ]) {
        yield* faults.inject({ status: 200, body }, { url: "/remove" })
        const before = (yield* sandbox.requests).length
        const error = yield* expectReason(keys.delete(ref), "UnexpectedResponse")
        assert.include(error.message, "still there", body)
        assert.strictEqual(error.operation, "delete")
        // The sandbox never saw the removal.
        assert.deepStrictEqual(callsOf((yield* sandbox.requests).slice(before)), ["POST view"])
      }
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("a 200 that says no is no success, whatever a look would find", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      for (const body of [
        `{"error":"no"}`,
        `{"request_id":"1","data":{"error":"no","error_code":"E_ApiResponseCodes.API_EXCEPTION"}}`,
        `{"request_id":"1","data":{"error_code":"E_ApiResponseCodes.NOT_FOUND"}}`,
        `{"request_id":"1","data":[{"error":"no"}]}`
      ]) {
        yield* faults.inject({ status: 200, body }, { url: "/remove" })
        const before = (yield* sandbox.requests).length
        yield* expectReason(keys.delete(ref), "UnexpectedResponse")
        assert.deepStrictEqual(callsOf((yield* sandbox.requests).slice(before)), [])
      }
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("where the key cannot be looked at afterwards: PartiallyApplied, for the removal was taken", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const fails: ReadonlyArray<readonly [status: number, body?: string]> = [
        [401],
        [403],
        [400, nested({ error: "no", error_code: "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD" })],
        [404, JSON.stringify({ error: "Not Found" })],
        [404, "<html></html>"],
        [429]
      ]
      for (const [status, body = "{}"] of fails) {
        yield* faults.inject({ status: 200, body: "" }, { url: "/remove" })
        const headers = { "retry-after": "600" }
        yield* faults.inject(status === 429 ? { status, body, headers } : { status, body }, { url: "/view" })
        const { handle, operation, reason } = yield* expectReason(keys.delete(ref), "PartiallyApplied")
        assert(reason._tag === "PartiallyApplied")
        assert.deepStrictEqual([reason.applied, reason.missing], [["delete"], ["confirmation"]])
        assert.deepStrictEqual([operation, handle], ["delete", secretOf({ ref }).slice(0, 16)])
      }
      assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("where the look shows another key, or no reply of keys: UnexpectedResponse", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const other = yield* sandbox.addKey()
      for (const body of [
        "",
        "{}",
        `{"data":{}}`,
        `{"data":[{}]}`,
        JSON.stringify({ data: [{ api_key: `${other.username}${"*".repeat(20)}` }] })
      ]) {
        yield* faults.inject({ status: 200, body: "" }, { url: "/remove" })
        yield* faults.inject({ status: 200, body }, { url: "/view" })
        const error = yield* expectReason(keys.delete(ref), "UnexpectedResponse")
        assert.strictEqual(error.operation, "delete")
      }
    }).pipe(Effect.provide(withoutLimits()))
  )

  it.effect("at a vendor that calls an unknown key a bad request: PartiallyApplied, for the look proves nothing", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setHabits({ removeBody: "empty", unknownView: "400" })
      const { reason } = yield* expectReason(keys.delete(ref), "PartiallyApplied")
      assert(reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(reason.missing, ["confirmation"])
      assert.lengthOf(yield* sandbox.keys, 1)
    }).pipe(Effect.provide(withSandbox()))
  )

  for (const [what, status, body] of [
    ["of a gateway", 404, "<html></html>"],
    ["of a framework", 404, JSON.stringify({ error: "Not Found" })],
    ["of the vendor", 404, nested({ error: "not found", error_code: "E_ApiResponseCodes.NOT_FOUND" })]
  ] as const) {
    it.effect(`a first try that was lost, and a repeat with a 404 ${what}: no success while the key is there`, () =>
      Effect.gen(function* () {
        const { faults, keys, sandbox } = yield* setup
        const { ref, secret } = yield* keys.create(spec)
        yield* faults.inject({ status: 502, body: "" }, { url: "/remove" })
        yield* faults.inject({ status, body }, { url: "/remove" })
        const removal = yield* Effect.forkChild(Effect.flip(keys.delete(ref)))
        yield* TestClock.adjust("10 seconds")
        const { message, reason } = yield* Fiber.join(removal)
        if (what === "of the vendor") {
          assert.strictEqual(reason._tag, "UnexpectedResponse")
          assert.include(message, "still there")
        } else {
          assert.strictEqual(reason._tag, "InvalidRequest")
        }
        assert.isTrue(yield* sandbox.isLive(Redacted.value(secret)))
      }).pipe(Effect.provide(withSandbox()))
    )

    it.effect(`the same, and a 404 ${what} on a look too: ${what === "of the vendor" ? "" : "no "}success`, () =>
      Effect.gen(function* () {
        const { faults, keys } = yield* setup
        const { ref } = yield* keys.create(spec)
        yield* faults.inject({ status: 502, body: "" }, { url: "/remove" })
        yield* faults.inject({ status, body }, { url: "/remove" })
        yield* faults.inject({ status, body }, { url: "/view" })
        const removal = yield* Effect.forkChild(Effect.result(keys.delete(ref)))
        yield* TestClock.adjust("10 seconds")
        const ended = yield* Fiber.join(removal)
        assert.strictEqual(
          Result.match(ended, { onFailure: ({ reason }) => reason._tag, onSuccess: () => "success" }),
          what === "of the vendor" ? "success" : "InvalidRequest"
        )
      }).pipe(Effect.provide(withSandbox()))
    )
  }

  it.effect("a repeat that finds the key gone is success; a first try is not", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* faults.inject("resetAfterCommit", { url: "/remove" })
      // Repeats wait their delays by the clock of the test.
      const removal = yield* Effect.forkChild(keys.delete(ref))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(removal)
      yield* expectReason(keys.delete(ref), "KeyNotFound")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a redirect may be a success, and is looked after", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const redirect = { status: 302, headers: { location: "https://evil.example/" } }
      yield* faults.inject(redirect, { url: "/remove" })
      const error = yield* expectReason(keys.delete(ref), "UnexpectedResponse")
      assert.include(error.message, "still there")
      yield* faults.inject({ ...redirect, commit: true }, { url: "/remove" })
      yield* keys.delete(ref)
      assert.lengthOf(yield* sandbox.keys, 1)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the client only sends it: one request, and nothing of what it said", () =>
    Effect.gen(function* () {
      const { client, faults, sandbox } = yield* setup
      const { secret } = yield* sandbox.addKey()
      yield* faults.inject({ status: 200, body: `{"success":false}` }, { url: "/remove" })
      assert.isUndefined(yield* client.remove(Redacted.make(secret)))
      assert.isTrue(yield* sandbox.isLive(secret))
      assert.isUndefined(yield* client.remove(Redacted.make(secret)))
      assert.deepStrictEqual(callsOf(yield* sandbox.requests), ["POST remove"])
      yield* expectReason(client.remove(Redacted.make(secret)), "KeyNotFound")
    }).pipe(Effect.provide(withSandbox()))
  )
})

describe("budgets", () => {
  it.effect("five adds leave at once, the sixth is held", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const create = keys.create(spec)
      yield* Effect.all(
        Array.from({ length: 5 }, () => create),
        { concurrency: "unbounded" }
      )
      const error = yield* expectReason(create, "RateLimited")
      assert(error.reason._tag === "RateLimited" && error.reason.source === "limiter")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(65))
      const { ref } = { ref: keys.ref(Redacted.make((yield* sandbox.keys)[1]?.secret ?? "")) }
      yield* keys.patch(ref, { name: "other calls leave" })
      yield* TestClock.adjust("54 seconds")
      yield* expectReason(create, "RateLimited")
      assert.lengthOf(yield* sandbox.requests, 6)
      // The last ten seconds are within `maxWait`.
      yield* TestClock.adjust("1 second")
      const waiting = yield* Effect.forkChild(create)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
      assert.lengthOf(yield* sandbox.requests, 7)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a rotation is an add too", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      for (let index = 0; index < 4; index++) yield* keys.rotate(ref)
      const before = (yield* sandbox.requests).length
      yield* expectReason(keys.rotate(ref), "RateLimited")
      yield* expectReason(keys.create(spec), "RateLimited")
      assert.deepStrictEqual(callsOf((yield* sandbox.requests).slice(before)), ["POST view"])
      assert.lengthOf(yield* sandbox.keys, 6)
    }).pipe(Effect.provide(withSandbox()))
  )

  it("no 60 seconds ever hold more than five adds, and the vendor never says 429", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            millis: fc.oneof(fc.nat({ max: 2000 }), fc.nat({ max: 70_000 })),
            verb: fc.constantFrom("create" as const, "create" as const, "rotate" as const, "get" as const),
            times: fc.integer({ min: 1, max: 4 })
          }),
          { minLength: 10, maxLength: 30 }
        ),
        (steps) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const { keys, sandbox } = yield* setup
              const { secret } = yield* sandbox.addKey()
              const ref = keys.ref(Redacted.make(secret))
              const fibers: Array<Fiber.Fiber<unknown, ApiKeyError>> = []
              const calls: Readonly<Record<string, Effect.Effect<unknown, ApiKeyError>>> = {
                create: keys.create(spec),
                rotate: keys.rotate(ref),
                get: keys.get(ref)
              }
              for (const { millis, times, verb } of steps) {
                for (let index = 0; index < times; index++) {
                  fibers.push(yield* Effect.forkChild(calls[verb] ?? Effect.void))
                }
                // Whoever may leave now leaves now.
                yield* TestClock.adjust(0)
                yield* TestClock.adjust(millis)
              }
              for (let minute = 0; minute < 60; minute++) yield* TestClock.adjust("1 minute")
              for (const fiber of fibers) yield* Effect.exit(Fiber.join(fiber))
              const sent = yield* sandbox.requests
              assert.isFalse(sent.some(({ status }) => status === 429))
              const adds = sent.filter(({ path }) => path.endsWith("/add")).map(({ at }) => at)
              const asked = steps.reduce((sum, { times, verb }) => sum + (verb === "get" ? 0 : times), 0)
              assert.isAbove(adds.length, Math.min(asked, 5) - 1)
              for (const [index, at] of adds.entries()) {
                const sixth = adds[index + 5]
                if (sixth !== undefined) assert.isAtLeast(sixth - at, 60_000)
              }
            }).pipe(
              Effect.provide(withSandbox({ rateLimit: { maxWait: "10 minutes" } })),
              Effect.provide(TestClock.layer())
            )
          )
      ),
      { numRuns: 8 }
    ))

  it.effect("a credential that is slow to read does not bring six adds into one minute", () => {
    let slow = true
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const early = yield* Effect.forEach(Array.from({ length: 5 }), () => Effect.forkChild(keys.create(spec)))
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("20 seconds")
      for (const fiber of early) yield* Fiber.join(fiber)
      slow = false
      yield* TestClock.adjust("45 seconds")
      const late = yield* Effect.forkChild(Effect.exit(keys.create(spec)))
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(late)
      assert.deepStrictEqual(
        (yield* sandbox.requests).filter(({ status }) => status === 429),
        []
      )
    }).pipe(
      Effect.provide(
        withSandbox(
          {
            apiKey: Effect.suspend(() =>
              Effect.delay(
                Effect.succeed(Redacted.make("api-api_test_mgrfirst00000000000000000")),
                slow ? "20 seconds" : 0
              )
            )
          },
          { credential: "api-api_test_mgrfirst00000000000000000" }
        )
      )
    )
  })

  it.effect("after ten error replies in a minute calls are held back, and revoke and disable still leave", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref, secret } = yield* keys.create(spec)
      const foreign = keys.ref(Redacted.make("api-api_test_foreign0000000000000000"))
      for (let index = 0; index < 10; index++) yield* expectReason(keys.patch(foreign, { name: "x" }), "KeyNotFound")
      const before = (yield* faults.attempts).length
      for (const call of [keys.get(ref), keys.patch(ref, { name: "x" }), keys.create(spec), keys.delete(ref)]) {
        const error = yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "RateLimited")
        assert(error.reason._tag === "RateLimited" && error.reason.source === "limiter")
        assert.isTrue(Duration.isLessThanOrEqualTo(error.reason.retryAfter, Duration.minutes(1)))
      }
      assert.strictEqual((yield* faults.attempts).length, before)
      assert.strictEqual(yield* keys.revoke(ref), "disabled")
      assert.isFalse(yield* sandbox.isLive(Redacted.value(secret)))
      yield* keys.disable(ref)
      yield* TestClock.adjust("61 seconds")
      yield* keys.get(ref)
      assert.isFalse((yield* sandbox.requests).some(({ status }) => status === 429))
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a 429 says nothing of errors: it has its own lockout, of a minute where it does not say", () =>
    Effect.gen(function* () {
      const { faults, keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.lockOut()
      const first = yield* expectReason(keys.get(ref), "RateLimited")
      assert.deepStrictEqual(first.retryAfter, Duration.seconds(60))
      assert(first.reason._tag === "RateLimited" && first.reason.source === "provider")
      const before = (yield* faults.attempts).length
      for (const call of [keys.revoke(ref), keys.create(spec), keys.delete(ref), keys.get(ref)]) {
        yield* expectReason(Effect.asVoid<unknown, ApiKeyError, never>(call), "RateLimited")
      }
      yield* TestClock.adjust("49 seconds")
      yield* expectReason(keys.revoke(ref), "RateLimited")
      assert.strictEqual((yield* faults.attempts).length, before)
      yield* TestClock.adjust("2 seconds")
      const waiting = yield* Effect.forkChild(keys.revoke(ref))
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual((yield* faults.attempts).length, before, "nothing for 60 seconds")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(waiting), "disabled")
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a 429 that says how long is believed", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setHabits({ retryAfter: true })
      yield* sandbox.lockOut({ seconds: 300 })
      const error = yield* expectReason(keys.create(spec), "RateLimited")
      assert.deepStrictEqual(error.retryAfter, Duration.minutes(5))
      yield* TestClock.adjust("289 seconds")
      yield* expectReason(keys.get(ref), "RateLimited")
      yield* TestClock.adjust("11 seconds")
      yield* keys.get(ref)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a hurried program does not get the source timed out, and can still revoke", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      const reads = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 600 }), () => Effect.exit(keys.get(ref)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* keys.revoke(ref), "disabled", "the reserve lets a revoke through at once")
      for (let second = 0; second < 120; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(reads)
      const all = yield* sandbox.requests
      assert.isFalse(all.some(({ status }) => status === 429))
      assert.isAbove(all.length, 60)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a key that cannot be delivered is removed from the reserve, when nothing else is left", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* Effect.forEach(Array.from({ length: 58 }), () => keys.get(ref))
      yield* Effect.exit(keys.create(spec, { deliver: () => Effect.fail("vault down") }))
      yield* expectReason(keys.get(ref), "RateLimited")
      assert.lengthOf(yield* sandbox.keys, 2)
    }).pipe(Effect.provide(withSandbox({ rateLimit: { maxWait: 0 } })))
  )
})

describe("layers", () => {
  it.effect("say what the vendor can do", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      assert.deepStrictEqual([keys.provider, keys.account], ["smtp2go", "default"])
      for (const need of [
        "create",
        "patch",
        "rotate",
        "overlap",
        "disable",
        "enable",
        "revoke",
        "delete",
        "get",
        "list",
        "scopes",
        "rate"
      ] as const) {
        assert.isTrue(keys.supports(need), need)
      }
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("handles are the vendor's usernames, whatever the credential", () =>
    Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const key = yield* keys.create(spec)
      assert.strictEqual(key.handle, (yield* sandbox.keys)[1]?.username)
      assert.strictEqual(keys.handle(key.ref), key.handle)
      assert.lengthOf(key.handle, 16)
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("a ref of another account, or another vendor, is refused", () =>
    Effect.gen(function* () {
      const { faults, keys } = yield* setup
      const value = Redacted.make("api-api_test_00000000000000000000000")
      for (const ref of [
        new KeyRef({ provider: "smtp2go", account: "sub", value }),
        new KeyRef({ provider: "jetemail", account: "default", value })
      ]) {
        yield* expectReason(keys.revoke(ref), "InvalidRequest")
      }
      assert.deepStrictEqual(yield* faults.attempts, [])
    }).pipe(Effect.provide(withSandbox()))
  )

  it.effect("the credential rotates under a living layer", () => {
    let current = "api-api_test_mgrfirst00000000000000000"
    return Effect.gen(function* () {
      const { keys, sandbox } = yield* setup
      const { ref } = yield* keys.create(spec)
      yield* sandbox.setCredential("api-api_test_mgrsecond0000000000000000")
      yield* expectReason(keys.get(ref), "AuthenticationFailed")
      current = "api-api_test_mgrsecond0000000000000000"
      yield* keys.get(ref)
    }).pipe(Effect.provide(withSandbox({ apiKey: Effect.sync(() => Redacted.make(current)) }, { credential: current })))
  })

  it.effect("bad options fail typed, and name the field", () =>
    Effect.gen(function* () {
      for (const [options, field] of [
        [{ baseUrl: "http://api.smtp2go.example/v3" }, "baseUrl"],
        [{ baseUrl: "not a url" }, "baseUrl"],
        [{ baseUrl: "https://user:pass@api.smtp2go.example" }, "baseUrl"],
        [{ region: "mars" }, "region"],
        [{ region: "constructor" }, "region"],
        [{ region: "" }, "region"],
        [{ region: null }, "region"],
        [{ region: "eu", baseUrl: "https://eu-api.smtp2go.com/v3" }, "region"],
        [{ subaccount: "" }, "subaccount"],
        [{ timeout: "1e3 seconds" }, "timeout"],
        [{ retry: { base: "soon" } }, "retry.base"],
        [{ retry: { times: -1 } }, "retry.times"],
        [{ rateLimit: { maxWait: "later" } }, "rateLimit.maxWait"],
        [{ maxReplyBytes: Number.NaN }, "maxReplyBytes"],
        [{ defaults: undefined }, "defaults.rate"],
        [{ defaults: {} }, "defaults.rate"],
        [{ defaults: { rate: "any" } }, "defaults.rate"],
        [{ defaults: { rate: { max: 1, per: { months: 1, days: 1 } } } }, "defaults.rate.per"],
        [{ defaults: { rate: "unlimited", scopes: [] } }, "defaults.scopes"],
        [{ defaults: { rate: "unlimited", scopes: ["*"] } }, "defaults.scopes"]
      ] as const) {
        // Options from a file or from JavaScript can be anything.
        const layer = withSandbox(options as unknown as Partial<MailerPatch.Options>)
        const error = yield* expectReason(Effect.provide(Effect.asVoid(ApiKeyService), layer), "InvalidRequest")
        assert.include(error.message, `${field}`)
        assert.strictEqual(error.operation, "layer")
      }
    })
  )

  it.effect("a baseUrl of one's own is called as it is", () =>
    Effect.gen(function* () {
      const { keys } = yield* setup
      yield* keys.create(spec)
      assert.strictEqual((yield* requests)[0]?.url, "https://smtp.acme.example/v3/api_keys/add")
    }).pipe(Effect.provide(withSandbox({ baseUrl: "https://smtp.acme.example/v3/" })))
  )

  it.effect("layerConfig takes Configs and plain values, side by side", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      assert.strictEqual(keys.account, "acme")
      yield* keys.create(spec)
      const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
      const [request] = yield* sandbox.requests
      assert.strictEqual(request?.host, "au-api.smtp2go.com")
      assert.deepInclude(request?.body, { subaccount_id: "api_test_sub" })
    }).pipe(
      Effect.provide(
        MailerPatch.layerConfig({
          apiKey: Config.Redacted("SMTP2GO_API_KEY"),
          account: Config.String("SMTP2GO_ACCOUNT"),
          region: Config.Literals(["global", "us", "eu", "au"], "SMTP2GO_REGION"),
          subaccount: Config.String("SMTP2GO_SUBACCOUNT"),
          defaults
        }).pipe(
          Layer.provideMerge(MailerPatchSandbox.layerClient({ credential: "api-api_test_from_config00000000000" }))
        )
      ),
      Effect.provide(
        ConfigProvider.layer(
          ConfigProvider.fromUnknown({
            SMTP2GO_API_KEY: "api-api_test_from_config00000000000",
            SMTP2GO_ACCOUNT: "acme",
            SMTP2GO_REGION: "au",
            SMTP2GO_SUBACCOUNT: "api_test_sub"
          })
        )
      )
    )
  )

  it.effect("layerConfig fails with a ConfigError where a Config does", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.provide(
          Effect.asVoid(ApiKeyService),
          MailerPatch.layerConfig({ apiKey: Config.Redacted("NOT_SET"), defaults }).pipe(
            Layer.provide(MailerPatchSandbox.layerClient())
          )
        )
      )
      assert.strictEqual(error._tag, "ConfigError")
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({}))))
  )
})
