import { assert, describe, it } from "@effect/vitest"
import { IssuedKey, KeyRef, MintIntent } from "@effect-api-keys/core"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Document from "../src/internal/document.ts"
import * as Seal from "../src/internal/seal.ts"
import { KeyVault } from "../src/KeyVault.ts"
import { type Orphan, Problem, type RotationRecord, type Slot, Step } from "../src/Slot.ts"
import { VaultError } from "../src/VaultError.ts"
import { makeMemory, type SlotId, type VaultStore } from "../src/VaultStore.ts"
import { begun, id, keyOf, openVault, passing, problemOf, sealingKeys } from "./fixture.ts"

const refOf = (value: string, account = "main") =>
  new KeyRef({ provider: "acme", account, value: Redacted.make(value) })

const bare = (value: string) => ({ ref: refOf(value), handle: `acme_${value}` })

const known = (value: string, secret = `secret of ${value}`) => ({ ...bare(value), secret: Redacted.make(secret) })

const issued = (value: string) =>
  new IssuedKey({
    ref: refOf(value),
    handle: `acme_${value}`,
    secret: Redacted.make(`secret of ${value}`),
    name: Option.none(),
    unrestricted: Option.none()
  })

const intentOf = (marker: string, at = DateTime.makeUnsafe(0)) =>
  new MintIntent({ provider: "acme", account: "main", verb: "rotate", marker, preparedAt: at })

const unavailable = (operation: string) => new VaultError({ operation, problem: "Unavailable" })

const secretOf = (slot: Slot) => Option.map(slot.current.secret, Redacted.value)

/** A vault of its own with one key in it. */
const withKey = Effect.fnUntraced(function* (of: SlotId = id) {
  const store = yield* makeMemory
  const vault = yield* openVault(store)
  yield* vault.adopt(of, known("first"))
  return { store, vault }
})

/** A slot that holds, as pending, a key that another slot may hold as well: nobody takes it in, a rotation brings it. */
const withPending = Effect.fnUntraced(function* (vault: KeyVault["Service"], of: SlotId, value: string) {
  yield* vault.adopt(of, known(`before ${value}`))
  yield* vault.begin(of, begun("r0"))
  const { epoch } = yield* vault.claim(of, "r0")
  yield* vault.intend(of, "r0", epoch, intentOf("m0"))
  yield* vault.put(of, "r0", epoch, issued(value), "m0")
  return epoch
})

const orphanOf = (value: string): Orphan => ({
  handle: `acme_${value}`,
  ref: Option.some(refOf(value)),
  inert: false,
  origin: "unclaimed",
  rotationId: "r0",
  foundAt: 0
})

const check = <Ts>(property: fc.IAsyncPropertyWithHooks<Ts>, numRuns = 60) =>
  Effect.promise(() => fc.assert(property, { numRuns }))

const run = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromise(Effect.provide(effect, TestClock.layer()))

