import { assert, describe, it } from "@effect/vitest"
import type { IssuedKey, KeyPatch, KeySpec } from "@effect-api-keys/core"
import { ApiKeyError, ApiKeyService, InvalidKeyState, ProviderUnavailable } from "@effect-api-keys/core"
import type { ApiKeyDriver } from "@effect-api-keys/core/ApiKeyDriver"
import { MemoryProvider } from "@effect-api-keys/core/testing"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { expectError, recordingLogger } from "./support.ts"

const spec: KeySpec = { name: "acme", domains: ["acme.example"], quota: 1000 }

const down = new ProviderUnavailable({ problem: "status", sent: true })
const vaultDown = "vault down" as const
const failDelivery = { deliver: () => Effect.fail(vaultDown) }

const memory = Effect.gen(function* () {
  return { keys: yield* ApiKeyService, vendor: yield* MemoryProvider.MemoryProvider }
})

/** A vault of as many slots as keys, to deliver to. */
const makeVault = () => {
  const stored: Array<IssuedKey> = []
  return { stored, deliver: (key: IssuedKey) => Effect.sync(() => void stored.push(key)) }
}

/** A delivery that never ends; `started` waits until its deadline is running. */
const makeHanging = () => {
  const reached = Deferred.makeUnsafe<void>()
  return {
    deliver: Effect.andThen(Deferred.succeed(reached, undefined), Effect.never),
    started: Effect.andThen(Deferred.await(reached), TestClock.adjust(0))
  }
}

const liveSecrets = Effect.map(MemoryProvider.MemoryProvider, ({ keys }) =>
  Effect.map(keys, (all) => all.filter(({ status }) => status === "active").map(({ secret }) => secret))
).pipe(Effect.flatten)

const reasonOf = (cause: Cause.Cause<unknown>): ReadonlyArray<unknown> =>
  cause.reasons
    .filter(Cause.isFailReason)
    .map(({ error }) => (error instanceof ApiKeyError ? error.reason._tag : error))

/** Everything that is logged while an effect runs. */
const captureLogs = () => {
  const { layer, logged } = recordingLogger()
  return {
    layer,
    get lines() {
      return logged.map(({ level, message }) => `${level} ${String(message)}`)
    }
  }
}

