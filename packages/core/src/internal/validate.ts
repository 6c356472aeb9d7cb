import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { KeyRef } from "../ApiKey.ts"
import type { ApiKeyDriver, MintSpec, PatchSpec } from "../ApiKeyDriver.ts"
import { InvalidRequest, type Issue, UnsupportedRestriction } from "../ApiKeyError.ts"
import { KeySnapshot, MintIntent, markerOf } from "../Recovery.ts"
import { Restriction, Restrictions } from "../Restrictions.ts"
import { safePart } from "./issues.ts"

type Checked<A> = Result.Result<A, InvalidRequest | UnsupportedRestriction>

const refuse = (issues: ReadonlyArray<Issue>) => Result.fail(new InvalidRequest({ source: "client", issues }))

const restrictions: ReadonlyArray<Restriction> = Restriction.literals

const expectedList = `write "any", or a list with at least one entry`
const expected: { readonly [K in Restriction]: string } = {
  domains: expectedList,
  ips: expectedList,
  origins: expectedList,
  scopes: expectedList,
  resources: expectedList,
  quota: `write "unlimited", or a whole number above 0`,
  rate: `write "unlimited", or { max, per } with whole numbers above 0, such as { max: 100, per: { hours: 1 } }`
}

const strictly = { onExcessProperty: "error" } as const

/** Decodes the value of each restriction. */
const decoders: { readonly [K in Restriction]: (value: unknown) => Result.Result<Restrictions[K], unknown> } = {
  domains: Schema.decodeUnknownResult(Restrictions.domains, strictly),
  ips: Schema.decodeUnknownResult(Restrictions.ips, strictly),
  origins: Schema.decodeUnknownResult(Restrictions.origins, strictly),
  scopes: Schema.decodeUnknownResult(Restrictions.scopes, strictly),
  resources: Schema.decodeUnknownResult(Restrictions.resources, strictly),
  quota: Schema.decodeUnknownResult(Restrictions.quota, strictly),
  rate: Schema.decodeUnknownResult(Restrictions.rate, strictly)
}

const known: ReadonlySet<string> = new Set(["name", "options", ...restrictions])

const under = (field: string, issues: ReadonlyArray<Issue>): ReadonlyArray<Issue> =>
  issues.map((issue) => ({ ...issue, path: [field, ...issue.path] }))

/** Checks one restriction's value: its neutral shape, then the vendor's own rule. */
const checkRestriction = <K extends Restriction>(
  driver: ApiKeyDriver,
  field: K,
  value: unknown
): Result.Result<Restrictions[K], ReadonlyArray<Issue>> => {
  // Indexing a record of rules by K loses the tie between K and the rule's type; both are keyed alike.
  const rule = driver.restrictions[field] as
    | ((value: Restrictions[K]) => Result.Result<Restrictions[K], ReadonlyArray<Issue>>)
    | undefined
  const decoded = decoders[field](value)
  if (Result.isFailure(decoded)) return Result.fail([{ path: [field], message: expected[field] }])
  return rule === undefined
    ? Result.succeed(decoded.success)
    : Result.mapError(rule(decoded.success), (issues) => under(field, issues))
}

/** What a spec and a patch have in common, checked. */
interface Fields {
  readonly name: Option.Option<string>
  readonly restrictions: Partial<Restrictions>
  readonly options: Option.Option<unknown>
}

const leftOut = "is undefined: leave the field out, or say what is meant"

const checkName = (driver: ApiKeyDriver, value: unknown): Result.Result<string, ReadonlyArray<Issue>> =>
  Predicate.isString(value) ? driver.name(value) : Result.fail([{ path: [], message: "must be a string" }])

/**
 * Checks the fields by their names, own or inherited, so that none is passed over; what is left is not known, and may be
 * a restriction misspelt: to drop it would widen the key.
 */
const checkFields = (driver: ApiKeyDriver, input: unknown): Checked<Fields> => {
  if (!Predicate.isObject(input)) return refuse([{ path: [], message: "must be an object" }])
  const issues: Array<Issue> = []
  const checked: Record<string, unknown> = {}
  let name = Option.none<string>()
  let options = Option.none<unknown>()
  if ("name" in input) {
    const result = checkName(driver, input.name)
    if (Result.isFailure(result)) issues.push(...under("name", result.failure))
    else name = Option.some(result.success)
  }
  if ("options" in input && input.options !== undefined) {
    const result = checkOptions(driver, input.options)
    if (Result.isFailure(result)) issues.push(...under("options", result.failure))
    else options = result.success
  }
  for (const field of restrictions) {
    if (!(field in input)) continue
    const value = input[field]
    if (value === undefined) {
      issues.push({ path: [field], message: leftOut })
      continue
    }
    if (driver.restrictions[field] === undefined) return Result.fail(new UnsupportedRestriction({ restriction: field }))
    const result = checkRestriction(driver, field, value)
    if (Result.isFailure(result)) issues.push(...result.failure)
    else checked[field] = result.success
  }
  for (const field of Object.keys(input)) {
    if (known.has(field)) continue
    issues.push({
      path: [safePart(field)],
      message: "is not a field of a key: known are name, options and the restrictions"
    })
  }
  return issues.length > 0 ? refuse(issues) : Result.succeed({ name, restrictions: checked, options })
}

