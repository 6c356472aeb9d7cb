import { existsSync, readFileSync } from "node:fs"
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { type Page, TOKEN, type VendorExample, vendorExamples } from "./vendorExamples.ts"

const KEYS = "/outbound/transactional-keys"
const ROTATE = "/outbound/transactional-keys/rotate"

// -----------------------------------------------------------------------------
// in process
// -----------------------------------------------------------------------------

const send = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
  const response = yield* HttpClient.execute(request)
  const body = yield* response.json
  return { status: response.status, body, retryAfter: response.headers["retry-after"] }
})

const authorized = Effect.fnUntraced(function* (method: HttpMethod.HttpMethod, path: string) {
  const sandbox = yield* JetEmailSandbox.JetEmailSandbox
  return HttpClientRequest.make(method)(`https://api.jetemail.com${path}`).pipe(
    HttpClientRequest.bearerToken(sandbox.credential)
  )
})

const call = Effect.fnUntraced(function* (method: HttpMethod.HttpMethod, path: string, body?: unknown) {
  const request = yield* authorized(method, path)
  return yield* send(body === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, body))
})

const callText = Effect.fnUntraced(function* (method: HttpMethod.HttpMethod, path: string, text: string) {
  const request = yield* authorized(method, path)
  return yield* send(HttpClientRequest.bodyText(request, text, "application/json"))
})

const refused = (status: number, error: string) => ({
  status,
  body: { success: false, error },
  retryAfter: undefined
})

/** For a test to which only the status counts. */
const statusOf = (reply: { readonly status: number }) => reply.status

const tokenOf = (reply: { readonly body: unknown }): string => {
  const body = reply.body
  if (typeof body === "object" && body !== null && "api_token" in body && typeof body.api_token === "string") {
    return body.api_token
  }
  throw new Error("the reply has no token")
}

const inProcess = (options?: JetEmailSandbox.Options) => Effect.provide(JetEmailSandbox.layerClient(options))

