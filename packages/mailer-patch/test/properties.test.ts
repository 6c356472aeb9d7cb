import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, IssuedKey, KeyPatch, KeySpec, Period, Restrictions } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { formatPeriod, parsePeriod } from "../src/internal/period.ts"

const layer = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
    MailerPatch.layer({
      apiKey: credential,
      defaults: { rate: "unlimited" },
      retry: { base: 0 },
      rateLimit: false
    })
  )
).pipe(
  Layer.provideMerge(HttpFaults.layer),
  Layer.provideMerge(
    MailerPatchSandbox.layerClient({
      addsPerMinute: Number.POSITIVE_INFINITY,
      requestsPerMinute: Number.POSITIVE_INFINITY,
      errorsPerMinute: Number.POSITIVE_INFINITY
    })
  )
)

const optional = { requiredKeys: [] }
const name = fc
  .string({
    unit: fc.oneof(fc.constantFrom(..."aZ09 _-.é😀%'\"<"), fc.string({ minLength: 1, maxLength: 1 })),
    maxLength: 60
  })
  .map((text) => `a${text}z`.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, ""))
const segment = fc.stringMatching(/^[a-z0-9_-]{1,12}$/)
const endpoint = fc
  .tuple(fc.array(segment, { minLength: 1, maxLength: 4 }), fc.constantFrom("", "/*"))
  .map(([segments, end]) => `/${segments.join("/")}${end}`)
const scopes = fc.oneof(
  fc.constant("any" as const),
  fc
    .uniqueArray(endpoint, { minLength: 1, maxLength: 5 })
    .map((entries): readonly [string, ...string[]] => [entries[0] ?? "/email/send", ...entries.slice(1)])
)
const count = (max: number) =>
  fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 99 }) }, fc.integer({ min: 1, max }))
/** Any period that the vendor has words for. */
const period: fc.Arbitrary<Period> = fc
  .oneof(
    fc.record(
      {
        weeks: count(500),
        days: count(5000),
        hours: count(99_999),
        minutes: count(999_999),
        seconds: count(9_999_999)
      },
      optional
    ),
    fc
      .tuple(
        fc.integer({ min: 1, max: 999_999 }),
        fc.record(
          {
            hours: fc.integer({ min: 1, max: 22 }),
            minutes: fc.integer({ min: 1, max: 59 }),
            seconds: fc.integer({ min: 1, max: 59 })
          },
          optional
        )
      )
      .map(([months, clock]) => ({ months, ...clock }))
  )
  .filter((fields) => Object.keys(fields).length > 0)
const rate = fc.oneof(fc.constant("unlimited" as const), fc.record({ max: count(2_147_483_647), per: period }))
const email = fc
  .tuple(segment, segment, segment)
  .map(([local, host, top]) => `${local}@${host.replace(/^-|-$|_/g, "a")}.x${top.replace(/-$|_/g, "b")}`)
const footer = fc
  .array(fc.constantFrom("<p>", "%%UNSUBSCRIBE%%", "%%EMAIL%%", "%", "%%", " é😀 ", "\n", `"`, "100%"), {
    minLength: 1,
    maxLength: 6
  })
  .map((parts) => parts.join(" "))
const settings = {
  ipPool: fc.integer({ min: 1, max: 1_000_000 }),
  feedbackEnabled: fc.boolean(),
  feedbackHtml: footer,
  feedbackText: footer,
  openTrackingEnabled: fc.boolean(),
  clickTrackingEnabled: fc.boolean(),
  archiveEnabled: fc.boolean(),
  auditEmail: email,
  bounceNotifications: fc.oneof(fc.constantFrom("from", "drop"), email)
}
const status = fc.constantFrom("allowed" as const, "blocked" as const, "sandbox" as const)

type Settings = MailerPatch.KeyOptions
const withOptions = <A extends object>(fields: A, options: Settings): A & Pick<KeySpec, "options"> =>
  Object.keys(options).length === 0 ? fields : { ...fields, options: { smtp2go: options } }

const spec: fc.Arbitrary<KeySpec> = fc
  .tuple(name, fc.record({ scopes, rate }, optional), fc.record({ ...settings, status }, optional))
  .map(([name, restrictions, options]) => withOptions({ name, ...restrictions }, options))
