/** What an editor shows of the program in `docs/wrong-swap.md`, beside what the page says that it shows. */
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import { root } from "./entries.ts"

const page = readFileSync(Path.join(root, "docs/wrong-swap.md"), "utf8")
const code = /```ts error\n([\s\S]*?)```/.exec(page)?.[1] ?? ""
// No such file need be there: it is one of the repository's for what it imports.
const file = Path.join(root, "test/swap.ts")

/** What most programs have: strict, and no more. */
const options: ts.CompilerOptions = {
  strict: true,
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2024.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  allowImportingTsExtensions: true,
  noEmit: true,
  types: []
}

const readFile = (path: string): string | undefined => (path === file ? code : ts.sys.readFile(path))

const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getCurrentDirectory: () => root,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  getScriptFileNames: () => [file],
  getScriptVersion: () => "1",
  getScriptSnapshot: (path) => {
    const text = readFile(path)
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
  },
  fileExists: (path) => path === file || ts.sys.fileExists(path),
  readFile,
  ...(ts.sys.realpath === undefined ? {} : { realpath: ts.sys.realpath }),
  // Types are shown, and not what their doc comments say: to read Effect's takes a third of the time.
  jsDocParsingMode: ts.JSDocParsingMode.ParseNone
})

const errors = (): string =>
  service
    .getSemanticDiagnostics(file)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))
    .join("\n")

const hoverOver = (name: string): string =>
  ts.displayPartsToString(service.getQuickInfoAtPosition(file, code.indexOf(`const ${name} =`) + 6)?.displayParts)

/** What the page shows, and what is shown in truth. */
export const shown = (): ReadonlyArray<{ readonly what: string; readonly said: string; readonly real: string }> =>
  Array.from(
    page.matchAll(/^<!-- (error|hover: (\w+)) -->\n```text\n([\s\S]*?)```/gm),
    ([, what = "", name, said = ""]) => ({
      what,
      said: said.trimEnd(),
      real: name === undefined ? errors() : hoverOver(name)
    })
  )