describe("adopt", () => {
  it.effect("takes a key in once, and adds its secret later", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const other = { account: "main", slot: "without" }
      yield* vault.adopt(other, bare("bare"))
      assert.isTrue(Option.isNone((yield* vault.read(other)).current.secret))
      assert.deepStrictEqual(secretOf(yield* vault.adopt(other, known("bare"))), Option.some("secret of bare"))
      const before = yield* store.read(other)
      assert.deepStrictEqual(yield* vault.adopt(other, bare("bare")), yield* vault.read(other))
      assert.deepStrictEqual(yield* vault.adopt(other, known("bare")), yield* vault.read(other))
      assert.deepStrictEqual(yield* store.read(other), before)
      assert.strictEqual(yield* problemOf(vault.adopt(other, known("bare", "another secret"))), "Taken")
      assert.strictEqual(yield* problemOf(vault.adopt(id, known("second"))), "Taken")
      assert.strictEqual(yield* problemOf(vault.adopt(id, { ...known("first"), ref: refOf("first", "b") })), "Taken")
    })
  )

  it.effect("puts a key in the place of another of the same account, while nothing is under way", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      const replace = (value: string, account?: string) =>
        vault.adopt(id, { ...known(value), ref: refOf(value, account) }, { replace: true })
      assert.strictEqual(yield* problemOf(replace("second", "another")), "Taken")
      assert.deepStrictEqual(secretOf(yield* replace("second")), Option.some("secret of second"))
      yield* vault.begin(id, begun("r1"))
      assert.strictEqual(yield* problemOf(replace("third")), "InProgress")
      yield* vault.end(id, "r1", "failed", "Defect")
      assert.deepStrictEqual(secretOf(yield* replace("third")), Option.some("secret of third"))
    })
  )

  it.effect("mends a secret that was wrong, while nothing is under way, and only where it is asked to", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const right = known("first", "the right secret")
      assert.strictEqual(yield* problemOf(vault.adopt(id, right)), "Taken")
      yield* TestClock.adjust("1 minute")
      const mended = yield* vault.adopt(id, right, { replace: true })
      assert.deepStrictEqual(secretOf(mended), Option.some("the right secret"))
      assert.strictEqual(mended.current.storedAt, 60_000)
      assert.deepStrictEqual(mended.orphans, [])
      assert.deepStrictEqual(yield* vault.read(id), mended)
      assert.strictEqual((yield* vault.match(Redacted.make("the right secret"))).length, 1)
      const before = yield* store.read(id)
      yield* vault.adopt(id, right, { replace: true })
      yield* vault.adopt(id, bare("first"), { replace: true })
      assert.deepStrictEqual(yield* store.read(id), before)
      yield* vault.begin(id, begun("r1"))
      assert.strictEqual(yield* problemOf(vault.adopt(id, known("first"), { replace: true })), "InProgress")
    })
  )

  it.effect("of a key that another slot holds, or is to shut off, is refused, and says which", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      const rotating = { account: "another", slot: "rotating" }
      const fresh = { account: "main", slot: "fresh" }
      const epoch = yield* withPending(vault, rotating, "new")
      yield* vault.addOrphan(rotating, orphanOf("gone"))
      const refused = Effect.fnUntraced(function* (value: string, text: string) {
        for (const key of [known(value), bare(value), known(value, "another secret")]) {
          for (const effect of [vault.adopt(fresh, key), vault.adopt(id, key, { replace: true })]) {
            const error = yield* Effect.flip(effect)
            assert.deepInclude(error, { operation: "adopt", problem: "Taken" })
            assert.strictEqual(error.detail, text)
          }
        }
      })
      yield* refused("before new", "the slot another/rotating holds this key, as its current one")
      yield* refused("new", "the slot another/rotating holds this key, as its pending one")
      yield* refused("gone", "the slot another/rotating is to shut this key off")
      yield* vault.promote(rotating, "r0", epoch)
      yield* refused("new", "the slot another/rotating holds this key, as its current one")
      yield* refused("before new", "the slot another/rotating holds this key, as its previous one")
      // Nothing was written, and of another account it is another key.
      assert.strictEqual(yield* problemOf(vault.read(fresh)), "NotFound")
      yield* vault.adopt(fresh, { ...known("first"), ref: refOf("first", "b") })
      // A slot may be told again what it holds, also by who has put another key in its place and wants it back.
      yield* vault.adopt(id, known("first"))
      yield* vault.adopt(id, known("second"), { replace: true })
      yield* vault.adopt(id, known("first"), { replace: true })
      // What another slot has let go of may be taken in.
      yield* vault.dropPrevious(rotating, "r0")
      yield* vault.adopt({ account: "main", slot: "next" }, known("before new"))
    })
  )

  it.effect("of a key that another slot holds is refused under a new sealing key, too", () =>
    Effect.gen(function* () {
      const { store } = yield* withKey()
      const vault = yield* openVault(store, {
        current: "k2",
        keys: { ...sealingKeys.keys, k2: keyOf("api_test_sealing_key_2") }
      })
      const next = { account: "main", slot: "next" }
      assert.strictEqual(yield* problemOf(vault.adopt(next, known("first"))), "Taken")
      assert.strictEqual(yield* vault.reseal, 1)
      assert.strictEqual(yield* problemOf(vault.adopt(next, known("first"))), "Taken")
    })
  )

  it.effect("of a key that a slot may hold which cannot be read is refused, and names that slot", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const row = Option.getOrThrow(yield* store.read(id))
      yield* store.write({ ...row, version: 2, document: "{}" })
      const error = yield* Effect.flip(vault.adopt({ account: "main", slot: "next" }, known("first")))
      assert.deepInclude(error, { operation: "adopt", problem: "Unreadable", ...id })
      assert.include(error.detail, `the slot ${id.account}/${id.slot} may hold this key`)
    })
  )

  it.effect("of an empty secret, handle or address is refused", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const before = yield* store.read(id)
      for (const key of [known("second", ""), { ...known("second"), handle: "" }, known("", "a secret"), bare("")]) {
        for (const replace of [false, true]) {
          for (const of of [id, { account: "main", slot: "next" }]) {
            const error = yield* Effect.flip(vault.adopt(of, key, { replace }))
            assert.deepInclude(error, { problem: "Invalid", ...of })
            assert.include(error.message, "empty")
          }
        }
      }
      assert.deepStrictEqual(yield* store.read(id), before)
    })
  )

  it.effect("by many at once of different keys takes one in", () =>
    Effect.gen(function* () {
      const vault = yield* openVault(yield* makeMemory)
      const results = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, index) => `key-${index}`),
        (value) => Effect.result(vault.adopt(id, known(value))),
        { concurrency: "unbounded" }
      ).pipe((racing) => passing(racing))
      assert.strictEqual(results.filter(Result.isSuccess).length, 1)
      assert.isTrue(results.every((result) => Result.isSuccess(result) || result.failure.problem === "Taken"))
    })
  )
})

describe("remove", () => {
  const refOfFirst = known("first").ref

  it.effect("forgets a slot: it is not read, listed, found or sealed any more, and nothing of it is stored", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      yield* vault.remove(id, refOfFirst)
      assert.strictEqual(yield* problemOf(vault.read(id)), "NotFound")
      assert.strictEqual(yield* problemOf(vault.begin(id, begun("r1"))), "NotFound")
      assert.deepStrictEqual(yield* Stream.runCollect(vault.slots()), [])
      assert.deepStrictEqual(yield* vault.match(Redacted.make("secret of first")), [])
      assert.strictEqual(yield* vault.reseal, 0)
      const left = Option.getOrThrow(yield* store.read(id))
      assert.deepStrictEqual(left, {
        ...id,
        version: 2,
        document: '{"format":1,"removed":true}',
        fingerprints: [],
        open: false
      })
      yield* vault.remove(id, refOfFirst)
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(id)), left)
    })
  )

  it.effect("leaves the name and the key to be adopted again, and what was to be written before is not", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const old = Option.getOrThrow(yield* store.read(id))
      yield* vault.remove(id, refOfFirst)
      const elsewhere = { account: "main", slot: "elsewhere" }
      yield* vault.adopt(elsewhere, known("first"))
      assert.strictEqual(yield* problemOf(vault.adopt(id, known("first"))), "Taken")
      const fresh = yield* vault.adopt(id, known("second"))
      assert.deepStrictEqual(yield* vault.read(id), fresh)
      assert.strictEqual(fresh.epoch, 0)
      // A write of the old life that arrives late.
      assert.isFalse(yield* store.write({ ...old, version: 2 }))
      assert.strictEqual(Option.getOrThrow(yield* store.read(id)).version, 3)
    })
  )

  it.effect("is refused while anything of the slot is not done, and of another key than it holds", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      const refused = () => problemOf(vault.remove(id, refOfFirst))
      assert.strictEqual(yield* problemOf(vault.remove(id, refOf("another"))), "Fenced")
      assert.strictEqual(yield* problemOf(vault.remove({ ...id, slot: "none" }, refOfFirst)), "NotFound")
      yield* vault.begin(id, begun("r1"))
      assert.strictEqual(yield* refused(), "InProgress")
      yield* vault.end(id, "r1", "failed", "Defect")
      yield* vault.addOrphan(id, orphanOf("gone"))
      assert.strictEqual(yield* refused(), "InProgress")
      yield* vault.closeOrphan(id, orphanOf("gone").handle)
      // What ended without a new key may be forgotten.
      yield* vault.remove(id, refOfFirst)
    })
  )

  it.effect("takes place once where the store is slow to say so", () =>
    Effect.gen(function* () {
      for (const fault of faults) {
        const memory = yield* makeMemory
        const vault = yield* openVault(faulty(memory, ["ok", fault]))
        yield* vault.adopt(id, known("first"))
        yield* passing(vault.remove(id, refOfFirst))
        assert.strictEqual(yield* problemOf(vault.read(id)), "NotFound", fault)
      }
    })
  )
})

describe("a name that cannot be one", () => {
  it.effect("is refused by every operation before the store is asked, and its error does not repeat it", () =>
    Effect.gen(function* () {
      const asked = Effect.die(new Error("the store was asked"))
      const vault = yield* openVault({
        read: () => asked,
        write: () => asked,
        find: () => asked,
        list: () => Stream.fromEffect(asked)
      })
      const refused = Effect.fnUntraced(function* (of: SlotId, limit: string) {
        for (const effect of [vault.adopt(of, known("first")), vault.read(of), vault.claim(of, "r1")]) {
          const error = yield* Effect.flip(effect)
          assert.strictEqual(error.problem, "Invalid")
          assert.isUndefined(error.account)
          assert.isUndefined(error.slot)
          assert.include(error.message, limit)
          assert.isBelow(error.message.length, 200)
        }
      })
      for (const name of ["", "a\nb", "\ud800", "x".repeat(513), "a\0b"]) {
        yield* refused({ ...id, slot: name }, "1 to 512 characters")
        yield* refused({ ...id, account: name }, "1 to 512 characters")
        const error = yield* Effect.flip(Stream.runCollect(vault.slots({ account: name })))
        assert.strictEqual(error.problem, "Invalid")
        assert.include(error.message, "1 to 512 characters")
      }
      yield* refused({ account: "界".repeat(512), slot: "界".repeat(512) }, "2048 bytes")
    })
  )
})

/** What becomes of a write: it takes place; or fails, and took place before, never does, or does so before the next one. */
const faults = ["ok", "lost reply", "not sent", "arrives late"] as const

/** A store whose writes go as they are told; those that arrive late arrive before the next read or write, or the one after it. */
const faulty = (memory: VaultStore["Service"], script: Array<(typeof faults)[number]>): VaultStore["Service"] => {
  let late: Effect.Effect<unknown, VaultError> | undefined
  let delay = 0
  const arrivals = Effect.suspend(() => {
    if (late === undefined || delay-- > 0) return Effect.void
    const arrives = late
    late = undefined
    return Effect.asVoid(arrives)
  })
  return {
    ...memory,
    read: (of) => Effect.andThen(arrivals, memory.read(of)),
    write: (row) =>
      Effect.andThen(
        arrivals,
        Effect.suspend(() => {
          switch (script.shift() ?? "ok") {
            case "ok":
              return memory.write(row)
            case "lost reply":
              return Effect.andThen(memory.write(row), Effect.fail(unavailable("write")))
            case "not sent":
              return Effect.fail(unavailable("write"))
            case "arrives late":
              late = memory.write(row)
              delay = script.length % 3
              return Effect.fail(unavailable("write"))
          }
        })
      )
  }
}

