import { existsSync, readFileSync } from "node:fs"
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { CREATED_AT, CREDENTIAL, PAGE, UPDATED_AT, vendorExamples } from "./vendorExamples.ts"

const KEYS = "/api/v1/api_keys"
const SECRET = "api_test_voiceable_sandbox"

// -----------------------------------------------------------------------------
// in process
// -----------------------------------------------------------------------------

const parse = (text: string): unknown => {
  if (text === "") return undefined
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const send = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
  const { headers, status, text } = yield* HttpClient.execute(request)
  return { status, headers, body: parse(yield* text) }
})

const to = (method: HttpMethod.HttpMethod, path: string) =>
  HttpClientRequest.make(method)(`https://api.example.com${path}`)

const call = (method: HttpMethod.HttpMethod, path: string, body?: unknown, key = SECRET) => {
  const request = HttpClientRequest.setHeader(to(method, path), "x-api-key", key)
  return send(body === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, body))
}

const callText = (method: HttpMethod.HttpMethod, path: string, text: string, type = "application/json") =>
  send(to(method, path).pipe(HttpClientRequest.setHeader("x-api-key", SECRET), HttpClientRequest.bodyText(text, type)))

const at = (value: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (node, key) => (typeof node === "object" && node !== null ? Reflect.get(node, key) : undefined),
    value
  )

const statusOf = (reply: { readonly status: number }) => reply.status
const dataOf = (reply: { readonly body: unknown }) => at(reply.body, "data")

/** The status, twice: they agree in whatever has an envelope. */
const codesOf = (reply: { readonly status: number; readonly body: unknown }) => [
  reply.status,
  at(reply.body, "status", "code")
]

const refused = (
  code: number,
  message: string,
  error: string,
  rest?: { errors?: Array<string>; details?: string }
) => ({
  status: { code, message },
  error,
  errors: rest?.errors ?? [error],
  details: rest?.details ?? error
})

const unauthorized = refused(401, "Unauthorized", "Authentication required.", {
  details: "Invalid or missing authentication"
})
const notFound = refused(404, "Not Found", "API key not found")
const noRoute = refused(404, "Not Found", "Not found")
const forbidden = refused(403, "Forbidden", "Access denied.")
const invalid = (...errors: Array<string>) =>
  refused(422, "Unprocessable Entity", "Validation error", { errors, details: "Invalid request body" })
const noEnvelope = invalid("param is missing or the value is empty: api_key")

const inProcess = (options?: VoiceableSandbox.Options) => Effect.provide(VoiceableSandbox.layerClient(options))

const only = (sandbox: VoiceableSandbox.VoiceableSandbox["Service"], id: number) =>
  Effect.map(sandbox.keys, (keys) => keys.find((key) => key.id === id))

