import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import {
  fullDefaults,
  patterns,
  periods,
  SECRET,
  schemaEnvelope,
  servers,
  statuses,
  vendorExamples
} from "./vendorExamples.ts"

const BASE = "https://api.smtp2go.com/v3"
const ADD = "/api_keys/add"
const EDIT = "/api_keys/edit"
const VIEW = "/api_keys/view"
const REMOVE = "/api_keys/remove"
const PERMISSIONS = "/api_keys/permissions"
const MANAGER = "api-api_test_mgrfakefakefakefakefmgr"
const ABSENT = "api-api_test_absentabsentabsentabsen"

// -----------------------------------------------------------------------------
// helpers
// -----------------------------------------------------------------------------

const at = (value: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (node, name) => (typeof node === "object" && node !== null ? Reflect.get(node, name) : undefined),
    value
  )

interface Received {
  readonly status: number
  readonly text: string
  readonly body: unknown
  readonly headers: Readonly<Record<string, string | undefined>>
}

const send = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
  const response = yield* HttpClient.execute(request)
  const text = yield* response.text
  const isJson = response.headers["content-type"]?.startsWith("application/json") === true
  const received: Received = {
    status: response.status,
    text,
    body: isJson ? JSON.parse(text) : undefined,
    headers: response.headers
  }
  return received
})

const bare = (method: HttpMethod.HttpMethod, path: string) => HttpClientRequest.make(method)(`${BASE}${path}`)

const withKey = HttpClientRequest.setHeader("x-smtp2go-api-key", MANAGER)

const callAs = (secret: string, method: HttpMethod.HttpMethod, path: string, body: unknown = {}) =>
  send(
    HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.setHeader(bare(method, path), "x-smtp2go-api-key", secret), body)
  )

const call = (method: HttpMethod.HttpMethod, path: string, body: unknown = {}) => callAs(MANAGER, method, path, body)

const REQUEST_ID = /^00000000-0000-4000-8000-[0-9a-f]{12}$/

/** What a refusal says; the place is `data` unless the errors are flat. */
const refusal = (reply: Received): ReadonlyArray<unknown> => [reply.status, at(reply.body, "data", "error_code")]

const DENIED = [400, "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"]
const NON_VALIDATING = [400, "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD"]
const INVALID = [400, "E_ApiResponseCodes.INVALID_IN_PAYLOAD"]
const REJECTED = [401, "E_ApiResponseCodes.API_EXCEPTION"]
const NOT_FOUND = [404, "E_ApiResponseCodes.API_EXCEPTION"]
const LIMITED = [429, "E_ApiResponseCodes.REQ_LIMIT_EXCEEDED"]

const fieldname = (reply: Received) => at(reply.body, "data", "field_validation_errors", "fieldname")

const secretIn = (reply: Received): string => {
  const secret = at(reply.body, "data", 0, "api_key")
  if (typeof secret === "string") return secret
  throw new Error("the reply has no key")
}

const dataOf = (reply: Received): ReadonlyArray<unknown> => {
  const data = at(reply.body, "data")
  if (Array.isArray(data)) return data
  throw new Error("the reply has no data")
}

const keyOf = Effect.fnUntraced(function* (secret: string) {
  const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
  const found = (yield* sandbox.keys).find((key) => key.secret === secret)
  if (found === undefined) throw new Error("no such key")
  return found
})

const calm: MailerPatchSandbox.Options = { addsPerMinute: 1000, requestsPerMinute: 1000, errorsPerMinute: 1000 }

const inProcess = (options?: MailerPatchSandbox.Options) => Effect.provide(MailerPatchSandbox.layerClient(options))

const defaults = {
  description: null,
  customRatelimit: false,
  customRatelimitValue: null,
  customRatelimitPeriod: null,
  ipPool: null,
  feedbackEnabled: false,
  feedbackHtml: "",
  feedbackText: "",
  openTrackingEnabled: false,
  clickTrackingEnabled: false,
  archiveEnabled: false,
  auditEmail: null,
  bounceNotifications: "from",
  status: "allowed",
  endpoints: ["/email/send"],
  subaccountId: null
}

/** Every setting, as a request sends it. */
const allFields = {
  description: "All",
  custom_ratelimit: true,
  custom_ratelimit_value: 100,
  custom_ratelimit_period: "1 hour",
  ip_pool: 7,
  feedback_enabled: true,
  feedback_html: "<p>%%UNSUBSCRIBE%%</p>",
  feedback_text: "%%EMAIL%%",
  open_tracking_enabled: true,
  click_tracking_enabled: true,
  archive_enabled: true,
  audit_email: "audit@example.com",
  bounce_notifications: "drop",
  status: "sandbox",
  endpoints: ["/email/*", "/api_keys/view"]
}

/** The same, as the vendor holds it. */
const allSettings = {
  description: "All",
  customRatelimit: true,
  customRatelimitValue: 100,
  customRatelimitPeriod: "1 hour",
  ipPool: 7,
  feedbackEnabled: true,
  feedbackHtml: "<p>%%UNSUBSCRIBE%%</p>",
  feedbackText: "%%EMAIL%%",
  openTrackingEnabled: true,
  clickTrackingEnabled: true,
  archiveEnabled: true,
  auditEmail: "audit@example.com",
  bounceNotifications: "drop",
  status: "sandbox",
  endpoints: ["/email/*", "/api_keys/view"],
  subaccountId: null
}

// -----------------------------------------------------------------------------
// the operations
// -----------------------------------------------------------------------------

