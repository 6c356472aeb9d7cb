/**
 * One service over the API keys of many vendors.
 *
 * A program names the verbs and restrictions that it relies on with {@link ApiKeyService.can}; the layer it is given
 * decides whose keys they are, and the compiler checks that this vendor has them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ApiKey, IssuedKey, KeyRef, PatchedKey, RotatedKey } from "./ApiKey.ts"
import type { ApiKeyDriver } from "./ApiKeyDriver.ts"
import type { ApiKeyError } from "./ApiKeyError.ts"
import * as service from "./internal/service.ts"
import type { ProviderOptions } from "./ProviderOptions.ts"
import type { KeySnapshot, MintIntent, Recovery } from "./Recovery.ts"
import type { Restriction, Restrictions } from "./Restrictions.ts"

/**
 * What can be done with keys.
 *
 * @since 0.1.0
 * @category models
 */
export type Verb =
  | "create"
  | "patch"
  | "rotate"
  | "disable"
  | "enable"
  | "revoke"
  | "delete"
  | "get"
  | "list"
  | "prepare"
  | "recover"

/**
 * What a program can rely on: a verb, a restriction, or `overlap` (after a rotation old and new key may live side by side).
 *
 * @since 0.1.0
 * @category models
 */
export type Need = Verb | Restriction | "overlap"

/**
 * What a new key is to be; its restrictions are those that the program asked for with {@link ApiKeyService.can}.
 *
 * **Details**
 *
 * A restriction that is left out gets the layer's `defaults`.
 *
 * @since 0.1.0
 * @category models
 */
export type KeySpec<N extends Need = Need> = {
  readonly name: string
  /** Settings that only one vendor has, namespaced by vendor. */
  readonly options?: ProviderOptions
} & { readonly [K in Extract<N, Restriction>]?: Restrictions[K] }

/**
 * What to change of a key: what is left out stays as it is, and an empty patch is refused.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyPatch<N extends Need = Need> = {
  readonly name?: string
  /** Settings that only one vendor has, namespaced by vendor. */
  readonly options?: ProviderOptions
} & { readonly [K in Extract<N, Restriction>]?: Restrictions[K] }

/**
 * Where the secret goes before anything can lose it.
 *
 * **Details**
 *
 * `deliver` runs inside the mint: a caller who is interrupted or times out does not stop it. It runs in the caller's
 * context, so what it needs must outlive the call. If it fails, dies or passes `deliverTimeout`, a new key is shut off
 * again and the call fails with its cause; after an in-place rotation, which cannot be undone, the call succeeds and
 * `incomplete` says so.
 *
 * **Gotchas**
 *
 * Without `deliver`, a time-out around the call may lose the key: it is then shut off, where that is possible.
 *
 * @since 0.1.0
 * @category models
 */
export interface Deliver<E = never, R = never> {
  /** Stores the new key. It is run before the call returns, and before a rotation by successor retires the old key. */
  readonly deliver?: (key: IssuedKey) => Effect.Effect<void, E, R>
  /** How long `deliver` may take; 30 seconds unless given. */
  readonly deliverTimeout?: Duration.Input
}

/**
 * What was written down before a mint: an option where the program asked for `prepare`.
 *
 * **Details**
 *
 * The key is minted under a name with the intent's marker at its end, switched off where the vendor can, and gets its real
 * name last of all. So it can be found by `recover`, whatever becomes of the call. Where the last renaming fails, the call
 * succeeds, and `name` of the key says what it is really called.
 *
 * @since 0.1.0
 * @category models
 */
export type Intended<N extends Need = Need> = "prepare" extends N ? { readonly intent?: MintIntent } : unknown

/**
 * What becomes of the old key of a rotation, and of the new one: options where the program asked for `overlap`.
 *
 * @since 0.1.0
 * @category models
 */
export type Overlap<N extends Need = Need> = "overlap" extends N
  ? {
      /** Leaves the old key live. */
      readonly keepPrevious?: boolean
      /**
       * `false` leaves a successor that the vendor minted switched off as it is, for you to `enable`; only beside
       * `keepPrevious: true`. Where successors are minted live it changes nothing.
       */
      readonly activate?: boolean
    }
  : unknown

