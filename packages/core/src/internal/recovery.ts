import * as Clock from "effect/Clock"
import { WebCrypto } from "effect/crypto/WebCrypto"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { IssuedKey } from "../ApiKey.ts"
import type { ApiKeyDriver, KeyRecord, RecoveryDriver } from "../ApiKeyDriver.ts"
import { type ApiKeyError, InvalidKeyState, KeyNotFound, UnexpectedResponse } from "../ApiKeyError.ts"
import { KeySnapshot, MintIntent, markerOf, type Recovery } from "../Recovery.ts"
import { Restriction } from "../Restrictions.ts"
import { isUnrestricted } from "./compare.ts"
import type { DriverCalls } from "./driverCalls.ts"
import * as Validate from "./validate.ts"

/** Whether the driver has what recovery takes. */
export const isPossible = ({ list, patch, recovery }: ApiKeyDriver): boolean =>
  list !== undefined && patch !== undefined && recovery !== undefined

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

/** A marker that no other mint has: 120 bits of the platform's secure randomness. */
const makeMarker: Effect.Effect<string> = Effect.map(
  WebCrypto,
  (crypto) => `ek-${Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => alphabet[byte & 31]).join("")}`
)

/** A name with the marker at its end, cut where both would not fit; the marker alone where there is no name. */
export const markName = (name: string, marker: string, maxName: number): string => {
  const room = Math.max(0, maxName - marker.length - 1)
  // Where it is cut, no half character and no space is left at the end.
  const kept =
    name.length <= room
      ? name
      : name
          .slice(0, room)
          .replace(/[\ud800-\udbff]$/, "")
          .trimEnd()
  return kept === "" ? marker : `${kept} ${marker}`
}

/** How much of a marker proves that a name was cut in it: 40 bits. */
const shortestCut = 11

/** Whether a name holds this marker otherwise than at its end: someone wrote behind it, or the vendor cut it or changed its case. */
const holdsMarker = (name: string, marker: string): boolean => {
  const text = name.toLowerCase()
  const cut = text.slice(Math.max(0, text.lastIndexOf("ek-")))
  return text.includes(marker) || (cut.length >= shortestCut && marker.startsWith(cut))
}

/** What of a key that is shown would be known of it, had it just been minted. */
const toIssued = (calls: DriverCalls, record: KeyRecord, address: string): IssuedKey => {
  const declared = Restriction.literals.filter((restriction) => calls.driver.restrictions[restriction] !== undefined)
  const shown = declared.flatMap((restriction) => {
    const value = record.restrictions[restriction]
    return value === undefined ? [] : [{ restriction, open: isUnrestricted(value) }]
  })
  return new IssuedKey({
    ref: calls.makeRef(address),
    handle: record.handle,
    secret: Redacted.make(address),
    name: Option.fromUndefinedOr(record.name),
    unrestricted:
      shown.length === declared.length
        ? Option.some(shown.flatMap(({ open, restriction }) => (open ? [restriction] : [])))
        : Option.none()
  })
}

const countOf = (handles: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const handle of handles) counts.set(handle, (counts.get(handle) ?? 0) + 1)
  return counts
}

/** A mint that is looked for, and the address of the key that it was to rotate in place, where that is known. */
export interface Sought {
  readonly intent: MintIntent
  readonly address?: string
}

