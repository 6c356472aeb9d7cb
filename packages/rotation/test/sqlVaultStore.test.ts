import { inspect } from "node:util"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import { AuthorizationError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as Tracer from "effect/Tracer"
import { afterAll, beforeAll } from "vitest"
import * as SqlFault from "../src/internal/sqlFault.ts"
import { NodeSqlite } from "../src/node/index.ts"
import * as SqlVaultStore from "../src/SqlVaultStore.ts"
import { VaultError } from "../src/VaultError.ts"
import * as VaultStore from "../src/VaultStore.ts"
import { conformanceOn } from "./conformanceOn.ts"
import { freshFile } from "./files.ts"
import * as Postgres from "./postgres.ts"

const onFile = (filename: string, options?: SqlVaultStore.SqlVaultStoreOptions) =>
  SqlVaultStore.layer(options).pipe(Layer.provideMerge(NodeSqlite.layer({ filename })), Layer.orDie)

const row: VaultStore.StoredSlot = {
  account: "acme",
  slot: "mail",
  version: 1,
  document: `{"note":"api_test_document"}`,
  fingerprints: ["k1.api_test_fingerprint"],
  open: false
}

conformanceOn("memory", () => VaultStore.layerMemory)
const prefixed = () => onFile(freshFile(), { prefix: "tenant_42" })
conformanceOn("a SQLite file, with a prefix", prefixed, { reopen: prefixed(), many: 120 })

const problemOf = <A, R>(effect: Effect.Effect<A, VaultError, R>) =>
  Effect.match(effect, { onFailure: ({ problem }) => problem, onSuccess: () => "success" as const })

describe("the tables", () => {
  it.effect("names that no table may have are refused", () =>
    Effect.gen(function* () {
      for (const prefix of [
        "",
        "a-b",
        `a"b`,
        "a b",
        "a.b",
        "ä",
        "a\n",
        "sqlite",
        "sqlite_x",
        "Vault",
        "a".repeat(41),
        "a;--"
      ]) {
        const store = SqlVaultStore.make({ prefix }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
        assert.strictEqual(yield* problemOf(Effect.catchTag(store, "SqlError", Effect.die)), "Invalid", prefix)
      }
    })
  )

  it.effect("two prefixes of one file are two stores, and a prefix that is opened again is the same", () =>
    Effect.gen(function* () {
      const store = yield* SqlVaultStore.make({ prefix: "a".repeat(40) })
      const other = yield* SqlVaultStore.make({ prefix: "b" })
      const again = yield* SqlVaultStore.make({ prefix: "a".repeat(40) })
      assert.isTrue(yield* store.write(row))
      assert.isTrue(Option.isNone(yield* other.read(row)))
      assert.deepStrictEqual(Option.getOrThrow(yield* again.read(row)), row)
    }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
  )

  it.effect("are two", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* (yield* VaultStore.VaultStore).write(row)
      assert.deepStrictEqual(
        (yield* sql<{ name: string }>`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).map(
          ({ name }) => name
        ),
        ["api_keys_vault_fingerprints", "api_keys_vault_slots"]
      )
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("what is open, and what one account has, is found by index", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plan = (query: string) =>
        Effect.map(sql.unsafe<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`), (rows) =>
          rows.map(({ detail }) => detail).join("; ")
        )
      const open = yield* plan(
        "SELECT * FROM api_keys_vault_slots WHERE open = 1 AND (account, slot) > ('a', 'b') ORDER BY account, slot LIMIT 50"
      )
      assert.match(open, /api_keys_vault_slots_open/)
      assert.notMatch(open, /TEMP B-TREE/)
      const find = yield* plan("SELECT account, slot FROM api_keys_vault_fingerprints WHERE fingerprint IN ('a')")
      assert.match(find, /SEARCH.*USING/)
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("a database of another kind is refused", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      // The store asks the client for its dialect alone before it refuses.
      const mysql = Object.assign(
        Object.create(sql),
        { withoutTransforms: () => mysql },
        { onDialectOrElse: (options: { orElse: () => unknown }) => options.orElse() }
      )
      const store = Effect.provideService(SqlVaultStore.make(), SqlClient.SqlClient, mysql)
      assert.strictEqual(yield* problemOf(store), "Invalid")
    }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
  )
})

describe("a row", () => {
  it.effect("is open for whoever reads integers as bigints, too", () =>
    Effect.gen(function* () {
      const store = yield* VaultStore.VaultStore
      const open = { ...row, open: true }
      yield* store.write(open)
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), open)
        assert.deepStrictEqual(yield* Stream.runCollect(store.list({ open: true })), [open])
      }).pipe(Effect.provideService(SqlClient.SafeIntegers, true))
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("whose fingerprints are damaged is read without them, and keeps no other back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      const other = { ...row, slot: "other" }
      yield* store.write(row)
      yield* store.write(other)
      for (const damaged of ["no JSON", "[1]", "{}", ""]) {
        yield* sql`UPDATE api_keys_vault_slots SET fingerprints = ${damaged} WHERE slot = ${row.slot}`
        assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), { ...row, fingerprints: [] })
        assert.deepStrictEqual(yield* Stream.runCollect(store.list({})), [{ ...row, fingerprints: [] }, other])
      }
      assert.isTrue(yield* store.write({ ...row, version: 2 }))
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), { ...row, version: 2 })
    }).pipe(Effect.provide(onFile(":memory:")))
  )
})

