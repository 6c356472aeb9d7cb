/** The promise of the library: a program runs with every vendor that has what it needs, and compiles with no other. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { type ApiKeyError, ApiKeyService, type Can, type KeyRef, type Need } from "@effect-api-keys/core"
import { MemoryProvider } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

const jetEmail = Layer.unwrap(
  JetEmailSandbox.JetEmailSandbox.useSync(({ credential }) =>
    JetEmail.layer({ apiKey: credential, defaults: { domains: "any", ips: "any", quota: "unlimited" } })
  )
).pipe(Layer.provide(JetEmailSandbox.layerClient()))

const smtp2go = Layer.unwrap(
  MailerPatchSandbox.MailerPatchSandbox.useSync(({ credential }) =>
    MailerPatch.layer({ apiKey: credential, defaults: { rate: "unlimited" } })
  )
).pipe(Layer.provide(MailerPatchSandbox.layerClient()))

const voiceable = Layer.unwrap(
  VoiceableSandbox.VoiceableSandbox.useSync(({ credential }) =>
    Voiceable.layer({
      apiKey: credential,
      baseUrl: "https://voiceable.example/api/v1",
      defaults: { origins: "any", resources: "any", keyType: "private" }
    })
  )
).pipe(Layer.provide(VoiceableSandbox.layerClient()))

const vendors = { jetemail: jetEmail, smtp2go, voiceable }
const choose = ApiKeyService.oneOf(vendors)

const run = <A>(effect: Effect.Effect<A, ApiKeyError>): Effect.Effect<A, ApiKeyError> => effect

const needsCreateAndRevoke = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "revoke")
  const key = yield* keys.create({ name: "acme" })
  return yield* keys.revoke(key.ref)
})
const needsDisable = (ref: KeyRef) =>
  Effect.flatMap(ApiKeyService.can("disable", "enable"), (keys) => Effect.andThen(keys.disable(ref), keys.enable(ref)))
const needsDomains = Effect.flatMap(ApiKeyService.can("create", "domains"), (keys) =>
  keys.create({ name: "acme", domains: ["acme.example"] })
)
const needsScopes = Effect.flatMap(ApiKeyService.can("create", "scopes", "rate"), (keys) =>
  keys.create({ name: "acme", scopes: ["/email/send"], rate: { max: 1, per: { hours: 1 } } })
)
const needsOrigins = Effect.flatMap(ApiKeyService.can("create", "origins", "resources"), (keys) =>
  keys.create({ name: "acme", origins: ["https://acme.example"], resources: ["123"] })
)
const needsOverlap = (ref: KeyRef) =>
  Effect.flatMap(ApiKeyService.can("rotate", "overlap"), (keys) => keys.rotate(ref, { keepPrevious: true }))

const needsRecovery = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "rotate", "prepare", "recover", "get")
  const created = yield* keys.create({ name: "acme" }, { intent: yield* keys.prepare("create") })
  const intent = yield* keys.prepare(created.ref)
  const before = yield* keys.recover(intent, { sent: false })
  const { issued } = yield* keys.rotate(created.ref, { deliver: () => Effect.void, intent })
  const { name } = yield* keys.get(issued.ref)
  return [Option.getOrNull(created.name), before._tag, Option.getOrNull(name)]
})

/** Never run: proved by the compiler. */
const proofs = (ref: KeyRef) => [
  // What all have.
  run(needsCreateAndRevoke.pipe(Effect.provide(jetEmail))),
  run(needsCreateAndRevoke.pipe(Effect.provide(smtp2go))),
  run(needsCreateAndRevoke.pipe(Effect.provide(voiceable))),
  run(needsCreateAndRevoke.pipe(Effect.provide(choose("voiceable")))),

  run(needsRecovery.pipe(Effect.provide(jetEmail))),
  run(needsRecovery.pipe(Effect.provide(smtp2go))),
  run(needsRecovery.pipe(Effect.provide(voiceable))),
  run(needsRecovery.pipe(Effect.provide(choose("jetemail")))),

  run(needsDisable(ref).pipe(Effect.provide(jetEmail))),
  run(needsDisable(ref).pipe(Effect.provide(smtp2go))),
  // @ts-expect-error Type 'Can<"disable">' is not assignable to type 'never'
  run(needsDisable(ref).pipe(Effect.provide(voiceable))),
  // @ts-expect-error what one of three lacks is not offered, whichever is chosen
  run(needsDisable(ref).pipe(Effect.provide(choose("jetemail")))),

  run(needsDomains.pipe(Effect.provide(jetEmail))),
  // @ts-expect-error Type 'Can<"domains">' is not assignable to type 'never'
  run(needsDomains.pipe(Effect.provide(smtp2go))),
  // @ts-expect-error Type 'Can<"domains">' is not assignable to type 'never'
  run(needsDomains.pipe(Effect.provide(voiceable))),

  // @ts-expect-error Type 'Can<"scopes">' is not assignable to type 'never'
  run(needsScopes.pipe(Effect.provide(jetEmail))),
  run(needsScopes.pipe(Effect.provide(smtp2go))),
  // @ts-expect-error Type 'Can<"scopes">' is not assignable to type 'never'
  run(needsScopes.pipe(Effect.provide(voiceable))),

  // @ts-expect-error Type 'Can<"origins">' is not assignable to type 'never'
  run(needsOrigins.pipe(Effect.provide(jetEmail))),
  // @ts-expect-error Type 'Can<"origins">' is not assignable to type 'never'
  run(needsOrigins.pipe(Effect.provide(smtp2go))),
  run(needsOrigins.pipe(Effect.provide(voiceable))),

  // @ts-expect-error Type 'Can<"overlap">' is not assignable to type 'never'
  run(needsOverlap(ref).pipe(Effect.provide(jetEmail))),
  run(needsOverlap(ref).pipe(Effect.provide(smtp2go))),
  run(needsOverlap(ref).pipe(Effect.provide(voiceable)))
]

