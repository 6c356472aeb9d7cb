import { assert, describe, it } from "@effect/vitest"
import {
  ApiKeyError,
  InvalidRequest,
  KeyNotFound,
  KeyRef,
  MintIntent,
  OutcomeUnknown,
  ProviderUnavailable
} from "@effect-api-keys/core"
import * as JetEmail from "@effect-api-keys/jetemail"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { Account } from "../src/Rotation.ts"
import type { Orphan } from "../src/Slot.ts"
import { adopted, breathe, fixture, hasEnded, id, isAt, isIn, mapKeys, pass, stepOf, until } from "./fixture.ts"
import { type World, worlds } from "./support/vendors.ts"

const unwatched = { watch: "1000 days" } as const
const alive = ({ keys }: World) =>
  Effect.map(keys, (all) => all.filter((key) => key.alive).map(({ address }) => address))
const addressOf = (ref: KeyRef) => Redacted.value(ref.value)
const fails = (operation: string, reason: ApiKeyError["reason"], provider = "smtp2go") =>
  Effect.fail(new ApiKeyError({ provider, operation, reason }))

describe("R1 revokeAndReplace under the name of a running rotate", () => {
  it.effect("contains", () =>
    Effect.gen(function* () {
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.start(id, { rotationId: "ticket-1", overlap: "30 days" })
      yield* until(isIn(rotation, "overlap"))
      const answer = yield* Effect.result(rotation.revokeAndReplace(first.secret, { rotationId: "ticket-1" }))
      yield* pass("10 minutes")
      const live = yield* alive(world)
      assert.isFalse(
        answer._tag === "Success" && live.includes(addressOf(first.ref)),
        `answered ${JSON.stringify(answer)}, and the leaked key lives`
      )
    })
  )
  it.effect("a second leak, of another key, under one incident's name", () =>
    Effect.gen(function* () {
      const { rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      yield* rotation.revokeAndReplace(id, { rotationId: "incident" })
      yield* until(hasEnded(rotation))
      const { current } = yield* vault.read(id)
      const answer = yield* Effect.result(
        rotation.revokeAndReplace(Option.getOrThrow(current.secret), { rotationId: "incident" })
      )
      yield* pass("10 minutes")
      assert.isFalse(answer._tag === "Success" && (yield* alive(world)).includes(addressOf(current.ref)))
    })
  )
})

/** Fails to get a key for as long as it is set. */
const unread = (down: { now: boolean }) => (account: Account) =>
  mapKeys(account, (keys) => ({
    ...keys,
    get: (ref) =>
      Effect.suspend(() =>
        down.now ? fails("get", new ProviderUnavailable({ problem: "transport", sent: false } as never)) : keys.get(ref)
      )
  }))

describe("R2 after an incident that ended as contained: smtp2go", () => {
  for (const next of ["revokeAndReplace", "start"] as const) {
    it.effect(`${next}: completed means a key that works`, () =>
      Effect.gen(function* () {
        const down = { now: false }
        const { rotation, world } = yield* adopted("smtp2go", { ...unwatched, overlap: 0 }, { account: unread(down) })
        down.now = true
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* until(hasEnded(rotation))
        const r1 = yield* stepOf(rotation)
        assert.deepStrictEqual([r1?.outcome, r1?.problem], ["contained", "Undetermined"])
        down.now = false
        if (next === "start") yield* rotation.start(id, { rotationId: "r2" })
        else yield* rotation.revokeAndReplace(id, { rotationId: "r2" })
        yield* until(hasEnded(rotation))
        const r2 = yield* stepOf(rotation)
        const live = yield* alive(world)
        assert.isFalse(
          r2?.outcome === "completed" && live.length === 0,
          `${r2?.outcome} ${r2?.problem}, alive: ${live.length}`
        )
      })
    )
  }
  it.effect("a replace that fails in the mint is no `failed` whose key was left as it was; it is in attention", () =>
    Effect.gen(function* () {
      const { rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => ({
            ...keys,
            rotate: () => fails("rotate", new InvalidRequest({ source: "provider", issues: [] } as never))
          }))
      })
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      const r1 = yield* stepOf(rotation)
      const listed = yield* Stream.runCollect(rotation.attention())
      assert.strictEqual((yield* alive(world)).length, 0)
      assert.notStrictEqual(r1?.outcome, "failed", `problem ${r1?.problem}; attention lists ${listed.length}`)
    })
  )
  it.effect("attention lists a slot whose key was shut off and not replaced", () =>
    Effect.gen(function* () {
      const down = { now: false }
      const { rotation } = yield* adopted("smtp2go", unwatched, { account: unread(down) })
      down.now = true
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      assert.isAbove((yield* Stream.runCollect(rotation.attention())).length, 0)
    })
  )
  it.effect("blocked by a person first, then revokeAndReplace", () =>
    Effect.gen(function* () {
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched)
      yield* world.people.disable(addressOf(first.ref))
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      const r1 = yield* stepOf(rotation)
      assert.isFalse(r1?.outcome === "completed" && r1.problem === undefined && (yield* alive(world)).length === 0)
    })
  )
  it.effect("the same key in two slots, replaced one after the other", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched)
      const other = { account: "main", slot: "b" }
      yield* rotation.adopt(other, first)
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      yield* rotation.revokeAndReplace(other, { rotationId: "r1" })
      yield* until(hasEnded(rotation, other))
      const b = yield* stepOf(rotation, other)
      const live = yield* alive(world)
      const { current } = yield* vault.read(other)
      assert.isFalse(
        b?.outcome === "completed" && !live.includes(addressOf(current.ref)),
        `${b?.outcome}: current is dead`
      )
    })
  )
  it.effect("the same key in two slots: a rotation of one does not kill the other's current key", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", { ...unwatched, overlap: 0 })
      const other = { account: "main", slot: "b" }
      const taken = yield* Effect.result(rotation.adopt(other, first))
      if (taken._tag === "Failure") return
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      const live = yield* alive(world)
      const { current } = yield* vault.read(other)
      assert.isTrue(live.includes(addressOf(current.ref)))
    })
  )
})

