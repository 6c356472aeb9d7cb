import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import { ApiKeyError, InvalidKeyState, InvalidRequest } from "@effect-api-keys/core/ApiKeyError"
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as ConfigOptions from "@effect-api-keys/core/ConfigOptions"
import type { ClientOptions } from "@effect-api-keys/core/ProviderClient"
import type { AllowList, Restrictions } from "@effect-api-keys/core/Restrictions"
import * as WireValue from "@effect-api-keys/core/WireValue"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Client from "./ParcelbirdClient.ts"

declare module "@effect-api-keys/core/ProviderOptions" {
  interface ProviderOptions {
    /** At creation only. */
    readonly parcelbird?: { readonly priority?: "high" | "normal" }
  }
}

export interface Options extends ClientOptions {
  /** What a key may do where its spec is silent. */
  readonly defaults: Pick<Restrictions, "scopes" | "rate">
}

const KeyOptions = Schema.Struct({ priority: Schema.optionalKey(Schema.Literals(["high", "normal"])) })

/** Core hands back what `options` of the driver made of them. */
const optionsOf = (options: unknown) => (options ?? {}) as typeof KeyOptions.Type

const checkTopic = (topic: string): Result.Result<string, string> =>
  topic.length <= 100 && /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:\.\*)?$/.test(topic)
    ? Result.succeed(topic)
    : Result.fail(`must be a topic such as "orders.created" or "orders.*"; write "any" for all of them`)

const checkRef = (ref: string): Result.Result<string, string> =>
  /^tk-[a-z0-9]{1,40}$/.test(ref) ? Result.succeed(ref) : Result.fail(`must be a ref of Parcelbird, such as "tk-7"`)

/** The vendor counts by the day, and by nothing else. `{ hours: 24 }` is no day where a clock is put forward. */
const dailyRate: ApiKeyDriver.Rule<Restrictions["rate"]> = (rate) => {
  if (rate === "unlimited") return Result.succeed(rate)
  if (rate.per.days !== 1 || Object.keys(rate.per).length !== 1) {
    return Result.fail([{ path: ["per"], message: "must be { days: 1 }: Parcelbird counts by the day alone" }])
  }
  return rate.max <= 1_000_000
    ? Result.succeed(rate)
    : Result.fail([{ path: ["max"], message: "at most 1000000 is allowed" }])
}

const maxName = 100

const handle = (ref: string): string => `parcelbird_${ref}`

const toWire = ({ rate, scopes }: Partial<Restrictions>) => ({
  ...(scopes === undefined ? {} : { topics: scopes === "any" ? ("*" as const) : scopes }),
  ...(rate === undefined ? {} : { daily: rate === "unlimited" ? -1 : rate.max })
})

/** `"*"` is everything; so is a list that holds it. An empty list is *nothing*, for which there is no neutral word. */
const toScopes = (topics: unknown): Option.Option<AllowList> => {
  if (topics === "*") return Option.some("any")
  return Option.flatMap(WireValue.readStrings(topics), ([first, ...rest]) =>
    first === undefined || first === "" || rest.includes("")
      ? Option.none()
      : Option.some(first === "*" || rest.includes("*") ? "any" : ([first, ...rest] as const))
  )
}

const toRate = (daily: unknown): Option.Option<Restrictions["rate"]> =>
  Option.flatMap(WireValue.readNumber(daily), (max): Option.Option<Restrictions["rate"]> => {
    if (max === -1) return Option.some("unlimited")
    return Number.isSafeInteger(max) && max > 0 ? Option.some({ max, per: { days: 1 } }) : Option.none()
  })

const toStatus = (frozen: unknown) =>
  Option.match(WireValue.readBoolean(frozen), {
    onNone: () => ({ status: "unknown", providerStatus: "not shown" }) as const,
    onSome: (off) =>
      off
        ? ({ status: "disabled", providerStatus: "frozen" } as const)
        : ({ status: "active", providerStatus: "active" } as const)
  })

/** A field that is there only where the vendor shows it. */
const shown = <K extends string, A>(field: K, value: Option.Option<A>): { readonly [F in K]?: A } =>
  Option.match(value, { onNone: () => ({}), onSome: (some) => ({ [field]: some }) as { readonly [F in K]?: A } })

const toRecord = ({ daily, frozen, priority, ref, title, topics }: Client.Token): ApiKeyDriver.KeyRecord => {
  const scopes = toScopes(topics)
  const rate = toRate(daily)
  const unreadable = [
    ...(topics !== undefined && Option.isNone(scopes) ? ["scopes"] : []),
    ...(daily !== undefined && Option.isNone(rate) ? ["rate"] : [])
  ]
  return {
    address: ref,
    handle: handle(ref),
    ...shown("name", WireValue.readString(title)),
    ...toStatus(frozen),
    restrictions: { ...shown("scopes", scopes), ...shown("rate", rate) },
    options: shown("priority", WireValue.readString(priority)),
    unreadable
  }
}

