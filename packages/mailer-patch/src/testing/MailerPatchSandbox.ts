/**
 * The vendor SMTP2GO in memory, at the HTTP level: its five endpoints for API keys, with their real habits.
 *
 * It is written from the vendor's documents alone and shares nothing with the adapter, so that both cannot be wrong
 * together. Sources: the vendor's page "Patch an API key" (developers.smtp2go.com/reference/patch-api-key), its OpenAPI
 * of the endpoints under `/api_keys` (v3.0.4), and its pages "Authentication", "Rate limiting", "Response codes" and
 * "Changelog". Where other people's programs saw the vendor do something else than its documents say, there is a
 * {@link Habits | habit} to set. What nobody says is marked "assumption:".
 *
 * Nothing here knows a real key: every secret it mints starts with `api-api_test_`.
 *
 * @since 0.1.0
 */
import { HttpSandbox } from "@effect-api-keys/core/testing"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The statuses that a request may name; a sandbox's key takes any other string too, as a vendor may add one.
 *
 * **Details**
 *
 * `blocked` is off. `sandbox` takes mail and delivers none of it. Source: "Patch an API key".
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "allowed" | "blocked" | "sandbox"

/**
 * An API key as the vendor's database holds it; the manager's own key is one of them.
 *
 * **Details**
 *
 * assumption: what has no default in the OpenAPI is null until it is set.
 *
 * @since 0.1.0
 * @category models
 */
export interface SandboxKey {
  /** `api-` and 32 characters (source: "Getting started"); also the only address of the key. */
  readonly secret: string
  /** The first 16 characters of the secret: `api-` and 12 characters. No secret, and no address either. */
  readonly username: string
  readonly description: string | null
  readonly customRatelimit: boolean
  /** E-mails per period. */
  readonly customRatelimitValue: number | null
  /** Like `0:30:00`, `1 hour` or `4 months 5:00:00`; null is shown as `0:00:00`. */
  readonly customRatelimitPeriod: string | null
  /** The number of a pool of dedicated addresses. */
  readonly ipPool: number | null
  readonly feedbackEnabled: boolean
  readonly feedbackHtml: string
  readonly feedbackText: string
  readonly openTrackingEnabled: boolean
  readonly clickTrackingEnabled: boolean
  readonly archiveEnabled: boolean
  readonly auditEmail: string | null
  /** `from`, `drop` or an e-mail address. */
  readonly bounceNotifications: string
  /** One of {@link Status}, or what a test set. */
  readonly status: string
  /** Paths like `/email/send`, or patterns like `/email/*` and `*`. */
  readonly endpoints: ReadonlyArray<string>
  /** Null is the master account. */
  readonly subaccountId: string | null
  /**
   * Set by the vendor alone when it blocks sending for misuse; shown only if it is there. Neither its type nor its
   * values are published. assumption: any value but null and `allowed` means that no mail is sent.
   */
  readonly sendingStatus?: unknown
}

/**
 * Where a request can carry the calling key: `X-Smtp2go-Api-Key`, `Authorization: Bearer` or the body's `api_key`.
 *
 * @since 0.1.0
 * @category models
 */
export type CredentialPlace = "header" | "bearer" | "body"

/**
 * A request that arrived, whatever became of it.
 *
 * **Gotchas**
 *
 * `body` is what was sent, the `id` of a key included: it is the test's to look at, and nobody's to log.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  readonly method: string
  /** The whole address: its host tells the region. */
  readonly url: string
  /** The host, with the port if there is one. */
  readonly host: string
  /** From the first slash on, with its query if it had one: `/v3/api_keys/add`. */
  readonly path: string
  /** All headers but `x-smtp2go-api-key` and `authorization`. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The parsed JSON without `api_key`; undefined if there was no body or it was not JSON. */
  readonly body: unknown
  /** Every place that carried a calling key, right or wrong. */
  readonly credentials: ReadonlyArray<CredentialPlace>
  /** What it was answered with. */
  readonly status: number
  /** When it was answered, in milliseconds since the epoch by Effect's `Clock`. */
  readonly at: number
}

/**
 * How the vendor behaves where its documents, their generations and what others saw disagree.
 *
 * @since 0.1.0
 * @category models
 */
