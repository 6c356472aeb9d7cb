/**
 * After `tsc -b`: marks the calls that a module of `dist` makes while it loads as pure, as Effect's own build does. A bundler
 * then drops what a program does not use, where else it would keep all of a module of which one export is used.
 *
 * Source maps are moved along. What is marked already stays as it is, so that this can be run again.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { decode, encode } from "@jridgewell/sourcemap-codec"
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

/** Marks a module and moves its map along; without a change if there is nothing to mark. */
export const annotate = (code: string, mappings: string): { readonly code: string; readonly mappings: string } => {
  const lines = decode(mappings)
  let marked = code
  // From the end to the beginning: what comes before is where it was.
  for (const at of pureCalls(code)) {
    const before = code.slice(0, at)
    const column = at - (before.lastIndexOf("\n") + 1)
    for (const segment of lines[before.split("\n").length - 1] ?? []) {
      if (segment[0] >= column) segment[0] += mark.length
    }
    marked = marked.slice(0, at) + mark + marked.slice(at)
  }
  return { code: marked, mappings: encode(lines) }
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
