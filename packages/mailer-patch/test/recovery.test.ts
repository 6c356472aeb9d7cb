import { assert, describe, it } from "@effect/vitest"
import { type ApiKeyError, ApiKeyService } from "@effect-api-keys/core"
import { HttpFaults } from "@effect-api-keys/core/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

const bound = Layer.unwrap(
  Effect.map(MailerPatchSandbox.MailerPatchSandbox, ({ credential }) =>
    MailerPatch.layer({ apiKey: credential, defaults: { rate: "unlimited" }, retry: false })
  )
).pipe(Layer.provideMerge(HttpFaults.layer), Layer.provideMerge(MailerPatchSandbox.layerClient()))

const test = <A, E>(name: string, run: Effect.Effect<A, E, Layer.Success<typeof bound>>) =>
  it.effect(name, () => Effect.provide(run, bound))

/** What was sent to a path, but for the reads. */
const sent = Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, ({ requests }) =>
  Effect.map(requests, (all) =>
    all.flatMap(
      ({ body, method, path }): ReadonlyArray<readonly [string, unknown]> =>
        path.endsWith("/view") ? [] : [[`${method} ${path.slice("/v3/api_keys/".length)}`, body]]
    )
  )
)

/** The keys but the manager's. */
const minted = Effect.flatMap(MailerPatchSandbox.MailerPatchSandbox, ({ keys }) =>
  Effect.map(keys, (all) => all.slice(1))
)

describe("a create with an intent", () => {
  for (const status of ["allowed", "sandbox"] as const) {
    test(
      `is blocked under its marker, delivered, switched to ${status}, and renamed`,
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
        const intent = yield* keys.prepare("create")
        const then: Array<unknown> = []
        const spec = { name: "acme", ...(status === "sandbox" ? { options: { smtp2go: { status } } } : {}) }
        const { name, secret } = yield* keys.create(spec, {
          intent,
          deliver: () => Effect.map(vendor.keys, (all) => void then.push(all.at(-1)?.status))
        })
        const id = Redacted.value(secret)
        assert.deepStrictEqual(yield* sent, [
          [
            "POST add",
            {
              description: `acme ${intent.marker}`,
              custom_ratelimit: false,
              endpoints: ["/email/send"],
              status: "blocked"
            }
          ],
          ["PATCH edit", { id, status }],
          ["PATCH edit", { id, description: "acme" }]
        ])
        assert.deepStrictEqual(then, ["blocked"])
        assert.deepStrictEqual(name, Option.some("acme"))
        assert.deepStrictEqual(
          (yield* minted).map(({ description, status }) => [description, status]),
          [["acme", status]]
        )
      })
    )
  }

  test(
    "of a key that is to be blocked leaves it so",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const spec = { name: "acme", options: { smtp2go: { status: "blocked" } } } as const
      yield* keys.create(spec, { intent: yield* keys.prepare("create") })
      assert.deepStrictEqual(
        (yield* sent).map(([call]) => call),
        ["POST add", "PATCH edit"]
      )
      assert.deepStrictEqual(
        (yield* minted).map(({ description, status }) => [description, status]),
        [["acme", "blocked"]]
      )
    })
  )

  test(
    "that cannot be switched on is removed, and says why",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const http = yield* HttpFaults.HttpFaults
      const intent = yield* keys.prepare("create")
      yield* http.inject({ status: 500 }, { method: "PATCH" })
      const error = yield* Effect.flip(keys.create({ name: "acme" }, { intent, deliver: () => Effect.void }))
      assert.deepStrictEqual([error.reason._tag, error.operation], ["PartiallyApplied", "create"])
      assert.deepStrictEqual(yield* minted, [])
    })
  )

  test(
    "without one nothing is blocked, and nothing is renamed",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      yield* keys.create({ name: "acme" }, { deliver: () => Effect.void })
      const [[call, body] = [], ...more] = yield* sent
      assert.deepStrictEqual([call, more], ["POST add", []])
      assert.deepNestedInclude(body, { status: "allowed", description: "acme" })
    })
  )
})

