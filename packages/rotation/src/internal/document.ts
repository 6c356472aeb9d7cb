import { KeyRef } from "@effect-api-keys/core/ApiKey"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type HeldKey, IntentRecord, isOpen, type Orphan, RotationRecord, type Slot } from "../Slot.ts"
import { VaultError } from "../VaultError.ts"
import type { SlotId, StoredSlot } from "../VaultStore.ts"
import { keyIdOf, type Sealer } from "./seal.ts"

/** A key as it is stored: its address and secret sealed, and nothing of either in clear. */
const StoredKey = Schema.Struct({
  handle: Schema.String,
  epoch: Schema.Int,
  storedAt: Schema.Finite,
  sealed: Schema.String
})

const StoredOrphan = Schema.Struct({
  handle: Schema.String,
  inert: Schema.Boolean,
  origin: Schema.Literals(["lost", "unretired", "unclaimed"]),
  rotationId: Schema.String,
  foundAt: Schema.Finite,
  /** The sealed address; none where the vendor does not show it. */
  sealed: Schema.optionalKey(Schema.String)
})

const format = 1

const Document = Schema.Struct({
  format: Schema.Literal(format),
  provider: Schema.String,
  providerAccount: Schema.String,
  epoch: Schema.Int,
  current: StoredKey,
  pending: Schema.optionalKey(StoredKey),
  previous: Schema.optionalKey(StoredKey),
  rotation: Schema.optionalKey(RotationRecord),
  intents: Schema.Array(IntentRecord),
  orphans: Schema.Array(StoredOrphan)
})

/** What is left of a slot that was removed: its versions go on, so that no write of its old life fits into a new one. */
const removedDocument = JSON.stringify({ format, removed: true })

/** Whether a row is what is left of a slot that was removed. */
export const isRemoved = ({ document }: StoredSlot): boolean => document === removedDocument

/** The row that takes the place of a slot which is removed: there is nothing in it, and nothing leads to it. */
export const removed = ({ account, slot }: SlotId, version: number): StoredSlot => ({
  account,
  slot,
  version,
  document: removedDocument,
  fingerprints: [],
  open: false
})

/** What is not known is not dropped: whoever wrote it needs it, and the next write would lose it. */
const strictly = { onExcessProperty: "error" } as const

const Json = Schema.fromJsonString(Schema.toCodecJson(Document))
const encodeDocument = Schema.encodeEffect(Json)
const decodeDocument = Schema.decodeUnknownOption(Json, strictly)
const decodeLoosely = Schema.decodeUnknownOption(Json)
const decodeFormat = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ format: Schema.Int })))

/** What is sealed of a key. */
const Contents = Schema.fromJsonString(
  Schema.Struct({ address: Schema.String, secret: Schema.optionalKey(Schema.String) })
)
const encodeContents = Schema.encodeEffect(Contents)
const decodeContents = Schema.decodeUnknownEffect(Contents, strictly)

/** The words that a slot's document is sealed for: in another slot, account or epoch, or as another thing, it does not open. */
const binding = (
  slot: Pick<Slot, "account" | "slot" | "provider" | "providerAccount">,
  what: string,
  epoch: number
) => [what, slot.account, slot.slot, slot.provider, slot.providerAccount, epoch]

const optionally = <A, B, E>(
  option: Option.Option<A>,
  run: (value: A) => Effect.Effect<B, E>
): Effect.Effect<B | undefined, E> => Option.match(option, { onNone: () => Effect.succeed(undefined), onSome: run })

/** Every key of a slot by what it is looked up by when it leaks: its secret, or its address where no more is known of it. */
export const leakable = (
  slot: Slot
): ReadonlyArray<{
  readonly role: "current" | "pending" | "previous" | "orphan"
  readonly handle: string
  readonly value: Redacted.Redacted<string>
}> => {
  const held = (role: "current" | "pending" | "previous", { handle, ref, secret }: HeldKey) => ({
    role,
    handle,
    value: Option.getOrElse(secret, () => ref.value)
  })
  return [
    held("current", slot.current),
    ...Option.toArray(slot.pending).map((key) => held("pending", key)),
    ...Option.toArray(slot.previous).map((key) => held("previous", key)),
    ...slot.orphans.flatMap(({ handle, ref }) =>
      Option.toArray(ref).map(({ value }) => ({ role: "orphan" as const, handle, value }))
    )
  ]
}

