import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { once } from "./support/everywhere.ts"
import { finder, formsOf, print, type Simulation } from "./support/simulate.ts"
import { kinds, names } from "./support/vendors.ts"

const planted = `api_test_"planted"/+secret\\`

describe("F14", () => {
  it("what looks for secrets finds them: as they are, escaped, in a URL, in hex, in base64 wherever they begin", () => {
    const find = finder()
    const carriers = [
      ...formsOf(planted),
      JSON.stringify({ deep: [planted] }),
      `https://vendor.example/?key=${encodeURIComponent(planted)}`,
      ...["", "a", "ab", "Bearer "].flatMap((before) => [
        Buffer.from(`${before}${planted}:x`).toString("base64"),
        Buffer.from(`${before}${planted}:x`).toString("base64url")
      ]),
      Buffer.from(planted).toString("hex"),
      print(new Error("outer", { cause: new Error(planted) })),
      print(new Map([["key", { hidden: planted }]])),
      print(Object.defineProperty({}, "hidden", { value: planted, enumerable: false }))
    ]
    for (const text of carriers) assert.isTrue(find(text, [planted]), text)
    assert.isFalse(find(print({ text: "api_test_", other: Redacted.make(planted) }), [planted]))
  })

  for (const name of names) {
    it.effect(`${name}: one that is logged would be found`, () =>
      Effect.gen(function* () {
        const found = yield* Effect.exit(
          once(name, () => ({
            verify: (candidate) =>
              Effect.as(
                Effect.logInfo(Buffer.from(`x${Redacted.value(candidate.secret)}`).toString("base64")),
                "accepted"
              )
          }))
        )
        assert.include(print(found), "invariant 10")
      })
    )
    for (const kind of kinds) {
      const leaks: ReadonlyArray<readonly [string, NonNullable<Exclude<Simulation["verify"], "none">>]> = [
        ["fails with the key", (candidate) => Effect.fail(Redacted.value(candidate.secret))],
        ["dies of an error that holds the key", (candidate) => Effect.die(new Error(Redacted.value(candidate.secret)))],
        [
          "throws an error that holds the key",
          (candidate) => {
            throw new Error(Redacted.value(candidate.secret))
          }
        ]
      ]
      for (const [what, leak] of leaks) {
        it.effect(`${name}, ${kind}: of a probe that ${what} nothing is written or said`, () =>
          Effect.gen(function* () {
            let asked = 0
            const result = yield* once(name, () => ({
              kind,
              verify: (candidate, truth) => (asked++ < 4 ? leak(candidate, truth) : truth)
            }))
            assert.strictEqual(Option.getOrThrow(result.slot.rotation).outcome, "completed")
            assert.isAtLeast(asked, 2)
            // There was something to be seen.
            assert.isAbove(result.rows.length, 4)
            assert.isAbove(result.said.length, 4)
          })
        )
      }
    }
  }
})
