/**
 * One vendor's budget, shared by all processes that work on the account: SMTP2GO takes five new keys a minute from all of
 * them together, and a 429 that one of them meets holds the others back.
 *
 * Watch out: what shares a budget is provider, account and store, so give the layers the same `account`. While Redis is
 * down `revoke` and `disable` go out all the same, and everything else fails with `ProviderUnavailable`.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"

const layerRedis = RateLimiter.layerStoreRedis({ prefix: "vendor-budgets:" }).pipe(
  Layer.provide(
    NodeRedis.layerConfig({
      url: Config.String("REDIS_URL"),
      // While the connection is down commands fail at once. Otherwise they wait in a queue, and so do `revoke`, for three
      // seconds, and the end of your program, for ever.
      disableOfflineQueue: Config.succeed(true)
    })
  )
)

/** Redis is down at the start: counts in memory, for this process alone, so that it can shut a leaked key off. */
export const layerStore = layerRedis.pipe(
  Layer.catchTag("RedisError", () =>
    RateLimiter.layerStoreMemory.pipe(
      Layer.tap(() => Effect.logWarning("Redis is down: this process counts its calls to the vendor by itself"))
    )
  )
)

export const layer = MailerPatch.layerConfig({
  apiKey: Config.Redacted("SMTP2GO_API_KEY"),
  account: Config.withDefault(Config.String("SMTP2GO_ACCOUNT"), "default"),
  defaults: { rate: "unlimited" }
}).pipe(Layer.provide(layerStore))
