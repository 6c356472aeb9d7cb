import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, KeyRef, MintIntent, ProviderUnavailable } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import { isSweepDue } from "../src/internal/watch.ts"
import { attemptsPerRun } from "../src/internal/workflow.ts"
import { KeyVault } from "../src/KeyVault.ts"
import { NodeSqlite } from "../src/node/index.ts"
import { type Account, Rotation, type StartOptions } from "../src/Rotation.ts"
import * as RotationEngine from "../src/RotationEngine.ts"
import type { RotationError } from "../src/RotationError.ts"
import type { NewKey, Orphan } from "../src/Slot.ts"
import { VaultError } from "../src/VaultError.ts"
import { makeMemory, type SlotId, type VaultStore } from "../src/VaultStore.ts"
import { freshFile } from "./files.ts"
import {
  adopted,
  aliveIn,
  begun,
  breathe,
  fixture,
  hasEnded,
  id,
  isAt,
  isIn,
  mapKeys,
  openVault,
  pass,
  passing,
  problemOf,
  soon,
  stepOf,
  until,
  unwatched
} from "./fixture.ts"
import { names, type World } from "./support/vendors.ts"

/** How many keys work at the vendor. */
const countAlive = (world: World) => Effect.map(aliveIn(world), ({ length }) => length)

const rowsOf = (store: VaultStore["Service"]) => Stream.runCollect(store.list({}))

/** A store that can be cut off, or show nothing to whoever looks through it. */
const switchable = Effect.map(makeMemory, (memory) => {
  const down = { now: false, hidden: false }
  const through = <A>(operation: string, effect: Effect.Effect<A, VaultError>) =>
    Effect.suspend(() => (down.now ? Effect.fail(new VaultError({ operation, problem: "Unavailable" })) : effect))
  const store: VaultStore["Service"] = {
    ...memory,
    list: (filter) => Stream.suspend(() => (down.hidden ? Stream.empty : memory.list(filter))),
    read: (of) => through("read", memory.read(of)),
    write: (row) => through("write", memory.write(row))
  }
  return { down, store }
})

/** An account whose probe is what it is set to, until it is set to nothing. */
const probing =
  (say: { now: "rejected" | "unclear" | undefined }) =>
  (account: Account): Account => {
    const { verify } = account
    if (verify === "none") return account
    return {
      ...account,
      verify: (key) => Effect.suspend(() => (say.now === undefined ? verify(key) : Effect.succeed(say.now)))
    }
  }

class Tenant extends Context.Service<Tenant, string>()("test/Tenant") {}

/** The engine in memory, and another one in front of it. */
const engineOf = (
  change: (engine: WorkflowEngine["Service"]) => WorkflowEngine["Service"]
): Layer.Layer<WorkflowEngine> =>
  Layer.effect(WorkflowEngine, Effect.map(WorkflowEngine, change)).pipe(
    Layer.provide(Layer.fresh(RotationEngine.layerMemory))
  )

describe("a rotation", () => {
  it.effect("is started, looked at, and awaited", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("smtp2go")
      assert.isTrue(Option.isNone(yield* rotation.poll(id)))
      const { current } = yield* vault.read(id)
      const started = yield* rotation.start(id, { rotationId: "r1" })
      assert.strictEqual(started.id, "r1")
      assert.strictEqual(started.step, "mint")
      assert.strictEqual(started.handle, current.handle)
      assert.deepStrictEqual(started.slotId, id)
      assert.deepStrictEqual(started.steps, ["mint", "activate", "verify", "promote", "overlap", "retire", "sweep"])
      assert.notProperty(started, "before")
      const end = yield* passing(rotation.awaitEnd(id), { step: "1 minute" })
      assert.strictEqual(end.outcome, "completed")
      assert.strictEqual(end.mints, 1)
      assert.notStrictEqual(end.handle, current.handle)
      assert.deepStrictEqual(yield* rotation.poll(id), Option.some(end))
      assert.strictEqual(yield* countAlive(world), 1)
    })
  )

  it.effect("of the same name is the same one", () =>
    Effect.gen(function* () {
      const { rotation, world } = yield* adopted("voiceable")
      yield* rotation.start(id, { rotationId: "r1" })
      const again = yield* rotation.start(id, { rotationId: "r1", overlap: "1 day", acknowledgement: true })
      assert.isFalse(again.acknowledgement)
      assert.strictEqual(yield* problemOf(rotation.start(id, { rotationId: "r2" })), "InProgress")
      yield* until(hasEnded(rotation), { step: "10 minutes" })
      assert.strictEqual((yield* rotation.start(id, { rotationId: "r1" })).outcome, "completed")
      yield* pass("10 minutes", "1 minute")
      assert.strictEqual(yield* world.mints, 1)
    })
  )

  it.effect("gets a name of its own where it is given none", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("jetemail")
      const first = yield* rotation.start(id)
      yield* passing(rotation.awaitEnd(id))
      const second = yield* rotation.start(id)
      assert.notStrictEqual(first.id, second.id)
      yield* passing(rotation.awaitEnd(id))
    })
  )

  it.effect("is not started of what is not there, and nothing is written", () =>
    Effect.gen(function* () {
      const { rotation, store } = yield* adopted("voiceable")
      const before = yield* rowsOf(store)
      const missing = { account: "main", slot: "none" }
      assert.strictEqual(yield* problemOf(rotation.start(missing)), "NotFound")
      const error = yield* Effect.flip(rotation.start({ account: "other", slot: "none" }))
      assert.deepInclude(error, { operation: "start", problem: "UnknownAccount", account: "other", slot: "none" })
      assert.strictEqual(yield* problemOf(rotation.start({ account: "main", slot: "" })), "Invalid")
      assert.strictEqual(yield* problemOf(rotation.poll(missing)), "NotFound")
      assert.strictEqual(yield* problemOf(rotation.awaitEnd(missing)), "NotFound")
      assert.strictEqual(yield* problemOf(rotation.resume(missing)), "NotFound")
      assert.strictEqual(yield* problemOf(rotation.settle(missing, "x")), "NotFound")
      assert.strictEqual(yield* problemOf(rotation.acknowledge(missing, "r1")), "NotFound")
      assert.strictEqual(yield* problemOf(rotation.awaitEnd(id)), "NotOpen")
      assert.strictEqual(yield* problemOf(rotation.resume(id)), "NotOpen")
      assert.deepStrictEqual(yield* rowsOf(store), before)
    })
  )

  it.effect("is not started under another vendor's layer, whose strategy it would keep", () =>
    Effect.gen(function* () {
      const made = yield* fixture("jetemail")
      yield* Effect.flatMap(made.machine(), ({ rotation }) => rotation.adopt(id, made.first))
      const other = yield* fixture("smtp2go", { store: made.store })
      const { rotation } = yield* other.machine()
      const before = yield* rowsOf(made.store)
      assert.strictEqual(yield* problemOf(rotation.start(id)), "WrongAccount")
      assert.strictEqual(yield* problemOf(rotation.revokeAndReplace(id)), "WrongAccount")
      assert.deepStrictEqual(yield* rowsOf(made.store), before)
    })
  )

  it.effect("is seen from a machine that has nothing to do with it", () =>
    Effect.gen(function* () {
      const { machine, rotation } = yield* adopted("smtp2go")
      const other = yield* machine(unwatched)
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(isIn(rotation, "overlap"))
      assert.deepStrictEqual(yield* other.rotation.poll(id), yield* rotation.poll(id))
      assert.deepStrictEqual(other.events, [])
      const end = yield* passing(other.rotation.awaitEnd(id), { step: "10 minutes" })
      assert.strictEqual(end.outcome, "completed")
    })
  )

  it.effect("is awaited, and goes on, when the vault has not answered for a while", () =>
    Effect.gen(function* () {
      const { down, store } = yield* switchable
      const { rotation, world } = yield* adopted("voiceable", unwatched, { store })
      yield* rotation.start(id, { overlap: "10 minutes" })
      yield* until(isIn(rotation, "overlap"))
      const waiting = yield* Effect.forkChild(rotation.awaitEnd(id))
      down.now = true
      yield* pass("20 minutes", "2 minutes")
      assert.isUndefined(waiting.pollUnsafe())
      assert.strictEqual(yield* problemOf(passing(rotation.poll(id))), "Unavailable")
      down.now = false
      yield* until(Effect.sync(() => waiting.pollUnsafe() !== undefined))
      assert.strictEqual((yield* Fiber.join(waiting)).outcome, "completed")
      assert.strictEqual(yield* world.mints, 1)
    })
  )

  it.effect("is written down and waits for the watch, where the engine does not take it", () =>
    Effect.gen(function* () {
      const refusing = { now: true }
      const made = yield* fixture("voiceable")
      const { rotation } = yield* made.machine(
        {},
        engineOf((engine) => ({
          ...engine,
          execute: (workflow, options) =>
            Effect.suspend(() => (refusing.now ? Effect.die("api_test_inside") : engine.execute(workflow, options)))
        }))
      )
      yield* rotation.adopt(id, made.first)
      const error = yield* Effect.flip(rotation.start(id, { rotationId: "r1" }))
      assert.strictEqual(error.problem, "Unavailable")
      assert.notInclude(error.message, "inside")
      assert.strictEqual((yield* stepOf(rotation))?.id, "r1")
      refusing.now = false
      yield* until(isIn(rotation, "overlap"))
    })
  )
})

