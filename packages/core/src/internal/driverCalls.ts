import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { KeyRef } from "../ApiKey.ts"
import type { ApiKeyDriver, KeyRecord } from "../ApiKeyDriver.ts"
import {
  ApiKeyError,
  type ApiKeyErrorReason,
  KeyNotFound,
  UnexpectedResponse,
  UnsupportedOperation
} from "../ApiKeyError.ts"
import type { Need, Verb } from "../ApiKeyService.ts"
import { Urgent } from "./limiter.ts"

/** A driver, and how its parts are called: with the verb and the handle on every error, and nothing else of the key. */
export interface DriverCalls {
  readonly driver: ApiKeyDriver
  readonly failure: (operation: string, reason: ApiKeyErrorReason, handle?: string) => ApiKeyError
  /** The failure of a verb or need that the driver lacks. */
  readonly unsupported: (verb: Verb, need: Need, handle?: string) => Effect.Effect<never, ApiKeyError>
  /** A pure check, as an effect of this verb. */
  readonly checked: <A>(
    verb: Verb | "layer",
    handle: string | undefined,
    result: Result.Result<A, ApiKeyErrorReason>
  ) => Effect.Effect<A, ApiKeyError>
  /** Names verb and key on a driver's error; only ever on a driver's, never on a caller's. */
  readonly label: (
    verb: Verb,
    handle?: string
  ) => <A, R>(effect: Effect.Effect<A, ApiKeyError, R>) => Effect.Effect<A, ApiKeyError, R>
  readonly makeRef: (address: string) => KeyRef
  /** Reads one key: directly, or from the list. */
  readonly read: (address: string, verb: Verb) => Effect.Effect<KeyRecord, ApiKeyError>
  /** Shuts off a key that nobody holds; whether that worked. */
  readonly discard: (address: string) => Effect.Effect<boolean>
}

/**
 * An effect that a driver gives, when it is run. From JavaScript it may be none, which would end the whole fiber past all that
 * is to be done about a new key: it is a defect like any other.
 */
export const fromDriver = <A, E, R>(make: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const effect = make()
    return Effect.isEffect(effect) ? effect : Effect.die(new TypeError("the adapter gave no effect"))
  })

export const make = (driver: ApiKeyDriver): DriverCalls => {
  const { account, provider } = driver

  const failure: DriverCalls["failure"] = (operation, reason, handle) =>
    new ApiKeyError({ provider, operation, reason, ...(handle === undefined ? {} : { handle }) })

  const label: DriverCalls["label"] = (verb, handle) => (effect) =>
    Effect.mapError(
      effect,
      ({ http, reason }) =>
        new ApiKeyError({
          provider,
          operation: verb,
          reason,
          ...(handle === undefined ? {} : { handle }),
          ...(http === undefined ? {} : { http })
        })
    )

  const unsupported: DriverCalls["unsupported"] = (verb, need, handle) =>
    Effect.fail(failure(verb, new UnsupportedOperation({ need }), handle))

  const readFromList = (
    records: Stream.Stream<KeyRecord, ApiKeyError>,
    address: string,
    verb: Verb,
    handle: string
  ): Effect.Effect<KeyRecord, ApiKeyError> =>
    records.pipe(
      Stream.runFold(
        () => ({ found: Option.none<KeyRecord>(), masked: false }),
        (seen, record) => ({
          found: record.address === address ? Option.some(record) : seen.found,
          masked: seen.masked || record.address === undefined
        })
      ),
      label(verb, handle),
      Effect.flatMap(({ found, masked }) => {
        if (Option.isSome(found)) return Effect.succeed(found.value)
        // One of the masked keys may be ours: "not found" would be a guess.
        const issues = [{ path: [], message: "the list masks its keys, so that ours cannot be told from the others" }]
        const reason = masked ? new UnexpectedResponse({ problem: "body", issues }) : new KeyNotFound()
        return Effect.fail(failure(verb, reason, handle))
      })
    )

  return {
    driver,
    failure,
    unsupported,
    label,
    checked: (verb, handle, result) =>
      Result.isSuccess(result) ? Effect.succeed(result.success) : Effect.fail(failure(verb, result.failure, handle)),
    // Its parts are strings by their types: to check them would tell nothing.
    makeRef: (address) => new KeyRef({ provider, account, value: Redacted.make(address) }, { disableChecks: true }),
    read: (address, verb) => {
      const handle = driver.handle(address)
      if (driver.get !== undefined) return label(verb, handle)(driver.get(address))
      return driver.list === undefined
        ? unsupported(verb, "get", handle)
        : readFromList(driver.list({}), address, verb, handle)
    },
    discard: (address) => {
      // Removing frees its place in the plan; where that cannot be had, disabling does.
      const { remove: removeOf, setStatus } = driver
      const disable =
        setStatus === undefined ? undefined : Effect.asVoid(fromDriver(() => setStatus(address, "disabled")))
      const remove = removeOf === undefined ? undefined : fromDriver(() => removeOf(address))
      const means =
        remove === undefined || disable === undefined
          ? (remove ?? disable)
          : Effect.catchCause(remove, (cause) =>
              Effect.catchIf(
                disable,
                // The removal was taken and could not be looked up; now the vendor does not know the key.
                (error) =>
                  ApiKeyError.is("KeyNotFound")(error) &&
                  cause.reasons.some(
                    (reason) => Cause.isFailReason(reason) && ApiKeyError.is("PartiallyApplied")(reason.error)
                  ),
                () => Effect.void
              )
            )
      return means === undefined
        ? Effect.succeed(false)
        : Effect.map(Effect.exit(means), Exit.isSuccess).pipe(Effect.provideService(Urgent, true))
    }
  }
}
