import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type ApiKeyErrorReason, ProviderUnavailable, RateLimited } from "../ApiKeyError.ts"

/** So many calls in any window of this length. */
export interface Budget {
  readonly limit: number
  readonly window: Duration.Input
}

/** What a vendor lets through, for one account. */
export interface Budgets {
  /** For every call. */
  readonly ordinary: Budget
  /**
   * On top, for what must not wait behind other work: `revoke`, `disable`, taking a key back that nobody holds, and the steps
   * of a rotation after its delivery.
   */
  readonly urgent: Budget
  /** How long nothing is sent after a 429 that does not say `Retry-After`. */
  readonly lockout: Duration.Input
  /**
   * How many error replies (400 and above, but 429) the vendor is asked to give before all but urgent calls are held
   * back for a while; for vendors that shut out those who cause many. Left out for no such limit.
   */
  readonly errors?: Budget | undefined
}

/** A budget of one endpoint's own, on top of the account's: exactly `limit` calls in any `window`, however they fall. */
export interface EndpointBudget extends Budget {
  /** Names the budget: endpoints of the same name share it. */
  readonly name: string
}

/** Marks calls that may use the reserve: see {@link Budgets}. */
export const Urgent = Context.Reference<boolean>("@effect-api-keys/core/internal/limiter/Urgent", {
  defaultValue: () => false
})

/** Guards one account: no call leaves without a token, and none at all while the vendor has locked the account. */
export interface Limiter {
  /**
   * Waits for a token, and for a place in the endpoint's own budget, at most `maxWait`; one token is one HTTP attempt.
   * Gives what `ready` gives, which is run after every wait and before the place is taken: whatever came between that and
   * the request would let calls come closer together than the budget.
   */
  readonly admit: <A>(
    own: EndpointBudget | undefined,
    ready: Effect.Effect<A, ApiKeyErrorReason>
  ) => Effect.Effect<A, ApiKeyErrorReason>
  /** Counts an error reply. */
  readonly countError: Effect.Effect<void>
  /** Lets nothing out until `retryAfter` has passed. */
  readonly close: (retryAfter: Duration.Duration) => Effect.Effect<void>
}

/** No limits at all. */
export const unlimited: Limiter = {
  admit: (_, ready) => ready,
  countError: Effect.void,
  close: () => Effect.void
}

/** How long a store may take: a call, and an urgent one above all, must not hang with it. */
const storeTimeout = Duration.seconds(3)

const storeDown = Effect.suspend(() =>
  Effect.fail(
    new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "no answer" }) })
  )
)

const memoryStore = Effect.map(Layer.build(RateLimiter.layerStoreMemory), Context.get(RateLimiter.RateLimiterStore))

