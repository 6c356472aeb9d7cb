/**
 * Voiceable's wire: what its endpoints for API keys take and give.
 *
 * Requests are strict and replies lenient. Sources: the vendor's pages "Update API Key", "Create API Key", "Get API Key" and
 * "List API Keys", and the client of the vendor's own dashboard where they are silent.
 *
 * @since 0.1.0
 */
import * as WireValue from "@effect-api-keys/core/WireValue"
import type * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

/**
 * The kinds of a key: `private` for servers, `public` for what runs in browsers.
 *
 * @since 0.1.0
 * @category models
 */
export const KeyType = Schema.Literals(["private", "public"])

const changes = {
  name: Schema.optionalKey(Schema.NonEmptyString),
  /** `[]` is every origin. */
  allowedOrigins: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  /** `[]` is every assistant. */
  allowedAssistants: Schema.optionalKey(Schema.Array(Schema.NonEmptyString))
}

const wireNames = { allowedOrigins: "allowed_origins", allowedAssistants: "allowed_assistants" } as const

/** Every body is one `api_key`. */
const enveloped = <S extends Schema.Top>(key: S) =>
  Schema.Struct({ apiKey: key }).pipe(Schema.encodeKeys({ apiKey: "api_key" }))

/**
 * The body of `POST /api_keys`.
 *
 * @since 0.1.0
 * @category requests
 */
export const CreateRequest = enveloped(
  Schema.Struct({
    ...changes,
    name: Schema.NonEmptyString,
    keyType: KeyType,
    transientAssistant: Schema.optionalKey(Schema.Boolean)
  }).pipe(Schema.encodeKeys({ ...wireNames, keyType: "key_type", transientAssistant: "transient_assistant" }))
)

/**
 * The body of `PUT /api_keys/:id`. Despite the method, what is left out stays as it is.
 *
 * @since 0.1.0
 * @category requests
 */
export const UpdateRequest = enveloped(Schema.Struct(changes).pipe(Schema.encodeKeys(wireNames)))

// -----------------------------------------------------------------------------
// replies
// -----------------------------------------------------------------------------

/**
 * A key as Voiceable shows it; what a reply does not show, or in no shape we can read, is none.
 *
 * @since 0.1.0
 * @category models
 */
export interface VoiceableKey {
  /** What the vendor knows the key by; a whole number, as text. Not secret. */
  readonly id: Option.Option<string>
  /** The secret, in the reply to a create. Elsewhere the vendor's page says that it is `null`; its dashboard reads it. */
  readonly keyValue: Option.Option<Redacted.Redacted<string>>
  readonly name: Option.Option<string>
  /** `private` or `public`, or a word that we do not know yet. */
  readonly keyType: Option.Option<string>
  /** Empty is every origin. */
  readonly allowedOrigins: Option.Option<ReadonlyArray<string>>
  /** Ids of assistants; empty is every assistant. */
  readonly allowedAssistants: Option.Option<ReadonlyArray<string>>
  readonly transientAssistant: Option.Option<boolean>
  readonly createdAt: Option.Option<DateTime.Utc>
  readonly updatedAt: Option.Option<DateTime.Utc>
  /** The fields above that the reply shows in a form that we cannot read. */
  readonly unreadable: ReadonlyArray<string>
}

const readId = (value: unknown): Option.Option<string> =>
  Option.filter(
    Predicate.isNumber(value) ? Option.some(String(value)) : WireValue.readString(value),
    (id) => /^[1-9]\d{0,15}$/.test(id) && Number.isSafeInteger(Number(id))
  )

/** Ids of assistants: strings by the vendor's page, and perhaps numbers, as ids are elsewhere. */
const readAssistants = (value: unknown): Option.Option<ReadonlyArray<string>> =>
  WireValue.readStrings(
    Array.isArray(value) ? value.map((id: unknown) => (Predicate.isNumber(id) ? String(id) : id)) : value
  )

/** Shorter ones, such as `[FILTERED]` and `null`, are what a log or a serializer has in place of a secret. */
const shortestSecret = 16

const readSecret = (value: unknown): VoiceableKey["keyValue"] =>
  Option.map(
    Option.filter(
      WireValue.readString(value),
      (secret) => secret.length >= shortestSecret && WireValue.isPlainSecret(secret)
    ),
    (secret) => Redacted.make(secret)
  )

/** A switch that is shown as not set is off. */
const readSwitch = (value: unknown): Option.Option<boolean> =>
  value === null ? Option.some(false) : WireValue.readBoolean(value)

const readKey = (given: unknown): VoiceableKey => {
  const row = WireValue.readObject(given)
  const unreadable: Array<string> = []
  const read = <A>(field: string, name: string, reader: (value: unknown) => Option.Option<A>): Option.Option<A> => {
    const value = reader(row[name])
    if (row[name] !== undefined && Option.isNone(value)) unreadable.push(field)
    return value
  }
  return {
    id: readId(row.id),
    keyValue: readSecret(row.key_value),
    name: read("name", "name", WireValue.readString),
    keyType: read("keyType", "key_type", WireValue.readString),
    allowedOrigins: read("allowedOrigins", "allowed_origins", WireValue.readStrings),
    allowedAssistants: read("allowedAssistants", "allowed_assistants", readAssistants),
    transientAssistant: read("transientAssistant", "transient_assistant", readSwitch),
    createdAt: WireValue.readIsoDate(row.created_at),
    updatedAt: WireValue.readIsoDate(row.updated_at),
    unreadable
  }
}

