import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import type { ApiKeyErrorReason } from "../src/ApiKeyError.ts"
import * as Limiter from "../src/internal/limiter.ts"
import * as ProviderClient from "../src/ProviderClient.ts"
import { HttpFaults, HttpSandbox } from "../src/testing/index.ts"
import { expectReason, property, recordingLogger, run } from "./support.ts"

const generous: Limiter.Budget = { limit: 10_000, window: "1 minute" }

const make = (
  budgets: Partial<Limiter.Budgets> = {},
  options: { readonly maxWait?: Duration.Input; readonly account?: string; readonly provider?: string } = {}
) =>
  Limiter.make({
    provider: options.provider ?? "acme",
    account: options.account ?? "default",
    maxWait: Duration.fromInputUnsafe(options.maxWait ?? 0),
    budgets: { ordinary: generous, urgent: generous, lockout: "5 minutes", ...budgets }
  })

const add: Limiter.EndpointBudget = { name: "add", limit: 2, window: "1 minute" }

const urgently = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Limiter.Urgent, true)

/** The `retryAfter`, in milliseconds, with which the limiter must hold a call back. */
const heldBack = (admitted: Effect.Effect<void, ApiKeyErrorReason>): Effect.Effect<number> =>
  Effect.map(Effect.flip(admitted), (reason) => {
    assert(reason._tag === "RateLimited", reason.message)
    assert.strictEqual(reason.source, "limiter")
    return Duration.toMillis(reason.retryAfter)
  }).pipe(Effect.orDie)

const times = (count: number) => Array.from({ length: count })

/** The most entries in any window, its end left out. */
const densest = (at: ReadonlyArray<number>, window: number): number =>
  Math.max(0, ...at.map((from) => at.filter((time) => time >= from && time < from + window).length))

interface Arrival {
  readonly gap: number
  readonly burst: number
}

const arrivalsOf = (longestGap: number, maxLength = 25) =>
  fc.array(fc.record({ gap: fc.nat({ max: longestGap }), burst: fc.integer({ min: 0, max: 5 }) }), { maxLength })

/** Starts a call for every arrival, in order, and then lets the clock run out. */
const play = <E>(
  arrivals: ReadonlyArray<Arrival>,
  call: (index: number, now: number) => Effect.Effect<void, E>,
  rest: Duration.Input
) =>
  Effect.gen(function* () {
    let index = 0
    const fibers: Array<Fiber.Fiber<void, E>> = []
    for (const { burst, gap } of arrivals) {
      yield* TestClock.adjust(gap)
      const now = yield* Clock.currentTimeMillis
      for (let n = 0; n < burst; n++) fibers.push(yield* Effect.forkChild(call(index++, now)))
      yield* TestClock.adjust(0)
    }
    yield* TestClock.adjust(rest)
    return fibers
  })

