import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
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
  /**
   * Whoever opens an account from now on gets it built anew, with the credential that is there by then. Who has it open keeps
   * what it has. One that was built just now is left as it is.
   */
  readonly renew: (name: string) => Effect.Effect<void>
}

/** How long an account that nobody uses is kept: building it anew may mean to read its credential anew. */
const idle = Duration.minutes(10)

/** How old an account is before it is built anew: many slots may find out at once that its credential is refused. */
const settled = Duration.toMillis("30 seconds")

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
  const service = yield* Effect.scope
  // Layers that accounts share, such as that of an HTTP client, are built once.
  const shared = Layer.CurrentMemoMap.forkOrCreate(services)
  /** When each account that is open was built, for the last time. */
  const built = new Map<string, { readonly at: number }>()
  /** The accounts whose next layer has nothing of those before: what is shared is built once, and so is a credential in it. */
  const renewed = new Set<string>()

  const build = Effect.fnUntraced(function* (name: string): Effect.fn.Return<OpenAccount, string, Scope.Scope> {
    const account = accounts(name)
    if (account === undefined) return yield* Effect.fail("`accounts` gives none of this name")
    const scope = yield* Effect.scope
    const { keys, verify } = account
    const memoMap = renewed.delete(name) ? Layer.CurrentMemoMap.forkOrCreate(services) : shared
    const birth = { at: yield* Clock.currentTimeMillis }
    built.set(name, birth)
    yield* Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        if (built.get(name) === birth) built.delete(name)
      })
    )
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
      ),
    renew: Effect.fnUntraced(function* (name) {
      const birth = built.get(name)
      if (birth === undefined) return
      const age = (yield* Clock.currentTimeMillis) - birth.at
      if (age >= 0 && age < settled) return
      renewed.add(name)
      // Nobody waits for what a layer does at its end.
      yield* Effect.forkIn(Effect.ignoreCause(RcMap.invalidate(opened, name)), service, { startImmediately: true })
    })
  }
})