describe("R4 jetemail's list is masked, and a key leaked", () => {
  for (const how of ["setMasked", "setLegacy"] as const) {
    it.effect(`${how}: it is shut off`, () =>
      Effect.gen(function* () {
        const { rotation, world } = yield* adopted("jetemail", unwatched)
        yield* world[how]?.(true) ?? Effect.void
        const [answer] = yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("3 days", "10 minutes")
        const last = yield* stepOf(rotation)
        assert.strictEqual(
          (yield* alive(world)).length,
          0,
          `answered ${answer?.problem}; after three days: ${last?.step} ${last?.outcome} ${last?.problem} overdue ${last?.overdue} attempts ${last?.attempts}`
        )
      })
    )
  }
})

describe("R5 jetemail: the manager's credential is another one, by the time a lost rotation is looked for", () => {
  it.effect("goes on", () =>
    Effect.gen(function* () {
      let cut = true
      let label = "handle-key-1"
      const made = yield* fixture("jetemail", {
        client: (world) =>
          HttpClient.transform(world.client, (send, request) =>
            request.method === "POST" && cut ? Effect.andThen(send, Effect.never) : send
          ),
        account: (account) => account
      })
      const keysOf = (handleKey: string) =>
        JetEmail.layer({
          rateLimit: false,
          retry: false,
          timeout: "5 seconds",
          apiKey: Redacted.make(made.world.credential),
          handleKey: Redacted.make(handleKey),
          account: "main",
          defaults: { domains: "any", ips: "any", quota: "unlimited" }
        } as never).pipe(
          Layer.provide(
            Layer.succeed(
              HttpClient.HttpClient,
              HttpClient.transform(made.world.client, (send, request) =>
                request.method === "POST" && cut ? Effect.andThen(send, Effect.never) : send
              )
            )
          )
        )
      const options = () => ({
        ...unwatched,
        accounts: (name: string) => (name === "main" ? { keys: keysOf(label), verify: "none" as const } : undefined)
      })
      const one = yield* made.machine(options() as never)
      yield* one.rotation.adopt(id, made.first)
      yield* one.rotation.start(id, { rotationId: "r1" })
      yield* until(
        Effect.map(
          one.rotation.poll(id),
          Option.exists(({ attempts }) => attempts > 0)
        )
      )
      yield* one.close
      cut = false
      label = "handle-key-2"
      const two = yield* made.machine({ ...options(), watch: "5 minutes" } as never)
      yield* pass("3 days", "10 minutes")
      const last = yield* stepOf(two.rotation)
      const slot = yield* two.vault.read(id)
      const live = yield* alive(made.world)
      assert.include(
        live,
        addressOf(slot.current.ref),
        `${last?.step} ${last?.outcome} ${last?.problem} attempts ${last?.attempts}`
      )
    })
  )
})