const patch: fc.Arbitrary<KeyPatch> = fc
  .tuple(fc.record({ name, scopes, rate }, optional), fc.record(settings, optional))
  .map(([fields, options]) => withOptions(fields, options))
  .filter((fields) => Object.keys(fields).length > 0)

const run = <A>(effect: Effect.Effect<A, ApiKeyError, Layer.Success<typeof layer>>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, layer))

type Stored = MailerPatchSandbox.SandboxKey

/** A length of time, in months and seconds, so that two ways to say it are equal. */
const lengthOf = ({ days = 0, hours = 0, minutes = 0, months = 0, seconds = 0, weeks = 0 }: Period) => [
  months,
  (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
]

/** The vendor's words read by hand, in another way than the adapter's. */
const lengthOfWords = (words: string): ReadonlyArray<number> => {
  let [months, seconds] = [0, 0]
  const parts = words.split(" ")
  const [first = "", unit] = parts
  const clock = parts.at(-1) ?? ""
  if (unit !== undefined) {
    const singular = unit.endsWith("s") ? unit.slice(0, -1) : unit
    if (singular === "month") months = Number(first)
    else seconds = Number(first) * ({ hour: 3600, day: 86_400, week: 604_800 }[singular] ?? Number.NaN)
  }
  if (clock.includes(":")) seconds += clock.split(":").reduce((total, part) => total * 60 + Number(part), 0)
  return [months, seconds]
}

/** What the vendor's database must hold for what was asked, by the vendor's own fields. */
const expectStored = (stored: Stored | undefined, asked: Partial<Restrictions>, options: Settings = {}) => {
  assert(stored !== undefined)
  if (asked.scopes !== undefined) {
    assert.deepStrictEqual([...stored.endpoints], asked.scopes === "any" ? ["*"] : [...asked.scopes])
  }
  if (asked.rate === "unlimited") assert.isFalse(stored.customRatelimit)
  else if (asked.rate !== undefined) {
    assert.deepStrictEqual([stored.customRatelimit, stored.customRatelimitValue], [true, asked.rate.max])
    assert.deepStrictEqual(lengthOfWords(stored.customRatelimitPeriod ?? ""), lengthOf(asked.rate.per))
  }
  assert.deepInclude(stored, { ...options })
}

const silent: Partial<Restrictions> = { scopes: ["/email/send"], rate: "unlimited" }
const optionsOf = ({ options }: KeyPatch): Settings => options?.smtp2go ?? {}
const restrictionsOf = ({ name: _, options: __, ...restrictions }: KeyPatch): Partial<Restrictions> => restrictions

describe("periods", () => {
  it("every period that is said means what was asked, and is read back as that", () => {
    let said = 0
    fc.assert(
      fc.property(period, (asked) => {
        const words = formatPeriod(asked)
        if (Result.isFailure(words)) return
        said++
        assert.match(
          words.success,
          /^(?:\d{1,6} (?:hour|day|week|month)s?(?: \d{1,2}:[0-5]\d:[0-5]\d)?|\d{1,2}:[0-5]\d:[0-5]\d)$/
        )
        assert.deepStrictEqual(lengthOfWords(words.success), lengthOf(asked), words.success)
        assert.deepStrictEqual(lengthOf(Option.getOrThrow(parsePeriod(words.success))), lengthOf(asked))
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(said, 1500)
  })

  it("whatever the vendor shows is read as it means, or not at all; what is read can be said again", () => {
    const number = fc.oneof(fc.nat({ max: 99 }), fc.nat({ max: 9_999_999 })).map(String)
    const two = fc.nat({ max: 61 }).map((value) => String(value).padStart(2, "0"))
    const clock = fc.tuple(fc.nat({ max: 1200 }), two, two).map((parts) => parts.join(":"))
    const unit = fc.constantFrom(
      "hour",
      "hours",
      "day",
      "days",
      "week",
      "weeks",
      "month",
      "months",
      "year",
      "minutes",
      ""
    )
    const words = fc.oneof(
      clock,
      fc.tuple(number, unit).map((parts) => parts.join(" ")),
      fc.tuple(number, unit, clock).map((parts) => parts.join(" ")),
      fc.string({ unit: fc.constantFrom(..."0159: hourdaysweekmnt"), maxLength: 20 })
    )
    let read = 0
    fc.assert(
      fc.property(words, (text) => {
        const parsed = parsePeriod(text)
        if (Option.isNone(parsed)) return
        read++
        assert.deepStrictEqual(lengthOf(parsed.value), lengthOfWords(text), text)
        assert.isTrue(Object.values(parsed.value).every((amount) => amount > 0))
        const again = formatPeriod(parsed.value)
        if (Result.isSuccess(again)) assert.deepStrictEqual(lengthOfWords(again.success), lengthOfWords(text), text)
        else {
          const [months = 0, seconds = 0] = lengthOf(parsed.value)
          assert.isTrue((months > 0 && seconds >= 86_400) || seconds > 999_999 * 3600, text)
        }
      }),
      { numRuns: 5000 }
    )
    assert.isAbove(read, 1000)
  })
})

describe("round trips", () => {
  it("what is asked is what the vendor stores, and what is read back", () =>
    fc.assert(
      fc.asyncProperty(spec, fc.boolean(), (asked, double) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            yield* sandbox.setHabits({
              envelope: double ? "double" : "plain",
              ratelimitField: double ? "custom_ratelimit" : "custom_rate_limit"
            })
            const { ref } = yield* keys.create(asked)
            const [, stored] = yield* sandbox.keys
            expectStored(stored, { ...silent, ...restrictionsOf(asked) }, { status: "allowed", ...optionsOf(asked) })
            assert.strictEqual(stored?.description, asked.name)
            const shown = yield* keys.get(ref)
            assert.deepStrictEqual(shown.restrictions.scopes, asked.scopes ?? ["/email/send"])
            const { rate } = shown.restrictions
            if (rate === undefined || rate === "unlimited") assert.strictEqual(rate, asked.rate ?? "unlimited")
            else {
              assert(asked.rate !== undefined && asked.rate !== "unlimited")
              assert.deepStrictEqual([rate.max, lengthOf(rate.per)], [asked.rate.max, lengthOf(asked.rate.per)])
            }
            assert.deepInclude(shown.options, { ...optionsOf(asked) })
            assert.deepStrictEqual(shown.name, Option.some(asked.name))
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
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const { ref } = yield* keys.create(asked)
            const once = yield* keys.patch(ref, change, { confirm: true })
            const [, first] = yield* sandbox.keys
            const twice = yield* keys.patch(ref, change)
            const [, second] = yield* sandbox.keys
            assert.deepStrictEqual([once.proof, twice.proof], ["confirmed", "echoed"])
            expectStored(
              first,
              { ...silent, ...restrictionsOf(asked), ...restrictionsOf(change) },
              { status: "allowed", ...optionsOf(asked), ...optionsOf(change) }
            )
            assert.strictEqual(first?.description, change.name ?? asked.name)
            assert.deepStrictEqual(second, first)
          })
        )
      )
    ))

  it("a rotation copies every setting", () =>
    fc.assert(
      fc.asyncProperty(spec, patch, (asked, change) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const { ref } = yield* keys.create(asked)
            yield* keys.patch(ref, change)
            const [, before] = yield* sandbox.keys
            const { issued } = yield* keys.rotate(ref, { deliver: () => Effect.void })
            const [, old, fresh] = yield* sandbox.keys
            assert(before !== undefined && fresh !== undefined)
            assert.deepStrictEqual(old, { ...before, status: "blocked" })
            assert.strictEqual(Redacted.value(issued.secret), fresh.secret)
            // The value and period of a limit that is off are no setting, and a period may be said in other words.
            const { customRatelimitPeriod, customRatelimitValue, secret: _, username: __, ...copied } = fresh
            assert.deepInclude(before, copied)
            if (before.customRatelimit) {
              assert.strictEqual(customRatelimitValue, before.customRatelimitValue)
              assert.deepStrictEqual(
                lengthOfWords(customRatelimitPeriod ?? ""),
                lengthOfWords(before.customRatelimitPeriod ?? "")
              )
            }
          })
        )
      )
    ))
})