export interface Habits {
  /**
   * How a missing, wrong or blocked calling key is answered; `401` at first.
   *
   * `401`: as documented ("Response codes"). The others were seen by other people's programs: `400` with
   * `API_EXCEPTION`, `403` with `INVALID_IN_PAYLOAD`, `500` with `API_EXCEPTION` and a text about an API user.
   * assumption: the code of a 401 is `API_EXCEPTION`.
   */
  readonly credentialRejection: "401" | "400" | "403" | "500"
  /** The status of `ENDPOINT_PERMISSION_DENIED`; `400` at first, as in the OpenAPI. "Response codes" lists a 403. */
  readonly permissionRejection: "400" | "403"
  /**
   * Where an error is: in `data` (`nested`, as in the OpenAPI; at first) or beside `request_id` (`flat`, as in "Response
   * codes").
   */
  readonly errorShape: "nested" | "flat"
  /** Whether what should be a 400 is a 200 with the error in its body, as others saw on `/email/send`; false at first. */
  readonly errorsAs200: boolean
  /**
   * Whether view, edit and patch hide all of a key but its first 16 characters; true at first, as since 2026-06-22. Add
   * never does.
   */
  readonly masked: boolean
  /**
   * What `data` holds: the keys (`plain`, as in the OpenAPI's examples; at first), or objects that hold a `request_id`
   * and a key as `data` each (`double`, as in its schemas).
   */
  readonly envelope: "plain" | "double"
  /** Which fields of a key a reply has: all of the schema (`full`, at first), or those of the examples (`subset`). */
  readonly fields: "full" | "subset"
  /** What the reply calls the request's `custom_ratelimit`; `custom_rate_limit` at first, as in the schema. */
  readonly ratelimitField: "custom_rate_limit" | "custom_ratelimit"
  /** The reply's `default_ratelimit_value`: declared a string, with a number for an example; `"0"` at first. */
  readonly defaultRatelimitValue: string | number
  /** What view says of an `id` that it does not know (nobody says which): no keys (at first), 404, or 400. */
  readonly unknownView: "empty" | "404" | "400"
  /**
   * What edit, patch and remove say of an `id` that they do not know (nobody says which): 404 (at first), 400 about the
   * field `id`, or 200 with no keys and nothing done.
   */
  readonly unknownKey: "404" | "400" | "empty"
  /** What remove answers with its 200, which has neither a schema nor an example; `json` at first. */
  readonly removeBody: "json" | "text" | "empty"
  /** Whether a 429 carries `Retry-After`, in seconds; false at first, as no document speaks of it. */
  readonly retryAfter: boolean
}

/**
 * Some of the {@link Habits}; what is left out stays as it is.
 *
 * @since 0.1.0
 * @category models
 */
export type PartialHabits = { readonly [Name in keyof Habits]?: Habits[Name] | undefined }

/**
 * What a sandbox is made with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends PartialHabits {
  /** The manager's key; `api-api_test_mgr` and 20 characters unless given. Never put a real one here. */
  readonly credential?: string | undefined
  /** The endpoints that the manager's key may call; `["*"]` unless given. */
  readonly credentialEndpoints?: ReadonlyArray<string> | undefined
  /** Calls of add that any 60 seconds may hold; 5 unless given (source: the OpenAPI's add). */
  readonly addsPerMinute?: number | undefined
  /**
   * Requests that any 60 seconds may hold; 120 unless given. assumption: the vendor publishes no number ("Rate
   * limiting").
   */
  readonly requestsPerMinute?: number | undefined
  /**
   * Error replies that any 60 seconds may hold; 20 unless given. assumption: the vendor says that there is such a
   * number, and not which ("Rate limiting").
   */
  readonly errorsPerMinute?: number | undefined
  /** How long exceeding either times the source out, in seconds; 60 unless given (source: "Rate limiting"). */
  readonly timeoutSeconds?: number | undefined
}

/**
 * The vendor in memory: what it answers, what it holds, and what a test can do to it.
 *
 * **Example** (a program against the vendor, in process)
 *
 * ```ts
 * import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
 * import * as Effect from "effect/Effect"
 * import * as HttpClient from "effect/http/HttpClient"
 * import * as HttpClientRequest from "effect/http/HttpClientRequest"
 * import * as Redacted from "effect/Redacted"
 *
 * const program = Effect.gen(function* () {
 *   const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
 *   const { secret } = yield* sandbox.addKey({ description: "newsletter" })
 *   yield* HttpClient.execute(
 *     HttpClientRequest.patch("https://eu-api.smtp2go.com/v3/api_keys/edit").pipe(
 *       HttpClientRequest.setHeader("x-smtp2go-api-key", Redacted.value(sandbox.credential)),
 *       HttpClientRequest.bodyJsonUnsafe({ id: secret, status: "blocked" })
 *     )
 *   )
 *   return yield* sandbox.isLive(secret) // false
 * }).pipe(Effect.provide(MailerPatchSandbox.layerClient()))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class MailerPatchSandbox extends Context.Service<
  MailerPatchSandbox,
  {
    /** The vendor itself: any request in, a response out. */
    readonly app: HttpSandbox.App
    /** The manager's key that it was made with. */
    readonly credential: Redacted.Redacted<string>
    /** Every request so far, oldest first, refused ones too. */
    readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
    /** Every key of the account and its subaccounts, oldest first: the manager's is the first one. */
    readonly keys: Effect.Effect<ReadonlyArray<SandboxKey>>
    /**
     * Would the vendor deliver mail for this secret now? Its status is `allowed`, and the vendor blocked nothing. Which
     * endpoints the key may call is not looked at.
     */
    readonly isLive: (secret: string) => Effect.Effect<boolean>
    /**
     * A key that was there before the test began, or that someone made in the dashboard; it passes no validation and no
     * limit. A `secret` that exists already is a mistake in the test, and a defect.
     */
    readonly addKey: (key?: Partial<Omit<SandboxKey, "username">>) => Effect.Effect<SandboxKey>
    /**
     * Someone changes a key in the dashboard, the manager's own if its secret is given. A secret that does not exist is
     * a mistake in the test, and a defect.
     */
    readonly editKey: (
      secret: string,
      changes: Partial<Omit<SandboxKey, "secret" | "username">>
    ) => Effect.Effect<SandboxKey>
    /** Someone deletes the key in the dashboard; nothing happens if it does not exist. */
    readonly removeKey: (secret: string) => Effect.Effect<void>
    /**
     * Something the vendor or a person in the dashboard did to a key. A secret that does not exist is a mistake in the
     * test, and a defect. (The second part of the type takes any string and keeps the names for the editor.)
     */
    readonly setStatus: (secret: string, status: Status | (string & {})) => Effect.Effect<void>
    /**
     * Someone replaced the manager's key: the one before is gone from the account, and this one is there instead, with
     * what that one was allowed.
     */
    readonly setCredential: (credential: string) => Effect.Effect<void>
    /** From now on the vendor behaves like this. */
    readonly setHabits: (habits: PartialHabits) => Effect.Effect<void>
    /** From now on every request is answered 429 until the time is over; 60 seconds unless given. */
    readonly lockOut: (options?: { readonly seconds?: number | undefined }) => Effect.Effect<void>
    /**
     * The next request is answered with this status, with the documented error if there is one (of 400 alone), and
     * nothing is done. Calls add up: two calls fail the next two requests.
     */
    readonly failNext: (status: number) => Effect.Effect<void>
  }
