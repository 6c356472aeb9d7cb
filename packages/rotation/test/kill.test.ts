import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { crash } from "./crash/crash.ts"
import * as Postgres from "./postgres.ts"

// Two machines that start the same rotations at the same time.
const together = { engine: "pg", kills: 0, killsPerRound: 0, seed: 3, transport: "http" } as const

/** Real processes and real clocks: what it takes is up to the machine. */
const timeout = 90_000

describe.concurrent("F1: real processes, killed with SIGKILL at seeded moments", () => {
  it.live(
    "seven times on a file: every rotation ends with one key that works, and none is lost",
    () =>
      Effect.gen(function* () {
        const figures = yield* crash({ engine: "file", kills: 7, killsPerRound: 7, seed: 1 })
        assert.deepStrictEqual(figures.violations, [])
        assert.strictEqual(figures.kills, 7)
      }),
    timeout
  )

  layer(Postgres.Postgres.layer, { excludeTestServices: true })((it) => {
    it.effect.skipIf(!Postgres.available)(
      Postgres.byName("and three times on PostgreSQL, two processes at a time: the same"),
      () =>
        Effect.gen(function* () {
          const { url } = yield* Postgres.database
          const figures = yield* crash({ engine: "pg", kills: 3, killsPerRound: 3, seed: 2, url })
          assert.deepStrictEqual(figures.violations, [])
          assert.strictEqual(figures.kills, 3)
        }),
      timeout
    )

    it.effect.skipIf(!Postgres.available)(
      Postgres.byName(
        "two machines on one PostgreSQL, which talk over HTTP, start the same rotations: one mint and one promotion each"
      ),
      () =>
        Effect.gen(function* () {
          const { url } = yield* Postgres.database
          const figures = yield* crash({ ...together, url })
          assert.deepStrictEqual(figures.violations, [])
          assert.strictEqual(figures.mints, figures.rotations)
        }),
      timeout
    )
  })
})
