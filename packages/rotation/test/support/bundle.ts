/** Programs that tests start as processes of their own, each as one file: of a process's time most went into reading modules. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

const built = new Map<string, string>()

const folder = join(import.meta.dirname, "../../../../node_modules/.cache/effect-api-keys")

/** Where the bundle of a program is. The last one made stays there. */
export const bundled = (program: URL): string => {
  const path = fileURLToPath(program)
  const known = built.get(path)
  if (known !== undefined) return known
  const outfile = join(folder, `${basename(path, ".ts")}.mjs`)
  const { outputFiles } = buildSync({
    entryPoints: [path],
    outfile,
    write: false,
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
  // In one step: another process may be making or reading the same one.
  const made = `${outfile}.${process.pid}`
  mkdirSync(folder, { recursive: true })
  for (const { contents } of outputFiles) writeFileSync(made, contents)
  renameSync(made, outfile)
  built.set(path, outfile)
  return outfile
}