describe("create", () => {
  it.effect("the key is delivered while the call runs, and says what it leaves open", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const vault = makeVault()
      const key = yield* keys.create(spec, { deliver: vault.deliver })
      assert.strictEqual(vault.stored[0], key)
      assert.deepStrictEqual(key.name, Option.some("acme"))
      assert.deepStrictEqual(key.unrestricted, Option.some(["ips", "origins", "scopes", "resources", "rate"] as const))
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  for (const [what, reply] of [
    ["a domain more", { domains: ["acme.example", "evil.example"] }],
    ["any domain", { domains: "any" }],
    ["no quota", { quota: "unlimited" }],
    ["a larger quota", { quota: 1001 }],
    ["a smaller quota", { quota: 999 }]
  ] as const) {
    it.effect(`a key that comes back other than asked is shut off: ${what}`, () =>
      Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        const vault = makeVault()
        yield* vendor.next("mint", {
          reply: (record) => ({ ...record, restrictions: { ...record.restrictions, ...reply } })
        })
        const error = yield* expectError(keys.create(spec, { deliver: vault.deliver }), "PartiallyApplied")
        assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === true)
        assert.deepStrictEqual(error.reason.missing, Object.keys(reply))
        assert.deepStrictEqual(yield* vendor.keys, [])
        assert.deepStrictEqual(vault.stored, [], "nothing is delivered that is about to be shut off")
      }).pipe(Effect.provide(MemoryProvider.layer()))
    )
  }

  it.effect("a key that comes back wider and cannot be shut off is named in the error", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      yield* vendor.next("mint", { reply: (record) => ({ ...record, restrictions: {}, name: "another" }) })
      yield* vendor.next("remove", { before: Effect.fail(down) })
      yield* vendor.next("setStatus", { before: Effect.fail(down) })
      const error = yield* expectError(keys.create(spec), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied" && error.reason.revoked === false)
      const [stranded] = yield* vendor.keys
      assert.strictEqual(error.handle, `memory_${stranded?.id}`)
      assert.match(error.message, /COULD NOT be shut off/)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a key that cannot be removed is disabled", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      yield* vendor.next("remove", { before: Effect.fail(down) })
      yield* Effect.exit(keys.create(spec, failDelivery))
      assert.deepStrictEqual(
        (yield* vendor.keys).map(({ status }) => status),
        ["disabled"]
      )
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  for (const [what, deliver] of [
    ["fails", () => Effect.fail(vaultDown)],
    ["dies", () => Effect.die(vaultDown)],
    [
      "throws",
      () => {
        throw new Error(vaultDown)
      }
    ],
    ["interrupts itself", () => Effect.interrupt]
  ] as const) {
    it.effect(`a deliver that ${what}: the key is shut off and the call fails with that cause`, () =>
      Effect.gen(function* () {
        const { keys } = yield* memory
        const exit = yield* Effect.exit(keys.create(spec, { deliver }))
        assert(Exit.isFailure(exit))
        const [reason, ...others] = exit.cause.reasons
        assert.strictEqual(others.length, 0)
        assert.strictEqual(reason?._tag, what === "fails" ? "Fail" : what === "interrupts itself" ? "Interrupt" : "Die")
        assert.deepStrictEqual(yield* liveSecrets, [])
      }).pipe(Effect.provide(MemoryProvider.layer()))
    )
  }

  it.effect("a failed delivery whose key cannot be shut off says both", () => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      yield* vendor.next("remove", { before: Effect.fail(down) })
      yield* vendor.next("setStatus", { before: Effect.fail(down) })
      const exit = yield* Effect.exit(keys.create(spec, failDelivery))
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(reasonOf(exit.cause), [vaultDown, "PartiallyApplied"])
      assert.deepStrictEqual(logs.lines, ["Error a key that nobody holds could not be shut off"])
    }).pipe(Effect.provide([MemoryProvider.layer(), logs.layer]))
  })

  for (const [what, wrap] of [
    ["", <A, E, R>(effect: Effect.Effect<A, E, R>) => effect],
    [", even one that cannot be interrupted", Effect.uninterruptible]
  ] as const) {
    it.effect(`a deliver that passes its deadline${what}: the key is shut off, typed`, () =>
      Effect.gen(function* () {
        const { keys } = yield* memory
        const { deliver, started } = makeHanging()
        const call = yield* Effect.forkChild(
          Effect.flip(keys.create(spec, { deliver: () => wrap(deliver), deliverTimeout: "5 seconds" }))
        )
        yield* started
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual((yield* liveSecrets).length, 1)
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(call)
        assert(error.reason._tag === "PartiallyApplied")
        assert.deepStrictEqual(error.reason.missing, ["deliver"])
        assert.deepStrictEqual(yield* liveSecrets, [])
      }).pipe(Effect.provide(MemoryProvider.layer()))
    )
  }

  it.effect("deliver runs in the caller's context", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const logs = captureLogs()
      yield* keys.create(spec, { deliver: () => Effect.log("from the caller") }).pipe(Effect.provide(logs.layer))
      assert.deepStrictEqual(logs.lines, ["Info from the caller"])
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )
})

