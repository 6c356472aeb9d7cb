/**
 * The one error of the library, and its reasons.
 *
 * No error holds a secret, a request, a reply or a vendor's text: only what this library wrote, the provider's id, the
 * verb, the key's printable handle, and of the HTTP exchange its method, path template and status.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { MintIntent } from "./Recovery.ts"
import { Restriction } from "./Restrictions.ts"

/**
 * One thing that is wrong with a request: where, and what to do about it; never the value.
 *
 * @since 0.1.0
 * @category models
 */
export const Issue = Schema.Struct({
  path: Schema.Array(Schema.Union([Schema.String, Schema.Int])),
  message: Schema.String
})

/**
 * One thing that is wrong with a request: where, and what to do about it; never the value.
 *
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

const formatPath = (path: Issue["path"]): string =>
  path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`),
    ""
  )

const formatIssues = (issues: ReadonlyArray<Issue>): string =>
  issues
    .map((issue) => (issue.path.length === 0 ? issue.message : `${formatPath(issue.path)}: ${issue.message}`))
    .join("; ")

const formatNames = (names: ReadonlyArray<string>): string => names.join(", ")

const formatDuration = (duration: Duration.Duration): string => `${Math.ceil(Duration.toSeconds(duration))} s`

/**
 * The manager's own credential is missing, cannot be read, cannot be sent, or was rejected.
 *
 * @since 0.1.0
 * @category reasons
 */
export class AuthenticationFailed extends Schema.TaggedError<AuthenticationFailed>(
  "@effect-api-keys/core/AuthenticationFailed"
)("AuthenticationFailed", {
  problem: Schema.Literals(["unreadable", "malformed", "rejected"])
}) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    const texts = {
      unreadable: "the manager's credential could not be read: the `apiKey` effect failed. Nothing was sent",
      malformed:
        "the manager's credential is empty or has characters that cannot stand in a header (only visible ASCII can). Nothing was sent",
      rejected:
        "the vendor did not accept the manager's credential: check that `apiKey` is a management key, complete, and not disabled"
    }
    return texts[this.problem]
  }
}

/**
 * The manager's credential is valid but may not do this.
 *
 * @since 0.1.0
 * @category reasons
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>("@effect-api-keys/core/PermissionDenied")(
  "PermissionDenied",
  {}
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return "the manager's credential may not do this: grant it the permission at the vendor, or use another credential"
  }
}

/**
 * There is no such key, or it belongs to someone else.
 *
 * @since 0.1.0
 * @category reasons
 */
export class KeyNotFound extends Schema.TaggedError<KeyNotFound>("@effect-api-keys/core/KeyNotFound")(
  "KeyNotFound",
  {}
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return "the vendor knows no such key in this account: it was deleted or rotated, or belongs to another account"
  }
}

/**
 * The library (`source: "client"`, nothing was sent) or the vendor (`"provider"`) refuses the request.
 *
 * @since 0.1.0
 * @category reasons
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("@effect-api-keys/core/InvalidRequest")(
  "InvalidRequest",
  { source: Schema.Literals(["client", "provider"]), issues: Schema.Array(Issue) }
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    const issues = formatIssues(this.issues)
    return this.source === "client"
      ? `refused before anything was sent: ${issues}`
      : `the vendor refused the request${issues === "" ? "" : `: ${issues}`}`
  }
}

/**
 * The account holds as many keys as its plan allows.
 *
 * @since 0.1.0
 * @category reasons
 */
export class KeyLimitReached extends Schema.TaggedError<KeyLimitReached>("@effect-api-keys/core/KeyLimitReached")(
  "KeyLimitReached",
  {}
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return "the account holds as many keys as its plan allows: delete keys that are no longer used, or change the plan"
  }
}

/**
 * The key's present state does not allow this.
 *
 * @since 0.1.0
 * @category reasons
 */
export class InvalidKeyState extends Schema.TaggedError<InvalidKeyState>("@effect-api-keys/core/InvalidKeyState")(
  "InvalidKeyState",
  { status: Schema.optionalKey(Schema.Literals(["active", "disabled", "suspended", "sandbox", "unknown"])) }
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return this.status === undefined
      ? "the key's present state does not allow this (a disabled key, for example, must be enabled before it is rotated)"
      : `the vendor took the change, but the key is "${this.status}": look at the vendor's dashboard, which may say why`
  }
}

/**
 * Too many calls: the vendor said so (`"provider"`), or this library's own limiter did not let the call out (`"limiter"`).
 *
 * @since 0.1.0
 * @category reasons
 */
export class RateLimited extends Schema.TaggedError<RateLimited>("@effect-api-keys/core/RateLimited")("RateLimited", {
  /** How long to wait; milliseconds when encoded. */
  retryAfter: Schema.DurationFromMillis,
  source: Schema.Literals(["provider", "limiter"])
}) {
  /** Whether the same call may succeed later without a change: yes, after `retryAfter`. */
  readonly isRetryable: boolean = true
  override get message(): string {
    return this.source === "provider"
      ? `the vendor answered 429: wait ${formatDuration(this.retryAfter)}. The request was not carried out`
      : `held back, so that the vendor does not lock the account: wait ${formatDuration(this.retryAfter)}. Nothing was sent`
  }
}

