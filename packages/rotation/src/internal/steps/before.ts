import type { ApiKey } from "@effect-api-keys/core/ApiKey"
import type { KeySpec } from "@effect-api-keys/core/ApiKeyService"
import { unmarkedName } from "@effect-api-keys/core/Recovery"
import { Restriction } from "@effect-api-keys/core/Restrictions"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Before, HeldKey, Problem, RotationRecord, Slot } from "../../Slot.ts"
import * as Digest from "../digest.ts"
import type { Context } from "./context.ts"
import { ended, type Failure, goTo, type StepEnd, wait } from "./stepEnd.ts"

/** What a key is now, for comparison with what it is later. */
export const describe = Effect.fnUntraced(function* (
  { keys }: Context,
  key: ApiKey,
  recreate: boolean
): Effect.fn.Return<Before> {
  const name = Option.map(key.name, unmarkedName)
  // Where a restriction is not shown, a new key would get the account's default: it might be wider.
  const whole = Restriction.literals.every((field) => !keys.supports(field) || key.restrictions[field] !== undefined)
  const spec = {
    ...key.restrictions,
    name: Option.getOrElse(
      Option.filter(name, (text) => text !== ""),
      () => key.handle
    ),
    options: { [keys.provider]: key.options }
  }
  return {
    handle: key.handle,
    status: key.status,
    digest: yield* Digest.ofSettings(key),
    ...(Option.isSome(name) ? { name: name.value } : {}),
    ...(recreate && whole ? { spec: JSON.stringify(spec) } : {})
  }
})

const decodeSpec = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** What a key is minted anew from. It was written by us, and core checks it like any other before anything is sent. */
export const specOf = ({ spec }: Before): KeySpec | undefined =>
  Option.getOrUndefined(decodeSpec(spec)) as KeySpec | undefined

/** What someone did with the old key since its rotation began. */
export const changed = Effect.fnUntraced(function* (
  old: Option.Option<ApiKey>,
  before: Before | undefined
): Effect.fn.Return<Problem | undefined> {
  if (Option.isNone(old)) return "Deleted"
  if (before === undefined || (yield* Digest.ofSettings(old.value)) === before.digest) return undefined
  return old.value.status === "disabled" && before.status !== "disabled" ? "Disabled" : "Changed"
})

/** What is done where the vendor does not show the pending key. */
export const missing = Effect.fnUntraced(function* (
  context: Context,
  slot: Slot,
  rotation: RotationRecord,
  pending: HeldKey
): Effect.fn.Return<StepEnd, Failure> {
  const { abandon, find, limits } = context
  const now = yield* Clock.currentTimeMillis
  // It may not be shown yet.
  if (now - pending.storedAt < limits.propagation) return wait("KeyNotFound", "5 seconds")
  // A credential that sees neither key may be another account's; it is mended, or both were removed.
  const blind = Option.isNone(yield* find(slot.current.ref))
  if (blind && now - rotation.since < limits.lateArrival) return wait("KeyNotFound")
  const superseded = yield* giveWay(context, slot, rotation, pending)
  if (superseded !== undefined) return superseded
  // Someone removed it, or whoever minted it took it back.
  yield* abandon(pending)
  return goTo("mint")
})

/** Ends a rotation whose old key someone has changed, and gives the successor up. */
export const giveWay = Effect.fnUntraced(function* (
  { abandon, find }: Context,
  slot: Slot,
  { before, kind }: RotationRecord,
  pending: HeldKey,
  differs: (old: ApiKey) => boolean = () => false
): Effect.fn.Return<StepEnd | undefined, Failure> {
  // Of a key that leaked it is our own doing.
  if (kind === "replace") return undefined
  const old = yield* find(slot.current.ref)
  const problem = (yield* changed(old, before)) ?? (Option.exists(old, differs) ? "Changed" : undefined)
  if (problem === undefined) return undefined
  yield* abandon(pending)
  return ended("superseded", problem)
})
