import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { VaultConformance } from "../src/testing/index.ts"
import type { VaultError } from "../src/VaultError.ts"
import type { VaultStore } from "../src/VaultStore.ts"

/** Runs every case of the conformance suite, each on a layer of its own, which must be empty. */
export const conformanceOn = (
  name: string,
  layer: () => Layer.Layer<VaultStore, VaultError>,
  options: VaultConformance.Options = {}
): void => {
  describe(`conformance: ${name}`, () => {
    for (const { name, run } of VaultConformance.cases(options)) {
      it.live(
        name,
        () =>
          Effect.gen(function* () {
            const outcome = yield* Effect.provide(run, layer(), { local: true })
            const lacks =
              (options.reopen === undefined && /opened again/.test(name)) ||
              (options.second === undefined && /through another/.test(name))
            assert.strictEqual(outcome, lacks ? "skipped" : "passed")
          }),
        60_000
      )
    }
  })
}
