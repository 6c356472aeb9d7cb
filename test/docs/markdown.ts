/** Finds the code in the documents: fenced blocks of Markdown, and of doc comments in the packages' sources. */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"

/** The root of the repository. */
export const root: string = Path.resolve(import.meta.dirname, "../..")

/** One fenced block. */
export interface Block {
  /** The document, from the root. */
  readonly doc: string
  /** The line of the document on which the code begins. */
  readonly line: number
  readonly language: string
  /** The words after the language. */
  readonly flags: ReadonlySet<string>
  readonly code: ReadonlyArray<string>
  /** The module that the block is a part of: `<!-- file: acme.ts -->` stands before it. */
  readonly file: string | undefined
}

const filesBelow = (folder: string, ends: string): ReadonlyArray<string> =>
  readdirSync(Path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ends))
    .map((entry) => Path.relative(root, Path.join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path))
    .sort()

/** Every document of the repository. */
export const documents = (): ReadonlyArray<string> => [
  "README.md",
  "CONTRIBUTING.md",
  ...filesBelow("packages", "README.md"),
  ...filesBelow("docs", ".md")
]

/** Every public module of the packages. */
export const sources = (): ReadonlyArray<string> =>
  filesBelow("packages", ".ts").filter((path) => /^packages\/[^/]+\/src\//.test(path))

/** The lines of a file of the repository. */
export const read = (path: string): ReadonlyArray<string> => readFileSync(Path.join(root, path), "utf8").split("\n")

/** The blocks among these lines; `undefined` is a line that is not the document's, such as code around a comment. */
const blocksOf = (doc: string, lines: ReadonlyArray<string | undefined>): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  let open: { readonly line: number; readonly info: string; readonly code: Array<string> } | undefined
  let file: string | undefined
  for (const [index, line] of lines.entries()) {
    if (open === undefined) {
      const marker = line === undefined ? null : /^<!-- file: (\S+) -->$/.exec(line.trim())
      const fence = line === undefined ? null : /^```(.*)$/.exec(line.trim())
      if (marker !== null) file = marker[1]
      else if (fence !== null) open = { line: index + 2, info: fence[1] ?? "", code: [] }
      else if (line !== undefined && line.trim() !== "") file = undefined
    } else if (line === undefined) {
      throw new Error(`${doc}:${open.line - 1}: a block is never closed`)
    } else if (line.trim() === "```") {
      const [language = "", ...flags] = open.info.split(/\s+/)
      blocks.push({ doc, line: open.line, language, flags: new Set(flags), code: open.code, file })
      open = undefined
      file = undefined
    } else {
      open.code.push(line)
    }
  }
  if (open !== undefined) throw new Error(`${doc}:${open.line - 1}: a block is never closed`)
  return blocks
}

/** The blocks of a Markdown document. */
export const blocksOfMarkdown = (doc: string): ReadonlyArray<Block> => blocksOf(doc, read(doc))

/** The blocks in the doc comments of a module. */
export const blocksOfSource = (doc: string): ReadonlyArray<Block> => {
  let inside = false
  return blocksOf(
    doc,
    read(doc).map((line) => {
      if (/^\s*\/\*\*/.test(line)) inside = !line.includes("*/")
      else if (/^\s*\*\//.test(line)) inside = false
      else if (inside) return line.replace(/^\s*\* ?/, "")
      return undefined
    })
  )
}
