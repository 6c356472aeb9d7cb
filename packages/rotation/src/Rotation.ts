/**
 * Rotations that survive crashes: the service over a vault and an engine.
 *
 * What a rotation has done and has to do is in the vault; the engine only sees to it that someone goes on with it. Every step
 * may be done twice, and by two machines at once: the vault takes the key of one.
 *
 * @since 0.1.0
 */
import type { KeyRef } from "@effect-api-keys/core/ApiKey"
import { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import type { ApiKeyService, EachCan } from "@effect-api-keys/core/ApiKeyService"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import * as Accounts from "./internal/accounts.ts"
import * as Attempt from "./internal/attempt.ts"
import * as Failure from "./internal/failure.ts"
import * as Options from "./internal/options.ts"
import * as Scheduler from "./internal/schedule.ts"
import * as Steps from "./internal/steps.ts"
import { isEnded, isHeld } from "./internal/transitions.ts"
import * as Watch from "./internal/watch.ts"
import * as Workflow from "./internal/workflow.ts"
import { KeyVault } from "./KeyVault.ts"
import { RotationError } from "./RotationError.ts"
import type { RotationEvent } from "./RotationEvent.ts"
import * as RotationPlan from "./RotationPlan.ts"
import type { ScheduleOptions } from "./RotationSchedule.ts"
import type { RotationRecord, Slot, Step } from "./Slot.ts"
import { VaultError } from "./VaultError.ts"
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
   * or takes more than 30 seconds, rotations wait, and it is tried again.
   */
  readonly keys: Layer.Layer<ApiKeyService | EachCan<Needs>, unknown, R>
  /** `"none"` is written out: a new key is then promoted untried, on the vendor's word alone. */
  readonly verify: "none" | Verify<R>
}

/**
 * What the layer and the probe of an account need.
 *
 * @since 0.1.0
 * @category models
 */
export type AccountServices<A> = A extends Account<infer R> ? R : never

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
  /** Names the rotation; starting it again under the name of the slot's last one changes nothing. A random one unless given. */
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
 * - `unreadable`: what the vault holds of the slot cannot be opened, and nothing else is known of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attention extends SlotId, Pick<Slot, "rotation" | "orphans" | "intents"> {
  readonly reasons: ReadonlyArray<"orphan" | "intent" | "overdue" | "unreadable">
}

/**
 * Rotates keys, one rotation a slot at a time, each to its end whatever happens to the process.
 *
 * **Details**
 *
 * Every operation works on every machine that has the vault and the engine, wherever the rotation itself is executed. None
 * waits for a vendor but `adopt` and `settle`. They fail with {@link RotationError} alone: `NotFound` where there is no such
 * slot, `UnknownAccount` where `accounts` gives none of its name or the layer cannot be built, `Unavailable` where the vault
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
    ) => Effect.Effect<RotationPlan.RotationPlan, RotationError>
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
     * Takes in a key that exists already. It is read at the vendor first. `replace` puts it in the place of one that someone
     * rotated or deleted; otherwise a slot that holds another key is `Taken`.
     */
    readonly adopt: (
      id: SlotId,
      key: { readonly ref: KeyRef; readonly secret?: Redacted.Redacted<string> | undefined },
      options?: { readonly replace?: boolean | undefined }
    ) => Effect.Effect<Slot, RotationError>
    /**
     * A key leaked: shuts it off first, by the best means that the vendor has, and then replaces it. Given the leaked string,
     * it looks for the slots that hold it, and starts in all of them before it says which could not be; `NoMatch` where none
     * does. A rotation that is under way is taken over, and its overlap cut short. Give a `rotationId` where it may be asked for
     * twice.
     */
    readonly revokeAndReplace: (
      leaked: SlotId | Redacted.Redacted<string>,
      options?: Pick<StartOptions, "rotationId">
    ) => Effect.Effect<ReadonlyArray<Progress>, RotationError>
    /**
     * A person has dealt with an orphan: takes it out of the ledger, by its handle. One whose address is known is shut off at the
     * vendor first, unless the slot uses it again, or `keep` says that it is left alive on purpose. Takes the `marker` of an
     * intent as well, once its rotation has ended; `InProgress` before.
     */
    readonly settle: (
      id: SlotId,
      handle: string,
      options?: { readonly keep?: boolean | undefined }
    ) => Effect.Effect<Slot, RotationError>
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
    Effect.map(make(options), ({ rotation, watch, workflow }) =>
      // The watch begins when the workflow is known: before, it would find nobody to go on with anything.
      Layer.effectDiscard(Effect.forkScoped(watch)).pipe(
        Layer.provideMerge(workflow),
        Layer.provideMerge(Layer.succeed(Rotation, rotation))
      )
    )
  )