>()("@effect-api-keys/mailer-patch/testing/MailerPatchSandbox") {}

// -----------------------------------------------------------------------------
// texts
// -----------------------------------------------------------------------------

type Operation = "add" | "edit" | "patch" | "view" | "remove" | "permissions"

const routes: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  "/api_keys/add": { POST: "add" },
  "/api_keys/edit": { POST: "edit", PATCH: "patch" },
  "/api_keys/view": { POST: "view" },
  "/api_keys/remove": { POST: "remove" },
  "/api_keys/permissions": { POST: "permissions" }
}

const PREFIX = "/v3"

const CODES = "E_ApiResponseCodes."
const PERMISSION_DENIED = `${CODES}ENDPOINT_PERMISSION_DENIED`
const NON_VALIDATING = `${CODES}NON_VALIDATING_IN_PAYLOAD`
const INVALID = `${CODES}INVALID_IN_PAYLOAD`
const EXCEPTION = `${CODES}API_EXCEPTION`
const LIMIT_EXCEEDED = `${CODES}REQ_LIMIT_EXCEEDED`

// The only text that the OpenAPI has; every other text is an assumption, but for the one of the 500, which others saw.
const NO_PERMISSION = "You do not have permission to access this API endpoint"

// -----------------------------------------------------------------------------
// rules
// -----------------------------------------------------------------------------

// The sandbox's own reading of the documented rules. assumption: what breaks one is refused and not bent into shape.

const isString = (value: unknown): value is string => typeof value === "string"
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean"
const isInteger = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value)

// assumption: a negative limit is refused.
const isLimit = (value: unknown): value is number => isInteger(value) && value >= 0

const isDigits = (text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    const char = text.charAt(index)
    if (char < "0" || char > "9") return false
  }
  return text.length > 0
}

const isClock = (text: string | undefined): boolean => {
  const [hours = "", minutes = "", seconds = "", ...rest] = text?.split(":") ?? []
  return (
    rest.length === 0 &&
    isDigits(hours) &&
    hours.length <= 3 &&
    [minutes, seconds].every((part) => part.length === 2 && isDigits(part) && Number(part) < 60)
  )
}

const UNITS = new Set(["hour", "hours", "day", "days", "week", "weeks", "month", "months"])

// A number and a unit, with a clock behind them or not, or a clock alone: the five documented examples. assumption: a
// bare number is refused, though the documented syntax could be read so.
const isPeriod = (value: unknown): value is string => {
  if (!isString(value)) return false
  const [first = "", unit, clock, ...rest] = value.split(" ")
  if (unit === undefined) return isClock(first)
  return rest.length === 0 && isDigits(first) && UNITS.has(unit) && (clock === undefined || isClock(clock))
}

// assumption: the vendor's own idea of an address is not published; this one is lenient.
const isEmail = (value: unknown): value is string => {
  if (!isString(value) || value.trim() !== value || value.includes(" ")) return false
  const [local = "", domain = "", ...rest] = value.split("@")
  const labels = domain.split(".")
  return rest.length === 0 && local !== "" && labels.length >= 2 && labels.every((label) => label !== "")
}

const isBounce = (value: unknown): value is string => value === "from" || value === "drop" || isEmail(value)
const isStatus = (value: unknown): value is Status => value === "allowed" || value === "blocked" || value === "sandbox"

// assumption: the names themselves are not checked, and none at all is a list too.
const isEndpoints = (value: unknown): value is ReadonlyArray<string> => Array.isArray(value) && value.every(isString)

// assumption: an empty id is a missing one.
const isId = (value: unknown): value is string => isString(value) && value !== ""

type Rule = readonly [test: (value: unknown) => boolean, message: string]
type Rules = Readonly<Record<string, Rule>>

