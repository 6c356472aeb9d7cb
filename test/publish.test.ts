/** What npm gets: the packages as they are packed, and what a release and the policy of versions rest on. */
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire, SourceMap } from "node:module"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { decode, encode, type SourceMapSegment } from "@jridgewell/sourcemap-codec"
import * as esbuild from "esbuild"
import { problemsOfLock } from "../scripts/audit.ts"
import { annotate } from "../scripts/publish-pure.ts"
import { read, root } from "./docs/markdown.ts"
import { bin, manifestIn, modulesOf, names, type Packed, type Project, pack, run } from "./publish/packed.ts"

const minute = 60_000

describe("a packed package", () => {
  let project: Project
  beforeAll(() => {
    project = pack()
  }, minute)
  afterAll(() => rmSync(project.folder, { recursive: true, force: true }))

  const contents = ({ folder }: Packed, file: string) => readFileSync(Path.join(folder, file), "utf8")

  it("has the build with its maps, the sources, and nothing else", () => {
    for (const packed of project.packages) {
      const sources = packed.files.filter((file) => file.startsWith("src/"))
      const built = sources.flatMap((file) => {
        const path = file.replace(/^src/, "dist").replace(/\.ts$/, "")
        return [".js", ".js.map", ".d.ts", ".d.ts.map"].map((ending) => path + ending)
      })
      const expected = ["LICENSE", "README.md", "package.json", ...built, ...sources].sort()
      assert.deepStrictEqual([...packed.files].filter((file) => file !== "CHANGELOG.md").sort(), expected)
      assert.isNotEmpty(sources)

      for (const file of packed.files) {
        const text = contents(packed, file)
        for (const place of [root, "workspace:"]) assert.notInclude(text, place, `${packed.name}/${file}`)
        if (!file.endsWith(".map")) continue
        const map: { readonly sources: ReadonlyArray<string> } = JSON.parse(text)
        assert.isNotEmpty(map.sources, file)
        for (const source of map.sources) assert.include(sources, Path.join(Path.dirname(file), source), file)
      }
    }
  })

  it("asks for effect and core as peers, and for nothing that its code does not import", () => {
    for (const { files, folder, manifest, name } of project.packages) {
      const workspace = manifestIn(Path.join(root, "packages", name))
      const core = `^${manifest.version}`
      const { effect = "" } = workspace.peerDependencies
      assert.deepStrictEqual(
        manifest.peerDependencies,
        name === "core" ? { effect } : { "@effect-api-keys/core": core, effect }
      )
      const imported = files
        .filter((file) => /\.(js|d\.ts)$/.test(file))
        .flatMap((file) => [
          ...withoutComments(readFileSync(Path.join(folder, file), "utf8")).matchAll(
            /(?: from |^import |\bimport\()"([^."][^"]*)"(?:;$|\))/gm
          )
        ])
        .map(([, specifier = ""]) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier)
        .filter((specifier) => !specifier.startsWith("node:"))
      const asked = [...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })].sort()
      assert.deepStrictEqual([...new Set(imported)].sort(), asked)

      // The manifest of the workspace says the same of the sources as the published one of the build.
      const built = Object.entries(workspace.exports).map(([path, target]) => [
        path,
        target?.replace("./src/", "./dist/").replace(/\.ts$/, ".js") ?? null
      ])
      assert.deepStrictEqual(manifest.exports, Object.fromEntries(built))
      assert.deepStrictEqual(manifest.sideEffects, [])
      assert.deepStrictEqual(manifest.publishConfig, { access: "public", provenance: true })
    }
  })

  it("has install lines in its README that name it and its peers", () => {
    for (const packed of project.packages) {
      const { manifest } = packed
      const [, line = ""] = /^npm install (.+)$/m.exec(contents(packed, "README.md")) ?? []
      const installed = line.split(" ")
      for (const name of [manifest.name, ...Object.keys(manifest.peerDependencies)]) assert.include(installed, name)
    }
  })

  it(
    "is clean by publint and attw",
    () => {
      const targets = project.packages.map((packed) => {
        const entries = modulesOf(packed).open.map((specifier) => `.${specifier.slice(packed.manifest.name.length)}`)
        // The entries that have a line of their own, and one of those that the pattern opens.
        const named = entries.filter((entry) => entry in packed.manifest.exports)
        return [packed.tarball, packed.folder, ...named, ...entries.slice(-1)].join(",")
      })
      assert.strictEqual(
        run(process.execPath, [Path.join(import.meta.dirname, "publish/lint.ts"), ...targets], root),
        ""
      )
    },
    minute
  )

  it(
    "compiles and runs in a project that has just what it asks for",
    () => {
      const all = project.packages.map(modulesOf)
      const type = (specifier: string, index: number) => `export type T${index} = typeof import("${specifier}")`
      const lines = [
        ...all.flatMap(({ open }) => open).map(type),
        // It must not compile: an internal module is closed.
        ...all.flatMap(({ closed }) => closed).map((path, index) => `// @ts-expect-error\n${type(path, index + 1000)}`)
      ]
      writeFileSync(Path.join(project.folder, "modules.ts"), lines.join("\n"))

      const common =
        "--ignoreConfig --singleThreaded --strict --exactOptionalPropertyTypes --target es2023 --lib es2024,dom,dom.iterable"
      const compile = (options: string) =>
        run(
          bin("tsc"),
          [...common.split(" "), "--types", "", ...options.split(" "), "program.ts", "modules.ts"],
          project.folder
        )
      // All that Effect and the packages declare is checked too, once.
      compile("--module nodenext --skipLibCheck false --outDir out")
      compile("--module esnext --moduleResolution bundler --skipLibCheck --noEmit")

      assert.strictEqual(
        run(process.execPath, ["out/program.js"], project.folder),
        [
          "jetemail: a new secret, previous dead",
          "smtp2go: a new secret, previous retired",
          "voiceable: a new secret, previous retired",
          "rotation: completed, a new key in the vault",
          ""
        ].join("\n")
      )
    },
    minute
  )

  it("opens its public modules and closes the internal ones at run time", () => {
    const { resolve } = createRequire(Path.join(project.folder, "package.json"))
    for (const packed of project.packages) {
      const { closed, open } = modulesOf(packed)
      for (const specifier of open) assert.isTrue(existsSync(resolve(specifier)), specifier)
      for (const specifier of closed) assert.throws(() => resolve(specifier), /not defined by "exports"/, specifier)
      assert.isTrue(closed.some((specifier) => specifier.includes("/internal/")))
    }
  })

  it("leaves nothing in a bundle that does not use it", async () => {
    const bundle = async (code: string) => {
      const { outputFiles } = await esbuild.build({
        stdin: { contents: code, resolveDir: project.folder },
        bundle: true,
        write: false,
        format: "esm",
        platform: "node",
        external: ["effect/*"]
      })
      return outputFiles.map(({ text }) => text).join("")
    }
    const open = project.packages.flatMap((packed) => modulesOf(packed).open)
    const unused = open.map((specifier, index) => `import * as m${index} from "${specifier}"`)
    assert.strictEqual(await bundle(unused.join("\n")), "")

    // One export of a module that has classes and schemas too.
    const one = await bundle(`export { markerOf } from "@effect-api-keys/core"`)
    assert.include(one, "markerOf")
    assert.notMatch(one, /class|Schema\./)
  })

  it("marks what its modules call as pure, at places that its maps still find", () => {
    let marked = 0
    for (const { files, folder, name } of project.packages) {
      for (const file of files.filter((path) => path.endsWith(".js"))) {
        const path = Path.join(folder, file)
        const payload = JSON.parse(readFileSync(`${path}.map`, "utf8"))
        const map = new SourceMap(payload)
        const source = readFileSync(Path.join(folder, file.replace(/^dist/, "src").replace(/js$/, "ts")), "utf8").split(
          "\n"
        )
        for (const [line, text] of readFileSync(path, "utf8").split("\n").entries()) {
          for (const { 0: mark, 1: word = "", index } of text.matchAll(/\/\*#__PURE__\*\/ (\w+)/g)) {
            const column = index + mark.length - word.length
            const entry = map.findEntry(line, column)
            assert.isTrue("originalLine" in entry && entry.generatedColumn === column, `${name}/${file}:${line + 1}`)
            if ("originalLine" in entry) {
              assert.strictEqual(source[entry.originalLine]?.slice(entry.originalColumn).slice(0, word.length), word)
            }
            marked++
          }
        }
      }
    }
    assert.isAbove(marked, 300)
  })
})

