import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { DatabaseSync } from "node:sqlite"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as SingleRunner from "effect/cluster/SingleRunner"
import * as Digest from "effect/crypto/Digest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import * as fc from "fast-check"
import * as Seal from "../src/internal/seal.ts"
import { NodeSqlite } from "../src/node/index.ts"
import * as SqlVaultStore from "../src/SqlVaultStore.ts"
import { VaultStore } from "../src/VaultStore.ts"
import { bytesBeside, freshFile } from "./files.ts"
import { bundled } from "./support/bundle.ts"

const program = bundled(new URL("./nodeSqlite.child.ts", import.meta.url))

const inMemory = NodeSqlite.layer({ filename: ":memory:" })

/** Opens a file for as long as the effect runs. */
const on = (filename: string, exclusive?: boolean) =>
  Effect.provide(NodeSqlite.layer({ filename, exclusive }), { local: true })

const opens = (filename: string) => Effect.exit(Effect.scoped(Layer.build(Layer.fresh(NodeSqlite.layer({ filename })))))

const failure = (filename: string) =>
  Effect.flip(Effect.scoped(Layer.build(Layer.fresh(NodeSqlite.layer({ filename })))))

/** Whether another process can open the file, and if not, what it is told. */
const opensElsewhere = (filename: string): string =>
  execFileSync(process.execPath, [program, "open", filename], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"]
  }).trim()

