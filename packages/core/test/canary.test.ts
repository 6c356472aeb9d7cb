import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Hash from "effect/Hash"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { KeyRef } from "../src/ApiKey.ts"
import * as ApiKeyDriver from "../src/ApiKeyDriver.ts"
import { ApiKeyError, KeyNotFound } from "../src/ApiKeyError.ts"
import { ApiKeyService } from "../src/ApiKeyService.ts"
import { traceExchange } from "../src/internal/telemetry.ts"
import * as ProviderClient from "../src/ProviderClient.ts"
import { HttpFaults, HttpSandbox } from "../src/testing/index.ts"
import { breathe, recordingTracer, settle } from "./support.ts"

// ---------------------------------------------------------------------------------------------------------------------
// The detector
// ---------------------------------------------------------------------------------------------------------------------

const canary = "canary_Qv7"
const manager = `api_test_${canary}_manager`

/** The canary, and what it looks like in the encodings that a leak may come in. */
const needles: ReadonlyArray<string> = [
  canary.toLowerCase(),
  Buffer.from(canary).toString("hex"),
  // Where the canary begins decides its base64; the ends that hang on their neighbours are cut off.
  ...[0, 1, 2].map((shift) =>
    Buffer.from("x".repeat(shift) + canary)
      .toString("base64url")
      .slice(shift + 1, -3)
      .toLowerCase()
  )
]

const anyNeedle = new RegExp(needles.join("|"), "i")

const holdsCanary = (text: string): boolean => anyNeedle.test(text)

const attempt = (render: () => string): string => {
  try {
    return render()
  } catch (error) {
    return String(error)
  }
}

/** What printing a value shows, in all the ways there are. */
const renderings = (value: unknown): ReadonlyArray<string> =>
  [
    () => String(value),
    () => JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)) ?? "",
    () => inspect(value, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null }),
    () => inspect(value, { depth: Infinity, showHidden: true, customInspect: false }),
    () => Formatter.format(value),
    () => Formatter.formatJson(value),
    () => (value instanceof Error ? `${value.message}\n${value.stack}` : ""),
    () => (Cause.isCause(value) ? Cause.pretty(value) : ""),
    () => (Exit.isExit(value) && Exit.isFailure(value) ? Cause.pretty(value.cause) : "")
  ].map(attempt)

const roots: ReadonlySet<unknown> = new Set([null, Object.prototype, Function.prototype])

/** Every string below a value: own properties of any kind, keys, entries of maps and sets, and getters of classes. */
const stringsOf = (root: unknown): ReadonlyArray<string> => {
  const found: Array<string> = []
  const seen = new Set<unknown>()
  const queue: Array<unknown> = [root]
  while (queue.length > 0) {
    const value = queue.pop()
    if (typeof value === "string") found.push(value)
    else if (typeof value === "symbol") found.push(value.description ?? "")
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) continue
    seen.add(value)
    if (value instanceof Map) queue.push(...value.keys(), ...value.values())
    if (value instanceof Set) queue.push(...value)
    if (ArrayBuffer.isView(value)) found.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString())
    // Every object has the getter `__proto__`, and behind it is all of JavaScript.
    for (let holder: object = value; !roots.has(holder); holder = Object.getPrototypeOf(holder)) {
      for (const key of Reflect.ownKeys(holder)) {
        const property = Object.getOwnPropertyDescriptor(holder, key)
        // Of prototypes only what a getter makes of the value is its own.
        if (holder !== value && property?.get === undefined) continue
        queue.push(key)
        try {
          queue.push(property?.get === undefined ? property?.value : property.get.call(value))
        } catch {
          // A getter that does not work on this value shows nothing.
        }
      }
    }
  }
  return found
}

const leaks = (value: unknown): ReadonlyArray<string> => [...renderings(value), ...stringsOf(value)].filter(holdsCanary)

// ---------------------------------------------------------------------------------------------------------------------
// What is looked at
// ---------------------------------------------------------------------------------------------------------------------

