/**
 * What every adapter must do, as data: run each case against a sandbox of the vendor, with any test runner.
 *
 * A case is skipped only where the bound vendor declares that it lacks something; what it lacks must then fail typed,
 * which has a case of its own.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type IssuedKey, KeyRef } from "../ApiKey.ts"
import { ApiKeyError, type ReasonTag } from "../ApiKeyError.ts"
import { ApiKeyService, type KeyPatch, type KeySpec, type Need } from "../ApiKeyService.ts"
import { compareRestriction, isUnrestricted } from "../internal/compare.ts"
import { MintIntent, markerOf } from "../Recovery.ts"
import { Restriction, type Restrictions } from "../Restrictions.ts"
import * as HttpFaults from "./HttpFaults.ts"

/**
 * The calls that can be disturbed, by what they do to a key.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "create" | "rotate" | "change" | "remove" | "read"

/**
 * What goes wrong with a call.
 *
 * **Details**
 *
 * - `refused`: the vendor cannot be reached, and provably did nothing.
 * - `replyLost`: the vendor carried it out, and the connection broke before its reply.
 * - `unreadable`: the vendor carried it out, and its reply makes no sense.
 * - `serverError`: the vendor answers 500 and did nothing.
 * - `rateLimited`: the vendor answers 429 and did nothing; it asks for more time than a call waits.
 * - `foreignNotFound`: something before the vendor, a proxy say, answers 404 with a page of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type Disturbance = "refused" | "replyLost" | "unreadable" | "serverError" | "rateLimited" | "foreignNotFound"

/**
 * The vendor's side, which an adapter's test provides from its sandbox.
 *
 * @since 0.1.0
 * @category services
 */
export class ConformanceVendor extends Context.Service<
  ConformanceVendor,
  {
    /** Whether the vendor would accept this secret now. */
    readonly isLive: (secret: Redacted.Redacted<string>) => Effect.Effect<boolean>
    /** How many keys the vendor has that can be used now. */
    readonly liveKeys: Effect.Effect<number>
    /** How many requests the vendor has had. */
    readonly requests: Effect.Effect<number>
    /** Disturbs the next call of this kind, once. */
    readonly disturb: (kind: Kind, disturbance: Disturbance) => Effect.Effect<void>
    /**
     * From now on the vendor's list masks its secrets. Only for a vendor whose list shows them, and whose lost keys are read
     * from it; left out, the cases about it are skipped.
     */
    readonly mask?: Effect.Effect<void>
  }
>()("@effect-api-keys/core/testing/ConformanceVendor") {}

/**
 * The vendor's side over HTTP, from its sandbox: calls are disturbed by {@link HttpFaults}, which must stand between the
 * adapter and its `HttpClient`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const httpVendor = (options: {
  readonly isLive: (secret: Redacted.Redacted<string>) => Effect.Effect<boolean>
  readonly liveKeys: Effect.Effect<number>
  /** Which requests are of which kind. */
  readonly targets: { readonly [K in Kind]: HttpFaults.Target }
  /** As in {@link ConformanceVendor}. */
  readonly mask?: Effect.Effect<void>
}): Effect.Effect<ConformanceVendor["Service"], never, HttpFaults.HttpFaults> =>
  HttpFaults.HttpFaults.useSync((http) => ({
    isLive: options.isLive,
    liveKeys: options.liveKeys,
    requests: Effect.map(http.attempts, (attempts) => attempts.length),
    ...(options.mask === undefined ? {} : { mask: options.mask }),
    disturb: (kind, disturbance) => {
      // A refusal must outlast the repeats of a call that is safe to repeat.
      const times = disturbance === "refused" && kind !== "create" && kind !== "rotate" ? 10 : 1
      return http.inject(faults[disturbance], { ...options.targets[kind], times })
    }
  }))

const faults: { readonly [D in Disturbance]: HttpFaults.Fault } = {
  refused: "refused",
  replyLost: "resetAfterCommit",
  unreadable: "notJson",
  serverError: { status: 500 },
  rateLimited: { status: 429, headers: { "retry-after": "300" } },
  foreignNotFound: { status: 404, headers: { "content-type": "text/html" }, body: "<h1>Not Found</h1>" }
}

/**
 * What the cases need to know of a vendor.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** A spec that the vendor accepts, with each of its restrictions closed (no `"any"`, no `"unlimited"`). */
  readonly spec: KeySpec
  /** A change to such a key that the vendor accepts. */
  readonly patch: KeyPatch
  /** The address of a key that does not exist, of a form that the vendor's adapter lets through. */
  readonly unknownAddress: string
}

