/** Processes that answer questions, one at a time. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

type Answer = { readonly value: unknown } | { readonly failure: string }

export interface Child {
  readonly ask: (question: unknown) => Promise<unknown>
  readonly stop: () => Promise<void>
}

const next = (child: ChildProcess, module: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const onMessage = (message: unknown) => {
      child.off("exit", onExit)
      resolve(message)
    }
    const onExit = (status: number | null) => {
      child.off("message", onMessage)
      reject(new Error(`${module} ended with status ${status}`))
    }
    child.once("message", onMessage)
    child.once("exit", onExit)
  })

const start = (module: string, args: ReadonlyArray<string>, execArgv: ReadonlyArray<string>): ChildProcess =>
  fork(fileURLToPath(new URL(module, import.meta.url)), [...args], {
    execArgv: [...execArgv],
    serialization: "advanced"
  })

const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null) return
  const ended = once(child, "exit")
  child.kill()
  await ended
}

/** Starts a child that takes no questions, with the first thing that it says by itself. */
export const greeted = async (
  module: string
): Promise<{ readonly greeting: unknown; readonly stop: Child["stop"] }> => {
  const child = start(module, [], [])
  return { greeting: await next(child, module), stop: () => stop(child) }
}

export const spawn = (
  module: string,
  { args = [], flags = [] }: { readonly args?: ReadonlyArray<string>; readonly flags?: ReadonlyArray<string> } = {}
): Child => {
  const child = start(module, args, flags)
  return {
    ask: async (question) => {
      child.send({ question })
      // This is what `answering` sends.
      const answer = (await next(child, module)) as Answer
      if ("failure" in answer) throw new Error(`${module}: ${answer.failure}`)
      return answer.value
    },
    stop: () => stop(child)
  }
}

/** What runs in the child: gives an answer to each question. */
export const answering = <Q>(answer: (question: Q) => Promise<unknown>): void => {
  process.on("message", ({ question }: { readonly question: Q }) => {
    answer(question).then(
      (value) => process.send?.({ value }),
      (error: unknown) =>
        process.send?.({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    )
  })
  process.on("disconnect", () => process.exit())
}
