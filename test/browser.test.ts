/** The library needs no Node: one bundle of it runs in a page, in a Web Worker, and in a thread with the names of the web alone. */
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Bundle, bundleOf } from "../bench/src/bundleOf.ts"
import * as Chromium from "./browser/chromium.ts"
import * as Origin from "./browser/origin.ts"
import type { Credentials } from "./browser/program.ts"

/** The bundler fails where a module of Node's is asked for. */
let made: Promise<Bundle> | undefined
const bundled = (): Promise<Bundle> => {
  made ??= bundleOf(`export { run } from "../test/browser/program.ts"`, { format: "iife", globalName: "program" })
  return made
}

/** `process`, `Buffer`, `require` and all that only Node has are not among them. */
const names = [
  ["AbortController", "AbortSignal", "Headers", "Request", "Response", "fetch"],
  ["URL", "URLSearchParams", "TextDecoder", "TextEncoder", "ReadableStream", "crypto", "performance"],
  ["clearInterval", "clearTimeout", "queueMicrotask", "setInterval", "setTimeout"]
].flat()

/** A thread that runs the bundle in a context of its own. */
const thread = (program: string, url: string, credentials: Credentials): Worker =>
  new Worker(
    `const { createContext, runInContext } = require("node:vm")
    const { parentPort, workerData } = require("node:worker_threads")
    const { credentials, names, program, url } = workerData
    const context = createContext(Object.fromEntries(names.map((name) => [name, globalThis[name]])))
    runInContext(program, context)
    const own = runInContext("typeof process + typeof Buffer + typeof require + typeof global", context)
    runInContext("program", context).run(url, credentials)
      .catch(String)
      .then((outcome) => parentPort.postMessage({ own, outcome }))`,
    { eval: true, workerData: { credentials, names, program, url } }
  )

const outcome = {
  jetemail: { previous: "dead", revoked: "disabled", secret: "<redacted>" },
  smtp2go: { previous: "retired", revoked: "disabled", secret: "<redacted>" },
  voiceable: { previous: "retired", revoked: "deleted", secret: "<redacted>" }
}

/** Runs it at fresh vendors: what comes of it, who the vendors say it was, and that no key is left over. */
const expectAtOrigin = (
  agent: RegExp,
  expected: unknown,
  run: (program: string, origin: Origin.Origin["Service"]) => Promise<unknown>
) =>
  Effect.gen(function* () {
    const { imports, text } = yield* Effect.promise(bundled)
    assert.deepStrictEqual(imports, [])
    yield* Effect.gen(function* () {
      const origin = yield* Origin.Origin
      const before = yield* origin.live
      assert.deepStrictEqual(yield* Effect.promise(() => run(text, origin)), expected)
      const agents = yield* origin.agents
      assert.isAtLeast(agents.length, 9, "three calls at each vendor")
      for (const each of agents) assert.match(each, agent)
      assert.strictEqual(yield* origin.live, before, "no key works that did not before")
    }).pipe(Effect.provide(Origin.layer(text)))
  })

describe("without Node", { timeout: 60_000 }, () => {
  it.live("keys are made, rotated and revoked in a thread that has only the names of the web", () =>
    expectAtOrigin(/^node$/, { own: "undefined".repeat(4), outcome }, async (program, { credentials, url }) => {
      const worker = thread(program, url, credentials)
      const [message] = await once(worker, "message")
      await worker.terminate()
      return message
    })
  )

  it.live.skipIf(!Chromium.available)(Chromium.byName("the same in a page and a Web Worker of Chromium"), () =>
    expectAtOrigin(/Chrome/, { page: outcome, worker: outcome }, async (_, { report, url }) => {
      await Chromium.loaded(url)
      return await Effect.runPromise(report)
    })
  )
})