describe("a write whose end nobody saw", () => {
  it.effect("is found out, and takes place once", () =>
    check(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...faults), { maxLength: 12 }),
        fc.integer({ min: 1, max: 6 }),
        (script, claims) =>
          run(
            Effect.gen(function* () {
              const { store, vault: direct } = yield* withKey()
              yield* direct.begin(id, begun("r1"))
              const vault = yield* openVault(faulty(store, [...script]))
              let claimed = 0
              let unknown = 0
              for (let claim = 0; claim < claims; claim++) {
                const result = yield* passing(Effect.result(vault.claim(id, "r1")))
                if (Result.isFailure(result)) {
                  assert.strictEqual(result.failure.problem, "Unavailable")
                  assert.strictEqual(result.failure.operation, "claim")
                  unknown++
                } else {
                  claimed++
                  assert.deepStrictEqual(result.success, yield* direct.read(id))
                }
                const { epoch } = yield* vault.read(id)
                assert.isAtLeast(epoch, claimed)
                assert.isAtMost(epoch, claimed + unknown)
              }
            })
          )
      ),
      50
    )
  )

  it.effect("is not looked for where it was refused for certain", () =>
    Effect.gen(function* () {
      const memory = yield* makeMemory
      let writes = 0
      const vault = yield* openVault({
        ...memory,
        write: () =>
          Effect.suspend(() => {
            writes++
            return Effect.fail(new VaultError({ operation: "write", problem: "Invalid", detail: "too large" }))
          })
      })
      const error = yield* Effect.flip(vault.adopt(id, known("first")))
      assert.deepInclude(error, { operation: "adopt", problem: "Invalid", slot: id.slot, detail: "too large" })
      assert.strictEqual(writes, 1)
    })
  )

  it.effect("of a vault that is down for good is Unavailable, and says what was asked", () =>
    Effect.gen(function* () {
      const { store } = yield* withKey()
      const vault = yield* openVault({ ...store, read: () => Effect.fail(unavailable("read")) })
      const error = yield* Effect.flip(passing(vault.claim(id, "r1")))
      assert.deepInclude(error, { operation: "claim", problem: "Unavailable", account: id.account, slot: id.slot })
    })
  )

  it.effect("of eight writers at once all take place, each on what the others left", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      yield* vault.begin(id, begun("r1"))
      const vaults = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, index) => index),
        () => openVault(store)
      )
      const epochs = yield* Effect.forEach(
        vaults,
        (one) => Effect.forEach([1, 2, 3, 4, 5], () => Effect.map(one.claim(id, "r1"), ({ epoch }) => epoch)),
        { concurrency: "unbounded" }
      ).pipe((racing) => passing(racing, { step: "5 millis" }))
      assert.deepStrictEqual(
        epochs.flat().toSorted((a, b) => a - b),
        Array.from({ length: 40 }, (_, index) => index + 1)
      )
    })
  )

  it.effect("that is overtaken without end gives up", () =>
    Effect.gen(function* () {
      const { store } = yield* withKey()
      const vault = yield* openVault({ ...store, write: () => Effect.succeed(false) })
      const error = yield* Effect.flip(passing(vault.begin(id, begun("r1"))))
      assert.strictEqual(error.problem, "Unavailable")
      assert.include(error.message, "it changed with every attempt")
    })
  )
})

describe("reseal", () => {
  const two = { current: "k2", keys: { ...sealingKeys.keys, k2: keyOf("api_test_sealing_key_2") } }
  const onlyNew = { current: "k2", keys: { k2: two.keys.k2 } }
  const names = ["a", "b", "c", "d", "e"]
  const filled = Effect.gen(function* () {
    const store = yield* makeMemory
    const vault = yield* openVault(store)
    for (const slot of names) {
      yield* vault.adopt({ account: "main", slot }, { ...known(slot), handle: "v1.k1.looks-like-a-seal" })
    }
    const previous: Slot = yield* vault.read({ account: "main", slot: "a" })
    yield* vault.addOrphan(previous, {
      handle: "orphan",
      ref: Option.some(refOf("orphan")),
      inert: false,
      origin: "unretired",
      rotationId: "r0",
      foundAt: 7
    })
    return store
  })

  it.effect("seals everything with the current key, so that the old one can go", () =>
    Effect.gen(function* () {
      const store = yield* filled
      const vault = yield* openVault(store, two)
      assert.strictEqual(
        yield* problemOf(Effect.flatMap(openVault(store, onlyNew), ({ reseal }) => reseal)),
        "Unreadable"
      )
      const leaked = Redacted.make("secret of b")
      assert.strictEqual((yield* vault.match(leaked)).length, 1)
      assert.strictEqual(yield* vault.reseal, names.length)
      assert.strictEqual(yield* vault.reseal, 0)
      const next = yield* openVault(store, onlyNew)
      const slots = yield* Stream.runCollect(next.slots())
      assert.deepStrictEqual(
        slots.map((slot) => Option.getOrUndefined(secretOf(slot))),
        names.map((name) => `secret of ${name}`)
      )
      const [orphan] = slots[0]?.orphans ?? []
      assert.strictEqual(Redacted.value(Option.getOrThrow(orphan?.ref ?? Option.none()).value), "orphan")
      assert.strictEqual((yield* next.match(leaked)).length, 1)
    })
  )

  it.effect("goes on where it was cut off, and minds what is written meanwhile", () =>
    Effect.gen(function* () {
      const memory = yield* filled
      const old = yield* openVault(memory)
      let writes = 0
      const cut = yield* openVault(
        {
          ...memory,
          write: (row) =>
            Effect.suspend(() => (++writes === 3 ? Effect.never : writes < 3 ? memory.write(row) : memory.write(row)))
        },
        two
      )
      const fiber = yield* Effect.forkChild(cut.reseal, { startImmediately: true })
      while (writes < 3) yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
      yield* Fiber.interrupt(fiber)
      // A machine that was not given the new key yet goes on writing with the old one.
      yield* old.begin({ account: "main", slot: "e" }, begun("r1"))
      assert.strictEqual(yield* problemOf(old.read({ account: "main", slot: "a" })), "Unreadable")
      const vault = yield* openVault(memory, two)
      assert.strictEqual(yield* vault.reseal, 3)
      const slots = yield* Stream.runCollect((yield* openVault(memory, onlyNew)).slots())
      assert.strictEqual(slots.length, names.length)
      assert.isTrue(Option.isSome(slots[4]?.rotation ?? Option.none()))
    })
  )

  it.effect("does what it can, and says that an old key is still needed", () =>
    Effect.gen(function* () {
      const store = yield* filled
      const row = Option.getOrThrow(yield* store.read({ account: "main", slot: "b" }))
      yield* store.write({ ...row, version: row.version + 1, document: row.document.replaceAll("v1.k1.", "v1.k0.") })
      const vault = yield* openVault(store, two)
      const error = yield* Effect.flip(vault.reseal)
      assert.deepInclude(error, { operation: "reseal", problem: "Unreadable", slot: "b" })
      assert.include(error.message, "k0")
      const next = yield* openVault(store, onlyNew)
      const scanned = yield* Stream.runCollect(next.scan())
      assert.deepStrictEqual(scanned.map(Result.isSuccess), [true, false, true, true, true])
    })
  )
})

