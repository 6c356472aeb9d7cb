/**
 * The HTTP half that every adapter shares: credential, limiter, time-out, repeats, decoding.
 *
 * An adapter describes each endpoint as data; how a call behaves follows from the endpoint's {@link Safety}.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  ApiKeyError,
  type ApiKeyErrorReason,
  AuthenticationFailed,
  type HttpExchange,
  InvalidRequest,
  type Issue,
  OutcomeUnknown,
  PermissionDenied,
  ProviderUnavailable,
  RateLimited,
  UnexpectedResponse
} from "./ApiKeyError.ts"
import { checkDuration, issuesOf, safePart } from "./internal/issues.ts"
import * as Limiter from "./internal/limiter.ts"
import { withDeadline } from "./internal/mintRegion.ts"
import { traceExchange } from "./internal/telemetry.ts"

export type {
  /**
   * So many calls in any window of this length.
   *
   * @since 0.1.0
   * @category models
   */
  Budget,
  /**
   * What a vendor lets through, for one account.
   *
   * @since 0.1.0
   * @category models
   */
  Budgets,
  /**
   * A budget of one endpoint's own.
   *
   * @since 0.1.0
   * @category models
   */
  EndpointBudget
} from "./internal/limiter.ts"

/**
 * What may be done with a call whose reply was lost.
 *
 * **Details**
 *
 * - `read`: repeated.
 * - `idempotent`: repeated; twice is once.
 * - `remove`: repeated; a 404 on the repeat of an attempt that may have been carried out is success.
 * - `mint`: never repeated; an end that proves nothing is `OutcomeUnknown`.
 *
 * @since 0.1.0
 * @category models
 */
export type Safety = "read" | "idempotent" | "remove" | "mint"

/**
 * Where the manager's credential comes from: a value, or an effect that is run for every call, so that the credential
 * can rotate under a living layer.
 *
 * @since 0.1.0
 * @category models
 */
export type Credential = Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, unknown>

/**
 * How reads and other repeatable calls are repeated after transport errors, time-outs, 408 and 5xx.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  /** How many repeats at the most; 3 unless given. */
  readonly times?: number | undefined
  /** The first delay, which doubles and is jittered; 200 milliseconds unless given. */
  readonly base?: Duration.Input | undefined
}

/**
 * How calls wait for the vendor's budget.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimitOptions {
  /** How long a call waits for its turn before it fails with `RateLimited`; 10 seconds unless given, 0 to fail fast. */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * What a user of any adapter can set.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions {
  /** The manager's credential at the vendor. */
  readonly apiKey: Credential
  /** Where the vendor's API is; `https`, or `http` on loopback. */
  readonly baseUrl?: string | undefined
  /** Your name for the account at the vendor, `"default"` unless given; refs, limits and handles belong to it. */
  readonly account?: string | undefined
  /** How long one HTTP attempt may take; 30 seconds unless given. */
  readonly timeout?: Duration.Input | undefined
  /** Repeats of calls that are safe to repeat; `false` for none. Mints are never repeated. */
  readonly retry?: RetryOptions | false | undefined
  /** The limiter that keeps the vendor from locking the account; `false` for none. */
  readonly rateLimit?: RateLimitOptions | false | undefined
  /** The largest reply that is read, in bytes; 16 MB unless given. */
  readonly maxReplyBytes?: number | undefined
  /**
   * A last change to the HTTP client, for a proxy or a test.
   *
   * **Gotchas**
   *
   * It must not repeat requests (`HttpClient.retry`, `retryTransient`), and nor must the `HttpClient` of the context: a
   * client that does would repeat mints, and nothing here could see it.
   */
  readonly transformClient?: ((client: HttpClient.HttpClient) => HttpClient.HttpClient) | undefined
}

/**
 * What an adapter says of its vendor.
 *
 * @since 0.1.0
 * @category models
 */