const TEXT: Rule = [isString, "Must be a string"]
const FLAG: Rule = [isBoolean, "Must be a boolean"]
const ID: Rule = [isId, "Must be an API key"]

const settingRules: Rules = {
  description: TEXT,
  custom_ratelimit: FLAG,
  custom_ratelimit_value: [isLimit, "Must be a number of emails"],
  custom_ratelimit_period: [isPeriod, "Must be a period"],
  ip_pool: [isInteger, "Must be an integer"],
  feedback_enabled: FLAG,
  feedback_html: TEXT,
  feedback_text: TEXT,
  open_tracking_enabled: FLAG,
  click_tracking_enabled: FLAG,
  archive_enabled: FLAG,
  audit_email: [isEmail, "Must be an email address"],
  bounce_notifications: [isBounce, "Must be from, drop or an email address"],
  status: [isStatus, "Must be allowed, blocked or sandbox"],
  endpoints: [isEndpoints, "Must be a list of endpoints"],
  subaccount_id: TEXT
}

const rulesOf: Readonly<Record<Operation, Rules>> = {
  add: settingRules,
  edit: { id: ID, ...settingRules },
  patch: { id: ID, ...settingRules },
  view: { id: TEXT, search: TEXT, subaccount_id: TEXT },
  remove: { id: ID, subaccount_id: TEXT },
  permissions: {}
}

const needsId = (operation: Operation): boolean =>
  operation === "edit" || operation === "patch" || operation === "remove"

type Fields = Readonly<Record<PropertyKey, unknown>>

interface Problem {
  readonly fieldname: string
  readonly message: string
}

const problemIn = (operation: Operation, fields: Fields): Problem | undefined => {
  if (needsId(operation) && fields.id === undefined) return { fieldname: "id", message: "Must be passed" }
  for (const [fieldname, [test, message]] of Object.entries(rulesOf[operation])) {
    if (fields[fieldname] !== undefined && !test(fields[fieldname])) return { fieldname, message }
  }
  return undefined
}

/** What a request can set, and add and the full edit fall back to (source: the defaults of the OpenAPI). */
type Settings = Omit<SandboxKey, "secret" | "username" | "subaccountId" | "sendingStatus">

const defaults: Settings = {
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
  endpoints: ["/email/send"]
}

const as = <A>(value: unknown, is: (value: unknown) => value is A): A | undefined => (is(value) ? value : undefined)

const defined = <A extends object>(all: A): { [Name in keyof A]?: Exclude<A[Name], undefined> } => {
  const present: { [Name in keyof A]?: Exclude<A[Name], undefined> } = {}
  return Object.assign(present, Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)))
}

/** The settings of a request that has no problem. */
const settingsIn = (fields: Fields): Partial<Settings> => {
  // Value and period are stored with custom_ratelimit true and dropped without: in the harsh reading, of this request.
  const limited = fields.custom_ratelimit === true
  return defined({
    description: as(fields.description, isString),
    customRatelimit: as(fields.custom_ratelimit, isBoolean),
    customRatelimitValue: limited ? as(fields.custom_ratelimit_value, isLimit) : undefined,
    customRatelimitPeriod: limited ? as(fields.custom_ratelimit_period, isPeriod) : undefined,
    ipPool: as(fields.ip_pool, isInteger),
    feedbackEnabled: as(fields.feedback_enabled, isBoolean),
    feedbackHtml: as(fields.feedback_html, isString),
    feedbackText: as(fields.feedback_text, isString),
    openTrackingEnabled: as(fields.open_tracking_enabled, isBoolean),
    clickTrackingEnabled: as(fields.click_tracking_enabled, isBoolean),
    archiveEnabled: as(fields.archive_enabled, isBoolean),
    auditEmail: as(fields.audit_email, isEmail),
    bounceNotifications: as(fields.bounce_notifications, isBounce),
    status: as(fields.status, isStatus),
    endpoints: as(fields.endpoints, isEndpoints)
  })
}

/** Whether every endpoint of a pattern is among those of the others: `/email/*` has `/email/send`, and `*` has all. */
const covers = (patterns: ReadonlyArray<string>, pattern: string): boolean =>
  patterns.some((other) => other === pattern || (other.endsWith("*") && pattern.startsWith(other.slice(0, -1))))

// -----------------------------------------------------------------------------
// the vendor
// -----------------------------------------------------------------------------

type Reply =
  | { readonly _tag: "Data"; readonly data: unknown }
  | { readonly _tag: "Removed" }
  | {
      readonly _tag: "Refusal"
      readonly status: number
      readonly error: string
      readonly code: string
      readonly problem?: Problem
      readonly seconds?: number
    }

const data = (value: unknown): Reply => ({ _tag: "Data", data: value })
const refuse = (status: number, error: string, code = EXCEPTION): Reply => ({ _tag: "Refusal", status, error, code })
const invalid = (problem: Problem): Reply => ({
  _tag: "Refusal",
  status: 400,
  error: "The request has a field that does not validate",
  code: NON_VALIDATING,
  problem
})
const tooMany = (error: string, seconds: number): Reply => ({
  _tag: "Refusal",
  status: 429,
  error,
  code: LIMIT_EXCEEDED,
  seconds
})