/**
 * Every verb, with the restrictions of `N`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verbs<N extends Need = Need> {
  /**
   * Mints a key. Never repeated: an ambiguous end is `OutcomeUnknown`. A key that comes back other than asked is shut
   * off, and the call fails with `PartiallyApplied`.
   */
  readonly create: <E = never, R = never>(
    spec: KeySpec<N>,
    options?: Deliver<E, R> & Intended<N>
  ) => Effect.Effect<IssuedKey, ApiKeyError | E, R>
  /** Changes a key; `confirm` reads it again and fails with `PartiallyApplied` where it is not as asked. */
  readonly patch: (
    ref: KeyRef,
    patch: KeyPatch<N>,
    options?: { readonly confirm?: boolean }
  ) => Effect.Effect<PatchedKey, ApiKeyError>
  /**
   * Gives a key a new secret. Where the vendor rotates in place the old secret is `dead`; elsewhere a successor is
   * minted and delivered and only then the old key is retired. Without `deliver`, or with `keepPrevious`, the old key
   * stays `live` where it can, and you revoke it.
   */
  readonly rotate: <E = never, R = never>(
    ref: KeyRef,
    options?: Deliver<E, R> & Overlap<N> & Intended<N>
  ) => Effect.Effect<RotatedKey<E>, ApiKeyError | E, R>
  /** Shuts a key off so that it can be enabled again. */
  readonly disable: (ref: KeyRef) => Effect.Effect<void, ApiKeyError>
  /** Switches a disabled key on, and reads it again: a key that the vendor keeps shut is `InvalidKeyState`. */
  readonly enable: (ref: KeyRef, options?: { readonly as?: "active" | "sandbox" }) => Effect.Effect<void, ApiKeyError>
  /** Shuts a key off now, by the best means the vendor has; for a leaked key. */
  readonly revoke: (ref: KeyRef) => Effect.Effect<"disabled" | "deleted", ApiKeyError>
  /** Removes a key for good. */
  readonly delete: (ref: KeyRef) => Effect.Effect<void, ApiKeyError>
  /** Reads one key; never its secret. */
  readonly get: (ref: KeyRef) => Effect.Effect<ApiKey, ApiKeyError>
  /**
   * Reads every key, or those with exactly this name; never their secrets. A vendor that masks its keys shows no ref with
   * them where the secret is the address: such a key is named by its `handle` alone.
   */
  readonly list: (filter?: { readonly name?: string }) => Stream.Stream<ApiKey, ApiKeyError>
  /**
   * Makes what a mint is found again by: of a new key, or of the rotation of this one. Store it, then give it to `create` or
   * `rotate`. It reads the list once, to know which keys existed before; give the `snapshot` of another intent to spare that,
   * or `"none"` to do without (`recover` then knows fewer candidates). The list is then not looked at, but for a rotation in place.
   *
   * Where a lost key could not be found again, it fails: with `UnexpectedResponse`, which says what the list does not show.
   */
  readonly prepare: (
    target: "create" | KeyRef,
    options?: { readonly snapshot?: KeySnapshot | "none" }
  ) => Effect.Effect<MintIntent, ApiKeyError>
  /**
   * Says what became of a mint, by reading the list. It never guesses, and changes nothing. `sent: false` says that, by your
   * own record, nothing was sent. `ref` is that of the key that was to be rotated: it is then known by its address, and not by
   * its handle, which may be made otherwise since.
   */
  readonly recover: (
    intent: MintIntent,
    options?: { readonly sent?: boolean; readonly ref?: KeyRef }
  ) => Effect.Effect<Recovery, ApiKeyError>
}

