/**
 * SMTP2GO's endpoints for API keys, one method each.
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
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { errors, notFound, ofCandidate } from "./internal/refusals.ts"
import { isWholeKey } from "./internal/secret.ts"
import * as Wire from "./MailerPatchSchema.ts"

/**
 * The provider's id, in refs, errors, spans and metrics, and the namespace of its options.
 *
 * @since 0.1.0
 * @category constants
 */
export const provider = "smtp2go"

/**
 * Where SMTP2GO's API is, by region: `global` routes to the nearest. Source: `servers` of the vendor's OpenAPI document.
 *
 * @since 0.1.0
 * @category constants
 */
export const baseUrls = {
  global: "https://api.smtp2go.com/v3",
  us: "https://us-api.smtp2go.com/v3",
  eu: "https://eu-api.smtp2go.com/v3",
  au: "https://au-api.smtp2go.com/v3"
} as const

/**
 * A region of SMTP2GO's API.
 *
 * @since 0.1.0
 * @category models
 */
export type Region = keyof typeof baseUrls

/**
 * What we let through to SMTP2GO.
 *
 * **Details**
 *
 * The vendor says that it has no fixed limits, and that an IP address that makes too many requests, or causes too many
 * errors, gets 429 for at least a minute (page "Rate limiting"). So these figures are ours: two token buckets of 60 and 20
 * calls a minute, and after 10 errors in a minute only `revoke` and `disable` leave for a while.
 *
 * @since 0.1.0
 * @category constants
 */
export const budgets: ProviderClient.Budgets = {
  ordinary: { limit: 60, window: "1 minute" },
  urgent: { limit: 20, window: "1 minute" },
  errors: { limit: 10, window: "1 minute" },
  lockout: "1 minute"
}

/**
 * What we let through to `add`: five in any 65 seconds, where the vendor allows five a minute (its OpenAPI document, `add`).
 *
 * @since 0.1.0
 * @category constants
 */
export const addBudget: ProviderClient.EndpointBudget = { name: "add", limit: 5, window: "65 seconds" }

/** Refuses what would lock the manager out of its own account. Upper and lower case may be one to the vendor. */
const notOwn = (id: Redacted.Redacted<string>, credential: string, harm: string) => {
  if (!isSameKey(Redacted.value(id), credential)) return undefined
  const message = `is the key that the manager itself is using, and this would ${harm}: use another key as \`apiKey\` first`
  return new InvalidRequest({ source: "client", issues: [{ path: ["ref"], message }] })
}

const isSameKey = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()

const endpoints = {
  add: {
    method: "POST",
    path: "/api_keys/add",
    safety: "mint",
    body: Wire.AddRequest,
    reply: Wire.NewKeyReply,
    salvage: Wire.salvageKey,
    budget: addBudget
  },
  edit: {
    method: "PATCH",
    path: "/api_keys/edit",
    safety: "idempotent",
    body: Wire.EditRequest,
    reply: Wire.KeysReply,
    guard: ({ endpoints: scopes, id, status = "allowed" }: typeof Wire.EditRequest.Type, credential: string) =>
      status !== "allowed"
        ? notOwn(id, credential, "shut it off")
        : scopes !== undefined && !scopes.includes("*")
          ? notOwn(id, credential, "narrow it")
          : undefined,
    errors: notFound
  },
  view: {
    method: "POST",
    path: "/api_keys/view",
    safety: "read",
    body: Wire.ViewRequest,
    reply: Wire.KeysReply,
    errors: notFound
  },
  list: {
    method: "POST",
    path: "/api_keys/view",
    safety: "read",
    body: Wire.ListRequest,
    reply: Wire.KeysReply
  },
  remove: {
    ...ProviderClient.undocumentedRemoval(Wire.isRefusal),
    method: "POST",
    path: "/api_keys/remove",
    body: Wire.RemoveRequest,
    guard: ({ id }: typeof Wire.RemoveRequest.Type, credential: string) => notOwn(id, credential, "remove it"),
    errors: notFound
  },
  permissions: {
    method: "POST",
    path: "/api_keys/permissions",
    safety: "read",
    body: Wire.PermissionsRequest,
    reply: Wire.PermissionsReply
  },
  verify: {
    method: "POST",
    path: "/api_keys/permissions",
    safety: "read",
    body: Wire.PermissionsRequest,
    reply: Wire.PermissionsReply,
    // Another vendor's secret must not be sent to this one.
    guard: (_: typeof Wire.PermissionsRequest.Type, candidate: string) =>
      isWholeKey(candidate)
        ? undefined
        : new InvalidRequest({ source: "client", issues: [{ path: [], message: "is no key of SMTP2GO" }] }),
    errors: ofCandidate
  }
} as const

type WithoutSubaccount<A> = Omit<A, "subaccountId">

/**
 * SMTP2GO's own endpoints, for what is not portable.
 *
 * **When to use**
 *
 * Use it for what the neutral service does not show, such as the `permissions` of the manager's own key. For minting keys
 * use `ApiKeyService`: it runs a mint to its end and hands the secret over before anything can lose it.
 *
 * **Details**
 *
 * Every method fails with `ApiKeyError` alone, whose `operation` is the endpoint. `add` comes in two steps: the outer effect
 * waits for the limiter and reads the credential, `send` makes the one request. The subaccount that the layer was given
 * rides on every call but `permissions` and `verify`, which take none.
 *
 * `edit` and `remove` refuse to shut off or narrow the key that the manager itself is using.
 *
 * @since 0.1.0
 * @category services
 */
export class MailerPatchClient extends Context.Service<
  MailerPatchClient,
  {
    /** Your name for the account at SMTP2GO. */
    readonly account: string
    /** The ref of a key of this account, from the key itself. */
    readonly ref: (key: Redacted.Redacted<string>) => KeyRef
    /** Whether a key is the one that the manager itself is using now. */
    readonly isOwn: (key: string) => Effect.Effect<boolean, ApiKeyError>
    /** `POST /api_keys/add`; the reply holds the only copy of the key. */
    readonly add: (
      request: WithoutSubaccount<typeof Wire.AddRequest.Type>
    ) => Effect.Effect<ProviderClient.PreparedRequest<Wire.MailerPatchKey>, ApiKeyError>
    /** `PATCH /api_keys/edit`: changes what is named, and gives back the key as it is then. */
    readonly edit: (
      request: WithoutSubaccount<typeof Wire.EditRequest.Type>
    ) => Effect.Effect<Wire.MailerPatchKey, ApiKeyError>
    /** `POST /api_keys/view`, for every key, or those that a word finds. */
    readonly list: (options?: {
      readonly search?: string
    }) => Effect.Effect<ReadonlyArray<Wire.MailerPatchKey>, ApiKeyError>
    /** `POST /api_keys/view`, for one key. */
    readonly view: (key: Redacted.Redacted<string>) => Effect.Effect<Wire.MailerPatchKey, ApiKeyError>
    /** `POST /api_keys/remove`. What the vendor answers is not documented, so success proves nothing: read the key. */
    readonly remove: (key: Redacted.Redacted<string>) => Effect.Effect<void, ApiKeyError>
    /** `POST /api_keys/permissions`: the endpoints that the manager's own key may use. */
    readonly permissions: Effect.Effect<ReadonlyArray<string>, ApiKeyError>
    /**
     * `POST /api_keys/permissions`, which every key may call, with this key in the manager's place: whether the vendor accepts
     * it now. `rejected` only where the vendor itself says so of the credential, as it does of a key that is unknown, removed
     * or blocked; every other end is `unclear`. It changes nothing.
     */
    readonly verify: (key: Redacted.Redacted<string>) => Effect.Effect<"accepted" | "rejected" | "unclear">
  }
>()("@effect-api-keys/mailer-patch/MailerPatchClient") {}

