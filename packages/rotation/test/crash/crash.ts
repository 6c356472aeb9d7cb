/**
 * Kills processes that rotate keys, with SIGKILL, at seeded moments, and looks after each kill whether any key was lost.
 *
 * The vendors are sandboxes behind real servers in this process; what rotates are real processes on a file, or two at a time on
 * PostgreSQL.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeHttpServer } from "@effect/platform-node"
import { HttpSandbox } from "@effect-api-keys/core/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { KeyVault } from "../../src/KeyVault.ts"
import * as NodeSqlite from "../../src/node/NodeSqlite.ts"
import type { Slot } from "../../src/Slot.ts"
import * as SqlVaultStore from "../../src/SqlVaultStore.ts"
import * as Postgres from "../postgres.ts"
import { bundled } from "../support/bundle.ts"
import { type TrueKey, type World, worlds } from "../support/vendors.ts"
import { type Job, prefix, type Said, sealingKeys, slot } from "./protocol.ts"

export interface Figures {
  readonly engine: "file" | "pg"
  readonly kills: number
  readonly rotations: number
  /** How often the process was killed at a request: before the vendor had carried it out, and after. */
  readonly beforeRequest: number
  readonly afterCommit: number
  /** Mints that the vendors carried out; one a rotation, and one for each that was lost. */
  readonly mints: number
  /** The most orphans that were written down for a person at one time. */
  readonly orphans: number
  readonly seconds: number
  readonly violations: ReadonlyArray<string>
}

/** A generator of numbers from 0 to 1, the same for the same seed. */
const random = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What is done to the n-th request of a process. */
interface Trap {
  readonly at: number
  readonly when: "before" | "after"
}

const names = ["jetemail", "smtp2go", "voiceable"] as const

interface Running {
  readonly pid: number
  readonly kill: () => Promise<void>
  readonly ended: Promise<number | null>
  readonly said: ReadonlyArray<Said>
  /** What it wrote beside what it was to say: its log. */
  readonly complaints: () => string
  readonly hasEnded: () => boolean
}

const run = (job: Job): Running => {
  const child = bundled(new URL("./child.ts", import.meta.url))
  const process_ = spawn(process.execPath, [child, JSON.stringify(job)], { stdio: ["pipe", "pipe", "pipe"] })
  const said: Array<Said> = []
  let rest = ""
  let complaints = ""
  process_.stdout.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      if (line.startsWith('{"said"')) said.push(JSON.parse(line) as Said)
      else complaints += `${line}\n`
    }
  })
  process_.stderr.on("data", (chunk: Buffer) => {
    complaints += chunk.toString()
  })
  const ended = new Promise<number | null>((resolve) => process_.once("close", resolve))
  return {
    pid: process_.pid ?? 0,
    said,
    ended,
    complaints: () => complaints,
    hasEnded: () => process_.exitCode !== null || process_.signalCode !== null,
    kill: async () => {
      process_.kill("SIGKILL")
      await ended
    }
  }
}

/** A vendor behind a real server, with a trap for the requests of whoever calls it. */
const serve = (world: World, trap: (path: string) => Effect.Effect<(after: boolean) => Effect.Effect<void>>) =>
  Effect.gen(function* () {
    const app: HttpSandbox.App = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const spring = yield* trap(request.url)
      yield* spring(false)
      const response = yield* world.app
      yield* spring(true)
      return response
    })
    const context = yield* Layer.build(
      HttpSandbox.serve(app).pipe(
        Layer.provideMerge(
          NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", disablePreemptiveShutdown: true })
        )
      )
    )
    return yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
  })

const addressOf = (key: { readonly ref: { readonly value: Redacted.Redacted<string> } }) =>
  Redacted.value(key.ref.value)

/** What must be true of one slot at every instant. */
const violationsOf = (world: World, slot: Slot, keys: ReadonlyArray<TrueKey>): ReadonlyArray<string> => {
  const found: Array<string> = []
  const held = [slot.current, ...Option.toArray(slot.pending), ...Option.toArray(slot.previous)].map(addressOf)
  const intended = (key: TrueKey) =>
    slot.intents.some(
      ({ intent }) =>
        intent.marker === key.marker || (intent.identity !== undefined && intent.identity === key.identity)
    )
  for (const key of keys.filter(({ alive }) => alive)) {
    const known =
      held.includes(key.address) ||
      slot.orphans.some(
        ({ handle, ref }) =>
          handle === key.handle || Option.exists(ref, ({ value }) => Redacted.value(value) === key.address)
      ) ||
      intended(key)
    if (!known) found.push(`1: a live key is in no book: ${world.name} ${key.name}`)
  }
  const works = keys.some(({ address, alive }) => alive && address === addressOf(slot.current))
  if (!world.inPlace && !works) found.push(`2: the current key does not work: ${world.name}`)
  if (world.inPlace && !works && !keys.some((key) => key.alive && intended(key))) {
    found.push(`3: no intent leads to the key that works: ${world.name}`)
  }
  return found
}

