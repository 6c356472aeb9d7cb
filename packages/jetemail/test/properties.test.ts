import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyPatch, KeySpec, Restrictions } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as fc from "fast-check"

const layer = Layer.unwrap(
  Effect.map(JetEmailSandbox.JetEmailSandbox, ({ credential }) =>
    JetEmail.layer({
      apiKey: credential,
      defaults: { domains: "any", ips: "any", quota: "unlimited" },
      retry: { base: 0 },
      rateLimit: false
    })
  )
).pipe(
  Layer.provideMerge(HttpFaults.layer),
  Layer.provideMerge(JetEmailSandbox.layerClient({ keyLimit: 1000, requestsPerMinute: 1_000_000 }))
)

const name = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9_ -]{0,63}$/)
const domain = fc.domain().filter((value) => /^[a-z0-9.-]+\.[a-z]{2,}$/.test(value) && !value.includes(".-"))
const list = (entry: fc.Arbitrary<string>) =>
  fc.oneof(
    fc.constant("any" as const),
    fc
      .uniqueArray(entry, { minLength: 1, maxLength: 5 })
      .map((entries): readonly [string, ...string[]] => [entries[0] ?? "a.example", ...entries.slice(1)])
  )
const domains = list(domain)
const ips = list(fc.ipV4())
const quota = fc.oneof(fc.constant("unlimited" as const), fc.integer({ min: 1, max: 1_000_000 }))
const optional = { requiredKeys: [] }
const spec: fc.Arbitrary<KeySpec> = fc
  .tuple(name, fc.record({ domains, ips, quota }, optional))
  .map(([name, restrictions]) => ({ name, ...restrictions }))
const patch: fc.Arbitrary<KeyPatch> = fc
  .record({ name, domains, ips, quota }, optional)
  .filter((fields) => Object.keys(fields).length > 0)

const run = <A>(effect: Effect.Effect<A, ApiKeyError, Layer.Success<typeof layer>>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, layer))

type Stored = JetEmailSandbox.SandboxKey

/** What the vendor's database must hold for what was asked, by the vendor's own fields. */
const expectStored = (stored: Stored | undefined, asked: Partial<Restrictions>) => {
  assert(stored !== undefined)
  if (asked.domains !== undefined) {
    assert.strictEqual(stored.allowAllDomains, asked.domains === "any")
    if (asked.domains !== "any") assert.deepStrictEqual([...stored.approvedDomains], [...asked.domains])
  }
  if (asked.ips !== undefined)
    assert.deepStrictEqual([...stored.ipRestrictions], asked.ips === "any" ? [] : [...asked.ips])
  if (asked.quota !== undefined) assert.strictEqual(stored.quota, asked.quota === "unlimited" ? 0 : asked.quota)
}

const open: Partial<Restrictions> = { domains: "any", ips: "any", quota: "unlimited" }

describe("round trips", () => {
  it("what is asked is what the vendor stores, and what is read back", () =>
    fc.assert(
      fc.asyncProperty(spec, (asked) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* JetEmailSandbox.JetEmailSandbox
            const { ref } = yield* keys.create(asked)
            const [stored] = yield* sandbox.keys
            expectStored(stored, { ...open, ...asked })
            const shown = yield* keys.get(ref)
            assert.deepStrictEqual(
              { ...shown.restrictions },
              {
                domains: asked.domains ?? "any",
                ips: asked.ips ?? "any",
                quota: asked.quota ?? "unlimited"
              }
            )
          })
        )
      )
    ))

  it("a patch changes what it names; twice is once; confirmed both times", () =>
    fc.assert(
      fc.asyncProperty(spec, patch, (asked, change) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* JetEmailSandbox.JetEmailSandbox
            const { ref } = yield* keys.create(asked)
            const once = yield* keys.patch(ref, change, { confirm: true })
            const [first] = yield* sandbox.keys
            const twice = yield* keys.patch(ref, change, { confirm: true })
            const [second] = yield* sandbox.keys
            assert.deepStrictEqual([once.proof, twice.proof], ["confirmed", "confirmed"])
            expectStored(first, { ...open, ...asked, ...change })
            assert.deepStrictEqual({ ...second, modifiedAt: 0 }, { ...first, modifiedAt: 0 })
          })
        )
      )
    ))
})