describe("VoiceableSandbox", () => {
  describe("create", () => {
    it.effect("returns the secret, this once, and fills in the defaults", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* TestClock.setTime(1_724_113_774_999)
        const reply = yield* call("POST", KEYS, { api_key: { name: "First", key_type: "public", colour: "red" } })
        const object = {
          id: 2,
          key_type: "public",
          name: "First",
          key_value: "api_test_voiceable_0001",
          allowed_origins: [],
          allowed_assistants: [],
          transient_assistant: false,
          user_id: 1,
          user_email: "user@example.com",
          created_at: "2024-08-20T00:29:34Z",
          updated_at: "2024-08-20T00:29:34Z"
        }
        assert.strictEqual(reply.status, 201)
        assert.deepStrictEqual(reply.body, {
          status: { code: 201, message: "API key created successfully" },
          data: object
        })
        assert.deepStrictEqual(dataOf(yield* call("GET", `${KEYS}/2`)), { ...object, key_value: null })
        assert.deepStrictEqual(yield* only(sandbox, 2), {
          id: 2,
          keyType: "public",
          name: "First",
          keyValue: "api_test_voiceable_0001",
          allowedOrigins: [],
          allowedAssistants: [],
          transientAssistant: false,
          userId: 1,
          userEmail: "user@example.com",
          createdAt: 1_724_113_774_999,
          updatedAt: 1_724_113_774_999
        })
        assert.isTrue(yield* sandbox.isLive("api_test_voiceable_0001"))
        assert.isFalse(yield* sandbox.isLive("api_test_voiceable_0002"))
      }).pipe(inProcess())
    )

    it.effect("does not keep names unique, and never gives an id or a secret again", () =>
      Effect.gen(function* () {
        const body = { api_key: { name: "Same", key_type: "private" } }
        const seen: Array<unknown> = []
        for (let index = 0; index < 3; index++) {
          const data = dataOf(yield* call("POST", KEYS, body))
          seen.push(at(data, "id"), at(data, "key_value"))
          if (index > 0) yield* call("DELETE", `${KEYS}/${at(data, "id")}`)
        }
        assert.deepStrictEqual(seen, [
          2,
          "api_test_voiceable_0001",
          3,
          "api_test_voiceable_0002",
          4,
          "api_test_voiceable_0003"
        ])
      }).pipe(inProcess())
    )

    it.effect("says what is missing or wrong, and makes nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const blank = "Name can't be blank"
        const noType = "Key type can't be blank"
        const badType = "Key type is not included in the list"
        const cases: ReadonlyArray<readonly [api_key: unknown, errors: Array<string>]> = [
          [{ colour: "red" }, [blank, noType]],
          [{ key_type: "private" }, [blank]],
          [{ name: "", key_type: "private" }, [blank]],
          [{ name: " \n", key_type: "private" }, [blank]],
          [{ name: null, key_type: "private" }, [blank]],
          [{ name: ["a"], key_type: "private" }, [blank]],
          [{ name: { a: 1 }, key_type: "private" }, [blank]],
          [{ name: "a" }, [noType]],
          [{ name: "a", key_type: "" }, [noType]],
          [{ name: "a", key_type: null }, [noType]],
          [{ name: "a", key_type: ["private"] }, [noType]],
          [{ name: "a", key_type: "Private" }, [badType]],
          [{ name: "a", key_type: "secret" }, [badType]],
          [{ name: "", key_type: 1 }, [blank, badType]]
        ]
        for (const [api_key, errors] of cases) {
          const reply = yield* call("POST", KEYS, { api_key })
          assert.deepStrictEqual([reply.status, reply.body], [422, invalid(...errors)], JSON.stringify(api_key))
        }
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("drops in silence what does not fit, and makes the rest fit", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const fits: ReadonlyArray<readonly [field: string, sent: unknown, stored: unknown]> = [
          ["name", 5, "5"],
          ["name", true, "t"],
          ["name", "a/é", "a/é"],
          ["allowed_origins", ["https://a.example", "https://a.example"], ["https://a.example", "https://a.example"]],
          ["allowed_origins", ["not an origin", ""], ["not an origin", ""]],
          ["allowed_origins", "https://a.example", []],
          ["allowed_origins", { 0: "https://a.example" }, []],
          ["allowed_origins", ["https://a.example", { b: 1 }], []],
          ["allowed_origins", ["https://a.example", null], ["https://a.example"]],
          ["allowed_origins", [null], []],
          ["allowed_origins", [], []],
          ["allowed_origins", null, []],
          ["allowed_assistants", [123, "456", 7.5, false], ["123", "456", "7.5", "f"]],
          ["allowed_assistants", ["no-such-assistant"], ["no-such-assistant"]],
          ["allowed_assistants", 123, []],
          ["allowed_assistants", [["123"]], []],
          ["allowed_assistants", [], []],
          ["allowed_assistants", null, []],
          ["transient_assistant", true, true],
          ["transient_assistant", false, false],
          ["transient_assistant", "false", false],
          ["transient_assistant", 0, false],
          ["transient_assistant", "yes", true],
          ["transient_assistant", 1, true],
          ["transient_assistant", null, false],
          ["transient_assistant", "", false],
          ["transient_assistant", { a: 1 }, false],
          ["user_id", 2, 1],
          ["created_at", "2001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]
        ]
        for (const [index, [field, sent, stored]] of fits.entries()) {
          const api_key = { name: "a", key_type: "private", id: 99, key_value: "api_test_chosen", [field]: sent }
          const reply = yield* call("POST", KEYS, { api_key })
          assert.strictEqual(reply.status, 201)
          assert.deepStrictEqual(at(dataOf(reply), field), stored, `${field} ${JSON.stringify(sent)}`)
          const read = dataOf(yield* call("GET", `${KEYS}/${index + 2}`))
          assert.deepStrictEqual(read, { ...Object(dataOf(reply)), key_value: null })
        }
        assert.isFalse(yield* sandbox.isLive("api_test_chosen"))
      }).pipe(inProcess())
    )

    it.effect("can answer 200", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const body = { api_key: { name: "a", key_type: "private" } }
        assert.deepStrictEqual(codesOf(yield* call("POST", KEYS, body)), [201, 201])
        yield* sandbox.setCreateStatus(200)
        assert.deepStrictEqual(codesOf(yield* call("POST", KEYS, body)), [200, 200])
        yield* sandbox.setCreateStatus(201)
        assert.deepStrictEqual(codesOf(yield* call("POST", KEYS, body)), [201, 201])
      }).pipe(inProcess())
    )
  })

  describe("list and get", () => {
    const seeded = Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const mine = yield* sandbox.addKey({ name: "Mine", keyValue: "api_test_mine", transientAssistant: true })
      const widget = yield* sandbox.addKey({ keyType: "public", keyValue: "api_test_widget" })
      const foreign = yield* sandbox.addKey({ userId: 2, keyValue: "api_test_foreign" })
      return { sandbox, mine, widget, foreign }
    })

    it.effect("show the account's own keys, the manager's first", () =>
      Effect.gen(function* () {
        const { foreign, mine, sandbox, widget } = yield* seeded
        const listed = yield* call("GET", KEYS)
        assert.deepStrictEqual(listed.body, {
          status: { code: 200, message: "API keys retrieved successfully" },
          data: [
            {
              id: 1,
              key_type: "private",
              name: "Sandbox manager",
              key_value: null,
              allowed_origins: [],
              allowed_assistants: [],
              transient_assistant: false,
              user_id: 1,
              user_email: "user@example.com",
              created_at: "1970-01-01T00:00:00Z",
              updated_at: "1970-01-01T00:00:00Z"
            },
            dataOf(yield* call("GET", `${KEYS}/${mine.id}`)),
            dataOf(yield* call("GET", `${KEYS}/${widget.id}`))
          ]
        })
        const read = yield* call("GET", `${KEYS}/${mine.id}`)
        assert.strictEqual(at(read.body, "status", "message"), "API key retrieved successfully")
        assert.deepStrictEqual([at(dataOf(read), "id"), at(dataOf(read), "transient_assistant")], [2, true])
        assert.deepStrictEqual(yield* only(sandbox, foreign.id), { ...foreign, userEmail: "user2@example.com" })
      }).pipe(inProcess())
    )

    it.effect("never paginate", () =>
      Effect.gen(function* () {
        const { sandbox } = yield* seeded
        for (let index = 0; index < 500; index++) yield* sandbox.addKey()
        const data = dataOf(yield* call("GET", `${KEYS}?page=2&per_page=1`))
        assert(Array.isArray(data))
        assert.lengthOf(data, 503)
      }).pipe(inProcess())
    )

    it.effect("can be made to show the secrets, or those of public keys; an update never does", () =>
      Effect.gen(function* () {
        const { mine, sandbox, widget } = yield* seeded
        const values = Effect.gen(function* () {
          const listed = dataOf(yield* call("GET", KEYS))
          assert(Array.isArray(listed))
          const read: Array<unknown> = []
          for (const id of [1, mine.id, widget.id]) {
            read.push(at(dataOf(yield* call("GET", `${KEYS}/${id}`)), "key_value"))
          }
          assert.deepStrictEqual(
            listed.map((key) => at(key, "key_value")),
            read
          )
          return read
        })
        assert.deepStrictEqual(yield* values, [null, null, null])
        yield* sandbox.showKeyValues(true)
        assert.deepStrictEqual(yield* values, [SECRET, "api_test_mine", "api_test_widget"])
        const updated = yield* call("PUT", `${KEYS}/${mine.id}`, { api_key: { name: "b" } })
        assert.isNull(at(dataOf(updated), "key_value"))
        yield* sandbox.showKeyValues("public")
        assert.deepStrictEqual(yield* values, [null, null, "api_test_widget"])
        yield* sandbox.showKeyValues(false)
        assert.deepStrictEqual(yield* values, [null, null, null])
      }).pipe(inProcess())
    )

    it.effect("find no key whose id is unknown, no integer, or another user's", () =>
      Effect.gen(function* () {
        const { foreign, sandbox } = yield* seeded
        const before = yield* sandbox.keys
        for (const id of [
          foreign.id,
          99,
          0,
          "abc",
          "1abc",
          "1.5",
          "1e0",
          "-1",
          "%31",
          "0x1",
          SECRET,
          "9".repeat(400)
        ]) {
          for (const [method, body] of [
            ["GET", undefined],
            ["PUT", { api_key: { name: "b" } }],
            ["PATCH", { api_key: { name: "b" } }],
            ["DELETE", undefined]
          ] as const) {
            const reply = yield* call(method, `${KEYS}/${id}`, body)
            assert.deepStrictEqual([reply.status, reply.body], [404, notFound], `${method} ${id}`)
          }
        }
        assert.deepStrictEqual(yield* sandbox.keys, before)
        assert.isTrue(yield* sandbox.isLive("api_test_foreign"))
      }).pipe(inProcess())
    )
  })

  describe("update", () => {
    const seeded = Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const key = yield* sandbox.addKey({
        name: "Before",
        keyValue: "api_test_before",
        allowedOrigins: ["https://a.example"],
        allowedAssistants: ["1", "2"]
      })
      yield* TestClock.adjust("5 seconds")
      return { sandbox, key, path: `${KEYS}/${key.id}` }
    })

    for (const method of ["PUT", "PATCH"] as const) {
      it.effect(`changes what is given and leaves the rest (${method})`, () =>
        Effect.gen(function* () {
          const { key, path, sandbox } = yield* seeded
          const reply = yield* call(method, path, { api_key: { name: "After" } })
          assert.strictEqual(reply.status, 200)
          assert.deepStrictEqual(reply.body, {
            status: { code: 200, message: "API key updated successfully" },
            data: {
              id: 2,
              key_type: "private",
              name: "After",
              key_value: null,
              allowed_origins: ["https://a.example"],
              allowed_assistants: ["1", "2"],
              transient_assistant: false,
              user_id: 1,
              user_email: "user@example.com",
              created_at: "1970-01-01T00:00:00Z",
              updated_at: "1970-01-01T00:00:05Z"
            }
          })
          assert.deepStrictEqual(yield* only(sandbox, 2), { ...key, name: "After", updatedAt: 5000 })
          yield* call(method, path, { api_key: { allowed_assistants: ["3"] } })
          assert.deepStrictEqual(yield* only(sandbox, 2), {
            ...key,
            name: "After",
            allowedAssistants: ["3"],
            updatedAt: 5000
          })
          assert.isTrue(yield* sandbox.isLive("api_test_before"))
        }).pipe(inProcess())
      )
    }

    it.effect("ignores everything else, in silence, and leaves the time if nothing changed", () =>
      Effect.gen(function* () {
        const { key, path, sandbox } = yield* seeded
        const ignored: ReadonlyArray<Record<string, unknown>> = [
          { key_type: "public" },
          { key_type: "nonsense" },
          { key_value: "api_test_chosen" },
          { id: 99 },
          { user_id: 2 },
          { transient_assistant: true },
          { status: "disabled" },
          { colour: "red" },
          { name: "Before", allowed_assistants: ["1", "2"] },
          { name: ["b"] },
          { allowed_origins: "https://b.example" },
          { allowed_assistants: [{ id: 1 }] }
        ]
        for (const api_key of ignored) {
          const reply = yield* call("PUT", path, { api_key })
          assert.strictEqual(reply.status, 200, JSON.stringify(api_key))
          assert.deepStrictEqual(yield* only(sandbox, 2), key, JSON.stringify(api_key))
        }
      }).pipe(inProcess())
    )

    it.effect("makes assistants texts, and sees order and number", () =>
      Effect.gen(function* () {
        const { path, sandbox } = yield* seeded
        const lists: ReadonlyArray<ReadonlyArray<unknown>> = [["2", "1"], [1], [1, "2", null], ["1", "1"]]
        const stored = [["2", "1"], ["1"], ["1", "2"], ["1", "1"]]
        for (const [index, allowed_assistants] of lists.entries()) {
          yield* call("PUT", path, { api_key: { allowed_assistants } })
          assert.deepStrictEqual((yield* only(sandbox, 2))?.allowedAssistants, stored[index])
        }
      }).pipe(inProcess())
    )

    it.effect("refuses a blank name, and then changes nothing", () =>
      Effect.gen(function* () {
        const { key, path, sandbox } = yield* seeded
        for (const name of ["", "  ", null]) {
          const reply = yield* call("PUT", path, { api_key: { name, allowed_origins: ["https://b.example"] } })
          assert.deepStrictEqual([reply.status, reply.body], [422, invalid("Name can't be blank")], String(name))
        }
        assert.deepStrictEqual(yield* only(sandbox, 2), key)
      }).pipe(inProcess())
    )

    const empties: ReadonlyArray<unknown> = [[], null, [null]]

    for (const treatment of ["clears", "ignored"] as const) {
      it.effect(`an empty list ${treatment === "clears" ? "widens the key to everything" : "is ignored"}`, () =>
        Effect.gen(function* () {
          const { key, path, sandbox } = yield* seeded
          // What it does at first is what "clears" does.
          if (treatment === "ignored") yield* sandbox.setEmptyLists(treatment)
          for (const empty of empties) {
            for (const field of ["allowed_origins", "allowed_assistants"]) {
              yield* sandbox.removeKey(key.id)
              yield* sandbox.addKey(key)
              const reply = yield* call("PUT", path, { api_key: { [field]: empty } })
              const cleared = field === "allowed_origins" ? { allowedOrigins: [] } : { allowedAssistants: [] }
              assert.strictEqual(reply.status, 200)
              assert.deepStrictEqual(
                yield* only(sandbox, 2),
                treatment === "clears" ? { ...key, ...cleared, updatedAt: 5000 } : key,
                `${field} ${JSON.stringify(empty)}`
              )
            }
          }
          yield* sandbox.setEmptyLists(treatment === "clears" ? "ignored" : "clears")
          yield* call("PUT", path, { api_key: { allowed_origins: [], name: "Both" } })
          const { allowedOrigins, name } = (yield* only(sandbox, 2)) ?? key
          assert.deepStrictEqual([allowedOrigins, name], [treatment === "clears" ? ["https://a.example"] : [], "Both"])
        }).pipe(inProcess())
      )
    }

    it.effect("can be made to take transient_assistant", () =>
      Effect.gen(function* () {
        const { path, sandbox } = yield* seeded
        yield* sandbox.setTransientWritable(true)
        for (const [sent, stored] of [
          [true, true],
          [null, true],
          ["false", false],
          ["t", true],
          [0, false]
        ] as const) {
          const reply = yield* call("PUT", path, { api_key: { transient_assistant: sent } })
          assert.strictEqual(at(dataOf(reply), "transient_assistant"), stored, String(sent))
          assert.strictEqual((yield* only(sandbox, 2))?.transientAssistant, stored)
        }
        yield* sandbox.setTransientWritable(false)
        const reply = yield* call("PUT", path, { api_key: { transient_assistant: true } })
        assert.strictEqual(at(dataOf(reply), "transient_assistant"), false)
      }).pipe(inProcess())
    )
  })

  describe("the api_key envelope", () => {
    it.effect("is needed, and so is something in it", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const before = yield* sandbox.keys
        const bodies: ReadonlyArray<unknown> = [
          {},
          [],
          null,
          "x",
          5,
          { name: "a", key_type: "private" },
          { api_key: null },
          { api_key: {} },
          { api_key: [] },
          { api_key: "a" },
          { apiKey: { name: "a", key_type: "private" } }
        ]
        for (const [method, path] of [
          ["POST", KEYS],
          ["PUT", `${KEYS}/1`],
          ["PATCH", `${KEYS}/1`]
        ] as const) {
          for (const body of bodies) {
            const reply = yield* call(method, path, body)
            assert.deepStrictEqual([reply.status, reply.body], [422, noEnvelope], `${method} ${JSON.stringify(body)}`)
          }
          assert.deepStrictEqual((yield* call(method, path)).body, noEnvelope)
          const named = '{"api_key":{"name":"a","key_type":"private"}}'
          for (const text of [named, "{", "name=a"]) {
            assert.deepStrictEqual((yield* callText(method, path, text, "text/plain")).body, noEnvelope)
          }
          assert.deepStrictEqual(
            (yield* callText(method, path, '{"__proto__":{"api_key":{"name":"a"}}}')).body,
            noEnvelope
          )
        }
        assert.deepStrictEqual(yield* sandbox.keys, before)
        const typed = yield* callText("PUT", `${KEYS}/1`, '{"api_key":{"name":"a"}}', "Application/JSON; charset=utf-8")
        assert.strictEqual(typed.status, 200)
      }).pipe(inProcess())
    )
  })

  describe("delete", () => {
    const isHtml = (reply: { readonly headers: Readonly<Record<string, string | undefined>> }) =>
      reply.headers["content-type"]?.startsWith("text/html") === true

    const table: ReadonlyArray<{
      readonly reply: VoiceableSandbox.DeleteReply
      readonly status: number
      readonly deleted: boolean
      readonly html: boolean
      readonly location: string | undefined
    }> = [
      { reply: 200, status: 200, deleted: true, html: false, location: undefined },
      { reply: 204, status: 204, deleted: true, html: false, location: undefined },
      { reply: 302, status: 302, deleted: true, html: true, location: KEYS },
      { reply: "redirectUndone", status: 302, deleted: false, html: true, location: "/login" },
      { reply: "htmlUndone", status: 200, deleted: false, html: true, location: undefined }
    ]

    for (const { deleted, html, location, reply: mode, status } of table) {
      it.effect(`answers ${mode}, and the key is ${deleted ? "gone" : "still there"}`, () =>
        Effect.gen(function* () {
          const sandbox = yield* VoiceableSandbox.VoiceableSandbox
          const { id, keyValue } = yield* sandbox.addKey()
          yield* sandbox.setDeleteReply(mode)
          const reply = yield* call("DELETE", `${KEYS}/${id}`)
          assert.deepStrictEqual([reply.status, isHtml(reply), reply.headers.location], [status, html, location])
          if (mode === 204) assert.isUndefined(reply.body)
          if (mode === 200) {
            assert.deepStrictEqual(reply.body, {
              status: { code: 200, message: "API key deleted successfully" },
              data: null
            })
          }
          assert.strictEqual(yield* sandbox.isLive(keyValue), !deleted)
          assert.strictEqual(statusOf(yield* call("GET", `${KEYS}/${id}`)), deleted ? 404 : 200)
          const again = yield* call("DELETE", `${KEYS}/${id}`)
          assert.strictEqual(again.status, deleted ? 404 : status)
          if (deleted) assert.deepStrictEqual(again.body, notFound)
          assert.strictEqual(statusOf(yield* call("DELETE", `${KEYS}/99`)), deleted ? 404 : status)
          // Who is not let in gets none of it.
          assert.deepStrictEqual(
            (yield* call("DELETE", `${KEYS}/${id}`, undefined, "api_test_wrong")).body,
            unauthorized
          )
        }).pipe(inProcess())
      )
    }

    it.effect("answers 200 at first", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const { id } = yield* sandbox.addKey()
        assert.deepStrictEqual(codesOf(yield* call("DELETE", `${KEYS}/${id}`)), [200, 200])
      }).pipe(inProcess())
    )

    it.effect("redirects to the list of the prefix that was called, or to a page for anyone", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const { id } = yield* sandbox.addKey()
        yield* sandbox.setDeleteReply(302)
        const { headers } = yield* call("DELETE", `/voiceable-api/api_keys/${id}`)
        assert.strictEqual(headers.location, "/voiceable-api/api_keys")
        // What a client that keeps the method sends next.
        assert.deepStrictEqual((yield* call("DELETE", "/voiceable-api/api_keys")).body, noRoute)
        const login = yield* send(to("GET", "/login"))
        assert.deepStrictEqual([login.status, isHtml(login)], [200, true])
        assert.strictEqual(statusOf(yield* send(to("DELETE", "/login"))), 404)
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess())
    )

    it.effect("of the manager's own key locks it out", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        assert.strictEqual(statusOf(yield* call("DELETE", `${KEYS}/1`)), 200)
        for (const method of ["GET", "POST"] as const) {
          const reply = yield* call(method, KEYS, method === "POST" ? { api_key: { name: "a" } } : undefined)
          assert.deepStrictEqual([reply.status, reply.body], [401, unauthorized])
        }
        assert.deepStrictEqual(yield* sandbox.keys, [])
        assert.isFalse(yield* sandbox.isLive(SECRET))
      }).pipe(inProcess())
    )
  })

  describe("account", () => {
    it.effect("takes a private key of its own, in either header", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const mine = yield* sandbox.addKey()
        const widget = yield* sandbox.addKey({ keyType: "public" })
        const foreign = yield* sandbox.addKey({ userId: 2, name: "Foreign" })
        const value = Redacted.value(sandbox.credential)
        assert.strictEqual(value, "api_test_given")
        const cases: ReadonlyArray<readonly [headers: Record<string, string>, status: number]> = [
          [{ "x-api-key": value }, 200],
          [{ authorization: `Bearer ${value}` }, 200],
          [{ "x-api-key": mine.keyValue }, 200],
          [{ authorization: `Bearer ${mine.keyValue}` }, 200],
          [{ "x-api-key": value, authorization: "Bearer api_test_wrong" }, 200],
          [{ "x-api-key": "api_test_wrong", authorization: `Bearer ${value}` }, 401],
          [{}, 401],
          [{ "x-api-key": "" }, 401],
          [{ "x-api-key": "api_test_wrong" }, 401],
          [{ "x-api-key": `Bearer ${value}` }, 401],
          [{ authorization: value }, 401],
          [{ authorization: `Basic ${value}` }, 401],
          [{ authorization: "Bearer " }, 401],
          [{ "x-api-key": widget.keyValue }, 403],
          [{ authorization: `Bearer ${widget.keyValue}` }, 403]
        ]
        for (const [headers, status] of cases) {
          const request = HttpClientRequest.setHeaders(to("GET", KEYS), headers)
          const reply = yield* send(request)
          assert.strictEqual(reply.status, status, JSON.stringify(headers))
          if (status === 401) assert.deepStrictEqual(reply.body, unauthorized)
          if (status === 403) assert.deepStrictEqual(reply.body, forbidden)
        }
        const theirs = dataOf(yield* call("GET", KEYS, undefined, foreign.keyValue))
        assert(Array.isArray(theirs))
        assert.deepStrictEqual(
          theirs.map((key) => at(key, "name")),
          ["Foreign"]
        )
        const body = { api_key: { name: "a", key_type: "private" } }
        const made = yield* call("POST", KEYS, body, foreign.keyValue)
        assert.deepStrictEqual([at(dataOf(made), "user_id"), at(dataOf(made), "user_email")], [2, "user2@example.com"])
        assert.strictEqual(statusOf(yield* call("GET", `${KEYS}/${at(dataOf(made), "id")}`, undefined, value)), 404)
      }).pipe(inProcess({ credential: "api_test_given" }))
    )

    it.effect("may have its manager's key replaced", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* sandbox.setCredential("api_test_next")
        assert.deepStrictEqual((yield* call("GET", KEYS)).body, unauthorized)
        assert.strictEqual(statusOf(yield* call("GET", KEYS, undefined, "api_test_next")), 200)
        assert.strictEqual(Redacted.value(sandbox.credential), SECRET)
        assert.deepStrictEqual(
          (yield* sandbox.keys).map(({ id, keyValue, name }) => ({ id, keyValue, name })),
          [{ id: 2, keyValue: "api_test_next", name: "Sandbox manager" }]
        )
        // By a key that the account has already; or again, when it is gone; or by itself.
        const mine = yield* sandbox.addKey({ keyValue: "api_test_mine" })
        yield* sandbox.setCredential("api_test_mine")
        assert.deepStrictEqual(yield* sandbox.keys, [mine])
        yield* sandbox.setCredential("api_test_mine")
        assert.deepStrictEqual(yield* sandbox.keys, [mine])
        yield* sandbox.removeKey(mine.id)
        yield* sandbox.setCredential("api_test_last")
        assert.deepStrictEqual(
          (yield* sandbox.keys).map(({ id, keyValue, keyType }) => ({ id, keyValue, keyType })),
          [{ id: 4, keyValue: "api_test_last", keyType: "private" }]
        )
      }).pipe(inProcess())
    )
  })

  describe("errors", () => {
    it.effect("have two shapes", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const bad = { api_key: { colour: "red" } }
        const cases = [
          { reply: () => call("GET", KEYS, undefined, "wrong"), code: 401, message: "Authentication required." },
          { reply: () => call("GET", `${KEYS}/99`), code: 404, message: "API key not found" },
          { reply: () => call("POST", KEYS, bad), code: 422, message: "Name can't be blank, Key type can't be blank" }
        ]
        for (const shape of ["messageOnly", "documented", "messageOnly"] as const) {
          yield* sandbox.setErrorShape(shape)
          for (const { code, message, reply } of cases) {
            const { body, status } = yield* reply()
            assert.strictEqual(status, code)
            if (shape === "messageOnly") assert.deepStrictEqual(body, { status: { code, message } })
            else {
              assert(typeof body === "object" && body !== null)
              assert.sameMembers(Object.keys(body), ["status", "error", "errors", "details"])
              const errors = at(body, "errors")
              assert(Array.isArray(errors))
              assert.strictEqual(errors.join(", "), message)
            }
          }
        }
      }).pipe(inProcess())
    )

    it.effect("can be made, one at a time, and then nothing is done", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const body = { api_key: { name: "a", key_type: "private" } }
        yield* sandbox.failNext(500)
        yield* sandbox.failNext(418)
        yield* sandbox.failNext(204)
        const internal = yield* call("POST", KEYS, body)
        assert.deepStrictEqual(
          [internal.status, internal.body],
          [500, refused(500, "Internal Server Error", "Request failed")]
        )
        assert.deepStrictEqual((yield* call("POST", KEYS, body)).body, refused(418, "Error", "Request failed"))
        const empty = yield* call("POST", KEYS, body)
        assert.deepStrictEqual([empty.status, empty.body], [204, undefined])
        assert.lengthOf(yield* sandbox.keys, 1)
        assert.strictEqual(statusOf(yield* call("POST", KEYS, body)), 201)
        for (const status of [199, 600, 0, 404.5, Number.NaN]) {
          assert.strictEqual((yield* Effect.exit(sandbox.failNext(status)))._tag, "Failure", String(status))
        }
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
      }).pipe(inProcess())
    )
  })

  describe("limit", () => {
    const limitOf = ({
      headers,
      status
    }: {
      status: number
      headers: Readonly<Record<string, string | undefined>>
    }) => [
      status,
      headers["x-ratelimit-limit"],
      headers["x-ratelimit-remaining"],
      headers["x-ratelimit-reset"],
      headers["retry-after"]
    ]

    it.effect("is on every reply, and a window ends 60 seconds after its first request", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* TestClock.setTime(1_000_500)
        yield* sandbox.setDeleteReply(204)
        const { id } = yield* sandbox.addKey()
        const get = call("GET", KEYS)
        assert.deepStrictEqual(limitOf(yield* get), [200, "4", "3", "1061", undefined])
        yield* TestClock.adjust("59 seconds")
        assert.deepStrictEqual(limitOf(yield* call("GET", KEYS, undefined, "wrong")), [
          401,
          "4",
          "2",
          "1061",
          undefined
        ])
        assert.deepStrictEqual(limitOf(yield* call("DELETE", `${KEYS}/${id}`)), [204, "4", "1", "1061", undefined])
        assert.deepStrictEqual(limitOf(yield* call("GET", "/")), [404, "4", "0", "1061", undefined])
        const body = { api_key: { name: "a", key_type: "private" } }
        const refusal = yield* call("POST", KEYS, body)
        assert.deepStrictEqual(limitOf(refusal), [429, "4", "0", "1061", undefined])
        assert.deepStrictEqual(refusal.body, refused(429, "Too Many Requests", "Too many requests"))
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(statusOf(yield* get), 429)
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(limitOf(yield* get), [200, "4", "3", "1121", undefined])
        assert.lengthOf(yield* sandbox.keys, 1)
      }).pipe(inProcess({ requestsPerMinute: 4 }))
    )

    it.effect("is 120 unless given", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 120; index++) {
          assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [200, "120", String(119 - index), "60", undefined])
        }
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 429)
      }).pipe(inProcess())
    )

    it.effect("can say how long it takes, and when to come again", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [200, "1", "0", "60", undefined])
        yield* TestClock.adjust("29500 millis")
        assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [429, "1", "0", "31", "31"])
      }).pipe(inProcess({ requestsPerMinute: 1, rateLimitReset: "seconds", retryAfter: true }))
    )

    it.effect("can be absent, headers and all", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 300; index++) {
          assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [200, undefined, undefined, undefined, undefined])
        }
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* sandbox.lockOut()
        assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [429, undefined, undefined, undefined, undefined])
      }).pipe(inProcess({ requestsPerMinute: Number.POSITIVE_INFINITY }))
    )

    it.effect("can be reached by the test", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const { id, keyValue } = yield* sandbox.addKey()
        yield* sandbox.lockOut({ seconds: 2 })
        assert.deepStrictEqual(limitOf(yield* call("DELETE", `${KEYS}/${id}`)), [429, "120", "0", "2", undefined])
        assert.isTrue(yield* sandbox.isLive(keyValue))
        yield* TestClock.adjust("1999 millis")
        assert.strictEqual(statusOf(yield* send(to("GET", "/nowhere"))), 429)
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(limitOf(yield* call("GET", KEYS)), [200, "120", "119", "62", undefined])
        yield* sandbox.lockOut()
        yield* TestClock.adjust("59999 millis")
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 429)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
      }).pipe(inProcess())
    )
  })

  describe("any request", () => {
    it.effect("is served below any prefix but none", () =>
      Effect.gen(function* () {
        const paths: ReadonlyArray<readonly [path: string, status: number]> = [
          ["/api/v1/api_keys", 200],
          ["/voiceable-api/api_keys", 200],
          ["/any/where/at/all/api_keys", 200],
          ["/voiceable-api/api_keys?x=1", 200],
          ["/voiceable-api/api_keys/", 200],
          ["//voiceable-api//api_keys", 200],
          ["/voiceable-api/api_keys/1", 200],
          ["/voiceable-api/api_keys/1/", 200],
          ["/voiceable-api/api_keys/1?x=1", 200],
          ["/voiceable-api/api_keys/1/rotate", 404],
          ["/voiceable-api/api_keys/api_keys", 404],
          ["/voiceable-api/apikeys", 404],
          ["/voiceable-api/API_KEYS", 404],
          ["/voiceable-api", 404],
          ["/api_keys", 404],
          ["/api_keys/1", 404],
          ["/", 404],
          ["/constructor", 404],
          ["/voiceable-api/admin/api_keys", 403],
          ["/voiceable-api/admin/api_keys/1", 403],
          ["/admin/api_keys", 404]
        ]
        for (const [path, status] of paths) assert.strictEqual(statusOf(yield* call("GET", path)), status, path)
      }).pipe(inProcess())
    )

    it.effect("is served below the given prefixes only", () =>
      Effect.gen(function* () {
        for (const [path, status] of [
          ["/voiceable-api/api_keys", 200],
          ["/api_keys/1", 200],
          ["/api/v1/api_keys", 404]
        ] as const) {
          assert.strictEqual(statusOf(yield* call("GET", path)), status, path)
        }
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* sandbox.setDeleteReply(302)
        assert.strictEqual((yield* call("DELETE", "/api_keys/1")).headers.location, "/api_keys")
      }).pipe(inProcess({ prefixes: ["/voiceable-api/", ""] }))
    )

    it.effect("finds nothing with a method that the path does not have", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const before = yield* sandbox.keys
        const body = { api_key: { name: "a", key_type: "private" } }
        for (const [method, path] of [
          ["PUT", KEYS],
          ["PATCH", KEYS],
          ["DELETE", KEYS],
          ["DELETE", `${KEYS}/`],
          ["POST", `${KEYS}/1`],
          ["POST", "/api/v1/admin/api_keys"],
          ["DELETE", "/api/v1/admin/api_keys/1"],
          ["OPTIONS", KEYS]
        ] as const) {
          const reply = yield* call(method, path, method === "DELETE" || method === "OPTIONS" ? undefined : body)
          assert.deepStrictEqual([reply.status, reply.body], [404, noRoute], `${method} ${path}`)
        }
        assert.deepStrictEqual(yield* sandbox.keys, before)
      }).pipe(inProcess())
    )

    it.effect("that says it is JSON and is not is 400, whoever sends it", () =>
      Effect.gen(function* () {
        const malformed = refused(400, "Bad Request", "Invalid JSON")
        for (const [method, path] of [
          ["POST", KEYS],
          ["PUT", `${KEYS}/1`],
          ["PATCH", `${KEYS}/1`],
          ["DELETE", `${KEYS}/1`]
        ] as const) {
          for (const text of ["{", "name=a", '{"api_key":{"name":"a"}', "\u0000", "[".repeat(100_000)]) {
            const reply = yield* callText(method, path, text)
            assert.deepStrictEqual([reply.status, reply.body], [400, malformed], `${method} ${text.slice(0, 20)}`)
          }
        }
        const bytes = new Uint8Array([0xff, 0xfe, 0x00, 0x7b])
        const binary = HttpClientRequest.bodyUint8Array(to("POST", KEYS), bytes, "application/json")
        assert.strictEqual(statusOf(yield* send(binary)), 400)
        assert.strictEqual(statusOf(yield* call("GET", `${KEYS}/1`)), 200)
      }).pipe(inProcess())
    )

    it.effect("is recorded with its caller and its reply, and without the credential", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const { keyValue } = yield* sandbox.addKey()
        yield* call("PUT", `${KEYS}/1`, { api_key: { name: "a" } })
        yield* TestClock.adjust("3 seconds")
        yield* callText("DELETE", `${KEYS}/1?x=1`, "{")
        yield* send(
          to("GET", KEYS).pipe(
            HttpClientRequest.bearerToken(keyValue),
            HttpClientRequest.setHeaders({ cookie: "session=api_test_cookie", "x-other": "kept" })
          )
        )
        yield* call("GET", KEYS, undefined, "api_test_wrong")
        const requests = yield* sandbox.requests
        assert.deepStrictEqual(
          requests.map(({ headers: _, ...rest }) => rest),
          [
            { method: "PUT", path: `${KEYS}/1`, body: { api_key: { name: "a" } }, caller: 1, status: 200, at: 0 },
            { method: "DELETE", path: `${KEYS}/1?x=1`, body: undefined, caller: 1, status: 400, at: 3000 },
            { method: "GET", path: KEYS, body: undefined, caller: 2, status: 200, at: 3000 },
            { method: "GET", path: KEYS, body: undefined, caller: undefined, status: 401, at: 3000 }
          ]
        )
        assert.strictEqual(requests[0]?.headers["content-type"], "application/json")
        assert.strictEqual(requests[2]?.headers["x-other"], "kept")
        // Not by JSON alone: the headers of Effect leave credentials out of theirs.
        for (const name of ["authorization", "x-api-key", "cookie"]) {
          assert.isFalse(
            requests.some(({ headers }) => name in headers),
            name
          )
        }
        const recorded = JSON.stringify(requests)
        for (const secret of [SECRET, keyValue, "api_test_cookie", "api_test_wrong"])
          assert.notInclude(recorded, secret)
      }).pipe(inProcess())
    )
  })

  describe("test's hands", () => {
    it.effect("mint no secret and no id that a test made already", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* sandbox.addKey({ keyValue: "api_test_voiceable_0001", id: 7 })
        yield* sandbox.removeKey((yield* sandbox.addKey()).id)
        yield* sandbox.removeKey(99)
        yield* sandbox.addKey({ id: 3, keyValue: "api_test_third" })
        yield* call("POST", KEYS, { api_key: { name: "a", key_type: "private" } })
        assert.deepStrictEqual(
          (yield* sandbox.keys).map(({ id, keyValue }) => [id, keyValue]),
          [
            [1, SECRET],
            [7, "api_test_voiceable_0001"],
            [3, "api_test_third"],
            [9, "api_test_voiceable_0003"]
          ]
        )
      }).pipe(inProcess())
    )

    it.effect("are told when a test is wrong", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const { id, keyValue } = yield* sandbox.addKey()
        for (const key of [{ id }, { keyValue }, { id: 1 }, { keyValue: SECRET }]) {
          assert.strictEqual((yield* Effect.exit(sandbox.addKey(key)))._tag, "Failure")
        }
        assert.lengthOf(yield* sandbox.keys, 2)
      }).pipe(inProcess())
    )

    it.effect("make the key they say", () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const key: VoiceableSandbox.SandboxKey = {
          id: 40,
          keyType: "public",
          name: "",
          keyValue: "api_test_whole",
          allowedOrigins: ["https://a.example"],
          allowedAssistants: ["1"],
          transientAssistant: true,
          userId: 3,
          userEmail: "third@example.com",
          createdAt: 1000,
          updatedAt: 2000
        }
        assert.deepStrictEqual(yield* sandbox.addKey(key), key)
        assert.deepStrictEqual(yield* only(sandbox, 40), key)
        assert.strictEqual((yield* sandbox.addKey({ userId: 1 })).userEmail, "user@example.com")
      }).pipe(inProcess())
    )

    it.effect("hold one vendor a layer", () =>
      Effect.gen(function* () {
        const one = yield* VoiceableSandbox.make()
        const other = yield* VoiceableSandbox.make()
        yield* one.addKey()
        assert.lengthOf(yield* other.keys, 1)
      })
    )
  })
})