export interface VendorOptions extends ClientOptions {
  /** The provider's id, such as `jetemail`. */
  readonly provider: string
  readonly baseUrl: string
  /** The header that carries the credential. */
  readonly authorization: (credential: string) => readonly [name: string, value: string]
  readonly budgets: Limiter.Budgets
  /** What a status means at every endpoint of this vendor that does not say otherwise; as in {@link Endpoint}. */
  readonly errors?: Errors | undefined
}

/**
 * What statuses mean, where it differs from what they mean everywhere; each is given the reply, if it is JSON. `undefined`
 * is what the status means everywhere.
 *
 * @since 0.1.0
 * @category models
 */
export type Errors = Readonly<Record<number, (reply: unknown) => ApiKeyErrorReason | undefined>>

/**
 * One endpoint of a vendor, as data.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint<Body, A> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /**
   * The path's template below `baseUrl`, with a query where there is one (`/keys?after=:id`); each `:name` is filled from
   * the request's `params`, percent-encoded.
   */
  readonly path: string
  readonly safety: Safety
  /** Encodes the body as JSON, strictly and at once; left out for no body. */
  readonly body?: Schema.Codec<Body, Schema.Json> | undefined
  /** Decodes what is needed of a 2xx reply, leniently. */
  readonly reply: Schema.Codec<A, unknown>
  /**
   * Reads a 2xx reply that `reply` cannot decode: JSON of any shape, or text that is no JSON. At a mint it finds the
   * secret, and must give nothing where it cannot be certain.
   */
  readonly salvage?: ((reply: unknown, body: Body) => Option.Option<A>) | undefined
  /** What a removal gives back when a repeat finds that an earlier attempt carried it out. */
  readonly gone?: (() => A) | undefined
  /** What a redirect means here, which is never followed; a failure unless given. */
  readonly redirected?: (() => A) | undefined
  /** What a status means here, where it differs from what it means at this vendor. */
  readonly errors?: Errors | undefined
  /** Refuses a request by the credential that it would carry: where the manager's own key is among those it manages. */
  readonly guard?: ((body: Body, credential: string) => ApiKeyErrorReason | undefined) | undefined
  /** A budget of this endpoint's own, on top of the account's. */
  readonly budget?: Limiter.EndpointBudget | undefined
}

/**
 * What an endpoint has, beside its method and path, that removes and whose reply is not documented: any 2xx and any redirect
 * may be a success, unless the vendor says in it that it is none. Read the key afterwards, with
 * `ApiKeyDriver.removeAndVerify`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const undocumentedRemoval = (isRefusal: (reply: unknown) => boolean) =>
  ({
    safety: "remove",
    reply: Schema.Unknown.check(Schema.makeFilter((reply) => !isRefusal(reply))),
    // Text that is no JSON, or too much of it.
    salvage: (reply: unknown) => (Predicate.isObject(reply) ? Option.none() : Option.some(undefined)),
    redirected: () => undefined,
    gone: () => undefined
  }) as const

/**
 * What one request of an endpoint says: the parameters of its path, and its body where it has one.
 *
 * **Details**
 *
 * `credential` is carried in place of the manager's: to ask the vendor about that very key. It is as secret, and goes nowhere
 * else.
 *
 * @since 0.1.0
 * @category models
 */
export type Request<Body> = {
  readonly params?: Readonly<Record<string, string>>
  readonly credential?: Redacted.Redacted<string>
} & (unknown extends Body ? { readonly body?: undefined } : { readonly body: Body })

