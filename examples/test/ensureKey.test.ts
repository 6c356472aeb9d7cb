import { assert, describe, it } from "@effect/vitest"
import { ApiKeyService } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Ambiguous, ensureKey } from "../src/ensureKey.ts"
import { Vault } from "../src/Vault.ts"
import { at, isLive, names, stores } from "./support.ts"

const ensure = Effect.flatMap(Vault, (vault) => ensureKey("newsletter", vault.put("newsletter")))

describe("ensure by name", () => {
  for (const vendor of names) {
    it.effect(`${vendor}: the first run creates the key, and every later one finds it, without its secret`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService.can("create")
        yield* keys.create({ name: "newsletter 2" })
        const first = yield* ensure
        if (first._tag !== "Created") return assert.fail("it was not there before")
        assert.isTrue(yield* isLive(vendor, first.key.secret))
        assert.isTrue(Option.isSome(yield* (yield* Vault).read("newsletter")))
        const second = yield* ensure
        if (second._tag !== "Existing") return assert.fail("it was there before")
        assert.strictEqual(second.key.handle, first.key.handle)
        assert.strictEqual(second.key.status, "active")
        assert.notProperty(second.key, "secret")
      }).pipe(Effect.provide([at(vendor), stores]))
    )

    it.effect(`${vendor}: two of the same name are reported by their handles, and no third is made`, () =>
      Effect.gen(function* () {
        const keys = yield* ApiKeyService.can("create", "list")
        const one = yield* keys.create({ name: "newsletter" })
        const two = yield* keys.create({ name: "newsletter" })
        const error = yield* Effect.flip(ensure)
        assert.instanceOf(error, Ambiguous)
        assert.deepStrictEqual([...error.handles].sort(), [one.handle, two.handle].sort())
        assert.deepStrictEqual(yield* (yield* Vault).read("newsletter"), Option.none())
      }).pipe(Effect.provide([at(vendor), stores]))
    )
  }
})
