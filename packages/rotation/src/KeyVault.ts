/**
 * Where keys are kept, and the fence of their rotations: a key is only taken in from whoever holds the latest epoch.
 *
 * @since 0.1.0
 */
import type { KeyRef } from "@effect-api-keys/core/ApiKey"
import type { MintIntent } from "@effect-api-keys/core/Recovery"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Document from "./internal/document.ts"
import * as Names from "./internal/names.ts"
import * as Seal from "./internal/seal.ts"
import * as Transitions from "./internal/transitions.ts"
import {
  type HeldKey,
  type IntentRecord,
  isOpen,
  type NewKey,
  type Orphan,
  type Outcome,
  type Problem,
  type Slot,
  type Step
} from "./Slot.ts"
import { VaultError, type VaultProblem } from "./VaultError.ts"
import { isStorable, type SlotFilter, type SlotId, type StoredSlot, storableNames, VaultStore } from "./VaultStore.ts"

export type {
  /**
   * What secrets are sealed with: the id of the key that seals from now on, and keys of 32 bytes in base64 by their ids.
   *
   * @since 0.1.0
   * @category models
   */
  SealingKeys
} from "./internal/seal.ts"

/**
 * What a key is taken in with that exists already.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adopted {
  readonly ref: KeyRef
  /** The printable handle, as `ApiKeyService.handle` gives it. */
  readonly handle: string
  /** None where nobody knows it any more: the first rotation makes one that is known. */
  readonly secret?: Redacted.Redacted<string> | undefined
}

/**
 * Where a leaked string was found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Match {
  readonly id: SlotId
  /** `orphan`: a key that the slot does not use, and that is not off yet, as far as is known. */
  readonly role: "current" | "pending" | "previous" | "orphan"
  readonly handle: string
}

/**
 * A vault of keys.
 *
 * **Details**
 *
 * Every operation on a slot is one compare-and-set of its document: it happens whole or not at all, and against what another
 * machine does at the same time. Operations of a rotation name it, and are refused as `Fenced` when the slot is not in it any
 * more. Each may be repeated: one that took place already changes nothing.
 *
 * @since 0.1.0
 * @category services
 */