/**
 * The vendor could not be reached or answered with a server error; the call is safe to repeat, or was provably not sent.
 *
 * @since 0.1.0
 * @category reasons
 */
export class ProviderUnavailable extends Schema.TaggedError<ProviderUnavailable>(
  "@effect-api-keys/core/ProviderUnavailable"
)("ProviderUnavailable", {
  problem: Schema.Literals(["transport", "timeout", "status", "limiter", "closed"]),
  /** `false` where it is certain that the vendor never saw the request. */
  sent: Schema.Boolean
}) {
  /** Whether the same call may succeed later without a change: yes. */
  readonly isRetryable: boolean = true
  override get message(): string {
    const tail = this.sent ? "The call is safe to repeat" : "Nothing was sent"
    const texts = {
      transport: `the vendor could not be reached. ${tail}`,
      timeout: `the vendor did not answer in time. ${tail}`,
      status: `the vendor answered with a server error. ${tail}`,
      limiter: `the store of the rate limiter did not answer. ${tail}`,
      closed: `the layer of this service is closed. ${tail}`
    }
    return texts[this.problem]
  }
}

/**
 * A mint (create, rotate) ended so that nobody can tell whether the vendor carried it out.
 *
 * **Details**
 *
 * It is never repeated. A key may exist at the vendor whose secret nobody holds: look at the vendor's list before
 * minting again, or call `recover` with the `intent` of a mint that was prepared. A lost in-place rotation may have killed
 * the old secret.
 *
 * @since 0.1.0
 * @category reasons
 */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>("@effect-api-keys/core/OutcomeUnknown")(
  "OutcomeUnknown",
  {
    problem: Schema.Literals(["timeout", "transport", "status", "reply"]),
    issues: Schema.Array(Issue),
    /** What the mint was prepared with, where it was: `recover` says what became of it. */
    intent: Schema.optionalKey(MintIntent)
  }
) {
  /** Whether the same call may succeed later without a change: it must not be repeated blindly. */
  readonly isRetryable: boolean = false
  override get message(): string {
    const what = {
      timeout: "no reply came in time",
      transport: "the connection broke after the request may have been sent",
      status: "the vendor answered with an error that does not say whether the request was carried out",
      reply: "the vendor answered, but no secret could be read from the reply"
    }[this.problem]
    const where = this.issues.length === 0 ? "" : ` (${formatIssues(this.issues)})`
    const next =
      this.intent === undefined
        ? "Look at the vendor's list before minting again"
        : "Call `recover` with its `intent` before minting again"
    return `${what}${where}. The key may or may not have been minted; it was not tried again. ${next}`
  }
}

/**
 * Some of what was asked took effect and some did not.
 *
 * @since 0.1.0
 * @category reasons
 */
export class PartiallyApplied extends Schema.TaggedError<PartiallyApplied>("@effect-api-keys/core/PartiallyApplied")(
  "PartiallyApplied",
  {
    /** What took effect. */
    applied: Schema.Array(Schema.String),
    /** What did not, or came back different. */
    missing: Schema.Array(Schema.String),
    /** After a mint: whether the new key was shut off again. `false` is a live key that nobody holds: act on `handle`. */
    revoked: Schema.optionalKey(Schema.Boolean)
  }
) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    const tail =
      this.revoked === undefined
        ? ""
        : this.revoked
          ? ". The new key was shut off"
          : ". The new key COULD NOT be shut off and may be live: find it at the vendor and shut it off"
    const applied = this.applied.length === 0 ? "" : ` (took effect: ${formatNames(this.applied)})`
    return `not as asked: ${formatNames(this.missing)}${applied}${tail}`
  }
}

/**
 * The vendor has no such verb.
 *
 * @since 0.1.0
 * @category reasons
 */
export class UnsupportedOperation extends Schema.TaggedError<UnsupportedOperation>(
  "@effect-api-keys/core/UnsupportedOperation"
)("UnsupportedOperation", { need: Schema.String }) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return `this vendor has no "${this.need}". ApiKeyService.can("${this.need}") would have said so at compile time`
  }
}

/**
 * The vendor cannot restrict a key in this way.
 *
 * @since 0.1.0
 * @category reasons
 */
export class UnsupportedRestriction extends Schema.TaggedError<UnsupportedRestriction>(
  "@effect-api-keys/core/UnsupportedRestriction"
)("UnsupportedRestriction", { restriction: Restriction }) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    return `this vendor cannot restrict a key by "${this.restriction}", and leaving it out would widen the key. Nothing was sent`
  }
}

