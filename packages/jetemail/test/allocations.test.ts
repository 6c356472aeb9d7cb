import { Session } from "node:inspector"
import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as JetEmail from "../src/index.ts"

/** What a call may allocate, in bytes, HTTP stubbed: a quarter above what it did. How fast the machine is does not come into it. */
const limits = { create: 112_000, patch: 97_000, rotate: 106_000 }

const calls = 300

const reply = (body: object) => {
  const text = JSON.stringify(body)
  const headers = { "content-type": "application/json", "content-length": String(text.length) }
  return () => new Response(text, { status: 200, headers })
}
const minted = reply({ success: true, api_token: "transactional_api_test_minted" })
const done = reply({ success: true })

const stubbed = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make((request) =>
    Effect.sync(() => HttpClientResponse.fromWeb(request, request.method === "POST" ? minted() : done()))
  )
)

const layer = JetEmail.layer({
  apiKey: Redacted.make("api_test_manager"),
  rateLimit: false,
  defaults: { domains: "any", ips: "any", quota: "unlimited" }
}).pipe(Layer.provide(stubbed))

interface Sampled {
  readonly selfSize: number
  readonly children: ReadonlyArray<Sampled>
}

const sizeOf = ({ children, selfSize }: Sampled): number =>
  children.reduce((sum, child) => sum + sizeOf(child), selfSize)

/** What an effect allocates when it is run so often, also of what is gone by then. */
const allocated = (effect: Effect.Effect<unknown>): Effect.Effect<number> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const session = new Session()
      session.connect()
      // The types do not know of the last two.
      const options: object = {
        samplingInterval: 4096,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true
      }
      session.post("HeapProfiler.startSampling", options)
      return session
    }),
    (session) =>
      Effect.map(effect, () => {
        let size = 0
        session.post("HeapProfiler.stopSampling", (_, { profile }) => {
          size = sizeOf(profile.head)
        })
        return size
      }),
    (session) => Effect.sync(() => session.disconnect())
  )

const often = (call: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
  Effect.orDie(Effect.asVoid(Effect.repeat(call, { times: calls - 1 })))

describe("a call allocates no more than it did", () => {
  it.live("create, patch, rotate", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "patch", "rotate", "domains")
      const ref = keys.ref(Redacted.make("transactional_api_test_first"))
      const verbs = {
        create: keys.create({ name: "tenant", domains: ["tenant.example"] }),
        patch: keys.patch(ref, { domains: ["tenant.example"] }),
        rotate: keys.rotate(ref)
      }
      for (const verb of ["create", "patch", "rotate"] as const) {
        yield* often(verbs[verb])
        const bytes = (yield* allocated(often(verbs[verb]))) / calls
        assert.isBelow(bytes, limits[verb], verb)
        // It did measure something.
        assert.isAbove(bytes, limits[verb] / 5, verb)
      }
    }).pipe(Effect.provide(layer))
  )
})