export class KeyVault extends Context.Service<
  KeyVault,
  {
    /** What a slot holds; `NotFound` where there is none. */
    readonly read: (id: SlotId) => Effect.Effect<Slot, VaultError>
    /**
     * Takes in a key that exists already, in a slot of its own; `Taken` where the slot holds another key, or another secret of
     * this one, and where another slot holds this key: the rotation of one would shut off the key of the other. A secret is
     * added to a key that was taken in without.
     *
     * `replace` puts the key in the place of another, which someone has rotated or deleted at the vendor, or the right secret in
     * the place of a wrong one: not while a rotation is under way (`InProgress`), and only a key of the same account (`Taken`).
     */
    readonly adopt: (
      id: SlotId,
      key: Adopted,
      options?: { readonly replace?: boolean | undefined }
    ) => Effect.Effect<Slot, VaultError>
    /**
     * Forgets a slot and its key, whose ref is given as it was read; `Fenced` where the slot holds another by now, `InProgress`
     * where something of it is not done. What is left is its name and a count of its writes. The key itself lives on at the
     * vendor. The slot is none from then on, until a key is adopted in it.
     */
    readonly remove: (id: SlotId, ref: KeyRef) => Effect.Effect<void, VaultError>
    /**
     * Every slot, or those of an account, or those where something is not done; read in pages. One that cannot be read does not
     * keep the others back: when they have been given, it fails with `Unreadable`, and names it.
     */
    readonly slots: (filter?: SlotFilter) => Stream.Stream<Slot, VaultError>
    /** Like `slots`, with what cannot be read as `Unreadable` in its place. */
    readonly scan: (filter?: SlotFilter) => Stream.Stream<Result.Result<Slot, VaultError>, VaultError>
    /**
     * The slots that hold this string, which may have leaked, as the secret of a key, or as the address of one that was taken in
     * without. They are found by their hashes, and a slot that cannot be read is left out then, with a warning in the log. Where
     * no hash leads to the string, every slot is opened and looked at: none holds it where nothing is given, and where one cannot
     * be read, which may hold it, it fails with `Unreadable` and names it.
     */
    readonly match: (leaked: Redacted.Redacted<string>) => Effect.Effect<ReadonlyArray<Match>, VaultError>
    /**
     * Seals again, with the current sealing key, every slot that is sealed with another, or is not found by its hashes under it;
     * gives how many it was. May be cut off and run again. Every slot is opened. One that cannot be read is left as it is, and
     * when all others are done it fails with `Unreadable`, and names it: its sealing key is still needed.
     */
    readonly reseal: Effect.Effect<number, VaultError>

    /** Opens a rotation: `InProgress` where another is open, unless this one replaces a leaked key. */
    readonly begin: (id: SlotId, rotation: Transitions.Begin) => Effect.Effect<Slot, VaultError>
    /** Takes the next epoch; a key of an earlier one is refused from now on. */
    readonly claim: (id: SlotId, rotationId: string) => Effect.Effect<Slot, VaultError>
    /** Announces a mint before it is sent. */
    readonly intend: (
      id: SlotId,
      rotationId: string,
      epoch: number,
      intent: MintIntent
    ) => Effect.Effect<Slot, VaultError>
    /** Takes an intent out of the ledger: nothing can come of it any more. */
    readonly closeIntent: (id: SlotId, marker: string) => Effect.Effect<Slot, VaultError>
    /** Takes an intent out of the ledger whose mint was not sent, for certain; one that was sent `before` is as it was then. */
    readonly unsent: (
      id: SlotId,
      rotationId: string,
      marker: string,
      before?: IntentRecord
    ) => Effect.Effect<Slot, VaultError>
    /** Takes an intent out of the ledger on a person's word; whoever may still be minting with it is fenced. */
    readonly settleIntent: (id: SlotId, marker: string) => Effect.Effect<Slot, VaultError>
    /** Takes in a new key as pending; `Fenced` from whoever does not hold the latest epoch. */
    readonly put: (
      id: SlotId,
      rotationId: string,
      epoch: number,
      key: NewKey,
      marker: string
    ) => Effect.Effect<Slot, VaultError>
    /** Gives the pending key up: it is an orphan from now on. `Fenced` where it is pending no more. */
    readonly discardPending: (id: SlotId, rotationId: string, orphan: Orphan) => Effect.Effect<Slot, VaultError>
    /** The pending key becomes the current one, and that the previous one. */
    readonly promote: (id: SlotId, rotationId: string, epoch: number) => Effect.Effect<Slot, VaultError>
    /** Drops the previous key, which was shut off, or is written down as an orphan. */
    readonly dropPrevious: (id: SlotId, rotationId: string, orphan?: Orphan) => Effect.Effect<Slot, VaultError>
    /** Writes an orphan down, and takes the intent that it came from out of the ledger. */
    readonly addOrphan: (id: SlotId, orphan: Orphan, marker?: string) => Effect.Effect<Slot, VaultError>
    /** Takes an orphan out of the ledger: it is gone. */
    readonly closeOrphan: (id: SlotId, handle: string) => Effect.Effect<Slot, VaultError>

    /** Writes down what a step of a rotation found out. */
    readonly note: (id: SlotId, rotationId: string, notes: Transitions.Notes) => Effect.Effect<Slot, VaultError>
    /** Counts an attempt of a step that did not do. */
    readonly waited: (
      id: SlotId,
      rotationId: string,
      step: Step,
      problem: Problem,
      overdue: boolean
    ) => Effect.Effect<Slot, VaultError>
    /** Goes on from one step to another. */
    readonly advance: (id: SlotId, rotationId: string, from: Step, to: Step) => Effect.Effect<Slot, VaultError>
    /** The consumer has the new key. */
    readonly acknowledge: (id: SlotId, rotationId: string) => Effect.Effect<Slot, VaultError>
    /** Counts an execution of the workflow, where an earlier one was lost. */
    readonly rerun: (id: SlotId, rotationId: string, run: number) => Effect.Effect<Slot, VaultError>
    /** Ends a rotation where it is, on a person's word; its pending and previous keys go into the ledger. */
    readonly cancel: (id: SlotId, rotationId: string) => Effect.Effect<Slot, VaultError>
    /** Ends a rotation. */
    readonly end: (
      id: SlotId,
      rotationId: string,
      outcome: Outcome,
      problem?: Problem
    ) => Effect.Effect<Slot, VaultError>
  }