describe("the caller's transaction", () => {
  it.effect("takes no write of the vault along: with one connection the write is refused", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      assert.isTrue(yield* store.write(row))
      const error = yield* Effect.flip(sql.withTransaction(store.write({ ...row, version: 2 })))
      assert.instanceOf(error, VaultError)
      assert.strictEqual(error instanceof VaultError ? error.problem : undefined, "Invalid")
      assert.include(error.message, "transaction")
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), row)
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("lets the vault be read", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* store.write(row)
      const found = yield* sql.withTransaction(store.read(row))
      assert.deepStrictEqual(Option.getOrThrow(found), row)
      assert.deepStrictEqual(yield* sql.withTransaction(store.find(row.fingerprints)), [
        { account: row.account, slot: row.slot }
      ])
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("is not needed to open the store, and is refused there", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql.withTransaction(SqlVaultStore.make({ prefix: "late" })))
      assert.strictEqual(error instanceof VaultError ? error.problem : undefined, "Invalid")
    }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
  )

  it.effect("may begin as it likes", () =>
    Effect.gen(function* () {
      const store = yield* VaultStore.VaultStore
      const written = Effect.provideService(store.write(row), SqlClient.BeginTransaction, "NOT SQL")
      assert.isTrue(yield* written)
    }).pipe(Effect.provide(onFile(":memory:")))
  )
})