/**
 * The vendor's reply makes no sense, is too large, or is a redirect (none is followed).
 *
 * @since 0.1.0
 * @category reasons
 */
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>(
  "@effect-api-keys/core/UnexpectedResponse"
)("UnexpectedResponse", {
  problem: Schema.Literals(["body", "size", "redirect"]),
  issues: Schema.Array(Issue)
}) {
  /** Whether the same call may succeed later without a change: no. */
  readonly isRetryable: boolean = false
  override get message(): string {
    const texts = {
      body: `the vendor's reply could not be read${this.issues.length === 0 ? "" : `: ${formatIssues(this.issues)}`}`,
      size: "the vendor's reply is larger than `maxReplyBytes`",
      redirect: "the vendor answered with a redirect, which is never followed: check `baseUrl`"
    }
    return texts[this.problem]
  }
}

/**
 * Every reason why a call can fail.
 *
 * @since 0.1.0
 * @category models
 */
export const ApiKeyErrorReason = Schema.Union([
  AuthenticationFailed,
  PermissionDenied,
  KeyNotFound,
  InvalidRequest,
  KeyLimitReached,
  InvalidKeyState,
  RateLimited,
  ProviderUnavailable,
  OutcomeUnknown,
  PartiallyApplied,
  UnsupportedOperation,
  UnsupportedRestriction,
  UnexpectedResponse
])

/**
 * Every reason why a call can fail.
 *
 * @since 0.1.0
 * @category models
 */
export type ApiKeyErrorReason = typeof ApiKeyErrorReason.Type

/**
 * The tag of a reason.
 *
 * @since 0.1.0
 * @category models
 */
export type ReasonTag = ApiKeyErrorReason["_tag"]

/**
 * What an error may say of the HTTP exchange behind it.
 *
 * @since 0.1.0
 * @category models
 */
export const HttpExchange = Schema.Struct({
  method: Schema.String,
  /** The path's template, such as `/api_keys/:id`; never the path itself. */
  path: Schema.String,
  status: Schema.optionalKey(Schema.Int)
})

/**
 * What an error may say of the HTTP exchange behind it.
 *
 * @since 0.1.0
 * @category models
 */
export type HttpExchange = typeof HttpExchange.Type

/**
 * Why a call failed: which vendor, which verb, which key (by its printable handle), and the reason.
 *
 * **Example** (Handling a reason)
 *
 * ```ts
 * import { ApiKeyError, ApiKeyService } from "@effect-api-keys/core"
 * import type { KeyRef } from "@effect-api-keys/core"
 * import * as Effect from "effect/Effect"
 *
 * export const shutOff = (ref: KeyRef) =>
 *   ApiKeyService.can("revoke").pipe(
 *     Effect.flatMap((keys) => keys.revoke(ref)),
 *     // one reason …
 *     Effect.catchReason("ApiKeyError", "KeyNotFound", () => Effect.succeed("already gone" as const)),
 *     // … or by a predicate
 *     Effect.catchIf(ApiKeyError.is("RateLimited"), (error) => Effect.delay(Effect.fail(error), error.retryAfter ?? 0))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiKeyError extends Schema.TaggedError<ApiKeyError>("@effect-api-keys/core/ApiKeyError")("ApiKeyError", {
  /** The provider's id, such as `jetemail`. */
  provider: Schema.String,
  /** The verb, such as `rotate`, or the endpoint when a vendor's client was called directly. */
  operation: Schema.String,
  /** The key's printable handle, where the call was about one. */
  handle: Schema.optionalKey(Schema.String),
  /** The last HTTP exchange, where there was one. */
  http: Schema.optionalKey(HttpExchange),
  reason: ApiKeyErrorReason
}) {
  /** Whether the same call may succeed later without a change. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  /** How long to wait before the same call, where the reason says so. */
  get retryAfter(): Duration.Duration | undefined {
    return this.reason._tag === "RateLimited" ? this.reason.retryAfter : undefined
  }

  override get message(): string {
    const handle = this.handle === undefined ? "" : ` of ${this.handle}`
    const { method, path, status } = this.http ?? {}
    const http = method === undefined ? "" : `, ${method} ${path}${status === undefined ? "" : ` → ${status}`}`
    return `${this.provider}: ${this.operation}${handle}: ${this.reason.message} [${this.reason._tag}${http}]`
  }

  /**
   * A guard for errors of these reasons, for `Effect.catchIf` and the like.
   *
   * @since 0.1.0
   */
  static is<const Tags extends ReadonlyArray<ReasonTag>>(
    ...tags: Tags
  ): (
    error: unknown
  ) => error is ApiKeyError & { readonly reason: Extract<ApiKeyErrorReason, { _tag: Tags[number] }> } {
    const wanted: ReadonlySet<string> = new Set(tags)
    return (error): error is ApiKeyError & { readonly reason: Extract<ApiKeyErrorReason, { _tag: Tags[number] }> } =>
      error instanceof ApiKeyError && wanted.has(error.reason._tag)
  }
}
