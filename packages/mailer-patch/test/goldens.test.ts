import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as MailerPatchClient from "../src/MailerPatchClient.ts"
import type * as Wire from "../src/MailerPatchSchema.ts"
import {
  MASKED,
  periods,
  SECRET,
  schemaEnvelope,
  servers,
  statuses,
  USERNAME,
  type VendorExample,
  vendorExamples
} from "./vendorExamples.ts"

type Client = MailerPatchClient.MailerPatchClient["Service"]
type EditRequest = Parameters<Client["edit"]>[0]

const MANAGER = "api-api_test_manager0000000000000000"

/** Our names for the vendor's parameters, all but `id` and `subaccount_id`. */
const ours: Readonly<Record<string, string>> = {
  description: "description",
  custom_ratelimit: "customRatelimit",
  custom_ratelimit_value: "customRatelimitValue",
  custom_ratelimit_period: "customRatelimitPeriod",
  ip_pool: "ipPool",
  feedback_enabled: "feedbackEnabled",
  feedback_html: "feedbackHtml",
  feedback_text: "feedbackText",
  open_tracking_enabled: "openTrackingEnabled",
  click_tracking_enabled: "clickTrackingEnabled",
  archive_enabled: "archiveEnabled",
  audit_email: "auditEmail",
  bounce_notifications: "bounceNotifications",
  status: "status",
  endpoints: "endpoints"
}

/** The 17 parameters of "Patch an API key", each with a value that the page admits. */
const allParameters = {
  id: SECRET,
  description: "test api key",
  custom_ratelimit: true,
  custom_ratelimit_value: 123,
  custom_ratelimit_period: "4 months 5:00:00",
  ip_pool: 1234,
  feedback_enabled: true,
  feedback_html: "<p>%%UNSUBSCRIBE%% %%EMAIL%%</p>",
  feedback_text: "%%UNSUBSCRIBE%% %%EMAIL%%",
  open_tracking_enabled: true,
  click_tracking_enabled: false,
  archive_enabled: true,
  audit_email: "audit@acme.example",
  bounce_notifications: "bounces@acme.example",
  status: "sandbox",
  endpoints: ["/email/*", "/stats/email_summary"],
  subaccount_id: "api_test_subaccount"
}

/** A vendor that records what comes and answers as the page says. */
const recorder = (status: number, reply: unknown) => {
  const sent: Array<{ readonly request: HttpClientRequest.HttpClientRequest; readonly body: unknown }> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      const { body } = request
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "null"
      sent.push({ request, body: JSON.parse(text) })
      return HttpClientResponse.fromWeb(request, new Response(JSON.stringify(reply), { status }))
    })
  )
  return { sent, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const withClient = <A, E>(
  layer: Layer.Layer<HttpClient.HttpClient>,
  use: (client: Client) => Effect.Effect<A, E>,
  options: Partial<MailerPatchClient.Options> = {}
) =>
  Effect.gen(function* () {
    const client = yield* MailerPatchClient.make({ apiKey: Redacted.make(MANAGER), retry: false, ...options })
    return yield* use(client)
  }).pipe(Effect.scoped, Effect.provide(layer))

const toOurs = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([field]) => field !== "id" && field !== "subaccount_id")
      .map(([field, value]) => [ours[field], value])
  )

/** The call of the client that says what a body says. */
const callFor = (
  client: Client,
  path: string,
  body: Readonly<Record<string, unknown>>
): Effect.Effect<unknown, ApiKeyError> => {
  const id = Redacted.make(Predicate.isString(body.id) ? body.id : SECRET)
  switch (path) {
    case "/api_keys/add":
      // The documented values, by our names: their types are the subject of other tests.
      return Effect.flatMap(client.add(toOurs(body) as Parameters<Client["add"]>[0]), ({ send }) => send)
    case "/api_keys/edit":
      return client.edit({ id, ...toOurs(body) } as EditRequest)
    case "/api_keys/view":
      return "id" in body ? client.view(id) : client.list()
    case "/api_keys/remove":
      return client.remove(id)
    default:
      return client.permissions
  }
}

/** The documented request, and what the vendor's own notes make of it: value and period are dropped without the switch. */
const sayable = ({ also = {}, request }: VendorExample): Readonly<Record<string, unknown>> => {
  const body = { ...request, ...also }
  return "custom_ratelimit_period" in body ? { ...body, custom_ratelimit: true, custom_ratelimit_value: 123 } : body
}

// POST to `/api_keys/edit` resets what it does not name: the client has no call for it.
const spoken = vendorExamples.filter(({ method, path }) => !(method === "POST" && path === "/api_keys/edit"))
const titleOf = ({ method, path }: VendorExample) => `${method} ${path}`

const none = Option.none()
const some = Option.some
/** The key of the examples, as it reads. */
const exampleKey = {
  username: some(USERNAME),
  description: some("test api key"),
  customRatelimit: none,
  customRatelimitValue: none,
  customRatelimitPeriod: none,
  ipPool: some(1234),
  feedbackEnabled: some(true),
  feedbackHtml: some("test_html"),
  feedbackText: some("test_text"),
  openTrackingEnabled: none,
  clickTrackingEnabled: none,
  archiveEnabled: none,
  auditEmail: none,
  bounceNotifications: some("from"),
  status: "allowed",
  endpoints: some(["/email/send"]),
  sendingStatus: none,
  unreadable: []
}

const assertKey = (read: unknown, expected: Readonly<Record<string, unknown>>, secret?: string) => {
  assert(Predicate.isObject(read))
  const { key, ...rest } = read
  assert.deepStrictEqual(rest, expected)
  assert(Option.isOption(key))
  assert.strictEqual(
    Option.getOrUndefined(Option.map(key, (value) => (Redacted.isRedacted(value) ? Redacted.value(value) : undefined))),
    secret
  )
}