describe("R6 an orphan that is taken in again", () => {
  for (const name of ["voiceable", "smtp2go"] as const) {
    it.effect(`${name}: the sweep leaves the current key alone`, () =>
      Effect.gen(function* () {
        const { rotation, vault, world } = yield* adopted(name, { watch: "5 minutes", overlap: 0 })
        const address = yield* world.people.add("minted, and not taken in")
        const ref = new KeyRef({ provider: name, account: "main", value: Redacted.make(address) })
        const orphan: Orphan = {
          handle: name === "voiceable" ? `voiceable_${address}` : "h",
          ref: Option.some(ref),
          inert: false,
          origin: "unclaimed",
          rotationId: "r0",
          foundAt: yield* Clock.currentTimeMillis
        }
        yield* rotation.start(id, { rotationId: "r0" })
        yield* until(hasEnded(rotation))
        yield* vault.addOrphan(id, orphan)
        yield* rotation.adopt(id, { ref }, { replace: true })
        assert.include(yield* alive(world), address)
        yield* pass("30 minutes")
        assert.include(yield* alive(world), address, "the current key was shut off")
      })
    )
  }
})

/** The vendor knows none of the slot's keys for a while, as one of another account says. */
const elsewhere = (provider: string, now: { is: boolean }) => (account: Account) =>
  mapKeys(account, (keys) => {
    const none = (operation: string) => fails(operation, new KeyNotFound(), provider)
    return {
      ...keys,
      get: (ref) => Effect.suspend(() => (now.is ? none("get") : keys.get(ref))),
      revoke: (ref) => Effect.suspend(() => (now.is ? none("revoke") : keys.revoke(ref))),
      delete: (ref: KeyRef) => Effect.suspend(() => (now.is ? none("delete") : keys.delete(ref))),
      rotate: (ref: KeyRef, options: never) =>
        Effect.suspend(() => (now.is ? none("rotate") : keys.rotate(ref, options))) as never
    }
  })

describe("R7 the manager's credential is one of another account for a while: all is not found", () => {
  for (const name of ["voiceable", "smtp2go"] as const) {
    for (const step of ["activate", "promote"] as const) {
      it.effect(`${name}: in ${step}: no live key leaves the books`, () =>
        Effect.gen(function* () {
          const now = { is: false }
          const { rotation, vault, world } = yield* adopted(name, unwatched, {
            account: (account) => {
              const wrapped = elsewhere(name, now)(account)
              const { verify } = wrapped
              return {
                ...mapKeys(wrapped, (keys) => ({
                  ...keys,
                  rotate: (ref: KeyRef, options: never) =>
                    Effect.tap(keys.rotate(ref, options) as never, () =>
                      Effect.sync(() => {
                        if (step === "activate") now.is = true
                      })
                    ) as never
                })),
                verify: (key) =>
                  Effect.tap(verify === "none" ? Effect.succeed("accepted" as const) : verify(key), () =>
                    Effect.sync(() => {
                      if (step === "promote") now.is = true
                    })
                  )
              }
            }
          })
          yield* rotation.start(id, { rotationId: "r1" })
          yield* pass("2 minutes", "1 second")
          now.is = false
          yield* pass("1 hour")
          const slot = yield* vault.read(id)
          const live = yield* alive(world)
          const held = [slot.current, ...Option.toArray(slot.pending), ...Option.toArray(slot.previous)].map(
            ({ ref }) => addressOf(ref)
          )
          const booked = [...held, ...slot.orphans.flatMap(({ ref }) => Option.toArray(Option.map(ref, addressOf)))]
          const names = (yield* world.keys)
            .filter(({ address }) => live.includes(address) && !booked.includes(address))
            .map(({ name: n, marker }) => `${n}`)
          const open = slot.intents.length
          const last = yield* stepOf(rotation)
          assert.deepStrictEqual(names, [], `${last?.outcome} ${last?.problem}; intents ${open}`)
        })
      )
    }
    it.effect(`${name}: revokeAndReplace does not say contained of a key that lives`, () =>
      Effect.gen(function* () {
        const now = { is: false }
        const { first, rotation, world } = yield* adopted(name, unwatched, { account: elsewhere(name, now) })
        now.is = true
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("1 hour")
        const last = yield* stepOf(rotation)
        assert.isFalse(
          last?.outcome !== undefined && (yield* alive(world)).includes(addressOf(first.ref)),
          `${last?.outcome} ${last?.problem}`
        )
      })
    )
  }
})