/**
 * Two token buckets, a gate, a count of errors and the endpoints' own budgets, on Effect's `RateLimiterStore`: the one from
 * the context, else one in memory.
 *
 * The gate is a fixed window of one token that lasts as long as the lockout: taken on a 429, and looked at with a
 * request for no tokens. So it is shared by every process that shares the store, like the buckets.
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly provider: string
  readonly account: string
  readonly budgets: Budgets
  readonly maxWait: Duration.Duration
}): Effect.fn.Return<Limiter, never, Scope.Scope> {
  const provided = yield* Effect.serviceOption(RateLimiter.RateLimiterStore)
  const store = provided._tag === "Some" ? provided.value : yield* memoryStore
  const limiter = yield* RateLimiter.make.pipe(Effect.provideService(RateLimiter.RateLimiterStore, store))
  const prefix = `effect-api-keys/${options.provider}/${options.account}`
  const gateKey = `${prefix}/gate`

  /** A provided store that hangs or dies is one that is down; the one in memory does neither. */
  const consume: RateLimiter.RateLimiter["consume"] =
    provided._tag === "None"
      ? limiter.consume
      : (request) =>
          limiter.consume(request).pipe(
            Effect.timeoutOrElse({ duration: storeTimeout, orElse: () => storeDown }),
            Effect.catchDefect(() => storeDown)
          )

  /** When the longest lockout that this process knows of is over. */
  let shutUntil = 0

  /** Shuts the shared gate, unless it is shut already: an atomic step, so that many 429s at once do not add up. */
  const shut = (window: Duration.Duration) =>
    Effect.catchReason(
      consume({ algorithm: "fixed-window", key: gateKey, limit: 1, tokens: 1, window }),
      "RateLimiterError",
      "RateLimitExceeded",
      () => Effect.void
    )

  /** How long the gate stays shut; zero when it is open. */
  const gate = Effect.gen(function* () {
    const shared = yield* consume({ algorithm: "fixed-window", key: gateKey, limit: 1, tokens: 0, window: 1 })
    const own = Duration.millis(Math.max(0, shutUntil - (yield* Clock.currentTimeMillis)))
    if (shared.remaining <= 0) return Duration.max(shared.resetAfter, own)
    // The shared gate was shut for a shorter lockout than the one that this process has met since.
    if (!Duration.isZero(own)) yield* shut(own)
    return own
  })

  /** Takes a token; how long to wait where there is none, which is never zero, whatever the store's arithmetic says. */
  const take = (key: string, budget: Budget): Effect.Effect<Duration.Duration, RateLimiter.RateLimiterError> =>
    consume({ algorithm: "token-bucket", key: `${prefix}/${key}`, ...budget }).pipe(
      Effect.as(Duration.zero),
      Effect.catchReason("RateLimiterError", "RateLimitExceeded", ({ retryAfter }) =>
        Effect.succeed(Duration.max(retryAfter, Duration.millis(1)))
      )
    )

  /** How long until a token can be had; zero when one was taken. */
  const token = Effect.gen(function* () {
    const ordinary = yield* take("ordinary", options.budgets.ordinary)
    if (Duration.isZero(ordinary) || !(yield* Urgent)) return ordinary
    return Duration.min(ordinary, yield* take("urgent", options.budgets.urgent))
  })

  const { errors } = options.budgets
  const errorsKey = `${prefix}/errors`

  /** How long calls are held back because of the errors that the vendor has given; zero where they are few. */
  const afterErrors =
    errors === undefined
      ? Effect.succeed(Duration.zero)
      : Effect.gen(function* () {
          if (yield* Urgent) return Duration.zero
          const seen = yield* consume({ algorithm: "fixed-window", key: errorsKey, ...errors, tokens: 0 })
          return seen.remaining > 0 ? Duration.zero : Duration.max(seen.resetAfter, Duration.millis(1))
        })

  const countError =
    errors === undefined
      ? Effect.void
      : consume({ algorithm: "fixed-window", key: errorsKey, ...errors }).pipe(
          // It is full, or the store is down: the next call will see either.
          Effect.ignore
        )

  /**
   * Takes a place in an endpoint's own budget, or only looks for one: each place is a window of one call, so that no
   * window at all holds more calls than there are places. How long until one is free; zero where one is.
   */
  const place = Effect.fnUntraced(function* ({ limit, name, window }: EndpointBudget, tokens: 0 | 1) {
    let soonest = Duration.infinity
    for (let index = 0; index < limit; index++) {
      const key = `${prefix}/${name}/${index}`
      const busy = yield* consume({ algorithm: "fixed-window", key, limit: 1, window, tokens }).pipe(
        Effect.map(({ remaining, resetAfter }) => (tokens === 0 && remaining === 0 ? resetAfter : undefined)),
        Effect.catchReason("RateLimiterError", "RateLimitExceeded", ({ retryAfter }) => Effect.succeed(retryAfter))
      )
      if (busy === undefined) return Duration.zero
      soonest = Duration.min(soonest, busy)
    }
    return Duration.max(soonest, Duration.millis(1))
  })

  const admit: Limiter["admit"] = (own, ready) =>
    Effect.gen(function* () {
      const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(options.maxWait)
      let held = false
      /** How long until there is a token, which is kept while its call waits for a place. */
      const takeToken = Effect.gen(function* () {
        const delay = held ? Duration.zero : yield* token
        held = Duration.isZero(delay)
        return delay
      })
      /** One try: what `ready` gave, or how long to wait before the next. */
      const attempt = Effect.gen(function* () {
        const shut = Duration.max(yield* gate, yield* afterErrors)
        if (!Duration.isZero(shut)) return Result.fail(shut)
        if (own === undefined) {
          const delay = yield* takeToken
          return Duration.isZero(delay) ? Result.succeed(yield* ready) : Result.fail(delay)
        }
        // A call that its endpoint holds back costs the account nothing: its token is taken with its place, after all else.
        const busy = yield* place(own, 0)
        if (!Duration.isZero(busy)) return Result.fail(busy)
        const value = yield* ready
        for (const take of [place(own, 0), takeToken, place(own, 1)]) {
          const delay = yield* take
          if (!Duration.isZero(delay)) return Result.fail(delay)
        }
        return Result.succeed(value)
      })
      while (true) {
        const tried = yield* attempt
        if (Result.isSuccess(tried)) return tried.success
        const delay = tried.failure
        if ((yield* Clock.currentTimeMillis) + Duration.toMillis(delay) > deadline) {
          return yield* new RateLimited({ retryAfter: delay, source: "limiter" })
        }
        yield* Effect.sleep(delay)
      }
    }).pipe(
      // A store that is down must not keep a leaked key alive; ordinary work waits for it.
      Effect.catchTag("RateLimiterError", () =>
        Effect.flatMap(Urgent, (urgent) =>
          urgent
            ? Effect.andThen(
                Effect.logWarning("the rate limiter's store did not answer; the urgent call goes out without a token"),
                ready
              )
            : Effect.fail(new ProviderUnavailable({ problem: "limiter", sent: false }))
        )
      )
    )

  const close = (retryAfter: Duration.Duration) =>
    Effect.gen(function* () {
      shutUntil = Math.max(shutUntil, (yield* Clock.currentTimeMillis) + Duration.toMillis(retryAfter))
      yield* shut(retryAfter)
    }).pipe(
      Effect.catchTag("RateLimiterError", () =>
        Effect.logWarning("the rate limiter's store did not answer; other processes do not know of the 429")
      )
    )

  return { admit, countError, close }
})