/** Runs something and gives back all that it left behind for others to see. */
const watching = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const { spans, tracer } = recordingTracer()
  const logs: Array<unknown> = []
  const logger = Logger.layer([
    Logger.make((options) => {
      logs.push(
        options.message,
        options.cause,
        options.fiber.getRef(References.CurrentLogAnnotations),
        options.fiber.getRef(References.CurrentLogSpans),
        Logger.formatSimple.log(options),
        Logger.formatLogFmt.log(options),
        Logger.formatJson.log(options)
      )
    }),
    Logger.tracerLogger
  ])
  return Effect.gen(function* () {
    const exit = yield* settle(Effect.withSpan(Effect.withLogSpan(effect, "caller"), "caller"))
    const error = Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isFailReason).map((r) => r.error) : []
    const encoded = yield* Effect.forEach(error, (value) =>
      value instanceof ApiKeyError
        ? Schema.encodeUnknownEffect(Schema.fromJsonString(Schema.toCodecJson(ApiKeyError)))(value)
        : Effect.succeed("")
    ).pipe(Effect.orDie)
    const metrics = [yield* Metric.snapshot, yield* Metric.dump]
    return { exit, places: { exit, errors: error, encoded, spans, logs, metrics } }
  }).pipe(
    Effect.provide(logger),
    Effect.withTracer(tracer),
    Effect.provideService(References.MinimumLogLevel, "All"),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )
}

type Places = Effect.Success<ReturnType<typeof watching>>["places"]

const assertClean = (what: string, places: { readonly [K in keyof Places]?: unknown }) => {
  for (const [place, value] of Object.entries(places)) {
    const found = leaks(value)
    assert.strictEqual(found.length, 0, `${what}: the canary is in ${place}: ${found[0]?.slice(0, 2000)}`)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// A vendor that addresses keys by their secret, and talks about secrets in everything it says
// ---------------------------------------------------------------------------------------------------------------------

interface Row {
  readonly name: string
  readonly status: "active" | "disabled"
  readonly domains: ReadonlyArray<string>
}

const makeApp = ({ mintTakes = 0 }: { readonly mintTakes?: number } = {}) => {
  const keys = new Map<string, Row>()
  let minted = 0
  const app: HttpSandbox.App = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const text = yield* Effect.orElseSucceed(request.text, () => "")
    const body: unknown = text === "" ? {} : JSON.parse(text)
    const [, , token = "", action] = new URL(request.originalUrl).pathname.split("/").map(decodeURIComponent)
    const headers = { "x-request-id": `${canary}_request`, "x-echo": request.headers["x-acme-key"] ?? "" }
    const reply = (value: unknown, status = 200) => HttpServerResponse.jsonUnsafe(value, { status, headers })
    const row = keys.get(token)
    const show = (id: string, { domains, name, status }: Row) => ({ token: id, name, status, domains })
    const mint = (from: Row) => {
      const id = `api_test_${canary}_key_${++minted}`
      keys.set(id, from)
      // The first key is the one to work on.
      return Effect.delay(Effect.succeed(reply(show(id, from))), minted === 1 ? 0 : mintTakes)
    }
    if (request.method === "GET" && token === "") return reply({ keys: [...keys].map(([id, key]) => show(id, key)) })
    if (request.method === "POST" && token === "") {
      return yield* mint({ status: "active", name: "", domains: [], ...(body as Partial<Row>) })
    }
    if (row === undefined) return reply({ error: `no key ${token} for ${request.headers["x-acme-key"]}` }, 404)
    if (request.method === "GET") return reply(show(token, row))
    if (request.method === "PATCH") {
      const changed = { ...row, ...(body as Partial<Row>) }
      keys.set(token, changed)
      return reply(show(token, changed))
    }
    if (action === "rotate") keys.delete(token)
    if (request.method === "POST") return yield* mint({ ...row, ...(body as Partial<Row>) })
    keys.delete(token)
    return reply({ deleted: token })
  })
  return { app, keys }
}