/** What the list says of an intent, and nothing else: no clock, no order of its rows, no likeness of names. */
export const decide = (
  calls: DriverCalls,
  recovery: RecoveryDriver,
  { address: old, intent }: Sought,
  listed: ReadonlyArray<KeyRecord>,
  sent: boolean
): Recovery => {
  const { driver } = calls
  const nothing: Recovery = { _tag: sent ? "NotSeen" : "NotApplied" }
  const before = countOf(intent.snapshot?.handles ?? [])
  const now = countOf(listed.map(({ handle }) => handle))
  /** Whether there are more keys of this handle than before: some vendors mask it, so that several have one. */
  const isNew = ({ handle }: KeyRecord): boolean => (now.get(handle) ?? 0) > (before.get(handle) ?? 0)

  const undetermined = (
    problem: Extract<Recovery, { _tag: "Undetermined" }>["problem"],
    candidates: ReadonlyArray<KeyRecord>
  ): Recovery => ({ _tag: "Undetermined", problem, candidates: candidates.map(({ handle }) => handle) })

  /** The address that a record shows in full: one that is masked or mangled is no secret. */
  const addressOf = ({ address }: KeyRecord): string | undefined =>
    address !== undefined && Result.isSuccess(driver.address(address)) ? address : undefined

  const reread = (record: KeyRecord, attribution: "proven" | "unproven"): Recovery => {
    const address = addressOf(record)
    return address === undefined
      ? undetermined("masked", [record])
      : { _tag: "Recovered", issued: toIssued(calls, record, address), attribution }
  }

  const orphaned = (record: KeyRecord): Recovery => {
    const ref = Option.map(Option.fromUndefinedOr(addressOf(record)), calls.makeRef)
    return {
      _tag: "Orphaned",
      handle: record.handle,
      ref,
      revocable: Option.isSome(ref) && (driver.setStatus !== undefined || driver.remove !== undefined),
      inert: record.status === "disabled"
    }
  }

  const byMarker = (): Recovery => {
    const marked = listed.filter(({ name }) => name !== undefined && markerOf(name) === intent.marker)
    const [record, ...others] = marked
    if (others.length > 0) return undetermined("several", marked)
    if (record !== undefined) return recovery.secrets ? reread(record, "proven") : orphaned(record)
    const touched = listed.filter(({ name }) => name !== undefined && holdsMarker(name, intent.marker))
    const unnamed = listed.filter(({ name }) => name === undefined)
    // Without a snapshot nobody knows which keys are new; but where no name is shown at all, ours would not be seen either.
    const hidden = recovery.secrets && unnamed.length === listed.length
    const suspects = intent.snapshot === undefined ? (hidden ? unnamed : []) : unnamed.filter(isNew)
    const candidates = [...touched, ...suspects]
    return candidates.length === 0 ? nothing : undetermined("unnamed", candidates)
  }

  const byIdentity = (identity: string): Recovery => {
    const identityOf = recovery.identity ?? (() => undefined)
    const same = listed.filter((record) => identityOf(record) === identity)
    const [record, ...others] = same
    /** Whether a record shows the secret from before. */
    const isOld = (shown: KeyRecord): boolean =>
      addressOf(shown) !== undefined && (old === undefined ? shown.handle === intent.handle : shown.address === old)
    if (others.length > 0) return undetermined("several", same)
    if (record !== undefined && isOld(record)) return nothing
    if (record !== undefined) return reread(record, "unproven")
    const unnamed = listed.filter((record) => identityOf(record) === undefined)
    // The old secret is still listed, so that it was not rotated.
    if (unnamed.some(isOld)) return nothing
    const candidates = unnamed.filter(isNew)
    return candidates.length > 0 ? undetermined("unnamed", candidates) : undetermined("gone", [])
  }

  return intent.identity === undefined ? byMarker() : byIdentity(intent.identity)
}

/** The verbs around a mint: before it, and where its end is not known. */
export interface Recoveries {
  readonly prepareCreate: (snapshot: unknown) => Effect.Effect<MintIntent, ApiKeyError>
  readonly prepareRotate: (address: string, snapshot: unknown) => Effect.Effect<MintIntent, ApiKeyError>
  /** Of what has been checked. */
  readonly recover: (sought: Sought, sent: boolean) => Effect.Effect<Recovery, ApiKeyError>
}

