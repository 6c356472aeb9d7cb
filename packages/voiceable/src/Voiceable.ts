/**
 * Voiceable's API keys behind `ApiKeyService`.
 *
 * @since 0.1.0
 */
import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import { ApiKeyError, InvalidRequest, PartiallyApplied } from "@effect-api-keys/core/ApiKeyError"
import { ApiKeyService, type EachCan, type Verb } from "@effect-api-keys/core/ApiKeyService"
import * as ConfigOptions from "@effect-api-keys/core/ConfigOptions"
import type { AllowList, Restrictions } from "@effect-api-keys/core/Restrictions"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { checkAssistant, checkId, checkOrigin } from "./internal/validators.ts"
import * as Client from "./VoiceableClient.ts"
import * as Wire from "./VoiceableSchema.ts"

/**
 * Settings of a key that only Voiceable has, in `options.voiceable` of a spec.
 *
 * **Details**
 *
 * Both are fixed when the key is made; a patch of them is refused.
 *
 * - `keyType`: `"private"` for servers, `"public"` for what runs in browsers; the layer's default unless given.
 * - `transientAssistant`: whether the key may start assistants that are not stored; `false` unless given.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyOptions {
  readonly keyType?: "private" | "public"
  readonly transientAssistant?: boolean
}

declare module "@effect-api-keys/core/ProviderOptions" {
  interface ProviderOptions {
    /** Settings of a key that only Voiceable has. */
    readonly voiceable?: KeyOptions
  }
}

/**
 * What a key is where its spec is silent. Voiceable leaves origins and assistants open and knows no default for the key's
 * type, so each must be said once.
 *
 * **Gotchas**
 *
 * Origins bind browsers alone: a `private` key that a server uses is not restricted by them.
 *
 * @since 0.1.0
 * @category models
 */
export type Defaults = Pick<Restrictions, "origins" | "resources"> & { readonly keyType: "private" | "public" }

/**
 * The options of Voiceable's layer.
 *
 * **Details**
 *
 * - `apiKey`: the manager's credential, a private key; an effect is run for every call.
 * - `baseUrl`: where the vendor's API is, with the path before `/api_keys`; the vendor's pages show only a placeholder.
 * - `defaults`: what a key is where its spec is silent.
 * - `account`, `timeout`, `retry`, `rateLimit`, `maxReplyBytes`, `transformClient`: see `ClientOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Client.Options {
  readonly defaults: Defaults
}

const KeyOptionsSchema: Schema.Codec<KeyOptions> = Schema.Struct({
  keyType: Schema.optionalKey(Wire.KeyType),
  transientAssistant: Schema.optionalKey(Schema.Boolean)
})

const decodeOptions = ApiKeyDriver.options(KeyOptionsSchema, {
  keyType: `must be "private" or "public"`,
  transientAssistant: "must be true or false"
})

/** What {@link decodeOptions} made of the options, which core hands back as it was. */
const optionsOf = (options: unknown): KeyOptions => (options ?? {}) as KeyOptions

/** Ours: the vendor's pages show no limit. */
const maxName = 255

/** Printable: an id is not secret, and alone it would say little in a log of many vendors. */
const handle = (id: string): string => `voiceable_${id}`

/** The vendor's fields for the neutral restrictions; its word for everything is an empty list. */
const toFields = ({ origins, resources }: Partial<Restrictions>) => ({
  ...(origins === undefined ? {} : { allowedOrigins: origins === "any" ? [] : origins }),
  ...(resources === undefined ? {} : { allowedAssistants: resources === "any" ? [] : resources })
})

const toAllowList = (
  shown: Option.Option<ReadonlyArray<string>>,
  check: (entry: string) => Result.Result<string, string>
): AllowList | undefined => {
  if (Option.isNone(shown)) return undefined
  const [first, ...rest] = shown.value.map((entry) => Result.getOrElse(check(entry), () => entry))
  // A list with the wildcard of browsers in it lets every origin in.
  return first === undefined || (check === checkOrigin && shown.value.includes("*")) ? "any" : [first, ...rest]
}