const rejections: Readonly<Record<Habits["credentialRejection"], Reply>> = {
  401: refuse(401, "The API key is invalid or disabled"),
  400: refuse(400, "The API key is invalid or disabled"),
  403: refuse(403, "The API key is missing or malformed", INVALID),
  500: refuse(500, "An API User matching the passed 'api_key' was not found")
}

const usernameOf = (secret: string): string => secret.slice(0, 16)
const mask = (secret: string): string => `${usernameOf(secret)}${"*".repeat(20)}`

const UNKNOWN = "No API key matches the passed id"

const MINUTE = 60_000
// assumption: the megabyte of the changelog is the decimal one.
const MAX_BYTES = 1_000_000

const initialHabits: Habits = {
  credentialRejection: "401",
  permissionRejection: "400",
  errorShape: "nested",
  errorsAs200: false,
  masked: true,
  envelope: "plain",
  fields: "full",
  ratelimitField: "custom_rate_limit",
  defaultRatelimitValue: "0",
  unknownView: "empty",
  unknownKey: "404",
  removeBody: "json",
  retryAfter: false
}

const pickHabits = (options: PartialHabits): Partial<Habits> =>
  defined({
    credentialRejection: options.credentialRejection,
    permissionRejection: options.permissionRejection,
    errorShape: options.errorShape,
    errorsAs200: options.errorsAs200,
    masked: options.masked,
    envelope: options.envelope,
    fields: options.fields,
    ratelimitField: options.ratelimitField,
    defaultRatelimitValue: options.defaultRatelimitValue,
    unknownView: options.unknownView,
    unknownKey: options.unknownKey,
    removeBody: options.removeBody,
    retryAfter: options.retryAfter
  } satisfies { [Name in keyof Habits]: Habits[Name] | undefined })

/** A limit on what any 60 seconds may hold. */
class Window {
  readonly max: number
  private times: ReadonlyArray<number> = []

  constructor(max: number) {
    this.max = max
  }

  /** Counts one more, unless it is one too many: then the milliseconds until there is room. */
  take(now: number): number | undefined {
    // assumption: the minute slides, and what is refused does not count.
    this.times = this.times.filter((at) => at > now - MINUTE)
    if (this.times.length >= this.max) return (this.times[0] ?? now) + MINUTE - now
    this.times = [...this.times, now]
    return undefined
  }
}

