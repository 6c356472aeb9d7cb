/**
 * SMTP2GO's wire: what its endpoints for API keys take and give.
 *
 * Requests are strict and replies lenient. Source of every field: the vendor's page "Patch an API key" and its OpenAPI
 * document, version 3.0.4.
 *
 * @since 0.1.0
 */
import * as WireValue from "@effect-api-keys/core/WireValue"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isWholeKey, looksLikeKey, readUsername, usernameOf } from "./internal/secret.ts"

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

const Key = Schema.RedactedFromValue(Schema.String.check(Schema.makeFilter(isWholeKey)))
const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * The statuses of a key, `allowed`, `blocked` and `sandbox`: any may follow any.
 *
 * @since 0.1.0
 * @category models
 */
export const Status = Schema.Literals(["allowed", "blocked", "sandbox"])

const fields = {
  description: Schema.optionalKey(Schema.String),
  customRatelimit: Schema.optionalKey(Schema.Boolean),
  customRatelimitValue: Schema.optionalKey(Positive),
  customRatelimitPeriod: Schema.optionalKey(Schema.NonEmptyString),
  ipPool: Schema.optionalKey(Positive),
  feedbackEnabled: Schema.optionalKey(Schema.Boolean),
  feedbackHtml: Schema.optionalKey(Schema.String),
  feedbackText: Schema.optionalKey(Schema.String),
  openTrackingEnabled: Schema.optionalKey(Schema.Boolean),
  clickTrackingEnabled: Schema.optionalKey(Schema.Boolean),
  archiveEnabled: Schema.optionalKey(Schema.Boolean),
  auditEmail: Schema.optionalKey(Schema.String),
  bounceNotifications: Schema.optionalKey(Schema.NonEmptyString),
  status: Schema.optionalKey(Status),
  endpoints: Schema.optionalKey(Schema.NonEmptyArray(Schema.NonEmptyString)),
  subaccountId: Schema.optionalKey(Schema.NonEmptyString)
}

const wireNames = {
  ipPool: "ip_pool",
  feedbackEnabled: "feedback_enabled",
  feedbackHtml: "feedback_html",
  feedbackText: "feedback_text",
  openTrackingEnabled: "open_tracking_enabled",
  clickTrackingEnabled: "click_tracking_enabled",
  archiveEnabled: "archive_enabled",
  auditEmail: "audit_email",
  bounceNotifications: "bounce_notifications",
  customRatelimit: "custom_ratelimit",
  customRatelimitValue: "custom_ratelimit_value",
  customRatelimitPeriod: "custom_ratelimit_period",
  subaccountId: "subaccount_id"
} as const

/** The vendor drops value and period, without a word, where the switch is not on in the same request. */
const limitIsWhole = (request: {
  readonly customRatelimit?: boolean
  readonly customRatelimitValue?: number
  readonly customRatelimitPeriod?: string
}): boolean => {
  const parts = [request.customRatelimitValue, request.customRatelimitPeriod]
  return parts.every((part) => (part !== undefined) === (request.customRatelimit === true))
}

/**
 * The body of `POST /api_keys/add`. A value and a period stand in it together with `customRatelimit: true`, or not at all.
 *
 * @since 0.1.0
 * @category requests
 */
export const AddRequest = Schema.Struct(fields).pipe(
  Schema.encodeKeys(wireNames),
  Schema.check(Schema.makeFilter(limitIsWhole))
)

/**
 * The body of `PATCH /api_keys/edit`: what is left out stays as it is. (`POST` to the same path resets it, and is not used.)
 *
 * @since 0.1.0
 * @category requests
 */
export const EditRequest = Schema.Struct({ id: Key, ...fields }).pipe(
  Schema.encodeKeys(wireNames),
  Schema.check(Schema.makeFilter(limitIsWhole))
)

/**
 * The body of `POST /api_keys/view` for one key, by its secret.
 *
 * @since 0.1.0
 * @category requests
 */
export const ViewRequest = Schema.Struct({ id: Key, subaccountId: fields.subaccountId }).pipe(
  Schema.encodeKeys({ subaccountId: "subaccount_id" })
)

/**
 * The body of `POST /api_keys/view` for every key, or those that a word finds.
 *
 * @since 0.1.0
 * @category requests
 */
