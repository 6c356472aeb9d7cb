/** What needs no clock: how large bundles are, and what imports what. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build, type Metafile } from "esbuild"
import { assert, beforeAll, describe, it } from "vitest"
import { type Bundle, bundlesOf, library, limits, moduleName } from "../bench/src/bundleOf.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** Our packages, each with its source. */
const packages = globSync("packages/*/package.json", { cwd: root }).map((path) => {
  const manifest: Manifest = JSON.parse(readFileSync(join(root, path), "utf8"))
  const folder = path.replace(/package\.json$/, "src/")
  const sources = globSync(`${folder}**/*.ts`, { cwd: root }).map((source) => source.replaceAll("\\", "/"))
  return { manifest, folder, sources }
})

/** What users can import: everything but what is internal. */
const entries = packages.flatMap(({ sources }) => sources.filter((path) => !path.includes("/internal/")))

/** What may need Node, and says so in its name. */
const nodeOnly = "packages/rotation/src/node/"

/** What files import, types too, as they say it. */
const importsOf = (source: string): ReadonlyArray<string> =>
  Array.from(
    source.matchAll(/^(?:import|export|\})(?:.* from)? "([^"]+)"$|\bimport\("([^"]+)"\)/gm),
    ([, stated, called]) => stated ?? called ?? ""
  )

const packageOf = (specifier: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier

/** Everything that comes with a module, as a bundler finds it. */
const reachable = ({ inputs }: Metafile, entry: string): ReadonlySet<string> => {
  const seen = new Set([entry])
  for (const path of seen) for (const next of inputs[path]?.imports ?? []) seen.add(next.path)
  return seen
}

describe("imports", () => {
  it("name deep modules of `effect`, never the barrel", () => {
    for (const { sources } of packages) {
      for (const path of sources) assert.notInclude(importsOf(readFileSync(join(root, path), "utf8")), "effect", path)
    }
  })

  it("are of packages that the manifest names", () => {
    for (const { manifest, sources } of packages) {
      const named = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, [manifest.name]: "" })
      const foreign = new Set<string>()
      for (const path of sources) {
        for (const specifier of importsOf(readFileSync(join(root, path), "utf8"))) {
          if (specifier.startsWith(".") || (specifier.startsWith("node:") && path.startsWith(nodeOnly))) continue
          foreign.add(packageOf(specifier))
        }
      }
      assert.include([...foreign], "effect")
      for (const name of foreign) assert.include(named, name, manifest.name)
    }
  })

  it("reach no module of Node's but from rotation's `node`, and nowhere the barrel", async () => {
    const contents = entries.map((path, at) => `export * as m${at} from "./${path}"`).join("\n")
    const { metafile } = await build({
      absWorkingDir: root,
      stdin: { contents, resolveDir: root },
      bundle: true,
      format: "esm",
      platform: "node",
      write: false,
      metafile: true,
      logLevel: "silent"
    })
    const needsNode = entries.filter((entry) =>
      [...reachable(metafile, entry)].some((path) => path.startsWith("node:"))
    )
    assert.deepStrictEqual(
      needsNode,
      entries.filter((entry) => entry.startsWith(nodeOnly))
    )
    const barrel = Object.keys(metafile.inputs).filter((path) => path.endsWith("node_modules/effect/dist/index.js"))
    assert.deepStrictEqual(barrel, [])
  })
})

describe("bundles", () => {
  const programs = {
    jetemail: library("jetemail"),
    "mailer-patch": library("mailer-patch"),
    voiceable: library("voiceable"),
    "jetemail, mailer-patch": library("jetemail", "mailer-patch"),
    "jetemail, voiceable": library("jetemail", "voiceable")
  }
  let bundles: Readonly<Record<keyof typeof programs, Bundle>>
  beforeAll(async () => {
    bundles = await bundlesOf(programs)
  })

  it.each(["jetemail", "mailer-patch", "voiceable"] as const)("core and one adapter: %s", (adapter) => {
    const { gzip, modules } = bundles[adapter]
    assert.isAtMost(gzip, limits.coreAndOneAdapter[adapter])
    const owners = new Set(Array.from(modules.keys(), (path) => moduleName(path).owner))
    assert.includeMembers([...owners], ["effect", "@effect-api-keys/core", `@effect-api-keys/${adapter}`])
  })

  it.each([
    ["mailer-patch", "jetemail", "jetemail, mailer-patch"],
    ["voiceable", "jetemail", "jetemail, voiceable"],
    ["jetemail", "voiceable", "jetemail, voiceable"]
  ] as const)("a further adapter: %s beside %s", (adapter, first, both) => {
    assert.isAtMost(bundles[both].gzip - bundles[first].gzip, limits.furtherAdapter[adapter])
  })
})
