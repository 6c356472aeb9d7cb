import { KeyRef, markerOf } from "@effect-api-keys/core"
import type { HttpSandbox } from "@effect-api-keys/core/testing"
import { HttpSandbox as Sandbox } from "@effect-api-keys/core/testing"
import * as JetEmail from "@effect-api-keys/jetemail"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as MailerPatch from "@effect-api-keys/mailer-patch"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Voiceable from "@effect-api-keys/voiceable"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Account } from "../../src/Rotation.ts"

/** A key as it really is at the vendor. */
export interface TrueKey {
  /** What the vendor knows it by, and its secret. */
  readonly address: string
  readonly secret: string
  /** The printable handle, where the vendor's own data gives it. */
  readonly handle?: string
  /** The vendor's own id of the record, where an in-place rotation keeps it. */
  readonly identity?: string
  readonly alive: boolean
  /** What it may do, without its name and status. */
  readonly settings: string
  readonly name: string
  readonly marker: string | undefined
}

type OnKey = (address: string) => Effect.Effect<void>

/** A vendor for one test: what it really holds, what people do to it, and how programs reach it. */
export interface World {
  readonly name: "jetemail" | "smtp2go" | "voiceable"
  readonly inPlace: boolean
  /** Every key but the manager's own. */
  readonly keys: Effect.Effect<ReadonlyArray<TrueKey>>
  /** How many mints of programs reached the vendor and were carried out. */
  readonly mints: Effect.Effect<number>
  /** How many requests of programs arrived. */
  readonly requests: Effect.Effect<number>
  readonly app: HttpSandbox.App
  /** The reply that the vendor would give to a program that asks for its list now. */
  readonly listing: Effect.Effect<string>
  readonly client: HttpClient.HttpClient
  /**
   * The vendor's layer, and a probe that tells the truth; `label` is the account's name in every ref. Where handles are hashed,
   * `handleKey` is what with.
   */
  readonly account: (client: HttpClient.HttpClient, label?: string, handleKey?: string) => Account
  /** A key that is there before the test begins. */
  readonly first: Effect.Effect<{ readonly ref: KeyRef; readonly secret: Redacted.Redacted<string> }>
  readonly isMint: (request: HttpClientRequest.HttpClientRequest) => boolean
  readonly isList: (request: HttpClientRequest.HttpClientRequest) => boolean
  /** The key that a request reads or changes, where it names one. */
  readonly names: (request: HttpClientRequest.HttpClientRequest) => string | undefined
  /** Whether it only reads. */
  readonly isRead: (request: HttpClientRequest.HttpClientRequest) => boolean
  /** Whether a request carries the manager's credential. */
  readonly isSigned: (request: HttpClientRequest.HttpClientRequest) => boolean
  /** What people do in the dashboard; nothing happens to a key that does not exist. */
  readonly people: {
    readonly disable: OnKey
    readonly enable: OnKey | undefined
    readonly remove: OnKey
    /** Lets it do less, and lets it do more. */
    readonly narrow: OnKey
    readonly widen: OnKey
    readonly rename: (address: string, name: string) => Effect.Effect<void>
    /** A new secret, in place; gives its address. */
    readonly rotate: ((address: string) => Effect.Effect<string | undefined>) | undefined
    /** Makes a key of this name. */
    readonly add: (name: string) => Effect.Effect<string>
  }
  /** Other habits of the vendor's list. */
  readonly setMasked: ((masked: boolean) => Effect.Effect<void>) | undefined
  readonly setLegacy: ((legacy: boolean) => Effect.Effect<void>) | undefined
  /** The manager's credential stops working, and works again. */
  readonly setBroken: (broken: boolean) => Effect.Effect<void>
  /** Secrets that must not be seen anywhere, beside those of the keys. */
  readonly credential: string
}

const clientOf = (app: HttpSandbox.App) =>
  Effect.map(Effect.scoped(Layer.build(Sandbox.layerClient(app))), (context) =>
    Context.get(context, HttpClient.HttpClient)
  )

const refOf = (provider: string, value: string) =>
  new KeyRef({ provider, account: "main", value: Redacted.make(value) })

