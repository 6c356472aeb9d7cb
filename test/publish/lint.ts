/** What publint and attw have against the tarballs that are given, a line each. In a process of its own: attw brings a TypeScript. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { publint } from "publint"
import { formatMessage } from "publint/utils"

/** The part of `@arethetypeswrong/core` that is used here; only its command is a dependency of the workspace. */
interface Attw {
  readonly createPackageFromTarballData: (tarball: Uint8Array) => unknown
  readonly checkPackage: (
    pkg: unknown,
    options: { readonly entrypoints: ReadonlyArray<string> }
  ) => Promise<{
    readonly types: unknown
    readonly problems: ReadonlyArray<{
      readonly kind: string
      readonly resolutionKind?: string
      readonly entrypoint?: string
    }>
  }>
}

const workspace = createRequire(import.meta.url)
const command = createRequire(workspace.resolve("@arethetypeswrong/cli/package.json"))
const attw: Attw = await import(pathToFileURL(command.resolve("@arethetypeswrong/core")).href)

/** `--profile esm-only`: there is nothing for `require`, nor for the resolution of Node 10. */
const ignored = new Set(["node10", "node16-cjs"])

for (const [tarball = "", folder = "", ...entrypoints] of process.argv.slice(2).map((text) => text.split(","))) {
  const bytes = readFileSync(tarball)
  const { messages, pkg } = await publint({ pkgDir: folder, pack: false, strict: true })
  for (const message of messages) process.stdout.write(`${folder}: publint: ${formatMessage(message, pkg)}\n`)

  const { problems, types } = await attw.checkPackage(attw.createPackageFromTarballData(new Uint8Array(bytes)), {
    entrypoints
  })
  if (types === false) process.stdout.write(`${folder}: attw: no types\n`)
  for (const { entrypoint, kind, resolutionKind } of problems) {
    if (resolutionKind === undefined || !ignored.has(resolutionKind)) {
      process.stdout.write(`${folder}: attw: ${kind} ${entrypoint} ${resolutionKind}\n`)
    }
  }
}