describe("reseal opens what is sealed with the current key, too, and", () => {
  it.effect("says where that is not the key that it was sealed with", () =>
    Effect.gen(function* () {
      const { store } = yield* withKey()
      const before = yield* store.read(id)
      const vault = yield* openVault(store, { current: "k1", keys: { k1: keyOf("api_test_sealing_key_2") } })
      const error = yield* Effect.flip(vault.reseal)
      assert.deepInclude(error, { operation: "reseal", problem: "Unreadable", ...id })
      assert.deepStrictEqual(yield* store.read(id), before)
    })
  )

  it.effect("makes hashes anew that are missing", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const row = Option.getOrThrow(yield* store.read(id))
      yield* store.write({ ...row, version: 2, fingerprints: [] })
      assert.strictEqual(yield* vault.reseal, 1)
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(id)).fingerprints, row.fingerprints)
      assert.strictEqual(yield* vault.reseal, 0)
    })
  )
})

describe("what is said twice, because nobody heard that it was done,", () => {
  it.effect("is written once: an intent", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      yield* vault.begin(id, begun("r1"))
      const mints = (slot: Slot) => Option.getOrThrow(slot.rotation).mints
      const { epoch } = yield* vault.claim(id, "r1")
      assert.strictEqual(mints(yield* vault.intend(id, "r1", epoch, intentOf("m1"))), 1)
      const twice = yield* vault.intend(id, "r1", epoch, intentOf("m1"))
      assert.deepStrictEqual([mints(twice), twice.intents.length], [1, 1])
      // In a later epoch it is sent again.
      const later = yield* vault.claim(id, "r1")
      const again = yield* vault.intend(id, "r1", later.epoch, intentOf("m1"))
      assert.deepStrictEqual([mints(again), again.intents.length], [2, 1])
    })
  )
})

describe("an acknowledgement", () => {
  it.effect("is refused while there is no new key to have", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      yield* vault.begin(id, begun("r1"))
      assert.strictEqual((yield* Effect.flip(vault.acknowledge(id, "r1"))).problem, "Fenced")
      const { epoch } = yield* vault.claim(id, "r1")
      yield* vault.intend(id, "r1", epoch, intentOf("m1"))
      yield* vault.put(id, "r1", epoch, issued("new"), "m1")
      yield* vault.promote(id, "r1", epoch)
      assert.isTrue(Option.getOrThrow((yield* vault.acknowledge(id, "r1")).rotation).acknowledged)
    })
  )
})