describe("events", () => {
  it.effect("tell of every step in order, and of what waits and is overdue", () =>
    Effect.gen(function* () {
      const { events, rotation } = yield* adopted("smtp2go")
      yield* rotation.start(id, { rotationId: "r1", acknowledgement: true })
      yield* pass("150 minutes", "5 minutes")
      yield* rotation.acknowledge(id, "r1")
      yield* soon(Effect.sync(() => events.at(-1)?.event === "ended"))
      const told = events.map(({ event, outcome, problem, step }) =>
        [step, event, problem ?? outcome ?? ""].join(" ").trim()
      )
      assert.deepStrictEqual(told, [
        "mint started",
        "mint done",
        "activate started",
        "activate done",
        "verify started",
        "verify done",
        "promote started",
        "promote done",
        "overlap started",
        "overlap waiting Unacknowledged",
        "overlap waiting Unacknowledged",
        "overlap overdue Unacknowledged",
        "overlap waiting Unacknowledged",
        "overlap done",
        "retire started",
        "retire done",
        "sweep started",
        "sweep ended completed"
      ])
      assert.isTrue(events.every(({ rotationId, slotId }) => rotationId === "r1" && slotId.slot === id.slot))
      const times = events.map(({ at }) => at)
      assert.deepStrictEqual(
        times,
        times.toSorted((a, b) => a - b)
      )
    })
  )

  it.effect("hold nobody up where they are not read, and end with the service", () =>
    Effect.gen(function* () {
      const { close, rotation } = yield* adopted("voiceable")
      const stuck = yield* Effect.forkChild(Stream.runForEach(rotation.events, () => Effect.never))
      const reader = yield* Effect.forkChild(Stream.runCollect(rotation.events))
      yield* breathe
      yield* rotation.start(id)
      yield* until(hasEnded(rotation), { step: "1 minute" })
      yield* close
      yield* breathe
      const told = yield* Fiber.join(reader)
      assert.strictEqual(told.at(-1)?.event, "ended")
      assert.isUndefined(stuck.pollUnsafe())
    })
  )
})

/** A rotation in its overlap whose machine is gone, in a store that shows itself to nobody yet. */
const abandoned = Effect.gen(function* () {
  const { down, store } = yield* switchable
  const made = yield* adopted("voiceable", unwatched, { store })
  yield* made.rotation.start(id, { rotationId: "r1" })
  yield* until(isIn(made.rotation, "overlap"))
  yield* made.close
  down.hidden = true
  return { ...made, down }
})

