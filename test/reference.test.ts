/** What the reference of the API is made of is there, what pages show as a diagram or a hover is so, and no pattern may take for ever. */
import { globSync } from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import type { ReasonTag, Recovery } from "@effect-api-keys/core"
import { RegExpParser, visitRegExpAST } from "@eslint-community/regexpp"
import { order } from "../packages/rotation/src/internal/steps/order.ts"
import { run } from "./docs/check.ts"
import { blocksOfMarkdown, documents, read, root, sources } from "./docs/markdown.ts"

interface Checked {
  readonly exports: number
  readonly problems: ReadonlyArray<string>
  readonly patterns: ReadonlyArray<{ readonly at: string; readonly pattern: string }>
  readonly shown: ReadonlyArray<{ readonly what: string; readonly said: string; readonly real: string }>
}

// In a process of its own: TypeScript 6 is large, and the tests' own processes live long.
const checked = run(Path.join(root, "reference/check.ts"), [], 60_000).then(({ code, stderr, stdout }): Checked => {
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
})
// Whoever waits for it is told; nobody else needs to be.
checked.catch(() => undefined)

interface Edge {
  readonly from: string
  readonly label: string
  readonly to: string
}

/** The little of Mermaid that the documents keep to, so that every forge draws it. */
const node = String.raw`(\w+)(?:\["[^"\]]+"\]|\{"[^"}]+"\}|\[\("[^"]+"\)\])?`
const lines: Readonly<Record<string, ReadonlyArray<RegExp>>> = {
  flowchart: [
    /^flowchart (?:TD|LR)$/,
    /^subgraph \w+\["[^"]+"\]$/,
    /^end$/,
    new RegExp(`^${node}$`),
    new RegExp(String.raw`^${node} -->(?:\|"([^"|]+)"\|)? ${node}$`)
  ],
  "stateDiagram-v2": [
    /^stateDiagram-v2$/,
    /^direction (?:TD|LR)$/,
    /^state "[^"]+" as \w+(?: \{)?$/,
    /^\}$/,
    /^(\w+|\[\*\]) --> (\w+|\[\*\])(?:: [^:]+)?$/
  ]
}

const diagrams = documents().flatMap((doc) => blocksOfMarkdown(doc).filter(({ language }) => language === "mermaid"))

const diagramOf = (doc: string, first: string): ReadonlyArray<string> => {
  const block = diagrams.find(
    (candidate) => candidate.doc === doc && candidate.code.some((line) => line.includes(first))
  )
  assert.isDefined(block, `${doc} draws nothing with ${first}`)
  return block.code
}

const edgesOf = (code: ReadonlyArray<string>): ReadonlyArray<Edge> =>
  code.flatMap((line) => {
    const edge = new RegExp(String.raw`^\s*${node} -->(?:\|"([^"|]+)"\|)? ${node}$`).exec(line)
    const [, from, label = "", to] = edge ?? []
    return from === undefined || to === undefined ? [] : [{ from, label, to }]
  })

const nodesOf = (code: ReadonlyArray<string>): ReadonlySet<string> =>
  new Set(edgesOf(code).flatMap(({ from, to }) => [from, to]))

const modules = sources()

const isName = (id: string): boolean => /^[A-Z]/.test(id)

describe("the reference", () => {
  it("has a summary, @since and @category for every public export, and its links lead somewhere", async () => {
    const { exports, problems } = await checked
    assert.deepStrictEqual(problems, [])
    assert.isAbove(exports, 300)
  })
})

describe("docs/wrong-swap.md", () => {
  it("shows what an editor shows", async () => {
    const { shown } = await checked
    assert.deepStrictEqual(
      shown.map(({ what }) => what),
      ["error", "hover: forAcme", "hover: Smtp2goLive", "hover: provided"]
    )
    for (const { real, said, what } of shown) assert.strictEqual(said, real, what)
  })
})

