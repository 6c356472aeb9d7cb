import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { ApiKeyError, type HttpExchange } from "../ApiKeyError.ts"

/** The span of a verb, and what stands on it of the last HTTP exchange. */
interface VerbTrace {
  readonly span: Tracer.Span
  last?: Readonly<Record<string, unknown>>
}

/** The trace of the verb that is running, for the client to write its HTTP exchanges on; never on a caller's own span. */
const CurrentTrace = Context.Reference<VerbTrace | undefined>("@effect-api-keys/core/internal/telemetry/CurrentTrace", {
  defaultValue: () => undefined
})

/** Runs what is not ours, a tracer or a registry of metrics: what it throws must not take the place of a call's end. */
const withoutThrowing = (run: () => void): void => {
  Result.try(run)
}

/** Writes an HTTP exchange that is over on the verb's span: method, path template and status, nothing else. */
export const traceExchange = (exchange: HttpExchange): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const trace = fiber.getRef(CurrentTrace)
    if (trace !== undefined) {
      trace.last = {
        "http.request.method": exchange.method,
        "url.template": exchange.path,
        ...(exchange.status === undefined ? {} : { "http.response.status_code": exchange.status })
      }
      withoutThrowing(() => trace.span.event("http", fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), trace.last))
    }
    return Effect.void
  })

const operations = Metric.counter("effect_api_keys_operations", {
  description: "Calls of ApiKeyService, by provider, verb and outcome",
  incremental: true
})
const durations = Metric.timer("effect_api_keys_operation_duration", {
  description: "How long calls of ApiKeyService took, in milliseconds, by provider, verb and outcome"
})

/** One call of a verb. */
export interface Call {
  /** When it began, in milliseconds. */
  readonly startedAt: number
  /** Set when the caller left a mint that goes on without it: the mint then counts itself, as `abandoned`. */
  abandoned: boolean
  /** What to do where an interruption takes the end of a mint away from its caller; there when it has ended. */
  drop?: () => void
  /** Run when the caller has its mint's end, or has left: the layer may close then. */
  over?: () => void
}

/** Measures and traces the verbs of one service. */
export interface Telemetry {
  /** Runs a verb in its span and counts how it ended. */
  readonly observe: <A, E, R>(
    verb: string,
    handle: string | undefined,
    run: (call: Call) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** The same for a stream: its span is open while it is read. */
  readonly observeStream: <A, E, R>(verb: string, run: () => Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  /** Counts a call that ended after its caller had left. */
  readonly abandoned: (verb: string, call: Call) => Effect.Effect<void>
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const error = Cause.findError(exit.cause)
  if (Result.isFailure(error)) return "defect"
  return error.success instanceof ApiKeyError ? error.success.reason._tag : "deliver"
}

/** What a span may keep of an exit: our own error, or one word. A caller's error may hold anything. */
const tracedExit = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit)) return Exit.void
  const error = Cause.findError(exit.cause)
  if (Result.isSuccess(error) && error.success instanceof ApiKeyError) return Exit.fail(error.success)
  return Cause.hasInterruptsOnly(exit.cause) ? Exit.interrupt() : Exit.fail(outcomeOf(exit))
}

/** Lets interruptions in as the caller does. */
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Adds the verb's span to whatever context the caller has; a caller's own parent span is replaced, not asked for. */
const addTrace =
  (trace: VerbTrace) =>
  <R>(caller: Context.Context<R>): Context.Context<R> =>
    Context.add(Context.add(caller, Tracer.ParentSpan, trace.span), CurrentTrace, trace)

export const make = (provider: string, account: string): Telemetry => {
  type Record = (duration: Duration.Duration, context: Context.Context<never>) => void
  const records = new Map<string, Map<string, Record>>()
  /** Counter and timer of a verb and outcome, tagged once. */
  const recordOf = (verb: string, outcome: string): Record => {
    const ofVerb = records.get(verb) ?? new Map<string, Record>()
    const known = ofVerb.get(outcome)
    if (known !== undefined) return known
    const attributes = { provider, verb, outcome }
    const counter = Metric.withAttributes(operations, attributes)
    const timer = Metric.withAttributes(durations, attributes)
    const record: Record = (duration, context) => {
      counter.updateUnsafe(1, context)
      timer.updateUnsafe(duration, context)
    }
    records.set(verb, ofVerb.set(outcome, record))
    return record
  }

  /** A verb that has begun. */
  const begun = (verb: string, span: Tracer.Span, startedAt: number, restore: Restore) => {
    const call: Call = { startedAt, abandoned: false }
    const trace: VerbTrace = { span }
    const conclude = (exit: Exit.Exit<unknown, unknown>, left: boolean) =>
      Effect.withFiber((fiber) => {
        const clock = fiber.getRef(Clock.Clock)
        withoutThrowing(() => {
          for (const [key, value] of Object.entries(trace.last ?? {})) span.attribute(key, value)
        })
        withoutThrowing(() => span.end(clock.currentTimeNanosUnsafe(), tracedExit(exit)))
        if (left && !call.abandoned) {
          call.abandoned = true
          call.drop?.()
        }
        if (!call.abandoned) {
          const duration = clock.currentTimeMillisUnsafe() - startedAt
          withoutThrowing(() => recordOf(verb, outcomeOf(exit))(Duration.millis(duration), fiber.context))
        }
        call.over?.()
        return Effect.void
      })
    // An interruption that is waiting takes a mint's end away as soon as it is let in: it is let in here, where it can be
    // seen, and as little as can be follows. Where the caller lets none in, the caller will have that end.
    const end = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
      call.drop === undefined
        ? conclude(exit, false)
        : Effect.flatMap(Effect.exit(restore(Effect.void)), (seen) => conclude(exit, Exit.isFailure(seen)))
    return { call, addToContext: addTrace(trace), end }
  }

  const begin = (verb: string, handle: string | undefined, restore: Restore) =>
    Effect.withFiber((fiber) => {
      const startedAt = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
      const attributes = {
        "api_key.provider": provider,
        "api_key.account": account,
        ...(handle === undefined ? {} : { "api_key.handle": handle })
      }
      return Effect.map(Effect.makeSpan(`ApiKeyService.${verb}`, { attributes }), (span) =>
        begun(verb, span, startedAt, restore)
      )
    })

  return {
    observe: (verb, handle, run) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(begin(verb, handle, restore), ({ addToContext, call, end }) =>
          Effect.onExit(restore(Effect.updateContext(run(call), addToContext)), end)
        )
      ),
    observeStream: (verb, run) =>
      Stream.unwrap(
        Effect.map(begin(verb, undefined, identity), ({ addToContext, end }) =>
          Stream.onExit(Stream.updateContext(run(), addToContext), end)
        )
      ),
    abandoned: (verb, { startedAt }) =>
      Effect.withFiber((fiber) => {
        const duration = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() - startedAt
        withoutThrowing(() => recordOf(verb, "abandoned")(Duration.millis(duration), fiber.context))
        return Effect.void
      })
  }
}
