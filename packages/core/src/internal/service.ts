import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ApiKey, type KeyRef, type KeyStatus, PatchedKey } from "../ApiKey.ts"
import type { ApiKeyDriver, KeyRecord, PatchSpec } from "../ApiKeyDriver.ts"
import { ApiKeyError, InvalidKeyState, InvalidRequest, PartiallyApplied, UnexpectedResponse } from "../ApiKeyError.ts"
import type { ApiKeyService, Bound, Capable, Need, Verb, Verbs } from "../ApiKeyService.ts"
import { Restriction } from "../Restrictions.ts"
import * as DriverCalls from "./driverCalls.ts"
import { compareEcho } from "./echo.ts"
import { Urgent } from "./limiter.ts"
import * as Mint from "./mint.ts"
import * as MintRegion from "./mintRegion.ts"
import * as Recovery from "./recovery.ts"
import * as Telemetry from "./telemetry.ts"
import * as Validate from "./validate.ts"

/** What the driver's parts make possible. */
const supported: { readonly [N in Exclude<Need, Restriction>]: (driver: ApiKeyDriver) => boolean } = {
  create: ({ mint }) => mint !== undefined,
  patch: ({ patch }) => patch !== undefined,
  rotate: ({ rotation }) => rotation !== undefined,
  overlap: ({ rotation }) => rotation !== undefined && "successor" in rotation,
  disable: ({ setStatus }) => setStatus !== undefined,
  enable: ({ setStatus }) => setStatus !== undefined,
  revoke: ({ remove, setStatus }) => setStatus !== undefined || remove !== undefined,
  delete: ({ remove }) => remove !== undefined,
  get: ({ get, list }) => get !== undefined || list !== undefined,
  list: ({ list }) => list !== undefined,
  prepare: (driver) => Recovery.isPossible(driver),
  recover: (driver) => Recovery.isPossible(driver)
}

const isRestriction = (need: Need): need is Restriction => Restriction.literals.some((literal) => literal === need)

/** What a patch names. */
const fieldsOf = ({ name, options, restrictions }: PatchSpec): ReadonlyArray<string> => [
  ...(name === undefined ? [] : ["name"]),
  ...Object.keys(restrictions),
  ...(options === undefined ? [] : ["options"])
]

const isVerb = (need: Need): need is Verb => need !== "overlap" && !isRestriction(need)

/** Whose keys these are, and just the verbs among these needs. */
export const pick = <N extends Need>(keys: Bound & Verbs, needs: ReadonlyArray<N>): Capable<N> => {
  const { account, handle, provider, ref } = keys
  const verbs = Object.fromEntries(needs.flatMap((need: Need) => (isVerb(need) ? [[need, keys[need]]] : [])))
  // Which verbs these are is known to the compiler only as N; the object is built from the same N at run time.
  return { provider, account, ref, handle, ...verbs } as unknown as Capable<N>
}

