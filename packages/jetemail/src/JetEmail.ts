/**
 * JetEmail's transactional keys behind `ApiKeyService`.
 *
 * @since 0.1.0
 */

import type { KeyStatus } from "@effect-api-keys/core/ApiKey"
import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import { ApiKeyError, InvalidRequest } from "@effect-api-keys/core/ApiKeyError"
import { ApiKeyService, type EachCan, type Verb } from "@effect-api-keys/core/ApiKeyService"
import * as ConfigOptions from "@effect-api-keys/core/ConfigOptions"
import type * as ProviderClient from "@effect-api-keys/core/ProviderClient"
import type { AllowList, Restrictions } from "@effect-api-keys/core/Restrictions"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { deriveHandleKey, hashToken } from "./internal/handle.ts"
import { checkToken } from "./internal/token.ts"
import { checkDomain, checkIp, checkName, maxName } from "./internal/validators.ts"
import * as Client from "./JetEmailClient.ts"
import * as Wire from "./JetEmailSchema.ts"

/**
 * What a key may do where its spec is silent. JetEmail leaves all three open, so each must be said once.
 *
 * @since 0.1.0
 * @category models
 */
export type Defaults = Pick<Restrictions, "domains" | "ips" | "quota">

/**
 * What every layer of JetEmail is given.
 *
 * @since 0.1.0
 * @category models
 */
export interface BaseOptions extends ProviderClient.ClientOptions {
  readonly defaults: Defaults
}

/**
 * The options of JetEmail's layer.
 *
 * **Details**
 *
 * - `apiKey`: the manager's credential, an account key (`api_…`); an effect is run for every call.
 * - `defaults`: what a key may do where its spec is silent.
 * - `handleKey`: keys the hash that makes printable handles from tokens. It is derived from `apiKey` unless given;
 *   give it if you store handles, or they change with the credential. Required where `apiKey` is an effect.
 * - `baseUrl`, `account`, `timeout`, `retry`, `rateLimit`, `maxReplyBytes`, `transformClient`: see `ClientOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export type Options =
  | (BaseOptions & {
      readonly apiKey: Redacted.Redacted<string>
      readonly handleKey?: Redacted.Redacted<string> | undefined
    })
  | (BaseOptions & { readonly apiKey: ProviderClient.Credential; readonly handleKey: Redacted.Redacted<string> })

/** Source of the words: the vendor's page on listing keys. What "quota-unlocked" allows is not documented. */
const statuses: ReadonlyMap<string, KeyStatus> = new Map([
  ["active", "active"],
  ["disabled", "disabled"],
  ["suspended", "suspended"],
  ["quota-locked", "suspended"]
])

const normalised = (list: ReadonlyArray<string>, check: (entry: string) => Result.Result<string, string>) =>
  list.map((entry) => Result.getOrElse(check(entry), () => entry))

const toAllowList = (list: ReadonlyArray<string>): AllowList | undefined => {
  const [first, ...rest] = list
  return first === undefined ? undefined : [first, ...rest]
}

/**
 * What the list shows of a key's domains. They are left out where `allowAllDomains` is not shown, for then a list of
 * domains proves no restriction, and where it is `false` and the list is empty, which has no documented meaning.
 */
const toDomains = (key: Wire.JetEmailKey): AllowList | undefined => {
  const approved = Option.getOrElse(key.approvedDomains, () => [])
  return Option.match(key.allowAllDomains, {
    onNone: () => undefined,
    onSome: (all) => (all ? "any" : toAllowList(normalised(approved, checkDomain)))
  })
}

const toIps = (key: Wire.JetEmailKey): AllowList | undefined =>
  Option.match(key.ipRestrictions, {
    onNone: () => undefined,
    onSome: (ips) => toAllowList(normalised(ips, checkIp)) ?? "any"
  })

/** The vendor's fields for the neutral restrictions. */
const toFields = ({ domains, ips, quota }: Partial<Restrictions>) => ({
  ...(domains === undefined
    ? {}
    : domains === "any"
      ? { allowAllDomains: true }
      : { allowAllDomains: false, approvedDomains: domains }),
  ...(ips === undefined ? {} : { ipRestrictions: ips === "any" ? [] : ips }),
  ...(quota === undefined ? {} : { quota: quota === "unlimited" ? 0 : quota })
})

const toRecord =
  (handle: (token: string) => string) =>
  (key: Wire.JetEmailKey): ApiKeyDriver.KeyRecord => {
    const address = Option.getOrUndefined(Option.map(key.token, Redacted.value))
    const domains = toDomains(key)
    const ips = toIps(key)
    const quota = Option.getOrUndefined(key.quota)
    const name = Option.getOrUndefined(key.name)
    const createdAt = Option.getOrUndefined(key.createdAt)
    const updatedAt = Option.getOrUndefined(key.modifiedAt)
    return {
      ...(address === undefined ? {} : { address }),
      // A masked key has no token to hash; its uuid is as printable.
      handle: address === undefined ? `jetemail_${Option.getOrElse(key.uuid, () => "masked")}` : handle(address),
      ...(name === undefined ? {} : { name }),
      status: statuses.get(key.status) ?? "unknown",
      providerStatus: key.status,
      restrictions: {
        ...(domains === undefined ? {} : { domains }),
        ...(ips === undefined ? {} : { ips }),
        ...(quota === undefined ? {} : { quota: quota <= 0 ? "unlimited" : Math.ceil(quota) })
      },
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(updatedAt === undefined ? {} : { updatedAt }),
      options: {
        ...Option.match(key.uuid, { onNone: () => ({}), onSome: (uuid) => ({ uuid }) }),
        ...Option.match(key.usage, { onNone: () => ({}), onSome: (usage) => ({ usage }) })
      }
    }
  }

