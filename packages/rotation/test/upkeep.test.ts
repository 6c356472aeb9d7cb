import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, AuthenticationFailed, KeyRef } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Accounts from "../src/internal/accounts.ts"
import * as Faults from "../src/internal/faults.ts"
import * as Options from "../src/internal/options.ts"
import * as Schedule from "../src/internal/schedule.ts"
import type { Account } from "../src/Rotation.ts"
import { VaultError } from "../src/VaultError.ts"
import { makeMemory, type VaultStore } from "../src/VaultStore.ts"
import {
  adopted,
  begun,
  counting,
  type fixture,
  hasEnded,
  id,
  keyOf,
  mapKeys,
  openVault,
  pass,
  stepOf,
  until
} from "./fixture.ts"
import { worlds } from "./support/vendors.ts"
import { withWarnings } from "./support/warnings.ts"

const day = 24 * 60 * 60_000

const refOf = (address: string) => new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })

/** An account that counts how often its layer was built and closed; a verb tells which of them it belongs to. */
const countedAccount = Effect.fnUntraced(function* (atEnd: Effect.Effect<void> = Effect.void) {
  const world = yield* worlds.voiceable
  const account = world.account(world.client)
  const counts = { built: 0, closed: 0 }
  const keys = Layer.effectContext(
    Effect.gen(function* () {
      const context = yield* Layer.build(Layer.fresh(account.keys))
      const number = ++counts.built
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          Effect.sync(() => counts.closed++),
          atEnd
        )
      )
      return Context.add(context, ApiKeyService, { ...Context.get(context, ApiKeyService), account: `${number}` })
    })
  )
  // One layer, as programs have it: a second account with it shares what is built.
  const accounts = yield* Accounts.make((name: string) =>
    name === "gone" ? undefined : { keys, verify: "none" as const }
  )
  const open = (account: string) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { keys } = yield* Scope.provide(accounts.open("test", { ...id, account }), scope)
      return { number: keys.account, close: Scope.close(scope, Exit.void) }
    })
  return { accounts, counts, open }
})

