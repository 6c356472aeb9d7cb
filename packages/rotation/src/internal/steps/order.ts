import type { RotationRecord, Step } from "../../Slot.ts"

/** The steps of a rotation, in order. */
export const order = (kind: RotationRecord["kind"], strategy: RotationRecord["strategy"]): ReadonlyArray<Step> => {
  if (strategy === "in-place") return ["mint", "verify", "sweep"]
  if (kind === "rotate") return ["mint", "activate", "verify", "promote", "overlap", "retire", "sweep"]
  return strategy === "successor"
    ? ["contain", "mint", "activate", "verify", "promote", "retire", "sweep"]
    : ["contain", "mint", "activate", "verify", "promote", "sweep"]
}
