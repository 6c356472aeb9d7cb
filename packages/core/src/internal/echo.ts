import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"
import type { KeyRecord } from "../ApiKeyDriver.ts"
import { Restriction, type Restrictions } from "../Restrictions.ts"
import { compareRestriction, type Difference, isUnrestricted } from "./compare.ts"

/** How each field that was asked for came back. */
export interface Echo {
  readonly applied: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  /** Asked for and not shown: neither proven nor disproven. */
  readonly unseen: ReadonlyArray<string>
}

/** Holds what a record shows against what was asked. */
export const compareEcho = (
  asked: { readonly name?: string; readonly restrictions: Partial<Restrictions>; readonly options?: unknown },
  shown: KeyRecord
): Echo => {
  const echo = { applied: [] as string[], missing: [] as string[], unseen: [] as string[] }
  const unreadable = new Set(shown.unreadable)
  const sort = (field: string, difference: Difference | undefined, open = false) => {
    // What is shown and cannot be read is not shown to be narrow.
    const seen = difference ?? (unreadable.has(field) && !open ? "other" : undefined)
    echo[seen === undefined ? "unseen" : seen === "equal" ? "applied" : "missing"].push(field)
  }
  if (asked.name !== undefined) {
    sort("name", shown.name === undefined ? undefined : shown.name === asked.name ? "equal" : "other")
  }
  const compareOne = <K extends Restriction>(restriction: K) => {
    const wanted = asked.restrictions[restriction]
    const observed = shown.restrictions[restriction]
    if (wanted !== undefined) {
      const difference = observed === undefined ? undefined : compareRestriction(restriction, wanted, observed)
      sort(restriction, difference, isUnrestricted(wanted))
    }
  }
  Restriction.literals.forEach(compareOne)
  if (Predicate.isObject(asked.options)) {
    for (const [key, wanted] of Object.entries(asked.options)) {
      const observed = shown.options?.[key]
      sort(`options.${key}`, observed === undefined ? undefined : Equal.equals(wanted, observed) ? "equal" : "other")
    }
  }
  return echo
}
