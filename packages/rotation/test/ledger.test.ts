import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, KeyNotFound, KeyRef, ProviderUnavailable } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { Orphan } from "../src/Slot.ts"
import {
  addressOf,
  adopted,
  aliveIn,
  always,
  changing,
  endOf,
  fixture,
  hasEnded,
  id,
  isIn,
  orphansIn,
  pass,
  problemOf,
  soon,
  stepOf,
  until,
  unwatched
} from "./fixture.ts"
import { type World, worlds } from "./support/vendors.ts"

const elsewhere = { account: id.account, slot: "another" }

/** Makes a key by hand, under the same account. */
const byHand = (world: World) =>
  Effect.map(world.people.add("by hand"), (address) => {
    const ref = new KeyRef({ provider: world.name, account: "main", value: Redacted.make(address) })
    return { address, ref }
  })

const orphanOf = (ref: KeyRef | undefined, origin: Orphan["origin"], foundAt = 0): Orphan => ({
  handle: "an-orphan",
  ref: Option.fromUndefinedOr(ref),
  inert: false,
  origin,
  rotationId: "r0",
  foundAt
})

/** The vendor knows none of the slot's keys, as one says that is asked with the credential of another account. */
const blind = (set: { now: boolean }) =>
  changing(set, ({ provider }) => {
    const none = (operation: string) => () =>
      Effect.fail(new ApiKeyError({ provider, operation, reason: new KeyNotFound() }))
    return { get: none("get"), revoke: none("revoke"), delete: none("delete"), rotate: none("rotate") }
  })

describe("adopt", () => {
  it.effect("refuses a key that another slot holds: one that was rotated would take it from the other", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", { ...unwatched, overlap: "1 hour" })
      const error = yield* Effect.flip(rotation.adopt(elsewhere, first))
      assert.strictEqual(error.problem, "Taken")
      assert.include(error.message, id.slot)
      assert.strictEqual(yield* Stream.runCount(vault.slots()), 1)
      const { address, ref } = yield* byHand(world)
      yield* rotation.adopt(elsewhere, { ref, secret: Redacted.make(address) })
      assert.strictEqual(yield* problemOf(rotation.adopt(elsewhere, first, { replace: true })), "Taken")
      assert.strictEqual(addressOf((yield* vault.read(elsewhere)).current.ref), address)
      // So it is for a key that the other slot is about to shut off.
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(isIn(rotation, "overlap"))
      assert.strictEqual(yield* problemOf(rotation.adopt(elsewhere, first, { replace: true })), "Taken")
      yield* until(hasEnded(rotation), { step: "10 minutes" })
      assert.deepStrictEqual(orphansIn(yield* vault.read(elsewhere)), [])
    })
  )

  it.effect("puts the right secret in the place of a wrong one where it is told to", () =>
    Effect.gen(function* () {
      const { first, machine } = yield* fixture("voiceable")
      const { rotation, vault } = yield* machine(unwatched)
      const wrong = yield* rotation.adopt(id, { ref: first.ref, secret: Redacted.make("api_test_wrong") })
      assert.strictEqual(yield* problemOf(rotation.adopt(id, first)), "Taken")
      assert.deepStrictEqual(yield* vault.read(id), wrong)
      yield* rotation.adopt(id, first, { replace: true })
      const mended = yield* vault.read(id)
      assert.strictEqual(Redacted.value(Option.getOrThrow(mended.current.secret)), Redacted.value(first.secret))
      assert.strictEqual(mended.current.handle, wrong.current.handle)
      assert.deepStrictEqual(mended.orphans, [])
      assert.deepStrictEqual(yield* vault.match(Redacted.make("api_test_wrong")), [])
    })
  )

  it.effect("with `replace` writes down the key that was there, where it lives on, until a person settles it", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      const { handle } = (yield* vault.read(id)).current
      const { address, ref } = yield* byHand(world)
      const answer = yield* rotation.adopt(id, { ref, secret: Redacted.make(address) }, { replace: true })
      assert.deepStrictEqual(orphansIn(answer), [[handle, "unretired"]])
      assert.deepStrictEqual(yield* vault.read(id), answer)
      assert.sameMembers(yield* aliveIn(world), [addressOf(first.ref), address])
      yield* rotation.settle(id, handle)
      assert.deepStrictEqual(yield* aliveIn(world), [address])
      assert.deepStrictEqual((yield* vault.read(id)).orphans, [])
    })
  )

  it.effect("with `replace` writes nothing down where the vendor does not know the key that was there", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      const { address, ref } = yield* byHand(world)
      yield* world.people.remove(addressOf(first.ref))
      const answer = yield* rotation.adopt(id, { ref, secret: Redacted.make(address) }, { replace: true })
      assert.deepStrictEqual(answer.orphans, [])
      assert.deepStrictEqual(yield* vault.read(id), answer)
    })
  )

  for (const name of ["smtp2go", "voiceable"] as const) {
    it.effect(`${name}: of an orphan takes it out of the ledger, and no sweep shuts it off any more`, () =>
      Effect.gen(function* () {
        const { rotation, vault, world } = yield* adopted(name, { watch: "5 minutes", overlap: 0 })
        yield* rotation.start(id, { rotationId: "r1" })
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { current } = yield* vault.read(id)
        const { address, ref } = yield* byHand(world)
        yield* vault.addOrphan(id, orphanOf(ref, "unclaimed"))
        const answer = yield* rotation.adopt(id, { ref }, { replace: true })
        assert.deepStrictEqual(orphansIn(answer), [[current.handle, "unretired"]])
        yield* pass("20 minutes", "5 minutes")
        assert.sameMembers(yield* aliveIn(world), [address, addressOf(current.ref)])
        assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [[current.handle, "unretired"]])
      })
    )
  }
})

