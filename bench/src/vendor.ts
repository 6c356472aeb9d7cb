/** JetEmail's endpoints for keys as every contestant meets them: the same requests, the same replies. */

export const credential = "api_test_manager"
export const token = "transactional_api_test_0001"
export const successor = "transactional_api_test_0002"

export const keysPath = "/outbound/transactional-keys"
export const rotatePath = `${keysPath}/rotate`

/** What is sent at most before the time-out, in milliseconds. */
export const timeout = 30_000

export const verbs = ["create", "patch", "rotate"] as const
export type Verb = (typeof verbs)[number]

/** The bodies, in the vendor's words. */
export const bodies = {
  create: { name: "acme", allowAllDomains: false, approvedDomains: ["acme.example"], ipRestrictions: [], quota: 500 },
  patch: { api_token: token, allowAllDomains: false, approvedDomains: ["acme.example"], quota: 500 },
  rotate: { api_token: token }
}

export const replies = {
  create: { success: true, message: "Transactional key created successfully", api_token: successor },
  patch: { success: true, message: "Transactional key updated successfully" },
  rotate: { success: true, message: "Transactional key rotated successfully", api_token: successor }
}

/** A reply to `list`, as the newer of the vendor's pages has it. */
export const listReply = (count: number): string =>
  JSON.stringify({
    success: true,
    transactionalKeys: Array.from({ length: count }, (_, index) => ({
      uuid: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
      name: `tenant ${index}`,
      api_token: `transactional_api_test_${String(index).padStart(6, "0")}`,
      status: "active",
      usage: index,
      quota: 500,
      allowAllDomains: false,
      approvedDomains: ["acme.example", `tenant-${index}.example`],
      ipRestrictions: ["192.0.2.1"],
      created_date: "1763700000000",
      last_modified: 1763700000
    }))
  })
