import { ApiKeyService, type KeyRef } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import { KeyVault, type KeyVaultOptions } from "../src/KeyVault.ts"
import { type Account, type Progress, Rotation, type RotationOptions } from "../src/Rotation.ts"
import * as RotationEngine from "../src/RotationEngine.ts"
import type { RotationError } from "../src/RotationError.ts"
import type { RotationEvent } from "../src/RotationEvent.ts"
import type { RotationRecord, Slot } from "../src/Slot.ts"
import { makeMemory, VaultStore } from "../src/VaultStore.ts"
import { layerCrypto } from "./support/process.ts"
import { type World, worlds } from "./support/vendors.ts"

export const id = { account: "main", slot: "tenant-42/mail" }

export const keyOf = (text: string) => Redacted.make(Buffer.from(text.padEnd(32, "_").slice(0, 32)).toString("base64"))

export const sealingKeys = { current: "k1", keys: { k1: keyOf("api_test_sealing_key_1") } }

/** Lets everything run that needs no time to pass: also what the platform does beside the program. */
export const breathe = Effect.promise(async () => {
  for (let turn = 0; turn < 8; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
})

/** Waits until something holds that needs no time to pass; the platform hashes beside the program, when it comes to it. */
export const soon = <E, R>(what: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    for (let turn = 0; turn < 500; turn++) {
      if (yield* what) return
      yield* breathe
    }
    return yield* Effect.die(new Error("it never came to be"))
  })

/** Lets time pass, a little at a time, until something holds. */
export const until = <E, R>(
  what: Effect.Effect<boolean, E, R>,
  { step = "1 second", within = "2 hours" }: { readonly step?: Duration.Input; readonly within?: Duration.Input } = {}
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(within)
    for (;;) {
      yield* breathe
      if (yield* what) return
      if ((yield* Clock.currentTimeMillis) > end) return yield* Effect.die(new Error("it never came to be"))
      yield* TestClock.adjust(step)
    }
  })

/** Lets time pass in steps, for as long as it takes an effect to end. */
export const passing = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options?: { readonly step?: Duration.Input; readonly within?: Duration.Input }
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* until(
      Effect.sync(() => fiber.pollUnsafe() !== undefined),
      options
    )
    return yield* yield* Effect.sync(() => fiber.pollUnsafe() ?? Exit.die("it has not ended"))
  })

/** Lets time pass, so that everyone sees each part of it. */
export const pass = Effect.fnUntraced(function* (time: Duration.Input, step: Duration.Input = "30 seconds") {
  const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(time)
  yield* breathe
  for (;;) {
    const left = end - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* TestClock.adjust(Duration.min(Duration.millis(left), Duration.fromInputUnsafe(step)))
    yield* breathe
  }
})

export interface Machine {
  readonly rotation: Rotation["Service"]
  readonly vault: KeyVault["Service"]
  readonly events: ReadonlyArray<RotationEvent>
  /** Closes it, as a program does that is ended in order. */
  readonly close: Effect.Effect<void>
}

export interface Fixture {
  readonly world: World
  readonly store: VaultStore["Service"]
  /** The slot's first key. */
  readonly first: Effect.Success<World["first"]>
  /** A program of its own on the same store and vendor. */
  readonly machine: (
    options?: Partial<RotationOptions>,
    engine?: Layer.Layer<WorkflowEngine>
  ) => Effect.Effect<Machine, RotationError>
}

const vaultOver = (store: VaultStore["Service"], keys: KeyVaultOptions["sealingKeys"] = sealingKeys) =>
  Layer.provide(Layer.orDie(KeyVault.layer({ sealingKeys: keys })), Layer.succeed(VaultStore, store))

/** A vault of its own over a store. */
export const openVault = (store: VaultStore["Service"], keys?: KeyVaultOptions["sealingKeys"]) =>
  Effect.map(Effect.scoped(Layer.build(vaultOver(store, keys))), (context) => Context.get(context, KeyVault))

/** A vendor, a store, and the first key in its slot. */
export const fixture = Effect.fnUntraced(function* (
  name: keyof typeof worlds = "voiceable",
  given: {
    readonly account?: (account: Account) => Account
    readonly client?: (world: World) => HttpClient.HttpClient
    readonly store?: VaultStore["Service"]
  } = {}
): Effect.fn.Return<Fixture> {
  const world: World = yield* worlds[name]
  const store = given.store ?? (yield* makeMemory)
  const account = (given.account ?? ((one: Account) => one))(world.account(given.client?.(world) ?? world.client))
  const first = yield* world.first
  return {
    world,
    store,
    first,
    machine: Effect.fnUntraced(function* (options = {}, engine = RotationEngine.layerMemory) {
      const scope = yield* Scope.make()
      const events: Array<RotationEvent> = []
      const context = yield* Layer.buildWithScope(
        Rotation.layer({
          accounts: (asked: string) => (asked === id.account ? account : undefined),
          overlap: "1 hour",
          lateArrival: "20 seconds",
          propagation: "10 seconds",
          ...options
        }).pipe(Layer.provideMerge(vaultOver(store)), Layer.provide(Layer.fresh(engine)), Layer.provide(layerCrypto)),
        scope
      )
      const rotation = Context.get(context, Rotation)
      yield* Effect.forkIn(
        Stream.runForEach(rotation.events, (event) => Effect.sync(() => events.push(event))),
        scope,
        { startImmediately: true }
      )
      yield* breathe
      return { rotation, vault: Context.get(context, KeyVault), events, close: Scope.close(scope, Exit.void) }
    })
  }
})

