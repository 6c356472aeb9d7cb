/** One origin on loopback that serves a page, its scripts and all three vendors' sandboxes, as no real vendor would let a page in. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import type { HttpSandbox } from "@effect-api-keys/core/testing"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import { VoiceableSandbox } from "@effect-api-keys/voiceable/testing"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Credentials } from "./program.ts"

/** What the page says at its end is posted here. */
const reportPath = "/report"
/** An image of the page: it does not come before the report has, and without it the page has not loaded. */
const heldPath = "/held.png"

/** Runs the bundle in the page itself and in a Web Worker of it. */
const page = (credentials: Credentials) => `<!doctype html>
<title>keys</title>
<link rel="icon" href="data:,">
<img src="${heldPath}" alt="">
<script src="/program.js"></script>
<script>
  const inWorker = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker("/worker.js")
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = ({ message }) => reject(message)
    })
  const ended = (promise) => promise.catch(String)
  const report = async () => {
    const page = await ended(program.run(location.origin, ${JSON.stringify(credentials)}))
    const worker = await ended(inWorker())
    await fetch("${reportPath}", { method: "POST", body: JSON.stringify({ page, worker }) })
  }
  report()
</script>`

const worker = (credentials: Credentials) => `importScripts("/program.js")
program.run(location.origin, ${JSON.stringify(credentials)}).catch(String).then(postMessage)`

const script = (text: string) => HttpServerResponse.text(text, { contentType: "text/javascript" })

export class Origin extends Context.Service<
  Origin,
  {
    readonly url: string
    readonly credentials: Credentials
    /** What the page has posted. */
    readonly report: Effect.Effect<unknown>
    /** The `User-Agent` of every request that a vendor has seen. */
    readonly agents: Effect.Effect<ReadonlyArray<string>>
    /** Keys at the vendors that still work. */
    readonly live: Effect.Effect<number>
  }
>()("@effect-api-keys/test/browser/Origin") {}

/** `program` is a script that makes a global `program` of the bundled module. */
export const layer = (program: string) =>
  Layer.effect(
    Origin,
    Effect.gen(function* () {
      const sandboxes = {
        jetemail: yield* JetEmailSandbox.JetEmailSandbox,
        smtp2go: yield* MailerPatchSandbox.MailerPatchSandbox,
        voiceable: yield* VoiceableSandbox.VoiceableSandbox
      }
      const credentials = {
        jetemail: Redacted.value(sandboxes.jetemail.credential),
        smtp2go: Redacted.value(sandboxes.smtp2go.credential),
        voiceable: Redacted.value(sandboxes.voiceable.credential)
      }
      const report = yield* Deferred.make<unknown>()
      const documents: Readonly<Record<string, HttpServerResponse.HttpServerResponse>> = {
        "/": HttpServerResponse.html(page(credentials)),
        "/program.js": script(program),
        "/worker.js": script(worker(credentials))
      }
      const app: HttpSandbox.App = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (request.url === reportPath) {
          yield* Deferred.complete(report, Effect.orDie(request.json))
          return HttpServerResponse.empty()
        }
        if (request.url === heldPath) return yield* Effect.as(Deferred.await(report), HttpServerResponse.empty())
        if (request.url.startsWith("/outbound/")) return yield* sandboxes.jetemail.app
        if (request.url.startsWith("/v3/")) return yield* sandboxes.smtp2go.app
        if (request.url.startsWith("/api/v1/")) return yield* sandboxes.voiceable.app
        return documents[request.url] ?? HttpServerResponse.empty({ status: 404 })
      })
      yield* Layer.build(HttpServer.serve(app))
      return {
        url: yield* HttpServer.addressFormattedWith(Effect.succeed),
        credentials,
        report: Deferred.await(report),
        agents: Effect.map(
          Effect.all([sandboxes.jetemail.requests, sandboxes.smtp2go.requests, sandboxes.voiceable.requests]),
          (all) => all.flat().map(({ headers }) => headers["user-agent"] ?? "")
        ),
        live: Effect.gen(function* () {
          const jetemail = (yield* sandboxes.jetemail.keys).map(({ token }) => sandboxes.jetemail.isLive(token))
          const smtp2go = (yield* sandboxes.smtp2go.keys).map(({ secret }) => sandboxes.smtp2go.isLive(secret))
          const voiceable = (yield* sandboxes.voiceable.keys).map(({ keyValue }) =>
            sandboxes.voiceable.isLive(keyValue)
          )
          return (yield* Effect.all([...jetemail, ...smtp2go, ...voiceable])).filter(Boolean).length
        })
      }
    })
  ).pipe(
    Layer.provide(JetEmailSandbox.layer()),
    Layer.provide(MailerPatchSandbox.layer()),
    Layer.provide(VoiceableSandbox.layer()),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )
