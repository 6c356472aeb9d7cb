/**
 * Makes the reference of the API in `site`: static pages, of the packages' doc comments and of the documents. It needs no network. It
 * fails where an export, or a type that one shows, is not documented, where a link leads nowhere, and where a page would load
 * something from elsewhere.
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import {
  Application,
  Comment,
  type Context,
  Converter,
  type DeclarationReflection,
  DocumentReflection,
  MinimalSourceFile,
  normalizePath,
  type ProjectReflection,
  type Reflection,
  ReflectionKind
} from "typedoc"
import { root } from "./entries.ts"
import { pages, report } from "./exports.ts"

const started = performance.now()
const site = Path.join(import.meta.dirname, "site")
const packages = [...new Set(pages.map((page) => page.package))]
const pageAt = new Map(pages.map((page) => [String(normalizePath(page.source)), page]))

/** Types that say how others are computed, and are of no use by themselves. */
const unexported: Readonly<Record<string, ReadonlyArray<string>>> = {
  "@effect-api-keys/core": ["Asked", "Has", "HasAll", "If", "Lacks", "LayerError", "LayerServices", "Single"],
  "@effect-api-keys/mailer-patch": ["WithoutSubaccount"]
}

const allOf = (text: string, pattern: RegExp): ReadonlyArray<string> =>
  Array.from(text.matchAll(pattern), ([, found = ""]) => found)

const read = (path: string): string => readFileSync(Path.join(root, path), "utf8")

const app = await Application.bootstrap({
  name: "effect-api-keys",
  tsconfig: Path.join(import.meta.dirname, "tsconfig.sources.json"),
  entryPoints: [...pageAt.keys()],
  readme: Path.join(root, "README.md"),
  basePath: root,
  excludeExternals: true,
  // Where a thing is declared is said by file and line: no host is known to link to.
  disableGit: true,
  sourceLinkTemplate: "{path}",
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: true },
  // Functions are looked at in `exports.ts`: here they would be those of every object that a function makes, too.
  requiredToBeDocumented: ["Module", "Namespace", "Class", "Interface", "TypeAlias", "Variable", "Enum"],
  packagesRequiringDocumentation: packages,
  ignoredHighlightLanguages: ["mermaid", "text"],
  treatWarningsAsErrors: true,
  blockTags: ["@since", "@category"],
  sort: ["documents-first", "alphabetical"],
  sortEntryPoints: false,
  categorizeByGroup: false,
  navigation: { includeCategories: true, includeGroups: false, includeFolders: false },
  headings: { readme: false },
  includeHierarchySummary: false,
  hideGenerator: true,
  githubPages: false
})

/** The text of a document; other documents' links to its path lead to this page. */
const parse = (path: string, text: string, page: Reflection) => {
  page.project.files.registerReflectionPath(normalizePath(Path.join(root, path)), page)
  const file = new MinimalSourceFile(text, normalizePath(Path.join(root, path)))
  return app.converter.parseRawComment(file, page.project.files).content
}

/** A page of its own for a document, by the name of its heading. */
const addDocument = (path: string, parent: ProjectReflection | DocumentReflection, text = read(path)) => {
  const [heading = path, ...rest] = text.split("\n")
  const page = new DocumentReflection(heading.replace(/^# /, "").replaceAll("`", ""), parent, [], {})
  page.content = parse(path, rest.join("\n"), page)
  parent.addChild(page)
  page.project.registerReflection(page, undefined, undefined)
  return page
}

app.converter.on(Converter.EVENT_CREATE_PROJECT, (_context, project: ProjectReflection) => {
  for (const path of globSync("docs/*.md", { cwd: root }).sort()) addDocument(path, project)
  const paths = globSync("docs/decisions/*.md", { cwd: root }).sort()
  const folder = addDocument("docs/decisions", project, "# Decisions")
  for (const path of paths) addDocument(path, folder)
  addDocument("CONTRIBUTING.md", project)
})

/** What stands first in a source: the comment on the module. TypeDoc would only take it for one if it had a tag of its own. */
const headOf = (path: string): string =>
  /^\/\*\*([\s\S]*?)\*\//
    .exec(read(path))?.[1]
    ?.replace(/^ *\* ?/gm, "")
    .replace(/^@since .*$/m, "")
    .trim() ?? ""

// A module is called as programs import it, and the page of a package begins with its README.
app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_context, reflection: DeclarationReflection) => {
  const path = reflection.project.files.getReflectionPath(reflection)
  if (path === undefined || !reflection.kindOf(ReflectionKind.SomeModule)) return
  const source = Path.relative(root, path)
  reflection.comment = new Comment(parse(source, headOf(source), reflection))
  const page = pageAt.get(path)
  if (page === undefined) return
  reflection.name = page.name
  if (page.name !== page.package) return
  const folder = Path.join(Path.dirname(source), "..")
  const readme = Path.join(folder, "README.md")
  reflection.readme = parse(readme, read(readme).replace(/^# .*\n/, ""), reflection)
  for (const part of [folder, Path.join(folder, "src")]) {
    reflection.project.files.registerReflectionPath(normalizePath(Path.join(root, part)), reflection)
  }
})

app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }: Context) => {
  for (const reflection of Object.values(project.reflections)) {
    if (reflection.isDeclaration() || reflection.isSignature())
      for (const source of reflection.sources ?? []) delete source.url
  }
})

/** A page that loads something from elsewhere, or links to a place that is not there. */
const check = (html: ReadonlyMap<string, string>): ReadonlyArray<string> => {
  const anchors = new Map(Array.from(html, ([file, text]) => [file, new Set(allOf(text, / id="([^"]+)"/g))]))
  return Array.from(html).flatMap(([file, text]) => {
    const loaded = allOf(text, /<(?:script|link|img|iframe)[^>]*? (?:src|href)="((?:https?:)?\/\/[^"]+)"/g)
    const dead = allOf(text, / href="([^":]+)"/g).filter((href) => {
      const [path = "", anchor] = href.split("#").map(decodeURIComponent)
      const target = path === "" ? file : Path.join(Path.dirname(file), path)
      return (
        !existsSync(Path.join(site, target)) ||
        (anchor !== undefined && anchor !== "" && anchors.get(target)?.has(anchor) === false)
      )
    })
    return [
      ...loaded.map((url) => `${file} loads ${url}`),
      ...dead.map((href) => `${file} links to ${href}, which is not there`)
    ]
  })
}

const project = await app.convert()
if (project !== undefined) {
  // What a package shows of its own types is looked at one package at a time.
  for (const name of packages) {
    project.packageName = name
    app.options.setValue("intentionallyNotExported", [...(unexported[name] ?? [])])
    app.validate(project)
  }
  delete project.packageName
  await app.generateDocs(project, site)
}
const html = new Map(
  globSync("**/*.html", { cwd: site }).map((file) => [file, readFileSync(Path.join(site, file), "utf8")] as const)
)
const problems = [...report().problems, ...check(html)]
for (const problem of problems) process.stdout.write(`${problem}\n`)

process.stdout.write(`${html.size} pages in reference/site, ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
if (html.size === 0 || problems.length > 0 || app.logger.hasErrors() || app.logger.hasWarnings()) process.exitCode = 1
