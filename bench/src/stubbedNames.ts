/** What is measured with HTTP stubbed, by name. */
import { type Verb, verbs } from "./vendor.ts"

export const bare = (verb: Verb): string => `${verb}: bare Effect`
export const limiterOff = (verb: Verb): string => `${verb}: ours`
export const limiterOn = (verb: Verb): string => `${verb}: ours, limiter on`

export const calls: ReadonlyArray<string> = verbs.flatMap((verb) => [bare(verb), limiterOff(verb), limiterOn(verb)])

/** The parts of a `create`. Those "of it" are within the client. */
export const parts = [
  "validation of the spec",
  "span and metrics",
  "mint region",
  "client: encode, credential, send, decode",
  "of it: strict encoding",
  "of it: Effect's HttpClient",
  "of it: parsing and decoding",
  "of it: deadline of a mint",
  "handle of the key",
  "the issued key"
] as const
export type Part = (typeof parts)[number]
