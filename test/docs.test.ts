/** The documents are true: their code compiles and runs, what they quote is what programs print, their links lead somewhere. */
import { existsSync, readdirSync } from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import type { ApiKeyError, Need, ReasonTag } from "@effect-api-keys/core"
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import { MemoryProvider } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { Outcome, RotationProblem, Step, Strategy } from "@effect-api-keys/rotation"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { expectedLines, locate, print, runModules, says, typeCheck, writeModules } from "./docs/check.ts"
import { type Block, blocksOfMarkdown, blocksOfSource, documents, read, root, sources } from "./docs/markdown.ts"

const minute = 60_000

const docs = documents()
const markdown = docs.flatMap(blocksOfMarkdown)
const blocks = [...markdown, ...sources().flatMap(blocksOfSource)].filter(({ language }) => language === "ts")
const modules = writeModules(blocks)
const checked = typeCheck(modules)
// Whoever waits for it is told; nobody else needs to be.
checked.catch(() => undefined)

type Row = ReadonlyArray<string>

const cellsOf = (line: string): Row =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim())

/** The tables of a document whose first column is called so: their heads, and their rows. */
const tablesOf = (doc: string, first: string): ReadonlyArray<{ readonly head: Row; readonly rows: Array<Row> }> => {
  const lines = read(doc)
  const tables = lines.flatMap((line, index) => {
    const head = cellsOf(line)
    if (!line.startsWith("|") || head[0] !== first) return []
    const rows: Array<Row> = []
    for (const row of lines.slice(index + 2)) {
      if (!row.startsWith("|")) break
      rows.push(cellsOf(row))
    }
    return [{ head, rows }]
  })
  assert.isNotEmpty(tables, `${doc} has no table whose first column is "${first}"`)
  return tables
}

const rowsOf = (doc: string, first: string): ReadonlyArray<Row> => tablesOf(doc, first).flatMap(({ rows }) => rows)

/** The vendors, by the names that the columns have. */
const vendors: Readonly<Record<string, Layer.Layer<ApiKeyService, ApiKeyError>>> = {
  JetEmail: JetEmail.layer({
    apiKey: Redacted.make("api_test_jetemail_sandbox"),
    defaults: { domains: "any", ips: "any", quota: "unlimited" }
  }).pipe(Layer.provide(JetEmailSandbox.layerClient())),
  SMTP2GO: MailerPatch.layer({
    apiKey: Redacted.make("api-api_test_mgr00000000000000000000"),
    defaults: { rate: "unlimited" }
  }).pipe(Layer.provide(MailerPatchSandbox.layerClient())),
  Voiceable: Voiceable.layer({
    apiKey: Redacted.make("api_test_voiceable_sandbox"),
    baseUrl: "https://voiceable.example/api/v1",
    defaults: { origins: "any", resources: "any", keyType: "private" }
  }).pipe(Layer.provide(VoiceableSandbox.layerClient())),
  memory: MemoryProvider.layer()
}

const everyNeed = {
  create: true,
  patch: true,
  rotate: true,
  disable: true,
  enable: true,
  revoke: true,
  delete: true,
  get: true,
  list: true,
  prepare: true,
  recover: true,
  overlap: true,
  domains: true,
  ips: true,
  origins: true,
  scopes: true,
  resources: true,
  quota: true,
  rate: true
} satisfies Record<Need, true>

const codeIn = (cell: string): ReadonlyArray<string> =>
  [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, code = ""]) => code)

