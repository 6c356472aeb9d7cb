import { assert, describe, it } from "@effect/vitest"
import type { KeyPatch, KeySpec } from "@effect-api-keys/core"
import {
  InvalidRequest,
  OutcomeUnknown,
  ProviderUnavailable,
  RateLimited,
  UnexpectedResponse
} from "@effect-api-keys/core"
import { Conformance, MemoryProvider } from "@effect-api-keys/core/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const spec: KeySpec = {
  name: "acme",
  domains: ["acme.example"],
  ips: ["192.0.2.1"],
  origins: ["https://acme.example"],
  scopes: ["read"],
  resources: ["one"],
  quota: 1000,
  rate: { max: 10, per: { hours: 1 } }
}
const patch: KeyPatch = { domains: ["acme.example", "mail.acme.example"], quota: 500 }

/** Without HTTP there is no client to classify and repeat, so a lost reply of a repeatable call is simply a success. */
const around = (
  read: MemoryProvider.Part,
  kind: Conformance.Kind,
  disturbance: Conformance.Disturbance
): readonly [MemoryProvider.Part, MemoryProvider.Around] => {
  const part = { create: "mint", rotate: "rotate", change: "patch", remove: "remove", read } as const
  const mint = kind === "create" || kind === "rotate"
  const unknown = new OutcomeUnknown({ problem: "transport", issues: [] })
  const nothing: MemoryProvider.Around = {}
  const table: Record<Conformance.Disturbance, MemoryProvider.Around> = {
    refused: { before: Effect.fail(new ProviderUnavailable({ problem: "transport", sent: false })) },
    serverError: mint ? { before: Effect.fail(unknown) } : nothing,
    replyLost: mint ? { after: Effect.fail(unknown) } : nothing,
    unreadable: { after: Effect.fail(mint ? unknown : new UnexpectedResponse({ problem: "body", issues: [] })) },
    rateLimited: { before: Effect.fail(new RateLimited({ retryAfter: Duration.minutes(5), source: "provider" })) },
    foreignNotFound: { before: Effect.fail(new InvalidRequest({ source: "provider", issues: [] })) }
  }
  return [part[kind], table[disturbance]]
}

/** Masks what the list shows, for longer than any case reads it. */
const mask = ({ next }: MemoryProvider.MemoryProvider["Service"]) =>
  Effect.replicateEffect(next("list", { reply: ({ address: _, ...masked }) => masked }), 10, { discard: true })

/** `read` is the part that a `get` is made of. */
const vendor = (read: MemoryProvider.Part) =>
  Layer.effect(
    Conformance.ConformanceVendor,
    Effect.map(MemoryProvider.MemoryProvider, (memory) => ({
      isLive: (secret: Redacted.Redacted<string>) => memory.isLive(Redacted.value(secret)),
      liveKeys: Effect.map(memory.keys, (keys) => keys.filter((key) => key.status === "active").length),
      requests: Effect.map(memory.calls, (calls) => Object.values(calls).reduce((sum, count) => sum + count, 0)),
      disturb: (kind: Conformance.Kind, disturbance: Conformance.Disturbance) =>
        memory.next(...around(read, kind, disturbance)),
      // Of the two, the one whose `get` is made of its list is the one that lists secrets.
      ...(read === "list" ? { mask: mask(memory) } : {})
    }))
  )

const suite = (
  name: string,
  layer: () => ReturnType<typeof MemoryProvider.layerInPlace>,
  unknownAddress: string,
  read: MemoryProvider.Part,
  skipped: ReadonlyArray<string>
) =>
  describe(name, () => {
    const outcomes = new Map<string, string>()
    for (const { name, run } of Conformance.cases({ spec, patch, unknownAddress })) {
      it.effect(name, () =>
        Effect.gen(function* () {
          outcomes.set(name, yield* run)
        }).pipe(Effect.provide(vendor(read).pipe(Layer.provideMerge(layer()))))
      )
    }
    it("skips only what the vendor lacks", () => {
      assert.deepStrictEqual(
        [...outcomes].filter(([, outcome]) => outcome === "skipped").map(([name]) => name),
        skipped
      )
    })
  })

suite("the memory provider by successor", () => MemoryProvider.layer(), "9999", "get", [
  "a list that masks its secrets recovers nothing, and prepares nothing"
])
suite("the memory provider in place", () => MemoryProvider.layerInPlace(), "api_test_memory_999999", "list", [
  "with `keepPrevious` both keys live",
  "a successor that cannot be delivered is shut off, and the old key works on",
  "with `activate: false` the successor waits to be enabled, and the old key works on"
])
