/** More calls at once than the vendor lets through: who may not go is told so, and nobody is kept in a queue. */
import { ApiKeyError } from "@effect-api-keys/core/ApiKeyError"
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Row } from "./rows.ts"
import * as Stub from "./stub.ts"
import { credential } from "./vendor.ts"

const calls = 256

const program = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create")
  const ends = yield* Effect.forEach(
    Array.from({ length: calls }),
    () => Effect.result(keys.create({ name: "acme" })),
    {
      concurrency: "unbounded"
    }
  )
  const refused = ends.filter((end) => end._tag === "Failure" && ApiKeyError.is("RateLimited")(end.failure)).length
  const sent = ends.filter(({ _tag }) => _tag === "Success").length
  return { sent, refused }
})

const layer = JetEmail.layer({
  apiKey: Redacted.make(credential),
  baseUrl: Stub.baseUrl,
  rateLimit: { maxWait: 0 },
  defaults: { domains: "any", ips: "any", quota: "unlimited" }
}).pipe(Layer.provide(Stub.layer))

export const measure = async (): Promise<ReadonlyArray<Row>> => {
  const { refused, sent } = await Effect.runPromise(Effect.provide(program, layer))
  return [
    {
      group: `${calls} creates at once, limiter on, maxWait 0`,
      name: "ours",
      sent,
      "refused as RateLimited": refused,
      "left waiting": calls - sent - refused
    }
  ]
}
