import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type { Can } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import {
  type Account,
  type Attention,
  type KeyVault,
  type Needs,
  Rotation,
  type RotationError,
  type RotationEvent,
  type RotationOptions,
  type Slot,
  type Verdict,
  type Verify
} from "../src/index.ts"

// What is proved here is proved by the compiler; the functions that hold the proofs are not run.

const apiKey = Redacted.make("api_test_manager")
const jetEmail = JetEmail.layer({ apiKey, defaults: { domains: "any", ips: "any", quota: "unlimited" } })
const smtp2go = MailerPatch.layer({ apiKey, defaults: { rate: "unlimited" } })
const voiceable = Voiceable.layer({
  apiKey,
  baseUrl: "https://voiceable.example",
  defaults: { origins: "any", resources: "any", keyType: "private" }
})

class Prober extends Context.Service<Prober, { readonly probe: Effect.Effect<Verdict> }>()("test/Prober") {}
class Config extends Context.Service<Config, { readonly name: string }>()("test/Config") {}

type Base = KeyVault | WorkflowEngine
type Made<L> =
  L extends Layer.Layer<infer Out, infer E, infer R>
    ? { readonly out: Out; readonly error: E; readonly needs: R }
    : never

describe("the layer", () => {
  it("needs what the accounts' layers and probes need, and no more", () => {
    const proof = () => {
      const none = Layer.provide(jetEmail, {} as Layer.Layer<HttpClient.HttpClient>)
      const bare = Rotation.layer({ accounts: () => ({ keys: none, verify: "none" }) })
      expectTypeOf<Made<typeof bare>>().toEqualTypeOf<{
        readonly out: Rotation
        readonly error: RotationError
        readonly needs: Base
      }>()

      const client = Rotation.layer({ accounts: () => ({ keys: jetEmail, verify: "none" }) })
      expectTypeOf<Made<typeof client>["needs"]>().toEqualTypeOf<Base | HttpClient.HttpClient>()

      const probe: Verify<Prober> = () => Effect.flatMap(Prober, ({ probe }) => probe)
      const probed = Rotation.layer({ accounts: () => ({ keys: none, verify: probe }) })
      expectTypeOf<Made<typeof probed>["needs"]>().toEqualTypeOf<Base | Prober>()

      const both = Rotation.layer({ accounts: () => ({ keys: smtp2go, verify: probe }) })
      expectTypeOf<Made<typeof both>["needs"]>().toEqualTypeOf<Base | Prober | HttpClient.HttpClient>()

      const configured = Layer.unwrap(Effect.map(Config, () => voiceable))
      const many = Rotation.layer({
        overlap: "1 day",
        accounts: (name) => {
          switch (name) {
            case "jetemail":
              return { keys: none, verify: "none" }
            case "smtp2go":
              return { keys: smtp2go, verify: probe }
            case "voiceable":
              return {
                keys: configured,
                verify: ({ secret }) => Effect.succeed(Redacted.value(secret) === "" ? "rejected" : "accepted")
              }
            default:
              return undefined
          }
        }
      })
      expectTypeOf<Made<typeof many>["needs"]>().toEqualTypeOf<Base | Prober | Config | HttpClient.HttpClient>()
    }
    assert.isFunction(proof)
  })

  it("takes accounts that were typed before", () => {
    const proof = () => {
      const accounts: RotationOptions<HttpClient.HttpClient>["accounts"] = (name) =>
        name === "jetemail" ? { keys: jetEmail, verify: "none" } : undefined
      const rest: Omit<RotationOptions, "accounts"> = { overdueAfter: "Infinity" }
      const layer = Rotation.layer({ ...rest, accounts })
      expectTypeOf<Made<typeof layer>["needs"]>().toEqualTypeOf<Base | HttpClient.HttpClient>()

      const oneOf = ApiKeyService.oneOf({ jetEmail, smtp2go, voiceable })
      const chosen = Rotation.layer({ accounts: () => ({ keys: oneOf("jetEmail"), verify: "none" }) })
      expectTypeOf<Made<typeof chosen>["needs"]>().toEqualTypeOf<Base | HttpClient.HttpClient>()
    }
    assert.isFunction(proof)
  })

  it("takes no vendor whose lost mints cannot be found, or whose keys cannot be rotated", () => {
    type Layers<N extends Needs> = Layer.Layer<ApiKeyService | (N extends Needs ? Can<N> : never)>
    const proof = (
      whole: Layers<Needs>,
      withoutRecover: Layers<Exclude<Needs, "recover">>,
      withoutRotate: Layers<Exclude<Needs, "rotate">>,
      bare: Layer.Layer<ApiKeyService>
    ) => {
      Rotation.layer({ accounts: () => ({ keys: whole, verify: "none" }) })
      // @ts-expect-error: `Can<"recover">` is missing
      Rotation.layer({ accounts: () => ({ keys: withoutRecover, verify: "none" }) })
      // @ts-expect-error: `Can<"rotate">` is missing
      Rotation.layer({ accounts: () => ({ keys: withoutRotate, verify: "none" }) })
      // @ts-expect-error: nothing is known of what it can do
      Rotation.layer({ accounts: () => ({ keys: bare, verify: "none" }) })
      // @ts-expect-error: one of them is not enough
      Rotation.layer({ accounts: (name) => ({ keys: name === "a" ? whole : bare, verify: "none" }) })
    }
    assert.isFunction(proof)
  })

  it("is told how a new key is tried", () => {
    const proof = () => {
      // @ts-expect-error: `verify` must be given
      Rotation.layer({ accounts: () => ({ keys: jetEmail }) })
      // @ts-expect-error: "none" is written out
      Rotation.layer({ accounts: () => ({ keys: jetEmail, verify: undefined }) })
      // @ts-expect-error: a probe gives a verdict
      Rotation.layer({ accounts: () => ({ keys: jetEmail, verify: () => Effect.succeed(true) }) })
      // @ts-expect-error: there is no vendor without `accounts`
      Rotation.layer({})
      // @ts-expect-error: a duration that is none
      Rotation.layer({ accounts: () => undefined, overlap: "a while" })
    }
    assert.isFunction(proof)
  })
})