describe("R8 a broken management credential at the beginning of an incident", () => {
  for (const name of ["smtp2go", "voiceable"] as const) {
    it.effect(`${name}: once it is mended, what leaked is replaced`, () =>
      Effect.gen(function* () {
        const { first, rotation, world } = yield* adopted(name, unwatched)
        yield* world.setBroken(true)
        yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("1 minute", "1 second")
        assert.include(yield* alive(world), addressOf(first.ref))
        yield* world.setBroken(false)
        yield* pass("1 hour")
        const last = yield* stepOf(rotation)
        assert.strictEqual((yield* alive(world)).length, 1, `${last?.outcome} ${last?.problem}`)
      })
    )
  }
})

describe("R9 jetemail: a rotation whose first request was lost, and whose next ones are refused", () => {
  for (const kind of ["rotate", "replace"] as const) {
    it.effect(`${kind}: it ends, and what leaked is off`, () =>
      Effect.gen(function* () {
        let posts = 0
        const { rotation, world } = yield* adopted("jetemail", unwatched, {
          account: (account) =>
            mapKeys(account, (keys) => ({
              ...keys,
              rotate: (() => {
                posts++
                return posts === 1
                  ? fails("rotate", new OutcomeUnknown({ problem: "transport", issues: [] } as never), "jetemail")
                  : fails("rotate", new InvalidRequest({ source: "provider", issues: [] } as never), "jetemail")
              }) as never
            }))
        })
        if (kind === "rotate") yield* rotation.start(id, { rotationId: "r1" })
        else yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
        yield* pass("3 days", "10 minutes")
        const last = yield* stepOf(rotation)
        const live = yield* alive(world)
        assert.isDefined(
          last?.outcome,
          `${last?.step} ${last?.problem} attempts ${last?.attempts} mints ${last?.mints}; posts ${posts}; alive ${live.length}`
        )
        if (kind === "replace") assert.strictEqual(live.length, 0)
      })
    )
  }
})

describe("R10 a new management credential, while several rotations wait for it", () => {
  it.effect("is read", () =>
    Effect.gen(function* () {
      let builds = 0
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) => ({
          ...account,
          keys: Layer.unwrap(
            Effect.sync(() => {
              builds++
              return account.keys
            })
          )
        })
      })
      void first
      const slots = Array.from({ length: 24 }, (_, n) => ({ account: "main", slot: `s${n}` }))
      const { handle } = (yield* vault.read(id)).current
      for (const of of slots) {
        const address = yield* world.people.add(of.slot)
        yield* vault.adopt(of, {
          ref: new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) }),
          handle: `${handle}${of.slot}`,
          secret: Redacted.make(address)
        })
      }
      yield* world.setBroken(true)
      const before = builds
      for (const of of slots) {
        yield* rotation.start(of, { rotationId: "r1" })
        yield* pass("40 seconds", "10 seconds")
      }
      yield* pass("24 hours", "1 minute")
      const last = yield* stepOf(rotation, slots[0])
      assert.isAbove(
        builds,
        before,
        `in a day the layer was never built anew; ${last?.step} ${last?.problem} attempts ${last?.attempts}`
      )
    })
  )
})

