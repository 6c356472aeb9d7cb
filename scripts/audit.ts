/**
 * `pnpm run audit:lock`: what may not be in the lock file, by the file and by what is installed here; no network.
 *
 * What is installed nowhere but on another platform cannot be looked into: of such a package only the hash is checked.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

interface Tree {
  readonly [key: string]: Tree | string
}

/** The part of YAML that pnpm writes: nested keys, and values that are left as text. */
const parse = (text: string): Tree => {
  const top: Record<string, Tree | string> = {}
  const open = [{ indent: -1, keys: top }]
  for (const line of text.split("\n")) {
    const [, space = "", quoted, plain = "", value] = /^( *)(?:'([^']+)'|([^\s'#-][^:]*)):(?: (.*))?$/.exec(line) ?? []
    const key = quoted ?? plain
    if (key === "") continue
    while ((open.at(-1)?.indent ?? -1) >= space.length) open.pop()
    const keys = open.at(-1)?.keys ?? top
    if (value !== undefined) keys[key] = value
    else {
      const below: Record<string, Tree | string> = {}
      keys[key] = below
      open.push({ indent: space.length, keys: below })
    }
  }
  return top
}

const below = (tree: Tree | string | undefined, ...path: ReadonlyArray<string>): Tree => {
  const found = path.reduce<Tree | string | undefined>(
    (at, key) => (typeof at === "object" ? at[key] : undefined),
    tree
  )
  return typeof found === "object" ? found : {}
}

const text = (tree: Tree, key: string): string => {
  const value = tree[key]
  return typeof value === "string" ? value : ""
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly private?: boolean
  readonly scripts?: Readonly<Record<string, string>>
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
const shipped = (lock: Tree, root: string): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = (dependencies: Tree, version: (name: string) => string) => {
    for (const name of Object.keys(dependencies)) {
      const id = `${name}@${version(name)}`
      if (version(name).startsWith("link:") || found.has(id)) continue
      found.add(id)
      const snapshot = below(lock, "snapshots", id)
      for (const kind of ["dependencies", "optionalDependencies"]) {
        visit(below(snapshot, kind), (dependency) => text(below(snapshot, kind), dependency))
      }
    }
  }
  for (const name of readdirSync(join(root, "packages"))) {
    const manifest: { readonly peerDependencies?: Tree; readonly dependencies?: Tree } & Manifest = JSON.parse(
      readFileSync(join(root, "packages", name, "package.json"), "utf8")
    )
    const importer = below(lock, "importers", `packages/${name}`)
    // A peer is in the lock file as what the workspace itself uses.
    const version = (dependency: string) =>
      ["dependencies", "devDependencies"].map((kind) => text(below(importer, kind, dependency), "version")).join("")
    if (manifest.private !== true) visit({ ...manifest.dependencies, ...manifest.peerDependencies }, version)
  }
  return found
}

/** A sentence for each thing that may not be. */
export const problemsOfLock = (lockText: string, root: string): ReadonlyArray<string> => {
  const lock = parse(lockText)
  const problems: Array<string> = []

  for (const [index, line] of lockText.split("\n").entries()) {
    const elsewhere = /:\/\/|\bgit\+|: (?:git@|file:)/
    if (!/^ *deprecated:/.test(line) && elsewhere.test(line))
      problems.push(`line ${index + 1} names another place: ${line.trim()}`)
  }

  const packages = below(lock, "packages")
  if (Object.keys(packages).length === 0) problems.push("there are no packages in it")
  for (const id of Object.keys(packages)) {
    if (!/^\{integrity: sha512-[\w+/]{86}==\}$/.test(text(below(packages, id), "resolution"))) {
      problems.push(`${id} has no sha512 of a tarball of the registry`)
    }
  }

  const installed = installedIn(root)
  const allowed = below(parse(readFileSync(join(root, "pnpm-workspace.yaml"), "utf8")), "allowBuilds")
  for (const [id, { folder, manifest }] of installed) {
    const runs =
      installScripts.some((script) => manifest.scripts?.[script] !== undefined) ||
      existsSync(join(folder, "binding.gyp"))
    if (id in packages && runs && allowed[manifest.name] !== "true")
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
