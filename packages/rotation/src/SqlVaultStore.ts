/**
 * A vault's store in SQL: SQLite and PostgreSQL, through Effect's `SqlClient`.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as Prefix from "./internal/prefix.ts"
import * as SqlFault from "./internal/sqlFault.ts"
import { VaultError } from "./VaultError.ts"
import { isStorable, notStorable, type SlotId, type StoredSlot, VaultStore } from "./VaultStore.ts"

/**
 * The options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqlVaultStoreOptions {
  /** What the names of the tables begin with: the letters a to z, digits and `_`, at most 40. Default `api_keys_vault`. */
  readonly prefix?: string | undefined
}

/** A name has at most 63 bytes in PostgreSQL. */
const longestPrefix = 40

/** How many rows are in memory at a time. */
const pageSize = 50

/** How many values one statement names. */
const batchSize = 500

/** Separates the locks of this library from others of the database. */
const lockSpace = 0x6b657973

const Fingerprints = Schema.fromJsonString(Schema.Array(Schema.String))
const encodeFingerprints = Schema.encodeEffect(Fingerprints)
const decodeFingerprints = Schema.decodeUnknownOption(Fingerprints)

/** As the columns are declared. PostgreSQL gives a bigint as text. */
interface Row {
  readonly account: string
  readonly slot: string
  readonly version: string | number | bigint
  readonly document: string
  readonly open: number | bigint
  readonly fingerprints: string
}

const toStored = ({ account, document, fingerprints, open, slot, version }: Row): StoredSlot => ({
  account,
  slot,
  version: Number(version),
  document,
  // Damage here keeps nobody from the key: what the slot is found by stands in a table of its own.
  fingerprints: Option.getOrElse(decodeFingerprints(fingerprints), () => []),
  // Whoever reads integers as bigints is given this one as one, too.
  open: Number(open) === 1
})

const named = (id: SlotId | undefined): Partial<SlotId> =>
  id === undefined ? {} : { account: id.account, slot: id.slot }

/**
 * Turns every failure and defect into one error that holds nothing of it: drivers put parameters, and databases put rows,
 * into what they say. It says what is wrong in words of ours alone. Spans of the statements would keep it, so there are none.
 */
const sealed =
  (operation: string, id?: SlotId) =>
  <A, R>(effect: Effect.Effect<A, unknown, R>): Effect.Effect<A, VaultError, R> =>
    Effect.catchCause(Effect.withTracerEnabled(effect, false), (cause) => {
      const failure = Option.filter(Cause.findErrorOption(cause), (error) => error instanceof VaultError)
      if (Option.isSome(failure)) return Effect.fail(failure.value)
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      const detail = SqlFault.inWords(cause)
      return Effect.fail(
        new VaultError({
          operation,
          problem: "Unavailable",
          ...named(id),
          ...(detail === undefined ? {} : { detail })
        })
      )
    })

