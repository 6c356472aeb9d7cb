/** The conformance suite finds stores that lose keys, and the README's own store passes it. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { afterAll } from "vitest"
import { VaultConformance } from "../src/testing/index.ts"
import { isStorable, makeMemory, notStorable, type SlotId, type StoredSlot, VaultStore } from "../src/VaultStore.ts"
import { conformanceOn } from "./conformanceOn.ts"

type Store = VaultStore["Service"]

const keyOf = ({ account, slot }: SlotId): string => JSON.stringify([account, slot])

const compareBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const inOrder = (rows: Iterable<StoredSlot>): ReadonlyArray<StoredSlot> =>
  [...rows].sort((a, b) => compareBytes(a.account, b.account) || compareBytes(a.slot, b.slot))

/** Opens a place, each time it is run. */
type Open = Effect.Effect<Store>

/** The names of the cases that a store does not pass. `make` makes a place, and gives how to open it. */
const caught = Effect.fnUntraced(function* (make: Effect.Effect<Open>, given: { readonly alone?: boolean } = {}) {
  let open: Open = Effect.die("no case is running")
  const options =
    given.alone === true
      ? {}
      : {
          second: Layer.effect(
            VaultStore,
            Effect.suspend(() => open)
          )
        }
  const names: Array<string> = []
  for (const { name, run } of VaultConformance.cases(options)) {
    open = yield* make
    const result = yield* Effect.result(Effect.provideService(run, VaultStore, yield* open))
    if (Result.isFailure(result)) names.push(name)
  }
  return names
})

/** A store that is right, but for what is changed in it; each opening changes it anew. */
const spoilt = (change: (store: Store) => Effect.Effect<Partial<Store>>): Effect.Effect<Open> =>
  Effect.map(makeMemory, (store) => Effect.map(change(store), (changed) => ({ ...store, ...changed })))

/** Reads and then writes, one after the other in a process: what another process writes in between is lost. */
const lockedInOneProcess = Effect.sync(() => {
  const rows = new Map<string, StoredSlot>()
  return Effect.map(
    Semaphore.make(1),
    (lock): Store => ({
      read: (id) => Effect.sync(() => Option.fromUndefinedOr(rows.get(keyOf(id)))),
      write: (row) =>
        !isStorable(row)
          ? Effect.fail(notStorable(row))
          : lock.withPermits(1)(
              Effect.gen(function* () {
                const version = rows.get(keyOf(row))?.version ?? 0
                yield* Effect.yieldNow
                yield* Effect.yieldNow
                if (version !== row.version - 1) return false
                rows.set(keyOf(row), row)
                return true
              })
            ),
      find: (fingerprints) =>
        Effect.sync(() =>
          inOrder(rows.values())
            .filter((row) => row.fingerprints.some((one) => fingerprints.includes(one)))
            .map(({ account, slot }) => ({ account, slot }))
        ),
      list: ({ account, open }) =>
        Stream.suspend(() =>
          Stream.fromIterable(
            inOrder(rows.values()).filter(
              (row) => (account ?? row.account) === row.account && (open !== true || row.open)
            )
          )
        )
    })
  )
})

/** Each opening remembers what it wrote, and does not ask whether another has written since. */
const cached = spoilt((store) =>
  Effect.sync(() => {
    const own = new Map<string, StoredSlot>()
    return {
      read: (id) => {
        const row = own.get(keyOf(id))
        return row === undefined ? store.read(id) : Effect.succeed(Option.some(row))
      },
      write: (row) =>
        Effect.tap(store.write(row), (written) =>
          Effect.sync(() => {
            if (written) own.set(keyOf(row), row)
          })
        )
    }
  })
)

/** Pages that are counted from the first row: each row that leaves the list hides one on the next page. */
const pagedByOffset = spoilt((store) =>
  Effect.succeed({
    list: (filter) =>
      Stream.paginate(0, (offset: number) =>
        Effect.map(
          Stream.runCollect(Stream.take(Stream.drop(store.list(filter), offset), 50)),
          (rows) => [rows, rows.length < 50 ? Option.none() : Option.some(offset + 50)] as const
        )
      )
  })
)

