/**
 * Vendors in memory: the two kinds there are, without HTTP.
 *
 * {@link layer} addresses keys by an id and rotates by a successor, and a key that was lost there is an orphan;
 * {@link layerInPlace} addresses them by their secret, rotates in place, and shows secrets in its list. Both have every other
 * verb and restriction.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { KeyStatus } from "../ApiKey.ts"
import * as ApiKeyDriver from "../ApiKeyDriver.ts"
import { ApiKeyError, type ApiKeyErrorReason, InvalidKeyState, KeyNotFound } from "../ApiKeyError.ts"
import { ApiKeyService, type EachCan, type Need } from "../ApiKeyService.ts"
import type { Restrictions } from "../Restrictions.ts"

/**
 * A key in the vendor's database.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryKey {
  readonly id: string
  readonly secret: string
  readonly name: string
  readonly status: "active" | "disabled" | "sandbox"
  readonly restrictions: Partial<Restrictions>
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/**
 * The parts of the vendor that can be made to fail or wait.
 *
 * @since 0.1.0
 * @category models
 */
export type Part = "mint" | "patch" | "setStatus" | "remove" | "get" | "list" | "rotate"

/**
 * What happens around the vendor's work: before it is carried out, after it, and to what the reply shows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Around {
  /** Runs before the vendor does anything; a failure means that it did nothing. */
  readonly before?: Effect.Effect<void, ApiKeyErrorReason>
  /** Runs after the vendor has carried it out; a failure loses the reply. */
  readonly after?: Effect.Effect<void, ApiKeyErrorReason>
  /** Changes what the reply shows of the key. */
  readonly reply?: (record: ApiKeyDriver.KeyRecord) => ApiKeyDriver.KeyRecord
}

/**
 * The vendor's side of the memory provider, for tests to look at and to disturb.
 *
 * @since 0.1.0
 * @category services
 */
export class MemoryProvider extends Context.Service<
  MemoryProvider,
  {
    /** The vendor's database. */
    readonly keys: Effect.Effect<ReadonlyArray<MemoryKey>>
    /** Whether the vendor would accept this secret now. */
    readonly isLive: (secret: string) => Effect.Effect<boolean>
    /** Disturbs the next call of a part, once. */
    readonly next: (part: Part, around: Around) => Effect.Effect<void>
    /** How often each part was called. */
    readonly calls: Effect.Effect<Readonly<Record<Part, number>>>
  }
>()("@effect-api-keys/core/testing/MemoryProvider") {}

/**
 * The options of the memory provider.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Your name for the account; `"default"` unless given. */
  readonly account?: string
  /** What a key gets where its spec is silent; everything is open unless given. */
  readonly defaults?: Partial<Restrictions>
}

const open: Restrictions = {
  domains: "any",
  ips: "any",
  origins: "any",
  scopes: "any",
  resources: "any",
  quota: "unlimited",
  rate: "unlimited"
}

const entry = (value: string): Result.Result<string, string> =>
  value.length <= 255 ? Result.succeed(value) : Result.fail("is longer than 255 characters")

const list = ApiKeyDriver.allowList({ max: 100, entry })

const restrictions = {
  domains: list,
  ips: list,
  origins: list,
  scopes: list,
  resources: list,
  quota: ApiKeyDriver.quota({ max: 1_000_000_000 }),
  rate: Result.succeed
} satisfies ApiKeyDriver.RestrictionRules

