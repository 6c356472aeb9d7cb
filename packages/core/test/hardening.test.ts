import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { ApiKeyError, ApiKeyService, KeyRef, OutcomeUnknown } from "@effect-api-keys/core"
import type { ApiKeyDriver, Minted } from "@effect-api-keys/core/ApiKeyDriver"
import { MemoryProvider } from "@effect-api-keys/core/testing"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Limiter from "../src/internal/limiter.ts"
import { expectError, recordingLogger } from "./support.ts"

const spec: KeySpec = { name: "acme", domains: ["acme.example"], quota: 1000 }

const memory = Effect.gen(function* () {
  return { keys: yield* ApiKeyService, vendor: yield* MemoryProvider.MemoryProvider }
})

/** A driver of one fake key, with parts to taste. */
const fake = (parts: Partial<ApiKeyDriver> = {}) => {
  const removed: Array<string> = []
  const minted: Minted = { address: "api_test_address", secret: "api_test_secret" }
  const driver: ApiKeyDriver = {
    provider: "acme",
    account: "default",
    restrictions: {},
    defaults: {},
    name: Result.succeed,
    address: Result.succeed,
    handle: () => "acme_1",
    mint: () => Effect.succeed({ send: Effect.succeed(minted) }),
    remove: (address) =>
      Effect.sync(() => {
        removed.push(address)
      }),
    ...parts
  }
  return { layer: ApiKeyService.layer(Effect.succeed(driver)), minted, removed }
}

describe("what is asked is what is read, however it is said", () => {
  it.effect("a restriction behind a getter or a prototype is not passed over", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      class Tenant {
        readonly name = "acme"
        get domains(): readonly [string] {
          return ["acme.example"]
        }
      }
      yield* keys.create(new Tenant())
      yield* keys.create(Object.assign(Object.create({ domains: ["acme.example"] }), { name: "acme" }) as KeySpec)
      for (const { restrictions } of yield* vendor.keys) {
        assert.deepStrictEqual(restrictions.domains, ["acme.example"])
      }
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a restriction that is there and undefined is refused, in a spec and in a patch", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      // Without exactOptionalPropertyTypes, which few programs set, both compile as they are.
      const error = yield* expectError(
        keys.create({ name: "a", domains: undefined } as unknown as KeySpec),
        "InvalidRequest"
      )
      assert.match(error.message, /domains: is undefined/)
      yield* expectError(keys.patch(ref, { quota: 5, domains: undefined } as unknown as KeyPatch), "InvalidRequest")
      assert.strictEqual((yield* vendor.keys).length, 1)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("input that throws when it is read is bad input, and what it threw is not shown", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const throwing = {
        name: "a",
        get domains(): never {
          throw new Error("api_test_thrown")
        }
      }
      const proxy = new Proxy(
        { name: "a" },
        {
          has: () => {
            throw new Error("api_test_thrown")
          }
        }
      )
      for (const bad of [throwing, proxy]) {
        const error = yield* expectError(keys.create(bad), "InvalidRequest")
        assert.notInclude(JSON.stringify(error), "api_test_thrown")
      }
      // A ref from JavaScript, whose value was never redacted.
      const raw = { provider: "memory", account: "default", value: "1001" } as unknown as KeyRef
      yield* expectError(keys.get(raw), "InvalidRequest")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a driver made as a class keeps its methods", () => {
    const { minted } = fake()
    class Acme implements ApiKeyDriver {
      readonly provider = "acme"
      readonly account = "default"
      readonly restrictions = {}
      readonly defaults = {}
      readonly name = Result.succeed<string>
      readonly address = Result.succeed<string>
      handle() {
        return "acme_1"
      }
      mint() {
        return Effect.succeed({ send: Effect.succeed(minted) })
      }
    }
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create")
      assert.strictEqual((yield* keys.create({ name: "a" })).handle, "acme_1")
    }).pipe(Effect.provide(ApiKeyService.layer(Effect.sync(() => new Acme()))))
  })
})

