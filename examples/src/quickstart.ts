/**
 * The main job, watched: JetEmail's keys are created, narrowed, rotated and shut off, over real HTTP, against the
 * vendor's sandbox on loopback. Ends with status 1 if any step is not as expected.
 */
import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { ApiKeyService, type IssuedKey } from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Vault from "./Vault.ts"

class NotAsExpected extends Data.TaggedError("NotAsExpected")<{ readonly message: string }> {}

const expect = (condition: boolean, message: string): Effect.Effect<void, NotAsExpected> =>
  condition ? Effect.void : Effect.fail(new NotAsExpected({ message }))

const step = (verb: string, ...lines: ReadonlyArray<string>) =>
  Console.log(lines.map((line, index) => `${(index === 0 ? verb : "").padEnd(8)}${line}`).join("\n"))

/** A program over any vendor that has these verbs and restrictions. It does not know that it will be JetEmail. */
const program = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "patch", "rotate", "revoke", "get", "domains", "ips", "quota")
  const vault = yield* Vault.Vault
  const vendor = yield* JetEmailSandbox.JetEmailSandbox
  const isLive = (key: IssuedKey) => vendor.isLive(Redacted.value(key.secret))

  const created = yield* keys.create(
    { name: "acme", domains: ["acme.example"], ips: ["192.0.2.0/24"], quota: 1000 },
    { deliver: vault.put("tenant-acme/mail") }
  )
  const stored = yield* vault.read("tenant-acme/mail")
  yield* expect(Option.isSome(stored) && (yield* isLive(stored.value)), "the vault holds a key that works")
  yield* step(
    "create",
    `${created.handle} "acme": domains acme.example, ips 192.0.2.0/24, quota 1000`,
    `the vault had it before the call returned: secret ${created.secret}, address ${created.ref}`
  )

  const patched = yield* keys.patch(created.ref, { quota: 500 }, { confirm: true })
  const quota = Option.map(patched.key, ({ restrictions }) => restrictions.quota)
  yield* expect(Option.contains(quota, 500) && patched.proof === "confirmed", "the vendor shows the new quota")
  yield* step("patch", `quota 1000 → 500, ${patched.proof} by reading the key again`)

  const rotated = yield* keys.rotate(created.ref, { deliver: vault.put("tenant-acme/mail") })
  const successor = yield* vault.read("tenant-acme/mail")
  yield* expect(rotated.previous === "dead" && !(yield* isLive(created)), "the old secret is dead")
  yield* expect(Option.isSome(successor) && (yield* isLive(successor.value)), "the vault holds the new secret")
  yield* step("rotate", `${rotated.issued.handle} is in the vault; the old secret is ${rotated.previous}`)

  // Somebody found this string in a public repository. It is all we have of the key.
  const leaked = Redacted.value(rotated.issued.secret)
  const outcome = yield* keys.revoke(yield* ApiKeyService.ref(Redacted.make(leaked)))
  yield* expect(outcome === "disabled" && !(yield* isLive(rotated.issued)), "the leaked secret is dead")
  yield* step("revoke", `the leaked string is ${outcome}: nobody can use it any more`)

  yield* vendor.lockOut({ seconds: 1 })
  const before = (yield* vendor.requests).length
  const statuses = Effect.map(vendor.requests, (requests) => requests.slice(before).map(({ status }) => status))
  const met = yield* Effect.forkChild(keys.get(rotated.issued.ref))
  while ((yield* statuses).length === 0) yield* Effect.sleep("1 millis")
  const held = yield* Effect.forkChild(keys.get(rotated.issued.ref))
  yield* Effect.sleep("600 millis")
  const meanwhile = yield* statuses
  yield* expect(meanwhile.length === 1 && meanwhile[0] === 429, "one request met the 429 and none followed it")
  yield* Fiber.joinAll([met, held])
  const after = yield* statuses
  yield* expect(after.join(" ") === "429 200 200", "both calls went through when the second was over")
  yield* step(
    "429",
    "the vendor said Retry-After: 1. The next call was held by the gate: the vendor saw 0 requests meanwhile.",
    "A second later both calls went through."
  )
})

const sandbox = JetEmailSandbox.layerServer().pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

const jetEmail = Layer.unwrap(
  Effect.gen(function* () {
    const { credential } = yield* JetEmailSandbox.JetEmailSandbox
    return JetEmail.layer({
      apiKey: credential,
      baseUrl: yield* HttpServer.addressFormattedWith(Effect.succeed),
      defaults: { domains: "any", ips: "any", quota: "unlimited" }
    })
  })
).pipe(Layer.provide(FetchHttpClient.layer), Layer.provideMerge(sandbox))

Console.log("JetEmail's keys, against its sandbox on loopback, over real HTTP\n").pipe(
  Effect.andThen(program),
  Effect.andThen(Console.log("\nEvery step was as expected.")),
  Effect.provide(Layer.merge(jetEmail, Vault.layerMemory)),
  NodeRuntime.runMain
)
