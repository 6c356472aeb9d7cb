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
  /** How many mints, compensations and callers that have not taken their mint's end there are. */
  let places = 0
  let closed = false
  let emptied = () => {}

  /** Takes a place, without which the layer may close; what it gives lets it go. */
  const enter = (): (() => void) => {
    places++
    return () => {
      places--
      if (places === 0) emptied()
    }
  }

  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      closed = true
      emptied = () => resume(Effect.void)
      if (places === 0) emptied()
    })
  )

  /** Starts what nobody may interrupt: no parent and no scope holds the fiber, only the finalizer above waits for it. */
  const start = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<R>): Fiber.Fiber<A, E> => {
    // Before it begins: it may close the layer at once.
    const release = enter()
    const fiber = Effect.runForkWith(context)(effect)
    fiber.addObserver(release)
    return fiber
  }

  const run = <A, E, R>({ abandoned, call, closed: refusal, work }: Mint<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<R>) =>
      // An exit is passed on as a value: a mint that was interrupted from inside is none whose caller has left.
      Effect.flatten(
        Effect.callback<Effect.Effect<A, E>>((resume) => {
          if (closed) return resume(Effect.succeed(Effect.fail(refusal())))
          call.over = enter()
          const leave = (exit: Exit.Exit<A, E>) => {
            start(abandoned(exit), context)
          }
          const settle = (exit: Exit.Exit<A, E>) => {
            if (call.drop !== undefined) return
            // An interruption may still come between here and the caller.
            call.drop = () => leave(exit)
            if (call.abandoned) leave(exit)
            else resume(Effect.succeed(exit))
          }
          start(settling(work, settle), context).addObserver(settle)
          return Effect.sync(() => {
            call.abandoned = true
            // It ended between the interruption and this: nobody took the value.
            call.drop?.()
          })
        })
      )
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
