/** Writes, as JSON, what `test/reference.test.ts` looks at: TypeScript 6 is loaded here, and not in the process of the tests. */
import { patterns, report } from "./exports.ts"
import { shown } from "./hover.ts"

process.stdout.write(JSON.stringify({ ...report(), patterns: patterns(), shown: shown() }))