const withoutComments = (code: string) => code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")

describe("versions", () => {
  const policy = read("docs/versioning.md")

  /** What the first doc comment of a module of Effect says. */
  const isStable = (module: string) => {
    const [comment = ""] = /\/\*\*[\s\S]*?\*\//.exec(read(`node_modules/effect/src/${module}.ts`).join("\n")) ?? []
    return comment.includes("@stability stable")
  }

  /** The modules of Effect that these files import. */
  const importsIn = (pattern: string, isMeant: (file: string) => boolean) =>
    new Set(
      globSync(pattern, { cwd: root })
        .filter(isMeant)
        .flatMap((file) => [...withoutComments(read(file).join("\n")).matchAll(/from "effect\/([^"]+)"/g)])
        .map(([, module = ""]) => module)
    )

  it("has each of Effect's unstable modules in its table, with what each package does with it", () => {
    const isTesting = (file: string) => file.includes("/testing/")
    const packages = names.map((name) => ({
      all: importsIn(`packages/${name}/src/**/*.ts`, () => true),
      code: importsIn(`packages/${name}/src/**/*.ts`, (file) => !isTesting(file)),
      types: importsIn(`packages/${name}/dist/**/*.d.ts`, (file) => !isTesting(file) && !file.includes("/internal/"))
    }))
    const rows = [...new Set(packages.flatMap(({ all }) => [...all]))]
      .filter((module) => !isStable(module))
      .sort()
      .map((module) => [
        `\`${module}\``,
        ...packages.map(({ all, code, types }) =>
          types.has(module) ? "types" : code.has(module) ? "inside" : all.has(module) ? "testing" : "–"
        )
      ])
    const table = policy
      .slice(policy.findIndex((line) => line.startsWith("| module ")) + 2)
      .map((line) => line.split("|").slice(1, -1))
    const end = table.findIndex((cells) => cells.length === 0)
    assert.deepStrictEqual(
      table.slice(0, end).map((cells) => cells.map((cell) => cell.trim())),
      rows
    )
  })

  it("are the same for all packages, and go into one release", () => {
    const manifests = names.map((name) => manifestIn(Path.join(root, "packages", name)))
    assert.strictEqual(new Set(manifests.map(({ version }) => version)).size, 1)
    assert.strictEqual(new Set(manifests.map(({ peerDependencies }) => peerDependencies.effect)).size, 1)
    const config: { readonly fixed: ReadonlyArray<ReadonlyArray<string>> } = JSON.parse(
      read(".changeset/config.json").join("\n")
    )
    assert.deepStrictEqual(config.fixed, [manifests.map(({ name }) => name)])
  })
})

describe("marks of what is pure", () => {
  const code = [
    'import { make, tag } from "./make.js"',
    "export const one = make(tag(1), make(2)), two = () => make(3)",
    "class Three extends tag(3) { static four = make(4); five = make(5) }",
    "make(6)"
  ].join("\n")
  /** Every word of the code, mapped to where it stands now. */
  const words = code
    .split("\n")
    .map((line, at) => Array.from(line.matchAll(/\w+/g), ({ index }): SourceMapSegment => [index, 0, at, index]))
  const annotated = annotate(code, encode(words))

  it("stand before the calls of declarations, and before no others", () => {
    assert.strictEqual(
      annotated.code,
      code
        .replace("make(tag(1), make(2))", "/*#__PURE__*/ make(/*#__PURE__*/ tag(1), /*#__PURE__*/ make(2))")
        .replace("tag(3)", "/*#__PURE__*/ tag(3)")
        .replace("make(4)", "/*#__PURE__*/ make(4)")
    )
    assert.deepStrictEqual(annotate(annotated.code, annotated.mappings), annotated, "once is enough")
  })

  it("leave every place of the source map at its word", () => {
    const before = code.split("\n")
    const after = annotated.code.split("\n")
    const word = (line: string | undefined, column: number) => /^\w+/.exec((line ?? "").slice(column))?.[0]
    const moved = decode(annotated.mappings)
    assert.deepStrictEqual(
      moved.map((segments, at) => segments.map(([column]) => word(after[at], column))),
      words.map((segments, at) => segments.map(([column]) => word(before[at], column)))
    )
    assert.deepStrictEqual(
      moved.map((segments) => segments.map(([, ...source]) => source)),
      words.map((segments) => segments.map(([, ...source]) => source)),
      "where it is in the source has not changed"
    )
  })
})

describe("the lock file", () => {
  const lock = read("pnpm-lock.yaml").join("\n")

  it("names a hash for each package, and no other place", () => assert.deepStrictEqual(problemsOfLock(lock, root), []))

  it.each([
    ["a package without a hash", lock.replace(/integrity: sha512-[^}]+/, "")],
    ["a weaker hash", lock.replace("integrity: sha512-", "integrity: sha1-")],
    ["a tarball of its own", lock.replace("{integrity: ", "{tarball: https://example.com/a.tgz, integrity: ")],
    ["a git dependency", lock.replace(/version: 4\.1\.0$/m, "version: git+ssh://git@example.com/effect.git#0123")],
    [
      "a licence that is not permissive",
      lock.replace("'@noble/hashes@2.4.0': {}", "'@noble/hashes@2.4.0':\n    dependencies:\n      lightningcss: 1.33.0")
    ]
  ])("is not taken with %s", (_name, text) => {
    assert.notStrictEqual(text, lock)
    assert.isNotEmpty(problemsOfLock(text, root))
  })
})

