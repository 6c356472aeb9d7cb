/**
 * The engines that a rotation runs on: in memory, on one file, or on many machines that share a PostgreSQL.
 *
 * They are Effect's own `WorkflowEngine`, put together with tables of their own and with settings that suit work which is
 * rare, takes days, and must not be done twice.
 *
 * What the engine gives:
 *
 * - A rotation whose process is killed goes on in the next one by itself. Activities that have finished are not repeated, and a
 *   `DurableClock` outlasts the process that set it.
 * - A planned end, which closes the layers, waits for the activity that is running, up to `entityTerminationTimeout`, and keeps
 *   its result. `SIGTERM` is one under `NodeRuntime.runMain`; without a handler it ends the process like `SIGKILL`.
 *
 * What it does not give, and what the vault is for:
 *
 * - An activity that was cut off runs again from its start, with the same attempt and idempotency key: it cannot tell.
 * - A machine that stood still, or lost the database, while another took over finishes the activity that it was in. The engine
 *   refuses the late *result*, never the request that went to a vendor.
 * - What has failed has failed for ever under its id: to execute that id again gives the same failure. Run it under another.
 *
 * @since 0.1.0
 */
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import type * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Prefix from "./internal/prefix.ts"

/**
 * Effect's settings of a runner.
 *
 * @since 0.1.0
 * @category models
 */
export type Settings = ShardingConfig.ShardingConfig["Service"]

/** PostgreSQL cuts the names of indexes off at 63, and the longest of them has 27 characters of its own. */
const longestPrefix = 36

/**
 * The engine was given a database, or a prefix, that it cannot run on.
 *
 * @since 0.1.0
 * @category errors
 */
export class RotationEngineError extends Schema.TaggedError<RotationEngineError>(
  "@effect-api-keys/rotation/RotationEngineError"
)("RotationEngineError", {
  /** `NotExclusive`: other processes may use this database at the same time. `Prefix`: no tables can be named after it. */
  problem: Schema.Literals(["NotExclusive", "Prefix"])
}) {
  override get message(): string {
    return this.problem === "Prefix"
      ? `\`prefix\` ${Prefix.rule(longestPrefix)}`
      : "layerSingle needs a database that no other process can open: two runners on it would do everything twice. Give it `NodeSqlite.layer({ filename })`, or use `layerCluster` on PostgreSQL"
  }
}

/**
 * What the names of the engine's tables begin with, unless you say otherwise: `api_key_rotation`.
 *
 * **Details**
 *
 * A runner of yours that shares the database but has another prefix (Effect's default is `cluster`) neither sees nor locks what
 * belongs to this one. That matters, for a runner answers for every message in its tables, also for workflows that it does not
 * know.
 *
 * @since 0.1.0
 * @category settings
 */
export const defaultPrefix = "api_key_rotation"

const base: Settings = {
  ...ShardingConfig.defaults,
  // A row names its shard for ever, so one number serves both engines: then the same tables can be given to either.
  shardsPerGroup: 60,
  // Long enough for a mint under way to be finished and recorded; Kubernetes kills after 30 seconds.
  entityTerminationTimeout: Duration.seconds(25),
  // At its end, every execution of an unknown workflow would be recorded as failed, which cannot be undone. So it waits.
  entityRegistrationTimeout: Duration.infinity
}

/**
 * The settings of {@link layerSingle}.
 *
 * **Details**
 *
 * - `entityMessagePollInterval`, 1 second: a durable clock rings up to this much late. A look takes some 2 ms of the processor.
 * - `entityTerminationTimeout`, 25 seconds: how long a planned end waits for an activity, so that a mint under way is recorded.
 *   Kubernetes kills after 30.
 * - `entityRegistrationTimeout`, without end: a rotation whose workflow this program does not know waits, with a warning at
 *   each look, for a program that knows it. With Effect's minute it would be recorded as failed for ever.
 * - `shardsPerGroup`, 60: never change it on a database in use; rows of shards that no longer exist are never read.
 *
 * @since 0.1.0
 * @category settings
 */
export const singleSettings: Settings = {
  ...base,
  entityMessagePollInterval: Duration.seconds(1)
}