describe("resume", () => {
  it.effect("takes a rotation up whose process is gone", () =>
    Effect.gen(function* () {
      const { machine, world } = yield* abandoned
      const { rotation } = yield* machine(unwatched)
      yield* pass("1 day", "1 hour")
      assert.strictEqual((yield* stepOf(rotation))?.step, "overlap")
      assert.strictEqual((yield* rotation.resume(id)).run, 1)
      yield* until(hasEnded(rotation))
      assert.strictEqual(yield* world.mints, 1)
    })
  )

  it.effect("is done by the watch, at once and then again and again", () =>
    Effect.gen(function* () {
      const { down, machine } = yield* abandoned
      const { rotation } = yield* machine({ watch: "10 minutes" })
      yield* pass("9 minutes", "1 minute")
      down.hidden = false
      assert.strictEqual((yield* stepOf(rotation))?.attempts, 1)
      yield* until(hasEnded(rotation), { step: "1 minute" })

      const other = yield* abandoned
      other.down.hidden = false
      const next = yield* other.machine(unwatched)
      yield* until(hasEnded(next.rotation), { step: "1 minute" })
    })
  )

  it.effect("cuts a pause short, and may be asked for by many at once", () =>
    Effect.gen(function* () {
      const say: { now: "unclear" | undefined } = { now: "unclear" }
      const { events, rotation, world } = yield* adopted("smtp2go", unwatched, { account: probing(say) })
      yield* rotation.start(id)
      yield* pass("3 hours", "1 minute")
      const before = yield* stepOf(rotation)
      assert.strictEqual(before?.step, "verify")
      assert.isTrue(before?.overdue)
      // The pauses are a quarter of an hour by now.
      yield* rotation.resume(id)
      yield* soon(Effect.map(stepOf(rotation), (after) => after?.attempts === (before?.attempts ?? 0) + 1))
      say.now = undefined
      yield* Effect.all(
        Array.from({ length: 8 }, () => rotation.resume(id)),
        { concurrency: "unbounded" }
      )
      yield* soon(isAt(rotation, "overlap"))
      yield* until(hasEnded(rotation), { step: "1 minute" })
      assert.strictEqual(yield* world.mints, 1)
      assert.strictEqual(events.filter(({ event }) => event === "ended").length, 1)
    })
  )

  it.effect("cuts a pause of the mint short, though the mint was sent meanwhile", () =>
    Effect.gen(function* () {
      let broken = true
      const { rotation, world } = yield* adopted("smtp2go", unwatched, {
        client: (world) =>
          HttpClient.transform(world.client, (send, request) =>
            Effect.tap(send, () => (broken && world.isMint(request) ? Effect.die("no reply") : Effect.void))
          )
      })
      yield* rotation.start(id)
      yield* until(
        Effect.map(stepOf(rotation), (last) => last?.mints === 4),
        { step: "10 seconds" }
      )
      broken = false
      yield* rotation.resume(id)
      yield* soon(isAt(rotation, "overlap"))
      assert.strictEqual(yield* world.mints, 5)
    })
  )

  it.effect("starts a further execution of a rotation whose execution the engine has recorded as failed", () =>
    Effect.gen(function* () {
      const broken = { now: true }
      const made = yield* fixture("voiceable")
      const { rotation } = yield* made.machine(
        { watch: "5 minutes" },
        engineOf((engine) => ({
          ...engine,
          register: (workflow, execute) =>
            engine.register(workflow, (payload, executionId) =>
              Effect.suspend(() =>
                broken.now ? Effect.die("it was not of this version") : execute(payload, executionId)
              )
            )
        }))
      )
      yield* rotation.adopt(id, made.first)
      yield* rotation.start(id, { rotationId: "r1" })
      assert.strictEqual((yield* stepOf(rotation))?.run, 1)
      yield* until(
        Effect.map(stepOf(rotation), (last) => last?.run === 2),
        { step: "1 minute", within: "20 minutes" }
      )
      broken.now = false
      yield* breathe
      const both = yield* Effect.all([rotation.resume(id), rotation.resume(id)], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        both.map(({ run }) => run),
        [3, 3]
      )
      yield* until(hasEnded(rotation), { step: "1 minute" })
      assert.strictEqual((yield* stepOf(rotation))?.outcome, "completed")
      assert.strictEqual(yield* made.world.mints, 1)
    })
  )

  it.effect("starts no further execution because the engine's storage could not be read", () =>
    Effect.gen(function* () {
      const down = { now: false }
      const made = yield* fixture("voiceable")
      const { rotation } = yield* made.machine(
        { watch: "1 minute" },
        engineOf((engine) => ({
          ...engine,
          poll: (workflow, executionId) =>
            Effect.suspend(() =>
              down.now ? Effect.die({ _tag: "PersistenceError" }) : engine.poll(workflow, executionId)
            )
        }))
      )
      yield* rotation.adopt(id, made.first)
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(isIn(rotation, "overlap"))
      down.now = true
      assert.strictEqual(yield* problemOf(rotation.resume(id)), "Unavailable")
      yield* pass("5 minutes", "1 minute")
      down.now = false
      assert.strictEqual((yield* rotation.resume(id)).run, 1)
    })
  )
})

describe("acknowledgement", () => {
  it.effect("ends the overlap at once; without it, time alone never retires a key, in however many executions", () =>
    Effect.gen(function* () {
      const { events, rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.start(id, { rotationId: "r1", acknowledgement: true, overlap: "30 minutes" })
      // One attempt an hour.
      yield* pass(`${attemptsPerRun + 20} hours`, "1 hour")
      const waiting = yield* stepOf(rotation)
      assert.strictEqual(waiting?.step, "overlap")
      assert.isTrue(waiting?.overdue)
      assert.strictEqual(waiting?.run, 2)
      assert.strictEqual(yield* countAlive(world), 2)
      assert.isTrue(Option.isSome((yield* vault.read(id)).previous))
      assert.strictEqual(events.filter(({ event }) => event === "overdue").length, 1)
      const acknowledged = yield* rotation.acknowledge(id, "r1")
      assert.isTrue(acknowledged.acknowledged)
      yield* soon(hasEnded(rotation))
      assert.strictEqual((yield* stepOf(rotation))?.outcome, "completed")
      assert.strictEqual(yield* countAlive(world), 1)
    })
  )

  it.effect("may come twice, also after the end, and not for another rotation", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("voiceable", unwatched)
      assert.strictEqual(yield* problemOf(rotation.acknowledge(id, "r1")), "Fenced")
      yield* rotation.start(id, { rotationId: "r1", acknowledgement: true })
      yield* until(isIn(rotation, "overlap"))
      assert.strictEqual(yield* problemOf(rotation.acknowledge(id, "r2")), "Fenced")
      yield* Effect.all([rotation.acknowledge(id, "r1"), rotation.acknowledge(id, "r1")], { concurrency: "unbounded" })
      yield* soon(hasEnded(rotation))
      assert.strictEqual((yield* rotation.acknowledge(id, "r1")).outcome, "completed")
      assert.strictEqual(yield* problemOf(rotation.acknowledge(id, "r2")), "Fenced")
    })
  )

  it.effect("is refused while the new key is not the current one: nobody can have it", () =>
    Effect.gen(function* () {
      const say: { now: "unclear" | undefined } = { now: "unclear" }
      const { rotation, world } = yield* adopted("smtp2go", unwatched, { account: probing(say) })
      yield* rotation.start(id, { rotationId: "r1", acknowledgement: true })
      yield* until(isIn(rotation, "verify"))
      assert.strictEqual(yield* problemOf(rotation.acknowledge(id, "r1")), "NotOpen")
      say.now = undefined
      yield* until(isIn(rotation, "overlap"))
      assert.isFalse((yield* stepOf(rotation))?.acknowledged)
      assert.strictEqual(yield* countAlive(world), 2)
    })
  )

  it.effect("is not missed where it comes between the look of an attempt and its pause", () =>
    Effect.gen(function* () {
      const memory = yield* makeMemory
      const other = yield* openVault(memory)
      let came = false
      const store: VaultStore["Service"] = {
        ...memory,
        write: (row) =>
          Effect.andThen(
            !came && row.document.includes(`"Unacknowledged"`)
              ? Effect.suspend(() => {
                  came = true
                  return Effect.orDie(other.acknowledge(id, "r1"))
                })
              : Effect.void,
            memory.write(row)
          )
      }
      const { rotation } = yield* adopted("voiceable", unwatched, { store })
      yield* rotation.start(id, { rotationId: "r1", acknowledgement: true, overlap: "30 days" })
      yield* soon(hasEnded(rotation))
      assert.isTrue(came)
      assert.strictEqual((yield* stepOf(rotation))?.outcome, "completed")
    })
  )
})

