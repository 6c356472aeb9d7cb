/** `resumedRotation.ts` in a process of its own, which can be killed at the worst moment. */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"

const program = fileURLToPath(new URL("./resumedRotation.ts", import.meta.url))

/**
 * Loaded before the program: kills the process when the vendor's reply to a request like this one has come. The vendor has
 * done what it was asked to, and nobody here has read a word of it.
 */
const killing = (request: RegExp) =>
  `data:text/javascript,${encodeURIComponent(`
    const send = globalThis.fetch
    globalThis.fetch = async (url, init) => {
      const reply = await send(url, init)
      if (${request}.test(init.method + " " + new URL(url).pathname)) process.kill(process.pid, "SIGKILL")
      return reply
    }
  `)}`

/** The request that mints a key, at each vendor. */
export const mint = {
  jetemail: /^POST .*\/rotate$/,
  smtp2go: /^POST .*\/api_keys\/add$/,
  voiceable: /^POST .*\/api_keys$/
} as const

export interface Ended {
  readonly signal: NodeJS.Signals | null
  readonly code: number | null
  readonly output: string
}

/** Runs the program to its end, or until it is killed. */
export const run = (options: {
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Killed after the first request like this one. */
  readonly killAfter?: RegExp | undefined
}): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const preload = options.killAfter === undefined ? [] : ["--import", killing(options.killAfter)]
    const child = spawn(process.execPath, [...preload, program, ...options.args], {
      env: { ...process.env, ...options.env }
    })
    let output = ""
    const append = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", append)
    child.stderr.on("data", append)
    child.once("close", (code, signal) => resume(Effect.succeed({ code, signal, output })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })
