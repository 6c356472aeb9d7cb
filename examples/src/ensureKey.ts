/**
 * Ensure-by-name: the key of this name, made if there is none. For deployments that run again and again.
 *
 * Watch out: no vendor has unique names or a conditional create, so this is right for a *single* writer only; two at once
 * may both create, and the next run reports it. An existing key's secret cannot be had: its `_tag` says so. Where you need
 * the secret and the key has a `ref` you rotate it; SMTP2GO's list masks its keys, and shows none.
 */
import { type ApiKey, ApiKeyService, type IssuedKey } from "@effect-api-keys/core"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** `Created` has the secret. `Existing` has what the vendor shows: look at its `status`, it may be disabled. */
export type Ensured =
  | { readonly _tag: "Created"; readonly key: IssuedKey }
  | { readonly _tag: "Existing"; readonly key: ApiKey }

/** Several keys have this name: a person decides which one is in use, and deletes the others. */
export class Ambiguous extends Data.TaggedError("Ambiguous")<{
  readonly name: string
  readonly handles: ReadonlyArray<string>
}> {}

export const ensureKey = Effect.fnUntraced(function* <E, R>(
  name: string,
  deliver: (key: IssuedKey) => Effect.Effect<void, E, R>
) {
  const keys = yield* ApiKeyService.can("list", "create")
  const [first, ...others] = yield* Stream.runCollect(keys.list({ name }))
  if (first === undefined) {
    const ensured: Ensured = { _tag: "Created", key: yield* keys.create({ name }, { deliver }) }
    return ensured
  }
  if (others.length > 0) {
    return yield* new Ambiguous({ name, handles: [first, ...others].map(({ handle }) => handle) })
  }
  const ensured: Ensured = { _tag: "Existing", key: first }
  return ensured
})