describe("adopt", () => {
  it.effect("reads the key at the vendor first", () =>
    Effect.gen(function* () {
      const { first, machine, world } = yield* fixture("voiceable")
      const { rotation, vault } = yield* machine()
      const unknown = new KeyRef({ ...first.ref, value: Redacted.make("4711") })
      const error = yield* Effect.flip(rotation.adopt(id, { ref: unknown }))
      assert.deepInclude(error, { operation: "adopt", problem: "KeyNotFound" })
      yield* world.people.remove(Redacted.value(first.ref.value))
      assert.strictEqual(yield* problemOf(rotation.adopt(id, first)), "KeyNotFound")
      assert.strictEqual(yield* Stream.runCount(vault.slots()), 0)
    })
  )

  it.effect("refuses a key of another account or vendor before anything is asked of anyone", () =>
    Effect.gen(function* () {
      const { first, machine, world } = yield* fixture("voiceable")
      const { rotation, vault } = yield* machine()
      const asked = yield* world.requests
      for (const part of [{ account: "other" }, { provider: "smtp2go" }]) {
        const ref = new KeyRef({
          provider: first.ref.provider,
          account: first.ref.account,
          value: first.ref.value,
          ...part
        })
        assert.strictEqual(yield* problemOf(rotation.adopt(id, { ref })), "InvalidRequest")
      }
      assert.strictEqual(yield* world.requests, asked)
      assert.strictEqual(yield* Stream.runCount(vault.slots()), 0)
    })
  )

  it.effect("puts a key in the place of another only where it is told to, and not while a rotation is under way", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("voiceable", unwatched)
      const address = yield* world.people.add("by hand")
      const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })
      yield* rotation.adopt(id, first)
      assert.strictEqual(yield* problemOf(rotation.adopt(id, { ref })), "Taken")
      yield* rotation.start(id, { acknowledgement: true })
      yield* until(isIn(rotation, "overlap"))
      assert.strictEqual(yield* problemOf(rotation.adopt(id, { ref }, { replace: true })), "InProgress")
      const last = yield* stepOf(rotation)
      yield* rotation.acknowledge(id, last?.id ?? "")
      yield* until(hasEnded(rotation))
      const slot = yield* rotation.adopt(id, { ref }, { replace: true })
      assert.strictEqual(Redacted.value(slot.current.ref.value), address)
      assert.deepStrictEqual(slot, yield* vault.read(id))
    })
  )
})

/** Makes a key the current one of another slot as well: nobody takes it in there, so a rotation brings it. */
const alsoHolds = Effect.fnUntraced(function* (vault: KeyVault["Service"], of: SlotId, key: NewKey) {
  const { account, provider } = key.ref
  const value = Redacted.make(`before ${of.account}/${of.slot}`)
  yield* vault.adopt(of, { ref: new KeyRef({ account, provider, value }), handle: "before" })
  const rest = { kind: "rotate", strategy: "successor", step: "mint", overlap: 0, acknowledgement: false } as const
  yield* vault.begin(of, { id: "before", ...rest })
  const { epoch } = yield* vault.claim(of, "before")
  yield* vault.put(of, "before", epoch, key, "before")
  yield* vault.promote(of, "before", epoch)
  yield* vault.dropPrevious(of, "before")
  yield* vault.end(of, "before", "completed")
})