/**
 * Makes a vendor whose account holds the manager's key and no other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<MailerPatchSandbox["Service"]> =>
  Effect.sync(() => {
    const initialCredential = options?.credential ?? "api-api_test_mgrfakefakefakefakefmgr"
    const managerSettings = { description: "Manager", endpoints: options?.credentialEndpoints ?? ["*"] }
    const timeoutSeconds = options?.timeoutSeconds ?? 60
    const adds = new Window(options?.addsPerMinute ?? 5)
    // assumption: whatever reaches a sandbox comes from one source, the only one the vendor times out.
    const arrivals = new Window(options?.requestsPerMinute ?? 120)
    const errors = new Window(options?.errorsPerMinute ?? 20)

    // Every change is one synchronous step, so no two requests can meet half-way.
    const keys = new Map<string, SandboxKey>()
    const requests: Array<RecordedRequest> = []
    const failures: Array<number> = []
    let habits: Habits = { ...initialHabits, ...pickHabits(options ?? {}) }
    let manager = initialCredential
    let minted = 0
    let answered = 0
    let timedOutUntil = Number.NEGATIVE_INFINITY

    const store = (key: SandboxKey): SandboxKey => {
      keys.set(key.secret, key)
      return key
    }

    const newKey = (secret: string, settings: Partial<Omit<SandboxKey, "secret" | "username">>): SandboxKey =>
      store({ ...defaults, subaccountId: null, ...settings, secret, username: usernameOf(secret) })

    const mintSecret = (): string => {
      for (;;) {
        minted++
        const serial = minted.toString(36).padStart(3, "0")
        const secret = `api-api_test_${serial}fakefakefakefakef${serial}`
        if (!Array.from(keys.values()).some((key) => key.username === usernameOf(secret))) return secret
      }
    }

    const mintRequestId = (): string => {
      answered++
      return `00000000-0000-4000-8000-${answered.toString(16).padStart(12, "0")}`
    }

    const timeOut = (now: number, seconds: number): void => {
      timedOutUntil = now + seconds * 1000
    }

    /** Counts a request; the seconds left if the source is, or with this request gets, timed out. */
    const timedOutFor = (now: number): number | undefined => {
      // assumption: what is refused in a time-out neither counts nor prolongs it.
      if (now >= timedOutUntil) {
        if (arrivals.take(now) === undefined) return undefined
        timeOut(now, timeoutSeconds)
      }
      return Math.ceil((timedOutUntil - now) / 1000)
    }

    const show = (key: SandboxKey, masked: boolean): Record<string, unknown> => {
      const subset = {
        api_key: masked ? mask(key.secret) : key.secret,
        description: key.description,
        feedback_enabled: key.feedbackEnabled,
        feedback_html: key.feedbackHtml,
        feedback_text: key.feedbackText,
        ippool: key.ipPool,
        bounce_notifications: key.bounceNotifications,
        status: key.status,
        endpoints: key.endpoints
      }
      if (habits.fields === "subset") return subset
      return {
        ...subset,
        username: key.username,
        [habits.ratelimitField]: key.customRatelimit,
        custom_ratelimit_value: key.customRatelimitValue,
        custom_ratelimit_period: key.customRatelimitPeriod ?? "0:00:00",
        default_ratelimit_value: habits.defaultRatelimitValue,
        default_ratelimit_period: "unlimited",
        open_tracking_enabled: key.openTrackingEnabled,
        click_tracking_enabled: key.clickTrackingEnabled,
        archive_enabled: key.archiveEnabled,
        audit_email: key.auditEmail,
        ...(key.sendingStatus === undefined ? {} : { sending_status: key.sendingStatus })
      }
    }

    const enclose = (items: ReadonlyArray<unknown>): Reply =>
      data(habits.envelope === "plain" ? items : items.map((item) => ({ request_id: mintRequestId(), data: item })))

    const denied = (): Reply => refuse(Number(habits.permissionRejection), NO_PERMISSION, PERMISSION_DENIED)

    /** Only a full key is an id: its username is none, and what view shows is none. */
    const find = (id: unknown, scope: string | null): SandboxKey | undefined => {
      const key = isString(id) ? keys.get(id) : undefined
      return key?.subaccountId === scope ? key : undefined
    }

    const unknownKey = (empty: Reply): Reply => {
      switch (habits.unknownKey) {
        case "404":
          return refuse(404, UNKNOWN)
        case "400":
          return invalid({ fieldname: "id", message: UNKNOWN })
        case "empty":
          return empty
      }
    }

    const add = (caller: SandboxKey, fields: Fields, scope: string | null, now: number): Reply => {
      // assumption: every call that the caller may make counts, whatever becomes of it.
      const wait = adds.take(now)
      if (wait !== undefined) {
        return tooMany(`This endpoint is rate limited to ${adds.max} requests every 60 seconds`, Math.ceil(wait / 1000))
      }
      const problem = problemIn("add", fields)
      if (problem !== undefined) return invalid(problem)
      const settings = { ...defaults, ...settingsIn(fields) }
      // assumption: the default endpoints must be the caller's own too.
      if (!settings.endpoints.every((endpoint) => covers(caller.endpoints, endpoint))) return denied()
      return enclose([show(newKey(mintSecret(), { ...settings, subaccountId: scope }), false)])
    }

    const change = (caller: SandboxKey, fields: Fields, scope: string | null, full: boolean): Reply => {
      const key = find(fields.id, scope)
      if (key === undefined) return unknownKey(enclose([]))
      // assumption: switching the custom limit off leaves its value and period where they are, if the edit is partial.
      const edited: SandboxKey = { ...key, ...(full ? defaults : {}), ...settingsIn(fields) }
      // What is new must be the caller's or the key's already; what goes must be the caller's (source: "Changelog",
      // 2026-05-29). assumption: what is allowed by another pattern of the new list does not go.
      const permitted =
        edited.endpoints.every((endpoint) => covers(caller.endpoints, endpoint) || covers(key.endpoints, endpoint)) &&
        key.endpoints.every((endpoint) => covers(edited.endpoints, endpoint) || covers(caller.endpoints, endpoint))
      if (!permitted) return denied()
      return enclose([show(store(edited), habits.masked)])
    }

    const view = (fields: Fields, scope: string | null): Reply => {
      const { id, search } = fields
      if (id !== undefined && find(id, scope) === undefined) {
        if (habits.unknownView === "404") return refuse(404, UNKNOWN)
        if (habits.unknownView === "400") return invalid({ fieldname: "id", message: UNKNOWN })
      }
      // assumption: a keyword is looked for in the description and the username, in any case of letters, and beside an
      // id both must fit.
      const keyword = isString(search) ? search.toLowerCase() : ""
      const found = Array.from(keys.values()).filter(
        (key) =>
          key.subaccountId === scope &&
          (id === undefined || key.secret === id) &&
          [key.description ?? "", key.username].some((text) => text.toLowerCase().includes(keyword))
      )
      return enclose(found.map((key) => show(key, habits.masked)))
    }

    const remove = (fields: Fields, scope: string | null): Reply => {
      const key = find(fields.id, scope)
      if (key === undefined) return unknownKey({ _tag: "Removed" })
      keys.delete(key.secret)
      return { _tag: "Removed" }
    }

    const perform = (operation: Operation, caller: SandboxKey, fields: Fields, now: number): Reply => {
      if (operation !== "add") {
        const problem = problemIn(operation, fields)
        if (problem !== undefined) return invalid(problem)
      }
      // assumption: a call without a subaccount is for the account of the calling key, any subaccount exists, and only
      // a key of the master account may act for another.
      const scope = as(fields.subaccount_id, isString) ?? caller.subaccountId
      if (caller.subaccountId !== null && scope !== caller.subaccountId) return denied()
      switch (operation) {
        case "add":
          return add(caller, fields, scope, now)
        case "edit":
          return change(caller, fields, scope, true)
        case "patch":
          return change(caller, fields, scope, false)
        case "view":
          return view(fields, scope)
        case "remove":
          return remove(fields, scope)
        case "permissions": {
          // assumption: patterns are shown as they are.
          const { endpoints } = caller
          return habits.envelope === "plain" ? data(endpoints) : enclose([endpoints])
        }
      }
    }

    const answer = (request: Arrived, now: number): Reply => {
      const seconds = timedOutFor(now)
      const failure = failures.shift()
      if (failure !== undefined) {
        if (failure === 400) return refuse(400, NO_PERMISSION, PERMISSION_DENIED)
        return failure === 429 ? tooMany("Too many requests", timeoutSeconds) : refuse(failure, "The request failed")
      }
      if (seconds !== undefined) return tooMany("Too many requests", seconds)
      // assumption: the order in which all of this is looked at.
      const path = request.path.split("?", 1)[0] ?? ""
      const endpoint = path.startsWith(`${PREFIX}/`) ? path.slice(PREFIX.length) : ""
      const methods = Object.hasOwn(routes, endpoint) ? routes[endpoint] : undefined
      if (methods === undefined) return refuse(404, "No such endpoint")
      const operation = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
      if (operation === undefined) return refuse(405, "No such method of this endpoint")
      const { body } = request
      if (body._tag === "TooLarge") return refuse(413, "The request is larger than 1 MB")
      if (body._tag === "Malformed") return refuse(400, "The request is not JSON", INVALID)
      if (body._tag === "Json" && !Predicate.isReadonlyObject(body.value)) {
        return refuse(400, "The request is no JSON object", INVALID)
      }
      // assumption: of several calling keys the header's counts, then the bearer's.
      const { header, bearer, body: field } = request.credentials
      const caller = keys.get(header ?? bearer ?? field ?? "")
      if (caller === undefined || caller.status === "blocked") return rejections[habits.credentialRejection]
      // Every key may ask what it may do (source: the OpenAPI's permissions).
      if (operation !== "permissions" && !covers(caller.endpoints, endpoint)) return denied()
      // null is what a partial edit has where nothing is passed, so it is nothing passed everywhere.
      const fields = Object.fromEntries(Object.entries(fieldsOf(body)).filter(([, value]) => value !== null))
      return perform(operation, caller, fields, now)
    }

    const respond = (reply: Reply): HttpServerResponse.HttpServerResponse => {
      const request_id = mintRequestId()
      switch (reply._tag) {
        case "Data":
          return HttpServerResponse.jsonUnsafe({ request_id, data: reply.data })
        case "Removed":
          switch (habits.removeBody) {
            case "json":
              return HttpServerResponse.jsonUnsafe({ request_id, data: {} })
            case "text":
              return HttpServerResponse.text("Removed")
            case "empty":
              return HttpServerResponse.empty({ status: 200 })
          }
          break
        case "Refusal": {
          const { problem, seconds } = reply
          const error = {
            error: reply.error,
            error_code: reply.code,
            ...(problem === undefined ? {} : { field_validation_errors: problem })
          }
          const body = habits.errorShape === "nested" ? { request_id, data: error } : { request_id, ...error }
          return HttpServerResponse.jsonUnsafe(body, {
            status: habits.errorsAs200 && reply.status === 400 ? 200 : reply.status,
            ...(habits.retryAfter && seconds !== undefined ? { headers: { "retry-after": String(seconds) } } : {})
          })
        }
      }
    }

    const app: HttpSandbox.App = Effect.gen(function* () {
      const source = yield* HttpServerRequest.HttpServerRequest
      const request = yield* receive(source)
      const now = yield* Clock.currentTimeMillis
      const reply = answer(request, now)
      // assumption: an error reply counts whatever it is about, but for those of a time-out.
      if (reply._tag === "Refusal" && now >= timedOutUntil && errors.take(now) !== undefined) {
        timeOut(now, timeoutSeconds)
      }
      const response = respond(reply)
      const { authorization: _, "x-smtp2go-api-key": __, ...headers } = source.headers
      requests.push({
        method: request.method,
        url: request.url,
        host: request.host,
        path: request.path,
        headers,
        body: request.body._tag === "Json" ? withoutCredential(request.body.value) : undefined,
        credentials: (["header", "bearer", "body"] as const).filter(
          (place) => request.credentials[place] !== undefined
        ),
        status: response.status,
        at: now
      })
      return response
    })

    const edit = (
      name: string,
      secret: string,
      changes: Partial<Omit<SandboxKey, "secret" | "username">>
    ): Effect.Effect<SandboxKey> =>
      Effect.suspend(() => {
        const key = keys.get(secret)
        return key === undefined
          ? Effect.die(new Error(`MailerPatchSandbox.${name}: no key has this secret`))
          : Effect.succeed(store({ ...key, ...changes }))
      })

    newKey(initialCredential, managerSettings)

    return MailerPatchSandbox.of({
      app,
      credential: Redacted.make(initialCredential),
      requests: Effect.sync(() => requests.slice()),
      keys: Effect.sync(() => Array.from(keys.values())),
      isLive: (secret) =>
        Effect.sync(() => {
          const key = keys.get(secret)
          return key !== undefined && key.status === "allowed" && (key.sendingStatus ?? "allowed") === "allowed"
        }),
      addKey: (key) =>
        Effect.suspend(() => {
          const { secret = mintSecret(), ...settings } = key ?? {}
          return keys.has(secret)
            ? Effect.die(new Error("MailerPatchSandbox.addKey: a key with this secret exists already"))
            : Effect.succeed(newKey(secret, { description: "Sandbox key", ...settings }))
        }),
      editKey: (secret, changes) => edit("editKey", secret, changes),
      removeKey: (secret) =>
        Effect.sync(() => {
          keys.delete(secret)
        }),
      setStatus: (secret, status) => Effect.asVoid(edit("setStatus", secret, { status })),
      setCredential: (value) =>
        Effect.sync(() => {
          if (value === manager) return
          const before = keys.get(manager)
          keys.delete(manager)
          manager = value
          if (!keys.has(value)) newKey(value, before ?? managerSettings)
        }),
      setHabits: (changes) =>
        Effect.sync(() => {
          habits = { ...habits, ...pickHabits(changes) }
        }),
      lockOut: (lock) => Effect.map(Clock.currentTimeMillis, (now) => timeOut(now, lock?.seconds ?? timeoutSeconds)),
      failNext: (status) =>
        Effect.sync(() => {
          failures.push(status)
        })
    })
  })

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