/** The text that a key's address is hashed as: the same address at another vendor, or of another account, is another key. */
const addressText = ({ account, provider, value }: KeyRef): Redacted.Redacted<string> =>
  Redacted.make(JSON.stringify([provider, account, Redacted.value(value)]))

/** What a key is found by in any slot that holds it. */
export const addressFingerprints = (sealer: Sealer, ref: KeyRef): Effect.Effect<ReadonlyArray<string>> =>
  sealer.fingerprints(addressText(ref), "address")

/** How a slot holds a key of this address; nothing where it does not. */
export const roleOf = (slot: Slot, ref: KeyRef): "current" | "pending" | "previous" | "orphan" | undefined => {
  if (slot.provider !== ref.provider || slot.providerAccount !== ref.account) return undefined
  const isIts = (held: { readonly ref: KeyRef }) => Redacted.value(held.ref.value) === Redacted.value(ref.value)
  if (isIts(slot.current)) return "current"
  if (Option.exists(slot.pending, isIts)) return "pending"
  if (Option.exists(slot.previous, isIts)) return "previous"
  return slot.orphans.some((orphan) => Option.exists(orphan.ref, (found) => isIts({ ref: found })))
    ? "orphan"
    : undefined
}

/** Every keyed hash that a slot is found by: of what may leak, and of where its keys are. */
const fingerprintsOf = Effect.fnUntraced(function* (sealer: Sealer, slot: Slot) {
  const refs = [
    slot.current.ref,
    ...Option.toArray(slot.pending).map(({ ref }) => ref),
    ...Option.toArray(slot.previous).map(({ ref }) => ref),
    ...slot.orphans.flatMap(({ ref }) => Option.toArray(ref))
  ]
  return [
    ...(yield* Effect.forEach(leakable(slot), ({ value }) => sealer.fingerprint(value))),
    ...(yield* Effect.forEach(refs, (ref) => sealer.fingerprint(addressText(ref), "address")))
  ]
})

export const encode = Effect.fnUntraced(function* (
  sealer: Sealer,
  slot: Slot,
  version: number
): Effect.fn.Return<StoredSlot, VaultError> {
  const broken = () =>
    new VaultError({
      operation: "write",
      problem: "Invalid",
      account: slot.account,
      slot: slot.slot,
      detail: "it cannot be encoded"
    })
  const storeKey = Effect.fnUntraced(function* (key: HeldKey) {
    const secret = Option.getOrUndefined(Option.map(key.secret, Redacted.value))
    const contents = yield* Effect.mapError(
      encodeContents({ address: Redacted.value(key.ref.value), ...(secret === undefined ? {} : { secret }) }),
      broken
    )
    const sealed = yield* sealer.seal(contents, binding(slot, "key", key.epoch))
    return { handle: key.handle, epoch: key.epoch, storedAt: key.storedAt, sealed }
  })
  const storeOrphan = Effect.fnUntraced(function* ({ ref, ...orphan }: Orphan) {
    const sealed = yield* optionally(ref, ({ value }) =>
      sealer.seal(Redacted.value(value), binding(slot, "orphan", orphan.foundAt))
    )
    return { ...orphan, ...(sealed === undefined ? {} : { sealed }) }
  })
  const pending = yield* optionally(slot.pending, storeKey)
  const previous = yield* optionally(slot.previous, storeKey)
  const rotation = Option.getOrUndefined(slot.rotation)
  const document = yield* Effect.mapError(
    encodeDocument({
      format,
      provider: slot.provider,
      providerAccount: slot.providerAccount,
      epoch: slot.epoch,
      current: yield* storeKey(slot.current),
      ...(pending === undefined ? {} : { pending }),
      ...(previous === undefined ? {} : { previous }),
      ...(rotation === undefined ? {} : { rotation }),
      intents: slot.intents,
      orphans: yield* Effect.forEach(slot.orphans, storeOrphan)
    }),
    broken
  )
  return {
    account: slot.account,
    slot: slot.slot,
    version,
    document,
    fingerprints: yield* fingerprintsOf(sealer, slot),
    open: isOpen(slot)
  }
})

