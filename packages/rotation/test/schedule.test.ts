import { assert, describe, it } from "@effect/vitest"
import { KeyRef } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
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
import { adopted, breathe, fixture, openVault, pass, soon, until } from "./fixture.ts"

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
        { step: "1 hour", within: "2 days" }
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

  it.effect("does not start more at once than it may, and those that are stuck keep nobody else from it for ever", () =>
    Effect.gen(function* () {
      let stuck = true
      const { completed, rotation, rotations, world } = yield* fleet(9, {
        account: (account) => {
          const { verify } = account
          return verify === "none"
            ? account
            : {
                ...account,
                verify: (key) => Effect.suspend(() => (stuck ? Effect.succeed("unclear" as const) : verify(key)))
              }
        }
      })
      yield* pass("31 days", "31 days")
      yield* Effect.forkChild(rotation.schedule({ every: "10 days", atMost: 3 }))
      yield* pass("50 minutes", "1 minute")
      assert.strictEqual((yield* rotations).length, 3)
      // They are overdue after an hour.
      yield* until(
        Effect.map(rotations, (all) => all.length >= 6),
        { step: "1 minute" }
      )
      yield* pass("20 minutes", "1 minute")
      assert.strictEqual((yield* rotations).length, 6)
      stuck = false
      yield* until(
        Effect.map(completed, (count) => count === 9),
        { step: "1 minute" }
      )
      assert.strictEqual(yield* world.mints, 9)
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
      assert.strictEqual(new Set(first.map((last) => `${last.id} ${last.startedAt}`)).size, 1)
      yield* pass("8 days", "1 day")
      assert.deepStrictEqual(yield* made.rotations, first)
      // The seventh is in no slot.
      assert.strictEqual((yield* made.world.keys).filter((key) => key.alive).length, 7)
    })
  )

  it.effect("starts one that failed again after some time", () =>
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
      yield* Effect.forkChild(
        rotation.schedule({ every: "10 days", jitter: 0, retryAfter: "6 hours", check: "10 minutes" })
      )
      yield* until(Effect.map(rotations, ([last]) => last?.outcome === "failed"))
      const [failed] = yield* rotations
      works = true
      yield* pass("5 hours", "10 minutes")
      assert.deepStrictEqual(yield* rotations, [failed])
      yield* until(
        Effect.map(rotations, ([last]) => last?.outcome === "completed"),
        { step: "1 minute" }
      )
      const [again] = yield* rotations
      assert.notStrictEqual(again?.id, failed?.id)
      assert.isAtLeast(again?.startedAt ?? 0, (failed?.endedAt ?? 0) + 6 * hour)
    })
  )

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
      const other = {
        handle: "gone",
        ref: new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make("7") })
      }
      for (let slot = 0; slot < 15; slot++) yield* vault.adopt({ account: "gone", slot: `${slot}` }, other)
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
