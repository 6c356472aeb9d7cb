/**
 * Effect's `SqlClient` over Node's own `node:sqlite`, for a vault and a workflow engine in one file of one process.
 *
 * @since 0.1.0
 */
import { closeSync, existsSync, lstatSync, openSync } from "node:fs"
import { resolve } from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import {
  ConnectionError,
  classifySqliteError,
  LockTimeoutError,
  SqlError,
  type SqlErrorReason,
  UniqueViolation,
  UnknownError
} from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"

/**
 * Which file, and who may share it.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeSqliteOptions {
  /**
   * A path, or `:memory:`. A file that does not exist is created with mode 0600; its folder must exist. A link to one that does not
   * exist is refused.
   */
  readonly filename: string
  /**
   * Whether this process keeps the file for itself (default `true`). Two runners on one file believe that they are one and
   * the same and do everything twice, so give `false` only to programs that do nothing but read and write rows.
   */
  readonly exclusive?: boolean | undefined
}

/** How many statements stay prepared; those that were used least recently go first. */
const preparedStatements = 128

/** How long a shared file is waited for. The wait blocks the process, so it is short. */
const sharedBusyTimeoutMs = 2000

/** SQLite's extended codes of a violated primary key, as which it reports some unique columns. */
const primaryKeyCodes: ReadonlyArray<unknown> = [1555, 2579]

const busyCodes: ReadonlyArray<number> = [5, 6]

const codeOf = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "errcode") && Predicate.isNumber(cause.errcode) ? cause.errcode : undefined

const classify = (cause: unknown, operation: string): SqlErrorReason => {
  const code = codeOf(cause)
  if (code === undefined || !Predicate.isError(cause)) {
    return new UnknownError({ cause, message: "the statement could not be carried out", operation })
  }
  // Effect looks for the code under `errno`, where other drivers have it.
  const named = Object.assign(cause, { errno: code })
  const message = "the database refused the statement"
  return primaryKeyCodes.includes(code)
    ? new UniqueViolation({
        cause: named,
        message,
        operation,
        constraint: cause.message.replace(/^UNIQUE constraint failed:/, "").trim() || "unknown"
      })
    : classifySqliteError(named, { message, operation })
}

/** A name that leads to no file. SQLite would make one there, which others may read. */
class DanglingLink extends Error {}

const openFailure = (filename: string) => (cause: unknown) => {
  const operation = "open"
  const code = codeOf(cause)
  if (cause instanceof DanglingLink) {
    const message = `${filename} is a link to a file that is not there: name that file itself, and it is made for this user alone`
    return new SqlError({ reason: new ConnectionError({ cause, operation, message }) })
  }
  return new SqlError({
    reason:
      code !== undefined && busyCodes.includes(code & 0xff)
        ? new LockTimeoutError({
            cause,
            operation,
            message: `${filename} is open already, in another process or by another layer of this one, and only one may have it: end the other, or share its layer. Nothing needs clearing up after a crash: the lock ends with the process that holds it`
          })
        : new ConnectionError({
            cause,
            operation,
            message: `${filename} cannot be opened: check that its folder exists, that this user may read and write both, and that it is a SQLite database`
          })
  })
}

/**
 * Makes the file with mode 0600, which its journal then takes over.
 *
 * Only a file that this call creates is opened here. To open one that exists and to close it again would end the locks that
 * this process holds on it: POSIX locks belong to the process and not to the descriptor.
 */
const createPrivate = (path: string): void => {
  try {
    closeSync(openSync(path, "wx", 0o600))
  } catch (error) {
    if (!Predicate.hasProperty(error, "code") || error.code !== "EEXIST") throw error
    if (lstatSync(path).isSymbolicLink() && !existsSync(path)) throw new DanglingLink()
  }
}