describe("match", () => {
  it.effect("finds every slot and role that holds the string, and no other", () =>
    Effect.gen(function* () {
      const { vault } = yield* withKey()
      const second = { account: "another", slot: "of the same key" }
      yield* withPending(vault, second, "first")
      yield* vault.adopt({ account: "main", slot: "bare" }, bare("bare"))
      yield* vault.begin(id, begun("r1"))
      const { epoch } = yield* vault.claim(id, "r1")
      yield* vault.intend(id, "r1", epoch, intentOf("m1"))
      yield* vault.put(id, "r1", epoch, issued("new"), "m1")
      const found = (text: string) =>
        Effect.map(vault.match(Redacted.make(text)), (matches) => matches.map(({ id, role }) => [id.slot, role]))
      assert.deepStrictEqual(yield* found("secret of first"), [
        [second.slot, "pending"],
        [id.slot, "current"]
      ])
      assert.deepStrictEqual(yield* found("secret of new"), [[id.slot, "pending"]])
      yield* vault.promote(id, "r1", epoch)
      assert.deepStrictEqual(yield* found("secret of new"), [[id.slot, "current"]])
      assert.deepStrictEqual(yield* found("secret of first"), [
        [second.slot, "pending"],
        [id.slot, "previous"]
      ])
      yield* vault.addOrphan({ account: "main", slot: "bare" }, orphanOf("lost"))
      assert.deepStrictEqual(yield* found("lost"), [["bare", "orphan"]])
      yield* vault.dropPrevious(id, "r1")
      assert.deepStrictEqual(yield* found("secret of first"), [[second.slot, "pending"]])
      assert.deepStrictEqual(yield* found("bare"), [["bare", "current"]])
      // The address of a key whose secret is known is no secret, in no form in which it is hashed.
      for (const text of ["", "first", `["acme","main","first"]`, "secret of firs", "SECRET OF FIRST"])
        assert.deepStrictEqual(yield* found(text), [])
    })
  )

  it.effect("is not kept from one slot by another that cannot be read, unless that is the only one", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      const broken = { account: "main", slot: "broken" }
      yield* withPending(vault, broken, "first")
      const row = Option.getOrThrow(yield* store.read(broken))
      yield* store.write({ ...row, version: row.version + 1, document: "{}" })
      const leaked = Redacted.make("secret of first")
      assert.deepStrictEqual(
        (yield* vault.match(leaked)).map((match) => match.id),
        [id]
      )
      yield* vault.adopt(id, known("other"), { replace: true })
      const error = yield* Effect.flip(vault.match(leaked))
      assert.deepInclude(error, { operation: "match", problem: "Unreadable", slot: "broken" })
    })
  )

  const others = { "another key": "k2", "the same id over other bytes": "k1" }
  for (const [name, current] of Object.entries(others)) {
    it.effect(
      `does not say that nothing holds the string where a slot was sealed with a key that is lacking: ${name}`,
      () =>
        Effect.gen(function* () {
          const { store } = yield* withKey()
          const vault = yield* openVault(store, { current, keys: { [current]: keyOf("api_test_sealing_key_2") } })
          yield* vault.adopt({ account: "main", slot: "other" }, known("other"))
          const error = yield* Effect.flip(vault.match(Redacted.make("secret of first")))
          assert.deepInclude(error, { operation: "match", problem: "Unreadable", ...id })
          assert.include(error.message, "it may hold the string")
          // What is found by its hash is given at once.
          assert.strictEqual((yield* vault.match(Redacted.make("secret of other"))).length, 1)
        })
    )
  }

  it.effect("counts the slots that may hold the string", () =>
    Effect.gen(function* () {
      const { store, vault: first } = yield* withKey()
      yield* first.adopt({ account: "main", slot: "z" }, known("z"))
      const vault = yield* openVault(store, { current: "k2", keys: { k2: keyOf("api_test_sealing_key_2") } })
      const error = yield* Effect.flip(vault.match(Redacted.make("any string")))
      assert.deepInclude(error, { problem: "Unreadable", ...id })
      assert.include(error.message, "and so may 1 more that cannot be read")
    })
  )

  it.effect("opens every slot where no hash leads to the string", () =>
    Effect.gen(function* () {
      const { store } = yield* withKey()
      let asked = 0
      const unavailableOnce = Stream.suspend(() => (asked++ === 0 ? Stream.fail(unavailable("list")) : store.list({})))
      const vault = yield* openVault({ ...store, find: () => Effect.succeed([]), list: () => unavailableOnce })
      const found = yield* passing(vault.match(Redacted.make("secret of first")))
      assert.deepStrictEqual(found, [{ id, role: "current", handle: "acme_first" }])
      assert.deepStrictEqual(yield* vault.match(Redacted.make("secret of second")), [])
    })
  )
})