describe("callers who leave", () => {
  const points = ["before", "after"] as const

  /** Starts a call, holds it inside the vendor, interrupts the caller, lets the vendor go on, closes the layer. */
  const leave = <A, E>(
    part: MemoryProvider.Part,
    point: "before" | "after",
    call: (keys: ApiKeyService["Service"]) => Effect.Effect<A, E>,
    prepare: (keys: ApiKeyService["Service"]) => Effect.Effect<void, ApiKeyError> = () => Effect.void
  ) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(MemoryProvider.layer(), scope)
      return yield* Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        yield* prepare(keys)
        const reached = yield* Deferred.make<void>()
        const proceed = yield* Deferred.make<void>()
        yield* vendor.next(part, {
          [point]: Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(proceed))
        })
        const caller = yield* Effect.forkChild(call(keys))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(caller)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* Effect.yieldNow
        assert.strictEqual(closing.pollUnsafe(), undefined, "the layer waits for the mint")
        yield* Deferred.succeed(proceed, undefined)
        yield* Fiber.join(closing)
        return { live: yield* liveSecrets, vendor, keys }
      }).pipe(Effect.provideContext(context))
    })

  for (const point of points) {
    it.effect(`create with deliver, left ${point} the vendor carried it out: delivered`, () =>
      Effect.gen(function* () {
        const vault = makeVault()
        const logs = captureLogs()
        const { live } = yield* leave("mint", point, (keys) => keys.create(spec, { deliver: vault.deliver })).pipe(
          Effect.provide(logs.layer)
        )
        assert.deepStrictEqual(
          live,
          vault.stored.map(({ secret }) => Redacted.value(secret))
        )
        assert.strictEqual(live.length, 1)
        assert.deepStrictEqual(logs.lines, ["Warn a mint ended after its caller had left"])
      })
    )

    it.effect(`create without deliver, left ${point} the vendor carried it out: shut off`, () =>
      Effect.gen(function* () {
        const { live } = yield* leave("mint", point, (keys) => keys.create(spec))
        assert.deepStrictEqual(live, [])
      })
    )

    it.effect(`rotate by successor with deliver, left ${point}: the vault's key works and the old one is retired`, () =>
      Effect.gen(function* () {
        const vault = makeVault()
        const { live } = yield* leave(
          "rotate",
          point,
          (keys) => Effect.flatMap(first(keys), (ref) => keys.rotate(ref, { deliver: vault.deliver })),
          (keys) => Effect.asVoid(keys.create(spec))
        )
        assert.deepStrictEqual(
          live,
          vault.stored.map(({ secret }) => Redacted.value(secret))
        )
        assert.strictEqual(live.length, 1)
      })
    )

    it.effect(`rotate by successor without deliver, left ${point}: the old key works, alone`, () =>
      Effect.gen(function* () {
        const { live } = yield* leave(
          "rotate",
          point,
          (keys) => Effect.flatMap(first(keys), (ref) => keys.rotate(ref)),
          (keys) => Effect.asVoid(keys.create(spec))
        )
        assert.deepStrictEqual(live, ["api_test_memory_000001"])
      })
    )
  }

  const first = (keys: ApiKeyService["Service"]) =>
    Effect.map(Stream.runHead(keys.list()), (key) =>
      Option.getOrElse(
        Option.flatMap(key, ({ ref }) => ref),
        () => keys.ref(Redacted.make("none"))
      )
    )

  it.effect("an outer time-out does not lose a delivered key", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const vault = makeVault()
      const proceed = yield* Deferred.make<void>()
      yield* vendor.next("mint", { after: Deferred.await(proceed) })
      const call = yield* Effect.forkChild(
        Effect.timeoutOption(keys.create(spec, { deliver: vault.deliver }), "1 second")
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(call)))
      yield* Deferred.succeed(proceed, undefined)
      yield* Effect.yieldNow
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(
        yield* liveSecrets,
        vault.stored.map(({ secret }) => Redacted.value(secret))
      )
      assert.strictEqual(vault.stored.length, 1)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a rotation in place whose caller left without deliver is logged as lost", () => {
    const logs = captureLogs()
    return Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      const proceed = yield* Deferred.make<void>()
      yield* vendor.next("rotate", { after: Deferred.await(proceed) })
      const call = yield* Effect.forkChild(keys.rotate(ref))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(call)
      yield* Deferred.succeed(proceed, undefined)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(logs.lines, [
        "Error a rotated key is lost: nobody took it, and it was not delivered",
        "Warn a mint ended after its caller had left"
      ])
    }).pipe(Effect.provide([MemoryProvider.layerInPlace(), logs.layer]))
  })

  it.effect("is counted once, as abandoned, when the mint ends", () =>
    Effect.gen(function* () {
      const registry = new Map()
      yield* Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        const proceed = yield* Deferred.make<void>()
        yield* vendor.next("mint", { after: Deferred.await(proceed) })
        const call = yield* Effect.forkChild(keys.create(spec, { deliver: () => Effect.void }))
        yield* TestClock.adjust(1)
        yield* Fiber.interrupt(call)
        yield* Deferred.succeed(proceed, undefined)
        yield* TestClock.adjust(1)
        yield* keys.create(spec)
        yield* Effect.exit(keys.create({ name: "" }))
        const counted = yield* Metric.snapshot
        const counts = counted.flatMap((snapshot) =>
          snapshot.type === "Counter" ? [`${snapshot.attributes?.outcome} ${snapshot.state.count}`] : []
        )
        assert.deepStrictEqual(counts.sort(), ["InvalidRequest 1", "abandoned 1", "success 1"])
      }).pipe(Effect.provide(MemoryProvider.layer()), Effect.provideService(Metric.MetricRegistry, registry))
    })
  )

  it.effect("a mint asked for after the layer closed fails typed, and does not hang", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(MemoryProvider.layer(), scope)
      yield* Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        const { ref } = yield* keys.create(spec)
        yield* Scope.close(scope, Exit.void)
        const error = yield* expectError(keys.create(spec), "ProviderUnavailable")
        assert(error.reason._tag === "ProviderUnavailable" && error.reason.problem === "closed")
        yield* expectError(keys.rotate(ref), "ProviderUnavailable")
        assert.strictEqual((yield* vendor.keys).length, 1)
      }).pipe(Effect.provideContext(context))
    })
  )
})

