/**
 * What every `VaultStore` must do, as data: run each case on a fresh, empty store, with any test runner.
 *
 * **Gotchas**
 *
 * The cases see a store from the outside, in one process. They cannot see
 *
 * - without `second`: a store that is right for one process alone, with a lock or a cache of its own. It loses keys as soon as
 *   there are two. Where it is to be one process's own, it must refuse the other, as `NodeSqlite` does;
 * - errors that hold what the database says. Make it fail with a row in hand, and look at everything of the error;
 * - writes that join a transaction of the caller, who can undo them after they returned. Write in one, and roll it back;
 * - whether a write that returned outlasts a loss of power, and what two writers do that do not meet in these few rounds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { VaultError } from "../VaultError.ts"
import { type SlotFilter, type SlotId, type StoredSlot, VaultStore } from "../VaultStore.ts"

/**
 * What the cases need to know of a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Opens one place, empty at first, each time it is built; for a store that outlasts its process. It is built twice, one
   * after the other, and apart from the store that the cases run on. Without it the case is skipped.
   */
  readonly reopen?: Layer.Layer<VaultStore, VaultError> | undefined
  /**
   * Opens the place of the case's own store once more, beside it, as another machine does; it is built in each case that needs it.
   * Writers then race through both, and each must see what the other wrote. Without it, a store that is right for one process
   * alone passes, and the case of two openings is skipped.
   */
  readonly second?: Layer.Layer<VaultStore, VaultError> | undefined
  /**
   * How many slots the longest list holds. Default 1100: more than two pages of the store, and than the thousand that some databases
   * give at most.
   */
  readonly many?: number | undefined
}

/**
 * A case found that the store does not conform.
 *
 * @since 0.1.0
 * @category errors
 */
export class NonConformance extends Schema.TaggedError<NonConformance>(
  "@effect-api-keys/rotation/testing/NonConformance"
)("NonConformance", { message: Schema.String }) {}

/**
 * One case.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case {
  readonly name: string
  /** Runs the case on a fresh store; fails with `NonConformance` where the store does not conform. */
  readonly run: Effect.Effect<"passed" | "skipped", NonConformance | VaultError, VaultStore>
}

type Store = VaultStore["Service"]

const expect = (condition: boolean, message: string): Effect.Effect<void, NonConformance> =>
  condition ? Effect.void : Effect.fail(new NonConformance({ message }))

const rowOf = (id: SlotId, version = 1, rest: Partial<StoredSlot> = {}): StoredSlot => ({
  account: id.account,
  slot: id.slot,
  version,
  document: `{"of":${JSON.stringify(id)},"version":${version}}`,
  fingerprints: [`k1.${version}`],
  open: false,
  ...rest
})

const sameRow = (a: StoredSlot, b: StoredSlot): boolean =>
  a.account === b.account &&
  a.slot === b.slot &&
  a.version === b.version &&
  a.document === b.document &&
  a.open === b.open &&
  [...new Set(a.fingerprints)].sort().join("\n") === [...new Set(b.fingerprints)].sort().join("\n")

const idText = ({ account, slot }: SlotId): string => JSON.stringify([account, slot])

const mail: SlotId = { account: "acme", slot: "tenant-42/mail" }

const write = (store: Store, row: StoredSlot) =>
  Effect.flatMap(store.write(row), (written) => expect(written, `version ${row.version} was not written`))

const refuse = (store: Store, row: StoredSlot, why: string) =>
  Effect.flatMap(store.write(row), (written) => expect(!written, `a write was taken although ${why}`))

const expectRow = (store: Store, row: StoredSlot, when = "after its write") =>
  Effect.flatMap(store.read(row), (found) =>
    expect(
      Option.exists(found, (found) => sameRow(found, row)),
      `${when}, version ${row.version} does not read as it was written`
    )
  )

const expectNone = (store: Store, id: SlotId) =>
  Effect.flatMap(store.read(id), (found) => expect(Option.isNone(found), "a slot reads that was never written"))

const expectFound = (store: Store, fingerprints: ReadonlyArray<string>, ids: ReadonlyArray<SlotId>, message: string) =>
  Effect.flatMap(store.find(fingerprints), (found) =>
    expect(found.map(idText).sort().join() === ids.map(idText).sort().join(), message)
  )

const list = (store: Store, filter: SlotFilter) => Stream.runCollect(store.list(filter))

