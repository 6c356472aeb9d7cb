/** The most memory that a process has held since some moment. */
import { readFileSync, writeFileSync } from "node:fs"

/** Linux keeps the peak, and starts it anew when asked to. Elsewhere it is the peak of the process's whole life. */
const forgetPeak = (): void => {
  if (process.platform === "linux") writeFileSync("/proc/self/clear_refs", "5")
}

const peak = (): number => {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024
}

/** From now on; gives how many bytes more the process has held since. Collects garbage first, where `--expose-gc` lets it. */
export const watch = (): (() => number) => {
  globalThis.gc?.()
  forgetPeak()
  const before = process.memoryUsage.rss()
  return () => Math.max(0, peak() - before)
}
