/**
 * The vendor Voiceable in memory, at the HTTP level: its five endpoints for API keys, with their real habits.
 *
 * It is written from the vendor's documents alone and shares nothing with the adapter, so that both cannot be wrong
 * together. Sources: the vendor's pages "Update API Key", "Create API Key", "Get API Key" and "List API Keys", the
 * introduction of its API reference (all at docs.voiceable.dev/api-reference), and the code of its own dashboard, which
 * contradicts them in places. What none of them says is marked "assumption:"; where they leave several possibilities
 * that matter to a caller, the test chooses (`setDeleteReply`, `setEmptyLists` and the like).
 *
 * Nothing here knows a real key: every secret it mints starts with `api_test_voiceable_`.
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
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The two kinds of key: `private` for servers, `public` for pages in a browser.
 *
 * **Details**
 *
 * Source: "Create API Key".
 *
 * @since 0.1.0
 * @category models
 */
export type KeyType = "private" | "public"

/**
 * A key as the vendor's database holds it. It has no status: it exists, or it does not.
 *
 * **Details**
 *
 * Source: the object in the reply of "Update API Key".
 *
 * @since 0.1.0
 * @category models
 */
export interface SandboxKey {
  /** The key's address; no secret, and never used again. */
  readonly id: number
  readonly keyType: KeyType
  /** Not unique. */
  readonly name: string
  /** The secret. */
  readonly keyValue: string
  /** Origins that a browser may call from; empty is every origin. */
  readonly allowedOrigins: ReadonlyArray<string>
  /** Ids of assistants, as strings; empty is every assistant. */
  readonly allowedAssistants: ReadonlyArray<string>
  readonly transientAssistant: boolean
  /** The manager's is 1; a key of anyone else's cannot be seen with the manager's key. */
  readonly userId: number
  readonly userEmail: string
  /** Milliseconds since the epoch; the vendor's replies have it in ISO 8601, without a fraction. */
  readonly createdAt: number
  /** Milliseconds since the epoch; the vendor's replies have it in ISO 8601, without a fraction. */
  readonly updatedAt: number
}

/**
 * The two shapes of an error's body.
 *
 * **Details**
 *
 * `documented`: `status`, `error`, `errors` and `details`. `messageOnly`: `status` with its `code` and `message`, and
 * nothing else. Source: the introduction shows the first, the dashboard reads the second.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorShape = "documented" | "messageOnly"

/**
 * How a deletion is answered.
 *
 * **Details**
 *
 * - `200`: a body in the envelope.
 * - `204`: no body.
 * - `302`: a redirect to the list, and the key was deleted. A client that follows it with the same method, as `fetch`
 *   does, sends a second DELETE, to the list.
 * - `"redirectUndone"`: a 302 to a page that wants a login, and nothing was deleted.
 * - `"htmlUndone"`: a 200 with a page of HTML, and nothing was deleted.
 *
 * Source: no page documents the reply; the dashboard takes the first three for success. assumption: the last two, which
 * it cannot tell from success either.
 *
 * @since 0.1.0
 * @category models
 */
export type DeleteReply = 200 | 204 | 302 | "redirectUndone" | "htmlUndone"

/**
 * What an empty list, or null in its place, does in an update: it widens the key to everything, or nothing at all.
 *
 * **Details**
 *
 * No source says which.
 *
 * @since 0.1.0
 * @category models
 */
export type EmptyLists = "clears" | "ignored"

/**
 * A request that arrived, whatever became of it.
 *
 * **Gotchas**
 *
 * `body` is what was sent, secrets included: it is the test's to look at, and nobody's to log.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  readonly method: string
  /** As it arrived: with its query, if it had one. */
  readonly path: string
  /** All headers but `authorization`, `x-api-key` and `cookie`. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The parsed JSON; undefined if there was no body or it was not JSON. */
  readonly body: unknown
  /** The id of the key that it was sent with; undefined if there was none or the vendor does not know it. */
  readonly caller: number | undefined
  /** What it was answered with. */
  readonly status: number
  /** When it was answered, in milliseconds since the epoch by Effect's `Clock`. */
  readonly at: number
}