describe("the code in the documents", () => {
  it("is there", () => {
    assert.isNotEmpty(modules.filter((module) => module.path.includes("/README/")))
    assert.isNotEmpty(modules.filter((module) => module.path.includes("/src/")))
  })

  it("compiles, with the repository's own options", { timeout: minute }, async () => {
    const wrong = (await checked).filter(({ module }) => !module.broken)
    assert.deepStrictEqual(wrong.map(locate), [])
  })

  it("that is said not to compile fails with the error that the document shows", { timeout: minute }, async () => {
    const broken = modules.filter((module) => module.broken)
    assert.isNotEmpty(broken)
    for (const module of broken) {
      const [block] = module.blocks
      const shown = markdown.find(
        (candidate): candidate is Block =>
          candidate.doc === block?.doc && candidate.line > block.line && candidate.language === "text"
      )
      const real = (await checked).filter((diagnostic) => diagnostic.module === module).map(print)
      assert.strictEqual(shown?.code.join("\n"), real.join("\n"), `${block?.doc}:${shown?.line}`)
    }
  })

  it("prints what it says it prints", { timeout: minute }, async () => {
    const ran = await runModules(modules)
    const problems = ran.flatMap(({ error, lines, module }) => {
      const place = `${module.blocks[0]?.doc}:${module.blocks[0]?.line}`
      if (error !== undefined) return [`${place}: ${error}`]
      const expected = expectedLines(module)
      const alike = expected.length === lines.length && expected.every((text, index) => says(text, lines[index] ?? ""))
      return alike ? [] : [`${place}: says ${JSON.stringify(expected)} and prints ${JSON.stringify(lines)}`]
    })
    assert.deepStrictEqual(problems, [])
    assert.isNotEmpty(ran.filter(({ lines }) => lines.length > 0))
  })

  it("imports Effect by module, and has no `any`", () => {
    const wrong = blocks.flatMap((block) =>
      block.code.flatMap((line, index) =>
        /from "effect"|:\s*any\b|\bas any\b|<any>/.test(line) ? [`${block.doc}:${block.line + index}: ${line}`] : []
      )
    )
    assert.deepStrictEqual(wrong, [])
  })
})

describe("what the README shows", () => {
  it("is every reason of an error, in its table", () => {
    const reasons = {
      AuthenticationFailed: true,
      PermissionDenied: true,
      KeyNotFound: true,
      InvalidRequest: true,
      KeyLimitReached: true,
      InvalidKeyState: true,
      RateLimited: true,
      ProviderUnavailable: true,
      OutcomeUnknown: true,
      PartiallyApplied: true,
      UnsupportedOperation: true,
      UnsupportedRestriction: true,
      UnexpectedResponse: true
    } satisfies Record<ReasonTag, true>
    for (const doc of ["README.md", "packages/core/README.md"]) {
      const shown = rowsOf(doc, "reason").map(([reason = ""]) => codeIn(reason)[0] ?? "")
      assert.deepStrictEqual([...shown].sort(), Object.keys(reasons).sort(), doc)
    }
  })

  for (const [vendor, layer] of Object.entries(vendors)) {
    it.effect(`is what ${vendor} can do, in the tables of verbs and restrictions`, () =>
      Effect.gen(function* () {
        const { supports } = yield* ApiKeyService
        for (const doc of vendor === "memory" ? ["README.md"] : ["README.md", "docs/guarantees.md"]) {
          const columnIn = ({ head }: { readonly head: Row }) => head.findIndex((cell) => cell.split(" ")[0] === vendor)
          const [table, ...more] = tablesOf(doc, "need").filter((candidate) => columnIn(candidate) !== -1)
          assert.isDefined(table, `${doc}: ${vendor}`)
          assert.isEmpty(more, `${doc}: ${vendor}`)
          const column = columnIn(table)
          const said = Object.fromEntries(
            table.rows.map((row) => [codeIn(row[0] ?? "")[0] ?? "", !/^(–|refused)/.test(row[column] ?? "–")])
          )
          const needs = Object.keys(everyNeed) as ReadonlyArray<Need>
          assert.deepStrictEqual(said, Object.fromEntries(needs.map((need) => [need, supports(need)])), doc)
        }
      }).pipe(Effect.provide(layer))
    )
  }

  it("is every problem, outcome and step of a rotation, in its table", () => {
    const shown = (first: string) => rowsOf("docs/rotation.md", first).flatMap(([cell = ""]) => codeIn(cell))
    assert.deepStrictEqual([...shown("problem")].sort(), [...RotationProblem.literals].sort())
    assert.deepStrictEqual([...shown("outcome")].sort(), [...Outcome.literals].sort())
    assert.deepStrictEqual([...new Set(shown("step"))].sort(), [...Step.literals].sort())
    assert.deepStrictEqual([...shown("strategy")].sort(), [...Strategy.literals].sort())
  })

  it("is what proves each guarantee of a rotation, in its table", () => {
    const files = rowsOf("docs/guarantees.md", "guarantee").flatMap(([, , cell = ""]) => codeIn(cell))
    assert.isNotEmpty(files)
    assert.deepStrictEqual(
      files.filter((file) => !existsSync(Path.join(root, "packages/rotation/test", file))),
      []
    )
  })

  it("is every parameter of SMTP2GO, in its table", () => {
    const shown = rowsOf("packages/mailer-patch/README.md", "SMTP2GO's parameter").map(
      ([parameter = ""]) => codeIn(parameter)[0]
    )
    assert.deepStrictEqual(shown, [
      "id",
      "description",
      "custom_ratelimit",
      "custom_ratelimit_value",
      "custom_ratelimit_period",
      "ip_pool",
      "feedback_enabled",
      "feedback_html",
      "feedback_text",
      "open_tracking_enabled",
      "click_tracking_enabled",
      "archive_enabled",
      "audit_email",
      "bounce_notifications",
      "status",
      "endpoints",
      "subaccount_id"
    ])
  })

  it("is every recipe, in its table", () => {
    const recipes = readdirSync(Path.join(root, "examples/src"))
      .filter((file) => /^[a-z]/.test(file) && !["loopback.ts", "quickstart.ts"].includes(file))
      .map((file) => `examples/src/${file}`)
    const linked = rowsOf("README.md", "recipe").flatMap(([recipe = ""]) =>
      [...recipe.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target)
    )
    assert.deepStrictEqual([...linked].sort(), recipes.sort())
  })

  it("is how spans and metrics are called", () => {
    const text = read("packages/core/src/internal/telemetry.ts").join("\n")
    const names = ["README.md", "packages/core/README.md"].flatMap((doc) =>
      [
        ...read(doc)
          .join("\n")
          .matchAll(/`((?:effect_api_keys_|api_key\.|http\.|url\.)[a-z_.]+)`/g)
      ].map(([, name = ""]) => name)
    )
    assert.isNotEmpty(names)
    assert.deepStrictEqual(
      names.filter((name) => !text.includes(`"${name}"`)),
      []
    )
  })
})