describe("revokeAndReplace", () => {
  it.effect("finds the slots of a leaked string, and says where there is none", () =>
    Effect.gen(function* () {
      const { first, rotation, world } = yield* adopted("smtp2go")
      const error = yield* Effect.flip(rotation.revokeAndReplace(Redacted.make("api_test_nobody_knows_it")))
      assert.strictEqual(error.problem, "NoMatch")
      assert.notInclude(error.message, "nobody")
      const [started] = yield* rotation.revokeAndReplace(first.secret, { rotationId: "incident" })
      assert.strictEqual(started?.kind, "replace")
      // It is off when the call comes back, whenever the engine may get to it.
      assert.strictEqual(started?.step, "mint")
      assert.deepStrictEqual(
        (yield* world.keys).filter((key) => key.alive),
        []
      )
      yield* until(hasEnded(rotation))
      const alive = (yield* world.keys).filter((key) => key.alive)
      assert.strictEqual(alive.length, 1)
      assert.notStrictEqual(alive[0]?.secret, Redacted.value(first.secret))
      assert.strictEqual(yield* problemOf(rotation.revokeAndReplace(first.secret)), "NoMatch")
    })
  )

  it.effect("of an orphan shuts that off, and leaves the slot's own keys and its rotation as they are", () =>
    Effect.gen(function* () {
      for (const origin of ["unclaimed", "unretired"] as const) {
        const { rotation, vault, world } = yield* adopted("smtp2go", unwatched)
        const address = yield* world.people.add("an orphan")
        const ref = new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })
        const orphan = {
          handle: "an-orphan",
          ref: Option.some(ref),
          inert: false,
          origin,
          rotationId: "r0",
          foundAt: 0
        }
        yield* vault.addOrphan(id, orphan)
        yield* rotation.start(id, { rotationId: "r1", overlap: "30 days" })
        yield* until(isIn(rotation, "overlap"))
        assert.deepStrictEqual(yield* rotation.revokeAndReplace(ref.value, { rotationId: "incident" }), [])
        const isAlive = Effect.map(world.keys, (keys) => keys.find((key) => key.address === address)?.alive ?? false)
        assert.isFalse(yield* isAlive)
        const slot = yield* vault.read(id)
        assert.deepInclude(Option.getOrThrow(slot.rotation), { id: "r1", step: "overlap" })
        assert.deepStrictEqual(slot.orphans, [])
        assert.strictEqual(yield* countAlive(world), 2)
      }
    })
  )

  it.effect("takes a rotation over, cuts its overlap short, and shuts every key of the slot off", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("smtp2go")
      yield* rotation.start(id, { rotationId: "r1", overlap: "30 days" })
      yield* until(isIn(rotation, "overlap"))
      const { epoch } = yield* vault.read(id)
      yield* rotation.revokeAndReplace(id, { rotationId: "incident" })
      yield* until(hasEnded(rotation), { within: "5 minutes" })
      const slot = yield* vault.read(id)
      assert.strictEqual(Option.getOrThrow(slot.rotation).outcome, "completed")
      assert.isAbove(slot.epoch, epoch)
      assert.strictEqual(yield* countAlive(world), 1)
      assert.strictEqual((yield* rotation.revokeAndReplace(id, { rotationId: "incident" }))[0]?.outcome, "completed")
      assert.strictEqual(yield* world.mints, 2)
    })
  )

  it.effect("starts in every slot that holds the string before it says which it could not", () =>
    Effect.gen(function* () {
      const { first, rotation, vault } = yield* adopted("smtp2go", unwatched)
      const { handle } = (yield* vault.read(id)).current
      for (const of of [
        { account: "gone", slot: "a" },
        { account: "gone", slot: "b" },
        { account: "main", slot: "z" }
      ]) {
        yield* alsoHolds(vault, of, { ...first, handle })
      }
      const error = yield* Effect.flip(rotation.revokeAndReplace(first.secret))
      assert.deepInclude(error, { problem: "UnknownAccount", account: "gone", slot: "a" })
      assert.include(error.message, "done in 2 of 4 slots")
      assert.include(error.message, "gone/b")
      assert.isTrue(Option.isSome(yield* rotation.poll(id)))
      assert.isTrue(Option.isSome(yield* rotation.poll({ account: "main", slot: "z" })))
    })
  )
})

describe("remove", () => {
  for (const name of names) {
    it.effect(`${name}: shuts the key off, and forgets the slot, which no schedule starts any more`, () =>
      Effect.gen(function* () {
        const { rotation, vault, world } = yield* adopted(name)
        yield* rotation.remove(id)
        assert.strictEqual(yield* countAlive(world), 0)
        assert.strictEqual(yield* problemOf(rotation.poll(id)), "NotFound")
        yield* Effect.forkChild(rotation.schedule({ every: "1 minute", jitter: 0 }))
        yield* pass("1 hour", "10 minutes")
        assert.strictEqual(yield* world.mints, 0)
        assert.deepStrictEqual(yield* Stream.runCollect(rotation.attention()), [])
        assert.deepStrictEqual(yield* Stream.runCollect(vault.slots()), [])
        assert.strictEqual(yield* problemOf(rotation.remove(id)), "NotFound")
      })
    )
  }

  it.effect("keeps the key alive where it is told to, and the slot where the vendor did not shut the key off", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("voiceable")
      yield* world.setBroken(true)
      yield* passing(Effect.flip(rotation.remove(id)))
      assert.isTrue(Option.isNone((yield* vault.read(id)).rotation))
      yield* world.setBroken(false)
      yield* rotation.remove(id, { keep: true })
      assert.strictEqual(yield* countAlive(world), 1)
      // It may come back.
      yield* rotation.adopt(id, first)
      yield* world.people.remove(Redacted.value(first.ref.value))
      assert.strictEqual(yield* problemOf(rotation.remove(id)), "KeyNotFound")
      yield* rotation.remove(id, { keep: true })
      assert.strictEqual(yield* problemOf(rotation.poll(id)), "NotFound")
    })
  )

  it.effect("waits for a rotation that is under way, and does nothing to its key", () =>
    Effect.gen(function* () {
      const { rotation, world } = yield* adopted("smtp2go")
      yield* rotation.start(id, { rotationId: "r1" })
      assert.strictEqual(yield* problemOf(rotation.remove(id)), "InProgress")
      assert.isAtLeast(yield* countAlive(world), 1)
      yield* until(hasEnded(rotation), { step: "10 minutes" })
      yield* rotation.remove(id)
      assert.strictEqual(yield* countAlive(world), 0)
    })
  )
})

