import type { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { RotationError, type RotationProblem } from "../RotationError.ts"
import type { VaultError } from "../VaultError.ts"
import type { SlotId } from "../VaultStore.ts"
import { texts } from "./texts.ts"

export const make = (operation: string, problem: RotationProblem, id?: SlotId, detail?: string): RotationError =>
  new RotationError({
    operation,
    problem,
    ...(id === undefined ? {} : { account: id.account, slot: id.slot }),
    ...(detail === undefined ? {} : { detail })
  })

/** What went wrong, in a word of ours; nothing else of a failure is fit to be shown. */
export const problemOf = (cause: Cause.Cause<VaultError | ApiKeyError | RotationError>): RotationProblem => {
  const error = cause.reasons.find(Cause.isFailReason)?.error
  if (error === undefined) return "Defect"
  return error._tag === "ApiKeyError" ? error.reason._tag : error.problem
}

/** What is no fault: someone else was quicker, or has removed the slot. */
export const isOvertaken = (problem: RotationProblem): boolean =>
  problem === "Fenced" || problem === "InProgress" || problem === "NotOpen" || problem === "NotFound"

const idOf = ({ account, slot }: VaultError): SlotId | undefined =>
  account === undefined || slot === undefined ? undefined : { account, slot }

/** All that the vault says; where it has nothing to add to its problem, the message of the error says what that means. */
const sayOf = ({ detail, problem }: VaultError): string | undefined =>
  detail === undefined ? undefined : `${texts[problem]}: ${detail}`

/** Says what a vault or a vendor said in the words of the rotation service. */
export const translate =
  (operation: string, id?: SlotId) =>
  <A, R>(effect: Effect.Effect<A, VaultError | ApiKeyError | RotationError, R>): Effect.Effect<A, RotationError, R> =>
    Effect.mapError(effect, (error) => {
      switch (error._tag) {
        case "RotationError":
          return error
        case "VaultError":
          return make(operation, error.problem, id ?? idOf(error), sayOf(error))
        case "ApiKeyError":
          return make(operation, error.reason._tag, id, error.message)
      }
    })
