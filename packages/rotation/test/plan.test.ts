import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Account } from "../src/Rotation.ts"
import type { RotationPlan } from "../src/RotationPlan.ts"
import { adopted, counting, hasEnded, id, until } from "./fixture.ts"

const kinds = ["rotate", "replace"] as const
const names = ["jetemail", "smtp2go", "voiceable"] as const

/** What a plan says will be called, in order. */
const callsOf = ({ steps }: RotationPlan): ReadonlyArray<string> =>
  steps.flatMap(({ calls, probes }) => [...calls, ...Array.from({ length: probes }, () => "probe")])

const untried = (account: Account): Account => ({ ...account, verify: "none" })

describe("a plan", () => {
  for (const name of names) {
    for (const kind of kinds) {
      for (const verified of [true, false]) {
        it.effect(
          `${name}, ${kind}${verified ? "" : ", untried"}: the calls are those of a rotation without faults`,
          () =>
            Effect.gen(function* () {
              const calls: Array<string> = []
              const count = counting(calls)
              const { events, rotation, world } = yield* adopted(
                name,
                {},
                {
                  account: (account) => count(verified ? account : untried(account))
                }
              )
              calls.length = 0
              const plan = yield* rotation.plan(id, { kind })
              assert.deepStrictEqual(calls, [], "something was asked of the vendor")
              if (kind === "rotate") yield* rotation.start(id)
              else yield* rotation.revokeAndReplace(id)
              yield* until(hasEnded(rotation), { step: "1 minute" })
              assert.deepStrictEqual(calls, callsOf(plan))
              assert.strictEqual(plan.calls, calls.filter((call) => call !== "probe").length)
              const tried = events.filter(({ event }) => event === "started").map(({ step }) => step)
              assert.deepStrictEqual(
                tried,
                plan.steps.map(({ step }) => step)
              )
              assert.strictEqual(yield* world.mints, 1)
            })
        )
      }
    }
  }

  it.effect("says how long no key works, and from where there is no way back", () =>
    Effect.gen(function* () {
      const seconds = (plan: RotationPlan) => Duration.toSeconds(plan.withoutWorkingKey)
      const given = { timeout: "10 seconds", takeover: "2 minutes", overlap: "3 hours" } as const
      const plans = yield* Effect.forEach(names, (name) =>
        Effect.gen(function* () {
          const { rotation } = yield* adopted(name, given)
          return { rotate: yield* rotation.plan(id), replace: yield* rotation.plan(id, { kind: "replace" }) }
        })
      )
      const [jetemail, smtp2go, voiceable] = plans
      if (jetemail === undefined || smtp2go === undefined || voiceable === undefined) return assert.fail()

      for (const plan of [jetemail.rotate, jetemail.replace]) {
        assert.strictEqual(plan.strategy, "in-place")
        assert.strictEqual(plan.pointOfNoReturn, "mint")
        assert.strictEqual(seconds(plan), 140)
        assert.isTrue(Duration.isZero(plan.overlap))
      }
      for (const plan of [smtp2go.rotate, voiceable.rotate]) {
        assert.strictEqual(plan.strategy, "successor")
        assert.strictEqual(plan.pointOfNoReturn, "retire")
        assert.strictEqual(seconds(plan), 0)
        assert.strictEqual(Duration.toHours(plan.overlap), 3)
      }
      assert.strictEqual(smtp2go.replace.strategy, "successor")
      assert.strictEqual(voiceable.replace.strategy, "recreate")
      for (const plan of [smtp2go.replace, voiceable.replace]) {
        assert.strictEqual(plan.pointOfNoReturn, "contain")
        assert.isTrue(Duration.isZero(plan.overlap))
      }
      // revoke, prepare, rotate, lost; recover, prepare, rotate, get, enable, probe.
      assert.strictEqual(seconds(smtp2go.replace), 120 + 10 * 9)
      assert.strictEqual(seconds(voiceable.replace), 120 + 10 * 8)
    })
  )

  it.effect("takes the overlap that it is given", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("smtp2go", { overlap: "3 hours" })
      const { overlap } = yield* rotation.plan(id, { overlap: "20 minutes" })
      assert.strictEqual(Duration.toMinutes(overlap), 20)
    })
  )

  it.effect("is made for slots that do not exist yet, and not for accounts that do not", () =>
    Effect.gen(function* () {
      const { rotation } = yield* adopted("smtp2go")
      assert.strictEqual((yield* rotation.plan({ account: "main", slot: "none" })).strategy, "successor")
      const error = yield* Effect.flip(rotation.plan({ account: "other", slot: "none" }))
      assert.strictEqual(error.problem, "UnknownAccount")
    })
  )
})
