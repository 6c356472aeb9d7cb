/**
 * `pnpm test`: build and type check, lint, all tests. Stops at the first stage that fails, and ends with one line,
 * `N passed, N failed, N skipped`, in which a stage that is no test counts as one.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "effect-api-keys-"))
const report = join(folder, "vitest.json")

// Many tests start processes, most of whose time goes into loading the same modules.
const env = { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, "../node_modules/.cache/node") }

const stages: ReadonlyArray<readonly [name: string, command: string, args: ReadonlyArray<string>]> = [
  ["build and type check", "tsc", ["-b"]],
  ["lint", "biome", ["check", "--error-on-warnings", "."]],
  ["tests", "vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]]
]

interface Counts {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
}

const print = (line: string) => process.stdout.write(`${line}\n`)

let passed = 0
let failed = 0
let skipped = 0
for (const [name, command, args] of stages) {
  const startedAt = performance.now()
  print(`\n— ${name}: ${command} ${args.slice(0, 2).join(" ")}`)
  const { status } = spawnSync(command, args, { stdio: "inherit", env })
  print(`— ${name}: ${status === 0 ? "ok" : "FAILED"}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  if (command === "vitest") {
    try {
      const counts: Counts = JSON.parse(readFileSync(report, "utf8"))
      passed += counts.numPassedTests
      // A file that cannot be loaded fails as a suite without a test of its own.
      failed += Math.max(counts.numFailedTests, status === 0 ? 0 : 1)
      skipped += counts.numPendingTests + counts.numTodoTests
    } catch {
      failed++
    }
  } else if (status === 0) passed++
  else failed++
  if (status !== 0) break
}

rmSync(folder, { recursive: true, force: true })
print(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed === 0 ? 0 : 1