const fault: fc.Arbitrary<readonly [HttpFaults.Fault, HttpFaults.Target] | undefined> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom<HttpFaults.Fault>(
        "refused",
        "reset",
        "resetAfterCommit",
        "truncatedBody",
        "notJson",
        "emptyBody",
        "emptyObject",
        { status: 500 },
        { status: 503, commit: true },
        { status: 302 },
        { status: 403 },
        { status: 404 }
      ),
      fc.record(
        { url: fc.constantFrom("/add", "/edit", "/view", "/remove"), times: fc.constantFrom(1, 9) },
        { requiredKeys: ["times"] }
      )
    )
  }
)

type Step =
  | { readonly verb: "create"; readonly asked: KeySpec }
  | { readonly verb: "patch"; readonly slot: number; readonly change: KeyPatch }
  | { readonly verb: "rotate" | "disable" | "enable" | "sandbox" | "revoke" | "delete"; readonly slot: number }

const slot = fc.nat({ max: 5 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: spec.map((asked) => ({ verb: "create" as const, asked })) },
  fc.tuple(slot, patch).map(([slot, change]) => ({ verb: "patch" as const, slot, change })),
  fc
    .tuple(
      fc.constantFrom(
        "rotate" as const,
        "rotate" as const,
        "disable" as const,
        "enable" as const,
        "sandbox" as const,
        "revoke" as const,
        "delete" as const
      ),
      slot
    )
    .map(([verb, slot]) => ({ verb, slot }))
)

