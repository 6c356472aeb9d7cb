/** Draws a chart of the results: horizontal bars, readable on a light page and on a dark one. */
import type { Row } from "./rows.ts"

interface Bar {
  readonly label: string
  readonly value: number
  readonly low?: number | undefined
  readonly high?: number | undefined
  readonly kind: "raw" | "effect" | "ours"
  /** What the bar should not pass. */
  readonly goal?: number | undefined
}

interface Panel {
  readonly title: string
  readonly unit: string
  readonly bars: ReadonlyArray<Bar>
}

const width = 860
const labelWidth = 240
const plotWidth = width - labelWidth - 110
const barHeight = 16
const step = 22

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const number = (row: Row, figure: string): number => Number(row[figure] ?? 0)

const kindOf = (name: string): Bar["kind"] =>
  name.includes("ours") ? "ours" : name.includes("Effect") ? "effect" : "raw"

const goalOf = (rows: ReadonlyArray<Row>, name: string): number | undefined => {
  const goal = rows.find((row) => row.group === "targets" && row.name === name)
  return goal === undefined ? undefined : number(goal, "at most")
}

const panelsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<Panel> => {
  const groups = [...new Set(rows.map(({ group }) => group))]
  const loopback = groups
    .filter((group) => group.startsWith("per call: "))
    .map((group): Panel => {
      const verb = group.slice("per call: ".length)
      return {
        title: `${verb} on loopback, p50`,
        unit: "× raw fetch",
        bars: rows
          .filter((row) => row.group === group)
          .map((row) => ({
            label: row.name,
            value: number(row, "p50 / raw fetch"),
            low: number(row, "low"),
            high: number(row, "high"),
            kind: kindOf(row.name),
            goal: goalOf(rows, `${verb}, ${row.name}, p50 / raw fetch`)
          }))
      }
    })
  const stubbed = rows.filter(({ group }) => group === "HTTP stubbed: a call")
  const whole: Panel = {
    title: "HTTP stubbed: time of a call",
    unit: "× bare Effect",
    bars: stubbed.map((row) => ({
      label: row.name,
      value: number(row, "time / bare Effect"),
      low: number(row, "low"),
      high: number(row, "high"),
      kind: kindOf(row.name),
      goal: row.name.endsWith(": ours")
        ? goalOf(rows, `${row.name.split(":", 1)[0]}, HTTP stubbed, time / bare Effect`)
        : undefined
    }))
  }
  const parts: Panel = {
    title: "HTTP stubbed: the parts of a create",
    unit: "µs",
    bars: rows
      .filter(({ group }) => group === "HTTP stubbed: the parts of a create")
      .map((row) => ({
        label: row.name,
        value: number(row, "µs"),
        kind: row.name.includes("Effect") ? "effect" : "ours"
      }))
  }
  const parallel = groups
    .filter((group) => group.endsWith(" creates in flight"))
    .map(
      (group): Panel => ({
        title: `${group}, time a call`,
        unit: "× raw undici",
        bars: rows
          .filter((row) => row.group === group)
          .map((row) => ({
            label: row.name,
            value: number(row, "time / raw undici"),
            low: number(row, "low"),
            high: number(row, "high"),
            kind: kindOf(row.name)
          }))
      })
    )
  return [...loopback, whole, parts, ...parallel].filter(({ bars }) => bars.length > 0)
}

const drawPanel = ({ bars, title, unit }: Panel, top: number): string => {
  const most = Math.max(...bars.map(({ high = 0, value }) => Math.max(value, high)))
  const x = (value: number): string => (labelWidth + (value / most) * plotWidth).toFixed(1)
  const drawn = bars.map(({ goal, high, kind, label, low, value }, index) => {
    const y = top + 30 + index * step
    const middle = y + barHeight / 2
    const bar = `<rect class="${kind}" x="${labelWidth}" y="${y}" width="${((value / most) * plotWidth).toFixed(1)}" height="${barHeight}" rx="2"/>`
    const range =
      low === undefined || high === undefined || low === high
        ? ""
        : `<line class="range" x1="${x(low)}" x2="${x(high)}" y1="${middle}" y2="${middle}"/>`
    const limit =
      goal === undefined
        ? ""
        : `<line class="goal" x1="${x(goal)}" x2="${x(goal)}" y1="${y - 3}" y2="${y + barHeight + 3}"/>`
    const end = Math.max(value, high ?? 0)
    return [
      `<text class="label" x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
      bar,
      range,
      limit,
      `<text class="value" x="${Number(x(end)) + 8}" y="${middle + 4}">${value}</text>`
    ].join("")
  })
  return `<text class="title" x="8" y="${top + 16}">${escaped(title)}<tspan class="unit" dx="8">${escaped(unit)}</tspan></text>${drawn.join("\n")}`
}

const style = `
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .unit { font-weight: 400; fill: #57606a } .value { fill: #57606a }
.raw { fill: #8c959f } .effect { fill: #54aeff } .ours { fill: #1a7f37 }
.range { stroke: #24292f; stroke-width: 1.5 } .goal { stroke: #cf222e; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .unit, .value { fill: #9198a1 }
  .raw { fill: #6e7681 } .effect { fill: #388bfd } .ours { fill: #3fb950 }
  .range { stroke: #e6edf3 } .goal { stroke: #ff7b72 }
}`

/** The chart, as the text of an SVG. */
export const draw = (rows: ReadonlyArray<Row>, caption: string): string => {
  const panels = panelsOf(rows)
  let top = 56
  const drawn: Array<string> = []
  for (const panel of panels) {
    drawn.push(drawPanel(panel, top))
    top += 30 + panel.bars.length * step + 22
  }
  const legend = `${caption}. Bars: less is better. Thin lines: from the least to the most of all rounds. Red: what is aimed at.`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}" role="img">
<title>What a call costs</title>
<style>${style}
</style>
<text class="unit" x="8" y="24">${escaped(legend)}</text>
${drawn.join("\n")}
</svg>
`
}