describe("the service", () => {
  it("fails with its one error, and needs nothing", () => {
    const proof = (rotation: Rotation["Service"]) => {
      const id = { account: "a", slot: "b" }
      expectTypeOf(rotation.start(id)).toExtend<Effect.Effect<{ readonly step: string }, RotationError>>()
      expectTypeOf(rotation.poll(id)).toExtend<Effect.Effect<Option.Option<object>, RotationError>>()
      expectTypeOf(rotation.schedule({ every: "30 days" })).toEqualTypeOf<Effect.Effect<never, RotationError>>()
      expectTypeOf(rotation.attention()).toEqualTypeOf<Stream.Stream<Attention, RotationError>>()
      expectTypeOf(rotation.events).toEqualTypeOf<Stream.Stream<RotationEvent>>()
      expectTypeOf(rotation.settle(id, "handle")).toEqualTypeOf<Effect.Effect<Slot, RotationError>>()
      rotation.revokeAndReplace(id)
      rotation.revokeAndReplace(Redacted.make("leaked"), { rotationId: "incident" })
      // @ts-expect-error: what leaked is not handed around in clear
      rotation.revokeAndReplace("leaked")
      // @ts-expect-error: a leaked key has no overlap
      rotation.revokeAndReplace(id, { overlap: "1 day" })
      // @ts-expect-error: how old a key may get has no default
      rotation.schedule({})
    }
    assert.isFunction(proof)
  })

  it("has accounts whose requirements add up", () => {
    expectTypeOf<Account<Prober>>().toExtend<Account<Prober | Config>>()
    expectTypeOf<Account>().toExtend<Account<unknown>>()
    expectTypeOf<Account<Prober>>().not.toExtend<Account>()
    assert.isTrue(true)
  })
})