describe("JetEmailSandbox", () => {
  describe("create", () => {
    it.effect("answers 200, never echoes, and fills in the defaults", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        yield* TestClock.setTime(1_724_113_774_123)
        const reply = yield* call("POST", KEYS, { name: "First", colour: "ignored" })
        assert.deepStrictEqual(reply, {
          status: 200,
          body: {
            success: true,
            message: "Transactional key created successfully",
            api_token: "transactional_api_test_0001"
          },
          retryAfter: undefined
        })
        assert.deepStrictEqual(yield* sandbox.keys, [
          {
            token: "transactional_api_test_0001",
            uuid: "00000000-0000-4000-8000-000000000001",
            name: "First",
            status: "active",
            allowAllDomains: false,
            approvedDomains: [],
            quota: 0,
            usage: 0,
            ipRestrictions: [],
            createdAt: 1_724_113_774_123,
            modifiedAt: 1_724_113_774_123
          }
        ])
        assert.isTrue(yield* sandbox.isLive("transactional_api_test_0001"))
        assert.isFalse(yield* sandbox.isLive("transactional_api_test_0002"))
      }).pipe(inProcess())
    )

    it.effect("does not keep names unique", () =>
      Effect.gen(function* () {
        const first = yield* call("POST", KEYS, { name: "Same" })
        const second = yield* call("POST", KEYS, { name: "Same" })
        assert.notStrictEqual(tokenOf(first), tokenOf(second))
      }).pipe(inProcess())
    )

    it.effect("refuses with the documented texts, and makes nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        for (const body of [{}, { name: 1 }, { name: null }, { name: "" }, [], "x", null, 5]) {
          assert.deepStrictEqual(yield* call("POST", KEYS, body), refused(400, "Name is required and must be a string"))
        }
        for (const name of ["a".repeat(65), "a/b", "é", "a\u0000"]) {
          assert.deepStrictEqual(yield* call("POST", KEYS, { name }), refused(400, "Invalid name format"))
        }
        assert.deepStrictEqual(yield* sandbox.keys, [])
      }).pipe(inProcess())
    )

    it.effect("takes what the documented rules take", () =>
      Effect.gen(function* () {
        const names = ["a", "a".repeat(64), "A-Z_0 9", "   ", "line\nbreak"]
        const domains = [["a.bc"], ["Mail.Example.COM"], [`${"a".repeat(63)}.com`], ["xn--bcher-kva.example"], []]
        const ips = [
          ["0.0.0.0/0"],
          ["01.02.03.04"],
          ["255.255.255.255/32"],
          ["::"],
          ["::/128"],
          ["1:2:3:4:5:6:7:8"],
          ["1::8"]
        ]
        for (const name of names) assert.strictEqual(statusOf(yield* call("POST", KEYS, { name })), 200, name)
        for (const approvedDomains of domains) {
          assert.strictEqual(
            statusOf(yield* call("POST", KEYS, { name: "a", approvedDomains })),
            200,
            String(approvedDomains)
          )
        }
        for (const ipRestrictions of ips) {
          assert.strictEqual(
            statusOf(yield* call("POST", KEYS, { name: "a", ipRestrictions })),
            200,
            String(ipRestrictions)
          )
        }
        for (const quota of [0, 1, 1_000_000]) {
          assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "a", quota })), 200, String(quota))
        }
      }).pipe(inProcess())
    )

    it.effect("refuses what they do not", () =>
      Effect.gen(function* () {
        const bad: ReadonlyArray<Record<string, unknown>> = [
          { allowAllDomains: 1 },
          { allowAllDomains: null },
          { approvedDomains: "example.com" },
          { approvedDomains: [1] },
          { approvedDomains: null },
          { approvedDomains: Array.from({ length: 254 }, (_, index) => `d${index}.example.com`) },
          { quota: -1 },
          { quota: 1_000_001 },
          { quota: 1.5 },
          { quota: "1" },
          { quota: null },
          { ipRestrictions: Array.from({ length: 51 }, (_, index) => `10.0.0.${index}`) },
          { ipRestrictions: null }
        ]
        const domains = [
          "localhost",
          "user@example.com",
          "a..com",
          "-a.com",
          "a-.com",
          "example.com.",
          "a.b",
          `${"a".repeat(64)}.com`
        ]
        const ips = [
          "1.2.3",
          "1.2.3.256",
          "1.2.3.4/33",
          "1.2.3.4/",
          "1.2.3.4/01",
          ":::",
          "1::2::3",
          "1:2:3:4:5:6:7:8:9",
          "1:2:3:4::5:6:7:8",
          "::/129",
          "fe80::1%eth0",
          ""
        ]
        for (const fields of bad) {
          assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "a", ...fields })), 400, JSON.stringify(fields))
        }
        for (const domain of domains) {
          assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "a", approvedDomains: [domain] })), 400, domain)
        }
        for (const ip of ips) {
          assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "a", ipRestrictions: [ip] })), 400, ip)
        }
        const most = {
          name: "a",
          approvedDomains: Array.from({ length: 253 }, (_, index) => `d${index}.example.com`),
          ipRestrictions: Array.from({ length: 50 }, (_, index) => `10.0.0.${index}`)
        }
        assert.strictEqual(statusOf(yield* call("POST", KEYS, most)), 200)
      }).pipe(inProcess())
    )

    it.effect("stops at the plan's limit", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const first = yield* call("POST", KEYS, { name: "a" })
        yield* call("POST", KEYS, { name: "b" })
        assert.deepStrictEqual(
          yield* call("POST", KEYS, { name: "c" }),
          refused(403, "Free accounts are limited to 2 transactional keys")
        )
        assert.lengthOf(yield* sandbox.keys, 2)
        yield* call("DELETE", KEYS, { api_token: tokenOf(first) })
        assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "c" })), 200)
      }).pipe(inProcess({ keyLimit: 2 }))
    )
  })

  describe("update", () => {
    it.effect("ignores everything beside the status, in silence", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const key = yield* sandbox.addKey({ name: "Before", quota: 7 })
        const reply = yield* call("PATCH", KEYS, { api_token: key.token, status: 0, name: "After/bad", quota: -1 })
        assert.strictEqual(reply.status, 200)
        assert.deepStrictEqual(yield* sandbox.keys, [{ ...key, status: "disabled" }])
        assert.isFalse(yield* sandbox.isLive(key.token))
        yield* call("PATCH", KEYS, { api_token: key.token, status: 1, name: "After" })
        assert.deepStrictEqual(yield* sandbox.keys, [key])
        assert.isTrue(yield* sandbox.isLive(key.token))
      }).pipe(inProcess())
    )

    it.effect("changes what is given and leaves the rest", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const key = yield* sandbox.addKey({ name: "Before", approvedDomains: ["a.com"], ipRestrictions: ["10.0.0.1"] })
        yield* TestClock.adjust("5 seconds")
        yield* call("PATCH", KEYS, { api_token: key.token, approvedDomains: [], quota: 10 })
        assert.deepStrictEqual(yield* sandbox.keys, [{ ...key, approvedDomains: [], quota: 10, modifiedAt: 5000 }])
      }).pipe(inProcess())
    )

    it.effect("refuses with the documented texts, and changes nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const key = yield* sandbox.addKey()
        const { token } = key
        assert.deepStrictEqual(yield* call("PATCH", KEYS, { name: "x" }), refused(400, "api_token is required"))
        for (const name of [1, null, "", "a/b"]) {
          assert.deepStrictEqual(
            yield* call("PATCH", KEYS, { api_token: token, name }),
            refused(400, "Invalid name format")
          )
        }
        for (const status of [2, -1, true, "1", null]) {
          assert.strictEqual(statusOf(yield* call("PATCH", KEYS, { api_token: token, status })), 400, String(status))
        }
        assert.deepStrictEqual(
          yield* call("PATCH", KEYS, { api_token: "transactional_api_test_absent", status: 0 }),
          refused(404, "Transactional key not found or unauthorized")
        )
        assert.deepStrictEqual(yield* sandbox.keys, [key])
      }).pipe(inProcess())
    )

    it.effect("enabling undoes disabling, not what the vendor did", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey()
        yield* sandbox.setStatus(token, "suspended")
        yield* call("PATCH", KEYS, { api_token: token, status: 0 })
        assert.deepStrictEqual(
          (yield* sandbox.keys).map((key) => key.status),
          ["disabled"]
        )
        assert.strictEqual(statusOf(yield* call("PATCH", KEYS, { api_token: token, status: 1 })), 200)
        assert.deepStrictEqual(
          (yield* sandbox.keys).map((key) => key.status),
          ["suspended"]
        )
        assert.isFalse(yield* sandbox.isLive(token))
      }).pipe(inProcess())
    )
  })

  describe("rotate", () => {
    it.effect("kills the old token at once, and keeps the uuid and the configuration", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const key = yield* sandbox.addKey({ name: "Kept", quota: 3, approvedDomains: ["a.com"], usage: 2 })
        const token = tokenOf(yield* call("POST", ROTATE, { api_token: key.token }))
        assert.notStrictEqual(token, key.token)
        assert.deepStrictEqual(yield* sandbox.keys, [{ ...key, token }])
        assert.isFalse(yield* sandbox.isLive(key.token))
        assert.isTrue(yield* sandbox.isLive(token))
        const again = yield* call("POST", ROTATE, { api_token: key.token })
        assert.deepStrictEqual(again, refused(404, "Transactional key not found or access denied"))
      }).pipe(inProcess())
    )

    it.effect("refuses a key that is disabled or suspended, and takes one whose quota is locked", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey({ status: "disabled" })
        assert.deepStrictEqual(
          yield* call("POST", ROTATE, { api_token: token }),
          refused(403, "Cannot rotate a disabled transactional key. Enable it first.")
        )
        for (const status of ["suspended", "a-status-of-tomorrow"]) {
          yield* sandbox.setStatus(token, status)
          assert.strictEqual(statusOf(yield* call("POST", ROTATE, { api_token: token })), 403, status)
        }
        assert.deepStrictEqual(
          (yield* sandbox.keys).map((key) => key.token),
          [token]
        )
        yield* sandbox.setStatus(token, "quota-locked")
        assert.isFalse(yield* sandbox.isLive(token))
        assert.strictEqual(statusOf(yield* call("POST", ROTATE, { api_token: token })), 200)
      }).pipe(inProcess())
    )

    it.effect("says what is missing", () =>
      Effect.gen(function* () {
        for (const body of [{}, { api_token: 1 }, { api_token: "" }]) {
          assert.deepStrictEqual(yield* call("POST", ROTATE, body), refused(400, "api_token is required"))
        }
      }).pipe(inProcess())
    )
  })

  describe("delete", () => {
    it.effect("needs a body, and finds nothing the second time", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey()
        assert.deepStrictEqual(yield* call("DELETE", KEYS), refused(400, "api_token is required"))
        const reply = yield* call("DELETE", KEYS, { api_token: token })
        assert.deepStrictEqual(reply.body, { success: true, message: "Transactional key deleted successfully" })
        assert.isFalse(yield* sandbox.isLive(token))
        assert.strictEqual(statusOf(yield* call("DELETE", KEYS, { api_token: token })), 404)
        assert.deepStrictEqual(yield* sandbox.keys, [])
      }).pipe(inProcess())
    )
  })

  describe("list", () => {
    const seeded = Effect.gen(function* () {
      const sandbox = yield* JetEmailSandbox.JetEmailSandbox
      yield* sandbox.addKey({
        token: "transactional_api_test_1111111",
        uuid: "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        name: "One",
        status: "quota-locked",
        approvedDomains: ["alloweddomain.com"],
        ipRestrictions: ["1.1.1.1"],
        usage: 77,
        quota: 1001,
        createdAt: 1_724_113_774_000,
        modifiedAt: 1_735_937_552_000
      })
      return sandbox
    })

    it.effect("has two generations", () =>
      Effect.gen(function* () {
        const sandbox = yield* seeded
        const shared = {
          api_token: "transactional_api_test_1111111",
          status: "quota-locked",
          usage: 77,
          quota: 1001,
          created_date: "1724113774000",
          last_modified: 1_735_937_552
        }
        assert.deepStrictEqual((yield* call("GET", KEYS)).body, {
          success: true,
          transactionalKeys: [
            {
              ...shared,
              uuid: "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
              name: "One",
              allowAllDomains: false,
              approvedDomains: ["alloweddomain.com"],
              ipRestrictions: ["1.1.1.1"]
            }
          ]
        })
        yield* sandbox.setListFormat("legacy")
        assert.deepStrictEqual((yield* call("GET", KEYS)).body, {
          success: true,
          "transactional-keys": [{ ...shared, approvedDomains: '["alloweddomain.com"]', ipRestrictions: '["1.1.1.1"]' }]
        })
      }).pipe(inProcess())
    )

    it.effect("can be made to mask the tokens", () =>
      Effect.gen(function* () {
        const sandbox = yield* seeded
        yield* sandbox.setMasked(true)
        for (const format of ["current", "legacy"] as const) {
          yield* sandbox.setListFormat(format)
          const text = JSON.stringify((yield* call("GET", KEYS)).body)
          assert.notInclude(text, "transactional_api_test_1111111")
          assert.include(text, "transactional_************1111")
        }
      }).pipe(inProcess())
    )

    it.effect("never paginates", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        for (let index = 0; index < 500; index++) yield* sandbox.addKey()
        const { body } = yield* call("GET", `${KEYS}?limit=1&page=2`)
        assert.strictEqual(JSON.stringify(body).split('"api_token"').length - 1, 500)
      }).pipe(inProcess())
    )
  })

  describe("account", () => {
    it.effect("accepts its management key and nothing else", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey()
        const request = HttpClientRequest.get(`https://api.jetemail.com${KEYS}`)
        const wrong = refused(401, "Required information not found")
        assert.deepStrictEqual(yield* send(request), wrong)
        for (const other of ["api_test_other", token, ""]) {
          assert.deepStrictEqual(yield* send(HttpClientRequest.bearerToken(request, other)), wrong)
        }
        const value = Redacted.value(sandbox.credential)
        assert.strictEqual(value, "api_test_mine")
        assert.deepStrictEqual(yield* send(HttpClientRequest.setHeader(request, "authorization", value)), wrong)
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
        yield* sandbox.setCredential("api_test_next")
        assert.deepStrictEqual(yield* call("GET", KEYS), wrong)
        assert.strictEqual(statusOf(yield* send(HttpClientRequest.bearerToken(request, "api_test_next"))), 200)
      }).pipe(inProcess({ credential: "api_test_mine" }))
    )

    it.effect("is shut out for five minutes by the 241st request of a minute", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 240; index++) {
          assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200, `request ${index + 1}`)
          if (index === 119) yield* TestClock.adjust("59999 millis")
        }
        const locked = yield* call("POST", KEYS, { name: "a" })
        assert.deepStrictEqual(locked, { ...refused(429, "Too many requests"), retryAfter: "300" })
        yield* TestClock.adjust("500 millis")
        assert.strictEqual((yield* call("GET", KEYS)).retryAfter, "300")
        yield* TestClock.adjust("298500 millis")
        const late = yield* call("GET", KEYS)
        assert.deepStrictEqual([late.status, late.retryAfter], [429, "1"])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        assert.deepStrictEqual(yield* sandbox.keys, [])
      }).pipe(inProcess())
    )

    it.effect("counts any minute, not the clock's", () =>
      Effect.gen(function* () {
        for (let index = 0; index < 240; index++) yield* call("GET", KEYS)
        yield* TestClock.adjust("59999 millis")
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
        assert.lengthOf(yield* sandbox.requests, 241)
      }).pipe(inProcess())
    )

    it.effect("counts no stranger's requests, and locks no stranger out", () =>
      Effect.gen(function* () {
        const request = HttpClientRequest.get(`https://api.jetemail.com${KEYS}`)
        for (let index = 0; index < 5; index++) assert.strictEqual(statusOf(yield* send(request)), 401)
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
        assert.strictEqual((yield* call("GET", KEYS)).retryAfter, "7")
        assert.strictEqual(statusOf(yield* send(request)), 401)
      }).pipe(inProcess({ requestsPerMinute: 2, lockoutSeconds: 7 }))
    )

    it.effect("can be locked out by the test", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey()
        yield* sandbox.lockOut()
        assert.strictEqual((yield* call("DELETE", KEYS, { api_token: token })).retryAfter, "300")
        assert.isTrue(yield* sandbox.isLive(token))
        yield* sandbox.lockOut({ seconds: 2 })
        yield* TestClock.adjust("1001 millis")
        const reply = yield* call("GET", "/nowhere")
        assert.deepStrictEqual([reply.status, reply.retryAfter], [429, "1"])
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(statusOf(yield* call("GET", KEYS)), 200)
      }).pipe(inProcess())
    )
  })

  describe("any request", () => {
    it.effect("gets an answer", () =>
      Effect.gen(function* () {
        assert.strictEqual(statusOf(yield* call("GET", "/")), 404)
        assert.strictEqual(statusOf(yield* call("GET", "/email")), 404)
        assert.strictEqual(statusOf(yield* call("GET", `${KEYS}/`)), 404)
        assert.strictEqual(statusOf(yield* call("GET", "/constructor")), 404)
        assert.strictEqual(statusOf(yield* call("PUT", KEYS, { name: "a" })), 405)
        assert.strictEqual(statusOf(yield* call("GET", ROTATE)), 405)
        for (const method of ["POST", "PATCH", "DELETE"] as const) {
          for (const text of ["{", "name=a", '{"name":"a"', "\u0000", "[".repeat(100_000)]) {
            assert.deepStrictEqual(
              yield* callText(method, KEYS, text),
              refused(400, "Invalid JSON"),
              `${method} ${text.slice(0, 20)}`
            )
          }
        }
        const request = yield* authorized("POST", KEYS)
        const bytes = new Uint8Array([0xff, 0xfe, 0x00, 0x7b])
        assert.strictEqual(statusOf(yield* send(HttpClientRequest.bodyUint8Array(request, bytes))), 400)
        assert.strictEqual(statusOf(yield* callText("POST", KEYS, '{"__proto__":{"name":"a"}}')), 400)
      }).pipe(inProcess())
    )

    it.effect("is recorded with what it was answered, and without the credential", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        yield* call("POST", KEYS, { name: "a" })
        yield* TestClock.adjust("3 seconds")
        yield* callText("DELETE", `${KEYS}?x=1`, "{")
        yield* send(HttpClientRequest.get(`https://api.jetemail.com${KEYS}`))
        const requests = yield* sandbox.requests
        assert.deepStrictEqual(
          requests.map(({ headers: _, ...rest }) => rest),
          [
            { method: "POST", path: KEYS, body: { name: "a" }, status: 200, at: 0 },
            { method: "DELETE", path: `${KEYS}?x=1`, body: undefined, status: 400, at: 3000 },
            { method: "GET", path: KEYS, body: undefined, status: 401, at: 3000 }
          ]
        )
        assert.strictEqual(requests[0]?.headers["content-type"], "application/json")
        assert.notInclude(JSON.stringify(requests), Redacted.value(sandbox.credential))
      }).pipe(inProcess())
    )

    it.effect("can be made to fail, one at a time, and then does nothing", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        yield* sandbox.failNext(500)
        yield* sandbox.failNext(503)
        assert.deepStrictEqual(
          yield* call("POST", KEYS, { name: "a" }),
          refused(500, "Failed to create transactional key")
        )
        assert.deepStrictEqual(yield* call("POST", KEYS, { name: "a" }), refused(503, "Request failed"))
        assert.deepStrictEqual(yield* sandbox.keys, [])
        assert.strictEqual(statusOf(yield* call("POST", KEYS, { name: "a" })), 200)
      }).pipe(inProcess())
    )
  })

  describe("test's hands", () => {
    it.effect("mints no token that a test made already", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        yield* sandbox.addKey({ token: "transactional_api_test_0001" })
        yield* sandbox.removeKey((yield* sandbox.addKey()).token)
        yield* sandbox.removeKey("transactional_api_test_absent")
        yield* call("POST", KEYS, { name: "a" })
        const keys = yield* sandbox.keys
        assert.deepStrictEqual(
          keys.map((key) => key.token),
          ["transactional_api_test_0001", "transactional_api_test_0003"]
        )
        assert.strictEqual(new Set(keys.map((key) => key.uuid)).size, 2)
      }).pipe(inProcess())
    )

    it.effect("are told when a test is wrong", () =>
      Effect.gen(function* () {
        const sandbox = yield* JetEmailSandbox.JetEmailSandbox
        const { token } = yield* sandbox.addKey()
        const twice = yield* Effect.exit(sandbox.addKey({ token }))
        const absent = yield* Effect.exit(sandbox.setStatus("transactional_api_test_absent", "active"))
        assert.deepStrictEqual([twice._tag, absent._tag], ["Failure", "Failure"])
      }).pipe(inProcess())
    )

    it.effect("hold one vendor a layer", () =>
      Effect.gen(function* () {
        const one = yield* JetEmailSandbox.make()
        const other = yield* JetEmailSandbox.make()
        yield* one.addKey()
        assert.lengthOf(yield* other.keys, 0)
      })
    )
  })
})

