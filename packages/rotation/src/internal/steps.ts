import * as Effect from "effect/Effect"
import type { RotationRecord, Slot, Step } from "../Slot.ts"
import { activate } from "./steps/activate.ts"
import { contain } from "./steps/contain.ts"
import * as Context from "./steps/context.ts"
import { mintInPlace } from "./steps/mintInPlace.ts"
import { mintSuccessor } from "./steps/mintSuccessor.ts"
import { overlap } from "./steps/overlap.ts"
import { promote } from "./steps/promote.ts"
import { retire } from "./steps/retire.ts"
import { again, type Failure, type StepEnd, wait } from "./steps/stepEnd.ts"
import { sweep } from "./steps/sweep.ts"
import { verify } from "./steps/verify.ts"

const steps: {
  readonly [S in Step]: (context: Context.Context, strategy: RotationRecord["strategy"]) => Context.Attempt
} = {
  contain,
  mint: (context, strategy) => (strategy === "in-place" ? mintInPlace(context) : mintSuccessor(context)),
  activate,
  verify,
  promote,
  overlap: () => overlap,
  retire,
  sweep
}

/** Makes one attempt at a step: the one that the rotation is in, or `sweep`, which is also done after its end. */
export const attempt = Effect.fnUntraced(function* (
  setting: Context.Setting,
  slot: Slot,
  rotation: RotationRecord,
  step: Step = rotation.step
): Effect.fn.Return<StepEnd, Failure> {
  const { keys } = setting
  // A key is only ever touched under the account that it was recorded for.
  if (keys.provider !== slot.provider || keys.account !== slot.providerAccount) return wait("WrongAccount")
  const context = Context.make(setting, slot)
  const end = yield* steps[step](context, rotation.strategy)(slot, rotation)
  return end._tag === "End" && !(yield* context.isOurs) ? again : end
})
