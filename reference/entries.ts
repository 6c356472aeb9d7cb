/** What can be imported from the packages: their modules, by the names that a program imports them by. */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"

/** The root of the repository. */
export const root: string = Path.resolve(import.meta.dirname, "..")

/** A module that a program can import. */
export interface Entry {
  /** What a program writes, such as `@effect-api-keys/core/testing`. */
  readonly name: string
  readonly package: string
  /** Its source: an absolute path. */
  readonly source: string
  /** Whether `exports` names it; else it comes by the pattern `./*`. */
  readonly named: boolean
}

interface Manifest {
  readonly name: string
  readonly exports: Readonly<Record<string, string | null>>
}

const entriesOf = (folder: string): ReadonlyArray<Entry> => {
  const manifest: Manifest = JSON.parse(readFileSync(Path.join(folder, "package.json"), "utf8"))
  return Object.entries(manifest.exports).flatMap(([subpath, target]): ReadonlyArray<Entry> => {
    if (target === null || !target.endsWith(".ts")) return []
    const entry = (module: string): Entry => ({
      name: Path.posix.join(manifest.name, subpath.replace("*", module)),
      package: manifest.name,
      source: Path.join(folder, target.replace("*", module)),
      named: module === ""
    })
    return subpath.includes("*")
      ? readdirSync(Path.join(folder, Path.dirname(target)))
          .filter((file) => file.endsWith(".ts") && file !== "index.ts")
          .map((file) => entry(Path.basename(file, ".ts")))
      : [entry("")]
  })
}

/** Every module that the packages' `exports` offer. What is below a folder of it, such as `testing`, is in that folder's index. */
export const entries: ReadonlyArray<Entry> = readdirSync(Path.join(root, "packages"))
  .sort()
  .flatMap((name) => entriesOf(Path.join(root, "packages", name)))
