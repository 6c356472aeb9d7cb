/**
 * What happens to rotations, as it happens.
 *
 * @since 0.1.0
 */
import type { Outcome, Problem, Step } from "./Slot.ts"
import type { SlotId } from "./VaultStore.ts"

/**
 * One thing that happened to a rotation, in this process.
 *
 * **Details**
 *
 * - `started`: the step is tried for the first time; twice where the process that began it was killed.
 * - `done`: the rotation goes on to the next step.
 * - `waiting`: the step did not do, for this `problem`, and is tried again.
 * - `overdue`: it waits longer than it should, for this `problem`. Once for each step.
 * - `ended`: this was its last step; `outcome` says how it ended, and `problem`, where there is one, why.
 *
 * @since 0.1.0
 * @category models
 */
export interface RotationEvent {
  readonly slotId: SlotId
  readonly rotationId: string
  readonly step: Step
  readonly event: "started" | "done" | "waiting" | "overdue" | "ended"
  readonly problem?: Problem
  readonly outcome?: Outcome
  /** In milliseconds since 1970. */
  readonly at: number
}
