import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { KeyRef } from "../src/ApiKey.ts"
import { ApiKeyError, PermissionDenied } from "../src/ApiKeyError.ts"
import { ApiKeyService } from "../src/ApiKeyService.ts"
import * as MintRegion from "../src/internal/mintRegion.ts"
import type { Call } from "../src/internal/telemetry.ts"
import { MemoryProvider } from "../src/testing/index.ts"
import { recordingLogger, recordingTracer } from "./support.ts"

/**
 * Lets every fiber but the caller's yield after each operation (waking up is one of the three), so that the caller is
 * interrupted between any two operations of its mint. The caller itself runs on: once it is woken with its value there
 * are far fewer operations to its end than a fiber may run in one go.
 */
const interleaved = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((caller) =>
    Effect.flatMap(Scheduler.Scheduler, (scheduler) =>
      Effect.provideService(effect, Scheduler.Scheduler, {
        executionMode: scheduler.executionMode,
        makeDispatcher: () => scheduler.makeDispatcher(),
        shouldYield: (fiber) => (fiber === caller ? scheduler.shouldYield(fiber) : fiber.currentOpCount >= 3)
      })
    )
  )

/** A region in a scope of its own, and a mint that writes down what becomes of it. */
const makeRegion = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const region = yield* Scope.provide(MintRegion.make, scope)
  const seen = { ran: 0, abandoned: [] as Array<Exit.Exit<string, string>> }
  const mint = <R>(work: Effect.Effect<string, string, R>, compensation: Effect.Effect<void> = Effect.void) => {
    const call: Call = { startedAt: 0, abandoned: false }
    const running = region.run({
      call,
      closed: () => "closed",
      work: Effect.onExit(work, () =>
        Effect.sync(() => {
          seen.ran++
        })
      ),
      abandoned: (exit: Exit.Exit<string, string>) =>
        Effect.andThen(
          compensation,
          Effect.sync(() => {
            seen.abandoned.push(exit)
          })
        )
    })
    // As the verb's span does.
    return Effect.onExit(running, () => Effect.sync(() => call.over?.()))
  }
  return { scope, seen, mint, close: Scope.close(scope, Exit.void) }
})

