/**
 * SMTP2GO's API keys behind `ApiKeyService`.
 *
 * @since 0.1.0
 */

import type { KeyStatus } from "@effect-api-keys/core/ApiKey"
import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import { ApiKeyError, type ApiKeyErrorReason, InvalidKeyState, InvalidRequest } from "@effect-api-keys/core/ApiKeyError"
import { ApiKeyService, type EachCan, type Verb } from "@effect-api-keys/core/ApiKeyService"
import * as ConfigOptions from "@effect-api-keys/core/ConfigOptions"
import type { AllowList, Restrictions } from "@effect-api-keys/core/Restrictions"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { formatPeriod, parsePeriod } from "./internal/period.ts"
import { checkKey, usernameOf } from "./internal/secret.ts"
import { checkEndpoint, isEmail, isFooter } from "./internal/validators.ts"
import * as Client from "./MailerPatchClient.ts"
import * as Wire from "./MailerPatchSchema.ts"

/**
 * Settings of a key that only SMTP2GO has, in `options.smtp2go` of a spec or patch.
 *
 * **Details**
 *
 * - `ipPool`: the id of a pool of dedicated IP addresses.
 * - `feedbackEnabled`, `feedbackHtml`, `feedbackText`: the unsubscribe footer; `%%UNSUBSCRIBE%%` and `%%EMAIL%%` are filled in.
 * - `openTrackingEnabled`, `clickTrackingEnabled`, `archiveEnabled` (paid plans): `false` unless given.
 * - `auditEmail`: gets a blind copy of every e-mail.
 * - `bounceNotifications`: `"from"` (the vendor's default: bounces go to the sender), `"drop"`, or an address.
 * - `status`: what a *new* key is, `"allowed"` unless given. Later it is changed by `disable`, and by `enable` with `as`.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyOptions {
  readonly ipPool?: number
  readonly feedbackEnabled?: boolean
  readonly feedbackHtml?: string
  readonly feedbackText?: string
  readonly openTrackingEnabled?: boolean
  readonly clickTrackingEnabled?: boolean
  readonly archiveEnabled?: boolean
  readonly auditEmail?: string
  readonly bounceNotifications?: string
  readonly status?: "allowed" | "blocked" | "sandbox"
}

declare module "@effect-api-keys/core/ProviderOptions" {
  interface ProviderOptions {
    /** Settings of a key that only SMTP2GO has. */
    readonly smtp2go?: KeyOptions
  }
}

/**
 * What a key may do where its spec is silent: its rate, which SMTP2GO leaves open, must be said once. Its endpoints are
 * `/email/send` alone, as the vendor has it, unless given.
 *
 * @since 0.1.0
 * @category models
 */
export type Defaults = Pick<Restrictions, "rate"> & Partial<Pick<Restrictions, "scopes">>