const common = { rateLimit: false, retry: false } as const

/** Marks a request as one of a person, so that it does not count as the program's. */
const byHand = "x-by-hand"

const pathOf = ({ url }: HttpClientRequest.HttpClientRequest) => new URL(url).pathname

const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest): unknown =>
  body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(body.body)) : undefined

const fieldOf = (request: HttpClientRequest.HttpClientRequest, field: string): string | undefined => {
  const body = bodyOf(request)
  const value = Predicate.isReadonlyObject(body) ? body[field] : undefined
  return typeof value === "string" ? value : undefined
}

/** What the vendor answers a person. */
const textOf = (client: HttpClient.HttpClient, request: HttpClientRequest.HttpClientRequest) =>
  client.execute(HttpClientRequest.setHeader(request, byHand, "yes")).pipe(
    Effect.flatMap(({ text }) => text),
    Effect.orDie
  )

const isProgram = ({ headers }: { readonly headers: Readonly<Record<string, string | undefined>> }) =>
  headers[byHand] === undefined

const spare = "api-api_test_sparefakefakefakefakespa"

export const jetemail: Effect.Effect<World> = Effect.gen(function* () {
  const sandbox = yield* JetEmailSandbox.make({ requestsPerMinute: 1_000_000 })
  const client = yield* clientOf(sandbox.app)
  const credential = Redacted.value(sandbox.credential)
  const root = "https://api.jetemail.com/outbound/transactional-keys"
  const ask = (request: HttpClientRequest.HttpClientRequest, body: unknown) =>
    client.execute(
      request.pipe(
        HttpClientRequest.setHeader(byHand, "yes"),
        HttpClientRequest.bearerToken(credential),
        HttpClientRequest.bodyJsonUnsafe(body)
      )
    )
  const change = (body: { readonly api_token: string }) =>
    Effect.asVoid(Effect.exit(ask(HttpClientRequest.patch(root), body)))
  const account: World["account"] = (http, label = "main", handleKey = "api_test_handle_key") => ({
    keys: JetEmail.layer({
      ...common,
      handleKey: Redacted.make(handleKey),
      apiKey: sandbox.credential,
      account: label,
      defaults: { domains: "any", ips: "any", quota: "unlimited" }
    }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http))),
    verify: ({ secret }) =>
      Effect.map(sandbox.isLive(Redacted.value(secret)), (live) => (live ? "accepted" : "rejected"))
  })
  return {
    name: "jetemail",
    inPlace: true,
    app: sandbox.app,
    listing: textOf(client, HttpClientRequest.bearerToken(HttpClientRequest.get(root), credential)),
    client,
    keys: Effect.map(sandbox.keys, (keys) =>
      keys.map((key) => ({
        address: key.token,
        secret: key.token,
        identity: key.uuid,
        alive: key.status === "active",
        settings: JSON.stringify([key.allowAllDomains, key.approvedDomains, key.quota, key.ipRestrictions]),
        name: key.name,
        marker: markerOf(key.name)
      }))
    ),
    mints: Effect.map(
      sandbox.requests,
      (requests) => requests.filter((made) => isProgram(made) && made.method === "POST" && made.status === 200).length
    ),
    requests: Effect.map(sandbox.requests, (requests) => requests.filter(isProgram).length),
    account,
    first: Effect.map(
      sandbox.addKey({ name: "tenant-42", approvedDomains: ["acme.com"], quota: 1000 }),
      ({ token }) => ({
        ref: refOf("jetemail", token),
        secret: Redacted.make(token)
      })
    ),
    isMint: ({ method }) => method === "POST",
    isList: ({ method }) => method === "GET",
    isRead: ({ method }) => method === "GET",
    names: (request) => fieldOf(request, "api_token"),
    isSigned: ({ headers }) => headers.authorization === `Bearer ${credential}`,
    people: {
      disable: (token) => change({ api_token: token, ...{ status: 0 } }),
      enable: (token) => change({ api_token: token, ...{ status: 1 } }),
      remove: sandbox.removeKey,
      narrow: (token) => change({ api_token: token, ...{ quota: 10 } }),
      widen: (token) => change({ api_token: token, ...{ quota: 100_000 } }),
      rename: (token, name) => change({ api_token: token, ...{ name } }),
      rotate: (token) =>
        ask(HttpClientRequest.post(`${root}/rotate`), { api_token: token }).pipe(
          Effect.flatMap(({ json }) => json),
          Effect.map((body) =>
            Predicate.isReadonlyObject(body) && typeof body.api_token === "string" ? body.api_token : undefined
          ),
          Effect.orElseSucceed(() => undefined)
        ),
      add: (name) => Effect.map(sandbox.addKey({ name }), ({ token }) => token)
    },
    setMasked: sandbox.setMasked,
    setLegacy: (legacy) => sandbox.setListFormat(legacy ? "legacy" : "current"),
    setBroken: (broken) => sandbox.setCredential(broken ? spare : credential),
    credential
  } satisfies World
})

