/**
 * What an adapter implements: one vendor's keys, over plain strings.
 *
 * Core does the rest: it validates and redacts, refuses what the vendor lacks, compares echoes, runs mints to their
 * end, measures and traces. A driver only maps between the neutral words and its vendor's wire.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { KeyStatus } from "./ApiKey.ts"
import { ApiKeyError, type Issue, PartiallyApplied, UnexpectedResponse } from "./ApiKeyError.ts"
import * as internalEcho from "./internal/echo.ts"
import { safePart } from "./internal/issues.ts"
import type { AllowList, Restriction, Restrictions } from "./Restrictions.ts"

/**
 * Checks a value of a restriction against the vendor's own rules and normalises it (case, duplicates).
 *
 * **Details**
 *
 * A rule must run in linear time on any input and its messages must not contain the value.
 *
 * @since 0.1.0
 * @category models
 */
export type Rule<A> = (value: A) => Result.Result<A, ReadonlyArray<Issue>>

/**
 * The restrictions a vendor has, each with its rule; the object's keys are the evidence for the compiler.
 *
 * @since 0.1.0
 * @category models
 */
export type RestrictionRules = { readonly [K in Restriction]?: Rule<Restrictions[K]> }

/**
 * A key as the vendor shows it, in neutral words.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyRecord {
  /** What the vendor knows the key by; absent where it shows the key but masks its address. */
  readonly address?: string
  /** Printable and stable; must not reveal the address. */
  readonly handle: string
  readonly name?: string
  readonly status: KeyStatus
  readonly providerStatus: string
  /** What the vendor shows; a restriction that it does not show is absent, never guessed. */
  readonly restrictions: Partial<Restrictions>
  readonly createdAt?: DateTime.Utc
  readonly updatedAt?: DateTime.Utc
  /** What the vendor shows of its own options, by the names that `ApiKeyDriver.options` gives them: they are compared. */
  readonly options?: Readonly<Record<string, unknown>>
  /**
   * What the vendor shows in a form that cannot be read: names of restrictions, and of options as `options.name`. It is not
   * what was asked for, unless that was everything.
   */
  readonly unreadable?: ReadonlyArray<string>
}

/**
 * What to mint: validated, and with every restriction that the driver declares filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface MintSpec {
  readonly name: string
  readonly restrictions: Partial<Restrictions>
  /** What `ApiKeyDriver.options` decoded; `undefined` where nothing was said. */
  readonly options?: unknown
}

/**
 * What to change: validated, and only what was asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface PatchSpec {
  readonly name?: string
  readonly restrictions: Partial<Restrictions>
  readonly options?: unknown
}

/**
 * A key that the vendor has just minted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Minted {
  /** What the vendor knows the key by; at some vendors the secret itself. */
  readonly address: string
  /** Empty where the reply names the new key and not its secret: the end is then `OutcomeUnknown`, with the key's handle. */
  readonly secret: string
  /** What the vendor's reply shows of the new key, to be held against what was asked. */
  readonly echo?: KeyRecord
}

/**
 * A mint in two steps: what may wait or fail has been done, `send` makes exactly one request.
 *
 * **Details**
 *
 * Building it waits for the limiter and reads the credential, and may be interrupted. `send` is run once, to its end,
 * and must bound its own time.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedMint {
  /**
   * Options that the driver asks for by itself, such as a default of its own, by the names that the echo shows them by:
   * they are compared with it like those that were asked for.
   */
  readonly options?: Readonly<Record<string, unknown>>
  /** What the vendor is really asked for, where that is not what was given: switched off, say. The echo is held against it. */
  readonly spec?: MintSpec
  /** Makes the one request. */
  readonly send: Effect.Effect<Minted, ApiKeyError>
  /** Switches a key on that was minted inert. */
  readonly activate?: (address: string) => Effect.Effect<void, ApiKeyError>
}

/**
 * A mint that makes a successor to an existing key.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedSuccessor extends PreparedMint {
  /** What the successor is to be: the old key's name, by `mark`, and its restrictions. It may not come out wider. */
  readonly spec: MintSpec
}

/**
 * How a lost mint can be found again at this vendor.
 *
 * **Details**
 *
 * A new key is found by a marker at the end of its name, which core puts there and takes away. A key that was rotated in
 * place is found by `identity`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecoveryDriver {
  /** How long a name may be: where the marker would not fit, the name before it is cut. */
  readonly maxName: number
  /**
   * Whether the list shows the secrets of its keys, which are their addresses: a lost key is then read again. Elsewhere it is
   * an orphan.
   */
  readonly secrets: boolean
  /**
   * The vendor's own id of a key, which outlives a rotation in place; `undefined` where a record does not show it. It is
   * printed, and must not reveal the address.
   */
  readonly identity?: (record: KeyRecord) => string | undefined
}

/**
 * How a vendor rotates: in place (the old secret dies with the call) or by a successor beside the old key.
 *
 * @since 0.1.0
 * @category models
 */
