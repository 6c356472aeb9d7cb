/**
 * A small vault in memory: where a program keeps secrets that are not its own.
 *
 * A real one writes to a secret manager or an encrypted column. What matters here is its shape: `put` takes the key as
 * it was minted, under a name of yours.
 */
import type { IssuedKey } from "@effect-api-keys/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

export class Vault extends Context.Service<
  Vault,
  {
    readonly put: (slot: string) => (key: IssuedKey) => Effect.Effect<void>
    readonly read: (slot: string) => Effect.Effect<Option.Option<IssuedKey>>
  }
>()("@effect-api-keys/examples/Vault") {}

export const layerMemory: Layer.Layer<Vault> = Layer.sync(Vault, () => {
  const slots = new Map<string, IssuedKey>()
  return {
    put: (slot) => (key) => Effect.sync(() => void slots.set(slot, key)),
    read: (slot) => Effect.sync(() => Option.fromUndefinedOr(slots.get(slot)))
  }
})
