/**
 * A vendor in memory, at the HTTP level, and the two doors to it.
 *
 * A sandbox is written once as an {@link App} and reached either in process ({@link layerClient}: no socket, and the
 * test's own clock) or through a real server ({@link serve}: any HTTP client, any language).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"

/**
 * What a vendor answers: every request, whatever its path, gets a response and never a failure.
 *
 * @since 0.1.0
 * @category models
 */
export type App = Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

/**
 * The in-process door: an `HttpClient` whose every request is answered by `app`, whatever its host.
 *
 * **Details**
 *
 * The app runs on the caller's fiber, so it sees the caller's `Clock` (a `TestClock` in tests) and is interrupted with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (app: App): Layer.Layer<HttpClient.HttpClient> =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) => {
      const serverRequest = HttpServerRequest.fromClientRequest(request)
      return app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, serverRequest),
        Effect.map((response) => HttpServerResponse.toClientResponse(response, { request }))
      )
    })
  )

/**
 * The network door: serves `app` on the `HttpServer` from the context.
 *
 * @since 0.1.0
 * @category layers
 */
export const serve = (app: App): Layer.Layer<never, never, HttpServer.HttpServer> => HttpServer.serve(app)

/**
 * A request's body, as a vendor meets it.
 *
 * @since 0.1.0
 * @category models
 */
export type Body =
  | { readonly _tag: "None" }
  | { readonly _tag: "Malformed" }
  | { readonly _tag: "Json"; readonly value: unknown }

/**
 * Parses a body's text as JSON.
 *
 * @since 0.1.0
 * @category requests
 */
export const parseBody = (text: string): Body =>
  text === ""
    ? { _tag: "None" }
    : Result.match(
        Result.try((): unknown => JSON.parse(text)),
        { onSuccess: (value): Body => ({ _tag: "Json", value }), onFailure: (): Body => ({ _tag: "Malformed" }) }
      )

/**
 * Reads a request's body; one that cannot be read is as malformed as one that cannot be parsed.
 *
 * @since 0.1.0
 * @category requests
 */
export const readBody = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Body> =>
  request.text.pipe(
    Effect.map(parseBody),
    Effect.orElseSucceed((): Body => ({ _tag: "Malformed" }))
  )
