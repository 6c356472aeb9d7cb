export const quantile = (values: Iterable<number>, share: number): number => {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: Iterable<number>): number => quantile(values, 0.5)

/** What lies in the middle of all rounds, the least and the most. */
export interface Spread {
  readonly middle: number
  readonly low: number
  readonly high: number
}

export const spread = (values: ReadonlyArray<number>): Spread => ({
  middle: median(values),
  low: Math.min(...values),
  high: Math.max(...values)
})