/**
 * A case found that the adapter does not conform.
 *
 * @since 0.1.0
 * @category errors
 */
export class NonConformance extends Schema.TaggedError<NonConformance>("@effect-api-keys/core/testing/NonConformance")(
  "NonConformance",
  { message: Schema.String }
) {}

/**
 * One case.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case {
  readonly name: string
  /** What the vendor must have for the case to apply. */
  readonly needs: ReadonlyArray<Need>
  /** Runs the case on a fresh sandbox; fails with `NonConformance` where the adapter does not conform. */
  readonly run: Effect.Effect<"passed" | "skipped", NonConformance | ApiKeyError, ApiKeyService | ConformanceVendor>
}

type Keys = ApiKeyService["Service"]
type Vendor = ConformanceVendor["Service"]

const expect = (condition: boolean, message: string): Effect.Effect<void, NonConformance> =>
  condition ? Effect.void : Effect.fail(new NonConformance({ message }))

const expectReason = <A, E>(effect: Effect.Effect<A, E>, tag: ReasonTag): Effect.Effect<ApiKeyError, NonConformance> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    const found = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
    if (found instanceof ApiKeyError && found.reason._tag === tag) return Effect.succeed(found)
    const got = Exit.isSuccess(exit) ? "success" : found instanceof ApiKeyError ? found.reason._tag : "another failure"
    return Effect.fail(new NonConformance({ message: `expected ${tag}, got ${got}` }))
  })

/** A vault of one slot, to deliver to. */
const makeVault = () => {
  const stored: Array<IssuedKey> = []
  return { stored, deliver: (key: IssuedKey) => Effect.sync(() => void stored.push(key)) }
}

/** Holds what a key shows against what was asked; what the vendor does not show proves nothing and is passed over. */
const expectShown = (
  shown: { readonly restrictions: Partial<Restrictions> },
  asked: Partial<Restrictions>
): Effect.Effect<void, NonConformance> => {
  const compareOne = <K extends Restriction>(restriction: K) => {
    const wanted = asked[restriction]
    const observed = shown.restrictions[restriction]
    return (
      wanted === undefined || observed === undefined || compareRestriction(restriction, wanted, observed) === "equal"
    )
  }
  const different = Restriction.literals.filter((restriction) => !compareOne(restriction))
  return expect(different.length === 0, `the key does not show what was asked: ${different.join(", ")}`)
}

/** An intent that no mint was made with. */
const someIntent = ({ account, provider }: Keys): MintIntent =>
  new MintIntent({
    provider,
    account,
    verb: "create",
    marker: `ek-${"a".repeat(24)}`,
    preparedAt: DateTime.makeUnsafe(0)
  })

/** The names that the list shows with this marker at their end. */
const markedWith = (keys: Keys, { marker }: MintIntent) =>
  Effect.map(Stream.runCollect(keys.list()), (listed) =>
    listed.filter(({ name }) => Option.exists(name, (shown) => markerOf(shown) === marker))
  )

/** A mint whose reply is lost: it must fail with what it was prepared with. */
const lose = Effect.fnUntraced(function* <A>(
  vendor: Vendor,
  kind: "create" | "rotate",
  intent: MintIntent,
  mint: Effect.Effect<A, ApiKeyError>
) {
  yield* vendor.disturb(kind, "replyLost")
  const { reason } = yield* expectReason(mint, "OutcomeUnknown")
  yield* expect(
    reason._tag === "OutcomeUnknown" && reason.intent?.marker === intent.marker,
    "the error does not hold the intent of the mint"
  )
})

/**
 * A lost mint must be found: with a secret that works, or as a key that nobody holds, which is off, or can be shut off, where
 * that is said. `live` is how many keys were live before.
 */
const expectFound = Effect.fnUntraced(function* (keys: Keys, vendor: Vendor, intent: MintIntent, live: number) {
  const found = yield* keys.recover(intent)
  if (found._tag === "Recovered") {
    yield* expect(yield* vendor.isLive(found.issued.secret), "the recovered secret does not work")
    return yield* expect(keys.handle(found.issued.ref) === found.issued.handle, "a ref and a handle of two keys")
  }
  if (found._tag !== "Orphaned") return yield* expect(false, `a lost mint is ${found._tag}`)
  if (found.inert) yield* expect((yield* vendor.liveKeys) === live, "an orphan that is said to be off is live")
  if (!found.revocable) return
  if (Option.isNone(found.ref)) return yield* expect(false, "an orphan is said to be revocable, and has no ref")
  yield* keys.revoke(found.ref.value)
  yield* expect((yield* vendor.liveKeys) === live, "the orphan was revoked, and another key than before is live")
})