export type RotationDriver =
  | {
      /** Gives the key itself a new secret. */
      readonly inPlace: (address: string) => Effect.Effect<PreparedMint, ApiKeyError>
    }
  | {
      /** `mark` makes the successor's name from the old key's, which is empty where that has none. */
      readonly successor: (
        address: string,
        mark: (name: string) => string
      ) => Effect.Effect<PreparedSuccessor, ApiKeyError>
      /** Shuts the old key off, after its successor was delivered. */
      readonly retire: (address: string) => Effect.Effect<void, ApiKeyError>
    }

/**
 * What an adapter implements. A verb that the vendor lacks is left out; what is there is the evidence for the compiler.
 *
 * **Details**
 *
 * Every effect fails with `ApiKeyError` alone. A driver *must* refuse what it cannot express, *must not* repeat a mint
 * (`ProviderClient` does not), and *must not* put an address, a secret or a vendor's text into an error or a log.
 *
 * @since 0.1.0
 * @category models
 */
export interface ApiKeyDriver {
  /** The provider's id, such as `jetemail`: it names refs, errors, spans, metrics and the namespace of options. */
  readonly provider: string
  /** The user's name for the account at the vendor. */
  readonly account: string
  /** A rule for each restriction that the vendor has; what is not here is refused. */
  readonly restrictions: RestrictionRules
  /** What a key gets where its spec is silent, for each declared restriction. */
  readonly defaults: Partial<Restrictions>
  /** The vendor's rule for names. */
  readonly name: Rule<string>
  /** The rule for addresses: a masked or mangled one is refused before it is sent. */
  readonly address: Rule<string>
  /** The printable handle of an address: the same at creation, in lists and in logs. It must not fail for what is no address. */
  readonly handle: (address: string) => string
  /** Decodes the vendor's own options strictly; left out where it has none. */
  readonly options?: Rule<unknown>
  /** `inert`: the key is to be minted switched off, where the vendor can, and `activate` given with it. */
  readonly mint?: (spec: MintSpec, options: { readonly inert: boolean }) => Effect.Effect<PreparedMint, ApiKeyError>
  /** Changes a key; gives back what the reply shows of it, if anything. */
  readonly patch?: (address: string, patch: PatchSpec) => Effect.Effect<KeyRecord | undefined, ApiKeyError>
  /** Switches a key on or off; gives back what the reply shows of it, if anything. */
  readonly setStatus?: (
    address: string,
    status: "active" | "disabled" | "sandbox"
  ) => Effect.Effect<KeyRecord | undefined, ApiKeyError>
  /** Whether `setStatus` knows `sandbox`. */
  readonly sandbox?: boolean
  /** Removes a key for good. */
  readonly remove?: (address: string) => Effect.Effect<void, ApiKeyError>
  /** Reads one key; where it is left out, core reads the list. */
  readonly get?: (address: string) => Effect.Effect<KeyRecord, ApiKeyError>
  /** Every key, or those of this exact name where the vendor can tell; core filters again. */
  readonly list?: (filter: { readonly name?: string }) => Stream.Stream<KeyRecord, ApiKeyError>
  /** How a key gets a new secret; left out where there is no way. */
  readonly rotation?: RotationDriver
  /** How a lost mint is found again; left out where it cannot be. It needs `list`, and `patch` for the name. */
  readonly recovery?: RecoveryDriver
}

/**
 * A rule for lists: at most `max` entries, each checked and normalised by `entry`, duplicates dropped.
 *
 * @since 0.1.0
 * @category rules
 */
export const allowList =
  (options: {
    readonly max?: number
    readonly entry: (value: string) => Result.Result<string, string>
  }): Rule<AllowList> =>
  (list) => {
    if (list === "any") return Result.succeed(list)
    const issues: Array<Issue> = []
    const entries = new Set<string>()
    // The length is checked first: the vendor's own rules are not run over a hostile list of millions.
    if (options.max !== undefined && list.length > options.max) {
      return Result.fail([{ path: [], message: `at most ${options.max} entries are allowed` }])
    }
    for (const [index, value] of list.entries()) {
      const checked = options.entry(value)
      if (Result.isFailure(checked)) issues.push({ path: [index], message: checked.failure })
      else entries.add(checked.success)
    }
    const [first, ...rest] = entries
    return issues.length > 0 || first === undefined ? Result.fail(issues) : Result.succeed([first, ...rest])
  }

/**
 * A rule for quotas: at most `max`.
 *
 * @since 0.1.0
 * @category rules
 */
export const quota =
  (options: { readonly max: number }): Rule<Restrictions["quota"]> =>
  (value) =>
    value === "unlimited" || value <= options.max
      ? Result.succeed(value)
      : Result.fail([{ path: [], message: `at most ${options.max} is allowed; write "unlimited" for no quota` }])

/**
 * A rule for a plain string, from a check that says in words what is wrong.
 *
 * @since 0.1.0
 * @category rules
 */
export const text =
  (check: (value: string) => Result.Result<string, string>): Rule<string> =>
  (value) =>
    Result.mapError(check(value), (message) => [{ path: [], message }])

