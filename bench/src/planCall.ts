/** A fresh process that makes the plan of a rotation for every slot of a vault in a file, one slot in memory at a time. */
import * as JetEmail from "@effect-api-keys/jetemail"
import { KeyVault, Rotation, RotationEngine, SqlVaultStore } from "@effect-api-keys/rotation"
import { NodeSqlite } from "@effect-api-keys/rotation/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { answering } from "./child.ts"
import * as Memory from "./memory.ts"
import * as Stub from "./stub.ts"
import { account, sealingKeys } from "./vault.ts"
import { credential } from "./vendor.ts"

export interface Planned {
  readonly plans: number
  readonly calls: number
  readonly seconds: number
  /** What the process held at most beyond what it held before. */
  readonly bytes: number
  /** What the heap held more at the end, after a collection. */
  readonly kept: number
}

const keys = JetEmail.layer({
  apiKey: Redacted.make(credential),
  baseUrl: Stub.baseUrl,
  defaults: { domains: "any", ips: "any", quota: "unlimited" }
}).pipe(Layer.provide(Stub.layer))

const live = (filename: string) =>
  Rotation.layer({ accounts: (name) => (name === account ? { keys, verify: "none" } : undefined) }).pipe(
    Layer.provideMerge(KeyVault.layer({ sealingKeys })),
    Layer.provide([SqlVaultStore.layer(), RotationEngine.layerSingle()]),
    Layer.provide(NodeSqlite.layer({ filename }))
  )

const program = Effect.fnUntraced(function* (slots: number) {
  const vault = yield* KeyVault
  const rotation = yield* Rotation
  // The account's layer is made once, when it is first needed: that is no part of a plan.
  yield* rotation.plan({ account, slot: "none" })
  const peak = Memory.watch()
  const before = process.memoryUsage().heapUsed
  const from = performance.now()
  const { calls, plans } = yield* vault.slots().pipe(
    Stream.take(slots),
    Stream.mapEffect((slot) => rotation.plan(slot)),
    Stream.runFold(
      () => ({ plans: 0, calls: 0 }),
      (sum, plan) => ({ plans: sum.plans + 1, calls: sum.calls + plan.calls })
    )
  )
  const seconds = (performance.now() - from) / 1000
  const bytes = peak()
  globalThis.gc?.()
  const planned: Planned = {
    plans,
    calls,
    seconds,
    bytes,
    kept: process.memoryUsage().heapUsed - before
  }
  return planned
})

const [, , filename = ""] = process.argv

answering(({ slots }: { readonly slots: number }) => Effect.runPromise(Effect.provide(program(slots), live(filename))))