// -----------------------------------------------------------------------------
// the vendor's examples, over a real server
// -----------------------------------------------------------------------------

const layerLoopback = JetEmailSandbox.layerServer().pipe(
  Layer.provideMerge(NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" }))
)

const prepare = Effect.fnUntraced(function* (given: VendorExample["given"]) {
  const sandbox = yield* JetEmailSandbox.JetEmailSandbox
  yield* sandbox.addKey({ token: TOKEN, status: given === "disabled" ? "disabled" : "active" })
  if (given === "full") for (let index = 1; index < 50; index++) yield* sandbox.addKey()
  if (given === "failing") yield* sandbox.failNext(500)
  const credential = Redacted.value(sandbox.credential)
  return given === "unauthorized" ? "api_test_wrong" : credential
})

describe("the vendor's examples, over a real server", () => {
  for (const example of vendorExamples) {
    it.effect(`${example.page} · ${example.name}`, () =>
      Effect.gen(function* () {
        const credential = yield* prepare(example.given)
        const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
        const reply = yield* Effect.promise(async () => {
          const response = await fetch(`${address}${example.path}`, {
            method: example.method,
            headers: { authorization: `Bearer ${credential}`, "content-type": "application/json" },
            body: JSON.stringify(example.request)
          })
          return { status: response.status, body: await response.json() }
        })
        const { api_token: documented, ...expected } = example.response
        const { api_token: minted, ...body } = reply.body
        assert.deepStrictEqual({ status: reply.status, body }, { status: example.status, body: expected })
        assert.strictEqual(typeof minted, typeof documented)
        if (typeof minted === "string") assert.match(minted, /^transactional_api_test_\d{4}$/)
      }).pipe(Effect.provide(layerLoopback))
    )
  }

  it.effect("a deletion's body arrives", () =>
    Effect.gen(function* () {
      const sandbox = yield* JetEmailSandbox.JetEmailSandbox
      const credential = yield* prepare(undefined)
      const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
      const status = yield* Effect.promise(async () => {
        const response = await fetch(`${address}${KEYS}`, {
          method: "DELETE",
          headers: { authorization: `Bearer ${credential}` },
          body: JSON.stringify({ api_token: TOKEN })
        })
        return response.status
      })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(yield* sandbox.keys, [])
    }).pipe(Effect.provide(layerLoopback))
  )
})

// -----------------------------------------------------------------------------
// the vendor's pages
// -----------------------------------------------------------------------------

// The pages are not part of the repository; where they lie beside it, the examples are held against them.
const pages = new URL("../../../../shared/vendor/", import.meta.url)
const absent = !existsSync(new URL("jetemail-create-key.md", pages))

interface Line {
  readonly indent: number
  readonly text: string
}

const toLines = (page: string): ReadonlyArray<Line> =>
  page
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => ({ indent: line.length - line.trimStart().length, text: line.trim() }))

