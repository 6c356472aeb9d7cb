/**
 * Every example of the vendor's two documents about its API keys, retyped: the OpenAPI's requests and replies, and the
 * page's values.
 *
 * Only the keys differ: nine of the zeros of `api-000000000…` are `api_test_` here.
 */

/** One operation's documented examples, made a full exchange by what the document implies. */
export interface VendorExample {
  readonly method: "POST" | "PATCH"
  /** Below the base address, as in the OpenAPI. */
  readonly path: string
  /** The examples of the request's properties, together. */
  readonly request: Readonly<Record<string, unknown>>
  /** What must be sent too, for the vendor to give the documented reply; ours. */
  readonly also?: Readonly<Record<string, unknown>>
  /** The example of a reply with status 200; remove has none. */
  readonly response?: { readonly request_id: string; readonly data: ReadonlyArray<unknown> }
  /** The examples of the properties of a key in the reply's schema; permissions and remove have none. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** The example of a reply with status 400. */
  readonly refusal: unknown
}

/** The key that the examples act on, or make. */
export const SECRET = "api-api_test_00000000000000000000000"
/** The same as the vendor shows it. */
export const MASKED = "api-api_test_000********************"
/** The same as the vendor names it. */
export const USERNAME = "api-api_test_000"

const REQUEST_ID = "f3e50113-deb2-4e54-9675-2ea497c3732e"

const settings = {
  description: "test api key",
  custom_ratelimit_period: "0:30:00",
  ip_pool: 1234,
  feedback_html: "test_html",
  feedback_text: "test_text"
}

const key = {
  api_key: MASKED,
  description: "test api key",
  feedback_enabled: true,
  feedback_html: "test_html",
  feedback_text: "test_text",
  ippool: 1234,
  bounce_notifications: "from",
  status: "allowed",
  endpoints: ["/email/send"]
}

const fields = {
  api_key: MASKED,
  username: USERNAME,
  custom_rate_limit: true,
  custom_ratelimit_value: 123,
  custom_ratelimit_period: "0:30:00",
  // Declared a string.
  default_ratelimit_value: 123,
  default_ratelimit_period: "unlimited",
  ippool: 1234
}

const refusal = {
  request_id: "22e5acba-43bf-11e6-ae42-408d5cce2644",
  data: {
    error: "You do not have permission to access this API endpoint",
    error_code: "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"
  }
}

/** The examples, operation by operation. */
export const vendorExamples: ReadonlyArray<VendorExample> = [
  {
    method: "POST",
    path: "/api_keys/add",
    request: settings,
    also: { feedback_enabled: true },
    response: { request_id: REQUEST_ID, data: [{ ...key, api_key: SECRET }] },
    fields: { ...fields, api_key: SECRET },
    refusal
  },
  {
    method: "POST",
    path: "/api_keys/edit",
    request: { id: SECRET, ...settings },
    also: { feedback_enabled: true },
    response: { request_id: REQUEST_ID, data: [key] },
    fields,
    refusal
  },
  {
    method: "PATCH",
    path: "/api_keys/edit",
    request: { id: SECRET, ...settings },
    also: { feedback_enabled: true },
    response: { request_id: REQUEST_ID, data: [key] },
    fields,
    refusal
  },
  {
    method: "POST",
    path: "/api_keys/permissions",
    request: {},
    response: { request_id: REQUEST_ID, data: ["/email/send", "/api_keys/view"] },
    refusal
  },
  { method: "POST", path: "/api_keys/remove", request: { id: SECRET }, refusal },
  {
    method: "POST",
    path: "/api_keys/view",
    request: {},
    also: { id: SECRET },
    response: { request_id: REQUEST_ID, data: [{ ...key, description: "test api key again" }] },
    fields,
    refusal
  }
]

/** The envelope of the reply's schema; a key is in `data` of an item of `data`. */
export const schemaEnvelope = {
  request_id: "4b661d88-6b2d-11eb-8bb3-f23c92bb31d2",
  item: { request_id: "aa253464-0bd0-467a-b24b-6159dcd7be60" }
}

/** What add and the full edit fall back to. */
export const fullDefaults = {
  feedback_enabled: false,
  feedback_html: "",
  feedback_text: "",
  open_tracking_enabled: false,
  click_tracking_enabled: false,
  archive_enabled: false,
  bounce_notifications: "from",
  status: "allowed",
  endpoints: ["/email/send"]
}

/** The periods that the page shows. */
export const periods = ["0:30:00", "1 hour", "2 days", "3 months", "4 months 5:00:00"]

/** The statuses that the page names. */
export const statuses = ["allowed", "blocked", "sandbox"]

/** The lists of patterns that the page shows. */
export const patterns = [["/email/*"], ["*"]]

/** The four servers of the OpenAPI. */
export const servers = [
  "https://api.smtp2go.com/v3",
  "https://us-api.smtp2go.com/v3",
  "https://eu-api.smtp2go.com/v3",
  "https://au-api.smtp2go.com/v3"
]
