import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { IssuedKey, type RotatedKey } from "../ApiKey.ts"
import type { ApiKeyDriver, KeyRecord, Minted, MintSpec, PreparedMint, RotationDriver } from "../ApiKeyDriver.ts"
import {
  ApiKeyError,
  InvalidRequest,
  OutcomeUnknown,
  PartiallyApplied,
  ProviderUnavailable,
  UnexpectedResponse
} from "../ApiKeyError.ts"
import type { Deliver, Intended, Overlap, Verb } from "../ApiKeyService.ts"
import { type MintIntent, markerOf, unmarkedName } from "../Recovery.ts"
import { Restriction, type Restrictions } from "../Restrictions.ts"
import { isUnrestricted } from "./compare.ts"
import { type DriverCalls, fromDriver } from "./driverCalls.ts"
import { compareEcho, type Echo } from "./echo.ts"
import { checkDuration } from "./issues.ts"
import { Urgent } from "./limiter.ts"
import { type MintRegion, withDeadline } from "./mintRegion.ts"
import { isPossible, markName } from "./recovery.ts"
import type { Call, Telemetry } from "./telemetry.ts"
import * as Validate from "./validate.ts"

/** How a delivery ended; `undefined` where there was nobody to deliver to. */
type Delivery<E> = Exit.Exit<void, E> | "deadline" | undefined

/** The options of `create` and `rotate`, whatever the program asked for. */
type CreateOptions<E, R> = Deliver<E, R> & Intended
type RotateOptions<E, R> = Deliver<E, R> & Intended & Overlap

/** The name of a key that is minted under a marker. */
interface Naming {
  /** What it is called until the mint has come to its end. */
  readonly marked: string
  /** What it is called then; empty for none. */
  readonly real: string
}

/** A key after its renaming, and what that changed beside the name. */
interface Renamed {
  readonly key: IssuedKey
  readonly changed: ReadonlyArray<string>
}

/** The verbs that mint: in the region, in the order decode, echo check, deliver, activate, retire, rename. */
export interface Mints {
  readonly create: <E, R>(
    input: unknown,
    options: CreateOptions<E, R>,
    call: Call
  ) => Effect.Effect<IssuedKey, E | ApiKeyError, R>
  readonly rotate: <E, R>(
    address: string,
    handle: string,
    options: RotateOptions<E, R>,
    call: Call
  ) => Effect.Effect<RotatedKey<E>, E | ApiKeyError, R>
}

/** How long a delivery may take, unless the caller says otherwise. */
const usualDeliverTimeout = Duration.seconds(30)

/** How long a renaming may take, with its repeats: its caller waits for it, and it is worth no more. */
const renameTimeout = Duration.seconds(10)

const lostInPlace = "a rotated key is lost: nobody took it, and it was not delivered"

