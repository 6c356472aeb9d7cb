/**
 * What a key may be limited to, in words that no vendor can widen by accident.
 *
 * "Everything" is always written out: `"any"` for lists and `"unlimited"` for numbers. An empty list, `0` and `null`
 * mean "everything" to one vendor and "nothing" to the next, so none of them is a value here.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The restrictions that the library has a neutral word for.
 *
 * @since 0.1.0
 * @category models
 */
export const Restriction = Schema.Literals(["domains", "ips", "origins", "scopes", "resources", "quota", "rate"])

/**
 * The restrictions that the library has a neutral word for.
 *
 * @since 0.1.0
 * @category models
 */
export type Restriction = typeof Restriction.Type

/**
 * Everything (`"any"`), or only what the list names; the list is never empty.
 *
 * **Example** (Making one from data)
 *
 * ```ts
 * import { AllowList } from "@effect-api-keys/core"
 * import * as Schema from "effect/Schema"
 *
 * const fromData = Schema.decodeUnknownOption(AllowList)
 *
 * console.log(fromData(["acme.com"])._tag) // Some
 * console.log(fromData([])._tag) // None: an empty list is refused, not read as "everything"
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export const AllowList = Schema.Union([
  Schema.Literal("any"),
  Schema.TupleWithRest(Schema.Tuple([Schema.NonEmptyString]), [Schema.NonEmptyString])
])

/**
 * Everything (`"any"`), or only what the list names; the list is never empty.
 *
 * @since 0.1.0
 * @category models
 */
export type AllowList = typeof AllowList.Type

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * A span of time in named units, for rate limits; calendar months stay apart from exact durations.
 *
 * **Details**
 *
 * Units add up (`{ days: 1, hours: 12 }`). Every unit is a whole number above zero and at least one is there; a bare
 * number is refused, because nobody can tell whether it means seconds or milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export const Period = Schema.Struct({
  months: Schema.optionalKey(Count),
  weeks: Schema.optionalKey(Count),
  days: Schema.optionalKey(Count),
  hours: Schema.optionalKey(Count),
  minutes: Schema.optionalKey(Count),
  seconds: Schema.optionalKey(Count)
}).check(
  Schema.makeFilter((period) => Object.keys(period).length > 0 || "name at least one unit, such as { hours: 1 }")
)

/**
 * A span of time in named units, for rate limits; calendar months stay apart from exact durations.
 *
 * @since 0.1.0
 * @category models
 */
export type Period = typeof Period.Type

/**
 * At most `max` uses within any `per`.
 *
 * @since 0.1.0
 * @category models
 */
export const RateLimit = Schema.Struct({ max: Count, per: Period })

/**
 * At most `max` uses within any `per`.
 *
 * @since 0.1.0
 * @category models
 */
export type RateLimit = typeof RateLimit.Type

/**
 * The schema of each restriction's value, by its name.
 *
 * **Details**
 *
 * - `domains`, `ips`, `origins`, `scopes`, `resources`: an {@link AllowList} of strings that the vendor defines.
 * - `quota`: a number of uses in all, above zero, or `"unlimited"`.
 * - `rate`: a {@link RateLimit}, or `"unlimited"`.
 *
 * @since 0.1.0
 * @category models
 */
export const Restrictions = {
  domains: AllowList,
  ips: AllowList,
  origins: AllowList,
  scopes: AllowList,
  resources: AllowList,
  quota: Schema.Union([Schema.Literal("unlimited"), Count]),
  rate: Schema.Union([Schema.Literal("unlimited"), RateLimit])
} satisfies Record<Restriction, Schema.Top>

/**
 * The value of each restriction, by its name.
 *
 * @since 0.1.0
 * @category models
 */
export type Restrictions = { readonly [K in Restriction]: (typeof Restrictions)[K]["Type"] }