const progressOf = (slot: Slot, rotation: RotationRecord): Progress => {
  const { before: _before, retiring: _retiring, ...rest } = rotation
  return {
    ...rest,
    slotId: { account: slot.account, slot: slot.slot },
    steps: Steps.order(rotation.kind, rotation.strategy),
    handle: slot.current.handle
  }
}

/** How often the vault is asked for the end of a rotation, which may be a day away. */
const looks = Schedule.min([Schedule.exponential("250 millis", 1.5), Schedule.spaced("5 seconds")])

/** How many rotations of leaked keys are started at once. */
const incidentConcurrency = 10

const readOptions = Effect.fnUntraced(function* <R>(options: RotationOptions<R>) {
  const { overlap = "24 hours", overdueAfter = "1 hour", maxMints = 5, lateArrival = "15 minutes" } = options
  const { propagation = "1 minute", takeover = "1 minute", timeout = "30 seconds", watch = "5 minutes" } = options
  const limits: Attempt.Limits = {
    maxMints: yield* Options.count("layer", "maxMints", maxMints),
    lateArrival: yield* Options.millis("layer", "lateArrival", lateArrival),
    propagation: yield* Options.millis("layer", "propagation", propagation),
    overdueAfter: yield* Options.millis("layer", "overdueAfter", overdueAfter, "endless")
  }
  return {
    limits,
    overlap: yield* Options.duration("layer", "overlap", overlap),
    timeout: yield* Options.duration("layer", "timeout", timeout),
    takeover: yield* Options.duration("layer", "takeover", takeover),
    watch: yield* Options.duration("layer", "watch", watch, "pause")
  }
})

