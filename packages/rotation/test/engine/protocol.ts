/** What a test asks of `program.ts`, and what that answers. */
import type { Settings } from "../../src/RotationEngine.ts"

export interface Payload {
  readonly id: string
  /** How long its durable clock runs; none at 0. */
  readonly waitMs: number
  readonly end: "well" | "error" | "defect"
  readonly text: string
}

export interface Program {
  readonly workflow: string
  readonly store:
    | { readonly kind: "file"; readonly path: string }
    /** At port 0 it runs nothing itself. */
    | { readonly kind: "postgres"; readonly url: string; readonly port: number }
  readonly prefix?: string | undefined
  /** Durations in milliseconds, for they travel as JSON. */
  readonly settings?: Partial<Settings> | undefined
  /** In which activity to stand still, and for how long. */
  readonly hold?: { readonly step: string; readonly ms: number } | undefined
  /** Done one after the other. `poll` waits until there is something to tell: an end, or a suspension. */
  readonly tasks: ReadonlyArray<{ readonly ask: "execute" | "start" | "poll"; readonly payload: Payload }>
}

export type Said =
  | { readonly said: "ready"; readonly sinceStartMs: number }
  | { readonly said: "refused"; readonly tag: string; readonly text: string }
  | { readonly said: "begin" | "end"; readonly step: string; readonly id: string; readonly attempt: number }
  | { readonly said: "executed" | "polled"; readonly id: string; readonly outcome: string }
  | { readonly said: "log"; readonly level: string; readonly text: string }
