/**
 * A PostgreSQL of the tests' own: loopback only, in a folder of its own, gone with whoever started it.
 *
 * In a test: `const { url, layer } = yield* database` inside `Effect.provide(Postgres.layer)`, or `layer(Postgres.layer)` of
 * `@effect/vitest` around many. In a script: `await start()`, and `stop()` at the end.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"

const debian = "/usr/lib/postgresql"

/** Where `initdb` and `postgres` are: Debian keeps them off the PATH, the newest version counts. */
const binaries = (): string | undefined => {
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folder = versions
    .map((version) => join(debian, version, "bin"))
    .find((path) => existsSync(join(path, "initdb")))
  if (folder !== undefined) return `${folder}/`
  return spawnSync("initdb", ["--version"]).status === 0 ? "" : undefined
}

const bin = binaries()

/** Whether there is a PostgreSQL to start. */
export const available = bin !== undefined

/** The name of a test that needs it: where it is skipped, the name says why. */
export const byName = (name: string): string =>
  available ? name : `${name} (PostgreSQL is not installed: apt-get install postgresql)`

/** A server, and how to be rid of it. */
export interface Server {
  /** The address of one of its databases; `postgres` is there from the start. */
  readonly url: (database: string) => string
  readonly stop: () => Promise<void>
}

/** A port that nobody listens on at this moment. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })

/** PostgreSQL refuses to run as root. */
const otherUser = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  for (const user of ["postgres", "nobody"]) {
    const found = spawnSync("id", ["-u", user], { encoding: "utf8" })
    if (found.status !== 0) continue
    const gid = Number(execFileSync("id", ["-g", user], { encoding: "utf8" }))
    return { uid: Number(found.stdout), gid }
  }
  throw new Error("PostgreSQL does not run as root, and neither `postgres` nor `nobody` is a user here")
}

/**
 * The shell waits for the end of its input, which comes when whoever started it closes it or dies in any way. So no server
 * outlives a test run that was killed.
 *
 * It goes without `fsync`: what a process wrote outlives the process without it, and no test cuts the machine's power.
 */
const script = `
"$1"initdb -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null || exit 1
"$1"postgres -D "$2/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$2" \
  -c shared_buffers=32MB -c max_wal_size=256MB -c autovacuum=off -c logging_collector=off -c fsync=off &
server=$!
read -r _
kill -INT "$server"
wait "$server"
cd / && rm -rf "$2"
`

const started = async (child: ChildProcess): Promise<void> => {
  let said = ""
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`PostgreSQL did not start within 30 s:\n${said}`)), 30_000)
    child.once("error", reject)
    child.once("exit", () => reject(new Error(`PostgreSQL ended:\n${said}`)))
    child.stderr?.on("data", (chunk: Buffer) => {
      // Only what was said until it was ready is ever shown.
      if (said.length < 10_000) said += chunk.toString()
      if (said.includes("database system is ready to accept connections")) {
        clearTimeout(late)
        resolve()
      }
    })
  })
}

/** Starts a server on a free port of loopback. It also ends when this process does. */
export const start = async (): Promise<Server> => {
  if (bin === undefined) throw new Error("PostgreSQL is not installed: apt-get install postgresql")
  const user = otherUser()
  const folder = mkdtempSync(join(tmpdir(), "api-keys-pg-"))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  if (user !== undefined) chownSync(folder, user.uid, user.gid)
  const port = await freePort()
  const child = spawn("/bin/sh", ["-c", script, "postgres", bin, folder, String(port)], {
    ...user,
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" },
    // A group of its own, so that Ctrl-C reaches the tests alone, and they end it in their order.
    detached: true,
    stdio: ["pipe", "ignore", "pipe"]
  })
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const stop = async () => {
    child.stdin?.end()
    await ended
    remove()
  }
  try {
    await started(child)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: (database) => `postgres://postgres@127.0.0.1:${port}/${database}`, stop }
}

/** A database of one test's own. */
export interface Database {
  readonly url: string
  /** `PgClient` and `SqlClient` on it. */
  readonly layer: ReturnType<typeof PgClient.layer>
}

/** `PgClient` on an address, with a small pool. */
export const client = (url: string): ReturnType<typeof PgClient.layer> =>
  PgClient.layer({ url: Redacted.make(url), maxConnections: 5 })

/** A server for the tests of one file, started when the first of them asks for a database. */
export class Postgres extends Context.Service<Postgres, { readonly database: Effect.Effect<Database> }>()(
  "@effect-api-keys/rotation/test/Postgres"
) {
  static readonly layer: Layer.Layer<Postgres> = Layer.effect(
    Postgres,
    Effect.gen(function* () {
      const scope: Scope.Scope = yield* Effect.scope
      let made = 0
      const server = yield* Effect.cached(
        Effect.gen(function* () {
          const running = yield* Effect.acquireRelease(Effect.promise(start), ({ stop }) => Effect.promise(stop))
          const context = yield* Layer.build(client(running.url("postgres")))
          return { running, sql: Context.get(context, SqlClient.SqlClient) }
        }).pipe(Effect.provideService(Scope.Scope, scope), Effect.orDie)
      )
      return {
        database: Effect.gen(function* () {
          const { running, sql } = yield* server
          const name = `test_${++made}`
          yield* Effect.orDie(sql`CREATE DATABASE ${sql(name)}`.unprepared)
          const url = running.url(name)
          return { url, layer: client(url) }
        })
      }
    })
  )
}

/** A fresh database. */
export const database: Effect.Effect<Database, never, Postgres> = Effect.flatMap(Postgres, ({ database }) => database)