describe("rotate", () => {
  it.effect("a successor takes the old key's status and settings", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* keys.enable(ref, { as: "sandbox" })
      const { issued, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      const shown = yield* keys.get(issued.ref)
      assert.strictEqual(previous, "retired")
      assert.strictEqual(shown.status, "sandbox")
      assert.deepStrictEqual(shown.restrictions.domains, spec.domains)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("without deliver the old key stays live", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const { ref } = yield* keys.create(spec)
      const { previous } = yield* keys.rotate(ref)
      assert.strictEqual(previous, "live")
      assert.strictEqual((yield* liveSecrets).length, 2)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a successor wider than the old key is shut off, and the old key works on", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* vendor.next("rotate", {
        reply: (record) => ({ ...record, restrictions: { ...record.restrictions, domains: "any" } })
      })
      yield* expectError(keys.rotate(ref, { deliver: () => Effect.void }), "PartiallyApplied")
      assert.deepStrictEqual(yield* liveSecrets, ["api_test_memory_000001"])
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect(
    "a successor that cannot be activated: it is delivered, the old key is left alone, the result says so",
    () =>
      Effect.gen(function* () {
        const { keys, vendor } = yield* memory
        const vault = makeVault()
        const { ref } = yield* keys.create(spec)
        yield* vendor.next("setStatus", { before: Effect.fail(down) })
        const { incomplete, issued, previous } = yield* keys.rotate(ref, { deliver: vault.deliver })
        assert.strictEqual(previous, "live")
        assert(incomplete?.step === "activate")
        assert.strictEqual(incomplete.error.handle, issued.handle)
        assert.deepStrictEqual(yield* liveSecrets, ["api_test_memory_000001"])
        assert.strictEqual(vault.stored.length, 1)
      }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("an old key that cannot be retired: both live, the result says so", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* vendor.next("remove", { before: Effect.fail(down) })
      const { incomplete, previous } = yield* keys.rotate(ref, { deliver: () => Effect.void })
      assert.strictEqual(previous, "live")
      assert.strictEqual(incomplete?.step, "retire")
      assert.strictEqual((yield* liveSecrets).length, 2)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("in place, a failed delivery hands over the only copy and says how it failed", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const { ref } = yield* keys.create(spec)
      const { incomplete, issued, previous } = yield* keys.rotate(ref, failDelivery)
      assert.strictEqual(previous, "dead")
      assert(incomplete?.step === "deliver")
      assert.deepStrictEqual(reasonOf(incomplete.cause), [vaultDown])
      assert.deepStrictEqual(yield* liveSecrets, [Redacted.value(issued.secret)])
    }).pipe(Effect.provide(MemoryProvider.layerInPlace()))
  )

  it.effect("in place, a delivery past its deadline does the same", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const { ref } = yield* keys.create(spec)
      const { deliver, started } = makeHanging()
      const call = yield* Effect.forkChild(keys.rotate(ref, { deliver: () => deliver }))
      yield* started
      yield* TestClock.adjust("30 seconds")
      const { incomplete, issued } = yield* Fiber.join(call)
      assert(incomplete?.step === "deliver")
      assert.deepStrictEqual(reasonOf(incomplete.cause), ["PartiallyApplied"])
      assert.deepStrictEqual(yield* liveSecrets, [Redacted.value(issued.secret)])
    }).pipe(Effect.provide(MemoryProvider.layerInPlace()))
  )

  it.effect("in place there is no overlap to ask for", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* expectError(keys.rotate(ref, { keepPrevious: true }), "UnsupportedOperation")
      assert.deepStrictEqual(yield* liveSecrets, ["api_test_memory_000001"])
    }).pipe(Effect.provide(MemoryProvider.layerInPlace()))
  )
})

