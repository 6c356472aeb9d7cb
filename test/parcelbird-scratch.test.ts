import { ApiKeyService } from "@effect-api-keys/core"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Parcelbird from "./parcelbird/Parcelbird.ts"
import { layerClient, ParcelbirdSandbox } from "./parcelbird/ParcelbirdSandbox.ts"
const bound = Layer.unwrap(
  Effect.map(ParcelbirdSandbox, ({ credential }) =>
    Parcelbird.layer({ apiKey: credential, defaults: { scopes: "any", rate: "unlimited" }, rateLimit: false })
  )
).pipe(Layer.provideMerge(layerClient))
it.effect("x", () => Effect.gen(function* () {
  const keys = yield* ApiKeyService
  const s = yield* ParcelbirdSandbox
  yield* s.behave({ limits: false, twist: { topics: "*" }, queue: 3600_000 })
  const f = yield* Effect.forkChild(Effect.flip(keys.create({ name: "acme", scopes: ["orders.*"] })))
  yield* TestClock.adjust("1 minute")
  console.log((yield* Fiber.join(f)).message, (yield* s.seen).map((x) => x.method + x.path), (yield* s.tokens).map((r) => r.frozen))
}).pipe(Effect.provide(bound)) as any)