>()("@effect-api-keys/rotation/KeyVault") {
  /**
   * The vault, over the store in the context: `VaultStore.layerMemory`, `SqlVaultStore.layer`, or one of your own.
   *
   * **Example** (In memory)
   *
   * ```ts
   * import { KeyVault, VaultStore } from "@effect-api-keys/rotation"
   * import * as Layer from "effect/Layer"
   * import * as Redacted from "effect/Redacted"
   *
   * export const VaultLive = KeyVault.layer({
   *   sealingKeys: {
   *     current: "2026-11",
   *     keys: { "2026-11": Redacted.make("YXBpX3Rlc3Rfc2VhbGluZ19rZXlfMzJfYnl0ZXNfISE=") }
   *   }
   * }).pipe(Layer.provide(VaultStore.layerMemory))
   * ```
   *
   * @since 0.1.0
   */
  static layer(options: KeyVaultOptions): Layer.Layer<KeyVault, VaultError, VaultStore> {
    return Layer.effect(KeyVault, make(options))
  }
}

/**
 * The options of the vault.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyVaultOptions {
  /**
   * What secrets are sealed with (AES-256-GCM): keys of 32 bytes in base64, by ids of yours, and the id of the one that seals
   * what is written from now on. Keep the others until `reseal` has run.
   */
  readonly sealingKeys: Seal.SealingKeys
}

/**
 * A store that does not answer is asked again; a write that may have taken place is looked up first. For a new key that is not
 * taken in is lost.
 */
const retries = {
  while: VaultError.is("Unavailable"),
  schedule: Schedule.exponential("50 millis"),
  times: 3
}

/** How often a write may be overtaken by others in a row. */
const races = 20

/** After how many lost races there is a pause: so that whoever is quicker does not win them all. */
const patience = 3

const overtaken = "it changed with every attempt to write it"

/** The pause after a lost race, as long as chance will have it. */
const pauseAfter = (race: number): Effect.Effect<void> =>
  race < patience
    ? Effect.void
    : Effect.flatMap(Random.next, (share) => Effect.sleep(Duration.millis(share * Math.min(1000, 5 * 2 ** race))))

/** Why no slot can have this name; nothing where one can. */
const flawOfId = ({ account, slot }: SlotId): string | undefined => {
  if (!Names.isName(account) || !Names.isName(slot)) return `account and slot ${Names.rule}`
  return isStorable({ account, slot }) ? undefined : storableNames
}

/** What a key lacks that is to be taken in. Something was left out by mistake: an empty text is no secret. */
const flawOfKey = ({ handle, ref, secret }: Adopted): string | undefined => {
  if (handle === "") return "the handle is empty"
  if (Redacted.value(ref.value) === "") return "the key's address is empty"
  return secret !== undefined && Redacted.value(secret) === "" ? "the secret is empty" : undefined
}

const sameAddress = (a: HeldKey, b: HeldKey): boolean => Redacted.value(a.ref.value) === Redacted.value(b.ref.value)

