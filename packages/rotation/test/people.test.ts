import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { everywhere, type Judge } from "./support/everywhere.ts"
import type { Act } from "./support/simulate.ts"
import { kinds, names } from "./support/vendors.ts"

const acts: ReadonlyArray<Act> = ["disable", "remove", "narrow", "widen", "rename"]
const targets = ["current", "pending", "previous"] as const

/** It ended as documented, and what is live is in the books. That a person's will is done is an invariant. */
const judge: Judge = ({ labels, slot }) => {
  const story = labels.join("\n")
  const rotation = Option.getOrThrow(slot.rotation)
  if (rotation.overdue && rotation.problem === "Deleted") return
  const ends = rotation.kind === "rotate" ? ["completed", "superseded"] : ["completed", "superseded", "contained"]
  assert.include(ends, rotation.outcome, `${rotation.problem} ${story}`)
  assert.isTrue(Option.isNone(slot.pending), story)
  assert.isTrue(Option.isNone(slot.previous), story)
  assert.deepStrictEqual(slot.intents, [], story)
}

for (const name of names) {
  for (const kind of kinds) {
    describe(`people in the dashboard: ${name}, ${kind}`, () => {
      for (const target of targets) {
        if (name === "jetemail" && target !== "current") continue
        // In place, there is one more thing to be done to a key, and that is the same.
        const all: ReadonlyArray<Act> = name === "jetemail" ? ["rotate", ...acts] : acts
        for (const [first, offset] of [
          [0, 0],
          [3, 1]
        ] as const) {
          it.effect(
            `${all.join(", ")} the ${target} key: one of them at sampled boundaries from the ${offset + 1}. on`,
            () =>
              everywhere(name, kind, {
                among: (passed) => target === "current" || passed[target],
                every: 18,
                offset,
                setup: ({ number }, _world, index) => ({
                  options: { lateArrival: "10 minutes", watch: "1 minute" },
                  meanwhile: ({ act, number: at, process, slot }) => {
                    const what = all[(first + index) % all.length]
                    const key = target === "current" ? Option.some(slot.current) : slot[target]
                    return process === 0 && at === number && what !== undefined && Option.isSome(key)
                      ? act(what, Redacted.value(key.value.ref.value))
                      : Effect.void
                  },
                  lasting: "15 minutes",
                  // Of a request that may have been carried out, only a person can say that its key is gone.
                  mayWait: ({ problem }) => name === "jetemail" && problem === "Deleted"
                }),
                judge
              })
          )
        }
      }
      it.effect(
        "the old key is disabled, at sampled boundaries before the promotion: it is not brought back, nor by a successor",
        () =>
          everywhere(name, kind, {
            among: ({ step }) => ["begin", "contain", "mint", "activate", "verify", "promote"].includes(step),
            every: 18,
            setup: ({ number }) => ({
              options: { lateArrival: "10 minutes", watch: "1 minute" },
              meanwhile: ({ act, first, number: at, process }) =>
                process === 0 && at === number ? act("disable", Redacted.value(first.value)) : Effect.void,
              lasting: "15 minutes"
            }),
            judge
          })
      )
    })
  }
}