/**
 * Every case, for a vendor of which this is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cases = (options: Options): ReadonlyArray<Case> => {
  const { patch, spec } = options

  const test = (
    name: string,
    needs: ReadonlyArray<Need>,
    run: (keys: Keys, vendor: Vendor) => Effect.Effect<unknown, NonConformance | ApiKeyError>
  ): Case => ({
    name,
    needs,
    run: Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const vendor = yield* ConformanceVendor
      if (!needs.every(keys.supports)) return "skipped"
      yield* run(keys, vendor)
      return "passed"
    })
  })

  const refOf = (keys: Keys, address: string) => keys.ref(Redacted.make(address))

  const closed = Restriction.literals.filter((restriction) => spec[restriction] !== undefined)

  return [
    test("the spec of these cases closes every restriction that the vendor declares", [], (keys) =>
      expect(
        Restriction.literals.every((restriction) => {
          const value = spec[restriction]
          return keys.supports(restriction) === (value !== undefined && !isUnrestricted(value))
        }),
        "close each declared restriction in `spec`, and no other"
      )
    ),

    test("create gives a live key, delivered before it is returned", ["create"], (keys, vendor) =>
      Effect.gen(function* () {
        const vault = makeVault()
        const key = yield* keys.create(spec, { deliver: vault.deliver })
        yield* expect(yield* vendor.isLive(key.secret), "the vendor does not accept the new secret")
        yield* expect(vault.stored.length === 1, "deliver was not called exactly once")
        yield* expect(
          vault.stored.every((stored) => Redacted.value(stored.secret) === Redacted.value(key.secret)),
          "another secret was delivered than returned"
        )
        yield* expect(key.ref.provider === keys.provider && key.ref.account === keys.account, "a ref of someone else")
        yield* expect(keys.handle(key.ref) === key.handle, "the handle of the ref is not that of the key")
        yield* expect(
          Option.match(key.unrestricted, { onNone: () => true, onSome: (open) => open.length === 0 }),
          "a key with every restriction closed calls itself unrestricted"
        )
      })
    ),

    test("a created key can be read, and shows what was asked", ["create", "get"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const shown = yield* keys.get(key.ref)
        yield* expect(shown.handle === key.handle, "the key has another handle when read than when created")
        yield* expect(shown.status === "active", "a new key is not active")
        yield* expect(Option.getOrElse(shown.name, () => spec.name) === spec.name, "the key has another name")
        yield* expectShown(shown, spec)
      })
    ),

    test("a created key stands in the list, once, under the same handle", ["create", "list"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const listed = yield* Stream.runCollect(keys.list())
        yield* expect(listed.filter((shown) => shown.handle === key.handle).length === 1, "not listed exactly once")
        const named = yield* Stream.runCollect(keys.list({ name: `${spec.name} no other` }))
        yield* expect(named.length === 0, "the filter by name lets other names through")
      })
    ),

    test("every key is its own: two creates make two keys", ["create"], (keys) =>
      Effect.gen(function* () {
        const first = yield* keys.create(spec)
        const second = yield* keys.create(spec)
        yield* expect(first.handle !== second.handle, "two keys share a handle")
        yield* expect(Redacted.value(first.secret) !== Redacted.value(second.secret), "two keys share a secret")
      })
    ),

    test("bad input is refused before anything is sent", ["create"], (keys, vendor) =>
      Effect.gen(function* () {
        const before = yield* vendor.requests
        const refused = (bad: Record<string, unknown>) =>
          // A program in JavaScript, or a cast, can ask for anything; the types are not what keeps it out.
          expectReason(keys.create({ ...spec, ...bad } as KeySpec), "InvalidRequest")
        yield* refused({ name: "" })
        yield* refused({ name: undefined })
        yield* refused({ name: "a".repeat(100_000) })
        yield* refused({ name: 7 })
        yield* refused({ misspelt: ["x"] })
        for (const restriction of closed) {
          for (const bad of [null, [], 0, -1, "", ["", ""], Number.NaN, { max: 1, per: 60 }]) {
            yield* refused({ [restriction]: bad })
          }
        }
        yield* expect((yield* vendor.requests) === before, "something was sent")
      })
    ),

    test("a restriction that the vendor lacks is refused, not dropped", ["create"], (keys, vendor) =>
      Effect.gen(function* () {
        const before = yield* vendor.requests
        for (const restriction of Restriction.literals) {
          if (keys.supports(restriction)) continue
          const value =
            restriction === "quota" ? 1 : restriction === "rate" ? { max: 1, per: { hours: 1 } } : ["a.example"]
          const asked = { ...spec, [restriction]: value } as KeySpec
          yield* expectReason(keys.create(asked), "UnsupportedRestriction")
        }
        yield* expect((yield* vendor.requests) === before, "something was sent")
      })
    ),

    test("what the vendor lacks fails typed, and sends nothing", [], (keys, vendor) =>
      Effect.gen(function* () {
        const before = yield* vendor.requests
        const ref = refOf(keys, options.unknownAddress)
        const verbs: ReadonlyArray<readonly [Need, Effect.Effect<unknown, ApiKeyError>]> = [
          ["create", keys.create(spec)],
          ["patch", keys.patch(ref, patch)],
          ["rotate", keys.rotate(ref)],
          ["overlap", keys.rotate(ref, { keepPrevious: true })],
          ["disable", keys.disable(ref)],
          ["enable", keys.enable(ref)],
          ["revoke", keys.revoke(ref)],
          ["delete", keys.delete(ref)],
          ["get", keys.get(ref)],
          ["list", Stream.runDrain(keys.list())],
          ["prepare", keys.prepare("create")],
          ["prepare", keys.create(spec, { intent: someIntent(keys) })],
          ["recover", keys.recover(someIntent(keys))]
        ]
        for (const [need, call] of verbs) if (!keys.supports(need)) yield* expectReason(call, "UnsupportedOperation")
        yield* expect((yield* vendor.requests) === before, "something was sent")
      })
    ),

    test("a ref of another provider or account is refused, and nothing is sent", ["create", "revoke"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const before = yield* vendor.requests
        for (const foreign of [
          new KeyRef({ ...key.ref, provider: "another" }),
          new KeyRef({ ...key.ref, account: "another" })
        ]) {
          yield* expectReason(keys.revoke(foreign), "InvalidRequest")
          yield* expectReason(keys.disable(foreign), "InvalidRequest")
          yield* expectReason(keys.rotate(foreign), "InvalidRequest")
          yield* expectReason(keys.patch(foreign, patch), "InvalidRequest")
          yield* expectReason(keys.delete(foreign), "InvalidRequest")
          yield* expectReason(keys.get(foreign), "InvalidRequest")
          yield* expectReason(keys.prepare(foreign), "InvalidRequest")
        }
        yield* expect((yield* vendor.requests) === before, "something was sent")
        yield* expect(yield* vendor.isLive(key.secret), "the key was touched")
      })
    ),

    test("a patch changes what it names; twice is once", ["create", "patch", "get"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* keys.patch(key.ref, patch)
        yield* keys.patch(key.ref, patch)
        const shown = yield* keys.get(key.ref)
        yield* expectShown(shown, { ...spec, ...patch })
        yield* expect(yield* vendor.isLive(key.secret), "the patch shut the key off")
      })
    ),

    test("an empty patch is refused, and nothing is sent", ["create", "patch"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const before = yield* vendor.requests
        yield* expectReason(keys.patch(key.ref, {}), "InvalidRequest")
        // Without exactOptionalPropertyTypes, which few programs set, this compiles as it is.
        yield* expectReason(keys.patch(key.ref, { name: undefined } as unknown as KeyPatch), "InvalidRequest")
        yield* expect((yield* vendor.requests) === before, "something was sent")
      })
    ),

    test("a confirmed patch has been read again", ["create", "patch", "get"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const patched = yield* keys.patch(key.ref, patch, { confirm: true })
        yield* expect(patched.proof === "confirmed" && Option.isSome(patched.key), "the proof is not `confirmed`")
      })
    ),

    test("a patch whose reply is lost is repeated", ["create", "patch", "get"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* vendor.disturb("change", "replyLost")
        yield* keys.patch(key.ref, patch)
        yield* expectShown(yield* keys.get(key.ref), patch)
      })
    ),

    test("rotate gives a live secret and leaves no old one behind", ["create", "rotate"], (keys, vendor) =>
      Effect.gen(function* () {
        const vault = makeVault()
        const key = yield* keys.create(spec)
        const { incomplete, issued, previous } = yield* keys.rotate(key.ref, { deliver: vault.deliver })
        yield* expect(incomplete === undefined, "the rotation says that it is incomplete")
        yield* expect(previous !== "live", "the old key is said to be live")
        yield* expect(Redacted.value(issued.secret) !== Redacted.value(key.secret), "the secret is the old one")
        yield* expect(vault.stored.length === 1, "deliver was not called exactly once")
        yield* expect(yield* vendor.isLive(issued.secret), "the new secret does not work")
        yield* expect(!(yield* vendor.isLive(key.secret)), "the old secret still works")
      })
    ),

    test("a rotated key is restricted as before", ["create", "rotate", "get"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const { issued } = yield* keys.rotate(key.ref, { deliver: () => Effect.void })
        yield* expectShown(yield* keys.get(issued.ref), spec)
      })
    ),

    test("a rotated key has the vendor's own options as before", ["create", "rotate", "get"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const before = yield* keys.get(key.ref)
        const { issued } = yield* keys.rotate(key.ref, { deliver: () => Effect.void })
        const after = yield* keys.get(issued.ref)
        // Of the vendor's namespace, whichever it is: types cannot know its name.
        const own: unknown = Object.entries(spec.options ?? {}).find(([provider]) => provider === keys.provider)?.[1]
        for (const option of Object.keys(Predicate.isObject(own) ? own : {})) {
          yield* expect(Equal.equals(after.options[option], before.options[option]), `${option} is not as before`)
        }
      })
    ),

    test("a rotation does not bring a disabled key back to life", ["create", "rotate", "disable"], (keys, vendor) =>
      Effect.gen(function* () {
        const before = yield* vendor.liveKeys
        const key = yield* keys.create(spec)
        yield* keys.disable(key.ref)
        yield* Effect.exit(keys.rotate(key.ref, { deliver: () => Effect.void }))
        yield* expect((yield* vendor.liveKeys) === before, "a key is live")
      })
    ),

    test("with `keepPrevious` both keys live", ["create", "rotate", "overlap"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const { issued, previous } = yield* keys.rotate(key.ref, { deliver: () => Effect.void, keepPrevious: true })
        yield* expect(previous === "live", "the old key is not said to be live")
        yield* expect(yield* vendor.isLive(issued.secret), "the new secret does not work")
        yield* expect(yield* vendor.isLive(key.secret), "the old secret does not work")
      })
    ),

    test(
      "a successor that cannot be delivered is shut off, and the old key works on",
      ["create", "rotate", "overlap"],
      (keys, vendor) =>
        Effect.gen(function* () {
          const key = yield* keys.create(spec)
          const exit = yield* Effect.exit(keys.rotate(key.ref, { deliver: () => Effect.fail("vault down" as const) }))
          yield* expect(Exit.isFailure(exit), "the rotation succeeded")
          yield* expect(yield* vendor.isLive(key.secret), "the old secret does not work")
          yield* expect((yield* vendor.liveKeys) === 1, "a key is live that nobody holds")
        })
    ),

    test("a disabled key is dead until it is enabled", ["create", "disable", "enable"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* keys.disable(key.ref)
        yield* keys.disable(key.ref)
        yield* expect(!(yield* vendor.isLive(key.secret)), "the disabled key works")
        yield* keys.enable(key.ref)
        yield* expect(yield* vendor.isLive(key.secret), "the enabled key does not work")
      })
    ),

    test("a disable whose reply is lost is repeated", ["create", "disable"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* vendor.disturb("change", "replyLost")
        yield* keys.disable(key.ref)
        yield* expect(!(yield* vendor.isLive(key.secret)), "the disabled key works")
      })
    ),

    test("revoke shuts a key off", ["create", "revoke"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const outcome = yield* keys.revoke(key.ref)
        yield* expect(!(yield* vendor.isLive(key.secret)), "the revoked key works")
        yield* expect(
          (outcome === "disabled") === keys.supports("disable"),
          "not by the best means that the vendor has"
        )
      })
    ),

    test("delete removes a key, once", ["create", "delete"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* keys.delete(key.ref)
        yield* expect(!(yield* vendor.isLive(key.secret)), "the deleted key works")
        yield* expectReason(keys.delete(key.ref), "KeyNotFound")
        if (keys.supports("get")) yield* expectReason(keys.get(key.ref), "KeyNotFound")
      })
    ),

    test("a delete whose reply is lost succeeds when the repeat finds nothing", ["create", "delete"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* vendor.disturb("remove", "replyLost")
        yield* keys.delete(key.ref)
        yield* expect(!(yield* vendor.isLive(key.secret)), "the deleted key works")
      })
    ),

    test("a 404 that is not the vendor's own says nothing of the key", ["create", "get"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const notBelieved = (call: Effect.Effect<unknown, ApiKeyError>) =>
          Effect.matchEffect(call, {
            onSuccess: () => expect(false, "a proxy's 404 is taken for a success"),
            onFailure: ({ reason }) => expect(reason._tag !== "KeyNotFound", "a proxy's 404 is taken for the vendor's")
          })
        yield* vendor.disturb("read", "foreignNotFound")
        yield* notBelieved(keys.get(key.ref))
        if (keys.supports("delete")) {
          yield* vendor.disturb("remove", "foreignNotFound")
          yield* notBelieved(keys.delete(key.ref))
          yield* expect(yield* vendor.isLive(key.secret), "the key was removed")
        }
      })
    ),

    test("a read that goes wrong is repeated", ["create", "get"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        yield* vendor.disturb("read", "serverError")
        yield* keys.get(key.ref)
      })
    ),

    test("a key that is not there is KeyNotFound", [], (keys) =>
      Effect.gen(function* () {
        const ref = refOf(keys, options.unknownAddress)
        if (keys.supports("patch")) yield* expectReason(keys.patch(ref, patch), "KeyNotFound")
        if (keys.supports("rotate")) yield* expectReason(keys.rotate(ref), "KeyNotFound")
        if (keys.supports("disable")) yield* expectReason(keys.disable(ref), "KeyNotFound")
        if (keys.supports("enable")) yield* expectReason(keys.enable(ref), "KeyNotFound")
        if (keys.supports("revoke")) yield* expectReason(keys.revoke(ref), "KeyNotFound")
        if (keys.supports("delete")) yield* expectReason(keys.delete(ref), "KeyNotFound")
        if (keys.supports("get")) yield* expectReason(keys.get(ref), "KeyNotFound")
      })
    ),

    ...(
      [
        ["refused", "ProviderUnavailable", 0],
        ["serverError", "OutcomeUnknown", 0],
        ["replyLost", "OutcomeUnknown", 1],
        ["unreadable", "OutcomeUnknown", 1],
        ["rateLimited", "RateLimited", 0]
      ] as const
    ).map(([disturbance, reason, live]) =>
      test(`a create is sent once, whatever happens: ${disturbance}`, ["create"], (keys, vendor) =>
        Effect.gen(function* () {
          const before = yield* vendor.liveKeys
          yield* vendor.disturb("create", disturbance)
          yield* expectReason(keys.create(spec, { deliver: () => Effect.void }), reason)
          yield* expect((yield* vendor.liveKeys) === before + live, "the create was repeated, or was never sent")
        })
      )
    ),

    test("a rotation whose reply is lost is OutcomeUnknown, and not repeated", ["create", "rotate"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const vault = makeVault()
        yield* vendor.disturb("rotate", "replyLost")
        yield* expectReason(keys.rotate(key.ref, { deliver: vault.deliver }), "OutcomeUnknown")
        yield* expect(vault.stored.length === 0, "something was delivered")
        if (keys.supports("overlap")) yield* expect(yield* vendor.isLive(key.secret), "the old key was touched")
      })
    ),

    test(
      "a key that cannot be delivered is shut off, and the call fails with the caller's error",
      ["create"],
      (keys, vendor) =>
        Effect.gen(function* () {
          const before = yield* vendor.liveKeys
          const exit = yield* Effect.exit(keys.create(spec, { deliver: () => Effect.fail("vault down" as const) }))
          const own =
            Exit.isFailure(exit) && exit.cause.reasons.some((r) => Cause.isFailReason(r) && r.error === "vault down")
          yield* expect(own, "the caller's own error is not there")
          yield* expect((yield* vendor.liveKeys) === before, "a key is live that nobody holds")
        })
    ),

    test("a caller who is interrupted does not stop the delivery", ["create"], (keys, vendor) =>
      Effect.gen(function* () {
        const vault = makeVault()
        const started = yield* Deferred.make<void>()
        const proceed = yield* Deferred.make<void>()
        const delivered = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          keys.create(spec, {
            deliver: (key) =>
              Effect.gen(function* () {
                yield* Deferred.succeed(started, undefined)
                yield* Deferred.await(proceed)
                yield* vault.deliver(key)
                yield* Deferred.succeed(delivered, undefined)
              })
          })
        )
        yield* Deferred.await(started)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.succeed(proceed, undefined)
        yield* Deferred.await(delivered)
        const [key] = vault.stored
        yield* expect(key !== undefined && (yield* vendor.isLive(key.secret)), "the delivered key does not work")
      })
    ),

    test("a mint with an intent gives a live key under its own name", ["create", "prepare", "list"], (keys, vendor) =>
      Effect.gen(function* () {
        const vault = makeVault()
        const intent = yield* keys.prepare("create")
        const key = yield* keys.create(spec, { deliver: vault.deliver, intent })
        yield* expect(yield* vendor.isLive(key.secret), "the new secret does not work")
        yield* expect(vault.stored.length === 1, "deliver was not called exactly once")
        yield* expect(Option.contains(key.name, spec.name), "the key says that it has another name")
        yield* expect((yield* markedWith(keys, intent)).length === 0, "the marker is left in the name")
        const listed = (yield* Stream.runCollect(keys.list())).filter(({ handle }) => handle === key.handle)
        yield* expect(
          listed.length === 1 && listed.every(({ name }) => Option.getOrElse(name, () => spec.name) === spec.name),
          "the key is not listed under its own name"
        )
        yield* expect((yield* keys.recover(intent))._tag === "NotSeen", "what was not lost is recovered")
      })
    ),

    test(
      "a rotation with an intent leaves the key's name as it was",
      ["create", "rotate", "prepare", "list"],
      (keys, vendor) =>
        Effect.gen(function* () {
          const key = yield* keys.create(spec)
          const intent = yield* keys.prepare(key.ref)
          const { issued, previous } = yield* keys.rotate(key.ref, { deliver: () => Effect.void, intent })
          yield* expect(previous !== "live", "the old key is said to be live")
          yield* expect(yield* vendor.isLive(issued.secret), "the new secret does not work")
          yield* expect(!(yield* vendor.isLive(key.secret)), "the old secret still works")
          yield* expect((yield* markedWith(keys, intent)).length === 0, "the marker is left in the name")
          const listed = (yield* Stream.runCollect(keys.list())).filter(({ handle }) => handle === issued.handle)
          yield* expect(
            listed.length === 1 && listed.every(({ name }) => Option.getOrElse(name, () => spec.name) === spec.name),
            "the key is not listed under its own name"
          )
        })
    ),

    test("a create whose reply is lost is found again", ["create", "prepare", "recover"], (keys, vendor) =>
      Effect.gen(function* () {
        // Another of the same name: what tells them apart is the marker.
        yield* keys.create(spec)
        const live = yield* vendor.liveKeys
        const intent = yield* keys.prepare("create")
        yield* lose(vendor, "create", intent, keys.create(spec, { deliver: () => Effect.void, intent }))
        yield* expectFound(keys, vendor, intent, live)
      })
    ),

    test("a rotation whose reply is lost is found again", ["create", "rotate", "prepare", "recover"], (keys, vendor) =>
      Effect.gen(function* () {
        yield* keys.create(spec)
        const key = yield* keys.create(spec)
        const live = yield* vendor.liveKeys
        const intent = yield* keys.prepare(key.ref)
        yield* lose(vendor, "rotate", intent, keys.rotate(key.ref, { deliver: () => Effect.void, intent }))
        yield* expectFound(keys, vendor, intent, live)
        if (keys.supports("overlap")) yield* expect(yield* vendor.isLive(key.secret), "the old key was touched")
      })
    ),

    test("where nothing was minted, nothing is found", ["create", "prepare", "recover"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const intents = [
          yield* keys.prepare("create"),
          ...(keys.supports("rotate") ? [yield* keys.prepare(key.ref)] : [])
        ]
        const [create] = intents
        yield* vendor.disturb("create", "refused")
        yield* expectReason(
          keys.create(spec, { ...(create === undefined ? {} : { intent: create }) }),
          "ProviderUnavailable"
        )
        for (const intent of intents) {
          yield* expect(
            (yield* keys.recover(intent))._tag === "NotSeen",
            "one list is said to prove that nothing was sent"
          )
          const known = yield* keys.recover(intent, { sent: false })
          yield* expect(known._tag === "NotApplied", "what was not sent is not NotApplied")
        }
      })
    ),

    test("an intent can be written down and read again, and holds no secret", ["create", "prepare"], (keys) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const codec = Schema.toCodecJson(MintIntent)
        for (const target of ["create", ...(keys.supports("rotate") ? [key.ref] : [])] as const) {
          const intent = yield* keys.prepare(target)
          const text = JSON.stringify(Schema.encodeSync(codec)(intent))
          yield* expect(
            Equal.equals(Schema.decodeSync(codec)(JSON.parse(text)), intent),
            "it is another when read again"
          )
          yield* expect(!text.includes(Redacted.value(key.secret)), "a secret is in an intent")
        }
      })
    ),

    test("an intent for something else is refused, and nothing is sent", ["create", "prepare"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const intent = yield* keys.prepare("create")
        const before = yield* vendor.requests
        const foreign = [
          new MintIntent({ ...intent, provider: "another" }),
          new MintIntent({ ...intent, account: "another" }),
          new MintIntent({ ...intent, marker: "another" })
        ]
        for (const other of foreign) {
          yield* expectReason(keys.create(spec, { intent: other }), "InvalidRequest")
          yield* expectReason(keys.recover(other), "InvalidRequest")
        }
        const rotate = new MintIntent({ ...intent, verb: "rotate", handle: `${key.handle} no other` })
        yield* expectReason(keys.create(spec, { intent: rotate }), "InvalidRequest")
        if (keys.supports("rotate")) {
          for (const other of [intent, rotate, ...foreign]) {
            yield* expectReason(keys.rotate(key.ref, { intent: other }), "InvalidRequest")
          }
        }
        yield* expect((yield* vendor.requests) === before, "something was sent")
        yield* expect(yield* vendor.isLive(key.secret), "the key was touched")
      })
    ),

    {
      name: "a list that masks its secrets recovers nothing, and prepares nothing",
      needs: ["create", "prepare", "recover"],
      run: Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const vendor = yield* ConformanceVendor
        if (vendor.mask === undefined || !keys.supports("prepare")) return "skipped"
        const key = yield* keys.create(spec)
        const intent = yield* keys.prepare("create")
        yield* lose(vendor, "create", intent, keys.create(spec, { deliver: () => Effect.void, intent }))
        yield* vendor.mask
        const found = yield* keys.recover(intent)
        yield* expect(found._tag === "Undetermined" && found.problem === "masked", `a masked key is ${found._tag}`)
        yield* expectReason(keys.prepare("create"), "UnexpectedResponse")
        if (keys.supports("rotate") && !keys.supports("overlap")) {
          yield* expectReason(keys.prepare(key.ref), "UnexpectedResponse")
        }
        return "passed"
      })
    },

    test(
      "with `activate: false` the successor waits to be enabled, and the old key works on",
      ["create", "rotate", "overlap", "enable"],
      (keys, vendor) =>
        Effect.gen(function* () {
          const key = yield* keys.create(spec)
          const before = yield* vendor.requests
          yield* expectReason(keys.rotate(key.ref, { activate: false }), "InvalidRequest")
          yield* expect((yield* vendor.requests) === before, "something was sent")
          const { issued } = yield* keys.rotate(key.ref, {
            activate: false,
            deliver: () => Effect.void,
            keepPrevious: true
          })
          yield* expect(yield* vendor.isLive(key.secret), "the old key was touched")
          yield* keys.enable(issued.ref)
          yield* expect(yield* vendor.isLive(issued.secret), "the enabled successor does not work")
        })
    ),

    test("no secret shows in what is returned or failed with", ["create"], (keys, vendor) =>
      Effect.gen(function* () {
        const key = yield* keys.create(spec)
        const secret = Redacted.value(key.secret)
        const results: Array<unknown> = [key, key.ref, key.secret]
        if (keys.supports("list")) results.push(...(yield* Stream.runCollect(keys.list())))
        yield* vendor.disturb("change", "unreadable")
        if (keys.supports("patch")) results.push(yield* expectReason(keys.patch(key.ref, patch), "UnexpectedResponse"))
        for (const result of results) {
          const text = `${String(result)} ${JSON.stringify(result)}`
          yield* expect(!text.includes(secret), "a secret is in a rendering of a result")
        }
      })
    )
  ]
}
