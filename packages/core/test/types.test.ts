import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ApiKey, IncompleteRotation, IssuedKey, KeyRef, PatchedKey } from "../src/ApiKey.ts"
import { RotatedKey } from "../src/ApiKey.ts"
import * as ApiKeyDriver from "../src/ApiKeyDriver.ts"
import { ApiKeyError, KeyNotFound } from "../src/ApiKeyError.ts"
import {
  ApiKeyService,
  type Bound,
  type Can,
  type Capable,
  type EachCan,
  type Evidence,
  type KeyPatch,
  type KeySpec,
  type Need,
  type Verbs
} from "../src/ApiKeyService.ts"
import type * as ProviderClient from "../src/ProviderClient.ts"
import type { MintIntent, Recovery } from "../src/Recovery.ts"
import type { Restrictions } from "../src/Restrictions.ts"
import { layerTest } from "../src/testing/index.ts"

// What is proved here is proved by the compiler; the functions that hold the proofs are not run.

class Failed extends Schema.TaggedError<Failed>("test/Failed")("Failed", {}) {}
class Vault extends Context.Service<Vault, { readonly put: (key: IssuedKey) => Effect.Effect<void, Failed> }>()(
  "test/Vault"
) {}

const gone = Effect.fail(new ApiKeyError({ provider: "acme", operation: "any", reason: new KeyNotFound() }))
const anything = ApiKeyDriver.text(Result.succeed)
const entries = ApiKeyDriver.allowList({ entry: Result.succeed })

const base = {
  provider: "acme",
  account: "default",
  defaults: {},
  restrictions: {},
  name: anything,
  address: anything,
  handle: () => "acme"
}
const mint = () => gone
const list = () => Stream.empty
const setStatus = () => gone
const remove = () => gone
const inPlace = { inPlace: () => gone }
const bySuccessor = { successor: () => gone, retire: () => gone }

/** Everything in domains and quota; no other restriction, and no overlap. */
const rotating = {
  ...base,
  restrictions: { domains: entries, quota: ApiKeyDriver.quota({ max: 5 }) },
  defaults: { domains: "any", quota: "unlimited" },
  mint,
  patch: () => gone,
  setStatus,
  remove,
  list,
  rotation: inPlace
} as const
/** Mints and lists, restricts by rate, and rotates by a successor; cannot disable. */
const overlapping = {
  ...base,
  restrictions: { rate: Result.succeed },
  defaults: { rate: "unlimited" },
  mint,
  remove,
  list,
  rotation: bySuccessor
} as const

const rotatingLayer = ApiKeyService.layer(Effect.succeed(rotating))
const overlappingLayer = ApiKeyService.layer(Effect.succeed(overlapping))

type OfRotating =
  | "create"
  | "patch"
  | "rotate"
  | "disable"
  | "enable"
  | "revoke"
  | "delete"
  | "get"
  | "list"
  | "domains"
  | "quota"
type OfOverlapping = "create" | "rotate" | "overlap" | "revoke" | "delete" | "get" | "list" | "rate"

/** What a layer still asks for; `never` when it can be run. */
type Missing<L> = L extends Layer.Layer<infer _Out, infer _E, infer R> ? R : never

const createWithDomains = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "domains")
  return yield* keys.create({ name: "acme", domains: ["acme.example"] })
})
const disableOne = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("disable")
  yield* keys.disable((yield* ApiKeyService).ref(Redacted.make("api_test_1")))
})

const run = <A, E>(_: Effect.Effect<A, E>) => {}