describe("the mint region", () => {
  it.effect("gives the caller the end of the work, whatever it is", () =>
    Effect.gen(function* () {
      const { mint, seen } = yield* makeRegion
      assert.strictEqual(yield* mint(Effect.succeed("key")), "key")
      assert.deepStrictEqual(yield* Effect.exit(mint(Effect.fail("refused"))), Exit.fail("refused"))
      assert.deepStrictEqual(yield* Effect.exit(mint(Effect.die("broken"))), Exit.die("broken"))
      const interrupted = yield* Effect.exit(mint(Effect.interrupt))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
      assert.deepStrictEqual([seen.ran, seen.abandoned], [4, []])
    })
  )

  it.effect("the work runs in the caller's context", () =>
    Effect.gen(function* () {
      class Vault extends Context.Service<Vault, string>()("test/Vault") {}
      const { mint } = yield* makeRegion
      assert.strictEqual(yield* Effect.provideService(mint(Effect.service(Vault)), Vault, "vault"), "vault")
    })
  )

  const ends: ReadonlyArray<readonly [string, Effect.Effect<string, string>, Exit.Exit<string, string>]> = [
    ["succeeds", Effect.succeed("key"), Exit.succeed("key")],
    ["fails", Effect.fail("refused"), Exit.fail("refused")],
    ["dies", Effect.die("broken"), Exit.die("broken")]
  ]
  for (const [what, end, exit] of ends) {
    it.effect(`a caller who leaves does not stop work that ${what}; its end is reported once`, () =>
      Effect.gen(function* () {
        const { mint, seen } = yield* makeRegion
        const caller = yield* Effect.forkChild(mint(Effect.delay(end, "5 seconds")))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(caller)
        assert.strictEqual(seen.ran, 0, "the caller does not wait")
        yield* TestClock.adjust("4 seconds")
        assert.deepStrictEqual([seen.ran, seen.abandoned], [1, [exit]])
      })
    )
  }

  it.effect("a time-out around the call lets the caller go at once", () =>
    Effect.gen(function* () {
      const { mint, seen } = yield* makeRegion
      const caller = yield* Effect.forkChild(
        Effect.timeoutOption(mint(Effect.delay(Effect.succeed("key"), "5 seconds")), "1 second")
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(caller))._tag, "None")
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(seen.abandoned.length, 1)
    })
  )

  it.effect("interrupted at each point: the caller has the value, or it is reported as abandoned, once", () =>
    Effect.gen(function* () {
      const outcomes = new Set<string>()
      for (let steps = 0; steps < 80; steps++) {
        for (const pauses of [0, 2]) {
          const { close, mint, seen } = yield* makeRegion
          const work = Effect.as(
            Effect.forEach(Array.from({ length: pauses }), () => Effect.yieldNow),
            "key"
          )
          const caller = yield* mint(work).pipe(interleaved, Effect.forkChild)
          for (let step = 0; step < steps; step++) yield* Effect.yieldNow
          yield* Fiber.interrupt(caller)
          yield* close
          const exit = yield* Fiber.await(caller)
          const held = Exit.isSuccess(exit) ? 1 : 0
          const outcome = `ran ${seen.ran}, held ${held}, abandoned ${seen.abandoned.length}`
          outcomes.add(outcome)
          assert.strictEqual(held + seen.abandoned.length, seen.ran, `${steps} steps, ${pauses} pauses: ${outcome}`)
        }
      }
      assert.deepStrictEqual(
        [...outcomes].sort(),
        ["ran 0, held 0, abandoned 0", "ran 1, held 0, abandoned 1", "ran 1, held 1, abandoned 0"],
        "all three ends were seen"
      )
    })
  )

  it.effect("a value that is there and not yet taken is reported", () =>
    Effect.gen(function* () {
      const { mint, seen } = yield* makeRegion
      const release = yield* Deferred.make<void>()
      const caller = yield* Effect.forkChild(mint(Effect.as(Deferred.await(release), "key")))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      // The work ends in the turn that this opens; the caller would take its value in the next.
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.interrupt(caller)
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      assert.strictEqual(seen.ran, 1)
      const taken = Exit.isSuccess(yield* Fiber.await(caller))
      assert.strictEqual(seen.abandoned.length, taken ? 0 : 1)
    })
  )

  describe("closing", () => {
    it.effect("waits for a running mint, which ends as if nothing were", () =>
      Effect.gen(function* () {
        const { close, mint, seen } = yield* makeRegion
        const caller = yield* Effect.forkChild(mint(Effect.delay(Effect.succeed("key"), "5 seconds")))
        yield* TestClock.adjust("1 second")
        const closing = yield* Effect.forkChild(close)
        yield* TestClock.adjust("3 seconds")
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        assert.strictEqual(yield* Fiber.join(caller), "key")
        assert.deepStrictEqual([seen.ran, seen.abandoned], [1, []])
      })
    )

    it.effect("waits for the compensation of an abandoned mint too", () =>
      Effect.gen(function* () {
        const { close, mint, seen } = yield* makeRegion
        const caller = yield* Effect.forkChild(
          mint(Effect.delay(Effect.succeed("key"), "5 seconds"), Effect.sleep("5 seconds"))
        )
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(caller)
        const closing = yield* Effect.forkChild(close)
        yield* TestClock.adjust("8 seconds")
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        assert.strictEqual(seen.abandoned.length, 1)
      })
    )

    it.effect("a mint after it, or while it waits, fails typed, at once, and does nothing", () =>
      Effect.gen(function* () {
        const { close, mint, seen } = yield* makeRegion
        yield* Effect.forkChild(mint(Effect.delay(Effect.succeed("key"), "5 seconds")))
        yield* Effect.yieldNow
        const closing = yield* Effect.forkChild(close)
        yield* Effect.yieldNow
        yield* Effect.yieldNow
        assert.strictEqual(yield* Effect.flip(mint(Effect.succeed("late"))), "closed")
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(closing)
        assert.strictEqual(yield* Effect.flip(mint(Effect.succeed("later"))), "closed")
        assert.strictEqual(seen.ran, 1)
      })
    )

    it.effect("with nothing running is immediate", () => Effect.flatMap(makeRegion, ({ close }) => close))
  })
})

