import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { KeyTable } from "../src/KeyTable.ts"
import { signUp } from "../src/signUp.ts"
import { Vault } from "../src/Vault.ts"
import { at, isLive, names, storedKey, stores, tableDown } from "./support.ts"

describe("sign-up", () => {
  for (const vendor of names) {
    it.effect(`${vendor}: the vault has what works, and the row has nothing that does`, () =>
      Effect.gen(function* () {
        const answer = yield* signUp("acme")
        const { key, row } = yield* storedKey("acme")
        assert.isTrue(yield* isLive(vendor, key.secret))
        assert.strictEqual(row.provider, vendor)
        assert.strictEqual(row.handle, key.handle)
        for (const shown of [JSON.stringify(row), JSON.stringify(answer)]) {
          assert.notInclude(shown, Redacted.value(key.secret))
          if (vendor !== "voiceable") assert.notInclude(shown, Redacted.value(key.ref.value))
        }
        const table = yield* KeyTable
        assert.deepStrictEqual(yield* table.bySecret(key.secret), Option.some(row))
        assert.deepStrictEqual(yield* table.bySecret(Redacted.make("api_test_other")), Option.none())
      }).pipe(Effect.provide([at(vendor), stores]))
    )

    it.effect(`${vendor}: where the row cannot be written the key is shut off again`, () =>
      Effect.gen(function* () {
        const put: Array<Redacted.Redacted<string>> = []
        const vault = yield* Vault
        const spy = Layer.succeed(Vault, {
          ...vault,
          put: (slot: string) => (key) => {
            put.push(key.secret)
            return vault.put(slot)(key)
          }
        })
        const exit = yield* Effect.exit(signUp("acme")).pipe(Effect.provide([spy, tableDown]))
        assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("the database is down"))
        const [secret, ...more] = put
        if (secret === undefined) return assert.fail("nothing was put into the vault")
        assert.strictEqual(more.length, 0)
        assert.isFalse(yield* isLive(vendor, secret))
        assert.deepStrictEqual(yield* (yield* KeyTable).ofTenant("acme"), [])
      }).pipe(Effect.provide([at(vendor), stores]))
    )
  }

  it.effect("a second key of a tenant does not overwrite the first one's slot", () =>
    Effect.gen(function* () {
      yield* signUp("acme")
      const first = yield* storedKey("acme")
      yield* signUp("acme")
      const second = yield* storedKey("acme")
      assert.notStrictEqual(second.row.slot, first.row.slot)
      assert.isTrue(Option.isSome(yield* (yield* Vault).read(first.row.slot)))
      assert.deepStrictEqual(
        second.rows.map(({ current }) => current),
        [false, true]
      )
    }).pipe(Effect.provide([at("jetemail"), stores]))
  )
})
