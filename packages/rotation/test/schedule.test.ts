import { assert, describe, it } from "@effect/vitest"
import { KeyRef } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Scheduler from "../src/internal/schedule.ts"
import type { KeyVault } from "../src/KeyVault.ts"
import type { Account, Progress, RotationOptions } from "../src/Rotation.ts"
import type { ScheduleOptions } from "../src/RotationSchedule.ts"
import type { RotationRecord, Slot } from "../src/Slot.ts"
import { VaultError } from "../src/VaultError.ts"
import { makeMemory, type SlotId, type VaultStore } from "../src/VaultStore.ts"
import { adopted, breathe, fixture, id, keyOf, type Machine, openVault, pass, soon, stepOf, until } from "./fixture.ts"
import { worlds } from "./support/vendors.ts"
import { withWarnings } from "./support/warnings.ts"

const hour = 3_600_000
const day = 24 * hour

const ref = new KeyRef({ provider: "acme", account: "main", value: Redacted.make("a key") })

const slotAt = (name: string, storedAt: number, rotation: Option.Option<RotationRecord> = Option.none()): Slot => ({
  account: "main",
  slot: name,
  provider: "acme",
  providerAccount: "main",
  epoch: 3,
  current: {
    ref,
    secret: Option.none(),
    handle: name,
    epoch: 3,
    storedAt
  },
  pending: Option.none(),
  previous: Option.none(),
  rotation,
  intents: [],
  orphans: []
})

const ended = (outcome: RotationRecord["outcome"], endedAt: number): Option.Option<RotationRecord> =>
  Option.some({
    id: "r1",
    kind: "rotate",
    strategy: "successor",
    run: 1,
    startedAt: 0,
    step: "sweep",
    since: 0,
    attempts: 0,
    overdue: false,
    mints: 1,
    overlap: 0,
    acknowledgement: false,
    acknowledged: false,
    retiring: false,
    endedAt,
    ...(outcome === undefined ? {} : { outcome })
  })

describe("a slot is due", () => {
  const timing: Scheduler.Timing = { every: 30 * day, jitter: 3 * day, retryAfter: day }
  const dueAt = (slot: Slot): number => slot.current.storedAt + 30 * day + Scheduler.spread(slot) * 3 * day

  it("from its age on, a little later than others, and always at the same time", () => {
    const all = Array.from({ length: 2000 }, (_, index) => slotAt(`tenant-${index}/mail`, 1000))
    const bins = Array.from({ length: 10 }, () => 0)
    for (const slot of all) {
      const share = Scheduler.spread(slot)
      assert.isAtLeast(share, 0)
      assert.isBelow(share, 1)
      assert.strictEqual(share, Scheduler.spread({ account: slot.account, slot: slot.slot }))
      bins[Math.floor(share * 10)] = (bins[Math.floor(share * 10)] ?? 0) + 1
      assert.isFalse(Scheduler.isDue(timing, slot, dueAt(slot) - 1))
      assert.isTrue(Scheduler.isDue(timing, slot, Math.ceil(dueAt(slot))))
    }
    assert.isTrue(
      bins.every((count) => count > 150 && count < 250),
      bins.join()
    )
    assert.notStrictEqual(
      Scheduler.spread({ account: "a", slot: "bc" }),
      Scheduler.spread({ account: "ab", slot: "c" })
    )
  })

  it("not before, wherever the clock has jumped to", () => {
    const slot = slotAt("a", 40 * day)
    for (const now of [-day, 0, 39 * day, 69 * day]) assert.isFalse(Scheduler.isDue(timing, slot, now))
    for (const now of [74 * day, 10_000 * day]) assert.isTrue(Scheduler.isDue(timing, slot, now))
  })

  it("not while a rotation is under way, and some time after one that did not complete", () => {
    const now = 100 * day
    assert.isFalse(Scheduler.isDue(timing, slotAt("a", 0, ended(undefined, now)), now))
    for (const outcome of ["failed", "superseded", "contained"] as const) {
      assert.isFalse(Scheduler.isDue(timing, slotAt("a", 0, ended(outcome, now - day + 1)), now))
      assert.isTrue(Scheduler.isDue(timing, slotAt("a", 0, ended(outcome, now - day)), now))
    }
    assert.isTrue(Scheduler.isDue(timing, slotAt("a", 0, ended("completed", now - 1)), now))
  })
})