describe("withDeadline", () => {
  const within = <A, E>(effect: Effect.Effect<A, E>) => MintRegion.withDeadline(effect, Duration.seconds(10))

  it.effect("gives the effect's own end", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* within(Effect.succeed(1)), Exit.succeed(1))
      assert.deepStrictEqual(yield* within(Effect.fail("no")), Exit.fail("no"))
      assert.deepStrictEqual(yield* within(Effect.die("broken")), Exit.die("broken"))
      const interrupted = yield* within(Effect.interrupt)
      assert.isTrue(
        interrupted !== "deadline" && Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause)
      )
    })
  )

  it.effect("past the deadline nobody waits, and the effect is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = false
      const effect = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* Effect.forkChild(within(effect))
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "deadline")
      yield* TestClock.adjust(0)
      assert.isTrue(interrupted)
    })
  )

  it.effect("holds for an effect that cannot be interrupted, inside a region that cannot either", () =>
    Effect.gen(function* () {
      const stubborn = Effect.uninterruptible(Effect.sleep("1 hour"))
      const fiber = yield* Effect.forkChild(Effect.uninterruptible(within(stubborn)))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "deadline")
    })
  )

  it.effect("an interruption goes on to the effect, and waits for it; nothing comes of the deadline", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      const effect = Effect.onExit(Effect.never, () =>
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => {
            ended.push("effect")
          })
        )
      )
      const fiber = yield* Effect.forkChild(
        Effect.onExit(within(effect), () =>
          Effect.sync(() => {
            ended.push("caller")
          })
        )
      )
      yield* TestClock.adjust("1 second")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended, ["effect", "caller"])
      yield* Fiber.join(leaving)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(ended, ["effect", "caller"])
    })
  )

  it.effect("no timer stays when the effect has ended or was left", () =>
    Effect.gen(function* () {
      const timers = { begun: 0, over: 0 }
      const clock = yield* Clock.Clock
      const counting: Clock.Clock = {
        sleep: (duration) => {
          timers.begun++
          return Effect.onExit(clock.sleep(duration), () =>
            Effect.sync(() => {
              timers.over++
            })
          )
        },
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanos: clock.monotonicTimeNanos,
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe()
      }
      const watched = (effect: Effect.Effect<void>) =>
        Effect.forkChild(Effect.provideService(within(effect), Clock.Clock, counting), { startImmediately: true })

      const reply = yield* Deferred.make<void>()
      const waiting = yield* watched(Deferred.await(reply))
      assert.deepStrictEqual(timers, { begun: 1, over: 0 })
      yield* Deferred.succeed(reply, undefined)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(timers, { begun: 1, over: 1 })

      yield* Fiber.interrupt(yield* watched(Effect.never))
      assert.deepStrictEqual(timers, { begun: 2, over: 2 })

      // What ends at once needs none.
      yield* Fiber.join(yield* watched(Effect.void))
      assert.deepStrictEqual(timers, { begun: 2, over: 2 })
    })
  )

  it.effect("an effect that has ended is not held up by what it forked", () =>
    Effect.gen(function* () {
      const forking = Effect.as(
        Effect.forkChild(Effect.uninterruptible(Effect.sleep("1 hour")), { startImmediately: true }),
        "ended"
      )
      const fiber = yield* Effect.forkChild(within(Effect.andThen(Effect.sleep("1 second"), forking)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed(Exit.succeed("ended")))
      assert.deepStrictEqual(yield* within(forking), Exit.succeed("ended"))
    })
  )

  it.effect("past the deadline the effect does nothing more, whatever is done next", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const say = (word: string) =>
        Effect.sync(() => {
          seen.push(word)
        })
      const gate = yield* Deferred.make<void>()
      const delivery = Effect.andThen(Deferred.await(gate), say("stored")).pipe(
        Effect.onInterrupt(() => say("interrupted"))
      )
      const after = Effect.andThen(say("given up"), Deferred.succeed(gate, undefined))
      const fiber = yield* Effect.forkChild(Effect.andThen(within(delivery), after))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["interrupted", "given up"])
    })
  )

  it.effect("an interruption does not wait past the deadline for one that cannot be interrupted", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(within(Effect.uninterruptible(Effect.never)))
      yield* TestClock.adjust("1 second")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("8999 millis")
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(leaving)
    })
  )

  it.effect("holds for one that will not let go when it is interrupted", () =>
    Effect.gen(function* () {
      const stubborn = Effect.onInterrupt(Effect.never, () => Effect.never)
      const fiber = yield* Effect.forkChild(within(stubborn))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "deadline")
    })
  )

  it.effect("the effect runs in the caller's context", () =>
    Effect.gen(function* () {
      class Vault extends Context.Service<Vault, string>()("test/Vault") {}
      const end = MintRegion.withDeadline(Effect.service(Vault), Duration.seconds(1))
      assert.deepStrictEqual(yield* Effect.provideService(end, Vault, "vault"), Exit.succeed("vault"))
    })
  )
})

