import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { everywhere, isMintDone, once } from "./support/everywhere.ts"
import { assertSettled } from "./support/simulate.ts"
import { kinds, names } from "./support/vendors.ts"

for (const name of names) {
  for (const kind of kinds) {
    describe(`F2: ${name}, ${kind}`, () => {
      it.effect("the reply of a request (sampled) is lost, and the process lives on", () =>
        everywhere(name, kind, {
          among: ({ boundary }) => boundary.at === "request" && boundary.when === "committed",
          every: 4,
          setup: ({ number }) => ({ happen: (moment) => (moment.number === number ? "reset" : undefined) })
        })
      )
      it.effect(
        "no reply comes, a 500 after the commit, half of the JSON: one of them for each of sampled requests",
        () =>
          everywhere(name, kind, {
            among: ({ boundary }) => boundary.at === "request" && boundary.when === "committed",
            every: 4,
            setup: ({ number }, _world, index) => {
              const lost = (["hang", "error", "cut"] as const)[index % 3]
              return { happen: (moment) => (moment.number === number ? lost : undefined) }
            }
          })
      )
      it.effect(
        "a request (sampled) is lost before the vendor has it: broken off, never answered, refused with a 500",
        () =>
          everywhere(name, kind, {
            among: ({ boundary }) => boundary.at === "request" && boundary.when === "before",
            every: 4,
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

describe("F2: jetemail, whose handles are hashed with the manager's credential", () => {
  for (const kind of kinds) {
    for (const lost of ["stop", "lateStop"] as const) {
      it.effect(
        `${kind}: the reply of the mint is lost (${lost}), and the next process has another credential: the token is found by the key itself`,
        () =>
          Effect.gen(function* () {
            let arrived = 0
            const result = yield* once("jetemail", (world) => ({
              kind,
              options: { lateArrival: "10 minutes", watch: "1 minute" },
              handleKeyOf: (process) => `api_test_credential_${process}`,
              happen: ({ boundary, process }) =>
                process === 0 &&
                boundary.at === "request" &&
                boundary.when === (lost === "stop" ? "committed" : "before") &&
                world.isMint(boundary.request)
                  ? lost
                  : undefined,
              // It arrives after the next process has looked for it, and before it has sent it again.
              arrive: ({ boundary, process }) =>
                process === 1 &&
                boundary.at === "request" &&
                boundary.when === "before" &&
                world.isMint(boundary.request) &&
                ++arrived === 1,
              lasting: "15 minutes"
            }))
            assertSettled(result, result.world)
          })
      )
    }
  }
})
