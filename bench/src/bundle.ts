/** How large bundles are: the library, what of it is Effect, and the same kind of call with other clients. */
import { readFileSync } from "node:fs"
import { type Bundle, bundleOf, bundlesOf, library, moduleName } from "./bundleOf.ts"
import { type Row, target } from "./rows.ts"

const size = ({ gzip, raw }: Bundle) => ({ "bytes, gzipped": gzip, bytes: raw })
const growth = (more: Bundle, less: Bundle) => size({ ...more, gzip: more.gzip - less.gzip, raw: more.raw - less.raw })

/**
 * A program of the same parts of Effect that a bundle uses, and nothing else. They are read from that bundle with Effect left out,
 * where only what is used is still there.
 */
const effectAlone = async (contents: string): Promise<string> => {
  const { text } = await bundleOf(contents, { external: ["effect", "effect/*"], minify: false })
  const used = new Map<string, Set<string>>()
  const use = (module: string, names: Iterable<string>) =>
    used.set(module, new Set([...(used.get(module) ?? []), ...names]))
  for (const [line, clause = "", module = ""] of text.matchAll(/^import (.+) from "(effect[^"]*)";$/gm)) {
    const namespace = /^\* as ([\w$]+)$/.exec(clause)?.[1]
    const named = /^\{ (.+) \}$/.exec(clause)?.[1]
    if (namespace !== undefined) {
      const members = new RegExp(`(?<![\\w$.])${namespace.replaceAll("$", "\\$")}\\.(\\w+)`, "g")
      use(
        module,
        Array.from(text.matchAll(members), ([, member = ""]) => member)
      )
    } else if (named !== undefined) {
      use(
        module,
        named.split(", ").map((each) => each.replace(/ as .*/, ""))
      )
    } else throw new Error(`not understood: ${line}`)
  }
  if (used.size === 0) throw new Error("nothing of Effect was found")
  const modules = [...used]
  // A list, so that no names of exports are counted.
  return [
    ...modules.map(([module], at) => `import * as m${at} from "${module}"`),
    `export default [${modules.flatMap(([, names], at) => Array.from(names, (name) => `m${at}.${name}`)).join(", ")}]`
  ].join("\n")
}

/** The parts of Effect that a reader knows by name. */
const areas: ReadonlyArray<readonly [area: string, files: RegExp]> = [
  ["Schema", /^Schema|^internal\/schema/],
  ["HTTP", /^http\//],
  ["RateLimiter", /^persistence\//],
  ["net", /^net\//],
  ["Metric", /^(?:internal\/)?[Mm]etric/],
  ["Schedule", /^(?:internal\/)?[Ss]chedule\./],
  ["Stream", /^(?:internal\/)?[Ss]tream|^Channel|^Pull/],
  ["Duration, DateTime", /^(?:internal\/)?(?:[Dd]ateTime|Duration)/],
  ["Layer, Context, Scope", /^(?:Layer|Context|Scope)\./],
  ["fibers and the rest", /./]
]

/** Effect by area, our own modules each, other packages whole. */
const place = (path: string): string => {
  const { file, owner } = moduleName(path)
  if (owner === "effect") return `effect: ${areas.find(([, files]) => files.test(file))?.[0]}`
  return owner.startsWith("@effect-api-keys/") ? `${owner.slice("@effect-api-keys/".length)}: ${file}` : owner
}

const byModule = (bundle: Bundle): ReadonlyArray<readonly [place: string, bytes: number]> => {
  const places = new Map<string, number>()
  for (const [path, bytes] of bundle.modules) {
    if (bytes > 0 && !path.startsWith("program:")) places.set(place(path), (places.get(place(path)) ?? 0) + bytes)
  }
  return [...places].sort(([, a], [, b]) => b - a)
}

const ownSize = (bundle: Bundle, owner: RegExp): number =>
  [...bundle.modules].reduce((sum, [path, bytes]) => (owner.test(moduleName(path).owner) ? sum + bytes : sum), 0)

const rotation = `export { KeyVault, Rotation } from "@effect-api-keys/rotation"
export { layer as engine } from "@effect-api-keys/rotation/RotationEngine"
export { layer as store } from "@effect-api-keys/rotation/SqlVaultStore"`

const entry = (name: string): string => readFileSync(new URL(`../entries/${name}.ts`, import.meta.url), "utf8")

const clients = ["effect-api-keys", "zod and fetch", "@unkey/api", "stripe", "resend", "svix"]

export const measure = async (): Promise<ReadonlyArray<Row>> => {
  const one = library("jetemail")
  const rotating = `${one}\n${rotation}`
  const made = await bundlesOf({
    core: library(),
    jetemail: one,
    "mailer-patch": library("mailer-patch"),
    voiceable: library("voiceable"),
    "jetemail, mailer-patch": library("jetemail", "mailer-patch"),
    "jetemail, voiceable": library("jetemail", "voiceable"),
    rotation: rotating,
    effect: await effectAlone(one),
    "effect, rotation": await effectAlone(rotating)
  })
  const group = "bundle"
  const rows: Array<Row> = [
    { group, name: "core", ...size(made.core) },
    { group, name: "core and jetemail", ...size(made.jetemail) },
    { group, name: "of which Effect's own modules alone", ...size(made.effect) },
    { group, name: "of which ours, on top of them", ...growth(made.jetemail, made.effect) },
    { group, name: "core and mailer-patch", ...size(made["mailer-patch"]) },
    { group, name: "core and voiceable", ...size(made.voiceable) },
    { group, name: "mailer-patch beside jetemail", ...growth(made["jetemail, mailer-patch"], made.jetemail) },
    { group, name: "voiceable beside jetemail", ...growth(made["jetemail, voiceable"], made.jetemail) },
    { group, name: "jetemail beside voiceable", ...growth(made["jetemail, voiceable"], made.voiceable) },
    { group, name: "core, jetemail and rotation", ...size(made.rotation) },
    { group, name: "of which Effect's own modules alone, with rotation's", ...size(made["effect, rotation"]) }
  ]
  for (const name of clients) {
    // A client that reaches for Node's own modules is measured without them.
    const bundle = await bundleOf(entry(name.replaceAll(/[@/ ]+/g, "-").replace(/^-/, "")), { external: ["node:*"] })
    rows.push({ group: "bundle of one call", name, ...size(bundle) })
  }
  const parts = "bundle of core and jetemail, by module"
  rows.push({ group: parts, name: "ours in all", bytes: ownSize(made.jetemail, /^@effect-api-keys\//) })
  rows.push({ group: parts, name: "effect in all", bytes: ownSize(made.jetemail, /^effect$/) })
  for (const [name, bytes] of byModule(made.jetemail)) rows.push({ group: parts, name, bytes })
  const kB = (bytes: number) => bytes / 1000
  rows.push(
    target("bundle of core and jetemail", kB(made.jetemail.gzip), 64, "kB, gzipped"),
    target(
      "a further adapter: mailer-patch",
      kB(made["jetemail, mailer-patch"].gzip - made.jetemail.gzip),
      4,
      "kB, gzipped"
    ),
    target("a further adapter: voiceable", kB(made["jetemail, voiceable"].gzip - made.jetemail.gzip), 4, "kB, gzipped")
  )
  return rows
}

if (import.meta.main) {
  for (const { group, name, ...figures } of await measure()) {
    process.stdout.write(`${group} | ${name} | ${JSON.stringify(figures)}\n`)
  }
}