/**
 * Makes the store on the `SqlClient` at hand, and its tables where there are none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options?: SqlVaultStoreOptions
): Effect.fn.Return<VaultStore["Service"], VaultError, SqlClient.SqlClient> {
  const invalid = (detail: string) => new VaultError({ operation: "open", problem: "Invalid", detail })
  const prefix = options?.prefix ?? "api_keys_vault"
  if (!Prefix.isPrefix(prefix, longestPrefix)) return yield* invalid(`\`prefix\` ${Prefix.rule(longestPrefix)}`)
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  const dialect = sql.onDialectOrElse({
    sqlite: () => "sqlite" as const,
    pg: () => "pg" as const,
    orElse: () => undefined
  })
  if (dialect === undefined) return yield* invalid("the store needs SQLite or PostgreSQL")

  const slots = sql(`${prefix}_slots`)
  const fingerprintsOf = sql(`${prefix}_fingerprints`)

  /** These have one connection. A transaction of the caller keeps it, and one of the store's own would wait for it for ever. */
  const single = dialect === "sqlite" || sql.driver === "pglite"

  const isInside = Effect.map(Effect.serviceOption(sql.transactionService), Option.isSome)

  /** Hides the caller's transaction, and what the caller's transactions begin with. */
  const outside = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.provideService(
      Effect.updateContext(effect, (context: Context.Context<never>) => Context.omit(sql.transactionService)(context)),
      SqlClient.BeginTransaction,
      // A database may have other defaults. Under READ COMMITTED the loser of a race sees the winner's version, and nothing fails.
      dialect === "pg" ? "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" : undefined
    )

  /** A transaction of its own: what the caller rolls back must not take a key along. */
  const transaction = <A, E>(effect: Effect.Effect<A, E>) => outside(sql.withTransaction(effect))

  /**
   * A look past the caller's transaction, whose snapshot may be old. With one connection there is no way past it, and no
   * need where the file is this process's own: the vault has not written since the transaction began.
   */
  const look = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => (single ? effect : outside(effect))

  /** A commit must be on the disk when it returns, whatever the role or the database has as its default. */
  const durable =
    dialect === "pg"
      ? sql`SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`
      : Effect.void

  const binary = sql.literal(dialect === "pg" ? `COLLATE "C"` : "COLLATE BINARY")

  const createTables = Effect.gen(function* () {
    yield* sql`
      CREATE TABLE IF NOT EXISTS ${slots} (
        account TEXT ${binary} NOT NULL,
        slot TEXT ${binary} NOT NULL,
        version BIGINT NOT NULL,
        document TEXT NOT NULL,
        fingerprints TEXT NOT NULL,
        open INTEGER NOT NULL,
        PRIMARY KEY (account, slot)
      )`
    yield* sql`
      CREATE INDEX IF NOT EXISTS ${sql(`${prefix}_slots_open`)} ON ${slots} (account, slot) WHERE open = 1`
    yield* sql`
      CREATE TABLE IF NOT EXISTS ${fingerprintsOf} (
        fingerprint TEXT ${binary} NOT NULL,
        account TEXT ${binary} NOT NULL,
        slot TEXT ${binary} NOT NULL,
        PRIMARY KEY (fingerprint, account, slot)
      )`
    yield* sql`
      CREATE INDEX IF NOT EXISTS ${sql(`${prefix}_fingerprints_slot`)} ON ${fingerprintsOf} (account, slot)`
  })

  /** The tables come in one transaction, so the last one stands for all. */
  const isMissing = Effect.map(
    sql<{ readonly found: string | null }>`SELECT to_regclass(${`"${prefix}_fingerprints"`})::text AS found`,
    ([row]) => row === undefined || row.found === null
  )

  /**
   * PostgreSQL fails one of two processes that create a table at once, also with IF NOT EXISTS, so they take turns. Where the
   * tables are there, nothing is created: a program's role need not be allowed to.
   */
  const migrate =
    dialect === "sqlite"
      ? transaction(createTables)
      : Effect.flatMap(outside(isMissing), (missing) =>
          missing
            ? transaction(
                Effect.andThen(sql`SELECT pg_advisory_xact_lock(${lockSpace}, hashtext(${prefix}))`, createTables)
              )
            : Effect.void
        )

  /** In another encoding the database refuses names and documents that the store promises to keep. */
  const encoding =
    dialect === "sqlite"
      ? Effect.succeed("UTF8")
      : Effect.map(
          sql<{ readonly encoding: string }>`SELECT current_setting('server_encoding') AS encoding`,
          ([row]) => row?.encoding
        )

  if (single && (yield* isInside)) return yield* invalid("the store cannot be opened inside a transaction")
  if ((yield* sealed("open")(outside(encoding))) !== "UTF8") {
    return yield* invalid("the database's encoding must be UTF8: its `server_encoding` is another")
  }
  yield* sealed("open")(migrate)

  const compareAndSet = Effect.fnUntraced(function* (row: StoredSlot, fingerprints: string) {
    const open = row.open ? 1 : 0
    // Not a unique violation: PostgreSQL would end the transaction with it.
    const written =
      row.version === 1
        ? yield* sql`
            INSERT INTO ${slots} (account, slot, version, document, fingerprints, open)
            VALUES (${row.account}, ${row.slot}, 1, ${row.document}, ${fingerprints}, ${open})
            ON CONFLICT (account, slot) DO NOTHING
            RETURNING version`
        : yield* sql`
            UPDATE ${slots}
            SET version = ${row.version}, document = ${row.document}, fingerprints = ${fingerprints}, open = ${open}
            WHERE account = ${row.account} AND slot = ${row.slot} AND version = ${row.version - 1}
            RETURNING version`
    return written.length === 1
  })

  const write = Effect.fnUntraced(function* (row: StoredSlot) {
    if (!isStorable(row)) return yield* notStorable(row)
    if (single && (yield* isInside)) {
      return yield* new VaultError({
        operation: "write",
        problem: "Invalid",
        ...named(row),
        detail: "nothing was written, for this is inside a transaction of the only connection, whose end could undo it"
      })
    }
    if (!Number.isSafeInteger(row.version) || row.version < 1) return false
    const distinct = Arr.dedupe(row.fingerprints)
    const fingerprints = yield* encodeFingerprints(distinct)
    return yield* transaction(
      Effect.gen(function* () {
        yield* durable
        if (!(yield* compareAndSet(row, fingerprints))) return false
        yield* sql`DELETE FROM ${fingerprintsOf} WHERE account = ${row.account} AND slot = ${row.slot}`
        for (const batch of Arr.chunksOf(distinct, batchSize)) {
          yield* sql`INSERT INTO ${fingerprintsOf} ${sql.insert(
            Arr.map(batch, (fingerprint) => ({ fingerprint, account: row.account, slot: row.slot }))
          )}`
        }
        return true
      })
    )
  })

  const read = Effect.fnUntraced(function* (id: SlotId) {
    if (!isStorable(id)) return Option.none()
    const [row] = yield* look(sql<Row>`SELECT * FROM ${slots} WHERE account = ${id.account} AND slot = ${id.slot}`)
    return row === undefined ? Option.none() : Option.some(toStored(row))
  })

  const find = Effect.fnUntraced(function* (fingerprints: ReadonlyArray<string>) {
    const known = fingerprints.filter((fingerprint) =>
      isStorable({ account: "", slot: "", fingerprints: [fingerprint] })
    )
    const found = yield* Effect.forEach(Arr.chunksOf(known, batchSize), (batch) =>
      look(
        sql<SlotId>`
          SELECT DISTINCT account, slot FROM ${fingerprintsOf}
          WHERE ${sql.in("fingerprint", batch)} ORDER BY account, slot`
      )
    )
    const distinct = new Map(
      found.flat().map(({ account, slot }) => [JSON.stringify([account, slot]), { account, slot }])
    )
    return [...distinct.values()]
  })

  const page = Effect.fnUntraced(function* (
    filter: { readonly account?: string | undefined; readonly open?: true | undefined },
    after: SlotId | undefined
  ) {
    const conditions = [
      ...(filter.account === undefined ? [] : [sql`account = ${filter.account}`]),
      // Written out, or the index on what is open is not used.
      ...(filter.open === true ? [sql`open = 1`] : []),
      ...(after === undefined ? [] : [sql`(account, slot) > (${after.account}, ${after.slot})`])
    ]
    const rows = yield* look(
      sql<Row>`
        SELECT * FROM ${slots} WHERE ${sql.and(conditions)}
        ORDER BY account, slot LIMIT ${sql.literal(String(pageSize))}`
    )
    const stored = rows.map(toStored)
    const last = stored.length < pageSize ? undefined : stored.at(-1)
    return [stored, Option.map(Option.fromUndefinedOr(last), ({ account, slot }) => ({ account, slot }))] as const
  })

  return {
    read: (id) => sealed("read", id)(read(id)),
    write: (row) => sealed("write", row)(write(row)),
    find: (fingerprints) => sealed("find")(find(fingerprints)),
    list: (filter) =>
      filter.account !== undefined && !isStorable({ account: filter.account, slot: "" })
        ? Stream.empty
        : Stream.paginate<SlotId | undefined, StoredSlot, VaultError>(undefined, (after) =>
            sealed("list")(page(filter, after))
          )
  }
})

