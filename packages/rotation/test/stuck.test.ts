import { assert, describe, it } from "@effect/vitest"
import { ApiKeyError, InvalidRequest, KeyRef, OutcomeUnknown, ProviderUnavailable } from "@effect-api-keys/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Account, RotationOptions } from "../src/Rotation.ts"
import type { Step } from "../src/Slot.ts"
import {
  addressOf,
  adopted,
  aliveIn,
  always,
  changing,
  endOf,
  hasEnded,
  id,
  isIn,
  mapKeys,
  orphansIn,
  pass,
  problemOf,
  reasonsIn,
  soon,
  stepOf,
  until,
  unwatched
} from "./fixture.ts"

const refusal = (provider: string, operation: string, reason: ApiKeyError["reason"]) =>
  Effect.fail(new ApiKeyError({ provider, operation, reason }))

const lost = new OutcomeUnknown({ problem: "transport", issues: [] })
const invalid = new InvalidRequest({ source: "provider", issues: [] })
const unreachable = new ProviderUnavailable({ problem: "transport", sent: false })

/** An account whose vendor does not answer some verbs. */
const silent =
  (verbs: ReadonlySet<string>) =>
  (account: Account): Account =>
    mapKeys(
      account,
      (keys) =>
        new Proxy(keys, {
          get: (target, name) =>
            typeof name === "string" && verbs.has(name)
              ? () => refusal(target.provider, name, unreachable)
              : Reflect.get(target, name)
        })
    )

/** What a step needs of the vendor, and no step before it does. */
const verbOf: { readonly [S in Step]?: string } = {
  contain: "revoke",
  mint: "rotate",
  activate: "enable",
  retire: "revoke"
}

/** A rotation that gets no further than a step, until it is let go. */
const heldIn = Effect.fnUntraced(function* (step: Step, options: Partial<RotationOptions> = unwatched) {
  const verb = verbOf[step]
  const refused = new Set(verb === undefined ? [] : [verb])
  const waits = { now: true }
  /** From now on no key can be read. */
  const blindBefore = (next: Step) =>
    Effect.sync(() => {
      if (step === next && waits.now) refused.add("get")
    })
  const made = yield* adopted("smtp2go", options, {
    account: (account) => ({
      ...changing(always, (keys) => ({ revoke: (ref) => Effect.tap(keys.revoke(ref), () => blindBefore("sweep")) }))(
        silent(refused)(account)
      ),
      verify: () => Effect.as(blindBefore("promote"), step === "verify" && waits.now ? "unclear" : "accepted")
    })
  })
  const overlap = step === "overlap" ? "30 days" : 0
  if (step === "contain") yield* made.rotation.revokeAndReplace(id, { rotationId: "r1" })
  else yield* made.rotation.start(id, { rotationId: "r1", overlap })
  yield* until(isIn(made.rotation, step))
  const letGo = Effect.sync(() => {
    waits.now = false
    refused.clear()
  })
  return { ...made, letGo }
})

