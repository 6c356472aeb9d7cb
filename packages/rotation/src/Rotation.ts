/**
 * Rotations that survive crashes: the service over a vault and an engine.
 *
 * What a rotation has done and has to do is in the vault; the engine only sees to it that someone goes on with it. Every step
 * may be done twice, and by two machines at once: the vault takes the key of one.
 *
 * @since 0.1.0
 */
import type { KeyRef } from "@effect-api-keys/core/ApiKey"
import type { ApiKeyService, EachCan } from "@effect-api-keys/core/ApiKeyService"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import * as service from "./internal/service.ts"
import type { KeyVault } from "./KeyVault.ts"
import type { RotationError } from "./RotationError.ts"
import type { RotationEvent } from "./RotationEvent.ts"
import type { RotationPlan } from "./RotationPlan.ts"
import type { ScheduleOptions } from "./RotationSchedule.ts"
import type { RotationRecord, Slot, Step } from "./Slot.ts"
import type { SlotId } from "./VaultStore.ts"
import type { Verify } from "./Verify.ts"

export { RotationWorkflow } from "./internal/workflow.ts"

/**
 * What a rotation needs of a vendor.
 *
 * @since 0.1.0
 * @category models
 */
export type Needs = "get" | "list" | "rotate" | "revoke" | "prepare" | "recover"

/**
 * One account: whose keys they are, and how a new one is tried.
 *
 * @since 0.1.0
 * @category models
 */
export interface Account<out R = never> {
  /**
   * The vendor's layer for this account: built when it is first needed, and let go ten minutes after it was last. Where it fails,
   * or takes more than 30 seconds, rotations wait, and it is tried again. One whose credential the vendor refuses is built anew.
   */
  readonly keys: Layer.Layer<ApiKeyService | EachCan<Needs>, unknown, R>
  /**
   * The probe has what the account's layer gives: its client, say. `"none"` is written out: a new key is then promoted untried,
   * on the vendor's word alone.
   */
  readonly verify: "none" | Verify<R>
}

/**
 * What an account needs: its layer, and its probe beside that.
 *
 * @since 0.1.0
 * @category models
 */
export type AccountServices<A> = A extends {
  readonly keys: Layer.Layer<infer Given, unknown, infer OfLayer>
  readonly verify: infer V
}
  ? OfLayer | Exclude<V extends Verify<infer OfProbe> ? OfProbe : never, Given>
  : never

/**
 * The options of the rotation service.
 *
 * @since 0.1.0
 * @category models
 */
export interface RotationOptions<R = never> {
  /** The account of a slot, by its name; `undefined` for a name that there is none of. Asked again whenever one is opened. */
  readonly accounts: (name: string) => Account<R> | undefined
  /** How long an old key is left alive where `start` does not say; 24 hours unless given. */
  readonly overlap?: Duration.Input | undefined
  /** After how long a step that does not get on is reported overdue; an hour unless given. */
  readonly overdueAfter?: Duration.Input | undefined
  /** How many keys one rotation may mint at most; 5 unless given. */
  readonly maxMints?: number | undefined
  /** How long a request whose reply was lost may still arrive at the vendor; 15 minutes unless given. */
  readonly lateArrival?: Duration.Input | undefined
  /** How long a new key may be rejected before it is given up; a minute unless given. */
  readonly propagation?: Duration.Input | undefined
  /** How often the vault is looked through for rotations that nobody goes on with; 5 minutes unless given. */
  readonly watch?: Duration.Input | undefined
  /** How long one request takes at most, for `plan`; 30 seconds unless given. */
  readonly timeout?: Duration.Input | undefined
  /** How long it takes until another runner goes on with the work of one that was killed, for `plan`; a minute unless given. */
  readonly takeover?: Duration.Input | undefined
}

/**
 * The options of one rotation.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartOptions {
  /**
   * Names the rotation. Under the name of the slot's last one, asked for in the same way, nothing is changed; it is `Taken` for
   * anything else. A random one unless given.
   */
  readonly rotationId?: string | undefined
  /** How long the old key is left alive; at a vendor that rotates in place it is dead at once. */
  readonly overlap?: Duration.Input | undefined
  /**
   * Whether the old key is shut off only after `acknowledge`: it is never shut off by time alone then, and after `overlap`
   * reported overdue.
   */
  readonly acknowledgement?: boolean | undefined
}

/**
 * How far a rotation has got.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress extends Omit<RotationRecord, "before" | "retiring"> {
  readonly slotId: SlotId
  /** All steps, in order; `step` is one of them. */
  readonly steps: ReadonlyArray<Step>
  /** The handle of the key to use now. */
  readonly handle: string
}

