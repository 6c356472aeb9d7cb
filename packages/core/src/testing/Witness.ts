/**
 * What anyone could see of a program's run, for tests that no secret is seen: plant a secret that can be recognised, run the
 * program before a witness, and search what it saw.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Tracer from "effect/Tracer"

/** Every string that can be reached from a value by its own properties, whatever their kind. */
const strings = (value: unknown, seen = new Set<unknown>()): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return []
  seen.add(value)
  const entries = value instanceof Map || value instanceof Set ? [...value].flat() : []
  const own = Reflect.ownKeys(value).flatMap((key) => {
    const descriptor = Object.getOwnPropertyDescriptor(value, key)
    return [String(key), descriptor !== undefined && "value" in descriptor ? descriptor.value : undefined]
  })
  return [...entries, ...own].flatMap((inner) => strings(inner, seen))
}

/**
 * Sees the logs and spans of whatever is run with its layer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Witness {
  /** Records the logs and the spans of a program. */
  readonly layer: Layer.Layer<never>
  /** The spans so far: a run without any proves nothing of them. */
  readonly spans: ReadonlyArray<Tracer.Span>
  /** Everything that was seen, as text: logs, spans by their own properties, metrics, and the exit in every rendering. */
  readonly seen: (exit: Exit.Exit<unknown, unknown>, metrics: unknown) => ReadonlyArray<string>
}

/**
 * Makes a witness. `inspect` is that of `node:util`, or what your platform prints values with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  inspect: (value: unknown, options: { readonly depth: number; readonly showHidden: boolean }) => string
): Witness => {
  const lines: Array<string> = []
  const spans: Array<Tracer.Span> = []
  const layer = Layer.mergeAll(
    Logger.layer([
      Logger.make(
        (options) => void lines.push(inspect(options, { depth: 6, showHidden: false }), Logger.formatJson.log(options))
      )
    ]),
    Layer.succeed(
      Tracer.Tracer,
      Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
    )
  )
  return {
    layer,
    spans,
    seen: (exit, metrics) => [
      ...lines,
      ...spans.flatMap((span) => strings(span)),
      JSON.stringify(metrics, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
      inspect(exit, { depth: 20, showHidden: true }),
      JSON.stringify(exit),
      String(exit),
      ...strings(exit),
      ...(Exit.isFailure(exit) ? [Cause.pretty(exit.cause)] : [])
    ]
  }
}