const make = Effect.fnUntraced(function* <R>(options: RotationOptions<R>): Effect.fn.Return<
  {
    readonly rotation: Rotation["Service"]
    readonly watch: Effect.Effect<void>
    readonly workflow: Layer.Layer<never, never, WorkflowEngine>
  },
  RotationError,
  KeyVault | WorkflowEngine | R | Scope.Scope
> {
  const { limits, overlap, takeover, timeout, watch } = yield* readOptions(options)
  const vault = yield* KeyVault
  const accounts = yield* Accounts.make(options.accounts)
  const executions = yield* Workflow.executions
  const events = yield* Effect.acquireRelease(PubSub.sliding<RotationEvent>(1024), PubSub.shutdown)
  const advance = Attempt.make({ vault, accounts, limits, publish: (event) => PubSub.publish(events, event) })

  const read = (operation: string, id: SlotId) => Failure.translate(operation, id)(vault.read(id))

  /** Has a rotation executed that is written down. */
  const execute = (operation: string, id: SlotId, rotation: RotationRecord) =>
    Effect.catchCause(executions.execute(id, rotation), () => {
      const detail = "the rotation is written down, and the engine did not take it: `resume` it, or wait for the watch"
      return Effect.fail(Failure.make(operation, "Unavailable", id, detail))
    })

  const noRotation = (operation: string, id: SlotId) =>
    Failure.make(operation, "NotOpen", id, "no rotation of this slot is under way")

  const readStart = Effect.fnUntraced(function* (operation: string, given: StartOptions) {
    if (given.rotationId !== undefined) yield* Options.name(operation, "rotationId", given.rotationId)
    return {
      id: given.rotationId ?? SecureRandom.uuidV4Unsafe(),
      overlap: yield* Options.millis(operation, "overlap", given.overlap ?? overlap),
      acknowledgement: given.acknowledgement === true
    }
  })

  const start = Effect.fnUntraced(function* (
    operation: string,
    id: SlotId,
    kind: RotationRecord["kind"],
    given: StartOptions,
    leaked?: string
  ): Effect.fn.Return<Progress, RotationError> {
    const asked = yield* readStart(operation, given)
    const { keys } = yield* Effect.scoped(accounts.open(operation, id))
    const { provider, providerAccount } = yield* read(operation, id)
    if (keys.provider !== provider || keys.account !== providerAccount) {
      const detail = `the slot's key is of ${provider}, account ${providerAccount}, and the account's layer is not`
      return yield* Failure.make(operation, "WrongAccount", id, detail)
    }
    const strategy = RotationPlan.strategyOf(keys.supports, kind)
    const [step = "mint"] = Steps.order(kind, strategy)
    const begin = vault.begin(id, { ...asked, kind, strategy, step, ...(leaked === undefined ? {} : { leaked }) })
    // What is written down is executed, also where the caller does not wait for it.
    return yield* Effect.uninterruptible(
      Effect.flatMap(Failure.translate(operation, id)(begin), (slot) =>
        Option.match(slot.rotation, {
          onNone: () => Effect.fail(noRotation(operation, id)),
          onSome: (rotation) =>
            Effect.as(isEnded(rotation) ? Effect.void : execute(operation, id, rotation), progressOf(slot, rotation))
        })
      )
    )
  })

  /** Sees to it that someone goes on with a rotation; `nudge` cuts its pause short. */
  const resume = Effect.fnUntraced(function* (id: SlotId, nudge: boolean): Effect.fn.Return<Progress, RotationError> {
    const slot = yield* read("resume", id)
    const rotation = Option.getOrUndefined(slot.rotation)
    if (rotation === undefined || isEnded(rotation)) return yield* noRotation("resume", id)
    switch (yield* executions.stateOf(id, rotation)) {
      case "unknown":
        yield* execute("resume", id, rotation)
        break
      case "asleep":
        if (nudge) yield* executions.wake(id, rotation)
        break
      case "lost": {
        const again = yield* vault.rerun(id, rotation.id, rotation.run + 1).pipe(
          // It came to its end between the two looks.
          Effect.catchIf(VaultError.is("Fenced"), () => vault.read(id)),
          Failure.translate("resume", id)
        )
        const next = Option.getOrElse(again.rotation, () => rotation)
        if (!isEnded(next)) yield* execute("resume", id, next)
        return progressOf(again, next)
      }
    }
    return progressOf(slot, rotation)
  })

  const acknowledge: Rotation["Service"]["acknowledge"] = Effect.fnUntraced(function* (id, rotationId) {
    const before = yield* read("acknowledge", id)
    const last = Option.getOrUndefined(Option.filter(before.rotation, (rotation) => rotation.id === rotationId))
    if (last === undefined) {
      return yield* Failure.make("acknowledge", "Fenced", id, "the slot's last rotation is not this one")
    }
    if (isEnded(last)) return progressOf(before, last)
    if (last.promotedAt === undefined) {
      return yield* Failure.make("acknowledge", "NotOpen", id, "the new key is not the current one yet")
    }
    const slot = yield* vault.acknowledge(id, rotationId).pipe(
      Effect.catchIf(VaultError.is("Fenced"), () => vault.read(id)),
      Failure.translate("acknowledge", id)
    )
    const rotation = Option.getOrElse(slot.rotation, () => last)
    if (rotation.step === "overlap" && !isEnded(rotation)) yield* executions.wake(id, rotation)
    return progressOf(slot, rotation)
  })

  const revokeAndReplace: Rotation["Service"]["revokeAndReplace"] = Effect.fnUntraced(function* (leaked, given = {}) {
    const operation = "revokeAndReplace"
    if (!Redacted.isRedacted(leaked)) return [yield* start(operation, leaked, "replace", given)]
    yield* readStart(operation, given)
    const found = yield* Failure.translate(operation)(vault.match(leaked))
    if (found.length === 0) {
      const detail = "no slot holds this string: shut the key off with `ApiKeyService`"
      return yield* Failure.make(operation, "NoMatch", undefined, detail)
    }
    const [started, failed] = yield* Effect.partition(
      found,
      ({ handle, id }) => start(operation, id, "replace", given, handle),
      { concurrency: incidentConcurrency }
    )
    const [first] = failed
    if (first === undefined) return started
    const { account = "", detail = first.problem, problem, slot = "" } = first
    const others = failed.slice(1).map((error) => `${error.account}/${error.slot}`)
    const also = others.length === 0 ? "" : `, and not in ${others.join(", ")} either`
    const summary = `${detail} (started in ${started.length} of ${found.length} slots${also})`
    return yield* Failure.make(operation, problem, { account, slot }, summary)
  })

  /** Shuts an orphan off, if the vendor still knows it. */
  const shutOff = Effect.fnUntraced(function* (
    id: SlotId,
    ref: KeyRef
  ): Effect.fn.Return<void, RotationError, Scope.Scope> {
    const { keys } = yield* accounts.open("settle", id)
    yield* keys.revoke(ref).pipe(
      Effect.catchIf(ApiKeyError.is("KeyNotFound"), () => Effect.void),
      Failure.translate("settle", id)
    )
  })

  const settle: Rotation["Service"]["settle"] = Effect.fnUntraced(function* (id, handle, { keep = false } = {}) {
    const slot = yield* read("settle", id)
    const orphan = slot.orphans.find((candidate) => candidate.handle === handle)
    const intent = slot.intents.find((candidate) => candidate.intent.marker === handle)
    if (intent !== undefined) {
      if (Option.exists(slot.rotation, (rotation) => !isEnded(rotation))) {
        return yield* Failure.make("settle", "InProgress", id, "the rotation still looks for what became of this mint")
      }
      return yield* Failure.translate("settle", id)(vault.closeIntent(id, handle))
    }
    const ref = orphan === undefined ? undefined : Option.getOrUndefined(orphan.ref)
    if (ref !== undefined && !keep && !isHeld(slot, { ref })) yield* Effect.scoped(shutOff(id, ref))
    return yield* Failure.translate("settle", id)(vault.closeOrphan(id, handle))
  })

  const attentionTo = (found: Result.Result<Slot, VaultError>, now: number): Attention => {
    if (Result.isFailure(found)) {
      const { account = "", slot = "" } = found.failure
      return { account, slot, reasons: ["unreadable"], rotation: Option.none(), orphans: [], intents: [] }
    }
    const { account, intents, orphans, rotation, slot } = found.success
    const last = Option.getOrUndefined(rotation)
    const running = last !== undefined && !isEnded(last)
    const lost = intents.some(({ recordedAt, state }) => state === "open" && now >= recordedAt + limits.lateArrival)
    return {
      account,
      slot,
      rotation,
      orphans,
      intents,
      reasons: [
        ...(orphans.length > 0 ? (["orphan"] as const) : []),
        ...(!running && lost ? (["intent"] as const) : []),
        ...(running && (last.overdue || Attempt.isLate(last, limits, now)) ? (["overdue"] as const) : [])
      ]
    }
  }

  const attention: Rotation["Service"]["attention"] = (filter = {}) =>
    Stream.unwrap(
      Effect.map(Clock.currentTimeMillis, (now) =>
        vault.scan({ ...filter, open: true }).pipe(
          Stream.map((found) => attentionTo(found, now)),
          Stream.filter(({ reasons }) => reasons.length > 0),
          Stream.mapError((error) => Failure.make("attention", error.problem))
        )
      )
    )

  const rotation: Rotation["Service"] = {
    plan: Effect.fnUntraced(function* (id, { kind = "rotate", ...given } = {}) {
      const kept = yield* Options.duration("plan", "overlap", given.overlap ?? overlap)
      const { keys, verify } = yield* Effect.scoped(accounts.open("plan", id))
      return RotationPlan.make(keys.supports, { kind, overlap: kept, verified: verify !== "none", timeout, takeover })
    }),
    start: (id, given = {}) => start("start", id, "rotate", given),
    poll: (id) => Effect.map(read("poll", id), (slot) => Option.map(slot.rotation, (last) => progressOf(slot, last))),
    awaitEnd: (id) =>
      Effect.flatMap(read("awaitEnd", id), (slot) =>
        Option.match(slot.rotation, {
          onNone: () => Effect.fail(Failure.make("awaitEnd", "NotOpen", id, "there was no rotation of this slot")),
          onSome: (last) => Effect.succeed(progressOf(slot, last))
        })
      ).pipe(
        Effect.retry({ while: RotationError.is("Unavailable"), schedule: looks }),
        Effect.repeat({ until: ({ outcome }) => outcome !== undefined, schedule: looks })
      ),
    resume: (id) => resume(id, true),
    acknowledge,
    adopt: Effect.fnUntraced(function* (id, { ref, secret }, given) {
      const { keys } = yield* accounts.open("adopt", id)
      yield* Failure.translate("adopt", id)(keys.get(ref))
      return yield* Failure.translate(
        "adopt",
        id
      )(vault.adopt(id, { ref, handle: keys.handle(ref), ...(secret === undefined ? {} : { secret }) }, given))
    }, Effect.scoped),
    revokeAndReplace,
    settle,
    attention,
    events: Stream.fromPubSub(events),
    schedule: (given) =>
      Scheduler.run(
        {
          vault,
          check: (options) => readStart("schedule", options),
          start: (id, options) => start("schedule", id, "rotate", options)
        },
        given
      )
  }
  return {
    rotation,
    watch: Watch.run({ vault, accounts, limits, every: watch, resume: (id) => resume(id, false) }),
    workflow: Workflow.layer(advance, vault, executions)
  }
})
