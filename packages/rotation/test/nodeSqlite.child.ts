/** What `nodeSqlite.test.ts` runs in processes of their own: `node nodeSqlite.child.ts <what> <file>`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { NodeSqlite } from "../src/node/index.ts"
import * as SqlVaultStore from "../src/SqlVaultStore.ts"
import { VaultStore } from "../src/VaultStore.ts"

const [what = "", filename = ""] = process.argv.slice(2)

const say = (line: string | number) => Effect.sync(() => process.stdout.write(`${line}\n`))

/** Opens the file, says how that went, and holds it for as long as this process lives. */
const hold = Layer.launch(Layer.tap(NodeSqlite.layer({ filename }), () => say("opened"))).pipe(
  Effect.catch(({ message, reason }) => say(`${reason._tag}: ${message}`))
)

/** Opens the file, says how that went, and ends. */
const open = Effect.scoped(Layer.build(NodeSqlite.layer({ filename }))).pipe(
  Effect.matchEffect({
    onFailure: ({ message, reason }) => say(`${reason._tag}: ${message}`),
    onSuccess: () => say("opened")
  })
)

/** Writes one version of a slot after the other, and says each when its write has returned. */
const write = Effect.gen(function* () {
  const store = yield* VaultStore
  const id = { account: "acme", slot: "mail" }
  let version = Option.match(yield* store.read(id), { onNone: () => 0, onSome: ({ version }) => version })
  while (true) {
    version++
    const fingerprints = [`k1.${version}`, `k1.other${version}`]
    const document = JSON.stringify({ version, padding: "x".repeat((version * 997) % 9000) })
    if (!(yield* store.write({ ...id, version, document, fingerprints, open: version % 2 === 0 }))) {
      return yield* Effect.die(new Error("somebody else writes"))
    }
    yield* say(version)
  }
}).pipe(Effect.provide(SqlVaultStore.layer().pipe(Layer.provide(NodeSqlite.layer({ filename })))))

const programs: Record<string, Effect.Effect<unknown, unknown>> = { hold, open, write }

// What only waits would not keep the process.
setInterval(() => {}, 60_000)
await Effect.runPromise(programs[what] ?? Effect.die(new Error(`there is no ${what}`)))
process.exit()