const makeVendor = (provider: string, addressOf: (key: MemoryKey) => string, handleOf: (key: MemoryKey) => string) => {
  const keys = new Map<string, MemoryKey>()
  const pending = new Map<Part, Array<Around>>()
  const calls = { mint: 0, patch: 0, setStatus: 0, remove: 0, get: 0, list: 0, rotate: 0 } satisfies Record<
    Part,
    number
  >
  let minted = 0

  const fail = (part: Part) => (reason: ApiKeyErrorReason) => new ApiKeyError({ provider, operation: part, reason })

  const nextSecret = () => `api_test_memory_${String(++minted).padStart(6, "0")}`

  const record = (key: MemoryKey): ApiKeyDriver.KeyRecord => ({
    address: addressOf(key),
    handle: handleOf(key),
    name: key.name,
    status: key.status satisfies KeyStatus,
    providerStatus: key.status,
    restrictions: key.restrictions,
    createdAt: key.createdAt,
    updatedAt: key.updatedAt,
    options: { id: key.id }
  })

  /** One call of a part: what tests asked to happen before, the work, and what they asked to happen after. */
  const call = <A>(
    part: Part,
    work: (now: DateTime.Utc, shown: (key: MemoryKey) => ApiKeyDriver.KeyRecord) => Effect.Effect<A, ApiKeyErrorReason>
  ): Effect.Effect<A, ApiKeyError> =>
    Effect.gen(function* () {
      calls[part]++
      const around = pending.get(part)?.shift()
      if (around?.before !== undefined) yield* around.before
      const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
      const result = yield* work(now, (key) => (around?.reply ?? ((shown) => shown))(record(key)))
      if (around?.after !== undefined) yield* around.after
      return result
    }).pipe(Effect.mapError(fail(part)))

  const find = (address: string): Effect.Effect<MemoryKey, KeyNotFound> => {
    const key = [...keys.values()].find((candidate) => addressOf(candidate) === address)
    return key === undefined ? Effect.fail(new KeyNotFound()) : Effect.succeed(key)
  }

  const save = (key: MemoryKey): MemoryKey => {
    keys.set(key.id, key)
    return key
  }

  const add = (
    name: string,
    given: Partial<Restrictions>,
    status: MemoryKey["status"],
    now: DateTime.Utc
  ): MemoryKey => {
    const secret = nextSecret()
    const id = String(1000 + minted)
    return save({ id, secret, name, status, restrictions: given, createdAt: now, updatedAt: now })
  }

  /** Every key, as the list shows it. */
  const list = () =>
    Stream.fromIterableEffect(call("list", (_now, shown) => Effect.sync(() => [...keys.values()].map(shown))))

  const toMinted = (key: MemoryKey, echo: ApiKeyDriver.KeyRecord): ApiKeyDriver.Minted => ({
    address: addressOf(key),
    secret: key.secret,
    echo
  })

  const service = MemoryProvider.of({
    keys: Effect.sync(() => [...keys.values()]),
    isLive: (secret) =>
      Effect.sync(() => [...keys.values()].some((key) => key.secret === secret && key.status !== "disabled")),
    next: (part, around) =>
      Effect.sync(() => {
        pending.set(part, [...(pending.get(part) ?? []), around])
      }),
    calls: Effect.sync(() => ({ ...calls }))
  })

  return { add, call, find, keys, list, nextSecret, save, service, toMinted }
}

/** Handles show ids as they are, so that only what can be an id may be one: a leaked secret must not come to light there. */
const id = ApiKeyDriver.text((value) =>
  /^[0-9]{1,20}$/.test(value) ? Result.succeed(value) : Result.fail("must be a number: this vendor's keys have ids")
)

const secretAddress = ApiKeyDriver.text((value) =>
  /^api_test_memory_[0-9]{1,20}$/.test(value)
    ? Result.succeed(value)
    : Result.fail(`must be a secret of this vendor, which starts with "api_test_memory_"`)
)

const maxName = 64

const name = ApiKeyDriver.text((value) =>
  value.trim() === "" || value.length > maxName
    ? Result.fail("must be 1 to 64 characters, and not blank")
    : Result.succeed(value)
)

const mintAs = (vendor: ReturnType<typeof makeVendor>, spec: ApiKeyDriver.MintSpec, status: MemoryKey["status"]) =>
  vendor.call("mint", (now, shown) => {
    const key = vendor.add(spec.name, spec.restrictions, status, now)
    return Effect.succeed(vendor.toMinted(key, shown(key)))
  })

/** Switches a key on that was minted switched off. */
const activateAs = (vendor: ReturnType<typeof makeVendor>, status: MemoryKey["status"]) => (address: string) =>
  vendor.call("setStatus", (now) =>
    Effect.map(vendor.find(address), (key) => {
      vendor.save({ ...key, status, updatedAt: now })
    })
  )

