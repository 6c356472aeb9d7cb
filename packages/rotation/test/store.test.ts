import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { everywhere, isStore } from "./support/everywhere.ts"
import type { Process } from "./support/process.ts"
import { kinds, names } from "./support/vendors.ts"

const options = { lateArrival: "10 minutes", watch: "1 minute" } as const
const minutes = 60_000

for (const name of names) {
  for (const kind of kinds) {
    describe(`F5: ${name}, ${kind}`, () => {
      for (const when of ["before", "committed"] as const) {
        it.effect(`sampled writes fail once (${when === "before" ? "without effect" : "although it took place"})`, () =>
          everywhere(name, kind, {
            among: (passed) => isStore(passed) && passed.boundary.when === when,
            every: 12,
            setup: ({ number }) => ({ happen: (moment) => (moment.number === number ? "reset" : undefined) })
          })
        )
      }
      for (const [fault, long] of [
        ["partitioned", 20],
        ["deaf", 3]
      ] as const) {
        it.effect(`the vault fails for ${long} minutes (${fault}), from sampled writes on`, () =>
          everywhere(name, kind, {
            among: (passed) => isStore(passed) && passed.boundary.when === "before",
            every: 60,
            offset: long + fault.length,
            setup: ({ number }) => {
              let failing: { readonly self: Process; readonly until: number } | undefined
              return {
                options,
                meanwhile: ({ number: at, self, time }) =>
                  Effect.sync(() => {
                    if (at !== number || failing !== undefined) return
                    self[fault] = true
                    failing = { self, until: time + long * minutes }
                  }),
                tick: (time) => {
                  if (failing !== undefined && time >= failing.until) failing.self[fault] = false
                },
                lasting: "15 minutes"
              }
            }
          })
        )
      }
    })
    describe(`F3, F4: ${name}, ${kind}`, () => {
      // What it does after that is the same for a leaked key.
      if (kind === "rotate") {
        it.effect(
          "its writes of the mint (sampled) take place, and it hears nothing of it for 40 minutes: it does not shut off the key that another goes on with",
          () =>
            everywhere(name, kind, {
              every: 3,
              offset: 1,
              among: (passed) => isStore(passed) && passed.boundary.when === "before" && passed.step === "mint",
              setup: ({ number }) => {
                let deaf: Process | undefined
                return {
                  options,
                  tick: (time) => {
                    if (deaf !== undefined && time > 40 * minutes) deaf.deaf = false
                  },
                  happen: (moment) => {
                    if (moment.process !== 0 || moment.number !== number) return undefined
                    deaf = moment.self
                    deaf.deaf = true
                    return "relieve"
                  },
                  lasting: "60 minutes"
                }
              }
            })
        )
      }
      for (const heal of [4, 25]) {
        it.effect(
          `cut off from the vault (at sampled boundaries) while another takes over; back when that has passed ${heal}`,
          () =>
            everywhere(name, kind, {
              every: 75,
              offset: heal,
              setup: ({ number }) => {
                let cut: Process | undefined
                return {
                  options,
                  tick: (time) => {
                    if (cut !== undefined && time > 4 * minutes) cut.partitioned = false
                  },
                  happen: (moment) => {
                    if (moment.process === 0 && moment.number === number) {
                      cut = moment.self
                      cut.partitioned = true
                      return "relieve"
                    }
                    if (moment.process === 1 && moment.number === heal && cut !== undefined) cut.partitioned = false
                    return undefined
                  },
                  lasting: "15 minutes"
                }
              }
            })
        )
      }
    })
  }
}