/**
 * A slot in which something waits for a person.
 *
 * **Details**
 *
 * - `orphan`: there are keys at the vendor that the slot does not use; see `settle`.
 * - `intent`: the rotation has ended, and of a mint nobody can tell what became of it; see `settle`.
 * - `overdue`: the rotation waits longer than it should, or nobody goes on with it. `problem` of `rotation` says why.
 * - `stopped`: the last rotation ended without a new key, and nobody has put another in since: the current key may be off.
 *   `outcome` and `problem` of `rotation` say why. Another rotation, or `adopt` with `replace`, settles it.
 * - `unreadable`: what the vault holds of the slot cannot be opened, and nothing else is known of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attention extends SlotId, Pick<Slot, "rotation" | "orphans" | "intents"> {
  readonly reasons: ReadonlyArray<"orphan" | "intent" | "overdue" | "stopped" | "unreadable">
}

/**
 * Rotates keys, one rotation a slot at a time, each to its end whatever happens to the process.
 *
 * **Details**
 *
 * Every operation works on every machine that has the vault and the engine, wherever the rotation itself is executed. None
 * waits for a vendor but `adopt`, `settle`, `remove` and `revokeAndReplace`. They fail with {@link RotationError} alone: `NotFound` where there
 * is no such slot, `UnknownAccount` where `accounts` gives none of its name or the layer cannot be built, `Unavailable` where the vault
 * cannot be read or written.
 *
 * @since 0.1.0
 * @category services
 */
export class Rotation extends Context.Service<
  Rotation,
  {
    /** What a rotation of this slot will do; neither the vendor nor the vault is asked. */
    readonly plan: (
      id: SlotId,
      options?: Pick<StartOptions, "overlap"> & { readonly kind?: RotationRecord["kind"] }
    ) => Effect.Effect<RotationPlan, RotationError>
    /**
     * Starts a rotation, and does not wait for it; `InProgress` where another is under way, `WrongAccount` where the slot's key
     * is of another vendor or account. After `Unavailable` it may have been started: ask again with the same `rotationId`.
     */
    readonly start: (id: SlotId, options?: StartOptions) => Effect.Effect<Progress, RotationError>
    /** How far the last rotation of a slot has got; none where there was none. */
    readonly poll: (id: SlotId) => Effect.Effect<Option.Option<Progress>, RotationError>
    /**
     * Waits until the slot's rotation has ended, wherever it runs, and also while the vault is `Unavailable`; `NotOpen` where
     * there was none. Where another takes over it waits for that one.
     */
    readonly awaitEnd: (id: SlotId) => Effect.Effect<Progress, RotationError>
    /**
     * Sees to it that someone goes on with a rotation, now: a pause is cut short, and where its execution was lost another is
     * started. `NotOpen` where none is under way.
     */
    readonly resume: (id: SlotId) => Effect.Effect<Progress, RotationError>
    /**
     * The consumer has the new key: the overlap may end. May be repeated, also after the rotation has ended. `Fenced` where the
     * slot's last rotation is another one, `NotOpen` where the new key is not the current one yet, so that nobody can have it.
     */
    readonly acknowledge: (id: SlotId, rotationId: string) => Effect.Effect<Progress, RotationError>
    /**
     * Stops a rotation where it is, for good, as one that cannot get on: it ends as `superseded`, and the current key is what it
     * is. A new key that was not promoted is shut off later, by the watch; an old one that was not shut off goes into the ledger,
     * for `settle`. What of a mint is not known is still looked for. `Fenced` where the slot's rotation is another one, or has
     * ended.
     */
    readonly cancel: (id: SlotId, rotationId: string) => Effect.Effect<Progress, RotationError>
    /**
     * Takes in a key that exists already. It is read at the vendor first. `replace` puts it in the place of one that someone
     * rotated or deleted; where the vendor still knows that one, it goes into the ledger. Otherwise a slot that holds another
     * key is `Taken`.
     */
    readonly adopt: (
      id: SlotId,
      key: { readonly ref: KeyRef; readonly secret?: Redacted.Redacted<string> | undefined },
      options?: { readonly replace?: boolean | undefined }
    ) => Effect.Effect<Slot, RotationError>
    /**
     * A key leaked: shuts it off first, by the best means that the vendor has, and then replaces it. It does the first of that
     * itself, before it answers, whatever the engine is at: where the vendor does not do as it is told, `problem` says why, and
     * the engine goes on with it. Given the leaked string, it looks
     * for the slots that hold it, and starts in all of them before it says which could not be; `NoMatch` where none does. An
     * orphan is shut off, and no more. A rotation that is under way is taken over, and its overlap cut short, unless it replaces
     * that key already. Give a `rotationId` where it may be asked for twice; `Taken` where the slot's last rotation has it, and
     * is another.
     */
    readonly revokeAndReplace: (
      leaked: SlotId | Redacted.Redacted<string>,
      options?: Pick<StartOptions, "rotationId">
    ) => Effect.Effect<ReadonlyArray<Progress>, RotationError>
    /**
     * A person has dealt with an orphan: takes it out of the ledger, by its handle. One whose address is known is shut off at the
     * vendor first, unless the slot uses it again, or `keep` says that it is left alive on purpose. Takes the `marker` of an
     * intent as well: `InProgress` while its rotation goes on and the mint may still arrive (`lateArrival`). `NotFound` where
     * the ledger has neither.
     */
    readonly settle: (
      id: SlotId,
      handle: string,
      options?: { readonly keep?: boolean | undefined }
    ) => Effect.Effect<Slot, RotationError>
    /**
     * Nobody needs this credential any more: shuts its key off at the vendor, by the best means that there is, and forgets the slot.
     * `keep` leaves the key alive on purpose. `InProgress`, before anything is done, where a rotation is under way or the ledger
     * names a key or a mint: `cancel` and `settle` deal with those. `KeyNotFound` where the vendor does not know the key: where
     * that is true, and not of another account's credential, `keep` forgets the slot: so also where the key was shut off, and
     * the vault did not answer then.
     */
    readonly remove: (
      id: SlotId,
      options?: { readonly keep?: boolean | undefined }
    ) => Effect.Effect<void, RotationError>
    /** The slots in which something waits for a person. */
    readonly attention: (filter?: { readonly account?: string }) => Stream.Stream<Attention, RotationError>
    /**
     * What happens to rotations in this process, from now on, until the service is closed. A reader that falls 1024 events behind
     * loses the oldest, and holds nobody up.
     */
    readonly events: Stream.Stream<RotationEvent>
    /** Starts the rotation of every slot when it is due; runs until it is interrupted. */
    readonly schedule: (options: ScheduleOptions) => Effect.Effect<never, RotationError>
  }
