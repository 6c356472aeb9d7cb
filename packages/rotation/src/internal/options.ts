import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { RotationError } from "../RotationError.ts"
import * as Failure from "./failure.ts"
import * as Names from "./names.ts"

/** What the service goes by where its options do not say. The README's table says the same, in these words. */
export const defaults = {
  overlap: "24 hours",
  overdueAfter: "1 hour",
  maxMints: 5,
  lateArrival: "15 minutes",
  propagation: "1 minute",
  watch: "5 minutes",
  timeout: "30 seconds",
  takeover: "1 minute"
} as const

/** What an option may be: a time that has an end, one that need not have, or a pause, which is more than none at all. */
type Kind = "finite" | "endless" | "pause"

const texts: { readonly [K in Kind]: string } = {
  finite: "must be a duration that is finite and not negative",
  endless: "must be a duration that is not negative",
  pause: "must be a duration that is finite and more than none"
}

const malformed = (operation: string, field: string, text: string): RotationError =>
  Failure.make(operation, "Malformed", undefined, `\`${field}\` ${text}`)

/** `Duration` takes what is not a number for zero: an old key would be shut off at once. */
const holdsNaN = (input: unknown): boolean =>
  Number.isNaN(input) ||
  (Predicate.isObject(input) && !Duration.isDuration(input) && Object.values(input).some(Number.isNaN))

const fits = (duration: Duration.Duration, kind: Kind): boolean => {
  const millis = Duration.toMillis(duration)
  return kind === "endless" ? millis >= 0 : Number.isFinite(millis) && (kind === "pause" ? millis > 0 : millis >= 0)
}

/** Reads an option that is a time. */
export const duration = (
  operation: string,
  field: string,
  input: Duration.Input,
  kind: Kind = "finite"
): Effect.Effect<Duration.Duration, RotationError> => {
  const read = holdsNaN(input) ? Option.none() : Duration.fromInput(input)
  return Option.match(
    Option.filter(read, (found) => fits(found, kind)),
    { onNone: () => Effect.fail(malformed(operation, field, texts[kind])), onSome: Effect.succeed }
  )
}

/** Reads an option that is a time, in milliseconds. */
export const millis = (
  operation: string,
  field: string,
  input: Duration.Input,
  kind: Kind = "finite"
): Effect.Effect<number, RotationError> => Effect.map(duration(operation, field, input, kind), Duration.toMillis)

/** Reads an option that is how many of something. */
export const count = (operation: string, field: string, input: number): Effect.Effect<number, RotationError> =>
  Number.isSafeInteger(input) && input > 0
    ? Effect.succeed(input)
    : Effect.fail(malformed(operation, field, "must be a whole number above 0"))

/** Reads an option that names something. */
export const name = (operation: string, field: string, input: string): Effect.Effect<string, RotationError> =>
  Names.isName(input) ? Effect.succeed(input) : Effect.fail(malformed(operation, field, Names.rule))
