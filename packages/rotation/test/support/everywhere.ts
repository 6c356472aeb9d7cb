import * as Effect from "effect/Effect"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import { TestClock } from "effect/testing"
import { assertSettled, type Passed, type Simulated, type Simulation, simulate } from "./simulate.ts"
import { type kinds, type names, type World, worlds } from "./vendors.ts"

export type Vendor = (typeof names)[number]
export type Kind = (typeof kinds)[number]

/** One simulation on a clock and a vendor of its own. */
export const once = Effect.fnUntraced(function* (
  name: Vendor,
  setup: (world: World) => Omit<Simulation, "world">
): Effect.fn.Return<Simulated & { readonly world: World }> {
  const world = yield* worlds[name]
  const result = yield* simulate({ world, ...setup(world) }).pipe(Effect.provide(TestClock.layer()))
  return { ...result, world }
})

const rehearsals = new Map<string, ReadonlyArray<Passed>>()

/** The boundaries of a rotation in which nothing happens. */
export const rehearse = (name: Vendor, kind: Kind): Effect.Effect<ReadonlyArray<Passed>> =>
  Effect.suspend(() => {
    const known = rehearsals.get(`${name} ${kind}`)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      once(name, () => ({ kind })),
      ({ passed }) => {
        rehearsals.set(`${name} ${kind}`, passed)
        return passed
      }
    )
  })

export const labelOf = ({ boundary, number, step }: Passed): string =>
  `${number} [${step}] ${boundary.at} ${boundary.when} ${boundary.label}`

/** ROTATION_EVERY=1 leaves nothing out. */
const given = Number(process.env.ROTATION_EVERY ?? Number.NaN)

/** Every so-manyth, from an offset of its own: which ones they are is the same in every run. */
export const sample = (every: number, offset = 0) => {
  const stride = Number.isFinite(given) ? given : every
  return <A>(_: A, index: number): boolean => index % stride === offset % stride
}

/** Settled means settled, unless a case says what else it means. */
export type Judge = (result: Simulated, world: World) => void

/** Runs a rotation again for each of these boundaries, and judges how it ended. */
export const everywhere = Effect.fnUntraced(function* (
  name: Vendor,
  kind: Kind,
  options: {
    readonly among?: (passed: Passed, index: number, all: ReadonlyArray<Passed>) => boolean
    readonly every?: number
    readonly offset?: number
    /** `index` is its place among those that are run. */
    readonly setup: (at: Passed, world: World, index: number) => Omit<Simulation, "world" | "kind">
    readonly judge?: Judge
  }
) {
  const { among = () => true, every = 1, judge = assertSettled, offset = 0, setup } = options
  const chosen = (yield* rehearse(name, kind)).filter(among).filter(sample(every, offset))
  for (const [index, passed] of chosen.entries()) {
    const where = labelOf(passed)
    yield* once(name, (world) => ({ kind, ...setup(passed, world, index) })).pipe(
      Effect.tap((result) => Effect.sync(() => judge(result, result.world))),
      // Whichever of hundreds it is, its boundary belongs to the message.
      Effect.catchDefect((defect) => {
        const text = defect instanceof Error ? defect.message : String(defect)
        return Effect.die(new Error(`at ${where}: ${text}`))
      })
    )
  }
  return chosen.length
})

export const isStore = ({ boundary }: Passed): boolean => boundary.at === "store"

/** Of any of the vendors. */
export const isMint = ({ method, url }: HttpClientRequest.HttpClientRequest): boolean =>
  method === "POST" && /(?:\/add|\/rotate|voiceable.*\/api_keys)$/.test(url)

export const isMintDone = ({ boundary }: Passed): boolean =>
  boundary.at === "request" && boundary.when === "committed" && isMint(boundary.request)