/** What an envelope holds, or the reply itself where it has none. */
const dataOf = (reply: unknown): unknown => {
  const { data } = WireValue.readObject(reply)
  return data === undefined ? reply : data
}

/** Whether something is said by a value: not by `false`, `0`, or an empty text, list or object. */
const isSaid = (value: unknown): boolean =>
  Predicate.isObjectOrArray(value) ? Object.keys(value).length > 0 : Boolean(value)

/**
 * Whether a reply says that it is an error, whatever the HTTP status said.
 *
 * @since 0.1.0
 * @category replies
 */
export const saysNo = (reply: unknown): boolean => {
  const { error, errors, status } = WireValue.readObject(reply)
  const code = WireValue.readNumber(WireValue.readObject(status).code)
  return Option.exists(code, (number) => number >= 400) || isSaid(error) || isSaid(errors)
}

/**
 * A reply that holds one key, which says at least its id; an error is none, whatever its status.
 *
 * @since 0.1.0
 * @category replies
 */
export const KeyReply = Schema.Unknown.check(
  Schema.makeFilter((reply) => !saysNo(reply) && Option.isSome(readId(WireValue.readObject(dataOf(reply)).id)))
)

/**
 * The key of a reply.
 *
 * @since 0.1.0
 * @category replies
 */
export const readKeyReply = (reply: typeof KeyReply.Type): VoiceableKey => readKey(dataOf(reply))

/**
 * A reply that holds a list of keys.
 *
 * @since 0.1.0
 * @category replies
 */
export const KeysReply = Schema.Unknown.check(
  Schema.makeFilter((reply) => !saysNo(reply) && Array.isArray(dataOf(reply)))
)

/**
 * The keys of a reply; an entry that cannot be read does not hide the others.
 *
 * @since 0.1.0
 * @category replies
 */
export const readKeysReply = (reply: typeof KeysReply.Type): ReadonlyArray<VoiceableKey> => {
  const rows = dataOf(reply)
  return Array.isArray(rows) ? rows.map(readKey) : []
}

/**
 * Finds id and secret in a reply to a create that is not of the documented shape: in JSON in the one object that has both, in
 * text that is no JSON, as in a reply that was cut off, between two braces: an id elsewhere may be anyone's. Gives a reply
 * that is of the documented shape.
 *
 * @since 0.1.0
 * @category replies
 */
export const salvageKey = (reply: unknown): Option.Option<typeof KeyReply.Type> => {
  const found = Predicate.isString(reply) ? fragmentsIn(reply) : WireValue.objectsIn(reply)
  const [key, ...others] = found.filter((object) => {
    const { id, keyValue } = readKey(object)
    return Option.isSome(id) && Option.isSome(keyValue)
  })
  return key === undefined || others.length > 0 || saysNo(reply) ? Option.none() : Option.some({ data: key })
}

/** The ids and secrets that stand between two braces of a text, where there is one of each; none where secrets differ. */
const fragmentsIn = (text: string): ReadonlyArray<{ readonly [field: PropertyKey]: unknown }> => {
  const all = (part: string, pattern: RegExp) => [...new Set(Array.from(part.matchAll(pattern), ([, value]) => value))]
  const secret = /"key_value"\s{0,8}:\s{0,8}"([^"\\]{1,512})"/g
  if (all(text, secret).length !== 1) return []
  const fragments = text.split(/(?<=[{}])/).flatMap((part) => {
    const ids = all(part, /"id"\s{0,8}:\s{0,8}(\d{1,16})\s{0,8}[,}]/g)
    const [key_value] = all(part, secret)
    return ids.length === 1 && key_value !== undefined ? [`${ids[0]}`] : []
  })
  const [id, ...others] = new Set(fragments)
  return id === undefined || others.length > 0 ? [] : [{ id, key_value: all(text, secret)[0] }]
}

/** The vendor's words for fields, as its messages begin with them, and ours. */
const fields: ReadonlyArray<readonly [RegExp, ReadonlyArray<string>]> = [
  [/^name\b/i, ["name"]],
  [/^key[ _]type\b/i, ["options", "voiceable", "keyType"]],
  [/^allowed[ _]origins\b/i, ["origins"]],
  [/^allowed[ _]assistants\b/i, ["resources"]],
  [/^transient[ _]assistant\b/i, ["options", "voiceable", "transientAssistant"]]
]

/**
 * The fields that an error names, in our words and with nothing of the vendor's text.
 *
 * @since 0.1.0
 * @category replies
 */
export const refusedFields = (reply: unknown): ReadonlyArray<ReadonlyArray<string>> => {
  const { errors } = WireValue.readObject(reply)
  const messages = Option.getOrElse(WireValue.readStrings(errors), () => [])
  return fields.flatMap(([pattern, path]) => (messages.some((message) => pattern.test(message)) ? [path] : []))
}

/**
 * Whether a reply is the vendor's own 404, and not that of a proxy or of a framework: its envelope says so too.
 *
 * @since 0.1.0
 * @category replies
 */
export const isNotFound = (reply: unknown): boolean =>
  Option.contains(WireValue.readNumber(WireValue.readObject(WireValue.readObject(reply).status).code), 404)
