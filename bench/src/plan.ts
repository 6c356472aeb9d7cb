/** The plan of a rotation for every slot of a large vault, streamed from SQL. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { spawn } from "./child.ts"
import type { Planned } from "./planCall.ts"
import { type Row, round, type Size, target } from "./rows.ts"
import { fill } from "./vault.ts"

const counts = { full: { slots: 100_000, free: 20_000 }, quick: { slots: 2000, free: 2000 } }

/**
 * V8 lets garbage pile up as far as the machine has room for it. What a program needs shows where it may not: with a heap of 64 MB,
 * of which the libraries themselves take some 30.
 */
const limited = ["--max-old-space-size=64", "--max-semi-space-size=4"]

const planned = async (filename: string, slots: number, flags: ReadonlyArray<string>): Promise<Planned> => {
  const child = spawn("./planCall.ts", { args: [filename], flags: ["--expose-gc", ...flags] })
  try {
    // What `planCall.ts` answers with.
    const result = (await child.ask({ slots })) as Planned
    if (result.plans !== slots || result.calls === 0) throw new Error(`${result.plans} plans of ${slots}`)
    return result
  } finally {
    await child.stop()
  }
}

const row = (name: string, { bytes, kept, plans, seconds }: Planned): Row => ({
  group: "rotation plans of a vault in SQLite",
  name,
  slots: plans,
  s: round(seconds, 1),
  "µs a slot": round((seconds * 1e6) / plans, 1),
  "MB over the start, at the peak": round(bytes / 1e6, 1),
  "MB kept on the heap": round(kept / 1e6, 1)
})

export const measure = async (size: Size): Promise<ReadonlyArray<Row>> => {
  const { free, slots } = counts[size]
  const folder = await mkdtemp(join(tmpdir(), "effect-api-keys-bench-"))
  try {
    const filename = join(folder, "vault.sqlite")
    await fill(filename, slots)
    const narrow = await planned(filename, slots, limited)
    return [
      row("heap of 64 MB", narrow),
      row("heap as V8 likes it", await planned(filename, free, [])),
      target(`rotation plans of ${slots} slots in a heap of 64 MB, memory over the start`, narrow.bytes / 1e6, 64, "MB")
    ]
  } finally {
    await rm(folder, { recursive: true })
  }
}
