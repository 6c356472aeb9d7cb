/**
 * The main job, watched: one program creates, narrows, rotates and shuts off a key at three vendors, over real HTTP,
 * against their sandboxes on loopback. Then it shows what each vendor cannot do, and how that comes to light. At the end a
 * process that rotates a key is killed at the worst moment, and another goes on. Ends with status 1 if any step is not as
 * expected.
 */
import { NodeRuntime } from "@effect/platform-node"
import { type ApiKeyError, ApiKeyService, type KeyRef, type Need } from "@effect-api-keys/core"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { killedAndResumed } from "./KilledRotation.ts"
import { jetEmail, mailerPatch, Vendor, voiceable } from "./loopback.ts"
import { mint } from "./RotatingProcess.ts"
import * as Vault from "./Vault.ts"

class NotAsExpected extends Data.TaggedError("NotAsExpected")<{ readonly message: string }> {}

const expect = (condition: boolean, message: string): Effect.Effect<void, NotAsExpected> =>
  condition ? Effect.void : Effect.fail(new NotAsExpected({ message }))

const step = (verb: string, ...lines: ReadonlyArray<string>) =>
  Console.log(lines.map((line, index) => `${(index === 0 ? verb : "").padEnd(8)}${line}`).join("\n"))

/** A program over any vendor that has these verbs, which all three have. It does not know whose keys they are. */
const program = Effect.fnUntraced(function* <E, R>(narrow: (ref: KeyRef) => Effect.Effect<string, E, R>) {
  const keys = yield* ApiKeyService.can("create", "patch", "rotate", "revoke")
  const vault = yield* Vault.Vault
  const vendor = yield* Vendor
  yield* Console.log(`\n${vendor.name}`)

  const created = yield* keys.create({ name: "acme" }, { deliver: vault.put("tenant-acme") })
  const stored = yield* vault.read("tenant-acme")
  yield* expect(Option.isSome(stored) && (yield* vendor.isLive(stored.value)), "the vault holds a key that works")
  yield* step(
    "create",
    `${created.handle} "${Option.getOrElse(created.name, () => "")}"; in the vault before the call returned`,
    `printed, its secret is ${created.secret} and its address ${created.ref}`
  )

  yield* step("narrow", `${yield* narrow(created.ref)}, confirmed by reading the key again`)

  const { issued, previous } = yield* keys.rotate(created.ref, { deliver: vault.put("tenant-acme") })
  const successor = yield* vault.read("tenant-acme")
  yield* expect(previous !== "live" && !(yield* vendor.isLive(created)), "the old secret does not work any more")
  yield* expect(Option.isSome(successor) && (yield* vendor.isLive(successor.value)), "the vault holds the new secret")
  yield* step("rotate", `${issued.handle} is in the vault and works; the old key is ${previous}`)

  const outcome = yield* keys.revoke(issued.ref)
  yield* expect(!(yield* vendor.isLive(issued)), "the revoked key does not work any more")
  yield* step("revoke", `${outcome}: nobody can use it any more`)
  return issued.ref
})

/** What is narrowed differs by vendor. Each of these compiles with its own vendor alone. */
const narrowDomains = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService.can("patch", "domains", "quota")
  yield* keys.patch(ref, { domains: ["acme.example"], quota: 500 }, { confirm: true })
  return "domains acme.example, quota 500"
})
const narrowScopes = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService.can("patch", "scopes", "rate")
  yield* keys.patch(ref, { scopes: ["/email/send"], rate: { max: 100, per: { hours: 1 } } }, { confirm: true })
  return "scopes /email/send, rate 100 an hour"
})
const narrowOrigins = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService.can("patch", "origins", "resources")
  yield* keys.patch(ref, { origins: ["https://acme.example"], resources: ["123"] }, { confirm: true })
  return "origins https://acme.example, resources 123"
})

/**
 * Where the vendor is not known until run time, everything is there, and what the vendor lacks fails typed. In a program
 * that names its needs the compiler says it first: see `swapsThatDoNotCompile` below.
 */
const lacks = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService
  const vendor = yield* Vendor
  const attempts: ReadonlyArray<readonly [Need, Effect.Effect<unknown, ApiKeyError>]> = [
    ["disable", keys.disable(ref)],
    ["enable", keys.enable(ref)],
    ["overlap", keys.rotate(ref, { keepPrevious: true })],
    ["domains", keys.create({ name: "acme", domains: ["acme.example"] })],
    ["ips", keys.create({ name: "acme", ips: ["192.0.2.1"] })],
    ["origins", keys.create({ name: "acme", origins: ["https://acme.example"] })],
    ["scopes", keys.create({ name: "acme", scopes: ["/email/send"] })],
    ["resources", keys.create({ name: "acme", resources: ["123"] })],
    ["quota", keys.create({ name: "acme", quota: 1 })],
    ["rate", keys.create({ name: "acme", rate: { max: 1, per: { hours: 1 } } })]
  ]
  const before = yield* vendor.requests
  const lacking = attempts.filter(([need]) => !keys.supports(need))
  const reasons = yield* Effect.forEach(lacking, ([, attempt]) =>
    Effect.map(Effect.flip(attempt), ({ reason }) => reason._tag)
  )
  yield* expect(
    reasons.every((reason) => reason === "UnsupportedOperation" || reason === "UnsupportedRestriction"),
    "what the vendor lacks fails typed"
  )
  yield* expect((yield* vendor.requests) === before, "nothing was sent")
  const [first = ["", undefined]] = lacking
  yield* step(
    "lacks",
    lacking.map(([need]) => need).join(", "),
    `can("${first[0]}") does not compile with this layer: Type 'Can<"${first[0]}">' is not assignable to type 'never'`,
    `chosen at run time: ${[...new Set(reasons)].join(", ")}, and nothing is sent`
  )
})

