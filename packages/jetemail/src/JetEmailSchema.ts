/**
 * JetEmail's wire: what its endpoints for transactional keys take and give.
 *
 * Requests are strict, with the limits of the vendor's pages and validators of our own (the published patterns are
 * broken, and one backtracks exponentially). Replies are lenient: we decode what we need.
 *
 * @since 0.1.0
 */
import * as WireValue from "@effect-api-keys/core/WireValue"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { looksLikeToken } from "./internal/token.ts"
import { checkDomain, checkIp, checkName } from "./internal/validators.ts"

/**
 * The longest list of domains. Source: the pages "Create new" and "Update transactional API key", `maxItems`.
 *
 * @since 0.1.0
 * @category limits
 */
export const maxDomains = 253

/**
 * The longest list of IP addresses and ranges. Source: as for {@link maxDomains}.
 *
 * @since 0.1.0
 * @category limits
 */
export const maxIps = 50

/**
 * The largest quota, in e-mails. Source: as for {@link maxDomains}, `maximum`.
 *
 * @since 0.1.0
 * @category limits
 */
export const maxQuota = 1_000_000

const checkedBy = (check: (value: string) => Result.Result<string, string>) =>
  Schema.makeFilter((value: string) => {
    const result = check(value)
    return Result.isSuccess(result) || result.failure
  })

/** Written in clear on the wire alone: these schemas encode request bodies and nothing else. */
const Token = Schema.RedactedFromValue(Schema.String)

const Name = Schema.String.check(checkedBy(checkName))
const Domains = Schema.Array(Schema.String.check(checkedBy(checkDomain))).check(Schema.isMaxLength(maxDomains))
const Ips = Schema.Array(Schema.String.check(checkedBy(checkIp))).check(Schema.isMaxLength(maxIps))
const Quota = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxQuota }))

/**
 * The body of `POST /outbound/transactional-keys`. Source: page "Create new transactional API key".
 *
 * **Gotchas**
 *
 * What is left out gets the vendor's default: no domain list, no IP list, and `quota` 0, which means unlimited.
 *
 * @since 0.1.0
 * @category requests
 */
export const CreateRequest = Schema.Struct({
  name: Name,
  allowAllDomains: Schema.optionalKey(Schema.Boolean),
  approvedDomains: Schema.optionalKey(Domains),
  quota: Schema.optionalKey(Quota),
  ipRestrictions: Schema.optionalKey(Ips)
})

/**
 * The body of `PATCH /outbound/transactional-keys` that changes a key's fields. Source: page "Update transactional API
 * key".
 *
 * **Details**
 *
 * `status` is not here: beside it the vendor ignores all other fields without a word. See {@link StatusRequest}.
 *
 * @since 0.1.0
 * @category requests
 */
export const UpdateRequest = Schema.Struct({
  token: Token,
  name: Schema.optionalKey(Name),
  allowAllDomains: Schema.optionalKey(Schema.Boolean),
  approvedDomains: Schema.optionalKey(Domains),
  quota: Schema.optionalKey(Quota),
  ipRestrictions: Schema.optionalKey(Ips)
}).pipe(Schema.encodeKeys({ token: "api_token" }))

/**
 * The body of `PATCH /outbound/transactional-keys` that switches a key off (0) or on (1), and nothing beside it.
 * Source: page "Update transactional API key".
 *
 * @since 0.1.0
 * @category requests
 */
export const StatusRequest = Schema.Struct({ token: Token, status: Schema.Literals([0, 1]) }).pipe(
  Schema.encodeKeys({ token: "api_token" })
)

/**
 * The body of the calls that only name a key: delete and rotate. Source: page "Rotate transactional API key", and the
 * vendor's page "Delete transactional API key".
 *
 * @since 0.1.0
 * @category requests
 */
export const TokenRequest = Schema.Struct({ token: Token }).pipe(Schema.encodeKeys({ token: "api_token" }))

/**
 * The reply to a create or rotate: the new token. A reply that says `success: false` is none, whatever else it holds.
 *
 * @since 0.1.0
 * @category replies
 */
export const TokenReply = Schema.Struct({
  success: Schema.optionalKey(Schema.Literal(true)),
  token: Schema.RedactedFromValue(Schema.String.check(Schema.makeFilter(WireValue.isPlainSecret)), {
    disallowEncode: true
  })
}).pipe(Schema.encodeKeys({ token: "api_token" }))

/**
 * The reply to an update or delete: a plain yes.
 *
 * @since 0.1.0
 * @category replies
 */
export const Acknowledged = Schema.Struct({ success: Schema.Literal(true) })

/**
 * Finds the token in a reply that is not of the documented shape: in JSON the one string that looks like a token, in text
 * that is no JSON the one whole value of an `api_token`, as in a reply that was cut off. What was sent is none: a name may
 * look like a token, and a rotation sends the old one.
 *
 * @since 0.1.0
 * @category replies
 */
