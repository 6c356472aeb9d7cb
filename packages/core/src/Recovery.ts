/**
 * How a mint that was lost is found again: what is written down before it, and what was found.
 *
 * `prepare` makes a {@link MintIntent}, which is stored before a mint is sent; `recover` reads the vendor's list with it and
 * gives a {@link Recovery}.
 *
 * @since 0.1.0
 */
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { IssuedKey, KeyRef } from "./ApiKey.ts"

/**
 * Which keys existed when a mint was prepared, by their printable handles; one may serve a batch of mints.
 *
 * @since 0.1.0
 * @category models
 */
export class KeySnapshot extends Schema.Class<KeySnapshot>("@effect-api-keys/core/KeySnapshot")({
  provider: Schema.String,
  account: Schema.String,
  /** For people: nothing is decided by it, for the vendor's clock is another. */
  takenAt: Schema.DateTimeUtc,
  handles: Schema.Array(Schema.String)
}) {}

/**
 * What is known of a mint before it is sent: enough to find the key afterwards, should its reply be lost.
 *
 * **When to use**
 *
 * Store it before `create` or `rotate` is called with it, and keep it until the key is stored. After `OutcomeUnknown`, or when
 * the program was killed, give it to `recover`.
 *
 * **Details**
 *
 * It holds no secret. `Schema.toCodecJson(MintIntent)` writes it as JSON and reads it again. One intent is for one mint: two
 * mints with one marker cannot be told apart afterwards.
 *
 * @since 0.1.0
 * @category models
 */
export class MintIntent extends Schema.Class<MintIntent>("@effect-api-keys/core/MintIntent")({
  provider: Schema.String,
  account: Schema.String,
  verb: Schema.Literals(["create", "rotate"]),
  /** Stands at the end of the new key's name until the mint has come to its end; see {@link markerOf}. */
  marker: Schema.String,
  /** The printable handle of the key that is to be rotated. */
  handle: Schema.optionalKey(Schema.String),
  /** The vendor's own id of that key, where the vendor rotates in place: it outlives the secret. */
  identity: Schema.optionalKey(Schema.String),
  /**
   * The handle that the marker would have, beside `identity`: where that is another now, handles are made otherwise, and the
   * key's old secret would look like a new one.
   */
  markerHandle: Schema.optionalKey(Schema.String),
  /** None where the list was not to be read. */
  snapshot: Schema.optionalKey(KeySnapshot),
  /** For people: nothing is decided by it. */
  preparedAt: Schema.DateTimeUtc
}) {}

/**
 * What became of a mint, as far as the vendor's list shows it. Where the list settles nothing, that is said, and no guess made.
 *
 * **Details**
 *
 * - `Recovered`: the key is there, and the vendor shows its secret. `proven`: it bears the marker. `unproven`: the key that was
 *   to be rotated in place has another secret now; whether this rotation gave it that, or someone else, the list cannot say.
 * - `Orphaned`: the key is there, and nobody holds its secret. `revocable`: it has a `ref`, and `revoke` can shut it off.
 *   `inert`: the vendor shows it switched off.
 * - `NotSeen`: there is no such key now. The request may still be on its way: one list cannot prove that it is not.
 * - `NotApplied`: there is no such key, and the caller's own record says that nothing was sent.
 * - `Undetermined`: the list cannot settle it, and a person must look at `candidates`, which are handles. `masked`: the key is
 *   there, and the list does not show its secret, which it should. `unnamed`: there are keys whose names, or ids, are not shown,
 *   and that were not there before, as far as is known; or whose names hold the marker otherwise than it was given.
 *   `several`: more than one key fits. `gone`: the key that was to be rotated in place is not there any more.
 *
 * @since 0.1.0
 * @category models
 */
export type Recovery =
  | { readonly _tag: "Recovered"; readonly issued: IssuedKey; readonly attribution: "proven" | "unproven" }
  | {
      readonly _tag: "Orphaned"
      readonly handle: string
      readonly ref: Option.Option<KeyRef>
      readonly revocable: boolean
      readonly inert: boolean
    }
  | { readonly _tag: "NotSeen" }
  | { readonly _tag: "NotApplied" }
  | {
      readonly _tag: "Undetermined"
      readonly problem: "masked" | "unnamed" | "several" | "gone"
      readonly candidates: ReadonlyArray<string>
    }

/** `ek-` and 24 characters of base32 in lower case: 120 bits, in letters that every vendor's rule for names lets through. */
const markerPattern = /^ek-[a-z2-7]{24}$/

const markerLength = 27

/**
 * The marker that a name ends with, as a word of its own; `undefined` where there is none.
 *
 * @since 0.1.0
 * @category markers
 */
export const markerOf = (name: string): string | undefined => {
  const start = name.length - markerLength
  if (start < 0 || (start > 0 && name[start - 1] !== " ")) return undefined
  const end = name.slice(start)
  return markerPattern.test(end) ? end : undefined
}

/**
 * A name without the marker at its end, or the name as it is; empty where the marker was all of it.
 *
 * **When to use**
 *
 * Use it to show people the name of a key whose last renaming never happened, or to rename it.
 *
 * @since 0.1.0
 * @category markers
 */
export const unmarkedName = (name: string): string => {
  let rest = name
  while (markerOf(rest) !== undefined) rest = rest.slice(0, Math.max(0, rest.length - markerLength - 1))
  return rest
}