describe("R11 a process that runs for a few minutes every hour", () => {
  it.effect("sweeps what is left of a rotation that has ended", () =>
    Effect.gen(function* () {
      const made = yield* fixture("voiceable")
      const one = yield* made.machine({ overlap: 0, watch: "5 minutes" })
      yield* one.rotation.adopt(id, made.first)
      yield* one.rotation.start(id, { rotationId: "r0" })
      yield* until(hasEnded(one.rotation))
      const address = yield* made.world.people.add("left behind")
      yield* one.vault.addOrphan(id, {
        handle: "left",
        ref: Option.some(new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })),
        inert: false,
        origin: "lost",
        rotationId: "r0",
        foundAt: 0
      })
      yield* one.close
      yield* pass("30 minutes")
      for (let hour = 0; hour < 24 * 14; hour++) {
        yield* pass("58 minutes", "29 minutes")
        const next = yield* made.machine({ watch: "5 minutes" })
        yield* pass("2 minutes", "30 seconds")
        yield* next.close
      }
      assert.notInclude(yield* alive(made.world), address, "after two weeks, and 336 processes, it lives")
    })
  )
})

describe("R12 contain", () => {
  it.effect("shuts the previous key off also where the current one cannot be", () =>
    Effect.gen(function* () {
      let stubborn: string | undefined
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => ({
            ...keys,
            revoke: (ref) =>
              addressOf(ref) === stubborn
                ? fails("revoke", new InvalidRequest({ source: "client", issues: [] } as never))
                : keys.revoke(ref)
          }))
      })
      yield* rotation.start(id, { rotationId: "r1", overlap: "30 days" })
      yield* until(isIn(rotation, "overlap"))
      stubborn = addressOf((yield* vault.read(id)).current.ref)
      yield* rotation.revokeAndReplace(id, { rotationId: "r2" })
      yield* pass("3 hours")
      assert.notInclude(yield* alive(world), addressOf(first.ref))
    })
  )
})

describe("R13 adopt", () => {
  it.effect("a wrong secret can be put right", () =>
    Effect.gen(function* () {
      const made = yield* fixture("voiceable")
      const { rotation } = yield* made.machine(unwatched)
      yield* rotation.adopt(id, { ref: made.first.ref, secret: Redacted.make("api_test_wrong") })
      yield* rotation.adopt(id, made.first, { replace: true })
    })
  )
})

describe("R14 smtp2go: a new key that is given up", () => {
  it.effect("is in the ledger, for a person to remove", () =>
    Effect.gen(function* () {
      let asked = 0
      const { first, rotation, vault, world } = yield* adopted(
        "smtp2go",
        { ...unwatched, overlap: 0 },
        {
          account: (account) => ({
            ...account,
            verify: ({ secret }) =>
              Effect.sync(() => {
                if (Redacted.value(secret).includes("003")) return "accepted" as const
                if (Redacted.value(secret).includes("002")) asked++
                return Redacted.value(secret).includes("002") ? ("rejected" as const) : ("accepted" as const)
              })
          })
        }
      )
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      const slot = yield* vault.read(id)
      const others = (yield* world.keys).filter(
        ({ address }) => ![addressOf(first.ref), addressOf(slot.current.ref)].includes(address)
      )
      assert.isAbove(asked, 0)
      assert.deepStrictEqual(
        slot.orphans.map(({ handle }) => handle),
        others.map(({ handle }) => handle!),
        "orphans; keys at the vendor"
      )
    })
  )
})

describe("R15 smtp2go: the old key is changed for just the moment in which it is copied", () => {
  it.effect("its successor is no other than it", () =>
    Effect.gen(function* () {
      let world_: World | undefined
      const change = (address: string, archive: boolean) =>
        Effect.suspend(() =>
          world_!.client.execute(
            HttpClientRequest.patch("https://api.smtp2go.com/v3/api_keys/edit").pipe(
              HttpClientRequest.setHeaders({ "x-by-hand": "yes", "x-smtp2go-api-key": world_!.credential }),
              HttpClientRequest.bodyJsonUnsafe({ id: address, archive_enabled: archive })
            )
          )
        ).pipe(
          Effect.flatMap(({ text }) => text),
          Effect.orDie
        )
      const { first, rotation, vault, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => ({
            ...keys,
            rotate: ((ref: KeyRef, options: never) =>
              Effect.andThen(
                change(addressOf(ref), true),
                Effect.tap(keys.rotate(ref, options) as Effect.Effect<unknown>, () => change(addressOf(ref), false))
              )) as never
          }))
      })
      world_ = world
      yield* change(addressOf(first.ref), false)
      const settings = (yield* world.keys)[0]?.settings
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(Effect.map(stepOf(rotation), (last) => last?.step === "overlap" || last?.outcome !== undefined))
      const slot = yield* vault.read(id)
      const keys = yield* world.keys
      assert.strictEqual(keys.find(({ address }) => address === addressOf(first.ref))?.settings, settings)
      const current = keys.find(({ address }) => address === addressOf(slot.current.ref))
      const last = yield* stepOf(rotation)
      assert.strictEqual(current?.settings, settings, `${last?.step} ${last?.outcome}`)
    })
  )
})

