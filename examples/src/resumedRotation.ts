/**
 * A rotation that outlives its process: `node resumedRotation.ts <account> <slot> <name of the rotation>`.
 *
 * However the process ends, the same command goes on where it was: the file knows what was sent, and the vendor is asked what
 * became of it. The name makes the difference between joining a rotation and starting another. Watch out: this process stays
 * until the old key is off, which is after the overlap; where it is ended before, someone must start it again.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Rotation } from "@effect-api-keys/rotation"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as RotationLive from "./RotationLive.ts"

class NotRotated extends Data.TaggedError("NotRotated")<{ readonly message: string }> {}

const [account = "", slot = "", rotationId = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const rotation = yield* Rotation
  const overlap = yield* Config.withDefault(Config.Duration("ROTATION_OVERLAP"), "1 day")
  yield* rotation.start({ account, slot }, { rotationId, overlap })
  const { handle, mints, outcome, problem } = yield* rotation.awaitEnd({ account, slot })
  if (outcome !== "completed") return yield* new NotRotated({ message: `${outcome}: ${problem}` })
  yield* Console.log(`${outcome}: ${handle}, after ${mints} ${mints === 1 ? "mint" : "mints"}`)
})

program.pipe(Effect.provide(RotationLive.layer().pipe(Layer.provide(FetchHttpClient.layer))), NodeRuntime.runMain)
