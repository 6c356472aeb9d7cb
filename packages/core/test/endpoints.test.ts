import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ApiKeyError, type ApiKeyErrorReason, InvalidKeyState, KeyNotFound } from "../src/ApiKeyError.ts"
import * as ProviderClient from "../src/ProviderClient.ts"
import { Conformance, HttpFaults, HttpSandbox } from "../src/testing/index.ts"
import { breathe, expectError, expectReason, run } from "./support.ts"

const manager = "api_test_manager"
const canary = "api_test_in_the_reply"

const generous = { limit: 1000, window: "1 minute" } as const

const make = (options: Partial<ProviderClient.VendorOptions> = {}) =>
  ProviderClient.make({
    provider: "acme",
    baseUrl: "https://api.acme.test",
    authorization: (credential) => ["x-acme-key", credential],
    budgets: { ordinary: generous, urgent: generous, lockout: "5 minutes" },
    apiKey: Redacted.make(manager),
    retry: false,
    ...options
  })

/** A vendor of one reply, made anew for each request. */
const answering = (reply: () => HttpServerResponse.HttpServerResponse) => HttpSandbox.layerClient(Effect.sync(reply))

const text = (body: string, status = 200) => answering(() => HttpServerResponse.text(body, { status }))

const safeties = ["read", "idempotent", "remove", "mint"] as const

type Parts<A> = Pick<ProviderClient.Endpoint<unknown, A>, "reply"> &
  Partial<Pick<ProviderClient.Endpoint<unknown, A>, "errors" | "gone" | "redirected" | "salvage">>

/** Calls an endpoint of these parts and this safety, once. */
const calling = <A>(safety: ProviderClient.Safety, parts: Parts<A>, options?: Partial<ProviderClient.VendorOptions>) =>
  Effect.flatMap(make(options), (client): Effect.Effect<A, ApiKeyError> => {
    const endpoint = { ...parts, path: "/keys/:id" } as const
    const request = { params: { id: "k1" } }
    return safety === "mint"
      ? Effect.flatMap(client.prepare({ ...endpoint, method: "POST", safety })(request), ({ send }) => send)
      : client.call({ ...endpoint, method: "GET", safety })(request)
  })

const renderings = (value: unknown): string =>
  [String(value), JSON.stringify(value), inspect(value, { depth: Infinity, showHidden: true })].join("\n")

describe("a redirect that has a meaning", () => {
  const Reply = Schema.Literals(["replied", "redirected"])
  const redirecting = { reply: Reply, redirected: () => "redirected" as const }
  const location = "https://evil.test/steal"

  for (const safety of safeties) {
    it.effect(`gives what the endpoint says, and is not followed (${safety})`, () =>
      Effect.gen(function* () {
        for (const status of [300, 301, 302, 303, 304, 305, 307, 308, 399]) {
          const seen: Array<string> = []
          const layer = HttpSandbox.layerClient(
            Effect.map(HttpServerRequest.HttpServerRequest, ({ originalUrl }) => {
              seen.push(originalUrl)
              return HttpServerResponse.empty({ status, headers: { location } })
            })
          )
          assert.strictEqual(yield* Effect.provide(calling(safety, redirecting), layer), "redirected")
          assert.deepStrictEqual(seen, ["https://api.acme.test/keys/k1"])
        }
      })
    )

    it.effect(`without a meaning it is a failure, and its target is not shown (${safety})`, () =>
      Effect.gen(function* () {
        const error = yield* expectError(
          calling(safety, { reply: Reply }),
          safety === "mint" ? "OutcomeUnknown" : "UnexpectedResponse"
        )
        assert.strictEqual(error.http?.status, 302)
        assert.notInclude(renderings(error), "evil.test")
      }).pipe(Effect.provide(answering(() => HttpServerResponse.empty({ status: 302, headers: { location } }))))
    )
  }

  it.effect("what Fetch shows of one in a browser, status 0, is one", () => {
    const opaque = HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, Response.error())))
    return Effect.gen(function* () {
      assert.strictEqual(yield* calling("remove", redirecting), "redirected")
      yield* expectReason(calling("remove", { reply: Reply }), "UnexpectedResponse")
    }).pipe(Effect.provideService(HttpClient.HttpClient, opaque))
  })

  it.effect("its body is not waited for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* calling("read", redirecting), "redirected")
    }).pipe(Effect.provide(answering(() => HttpServerResponse.stream(Stream.never, { status: 302 }))))
  )

  for (const [status, tag] of [
    [400, "InvalidRequest"],
    [403, "PermissionDenied"],
    [429, "RateLimited"],
    [500, "ProviderUnavailable"]
  ] as const) {
    it.effect(`${status} is none`, () =>
      Effect.gen(function* () {
        yield* expectReason(calling("read", redirecting), tag)
      }).pipe(Effect.provide(text(`"replied"`, status)))
    )
  }

  it.effect("nor is a reply", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* calling("read", redirecting), "replied")
    }).pipe(Effect.provide(text(`"replied"`)))
  )
})