/** Why a document cannot be read: a reason that its reader can do something about, where it is one. */
const problemOf = (document: string): string => {
  const later = Option.filter(decodeFormat(document), (found) => found.format > format)
  if (Option.isSome(later)) {
    return `it is of format ${later.value.format}, and this version of the library reads up to ${format}`
  }
  return Option.isSome(decodeLoosely(document))
    ? "it holds what this version of the library does not know, and would lose"
    : "it is no document of a slot"
}

export const decode = Effect.fnUntraced(function* (
  sealer: Sealer,
  { account, document, slot }: StoredSlot
): Effect.fn.Return<Slot, VaultError> {
  const unreadable = (detail: string) =>
    new VaultError({ operation: "read", problem: "Unreadable", account, slot, detail })
  const found = decodeDocument(document)
  if (Option.isNone(found)) return yield* unreadable(problemOf(document))
  const stored = found.value
  const { provider, providerAccount } = stored
  const owner = { account, slot, provider, providerAccount }
  const refOf = (address: string) => new KeyRef({ provider, account: providerAccount, value: Redacted.make(address) })
  const open = (sealed: string, what: string, epoch: number) =>
    Effect.mapError(sealer.open(sealed, binding(owner, what, epoch)), ({ detail = "" }) => unreadable(detail))
  const readKey = Effect.fnUntraced(function* ({ sealed, ...key }: typeof StoredKey.Type) {
    const contents = yield* Effect.mapError(decodeContents(yield* open(sealed, "key", key.epoch)), () =>
      unreadable("what was sealed is no key")
    )
    return {
      ...key,
      ref: refOf(contents.address),
      secret: Option.map(Option.fromUndefinedOr(contents.secret), (secret) => Redacted.make(secret))
    }
  })
  const readOrphan = Effect.fnUntraced(function* ({ sealed, ...orphan }: typeof StoredOrphan.Type) {
    const address = yield* optionally(Option.fromUndefinedOr(sealed), (text) => open(text, "orphan", orphan.foundAt))
    return { ...orphan, ref: Option.map(Option.fromUndefinedOr(address), refOf) }
  })
  return {
    ...owner,
    epoch: stored.epoch,
    current: yield* readKey(stored.current),
    pending: Option.fromUndefinedOr(yield* optionally(Option.fromUndefinedOr(stored.pending), readKey)),
    previous: Option.fromUndefinedOr(yield* optionally(Option.fromUndefinedOr(stored.previous), readKey)),
    rotation: Option.fromUndefinedOr(stored.rotation),
    intents: stored.intents,
    orphans: yield* Effect.forEach(stored.orphans, readOrphan)
  }
})

/** Whether a row is sealed, and found, by this key alone, as far as that can be seen without opening it. */
const isSealedWith = (document: string, keyId: string): boolean =>
  Option.exists(decodeDocument(document), ({ current, orphans, pending, previous }) =>
    [current, pending, previous, ...orphans].every(
      (held) => held?.sealed === undefined || Option.getOrUndefined(keyIdOf(held.sealed)) === keyId
    )
  )

/** Whether a row is as it would be written now: it opens, under the current key alone, and is found by its hashes. */
export const isUpToDate = Effect.fnUntraced(function* (
  sealer: Sealer,
  keyId: string,
  row: StoredSlot
): Effect.fn.Return<boolean, VaultError> {
  if (!isSealedWith(row.document, keyId)) return false
  const hashes = yield* fingerprintsOf(sealer, yield* decode(sealer, row))
  const [wanted, found] = [new Set(hashes), new Set(row.fingerprints)]
  return wanted.size === found.size && hashes.every((hash) => found.has(hash))
})