// -----------------------------------------------------------------------------
// the vendor's examples, over a real server
// -----------------------------------------------------------------------------

const layerLoopback = VoiceableSandbox.layerServer({ credential: CREDENTIAL }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" }))
)

describe("the vendor's examples, over a real server", () => {
  for (const { given, method, name, operation, path, request, response, source, status } of vendorExamples) {
    it.effect(`${operation} · ${name} (${source})`, () =>
      Effect.gen(function* () {
        // The manager's key is the one in the examples, so it is made when that one was.
        yield* TestClock.setTime(Date.parse(CREATED_AT))
        yield* Effect.gen(function* () {
          yield* TestClock.setTime(Date.parse(UPDATED_AT))
          const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
          const reply = yield* Effect.promise(async () => {
            const response = await fetch(`${address}${path}`, {
              method,
              headers: {
                "X-API-Key": given === "unauthorized" ? "api_test_wrong" : CREDENTIAL,
                "Content-Type": "application/json"
              },
              ...(request === undefined ? {} : { body: JSON.stringify(request) })
            })
            return { status: response.status, body: await response.json() }
          })
          assert.deepStrictEqual(reply, { status, body: response })
        }).pipe(Effect.provide(layerLoopback))
      })
    )
  }
})

// -----------------------------------------------------------------------------
// the vendor's page
// -----------------------------------------------------------------------------

