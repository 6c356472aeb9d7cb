/**
 * Requests as the vendor's documents and its dashboard make them, by plain `fetch` to the sandbox behind a real server:
 * nothing of the adapter has a part in them.
 */
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"

const SECRET = "api_test_voiceable_sandbox"

const onLoopback = (options?: VoiceableSandbox.Options) =>
  Effect.provide(
    VoiceableSandbox.layerServer(options).pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )

interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of the data, or of the body where there is no envelope. */
  readonly data: unknown
}

const at = (value: unknown, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (node, key) => (typeof node === "object" && node !== null ? Reflect.get(node, key) : undefined),
    value
  )

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const request = async (url: string, init?: RequestInit): Promise<Reply> => {
  const response = await fetch(url, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, data: at(parse(text), "data") }
}

/** What a program of a few lines would be: an address, a key, and JSON. */
const program = (base: string, headers: Record<string, string>) => ({
  list: () => request(`${base}/api_keys`, { headers }),
  get: (id: unknown) => request(`${base}/api_keys/${id}`, { headers }),
  create: (api_key: unknown) =>
    request(`${base}/api_keys`, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify({ api_key })
    }),
  update: (id: unknown, api_key: unknown) =>
    request(`${base}/api_keys/${id}`, {
      method: "PUT",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify({ api_key })
    }),
  delete: (id: unknown, redirect: RequestRedirect = "manual") =>
    request(`${base}/api_keys/${id}`, { method: "DELETE", headers, redirect })
})

const connect = (prefix = "/voiceable-api", headers: Record<string, string> = { "X-API-Key": SECRET }) =>
  Effect.map(HttpServer.addressFormattedWith(Effect.succeed), (address) => program(`${address}${prefix}`, headers))

const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

const listOf = (reply: Reply): ReadonlyArray<unknown> => {
  assert(Array.isArray(reply.data))
  return reply.data
}

describe("a key's life", () => {
  const doors: ReadonlyArray<readonly [prefix: string, header: string, headers: Record<string, string>]> = [
    ["/api/v1", "X-API-Key", { "X-API-Key": SECRET }],
    ["/api/v1", "Authorization", { Authorization: `Bearer ${SECRET}` }],
    ["/voiceable-api", "X-API-Key", { "X-API-Key": SECRET }],
    ["/voiceable-api", "Authorization", { Authorization: `Bearer ${SECRET}` }]
  ]

  for (const [prefix, header, headers] of doors) {
    it.effect(`below ${prefix}, by ${header}`, () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        const vendor = yield* connect(prefix, headers)
        yield* TestClock.setTime(Date.UTC(2024, 0, 10, 8))
        const created = yield* promise(() =>
          vendor.create({ name: "Receptionist", key_type: "private", allowed_assistants: ["123"] })
        )
        assert.oneOf(created.status, [200, 201])
        const id = at(created.data, "id")
        const secret = at(created.data, "key_value")
        assert(typeof id === "number" && typeof secret === "string")
        assert.isTrue(yield* sandbox.isLive(secret))

        const read = yield* promise(() => vendor.get(id))
        assert.deepStrictEqual([read.status, read.data], [200, { ...Object(created.data), key_value: null }])
        assert.deepStrictEqual(
          listOf(yield* promise(vendor.list)).map((key) => at(key, "id")),
          [1, id]
        )

        yield* TestClock.setTime(Date.UTC(2024, 0, 15, 11))
        const updated = yield* promise(() => vendor.update(id, { allowed_origins: ["https://example.com"] }))
        assert.deepStrictEqual(
          [updated.status, updated.data],
          [200, { ...Object(read.data), allowed_origins: ["https://example.com"], updated_at: "2024-01-15T11:00:00Z" }]
        )
        assert.strictEqual(at(read.data, "created_at"), "2024-01-10T08:00:00Z")

        const deleted = yield* promise(() => vendor.delete(id))
        assert.strictEqual(deleted.status, 200)
        assert.isFalse(yield* sandbox.isLive(secret))
        assert.deepStrictEqual(
          [(yield* promise(() => vendor.get(id))).status, (yield* promise(() => vendor.delete(id))).status],
          [404, 404]
        )
        assert.notInclude([read, updated, deleted].map(({ text }) => text).join(""), secret)
      }).pipe(onLoopback())
    )
  }
})

describe("a rotation by hand", () => {
  it.effect("copies a key, uses the copy, and deletes the old one", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const old = yield* sandbox.addKey({
        name: "Receptionist",
        allowedOrigins: ["https://example.com"],
        allowedAssistants: ["123"],
        transientAssistant: true
      })
      const vendor = yield* connect()
      const { id: _, key_value: __, ...copy } = Object((yield* promise(() => vendor.get(old.id))).data)
      const created = yield* promise(() => vendor.create(copy))
      const secret = at(created.data, "key_value")
      assert(typeof secret === "string")
      // Both live until the old one goes.
      assert.deepStrictEqual([yield* sandbox.isLive(old.keyValue), yield* sandbox.isLive(secret)], [true, true])
      yield* promise(() => vendor.delete(old.id))
      assert.deepStrictEqual([yield* sandbox.isLive(old.keyValue), yield* sandbox.isLive(secret)], [false, true])
      const keys = yield* sandbox.keys
      assert.deepStrictEqual(keys.at(-1), { ...old, id: old.id + 1, keyValue: secret })
    }).pipe(onLoopback())
  )

  it.effect("of the calling key itself must delete the old with the new", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const vendor = yield* connect()
      const created = yield* promise(() => vendor.create({ name: "Sandbox manager", key_type: "private" }))
      const secret = String(at(created.data, "key_value"))
      const next = yield* connect("/voiceable-api", { "X-API-Key": secret })
      assert.strictEqual((yield* promise(() => next.delete(1))).status, 200)
      assert.strictEqual((yield* promise(vendor.list)).status, 401)
      assert.lengthOf(listOf(yield* promise(next.list)), 1)
      assert.deepStrictEqual(
        (yield* sandbox.requests).map(({ caller, method }) => [method, caller]),
        [
          ["POST", 1],
          ["DELETE", 2],
          ["GET", undefined],
          ["GET", 2]
        ]
      )
    }).pipe(onLoopback())
  )

  it.effect("whose reply was lost leaves a key that name and time find", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      yield* sandbox.addKey({ name: "Receptionist" })
      const vendor = yield* connect()
      yield* TestClock.setTime(Date.UTC(2024, 0, 15, 11))
      yield* promise(() => vendor.create({ name: "Receptionist", key_type: "private" }))
      const orphans = listOf(yield* promise(vendor.list)).filter(
        (key) => at(key, "name") === "Receptionist" && at(key, "created_at") === "2024-01-15T11:00:00Z"
      )
      assert.deepStrictEqual(
        orphans.map((key) => [at(key, "id"), at(key, "key_value")]),
        [[3, null]]
      )
      yield* promise(() => vendor.delete(3))
      assert.deepStrictEqual(
        (yield* sandbox.keys).map(({ id }) => id),
        [1, 2]
      )
    }).pipe(onLoopback())
  )
})

describe("a deletion", () => {
  const outcomes: ReadonlyArray<{
    readonly reply: VoiceableSandbox.DeleteReply
    readonly status: number
    readonly followed: number
    readonly deleted: boolean
    readonly sent: ReadonlyArray<string>
  }> = [
    { reply: 200, status: 200, followed: 200, deleted: true, sent: ["/voiceable-api/api_keys/2"] },
    { reply: 204, status: 204, followed: 204, deleted: true, sent: ["/voiceable-api/api_keys/2"] },
    // Followed, a deletion that succeeded looks as if there had been no key: the redirect is a DELETE of the list.
    {
      reply: 302,
      status: 302,
      followed: 404,
      deleted: true,
      sent: ["/voiceable-api/api_keys/2", "/voiceable-api/api_keys"]
    },
    {
      reply: "redirectUndone",
      status: 302,
      followed: 404,
      deleted: false,
      sent: ["/voiceable-api/api_keys/2", "/login"]
    },
    { reply: "htmlUndone", status: 200, followed: 200, deleted: false, sent: ["/voiceable-api/api_keys/2"] }
  ]

  for (const { deleted, followed, reply: mode, sent, status } of outcomes) {
    it.effect(`answered ${mode} ${deleted ? "was" : "was not"} done`, () =>
      Effect.gen(function* () {
        const sandbox = yield* VoiceableSandbox.VoiceableSandbox
        yield* sandbox.setDeleteReply(mode)
        const key = yield* sandbox.addKey()
        const vendor = yield* connect()
        const reply = yield* promise(() => vendor.delete(key.id))
        assert.deepStrictEqual([reply.status, yield* sandbox.isLive(key.keyValue)], [status, !deleted])
        assert.strictEqual(reply.headers.has("location"), status === 302)
        assert.strictEqual(reply.text === "", status === 204)
        assert.strictEqual(at(parse(reply.text), "status", "code"), mode === 200 ? 200 : undefined)
        assert.strictEqual((yield* promise(() => vendor.get(key.id))).status, deleted ? 404 : 200)

        // The same, by a client that follows.
        yield* sandbox.removeKey(key.id)
        yield* sandbox.addKey(key)
        const before = (yield* sandbox.requests).length
        assert.strictEqual((yield* promise(() => vendor.delete(key.id, "follow"))).status, followed)
        assert.strictEqual(yield* sandbox.isLive(key.keyValue), !deleted)
        assert.deepStrictEqual(
          (yield* sandbox.requests).slice(before).map(({ method, path }) => `${method} ${path}`),
          sent.map((path) => `DELETE ${path}`)
        )
      }).pipe(onLoopback())
    )
  }
})

