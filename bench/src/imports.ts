/**
 * How long a cold import takes: in a fresh process each, of the packages as they are published, beside an import of the same
 * modules of Effect alone and of other vendors' clients. All take turns, so that a busy minute falls on each of them.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { type Row, round, type Size, target } from "./rows.ts"
import { median } from "./stats.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const packages = ["core", "jetemail", "mailer-patch", "voiceable", "rotation"].map((name) =>
  join(root, "packages", name)
)
const others = ["@unkey/api", "stripe", "resend", "svix", "zod"]

/** A folder with our packages as `npm install` leaves them: unpacked from what is published. */
const install = (folder: string): void => {
  const link = (name: string, from: string) => {
    const path = join(folder, "node_modules", name)
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(realpathSync(join(from, "node_modules", name)), path)
  }
  const tarball = join(folder, "package.tgz")
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-b", ...packages])
  for (const path of packages) {
    execFileSync("npx", ["-y", "pnpm@12.21.0", "pack", "--out", tarball], { cwd: path, stdio: "ignore" })
    const { name, dependencies = {} }: { name: string; dependencies?: Record<string, string> } = JSON.parse(
      readFileSync(join(path, "package.json"), "utf8")
    )
    const target = join(folder, "node_modules", name)
    mkdirSync(target, { recursive: true })
    execFileSync("tar", ["-xzf", tarball, "--strip-components=1", "-C", target])
    for (const dependency of Object.keys(dependencies)) link(dependency, path)
  }
  for (const name of ["effect", ...others]) link(name, join(root, "bench"))
}

const importing = (names: ReadonlyArray<string>): string => names.map((name) => `import "${name}"\n`).join("")

/** What an import loads, as a bundler finds it. */
const graph = async (folder: string, names: ReadonlyArray<string>) => {
  const { metafile } = await build({
    absWorkingDir: folder,
    stdin: { contents: names.map((name, at) => `export * as m${at} from "${name}"`).join("\n"), resolveDir: folder },
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    metafile: true,
    write: false
  })
  return Object.entries(metafile.inputs).filter(([path]) => path !== "<stdin>")
}

/** The modules of Effect that files of ours import. */
const effectOf = async (folder: string, names: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const ours = (await graph(folder, names)).filter(([path]) => path.includes("node_modules/@effect-api-keys/"))
  const imports = ours.flatMap(([, { imports }]) => imports.map(({ original = "" }) => original))
  return [...new Set(imports.filter((specifier) => /^effect(?:\/|$)/.test(specifier)))].sort()
}

/** Node's own start is not in it. */
const script = `const from = performance.now()
const { user, system } = process.cpuUsage()
await import(process.argv[1])
const wall = performance.now() - from
const after = process.cpuUsage()
process.stdout.write(JSON.stringify({ wall, cpu: (after.user + after.system - user - system) / 1000 }))`

interface Time {
  readonly wall: number
  readonly cpu: number
}

const timed = (folder: string, file: string): Time =>
  JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", script, "--", join(folder, file)], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: process.env.PATH, NODE_DISABLE_COMPILE_CACHE: "1" }
    })
  )

export const measure = async (size: Size = "full"): Promise<ReadonlyArray<Row>> => {
  const rounds = size === "full" ? 21 : 1
  const folder = mkdtempSync(join(tmpdir(), "effect-api-keys-imports-"))
  try {
    install(folder)
    const service = ["@effect-api-keys/core", "@effect-api-keys/jetemail"]
    const rotating = [...service, "@effect-api-keys/rotation"]
    const effect = await effectOf(folder, service)
    const effectRotating = await effectOf(folder, rotating)
    const contestants: ReadonlyArray<readonly [name: string, modules: ReadonlyArray<string>]> = [
      ["core and jetemail", service],
      [`the same ${effect.length} modules of Effect alone`, effect],
      ["core, jetemail and rotation", rotating],
      [`the same ${effectRotating.length} modules of Effect alone, with rotation's`, effectRotating],
      ["effect, all of it", ["effect"]],
      ...others.map((name) => [name, [name]] as const)
    ]
    const times = contestants.map((): Array<Time> => [])
    contestants.forEach(([, modules], at) => {
      const file = `contestant-${at}.mjs`
      writeFileSync(join(folder, file), importing(modules))
      // Once for nothing: from then on the files are in memory for everyone.
      timed(folder, file)
    })
    for (let lap = 0; lap < rounds; lap++) {
      // Nobody is always first.
      for (let turn = 0; turn < contestants.length; turn++) {
        const at = (lap + turn) % contestants.length
        times[at]?.push(timed(folder, `contestant-${at}.mjs`))
      }
    }
    /** By CPU time, round by round: what else the machine does meanwhile falls on both. */
    const ratio = (at: number, other: number): number =>
      round(median((times[at] ?? []).map(({ cpu }, turn) => cpu / (times[other]?.[turn]?.cpu ?? Number.NaN))))
    const rows: Array<Row> = []
    for (const [at, [name, modules]] of contestants.entries()) {
      const ofOne = times[at] ?? []
      const loaded = await graph(folder, modules)
      rows.push({
        group: "cold import",
        name,
        ms: round(median(ofOne.map(({ wall }) => wall)), 1),
        "CPU ms": round(median(ofOne.map(({ cpu }) => cpu)), 1),
        modules: loaded.length,
        kB: round(loaded.reduce((sum, [, { bytes }]) => sum + bytes, 0) / 1000, 0),
        ...(at === 0 || at === 2 ? { "CPU / Effect alone": ratio(at, at + 1) } : {})
      })
    }
    rows.push(target("cold import of core and jetemail", ratio(0, 1), 1.15, "CPU / Effect alone"))
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  for (const { group, name, ...figures } of await measure()) {
    process.stdout.write(`${group} | ${name} | ${JSON.stringify(figures)}\n`)
  }
}