describe("options of a vendor are held against its echo too", () => {
  const withEcho = (shown: Record<string, unknown>) =>
    fake({
      options: (input) => Result.succeed(input),
      mint: () =>
        Effect.succeed({
          send: Effect.succeed({
            address: "api_test_address",
            secret: "api_test_secret",
            echo: { handle: "acme_1", status: "active", providerStatus: "on", restrictions: {}, options: shown }
          })
        }),
      patch: () =>
        Effect.succeed({ handle: "acme_1", status: "active", providerStatus: "on", restrictions: {}, options: shown })
    })
  // Namespaces are added by module augmentation, in adapters.
  const asked = { name: "a", options: { acme: { status: "sandbox" } } } as KeySpec
  const patch = { options: { acme: { status: "sandbox" } } } as KeyPatch
  const ref = new KeyRef({ provider: "acme", account: "default", value: Redacted.make("api_test_address") })

  it.effect("one that came back different shuts a new key off, and fails a patch", () => {
    const { layer, removed } = withEcho({ status: "allowed" })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const error = yield* expectError(keys.create(asked), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual(error.reason.missing, ["options.status"])
      assert.deepStrictEqual(removed, ["api_test_address"])
      yield* expectError(keys.patch(ref, patch), "PartiallyApplied")
    }).pipe(Effect.provide(layer))
  })

  it.effect("one that is not shown proves nothing, and one that is as asked is proof", () =>
    Effect.gen(function* () {
      const proofOf = (shown: Record<string, unknown>) =>
        Effect.map(
          Effect.flatMap(ApiKeyService, (keys) => keys.patch(ref, patch)).pipe(Effect.provide(withEcho(shown).layer)),
          ({ proof }) => proof
        )
      assert.strictEqual(yield* proofOf({}), "acknowledged")
      assert.strictEqual(yield* proofOf({ status: "sandbox" }), "echoed")
    })
  )
})