const expectList = (store: Store, filter: SlotFilter, rows: ReadonlyArray<StoredSlot>, what: string) =>
  Effect.flatMap(list(store, filter), (found) =>
    expect(
      found.length === rows.length &&
        rows.every((row, index) => {
          const other = found[index]
          return other !== undefined && sameRow(row, other)
        }),
      `${what}: ${rows.length} slots were expected in order, and ${found.length} came`
    )
  )

const compareCodePoints = (a: string, b: string): number => {
  const [x, y] = [Array.from(a, (char) => char.codePointAt(0) ?? 0), Array.from(b, (char) => char.codePointAt(0) ?? 0)]
  const different = x.findIndex((code, index) => code !== y[index])
  return different === -1 ? x.length - y.length : (x[different] ?? 0) - (y[different] ?? -1)
}

const inOrder = <A extends SlotId>(ids: ReadonlyArray<A>): ReadonlyArray<A> =>
  [...ids].sort((a, b) => compareCodePoints(a.account, b.account) || compareCodePoints(a.slot, b.slot))

/** Names that a store must neither confuse, fold, trim nor take for syntax. */
const oddNames: ReadonlyArray<string> = [
  "a",
  "A",
  "B",
  "b",
  "a ",
  " a",
  "a\t",
  "a/b",
  "a%",
  "a_",
  "a'b",
  `a"b`,
  "a\\b",
  "a\\",
  "a;--",
  "$1",
  "?",
  "{}",
  "null",
  "0",
  "00",
  "1e3",
  "ä",
  "a\u0308",
  "ß",
  "ss",
  "ﬀ",
  "\u03a9",
  "\u2126",
  "\u{1f511}",
  "\u{1f511}\u{1f511}",
  "\ufffd",
  "\ue000",
  "\uffff",
  "\u{10ffff}",
  "\u202e",
  "日本語",
  "a".repeat(512),
  `${"a".repeat(511)}b`,
  "\u{1f511}".repeat(256)
]

/** Builds a layer anew: one that is remembered would give the store that is open already. */
const elsewhere = <A>(
  layer: Layer.Layer<VaultStore, VaultError>,
  use: (store: Store) => Effect.Effect<A, NonConformance | VaultError>
) => Effect.provide(Effect.flatMap(VaultStore, use), Layer.fresh(layer), { local: true })

/** How many slots are written while a list is read. */
const meanwhile = 60

/** The one whose turn it is. */
const turn = <A>(all: readonly [A, ...ReadonlyArray<A>], index: number): A => all[index % all.length] ?? all[0]

