/** Makes modules of the documents' code, type-checks them all in one run of tsc, and runs those that can run. */
import { execFile } from "node:child_process"
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { type Block, root } from "./markdown.ts"

/** Where the modules are written: inside the repository, where the workspace's packages resolve. */
const folder = Path.join(root, ".docs-check")
const fixtures = Path.join(import.meta.dirname, "fixtures")

/** Where a line of a module comes from. */
interface Origin {
  readonly doc: string
  readonly line: number
}

/** A module made of one block, or of several that belong together. */
export interface Module {
  /** From the root of the repository. */
  readonly path: string
  /** The name by which the document's own text calls it. */
  readonly name: string
  readonly blocks: ReadonlyArray<Block>
  /** Whether the document says that it does not compile. */
  readonly broken: boolean
  readonly runnable: boolean
  readonly origins: ReadonlyArray<Origin>
}

/** Groups the blocks into modules and writes them. */
export const writeModules = (blocks: ReadonlyArray<Block>): ReadonlyArray<Module> => {
  const groups = new Map<string, [Block, ...Array<Block>]>()
  for (const block of blocks) {
    const place = Path.join(".docs-check", block.doc.replace(/\.(md|ts)$/, ""))
    const path = Path.join(place, block.file ?? `line-${block.line}.ts`)
    const group = groups.get(path)
    if (group === undefined) groups.set(path, [block])
    else group.push(block)
  }

  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const compilerOptions = {
    // Nothing is written, so nothing of what writing needs.
    composite: false,
    incremental: false,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
    noEmit: true,
    rewriteRelativeImportExtensions: false,
    types: ["node"]
  }
  writeFileSync(
    Path.join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../tsconfig.base.json", compilerOptions, include: ["**/*.ts"] })
  )

  return [...groups].map(([path, group]) => {
    const code = group.flatMap((block) => block.code)
    const origins = group.flatMap((block) =>
      block.code.map((_, index): Origin => ({ doc: block.doc, line: block.line + index }))
    )
    const target = Path.join(root, path)
    mkdirSync(Path.dirname(target), { recursive: true })
    for (const fixture of readdirSync(fixtures)) {
      copyFileSync(Path.join(fixtures, fixture), Path.join(Path.dirname(target), fixture))
    }
    writeFileSync(target, `${code.join("\n")}\n`)
    const flagged = (flag: string) => group.some((block) => block.flags.has(flag))
    const broken = flagged("error")
    return {
      path,
      name: group[0].file ?? Path.basename(path),
      blocks: group,
      broken,
      runnable: !broken && !flagged("no-run") && !code.some((line) => /^\s*declare /.test(line)),
      origins
    }
  })
}

/** Runs a program with this very Node; what it printed, whatever its exit code. */
export const run = (file: string, args: ReadonlyArray<string>, timeout = 25_000): Promise<Run> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [file, ...args],
      {
        cwd: root,
        timeout,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined }
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1
        resolve({ code, stdout, stderr })
      }
    )
  })

/** How a program ended. */
export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What tsc says of one place in one module. */
export interface Diagnostic {
  readonly module: Module
  readonly line: number
  readonly column: number
  /** `error TS…: …`, with the lines that explain it. */
  readonly text: string
}

/** Type-checks the modules with the repository's own options, in one run. */
export const typeCheck = async (modules: ReadonlyArray<Module>): Promise<ReadonlyArray<Diagnostic>> => {
  const tsc = Path.join(root, "node_modules/typescript/bin/tsc")
  const { code, stderr, stdout } = await run(tsc, ["-p", folder, "--pretty", "false"], 60_000)
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const found: Array<Diagnostic> = []
  const elsewhere: Array<string> = []
  let last: { text: string } | undefined
  for (const line of stdout.split("\n")) {
    const head = /^(\S[^(]*)\((\d+),(\d+)\): (error TS(\d+): .*)$/.exec(line)
    if (head === null) {
      if (line !== "" && last !== undefined) last.text += `\n${line}`
      continue
    }
    const [, path = "", row = "", column = "", text = "", number = ""] = head
    const module = byPath.get(path)
    if (module === undefined) {
      last = undefined
      elsewhere.push(line)
      continue
    }
    const diagnostic = { module, line: Number(row), column: Number(column), text }
    last = diagnostic
    // An example may make something that only its reader uses; an import that nobody uses is a mistake.
    const source = module.blocks.flatMap((block) => block.code)[diagnostic.line - 1] ?? ""
    if (number !== "6133" || source.startsWith("import")) found.push(diagnostic)
  }
  // Killed for its time, or not found at all: that nothing was said must not pass for nothing being wrong.
  if (code !== 0 && elsewhere.length === 0 && last === undefined) {
    throw new Error(`tsc failed without a word on the documents:\n${stdout}${stderr}`)
  }
  if (elsewhere.length > 0)
    throw new Error(`the packages do not compile, so nor do the documents:\n${elsewhere.join("\n")}`)
  return found
}

/** A diagnostic as a person can find it: at its line of the document. */
export const locate = ({ column, line, module, text }: Diagnostic): string => {
  const origin = module.origins[line - 1]
  return origin === undefined ? `${module.path}:${line}: ${text}` : `${origin.doc}:${origin.line}:${column}: ${text}`
}

/** A diagnostic as the document prints it: by the name that the document gives the module. */
export const print = ({ column, line, module, text }: Diagnostic): string =>
  `${module.name}(${line},${column}): ${text}`

/** What a module printed, line by line, and how it failed, if it did. */
export interface Ran {
  readonly module: Module
  readonly lines: ReadonlyArray<string>
  readonly error: string | undefined
}

/** Imports every module that can run, all in one child process. */
export const runModules = async (modules: ReadonlyArray<Module>): Promise<ReadonlyArray<Ran>> => {
  const runnable = modules.filter((module) => module.runnable)
  const paths = runnable.map((module) => Path.join(root, module.path))
  const { stderr, stdout } = await run(Path.join(import.meta.dirname, "runner.ts"), paths, 50_000)
  const results = new Map(
    stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line): readonly [string, { lines: ReadonlyArray<string>; error?: string }] => {
        const result = JSON.parse(line) as { path: string; lines: ReadonlyArray<string>; error?: string }
        return [result.path, result]
      })
  )
  return runnable.map((module) => {
    const result = results.get(Path.join(root, module.path))
    return result === undefined
      ? { module, lines: [], error: `did not end in time, or ended the process\n${stderr}` }
      : { module, lines: result.lines, error: result.error }
  })
}

/** What a module's own comments say that it prints: `console.log(…) // this`, or `// prints: this` on a line below. */
export const expectedLines = (module: Module): ReadonlyArray<string> =>
  module.blocks.flatMap((block) =>
    block.code.flatMap((line) => {
      const below = /^\s*\/\/ prints: (.*)$/.exec(line)
      const beside = /\bconsole\.log\(.*\) \/\/ (.*)$/.exec(line)
      const text = below?.[1] ?? beside?.[1]
      return text === undefined ? [] : [text]
    })
  )

/** Whether a comment says what was printed, and perhaps, after a colon, why. */
export const says = (comment: string, printed: string): boolean =>
  comment === printed || comment.startsWith(`${printed}: `)