describe("nothing after a mint takes the key away in silence", () => {
  it.effect("a deadline that is none is refused before anything is minted", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      const deliver = () => Effect.never
      for (const deliverTimeout of ["1e3 millis", "soon" as Duration.Input] as const) {
        yield* expectError(keys.create(spec, { deliver, deliverTimeout }), "InvalidRequest")
        yield* expectError(keys.rotate(ref, { deliver, deliverTimeout }), "InvalidRequest")
      }
      assert.strictEqual((yield* vendor.keys).length, 1)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a driver that throws on the new address: the key is shut off", () => {
    let broken = false
    const { layer, removed } = fake({
      handle: () => {
        if (broken) throw new Error("no handle")
        return "acme_1"
      }
    })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      broken = true
      const exit = yield* Effect.exit(keys.create({ name: "a" }))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(removed, ["api_test_address"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a driver that dies while it retires the old key: the new key is in the result", () => {
    const { layer, minted } = fake({
      rotation: {
        successor: () => Effect.succeed({ spec: { name: "a", restrictions: {} }, send: Effect.succeed(minted) }),
        retire: () => Effect.die("api_test_defect")
      }
    })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const ref = keys.ref(Redacted.make("old"))
      const { incomplete, issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert.strictEqual(Redacted.value(issued.secret), minted.secret)
      assert.strictEqual(previous, "live")
      assert(incomplete?.step === "retire")
      assert.notInclude(incomplete.error.message, "api_test_defect")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a delivery from JavaScript that gives no effect fails at once, and the key is shut off", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      // What a plain function gives that was forgotten to be an effect.
      const deliver = () => undefined as unknown as Effect.Effect<void>
      const exit = yield* Effect.exit(keys.create(spec, { deliver }))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual(
        (yield* vendor.keys).filter(({ status }) => status === "active"),
        []
      )
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a driver from JavaScript that gives no effect fails at once", () => {
    // What a program without types may give.
    const send = undefined as unknown as Effect.Effect<Minted>
    return Effect.gen(function* () {
      const exit = yield* Effect.exit((yield* ApiKeyService).create({ name: "acme" }))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }).pipe(Effect.provide(fake({ mint: () => Effect.succeed({ send }) }).layer))
  })

  const forking = Effect.forkChild(Effect.uninterruptible(Effect.sleep("1 hour")), { startImmediately: true })

  it.effect("a delivery that forks something slow has delivered when it ends", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const stored: Array<string> = []
      const deliver = ({ secret }: IssuedKey) =>
        Effect.map(forking, () => {
          stored.push(Redacted.value(secret))
        })
      const created = yield* keys.create(spec, { deliver })
      yield* TestClock.adjust("1 minute")
      const rotated = yield* keys.rotate(created.ref, { deliver })
      assert.deepStrictEqual(stored, [Redacted.value(created.secret), Redacted.value(rotated.issued.secret)])
      assert.isTrue(yield* vendor.isLive(Redacted.value(rotated.issued.secret)))
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a vendor's client that forks something slow has minted when it ends", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      yield* vendor.next("mint", { before: Effect.asVoid(forking) })
      const { secret } = yield* keys.create(spec)
      yield* TestClock.adjust("2 hours")
      assert.isTrue(yield* vendor.isLive(Redacted.value(secret)))
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a logger that throws does not keep an abandoned key alive", () => {
    const proceed = Deferred.makeUnsafe<void>()
    const { layer, minted, removed } = fake({
      mint: () => Effect.succeed({ send: Effect.as(Deferred.await(proceed), minted) })
    })
    const throwing = Logger.layer([
      Logger.make(() => {
        throw new Error("the log is full")
      })
    ])
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const call = yield* Effect.forkChild(keys.create({ name: "a" }))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(call)
      yield* Deferred.succeed(proceed, undefined)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(removed, ["api_test_address"])
    }).pipe(Effect.provide([layer, throwing]))
  })

  it.effect("a driver from JavaScript that gives no effect after the mint: the key is shut off", () => {
    // What a program without types may give.
    const activate = () => undefined as unknown as Effect.Effect<void>
    const { layer, minted, removed } = fake({
      mint: () => Effect.sync(() => ({ send: Effect.succeed(minted), activate }))
    })
    return Effect.gen(function* () {
      const { reason } = yield* expectError((yield* ApiKeyService).create({ name: "acme" }), "PartiallyApplied")
      assert.deepStrictEqual(reason._tag === "PartiallyApplied" && reason.missing, ["activate"])
      assert.deepStrictEqual(removed, ["api_test_address"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a delivery that interrupts itself is a delivery that failed, and its caller has not left", () => {
    const { layer, removed } = fake()
    const { layer: logger, logged } = recordingLogger()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const deliver = () => Effect.andThen(Effect.sleep("1 second"), Effect.interrupt)
      const call = yield* Effect.forkChild(keys.create({ name: "acme" }, { deliver }))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.await(call)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(removed, ["api_test_address"])
      assert.deepStrictEqual(logged, [])
    }).pipe(Effect.provide([layer, logger]))
  })

  it.effect("a layer that is closed from inside a mint waits for it all the same", () => {
    const { layer } = fake()
    return Effect.gen(function* () {
      const seen: Array<string> = []
      const scope = yield* Scope.make()
      const keys = yield* Effect.provideContext(ApiKeyService, yield* Layer.buildWithScope(layer, scope))
      const closing = Effect.andThen(
        Scope.close(scope, Exit.void),
        Effect.sync(() => {
          seen.push("closed")
        })
      )
      const deliver = () =>
        Effect.gen(function* () {
          yield* Effect.forkDetach(closing, { startImmediately: true })
          yield* Effect.sleep("1 second")
          seen.push("delivered")
        })
      yield* Effect.forkChild(keys.create({ name: "acme" }, { deliver }))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(seen, ["delivered", "closed"])
    })
  })

  /** Interrupts a call at its nth turn, on a scheduler that yields every few steps. */
  const atTurn = Effect.fnUntraced(function* <A, E>(turn: number, every: number, call: Effect.Effect<A, E>) {
    const caller = yield* Effect.forkChild(Effect.provideService(call, Scheduler.MaxOpsBeforeYield, every))
    for (let n = 0; n < turn; n++) yield* Effect.yieldNow
    return yield* Effect.forkChild(Fiber.interrupt(caller), { startImmediately: true })
  })

  for (const every of [3, 5, 8]) {
    it.effect(
      `interrupted at any turn, a mint whose end is not known is told or logged (a turn every ${every} steps)`,
      () => {
        const { layer: logger, logged } = recordingLogger()
        let sent = 0
        let told = 0
        const reason = new OutcomeUnknown({ problem: "transport", issues: [] })
        const send = Effect.suspend(() => {
          sent++
          return Effect.andThen(
            Effect.yieldNow,
            Effect.fail(new ApiKeyError({ provider: "acme", operation: "POST /keys", reason }))
          )
        })
        const { layer } = fake({ mint: () => Effect.succeed({ send }) })
        return Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const create = Effect.catch(keys.create({ name: "acme" }), () =>
            Effect.sync(() => {
              told++
            })
          )
          for (let turn = 0; turn < 100; turn++) {
            yield* atTurn(turn, every, create)
            for (let n = 0; n < 100; n++) yield* Effect.yieldNow
          }
          assert.isAbove(told, 0)
          assert.isAbove(logged.length, 0)
          // All but the last hop, on which a failure takes a turn more than a value, and none twice.
          assert.isAtMost(sent - told - logged.length, 4)
          assert.isAtMost(told + logged.length, sent)
        }).pipe(Effect.provide([layer, logger]))
      }
    )

    it.effect(
      `interrupted at any turn and the layer closed at once, nothing is sent afterwards (a turn every ${every} steps)`,
      () => {
        let closed = false
        let late = 0
        let removed = 0
        const send = Effect.as(Effect.yieldNow, { address: "api_test_address", secret: "api_test_secret" })
        const remove = () =>
          Effect.sync(() => {
            removed++
            if (closed) late++
          })
        const { layer } = fake({ mint: () => Effect.succeed({ send }), remove })
        return Effect.gen(function* () {
          for (let turn = 0; turn < 100; turn++) {
            closed = false
            const scope = yield* Scope.make()
            const keys = yield* Effect.provideContext(ApiKeyService, yield* Layer.buildWithScope(layer, scope))
            yield* atTurn(turn, every, keys.create({ name: "acme" }))
            yield* Scope.close(scope, Exit.void)
            closed = true
            for (let n = 0; n < 100; n++) yield* Effect.yieldNow
          }
          assert.isAbove(removed, 0)
          assert.strictEqual(late, 0)
        })
      }
    )
  }

  /**
   * Interrupts a call at its nth turn, for every n, on a scheduler that yields every few steps: no interleaving is left
   * out. The last hop, from our last step to the caller's first, is out of our hands: three turns at the most here, and
   * a step in two thousand on the scheduler that programs have. `deliver` closes it.
   */
  for (const every of [3, 5, 8]) {
    it.effect(
      `interrupted at any turn, a create without deliver leaves no live key but on the last hop (a turn every ${every} steps)`,
      () =>
        Effect.gen(function* () {
          let finished = 0
          let lost = 0
          for (let turn = 0; turn < 200 && finished < 20; turn++) {
            yield* Effect.gen(function* () {
              const { keys, vendor } = yield* memory
              const taken: Array<IssuedKey> = []
              const call = yield* Effect.forkChild(
                // What the caller does with the value is in the same step as its getting it.
                Effect.map(keys.create(spec), (key) => void taken.push(key)).pipe(
                  Effect.provideService(Scheduler.MaxOpsBeforeYield, every)
                )
              )
              for (let n = 0; n < turn; n++) yield* Effect.yieldNow
              yield* Fiber.interrupt(call)
              for (let n = 0; n < 200; n++) yield* Effect.yieldNow
              const live = (yield* vendor.keys).filter(({ status }) => status === "active").length
              if (taken.length > 0) finished++
              else lost += live
            }).pipe(Effect.provide(MemoryProvider.layer()))
          }
          assert.isAbove(finished, 0)
          assert.isAtMost(lost, 3)
        })
    )
  }
})

