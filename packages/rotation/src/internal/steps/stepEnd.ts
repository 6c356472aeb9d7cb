import { ApiKeyError, type ApiKeyErrorReason } from "@effect-api-keys/core/ApiKeyError"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type { Outcome, Problem, RotationRecord, Step } from "../../Slot.ts"
import { VaultError } from "../../VaultError.ts"
import { order } from "./order.ts"

/** How one attempt of a step ended. */
export type StepEnd =
  | { readonly _tag: "Next"; readonly step: Step }
  /** Try again later: after so many milliseconds, or as the attempts so far have it. */
  | { readonly _tag: "Wait"; readonly problem: Problem; readonly after?: number }
  | { readonly _tag: "End"; readonly outcome: Outcome; readonly problem?: Problem }

export type Failure = ApiKeyError | VaultError

export const goTo = (step: Step): StepEnd => ({ _tag: "Next", step })

export const wait = (problem: Problem, after?: Duration.Input): StepEnd => ({
  _tag: "Wait",
  problem,
  ...(after === undefined ? {} : { after: Duration.toMillis(after) })
})

export const ended = (outcome: Outcome, problem?: Problem): StepEnd => ({
  _tag: "End",
  outcome,
  ...(problem === undefined ? {} : { problem })
})

/** Someone else has gone on: it is looked again where the rotation is. */
export const again = wait("Fenced", 0)

/** The step after the one that a rotation is in, or its end. */
export const nextOf = ({ kind, step, strategy }: RotationRecord): StepEnd => {
  const steps = order(kind, strategy)
  const next = steps[steps.indexOf(step) + 1]
  return next === undefined ? ended("completed") : goTo(next)
}

export const isNotFound = ApiKeyError.is("KeyNotFound")

/** Reasons that no waiting mends. */
export const isFinal = ApiKeyError.is("InvalidRequest", "UnsupportedOperation", "UnsupportedRestriction")

/** Reasons after which it is certain that no key was minted. */
const unsentReasons: ReadonlySet<ApiKeyErrorReason["_tag"]> = new Set<ApiKeyErrorReason["_tag"]>([
  "AuthenticationFailed",
  "PermissionDenied",
  "KeyNotFound",
  "InvalidRequest",
  "KeyLimitReached",
  "InvalidKeyState",
  "RateLimited",
  "ProviderUnavailable",
  "UnsupportedOperation",
  "UnsupportedRestriction",
  "UnexpectedResponse"
])

export const provesUnsent = ({ reason }: ApiKeyError): boolean => unsentReasons.has(reason._tag)

/** What an error means for a step that has nothing of its own to say to it: what was begun is tried again until it is done. */
export const afterFailure = (error: Failure): StepEnd =>
  error instanceof VaultError ? wait(error.problem) : wait(error.reason._tag, error.retryAfter)

/** What an error means before there is anything to be seen through. */
export const orFailed = (error: Failure): StepEnd =>
  isFinal(error) ? ended("failed", error.reason._tag) : afterFailure(error)

export const errorsOf = <E>(cause: Cause.Cause<E>): ReadonlyArray<E> =>
  cause.reasons.flatMap((reason) => (reason._tag === "Fail" ? [reason.error] : []))