/** A process that says something, and the lines that it says. */
const start = (what: string, filename: string) => {
  const child: ChildProcess = spawn(process.execPath, [program, what, filename], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  if (child.stdout === null) throw new Error("the process has no output")
  return { child, ended, lines: createInterface({ input: child.stdout }) }
}

describe("statements", () => {
  it.effect("give rows, values and what they changed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)`
      assert.deepStrictEqual(yield* sql`INSERT INTO t (name) VALUES (${"a"})`, [])
      assert.deepInclude(yield* sql`INSERT INTO t (name) VALUES (${"b"})`.raw, { changes: 1, lastInsertRowid: 2 })
      assert.deepStrictEqual(
        (yield* sql`INSERT INTO t ${sql.insert([{ name: "c" }, { name: "d" }])} RETURNING id`).map((row) => ({
          ...row
        })),
        [{ id: 3 }, { id: 4 }]
      )
      assert.deepStrictEqual(yield* sql`SELECT id, name FROM t WHERE id < 3`.values, [
        [1, "a"],
        [2, "b"]
      ])
      const [row] = yield* sql`SELECT id, name FROM t`
      assert.deepStrictEqual({ ...row }, { id: 1, name: "a" })
      assert.strictEqual((yield* sql`SELECT id FROM t`.unprepared).length, 4)
      assert.deepStrictEqual(yield* sql`SELECT id FROM t`.values, [[1], [2], [3], [4]])
      const raw = yield* sql`SELECT id FROM t`.raw
      assert.strictEqual(Array.isArray(raw) ? raw.length : undefined, 4)
      assert.deepStrictEqual(yield* sql`UPDATE t SET name = 'z' WHERE id > 100`.values, [])
      // The same text, first as rows and then as values: what is prepared serves both.
      assert.deepStrictEqual({ ...(yield* sql`SELECT 1 AS one, 2 AS one`)[0] }, { one: 2 })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one, 2 AS one`.values, [[1, 2]])
      assert.deepStrictEqual({ ...(yield* sql`SELECT 1 AS one, 2 AS one`)[0] }, { one: 2 })
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("take parameters of every kind, and give them back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kinds = [
        [null, "null", null],
        [undefined, "null", null],
        [true, "integer", 1],
        [false, "integer", 0],
        [5, "integer", 5],
        [-0, "integer", 0],
        [2 ** 53 - 1, "integer", 2 ** 53 - 1],
        [1.5, "real", 1.5],
        [1e300, "real", 1e300],
        [7n, "integer", 7],
        ["text \u{1f511} '\"", "text", "text \u{1f511} '\""],
        [new Date(0), "text", "1970-01-01T00:00:00.000Z"],
        [new Uint8Array([0, 255, 1]), "blob", new Uint8Array([0, 255, 1])],
        [Buffer.from([0, 255, 1]), "blob", new Uint8Array([0, 255, 1])],
        [new Uint8Array([9, 0, 255, 9]).subarray(1, 3), "blob", new Uint8Array([0, 255])],
        [new Uint16Array([1]), "blob", new Uint8Array([1, 0])],
        [new Uint8Array([3]).buffer, "blob", new Uint8Array([3])]
      ] as const
      for (const [value, type, back] of kinds) {
        assert.deepStrictEqual(yield* sql`SELECT typeof(${value}), ${value}`.values, [[type, back]])
      }
      yield* sql`CREATE TABLE t (text TEXT)`
      yield* sql`INSERT INTO t VALUES (${5})`
      assert.deepStrictEqual(yield* sql`SELECT text FROM t`.values, [["5"]])
      for (const value of [{}, [1], Symbol.iterator, () => 1, new Date(Number.NaN), 2n ** 63n]) {
        assert.instanceOf(yield* Effect.flip(sql.unsafe("SELECT ?", [value])), SqlError)
      }
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("do not round integers: beyond 2^53 they are bigints, or cannot be read", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const large = 2n ** 62n + 1n
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`
      yield* sql`INSERT INTO t VALUES (${large})`
      assert.instanceOf(yield* Effect.flip(sql`SELECT id FROM t`), SqlError)
      const safe = Effect.provideService(SqlClient.SafeIntegers, true)
      assert.deepStrictEqual(yield* safe(sql`SELECT id FROM t`.values), [[large]])
      assert.deepStrictEqual(yield* sql`SELECT CAST(id AS TEXT) FROM t WHERE id = ${String(large)}`.values, [
        [`${large}`]
      ])
      assert.deepStrictEqual(yield* safe(sql`SELECT 1`.values), [[1n]])
      assert.deepStrictEqual(yield* sql`SELECT 1`.values, [[1]])
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("fail typed, by what was violated", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE parent (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL CHECK (name <> 'bad'))`
      yield* sql`CREATE TABLE child (parent TEXT REFERENCES parent (id))`
      yield* sql`INSERT INTO parent VALUES ('1', 'a')`
      const reason = (statement: Effect.Effect<unknown, SqlError>) =>
        Effect.map(Effect.flip(statement), ({ reason }) => reason)
      const unique = yield* reason(sql`INSERT INTO parent VALUES ('2', 'a')`)
      assert.deepStrictEqual(unique._tag === "UniqueViolation" ? unique.constraint : undefined, "parent.name")
      const primary = yield* reason(sql`INSERT INTO parent VALUES ('1', 'b')`)
      assert.deepStrictEqual(primary._tag === "UniqueViolation" ? primary.constraint : undefined, "parent.id")
      assert.strictEqual((yield* reason(sql`INSERT INTO parent VALUES ('2', NULL)`))._tag, "ConstraintError")
      assert.strictEqual((yield* reason(sql`INSERT INTO parent VALUES ('2', 'bad')`))._tag, "ConstraintError")
      assert.strictEqual((yield* reason(sql`INSERT INTO child VALUES ('none')`))._tag, "ConstraintError")
      assert.strictEqual((yield* reason(sql`SELEKT 1`))._tag, "UnknownError")
      assert.strictEqual((yield* reason(sql`SELEKT 1`.unprepared))._tag, "UnknownError")
      assert.strictEqual((yield* reason(sql`SELEKT 1`.values))._tag, "UnknownError")
      assert.strictEqual((yield* reason(Stream.runDrain(sql`SELEKT 1`.stream)))._tag, "UnknownError")
      const canary = "canary_Qv7"
      const error = yield* Effect.flip(sql`INSERT INTO parent VALUES (${canary}, 'a')`)
      assert.notInclude(inspect(error, { depth: null }), canary)
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("more texts than stay prepared all work", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (let round = 0; round < 2; round++) {
        for (let text = 0; text < 300; text++) {
          assert.deepStrictEqual(yield* sql.unsafe(`SELECT ${text}`).values, [[text]])
        }
      }
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("a stream leaves the connection to whoever consumes it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`
      yield* sql`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i FROM n`
      const copy = Stream.runForEach(
        sql<{ id: number }>`SELECT id FROM t ORDER BY id`.stream,
        ({ id }) => sql`INSERT INTO t VALUES (${-id})`
      )
      yield* copy
      assert.deepStrictEqual(yield* sql`SELECT count(*), sum(id) FROM t`.values, [[1000, 0]])
      yield* sql`DELETE FROM t WHERE id < 0`
      yield* sql.withTransaction(copy)
      assert.deepStrictEqual(yield* sql`SELECT count(*), sum(id) FROM t`.values, [[1000, 0]])
    }).pipe(Effect.provide(inMemory))
  )
})

