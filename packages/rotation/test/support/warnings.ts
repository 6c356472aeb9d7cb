import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"

export interface Warning {
  readonly text: string
  /** What it names. */
  readonly of: unknown
}

/** Runs a program with a list of the warnings that are logged in it. */
export const withWarnings = <A, E, R>(
  program: (warnings: Array<Warning>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const warnings: Array<Warning> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel !== "Warn" && logLevel !== "Error" && logLevel !== "Fatal") return
      const [text, of] = Array.isArray(message) ? message : [message]
      warnings.push({ text: String(text), of })
    })
    return Effect.provide(program(warnings), Logger.layer([logger]))
  })
