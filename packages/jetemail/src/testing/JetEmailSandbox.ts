/**
 * The vendor JetEmail in memory, at the HTTP level: its five endpoints for transactional keys, with their real habits.
 *
 * It is written from the vendor's documents alone and shares nothing with the adapter, so that both cannot be wrong
 * together. Sources: the vendor's pages "Create new transactional API key", "Update transactional API key", "Rotate
 * transactional API key", "Delete transactional API key" and "Get transactional API keys"
 * (jetemail.com/docs/api-reference/outbound), and the introduction of its API reference
 * (support.jetemail.com/api-reference/introduction). What no page says is marked "assumption:".
 *
 * Nothing here knows a real key: every token it mints starts with `transactional_api_test_`.
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
 * The statuses that the vendor's list reply names; a sandbox takes any other string too, as a vendor may add one.
 *
 * **Details**
 *
 * Source: the older capture of "Get transactional API keys".
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "active" | "disabled" | "suspended" | "quota-locked" | "quota-unlocked"

/**
 * The two generations of the list reply.
 *
 * **Details**
 *
 * `current`: container `transactionalKeys`, with `uuid`, `name` and `allowAllDomains`. `legacy`: container
 * `transactional-keys`, without those three, the two lists as strings that hold JSON. Source: two captures of "Get
 * transactional API keys" that disagree.
 *
 * @since 0.1.0
 * @category models
 */
export type ListFormat = "current" | "legacy"

/**
 * A transactional key as the vendor's database holds it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SandboxKey {
  /** The secret, which is also the key's address. */
  readonly token: string
  /** Stays the same when the key is rotated. */
  readonly uuid: string
  readonly name: string
  /** One of {@link Status}, or what a test set. */
  readonly status: string
  readonly allowAllDomains: boolean
  readonly approvedDomains: ReadonlyArray<string>
  /** 0 is unlimited. */
  readonly quota: number
  readonly usage: number
  readonly ipRestrictions: ReadonlyArray<string>
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number
}

/**
 * A request that arrived, whatever became of it.
 *
 * **Gotchas**
 *
 * `body` is what was sent, tokens included: it is the test's to look at, and nobody's to log.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  readonly method: string
  /** As it arrived: with its query, if it had one. */
  readonly path: string
  /** All headers but `authorization`. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The parsed JSON; undefined if there was no body or it was not JSON. */
  readonly body: unknown
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
  /** The account's management key; `api_test_jetemail_sandbox` unless given. Never put a real one here. */
  readonly credential?: string | undefined
  /**
   * How many keys the account may have; 50 unless given, the free plan's limit (source: "Create new transactional API
   * key", its 403). `Infinity` is a plan without one.
   */
  readonly keyLimit?: number | undefined
  /** Requests that any 60 seconds may hold; 240 unless given (source: the introduction). */
  readonly requestsPerMinute?: number | undefined
  /** How long exceeding that shuts the account out, in seconds; 300 unless given (source: the introduction). */
  readonly lockoutSeconds?: number | undefined
}