describe("transactions", () => {
  const table = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY)`
    const insert = (id: number) => sql`INSERT INTO t VALUES (${id})`
    const ids = Effect.map(sql<{ id: number }>`SELECT id FROM t ORDER BY id`, (rows) => rows.map(({ id }) => id))
    return { sql, insert, ids }
  })

  it.effect("commit, roll back, and nest", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* table
      yield* sql.withTransaction(insert(1))
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert(2), Effect.fail("no"))))
      yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(3), Effect.die("no"))))
      yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(4), Effect.interrupt)))
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(5)
          yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert(6), Effect.fail("no"))))
          yield* sql.withTransaction(Effect.andThen(insert(7), sql.withTransaction(insert(8))))
        })
      )
      assert.deepStrictEqual(yield* ids, [1, 5, 7, 8])
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("of two fibers do not mix, nor with statements of a third", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* table
      const slow = (id: number, end: Effect.Effect<void, string>) =>
        Effect.gen(function* () {
          yield* insert(id)
          for (let step = 0; step < 20; step++) yield* Effect.yieldNow
          yield* end
        }).pipe(sql.withTransaction, Effect.ignore)
      yield* Effect.all(
        [
          slow(1, Effect.void),
          slow(2, Effect.fail("no")),
          ...Array.from({ length: 20 }, (_, index) =>
            Effect.gen(function* () {
              for (let step = 0; step < index; step++) yield* Effect.yieldNow
              yield* insert(100 + index)
              assert.notInclude(yield* ids, 2, "what is not committed was seen")
            })
          ),
          slow(3, Effect.fail("no"))
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* ids, [1, ...Array.from({ length: 20 }, (_, index) => 100 + index)])
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("that SQLite ended by itself take no further statement", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* table
      yield* insert(1)
      const exit = yield* Effect.exit(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* insert(2)
            // A program that goes on after a failure which, unlike most, undid everything.
            yield* Effect.ignore(sql`INSERT OR ROLLBACK INTO t VALUES (1)`)
            yield* Effect.ignore(insert(3))
          })
        )
      )
      assert.strictEqual(exit._tag, "Failure")
      assert.deepStrictEqual(yield* ids, [1])
      yield* sql.withTransaction(insert(4))
      assert.deepStrictEqual(yield* ids, [1, 4])
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("whose commit is refused leave a connection that works", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* table
      yield* sql`CREATE TABLE child (parent INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)`
      const error = yield* Effect.flip(
        sql.withTransaction(Effect.andThen(insert(1), sql`INSERT INTO child VALUES (99)`))
      )
      assert.strictEqual(error.reason._tag, "ConstraintError")
      assert.deepStrictEqual(yield* ids, [])
      yield* sql.withTransaction(insert(2))
      assert.deepStrictEqual(yield* ids, [2])
    }).pipe(Effect.provide(inMemory))
  )

  it.effect("that are waited for can be given up", () =>
    Effect.gen(function* () {
      const { ids, insert, sql } = yield* table
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const first = yield* Effect.forkChild(
        sql.withTransaction(
          Effect.andThen(insert(1), Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(go)))
        )
      )
      yield* Deferred.await(begun)
      const second = yield* Effect.forkChild(sql.withTransaction(insert(2)))
      const third = yield* Effect.forkChild(insert(3))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(third)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(first)
      assert.deepStrictEqual(yield* ids, [1])
    }).pipe(Effect.provide(inMemory))
  )
})

describe("the file", () => {
  it.effect("is private, and so is its journal", () =>
    Effect.gen(function* () {
      const file = freshFile()
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER)`
        const names = readdirSync(dirname(file))
        assert.deepStrictEqual(names.sort(), ["vault.sqlite", "vault.sqlite-wal"])
        for (const name of names) assert.strictEqual(statSync(join(dirname(file), name)).mode & 0o777, 0o600, name)
      }).pipe(on(file))
      assert.deepStrictEqual(readdirSync(dirname(file)), ["vault.sqlite"])
    })
  )

  it.effect("is not made where a link leads that leads nowhere: others could read it", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const [link, loop] = [join(dirname(file), "link"), join(dirname(file), "loop")]
      symlinkSync("vault.sqlite", link)
      symlinkSync("loop", loop)
      for (const name of [link, loop]) {
        const error = yield* failure(name)
        assert.strictEqual(error.reason._tag, "ConnectionError")
        assert.include(error.message, "is a link to a file that is not there")
      }
      assert.isFalse(existsSync(file))
      // One that leads somewhere is as good as the name, and as private.
      yield* opens(file)
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* opens(file))._tag, "Failure")
        for (const name of readdirSync(dirname(file)).filter((name) => name.startsWith("vault"))) {
          assert.strictEqual(statSync(join(dirname(file), name)).mode & 0o777, 0o600, name)
        }
      }).pipe(on(link))
    })
  )

  it.effect("keeps the rights that its owner gave it", () =>
    Effect.gen(function* () {
      const file = freshFile()
      yield* opens(file)
      chmodSync(file, 0o640)
      assert.strictEqual((yield* opens(file))._tag, "Success")
      assert.strictEqual(statSync(file).mode & 0o777, 0o640)
    })
  )

  it.effect("syncs every commit", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pragmas = [
        "journal_mode",
        "synchronous",
        "fullfsync",
        "checkpoint_fullfsync",
        "foreign_keys",
        "locking_mode"
      ]
      const values = yield* Effect.forEach(pragmas, (name) => sql.unsafe(`PRAGMA ${name}`).values)
      assert.deepStrictEqual(values.flat(2), ["wal", 2, 1, 1, 1, "exclusive"])
    }).pipe(on(freshFile()))
  )

  it.effect("that cannot be opened fails typed, and says what to look at", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const folder = join(dirname(file), "folder")
      mkdirSync(folder)
      const other = join(dirname(file), "text")
      writeFileSync(other, "this is no database. ".repeat(100))
      for (const path of [join(dirname(file), "none", "vault.sqlite"), folder, other, ""]) {
        const error = yield* failure(path)
        assert.strictEqual(error.reason._tag, "ConnectionError", path)
        assert.include(error.message, "cannot be opened")
      }
    })
  )

  it.effect("is a path, whatever it looks like", () =>
    Effect.gen(function* () {
      const file = freshFile("a?mode=memory&b#c%41.sqlite")
      yield* SqlClient.SqlClient.useSync((sql) => sql`CREATE TABLE t (id INTEGER)`).pipe(Effect.flatten, on(file))
      assert.deepStrictEqual(readdirSync(dirname(file)), ["a?mode=memory&b#c%41.sqlite"])
    })
  )
})

