/** Who is measured on loopback. Each runs in a process of its own: what one does must not shape the other's compiled code. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Bare from "./bare.ts"
import * as Ours from "./ours.ts"
import * as Raw from "./raw.ts"
import { type Ask, join, ofEffects, ofPromises, type Turn } from "./turn.ts"
import type { Verb } from "./vendor.ts"

export const names = [
  "raw fetch",
  "raw undici",
  "Effect over fetch",
  "Effect over undici",
  "ours over fetch",
  "ours over undici",
  "ours over fetch, limiter on",
  "ours over undici, limiter on"
] as const
export type Name = (typeof names)[number]

export type Contestant = (verb: Verb, ask: Ask) => Promise<Turn>

const byVerb = <A>(make: (verb: Verb) => A): { readonly [V in Verb]: A } => ({
  create: make("create"),
  patch: make("patch"),
  rotate: make("rotate")
})

const raw = (make: (verb: Verb) => () => Promise<unknown>): Contestant => {
  const calls = byVerb(make)
  return (verb, ask) => ofPromises(calls[verb], ask)
}

const bare = (baseUrl: string, http: Layer.Layer<HttpClient.HttpClient>): Contestant => {
  const runtime = ManagedRuntime.make(http)
  return (verb, ask) => runtime.runPromise(ofEffects(Bare.call(baseUrl, verb), ask))
}

const limiterOff = (baseUrl: string, http: Layer.Layer<HttpClient.HttpClient>): Contestant => {
  const runtime = ManagedRuntime.make(Ours.layer(baseUrl, "off").pipe(Layer.provide(http)))
  return (verb, ask) => runtime.runPromise(Effect.flatMap(Ours.call(verb), (call) => ofEffects(call, ask)))
}

/**
 * A limiter that is out of tokens makes calls wait, which is its task and no cost of ours. So a turn is cut into parts of no more
 * calls than the budget has, each on a fresh layer, whose making is not timed. All share one HTTP client.
 */
const limiterOn = (baseUrl: string, http: Layer.Layer<HttpClient.HttpClient>): Contestant => {
  const runtime = ManagedRuntime.make(http)
  return (verb, { calls, inFlight }) => {
    const part = (size: number) =>
      Effect.flatMap(Ours.call(verb), (call) => ofEffects(call, { calls: size, inFlight })).pipe(
        Effect.provide(Ours.layer(baseUrl, "on"), { local: true })
      )
    const sizes = Array.from({ length: Math.ceil(calls / Ours.budget) }, (_, index) =>
      Math.min(Ours.budget, calls - index * Ours.budget)
    )
    return runtime.runPromise(Effect.map(Effect.forEach(sizes, part), join))
  }
}

const contestants: { readonly [N in Name]: (baseUrl: string) => Contestant } = {
  "raw fetch": (baseUrl) => raw((verb) => Raw.byFetch(baseUrl, verb)),
  "raw undici": (baseUrl) => raw((verb) => Raw.byUndici(baseUrl, verb)),
  "Effect over fetch": (baseUrl) => bare(baseUrl, FetchHttpClient.layer),
  "Effect over undici": (baseUrl) => bare(baseUrl, NodeHttpClient.layerUndici),
  "ours over fetch": (baseUrl) => limiterOff(baseUrl, FetchHttpClient.layer),
  "ours over undici": (baseUrl) => limiterOff(baseUrl, NodeHttpClient.layerUndici),
  "ours over fetch, limiter on": (baseUrl) => limiterOn(baseUrl, FetchHttpClient.layer),
  "ours over undici, limiter on": (baseUrl) => limiterOn(baseUrl, NodeHttpClient.layerUndici)
}

export const make = (name: string, baseUrl: string): Contestant => {
  const known = names.find((each) => each === name)
  if (known === undefined) throw new Error(`there is no contestant "${name}"`)
  return contestants[known](baseUrl)
}
