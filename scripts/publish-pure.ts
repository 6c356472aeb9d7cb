/**
 * After `tsc -b`: marks the calls that a module of `dist` makes while it loads as pure, as Effect's own build does. A bundler
 * then drops what a program does not use, where else it would keep all of a module of which one export is used.
 *
 * Source maps are moved along. What is marked already stays as it is, so that this can be run again.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseAst } from "vitest/node"

const mark = "/*#__PURE__*/ "

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** Where the calls begin that are made when this is evaluated: those in functions are not. */
const callsIn = (node: unknown): ReadonlyArray<number> => {
  if (Array.isArray(node)) return node.flatMap(callsIn)
  if (!isObject(node)) return []
  switch (node.type) {
    case "ArrowFunctionExpression":
    case "FunctionExpression":
      return []
    case "MethodDefinition":
      return node.computed === true ? callsIn(node.key) : []
    case "PropertyDefinition":
      return [
        ...(node.computed === true ? callsIn(node.key) : []),
        ...(node.static === true ? callsIn(node.value) : [])
      ]
  }
  const inside = Object.values(node).flatMap(callsIn)
  const isCall = node.type === "CallExpression" || node.type === "NewExpression"
  return isCall && typeof node.start === "number" ? [node.start, ...inside] : inside
}

/** Statements are left alone: what is called for its effect must stay. */
const pureCalls = (code: string): ReadonlyArray<number> => {
  const declarations = parseAst(code).body.flatMap((statement) => {
    const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement
    return declaration?.type === "VariableDeclaration" || declaration?.type === "ClassDeclaration" ? [declaration] : []
  })
  return [...new Set(callsIn(declarations))].filter((at) => !code.slice(0, at).endsWith(mark)).sort((a, b) => b - a)
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/** The first number of a segment of a source map, and how many digits it has. */
const readVlq = (segment: string): readonly [value: number, length: number] => {
  let value = 0
  for (let length = 0; length < segment.length; length++) {
    const digit = digits.indexOf(segment.charAt(length))
    value += (digit & 31) << (5 * length)
    if ((digit & 32) === 0) return [value & 1 ? -(value >> 1) : value >> 1, length + 1]
  }
  return [0, 0]
}

const writeVlq = (value: number): string => {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1
  let text = ""
  do {
    text += digits.charAt((rest & 31) | (rest > 31 ? 32 : 0))
    rest >>= 5
  } while (rest > 0)
  return text
}

/** A line of mappings in which all from this column on stands further right. Columns are relative, so one number changes. */
const shift = (line: string, column: number, by: number): string => {
  let at = 0
  const segments = line.split(",")
  for (const [index, segment] of segments.entries()) {
    const [delta, length] = readVlq(segment)
    at += delta
    if (segment !== "" && at >= column) {
      segments[index] = writeVlq(delta + by) + segment.slice(length)
      break
    }
  }
  return segments.join(",")
}

/** Marks a module and moves its map along; without a change if there is nothing to mark. */
export const annotate = (code: string, mappings: string): { readonly code: string; readonly mappings: string } => {
  const lines = mappings.split(";")
  let marked = code
  // From the end to the beginning: what comes before is where it was.
  for (const at of pureCalls(code)) {
    const before = code.slice(0, at)
    const line = before.split("\n").length - 1
    lines[line] = shift(lines[line] ?? "", at - (before.lastIndexOf("\n") + 1), mark.length)
    marked = marked.slice(0, at) + mark + marked.slice(at)
  }
  return { code: marked, mappings: lines.join(";") }
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..")
  for (const path of globSync("packages/*/dist/**/*.js", { cwd: root })) {
    const file = join(root, path)
    const code = readFileSync(file, "utf8")
    const map: { mappings: string } = JSON.parse(readFileSync(`${file}.map`, "utf8"))
    const annotated = annotate(code, map.mappings)
    if (annotated.code === code) continue
    writeFileSync(file, annotated.code)
    writeFileSync(`${file}.map`, JSON.stringify({ ...map, mappings: annotated.mappings }))
  }
}
