import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once, sample } from "./support/everywhere.ts"
import type { Happening } from "./support/process.ts"
import { assertSettled } from "./support/simulate.ts"
import { kinds, names } from "./support/vendors.ts"

const tenMinutes = 600_000

const options = { lateArrival: tenMinutes, watch: "1 minute" } as const

for (const name of names) {
  for (const kind of kinds) {
    describe(`F2: ${name}, ${kind}`, () => {
      for (const lost of ["late", "lateStop"] as const satisfies ReadonlyArray<Happening>) {
        it.effect(
          `the mint arrives later, at sampled boundaries from there (${lost === "late" ? "the process lives on" : "another goes on"})`,
          () =>
            Effect.gen(function* () {
              let sent = Number.POSITIVE_INFINITY
              // How many boundaries there are after it was sent.
              const whole = yield* once(name, (world) => ({
                kind,
                happen: ({ boundary, process, sequence }) => {
                  if (sent < sequence || process > 0) return undefined
                  const mint = boundary.at === "request" && boundary.when === "before" && world.isMint(boundary.request)
                  if (!mint) return undefined
                  sent = sequence
                  return lost
                },
                options
              }))
              const later = whole.passed.flatMap(({ time }, index) =>
                index >= sent && time < tenMinutes ? [index + 1] : []
              )
              for (const arrival of later.filter(sample(18, lost.length))) {
                yield* once(name, () => ({
                  kind,
                  happen: ({ sequence }) => (sequence === sent ? lost : undefined),
                  arrive: ({ sequence }) => sequence === arrival,
                  options,
                  lasting: "15 minutes"
                })).pipe(
                  Effect.tap((result) => Effect.sync(() => assertSettled(result, result.world))),
                  Effect.catchDefect((defect) => Effect.die(new Error(`arrives at ${arrival}: ${defect}`)))
                )
              }
            })
        )
      }
    })
  }
}