describe("while the credential is another account's, which knows none of the keys,", () => {
  for (const name of ["smtp2go", "voiceable"] as const) {
    /** A rotation that is in a step, before the step has asked the vendor for anything. */
    const before = (step: "activate" | "promote" | "retire") =>
      Effect.gen(function* () {
        const set = { now: false }
        const enter = (of: typeof step) =>
          Effect.sync(() => {
            if (of === step) set.now = true
          })
        const made = yield* adopted(
          name,
          { ...unwatched, overlap: 0 },
          {
            account: (account) => {
              const { verify } = account
              return {
                ...changing(always, (keys) => ({
                  rotate: (ref, options) => Effect.tap(keys.rotate(ref, options), () => enter("activate"))
                }))(blind(set)(account)),
                verify:
                  verify === "none" ? verify : (candidate) => Effect.tap(verify(candidate), () => enter("promote"))
              }
            }
          }
        )
        yield* made.rotation.start(id, { rotationId: "r1", overlap: step === "retire" ? "1 minute" : 0 })
        if (step === "retire") {
          yield* until(isIn(made.rotation, "overlap"))
          set.now = true
        }
        yield* until(isIn(made.rotation, step))
        return { ...made, set }
      })

    for (const step of ["activate", "promote", "retire"] as const) {
      it.effect(`${name}: a rotation in ${step} waits for a while, and completes where that is mended`, () =>
        Effect.gen(function* () {
          const { rotation, set, vault, world } = yield* before(step)
          yield* pass("15 seconds", "1 second")
          const { outcome, problem, step: at } = (yield* stepOf(rotation)) ?? {}
          assert.deepStrictEqual([at, outcome, problem], [step, undefined, "KeyNotFound"])
          set.now = false
          assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
          const { current, orphans } = yield* vault.read(id)
          assert.deepStrictEqual(orphans, [])
          assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
          assert.strictEqual(yield* world.mints, 1)
        })
      )
    }

    for (const step of ["activate", "promote"] as const) {
      it.effect(`${name}: a rotation in ${step} ends at last, and the new key stays in the books until it is off`, () =>
        Effect.gen(function* () {
          const { first, rotation, set, vault, world } = yield* before(step)
          const pending = Option.getOrThrow((yield* vault.read(id)).pending)
          assert.deepStrictEqual(yield* endOf(rotation), ["superseded", "Deleted"])
          set.now = false
          const slot = yield* vault.read(id)
          assert.strictEqual(addressOf(slot.current.ref), addressOf(first.ref))
          assert.deepStrictEqual(orphansIn(slot), [[pending.handle, "unclaimed"]])
          assert.include(
            (yield* world.keys).map(({ address }) => address),
            addressOf(pending.ref)
          )
          yield* rotation.settle(id, pending.handle)
          assert.deepStrictEqual(yield* aliveIn(world), [addressOf(first.ref)])
          assert.deepStrictEqual((yield* vault.read(id)).orphans, [])
        })
      )
    }
  }

  for (const how of ["the watch", "settle"] as const) {
    it.effect(`${how} leaves an orphan in the books, and shuts it off when that is mended`, () =>
      Effect.gen(function* () {
        const set = { now: false }
        const { rotation, vault, world } = yield* adopted(
          "voiceable",
          { overlap: 0, watch: "5 minutes" },
          { account: blind(set) }
        )
        yield* rotation.start(id, { rotationId: "r1" })
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { address, ref } = yield* byHand(world)
        yield* vault.addOrphan(id, orphanOf(ref, "lost"))
        set.now = true
        if (how === "settle") assert.strictEqual(yield* problemOf(rotation.settle(id, "an-orphan")), "KeyNotFound")
        else yield* pass("15 minutes", "5 minutes")
        assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [["an-orphan", "lost"]])
        assert.include(yield* aliveIn(world), address)
        set.now = false
        if (how === "settle") yield* rotation.settle(id, "an-orphan")
        else yield* pass("2 hours", "5 minutes")
        assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [])
        assert.notInclude(yield* aliveIn(world), address)
      })
    )
  }

  it.effect("a lost mint in place is not given up: the key that it made is taken in when that is mended", () =>
    Effect.gen(function* () {
      const other = yield* worlds.jetemail
      const state = { cut: true, other: false }
      const made = yield* fixture("jetemail", {
        client: (world) =>
          HttpClient.make((request) => {
            if (state.other) return other.client.execute(request)
            const sent = world.client.execute(request)
            return state.cut && world.isMint(request) ? Effect.andThen(sent, Effect.never) : sent
          })
      })
      const one = yield* made.machine(unwatched)
      yield* one.rotation.adopt(id, made.first)
      yield* one.rotation.start(id, { rotationId: "r1" })
      yield* until(Effect.map(made.world.mints, (mints) => mints === 1))
      yield* Effect.forkDetach(one.close)
      yield* pass("1 minute", "10 seconds")
      assert.lengthOf((yield* one.vault.read(id)).intents, 1)
      state.cut = false
      state.other = true
      yield* pass("12 hours", "6 hours")
      const two = yield* made.machine({ watch: "5 minutes" })
      yield* soon(isIn(two.rotation, "mint"))
      yield* pass("1 hour", "5 minutes")
      assert.deepInclude(yield* stepOf(two.rotation), { step: "mint", problem: "Deleted", mints: 1 })
      assert.lengthOf((yield* two.vault.read(id)).intents, 1)
      state.other = false
      assert.deepStrictEqual(yield* endOf(two.rotation, { step: "1 minute" }), ["completed", undefined])
      const { current, intents } = yield* two.vault.read(id)
      assert.deepStrictEqual(yield* aliveIn(made.world), [addressOf(current.ref)])
      assert.deepStrictEqual(intents, [])
      assert.strictEqual(yield* made.world.mints, 1)
    })
  )
})

