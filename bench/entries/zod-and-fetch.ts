/** Mints one key at JetEmail, by hand. */
import * as z from "zod"

const Request = z.strictObject({
  name: z.string().min(1).max(64),
  allowAllDomains: z.boolean().optional(),
  approvedDomains: z.array(z.string().max(253)).optional(),
  ipRestrictions: z
    .array(z.union([z.ipv4(), z.ipv6()]))
    .max(50)
    .optional(),
  quota: z.int().min(0).optional()
})
const Reply = z.object({ success: z.literal(true).optional(), api_token: z.string().startsWith("transactional_") })

export const create = async (apiKey: string, name: string) => {
  const response = await fetch("https://api.jetemail.com/outbound/transactional-keys", {
    method: "POST",
    headers: { accept: "application/json", authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(Request.parse({ name, allowAllDomains: true })),
    redirect: "manual",
    signal: AbortSignal.timeout(30_000)
  })
  if (!response.ok) throw new Error(`the vendor answered with status ${response.status}`)
  return Reply.parse(await response.json())
}