describe("an endpoint's own budget", () => {
  it.effect("calls leave in the order they came, none in vain early or late, at most `limit` in any window", () =>
    property(
      fc
        .record({ limit: fc.integer({ min: 1, max: 6 }), window: fc.integer({ min: 1, max: 65_000 }) })
        .chain((budget) => fc.record({ budget: fc.constant(budget), arrivals: arrivalsOf(budget.window) })),
      ({ arrivals, budget: { limit, window } }) =>
        Effect.gen(function* () {
          const limiter = yield* make({}, { maxWait: "7 days" })
          const came: Array<number> = []
          const left: Array<number> = []
          yield* play(
            arrivals,
            (index, now) =>
              Effect.gen(function* () {
                came[index] = now
                yield* limiter.admit({ name: "add", limit, window }, Effect.void)
                left[index] = yield* Clock.currentTimeMillis
              }),
            window * 130
          )
          // What the best scheduler there is would do: a call leaves at once, or when the one `limit` before it is over.
          const best: Array<number> = []
          for (const [index, now] of came.entries()) best.push(Math.max(now, (best[index - limit] ?? -window) + window))
          assert.deepStrictEqual(left, best)
          assert.isAtMost(densest(left, window), limit)
        }).pipe(Effect.scoped, Effect.orDie),
      { numRuns: 30 }
    )
  )

  it.effect("whatever else takes tokens, leaves early or has no patience: never more than `limit` in any window", () =>
    property(
      fc.record({
        limit: fc.integer({ min: 1, max: 5 }),
        account: fc.constantFrom(2, 5, 9, 60),
        maxWait: fc.constantFrom(0, 1, 5_000, 65_000, 600_000),
        kinds: fc.array(fc.constantFrom("add", "add", "other", "urgent", "leaves"), { minLength: 1, maxLength: 8 }),
        arrivals: arrivalsOf(20_000)
      }),
      ({ account, arrivals, kinds, limit, maxWait }) =>
        Effect.gen(function* () {
          const budget = { limit: account, window: "1 minute" } as const
          const limiter = yield* make({ ordinary: budget, urgent: budget }, { maxWait })
          const own = { name: "add", limit, window: 65_000 }
          const added: Array<number> = []
          const all: Array<number> = []
          const longest = 65_000
          const fibers = yield* play(
            arrivals,
            (index) => {
              const kind = kinds[index % kinds.length]
              const call = Effect.gen(function* () {
                const from = yield* Clock.currentTimeMillis
                const admitted = limiter.admit(kind === "other" ? undefined : own, Effect.void)
                const exit = yield* Effect.exit(kind === "urgent" ? urgently(admitted) : admitted)
                const now = yield* Clock.currentTimeMillis
                assert.isAtMost(now - from, maxWait + 0.001, "nobody waits for longer than maxWait")
                if (Exit.isSuccess(exit)) {
                  all.push(now)
                  if (kind !== "other") added.push(now)
                  return
                }
                const retryAfter = yield* heldBack(exit)
                assert.isAbove(retryAfter, 0)
                assert.isAtMost(retryAfter, longest)
                assert.isAbove(now - from + retryAfter, maxWait, "nobody is sent away who had the time to wait")
              })
              return kind === "leaves" ? Effect.asVoid(Effect.timeoutOption(call, "4 seconds")) : call
            },
            "2 hours"
          )
          // A failed assertion is a failed fiber, and one that still waits has been forgotten.
          yield* Effect.forEach(fibers, Fiber.join)
          assert.isAtMost(densest(added, 65_000), limit)
          // A token may be held for as long as a place is waited for: at most `limit` calls leave later than their tokens.
          assert.isAtMost(densest(all, 60_000 - 0.001), 2 * (2 * account) + limit)
        }).pipe(Effect.scoped, Effect.orDie),
      { numRuns: 40 }
    )
  )

  it.effect("a place is free again after exactly one window, each for itself", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* limiter.admit(add, Effect.void)
      yield* TestClock.adjust("25 seconds")
      yield* limiter.admit(add, Effect.void)
      assert.strictEqual(yield* heldBack(limiter.admit(add, Effect.void)), 35_000, "the sooner of the two")
      yield* TestClock.adjust("34999 millis")
      assert.strictEqual(yield* heldBack(limiter.admit(add, Effect.void)), 1)
      yield* TestClock.adjust("1 millis")
      yield* limiter.admit(add, Effect.void)
      assert.strictEqual(yield* heldBack(limiter.admit(add, Effect.void)), 25_000)
    }).pipe(Effect.scoped)
  )

  it.effect("a call waits as long as maxWait and not a millisecond longer, its token's wait included", () =>
    Effect.gen(function* () {
      const limiter = yield* make({}, { maxWait: "1 minute" })
      yield* Effect.forEach(times(2), () => limiter.admit(add, Effect.void))
      const patient = yield* Effect.forkChild(limiter.admit(add, Effect.void))
      yield* TestClock.adjust("59999 millis")
      assert.isUndefined(patient.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(patient)

      const hasty = yield* make({}, { maxWait: "59999 millis", account: "hasty" })
      yield* Effect.forEach(times(2), () => hasty.admit(add, Effect.void))
      const from = yield* Clock.currentTimeMillis
      assert.strictEqual(yield* heldBack(hasty.admit(add, Effect.void)), 60_000)
      assert.strictEqual(yield* Clock.currentTimeMillis, from, "what cannot be is said at once")

      // Twenty seconds for a token, and the forty that are then left of the place's minute are ten too many.
      const busy = yield* make({ ordinary: { limit: 3, window: "1 minute" } }, { maxWait: "50 seconds", account: "b" })
      yield* Effect.forEach(times(2), () => busy.admit(add, Effect.void))
      yield* busy.admit(undefined, Effect.void)
      const start = yield* Clock.currentTimeMillis
      const late = yield* Effect.forkChild(
        Effect.flatMap(heldBack(busy.admit(add, Effect.void)), (retryAfter) =>
          Effect.map(Clock.currentTimeMillis, (now) => ({ waited: now - start, retryAfter }))
        )
      )
      yield* TestClock.adjust("50 seconds")
      const { retryAfter, waited } = yield* Fiber.join(late)
      assert.isBelow(waited, 50_000, "it is said as soon as it is known")
      assert.strictEqual(waited + retryAfter, 60_000)
    }).pipe(Effect.scoped)
  )

  it.effect("one call takes one token, however long it waits for its place", () =>
    Effect.gen(function* () {
      // No token comes back while the test runs, so that each is seen.
      const ordinary = { limit: 5, window: "10000 hours" } as const
      const limiter = yield* make({ ordinary }, { maxWait: "10 minutes" })
      const own = { name: "add", limit: 1, window: "10 seconds" } as const
      const calls = yield* Effect.forEach(times(5), () => Effect.forkChild(limiter.admit(own, Effect.void)))
      yield* TestClock.adjust("40 seconds")
      yield* Effect.forEach(calls, Fiber.join)
      assert.isAbove(yield* heldBack(limiter.admit(undefined, Effect.void)), 60_000, "five calls, five tokens")
    }).pipe(Effect.scoped)
  )

  it.effect("the place is taken last: a call without a token, or before a shut gate, takes none", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ ordinary: { limit: 1, window: "10 seconds" } })
      const own = { name: "add", limit: 1, window: "1 hour" } as const
      yield* limiter.admit(undefined, Effect.void)
      assert.strictEqual(yield* heldBack(limiter.admit(own, Effect.void)), 10_000)
      yield* limiter.close(Duration.seconds(30))
      assert.strictEqual(yield* heldBack(limiter.admit(own, Effect.void)), 30_000)
      yield* TestClock.adjust("30 seconds")
      yield* limiter.admit(own, Effect.void)
    }).pipe(Effect.scoped)
  )

  it.effect("a call that is held back by the endpoint's own budget costs the account no token", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ ordinary: { limit: 5, window: "1 minute" } })
      yield* Effect.forEach(times(2), () => limiter.admit(add, Effect.void))
      // Nothing of this is sent, and one token is one HTTP attempt.
      yield* Effect.forEach(times(10), () => heldBack(limiter.admit(add, Effect.void)))
      yield* limiter.admit(undefined, Effect.void)
    }).pipe(Effect.scoped)
  )

  it.effect("a caller who leaves while it waits takes no place", () =>
    Effect.gen(function* () {
      const limiter = yield* make({}, { maxWait: "10 minutes" })
      yield* Effect.forEach(times(2), () => limiter.admit(add, Effect.void))
      const leaving = yield* Effect.forEach(times(5), () => Effect.forkChild(limiter.admit(add, Effect.void)))
      yield* TestClock.adjust("30 seconds")
      yield* Effect.forEach(leaving, Fiber.interrupt)
      const staying = yield* Effect.forEach(times(2), () => Effect.forkChild(limiter.admit(add, Effect.void)))
      yield* TestClock.adjust("30 seconds")
      yield* Effect.forEach(staying, Fiber.join)
    }).pipe(Effect.scoped)
  )

  it.effect("calls of other endpoints go on, those of the same name share", () =>
    Effect.gen(function* () {
      const limiter = yield* make()
      yield* limiter.admit(add, Effect.void)
      yield* limiter.admit({ ...add }, Effect.void)
      yield* heldBack(limiter.admit(add, Effect.void))
      yield* limiter.admit({ ...add, name: "edit" }, Effect.void)
      yield* Effect.forEach(times(20), () => limiter.admit(undefined, Effect.void))
    }).pipe(Effect.scoped)
  )

  it.effect("holds for urgent calls too, which need no more than it", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ ordinary: { limit: 1, window: "1 hour" } })
      yield* limiter.admit(add, Effect.void)
      yield* heldBack(limiter.admit(add, Effect.void))
      yield* urgently(limiter.admit(add, Effect.void))
      assert.strictEqual(yield* heldBack(urgently(limiter.admit(add, Effect.void))), 60_000)
      yield* urgently(limiter.admit(undefined, Effect.void))
    }).pipe(Effect.scoped)
  )

  it.effect("a name such as those of our own keys is no trouble", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors: { limit: 1, window: "1 minute" } })
      for (const name of ["gate", "ordinary", "urgent", "errors", "", "/", "0"]) {
        yield* limiter.admit({ ...add, name, limit: 1 }, Effect.void)
        yield* heldBack(limiter.admit({ ...add, name, limit: 1 }, Effect.void))
        yield* limiter.admit(undefined, Effect.void)
      }
    }).pipe(Effect.scoped)
  )
})

