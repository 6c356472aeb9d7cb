/**
 * What a vault holds of one credential: its keys, the rotation that is running, and the ledger of what is not settled.
 *
 * @since 0.1.0
 */
import type { IssuedKey, KeyRef } from "@effect-api-keys/core/ApiKey"
import { ApiKeyErrorReason } from "@effect-api-keys/core/ApiKeyError"
import { MintIntent } from "@effect-api-keys/core/Recovery"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { VaultProblem } from "./VaultError.ts"
import type { SlotId } from "./VaultStore.ts"

/** A point in time, in milliseconds since 1970. */
const Millis = Schema.Finite

/**
 * One step of a rotation.
 *
 * **Details**
 *
 * - `contain`: shut off what leaked, before anything else (`revokeAndReplace` alone).
 * - `mint`: mint the new key and put it into the vault as pending.
 * - `activate`: bring a successor that was minted switched off to the old key's status.
 * - `verify`: ask the program's probe whether the new key works.
 * - `promote`: the pending key becomes the current one.
 * - `overlap`: leave the old key alive for those who still use it.
 * - `retire`: shut the old key off.
 * - `sweep`: look for what lost mints have left behind.
 *
 * @since 0.1.0
 * @category models
 */
export const Step = Schema.Literals(["contain", "mint", "activate", "verify", "promote", "overlap", "retire", "sweep"])

/**
 * One step of a rotation.
 *
 * @since 0.1.0
 * @category models
 */
export type Step = typeof Step.Type

/**
 * How a rotation gets a new key.
 *
 * **Details**
 *
 * - `in-place`: the vendor gives the same key a new secret, and the old one is dead at once.
 * - `successor`: a copy of the old key is minted beside it, and the old key is shut off later.
 * - `recreate`: the old key is gone already (an incident at a vendor that can only delete), and its settings are minted anew.
 *
 * @since 0.1.0
 * @category models
 */
export const Strategy = Schema.Literals(["in-place", "successor", "recreate"])

/**
 * How a rotation gets a new key.
 *
 * @since 0.1.0
 * @category models
 */
export type Strategy = typeof Strategy.Type

/**
 * How a rotation ended.
 *
 * **Details**
 *
 * - `completed`: the new key is the current one, and the old one is off.
 * - `superseded`: someone disabled, changed, rotated or deleted the key meanwhile, or a later rotation took over.
 * - `contained`: what leaked is off, as far as the vendor says, and nothing was to be minted, or could be; `problem` says why.
 * - `failed`: it cannot go on without a change; the current key was left as it was. Start another when that is mended.
 *
 * @since 0.1.0
 * @category models
 */
export const Outcome = Schema.Literals(["completed", "superseded", "contained", "failed"])

/**
 * How a rotation ended.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = typeof Outcome.Type

/**
 * Why a step waits or a rotation stopped: the reason of an `ApiKeyError`, the problem of a `VaultError`, or one of our own.
 *
 * **Details**
 *
 * - `Disabled`, `Changed`, `Deleted`: what someone did with the old key.
 * - `Rejected`: the probe says that the new key does not work. `Unverified`: it cannot say. `ControlRejected`: it says so of
 *   the old key too, so that it proves nothing.
 * - `Masked`, `NotSeen`, `Undetermined`: a lost mint cannot be recovered yet.
 * - `TooManyMints`: as many keys were minted for this rotation as it may.
 * - `WrongAccount`: the account's layer is of another vendor or account than the slot's key. `UnknownAccount`: there is none.
 * - `Unacknowledged`: the overlap waits for the consumer.
 * - `Cancelled`: a person has stopped it.
 * - `Defect`: a bug, in this library or in a function it was given.
 *
 * @since 0.1.0
 * @category models
 */
export const Problem = Schema.Literals([
  ...ApiKeyErrorReason.members.map(({ fields }) => fields._tag.schema.literal),
  ...VaultProblem.literals,
  "Disabled",
  "Changed",
  "Deleted",
  "Rejected",
  "Unverified",
  "ControlRejected",
  "Masked",
  "NotSeen",
  "Undetermined",
  "TooManyMints",
  "WrongAccount",
  "UnknownAccount",
  "Unacknowledged",
  "Cancelled",
  "Defect"
])

/**
 * Why a step waits or a rotation stopped.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem = typeof Problem.Type

/**
 * A key that a vault holds.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeldKey {
  readonly ref: KeyRef
  /** None for a key that was taken in without it. */
  readonly secret: Option.Option<Redacted.Redacted<string>>
  readonly handle: string
  /** The epoch that put it here; 0 for a key that was taken in. */
  readonly epoch: number
  /** Since when it is here, in milliseconds since 1970. */
  readonly storedAt: number
}

/**
 * What is remembered of a key as it was when its rotation began.
 *
 * @since 0.1.0
 * @category models
 */
export const Before = Schema.Struct({
  handle: Schema.String,
  status: Schema.Literals(["active", "disabled", "suspended", "sandbox", "unknown"]),
  /** A hash of its status and settings: whether someone changed it meanwhile. */
  digest: Schema.String,
  name: Schema.optionalKey(Schema.String),
  /** What to mint it anew from, where the old key will not be there to be copied: a `KeySpec`, as JSON. */
  spec: Schema.optionalKey(Schema.String)
})