/**
 * A rule for names that a vendor takes as they are: 1 to `max` characters, no control characters, no space at either
 * end (a vendor that trims it would seem to have set another name).
 *
 * @since 0.1.0
 * @category rules
 */
export const freeText = ({ max }: { readonly max: number }): Rule<string> =>
  text((value) => {
    if (value.length === 0 || value.length > max) return Result.fail(`must be 1 to ${max} characters`)
    if (value.trim() !== value) return Result.fail("must not begin or end with a space")
    // Control characters, the line breaks of Unicode, and what turns the direction of the text in a log around.
    return /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(value) || !value.isWellFormed()
      ? Result.fail("must not hold line breaks, other control characters, or half a surrogate pair")
      : Result.succeed(value)
  })

/**
 * A rule for the vendor's own options: decodes them strictly by `schema`, whose fields are those of `expected`, each with
 * words for what it must be.
 *
 * @since 0.1.0
 * @category rules
 */
export const options = <A extends object>(
  schema: Schema.Codec<A>,
  expected: { readonly [K in keyof A]-?: string }
): ((value: unknown) => Result.Result<A, ReadonlyArray<Issue>>) => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error", errors: "all" })
  const known: ReadonlyMap<string, string> = new Map(Object.entries(expected))
  const fields = [...known.keys()].join(", ")
  /** A `Map`, say, has no fields to refuse: what is in it must not be passed over. */
  const hides = (value: unknown, decoded: A) =>
    Object.keys(decoded).length === 0 &&
    Predicate.isObject(value) &&
    (Reflect.ownKeys(value).length > 0 || ![Object.prototype, null].includes(Object.getPrototypeOf(value)))
  const check = (value: unknown): Result.Result<A, unknown> =>
    Result.flatMap(decode(value), (decoded) =>
      hides(value, decoded) ? Result.fail(undefined) : Result.succeed(decoded)
    )
  return (value) =>
    Result.mapError(check(value), () => {
      // Which fields are wrong is asked of each alone: the schema's own messages may quote what they refuse.
      if (!Predicate.isObject(value)) return [{ path: [], message: `must be an object of: ${fields}` }]
      const given = new Set([...Object.keys(value), ...[...known.keys()].filter((field) => field in value)])
      const issues = [...given].flatMap((field): ReadonlyArray<Issue> => {
        const message = known.get(field)
        if (message === undefined) {
          return [{ path: [safePart(field)], message: `is not an option of this vendor: known are ${fields}` }]
        }
        return Result.isFailure(decode({ [field]: value[field] })) ? [{ path: [field], message }] : []
      })
      // A symbol, or fields that are right alone and not together.
      return issues.length > 0 ? issues : [{ path: [], message: `must be an object of: ${fields}` }]
    })
}

/**
 * Removes a key at a vendor whose reply proves nothing: the key is read afterwards, and must be gone.
 *
 * @since 0.1.0
 * @category effects
 */
export const removeAndVerify = (options: {
  readonly provider: string
  readonly remove: Effect.Effect<void, ApiKeyError>
  readonly get: Effect.Effect<unknown, ApiKeyError>
}): Effect.Effect<void, ApiKeyError> => {
  const fail = (reason: ApiKeyError["reason"]) =>
    Effect.fail(new ApiKeyError({ provider: options.provider, operation: "delete", reason }))
  const issues = [{ path: [], message: "the vendor took the removal, and the key is still there" }]
  return Effect.andThen(
    options.remove,
    Effect.matchEffect(options.get, {
      onSuccess: () => fail(new UnexpectedResponse({ problem: "body", issues })),
      onFailure: ({ reason }) => {
        if (reason._tag === "KeyNotFound") return Effect.void
        // A reply that makes no sense says what it could not show. Of any other end, what it says is not true of the removal.
        return fail(
          reason._tag === "UnexpectedResponse"
            ? reason
            : new PartiallyApplied({ applied: ["delete"], missing: ["confirmation"] })
        )
      }
    })
  )
}

/**
 * The failure of a rotation by a copy, where the vendor does not show these fields in a form that we know: the copy might
 * be wider than the key.
 *
 * @since 0.1.0
 * @category errors
 */
export const cannotCopy = (provider: string, fields: ReadonlyArray<string>): ApiKeyError => {
  const message =
    "is not shown in a form that we know, so that a copy of the key might be wider: create a key in its place"
  const issues = fields.map((field) => ({ path: field.split("."), message }))
  return new ApiKeyError({ provider, operation: "rotate", reason: new UnexpectedResponse({ problem: "body", issues }) })
}

/**
 * Holds what a record shows against what was asked, as core does with every echo: which fields came back as asked, which
 * came back otherwise, and which are not shown.
 *
 * @since 0.1.0
 * @category echoes
 */
export const compareEcho: (
  asked: PatchSpec,
  shown: KeyRecord
) => {
  readonly applied: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  readonly unseen: ReadonlyArray<string>
} = internalEcho.compareEcho
