/** On loopback: what one call costs, and what many at a time cost. */
import { greeted, spawn } from "./child.ts"
import { names } from "./contestants.ts"
import { type Contender, inRounds, ratios } from "./rounds.ts"
import { type Row, round, type Size, target } from "./rows.ts"
import { median, quantile, spread } from "./stats.ts"
import type { Ask, Turn } from "./turn.ts"
import { type Verb, verbs } from "./vendor.ts"

const sizes = {
  full: { warmUp: 5400, rounds: 15, calls: 360, parallelCalls: 2048, parallelRounds: 4 },
  quick: { warmUp: 90, rounds: 2, calls: 90, parallelCalls: 256, parallelRounds: 1 }
}

const perCall = (turn: Turn) => turn.cpu / turn.times.length
const p50 = (turn: Turn) => median(turn.times)

/** Effect alone over the same transport. */
const effectOf = (name: string): string => (name.includes("undici") ? "Effect over undici" : "Effect over fetch")

const ofVerb = (verb: Verb, turns: ReadonlyMap<string, ReadonlyArray<Turn>>): ReadonlyArray<Row> =>
  names.map((name) => {
    const all = turns.get(name) ?? []
    const times = all.flatMap(({ times }) => Array.from(times))
    const ratio = spread(ratios(turns, name, "raw fetch", p50))
    return {
      group: `per call: ${verb}`,
      name,
      "p50 µs": round(median(times), 0),
      "p99 µs": round(quantile(times, 0.99), 0),
      "CPU µs": round(median(all.map(perCall)), 0),
      "p50 / raw fetch": round(ratio.middle),
      low: round(ratio.low),
      high: round(ratio.high),
      "p50 / Effect alone": round(median(ratios(turns, name, effectOf(name), p50))),
      "CPU / raw fetch": round(median(ratios(turns, name, "raw fetch", perCall)))
    }
  })

const targetsOf = (verb: Verb, turns: ReadonlyMap<string, ReadonlyArray<Turn>>): ReadonlyArray<Row> =>
  (
    [
      ["ours over undici", 0.85],
      ["ours over fetch", 1.45]
    ] as const
  ).map(([name, atMost]) =>
    target(`${verb}, ${name}, p50 / raw fetch`, median(ratios(turns, name, "raw fetch", p50)), atMost, "×")
  )

const parallel = ["raw undici", "Effect over undici", "ours over undici"]

const ofParallel = (
  inFlight: number,
  turns: ReadonlyMap<string, ReadonlyArray<Turn>>,
  connections: ReadonlyMap<string, number>
) =>
  parallel.map((name): Row => {
    const all = turns.get(name) ?? []
    const wall = (turn: Turn) => turn.wall / turn.times.length
    const times = all.flatMap(({ times }) => Array.from(times))
    const ratio = spread(ratios(turns, name, "raw undici", wall))
    return {
      group: `${inFlight} creates in flight`,
      name,
      "calls a second": round(1e6 / median(all.map(wall)), 0),
      "p50 µs": round(median(times), 0),
      "p99 µs": round(quantile(times, 0.99), 0),
      "CPU µs a call": round(median(all.map(perCall)), 0),
      "time / raw undici": round(ratio.middle),
      low: round(ratio.low),
      high: round(ratio.high),
      "new connections": connections.get(name) ?? 0
    }
  })

/** How many connections the server has been asked for since the last time. */
const seen = async (baseUrl: string): Promise<number> => {
  const response = await fetch(`${baseUrl}/seen`)
  // The server's own words.
  return ((await response.json()) as { readonly connections: number }).connections
}

export const measure = async (size: Size): Promise<ReadonlyArray<Row>> => {
  const { calls, parallelCalls, parallelRounds, rounds, warmUp } = sizes[size]
  const server = await greeted("./server.ts")
  const baseUrl = `http://127.0.0.1:${server.greeting}`
  const children = names.map((name) => ({ name, child: spawn("./contestant.ts", { args: [name, baseUrl] }) }))
  const contenders = (verb: Verb, ask: Ask): ReadonlyArray<Contender<Turn>> =>
    children.map(({ child, name }) => ({
      name,
      // A contestant answers with the turn that it was asked for.
      turn: async () => (await child.ask({ verb, ask })) as Turn
    }))
  try {
    const rows: Array<Row> = []
    const targets: Array<Row> = []
    for (const verb of verbs) {
      await inRounds(contenders(verb, { calls: warmUp, inFlight: 1 }), 1)
      const turns = await inRounds(contenders(verb, { calls, inFlight: 1 }), rounds)
      rows.push(...ofVerb(verb, turns))
      targets.push(...targetsOf(verb, turns))
    }
    for (const inFlight of [16, 64, 256]) {
      const connections = new Map<string, number>()
      const asked = contenders("create", { calls: parallelCalls, inFlight })
        .filter(({ name }) => parallel.includes(name))
        .map(({ name, turn }) => ({
          name,
          turn: async () => {
            await seen(baseUrl)
            const result = await turn()
            connections.set(name, (connections.get(name) ?? 0) + (await seen(baseUrl)))
            return result
          }
        }))
      await inRounds(asked, 1)
      rows.push(...ofParallel(inFlight, await inRounds(asked, parallelRounds), connections))
    }
    return [...rows, ...targets]
  } finally {
    for (const { child } of children) await child.stop()
    await server.stop()
  }
}