const scalar = (text: string): unknown => {
  if (text === "true" || text === "false") return text === "true"
  if (text === "[]") return []
  return /^\d+$/.test(text) ? Number(text) : text.replaceAll("'", "")
}

/** The YAML of the pages' examples, as far as they use it: maps, lists of scalars, scalars, folded text. */
const parse = (lines: ReadonlyArray<Line>): unknown => {
  const first = lines[0]
  if (first === undefined) return undefined
  if (first.text.startsWith("- ")) return lines.map((line) => scalar(line.text.slice(2)))
  const entries: Array<[string, unknown]> = []
  lines.forEach((line, index) => {
    if (line.indent !== first.indent) return
    const colon = line.text.indexOf(":")
    const rest = line.text.slice(colon + 1).trim()
    const end = lines.findIndex((other, position) => position > index && other.indent <= first.indent)
    const nested = lines.slice(index + 1, end === -1 ? undefined : end)
    const value =
      rest === "" ? parse(nested) : rest === ">-" ? nested.map((other) => other.text).join(" ") : scalar(rest)
    entries.push([line.text.slice(0, colon).replaceAll("'", ""), value])
  })
  return Object.fromEntries(entries)
}

const at = (value: unknown, ...path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>(
    (node, key) => (typeof node === "object" && node !== null ? Reflect.get(node, key) : undefined),
    value
  )

const keysOf = (value: unknown): ReadonlyArray<string> =>
  typeof value === "object" && value !== null ? Object.keys(value) : []

/** The examples of an object schema's properties, as one object. */
const propertyExamples = (schema: unknown): Record<string, unknown> =>
  Object.fromEntries(
    keysOf(at(schema, "properties"))
      .map((key) => [key, at(schema, "properties", key, "example")] as const)
      .filter(([, example]) => example !== undefined)
  )

const fakeTokens = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll("transactional_", "transactional_api_test_"))

