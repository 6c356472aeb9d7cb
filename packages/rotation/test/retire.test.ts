import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { once } from "./support/everywhere.ts"
import { assertSettled, id, type Moment, type Simulation } from "./support/simulate.ts"
import { names, type World } from "./support/vendors.ts"

const hour = 3_600_000

const isRetiring = ({ slot }: Moment): boolean => Option.exists(slot.rotation, ({ step }) => step === "retire")

const isOverdue = (event: unknown): boolean => Predicate.isReadonlyObject(event) && event.event === "overdue"

interface Trouble {
  readonly what: string
  readonly setup: (world: World) => Pick<Simulation, "happen" | "meanwhile" | "tick">
}

const troubles: ReadonlyArray<Trouble> = [
  {
    what: "the vendor answers every attempt with a 500",
    setup: (world) => ({
      happen: (moment) =>
        moment.boundary.at === "request" &&
        moment.boundary.when === "before" &&
        isRetiring(moment) &&
        !world.isRead(moment.boundary.request) &&
        moment.time < 5 * hour
          ? "error"
          : undefined
    })
  },
  {
    what: "the vendor answers everything with a 404, as it does to a credential of another account",
    setup: () => ({
      happen: (moment) =>
        moment.boundary.at === "request" &&
        moment.boundary.when === "before" &&
        isRetiring(moment) &&
        moment.time < 5 * hour
          ? "missing"
          : undefined
    })
  },
  {
    what: "the manager's own credential stops working, and is mended",
    setup: (world) => ({
      meanwhile: (moment) => (isRetiring(moment) ? world.setBroken(moment.time < 5 * hour) : Effect.void)
    })
  }
]

for (const name of names) {
  if (name === "jetemail") continue
  describe(`F7: ${name}`, () => {
    for (const { setup, what } of troubles) {
      for (const killed of what === troubles[0]?.what ? [false, true] : [false]) {
        it.effect(
          `the old key cannot be shut off for five hours: ${what}${killed ? "; and the process is killed each hour" : ""}`,
          () =>
            Effect.gen(function* () {
              let kills = 0
              const result = yield* once(name, (world) => {
                const trouble = setup(world)
                return {
                  ...trouble,
                  happen: (moment) => {
                    if (killed && isRetiring(moment) && moment.time > (kills + 1) * hour && kills < 5) {
                      kills++
                      return "stop"
                    }
                    return trouble.happen?.(moment)
                  },
                  within: "12 hours"
                }
              })
              assertSettled(result, result.world)
              assert.strictEqual(kills, killed ? 5 : 0)
              assert.isTrue(result.said.some(isOverdue))
            })
        )
      }
    }
    it.effect("not found, where the key that replaced it is: it is done", () =>
      Effect.gen(function* () {
        let deleted = false
        const result = yield* once(name, (world) => ({
          // After we may have shut it off ourselves.
          meanwhile: (moment) => {
            const due =
              !deleted && isRetiring(moment) && Option.exists(moment.slot.rotation, ({ retiring }) => retiring)
            if (!due) return Effect.void
            deleted = true
            return Effect.flatMap(world.keys, ([key]) =>
              key === undefined ? Effect.void : world.people.remove(key.address)
            )
          }
        }))
        assertSettled(result, result.world)
      })
    )
  })
}

describe("F9", () => {
  for (const name of names) {
    it.effect(`${name}: a second rotation is refused while one is under way, and gets through after it`, () =>
      Effect.gen(function* () {
        const problems: Array<string> = []
        const result = yield* once(name, () => ({
          options: { watch: "1 minute" },
          program: (rotation, _process, ended) =>
            Effect.gen(function* () {
              yield* rotation.start(id, { rotationId: "r1" })
              const early = Effect.flip(rotation.start(id, { rotationId: "r2" })).pipe(
                Effect.tap(({ problem }) => Effect.sync(() => problems.push(problem))),
                Effect.orDie
              )
              yield* early
              yield* Effect.sleep("10 seconds")
              if (name !== "jetemail") yield* early
              yield* ended
              yield* rotation.start(id, { rotationId: "r2" })
              yield* ended
              yield* Effect.sleep("2 minutes")
            })
        }))
        assertSettled(result, result.world)
        assert.strictEqual(result.mints, 2)
        assert.deepStrictEqual([...new Set(problems)], ["InProgress"])
        assert.strictEqual(Option.getOrThrow(result.slot.rotation).id, "r2")
      })
    )
    it.effect(`${name}: a key that is off is not brought back by a rotation`, () =>
      Effect.gen(function* () {
        const result = yield* once(name, () => ({
          meanwhile: ({ act, sequence, slot }) =>
            sequence === 1 ? act("disable", Redacted.value(slot.current.ref.value)) : Effect.void,
          lasting: "10 minutes"
        }))
        assert.deepStrictEqual(
          result.keys.filter(({ alive }) => alive),
          []
        )
        const { outcome, problem } = Option.getOrThrow(result.slot.rotation)
        assert.deepStrictEqual(
          [outcome, problem],
          // At Voiceable, to be off is to be gone.
          ["superseded", name === "voiceable" ? "Deleted" : "Disabled"]
        )
      })
    )
  }
})