const fault: fc.Arbitrary<HttpFaults.Fault | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<HttpFaults.Fault>(
      "refused",
      "reset",
      "resetAfterCommit",
      "truncatedBody",
      "notJson",
      "emptyObject",
      { status: 500 },
      { status: 503, commit: true },
      { status: 302 },
      { status: 404 }
    )
  }
)

type Step =
  | { readonly verb: "create"; readonly asked: KeySpec }
  | { readonly verb: "patch"; readonly slot: number; readonly change: KeyPatch }
  | { readonly verb: "rotate" | "disable" | "enable" | "revoke" | "delete"; readonly slot: number }

const slot = fc.nat({ max: 5 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: spec.map((asked) => ({ verb: "create" as const, asked })) },
  fc.tuple(slot, patch).map(([slot, change]) => ({ verb: "patch" as const, slot, change })),
  fc
    .tuple(
      fc.constantFrom("rotate" as const, "disable" as const, "enable" as const, "revoke" as const, "delete" as const),
      slot
    )
    .map(([verb, slot]) => ({ verb, slot }))
)

/** What is known of a key that was delivered: by its last delivered secret. */
interface Known {
  key: IssuedKey
  /** Whether it is live for certain; `undefined` after a failure that leaves it open. */
  live: boolean | undefined
  restrictions: Partial<Restrictions> | undefined
}

describe("any sequence of verbs and faults", () => {
  it("loses no key in silence, and lets none live or widen that was shut off or narrowed", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fault), { maxLength: 15 }), (steps) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* JetEmailSandbox.JetEmailSandbox
            const faults = yield* HttpFaults.HttpFaults
            const known: Array<Known> = []
            /** Mints of which the caller was told that nobody can tell. */
            let reported = 0
            for (const [action, fault] of steps) {
              yield* faults.clear
              if (fault !== undefined) yield* faults.inject(fault)
              if (action.verb === "create") {
                const delivered: Array<IssuedKey> = []
                const result = yield* Effect.result(
                  keys.create(action.asked, { deliver: (key) => Effect.sync(() => void delivered.push(key)) })
                )
                if (Result.isSuccess(result)) {
                  assert.deepStrictEqual(delivered, [result.success])
                  known.push({ key: result.success, live: true, restrictions: { ...open, ...action.asked } })
                } else {
                  assert.deepStrictEqual(delivered, [])
                  if (result.failure.reason._tag === "OutcomeUnknown") reported++
                }
                continue
              }
              const target = known[action.slot]
              if (target === undefined) continue
              const { ref } = target.key
              switch (action.verb) {
                case "patch": {
                  const result = yield* Effect.result(keys.patch(ref, action.change))
                  const { name: _, options: __, ...change } = action.change
                  target.restrictions =
                    Result.isSuccess(result) && target.restrictions !== undefined
                      ? { ...target.restrictions, ...change }
                      : undefined
                  break
                }
                case "rotate": {
                  const result = yield* Effect.result(keys.rotate(ref, { deliver: () => Effect.void }))
                  if (Result.isSuccess(result)) {
                    assert.isFalse(yield* sandbox.isLive(Redacted.value(target.key.secret)), "the old secret lives")
                    target.key = result.success.issued
                  } else if (result.failure.reason._tag === "OutcomeUnknown") {
                    reported++
                    target.live = undefined
                  }
                  break
                }
                case "delete":
                case "disable":
                case "revoke": {
                  const result = yield* Effect.result(keys[action.verb](ref))
                  target.live = Result.isSuccess(result) ? false : target.live === false ? false : undefined
                  break
                }
                case "enable": {
                  const result = yield* Effect.result(keys.enable(ref))
                  target.live = Result.isSuccess(result) ? true : undefined
                }
              }
            }

            const stored = yield* sandbox.keys
            for (const { key, live, restrictions } of known) {
              const secret = Redacted.value(key.secret)
              if (live !== undefined) assert.strictEqual(yield* sandbox.isLive(secret), live)
              const row = stored.find(({ token }) => token === secret)
              if (row !== undefined && restrictions !== undefined) expectStored(row, restrictions)
            }
            const held = new Set(known.map(({ key }) => Redacted.value(key.secret)))
            const strangers = stored.filter(({ status, token }) => status === "active" && !held.has(token))
            assert.isAtMost(strangers.length, reported, "a live key that nobody holds and nobody was told of")
          })
        )
      ),
      { numRuns: 150 }
    ))
})