const Shown = Schema.Struct({
  token: Schema.String,
  name: Schema.String,
  status: Schema.Literals(["active", "disabled"]),
  domains: Schema.Array(Schema.String)
})
type Shown = typeof Shown.Type
const Change = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  domains: Schema.optionalKey(Schema.Array(Schema.String)),
  status: Schema.optionalKey(Schema.String)
})
interface Patch {
  readonly token: string
  readonly change: typeof Change.Type
}

const errors = { 404: () => new KeyNotFound() }
const endpoints = {
  create: { method: "POST", path: "/keys", safety: "mint", body: Change, reply: Shown },
  get: { method: "GET", path: "/keys/:token", safety: "read", reply: Shown, errors },
  list: { method: "GET", path: "/keys", safety: "read", reply: Schema.Struct({ keys: Schema.Array(Shown) }) },
  remove: {
    method: "DELETE",
    path: "/keys/:token",
    safety: "remove",
    reply: Schema.Struct({ deleted: Schema.String }),
    gone: () => ({ deleted: "" }),
    errors
  },
  rotate: { method: "POST", path: "/keys/:token/rotate", safety: "mint", reply: Shown, errors },
  copy: { method: "POST", path: "/keys/:token/copy", safety: "mint", body: Change, reply: Shown, errors }
} as const

const handle = (token: string) => `acme_${(Hash.string(token) >>> 0).toString(36)}`

const toRecord = ({ domains, name, status, token }: Shown): ApiKeyDriver.KeyRecord => {
  const [first, ...rest] = domains
  return {
    address: token,
    handle: handle(token),
    name,
    status,
    providerStatus: status,
    restrictions: { domains: first === undefined ? "any" : [first, ...rest] }
  }
}
const toMinted = (shown: Shown): ApiKeyDriver.Minted => ({
  address: shown.token,
  secret: shown.token,
  echo: toRecord(shown)
})
const toChange = ({ name, restrictions: { domains } }: ApiKeyDriver.PatchSpec) => ({
  ...(name === undefined ? {} : { name }),
  ...(domains === undefined ? {} : { domains: domains === "any" ? [] : domains })
})

interface DriverOptions {
  readonly kind: "in place" | "successor"
  readonly apiKey?: ProviderClient.Credential
  /** How long the vendor takes for a mint, in milliseconds. */
  readonly mintTakes?: number
}

const makeDriver = Effect.fnUntraced(function* ({ apiKey = Redacted.make(manager), kind }: DriverOptions) {
  const budget = { limit: 1000, window: "1 minute" } as const
  const client = yield* ProviderClient.make({
    provider: "acme",
    baseUrl: "https://api.acme.test",
    authorization: (credential) => ["x-acme-key", credential],
    budgets: { ordinary: budget, urgent: budget, lockout: "5 minutes" },
    apiKey
  })
  const prepareCreate = client.prepare<typeof Change.Type, Shown>(endpoints.create)
  const prepareRotate = client.prepare(endpoints.rotate)
  const prepareCopy = client.prepare<typeof Change.Type, Shown>(endpoints.copy)
  const get = client.call(endpoints.get)
  const remove = client.call(endpoints.remove)
  /** The token in the path; the body is encoded from the change alone. */
  const patch = ({ change, token }: Patch) =>
    client.call<typeof Change.Type, Shown>({
      method: "PATCH",
      path: "/keys/:token",
      safety: "idempotent",
      body: Change,
      reply: Shown,
      errors
    })({ params: { token }, body: change })
  const minted = ({ send }: ProviderClient.PreparedRequest<Shown>) => ({ send: Effect.map(send, toMinted) })
  const list = client.call(endpoints.list)
  return {
    provider: "acme",
    account: client.account,
    restrictions: { domains: ApiKeyDriver.allowList({ entry: Result.succeed }) },
    defaults: { domains: "any" },
    name: ApiKeyDriver.text(Result.succeed),
    address: ApiKeyDriver.text((value) =>
      /^[\x21-\x7e]+$/.test(value) ? Result.succeed(value) : Result.fail("is no token")
    ),
    handle,
    mint: (spec) => Effect.map(prepareCreate({ body: toChange(spec) }), minted),
    patch: (token, spec) => Effect.map(patch({ token, change: toChange(spec) }), toRecord),
    setStatus: (token, status) => Effect.map(patch({ token, change: { status } }), toRecord),
    remove: (token) => Effect.asVoid(remove({ params: { token } })),
    get: (token) => Effect.map(get({ params: { token } }), toRecord),
    list: () => Stream.fromIterableEffect(Effect.map(list({}), ({ keys }) => keys.map(toRecord))),
    rotation:
      kind === "in place"
        ? { inPlace: (token) => Effect.map(prepareRotate({ params: { token } }), minted) }
        : {
            successor: (token, mark) =>
              Effect.flatMap(get({ params: { token } }), (old) =>
                Effect.map(prepareCopy({ params: { token }, body: { name: mark(old.name) } }), (prepared) => ({
                  ...minted(prepared),
                  spec: { name: mark(old.name), restrictions: toRecord(old).restrictions },
                  activate: (successor: string) =>
                    Effect.asVoid(patch({ token: successor, change: { status: "active" } }))
                }))
              ),
            retire: (token) => Effect.asVoid(remove({ params: { token } }))
          },
    recovery: { maxName: 64, secrets: true, identity: ({ name }) => name }
  } satisfies ApiKeyDriver.ApiKeyDriver
})