/**
 * The options of SMTP2GO's layer.
 *
 * **Details**
 *
 * - `apiKey`: the manager's credential, an API key that may use `/api_keys/*`; an effect is run for every call.
 * - `defaults`: what a key may do where its spec is silent.
 * - `region`: which of the vendor's addresses is called, `"global"` unless given; not beside `baseUrl`.
 * - `subaccount`: the id of the subaccount whose keys are managed; give each an `account` of its own.
 * - `baseUrl`, `account`, `timeout`, `retry`, `rateLimit`, `maxReplyBytes`, `transformClient`: see `ClientOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Client.Options {
  readonly defaults: Defaults
}

const expectedFooter =
  "must be text in which %%UNSUBSCRIBE%% and %%EMAIL%% are the only variables, of at most 50000 characters, with lines that end with a line feed alone"

const Email = Schema.String.check(Schema.makeFilter(isEmail))
const Footer = Schema.String.check(Schema.makeFilter(isFooter))

const KeyOptionsSchema: Schema.Codec<KeyOptions> = Schema.Struct({
  ipPool: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  feedbackEnabled: Schema.optionalKey(Schema.Boolean),
  feedbackHtml: Schema.optionalKey(Footer),
  feedbackText: Schema.optionalKey(Footer),
  openTrackingEnabled: Schema.optionalKey(Schema.Boolean),
  clickTrackingEnabled: Schema.optionalKey(Schema.Boolean),
  archiveEnabled: Schema.optionalKey(Schema.Boolean),
  auditEmail: Schema.optionalKey(Email),
  bounceNotifications: Schema.optionalKey(Schema.Union([Schema.Literals(["from", "drop"]), Email])),
  status: Schema.optionalKey(Wire.Status)
})

const decodeOptions = ApiKeyDriver.options(KeyOptionsSchema, {
  ipPool: "must be the id of a pool, a whole number above 0",
  feedbackEnabled: "must be true or false",
  feedbackHtml: expectedFooter,
  feedbackText: expectedFooter,
  openTrackingEnabled: "must be true or false",
  clickTrackingEnabled: "must be true or false",
  archiveEnabled: "must be true or false",
  auditEmail: "must be an e-mail address, in lower case",
  bounceNotifications: `must be "from", "drop", or an e-mail address in lower case`,
  status: `must be "allowed", "blocked" or "sandbox"`
})

/** What {@link decodeOptions} made of the options, which core hands back as it was. */
const optionsOf = (options: unknown): KeyOptions => (options ?? {}) as KeyOptions

/** Ours: the vendor's documents declare no limit. */
const maxName = 255

/** More e-mails in one period than any account sends; the vendor's own bound is not published. */
const maxRate = 2_147_483_647

const checkRate: ApiKeyDriver.Rule<Restrictions["rate"]> = (rate) => {
  if (rate === "unlimited") return Result.succeed(rate)
  if (rate.max > maxRate) return Result.fail([{ path: ["max"], message: `at most ${maxRate} is allowed` }])
  return Result.mapBoth(formatPeriod(rate.per), {
    onSuccess: () => rate,
    onFailure: (message) => [{ path: ["per"], message }]
  })
}

const allowed = "allowed"
const blocked = "blocked"

const statuses: ReadonlyMap<string, KeyStatus> = new Map([
  [allowed, "active"],
  [blocked, "disabled"],
  ["sandbox", "sandbox"]
])

/** The vendor's own block is documented by one sentence and no values; these two words can hardly mean anything else. */
const isBlocked = (sendingStatus: unknown): boolean => sendingStatus === blocked || sendingStatus === "suspended"

const toStatus = ({ sendingStatus, status }: Wire.MailerPatchKey): KeyStatus =>
  status === allowed && Option.exists(sendingStatus, isBlocked) ? "suspended" : (statuses.get(status) ?? "unknown")

/** The vendor's fields for the neutral restrictions; a limit's value and period are stored only beside its switch. */
const toFields = ({ rate, scopes }: Partial<Restrictions>) => ({
  ...(scopes === undefined ? {} : { endpoints: scopes === "any" ? (["*"] as const) : scopes }),
  ...(rate === undefined
    ? {}
    : rate === "unlimited"
      ? { customRatelimit: false }
      : {
          customRatelimit: true,
          customRatelimitValue: rate.max,
          // Checked by `checkRate`, which every rate has passed.
          customRatelimitPeriod: Result.getOrElse(formatPeriod(rate.per), () => "")
        })
})

/** A list that is empty has no documented meaning, so nothing is said of it. */
const toScopes = (endpoints: ReadonlyArray<string>): AllowList | undefined => {
  const [first, ...rest] = endpoints
  if (first === undefined) return undefined
  return endpoints.includes("*") || endpoints.includes("/*") ? "any" : [first, ...rest]
}

const toRate = (key: Wire.MailerPatchKey): Restrictions["rate"] | undefined => {
  if (Option.contains(key.customRatelimit, false)) return "unlimited"
  const max = Option.filter(key.customRatelimitValue, (value) => value > 0)
  const per = Option.flatMap(key.customRatelimitPeriod, parsePeriod)
  return Option.isSome(key.customRatelimit) && Option.isSome(max) && Option.isSome(per)
    ? { max: max.value, per: per.value }
    : undefined
}