export const smtp2go: Effect.Effect<World> = Effect.gen(function* () {
  const sandbox = yield* MailerPatchSandbox.make({
    addsPerMinute: 1_000_000,
    requestsPerMinute: 1_000_000,
    errorsPerMinute: 1_000_000
  })
  const client = yield* clientOf(sandbox.app)
  const credential = Redacted.value(sandbox.credential)
  const edit = (secret: string, changes: Parameters<typeof sandbox.editKey>[1]) =>
    Effect.flatMap(sandbox.keys, (keys) =>
      keys.some((key) => key.secret === secret) ? Effect.asVoid(sandbox.editKey(secret, changes)) : Effect.void
    )
  const account: World["account"] = (http, label = "main") => ({
    keys: MailerPatch.layer({
      ...common,
      apiKey: sandbox.credential,
      account: label,
      defaults: { rate: "unlimited" }
    }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http))),
    verify: ({ secret }) =>
      Effect.map(sandbox.isLive(Redacted.value(secret)), (live) => (live ? "accepted" : "rejected"))
  })
  return {
    name: "smtp2go",
    inPlace: false,
    app: sandbox.app,
    listing: textOf(
      client,
      HttpClientRequest.post("https://api.smtp2go.com/v3/api_keys/view").pipe(
        HttpClientRequest.setHeader("x-smtp2go-api-key", credential),
        HttpClientRequest.bodyJsonUnsafe({})
      )
    ),
    client,
    keys: Effect.map(sandbox.keys, (keys) =>
      keys
        .filter(({ secret }) => secret !== credential && secret !== spare)
        .map(({ description, secret, sendingStatus: _, status, username, ...settings }) => ({
          address: secret,
          handle: username,
          secret,
          alive: status === "allowed",
          settings: JSON.stringify(settings),
          name: description ?? "",
          marker: markerOf(description ?? "")
        }))
    ),
    mints: Effect.map(
      sandbox.requests,
      (requests) => requests.filter(({ path, status }) => path.endsWith("/add") && status === 200).length
    ),
    requests: Effect.map(sandbox.requests, (requests) => requests.filter(isProgram).length),
    account,
    first: Effect.map(sandbox.addKey({ description: "tenant-42", endpoints: ["/email/send"] }), ({ secret }) => ({
      ref: refOf("smtp2go", secret),
      secret: Redacted.make(secret)
    })),
    isMint: (request) => pathOf(request).endsWith("/add"),
    isList: (request) => pathOf(request).endsWith("/view") && fieldOf(request, "id") === undefined,
    isRead: (request) => pathOf(request).endsWith("/view"),
    names: (request) => fieldOf(request, "id"),
    isSigned: ({ headers }) => headers["x-smtp2go-api-key"] === credential,
    people: {
      disable: (secret) => edit(secret, { status: "blocked" }),
      enable: (secret) => edit(secret, { status: "allowed" }),
      remove: sandbox.removeKey,
      narrow: (secret) => edit(secret, { endpoints: ["/stats/email_summary"] }),
      widen: (secret) => edit(secret, { endpoints: ["/email/send", "/email/mime"] }),
      rename: (secret, description) => edit(secret, { description }),
      rotate: undefined,
      add: (description) => Effect.map(sandbox.addKey({ description }), ({ secret }) => secret)
    },
    setMasked: undefined,
    setLegacy: undefined,
    setBroken: (broken) => sandbox.setCredential(broken ? spare : credential),
    credential
  } satisfies World
})

