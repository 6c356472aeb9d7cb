import type { ApiKey, IssuedKey, KeyRef } from "@effect-api-keys/core/ApiKey"
import type { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import type { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import type { MintIntent } from "@effect-api-keys/core/Recovery"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { KeyVault } from "../../KeyVault.ts"
import type { HeldKey, IntentRecord, NewKey, Orphan, RotationRecord, Slot } from "../../Slot.ts"
import { VaultError } from "../../VaultError.ts"
import type { SlotId } from "../../VaultStore.ts"
import type { Verify } from "../../Verify.ts"
import { isEnded } from "../transitions.ts"
import { type Failure, isNotFound, type StepEnd } from "./stepEnd.ts"

/** What bounds a rotation; durations in milliseconds. */
export interface Limits {
  /** How many mints one rotation may send. */
  readonly maxMints: number
  /** How long a request that was sent may still arrive. */
  readonly lateArrival: number
  /** How long a new key may be rejected before it is given up. */
  readonly propagation: number
}

/** What the steps of one rotation work with. */
export interface Setting {
  readonly id: SlotId
  readonly rotationId: string
  readonly vault: KeyVault["Service"]
  readonly keys: ApiKeyService["Service"]
  readonly verify: "none" | Verify
  readonly limits: Limits
}

/** One attempt at a step, of a slot as it was read for it. */
export type Attempt = (slot: Slot, rotation: RotationRecord) => Effect.Effect<StepEnd, Failure>

/** None: past it, a key would be shut off that the vault may have taken. */
export const deliverTimeout = Duration.infinity

/** What every step does with the slot, with the vendor and with keys that nobody is to use; for one attempt. */
export const make = (setting: Setting, read: Slot) => {
  const { id, keys, limits, rotationId, vault } = setting
  /** The slot as this attempt last had it in hand. */
  let held = read

  /** Writes to the slot, in the course of this attempt. */
  const write = (change: Effect.Effect<Slot, VaultError>): Effect.Effect<Slot, VaultError> =>
    Effect.tap(change, (slot) =>
      Effect.sync(() => {
        held = slot
      })
    )

  /**
   * Whether nobody else has gone on with the rotation since. Where someone has, what a step found at the vendor may be their
   * doing, and means nothing. Asked after the finding: who comes later cannot have caused it.
   */
  const isOurs: Effect.Effect<boolean, VaultError> = Effect.map(vault.read(id), (slot) =>
    Option.exists(
      Option.product(slot.rotation, held.rotation),
      ([is, was]) =>
        is.id === was.id &&
        !isEnded(is) &&
        is.step === was.step &&
        is.retiring === was.retiring &&
        slot.epoch === held.epoch
    )
  )

  /** Reads a key; none where the vendor does not know it. */
  const find = (ref: KeyRef): Effect.Effect<Option.Option<ApiKey>, ApiKeyError> =>
    Effect.catchIf(Effect.map(keys.get(ref), Option.some), isNotFound, () => Effect.succeed(Option.none()))

  /**
   * Whether "not found" may be believed of a key that is known since then: where the vendor has had the time to show it, and the
   * same credential sees the slot's own key.
   */
  const isGone = Effect.fnUntraced(function* (since: number): Effect.fn.Return<boolean, ApiKeyError> {
    const now = yield* Clock.currentTimeMillis
    return now - since >= limits.propagation && Option.isSome(yield* find(held.current.ref))
  })

  /** Shuts a key off that nobody is to use, and says whether it is off for certain. */
  const shutOff = (ref: KeyRef, since: number): Effect.Effect<boolean, ApiKeyError> =>
    Effect.catchIf(Effect.as(keys.revoke(ref), true), isNotFound, () => isGone(since))

  /** Shuts a key off for good that nobody is to use, and says whether it is gone for certain. */
  const remove = (ref: KeyRef, since: number): Effect.Effect<boolean, ApiKeyError> =>
    keys.supports("delete")
      ? Effect.catchIf(Effect.as(keys.delete(ref), true), isNotFound, () => isGone(since))
      : shutOff(ref, since)

  const orphanOf = Effect.fnUntraced(function* (
    found: { readonly handle: string; readonly ref: Option.Option<KeyRef>; readonly inert: boolean },
    origin: Orphan["origin"]
  ) {
    const orphan: Orphan = { ...found, origin, rotationId, foundAt: yield* Clock.currentTimeMillis }
    return orphan
  })

  /** Removes what is in the ledger; what cannot be removed now is left to the sweep. */
  const clear = ({ handle, ref }: Pick<NewKey, "handle" | "ref">, since: number): Effect.Effect<void> =>
    Effect.ignore(Effect.flatMap(remove(ref, since), (gone) => (gone ? vault.closeOrphan(id, handle) : Effect.void)))

  /**
   * Gives up the pending key. It goes into the ledger first: who has not heard that it is current by now is refused there, and
   * does not shut it off.
   */
  const abandon = Effect.fnUntraced(function* (pending: HeldKey): Effect.fn.Return<void, Failure> {
    const { handle, ref } = pending
    const orphan = yield* orphanOf({ handle, ref: Option.some(ref), inert: false }, "unclaimed")
    yield* vault.discardPending(id, rotationId, orphan)
    yield* clear({ handle, ref }, pending.storedAt)
  })

  /**
   * Puts a key into the vault, again and again until that answers. A key that it may have taken must not be shut off, for another
   * may have gone on with it, and of one that is let go unsaid nobody has the secret.
   */
  const handIn = (epoch: number, { marker }: MintIntent, key: IssuedKey): Effect.Effect<void, VaultError> =>
    vault.put(id, rotationId, epoch, key, marker).pipe(
      Effect.timeoutOrElse({
        duration: "10 seconds",
        orElse: () => Effect.fail(new VaultError({ operation: "put", problem: "Unavailable" }))
      }),
      Effect.tapError(({ problem }) => (problem === "Unavailable" ? warn(key) : Effect.void)),
      Effect.retry({ while: VaultError.is("Unavailable"), schedule: Schedule.spaced("5 seconds") }),
      Effect.asVoid
    )

  let warnedAt = Number.NEGATIVE_INFINITY
  /** Says once a minute that a key waits for the vault: who ends the process now leaves it to be found at the vendor. */
  const warn = Effect.fnUntraced(function* ({ handle }: IssuedKey) {
    const now = yield* Clock.currentTimeMillis
    if (now - warnedAt < 60_000) return
    warnedAt = now
    yield* Effect.logWarning("a new key waits for the vault, which does not answer", { ...id, rotationId, handle })
  })

  /** Whether a mint that was announced cannot arrive any more. */
  const isPast = ({ recordedAt }: IntentRecord): Effect.Effect<boolean> =>
    Effect.map(Clock.currentTimeMillis, (now) => now >= recordedAt + limits.lateArrival)

  return { ...setting, write, isOurs, find, isGone, shutOff, remove, orphanOf, clear, abandon, handIn, isPast }
}

/** What every step does with the slot, with the vendor and with keys that nobody is to use; for one attempt. */
export type Context = ReturnType<typeof make>

export const openIntents = ({ intents }: Slot): ReadonlyArray<IntentRecord> =>
  intents.filter(({ state }) => state === "open")
