import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const program = fileURLToPath(new URL("../src/quickstart.ts", import.meta.url))

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

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

/** A whole key of a vendor; SMTP2GO's handles are the first twelve characters behind `api-`, and not secret. */
const secret = /transactional_|api_test_voiceable|api-api_test_\w{4,}/

describe("quickstart", { timeout: 60_000 }, () => {
  it("runs the main job at all three vendors and prints no secret", async () => {
    const { code, output } = await run()
    assert.strictEqual(code, 0, output)
    for (const line of ["JetEmail", "SMTP2GO", "Voiceable"]) assert.match(output, new RegExp(`^${line}$`, "m"))
    for (const step of ["create", "narrow", "rotate", "revoke", "lacks"]) {
      assert.strictEqual([...output.matchAll(new RegExp(`^${step} `, "gm"))].length, 3, step)
    }
    assert.match(output, /^429 /m)
    for (const step of ["killed", "resumed", "current"]) {
      assert.strictEqual([...output.matchAll(new RegExp(`^${step} `, "gm"))].length, 3, step)
    }
    assert.include(output, "<redacted>")
    assert.notMatch(output, secret)
    // The README shows it.
    const [, shown] = readme.split(/<!-- quickstart-output:(?:start|end) -->/)
    assert.strictEqual(shown?.trim(), `\`\`\`text\n${output.trim()}\n\`\`\``)
  })

  for (const [vendor, part, reason] of [
    ["JetEmail", "/rotate", "OutcomeUnknown"],
    ["Voiceable", "/api/v1/api_keys/2", "ProviderUnavailable"]
  ] as const) {
    it(`ends with a status above 0 where a step at ${vendor} is not as expected, and prints no secret`, async () => {
      const { code, output } = await run(["--import", breaking(part)])
      assert.strictEqual(code, 1)
      assert.include(output, reason)
      assert.notMatch(output, secret)
    })
  }
})