describe("cancel", () => {
  for (const step of ["contain", "mint", "activate", "verify", "promote", "overlap", "retire", "sweep"] as const) {
    it.effect(`ends a rotation in ${step} for good: the current key is what it is, and no key leaves the books`, () =>
      Effect.gen(function* () {
        const { letGo, rotation, vault, world } = yield* heldIn(step)
        const before = yield* vault.read(id)
        const alive = yield* aliveIn(world)
        const mints = yield* world.mints
        const ended = yield* rotation.cancel(id, "r1")
        assert.deepInclude(ended, { id: "r1", step, outcome: "superseded", problem: "Cancelled", overdue: false })
        const slot = yield* vault.read(id)
        assert.deepStrictEqual(slot.current, before.current)
        assert.isTrue(Option.isNone(slot.pending))
        assert.isTrue(Option.isNone(slot.previous))
        assert.deepStrictEqual(orphansIn(slot), [
          ...Option.toArray(before.pending).map(({ handle }) => [handle, "unclaimed"]),
          ...Option.toArray(before.previous).map(({ handle }) => [handle, "unretired"])
        ])
        assert.lengthOf(slot.orphans, ["contain", "mint", "sweep"].includes(step) ? 0 : 1)
        assert.deepStrictEqual(slot.intents, [])
        yield* letGo
        yield* pass("30 minutes", "10 minutes")
        assert.deepStrictEqual(yield* vault.read(id), slot)
        assert.deepStrictEqual(yield* aliveIn(world), alive)
        assert.strictEqual(yield* world.mints, mints)
        yield* rotation.start(id, { rotationId: "r2", overlap: 0 })
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { current, orphans } = yield* vault.read(id)
        // Whether an old key is to go is for a person to say.
        const kept = slot.orphans.filter(({ origin }) => origin === "unretired")
        assert.deepStrictEqual(orphans, kept)
        assert.sameMembers(yield* aliveIn(world), [
          addressOf(current.ref),
          ...kept.flatMap(({ ref }) => Option.toArray(Option.map(ref, addressOf)))
        ])
      })
    )
  }

  it.effect("leaves a new key that was not promoted to the watch, which removes it", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* heldIn("verify", { watch: "5 minutes" })
      const pending = Option.getOrThrow((yield* vault.read(id)).pending)
      yield* rotation.cancel(id, "r1")
      assert.deepStrictEqual(orphansIn(yield* vault.read(id)), [[pending.handle, "unclaimed"]])
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["orphan", "stopped"]])
      yield* pass("10 minutes", "5 minutes")
      assert.deepStrictEqual((yield* vault.read(id)).orphans, [])
      assert.deepStrictEqual(
        (yield* world.keys).map(({ address }) => address),
        [addressOf(first.ref)]
      )
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
    })
  )

  it.effect("leaves an old key that was not shut off to a person, who settles it", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* heldIn("overlap", { watch: "5 minutes" })
      const previous = Option.getOrThrow((yield* vault.read(id)).previous)
      yield* rotation.cancel(id, "r1")
      yield* pass("1 hour", "5 minutes")
      const { current, orphans } = yield* vault.read(id)
      assert.lengthOf(orphans, 1)
      assert.sameMembers(yield* aliveIn(world), [addressOf(first.ref), addressOf(current.ref)])
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["orphan"]])
      yield* rotation.settle(id, previous.handle)
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      assert.deepStrictEqual(yield* reasonsIn(rotation), [])
    })
  )

  it.effect("is refused for another rotation than the slot's, and for one that has ended", () =>
    Effect.gen(function* () {
      const { letGo, rotation, vault } = yield* heldIn("verify")
      const before = yield* vault.read(id)
      assert.strictEqual(yield* problemOf(rotation.cancel(id, "r0")), "Fenced")
      assert.strictEqual(yield* problemOf(rotation.cancel({ ...id, slot: "none" }, "r1")), "NotFound")
      assert.deepStrictEqual(yield* vault.read(id), before)
      yield* letGo
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      assert.strictEqual(yield* problemOf(rotation.cancel(id, "r1")), "Fenced")
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      const fresh = yield* adopted("smtp2go", unwatched)
      assert.strictEqual(yield* problemOf(fresh.rotation.cancel(id, "r1")), "Fenced")
    })
  )

  for (const name of ["smtp2go", "voiceable"] as const) {
    it.effect(
      `${name}: fences a process that stands still in the mint: what it minted is removed when it comes back`,
      () =>
        Effect.gen(function* () {
          const gate = yield* Deferred.make<void>()
          const { first, rotation, vault, world } = yield* adopted(
            name,
            { watch: "5 minutes" },
            {
              client: (world) =>
                HttpClient.transform(world.client, (send, request) =>
                  world.isMint(request) ? Effect.tap(send, () => Deferred.await(gate)) : send
                )
            }
          )
          yield* rotation.start(id, { rotationId: "r1" })
          yield* soon(Effect.map(world.mints, (mints) => mints === 1))
          yield* rotation.cancel(id, "r1")
          assert.lengthOf((yield* vault.read(id)).intents, 1)
          assert.lengthOf(yield* world.keys, 2)
          yield* Deferred.succeed(gate, undefined)
          yield* soon(Effect.map(world.keys, (keys) => keys.length === 1))
          // It is in the books until the vendor has had the time to show that it is gone.
          yield* soon(Effect.map(vault.read(id), ({ orphans }) => orphans.length === 1))
          yield* pass("10 minutes", "5 minutes")
          const slot = yield* vault.read(id)
          assert.deepInclude(Option.getOrThrow(slot.rotation), { outcome: "superseded", problem: "Cancelled" })
          assert.strictEqual(addressOf(slot.current.ref), addressOf(first.ref))
          assert.isTrue(Option.isNone(slot.pending))
          assert.deepStrictEqual(slot.intents, [])
          assert.deepStrictEqual(slot.orphans, [])
          assert.deepStrictEqual(yield* aliveIn(world), [addressOf(first.ref)])
        })
    )
  }

  it.effect("in place leaves a mint whose reply was lost to be looked for: the next rotation takes its key in", () =>
    Effect.gen(function* () {
      const refused = new Set(["recover"])
      let cut = true
      const { first, rotation, vault, world } = yield* adopted("jetemail", unwatched, {
        account: silent(refused),
        client: (world) =>
          HttpClient.transform(world.client, (send, request) =>
            world.isMint(request) && cut ? Effect.andThen(send, Effect.never) : send
          )
      })
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(isIn(rotation, "mint"))
      yield* rotation.cancel(id, "r1")
      yield* pass("1 minute", "10 seconds")
      assert.notInclude(yield* aliveIn(world), addressOf(first.ref))
      assert.lengthOf((yield* vault.read(id)).intents, 1)
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["intent", "stopped"]])
      cut = false
      refused.clear()
      yield* rotation.start(id, { rotationId: "r2" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
      const { current, intents } = yield* vault.read(id)
      assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
      assert.deepStrictEqual(intents, [])
      assert.strictEqual(yield* world.mints, 1)
    })
  )
})

