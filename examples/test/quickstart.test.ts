import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const program = fileURLToPath(new URL("../src/quickstart.ts", import.meta.url))

/** A preload that breaks one request, so that a step of the program cannot be as expected. */
const breaking = (part: string) =>
  `data:text/javascript,${encodeURIComponent(`
    const real = globalThis.fetch
    globalThis.fetch = (url, init) =>
      String(url).includes(${JSON.stringify(part)}) ? Promise.resolve(new Response("{}", { status: 500 })) : real(url, init)
  `)}`

const run = (args: ReadonlyArray<string> = []) =>
  new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
    const child = spawn(process.execPath, [...args, program])
    let output = ""
    const append = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", append)
    child.stderr.on("data", append)
    child.on("close", (code) => resolve({ code, output }))
  })

describe("quickstart", () => {
  it("runs the main job and prints no secret", async () => {
    const { code, output } = await run()
    assert.strictEqual(code, 0, output)
    for (const step of ["create", "patch", "rotate", "revoke", "429"])
      assert.match(output, new RegExp(`^${step} `, "m"))
    assert.include(output, "<redacted>")
    assert.notMatch(output, /transactional_|api_test_/)
  })

  it("ends with a status above 0 where a step is not as expected, and prints no secret", async () => {
    const { code, output } = await run(["--import", breaking("/rotate")])
    assert.strictEqual(code, 1)
    assert.include(output, "OutcomeUnknown")
    assert.notMatch(output, /transactional_api|api_test_/)
  })
})
