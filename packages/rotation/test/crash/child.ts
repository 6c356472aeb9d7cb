/** A process that rotates one key at each vendor, on the store that it is told, until it has ended or is killed. */
import { writeSync } from "node:fs"
import * as NodeClusterHttp from "@effect/platform-node/NodeClusterHttp"
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import * as Voiceable from "@effect-api-keys/voiceable"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import { KeyVault } from "../../src/KeyVault.ts"
import * as NodeSqlite from "../../src/node/NodeSqlite.ts"
import { type Account, Rotation } from "../../src/Rotation.ts"
import * as RotationEngine from "../../src/RotationEngine.ts"
import * as SqlVaultStore from "../../src/SqlVaultStore.ts"
import type { VaultStore } from "../../src/VaultStore.ts"
import { client } from "../postgres.ts"
import { type Job, prefix, type Said, sealingKeys, slot } from "./protocol.ts"

// The parent passes this type, as JSON.
const job = JSON.parse(process.argv[2] ?? "{}") as Job

const say = (said: Said) => Effect.sync(() => writeSync(1, `${JSON.stringify(said)}\n`))

const http = FetchHttpClient.layer
const common = { account: "main", rateLimit: false, retry: { times: 1 }, timeout: "5 seconds" } as const

const accountOf = ({ baseUrl, credential, name }: Job["accounts"][number]): Account => {
  const options = { ...common, baseUrl, apiKey: Redacted.make(credential) }
  switch (name) {
    case "jetemail":
      return {
        keys: JetEmail.layer({ ...options, defaults: { domains: "any", ips: "any", quota: "unlimited" } }).pipe(
          Layer.provide(http)
        ),
        verify: "none"
      }
    case "smtp2go":
      return {
        keys: MailerPatch.layer({ ...options, defaults: { rate: "unlimited" } }).pipe(Layer.provide(http)),
        verify: "none"
      }
    case "voiceable":
      return {
        keys: Voiceable.layer({
          ...options,
          defaults: { origins: "any", resources: "any", keyType: "private" }
        }).pipe(Layer.provide(http)),
        verify: "none"
      }
  }
}

const accounts = new Map<string, Account>(job.accounts.map((account) => [account.name, accountOf(account)]))

const program = Effect.gen(function* () {
  const rotation = yield* Rotation
  yield* say({ said: "ready" })
  yield* Effect.forEach(
    job.accounts,
    ({ name: account }) =>
      Effect.gen(function* () {
        const id = { account, slot }
        yield* rotation.start(id, { rotationId: job.round })
        const { outcome, problem } = yield* rotation.awaitEnd(id)
        yield* say({
          said: "ended",
          account,
          outcome: outcome ?? "none",
          ...(problem === undefined ? {} : { problem })
        })
      }),
    { concurrency: "unbounded", discard: true }
  )
  yield* say({ said: "done" })
})

const { store } = job

/** How the machines talk to each other: where they come from, the errors of the two differ. */
const cluster = (options: RotationEngine.RunnerOptions) =>
  store.kind === "pg" && store.transport === "http"
    ? Layer.orDie(NodeClusterHttp.layer({ ...options, transport: "http" }))
    : Layer.orDie(NodeClusterSocket.layer(options))

type Engine = Layer.Layer<WorkflowEngine | VaultStore, { readonly _tag: string; readonly message: string }>

const engine: Engine =
  store.kind === "file"
    ? RotationEngine.layerSingle({ prefix, settings: { entityMessagePollInterval: "200 millis" } }).pipe(
        Layer.provideMerge(SqlVaultStore.layer({ prefix: `${prefix}_vault` })),
        Layer.provide(NodeSqlite.layer({ filename: store.path }))
      )
    : RotationEngine.layerCluster({
        address: { host: "127.0.0.1", port: store.port },
        cluster,
        prefix,
        // What a killed machine held is free sooner than it should be in earnest: the vault fences, whoever is late.
        settings: {
          shardLockExpiration: "5 seconds",
          shardLockRefreshInterval: "1 second",
          runnerHealthCheckInterval: "500 millis",
          refreshAssignmentsInterval: "500 millis",
          entityTerminationTimeout: "1 second",
          entityMessagePollInterval: "500 millis"
        }
      }).pipe(Layer.provideMerge(SqlVaultStore.layer({ prefix: `${prefix}_vault` })), Layer.provide(client(store.url)))

const layer = Rotation.layer({
  accounts: (name) => accounts.get(name),
  overlap: "1 second",
  lateArrival: "2 seconds"
}).pipe(
  Layer.provide(
    KeyVault.layer({
      sealingKeys: { current: sealingKeys.current, keys: { [sealingKeys.current]: Redacted.make(sealingKeys.key) } }
    })
  ),
  Layer.provide(engine)
)

// It ends when its input does, and so never outlives the tests.
process.stdin.resume()
process.stdin.once("end", () => process.exit(1))
process.stdin.once("close", () => process.exit(1))

NodeRuntime.runMain(program.pipe(Effect.provide(layer), Effect.andThen(Effect.sync(() => process.exit(0)))))
