/** The same calls with Effect's own `HttpClient` and `Schema`, and nothing of ours. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { credential, keysPath, rotatePath, timeout, token, type Verb } from "./vendor.ts"

const Token = Schema.String.check(Schema.isPattern(/^transactional_[\x21-\x7e]+$/))
const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(64), Schema.isPattern(/^[A-Za-z0-9_ -]+$/))
const Domain = Schema.String.check(Schema.isMaxLength(253), Schema.isPattern(/^[a-z0-9.-]+\.[a-z]{2,}$/i))
const fields = {
  allowAllDomains: Schema.optionalKey(Schema.Boolean),
  approvedDomains: Schema.optionalKey(Schema.Array(Domain).check(Schema.isMaxLength(253))),
  ipRestrictions: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMaxLength(50))),
  quota: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })))
}

const CreateRequest = Schema.Struct({ name: Name, ...fields })
const UpdateRequest = Schema.Struct({ api_token: Token, ...fields })
const TokenRequest = Schema.Struct({ api_token: Token })
const TokenReply = Schema.Struct({
  success: Schema.optionalKey(Schema.Literal(true)),
  api_token: Schema.RedactedFromValue(Token)
})
const Acknowledged = Schema.Struct({ success: Schema.Literal(true) })

const secret = Redacted.make(credential)

const endpoint = <Body, A>(
  method: "POST" | "PATCH",
  path: string,
  body: Schema.Codec<Body, unknown>,
  reply: Schema.Codec<A, unknown>
) => {
  const encode = HttpClientRequest.schemaBodyJson(body)
  const decode = HttpClientResponse.schemaBodyJson(reply)
  return (baseUrl: string, value: Body) =>
    HttpClientRequest.make(method)(baseUrl + path, { acceptJson: true }).pipe(
      HttpClientRequest.bearerToken(secret),
      (request) => encode(request, value),
      Effect.flatMap(HttpClient.execute),
      Effect.flatMap(HttpClientResponse.filterStatusOk),
      Effect.flatMap(decode),
      Effect.timeout(timeout)
    )
}

const create = endpoint("POST", keysPath, CreateRequest, TokenReply)
const patch = endpoint("PATCH", keysPath, UpdateRequest, Acknowledged)
const rotate = endpoint("POST", rotatePath, TokenRequest, TokenReply)

const domains = { allowAllDomains: false, approvedDomains: ["acme.example"], quota: 500 }

/** One call, made anew each time, as a program does that is given its arguments. */
export const call = (baseUrl: string, verb: Verb) =>
  Effect.suspend((): Effect.Effect<unknown, unknown, HttpClient.HttpClient> => {
    switch (verb) {
      case "create":
        return create(baseUrl, { name: "acme", ...domains, ipRestrictions: [] })
      case "patch":
        return patch(baseUrl, { api_token: token, ...domains })
      case "rotate":
        return rotate(baseUrl, { api_token: token })
    }
  })