describe("the vendor's requests, as the client sends them", () => {
  for (const example of spoken) {
    it.effect(`${titleOf(example)}`, () =>
      Effect.gen(function* () {
        const { layer, sent } = recorder(200, example.response ?? { request_id: "1", data: {} })
        const body = sayable(example)
        yield* withClient(layer, (client) => callFor(client, example.path, body))
        const [first, ...others] = sent
        assert(first !== undefined && others.length === 0, "exactly one request")
        const { request } = first
        assert.strictEqual(request.method, example.method)
        assert.strictEqual(request.url, `https://api.smtp2go.com/v3${example.path}`)
        assert.strictEqual(request.headers["x-smtp2go-api-key"], MANAGER)
        assert.isUndefined(request.headers.authorization)
        assert(request.body._tag === "Uint8Array")
        assert.match(request.body.contentType, /^application\/json/)
        assert.deepStrictEqual(first.body, body)
      })
    )
  }

  it.effect("a list sends no id, and a search its word", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [] })
      yield* withClient(layer, (client) => Effect.andThen(client.list(), client.list({ search: "acme" })))
      assert.deepStrictEqual(
        sent.map(({ body }) => body),
        [{}, { search: "acme" }]
      )
    })
  )

  it.effect("the 17 parameters of PATCH /api_keys/edit go out under their exact names", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [{ api_key: MASKED }] })
      yield* withClient(layer, (client) => callFor(client, "/api_keys/edit", allParameters), {
        subaccount: allParameters.subaccount_id
      })
      assert.lengthOf(Object.keys(allParameters), 17)
      assert.deepStrictEqual(sent[0]?.body, allParameters)
    })
  )

  it.effect("the 16 of POST /api_keys/add too, all but the id", () =>
    Effect.gen(function* () {
      const { id: _, ...parameters } = allParameters
      const { layer, sent } = recorder(200, { data: [{ api_key: SECRET }] })
      yield* withClient(layer, (client) => callFor(client, "/api_keys/add", parameters), {
        subaccount: allParameters.subaccount_id
      })
      assert.deepStrictEqual(sent[0]?.body, parameters)
    })
  )

  for (const [field, value] of Object.entries(allParameters)) {
    if (field === "id" || field === "subaccount_id" || field.startsWith("custom_ratelimit")) continue
    it.effect(`${field} alone is sent alone`, () =>
      Effect.gen(function* () {
        const { layer, sent } = recorder(200, { data: [{ api_key: MASKED }] })
        yield* withClient(layer, (client) => callFor(client, "/api_keys/edit", { id: SECRET, [field]: value }))
        assert.deepStrictEqual(sent[0]?.body, { id: SECRET, [field]: value })
      })
    )
  }

  it.effect("every period and status that the page shows is taken", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [{ api_key: MASKED }] })
      const limit = { custom_ratelimit: true, custom_ratelimit_value: 1 }
      const bodies = [
        ...periods.map((period) => ({ id: SECRET, ...limit, custom_ratelimit_period: period })),
        ...statuses.map((status) => ({ id: SECRET, status })),
        ...["from", "drop", "bounces@acme.example"].map((to) => ({ id: SECRET, bounce_notifications: to }))
      ]
      yield* withClient(
        layer,
        (client) => Effect.forEach(bodies, (body) => callFor(client, "/api_keys/edit", body), { discard: true }),
        { rateLimit: false }
      )
      assert.deepStrictEqual(
        sent.map(({ body }) => body),
        bodies
      )
    })
  )

  it.effect("a limit that the vendor would drop in silence is refused, and so is what it does not know", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [{ api_key: MASKED }] })
      for (const limit of [
        { customRatelimitValue: 5 },
        { customRatelimitPeriod: "1 hour" },
        { customRatelimitValue: 5, customRatelimitPeriod: "1 hour" },
        { customRatelimit: false, customRatelimitValue: 5, customRatelimitPeriod: "1 hour" },
        { customRatelimit: true },
        { customRatelimit: true, customRatelimitValue: 5 },
        { customRatelimit: true, customRatelimitPeriod: "1 hour" },
        { customRatelimit: true, customRatelimitValue: 0, customRatelimitPeriod: "1 hour" },
        { customRatelimit: true, customRatelimitValue: 1.5, customRatelimitPeriod: "1 hour" },
        { customRatelimit: true, customRatelimitValue: 5, customRatelimitPeriod: "" },
        { ipPool: 0 },
        { ippool: 1 },
        { endpoints: [] },
        { endpoints: [""] },
        { bounceNotifications: "" },
        { status: "suspended" },
        { description: null },
        { subaccountId: "" },
        { api_key: "x" }
      ]) {
        const error = yield* Effect.flip(
          withClient(layer, (client) => client.edit({ id: Redacted.make(SECRET), ...limit } as EditRequest), {})
        )
        assert.strictEqual(error.reason._tag, "InvalidRequest", JSON.stringify(limit))
      }
      for (const id of [USERNAME, MASKED, "", "api-", "sk_api_test_0000000000000000000000"]) {
        const error = yield* Effect.flip(
          withClient(layer, (client) => client.edit({ id: Redacted.make(id), description: "x" }))
        )
        assert.strictEqual(error.reason._tag, "InvalidRequest", id)
      }
      assert.deepStrictEqual(sent, [])
    })
  )

  it.effect("five endpoints are all that the client knows: POST /api_keys/edit is not among them", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [{ api_key: SECRET }] })
      yield* withClient(layer, (client) =>
        Effect.gen(function* () {
          for (const example of spoken) yield* Effect.exit(callFor(client, example.path, sayable(example)))
          assert.sameMembers(Object.keys(client), [
            "account",
            "add",
            "edit",
            "isOwn",
            "list",
            "permissions",
            "verify",
            "ref",
            "remove",
            "view"
          ])
        })
      )
      const seen = new Set(sent.map(({ request }) => `${request.method} ${request.url.slice(servers[0]?.length)}`))
      assert.deepStrictEqual(
        seen,
        new Set([
          "PATCH /api_keys/edit",
          ...["add", "view", "remove", "permissions"].map((name) => `POST /api_keys/${name}`)
        ])
      )
    })
  )

  it.effect("the regions are the vendor's servers", () =>
    Effect.gen(function* () {
      const { layer, sent } = recorder(200, { data: [] })
      for (const region of ["global", "us", "eu", "au"] as const) {
        yield* withClient(layer, (client) => client.list(), { region })
      }
      assert.deepStrictEqual(
        sent.map(({ request }) => request.url),
        servers.map((server) => `${server}/api_keys/view`)
      )
    })
  )
})