export const salvageToken = (reply: unknown, sent: ReadonlyArray<string>): Option.Option<typeof TokenReply.Type> => {
  const found = new Set(Predicate.isString(reply) ? tokensOfText(reply) : tokensOfJson(reply))
  for (const value of sent) found.delete(value)
  const [token, ...others] = found
  return token !== undefined && others.length === 0 ? Option.some({ token: Redacted.make(token) }) : Option.none()
}

const tokensOfText = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/"api_token"\s{0,8}:\s{0,8}"([^"\\]{1,512})"/g), ([, token = ""]) => token).filter(
    WireValue.isPlainSecret
  )

const tokensOfJson = (reply: unknown): ReadonlyArray<string> =>
  Predicate.isObject(reply) && reply.success === false ? [] : WireValue.stringsIn(reply).filter(looksLikeToken)

/** A row of the list, whatever it is: one that cannot be read must not hide the others. */
const Row = Schema.Unknown

/**
 * The reply to a list, in either generation of the vendor's documents: `transactionalKeys` now, `transactional-keys`
 * before.
 *
 * @since 0.1.0
 * @category replies
 */
export const ListReply = Schema.Union([
  Schema.Struct({ transactionalKeys: Schema.Array(Row) }),
  Schema.Struct({ "transactional-keys": Schema.Array(Row) })
])

/**
 * A key as JetEmail's list shows it; what the list does not show, or shows in no shape we can read, is none.
 *
 * **Gotchas**
 *
 * The list holds live secrets: `token` is the secret itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface JetEmailKey {
  /** The key's token, which is both its secret and its address; none where the list masks it. */
  readonly token: Option.Option<Redacted.Redacted<string>>
  /** The vendor's id of the key; no endpoint takes it. */
  readonly uuid: Option.Option<string>
  readonly name: Option.Option<string>
  /** `active`, `disabled`, `suspended`, `quota-locked`, `quota-unlocked`, or a word we do not know yet. */
  readonly status: string
  readonly allowAllDomains: Option.Option<boolean>
  readonly approvedDomains: Option.Option<ReadonlyArray<string>>
  readonly ipRestrictions: Option.Option<ReadonlyArray<string>>
  /** In e-mails; 0 is unlimited. */
  readonly quota: Option.Option<number>
  /** E-mails sent so far. */
  readonly usage: Option.Option<number>
  readonly createdAt: Option.Option<DateTime.Utc>
  readonly modifiedAt: Option.Option<DateTime.Utc>
}

const parseJson = (text: string): unknown => Result.getOrUndefined(Result.try((): unknown => JSON.parse(text)))

/** A uuid and nothing else: it stands in handles, which are printed. */
const readUuid = (value: unknown): Option.Option<string> =>
  Option.filter(WireValue.readString(value), (text) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))

const readToken = (value: unknown): JetEmailKey["token"] =>
  Option.map(Option.filter(WireValue.readString(value), WireValue.isPlainSecret), (token) => Redacted.make(token))

/** `null` is no quota, as 0 is. Source: the vendor's own command line reads it so. */
const readQuota = (value: unknown): Option.Option<number> =>
  value === null ? Option.some(0) : WireValue.readNumber(value)

/** A list, or the same as a string of JSON, as the older documents have it. */
const readStrings = (value: unknown): Option.Option<ReadonlyArray<string>> =>
  WireValue.readStrings(Predicate.isString(value) ? parseJson(value) : value)

/** 0 and 1 are what a status is set by, and some vendors' lists show what was set. */
const readStatus = (value: unknown): string =>
  value === 1 ? "active" : value === 0 ? "disabled" : Option.getOrElse(WireValue.readString(value), () => "unknown")

/** Seconds and milliseconds, as numbers and as strings, stand side by side in one object; no date is below 1973 in ms. */
const readDate = (value: unknown): Option.Option<DateTime.Utc> =>
  Option.flatMap(WireValue.readNumber(value), (number) =>
    DateTime.make(Math.abs(number) < 1e11 ? number * 1000 : number)
  )

const readKey = (given: unknown): JetEmailKey => {
  const row = WireValue.readObject(given)
  return {
    token: readToken(row.api_token),
    uuid: readUuid(row.uuid),
    name: WireValue.readString(row.name),
    status: readStatus(row.status),
    allowAllDomains: WireValue.readBoolean(row.allowAllDomains),
    approvedDomains: readStrings(row.approvedDomains),
    ipRestrictions: readStrings(row.ipRestrictions),
    quota: readQuota(row.quota),
    usage: WireValue.readNumber(row.usage),
    createdAt: readDate(row.created_date),
    modifiedAt: readDate(row.last_modified)
  }
}

/**
 * The keys of a list reply.
 *
 * @since 0.1.0
 * @category replies
 */
export const readKeys = (reply: typeof ListReply.Type): ReadonlyArray<JetEmailKey> =>
  ("transactionalKeys" in reply ? reply.transactionalKeys : reply["transactional-keys"]).map(readKey)