const vendorLayer = (options: DriverOptions) => {
  const { app, keys } = makeApp(options)
  const http = Layer.provideMerge(HttpFaults.layer, HttpSandbox.layerClient(app))
  return { keys, layer: Layer.provideMerge(ApiKeyService.layer(makeDriver(options)), http) }
}

// ---------------------------------------------------------------------------------------------------------------------
// The tests
// ---------------------------------------------------------------------------------------------------------------------

type Keys = ApiKeyService["Service"]
const stored = { deliver: () => Effect.void }

/** A mint with an intent, and a look at what became of it. */
const prepared = (keys: Keys, ref: KeyRef | undefined) =>
  Effect.gen(function* () {
    const intent = yield* keys.prepare(ref ?? "create")
    const options = { ...stored, intent }
    const minted = yield* Effect.exit<unknown, ApiKeyError, never>(
      ref === undefined ? keys.create({ name: "two" }, options) : keys.rotate(ref, options)
    )
    return { intent, minted, found: yield* keys.recover(intent) }
  })

const verbs: Record<string, (keys: Keys, ref: KeyRef) => Effect.Effect<unknown, unknown>> = {
  create: (keys) => keys.create({ name: "two", domains: ["acme.example"] }),
  "create, delivered": (keys) => keys.create({ name: "two" }, stored),
  "create, not delivered": (keys) => keys.create({ name: "two" }, { deliver: () => Effect.fail("vault down") }),
  "create, delivered too late": (keys) => keys.create({ name: "two" }, { deliver: () => Effect.never }),
  patch: (keys, ref) => keys.patch(ref, { domains: ["acme.example"] }),
  "patch, confirmed": (keys, ref) => keys.patch(ref, { name: "three" }, { confirm: true }),
  rotate: (keys, ref) => keys.rotate(ref),
  "rotate, delivered": (keys, ref) => keys.rotate(ref, stored),
  "rotate, not delivered": (keys, ref) => keys.rotate(ref, { deliver: () => Effect.fail("vault down") }),
  disable: (keys, ref) => keys.disable(ref),
  enable: (keys, ref) => keys.enable(ref),
  revoke: (keys, ref) => keys.revoke(ref),
  delete: (keys, ref) => keys.delete(ref),
  get: (keys, ref) => keys.get(ref),
  list: (keys) => Stream.runCollect(keys.list()),
  prepare: (keys) => keys.prepare("create"),
  "prepare, of a key": (keys, ref) => keys.prepare(ref),
  "create, with an intent": (keys) => prepared(keys, undefined),
  "rotate, with an intent": (keys, ref) => prepared(keys, ref),
  "an unknown key": (keys) => keys.get(keys.ref(Redacted.make(`api_test_${canary}_unknown`)))
}

