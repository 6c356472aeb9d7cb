import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { KeyVault } from "../KeyVault.ts"
import type { Attention } from "../Rotation.ts"
import type { RotationError } from "../RotationError.ts"
import { isStopped, type Slot } from "../Slot.ts"
import type { VaultError } from "../VaultError.ts"
import type { SlotFilter } from "../VaultStore.ts"
import * as Attempt from "./attempt.ts"
import * as Failure from "./failure.ts"
import { isEnded } from "./transitions.ts"

/** What in a slot waits for a person; no reasons where nothing does. */
const attentionTo = (found: Result.Result<Slot, VaultError>, limits: Attempt.Limits, now: number): Attention => {
  if (Result.isFailure(found)) {
    const { account = "", slot = "" } = found.failure
    return { account, slot, reasons: ["unreadable"], rotation: Option.none(), orphans: [], intents: [] }
  }
  const { account, intents, orphans, rotation, slot } = found.success
  const running = Option.filter(rotation, (last) => !isEnded(last))
  const overdue = Option.exists(running, (last) => last.overdue || Attempt.isLate(last, limits, now))
  const lost = intents.some(({ recordedAt, state }) => state === "open" && now >= recordedAt + limits.lateArrival)
  return {
    account,
    slot,
    rotation,
    orphans,
    intents,
    reasons: [
      ...(orphans.length > 0 ? (["orphan"] as const) : []),
      ...(Option.isNone(running) && lost ? (["intent"] as const) : []),
      ...(overdue ? (["overdue"] as const) : []),
      ...(isStopped(found.success) ? (["stopped"] as const) : [])
    ]
  }
}

/** The slots in which something waits for a person. */
export const find = (
  vault: KeyVault["Service"],
  limits: Attempt.Limits,
  { account }: Pick<SlotFilter, "account"> = {}
): Stream.Stream<Attention, RotationError> =>
  Stream.unwrap(
    Effect.map(Clock.currentTimeMillis, (now) =>
      vault.scan({ account, open: true }).pipe(
        Stream.map((found) => attentionTo(found, limits, now)),
        Stream.filter(({ reasons }) => reasons.length > 0),
        Stream.mapError((error) => Failure.make("attention", error.problem))
      )
    )
  )