describe("can", () => {
  it("asks for one Can for each verb, each restriction and the overlap", () => {
    expectTypeOf(ApiKeyService.can("create")).toEqualTypeOf<
      Effect.Effect<Capable<"create">, never, ApiKeyService | Can<"create">>
    >()
    expectTypeOf(ApiKeyService.can("create", "revoke", "domains", "overlap")).toEqualTypeOf<
      Effect.Effect<
        Capable<"create" | "revoke" | "domains" | "overlap">,
        never,
        ApiKeyService | Can<"create"> | Can<"revoke"> | Can<"domains"> | Can<"overlap">
      >
    >()
    expectTypeOf<EachCan<never>>().toEqualTypeOf<never>()
  })

  it("what it gives passes for what is asked less of, and for nothing more", () => {
    const proof = (
      create: Capable<"create">,
      withDomains: Capable<"create" | "domains">,
      rotate: Capable<"rotate">,
      overlapping: Capable<"rotate" | "overlap">
    ) => {
      const less: Capable<"create"> = withDomains
      const kept: Capable<"rotate"> = overlapping
      // @ts-expect-error it would be given domains, and its vendor may have none
      const more: Capable<"create" | "domains"> = create
      // @ts-expect-error it would keep the previous key, and its vendor may not
      const keeping: Capable<"rotate" | "overlap"> = rotate
      return [less, kept, more, keeping]
    }
    expectTypeOf(proof).toBeFunction()
    expectTypeOf<Capable<"create">>().toExtend<Bound & Pick<Verbs<"create">, "create">>()
  })

  it("needs at least one argument, of those that there are", () => {
    const proof = () => {
      // @ts-expect-error nothing was asked for, so nothing could be done with the answer
      ApiKeyService.can()
      // @ts-expect-error there is no such verb
      ApiKeyService.can("destroy")
      // @ts-expect-error "expires" is reserved and not there yet
      ApiKeyService.can("create", "expires")
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("gives only the verbs that were asked for", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("get", "domains")
      expectTypeOf<Exclude<keyof typeof keys, keyof Bound | `~${string}`>>().toEqualTypeOf<"get">()
      // @ts-expect-error create was not asked for
      keys.create
      // @ts-expect-error restrictions are no verbs
      keys.domains
      // @ts-expect-error what belongs to the whole service is behind `yield* ApiKeyService`
      keys.supports
    })
    expectTypeOf(proof).toExtend<Effect.Effect<void, never, ApiKeyService | Can<"get"> | Can<"domains">>>()
  })

  it.effect("gives only the verbs that were asked for, at run time too", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("get", "domains", "overlap", "list")
      assert.deepStrictEqual(Object.keys(keys).sort(), ["account", "get", "handle", "list", "provider", "ref"])
    }).pipe(Effect.provide(layerTest()))
  )

  it("restrictions that were not asked for cannot stand in a spec or a patch", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "patch", "quota")
      yield* keys.create({ name: "acme", quota: 5 })
      yield* keys.create({ name: "acme", quota: "unlimited", options: {} })
      // @ts-expect-error domains were not asked for: an excess property
      yield* keys.create({ name: "acme", domains: ["acme.example"] })
      // @ts-expect-error a key needs a name
      yield* keys.create({ quota: 5 })
      // @ts-expect-error null is no quota
      yield* keys.create({ name: "acme", quota: null })
      // @ts-expect-error a misspelt restriction would widen the key
      yield* keys.create({ name: "acme", qouta: 5 })
      const ref = (yield* keys.create({ name: "acme" })).ref
      yield* keys.patch(ref, { quota: 5 })
      // @ts-expect-error domains were not asked for: an excess property
      yield* keys.patch(ref, { domains: "any" })
      // @ts-expect-error a string is no ref
      yield* keys.patch("api_test_1", { quota: 5 })
    })
    expectTypeOf(proof).toBeObject()
    expectTypeOf<keyof KeySpec<"create" | "quota">>().toEqualTypeOf<"name" | "options" | "quota">()
    expectTypeOf<keyof KeyPatch<"patch">>().toEqualTypeOf<"name" | "options">()
    expectTypeOf<keyof KeySpec>().toEqualTypeOf<"name" | "options" | keyof Restrictions>()
  })

  it("lists that may be empty are refused", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "domains")
      const found: Array<string> = []
      yield* keys.create({ name: "acme", domains: "any" })
      yield* keys.create({ name: "acme", domains: ["acme.example"] })
      // @ts-expect-error an empty list means everything to some vendors
      yield* keys.create({ name: "acme", domains: [] })
      // @ts-expect-error this list may be empty: decode it with the schema of AllowList
      yield* keys.create({ name: "acme", domains: found })
      // @ts-expect-error one string is neither "any" nor a list
      yield* keys.create({ name: "acme", domains: "acme.example" })
      // @ts-expect-error nothing said is left out, and not written as undefined
      yield* keys.create({ name: "acme", domains: undefined })
    })
    expectTypeOf(proof).toBeObject()
  })

  it("the body of an endpoint is JSON once it is encoded", () => {
    const proofs = () => {
      type Body = NonNullable<ProviderClient.Endpoint<{ readonly at: Date }, unknown>["body"]>
      // @ts-expect-error a Date is no JSON, and would be written as nobody has said
      const dated: Body = Schema.Struct({ at: Schema.Date })
      const written: Body = Schema.Struct({ at: Schema.DateFromString })
      return [dated, written]
    }
    assert.isFunction(proofs)
  })

  it("a rate has named units", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "rate")
      yield* keys.create({ name: "acme", rate: { max: 5, per: { hours: 1 } } })
      // @ts-expect-error nobody can tell what 3600 means
      yield* keys.create({ name: "acme", rate: { max: 5, per: 3600 } })
      // @ts-expect-error an unknown unit
      yield* keys.create({ name: "acme", rate: { max: 5, per: { hour: 1 } } })
    })
    expectTypeOf(proof).toBeObject()
  })

  it("keepPrevious needs overlap", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("rotate")
      const both = yield* ApiKeyService.can("rotate", "overlap")
      const all = yield* ApiKeyService
      const ref = all.ref(Redacted.make("api_test_1"))
      yield* keys.rotate(ref)
      yield* keys.rotate(ref, { deliver: () => Effect.void })
      yield* both.rotate(ref, { keepPrevious: true })
      yield* all.rotate(ref, { keepPrevious: true })
      // @ts-expect-error a vendor that rotates in place keeps nothing: ask for "overlap"
      yield* keys.rotate(ref, { keepPrevious: true })
    })
    expectTypeOf(proof).toBeObject()
  })

  it("an intent needs prepare, and `activate` needs overlap", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("create", "rotate")
      const recovering = yield* ApiKeyService.can("create", "rotate", "prepare", "recover")
      const overlapping = yield* ApiKeyService.can("rotate", "overlap")
      const all = yield* ApiKeyService
      const ref = all.ref(Redacted.make("api_test_1"))
      const intent = yield* recovering.prepare("create")
      expectTypeOf(intent).toEqualTypeOf<MintIntent>()
      yield* recovering.prepare(ref, { snapshot: "none" })
      yield* recovering.prepare(ref, intent.snapshot === undefined ? {} : { snapshot: intent.snapshot })
      yield* recovering.create({ name: "acme" }, { intent, deliver: () => Effect.void })
      yield* recovering.rotate(ref, { intent })
      yield* all.rotate(ref, { intent, keepPrevious: true, activate: false })
      yield* overlapping.rotate(ref, { keepPrevious: true, activate: false })
      expectTypeOf(recovering.recover(intent, { sent: false })).toEqualTypeOf<Effect.Effect<Recovery, ApiKeyError>>()
      // @ts-expect-error nothing could be recovered by it: ask for "prepare"
      yield* keys.create({ name: "acme" }, { intent })
      // @ts-expect-error the same of a rotation
      yield* keys.rotate(ref, { intent })
      // @ts-expect-error a successor is minted beside the old key only where both may live: ask for "overlap"
      yield* recovering.rotate(ref, { activate: false })
      // @ts-expect-error a handle is no key
      yield* recovering.prepare("h_1")
      // @ts-expect-error it was not asked for
      keys.prepare
    })
    expectTypeOf(proof).toBeObject()
  })

  it("prepare and recover need a driver that has all of recovery, list and patch", () => {
    const recovery = { maxName: 64, secrets: false }
    const whole = { ...base, mint, list, patch: () => gone, recovery }
    const { list: _, ...unlisted } = whole
    const { patch: __, ...unpatched } = whole
    expectTypeOf<Evidence<typeof whole>>().toEqualTypeOf<"create" | "patch" | "get" | "list" | "prepare" | "recover">()
    expectTypeOf<Evidence<typeof unlisted>>().toEqualTypeOf<"create" | "patch">()
    expectTypeOf<Evidence<typeof unpatched>>().toEqualTypeOf<"create" | "get" | "list">()
    interface Maybe extends ApiKeyDriver.ApiKeyDriver {
      readonly list: typeof list
      readonly patch: typeof whole.patch
      readonly recovery?: typeof recovery
    }
    expectTypeOf<Evidence<Maybe>>().toEqualTypeOf<"get" | "list" | "patch">()
    const prepare = Effect.flatMap(ApiKeyService.can("create", "prepare"), (keys) => keys.prepare("create"))
    const proof = () => {
      run(Effect.provide(prepare, ApiKeyService.layer(Effect.succeed(whole))))
      // @ts-expect-error a lost mint of this vendor could not be found again
      run(Effect.provide(prepare, rotatingLayer))
      // @ts-expect-error it could not be found without a list
      run(Effect.provide(prepare, ApiKeyService.layer(Effect.succeed(unlisted))))
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("verbs give what they say", () => {
    const proof = (all: Verbs, ref: KeyRef) => {
      expectTypeOf(all.disable(ref)).toEqualTypeOf<Effect.Effect<void, ApiKeyError>>()
      expectTypeOf(all.revoke(ref)).toEqualTypeOf<Effect.Effect<"disabled" | "deleted", ApiKeyError>>()
      expectTypeOf(all.get(ref)).toEqualTypeOf<Effect.Effect<ApiKey, ApiKeyError>>()
      expectTypeOf(all.list()).toEqualTypeOf<Stream.Stream<ApiKey, ApiKeyError>>()
      expectTypeOf(all.patch(ref, {})).toEqualTypeOf<Effect.Effect<PatchedKey, ApiKeyError>>()
      // @ts-expect-error a key is switched to active or sandbox, or with `disable` off
      all.enable(ref, { as: "disabled" })
    }
    expectTypeOf(proof).toBeFunction()
  })
})

describe("errors and services of deliver", () => {
  it("are those of the call", () => {
    const proof = (keys: Capable<"create" | "rotate">, vault: Vault["Service"], ref: KeyRef) => {
      expectTypeOf(keys.create({ name: "acme" })).toEqualTypeOf<Effect.Effect<IssuedKey, ApiKeyError>>()
      expectTypeOf(keys.create({ name: "acme" }, {})).toEqualTypeOf<Effect.Effect<IssuedKey, ApiKeyError>>()
      expectTypeOf(keys.create({ name: "acme" }, { deliver: vault.put })).toEqualTypeOf<
        Effect.Effect<IssuedKey, ApiKeyError | Failed>
      >()
      const deliver = (key: IssuedKey) => Effect.flatMap(Vault, ({ put }) => put(key))
      expectTypeOf(keys.create({ name: "acme" }, { deliver })).toEqualTypeOf<
        Effect.Effect<IssuedKey, ApiKeyError | Failed, Vault>
      >()
      expectTypeOf(keys.rotate(ref)).toEqualTypeOf<Effect.Effect<RotatedKey<never>, ApiKeyError>>()
      expectTypeOf(keys.rotate(ref, { deliver })).toEqualTypeOf<
        Effect.Effect<RotatedKey<Failed>, ApiKeyError | Failed, Vault>
      >()
      keys.create({ name: "acme" }, { deliver, deliverTimeout: "5 seconds" })
      // What it gives back is of no interest.
      keys.create({ name: "acme" }, { deliver: (key) => Effect.succeed(key) })
      // @ts-expect-error a promise is no effect, and would not be waited for
      keys.create({ name: "acme" }, { deliver: async () => {} })
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("a rotation that stopped short holds the caller's own error", () => {
    expectTypeOf<Extract<IncompleteRotation<Failed>, { step: "deliver" }>["cause"]>().toEqualTypeOf<
      Cause.Cause<Failed | ApiKeyError>
    >()
    expectTypeOf<Extract<IncompleteRotation<Failed>, { error: unknown }>["step"]>().toEqualTypeOf<
      "activate" | "retire" | "rename"
    >()
    expectTypeOf<RotatedKey<Failed>["previous"]>().toEqualTypeOf<"dead" | "retired" | "live">()
    // What does not fail can stand where something may.
    expectTypeOf<RotatedKey<never>>().toExtend<RotatedKey<Failed>>()
    expectTypeOf<RotatedKey<Failed>>().not.toExtend<RotatedKey<never>>()
    const schema = RotatedKey(Failed)
    expectTypeOf<(typeof schema)["Type"]>().toExtend<RotatedKey<Failed>>()
  })
})

describe("evidence", () => {
  it("is what the driver's type has", () => {
    expectTypeOf<Evidence<typeof rotating>>().toEqualTypeOf<OfRotating>()
    expectTypeOf<Evidence<typeof overlapping>>().toEqualTypeOf<OfOverlapping>()
    expectTypeOf<Evidence<typeof base>>().toEqualTypeOf<never>()
    expectTypeOf<Layer.Success<typeof rotatingLayer>>().toEqualTypeOf<ApiKeyService | EachCan<OfRotating>>()
  })

  it("a driver part that may be undefined is none", () => {
    const plan = { disables: Math.random() > 2 }
    const driver = { ...base, mint, ...(plan.disables ? { setStatus, remove } : {}) }
    expectTypeOf<Evidence<typeof driver>>().toEqualTypeOf<"create">()
    interface Maybe extends ApiKeyDriver.ApiKeyDriver {
      readonly list: typeof list
      readonly remove?: typeof remove
    }
    expectTypeOf<Evidence<Maybe>>().toEqualTypeOf<"get" | "list">()
    const proof = () => {
      run(Effect.provide(disableOne, ApiKeyService.layer(Effect.succeed({ ...base, setStatus }))))
      // @ts-expect-error whether it can disable is known only at run time
      run(Effect.provide(disableOne, ApiKeyService.layer(Effect.succeed(driver))))
    }
    expectTypeOf(proof).toBeFunction()
    // A driver of which nothing is known gives no evidence at all.
    expectTypeOf<Evidence<ApiKeyDriver.ApiKeyDriver>>().toEqualTypeOf<never>()
  })

  it("a restriction that may be undefined is none", () => {
    interface Maybe extends ApiKeyDriver.ApiKeyDriver {
      readonly mint: typeof mint
      readonly restrictions: {
        readonly domains?: ApiKeyDriver.Rule<Restrictions["domains"]>
        readonly quota: ApiKeyDriver.Rule<Restrictions["quota"]>
      }
    }
    expectTypeOf<Evidence<Maybe>>().toEqualTypeOf<"create" | "quota">()
  })

  it("of a rotation whose kind is not known, there is no overlap", () => {
    interface Either extends ApiKeyDriver.ApiKeyDriver {
      readonly rotation: ApiKeyDriver.RotationDriver
    }
    expectTypeOf<Evidence<Either>>().toEqualTypeOf<"rotate">()
  })

  it("a name that is no restriction is none, and neither is a rule of another's type", () => {
    const proof = () => {
      ApiKeyService.layer(
        // @ts-expect-error a rule for quotas is no rule for domains
        Effect.succeed({ ...base, restrictions: { domains: ApiKeyDriver.quota({ max: 5 }) } })
      )
    }
    expectTypeOf(proof).toBeFunction()
    expectTypeOf<Evidence<typeof base & { readonly restrictions: { readonly colour: "red" } }>>().toEqualTypeOf<never>()
  })

  it("of one need is not of another, so that each is taken away by itself", () => {
    expectTypeOf<Can<"create">>().toExtend<Can<"create" | "get">>()
    expectTypeOf<Can<"create" | "get">>().not.toExtend<Can<"create">>()
    expectTypeOf<Can<"get">>().not.toExtend<Can<"create">>()
  })
})

describe("layers", () => {
  it("a program compiles with a vendor that has what it asks for, and with no other", () => {
    const proof = () => {
      run(Effect.provide(createWithDomains, rotatingLayer))
      run(Effect.provide(disableOne, rotatingLayer))
      // @ts-expect-error this vendor does not know domains
      run(Effect.provide(createWithDomains, overlappingLayer))
      // @ts-expect-error this vendor cannot disable
      run(Effect.provide(disableOne, overlappingLayer))
    }
    expectTypeOf(proof).toBeFunction()
    // What is missing is named, and nothing else is.
    expectTypeOf(Effect.provide(createWithDomains, overlappingLayer)).toEqualTypeOf<
      Effect.Effect<IssuedKey, ApiKeyError, Can<"domains">>
    >()
    expectTypeOf(Effect.provide(disableOne, overlappingLayer)).toEqualTypeOf<
      Effect.Effect<void, ApiKeyError, Can<"disable">>
    >()
  })

  it("a service that wraps can shows what is missing where the vendor is provided", () => {
    class Tenants extends Context.Service<Tenants, { readonly add: Effect.Effect<IssuedKey, ApiKeyError> }>()(
      "test/Tenants"
    ) {
      static readonly layer = Layer.effect(
        Tenants,
        Effect.map(ApiKeyService.can("create", "quota"), (keys) => ({ add: keys.create({ name: "acme", quota: 5 }) }))
      )
    }
    expectTypeOf<Missing<typeof Tenants.layer>>().toEqualTypeOf<ApiKeyService | Can<"create"> | Can<"quota">>()
    const good = Layer.provide(Tenants.layer, rotatingLayer)
    const bad = Layer.provide(Tenants.layer, overlappingLayer)
    expectTypeOf<Missing<typeof good>>().toEqualTypeOf<never>()
    expectTypeOf<Missing<typeof bad>>().toEqualTypeOf<Can<"quota">>()
    const runnable = <A, E>(_: Layer.Layer<A, E>) => {}
    const proof = () => {
      runnable(good)
      // @ts-expect-error this vendor has no quotas
      runnable(bad)
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("`yield* ApiKeyService` asks for no evidence, and has everything", () => {
    const proof = Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* keys.create({ name: "acme", domains: "any", rate: "unlimited" })
      yield* keys.disable(keys.ref(Redacted.make("api_test_1")))
    })
    expectTypeOf(proof).toEqualTypeOf<Effect.Effect<void, ApiKeyError, ApiKeyService>>()
  })

  it("a driver's own needs and failures stay on its layer, without its scope", () => {
    const scoped = Effect.gen(function* () {
      yield* Effect.scope
      yield* Vault
      if (Math.random() > 2) return yield* new Failed()
      return rotating
    })
    expectTypeOf(ApiKeyService.layer(scoped)).toEqualTypeOf<
      Layer.Layer<ApiKeyService | EachCan<OfRotating>, Failed, Vault>
    >()
  })

  const either = ApiKeyService.oneOf({ rotating: rotatingLayer, overlapping: overlappingLayer })

  it("oneOf offers what all share", () => {
    type Shared = Extract<OfRotating, OfOverlapping>
    expectTypeOf<Shared>().toEqualTypeOf<"create" | "rotate" | "revoke" | "delete" | "get" | "list">()
    expectTypeOf(either("rotating")).toEqualTypeOf<Layer.Layer<ApiKeyService | EachCan<Shared>>>()
    expectTypeOf(either).parameter(0).toEqualTypeOf<"rotating" | "overlapping">()
    const revoke = Effect.flatMap(ApiKeyService.can("revoke"), () => Effect.void)
    const proof = () => {
      run(Effect.provide(revoke, either("rotating")))
      // @ts-expect-error only one of the two knows domains
      run(Effect.provide(createWithDomains, either("rotating")))
      // @ts-expect-error only one of the two can disable
      run(Effect.provide(disableOne, either("rotating")))
      // @ts-expect-error there is no layer of this name
      either("smtp2go")
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("oneOf keeps what the layers need and how they fail", () => {
    const failing = ApiKeyService.layer(Effect.andThen(Vault, Effect.as(Effect.fail(new Failed()), rotating)))
    const mixed = ApiKeyService.oneOf({ failing, overlapping: overlappingLayer })
    expectTypeOf(mixed("failing")).toEqualTypeOf<
      Layer.Layer<ApiKeyService | EachCan<"create" | "rotate" | "revoke" | "delete" | "get" | "list">, Failed, Vault>
    >()
  })

  it.effect("oneOf builds the layer that is named, and dies for one that is not", () =>
    Effect.gen(function* () {
      const chosen = ApiKeyService.oneOf({
        one: layerTest({ provider: "one" }),
        two: layerTest({ provider: "two" })
      })
      const provider = (name: "one" | "two") =>
        Effect.provide(
          Effect.map(ApiKeyService, (keys) => keys.provider),
          chosen(name)
        )
      assert.strictEqual(yield* provider("one"), "one")
      assert.strictEqual(yield* provider("two"), "two")
      // A name that got past the compiler, as from plain JavaScript.
      for (const name of ["three", "toString", "__proto__"]) {
        const exit = yield* Effect.exit(provider(name as "one"))
        assert.isTrue(Exit.isFailure(exit))
      }
    })
  )

  it("layerTest has evidence of everything", () => {
    expectTypeOf(layerTest()).toEqualTypeOf<Layer.Layer<ApiKeyService | EachCan<Need>>>()
    const proof = () => {
      run(Effect.provide(createWithDomains, layerTest()))
      // @ts-expect-error a part of another type is no part
      layerTest({ revoke: () => Effect.succeed("gone") })
    }
    expectTypeOf(proof).toBeFunction()
  })
})

describe("clients", () => {
  it("only repeatable endpoints are called, and only mints are prepared", () => {
    const proof = (client: ProviderClient.ProviderClient) => {
      const read = { method: "GET", path: "/", safety: "read", reply: Schema.String } as const
      const mint = { ...read, method: "POST", safety: "mint" } as const
      client.call<void, string>(read)
      client.prepare<void, string>(mint)
      // @ts-expect-error a mint must not be repeated
      client.call<void, string>(mint)
      // @ts-expect-error a read has nothing to prepare
      client.prepare<void, string>(read)
      // @ts-expect-error an endpoint says what may be done when its reply is lost
      client.call<void, string>({ method: "GET", path: "/", reply: Schema.String })
    }
    expectTypeOf(proof).toBeFunction()
  })

  it("a client needs an HttpClient and a scope, and nothing else", () => {
    expectTypeOf<typeof ProviderClient.make>().returns.toEqualTypeOf<
      Effect.Effect<ProviderClient.ProviderClient, ApiKeyError, HttpClient.HttpClient | Scope.Scope>
    >()
  })
})

describe("a union of what is known at run time alone", () => {
  it("is refused by can: a verb would be missing at run time", () => {
    const either = (need: "create" | "revoke") => {
      // @ts-expect-error one of two verbs, nobody knows which
      ApiKeyService.can(need)
      // @ts-expect-error the same beside a literal
      ApiKeyService.can("list", need)
    }
    assert.isFunction(either)
  })

  it("of layers gives oneOf no more than each member has", () => {
    const chosen = (flag: boolean) => ApiKeyService.oneOf({ main: flag ? rotatingLayer : overlappingLayer })("main")
    const proof = (flag: boolean) => {
      Effect.runSync(Effect.provide(Effect.asVoid(ApiKeyService.can("create")), chosen(flag)))
      // @ts-expect-error only one of the two layers disables
      Effect.runSync(Effect.provide(Effect.asVoid(ApiKeyService.can("disable")), chosen(flag)))
    }
    assert.isFunction(proof)
  })
})