/**
 * The settings of {@link layerCluster}.
 *
 * **Details**
 *
 * - `shardLockExpiration`, 2 minutes: after this long without a sign of life a machine's work is given to another. It is more
 *   than three times the longest deadline of a mint, so that a machine which has only lost the database is done with its
 *   request before another asks the vendor what became of it. (A machine that stands still is not bound by any time.)
 * - `shardLockRefreshInterval`, 10 seconds: how long a machine takes to notice that it has lost the database.
 * - `runnerHealthCheckInterval`, 5 seconds: the work of a killed machine is taken over after 8 to 10 seconds. If it was the one
 *   that did the checking, as one of them is, after `shardLockExpiration`; if it comes back at its address, at once.
 * - `entityTerminationTimeout`, 25 seconds: as in {@link singleSettings}. It is also how long a rotation can stand still when a
 *   machine joins and takes over the shard in the middle of an activity. Nothing is done twice by that.
 * - `shardLockDisableAdvisory`, false: PostgreSQL's advisory locks end with the connection, so nobody holds a shard with a row
 *   that says so and is wrong. They need a session: connect to PostgreSQL itself, or through a pooler in session mode.
 * - `entityMessagePollInterval`, 5 seconds: a durable clock rings up to this much late, and it is one query for each machine.
 * - `entityRegistrationTimeout` and `shardsPerGroup` as in {@link singleSettings}.
 *
 * @since 0.1.0
 * @category settings
 */
export const clusterSettings: Settings = {
  ...base,
  shardLockExpiration: Duration.minutes(2),
  shardLockRefreshInterval: Duration.seconds(10),
  shardLockDisableAdvisory: false,
  runnerHealthCheckInterval: Duration.seconds(5),
  entityMessagePollInterval: Duration.seconds(5)
}

/** A layer of tables that are named so. */
const withPrefix = <A, E, R>(
  prefix: string | undefined,
  layer: (prefix: string) => Layer.Layer<A, E, R>
): Layer.Layer<A, E | RotationEngineError, R> => {
  const name: string = prefix ?? defaultPrefix
  return Prefix.isPrefix(name, longestPrefix)
    ? layer(name)
    : Layer.unwrap(Effect.fail(new RotationEngineError({ problem: "Prefix" })))
}