describe("a database that fails", () => {
  const canary = "canary_Qv7"
  const secretive = {
    ...row,
    document: `{"sealed":"${canary}"}`,
    fingerprints: [`k1.${canary}`]
  }

  it.effect("is Unavailable, in every operation, and nothing of what it says is kept", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* sql`DROP TABLE api_keys_vault_fingerprints`
      yield* sql`ALTER TABLE api_keys_vault_slots RENAME TO ${sql(canary)}`
      const exits: ReadonlyArray<Exit.Exit<unknown, VaultError>> = [
        yield* Effect.exit(store.read(row)),
        yield* Effect.exit(store.write(secretive)),
        yield* Effect.exit(store.write({ ...secretive, version: 2 })),
        yield* Effect.exit(store.find([`k1.${canary}`])),
        yield* Effect.exit(Stream.runDrain(store.list({})))
      ]
      for (const exit of exits.filter(Exit.isFailure)) {
        const shown = [inspect(exit, { depth: null, showHidden: true }), JSON.stringify(exit), String(exit.cause)]
        for (const text of shown) assert.notInclude(text, canary)
        assert.include(shown[0], "Unavailable")
        assert.include(String(exit.cause), "the tables are missing")
      }
      assert.strictEqual(exits.filter(Exit.isFailure).length, 5)
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it("says what kept it from it in words of ours, where its code is known", () => {
    const said = (fields: object, Reason: typeof UnknownError | typeof AuthorizationError = UnknownError) =>
      SqlFault.inWords(
        Cause.fail(
          new SqlError({
            reason: new Reason({ cause: Object.assign(new Error(canary), fields), message: canary, operation: canary })
          })
        )
      )
    const known: ReadonlyArray<readonly [object, string]> = [
      [{ code: "53100" }, "disk is full"],
      [{ code: "53300" }, "no connection"],
      [{ code: "57P03" }, "starting"],
      [{ code: "25006" }, "takes no writes"],
      [{ code: "22P05" }, "UTF-8"],
      [{ code: "XX001" }, "its disk"],
      [{ errcode: 13 }, "disk is full"],
      [{ errcode: 8 | (3 << 8) }, "takes no writes"],
      [{ errcode: 11 }, "damaged"],
      [{ code: "SQLITE_FULL" }, "disk is full"]
    ]
    for (const [fields, text] of known) {
      const words = said(fields) ?? ""
      assert.include(words, text)
      assert.notInclude(words, canary)
    }
    assert.include(said({}, AuthorizationError) ?? "", "lacks a right")
    for (const fields of [{}, { code: 7 }, { code: canary }, { errcode: "13" }]) assert.isUndefined(said(fields))
    assert.isUndefined(SqlFault.inWords(Cause.die(new Error(canary))))
    assert.isUndefined(SqlFault.inWords(Cause.fail(new Error(canary))))
  })

  it.effect("leaves nothing of what it says in a trace", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          names.push(options.name)
          return new Tracer.NativeSpan(options)
        }
      })
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* Effect.gen(function* () {
        yield* store.write(row)
        yield* store.read(row)
        yield* store.find(row.fingerprints)
        yield* Stream.runDrain(store.list({}))
        assert.deepStrictEqual(names, [])
        yield* sql`SELECT 1`
        assert.isNotEmpty(names, "the tracer sees no statement at all")
      }).pipe(Effect.withTracer(tracer))
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("a write whose fingerprints cannot be stored leaves the old row", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* store.write(row)
      yield* sql`
        CREATE TRIGGER refuse BEFORE INSERT ON api_keys_vault_fingerprints
        BEGIN SELECT RAISE(ROLLBACK, ${sql.literal("'no room'")}); END`
      const next = { ...row, version: 2, document: "{}", fingerprints: ["k1.next"] }
      assert.strictEqual(yield* problemOf(store.write(next)), "Unavailable")
      yield* sql`DROP TRIGGER refuse`
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), row)
      assert.isTrue(yield* store.write(next))
    }).pipe(Effect.provide(onFile(":memory:")))
  )

  it.effect("an acquirer that dies is Unavailable, too", () =>
    Effect.gen(function* () {
      const store = yield* VaultStore.VaultStore
      const sql = yield* SqlClient.SqlClient
      // Stands for a driver that throws: the connection that the caller's transaction seems to have.
      const thrower = Context.make(sql.transactionService, [
        new Proxy({} as never, {
          get: () => {
            throw new Error(canary)
          }
        }),
        0
      ])
      const exit = yield* Effect.exit(Effect.provideContext(store.read(row), thrower))
      assert.include(inspect(exit, { depth: null }), "Unavailable")
      assert.notInclude(inspect(exit, { depth: null }), canary)
    }).pipe(Effect.provide(onFile(":memory:")))
  )
})

