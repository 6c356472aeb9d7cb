import type { MintIntent } from "@effect-api-keys/core/Recovery"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { HeldKey, IntentRecord, NewKey, Orphan, Outcome, Problem, RotationRecord, Slot, Step } from "../Slot.ts"
import type { VaultProblem } from "../VaultError.ts"

/** What becomes of a slot: the same one where there is nothing to write. */
export type Transition = (slot: Slot, now: number) => Result.Result<Slot, VaultProblem>

const done = (slot: Slot): Result.Result<Slot, VaultProblem> => Result.succeed(slot)
const refused = (problem: VaultProblem): Result.Result<Slot, VaultProblem> => Result.fail(problem)

export const isEnded = (rotation: RotationRecord): boolean => rotation.outcome !== undefined

/** Runs a transition of one rotation, which must be the one that the slot is in. */
const inRotation =
  (
    id: string,
    run: (slot: Slot, rotation: RotationRecord, now: number) => Result.Result<Slot, VaultProblem>
  ): Transition =>
  (slot, now) =>
    Option.isSome(slot.rotation) && slot.rotation.value.id === id && !isEnded(slot.rotation.value)
      ? run(slot, slot.rotation.value, now)
      : refused("Fenced")

/** Runs a transition of a rotation that has no key yet: who comes later than that mints for nobody. */
const inMint: typeof inRotation = (id, run) =>
  inRotation(id, (slot, rotation, now) => (rotation.step === "mint" ? run(slot, rotation, now) : refused("Fenced")))

const sameKey = (a: HeldKey, b: { readonly ref: HeldKey["ref"] }): boolean =>
  Redacted.value(a.ref.value) === Redacted.value(b.ref.value)

/** Whether a slot holds this key, and so nobody may shut it off but by the steps of its rotation. */
export const isHeld = (slot: Slot, key: { readonly ref: HeldKey["ref"] }): boolean =>
  [slot.current, ...Option.toArray(slot.pending), ...Option.toArray(slot.previous)].some((held) => sameKey(held, key))

/** Whether a slot holds its current key and no more, and nobody is about to change that. */
export const isAtRest = ({ intents, orphans, pending, previous, rotation }: Slot): boolean =>
  !Option.exists(rotation, (last) => !isEnded(last)) &&
  intents.length === 0 &&
  orphans.length === 0 &&
  Option.isNone(pending) &&
  Option.isNone(previous)

/** Why a slot is not forgotten; nothing where it may be. */
export const whyKept = (slot: Slot, ref: HeldKey["ref"]): VaultProblem | undefined => {
  if (!sameKey(slot.current, { ref })) return "Fenced"
  return isAtRest(slot) ? undefined : "InProgress"
}

export interface Begin {
  readonly id: string
  readonly kind: RotationRecord["kind"]
  readonly strategy: RotationRecord["strategy"]
  readonly step: Step
  readonly overlap: number
  readonly acknowledgement: boolean
  readonly leaked?: string
}

/** Whether a rotation that is asked for is the one that was asked for before under this name. */
const isSame = (last: RotationRecord, { kind, leaked }: Begin): boolean => last.kind === kind && last.leaked === leaked

/** Whether a rotation is replacing what is to be replaced: the slot's current key, and it has no new one yet. */
const isReplacing = ({ current }: Slot, running: RotationRecord, asked: Begin): boolean =>
  [running, asked].every(
    ({ kind, leaked }) => kind === "replace" && (leaked === undefined || leaked === current.handle)
  ) && running.promotedAt === undefined

/** Opens a rotation; one that replaces a leaked key takes the slot from any other, but from one that does just that. */
export const begin =
  (options: Begin): Transition =>
  (slot, now) => {
    const running = Option.filter(slot.rotation, (rotation) => !isEnded(rotation))
    if (Option.isSome(slot.rotation) && slot.rotation.value.id === options.id) {
      return isSame(slot.rotation.value, options) ? done(slot) : refused("Taken")
    }
    if (Option.isSome(running) && options.kind === "rotate") return refused("InProgress")
    if (Option.isSome(running) && isReplacing(slot, running.value, options)) return done(slot)
    const { leaked, ...rest } = options
    return done({
      ...slot,
      // Whoever was minting for the other rotation cannot put its key any more.
      epoch: Option.isSome(running) ? slot.epoch + 1 : slot.epoch,
      rotation: Option.some({
        ...rest,
        run: 1,
        startedAt: now,
        since: now,
        attempts: 0,
        overdue: false,
        mints: 0,
        acknowledged: false,
        retiring: false,
        ...(leaked === undefined ? {} : { leaked }),
        ...(options.kind === "replace" ? containedBefore(slot) : {})
      })
    })
  }