describe("the documents", () => {
  it("link to what is there", () => {
    const slug = (heading: string) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    const anchors = (doc: string) =>
      read(doc).flatMap((line) => {
        const heading = /^#+ (.*)$/.exec(line)?.[1]
        return heading === undefined ? [] : [slug(heading)]
      })
    const dead = docs.flatMap((doc) =>
      [
        ...read(doc)
          .join("\n")
          .replace(/```[\s\S]*?```/g, "")
          .matchAll(/\]\(([^)\s]+)\)/g)
      ].flatMap(([, target = ""]) => {
        if (/^(https?|mailto):/.test(target)) return []
        const [path = "", anchor] = target.split("#")
        const file = path === "" ? doc : Path.join(Path.dirname(doc), path)
        const found = existsSync(Path.join(root, file)) && (anchor === undefined || anchors(file).includes(anchor))
        return found ? [] : [`${doc}: ${target}`]
      })
    )
    assert.deepStrictEqual(dead, [])
  })

  it("name nothing outside the repository", () => {
    const wrong = docs.flatMap((doc) =>
      read(doc).flatMap((line, index) => (/\/work\/|\.\.\/shared|\/root\//.test(line) ? [`${doc}:${index + 1}`] : []))
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("ship with every package, and so does the license", () => {
    const license = read("LICENSE").join("\n")
    assert.isTrue(license.startsWith("MIT License"))
    for (const name of ["core", "jetemail", "mailer-patch", "rotation", "voiceable"]) {
      assert.isTrue(existsSync(Path.join(root, "packages", name, "README.md")), name)
      assert.strictEqual(read(`packages/${name}/LICENSE`).join("\n"), license, name)
    }
  })
})
