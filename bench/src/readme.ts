/** The tables of the README, drawn from the results. */
import type { Row } from "./rows.ts"

const start = "<!-- results:start -->"
const end = "<!-- results:end -->"

/** As the formatter writes it. */
const table = (rows: ReadonlyArray<Row>, figures: ReadonlyArray<string>): string => {
  const cells = [["", ...figures], ...rows.map((row) => [row.name, ...figures.map((figure) => `${row[figure] ?? ""}`)])]
  const widths = ["", ...figures].map((_, column) => Math.max(3, ...cells.map((line) => line[column]?.length ?? 0)))
  const line = (texts: ReadonlyArray<string>): string =>
    `| ${texts.map((text, at) => (at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0))).join(" | ")} |`
  const [head = [], ...body] = cells
  const rule = widths.map((width, at) => (at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`))
  return [head, rule, ...body].map(line).join("\n")
}

const sections: ReadonlyArray<readonly [group: RegExp, figures: ReadonlyArray<string>]> = [
  [/^targets$/, ["measured", "at most", "unit", "reached"]],
  [/^per call: /, ["p50 µs", "p99 µs", "CPU µs", "p50 / raw fetch", "low", "high", "p50 / Effect alone"]],
  [/ creates in flight$/, ["calls a second", "p99 µs", "CPU µs a call", "time / raw undici", "new connections"]],
  [/^HTTP stubbed: a call$/, ["µs", "kB allocated", "time / bare Effect", "low", "high"]],
  [/^HTTP stubbed: the parts/, ["µs", "kB allocated"]],
  [/^list of /, ["ms", "µs a key", "time / raw fetch, JSON.parse", "MB at the peak"]],
  [/^rotation plans of /, ["slots", "s", "µs a slot", "MB over the start, at the peak", "MB kept on the heap"]],
  [/^bundle$/, ["bytes, gzipped", "bytes"]],
  [/^bundle of one call$/, ["bytes, gzipped", "bytes"]],
  [/^bundle of core and jetemail, by module$/, ["bytes"]],
  [/^cold import$/, ["ms", "CPU ms", "CPU / Effect alone", "modules", "kB"]]
]

const titleOf = (group: string): string => `### ${group.charAt(0).toUpperCase()}${group.slice(1)}`

/** The text of the README with the tables of these results in place of those of the last. */
export const update = (readme: string, rows: ReadonlyArray<Row>, caption: string): string => {
  const from = readme.indexOf(start)
  const to = readme.indexOf(end)
  if (from < 0 || to < from) throw new Error("the README has no place for results")
  const groups = Map.groupBy(rows, ({ group }) => group)
  const tables = sections.flatMap(([pattern, figures]) =>
    Array.from(groups)
      .filter(([group]) => pattern.test(group))
      .map(([group, ofGroup]) => `${titleOf(group)}\n\n${table(ofGroup, figures)}`)
  )
  const text = [start, `Measured on: ${caption}.`, ...tables, end].join("\n\n")
  return readme.slice(0, from) + text + readme.slice(to + end.length)
}
