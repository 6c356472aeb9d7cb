import type { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import * as Effect from "effect/Effect"
import { RotationError, type RotationProblem } from "../RotationError.ts"
import type { VaultError } from "../VaultError.ts"
import type { SlotId } from "../VaultStore.ts"

export const make = (operation: string, problem: RotationProblem, id?: SlotId, detail?: string): RotationError =>
  new RotationError({
    operation,
    problem,
    ...(id === undefined ? {} : { account: id.account, slot: id.slot }),
    ...(detail === undefined ? {} : { detail })
  })

const idOf = ({ account, slot }: VaultError): SlotId | undefined =>
  account === undefined || slot === undefined ? undefined : { account, slot }

/** Says what a vault or a vendor said in the words of the rotation service. */
export const translate =
  (operation: string, id?: SlotId) =>
  <A, R>(effect: Effect.Effect<A, VaultError | ApiKeyError | RotationError, R>): Effect.Effect<A, RotationError, R> =>
    Effect.mapError(effect, (error) => {
      switch (error._tag) {
        case "RotationError":
          return error
        case "VaultError":
          return make(operation, error.problem, id ?? idOf(error), error.detail)
        case "ApiKeyError":
          return make(operation, error.reason._tag, id, error.message)
      }
    })