/**
 * Evidence, in types alone, that a vendor can do `N`.
 *
 * **Details**
 *
 * It is a requirement that is never looked up: `can` asks for it, a vendor's layer gives it, and nothing exists at run
 * time. In an error message, `Can<"domains">` that "is not assignable to `never`" means that no provided layer has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Can<out N extends Need> {
  readonly "~@effect-api-keys/core/Can": N
}

/**
 * One `Can` for each need, so that a message names the one that is missing.
 *
 * @since 0.1.0
 * @category models
 */
export type EachCan<N extends Need> = N extends Need ? Can<N> : never

/**
 * Whose keys these are.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bound {
  /** The provider's id, such as `jetemail`. */
  readonly provider: string
  /** Your name for the account at the vendor. */
  readonly account: string
  /**
   * The ref of a key of this account, from what the vendor knows it by: a stored address, or a leaked secret where the
   * secret is the address. Nothing is checked before the ref is used.
   */
  readonly ref: (value: Redacted.Redacted<string>) => KeyRef
  /** The printable handle of a key, as in `IssuedKey.handle` and in errors; of a ref that is refused, one that says nothing. */
  readonly handle: (ref: KeyRef) => string
}

/**
 * The object that {@link ApiKeyService.can} gives: the verbs that were asked for, with the restrictions asked for, and
 * whose keys they are.
 *
 * **When to use**
 *
 * Use it as the type of a service of your own, where one program holds the keys of two vendors:
 * `Layer.effect(OldKeys, ApiKeyService.can("revoke")).pipe(Layer.provide(…))`. (`Effect.provide` around `can` would close
 * the vendor's layer before the first verb is called.)
 *
 * @since 0.1.0
 * @category models
 */
export type Capable<N extends Need> = Bound & Asked<N> & Pick<Verbs<N>, Extract<N, Verb>>

/** In types alone: what was asked for, so that a service with less does not pass for one with more. */
interface Asked<in N extends Need> {
  readonly "~@effect-api-keys/core/Asked"?: (need: N) => void
}

/** Whether a driver has a part for certain: one that may be `undefined` is no evidence. */
type Has<D, K extends PropertyKey> = K extends keyof D ? (undefined extends D[K] ? false : true) : false

/** Whether a driver has all of these parts for certain. */
type HasAll<D, K extends PropertyKey> = [{ [P in K]: Has<D, P> }[K]] extends [true] ? true : false

type If<Condition, N extends Need> = true extends Condition ? N : never

/**
 * What a driver can do, from the parts that its type has.
 *
 * @since 0.1.0
 * @category models
 */
export type Evidence<D extends ApiKeyDriver> =
  | If<Has<D, "mint">, "create">
  | If<Has<D, "patch">, "patch">
  | If<Has<D, "setStatus">, "disable" | "enable">
  | If<Has<D, "setStatus"> | Has<D, "remove">, "revoke">
  | If<Has<D, "remove">, "delete">
  | If<Has<D, "get"> | Has<D, "list">, "get">
  | If<Has<D, "list">, "list">
  | If<HasAll<D, "recovery" | "list" | "patch">, "prepare" | "recover">
  | If<Has<D, "rotation">, "rotate" | (D["rotation"] extends { readonly successor: unknown } ? "overlap" : never)>
  | { [K in Extract<keyof D["restrictions"], Restriction>]: If<Has<D["restrictions"], K>, K> }[Extract<
      keyof D["restrictions"],
      Restriction
    >]

/** Whether a layer, or any member of a union of layers, does not give evidence of `N`. */
type Lacks<L, N extends Need> =
  L extends Layer.Layer<infer Out, infer _E, infer _R> ? (Can<N> extends Out ? never : true) : true

/** What every one of these layers can do. */
type SharedNeeds<Layers> = {
  [N in Need]: [{ [K in keyof Layers]: Lacks<Layers[K], N> }[keyof Layers]] extends [never] ? N : never
}[Need]

/** A need that is one literal; a union could be any of its members at run time, so it is refused. */
type Single<N> = IsUnion<N> extends true ? never : N
type IsUnion<N, M = N> = [N] extends [never] ? false : N extends unknown ? ([M] extends [N] ? false : true) : never

