import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { everywhere, once } from "./support/everywhere.ts"
import { assertSettled, type Moment, type Simulation } from "./support/simulate.ts"
import { kinds, names, type World } from "./support/vendors.ts"

const options = { lateArrival: "10 minutes", watch: "1 minute" } as const
const minutes = 60_000

const is =
  (when: "before" | "committed", of: (world: World) => World["isMint"]) =>
  (world: World, { boundary }: Moment) =>
    boundary.at === "request" && boundary.when === when && of(world)(boundary.request)

const mintDone = is("committed", ({ isMint }) => isMint)
const listed = is("committed", ({ isList }) => isList)

/** The reply of the first mint is lost; then what others do. */
const lostMint = (
  world: World,
  also: { readonly happen?: Simulation["happen"]; readonly after?: (moment: Moment) => Effect.Effect<void> } = {}
): Pick<Simulation, "happen" | "meanwhile"> => {
  let lost = false
  return {
    meanwhile: (moment) =>
      Effect.suspend(() => {
        if (lost || !mintDone(world, moment)) return Effect.void
        return also.after?.(moment) ?? Effect.void
      }),
    happen: (moment) => {
      if (!lost && mintDone(world, moment)) {
        lost = true
        return "reset"
      }
      return also.happen?.(moment)
    }
  }
}

for (const name of names) {
  for (const kind of kinds) {
    describe(`F11: ${name}, ${kind}`, () => {
      for (const times of [1, 2, 4, 9]) {
        it.effect(`after a lost mint the list is as it was before, ${times} times`, () =>
          Effect.gen(function* () {
            let stale = 0
            const result = yield* once(name, (world) => {
              const setup = lostMint(world, {
                happen: (moment) => {
                  if (!listed(world, moment) || stale >= times || moment.time > 8 * minutes) return undefined
                  stale++
                  return "stale"
                }
              })
              return { kind, options, ...setup, lasting: "15 minutes" }
            })
            assertSettled(result, result.world)
          })
        )
      }
      it.effect(
        "after a lost mint someone gives the new key another name: it cannot be told any more, and nothing is guessed",
        () =>
          Effect.gen(function* () {
            const result = yield* once(name, (world) => ({
              kind,
              options,
              ...lostMint(world, {
                after: ({ act }) =>
                  Effect.flatMap(world.keys, (keys) => {
                    const found = keys.at(-1)
                    return found === undefined ? Effect.void : act("rename", found.address)
                  })
              }),
              lasting: "15 minutes"
            }))
            assert.strictEqual(Option.getOrThrow(result.slot.rotation).outcome, "completed")
            assert.deepStrictEqual(result.slot.intents, [])
            // In place, the name plays no part.
            assert.strictEqual(result.keys.filter(({ name: called }) => called === "renamed").length, 1)
          })
      )
      it.effect(
        "after a lost mint someone makes another key of the same name: neither is taken, and a person is asked",
        () =>
          Effect.gen(function* () {
            let twin: string | undefined
            const result = yield* once(name, (world) => ({
              kind,
              options,
              ...lostMint(world, {
                after: ({ add }) =>
                  Effect.gen(function* () {
                    const found = (yield* world.keys).at(-1)
                    if (found !== undefined) twin = yield* add(found.name)
                  })
              }),
              lasting: "15 minutes"
            }))
            assert.strictEqual(Option.getOrThrow(result.slot.rotation).outcome, "completed")
            assert.isTrue(result.keys.some(({ address }) => address === twin))
            assert.strictEqual(result.slot.intents.length, name === "jetemail" ? 0 : 1)
          })
      )
    })
  }
}

describe("F11: jetemail's list", () => {
  for (const kind of kinds) {
    for (const [what, set] of [
      ["is masked", (world: World, on: boolean) => world.setMasked?.(on)],
      ["has its older format, without names and ids", (world: World, on: boolean) => world.setLegacy?.(on)]
    ] as const) {
      it.effect(`${kind}: from sampled boundaries on it ${what} for an hour, and the mint's reply may be lost`, () =>
        Effect.gen(function* () {
          for (const lost of [false, true]) {
            yield* everywhere("jetemail", kind, {
              every: 30,
              offset: lost ? 1 : 0,
              setup: ({ number }, world) => {
                let until = Number.POSITIVE_INFINITY
                const setup = lost ? lostMint(world) : {}
                return {
                  options,
                  ...(setup.happen === undefined ? {} : { happen: setup.happen }),
                  meanwhile: (moment) =>
                    Effect.suspend(() => {
                      if (moment.number === number) until = moment.time + 60 * minutes
                      return set(world, moment.number >= number && moment.time < until) ?? Effect.void
                    }),
                  // A masked list is read again and again, and each time something happens.
                  lasting: "5 minutes"
                }
              },
              judge: (result, world) => {
                const { outcome, problem } = Option.getOrThrow(result.slot.rotation)
                if (outcome === "completed") return assertSettled(result, world)
                // Refused before anything was sent, or the leaked key was at least shut off.
                assert.include(["UnexpectedResponse", "KeyNotFound"], problem)
                assert.strictEqual(result.mints, 0)
              }
            })
          }
        })
      )
    }
  }
})