describe("an account that is renewed", () => {
  it.effect("is built anew for whoever opens it next, and stays open under those who have it", () =>
    Effect.gen(function* () {
      const { accounts, counts, open } = yield* countedAccount()
      const one = yield* open("a")
      const other = yield* open("b")
      assert.deepStrictEqual([one.number, other.number, counts.built], ["1", "1", 1])
      yield* TestClock.adjust("1 minute")
      yield* accounts.renew("a")
      const two = yield* open("a")
      assert.deepStrictEqual([two.number, counts.built, counts.closed], ["2", 2, 0])
      yield* one.close
      assert.strictEqual(counts.closed, 0)
      yield* other.close
      yield* two.close
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual(counts.closed, 0)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(counts.closed, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("is closed at once where nobody has it, and left as it is where it is new or not open at all", () =>
    Effect.gen(function* () {
      const { accounts, counts, open } = yield* countedAccount()
      yield* accounts.renew("a")
      yield* accounts.renew("gone")
      yield* (yield* open("a")).close
      yield* accounts.renew("a")
      assert.deepStrictEqual(counts, { built: 1, closed: 0 })
      assert.strictEqual((yield* open("a")).number, "1")
      yield* TestClock.adjust("1 minute")
      yield* (yield* open("b")).close
      yield* accounts.renew("b")
      assert.deepStrictEqual(counts, { built: 1, closed: 0 })
      yield* TestClock.adjust("1 minute")
      yield* accounts.renew("b")
      assert.strictEqual((yield* open("b")).number, "2")
    }).pipe(Effect.scoped)
  )

  it.effect("holds nobody up with what its layer does at its end", () =>
    Effect.gen(function* () {
      let holds = true
      const { accounts, counts, open } = yield* countedAccount(
        Effect.suspend(() => (holds ? Effect.andThen(Effect.sleep("1 day"), Effect.die("at its end")) : Effect.void))
      )
      yield* (yield* open("a")).close
      yield* TestClock.adjust("1 minute")
      yield* accounts.renew("a")
      assert.deepStrictEqual(counts, { built: 1, closed: 1 })
      assert.strictEqual((yield* open("a")).number, "2")
      holds = false
      yield* TestClock.adjust("2 days")
    }).pipe(Effect.scoped)
  )
})

describe("a management credential that was refused", () => {
  it.effect("is read anew, though many rotations wait for it and keep its account open", () =>
    Effect.gen(function* () {
      let mended = true
      const refused = new ApiKeyError({
        provider: "voiceable",
        operation: "test",
        reason: new AuthenticationFailed({ problem: "rejected" })
      })
      /** What a layer has read when it was built it has for good. */
      const account = (given: Account): Account =>
        mapKeys(given, (keys) => {
          const works = mended
          return {
            ...keys,
            get: (ref) => (works ? keys.get(ref) : Effect.fail(refused)),
            list: () => (works ? keys.list() : Stream.fail(refused))
          }
        })
      const { rotation, vault, world } = yield* adopted("voiceable", { overlap: 0, watch: "1000 days" }, { account })
      const slots = Array.from({ length: 12 }, (_, index) => ({ ...id, slot: `tenant-${index}` }))
      for (const slot of slots) {
        const address = yield* world.people.add(slot.slot)
        yield* vault.adopt(slot, { ref: refOf(address), handle: `voiceable_${address}` })
      }
      // The account is let go, and built anew.
      yield* pass("15 minutes", "5 minutes")
      mended = false
      for (const slot of slots) {
        yield* rotation.start(slot)
        yield* pass("1 minute")
      }
      yield* pass("1 hour")
      assert.strictEqual((yield* stepOf(rotation, slots[0]))?.problem, "AuthenticationFailed")
      mended = true
      yield* until(
        Effect.map(
          Effect.forEach(slots, (slot) => hasEnded(rotation, slot)),
          (all) => all.every((ended) => ended)
        ),
        { step: "30 seconds", within: "40 minutes" }
      )
    })
  )
})

describe("the watch", () => {
  /** A rotation that has ended, and a key that it has left behind. */
  const leftBehind = Effect.fnUntraced(function* (given: Parameters<typeof fixture>[1] = {}) {
    const made = yield* adopted("voiceable", { overlap: 0, watch: "1000 days" }, given)
    yield* made.rotation.start(id)
    yield* until(hasEnded(made.rotation))
    const address = yield* made.world.people.add("left behind")
    yield* made.vault.addOrphan(id, {
      handle: "left",
      ref: Option.some(refOf(address)),
      inert: false,
      origin: "lost",
      rotationId: "r0",
      foundAt: yield* Clock.currentTimeMillis
    })
    yield* made.close
    return made
  })

  it.effect("looks after what was left behind at its first look, for a process may end before another", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      const { machine, store } = yield* leftBehind({ account: counting(calls) })
      yield* pass("3 hours", "1 hour")
      yield* TestClock.adjust("20 minutes")
      calls.length = 0
      const { vault } = yield* machine({ watch: "5 minutes" })
      yield* until(
        Effect.map(vault.read(id), ({ orphans }) => orphans.length === 0),
        { within: "10 seconds" }
      )
      assert.include(calls, "delete")
      // Something that waits for a person, so that the slot is looked at further.
      const other = yield* openVault(store)
      yield* other.addOrphan(id, {
        handle: "unseen",
        ref: Option.none(),
        inert: true,
        origin: "lost",
        rotationId: "r0",
        foundAt: 0
      })
      calls.length = 0
      yield* pass("16 minutes", "1 minute")
      assert.deepStrictEqual(calls, [])
    })
  )

  it.effect("asks no vendor about a rotation that has failed and left nothing behind", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      let control = ""
      const { close, first, machine, rotation, vault } = yield* adopted(
        "voiceable",
        { maxMints: 1, watch: "1000 days" },
        {
          account: (account) =>
            counting(calls)({
              ...account,
              verify: ({ ref }) => Effect.sync(() => (Redacted.value(ref.value) === control ? "accepted" : "rejected"))
            })
        }
      )
      control = Redacted.value(first.ref.value)
      yield* rotation.start(id)
      yield* until(hasEnded(rotation))
      assert.strictEqual((yield* stepOf(rotation))?.outcome, "failed")
      assert.strictEqual(yield* Stream.runCount(vault.scan({ open: true })), 1)
      yield* close
      calls.length = 0
      yield* machine({ watch: "5 minutes" })
      yield* pass("20 minutes", "1 minute")
      assert.deepStrictEqual(calls, [])
    })
  )

  it.effect("says in the log what it cannot look after: once, and again on the next day", () =>
    withWarnings((warnings) =>
      Effect.gen(function* () {
        const down = { list: false, read: false }
        const memory = yield* makeMemory
        const unavailable = (operation: string) => new VaultError({ operation, problem: "Unavailable" })
        const store: VaultStore["Service"] = {
          ...memory,
          read: (asked) =>
            down.read && asked.slot === "running" ? Effect.fail(unavailable("read")) : memory.read(asked),
          list: (filter) => Stream.suspend(() => (down.list ? Stream.fail(unavailable("list")) : memory.list(filter)))
        }
        const { machine } = yield* leftBehind({ store })
        const old = { current: "old", keys: { old: keyOf("api_test_sealing_key_2") } }
        for (const [slot, keys] of [
          ["sealed", old],
          ["running", undefined]
        ] as const) {
          const vault = yield* openVault(store, keys)
          yield* vault.adopt({ account: "main", slot }, { ref: refOf(slot), handle: slot })
          yield* vault.begin({ account: "main", slot }, begun("r1"))
        }
        down.read = true
        const watching = yield* machine({ watch: "1 hour", accounts: () => undefined })
        const said = () => warnings.filter(({ text }) => text !== "a rotation is overdue")
        yield* pass("20 hours", "1 hour")
        const expected = [
          {
            text: "what a rotation has left behind cannot be looked after",
            of: { account: "main", problem: "UnknownAccount" }
          },
          { text: "nobody goes on with a rotation", of: { account: "main", slot: "running", problem: "Unavailable" } },
          {
            text: "a slot of the vault cannot be read, so nobody goes on with it",
            of: { account: "main", slot: "sealed", problem: "Unreadable" }
          }
        ]
        assert.sameDeepMembers(said(), expected)
        yield* pass("10 hours", "1 hour")
        for (const one of expected) assert.strictEqual(said().filter(({ text }) => text === one.text).length, 2)
        yield* watching.close
        warnings.length = 0
        down.list = true
        yield* machine({ watch: "1 hour" })
        yield* pass("50 hours", "1 hour")
        const looking = {
          text: "the vault cannot be looked through, so nobody goes on with its rotations",
          of: { problem: "Unavailable" }
        }
        assert.deepStrictEqual(said(), [looking, looking, looking])
      })
    )
  )
})

