import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Call } from "./telemetry.ts"

/** A mint and what becomes of it when its caller has left. */
export interface Mint<A, E, R> {
  readonly call: Call
  /** The failure of a mint that is asked for after the layer has closed. */
  readonly closed: () => E
  readonly work: Effect.Effect<A, E, R>
  /** Given the end of a mint whose caller left, while it ran or before its value was taken. */
  readonly abandoned: (exit: Exit.Exit<A, E>) => Effect.Effect<void>
}

/** Where mints run: every one to its end, whatever becomes of its caller; the layer does not close before. */
export interface MintRegion {
  /** Runs the mint on a fiber of the layer, in the caller's context, and waits for it, interruptibly. */
  readonly run: <A, E, R>(mint: Mint<A, E, R>) => Effect.Effect<A, E, R>
}

export const make: Effect.Effect<MintRegion, never, Scope.Scope> = Effect.gen(function* () {
  const running = new Set<Fiber.Fiber<unknown, unknown>>()
  let closed = false

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      closed = true
      // An abandoned mint may start its compensation while we wait for it.
      while (running.size > 0) yield* Fiber.awaitAll(running)
    })
  )

  /** Starts what nobody may interrupt: no parent and no scope holds the fiber, only the finalizer above waits for it. */
  const start = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<R>): Fiber.Fiber<A, E> => {
    const fiber = Effect.runForkWith(context)(effect)
    running.add(fiber)
    fiber.addObserver(() => running.delete(fiber))
    return fiber
  }

  const run = <A, E, R>({ abandoned, call, closed: refusal, work }: Mint<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<R>) =>
      Effect.callback<A, E>((resume) => {
        if (closed) return resume(Effect.fail(refusal()))
        let ended: Exit.Exit<A, E> | undefined
        const leave = (exit: Exit.Exit<A, E>) => {
          start(abandoned(exit), context)
        }
        const settle = (exit: Exit.Exit<A, E>) => {
          if (ended !== undefined) return
          ended = exit
          if (call.abandoned) return leave(exit)
          // An interruption may still come between here and the caller.
          if (Exit.isSuccess(exit)) call.dropped = Effect.sync(() => leave(exit))
          resume(exit)
        }
        start(settling(work, settle), context).addObserver(settle)
        return Effect.sync(() => {
          call.abandoned = true
          // It ended between the interruption and this: nobody took the value.
          if (ended !== undefined) leave(ended)
        })
      })
    )

  return { run }
})

/** Settles as soon as the effect has ended: its fiber ends later, when the fibers that the effect has forked have ended too. */
const settling = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  settle: (exit: Exit.Exit<A, E>) => void
): Effect.Effect<A, E, R> => Effect.onExit(effect, (exit) => Effect.sync(() => settle(exit)))

/**
 * Runs an effect with a deadline that holds even where the effect cannot be interrupted: past it, nobody waits. An interruption
 * goes on to the effect, and waits for it until the deadline.
 */
export const withDeadline = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  deadline: Duration.Duration
): Effect.Effect<Exit.Exit<A, E> | "deadline", never, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback((resume) => {
      const start = Effect.runForkWith(context)
      let settled = false
      let timer: Fiber.Fiber<void> | undefined
      const settle = (exit: Exit.Exit<A, E>) => {
        if (settled) return
        settled = true
        timer?.interruptUnsafe()
        resume(Effect.succeed(exit))
      }
      const running = start(settling(effect, settle))
      running.addObserver(settle)
      if (settled) return
      timer = start(Effect.sleep(deadline))
      timer.addObserver((exit) => {
        if (Exit.isFailure(exit)) return
        settled = true
        // First the effect, and then who waits for it: what was given up must not go on meanwhile.
        running.interruptUnsafe()
        resume(Effect.succeed("deadline"))
      })
      const either = Fiber.await(timer)
      return Effect.suspend(() => {
        running.interruptUnsafe()
        return Effect.asVoid(either)
      })
    })
  )
