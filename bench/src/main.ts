/**
 * Measures everything, one after the other, and writes `results.json`, `chart.svg` and the tables of the README. `--quick` measures a
 * little of each to show that it runs, and writes nothing.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import * as Bundle from "./bundle.ts"
import * as Chart from "./chart.ts"
import * as Imports from "./imports.ts"
import * as List from "./list.ts"
import * as Loopback from "./loopback.ts"
import * as Overload from "./overload.ts"
import * as Plan from "./plan.ts"
import * as Readme from "./readme.ts"
import type { Row, Size } from "./rows.ts"
import * as Stubbed from "./stubbed.ts"
import { tables } from "./table.ts"
import * as Validators from "./validators.ts"

const size: Size = process.argv.includes("--quick") ? "quick" : "full"

const measurements: ReadonlyArray<readonly [title: string, measure: () => Promise<ReadonlyArray<Row>>]> = [
  ["calls on loopback", () => Loopback.measure(size)],
  ["HTTP stubbed", () => Stubbed.measure(size)],
  ["more calls than the budget", () => Overload.measure()],
  ["a long list", () => List.measure(size)],
  ["plans of rotations", () => Plan.measure(size)],
  ["validators", () => Validators.measure(size)],
  ["bundles", () => Bundle.measure()],
  // A minute and more, and nothing that could be left out of it.
  ...(size === "full" ? [["imports", () => Imports.measure()] as const] : [])
]

const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  memoryGB: Math.round(totalmem() / 2 ** 30),
  platform: `${process.platform} ${process.arch}`,
  node: process.versions.node
}

const rows: Array<Row> = []
const targets: Array<Row> = []
for (const [title, measure] of measurements) {
  const from = Date.now()
  process.stderr.write(`measuring: ${title} … `)
  for (const row of await measure()) (row.group === "targets" ? targets : rows).push(row)
  process.stderr.write(`${((Date.now() - from) / 1000).toFixed(0)} s\n`)
}
rows.push(...targets)

process.stdout.write(`\n${tables(rows)}\n`)
if (size === "full") {
  const date = new Date().toISOString().slice(0, 10)
  const caption = `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${date}`
  const place = (name: string) => new URL(`../${name}`, import.meta.url)
  writeFileSync(place("results.json"), `${JSON.stringify({ date, machine, rows }, undefined, 2)}\n`)
  writeFileSync(place("chart.svg"), Chart.draw(rows, caption))
  writeFileSync(place("README.md"), Readme.update(readFileSync(place("README.md"), "utf8"), rows, caption))
}
