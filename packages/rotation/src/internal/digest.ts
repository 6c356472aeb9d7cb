import type { ApiKey } from "@effect-api-keys/core/ApiKey"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/** JSON in which the same settings always read the same: the names of fields in order. */
const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((field) => [field, canonical(value[field])])
  )
}

/** A hash of what a key may do: its status, restrictions and settings, and not its name. */
export const ofSettings = ({ options, providerStatus, restrictions, status }: ApiKey): Effect.Effect<string> =>
  Effect.flatMap(Digest.Digest, (digest) =>
    digest.digestHex(
      Digest.sha256,
      new TextEncoder().encode(JSON.stringify(canonical({ status, providerStatus, restrictions, options })))
    )
  ).pipe(Effect.provide(Digest.layerWebCrypto))