/**
 * What an earlier rotation knows of the current key, which it shut off and did not replace: the vendor shows it no more as it
 * was.
 */
const containedBefore = ({ rotation }: Slot): Partial<RotationRecord> => {
  const last = Option.getOrUndefined(rotation)
  if (last?.kind !== "replace" || last.promotedAt !== undefined || !last.retiring) return {}
  return { retiring: true, ...(last.before === undefined ? {} : { before: last.before }) }
}

/** Takes the next epoch: whoever holds an earlier one cannot put a key any more. */
export const claim = (id: string): Transition => inMint(id, (slot) => done({ ...slot, epoch: slot.epoch + 1 }))

/** Announces a mint, before it is sent. */
export const intend = (id: string, epoch: number, intent: MintIntent): Transition =>
  inMint(id, (slot, rotation, now) => {
    if (slot.epoch !== epoch) return refused("Fenced")
    // It was announced, and who did so did not hear of it.
    if (slot.intents.some((record) => record.intent.marker === intent.marker && record.epoch === epoch))
      return done(slot)
    const others = slot.intents.filter((record) => record.intent.marker !== intent.marker)
    return done({
      ...slot,
      rotation: Option.some({ ...rotation, mints: rotation.mints + 1 }),
      intents: [...others, { intent, epoch, rotationId: id, recordedAt: now, state: "open" }]
    })
  })

/** Takes an intent out of the ledger: nothing can come of it any more. */
export const closeIntent =
  (marker: string): Transition =>
  (slot) =>
    slot.intents.some(({ intent }) => intent.marker === marker)
      ? done({ ...slot, intents: slot.intents.filter(({ intent }) => intent.marker !== marker) })
      : done(slot)

/**
 * Takes an intent out of the ledger whose mint was not sent, for certain; where it had been sent `before`, in vain as far as is
 * known, it is as it was then.
 */
export const unsent = (id: string, marker: string, before?: IntentRecord): Transition =>
  inRotation(id, (slot, rotation) => {
    const is = slot.intents.find(({ intent }) => intent.marker === marker)
    if (is === undefined || is.epoch === before?.epoch) return done(slot)
    const others = slot.intents.filter((record) => record !== is)
    return done({
      ...slot,
      rotation: Option.some({ ...rotation, mints: rotation.mints - 1 }),
      intents: before === undefined ? others : [...others, before]
    })
  })

/**
 * Takes out of the ledger, on a person's word, a mint that nobody can tell the end of. Who may still be sending it cannot put
 * its key any more.
 */
export const settleIntent =
  (marker: string): Transition =>
  (slot) =>
    slot.intents.some(({ intent }) => intent.marker === marker)
      ? done({
          ...slot,
          epoch: slot.epoch + 1,
          intents: slot.intents.filter(({ intent }) => intent.marker !== marker)
        })
      : done(slot)

/**
 * Takes in a key, from whoever holds the latest epoch: as pending; or as the current one where it was rotated in place, for the
 * old one is dead by then, and whoever reads the slot is to find the one that works.
 */
export const put =
  (id: string, epoch: number, key: NewKey, marker: string): Transition =>
  (slot, now) =>
    // It was taken in, and its sender did not hear of it: others may have gone on with it since, to the end and beyond.
    isHeld(slot, key) ? done(slot) : takeIn(id, epoch, key, marker)(slot, now)

const takeIn = (id: string, epoch: number, key: NewKey, marker: string): Transition =>
  inMint(id, (slot, rotation, now) => {
    if (slot.epoch !== epoch || Option.isSome(slot.pending) || rotation.promotedAt !== undefined)
      return refused("Fenced")
    const held: HeldKey = { ref: key.ref, handle: key.handle, secret: Option.some(key.secret), epoch, storedAt: now }
    if (rotation.strategy !== "in-place") {
      const landed = (record: IntentRecord): IntentRecord =>
        record.intent.marker === marker ? { ...record, state: "landed" } : record
      return done({ ...slot, pending: Option.some(held), intents: slot.intents.map(landed) })
    }
    return done({
      ...slot,
      current: held,
      // A request to rotate the old one that is still on its way finds no key any more.
      intents: slot.intents.filter(({ intent }) => intent.identity === undefined),
      rotation: Option.some({ ...rotation, promotedAt: now })
    })
  })