describe("settle", () => {
  const orphaned = Effect.fnUntraced(function* (held = false) {
    const made = yield* adopted("smtp2go", unwatched)
    const address = held ? Redacted.value(made.first.ref.value) : yield* made.world.people.add("an orphan")
    const ref = new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })
    const orphan: Orphan = {
      handle: "an-orphan",
      ref: Option.some(ref),
      inert: false,
      origin: "unretired",
      rotationId: "r0",
      foundAt: 0
    }
    const isAlive = Effect.map(made.world.keys, (keys) => keys.find((key) => key.address === address)?.alive)
    return { ...made, orphan, isAlive, address }
  })

  it.effect("takes a person's word for what the vendor's interface cannot reach", () =>
    Effect.gen(function* () {
      const { orphan, rotation, vault } = yield* orphaned()
      yield* vault.addOrphan(id, { ...orphan, ref: Option.none() })
      assert.strictEqual(yield* problemOf(rotation.settle(id, "another")), "NotFound")
      assert.deepStrictEqual((yield* rotation.settle(id, orphan.handle)).orphans, [])
    })
  )

  it.effect("shuts off what it can, so that no living key leaves the books", () =>
    Effect.gen(function* () {
      const { isAlive, orphan, rotation, vault, world } = yield* orphaned()
      yield* vault.addOrphan(id, orphan)
      yield* world.setBroken(true)
      yield* Effect.flip(rotation.settle(id, orphan.handle))
      assert.strictEqual((yield* vault.read(id)).orphans.length, 1)
      yield* world.setBroken(false)
      assert.deepStrictEqual((yield* rotation.settle(id, orphan.handle)).orphans, [])
      assert.isFalse(yield* isAlive)
    })
  )

  it.effect("leaves alive what is kept on purpose, and what the slot uses", () =>
    Effect.gen(function* () {
      const kept = yield* orphaned()
      yield* kept.vault.addOrphan(id, kept.orphan)
      yield* kept.rotation.settle(id, kept.orphan.handle, { keep: true })
      assert.isTrue(yield* kept.isAlive)
      const used = yield* orphaned()
      yield* used.vault.addOrphan(id, used.orphan)
      const { orphans } = yield* used.rotation.adopt(id, { ref: Option.getOrThrow(used.orphan.ref) }, { replace: true })
      // It is none any more, and the one that was current before is.
      assert.deepStrictEqual(
        orphans.map(({ origin, ref }) => [origin, Option.map(ref, ({ value }) => Redacted.value(value))]),
        [["unretired", Option.some(Redacted.value(used.first.ref.value))]]
      )
      assert.strictEqual(yield* problemOf(used.rotation.settle(id, used.orphan.handle)), "NotFound")
      assert.isTrue(yield* used.isAlive)
    })
  )

  it.effect("takes one that is gone at the vendor for gone", () =>
    Effect.gen(function* () {
      const { address, orphan, rotation, vault, world } = yield* orphaned()
      yield* vault.addOrphan(id, orphan)
      yield* world.people.remove(address)
      assert.deepStrictEqual((yield* rotation.settle(id, orphan.handle)).orphans, [])
    })
  )

  it.effect("takes the marker of a mint that nobody can tell the end of, when its rotation is over", () =>
    Effect.gen(function* () {
      const { rotation, vault } = yield* orphaned()
      const intent = new MintIntent({
        provider: "smtp2go",
        account: "main",
        verb: "rotate",
        marker: `ek-${"a".repeat(24)}`,
        preparedAt: yield* DateTime.now
      })
      yield* vault.begin(id, begun("r1"))
      const { epoch } = yield* vault.claim(id, "r1")
      yield* vault.intend(id, "r1", epoch, intent)
      assert.deepStrictEqual(yield* Stream.runCollect(rotation.attention()), [])
      assert.strictEqual(yield* problemOf(rotation.settle(id, intent.marker)), "InProgress")
      yield* TestClock.adjust("1 minute")
      yield* vault.end(id, "r1", "failed", "Defect")
      const [item] = yield* Stream.runCollect(rotation.attention())
      assert.deepStrictEqual(item?.reasons, ["intent", "stopped"])
      assert.deepStrictEqual((yield* rotation.settle(id, intent.marker)).intents, [])
      const [left] = yield* Stream.runCollect(rotation.attention())
      assert.deepStrictEqual(left?.reasons, ["stopped"])
    })
  )
})

describe("attention", () => {
  it.effect(
    "names what waits for a person, and why; also a slot that cannot be read, which keeps nobody else from it",
    () =>
      Effect.gen(function* () {
        const say: { now: "unclear" | undefined } = { now: "unclear" }
        const made = yield* adopted("smtp2go", { watch: "5 minutes" }, { account: probing(say) })
        const { rotation, store, vault } = made
        const other = { account: "main", slot: "a-broken-one" }
        yield* store.write({ ...other, version: 1, document: `{"format":2}`, fingerprints: [], open: true })
        assert.deepStrictEqual(
          (yield* Stream.runCollect(rotation.attention())).map(({ reasons, slot }) => [slot, ...reasons]),
          [["a-broken-one", "unreadable"]]
        )
        yield* rotation.start(id)
        yield* until(isIn(rotation, "verify"))
        yield* pass("61 minutes", "1 minute")
        yield* vault.addOrphan(id, {
          handle: "an-orphan",
          ref: Option.none(),
          inert: true,
          origin: "lost",
          rotationId: "r0",
          foundAt: 0
        })
        const [broken, waiting, ...none] = yield* Stream.runCollect(rotation.attention({ account: "main" }))
        assert.deepStrictEqual(none, [])
        assert.deepStrictEqual(broken?.reasons, ["unreadable"])
        assert.deepStrictEqual(waiting?.reasons, ["orphan", "overdue"])
        assert.strictEqual(waiting?.slot, id.slot)
        assert.strictEqual(waiting?.orphans[0]?.handle, "an-orphan")
        assert.strictEqual(Option.getOrThrow(waiting?.rotation ?? Option.none()).problem, "Unverified")
        assert.deepStrictEqual(yield* Stream.runCollect(rotation.attention({ account: "none" })), [])
        // The watch comes past it as well.
        yield* made.close
        say.now = undefined
        const next = yield* made.machine({ watch: "5 minutes" })
        yield* until(hasEnded(next.rotation), { step: "1 minute" })
      })
  )

  it.effect("names a rotation that nobody goes on with", () =>
    Effect.gen(function* () {
      const { down, machine } = yield* abandoned
      const { rotation } = yield* machine(unwatched)
      down.hidden = false
      const reasons = Effect.map(Stream.runCollect(rotation.attention()), (items) => items.map((item) => item.reasons))
      yield* pass("1 hour", "1 hour")
      assert.deepStrictEqual(yield* reasons, [])
      yield* pass("1 hour", "1 hour")
      assert.deepStrictEqual(yield* reasons, [["overdue"]])
    })
  )
})

