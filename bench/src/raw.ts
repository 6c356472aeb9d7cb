/**
 * The same calls by hand, as a good engineer writes them: request and reply checked by zod, the status looked at, redirects not
 * followed, and a time-out for the whole of each.
 */
import { Agent, request } from "undici"
import * as z from "zod"
import { bodies, credential, keysPath, rotatePath, timeout, type Verb } from "./vendor.ts"

const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9.-]+\.[a-z]{2,}$/i)
const fields = {
  allowAllDomains: z.boolean().optional(),
  approvedDomains: z.array(domain).max(253).optional(),
  ipRestrictions: z
    .array(z.union([z.ipv4(), z.ipv6()]))
    .max(50)
    .optional(),
  quota: z.int().min(0).max(1_000_000).optional()
}
const name = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9_ -]+$/)
const apiToken = z.string().startsWith("transactional_")

const TokenReply = z.object({ success: z.literal(true).optional(), api_token: apiToken })
const Acknowledged = z.object({ success: z.literal(true) })

const endpoints = {
  create: { method: "POST", path: keysPath, body: z.strictObject({ name, ...fields }), reply: TokenReply },
  patch: {
    method: "PATCH",
    path: keysPath,
    body: z.strictObject({ api_token: apiToken, name: name.optional(), ...fields }),
    reply: Acknowledged
  },
  rotate: { method: "POST", path: rotatePath, body: z.strictObject({ api_token: apiToken }), reply: TokenReply }
} as const

const headers = {
  accept: "application/json",
  authorization: `Bearer ${credential}`,
  "content-type": "application/json"
}

export class StatusError extends Error {
  readonly status: number
  constructor(status: number) {
    super(`the vendor answered with status ${status}`)
    this.status = status
  }
}

export const byFetch = (baseUrl: string, verb: Verb) => async (): Promise<unknown> => {
  const { body, method, path, reply } = endpoints[verb]
  const response = await fetch(baseUrl + path, {
    method,
    headers,
    body: JSON.stringify(body.parse(bodies[verb])),
    redirect: "manual",
    signal: AbortSignal.timeout(timeout)
  })
  if (!response.ok) throw new StatusError(response.status)
  return reply.parse(await response.json())
}

export const byUndici = (baseUrl: string, verb: Verb) => {
  const dispatcher = new Agent()
  return async (): Promise<unknown> => {
    const { body, method, path, reply } = endpoints[verb]
    const response = await request(baseUrl + path, {
      method,
      headers,
      body: JSON.stringify(body.parse(bodies[verb])),
      dispatcher,
      signal: AbortSignal.timeout(timeout)
    })
    if (response.statusCode < 200 || response.statusCode >= 300) throw new StatusError(response.statusCode)
    return reply.parse(await response.body.json())
  }
}