const fail = (operation: string, reason: ApiKeyError["reason"]) =>
  Effect.fail(new ApiKeyError({ provider: Client.provider, operation, reason }))

/** What a copy of a token is made of. Where the vendor does not show all of it, there is none: it may be wider. */
const toCopy = (token: Client.Token): Effect.Effect<ApiKeyDriver.MintSpec, ApiKeyError> => {
  const { name, options = {}, restrictions, status } = toRecord(token)
  // A copy is switched on when it is delivered: one of a frozen token would bring back what was shut off.
  if (status === "disabled") return fail("rotate", new InvalidKeyState({}))
  const { rate, scopes } = restrictions
  if (name !== undefined && rate !== undefined && scopes !== undefined && status === "active") {
    return Effect.succeed({ name, restrictions: { rate, scopes }, options })
  }
  const fields = { name, rate, scopes, status: status === "unknown" ? undefined : status }
  const missing = Object.entries(fields).flatMap(([field, value]) => (value === undefined ? [field] : []))
  return Effect.fail(ApiKeyDriver.cannotCopy(Client.provider, missing))
}

export const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* Client.ParcelbirdClient

  /** A deletion is queued, and done when the token is gone: it is looked for, for some seconds. */
  const remove = (ref: string) =>
    ApiKeyDriver.removeAndVerify({
      provider: Client.provider,
      remove: client.delete(ref),
      get: Effect.repeat(client.get(ref), { schedule: Schedule.spaced("1 second"), times: 3 })
    })

  const mint = (asked: ApiKeyDriver.MintSpec, frozen: boolean) => {
    const own = { priority: "normal" as const, ...optionsOf(asked.options) }
    // Core has filled in the defaults: the empty list and 0 are never sent.
    const body = { title: asked.name, topics: [], daily: 0, ...toWire(asked.restrictions), ...own, frozen }
    return Effect.map(
      client.create(body),
      ({ send }): ApiKeyDriver.PreparedMint => ({
        options: own,
        send: Effect.map(
          send,
          ({ token, value }): ApiKeyDriver.Minted => ({
            address: token.ref,
            // None that is whole: core shuts the token off.
            secret: Option.getOrElse(Option.filter(WireValue.readString(value), WireValue.isPlainSecret), () => ""),
            echo: toRecord(token)
          })
        )
      })
    )
  }

  return {
    provider: Client.provider,
    account: client.account,
    defaults: options.defaults,
    restrictions: { scopes: ApiKeyDriver.allowList({ max: 50, entry: checkTopic }), rate: dailyRate },
    name: ApiKeyDriver.freeText({ max: maxName }),
    address: ApiKeyDriver.text(checkRef),
    handle,
    options: ApiKeyDriver.options(KeyOptions, { priority: `must be "high" or "normal"` }),
    mint: (spec, { inert }) =>
      inert ? Effect.map(mint(spec, true), (prepared) => ({ ...prepared, activate: client.thaw })) : mint(spec, false),
    patch: (ref, { name, options, restrictions }) =>
      optionsOf(options).priority === undefined
        ? Effect.map(
            client.settings(ref, { ...(name === undefined ? {} : { title: name }), ...toWire(restrictions) }),
            toRecord
          )
        : fail(
            "patch",
            new InvalidRequest({
              source: "client",
              issues: [{ path: ["options", "parcelbird", "priority"], message: "can be set at creation alone" }]
            })
          ),
    // The replies have no body, and so show nothing.
    setStatus: (ref, status) => (status === "active" ? client.thaw(ref) : client.freeze(ref)),
    remove,
    get: (ref) => Effect.map(client.get(ref), toRecord),
    list: () =>
      Stream.paginate(undefined as string | undefined, (after) =>
        Effect.map(
          client.page(after),
          ({ next, tokens }) => [tokens.map(toRecord), Option.fromNullishOr(next)] as const
        )
      ),
    rotation: {
      // Minted frozen: a lost reply leaves a dead token behind. It is thawed when it is delivered.
      successor: (ref, mark) =>
        client.get(ref).pipe(
          Effect.flatMap(toCopy),
          Effect.map((copy) => ({ ...copy, name: mark(copy.name) })),
          Effect.flatMap((spec) =>
            Effect.map(mint(spec, true), (prepared) => ({ ...prepared, spec, activate: client.thaw }))
          )
        ),
      // At once, and it can be undone; a deletion is only queued.
      retire: client.freeze
    },
    recovery: { maxName, secrets: false }
  } satisfies ApiKeyDriver.ApiKeyDriver
})

export const layer = (options: Options) =>
  ApiKeyService.layer(make(options)).pipe(Layer.provideMerge(Client.layer(options)))

export const layerConfig = (options: ConfigOptions.ConfigOptions<Options>) =>
  Layer.unwrap(Effect.map(ConfigOptions.resolve<Options>(options), layer))
