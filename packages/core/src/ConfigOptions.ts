/**
 * Options of a layer, each of which may be a `Config`.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"

/**
 * The same options, where each may be given as a plain value or as a `Config` of it.
 *
 * @since 0.1.0
 * @category models
 */
export type ConfigOptions<Options> = Options extends unknown
  ? { readonly [K in keyof Options]: Options[K] | Config.Config<Exclude<Options[K], undefined>> }
  : never

/**
 * Reads the options that are Configs and leaves the others as they are.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = <Options extends object>(
  options: ConfigOptions<Options>
): Effect.Effect<Options, Config.ConfigError> =>
  Effect.map(
    Effect.forEach(Object.entries(options), ([key, value]) =>
      Config.isConfig(value)
        ? Effect.map(value, (resolved) => [key, resolved] as const)
        : Effect.succeed([key, value] as const)
    ),
    // The same keys, with each Config replaced by the value that its type promises.
    (entries) => Object.fromEntries(entries) as Options
  )