/**
 * A request that is ready to leave: encoded, admitted by the limiter and with its credential read.
 *
 * **Gotchas**
 *
 * `send` makes one request each time it is run. A mint must be sent once, where nothing interrupts it: `ApiKeyService`
 * does that, and hands the secret over before anything can lose it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedRequest<A> {
  readonly send: Effect.Effect<A, ApiKeyError>
}

/**
 * One vendor's HTTP client.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProviderClient {
  readonly provider: string
  readonly account: string
  /** The manager's credential, as a call would read it now; for vendors at which it may be one of the keys it manages. */
  readonly credential: Effect.Effect<Redacted.Redacted<string>, ApiKeyError>
  /** An endpoint that may be repeated: calls it, with repeats by its safety. */
  readonly call: <Body, A>(
    endpoint: Endpoint<Body, A> & { readonly safety: Exclude<Safety, "mint"> }
  ) => (request: Request<Body>) => Effect.Effect<A, ApiKeyError>
  /** An endpoint that mints: prepares the one request. */
  readonly prepare: <Body, A>(
    endpoint: Endpoint<Body, A> & { readonly safety: "mint" }
  ) => (request: Request<Body>) => Effect.Effect<PreparedRequest<A>, ApiKeyError>
}

/** What went out and came back, and what it means. */
interface Failure {
  readonly reason: ApiKeyErrorReason
  readonly status?: number
}

const fail = (reason: ApiKeyErrorReason, status?: number): Effect.Effect<never, Failure> =>
  Effect.fail(status === undefined ? { reason } : { reason, status })

/** How long one lockout is believed at the most: a `Retry-After` of years must not shut the gate for years. */
const longestLockout = Duration.hours(1)
const shortestLockout = Duration.seconds(1)

const noIssues: ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly message: string }> = []

/** Error codes of the resolver, of TLS and of undici which prove that no byte of the request reached the vendor. */
const notSentCodes: ReadonlySet<string> = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "ERR_TLS_CERT_ALTNAME_INVALID"
])

/** Whether an error proves that nothing was sent; several attempts at several addresses must all prove it. */
const provesNotSent = (error: unknown, depth = 0): boolean => {
  if (!Predicate.isObject(error) || depth > 8) return false
  if (Array.isArray(error.errors) && error.errors.length > 0) {
    return error.errors.every((inner) => provesNotSent(inner, depth + 1))
  }
  // A connection that could not be made; the same codes also end connections on which something was sent.
  if (error.syscall === "connect") return true
  return Predicate.isString(error.code) ? notSentCodes.has(error.code) : provesNotSent(error.cause, depth + 1)
}

const transportFailure =
  (safety: Safety) =>
  (error: HttpClientError.HttpClientError): Effect.Effect<never, Failure> => {
    const sent = !(
      error.reason._tag === "EncodeError" ||
      error.reason._tag === "InvalidUrlError" ||
      provesNotSent(error.reason)
    )
    return fail(
      safety === "mint" && sent
        ? new OutcomeUnknown({ problem: "transport", issues: noIssues })
        : new ProviderUnavailable({ problem: "transport", sent })
    )
  }

const timeoutFailure = (safety: Safety) => (): Effect.Effect<never, Failure> =>
  fail(
    safety === "mint"
      ? new OutcomeUnknown({ problem: "timeout", issues: noIssues })
      : new ProviderUnavailable({ problem: "timeout", sent: true })
  )

/** A 2xx reply that could not be used, or a redirect: on a mint, nobody knows what it did. */
const unusable = (
  safety: Safety,
  problem: UnexpectedResponse["problem"],
  issues: OutcomeUnknown["issues"] = noIssues
) =>
  safety === "mint" ? new OutcomeUnknown({ problem: "reply", issues }) : new UnexpectedResponse({ problem, issues })

const visibleAscii = /^[\x21-\x7e]+$/

const placeholder = /:([A-Za-z]+)/g

/**
 * Fills a path template. A parameter is percent-encoded, and one that is missing, empty, made of dots (URL parsers read
 * an encoded `..` as a step up) or not well-formed is refused.
 */