describe("a rotation with an intent", () => {
  test(
    "copies the key under its marker, and renames the copy when the old key is blocked",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { addKey } = yield* MailerPatchSandbox.MailerPatchSandbox
      const old = yield* addKey({ description: "acme", status: "sandbox" })
      const ref = keys.ref(Redacted.make(old.secret))
      const intent = yield* keys.prepare(ref)
      const { issued, previous } = yield* keys.rotate(ref, { intent, deliver: () => Effect.void })
      assert.strictEqual(previous, "retired")
      const id = Redacted.value(issued.secret)
      const [, ...after] = yield* sent
      assert.deepStrictEqual(after, [
        ["PATCH edit", { id, status: "sandbox" }],
        ["PATCH edit", { id: old.secret, status: "blocked" }],
        ["PATCH edit", { id, description: "acme" }]
      ])
      assert.deepStrictEqual(
        (yield* minted).map(({ description, status }) => [description, status]),
        [
          ["acme", "blocked"],
          ["acme", "sandbox"]
        ]
      )
    })
  )

  test(
    "with `activate: false` leaves the copy blocked, for `enable` with the status from before",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService.can("rotate", "overlap", "prepare", "enable")
      const { addKey } = yield* MailerPatchSandbox.MailerPatchSandbox
      const old = yield* addKey({ description: "acme", status: "sandbox" })
      const ref = keys.ref(Redacted.make(old.secret))
      const intent = yield* keys.prepare(ref)
      const { issued } = yield* keys.rotate(ref, {
        activate: false,
        deliver: () => Effect.void,
        intent,
        keepPrevious: true
      })
      const statuses = Effect.map(minted, (all) => all.map(({ description, status }) => [description, status]))
      assert.deepStrictEqual(yield* statuses, [
        ["acme", "sandbox"],
        ["acme", "blocked"]
      ])
      yield* keys.enable(issued.ref, { as: "sandbox" })
      assert.deepStrictEqual(yield* statuses, [
        ["acme", "sandbox"],
        ["acme", "sandbox"]
      ])
    })
  )

  test(
    "of a key without a name: the copy is called by its marker, which a later copy does not inherit",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { addKey } = yield* MailerPatchSandbox.MailerPatchSandbox
      const old = yield* addKey({ description: null })
      const ref = keys.ref(Redacted.make(old.secret))
      const intent = yield* keys.prepare(ref)
      const { issued } = yield* keys.rotate(ref, { intent, deliver: () => Effect.void })
      assert.deepStrictEqual(issued.name, Option.some(intent.marker))
      const again = yield* keys.rotate(issued.ref, { deliver: () => Effect.void })
      assert.deepStrictEqual(again.issued.name, Option.none())
      assert.deepStrictEqual(
        (yield* minted).map(({ description }) => description),
        [null, intent.marker, null]
      )
    })
  )

  test(
    "of the manager's own key: the copy works at once, as ever",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { credential } = yield* MailerPatchSandbox.MailerPatchSandbox
      const intent = yield* keys.prepare(keys.ref(credential))
      yield* Effect.exit(keys.rotate(keys.ref(credential), { intent }))
      const [[, body] = []] = yield* sent
      assert.deepNestedInclude(body, { status: "allowed" })
    })
  )
})

describe("a lost mint", () => {
  for (const verb of ["create", "rotate"] as const) {
    test(
      `${verb}: is off, and can be found by a person; nothing here can remove it`,
      Effect.gen(function* () {
        const keys = yield* ApiKeyService
        const http = yield* HttpFaults.HttpFaults
        const vendor = yield* MailerPatchSandbox.MailerPatchSandbox
        const old = yield* keys.create({ name: "acme" })
        const intent = yield* keys.prepare(verb === "create" ? "create" : old.ref)
        yield* http.inject("resetAfterCommit", { url: "/add" })
        const mint: Effect.Effect<unknown, ApiKeyError> =
          verb === "create" ? keys.create({ name: "acme" }, { intent }) : keys.rotate(old.ref, { intent })
        yield* Effect.flip(mint)
        const orphan = (yield* minted).at(-1)
        const found = yield* keys.recover(intent)
        assert(found._tag === "Orphaned")
        assert.deepStrictEqual(
          [found.handle, Option.isSome(found.ref), found.revocable, found.inert],
          [orphan?.username, false, false, true]
        )
        assert.isTrue(yield* vendor.isLive(Redacted.value(old.secret)))
        // As before June 2026: an address that is shown can be used.
        yield* vendor.setHabits({ masked: false })
        const shown = yield* keys.recover(intent)
        assert(shown._tag === "Orphaned" && shown.revocable)
        yield* keys.delete(Option.getOrThrow(shown.ref))
        assert.lengthOf(yield* minted, 1)
      })
    )
  }

  test(
    "a key that someone made meanwhile without a name might be it",
    Effect.gen(function* () {
      const keys = yield* ApiKeyService
      const { addKey } = yield* MailerPatchSandbox.MailerPatchSandbox
      yield* addKey({ description: null })
      const intent = yield* keys.prepare("create")
      assert.strictEqual((yield* keys.recover(intent))._tag, "NotSeen")
      const { username } = yield* addKey({ description: null })
      const found = yield* keys.recover(intent)
      assert.deepStrictEqual(found, { _tag: "Undetermined", problem: "unnamed", candidates: [username] })
    })
  )
})
