/** What a measurement gives: rows of figures, in groups. */
export type Row = { readonly group: string; readonly name: string; readonly [figure: string]: number | string }

/** How much is measured: `quick` only shows that everything runs. */
export type Size = "full" | "quick"

export const round = (value: number, digits = 2): number => Number(value.toFixed(digits))

/** A goal of the project beside what was measured. */
export const target = (name: string, measured: number, atMost: number, unit: string): Row => ({
  group: "targets",
  name,
  measured: round(measured),
  "at most": atMost,
  unit,
  reached: measured <= atMost ? "yes" : "no"
})