type Body = HttpSandbox.Body | { readonly _tag: "TooLarge" }

interface Arrived {
  readonly method: string
  readonly url: string
  readonly host: string
  readonly path: string
  readonly credentials: Readonly<Record<CredentialPlace, string | undefined>>
  readonly body: Body
}

const fieldsOf = (body: Body): Fields =>
  body._tag === "Json" && Predicate.isReadonlyObject(body.value) ? body.value : {}

const withoutCredential = (value: unknown): unknown => {
  if (!Predicate.isReadonlyObject(value)) return value
  const { api_key: _, ...rest } = value
  return rest
}

const isJson = (type: string | undefined): boolean =>
  type?.split(";", 1)[0]?.trim().toLowerCase() === "application/json"

/** Whatever was sent: a body that cannot be read is as malformed as one that cannot be parsed. */
const readBody = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Body> =>
  request.text.pipe(
    Effect.map((text): Body => {
      // assumption: no body is an empty object, of whatever type.
      if (text === "") return { _tag: "None" }
      if (new TextEncoder().encode(text).length > MAX_BYTES) return { _tag: "TooLarge" }
      return isJson(request.headers["content-type"]) ? HttpSandbox.parseBody(text) : { _tag: "Malformed" }
    }),
    Effect.orElseSucceed((): Body => ({ _tag: "Malformed" }))
  )