/** Core's words for the vendor's fields. */
const wordOf: Readonly<Record<string, string>> = {
  allowedOrigins: "origins",
  allowedAssistants: "resources",
  keyType: "options.keyType",
  transientAssistant: "options.transientAssistant"
}

const toRecord = (key: Wire.VoiceableKey): ApiKeyDriver.KeyRecord => {
  const id = Option.getOrUndefined(key.id)
  const name = Option.getOrUndefined(key.name)
  const origins = toAllowList(key.allowedOrigins, checkOrigin)
  const resources = toAllowList(key.allowedAssistants, checkAssistant)
  const createdAt = Option.getOrUndefined(key.createdAt)
  const updatedAt = Option.getOrUndefined(key.updatedAt)
  return {
    ...(id === undefined ? {} : { address: id }),
    handle: handle(id ?? "unknown"),
    ...(name === undefined ? {} : { name }),
    // The vendor has no states: a key that is there works.
    status: "active",
    providerStatus: "active",
    restrictions: {
      ...(origins === undefined ? {} : { origins }),
      ...(resources === undefined ? {} : { resources })
    },
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(updatedAt === undefined ? {} : { updatedAt }),
    options: {
      ...Option.match(key.keyType, { onNone: () => ({}), onSome: (keyType) => ({ keyType }) }),
      ...Option.match(key.transientAssistant, {
        onNone: () => ({}),
        onSome: (shown) => ({ transientAssistant: shown })
      })
    },
    unreadable: key.unreadable.map((field) => wordOf[field] ?? field)
  }
}

/** What a copy is made of; fails where what the key may do is not shown: the copy may be wider. */
const toCopy = (key: Wire.VoiceableKey): Effect.Effect<ApiKeyDriver.MintSpec, ApiKeyError> => {
  const { name, options, restrictions, unreadable = [] } = toRecord(key)
  const decoded = decodeOptions(options)
  const keyType = Result.isSuccess(decoded) ? decoded.success.keyType : undefined
  const unseen = new Set([
    ...(name === undefined ? ["name"] : []),
    ...(restrictions.origins === undefined ? ["origins"] : []),
    ...(restrictions.resources === undefined ? ["resources"] : []),
    ...(keyType === undefined ? ["options.keyType"] : []),
    ...unreadable
  ])
  return name === undefined || Result.isFailure(decoded) || unseen.size > 0
    ? Effect.fail(ApiKeyDriver.cannotCopy(Client.provider, [...unseen]))
    : Effect.succeed({ name, restrictions, options: decoded.success })
}

/**
 * What a change took along that nobody asked for. By the vendor's page a `PUT` leaves what it does not name; should it not,
 * a list that it emptied is open to everyone. What was read before and cannot be read any more may be just that.
 */
const tookAlong = (before: ApiKeyDriver.KeyRecord, asked: ApiKeyDriver.PatchSpec, after: ApiKeyDriver.KeyRecord) => {
  const unasked = Object.entries(before.restrictions).filter(([field]) => !(field in asked.restrictions))
  return ApiKeyDriver.compareEcho({ restrictions: Object.fromEntries(unasked), options: before.options }, after).missing
}

