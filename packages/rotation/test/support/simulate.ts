import { inspect } from "node:util"
import { assert } from "@effect/vitest"
import type { KeyRef } from "@effect-api-keys/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { WorkflowEngine } from "effect/workflow/WorkflowEngine"
import { KeyVault } from "../../src/KeyVault.ts"
import { Rotation, type RotationOptions, type StartOptions } from "../../src/Rotation.ts"
import * as RotationEngine from "../../src/RotationEngine.ts"
import { RotationError } from "../../src/RotationError.ts"
import type { RotationRecord, Slot } from "../../src/Slot.ts"
import { makeMemory, VaultStore } from "../../src/VaultStore.ts"
import type { Candidate, Verdict } from "../../src/Verify.ts"
import { type Boundary, type Happening, layerCrypto, Process } from "./process.ts"
import type { TrueKey, World } from "./vendors.ts"

export const id = { account: "main", slot: "tenant-42/mail" }

const sealingKey = "api_test_sealing_key_of_32_bytes"

export const sealingKeys = {
  current: "test",
  keys: { test: Redacted.make(Buffer.from(sealingKey).toString("base64")) }
}

const breathe = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** What people in the dashboard can do; each is remembered, for it excuses what it causes. */
export type Act = "disable" | "enable" | "remove" | "narrow" | "widen" | "rename" | "rotate"

/** One boundary of one process. */
export interface Moment {
  readonly boundary: Boundary
  /** Of this process, from 1. */
  readonly number: number
  /** Which process it is, from 0. */
  readonly process: number
  readonly self: Process
  /** Of all boundaries of the simulation, from 1. */
  readonly sequence: number
  readonly slot: Slot
  readonly first: KeyRef
  /** In milliseconds, on the test's clock. */
  readonly time: number
  /** A person does this to a key. */
  readonly act: (act: Act, address: string) => Effect.Effect<void>
  /** A person makes a key of this name, and gets its address. */
  readonly add: (name: string) => Effect.Effect<string>
}

export interface Simulation {
  readonly world: World
  readonly kind?: "rotate" | "replace"
  /** What happens to the process at a boundary; it goes on where this says nothing. */
  readonly happen?: (moment: Moment) => Happening | undefined
  /** What others do at a boundary. */
  readonly meanwhile?: (moment: Moment) => Effect.Effect<void>
  /** What changes with the time alone; called whenever the test's clock goes on. */
  readonly tick?: (time: number) => void
  /** Whether the requests that are late arrive now. */
  readonly arrive?: (moment: Moment) => boolean
  /** What the probe says, where it is not the truth. */
  readonly verify?:
    | "none"
    | ((candidate: Candidate, truth: Effect.Effect<Verdict, unknown>) => Effect.Effect<Verdict, unknown>)
  /** What the account is called, and whose layer it has, where that is not the slot's. */
  readonly label?: string
  readonly labelOf?: (process: number) => string
  /** What a process hashes handles with. */
  readonly handleKeyOf?: (process: number) => string
  readonly elsewhere?: World
  readonly options?: Partial<RotationOptions>
  readonly start?: StartOptions
  /** What the program does; a rotation to its end unless given. */
  readonly program?: (
    rotation: Rotation["Service"],
    process: number,
    ended: Effect.Effect<void>
  ) => Effect.Effect<unknown, RotationError>
  /** Invariants that this case is known to break for a while; say why. */
  readonly tolerate?: ReadonlyArray<number>
  /** Whether it may be overdue for good, as far as a person does nothing. */
  readonly mayWait?: (rotation: RotationRecord) => boolean
  /** How long it may take in all, on the test's clock. */
  readonly within?: Duration.Input
  /** How long a process stands still at most; until the rotation has ended unless given. */
  readonly standstill?: Duration.Input
  /** How long the program goes on after the rotation has ended. */
  readonly lasting?: Duration.Input
}