describe("callers who leave a mint", () => {
  const memory = Effect.gen(function* () {
    return { keys: yield* ApiKeyService, vendor: yield* MemoryProvider.MemoryProvider }
  })

  const live = Effect.flatMap(MemoryProvider.MemoryProvider, ({ keys }) =>
    Effect.map(keys, (all) => all.filter(({ status }) => status === "active").map(({ secret }) => secret))
  )

  it.effect("a rotation without deliver, left while its successor is switched on: the successor is shut off", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref, secret } = yield* keys.create({ name: "acme" })
      yield* vendor.next("setStatus", { before: Effect.sleep("5 seconds") })
      const caller = yield* Effect.forkChild(keys.rotate(ref))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* live, [Redacted.value(secret)], "the old key alone")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a caller that cannot be interrupted is no such caller: it has its key, and the key works", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const held: Array<string> = []
      yield* vendor.next("mint", { after: Effect.sleep("5 seconds") })
      const acquire = Effect.map(keys.create({ name: "acme" }), ({ secret }) => {
        held.push(Redacted.value(secret))
      })
      const caller = yield* Effect.forkChild(Effect.uninterruptible(acquire))
      yield* TestClock.adjust("1 second")
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(held.length, 1)
      assert.deepStrictEqual(yield* live, held)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a rotation with deliver, left while its successor is switched on, goes on to its end", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create({ name: "acme" })
      const delivered: Array<string> = []
      yield* vendor.next("setStatus", { before: Effect.sleep("5 seconds") })
      const caller = yield* Effect.forkChild(
        keys.rotate(ref, {
          deliver: ({ secret }) =>
            Effect.sync(() => {
              delivered.push(Redacted.value(secret))
            })
        })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(delivered.length, 1)
      assert.deepStrictEqual(yield* live, delivered)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("an abandoned successor is not switched on before it is shut off", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create({ name: "acme" })
      yield* vendor.next("rotate", { after: Effect.sleep("5 seconds") })
      const caller = yield* Effect.forkChild(keys.rotate(ref))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* vendor.calls, { setStatus: 0, remove: 1 })
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  for (const [part, message] of [
    ["setStatus", "a delivered successor could not be switched on"],
    ["remove", "the old key of a rotation could not be shut off and is still live"]
  ] as const) {
    it.effect(`a rotation that stops short after its caller left is logged: ${message}`, () => {
      const { layer, logged } = recordingLogger()
      return Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        const { ref } = yield* keys.create({ name: "acme" })
        yield* vendor.next("rotate", { after: Effect.sleep("5 seconds") })
        yield* vendor.next(part, { before: Effect.fail(new PermissionDenied()) })
        const caller = yield* Effect.forkChild(keys.rotate(ref, { deliver: () => Effect.void }))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(caller)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(
          logged.filter(({ level }) => level === "Error").map(({ message }) => message),
          [[message]]
        )
      }).pipe(Effect.provide(Layer.merge(MemoryProvider.layer(), layer)))
    })
  }

  it.effect("a driver that dies while it shuts a key off does not hide that the key is live", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const broken = { before: Effect.die(new Error("broken")) }
      yield* vendor.next("remove", broken)
      yield* vendor.next("setStatus", broken)
      const exit = yield* Effect.exit(keys.create({ name: "acme" }, { deliver: () => Effect.fail("vault down") }))
      const errors = Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isFailReason).map(({ error }) => error) : []
      assert.strictEqual(errors[0], "vault down")
      const [, stranded] = errors
      assert.isTrue(stranded instanceof ApiKeyError && stranded.reason._tag === "PartiallyApplied")
      // Where only removing dies, disabling is tried.
      yield* vendor.next("remove", broken)
      yield* Effect.exit(keys.create({ name: "acme" }, { deliver: () => Effect.fail("vault down") }))
      assert.strictEqual((yield* live).length, 1)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  for (const [what, layer] of [
    ["a key is minted", MemoryProvider.layer],
    ["a key is minted, elsewhere", MemoryProvider.layerInPlace]
  ] as const) {
    it.effect(`interrupted at each point, without deliver: ${what} and held, or it is shut off`, () =>
      Effect.gen(function* () {
        const outcomes = new Set<string>()
        for (let steps = 0; steps < 220; steps++) {
          yield* Effect.gen(function* () {
            const scope = yield* Scope.make()
            const context = yield* Layer.buildWithScope(layer(), scope)
            yield* Effect.gen(function* () {
              const { keys } = yield* memory
              const caller = yield* keys.create({ name: "acme" }).pipe(interleaved, Effect.forkChild)
              for (let step = 0; step < steps; step++) yield* Effect.yieldNow
              yield* Fiber.interrupt(caller)
              yield* Scope.close(scope, Exit.void)
              const exit = yield* Fiber.await(caller)
              const held = Exit.isSuccess(exit) ? 1 : 0
              const outcome = `held ${held}, live ${(yield* live).length}`
              outcomes.add(outcome)
              assert.strictEqual((yield* live).length, held, `after ${steps} steps: ${outcome}`)
            }).pipe(Effect.provideContext(context))
          })
        }
        assert.deepStrictEqual([...outcomes].sort(), ["held 0, live 0", "held 1, live 1"])
      })
    )
  }
})

