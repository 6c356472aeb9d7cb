import { assert, describe, it } from "@effect/vitest"
import { KeyVault, Rotation, type RotationEvent, type ScheduleOptions } from "@effect-api-keys/rotation"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { consume, keepRotating, monthly } from "../src/scheduledRotation.ts"
import { adopted, isLive, passingTime, rotating } from "./support.ts"

/** The recipe's own, with seconds for hours. */
const soon: ScheduleOptions = {
  ...monthly,
  every: "90 seconds",
  jitter: "20 seconds",
  overlap: "45 seconds",
  check: "10 seconds"
}

/** What the program prints. */
const printing = Effect.map(
  Effect.sync((): Array<string> => []),
  (lines) => ({
    lines,
    into: Effect.provideService(Console.Console, {
      ...globalThis.console,
      log: (...texts) => void lines.push(texts.join(" "))
    })
  })
)

const until = Effect.fnUntraced(function* (happened: (event: RotationEvent) => boolean) {
  const { events } = yield* Rotation
  return yield* Stream.runHead(Stream.filter(events, happened))
})

describe("a schedule", () => {
  it.effect("rotates a key when it is due; its consumer takes the new one, and then the old one goes", () =>
    Effect.gen(function* () {
      const { into, lines } = yield* printing
      const { id, secret: old } = yield* adopted("smtp2go")
      const used: Array<string> = []
      yield* Effect.forkScoped(into(keepRotating(soon)))
      yield* Effect.forkScoped(
        consume(id, (secret) => Effect.sync(() => void used.push(Redacted.value(secret))), Schedule.spaced("5 seconds"))
      )
      yield* passingTime(until(({ event }) => event === "ended"))

      const { current } = yield* (yield* KeyVault).read(id)
      const secret = yield* Effect.fromOption(current.secret)
      assert.deepStrictEqual(used, [Redacted.value(old), Redacted.value(secret)])
      assert.isTrue(yield* isLive("smtp2go", secret))
      assert.isFalse(yield* isLive("smtp2go", old))
      assert.include(lines, "smtp2go/mail mint started")
      assert.include(lines, "smtp2go/mail overlap waiting Unacknowledged")
      assert.include(lines, "smtp2go/mail sweep ended completed")
      assert.notInclude(lines.join("\n"), Redacted.value(secret))
    }).pipe(Effect.provide(rotating()))
  )

  it.effect("that nobody acknowledges leaves the old key alive, and says that it is overdue", () =>
    Effect.gen(function* () {
      const { into, lines } = yield* printing
      const { id, secret: old } = yield* adopted("voiceable")
      yield* Effect.forkScoped(into(keepRotating(soon)))
      yield* passingTime(until(({ event }) => event === "overdue"))

      assert.include(lines, "voiceable/mail overlap overdue Unacknowledged")
      const rotation = yield* Rotation
      const [slot, ...others] = yield* Stream.runCollect(rotation.attention())
      assert.isEmpty(others)
      const { current, previous } = yield* (yield* KeyVault).read(id)
      assert.deepStrictEqual(slot?.reasons, ["overdue"])
      assert.isTrue(Option.isSome(previous))
      assert.isTrue(yield* isLive("voiceable", old))
      assert.isTrue(yield* isLive("voiceable", yield* Effect.fromOption(current.secret)))
    }).pipe(Effect.provide(rotating()))
  )
})
