/**
 * What a rotation will do, before it does it.
 *
 * @since 0.1.0
 */
import type { ApiKeyService, Verb } from "@effect-api-keys/core/ApiKeyService"
import * as Duration from "effect/Duration"
import { order } from "./internal/steps/order.ts"
import type { RotationRecord, Step, Strategy } from "./Slot.ts"

/**
 * One step of a plan, with the verbs that it calls where nothing goes wrong.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlannedStep {
  readonly step: Step
  /** Each is one call of `ApiKeyService`; at some vendors it is more than one request. */
  readonly calls: ReadonlyArray<Verb>
  /** How often the program's probe is asked. */
  readonly probes: number
}

/**
 * What a rotation will do.
 *
 * **Details**
 *
 * It is what happens where nothing goes wrong. A call that is lost is looked for, which takes further ones; a new key that its
 * probe rejects is minted again.
 *
 * @since 0.1.0
 * @category models
 */
export interface RotationPlan {
  readonly strategy: Strategy
  readonly steps: ReadonlyArray<PlannedStep>
  /** How many calls of `ApiKeyService` that is. */
  readonly calls: number
  /** How long the old key stays alive after the new one is there to be used; zero where it cannot. */
  readonly overlap: Duration.Duration
  /**
   * The longest time in which no key of the slot works, where the process is killed at the worst moment and another goes on, each
   * call is one request that takes as long as it may, and nothing else goes wrong.
   */
  readonly withoutWorkingKey: Duration.Duration
  /** The step from whose first request on the old key cannot be kept: in an overlap that is its retirement. */
  readonly pointOfNoReturn: Step
}

/**
 * What a plan is made from.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlanOptions {
  readonly kind: RotationRecord["kind"]
  readonly overlap: Duration.Duration
  /** Whether new keys are tried by a probe. */
  readonly verified: boolean
  /** How long one request may take at most, by the account's `timeout`. */
  readonly timeout: Duration.Duration
  /** How long it takes until another runner goes on with the work of one that was killed. */
  readonly takeover: Duration.Duration
}

type Supports = ApiKeyService["Service"]["supports"]

/**
 * How the keys of a vendor that supports this are rotated.
 *
 * @since 0.1.0
 * @category constructors
 */
export const strategyOf = (supports: Supports, kind: RotationRecord["kind"]): Strategy => {
  if (!supports("overlap")) return "in-place"
  return kind === "rotate" || supports("disable") ? "successor" : "recreate"
}

const callsOf = (step: Step, strategy: Strategy, { kind }: PlanOptions, supports: Supports): ReadonlyArray<Verb> => {
  // The old key is copied, and so it is looked at before the copy is made, brought to its status, and promoted.
  const copies = strategy === "successor" && kind === "rotate"
  switch (step) {
    case "contain":
      return ["get", "revoke"]
    case "mint":
      if (strategy === "recreate") return ["prepare", "create"]
      return copies ? ["get", "prepare", "rotate"] : ["prepare", "rotate"]
    case "activate": {
      const switchedOn = strategy === "successor" && supports("enable")
      return ["get", ...(copies ? (["get"] as const) : []), ...(switchedOn ? (["enable"] as const) : [])]
    }
    case "promote":
      return copies ? ["get", "get"] : ["get"]
    case "retire":
      return ["get", "revoke"]
    case "sweep":
      return strategy === "in-place" ? [] : ["get"]
    default:
      return []
  }
}

const probesOf = (step: Step, strategy: Strategy, { kind, verified }: PlanOptions): number => {
  if (step !== "verify" || !verified) return 0
  // An old key that still works is tried too, as a control.
  return strategy === "successor" && kind === "rotate" ? 2 : 1
}

const noReturnOf = (strategy: Strategy, { kind }: PlanOptions): Step => {
  if (strategy === "in-place") return "mint"
  return kind === "replace" ? "contain" : "retire"
}

const withoutKey = (steps: ReadonlyArray<PlannedStep>, noReturn: Step, { takeover, timeout }: PlanOptions) => {
  switch (noReturn) {
    // The reply is lost, and whoever goes on finds the new key in the list.
    case "mint":
      return Duration.sum(Duration.times(timeout, 2), takeover)
    // From the request that shuts the old key off to the new one: and the mint is lost, looked for, and made again.
    case "contain": {
      const before = steps.slice(
        0,
        steps.findIndex(({ step }) => step === "promote")
      )
      const again = before.filter(({ step }) => step === "mint")
      const requests = [...before, ...again].reduce((sum, { calls, probes }) => sum + calls.length + probes, 0)
      // The first call only reads the old key. In its place stands the look for what was lost.
      return Duration.sum(Duration.times(timeout, requests), takeover)
    }
    default:
      return Duration.zero
  }
}

/**
 * The plan of a rotation at a vendor that supports this. Pure: nothing is asked of anyone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (supports: Supports, options: PlanOptions): RotationPlan => {
  const strategy = strategyOf(supports, options.kind)
  const steps = order(options.kind, strategy).map((step) => ({
    step,
    calls: callsOf(step, strategy, options, supports),
    probes: probesOf(step, strategy, options)
  }))
  const pointOfNoReturn = noReturnOf(strategy, options)
  return {
    strategy,
    steps,
    calls: steps.reduce((sum, { calls }) => sum + calls.length, 0),
    overlap: strategy === "successor" && options.kind === "rotate" ? options.overlap : Duration.zero,
    withoutWorkingKey: withoutKey(steps, pointOfNoReturn, options),
    pointOfNoReturn
  }
}