describe("the vendor's replies, as the client reads them", () => {
  for (const example of spoken) {
    const { response } = example
    if (response === undefined || example.path === "/api_keys/permissions") continue
    const [key] = response.data
    assert(Predicate.isObject(key))
    const description = some(key.description)
    const secret = example.path === "/api_keys/add" ? SECRET : undefined
    const shapes: Readonly<Record<string, unknown>> = {
      "the example": response,
      "one object in place of an array": { ...response, data: key },
      "the schema's envelope": {
        request_id: schemaEnvelope.request_id,
        data: [{ ...schemaEnvelope.item, data: key }]
      },
      "the schema's envelope, once": {
        request_id: schemaEnvelope.request_id,
        data: { ...schemaEnvelope.item, data: key }
      }
    }
    for (const [shape, reply] of Object.entries(shapes)) {
      it.effect(`${titleOf(example)}: ${shape}`, () =>
        Effect.gen(function* () {
          const { layer } = recorder(200, reply)
          const read = yield* withClient(layer, (client) => callFor(client, example.path, sayable(example)))
          // A whole key is its own name: the example of `add` shows no username.
          const username = secret === undefined ? exampleKey.username : none
          assertKey(read, { ...exampleKey, username, description }, secret)
        })
      )
    }

    it.effect(`${titleOf(example)}: every field of the schema`, () =>
      Effect.gen(function* () {
        const { layer } = recorder(200, {
          ...schemaEnvelope,
          data: [{ ...schemaEnvelope.item, data: example.fields }]
        })
        const read = yield* withClient(layer, (client) => callFor(client, example.path, sayable(example)))
        const limit = {
          customRatelimit: some(true),
          customRatelimitValue: some(123),
          customRatelimitPeriod: some("0:30:00")
        }
        const unseen = {
          description: none,
          feedbackEnabled: none,
          feedbackHtml: none,
          feedbackText: none,
          bounceNotifications: none,
          status: "unknown",
          endpoints: none
        }
        assertKey(read, { ...exampleKey, ...limit, ...unseen }, secret)
      })
    )
  }

  it.effect("the list of the example", () =>
    Effect.gen(function* () {
      const example = vendorExamples.find(({ path }) => path === "/api_keys/view")
      const { layer } = recorder(200, example?.response)
      const [key, ...others] = yield* withClient(layer, (client) => client.list())
      assertKey(key, { ...exampleKey, description: some("test api key again") })
      assert.deepStrictEqual(others, [])
    })
  )

  it.effect("the permissions of the example, and of the schema's envelope", () =>
    Effect.gen(function* () {
      const example = vendorExamples.find(({ path }) => path === "/api_keys/permissions")
      assert(example?.response !== undefined)
      const { data } = example.response
      for (const reply of [
        example.response,
        { request_id: schemaEnvelope.request_id, data: [{ ...schemaEnvelope.item, data }] }
      ]) {
        const { layer } = recorder(200, reply)
        assert.deepStrictEqual(yield* withClient(layer, (client) => client.permissions), [
          "/email/send",
          "/api_keys/view"
        ])
      }
    })
  )

  it.effect("a field's two spellings are read, and null is shown as not set", () =>
    Effect.gen(function* () {
      const rows: ReadonlyArray<readonly [Readonly<Record<string, unknown>>, Partial<Wire.MailerPatchKey>]> = [
        [{ ippool: 1 }, { ipPool: some(1) }],
        [{ ip_pool: 2 }, { ipPool: some(2) }],
        [{ ippool: null }, { ipPool: some(null) }],
        [{ ippool: "3" }, { ipPool: some(3) }],
        [{ custom_rate_limit: false }, { customRatelimit: some(false) }],
        [{ custom_ratelimit: true }, { customRatelimit: some(true) }],
        [{ custom_rate_limit: 1 }, { customRatelimit: some(true) }],
        [{ custom_ratelimit_value: "5" }, { customRatelimitValue: some(5) }],
        [{ custom_ratelimit_value: null }, { customRatelimitValue: none }],
        [{ custom_rate_limit_value: 5 }, { customRatelimitValue: some(5) }],
        [{ custom_rate_limit_period: "1 hour" }, { customRatelimitPeriod: some("1 hour") }],
        [{ audit_email: null }, { auditEmail: some(null) }],
        [{ description: null }, { description: some(null) }],
        [{ feedback_html: "" }, { feedbackHtml: some("") }],
        [{ feedback_enabled: null }, { feedbackEnabled: some(false) }],
        [{ endpoints: [] }, { endpoints: some([]) }],
        [{ endpoints: ["/email/send", 7] }, { endpoints: none }],
        [{ endpoints: null }, { endpoints: none }],
        [{ status: 7 }, { status: "unknown" }],
        [{ sending_status: "blocked" }, { sendingStatus: some("blocked") }],
        [{ username: SECRET }, { username: none }],
        // Shown, and in a form that cannot be read; or in two that disagree.
        [{ ippool: 0 }, { ipPool: some(null), unreadable: [] }],
        [
          { ippool: 0, ip_pool: null },
          { ipPool: some(null), unreadable: [] }
        ],
        [
          { ippool: 1, ip_pool: "1" },
          { ipPool: some(1), unreadable: [] }
        ],
        [
          { ippool: 1, ip_pool: 2 },
          { ipPool: none, unreadable: ["ipPool"] }
        ],
        [
          { ippool: 1, ip_pool: "x" },
          { ipPool: none, unreadable: ["ipPool"] }
        ],
        [{ custom_rate_limit: "true" }, { customRatelimit: some(true), unreadable: [] }],
        [
          { custom_rate_limit: "0", custom_ratelimit: false },
          { customRatelimit: some(false), unreadable: [] }
        ],
        [
          { custom_rate_limit: true, custom_ratelimit: 0 },
          { customRatelimit: none, unreadable: ["customRatelimit"] }
        ],
        [{ custom_rate_limit: null }, { customRatelimit: none, unreadable: ["customRatelimit"] }],
        [{ custom_ratelimit_value: 1.5 }, { customRatelimitValue: none, unreadable: ["customRatelimitValue"] }],
        [{ custom_ratelimit_value: 2 ** 53 }, { customRatelimitValue: none, unreadable: ["customRatelimitValue"] }],
        [{ custom_ratelimit_period: 7 }, { customRatelimitPeriod: none, unreadable: ["customRatelimitPeriod"] }],
        [{ open_tracking_enabled: null }, { openTrackingEnabled: some(false), unreadable: [] }],
        [{ click_tracking_enabled: "perhaps" }, { clickTrackingEnabled: none, unreadable: ["clickTrackingEnabled"] }],
        [{ description: 7 }, { description: none, unreadable: ["description"] }],
        [{ status: null }, { status: "unknown", unreadable: ["status"] }],
        [{ endpoints: "*" }, { endpoints: none, unreadable: ["endpoints"] }],
        [{}, { endpoints: none, status: "unknown", unreadable: [] }]
      ]
      for (const [row, expected] of rows) {
        const { layer } = recorder(200, { data: [row] })
        const [key] = yield* withClient(layer, (client) => client.list())
        assert(key !== undefined)
        const { key: _, ...rest } = key
        assert.deepInclude(rest, expected, JSON.stringify(row))
      }
    })
  )
})

describe("the vendor's refusals", () => {
  for (const example of spoken) {
    it.effect(`${titleOf(example)}: ENDPOINT_PERMISSION_DENIED`, () =>
      Effect.gen(function* () {
        const { layer } = recorder(400, example.refusal)
        const exit = yield* withClient(layer, (client) => Effect.exit(callFor(client, example.path, sayable(example))))
        assert(Exit.isFailure(exit))
        const error = yield* Effect.flip(exit)
        assert(error instanceof ApiKeyError)
        assert.strictEqual(error.reason._tag, "PermissionDenied")
        assert.deepStrictEqual(error.http, { method: example.method, path: example.path, status: 400 })
        assert.notInclude(JSON.stringify(error), "You do not have permission", "the vendor's text")
      })
    )
  }

  it("cover every documented endpoint but the one that is not used", () => {
    assert.deepStrictEqual(vendorExamples.filter((example) => !spoken.includes(example)).map(titleOf), [
      "POST /api_keys/edit"
    ])
    assert.lengthOf(spoken, 5)
  })
})