describe("the budget of errors", () => {
  const errors = { limit: 3, window: "1 minute" } as const

  it.effect("so many errors at once hold ordinary calls back for the window, and urgent ones pass", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors })
      for (let error = 0; error < 3; error++) {
        yield* limiter.admit(undefined, Effect.void)
        yield* limiter.countError
      }
      assert.strictEqual(yield* heldBack(limiter.admit(undefined, Effect.void)), 60_000)
      yield* urgently(limiter.admit(undefined, Effect.void))
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* heldBack(limiter.admit(add, Effect.void)), 1)
      yield* TestClock.adjust("1 millis")
      yield* limiter.admit(add, Effect.void)
    }).pipe(Effect.scoped)
  )

  it.effect("errors beyond the last neither add up nor start anew", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors })
      yield* Effect.forEach(times(3), () => limiter.countError)
      yield* TestClock.adjust("20 seconds")
      yield* Effect.forEach(times(50), () => limiter.countError, { concurrency: "unbounded" })
      assert.strictEqual(yield* heldBack(limiter.admit(undefined, Effect.void)), 40_000)
      yield* TestClock.adjust("40 seconds")
      yield* limiter.admit(undefined, Effect.void)
    }).pipe(Effect.scoped)
  )

  it.effect("errors that come more slowly than the budget hold nobody back", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors })
      for (let error = 0; error < 50; error++) {
        yield* limiter.admit(undefined, Effect.void)
        yield* limiter.countError
        yield* TestClock.adjust("20001 millis")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("whatever the schedule: at most 2 × limit − 1 in any window, and nobody waits for longer than it", () =>
    property(
      fc.record({
        limit: fc.constantFrom(1, 2, 3, 5, 10),
        gaps: fc.array(fc.nat({ max: 20_000 }), { minLength: 1, maxLength: 120 })
      }),
      ({ gaps, limit }) =>
        Effect.gen(function* () {
          const limiter = yield* make({ errors: { limit, window: "1 minute" } })
          const at: Array<number> = []
          for (const gap of gaps) {
            yield* TestClock.adjust(gap)
            // Every call that leaves is an error.
            const exit = yield* Effect.exit(limiter.admit(undefined, Effect.void))
            if (Exit.isFailure(exit)) {
              const retryAfter = yield* heldBack(exit)
              assert.isAbove(retryAfter, 0)
              assert.isAtMost(retryAfter, 60_000)
            } else {
              at.push(yield* Clock.currentTimeMillis)
              yield* limiter.countError
            }
          }
          assert.isAtMost(densest(at, 60_000), 2 * limit - 1)
          yield* TestClock.adjust("1 minute")
          yield* limiter.admit(undefined, Effect.void)
        }).pipe(Effect.scoped, Effect.orDie),
      { numRuns: 30 }
    )
  )

  it.effect("a call with patience waits, and takes no token meanwhile", () =>
    Effect.gen(function* () {
      const limiter = yield* make(
        { errors, ordinary: { limit: 1, window: "1 hour" }, urgent: { limit: 1, window: "1 hour" } },
        { maxWait: "1 minute" }
      )
      yield* Effect.forEach(times(3), () => limiter.countError)
      const waiting = yield* Effect.forkChild(limiter.admit(undefined, Effect.void))
      yield* TestClock.adjust("30 seconds")
      // The one ordinary token is still there for the urgent call, and the reserve for another.
      yield* urgently(limiter.admit(undefined, Effect.void))
      yield* urgently(limiter.admit(undefined, Effect.void))
      yield* TestClock.adjust("30 seconds")
      const reason = yield* Effect.flip(Fiber.join(waiting))
      assert.strictEqual(reason._tag, "RateLimited")
    }).pipe(Effect.scoped)
  )

  it.effect("the longer of gate and errors counts", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors })
      yield* Effect.forEach(times(3), () => limiter.countError)
      yield* limiter.close(Duration.seconds(10))
      assert.strictEqual(yield* heldBack(limiter.admit(undefined, Effect.void)), 60_000)
      assert.strictEqual(
        yield* heldBack(urgently(limiter.admit(undefined, Effect.void))),
        10_000,
        "a gate is shut for urgent calls too"
      )
      yield* limiter.close(Duration.seconds(10))
      yield* TestClock.adjust("10 seconds")
      yield* limiter.close(Duration.seconds(100))
      assert.strictEqual(yield* heldBack(limiter.admit(undefined, Effect.void)), 100_000)
    }).pipe(Effect.scoped)
  )

  it.effect("left out, errors hold nobody back", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors: undefined })
      yield* Effect.forEach(times(1000), () => limiter.countError)
      yield* limiter.admit(undefined, Effect.void)
    }).pipe(Effect.scoped)
  )
})

