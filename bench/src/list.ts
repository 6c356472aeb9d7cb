/** The list of a large account: time, and memory at the peak. */
import { greeted, spawn } from "./child.ts"
import type { Listed } from "./listCall.ts"
import { inRounds, ratios } from "./rounds.ts"
import { type Row, round, type Size } from "./rows.ts"
import { median } from "./stats.ts"

const sizes = { full: { count: 10_000, rounds: 3 }, quick: { count: 1000, rounds: 1 } }

const names = [
  "JSON.parse of the reply",
  "raw fetch, JSON.parse",
  "raw fetch + zod",
  "ours over fetch",
  "ours over undici"
]

export const measure = async (size: Size): Promise<ReadonlyArray<Row>> => {
  const { count, rounds } = sizes[size]
  const server = await greeted("./server.ts")
  const listed = async (name: string): Promise<Listed> => {
    const child = spawn("./listCall.ts", {
      args: [name, `http://127.0.0.1:${server.greeting}`],
      flags: ["--expose-gc"]
    })
    try {
      // What `listCall.ts` answers with.
      const result = (await child.ask({ count })) as Listed
      if (result.keys !== count) throw new Error(`${name}: ${result.keys} keys of ${count}`)
      return result
    } finally {
      await child.stop()
    }
  }
  try {
    const turns = await inRounds(
      names.map((name) => ({ name, turn: () => listed(name) })),
      rounds
    )
    return names.map((name) => {
      const all = turns.get(name) ?? []
      return {
        group: `list of ${count} keys`,
        name,
        ms: round(median(all.map(({ micros }) => micros)) / 1000, 1),
        "µs a key": round(median(all.map(({ micros }) => micros)) / count, 2),
        "time / raw fetch, JSON.parse": round(
          median(ratios(turns, name, "raw fetch, JSON.parse", ({ micros }) => micros))
        ),
        "MB at the peak": round(median(all.map(({ bytes }) => bytes)) / 1e6, 1)
      }
    })
  } finally {
    await server.stop()
  }
}
