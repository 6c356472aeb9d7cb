import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { once } from "./support/everywhere.ts"
import { id, type Simulation } from "./support/simulate.ts"
import { names, worlds } from "./support/vendors.ts"

/** How long it is looked on while nothing may happen. */
const aWhile = "2 hours"

for (const name of names) {
  const other = name === "smtp2go" ? "voiceable" : "smtp2go"
  const wrong: ReadonlyArray<readonly [string, Effect.Effect<Pick<Simulation, "label" | "elsewhere">>]> = [
    ["another account of the vendor", Effect.succeed({ label: "other" })],
    ["another vendor", Effect.map(worlds[other], (elsewhere) => ({ elsewhere }))]
  ]
  for (const [whose, setup] of wrong) {
    describe(`F18: ${name}, under the layer of ${whose}`, () => {
      for (const kind of ["rotate", "replace"] as const) {
        it.effect(`${kind}: no request leaves`, () =>
          Effect.gen(function* () {
            const given = yield* setup
            const result = yield* once(name, () => ({
              ...given,
              kind,
              options: { watch: "1 minute" },
              within: "3 hours",
              program: (rotation) =>
                Effect.andThen(
                  // It may be refused at once, or wait: the account's layer can be mended while it does.
                  Effect.exit(
                    kind === "rotate"
                      ? rotation.start(id, { rotationId: "r1" })
                      : Effect.map(rotation.revokeAndReplace(id, { rotationId: "r1" }), ([first]) => first)
                  ),
                  Effect.sleep(aWhile)
                )
            }))
            assert.strictEqual(yield* result.world.requests, 0)
            if (given.elsewhere !== undefined) assert.strictEqual(yield* given.elsewhere.requests, 0)
            assert.isUndefined(Option.getOrUndefined(result.slot.rotation)?.outcome)
          })
        )
      }
    })
  }
  it.effect(`F18: ${name}: what a rotation left is not looked for under another account`, () =>
    Effect.gen(function* () {
      let sent = 0
      const result = yield* once(name, (world) => ({
        options: { watch: "1 minute" },
        // The first request is lost on its way, and the account's layer is another's when the next process begins.
        happen: (moment) => {
          const mint = moment.boundary.at === "request" && world.isMint(moment.boundary.request)
          if (moment.process === 0 && mint && moment.boundary.when === "before") return "lateStop"
          if (moment.process === 1 && moment.boundary.at === "request") sent++
          return undefined
        },
        labelOf: (process) => (process === 0 ? "main" : "other"),
        within: "3 hours",
        program: (rotation, process) =>
          process === 0 ? Effect.andThen(rotation.start(id, { rotationId: "r1" }), Effect.never) : Effect.sleep(aWhile)
      }))
      assert.strictEqual(sent, 0)
      assert.strictEqual(result.slot.intents.length, 1)
      assert.include([...result.problems], "WrongAccount")
    })
  )
}
