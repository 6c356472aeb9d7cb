import { assert } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { ApiKeyError, type ReasonTag } from "../src/ApiKeyError.ts"

/** Lets everything run that waits for promises and not for the clock: a body that is read through a web stream, say. */
export const breathe = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/**
 * Runs an effect while the test's clock goes on by itself, in steps, until it ends. A step is short against the
 * time-outs, for what waits for promises must not be overtaken by the clock.
 */
export const settle = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly step?: Duration.Input; readonly steps?: number } = {}
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    for (let step = 0; step < (options.steps ?? 500); step++) {
      yield* breathe
      if (fiber.pollUnsafe() !== undefined) return yield* Fiber.await(fiber)
      yield* TestClock.adjust(options.step ?? "1 second")
    }
    yield* Fiber.interrupt(fiber)
    return assert.fail("the effect did not end")
  })

/** {@link settle}, with the end of the effect as its own. */
export const run = <A, E, R>(effect: Effect.Effect<A, E, R>, options?: Parameters<typeof settle>[1]) =>
  Effect.flatten(settle(effect, options))

/** The error that an effect must fail with, for this reason. */
export const expectError = <A, R>(
  effect: Effect.Effect<A, ApiKeyError, R>,
  tag: ReasonTag
): Effect.Effect<ApiKeyError, never, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, ApiKeyError)
    assert.strictEqual(error.reason._tag, tag, error.message)
    return error
  }).pipe(Effect.orDie)

/** The reason that an effect must fail for. */
export const expectReason = <A, R, const Tag extends ReasonTag>(
  effect: Effect.Effect<A, ApiKeyError, R>,
  tag: Tag
): Effect.Effect<Extract<ApiKeyError["reason"], { readonly _tag: Tag }>, never, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, ApiKeyError)
    const { reason } = error
    return isTagged(reason, tag) ? reason : assert.fail(`${reason._tag} instead of ${tag}: ${error.message}`)
  }).pipe(Effect.orDie)

const isTagged = <R extends { readonly _tag: string }, Tag extends R["_tag"]>(
  reason: R,
  tag: Tag
): reason is Extract<R, { readonly _tag: Tag }> => reason._tag === tag

/** Checks a property of effects; each run has a clock of its own. */
export const property = <A>(
  arbitrary: fc.Arbitrary<A>,
  check: (value: A) => Effect.Effect<void>,
  options: { readonly numRuns?: number } = {}
): Effect.Effect<void> =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(arbitrary, (value) => Effect.runPromise(Effect.provide(check(value), TestClock.layer()))),
      options
    )
  )

/** A tracer that keeps every span. */
export const recordingTracer = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

/** Everything that a logger is given. */
export interface Logged {
  readonly level: string
  readonly message: unknown
  readonly cause: unknown
  readonly annotations: unknown
  readonly spans: unknown
}

/** A logger that keeps every entry, with its annotations and spans. */
export const recordingLogger = () => {
  const logged: Array<Logged> = []
  const layer = Logger.layer([
    Logger.make(({ cause, fiber, logLevel, message }) => {
      logged.push({
        level: logLevel,
        message,
        cause,
        annotations: fiber.getRef(References.CurrentLogAnnotations),
        spans: fiber.getRef(References.CurrentLogSpans)
      })
    })
  ])
  return { logged, layer }
}
