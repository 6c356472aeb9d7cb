/** A program of somebody who has installed the packages: three vendors in their sandboxes, and a rotation that the vault holds. */
import { ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { KeyVault, Rotation, RotationEngine, SqlVaultStore } from "@effect-api-keys/rotation"
import { NodeSqlite } from "@effect-api-keys/rotation/node"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const jetemail = Layer.unwrap(
  Effect.map(JetEmailSandbox.JetEmailSandbox, ({ credential }) =>
    JetEmail.layer({ apiKey: credential, defaults: { domains: "any", ips: "any", quota: "unlimited" } })
  )
).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provide(JetEmailSandbox.layerClient()))

const smtp2go = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
    MailerPatch.layer({ apiKey: credential, defaults: { rate: "unlimited" } })
  )
).pipe(Layer.provide(MailerPatchSandbox.layerClient()))

const voiceable = Voiceable.layer({
  apiKey: Redacted.make("api_test_voiceable_sandbox"),
  baseUrl: "https://voiceable.example/api/v1",
  defaults: { origins: "any", resources: "any", keyType: "private" }
}).pipe(Layer.provide(VoiceableSandbox.layerClient()))

/** With a rotation that the service makes at once. */
const atOnce = Effect.gen(function* () {
  const keys = yield* ApiKeyService.can("create", "rotate")
  const old = yield* keys.create({ name: "acme" })
  const { issued, previous } = yield* keys.rotate(old.ref, { deliver: () => Effect.void })
  const changed = Redacted.value(issued.secret) !== Redacted.value(old.secret)
  yield* Console.log(`${keys.provider}: ${changed ? "a new secret" : "the old secret"}, previous ${previous}`)
})

const sealingKeys = { current: "k1", keys: { k1: Redacted.make("YXBpX3Rlc3Rfc2VhbGluZ19rZXlfMzJfYnl0ZXNfISE=") } }

const rotating = Rotation.layer({
  accounts: () => ({ keys: voiceable, verify: "none" }),
  overlap: "0 seconds"
}).pipe(
  Layer.provideMerge(KeyVault.layer({ sealingKeys })),
  Layer.provide([SqlVaultStore.layer(), RotationEngine.layerSingle()]),
  Layer.provide(NodeSqlite.layer({ filename: ":memory:" })),
  Layer.provideMerge(voiceable)
)

const durable = Effect.gen(function* () {
  const id = { account: "main", slot: "acme/voice" }
  const keys = yield* ApiKeyService.can("create")
  const old = yield* keys.create({ name: "acme" })
  const rotation = yield* Rotation
  yield* rotation.adopt(id, old)
  yield* rotation.start(id)
  const { outcome } = yield* rotation.awaitEnd(id)
  const { current } = yield* (yield* KeyVault).read(id)
  yield* Console.log(
    `rotation: ${outcome}, ${current.handle === old.handle ? "the old key" : "a new key"} in the vault`
  )
})

await Effect.runPromise(atOnce.pipe(Effect.provide(jetemail)))
await Effect.runPromise(atOnce.pipe(Effect.provide(smtp2go)))
await Effect.runPromise(atOnce.pipe(Effect.provide(voiceable)))
await Effect.runPromise(durable.pipe(Effect.provide(rotating)))
