/**
 * The one error of the rotation service.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { texts } from "./internal/texts.ts"
import { Problem } from "./Slot.ts"

/**
 * Why the rotation service did not do what it was asked to: a {@link Problem}, or one of its own. A rotation that is under way
 * does not fail: it waits, or ends with an outcome.
 *
 * **Details**
 *
 * `NotOpen`: no rotation of this slot is under way, or it has not got as far as that. `NoMatch`: no slot holds what leaked.
 * `Malformed`: an option makes no sense, and `detail` names it; nothing was written.
 *
 * @since 0.1.0
 * @category models
 */
export const RotationProblem = Schema.Literals([...Problem.literals, "NotOpen", "NoMatch", "Malformed"])

/**
 * Why the rotation service did not do what it was asked to.
 *
 * @since 0.1.0
 * @category models
 */
export type RotationProblem = typeof RotationProblem.Type

const textOf = (problem: RotationProblem): string | undefined =>
  Object.entries(texts).find(([name]) => name === problem)?.[1]

/**
 * Why the rotation service did not do what it was asked to, and for which slot; it never holds a secret.
 *
 * @since 0.1.0
 * @category errors
 */
export class RotationError extends Schema.TaggedError<RotationError>("@effect-api-keys/rotation/RotationError")(
  "RotationError",
  {
    /** What was asked, such as `start`. */
    operation: Schema.String,
    problem: RotationProblem,
    account: Schema.optionalKey(Schema.String),
    slot: Schema.optionalKey(Schema.String),
    /** What is wrong, in words; never a value. */
    detail: Schema.optionalKey(Schema.String)
  }
) {
  override get message(): string {
    const slot = this.slot === undefined ? "" : ` of ${this.account}/${this.slot}`
    const text = this.detail ?? textOf(this.problem)
    const detail = text === undefined ? "" : `: ${text}`
    return `${this.operation}${slot}: ${this.problem}${detail}`
  }

  /**
   * A predicate for `Effect.catchIf`: whether it is such an error, of one of these problems.
   *
   * @since 0.1.0
   */
  static is(...problems: ReadonlyArray<RotationProblem>): (error: unknown) => error is RotationError {
    return (error): error is RotationError =>
      Predicate.isTagged(error, "RotationError") && error instanceof RotationError && problems.includes(error.problem)
  }
}
