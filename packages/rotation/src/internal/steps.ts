import type { ApiKey, IssuedKey, KeyRef } from "@effect-api-keys/core/ApiKey"
import * as ApiKeyDriver from "@effect-api-keys/core/ApiKeyDriver"
import { ApiKeyError, type ApiKeyErrorReason } from "@effect-api-keys/core/ApiKeyError"
import type { ApiKeyService, KeySpec } from "@effect-api-keys/core/ApiKeyService"
import { type MintIntent, markerOf, unmarkedName } from "@effect-api-keys/core/Recovery"
import { Restriction } from "@effect-api-keys/core/Restrictions"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { KeyVault } from "../KeyVault.ts"
import type {
  Before,
  HeldKey,
  IntentRecord,
  NewKey,
  Orphan,
  Outcome,
  Problem,
  RotationRecord,
  Slot,
  Step
} from "../Slot.ts"
import { VaultError } from "../VaultError.ts"
import type { SlotId } from "../VaultStore.ts"
import type { Verdict, Verify } from "../Verify.ts"
import * as Digest from "./digest.ts"
import { isEnded } from "./transitions.ts"

/** How one attempt of a step ended. */
export type StepEnd =
  | { readonly _tag: "Next"; readonly step: Step }
  /** Try again later: after so many milliseconds, or as the attempts so far have it. */
  | { readonly _tag: "Wait"; readonly problem: Problem; readonly after?: number }
  | { readonly _tag: "End"; readonly outcome: Outcome; readonly problem?: Problem }

const wait = (problem: Problem, after?: Duration.Input): StepEnd => ({
  _tag: "Wait",
  problem,
  ...(after === undefined ? {} : { after: Duration.toMillis(after) })
})
const ended = (outcome: Outcome, problem?: Problem): StepEnd => ({
  _tag: "End",
  outcome,
  ...(problem === undefined ? {} : { problem })
})

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

type Failure = ApiKeyError | VaultError
type Attempt = Effect.Effect<StepEnd, Failure>

/** The steps of a rotation, in order. */
export const order = (kind: RotationRecord["kind"], strategy: RotationRecord["strategy"]): ReadonlyArray<Step> => {
  if (strategy === "in-place") return ["mint", "verify", "sweep"]
  if (kind === "rotate") return ["mint", "activate", "verify", "promote", "overlap", "retire", "sweep"]
  return strategy === "successor"
    ? ["contain", "mint", "activate", "verify", "promote", "retire", "sweep"]
    : ["contain", "mint", "activate", "verify", "promote", "sweep"]
}

/** Someone else has gone on: it is looked again where the rotation is. */
const again = wait("Fenced", 0)

const nextOf = ({ kind, step, strategy }: RotationRecord): StepEnd => {
  const steps = order(kind, strategy)
  const next = steps[steps.indexOf(step) + 1]
  return next === undefined ? ended("completed") : { _tag: "Next", step: next }
}

const isNotFound = ApiKeyError.is("KeyNotFound")

/** Reasons after which it is certain that no key was minted. */
const provesUnsent: ReadonlySet<ApiKeyErrorReason["_tag"]> = new Set<ApiKeyErrorReason["_tag"]>([
  "AuthenticationFailed",
  "PermissionDenied",
  "KeyNotFound",
  "InvalidRequest",
  "KeyLimitReached",
  "InvalidKeyState",
  "RateLimited",
  "ProviderUnavailable",
  "UnsupportedOperation",
  "UnsupportedRestriction",
  "UnexpectedResponse"
])

/** None: past it, a key would be shut off that the vault may have taken. */
const deliverTimeout = Duration.infinity

/** Reasons that no waiting mends. */
const isFinal = ApiKeyError.is("InvalidRequest", "UnsupportedOperation", "UnsupportedRestriction")

/** What an error means for a step that has nothing of its own to say to it: what was begun is tried again until it is done. */
export const afterFailure = (error: Failure): StepEnd =>
  error instanceof VaultError ? wait(error.problem) : wait(error.reason._tag, error.retryAfter)