describe("the workflows", () => {
  const scripts: Readonly<Record<string, string>> = JSON.parse(read("package.json").join("\n")).scripts
  const workflows = globSync(".github/workflows/*.yml", { cwd: root })

  it("run what is there, with actions that are pinned", () => {
    assert.isNotEmpty(workflows)
    for (const workflow of workflows) {
      const lines = read(workflow)
      for (const line of lines) {
        assert.notInclude(line, "\t", workflow)
        const [, script] = /pnpm@[\d.]+ (?:run )?(?!install\b|exec\b)([\w:]+)/.exec(line) ?? []
        if (script !== undefined) assert.property(scripts, script, workflow)
        const [, command] = /pnpm@[\d.]+ exec ([\w-]+)/.exec(line) ?? []
        if (command !== undefined) assert.isTrue(existsSync(bin(command)), `${workflow}: ${command}`)
        const [, file] = /(?:run:|node) ((?:\.ci|scripts)\/[\w.-]+)/.exec(line) ?? []
        if (file !== undefined) assert.isTrue(existsSync(Path.join(root, file)), `${workflow}: ${file}`)
        if (line.includes("uses:")) assert.match(line, /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d/, workflow)
      }
    }
  })

  it("publish with provenance, after the tests and the audit", () => {
    const release = read(".github/workflows/release.yml").join("\n")
    const [, ...jobs] = release.split(/^ {2}(?=\w+:$)/m)
    const job = (name: string) => jobs.find((text) => text.startsWith(`${name}:`)) ?? ""
    assert.match(job("test"), /run: \.ci\/run\n.*run audit:lock\n/)
    assert.match(job("publish"), /needs: test\n/)
    // The one variable that pnpm reads; it passes over `publishConfig.provenance`.
    assert.match(job("publish"), /run release\n\s+env:\n(?:.*#.*\n)?\s+PNPM_CONFIG_PROVENANCE: "true"/)
    assert.deepStrictEqual(
      jobs.filter((text) => text.includes("id-token: write")),
      [job("publish")]
    )
    assert.notMatch(release, /NPM_TOKEN|NODE_AUTH_TOKEN/)
  })
})
