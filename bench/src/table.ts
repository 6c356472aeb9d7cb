/** Rows as tables for the terminal, one for each group. */
import type { Row } from "./rows.ts"

const table = (rows: ReadonlyArray<Row>): string => {
  const figures = [...new Set(rows.flatMap(({ group: _group, name: _name, ...rest }) => Object.keys(rest)))]
  const cells = [
    ["", ...figures],
    ...rows.map((row) => [row.name, ...figures.map((figure) => (row[figure] === undefined ? "" : String(row[figure])))])
  ]
  const widths = ["", ...figures].map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)))
  return cells
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

export const tables = (rows: ReadonlyArray<Row>): string =>
  Array.from(
    Map.groupBy(rows, ({ group }) => group),
    ([group, ofGroup]) => `${group}\n${table(ofGroup)}\n`
  ).join("\n")