export const make = (
  calls: DriverCalls,
  defaults: Partial<Restrictions>,
  region: MintRegion,
  telemetry: Telemetry
): Mints => {
  const { checked, discard, driver, failure, label, makeRef, unsupported } = calls

  /** `name` is what the key is called when the mint has come to its end. */
  const issue = (minted: Minted, spec: MintSpec | undefined, name = spec?.name): IssuedKey =>
    new IssuedKey(
      {
        ref: makeRef(minted.address),
        handle: driver.handle(minted.address),
        secret: Redacted.make(minted.secret),
        name: nameOf(name),
        unrestricted: Option.map(Option.fromUndefinedOr(spec), ({ restrictions }) =>
          Restriction.literals.filter((restriction) => {
            const value = restrictions[restriction]
            return value !== undefined && isUnrestricted(value)
          })
        )
      },
      // Each part was made or checked here: a check that failed would lose the key.
      { disableChecks: true }
    )

  /**
   * Sends a mint. A reply without a secret is no reply, even where it names a key: that may be another, and is left alone.
   * It is what the error names, for someone to look at.
   */
  const sendMint = (
    verb: Verb,
    handle: string | undefined,
    send: PreparedMint["send"],
    intent: MintIntent | undefined,
    old?: string
  ): Effect.Effect<Minted, ApiKeyError> => {
    const sent = Effect.flatMap(label(verb, handle)(send), (minted) => {
      const { address, secret } = minted
      if (address !== "" && address !== old && secret !== "") return Effect.succeed(minted)
      const message = address === old ? "the reply names the old secret as the new one" : "the reply holds no secret"
      const reason = new OutcomeUnknown({ problem: "reply", issues: [{ path: [], message }] })
      const named = address === "" || address === old ? handle : driver.handle(address)
      return Effect.fail(failure(verb, reason, named))
    })
    return intent === undefined ? sent : Effect.mapError(sent, withIntent(intent))
  }

  const log = (level: "Warn" | "Error", message: string, verb: Verb, handle: string | undefined) =>
    Effect.suspend(() =>
      Effect.annotateLogs(Effect.logWithLevel(level)(message), {
        provider: driver.provider,
        account: driver.account,
        verb,
        ...(handle === undefined ? {} : { handle })
      })
    )

  /** Shuts off a key that nobody will hold, and says so where it may still be live. */
  const takeBack = (verb: Verb, address: string, handle: string | undefined): Effect.Effect<boolean> =>
    Effect.suspend(() =>
      Effect.tap(discard(address), (revoked) =>
        revoked ? Effect.void : log("Error", "a key that nobody holds could not be shut off", verb, handle)
      )
    )

  const takeBackKey = (verb: Verb, key: IssuedKey) => takeBack(verb, Redacted.value(key.ref.value), key.handle)

  /**
   * Makes the key of a mint's reply, and holds what the reply shows against what was asked. A driver's own functions run
   * here: if one throws, `lost` is run before the defect goes on.
   */
  const receive = <B>(
    minted: Minted,
    spec: MintSpec | undefined,
    lost: Effect.Effect<B>,
    name?: string
  ): Effect.Effect<{ readonly key: IssuedKey; readonly echo: Echo | undefined }> =>
    Effect.onError(
      Effect.sync(() => ({
        key: issue(minted, spec, name),
        echo: spec === undefined || minted.echo === undefined ? undefined : compareEcho(spec, minted.echo)
      })),
      () => lost
    )

  /** The options of a mint, checked before anything is sent. */
  const checkDeliver = <E, R>(verb: Verb, handle: string | undefined, { deliver, deliverTimeout }: Deliver<E, R>) =>
    Effect.map(
      checked(
        verb,
        handle,
        Result.mapError(
          checkDuration(["deliverTimeout"], deliverTimeout ?? usualDeliverTimeout),
          (issue) => new InvalidRequest({ source: "client", issues: [issue] })
        )
      ),
      (deadline) =>
        (key: IssuedKey): Effect.Effect<Delivery<E>, never, R> =>
          deliver === undefined
            ? Effect.succeed(undefined)
            : withDeadline(
                Effect.suspend(() => deliver(key)),
                deadline
              )
    )

  /** What a caller sees of a failed delivery: its own cause first, and whatever must not go unsaid behind it. */
  const deliveryCause = <E>(
    end: Exit.Failure<void, E> | "deadline",
    verb: Verb,
    key: IssuedKey,
    revoked: boolean | undefined
  ): Cause.Cause<E | ApiKeyError> => {
    const reason = new PartiallyApplied({
      applied: [],
      missing: ["deliver"],
      ...(revoked === undefined ? {} : { revoked })
    })
    const ours = Cause.fail(failure(verb, reason, key.handle))
    if (end === "deadline") return ours
    return revoked === false ? Cause.combine(end.cause, ours) : end.cause
  }

  /** Takes back a key that is other than asked, and fails with how. */
  const refuseKey = Effect.fnUntraced(function* (
    verb: Verb,
    key: IssuedKey,
    { applied, missing }: Pick<Echo, "applied" | "missing">
  ): Effect.fn.Return<never, ApiKeyError> {
    const revoked = yield* takeBackKey(verb, key)
    return yield* failure(verb, new PartiallyApplied({ applied, missing, revoked }), key.handle)
  })

  /** Takes in a new key: one that came back other than asked is shut off before anyone relies on it. */
  const takeIn = (
    verb: Verb,
    minted: Minted,
    spec: MintSpec,
    naming: Naming | undefined
  ): Effect.Effect<IssuedKey, ApiKeyError> =>
    Effect.flatMap(
      receive(minted, spec, takeBack(verb, minted.address, undefined), naming?.real ?? spec.name),
      ({ echo, key }) =>
        echo === undefined || echo.missing.length === 0 ? Effect.succeed(key) : refuseKey(verb, key, echo)
    )

  /** Hands over a key that can still be taken back, and takes it back where that fails. */
  const handOver = <E, R>(
    verb: Verb,
    key: IssuedKey,
    deliver: (key: IssuedKey) => Effect.Effect<Delivery<E>, never, R>
  ): Effect.Effect<"delivered" | "kept", E | ApiKeyError, R> =>
    Effect.flatMap(deliver(key), (end) => {
      if (end === undefined) return Effect.succeed("kept")
      if (end !== "deadline" && Exit.isSuccess(end)) return Effect.succeed("delivered")
      return Effect.flatMap(takeBackKey(verb, key), (revoked) =>
        Effect.failCause(deliveryCause(end, verb, key, revoked))
      )
    })

  /**
   * How a step after the delivery ended: the key is out, so that not even a defect may take the result away, and other work
   * must not hold the step back.
   */
  const concluded = (
    verb: Verb,
    handle: string,
    step: Effect.Effect<void, ApiKeyError>
  ): Effect.Effect<ApiKeyError | undefined> =>
    Effect.matchCause(Effect.provideService(label(verb, handle)(step), Urgent, true), {
      onSuccess: () => undefined,
      onFailure: (cause) => {
        const error = cause.reasons.find(Cause.isFailReason)?.error
        const issues = [{ path: [], message: "the adapter failed with a defect" }]
        return error ?? failure(verb, new UnexpectedResponse({ problem: "body", issues }), handle)
      }
    })

  /** The intent of a mint, held against what is minted before anything is sent. */
  const checkIntent = (
    verb: "create" | "rotate",
    handle: string | undefined,
    given: MintIntent | undefined
  ): Effect.Effect<{ readonly intent: MintIntent; readonly maxName: number } | undefined, ApiKeyError> => {
    const { recovery } = driver
    if (given === undefined) return Effect.succeed(undefined)
    if (recovery === undefined || !isPossible(driver)) return unsupported(verb, "prepare", handle)
    const mint = handle === undefined ? { verb } : { verb, handle }
    return Effect.map(checked(verb, handle, Validate.checkIntent(driver, given, { mint })), (intent) => ({
      intent,
      maxName: recovery.maxName
    }))
  }

  const renameTo = Effect.fnUntraced(function* (
    verb: Verb,
    key: IssuedKey,
    spec: MintSpec,
    { marked, real }: Naming,
    patch: NonNullable<ApiKeyDriver["patch"]>
  ): Effect.fn.Return<Renamed> {
    const called = (name: string) => (name === real ? key : new IssuedKey({ ...key, name: nameOf(name) }))
    // No vendor documents how a name is taken away.
    if (real === "") return { key: called(marked), changed: [] }
    const address = Redacted.value(key.ref.value)
    const end = yield* withDeadline(
      fromDriver(() => patch(address, { name: real, restrictions: {} })),
      renameTimeout
    )
    const shown = end !== "deadline" && Exit.isSuccess(end) ? (end.value?.name ?? real) : marked
    const changed = takenAlong(spec, end)
    // A logger may fail, and must not take the key away.
    if (changed.length > 0) {
      const message = "a key was renamed at the end of its mint, and the vendor changed more than its name"
      yield* Effect.exit(log("Error", message, verb, key.handle))
    } else if (shown !== real) {
      const message = "a key could not be given its name at the end of its mint, and still bears the marker"
      yield* Effect.exit(log("Warn", message, verb, key.handle))
    }
    return { key: called(shown), changed }
  })

  /**
   * Gives a key its real name, last of all. That it fails matters to nobody: the key is out, and works, and its name says what
   * it is called. What it changed beside the name does: it may have opened the key.
   */
  const rename = (verb: Verb, key: IssuedKey, spec: MintSpec, naming: Naming | undefined): Effect.Effect<Renamed> =>
    naming === undefined || driver.patch === undefined
      ? Effect.succeed({ key, changed: [] })
      : renameTo(verb, key, spec, naming, driver.patch)

  /** Runs a mint in the region; if its caller leaves, its end is logged and counted. */
  const inRegion = <A, E, R>(options: {
    readonly verb: Verb
    readonly handle?: string
    readonly call: Call
    readonly work: Effect.Effect<A, E | ApiKeyError, R>
    readonly issued: (value: A) => IssuedKey
    /** What to do with a value that its caller left behind. */
    readonly leftBehind: (value: A) => Effect.Effect<void>
  }): Effect.Effect<A, E | ApiKeyError, R> =>
    region.run({
      call: options.call,
      work: options.work,
      closed: (): E | ApiKeyError =>
        failure(options.verb, new ProviderUnavailable({ problem: "closed", sent: false }), options.handle),
      abandoned: (exit) =>
        Effect.gen(function* () {
          if (Exit.isSuccess(exit)) {
            // First what counts: a logger may fail.
            yield* options.leftBehind(exit.value)
            const { handle } = options.issued(exit.value)
            yield* log("Warn", "a mint ended after its caller had left", options.verb, handle)
          } else {
            const message = `a mint failed after its caller had left: ${reasonOf(exit.cause)}`
            yield* log("Error", message, options.verb, options.handle)
          }
          yield* telemetry.abandoned(options.verb, options.call)
        })
    })

  /**
   * What a caller sees of a new key that could not be switched on, which is taken back. That comes first, and why behind it: a
   * failure of the switch may say that nothing was sent, which is not true of the mint.
   */
  const notActivated = (key: IssuedKey, error: ApiKeyError) =>
    Effect.map(takeBackKey("create", key), (revoked) => {
      const ours = new PartiallyApplied({ applied: [], missing: ["activate"], revoked })
      return Cause.combine(Cause.fail(failure("create", ours, key.handle)), Cause.fail(error))
    })

  const create: Mints["create"] = Effect.fnUntraced(function* <E, R>(
    input: unknown,
    options: CreateOptions<E, R>,
    call: Call
  ): Effect.fn.Return<IssuedKey, E | ApiKeyError, R> {
    if (driver.mint === undefined) return yield* unsupported("create", "create")
    const given = yield* checked("create", undefined, Validate.checkSpec(driver, defaults, input))
    const intended = yield* checkIntent("create", undefined, options.intent)
    const deliver = yield* checkDeliver("create", undefined, options)
    const intent = intended?.intent
    const naming =
      intended === undefined
        ? undefined
        : { real: given.name, marked: markName(given.name, intended.intent.marker, intended.maxName) }
    const asked = naming === undefined ? given : { ...given, name: naming.marked }
    const {
      activate,
      options: own,
      send,
      spec: sent
    } = yield* label("create")(driver.mint(asked, { inert: intended !== undefined }))
    const spec = expected(sent ?? asked, own)
    return yield* inRegion<IssuedKey, E, R>({
      verb: "create",
      call,
      issued: (key) => key,
      // What was not delivered was to be given to the caller: nobody holds it.
      leftBehind: (key) => (options.deliver === undefined ? Effect.asVoid(takeBackKey("create", key)) : Effect.void),
      work: Effect.gen(function* () {
        const minted = yield* sendMint("create", undefined, send, intent)
        const key = yield* takeIn("create", minted, spec, naming)
        const handed = yield* handOver("create", key, deliver)
        // Nobody will hold it: `leftBehind` shuts it off, and it need not be switched on first.
        if (handed === "kept" && call.abandoned) return key
        if (activate !== undefined) {
          const error = yield* concluded(
            "create",
            key.handle,
            fromDriver(() => activate(minted.address))
          )
          if (error !== undefined) return yield* Effect.failCause(yield* notActivated(key, error))
        }
        const { changed, key: named } = yield* rename("create", key, spec, naming)
        return changed.length === 0 ? named : yield* refuseKey("create", key, { applied: [], missing: changed })
      })
    })
  })

  const rotateInPlace = Effect.fnUntraced(function* <E, R>(
    rotation: Extract<RotationDriver, { readonly inPlace: unknown }>,
    address: string,
    handle: string,
    options: RotateOptions<E, R>,
    call: Call
  ): Effect.fn.Return<RotatedKey<E>, E | ApiKeyError, R> {
    const intent = (yield* checkIntent("rotate", handle, options.intent))?.intent
    const deliver = yield* checkDeliver("rotate", handle, options)
    const { send } = yield* label("rotate", handle)(rotation.inPlace(address))
    return yield* inRegion<RotatedKey<E>, E, R>({
      verb: "rotate",
      handle,
      call,
      issued: ({ issued }) => issued,
      leftBehind: ({ incomplete, issued }) =>
        options.deliver === undefined || incomplete !== undefined
          ? log("Error", lostInPlace, "rotate", issued.handle)
          : Effect.void,
      work: Effect.gen(function* () {
        const minted = yield* sendMint("rotate", handle, send, intent, address)
        const { key: issued } = yield* receive(minted, undefined, log("Error", lostInPlace, "rotate", handle))
        const end = yield* deliver(issued)
        if (end === undefined || (end !== "deadline" && Exit.isSuccess(end))) return { issued, previous: "dead" }
        // Nothing can be undone here: the call succeeds with the only copy of the secret, and says what went wrong.
        const cause = deliveryCause(end, "rotate", issued, undefined)
        return { issued, previous: "dead", incomplete: { step: "deliver", cause } }
      })
    })
  })

  const rotateBySuccessor = Effect.fnUntraced(function* <E, R>(
    rotation: Extract<RotationDriver, { readonly successor: unknown }>,
    address: string,
    handle: string,
    options: RotateOptions<E, R>,
    call: Call
  ): Effect.fn.Return<RotatedKey<E>, E | ApiKeyError, R> {
    const intended = yield* checkIntent("rotate", handle, options.intent)
    const deliver = yield* checkDeliver("rotate", handle, options)
    const intent = intended?.intent
    let real = ""
    const mark = (name: string) => {
      // The marker of a mint whose renaming never happened is not the copy's: it would be taken for that mint's key.
      real = unmarkedName(name)
      return intended === undefined ? real : markName(real, intended.intent.marker, intended.maxName)
    }
    const {
      activate,
      options: own,
      send,
      spec: copy
    } = yield* label("rotate", handle)(Effect.suspend(() => rotation.successor(address, mark)))
    const spec = expected(copy, own)
    // A driver that does not mark its copies: such a key could not be found again.
    if (intent !== undefined && markerOf(spec.name) !== intent.marker) {
      return yield* unsupported("rotate", "prepare", handle)
    }
    const naming = intent === undefined ? undefined : { marked: spec.name, real }

    /** What follows the delivery: the successor is switched on, and then the old key shut off. */
    const conclude = (
      issued: IssuedKey,
      successor: string,
      handed: "delivered" | "kept"
    ): Effect.Effect<RotatedKey<E>> =>
      Effect.gen(function* () {
        if (activate !== undefined && options.activate !== false) {
          const error = yield* concluded(
            "rotate",
            issued.handle,
            fromDriver(() => activate(successor))
          )
          if (error !== undefined) return { issued, previous: "live", incomplete: { step: "activate", error } }
        }
        if (handed === "kept" || options.keepPrevious === true) return { issued, previous: "live" }
        const error = yield* concluded(
          "rotate",
          handle,
          fromDriver(() => rotation.retire(address)).pipe(
            // "Not found" is believed of the old key only where, by the same credential, the new one is found.
            Effect.catchIf(ApiKeyError.is("KeyNotFound"), (notFound) =>
              Effect.matchEffect(calls.read(successor, "rotate"), {
                onSuccess: () => Effect.void,
                onFailure: () => Effect.fail(notFound)
              })
            )
          )
        )
        return error === undefined
          ? { issued, previous: "retired" }
          : { issued, previous: "live", incomplete: { step: "retire", error } }
      })

    return yield* inRegion<RotatedKey<E>, E, R>({
      verb: "rotate",
      handle,
      call,
      issued: ({ issued }) => issued,
      leftBehind: ({ incomplete, issued }) => {
        if (options.deliver === undefined) return Effect.asVoid(takeBackKey("rotate", issued))
        // That a renaming changed more than the name has been logged.
        if (incomplete === undefined || incomplete.step === "rename") return Effect.void
        return incomplete.step === "activate"
          ? log("Error", "a delivered successor could not be switched on", "rotate", issued.handle)
          : log("Error", "the old key of a rotation could not be shut off and is still live", "rotate", handle)
      },
      work: Effect.gen(function* () {
        const minted = yield* sendMint("rotate", handle, send, intent, address)
        const issued = yield* takeIn("rotate", minted, spec, naming)
        const handed = yield* handOver("rotate", issued, deliver)
        // Nobody will hold it: `leftBehind` shuts it off, and it need not be switched on first.
        if (handed === "kept" && call.abandoned) return { issued, previous: "live" }
        const result = yield* conclude(issued, minted.address, handed)
        const { changed, key: named } = yield* rename("rotate", issued, spec, naming)
        if (changed.length === 0) return { ...result, issued: named }
        // The old key still works: it can stay in use.
        if (result.previous === "live") return yield* refuseKey("rotate", issued, { applied: [], missing: changed })
        const error = failure("rotate", new PartiallyApplied({ applied: [], missing: changed }), issued.handle)
        return { ...result, issued: named, incomplete: { step: "rename", error } }
      })
    })
  })
  return {
    create,
    rotate: (address, handle, options, call) => {
      const { rotation } = driver
      if (rotation === undefined) return unsupported("rotate", "rotate", handle)
      if (options.activate === false && options.keepPrevious !== true) {
        const message =
          "may be false only beside `keepPrevious: true`: the old key would be shut off, and the new one not on"
        const issues = [{ path: ["activate"], message }]
        return Effect.fail(failure("rotate", new InvalidRequest({ source: "client", issues }), handle))
      }
      if ("successor" in rotation) return rotateBySuccessor(rotation, address, handle, options, call)
      return options.keepPrevious === true
        ? unsupported("rotate", "overlap", handle)
        : rotateInPlace(rotation, address, handle, options, call)
    }
  }
}