describe("accounts", () => {
  it.effect("a layer that cannot be built is tried again, and the rotation waits for it", () =>
    Effect.gen(function* () {
      let broken = false
      let built = 0
      const { events, machine, rotation, world } = yield* adopted("voiceable", unwatched, {
        account: (account) => ({
          ...account,
          keys: Layer.unwrap(
            Effect.suspend(() => {
              built++
              return broken
                ? Effect.fail({ _tag: "NoConfig", text: "api_test_in_the_error" })
                : Effect.succeed(account.keys)
            })
          )
        })
      })
      broken = true
      const other = yield* machine(unwatched)
      for (let ask = 1; ask <= 3; ask++) {
        const error = yield* Effect.flip(other.rotation.start(id))
        assert.strictEqual(error.problem, "UnknownAccount")
        assert.include(error.message, "NoConfig")
        assert.notInclude(error.message, "api_test")
        assert.strictEqual(built, 1 + ask)
      }
      // It was built for the first machine and let go.
      yield* pass("11 minutes", "1 minute")
      broken = false
      yield* rotation.start(id)
      broken = true
      yield* until(isIn(rotation, "overlap"))
      yield* pass("70 minutes", "1 minute")
      assert.strictEqual((yield* stepOf(rotation))?.problem, "UnknownAccount")
      assert.isTrue(events.some(({ event, problem }) => event === "waiting" && problem === "UnknownAccount"))
      broken = false
      yield* until(hasEnded(rotation), { step: "1 minute" })
      assert.strictEqual(yield* world.mints, 1)
    })
  )

  it.effect("a layer that never comes, and a function that throws, are no account", () =>
    Effect.gen(function* () {
      const made = yield* fixture("voiceable")
      const { rotation } = yield* made.machine({
        accounts: (name) => {
          if (name === "thrown") throw new Error("api_test_in_the_defect")
          return { keys: Layer.unwrap(name === "hung" ? Effect.never : Effect.interrupt), verify: "none" }
        }
      })
      for (const account of ["hung", "thrown", "interrupted"]) {
        const error = yield* Effect.flip(passing(rotation.plan({ account, slot: "a" })))
        assert.strictEqual(error.problem, "UnknownAccount")
        assert.notInclude(error.message, "api_test")
      }
    })
  )

  it.effect("a layer is built once, shared, and let go ten minutes after its last use", () =>
    Effect.gen(function* () {
      const open = { now: 0, ever: 0 }
      const { close, rotation } = yield* adopted("voiceable", unwatched, {
        account: (account) => ({
          ...account,
          keys: Layer.merge(
            account.keys,
            Layer.effectDiscard(
              Effect.acquireRelease(
                Effect.sync(() => {
                  open.now++
                  open.ever++
                }),
                () =>
                  Effect.sync(() => {
                    open.now--
                  })
              )
            )
          )
        })
      })
      yield* Effect.all(
        Array.from({ length: 5 }, () => rotation.plan(id)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(open, { now: 1, ever: 1 })
      yield* pass("11 minutes", "1 minute")
      assert.deepStrictEqual(open, { now: 0, ever: 1 })
      yield* rotation.plan(id)
      assert.deepStrictEqual(open, { now: 1, ever: 2 })
      yield* close
      assert.deepStrictEqual(open, { now: 0, ever: 2 })
    })
  )

  it.effect("a layer and a probe are given what they need of the program", () =>
    Effect.gen(function* () {
      const made = yield* fixture("smtp2go")
      const vault = yield* openVault(made.store)
      const { keys } = made.world.account(made.world.client)
      const asked: Array<string> = []
      const context = yield* Layer.build(
        Rotation.layer({
          accounts: () => ({
            keys: Layer.unwrap(
              Effect.map(Tenant, (tenant) => (tenant === "acme" ? keys : Layer.effectContext(Effect.never)))
            ),
            verify: ({ secret }) =>
              Effect.gen(function* () {
                asked.push(yield* Tenant)
                const all = yield* made.world.keys
                return all.some((key) => key.alive && key.secret === Redacted.value(secret)) ? "accepted" : "rejected"
              })
          })
        }).pipe(
          Layer.provide([Layer.succeed(KeyVault, vault), RotationEngine.layerMemory, Layer.succeed(Tenant, "acme")])
        )
      )
      const rotation = Context.get(context, Rotation)
      yield* rotation.adopt(id, made.first)
      yield* rotation.start(id, { overlap: 0 })
      yield* until(hasEnded(rotation))
      assert.deepStrictEqual(asked, ["acme", "acme"])
    })
  )
})

describe("closing", () => {
  it.effect("waits for a mint that is on its way, and the next machine goes on with its key", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const closed: Array<string> = []
      const { close, machine, rotation, vault, world } = yield* adopted("voiceable", unwatched, {
        client: (world) =>
          HttpClient.transform(world.client, (send, request) =>
            world.isMint(request)
              ? Effect.tap(send, () => Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(answer)))
              : send
          ),
        account: (account) => ({
          ...account,
          keys: account.keys.pipe(
            Layer.provideMerge(
              Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => closed.push("the account"))))
            )
          )
        })
      })
      yield* rotation.start(id)
      yield* Deferred.await(arrived)
      const closing = yield* Effect.forkChild(close)
      yield* breathe
      assert.isUndefined(closing.pollUnsafe())
      assert.deepStrictEqual(closed, [])
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(closed, ["the account"])
      assert.isTrue(Option.isSome((yield* vault.read(id)).pending))
      const next = yield* machine()
      yield* until(hasEnded(next.rotation), { step: "1 minute" })
      assert.strictEqual((yield* stepOf(next.rotation))?.outcome, "completed")
      assert.strictEqual(yield* world.mints, 1)
    })
  )

  it.effect("a caller who is interrupted leaves a rotation that goes on", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("voiceable", unwatched)
      for (let turns = 0; turns < 12; turns += 2) {
        const fiber = yield* Effect.forkChild(rotation.start(id, { rotationId: `r${turns}`, overlap: 0 }))
        for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        const last = yield* stepOf(rotation)
        if (last?.id === `r${turns}`) yield* until(hasEnded(rotation), { within: "1 minute" })
      }
      assert.isTrue(yield* hasEnded(rotation))
    })
  )

  it.effect("a function of the program that dies or interrupts itself holds nothing up for ever", () =>
    Effect.gen(function* () {
      for (const kind of ["die", "interrupt"] as const) {
        const fault = kind === "die" ? Effect.die(new Error("api_test_in_the_defect")) : Effect.interrupt
        let broken = false
        const { rotation, world } = yield* adopted("smtp2go", unwatched, {
          account: (account) => {
            const { verify } = account
            return {
              ...mapKeys(account, (keys) => ({
                ...keys,
                get: (ref) => Effect.suspend(() => (broken ? fault : keys.get(ref)))
              })),
              verify: verify === "none" ? verify : (key) => Effect.suspend(() => (broken ? fault : verify(key)))
            }
          }
        })
        broken = true
        yield* rotation.start(id, { overlap: 0 })
        yield* until(isIn(rotation, "mint"))
        assert.strictEqual((yield* stepOf(rotation))?.problem, "Defect")
        broken = false
        yield* until(
          Effect.map(stepOf(rotation), (last) => {
            broken = last?.step === "verify" && last.attempts < 2
            return last?.outcome === "completed"
          })
        )
        assert.strictEqual((yield* stepOf(rotation))?.run, 1)
        assert.strictEqual(yield* world.mints, 1)
      }
    })
  )
})