type LayerError<L> = L extends Layer.Layer<infer _Out, infer E, infer _R> ? E : never
type LayerServices<L> = L extends Layer.Layer<infer _Out, infer _E, infer R> ? R : never

/**
 * The API keys of one account at one vendor.
 *
 * **When to use**
 *
 * Use {@link ApiKeyService.can} in programs whose needs are known: what the vendor lacks does not compile. Use
 * `yield* ApiKeyService` where the vendor is chosen at run time: everything is there, and what the vendor lacks fails
 * with `UnsupportedOperation` or `UnsupportedRestriction`.
 *
 * **Example** (A key per tenant)
 *
 * ```ts
 * import { ApiKeyService } from "@effect-api-keys/core"
 * import type { IssuedKey } from "@effect-api-keys/core"
 * import * as Effect from "effect/Effect"
 *
 * declare const storeInMyVault: (key: IssuedKey) => Effect.Effect<void>
 *
 * export const signUp = Effect.gen(function* () {
 *   const keys = yield* ApiKeyService.can("create", "domains", "quota")
 *   return yield* keys.create(
 *     { name: "acme", domains: ["acme.com"], quota: 1000 },
 *     { deliver: storeInMyVault }
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class ApiKeyService extends Context.Service<
  ApiKeyService,
  Bound &
    Verbs & {
      /** Whether this vendor can do it. */
      readonly supports: (need: Need) => boolean
    }
>()("@effect-api-keys/core/ApiKeyService") {
  /**
   * The service, narrowed to what is named here; a vendor that lacks any of it does not compile.
   *
   * @since 0.1.0
   */
  static can<const Needs extends readonly [Need, ...ReadonlyArray<Need>]>(
    ...needs: { readonly [I in keyof Needs]: Single<Needs[I]> }
  ): Effect.Effect<Capable<Needs[number]>, never, ApiKeyService | EachCan<Needs[number]>> {
    // The requirement for Can<…> is of types alone: nothing is looked up.
    return Effect.map(ApiKeyService, (keys) => service.pick(keys, needs)) as unknown as Effect.Effect<
      Capable<Needs[number]>,
      never,
      ApiKeyService | EachCan<Needs[number]>
    >
  }

  /**
   * A layer for each name, all of one type: for a vendor chosen by configuration, or for `LayerMap`.
   *
   * **Details**
   *
   * What comes out can do what *all* the layers can.
   *
   * @since 0.1.0
   */
  static oneOf<const Layers extends Readonly<Record<string, Layer.Layer<ApiKeyService, unknown, unknown>>>>(
    layers: Layers
  ): (
    name: keyof Layers & string
  ) => Layer.Layer<
    ApiKeyService | EachCan<SharedNeeds<Layers>>,
    LayerError<Layers[keyof Layers]>,
    LayerServices<Layers[keyof Layers]>
  > {
    return (name) => {
      const layer = Object.hasOwn(layers, name) ? layers[name] : undefined
      // Each layer gives at least what all share, which is what the type says. A name that none has can only come by a cast,
      // or from a record whose names the compiler does not know.
      return (layer ??
        Layer.effectContext(Effect.die(new Error("ApiKeyService.oneOf: no layer of this name")))) as Layer.Layer<
        ApiKeyService | EachCan<SharedNeeds<Layers>>,
        LayerError<Layers[keyof Layers]>,
        LayerServices<Layers[keyof Layers]>
      >
    }
  }

  /**
   * The layer of a vendor, from its driver; what it can do is inferred from the driver's type.
   *
   * @since 0.1.0
   */
  static layer<D extends ApiKeyDriver, E, R>(
    driver: Effect.Effect<D, E, R>
  ): Layer.Layer<ApiKeyService | EachCan<Evidence<D>>, E, Exclude<R, Scope.Scope>> {
    // The evidence is of types alone: the context holds nothing but the service.
    return Layer.effect(ApiKeyService, Effect.flatMap(driver, service.make)) as Layer.Layer<
      ApiKeyService | EachCan<Evidence<D>>,
      E,
      Exclude<R, Scope.Scope>
    >
  }
}