describe("R16 an orphan, and a sweep under another account's credential", () => {
  for (const how of ["watch", "settle"] as const) {
    it.effect(`${how}: it stays in the books`, () =>
      Effect.gen(function* () {
        const now = { is: false }
        const { rotation, vault, world } = yield* adopted(
          "voiceable",
          { overlap: 0, watch: "5 minutes" },
          { account: elsewhere("voiceable", now) }
        )
        yield* rotation.start(id, { rotationId: "r0" })
        yield* until(hasEnded(rotation))
        const address = yield* world.people.add("left behind")
        now.is = true
        yield* vault.addOrphan(id, {
          handle: "left",
          ref: Option.some(new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) })),
          inert: false,
          origin: "lost",
          rotationId: "r0",
          foundAt: 0
        })
        if (how === "settle") yield* Effect.exit(rotation.settle(id, "left"))
        else yield* pass("11 minutes")
        now.is = false
        const { orphans } = yield* vault.read(id)
        assert.isFalse((yield* alive(world)).includes(address) && orphans.length === 0)
      })
    )
  }
})

describe("R17 jetemail: a lost reply, a night, and one look under another account's credential", () => {
  it.effect("the key that is alive is still to be found", () =>
    Effect.gen(function* () {
      const other = yield* worlds.jetemail
      const state = { cut: true, other: false }
      const made = yield* fixture("jetemail", {
        client: (world) =>
          HttpClient.make((request) =>
            state.other
              ? other.client.execute(request)
              : request.method === "POST" && state.cut
                ? Effect.andThen(world.client.execute(request), Effect.never)
                : world.client.execute(request)
          )
      })
      const one = yield* made.machine(unwatched)
      yield* one.rotation.adopt(id, made.first)
      yield* one.rotation.start(id, { rotationId: "r1" })
      yield* until(Effect.map(made.world.mints, (n) => n === 1))
      yield* Effect.forkDetach(one.close)
      yield* pass("1 minute")
      const before = (yield* one.vault.read(id)).intents.length
      assert.strictEqual(before, 1)
      state.cut = false
      state.other = true
      yield* pass("12 hours", "1 hour")
      const two = yield* made.machine({ watch: "5 minutes" })
      yield* pass("1 minute", "5 seconds")
      state.other = false
      yield* pass("6 hours", "5 minutes")
      const slot = yield* two.vault.read(id)
      const last = yield* stepOf(two.rotation)
      const live = yield* alive(made.world)
      assert.isTrue(
        live.includes(addressOf(slot.current.ref)) || slot.intents.length > 0,
        `${last?.outcome} ${last?.problem}, intents ${slot.intents.length}: the live key is in no book, and the current one is dead`
      )
    })
  )
})

describe("R18 a clock that is behind: an incident that is taken over by another", () => {
  it.effect("completed means a key that works", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("10 minutes")
      const { rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => {
            let n = 0
            return {
              ...keys,
              rotate: ((ref: KeyRef, options: never) =>
                n++ === 0
                  ? fails("rotate", new ProviderUnavailable({ problem: "transport", sent: false } as never))
                  : keys.rotate(ref, options)) as never
            }
          })
      })
      yield* TestClock.setTime(5 * 60_000)
      yield* rotation.revokeAndReplace(id, { rotationId: "r1" })
      yield* breathe
      yield* rotation.revokeAndReplace(id, { rotationId: "r2" })
      yield* until(hasEnded(rotation))
      const r2 = yield* stepOf(rotation)
      assert.isFalse(r2?.outcome === "completed" && (yield* alive(world)).length === 0, `${r2?.outcome}`)
    })
  )
})

