/**
 * The endpoints of Parcelbird, a vendor that does not exist: an adapter written by docs/writing-an-adapter.md alone.
 *
 * What its documents leave open, and how it is read here:
 * - GET /tokens/:ref answers as the others do: `{"token": …}`.
 * - A reply to DELETE never says that the token is gone ("queued"): the token is read until it is.
 * - A `daily` of 0 or below -1 has no documented meaning: nothing is said of it.
 * - Past its plan the vendor says 507 with a `fault`; a 507 without one is of a proxy, and says nothing of the mint.
 */
import { AuthenticationFailed, InvalidKeyState, KeyLimitReached, KeyNotFound } from "@effect-api-keys/core/ApiKeyError"
import * as ProviderClient from "@effect-api-keys/core/ProviderClient"
import * as WireValue from "@effect-api-keys/core/WireValue"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

export const provider = "parcelbird"

// 30 calls a minute; both buckets together hold half of that, because they start full.
const budgets: ProviderClient.Budgets = {
  ordinary: { limit: 12, window: "1 minute" },
  urgent: { limit: 3, window: "1 minute" },
  lockout: "1 minute"
}

const Topics = Schema.Union([Schema.Literal("*"), Schema.Array(Schema.String)])
const Priority = Schema.Literals(["high", "normal"])

const NewSettings = Schema.Struct({
  title: Schema.String,
  topics: Topics,
  daily: Schema.Int,
  frozen: Schema.Boolean,
  priority: Priority
})

const Changes = Schema.Struct({
  title: Schema.optionalKey(Schema.String),
  topics: Schema.optionalKey(Topics),
  daily: Schema.optionalKey(Schema.Int)
})

/** Only what it is addressed by must be there; the rest is read field by field, so that one odd field hides no other. */
export const Token = Schema.Struct({
  ref: Schema.NonEmptyString,
  title: Schema.optionalKey(Schema.Unknown),
  topics: Schema.optionalKey(Schema.Unknown),
  daily: Schema.optionalKey(Schema.Unknown),
  frozen: Schema.optionalKey(Schema.Unknown),
  priority: Schema.optionalKey(Schema.Unknown)
})
export type Token = typeof Token.Type

const OneToken = Schema.Struct({ token: Token })

/** The vendor's own word for what went wrong; any other body is of a proxy or a wrong `baseUrl`. */
const faultOf = (reply: unknown) => WireValue.readString(WireValue.readObject(reply).fault)
const isFault = (reply: unknown, fault: string) => Option.contains(faultOf(reply), fault)

/** 403 says both "who are you" and "you may not". */
const denied = {
  403: (reply: unknown) => (isFault(reply, "bad_key") ? new AuthenticationFailed({ problem: "rejected" }) : undefined)
}

const ofToken = { ...denied, 404: (reply: unknown) => (isFault(reply, "no_token") ? new KeyNotFound() : undefined) }

const endpoints = {
  create: {
    method: "PUT",
    path: "/tokens",
    safety: "mint",
    body: NewSettings,
    reply: Schema.Struct({ token: Token, value: Schema.optionalKey(Schema.Unknown) }),
    budget: { name: "mint", limit: 3, window: "1 minute" },
    errors: {
      ...denied,
      507: (reply: unknown) => (Option.isSome(faultOf(reply)) ? new KeyLimitReached() : undefined)
    }
  },
  settings: {
    method: "POST",
    path: "/tokens/:ref/settings",
    safety: "idempotent",
    body: Changes,
    reply: OneToken,
    errors: { ...ofToken, 409: (reply: unknown) => (isFault(reply, "frozen") ? new InvalidKeyState({}) : undefined) }
  },
  // 204: no body at all.
  freeze: {
    method: "POST",
    path: "/tokens/:ref/freeze",
    safety: "idempotent",
    reply: Schema.Undefined,
    errors: ofToken
  },
  thaw: { method: "POST", path: "/tokens/:ref/thaw", safety: "idempotent", reply: Schema.Undefined, errors: ofToken },
  // "queued" is no proof: the driver reads the token afterwards.
  delete: {
    method: "DELETE",
    path: "/tokens/:ref",
    ...ProviderClient.undocumentedRemoval((reply) => Predicate.isObject(reply) && "fault" in reply),
    errors: ofToken
  },
  get: { method: "GET", path: "/tokens/:ref", safety: "read", reply: OneToken, errors: ofToken },
  first: {
    method: "GET",
    path: "/tokens",
    safety: "read",
    reply: Schema.Struct({ tokens: Schema.Array(Token), next: Schema.NullOr(Schema.NonEmptyString) }),
    errors: denied
  },
  after: {
    method: "GET",
    path: "/tokens?after=:ref",
    safety: "read",
    reply: Schema.Struct({ tokens: Schema.Array(Token), next: Schema.NullOr(Schema.NonEmptyString) }),
    errors: denied
  }
} as const

export const make = Effect.fnUntraced(function* (options: ProviderClient.ClientOptions) {
  const client = yield* ProviderClient.make({
    ...options,
    provider,
    baseUrl: options.baseUrl ?? "https://api.parcelbird.example/v2",
    authorization: (credential) => ["authorization", `PB-Key ${credential}`],
    budgets
  })
  const create = client.prepare(endpoints.create)
  const settings = client.call(endpoints.settings)
  const freeze = client.call(endpoints.freeze)
  const thaw = client.call(endpoints.thaw)
  const remove = client.call(endpoints.delete)
  const get = client.call(endpoints.get)
  const first = client.call(endpoints.first)
  const after = client.call(endpoints.after)
  return {
    account: client.account,
    create: (body: typeof NewSettings.Type) => create({ body }),
    settings: (ref: string, body: typeof Changes.Type) =>
      Effect.map(settings({ params: { ref }, body }), ({ token }) => token),
    freeze: (ref: string) => freeze({ params: { ref } }),
    thaw: (ref: string) => thaw({ params: { ref } }),
    delete: (ref: string) => remove({ params: { ref } }),
    get: (ref: string) => Effect.map(get({ params: { ref } }), ({ token }) => token),
    /** One page: the first, or the one after a token. */
    page: (ref: string | undefined) => (ref === undefined ? first({}) : after({ params: { ref } }))
  }
})

/** Parcelbird's own endpoints, for what is not portable. */
export class ParcelbirdClient extends Context.Service<ParcelbirdClient, Effect.Success<ReturnType<typeof make>>>()(
  "parcelbird/ParcelbirdClient"
) {}

export const layer = (options: ProviderClient.ClientOptions) => Layer.effect(ParcelbirdClient, make(options))
