/** The packages as npm would get them, unpacked in a project that has nothing but what their manifests ask for. */
import { spawnSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { root } from "../docs/markdown.ts"

export const names = ["core", "jetemail", "mailer-patch", "rotation", "voiceable"] as const

export const run = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (status === 0) return stdout
  throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? status}\n${stdout}${stderr}`)
}

/** A command of the workspace. */
export const bin = (name: string): string => Path.join(root, "node_modules/.bin", name)

/** The fields that matter to whoever installs it; `pnpm pack` checks that it is a manifest. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string | null>>
  readonly publishConfig: {
    readonly access: string
    readonly provenance: boolean
    readonly exports?: Manifest["exports"]
  }
  readonly sideEffects: ReadonlyArray<string>
  readonly engines: { readonly node: string }
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

export const manifestIn = (folder: string): Manifest =>
  JSON.parse(readFileSync(Path.join(folder, "package.json"), "utf8"))

export interface Packed {
  readonly name: (typeof names)[number]
  readonly tarball: string
  /** Where it is unpacked. */
  readonly folder: string
  readonly manifest: Manifest
  /** What is in it, from its folder. */
  readonly files: ReadonlyArray<string>
}

export interface Project {
  readonly folder: string
  readonly packages: ReadonlyArray<Packed>
}

/** `npx pnpm test` has pnpm on its path; a test that is run by itself has to ask npx. */
const packAll = (destination: string) => {
  const pnpm = process.env.npm_config_user_agent?.startsWith("pnpm/") ? ["pnpm"] : ["npx", "-y", "pnpm@12.21.0"]
  const [command = "pnpm", ...args] = [...pnpm, "--recursive", "--filter", "./packages/*", "pack"]
  run(command, [...args, "--pack-destination", destination], root)
}

/** Packs what `pnpm build` has built. */
export const pack = (): Project => {
  run(process.execPath, [Path.join(root, "scripts/publish-pure.ts")], root)
  const folder = realpathSync(mkdtempSync(Path.join(tmpdir(), "effect-api-keys-publish-")))
  packAll(folder)

  const modules = Path.join(folder, "node_modules")
  const packages = names.map((name): Packed => {
    const [tarball = ""] = globSync(`effect-api-keys-${name}-*.tgz`, { cwd: folder })
    const target = Path.join(modules, "@effect-api-keys", name)
    mkdirSync(target, { recursive: true })
    run("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"], folder)
    const files = readdirSync(target, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => Path.relative(target, Path.join(entry.parentPath, entry.name)))
    return {
      name,
      tarball: Path.join(folder, tarball),
      folder: target,
      manifest: manifestIn(target),
      files
    }
  })

  // What they ask for, and nothing else, can be found from here.
  for (const { manifest, name } of packages) {
    for (const asked of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
      const link = Path.join(modules, asked)
      if (existsSync(link)) continue
      mkdirSync(Path.dirname(link), { recursive: true })
      symlinkSync(realpathSync(Path.join(root, "packages", name, "node_modules", asked)), link)
    }
  }

  writeFileSync(Path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  copyFileSync(Path.join(import.meta.dirname, "program.ts"), Path.join(folder, "program.ts"))
  return { folder, packages }
}

/** The modules of a package by the specifiers that import them: all that `dist` has, whether they are open or closed. */
export const modulesOf = ({
  files,
  manifest
}: Packed): { readonly open: Array<string>; readonly closed: Array<string> } => {
  const all = files
    .filter((file) => file.startsWith("dist/") && file.endsWith(".js"))
    .map((file) => file.slice("dist/".length, -".js".length))
  const specifier = (path: string) => `${manifest.name}/${path}`
  const isClosed = (path: string) => /(^|\/)(internal\/|index$)/.test(path)
  const indexes = all.filter((path) => path.endsWith("/index")).map((path) => path.slice(0, -"/index".length))
  return {
    open: [manifest.name, ...[...indexes, ...all.filter((path) => !isClosed(path))].map(specifier)],
    closed: all.filter(isClosed).map(specifier)
  }
}