describe("options", () => {
  const nonsense = [
    -1,
    Number.NaN,
    Number.NEGATIVE_INFINITY,
    "a while",
    { hours: Number.NaN },
    null,
    { hours: -1 }
  ] as const
  // What a program without types may give.
  const bad = (value: unknown) => value as never

  it.effect("of the layer that make no sense are named", () =>
    Effect.gen(function* () {
      const { machine } = yield* fixture("voiceable")
      const finite = ["overlap", "lateArrival", "propagation", "timeout", "takeover", "watch"] as const
      const cases = [
        ...finite.flatMap((field) => [...nonsense.slice(0, 5), "Infinity"].map((value) => [field, value] as const)),
        ...nonsense.slice(0, 5).map((value) => ["overdueAfter", value] as const),
        ["watch", 0] as const,
        ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5"].map((value) => ["maxMints", value] as const)
      ]
      for (const [field, value] of cases) {
        const error = yield* Effect.flip(machine({ [field]: bad(value) }))
        assert.strictEqual(error.problem, "Malformed", `${field}: ${String(value)}`)
        assert.include(error.message, `\`${field}\``)
      }
      yield* machine({ overdueAfter: "Infinity", overlap: 0, lateArrival: 0, propagation: 0, timeout: 0, takeover: 0 })
    })
  )

  it.effect("of a rotation that make no sense are named, and nothing is written", () =>
    Effect.gen(function* () {
      const { rotation, store } = yield* adopted("voiceable", unwatched)
      const before = yield* rowsOf(store)
      const starts: ReadonlyArray<readonly [string, StartOptions]> = [
        ...[...nonsense.slice(0, 5), "Infinity"].map((value) => ["overlap", { overlap: bad(value) }] as const),
        ...["", "a\nb", "\ud800", "x".repeat(513), 7].map(
          (value) => ["rotationId", { rotationId: bad(value) }] as const
        )
      ]
      for (const [field, given] of starts) {
        const asked = [
          rotation.start(id, given),
          field === "rotationId" ? rotation.revokeAndReplace(id, given) : Effect.asVoid(rotation.plan(id, given)),
          ...(field === "rotationId" ? [rotation.revokeAndReplace(Redacted.make("x"), given)] : [])
        ]
        for (const effect of asked) {
          const error = yield* Effect.flip(Effect.asVoid(effect))
          assert.strictEqual(error.problem, "Malformed", JSON.stringify(given))
          assert.include(error.message, `\`${field}\``)
        }
      }
      assert.deepStrictEqual(yield* rowsOf(store), before)
    })
  )
})

describe("the sweep", () => {
  it.effect("removes what it can, though one orphan stays", () =>
    Effect.gen(function* () {
      let staying: string | undefined
      const { rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => ({
            ...keys,
            delete: (ref) =>
              Redacted.value(ref.value) === staying
                ? Effect.fail(
                    new ApiKeyError({
                      provider: "smtp2go",
                      operation: "delete",
                      reason: new ProviderUnavailable({ problem: "status", sent: true })
                    })
                  )
                : keys.delete(ref)
          }))
      })
      const addresses = [
        yield* world.people.add("an orphan that stays"),
        yield* world.people.add("an orphan that goes")
      ]
      staying = addresses[0]
      for (const [index, address] of addresses.entries()) {
        const ref = new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })
        const orphan = { ref: Option.some(ref), inert: false, origin: "lost", rotationId: "r0", foundAt: 0 } as const
        yield* vault.addOrphan(id, { ...orphan, handle: `orphan-${index}` })
      }
      yield* rotation.start(id, { rotationId: "r1", overlap: "1 second" })
      yield* until(isIn(rotation, "sweep"))
      assert.deepStrictEqual(
        (yield* vault.read(id)).orphans.map(({ handle }) => handle),
        ["orphan-0"]
      )
      assert.strictEqual((yield* stepOf(rotation))?.problem, "ProviderUnavailable")
      staying = undefined
      yield* until(hasEnded(rotation))
      assert.deepStrictEqual((yield* vault.read(id)).orphans, [])
    })
  )
})

describe("the watch", () => {
  it("goes through the ledger of what has ended ever more rarely", () => {
    const minutes = 5
    const every = minutes * 60_000
    const day = 24 * 60 * 60_000
    let looks = 0
    const within = (days: number) => {
      looks = 0
      for (let age = 0; age < days * day; age += every) if (isSweepDue(age + 1234, every)) looks++
      return looks
    }
    assert.isBelow(within(1), 12)
    assert.isAbove(within(1), 5)
    assert.isBelow(within(31), 44)
    assert.isAtLeast(within(31), 30)
    assert.isTrue(isSweepDue(0, every))
    assert.isTrue(isSweepDue(-day, every))
  })

  it.effect("looks again for what a lost mint left behind, when its rotation is over", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("voiceable", { watch: "5 minutes" })
      yield* rotation.start(id, { overlap: 0 })
      yield* until(hasEnded(rotation))
      const address = yield* world.people.add("left behind")
      const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })
      const foundAt = yield* Clock.currentTimeMillis
      yield* vault.addOrphan(id, {
        handle: "left",
        ref: Option.some(ref),
        inert: false,
        origin: "lost",
        rotationId: "r0",
        foundAt
      })
      yield* until(
        Effect.map(vault.read(id), ({ orphans }) => orphans.length === 0),
        { step: "1 minute" }
      )
      assert.strictEqual(yield* countAlive(world), 1)
    })
  )
})

describe("on the engine of a file", () => {
  it.live("a pause is cut short by an acknowledgement and by resume, and outlasts the process", () =>
    Effect.gen(function* () {
      const filename = freshFile()
      const settings = { entityMessagePollInterval: 30 }
      const engine = Layer.orDie(
        RotationEngine.layerSingle({ settings }).pipe(Layer.provide(NodeSqlite.layer({ filename })))
      )
      const made = yield* fixture("smtp2go")
      const soon = (what: Effect.Effect<boolean, RotationError>): Effect.Effect<void, RotationError> =>
        Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), what), { until: (holds) => holds }).pipe(
          Effect.timeout("10 seconds"),
          Effect.catchTag("TimeoutError", () => Effect.die(new Error("it never came to be")))
        )
      const first = yield* made.machine(unwatched, engine)
      yield* first.rotation.adopt(id, made.first)
      yield* first.rotation.start(id, { rotationId: "r1", acknowledgement: true, overlap: "1 hour" })
      yield* soon(isIn(first.rotation, "overlap"))
      yield* first.rotation.resume(id)
      yield* soon(Effect.map(stepOf(first.rotation), (last) => last?.attempts === 2))
      yield* first.close

      const second = yield* made.machine(unwatched, engine)
      yield* second.rotation.acknowledge(id, "r1")
      yield* soon(hasEnded(second.rotation))
      const last = yield* stepOf(second.rotation)
      assert.strictEqual(last?.outcome, "completed")
      assert.strictEqual(last?.run, 1)
      assert.strictEqual(yield* countAlive(made.world), 1)
      yield* second.close
    })
  )
})
