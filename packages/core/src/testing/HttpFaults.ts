/**
 * What can go wrong between a program and a vendor, on demand.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"

/**
 * One thing that goes wrong.
 *
 * **Details**
 *
 * Before the vendor has the request:
 * - `refused`: nobody listens; provably not sent.
 * - `hang`: no answer ever comes, and the vendor did nothing.
 * - `reset`: the connection breaks; the vendor did nothing, but nobody can know.
 *
 * After the vendor has carried it out:
 * - `resetAfterCommit`, `hangAfterCommit`: the reply is lost.
 * - `truncatedBody`, `notJson`, `emptyBody`, `emptyObject`: the reply cannot be read.
 *
 * Or an answer of its own, with `commit: true` after the vendor has carried out the request: a 429 or 5xx, a redirect,
 * a body of any size.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | "refused"
  | "hang"
  | "reset"
  | "resetAfterCommit"
  | "hangAfterCommit"
  | "truncatedBody"
  | "notJson"
  | "emptyBody"
  | "emptyObject"
  | {
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
      readonly commit?: boolean
    }

/**
 * Which requests a fault strikes: those that match, so many times.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly method?: string
  /** A part of the URL. */
  readonly url?: string
  /** How often; once unless given. */
  readonly times?: number
}

/**
 * A request that went through the injector.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt {
  readonly method: string
  readonly url: string
  readonly fault: Fault | undefined
}

/**
 * Injects faults between a program and its `HttpClient`.
 *
 * @since 0.1.0
 * @category services
 */
export class HttpFaults extends Context.Service<
  HttpFaults,
  {
    /** Lets a fault strike the next requests that match. */
    readonly inject: (fault: Fault, target?: Target) => Effect.Effect<void>
    /** Takes back every fault that has not struck yet. */
    readonly clear: Effect.Effect<void>
    /** Every request so far, in order. */
    readonly attempts: Effect.Effect<ReadonlyArray<Attempt>>
  }
>()("@effect-api-keys/core/testing/HttpFaults") {}

interface Pending {
  readonly fault: Fault
  readonly target: Target
  left: number
}

/** Statuses whose answers have no body, which `Response` insists on. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** An error of the transport, with the code and the system call that Node gives. */
const transportError = (request: HttpClientRequest.HttpClientRequest, code: string, syscall: string) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause: Object.assign(new Error(code), { code, syscall }) })
  })

const strike = (
  fault: Fault,
  request: HttpClientRequest.HttpClientRequest,
  pass: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
  const answer = (status: number, body: string | null, headers: Readonly<Record<string, string>> = {}) =>
    HttpClientResponse.fromWeb(request, new Response(bodiless.has(status) ? null : body, { status, headers }))
  const replaceBody = (change: (text: string) => string) =>
    Effect.flatMap(pass, (response) =>
      Effect.map(response.text, (text) => answer(response.status, change(text), { ...response.headers }))
    )
  switch (fault) {
    case "refused":
      return Effect.fail(transportError(request, "ECONNREFUSED", "connect"))
    case "hang":
      return Effect.never
    case "reset":
      return Effect.fail(transportError(request, "ECONNRESET", "read"))
    case "resetAfterCommit":
      return Effect.andThen(pass, Effect.fail(transportError(request, "ECONNRESET", "read")))
    case "hangAfterCommit":
      return Effect.andThen(pass, Effect.never)
    case "truncatedBody":
      return replaceBody((text) => text.slice(0, Math.floor(text.length / 2)))
    case "notJson":
      return replaceBody(() => "<html><body>502 Bad Gateway</body></html>")
    case "emptyBody":
      return replaceBody(() => "")
    case "emptyObject":
      return replaceBody(() => "{}")
    default: {
      const own = Effect.sync(() => answer(fault.status, fault.body ?? "{}", fault.headers))
      return fault.commit === true ? Effect.andThen(pass, own) : own
    }
  }
}

const matches = ({ left, target }: Pending, request: HttpClientRequest.HttpClientRequest): boolean =>
  left > 0 &&
  (target.method === undefined || target.method === request.method) &&
  (target.url === undefined || request.url.includes(target.url))

/**
 * Puts the injector between the program and the `HttpClient` of the context.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpFaults | HttpClient.HttpClient, never, HttpClient.HttpClient> = Layer.effectContext(
  Effect.map(HttpClient.HttpClient, (client) => {
    const attempts: Array<Attempt> = []
    let pending: Array<Pending> = []
    const faulty = HttpClient.transform(client, (pass, request) =>
      Effect.suspend(() => {
        const next = pending.find((entry) => matches(entry, request))
        attempts.push({ method: request.method, url: request.url, fault: next?.fault })
        if (next === undefined) return pass
        next.left--
        return strike(next.fault, request, pass)
      })
    )
    return Context.make(HttpClient.HttpClient, faulty).pipe(
      Context.add(
        HttpFaults,
        HttpFaults.of({
          inject: (fault, target = {}) =>
            Effect.sync(() => {
              pending.push({ fault, target, left: target.times ?? 1 })
            }),
          clear: Effect.sync(() => {
            pending = []
          }),
          attempts: Effect.sync(() => [...attempts])
        })
      )
    )
  })
)