describe("R19 smtp2go: the vendor has suspended the key for now, and the schedule rotates it", () => {
  it.effect("completed means a key that is as alive as the old one, once it is let go on", () =>
    Effect.gen(function* () {
      let suspended = true
      const { first, rotation, world } = yield* adopted(
        "smtp2go",
        { ...unwatched, overlap: 0 },
        {
          account: (account) =>
            mapKeys(account, (keys) => ({
              ...keys,
              get: (ref) =>
                Effect.map(keys.get(ref), (key) =>
                  suspended && addressOf(ref) === "" + firstAddress
                    ? new Proxy(key, {
                        get: (target, name) => (name === "status" ? "suspended" : Reflect.get(target, name))
                      })
                    : key
                )
            }))
        }
      )
      firstAddress = addressOf(first.ref)
      yield* rotation.start(id, { rotationId: "r1" })
      yield* until(hasEnded(rotation))
      suspended = false
      const r1 = yield* stepOf(rotation)
      assert.isFalse(r1?.outcome === "completed" && (yield* alive(world)).length === 0, `${r1?.outcome} ${r1?.problem}`)
    })
  )
})
let firstAddress = ""

describe("R20 jetemail: the list cannot tell what became of a rotation, and a person has looked", () => {
  it.effect("there is a way out", () =>
    Effect.gen(function* () {
      let tokens = 0
      const { rotation, vault, world } = yield* adopted("jetemail", unwatched, {
        account: (account) =>
          mapKeys(account, (keys) => ({
            ...keys,
            rotate: (() => {
              tokens++
              return fails("rotate", new OutcomeUnknown({ problem: "transport", issues: [] } as never), "jetemail")
            }) as never,
            recover: (() => Effect.succeed({ _tag: "Undetermined", problem: "several", candidates: [] })) as never
          }))
      })
      yield* rotation.start(id, { rotationId: "r1" })
      yield* pass("3 days", "10 minutes")
      const last = yield* stepOf(rotation)
      assert.deepStrictEqual([last?.outcome, last?.problem], [undefined, "Undetermined"])
      assert.isAbove(tokens, 0)
      const [intent] = (yield* vault.read(id)).intents
      const address = yield* world.people.add("made by hand")
      const ref = new KeyRef({ provider: "jetemail", account: "main", value: Redacted.make(address) })
      const settled = yield* Effect.result(rotation.settle(id, intent!.intent.marker))
      const put = yield* Effect.result(rotation.adopt(id, { ref, secret: Redacted.make(address) }, { replace: true }))
      const started = yield* Effect.result(rotation.start(id, { rotationId: "r2" }))
      const incident = yield* Effect.result(rotation.revokeAndReplace(id, { rotationId: "r3" }))
      yield* pass("1 day", "10 minutes")
      const then = yield* stepOf(rotation)
      const say = (r: { _tag: string; failure?: unknown }) =>
        r._tag === "Success" ? "ok" : String((r as never as { failure: { problem: string } }).failure.problem)
      assert.isDefined(
        then?.outcome,
        `settle ${say(settled)}, adopt ${say(put)}, start ${say(started)}, revokeAndReplace ${say(incident)} and then ${then?.id} ${then?.step} ${then?.problem}`
      )
    })
  )
})

describe("R21 a webhook that reports the same leak again and again, without a name", () => {
  it.effect("does not mint for ever", () =>
    Effect.gen(function* () {
      const { first, rotation, world } = yield* adopted("smtp2go", unwatched, {
        account: (account) => ({ ...account, verify: () => Effect.succeed("unclear" as const) })
      })
      for (let n = 0; n < 30; n++) {
        yield* Effect.exit(rotation.revokeAndReplace(first.secret))
        yield* pass("1 minute", "5 seconds")
      }
      assert.isAtMost(yield* world.mints, 5)
    })
  )
})

