/**
 * A service for tests of your own code, made of just the verbs it uses.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { IssuedKey, KeyRef } from "../ApiKey.ts"
import { ApiKeyError, UnsupportedOperation } from "../ApiKeyError.ts"
import { ApiKeyService, type EachCan, type Need, type Verb } from "../ApiKeyService.ts"

/**
 * A service with the parts that you give; the verbs left out fail with `UnsupportedOperation`.
 *
 * **Details**
 *
 * All evidence is there, so any program compiles with it. `supports` says yes to the verbs you give and to every
 * restriction, unless you give it.
 *
 * **Example** (A test of your own code)
 *
 * ```ts
 * import { ApiKeyService } from "@effect-api-keys/core"
 * import { layerTest } from "@effect-api-keys/core/testing"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const burn = Effect.gen(function* () {
 *   const keys = yield* ApiKeyService.can("revoke")
 *   return yield* keys.revoke(keys.ref(Redacted.make("api_test_leaked")))
 * })
 *
 * const outcome = await Effect.runPromise(
 *   burn.pipe(Effect.provide(layerTest({ revoke: () => Effect.succeed("disabled") })))
 * )
 * console.log(outcome) // disabled
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (
  parts: Partial<ApiKeyService["Service"]> = {}
): Layer.Layer<ApiKeyService | EachCan<Need>> => {
  const provider = parts.provider ?? "test"
  const account = parts.account ?? "default"
  const missing = (verb: Verb) =>
    new ApiKeyError({ provider, operation: verb, reason: new UnsupportedOperation({ need: verb }) })
  const service: ApiKeyService["Service"] = {
    provider,
    account,
    supports: (need) => (Object.hasOwn(service, need) ? Object.hasOwn(parts, need) : true),
    ref: (value) => new KeyRef({ provider, account, value: Redacted.make(Redacted.value(value)) }),
    handle: () => `${provider}_handle`,
    create: () => Effect.fail(missing("create")),
    patch: () => Effect.fail(missing("patch")),
    rotate: () => Effect.fail(missing("rotate")),
    disable: () => Effect.fail(missing("disable")),
    enable: () => Effect.fail(missing("enable")),
    revoke: () => Effect.fail(missing("revoke")),
    delete: () => Effect.fail(missing("delete")),
    get: () => Effect.fail(missing("get")),
    list: () => Stream.fail(missing("list")),
    prepare: () => Effect.fail(missing("prepare")),
    recover: () => Effect.fail(missing("recover")),
    ...parts
  }
  // The evidence is of types alone; a test vouches for it.
  return Layer.succeed(ApiKeyService, service) as Layer.Layer<ApiKeyService | EachCan<Need>>
}

/**
 * A key as a mint gives it, for tests of your own code: what `create` in {@link layerTest} hands to `deliver` and returns.
 *
 * **Gotchas**
 *
 * A `create` of your own must call `options.deliver` itself, as the real one does.
 *
 * @since 0.1.0
 * @category fixtures
 */
export const issuedKey = (
  options: {
    readonly name?: string
    /** `api_test_secret` unless given. */
    readonly secret?: string
    /** What the vendor knows the key by; the secret unless given. */
    readonly address?: string
    readonly handle?: string
    readonly provider?: string
    readonly account?: string
  } = {}
): IssuedKey => {
  const { account = "default", name = "test", provider = "test", secret = "api_test_secret" } = options
  return new IssuedKey({
    ref: new KeyRef({ provider, account, value: Redacted.make(options.address ?? secret) }),
    handle: options.handle ?? `${provider}_handle`,
    secret: Redacted.make(secret),
    name: Option.some(name),
    unrestricted: Option.none()
  })
}
