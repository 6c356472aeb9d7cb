/** An `HttpClient` that costs next to nothing: it answers in the same step, with bytes that are there already. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { replies, rotatePath } from "./vendor.ts"

const encoder = new TextEncoder()
const create = encoder.encode(JSON.stringify(replies.create))
const patch = encoder.encode(JSON.stringify(replies.patch))
const rotate = encoder.encode(JSON.stringify(replies.rotate))

const replyTo = ({ method, url }: HttpClientRequest): Uint8Array =>
  method === "PATCH" ? patch : url.endsWith(rotatePath) ? rotate : create

/** What both sides read of a response. */
const respond = (request: HttpClientRequest): HttpClientResponse.HttpClientResponse => {
  const bytes = replyTo(request)
  const text = Effect.sync(() => new TextDecoder().decode(bytes))
  const response = {
    [HttpClientResponse.TypeId]: HttpClientResponse.TypeId,
    request,
    url: request.url,
    status: 200,
    headers: { "content-type": "application/json", "content-length": String(bytes.byteLength) },
    text,
    json: Effect.map(text, (body): unknown => JSON.parse(body)),
    stream: Stream.succeed(bytes)
  }
  // The rest of the interface (cookies, form data, upgrades) is asked for by nobody here.
  return response as unknown as HttpClientResponse.HttpClientResponse
}

export const baseUrl = "http://127.0.0.1"
export const layer = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make((request) => Effect.succeed(respond(request)))
)