describe("a store that is shared", () => {
  const errors = { limit: 2, window: "1 minute" } as const

  it.effect("endpoint budgets and errors are those of the account, whichever limiter counts", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* make({ errors }), yield* make({ errors })]
      const others = [
        yield* make({ errors }, { account: "other" }),
        yield* make({ errors }, { provider: "other" })
      ] as const
      yield* one.admit(add, Effect.void)
      yield* two.admit(add, Effect.void)
      assert.strictEqual(yield* heldBack(one.admit(add, Effect.void)), 60_000)
      assert.strictEqual(yield* heldBack(two.admit(add, Effect.void)), 60_000)
      yield* one.countError
      yield* two.countError
      assert.strictEqual(yield* heldBack(one.admit(undefined, Effect.void)), 60_000)
      assert.strictEqual(yield* heldBack(two.admit(undefined, Effect.void)), 60_000)
      for (const other of others) {
        yield* other.admit(add, Effect.void)
        yield* other.admit(undefined, Effect.void)
      }
    }).pipe(Effect.scoped, Effect.provide(RateLimiter.layerStoreMemory))
  )

  it.effect("without one, each limiter counts for itself", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* make({ errors }), yield* make({ errors })]
      yield* Effect.forEach(times(2), () => Effect.andThen(one.admit(add, Effect.void), one.countError))
      yield* heldBack(one.admit(add, Effect.void))
      yield* Effect.forEach(times(2), () => two.admit(add, Effect.void))
    }).pipe(Effect.scoped)
  )

  it.effect("two that race over a slow store never let more than `limit` through", () =>
    property(
      fc.record({ limit: fc.integer({ min: 1, max: 4 }), arrivals: arrivalsOf(30_000, 12) }),
      ({ arrivals, limit }) =>
        Effect.gen(function* () {
          const memory = yield* RateLimiter.RateLimiterStore
          const slow = RateLimiter.RateLimiterStore.of({
            ...memory,
            fixedWindow: (options) =>
              Effect.delay(
                Effect.tap(memory.fixedWindow(options), () => Effect.yieldNow),
                7
              )
          })
          const limiters = yield* Effect.all([
            make({}, { maxWait: "1 day" }),
            make({}, { maxWait: "1 day" })
          ] as const).pipe(Effect.provideService(RateLimiter.RateLimiterStore, slow))
          const left: Array<number> = []
          const fibers = yield* play(
            arrivals,
            (index) =>
              Effect.gen(function* () {
                yield* limiters[index % 2 === 0 ? 0 : 1].admit({ name: "add", limit, window: "1 minute" }, Effect.void)
                left.push(yield* Clock.currentTimeMillis)
              }),
            "6 hours"
          )
          yield* Effect.forEach(fibers, Fiber.join)
          assert.isAtMost(densest(left, 60_000), limit)
          assert.strictEqual(
            left.length,
            arrivals.reduce((sum, { burst }) => sum + burst, 0)
          )
        }).pipe(Effect.scoped, Effect.provide(RateLimiter.layerStoreMemory), Effect.orDie),
      { numRuns: 20 }
    )
  )
})