/**
 * The vendor in memory: what it answers, what it holds, and what a test can do to it.
 *
 * **Example** (a program against the vendor, in process)
 *
 * ```ts
 * import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
 * import * as Effect from "effect/Effect"
 * import * as HttpClient from "effect/http/HttpClient"
 * import * as HttpClientRequest from "effect/http/HttpClientRequest"
 *
 * const program = Effect.gen(function* () {
 *   const sandbox = yield* JetEmailSandbox.JetEmailSandbox
 *   const { token } = yield* sandbox.addKey({ name: "newsletter" })
 *   yield* HttpClient.execute(
 *     HttpClientRequest.delete("https://api.jetemail.com/outbound/transactional-keys").pipe(
 *       HttpClientRequest.bearerToken(sandbox.credential),
 *       HttpClientRequest.bodyJsonUnsafe({ api_token: token })
 *     )
 *   )
 *   return yield* sandbox.isLive(token) // false
 * }).pipe(Effect.provide(JetEmailSandbox.layerClient()))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class JetEmailSandbox extends Context.Service<
  JetEmailSandbox,
  {
    /** The vendor itself: any request in, a response out. */
    readonly app: HttpSandbox.App
    /** The management key it was made with. */
    readonly credential: Redacted.Redacted<string>
    /** Every request so far, oldest first, refused ones too. */
    readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
    /** Every key of the account, oldest first. */
    readonly keys: Effect.Effect<ReadonlyArray<SandboxKey>>
    /** Would the vendor send mail for this token now? */
    readonly isLive: (token: string) => Effect.Effect<boolean>
    /**
     * A key that was there before the test began, or that someone made in the dashboard; it passes no validation and no
     * plan limit. A `token` that exists already is a mistake in the test, and a defect.
     */
    readonly addKey: (key?: Partial<SandboxKey>) => Effect.Effect<SandboxKey>
    /** Someone deletes the key in the dashboard; nothing happens if it does not exist. */
    readonly removeKey: (token: string) => Effect.Effect<void>
    /**
     * Something the vendor or a person in the dashboard did to a key. A token that does not exist is a mistake in the
     * test, and a defect. (The second part of the type takes any string and keeps the names for the editor.)
     */
    readonly setStatus: (token: string, status: Status | (string & {})) => Effect.Effect<void>
    /** From now on only this management key is accepted: someone replaced it. */
    readonly setCredential: (credential: string) => Effect.Effect<void>
    /** Which generation of the list reply is served; `current` at first. */
    readonly setListFormat: (format: ListFormat) => Effect.Effect<void>
    /** Whether the list shows masked tokens: the vendor does not today, and might tomorrow. */
    readonly setMasked: (masked: boolean) => Effect.Effect<void>
    /** From now on every request of the account is answered 429 until the time is over; 300 seconds unless given. */
    readonly lockOut: (options?: { readonly seconds?: number | undefined }) => Effect.Effect<void>
    /**
     * The next request is answered with this status, with the documented text if there is one, and nothing is done.
     * Calls add up: two calls fail the next two requests.
     */
    readonly failNext: (status: number) => Effect.Effect<void>
  }
>()("@effect-api-keys/jetemail/testing/JetEmailSandbox") {}

// -----------------------------------------------------------------------------
// texts
// -----------------------------------------------------------------------------

type Endpoint = "list" | "create" | "update" | "delete" | "rotate"

const KEYS = "/outbound/transactional-keys"
const ROTATE = "/outbound/transactional-keys/rotate"

const routes: Readonly<Record<string, Readonly<Record<string, Endpoint>>>> = {
  [KEYS]: { GET: "list", POST: "create", PATCH: "update", DELETE: "delete" },
  [ROTATE]: { POST: "rotate" }
}

const UNAUTHORIZED = "Required information not found"
const TOKEN_REQUIRED = "api_token is required"
const NAME_REQUIRED = "Name is required and must be a string"
const NAME_INVALID = "Invalid name format"

// What each endpoint says with a status, where the page of create, update or rotate documents it. The rest is an
// assumption: the pages of list and delete were not to be had in full, their texts follow the others'.
const texts = {
  list: { 401: UNAUTHORIZED, 500: "Failed to get transactional keys" },
  create: { 400: NAME_REQUIRED, 401: UNAUTHORIZED, 500: "Failed to create transactional key" },
  update: {
    400: NAME_INVALID,
    401: UNAUTHORIZED,
    404: "Transactional key not found or unauthorized",
    500: "Failed to update transactional key"
  },
  delete: {
    400: TOKEN_REQUIRED,
    401: UNAUTHORIZED,
    404: "Transactional key not found or unauthorized",
    500: "Failed to delete transactional key"
  },
  rotate: {
    400: TOKEN_REQUIRED,
    401: UNAUTHORIZED,
    403: "Cannot rotate a disabled transactional key. Enable it first.",
    404: "Transactional key not found or access denied",
    500: "Failed to rotate transactional key"
  }
} as const satisfies Record<Endpoint, Record<number, string>>

const documented = (endpoint: Endpoint, status: number): string | undefined => {
  const known: Readonly<Record<number, string>> = texts[endpoint]
  return known[status]
}

// -----------------------------------------------------------------------------
// rules
// -----------------------------------------------------------------------------

// The sandbox's own reading of the documented rules, as strict as their patterns would be with the dots escaped and the
// alternatives grouped, and no stricter. Plain loops: the published patterns are never compiled, one is exponential.