describe("a fault", () => {
  const fault = { account: "main", slot: "a", problem: "Unavailable" }

  it.effect("is said when it begins and once a day while it lasts, and anew when it comes back", () =>
    withWarnings((warnings) =>
      Effect.gen(function* () {
        const faults = Faults.make()
        const look = (...met: ReadonlyArray<Faults.Fault>) =>
          Effect.gen(function* () {
            for (const one of met) yield* faults.say("it is broken", one)
            yield* faults.looked
            yield* TestClock.adjust("1 minute")
          })
        for (let minute = 0; minute < 3 * 24 * 60; minute++) yield* look(fault)
        assert.strictEqual(warnings.length, 3)
        yield* look(fault, { account: "main", problem: "Unavailable" }, { ...fault, slot: "b" })
        assert.deepStrictEqual(
          warnings.slice(3).map(({ of }) => of),
          [fault, { account: "main", problem: "Unavailable" }, { ...fault, slot: "b" }]
        )
        // It comes and goes: it is said once an hour at most, and not forgotten.
        warnings.length = 0
        for (let minute = 0; minute < 180; minute++) yield* minute % 2 === 0 ? look() : look(fault)
        assert.isAtLeast(warnings.length, 2)
        assert.isAtMost(warnings.length, 3)
        // It is over for some minutes, and then it is back for good.
        yield* look()
        warnings.length = 0
        for (let minute = 0; minute < 120; minute++) yield* look(fault)
        assert.strictEqual(warnings.length, 1)
      })
    )
  )

  it.effect("is not named one by one where there are too many, also of one kind that nobody tells the end of", () =>
    withWarnings((warnings) =>
      Effect.gen(function* () {
        const faults = Faults.make()
        const all = Array.from({ length: 5_000 }, (_, index) => ({ ...fault, slot: `tenant-${index}` }))
        for (let round = 0; round < 3; round++) for (const one of all) yield* faults.say("it is broken", one)
        assert.strictEqual(warnings.length, 101)
        assert.deepStrictEqual(warnings[100], {
          text: "there are more faults like this one, which are not named one by one",
          of: { problem: "Unavailable" }
        })
        yield* TestClock.adjust("1 day")
        yield* faults.say("it is broken", { ...fault, slot: "another" })
        assert.strictEqual(warnings.length, 102)
        assert.deepStrictEqual(warnings[101]?.of, { ...fault, slot: "another" })
      })
    )
  )
})