// A schema that refuses a value may quote it: the secret stands where a status, a name and a list are wanted.
const row = { token: manager, name: { text: manager }, status: manager, domains: manager }
const said = JSON.stringify({ error: `bad token ${manager}`, [manager]: manager, ...row, keys: [row] })
const faults: ReadonlyArray<HttpFaults.Fault | undefined> = [
  undefined,
  "refused",
  "hang",
  "reset",
  "resetAfterCommit",
  "hangAfterCommit",
  "truncatedBody",
  "notJson",
  "emptyBody",
  "emptyObject",
  { status: 200, body: said },
  { status: 200, body: manager },
  { status: 200, body: said, commit: true },
  { status: 302, headers: { location: `https://${canary}.test/${manager}` } },
  { status: 400, body: said },
  { status: 401, body: said },
  { status: 403, body: said },
  { status: 404, body: said },
  { status: 409, body: manager },
  { status: 429, headers: { "retry-after": manager }, body: said },
  { status: 429, headers: { "retry-after": "1" }, body: said },
  { status: 500, body: said },
  { status: 503, body: said, commit: true }
]

/** An intent changes little of how a fault is told. */
const someFaults = faults.filter((_, index) => index % 3 === 0)

describe("the canary is nowhere", () => {
  for (const kind of ["in place", "successor"] as const) {
    for (const [place, [verb, call]] of Object.entries(verbs).entries()) {
      // The other verbs are the same, however a key is rotated.
      if (kind === "successor" && !verb.startsWith("rotate")) continue
      it.effect(`${verb}, under every fault (rotating ${kind})`, () =>
        Effect.forEach(verb.includes("with an intent") ? someFaults : faults, (fault, index) => {
          // Once lets the call that follows a fault go well: a repeat, or the taking back of a key. Each verb meets a half of
          // the faults so, and the next verb the other half.
          const times = (index + place) % 2 === 0 ? 1 : 100

          const { layer } = vendorLayer({ kind })
          return Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const injector = yield* HttpFaults.HttpFaults
            const { ref } = yield* keys.create({ name: "one" })
            if (fault !== undefined) yield* injector.inject(fault, { times })
            const { exit, places } = yield* watching(call(keys, ref))
            assertClean(`${verb}, ${times} × ${JSON.stringify(fault)}`, places)
            assert.isAbove(places.spans.length, 0)
            assert.isFalse(Exit.isFailure(exit) && Cause.hasDies(exit.cause), "no defects")
            if (fault === "refused" && times === 100) assert.isTrue(Exit.isFailure(exit), "the fault did strike")
          }).pipe(Effect.provide(layer))
        })
      )
    }

    for (const [what, fault, line] of [
      ["lost", "resetAfterCommit", "a mint failed after its caller had left"],
      ["well", undefined, "a mint ended after its caller had left"]
    ] as const) {
      for (const [verb, call] of Object.entries(verbs)) {
        if (!verb.startsWith("rotate") && (kind === "successor" || !verb.startsWith("create"))) continue
        it.effect(`${verb}, left by its caller, ending ${what} (rotating ${kind})`, () => {
          const { layer } = vendorLayer({ kind, mintTakes: 1000 })
          return Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const injector = yield* HttpFaults.HttpFaults
            const { ref } = yield* keys.create({ name: "one" })
            if (fault !== undefined) yield* injector.inject(fault, { method: "POST" })
            const { places } = yield* watching(
              Effect.gen(function* () {
                const caller = yield* Effect.forkChild(call(keys, ref))
                yield* TestClock.adjust("500 millis")
                yield* Fiber.interrupt(caller)
                yield* TestClock.adjust("5 minutes")
              })
            )
            assertClean(verb, places)
            // What a delivery that fails leaves behind is a failure too; in place it is a key that was lost.
            const failed = /not delivered|too late/.test(verb) && !(verb.startsWith("rotate") && kind === "in place")
            const wanted = failed ? "a mint failed after its caller had left" : line
            assert.include(places.logs.map(String).join("\n"), wanted, "the caller did leave a mint")
          }).pipe(Effect.provide(layer))
        })
      }
    }
  }

  const credentials: Record<string, ProviderClient.Credential> = {
    "fails with it": Effect.fail({ token: manager, message: manager }),
    "dies with it": Effect.die(new Error(manager)),
    "is malformed": Redacted.make(`${manager}\r\n`)
  }
  for (const [what, apiKey] of Object.entries(credentials)) {
    it.effect(`a manager's credential that ${what}`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const ref = keys.ref(Redacted.make(`api_test_${canary}_key`))
        for (const [verb, call] of Object.entries(verbs)) {
          const { exit, places } = yield* watching(call(keys, ref))
          assert.isTrue(Exit.isFailure(exit))
          assertClean(verb, places)
        }
      }).pipe(Effect.provide(vendorLayer({ kind: "successor", apiKey }).layer))
    )
  }

  it.effect("refs that are refused", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const value = Redacted.make(`api_test_${canary}`)
      const refs = [
        new KeyRef({ provider: "acme", account: "default", value: Redacted.make(`api_test_${canary}\n`) }),
        new KeyRef({ provider: "acme", account: "default", value: Redacted.make(`${canary}${"x".repeat(10_000)} `) }),
        new KeyRef({ provider: "acme", account: "other", value }),
        new KeyRef({ provider: "other", account: "default", value })
      ]
      for (const ref of refs) {
        for (const [verb, call] of Object.entries(verbs)) {
          if (/^(create|list|prepare$|an unknown)/.test(verb)) continue
          const { exit, places } = yield* watching(call(keys, ref))
          assert.isTrue(Exit.isFailure(exit))
          assertClean(verb, places)
        }
      }
    }).pipe(Effect.provide(vendorLayer({ kind: "in place" }).layer))
  )

  it.effect("values that are refused", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const hostile = [
        { name: { token: manager } },
        { name: "one", domains: { token: manager } },
        { name: "one", domains: [manager, 5] },
        { name: "one", options: manager },
        { name: "one", options: { acme: { token: manager } } },
        { name: "one", [`${manager}${manager}`]: 1 },
        { name: "one", [`${manager}/x`]: 1 }
      ]
      for (const spec of hostile) {
        // What a caller without types may pass.
        const { exit, places } = yield* watching(keys.create(spec as { readonly name: string }))
        assert.isTrue(Exit.isFailure(exit))
        assertClean(inspect(spec), places)
      }
    }).pipe(Effect.provide(vendorLayer({ kind: "in place" }).layer))
  )

  it.effect("the store of a rate limiter that says too much", () => {
    const end = Effect.fail(
      new RateLimiter.RateLimiterError({
        reason: new RateLimiter.RateLimitStoreError({ message: `redis://${manager}`, cause: new Error(manager) })
      })
    )
    const store = RateLimiter.RateLimiterStore.of({
      fixedWindow: () => end,
      tokenBucket: () => end,
      adaptiveConsume: () => end,
      adaptiveFeedback: () => end
    })
    return Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const ref = keys.ref(Redacted.make(`api_test_${canary}_key`))
      for (const [verb, call] of Object.entries(verbs)) {
        const { places } = yield* watching(call(keys, ref))
        assertClean(verb, places)
      }
    }).pipe(
      Effect.provide(vendorLayer({ kind: "in place" }).layer),
      Effect.provideService(RateLimiter.RateLimiterStore, store)
    )
  })

  for (const [what, deliver] of [
    ["fails with the key", (token: string) => Effect.fail({ token })],
    ["dies with the key", (token: string) => Effect.die(new Error(token))]
  ] as const) {
    for (const kind of ["in place", "successor"] as const) {
      it.effect(`a deliver that ${what}: only its caller sees it (rotating ${kind})`, () =>
        Effect.gen(function* () {
          const keys = yield* ApiKeyService
          const { ref } = yield* keys.create({ name: "one" })
          const options = {
            deliver: ({ secret }: { readonly secret: Redacted.Redacted<string> }) => deliver(Redacted.value(secret))
          }
          const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            keys.create({ name: "two" }, options),
            keys.rotate(ref, options)
          ]
          for (const call of calls) {
            // The caller's own span holds the caller's own error; ours must not.
            const { places } = yield* watching(call)
            const spans = places.spans.filter(({ name }) => name !== "caller")
            assertClean(what, {
              spans: spans.map((span) => ({ ...span, parent: Option.none() })),
              metrics: places.metrics
            })
            assertClean(what, { logs: places.logs })
          }
        }).pipe(Effect.provide(vendorLayer({ kind }).layer))
      )
    }
  }

  it.effect("an issued key and a listed one, printed", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const issued = yield* keys.create({ name: "one" })
      assert.isTrue(holdsCanary(Redacted.value(issued.secret)), "the canary is what is hidden")
      assertClean("printed", { logs: [issued, yield* Stream.runCollect(keys.list()), yield* keys.get(issued.ref)] })
    }).pipe(Effect.provide(vendorLayer({ kind: "in place" }).layer))
  )
})