describe("a status whose meaning an endpoint leaves open", () => {
  const usual = (safety: ProviderClient.Safety, status: number): ApiKeyErrorReason["_tag"] => {
    if (status === 401) return "AuthenticationFailed"
    if (status === 402 || status === 403) return "PermissionDenied"
    if (status !== 408 && status < 500) return "InvalidRequest"
    return safety === "mint" ? "OutcomeUnknown" : "ProviderUnavailable"
  }

  for (const safety of safeties) {
    it.effect(`means what it means everywhere, and is counted as such (${safety})`, () =>
      Effect.gen(function* () {
        for (const status of [400, 401, 402, 403, 404, 408, 409, 418, 422, 500, 503]) {
          const asked: Array<unknown> = []
          const errors = {
            [status]: (reply: unknown) => {
              asked.push(reply)
              return undefined
            }
          }
          const error = yield* expectError(
            calling(safety, { reply: Schema.Unknown, errors }).pipe(Effect.provide(text(`{"code":7}`, status))),
            usual(safety, status)
          )
          assert.strictEqual(error.http?.status, status)
          assert.deepStrictEqual(asked, [{ code: 7 }])
        }
      })
    )
  }

  it.effect("is read from the reply, case by case", () => {
    const errors = {
      400: (reply: unknown) => (reply === "off" ? new InvalidKeyState({ status: "disabled" }) : undefined)
    }
    const endpoint = { reply: Schema.Unknown, errors }
    return Effect.gen(function* () {
      yield* expectReason(Effect.provide(calling("read", endpoint), text(`"off"`, 400)), "InvalidKeyState")
      yield* expectReason(Effect.provide(calling("read", endpoint), text(`"on"`, 400)), "InvalidRequest")
      // Another status does not concern it.
      yield* expectReason(Effect.provide(calling("read", endpoint), text(`"off"`, 401)), "AuthenticationFailed")
    })
  })

  for (const [what, body] of [
    ["no body", ""],
    ["text", `<html>${canary}</html>`],
    ["half of one", `{"code":"${canary}"`]
  ] as const) {
    it.effect(`a reply that is no JSON (${what}) is undefined to it, and is shown nowhere`, () => {
      const asked: Array<unknown> = []
      const errors = {
        404: (reply: unknown) => {
          asked.push(reply)
          return undefined
        }
      }
      return Effect.gen(function* () {
        const error = yield* expectError(calling("read", { reply: Schema.Unknown, errors }), "InvalidRequest")
        assert.deepStrictEqual(asked, [undefined])
        assert.notInclude(renderings(error), canary)
      }).pipe(Effect.provide(text(body, 404)))
    })
  }

  it.effect("one that means nothing special is repeated where it is safe, and one that does is not", () =>
    Effect.gen(function* () {
      const attemptsWith = (special: ApiKeyErrorReason | undefined) => {
        let attempts = 0
        const layer = answering(() => {
          attempts++
          return HttpServerResponse.empty({ status: 503 })
        })
        const endpoint = { reply: Schema.Unknown, errors: { 503: () => special } }
        return Effect.map(
          run(Effect.exit(calling("read", endpoint, { retry: { times: 2 } })).pipe(Effect.provide(layer))),
          () => attempts
        )
      }
      assert.strictEqual(yield* attemptsWith(undefined), 3)
      assert.strictEqual(yield* attemptsWith(new InvalidKeyState({})), 1)
    })
  )

  it.effect("a removal's 404 that has no meaning is no proof that the key is gone", () => {
    let replies = 0
    const layer = answering(() => HttpServerResponse.empty({ status: replies++ === 0 ? 503 : 404 }))
    const endpoint = { reply: Schema.Unknown, gone: () => "gone", errors: { 404: () => undefined } }
    return Effect.gen(function* () {
      yield* run(expectReason(calling("remove", endpoint, { retry: { times: 1 } }), "InvalidRequest"))
      replies = 0
      const known = { ...endpoint, errors: { 404: () => new KeyNotFound() } }
      assert.strictEqual(yield* run(calling("remove", known, { retry: { times: 1 } })), "gone")
    }).pipe(Effect.provide(layer))
  })

  it.effect("429 has one meaning, and the endpoint is not asked", () => {
    let asked = 0
    const errors = {
      429: () => {
        asked++
        return new KeyNotFound()
      }
    }
    return Effect.gen(function* () {
      yield* expectReason(calling("mint", { reply: Schema.Unknown, errors }), "RateLimited")
      assert.strictEqual(asked, 0)
    }).pipe(Effect.provide(text("", 429)))
  })
})

