import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { everywhere, type Judge } from "./support/everywhere.ts"
import { assertSettled, id } from "./support/simulate.ts"
import { names } from "./support/vendors.ts"

const options = { lateArrival: "10 minutes", watch: "1 minute" } as const

/** What is left: nothing of the leaked key, one key that works, and books that are in order. */
const replaced: Judge = (result, world) => {
  assertSettled(result, world)
  assert.isFalse(result.keys.some(({ address, alive }) => alive && address === result.first.address))
}

for (const name of names) {
  describe(`revokeAndReplace while a rotation is under way: ${name}`, () => {
    it.effect(
      "at sampled boundaries it takes over, and the other, which stood still there, finds nothing left to do",
      () =>
        everywhere(name, "rotate", {
          every: 30,
          setup: ({ number }) => ({
            options,
            happen: (moment) => (moment.process === 0 && moment.number === number ? "pause" : undefined),
            program: (rotation, process, ended) =>
              process === 0
                ? Effect.andThen(rotation.start(id, { rotationId: "r1" }), ended)
                : Effect.andThen(rotation.revokeAndReplace(id, { rotationId: "r2" }), ended),
            standstill: "5 minutes",
            lasting: "15 minutes"
          }),
          judge: replaced
        })
    )
    it.effect("at sampled boundaries of a process that was killed there", () =>
      everywhere(name, "rotate", {
        every: 30,
        setup: ({ number }) => ({
          options,
          happen: (moment) => (moment.process === 0 && moment.number === number ? "stop" : undefined),
          program: (rotation, process, ended) =>
            process === 0
              ? Effect.andThen(rotation.start(id, { rotationId: "r1" }), ended)
              : Effect.andThen(rotation.revokeAndReplace(id, { rotationId: "r2" }), ended),
          lasting: "15 minutes"
        }),
        judge: replaced
      })
    )
    for (const role of ["current", "pending", "previous"] as const) {
      if (name === "jetemail" && role !== "current") continue
      it.effect(`by the leaked string of the ${role} key, at sampled boundaries that have one`, () =>
        everywhere(name, "rotate", {
          among: (passed) => role === "current" || passed[role],
          every: 30,
          setup: ({ number }) => {
            let leaked: Redacted.Redacted<string> | undefined
            return {
              options,
              happen: (moment) => (moment.process === 0 && moment.number === number ? "pause" : undefined),
              meanwhile: ({ number: at, process, slot }) =>
                Effect.sync(() => {
                  if (process !== 0 || at !== number) return
                  const key = role === "current" ? Option.some(slot.current) : slot[role]
                  leaked = Option.getOrUndefined(Option.flatMap(key, ({ secret }) => secret))
                }),
              program: (rotation, process, ended) =>
                process === 0 || leaked === undefined
                  ? Effect.andThen(rotation.start(id, { rotationId: "r1" }), ended)
                  : Effect.andThen(rotation.revokeAndReplace(leaked, { rotationId: "r2" }), ended),
              standstill: "5 minutes",
              lasting: "15 minutes"
            }
          },
          judge: (result, world) => {
            const last = Option.getOrThrow(result.slot.rotation)
            // A key that is not the one to use is shut off, and need not be replaced.
            assertSettled(
              result,
              world,
              last.kind === "replace" && last.promotedAt === undefined ? "contained" : "completed"
            )
          }
        })
      )
    }
  })
}
