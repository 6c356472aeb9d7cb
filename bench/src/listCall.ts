/** A fresh process that lists keys once, in one way, after a warm-up on a short list. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { ApiKeyService } from "@effect-api-keys/core/ApiKeyService"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as z from "zod"
import { answering } from "./child.ts"
import * as Memory from "./memory.ts"
import * as Ours from "./ours.ts"
import { credential, keysPath, timeout } from "./vendor.ts"

export interface Listed {
  readonly keys: number
  readonly micros: number
  /** What the process held at most beyond what it held before. */
  readonly bytes: number
}

const ListReply = z.object({
  success: z.literal(true),
  transactionalKeys: z.array(
    z.object({
      uuid: z.uuid(),
      name: z.string(),
      api_token: z.string().startsWith("transactional_"),
      status: z.string(),
      usage: z.number(),
      quota: z.number(),
      allowAllDomains: z.boolean(),
      approvedDomains: z.array(z.string()),
      ipRestrictions: z.array(z.string()),
      created_date: z.coerce.number().transform((millis) => new Date(millis)),
      last_modified: z.number().transform((seconds) => new Date(seconds * 1000))
    })
  )
})

/** As in `listReply`. */
type Reply = { readonly transactionalKeys: ReadonlyArray<unknown> }

const get = async (baseUrl: string): Promise<string> => {
  const response = await fetch(baseUrl + keysPath, {
    headers: { accept: "application/json", authorization: `Bearer ${credential}` },
    redirect: "manual",
    signal: AbortSignal.timeout(timeout)
  })
  if (!response.ok) throw new Error(`the vendor answered with status ${response.status}`)
  return response.text()
}

/** Every key in one array, as the others have it; a program that looks at one after the other needs less. */
const collected = Effect.flatMap(ApiKeyService.can("list"), (keys) => Stream.runCollect(keys.list()))

const ours = (http: Layer.Layer<HttpClient.HttpClient>) => (baseUrl: string) =>
  Effect.runPromise(Effect.provide(collected, Ours.layer(baseUrl, "off").pipe(Layer.provide(http))))

/** Each is prepared first, and then run: only the second counts. */
const ways: Readonly<Record<string, (baseUrl: string) => Promise<() => Promise<ReadonlyArray<unknown>>>>> = {
  "JSON.parse of the reply": async (baseUrl) => {
    const text = await get(baseUrl)
    return async () => (JSON.parse(text) as Reply).transactionalKeys
  },
  "raw fetch, JSON.parse": async (baseUrl) => async () => (JSON.parse(await get(baseUrl)) as Reply).transactionalKeys,
  "raw fetch + zod": async (baseUrl) => async () => ListReply.parse(JSON.parse(await get(baseUrl))).transactionalKeys,
  "ours over fetch": async (baseUrl) => () => ours(FetchHttpClient.layer)(baseUrl),
  "ours over undici": async (baseUrl) => () => ours(NodeHttpClient.layerUndici)(baseUrl)
}

const [, , name = "", server = ""] = process.argv
const way = ways[name]
if (way === undefined) throw new Error(`there is no way to list keys by the name "${name}"`)

answering(async ({ count }: { readonly count: number }): Promise<Listed> => {
  for (let round = 0; round < 20; round++) await (await way(`${server}/list/100`))()
  const run = await way(`${server}/list/${count}`)
  const peak = Memory.watch()
  const from = performance.now()
  const keys = await run()
  const micros = (performance.now() - from) * 1000
  return { keys: keys.length, micros, bytes: peak() }
})
