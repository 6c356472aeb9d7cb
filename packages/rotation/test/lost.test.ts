import { describe, it } from "@effect/vitest"
import { everywhere, isMintDone } from "./support/everywhere.ts"
import { kinds, names } from "./support/vendors.ts"

for (const name of names) {
  for (const kind of kinds) {
    describe(`F2: ${name}, ${kind}`, () => {
      it.effect("the reply of each request is lost, and the process lives on", () =>
        everywhere(name, kind, {
          among: ({ boundary }) => boundary.at === "request" && boundary.when === "committed",
          setup: ({ number }) => ({ happen: (moment) => (moment.number === number ? "reset" : undefined) })
        })
      )
      it.effect("no reply comes, a 500 after the commit, half of the JSON: one of them for each request", () =>
        everywhere(name, kind, {
          among: ({ boundary }) => boundary.at === "request" && boundary.when === "committed",
          setup: ({ number }, _world, index) => {
            const lost = (["hang", "error", "cut"] as const)[index % 3]
            return { happen: (moment) => (moment.number === number ? lost : undefined) }
          }
        })
      )
      it.effect("each request is lost before the vendor has it: broken off, never answered, refused with a 500", () =>
        everywhere(name, kind, {
          among: ({ boundary }) => boundary.at === "request" && boundary.when === "before",
          setup: ({ number }, _world, index) => {
            const lost = (["reset", "hang", "error"] as const)[index % 3]
            return { happen: (moment) => (moment.number === number ? lost : undefined) }
          }
        })
      )
      for (const lost of ["hang", "error", "cut"] as const) {
        it.effect(`the reply of the mint is lost (${lost})`, () =>
          everywhere(name, kind, {
            among: isMintDone,
            setup: ({ number }) => ({ happen: (moment) => (moment.number === number ? lost : undefined) })
          })
        )
      }
    })
  }
}
