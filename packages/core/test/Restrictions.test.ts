import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { compareRestriction, type Difference, isUnrestricted } from "../src/internal/compare.ts"
import { AllowList, Period, RateLimit, Restriction, Restrictions } from "../src/Restrictions.ts"

const entry = fc.constantFrom("a", "b", "c", "d")
const allowList: fc.Arbitrary<AllowList> = fc.oneof(
  fc.constant("any" as const),
  fc.tuple(entry, fc.array(entry, { maxLength: 4 })).map(([first, rest]): AllowList => [first, ...rest])
)
const quota: fc.Arbitrary<Restrictions["quota"]> = fc.oneof(
  fc.constant("unlimited" as const),
  fc.integer({ min: 1, max: 6 })
)
const unit = fc.integer({ min: 1, max: 60 })
const period: fc.Arbitrary<Period> = fc
  .record(
    {
      months: fc.integer({ min: 1, max: 3 }),
      weeks: fc.integer({ min: 1, max: 3 }),
      days: unit,
      hours: unit,
      minutes: unit,
      seconds: unit
    },
    { requiredKeys: [] }
  )
  .filter((units) => Object.keys(units).length > 0)
const rate: fc.Arbitrary<Restrictions["rate"]> = fc.oneof(
  fc.constant("unlimited" as const),
  fc.record({ max: fc.integer({ min: 1, max: 20 }), per: period })
)

const lists = ["domains", "ips", "origins", "scopes", "resources"] as const

/** Compares with the wanted value first, as in `compareRestriction`. */
interface Kind<A> {
  readonly name: string
  readonly arbitrary: fc.Arbitrary<A>
  readonly compare: (wanted: A, observed: A) => Difference
}

const check = <A>({ arbitrary, compare, name }: Kind<A>) => {
  describe(name, () => {
    it("a value is equal to itself", () => {
      fc.assert(fc.property(arbitrary, (value) => compare(value, value) === "equal"))
    })

    it("equality has no direction, and of two that differ at least one is wider", () => {
      fc.assert(
        fc.property(arbitrary, arbitrary, (one, two) => {
          const [there, back] = [compare(one, two), compare(two, one)]
          if (there === "equal" || back === "equal") assert.strictEqual(there, back)
          else assert.include([there, back], "wider")
        }),
        { numRuns: 1000 }
      )
    })

    it("what is not wider than something narrower is not wider", () => {
      fc.assert(
        fc.property(arbitrary, arbitrary, arbitrary, (one, two, three) => {
          if (compare(one, two) !== "wider" && compare(two, three) !== "wider") {
            assert.notStrictEqual(compare(one, three), "wider")
          }
        }),
        { numRuns: 1000 }
      )
    })
  })
}

describe("compareRestriction", () => {
  for (const restriction of lists) {
    check<AllowList>({
      name: restriction,
      arbitrary: allowList,
      compare: (wanted, observed) => compareRestriction(restriction, wanted, observed)
    })
  }
  check<Restrictions["quota"]>({
    name: "quota",
    arbitrary: quota,
    compare: (wanted, observed) => compareRestriction("quota", wanted, observed)
  })
  check<Restrictions["rate"]>({
    name: "rate",
    arbitrary: rate,
    compare: (wanted, observed) => compareRestriction("rate", wanted, observed)
  })

  const admits = (list: AllowList, value: string) => list === "any" || list.includes(value)

  it("a list is wider exactly when it admits something that was not wanted", () => {
    // "e" stands for all that no list names.
    const universe = ["a", "b", "c", "d", "e"]
    for (const restriction of lists) {
      fc.assert(
        fc.property(allowList, allowList, (wanted, observed) => {
          const wider = universe.some((value) => admits(observed, value) && !admits(wanted, value))
          const narrower = universe.some((value) => admits(wanted, value) && !admits(observed, value))
          const expected = wider ? "wider" : narrower ? "other" : "equal"
          assert.strictEqual(compareRestriction(restriction, wanted, observed), expected)
        }),
        { numRuns: 500 }
      )
    }
  })

  it("lists are sets: order and repetition mean nothing", () => {
    assert.strictEqual(compareRestriction("ips", ["a", "b"], ["b", "a", "b"]), "equal")
    assert.strictEqual(compareRestriction("ips", ["a", "a"], ["a"]), "equal")
    assert.strictEqual(compareRestriction("ips", ["a", "a", "b"], ["a"]), "other")
  })

  it("a list that was named is not the same as any, even if it names what is called any", () => {
    assert.strictEqual(compareRestriction("ips", ["any"], "any"), "wider")
    assert.strictEqual(compareRestriction("ips", "any", ["any"]), "other")
  })

  it("a quota is wider exactly when it admits more uses", () => {
    const uses = (value: Restrictions["quota"]) => (value === "unlimited" ? Number.POSITIVE_INFINITY : value)
    fc.assert(
      fc.property(quota, quota, (wanted, observed) => {
        const [more, less] = [uses(observed) > uses(wanted), uses(observed) < uses(wanted)]
        assert.strictEqual(compareRestriction("quota", wanted, observed), more ? "wider" : less ? "other" : "equal")
      })
    )
  })

  const hour = { hours: 1 } as const
  const rates: ReadonlyArray<readonly [Restrictions["rate"], Restrictions["rate"], Difference]> = [
    [{ max: 10, per: hour }, { max: 10, per: { minutes: 60 } }, "equal"],
    [{ max: 10, per: { days: 7 } }, { max: 10, per: { weeks: 1 } }, "equal"],
    [{ max: 10, per: { days: 1, hours: 12 } }, { max: 10, per: { hours: 36 } }, "equal"],
    [{ max: 10, per: hour }, { max: 11, per: hour }, "wider"],
    [{ max: 10, per: hour }, { max: 9, per: hour }, "other"],
    [{ max: 10, per: hour }, "unlimited", "wider"],
    ["unlimited", { max: 10, per: hour }, "other"],
    ["unlimited", "unlimited", "equal"],
    // Ten an hour lets twenty through in two hours, and ten in two hours never more than ten in one.
    [{ max: 10, per: { hours: 2 } }, { max: 10, per: hour }, "wider"],
    [{ max: 10, per: hour }, { max: 10, per: { hours: 2 } }, "other"],
    // The same on average; in a window of one hour the second lets twice as many through.
    [{ max: 10, per: hour }, { max: 20, per: { hours: 2 } }, "wider"],
    [{ max: 20, per: { hours: 2 } }, { max: 10, per: hour }, "wider"],
    // A month is not a number of days.
    [{ max: 10, per: { months: 1 } }, { max: 10, per: { days: 30 } }, "wider"],
    [{ max: 10, per: { days: 31 } }, { max: 10, per: { months: 1 } }, "wider"],
    [{ max: 10, per: { months: 1 } }, { max: 10, per: { months: 1, days: 1 } }, "other"]
  ]
  for (const [wanted, observed, expected] of rates) {
    it(`${JSON.stringify(wanted)}, observed ${JSON.stringify(observed)}: ${expected}`, () => {
      assert.strictEqual(compareRestriction("rate", wanted, observed), expected)
    })
  }

  it("a rate that is not wider lets no more through in any stretch of time", () => {
    const exact = fc.record({
      max: fc.integer({ min: 1, max: 20 }),
      per: fc.record({ seconds: fc.integer({ min: 1, max: 60 }) })
    })
    // The most that a limit lets through in a stretch: it may be full at both ends.
    const most = (limit: { readonly max: number; readonly per: { readonly seconds: number } }, stretch: number) =>
      limit.max * Math.ceil(stretch / limit.per.seconds)
    fc.assert(
      fc.property(exact, exact, (wanted, observed) => {
        if (compareRestriction("rate", wanted, observed) === "wider") return
        for (let stretch = 1; stretch <= 200; stretch++) {
          assert.isAtMost(most(observed, stretch), most(wanted, stretch))
        }
      }),
      { numRuns: 300 }
    )
  })
})

