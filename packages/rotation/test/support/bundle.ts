/** Programs that tests start as processes of their own, each as one file: of a process's time most went into reading modules. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

const built = new Map<string, string>()

/** Where the bundle of a program is; it is there until this process ends. */
export const bundled = (program: URL): string => {
  const path = fileURLToPath(program)
  const known = built.get(path)
  if (known !== undefined) return known
  const folder = mkdtempSync(join(tmpdir(), "effect-api-keys-bundle-"))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  const outfile = join(folder, `${basename(path, ".ts")}.mjs`)
  buildSync({
    entryPoints: [path],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    // For the packages in it that are CommonJS.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);'
    },
    external: ["pg-native"],
    logLevel: "error"
  })
  built.set(path, outfile)
  return outfile
}