/**
 * {@link make} as a layer.
 *
 * **Details**
 *
 * - A write is one transaction: a compare-and-set on the version, and the fingerprints with it.
 * - Writes never join a transaction of the caller, for its end could undo them after they returned. On PostgreSQL they take
 *   another connection of the pool. SQLite has one connection: there a write inside `withTransaction` is refused as
 *   `Invalid`, and nothing is written.
 * - Errors hold nothing of what the database says, and neither do defects. `detail` says in words of ours what kept the database
 *   from it, where that is known: a right that is missing, a full disk.
 * - A PostgreSQL whose encoding is not UTF-8 is refused as `Invalid`, and so is a prefix that one database reads otherwise than
 *   another.
 * - `list` reads in pages: what is written meanwhile may or may not be among it, but no row comes twice.
 *
 * **Gotchas**
 *
 * On PostgreSQL connect to the primary: a replica shows less than was written. Inside a transaction of yours the pool needs
 * a second connection.
 *
 * **Example**
 *
 * ```ts
 * import { KeyVault } from "@effect-api-keys/rotation/KeyVault"
 * import { NodeSqlite } from "@effect-api-keys/rotation/node"
 * import * as SqlVaultStore from "@effect-api-keys/rotation/SqlVaultStore"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const vault = KeyVault.layer({
 *   sealingKeys: { current: "k1", keys: { k1: Redacted.make(process.env.SEALING_KEY ?? "") } }
 * }).pipe(
 *   Layer.provide(SqlVaultStore.layer()),
 *   Layer.provide(NodeSqlite.layer({ filename: "vault.sqlite" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: SqlVaultStoreOptions): Layer.Layer<VaultStore, VaultError, SqlClient.SqlClient> =>
  Layer.effect(VaultStore, make(options))