/** The vendor's own id of a key. That it outlives a rotation is an assumption: no page says so. */
const identity = ({ options }: ApiKeyDriver.KeyRecord): string | undefined =>
  Predicate.isString(options?.uuid) ? options.uuid : undefined

const toMinted = ({ token }: typeof Wire.TokenReply.Type): ApiKeyDriver.Minted => {
  const secret = Redacted.value(token)
  return { address: secret, secret }
}

/** What keys the handles; from JavaScript, both a handle key and a plain credential may be missing. */
const handleKeyOf = ({ apiKey, handleKey }: Options): Effect.Effect<string, ApiKeyError> => {
  const given = handleKey === undefined ? "" : Redacted.value(handleKey)
  if (given !== "") return Effect.succeed(given)
  if (handleKey === undefined && Redacted.isRedacted(apiKey)) {
    return Effect.succeed(deriveHandleKey(String(Redacted.value(apiKey))))
  }
  const message = "is required, and not empty, where `apiKey` is an effect: handles are hashed with it"
  const reason = new InvalidRequest({ source: "client", issues: [{ path: ["handleKey"], message }] })
  return Effect.fail(new ApiKeyError({ provider: Client.provider, operation: "layer", reason }))
}

/**
 * Makes the driver, over the client in the context. {@link layer} is this with `ApiKeyService.layer`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* Client.JetEmailClient
  const handleKey = yield* handleKeyOf(options)
  const handle = hashToken(handleKey)
  const record = toRecord(handle)
  const prepared = (request: ProviderClient.PreparedRequest<typeof Wire.TokenReply.Type>) => ({
    send: Effect.map(request.send, toMinted)
  })

  return {
    provider: Client.provider,
    account: client.account,
    defaults: options.defaults,
    restrictions: {
      domains: ApiKeyDriver.allowList({ max: Wire.maxDomains, entry: checkDomain }),
      ips: ApiKeyDriver.allowList({ max: Wire.maxIps, entry: checkIp }),
      quota: ApiKeyDriver.quota({ max: Wire.maxQuota })
    },
    name: ApiKeyDriver.text(checkName),
    address: ApiKeyDriver.text(checkToken),
    handle,
    mint: ({ name, restrictions }) => Effect.map(client.create({ name, ...toFields(restrictions) }), prepared),
    patch: (address, { name, restrictions }) =>
      Effect.as(
        client.update({
          token: Redacted.make(address),
          ...(name === undefined ? {} : { name }),
          ...toFields(restrictions)
        }),
        undefined
      ),
    setStatus: (address, status) =>
      Effect.as(client.setStatus({ token: Redacted.make(address), status: status === "disabled" ? 0 : 1 }), undefined),
    remove: (address) => client.delete({ token: Redacted.make(address) }),
    list: () => Stream.map(Stream.fromIterableEffect(client.list), record),
    rotation: {
      inPlace: (address) => Effect.map(client.rotate({ token: Redacted.make(address) }), prepared)
    },
    recovery: { maxName, secrets: true, identity }
  } satisfies ApiKeyDriver.ApiKeyDriver
})

/**
 * What JetEmail can do: every verb, and domains, IPs and a quota. Not `overlap`: a rotation kills the old secret.
 *
 * @since 0.1.0
 * @category models
 */
export type Provides = ApiKeyService | Client.JetEmailClient | EachCan<Verb | keyof Defaults>

/**
 * JetEmail, for one account.
 *
 * **Details**
 *
 * Fails with `InvalidRequest` for options that cannot work: a `baseUrl` that is no URL, an empty list in `defaults`.
 *
 * **Example** (A layer)
 *
 * ```ts
 * import * as JetEmail from "@effect-api-keys/jetemail"
 * import * as Redacted from "effect/Redacted"
 *
 * export const JetEmailLive = JetEmail.layer({
 *   apiKey: Redacted.make("api_test_manager"),
 *   defaults: { domains: "any", ips: "any", quota: "unlimited" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Provides, ApiKeyError, HttpClient.HttpClient> =>
  ApiKeyService.layer(make(options)).pipe(Layer.provideMerge(Client.layer(options)))

/**
 * {@link layer}, where each option may be a `Config`.
 *
 * **Example** (Credential from the environment)
 *
 * ```ts
 * import * as JetEmail from "@effect-api-keys/jetemail"
 * import * as Config from "effect/Config"
 *
 * export const JetEmailLive = JetEmail.layerConfig({
 *   apiKey: Config.Redacted("JETEMAIL_API_KEY"),
 *   defaults: { domains: "any", ips: "any", quota: "unlimited" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: ConfigOptions.ConfigOptions<Options>
): Layer.Layer<Provides, ApiKeyError | Config.ConfigError, HttpClient.HttpClient> =>
  Layer.unwrap(Effect.map(ConfigOptions.resolve<Options>(options), layer))