describe("a rotation in place that nobody can tell the end of", () => {
  /** The reply of its first request was lost, and the list fits more than one key. */
  const untold = Effect.gen(function* () {
    let sent = 0
    const made = yield* adopted("jetemail", unwatched, {
      account: changing(always, (keys) => ({
        rotate: (ref, given) =>
          Effect.suspend(() => (++sent === 1 ? refusal("jetemail", "rotate", lost) : keys.rotate(ref, given))),
        recover: () => Effect.succeed({ _tag: "Undetermined", problem: "several", candidates: [] } as const)
      }))
    })
    yield* made.rotation.start(id, { rotationId: "r1" })
    yield* until(isIn(made.rotation, "mint"))
    const [record] = (yield* made.vault.read(id)).intents
    return { ...made, marker: record?.intent.marker ?? "" }
  })

  it.effect(
    "mints anew on a person's word that nothing came of it, which is taken when nothing can arrive any more",
    () =>
      Effect.gen(function* () {
        const { first, marker, rotation, vault, world } = yield* untold
        assert.strictEqual(yield* problemOf(rotation.settle(id, marker)), "InProgress")
        yield* pass("1 hour", "10 minutes")
        assert.deepInclude(yield* stepOf(rotation), { step: "mint", problem: "Undetermined", mints: 1 })
        assert.deepStrictEqual((yield* rotation.settle(id, marker)).intents, [])
        // It does not wait for the end of a pause.
        yield* soon(hasEnded(rotation))
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        const { current, intents } = yield* vault.read(id)
        assert.notStrictEqual(addressOf(current.ref), addressOf(first.ref))
        assert.deepStrictEqual(yield* aliveIn(world), [addressOf(current.ref)])
        assert.deepStrictEqual(intents, [])
      })
  )

  it.effect("gives way to a key made by hand, once it is cancelled", () =>
    Effect.gen(function* () {
      const { first, marker, rotation, vault, world } = yield* untold
      const { handle } = (yield* vault.read(id)).current
      const address = yield* world.people.add("made by hand")
      const ref = new KeyRef({ provider: "jetemail", account: "main", value: Redacted.make(address) })
      const replace = rotation.adopt(id, { ref, secret: Redacted.make(address) }, { replace: true })
      assert.strictEqual(yield* problemOf(replace), "InProgress")
      assert.strictEqual(yield* problemOf(rotation.start(id, { rotationId: "r2" })), "InProgress")
      yield* rotation.cancel(id, "r1")
      yield* pass("1 minute", "1 minute")
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["intent", "stopped"]])
      yield* rotation.settle(id, marker)
      yield* replace
      assert.deepStrictEqual(yield* reasonsIn(rotation), [["orphan"]])
      yield* rotation.settle(id, handle)
      assert.deepStrictEqual(yield* reasonsIn(rotation), [])
      assert.deepStrictEqual(yield* aliveIn(world), [address])
      assert.notInclude(yield* aliveIn(world), addressOf(first.ref))
      yield* rotation.start(id, { rotationId: "r2" })
      assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
    })
  )
})