describe("MailerPatchSandbox", () => {
  describe("add", () => {
    it.effect("makes an allowed key for /email/send of an empty body, and shows it in full", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const reply = yield* call("POST", ADD)
        const secret = "api-api_test_001fakefakefakefakef001"
        assert.lengthOf(secret, 36)
        assert.deepStrictEqual(
          [reply.status, reply.body],
          [
            200,
            {
              request_id: "00000000-0000-4000-8000-000000000001",
              data: [
                {
                  api_key: secret,
                  username: "api-api_test_001",
                  description: null,
                  custom_rate_limit: false,
                  custom_ratelimit_value: null,
                  custom_ratelimit_period: "0:00:00",
                  default_ratelimit_value: "0",
                  default_ratelimit_period: "unlimited",
                  ippool: null,
                  feedback_enabled: false,
                  feedback_html: "",
                  feedback_text: "",
                  open_tracking_enabled: false,
                  click_tracking_enabled: false,
                  archive_enabled: false,
                  audit_email: null,
                  bounce_notifications: "from",
                  status: "allowed",
                  endpoints: ["/email/send"]
                }
              ]
            }
          ]
        )
        assert.deepStrictEqual((yield* sandbox.keys)[1], { ...defaults, secret, username: "api-api_test_001" })
        assert.isTrue(yield* sandbox.isLive(secret))
        assert.isFalse(yield* sandbox.isLive("api-api_test_001"))
        assert.isFalse(yield* sandbox.isLive(ABSENT))
      }).pipe(inProcess())
    )

    it.effect("takes no body at all for an empty one", () =>
      Effect.gen(function* () {
        const reply = yield* send(withKey(bare("POST", ADD)))
        assert.deepInclude(yield* keyOf(secretIn(reply)), defaults)
      }).pipe(inProcess())
    )

    it.effect("stores every setting, and ignores what it does not know", () =>
      Effect.gen(function* () {
        const reply = yield* call("POST", ADD, { ...allFields, colour: "red", id: SECRET, name: "x" })
        const key = yield* keyOf(secretIn(reply))
        const { secret, username, ...settings } = key
        assert.deepStrictEqual(settings, allSettings)
        assert.strictEqual(username, secret.slice(0, 16))
        assert.deepInclude(dataOf(reply)[0], {
          api_key: secret,
          custom_rate_limit: true,
          custom_ratelimit_value: 100,
          custom_ratelimit_period: "1 hour",
          ippool: 7,
          audit_email: "audit@example.com"
        })
      }).pipe(inProcess())
    )

    it.effect("takes null for nothing passed", () =>
      Effect.gen(function* () {
        const nulls = Object.fromEntries(Object.keys(allFields).map((name) => [name, null]))
        const reply = yield* call("POST", ADD, { ...nulls, subaccount_id: null })
        assert.deepInclude(yield* keyOf(secretIn(reply)), defaults)
      }).pipe(inProcess())
    )

    it.effect("mints keys of 32 characters whose usernames differ, and repeats descriptions", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        yield* sandbox.addKey({ secret: "api-api_test_00200000000000000000000" })
        for (let index = 0; index < 50; index++) yield* call("POST", ADD, { description: "Same" })
        const keys = yield* sandbox.keys
        assert.lengthOf(keys, 52)
        assert.strictEqual(new Set(keys.map((key) => key.username)).size, 52)
        for (const key of keys) {
          assert.match(key.secret, /^api-api_test_[0-9a-z]{23}$/)
          assert.strictEqual(key.username, key.secret.slice(0, 16))
        }
      }).pipe(inProcess(calm))
    )

    it.effect("gives no more than the caller has", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const cases: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string> | undefined, boolean]> = [
          [["*"], ["*"], true],
          [["*"], ["/email/send", "/anything"], true],
          [["/api_keys/*", "/email/*"], undefined, true],
          [["/api_keys/*", "/email/*"], ["/email/send"], true],
          [["/api_keys/*", "/email/*"], ["/email/*"], true],
          [["/api_keys/*", "/email/*"], ["/email/mime/*"], true],
          [["/api_keys/*", "/email/*"], ["/email/send", "/sms/send"], false],
          [["/api_keys/*", "/email/*"], ["*"], false],
          [["/api_keys/add"], undefined, false],
          [["/api_keys/add"], ["/api_keys/add"], true],
          [["/api_keys/add"], ["/api_keys/*"], false],
          [["/api_keys/add"], [], true],
          [["/api_keys/add", "/email/send"], undefined, true],
          [["/api_keys/add", "/email/send"], ["/email/sending"], false]
        ]
        for (const [mine, asked, allowed] of cases) {
          const caller = yield* sandbox.addKey({ endpoints: mine })
          const before = yield* sandbox.keys
          const reply = yield* callAs(caller.secret, "POST", ADD, { endpoints: asked })
          const label = `${JSON.stringify(mine)} ${JSON.stringify(asked)}`
          if (allowed) assert.strictEqual(reply.status, 200, label)
          else {
            assert.deepStrictEqual(refusal(reply), DENIED, label)
            assert.deepStrictEqual(yield* sandbox.keys, before)
          }
        }
      }).pipe(inProcess(calm))
    )

    it.effect("is limited to five in any 60 seconds, whoever calls", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const other = yield* sandbox.addKey({ endpoints: ["*"] })
        assert.strictEqual((yield* call("POST", ADD)).status, 200)
        yield* TestClock.adjust("30 seconds")
        for (let index = 0; index < 3; index++) assert.strictEqual((yield* call("POST", ADD)).status, 200)
        assert.strictEqual((yield* callAs(other.secret, "POST", ADD)).status, 200)
        const sixth = yield* call("POST", ADD)
        assert.deepStrictEqual(refusal(sixth), LIMITED)
        assert.isUndefined(sixth.headers["retry-after"])
        assert.deepStrictEqual(refusal(yield* callAs(other.secret, "POST", ADD)), LIMITED)
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
        assert.lengthOf(yield* sandbox.keys, 7)
        yield* TestClock.adjust("29999 millis")
        assert.deepStrictEqual(refusal(yield* call("POST", ADD)), LIMITED)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* call("POST", ADD)).status, 200)
        yield* sandbox.setHabits({ retryAfter: true })
        const limited = yield* call("POST", ADD)
        assert.deepStrictEqual([limited.status, limited.headers["retry-after"]], [429, "30"])
      }).pipe(inProcess())
    )

    it.effect("counts a call that it refuses, and none that may not be made", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const stranger = yield* sandbox.addKey()
        for (let index = 0; index < 3; index++) yield* callAs(stranger.secret, "POST", ADD)
        assert.deepStrictEqual(refusal(yield* call("POST", ADD, { status: "off" })), NON_VALIDATING)
        assert.strictEqual((yield* call("POST", ADD)).status, 200)
        assert.deepStrictEqual(refusal(yield* call("POST", ADD)), LIMITED)
      }).pipe(inProcess({ addsPerMinute: 2 }))
    )
  })

  describe("the partial edit", () => {
    it.effect("changes each setting alone, and leaves the others", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret: _, username: __, ...other } = yield* sandbox.addKey({ description: "Before" })
        const changes: ReadonlyArray<
          readonly [Record<string, unknown>, Partial<Omit<MailerPatchSandbox.SandboxKey, "secret">>]
        > = [
          [{ description: "After" }, { description: "After" }],
          [{ description: "" }, { description: "" }],
          [{ custom_ratelimit: true }, { customRatelimit: true }],
          [
            { custom_ratelimit: true, custom_ratelimit_value: 5, custom_ratelimit_period: "2 days" },
            { customRatelimit: true, customRatelimitValue: 5, customRatelimitPeriod: "2 days" }
          ],
          [{ ip_pool: 9 }, { ipPool: 9 }],
          [{ feedback_enabled: true }, { feedbackEnabled: true }],
          [{ feedback_html: "h" }, { feedbackHtml: "h" }],
          [{ feedback_text: "t" }, { feedbackText: "t" }],
          [{ open_tracking_enabled: true }, { openTrackingEnabled: true }],
          [{ click_tracking_enabled: true }, { clickTrackingEnabled: true }],
          [{ archive_enabled: true }, { archiveEnabled: true }],
          [{ audit_email: "a@b.example" }, { auditEmail: "a@b.example" }],
          [{ bounce_notifications: "c@d.example" }, { bounceNotifications: "c@d.example" }],
          [{ status: "blocked" }, { status: "blocked" }],
          [{ status: "sandbox" }, { status: "sandbox" }],
          [{ endpoints: ["/sms/send"] }, { endpoints: ["/sms/send"] }],
          [{}, {}]
        ]
        for (const [fields, expected] of changes) {
          const key = yield* sandbox.addKey({ ...other })
          const reply = yield* call("PATCH", EDIT, { id: key.secret, ...fields })
          assert.strictEqual(reply.status, 200, JSON.stringify(fields))
          assert.deepStrictEqual(yield* keyOf(key.secret), { ...key, ...expected }, JSON.stringify(fields))
          const masked = `${key.username}********************`
          assert.deepStrictEqual(at(reply.body, "data", 0, "api_key"), masked)
          assert.notInclude(reply.text, key.secret)
        }
      }).pipe(inProcess(calm))
    )

    it.effect("takes null for nothing passed", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const key = yield* sandbox.addKey({ ...allSettings })
        const nulls = Object.fromEntries(Object.keys(allFields).map((name) => [name, null]))
        assert.strictEqual((yield* call("PATCH", EDIT, { ...nulls, id: key.secret })).status, 200)
        assert.deepStrictEqual(yield* keyOf(key.secret), key)
      }).pipe(inProcess())
    )

    it.effect("drops a value and a period without custom_ratelimit in the same request, in silence", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const limit = { custom_ratelimit_value: 5, custom_ratelimit_period: "2 days" }
        for (const customRatelimit of [false, true]) {
          for (const given of [{}, { custom_ratelimit: null }, { custom_ratelimit: false }]) {
            const key = yield* sandbox.addKey({
              customRatelimit,
              customRatelimitValue: 1,
              customRatelimitPeriod: "1 hour"
            })
            assert.strictEqual((yield* call("PATCH", EDIT, { id: key.secret, ...limit, ...given })).status, 200)
            const expected = given.custom_ratelimit === false ? { ...key, customRatelimit: false } : key
            assert.deepStrictEqual(yield* keyOf(key.secret), expected)
          }
        }
        const added = yield* keyOf(secretIn(yield* call("POST", ADD, limit)))
        assert.deepInclude(added, defaults)
        const { secret } = yield* sandbox.addKey()
        assert.strictEqual((yield* call("POST", EDIT, { id: secret, ...limit })).status, 200)
        assert.deepInclude(yield* keyOf(secret), defaults)
      }).pipe(inProcess(calm))
    )

    it.effect("adds and removes endpoints within what the caller and the key have", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        type List = ReadonlyArray<string>
        const cases: ReadonlyArray<readonly [caller: List, before: List, after: List, allowed: boolean]> = [
          // what is new
          [["/email/*"], ["/email/send"], ["/email/send", "/email/batch"], true],
          [["/email/send"], ["/email/send"], ["/email/send", "/sms/send"], false],
          [[], ["/email/*"], ["/email/*", "/email/send"], true],
          [[], ["/email/send"], ["/email/send"], true],
          [["/email/*"], ["/email/send"], ["*"], false],
          // what goes
          [["/sms/send"], ["/email/send", "/sms/send"], ["/email/send"], true],
          [["/email/send"], ["/email/send", "/sms/send"], ["/email/send"], false],
          [["/email/*"], ["/email/*"], ["/email/send"], true],
          [["/email/send"], ["/email/*"], ["/email/send"], false],
          [["*"], ["*"], [], true],
          [["/email/*"], ["*"], ["/email/send"], false],
          // what only looks as if it went
          [[], ["/email/send", "/email/*"], ["/email/*"], true]
        ]
        for (const method of ["PATCH", "POST"] as const) {
          for (const [mine, before, after, allowed] of cases) {
            const caller = yield* sandbox.addKey({ endpoints: [EDIT, ...mine] })
            const key = yield* sandbox.addKey({ endpoints: before })
            const reply = yield* callAs(caller.secret, method, EDIT, { id: key.secret, endpoints: after })
            const label = JSON.stringify([method, mine, before, after])
            if (allowed) assert.strictEqual(reply.status, 200, label)
            else assert.deepStrictEqual(refusal(reply), DENIED, label)
            assert.deepStrictEqual((yield* keyOf(key.secret)).endpoints, allowed ? after : before, label)
          }
        }
      }).pipe(inProcess(calm))
    )

    it.effect("asks nothing of the caller's endpoints where the key's stay", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const caller = yield* sandbox.addKey({ endpoints: [EDIT] })
        const key = yield* sandbox.addKey({ endpoints: ["*"] })
        const fields = { id: key.secret, status: "blocked" }
        assert.strictEqual((yield* callAs(caller.secret, "PATCH", EDIT, fields)).status, 200)
        // The full edit would narrow it to the default.
        assert.deepStrictEqual(refusal(yield* callAs(caller.secret, "POST", EDIT, fields)), DENIED)
      }).pipe(inProcess())
    )
  })

  describe("the full edit", () => {
    it.effect("lets what is left out fall back to its default", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const key = yield* sandbox.addKey({ ...allSettings, sendingStatus: "misuse" })
        const reply = yield* call("POST", EDIT, { id: key.secret, description: "Kept", status: null })
        assert.strictEqual(reply.status, 200)
        assert.deepStrictEqual(yield* keyOf(key.secret), { ...key, ...defaults, description: "Kept" })
        assert.notInclude(reply.text, key.secret)
        yield* call("POST", EDIT, { id: key.secret, ...allFields })
        assert.deepStrictEqual(yield* keyOf(key.secret), key)
      }).pipe(inProcess())
    )
  })

  describe("view", () => {
    const seeded = Effect.gen(function* () {
      const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
      const one = yield* sandbox.addKey({ description: "News Letter", ...{ endpoints: ["*"] } })
      const two = yield* sandbox.addKey({ description: null })
      const three = yield* sandbox.addKey({ description: "letters of the subaccount", subaccountId: "sub-1" })
      return { sandbox, one, two, three }
    })

    const usernames = (reply: Received): ReadonlyArray<unknown> => dataOf(reply).map((key) => at(key, "username"))

    it.effect("lists the master account's keys, the manager's first, and masks them", () =>
      Effect.gen(function* () {
        const { one, two } = yield* seeded
        const reply = yield* call("POST", VIEW)
        assert.strictEqual(reply.status, 200)
        assert.match(String(at(reply.body, "request_id")), REQUEST_ID)
        assert.deepStrictEqual(
          dataOf(reply).map((key) => at(key, "api_key")),
          ["api-api_test_mgr", one.username, two.username].map((username) => `${username}********************`)
        )
        for (const secret of [MANAGER, one.secret, two.secret]) assert.notInclude(reply.text, secret)
      }).pipe(inProcess())
    )

    it.effect("finds one by its full key alone", () =>
      Effect.gen(function* () {
        const { one, three } = yield* seeded
        assert.deepStrictEqual(usernames(yield* call("POST", VIEW, { id: one.secret })), [one.username])
        assert.deepStrictEqual(usernames(yield* call("POST", VIEW, { id: MANAGER })), ["api-api_test_mgr"])
        const others = [
          one.username,
          `${one.username}${"*".repeat(20)}`,
          ABSENT,
          one.secret.toUpperCase(),
          "",
          three.secret
        ]
        for (const id of others) {
          const reply = yield* call("POST", VIEW, { id })
          assert.deepStrictEqual([reply.status, dataOf(reply)], [200, []], id)
        }
      }).pipe(inProcess())
    )

    it.effect("searches the description and the username, in any case", () =>
      Effect.gen(function* () {
        const { one, two, three } = yield* seeded
        const cases: ReadonlyArray<readonly [Record<string, unknown>, ReadonlyArray<string>]> = [
          [{ search: "letter" }, [one.username]],
          [{ search: "S LET" }, [one.username]],
          [{ search: two.username.toUpperCase() }, [two.username]],
          [{ search: "test_00" }, [one.username, two.username]],
          [{ search: two.secret }, []],
          [{ search: "nothing" }, []],
          [{ search: "" }, ["api-api_test_mgr", one.username, two.username]],
          [{ search: "letter", id: one.secret }, [one.username]],
          [{ search: "letter", id: two.secret }, []],
          [{ search: "letter", subaccount_id: "sub-1" }, [three.username]]
        ]
        for (const [fields, expected] of cases) {
          assert.deepStrictEqual(usernames(yield* call("POST", VIEW, fields)), expected, JSON.stringify(fields))
        }
      }).pipe(inProcess())
    )

    it.effect("never paginates", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        for (let index = 0; index < 500; index++) yield* sandbox.addKey()
        assert.lengthOf(dataOf(yield* call("POST", VIEW, { limit: 1, page: 2 })), 501)
      }).pipe(inProcess())
    )
  })

  describe("remove", () => {
    it.effect("removes a key for good", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        const reply = yield* call("POST", REMOVE, { id: secret })
        assert.deepStrictEqual(reply.body, { request_id: "00000000-0000-4000-8000-000000000001", data: {} })
        assert.isFalse(yield* sandbox.isLive(secret))
        assert.deepStrictEqual(refusal(yield* call("POST", REMOVE, { id: secret })), NOT_FOUND)
        assert.deepStrictEqual(refusal(yield* call("PATCH", EDIT, { id: secret })), NOT_FOUND)
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("asks nothing of the caller's endpoints but its own", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const caller = yield* sandbox.addKey({ endpoints: [REMOVE] })
        const { secret } = yield* sandbox.addKey({ endpoints: ["*"] })
        assert.strictEqual((yield* callAs(caller.secret, "POST", REMOVE, { id: secret })).status, 200)
      }).pipe(inProcess())
    )
  })

  describe("permissions", () => {
    it.effect("shows any key what it may call", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        for (const endpoints of [["/email/send", VIEW], ["/email/*"], []]) {
          const { secret } = yield* sandbox.addKey({ endpoints })
          const reply = yield* callAs(secret, "POST", PERMISSIONS)
          assert.deepStrictEqual<unknown>([reply.status, dataOf(reply)], [200, endpoints])
        }
        assert.deepStrictEqual(dataOf(yield* call("POST", PERMISSIONS)), ["*"])
      }).pipe(inProcess())
    )
  })

  // ---------------------------------------------------------------------------
  // validation
  // ---------------------------------------------------------------------------

  describe("validation", () => {
    const wrong: ReadonlyArray<readonly [field: string, values: ReadonlyArray<unknown>]> = [
      ["description", [1, true, [], {}]],
      ["custom_ratelimit", ["true", 1, 0]],
      ["custom_ratelimit_value", ["100", 1.5, -1, 1e300, true]],
      [
        "custom_ratelimit_period",
        [
          30,
          "",
          "5",
          "hour",
          "1 minute",
          "1 hours 5",
          "1  hour",
          " 1 hour",
          "1 hour ",
          "1 Hour",
          "one hour",
          "-1 hour",
          "1.5 hours",
          "1 year",
          "30:00",
          "0:60:00",
          "0:00:60",
          "0:5:00",
          "0:30:00 1 hour",
          "1 hour 0:30:00 0:30:00",
          "1000:00:00",
          "١ hour"
        ]
      ],
      ["ip_pool", ["1234", 1.5, false]],
      ["feedback_enabled", ["true", 1]],
      ["feedback_html", [1, false]],
      ["feedback_text", [1, false]],
      ["open_tracking_enabled", ["true", 1]],
      ["click_tracking_enabled", ["true", 1]],
      ["archive_enabled", ["true", 1]],
      ["audit_email", ["", "nobody", "a@b", "a@@b.example", "@b.example", "a@b..example", "a b@c.example", 1]],
      ["bounce_notifications", ["", "From", "bounce", "a@b", 1, true]],
      ["status", ["", "Allowed", "off", "active", 0, true]],
      ["endpoints", ["*", [1], [null], {}, true]],
      ["subaccount_id", [1, true]]
    ]

    it.effect("refuses what is of the wrong type or kind, by name, and does nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        const before = yield* sandbox.keys
        for (const [field, values] of wrong) {
          for (const value of values) {
            for (const [method, path] of [
              ["POST", ADD],
              ["POST", EDIT],
              ["PATCH", EDIT]
            ] as const) {
              const reply = yield* call(method, path, {
                ...(path === ADD ? {} : { id: secret }),
                custom_ratelimit: true,
                [field]: value
              })
              const label = `${method} ${path} ${field} ${JSON.stringify(value)}`
              assert.deepStrictEqual(refusal(reply), NON_VALIDATING, label)
              assert.strictEqual(fieldname(reply), field, label)
              assert.isString(at(reply.body, "data", "field_validation_errors", "message"))
              assert.isString(at(reply.body, "data", "error"))
            }
          }
        }
        assert.deepStrictEqual(yield* sandbox.keys, before)
      }).pipe(inProcess(calm))
    )

    it.effect("refuses a value that it would drop, too", () =>
      Effect.gen(function* () {
        const reply = yield* call("POST", ADD, { custom_ratelimit_period: "soon" })
        assert.deepStrictEqual([refusal(reply), fieldname(reply)], [NON_VALIDATING, "custom_ratelimit_period"])
      }).pipe(inProcess())
    )

    it.effect("takes what the documents show", () =>
      Effect.gen(function* () {
        const ok = Effect.fnUntraced(function* (fields: Record<string, unknown>) {
          assert.strictEqual((yield* call("POST", ADD, fields)).status, 200, JSON.stringify(fields))
        })
        const more = ["0:00:00", "999:59:59", "1 hours", "10 day", "2 weeks", "1 week 0:00:01", "0 months"]
        for (const custom_ratelimit_period of [...periods, ...more]) {
          const reply = yield* call("POST", ADD, { custom_ratelimit: true, custom_ratelimit_period })
          assert.strictEqual((yield* keyOf(secretIn(reply))).customRatelimitPeriod, custom_ratelimit_period)
        }
        for (const status of statuses) yield* ok({ status })
        for (const endpoints of patterns) yield* ok({ endpoints })
        for (const bounce_notifications of ["from", "drop", "a.b+c@mail.example.com"])
          yield* ok({ bounce_notifications })
        for (const custom_ratelimit_value of [0, 1, 1_000_000])
          yield* ok({ custom_ratelimit: true, custom_ratelimit_value })
        yield* ok({ description: "é 🗝 ".repeat(1000) })
      }).pipe(inProcess(calm))
    )

    it.effect("wants the id of edit, patch and remove", () =>
      Effect.gen(function* () {
        for (const [method, path] of [
          ["POST", EDIT],
          ["PATCH", EDIT],
          ["POST", REMOVE]
        ] as const) {
          for (const fields of [{}, { id: null }, { id: "" }, { id: 1 }, { id: [MANAGER] }]) {
            const reply = yield* call(method, path, fields)
            assert.deepStrictEqual([refusal(reply), fieldname(reply)], [NON_VALIDATING, "id"], JSON.stringify(fields))
          }
        }
        for (const fields of [{ id: 1 }, { search: 1 }, { subaccount_id: 1 }]) {
          const reply = yield* call("POST", VIEW, fields)
          assert.deepStrictEqual([refusal(reply), fieldname(reply)], [NON_VALIDATING, Object.keys(fields)[0]])
        }
      }).pipe(inProcess())
    )
  })

  // ---------------------------------------------------------------------------
  // who calls
  // ---------------------------------------------------------------------------

  describe("the calling key", () => {
    it.effect("comes in a header, as a bearer, or in the body", () =>
      Effect.gen(function* () {
        const view = bare("POST", VIEW)
        const body = HttpClientRequest.bodyJsonUnsafe
        const ways = [
          body(withKey(view), {}),
          body(HttpClientRequest.bearerToken(view, MANAGER), {}),
          body(HttpClientRequest.setHeader(view, "authorization", `bearer ${MANAGER}`), {}),
          body(view, { api_key: MANAGER })
        ]
        for (const way of ways) assert.strictEqual((yield* send(way)).status, 200)
        const wrong = [
          body(view, {}),
          view,
          body(HttpClientRequest.setHeader(view, "authorization", MANAGER), {}),
          body(HttpClientRequest.setHeader(view, "authorization", `Basic ${MANAGER}`), {}),
          body(HttpClientRequest.setHeader(view, "authorization", `Bearer ${MANAGER} x`), {}),
          body(view, { api_key: [MANAGER] }),
          // The first place counts.
          body(HttpClientRequest.setHeader(view, "x-smtp2go-api-key", ABSENT), { api_key: MANAGER }),
          body(HttpClientRequest.bearerToken(view, ABSENT), { api_key: MANAGER }),
          body(
            HttpClientRequest.bearerToken(HttpClientRequest.setHeader(view, "x-smtp2go-api-key", ABSENT), MANAGER),
            {}
          )
        ]
        for (const way of wrong) assert.deepStrictEqual(refusal(yield* send(way)), REJECTED)
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const places = (yield* sandbox.requests).map((request) => request.credentials.join())
        assert.deepStrictEqual(places, [
          "header",
          "bearer",
          "bearer",
          "body",
          ...["", "", "", "", "", "", "header,body", "bearer,body", "header,bearer"]
        ])
      }).pipe(inProcess())
    )

    it.effect("is known in full only", () =>
      Effect.gen(function* () {
        for (const key of [ABSENT, "api-api_test_mgr", `api-api_test_mgr${"*".repeat(20)}`, MANAGER.slice(4), ""]) {
          assert.deepStrictEqual(refusal(yield* callAs(key, "POST", VIEW)), REJECTED, key)
        }
      }).pipe(inProcess())
    )

    it.effect("can be any that has the endpoint", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        const operations: ReadonlyArray<readonly [HttpMethod.HttpMethod, string, Record<string, unknown>]> = [
          ["POST", ADD, { endpoints: [] }],
          ["POST", EDIT, { id: secret, endpoints: ["/email/send"] }],
          ["PATCH", EDIT, { id: secret }],
          ["POST", VIEW, {}],
          ["POST", REMOVE, { id: secret }]
        ]
        for (const [method, path, body] of operations) {
          const narrow = yield* sandbox.addKey({ endpoints: [path] })
          const family = yield* sandbox.addKey({ endpoints: ["/api_keys/*"] })
          const mail = yield* sandbox.addKey({ endpoints: ["/email/*", `${path}s`, path.slice(0, -1)] })
          assert.deepStrictEqual(refusal(yield* callAs(mail.secret, method, path, body)), DENIED)
          assert.strictEqual((yield* callAs(narrow.secret, method, path, body)).status, 200, `${method} ${path}`)
          if (path !== REMOVE) assert.strictEqual((yield* callAs(family.secret, method, path, body)).status, 200)
        }
      }).pipe(inProcess())
    )

    it.effect("works from the sandbox, and not when it is blocked", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey({ endpoints: ["*"], status: "sandbox", sendingStatus: "misuse" })
        assert.strictEqual((yield* callAs(secret, "POST", VIEW)).status, 200)
        yield* sandbox.setStatus(secret, "blocked")
        assert.deepStrictEqual(refusal(yield* callAs(secret, "POST", VIEW)), REJECTED)
        assert.deepStrictEqual(refusal(yield* callAs(secret, "POST", PERMISSIONS)), REJECTED)
        yield* call("PATCH", EDIT, { id: secret, status: "allowed" })
        assert.strictEqual((yield* callAs(secret, "POST", VIEW)).status, 200)
      }).pipe(inProcess())
    )

    const suicides: ReadonlyArray<readonly [string, HttpMethod.HttpMethod, string, Record<string, unknown>, unknown]> =
      [
        ["blocks", "PATCH", EDIT, { status: "blocked" }, REJECTED],
        ["narrows", "PATCH", EDIT, { endpoints: ["/email/send"] }, DENIED],
        ["narrows by the full edit", "POST", EDIT, { description: "Manager" }, DENIED],
        ["removes", "POST", REMOVE, {}, REJECTED]
      ]
    for (const [name, method, path, fields, expected] of suicides) {
      it.effect(`locks itself out when it ${name} itself`, () =>
        Effect.gen(function* () {
          const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
          const other = yield* sandbox.addKey()
          assert.strictEqual((yield* call(method, path, { id: MANAGER, ...fields })).status, 200)
          assert.deepStrictEqual(refusal(yield* call("PATCH", EDIT, { id: MANAGER, status: "allowed" })), expected)
          assert.deepStrictEqual(refusal(yield* call("POST", REMOVE, { id: other.secret })), expected)
          assert.isTrue(yield* sandbox.isLive(other.secret))
        }).pipe(inProcess())
      )
    }

    it.effect("can be blocked and then freed by a second one", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const second = yield* sandbox.addKey({ endpoints: ["/api_keys/*"] })
        yield* callAs(second.secret, "PATCH", EDIT, { id: MANAGER, status: "blocked" })
        assert.deepStrictEqual(refusal(yield* call("POST", VIEW)), REJECTED)
        yield* callAs(second.secret, "PATCH", EDIT, { id: MANAGER, status: "allowed" })
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
      }).pipe(inProcess())
    )

    it.effect("can be replaced by someone else", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        assert.strictEqual(Redacted.value(sandbox.credential), SECRET)
        assert.strictEqual((yield* callAs(SECRET, "POST", VIEW)).status, 200)
        yield* sandbox.setCredential(ABSENT)
        assert.deepStrictEqual(refusal(yield* callAs(SECRET, "POST", VIEW)), REJECTED)
        assert.strictEqual((yield* callAs(ABSENT, "POST", VIEW)).status, 200)
        assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", REMOVE, { id: ABSENT })), DENIED)
        const [only, ...rest] = yield* sandbox.keys
        assert.deepStrictEqual(
          [only?.secret, only?.username, only?.endpoints, rest],
          [ABSENT, "api-api_test_abs", [VIEW], []]
        )
        yield* sandbox.setCredential(ABSENT)
        yield* sandbox.removeKey(ABSENT)
        yield* sandbox.setCredential(SECRET)
        assert.strictEqual((yield* callAs(SECRET, "POST", VIEW)).status, 200)
        const { secret } = yield* sandbox.addKey({ endpoints: ["*"] })
        yield* sandbox.setCredential(secret)
        assert.deepStrictEqual(
          (yield* sandbox.keys).map((key) => key.secret),
          [secret]
        )
      }).pipe(inProcess({ credential: SECRET, credentialEndpoints: [VIEW] }))
    )
  })

  describe("subaccounts", () => {
    it.effect("are apart", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const sub = { subaccount_id: "sub-1" }
        const secret = secretIn(yield* call("POST", ADD, sub))
        assert.strictEqual((yield* keyOf(secret)).subaccountId, "sub-1")
        assert.lengthOf(dataOf(yield* call("POST", VIEW, sub)), 1)
        assert.lengthOf(dataOf(yield* call("POST", VIEW)), 1)
        assert.lengthOf(dataOf(yield* call("POST", VIEW, { subaccount_id: "sub-2" })), 0)
        for (const [method, path] of [
          ["PATCH", EDIT],
          ["POST", EDIT],
          ["POST", REMOVE]
        ] as const) {
          assert.deepStrictEqual(refusal(yield* call(method, path, { id: secret })), NOT_FOUND)
          assert.deepStrictEqual(refusal(yield* call(method, path, { id: MANAGER, ...sub })), NOT_FOUND)
        }
        assert.strictEqual((yield* call("PATCH", EDIT, { id: secret, status: "sandbox", ...sub })).status, 200)
        assert.strictEqual((yield* keyOf(secret)).status, "sandbox")
        assert.strictEqual((yield* call("POST", REMOVE, { id: secret, ...sub })).status, 200)
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("have keys that act for their own alone", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey({ endpoints: ["*"], subaccountId: "sub-1" })
        assert.lengthOf(dataOf(yield* callAs(secret, "POST", VIEW)), 1)
        assert.strictEqual((yield* callAs(secret, "POST", VIEW, { subaccount_id: "sub-1" })).status, 200)
        assert.deepStrictEqual(refusal(yield* callAs(secret, "POST", VIEW, { subaccount_id: "sub-2" })), DENIED)
        assert.strictEqual((yield* keyOf(secretIn(yield* callAs(secret, "POST", ADD)))).subaccountId, "sub-1")
      }).pipe(inProcess())
    )
  })

  // ---------------------------------------------------------------------------
  // habits
  // ---------------------------------------------------------------------------

  describe("habits", () => {
    it.effect("reject a calling key in four ways", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const blocked = yield* sandbox.addKey({ status: "blocked", endpoints: ["*"] })
        const cases = [
          ["401", REJECTED],
          ["400", [400, "E_ApiResponseCodes.API_EXCEPTION"]],
          ["403", [403, "E_ApiResponseCodes.INVALID_IN_PAYLOAD"]],
          ["500", [500, "E_ApiResponseCodes.API_EXCEPTION"]]
        ] as const
        for (const [credentialRejection, expected] of cases) {
          yield* sandbox.setHabits({ credentialRejection })
          for (const secret of [ABSENT, blocked.secret]) {
            const reply = yield* callAs(secret, "POST", VIEW)
            assert.deepStrictEqual(refusal(reply), expected)
            if (credentialRejection === "500") {
              assert.strictEqual(
                at(reply.body, "data", "error"),
                "An API User matching the passed 'api_key' was not found"
              )
            }
          }
          assert.deepStrictEqual(refusal(yield* send(bare("POST", VIEW))), expected)
        }
      }).pipe(inProcess())
    )

    it.effect("deny in two ways", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        assert.deepStrictEqual(refusal(yield* callAs(secret, "POST", VIEW)), DENIED)
        yield* sandbox.setHabits({ permissionRejection: "403" })
        assert.deepStrictEqual(refusal(yield* callAs(secret, "POST", VIEW)), [403, DENIED[1]])
      }).pipe(inProcess())
    )

    it.effect("put an error inside data, or beside it, or under a 200", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const reply = yield* call("POST", ADD, { status: "off" })
        const { request_id, data: nested, ...rest } = Object(reply.body)
        assert.match(request_id, REQUEST_ID)
        assert.deepStrictEqual([rest, Object.keys(nested)], [{}, ["error", "error_code", "field_validation_errors"]])
        yield* sandbox.setHabits({ errorShape: "flat" })
        const { request_id: _, ...flat } = Object((yield* call("POST", ADD, { status: "off" })).body)
        assert.deepStrictEqual(flat, nested)
        yield* sandbox.setHabits({ errorShape: "nested", errorsAs200: true })
        assert.deepStrictEqual(refusal(yield* call("POST", ADD, { status: "off" })), [200, NON_VALIDATING[1]])
        assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", ADD)), REJECTED)
        assert.lengthOf(yield* sandbox.keys, 1)
        assert.deepStrictEqual(
          (yield* sandbox.requests).map((request) => request.status),
          [400, 400, 200, 401]
        )
      }).pipe(inProcess())
    )

    it.effect("mask everything but what is new, or nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret, username } = yield* sandbox.addKey()
        const shown = Effect.gen(function* () {
          const replies = [
            yield* call("POST", VIEW, { id: secret }),
            yield* call("PATCH", EDIT, { id: secret }),
            yield* call("POST", EDIT, { id: secret })
          ]
          return replies.map((reply) => at(reply.body, "data", 0, "api_key"))
        })
        const masked = `${username}${"*".repeat(20)}`
        assert.deepStrictEqual(yield* shown, [masked, masked, masked])
        yield* sandbox.setHabits({ masked: false })
        assert.deepStrictEqual(yield* shown, [secret, secret, secret])
        assert.strictEqual((yield* keyOf(secretIn(yield* call("POST", ADD)))).username, "api-api_test_002")
        yield* sandbox.setHabits({ masked: true })
        assert.strictEqual((yield* keyOf(secretIn(yield* call("POST", ADD)))).username, "api-api_test_003")
      }).pipe(inProcess())
    )

    it.effect("wrap every key once more, or not", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        const requests = [
          ["POST", ADD, {}],
          ["POST", EDIT, { id: secret }],
          ["PATCH", EDIT, { id: secret }],
          ["POST", VIEW, { id: secret }],
          ["POST", PERMISSIONS, {}]
        ] as const
        for (const [method, path, body] of requests) {
          yield* sandbox.setHabits({ envelope: "plain" })
          const plain = dataOf(yield* call(method, path, body))
          yield* sandbox.setHabits({ envelope: "double" })
          const double = yield* call(method, path, body)
          const [item, ...others] = dataOf(double)
          assert.deepStrictEqual(others, [])
          assert.deepStrictEqual(Object.keys(Object(item)), ["request_id", "data"])
          assert.match(String(at(item, "request_id")), REQUEST_ID)
          assert.notStrictEqual(at(item, "request_id"), at(double.body, "request_id"))
          if (path === PERMISSIONS) assert.deepStrictEqual(at(item, "data"), plain)
          else if (path === ADD) assert.isString(at(item, "data", "api_key"))
          else assert.deepStrictEqual(at(item, "data"), plain[0])
        }
        assert.deepStrictEqual(dataOf(yield* call("POST", VIEW, { id: ABSENT })), [])
      }).pipe(inProcess())
    )

    it.effect("show all fields or some, and name and type some in two ways", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey({ ...allSettings })
        const view = Effect.gen(function* () {
          return Object(dataOf(yield* call("POST", VIEW, { id: secret }))[0])
        })
        const full = yield* view
        assert.deepStrictEqual(full, {
          api_key: "api-api_test_001********************",
          username: "api-api_test_001",
          description: "All",
          custom_rate_limit: true,
          custom_ratelimit_value: 100,
          custom_ratelimit_period: "1 hour",
          default_ratelimit_value: "0",
          default_ratelimit_period: "unlimited",
          ippool: 7,
          feedback_enabled: true,
          feedback_html: "<p>%%UNSUBSCRIBE%%</p>",
          feedback_text: "%%EMAIL%%",
          open_tracking_enabled: true,
          click_tracking_enabled: true,
          archive_enabled: true,
          audit_email: "audit@example.com",
          bounce_notifications: "drop",
          status: "sandbox",
          endpoints: ["/email/*", "/api_keys/view"]
        })
        yield* sandbox.editKey(secret, { sendingStatus: "misuse" })
        assert.deepStrictEqual(yield* view, { ...full, sending_status: "misuse" })
        yield* sandbox.setHabits({ ratelimitField: "custom_ratelimit", defaultRatelimitValue: 0 })
        const { custom_rate_limit, sending_status: _, ...other } = { ...full, sending_status: "" }
        assert.deepStrictEqual(yield* view, {
          ...other,
          custom_ratelimit: custom_rate_limit,
          default_ratelimit_value: 0,
          sending_status: "misuse"
        })
        yield* sandbox.setHabits({ fields: "subset" })
        assert.deepStrictEqual(Object.keys(yield* view), [
          "api_key",
          "description",
          "feedback_enabled",
          "feedback_html",
          "feedback_text",
          "ippool",
          "bounce_notifications",
          "status",
          "endpoints"
        ])
      }).pipe(inProcess())
    )

    it.effect("say three things of an unknown key", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret, username } = yield* sandbox.addKey()
        const before = yield* sandbox.keys
        const ids = [ABSENT, username, `${username}${"*".repeat(20)}`, `${secret} `]
        const calls = [
          ["PATCH", EDIT],
          ["POST", EDIT],
          ["POST", REMOVE]
        ] as const
        for (const id of ids) {
          for (const unknown of ["404", "400", "empty"] as const) {
            yield* sandbox.setHabits({ unknownKey: unknown, unknownView: unknown })
            for (const [method, path] of [...calls, ["POST", VIEW] as const]) {
              const reply = yield* call(method, path, { id, ...(path === EDIT ? { status: "blocked" } : {}) })
              const label = `${unknown} ${method} ${path} ${id}`
              if (unknown === "404") assert.deepStrictEqual(refusal(reply), NOT_FOUND, label)
              else if (unknown === "400") {
                assert.deepStrictEqual([refusal(reply), fieldname(reply)], [NON_VALIDATING, "id"], label)
              } else {
                const expected = path === REMOVE ? {} : []
                assert.deepStrictEqual([reply.status, at(reply.body, "data")], [200, expected], label)
              }
            }
          }
        }
        assert.deepStrictEqual(yield* sandbox.keys, before)
      }).pipe(inProcess(calm))
    )

    it.effect("answer a removal in three ways", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const removal = Effect.fnUntraced(function* (removeBody: MailerPatchSandbox.Habits["removeBody"]) {
          yield* sandbox.setHabits({ removeBody })
          const { secret } = yield* sandbox.addKey()
          const { status, text, headers } = yield* call("POST", REMOVE, { id: secret })
          return [status, text, headers["content-type"]]
        })
        const json = '{"request_id":"00000000-0000-4000-8000-000000000001","data":{}}'
        assert.deepStrictEqual(yield* removal("json"), [200, json, "application/json"])
        assert.deepStrictEqual(yield* removal("text"), [200, "Removed", "text/plain"])
        assert.deepStrictEqual(yield* removal("empty"), [200, "", undefined])
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("are options too, and stay as they are where nothing is given", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        yield* sandbox.setHabits({ masked: undefined, fields: "full" })
        const reply = yield* call("POST", VIEW)
        assert.strictEqual(at(reply.body, "data", 0, "data", "api_key"), MANAGER)
        assert.strictEqual(at(reply.body, "data", 0, "data", "username"), "api-api_test_mgr")
        assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", VIEW)), [403, INVALID[1]])
      }).pipe(
        inProcess({
          masked: false,
          envelope: "double",
          fields: "subset",
          credentialRejection: "403",
          errorShape: undefined,
          retryAfter: true
        })
      )
    )
  })

  // ---------------------------------------------------------------------------
  // limits
  // ---------------------------------------------------------------------------

  describe("the source", () => {
    it.effect("is timed out for 60 seconds by the 121st request of any 60 seconds", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 120; index++) {
          assert.strictEqual((yield* call("POST", VIEW)).status, 200, `request ${index + 1}`)
          if (index === 59) yield* TestClock.adjust("59999 millis")
        }
        const reply = yield* call("POST", ADD)
        assert.deepStrictEqual([refusal(reply), reply.headers["retry-after"]], [LIMITED, undefined])
        yield* TestClock.adjust("59999 millis")
        assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", VIEW)), LIMITED)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("counts any minute, not the clock's", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 120; index++) yield* call("POST", VIEW)
        yield* TestClock.adjust("60 seconds")
        for (let index = 0; index < 120; index++) {
          assert.strictEqual((yield* call("POST", VIEW)).status, 200, `request ${index + 1}`)
        }
      }).pipe(inProcess())
    )

    it.effect("is timed out by too many errors, whatever they are about", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        for (let index = 0; index < 7; index++) {
          assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", VIEW)), REJECTED)
          assert.deepStrictEqual(refusal(yield* call("POST", ADD, { status: 1 })), NON_VALIDATING)
          assert.deepStrictEqual(refusal(yield* call("POST", REMOVE, { id: ABSENT })), NOT_FOUND)
          assert.strictEqual((yield* call("POST", VIEW)).status, index < 6 ? 200 : 429)
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual(refusal(yield* call("POST", VIEW)), LIMITED)
        yield* TestClock.adjust("58 seconds")
        assert.deepStrictEqual(refusal(yield* call("POST", VIEW)), LIMITED)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess({ addsPerMinute: 100 }))
    )

    it.effect("may err a little in every minute", () =>
      Effect.gen(function* () {
        for (let minute = 0; minute < 3; minute++) {
          for (let index = 0; index < 20; index++) {
            assert.deepStrictEqual(refusal(yield* callAs(ABSENT, "POST", VIEW)), REJECTED)
          }
          yield* TestClock.adjust("60 seconds")
        }
      }).pipe(inProcess())
    )

    it.effect("has its own limits if a test gives them, and is told when to come back", () =>
      Effect.gen(function* () {
        yield* call("POST", VIEW)
        yield* call("POST", VIEW)
        assert.strictEqual((yield* call("POST", VIEW)).headers["retry-after"], "7")
        yield* TestClock.adjust("6001 millis")
        assert.strictEqual((yield* call("POST", VIEW)).headers["retry-after"], "1")
      }).pipe(inProcess({ requestsPerMinute: 2, timeoutSeconds: 7, retryAfter: true }))
    )

    it.effect("has no limits if they are infinite", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 300; index++) {
          assert.strictEqual(
            (yield* call("POST", index % 2 === 0 ? ADD : "/nowhere")).status,
            index % 2 === 0 ? 200 : 404
          )
        }
      }).pipe(inProcess({ addsPerMinute: Infinity, requestsPerMinute: Infinity, errorsPerMinute: Infinity }))
    )

    it.effect("can be locked out by the test", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        yield* sandbox.lockOut()
        assert.strictEqual((yield* call("POST", REMOVE, { id: secret })).headers["retry-after"], "60")
        assert.isTrue(yield* sandbox.isLive(secret))
        yield* sandbox.lockOut({ seconds: 2 })
        yield* TestClock.adjust("1001 millis")
        const reply = yield* call("GET", "/nowhere", undefined)
        assert.deepStrictEqual([reply.status, reply.headers["retry-after"]], [429, "1"])
        yield* TestClock.adjust("999 millis")
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
      }).pipe(inProcess({ retryAfter: true }))
    )

    it.effect("is not timed out any longer by trying", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        yield* sandbox.lockOut()
        for (let index = 0; index < 200; index++) yield* call("POST", VIEW)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual((yield* call("POST", VIEW)).status, 200)
      }).pipe(inProcess())
    )
  })

  // ---------------------------------------------------------------------------
  // any request
  // ---------------------------------------------------------------------------

  describe("any request", () => {
    it.effect("gets an answer", () =>
      Effect.gen(function* () {
        const paths = [
          "/",
          "/api_keys",
          "/api_keys/patch",
          `${VIEW}/`,
          "/constructor",
          "/email/send",
          "//api_keys/view"
        ]
        for (const path of paths) assert.strictEqual((yield* call("POST", path)).status, 404, path)
        const outside = HttpClientRequest.post("https://api.smtp2go.com/api_keys/view")
        assert.strictEqual((yield* send(withKey(outside))).status, 404)
        assert.strictEqual((yield* send(withKey(HttpClientRequest.post("https://api.smtp2go.com")))).status, 404)
        const methods: ReadonlyArray<readonly [HttpMethod.HttpMethod, string]> = [
          ["PATCH", ADD],
          ["GET", VIEW],
          ["GET", EDIT],
          ["PUT", EDIT],
          ["DELETE", REMOVE],
          ["PATCH", REMOVE],
          ["GET", PERMISSIONS]
        ]
        for (const [method, path] of methods) {
          assert.strictEqual((yield* send(withKey(bare(method, path)))).status, 405, `${method} ${path}`)
        }
        assert.strictEqual((yield* call("POST", `${VIEW}?x=1`)).status, 200)
      }).pipe(inProcess(calm))
    )

    it.effect("must be a JSON object, and be called one", () =>
      Effect.gen(function* () {
        const post = withKey(bare("POST", VIEW))
        const text = (body: string, type: string) => send(HttpClientRequest.bodyText(post, body, type))
        for (const type of ["application/json", "application/json; charset=utf-8", "Application/JSON"]) {
          assert.strictEqual((yield* text("{}", type)).status, 200, type)
        }
        for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]) {
          assert.deepStrictEqual(refusal(yield* text("{}", type)), INVALID, type)
        }
        const json = "application/json"
        for (const body of [
          "{",
          "id=a",
          '{"id":"a"',
          "\u0000",
          "[".repeat(100_000),
          "[]",
          '"x"',
          "1",
          "null",
          "[{}]"
        ]) {
          assert.deepStrictEqual(refusal(yield* text(body, json)), INVALID, body.slice(0, 20))
        }
        const bytes = new Uint8Array([0xff, 0xfe, 0x00, 0x7b])
        assert.strictEqual((yield* send(HttpClientRequest.bodyUint8Array(post, bytes))).status, 400)
        assert.strictEqual((yield* text(`{"__proto__":{"id":"${ABSENT}"}}`, json)).status, 200)
      }).pipe(inProcess(calm))
    )

    it.effect("must not be larger than a megabyte", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const overhead = JSON.stringify({ description: "" }).length
        const exact = { description: "a".repeat(1_000_000 - overhead) }
        assert.strictEqual((yield* call("POST", ADD, exact)).status, 200)
        assert.strictEqual((yield* call("POST", ADD, { description: `${exact.description}a` })).status, 413)
        assert.strictEqual((yield* call("POST", ADD, { description: "é".repeat(600_000) })).status, 413)
        assert.lengthOf(yield* sandbox.keys, 2)
      }).pipe(inProcess())
    )

    it.effect("is recorded with its region and its answer, and without the credential", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        for (const server of servers) {
          const view = HttpClientRequest.bodyJsonUnsafe(withKey(HttpClientRequest.post(`${server}${VIEW}?x=1`)), {})
          assert.strictEqual((yield* send(HttpClientRequest.setHeader(view, "x-mine", "1"))).status, 200)
        }
        yield* TestClock.adjust("3 seconds")
        yield* send(HttpClientRequest.bodyJsonUnsafe(bare("POST", VIEW), { api_key: MANAGER, search: "a" }))
        yield* send(HttpClientRequest.bodyText(HttpClientRequest.bearerToken(bare("PATCH", EDIT), MANAGER), "{", "a/b"))
        const requests = yield* sandbox.requests
        const path = "/v3/api_keys/view?x=1"
        assert.deepStrictEqual(
          requests.map(({ headers: _, ...rest }) => rest),
          [
            ...["api", "us-api", "eu-api", "au-api"].map((region) => ({
              method: "POST",
              url: `https://${region}.smtp2go.com${path}`,
              host: `${region}.smtp2go.com`,
              path,
              body: {},
              credentials: ["header" as const],
              status: 200,
              at: 0
            })),
            {
              method: "POST",
              url: `${BASE}${VIEW}`,
              host: "api.smtp2go.com",
              path: "/v3/api_keys/view",
              body: { search: "a" },
              credentials: ["body"],
              status: 200,
              at: 3000
            },
            {
              method: "PATCH",
              url: `${BASE}${EDIT}`,
              host: "api.smtp2go.com",
              path: "/v3/api_keys/edit",
              body: undefined,
              credentials: ["bearer"],
              status: 400,
              at: 3000
            }
          ]
        )
        assert.strictEqual(requests[0]?.headers["content-type"], "application/json")
        assert.strictEqual(requests[0]?.headers["x-mine"], "1")
        assert.notInclude(JSON.stringify(requests), MANAGER)
      }).pipe(inProcess())
    )

    it.effect("can be made to fail, one at a time, and then does nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        for (const status of [500, 503, 402, 400, 429]) yield* sandbox.failNext(status)
        const EXCEPTION = "E_ApiResponseCodes.API_EXCEPTION"
        for (const expected of [[500, EXCEPTION], [503, EXCEPTION], [402, EXCEPTION], DENIED, LIMITED]) {
          assert.deepStrictEqual(refusal(yield* call("POST", ADD)), expected)
        }
        assert.lengthOf(yield* sandbox.keys, 1)
        assert.strictEqual((yield* call("POST", ADD)).status, 200)
        yield* sandbox.setHabits({ errorShape: "flat", retryAfter: true })
        yield* sandbox.failNext(429)
        const reply = yield* call("POST", ADD)
        assert.deepStrictEqual(
          [reply.status, reply.headers["retry-after"], at(reply.body, "error_code")],
          [429, "60", LIMITED[1]]
        )
      }).pipe(inProcess())
    )

    it.effect("gets a request id of its own", () =>
      Effect.gen(function* () {
        const replies = [
          yield* call("POST", VIEW),
          yield* callAs(ABSENT, "POST", VIEW),
          yield* call("POST", "/nowhere"),
          yield* call("POST", PERMISSIONS)
        ]
        const ids = replies.map((reply) => String(at(reply.body, "request_id")))
        for (const id of ids) assert.match(id, REQUEST_ID)
        assert.strictEqual(new Set(ids).size, replies.length)
      }).pipe(inProcess())
    )
  })

  describe("test's hands", () => {
    it.effect("make, change and remove keys", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const key = yield* sandbox.addKey({ description: "Mine", status: "a-status-of-tomorrow" })
        assert.deepStrictEqual(key, {
          ...defaults,
          description: "Mine",
          status: "a-status-of-tomorrow",
          secret: "api-api_test_001fakefakefakefakef001",
          username: "api-api_test_001"
        })
        assert.deepStrictEqual(yield* sandbox.editKey(key.secret, { ipPool: 3 }), { ...key, ipPool: 3 })
        const other = yield* sandbox.addKey({ secret: SECRET })
        assert.deepInclude(other, { username: "api-api_test_000", description: "Sandbox key" })
        yield* sandbox.removeKey(key.secret)
        yield* sandbox.removeKey(ABSENT)
        assert.deepStrictEqual(
          (yield* sandbox.keys).map((one) => one.secret),
          [MANAGER, SECRET]
        )
      }).pipe(inProcess())
    )

    it.effect("tell which key sends", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const { secret } = yield* sandbox.addKey()
        for (const [status, live] of [
          ["blocked", false],
          ["sandbox", false],
          ["a-status-of-tomorrow", false],
          ["allowed", true]
        ] as const) {
          yield* sandbox.setStatus(secret, status)
          assert.strictEqual(yield* sandbox.isLive(secret), live, status)
        }
        for (const [sendingStatus, live] of [
          ["blocked", false],
          [true, false],
          [{}, false],
          ["allowed", true],
          [null, true]
        ] as const) {
          yield* sandbox.editKey(secret, { sendingStatus })
          assert.strictEqual(yield* sandbox.isLive(secret), live, String(sendingStatus))
        }
        assert.isTrue(yield* sandbox.isLive(MANAGER))
      }).pipe(inProcess())
    )

    it.effect("are told when a test is wrong", () =>
      Effect.gen(function* () {
        const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
        const exits = [
          yield* Effect.exit(sandbox.addKey({ secret: MANAGER })),
          yield* Effect.exit(sandbox.setStatus(ABSENT, "allowed")),
          yield* Effect.exit(sandbox.editKey(ABSENT, {}))
        ]
        assert.deepStrictEqual(
          exits.map((exit) => exit._tag),
          ["Failure", "Failure", "Failure"]
        )
      }).pipe(inProcess())
    )

    it.effect("hold one vendor a layer", () =>
      Effect.gen(function* () {
        const one = yield* MailerPatchSandbox.make()
        const other = yield* MailerPatchSandbox.make()
        yield* one.addKey()
        assert.deepStrictEqual([(yield* one.keys).length, (yield* other.keys).length], [2, 1])
      })
    )
  })
})