describe("the sweep", () => {
  it.effect("keeps an orphan without an address until the list shows the slot's own key, and not the orphan", () =>
    Effect.gen(function* () {
      const late = { now: true }
      const { machine, rotation, vault } = yield* adopted(
        "smtp2go",
        { ...unwatched, overlap: 0 },
        { account: changing(late, () => ({ list: () => Stream.empty })) }
      )
      yield* rotation.start(id, { rotationId: "r1" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      yield* vault.addOrphan(id, orphanOf(undefined, "lost"))
      const other = yield* machine({ watch: "5 minutes" })
      yield* pass("15 minutes", "5 minutes")
      assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [["an-orphan", "lost"]])
      late.now = false
      yield* pass("2 hours", "5 minutes")
      assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [])
      yield* other.close
    })
  )

  it.effect("is made by a process that runs for a few minutes, however long ago the rotation ended", () =>
    Effect.gen(function* () {
      const { close, machine, rotation, vault, world } = yield* adopted("voiceable", { ...unwatched, overlap: 0 })
      yield* rotation.start(id, { rotationId: "r1" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      const { address, ref } = yield* byHand(world)
      yield* vault.addOrphan(id, orphanOf(ref, "lost"))
      yield* close
      yield* pass("310 minutes", "310 minutes")
      assert.include(yield* aliveIn(world), address)
      const short = yield* machine({ watch: "5 minutes" })
      yield* pass("2 minutes", "1 minute")
      assert.notInclude(yield* aliveIn(world), address)
      assert.deepStrictEqual((yield* short.vault.read(id)).orphans, [])
      yield* short.close
    })
  )
})

describe("a new key", () => {
  for (const removable of [true, false]) {
    it.effect(`that does not work is ${removable ? "removed" : "in the ledger where it cannot be removed"}`, () =>
      Effect.gen(function* () {
        const bad = new Set<string>()
        const stuck = { now: !removable }
        const { rotation, vault, world } = yield* adopted(
          "smtp2go",
          { ...unwatched, overlap: 0 },
          {
            account: (account) => ({
              ...changing(always, (keys) => ({
                rotate: (ref, options) =>
                  Effect.tap(keys.rotate(ref, options), ({ issued }) =>
                    Effect.sync(() => (bad.size === 0 ? bad.add(addressOf(issued.ref)) : bad))
                  )
              }))(
                changing(stuck, ({ provider }) => ({
                  delete: () =>
                    Effect.fail(
                      new ApiKeyError({
                        provider,
                        operation: "delete",
                        reason: new ProviderUnavailable({ problem: "status", sent: true })
                      })
                    )
                }))(account)
              ),
              verify: ({ secret }) => Effect.succeed(bad.has(Redacted.value(secret)) ? "rejected" : "accepted")
            })
          }
        )
        yield* rotation.start(id, { rotationId: "r1" })
        yield* until(
          Effect.map(world.mints, (mints) => mints === 2),
          { step: "5 seconds" }
        )
        yield* until(removable ? hasEnded(rotation) : isIn(rotation, "sweep"))
        const left = (yield* world.keys).filter(({ address }) => bad.has(address))
        assert.deepStrictEqual(
          orphansIn(yield* vault.read(id)),
          left.map(({ handle }) => [handle, "unclaimed"])
        )
        assert.lengthOf(left, removable ? 0 : 1)
        stuck.now = false
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { current, orphans } = yield* vault.read(id)
        assert.deepStrictEqual(orphans, [])
        assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      })
    )
  }

  it.effect("that is a copy of a wider key than the old one was before and is after does not take its place", () =>
    Effect.gen(function* () {
      const made: { world?: World } = {}
      const set = (how: "narrow" | "widen", ref: KeyRef) =>
        Effect.suspend(() => made.world?.people[how](addressOf(ref)) ?? Effect.void)
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: changing(always, (keys) => ({
          rotate: (ref, options) =>
            Effect.andThen(
              set("widen", ref),
              Effect.tap(keys.rotate(ref, options), () => set("narrow", ref))
            )
        }))
      })
      made.world = world
      yield* world.people.narrow(addressOf(first.ref))
      yield* rotation.start(id, { rotationId: "r1" })
      assert.deepStrictEqual(yield* endOf(rotation), ["superseded", "Changed"])
      assert.strictEqual(yield* world.mints, 1)
      const { current, orphans } = yield* vault.read(id)
      assert.strictEqual(addressOf(current.ref), addressOf(first.ref))
      assert.deepStrictEqual(orphans, [])
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(first.ref)])
    })
  )

  for (const name of ["smtp2go", "voiceable"] as const) {
    it.effect(`${name}: that is shown a few seconds late is waited for`, () =>
      Effect.gen(function* () {
        const born = new Map<string, number>()
        const { rotation, vault, world } = yield* adopted(
          name,
          { ...unwatched, overlap: 0 },
          {
            account: changing(always, (keys) => ({
              rotate: (ref, options) =>
                Effect.tap(keys.rotate(ref, options), ({ issued }) =>
                  Effect.map(Clock.currentTimeMillis, (now) => born.set(addressOf(issued.ref), now))
                ),
              get: (ref) =>
                Effect.flatMap(Clock.currentTimeMillis, (now) =>
                  now < (born.get(addressOf(ref)) ?? Number.NEGATIVE_INFINITY) + 3000
                    ? Effect.fail(new ApiKeyError({ provider: name, operation: "get", reason: new KeyNotFound() }))
                    : keys.get(ref)
                )
            }))
          }
        )
        yield* rotation.start(id, { rotationId: "r1" })
        yield* until(isIn(rotation, "activate"))
        assert.strictEqual((yield* stepOf(rotation))?.problem, "KeyNotFound")
        assert.deepStrictEqual(yield* endOf(rotation, { within: "1 minute" }), ["completed", undefined])
        const { current, orphans } = yield* vault.read(id)
        assert.strictEqual(yield* world.mints, 1)
        assert.deepStrictEqual(orphans, [])
        assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      })
    )
  }
})