describe("patch, enable, disable", () => {
  it.effect("an echo is proof, and an echo that differs is PartiallyApplied", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      assert.strictEqual((yield* keys.patch(ref, { quota: 5 })).proof, "echoed")
      yield* vendor.next("patch", {
        reply: (record) => ({ ...record, restrictions: { ...record.restrictions, quota: "unlimited" } })
      })
      const error = yield* expectError(keys.patch(ref, { quota: 6, domains: ["b.example"] }), "PartiallyApplied")
      assert(error.reason._tag === "PartiallyApplied")
      assert.deepStrictEqual([error.reason.applied, error.reason.missing], [["domains"], ["quota"]])
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("an echo that shows nothing proves nothing", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* vendor.next("patch", { reply: ({ name: _, ...record }) => ({ ...record, restrictions: {} }) })
      assert.strictEqual((yield* keys.patch(ref, { quota: 5 })).proof, "acknowledged")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("a status that does not take is InvalidKeyState, for enable and for disable", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { ref } = yield* keys.create(spec)
      yield* vendor.next("setStatus", { reply: (record) => ({ ...record, status: "suspended" }) })
      yield* expectError(keys.enable(ref), "InvalidKeyState")
      yield* vendor.next("setStatus", { reply: (record) => ({ ...record, status: "active" }) })
      yield* expectError(keys.disable(ref), "InvalidKeyState")
      yield* vendor.next("setStatus", { reply: (record) => ({ ...record, status: "active" }) })
      yield* expectError(keys.revoke(ref), "InvalidKeyState")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )
})

describe("errors", () => {
  it.effect("name the verb and the key, and a caller's own ApiKeyError is left as it is", () =>
    Effect.gen(function* () {
      const { keys, vendor } = yield* memory
      const { handle, ref } = yield* keys.create(spec)
      yield* vendor.next("setStatus", { before: Effect.fail(new InvalidKeyState({})) })
      const error = yield* Effect.flip(keys.disable(ref))
      assert.deepStrictEqual([error.provider, error.operation, error.handle], ["memory", "disable", handle])
      const foreign = new ApiKeyError({ provider: "vault", operation: "put", reason: down })
      const own = yield* Effect.flip(keys.create(spec, { deliver: () => Effect.fail(foreign) }))
      assert.strictEqual(own, foreign)
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("an unknown field is refused by its name; a name that could be a value is not shown", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      // A program in JavaScript can ask for anything.
      const misspelt = { ...spec, domain: ["x"] } as KeySpec
      assert.include((yield* expectError(keys.create(misspelt), "InvalidRequest")).message, "domain:")
      const odd = { ...spec, "api_test_secret=1": true } as KeySpec
      assert.notInclude((yield* expectError(keys.create(odd), "InvalidRequest")).message, "api_test_secret")
      // From JavaScript, it need not even be an object.
      yield* expectError(keys.create(null as unknown as KeySpec), "InvalidRequest")
      yield* expectError(keys.create("acme" as unknown as KeySpec), "InvalidRequest")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )

  it.effect("an empty ref is refused, and is no defect", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      yield* expectError(keys.revoke(keys.ref(Redacted.make(""))), "InvalidRequest")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )
})

describe("options of one vendor", () => {
  const seen: Array<unknown> = []
  const driver = {
    provider: "acme",
    account: "default",
    restrictions: {},
    defaults: {},
    name: Result.succeed,
    address: Result.succeed,
    handle: () => "acme_1",
    options: (input: unknown) =>
      typeof input === "object" && input !== null && Object.keys(input).every((key) => key === "tracking")
        ? Result.succeed(input)
        : Result.fail([{ path: ["unknown"], message: "is no option" }]),
    mint: ({ options }) =>
      Effect.sync(() => {
        seen.push(options)
        return { send: Effect.succeed({ address: "1", secret: "api_test_acme" }) }
      })
  } satisfies ApiKeyDriver

  // The namespaces of vendors are added by module augmentation, in adapters; here the input is as from JavaScript.
  const withOptions = (options: unknown) => ({ name: "a", options }) as KeySpec

  it.effect("the bound vendor's namespace is decoded strictly, others are carried", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* keys.create(withOptions({ acme: { tracking: true }, other: { anything: 1 } }))
      yield* keys.create(withOptions({ other: { anything: 1 } }))
      assert.deepStrictEqual(seen, [{ tracking: true }, undefined])
      const error = yield* expectError(keys.create(withOptions({ acme: { traking: true } })), "InvalidRequest")
      assert.include(error.message, "options.acme")
      yield* expectError(keys.create(withOptions("acme")), "InvalidRequest")
    }).pipe(Effect.provide(ApiKeyService.layer(Effect.succeed(driver))))
  )

  it.effect("a vendor without options refuses any", () =>
    Effect.gen(function* () {
      const { keys } = yield* memory
      yield* keys.create(withOptions({ memory: {} }))
      yield* expectError(keys.create(withOptions({ memory: { tracking: true } })), "InvalidRequest")
      const { ref } = yield* keys.create(spec)
      const patch = { options: { other: {} } } as KeyPatch
      yield* expectError(keys.patch(ref, patch), "InvalidRequest")
    }).pipe(Effect.provide(MemoryProvider.layer()))
  )
})