describe("telemetry", () => {
  const secretOf = "api_test_caller_error"

  interface Observation {
    readonly keys: ApiKeyService["Service"]
    readonly vendor: MemoryProvider.MemoryProvider["Service"]
    readonly ref: KeyRef
  }

  const verbs: Record<string, (o: Observation) => Effect.Effect<unknown, unknown>> = {
    create: ({ keys }) => keys.create({ name: "two" }),
    patch: ({ keys, ref }) => keys.patch(ref, { quota: 5 }),
    rotate: ({ keys, ref }) => keys.rotate(ref),
    disable: ({ keys, ref }) => keys.disable(ref),
    enable: ({ keys, ref }) => keys.enable(ref),
    revoke: ({ keys, ref }) => keys.revoke(ref),
    delete: ({ keys, ref }) => keys.delete(ref),
    get: ({ keys, ref }) => keys.get(ref),
    list: ({ keys }) => Stream.runCollect(keys.list())
  }

  /** The counts of calls, as `verb/outcome`. */
  const counts = (snapshots: ReadonlyArray<Metric.Metric.Snapshot>) =>
    Object.fromEntries(
      snapshots.flatMap((snapshot) =>
        snapshot.id === "effect_api_keys_operations" && snapshot.type === "Counter"
          ? [
              [
                `${snapshot.attributes?.provider} ${snapshot.attributes?.verb} ${snapshot.attributes?.outcome}`,
                snapshot.state.count
              ]
            ]
          : []
      )
    )

  const timers = (snapshots: ReadonlyArray<Metric.Metric.Snapshot>) =>
    Object.fromEntries(
      snapshots.flatMap((snapshot) =>
        snapshot.id === "effect_api_keys_operation_duration" && snapshot.type === "Histogram"
          ? [
              [
                `${snapshot.attributes?.provider} ${snapshot.attributes?.verb} ${snapshot.attributes?.outcome}`,
                snapshot.state.count
              ]
            ]
          : []
      )
    )

  /** Runs something against one key, with a tracer and metrics of its own. */
  const observing = <A, E>(
    run: (o: Observation) => Effect.Effect<A, E>,
    layer: typeof MemoryProvider.layer | typeof MemoryProvider.layerInPlace = MemoryProvider.layer
  ) => {
    const { spans, tracer } = recordingTracer()
    const { logged, layer: logger } = recordingLogger()
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const vendor = yield* MemoryProvider.MemoryProvider
      const { ref } = yield* Effect.provideService(keys.create({ name: "one" }), Metric.MetricRegistry, new Map())
      spans.length = 0
      const exit = yield* Effect.exit(run({ keys, vendor, ref }))
      const snapshots = yield* Metric.snapshot
      return { exit, spans, logged, counts: counts(snapshots), timers: timers(snapshots) }
    }).pipe(
      Effect.provide(Layer.merge(layer(), logger)),
      Effect.withTracer(tracer),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  }

  for (const [verb, run] of Object.entries(verbs)) {
    it.effect(`${verb}: one span, one count, one time`, () =>
      Effect.gen(function* () {
        const { counts, exit, spans, timers } = yield* observing(run)
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(
          spans.map(({ name, status }) => `${name} ${status._tag}`),
          [`ApiKeyService.${verb} Ended`]
        )
        assert.deepStrictEqual(counts, { [`memory ${verb} success`]: 1 })
        assert.deepStrictEqual(timers, { [`memory ${verb} success`]: 1 })
        const attributes = Object.fromEntries(spans[0]?.attributes ?? [])
        const handle = verb === "create" || verb === "list" ? {} : { "api_key.handle": "memory_1001" }
        assert.deepStrictEqual(attributes, {
          "api_key.provider": "memory",
          "api_key.account": "default",
          ...handle
        })
      })
    )

    it.effect(`${verb}, failing: the outcome is the reason`, () =>
      Effect.gen(function* () {
        const absent = (o: Observation) =>
          verb === "create"
            ? o.keys.create({ name: "" })
            : verb === "list"
              ? Effect.andThen(
                  o.vendor.next("list", { before: Effect.die(new Error("broken")) }),
                  Stream.runCollect(o.keys.list())
                )
              : run({ ...o, ref: o.keys.ref(Redacted.make("999")) })
        const { counts, exit, spans, timers } = yield* observing(absent)
        assert.isTrue(Exit.isFailure(exit))
        const outcome = verb === "create" ? "InvalidRequest" : verb === "list" ? "defect" : "KeyNotFound"
        assert.deepStrictEqual(counts, { [`memory ${verb} ${outcome}`]: 1 })
        assert.deepStrictEqual(timers, { [`memory ${verb} ${outcome}`]: 1 })
        assert.strictEqual(spans.length, 1)
      })
    )
  }

  it.effect("the span of a verb is a child of the caller's, which gets nothing of ours", () =>
    Effect.gen(function* () {
      const { spans } = yield* observing(({ keys, ref }) => Effect.withSpan(keys.get(ref), "caller"))
      const [caller, verb] = spans
      assert.deepStrictEqual([caller?.name, verb?.name], ["caller", "ApiKeyService.get"])
      assert.strictEqual(verb?.parent._tag === "Some" ? verb.parent.value.spanId : undefined, caller?.spanId)
      assert.strictEqual(caller?.attributes.size, 0)
    })
  )

  it.effect("what deliver traces hangs below the verb", () =>
    Effect.gen(function* () {
      const { spans } = yield* observing(({ keys }) =>
        keys.create({ name: "two" }, { deliver: () => Effect.withSpan(Effect.void, "vault") })
      )
      const [verb, vault] = spans
      assert.deepStrictEqual([verb?.name, vault?.name], ["ApiKeyService.create", "vault"])
      assert.strictEqual(vault?.parent._tag === "Some" && vault.parent.value.spanId, verb?.spanId)
    })
  )

  for (const layer of [MemoryProvider.layer, MemoryProvider.layerInPlace]) {
    for (const [what, end] of [
      ["fails", Effect.fail({ token: secretOf })],
      ["dies", Effect.die(new Error(secretOf))]
    ] as const) {
      it.effect(`the span of a mint whose deliver ${what} holds neither its error nor the key (${layer.name})`, () =>
        Effect.gen(function* () {
          let issued = ""
          const { exit, logged, spans } = yield* observing(
            ({ keys }) =>
              keys.create(
                { name: "two" },
                {
                  deliver: ({ secret }) => {
                    issued = Redacted.value(secret)
                    return end
                  }
                }
              ),
            layer
          )
          const show = (value: unknown) => inspect(value, { depth: Infinity, showHidden: true, customInspect: false })
          assert.include(show(exit), secretOf, "the caller has its own error")
          for (const text of [show(spans), show(logged)]) {
            assert.notInclude(text, secretOf)
            assert.notInclude(text, issued)
          }
        })
      )
    }
  }

  it.effect("the span of a mint that succeeds does not hold the key", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* observing(({ keys }) => keys.create({ name: "two" }))
      assert.isTrue(Exit.isSuccess(exit))
      const [span] = spans
      assert.isTrue(span?.status._tag === "Ended" && Exit.isSuccess(span.status.exit))
      assert.isUndefined(
        span?.status._tag === "Ended" && Exit.isSuccess(span.status.exit) ? span.status.exit.value : "none"
      )
    })
  )

  it.effect("our own error stays on the span", () =>
    Effect.gen(function* () {
      const { spans } = yield* observing(({ keys }) => keys.get(keys.ref(Redacted.make("999"))))
      const status = spans[0]?.status
      assert.isTrue(
        status?._tag === "Ended" &&
          Exit.isFailure(status.exit) &&
          Cause.pretty(status.exit.cause).includes("no such key")
      )
    })
  )

  it.effect("a reader who stops early, and one who leaves, end the span of a list", () =>
    Effect.gen(function* () {
      const early = yield* observing(({ keys }) => Stream.runHead(keys.list()))
      assert.deepStrictEqual(early.counts, { "memory list success": 1 })
      const left = yield* observing(({ keys, vendor }) =>
        Effect.gen(function* () {
          yield* vendor.next("list", { before: Effect.never })
          const reader = yield* Effect.forkChild(Stream.runDrain(keys.list()))
          yield* TestClock.adjust(0)
          yield* Fiber.interrupt(reader)
        })
      )
      assert.deepStrictEqual(left.counts, { "memory list interrupted": 1 })
      assert.strictEqual(left.spans[0]?.status._tag, "Ended")
    })
  )

  it.effect("a list that is read twice is two calls", () =>
    Effect.gen(function* () {
      const { counts } = yield* observing(({ keys }) => {
        const list = keys.list()
        return Effect.andThen(Stream.runDrain(list), Stream.runDrain(list))
      })
      assert.deepStrictEqual(counts, { "memory list success": 2 })
    })
  )

  it.effect("an abandoned mint is counted once, as abandoned, and its caller not at all", () =>
    Effect.gen(function* () {
      const { counts, spans } = yield* observing(({ keys, vendor }) =>
        Effect.gen(function* () {
          yield* vendor.next("mint", { after: Effect.sleep("5 seconds") })
          const caller = yield* Effect.forkChild(keys.create({ name: "two" }))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(caller)
          yield* TestClock.adjust("5 seconds")
        })
      )
      assert.deepStrictEqual(counts, { "memory create abandoned": 1 })
      assert.strictEqual(spans[0]?.status._tag, "Ended")
    })
  )

  it.effect("a ref that is refused leaves nothing of its value on the span or in the error", () =>
    Effect.gen(function* () {
      const leaked = `${secretOf}\n`
      for (const ref of [
        (o: Observation) => o.keys.ref(Redacted.make(leaked)),
        (o: Observation) => Object.assign(o.keys.ref(Redacted.make(leaked)), { account: "other" })
      ]) {
        const { exit, spans } = yield* observing((o) => o.keys.revoke(ref(o)))
        assert.isTrue(Exit.isFailure(exit))
        const shown = inspect([exit, spans], { depth: Infinity, showHidden: true, customInspect: false })
        assert.notInclude(shown, secretOf)
      }
    })
  )
})