describe("a diagram", () => {
  it("is written in what every forge draws", () => {
    assert.isAbove(diagrams.length, 7)
    const wrong = diagrams.flatMap(({ code, doc, line }) => {
      const grammar = lines[code[0]?.split(" ")[0] ?? ""] ?? []
      return code.flatMap((text, index) =>
        grammar.some((rule) => rule.test(text.trim())) ? [] : [`${doc}:${line + index}: ${text}`]
      )
    })
    assert.deepStrictEqual(wrong, [])
  })

  it("of the architecture names modules that there are", () => {
    const own = new Set(modules.map((path) => Path.basename(path, ".ts")))
    const ofEffect = (name: string) => globSync(`node_modules/effect/src/*/${name}.ts`, { cwd: root }).length > 0
    const named = diagrams
      .filter(({ doc }) => doc === "docs/architecture.md")
      .flatMap(({ code }) => [...nodesOf(code)].filter(isName))
    assert.isAbove(named.length, 15)
    assert.deepStrictEqual(
      named.filter((name) => !own.has(name) && !ofEffect(name)),
      []
    )
  })

  it("of the errors has every reason, and retries those that may be", () => {
    const retryable = {
      AuthenticationFailed: false,
      PermissionDenied: false,
      KeyNotFound: false,
      InvalidRequest: false,
      KeyLimitReached: false,
      InvalidKeyState: false,
      RateLimited: true,
      ProviderUnavailable: true,
      OutcomeUnknown: false,
      PartiallyApplied: false,
      UnsupportedOperation: false,
      UnsupportedRestriction: false,
      UnexpectedResponse: false
    } satisfies Record<ReasonTag, boolean>
    const drawn = edgesOf(diagramOf("docs/errors.md", "RateLimited")).filter(({ from }) => isName(from))
    assert.sameDeepMembers(
      drawn.map(({ from, to }) => [from, to === "retry"]),
      Object.entries(retryable)
    )
  })

  it("of a lost mint has every answer of recover", () => {
    const answers = {
      Recovered: true,
      Orphaned: true,
      NotSeen: true,
      NotApplied: true,
      Undetermined: true
    } satisfies Record<Recovery["_tag"], true>
    const drawn = edgesOf(diagramOf("docs/errors.md", "NotSeen")).filter(
      ({ from, to }) => from === "recover" && isName(to)
    )
    assert.deepStrictEqual(
      drawn.map(({ to }) => to),
      Object.keys(answers)
    )
  })

  it("of the steps of a rotation has them in their order", () => {
    const parts = diagramOf("docs/rotation.md", "sweep --> [*]")
      .join("\n")
      .split(/^ {2}state "/m)
    /** From the first step to the end, each by the first arrow that leads on. */
    const stepsOf = (part: string, taken?: string): ReadonlyArray<string> => {
      const arrows = [...part.matchAll(/^\s*(\w+|\[\*\]) --> (\w+|\[\*\])(?:: (.+))?$/gm)]
      const steps: Array<string> = []
      let at = "[*]"
      do {
        const onward = arrows.filter(([, from]) => from === at)
        at = (onward.find(([, , , label]) => label === taken && label !== undefined) ?? onward[0])?.[2] ?? "[*]"
        if (at !== "[*]") steps.push(at.replace(/\d$/, ""))
      } while (at !== "[*]")
      return steps
    }
    const [, successor = "", inPlace = "", leaked = ""] = parts
    assert.deepStrictEqual(stepsOf(successor), order("rotate", "successor"))
    assert.deepStrictEqual(stepsOf(inPlace), order("rotate", "in-place"))
    assert.deepStrictEqual(stepsOf(leaked, "SMTP2GO"), order("replace", "successor"))
    assert.deepStrictEqual(stepsOf(leaked, "Voiceable"), order("replace", "recreate"))
  })
})

describe("what docs/architecture.md says of imports", () => {
  const importsOf = (source: string) =>
    read(source).flatMap((line) => /^(?:import|export|\}).* from "([^"]+)"$/.exec(line)?.[1] ?? [])
  const packageOf = (source: string) => source.split("/")[1] ?? ""

  it("core imports no vendor, and no vendor imports another", () => {
    const wrong = modules.flatMap((source) =>
      importsOf(source).flatMap((name) => {
        const other = /^@effect-api-keys\/([^/]+)/.exec(name)?.[1]
        return other === undefined || other === "core" || other === packageOf(source) ? [] : [`${source}: ${name}`]
      })
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("a sandbox imports nothing of the adapter", () => {
    const sandboxes = modules.filter((source) => source.endsWith("Sandbox.ts") && packageOf(source) !== "core")
    assert.lengthOf(sandboxes, 3)
    assert.deepStrictEqual(
      sandboxes.flatMap((source) => importsOf(source).filter((name) => name.startsWith("."))),
      []
    )
  })
})

/** Whether something without an end is repeated without an end: on some input, that can take for ever. */
const isNested = (pattern: string): boolean => {
  let depth = 0
  let nested = false
  visitRegExpAST(new RegExpParser().parseLiteral(pattern), {
    onQuantifierEnter: ({ max }) => {
      if (max === Number.POSITIVE_INFINITY) nested ||= ++depth > 1
    },
    onQuantifierLeave: ({ max }) => {
      if (max === Number.POSITIVE_INFINITY) depth--
    }
  })
  return nested
}

describe("regular expressions", () => {
  it("in the packages repeat nothing that is repeated", async () => {
    const { patterns } = await checked
    assert.isAbove(patterns.length, 50)
    assert.deepStrictEqual(
      patterns.filter(({ pattern }) => isNested(pattern)),
      []
    )
  })

  it("that do are found out", () => {
    assert.isTrue(isNested("/^(?:a+)+$/"))
    assert.isTrue(isNested("/(x(y*)z){2,}/u"))
    assert.isFalse(isNested("/^(?:a{1,9})+b*$/"))
  })
})