describe("the detector finds a canary that was planted", () => {
  const planted = (place: keyof Places, effect: Effect.Effect<unknown, unknown>) =>
    Effect.gen(function* () {
      const { places } = yield* watching(effect)
      assert.isAbove(leaks(places[place]).length, 0, `not found in ${place}`)
    })

  const logs: Record<string, Effect.Effect<unknown>> = {
    message: Effect.logTrace(`token ${manager}`),
    "a message's part": Effect.logDebug("token", { deep: [{ token: manager }] }),
    annotation: Effect.annotateLogs(Effect.logInfo("hello"), { token: manager }),
    "annotation's name": Effect.annotateLogs(Effect.logInfo("hello"), manager, 1),
    span: Effect.withLogSpan(Effect.logInfo("hello"), manager),
    cause: Effect.logError("hello", Cause.die(new Error(manager))),
    "base64 inside": Effect.logInfo(Buffer.from(`Basic ${manager}`).toString("base64")),
    hex: Effect.logInfo(Buffer.from(manager).toString("hex"))
  }
  for (const [what, effect] of Object.entries(logs)) it.effect(`in a log: ${what}`, () => planted("logs", effect))

  const spans: Record<string, Effect.Effect<unknown, unknown>> = {
    name: Effect.withSpan(Effect.void, manager),
    attribute: Effect.withSpan(Effect.void, "span", { attributes: { token: manager } }),
    "attribute's name": Effect.annotateCurrentSpan(manager, 1),
    event: Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) =>
      Effect.sync(() => span.event("http", 0n, { token: manager }))
    ),
    "an event's name": Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) =>
      Effect.sync(() => span.event(manager, 0n))
    ),
    log: Effect.logInfo(manager),
    success: Effect.succeed({ key: { secret: manager } }),
    failure: Effect.fail({ token: manager }),
    defect: Effect.die(new Error(manager)),
    "a hidden part of a failure": Effect.fail(
      Object.defineProperty(new Error("hello"), "request", { enumerable: false, value: { headers: { key: manager } } })
    ),
    "a symbol's part of a failure": Effect.fail({ [Symbol("request")]: new Map([["key", new Set([manager])]]) }),
    "a failure that goes round": Effect.suspend(() => {
      const error: Record<string, unknown> = { token: [manager] }
      error.self = error
      return Effect.fail(error)
    }),
    "bytes of a failure": Effect.fail({ body: new TextEncoder().encode(manager) })
  }
  for (const [what, effect] of Object.entries(spans)) it.effect(`in a span: ${what}`, () => planted("spans", effect))

  it.effect("in what the client writes on a verb's span", () =>
    planted(
      "spans",
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        yield* keys.get(keys.ref(Redacted.make("api_test_1")))
      }).pipe(
        Effect.provide(
          ApiKeyService.layer(
            Effect.succeed({
              provider: "acme",
              account: "default",
              restrictions: {},
              defaults: {},
              name: ApiKeyDriver.text(Result.succeed),
              address: ApiKeyDriver.text(Result.succeed),
              handle,
              get: (token) =>
                Effect.andThen(
                  traceExchange({ method: "GET", path: `/keys/${manager}` }),
                  Effect.succeed(toRecord({ token, name: "one", status: "active", domains: [] }))
                )
            } satisfies ApiKeyDriver.ApiKeyDriver)
          )
        )
      )
    )
  )

  it.effect("in a metric: name, attribute, attribute's name", () =>
    Effect.gen(function* () {
      const counter = Metric.counter("calls")
      yield* planted("metrics", Metric.update(Metric.counter(manager), 1))
      yield* planted("metrics", Metric.update(Metric.withAttributes(counter, { token: manager }), 1))
      yield* planted("metrics", Metric.update(Metric.withAttributes(counter, { [manager]: "1" }), 1))
    })
  )

  it.effect("in an error: message, cause, own part, Schema, exit", () =>
    Effect.gen(function* () {
      class Getter {
        get message() {
          return manager
        }
      }
      const errors = [
        manager,
        new Error(manager),
        new Error("hello", { cause: { token: manager } }),
        Object.assign(new Error("hello"), { stack: manager }),
        new AggregateError([new Error(manager)]),
        { token: manager },
        { inner: { [manager]: 1 } },
        new Getter(),
        new ApiKeyError({ provider: "acme", operation: manager, reason: new KeyNotFound() })
      ]
      for (const error of errors) {
        yield* planted("errors", Effect.fail(error))
        yield* planted("exit", Effect.fail(error))
      }
      yield* planted("encoded", Effect.fail(errors.at(-1)))
      yield* planted("exit", Effect.die(new Error(manager)))
    })
  )

  it("in each rendering by itself", () => {
    const value = { token: manager }
    const [string, json, shown, raw, formatted, formattedJson] = renderings(Object.assign([manager], value))
    for (const text of [string, json, shown, raw, formatted, formattedJson]) assert.isTrue(holdsCanary(text ?? ""))
    const [, , , , , , error] = renderings(new Error(manager))
    const [, , , , , , , cause] = renderings(Cause.fail(new Error(manager)))
    const [, , , , , , , , exit] = renderings(Exit.fail(new Error(manager)))
    for (const text of [error, cause, exit]) assert.isTrue(holdsCanary(text ?? ""))
  })

  it("and none in what has none", () => {
    const words = [
      "canary",
      "api_test_manager",
      Redacted.make(manager),
      new Error("hello"),
      new Map([[1, Context.empty()]])
    ]
    assert.deepStrictEqual(leaks(words), [])
  })

  it.effect("the vendor does talk about secrets, and the requests do hold them", () =>
    Effect.gen(function* () {
      const { app } = makeApp()
      const seen: Array<string> = []
      const spying: HttpSandbox.App = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        seen.push(request.originalUrl, JSON.stringify({ ...request.headers }))
        return yield* app
      })
      yield* Effect.gen(function* () {
        const keys = yield* ApiKeyService
        yield* Effect.exit(keys.get(keys.ref(Redacted.make(`api_test_${canary}_unknown`))))
      }).pipe(
        Effect.provide(
          ApiKeyService.layer(makeDriver({ kind: "in place" })).pipe(Layer.provide(HttpSandbox.layerClient(spying)))
        )
      )
      yield* breathe
      assert.strictEqual(seen.length, 2)
      assert.isTrue(seen.every(holdsCanary))
    })
  )
})
