/** Starts `program.ts` in a process of its own and listens to it. */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bundled } from "../support/bundle.ts"
import type { Program, Said } from "./protocol.ts"

/** What was said, and how many milliseconds after the start of the process. */
export type Heard = Said & { readonly afterMs: number }

export interface Child {
  /** All that was said so far. */
  readonly heard: ReadonlyArray<Heard>
  /** The first such line, past or to come; a defect if the process ends or 30 s go by without it. */
  readonly hear: (
    what: Partial<Record<"said" | "step" | "id" | "outcome" | "tag" | "text", string>>
  ) => Effect.Effect<Heard>
  /** Sends a signal; for one that ends the process, waits until it has ended. */
  readonly signal: (name: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

/** A process that ends with the scope. */
export const run = (program: Program): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => start(program)),
      ({ signal }) => signal("SIGKILL")
    ),
    (child): Child => child
  )

const start = (program: Program): Child => {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [bundled(new URL("./program.ts", import.meta.url)), JSON.stringify(program)], {
    stdio: ["pipe", "pipe", "pipe"]
  })
  const heard: Array<Heard> = []
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }
  let rest = ""
  let complaints = ""
  let over = false
  child.stderr.on("data", (chunk: Buffer) => {
    complaints += chunk.toString()
  })
  child.stdout.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      // The program writes nothing but such lines.
      heard.push({ ...(JSON.parse(line) as Said), afterMs: performance.now() - startedAt })
    }
    tell()
  })
  child.once("close", () => {
    over = true
    tell()
  })
  const listen = (listener: () => boolean): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      const look = () => {
        if (!listener()) return
        listeners.delete(look)
        resume(Effect.void)
      }
      listeners.add(look)
      look()
      return Effect.sync(() => listeners.delete(look))
    })
  const report = () => `${heard.map((line) => JSON.stringify(line)).join("\n")}\n${complaints}`
  return {
    heard,
    hear: (what) => {
      const fits = (line: Heard) => Object.entries(what).every(([key, value]) => Reflect.get(line, key) === value)
      const found = () => heard.find(fits)
      return listen(() => found() !== undefined || over).pipe(
        Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.void }),
        Effect.flatMap(() => {
          const line = found()
          return line === undefined
            ? Effect.die(new Error(`never said: ${JSON.stringify(what)}\n${report()}`))
            : Effect.succeed(line)
        })
      )
    },
    signal: (name) => {
      const send = Effect.sync(() => child.kill(name))
      return name === "SIGKILL" || name === "SIGTERM"
        ? Effect.andThen(
            send,
            listen(() => over)
          )
        : Effect.asVoid(send)
    }
  }
}
