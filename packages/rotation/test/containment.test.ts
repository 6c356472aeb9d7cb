import { assert, describe, it } from "@effect/vitest"
import { ApiKey, ApiKeyError, InvalidRequest, KeyNotFound, KeyRef, ProviderUnavailable } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import {
  addressOf,
  adopted,
  aliveIn,
  always,
  breathe,
  changing,
  endOf,
  id,
  isIn,
  pass,
  problemOf,
  reasonsIn,
  stepOf,
  until,
  unwatched
} from "./fixture.ts"

const refusal = (operation: string, reason: ApiKeyError["reason"]) =>
  Effect.fail(new ApiKeyError({ provider: "smtp2go", operation, reason }))

const invalid = new InvalidRequest({ source: "provider", issues: [] })
const unreachable = new ProviderUnavailable({ problem: "transport", sent: false })

describe("the name of a rotation", () => {
  it.effect("that is under way is refused to whoever reports a leak: under a name of its own it is contained", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.start(id, { rotationId: "ticket-1", overlap: "30 days" })
      yield* until(isIn(rotation, "overlap"))
      const before = yield* vault.read(id)
      for (const leaked of [first.secret, id]) {
        const error = yield* Effect.flip(rotation.revokeAndReplace(leaked, { rotationId: "ticket-1" }))
        assert.strictEqual(error.problem, "Taken")
        assert.include(error.message, "rotationId")
      }
      assert.deepStrictEqual(yield* vault.read(id), before)
      yield* rotation.revokeAndReplace(first.secret, { rotationId: "incident" })
      assert.deepStrictEqual(yield* endOf(rotation), ["contained", undefined])
      // It was not the key to use that leaked.
      const { current, previous } = yield* vault.read(id)
      assert.deepStrictEqual(current, before.current)
      assert.isTrue(Option.isNone(previous))
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
    })
  )

  it.effect("of an incident is refused for the leak of another key", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.revokeAndReplace(id, { rotationId: "incident-1" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      const { current } = yield* vault.read(id)
      const secret = Option.getOrThrow(current.secret)
      assert.strictEqual(yield* problemOf(rotation.revokeAndReplace(secret, { rotationId: "incident-1" })), "Taken")
      assert.strictEqual(yield* problemOf(rotation.start(id, { rotationId: "incident-1" })), "Taken")
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      yield* rotation.revokeAndReplace(secret, { rotationId: "incident-2" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      const next = yield* vault.read(id)
      assert.notStrictEqual(addressOf(next.current.ref), addressOf(current.ref))
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(next.current.ref)])
    })
  )

  it.effect("that was used before, and not last, starts another rotation at once", () =>
    Effect.gen(function* () {
      const { rotation, world } = yield* adopted("smtp2go", { ...unwatched, overlap: 0 })
      for (const [index, rotationId] of ["r1", "r2", "r1"].entries()) {
        yield* pass("1 minute", "1 minute")
        const { startedAt } = yield* rotation.start(id, { rotationId })
        assert.strictEqual(startedAt, yield* Clock.currentTimeMillis)
        assert.deepStrictEqual(yield* endOf(rotation, { within: "30 seconds" }), ["completed", undefined])
        assert.strictEqual(yield* world.mints, index + 1)
      }
    })
  )
})

describe("a report of a leak that comes again", () => {
  it.effect("without a name joins what is under way, however often it comes", () =>
    Effect.gen(function* () {
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) => ({ ...account, verify: () => Effect.succeed("unclear" as const) })
      })
      const [incident] = yield* rotation.revokeAndReplace(first.secret)
      for (let report = 0; report < 8; report++) {
        yield* pass("4 minutes", "1 minute")
        const [joined] = yield* rotation.revokeAndReplace(first.secret)
        assert.strictEqual(joined?.id, incident?.id)
      }
      assert.strictEqual((yield* stepOf(rotation))?.step, "verify")
      assert.strictEqual(yield* world.mints, 1)
      assert.notInclude(yield* aliveIn(world), addressOf(first.ref))
    })
  )

  it.effect("joins it under another name too, and though the clock was set back", () =>
    Effect.gen(function* () {
      const down = { now: true }
      yield* TestClock.adjust("10 minutes")
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: changing(down, () => ({ rotate: () => refusal("rotate", unreachable) }))
      })
      yield* TestClock.setTime(5 * 60_000)
      yield* rotation.revokeAndReplace(id, { rotationId: "incident-1" })
      yield* breathe
      const [joined] = yield* rotation.revokeAndReplace(id, { rotationId: "incident-2" })
      assert.strictEqual(joined?.id, "incident-1")
      down.now = false
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      assert.strictEqual(yield* world.mints, 1)
      const alive = yield* aliveIn(world)
      assert.lengthOf(alive, 1)
      assert.notInclude(alive, addressOf(first.ref))
    })
  )
})