/** A getter or a Proxy may throw while it is read; that is bad input like any other, and what it threw is not shown. */
const guarded = <A, E>(check: () => Result.Result<A, E>): Result.Result<A, E | InvalidRequest> => {
  const result = Result.try(check)
  return Result.isSuccess(result)
    ? result.success
    : refuse([{ path: [], message: "could not be read: give plain values" }])
}

const isEmpty = (value: unknown): boolean => Predicate.isObject(value) && Object.keys(value).length === 0

/** The bound vendor's namespace, decoded strictly; other vendors' are carried by the caller and do not concern us. */
const checkOptions = (
  driver: ApiKeyDriver,
  value: unknown
): Result.Result<Option.Option<unknown>, ReadonlyArray<Issue>> => {
  if (!Predicate.isObject(value))
    return Result.fail([{ path: [], message: "must be an object of vendors' namespaces" }])
  const own = value[driver.provider]
  if (own === undefined) return Result.succeed(Option.none())
  if (driver.options !== undefined) {
    return Result.mapBoth(driver.options(own), {
      // Nothing in it is nothing said: a patch of it alone is empty. Asked of what was decoded, not of what was given:
      // an option behind a getter or a prototype is read, and must not be passed over.
      onSuccess: (decoded) => (isEmpty(decoded) ? Option.none() : Option.some(decoded)),
      onFailure: (issues) => under(driver.provider, issues)
    })
  }
  if (isEmpty(own)) return Result.succeed(Option.none())
  return Result.fail([{ path: [driver.provider], message: "this vendor has no options of its own" }])
}

export const checkSpec = (driver: ApiKeyDriver, defaults: Partial<Restrictions>, input: unknown): Checked<MintSpec> =>
  guarded(() =>
    Result.flatMap(checkFields(driver, input), (fields) =>
      Option.isNone(fields.name)
        ? refuse([{ path: ["name"], message: "a key needs a name" }])
        : Result.succeed({
            name: fields.name.value,
            restrictions: { ...defaults, ...fields.restrictions },
            ...(Option.isSome(fields.options) ? { options: fields.options.value } : {})
          })
    )
  )

export const checkPatch = (driver: ApiKeyDriver, input: unknown): Checked<PatchSpec> =>
  guarded(() =>
    Result.flatMap(checkFields(driver, input), (fields) =>
      Option.isNone(fields.name) && Option.isNone(fields.options) && Object.keys(fields.restrictions).length === 0
        ? refuse([{ path: [], message: "the patch is empty: name at least one field to change" }])
        : Result.succeed({
            restrictions: fields.restrictions,
            ...(Option.isSome(fields.name) ? { name: fields.name.value } : {}),
            ...(Option.isSome(fields.options) ? { options: fields.options.value } : {})
          })
    )
  )

/** The address of a ref of this provider and account, or what is wrong with it. */
export const checkRef = (driver: ApiKeyDriver, ref: KeyRef): Result.Result<string, InvalidRequest> =>
  guarded(() => {
    if (ref.provider !== driver.provider) {
      return refuse([{ path: ["ref", "provider"], message: `this ref is not of ${driver.provider}` }])
    }
    if (ref.account !== driver.account) {
      return refuse([{ path: ["ref", "account"], message: "this ref is of another account at this vendor" }])
    }
    const address = Redacted.value(ref.value)
    const checked = Predicate.isString(address)
      ? driver.address(address)
      : Result.fail([{ path: [], message: "must be a string" }])
    return Result.mapError(
      checked,
      (issues) => new InvalidRequest({ source: "client", issues: under("ref", under("value", issues)) })
    )
  })

const decodeFirst = (name: string): string => `must be a ${name}: decode a stored one by Schema.toCodecJson(${name})`

/** What is wrong with whose an intent or a snapshot is. */
const foreign = (
  driver: ApiKeyDriver,
  field: string,
  of: { readonly provider: string; readonly account: string }
): ReadonlyArray<Issue> => [
  ...(of.provider === driver.provider ? [] : [{ path: [field, "provider"], message: `is not ${driver.provider}` }]),
  ...(of.account === driver.account ? [] : [{ path: [field, "account"], message: "is another account at this vendor" }])
]

