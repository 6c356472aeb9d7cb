import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyService } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { killedAndResumed } from "../src/KilledRotation.ts"
import { jetEmail, type Vendor, voiceable } from "../src/loopback.ts"
import { mint } from "../src/RotatingProcess.ts"

type Loopback = Layer.Layer<ApiKeyService | Vendor, Layer.Error<typeof jetEmail>>
const vendors: { readonly [V in "jetemail" | "voiceable"]: Loopback } = {
  jetemail: jetEmail,
  voiceable
}

/** A process is killed when the vendor has carried this out, and knows nothing of it; for other mints see the quickstart. */
const moments = [
  ["jetemail", "the new secret is minted", mint.jetemail],
  ["voiceable", "the old key is deleted", /^DELETE /]
] as const

describe("a rotation whose process is killed", { timeout: 60_000 }, () => {
  for (const [vendor, when, request] of moments) {
    it.live(`${vendor}: when ${when}, another process goes on to one key that works`, () =>
      Effect.gen(function* () {
        const { afterKill, atEnd, first, old, second } = yield* killedAndResumed(request)
        assert.strictEqual(first.signal, "SIGKILL", first.output)
        assert.strictEqual(second.code, 0, second.output)
        // Effect may say beforehand that it looks for the workflow again.
        assert.match(second.output, /^completed: /m)
        assert.notStrictEqual(atEnd.current, old)
        assert.isTrue(atEnd.currentWorks)
        assert.deepStrictEqual(atEnd.working, [atEnd.current])
        assert.deepStrictEqual(atEnd.intents, [])
        // In place there is a time without a key that works, and the vault knows of the mint; else one always works.
        if (vendor === "jetemail") assert.strictEqual(afterKill.intents.length, 1)
        else assert.isTrue(afterKill.currentWorks)
        for (const orphan of atEnd.orphans) assert.isTrue(orphan.inert)
        const secret = /transactional_|api_test_voiceable_\w{6,}|api-api_test_\w{4,}/
        assert.notMatch(first.output + second.output, secret)
      }).pipe(Effect.provide(vendors[vendor]))
    )
  }

  it.live("that is of another account than the slot's key is refused, and nothing is minted", () =>
    Effect.gen(function* () {
      const { atEnd, first, old } = yield* killedAndResumed(/^NEVER$/, "nobody's")
      assert.strictEqual(first.code, 1)
      assert.include(first.output, "UnknownAccount")
      assert.strictEqual(atEnd.current, old)
    }).pipe(Effect.provide(voiceable))
  )
})