/** What a layer gives evidence of. */
type NeedsOf<L> = L extends Layer.Layer<infer Out, infer _E, infer _R> ? (Out extends Can<infer N> ? N : never) : never

type Shared = "create" | "patch" | "rotate" | "revoke" | "delete" | "get" | "list" | "prepare" | "recover"

/** The evidence in types, written out, so that it can be held against what each vendor says at run time. */
const evidence = {
  jetemail: {
    create: true,
    patch: true,
    rotate: true,
    disable: true,
    enable: true,
    revoke: true,
    delete: true,
    get: true,
    list: true,
    prepare: true,
    recover: true,
    domains: true,
    ips: true,
    quota: true
  } satisfies Record<NeedsOf<typeof jetEmail>, true>,
  smtp2go: {
    create: true,
    patch: true,
    rotate: true,
    overlap: true,
    disable: true,
    enable: true,
    revoke: true,
    delete: true,
    get: true,
    list: true,
    prepare: true,
    recover: true,
    scopes: true,
    rate: true
  } satisfies Record<NeedsOf<typeof smtp2go>, true>,
  voiceable: {
    create: true,
    patch: true,
    rotate: true,
    overlap: true,
    revoke: true,
    delete: true,
    get: true,
    list: true,
    prepare: true,
    recover: true,
    origins: true,
    resources: true
  } satisfies Record<NeedsOf<typeof voiceable>, true>
}

const everyNeed = {
  create: true,
  patch: true,
  rotate: true,
  disable: true,
  enable: true,
  revoke: true,
  delete: true,
  get: true,
  list: true,
  prepare: true,
  recover: true,
  overlap: true,
  domains: true,
  ips: true,
  origins: true,
  scopes: true,
  resources: true,
  quota: true,
  rate: true
} satisfies Record<Need, true>

const names = ["jetemail", "smtp2go", "voiceable"] as const

describe("swapping the vendor", () => {
  it("compiles with the vendors that have what is needed, and with no other", () => {
    expectTypeOf(proofs).toBeFunction()
  })

  it("oneOf offers exactly what all three share", () => {
    expectTypeOf<NeedsOf<ReturnType<typeof choose>>>().toEqualTypeOf<Shared>()
  })

  for (const name of names) {
    it.effect(`${name}: what is said at run time is what is said in types`, () =>
      Effect.gen(function* () {
        const { provider, supports } = yield* ApiKeyService
        assert.strictEqual(provider, name)
        for (const need of Object.keys(everyNeed) as ReadonlyArray<Need>) {
          assert.strictEqual(supports(need), need in evidence[name], need)
        }
      }).pipe(Effect.provide(choose(name)))
    )

    it.effect(`${name}: one program runs, by its layer alone or by name`, () =>
      Effect.gen(function* () {
        const outcome = name === "voiceable" ? "deleted" : "disabled"
        assert.strictEqual(yield* needsCreateAndRevoke.pipe(Effect.provide(choose(name))), outcome)
      })
    )
  }

  it.effect("one program prepares its mints at every vendor, and leaves no marker behind", () =>
    Effect.gen(function* () {
      for (const name of names) {
        const seen = yield* needsRecovery.pipe(Effect.provide(choose(name)))
        assert.deepStrictEqual(seen, ["acme", "NotApplied", "acme"], name)
      }
    })
  )

  it.effect("an intent of one vendor is refused by the others", () =>
    Effect.gen(function* () {
      const intent = yield* Effect.flatMap(ApiKeyService, (keys) => keys.prepare("create")).pipe(
        Effect.provide(MemoryProvider.layer())
      )
      for (const name of names) {
        const keys = ApiKeyService.can("create", "prepare", "recover")
        const calls = [
          Effect.flatMap(keys, ({ create }) => Effect.asVoid(create({ name: "acme" }, { intent }))),
          Effect.flatMap(keys, ({ recover }) => Effect.asVoid(recover(intent)))
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(Effect.provide(call, choose(name)))
          assert.strictEqual(error.reason._tag, "InvalidRequest", name)
          assert.include(error.message, "intent.provider")
        }
      }
    })
  )

  it.effect("a ref of one vendor is refused by the others", () =>
    Effect.gen(function* () {
      const { ref } = yield* Effect.flatMap(ApiKeyService, (keys) => keys.create({ name: "acme" })).pipe(
        Effect.provide(MemoryProvider.layer())
      )
      for (const name of names) {
        const error = yield* Effect.flip(
          Effect.flatMap(ApiKeyService.can("revoke"), (keys) => keys.revoke(ref)).pipe(Effect.provide(choose(name)))
        )
        assert.strictEqual(error.reason._tag, "InvalidRequest", name)
        assert.include(error.message, "ref.provider")
      }
    })
  )

  it.effect("options of every vendor may stand in one spec; each takes its own", () =>
    Effect.gen(function* () {
      const spec = {
        name: "acme",
        options: { smtp2go: { openTrackingEnabled: true }, voiceable: { transientAssistant: true } }
      }
      for (const name of names) {
        const shown = yield* Effect.gen(function* () {
          const keys = yield* ApiKeyService
          return yield* keys.get((yield* keys.create(spec)).ref)
        }).pipe(Effect.provide(choose(name)))
        assert.strictEqual(shown.options.openTrackingEnabled, name === "smtp2go" ? true : undefined, name)
        assert.strictEqual(shown.options.transientAssistant, name === "voiceable" ? true : undefined, name)
      }
    })
  )
})