describe.runIf(Postgres.available)(Postgres.byName("PostgreSQL"), () => {
  let server: Postgres.Server | undefined
  let made = 0
  beforeAll(async () => {
    server = await Postgres.start()
  }, 60_000)
  afterAll(async () => server?.stop())

  const url = (database = "postgres") => {
    if (server === undefined) throw new Error("the server has not started")
    return server.url(database)
  }
  /** A store with tables of its own. */
  const fresh = (database?: string) =>
    SqlVaultStore.layer({ prefix: `store_${++made}` }).pipe(
      Layer.provideMerge(Postgres.client(url(database))),
      Layer.orDie
    )
  /** The tables of the last one, through a pool of its own. */
  const beside = (database?: string) =>
    Layer.suspend(() =>
      SqlVaultStore.layer({ prefix: `store_${made}` }).pipe(
        Layer.provide(Layer.fresh(Postgres.client(url(database)))),
        Layer.orDie
      )
    )
  const admin = <A, E>(use: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
    Effect.provide(Effect.flatMap(SqlClient.SqlClient, use), Postgres.client(url()), { local: true })

  conformanceOn("PostgreSQL", () => fresh(), {
    reopen: Layer.suspend(() =>
      SqlVaultStore.layer({ prefix: "again" }).pipe(Layer.provide(Postgres.client(url())), Layer.orDie)
    ),
    second: beside(),
    many: 120
  })

  describe("a database with defaults of its own", () => {
    beforeAll(() =>
      Effect.runPromise(
        admin((sql) =>
          Effect.gen(function* () {
            yield* sql`CREATE DATABASE odd TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-kn-true'`.unprepared
            yield* sql`ALTER DATABASE odd SET default_transaction_isolation = 'serializable'`
            yield* sql`ALTER DATABASE odd SET default_transaction_read_only = on`
            yield* sql`ALTER DATABASE odd SET synchronous_commit = off`
          })
        )
      )
    )

    conformanceOn(
      "PostgreSQL with another order, serializable, read-only, and in no hurry to sync",
      () => fresh("odd"),
      {
        second: beside("odd"),
        many: 120
      }
    )

    it.effect("a write waits for the disk all the same", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* VaultStore.VaultStore
        const prefix = `store_${made}`
        // What the setting is at the time of the write, as the database sees it.
        yield* sql
          .withTransaction(
            Effect.gen(function* () {
              yield* sql`CREATE TABLE seen (setting TEXT)`
              yield* sql.unsafe(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
              BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$`)
              yield* sql.unsafe(
                `CREATE TRIGGER note AFTER INSERT ON ${prefix}_slots FOR EACH ROW EXECUTE FUNCTION note()`
              )
            })
          )
          .pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN READ WRITE"))
        assert.isTrue(yield* store.write(row))
        assert.deepStrictEqual(yield* sql`SELECT setting FROM seen`.values, [["on"]])
        assert.deepStrictEqual(yield* sql`SELECT current_setting('synchronous_commit')`.values, [["off"]])
      }).pipe(Effect.provide(Layer.suspend(() => fresh("odd"))))
    )
  })

  it.effect("programs that open a store at once all get it, and one of them writes", () =>
    Effect.gen(function* () {
      const open = Effect.gen(function* () {
        const context = yield* Layer.build(
          Layer.fresh(SqlVaultStore.layer({ prefix: "crowd" }).pipe(Layer.provide(Layer.fresh(Postgres.client(url())))))
        )
        return Context.get(context, VaultStore.VaultStore)
      })
      const stores = yield* Effect.forEach(Array.from({ length: 8 }), () => open, { concurrency: "unbounded" })
      for (const version of [1, 2]) {
        const written = yield* Effect.forEach(stores, (store) => store.write({ ...row, version }), {
          concurrency: "unbounded"
        })
        assert.strictEqual(written.filter(Boolean).length, 1)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("a caller's transaction that is rolled back takes no write of the vault along", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* sql`CREATE TABLE bystander (id INTEGER)`
      const error = yield* Effect.gen(function* () {
        yield* sql`INSERT INTO bystander VALUES (1)`
        assert.isTrue(yield* store.write(row))
        return yield* Effect.fail("rolled back" as const)
      }).pipe(sql.withTransaction, Effect.flip)
      assert.strictEqual(error, "rolled back")
      assert.deepStrictEqual(yield* sql`SELECT id FROM bystander`.values, [])
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), row)
    }).pipe(Effect.provide(Layer.suspend(() => fresh())))
  )

  it.effect("a caller's snapshot does not hide what was written since", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      yield* store.write(row)
      const next = { ...row, version: 2, fingerprints: ["k1.next"] }
      yield* Effect.gen(function* () {
        yield* sql`SELECT 1`
        assert.isTrue(yield* store.write(next))
        assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), next)
        assert.strictEqual((yield* store.find(["k1.next"])).length, 1)
        assert.deepStrictEqual(yield* Stream.runCollect(store.list({})), [next])
      }).pipe(
        sql.withTransaction,
        Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
      )
    }).pipe(Effect.provide(Layer.suspend(() => fresh())))
  )

  it.effect("a role that may create nothing opens tables that are there", () =>
    Effect.gen(function* () {
      yield* admin((sql) =>
        Effect.gen(function* () {
          yield* sql`CREATE ROLE program LOGIN`
          yield* sql`REVOKE CREATE ON SCHEMA public FROM PUBLIC`
        })
      )
      const as = (prefix: string) =>
        SqlVaultStore.make({ prefix }).pipe(
          Effect.provide(Postgres.client(url().replace("postgres@", "program@")), { local: true })
        )
      const error = yield* Effect.flip(Effect.catchTag(as("rights"), "SqlError", Effect.die))
      assert.strictEqual(error.problem, "Unavailable")
      assert.include(error.message, "the database's user lacks a right")
      yield* Effect.provide(SqlVaultStore.make({ prefix: "rights" }), Postgres.client(url()), { local: true })
      yield* as("rights")
    })
  )

  it.effect("a role that may not write is told so", () =>
    Effect.gen(function* () {
      yield* admin((sql) => sql`CREATE ROLE reader LOGIN`)
      yield* Effect.provide(SqlVaultStore.make({ prefix: "readable" }), Postgres.client(url()), { local: true })
      yield* admin((sql) => sql`GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`)
      const as = <A>(role: string, use: (store: VaultStore.VaultStore["Service"]) => Effect.Effect<A, VaultError>) =>
        Effect.flatMap(SqlVaultStore.make({ prefix: "readable" }), use).pipe(
          Effect.provide(Postgres.client(url().replace("postgres@", `${role}@`)), { local: true }),
          Effect.catchTag("SqlError", Effect.die)
        )
      assert.isTrue(Option.isNone(yield* as("reader", (store) => store.read(row))))
      const error = yield* Effect.flip(as("reader", (store) => store.write(row)))
      assert.deepInclude(error, { operation: "write", problem: "Unavailable", slot: row.slot })
      assert.include(error.detail, "lacks a right")
      assert.notInclude(error.message, "readable")
    })
  )

  it.effect("a database of another encoding is refused, before a name gets lost in it", () =>
    Effect.gen(function* () {
      yield* admin(
        (sql) => sql`CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`.unprepared
      )
      const error = yield* SqlVaultStore.make().pipe(
        Effect.provide(Postgres.client(url("latin")), { local: true }),
        Effect.catchTag("SqlError", Effect.die),
        Effect.flip
      )
      assert.deepInclude(error, { operation: "open", problem: "Invalid" })
      assert.include(error.message, "UTF8")
      const tables = yield* Effect.provide(
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1 FROM pg_tables WHERE schemaname = 'public'`),
        Postgres.client(url("latin")),
        { local: true }
      )
      assert.deepStrictEqual(tables, [])
    })
  )

  it.effect("a client that renames columns changes nothing", () =>
    Effect.gen(function* () {
      const store = yield* VaultStore.VaultStore
      assert.isTrue(yield* store.write(row))
      assert.deepStrictEqual(Option.getOrThrow(yield* store.read(row)), row)
      assert.strictEqual((yield* store.find(row.fingerprints)).length, 1)
    }).pipe(
      Effect.provide(
        Layer.suspend(() =>
          SqlVaultStore.layer({ prefix: "renamed" }).pipe(
            Layer.provide(
              PgClient.layer({
                url: Redacted.make(url()),
                transformQueryNames: (name) => `${name}_x`,
                transformResultNames: (name) => name.toUpperCase()
              })
            )
          )
        )
      )
    )
  )

  it.effect("nothing that the database says of a row is kept", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* VaultStore.VaultStore
      const prefix = `store_${made}`
      yield* sql.unsafe(`ALTER TABLE ${prefix}_slots ADD CHECK (document <> 'canary_Qv7')`)
      const exit = yield* Effect.exit(store.write({ ...row, document: "canary_Qv7" }))
      const shown = inspect(exit, { depth: null, showHidden: true })
      assert.include(shown, "Unavailable")
      assert.notInclude(shown, "canary_Qv7")
      assert.notInclude(JSON.stringify(exit), "canary_Qv7")
    }).pipe(Effect.provide(Layer.suspend(() => fresh())))
  )
})
