/** The same calls through `ApiKeyService`, at JetEmail. */
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as JetEmail from "@effect-api-keys/jetemail"
import { budgets } from "@effect-api-keys/jetemail/JetEmailClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { credential, token, type Verb } from "./vendor.ts"

export const layer = (baseUrl: string, limiter: "on" | "off") =>
  JetEmail.layer({
    apiKey: Redacted.make(credential),
    baseUrl,
    defaults: { domains: "any", ips: "any", quota: "unlimited" },
    ...(limiter === "off" ? { rateLimit: false } : {})
  })

/** How many calls a fresh limiter lets through before one has to wait: JetEmail's ordinary budget. */
export const budget = budgets.ordinary.limit

const restrictions = { domains: ["acme.example"], quota: 500 } as const

/** One call, made anew each time, as a program does that is given its arguments. */
export const call = (verb: Verb) =>
  Effect.gen(function* () {
    const keys = yield* ApiKeyService.can("create", "patch", "rotate", "domains", "quota")
    const ref = keys.ref(Redacted.make(token))
    return Effect.suspend((): Effect.Effect<unknown, unknown> => {
      switch (verb) {
        case "create":
          return keys.create({ name: "acme", ...restrictions })
        case "patch":
          return keys.patch(ref, restrictions)
        case "rotate":
          return keys.rotate(ref)
      }
    })
  })
