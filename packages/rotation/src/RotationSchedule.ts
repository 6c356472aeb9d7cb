/**
 * When keys are rotated by themselves.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * When keys are due, and how their rotations go.
 *
 * **Details**
 *
 * The age of a key counts from when the vault took it in. So it does not matter for how long nobody was there to look: a key
 * that has missed three dates is rotated once. Nothing is started twice, also where several machines run the same schedule.
 *
 * What keeps a key that is due from being rotated is said in the log as a warning, with its account, slot and problem: when it
 * begins, and once a day while it lasts.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScheduleOptions {
  /** How old a key may get. */
  readonly every: Duration.Input
  /** A slot is due up to so much later, always the same by its name: not all at once. A tenth of `every` unless given. */
  readonly jitter?: Duration.Input | undefined
  /** Only the slots of this account. */
  readonly account?: string | undefined
  /**
   * How many rotations may be making their keys at once before another is started; 10 unless given. One that waits does not
   * count, for its overlap or after three attempts at one step: it would keep all others from being started.
   */
  readonly atMost?: number | undefined
  /** How often it is looked for slots that are due; a minute unless given. */
  readonly check?: Duration.Input | undefined
  /** How long after a rotation that did not complete the next one is started; a day unless given. */
  readonly retryAfter?: Duration.Input | undefined
  /** How long the old key is left alive; as for `start`. */
  readonly overlap?: Duration.Input | undefined
  /** Whether the old key is shut off only after `acknowledge`; as for `start`. */
  readonly acknowledgement?: boolean | undefined
}