const openDatabase = (options: NodeSqliteOptions): DatabaseSync => {
  const inMemory = options.filename === ":memory:"
  const exclusive = options.exclusive !== false
  // An absolute path, so that neither a later `chdir` nor a `file:` address changes what is meant.
  const path = inMemory ? options.filename : resolve(options.filename)
  if (!inMemory) createPrivate(path)
  const db = new DatabaseSync(path, { timeout: exclusive ? 0 : sharedBusyTimeoutMs })
  try {
    // Must come first: then the write-ahead log is entered under the exclusive lock, without a file of shared memory.
    if (exclusive) db.exec("PRAGMA locking_mode = EXCLUSIVE")
    // With FULL, the write-ahead log is synced with every commit, so that a commit that returned outlasts a loss of power. A
    // rollback journal would need EXTRA for that, and three to four syncs a commit.
    const mode = db.prepare("PRAGMA journal_mode = WAL").get()
    if (!inMemory && mode?.journal_mode !== "wal") throw new Error("the file system does not carry a write-ahead log")
    db.exec("PRAGMA synchronous = FULL")
    // macOS alone tells the difference between handed to the disk and on it.
    db.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")
    db.exec("PRAGMA foreign_keys = ON")
    // Takes the kernel's lock on the file now. In exclusive mode SQLite keeps it until it closes the file.
    if (exclusive) db.exec("BEGIN EXCLUSIVE; COMMIT")
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const bind = (value: unknown): SQLInputValue => {
  switch (typeof value) {
    case "string":
    case "bigint":
      return value
    case "boolean":
      return value ? 1n : 0n
    case "undefined":
      return null
    case "number":
      // Node binds each number as a floating point one, which a column of text would keep as `5.0`.
      return Number.isSafeInteger(value) ? BigInt(value) : value
  }
  if (value === null || value instanceof Uint8Array) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (value instanceof Date) return value.toISOString()
  throw new TypeError("a parameter is neither a primitive, nor bytes, nor a date")
}

const makeConnection = (db: DatabaseSync): Connection => {
  const statements = new Map<string, StatementSync>()
  const prepared = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? db.prepare(sql)
    // A map iterates in the order of insertion, so the first is the one that was used least recently.
    statements.delete(sql)
    statements.set(sql, statement)
    for (const oldest of statements.keys()) {
      if (statements.size <= preparedStatements) break
      statements.delete(oldest)
    }
    return statement
  }

  const run = <A>(
    prepare: (sql: string) => StatementSync,
    sql: string,
    params: ReadonlyArray<unknown>,
    use: (statement: StatementSync, params: ReadonlyArray<SQLInputValue>) => A
  ): Effect.Effect<A, SqlError> =>
    Effect.withFiber((fiber) =>
      Effect.try({
        try: () => {
          const statement = prepare(sql)
          statement.setReadBigInts(Context.get(fiber.context, SqlClient.SafeIntegers))
          return use(statement, params.map(bind))
        },
        catch: (cause) => new SqlError({ reason: classify(cause, "execute") })
      })
    )

  const rows = (statement: StatementSync, params: ReadonlyArray<SQLInputValue>) => {
    statement.setReturnArrays(false)
    return statement.all(...params)
  }
  const values = (statement: StatementSync, params: ReadonlyArray<SQLInputValue>) => {
    statement.setReturnArrays(true)
    // The type does not know that `setReturnArrays` makes each row an array.
    return statement.all(...params) as unknown as ReadonlyArray<ReadonlyArray<unknown>>
  }
  const raw = (statement: StatementSync, params: ReadonlyArray<SQLInputValue>) =>
    statement.columns().length > 0 ? rows(statement, params) : statement.run(...params)
  const fresh = (sql: string) => db.prepare(sql)

  const execute: Connection["execute"] = (sql, params, transformRows) => {
    const found = run(prepared, sql, params, rows)
    return transformRows === undefined ? found : Effect.map(found, transformRows)
  }
  return {
    execute,
    executeRaw: (sql, params) => run(prepared, sql, params, raw),
    // All rows are read at once: a cursor that stays open would keep the only connection from whoever consumes the rows.
    executeStream: (sql, params, transformRows) =>
      Stream.unwrap(Effect.map(execute(sql, params, transformRows), Stream.fromIterable)),
    executeValues: (sql, params) => run(prepared, sql, params, values),
    executeValuesUnprepared: (sql, params) => run(fresh, sql, params, values),
    executeUnprepared: (sql, params, transformRows) => {
      const found = run(fresh, sql, params, rows)
      return transformRows === undefined ? found : Effect.map(found, transformRows)
    }
  }
}

/** A connection of which each operation passes through `use`. */
const throughout = (
  use: <A>(operation: (connection: Connection) => Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
): Connection => {
  const execute: Connection["execute"] = (sql, params, transformRows) =>
    use((connection) => connection.execute(sql, params, transformRows))
  return {
    execute,
    executeRaw: (sql, params) => use((connection) => connection.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) =>
      Stream.unwrap(Effect.map(execute(sql, params, transformRows), Stream.fromIterable)),
    executeValues: (sql, params) => use((connection) => connection.executeValues(sql, params)),
    executeValuesUnprepared: (sql, params) => use((connection) => connection.executeValuesUnprepared(sql, params)),
    executeUnprepared: (sql, params, transformRows) =>
      use((connection) => connection.executeUnprepared(sql, params, transformRows))
  }
}

/**
 * The connection as one transaction has it.
 *
 * Some failures (a full disk, for one) make SQLite roll the whole transaction back by itself. Statements after that would
 * each be a transaction of their own, so that half of what belongs together would be kept: they are refused instead.
 */
const forTransaction = (db: DatabaseSync, connection: Connection): Connection => {
  let lost = false
  return throughout((operation) =>
    Effect.suspend(() => {
      if (lost) {
        const message = "an earlier failure made SQLite roll the transaction back, and nothing of it was kept"
        return Effect.fail(
          new SqlError({ reason: new UnknownError({ cause: undefined, message, operation: "execute" }) })
        )
      }
      const inside = db.isTransaction
      return Effect.tapError(operation(connection), () =>
        Effect.sync(() => {
          lost = inside && !db.isTransaction
        })
      )
    })
  )
}

/**
 * Opens the file for the life of the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: NodeSqliteOptions
): Effect.fn.Return<SqlClient.SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> {
  const db = yield* Effect.acquireRelease(
    Effect.try({ try: () => openDatabase(options), catch: openFailure(options.filename) }),
    (db) => Effect.sync(() => db.close())
  )
  const connection = makeConnection(db)
  const { borrower, isTransaction, onCommitFailure, transactionAcquirer } = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(connection),
    semaphore: yield* Semaphore.make(1),
    isTransaction: () => db.isTransaction
  })
  return yield* SqlClient.make({
    // Statements outside a transaction each wait for the connection, and none keeps it: whoever consumes a stream may query.
    acquirer: Effect.succeed(throughout(borrower)),
    transactionAcquirer: Effect.map(transactionAcquirer, (connection) => forTransaction(db, connection)),
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    // Takes the lock for writing at once: to ask for it after a first read fails where someone else has written since.
    beginTransaction: "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    isTransaction,
    onCommitFailure,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

/**
 * {@link make} as a layer.
 *
 * **Details**
 *
 * - The file is locked when the layer is built, until it is closed. A second layer on it, in this process or another, fails
 *   at once with `LockTimeoutError` and a message that says what to do. The kernel holds the lock and ends it with the
 *   process, `SIGKILL` included; there is no lock file that could be left over.
 * - What is committed outlasts the end of the process and a loss of power: a write-ahead log, synced with every commit.
 * - Statements run on the calling thread, one at a time, and transactions wait for each other.
 * - Integers beyond 2^53 fail to be read, rather than being rounded, unless `SqlClient.SafeIntegers` is set. Dates are
 *   bound as ISO text, booleans as 0 and 1.
 * - A stream reads all its rows at once: read large tables in pages.
 *
 * **Gotchas**
 *
 * - POSIX ends every lock of a process on a file when the process closes *any* descriptor of that file. So do not read or
 *   copy the file with `node:fs` in the process that has it open: use `VACUUM INTO`, or another process.
 * - `VACUUM INTO` makes its copy with the mode that the process's umask leaves, mostly one that others may read: the folder of the
 *   copy should be private.
 * - Locks on network file systems are only as good as the file system.
 * - A process that has no claim on the lock, such as the `sqlite3` shell, cannot read the file meanwhile.
 *
 * **Example**
 *
 * ```ts
 * import { NodeSqlite } from "@effect-api-keys/rotation/node"
 * import * as Effect from "effect/Effect"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT 1 AS one`
 * }).pipe(Effect.provide(NodeSqlite.layer({ filename: ":memory:" })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: NodeSqliteOptions): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
