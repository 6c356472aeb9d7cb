import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { sample } from "./support/everywhere.ts"
import { assertSettled, simulate } from "./support/simulate.ts"
import { kinds, names, worlds } from "./support/vendors.ts"

for (const name of names) {
  for (const kind of kinds) {
    describe(`F1: ${name}, ${kind}`, () => {
      // In place, and after the leaked key is off, the steps are those of any rotation.
      const isChosen = sample(kind === "rotate" ? 1 : 5)
      const which = kind === "rotate" ? "every boundary" : "every fifth boundary"
      it.effect(`killed at ${which}, it goes on to its end in another process`, () =>
        Effect.gen(function* () {
          const whole = yield* Effect.flatMap(worlds[name], (world) => simulate({ world, kind }))
          const [boundaries = 0] = whole.boundaries
          const every = Array.from({ length: boundaries }, (_, index) => index + 1)
          for (const at of every.filter(isChosen)) {
            const world = yield* worlds[name]
            const result = yield* simulate({
              world,
              kind,
              happen: ({ number, process }) => (process === 0 && number === at ? "stop" : undefined)
            }).pipe(Effect.provide(TestClock.layer()))
            assertSettled(result, world)
          }
        })
      )
    })
  }
}
