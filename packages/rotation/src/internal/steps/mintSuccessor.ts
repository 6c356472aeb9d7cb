import type { IssuedKey } from "@effect-api-keys/core/ApiKey"
import { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import type { MintIntent } from "@effect-api-keys/core/Recovery"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { RotationRecord, Slot } from "../../Slot.ts"
import { VaultError } from "../../VaultError.ts"
import * as Before from "./before.ts"
import { type Attempt, type Context, deliverTimeout, openIntents } from "./context.ts"
import { settle } from "./settle.ts"
import {
  ended,
  errorsOf,
  type Failure,
  isNotFound,
  nextOf,
  orFailed,
  provesUnsent,
  type StepEnd,
  wait
} from "./stepEnd.ts"

/** Whether the pending key was minted for this rotation. */
const isPendingOf = (slot: Slot, { id }: RotationRecord): boolean =>
  slot.intents.some(({ rotationId, state }) => state === "landed" && rotationId === id)

/** Mints the new key beside the old one, as its copy or from what it was, and puts it into the vault as pending. */
export const mintSuccessor = (context: Context): Attempt => {
  const { abandon, clear, find, handIn, id, keys, limits, orphanOf, rotationId, vault, write } = context

  /** Writes down what the old key is, before it is copied. */
  const remember = Effect.fnUntraced(function* (slot: Slot, rotation: RotationRecord) {
    // Of a key that was shut off already, what it was before cannot be read any more.
    if (rotation.kind === "replace") return undefined
    const old = yield* find(slot.current.ref)
    if (Option.isNone(old)) return undefined
    const before = yield* Before.describe(context, old.value, false)
    const { rotation: noted } = yield* write(vault.note(id, rotationId, { before }))
    // Of two that look at once, the first is believed.
    return Option.getOrUndefined(noted)?.before
  })

  /** Writes down a key that the vault does not take, before anyone tries to shut it off. */
  const disown = Effect.fnUntraced(function* ({ handle, ref }: IssuedKey, { marker }: MintIntent) {
    const orphan = yield* orphanOf({ handle, ref: Option.some(ref), inert: false }, "unclaimed")
    yield* vault.addOrphan(id, orphan, marker)
  })

  /** What a mint that failed leaves behind: nothing, for certain, or an intent that stays open. */
  const afterMint = Effect.fnUntraced(function* (
    errors: ReadonlyArray<Failure>,
    intent: MintIntent
  ): Effect.fn.Return<StepEnd, VaultError> {
    const own = errors.filter((error) => error instanceof ApiKeyError)
    const [first = undefined] = errors
    if (first === undefined) return wait("Defect")
    if (own.length > 0 && own.every(provesUnsent)) yield* vault.unsent(id, rotationId, intent.marker)
    // One that was minted and shut off again: it is gone, and counts.
    const takenBack =
      own.every(({ reason }) => reason._tag === "PartiallyApplied" && reason.revoked !== false) &&
      (own.length > 0 || errors.every((error) => error instanceof VaultError))
    // What is switched off is still there to be seen: it is looked for, and written down.
    if (takenBack && !keys.supports("disable")) yield* vault.closeIntent(id, intent.marker)
    return orFailed(first)
  })

  return Effect.fnUntraced(function* (slot, rotation) {
    if (Option.isSome(slot.pending)) {
      // Where it is not there any more, the next step finds it out.
      if (isPendingOf(slot, rotation)) return nextOf(rotation)
      yield* abandon(slot.pending.value)
    }
    if (rotation.mints >= limits.maxMints) return ended("failed", "TooManyMints")
    const { before = yield* remember(slot, rotation) } = rotation
    // Of a key that was shut off before anyone read it, nobody knows what its successor may be.
    if (before === undefined)
      return rotation.kind === "rotate" ? ended("superseded", "Deleted") : ended("contained", "Undetermined")
    // It would be a copy that works for nobody, and nobody would switch it on when the old one is.
    if (before.status === "disabled" || before.status === "suspended")
      return ended(rotation.kind === "rotate" ? "superseded" : "contained", "Disabled")
    const claimed = yield* write(vault.claim(id, rotationId))
    const { epoch } = claimed
    for (const record of openIntents(claimed)) {
      // What is not seen may still arrive; what cannot be told is left to a person. The old key is not touched by either.
      if ((yield* settle(context, record, epoch)) === "taken") return nextOf(rotation)
    }
    const recreated = rotation.strategy === "recreate" ? Before.specOf(before) : undefined
    if (rotation.strategy === "recreate" && recreated === undefined) return ended("contained", "Undetermined")
    const target = recreated === undefined ? slot.current.ref : "create"
    const prepared = yield* Effect.result(keys.prepare(target, { snapshot: "none" }))
    if (Result.isFailure(prepared)) return orFailed(prepared.failure)
    const intent = prepared.success
    yield* vault.intend(id, rotationId, epoch, intent)
    let refused: IssuedKey | undefined
    const deliver = (key: IssuedKey) =>
      Effect.catchIf(handIn(epoch, intent, key), VaultError.is("Fenced"), (error) => {
        refused = key
        return Effect.andThen(disown(key, intent), Effect.fail(error))
      })
    const minted = yield* Effect.exit<unknown, Failure, never>(
      recreated === undefined
        ? keys.rotate(slot.current.ref, { deliver, deliverTimeout, keepPrevious: true, activate: false, intent })
        : keys.create(recreated, { deliver, deliverTimeout, intent })
    )
    if (Exit.isSuccess(minted)) return nextOf(rotation)
    if (refused !== undefined) yield* clear(refused, yield* Clock.currentTimeMillis)
    const errors = errorsOf(minted.cause)
    if (errors.some(isNotFound)) {
      yield* vault.unsent(id, rotationId, intent.marker)
      return ended(rotation.kind === "rotate" ? "superseded" : "contained", "Deleted")
    }
    return yield* afterMint(errors, intent)
  })
}
