import { describe, it } from "@effect/vitest"
import { everywhere } from "./support/everywhere.ts"
import { kinds, names } from "./support/vendors.ts"

for (const name of names) {
  for (const kind of kinds) {
    describe(`F13: ${name}, ${kind}`, () => {
      it.effect("interrupted at sampled boundaries, its layers closed, it goes on in another process", () =>
        everywhere(name, kind, {
          every: 6,
          setup: ({ number }) => ({
            options: { lateArrival: "10 minutes" },
            happen: (moment) => (moment.process === 0 && moment.number === number ? "interrupt" : undefined)
          })
        })
      )
    })
  }
}