describe("the dashboard", () => {
  it.effect("finds a text in errors of either shape", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const vendor = yield* connect("/voiceable-api", {})
      for (const shape of ["documented", "messageOnly"] as const) {
        yield* sandbox.setErrorShape(shape)
        const { status, text } = yield* promise(vendor.list)
        const errors = at(parse(text), "errors")
        assert.strictEqual(status, 401)
        assert.strictEqual(
          Array.isArray(errors) ? errors.join(", ") : at(parse(text), "status", "message"),
          "Authentication required."
        )
        assert.strictEqual(at(parse(text), "status", "code"), 401)
      }
    }).pipe(onLoopback())
  )

  it.effect("copies a widget's secret from the list, where the vendor lets it", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const vendor = yield* connect()
      const widget = { name: "Widget API Key", key_type: "public" }
      yield* promise(() => vendor.create(widget))
      yield* promise(() => vendor.create(widget))
      const values = Effect.map(promise(vendor.list), (reply) =>
        listOf(reply)
          .filter((key) => at(key, "name") === widget.name)
          .map((key) => at(key, "key_value"))
      )
      assert.deepStrictEqual(yield* values, [null, null])
      yield* sandbox.showKeyValues("public")
      assert.deepStrictEqual(yield* values, ["api_test_voiceable_0001", "api_test_voiceable_0002"])
      assert.isFalse((yield* promise(vendor.list)).text.includes(SECRET))
      const reader = yield* connect("/voiceable-api", { "X-API-Key": "api_test_voiceable_0001" })
      assert.strictEqual((yield* promise(reader.list)).status, 403)
    }).pipe(onLoopback())
  )

  it.effect("widens a key to everything by leaving a list empty", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const { id } = yield* sandbox.addKey({ allowedOrigins: ["https://example.com"], allowedAssistants: ["123"] })
      const vendor = yield* connect()
      const reply = yield* promise(() => vendor.update(id, { name: "Renamed", allowed_origins: [] }))
      assert.deepStrictEqual(
        [at(reply.data, "name"), at(reply.data, "allowed_origins"), at(reply.data, "allowed_assistants")],
        ["Renamed", [], ["123"]]
      )
    }).pipe(onLoopback())
  )
})

describe("the limit", () => {
  it.effect("is read from the headers", () =>
    Effect.gen(function* () {
      const vendor = yield* connect()
      const seen: Array<unknown> = []
      for (let index = 0; index < 3; index++) {
        const { headers, status } = yield* promise(vendor.list)
        seen.push([
          status,
          headers.get("X-RateLimit-Limit"),
          headers.get("X-RateLimit-Remaining"),
          headers.get("X-RateLimit-Reset"),
          headers.get("Retry-After")
        ])
      }
      assert.deepStrictEqual(seen, [
        [200, "2", "1", "60", null],
        [200, "2", "0", "60", null],
        [429, "2", "0", "60", null]
      ])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* promise(vendor.list)).status, 200)
    }).pipe(onLoopback({ requestsPerMinute: 2 }))
  )

  it.effect("may come with a Retry-After", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const vendor = yield* connect()
      yield* sandbox.lockOut({ seconds: 9 })
      const { headers, status } = yield* promise(vendor.list)
      assert.deepStrictEqual([status, headers.get("Retry-After")], [429, "9"])
    }).pipe(onLoopback({ retryAfter: true }))
  )
})

describe("requests at once", () => {
  it.effect("make a key each", () =>
    Effect.gen(function* () {
      const vendor = yield* connect()
      const replies = yield* promise(() =>
        Promise.all(Array.from({ length: 20 }, () => vendor.create({ name: "Same", key_type: "private" })))
      )
      assert.strictEqual(new Set(replies.map(({ data }) => at(data, "id"))).size, 20)
      assert.strictEqual(new Set(replies.map(({ data }) => at(data, "key_value"))).size, 20)
    }).pipe(onLoopback())
  )

  it.effect("delete a key once", () =>
    Effect.gen(function* () {
      const sandbox = yield* VoiceableSandbox.VoiceableSandbox
      const { id } = yield* sandbox.addKey()
      const vendor = yield* connect()
      const replies = yield* promise(() => Promise.all([vendor.delete(id), vendor.delete(id)]))
      assert.sameMembers(
        replies.map(({ status }) => status),
        [200, 404]
      )
    }).pipe(onLoopback())
  )
})

describe("a body without its type", () => {
  it.effect("is not looked at", () =>
    Effect.gen(function* () {
      const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
      const reply = yield* promise(() =>
        request(`${address}/api/v1/api_keys`, {
          method: "POST",
          headers: { "X-API-Key": SECRET },
          body: JSON.stringify({ api_key: { name: "a", key_type: "private" } })
        })
      )
      assert.strictEqual(reply.status, 422)
    }).pipe(onLoopback())
  )
})