const makeDriver = (vendor: ReturnType<typeof makeVendor>, provider: string, options: Options) => ({
  provider,
  account: options.account ?? "default",
  defaults: { ...open, ...options.defaults },
  restrictions,
  name,
  sandbox: true,
  mint: (spec: ApiKeyDriver.MintSpec) => Effect.succeed({ send: mintAs(vendor, spec, "active") }),
  patch: (keyAddress: string, patch: ApiKeyDriver.PatchSpec) =>
    vendor.call("patch", (now, shown) =>
      Effect.map(vendor.find(keyAddress), (key) =>
        shown(
          vendor.save({
            ...key,
            name: patch.name ?? key.name,
            restrictions: { ...key.restrictions, ...patch.restrictions },
            updatedAt: now
          })
        )
      )
    ),
  setStatus: (keyAddress: string, status: "active" | "disabled" | "sandbox") =>
    vendor.call("setStatus", (now, shown) =>
      Effect.map(vendor.find(keyAddress), (key) => shown(vendor.save({ ...key, status, updatedAt: now })))
    ),
  remove: (keyAddress: string) =>
    vendor.call("remove", () =>
      Effect.map(vendor.find(keyAddress), (key) => {
        vendor.keys.delete(key.id)
      })
    ),
  list: vendor.list
})

/**
 * A vendor that addresses keys by an id and rotates by a successor, which is minted disabled.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<ApiKeyService | MemoryProvider | EachCan<Need>, ApiKeyError> => {
  const provider = "memory"
  return Layer.unwrap(
    Effect.sync(() => {
      const handle = (id: string) => `memory_${id}`
      const vendor = makeVendor(
        provider,
        (key) => key.id,
        (key) => handle(key.id)
      )
      const driver = {
        ...makeDriver(vendor, provider, options),
        address: id,
        handle,
        mint: (spec: ApiKeyDriver.MintSpec, { inert }: { readonly inert: boolean }) =>
          Effect.succeed(
            inert
              ? { send: mintAs(vendor, spec, "disabled"), activate: activateAs(vendor, "active") }
              : { send: mintAs(vendor, spec, "active") }
          ),
        get: (id: string) => vendor.call("get", (_now, shown) => Effect.map(vendor.find(id), shown)),
        rotation: {
          successor: (id: string, mark: (name: string) => string) =>
            Effect.map(
              vendor.call("get", () => vendor.find(id)),
              (old): ApiKeyDriver.PreparedSuccessor => {
                const spec = { name: mark(old.name), restrictions: old.restrictions }
                return {
                  spec,
                  send: vendor.call("rotate", (now, shown) => {
                    const key = vendor.add(spec.name, spec.restrictions, "disabled", now)
                    return Effect.succeed(vendor.toMinted(key, shown(key)))
                  }),
                  activate: activateAs(vendor, old.status)
                }
              }
            ),
          retire: (id: string) =>
            vendor.call("remove", () =>
              Effect.map(vendor.find(id), (key) => {
                vendor.keys.delete(key.id)
              })
            )
        },
        recovery: { maxName, secrets: false }
      } satisfies ApiKeyDriver.ApiKeyDriver
      return Layer.merge(ApiKeyService.layer(Effect.succeed(driver)), Layer.succeed(MemoryProvider, vendor.service))
    })
  )
}

/**
 * A vendor that addresses keys by their secret and rotates in place: the old secret is dead at once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerInPlace = (
  options: Options = {}
): Layer.Layer<ApiKeyService | MemoryProvider | EachCan<Exclude<Need, "overlap">>, ApiKeyError> => {
  const provider = "memory-in-place"
  return Layer.unwrap(
    Effect.sync(() => {
      // Handles must not reveal secrets, and this vendor's are numbered: the number alone says which key it is.
      const handle = (secret: string) => `memory_${1000 + Number(secret.slice(-6))}`
      const vendor = makeVendor(
        provider,
        (key) => key.secret,
        (key) => handle(key.secret)
      )
      const driver = {
        ...makeDriver(vendor, provider, options),
        address: secretAddress,
        handle,
        rotation: {
          inPlace: (secret: string) =>
            Effect.succeed({
              send: vendor.call("rotate", (now, shown) =>
                Effect.flatMap(vendor.find(secret), (key) => {
                  if (key.status === "disabled") return Effect.fail(new InvalidKeyState({}))
                  const rotated = vendor.save({ ...key, secret: vendor.nextSecret(), updatedAt: now })
                  return Effect.succeed(vendor.toMinted(rotated, shown(rotated)))
                })
              )
            })
        },
        recovery: {
          maxName,
          secrets: true,
          identity: ({ options }: ApiKeyDriver.KeyRecord) => (Predicate.isString(options?.id) ? options.id : undefined)
        }
      } satisfies ApiKeyDriver.ApiKeyDriver
      return Layer.merge(ApiKeyService.layer(Effect.succeed(driver)), Layer.succeed(MemoryProvider, vendor.service))
    })
  )
}