/**
 * What a sandbox is made with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The secret of the manager's own key; `api_test_voiceable_sandbox` unless given. Never put a real one here. */
  readonly credential?: string | undefined
  /**
   * The paths below which `api_keys` is served, as `/api/v1` and `/voiceable-api`; below any path but the root unless
   * given. Sources: the documents have the one, with a placeholder for a host, and the dashboard calls the other.
   */
  readonly prefixes?: ReadonlyArray<string> | undefined
  /**
   * Requests that a window of 60 seconds takes; 120 unless given (assumption: the numbers are not published).
   * `Infinity` is a vendor without the limit, and without its headers.
   */
  readonly requestsPerMinute?: number | undefined
  /**
   * What `X-RateLimit-Reset` counts: `epoch` is seconds since 1970, `seconds` those that are left; `epoch` unless given
   * (assumption: the format is not published).
   */
  readonly rateLimitReset?: "epoch" | "seconds" | undefined
  /** Whether a 429 has a `Retry-After`, in seconds; not unless given (assumption: no source mentions it). */
  readonly retryAfter?: boolean | undefined
}

/**
 * The vendor in memory: what it answers, what it holds, and what a test can do to it.
 *
 * **Details**
 *
 * The account holds one key at first: the manager's own, private, with the id 1. It is listed like any other, and who
 * deletes it is locked out. Every private key of the account may manage all of them.
 *
 * **Example** (a program against the vendor, in process)
 *
 * ```ts
 * import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
 * import * as Effect from "effect/Effect"
 * import * as HttpClient from "effect/http/HttpClient"
 * import * as HttpClientRequest from "effect/http/HttpClientRequest"
 * import * as Redacted from "effect/Redacted"
 *
 * const program = Effect.gen(function* () {
 *   const sandbox = yield* VoiceableSandbox.VoiceableSandbox
 *   const { id, keyValue } = yield* sandbox.addKey({ name: "receptionist" })
 *   yield* HttpClient.execute(
 *     HttpClientRequest.delete(`https://api.example.com/api/v1/api_keys/${id}`).pipe(
 *       HttpClientRequest.setHeader("x-api-key", Redacted.value(sandbox.credential))
 *     )
 *   )
 *   return yield* sandbox.isLive(keyValue) // false
 * }).pipe(Effect.provide(VoiceableSandbox.layerClient()))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class VoiceableSandbox extends Context.Service<
  VoiceableSandbox,
  {
    /** The vendor itself: any request in, a response out. */
    readonly app: HttpSandbox.App
    /** The secret of the manager's own key, as it was made. */
    readonly credential: Redacted.Redacted<string>
    /** Every request so far, oldest first, refused ones too. */
    readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
    /** Every key that the vendor holds, oldest first: the manager's own, and other users' too. */
    readonly keys: Effect.Effect<ReadonlyArray<SandboxKey>>
    /** Does a key with this secret exist? There is no other way to be live, or not to be. */
    readonly isLive: (secret: string) => Effect.Effect<boolean>
    /**
     * A key that was there before the test began, or that someone made in the dashboard; it passes no validation. A
     * `userId` other than 1 makes it another user's. An `id` or `keyValue` that exists already is a mistake in the
     * test, and a defect.
     */
    readonly addKey: (key?: Partial<SandboxKey>) => Effect.Effect<SandboxKey>
    /** Someone deletes the key in the dashboard; nothing happens if it does not exist. */
    readonly removeKey: (id: number) => Effect.Effect<void>
    /**
     * Someone replaces the manager's own key: the old one is deleted, and the account has a private key with this
     * secret and a new id, unless it has one with this secret already.
     */
    readonly setCredential: (credential: string) => Effect.Effect<void>
    /** Which shape the errors have; `documented` at first. */
    readonly setErrorShape: (shape: ErrorShape) => Effect.Effect<void>
    /** The status that a creation is answered with; 201 at first. */
    readonly setCreateStatus: (status: 200 | 201) => Effect.Effect<void>
    /** How deletions are answered; 200 at first. */
    readonly setDeleteReply: (reply: DeleteReply) => Effect.Effect<void>
    /** What empty lists do in an update; they clear at first. */
    readonly setEmptyLists: (treatment: EmptyLists) => Effect.Effect<void>
    /**
     * Whether an update may change `transient_assistant`; not at first. The page of the update does not know the field,
     * the dashboard's code does.
     */
    readonly setTransientWritable: (writable: boolean) => Effect.Effect<void>
    /**
     * Whether the list and the reading of one key show the secrets, or those of public keys; not at first. The pages
     * rule it out, the dashboard copies secrets from the list.
     */
    readonly showKeyValues: (show: boolean | "public") => Effect.Effect<void>
    /** From now on every request is answered 429 until the time is over; 60 seconds unless given. */
    readonly lockOut: (options?: { readonly seconds?: number | undefined }) => Effect.Effect<void>
    /**
     * The next request is answered with this status, in the shape of an error, and nothing is done. Calls add up: two
     * calls fail the next two requests. A status that is none (200 to 599) is a mistake in the test, and a defect.
     */
    readonly failNext: (status: number) => Effect.Effect<void>
  }