export const ListRequest = Schema.Struct({
  search: Schema.optionalKey(Schema.NonEmptyString),
  subaccountId: fields.subaccountId
}).pipe(Schema.encodeKeys({ subaccountId: "subaccount_id" }))

/**
 * The body of `POST /api_keys/remove`.
 *
 * @since 0.1.0
 * @category requests
 */
export const RemoveRequest = Schema.Struct({ id: Key, subaccountId: fields.subaccountId }).pipe(
  Schema.encodeKeys({ subaccountId: "subaccount_id" })
)

/**
 * The body of `POST /api_keys/permissions`: none.
 *
 * @since 0.1.0
 * @category requests
 */
export const PermissionsRequest = Schema.Struct({})

// -----------------------------------------------------------------------------
// replies
// -----------------------------------------------------------------------------

/**
 * A key as SMTP2GO shows it. What a reply does not show, or in no shape we can read, is none; `null` is what it shows as
 * not set.
 *
 * @since 0.1.0
 * @category models
 */
export interface MailerPatchKey {
  /** The key itself, in the reply to `add`; elsewhere the vendor masks it. */
  readonly key: Option.Option<Redacted.Redacted<string>>
  /** `api-` and twelve characters: what the vendor's reports call the key. Not secret, and no endpoint takes it. */
  readonly username: Option.Option<string>
  readonly description: Option.Option<string | null>
  readonly customRatelimit: Option.Option<boolean>
  /** E-mails in each `customRatelimitPeriod`. */
  readonly customRatelimitValue: Option.Option<number>
  readonly customRatelimitPeriod: Option.Option<string>
  readonly ipPool: Option.Option<number | null>
  readonly feedbackEnabled: Option.Option<boolean>
  readonly feedbackHtml: Option.Option<string | null>
  readonly feedbackText: Option.Option<string | null>
  readonly openTrackingEnabled: Option.Option<boolean>
  readonly clickTrackingEnabled: Option.Option<boolean>
  readonly archiveEnabled: Option.Option<boolean>
  readonly auditEmail: Option.Option<string | null>
  readonly bounceNotifications: Option.Option<string | null>
  /** `allowed`, `blocked`, `sandbox`, or a word we do not know yet; `unknown` where none is shown. */
  readonly status: string
  readonly endpoints: Option.Option<ReadonlyArray<string>>
  /** Whether the vendor itself has blocked the key from sending; its values are not documented. */
  readonly sendingStatus: Option.Option<unknown>
  /** The fields above that the reply shows in a form that we cannot read. */
  readonly unreadable: ReadonlyArray<string>
}

/**
 * What {@link MailerPatchKey} has for a status where the reply shows none.
 *
 * @since 0.1.0
 * @category constants
 */
export const unknownStatus = "unknown"

type Reader<A> = (value: unknown) => Option.Option<A>

const orNull =
  <A>(read: Reader<A>): Reader<A | null> =>
  (value) =>
    value === null ? Option.some(null) : read(value)

const readText: Reader<string> = Option.liftPredicate(Predicate.isString)

/** A switch that is shown as not set is off. */
const readSwitch: Reader<boolean> = (value) =>
  value === null || value === "" ? Option.some(false) : WireValue.readBoolean(value)

const readCount: Reader<number> = (value) => Option.filter(WireValue.readNumber(value), Number.isSafeInteger)

/** The id of a pool; `0` is taken for none. */
const readPool: Reader<number | null> = (value) =>
  Option.map(
    Option.filter(orNull(readCount)(value === "" ? null : value), (id) => id === null || id >= 0),
    (id) => (id === 0 ? null : id)
  )

const readEndpoints: Reader<ReadonlyArray<string>> = (value) =>
  Option.filter(WireValue.readStrings(value), (endpoints) => !endpoints.includes(""))