/** Runs rotations with so many kills, until all have ended, and says what was seen. */
export const crash = (options: {
  readonly engine: "file" | "pg"
  readonly kills: number
  readonly killsPerRound: number
  readonly seed: number
  readonly log?: (line: string) => void
  /** How the processes talk to each other. */
  readonly transport?: "socket" | "http"
  /** A database of PostgreSQL that nobody else uses; one of a server of its own unless given. */
  readonly url?: string
}): Effect.Effect<Figures, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine, killsPerRound, log = () => {} } = options
    const next = random(options.seed)
    const folder = mkdtempSync(join(tmpdir(), "api-keys-crash-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
    const path = join(folder, "rotation.db")
    const server =
      engine === "pg" && options.url === undefined
        ? yield* Effect.acquireRelease(Effect.promise(Postgres.start), ({ stop }) => Effect.promise(stop))
        : undefined
    const url = options.url ?? server?.url("postgres") ?? ""
    const sql = () => (engine === "file" ? NodeSqlite.layer({ filename: path }) : Postgres.client(url))
    const vault = () =>
      KeyVault.layer({
        sealingKeys: { current: sealingKeys.current, keys: { [sealingKeys.current]: Redacted.make(sealingKeys.key) } }
      }).pipe(Layer.provide(SqlVaultStore.layer({ prefix: `${prefix}_vault` })), Layer.provideMerge(sql()))

    let running: ReadonlyArray<Running> = []
    const startedAt = performance.now()
    let requests = 0
    let trap: Trap | undefined
    let trapped = Promise.withResolvers<Running | undefined>()
    const counts = { kills: 0, beforeRequest: 0, afterCommit: 0, rotations: 0, orphans: 0 }
    /** Springs at the request that it is set for: the caller is killed, and never gets an answer. */
    const spring = () =>
      Effect.sync(() => {
        const number = ++requests
        return (after: boolean) =>
          Effect.suspend(() => {
            if (trap === undefined || trap.at !== number || (trap.when === "after") !== after) return Effect.void
            counts[after ? "afterCommit" : "beforeRequest"]++
            // On PostgreSQL either of the two may have sent it; the one that is killed is as good as the other.
            const [victim] = running
            trapped.resolve(victim)
            // Its connection is gone when it is; until then it gets no answer.
            return Effect.promise(() => victim?.ended ?? Promise.resolve(null))
          })
      })

    const vendors = yield* Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const world = yield* worlds[name]
        const origin = yield* Effect.orDie(serve(world, spring))
        const baseUrl = name === "smtp2go" ? `${origin}/v3` : name === "voiceable" ? `${origin}/api/v1` : origin
        return { world, account: { name, baseUrl, credential: world.credential } }
      })
    )
    const accounts = vendors.map(({ account }) => account)
    yield* Effect.orDie(
      Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Layer.build(vault())
          for (const { account, world } of vendors) {
            const given = yield* world.first
            yield* Context.get(context, KeyVault).adopt({ account: account.name, slot }, { ...given, handle: "first" })
          }
        })
      )
    )

    const violations: Array<string> = []
    const everySecret = new Set(accounts.map(({ credential }) => credential))
    /** Looks at the vault and the vendors while nobody rotates, and searches all that is stored for secrets. */
    const look = (where: string, ended: boolean) =>
      Effect.gen(function* () {
        const context = yield* Layer.build(vault())
        for (const { account, world } of vendors) {
          const found = yield* Context.get(context, KeyVault).read({ account: account.name, slot })
          const keys = yield* world.keys
          for (const key of keys) everySecret.add(key.secret)
          const mints = yield* world.mints
          const seen = [...violationsOf(world, found, keys)]
          if (mints > found.epoch) seen.push(`7: ${mints} mints, ${found.epoch} epochs: ${world.name}`)
          if (ended) {
            const alive = keys.filter((key) => key.alive)
            if (alive.length !== 1) seen.push(`11: ${alive.length} keys work: ${world.name}`)
            if (found.intents.length > 0) seen.push(`11: an intent is open: ${world.name}`)
            const last = Option.getOrUndefined(found.rotation)
            if (last?.outcome !== "completed")
              seen.push(`11: ${last?.outcome} ${last?.step} ${last?.problem}: ${world.name}`)
            if (Option.getOrUndefined(Option.map(found.current.secret, Redacted.value)) !== alive[0]?.secret) {
              seen.push(`5: vault and vendor name different keys: ${world.name}`)
            }
            counts.orphans = Math.max(counts.orphans, found.orphans.length)
          }
          violations.push(...seen.map((text) => `${where}: invariant ${text}`))
        }
        if (engine === "pg") {
          const client = Context.get(context, SqlClient.SqlClient)
          const tables = yield* client<{
            readonly name: string
          }>`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`
          for (const { name } of tables) {
            const rows = yield* client<Record<string, unknown>>`SELECT * FROM ${client(name)}`
            const text = JSON.stringify(rows, (_, value: unknown) =>
              value instanceof Uint8Array
                ? Buffer.from(value).toString("latin1")
                : typeof value === "bigint"
                  ? String(value)
                  : value
            )
            for (const secret of everySecret)
              if (text.includes(secret)) violations.push(`${where}: invariant 10: ${name}`)
          }
        }
      }).pipe(
        Effect.scoped,
        Effect.orDie,
        Effect.andThen(
          Effect.sync(() => {
            if (engine !== "file") return
            for (const name of readdirSync(folder)) {
              const text = readFileSync(join(folder, name), "latin1")
              for (const secret of everySecret)
                if (text.includes(secret)) violations.push(`${where}: invariant 10: ${name}`)
            }
          })
        )
      )

    const startOne = (round: string) =>
      Effect.promise(async () => {
        const store =
          engine === "file"
            ? { kind: "file" as const, path }
            : { kind: "pg" as const, url, port: await Postgres.freePort(), transport: options.transport ?? "socket" }
        return run({ store, round, accounts })
      })

    do {
      const round = `round-${counts.rotations + 1}`
      let ended = false
      for (let kill = 0; !ended; kill++) {
        const more = kill < killsPerRound && counts.kills < options.kills
        // Those of PostgreSQL that are still there go on; on the file there is one at a time.
        while (running.length < (engine === "pg" ? 2 : 1)) running = [...running, yield* startOne(round)]
        trapped = Promise.withResolvers()
        const chance = next()
        trap =
          more && chance < 0.8
            ? { at: requests + 1 + Math.floor(next() * 14), when: next() < 0.4 ? "before" : "after" }
            : undefined
        // Or at any moment, whatever it is doing.
        const timer =
          more && chance >= 0.8 ? setTimeout(() => trapped.resolve(running[0]), 700 + next() * 1500) : undefined
        const all = running
        const end = yield* Effect.promise(() =>
          Promise.race([trapped.promise, Promise.any(all.map((one) => one.ended.then(() => one)))])
        )
        clearTimeout(timer)
        trap = undefined
        if (end === undefined) continue
        ended = end.said.some(({ said }) => said === "done")
        if (!ended && end.hasEnded()) {
          violations.push(`${round}: it died: ${end.complaints().slice(0, 2000)}`)
          ended = true
        } else if (!ended) {
          counts.kills++
          log(`${round}: killed ${counts.kills}`)
        }
        // One that has said that it is done may still be about to end.
        yield* Effect.promise(end.kill)
        for (const secret of everySecret)
          if (end.complaints().includes(secret)) violations.push(`${round}: invariant 10: log`)
        running = running.filter((one) => one !== end)
        if (ended) yield* Effect.promise(() => Promise.all(running.map(({ kill: stop }) => stop())))
        if (ended) running = []
        if (engine === "pg" || running.length === 0) yield* look(`${round}, kill ${counts.kills}`, ended)
      }
      counts.rotations++
    } while (counts.kills < options.kills && violations.length === 0)
    const mints = yield* Effect.forEach(vendors, ({ world }) => world.mints)
    return {
      engine,
      kills: counts.kills,
      rotations: counts.rotations * names.length,
      beforeRequest: counts.beforeRequest,
      afterCommit: counts.afterCommit,
      mints: mints.reduce((sum, count) => sum + count, 0),
      orphans: counts.orphans,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      violations
    }
  })
