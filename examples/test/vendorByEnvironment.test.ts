import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { ApiKeyService, type Can } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Vault } from "../src/Vault.ts"
import * as VendorByEnvironment from "../src/vendorByEnvironment.ts"
import { credentials, environment, isLive, names, requestsAt, stores, vendors } from "./support.ts"

const program = Effect.gen(function* () {
  const vault = yield* Vault
  return yield* VendorByEnvironment.issue("acme", vault.put("acme"))
})

const run = (variables: Readonly<Record<string, string>>) =>
  program.pipe(Effect.provide(VendorByEnvironment.layer.pipe(Layer.provide(environment(variables)))))

const { JETEMAIL_API_KEY, SMTP2GO_API_KEY, VOICEABLE_API_KEY, VOICEABLE_BASE_URL } = credentials
const own = {
  jetemail: { JETEMAIL_API_KEY },
  smtp2go: { SMTP2GO_API_KEY },
  voiceable: { VOICEABLE_API_KEY, VOICEABLE_BASE_URL }
}

describe("vendor by environment", () => {
  for (const vendor of names) {
    it.effect(`with KEYS_VENDOR=${vendor} the key is made there, and no other vendor's variables are needed`, () =>
      Effect.gen(function* () {
        const key = yield* run({ ...own[vendor], KEYS_VENDOR: vendor })
        assert.strictEqual(key.ref.provider, vendor)
        assert.isTrue(yield* isLive(vendor, key.secret))
        assert.isTrue(Option.isSome(yield* (yield* Vault).read("acme")))
        for (const other of names) if (other !== vendor) assert.strictEqual(yield* requestsAt(other), 0)
      }).pipe(Effect.provide([vendors, stores]))
    )
  }

  it.effect("a vendor that is not in the list, or none, or no credential: the layer fails, and nothing is sent", () =>
    Effect.gen(function* () {
      for (const [variables, named] of [
        [{ ...credentials, KEYS_VENDOR: "acme" }, "KEYS_VENDOR"],
        [credentials, "KEYS_VENDOR"],
        [{ ...own.jetemail, KEYS_VENDOR: "smtp2go" }, "SMTP2GO_API_KEY"]
      ] as const) {
        const error = yield* Effect.flip(run(variables))
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, named)
      }
      for (const vendor of names) assert.strictEqual(yield* requestsAt(vendor), 0)
    }).pipe(Effect.provide([vendors, stores]))
  )

  it("a program that needs what one of them lacks does not compile with this layer", () => {
    const disabling = ApiKeyService.can("disable").pipe(Effect.provide(VendorByEnvironment.layer))
    expectTypeOf<Effect.Services<typeof disabling>>().toEqualTypeOf<Can<"disable"> | HttpClient.HttpClient>()
    const shared = ApiKeyService.can("create", "patch", "rotate", "revoke", "delete", "get", "list").pipe(
      Effect.provide(VendorByEnvironment.layer)
    )
    expectTypeOf<Effect.Services<typeof shared>>().toEqualTypeOf<HttpClient.HttpClient>()
  })
})
