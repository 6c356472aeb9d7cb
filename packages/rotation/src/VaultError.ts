/**
 * The one error of the vault.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { texts } from "./internal/texts.ts"

/**
 * Why a vault did not do what it was asked to.
 *
 * **Details**
 *
 * - `Unavailable`: the store cannot be reached, is full, or failed; whether the write took place is not known.
 * - `NotFound`: there is no such slot.
 * - `Taken`: the slot exists already, and holds another key; or another slot holds this key; or the name is another rotation's.
 * - `Fenced`: someone else has gone on since: a later epoch, or another rotation. What was to be written was not.
 * - `InProgress`: another rotation of this slot is open, or, for `remove`, something of it is not done.
 * - `Unreadable`: what is stored cannot be opened: an unknown sealing key, a changed document, or a later version of it.
 * - `Invalid`: the request makes no sense; nothing was written.
 *
 * @since 0.1.0
 * @category models
 */
export const VaultProblem = Schema.Literals([
  "Unavailable",
  "NotFound",
  "Taken",
  "Fenced",
  "InProgress",
  "Unreadable",
  "Invalid"
])

/**
 * Why a vault did not do what it was asked to.
 *
 * @since 0.1.0
 * @category models
 */
export type VaultProblem = typeof VaultProblem.Type

/**
 * Why the vault did not do what it was asked to, and for which slot. It never holds a secret, nor what a store said.
 *
 * @since 0.1.0
 * @category errors
 */
export class VaultError extends Schema.TaggedError<VaultError>("@effect-api-keys/rotation/VaultError")("VaultError", {
  /** What was asked of the vault, such as `put`. */
  operation: Schema.String,
  problem: VaultProblem,
  account: Schema.optionalKey(Schema.String),
  slot: Schema.optionalKey(Schema.String),
  /** What is wrong, where `problem` does not say it; never a value. */
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const slot = this.slot === undefined ? "" : ` of ${this.account}/${this.slot}`
    const detail = this.detail === undefined ? "" : `: ${this.detail}`
    return `${this.operation}${slot}: ${texts[this.problem]}${detail}`
  }

  /**
   * A predicate for `Effect.catchIf`: whether it is such an error, of one of these problems.
   *
   * @since 0.1.0
   */
  static is(...problems: ReadonlyArray<VaultProblem>): (error: unknown) => error is VaultError {
    return (error): error is VaultError =>
      Predicate.isTagged(error, "VaultError") && error instanceof VaultError && problems.includes(error.problem)
  }
}