const disable = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService.can("disable")
  yield* keys.disable(ref)
})

/** Never run: what the compiler says of a vendor that lacks what a program needs. */
export const swapsThatDoNotCompile = (ref: KeyRef) => [
  Effect.runPromise(Effect.provide(disable(ref), jetEmail)),
  Effect.runPromise(Effect.provide(disable(ref), mailerPatch)),
  // @ts-expect-error Type 'Can<"disable">' is not assignable to type 'never'
  Effect.runPromise(Effect.provide(disable(ref), voiceable)),
  Effect.runPromise(Effect.provide(narrowDomains(ref), jetEmail)),
  // @ts-expect-error Type 'Can<"domains">' is not assignable to type 'never'
  Effect.runPromise(Effect.provide(narrowDomains(ref), mailerPatch)),
  // @ts-expect-error Type 'Can<"domains">' is not assignable to type 'never'
  Effect.runPromise(Effect.provide(narrowDomains(ref), voiceable))
]

/** One vendor's rate limit, met and waited out: past its limit JetEmail locks the whole account. */
const rateLimit = Effect.fnUntraced(function* (ref: KeyRef) {
  const keys = yield* ApiKeyService.can("get")
  const vendor = yield* JetEmailSandbox.JetEmailSandbox
  yield* vendor.lockOut({ seconds: 1 })
  const before = (yield* vendor.requests).length
  const statuses = Effect.map(vendor.requests, (requests) => requests.slice(before).map(({ status }) => status))
  const met = yield* Effect.forkChild(keys.get(ref))
  while ((yield* statuses).length === 0) yield* Effect.sleep("1 millis")
  const held = yield* Effect.forkChild(keys.get(ref))
  yield* Effect.sleep("600 millis")
  const meanwhile = yield* statuses
  yield* expect(meanwhile.length === 1 && meanwhile[0] === 429, "one request met the 429 and none followed it")
  yield* Fiber.joinAll([met, held])
  const after = yield* statuses
  yield* expect(after.join(" ") === "429 200 200", "both calls went through when the second was over")
  yield* step(
    "429",
    "the vendor said Retry-After: 1; the next call was held back: the vendor saw 0 requests meanwhile.",
    "A second later both calls went through."
  )
})

/** A process that rotates a key is killed when the vendor has minted the new one and nobody has read the reply. */
const rotationThatIsKilled = Effect.fnUntraced(function* (request: RegExp) {
  const { supports } = yield* ApiKeyService
  const { name } = yield* Vendor
  const { afterKill, atEnd, first, old, second } = yield* killedAndResumed(request)
  yield* expect(first.signal === "SIGKILL", `the first process is killed: ${first.output}`)
  yield* expect(afterKill.current === old, "when it is killed, the vault knows nothing of the new key")
  yield* expect(afterKill.currentWorks === supports("overlap"), "the old key works where the vendor has an overlap")
  yield* expect(second.code === 0, `the second process goes on to the end: ${second.output}`)
  yield* expect(atEnd.currentWorks, "the key in the vault works")
  yield* expect(atEnd.working.join() === atEnd.current, "no other key works")

  const lost = afterKill.keys.find((handle) => handle !== old)
  yield* expect(
    atEnd.orphans.every(({ inert }) => inert),
    "what cannot be removed is switched off"
  )
  const fate = atEnd.orphans.length === 0 ? "deleted" : "listed, switched off, for a person to remove"
  const [killed, resumed] = supports("overlap")
    ? [
        `the vault holds ${old}, which works; ${lost} was minted, and its secret is lost`,
        `${lost} was found by its marker and ${fate}; another was minted`
      ]
    : [
        `the vault holds ${old}, which is dead; the new secret was in the lost reply alone`,
        "the new secret was found in the vendor's list"
      ]
  return { name, killed, resumed, current: `${atEnd.current} works, and no other key does` }
})

const killedRotations = Effect.gen(function* () {
  yield* Console.log(
    "\nA rotation whose process is killed, with SIGKILL, when the new key is minted and nobody has read the reply."
  )
  yield* Console.log("Vault and progress are in one file; another process goes on.")
  // All at once, for starting processes takes seconds; they have nothing in common.
  const ended = yield* Effect.all(
    [
      Effect.provide(rotationThatIsKilled(mint.jetemail), jetEmail),
      Effect.provide(rotationThatIsKilled(mint.smtp2go), mailerPatch),
      Effect.provide(rotationThatIsKilled(mint.voiceable), voiceable)
    ],
    { concurrency: "unbounded" }
  )
  for (const { current, killed, name, resumed } of ended) {
    yield* Console.log(`\n${name}`)
    yield* step("killed", killed)
    yield* step("resumed", resumed)
    yield* step("current", current)
  }
})

const tour = <E, R>(narrow: (ref: KeyRef) => Effect.Effect<string, E, R>) => Effect.tap(program(narrow), lacks)

Console.log("One program, three vendors, each in its sandbox on loopback, over real HTTP").pipe(
  Effect.andThen(Effect.provide(Effect.flatMap(tour(narrowDomains), rateLimit), jetEmail)),
  Effect.andThen(Effect.provide(tour(narrowScopes), mailerPatch)),
  Effect.andThen(Effect.provide(tour(narrowOrigins), voiceable)),
  Effect.andThen(killedRotations),
  Effect.andThen(Console.log("\nEvery step was as expected.")),
  Effect.provide(Vault.layerMemory),
  NodeRuntime.runMain
)