>()("@effect-api-keys/rotation/Rotation") {
  /**
   * The service, over a vault and an engine: see `RotationEngine`.
   *
   * **Details**
   *
   * It needs whatever the layers and probes of the accounts need. An option that makes no sense is `Malformed`, and named. When
   * it is closed, a request that is on its way to a vendor is waited for.
   *
   * **Example** (In memory)
   *
   * ```ts no-run
   * import * as JetEmail from "@effect-api-keys/jetemail"
   * import { KeyVault, Rotation, RotationEngine, VaultStore } from "@effect-api-keys/rotation"
   * import * as Layer from "effect/Layer"
   * import * as Redacted from "effect/Redacted"
   *
   * const keys = JetEmail.layer({
   *   apiKey: Redacted.make("api_test_manager"),
   *   defaults: { domains: "any", ips: "any", quota: "unlimited" }
   * })
   * const sealingKeys = { current: "k1", keys: { k1: Redacted.make("YXBpX3Rlc3Rfc2VhbGluZ19rZXlfMzJfYnl0ZXNfISE=") } }
   *
   * export const RotationLive = Rotation.layer({
   *   accounts: (name) => (name === "jetemail" ? { keys, verify: "none" } : undefined)
   * }).pipe(
   *   Layer.provideMerge(KeyVault.layer({ sealingKeys })),
   *   Layer.provide([VaultStore.layerMemory, RotationEngine.layerMemory])
   * )
   * ```
   *
   * @since 0.1.0
   */
  static layer<A extends Account<unknown>>(
    options: Omit<RotationOptions, "accounts"> & { readonly accounts: (name: string) => A | undefined }
  ): Layer.Layer<Rotation, RotationError, KeyVault | WorkflowEngine | AccountServices<A>> {
    // `AccountServices<A>` is what every account that this function gives needs, by its definition.
    return layer(options as RotationOptions<AccountServices<A>>)
  }
}

const layer = <R>(options: RotationOptions<R>): Layer.Layer<Rotation, RotationError, KeyVault | WorkflowEngine | R> =>
  Layer.unwrap(
    Effect.map(service.make(options), ({ rotation, watch, workflow }) =>
      // The watch begins when the workflow is known: before, it would find nobody to go on with anything.
      Layer.effectDiscard(Effect.forkScoped(watch)).pipe(
        Layer.provideMerge(workflow),
        Layer.provideMerge(Layer.succeed(Rotation, rotation))
      )
    )
  )