/** What is shown of a key and cannot be read, in core's words: a limit that is switched on without its parts, say. */
const toUnreadable = (key: Wire.MailerPatchKey, { rate, scopes }: Partial<Restrictions>): ReadonlyArray<string> => {
  const parts = ["customRatelimit", "customRatelimitValue", "customRatelimitPeriod"]
  const rateShown = Option.isSome(key.customRatelimit) || parts.some((part) => key.unreadable.includes(part))
  const scopesShown = Option.isSome(key.endpoints) || key.unreadable.includes("endpoints")
  return [
    ...(rate === undefined && rateShown ? ["rate"] : []),
    ...(scopes === undefined && scopesShown ? ["scopes"] : []),
    ...(key.unreadable.includes("description") ? ["name"] : []),
    ...["status", ...settings].filter((field) => key.unreadable.includes(field)).map((field) => `options.${field}`)
  ]
}

const settings = [
  "ipPool",
  "feedbackEnabled",
  "feedbackHtml",
  "feedbackText",
  "openTrackingEnabled",
  "clickTrackingEnabled",
  "archiveEnabled",
  "auditEmail",
  "bounceNotifications"
] as const

/** The settings that are shown; `null` is shown as not set. */
const shownSettings = (key: Wire.MailerPatchKey): ReadonlyArray<readonly [string, unknown]> =>
  settings.flatMap((field) => {
    const shown: Option.Option<unknown> = key[field]
    return Option.isSome(shown) ? [[field, shown.value] as const] : []
  })

/** The settings that are set. */
const toSettings = (key: Wire.MailerPatchKey): KeyOptions =>
  Object.fromEntries(shownSettings(key).filter(([, value]) => value !== null && value !== ""))

/** The description; empty where there is none. */
const nameOf = (key: Wire.MailerPatchKey): string => Option.getOrElse(key.description, () => "") ?? ""

/** A word, a number or a switch: what a status can be. */
const isPlain = (value: unknown): boolean =>
  Predicate.isBoolean(value) || Predicate.isNumber(value) || (Predicate.isString(value) && value.length <= 64)

const toRecord = (key: Wire.MailerPatchKey, secret?: string): ApiKeyDriver.KeyRecord => {
  const address = secret ?? Option.getOrUndefined(Option.map(key.key, Redacted.value))
  const scopes = Option.getOrUndefined(Option.map(key.endpoints, toScopes))
  const rate = toRate(key)
  const name = nameOf(key)
  const restrictions = { ...(scopes === undefined ? {} : { scopes }), ...(rate === undefined ? {} : { rate }) }
  const sendingStatus = Option.filter(key.sendingStatus, isPlain)
  return {
    ...(address === undefined ? {} : { address }),
    handle: address === undefined ? Option.getOrElse(key.username, () => "api-masked") : usernameOf(address),
    ...(name === "" ? {} : { name }),
    status: toStatus(key),
    providerStatus: key.status,
    restrictions,
    unreadable: toUnreadable(key, restrictions),
    options: {
      ...(key.status === Wire.unknownStatus ? {} : { status: key.status }),
      ...Object.fromEntries(shownSettings(key)),
      ...(Option.isSome(sendingStatus) ? { sendingStatus: sendingStatus.value } : {})
    }
  }
}

const fail = (operation: string, reason: ApiKeyErrorReason) =>
  Effect.fail(new ApiKeyError({ provider: Client.provider, operation, reason }))

/** What a copy is made of; fails where what the key may do is not shown, or cannot be said again: the copy may be wider. */
const toCopy = (key: Wire.MailerPatchKey) => {
  const { restrictions, unreadable = [] } = toRecord(key)
  const status = Wire.Status.literals.find((known) => known === key.status)
  const rateFails = restrictions.rate === undefined || Result.isFailure(checkRate(restrictions.rate))
  const unseen = new Set([
    ...(restrictions.scopes === undefined ? ["scopes"] : []),
    ...(rateFails ? ["rate"] : []),
    ...(status === undefined ? ["status"] : []),
    ...unreadable
  ])
  return status === undefined || unseen.size > 0
    ? Effect.fail(ApiKeyDriver.cannotCopy(Client.provider, [...unseen]))
    : Effect.succeed({ restrictions, status, options: toSettings(key) })
}