/** What is known of a key that was delivered. */
interface Known {
  key: IssuedKey
  /** Whether it is live for certain; `undefined` after a failure that leaves it open. */
  live: boolean | undefined
  restrictions: Partial<Restrictions> | undefined
  options: Settings | undefined
}

describe("any sequence of verbs", () => {
  it("keeps what the vendor holds equal to what was asked", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), (steps) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const manager = (yield* sandbox.keys)[0]
            const model: Array<{ secret: string; status: string; asked: KeySpec }> = []
            /** The keys that a rotation left behind. */
            const retired: Array<string> = []
            for (const action of steps) {
              if (action.verb === "create") {
                const { secret } = yield* keys.create(action.asked)
                const { status = "allowed" } = optionsOf(action.asked)
                model.push({ secret: Redacted.value(secret), status, asked: action.asked })
                continue
              }
              const target = model[action.slot % model.length]
              if (target === undefined) continue
              const ref = keys.ref(Redacted.make(target.secret))
              switch (action.verb) {
                case "patch": {
                  yield* keys.patch(ref, action.change)
                  const { name = target.asked.name } = action.change
                  target.asked = {
                    ...target.asked,
                    ...action.change,
                    name,
                    options: { smtp2go: { ...optionsOf(target.asked), ...optionsOf(action.change) } }
                  }
                  break
                }
                case "rotate": {
                  const { issued } = yield* keys.rotate(ref, { deliver: () => Effect.void })
                  retired.push(target.secret)
                  target.secret = Redacted.value(issued.secret)
                  break
                }
                case "delete":
                  yield* keys.delete(ref)
                  model.splice(model.indexOf(target), 1)
                  break
                case "disable":
                case "revoke":
                  yield* keys[action.verb](ref)
                  target.status = "blocked"
                  break
                case "enable":
                  yield* keys.enable(ref)
                  target.status = "allowed"
                  break
                case "sandbox":
                  yield* keys.enable(ref, { as: "sandbox" })
                  target.status = "sandbox"
              }
            }
            const stored = yield* sandbox.keys
            const rowOf = (secret: string) => stored.find((key) => key.secret === secret)
            assert.strictEqual(stored.length, 1 + model.length + retired.length)
            assert.deepStrictEqual(stored[0], manager)
            for (const secret of retired) assert.strictEqual(rowOf(secret)?.status, "blocked")
            for (const { asked, secret, status } of model) {
              const { status: _, ...options } = optionsOf(asked)
              expectStored(rowOf(secret), { ...silent, ...restrictionsOf(asked) }, options)
              assert.strictEqual(rowOf(secret)?.description, asked.name)
              assert.strictEqual(rowOf(secret)?.status, status)
            }
            const sent = yield* sandbox.requests
            assert.isFalse(sent.some(({ method, path }) => method === "POST" && path.endsWith("/edit")))
            assert.isTrue(sent.every(({ status }) => status === 200))
          })
        )
      ),
      { numRuns: 100 }
    ))

  it("with any faults loses no key in silence, and lets none live or widen that was shut off or narrowed", async () => {
    /** How often the rare ends were met: a property that never meets them proves nothing. */
    const met = { incomplete: 0, rotated: 0, unknown: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fault), { maxLength: 15 }), (steps) =>
        run(
          Effect.gen(function* () {
            const keys = yield* ApiKeyService
            const sandbox = yield* MailerPatchSandbox.MailerPatchSandbox
            const faults = yield* HttpFaults.HttpFaults
            const known: Array<Known> = []
            /** Mints of which the caller was told that a live key may be left. */
            let reported = 0
            const report = ({ reason }: ApiKeyError, mintedLive: boolean) => {
              if (reason._tag === "OutcomeUnknown") met.unknown++
              if (reason._tag === "OutcomeUnknown" && mintedLive) reported++
              if (reason._tag === "PartiallyApplied" && reason.revoked === false) reported++
            }
            for (const [action, fault] of steps) {
              yield* faults.clear
              if (fault !== undefined) yield* faults.inject(...fault)
              if (action.verb === "create") {
                const delivered: Array<IssuedKey> = []
                const result = yield* Effect.result(
                  keys.create(action.asked, { deliver: (key) => Effect.sync(() => void delivered.push(key)) })
                )
                if (Result.isSuccess(result)) {
                  assert.deepStrictEqual(delivered, [result.success])
                  const { status = "allowed", ...options } = optionsOf(action.asked)
                  const restrictions = { ...silent, ...restrictionsOf(action.asked) }
                  known.push({ key: result.success, live: status === "allowed", restrictions, options })
                } else {
                  assert.deepStrictEqual(delivered, [])
                  report(result.failure, true)
                }
                continue
              }
              const target = known[action.slot % known.length]
              if (target === undefined) continue
              const { ref } = target.key
              switch (action.verb) {
                case "patch": {
                  const result = yield* Effect.result(keys.patch(ref, action.change))
                  const { name: _, options: __, ...change } = action.change
                  const sure = Result.isSuccess(result)
                  target.restrictions =
                    sure && target.restrictions !== undefined ? { ...target.restrictions, ...change } : undefined
                  target.options =
                    sure && target.options !== undefined
                      ? { ...target.options, ...optionsOf(action.change) }
                      : undefined
                  break
                }
                case "rotate": {
                  const delivered: Array<IssuedKey> = []
                  const result = yield* Effect.result(
                    keys.rotate(ref, { deliver: (key) => Effect.sync(() => void delivered.push(key)) })
                  )
                  if (Result.isFailure(result)) {
                    assert.deepStrictEqual(delivered, [])
                    // A successor is minted blocked: a lost one is nobody's live key.
                    report(result.failure, false)
                    break
                  }
                  const { incomplete, issued } = result.success
                  if (incomplete === undefined) met.rotated++
                  else met.incomplete++
                  assert.deepStrictEqual(delivered, [issued])
                  if (incomplete === undefined) {
                    assert.isFalse(yield* sandbox.isLive(Redacted.value(target.key.secret)), "the old key lives")
                    known.push({ ...target, live: false })
                    target.key = issued
                  } else if (incomplete.step === "activate") {
                    known.push({ ...target, key: issued, live: undefined })
                  } else {
                    known.push({ ...target, live: target.live === false ? false : undefined })
                    target.key = issued
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
                case "enable":
                case "sandbox": {
                  const as = action.verb === "enable" ? "active" : "sandbox"
                  const result = yield* Effect.result(keys.enable(ref, { as }))
                  target.live = Result.isSuccess(result) ? as === "active" : undefined
                }
              }
            }

            const stored = yield* sandbox.keys
            for (const { key, live, options, restrictions } of known) {
              const secret = Redacted.value(key.secret)
              if (live !== undefined) assert.strictEqual(yield* sandbox.isLive(secret), live)
              const row = stored.find((one) => one.secret === secret)
              if (row !== undefined && restrictions !== undefined) expectStored(row, restrictions, options ?? {})
            }
            const held = new Set(known.map(({ key }) => Redacted.value(key.secret)))
            const strangers = stored.slice(1).filter(({ secret, status }) => status === "allowed" && !held.has(secret))
            assert.isAtMost(strangers.length, reported, "a live key that nobody holds and nobody was told of")
          })
        )
      ),
      { numRuns: 120 }
    )
    for (const [end, times] of Object.entries(met)) assert.isAbove(times, 0, end)
  })
})