>()("@effect-api-keys/voiceable/testing/VoiceableSandbox") {}

// -----------------------------------------------------------------------------
// replies
// -----------------------------------------------------------------------------

interface Reply {
  readonly status: number
  readonly content:
    | { readonly _tag: "Json"; readonly value: unknown }
    | { readonly _tag: "Html"; readonly text: string }
    | { readonly _tag: "Empty" }
  readonly location?: string
}

// The source of the envelope, and of `error`, `errors` and `details`, is the introduction.
const ok = (status: number, message: string, data: unknown): Reply => ({
  status,
  content: { _tag: "Json", value: { status: { code: status, message }, data } }
})

// Only the introduction's "Bad Request" is known. assumption: the others follow it.
const reasons: ReadonlyMap<number, string> = new Map([
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [422, "Unprocessable Entity"],
  [429, "Too Many Requests"],
  [500, "Internal Server Error"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"]
])

interface Refusal {
  readonly status: number
  readonly error: string
  /** The validations that failed; the text of `error` unless given. */
  readonly errors?: ReadonlyArray<string>
  readonly details?: string
}

// "Authentication required." is the one text that is known; the other words are those of the pages. assumption: which
// member has which.
const UNAUTHORIZED: Refusal = {
  status: 401,
  error: "Authentication required.",
  details: "Invalid or missing authentication"
}
const NOT_FOUND: Refusal = { status: 404, error: "API key not found" }
// assumption: the rest of the texts, as no page has one.
const NO_ROUTE: Refusal = { status: 404, error: "Not found" }
const FORBIDDEN: Refusal = { status: 403, error: "Access denied." }
const MALFORMED: Refusal = { status: 400, error: "Invalid JSON" }
const LIMITED: Refusal = { status: 429, error: "Too many requests" }
const invalid = (errors: ReadonlyArray<string>): Refusal => ({
  status: 422,
  error: "Validation error",
  errors,
  details: "Invalid request body"
})
const NO_ENVELOPE = invalid(["param is missing or the value is empty: api_key"])

const refusal = ({ details, error, errors = [error], status }: Refusal, shape: ErrorShape): Reply => {
  if (status === 204 || status === 205 || status === 304) return { status, content: { _tag: "Empty" } }
  return {
    status,
    content: {
      _tag: "Json",
      value:
        shape === "documented"
          ? {
              status: { code: status, message: reasons.get(status) ?? "Error" },
              error,
              errors,
              details: details ?? error
            }
          : { status: { code: status, message: errors.join(", ") } }
    }
  }
}

const page = (title: string): Reply["content"] => ({
  _tag: "Html",
  text: `<!DOCTYPE html><html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>`
})

// -----------------------------------------------------------------------------
// rules
// -----------------------------------------------------------------------------

// assumption: what the vendor lets through is what a Rails application lets through, as its pages name no rule beyond
// the fields' types: unknown fields and values of a wrong kind are dropped in silence, and the rest is made to fit.

type Fields = Readonly<Record<PropertyKey, unknown>>

/** The value of a text column; undefined where it is of no kind that fits, and dropped. */
const toText = (value: unknown): string | null | undefined => {
  switch (typeof value) {
    case "string":
      return value
    case "number":
      return String(value)
    case "boolean":
      return value ? "t" : "f"
    default:
      return value === null ? null : undefined
  }
}

/**
 * The value of a list column: texts. Nulls are taken out of it, so that a list of nothing else is an empty one; with an
 * object in it, or where there is no list at all, it is dropped whole.
 */
const toTexts = (value: unknown): ReadonlyArray<string> | undefined => {
  if (!Array.isArray(value)) return undefined
  const texts = value.map(toText)
  return texts.includes(undefined) ? undefined : texts.filter(Predicate.isString)
}

const falsy: ReadonlySet<unknown> = new Set([false, 0, "0", "f", "F", "false", "FALSE", "off", "OFF"])

/** Whatever is not known for false is true; undefined where it is no answer, and dropped. */
const toBoolean = (value: unknown): boolean | undefined => {
  const text = toText(value)
  return text === undefined || text === null || text === "" ? undefined : !falsy.has(value)
}

const isKeyType = (value: unknown): value is KeyType => value === "private" || value === "public"

/** The object in the request's `api_key`; undefined if it is missing, none, or empty. */
const envelopeOf = (body: unknown): Fields | undefined => {
  if (!Predicate.isReadonlyObject(body) || !Object.hasOwn(body, "api_key")) return undefined
  const { api_key: fields } = body
  return Predicate.isReadonlyObject(fields) && Object.keys(fields).length > 0 ? fields : undefined
}

const toIso = (millis: number): string => new Date(millis).toISOString().replace(/\.\d{3}Z$/, "Z")

const toObject = (key: SandboxKey, keyValue: string | null) => ({
  id: key.id,
  key_type: key.keyType,
  name: key.name,
  key_value: keyValue,
  allowed_origins: key.allowedOrigins,
  allowed_assistants: key.allowedAssistants,
  transient_assistant: key.transientAssistant,
  user_id: key.userId,
  user_email: key.userEmail,
  created_at: toIso(key.createdAt),
  updated_at: toIso(key.updatedAt)
})

const sameList = (one: ReadonlyArray<string>, other: ReadonlyArray<string>): boolean =>
  one.length === other.length && one.every((item, index) => item === other[index])

// -----------------------------------------------------------------------------
// routes
// -----------------------------------------------------------------------------

type Endpoint =
  | { readonly _tag: "List" }
  | { readonly _tag: "Create" }
  | { readonly _tag: "Get"; readonly id: string }
  | { readonly _tag: "Update"; readonly id: string }
  | { readonly _tag: "Delete"; readonly id: string; readonly collection: string }
  | { readonly _tag: "Admin" }
  | { readonly _tag: "Login" }

const LOGIN = "/login"

/**
 * Which endpoint a request is for. assumption: as in Rails, a slash too many does not count (so that the reading of a
 * key whose id is empty is the list), a path that exists is 404 to a method that it does not have, and PATCH is PUT.
 */
const toEndpoint = (method: string, url: string, prefixes: ReadonlyArray<string> | undefined): Endpoint | undefined => {
  const path = url.split("?", 1)[0] ?? ""
  if (path === LOGIN) return method === "GET" ? { _tag: "Login" } : undefined
  const segments = path.split("/").filter((segment) => segment !== "")
  const position = segments.indexOf("api_keys")
  if (position === -1 || segments.length > position + 2) return undefined
  // The administrators' own list and reading are the same below `/admin`.
  const admin = segments[position - 1] === "admin"
  const prefix = `/${segments.slice(0, admin ? position - 1 : position).join("/")}`
  if (prefixes === undefined ? prefix === "/" : !prefixes.includes(prefix)) return undefined
  if (admin) return method === "GET" ? { _tag: "Admin" } : undefined
  const id = segments[position + 1]
  if (id === undefined) {
    return method === "GET" ? { _tag: "List" } : method === "POST" ? { _tag: "Create" } : undefined
  }
  switch (method) {
    case "GET":
      return { _tag: "Get", id }
    case "PUT":
    case "PATCH":
      return { _tag: "Update", id }
    case "DELETE":
      return { _tag: "Delete", id, collection: `${prefix === "/" ? "" : prefix}/api_keys` }
    default:
      return undefined
  }
}

// -----------------------------------------------------------------------------
// the vendor
// -----------------------------------------------------------------------------

const MINUTE = 60_000
const MANAGER = { userId: 1, userEmail: "user@example.com" }

/**
 * Makes a vendor whose one account has one key, the manager's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<VoiceableSandbox["Service"]> =>
  Effect.map(Clock.currentTimeMillis, (started) => {
    const initialCredential = options?.credential ?? "api_test_voiceable_sandbox"
    const requestsPerMinute = options?.requestsPerMinute ?? 120
    const prefixes = options?.prefixes?.map((prefix) => `/${prefix.split("/").filter(Boolean).join("/")}`)

    // Every change is one synchronous step, so no two requests can meet half-way.
    const rows = new Map<number, SandboxKey>()
    const ids = new Map<string, number>()
    const requests: Array<RecordedRequest> = []
    const failures: Array<number> = []
    let manager = 1
    let errorShape: ErrorShape = "documented"
    let createStatus: 200 | 201 = 201
    let deleteReply: DeleteReply = 200
    let emptyLists: EmptyLists = "clears"
    let transientWritable = false
    let shown: boolean | "public" = false
    let lastId = 0
    let minted = 0
    let used = 0
    let windowUntil = Number.NEGATIVE_INFINITY
    let lockedUntil = Number.NEGATIVE_INFINITY

    const mintSecret = (): string => {
      for (;;) {
        minted++
        const secret = `api_test_voiceable_${String(minted).padStart(4, "0")}`
        if (!ids.has(secret)) return secret
      }
    }

    const store = (row: SandboxKey): SandboxKey => {
      rows.set(row.id, row)
      ids.set(row.keyValue, row.id)
      lastId = Math.max(lastId, row.id)
      return row
    }

    const remove = (row: SandboxKey): void => {
      rows.delete(row.id)
      ids.delete(row.keyValue)
    }

    const withSecret = (secret: string | undefined): SandboxKey | undefined => {
      const id = secret === undefined ? undefined : ids.get(secret)
      return id === undefined ? undefined : rows.get(id)
    }

    const newKey = (now: number): SandboxKey => ({
      id: lastId + 1,
      keyType: "private",
      name: "Sandbox key",
      keyValue: "",
      allowedOrigins: [],
      allowedAssistants: [],
      transientAssistant: false,
      ...MANAGER,
      createdAt: now,
      updatedAt: now
    })

    store({ ...newKey(started), name: "Sandbox manager", keyValue: initialCredential })

    /**
     * Counts a request; the seconds until the vendor takes another, and whether it took this one.
     *
     * assumption: all requests count, whoever sent them; a window begins with its first request; and what is refused
     * neither counts nor prolongs anything.
     */
    const count = (now: number): { readonly taken: boolean; readonly headers: Record<string, string> } => {
      const locked = now < lockedUntil
      if (!locked && now >= windowUntil) {
        used = 0
        windowUntil = now + MINUTE
      }
      const taken = !locked && used < requestsPerMinute
      if (taken) used++
      const until = locked ? lockedUntil : windowUntil
      const left = Math.ceil((until - now) / 1000)
      return {
        taken,
        headers: {
          ...(Number.isFinite(requestsPerMinute)
            ? {
                "x-ratelimit-limit": String(requestsPerMinute),
                "x-ratelimit-remaining": String(locked ? 0 : requestsPerMinute - used),
                "x-ratelimit-reset": String(options?.rateLimitReset === "seconds" ? left : Math.ceil(until / 1000))
              }
            : {}),
          ...(!taken && options?.retryAfter === true ? { "retry-after": String(left) } : {})
        }
      }
    }

    const refuse = (reason: Refusal): Reply => refusal(reason, errorShape)

    /** assumption: an id that is no integer is one that no key has. */
    const find = (caller: SandboxKey, id: string): SandboxKey | undefined => {
      const row = /^\d{1,15}$/.test(id) ? rows.get(Number(id)) : undefined
      return row?.userId === caller.userId ? row : undefined
    }

    const read = (row: SandboxKey) => toObject(row, shown === true || shown === row.keyType ? row.keyValue : null)

    const list = (caller: SandboxKey): Reply =>
      // assumption: the oldest first; there are no pages.
      ok(
        200,
        "API keys retrieved successfully",
        Array.from(rows.values())
          .filter((row) => row.userId === caller.userId)
          .map(read)
      )

    const get = (caller: SandboxKey, id: string): Reply => {
      const row = find(caller, id)
      return row === undefined ? refuse(NOT_FOUND) : ok(200, "API key retrieved successfully", read(row))
    }

    const create = (caller: SandboxKey, body: unknown, now: number): Reply => {
      const fields = envelopeOf(body)
      if (fields === undefined) return refuse(NO_ENVELOPE)
      const name = toText(fields.name) ?? ""
      const keyType = toText(fields.key_type) ?? ""
      const errors: Array<string> = []
      if (name.trim() === "") errors.push("Name can't be blank")
      if (!isKeyType(keyType)) {
        errors.push(keyType.trim() === "" ? "Key type can't be blank" : "Key type is not included in the list")
      }
      if (!isKeyType(keyType) || errors.length > 0) return refuse(invalid(errors))
      const row = store({
        ...newKey(now),
        keyType,
        name,
        keyValue: mintSecret(),
        allowedOrigins: toTexts(fields.allowed_origins) ?? [],
        allowedAssistants: toTexts(fields.allowed_assistants) ?? [],
        transientAssistant: toBoolean(fields.transient_assistant) ?? false,
        userId: caller.userId,
        userEmail: caller.userEmail
      })
      return ok(createStatus, "API key created successfully", toObject(row, row.keyValue))
    }

    /** The list that an update gives a key; undefined if it leaves the one there is. */
    const newList = (value: unknown): ReadonlyArray<string> | undefined => {
      const texts = value === null ? [] : toTexts(value)
      return texts?.length === 0 && emptyLists === "ignored" ? undefined : texts
    }

    const update = (caller: SandboxKey, id: string, body: unknown, now: number): Reply => {
      const row = find(caller, id)
      if (row === undefined) return refuse(NOT_FOUND)
      // assumption: an `api_key` with nothing in it is none; one with nothing known in it changes nothing.
      const fields = envelopeOf(body)
      if (fields === undefined) return refuse(NO_ENVELOPE)
      const name = toText(fields.name)
      if (name !== undefined && (name ?? "").trim() === "") return refuse(invalid(["Name can't be blank"]))
      const next: SandboxKey = {
        ...row,
        name: name ?? row.name,
        allowedOrigins: newList(fields.allowed_origins) ?? row.allowedOrigins,
        allowedAssistants: newList(fields.allowed_assistants) ?? row.allowedAssistants,
        transientAssistant:
          (transientWritable ? toBoolean(fields.transient_assistant) : undefined) ?? row.transientAssistant
      }
      const changed =
        next.name !== row.name ||
        next.transientAssistant !== row.transientAssistant ||
        !sameList(next.allowedOrigins, row.allowedOrigins) ||
        !sameList(next.allowedAssistants, row.allowedAssistants)
      // assumption: what changes nothing leaves the time, too.
      const stored = changed ? store({ ...next, updatedAt: now }) : row
      return ok(200, "API key updated successfully", toObject(stored, null))
    }

    const delete_ = (caller: SandboxKey, id: string, collection: string): Reply => {
      if (deleteReply === "redirectUndone") return { status: 302, content: page("Redirect"), location: LOGIN }
      if (deleteReply === "htmlUndone") return { status: 200, content: page("Voiceable") }
      const row = find(caller, id)
      if (row === undefined) return refuse(NOT_FOUND)
      remove(row)
      switch (deleteReply) {
        case 200:
          return ok(200, "API key deleted successfully", null)
        case 204:
          return { status: 204, content: { _tag: "Empty" } }
        case 302:
          return { status: 302, content: page("Redirect"), location: collection }
      }
    }

    const perform = (
      endpoint: Exclude<Endpoint, { readonly _tag: "Login" }>,
      caller: SandboxKey,
      body: unknown,
      now: number
    ): Reply => {
      switch (endpoint._tag) {
        case "Admin":
          return refuse(FORBIDDEN)
        case "List":
          return list(caller)
        case "Create":
          return create(caller, body, now)
        case "Get":
          return get(caller, endpoint.id)
        case "Update":
          return update(caller, endpoint.id, body, now)
        case "Delete":
          return delete_(caller, endpoint.id, endpoint.collection)
      }
    }

    const answer = (
      request: HttpServerRequest.HttpServerRequest,
      taken: boolean,
      caller: SandboxKey | undefined,
      body: HttpSandbox.Body,
      now: number
    ): Reply => {
      const failure = failures.shift()
      if (failure !== undefined) return refuse({ status: failure, error: "Request failed" })
      if (!taken) return refuse(LIMITED)
      const endpoint = toEndpoint(request.method, request.url, prefixes)
      if (endpoint === undefined) return refuse(NO_ROUTE)
      if (endpoint._tag === "Login") return { status: 200, content: page("Log in") }
      // assumption: as in Rails, what calls itself JSON is parsed before anything else is looked at, and what does not
      // is not looked at.
      const isJson =
        (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() === "application/json"
      if (isJson && body._tag === "Malformed") return refuse(MALFORMED)
      if (caller === undefined) return refuse(UNAUTHORIZED)
      // assumption: a key that any visitor of a page can read manages nothing.
      if (caller.keyType === "public") return refuse(FORBIDDEN)
      return perform(endpoint, caller, isJson && body._tag === "Json" ? body.value : undefined, now)
    }

    const app: HttpSandbox.App = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const body = yield* HttpSandbox.readBody(request)
      const now = yield* Clock.currentTimeMillis
      const { authorization, cookie: _, "x-api-key": apiKey, ...headers } = request.headers
      // assumption: where both are sent, `X-API-Key` counts. The third way, a session's JWT, is not served.
      const bearer = authorization?.startsWith("Bearer ") === true ? authorization.slice("Bearer ".length) : undefined
      const caller = withSecret(apiKey ?? bearer)
      const limit = count(now)
      const reply = answer(request, limit.taken, caller, body, now)
      requests.push({
        method: request.method,
        path: request.url,
        headers,
        body: body._tag === "Json" ? body.value : undefined,
        caller: caller?.id,
        status: reply.status,
        at: now
      })
      return toResponse(reply, limit.headers)
    })

    return VoiceableSandbox.of({
      app,
      credential: Redacted.make(initialCredential),
      requests: Effect.sync(() => requests.slice()),
      keys: Effect.sync(() => Array.from(rows.values())),
      isLive: (secret) => Effect.sync(() => ids.has(secret)),
      addKey: (key) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.suspend(() => {
            const row: SandboxKey = {
              ...newKey(now),
              ...(key?.userId === undefined ? {} : { userEmail: `user${key.userId}@example.com` }),
              ...(key?.userId === MANAGER.userId ? MANAGER : {}),
              ...key,
              keyValue: key?.keyValue ?? mintSecret()
            }
            if (rows.has(row.id) || ids.has(row.keyValue)) {
              return Effect.die(new Error("VoiceableSandbox.addKey: a key with this id or keyValue exists already"))
            }
            return Effect.succeed(store(row))
          })
        ),
      removeKey: (id) =>
        Effect.sync(() => {
          const row = rows.get(id)
          if (row !== undefined) remove(row)
        }),
      setCredential: (value) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const old = rows.get(manager)
          const next =
            withSecret(value) ?? store({ ...newKey(now), name: old?.name ?? "Sandbox manager", keyValue: value })
          if (old !== undefined && old.id !== next.id) remove(old)
          manager = next.id
        }),
      setErrorShape: (value) =>
        Effect.sync(() => {
          errorShape = value
        }),
      setCreateStatus: (value) =>
        Effect.sync(() => {
          createStatus = value
        }),
      setDeleteReply: (value) =>
        Effect.sync(() => {
          deleteReply = value
        }),
      setEmptyLists: (value) =>
        Effect.sync(() => {
          emptyLists = value
        }),
      setTransientWritable: (value) =>
        Effect.sync(() => {
          transientWritable = value
        }),
      showKeyValues: (value) =>
        Effect.sync(() => {
          shown = value
        }),
      lockOut: (lock) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          lockedUntil = now + (lock?.seconds ?? 60) * 1000
        }),
      failNext: (status) =>
        Effect.suspend(() => {
          if (!Number.isInteger(status) || status < 200 || status > 599) {
            return Effect.die(new Error("VoiceableSandbox.failNext: no status of a reply"))
          }
          failures.push(status)
          return Effect.void
        })
    })
  })

