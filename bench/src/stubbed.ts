/** With HTTP stubbed: what a call costs us, as a whole and by part. */
import { spawn } from "./child.ts"
import { inRounds, ratios } from "./rounds.ts"
import { type Row, round, type Size, target } from "./rows.ts"
import { median, spread } from "./stats.ts"
import type { Cost } from "./stubbedCall.ts"
import * as Names from "./stubbedNames.ts"
import { verbs } from "./vendor.ts"

const sizes = {
  full: { warmUp: 12_600, rounds: 15, calls: 900 },
  quick: { warmUp: 90, rounds: 2, calls: 90 }
}

const micros = ({ micros }: Cost) => micros
const bytes = ({ bytes }: Cost) => bytes

export const measure = async (size: Size): Promise<ReadonlyArray<Row>> => {
  const { calls, rounds, warmUp } = sizes[size]
  const children = [...Names.calls, ...Names.parts].map((name) => ({
    name,
    child: spawn("./stubbedCall.ts", { args: [name] })
  }))
  const contenders = (times: number) =>
    children.map(({ child, name }) => ({
      name,
      // What `stubbedCall.ts` answers with.
      turn: async () => (await child.ask({ times })) as Cost
    }))
  try {
    await inRounds(contenders(warmUp), 1)
    const turns = await inRounds(contenders(calls), rounds)
    const figures = (name: string) => {
      const all = turns.get(name) ?? []
      return { µs: round(median(all.map(micros)), 1), "kB allocated": round(median(all.map(bytes)) / 1000, 1) }
    }
    const row = (verb: (typeof verbs)[number], name: string): Row => {
      const ratio = spread(ratios(turns, name, Names.bare(verb), micros))
      return {
        group: "HTTP stubbed: a call",
        name,
        ...figures(name),
        "time / bare Effect": round(ratio.middle),
        low: round(ratio.low),
        high: round(ratio.high),
        "kB / bare Effect": round(median(ratios(turns, name, Names.bare(verb), bytes)))
      }
    }
    return [
      ...verbs.flatMap((verb) => [Names.bare, Names.limiterOff, Names.limiterOn].map((name) => row(verb, name(verb)))),
      ...Names.parts.map((name): Row => ({ group: "HTTP stubbed: the parts of a create", name, ...figures(name) })),
      ...verbs.map((verb) =>
        target(
          `${verb}, HTTP stubbed, time / bare Effect`,
          median(ratios(turns, Names.limiterOff(verb), Names.bare(verb), micros)),
          1.8,
          "×"
        )
      )
    ]
  } finally {
    for (const { child } of children) await child.stop()
  }
}
