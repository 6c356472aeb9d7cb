/**
 * Every example on the vendor's three pages, retyped: the requests, and every documented status with its reply.
 *
 * Only the tokens differ: `transactional_…` is `transactional_api_test_…` here.
 */

/** Which page an example is from, by the name of its file. */
export type Page = "jetemail-create-key.md" | "jetemail-rotate-key.md" | "jetemail-update-key.md"

/** One documented request or one documented reply, made a full exchange by what the page implies. */
export interface VendorExample {
  readonly page: Page
  /** The name of the request's example on the page, or `response <status>`. */
  readonly name: string
  readonly method: "POST" | "PATCH"
  readonly path: string
  /**
   * The body to send. Where `name` is a response's, the page shows no request that leads to it: this one is ours.
   */
  readonly request: unknown
  readonly status: number
  readonly response: Readonly<Record<string, unknown>>
  /** Which state of the vendor leads to this reply; an account with one active key where nothing is said. */
  readonly given?: "unauthorized" | "disabled" | "full" | "failing"
}

const KEYS = "/outbound/transactional-keys"
const ROTATE = "/outbound/transactional-keys/rotate"

/** The token of the key that the examples act on. */
export const TOKEN = "transactional_api_test_a1b2c3d4"
/** The token that the rotation's example returns. */
const ROTATED = "transactional_api_test_e5f6a7b8"
const ABSENT = "transactional_api_test_absent"

const failed = (error: string) => ({ success: false, error })

const create = { page: "jetemail-create-key.md", method: "POST", path: KEYS } as const
const created = { success: true, message: "Transactional key created successfully", api_token: TOKEN }
const update = { page: "jetemail-update-key.md", method: "PATCH", path: KEYS } as const
const updated = { success: true, message: "Transactional key updated successfully" }
const rotate = { page: "jetemail-rotate-key.md", method: "POST", path: ROTATE } as const

/** The examples, page by page. */
export const vendorExamples: ReadonlyArray<VendorExample> = [
  { ...create, name: "Basic Key", request: { name: "Development API Key" }, status: 200, response: created },
  {
    ...create,
    name: "Full Configuration",
    request: {
      name: "Production API Key",
      allowAllDomains: true,
      approvedDomains: ["example.com"],
      quota: 10000,
      ipRestrictions: ["192.168.1.1", "10.0.0.0/24"]
    },
    status: 200,
    response: created
  },
  {
    // The examples of the schema's properties, together.
    ...create,
    name: "properties",
    request: {
      name: "Production API Key",
      approvedDomains: ["example.com", "mydomain.com"],
      quota: 1000,
      ipRestrictions: ["192.168.1.1", "10.0.0.0/24", "2001:db8::1", "2001:db8::/32"]
    },
    status: 200,
    response: created
  },
  { ...create, name: "response 200", request: { name: "Development API Key" }, status: 200, response: created },
  {
    ...create,
    name: "response 400",
    request: {},
    status: 400,
    response: failed("Name is required and must be a string")
  },
  {
    ...create,
    name: "response 401",
    given: "unauthorized",
    request: { name: "Development API Key" },
    status: 401,
    response: failed("Required information not found")
  },
  {
    ...create,
    name: "response 403",
    given: "full",
    request: { name: "Development API Key" },
    status: 403,
    response: failed("Free accounts are limited to 50 transactional keys")
  },
  {
    ...create,
    name: "response 500",
    given: "failing",
    request: { name: "Development API Key" },
    status: 500,
    response: failed("Failed to create transactional key")
  },

  { ...update, name: "Toggle Disable", request: { api_token: TOKEN, status: 0 }, status: 200, response: updated },
  { ...update, name: "Toggle Enable", request: { api_token: TOKEN, status: 1 }, status: 200, response: updated },
  {
    ...update,
    name: "Update Name",
    request: { api_token: TOKEN, name: "New API Key Name" },
    status: 200,
    response: updated
  },
  {
    ...update,
    name: "Update Multiple Fields",
    request: {
      api_token: TOKEN,
      name: "Production API",
      allowAllDomains: true,
      approvedDomains: ["newdomain.com"],
      quota: 5000,
      ipRestrictions: ["192.168.1.100", "10.0.0.0/24"]
    },
    status: 200,
    response: updated
  },
  {
    // The examples of the schema's properties, together; the vendor ignores all but the status.
    ...update,
    name: "properties",
    request: {
      api_token: TOKEN,
      status: 1,
      name: "Updated API Key",
      allowAllDomains: false,
      approvedDomains: ["example.com", "mydomain.com"],
      quota: 1000,
      ipRestrictions: ["192.168.1.1", "10.0.0.0/24"]
    },
    status: 200,
    response: updated
  },
  { ...update, name: "response 200", request: { api_token: TOKEN, status: 1 }, status: 200, response: updated },
  {
    ...update,
    name: "response 400",
    request: { api_token: TOKEN, name: "not/a/name" },
    status: 400,
    response: failed("Invalid name format")
  },
  {
    ...update,
    name: "response 401",
    given: "unauthorized",
    request: { api_token: TOKEN, status: 0 },
    status: 401,
    response: failed("Required information not found")
  },
  {
    ...update,
    name: "response 404",
    request: { api_token: ABSENT, status: 0 },
    status: 404,
    response: failed("Transactional key not found or unauthorized")
  },
  {
    ...update,
    name: "response 500",
    given: "failing",
    request: { api_token: TOKEN, status: 0 },
    status: 500,
    response: failed("Failed to update transactional key")
  },

  {
    ...rotate,
    name: "properties",
    request: { api_token: TOKEN },
    status: 200,
    response: { success: true, message: "Transactional key rotated successfully", api_token: ROTATED }
  },
  {
    ...rotate,
    name: "response 200",
    request: { api_token: TOKEN },
    status: 200,
    response: { success: true, message: "Transactional key rotated successfully", api_token: ROTATED }
  },
  { ...rotate, name: "response 400", request: {}, status: 400, response: failed("api_token is required") },
  {
    ...rotate,
    name: "response 401",
    given: "unauthorized",
    request: { api_token: TOKEN },
    status: 401,
    response: failed("Required information not found")
  },
  {
    ...rotate,
    name: "response 403",
    given: "disabled",
    request: { api_token: TOKEN },
    status: 403,
    response: failed("Cannot rotate a disabled transactional key. Enable it first.")
  },
  {
    ...rotate,
    name: "response 404",
    request: { api_token: ABSENT },
    status: 404,
    response: failed("Transactional key not found or access denied")
  },
  {
    ...rotate,
    name: "response 500",
    given: "failing",
    request: { api_token: TOKEN },
    status: 500,
    response: failed("Failed to rotate transactional key")
  }
]
