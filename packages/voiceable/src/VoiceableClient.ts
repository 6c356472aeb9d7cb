/**
 * Voiceable's endpoints for API keys, one method each.
 *
 * @since 0.1.0
 */

import { KeyRef } from "@effect-api-keys/core/ApiKey"
import { ApiKeyError, InvalidRequest, KeyNotFound, UnexpectedResponse } from "@effect-api-keys/core/ApiKeyError"
import * as ProviderClient from "@effect-api-keys/core/ProviderClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Wire from "./VoiceableSchema.ts"

/**
 * The provider's id, in refs, errors, spans and metrics, and the namespace of its options.
 *
 * @since 0.1.0
 * @category constants
 */
export const provider = "voiceable"

/**
 * What we let through to Voiceable.
 *
 * **Details**
 *
 * The vendor names headers for a rate limit (page "Introduction"), and no figures; these are ours.
 *
 * @since 0.1.0
 * @category constants
 */
export const budgets: ProviderClient.Budgets = {
  ordinary: { limit: 60, window: "1 minute" },
  urgent: { limit: 20, window: "1 minute" },
  lockout: "1 minute"
}

const keys = "/api_keys"
const key = `${keys}/:id`

const refused = (reply: unknown) =>
  new InvalidRequest({
    source: "provider",
    issues: Wire.refusedFields(reply).map((path) => ({ path, message: "was refused by the vendor" }))
  })

/** Source of the statuses: page "Update API Key". */
const errors: ProviderClient.Errors = { 400: refused, 422: refused }

/** A 404 of a proxy, or of a wrong `baseUrl`, says nothing of the key. */
const notFound: ProviderClient.Errors = {
  404: (reply) => (Wire.isNotFound(reply) ? new KeyNotFound() : undefined)
}

const endpoints = {
  create: {
    method: "POST",
    path: keys,
    safety: "mint",
    body: Wire.CreateRequest,
    reply: Wire.KeyReply,
    salvage: Wire.salvageKey
  },
  update: {
    method: "PUT",
    path: key,
    safety: "idempotent",
    body: Wire.UpdateRequest,
    reply: Wire.KeyReply,
    errors: notFound
  },
  get: { method: "GET", path: key, safety: "read", reply: Wire.KeyReply, errors: notFound },
  list: { method: "GET", path: keys, safety: "read", reply: Wire.KeysReply },
  // The dashboard takes a redirect and an empty body for a success. Either may as well be a login page.
  delete: { ...ProviderClient.undocumentedRemoval(Wire.saysNo), method: "DELETE", path: key, errors: notFound }
} as const

/**
 * Voiceable's own endpoints, for what is not portable.
 *
 * **When to use**
 *
 * Use it for what the neutral service does not show. For minting keys use `ApiKeyService`: it runs a mint to its end and
 * hands the secret over before anything can lose it.
 *
 * **Details**
 *
 * Every method fails with `ApiKeyError` alone, whose `operation` is the endpoint. `create` comes in two steps: the outer
 * effect waits for the limiter and reads the credential, `send` makes the one request.
 *
 * **Gotchas**
 *
 * Which of the account's keys the manager itself is using cannot be known: keys are named by ids, and no endpoint says the
 * caller's. Deleting it locks the manager out.
 *
 * @since 0.1.0
 * @category services
 */
export class VoiceableClient extends Context.Service<
  VoiceableClient,
  {
    /** Your name for the account at Voiceable. */
    readonly account: string
    /** The ref of a key of this account, from its id. */
    readonly ref: (id: string) => KeyRef
    /** `POST /api_keys`; the reply holds the only copy of the secret. */
    readonly create: (
      key: (typeof Wire.CreateRequest.Type)["apiKey"]
    ) => Effect.Effect<ProviderClient.PreparedRequest<Wire.VoiceableKey>, ApiKeyError>
    /** `PUT /api_keys/:id`: changes what is named, and gives back the key as it is then. */
    readonly update: (
      id: string,
      changes: (typeof Wire.UpdateRequest.Type)["apiKey"]
    ) => Effect.Effect<Wire.VoiceableKey, ApiKeyError>
    /** `GET /api_keys/:id`. */
    readonly get: (id: string) => Effect.Effect<Wire.VoiceableKey, ApiKeyError>
    /** `GET /api_keys`: every key of the manager's user. */
    readonly list: Effect.Effect<ReadonlyArray<Wire.VoiceableKey>, ApiKeyError>
    /** `DELETE /api_keys/:id`. What the vendor answers is not documented, so success proves nothing: read the key. */
    readonly delete: (id: string) => Effect.Effect<void, ApiKeyError>
  }
>()("@effect-api-keys/voiceable/VoiceableClient") {}

/**
 * What a client of Voiceable is given.
 *
 * **Details**
 *
 * `baseUrl` is required: the vendor's pages show only a placeholder for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ProviderClient.ClientOptions {
  readonly baseUrl: string
}

/**
 * Makes the client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<VoiceableClient["Service"], ApiKeyError, HttpClient.HttpClient | Scope.Scope> {
  const client = yield* ProviderClient.make({
    ...options,
    provider,
    authorization: (credential) => ["x-api-key", credential],
    budgets,
    errors
  })
  const { account } = client
  const create = client.prepare(endpoints.create)
  const update = client.call(endpoints.update)
  const get = client.call(endpoints.get)
  const remove = client.call(endpoints.delete)

  /** A reply that shows another key than was asked for says nothing of ours. */
  const ours = (operation: string, id: string) => (reply: unknown) => {
    const shown = Wire.readKeyReply(reply)
    if (Option.contains(shown.id, id)) return Effect.succeed(shown)
    const issues = [{ path: ["data", "id"], message: "is another than was asked for" }]
    const reason = new UnexpectedResponse({ problem: "body", issues })
    return Effect.fail(new ApiKeyError({ provider, operation, reason }))
  }

  return {
    account,
    ref: (id) => new KeyRef({ provider, account, value: Redacted.make(id) }),
    create: (apiKey) =>
      Effect.map(create({ body: { apiKey } }), ({ send }) => ({ send: Effect.map(send, Wire.readKeyReply) })),
    update: (id, apiKey) => Effect.flatMap(update({ params: { id }, body: { apiKey } }), ours(`PUT ${key}`, id)),
    get: (id) => Effect.flatMap(get({ params: { id } }), ours(`GET ${key}`, id)),
    list: Effect.map(client.call(endpoints.list)({}), Wire.readKeysReply),
    delete: (id) => Effect.asVoid(remove({ params: { id } }))
  }
})

/**
 * The client alone, without the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<VoiceableClient, ApiKeyError, HttpClient.HttpClient> =>
  Layer.effect(VoiceableClient, make(options))
