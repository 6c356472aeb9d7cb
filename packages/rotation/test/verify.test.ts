import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Verdict } from "../src/Verify.ts"
import { once } from "./support/everywhere.ts"
import { assertSettled, id, type Simulation } from "./support/simulate.ts"
import { kinds, names } from "./support/vendors.ts"

/** A probe that answers as it is told: of the old key, and of each new one by its number. */
const probe = (
  tell: (about: {
    readonly old: boolean
    readonly candidate: number
    readonly time: number
  }) => Verdict | "dies" | "hangs" | "fails" | "truth"
): NonNullable<Simulation["verify"]> => {
  const known: Array<string> = []
  let old: string | undefined
  return (candidate, truth) =>
    Effect.flatMap(Clock.currentTimeMillis, (time) => {
      const secret = Redacted.value(candidate.secret)
      if (old === undefined && candidate.handle === "first") old = secret
      if (secret !== old && !known.includes(secret)) known.push(secret)
      const told = tell({ old: secret === old, candidate: known.indexOf(secret) + 1, time })
      switch (told) {
        case "truth":
          return truth
        case "dies":
          return Effect.die(new Error("a bug in the probe"))
        case "hangs":
          return Effect.never
        case "fails":
          return Effect.fail("no network")
        default:
          return Effect.succeed(told)
      }
    })
}

const minute = 60_000
const propagation = 10_000

for (const name of names) {
  for (const kind of kinds) {
    const inPlace = name === "jetemail"
    describe(`F6: ${name}, ${kind}`, () => {
      for (const verdict of ["unclear", "dies", "hangs", "fails"] as const) {
        it.effect(
          `a new key of which the probe cannot say anything is waited for, not given up (${verdict}: as 403, 429, 5xx)`,
          () =>
            Effect.gen(function* () {
              const result = yield* once(name, () => ({
                kind,
                verify: probe(({ old, time }) => (old || time > 30 * minute ? "truth" : verdict))
              }))
              assertSettled(result, result.world)
              assert.strictEqual(result.mints, 1)
              assert.include([...result.problems], "Unverified")
            })
        )
      }
      it.effect("a new key that is rejected while it may not be known everywhere yet is not given up", () =>
        Effect.gen(function* () {
          let since: number | undefined
          const result = yield* once(name, () => ({
            kind,
            verify: probe(({ old, time }) => {
              if (old) return "truth"
              since ??= time
              return time < since + propagation - 1000 ? "rejected" : "truth"
            })
          }))
          assertSettled(result, result.world)
          assert.strictEqual(result.mints, 1)
          assert.include([...result.problems], "Rejected")
        })
      )
      if (inPlace) {
        it.effect(
          "there is no way back in place: a key that is never accepted is the current one, and does not hold it up",
          () =>
            Effect.gen(function* () {
              const result = yield* once(name, () => ({ kind, verify: probe(() => "rejected") }))
              assertSettled(result, result.world)
              assert.strictEqual(result.mints, 1)
            })
        )
        return
      }
      it.effect("F8: one that is rejected for longer is given up, and another is minted", () =>
        Effect.gen(function* () {
          const result = yield* once(name, () => ({
            kind,
            verify: probe(({ candidate, old }) => (old || candidate > 2 ? "truth" : "rejected")),
            lasting: "10 minutes"
          }))
          assertSettled(result, result.world)
          assert.strictEqual(result.mints, 3)
        })
      )
      it.effect(
        "F8: after as many as it may mint it ends, the old key is as it was, or off where it leaked, and another rotation gets through",
        () =>
          Effect.gen(function* () {
            const world = yield* once(name, () => ({
              kind,
              options: { maxMints: 3, watch: "1 minute" },
              verify: probe(({ old }) => (old ? "truth" : "rejected")),
              lasting: "10 minutes"
            }))
            const rotation = Option.getOrThrow(world.slot.rotation)
            // A key that leaked was not left as it was.
            const outcome = kind === "rotate" ? "failed" : "contained"
            assert.deepInclude(rotation, { outcome, problem: "Rejected", mints: 3 })
            assert.strictEqual(world.mints, 3)
            assert.deepStrictEqual(world.slot.orphans, [])
            assert.strictEqual(Redacted.value(world.slot.current.ref.value), world.first.address)
            assert.deepStrictEqual(
              world.keys.filter(({ alive }) => alive).map(({ address }) => address),
              kind === "rotate" ? [world.first.address] : []
            )
          })
      )
      it.effect("F8: it starts again after a failure, and completes", () =>
        Effect.gen(function* () {
          const again = yield* once(name, () => ({
            kind,
            options: { maxMints: 1, watch: "1 minute" },
            verify: probe(({ candidate, old }) => (old || candidate > 1 ? "truth" : "rejected")),
            program: (rotation, _process, ended) =>
              kind === "rotate"
                ? rotation
                    .start(id, { rotationId: "r1" })
                    .pipe(
                      Effect.andThen(ended),
                      Effect.andThen(rotation.start(id, { rotationId: "r2" })),
                      Effect.andThen(Effect.sleep("10 minutes"))
                    )
                : rotation
                    .revokeAndReplace(id, { rotationId: "r1" })
                    .pipe(
                      Effect.andThen(ended),
                      Effect.andThen(rotation.revokeAndReplace(id, { rotationId: "r2" })),
                      Effect.andThen(Effect.sleep("10 minutes"))
                    )
          }))
          assertSettled(again, again.world)
        })
      )
      if (kind === "replace") return
      for (const verdict of ["rejected", "unclear", "dies"] as const) {
        it.effect(
          `where the probe does not accept the old key it proves nothing (${verdict}): the new one is neither believed nor given up`,
          () =>
            Effect.gen(function* () {
              const result = yield* once(name, () => ({
                kind,
                verify: probe(({ old, time }) => (time > 30 * minute ? "truth" : old ? verdict : "rejected"))
              }))
              assertSettled(result, result.world)
              assert.strictEqual(result.mints, 1)
              assert.include([...result.problems], verdict === "rejected" ? "ControlRejected" : "Unverified")
            })
        )
      }
    })
  }
}