export const make = Effect.fnUntraced(function* (
  driver: ApiKeyDriver
): Effect.fn.Return<ApiKeyService["Service"], ApiKeyError, Scope.Scope> {
  const { account, provider } = driver
  const calls = DriverCalls.make(driver)
  const { checked, failure, label, makeRef, read, unsupported } = calls
  const defaults = yield* checked("layer", undefined, Validate.checkDefaults(driver))
  const telemetry = Telemetry.make(provider, account)
  const mints = Mint.make(calls, defaults, yield* MintRegion.make, telemetry)
  const recoveries = Recovery.make(calls)

  /** Reads a key back after it was changed: where that fails the change stands, and must not go unsaid. */
  const readBack = (address: string, verb: Verb, applied: ReadonlyArray<string>) =>
    Effect.mapError(read(address, verb), (error) =>
      // A reply that makes no sense says what it could not show.
      error.reason._tag === "UnexpectedResponse"
        ? error
        : failure(verb, new PartiallyApplied({ applied, missing: ["confirmation"] }), error.handle)
    )

  /** Where addresses are printed as they are, a handle of what is no address here would show what it is: a secret. */
  const handleOf = (ref: KeyRef): string =>
    Result.match(Validate.checkRef(driver, ref), {
      onSuccess: driver.handle,
      onFailure: () => `${provider}_unknown`
    })

  /** Runs a verb on one key: in its span, and with its ref checked before anything else. */
  const onKey = <A, E, R>(
    verb: Verb,
    ref: KeyRef,
    run: (address: string, handle: string, call: Telemetry.Call) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | ApiKeyError, R> =>
    Effect.suspend(() => {
      const result = Validate.checkRef(driver, ref)
      // A ref that is refused gets no handle: see `handleOf`.
      const handle = Result.isSuccess(result) ? driver.handle(result.success) : undefined
      return telemetry.observe(verb, handle, (call) =>
        Effect.flatMap(checked(verb, handle, result), (address) => run(address, handle ?? driver.handle(address), call))
      )
    })

  const toApiKey = (record: KeyRecord): ApiKey =>
    new ApiKey(
      {
        provider,
        handle: record.handle,
        ref: Option.map(Option.fromUndefinedOr(record.address), makeRef),
        name: Option.fromUndefinedOr(record.name),
        status: record.status,
        providerStatus: record.providerStatus,
        restrictions: record.restrictions,
        createdAt: Option.fromUndefinedOr(record.createdAt),
        updatedAt: Option.fromUndefinedOr(record.updatedAt),
        options: record.options ?? {}
      },
      // A vendor may show what we would not ask for, an empty entry in a list, say: it is shown, not a defect.
      { disableChecks: true }
    )

  // Its parts were made here, as in `toApiKey`.
  const patched = (record: KeyRecord | undefined, proof: PatchedKey["proof"]) =>
    new PatchedKey({ key: Option.map(Option.fromUndefinedOr(record), toApiKey), proof }, { disableChecks: true })

  /** Holds what a vendor shows after a patch against what was asked; the fields that it does not show. */
  const compare = (
    asked: PatchSpec,
    record: KeyRecord,
    handle: string
  ): Effect.Effect<ReadonlyArray<string>, ApiKeyError> => {
    const { applied, missing, unseen } = compareEcho(asked, record)
    return missing.length > 0
      ? Effect.fail(failure("patch", new PartiallyApplied({ applied, missing }), handle))
      : Effect.succeed(unseen)
  }

  const patch: Verbs["patch"] = (ref, input, options) =>
    onKey("patch", ref, (address, handle) =>
      Effect.gen(function* () {
        if (driver.patch === undefined) return yield* unsupported("patch", "patch", handle)
        const asked = yield* checked("patch", handle, Validate.checkPatch(driver, input))
        const echoed = yield* label("patch", handle)(driver.patch(address, asked))
        const unechoed = echoed === undefined ? undefined : yield* compare(asked, echoed, handle)
        if (options?.confirm !== true) {
          return patched(echoed, unechoed?.length === 0 ? "echoed" : "acknowledged")
        }
        const record = yield* readBack(address, "patch", fieldsOf(asked))
        const unseen = yield* compare(asked, record, handle)
        if (unseen.length > 0) {
          const message = "was acknowledged, but reading the key again does not show it, so it cannot be confirmed"
          const issues = unseen.map((field) => ({ path: [field], message }))
          return yield* failure("patch", new UnexpectedResponse({ problem: "body", issues }), handle)
        }
        return patched(record, "confirmed")
      })
    )

  /** Sets a status; where the reply shows one, it must be the one that was set. */
  const setStatus = Effect.fnUntraced(function* (
    verb: "disable" | "enable" | "revoke",
    address: string,
    handle: string,
    status: "active" | "disabled" | "sandbox"
  ): Effect.fn.Return<void, ApiKeyError> {
    if (driver.setStatus === undefined) return yield* unsupported(verb, verb, handle)
    const echoed = yield* label(verb, handle)(driver.setStatus(address, status))
    // That a key is off is taken on the vendor's word, where it shows nothing of the key; that it is on is looked up, for
    // vendors keep keys shut.
    const taken = echoed === undefined && status === "disabled"
    const seen = echoed?.status === "unknown" ? undefined : echoed?.status
    const shown: KeyStatus =
      seen ??
      (taken || !supported.get(driver) ? (echoed?.status ?? status) : (yield* readBack(address, verb, [status])).status)
    if (shown !== status) return yield* failure(verb, new InvalidKeyState({ status: shown }), handle)
  })

  const enable: Verbs["enable"] = (ref, options) =>
    onKey("enable", ref, (address, handle) => {
      const status = options?.as ?? "active"
      if (status === "sandbox" && driver.sandbox !== true) {
        const issues = [{ path: ["as"], message: `this vendor has no sandbox state: leave it out, or write "active"` }]
        return Effect.fail(failure("enable", new InvalidRequest({ source: "client", issues }), handle))
      }
      return setStatus("enable", address, handle, status)
    })

  const revoke: Verbs["revoke"] = (ref) =>
    onKey("revoke", ref, (address, handle): Effect.Effect<"disabled" | "deleted", ApiKeyError> => {
      if (driver.setStatus !== undefined) {
        return Effect.as(setStatus("revoke", address, handle, "disabled"), "disabled")
      }
      return driver.remove === undefined
        ? unsupported("revoke", "revoke", handle)
        : Effect.as(label("revoke", handle)(driver.remove(address)), "deleted")
    }).pipe(Effect.provideService(Urgent, true))

  const remove: Verbs["delete"] = (ref) =>
    onKey("delete", ref, (address, handle) =>
      driver.remove === undefined
        ? unsupported("delete", "delete", handle)
        : label("delete", handle)(driver.remove(address))
    )

  const list: Verbs["list"] = (filter = {}) => {
    const records = () =>
      driver.list === undefined ? Stream.fromEffect(unsupported("list", "list")) : driver.list(filter)
    return telemetry.observeStream("list", records).pipe(
      Stream.filter((record) => filter.name === undefined || record.name === filter.name),
      Stream.map(toApiKey),
      Stream.mapError(({ http, reason }) =>
        http === undefined ? failure("list", reason) : new ApiKeyError({ provider, operation: "list", http, reason })
      )
    )
  }

  const prepare: Verbs["prepare"] = (target, options) =>
    target === "create"
      ? telemetry.observe("prepare", undefined, () => recoveries.prepareCreate(options?.snapshot))
      : onKey("prepare", target, (address) => recoveries.prepareRotate(address, options?.snapshot))

  const recover: Verbs["recover"] = (intent, options) =>
    Effect.suspend(() => {
      const result = Validate.checkRecovery(driver, intent, options?.ref)
      // What is no intent of ours may hold anything: it is not shown.
      const handle = Result.isSuccess(result) ? result.success.intent.handle : undefined
      return telemetry.observe("recover", handle, () =>
        Effect.flatMap(checked("recover", handle, result), (found) =>
          recoveries.recover(found, options?.sent !== false)
        )
      )
    })

  return {
    provider,
    account,
    supports: (need) => (isRestriction(need) ? driver.restrictions[need] !== undefined : supported[need](driver)),
    ref: (value) => makeRef(Redacted.value(value)),
    handle: handleOf,
    create: (spec, options = {}) => telemetry.observe("create", undefined, (call) => mints.create(spec, options, call)),
    patch,
    rotate: (ref, options = {}) =>
      onKey("rotate", ref, (address, handle, call) => mints.rotate(address, handle, options, call)),
    disable: (ref) =>
      onKey("disable", ref, (address, handle) => setStatus("disable", address, handle, "disabled")).pipe(
        Effect.provideService(Urgent, true)
      ),
    enable,
    revoke,
    delete: remove,
    get: (ref) => onKey("get", ref, (address) => Effect.map(read(address, "get"), toApiKey)),
    list,
    prepare,
    recover
  }
})