describe("of ten thousand slots", () => {
  const many = 10_000

  it.effect("as many are read as it takes, none is kept, and no more are started than may be", () =>
    Effect.gen(function* () {
      const vault = yield* openVault(yield* makeMemory)
      let pulled = 0
      let pulledBeforeFirst: number | undefined
      const started: Array<string> = []
      const scan: KeyVault["Service"]["scan"] = (filter = {}) =>
        filter.open === true
          ? Stream.empty
          : Stream.fromIterable(Array.from({ length: many }).keys(), { chunkSize: 50 }).pipe(
              Stream.map((index) => {
                pulled++
                return Result.succeed(slotAt(`tenant-${String(index).padStart(5, "0")}`, 0))
              })
            )
      const start = ({ slot }: SlotId) =>
        Effect.sync((): Progress => {
          pulledBeforeFirst ??= pulled
          started.push(slot)
          const last = Option.getOrThrow(ended(undefined, 0))
          return { ...last, slotId: { account: "main", slot }, steps: [], handle: slot }
        })
      yield* Effect.forkChild(
        Scheduler.run(
          {
            vault: { ...vault, scan, read: ({ slot }) => Effect.succeed(slotAt(slot, 0)) },
            check: () => Effect.void,
            start
          },
          { every: "30 days", atMost: 7, check: "40 days" }
        )
      )
      yield* until(
        Effect.sync(() => pulled === many),
        { step: 0 }
      )
      assert.deepStrictEqual(started, [])
      pulled = 0
      yield* TestClock.adjust("40 days")
      yield* soon(Effect.sync(() => started.length >= 7))
      yield* breathe
      assert.strictEqual(started.length, 7)
      assert.isAtMost(pulledBeforeFirst ?? many, 100)
      assert.isAtMost(pulled, 100)
    })
  )
})

/** A vendor with so many keys, each in a slot of its own. */
const fleet = Effect.fnUntraced(function* (
  size: number,
  { account, store }: { readonly account?: (account: Account) => Account; readonly store?: VaultStore["Service"] } = {},
  options: Partial<RotationOptions> = {}
) {
  const made = yield* fixture("voiceable", {
    ...(account === undefined ? {} : { account }),
    ...(store === undefined ? {} : { store })
  })
  const machine = yield* made.machine({ overlap: 0, watch: "1000 days", ...options })
  const slots = Array.from({ length: size }, (_, index) => ({ account: "main", slot: `tenant-${index}/mail` }))
  for (const { slot } of slots) {
    const address = yield* made.world.people.add(slot)
    const key = (yield* made.world.keys).find((one) => one.address === address)
    const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })
    yield* machine.rotation.adopt({ account: "main", slot }, { ref, secret: Redacted.make(key?.secret ?? "") })
  }
  /** The rotations of the slots that can be read. */
  const rotations = Effect.map(Stream.runCollect(machine.vault.scan()), (all) =>
    all.flatMap((found) => (Result.isSuccess(found) ? Option.toArray(found.success.rotation) : []))
  )
  const completed = Effect.map(rotations, (all) => all.filter(({ outcome }) => outcome === "completed").length)
  return { ...made, ...machine, slots, rotations, completed }
})

