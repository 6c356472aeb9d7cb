import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as fc from "fast-check"
import { RotationError } from "../src/RotationError.ts"
import { once, type Vendor } from "./support/everywhere.ts"
import type { Happening, Process } from "./support/process.ts"
import { type Act, assertSettled, id, type Moment, type Simulated, type Simulation } from "./support/simulate.ts"
import { names, type World } from "./support/vendors.ts"

/** One thing that happens at one boundary, counted over all processes. */
type Event =
  | { readonly at: number; readonly what: Happening }
  | { readonly at: number; readonly act: Act; readonly on: "current" | "pending" | "previous" }
  | { readonly at: number; readonly cut: "partitioned" | "deaf"; readonly seconds: number }
  | { readonly leakAfter: number }

const at = fc.integer({ min: 1, max: 90 })

const network: fc.Arbitrary<Event> = fc.record({
  at,
  what: fc.constantFrom<Happening>("stop", "interrupt", "pause", "reset", "hang", "error", "cut", "late", "lateStop")
})
const vault: fc.Arbitrary<Event> = fc.record({
  at,
  cut: fc.constantFrom("partitioned" as const, "deaf" as const),
  seconds: fc.integer({ min: 1, max: 300 })
})
const people: fc.Arbitrary<Event> = fc.record({
  at,
  act: fc.constantFrom<Act>("disable", "remove", "rotate", "narrow", "widen", "rename", "enable"),
  on: fc.constantFrom("current" as const, "pending" as const, "previous" as const)
})
const leak: fc.Arbitrary<Event> = fc.record({ leakAfter: fc.integer({ min: 1, max: 40 }) })

/** A story, as a simulation. */
const tell = (kind: "rotate" | "replace", events: ReadonlyArray<Event>): Omit<Simulation, "world"> => {
  const cuts: Array<{ readonly self: Process; readonly cut: "partitioned" | "deaf"; readonly until: number }> = []
  const removals = events.some((event) => "act" in event && (event.act === "remove" || event.act === "disable"))
  const leaked = events.find((event) => "leakAfter" in event)
  const isLate = (what: Happening) => what === "late" || what === "lateStop"
  const here = (moment: Moment) => events.filter((event) => "at" in event && event.at === moment.sequence)
  return {
    kind,
    options: { lateArrival: "10 minutes", watch: "1 minute", overlap: "5 seconds", maxMints: 20 },
    happen: (moment) => {
      const found = here(moment).find((event) => "what" in event)
      if (found === undefined || !("what" in found)) return undefined
      const { what } = found
      // Only a request can be late, and only on its way.
      if (isLate(what) && !(moment.boundary.at === "request" && moment.boundary.when === "before")) return undefined
      return what
    },
    meanwhile: (moment) =>
      Effect.forEach(
        here(moment),
        (event) => {
          if ("cut" in event) {
            moment.self[event.cut] = true
            cuts.push({ self: moment.self, cut: event.cut, until: moment.time + event.seconds * 1000 })
          }
          if ("act" in event) {
            const key = event.on === "current" ? Option.some(moment.slot.current) : moment.slot[event.on]
            return Option.isSome(key) ? moment.act(event.act, Redacted.value(key.value.ref.value)) : Effect.void
          }
          return Effect.void
        },
        { discard: true }
      ),
    // What is late arrives with the next request that is sent.
    arrive: ({ boundary }) => boundary.at === "request" && boundary.when === "before",
    tick: (time) => {
      for (const { cut, self, until } of cuts) if (time >= until) self[cut] = false
    },
    program: (rotation, _process, ended) =>
      Effect.gen(function* () {
        const replace = (rotationId: string) => Effect.asVoid(rotation.revokeAndReplace(id, { rotationId }))
        const begun = yield* patiently(rotation.poll(id))
        if (Option.isNone(begun)) {
          yield* patiently(kind === "rotate" ? Effect.asVoid(rotation.start(id, { rotationId: "r1" })) : replace("r1"))
        } else yield* Effect.ignore(rotation.resume(id))
        if (leaked !== undefined && "leakAfter" in leaked) {
          yield* Effect.sleep(leaked.leakAfter * 1000)
          yield* patiently(replace("leak"))
        }
        yield* ended
      }),
    standstill: "3 minutes",
    lasting: "2 hours",
    // Where a person has removed the new key, nobody can say whose keys "not found" is about.
    mayWait: ({ problem, step }) =>
      removals && ((step === "retire" && problem === "KeyNotFound") || (step === "mint" && problem === "Deleted")),
    within: "8 hours"
  }
}

/** A program asks again where the vault cannot be reached. */
const patiently = <A>(effect: Effect.Effect<A, RotationError>): Effect.Effect<A, RotationError> =>
  Effect.retry(effect, { while: RotationError.is("Unavailable"), schedule: Schedule.spaced("5 seconds") })

const judge = (result: Simulated & { readonly world: World }, events: ReadonlyArray<Event>) => {
  const story = result.labels.join("\n")
  const { kind, outcome, overdue, problem } = Option.getOrThrow(result.slot.rotation)
  if (outcome === undefined && overdue) return
  const outsiders = events.some((event) => "act" in event)
  const ends =
    kind === "replace"
      ? ["completed", "contained", ...(outsiders ? ["superseded"] : [])]
      : ["completed", ...(outsiders ? ["superseded"] : [])]
  assert.include(ends, outcome, `${problem}\n${story}`)
  if (!outsiders && outcome === "completed") return assertSettled(result, result.world)
  assert.isTrue(Option.isNone(result.slot.pending), story)
  assert.isTrue(Option.isNone(result.slot.previous), story)
  assert.deepStrictEqual(result.slot.intents, [], story)
}

const stories = (what: ReadonlyArray<fc.Arbitrary<Event>>) =>
  fc.tuple(
    fc.constantFrom<Vendor>(...names),
    fc.constantFrom("rotate" as const, "replace" as const),
    fc.array(fc.oneof(...what), { minLength: 1, maxLength: 5 })
  )

const check = (arbitrary: ReturnType<typeof stories>, numRuns: number) =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(arbitrary, ([name, kind, events]) =>
        Effect.runPromise(
          Effect.map(
            once(name, () => tell(kind, events)),
            (result) => judge(result, events)
          )
        )
      ),
      { numRuns, ...(Number.isFinite(runs) ? { numRuns: runs } : {}) }
    )
  )

/** ROTATION_RUNS=<number> looks longer. */
const runs = Number(process.env.ROTATION_RUNS)

describe("properties", () => {
  it.effect("whatever is killed, interrupted, paused, lost and late, at the vendor and at the vault: it settles", () =>
    check(stories([network, network, vault]), 15)
  )
  it.effect("and where a key leaks besides", () => check(stories([network, vault, leak]), 8))
  it.effect("and where people do what they like: what is live is in the books, and what they shut off stays off", () =>
    check(stories([network, people, vault, leak]), 12)
  )
})