describe("the gate", () => {
  /** A store that answers a turn later, as one over a network does. */
  const slow = Effect.map(RateLimiter.RateLimiterStore, (store) =>
    RateLimiter.RateLimiterStore.of({
      ...store,
      fixedWindow: (options) => Effect.tap(store.fixedWindow(options), () => Effect.yieldNow)
    })
  )

  const makeLimiter = Limiter.make({
    provider: "acme",
    account: "default",
    maxWait: Duration.zero,
    budgets: {
      ordinary: { limit: 100, window: "1 minute" },
      urgent: { limit: 20, window: "1 minute" },
      lockout: "5 minutes"
    }
  })

  it.effect("a longer lockout is told to the others when the shorter one is over", () =>
    Effect.gen(function* () {
      const mine = yield* makeLimiter
      const theirs = yield* makeLimiter
      yield* mine.close(Duration.seconds(1))
      yield* mine.close(Duration.seconds(300))
      yield* TestClock.adjust("2 seconds")
      yield* Effect.flip(mine.admit(undefined, Effect.void))
      const shut = yield* Effect.flip(theirs.admit(undefined, Effect.void))
      assert(shut._tag === "RateLimited")
      assert.strictEqual(Duration.toSeconds(shut.retryAfter), 298)
    }).pipe(Effect.scoped, Effect.provide(RateLimiter.layerStoreMemory))
  )

  it.effect("many 429s at once do not add up", () =>
    Effect.gen(function* () {
      const limiter = yield* Effect.provideServiceEffect(makeLimiter, RateLimiter.RateLimiterStore, slow)
      yield* limiter.close(Duration.seconds(1))
      yield* Effect.forEach(Array.from({ length: 20 }), () => limiter.close(Duration.seconds(300)), {
        concurrency: "unbounded"
      })
      yield* TestClock.adjust("2 seconds")
      const shut = yield* Effect.flip(limiter.admit(undefined, Effect.void))
      assert(shut._tag === "RateLimited")
      assert.strictEqual(Duration.toSeconds(shut.retryAfter), 298)
      yield* TestClock.adjust("298 seconds")
      yield* limiter.admit(undefined, Effect.void)
    }).pipe(Effect.scoped, Effect.provide(RateLimiter.layerStoreMemory))
  )
})
