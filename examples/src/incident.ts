/**
 * A leaked string: the vault knows whose it is, it is shut off before anything else, and replaced. Then: what is left for a
 * person to do.
 *
 * Watch out: the string goes nowhere else, not into a log, a ticket or a command line. Consumers are without a key from the
 * shutting off until they have read the new one; there is no overlap for a thief.
 */
import { ApiKeyService } from "@effect-api-keys/core"
import { type Attention, Rotation, RotationError } from "@effect-api-keys/rotation"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

/** What became of one slot that held the string. */
export interface Replaced {
  readonly slot: string
  /** `completed`: consumers find another key in the vault. `contained`: it is off, and a person must make another. */
  readonly outcome: string
  readonly handle: string
}

/**
 * Shuts off and replaces every key that this string opens. `incident` is your name for the case: given again while that is
 * under way, after a crash or by a colleague, it joins what was begun.
 */
export const replace = Effect.fnUntraced(function* (leaked: Redacted.Redacted<string>, incident: string) {
  const rotation = yield* Rotation
  const begun = yield* rotation.revokeAndReplace(leaked, { rotationId: incident })
  return yield* Effect.forEach(
    begun,
    ({ slotId }) =>
      Effect.map(
        rotation.awaitEnd(slotId),
        ({ handle, outcome = "open" }): Replaced => ({ slot: slotId.slot, outcome, handle })
      ),
    { concurrency: "unbounded" }
  )
})

/** A string that no slot holds may still be a key of this account: where the secret is the address, it is shut off too. */
export const replaceOrRevoke = (leaked: Redacted.Redacted<string>, incident: string) =>
  replace(leaked, incident).pipe(
    Effect.catchIf(
      RotationError.is("NoMatch"),
      Effect.fnUntraced(function* () {
        const keys = yield* ApiKeyService.can("revoke")
        yield* keys.revoke(keys.ref(leaked))
        return []
      })
    )
  )

const tasksOf = ({ intents, orphans, reasons, rotation, slot }: Attention): ReadonlyArray<string> => {
  const tasks: { readonly [R in Attention["reasons"][number]]: ReadonlyArray<string> } = {
    orphan: orphans.map(({ handle, inert, ref }) =>
      Option.isSome(ref)
        ? `settle ${handle}, which shuts it off`
        : `remove ${handle} in the vendor's dashboard (it is ${inert ? "switched off" : "LIVE"}), and settle it`
    ),
    intent: intents.map(({ intent }) => `look for ${intent.marker} in the vendor's list, and settle it`),
    overdue: Option.toArray(rotation).map(
      ({ problem, step }) => `${step} is overdue: ${problem ?? "nobody goes on with it"}`
    ),
    stopped: Option.toArray(rotation).map(
      ({ outcome, problem }) =>
        `${outcome} (${problem ?? "nothing was said"}): rotate again, or adopt the key that is right`
    ),
    unreadable: ["it cannot be opened: is the sealing key there that it was written with?"]
  }
  return reasons.flatMap((reason) => tasks[reason]).map((task) => `${slot}: ${task}`)
}

/** What waits for a person, a line each. Run it daily, and after every incident. */
export const tasks = Effect.gen(function* () {
  const rotation = yield* Rotation
  const slots = yield* Stream.runCollect(rotation.attention())
  return slots.flatMap(tasksOf)
})