/**
 * Makes the driver, over the client in the context. {@link layer} is this with `ApiKeyService.layer`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* Client.VoiceableClient
  // From JavaScript, there may be no defaults at all; core says so of those that all vendors have.
  const keyType = (options.defaults as Partial<Defaults> | undefined)?.keyType
  if (keyType !== "private" && keyType !== "public") {
    const issues = [{ path: ["defaults", "keyType"], message: `must be "private" or "public"` }]
    const reason = new InvalidRequest({ source: "client", issues })
    return yield* new ApiKeyError({ provider: Client.provider, operation: "layer", reason })
  }

  const mint = ({ name, options, restrictions }: ApiKeyDriver.MintSpec) => {
    const own = { keyType, ...optionsOf(options) }
    return Effect.map(client.create({ name, ...toFields(restrictions), ...own }), ({ send }) => ({
      // Transient assistants are off unless asked for, by the vendor's page.
      options: { transientAssistant: false, ...own },
      send: Effect.map(
        send,
        (key): ApiKeyDriver.Minted => ({
          address: Option.getOrElse(key.id, () => ""),
          secret: Option.match(key.keyValue, { onNone: () => "", onSome: Redacted.value }),
          echo: toRecord(key)
        })
      )
    }))
  }

  const remove = (id: string) =>
    ApiKeyDriver.removeAndVerify({ provider: Client.provider, remove: client.delete(id), get: client.get(id) })

  return {
    provider: Client.provider,
    account: client.account,
    defaults: options.defaults,
    restrictions: {
      origins: ApiKeyDriver.allowList({ max: 500, entry: checkOrigin }),
      resources: ApiKeyDriver.allowList({ max: 500, entry: checkAssistant })
    },
    name: ApiKeyDriver.freeText({ max: maxName }),
    address: ApiKeyDriver.text(checkId),
    handle,
    options: decodeOptions,
    mint,
    patch: Effect.fnUntraced(function* (id: string, asked: ApiKeyDriver.PatchSpec) {
      const { name, options, restrictions } = asked
      const fail = (reason: ApiKeyError["reason"]) =>
        new ApiKeyError({ provider: Client.provider, operation: "patch", reason })
      const fixed = Object.keys(optionsOf(options))
      if (fixed.length > 0) {
        const message = "is fixed when the key is made: create another key"
        const issues = fixed.map((field) => ({ path: ["options", Client.provider, field], message }))
        return yield* fail(new InvalidRequest({ source: "client", issues }))
      }
      const before = toRecord(yield* client.get(id))
      const after = toRecord(
        yield* client.update(id, { ...(name === undefined ? {} : { name }), ...toFields(restrictions) })
      )
      const along = tookAlong(before, asked, after)
      if (along.length === 0) return after
      const { applied, missing } = ApiKeyDriver.compareEcho(asked, after)
      return yield* fail(new PartiallyApplied({ applied, missing: [...missing, ...along] }))
    }),
    remove,
    get: (id) => Effect.map(client.get(id), toRecord),
    list: () => Stream.map(Stream.fromIterableEffect(client.list), toRecord),
    rotation: {
      successor: Effect.fnUntraced(function* (id: string, mark: (name: string) => string) {
        const copy = yield* toCopy(yield* client.get(id))
        const spec = { ...copy, name: mark(copy.name) }
        return { ...(yield* mint(spec)), spec }
      }),
      retire: remove
    },
    recovery: { maxName, secrets: false }
  } satisfies ApiKeyDriver.ApiKeyDriver
})

/**
 * What Voiceable can do: every verb but `disable` and `enable`, origins and resources (its assistants), and `overlap`.
 *
 * @since 0.1.0
 * @category models
 */
export type Provides =
  | ApiKeyService
  | Client.VoiceableClient
  | EachCan<Exclude<Verb, "disable" | "enable"> | "origins" | "resources" | "overlap">

/**
 * Voiceable, for one account.
 *
 * **Details**
 *
 * Fails with `InvalidRequest` for options that cannot work: a `baseUrl` that is no URL, an empty list in `defaults`.
 *
 * **Example** (A layer)
 *
 * ```ts
 * import * as Voiceable from "@effect-api-keys/voiceable"
 * import * as Redacted from "effect/Redacted"
 *
 * export const VoiceableLive = Voiceable.layer({
 *   apiKey: Redacted.make("api_test_voiceable_manager"),
 *   baseUrl: "https://voiceable.example/api/v1",
 *   defaults: { origins: "any", resources: "any", keyType: "private" }
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
 * **Example** (Credential and address from the environment)
 *
 * ```ts
 * import * as Voiceable from "@effect-api-keys/voiceable"
 * import * as Config from "effect/Config"
 *
 * export const VoiceableLive = Voiceable.layerConfig({
 *   apiKey: Config.Redacted("VOICEABLE_API_KEY"),
 *   baseUrl: Config.String("VOICEABLE_BASE_URL"),
 *   defaults: { origins: "any", resources: "any", keyType: "private" }
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
