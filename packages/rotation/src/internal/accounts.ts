import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import type { Account } from "../Rotation.ts"
import type { RotationError } from "../RotationError.ts"
import type { SlotId } from "../VaultStore.ts"
import type { Verify } from "../Verify.ts"
import * as Failure from "./failure.ts"

/** An account as it is used: its layer is built, and what its probe needs is there. */
export interface OpenAccount {
  readonly keys: ApiKeyService["Service"]
  readonly verify: "none" | Verify
}

export interface Accounts {
  /** The account of a slot, for as long as the scope lasts. */
  readonly open: (operation: string, id: SlotId) => Effect.Effect<OpenAccount, RotationError, Scope.Scope>
}

/** How long an account that nobody uses is kept: building it anew may mean to read its credential anew. */
const idle = Duration.minutes(10)

/** How long the layer of an account may take: for longer, nobody would know why a rotation stands still. */
const patience = Duration.seconds(30)

/** What is said of a failure: its tag, which programs choose. The rest of it may hold anything. */
const sayOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag) && /^[\w/@-]{1,64}$/.test(error._tag)
    ? `its layer fails with ${error._tag}`
    : "its layer cannot be built"

/** Opens accounts when they are first needed, and shuts them when nobody has needed them for a time. */
export const make = Effect.fnUntraced(function* <R>(
  accounts: (name: string) => Account<R> | undefined
): Effect.fn.Return<Accounts, never, R | Scope.Scope> {
  const services = yield* Effect.context<R>()
  // Layers that accounts share, such as that of an HTTP client, are built once.
  const memoMap = Layer.CurrentMemoMap.forkOrCreate(services)

  const build = Effect.fnUntraced(function* (name: string): Effect.fn.Return<OpenAccount, string, Scope.Scope> {
    const account = accounts(name)
    if (account === undefined) return yield* Effect.fail("`accounts` gives none of this name")
    const scope = yield* Effect.scope
    const { keys, verify } = account
    const context = yield* Layer.buildWithMemoMap(keys, memoMap, scope).pipe(
      Effect.provideContext(services),
      Effect.timeout(patience),
      Effect.mapError(sayOf)
    )
    return {
      keys: Context.get(context, ApiKeyService),
      verify:
        verify === "none"
          ? verify
          : (candidate) => Effect.provideContext(verify(candidate), Context.merge(services, context))
    }
  })

  const opened = yield* RcMap.make({
    // Whatever goes wrong in a program's own functions is a failure of this account, and of nothing else.
    lookup: (name: string) =>
      Effect.catchCause(build(name), (cause) =>
        Effect.fail(cause.reasons.find(Cause.isFailReason)?.error ?? "its layer cannot be built")
      ),
    idleTimeToLive: idle
  })

  return {
    open: (operation, id) =>
      RcMap.get(opened, id.account).pipe(
        // A failure is not remembered: what was wrong may have been mended.
        Effect.tapError(() => RcMap.invalidate(opened, id.account)),
        Effect.mapError((detail) => Failure.make(operation, "UnknownAccount", id, detail))
      )
  }
})
