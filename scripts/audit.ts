/**
 * `pnpm run audit:lock`: what may not be in the lock file, by the file and by what is installed here; no network.
 *
 * What is installed nowhere but on another platform cannot be looked into: of such a package only the hash is checked.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"

/** What is looked at of the lock file; which version of it that is, pnpm sees to. */
interface Lock {
  readonly importers?: Readonly<Record<string, Importer>>
  readonly packages?: Readonly<Record<string, { readonly resolution?: Readonly<Record<string, unknown>> }>>
  readonly snapshots?: Readonly<Record<string, Snapshot>>
}

interface Importer {
  readonly dependencies?: Readonly<Record<string, { readonly version: string }>>
  readonly devDependencies?: Readonly<Record<string, { readonly version: string }>>
}

interface Snapshot {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly private?: boolean
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const manifestIn = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

/** The packages that pnpm has put here, by name and version, with their folders. */
const installedIn = (root: string): ReadonlyMap<string, { readonly folder: string; readonly manifest: Manifest }> => {
  const store = join(root, "node_modules/.pnpm")
  // A dependency is a link; what a folder is there for is none.
  const own = (folder: string): ReadonlyArray<string> =>
    !existsSync(folder)
      ? []
      : readdirSync(folder, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .flatMap(({ name }) => (name.startsWith("@") ? own(join(folder, name)) : [join(folder, name)]))
  const folders = readdirSync(store)
    .filter((name) => name !== "node_modules")
    .flatMap((name) => own(join(store, name, "node_modules")))
    .filter((folder) => existsSync(join(folder, "package.json")))
  return new Map(
    folders.map((folder) => {
      const manifest = manifestIn(folder)
      return [`${manifest.name}@${manifest.version}`, { folder, manifest }]
    })
  )
}

const permissive = new Set(["MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "CC0-1.0", "Unlicense"])

const installScripts = ["preinstall", "install", "postinstall"]

/** `name@1.2.3(peer@4.5.6)` without what is in brackets. */
const plainId = (id: string) => id.replace(/\(.*$/, "")

/** What whoever installs our packages gets with them: the ids of their dependencies and peers, and of what these bring. */
const shipped = (lock: Lock, root: string): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = (name: string, version = "") => {
    const id = `${name}@${version}`
    if (version.startsWith("link:") || found.has(id)) return
    found.add(id)
    const { dependencies, optionalDependencies } = lock.snapshots?.[id] ?? {}
    for (const [inner, innerVersion] of Object.entries({ ...dependencies, ...optionalDependencies })) {
      visit(inner, innerVersion)
    }
  }
  for (const folder of readdirSync(join(root, "packages"))) {
    const manifest = manifestIn(join(root, "packages", folder))
    const { dependencies, devDependencies } = lock.importers?.[`packages/${folder}`] ?? {}
    if (manifest.private === true) continue
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
      // A peer is in the lock file as what the workspace itself uses.
      visit(name, (dependencies?.[name] ?? devDependencies?.[name])?.version)
    }
  }
  return found
}

/** A sentence for each thing that may not be. */
export const problemsOfLock = (lockText: string, root: string): ReadonlyArray<string> => {
  const lock: Lock = parse(lockText)
  const problems: Array<string> = []

  for (const [index, line] of lockText.split("\n").entries()) {
    const elsewhere = /:\/\/|\bgit\+|: (?:git@|file:)/
    if (!/^ *deprecated:/.test(line) && elsewhere.test(line))
      problems.push(`line ${index + 1} names another place: ${line.trim()}`)
  }

  const packages = lock.packages ?? {}
  if (Object.keys(packages).length === 0) problems.push("there are no packages in it")
  for (const [id, { resolution = {} }] of Object.entries(packages)) {
    const { integrity, ...elsewhere } = resolution
    if (!/^sha512-[\w+/]{86}==$/.test(String(integrity)) || Object.keys(elsewhere).length > 0) {
      problems.push(`${id} has no sha512 of a tarball of the registry`)
    }
  }

  const installed = installedIn(root)
  const workspace: { readonly allowBuilds?: Readonly<Record<string, boolean>> } = parse(
    readFileSync(join(root, "pnpm-workspace.yaml"), "utf8")
  )
  for (const [id, { folder, manifest }] of installed) {
    const runs =
      installScripts.some((script) => manifest.scripts?.[script] !== undefined) ||
      existsSync(join(folder, "binding.gyp"))
    if (id in packages && runs && workspace.allowBuilds?.[manifest.name] !== true)
      problems.push(`${id} runs a script when it is installed`)
  }

  for (const id of [...shipped(lock, root)].map(plainId)) {
    const license = installed.get(id)?.manifest.license
    if (license === undefined || !permissive.has(license)) problems.push(`${id} has the licence ${license ?? "none"}`)
  }
  return problems
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..")
  const problems = problemsOfLock(readFileSync(join(root, "pnpm-lock.yaml"), "utf8"), root)
  for (const problem of problems) process.stdout.write(`${problem}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