const readKey = (given: unknown): MailerPatchKey => {
  const row = WireValue.readObject(given)
  const unreadable: Array<string> = []
  /** Reads a field by any of its spellings; two that disagree say nothing. */
  const read = <A>(field: string, reader: Reader<A>, ...names: ReadonlyArray<string>): Option.Option<A> => {
    const shown = names.flatMap((name) => (row[name] === undefined ? [] : [reader(row[name])]))
    const [first = Option.none<A>(), ...others] = shown
    const agreed = others.every((other) => Equal.equals(other, first)) ? first : Option.none<A>()
    if (shown.length > 0 && Option.isNone(agreed)) unreadable.push(field)
    return agreed
  }
  const key = WireValue.readString(row.api_key)
  return {
    key: Option.map(Option.filter(key, isWholeKey), (whole) => Redacted.make(whole)),
    username: Option.orElse(Option.flatMap(key, readUsername), () =>
      Option.flatMap(WireValue.readString(row.username), readUsername)
    ),
    description: read("description", orNull(readText), "description"),
    customRatelimit: read("customRatelimit", WireValue.readBoolean, "custom_rate_limit", "custom_ratelimit"),
    customRatelimitValue: read("customRatelimitValue", readCount, "custom_ratelimit_value", "custom_rate_limit_value"),
    customRatelimitPeriod: read(
      "customRatelimitPeriod",
      WireValue.readString,
      "custom_ratelimit_period",
      "custom_rate_limit_period"
    ),
    ipPool: read("ipPool", readPool, "ippool", "ip_pool"),
    feedbackEnabled: read("feedbackEnabled", readSwitch, "feedback_enabled"),
    feedbackHtml: read("feedbackHtml", orNull(readText), "feedback_html"),
    feedbackText: read("feedbackText", orNull(readText), "feedback_text"),
    openTrackingEnabled: read("openTrackingEnabled", readSwitch, "open_tracking_enabled"),
    clickTrackingEnabled: read("clickTrackingEnabled", readSwitch, "click_tracking_enabled"),
    archiveEnabled: read("archiveEnabled", readSwitch, "archive_enabled"),
    auditEmail: read("auditEmail", orNull(readText), "audit_email"),
    bounceNotifications: read("bounceNotifications", orNull(readText), "bounce_notifications"),
    status: Option.getOrElse(read("status", WireValue.readString, "status"), () => unknownStatus),
    endpoints: read("endpoints", readEndpoints, "endpoints"),
    sendingStatus: Option.fromNullOr(row.sending_status ?? null),
    unreadable
  }
}

/**
 * What the vendor says in an error, in either of its shapes: beside `request_id`, or within `data`.
 *
 * @since 0.1.0
 * @category replies
 */
export interface Refusal {
  /** Whether it is certainly the vendor's: with a request's id, or a code of its own. */
  readonly own: boolean
  /** Without the prefix that every code has. */
  readonly code: string
  readonly text: string
  /** The fields that did not validate, by their names on the wire. */
  readonly fields: ReadonlyArray<string>
}

const fieldsOf = (errors: unknown): ReadonlyArray<string> =>
  (Array.isArray(errors) ? errors : [errors]).flatMap((error) =>
    Option.toArray(WireValue.readString(WireValue.readObject(error).fieldname))
  )

/**
 * The refusal in a reply of any status; none where it is not the vendor's own.
 *
 * @since 0.1.0
 * @category replies
 */
export const readRefusal = (reply: unknown): Option.Option<Refusal> => {
  const root = WireValue.readObject(reply)
  const refusal = [WireValue.readObject(root.data), root].find(({ error, error_code }) =>
    Option.isSome(Option.orElse(WireValue.readString(error_code), () => WireValue.readString(error)))
  )
  return Option.map(Option.fromUndefinedOr(refusal), ({ error, error_code, field_validation_errors }) => ({
    own: Predicate.isString(root.request_id) || /^E_ApiResponseCodes\./.test(String(error_code)),
    code: Option.getOrElse(WireValue.readString(error_code), () => "").replace(/^E_ApiResponseCodes\./, ""),
    text: Option.getOrElse(WireValue.readString(error), () => ""),
    fields: fieldsOf(field_validation_errors ?? root.field_validation_errors)
  }))
}

const showsKey = (item: unknown): boolean => {
  const { api_key, username } = WireValue.readObject(item)
  return Predicate.isString(api_key) || Predicate.isString(username)
}

/**
 * Whether a reply says, anywhere in it, that it is an error.
 *
 * @since 0.1.0
 * @category replies
 */
export const isRefusal = (reply: unknown): boolean =>
  [reply, ...WireValue.objectsIn(reply)].some((part) => Option.isSome(readRefusal(part)))

