import { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import type { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import { KeyVault } from "../KeyVault.ts"
import type { Progress, Rotation, RotationOptions, StartOptions } from "../Rotation.ts"
import { RotationError } from "../RotationError.ts"
import type { RotationEvent } from "../RotationEvent.ts"
import * as RotationPlan from "../RotationPlan.ts"
import type { RotationRecord, Slot } from "../Slot.ts"
import { VaultError } from "../VaultError.ts"
import type { SlotId } from "../VaultStore.ts"
import * as Accounts from "./accounts.ts"
import * as Attempt from "./attempt.ts"
import * as Attention from "./attention.ts"
import * as Failure from "./failure.ts"
import * as Options from "./options.ts"
import * as Scheduler from "./schedule.ts"
import { order } from "./steps/order.ts"
import { isAtRest, isEnded, isHeld } from "./transitions.ts"
import * as Watch from "./watch.ts"
import * as Workflow from "./workflow.ts"

const progressOf = (slot: Slot, rotation: RotationRecord): Progress => {
  const { before: _before, retiring: _retiring, ...rest } = rotation
  return {
    ...rest,
    slotId: { account: slot.account, slot: slot.slot },
    steps: order(rotation.kind, rotation.strategy),
    handle: slot.current.handle
  }
}

/** How often the vault is asked for the end of a rotation, which may be a day away. */
const looks = Schedule.min([Schedule.exponential("250 millis", 1.5), Schedule.spaced("5 seconds")])

/** How many rotations of leaked keys are started at once. */
const incidentConcurrency = 10

const readOptions = Effect.fnUntraced(function* <R>(options: RotationOptions<R>) {
  const { defaults } = Options
  const { overlap = defaults.overlap, overdueAfter = defaults.overdueAfter, maxMints = defaults.maxMints } = options
  const { lateArrival = defaults.lateArrival, propagation = defaults.propagation, watch = defaults.watch } = options
  const { takeover = defaults.takeover, timeout = defaults.timeout } = options
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

export interface Parts {
  readonly rotation: Rotation["Service"]
  /** What the engine is to know before anything is asked of it. */
  readonly workflow: Layer.Layer<never, never, WorkflowEngine>
  /** Goes on, once the workflow is known, with whatever nobody goes on with. */
  readonly watch: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* <R>(
  options: RotationOptions<R>
): Effect.fn.Return<Parts, RotationError, KeyVault | WorkflowEngine | R | Scope.Scope> {
  const { limits, overlap, takeover, timeout, watch } = yield* readOptions(options)
  const vault = yield* KeyVault
  const accounts = yield* Accounts.make(options.accounts)
  const executions = yield* Workflow.executions
  const events = yield* Effect.acquireRelease(PubSub.sliding<RotationEvent>(1024), PubSub.shutdown)
  const advance = Attempt.make({ vault, accounts, limits, publish: (event) => PubSub.publish(events, event) })

  const read = (operation: string, id: SlotId) => Failure.translate(operation, id)(vault.read(id))

  /** Asks the engine, whose failures are defects: what was asked for is written down, and the watch comes back to it. */
  const ofEngine =
    (operation: string, id: SlotId) =>
    <A>(effect: Effect.Effect<A>): Effect.Effect<A, RotationError> =>
      Effect.catchCause(effect, () => {
        const detail = "it is written down, and the engine did not take it: ask again, or wait for the watch"
        return Effect.fail(Failure.make(operation, "Unavailable", id, detail))
      })

  const execute = (operation: string, id: SlotId, rotation: RotationRecord) =>
    ofEngine(operation, id)(executions.execute(id, rotation))

  const wake = (operation: string, id: SlotId, rotation: RotationRecord) =>
    ofEngine(operation, id)(executions.wake(id, rotation))

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
    const [step = "mint"] = order(kind, strategy)
    const begin = vault.begin(id, { ...asked, kind, strategy, step, ...(leaked === undefined ? {} : { leaked }) })
    // What is written down is executed, also where the caller does not wait for it.
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const slot = yield* Effect.catchIf(begin, VaultError.is("Taken"), () =>
          Effect.fail(
            Failure.make(operation, "Taken", id, "this is the name of another rotation: give a new `rotationId`")
          )
        ).pipe(Failure.translate(operation, id))
        const rotation = Option.getOrUndefined(slot.rotation)
        if (rotation === undefined) return yield* noRotation(operation, id)
        if (isEnded(rotation)) return progressOf(slot, rotation)
        // What leaked is shut off here and now: an engine may take minutes to find out that another machine is gone.
        const urgent = kind === "replace" && rotation.step === step && rotation.attempts === 0
        if (urgent) yield* Effect.exit(restore(advance(id, rotation.id)))
        yield* execute(operation, id, rotation)
        const now = urgent ? yield* Effect.orElseSucceed(vault.read(id), () => slot) : slot
        return progressOf(
          now,
          Option.getOrElse(now.rotation, () => rotation)
        )
      })
    )
  })

  /** Sees to it that someone goes on with a rotation; `nudge` cuts its pause short. */
  const resume = Effect.fnUntraced(function* (id: SlotId, nudge: boolean): Effect.fn.Return<Progress, RotationError> {
    const slot = yield* read("resume", id)
    const rotation = Option.getOrUndefined(slot.rotation)
    if (rotation === undefined || isEnded(rotation)) return yield* noRotation("resume", id)
    switch (yield* ofEngine("resume", id)(executions.stateOf(id, rotation))) {
      case "unknown":
        yield* execute("resume", id, rotation)
        break
      case "asleep":
        if (nudge) yield* wake("resume", id, rotation)
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
    if (last.promotedAt === undefined) {
      return yield* Failure.make("acknowledge", "NotOpen", id, "the new key is not the current one yet")
    }
    const slot = yield* vault.acknowledge(id, rotationId).pipe(
      Effect.catchIf(VaultError.is("Fenced"), () => vault.read(id)),
      Failure.translate("acknowledge", id)
    )
    const rotation = Option.getOrElse(slot.rotation, () => last)
    if (rotation.step === "overlap" && !isEnded(rotation)) yield* wake("acknowledge", id, rotation)
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
    // One that is held twice is in the first place the current one.
    const slots = found.filter(
      ({ id }, index) =>
        index === found.findIndex((match) => match.id.account === id.account && match.id.slot === id.slot)
    )
    const [answers, failed] = yield* Effect.partition(
      slots,
      ({ handle, id, role }) =>
        // Nobody uses an orphan: it is shut off, and whatever the slot is at goes on.
        role === "orphan"
          ? Effect.as(settleOrphan(operation, id, handle), Option.none<Progress>())
          : Effect.asSome(start(operation, id, "replace", given, handle)),
      { concurrency: incidentConcurrency }
    )
    const started = answers.flatMap(Option.toArray)
    const [first] = failed
    if (first === undefined) return started
    const { account = "", detail = first.problem, problem, slot = "" } = first
    const others = failed.slice(1).map((error) => `${error.account}/${error.slot}`)
    const also = others.length === 0 ? "" : `, and not in ${others.join(", ")} either`
    const summary = `${detail} (done in ${answers.length} of ${slots.length} slots${also})`
    return yield* Failure.make(operation, problem, { account, slot }, summary)
  })

  /** Whether the same credential sees the slot's own key: else a vendor's "not found" says nothing. */
  const seesOwnKey = (operation: string, id: SlotId, keys: ApiKeyService["Service"], { current }: Slot) =>
    keys.get(current.ref).pipe(Effect.asVoid, Failure.translate(operation, id))

  /** Shuts off an orphan whose address is known, and takes it out of the ledger. */
  const settleOrphan = Effect.fnUntraced(function* (
    operation: string,
    id: SlotId,
    handle: string,
    keep = false
  ): Effect.fn.Return<Slot, RotationError> {
    const slot = yield* read(operation, id)
    const orphans = slot.orphans.filter((candidate) => candidate.handle === handle)
    if (orphans.length === 0) {
      const detail = "the slot has no orphan of this handle, and no intent of this marker: `attention` lists them"
      return yield* Failure.make(operation, "NotFound", id, detail)
    }
    const live = orphans.flatMap(({ ref }) => Option.toArray(ref)).filter((ref) => !keep && !isHeld(slot, { ref }))
    yield* Effect.scoped(
      Effect.forEach(live, (ref) =>
        Effect.flatMap(accounts.open(operation, id), ({ keys }) =>
          keys.revoke(ref).pipe(
            Effect.asVoid,
            Failure.translate(operation, id),
            Effect.catchIf(RotationError.is("KeyNotFound"), () => seesOwnKey(operation, id, keys, slot))
          )
        )
      )
    )
    return yield* Failure.translate(operation, id)(vault.closeOrphan(id, handle))
  })

  const settle: Rotation["Service"]["settle"] = Effect.fnUntraced(function* (id, handle, { keep = false } = {}) {
    const slot = yield* read("settle", id)
    const found = slot.intents.find((candidate) => candidate.intent.marker === handle)
    if (found === undefined) return yield* settleOrphan("settle", id, handle, keep)
    const running = Option.exists(slot.rotation, (rotation) => !isEnded(rotation))
    const now = yield* Clock.currentTimeMillis
    if (running && now < found.recordedAt + limits.lateArrival) {
      return yield* Failure.make("settle", "InProgress", id, "the rotation still looks for what became of this mint")
    }
    const settled = yield* Failure.translate("settle", id)(vault.settleIntent(id, handle))
    // What it waited for is said.
    if (running) yield* Effect.ignore(resume(id, true))
    return settled
  })

  const remove: Rotation["Service"]["remove"] = Effect.fnUntraced(function* (id, { keep = false } = {}) {
    const slot = yield* read("remove", id)
    const { ref } = slot.current
    if (!isAtRest(slot)) {
      const detail = "a rotation is under way, or the ledger is not empty: `attention` says what waits"
      return yield* Failure.make("remove", "InProgress", id, detail)
    }
    if (!keep) {
      const { keys } = yield* accounts.open("remove", id)
      yield* Failure.translate("remove", id)(keys.revoke(ref))
    }
    yield* Failure.translate("remove", id)(vault.remove(id, ref))
  }, Effect.scoped)

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
    cancel: Effect.fnUntraced(function* (id, rotationId) {
      const slot = yield* Failure.translate("cancel", id)(vault.cancel(id, rotationId))
      return yield* Option.match(slot.rotation, {
        onNone: () => Effect.fail(noRotation("cancel", id)),
        onSome: (last) => Effect.succeed(progressOf(slot, last))
      })
    }),
    adopt: Effect.fnUntraced(function* (id, { ref, secret }, given) {
      const { keys } = yield* accounts.open("adopt", id)
      yield* Failure.translate("adopt", id)(keys.get(ref))
      const key = { ref, handle: keys.handle(ref), ...(secret === undefined ? {} : { secret }) }
      const replaced = given?.replace === true ? yield* Effect.option(vault.read(id)) : Option.none()
      const slot = yield* Failure.translate("adopt", id)(vault.adopt(id, key, given))
      const orphan = Option.flatMap(replaced, ({ current }) =>
        Option.fromUndefinedOr(slot.orphans.find(({ handle }) => handle === current.handle))
      )
      if (Option.isNone(orphan) || Option.isNone(orphan.value.ref)) return slot
      // The new key is seen, so "not found" is true of the one that was there before.
      const old = yield* Effect.result(keys.get(orphan.value.ref.value))
      return Result.isFailure(old) && ApiKeyError.is("KeyNotFound")(old.failure)
        ? yield* Failure.translate("adopt", id)(vault.closeOrphan(id, orphan.value.handle))
        : slot
    }, Effect.scoped),
    revokeAndReplace,
    settle,
    remove,
    attention: (filter) => Attention.find(vault, limits, filter),
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