const filled = (value: unknown): string | undefined => (isId(value) ? value : undefined)

const bearerIn = (authorization: string | undefined): string | undefined => {
  const [scheme = "", token, ...rest] = authorization?.split(" ") ?? []
  return scheme.toLowerCase() === "bearer" && rest.length === 0 ? filled(token) : undefined
}

/** In process a request still has its whole address; over a server its `Host` tells the rest. */
const urlOf = (request: HttpServerRequest.HttpServerRequest): URL | undefined =>
  URL.canParse(request.originalUrl)
    ? new URL(request.originalUrl)
    : Option.getOrUndefined(HttpServerRequest.toURL(request))

const receive = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Arrived> =>
  Effect.map(readBody(request), (body) => {
    const url = urlOf(request)
    return {
      method: request.method,
      url: url?.href ?? request.originalUrl,
      host: url?.host ?? "",
      path: request.url,
      credentials: {
        header: filled(request.headers["x-smtp2go-api-key"]),
        bearer: bearerIn(request.headers.authorization),
        body: filled(fieldsOf(body).api_key)
      },
      body
    }
  })

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Just the vendor; its `app` is reached however the test likes.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<MailerPatchSandbox> =>
  Layer.effect(MailerPatchSandbox, make(options))

/**
 * The vendor and an `HttpClient` whose every request it answers, in process and by the test's own clock.
 *
 * **Details**
 *
 * It answers for every host, so for all four regions; {@link RecordedRequest} keeps which it was.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (options?: Options): Layer.Layer<MailerPatchSandbox | HttpClient.HttpClient> =>
  Layer.unwrap(MailerPatchSandbox.useSync((sandbox) => HttpSandbox.layerClient(sandbox.app))).pipe(
    Layer.provideMerge(layer(options))
  )

/**
 * The vendor behind the `HttpServer` from the context, for any HTTP client in any language.
 *
 * **Gotchas**
 *
 * Bind the server to loopback. The vendor's clock is the one of the server's fiber, not of the test that calls it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (options?: Options): Layer.Layer<MailerPatchSandbox, never, HttpServer.HttpServer> =>
  Layer.unwrap(MailerPatchSandbox.useSync((sandbox) => HttpSandbox.serve(sandbox.app))).pipe(
    Layer.provideMerge(layer(options))
  )
