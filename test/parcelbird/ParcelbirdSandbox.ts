/** Parcelbird in memory, written from its documents alone. */
import { HttpSandbox } from "@effect-api-keys/core/testing"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

export interface Row {
  readonly ref: string
  readonly value: string
  readonly title: string
  readonly topics: ReadonlyArray<string> | "*"
  readonly daily: number
  readonly frozen: boolean
  readonly priority: "high" | "normal"
}

/** What a test may change of the vendor. */
export interface Habits {
  /** What the plan has room for. */
  plan: number
  /** What the credential may not do, by method: `403 scope`. */
  forbidden: ReadonlyArray<string>
  /** How long a deletion stays in the queue, in milliseconds; the token works meanwhile. */
  queue: number
  /** Whether the vendor enforces its limits. */
  limits: boolean
  /** A token is made other than asked: what is changed of it. */
  twist: Partial<Row>
  /** Fields of replies to mints that are replaced or, as `undefined`, left out. */
  reply: Readonly<Record<string, unknown>>
}

export class ParcelbirdSandbox extends Context.Service<
  ParcelbirdSandbox,
  {
    readonly app: HttpSandbox.App
    readonly credential: Redacted.Redacted<string>
    readonly tokens: Effect.Effect<ReadonlyArray<Row>>
    /** Every request with its body, as the vendor saw it. */
    readonly seen: Effect.Effect<
      ReadonlyArray<{ readonly method: string; readonly path: string; readonly body: string }>
    >
    readonly behave: (habits: Partial<Habits>) => Effect.Effect<void>
  }
>()("parcelbird/ParcelbirdSandbox") {}

const json = (status: number, body: unknown) => HttpServerResponse.jsonUnsafe(body, { status })
const fault = (status: number, code: string) => json(status, { fault: code })

const make = Effect.sync(() => {
  const credential = "api_test_parcelbird_sandbox"
  const rows = new Map<string, Row>()
  const queue = new Map<string, number>()
  const calls: Array<number> = []
  const mints: Array<number> = []
  const seen: Array<{ readonly method: string; readonly path: string; readonly body: string }> = []
  const habits: Habits = { plan: 50, forbidden: [], queue: 0, limits: true, twist: {}, reply: {} }
  let serial = 6

  const show = ({ value: _, ...rest }: Row) => rest
  const minute = (times: Array<number>, limit: number, now: number) => {
    const [oldest = now] = times.filter((time) => time > now - 60_000).slice(-limit)
    const full = times.filter((time) => time > now - 60_000).length >= limit
    if (!full) times.push(now)
    return full && habits.limits ? Math.ceil((oldest + 60_000 - now) / 1000) : 0
  }
  const slow = (seconds: number) =>
    HttpServerResponse.setHeader(fault(429, "slow_down"), "retry-after", String(seconds))

  const valid = (sent: Readonly<Record<string, unknown>>) =>
    Object.entries(sent).every(([field, value]) => {
      if (field === "title") return typeof value === "string" && value.trim() !== ""
      if (field === "topics")
        return value === "*" || (Array.isArray(value) && value.every((t) => typeof t === "string"))
      if (field === "daily") return Number.isInteger(value)
      if (field === "frozen") return typeof value === "boolean"
      return field === "priority" && (value === "high" || value === "normal")
    })
  const trimmed = <A extends object>(sent: A) =>
    "title" in sent && typeof sent.title === "string" ? { ...sent, title: sent.title.trim() } : sent

  const answer = (method: string, url: URL, header: string | undefined, text: string, now: number) => {
    for (const [ref, due] of queue) if (due <= now) [rows.delete(ref), queue.delete(ref)]
    if (header !== `PB-Key ${credential}`) return fault(403, "bad_key")
    if (habits.forbidden.includes(method)) return fault(403, "scope")
    const wait = minute(calls, 30, now)
    if (wait > 0) return slow(wait)
    const [, version, collection, ref, action, ...more] = url.pathname.split("/")
    if (version !== "v2" || collection !== "tokens" || more.length > 0) return fault(404, "no_route")
    const sent: Record<string, unknown> = text === "" ? {} : JSON.parse(text)
    if (ref === undefined && method === "PUT") {
      const wait = minute(mints, 3, now)
      if (wait > 0) return slow(wait)
      if (rows.size >= habits.plan) return fault(507, "plan_full")
      if (!valid(sent) || !("title" in sent && "topics" in sent && "daily" in sent)) return fault(422, "bad_body")
      const name = ++serial
      const row = {
        frozen: false,
        priority: "normal",
        ...trimmed(sent),
        ...habits.twist,
        ref: `tk-${name}`,
        value: `api_test_parcelbird_${name}`
      } as Row
      rows.set(row.ref, row)
      return json(201, { token: show(row), value: row.value, ...habits.reply })
    }
    if (ref === undefined) {
      if (method !== "GET") return fault(405, "bad_method")
      const all = [...rows.values()]
      const from = all.findIndex((row) => row.ref === url.searchParams.get("after")) + 1
      const page = all.slice(from, from + 2)
      return json(200, { tokens: page.map(show), next: from + 2 < all.length ? page[1]?.ref : null })
    }
    const row = rows.get(decodeURIComponent(ref))
    if (row === undefined) return fault(404, "no_token")
    if (action === undefined && method === "GET") return json(200, { token: show(row) })
    if (action === undefined && method === "DELETE") {
      queue.set(row.ref, now + habits.queue)
      return HttpServerResponse.text("queued", { status: 202 })
    }
    if (method !== "POST") return fault(405, "bad_method")
    if (action === "freeze" || action === "thaw") {
      rows.set(row.ref, { ...row, frozen: action === "freeze" })
      return HttpServerResponse.empty({ status: 204 })
    }
    if (action !== "settings") return fault(404, "no_route")
    if (row.frozen) return fault(409, "frozen")
    // Neither switching on and off nor the priority is a setting.
    if (!valid(sent) || "frozen" in sent || "priority" in sent) return fault(422, "bad_body")
    const next = { ...row, ...trimmed(sent), ...habits.twist } as Row
    rows.set(row.ref, next)
    return json(200, { token: show(next) })
  }

  const app = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const body = yield* Effect.orElseSucceed(request.text, () => "")
    const url = new URL(request.url, "https://api.parcelbird.example")
    seen.push({ method: request.method, path: url.pathname + url.search, body })
    return answer(request.method, url, request.headers.authorization, body, yield* Clock.currentTimeMillis)
  })

  return ParcelbirdSandbox.of({
    app,
    credential: Redacted.make(credential),
    tokens: Effect.map(Clock.currentTimeMillis, (now) =>
      [...rows.values()].filter(({ ref }) => (queue.get(ref) ?? Number.POSITIVE_INFINITY) > now)
    ),
    seen: Effect.sync(() => [...seen]),
    behave: (changes) => Effect.sync(() => void Object.assign(habits, changes))
  })
})

export const layerClient = Layer.unwrap(ParcelbirdSandbox.useSync(({ app }) => HttpSandbox.layerClient(app))).pipe(
  Layer.provideMerge(Layer.effect(ParcelbirdSandbox, make))
)

/** Needs an `HttpServer`: the same vendor, for any client in any language. */
export const layerServer = Layer.unwrap(ParcelbirdSandbox.useSync(({ app }) => HttpSandbox.serve(app))).pipe(
  Layer.provideMerge(Layer.effect(ParcelbirdSandbox, make))
)