describe("a store that is down for some of its keys", () => {
  const ends = {
    fails: Effect.fail(
      new RateLimiter.RateLimiterError({
        reason: new RateLimiter.RateLimitStoreError({ message: "redis://user:pass@host is down" })
      })
    ),
    hangs: Effect.never,
    dies: Effect.die(new Error("no such script"))
  } as const

  /** A store in memory in which the keys that hold `part` come to another end. */
  const storeWithout = (part: string, end: Effect.Effect<never, RateLimiter.RateLimiterError>) =>
    Layer.effect(
      RateLimiter.RateLimiterStore,
      Effect.map(RateLimiter.RateLimiterStore, (store) =>
        RateLimiter.RateLimiterStore.of({
          ...store,
          fixedWindow: (options) => (options.key.includes(part) ? end : store.fixedWindow(options))
        })
      )
    ).pipe(Layer.provide(RateLimiter.layerStoreMemory))

  for (const [what, end] of Object.entries(ends)) {
    it.effect(`${what} on an endpoint's budget: its ordinary calls do not go out, urgent ones and others do`, () => {
      const { layer, logged } = recordingLogger()
      return Effect.gen(function* () {
        const limiter = yield* make()
        const reason = yield* run(Effect.orDie(Effect.flip(limiter.admit(add, Effect.void))))
        assert(reason._tag === "ProviderUnavailable")
        assert.deepStrictEqual([reason.problem, reason.sent], ["limiter", false])
        yield* limiter.admit(undefined, Effect.void)
        assert.strictEqual(logged.length, 0)
        yield* run(urgently(limiter.admit(add, Effect.void)))
        assert.strictEqual(logged[0]?.level, "Warn")
        assert.notInclude(JSON.stringify(logged), "user:pass")
      }).pipe(Effect.scoped, Effect.provide([storeWithout("/add/", end), layer]))
    })

    it.effect(`${what} on the errors: an ordinary call does not go out, an urgent one does not ask`, () => {
      const { layer, logged } = recordingLogger()
      return Effect.gen(function* () {
        const limiter = yield* make({ errors: { limit: 3, window: "1 minute" } })
        yield* run(limiter.countError)
        const reason = yield* run(Effect.orDie(Effect.flip(limiter.admit(undefined, Effect.void))))
        assert(reason._tag === "ProviderUnavailable")
        assert.strictEqual(reason.problem, "limiter")
        yield* urgently(limiter.admit(undefined, Effect.void))
        assert.strictEqual(logged.length, 0)
      }).pipe(Effect.scoped, Effect.provide([storeWithout("/errors", end), layer]))
    })
  }

  it.effect("to count an error takes a hanging store's three seconds at the most", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ errors: { limit: 3, window: "1 minute" } })
      const counting = yield* Effect.forkChild(limiter.countError)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(counting)
    }).pipe(Effect.scoped, Effect.provide(storeWithout("/errors", ends.hangs)))
  )

  it.effect("a store that hangs while an error is counted does not change what the error means", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient({
        timeout: "2 seconds",
        retry: false,
        budgets: { ordinary: generous, urgent: generous, lockout: "1 minute", errors: { limit: 3, window: "1 minute" } }
      })
      // The mint was refused: whoever is told that nobody knows will look for a key that is not there.
      yield* faults.inject({ status: 400 }, { method: "POST" })
      yield* run(expectReason(urgently(adding(client)), "InvalidRequest"))
      yield* faults.inject({ status: 404 }, { method: "GET" })
      yield* run(expectReason(urgently(reading(client)), "InvalidRequest"))
    }).pipe(Effect.scoped, Effect.provide([http, storeWithout("/errors", ends.hangs)]))
  )
})

