import * as Deferred from "effect/Deferred"
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

  /** Forks what nobody may interrupt: no parent and no scope holds the fiber, only the finalizer above waits for it. */
  const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
      running.add(fiber)
      fiber.addObserver(() => running.delete(fiber))
      return fiber
    })

  const run = <A, E, R>({ abandoned, call, closed: refusal, work }: Mint<A, E, R>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        if (closed) return yield* Effect.fail(refusal())
        const done = Deferred.makeUnsafe<Exit.Exit<A, E>>()
        const fiber = yield* fork(
          Effect.flatMap(Effect.exit(work), (exit) => {
            if (call.abandoned) return abandoned(exit)
            // In the same step as the question: a caller who leaves in between would leave the value to nobody.
            Deferred.doneUnsafe(done, Exit.succeed(exit))
            return Effect.void
          })
        )
        // A fiber that dies before it comes to its end must not leave the caller waiting.
        fiber.addObserver((exit) => {
          if (Exit.isFailure(exit)) Deferred.doneUnsafe(done, Exit.succeed(Exit.failCause(exit.cause)))
        })
        const leave = (exit: Exit.Exit<A, E>) => Effect.asVoid(fork(abandoned(exit)))
        const exit = yield* restore(Deferred.await(done)).pipe(
          Effect.onInterrupt(() => {
            call.abandoned = true
            return Deferred.isDoneUnsafe(done) ? Effect.flatMap(Deferred.await(done), leave) : Effect.void
          })
        )
        // An interruption may still come between here and the caller.
        if (Exit.isSuccess(exit)) call.dropped = leave(exit)
        return yield* exit
      })
    )

  return { run }
})

/** Runs an effect with a deadline that holds even where the effect cannot be interrupted: past it, nobody waits. */
export const withDeadline = Effect.fnUntraced(function* <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  deadline: Duration.Duration
): Effect.fn.Return<Exit.Exit<A, E> | "deadline", never, R> {
  const done = yield* Deferred.make<Exit.Exit<A, E> | "deadline">()
  const running = yield* Effect.forkDetach(
    Effect.flatMap(Effect.exit(effect), (exit) => Deferred.succeed(done, exit)),
    { startImmediately: true }
  )
  const timer = yield* Effect.forkDetach(Effect.delay(Deferred.succeed(done, "deadline"), deadline), {
    startImmediately: true
  })
  const end = yield* Deferred.await(done)
  yield* Effect.forkDetach(Fiber.interrupt(end === "deadline" ? running : timer), { startImmediately: true })
  return end
})