const make = Effect.fnUntraced(function* (
  options: KeyVaultOptions
): Effect.fn.Return<KeyVault["Service"], VaultError, VaultStore> {
  const store = yield* VaultStore
  const sealer = yield* Seal.make(options.sealingKeys)

  const failure = (operation: string, problem: VaultProblem, id?: SlotId, detail?: string) =>
    new VaultError({
      operation,
      problem,
      ...(id === undefined ? {} : { account: id.account, slot: id.slot }),
      ...(detail === undefined ? {} : { detail })
    })

  /** Says of a store's or a seal's failure what the vault was asked for. */
  const during =
    (operation: string, id?: SlotId) =>
    <A, R>(effect: Effect.Effect<A, VaultError, R>): Effect.Effect<A, VaultError, R> =>
      Effect.mapError(effect, ({ detail, problem }) => failure(operation, problem, id, detail))

  const readRow = Effect.fnUntraced(function* (
    operation: string,
    id: SlotId
  ): Effect.fn.Return<Option.Option<StoredSlot>, VaultError> {
    const flaw = flawOfId(id)
    if (flaw !== undefined) return yield* failure(operation, "Invalid", undefined, flaw)
    return yield* during(operation, id)(Effect.retry(store.read(id), retries))
  })

  const readSlot = Effect.fnUntraced(function* (
    operation: string,
    id: SlotId
  ): Effect.fn.Return<{ readonly slot: Slot; readonly version: number }, VaultError> {
    const row = yield* readRow(operation, id)
    if (Option.isNone(row) || Document.isRemoved(row.value)) return yield* failure(operation, "NotFound", id)
    const slot = yield* during(operation, id)(Document.decode(sealer, row.value))
    return { slot, version: row.value.version }
  })

  const read = (id: SlotId) => Effect.map(readSlot("read", id), ({ slot }) => slot)

  /** Writes a row, and gives whether it is there: no two writes are of the same document, for each is sealed anew. */
  const write = (row: StoredSlot): Effect.Effect<boolean, VaultError> =>
    Effect.suspend(() => {
      // An earlier try that failed may have taken place all the same, even after it was looked for.
      let mayBeThere = false
      const look = Effect.map(
        store.read(row),
        Option.match({
          onNone: () => "absent" as const,
          onSome: ({ document, version }) =>
            document === row.document
              ? ("there" as const)
              : version >= row.version
                ? ("overtaken" as const)
                : ("absent" as const)
        })
      )
      const once: Effect.Effect<boolean, VaultError> = Effect.matchEffect(store.write(row), {
        onSuccess: (written) =>
          written || !mayBeThere ? Effect.succeed(written) : Effect.map(look, (found) => found === "there"),
        onFailure: (error) => {
          if (error.problem !== "Unavailable") return Effect.fail(error)
          mayBeThere = true
          return Effect.flatMap(look, (found) =>
            found === "absent" ? Effect.fail(error) : Effect.succeed(found === "there")
          )
        }
      })
      return Effect.retry(once, retries)
    })

  const writeSlot = (operation: string, slot: Slot, version: number): Effect.Effect<boolean, VaultError> =>
    during(operation, slot)(Effect.flatMap(Document.encode(sealer, slot, version), write))

  const modify = Effect.fnUntraced(function* (
    operation: string,
    id: SlotId,
    transition: Transitions.Transition
  ): Effect.fn.Return<Slot, VaultError> {
    for (let race = 0; race < races; race++) {
      const { slot, version } = yield* readSlot(operation, id)
      const next = transition(slot, yield* Clock.currentTimeMillis)
      if (Result.isFailure(next)) return yield* failure(operation, next.failure, id)
      if (next.success === slot || (yield* writeSlot(operation, next.success, version + 1))) return next.success
      yield* pauseAfter(race)
    }
    return yield* failure(operation, "Unavailable", id, overtaken)
  })

  /** Refuses a key that another slot holds, or is about to shut off. Of two that take it in at once, neither may see the other. */
  const refuseElsewhere = Effect.fnUntraced(function* (id: SlotId, ref: KeyRef) {
    const hashes = yield* Document.addressFingerprints(sealer, ref)
    const ids = yield* during("adopt", id)(Effect.retry(store.find(hashes), retries))
    for (const other of ids.filter(({ account, slot }) => account !== id.account || slot !== id.slot)) {
      const row = yield* readRow("adopt", other)
      if (Option.isNone(row) || Document.isRemoved(row.value)) continue
      const name = `the slot ${other.account}/${other.slot}`
      // One that cannot be read may be read by others, of a later version, and its rotation would go on.
      const slot = yield* Effect.mapError(Document.decode(sealer, row.value), ({ detail, problem }) =>
        failure("adopt", problem, other, `${name} may hold this key: ${detail ?? "it cannot be read"}`)
      )
      const role = Document.roleOf(slot, ref)
      if (role === undefined) continue
      const what = role === "orphan" ? "is to shut this key off" : `holds this key, as its ${role} one`
      return yield* failure("adopt", "Taken", id, `${name} ${what}`)
    }
  })

  const adopt: KeyVault["Service"]["adopt"] = Effect.fnUntraced(function* (id, key, { replace = false } = {}) {
    const flaw = flawOfKey(key)
    if (flaw !== undefined) return yield* failure("adopt", "Invalid", flawOfId(id) === undefined ? id : undefined, flaw)
    const { account: providerAccount, provider } = key.ref
    const current: HeldKey = {
      ref: key.ref,
      handle: key.handle,
      secret: Option.fromUndefinedOr(key.secret),
      epoch: 0,
      storedAt: yield* Clock.currentTimeMillis
    }
    const fresh: Slot = {
      account: id.account,
      slot: id.slot,
      provider,
      providerAccount,
      epoch: 0,
      current,
      pending: Option.none(),
      previous: Option.none(),
      rotation: Option.none(),
      intents: [],
      orphans: []
    }
    const row = yield* readRow("adopt", id)
    const held = Option.filter(row, (stored) => !Document.isRemoved(stored))
    const isNew = Option.isNone(held)
    const holds = isNew
      ? false
      : sameAddress((yield* during("adopt", id)(Document.decode(sealer, held.value))).current, current)
    if (isNew || (replace && !holds)) yield* refuseElsewhere(id, key.ref)
    const last = Option.match(row, { onNone: () => 0, onSome: ({ version }) => version })
    if (isNew && (yield* writeSlot("adopt", fresh, last + 1))) return fresh
    const putInPlace = Transitions.replaceCurrent(current)
    return yield* modify("adopt", id, (slot, now) => {
      const known = slot.provider === provider && slot.providerAccount === providerAccount
      if (!known || !sameAddress(slot.current, current)) return replace ? putInPlace(slot, now) : Result.fail("Taken")
      return withSecret(slot, current, replace)
    })
  })

  const remove: KeyVault["Service"]["remove"] = Effect.fnUntraced(function* (id, ref) {
    for (let race = 0; race < races; race++) {
      const row = yield* readRow("remove", id)
      if (Option.isNone(row)) return yield* failure("remove", "NotFound", id)
      if (Document.isRemoved(row.value)) return
      const slot = yield* during("remove", id)(Document.decode(sealer, row.value))
      const problem = Transitions.whyKept(slot, ref)
      if (problem !== undefined) return yield* failure("remove", problem, id)
      if (yield* during("remove", id)(write(Document.removed(id, row.value.version + 1)))) return
      yield* pauseAfter(race)
    }
    return yield* failure("remove", "Unavailable", id, overtaken)
  })

  const match = Effect.fnUntraced(function* (
    leaked: Redacted.Redacted<string>
  ): Effect.fn.Return<ReadonlyArray<Match>, VaultError> {
    const ids = yield* during("match")(Effect.retry(Effect.flatMap(sealer.fingerprints(leaked), store.find), retries))
    const read = yield* Effect.forEach(ids, (id) => Effect.result(readSlot("match", id)))
    const found = read.flatMap((slot) => (Result.isSuccess(slot) ? matchesIn(slot.success.slot, leaked) : []))
    const failures = read.flatMap((slot) => (Result.isFailure(slot) ? [slot.failure] : []))
    // One that was removed meanwhile holds nothing.
    const unread = failures.filter(({ problem }) => problem !== "NotFound")
    for (const error of unread) if (error.problem !== "Unreadable") return yield* error
    if (found.length === 0) return yield* matchEverywhere(leaked)
    yield* Effect.forEach(unread, warnUnread, { discard: true })
    return found
  })

  /**
   * Looks for a leaked string in every slot. Hashes are made under the keys that are given, and a slot that was sealed with another
   * has none of these: that it was not found says nothing.
   */
  const matchEverywhere = Effect.fnUntraced(function* (
    leaked: Redacted.Redacted<string>
  ): Effect.fn.Return<ReadonlyArray<Match>, VaultError> {
    const look = Effect.suspend(() => {
      const found: Array<Match> = []
      const unread: Array<VaultError> = []
      return Effect.as(
        Stream.runForEach(scan(), (slot) =>
          Effect.sync(() => {
            if (Result.isFailure(slot)) unread.push(slot.failure)
            else found.push(...matchesIn(slot.success, leaked))
          })
        ),
        { found, unread }
      )
    })
    const { found, unread } = yield* during("match")(Effect.retry(look, retries))
    const [first] = unread
    if (first !== undefined && found.length === 0) {
      const others = unread.length === 1 ? "" : `, and so may ${unread.length - 1} more that cannot be read`
      const detail = `it may hold the string${others}: ${first.detail ?? "it cannot be read"}`
      return yield* failure("match", "Unreadable", named(first), detail)
    }
    yield* Effect.forEach(unread, warnUnread, { discard: true })
    return found
  })

  const scan: KeyVault["Service"]["scan"] = (filter = {}) =>
    filter.account !== undefined && !Names.isName(filter.account)
      ? Stream.fail(failure("scan", "Invalid", undefined, `account ${Names.rule}`))
      : store.list(filter).pipe(
          Stream.filter((row) => !Document.isRemoved(row)),
          Stream.mapEffect((row) => Effect.result(during("scan", row)(Document.decode(sealer, row)))),
          Stream.filter((found) => filter.open !== true || Result.isFailure(found) || isOpen(found.success))
        )

  const slots: KeyVault["Service"]["slots"] = (filter) =>
    Stream.suspend(() => {
      let unreadable: VaultError | undefined
      return scan(filter).pipe(
        Stream.filterMap((found) => {
          if (Result.isFailure(found)) unreadable ??= found.failure
          return found
        }),
        Stream.concat(Stream.suspend(() => (unreadable === undefined ? Stream.empty : Stream.fail(unreadable))))
      )
    })

  const reseal = Effect.suspend(() => {
    let unreadable: VaultError | undefined
    const sealAgain = Effect.fnUntraced(
      function* (row: StoredSlot) {
        const done = yield* during("reseal", row)(Document.isUpToDate(sealer, options.sealingKeys.current, row))
        if (!done) yield* modify("reseal", row, (slot) => Result.succeed({ ...slot }))
        return !done
      },
      Effect.catchIf(VaultError.is("NotFound"), () => Effect.succeed(false)),
      Effect.catchIf(VaultError.is("Unreadable"), (error) => {
        unreadable ??= error
        return Effect.succeed(false)
      })
    )
    return store.list({}).pipe(
      Stream.filter((row) => !Document.isRemoved(row)),
      Stream.mapEffect(sealAgain),
      Stream.filter((sealed) => sealed),
      Stream.runCount,
      Effect.flatMap((count) => (unreadable === undefined ? Effect.succeed(count) : Effect.fail(unreadable)))
    )
  })

  return {
    read,
    adopt,
    remove,
    slots,
    scan,
    match,
    reseal,
    begin: (id, rotation) => modify("begin", id, Transitions.begin(rotation)),
    claim: (id, rotationId) => modify("claim", id, Transitions.claim(rotationId)),
    intend: (id, rotationId, epoch, intent) => modify("intend", id, Transitions.intend(rotationId, epoch, intent)),
    closeIntent: (id, marker) => modify("closeIntent", id, Transitions.closeIntent(marker)),
    unsent: (id, rotationId, marker, before) => modify("unsent", id, Transitions.unsent(rotationId, marker, before)),
    settleIntent: (id, marker) => modify("settleIntent", id, Transitions.settleIntent(marker)),
    put: (id, rotationId, epoch, key, marker) => modify("put", id, Transitions.put(rotationId, epoch, key, marker)),
    discardPending: (id, rotationId, orphan) =>
      modify("discardPending", id, Transitions.discardPending(rotationId, orphan)),
    promote: (id, rotationId, epoch) => modify("promote", id, Transitions.promote(rotationId, epoch)),
    dropPrevious: (id, rotationId, orphan) => modify("dropPrevious", id, Transitions.dropPrevious(rotationId, orphan)),
    addOrphan: (id, orphan, marker) => modify("addOrphan", id, Transitions.addOrphan(orphan, marker)),
    closeOrphan: (id, handle) => modify("closeOrphan", id, Transitions.closeOrphan(handle)),
    note: (id, rotationId, notes) => modify("note", id, Transitions.note(rotationId, notes)),
    waited: (id, rotationId, step, problem, overdue) =>
      modify("waited", id, Transitions.waited(rotationId, step, problem, overdue)),
    advance: (id, rotationId, from, to) => modify("advance", id, Transitions.advance(rotationId, from, to)),
    acknowledge: (id, rotationId) => modify("acknowledge", id, Transitions.acknowledge(rotationId)),
    rerun: (id, rotationId, run) => modify("rerun", id, Transitions.rerun(rotationId, run)),
    cancel: (id, rotationId) => modify("cancel", id, Transitions.cancel(rotationId)),
    end: (id, rotationId, outcome, problem) => modify("end", id, Transitions.end(rotationId, outcome, problem))
  }
})

