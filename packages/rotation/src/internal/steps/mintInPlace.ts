import type { IssuedKey } from "@effect-api-keys/core/ApiKey"
import type { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import type { MintIntent } from "@effect-api-keys/core/Recovery"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { IntentRecord, Outcome, Problem, RotationRecord, Slot } from "../../Slot.ts"
import { VaultError } from "../../VaultError.ts"
import { type Attempt, type Context, deliverTimeout, openIntents } from "./context.ts"
import {
  afterFailure,
  again,
  ended,
  errorsOf,
  type Failure,
  isFinal,
  isNotFound,
  nextOf,
  orFailed,
  provesUnsent,
  type StepEnd,
  wait
} from "./stepEnd.ts"

/** Whether a key that was rotated in place is in the vault, as the current one. */
const isTakenIn = ({ promotedAt }: RotationRecord): boolean => promotedAt !== undefined

/** How it ends where there is nothing to rotate any more. */
const outcomeOf = ({ kind }: RotationRecord): Outcome => (kind === "rotate" ? "superseded" : "contained")

/** Why it waits for a person, or for the list to say more. */
const problems = {
  masked: "Masked",
  unnamed: "Undetermined",
  several: "Undetermined",
  gone: "Deleted"
} as const

/** What a person did to a key that is to be rotated in place, where an error says so. */
const whatBefell = ({ reason }: ApiKeyError): Problem | undefined =>
  reason._tag === "KeyNotFound" ? "Deleted" : reason._tag === "InvalidKeyState" ? "Disabled" : undefined

/** Has the vendor give the key a new secret, and puts that into the vault as the current one: the old one is dead by then. */
export const mintInPlace = (context: Context): Attempt => {
  const { handIn, id, isPast, keys, rotationId, vault, write } = context

  /**
   * Where a leaked key cannot be rotated, it is at least shut off. A rotation that may have taken effect is seen through: the
   * old secret may be dead, and nobody holds the new one.
   */
  const givenUp = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord,
    error: ApiKeyError,
    open: IntentRecord | undefined
  ): Effect.fn.Return<StepEnd, Failure> {
    if (open !== undefined && !(isFinal(error) && (yield* isPast(open)))) return afterFailure(error)
    if (open !== undefined) yield* vault.closeIntent(id, open.intent.marker)
    // A list that goes on to show less than is needed is not waited for: what leaked is alive.
    const unreadable = error.reason._tag === "UnexpectedResponse" && rotation.attempts >= 2
    if (rotation.kind === "rotate" || !(isFinal(error) || unreadable)) return orFailed(error)
    yield* keys.revoke(slot.current.ref)
    return ended("contained", error.reason._tag)
  })

  /** What is done where the only request that was sent has found no such key: nothing of ours is on its way. */
  const overtaken = Effect.fnUntraced(function* (
    { current, epoch }: Slot,
    rotation: RotationRecord,
    intent: MintIntent
  ): Effect.fn.Return<StepEnd, Failure> {
    const recovery = yield* keys.recover(intent, { ref: current.ref })
    if (recovery._tag === "Recovered") {
      yield* vault.put(id, rotationId, epoch, recovery.issued, intent.marker)
      return nextOf(rotation)
    }
    yield* vault.unsent(id, rotationId, intent.marker)
    if (recovery._tag !== "Undetermined") return wait("KeyNotFound", "1 second")
    return recovery.problem === "gone" ? ended(outcomeOf(rotation), "Deleted") : wait(problems[recovery.problem])
  })

  return Effect.fnUntraced(function* (slot, rotation) {
    if (isTakenIn(rotation)) return nextOf(rotation)
    const claimed = yield* write(vault.claim(id, rotationId))
    const { current, epoch } = claimed
    // Someone else has been here since the slot was read.
    if (Option.exists(claimed.rotation, isTakenIn)) return nextOf(rotation)
    const [open] = openIntents(claimed)
    if (open !== undefined) {
      const recovery = yield* keys.recover(open.intent, { ref: current.ref })
      if (recovery._tag === "Recovered") {
        yield* vault.put(id, rotationId, epoch, recovery.issued, open.intent.marker)
        return nextOf(rotation)
      }
      // The list may be stale, or another account's, and the new secret is nowhere else: a person says that it is gone.
      if (recovery._tag === "Undetermined") return wait(problems[recovery.problem])
      // The list shows the old secret: nothing was sent, or it has not arrived, or the list is stale. Sending the recorded
      // secret again is safe in each case: at the vendor it is a compare-and-set.
    }
    const prepared = yield* Effect.result(keys.prepare(current.ref, { snapshot: "none" }))
    if (Result.isFailure(prepared)) {
      const error = prepared.failure
      const problem = whatBefell(error)
      if (problem === undefined) return yield* givenUp(slot, rotation, error, open)
      // One that was sent before can still take effect.
      if (open !== undefined && !(problem === "Disabled" && (yield* isPast(open)))) return wait(problem, "5 seconds")
      if (open !== undefined) yield* vault.closeIntent(id, open.intent.marker)
      return ended(outcomeOf(rotation), problem)
    }
    const fresh = prepared.success
    // One that was made when handles were made otherwise is only good for a recovery.
    const intent = open !== undefined && open.intent.handle === fresh.handle ? open.intent : fresh
    yield* vault.intend(id, rotationId, epoch, intent)
    const deliver = (key: IssuedKey) => handIn(epoch, intent, key)
    const minted = yield* Effect.exit(keys.rotate(current.ref, { deliver, deliverTimeout, intent }))
    if (Exit.isSuccess(minted)) {
      const { incomplete } = minted.value
      if (incomplete === undefined) return nextOf(rotation)
      // Nothing can be undone here, and the vault did not take it: the list has it.
      const [refusal] = incomplete.step === "deliver" ? errorsOf(incomplete.cause) : []
      return refusal === undefined ? wait("Unavailable") : afterFailure(refusal)
    }
    const [error] = errorsOf(minted.cause)
    if (error === undefined) return wait("Defect")
    if (error instanceof VaultError) return afterFailure(error)
    // Someone, or a request of ours that arrived late, has rotated it: the list says to what.
    if (isNotFound(error)) {
      return open === undefined ? yield* overtaken(claimed, rotation, intent) : wait("KeyNotFound", "1 second")
    }
    // One that was sent before may still arrive: its intent stays.
    if (provesUnsent(error)) yield* vault.unsent(id, rotationId, intent.marker, open)
    return whatBefell(error) === undefined ? yield* givenUp(slot, rotation, error, open) : again
  })
}