/**
 * What is remembered of a key as it was when its rotation began.
 *
 * @since 0.1.0
 * @category models
 */
export type Before = typeof Before.Type

/**
 * A rotation, as the vault records it; the last one of a slot stays after its end.
 *
 * @since 0.1.0
 * @category models
 */
export const RotationRecord = Schema.Struct({
  id: Schema.String,
  /** `replace` is that of `revokeAndReplace`. */
  kind: Schema.Literals(["rotate", "replace"]),
  strategy: Strategy,
  /** Which execution of the workflow this is, from 1: a further one is started where an execution was lost. */
  run: Schema.Int,
  startedAt: Millis,
  /** The step that is being done, or that it ended in. */
  step: Step,
  /** Since when it is being done, in milliseconds since 1970. */
  since: Millis,
  /** How often it was tried so far. */
  attempts: Schema.Int,
  /** Why the last attempt did not do. */
  problem: Schema.optionalKey(Problem),
  /** Whether the step takes longer than it should: someone should look. */
  overdue: Schema.Boolean,
  /** How many mints were sent, or may have been. */
  mints: Schema.Int,
  before: Schema.optionalKey(Before),
  /** The handle of the key that leaked, where that is known; else all of the slot's. */
  leaked: Schema.optionalKey(Schema.String),
  /** How long the old key is left alive, in milliseconds. */
  overlap: Millis,
  /** Whether the overlap ends only when the consumer says so. */
  acknowledgement: Schema.Boolean,
  acknowledged: Schema.Boolean,
  promotedAt: Schema.optionalKey(Millis),
  /** Whether the old key may have been shut off by us. */
  retiring: Schema.Boolean,
  endedAt: Schema.optionalKey(Millis),
  outcome: Schema.optionalKey(Outcome)
})

/**
 * A rotation, as the vault records it.
 *
 * @since 0.1.0
 * @category models
 */
export type RotationRecord = typeof RotationRecord.Type

/**
 * A mint that was announced before it was sent, and whose end is not settled.
 *
 * **Details**
 *
 * `landed` is one whose key is pending in the vault; it goes when the key is promoted or discarded.
 *
 * @since 0.1.0
 * @category models
 */
export const IntentRecord = Schema.Struct({
  intent: MintIntent,
  epoch: Schema.Int,
  rotationId: Schema.String,
  /** In milliseconds since 1970. */
  recordedAt: Millis,
  state: Schema.Literals(["open", "landed"])
})

/**
 * A mint that was announced before it was sent, and whose end is not settled.
 *
 * @since 0.1.0
 * @category models
 */
export type IntentRecord = typeof IntentRecord.Type

/**
 * A key at the vendor that this slot does not use, and that is to be shut off.
 *
 * **Details**
 *
 * One without a `ref` cannot be shut off through the vendor's interface: a person does it in the vendor's dashboard, and
 * then calls `Rotation.settle`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Orphan {
  readonly handle: string
  readonly ref: Option.Option<KeyRef>
  /** Whether the vendor shows it switched off. */
  readonly inert: boolean
  /** `lost`: minted, and its secret was lost. `unretired`: the old key of a rotation that stopped. `unclaimed`: minted and
   * not taken in. */
  readonly origin: "lost" | "unretired" | "unclaimed"
  readonly rotationId: string
  /** In milliseconds since 1970. */
  readonly foundAt: number
}

/**
 * One credential, as the vault holds it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Slot extends SlotId {
  /** The provider's id of the key's vendor, such as `jetemail`; every call of a rotation must go there. */
  readonly provider: string
  /** The account at the vendor, as the key's ref has it. */
  readonly providerAccount: string
  /** Goes up with every claim; who does not hold the latest one cannot put a key. */
  readonly epoch: number
  /** The key to use. */
  readonly current: HeldKey
  /** A key that was minted and is not to be used yet. */
  readonly pending: Option.Option<HeldKey>
  /** The key that was current before, until it is shut off. */
  readonly previous: Option.Option<HeldKey>
  readonly rotation: Option.Option<RotationRecord>
  readonly intents: ReadonlyArray<IntentRecord>
  readonly orphans: ReadonlyArray<Orphan>
}

/**
 * Whether the last rotation ended without a new key, and nobody has put another one in since: the current key may be off.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isStopped = ({ current, rotation }: Slot): boolean => {
  if (rotation._tag === "None") return false
  const { endedAt = 0, leaked, outcome, promotedAt } = rotation.value
  // Where it was another key that leaked, this one is as it was.
  const isCurrent = leaked === undefined || leaked === current.handle
  return (
    outcome !== undefined &&
    outcome !== "completed" &&
    promotedAt === undefined &&
    isCurrent &&
    current.storedAt <= endedAt
  )
}

/**
 * Whether something of this slot is not done.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isOpen = (slot: Slot): boolean =>
  slot.intents.length > 0 ||
  slot.orphans.length > 0 ||
  slot.pending._tag === "Some" ||
  slot.previous._tag === "Some" ||
  (slot.rotation._tag === "Some" && slot.rotation.value.outcome === undefined) ||
  isStopped(slot)

/**
 * What the vault keeps of a key that was just minted.
 *
 * @since 0.1.0
 * @category models
 */
export type NewKey = Pick<IssuedKey, "ref" | "handle" | "secret">