const withoutLanded = (slot: Slot) => slot.intents.filter(({ state }) => state !== "landed")

/** Gives the pending key up: it goes into the ledger until it is off. Another key than this one stays. */
export const discardPending = (id: string, orphan: Orphan): Transition =>
  inRotation(id, (slot) => {
    const isIts = (key: HeldKey) => Option.exists(orphan.ref, (ref) => sameKey(key, { ref }))
    if (Option.exists(slot.pending, isIts)) {
      return done({
        ...slot,
        pending: Option.none(),
        intents: withoutLanded(slot),
        orphans: withOrphan(slot.orphans, orphan)
      })
    }
    return isIts(slot.current) || Option.exists(slot.previous, isIts) ? refused("Fenced") : done(slot)
  })

/** The pending key becomes the current one. */
export const promote = (id: string, epoch: number): Transition =>
  inRotation(id, (slot, rotation, now) => {
    if (Option.isNone(slot.pending)) {
      // This promotion has been made.
      return slot.current.epoch === epoch && rotation.promotedAt !== undefined ? done(slot) : refused("Fenced")
    }
    if (slot.pending.value.epoch !== epoch) return refused("Fenced")
    return done({
      ...slot,
      current: slot.pending.value,
      pending: Option.none(),
      // One that was deleted to contain a leak is of no use to anyone.
      previous: rotation.strategy === "successor" ? Option.some(slot.current) : Option.none(),
      intents: withoutLanded(slot),
      // One that an earlier rotation has left behind is still somewhere.
      orphans: Option.match(slot.previous, {
        onNone: () => slot.orphans,
        onSome: (left) => withOrphan(slot.orphans, unretired(left, id, now))
      }),
      rotation: Option.some({ ...rotation, promotedAt: now })
    })
  })

/** The previous key is off, or goes into the ledger. */
export const dropPrevious = (id: string, orphan?: Orphan): Transition =>
  inRotation(id, (slot) =>
    Option.isNone(slot.previous)
      ? done(slot)
      : done({
          ...slot,
          previous: Option.none(),
          orphans: orphan === undefined ? slot.orphans : withOrphan(slot.orphans, orphan)
        })
  )

/** A key that was to be used, and that nobody has shut off as far as is known. */
const unretired = ({ handle, ref }: HeldKey, rotationId: string, foundAt: number): Orphan => ({
  handle,
  ref: Option.some(ref),
  inert: false,
  origin: "unretired",
  rotationId,
  foundAt
})

/** Some vendors mask handles, so that several orphans may have one: they are the same where the address is, or the finding. */
const isSameOrphan = (a: Orphan, b: Orphan): boolean =>
  Option.isSome(a.ref) && Option.isSome(b.ref)
    ? Redacted.value(a.ref.value.value) === Redacted.value(b.ref.value.value)
    : a.handle === b.handle && a.rotationId === b.rotationId && a.foundAt === b.foundAt

const withOrphan = (orphans: ReadonlyArray<Orphan>, orphan: Orphan): ReadonlyArray<Orphan> => [
  ...orphans.filter((other) => !isSameOrphan(other, orphan)),
  orphan
]

/** Writes an orphan down, and takes the intent that it comes from out of the ledger. A key that the slot holds is none. */
export const addOrphan =
  (orphan: Orphan, marker?: string): Transition =>
  (slot) =>
    done({
      ...slot,
      orphans: Option.exists(orphan.ref, (ref) => isHeld(slot, { ref }))
        ? slot.orphans
        : withOrphan(slot.orphans, orphan),
      intents: slot.intents.filter(({ intent }) => intent.marker !== marker)
    })

/** Takes an orphan out of the ledger: it is gone. */
export const closeOrphan =
  (handle: string): Transition =>
  (slot) =>
    slot.orphans.some((orphan) => orphan.handle === handle)
      ? done({ ...slot, orphans: slot.orphans.filter((orphan) => orphan.handle !== handle) })
      : done(slot)

/** What a step may write down of its rotation. */
export type Notes = Partial<Pick<RotationRecord, "before" | "retiring" | "overdue">> & {
  readonly problem?: Problem | undefined
}

/**
 * Writes down what a step has found out. What the old key was is written once, and not after we may have shut it off: who reads
 * it later may see our own doing.
 */