const http = Layer.provideMerge(
  HttpFaults.layer,
  HttpSandbox.layerClient(
    Effect.map(HttpServerRequest.HttpServerRequest, ({ method }) => HttpServerResponse.jsonUnsafe({ method }))
  )
)

const endpoint = { path: "/keys", reply: Schema.Struct({ method: Schema.String }) } as const

const makeClient = (options: Partial<ProviderClient.VendorOptions> = {}) =>
  ProviderClient.make({
    provider: "acme",
    baseUrl: "https://api.acme.test",
    authorization: (credential) => ["x-acme-key", credential],
    budgets: { ordinary: generous, urgent: generous, lockout: "5 minutes" },
    apiKey: Redacted.make("api_test_manager"),
    rateLimit: { maxWait: 0 },
    ...options
  })

const reading = (client: ProviderClient.ProviderClient, budget?: Limiter.EndpointBudget) =>
  client.call({ ...endpoint, method: "GET", safety: "read", budget })({})

const adding = (client: ProviderClient.ProviderClient, budget?: Limiter.EndpointBudget) =>
  Effect.flatMap(client.prepare({ ...endpoint, method: "POST", safety: "mint", budget })({}), ({ send }) => send)

describe("a client's calls", () => {
  const errors = { limit: 3, window: "1 minute" } as const
  const budgets = { ordinary: generous, urgent: generous, lockout: "5 minutes", errors } as const

  it.effect("an endpoint's budget is asked before a mint is prepared, and shared by name with any other endpoint", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient()
      yield* adding(client, add)
      yield* reading(client, add)
      const held = yield* expectReason(
        client.prepare({ ...endpoint, method: "POST", safety: "mint", budget: add })({}),
        "RateLimited"
      )
      assert.deepStrictEqual([held.source, Duration.toMillis(held.retryAfter)], ["limiter", 60_000])
      yield* expectReason(reading(client, add), "RateLimited")
      yield* reading(client)
      assert.strictEqual((yield* faults.attempts).length, 3)
    }).pipe(Effect.scoped, Effect.provide(http))
  )

  it.effect("a credential that is slow to read does not bring two calls closer together than their budget", () => {
    const left: Array<number> = []
    const layer = HttpSandbox.layerClient(
      Effect.map(Clock.currentTimeMillis, (now) => {
        left.push(now)
        return HttpServerResponse.jsonUnsafe({ method: "POST" })
      })
    )
    let reads = 0
    const apiKey = Effect.suspend(() =>
      Effect.delay(Effect.succeed(Redacted.make("api_test_manager")), reads++ === 0 ? "10 seconds" : 0)
    )
    return Effect.gen(function* () {
      const client = yield* makeClient({ apiKey, rateLimit: { maxWait: "5 minutes" } })
      const calls = yield* Effect.forEach(times(3), () =>
        Effect.forkChild(adding(client, { name: "add", limit: 1, window: "1 minute" }))
      )
      yield* TestClock.adjust("10 minutes")
      yield* Effect.forEach(calls, Fiber.join)
      assert.strictEqual(left.length, 3)
      assert.strictEqual(densest(left, 60_000), 1, left.join())
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("those whom the endpoint holds back cost the account nothing, however they are interleaved", () =>
    Effect.gen(function* () {
      const client = yield* makeClient({
        // Each caller yields between looking for a place and taking it.
        apiKey: Effect.as(Effect.yieldNow, Redacted.make("api_test_manager")),
        budgets: { ordinary: { limit: 20, window: "1 minute" }, urgent: generous, lockout: "5 minutes" }
      })
      const ends = yield* Effect.forEach(times(60), () => Effect.exit(adding(client, add)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(ends.filter(Exit.isSuccess).length, 2)
      yield* reading(client)
    }).pipe(Effect.scoped, Effect.provide(http))
  )

  it.effect("every attempt takes a place, repeats included", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient()
      yield* faults.inject({ status: 503 }, { times: 10 })
      yield* run(expectReason(reading(client, add), "RateLimited"))
      assert.strictEqual((yield* faults.attempts).length, 2)
    }).pipe(Effect.scoped, Effect.provide(http))
  )

  for (const status of [400, 401, 402, 403, 404, 409, 422, 500, 503]) {
    it.effect(`${status} counts as an error, and after three only urgent calls leave`, () =>
      Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        const client = yield* makeClient({ budgets, retry: false })
        yield* faults.inject({ status }, { times: 3 })
        yield* Effect.exit(reading(client))
        // An urgent call's error counts like any other.
        yield* Effect.exit(urgently(reading(client)))
        yield* Effect.exit(adding(client))
        for (const call of [reading(client), adding(client)]) {
          const { retryAfter, source } = yield* expectReason(call, "RateLimited")
          assert.deepStrictEqual([source, Duration.toMillis(retryAfter)], ["limiter", 60_000])
        }
        assert.strictEqual((yield* faults.attempts).length, 3)
        yield* urgently(reading(client))
        yield* TestClock.adjust("1 minute")
        yield* reading(client)
      }).pipe(Effect.scoped, Effect.provide(http))
    )
  }

  const noErrors: ReadonlyArray<readonly [string, HttpFaults.Fault]> = [
    ["a redirect", { status: 302 }],
    ["a reply that is no JSON", "notJson"],
    ["a connection that breaks", "reset"],
    ["204", { status: 204 }]
  ]
  for (const [what, fault] of noErrors) {
    it.effect(`${what} is no error reply`, () =>
      Effect.gen(function* () {
        const faults = yield* HttpFaults.HttpFaults
        const client = yield* makeClient({ budgets, retry: false })
        yield* faults.inject(fault, { times: 10 })
        yield* Effect.forEach(times(10), () => Effect.exit(reading(client)))
        yield* reading(client)
        assert.strictEqual((yield* faults.attempts).length, 11)
      }).pipe(Effect.scoped, Effect.provide(http))
    )
  }

  it.effect("429 shuts the gate and is no error reply", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient({ budgets, retry: false })
      for (let reply = 0; reply < 5; reply++) {
        yield* faults.inject({ status: 429, headers: { "retry-after": "1" } })
        const { source } = yield* expectReason(reading(client), "RateLimited")
        assert.strictEqual(source, "provider")
        yield* TestClock.adjust("1 second")
      }
      yield* reading(client)
    }).pipe(Effect.scoped, Effect.provide(http))
  )

  it.effect("each repeat that ends in an error counts", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient({ budgets, retry: { times: 10 } })
      yield* faults.inject({ status: 503 }, { times: 10 })
      const { source } = yield* run(expectReason(reading(client), "RateLimited"), { step: "100 millis" })
      assert.strictEqual(source, "limiter")
      assert.strictEqual((yield* faults.attempts).length, 3)
    }).pipe(Effect.scoped, Effect.provide(http))
  )

  it.effect("`rateLimit: false` turns all of it off", () =>
    Effect.gen(function* () {
      const faults = yield* HttpFaults.HttpFaults
      const client = yield* makeClient({ budgets, retry: false, rateLimit: false })
      yield* faults.inject({ status: 404 }, { times: 20 })
      yield* Effect.forEach(times(20), () => expectReason(reading(client, add), "InvalidRequest"))
      yield* Effect.forEach(times(20), () => reading(client, add))
      yield* Effect.forEach(times(20), () => adding(client, add))
      assert.strictEqual((yield* faults.attempts).length, 60)
    }).pipe(Effect.scoped, Effect.provide(http))
  )
})
