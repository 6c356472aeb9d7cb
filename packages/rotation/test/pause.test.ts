import { describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import { everywhere, isMint } from "./support/everywhere.ts"
import { kinds, names } from "./support/vendors.ts"

for (const name of names) {
  for (const kind of kinds) {
    describe(`F3, F4: ${name}, ${kind}`, () => {
      it.effect(
        "one stands still (at sampled boundaries), another goes on until it looks for lost mints, and the first goes on from there",
        () =>
          everywhere(name, kind, {
            every: 30,
            setup: ({ number }) => ({
              options: { overlap: "1 second", lateArrival: "10 minutes", watch: "1 minute" },
              happen: (moment) =>
                (moment.process === 0 && moment.number === number) ||
                (moment.process === 1 && Option.exists(moment.slot.rotation, ({ step }) => step === "sweep"))
                  ? "pause"
                  : undefined,
              lasting: "15 minutes"
            })
          })
      )
      it.effect(
        "one stands still (at sampled boundaries, but not at that of the mint) until another has come to the end",
        () =>
          everywhere(name, kind, {
            every: 45,
            among: ({ boundary }, index, all) => {
              const next = boundary.when === "before" ? boundary : all[index + 1]?.boundary
              return !(next?.at === "request" && isMint(next.request))
            },
            setup: ({ number }) => ({
              options: { watch: "1 minute" },
              happen: (moment) => (moment.process === 0 && moment.number === number ? "pause" : undefined),
              lasting: "15 minutes"
            })
          })
      )
      for (const steps of [3, 17]) {
        it.effect(
          `one stands still (at sampled boundaries), another for its first ${steps}, and the first goes on beside it`,
          () =>
            everywhere(name, kind, {
              every: 60,
              offset: steps,
              setup: ({ number }) => ({
                options: { lateArrival: "10 minutes", watch: "1 minute" },
                standstill: "5 minutes",
                happen: (moment) =>
                  (moment.process === 0 && moment.number === number) ||
                  (moment.process === 1 && moment.number === steps)
                    ? "pause"
                    : undefined,
                lasting: "15 minutes"
              })
            })
        )
      }
    })
  }
}