export const make = (calls: DriverCalls): Recoveries => {
  const { checked, driver, failure, label, unsupported } = calls
  const { account, provider } = driver

  const readAll = Effect.fnUntraced(function* (
    verb: "prepare" | "recover",
    handle?: string
  ): Effect.fn.Return<ReadonlyArray<KeyRecord>, ApiKeyError> {
    if (driver.list === undefined) return yield* unsupported(verb, verb, handle)
    return yield* label(verb, handle)(Stream.runCollect(driver.list({})))
  })

  /** The failure where the list does not show what a recovery would need. */
  const notShown = (path: string, message: string, handle?: string) =>
    failure("prepare", new UnexpectedResponse({ problem: "body", issues: [{ path: [path], message }] }), handle)

  const now = Effect.map(Clock.currentTimeMillis, (millis) => DateTime.makeUnsafe(millis))

  const intentOf = Effect.fnUntraced(function* (
    verb: "create" | "rotate",
    snapshot: KeySnapshot | undefined,
    key: { readonly handle?: string; readonly identity?: string }
  ) {
    const marker = yield* makeMarker
    return new MintIntent({
      provider,
      account,
      verb,
      marker,
      ...key,
      ...(key.identity === undefined ? {} : { markerHandle: driver.handle(marker) }),
      ...(snapshot === undefined ? {} : { snapshot }),
      preparedAt: yield* now
    })
  })

  const snapshotOf = (listed: ReadonlyArray<KeyRecord>) =>
    Effect.map(
      now,
      (takenAt) => new KeySnapshot({ provider, account, takenAt, handles: listed.map(({ handle }) => handle) })
    )

  /** The snapshot that was given; else one of the list, which is read for it. */
  const snapshotFor = Effect.fnUntraced(function* (
    given: KeySnapshot | "none" | undefined,
    listed: Effect.Effect<ReadonlyArray<KeyRecord>, ApiKeyError>
  ) {
    if (given === "none") return undefined
    return given ?? (yield* snapshotOf(yield* listed))
  })

  /** Fails where a list that shows secrets would not show that of a new key, or not by its name. */
  const wouldShow = (listed: ReadonlyArray<KeyRecord>): Effect.Effect<void, ApiKeyError> => {
    if (listed.some(({ address }) => address === undefined)) {
      return Effect.fail(notShown("secret", "is masked in the list: that of a lost key could not be read there"))
    }
    return listed.length > 0 && listed.every(({ name }) => name === undefined)
      ? Effect.fail(notShown("name", "is not shown in the list: a lost key could not be told from the others"))
      : Effect.void
  }

  const prepareCreate: Recoveries["prepareCreate"] = Effect.fnUntraced(function* (snapshot) {
    const { mint, recovery } = driver
    if (recovery === undefined || !isPossible(driver)) return yield* unsupported("prepare", "prepare")
    if (mint === undefined) return yield* unsupported("prepare", "create")
    const given = yield* checked("prepare", undefined, Validate.checkSnapshot(driver, snapshot))
    const listed = Effect.tap(readAll("prepare"), (records) => (recovery.secrets ? wouldShow(records) : Effect.void))
    return yield* intentOf("create", yield* snapshotFor(given, listed), {})
  })

  /** Where a key is rotated in place, its record in the list, which a recovery finds it by. */
  const identify = Effect.fnUntraced(function* (
    recovery: RecoveryDriver,
    address: string,
    handle: string,
    listed: ReadonlyArray<KeyRecord>
  ): Effect.fn.Return<string, ApiKeyError> {
    const record = listed.find((candidate) => candidate.address === address)
    if (record === undefined) {
      // One of the masked keys may be ours: "not found" would be a guess.
      return yield* listed.some((candidate) => candidate.address === undefined)
        ? notShown("secret", "is masked in the list: the key cannot be told from the others", handle)
        : failure("prepare", new KeyNotFound(), handle)
    }
    const identity = recovery.identity?.(record)
    if (identity === undefined) {
      const message = "is not shown in the list: after a lost rotation, the key could not be told from the others"
      return yield* notShown("identity", message, handle)
    }
    if (record.status === "disabled") return yield* failure("prepare", new InvalidKeyState({}), handle)
    return identity
  })

  const prepareRotate: Recoveries["prepareRotate"] = Effect.fnUntraced(function* (address, snapshot) {
    const { recovery, rotation } = driver
    const handle = driver.handle(address)
    if (recovery === undefined || !isPossible(driver)) return yield* unsupported("prepare", "prepare", handle)
    if (rotation === undefined) return yield* unsupported("prepare", "rotate", handle)
    const given = yield* checked("prepare", handle, Validate.checkSnapshot(driver, snapshot))
    if ("successor" in rotation) {
      return yield* intentOf("rotate", yield* snapshotFor(given, readAll("prepare", handle)), { handle })
    }
    // A list without secrets says nothing of a lost one.
    if (!recovery.secrets) return yield* unsupported("prepare", "prepare", handle)
    const listed = yield* readAll("prepare", handle)
    const identity = yield* identify(recovery, address, handle, listed)
    return yield* intentOf("rotate", yield* snapshotFor(given, Effect.succeed(listed)), { handle, identity })
  })

  const recover: Recoveries["recover"] = Effect.fnUntraced(function* (sought, sent) {
    const { recovery } = driver
    const { handle } = sought.intent
    if (recovery === undefined || !isPossible(driver)) return yield* unsupported("recover", "recover", handle)
    return decide(calls, recovery, sought, yield* readAll("recover", handle), sent)
  })

  return { prepareCreate, prepareRotate, recover }
}