const fillPath = (template: string, params: Readonly<Record<string, string>>): Result.Result<string, Failure> => {
  const bad: Array<string> = []
  const path = template.replace(placeholder, (_, name: string) => {
    const value = params[name] ?? ""
    if (!/^\.{0,2}$/.test(value) && value.isWellFormed()) return encodeURIComponent(value)
    bad.push(name)
    return ""
  })
  if (bad.length === 0) return Result.succeed(path)
  const issues = bad.map((name) => ({ path: [name], message: "cannot stand in a path: give the key's own id" }))
  return Result.fail({ reason: new InvalidRequest({ source: "client", issues }) })
}

/** Where a body holds a number that JSON has no word for: it would be sent as `null`, which may mean "unlimited". */
const notFinite = (body: unknown, path: Issue["path"] = []): ReadonlyArray<Issue> => {
  if (Predicate.isNumber(body)) return Number.isFinite(body) ? [] : [{ path, message: "must be a finite number" }]
  if (Array.isArray(body)) return body.flatMap((inner, index) => notFinite(inner, [...path, index]))
  if (!Predicate.isObject(body)) return []
  return Object.entries(body).flatMap(([key, inner]) => notFinite(inner, [...path, safePart(key)]))
}

/** Encodes the bodies of an endpoint, strictly; `undefined` where it has none. */
const encoderOf = <Body>(
  schema: Schema.Codec<Body, Schema.Json> | undefined
): ((body: Body) => Result.Result<Schema.Json | undefined, ReadonlyArray<Issue>>) => {
  if (schema === undefined) return () => Result.succeed(undefined)
  const encode = Schema.encodeResult(schema, { onExcessProperty: "error" })
  return (body) => {
    const encoded = Result.mapError(encode(body), (error) => issuesOf(error, "not acceptable here"))
    const issues = Result.isSuccess(encoded) ? notFinite(encoded.success) : []
    return issues.length > 0 ? Result.fail(issues) : encoded
  }
}

/** A reply that says it is this short is read in one go: HTTP ends it there. In bytes. */
const shortReply = 64 * 1024

/** Reads a reply's body as text, at most so many bytes. */
const readText = (response: HttpClientResponse.HttpClientResponse, maxBytes: number) =>
  Effect.suspend(() => {
    const { "content-encoding": encoding, "content-length": declared } = response.headers
    const length = Number(declared)
    if (length > maxBytes) return Effect.succeed(Option.none<string>())
    // What is compressed may unfold to any length.
    if (length > 0 && length <= shortReply && encoding === undefined) {
      return Effect.map(response.text, (text) => (text.length > maxBytes ? Option.none() : Option.some(text)))
    }
    const decoder = new TextDecoder()
    let bytes = 0
    let text = ""
    return Stream.runForEachWhile(response.stream, (chunk) =>
      Effect.sync(() => {
        bytes += chunk.byteLength
        if (bytes > maxBytes) return false
        text += decoder.decode(chunk, { stream: true })
        return true
      })
    ).pipe(
      Effect.map(() => (bytes > maxBytes ? Option.none() : Option.some(text + decoder.decode()))),
      // A reply without a body is an error to some clients.
      Effect.catchReason("HttpClientError", "EmptyBodyError", () => Effect.succeed(Option.some("")))
    )
  })

const parseJson = (text: string): Result.Result<unknown, unknown> =>
  text === "" ? Result.succeed(undefined) : Result.try((): unknown => JSON.parse(text))

/** Whether a text holds a credential; one of a few characters, which no vendor gives out, could stand in any text. */
const holds = (credential: string) => (text: string) => credential.length >= 8 && text.includes(credential)

/** A value as JSON has it, without the quotes around a string: however a reply escapes it, this is how it reads here. */
const quoted = (value: unknown): string => (JSON.stringify(value) ?? "").replace(/^"|"$/g, "")

/** Whether a reply holds a credential, as it is or escaped in any way. */
const tells = (credential: string, text: string, reply: unknown): boolean =>
  holds(credential)(text) || (text.includes("\\") && holds(quoted(credential))(quoted(reply)))

const unexpectedShape = (error: Schema.SchemaError) => issuesOf(error, "missing or of an unexpected shape")
const noJson = Result.fail([{ path: [], message: "not JSON" }])