describe("schemas", () => {
  const nothing = [undefined, null, {}, true, false, Number.NaN, "", Symbol("any"), () => "any"]

  const refused: Record<string, readonly [Schema.Schema<unknown>, ReadonlyArray<unknown>]> = {
    AllowList: [
      AllowList,
      [...nothing, [], [""], ["a", ""], ["a", 1], [null], "ANY", "*", "any ", { 0: "a", length: 1 }]
    ],
    Period: [
      Period,
      [
        ...nothing,
        0,
        1,
        60,
        60_000,
        "1 hour",
        "PT1H",
        { hours: 0 },
        { hours: -1 },
        { hours: 1.5 },
        { hours: "1" },
        { hours: null },
        { hours: undefined },
        { hours: 1, minutes: 0 },
        { hours: Number.POSITIVE_INFINITY },
        { hours: Number.NaN },
        { years: 1 },
        { hour: 1 },
        [1]
      ]
    ],
    RateLimit: [
      RateLimit,
      [
        ...nothing,
        0,
        5,
        "5/h",
        { max: 5 },
        { per: { hours: 1 } },
        { max: 0, per: { hours: 1 } },
        { max: -1, per: { hours: 1 } },
        { max: 0.5, per: { hours: 1 } },
        { max: null, per: { hours: 1 } },
        { max: "5", per: { hours: 1 } },
        { max: 5, per: 3600 },
        { max: 5, per: null },
        { max: 5, per: {} },
        { max: 5, per: { hours: 0 } }
      ]
    ],
    quota: [Restrictions.quota, [...nothing, 0, -1, 1.5, "5", "any", [], Number.POSITIVE_INFINITY, 5n, 2 ** 60]],
    rate: [Restrictions.rate, [...nothing, 0, 60, "any", { max: 0, per: { hours: 1 } }, { max: 1, per: 1 }]]
  }
  for (const [name, [schema, values]] of Object.entries(refused)) {
    const is = Schema.is(schema)
    for (const [index, value] of values.entries()) {
      it(`${name} refuses ${typeof value === "object" ? JSON.stringify(value) : String(value)} (${index})`, () => {
        assert.isFalse(is(value))
      })
    }
  }

  it("what is well-formed is accepted, and goes to JSON as it is", () => {
    const accepts = <A, I>(schema: Schema.Codec<A, I>, values: fc.Arbitrary<A>) =>
      fc.assert(
        fc.property(values, (value) => {
          assert.isTrue(Schema.is(schema)(value))
          assert.deepStrictEqual(Schema.decodeUnknownSync(schema)(JSON.parse(JSON.stringify(value))), value)
        })
      )
    accepts(AllowList, allowList)
    accepts(Restrictions.quota, quota)
    accepts(Restrictions.rate, rate)
    accepts(Period, period)
  })

  it("there is a schema and a comparison for every restriction", () => {
    assert.deepStrictEqual(Object.keys(Restrictions).sort(), [...Restriction.literals].sort())
  })

  it("only what is written out leaves a restriction open", () => {
    assert.isTrue(isUnrestricted("any"))
    assert.isTrue(isUnrestricted("unlimited"))
    for (const value of [["any"] as const, 1, { max: 1, per: { hours: 1 } }]) assert.isFalse(isUnrestricted(value))
  })
})