/** A snapshot of this provider and account. */
export const checkSnapshot = (
  driver: ApiKeyDriver,
  snapshot: unknown
): Result.Result<KeySnapshot | "none" | undefined, InvalidRequest> =>
  guarded((): Result.Result<KeySnapshot | "none" | undefined, InvalidRequest> => {
    if (snapshot === undefined || snapshot === "none") return Result.succeed(snapshot)
    if (!(snapshot instanceof KeySnapshot)) {
      return refuse([{ path: ["snapshot"], message: `${decodeFirst("KeySnapshot")}, or write "none"` }])
    }
    const issues = foreign(driver, "snapshot", snapshot)
    return issues.length > 0 ? refuse(issues) : Result.succeed(snapshot)
  })

/** Whether handles are made as they were by then, as far as an intent shows it. */
const makesSameHandles = (driver: ApiKeyDriver, { marker, markerHandle }: MintIntent): boolean =>
  markerHandle === undefined || driver.handle(marker) === markerHandle

/**
 * An intent of this provider and account; where a mint is given, one that was made for just that. `rehashed` allows for handles
 * that are made otherwise since.
 */
export const checkIntent = (
  driver: ApiKeyDriver,
  intent: unknown,
  {
    mint,
    rehashed = false
  }: {
    readonly mint?: { readonly verb: "create" | "rotate"; readonly handle?: string }
    readonly rehashed?: boolean
  } = {}
): Result.Result<MintIntent, InvalidRequest> =>
  guarded(() => {
    if (!(intent instanceof MintIntent)) return refuse([{ path: ["intent"], message: decodeFirst("MintIntent") }])
    const { handle, identity, marker, verb } = intent
    const inPlace = verb === "rotate" && driver.rotation !== undefined && "inPlace" in driver.rotation
    const issues: Array<Issue> = [...foreign(driver, "intent", intent)]
    const expectField = (holds: boolean, field: string, message: string) => {
      if (!holds) issues.push({ path: ["intent", field], message })
    }
    expectField(markerOf(marker) === marker, "marker", "is none that `prepare` makes")
    expectField(inPlace === (identity !== undefined), "identity", "is not as this vendor's `prepare` gives it")
    const howTo = "give `recover` the `ref` of the key, or the layer what it made its handles with by then"
    expectField(rehashed || makesSameHandles(driver, intent), "markerHandle", `is another now: ${howTo}`)
    if (mint === undefined) {
      const holds = (verb === "rotate") === (handle !== undefined)
      expectField(holds, "handle", `is not as \`prepare\` gives it for ${verb}`)
    } else {
      expectField(verb === mint.verb, "verb", `is another than ${mint.verb}: prepare an intent for this`)
      expectField(handle === mint.handle, "handle", "is that of another key: prepare an intent for this one")
    }
    return issues.length > 0 ? refuse(issues) : Result.succeed(intent)
  })

/** What a mint is looked for with: its intent, and the address of the key that it was to rotate in place, where that is known. */
export const checkRecovery = (
  driver: ApiKeyDriver,
  intent: unknown,
  ref: KeyRef | undefined
): Result.Result<{ readonly intent: MintIntent; readonly address?: string }, InvalidRequest> =>
  guarded(() => {
    if (ref === undefined) return Result.map(checkIntent(driver, intent), (found) => ({ intent: found }))
    return Result.flatMap(checkRef(driver, ref), (address) =>
      Result.flatMap(checkIntent(driver, intent, { rehashed: true }), (found) =>
        found.handle !== undefined && (!makesSameHandles(driver, found) || driver.handle(address) === found.handle)
          ? Result.succeed({ intent: found, address })
          : refuse([{ path: ["ref"], message: "is not that of the key which was to be rotated" }])
      )
    )
  })

/** The layer's defaults, checked like a spec; every declared restriction must have one. */
export const checkDefaults = (driver: ApiKeyDriver): Result.Result<Partial<Restrictions>, InvalidRequest> =>
  guarded(() => {
    const issues: Array<Issue> = []
    const checked: Record<string, unknown> = {}
    for (const field of restrictions) {
      if (driver.restrictions[field] === undefined) continue
      // From JavaScript, there may be no defaults at all.
      const result = checkRestriction(driver, field, (driver.defaults as Partial<Restrictions> | undefined)?.[field])
      if (Result.isFailure(result)) issues.push(...under("defaults", result.failure))
      else checked[field] = result.success
    }
    return issues.length > 0 ? refuse(issues) : Result.succeed(checked)
  })