/** Takes the first key in, and runs a machine. */
export const adopted = Effect.fnUntraced(function* (
  name?: keyof typeof worlds,
  options?: Partial<RotationOptions>,
  given?: Parameters<typeof fixture>[1]
) {
  const made = yield* fixture(name, given)
  const machine = yield* made.machine(options)
  yield* machine.rotation.adopt(id, made.first)
  return { ...made, ...machine }
})

/** The step and state of a slot's last rotation. */
export const stepOf = (rotation: Rotation["Service"], of = id): Effect.Effect<Progress | undefined, RotationError> =>
  Effect.map(rotation.poll(of), Option.getOrUndefined)

/** Whether a slot's rotation is in a step, and has tried it. */
export const isIn = (rotation: Rotation["Service"], step: Progress["step"], of = id) =>
  Effect.map(stepOf(rotation, of), (last) => last?.step === step && last.attempts > 0)

export const isAt = (rotation: Rotation["Service"], step: Progress["step"], of = id) =>
  Effect.map(stepOf(rotation, of), (last) => last?.step === step)

export const hasEnded = (rotation: Rotation["Service"], of = id) =>
  Effect.map(stepOf(rotation, of), (last) => last?.outcome !== undefined)

const verbs = [
  "create",
  "patch",
  "rotate",
  "disable",
  "enable",
  "revoke",
  "delete",
  "get",
  "list",
  "prepare",
  "recover"
] as const

type Keys = ApiKeyService["Service"]

/** An account whose service is another one, made from its own. */
export const mapKeys = (account: Account, change: (keys: Keys) => Keys): Account => ({
  ...account,
  keys: Layer.effectContext(
    Effect.map(Layer.build(account.keys), (context) =>
      Context.add(context, ApiKeyService, change(Context.get(context, ApiKeyService)))
    )
  )
})

/** Writes down every verb that is called, and every probe. */
export const counting =
  (calls: Array<string>) =>
  (account: Account): Account => ({
    ...mapKeys(
      account,
      (keys) =>
        new Proxy(keys, {
          get: (target, name) => {
            const member: unknown = Reflect.get(target, name)
            if (typeof member !== "function" || !verbs.some((verb) => verb === name)) return member
            return (...args: ReadonlyArray<unknown>): unknown => {
              calls.push(String(name))
              return Reflect.apply(member, target, args)
            }
          }
        })
    ),
    verify:
      account.verify === "none"
        ? "none"
        : (
            (verify) => (candidate) =>
              Effect.suspend(() => {
                calls.push("probe")
                return verify(candidate)
              })
          )(account.verify)
  })

/** An account of which some verbs are others, for as long as that is set. */
export const changing =
  (set: { readonly now: boolean }, change: (keys: Keys) => Partial<Keys>) =>
  (account: Account): Account =>
    mapKeys(account, (keys) => {
      const changed = change(keys)
      return new Proxy(keys, {
        get: (target, name) => Reflect.get(set.now && name in changed ? changed : target, name)
      })
    })

export const always = { now: true } as const

/** Nobody but the engine goes on with anything. */
export const unwatched = { watch: "1000 days" } as const

/** What a vault is asked to begin a rotation with. */
export const begun = (rotationId: string, kind: RotationRecord["kind"] = "rotate") =>
  ({ id: rotationId, kind, strategy: "successor", step: "mint", overlap: 0, acknowledgement: false }) as const

export const addressOf = ({ value }: KeyRef): string => Redacted.value(value)

/** The addresses of the keys that work at the vendor, whoever has them. */
export const aliveIn = ({ keys }: World) =>
  Effect.map(keys, (all) => all.filter(({ alive }) => alive).map(({ address }) => address))

/** What an effect fails with, in the word of the vault or the service. */
export const problemOf = <A, E extends { readonly problem: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<E["problem"], A, R> => Effect.map(Effect.flip(effect), ({ problem }) => problem)

/** How the slot's rotation ends. */
export const endOf = (rotation: Rotation["Service"], options?: Parameters<typeof until>[1]) =>
  Effect.gen(function* () {
    yield* until(hasEnded(rotation), options)
    const { outcome, problem } = (yield* stepOf(rotation)) ?? {}
    return [outcome, problem]
  })

/** Why the slots wait for a person. */
export const reasonsIn = (rotation: Rotation["Service"]) =>
  Effect.map(Stream.runCollect(rotation.attention()), (all) => all.map(({ reasons }) => reasons))

/** The orphans in the ledger, each by its handle and how it came there. */
export const orphansIn = ({ orphans }: Slot) => orphans.map(({ handle, origin }) => [handle, origin])
