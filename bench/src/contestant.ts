/** A contestant's process: waits for its turns. */

import { answering } from "./child.ts"
import { make } from "./contestants.ts"
import type { Ask } from "./turn.ts"
import type { Verb } from "./vendor.ts"

const [, , name = "", baseUrl = ""] = process.argv
const contestant = make(name, baseUrl)

answering(({ ask, verb }: { readonly ask: Ask; readonly verb: Verb }) => contestant(verb, ask))