describe("a document that cannot be read", () => {
  const cases: ReadonlyArray<readonly [string, (document: string) => string, string]> = [
    ["of a later format", (text) => text.replace(`"format":1`, `"format":2`), "format 2"],
    ["that is none", () => "nonsense", "no document"],
    ["with a field that a later version added", (text) => text.replace(/^\{/, `{"later":1,`), "would lose"],
    [
      "with a field that a later version added to its key",
      (text) => text.replace(`"current":{`, `"current":{"later":1,`),
      "would lose"
    ],
    ["whose key was changed", (text) => text.replace(/"sealed":"v1\.k1\.(..)/, `"sealed":"v1.k1.zz`), "changed"],
    ["whose epoch was changed", (text) => text.replaceAll(`"epoch":0`, `"epoch":1`), "changed"],
    [
      "whose account was changed",
      (text) => text.replace(`"providerAccount":"main"`, `"providerAccount":"b"`),
      "changed"
    ],
    ["of an unknown sealing key", (text) => text.replace("v1.k1.", "v1.k9."), "k9"]
  ]
  for (const [name, change, detail] of cases) {
    it.effect(`${name}: it is said, and the others are given`, () =>
      Effect.gen(function* () {
        const { store, vault } = yield* withKey({ account: "main", slot: "m" })
        yield* vault.adopt({ account: "main", slot: "a" }, known("a"))
        yield* vault.adopt({ account: "main", slot: "z" }, known("z"))
        const bad = { account: "main", slot: "m" }
        const row = Option.getOrThrow(yield* store.read(bad))
        const document = change(row.document)
        assert.notStrictEqual(document, row.document)
        yield* store.write({ ...row, version: 2, document, open: true })
        for (const effect of [
          vault.read(bad),
          vault.claim(bad, "r"),
          vault.adopt(bad, known("first"), { replace: true })
        ]) {
          const error = yield* Effect.flip(effect)
          assert.deepInclude(error, { problem: "Unreadable", ...bad })
          assert.include(error.message, detail)
        }
        const seen: Array<string> = []
        const end = yield* Effect.flip(
          Stream.runForEach(vault.slots(), ({ slot }) => Effect.sync(() => void seen.push(slot)))
        )
        assert.deepInclude(end, { problem: "Unreadable", slot: "m" })
        assert.deepStrictEqual(seen, ["a", "z"])
        assert.strictEqual((yield* Stream.runCollect(vault.scan({ open: true }))).length, 1)
        // Nothing of it was written over.
        assert.strictEqual(Option.getOrThrow(yield* store.read(bad)).document, document)
      })
    )
  }

  it.effect("has an unknown field anywhere, also in what is sealed", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      yield* vault.begin(id, begun("r1"))
      const { epoch } = yield* vault.claim(id, "r1")
      yield* vault.intend(id, "r1", epoch, intentOf("m1"))
      yield* vault.note(id, "r1", { before: { handle: "acme_first", status: "active", digest: "d" } })
      yield* vault.addOrphan(id, orphanOf("gone"))
      const row = Option.getOrThrow(yield* store.read(id))
      const sealer = yield* Seal.make(sealingKeys)
      yield* Document.decode(sealer, row)
      const refused = (document: string) =>
        Effect.flatMap(Effect.result(Document.decode(sealer, { ...row, document })), (result) =>
          Effect.sync(() => assert.isTrue(Result.isFailure(result), document))
        )
      // Into every object that there is.
      const objects = [...row.document.matchAll(/\{/g)].map(({ index }) => index + 1)
      assert.isAtLeast(objects.length, 7)
      for (const at of objects) yield* refused(`${row.document.slice(0, at)}"later":1,${row.document.slice(at)}`)
      // And into what is sealed, which opens where nothing is added.
      const withContents = Effect.fnUntraced(function* (contents: string) {
        const sealed = yield* sealer.seal(contents, ["key", id.account, id.slot, "acme", "main", 0])
        return row.document.replace(/("current":\{.*?"sealed":")[^"]*/, `$1${sealed}`)
      })
      yield* Document.decode(sealer, { ...row, document: yield* withContents(`{"address":"first"}`) })
      yield* refused(yield* withContents(`{"address":"first","later":1}`))
    })
  )

  it.effect("is that of another slot, put in its place", () =>
    Effect.gen(function* () {
      const { store, vault } = yield* withKey()
      yield* vault.adopt({ account: "main", slot: "b" }, known("b"))
      const row = Option.getOrThrow(yield* store.read({ account: "main", slot: "b" }))
      yield* store.write({ ...row, ...id, version: 2 })
      assert.strictEqual(yield* problemOf(vault.read(id)), "Unreadable")
    })
  )
})

describe("documents", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }).filter((one) => one.isWellFormed())
  )
  const instant = fc.integer({ min: 0, max: 2 ** 45 })
  const redacted = text.map((one) => Redacted.make(one))
  const option = <A>(of: fc.Arbitrary<A>) => fc.option(of).map(Option.fromNullOr)
  const key = fc.record({
    ref: text.map((one) => refOf(one)),
    secret: option(redacted),
    handle: text,
    epoch: fc.nat(),
    storedAt: instant
  })
  const rotation: fc.Arbitrary<RotationRecord> = fc.record(
    {
      id: text,
      kind: fc.constantFrom("rotate", "replace"),
      strategy: fc.constantFrom("in-place", "successor", "recreate"),
      run: fc.nat(),
      startedAt: instant,
      step: fc.constantFrom(...Step.literals),
      since: instant,
      attempts: fc.nat(),
      problem: fc.constantFrom(...Problem.literals),
      overdue: fc.boolean(),
      mints: fc.nat(),
      before: fc.record(
        {
          handle: text,
          status: fc.constantFrom("active", "disabled", "sandbox"),
          digest: text,
          name: text,
          spec: text
        },
        { requiredKeys: ["handle", "status", "digest"] }
      ),
      leaked: text,
      overlap: fc.nat(),
      acknowledgement: fc.boolean(),
      acknowledged: fc.boolean(),
      promotedAt: instant,
      retiring: fc.boolean(),
      endedAt: instant,
      outcome: fc.constantFrom("completed", "superseded", "contained", "failed")
    },
    {
      requiredKeys: [
        "id",
        "kind",
        "strategy",
        "run",
        "startedAt",
        "step",
        "since",
        "attempts",
        "overdue",
        "mints",
        "overlap",
        "acknowledgement",
        "acknowledged",
        "retiring"
      ]
    }
  )
  const slot: fc.Arbitrary<Slot> = fc.record({
    account: text,
    slot: text,
    provider: fc.constant("acme"),
    providerAccount: fc.constant("main"),
    epoch: fc.nat(),
    current: key,
    pending: option(key),
    previous: option(key),
    rotation: option(rotation),
    intents: fc.array(
      fc.record({
        intent: fc.tuple(text, instant).map(([marker, at]) => intentOf(marker, DateTime.makeUnsafe(at))),
        epoch: fc.nat(),
        rotationId: text,
        recordedAt: instant,
        state: fc.constantFrom("open", "landed")
      }),
      { maxLength: 3 }
    ),
    orphans: fc.array(
      fc.record({
        handle: text,
        ref: option(text.map((one) => refOf(one))),
        inert: fc.boolean(),
        origin: fc.constantFrom("lost", "unretired", "unclaimed"),
        rotationId: text,
        foundAt: instant
      }),
      { maxLength: 3 }
    )
  })

  it.effect("come back as they were written, under their own name alone", () =>
    Effect.gen(function* () {
      const sealer = yield* Seal.make(sealingKeys)
      yield* check(
        fc.asyncProperty(slot, text, (given, other) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const row = yield* Document.encode(sealer, given, 3)
              assert.deepStrictEqual(yield* Document.decode(sealer, row), given)
              assert.isTrue(yield* Document.isUpToDate(sealer, "k1", row))
              assert.isFalse(yield* Document.isUpToDate(sealer, "k2", row))
              assert.isFalse(yield* Document.isUpToDate(sealer, "k1", { ...row, fingerprints: [] }))
              if (other === given.slot) return
              const error = yield* Effect.flip(Document.decode(sealer, { ...row, slot: other }))
              assert.strictEqual(error.problem, "Unreadable")
            })
          )
        ),
        100
      )
    })
  )
})

/** What writers that know little of each other may ask of one slot. */
type Ask =
  | { readonly ask: "begin"; readonly rotation: string; readonly kind: "rotate" | "replace" }
  | { readonly ask: "claim" | "discard" | "drop" | "end"; readonly rotation: string }
  | { readonly ask: "put"; readonly rotation: string; readonly behind: number; readonly key: string }
  | { readonly ask: "promote"; readonly rotation: string; readonly behind: number }

describe("whatever is asked of a slot", () => {
  const rotation = fc.constantFrom("r1", "r2", "r3")
  const behind = fc.constantFrom(0, 0, 0, 1, 2)
  const ask: fc.Arbitrary<Ask> = fc.oneof(
    fc.record({ ask: fc.constant("begin"), rotation, kind: fc.constantFrom("rotate", "replace") }),
    fc.record({ ask: fc.constantFrom("claim", "claim", "discard", "drop", "end"), rotation }),
    fc.record({ ask: fc.constant("put"), rotation, behind, key: fc.constantFrom("k1", "k2", "k3", "k4") }),
    fc.record({ ask: fc.constant("promote"), rotation, behind })
  )

  it.effect("the epoch only grows, only its holder puts a key, and a rotation promotes once", () =>
    check(
      fc.asyncProperty(fc.array(ask, { minLength: 1, maxLength: 40 }), (asks) =>
        run(
          Effect.gen(function* () {
            const { vault } = yield* withKey()
            const promotions = new Map<string, number>()
            let puts = 0
            for (const one of asks) {
              const before = yield* vault.read(id)
              const epoch = before.epoch - ("behind" in one ? one.behind : 0)
              const open = Option.filter(before.rotation, ({ outcome }) => outcome === undefined)
              const result = yield* Effect.result(askOf(vault, one, epoch))
              const after = yield* vault.read(id)
              if (Result.isFailure(result)) {
                assert.include(["Fenced", "InProgress", "Taken"], result.failure.problem)
                assert.deepStrictEqual(after, before, "what was refused was written")
                continue
              }
              assert.deepStrictEqual(result.success, after)
              assert.isAtLeast(after.epoch, before.epoch)
              if (one.ask === "claim") assert.strictEqual(after.epoch, before.epoch + 1)
              if (one.ask === "put" && !Option.isSome(before.pending) && Option.isSome(after.pending)) {
                puts++
                assert.strictEqual(epoch, before.epoch)
                assert.strictEqual(Option.getOrUndefined(Option.map(open, (last) => last.id)), one.rotation)
              }
              if (Redacted.value(after.current.ref.value) !== Redacted.value(before.current.ref.value)) {
                assert.strictEqual(one.ask, "promote")
                promotions.set(one.rotation, (promotions.get(one.rotation) ?? 0) + 1)
                assert.deepStrictEqual(Option.some(after.current), before.pending)
              }
            }
            for (const [name, count] of promotions) assert.isAtMost(count, puts, name)
          })
        )
      ),
      40
    )
  )

  const gone: Orphan = {
    handle: "gone",
    ref: Option.none(),
    inert: true,
    origin: "unclaimed",
    rotationId: "r1",
    foundAt: 0
  }

  const askOf = (vault: KeyVault["Service"], one: Ask, epoch: number): Effect.Effect<Slot, VaultError> => {
    switch (one.ask) {
      case "begin":
        return vault.begin(id, begun(one.rotation, one.kind))
      case "claim":
        return vault.claim(id, one.rotation)
      case "put":
        return vault.put(id, one.rotation, epoch, issued(one.key), "m")
      case "promote":
        return vault.promote(id, one.rotation, epoch)
      case "discard":
        return vault.discardPending(id, one.rotation, gone)
      case "drop":
        return vault.dropPrevious(id, one.rotation)
      case "end":
        return vault.end(id, one.rotation, "failed", "Defect")
    }
  }
})

describe("the options", () => {
  it.effect("that make no sense are refused without a key in the message", () =>
    Effect.gen(function* () {
      const store = yield* makeMemory
      const short = { current: "k1", keys: { k1: Redacted.make("api_test_too_short") } }
      const exit = yield* Effect.exit(openVault(store, short))
      assert.isTrue(exit._tag === "Failure")
      assert.notInclude(JSON.stringify(exit), "too_short")
      assert.isTrue(Layer.isLayer(KeyVault.layer({ sealingKeys })))
    })
  )
})