describe("a schedule", () => {
  it.effect("rotates every key once when it is due, and once only for all the dates that were missed", () =>
    Effect.gen(function* () {
      const { completed, rotation, world } = yield* fleet(5)
      yield* pass("95 days", "30 days")
      yield* Effect.forkChild(rotation.schedule({ every: "10 days", jitter: 0, check: "1 hour" }))
      yield* until(
        Effect.map(completed, (count) => count === 5),
        { within: "10 minutes" }
      )
      assert.strictEqual(yield* world.mints, 5)
      yield* pass("9 days", "1 day")
      assert.strictEqual(yield* world.mints, 5)
      yield* until(
        Effect.map(world.mints, (count) => count === 10),
        { step: "1 hour", within: "8 days" }
      )
    })
  )

  it.effect("spreads keys of one age over the jitter", () =>
    Effect.gen(function* () {
      const { rotation, rotations, slots } = yield* fleet(5)
      const adoptedAt = yield* Clock.currentTimeMillis
      yield* Effect.forkChild(rotation.schedule({ every: "10 days", jitter: "2 days", check: "2 hours" }))
      yield* pass("10 days", "1 day")
      yield* until(
        Effect.map(rotations, (all) => all.length === slots.length),
        { step: "2 hours", within: "3 days" }
      )
      for (const [index, { startedAt }] of (yield* rotations).entries()) {
        const spread = Scheduler.spread(slots[index] ?? { account: "", slot: "" })
        assert.isAtLeast(startedAt - adoptedAt, 10 * day + spread * 2 * day)
      }
    })
  )

  it.effect("does not start more at once than it may, and those that wait keep nobody else from it", () =>
    Effect.gen(function* () {
      let stuck = true
      const { completed, rotation, rotations, world } = yield* fleet(
        14,
        {
          account: (account) => {
            const { verify } = account
            return verify === "none"
              ? account
              : {
                  ...account,
                  verify: (key) => Effect.suspend(() => (stuck ? Effect.succeed("unclear" as const) : verify(key)))
                }
          }
        },
        { overdueAfter: "Infinity" }
      )
      yield* pass("31 days", "31 days")
      const first = yield* Effect.forkChild(rotation.schedule({ every: "10 days", atMost: 3, check: "1 day" }))
      const begun = (count: number) => Effect.map(rotations, (all) => all.length === count)
      yield* until(begun(3))
      // Of each there were three attempts, and more.
      yield* pass("2 minutes", "1 second")
      assert.isTrue(yield* begun(3))
      yield* Fiber.interrupt(first)
      // Those three wait for something that may take for ever.
      const second = yield* Effect.forkChild(rotation.schedule({ every: "10 days" }))
      yield* until(begun(13))
      yield* breathe
      assert.isTrue(yield* begun(13))
      yield* Fiber.interrupt(second)
      yield* Effect.forkChild(rotation.schedule({ every: "10 days", atMost: 1 }))
      yield* until(begun(14), { step: "10 seconds", within: "10 minutes" })
      stuck = false
      yield* until(
        Effect.map(completed, (count) => count === 14),
        { step: "1 minute" }
      )
      assert.strictEqual(yield* world.mints, 14)
    })
  )

  it.effect("goes on with the keys of others where an account does not answer, however long that takes", () =>
    Effect.gen(function* () {
      const made = yield* fixture("smtp2go")
      const broken = yield* worlds.voiceable
      const { rotation, vault } = yield* made.machine({
        overdueAfter: "Infinity",
        watch: "1000 days",
        accounts: (name: string) =>
          name === "broken" ? broken.account(broken.client) : made.world.account(made.world.client)
      })
      for (let slot = 0; slot < 10; slot++) {
        const address = yield* broken.people.add(`${slot}`)
        const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })
        yield* vault.adopt({ account: "broken", slot: `${slot}` }, { ref, handle: `voiceable_${address}` })
      }
      yield* rotation.adopt(id, made.first)
      yield* broken.setBroken(true)
      yield* Effect.forkChild(rotation.schedule({ every: "1 hour", jitter: 0 }))
      yield* pass("1 hour", "10 minutes")
      yield* until(
        Effect.map(stepOf(rotation), (last) => last !== undefined),
        { step: "1 minute", within: "11 hours" }
      )
    })
  )

  it.effect("starts a key up to a tenth of its age later, and looks each minute, where it is not told otherwise", () =>
    Effect.gen(function* () {
      const { rotation, rotations, slots } = yield* fleet(1)
      const due = 10 * hour + Scheduler.spread(slots[0] ?? { account: "", slot: "" }) * hour
      // It would be seen if there were no jitter, or one of another size.
      assert.isAbove(due, 10 * hour + hour / 20)
      yield* Effect.forkChild(rotation.schedule({ every: "10 hours" }), { startImmediately: true })
      yield* pass(due - 60_000, "10 minutes")
      assert.deepStrictEqual(yield* rotations, [])
      yield* pass("3 minutes", "10 seconds")
      assert.strictEqual((yield* rotations).length, 1)
    })
  )

  it.effect("run by two machines starts one rotation of each key", () =>
    Effect.gen(function* () {
      const made = yield* fleet(6)
      const other = yield* made.machine({ overlap: 0, watch: "1000 days" })
      yield* pass("31 days", "31 days")
      const options = { every: "10 days", jitter: 0, atMost: 100, check: "1 hour" } as const
      yield* Effect.forkChild(made.rotation.schedule(options), { startImmediately: true })
      yield* Effect.forkChild(other.rotation.schedule(options), { startImmediately: true })
      yield* until(
        Effect.map(made.completed, (count) => count === 6),
        { within: "10 minutes" }
      )
      const first = yield* made.rotations
      assert.strictEqual(new Set(first.map((last) => last.id)).size, 1)
      yield* pass("8 days", "1 day")
      assert.deepStrictEqual(yield* made.rotations, first)
      // The seventh is in no slot.
      assert.strictEqual((yield* made.world.keys).filter((key) => key.alive).length, 7)
    })
  )

  for (const [after, given] of [
    [6, { retryAfter: "6 hours" }],
    [24, {}]
  ] as const) {
    const when =
      "retryAfter" in given ? "after the time that it is told" : "after a day, where it is not told otherwise"
    it.effect(`starts one that failed again ${when}`, () =>
      Effect.gen(function* () {
        let works = false
        let control = ""
        const { rotation, rotations, world } = yield* fleet(
          1,
          {
            account: (account) => ({
              ...account,
              verify: ({ ref }) =>
                Effect.sync(() => (works || Redacted.value(ref.value) === control ? "accepted" : "rejected"))
            })
          },
          { maxMints: 1 }
        )
        control = (yield* world.keys).at(-1)?.address ?? ""
        yield* pass("10 days", "10 days")
        yield* Effect.forkChild(rotation.schedule({ every: "10 days", jitter: 0, check: "10 minutes", ...given }))
        yield* until(Effect.map(rotations, ([last]) => last?.outcome === "failed"))
        const [failed] = yield* rotations
        works = true
        yield* pass((after - 1) * hour, "10 minutes")
        assert.deepStrictEqual(yield* rotations, [failed])
        yield* until(
          Effect.map(rotations, ([last]) => last?.outcome === "completed"),
          { step: "1 minute" }
        )
        const [again] = yield* rotations
        assert.notStrictEqual(again?.id, failed?.id)
        assert.isAtLeast(again?.startedAt ?? 0, (failed?.endedAt ?? 0) + after * hour)
      })
    )
  }

  it.effect("is not stopped by slots that cannot be started or read, nor by a vault that is down", () =>
    Effect.gen(function* () {
      let down = false
      const made = yield* fixture("voiceable")
      const store: VaultStore["Service"] = {
        ...made.store,
        list: (filter) =>
          Stream.suspend(() =>
            down ? Stream.fail(new VaultError({ operation: "list", problem: "Unavailable" })) : made.store.list(filter)
          )
      }
      const { completed, rotation, rotations, vault } = yield* fleet(2, { store })
      for (let slot = 0; slot < 15; slot++) {
        const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(`gone-${slot}`) })
        yield* vault.adopt({ account: "gone", slot: `${slot}` }, { ref, handle: `gone-${slot}` })
      }
      yield* store.write({ account: "main", slot: "a", version: 1, document: "{}", fingerprints: [], open: true })
      yield* pass("31 days", "31 days")
      down = true
      const fiber = yield* Effect.forkChild(rotation.schedule({ every: "10 days", atMost: 2 }))
      yield* pass("5 minutes", "1 minute")
      down = false
      yield* until(
        Effect.map(completed, (count) => count === 2),
        { step: "1 minute" }
      )
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* rotations).length, 2)
    })
  )

  it.effect("is of one account where it is told so", () =>
    Effect.gen(function* () {
      const { rotation, rotations } = yield* fleet(2)
      yield* pass("31 days", "31 days")
      yield* Effect.forkChild(rotation.schedule({ every: "10 days", account: "another" }))
      yield* pass("5 minutes", "1 minute")
      assert.deepStrictEqual(yield* rotations, [])
      yield* Effect.forkChild(
        rotation.schedule({ every: "10 days", account: "main", acknowledgement: true, overlap: "2 hours" })
      )
      yield* until(Effect.map(rotations, (all) => all.length === 2 && all.every(({ step }) => step === "overlap")))
      assert.deepStrictEqual(
        (yield* rotations).map(({ acknowledgement, overlap, step }) => [acknowledgement, overlap, step]),
        [
          [true, 2 * hour, "overlap"],
          [true, 2 * hour, "overlap"]
        ]
      )
    })
  )

  it.effect("whose options make no sense is refused, and says which", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("voiceable")
      // What a program without types may give.
      const bad = (value: unknown) => value as never
      const durations = [-1, Number.NaN, "soon", "Infinity", { days: -1 }]
      const cases: ReadonlyArray<readonly [string, Partial<ScheduleOptions>]> = [
        ...[...durations, 0, undefined].map((value) => ["every", { every: bad(value) }] as const),
        ...durations.map((value) => ["jitter", { jitter: bad(value) }] as const),
        ...[...durations, 0].map((value) => ["check", { check: bad(value) }] as const),
        ...durations.slice(0, 3).map((value) => ["retryAfter", { retryAfter: bad(value) }] as const),
        ...durations.map((value) => ["overlap", { overlap: bad(value) }] as const),
        ...[0, -1, 0.5, Number.NaN, "many"].map((value) => ["atMost", { atMost: bad(value) }] as const),
        ...["", 7].map((value) => ["account", { account: bad(value) }] as const)
      ]
      for (const [field, given] of cases) {
        const error = yield* Effect.flip(rotation.schedule({ every: "1 day", ...given }))
        assert.deepInclude(error, { operation: "schedule", problem: "Malformed" })
        assert.include(error.message, `\`${field}\``, JSON.stringify(given))
      }
    })
  )
})