/** What the echo is held against: what was asked, and the options that the driver asked for by itself. */
const expected = (asked: MintSpec, own: PreparedMint["options"]): MintSpec =>
  own === undefined ? asked : { ...asked, options: { ...own, ...objectOf(asked.options) } }

/** A key's name; a copy of a key without a name has none. */
const nameOf = (name: string | undefined): Option.Option<string> =>
  Option.filter(Option.fromUndefinedOr(name), (text) => text !== "")

/** What a renaming changed beside the name, as far as the vendor shows it. */
const takenAlong = (
  spec: MintSpec,
  end: Exit.Exit<KeyRecord | undefined, ApiKeyError> | "deadline"
): ReadonlyArray<string> => {
  if (end === "deadline") return []
  if (Exit.isSuccess(end)) {
    return end.value === undefined ? [] : compareEcho({ restrictions: spec.restrictions }, end.value).missing
  }
  const reason = end.cause.reasons.find(Cause.isFailReason)?.error.reason
  return reason?._tag === "PartiallyApplied" ? reason.missing.filter((field) => field !== "name") : []
}

/** Says, of a mint whose end is not known, what it was prepared with. */
const withIntent =
  (intent: MintIntent) =>
  (error: ApiKeyError): ApiKeyError => {
    const { handle, http, operation, provider, reason } = error
    if (reason._tag !== "OutcomeUnknown") return error
    const { issues, problem } = reason
    return new ApiKeyError({
      provider,
      operation,
      reason: new OutcomeUnknown({ problem, issues, intent }),
      ...(handle === undefined ? {} : { handle }),
      ...(http === undefined ? {} : { http })
    })
  }

const objectOf = (options: unknown): object => (Predicate.isObject(options) ? options : {})

/** One word for a failure that no caller sees: our reason, or that the delivery failed; a caller's error may hold anything. */
const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const failed = cause.reasons.find(Cause.isFailReason)
  if (failed === undefined) return Cause.hasDies(cause) ? "a defect" : "an interruption from inside"
  return failed.error instanceof ApiKeyError ? failed.error.reason._tag : "its delivery failed"
}