/** Gives a thousand rows, and does not say that there are more. */
const capped = spoilt((store) => Effect.succeed({ list: (filter) => Stream.take(store.list(filter), 1000) }))

/** As `capped`, where the filter is the database's. */
const cappedUnlessAll = spoilt((store) =>
  Effect.succeed({
    list: (filter) => (filter.open === true ? Stream.take(store.list(filter), 1000) : store.list(filter))
  })
)

/** Gives a slot for each of its fingerprints. */
const foundTwice = spoilt((store) =>
  Effect.succeed({
    find: (fingerprints) =>
      Effect.map(
        Effect.forEach(fingerprints, (one) => store.find([one])),
        (ids) => ids.flat()
      )
  })
)

describe("the conformance suite", () => {
  const races = [
    "of many writers at once exactly one wins, at version 1",
    "of many writers at once exactly one wins, at version 2",
    "counting up with compare-and-set loses nothing"
  ]
  const seen = "what is written through one opening of the place is seen through another"
  const mutants: ReadonlyArray<readonly [string, Effect.Effect<Open>, ReadonlyArray<string>]> = [
    ["reads and then writes, behind a lock of one process", lockedInOneProcess, races],
    ["has a cache for each process", cached, [seen]],
    [
      "counts its pages from the first row",
      pagedByOffset,
      [
        "what closes while it is listed keeps nothing else out of the list",
        "what is added while slots are listed makes none come twice, nor keeps one out"
      ]
    ],
    ["gives a thousand rows at most", capped, ["a list of many pages holds each slot once"]],
    ["gives a thousand open rows at most", cappedUnlessAll, ["a list of many pages holds each slot once"]],
    [
      "finds a slot once for each fingerprint",
      foundTwice,
      ["find gives every slot that holds one of the fingerprints, and each once"]
    ]
  ]
  for (const [name, make, expected] of mutants) {
    it.live(`finds a store that ${name}`, () =>
      Effect.gen(function* () {
        const names = yield* caught(make)
        assert.includeMembers(names, [...expected])
      })
    )
  }

  it.live("passes what is right, also through two openings; and without the second, what one process cannot see", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* caught(spoilt(() => Effect.succeed({}))), [])
      assert.deepStrictEqual(yield* caught(lockedInOneProcess, { alone: true }), [])
    })
  )
})

describe("the README's store", () => {
  const readme = readFileSync(fileURLToPath(new URL("../README.md", import.meta.url)), "utf8")
  const [, code = ""] = /<!-- file: store\.ts -->\n```ts\n(.*?)\n```/s.exec(readme) ?? []
  const folder = mkdtempSync(join(tmpdir(), "api-keys-readme-"))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  // Beside it lies what it imports.
  symlinkSync(fileURLToPath(new URL("../../../node_modules", import.meta.url)), join(folder, "node_modules"))
  writeFileSync(join(folder, "store.ts"), code)

  /** A table as the README asks for. */
  const makeTable = () => {
    const rows = new Map<string, StoredSlot>()
    return {
      get: async (account: string, slot: string) => rows.get(keyOf({ account, slot })),
      putIfVersion: async (row: StoredSlot, version: number) => {
        if ((rows.get(keyOf(row))?.version ?? 0) !== version) return false
        rows.set(keyOf(row), row)
        return true
      },
      byFingerprint: async (fingerprint: string) =>
        [...rows.values()].filter(({ fingerprints }) => fingerprints.includes(fingerprint)),
      async *all() {
        yield* inOrder(rows.values())
      }
    }
  }

  type Layers = { readonly layer: (table: ReturnType<typeof makeTable>) => Layer.Layer<VaultStore> }
  let table = makeTable()
  const layer = Layer.unwrap(
    Effect.promise(async () => {
      // The file is the README's text, whose type nobody knows here.
      const module = (await import(join(folder, "store.ts"))) as Layers
      return module.layer(table)
    })
  )
  conformanceOn(
    "the README's store",
    () => {
      table = makeTable()
      return layer
    },
    { reopen: layer, second: layer }
  )
})