describe("what the service says of a slot that was not taken in", () => {
  it.effect("is what to do", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("voiceable")
      const none = { ...id, slot: "none" }
      for (const asked of [
        Effect.asVoid(rotation.start(none)),
        Effect.asVoid(rotation.awaitEnd(none)),
        Effect.asVoid(rotation.revokeAndReplace(none))
      ]) {
        const error = yield* Effect.flip(asked)
        assert.strictEqual(error.problem, "NotFound")
        assert.include(error.message, "take a key in with `adopt` first")
        assert.include(error.message, "main/none: NotFound: ")
      }
      yield* rotation.start(id)
      const busy = yield* Effect.flip(rotation.start(id, { rotationId: "another" }))
      assert.include(busy.message, "InProgress: another rotation of this slot is open")
    })
  )
})

describe("what an option is where it is not given", () => {
  const lines = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8").split("\n")

  it("is what the README's table says", () => {
    const said = lines("../README.md").flatMap((line): ReadonlyArray<readonly [string, string]> => {
      const [, names = "", values = ""] = line.split("|").map((cell) => cell.trim())
      const options = [...names.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name)
      const given = values.split(", ")
      return options.every((name) => name in Options.defaults) && options.length === given.length
        ? options.map((name, index) => [name, given[index] ?? ""] as const)
        : []
    })
    const real = Object.entries(Options.defaults).map(([name, value]) => [name, String(value)])
    assert.deepStrictEqual(Object.fromEntries(said), Object.fromEntries(real))
  })

  it("is what the page on rotation says", () => {
    const page = lines("../../../docs/rotation.md").join(" ")
    const { lateArrival, overlap, propagation, watch } = Options.defaults
    const sentences: ReadonlyArray<readonly [unknown, unknown, string]> = [
      [overlap, "24 hours", "works for `overlap` (24 hours unless you say)"],
      [propagation, "1 minute", "`rejected` for a minute (`propagation`)"],
      [lateArrival, "15 minutes", "within 15 minutes (`lateArrival`)"],
      [watch, "5 minutes", "every five minutes (`watch`)"],
      [Schedule.defaults.jitter, 0.1, "up to a tenth of that later (`jitter`)"],
      [Schedule.defaults.atMost, 10, "At most ten are minted at once (`atMost`)"],
      [Schedule.defaults.retryAfter, "1 day", "a day later (`retryAfter`)"],
      [Schedule.defaults.check, "1 minute", "looks every minute (`check`)"]
    ]
    for (const [real, value, sentence] of sentences) {
      assert.strictEqual(real, value, sentence)
      assert.include(page, sentence)
    }
  })

  it.effect("is what the service goes by: an old key is left alive for a day", () =>
    Effect.gen(function* () {
      const { rotation, world } = yield* adopted("voiceable", { overlap: undefined, watch: "1000 days" })
      yield* rotation.start(id)
      yield* until(Effect.map(stepOf(rotation), (last) => last?.step === "overlap"))
      assert.strictEqual((yield* stepOf(rotation))?.overlap, day)
      const alive = Effect.map(world.keys, (all) => all.filter((key) => key.alive).length)
      yield* pass("23 hours", "1 hour")
      assert.strictEqual(yield* alive, 2)
      yield* pass("2 hours", "10 minutes")
      assert.strictEqual(yield* alive, 1)
    })
  )

  it.effect("is what the service goes by: five keys are minted, each of them tried for a minute", () =>
    Effect.gen(function* () {
      const rejections: Array<number> = []
      let control = ""
      const given = { maxMints: undefined, propagation: undefined, watch: "1000 days" as const }
      const { first, rotation, world } = yield* adopted("voiceable", given, {
        account: (account) => ({
          ...account,
          verify: ({ ref }) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              if (Redacted.value(ref.value) === control) return "accepted"
              rejections.push(now)
              return "rejected"
            })
        })
      })
      control = Redacted.value(first.ref.value)
      const begin = yield* Clock.currentTimeMillis
      yield* rotation.start(id)
      yield* until(hasEnded(rotation))
      const last = yield* stepOf(rotation)
      assert.deepInclude(last, { outcome: "failed", problem: "Rejected" })
      assert.strictEqual(yield* world.mints, 5)
      const took = (last?.endedAt ?? 0) - begin
      assert.isAtLeast(took, 5 * 60_000)
      assert.isAtMost(took, 5 * 2 * 60_000)
      assert.isAtLeast(rejections.length, 10)
    })
  )
})
