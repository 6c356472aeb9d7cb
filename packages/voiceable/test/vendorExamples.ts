/**
 * The example on the vendor's page, retyped, with the errors that the page names, and the shapes of the other four
 * operations, which the vendor describes without an example.
 *
 * All is as one account sees it whose first key, the manager's own, is the one in the page's example. Where the page has
 * a place for a key to call with, there is {@link CREDENTIAL} here.
 */

export type Operation = "list" | "get" | "create" | "update" | "delete"

/** A documented request with its documented reply. */
export interface VendorExample {
  readonly operation: Operation
  readonly name: string
  /**
   * `page`: request and reply are the example of "Update API Key". `status`: the page names the status, and no body; the
   * body has the members that the introduction shows. `shape`: the fields and their types are documented, the values
   * and the message are ours.
   */
  readonly source: "page" | "status" | "shape"
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** With the prefix that the documents show. */
  readonly path: string
  /** The body to send, if there is one. */
  readonly request?: unknown
  readonly status: number
  readonly response: unknown
  /** Which state of the vendor leads to this reply; an account with the manager's key where nothing is said. */
  readonly given?: "unauthorized"
}

/** The page that the repository has an example of, by the name of its file. */
export const PAGE = "voiceable-update-key.md"

/** The secret of the manager's key. */
export const CREDENTIAL = "api_test_voiceable_manager"
/** The secret of the first key that is made. */
export const MINTED = "api_test_voiceable_0001"
/** When the key in the page's example was made, and changed. */
export const CREATED_AT = "2024-01-10T08:00:00Z"
export const UPDATED_AT = "2024-01-15T11:00:00Z"

const KEYS = "/api/v1/api_keys"

/** The key of the page's example as it is before the update. */
const before = {
  id: 1,
  key_type: "private",
  name: "Sandbox manager",
  key_value: null,
  allowed_origins: [],
  allowed_assistants: [],
  transient_assistant: false,
  user_id: 1,
  user_email: "user@example.com",
  created_at: CREATED_AT,
  updated_at: CREATED_AT
}

const succeeded = (code: number, message: string, data: unknown) => ({ status: { code, message }, data })

const failed = (
  code: number,
  message: string,
  error: string,
  details = error,
  errors: ReadonlyArray<string> = [error]
) => ({
  status: { code, message },
  error,
  errors,
  details
})

const update = { operation: "update", method: "PUT", path: `${KEYS}/1` } as const
const change = {
  api_key: {
    name: "Updated Production Key",
    allowed_origins: ["https://example.com", "https://app.example.com"],
    allowed_assistants: ["123", "456"]
  }
}
const unauthorized = failed(401, "Unauthorized", "Authentication required.", "Invalid or missing authentication")

export const vendorExamples: ReadonlyArray<VendorExample> = [
  {
    ...update,
    name: "Success Response",
    source: "page",
    request: change,
    status: 200,
    response: succeeded(200, "API key updated successfully", {
      id: 1,
      key_type: "private",
      name: "Updated Production Key",
      key_value: null,
      allowed_origins: ["https://example.com", "https://app.example.com"],
      allowed_assistants: ["123", "456"],
      transient_assistant: false,
      user_id: 1,
      user_email: "user@example.com",
      created_at: CREATED_AT,
      updated_at: UPDATED_AT
    })
  },
  {
    ...update,
    name: "401",
    source: "status",
    given: "unauthorized",
    request: change,
    status: 401,
    response: unauthorized
  },
  {
    ...update,
    name: "404",
    source: "status",
    path: `${KEYS}/2`,
    request: change,
    status: 404,
    response: failed(404, "Not Found", "API key not found")
  },
  {
    ...update,
    name: "422",
    source: "status",
    request: { api_key: { name: "" } },
    status: 422,
    response: failed(422, "Unprocessable Entity", "Validation error", "Invalid request body", ["Name can't be blank"])
  },

  {
    operation: "create",
    name: "every field",
    source: "shape",
    method: "POST",
    path: KEYS,
    request: {
      api_key: {
        name: "Receptionist",
        key_type: "private",
        allowed_origins: ["https://example.com"],
        allowed_assistants: ["123"],
        transient_assistant: true
      }
    },
    status: 201,
    response: succeeded(201, "API key created successfully", {
      id: 2,
      key_type: "private",
      name: "Receptionist",
      key_value: MINTED,
      allowed_origins: ["https://example.com"],
      allowed_assistants: ["123"],
      transient_assistant: true,
      user_id: 1,
      user_email: "user@example.com",
      created_at: UPDATED_AT,
      updated_at: UPDATED_AT
    })
  },
  {
    operation: "create",
    name: "the required fields",
    source: "shape",
    method: "POST",
    path: KEYS,
    request: { api_key: { name: "Widget", key_type: "public" } },
    status: 201,
    response: succeeded(201, "API key created successfully", {
      id: 2,
      key_type: "public",
      name: "Widget",
      key_value: MINTED,
      allowed_origins: [],
      allowed_assistants: [],
      transient_assistant: false,
      user_id: 1,
      user_email: "user@example.com",
      created_at: UPDATED_AT,
      updated_at: UPDATED_AT
    })
  },
  {
    operation: "list",
    name: "one key",
    source: "shape",
    method: "GET",
    path: KEYS,
    status: 200,
    response: succeeded(200, "API keys retrieved successfully", [before])
  },
  {
    operation: "get",
    name: "a key",
    source: "shape",
    method: "GET",
    path: `${KEYS}/1`,
    status: 200,
    response: succeeded(200, "API key retrieved successfully", before)
  },
  {
    operation: "get",
    name: "401",
    source: "shape",
    given: "unauthorized",
    method: "GET",
    path: `${KEYS}/1`,
    status: 401,
    response: unauthorized
  },
  {
    operation: "get",
    name: "404",
    source: "shape",
    method: "GET",
    path: `${KEYS}/2`,
    status: 404,
    response: failed(404, "Not Found", "API key not found")
  },
  {
    operation: "delete",
    name: "a key",
    source: "shape",
    method: "DELETE",
    path: `${KEYS}/1`,
    status: 200,
    response: succeeded(200, "API key deleted successfully", null)
  }
]
