/** What a bundler makes of some modules, minified: how large it is, and of what it consists. */
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { type BuildOptions, build } from "esbuild"

/** Where bundled source finds its packages. */
const resolveDir = fileURLToPath(new URL("..", import.meta.url))

export interface Bundle {
  readonly raw: number
  readonly gzip: number
  /** What every module has in it, in bytes of the minified output. */
  readonly modules: ReadonlyMap<string, number>
  /** What it still imports. */
  readonly imports: ReadonlyArray<string>
  readonly text: string
}

/** Makes many bundles at once, each of a program's text: what they share is read once. */
export const bundlesOf = async <Name extends string>(
  programs: Readonly<Record<Name, string>>,
  options: BuildOptions = {}
): Promise<Readonly<Record<Name, Bundle>>> => {
  const texts = new Map(Object.entries<string>(programs))
  const names = [...texts.keys()]
  const { metafile, outputFiles } = await build({
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    legalComments: "none",
    logLevel: "silent",
    ...options,
    absWorkingDir: resolveDir,
    entryPoints: names.map((name, at) => ({ in: `program:${name}`, out: String(at) })),
    outdir: "bundles",
    metafile: true,
    write: false,
    plugins: [
      {
        name: "programs",
        setup: ({ onLoad, onResolve }) => {
          onResolve({ filter: /^program:/ }, ({ path }) => ({
            path: path.slice("program:".length),
            namespace: "program"
          }))
          onLoad({ filter: /./, namespace: "program" }, ({ path }) => ({
            contents: texts.get(path) ?? "",
            resolveDir,
            loader: "ts"
          }))
        }
      }
    ]
  })
  const bundleAt = (at: number): Bundle => {
    const file = outputFiles.find(({ path }) => path.endsWith(`/bundles/${at}.js`))
    const output = metafile.outputs[`bundles/${at}.js`]
    if (file === undefined || output === undefined) throw new Error(`the bundler gave nothing for ${names[at]}`)
    return {
      raw: file.contents.byteLength,
      gzip: gzipSync(file.contents, { level: 9 }).byteLength,
      modules: new Map(Object.entries(output.inputs).map(([path, { bytesInOutput }]) => [path, bytesInOutput])),
      imports: output.imports.map(({ path }) => path),
      text: file.text
    }
  }
  // Every name is there: they are those of `programs`.
  return Object.fromEntries(names.map((name, at) => [name, bundleAt(at)])) as Record<Name, Bundle>
}

/** Modules that are not the platform's are all in it: what cannot be found, or is Node's alone, is an error. */
export const bundleOf = async (program: string, options?: BuildOptions): Promise<Bundle> =>
  (await bundlesOf({ program }, options)).program

/** `internal/mint.ts` of `@effect-api-keys/core`, of wherever a module is on this machine. */
export const moduleName = (path: string): { readonly owner: string; readonly file: string } => {
  const installed = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\/(?:dist\/)?(.+)$/.exec(path)
  if (installed !== null) return { owner: installed[1] ?? "", file: installed[2] ?? "" }
  const own = /^(?:.*\/)?packages\/([^/]+)\/(?:src|dist)\/(.+)$/.exec(path)
  return own === null ? { owner: "", file: path } : { owner: `@effect-api-keys/${own[1]}`, file: own[2] ?? "" }
}

export type Adapter = "jetemail" | "mailer-patch" | "voiceable"

/** What the library is to a program that uses it: the service, and the layers of some vendors. */
export const library = (...adapters: ReadonlyArray<Adapter>): string =>
  [
    `export { ApiKeyService } from "@effect-api-keys/core"`,
    ...adapters.map((name, index) => `export { layer as layer${index} } from "@effect-api-keys/${name}"`)
  ].join("\n")

/** What a test lets bundles grow to, in bytes, minified and gzipped. The aim is 64 000 with one adapter, and 4 000 for a further one. */
export const limits = {
  coreAndOneAdapter: { jetemail: 78_500, "mailer-patch": 76_500, voiceable: 73_000 },
  /** Beside JetEmail; JetEmail itself beside Voiceable. */
  furtherAdapter: { jetemail: 9_000, "mailer-patch": 7_000, voiceable: 3_500 }
}