/**
 * Every case, for a store of which this is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cases = (options: Options = {}): ReadonlyArray<Case> => {
  const { many = 1100, reopen, second } = options

  const test = (
    name: string,
    run: (store: Store) => Effect.Effect<unknown, NonConformance | VaultError, VaultStore>
  ): Case => ({ name, run: Effect.as(Effect.flatMap(VaultStore, run), "passed" as const) })

  /** A case for every opening of the place that there is. */
  const testBoth = (
    name: string,
    run: (stores: readonly [Store, ...ReadonlyArray<Store>]) => Effect.Effect<unknown, NonConformance | VaultError>
  ): Case =>
    test(name, (store) => (second === undefined ? run([store]) : elsewhere(second, (other) => run([store, other]))))

  return [
    test("an empty store gives nothing", (store) =>
      Effect.gen(function* () {
        yield* expectNone(store, mail)
        yield* expectFound(store, ["k1.1"], [], "a fingerprint was found in an empty store")
        yield* expectFound(store, [], [], "something was found for no fingerprints")
        yield* expectList(store, {}, [], "the list of an empty store")
      })),

    test("what is written reads back, whole", (store) =>
      Effect.gen(function* () {
        for (const row of [
          rowOf(mail),
          rowOf(mail, 2, { open: true, fingerprints: [] }),
          rowOf(mail, 3, { fingerprints: ["k1.a", "k2.b", "k1.c"] }),
          rowOf(mail, 4, { document: "" }),
          rowOf(mail, 5, { document: `{"a":"\\u0000'\\"\\\\ \u2028\u{1f511}"}`, open: true })
        ]) {
          yield* write(store, row)
          yield* expectRow(store, row)
        }
      })),

    test("a fingerprint that is given twice is one", (store) =>
      Effect.gen(function* () {
        yield* write(store, rowOf(mail, 1, { fingerprints: ["k1.a", "k1.a", "k1.b"] }))
        yield* expectFound(store, ["k1.a", "k1.b", "k1.a"], [mail], "the slot was not found once")
      })),

    test("a slot is created once", (store) =>
      Effect.gen(function* () {
        const row = rowOf(mail)
        yield* write(store, row)
        yield* refuse(store, rowOf(mail, 1, { document: "{}", fingerprints: ["k1.other"] }), "the slot exists")
        yield* expectRow(store, row, "after a lost race")
        yield* expectFound(store, ["k1.other"], [], "a lost race left a fingerprint")
      })),

    test("a write needs the version before its own", (store) =>
      Effect.gen(function* () {
        for (const version of [0, -1, 2, 3, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER]) {
          yield* refuse(store, rowOf(mail, version), `there is no slot, and it is version ${version}`)
        }
        yield* expectNone(store, mail)
        yield* write(store, rowOf(mail, 1))
        const row = rowOf(mail, 2)
        yield* write(store, row)
        for (const version of [0, -1, 1, 2, 4, 5, 2.5, Number.NaN, Number.MAX_SAFE_INTEGER]) {
          const other = rowOf(mail, version, { document: "{}", fingerprints: ["k1.other"], open: true })
          yield* refuse(store, other, `the slot is at version 2, and it is version ${version}`)
        }
        yield* expectRow(store, row, "after writes of other versions")
        yield* expectFound(store, ["k1.other"], [], "a refused write left a fingerprint")
      })),

    ...[1, 2].map((version) =>
      testBoth(`of many writers at once exactly one wins, at version ${version}`, (stores) =>
        Effect.gen(function* () {
          const [store] = stores
          if (version === 2) yield* write(store, rowOf(mail, 1))
          const rows = Array.from({ length: 20 }, (_, writer) =>
            rowOf(mail, version, { document: `{"writer":${writer}}`, fingerprints: [`k1.w${writer}`] })
          )
          const written = yield* Effect.forEach(rows, (row, index) => turn(stores, index).write(row), {
            concurrency: "unbounded"
          })
          const winners = rows.filter((_, index) => written[index] === true)
          yield* expect(winners.length === 1, `${winners.length} of 20 writers won`)
          for (const row of winners) for (const one of stores) yield* expectRow(one, row, "after the race")
          const fingerprints = rows.flatMap((row) => row.fingerprints)
          yield* expectFound(store, fingerprints, [mail], "the fingerprints are not those of one slot")
          const losers = fingerprints.filter((_, index) => written[index] !== true)
          yield* expectFound(store, losers, [], "a loser's fingerprint was kept")
        })
      )
    ),

    test("writers of other slots do not disturb each other", (store) =>
      Effect.gen(function* () {
        const rows = Array.from({ length: 20 }, (_, index) => rowOf({ account: "acme", slot: `slot-${index}` }))
        const written = yield* Effect.forEach(rows, store.write, { concurrency: "unbounded" })
        yield* expect(written.every(Boolean), "a write of a slot of its own was refused")
        yield* Effect.forEach(rows, (row) => expectRow(store, row))
      })),

    testBoth("counting up with compare-and-set loses nothing", (stores) =>
      Effect.gen(function* () {
        yield* write(stores[0], rowOf(mail, 1, { document: "0" }))
        const increment = Effect.fnUntraced(function* (store: Store) {
          for (let attempt = 0; attempt < 200; attempt++) {
            const found = yield* store.read(mail)
            if (Option.isNone(found)) break
            const { document, version } = found.value
            if (yield* store.write(rowOf(mail, version + 1, { document: String(Number(document) + 1) }))) return
          }
          yield* expect(false, "no write was taken in 200 attempts")
        })
        yield* Effect.forEach(
          Array.from({ length: 10 }, (_, index) => turn(stores, index)),
          increment,
          { concurrency: "unbounded", discard: true }
        )
        for (const store of stores) {
          yield* expectRow(store, rowOf(mail, 11, { document: "10" }), "after ten increments")
        }
      })
    ),

    {
      name: "what is written through one opening of the place is seen through another",
      run:
        second === undefined
          ? Effect.succeed("skipped" as const)
          : Effect.flatMap(VaultStore, (store) =>
              elsewhere(second, (other) =>
                Effect.gen(function* () {
                  yield* expectNone(store, mail)
                  yield* expectNone(other, mail)
                  for (let version = 1; version <= 6; version += 2) {
                    for (const [one, another, next] of [
                      [store, other, version],
                      [other, store, version + 1]
                    ] as const) {
                      const row = rowOf(mail, next, { open: next % 3 !== 0 })
                      yield* write(one, row)
                      yield* expectRow(another, row, "through the other opening")
                      yield* refuse(
                        another,
                        rowOf(mail, next, { document: "{}" }),
                        "the other opening wrote this version"
                      )
                      yield* expectFound(another, row.fingerprints, [mail], "a fingerprint is not found by the other")
                      yield* expectFound(another, [`k1.${next - 1}`], [], "the other finds a fingerprint of before")
                      yield* expectList(another, {}, [row], "what the other opening lists")
                      yield* expectList(another, { open: true }, row.open ? [row] : [], "what the other lists as open")
                    }
                  }
                })
              )
            ).pipe(Effect.as("passed" as const))
    },

    test("find gives every slot that holds one of the fingerprints, and each once", (store) =>
      Effect.gen(function* () {
        const [first, second, third] = [mail, { account: "acme", slot: "b" }, { account: "other", slot: "b" }] as const
        yield* write(store, rowOf(first, 1, { fingerprints: ["k1.a", "k1.shared"] }))
        yield* write(store, rowOf(second, 1, { fingerprints: ["k1.b", "k1.shared"] }))
        yield* write(store, rowOf(third, 1, { fingerprints: ["k2.c"] }))
        yield* expectFound(store, ["k1.shared"], [first, second], "a fingerprint of two slots does not find both")
        yield* expectFound(store, ["k1.a", "k1.shared"], [first, second], "two fingerprints of a slot give it twice")
        yield* expectFound(store, ["k1.a", "k2.c", "k1.none"], [first, third], "several fingerprints do not find all")
        yield* expectFound(store, ["k1.A", "k1.", "k1.a ", "%"], [], "a fingerprint is found by another")
        const nearly = Array.from({ length: 1500 }, (_, index) => `k1.none${index}`)
        yield* expectFound(store, [...nearly, "k2.c"], [third], "one of very many fingerprints is not found")
      })),

    test("a fingerprint that a slot no longer holds does not find it", (store) =>
      Effect.gen(function* () {
        yield* write(store, rowOf(mail, 1, { fingerprints: ["k1.old", "k1.kept"] }))
        yield* write(store, rowOf(mail, 2, { fingerprints: ["k1.kept", "k1.new"] }))
        yield* expectFound(store, ["k1.old"], [], "a removed fingerprint finds the slot")
        yield* expectFound(store, ["k1.kept"], [mail], "a kept fingerprint does not find the slot")
        yield* expectFound(store, ["k1.new"], [mail], "a new fingerprint does not find the slot")
        yield* write(store, rowOf(mail, 3, { fingerprints: [] }))
        yield* expectFound(store, ["k1.old", "k1.kept", "k1.new"], [], "a slot without fingerprints is found")
      })),

    test("slots whose names read alike when put together are different ones", (store) =>
      Effect.gen(function* () {
        const rows = [
          ["a", "bc"],
          ["ab", "c"],
          ["a/b", "c"],
          ["a", "b/c"],
          [`a","b`, "c"],
          ["a", `b","c`],
          ["a\tb", "c"],
          ["a", "b\tc"]
        ].map(([account = "", slot = ""], index) => rowOf({ account, slot }, 1, { fingerprints: [`k1.${index}`] }))
        yield* Effect.forEach(rows, (row) => write(store, row))
        const [first] = rows
        if (first !== undefined) yield* write(store, { ...first, version: 2, fingerprints: [] })
        for (const row of rows.slice(1)) {
          yield* expectRow(store, row, "beside slots of like names")
          yield* expectFound(store, row.fingerprints, [row], "a fingerprint finds a slot of a like name")
        }
        yield* expectList(
          store,
          { account: "a" },
          inOrder((yield* list(store, {})).filter(({ account }) => account === "a")),
          "the slots of one account"
        )
      })),

    test("names are kept as they are, and ordered by code point", (store) =>
      Effect.gen(function* () {
        const ids = [
          ...oddNames.map((slot) => ({ account: "acme", slot })),
          ...oddNames.map((account) => ({ account, slot: "mail" })),
          { account: "a".repeat(512), slot: "\u{1f511}".repeat(256) },
          { account: "\u{1f511}".repeat(256), slot: "\u{1f510}".repeat(256) }
        ]
        const rows = ids.map((id, index) => rowOf(id, 1, { fingerprints: [`k1.${index}`], open: index % 3 === 0 }))
        yield* Effect.forEach(rows, (row) => write(store, row))
        yield* Effect.forEach(rows, (row) => expectRow(store, row))
        yield* Effect.forEach(rows, (row) => expectFound(store, row.fingerprints, [row], "a name is found as another"))
        yield* expectList(store, {}, inOrder(rows), "odd names")
        yield* expectList(store, { open: true }, inOrder(rows.filter(({ open }) => open)), "odd names that are open")
        for (const account of oddNames) {
          const own = rows.filter((row) => row.account === account)
          yield* expectList(store, { account }, inOrder(own), `the account ${JSON.stringify(account.slice(0, 20))}`)
        }
      })),

    test("what no store can keep is refused as Invalid", (store) =>
      Effect.gen(function* () {
        const rows: ReadonlyArray<StoredSlot> = [
          rowOf({ account: "a\0b", slot: "mail" }),
          rowOf({ account: "acme", slot: "\ud83d" }),
          rowOf({ account: "acme", slot: "a".repeat(3000) }),
          rowOf(mail, 1, { document: "a\0b" }),
          rowOf(mail, 1, { document: "\udd11" }),
          rowOf(mail, 1, { fingerprints: ["k1.\0"] }),
          rowOf(mail, 1, { fingerprints: ["a".repeat(600)] })
        ]
        for (const row of rows) {
          const problem = yield* Effect.match(store.write(row), {
            onFailure: ({ problem }) => problem,
            onSuccess: () => "success"
          })
          yield* expect(problem === "Invalid", `a row that cannot be kept ended as ${problem}`)
          yield* expectNone(store, row)
          yield* expectFound(store, row.fingerprints, [], "a refused row left a fingerprint")
          yield* expectList(store, { account: row.account }, [], "the account of a refused row")
        }
      })),

    test("a list of many pages holds each slot once", (store) =>
      Effect.gen(function* () {
        const rows = Array.from({ length: many }, (_, index) =>
          // Almost all are open, and of one account: so that the lists of these are long, too.
          rowOf({ account: `account-${index % 50 < 2 ? 2 * (index % 50) : 1}`, slot: `slot-${index}` }, 1, {
            open: index % 40 !== 0,
            fingerprints: [`k1.${index}`]
          })
        )
        yield* Effect.forEach(rows, (row) => write(store, row), { concurrency: 5, discard: true })
        yield* expectList(store, {}, inOrder(rows), "all slots")
        yield* expectList(store, { open: true }, inOrder(rows.filter(({ open }) => open)), "the open slots")
        const own = rows.filter(({ account }) => account === "account-1")
        yield* expectList(store, { account: "account-1" }, inOrder(own), "the slots of an account")
        yield* expectList(
          store,
          { account: "account-1", open: true },
          inOrder(own.filter(({ open }) => open)),
          "the open slots of an account"
        )
        yield* expectList(store, { account: "account-" }, [], "the slots of no account")
        const first = yield* Stream.runCollect(Stream.take(store.list({}), 3))
        yield* expect(first.length === 3, "a list cannot be left early")
      })),

    test("a slot may be written while it is listed", (store) =>
      Effect.gen(function* () {
        const rows = Array.from({ length: many }, (_, index) => rowOf({ account: "acme", slot: `slot-${index}` }))
        yield* Effect.forEach(rows, (row) => write(store, row), { concurrency: 5, discard: true })
        const seen: Array<string> = []
        yield* Stream.runForEach(store.list({}), (row) =>
          Effect.suspend(() =>
            seen.push(row.slot) > meanwhile ? Effect.void : write(store, { ...row, version: row.version + 1 })
          )
        )
        yield* expect(seen.length === many && new Set(seen).size === many, "a slot was left out, or came twice")
      })),

    test("what closes while it is listed keeps nothing else out of the list", (store) =>
      Effect.gen(function* () {
        const rows = Array.from({ length: many }, (_, index) =>
          rowOf({ account: "acme", slot: `slot-${index}` }, 1, { open: true })
        )
        yield* Effect.forEach(rows, (row) => write(store, row), { concurrency: 5, discard: true })
        const seen: Array<string> = []
        yield* Stream.runForEach(store.list({ open: true }), (row) =>
          Effect.suspend(() =>
            seen.push(row.slot) > meanwhile
              ? Effect.void
              : write(store, { ...row, version: row.version + 1, open: false })
          )
        )
        yield* expect(new Set(seen).size === many, `of ${many} open slots ${many - seen.length} were left out`)
        const left = yield* list(store, { open: true })
        yield* expect(left.length === Math.max(0, many - meanwhile), "a slot that was closed is listed as open")
      })),

    test("what is added while slots are listed makes none come twice, nor keeps one out", (store) =>
      Effect.gen(function* () {
        const rows = Array.from({ length: many }, (_, index) => rowOf({ account: "acme", slot: `slot-${index}` }))
        yield* Effect.forEach(rows, (row) => write(store, row), { concurrency: 5, discard: true })
        const seen: Array<string> = []
        yield* Stream.runForEach(store.list({}), ({ slot }) =>
          Effect.suspend(() => {
            const isNew = !slot.startsWith("slot-")
            if (!isNew) seen.push(slot)
            // They come before all others in the order.
            return isNew || seen.length > 150
              ? Effect.void
              : write(store, rowOf({ account: "acme", slot: `a-${slot}` }))
          })
        )
        yield* expect(new Set(seen).size === seen.length, "a slot came twice")
        yield* expect(seen.length === many, `of ${many} slots ${many - seen.length} were left out`)
      })),

    test("what closes leaves the list of what is open", (store) =>
      Effect.gen(function* () {
        yield* write(store, rowOf(mail, 1, { open: true }))
        yield* expectList(store, { open: true }, [rowOf(mail, 1, { open: true })], "an open slot")
        yield* write(store, rowOf(mail, 2, { open: false }))
        yield* expectList(store, { open: true }, [], "a slot that was closed")
        yield* write(store, rowOf(mail, 3, { open: true }))
        yield* expectList(store, { open: true }, [rowOf(mail, 3, { open: true })], "a slot that was opened again")
      })),

    test("a document of a megabyte is kept whole", (store) =>
      Effect.gen(function* () {
        const document = JSON.stringify({ text: "0123456789abcde\u{1f511}".repeat(60_000) })
        const fingerprints = Array.from({ length: 1200 }, (_, index) => `k1.${index}`)
        const row = rowOf(mail, 1, { document, fingerprints })
        yield* write(store, row)
        yield* expectRow(store, row)
        const next = rowOf(mail, 2, { document: `${document} ` })
        yield* write(store, next)
        yield* expectRow(store, next)
        yield* expectFound(store, ["k1.1199"], [], "a fingerprint of the version before finds the slot")
      })),

    test("a write that is interrupted took place whole, or not at all", (store) =>
      Effect.gen(function* () {
        let version = 1
        yield* write(store, rowOf(mail, version))
        for (let steps = 0; steps < 60; steps++) {
          const [old, next] = [rowOf(mail, version), rowOf(mail, version + 1)]
          const fiber = yield* Effect.forkChild(store.write(next))
          for (let step = 0; step < steps; step++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          const found = yield* store.read(mail)
          const written = Option.exists(found, (found) => sameRow(found, next))
          yield* expect(
            written || Option.exists(found, (found) => sameRow(found, old)),
            "an interrupted write left something else than the old or the new slot"
          )
          const kept = written ? next : old
          yield* expectFound(store, kept.fingerprints, [mail], "the slot's fingerprints do not go with it")
          yield* expectFound(
            store,
            (written ? old : next).fingerprints,
            [],
            "fingerprints of the other version are there"
          )
          version = kept.version
        }
        yield* write(store, rowOf(mail, version + 1))
      })),

    {
      name: "a store that is opened again still has everything",
      run:
        reopen === undefined
          ? Effect.succeed("skipped" as const)
          : Effect.gen(function* () {
              const rows = oddNames.map((slot, index) =>
                rowOf({ account: "acme", slot }, 1, { fingerprints: [`k1.${index}`], open: index % 2 === 0 })
              )
              yield* elsewhere(reopen, (store) => Effect.forEach(rows, (row) => write(store, row)))
              yield* elsewhere(reopen, (store) =>
                Effect.gen(function* () {
                  yield* expectList(store, {}, inOrder(rows), "all slots of a store that was opened again")
                  yield* Effect.forEach(rows, (row) =>
                    expectFound(store, row.fingerprints, [row], "a fingerprint is lost")
                  )
                  yield* refuse(store, rowOf({ account: "acme", slot: "a" }), "the slot was written before")
                  yield* write(store, rowOf({ account: "acme", slot: "a" }, 2))
                })
              )
              return "passed" as const
            })
    }
  ]
}