// The page is not part of the repository; where it lies beside it, the example is held against it.
const page = new URL(`../../../../shared/vendor/${PAGE}`, import.meta.url)
const absent = !existsSync(page)
const title = absent ? `${PAGE} (the vendor's page is not at hand)` : PAGE

const between = (text: string, start: string, end: string): string => {
  const rest = text.slice(text.indexOf(start) + start.length)
  return rest.slice(0, rest.indexOf(end))
}

/** What the tags of one kind say in an attribute. */
const attributes = (text: string, tag: string, attribute: string): ReadonlyArray<string> =>
  text
    .split(`<${tag} `)
    .slice(1)
    .map((rest) => between(rest.slice(0, rest.indexOf(">")), `${attribute}="`, '"'))

describe("the vendor's page", () => {
  it.skipIf(absent)(title, () => {
    const text = readFileSync(page, "utf8")
    const curl = between(text, "```bash", "```")
    const updates = vendorExamples.filter((example) => example.operation === "update")
    const example = updates.find(({ source }) => source === "page")
    assert(example !== undefined)
    assert.deepStrictEqual(
      [curl.includes(`curl -X ${example.method} "`), new URL(between(curl, '"', '"')).pathname],
      [true, example.path]
    )
    assert.include(curl, '-H "X-API-Key: ')
    assert.include(curl, '-H "Content-Type: application/json"')
    assert.deepStrictEqual(example.request, JSON.parse(between(curl, "-d '", "'")))
    assert.deepStrictEqual(example.response, JSON.parse(between(text, `json ${example.name} theme={null}`, "```")))
    // The fields of the request, and every error that the page names, have an example.
    assert.deepStrictEqual(attributes(text, "ParamField", "name"), [
      "id",
      "api_key",
      ...Object.keys(Object(at(example.request, "api_key")))
    ])
    const errors = attributes(text.slice(text.indexOf("## Error Responses")), "ResponseField", "name")
    assert.deepStrictEqual(
      updates.filter(({ source }) => source === "status").map(({ status }) => String(status)),
      errors
    )
  })
})