export const voiceable: Effect.Effect<World> = Effect.gen(function* () {
  const sandbox = yield* VoiceableSandbox.make({ requestsPerMinute: 1_000_000 })
  const client = yield* clientOf(sandbox.app)
  const credential = Redacted.value(sandbox.credential)
  const root = "https://voiceable.example/api/v1"
  const change = (id: string, fields: Readonly<Record<string, unknown>>) =>
    client
      .execute(
        HttpClientRequest.put(`${root}/api_keys/${id}`).pipe(
          HttpClientRequest.setHeaders({ [byHand]: "yes", "x-api-key": credential }),
          HttpClientRequest.bodyJsonUnsafe({ api_key: fields })
        )
      )
      .pipe(Effect.exit, Effect.asVoid)
  const account: World["account"] = (http, label = "main") => ({
    keys: Voiceable.layer({
      ...common,
      apiKey: sandbox.credential,
      account: label,
      baseUrl: root,
      defaults: { origins: "any", resources: "any", keyType: "private" }
    }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http))),
    verify: ({ secret }) =>
      Effect.map(sandbox.isLive(Redacted.value(secret)), (live) => (live ? "accepted" : "rejected"))
  })
  return {
    name: "voiceable",
    inPlace: false,
    app: sandbox.app,
    listing: textOf(
      client,
      HttpClientRequest.setHeader(HttpClientRequest.get(`${root}/api_keys`), "x-api-key", credential)
    ),
    client,
    keys: Effect.map(sandbox.keys, (keys) =>
      keys
        .filter(({ keyValue, userId }) => keyValue !== credential && keyValue !== spare && userId === 1)
        .map((key) => ({
          address: String(key.id),
          handle: `voiceable_${key.id}`,
          secret: key.keyValue,
          alive: true,
          settings: JSON.stringify([key.keyType, key.allowedOrigins, key.allowedAssistants, key.transientAssistant]),
          name: key.name,
          marker: markerOf(key.name)
        }))
    ),
    mints: Effect.map(
      sandbox.requests,
      (requests) => requests.filter(({ method, status }) => method === "POST" && status < 300).length
    ),
    requests: Effect.map(sandbox.requests, (requests) => requests.filter(isProgram).length),
    account,
    first: Effect.map(
      sandbox.addKey({ name: "tenant-42", allowedOrigins: ["https://acme.com"] }),
      ({ id, keyValue }) => ({ ref: refOf("voiceable", String(id)), secret: Redacted.make(keyValue) })
    ),
    isMint: ({ method }) => method === "POST",
    isList: (request) => request.method === "GET" && pathOf(request).endsWith("/api_keys"),
    isRead: ({ method }) => method === "GET",
    names: (request) => /\/api_keys\/(\d+)$/.exec(pathOf(request))?.[1],
    isSigned: ({ headers }) => headers["x-api-key"] === credential,
    people: {
      // There are no states: to shut a key off is to delete it.
      disable: (id) => sandbox.removeKey(Number(id)),
      enable: undefined,
      remove: (id) => sandbox.removeKey(Number(id)),
      narrow: (id) => change(id, { allowed_assistants: ["assistant-1"] }),
      widen: (id) => change(id, { allowed_origins: ["https://acme.com", "https://acme.org"] }),
      rename: (id, name) => change(id, { name }),
      rotate: undefined,
      add: (name) => Effect.map(sandbox.addKey({ name }), ({ id }) => String(id))
    },
    setMasked: undefined,
    setLegacy: undefined,
    setBroken: (broken) => sandbox.setCredential(broken ? spare : credential),
    credential
  } satisfies World
})

export const worlds = { jetemail, smtp2go, voiceable }
export const names = ["jetemail", "smtp2go", "voiceable"] as const
export const kinds = ["rotate", "replace"] as const