describe("a key that is off before its rotation", () => {
  for (const [kind, outcome] of [
    ["rotate", "superseded"],
    ["replace", "contained"]
  ] as const) {
    it.effect(
      `${kind}: is not replaced by another that works for nobody: it ends as ${outcome}, and a person is told`,
      () =>
        Effect.gen(function* () {
          const { first, rotation, world } = yield* adopted("smtp2go", unwatched)
          yield* world.people.disable(addressOf(first.ref))
          if (kind === "rotate") yield* rotation.start(id, { rotationId: "r1" })
          else yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
          assert.deepStrictEqual(yield* endOf(rotation), [outcome, "Disabled"])
          assert.strictEqual(yield* world.mints, 0)
          assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
        })
    )
  }

  it.effect("because its vendor holds it for now, is let alone, and works again when it is let go", () =>
    Effect.gen(function* () {
      const held = { now: true }
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: changing(held, (keys) => ({
          get: (ref) => Effect.map(keys.get(ref), (key) => new ApiKey({ ...key, status: "suspended" }))
        }))
      })
      yield* rotation.start(id, { rotationId: "r1", overlap: 0 })
      assert.deepStrictEqual(yield* endOf(rotation), ["superseded", "Disabled"])
      assert.strictEqual(yield* world.mints, 0)
      held.now = false
      yield* rotation.start(id, { rotationId: "r2", overlap: 0 })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      assert.notInclude(yield* aliveIn(world), addressOf(first.ref))
    })
  )
})

describe("a leaked key that cannot be replaced", () => {
  for (const [next, outcome, problem] of [
    ["revokeAndReplace", "contained", "Undetermined"],
    ["start", "superseded", "Disabled"]
  ] as const) {
    it.effect(
      `because it could not be read in time, is off, and no ${next} after that makes one that works for nobody`,
      () =>
        Effect.gen(function* () {
          const down = { now: false }
          const { rotation, world } = yield* adopted("smtp2go", unwatched, {
            account: changing(down, () => ({ get: () => refusal("get", unreachable) }))
          })
          down.now = true
          yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
          assert.deepStrictEqual(yield* endOf(rotation, { within: "1 minute" }), ["contained", "Undetermined"])
          assert.deepStrictEqual(yield* aliveIn(world), [])
          assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
          down.now = false
          yield* rotation[next](id, { rotationId: "r2" })
          assert.deepStrictEqual(yield* endOf(rotation), [outcome, problem])
          assert.strictEqual(yield* world.mints, 0)
          assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
        })
    )
  }

  it.effect("because the vendor refuses another, is off, and a person is told until there is one", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: changing(always, () => ({ rotate: () => refusal("rotate", invalid) }))
      })
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      assert.deepStrictEqual(yield* endOf(rotation), ["contained", "InvalidRequest"])
      assert.deepStrictEqual(yield* aliveIn(world), [])
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
      const address = yield* world.people.add("made by hand")
      const ref = new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })
      yield* world.people.remove(addressOf(first.ref))
      yield* pass("1 minute", "1 minute")
      yield* rotation.adopt(id, { ref, secret: Redacted.make(address) }, { replace: true })
      assert.strictEqual(addressOf((yield* vault.read(id)).current.ref), address)
      assert.deepStrictEqual(yield* reasonsIn(rotation), [])
    })
  )

  for (const how of ["setMasked", "setLegacy"] as const) {
    it.effect(`because the list would not show what becomes of it (${how}), is shut off within a minute`, () =>
      Effect.gen(function* () {
        const { rotation, world } = yield* adopted("jetemail", unwatched)
        yield* world[how]?.(true) ?? Effect.void
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        assert.deepStrictEqual(yield* endOf(rotation, { within: "1 minute" }), ["contained", "UnexpectedResponse"])
        assert.deepStrictEqual(yield* aliveIn(world), [])
        assert.strictEqual(yield* world.mints, 0)
      })
    )
  }
})