const toResponse = (
  { content, location, status }: Reply,
  limit: Readonly<Record<string, string>>
): HttpServerResponse.HttpServerResponse => {
  const options = { status, headers: { ...limit, ...(location === undefined ? {} : { location }) } }
  switch (content._tag) {
    case "Json":
      return HttpServerResponse.jsonUnsafe(content.value, options)
    case "Html":
      return HttpServerResponse.text(content.text, { ...options, contentType: "text/html; charset=utf-8" })
    case "Empty":
      return HttpServerResponse.empty(options)
  }
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Just the vendor; its `app` is reached however the test likes.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<VoiceableSandbox> => Layer.effect(VoiceableSandbox, make(options))

/**
 * The vendor and an `HttpClient` whose every request it answers, in process and by the test's own clock.
 *
 * **Gotchas**
 *
 * It follows no redirect, as no `HttpClient` does of itself.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (options?: Options): Layer.Layer<VoiceableSandbox | HttpClient.HttpClient> =>
  Layer.unwrap(VoiceableSandbox.useSync((sandbox) => HttpSandbox.layerClient(sandbox.app))).pipe(
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
export const layerServer = (options?: Options): Layer.Layer<VoiceableSandbox, never, HttpServer.HttpServer> =>
  Layer.unwrap(VoiceableSandbox.useSync((sandbox) => HttpSandbox.serve(sandbox.app))).pipe(
    Layer.provideMerge(layer(options))
  )