/**
 * What a client of SMTP2GO is given.
 *
 * **Details**
 *
 * - `region`: which of the vendor's addresses is called, `global` unless given; not beside `baseUrl`.
 * - `subaccount`: the id of the subaccount whose keys are managed. Give each an `account` of its own, so that refs of one
 *   are refused by the layer of another.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ProviderClient.ClientOptions {
  readonly region?: Region | undefined
  readonly subaccount?: string | undefined
}

/** Options of this vendor's own that cannot work; from JavaScript or a configuration they may be anything. */
const checkOptions = ({ baseUrl, region, subaccount }: Options): Effect.Effect<void, ApiKeyError> => {
  const issues = [
    ...(region === undefined || Object.hasOwn(baseUrls, region)
      ? []
      : [{ path: ["region"], message: `must be one of ${Object.keys(baseUrls).join(", ")}` }]),
    ...(region === undefined || baseUrl === undefined
      ? []
      : [{ path: ["region"], message: "says the same as `baseUrl`: give one of them" }]),
    ...(subaccount === undefined || (Predicate.isString(subaccount) && subaccount !== "")
      ? []
      : [
          {
            path: ["subaccount"],
            message: "must be the id of a subaccount, as text: leave it out for the account itself"
          }
        ])
  ]
  return issues.length === 0
    ? Effect.void
    : Effect.fail(
        new ApiKeyError({ provider, operation: "layer", reason: new InvalidRequest({ source: "client", issues }) })
      )
}

/**
 * Makes the client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<MailerPatchClient["Service"], ApiKeyError, HttpClient.HttpClient | Scope.Scope> {
  yield* checkOptions(options)
  const client = yield* ProviderClient.make({
    ...options,
    provider,
    baseUrl: options.baseUrl ?? baseUrls[options.region ?? "global"],
    authorization: (credential) => ["x-smtp2go-api-key", credential],
    budgets,
    errors
  })
  const { account } = client
  const subaccount = options.subaccount === undefined ? {} : { subaccountId: options.subaccount }
  const add = client.prepare(endpoints.add)
  const edit = client.call(endpoints.edit)
  const view = client.call(endpoints.view)
  const list = client.call(endpoints.list)
  const remove = client.call(endpoints.remove)
  const verify = client.call(endpoints.verify)

  const isOwn = (key: string) =>
    Effect.map(client.credential, (credential) => isSameKey(Redacted.value(credential), key))

  const fail = (operation: string, reason: ApiKeyError["reason"]) =>
    Effect.fail(new ApiKeyError({ provider, operation, reason }))

  /** A reply that shows other keys, or ours in a form that we cannot tell, says nothing of ours. */
  const notShown = (operation: string) => {
    const issues = [{ path: [], message: "does not show the key that it was asked for" }]
    return fail(operation, new UnexpectedResponse({ problem: "body", issues }))
  }

  return {
    account,
    ref: (value) => new KeyRef({ provider, account, value }),
    isOwn,
    add: (request) =>
      Effect.map(add({ body: { ...request, ...subaccount } }), ({ send }) => ({
        // The reply is one key: it was checked when it was decoded.
        send: Effect.map(send, Wire.readNewKey)
      })),
    edit: (request) =>
      Effect.flatMap(edit({ body: { ...request, ...subaccount } }), (reply) =>
        Option.match(Wire.findKey(Wire.readKeys(reply), Redacted.value(request.id)), {
          onSome: Effect.succeed,
          onNone: () => notShown("PATCH /api_keys/edit")
        })
      ),
    list: (filter) => Effect.map(list({ body: { ...filter, ...subaccount } }), Wire.readKeys),
    view: (id) =>
      Effect.flatMap(view({ body: { id, ...subaccount } }), (reply) => {
        const operation = "POST /api_keys/view"
        const shown = Wire.readKeys(reply)
        return Option.match(Wire.findKey(shown, Redacted.value(id)), {
          onSome: Effect.succeed,
          onNone: () => (shown.length === 0 ? fail(operation, new KeyNotFound()) : notShown(operation))
        })
      }),
    remove: (id) => Effect.asVoid(remove({ body: { id, ...subaccount } })),
    permissions: Effect.map(client.call(endpoints.permissions)({ body: {} }), Wire.readPermissions),
    verify: (credential) =>
      // From JavaScript, there may be none; then the manager's would be asked about.
      Redacted.isRedacted(credential)
        ? Effect.match(verify({ body: {}, credential }), {
            onSuccess: () => "accepted",
            onFailure: ({ reason }) =>
              reason._tag === "AuthenticationFailed" && reason.problem === "rejected" ? "rejected" : "unclear"
          })
        : Effect.succeed("unclear")
  }
})

/**
 * The client alone, without the service.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<MailerPatchClient, ApiKeyError, HttpClient.HttpClient> =>
  Layer.effect(MailerPatchClient, make(options))
