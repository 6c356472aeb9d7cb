import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { Issue } from "../ApiKeyError.ts"

const standard = SchemaIssue.makeFormatterStandardSchemaV1()

/** What may be shown of a path's part: an index, or a short name of letters; anything else could be a value or a key. */
export const safePart = (part: PropertyKey): string | number =>
  typeof part === "number"
    ? part
    : typeof part === "string" && part.length <= 24 && /^[A-Za-z_-]+$/.test(part)
      ? part
      : "?"

/** Where a schema refused a value, and nothing of the value: its own messages may quote it. */
export const issuesOf = (error: Schema.SchemaError, message: string): Array<Issue> => {
  const seen = new Set<string>()
  return standard(error.issue).issues.flatMap((issue) => {
    const path = (issue.path ?? []).map((part) => safePart(typeof part === "object" ? part.key : part))
    const key = path.join("/")
    if (seen.has(key)) return []
    seen.add(key)
    return [{ path, message }]
  })
}

/** A duration from an option, or what is wrong with it: what type-checks may still be none ("1e3 millis"). */
export const checkDuration = (path: Issue["path"], input: Duration.Input): Result.Result<Duration.Duration, Issue> =>
  Result.fromOption(Duration.fromInput(input), () => ({
    path,
    message: `is no duration: write one such as "30 seconds", or Duration.seconds(30)`
  }))