// -----------------------------------------------------------------------------
// the vendor's documents
// -----------------------------------------------------------------------------

// The documents are not part of the repository; where they lie beside it, the examples are held against them.
const documents = new URL("../../../../shared/vendor/", import.meta.url)
const PAGE = "smtp2go-patch-key.md"
const OPENAPI = "smtp2go-api-keys.openapi.json"
const absent = !existsSync(new URL(PAGE, documents))
const byName = (name: string) => (absent ? `${name} (the vendor's documents are not at hand)` : name)
const read = (name: string) => readFileSync(new URL(name, documents), "utf8")

const fakeKeys = (text: string): string => text.replaceAll("api-000000000", "api-api_test_").replaceAll("&ast;", "*")

const keysOf = (value: unknown): ReadonlyArray<string> =>
  typeof value === "object" && value !== null ? Object.keys(value) : []

/** What the properties of an object schema have under this name, as one object. */
const collect = (schema: unknown, name: "example" | "default"): Record<string, unknown> =>
  Object.fromEntries(
    keysOf(at(schema, "properties"))
      .map((key) => [key, at(schema, "properties", key, name)] as const)
      .filter(([, value]) => value !== undefined)
  )

const JSON_BODY = ["content", "application/json"] as const

describe("the vendor's documents", () => {
  it.skipIf(absent)(byName(OPENAPI), () => {
    const openapi: unknown = JSON.parse(fakeKeys(read(OPENAPI)))
    const operations = keysOf(at(openapi, "paths")).flatMap((path) =>
      keysOf(at(openapi, "paths", path)).map((method) => {
        const operation = at(openapi, "paths", path, method)
        const replied = at(operation, "responses", "200", ...JSON_BODY)
        const item = at(replied, "schema", "properties", "data", "items")
        const fields = collect(at(item, "properties", "data"), "example")
        return {
          method: method.toUpperCase(),
          path,
          statuses: keysOf(at(operation, "responses")),
          request: collect(at(operation, "requestBody", ...JSON_BODY, "schema"), "example"),
          defaults: collect(at(operation, "requestBody", ...JSON_BODY, "schema"), "default"),
          response: at(replied, "examples", "Result", "value"),
          fields: keysOf(fields).length === 0 ? undefined : fields,
          envelope: [
            at(replied, "schema", "properties", "request_id", "example"),
            at(item, "properties", "request_id", "example")
          ],
          refusal: at(operation, "responses", "400", ...JSON_BODY, "examples", "Result", "value")
        }
      })
    )
    assert.lengthOf(operations, 6)
    assert.deepStrictEqual(
      vendorExamples.map((example) => `${example.method} ${example.path}`).sort(),
      operations.map((operation) => `${operation.method} ${operation.path}`).sort()
    )
    for (const operation of operations) {
      const label = `${operation.method} ${operation.path}`
      const example = vendorExamples.find((one) => `${one.method} ${one.path}` === label)
      assert.deepStrictEqual(example?.request, operation.request, label)
      assert.deepStrictEqual<unknown>(example?.response, operation.response, label)
      assert.deepStrictEqual(example?.fields, operation.fields, label)
      assert.deepStrictEqual(example?.refusal, operation.refusal, label)
      assert.deepStrictEqual(operation.statuses, ["200", "400"], label)
      if (operation.fields !== undefined) {
        assert.deepStrictEqual(operation.envelope, [schemaEnvelope.request_id, schemaEnvelope.item.request_id], label)
      }
      if (label === `POST ${ADD}` || label === `POST ${EDIT}`) {
        assert.deepStrictEqual<unknown>(operation.defaults, fullDefaults, label)
      } else {
        assert.isTrue(Object.values(operation.defaults).every((value) => value === null))
      }
    }
    const addresses = at(openapi, "servers")
    assert.deepStrictEqual(Array.isArray(addresses) ? addresses.map((server) => at(server, "url")) : [], servers)
  })

  it.skipIf(absent)(byName(PAGE), () => {
    const page = fakeKeys(read(PAGE))
    const quoted = (line: string | undefined, quote: string) =>
      (line ?? "").split(quote).filter((_, index) => index % 2 === 1)
    const lines = page.split("\n")
    assert.deepStrictEqual(
      quoted(
        lines.find((line) => line.startsWith("Examples:")),
        '"'
      ),
      periods
    )
    assert.deepStrictEqual(
      quoted(
        lines.find((line) => line.includes("'sandbox'")),
        "'"
      ),
      statuses
    )
    assert.deepStrictEqual(
      Array.from(page.matchAll(/\["[^\]]*"\]/g), ([list]): unknown => JSON.parse(list)),
      patterns
    )
  })

  it("defaults are what an empty add makes", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const reply = yield* call("POST", ADD)
        assert.deepInclude(dataOf(reply)[0], fullDefaults)
      }).pipe(inProcess())
    ))
})