describe("what a status means at every endpoint of a vendor", () => {
  const errors = { 409: () => new InvalidKeyState({}), 418: () => undefined }

  for (const safety of safeties) {
    it.effect(`goes for those that say nothing of it themselves, and after those that do (${safety})`, () =>
      Effect.gen(function* () {
        const parts = { reply: Schema.Unknown }
        yield* expectReason(calling(safety, parts, { errors }), "InvalidKeyState")
        yield* expectReason(calling(safety, parts), "InvalidRequest")
        const own = { ...parts, errors: { 409: () => new KeyNotFound() } }
        yield* expectReason(calling(safety, own, { errors }), "KeyNotFound")
        const silent = { ...parts, errors: { 409: () => undefined } }
        yield* expectReason(calling(safety, silent, { errors }), "InvalidKeyState")
      }).pipe(Effect.scoped, Effect.provide(text("{}", 409)))
    )
  }
})

describe("a reply that is no JSON", () => {
  const bodies = [
    `<html><body>${canary}</body></html>`,
    canary,
    " ",
    "\n",
    `{"key":"${canary}"`,
    `{"key":"${canary}"} trailing`,
    "undefined",
    "NaN",
    `'${canary}'`
  ]

  for (const body of bodies) {
    it.effect(`${JSON.stringify(body)} is never a reply, though the endpoint takes anything`, () =>
      Effect.gen(function* () {
        for (const safety of safeties) {
          const error = yield* expectError(
            calling(safety, { reply: Schema.Unknown }),
            safety === "mint" ? "OutcomeUnknown" : "UnexpectedResponse"
          )
          assert(error.reason._tag === "UnexpectedResponse" || error.reason._tag === "OutcomeUnknown")
          assert.strictEqual(error.reason.problem, safety === "mint" ? "reply" : "body")
          assert.deepStrictEqual(error.reason.issues, [{ path: [], message: "not JSON" }])
          assert.notInclude(renderings(error), canary)
        }
      }).pipe(Effect.provide(text(body)))
    )

    it.effect(`${JSON.stringify(body)} goes to the endpoint's salvage as it came`, () =>
      Effect.gen(function* () {
        for (const safety of safeties) {
          const seen: Array<unknown> = []
          const salvage = (reply: unknown) => {
            seen.push(reply)
            return Option.some("salvaged")
          }
          assert.strictEqual(yield* calling<unknown>(safety, { reply: Schema.Unknown, salvage }), "salvaged")
          assert.deepStrictEqual(seen, [body])
        }
      }).pipe(Effect.provide(text(body)))
    )
  }

  it.effect("and fails where nothing can be salvaged of it", () =>
    Effect.gen(function* () {
      const salvage = () => Option.none()
      const error = yield* expectError(calling<unknown>("mint", { reply: Schema.Unknown, salvage }), "OutcomeUnknown")
      assert.notInclude(renderings(error), canary)
    }).pipe(Effect.provide(text(`<p>${canary}</p>`)))
  )

  for (const body of ["null", "{}", "[]", `""`, "0", "false", "\ufeff{}", " \r\n{}\t"]) {
    it.effect(`${JSON.stringify(body)} is JSON, and salvages nothing where the endpoint takes it`, () => {
      const salvage = () => assert.fail("asked to salvage a reply that was read")
      return Effect.gen(function* () {
        const expected: unknown = JSON.parse(body.replace("\ufeff", ""))
        assert.deepStrictEqual(yield* calling<unknown>("mint", { reply: Schema.Unknown, salvage }), expected)
      }).pipe(Effect.provide(text(body)))
    })
  }

  it.effect("JSON of another shape is salvaged parsed", () =>
    Effect.gen(function* () {
      const salvage = (reply: unknown) => (Array.isArray(reply) ? Option.some("salvaged") : Option.none())
      assert.strictEqual(yield* calling("read", { reply: Schema.String, salvage }), "salvaged")
    }).pipe(Effect.provide(text("[1]")))
  )
})

