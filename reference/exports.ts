/** The public exports of the packages, and what their doc comments lack. Reads the packages' sources and nothing else. */
import * as Path from "node:path"
import ts from "typescript"
import { type Entry, entries, root } from "./entries.ts"

const sourceOf = new Map(entries.map(({ name, source }) => [name, source]))

/** Relative imports and those of the packages themselves; what comes from elsewhere has no doc comments of ours. */
const resolve = (name: string, from: string): ts.ResolvedModuleFull | undefined => {
  const file = name.startsWith(".") ? Path.resolve(Path.dirname(from), name) : sourceOf.get(name)
  return file === undefined ? undefined : { resolvedFileName: file, extension: ts.Extension.Ts }
}

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  noEmit: true,
  noLib: true,
  types: []
}
const program = ts.createProgram({
  rootNames: entries.map(({ source }) => source),
  options,
  host: {
    ...ts.createCompilerHost(options),
    resolveModuleNameLiterals: (literals, from) => literals.map(({ text }) => ({ resolvedModule: resolve(text, from) }))
  }
})
const checker = program.getTypeChecker()

const locate = (node: ts.Node): string => {
  const file = node.getSourceFile()
  return `${Path.relative(root, file.fileName)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}

const commentOf = (node: ts.Node): ts.JSDoc | undefined => ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc).at(-1)

const textOf = (comment: ts.JSDoc["comment"]): string => ts.getTextOfJSDocComment(comment)?.trim() ?? ""

/** An export: what it is, and where its doc comments are to stand. */
interface Export {
  readonly symbol: ts.Symbol
  readonly places: ReadonlyArray<ts.Declaration>
}

/** What a module exports, and what the namespaces that it exports do. */
const exportsOf = (file: ts.SourceFile): ReadonlyArray<Export> => {
  const module = checker.getSymbolAtLocation(file)
  return (module === undefined ? [] : checker.getExportsOfModule(module)).flatMap((alias): ReadonlyArray<Export> => {
    const symbol = (alias.flags & ts.SymbolFlags.Alias) === 0 ? alias : checker.getAliasedSymbol(alias)
    // What a package adds to an interface of another is documented there.
    const own = (symbol.declarations ?? []).filter((node) => ts.isSourceFile(node) || !ts.isModuleBlock(node.parent))
    const [first] = own
    if (first !== undefined && ts.isSourceFile(first)) return exportsOf(first)
    // What comes from an internal module is documented where it is exported.
    const passedOn = (alias.declarations ?? []).filter((node) => commentOf(node) !== undefined)
    return [{ symbol, places: passedOn.length === 0 ? own : passedOn }]
  })
}

const byEntry = new Map(
  entries.map((entry): readonly [Entry, ReadonlyArray<Export>] => {
    const file = program.getSourceFile(entry.source)
    if (file === undefined) throw new Error(`${entry.name} is not at ${entry.source}`)
    return [entry, exportsOf(file)]
  })
)
const named = new Set([...byEntry].flatMap(([entry, all]) => (entry.named ? all.map(({ symbol }) => symbol) : [])))

/** The modules that a reader needs: those that `exports` names, and of the others those that have something of their own. */
export const pages: ReadonlyArray<Entry> = entries.filter(
  (entry) => entry.named || byEntry.get(entry)?.some(({ symbol }) => !named.has(symbol))
)

const lacks = (name: string, place: ts.Node, tags: ReadonlyArray<string>): ReadonlyArray<string> => {
  const comment = commentOf(place)
  if (comment === undefined) return [`${locate(place)}: ${name} has no doc comment`]
  const filled = new Set(comment.tags?.flatMap((tag) => (textOf(tag.comment) === "" ? [] : [tag.tagName.text])))
  return [
    ...(textOf(comment.comment) === "" ? ["summary"] : []),
    ...tags.filter((tag) => !filled.has(tag)).map((tag) => `@${tag}`)
  ].map((part) => `${locate(place)}: ${name} has no ${part}`)
}

const isStatic = (member: ts.ClassElement): boolean =>
  ts.canHaveModifiers(member) &&
  ts.getModifiers(member)?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword) === true

const undocumented = ({ places, symbol }: Export): ReadonlyArray<string> =>
  places.flatMap((place) => [
    ...lacks(symbol.name, place, ["since", "category"]),
    ...(ts.isClassDeclaration(place) ? place.members : [])
      .filter(isStatic)
      .flatMap((member) => lacks(`${symbol.name}.${member.name?.getText()}`, member, ["since"]))
  ])

/** A module begins with a comment that says what it is for. */
const untold = (file: ts.SourceFile): ReadonlyArray<string> => {
  const [first] = ts.getLeadingCommentRanges(file.text, 0) ?? []
  const told = first !== undefined && /^\/\*\*[\s\S]*@since/.test(file.text.slice(first.pos, first.end))
  return told ? [] : [`${Path.relative(root, file.fileName)}:1: the module has no doc comment with @since`]
}

/** The links in the doc comments of a module that lead to nothing that is in scope there. */
const deadLinks = (file: ts.SourceFile): ReadonlyArray<string> => {
  const dead: Array<string> = []
  const visit = (node: ts.Node): void => {
    for (const child of node.getChildren(file)) {
      const isLink = ts.isJSDocLink(child) || ts.isJSDocLinkCode(child) || ts.isJSDocLinkPlain(child)
      if (isLink && (child.name === undefined || checker.getSymbolAtLocation(child.name) === undefined)) {
        dead.push(`${locate(child)}: ${child.getText(file)} leads nowhere`)
      }
      visit(child)
    }
  }
  visit(file)
  return dead
}

/** Every regular expression that the packages' sources hold, and where. */
const patternsOf = (file: ts.SourceFile): ReadonlyArray<{ readonly at: string; readonly pattern: string }> => {
  const found: Array<{ readonly at: string; readonly pattern: string }> = []
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) found.push({ at: locate(node), pattern: node.text })
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** The regular expressions of all modules, public or not. */
export const patterns = () => program.getSourceFiles().flatMap(patternsOf)

/** How many exports there are, and what is wrong with the doc comments of the public modules. */
export const report = (): { readonly exports: number; readonly problems: ReadonlyArray<string> } => {
  const all = new Map([...byEntry.values()].flat().map((one) => [one.symbol, one]))
  const files = program.getSourceFiles().filter(({ fileName }) => !fileName.includes("/internal/"))
  return {
    exports: all.size,
    problems: [...files.flatMap(untold), ...[...all.values()].flatMap(undocumented), ...files.flatMap(deadLinks)]
  }
}