describe("one process", () => {
  it.effect("a second layer of this process is refused, and does not end the lock of the first", () =>
    Effect.gen(function* () {
      const file = freshFile()
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const error = yield* failure(file)
        assert.strictEqual(error.reason._tag, "LockTimeoutError")
        assert.include(error.message, "share its layer")
        assert.match(opensElsewhere(file), /^LockTimeoutError: .* is open already/)
        yield* sql`CREATE TABLE t (id INTEGER)`
      }).pipe(on(file))
      assert.strictEqual(opensElsewhere(file), "opened")
      assert.strictEqual((yield* opens(file))._tag, "Success")
    })
  )

  it.effect("another process is refused, whatever it asks with", () =>
    Effect.gen(function* () {
      const file = freshFile()
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER)`
        assert.match(opensElsewhere(file), /^LockTimeoutError/)
        const script = `try { new (require("node:sqlite").DatabaseSync)(process.argv[1]).prepare("SELECT * FROM t").all(); console.log("read") } catch (error) { console.log(error.errcode & 0xff) }`
        const read = execFileSync(process.execPath, ["-e", script, file], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"]
        })
        assert.strictEqual(read.trim(), "5")
      }).pipe(on(file))
    })
  )

  it.effect("whoever has the file open already keeps it", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const { child, ended, lines } = start("hold", file)
      const first = yield* Effect.promise(() => new Promise<string>((resolve) => lines.once("line", resolve)))
      assert.strictEqual(first, "opened")
      assert.strictEqual((yield* failure(file)).reason._tag, "LockTimeoutError")
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      // Nothing is left that would have to be cleared up.
      assert.strictEqual((yield* opens(file))._tag, "Success")
    })
  )

  it.effect("a reader without any claim does not get in the way for long", () =>
    Effect.gen(function* () {
      const file = freshFile()
      yield* SqlClient.SqlClient.useSync((sql) => sql`CREATE TABLE t (id INTEGER)`).pipe(Effect.flatten, on(file))
      const reader = new DatabaseSync(file)
      reader.exec("BEGIN; SELECT * FROM t")
      assert.strictEqual((yield* failure(file)).reason._tag, "LockTimeoutError")
      reader.close()
      assert.strictEqual((yield* opens(file))._tag, "Success")
    })
  )

  it.effect("several may share a file that is said to be shared", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const count = 20
      yield* SqlClient.SqlClient.useSync((sql) => sql`CREATE TABLE t (id INTEGER)`).pipe(
        Effect.flatten,
        on(file, false)
      )
      const writer = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (let id = 0; id < count; id++) yield* sql.withTransaction(sql`INSERT INTO t VALUES (${id})`)
      }).pipe(on(file, false))
      yield* Effect.all([writer, writer], { concurrency: "unbounded" })
      const rows = yield* SqlClient.SqlClient.useSync((sql) => sql`SELECT count(*) FROM t`.values).pipe(
        Effect.flatten,
        on(file)
      )
      assert.deepStrictEqual(rows, [[2 * count]])
    })
  )
})

describe("SIGKILL", () => {
  it.effect(
    "in a loop of writes loses nothing that was written",
    () =>
      Effect.gen(function* () {
        const file = freshFile()
        for (let kill = 0; kill < 5; kill++) {
          const { child, ended, lines } = start("write", file)
          let last = 0
          // Killed by the line, so that each run ends somewhere else in the work of writing.
          let before = 3 + ((kill * 17) % 40)
          lines.on("line", (line) => {
            last = Number(line)
            if (--before === 0) child.kill("SIGKILL")
          })
          yield* Effect.promise(() => ended)
          assert.isAbove(last, 0, "the process wrote nothing")
          yield* Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            assert.deepStrictEqual(yield* sql`PRAGMA integrity_check`.values, [["ok"]])
            const store = yield* VaultStore
            const { account, document, fingerprints, slot, version } = Option.getOrThrow(
              yield* store.read({ account: "acme", slot: "mail" })
            )
            assert.isAtLeast(version, last)
            assert.isAtMost(version, last + 1)
            assert.strictEqual(JSON.parse(document).version, version)
            assert.deepStrictEqual(yield* store.find(fingerprints), [{ account, slot }])
            assert.deepStrictEqual(yield* sql`SELECT count(*) FROM api_keys_vault_fingerprints`.values, [[2]])
          }).pipe(
            Effect.provide(SqlVaultStore.layer().pipe(Layer.provideMerge(NodeSqlite.layer({ filename: file }))), {
              local: true
            })
          )
        }
      }),
    60_000
  )
})

describe("Effect's cluster", () => {
  it.effect("a workflow sleeps in the file, and ends in the runner after", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const ran: Array<string> = []
      const Flow = Workflow.make("rotation/test/Flow", {
        payload: { id: Schema.String },
        success: Schema.String,
        idempotencyKey: ({ id }) => id
      })
      const flow = Flow.toLayer(({ id }) =>
        Effect.gen(function* () {
          yield* Activity.make({ name: "before", execute: Effect.sync(() => void ran.push("before")) })
          yield* DurableClock.sleep({ name: "overlap", duration: "1 hour" })
          yield* Activity.make({ name: "after", execute: Effect.sync(() => void ran.push("after")) })
          return `done ${id}`
        })
      )
      const runner = flow.pipe(
        Layer.provideMerge(ClusterWorkflowEngine.layer),
        Layer.provide(SingleRunner.layer({ shardingConfig: { entityMessagePollInterval: "1 minute" } })),
        Layer.provide(Digest.layerWebCrypto),
        Layer.provideMerge(NodeSqlite.layer({ filename: file }))
      )
      const step = Effect.andThen(
        Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve))),
        TestClock.adjust("20 seconds")
      )
      const id = yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const id = yield* Flow.execute({ id: "one" }, { discard: true })
        for (let steps = 0; steps < 100; steps++) {
          const [row] = yield* sql<{ n: number }>`
            SELECT count(*) AS n FROM cluster_messages WHERE deliver_at IS NOT NULL`
          if (row?.n === 1) return id
          yield* step
        }
        return assert.fail("the workflow did not go to sleep")
      }).pipe(Effect.provide(runner, { local: true }))
      assert.deepStrictEqual(ran, ["before"])
      const result = yield* Effect.gen(function* () {
        for (let steps = 0; steps < 1000; steps++) {
          const polled = yield* Flow.poll(id)
          if (Option.isSome(polled) && polled.value._tag === "Complete") return yield* polled.value.exit
          yield* step
        }
        return assert.fail("the workflow did not end")
      }).pipe(Effect.provide(runner, { local: true }))
      assert.strictEqual(result, "done one")
      assert.deepStrictEqual(ran, ["before", "after"])
      assert.strictEqual((yield* opens(file))._tag, "Success")
    })
  )
})

describe("secrets in the file", () => {
  /** How a secret may look in a file: as it is, as bytes of UTF-16, in hex, in base64 at each offset, and escaped. */
  const formsOf = (secret: string): ReadonlyArray<readonly [form: string, bytes: Buffer]> => {
    const bytes = Buffer.from(secret)
    const base64 = [0, 1, 2].map((shift) =>
      Buffer.concat([Buffer.alloc(shift), bytes])
        .toString("base64")
        // The ends hang on what stands beside the secret.
        .slice(Math.ceil((shift * 4) / 3), -4)
    )
    return [
      ["plain", bytes],
      ["reversed", Buffer.from([...secret].reverse().join(""))],
      ["UTF-16", Buffer.from(secret, "utf16le")],
      ["hex", Buffer.from(bytes.toString("hex"))],
      ["HEX", Buffer.from(bytes.toString("hex").toUpperCase())],
      ...base64.flatMap((text) => [
        ["base64", Buffer.from(text)] as const,
        ["base64url", Buffer.from(text.replaceAll("+", "-").replaceAll("/", "_"))] as const
      ]),
      ["JSON", Buffer.from(JSON.stringify(secret).slice(1, -1))],
      ["JSON in JSON", Buffer.from(JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1))],
      ["URL", Buffer.from(encodeURIComponent(secret))],
      ["\\u", Buffer.from([...secret].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""))]
    ]
  }
  /** In which files, and in which form, a secret stands. */
  const findIn = (files: ReadonlyMap<string, Buffer>, secret: string): ReadonlyArray<string> =>
    [...files].flatMap(([name, bytes]) =>
      formsOf(secret).flatMap(([form, needle]) => (bytes.includes(needle) ? [`${name}: ${form}`] : []))
    )

  const secret = `api_test_canary_"Qv7"\\+/?ü=${"k".repeat(20)}`
  const keys = Seal.make({ current: "k1", keys: { k1: Redacted.make(Buffer.alloc(32, 7).toString("base64")) } })
  const row = { account: "acme", slot: "mail", version: 1, fingerprints: [], open: false }

  const filesWith = (exclusive: boolean, documents: ReadonlyArray<string>, fingerprints: ReadonlyArray<string> = []) =>
    Effect.gen(function* () {
      const file = freshFile()
      const files = yield* Effect.gen(function* () {
        const store = yield* VaultStore
        for (const [index, document] of documents.entries()) {
          yield* store.write({ ...row, version: index + 1, document, fingerprints })
        }
        return bytesBeside(file)
      }).pipe(
        Effect.provide(SqlVaultStore.layer().pipe(Layer.provide(NodeSqlite.layer({ filename: file, exclusive }))), {
          local: true
        })
      )
      const closed = bytesBeside(file)
      return { open: files, closed }
    })

  it.effect("one that was planted is found, in every form", () =>
    Effect.gen(function* () {
      const file = freshFile()
      const open = yield* SqlClient.SqlClient.use((sql) =>
        Effect.gen(function* () {
          yield* sql`CREATE TABLE t (bytes BLOB)`
          for (const [, bytes] of formsOf(secret)) {
            yield* sql`INSERT INTO t VALUES (${Buffer.concat([Buffer.from("<"), bytes, Buffer.from(">")])})`
          }
          return bytesBeside(file)
        })
      ).pipe(on(file))
      const [inLog, inFile] = [findIn(open, secret), findIn(bytesBeside(file), secret)]
      for (const [form] of formsOf(secret)) {
        assert.include(inLog, `vault.sqlite-wal: ${form}`)
        assert.include(inFile, `vault.sqlite: ${form}`)
      }
    })
  )

  it.effect("one that the store was given in clear is found", () =>
    Effect.gen(function* () {
      const { closed, open } = yield* filesWith(true, [JSON.stringify({ secret })])
      assert.include(findIn(open, secret), "vault.sqlite-wal: JSON")
      assert.include(findIn(closed, secret), "vault.sqlite: JSON")
    })
  )

  it.effect("one that was overwritten is found while it is in the journal", () =>
    Effect.gen(function* () {
      const { open } = yield* filesWith(true, [secret, "nothing"])
      assert.include(findIn(open, secret), "vault.sqlite-wal: plain")
    })
  )

  for (const exclusive of [true, false]) {
    it.effect(`one that was sealed is not, in any file (${exclusive ? "exclusive" : "shared"})`, () =>
      Effect.gen(function* () {
        const sealer = yield* keys
        const held = Redacted.make(secret)
        const documents = yield* Effect.forEach([1, 2, 3], (epoch) =>
          Effect.map(sealer.seal(secret, ["key", "acme", "mail", epoch]), (sealed) => JSON.stringify({ epoch, sealed }))
        )
        const { closed, open } = yield* filesWith(exclusive, documents, yield* sealer.fingerprints(held))
        assert.deepStrictEqual(
          [...open.keys()].sort(),
          ["vault.sqlite", "vault.sqlite-shm", "vault.sqlite-wal"].filter((name) => !exclusive || !name.endsWith("shm"))
        )
        assert.deepStrictEqual(findIn(open, secret), [])
        assert.deepStrictEqual(findIn(closed, secret), [])
        // That the search looks at the right files: what was written stands there.
        assert.isTrue([...open.values()].some((bytes) => bytes.includes("v1.k1.")))
      })
    )
  }
})

describe("texts", () => {
  it.effect("of any kind come back as they were", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT, bytes BLOB)`
      const texts = fc.sample(
        fc.string({ unit: "binary" }).filter((text) => !text.includes("\0")),
        200
      )
      const blobs = fc.sample(fc.uint8Array({ maxLength: 200 }), 200)
      for (const [index, text] of texts.entries()) {
        const bytes = blobs[index] ?? new Uint8Array()
        yield* sql`INSERT INTO t VALUES (${index}, ${text}, ${bytes})`
        assert.deepStrictEqual(yield* sql`SELECT text, bytes FROM t WHERE id = ${index}`.values, [[text, bytes]])
      }
    }).pipe(Effect.provide(inMemory))
  )
})
