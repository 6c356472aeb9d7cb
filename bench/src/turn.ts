/** One contestant's turn: so many calls, each timed. */
import * as Effect from "effect/Effect"

export interface Turn {
  /** How long each call took, in microseconds. */
  readonly times: Float64Array
  /** How long the turn took, in microseconds. */
  readonly wall: number
  /** The CPU time of the whole process, garbage collection included, in microseconds. */
  readonly cpu: number
}

/** What is asked of a contestant: so many calls, so many of them at a time. */
export interface Ask {
  readonly calls: number
  readonly inFlight: number
}

const micros = (): number => performance.now() * 1000

/** Hands out the places in which calls write their times, until there are none left. */
const places = (calls: number) => {
  const times = new Float64Array(calls)
  let next = 0
  return {
    times,
    take: () => (next < calls ? next++ : -1),
    workers: (inFlight: number) => Array.from({ length: Math.min(inFlight, calls) }, (_, index) => index)
  }
}

const begin = () => {
  const cpu = process.cpuUsage()
  const from = micros()
  return (times: Float64Array): Turn => {
    const wall = micros() - from
    const { system, user } = process.cpuUsage(cpu)
    return { times, wall, cpu: system + user }
  }
}

export const ofPromises = async (call: () => Promise<unknown>, { calls, inFlight }: Ask): Promise<Turn> => {
  const { take, times, workers } = places(calls)
  const worker = async () => {
    for (let place = take(); place >= 0; place = take()) {
      const from = micros()
      await call()
      times[place] = micros() - from
    }
  }
  const end = begin()
  await Promise.all(workers(inFlight).map(worker))
  return end(times)
}

/** Effects run one after the other in one fiber, as in a program: there is no `runPromise` for each. */
export const ofEffects = <E, R>(
  call: Effect.Effect<unknown, E, R>,
  { calls, inFlight }: Ask
): Effect.Effect<Turn, E, R> =>
  Effect.suspend(() => {
    const { take, times, workers } = places(calls)
    const worker = Effect.gen(function* () {
      for (let place = take(); place >= 0; place = take()) {
        const from = micros()
        yield* call
        times[place] = micros() - from
      }
    })
    const end = begin()
    return Effect.as(
      Effect.forEach(workers(inFlight), () => worker, { concurrency: "unbounded", discard: true }),
      times
    ).pipe(Effect.map(end))
  })

/** Several turns as one. */
export const join = (turns: ReadonlyArray<Turn>): Turn => ({
  times: Float64Array.from(turns.flatMap(({ times }) => Array.from(times))),
  wall: turns.reduce((sum, { wall }) => sum + wall, 0),
  cpu: turns.reduce((sum, { cpu }) => sum + cpu, 0)
})