/**
 * The engine in memory, for tests and for looking at how a rotation goes.
 *
 * **Gotchas**
 *
 * Whatever is under way ends with the process. The vault then still holds what it needs to recover, but nobody does it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<WorkflowEngine.WorkflowEngine> = WorkflowEngine.layerMemory

const layerMessages = (prefix: string) =>
  SqlMessageStorage.layerWith({ prefix }).pipe(Layer.provide(Digest.layerWebCrypto))

/**
 * The engine's storage in SQL, in tables of its own, for a cluster that you put together yourself.
 *
 * **When to use**
 *
 * {@link layerCluster} has it already. Take it for `NodeClusterSocket.layer({ storage: "byo" })` where you need the other
 * services of the cluster too. Give both the same `ShardingConfig`.
 *
 * **Gotchas**
 *
 * - It makes its tables, so its user must be allowed to; a failure to do so is a defect.
 * - Payloads, results, errors, defects and the causes of a suspension are stored in clear. None of them may hold a secret;
 *   `Redacted` does not help, for it is encoded as what it holds.
 * - A prefix is 1 to 36 of the letters a to z, digits and `_`, without a schema: indexes are named after it. Any other is
 *   refused with {@link RotationEngineError}.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerStorage = (
  options: { readonly prefix?: string | undefined } = {}
): Layer.Layer<
  MessageStorage.MessageStorage | RunnerStorage.RunnerStorage,
  RotationEngineError | SqlError,
  SqlClient.SqlClient | ShardingConfig.ShardingConfig
> =>
  withPrefix(options.prefix, (prefix) => Layer.mergeAll(layerMessages(prefix), SqlRunnerStorage.layerWith({ prefix })))

const requireExclusive = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const exclusive = yield* sql.onDialectOrElse({
      sqlite: () =>
        Effect.map(
          sql<{ readonly locking_mode: string }>`PRAGMA locking_mode`,
          (rows) => rows[0]?.locking_mode === "exclusive"
        ),
      orElse: () => Effect.succeed(false)
    })
    if (!exclusive) return yield* new RotationEngineError({ problem: "NotExclusive" })
  })
)

/**
 * The engine of one process, on one SQLite file that it has to itself.
 *
 * **When to use**
 *
 * Where one program rotates keys: a service with a single instance, a command that is run now and then. A second process on the
 * file is refused when it opens it.
 *
 * **Details**
 *
 * Which shards are whose is kept in memory. That is safe, since the file's lock already says that there is nobody else, and the
 * kernel ends that lock with the process, however it ends. In the database a killed process would be remembered as the owner for
 * `shardLockExpiration`, and the next one, at another address, would wait.
 *
 * **Gotchas**
 *
 * - A `SqlClient` whose file is not locked (most others, and `NodeSqlite` with `exclusive: false`) is refused with
 *   {@link RotationEngineError}: two runners on one file take each other for themselves and do everything twice.
 * - What is said of secrets at {@link layerStorage} holds here.
 * - What the environment says of a cluster (`HOST`, `PORT`, `SHARDS_PER_GROUP`, …) is not read.
 *
 * **Example**
 *
 * ```ts
 * import { RotationEngine } from "@effect-api-keys/rotation"
 * import { NodeSqlite } from "@effect-api-keys/rotation/node"
 * import * as Layer from "effect/Layer"
 *
 * const engine = RotationEngine.layerSingle().pipe(Layer.provide(NodeSqlite.layer({ filename: ":memory:" })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSingle = (
  options: {
    /** {@link defaultPrefix} unless given; what one may be is said at {@link layerStorage}. */
    readonly prefix?: string | undefined
    /** Settings that take the place of {@link singleSettings}. */
    readonly settings?: Partial<Settings> | undefined
  } = {}
): Layer.Layer<WorkflowEngine.WorkflowEngine, RotationEngineError | SqlError, SqlClient.SqlClient> =>
  withPrefix(options.prefix, (prefix) =>
    ClusterWorkflowEngine.layer.pipe(
      Layer.provide(Sharding.layer),
      Layer.provide(Runners.layerNoop),
      Layer.provide([layerMessages(prefix), RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
      Layer.provide(ShardingConfig.layer({ ...singleSettings, ...options.settings })),
      // Before the tables are made.
      Layer.provide(requireExclusive)
    )
  )

/**
 * A machine of a cluster, as the others reach it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * What {@link layerCluster} gives to the layer of the cluster, and what that must be made with.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunnerOptions {
  /** The storage is this module's. */
  readonly storage: "byo"
  /** All settings, none left out, so that nothing is taken from the environment. */
  readonly shardingConfig: Settings
}

/**
 * The engine of many machines that share a PostgreSQL.
 *
 * **When to use**
 *
 * Where more than one process may run rotations. `cluster` says how the machines reach each other: `NodeClusterSocket.layer` of
 * `@effect/platform-node`, or `(options) => NodeClusterHttp.layer({ ...options, transport: "http" })`. The database is `PgClient` of
 * `@effect/sql-pg`.
 *
 * **Details**
 *
 * An execution belongs to a shard, and a shard to the machine that holds its lock. Machines that only start rotations and run
 * none give `address: "none"` and a `cluster` with `clientOnly: true`.
 *
 * **Gotchas**
 *
 * - `address` must be another for each process, and the others must reach it there. Two processes at one address take each
 *   other for themselves. Do not take it from a setting that several instances share.
 * - The traffic between machines is neither encrypted nor authenticated: keep the port in a private network. It carries the
 *   names of slots and rotations, no secrets.
 * - One connection is kept for the locks; give the pool at least three.
 * - A machine that stood still past `shardLockExpiration`, or that lost the database, goes on with the activity that it was in
 *   while another runs it anew. The late result is refused; what was sent is sent. The vault fences it.
 * - What is said of secrets at {@link layerStorage} holds here.
 *
 * **Example**
 *
 * ```ts no-run
 * import { NodeClusterSocket } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { RotationEngine } from "@effect-api-keys/rotation"
 * import * as Config from "effect/Config"
 * import * as Layer from "effect/Layer"
 *
 * const engine = RotationEngine.layerCluster({
 *   address: { host: "10.0.0.7", port: 34431 },
 *   cluster: NodeClusterSocket.layer
 * }).pipe(Layer.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCluster = <E, R>(options: {
  /** Where the others reach this process; `"none"` for one that runs nothing itself. */
  readonly address: Address | "none"
  /** Where it listens, if that differs from `address`. */
  readonly listen?: Address | undefined
  /** How the machines talk to each other. */
  readonly cluster: (options: RunnerOptions) => Layer.Layer<Sharding.Sharding, E, R>
  /** {@link defaultPrefix} unless given; what one may be is said at {@link layerStorage}. */
  readonly prefix?: string | undefined
  /** Settings that take the place of {@link clusterSettings}; the same for all machines. */
  readonly settings?: Partial<Omit<Settings, "runnerAddress" | "runnerListenAddress">> | undefined
}): Layer.Layer<
  WorkflowEngine.WorkflowEngine,
  E | RotationEngineError | SqlError,
  SqlClient.SqlClient | Exclude<R, MessageStorage.MessageStorage | RunnerStorage.RunnerStorage>
> => {
  const toAddress = ({ host, port }: Address) => RunnerAddress.make(host, port)
  const shardingConfig: Settings = {
    ...clusterSettings,
    ...options.settings,
    runnerAddress: options.address === "none" ? Option.none() : Option.some(toAddress(options.address)),
    runnerListenAddress: Option.map(Option.fromUndefinedOr(options.listen), toAddress)
  }
  return ClusterWorkflowEngine.layer.pipe(
    Layer.provide(options.cluster({ storage: "byo", shardingConfig })),
    Layer.provide(layerStorage({ prefix: options.prefix }).pipe(Layer.provide(ShardingConfig.layer(shardingConfig))))
  )
}
