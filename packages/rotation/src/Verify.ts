/**
 * Whether a new key works: the program's own probe.
 *
 * @since 0.1.0
 */
import type { KeyRef } from "@effect-api-keys/core/ApiKey"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { SlotId } from "./VaultStore.ts"

/**
 * A key that is to be tried.
 *
 * @since 0.1.0
 * @category models
 */
export interface Candidate {
  /** The slot that it is for. */
  readonly id: SlotId
  readonly provider: string
  readonly handle: string
  readonly ref: KeyRef
  readonly secret: Redacted.Redacted<string>
}

/**
 * What a probe found: `accepted`, `rejected` (the vendor says that this is no key), or `unclear`, which is everything else:
 * no answer, a limit, a key that works and may not do just this.
 *
 * @since 0.1.0
 * @category models
 */
export type Verdict = "accepted" | "rejected" | "unclear"

/**
 * Tries a key against its vendor, without harm.
 *
 * **Details**
 *
 * The old key is tried first, as a control: where the probe does not accept that one it proves nothing, and the rotation
 * waits. A rotation goes on only when the new key is `accepted`; it gives the new key up when it is `rejected` for a minute; a
 * probe that fails, dies or takes more than 30 seconds is `unclear`.
 *
 * @since 0.1.0
 * @category models
 */
export type Verify<R = never> = (key: Candidate) => Effect.Effect<Verdict, unknown, R>