describe("R22 the schedule, with `overdueAfter` without end", () => {
  it.effect("one account that does not answer does not keep the others from being rotated", () =>
    Effect.gen(function* () {
      const made = yield* fixture("smtp2go")
      const good = made.world
      const bad = yield* worlds.voiceable
      const machine = yield* made.machine({
        ...unwatched,
        overdueAfter: "1000 days",
        accounts: (name: string) => (name === "bad" ? bad.account(bad.client) : good.account(good.client))
      })
      for (let n = 0; n < 10; n++) {
        const address = yield* bad.people.add(`k${n}`)
        yield* machine.vault.adopt(
          { account: "bad", slot: `s${n}` },
          {
            ref: new KeyRef({ provider: "voiceable", account: "main", value: Redacted.make(address) }),
            handle: `voiceable_${address}`
          }
        )
      }
      yield* machine.rotation.adopt(id, made.first)
      yield* bad.setBroken(true)
      const { forkChild } = Effect
      yield* forkChild(machine.rotation.schedule({ every: "1 hour", jitter: 0, check: "1 minute" }))
      yield* pass("12 hours", "10 minutes")
      assert.isDefined(yield* stepOf(machine.rotation), "not even started, eleven hours after it was due")
    })
  )
})

describe("R23 a vendor that shows a new key three seconds late", () => {
  for (const name of ["voiceable", "smtp2go"] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const born = new Map<string, number>()
        const { rotation, world } = yield* adopted(
          name,
          { ...unwatched, overlap: 0 },
          {
            account: (account) =>
              mapKeys(account, (keys) => ({
                ...keys,
                rotate: ((ref: KeyRef, options: never) =>
                  Effect.tap(
                    keys.rotate(ref, options) as never as Effect.Effect<{ issued: { ref: KeyRef } }>,
                    ({ issued }) => Effect.map(Clock.currentTimeMillis, (now) => born.set(addressOf(issued.ref), now))
                  )) as never,
                get: (ref) =>
                  Effect.flatMap(Clock.currentTimeMillis, (now) =>
                    now < (born.get(addressOf(ref)) ?? -10_000) + 3000
                      ? fails("get", new KeyNotFound(), name)
                      : keys.get(ref)
                  )
              }))
          }
        )
        yield* rotation.start(id, { rotationId: "r1" })
        yield* pass("1 hour", "1 second")
        const last = yield* stepOf(rotation)
        assert.strictEqual(last?.outcome, "completed", `${last?.outcome} ${last?.problem}; mints ${yield* world.mints}`)
      })
    )
  }
})

describe("R24 (c1925b6) a leaked orphan, while a rotation is in its overlap", () => {
  it.effect("no live key leaves the books", () =>
    Effect.gen(function* () {
      const { first, rotation, vault, world } = yield* adopted("smtp2go", { watch: "5 minutes" })
      yield* rotation.start(id, { rotationId: "r1", overlap: "2 days" })
      yield* until(isIn(rotation, "overlap"))
      const address = yield* world.people.add("an orphan")
      yield* vault.addOrphan(id, {
        handle: "an-orphan",
        ref: Option.some(new KeyRef({ provider: "smtp2go", account: "main", value: Redacted.make(address) })),
        inert: false,
        origin: "unretired",
        rotationId: "r0",
        foundAt: 0
      })
      yield* rotation.revokeAndReplace(Redacted.make(address), { rotationId: "incident" })
      yield* pass("5 days", "1 hour")
      const slot = yield* vault.read(id)
      const last = yield* stepOf(rotation)
      const attention = (yield* Stream.runCollect(rotation.attention())).length
      const oldLives = (yield* alive(world)).includes(addressOf(first.ref))
      yield* rotation.start(id, { rotationId: "r3", overlap: 0 })
      yield* until(hasEnded(rotation))
      const then = yield* vault.read(id)
      const held = [then.current, ...Option.toArray(then.pending), ...Option.toArray(then.previous)].map(({ ref }) =>
        addressOf(ref)
      )
      const lost = (yield* alive(world)).filter(
        (one) => !held.includes(one) && !then.orphans.some(({ ref }) => Option.exists(ref, (r) => addressOf(r) === one))
      )
      assert.deepStrictEqual(
        { oldLives, lost },
        { oldLives: false, lost: [] },
        `${last?.outcome}; previous held ${Option.isSome(slot.previous)}, attention ${attention}`
      )
    })
  )
})