describe("settle", () => {
  it.effect("of what the ledger does not have is refused, and changes nothing", () =>
    Effect.gen(function* () {
      const { rotation, vault } = yield* heldIn("overlap")
      const before = yield* vault.read(id)
      const error = yield* Effect.flip(rotation.settle(id, "nothing-of-this-name"))
      assert.strictEqual(error.problem, "NotFound")
      assert.include(error.message, "attention")
      // Nor is a key that the slot uses an orphan.
      assert.strictEqual(yield* problemOf(rotation.settle(id, before.current.handle)), "NotFound")
      assert.deepStrictEqual(yield* vault.read(id), before)
    })
  )
})

describe("a request that the vendor refuses", () => {
  for (const name of ["jetemail", "smtp2go", "voiceable"] as const) {
    it.effect(`${name}: ends the rotation, with the old key as it was, until that is mended`, () =>
      Effect.gen(function* () {
        const mended = { now: false }
        const { first, rotation, vault, world } = yield* adopted(name, unwatched, {
          account: changing(always, (keys) => ({
            rotate: (ref, given) =>
              Effect.suspend(() => (mended.now ? keys.rotate(ref, given) : refusal(name, "rotate", invalid)))
          }))
        })
        yield* rotation.start(id, { rotationId: "r1" })
        assert.deepStrictEqual(yield* endOf(rotation, { within: "10 seconds" }), ["failed", "InvalidRequest"])
        assert.deepStrictEqual(yield* aliveIn(world), [addressOf(first.ref)])
        assert.deepStrictEqual((yield* vault.read(id)).intents, [])
        assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
        mended.now = true
        yield* rotation.start(id, { rotationId: "r2", overlap: 0 })
        assert.deepStrictEqual(yield* endOf(rotation), ["completed", undefined])
        assert.deepStrictEqual(yield* reasonsIn(rotation), [])
      })
    )
  }

  for (const [kind, outcome] of [
    ["rotate", "failed"],
    ["replace", "contained"]
  ] as const) {
    it.effect(
      `after one whose reply was lost: ${kind} in place ends as ${outcome} when nothing can arrive any more`,
      () =>
        Effect.gen(function* () {
          let sent = 0
          const { first, rotation, vault, world } = yield* adopted("jetemail", unwatched, {
            account: changing(always, () => ({
              rotate: () => Effect.suspend(() => refusal("jetemail", "rotate", ++sent === 1 ? lost : invalid))
            }))
          })
          if (kind === "rotate") yield* rotation.start(id, { rotationId: "r1" })
          else yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
          yield* pass("15 seconds", "1 second")
          const { outcome: early, problem } = (yield* stepOf(rotation)) ?? {}
          assert.deepStrictEqual([early, problem], [undefined, "InvalidRequest"])
          assert.deepStrictEqual(yield* endOf(rotation, { within: "1 minute" }), [outcome, "InvalidRequest"])
          assert.deepStrictEqual((yield* vault.read(id)).intents, [])
          assert.deepStrictEqual(yield* aliveIn(world), kind === "rotate" ? [addressOf(first.ref)] : [])
          assert.deepStrictEqual(yield* reasonsIn(rotation), [["stopped"]])
        })
    )
  }
})

describe("a management credential that is refused", () => {
  for (const name of ["jetemail", "smtp2go", "voiceable"] as const) {
    it.effect(`${name}: is waited for, said when it takes too long, and the rotation goes on once it is mended`, () =>
      Effect.gen(function* () {
        const { first, rotation, world } = yield* adopted(name, unwatched)
        yield* world.setBroken(true)
        yield* rotation.start(id, { rotationId: "r1", overlap: 0 })
        yield* until(isIn(rotation, "mint"))
        assert.deepInclude(yield* stepOf(rotation), { problem: "AuthenticationFailed", mints: 0 })
        yield* pass("80 minutes", "10 minutes")
        assert.deepStrictEqual(yield* reasonsIn(rotation), [["overdue"]])
        yield* world.setBroken(false)
        yield* rotation.resume(id)
        assert.deepStrictEqual(yield* endOf(rotation, { within: "1 minute" }), ["completed", undefined])
        const alive = yield* aliveIn(world)
        assert.lengthOf(alive, 1)
        assert.notInclude(alive, addressOf(first.ref))
        assert.strictEqual(yield* world.mints, 1)
      })
    )
  }
})