describe("a leaked key that the vendor does not know", () => {
  for (const name of ["smtp2go", "voiceable"] as const) {
    const unknown = (now: { now: boolean }) =>
      changing(now, () => {
        const none = (operation: string) => () => refusal(operation, new KeyNotFound())
        return { get: none("get"), revoke: none("revoke"), delete: none("delete"), rotate: none("rotate") }
      })

    it.effect(`${name}: is asked for until nothing can arrive any more; then a person is to look`, () =>
      Effect.gen(function* () {
        const elsewhere = { now: false }
        const { rotation, world } = yield* adopted(name, unwatched, { account: unknown(elsewhere) })
        elsewhere.now = true
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("19 seconds", "1 second")
        const { outcome, problem, step } = (yield* stepOf(rotation)) ?? {}
        assert.deepStrictEqual([step, outcome, problem], ["contain", undefined, "KeyNotFound"])
        assert.deepStrictEqual(yield* endOf(rotation, { within: "30 seconds" }), ["contained", "KeyNotFound"])
        assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
        assert.strictEqual(yield* world.mints, 0)
      })
    )

    it.effect(`${name}: is replaced where it was another account that was asked, and that is mended`, () =>
      Effect.gen(function* () {
        const elsewhere = { now: false }
        const { first, rotation, world } = yield* adopted(name, unwatched, { account: unknown(elsewhere) })
        elsewhere.now = true
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("12 seconds", "1 second")
        elsewhere.now = false
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const alive = yield* aliveIn(world)
        assert.lengthOf(alive, 1)
        assert.notInclude(alive, addressOf(first.ref))
      })
    )
  }
})

describe("a leaked key that the vendor does not shut off", () => {
  for (const role of ["pending", "previous"] as const) {
    it.effect(`does not keep the slot's ${role} key alive, and is replaced when that is mended`, () =>
      Effect.gen(function* () {
        const stubborn: { address?: string } = {}
        const { rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
          account: (account) => ({
            ...changing(always, (keys) => ({
              revoke: (ref) =>
                Effect.suspend(() =>
                  addressOf(ref) === stubborn.address ? refusal("revoke", invalid) : keys.revoke(ref)
                )
            }))(account),
            // The rotation waits here for as long as there is to be a pending key.
            verify: () =>
              Effect.sync(() => (role === "pending" && stubborn.address === undefined ? "unclear" : "accepted"))
          })
        })
        yield* rotation.start(id, { rotationId: "r1", overlap: "30 days" })
        yield* until(isIn(rotation, role === "pending" ? "verify" : "overlap"))
        const before = yield* vault.read(id)
        const other = addressOf(Option.getOrThrow(before[role]).ref)
        stubborn.address = addressOf(before.current.ref)
        assert.sameMembers(yield* aliveIn(world), [other, stubborn.address])
        yield* rotation.revokeAndReplace(id, { rotationId: "r2" })
        yield* until(isIn(rotation, "contain"))
        yield* pass("1 minute", "10 seconds")
        assert.strictEqual((yield* stepOf(rotation))?.problem, "InvalidRequest")
        assert.deepStrictEqual(yield* aliveIn(world), [stubborn.address])
        assert.isTrue(Option.isNone((yield* vault.read(id))[role]))
        stubborn.address = ""
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { current } = yield* vault.read(id)
        assert.notInclude([other, addressOf(before.current.ref)], addressOf(current.ref))
        assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      })
    )
  }
})

describe("a leak that is reported while the management credential is refused", () => {
  for (const name of ["smtp2go", "voiceable"] as const) {
    it.effect(
      `${name}: is contained and replaced once that is mended, for what the key was is not taken for known`,
      () =>
        Effect.gen(function* () {
          const { first, rotation, world } = yield* adopted(name, unwatched)
          const [before] = yield* world.keys
          yield* world.setBroken(true)
          const [answer] = yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
          assert.deepInclude(answer, { step: "contain", problem: "AuthenticationFailed" })
          yield* pass("1 minute", "5 seconds")
          assert.deepStrictEqual(yield* aliveIn(world), [addressOf(first.ref)])
          yield* world.setBroken(false)
          assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
          const alive = (yield* world.keys).filter((key) => key.alive)
          assert.deepStrictEqual(
            alive.map(({ settings }) => settings),
            [before?.settings]
          )
          assert.notStrictEqual(alive[0]?.address, addressOf(first.ref))
        })
    )
  }
})

describe("an orphan that leaks", () => {
  it.effect("is shut off, and the rotation that is under way goes on to its end as if nothing had been", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.start(id, { rotationId: "r1", overlap: "2 days" })
      yield* until(isIn(rotation, "overlap"))
      const { current } = yield* vault.read(id)
      const last = yield* stepOf(rotation)
      const address = yield* world.people.add("an orphan")
      yield* vault.addOrphan(id, {
        handle: "an-orphan",
        ref: Option.some(new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })),
        inert: false,
        origin: "unretired",
        rotationId: "r0",
        foundAt: 0
      })
      assert.deepStrictEqual(yield* rotation.revokeAndReplace(Redacted.make(address), { rotationId: "incident" }), [])
      assert.notInclude(yield* aliveIn(world), address)
      assert.deepStrictEqual(yield* stepOf(rotation), last)
      assert.deepStrictEqual(yield* endOf(rotation, { step: "1 hour", within: "3 days" }), ["completed", undefined])
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      assert.deepStrictEqual(yield* reasonsIn(rotation), [])
    })
  )
})