describe("no body", () => {
  const empties: ReadonlyArray<readonly [string, () => HttpServerResponse.HttpServerResponse]> = [
    ["200, empty text", () => HttpServerResponse.text("")],
    ["200, no body", () => HttpServerResponse.empty({ status: 200 })],
    ["202, no body", () => HttpServerResponse.empty({ status: 202 })],
    ["204", () => HttpServerResponse.empty({ status: 204 })],
    ["an empty stream", () => HttpServerResponse.stream(Stream.empty)]
  ]
  for (const [what, reply] of empties) {
    it.effect(`${what} is undefined to the endpoint's schema`, () =>
      Effect.gen(function* () {
        for (const safety of safeties) {
          assert.isUndefined(yield* calling(safety, { reply: Schema.Unknown }))
          assert.isUndefined(yield* calling(safety, { reply: Schema.Undefined }))
        }
      }).pipe(Effect.provide(answering(reply)))
    )

    it.effect(`${what} fails where a body is needed, and there is nothing to salvage but undefined`, () =>
      Effect.gen(function* () {
        const reply = Schema.Struct({ id: Schema.String })
        const { issues, problem } = yield* expectReason(calling("mint", { reply }), "OutcomeUnknown")
        assert.strictEqual(problem, "reply")
        assert.deepStrictEqual(issues, [{ path: [], message: "missing or of an unexpected shape" }])
        const seen: Array<unknown> = []
        const salvage = (given: unknown) => {
          seen.push(given)
          return Option.some({ id: "k1" })
        }
        assert.deepStrictEqual(yield* calling("remove", { reply, salvage }), { id: "k1" })
        assert.deepStrictEqual(seen, [undefined])
      }).pipe(Effect.provide(answering(reply)))
    )
  }

  it.effect("null is not undefined", () =>
    Effect.gen(function* () {
      yield* expectReason(calling("read", { reply: Schema.Undefined }), "UnexpectedResponse")
    }).pipe(Effect.provide(text("null")))
  )
})

