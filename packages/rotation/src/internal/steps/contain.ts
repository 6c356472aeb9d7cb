import type { ApiKey } from "@effect-api-keys/core/ApiKey"
import { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { RotationRecord, Slot } from "../../Slot.ts"
import * as Before from "./before.ts"
import type { Attempt, Context } from "./context.ts"
import { ended, errorsOf, type Failure, goTo, isNotFound, nextOf, wait } from "./stepEnd.ts"

/** Whether it is certain that a refused call changed nothing. */
const changedNothing = (error: Failure): boolean =>
  error instanceof ApiKeyError &&
  (ApiKeyError.is("AuthenticationFailed", "PermissionDenied", "RateLimited")(error) ||
    (error.reason._tag === "ProviderUnavailable" && !error.reason.sent))

/** Shuts off what leaked, and every other key of the slot, before anything else is done. */
export const contain = (context: Context): Attempt => {
  const { abandon, find, id, isOurs, keys, limits, orphanOf, rotationId, shutOff, vault, write } = context

  const note = Effect.fnUntraced(function* (key: ApiKey | undefined, { strategy }: RotationRecord) {
    const before = key === undefined ? undefined : yield* Before.describe(context, key, strategy === "recreate")
    yield* write(vault.note(id, rotationId, { retiring: true, ...(before === undefined ? {} : { before }) }))
  })

  /** Each of the other keys of the slot: one that cannot be shut off does not keep the others alive. */
  const shutOffOthers = (slot: Slot, seen: boolean) =>
    Effect.all(
      [
        Effect.result(
          Effect.gen(function* () {
            const previous = Option.getOrUndefined(slot.previous)
            if (previous === undefined) return
            const { handle, ref, storedAt } = previous
            // Where the current key was seen just now, "not found" is true of this one.
            const off = (yield* shutOff(ref, storedAt)) || seen
            const left = off ? undefined : yield* orphanOf({ handle, ref: Option.some(ref), inert: false }, "unretired")
            yield* vault.dropPrevious(id, rotationId, left)
          })
        ),
        Effect.result(
          Effect.gen(function* () {
            const pending = Option.getOrUndefined(slot.pending)
            if (pending === undefined) return
            yield* shutOff(pending.ref, pending.storedAt)
            yield* abandon(pending)
          })
        )
      ],
      { concurrency: 1 }
    )

  return Effect.fnUntraced(function* (slot, rotation) {
    const { leaked } = rotation
    const whole = leaked === undefined || slot.current.handle === leaked
    let read: Option.Option<ApiKey> | undefined
    // What it was is read before it is shut off, or not at all: afterwards it shows what we made of it.
    const noted = whole && !rotation.retiring
    if (noted) {
      const seen = yield* Effect.exit(Effect.timeoutOption(find(slot.current.ref), "5 seconds"))
      read = Exit.isSuccess(seen) ? Option.getOrUndefined(seen.value) : undefined
      // Without it there is nothing to mint a successor from. For that, and for no more, the shutting off waits.
      if (read === undefined && rotation.attempts < 2) {
        const [error] = Exit.isFailure(seen) ? errorsOf(seen.cause) : []
        return wait(error?.reason._tag ?? "ProviderUnavailable", "1 second")
      }
      // Of a key that was not there there is nothing to remember.
      if (read === undefined || Option.isSome(read)) yield* note(Option.getOrUndefined(read ?? Option.none()), rotation)
    }
    const current = whole
      ? yield* Effect.result(
          // Nothing is said of a key that is gone already: that is what is wanted.
          Effect.catchIf(Effect.asVoid(keys.revoke(slot.current.ref)), isNotFound, () => Effect.void)
        )
      : Result.void
    const failed = [current, ...(yield* shutOffOthers(slot, read !== undefined && Option.isSome(read)))].find(
      Result.isFailure
    )
    if (failed !== undefined) {
      // What it is can be read again, where nothing was done to it.
      const untouched = noted && read === undefined && Result.isFailure(current) && changedNothing(current.failure)
      if (untouched && (yield* isOurs)) yield* write(vault.note(id, rotationId, { retiring: false }))
      return yield* failed.failure
    }
    if (read !== undefined && Option.isNone(read)) {
      // It is gone, or this credential is another account's, and is mended; at last a person is to look.
      const past = (yield* Clock.currentTimeMillis) - rotation.since >= limits.lateArrival
      return past ? ended("contained", "KeyNotFound") : wait("KeyNotFound", "5 seconds")
    }
    return whole ? nextOf(rotation) : goTo("sweep")
  })
}
