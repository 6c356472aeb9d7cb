/**
 * JetEmail's endpoints for transactional keys, one method each.
 *
 * @since 0.1.0
 */

import { KeyRef } from "@effect-api-keys/core/ApiKey"
import type { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import { InvalidKeyState, KeyLimitReached, KeyNotFound, PermissionDenied } from "@effect-api-keys/core/ApiKeyError"
import * as ProviderClient from "@effect-api-keys/core/ProviderClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Wire from "./JetEmailSchema.ts"

/**
 * The provider's id, in refs, errors, spans and metrics.
 *
 * @since 0.1.0
 * @category constants
 */
export const provider = "jetemail"

/**
 * Where JetEmail's API is. Source: the vendor's OpenAPI document, `servers`; there are no regions.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultBaseUrl = "https://api.jetemail.com"

/**
 * What JetEmail lets through: 240 requests a minute for an account, and past that nothing at all for five minutes.
 * Source: the vendor's page "Introduction".
 *
 * **Details**
 *
 * Two token buckets, 90 and 20 a minute: a bucket that starts full lets at most twice its size through in any minute, so
 * at most 220 calls leave in one. The rest is slack for calls that leave in different minutes and arrive in the same one.
 *
 * @since 0.1.0
 * @category constants
 */
export const budgets: ProviderClient.Budgets = {
  ordinary: { limit: 90, window: "1 minute" },
  urgent: { limit: 20, window: "1 minute" },
  lockout: "5 minutes"
}

const keys = "/outbound/transactional-keys"

/** Whether a reply is the vendor's own refusal, and not that of a proxy or firewall before it. */
const isRefusal = (reply: unknown): boolean =>
  Predicate.isObject(reply) && reply.success === false && Predicate.isString(reply.error)

/** A 404 of a proxy, or of a wrong `baseUrl`, says nothing of the key. */
const notFound = (reply: unknown) => (isRefusal(reply) ? new KeyNotFound() : undefined)

/** Source of the statuses: the vendor's three pages; 404 on delete is an assumption, since its page was cut off. */
const endpoints = {
  create: {
    method: "POST",
    path: keys,
    safety: "mint",
    body: Wire.CreateRequest,
    reply: Wire.TokenReply,
    salvage: (reply: unknown, { name }: typeof Wire.CreateRequest.Type) => Wire.salvageToken(reply, [name]),
    errors: { 403: (reply: unknown) => (isRefusal(reply) ? new KeyLimitReached() : new PermissionDenied()) }
  },
  update: {
    method: "PATCH",
    path: keys,
    safety: "idempotent",
    body: Wire.UpdateRequest,
    reply: Wire.Acknowledged,
    errors: { 404: notFound }
  },
  setStatus: {
    method: "PATCH",
    path: keys,
    safety: "idempotent",
    body: Wire.StatusRequest,
    reply: Wire.Acknowledged,
    errors: { 404: notFound }
  },
  delete: {
    method: "DELETE",
    path: keys,
    safety: "remove",
    body: Wire.TokenRequest,
    reply: Wire.Acknowledged,
    gone: (): typeof Wire.Acknowledged.Type => ({ success: true }),
    errors: { 404: notFound }
  },
  rotate: {
    method: "POST",
    path: `${keys}/rotate`,
    safety: "mint",
    body: Wire.TokenRequest,
    reply: Wire.TokenReply,
    salvage: (reply: unknown, { token }: typeof Wire.TokenRequest.Type) =>
      Wire.salvageToken(reply, [Redacted.value(token)]),
    errors: {
      403: (reply: unknown) => (isRefusal(reply) ? new InvalidKeyState({}) : new PermissionDenied()),
      404: notFound
    }
  },
  list: { method: "GET", path: keys, safety: "read", reply: Wire.ListReply }
} as const

/**
 * JetEmail's own endpoints, for what is not portable.
 *
 * **When to use**
 *
 * Use it for what the neutral service does not show, such as a key's `uuid` and `usage`. For minting keys use
 * `ApiKeyService`: it runs a mint to its end and hands the secret over before anything can lose it.
 *
 * **Details**
 *
 * Every method fails with `ApiKeyError` alone, whose `operation` is the endpoint. `create` and `rotate` come in two
 * steps: the outer effect waits for the limiter and reads the credential, `send` makes the one request.
 *
 * @since 0.1.0
 * @category services
 */
export class JetEmailClient extends Context.Service<
  JetEmailClient,
  {
    /** Your name for the account at JetEmail. */
    readonly account: string
    /** The ref of a key of this account, from its token. */
    readonly ref: (token: Redacted.Redacted<string>) => KeyRef
    /** `POST /outbound/transactional-keys`. */
    readonly create: (
      request: typeof Wire.CreateRequest.Type
    ) => Effect.Effect<ProviderClient.PreparedRequest<typeof Wire.TokenReply.Type>, ApiKeyError>
    /** `PATCH /outbound/transactional-keys`, for a key's fields. */
    readonly update: (request: typeof Wire.UpdateRequest.Type) => Effect.Effect<void, ApiKeyError>
    /** `PATCH /outbound/transactional-keys`, for a key's status alone. */
    readonly setStatus: (request: typeof Wire.StatusRequest.Type) => Effect.Effect<void, ApiKeyError>
    /** `DELETE /outbound/transactional-keys`, with a body. */
    readonly delete: (request: typeof Wire.TokenRequest.Type) => Effect.Effect<void, ApiKeyError>
    /** `POST /outbound/transactional-keys/rotate`. The old token is dead as soon as the vendor has the request. */
    readonly rotate: (
      request: typeof Wire.TokenRequest.Type
    ) => Effect.Effect<ProviderClient.PreparedRequest<typeof Wire.TokenReply.Type>, ApiKeyError>
    /** `GET /outbound/transactional-keys`: every key of the account, in one reply. */
    readonly list: Effect.Effect<ReadonlyArray<Wire.JetEmailKey>, ApiKeyError>
  }
>()("@effect-api-keys/jetemail/JetEmailClient") {}

/**
 * Makes the client of one account.
 *
 * **Details**
 *
 * Fails with `InvalidRequest` for a `baseUrl` that is no URL or would send the credential in clear.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: ProviderClient.ClientOptions
): Effect.fn.Return<JetEmailClient["Service"], ApiKeyError, HttpClient.HttpClient | Scope.Scope> {
  const client = yield* ProviderClient.make({
    ...options,
    provider,
    baseUrl: options.baseUrl ?? defaultBaseUrl,
    authorization: (credential) => ["authorization", `Bearer ${credential}`],
    budgets
  })
  const create = client.prepare(endpoints.create)
  const rotate = client.prepare(endpoints.rotate)
  const list = client.call(endpoints.list)
  const update = client.call(endpoints.update)
  const setStatus = client.call(endpoints.setStatus)
  const remove = client.call(endpoints.delete)
  return JetEmailClient.of({
    account: client.account,
    ref: (value) => new KeyRef({ provider, account: client.account, value }),
    create: (body) => create({ body }),
    update: (request) => Effect.asVoid(update({ body: request })),
    setStatus: (request) => Effect.asVoid(setStatus({ body: request })),
    delete: (request) => Effect.asVoid(remove({ body: request })),
    rotate: (body) => rotate({ body }),
    list: Effect.map(list({}), Wire.readKeys)
  })
})

/**
 * The layer of {@link make}.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: ProviderClient.ClientOptions
): Layer.Layer<JetEmailClient, ApiKeyError, HttpClient.HttpClient> => Layer.effect(JetEmailClient, make(options))
