/** Mints one key at JetEmail, over `fetch`. */
import { ApiKeyService } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const live = (apiKey: string) =>
  JetEmail.layer({
    apiKey: Redacted.make(apiKey),
    defaults: { domains: "any", ips: "any", quota: "unlimited" }
  }).pipe(Layer.provide(FetchHttpClient.layer))

export const create = (apiKey: string, name: string) =>
  Effect.flatMap(ApiKeyService.can("create"), (keys) => keys.create({ name })).pipe(
    Effect.provide(live(apiKey)),
    Effect.runPromise
  )
