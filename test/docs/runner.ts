/** Imports modules one after another and writes, for each, what it printed and how it failed, as a line of JSON. */
import { pathToFileURL } from "node:url"
import { format, inspect } from "node:util"

let lines: Array<string> = []

const capture = (...values: ReadonlyArray<unknown>): void => {
  lines.push(...format(...values).split("\n"))
}
Object.assign(globalThis.console, { log: capture })

process.on("unhandledRejection", (error) => {
  lines.push(`unhandled: ${inspect(error)}`)
})

for (const path of process.argv.slice(2)) {
  lines = []
  const failed = await import(pathToFileURL(path).href).then(
    () => ({}),
    (error: unknown) => ({ error: inspect(error) })
  )
  process.stdout.write(`${JSON.stringify({ path, lines, ...failed })}\n`)
}
process.exit(0)