const isLetter = (char: string): boolean => (char >= "a" && char <= "z") || (char >= "A" && char <= "Z")
const isDigit = (char: string): boolean => char >= "0" && char <= "9"
const isHex = (char: string): boolean => isDigit(char) || (char >= "a" && char <= "f") || (char >= "A" && char <= "F")
const all = (text: string, test: (char: string) => boolean): boolean => {
  for (let index = 0; index < text.length; index++) {
    if (!test(text.charAt(index))) return false
  }
  return true
}

// The documented `\s` takes every white space, line breaks too, and so does this.
const isName = (value: string): boolean =>
  value.length >= 1 &&
  value.length <= 64 &&
  all(value, (char) => isLetter(char) || isDigit(char) || char === "-" || char === "_" || char.trim() === "")

const isDomain = (value: unknown): value is string => {
  if (typeof value !== "string") return false
  const labels = value.split(".")
  const top = labels.pop() ?? ""
  return (
    labels.length >= 1 &&
    top.length >= 2 &&
    all(top, isLetter) &&
    labels.every(
      (label) =>
        label.length >= 1 &&
        label.length <= 63 &&
        all(label, (char) => isLetter(char) || isDigit(char) || char === "-") &&
        !label.startsWith("-") &&
        !label.endsWith("-")
    )
  )
}

const isDecimal = (text: string, digits: number, max: number): boolean =>
  text.length >= 1 && text.length <= digits && all(text, isDigit) && Number(text) <= max

const isGroup = (text: string): boolean => text.length >= 1 && text.length <= 4 && all(text, isHex)

const isV6 = (text: string): boolean => {
  const halves = text.split("::")
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")))
  if (!groups.every(isGroup)) return false
  return halves.length === 1 ? groups.length === 8 : halves.length === 2 && groups.length <= 7
}

const isIp = (value: unknown): value is string => {
  if (typeof value !== "string") return false
  const slash = value.indexOf("/")
  const address = slash === -1 ? value : value.slice(0, slash)
  const prefix = slash === -1 ? undefined : value.slice(slash + 1)
  const v6 = address.includes(":")
  if (prefix !== undefined) {
    if (prefix.length > 1 && prefix.startsWith("0")) return false
    if (!isDecimal(prefix, 3, v6 ? 128 : 32)) return false
  }
  if (v6) return isV6(address)
  // The documented octets may have leading zeros.
  const octets = address.split(".")
  return octets.length === 4 && octets.every((octet) => isDecimal(octet, 3, 255))
}

const isListOf =
  (item: (value: unknown) => value is string, max: number) =>
  (value: unknown): value is ReadonlyArray<string> =>
    Array.isArray(value) && value.length <= max && value.every(item)

const isDomains = isListOf(isDomain, 253)
const isIps = isListOf(isIp, 50)
const isQuota = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 1_000_000

interface Config {
  readonly allowAllDomains?: boolean
  readonly approvedDomains?: ReadonlyArray<string>
  readonly quota?: number
  readonly ipRestrictions?: ReadonlyArray<string>
}

type Fields = Readonly<Record<PropertyKey, unknown>>

/** The fields that create and update share, or the text of the refusal. The texts are an assumption. */
const readConfig = ({ allowAllDomains, approvedDomains, ipRestrictions, quota }: Fields): Config | string => {
  if (allowAllDomains !== undefined && typeof allowAllDomains !== "boolean") return "allowAllDomains must be a boolean"
  if (approvedDomains !== undefined && !isDomains(approvedDomains)) return "Invalid approved domains"
  if (quota !== undefined && !isQuota(quota)) return "Quota must be an integer between 0 and 1000000"
  if (ipRestrictions !== undefined && !isIps(ipRestrictions)) return "Invalid IP restrictions"
  return {
    ...(allowAllDomains === undefined ? {} : { allowAllDomains }),
    ...(approvedDomains === undefined ? {} : { approvedDomains }),
    ...(quota === undefined ? {} : { quota }),
    ...(ipRestrictions === undefined ? {} : { ipRestrictions })
  }
}

// -----------------------------------------------------------------------------
// the vendor
// -----------------------------------------------------------------------------

interface Reply {
  readonly status: number
  readonly body: unknown
  readonly retryAfter?: number
}