/**
 * Makes the driver, over the client in the context. {@link layer} is this with `ApiKeyService.layer`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* Client.MailerPatchClient

  const add = ({ name, options, restrictions }: ApiKeyDriver.MintSpec) => {
    const { status = allowed, ...rest } = optionsOf(options)
    return Effect.map(
      client.add({
        // A key that was made without a name is copied without one.
        ...(name === "" ? {} : { description: name }),
        ...toFields(restrictions),
        ...rest,
        status
      }),
      ({ send }) => ({
        options: { status },
        send: Effect.map(send, (key): ApiKeyDriver.Minted => {
          const shown = Option.match(key.key, { onNone: () => "", onSome: Redacted.value })
          // A name may look like a key; a reply that has it in the key's place holds none.
          const secret = shown === name ? "" : shown
          return { address: secret, secret, echo: toRecord(key, secret) }
        })
      })
    )
  }

  const edit = (address: string, request: Omit<Parameters<typeof client.edit>[0], "id">) =>
    Effect.map(client.edit({ id: Redacted.make(address), ...request }), (key) => toRecord(key, address))

  const get = (address: string) => client.view(Redacted.make(address))

  /** Sets a status in the course of a mint; the reply must show it, or else the key. */
  const settle = Effect.fnUntraced(function* (address: string, status: typeof Wire.Status.Type) {
    const echoed = yield* edit(address, { status })
    const shown = echoed.providerStatus === Wire.unknownStatus ? toRecord(yield* get(address)) : echoed
    if (shown.providerStatus !== status) yield* fail("settle", new InvalidKeyState({ status: shown.status }))
  })

  /** Adds a key that is blocked, and is given its status afterwards. */
  const addBlocked = Effect.fnUntraced(function* (asked: ApiKeyDriver.MintSpec) {
    const { status = allowed, ...rest } = optionsOf(asked.options)
    const spec = { ...asked, options: { ...rest, status: blocked } } satisfies ApiKeyDriver.MintSpec
    const prepared = yield* add(spec)
    return status === blocked
      ? { ...prepared, spec }
      : { ...prepared, spec, activate: (address: string) => settle(address, status) }
  })

  return {
    provider: Client.provider,
    account: client.account,
    // Not a copy: whatever is wrong with them, core says so.
    defaults:
      options.defaults?.scopes === undefined ? { ...options.defaults, scopes: ["/email/send"] } : options.defaults,
    restrictions: {
      scopes: ApiKeyDriver.allowList({ max: 500, entry: checkEndpoint }),
      rate: checkRate
    },
    name: ApiKeyDriver.freeText({ max: maxName }),
    address: ApiKeyDriver.text(checkKey),
    handle: usernameOf,
    options: decodeOptions,
    mint: (spec, { inert }) => (inert ? addBlocked(spec) : add(spec)),
    patch: (address, { name, options, restrictions }) => {
      const { status, ...rest } = optionsOf(options)
      if (status !== undefined) {
        const message = `is changed by disable, and by enable with { as: "active" } or { as: "sandbox" }`
        const issues = [{ path: ["options", Client.provider, "status"], message }]
        return fail("patch", new InvalidRequest({ source: "client", issues }))
      }
      return edit(address, { ...(name === undefined ? {} : { description: name }), ...toFields(restrictions), ...rest })
    },
    setStatus: (address, status) =>
      edit(address, { status: status === "disabled" ? blocked : status === "active" ? allowed : status }),
    sandbox: true,
    remove: (address) =>
      ApiKeyDriver.removeAndVerify({
        provider: Client.provider,
        remove: client.remove(Redacted.make(address)),
        get: get(address)
      }),
    get: (address) => Effect.map(get(address), (key) => toRecord(key, address)),
    list: () => Stream.map(Stream.fromIterableEffect(client.list()), (key) => toRecord(key)),
    rotation: {
      successor: Effect.fnUntraced(function* (address: string, mark: (name: string) => string) {
        const key = yield* get(address)
        const copy = yield* toCopy(key)
        // The manager's own key: once it is delivered, it may be what the manager calls with, so it must work at once.
        const own = yield* client.isOwn(address)
        const spec: ApiKeyDriver.MintSpec = {
          name: mark(nameOf(key)),
          restrictions: copy.restrictions,
          options: { ...copy.options, status: copy.status }
        }
        return yield* own ? Effect.map(add(spec), (prepared) => ({ ...prepared, spec })) : addBlocked(spec)
      }),
      retire: (address) => settle(address, blocked)
    },
    // The vendor masks what it lists: of a lost key, only its name and username can be seen.
    recovery: { maxName, secrets: false }
  } satisfies ApiKeyDriver.ApiKeyDriver
})