export const note = (id: string, { before, problem, ...notes }: Notes): Transition =>
  inRotation(id, (slot, rotation) => {
    const { problem: _before, ...rest } = rotation
    return done({
      ...slot,
      rotation: Option.some({
        ...rest,
        ...notes,
        ...(before === undefined || rotation.before !== undefined || rotation.retiring ? {} : { before }),
        ...(problem === undefined ? {} : { problem })
      })
    })
  })

/** Counts an attempt that did not do. */
export const waited = (id: string, step: Step, problem: Problem, overdue: boolean): Transition =>
  inRotation(id, (slot, rotation) =>
    rotation.step === step
      ? done({
          ...slot,
          rotation: Option.some({
            ...rotation,
            attempts: rotation.attempts + 1,
            problem,
            overdue: rotation.overdue || overdue
          })
        })
      : done(slot)
  )

/** Goes on from one step to another; from a step that it is not in any more, nowhere. */
export const advance = (id: string, from: Step, to: Step): Transition =>
  inRotation(id, (slot, rotation, now) => {
    if (rotation.step !== from) return done(slot)
    const { problem: _problem, ...rest } = rotation
    return done({ ...slot, rotation: Option.some({ ...rest, step: to, since: now, attempts: 0, overdue: false }) })
  })

/** Ends a rotation. */
export const end =
  (id: string, outcome: Outcome, problem?: Problem): Transition =>
  (slot, now) =>
    Option.exists(slot.rotation, (rotation) => rotation.id === id && isEnded(rotation))
      ? done(slot)
      : inRotation(id, (open, rotation) => {
          const { problem: _before, ...rest } = rotation
          return done({
            ...open,
            rotation: Option.some({
              ...rest,
              outcome,
              endedAt: now,
              overdue: false,
              ...(problem === undefined ? {} : { problem })
            })
          })
        })(slot, now)

/**
 * Ends a rotation where it is, on a person's word. Whoever goes on with it is fenced, and keys beside the current one go into
 * the ledger.
 */
export const cancel = (id: string): Transition =>
  inRotation(id, (slot, rotation, now) => {
    const { problem: _before, ...rest } = rotation
    const pending = Option.map(slot.pending, (key): Orphan => ({ ...unretired(key, id, now), origin: "unclaimed" }))
    const previous = Option.map(slot.previous, (key) => unretired(key, id, now))
    return done({
      ...slot,
      epoch: slot.epoch + 1,
      pending: Option.none(),
      previous: Option.none(),
      intents: withoutLanded(slot),
      orphans: [...Option.toArray(pending), ...Option.toArray(previous)].reduce(withOrphan, slot.orphans),
      rotation: Option.some({ ...rest, outcome: "superseded", problem: "Cancelled", endedAt: now, overdue: false })
    })
  })

/** The consumer has the new key. */
export const acknowledge = (id: string): Transition =>
  inRotation(id, (slot, rotation) =>
    rotation.promotedAt === undefined
      ? refused("Fenced")
      : done({ ...slot, rotation: Option.some({ ...rotation, acknowledged: true }) })
  )

/** Counts an execution of the workflow, where an earlier one was lost. */
export const rerun = (id: string, run: number): Transition =>
  inRotation(id, (slot, rotation) =>
    rotation.run >= run ? done(slot) : done({ ...slot, rotation: Option.some({ ...rotation, run }) })
  )

/**
 * Takes in another key as the current one, where nothing is under way: the key was rotated or made anew by someone else. The one
 * that was current goes into the ledger: it may be alive.
 */
export const replaceCurrent =
  (key: HeldKey): Transition =>
  (slot, now) => {
    if (Option.exists(slot.rotation, (rotation) => !isEnded(rotation)) || Option.isSome(slot.pending)) {
      return refused("InProgress")
    }
    if (key.ref.provider !== slot.provider || key.ref.account !== slot.providerAccount) return refused("Taken")
    if (sameKey(slot.current, key)) return done(slot)
    const others = slot.orphans.filter(({ ref }) => !Option.exists(ref, (found) => sameKey(key, { ref: found })))
    const last = Option.getOrUndefined(slot.rotation)
    return done({
      ...slot,
      current: key,
      previous: Option.filter(slot.previous, (held) => !sameKey(held, key)),
      orphans: withOrphan(others, unretired(slot.current, last?.id ?? "", now)),
      // What it knows of the key that was current is not true of this one.
      rotation: Option.map(slot.rotation, ({ before: _before, ...rest }) => ({ ...rest, retiring: false }))
    })
  }