describe("client.credential", () => {
  const silent = HttpSandbox.layerClient(Effect.sync(() => assert.fail("nothing is sent")))

  const reading = (options: Partial<ProviderClient.VendorOptions>) =>
    Effect.flatMap(make(options), ({ credential }) => credential)

  it.effect("is what a call would send now, and is read each time", () => {
    const sent: Array<string | undefined> = []
    const layer = HttpSandbox.layerClient(
      Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => {
        sent.push(headers["x-acme-key"])
        return HttpServerResponse.jsonUnsafe({})
      })
    )
    let generation = 0
    return Effect.gen(function* () {
      const client = yield* make({ apiKey: Effect.sync(() => Redacted.make(`api_test_${generation}`)) })
      const endpoint = { method: "GET", path: "/keys", safety: "read", reply: Schema.Unknown } as const
      for (generation = 1; generation <= 2; generation++) {
        const credential = yield* client.credential
        yield* client.call(endpoint)({})
        assert.strictEqual(Redacted.value(credential), sent.at(-1))
        assert.strictEqual(Redacted.value(credential), `api_test_${generation}`)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("is redacted wherever it is shown", () =>
    Effect.gen(function* () {
      const credential = yield* reading({})
      assert.strictEqual(Redacted.value(credential), manager)
      assert.notInclude(renderings({ credential }), manager)
    }).pipe(Effect.provide(silent))
  )

  const wiped = Redacted.make(manager)
  Redacted.wipeUnsafe(wiped)
  const bad: ReadonlyArray<readonly [string, ProviderClient.Credential, "unreadable" | "malformed"]> = [
    ["fails", Effect.fail({ message: `cannot decrypt ${manager}` }), "unreadable"],
    ["dies", Effect.die(new Error(manager)), "unreadable"],
    ["was wiped", wiped, "unreadable"],
    ["is empty", Redacted.make(""), "malformed"],
    ["holds a line end", Redacted.make(`${manager}\n`), "malformed"]
  ]
  for (const [what, apiKey, problem] of bad) {
    it.effect(`one that ${what} is ${problem}, typed, and shown nowhere`, () =>
      Effect.gen(function* () {
        const error = yield* expectError(reading({ apiKey }), "AuthenticationFailed")
        assert(error.reason._tag === "AuthenticationFailed")
        assert.strictEqual(error.reason.problem, problem)
        assert.strictEqual(error.provider, "acme")
        assert.isUndefined(error.http, "there was no exchange")
        assert.notInclude(renderings(error), manager)
      }).pipe(Effect.provide(silent))
    )
  }

  it.effect("one that never comes is unreadable after the time-out", () =>
    Effect.gen(function* () {
      const { problem } = yield* run(
        expectReason(reading({ apiKey: Effect.never, timeout: "5 seconds" }), "AuthenticationFailed")
      )
      assert.strictEqual(problem, "unreadable")
    }).pipe(Effect.provide(silent))
  )

  it.effect("a caller who leaves while it is read is interrupted", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(reading({ apiKey: Effect.never }))
      yield* breathe
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }).pipe(Effect.provide(silent))
  )

  it.effect("takes no token", () => {
    const budget = { limit: 1, window: "1 hour" } as const
    return Effect.gen(function* () {
      const client = yield* make({ budgets: { ordinary: budget, urgent: budget, lockout: "1 hour" } })
      yield* Effect.forEach(Array.from({ length: 5 }), () => client.credential)
      yield* client.call({ method: "GET", path: "/keys", safety: "read", reply: Schema.Unknown })({})
      assert.strictEqual(Redacted.value(yield* client.credential), manager)
    }).pipe(Effect.provide(text("{}")))
  })
})

describe("Conformance.httpVendor", () => {
  const targets = {
    create: { method: "POST", url: "/keys/new" },
    rotate: { method: "POST", url: "/rotate" },
    change: { method: "PATCH" },
    remove: { method: "DELETE" },
    read: { method: "GET" }
  } as const
  const requests = {
    create: HttpClientRequest.post("https://api.acme.test/keys/new"),
    rotate: HttpClientRequest.post("https://api.acme.test/keys/1/rotate"),
    change: HttpClientRequest.patch("https://api.acme.test/keys/1"),
    remove: HttpClientRequest.delete("https://api.acme.test/keys/1"),
    read: HttpClientRequest.get("https://api.acme.test/keys/1")
  } as const
  const kinds = ["create", "rotate", "change", "remove", "read"] as const

  const ends: { readonly [D in Conformance.Disturbance]: { readonly seen: string; readonly carriedOut: boolean } } = {
    refused: { seen: "ECONNREFUSED", carriedOut: false },
    replyLost: { seen: "ECONNRESET", carriedOut: true },
    unreadable: { seen: "200 no JSON", carriedOut: true },
    serverError: { seen: "500", carriedOut: false },
    rateLimited: { seen: "429 300", carriedOut: false },
    foreignNotFound: { seen: "404", carriedOut: false }
  }
  const disturbances = ["refused", "replyLost", "unreadable", "serverError", "rateLimited", "foreignNotFound"] as const

  /** What a program sees of one request. */
  const see = (kind: Conformance.Kind) =>
    Effect.matchEffect(HttpClient.execute(requests[kind]), {
      onFailure: ({ reason }) =>
        Effect.succeed("cause" in reason && reason.cause instanceof Error ? reason.cause.message : reason._tag),
      onSuccess: (response) =>
        response.status === 200
          ? Effect.map(Effect.orDie(response.text), (body) => (body === "{}" ? "200" : "200 no JSON"))
          : Effect.succeed([response.status, response.headers["retry-after"]].filter(Boolean).join(" "))
    })

  for (const kind of kinds) {
    it.effect(`disturbs the next ${kind}, and nothing else`, () => {
      let carriedOut = 0
      const layer = Layer.provideMerge(
        HttpFaults.layer,
        answering(() => {
          carriedOut++
          return HttpServerResponse.text("{}")
        })
      )
      return Effect.gen(function* () {
        const vendor = yield* Conformance.httpVendor({
          isLive: (secret) => Effect.succeed(Redacted.value(secret) === manager),
          liveKeys: Effect.succeed(3),
          targets
        })
        assert.isTrue(yield* vendor.isLive(Redacted.make(manager)))
        assert.isFalse(yield* vendor.isLive(Redacted.make("api_test_other")))
        assert.strictEqual(yield* vendor.liveKeys, 3)
        const faults = yield* HttpFaults.HttpFaults
        for (const disturbance of disturbances) {
          yield* vendor.disturb(kind, disturbance)
          for (const other of kinds) if (other !== kind) assert.strictEqual(yield* see(other), "200")
          const before = { carriedOut, requests: yield* vendor.requests }
          assert.strictEqual(yield* see(kind), ends[disturbance].seen)
          assert.strictEqual(carriedOut - before.carriedOut, ends[disturbance].carriedOut ? 1 : 0)
          assert.strictEqual((yield* vendor.requests) - before.requests, 1)
          // A refusal outlasts the repeats of what is repeated; a mint is not.
          const lasting = disturbance === "refused" && kind !== "create" && kind !== "rotate"
          for (let repeat = 0; repeat < 3; repeat++) {
            assert.strictEqual(yield* see(kind), lasting ? ends.refused.seen : "200")
          }
          yield* faults.clear
        }
      }).pipe(Effect.provide(layer))
    })
  }
})