/**
 * Whether SMTP2GO accepts a key now, asked with the key itself: for the step between delivering a new key and shutting the old
 * one off.
 *
 * **Details**
 *
 * It is sent to the address of the layer, and waits for the same limiter. `rejected` is said only where the vendor itself says so
 * of the credential: of a key that is unknown, removed or blocked. Everything else is `unclear`: ask again later. Ask about a
 * key that works, as a control, before you believe a `rejected`.
 *
 * **Example** (Before the old key goes)
 *
 * ```ts
 * import { ApiKeyService } from "@effect-api-keys/core"
 * import type { KeyRef } from "@effect-api-keys/core"
 * import * as MailerPatch from "@effect-api-keys/mailer-patch"
 * import * as Effect from "effect/Effect"
 *
 * export const replace = Effect.fnUntraced(function* (old: KeyRef) {
 *   const keys = yield* ApiKeyService.can("rotate", "overlap", "revoke")
 *   const { issued } = yield* keys.rotate(old, { keepPrevious: true })
 *   if ((yield* MailerPatch.verify(issued.secret)) === "accepted") yield* keys.revoke(old)
 * })
 * ```
 *
 * @since 0.1.0
 * @category effects
 */
export const verify = (
  secret: Redacted.Redacted<string>
): Effect.Effect<"accepted" | "rejected" | "unclear", never, Client.MailerPatchClient> =>
  Effect.flatMap(Client.MailerPatchClient, (client) => client.verify(secret))

/**
 * What SMTP2GO can do: every verb, scopes (its endpoints) and a rate, and `overlap`.
 *
 * @since 0.1.0
 * @category models
 */
export type Provides = ApiKeyService | Client.MailerPatchClient | EachCan<Verb | "scopes" | "rate" | "overlap">

/**
 * SMTP2GO, for one account or subaccount.
 *
 * **Details**
 *
 * Fails with `InvalidRequest` for options that cannot work: a `baseUrl` that is no URL, an unknown `region`, an empty list
 * in `defaults`.
 *
 * **Example** (A layer)
 *
 * ```ts
 * import * as MailerPatch from "@effect-api-keys/mailer-patch"
 * import * as Redacted from "effect/Redacted"
 *
 * export const Smtp2goLive = MailerPatch.layer({
 *   apiKey: Redacted.make("api-api_test_mgr00000000000000000000000"),
 *   region: "eu",
 *   defaults: { rate: { max: 1000, per: { hours: 1 } } }
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
 * **Example** (Credential and region from the environment)
 *
 * ```ts
 * import * as MailerPatch from "@effect-api-keys/mailer-patch"
 * import * as Config from "effect/Config"
 *
 * export const Smtp2goLive = MailerPatch.layerConfig({
 *   apiKey: Config.Redacted("SMTP2GO_API_KEY"),
 *   region: Config.withDefault(Config.Literals(["global", "us", "eu", "au"], "SMTP2GO_REGION"), "global"),
 *   defaults: { rate: "unlimited" }
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