describe("what keeps a schedule from starting what is due is said in the log, once a day:", () => {
  const schedule = { every: "1 day", jitter: 0, check: "1 hour" } as const

  /** Ten days of a schedule, and what it said. */
  const tenDays = (prepare: Effect.Effect<Machine, unknown>, given: Partial<ScheduleOptions> = {}) =>
    withWarnings((warnings) =>
      Effect.gen(function* () {
        const { close, rotation } = yield* prepare
        const fiber = yield* Effect.forkChild(rotation.schedule({ ...schedule, ...given }), { startImmediately: true })
        yield* pass("10 days", "1 hour")
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
        yield* close
        // The watch has its own.
        const ours = warnings.filter(({ text }) => !text.includes("nobody goes on"))
        const kinds = new Map(ours.map((one) => [JSON.stringify(one), one]))
        for (const one of kinds.keys()) {
          const times = ours.filter((warning) => JSON.stringify(warning) === one).length
          assert.isTrue(times === 10 || times === 11, `${one}: ${times} times`)
        }
        return [...kinds.values()]
      })
    )

  const cannotOpen = "keys are due, and their account cannot be opened"
  const quiet = { watch: "1000 days" } as const

  it.effect("an account of which there is none", () =>
    Effect.gen(function* () {
      const prepare = Effect.gen(function* () {
        const made = yield* adopted("voiceable", quiet)
        for (const slot of ["a", "b"]) {
          const ref = new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(slot) })
          yield* made.vault.adopt({ account: "renamed", slot }, { ref, handle: slot })
        }
        return made
      })
      assert.deepStrictEqual(yield* tenDays(prepare, { account: "renamed" }), [
        { text: cannotOpen, of: { account: "renamed", problem: "UnknownAccount" } }
      ])
    })
  )

  it.effect("an account whose layer cannot be built, without what it says", () =>
    Effect.gen(function* () {
      let works = true
      const prepare = Effect.gen(function* () {
        const made = yield* adopted("voiceable", quiet, {
          account: (account) => ({
            ...account,
            keys: Layer.suspend(() =>
              works ? account.keys : Layer.unwrap(Effect.fail({ _tag: "api_test_planted", secret: "api_test_planted" }))
            )
          })
        })
        yield* pass("20 minutes", "10 minutes")
        works = false
        return made
      })
      assert.deepStrictEqual(yield* tenDays(prepare), [
        { text: cannotOpen, of: { account: "main", problem: "UnknownAccount" } }
      ])
    })
  )

  it.effect("a slot whose key is of another account than its layer", () =>
    Effect.gen(function* () {
      const prepare = Effect.gen(function* () {
        const made = yield* adopted("voiceable", quiet)
        const ref = new KeyRef({ provider: "voiceable", account: "another", value: Redacted.make("7") })
        yield* made.vault.adopt({ account: "main", slot: "a" }, { ref, handle: "h" })
        yield* made.rotation.start(id, { acknowledgement: true, overlap: "300 days" })
        return made
      })
      assert.deepStrictEqual(yield* tenDays(prepare), [
        {
          text: "a key is due, and its rotation cannot be started",
          of: { account: "main", slot: "a", problem: "WrongAccount" }
        }
      ])
    })
  )

  it.effect("a vault that cannot be looked through", () =>
    Effect.gen(function* () {
      const memory = yield* makeMemory
      const store: VaultStore["Service"] = {
        ...memory,
        list: () => Stream.fail(new VaultError({ operation: "list", problem: "Unavailable" }))
      }
      assert.deepStrictEqual(yield* tenDays(adopted("voiceable", quiet, { store })), [
        {
          text: "the vault cannot be looked through, so no key is rotated when it is due",
          of: { problem: "Unavailable" }
        }
      ])
    })
  )

  it.effect("slots that cannot be read", () =>
    Effect.gen(function* () {
      const store = yield* makeMemory
      const prepare = Effect.gen(function* () {
        const made = yield* fixture("voiceable", { store })
        const other = yield* openVault(store, { current: "old", keys: { old: keyOf("api_test_sealing_key_2") } })
        yield* other.adopt(id, { ...made.first, handle: "h" })
        return yield* made.machine(quiet)
      })
      assert.deepStrictEqual(yield* tenDays(prepare), [
        {
          text: "a slot of the vault cannot be read, so its key is not rotated",
          of: { ...id, problem: "Unreadable" }
        }
      ])
    })
  )

  it.effect("and one whose start dies keeps nobody else from it", () =>
    withWarnings((warnings) =>
      Effect.gen(function* () {
        const vault = yield* openVault(yield* makeMemory)
        const started: Array<string> = []
        const slots = ["a", "b", "c"].map((slot) => slotAt(slot, 0))
        const run = Scheduler.run(
          {
            vault: {
              ...vault,
              scan: ({ open } = {}) => (open === true ? Stream.empty : Stream.fromIterable(slots.map(Result.succeed))),
              read: ({ slot }) => Effect.succeed(slotAt(slot, 0))
            },
            check: () => Effect.void,
            start: ({ slot }) =>
              slot === "b"
                ? Effect.die("api_test_planted")
                : Effect.sync((): Progress => {
                    started.push(slot)
                    const last = Option.getOrThrow(ended("completed", 0))
                    return { ...last, slotId: { account: "main", slot }, steps: [], handle: slot }
                  })
          },
          { every: "1 day", jitter: 0, check: "1 hour" }
        )
        yield* TestClock.adjust("2 days")
        const fiber = yield* Effect.forkChild(run, { startImmediately: true })
        yield* breathe
        assert.deepStrictEqual(started, ["a", "c"])
        assert.deepStrictEqual(warnings, [
          {
            text: "a key is due, and its rotation cannot be started",
            of: { account: "main", slot: "b", problem: "Defect" }
          }
        ])
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(warnings.length, 1)
      })
    )
  )
})