/** How long a 429 asks us to wait, bounded; the vendor's usual lockout where it does not say. */
const lockoutOf = (response: HttpClientResponse.HttpClientResponse, usual: Duration.Duration, now: number) => {
  const header = response.headers["retry-after"]
  const parsed = header === undefined ? Result.fail(undefined) : Headers.parseRetryAfter(header)
  const asked = Result.isSuccess(parsed) ? Headers.retryAfterDelay(parsed.success, now) : usual
  return Duration.clamp(asked, { minimum: shortestLockout, maximum: longestLockout })
}

const checkBaseUrl = (baseUrl: string): Result.Result<string, string> => {
  const url = Result.try(() => new URL(baseUrl))
  if (Result.isFailure(url)) return Result.fail("must be an absolute URL, such as https://api.example.com")
  const { hash, hostname, origin, password, pathname, protocol, search, username } = url.success
  if (username !== "" || password !== "") return Result.fail("must not hold credentials")
  if (search !== "" || hash !== "") return Result.fail("must not hold a query or a fragment")
  const loopback = hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname)
  if (protocol !== "https:" && !(protocol === "http:" && loopback)) {
    return Result.fail("must be https (http is allowed on loopback alone): the credential would travel in clear")
  }
  // Not `href`, which keeps a lone `?` or `#`: paths would be appended behind it.
  return Result.succeed(origin + pathname.replace(/\/+$/, ""))
}