/** The items of a reply: of an array or of one object, each perhaps in an envelope of its own, as the vendor's schema has it. */
const itemsOf = (reply: unknown): ReadonlyArray<unknown> | undefined => {
  if (Option.isSome(readRefusal(reply))) return undefined
  const { data } = WireValue.readObject(reply)
  if (data === null) return []
  if (!Predicate.isObjectOrArray(data)) return undefined
  const items = (Array.isArray(data) ? data : [data]).flatMap((item: unknown): ReadonlyArray<unknown> => {
    const inner = WireValue.readObject(item).data
    return Array.isArray(inner) ? inner : [Predicate.isObject(inner) ? inner : item]
  })
  // An error among the items, or one object that shows no key: another reply than ours.
  if (items.some((item) => Option.isSome(readRefusal(item)))) return undefined
  return Array.isArray(data) || items.every(showsKey) ? items : undefined
}

/**
 * A reply that holds keys. An error is none, whatever its status.
 *
 * @since 0.1.0
 * @category replies
 */
export const KeysReply = Schema.Unknown.check(Schema.makeFilter((reply) => itemsOf(reply) !== undefined))

/**
 * The keys of a reply.
 *
 * @since 0.1.0
 * @category replies
 */
export const readKeys = (reply: unknown): ReadonlyArray<MailerPatchKey> => (itemsOf(reply) ?? []).map(readKey)

/**
 * The new key of a reply to `add`.
 *
 * @since 0.1.0
 * @category replies
 */
export const readNewKey = (reply: unknown): MailerPatchKey => readKeys(reply)[0] ?? readKey(undefined)

/**
 * The reply to `add`: exactly one key, and whole.
 *
 * @since 0.1.0
 * @category replies
 */
export const NewKeyReply = Schema.Unknown.check(
  Schema.makeFilter((reply) => readKeys(reply).length === 1 && Option.isSome(readNewKey(reply).key))
)

/**
 * Finds the key in a reply to `add` that is not of the documented shape: the one whole key that is an `api_key` in it,
 * however deep in JSON, or in text that is no JSON. What was sent is none: a name may look like a key. Gives a reply that is
 * of that shape.
 *
 * @since 0.1.0
 * @category replies
 */
export const salvageKey = (reply: unknown, sent: typeof AddRequest.Type): Option.Option<typeof NewKeyReply.Type> => {
  if (isRefusal(reply)) return Option.none()
  const candidates = Predicate.isString(reply)
    ? Array.from(reply.matchAll(/"api_key"\s{0,8}:\s{0,8}"([^"\\]{1,512})"/g), ([, key = ""]) => key)
    : WireValue.objectsIn(reply).flatMap(({ api_key }) => (Predicate.isString(api_key) ? [api_key] : []))
  const found = new Set(candidates.filter(looksLikeKey))
  for (const value of Object.values(sent)) if (Predicate.isString(value)) found.delete(value)
  const [key, ...others] = found
  return key === undefined || others.length > 0 ? Option.none() : Option.some({ data: [{ api_key: key }] })
}

/** The endpoints of a reply to `permissions`: plainly, or in the envelope that the vendor's schema has around them. */
const endpointsOf = (reply: unknown): Option.Option<ReadonlyArray<string>> => {
  const { data } = WireValue.readObject(reply)
  return Option.orElse(WireValue.readStrings(data), () =>
    WireValue.readStrings(Array.isArray(data) && data.length === 1 ? WireValue.readObject(data[0]).data : undefined)
  )
}

/**
 * The reply to `permissions`: the endpoints that the calling key may use.
 *
 * @since 0.1.0
 * @category replies
 */
export const PermissionsReply = Schema.Unknown.check(Schema.makeFilter((reply) => Option.isSome(endpointsOf(reply))))

/**
 * The endpoints of a reply to `permissions`.
 *
 * @since 0.1.0
 * @category replies
 */
export const readPermissions = (reply: typeof PermissionsReply.Type): ReadonlyArray<string> =>
  Option.getOrElse(endpointsOf(reply), () => [])

/**
 * The key with this secret among those that are shown: by the key itself, or by its username.
 *
 * @since 0.1.0
 * @category replies
 */
export const findKey = (shown: ReadonlyArray<MailerPatchKey>, secret: string): Option.Option<MailerPatchKey> =>
  Option.fromUndefinedOr(
    shown.find(({ key, username }) =>
      Option.match(key, {
        onSome: (whole) => Redacted.value(whole) === secret,
        onNone: () => Option.contains(username, usernameOf(secret))
      })
    )
  )