const ok = (body: Record<string, unknown>): Reply => ({ status: 200, body: { success: true, ...body } })
const refuse = (status: number, error: string): Reply => ({ status, body: { success: false, error } })

/** A row of the database: what the account switched off is kept apart from what the vendor did. */
interface Row extends Omit<SandboxKey, "status"> {
  readonly disabled: boolean
  readonly standing: string
}

const statusOf = (row: Row): string => (row.disabled ? "disabled" : row.standing)

// assumption: "quota-unlocked" is a key whose lock was lifted, so it sends.
const sends = (status: string): boolean => status === "active" || status === "quota-unlocked"

const view = ({ disabled: _, standing: __, ...row }: Row, status: string): SandboxKey => ({ ...row, status })

const mask = (token: string): string => `transactional_************${token.slice(-4)}`

const MINUTE = 60_000

/**
 * Makes a vendor with an empty account.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<JetEmailSandbox["Service"]> =>
  Effect.sync(() => {
    const initialCredential = options?.credential ?? "api_test_jetemail_sandbox"
    const keyLimit = options?.keyLimit ?? 50
    const requestsPerMinute = options?.requestsPerMinute ?? 240
    const lockoutSeconds = options?.lockoutSeconds ?? 300

    // Every change is one synchronous step, so no two requests can meet half-way.
    const rows = new Map<string, Row>()
    const uuids = new Map<string, string>()
    const requests: Array<RecordedRequest> = []
    const failures: Array<number> = []
    let credential = initialCredential
    let format: ListFormat = "current"
    let masked = false
    let minted = 0
    let recent: Array<number> = []
    let lockedUntil = Number.NEGATIVE_INFINITY

    const mintToken = (): string => {
      for (;;) {
        minted++
        const token = `transactional_api_test_${String(minted).padStart(4, "0")}`
        if (!uuids.has(token)) return token
      }
    }

    const mintUuid = (): string => {
      for (let serial = rows.size + 1; ; serial++) {
        const uuid = `00000000-0000-4000-8000-${serial.toString(16).padStart(12, "0")}`
        if (!rows.has(uuid)) return uuid
      }
    }

    const find = (token: unknown): Row | undefined => {
      const uuid = typeof token === "string" ? uuids.get(token) : undefined
      return uuid === undefined ? undefined : rows.get(uuid)
    }

    const store = (row: Row): void => {
      rows.set(row.uuid, row)
      uuids.set(row.token, row.uuid)
    }

    const remove = (row: Row): void => {
      rows.delete(row.uuid)
      uuids.delete(row.token)
    }

    /** Counts a request of the account; the seconds left if it is, or with this request gets, locked out. */
    const lockedFor = (now: number): number | undefined => {
      if (now >= lockedUntil) {
        // assumption: the minute slides, and what is refused in a lockout neither counts nor prolongs it.
        recent = recent.filter((at) => at > now - MINUTE)
        if (recent.length < requestsPerMinute) {
          recent.push(now)
          return undefined
        }
        lockedUntil = now + lockoutSeconds * 1000
      }
      return Math.ceil((lockedUntil - now) / 1000)
    }

    const list = (): Reply => {
      const keys = Array.from(rows.values(), (row) => {
        const shared = {
          api_token: masked ? mask(row.token) : row.token,
          status: statusOf(row),
          usage: row.usage,
          quota: row.quota,
          // Milliseconds in a string beside seconds in a number: so the older page has it.
          created_date: String(row.createdAt),
          last_modified: Math.floor(row.modifiedAt / 1000)
        }
        return format === "legacy"
          ? {
              ...shared,
              approvedDomains: JSON.stringify(row.approvedDomains),
              ipRestrictions: JSON.stringify(row.ipRestrictions)
            }
          : // assumption: the newer page was cut off after `status`; the lists are arrays, the rest is as before.
            {
              ...shared,
              uuid: row.uuid,
              name: row.name,
              allowAllDomains: row.allowAllDomains,
              approvedDomains: row.approvedDomains,
              ipRestrictions: row.ipRestrictions
            }
      })
      return ok({ [format === "legacy" ? "transactional-keys" : "transactionalKeys"]: keys })
    }

    const create = (fields: Fields, now: number): Reply => {
      const { name } = fields
      // assumption: an empty name counts as missing.
      if (typeof name !== "string" || name === "") return refuse(400, NAME_REQUIRED)
      if (!isName(name)) return refuse(400, NAME_INVALID)
      const config = readConfig(fields)
      if (typeof config === "string") return refuse(400, config)
      // assumption: the request is judged before the plan is.
      if (rows.size >= keyLimit) return refuse(403, `Free accounts are limited to ${keyLimit} transactional keys`)
      const token = mintToken()
      store({
        token,
        uuid: mintUuid(),
        name,
        allowAllDomains: false,
        approvedDomains: [],
        quota: 0,
        ipRestrictions: [],
        ...config,
        usage: 0,
        disabled: false,
        standing: "active",
        createdAt: now,
        modifiedAt: now
      })
      return ok({ message: "Transactional key created successfully", api_token: token })
    }

    const update = (fields: Fields, now: number): Reply => {
      const { api_token, name, status } = fields
      // assumption: this page documents no text for a missing token; the one of rotate.
      if (typeof api_token !== "string" || api_token === "") return refuse(400, TOKEN_REQUIRED)
      const updated = ok({ message: "Transactional key updated successfully" })
      const missing = refuse(404, texts.update[404])
      const row = find(api_token)
      if (status !== undefined) {
        // "If provided, other update fields will be ignored": not even looked at.
        if (status !== 0 && status !== 1) return refuse(400, "Status must be 0 or 1")
        if (row === undefined) return missing
        // assumption: enabling undoes disabling only; what the vendor locked or suspended stays so.
        store({ ...row, disabled: status === 0, modifiedAt: now })
        return updated
      }
      if (name !== undefined && (typeof name !== "string" || !isName(name))) return refuse(400, NAME_INVALID)
      const config = readConfig(fields)
      if (typeof config === "string") return refuse(400, config)
      if (row === undefined) return missing
      // assumption: lists are replaced whole, what is left out stays, a disabled key can be changed, and a request
      // that changes nothing succeeds.
      store({ ...row, ...(name === undefined ? {} : { name }), ...config, modifiedAt: now })
      return updated
    }

    const delete_ = ({ api_token }: Fields): Reply => {
      if (typeof api_token !== "string" || api_token === "") return refuse(400, TOKEN_REQUIRED)
      const row = find(api_token)
      // assumption: a second deletion finds nothing.
      if (row === undefined) return refuse(404, texts.delete[404])
      remove(row)
      return ok({ message: "Transactional key deleted successfully" })
    }

    const rotate = ({ api_token }: Fields, now: number): Reply => {
      if (typeof api_token !== "string" || api_token === "") return refuse(400, TOKEN_REQUIRED)
      const row = find(api_token)
      if (row === undefined) return refuse(404, texts.rotate[404])
      const status = statusOf(row)
      if (status === "disabled") return refuse(403, texts.rotate[403])
      // assumption: "Key cannot be rotated in its current state" holds for every state but the active and quota ones.
      if (!sends(status) && status !== "quota-locked") {
        return refuse(403, "Cannot rotate a transactional key in its current state.")
      }
      const token = mintToken()
      uuids.delete(row.token)
      // assumption: the usage and the uuid stay, as the configuration does.
      store({ ...row, token, modifiedAt: now })
      return ok({ message: "Transactional key rotated successfully", api_token: token })
    }

    const perform = (endpoint: Endpoint, body: unknown, now: number): Reply => {
      // assumption: JSON that is no object has none of the fields.
      const fields = Predicate.isReadonlyObject(body) ? body : {}
      switch (endpoint) {
        case "list":
          return list()
        case "create":
          return create(fields, now)
        case "update":
          return update(fields, now)
        case "delete":
          return delete_(fields)
        case "rotate":
          return rotate(fields, now)
      }
    }

    const answer = (request: HttpServerRequest.HttpServerRequest, body: HttpSandbox.Body, now: number): Reply => {
      const path = request.url.split("?", 1)[0] ?? ""
      const methods = Object.hasOwn(routes, path) ? routes[path] : undefined
      const endpoint =
        methods !== undefined && Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
      // The limit is "per account (not per IP, Token, or other)": without its key a request is not the account's.
      const authorized = request.headers.authorization === `Bearer ${credential}`
      const seconds = authorized ? lockedFor(now) : undefined
      const failure = failures.shift()
      if (failure !== undefined) {
        return refuse(failure, (endpoint === undefined ? undefined : documented(endpoint, failure)) ?? "Request failed")
      }
      if (!authorized) return refuse(401, UNAUTHORIZED)
      // assumption: the body of a 429 is not documented.
      if (seconds !== undefined) return { ...refuse(429, "Too many requests"), retryAfter: seconds }
      if (methods === undefined) return refuse(404, "Not found")
      if (endpoint === undefined) return refuse(405, "Method not allowed")
      if (endpoint !== "list" && body._tag === "Malformed") return refuse(400, "Invalid JSON")
      return perform(endpoint, body._tag === "Json" ? body.value : undefined, now)
    }

    const app: HttpSandbox.App = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const body = yield* HttpSandbox.readBody(request)
      const now = yield* Clock.currentTimeMillis
      const reply = answer(request, body, now)
      const { authorization: _, ...headers } = request.headers
      requests.push({
        method: request.method,
        path: request.url,
        headers,
        body: body._tag === "Json" ? body.value : undefined,
        status: reply.status,
        at: now
      })
      return HttpServerResponse.jsonUnsafe(reply.body, {
        status: reply.status,
        ...(reply.retryAfter === undefined ? {} : { headers: { "retry-after": String(reply.retryAfter) } })
      })
    })

    return JetEmailSandbox.of({
      app,
      credential: Redacted.make(initialCredential),
      requests: Effect.sync(() => requests.slice()),
      keys: Effect.sync(() => Array.from(rows.values(), (row) => view(row, statusOf(row)))),
      isLive: (token) =>
        Effect.sync(() => {
          const row = find(token)
          return row !== undefined && sends(statusOf(row))
        }),
      addKey: (key) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.suspend(() => {
            const { status = "active", ...given } = key ?? {}
            const token = given.token ?? mintToken()
            const uuid = given.uuid ?? mintUuid()
            if (uuids.has(token) || rows.has(uuid)) {
              return Effect.die(new Error("JetEmailSandbox.addKey: a key with this token or uuid exists already"))
            }
            const row: Row = {
              name: "Sandbox key",
              allowAllDomains: false,
              approvedDomains: [],
              quota: 0,
              usage: 0,
              ipRestrictions: [],
              createdAt: now,
              modifiedAt: now,
              ...given,
              token,
              uuid,
              disabled: status === "disabled",
              standing: status === "disabled" ? "active" : status
            }
            store(row)
            return Effect.succeed(view(row, status))
          })
        ),
      removeKey: (token) =>
        Effect.sync(() => {
          const row = find(token)
          if (row !== undefined) remove(row)
        }),
      setStatus: (token, status) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.suspend(() => {
            const row = find(token)
            if (row === undefined) return Effect.die(new Error("JetEmailSandbox.setStatus: no key has this token"))
            store(
              status === "disabled"
                ? { ...row, disabled: true, modifiedAt: now }
                : { ...row, disabled: false, standing: status, modifiedAt: now }
            )
            return Effect.void
          })
        ),
      setCredential: (value) =>
        Effect.sync(() => {
          credential = value
        }),
      setListFormat: (value) =>
        Effect.sync(() => {
          format = value
        }),
      setMasked: (value) =>
        Effect.sync(() => {
          masked = value
        }),
      lockOut: (lock) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          lockedUntil = now + (lock?.seconds ?? lockoutSeconds) * 1000
        }),
      failNext: (status) =>
        Effect.sync(() => {
          failures.push(status)
        })
    })
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
export const layer = (options?: Options): Layer.Layer<JetEmailSandbox> => Layer.effect(JetEmailSandbox, make(options))

/**
 * The vendor and an `HttpClient` whose every request it answers, in process and by the test's own clock.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (options?: Options): Layer.Layer<JetEmailSandbox | HttpClient.HttpClient> =>
  Layer.unwrap(JetEmailSandbox.useSync((sandbox) => HttpSandbox.layerClient(sandbox.app))).pipe(
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
export const layerServer = (options?: Options): Layer.Layer<JetEmailSandbox, never, HttpServer.HttpServer> =>
  Layer.unwrap(JetEmailSandbox.useSync((sandbox) => HttpSandbox.serve(sandbox.app))).pipe(
    Layer.provideMerge(layer(options))
  )
