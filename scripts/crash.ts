/**
 * `pnpm test:crash`: a hundred seeded SIGKILLs on each engine, and the figures into `docs/rotation.md`. Ends with the number of
 * things that went wrong, which is to be 0.
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { crash, type Figures } from "../packages/rotation/test/crash/crash.ts"
import * as Postgres from "../packages/rotation/test/postgres.ts"

const kills = Number(process.argv[2] ?? 100)
const document = new URL("../docs/rotation.md", import.meta.url)
const print = (line: string) => process.stdout.write(`${line}\n`)

const engines = Postgres.available ? (["file", "pg"] as const) : (["file"] as const)
if (!Postgres.available) print("PostgreSQL is not installed (apt-get install postgresql): it is left out")

const names = { file: "file (`node:sqlite`), one process", pg: "PostgreSQL, two processes" }

const rowOf = ({ afterCommit, beforeRequest, engine, kills: killed, mints, orphans, rotations, violations }: Figures) =>
  [names[engine], killed, rotations, beforeRequest, afterCommit, mints, orphans, violations.length].join(" | ")

const figures = await Effect.runPromise(
  Effect.scoped(
    Effect.forEach(engines, (engine, index) =>
      crash({ engine, kills, killsPerRound: 8, seed: 100 + index, log: (line) => print(`${engine}, ${line}`) })
    )
  )
)

const table = [
  "| engine | kills | rotations | killed before a request | killed after it was carried out, before the reply | mints | orphans for a person | violations |",
  "|---|---|---|---|---|---|---|---|",
  ...figures.map((one) => `| ${rowOf(one)} |`)
].join("\n")
print(`\n${table}\n`)

const [start, end] = ["<!-- crash-figures -->", "<!-- /crash-figures -->"]
const text = readFileSync(document, "utf8")
const from = text.indexOf(start)
const to = text.indexOf(end)
if (from !== -1 && to > from && engines.length === 2) {
  writeFileSync(document, `${text.slice(0, from + start.length)}\n\n${table}\n\n${text.slice(to)}`)
  spawnSync("biome", ["format", "--write", fileURLToPath(document)], { stdio: "inherit" })
}
const violations = figures.flatMap((one) => one.violations)
for (const violation of violations) print(violation)
print(`${violations.length} violations`)
process.exitCode = violations.length === 0 ? 0 : 1