/**
 * Makes the client of one vendor's account.
 *
 * **Details**
 *
 * Fails with `InvalidRequest` for options that cannot work, each by its name: a `baseUrl` that is no URL, holds
 * credentials, or would send the credential in clear; a duration that is none; a number that is out of range.
 * The limiter keeps its counts in the `RateLimiterStore` from the context, else in memory of its own: give the layers of
 * one account one store (`RateLimiter.layerStoreMemory`, or Redis for many processes) for them to share its budget.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: VendorOptions
): Effect.fn.Return<ProviderClient, ApiKeyError, HttpClient.HttpClient | Scope.Scope> {
  const { provider } = options
  const account = options.account ?? "default"
  const retry = options.retry ?? {}
  const rateLimit = options.rateLimit ?? {}
  const maxReplyBytes = options.maxReplyBytes ?? 16 * 1024 * 1024
  const issues: Array<Issue> = []
  const duration = (field: string, input: Duration.Input | undefined, otherwise: Duration.Input): Duration.Duration =>
    Result.getOrElse(checkDuration(field.split("."), input ?? otherwise), (issue) => {
      issues.push(issue)
      return Duration.zero
    })
  const timeout = duration("timeout", options.timeout, "30 seconds")
  const retryBase = duration("retry.base", retry === false ? undefined : retry.base, "200 millis")
  const maxWait = duration("rateLimit.maxWait", rateLimit === false ? undefined : rateLimit.maxWait, "10 seconds")
  const retryTimes = retry === false ? 0 : (retry.times ?? 3)
  if (!(Number.isSafeInteger(retryTimes) && retryTimes >= 0)) {
    issues.push({ path: ["retry", "times"], message: "must be a whole number, 0 or above" })
  }
  if (!(Number.isSafeInteger(maxReplyBytes) && maxReplyBytes > 0)) {
    issues.push({ path: ["maxReplyBytes"], message: "must be a whole number of bytes, above 0" })
  }
  const baseUrl = checkBaseUrl(options.baseUrl)
  if (Result.isFailure(baseUrl)) issues.push({ path: ["baseUrl"], message: baseUrl.failure })
  if (Result.isFailure(baseUrl) || issues.length > 0) {
    const reason = new InvalidRequest({ source: "client", issues })
    return yield* new ApiKeyError({ provider, operation: "layer", reason })
  }
  const lockout = Duration.fromInputUnsafe(options.budgets.lockout)
  const limiter =
    rateLimit === false
      ? Limiter.unlimited
      : yield* Limiter.make({ provider, account, budgets: options.budgets, maxWait })

  const given = yield* HttpClient.HttpClient
  const client = options.transformClient === undefined ? given : options.transformClient(given)
  const [authorizationName] = options.authorization("")

  const redactedNames = [authorizationName, "authorization", /key|token|secret/i]
  const requestInit: RequestInit = { redirect: "manual", cache: "no-store", credentials: "omit" }
  // Set on every request rather than on the layer: a caller's own settings must not turn any of it off. Added one by one: to
  // merge would copy all services of the program at every request.
  const addSettings = (caller: Context.Context<never>) =>
    caller.pipe(
      // No span of Effect's own, and so no `traceparent` either.
      Context.add(HttpClient.TracerDisabledWhen, () => true),
      Context.add(Headers.CurrentRedactedNames, redactedNames),
      Context.add(FetchHttpClient.RequestInit, requestInit)
    )

  const unreadable = () => new AuthenticationFailed({ problem: "unreadable" })

  /** A credential as it goes into a header. A wiped one throws. */
  const valueOf = (credential: Redacted.Redacted<string>): Result.Result<string, ApiKeyErrorReason> => {
    const read = Result.try((): unknown => Redacted.value(credential))
    if (Result.isFailure(read)) return Result.fail(unreadable())
    // From JavaScript, an environment variable that is not set is `undefined`.
    return Predicate.isString(read.success) && visibleAscii.test(read.success)
      ? Result.succeed(read.success)
      : Result.fail(new AuthenticationFailed({ problem: "malformed" }))
  }

  const readCredential = (from: Credential): Effect.Effect<string, ApiKeyErrorReason> =>
    Redacted.isRedacted(from)
      ? Effect.suspend(() => Effect.fromResult(valueOf(from)))
      : Effect.timeoutOrElse(from, { duration: timeout, orElse: () => Effect.fail(unreadable()) }).pipe(
          // Whatever the effect failed with stays here: it may hold the credential.
          Effect.catchCause(() => Effect.fail(unreadable())),
          Effect.flatMap((credential) => Effect.fromResult(valueOf(credential)))
        )

  const attempt = <Body, A>(endpoint: Endpoint<Body, A>) => {
    const { method, safety } = endpoint
    const encode = encoderOf(endpoint.body)
    const decode = Schema.decodeUnknownResult(endpoint.reply)
    const base = HttpClientRequest.make(method)(baseUrl.success, { acceptJson: true })
    const requestTo = (path: string) => HttpClientRequest.appendUrl(base, path)
    /** The request of a path that has nothing to fill in. */
    const fixed = endpoint.path.includes(":") ? undefined : Result.succeed(requestTo(endpoint.path))

    const exchange = (status: number | undefined): HttpExchange =>
      status === undefined ? { method, path: endpoint.path } : { method, path: endpoint.path, status }

    const classify = (status: number, reply: unknown): ApiKeyErrorReason => {
      const special = endpoint.errors?.[status]?.(reply) ?? options.errors?.[status]?.(reply)
      if (special !== undefined) return special
      if (status === 401) return new AuthenticationFailed({ problem: "rejected" })
      if (status === 402 || status === 403) return new PermissionDenied()
      if (status === 408 || status >= 500) {
        return safety === "mint"
          ? new OutcomeUnknown({ problem: "status", issues: noIssues })
          : new ProviderUnavailable({ problem: "status", sent: true })
      }
      return new InvalidRequest({ source: "provider", issues: noIssues })
    }

    /** What a reply means; no text is one that was too long. */
    const understand = (
      status: number,
      text: Option.Option<string>,
      body: Body,
      credential: string
    ): Result.Result<A, Failure> => {
      const fail = (reason: ApiKeyErrorReason): Result.Result<never, Failure> => Result.fail({ reason, status })
      const ok = status < 300
      if (ok && Option.isNone(text)) {
        const unread = safety === "remove" ? endpoint.salvage?.(undefined, body) : undefined
        return unread?._tag === "Some" ? Result.succeed(unread.value) : fail(unusable(safety, "size"))
      }
      const json = parseJson(Option.getOrElse(text, () => ""))
      const reply = Result.getOrUndefined(json)
      // A proxy that answers with the request: the only secret in it is the manager's own, which must not be given away.
      if (safety === "mint" && ok && Option.exists(text, (shown) => tells(credential, shown, reply))) {
        return fail(unusable(safety, "body", [{ path: [], message: "holds the manager's own credential" }]))
      }
      if (!ok) return fail(classify(status, reply))
      // No body at all may be a reply; text that is not JSON is never one, whatever is asked of it.
      const decoded = Result.isSuccess(json) ? Result.mapError(decode(reply), unexpectedShape) : noJson
      if (Result.isSuccess(decoded)) return Result.succeed(decoded.success)
      const salvaged =
        endpoint.salvage?.(Result.isSuccess(json) ? reply : Option.getOrUndefined(text), body) ?? Option.none()
      return Option.isSome(salvaged) ? Result.succeed(salvaged.value) : fail(unusable(safety, "body", decoded.failure))
    }

    const receive = (
      response: HttpClientResponse.HttpClientResponse,
      body: Body,
      credential: string
    ): Effect.Effect<A, Failure> => {
      const { status } = response
      if (status === 429) {
        return Effect.flatMap(Clock.currentTimeMillis, (now) =>
          fail(new RateLimited({ retryAfter: lockoutOf(response, lockout, now), source: "provider" }), status)
        )
      }
      // Fetch shows a redirect that it did not follow as status 0 in browsers.
      if (status < 200 || (status >= 300 && status < 400)) {
        return endpoint.redirected === undefined
          ? fail(unusable(safety, "redirect"), status)
          : Effect.sync(endpoint.redirected)
      }
      return Effect.matchEffect(readText(response, maxReplyBytes), {
        onSuccess: (text) => Effect.fromResult(understand(status, text, body, credential)),
        // What an error status means does not hang on its body.
        onFailure: (error) =>
          status < 300
            ? transportFailure(safety)(error)
            : Effect.fromResult(understand(status, Option.some(""), body, credential))
      })
    }

    const late = timeoutFailure(safety)

    /** Sends one request, within the time-out of one attempt, which holds even against a client that cannot be interrupted. */
    const send = (request: HttpClientRequest.HttpClientRequest, body: Body, credential: string) =>
      Effect.suspend(() => {
        let status: number | undefined
        const exchanged = Effect.matchEffect(client.execute(request), {
          onSuccess: (response) => {
            status = response.status
            return receive(response, body, credential)
          },
          onFailure: transportFailure(safety)
        })
        return Effect.onExit(withDeadline(exchanged, timeout), () => traceExchange(exchange(status)))
      }).pipe(
        Effect.flatMap((end) => (end === "deadline" ? late() : end)),
        // Outside the time-out: a store that hangs must not change what the reply means.
        Effect.tapError(({ reason, status = 0 }) =>
          reason._tag === "RateLimited"
            ? limiter.close(reason.retryAfter)
            : status >= 400
              ? limiter.countError
              : Effect.void
        ),
        Effect.updateContext(addSettings)
      )

    const prepare = ({
      body: given,
      credential: own,
      params
    }: Request<Body>): Effect.Effect<Effect.Effect<A, Failure>, Failure> =>
      Effect.suspend(() => {
        // A request has a body of the endpoint's type exactly where the endpoint has one: see `Request`.
        const body = given as Body
        const encoded = encode(body)
        if (Result.isFailure(encoded)) {
          return fail(new InvalidRequest({ source: "client", issues: encoded.failure }))
        }
        const json = encoded.success
        const unsigned = fixed ?? Result.map(fillPath(endpoint.path, params ?? {}), requestTo)
        if (Result.isFailure(unsigned)) return Effect.fail(unsigned.failure)
        return Effect.matchEffect(limiter.admit(endpoint.budget, readCredential(own ?? options.apiKey)), {
          onFailure: (reason) => fail(reason),
          onSuccess: (credential) => {
            // With the credential that this very request would carry: it may be another than a moment ago.
            const forbidden = endpoint.guard?.(body, credential)
            if (forbidden !== undefined) return fail(forbidden)
            const [name, value] = options.authorization(credential)
            const request = HttpClientRequest.setHeader(unsigned.success, name, value)
            return Effect.succeed(
              send(json === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, json), body, credential)
            )
          }
        })
      })

    const toError = ({ reason, status }: Failure): ApiKeyError =>
      new ApiKeyError({ provider, operation: `${method} ${endpoint.path}`, http: exchange(status), reason })

    return { prepare, toError }
  }

  /** How long to wait before the repeat of this attempt: twice as long each time, and jittered by a fifth. */
  const backoff = (attempt: number) =>
    Effect.map(Random.nextBetween(0.8, 1.2), (jitter) => Duration.times(retryBase, jitter * 2 ** (attempt - 1)))

  /** Whether a repeat may help, and soon enough for someone to wait for it. */
  const worthRepeating = ({ reason }: Failure): boolean =>
    reason._tag === "ProviderUnavailable"
      ? reason.problem !== "limiter" && reason.problem !== "closed"
      : reason._tag === "RateLimited" &&
        reason.source === "provider" &&
        !Duration.isGreaterThan(reason.retryAfter, maxWait)

  /** Whether a failure says that nothing was sent: those without a status, but for a connection that broke. */
  const wasNotSent = ({ reason, status }: Failure): boolean =>
    status === undefined && !(reason._tag === "ProviderUnavailable" && reason.sent)

  /** A 429 is waited out in full, whether or not a gate holds the repeat as well. */
  const waitFor = (attempt: number, { reason }: Failure) =>
    Effect.flatMap(backoff(attempt), (delay) =>
      Effect.sleep(reason._tag === "RateLimited" ? Duration.sum(reason.retryAfter, delay) : delay)
    )

  return {
    provider,
    account,
    credential: readCredential(options.apiKey).pipe(
      Effect.map((credential) => Redacted.make(credential)),
      Effect.mapError((reason) => new ApiKeyError({ provider, operation: "apiKey", reason }))
    ),
    call: <Body, A>(endpoint: Endpoint<Body, A> & { readonly safety: Exclude<Safety, "mint"> }) => {
      const { prepare, toError } = attempt(endpoint)
      return (request: Request<Body>) => {
        /** `lost` is the failure of an earlier attempt that may have been carried out. */
        const attemptNumber = (number: number, lost: Failure | undefined): Effect.Effect<A, Failure> =>
          Effect.catch(Effect.flatten(prepare(request)), (failure) => {
            const { reason } = failure
            if (endpoint.gone !== undefined && lost !== undefined && reason._tag === "KeyNotFound") {
              return Effect.sync(endpoint.gone)
            }
            const maybeDone = reason._tag === "ProviderUnavailable" && reason.sent ? failure : lost
            // A repeat that was not sent does not make it true that nothing was changed.
            const told = endpoint.safety !== "read" && wasNotSent(failure) ? (maybeDone ?? failure) : failure
            return number <= retryTimes && worthRepeating(told)
              ? Effect.andThen(waitFor(number, told), attemptNumber(number + 1, maybeDone))
              : Effect.fail(told)
          })
        return Effect.mapError(attemptNumber(1, undefined), toError)
      }
    },
    prepare: (endpoint) => {
      const { prepare, toError } = attempt(endpoint)
      return (request) =>
        prepare(request).pipe(
          Effect.map((send) => ({ send: Effect.mapError(send, toError) })),
          Effect.mapError(toError)
        )
    }
  }
})
