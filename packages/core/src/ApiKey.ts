/**
 * A key, its address, and what minting or changing one gives back.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Schema from "effect/Schema"
import { ApiKeyError } from "./ApiKeyError.ts"
import { Restriction, Restrictions } from "./Restrictions.ts"

/** A secret that decodes to `Redacted` and refuses to be encoded, so that no schema writes it in clear by accident. */
const Secret = Schema.RedactedFromValue(Schema.String, { disallowEncode: true })

/**
 * The address of a key: vendor, account, and the value that the vendor knows it by.
 *
 * **Details**
 *
 * At some vendors that value *is* the secret, so it is always redacted; it prints as `KeyRef(jetemail)`. Two refs are
 * equal when provider, account and value are. To store one, write its `provider`, `account` and
 * `Redacted.value(ref.value)` where you store secrets, and restore it with the constructor.
 *
 * **Gotchas**
 *
 * It cannot be encoded by its schema: that would write the value in clear.
 *
 * @since 0.1.0
 * @category models
 */
export class KeyRef extends Schema.Class<KeyRef>("@effect-api-keys/core/KeyRef")({
  /** The provider's id, such as `jetemail`. */
  provider: Schema.String,
  /** Your name for the account at the vendor; a ref of another account is refused before any call. */
  account: Schema.String,
  /** What the vendor knows the key by. */
  value: Secret
}) {
  override toString(): string {
    return `KeyRef(${this.provider})`
  }
  toJSON(): unknown {
    return this.toString()
  }
  [NodeInspectSymbol](): unknown {
    return this.toString()
  }
}

/**
 * What state a key is in, in words that all vendors share.
 *
 * **Details**
 *
 * `suspended` is the vendor's own block; `sandbox` accepts calls and delivers nothing; `unknown` is a state that this
 * version has no word for (`ApiKey.providerStatus` has the vendor's).
 *
 * @since 0.1.0
 * @category models
 */
export const KeyStatus = Schema.Literals(["active", "disabled", "suspended", "sandbox", "unknown"])

/**
 * What state a key is in, in words that all vendors share.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyStatus = typeof KeyStatus.Type

/**
 * A key that was just minted, with the only copy of its secret.
 *
 * @since 0.1.0
 * @category models
 */
export class IssuedKey extends Schema.Class<IssuedKey>("@effect-api-keys/core/IssuedKey")({
  ref: KeyRef,
  /** Names the key in logs, errors and lists; safe to print. */
  handle: Schema.String,
  secret: Secret,
  /** The key's name; none after an in-place rotation, whose reply does not say it. */
  name: Schema.Option(Schema.String),
  /** What the key is not restricted by; none where the vendor's reply does not say and we did not ask. */
  unrestricted: Schema.Option(Schema.Array(Restriction))
}) {}

/**
 * How a rotation stopped short of its end, after the new key was minted.
 *
 * **Details**
 *
 * - `deliver`: an in-place rotation cannot be undone, so the call succeeds and hands you the new key, and says that
 *   your `deliver` failed, and how.
 * - `activate`: the successor was delivered but could not be switched on; the old key was left alone.
 * - `retire`: the successor works; the old key could not be shut off and is still live.
 * - `rename`: the old key was retired, and when the successor of a rotation with an intent got its name, the vendor changed more:
 *   `error` says what, and the successor may be wider than it was to be.
 *
 * @since 0.1.0
 * @category models
 */
export type IncompleteRotation<E = never> =
  | { readonly step: "activate" | "retire" | "rename"; readonly error: ApiKeyError }
  | { readonly step: "deliver"; readonly cause: Cause.Cause<E | ApiKeyError> }

/**
 * The schema of {@link IncompleteRotation}, given one for the error of `deliver`.
 *
 * @since 0.1.0
 * @category models
 */
export const IncompleteRotation = <E extends Schema.Constraint>(error: E) =>
  Schema.Union([
    Schema.Struct({ step: Schema.Literals(["activate", "retire", "rename"]), error: ApiKeyError }),
    Schema.Struct({
      step: Schema.Literal("deliver"),
      cause: Schema.Cause(Schema.Union([error, ApiKeyError]), Schema.Defect())
    })
  ])

/**
 * What a rotation did.
 *
 * **Details**
 *
 * `previous` says what became of the old key: `dead` (the vendor rotates in place), `retired` (shut off after the
 * successor was delivered) or `live` (you revoke it, or something stopped short: see `incomplete`).
 *
 * @since 0.1.0
 * @category models
 */
export interface RotatedKey<E = never> {
  readonly issued: IssuedKey
  readonly previous: "dead" | "retired" | "live"
  readonly incomplete?: IncompleteRotation<E>
}

/**
 * The schema of {@link RotatedKey}, given one for the error of `deliver`.
 *
 * @since 0.1.0
 * @category models
 */
export const RotatedKey = <E extends Schema.Constraint>(error: E) =>
  Schema.Struct({
    issued: IssuedKey,
    previous: Schema.Literals(["dead", "retired", "live"]),
    incomplete: Schema.optionalKey(IncompleteRotation(error))
  })

/**
 * A key as the vendor shows it, without its secret.
 *
 * @since 0.1.0
 * @category models
 */
export class ApiKey extends Schema.Class<ApiKey>("@effect-api-keys/core/ApiKey")({
  provider: Schema.String,
  /** Names the key in logs, errors and lists; safe to print. */
  handle: Schema.String,
  /** The key's address; none where the vendor shows the key but not what it is addressed by. */
  ref: Schema.Option(KeyRef),
  name: Schema.Option(Schema.String),
  status: KeyStatus,
  /** The vendor's own word for the status. */
  providerStatus: Schema.String,
  /** What the vendor shows of the key's restrictions; absent where it does not say. */
  restrictions: Schema.Struct({
    domains: Schema.optionalKey(Restrictions.domains),
    ips: Schema.optionalKey(Restrictions.ips),
    origins: Schema.optionalKey(Restrictions.origins),
    scopes: Schema.optionalKey(Restrictions.scopes),
    resources: Schema.optionalKey(Restrictions.resources),
    quota: Schema.optionalKey(Restrictions.quota),
    rate: Schema.optionalKey(Restrictions.rate)
  }),
  createdAt: Schema.Option(Schema.DateTimeUtc),
  updatedAt: Schema.Option(Schema.DateTimeUtc),
  /** What the vendor shows beyond the neutral words, in the vendor's camelCased names. */
  options: Schema.Record(Schema.String, Schema.Unknown)
}) {}

/**
 * What a patch proved.
 *
 * **Details**
 *
 * - `echoed`: the vendor's reply shows the values that were asked for.
 * - `confirmed`: the key was read again (`confirm: true`) and shows them.
 * - `acknowledged`: the vendor said yes and showed nothing.
 *
 * @since 0.1.0
 * @category models
 */
export class PatchedKey extends Schema.Class<PatchedKey>("@effect-api-keys/core/PatchedKey")({
  key: Schema.Option(ApiKey),
  proof: Schema.Literals(["echoed", "confirmed", "acknowledged"])
}) {}