/** What an error means before there is anything to be seen through. */
const orFailed = (error: Failure): StepEnd =>
  isFinal(error) ? ended("failed", error.reason._tag) : afterFailure(error)

const errorsOf = <E>(cause: Cause.Cause<E>): ReadonlyArray<E> =>
  cause.reasons.flatMap((reason) => (Cause.isFailReason(reason) ? [reason.error] : []))

/** The steps, for one attempt at one of them. */
export const make = ({ id, keys, limits, rotationId, vault, verify }: Setting) => {
  /** The slot as this attempt last had it in hand. */
  let held: Slot | undefined

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
      Option.product(slot.rotation, held?.rotation ?? Option.none()),
      ([is, was]) =>
        is.id === was.id &&
        !isEnded(is) &&
        is.step === was.step &&
        is.retiring === was.retiring &&
        slot.epoch === held?.epoch
    )
  )

  /** Reads a key; none where the vendor does not know it. */
  const find = (ref: KeyRef): Effect.Effect<Option.Option<ApiKey>, ApiKeyError> =>
    Effect.catchIf(Effect.map(keys.get(ref), Option.some), isNotFound, () => Effect.succeed(Option.none()))

  /** Shuts a key off for good that nobody is to use. */
  const remove = (ref: KeyRef): Effect.Effect<void, ApiKeyError> =>
    Effect.catchIf(
      keys.supports("delete") ? keys.delete(ref) : Effect.asVoid(keys.revoke(ref)),
      isNotFound,
      () => Effect.void
    )

  const orphanOf = Effect.fnUntraced(function* (
    found: { readonly handle: string; readonly ref: Option.Option<KeyRef>; readonly inert: boolean },
    origin: Orphan["origin"]
  ) {
    const orphan: Orphan = { ...found, origin, rotationId, foundAt: yield* Clock.currentTimeMillis }
    return orphan
  })

  /** What a key is now, for comparison with what it is later. */
  const describe = Effect.fnUntraced(function* (key: ApiKey, recreate: boolean): Effect.fn.Return<Before> {
    const name = Option.map(key.name, unmarkedName)
    // Where a restriction is not shown, a new key would get the account's default: it might be wider.
    const whole = Restriction.literals.every((field) => !keys.supports(field) || key.restrictions[field] !== undefined)
    const spec = {
      ...key.restrictions,
      name: Option.getOrElse(
        Option.filter(name, (text) => text !== ""),
        () => key.handle
      ),
      options: { [keys.provider]: key.options }
    }
    return {
      handle: key.handle,
      status: key.status,
      digest: yield* Digest.ofSettings(key),
      ...(Option.isSome(name) ? { name: name.value } : {}),
      ...(recreate && whole ? { spec: JSON.stringify(spec) } : {})
    }
  })

  /** Removes what is in the ledger; what cannot be removed now is left to the sweep. */
  const clear = ({ handle, ref }: NewKey | HeldKey): Effect.Effect<void> =>
    Effect.ignore(Effect.andThen(remove(ref), vault.closeOrphan(id, handle)))

  /**
   * Gives up the pending key. It goes into the ledger first: who has not heard that it is current by now is refused there, and
   * does not shut it off.
   */
  const abandon = Effect.fnUntraced(function* (pending: HeldKey): Effect.fn.Return<void, Failure> {
    const { handle, ref } = pending
    const orphan = yield* orphanOf({ handle, ref: Option.some(ref), inert: false }, "unclaimed")
    yield* vault.discardPending(id, rotationId, orphan)
    yield* clear(pending)
  })

  const contain = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    const { leaked } = rotation
    const whole = leaked === undefined || slot.current.handle === leaked
    // What it was is read before it is shut off, or not at all: afterwards it shows what we made of it.
    if (whole && !rotation.retiring) {
      const seen = yield* Effect.exit(Effect.timeoutOption(find(slot.current.ref), "5 seconds"))
      const read = Exit.isSuccess(seen) ? Option.getOrUndefined(seen.value) : undefined
      // Without it there is nothing to mint a successor from. For that, and for no more, the shutting off waits.
      if (read === undefined && rotation.attempts < 2) {
        const [error] = Exit.isFailure(seen) ? errorsOf(seen.cause) : []
        return wait(error?.reason._tag ?? "ProviderUnavailable", "1 second")
      }
      const before =
        read !== undefined && Option.isSome(read)
          ? yield* describe(read.value, rotation.strategy === "recreate")
          : undefined
      yield* write(vault.note(id, rotationId, { retiring: true, ...(before === undefined ? {} : { before }) }))
    }
    // Nothing is said of keys that are gone already: that is what is wanted.
    const shutOff = (key: HeldKey) => Effect.catchIf(keys.revoke(key.ref), isNotFound, () => Effect.void)
    if (whole) yield* shutOff(slot.current)
    if (Option.isSome(slot.previous)) {
      yield* shutOff(slot.previous.value)
      yield* vault.dropPrevious(id, rotationId)
    }
    if (Option.isSome(slot.pending)) {
      yield* shutOff(slot.pending.value)
      yield* abandon(slot.pending.value)
    }
    return whole ? nextOf(rotation) : { _tag: "Next", step: "sweep" }
  })

  /** What became of a mint that was announced and whose end nobody saw. */
  const settle = Effect.fnUntraced(function* (
    { intent }: IntentRecord,
    epoch: number | undefined
  ): Effect.fn.Return<"taken" | "gone" | "unseen" | "undetermined", Failure> {
    const recovery = yield* keys.recover(intent)
    switch (recovery._tag) {
      case "Recovered": {
        // One that was rotated in place is the slot's own key: the next rotation takes it in.
        if (recovery.attribution === "unproven" && epoch === undefined) return "undetermined"
        if (epoch !== undefined) {
          yield* vault.put(id, rotationId, epoch, recovery.issued, intent.marker)
          return "taken"
        }
        yield* remove(recovery.issued.ref)
        yield* vault.closeIntent(id, intent.marker)
        return "gone"
      }
      case "Orphaned": {
        const removed = Option.isSome(recovery.ref)
          ? yield* Effect.exit(remove(recovery.ref.value))
          : Exit.fail<unknown>(undefined)
        // One that cannot be removed, now or at all, is written down: for the sweep, or for a person.
        if (Exit.isSuccess(removed)) yield* vault.closeIntent(id, intent.marker)
        else yield* vault.addOrphan(id, yield* orphanOf(recovery, "lost"), intent.marker)
        return "gone"
      }
      case "NotApplied":
      case "NotSeen":
        return "unseen"
      case "Undetermined":
        return "undetermined"
    }
  })

  const openIntents = (slot: Slot) => slot.intents.filter(({ state }) => state === "open")

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
      Effect.retry({ while: VaultError.is("Unavailable"), schedule: Schedule.spaced("5 seconds") }),
      Effect.asVoid
    )

  /** Writes down a key that the vault does not take, before anyone tries to shut it off. */
  const disown = Effect.fnUntraced(function* ({ handle, ref }: IssuedKey, { marker }: MintIntent) {
    const orphan = yield* orphanOf({ handle, ref: Option.some(ref), inert: false }, "unclaimed")
    yield* vault.addOrphan(id, orphan, marker)
  })

  const successor = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    if (Option.isSome(slot.pending)) {
      const pending = slot.pending.value
      const seen = yield* find(pending.ref)
      if (Option.isSome(seen) && pendingOf(slot, rotation)) return nextOf(rotation)
      // It is of another rotation, or was taken back by whoever minted it, and did not know that it had been put.
      yield* abandon(pending)
    }
    if (rotation.mints >= limits.maxMints) return ended("failed", "TooManyMints")
    const { before = yield* remember(slot, rotation) } = rotation
    // Of a key that was shut off before anyone read it, nobody knows what its successor may be.
    if (before === undefined)
      return rotation.kind === "rotate" ? ended("superseded", "Deleted") : ended("contained", "Undetermined")
    const { epoch, intents } = yield* write(vault.claim(id, rotationId))
    for (const record of intents.filter(({ state }) => state === "open")) {
      // What is not seen may still arrive; what cannot be told is left to a person. The old key is not touched by either.
      if ((yield* settle(record, epoch)) === "taken") return nextOf(rotation)
    }
    const recreated = rotation.strategy === "recreate" ? specOf(before) : undefined
    if (rotation.strategy === "recreate" && recreated === undefined) return ended("contained", "Undetermined")
    const prepared = yield* Effect.result(
      keys.prepare(recreated === undefined ? slot.current.ref : "create", { snapshot: "none" })
    )
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
    if (refused !== undefined) yield* clear(refused)
    const errors = errorsOf(minted.cause)
    if (errors.some(isNotFound)) {
      yield* vault.unsent(id, rotationId, intent.marker)
      return ended(rotation.kind === "rotate" ? "superseded" : "contained", "Deleted")
    }
    return yield* afterMint(errors, intent)
  })

  /** What a mint that failed leaves behind: nothing, for certain, or an intent that stays open. */
  const afterMint = Effect.fnUntraced(function* (
    errors: ReadonlyArray<Failure>,
    intent: MintIntent
  ): Effect.fn.Return<StepEnd, VaultError> {
    const own = errors.filter((error) => error instanceof ApiKeyError)
    const [first = undefined] = errors
    if (first === undefined) return wait("Defect")
    const unsent = own.length > 0 && own.every(({ reason }) => provesUnsent.has(reason._tag))
    if (unsent) yield* vault.unsent(id, rotationId, intent.marker)
    // One that was minted and shut off again: it is gone, and counts.
    const takenBack =
      own.every(({ reason }) => reason._tag === "PartiallyApplied" && reason.revoked !== false) &&
      (own.length > 0 || errors.every((error) => error instanceof VaultError))
    // What is switched off is still there to be seen: it is looked for, and written down.
    if (takenBack && !keys.supports("disable")) yield* vault.closeIntent(id, intent.marker)
    return orFailed(first)
  })

  /** Whether the pending key was minted for this rotation. */
  const pendingOf = (slot: Slot, rotation: RotationRecord): boolean =>
    slot.intents.some(({ rotationId: of, state }) => state === "landed" && of === rotation.id)

  /** Writes down what the old key is, before it is copied. */
  const remember = Effect.fnUntraced(function* (slot: Slot, rotation: RotationRecord) {
    // Of a key that was shut off already, what it was before cannot be read any more.
    if (rotation.kind === "replace") return undefined
    const old = yield* find(slot.current.ref)
    if (Option.isNone(old)) return undefined
    const { rotation: noted } = yield* write(vault.note(id, rotationId, { before: yield* describe(old.value, false) }))
    // Of two that look at once, the first is believed.
    return Option.getOrUndefined(noted)?.before
  })

  /** Whether a key that was rotated in place is in the vault, as the current one. */
  const isTakenIn = ({ promotedAt }: RotationRecord): boolean => promotedAt !== undefined

  const inPlace = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    if (isTakenIn(rotation)) return nextOf(rotation)
    const claimed = yield* write(vault.claim(id, rotationId))
    const { current, epoch, intents } = claimed
    const outcome = rotation.kind === "rotate" ? "superseded" : "contained"
    // Someone else has been here since the slot was read.
    if (Option.exists(claimed.rotation, isTakenIn)) return nextOf(rotation)
    const open = intents.find(({ state }) => state === "open")
    if (open !== undefined) {
      const recovery = yield* keys.recover(open.intent)
      if (recovery._tag === "Recovered") {
        yield* vault.put(id, rotationId, epoch, recovery.issued, open.intent.marker)
        return nextOf(rotation)
      }
      if (recovery._tag === "Undetermined" && recovery.problem === "gone" && (yield* isPast(open))) {
        // The list may be stale, or another account's: that the key was deleted is believed after some time.
        yield* vault.closeIntent(id, open.intent.marker)
        return ended(outcome, "Deleted")
      }
      if (recovery._tag === "Undetermined") return wait(recovery.problem === "masked" ? "Masked" : "Undetermined")
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
      return ended(outcome, problem)
    }
    const intent = open?.intent ?? prepared.success
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
    if (isNotFound(error)) return wait("KeyNotFound", "1 second")
    // One that was sent before may still arrive: its intent stays.
    if (open === undefined && provesUnsent.has(error.reason._tag)) yield* vault.unsent(id, rotationId, intent.marker)
    return whatBefell(error) === undefined ? yield* givenUp(slot, rotation, error, open) : again
  })

  /** What a person did to a key that is to be rotated in place, where an error says so. */
  const whatBefell = ({ reason }: ApiKeyError): Problem | undefined =>
    reason._tag === "KeyNotFound" ? "Deleted" : reason._tag === "InvalidKeyState" ? "Disabled" : undefined

  /** Whether a mint that was announced cannot arrive any more. */
  const isPast = ({ recordedAt }: IntentRecord): Effect.Effect<boolean> =>
    Effect.map(Clock.currentTimeMillis, (now) => now >= recordedAt + limits.lateArrival)

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
    if (open !== undefined) return afterFailure(error)
    if (rotation.kind === "rotate" || !isFinal(error)) return orFailed(error)
    yield* keys.revoke(slot.current.ref)
    return ended("contained", error.reason._tag)
  })

  const activate = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    const pending = Option.getOrUndefined(slot.pending)
    if (pending === undefined) return { _tag: "Next", step: "mint" }
    const successor = yield* find(pending.ref)
    if (Option.isNone(successor)) {
      // Someone removed it, or whoever minted it took it back.
      yield* abandon(pending)
      return { _tag: "Next", step: "mint" }
    }
    const superseded = yield* giveWay(slot, rotation, pending)
    if (superseded !== undefined) return superseded
    const { before } = rotation
    if (rotation.strategy === "recreate" && before?.digest !== (yield* Digest.ofSettings(successor.value))) {
      yield* abandon(pending)
      return ended("contained", "Changed")
    }
    const as = before?.status
    if ((as === "active" || as === "sandbox") && successor.value.status === "disabled" && keys.supports("enable")) {
      yield* keys.enable(pending.ref, { as })
    }
    return nextOf(rotation)
  })

  /** What someone did with the old key since its rotation began. */
  const changed = Effect.fnUntraced(function* (
    old: Option.Option<ApiKey>,
    before: Before | undefined
  ): Effect.fn.Return<Problem | undefined> {
    if (Option.isNone(old)) return "Deleted"
    if (before === undefined || (yield* Digest.ofSettings(old.value)) === before.digest) return undefined
    return old.value.status === "disabled" && before.status !== "disabled" ? "Disabled" : "Changed"
  })

  /** Ends a rotation whose old key someone has changed, and gives the successor up. */
  const giveWay = Effect.fnUntraced(function* (
    slot: Slot,
    { before, kind }: RotationRecord,
    pending: HeldKey,
    differs: (old: ApiKey) => boolean = () => false
  ): Effect.fn.Return<StepEnd | undefined, Failure> {
    // Of a key that leaked it is our own doing.
    if (kind === "replace") return undefined
    const old = yield* find(slot.current.ref)
    const problem = (yield* changed(old, before)) ?? (Option.exists(old, differs) ? "Changed" : undefined)
    if (problem === undefined) return undefined
    yield* abandon(pending)
    return ended("superseded", problem)
  })

  const probe = (key: HeldKey): Effect.Effect<Verdict> => {
    if (verify === "none") return Effect.succeed("accepted")
    if (Option.isNone(key.secret)) return Effect.succeed("unclear")
    const { handle, ref, secret } = key
    return Effect.suspend(() => verify({ id, provider: keys.provider, handle, ref, secret: secret.value })).pipe(
      Effect.timeout("30 seconds"),
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.succeed<Verdict>("unclear")
      )
    )
  }

  const verifyNew = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    const now = yield* Clock.currentTimeMillis
    const undoable = rotation.strategy !== "in-place"
    const key = undoable ? Option.getOrUndefined(slot.pending) : slot.current
    if (key === undefined) return { _tag: "Next", step: "mint" }
    // A key that is to be switched off, as the old one was, works for nobody.
    const off = undoable && (rotation.before?.status === "disabled" || rotation.before?.status === "suspended")
    if (verify === "none" || off) return nextOf(rotation)
    // An old key that was shut off because it leaked, or was rotated in place, is no control. Of one whose secret nobody knows
    // nothing can be asked.
    if (undoable && rotation.kind === "rotate" && Option.isSome(slot.current.secret)) {
      const control = yield* probe(slot.current)
      if (control !== "accepted") {
        const superseded = yield* giveWay(slot, rotation, key)
        return superseded ?? wait(control === "rejected" ? "ControlRejected" : "Unverified")
      }
    }
    const verdict = yield* probe(key)
    if (verdict === "accepted") return nextOf(rotation)
    if (!undoable) {
      // There is no way back, and the old key is dead: that it cannot be shown to work is said, and does not hold it up.
      if (now - rotation.since < limits.lateArrival) return wait(verdict === "rejected" ? "Rejected" : "Unverified")
      return nextOf(rotation)
    }
    if (verdict === "unclear") return wait("Unverified")
    if (now - key.storedAt < limits.propagation) return wait("Rejected", "10 seconds")
    yield* abandon(key)
    return rotation.mints >= limits.maxMints ? ended("failed", "Rejected") : { _tag: "Next", step: "mint" }
  })

  const promote = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    if (rotation.promotedAt !== undefined) return nextOf(rotation)
    const pending = Option.getOrUndefined(slot.pending)
    if (pending === undefined) return { _tag: "Next", step: "mint" }
    const successor = yield* find(pending.ref)
    if (Option.isNone(successor)) {
      // Someone removed it.
      yield* abandon(pending)
      return { _tag: "Next", step: "mint" }
    }
    // The probe may have taken days.
    const superseded = yield* giveWay(slot, rotation, pending, (old) => !isCopy(old, successor.value))
    if (superseded !== undefined) return superseded
    yield* vault.promote(id, rotationId, pending.epoch)
    return nextOf(rotation)
  })

  /** Whether a successor may do what the old key may: the old key can be widened for a moment, and just then be copied. */
  const isCopy = (old: ApiKey, successor: ApiKey): boolean =>
    ApiKeyDriver.compareEcho(
      { restrictions: old.restrictions },
      // Its name is its own.
      Struct.pick(successor, ["handle", "status", "providerStatus", "restrictions"])
    ).missing.length === 0

  const overlap = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    if (Option.isNone(slot.previous) || rotation.acknowledged) return nextOf(rotation)
    const left = (rotation.promotedAt ?? 0) + rotation.overlap - (yield* Clock.currentTimeMillis)
    if (!rotation.acknowledgement) return left <= 0 ? nextOf(rotation) : wait("Unacknowledged", left)
    return wait("Unacknowledged", left > 0 ? left : Duration.hours(1))
  })

  const retire = Effect.fnUntraced(function* (
    slot: Slot,
    rotation: RotationRecord
  ): Effect.fn.Return<StepEnd, Failure> {
    const previous = Option.getOrUndefined(slot.previous)
    if (previous === undefined) return nextOf(rotation)
    const old = yield* find(previous.ref)
    const gone = Option.isNone(old)
    // "Not found" is believed only where the same credential sees the key that replaced it.
    if (gone) yield* keys.get(slot.current.ref)
    const problem = rotation.retiring ? undefined : yield* changed(old, rotation.before)
    if (problem !== undefined) {
      if (!(yield* isOurs)) return again
      const off = gone || old.value.status === "disabled"
      const orphan = off
        ? undefined
        : yield* orphanOf({ handle: previous.handle, ref: Option.some(previous.ref), inert: false }, "unretired")
      yield* vault.dropPrevious(id, rotationId, orphan)
      return ended("superseded", problem)
    }
    if (gone) {
      yield* vault.dropPrevious(id, rotationId)
      return nextOf(rotation)
    }
    if (!rotation.retiring) yield* write(vault.note(id, rotationId, { retiring: true }))
    yield* keys.revoke(previous.ref)
    yield* vault.dropPrevious(id, rotationId)
    return nextOf(rotation)
  })

  /** Looks for what lost mints have left behind, and takes the marker off the new key's name. */
  const sweep = Effect.fnUntraced(function* (slot: Slot, rotation: RotationRecord): Effect.fn.Return<StepEnd, Failure> {
    const now = yield* Clock.currentTimeMillis
    let late = 0
    for (const record of openIntents(slot)) {
      const found = yield* settle(record, undefined)
      if (found === "gone" || found === "taken") continue
      const left = record.recordedAt + limits.lateArrival - now
      if (left > 0) late = Math.max(late, left)
      // What cannot be told stays in the ledger, for a person.
      else if (found === "unseen") yield* vault.closeIntent(id, record.intent.marker)
    }
    for (const orphan of slot.orphans) {
      if (Option.isNone(orphan.ref) || orphan.origin === "unretired") continue
      yield* remove(orphan.ref.value)
      yield* vault.closeOrphan(id, orphan.handle)
    }
    yield* forget(slot)
    if (late > 0) return wait("NotSeen", late)
    const renamed = rotation.strategy === "in-place" || (yield* rename(slot, rotation))
    // It does not hold a rotation up for long.
    if (!renamed && rotation.attempts < 5) return wait("ProviderUnavailable")
    if (rotation.kind === "replace" && rotation.promotedAt === undefined) return ended("contained")
    return nextOf(rotation)
  })

  /** Takes orphans out of the ledger that a person has removed: the list shows the slot's own key, and not them. */
  const forget = Effect.fnUntraced(function* (slot: Slot): Effect.fn.Return<void, Failure> {
    const unreachable = slot.orphans.filter(({ ref }) => Option.isNone(ref))
    if (unreachable.length === 0) return
    const listed = new Set(yield* Stream.runCollect(Stream.map(keys.list(), ({ handle }) => handle)))
    if (!listed.has(slot.current.handle)) return
    yield* Effect.forEach(
      unreachable.filter(({ handle }) => !listed.has(handle)),
      ({ handle }) => vault.closeOrphan(id, handle)
    )
  })

  /** Takes the marker off the new key's name, which is for people; whether it is off. */
  const rename = ({ current }: Slot, { before }: RotationRecord): Effect.Effect<boolean> =>
    Effect.gen(function* () {
      const key = yield* find(current.ref)
      const name = Option.getOrUndefined(Option.flatMap(key, (found) => found.name))
      const bare = name === undefined || markerOf(name) === undefined ? "" : (before?.name ?? unmarkedName(name))
      if (bare !== "") yield* keys.patch(current.ref, { name: bare })
      return true
    }).pipe(Effect.catchTag("ApiKeyError", () => Effect.succeed(false)))

  const steps: { readonly [S in Step]: (slot: Slot, rotation: RotationRecord) => Attempt } = {
    contain,
    mint: (slot, rotation) => (rotation.strategy === "in-place" ? inPlace(slot, rotation) : successor(slot, rotation)),
    activate,
    verify: verifyNew,
    promote,
    overlap,
    retire,
    sweep
  }

  return {
    attempt: Effect.fnUntraced(function* (slot: Slot, rotation: RotationRecord): Effect.fn.Return<StepEnd, Failure> {
      // A key is only ever touched under the account that it was recorded for.
      if (keys.provider !== slot.provider || keys.account !== slot.providerAccount) return wait("WrongAccount")
      held = slot
      const end = yield* steps[rotation.step](slot, rotation)
      return end._tag === "End" && !(yield* isOurs) ? again : end
    }),
    /** {@link sweep} outside of a rotation. */
    sweep
  }
}

const decodeSpec = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** What a key is minted anew from. It was written by us, and core checks it like any other before anything is sent. */
const specOf = ({ spec }: Before): KeySpec | undefined => Option.getOrUndefined(decodeSpec(spec)) as KeySpec | undefined
