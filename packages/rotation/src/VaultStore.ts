/**
 * Where a vault keeps its slots: four operations on sealed documents, with compare-and-set.
 *
 * This is what to implement for a store of your own; `KeyVault` does the rest. Its conformance suite is
 * `VaultConformance` in `@effect-api-keys/rotation/testing`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { VaultError } from "./VaultError.ts"

/**
 * Names one slot: a logical credential of one account, such as `tenant-42/mail`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlotId {
  /** Your name for the account at the vendor, as the program that rotates knows it. */
  readonly account: string
  /** Your name for the credential, unique in its account. */
  readonly slot: string
}

/**
 * A slot as it is stored. The document is JSON in which every secret is sealed.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredSlot extends SlotId {
  /** 1 when it is first written, and one more with every write. */
  readonly version: number
  readonly document: string
  /** Keyed hashes of the secrets and the addresses that it holds, for `find`. */
  readonly fingerprints: ReadonlyArray<string>
  /** Whether something is not done: a rotation, an intent, an orphan. */
  readonly open: boolean
}

/**
 * Which slots to read.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlotFilter {
  readonly account?: string | undefined
  /** Only those where something is not done. */
  readonly open?: true | undefined
}

/**
 * A store of slots.
 *
 * **Details**
 *
 * `write` *must* be atomic and durable when it returns: it writes where the stored version is `row.version - 1` (for
 * version 1: where there is no such slot) and gives `false`, with nothing written, where it is not. It *must not* become
 * part of a transaction of the caller, which could undo it after it returned. `read` *must* see every write that returned.
 *
 * A write fails with `Invalid` where nothing was written because the row cannot be kept ({@link isStorable}), or the write
 * cannot stand on its own. Every other failure is `Unavailable`, also where a write may have taken place. Errors *must not*
 * hold what the database says. No row is ever deleted: a slot that is removed is a row in which nothing is left.
 *
 * @since 0.1.0
 * @category services
 */
export class VaultStore extends Context.Service<
  VaultStore,
  {
    readonly read: (id: SlotId) => Effect.Effect<Option.Option<StoredSlot>, VaultError>
    readonly write: (row: StoredSlot) => Effect.Effect<boolean, VaultError>
    /** The slots that have one of these fingerprints, each once, however many of them it has. */
    readonly find: (fingerprints: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<SlotId>, VaultError>
    /** In the order of account and slot, by code point; in pages, so that a hundred thousand need not fit in memory. */
    readonly list: (filter: SlotFilter) => Stream.Stream<StoredSlot, VaultError>
  }
>()("@effect-api-keys/rotation/VaultStore") {}

const utf8 = new TextEncoder()

/** The most that an index of PostgreSQL holds is 2704 bytes: this leaves room for a fingerprint. */
const maxNameBytes = 2048
const maxFingerprintBytes = 512

/**
 * What {@link isStorable} asks of account and slot, in words.
 *
 * @since 0.1.0
 * @category predicates
 */
export const storableNames = `account and slot must be at most ${maxNameBytes} bytes in UTF-8 together`

/** Databases end text at the first zero, and write half of a surrogate pair as another character. */
const isText = (text: string): boolean => text.isWellFormed() && !text.includes("\0")

/**
 * Whether every store can keep this row, or what is known of it, as it is.
 *
 * **Details**
 *
 * Texts must be well-formed Unicode without a zero character; account and slot at most 2048 bytes in UTF-8 together, and
 * each fingerprint at most 512.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isStorable = ({
  account,
  document = "",
  fingerprints = [],
  slot
}: SlotId & Partial<Pick<StoredSlot, "document" | "fingerprints">>): boolean =>
  [account, slot, document, ...fingerprints].every(isText) &&
  utf8.encode(account).length + utf8.encode(slot).length <= maxNameBytes &&
  fingerprints.every((fingerprint) => utf8.encode(fingerprint).length <= maxFingerprintBytes)

/**
 * The error of a write that {@link isStorable} refuses.
 *
 * @since 0.1.0
 * @category errors
 */
export const notStorable = ({ account, slot }: SlotId): VaultError =>
  new VaultError({
    operation: "write",
    problem: "Invalid",
    ...(isText(account) && isText(slot) ? { account, slot } : {}),
    detail: `its texts must be well-formed and without zero characters, ${storableNames}, and a fingerprint at most ${maxFingerprintBytes}`
  })

const keyOf = ({ account, slot }: SlotId): string => JSON.stringify([account, slot])

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff

/** By code point, as databases compare the bytes of UTF-8. `<` compares code units, and puts an emoji before U+FFFD. */
const compareText = (a: string, b: string): number => {
  const end = Math.min(a.length, b.length)
  for (let index = 0; index < end; index++) {
    const [x, y] = [a.charCodeAt(index), b.charCodeAt(index)]
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1
  }
  return a.length - b.length
}

const compareIds = (a: SlotId, b: SlotId): number => compareText(a.account, b.account) || compareText(a.slot, b.slot)

/**
 * A store in memory, for tests and for programs that may forget.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeMemory: Effect.Effect<VaultStore["Service"]> = Effect.sync(() => {
  const rows = new Map<string, StoredSlot>()
  return {
    read: (id) => Effect.sync(() => Option.fromUndefinedOr(rows.get(keyOf(id)))),
    write: (row) =>
      Effect.suspend(() => {
        if (!isStorable(row)) return Effect.fail(notStorable(row))
        if ((rows.get(keyOf(row))?.version ?? 0) !== row.version - 1) return Effect.succeed(false)
        rows.set(keyOf(row), { ...row, fingerprints: [...new Set(row.fingerprints)] })
        return Effect.succeed(true)
      }),
    find: (fingerprints) =>
      Effect.sync(() =>
        [...rows.values()]
          .filter((row) => row.fingerprints.some((fingerprint) => fingerprints.includes(fingerprint)))
          .map(({ account, slot }) => ({ account, slot }))
          .sort(compareIds)
      ),
    list: (filter) =>
      Stream.suspend(() =>
        Stream.fromIterable(
          [...rows.values()]
            .filter((row) => (filter.account ?? row.account) === row.account && (filter.open !== true || row.open))
            .sort(compareIds)
        )
      )
  }
})

/**
 * {@link makeMemory} as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<VaultStore> = Layer.effect(VaultStore, makeMemory)
