/** A process that measures one thing with HTTP stubbed: the whole call, or one part of it. */
import { GCProfiler, getHeapStatistics } from "node:v8"
import * as ApiKey from "@effect-api-keys/core/ApiKey"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as Client from "@effect-api-keys/jetemail/JetEmailClient"
import * as Wire from "@effect-api-keys/jetemail/JetEmailSchema"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as MintRegion from "../../packages/core/src/internal/mintRegion.ts"
import * as Telemetry from "../../packages/core/src/internal/telemetry.ts"
import * as Validate from "../../packages/core/src/internal/validate.ts"
import * as Bare from "./bare.ts"
import { answering } from "./child.ts"
import * as Ours from "./ours.ts"
import * as Stub from "./stub.ts"
import * as Names from "./stubbedNames.ts"
import { bodies, credential, keysPath, replies, successor, token, type Verb, verbs } from "./vendor.ts"

/** What one turn gives: microseconds and bytes a call, collection included in the first. */
export interface Cost {
  readonly micros: number
  readonly bytes: number
}

/** Something to measure: so many times, one after the other, with how long that took where not all of it is to count. */
type Loop = (times: number) => Promise<number>

/** Counts what was allocated: what the heap holds more, and what collections took away in between. */
const measured = async (loop: Loop, times: number): Promise<Cost> => {
  const profiler = new GCProfiler()
  profiler.start()
  const before = getHeapStatistics().used_heap_size
  const micros = await loop(times)
  const after = getHeapStatistics().used_heap_size
  const collections = profiler.stop()?.statistics ?? []
  const collected = collections.reduce(
    (sum, { afterGC, beforeGC }) => sum + beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize,
    0
  )
  return { micros: micros / times, bytes: (after - before + collected) / times }
}

const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const from = performance.now()
  await run()
  return (performance.now() - from) * 1000
}

let sink: unknown

const ofFunction =
  (part: () => unknown): Loop =>
  (times) =>
    timed(async () => {
      for (let done = 0; done < times; done++) sink = part()
    })

const repeated = <E, R>(call: Effect.Effect<unknown, E, R>, times: number) =>
  Effect.gen(function* () {
    for (let done = 0; done < times; done++) sink = yield* call
  })

const ofEffect =
  <E, R>(
    runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
    make: Effect.Effect<Effect.Effect<unknown, E, R>, unknown, R>
  ): Loop =>
  async (times) => {
    const call = await runtime.runPromise(make)
    return timed(() => runtime.runPromise(repeated(call, times)))
  }

const nothing = ManagedRuntime.make(Layer.empty)
const http = ManagedRuntime.make(Stub.layer)
const service = (limiter: "on" | "off") => Ours.layer(Stub.baseUrl, limiter).pipe(Layer.provide(Stub.layer))

const limiterOff = (verb: Verb): Loop => ofEffect(ManagedRuntime.make(service("off")), Ours.call(verb))

/** A layer for no more calls than the budget has; see `contestants.ts`. */
const limiterOn =
  (verb: Verb): Loop =>
  async (times) => {
    let micros = 0
    for (let left = times; left > 0; left -= Ours.budget) {
      const runtime = ManagedRuntime.make(service("on"))
      micros += await ofEffect(runtime, Ours.call(verb))(Math.min(left, Ours.budget))
      await runtime.dispose()
    }
    return micros
  }

const options = {
  apiKey: Redacted.make(credential),
  baseUrl: Stub.baseUrl,
  rateLimit: false,
  defaults: { domains: "any", ips: "any", quota: "unlimited" }
} as const

const clientLayer = Client.layer(options).pipe(Layer.provide(Stub.layer))
const client = ManagedRuntime.make(clientLayer)
const driver = Effect.runSync(JetEmail.make(options).pipe(Effect.provide(clientLayer)))

const spec = { name: "acme", domains: ["acme.example"], quota: 500 } as const
const fields = { allowAllDomains: false, approvedDomains: ["acme.example"], ipRestrictions: [], quota: 500 }
const telemetry = Telemetry.make("jetemail", "default")
const encode = Schema.encodeResult(Wire.CreateRequest, { onExcessProperty: "error" })
const decode = Schema.decodeUnknownResult(Wire.TokenReply)
const created = JSON.stringify(replies.create)

const request = HttpClientRequest.post(Stub.baseUrl + keysPath, { acceptJson: true }).pipe(
  HttpClientRequest.bearerToken(credential),
  HttpClientRequest.bodyJsonUnsafe(bodies.create)
)

/** The key that `create` gives back, made as it is there. */
const issued = () => {
  const unchecked = { disableChecks: true }
  const value = Redacted.make(successor)
  const ref = new ApiKey.KeyRef({ provider: "jetemail", account: "default", value }, unchecked)
  return new ApiKey.IssuedKey(
    {
      ref,
      handle: "jetemail_0123456789abcdef0123",
      secret: Redacted.make(successor),
      name: Option.some("acme"),
      unrestricted: Option.some(["ips"])
    },
    unchecked
  )
}

/** The parts of a `create`, each by itself; what is between them is the rest. */
const parts: Readonly<Record<Names.Part, Loop>> = {
  "validation of the spec": ofFunction(() => Validate.checkSpec(driver, driver.defaults, spec)),
  "span and metrics": ofEffect(nothing, Effect.succeed(telemetry.observe("create", undefined, () => Effect.void))),
  "mint region": ofEffect(
    nothing,
    Effect.map(Effect.provideService(MintRegion.make, Scope.Scope, Scope.makeUnsafe()), ({ run }) =>
      Effect.suspend(() =>
        run({
          call: { startedAt: 0, abandoned: false },
          closed: () => undefined,
          work: Effect.void,
          abandoned: () => Effect.void
        })
      )
    )
  ),
  "of it: deadline of a mint": ofEffect(
    nothing,
    Effect.succeed(MintRegion.withDeadline(Effect.void, Duration.seconds(30)))
  ),
  "client: encode, credential, send, decode": ofEffect(
    client,
    Effect.map(Client.JetEmailClient, ({ create }) =>
      Effect.flatMap(create({ name: "acme", ...fields }), ({ send }) => send)
    )
  ),
  "of it: strict encoding": ofFunction(() => encode({ name: "acme", ...fields })),
  "of it: Effect's HttpClient": ofEffect(
    http,
    Effect.map(HttpClient.HttpClient, ({ execute }) =>
      Effect.flatMap(execute(request), ({ text }) => text).pipe(
        Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
      )
    )
  ),
  "of it: parsing and decoding": ofFunction(() => decode(JSON.parse(created))),
  "handle of the key": ofFunction(() => driver.handle(token)),
  "the issued key": ofFunction(issued)
}

const fromEntries = (make: (verb: Verb) => Loop, name: (verb: Verb) => string): Readonly<Record<string, Loop>> =>
  Object.fromEntries(verbs.map((verb) => [name(verb), make(verb)]))

const loops: Readonly<Record<string, Loop>> = {
  ...parts,
  ...fromEntries((verb) => ofEffect(http, Effect.succeed(Bare.call(Stub.baseUrl, verb))), Names.bare),
  ...fromEntries(limiterOff, Names.limiterOff),
  ...fromEntries(limiterOn, Names.limiterOn)
}

const [, , name = ""] = process.argv
const loop = loops[name]
if (loop === undefined) throw new Error(`there is nothing to measure by the name "${name}"`)

answering(({ times }: { readonly times: number }) => measured(loop, times))

export const used = () => sink