/** A boundary that a process passed, and the step that the rotation was in. */
export interface Passed {
  readonly process: number
  readonly number: number
  readonly step: string
  /** On the test's clock. */
  readonly time: number
  readonly boundary: Boundary
  /** Whether the slot holds such keys there. */
  readonly pending: boolean
  readonly previous: boolean
}

export interface Simulated {
  readonly slot: Slot
  readonly keys: ReadonlyArray<TrueKey>
  /** How many boundaries each process passed. */
  readonly boundaries: ReadonlyArray<number>
  readonly labels: ReadonlyArray<string>
  /** Every boundary, in order. */
  readonly passed: ReadonlyArray<Passed>
  readonly first: TrueKey
  /** The addresses of all keys that were ever to be used. */
  readonly used: ReadonlyArray<string>
  /** Everything that was logged, said as an event, failed with, or written down by an engine. */
  readonly said: ReadonlyArray<unknown>
  /** Every row that was written. */
  readonly rows: ReadonlyArray<string>
  readonly exit: Exit.Exit<unknown, unknown>
  /** Every problem that a step waited for. */
  readonly problems: ReadonlySet<string>
  readonly mints: number
}

/** The forms in which a secret may stand in a text. */
export const formsOf = (secret: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(secret)
  const inside = (text: string) => text.replace(/=+$/, "").slice(2, -3)
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    // Wherever in other data it begins, base64 has one of three spellings; the ends hang on what is beside it.
    ...[0, 1, 2].map((shift) => inside(Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64")).slice(shift)),
    ...[0, 1, 2].map((shift) => inside(Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64url")).slice(shift)),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase()
  ]
}

/** Finds any of these secrets in a text, in any form. */
export const finder = () => {
  const forms = new Map<string, ReadonlyArray<string>>()
  return (text: string, secrets: Iterable<string>): boolean => {
    for (const secret of secrets) {
      let known = forms.get(secret)
      if (known === undefined) {
        known = [...new Set(formsOf(secret))]
        forms.set(secret, known)
      }
      if (known.some((form) => text.includes(form))) return true
    }
    return false
  }
}

/** All that can be seen of a value, by whoever prints it. */
export const print = (value: unknown): string => {
  const shown = inspect(value, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null })
  return `${shown}\n${String(value)}\n${JSON.stringify(value)}`
}

const addressOf = (ref: KeyRef): string => Redacted.value(ref.value)

interface Running {
  readonly process: Process
  readonly fiber: Fiber.Fiber<unknown, unknown>
  interrupted: boolean
  /** When it was seen to stand still, and another started. */
  since: number | undefined
}

/** How long a process that stood still goes on after the end, so that what it was doing is done. */
const aftermath = 45_000

/** Runs a rotation through as many processes as it takes, and checks the invariants at every boundary. */
export const simulate = Effect.fnUntraced(function* (simulation: Simulation): Effect.fn.Return<Simulated> {
  const { kind = "rotate", world } = simulation
  const raw = yield* makeMemory
  const rows: Array<string> = []
  const said: Array<unknown> = []
  const labels: Array<string> = []
  const passed: Array<Passed> = []
  const violations: Array<string> = []
  const problems = new Set<string>()
  const find = finder()
  const running: Array<Running> = []
  let sequence = 0
  /** How many processes are to be started beside those that run. */
  let wanted = 0
  let lastBoundaryAt = 0
  /** Every secret that there ever was. */
  const secrets = new Set([world.credential, sealingKey])

  const vaultOver = (store: Layer.Layer<VaultStore>) =>
    Layer.orDie(KeyVault.layer({ sealingKeys })).pipe(Layer.provide(store), Layer.provide(layerCrypto))
  const given = yield* world.first
  secrets.add(Redacted.value(given.secret))
  const vault = yield* Effect.scoped(
    Effect.map(Layer.build(vaultOver(Layer.succeed(VaultStore, raw))), (context) =>
      KeyVault.pipe(Effect.provide(context))
    )
  ).pipe(Effect.flatten)
  yield* Effect.orDie(vault.adopt(id, { ...given, handle: "first" }))
  const first = (yield* world.keys).find(({ address }) => address === addressOf(given.ref))
  if (first === undefined) return assert.fail("the first key is not at the vendor")

  const firstList = yield* world.listing
  let known: { readonly document: string; readonly slot: Slot } | undefined
  const whenEnded = Latch.makeUnsafe(false)
  const isEnded = (): boolean => whenEnded.isOpen()
  /** Waits for the end, as the vault has it, without a read of its own. */
  const ended = Effect.asVoid(whenEnded.await)
  /** The slot as it is now; a document that was read before is not opened again. */
  const slotNow = Effect.gen(function* () {
    const document = Option.getOrThrow(yield* Effect.orDie(raw.read(id))).document
    if (known?.document !== document) {
      const slot = yield* Effect.orDie(vault.read(id))
      known = { document, slot }
      if (Option.exists(slot.rotation, ({ outcome }) => outcome !== undefined)) whenEnded.openUnsafe()
      else whenEnded.closeUnsafe()
    }
    return known.slot
  })

  // What people did, by the address of a key at that time and by its identity.
  const acts = new Map<string, Set<Act>>()
  const acted = (key: TrueKey | string, ...some: ReadonlyArray<Act>): boolean => {
    const names = typeof key === "string" ? [key] : [key.address, key.identity ?? key.address]
    return names.some((name) => some.some((act) => acts.get(name)?.has(act) === true))
  }
  const act: Moment["act"] = Effect.fnUntraced(function* (what, address) {
    const key = (yield* world.keys).find((one) => one.address === address)
    const doing = what === "rename" ? (one: string) => world.people.rename(one, "renamed") : world.people[what]
    if (key === undefined || doing === undefined) return
    for (const name of [key.address, key.identity ?? key.address]) {
      acts.set(name, new Set(acts.get(name)).add(what))
    }
    labels.push(`  a person: ${what} ${address}`)
    yield* doing(address)
    if ((what === "disable" || what === "remove") && currents.includes(address)) shutByHand.add(address)
  })

  const add: Moment["add"] = (name) =>
    Effect.tap(world.people.add(name), (address) => Effect.sync(() => byHand.add(address)))
  /** Keys that were in use, and that a person shut off. */
  const shutByHand = new Set<string>()
  const currents = [first.address]
  /** What the probe accepted, and at which boundary. */
  const accepted = new Map<string, number>()
  /** What a key was when it was last read: as it was when the request left. */
  const seen = new Map<string, { readonly at: number; readonly alive: boolean; readonly settings: string }>()
  const reading = new Map<
    Process,
    { readonly at: number; readonly key: TrueKey | undefined; readonly address: string }
  >()
  let alive = new Set([first.address])
  const rotations = new Set<string>()
  let promotedAt = 0
  let replacing = false
  let successorOfNone = false

  /** The eleven invariants, as far as they can be seen at one instant. */
  const check = Effect.fnUntraced(function* (slot: Slot, where: string) {
    const keys = yield* world.keys
    for (const { secret } of keys) secrets.add(secret)
    // Kept, and not thrown: the program under test takes a defect for one of its own, and tries again.
    const say = (number: number, text: string) => {
      if (simulation.tolerate?.includes(number) !== true) violations.push(`invariant ${number}, ${where}: ${text}`)
    }
    const rotation = Option.getOrUndefined(slot.rotation)
    if (rotation !== undefined) {
      // One that another took over from may be started anew.
      rotations.add(`${rotation.id}/${rotation.startedAt}`)
      if (rotation.kind === "replace") replacing = true
      if (rotation.problem !== undefined) problems.add(rotation.problem)
    }
    const held = [slot.current, ...Option.toArray(slot.pending), ...Option.toArray(slot.previous)]
    const currentAddress = addressOf(slot.current.ref)
    const intended = (key: TrueKey) =>
      slot.intents.some(
        ({ intent, state }) =>
          state === "open" &&
          (intent.marker === key.marker || (intent.identity !== undefined && intent.identity === key.identity))
      )
    for (const key of keys) {
      if (!key.alive || acted(key, "rename", "rotate", "enable")) continue
      const booked =
        held.some(({ ref }) => addressOf(ref) === key.address) ||
        slot.orphans.some(
          ({ handle, ref }) => handle === key.handle || Option.exists(ref, (one) => addressOf(one) === key.address)
        ) ||
        intended(key) ||
        byHand.has(key.address)
      if (!booked) say(1, `a live key is in no book: ${key.name}`)
    }

    const current = keys.find(({ address }) => address === currentAddress)
    const promoted = currents.at(-1) !== currentAddress
    if (promoted) {
      const old = keys.find(({ address }) => address === currents.at(-1))
      const before = seen.get(currents.at(-1) ?? "")
      if (currents.includes(currentAddress)) say(5, "a key came back")
      currents.push(currentAddress)
      promotedAt = sequence
      if (before?.alive === false) successorOfNone = true
      if (currents.length > 1 + rotations.size) say(5, "two promotions in one rotation")
      const secret = Option.getOrElse(Option.map(slot.current.secret, Redacted.value), () => "")
      const probed = simulation.verify !== "none" && rotation?.kind === "rotate" && !world.inPlace
      if (probed && !accepted.has(secret) && before?.alive !== false)
        say(4, "promoted without having been seen to work")
      if (
        !world.inPlace &&
        rotation?.kind === "rotate" &&
        current !== undefined &&
        !acted(current, "narrow", "widen", "enable")
      ) {
        if (before === undefined || before.at < (accepted.get(secret) ?? 0)) {
          say(6, "promoted without having read the old key after the probe")
        } else {
          if (current.alive && !before.alive) say(6, "the new key is more alive than the old one was seen to be")
          if (current.settings !== before.settings) say(6, `the new key differs from what the old one was seen to be`)
        }
      }
      if (old?.alive === false && !replacing && !acted(old, "disable", "remove")) say(4, "retired before the promotion")
    }

    // One that replaces a key that did not work is not to work.
    const spoiled = successorOfNone || acted(current ?? currentAddress, "disable", "remove", "rotate")
    const works =
      current?.alive === true &&
      Option.getOrElse(Option.map(slot.current.secret, Redacted.value), () => current.secret) === current.secret
    if (!replacing && !spoiled && !works) {
      if (!world.inPlace) say(2, "the current key does not work")
      else if (!keys.some((key) => key.alive && intended(key)) && !acts.has(first.identity ?? "")) {
        say(3, "the current key does not work, and no open intent leads to the one that does")
      }
    }

    const now = new Set(keys.filter((key) => key.alive).map(({ address }) => address))
    for (const address of alive) {
      if (now.has(address) || acted(address, "disable", "remove", "rotate") || replacing || world.inPlace) continue
      // One that was current, and is off now: our doing.
      if (!currents.includes(address)) continue
      if (address === currentAddress) say(4, "the key that is current was shut off")
      if ((seen.get(address)?.at ?? 0) < promotedAt) say(4, "retired without having been read again")
    }
    for (const key of keys) {
      if (!key.alive || alive.has(key.address) || world.inPlace || acted(key, "enable") || byHand.has(key.address))
        continue
      // A new one works: the old one did, when it was last looked at.
      if (!replacing && currents.length === 1 && seen.get(currents[0] ?? "")?.alive === false) {
        say(6, "a key was made to work while the old one was seen not to")
      }
    }
    for (const address of now) {
      if (shutByHand.has(address) && !acted(address, "enable")) say(6, "a key that a person had shut off was revived")
    }
    alive = now
    const original = keys.find(({ address }) => address === first.address)
    const changed = acts.size > 0
    for (const key of keys) {
      if (changed || key.address === first.address || byHand.has(key.address)) continue
      if (key.settings !== (original ?? first).settings) say(6, `a successor differs: ${key.settings}`)
    }

    const mints = yield* world.mints
    if (mints > slot.epoch) say(7, `${mints} mints, ${slot.epoch} epochs`)
    if (rotation?.outcome === "failed" && rotation.problem === undefined) say(8, "a failure without a reason")
  })

  // Keys that were there before, beside the slot's own.
  const byHand = new Set(
    (yield* world.keys).filter(({ address }) => address !== first.address).map(({ address }) => address)
  )

  const spawn = Effect.fnUntraced(function* () {
    const index = running.length
    const observe = Effect.fnUntraced(function* (boundary: Boundary, number: number, process: Process) {
      sequence++
      lastBoundaryAt = yield* Clock.currentTimeMillis
      const slot = yield* slotNow
      const rotation = Option.getOrUndefined(slot.rotation)
      const label = `${boundary.at} ${boundary.when} ${boundary.label}`
      labels.push(`${index}.${number} [${rotation?.id ?? "-"} ${rotation?.step ?? "-"}] ${label}`)
      passed.push({
        process: index,
        number,
        step: rotation?.step ?? "begin",
        time: lastBoundaryAt,
        boundary,
        pending: Option.isSome(slot.pending),
        previous: Option.isSome(slot.previous)
      })
      if (boundary.at === "store") rows.push(boundary.row.document, JSON.stringify(boundary.row.fingerprints))
      else {
        if (!world.isSigned(boundary.request)) violations.push(`invariant 9: ${label} carries another credential`)
        const address = world.names(boundary.request)
        if (address !== undefined && world.isRead(boundary.request)) {
          if (boundary.when === "before") {
            const key = (yield* world.keys).find((one) => one.address === address)
            reading.set(process, { at: sequence, key, address })
          } else {
            const read = reading.get(process)
            if (read !== undefined) {
              const { key } = read
              seen.set(address, { at: read.at, alive: key?.alive === true, settings: key?.settings ?? "" })
            }
          }
        }
      }
      yield* check(slot, `process ${index}, boundary ${number}, ${rotation?.step ?? "before"}: ${label}`)
      const moment: Moment = {
        boundary,
        number,
        process: index,
        self: process,
        sequence,
        slot,
        first: given.ref,
        time: lastBoundaryAt,
        act,
        add
      }
      if (simulation.meanwhile !== undefined) yield* simulation.meanwhile(moment)
      if (simulation.arrive?.(moment) === true) {
        for (const one of running) {
          for (const send of one.process.late.splice(0)) {
            labels.push("  a late request arrives")
            yield* Effect.exit(send)
          }
        }
        yield* check(slot, "after a late arrival")
      }
      const happening = simulation.happen?.(moment) ?? "go"
      if (happening !== "go") labels.push(`  ${happening}`)
      if (happening === "interrupt") {
        const self = running[index]
        if (self !== undefined && !self.interrupted) {
          self.interrupted = true
          yield* Effect.forkDetach(Fiber.interrupt(self.fiber))
        }
      }
      if (happening === "relieve") wanted++
      return happening
    }, Effect.uninterruptible)

    const process = new Process(observe, firstList)
    const account = (simulation.elsewhere ?? world).account(
      process.httpClient(world.client),
      simulation.labelOf?.(index) ?? simulation.label,
      simulation.handleKeyOf?.(index)
    )
    const truth = account.verify
    const verify: RotationOptions["accounts"] = (name) =>
      name === id.account
        ? {
            keys: account.keys,
            verify:
              truth === "none" || simulation.verify === "none"
                ? "none"
                : (candidate) =>
                    Effect.tap(
                      simulation.verify === undefined || simulation.verify === "none"
                        ? truth(candidate)
                        : simulation.verify(candidate, truth(candidate)),
                      (verdict) => {
                        if (verdict === "accepted") accepted.set(Redacted.value(candidate.secret), ++sequence)
                        return Effect.void
                      }
                    )
          }
        : undefined
    const options: RotationOptions = {
      accounts: verify,
      overlap: "20 seconds",
      lateArrival: "20 seconds",
      propagation: "10 seconds",
      ...simulation.options
    }
    /** The engine, with everything that it writes down. */
    const engine = Layer.effect(
      WorkflowEngine,
      Effect.map(WorkflowEngine, (inner) => {
        const outer: WorkflowEngine["Service"] = WorkflowEngine.of({
          ...inner,
          register: (workflow, execute) =>
            inner.register(workflow, (payload, executionId) => {
              said.push(payload, executionId)
              return Effect.onExit(
                Effect.provideService(execute(payload, executionId), WorkflowEngine, outer),
                (exit) => Effect.sync(() => said.push(exit))
              )
            }),
          activityExecute: (activity, attempt) =>
            Effect.onExit(inner.activityExecute(activity, attempt), (exit) =>
              Effect.sync(() => said.push(activity.name, exit))
            )
        })
        return outer
      })
    ).pipe(Layer.provide(RotationEngine.layerMemory))
    const layer = Rotation.layer(options).pipe(
      Layer.provide(vaultOver(process.store(raw))),
      Layer.provide(engine),
      Layer.provide(Logger.layer([Logger.make((entry) => said.push(entry.message, entry.cause))])),
      Layer.orDie
    )
    const whole = (rotation: Rotation["Service"]) =>
      Effect.gen(function* () {
        const slot = yield* slotNow
        const begun = Option.getOrUndefined(slot.rotation)
        const start =
          begun !== undefined && begun.id !== "r1"
            ? Effect.asVoid(rotation.resume(id))
            : kind === "rotate"
              ? Effect.asVoid(rotation.start(id, { rotationId: "r1", ...simulation.start }))
              : Effect.asVoid(rotation.revokeAndReplace(id, { rotationId: "r1" }))
        yield* Effect.retry(start, { while: RotationError.is("Unavailable"), schedule: Schedule.spaced("1 second") })
        yield* ended
      })
    const program = Effect.gen(function* () {
      const rotation = yield* Rotation
      yield* Effect.forkScoped(Stream.runForEach(rotation.events, (event) => Effect.sync(() => said.push(event))))
      const end = yield* Effect.exit(simulation.program?.(rotation, index, ended) ?? whole(rotation))
      said.push(end)
      // What was begun before it stood still is seen through.
      if (simulation.lasting !== undefined) yield* Effect.sleep(simulation.lasting)
      else if (running.length > 1) {
        yield* Effect.repeat(Effect.sleep("5 seconds"), {
          until: () => Effect.map(Clock.currentTimeMillis, (now) => now - lastBoundaryAt >= aftermath)
        })
      }
      return yield* end
    }).pipe(Effect.scoped)
    const fiber = yield* Effect.forkDetach(program.pipe(Effect.provide(layer), Effect.provide(layerCrypto)))
    running.push({ process, fiber, interrupted: false, since: undefined })
  })

  const within = (yield* Clock.currentTimeMillis) + Duration.toMillis(simulation.within ?? "2 hours")
  yield* spawn()
  const standstill = Duration.toMillis(simulation.standstill ?? Duration.infinity)
  let step = 500
  let quiet = 0
  let last = -1
  let exit: Exit.Exit<unknown, unknown> = Exit.void
  for (;;) {
    yield* breathe
    if (violations.length > 0) return assert.fail(`${violations[0]}\n${labels.join("\n")}`)
    const live = running.filter(({ fiber, process }) => fiber.pollUnsafe() === undefined && !process.stopped)
    if (live.length === 0) {
      const finished = running.findLast(({ interrupted, process }) => !process.stopped && !interrupted)
      if (finished !== undefined) {
        exit = finished.fiber.pollUnsafe() ?? exit
        if (Exit.isFailure(exit) && simulation.program === undefined) {
          return assert.fail(`${inspect(exit.cause)}\n${labels.join("\n")}`)
        }
        break
      }
      if (running.length >= 60) return assert.fail("too many processes")
      yield* spawn()
      continue
    }
    if (wanted > 0) {
      wanted--
      yield* spawn()
      continue
    }
    const still = live.filter(({ process }) => process.paused)
    const now = yield* Clock.currentTimeMillis
    const unrelieved = still.find(({ since }) => since === undefined)
    if (unrelieved !== undefined) {
      unrelieved.since = now
      // Whoever pauses while another stands still leaves the field to that one.
      if (still.length === 1) yield* spawn()
      else still.find((one) => one !== unrelieved)?.process.wake()
      continue
    }
    const tired = still.find(({ since = now }) => now - since >= standstill)
    if (tired !== undefined || still.length === live.length || (still.length > 0 && isEnded())) {
      labels.push("  goes on")
      const next = tired ?? still[0]
      next?.process.wake()
      continue
    }
    if (sequence !== last) {
      last = sequence
      quiet = 0
      step = 500
      continue
    }
    if (++quiet < 3) continue
    if (now > within) {
      const last = Option.getOrUndefined(known?.slot.rotation ?? Option.none())
      if (last?.overdue && simulation.mayWait?.(last) === true) break
      return assert.fail(`no end in sight: ${inspect(known?.slot.rotation)}\n${labels.slice(-40).join("\n")}`)
    }
    yield* TestClock.adjust(step)
    simulation.tick?.(now + step)
    step = Math.min(step * 2, 60_000)
  }
  const slot = yield* slotNow
  yield* check(slot, "the end")
  if (violations.length > 0) return assert.fail(`${violations[0]}\n${labels.join("\n")}`)
  if (find(rows.join("\n"), secrets)) return assert.fail("invariant 10: a secret stands in a row")
  if (find(print(said), secrets)) return assert.fail("invariant 10: a secret was said")
  return {
    slot,
    keys: yield* world.keys,
    boundaries: running.map(({ process }) => process.boundaries),
    labels,
    passed,
    first,
    used: currents,
    said,
    rows,
    exit,
    problems,
    mints: yield* world.mints
  }
})

/** What must be true when all is over: one key that works, and the books in order. */
export const assertSettled = (
  { first, keys, labels, slot, used }: Simulated,
  world: World,
  outcome: string = "completed"
) => {
  const story = () => labels.join("\n")
  const rotation = Option.getOrThrow(slot.rotation)
  assert.strictEqual(rotation.outcome, outcome, `${rotation.step}: ${rotation.problem}\n${story()}`)
  const live = keys.filter((key) => key.alive)
  assert.deepStrictEqual(
    live.map(({ address }) => address),
    [addressOf(slot.current.ref)],
    story()
  )
  assert.isTrue(Option.isNone(slot.pending), story())
  assert.isTrue(Option.isNone(slot.previous), story())
  assert.deepStrictEqual(slot.intents, [], story())
  const [current] = live
  assert.strictEqual(Option.getOrUndefined(Option.map(slot.current.secret, Redacted.value)), current?.secret)
  assert.strictEqual(current?.settings, first.settings)
  assert.strictEqual(current?.name, first.name, story())
  if (world.name !== "smtp2go") assert.deepStrictEqual(slot.orphans, [])
  // What cannot be removed there is off, and written down.
  const others = keys.filter(({ address }) => !used.includes(address))
  assert.deepStrictEqual(
    others.map(({ handle }) => handle).sort(),
    slot.orphans.map(({ handle }) => handle).sort(),
    story()
  )
}