const readPage = (page: Page) => {
  const text = readFileSync(new URL(page, pages), "utf8")
  const yaml = text.slice(text.indexOf("paths:"), text.indexOf("components:"))
  const paths = at(parse(toLines(yaml)), "paths")
  const path = keysOf(paths)[0] ?? ""
  const method = keysOf(at(paths, path))[0] ?? ""
  const operation = at(paths, path, method)
  const content = at(operation, "requestBody", "content", "application/json")
  const requests = new Map<string, unknown>([["properties", fakeTokens(propertyExamples(at(content, "schema")))]])
  for (const name of keysOf(at(content, "examples"))) {
    requests.set(name, fakeTokens(at(content, "examples", name, "value")))
  }
  const responses = new Map<string, unknown>()
  for (const status of keysOf(at(operation, "responses"))) {
    const schema = at(operation, "responses", status, "content", "application/json", "schema")
    responses.set(status, fakeTokens(propertyExamples(schema)))
  }
  return { path, method: method.toUpperCase(), requests, responses }
}

const byName = (name: string) => (absent ? `${name} (the vendor's pages are not at hand)` : name)

describe("the vendor's pages", () => {
  for (const page of ["jetemail-create-key.md", "jetemail-rotate-key.md", "jetemail-update-key.md"] as const) {
    it.skipIf(absent)(byName(page), () => {
      const { method, path, requests, responses } = readPage(page)
      const examples = vendorExamples.filter((example) => example.page === page)
      assert.isAbove(requests.size + responses.size, 5)
      assert.deepStrictEqual(
        examples.map((example) => example.name).sort(),
        [...requests.keys(), ...Array.from(responses.keys(), (status) => `response ${status}`)].sort()
      )
      for (const example of examples) {
        assert.deepStrictEqual([example.method, example.path], [method, path], example.name)
        assert.deepStrictEqual(example.response, responses.get(String(example.status)), example.name)
        if (requests.has(example.name))
          assert.deepStrictEqual(example.request, requests.get(example.name), example.name)
        else assert.strictEqual(example.name, `response ${example.status}`)
      }
    })
  }
})