const matchesIn = (slot: Slot, leaked: Redacted.Redacted<string>): ReadonlyArray<Match> =>
  Document.leakable(slot).flatMap(({ handle, role, value }) =>
    Redacted.value(value) === Redacted.value(leaked)
      ? [{ id: { account: slot.account, slot: slot.slot }, role, handle }]
      : []
  )

/** The slot that an error names, where it names one. */
const named = ({ account, slot }: VaultError): SlotId | undefined =>
  account === undefined || slot === undefined ? undefined : { account, slot }

const warnUnread = ({ account, slot }: VaultError): Effect.Effect<void> =>
  Effect.logWarning("a slot of the vault that may hold a leaked key cannot be read", { account, slot })

/** The slot's current key, with the secret that it is given now. */
const withSecret = (slot: Slot, { secret, storedAt }: HeldKey, replace: boolean): Result.Result<Slot, VaultProblem> => {
  if (Option.isNone(secret)) return Result.succeed(slot)
  if (Option.isNone(slot.current.secret)) return Result.succeed({ ...slot, current: { ...slot.current, secret } })
  if (Redacted.value(slot.current.secret.value) === Redacted.value(secret.value)) return Result.succeed(slot)
  if (!replace) return Result.fail("Taken")
  const isUnderWay = Option.exists(slot.rotation, (rotation) => !Transitions.isEnded(rotation))
  return isUnderWay || Option.isSome(slot.pending)
    ? Result.fail("InProgress")
    : Result.succeed({ ...slot, current: { ...slot.current, secret, storedAt } })
}
