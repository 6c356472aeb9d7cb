import { assert, describe, it } from "@effect/vitest"
import { MailerPatchSandbox } from "@effect-api-keys/mailer-patch/testing"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { formatPeriod, parsePeriod } from "../src/internal/period.ts"
import { checkKey, isWholeKey, looksLikeKey, usernameLength, usernameOf } from "../src/internal/secret.ts"
import { checkEndpoint, isEmail, isFooter } from "../src/internal/validators.ts"
import { readKeys, readRefusal, salvageKey } from "../src/MailerPatchSchema.ts"

const passes = (check: (value: string) => Result.Result<string, string>) => (value: string) =>
  Result.isSuccess(check(value))

/** Each check as a question, and what is known to be right, by another way of asking. */
const isEndpoint = passes(checkEndpoint)
const isKey = passes(checkKey)
const isPeriod = (text: string) => Option.isSome(parsePeriod(text))

const within = (alphabet: string) => {
  const known = new Set(alphabet)
  return (text: string) => Array.from(text).every((character) => known.has(character))
}
const lower = "abcdefghijklmnopqrstuvwxyz"
const digits = "0123456789"
const letters = `${lower}${lower.toUpperCase()}`

const isSegment = within(`${lower}${digits}_-`)
const endpointByHand = (text: string): boolean => {
  if (text.length > 200) return false
  const [first, ...segments] = text.split("/")
  if (first !== "" || segments.length === 0) return false
  const named = segments.at(-1) === "*" ? segments.slice(0, -1) : segments
  return named.length > 0 && named.every((segment) => segment !== "" && isSegment(segment))
}

const isLocal = within(`${letters}${digits}.!#$%&'*+/=?^_\`{|}~-`)
const isLabel = within(`${letters}${digits}-`)
const emailByHand = (text: string): boolean => {
  const at = text.indexOf("@")
  if (at < 1 || at > 64 || at !== text.lastIndexOf("@") || text.length > 254 || !isLocal(text.slice(0, at)))
    return false
  const labels = text.slice(at + 1).split(".")
  return (
    labels.length > 1 &&
    labels.every(
      (label) => label !== "" && label.length < 64 && isLabel(label) && !label.startsWith("-") && !label.endsWith("-")
    )
  )
}

const isWord = within(`${letters}_`)
const footerByHand = (text: string): boolean => {
  if (text.length > 50_000 || !text.isWellFormed()) return false
  let from = 0
  for (;;) {
    const start = text.indexOf("%%", from)
    if (start < 0) return true
    const end = text.indexOf("%%", start + 2)
    const name = end < 0 ? "" : text.slice(start + 2, end)
    if (name !== "" && name.length <= 40 && isWord(name)) {
      if (name !== "UNSUBSCRIBE" && name !== "EMAIL") return false
      from = end + 2
    } else from = start + 1
  }
}

const textOf = (alphabet: ReadonlyArray<string>, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map((parts) => parts.join(""))

const nearEndpoint = textOf(["/", "/", "/email", "/send", "a", "-", "_", "9", "*", "/*", ".", "A", " ", "é", "\n"], 12)
const nearLabel = textOf(["a", "b9", "-", "acme", "x".repeat(62)], 3)
const nearEmail = fc.oneof(
  textOf(["@", "a", "b", ".", ".", "-", "acme", "+", "'", `"`, " ", "é", "\n", "<", ","], 10),
  fc
    .tuple(textOf(["a", "Z9", ".", "+", "_", "x".repeat(31), " "], 4), fc.array(nearLabel, { maxLength: 5 }))
    .map(([local, labels]) => `${local}@${labels.join(".")}`)
)
const nearFooter = textOf(
  ["%", "%%", "%%", "UNSUBSCRIBE", "EMAIL", "email", "X", "_", "1", " ", "<p>", "é", "\ud800", "x".repeat(20)],
  10
)
const nearKey = fc
  .tuple(
    fc.constantFrom("api-", "api-", "api-", "api", "API-", ""),
    textOf(["a1B2", "-", "0".repeat(12), "0".repeat(12), "x".repeat(2040), "_", ".", "..", "*", " ", "é", "\n"], 4)
  )
  .map((parts) => parts.join(""))

interface Case {
  readonly name: string
  readonly check: (text: string) => boolean
  readonly near: fc.Arbitrary<string>
  readonly byHand: (text: string) => boolean
}

const checks: ReadonlyArray<Case> = [
  { name: "checkEndpoint", check: isEndpoint, near: nearEndpoint, byHand: endpointByHand },
  { name: "isEmail", check: isEmail, near: nearEmail, byHand: emailByHand },
  { name: "isFooter", check: isFooter, near: nearFooter, byHand: footerByHand },
  {
    name: "checkKey",
    check: isKey,
    near: nearKey,
    byHand: (text) =>
      text.startsWith("api-") &&
      text.length > 16 &&
      text.length <= 4096 &&
      Array.from(text).every((character) => character > " " && character < "\u007f" && character !== "*") &&
      !text.includes("..")
  }
]

describe("checkEndpoint", () => {
  it("accepts", () => {
    for (const endpoint of [
      "/email/send",
      "/email/*",
      "/stats/email_summary",
      "/api_keys/add",
      "/a",
      "/a/*",
      "/ip-auth/v2/edit",
      `/${"a".repeat(199)}`
    ]) {
      assert.deepStrictEqual(checkEndpoint(endpoint), Result.succeed(endpoint))
    }
  })

  it("refuses, and says what to write", () => {
    for (const all of ["*", "/*"]) {
      const result = checkEndpoint(all)
      assert(Result.isFailure(result))
      assert.include(result.failure, `"any"`)
    }
    for (const endpoint of [
      "",
      "/",
      "//",
      "email/send",
      "/email/",
      "/email*",
      "/*/send",
      "/email/**",
      "/email/*/x",
      "/Email",
      "/email/send ",
      "/email/send\n",
      "/email/send?x",
      "/email/send#x",
      "/../add",
      "/%2e",
      "/é",
      `/${"a".repeat(200)}`
    ]) {
      const result = checkEndpoint(endpoint)
      assert(Result.isFailure(result), endpoint)
      assert.include(result.failure, "/email/send")
    }
  })
})

describe("isEmail", () => {
  it("accepts", () => {
    for (const email of [
      "a@b.cd",
      "audit+smtp2go@acme.example",
      "o'neil@mail.acme.example",
      "A.B@ACME.EXAMPLE",
      `${"a".repeat(64)}@acme.example`,
      `a@${"b".repeat(63)}.example`,
      "a@xn--bcher-kva.example"
    ]) {
      assert.isTrue(isEmail(email), email)
    }
  })

  it("refuses", () => {
    for (const email of [
      "",
      "a",
      "@",
      "a@",
      "@b.cd",
      "a@b",
      "a@b.",
      "a@.b",
      "a@b..c",
      "a@-b.cd",
      "a@b-.cd",
      "a@@b.cd",
      "a@b.cd@e.fg",
      "a b@c.de",
      "a@b.cd ",
      "a@b.cd\n",
      "a@b.cd\r\nBcc: x@y.z",
      "A <a@b.cd>",
      `"a b"@c.de`,
      "a@[192.0.2.1]",
      "a@bücher.example",
      "é@b.cd",
      "a,b@c.de",
      "a@b.cd,e@f.gh",
      "a@b_c.de",
      `${"a".repeat(65)}@acme.example`,
      `a@${"b".repeat(64)}.example`,
      `a@${"b.".repeat(130)}cd`
    ]) {
      assert.isFalse(isEmail(email), email)
    }
  })
})

describe("isFooter", () => {
  it("accepts", () => {
    for (const text of [
      "",
      "plain",
      "<a href='%%UNSUBSCRIBE%%'>%%EMAIL%%</a>",
      "100%",
      "100%% sure",
      "%%UNSUBSCRIBE%%%%EMAIL%%",
      "a".repeat(50_000)
    ]) {
      assert.isTrue(isFooter(text), text.slice(0, 80))
    }
  })

  it("refuses a variable that is not one, wherever it stands", () => {
    for (const text of [
      "%%NAME%%",
      "%%unsubscribe%%",
      "%%UNSUBSCRIBE_URL%%",
      "%%EMAIL%% %%NAME%%",
      "50%%%%NAME%%",
      "%%UNSUBSCRIBE%%%%NAME%%",
      "half \udc00",
      "a".repeat(50_001)
    ]) {
      assert.isFalse(isFooter(text), text.slice(0, 80))
    }
  })
})

describe("keys", () => {
  const key = "api-api_test_00000000000000000000000"

  it("a whole key is one; its username and its mask are none, nor is another's", () => {
    assert.deepStrictEqual(checkKey(key), Result.succeed(key))
    assert.isTrue(looksLikeKey(key))
    for (const text of [
      usernameOf(key),
      `${usernameOf(key)}${"*".repeat(20)}`,
      `${usernameOf(key)}…`,
      `${usernameOf(key)}....`,
      "api-",
      "",
      `API-${key.slice(4)}`,
      ` ${key}`,
      `${key}\n`,
      `${key}\u0000`,
      "transactional_api_test_00000000000000",
      `api-${"0".repeat(4093)}`
    ]) {
      const result = checkKey(text)
      assert(Result.isFailure(result), text)
      if (text.length > 4) assert.notInclude(result.failure, text)
      assert.isFalse(looksLikeKey(text))
    }
    assert.isTrue(isWholeKey(key.slice(0, 17)))
    // In a reply of an unknown shape only what has the documented length is taken for a key.
    assert.isFalse(looksLikeKey(key.slice(0, 35)))
    assert.isFalse(looksLikeKey(`${key}0`))
    assert.isFalse(looksLikeKey(`${key.slice(0, 35)}.`))
  })

  it("a username says no more than the vendor's own", () => {
    assert.strictEqual(usernameLength, 16)
    fc.assert(
      fc.property(fc.string({ minLength: 17, maxLength: 60 }), (text) => usernameOf(`api-${text}`).length === 16)
    )
  })
})

for (const { name, check, near, byHand } of checks) {
  describe(`${name}, for all strings`, () => {
    it("says what a reading by hand says", () => {
      const said = { false: 0, true: 0 }
      fc.assert(
        fc.property(near, (text) => {
          const accepted = check(text)
          said[`${accepted}`]++
          assert.strictEqual(accepted, byHand(text), JSON.stringify(text))
        }),
        { numRuns: 5000 }
      )
      assert.isAbove(Math.min(said.true, said.false), 20, "the property hardly ever met one side")
    })

    it("never throws", () => {
      fc.assert(
        fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
          check(text)
        }),
        { numRuns: 1000 }
      )
    })
  })
}

it("no message holds the value", () => {
  fc.assert(
    fc.property(fc.oneof(nearEndpoint, nearKey, fc.string()), fc.boolean(), (value, before) => {
      const marked = before ? `q7z${value}` : `${value}Q7Z`
      for (const result of [checkEndpoint(marked), checkKey(marked)]) {
        if (Result.isFailure(result)) assert.notInclude(result.failure.toLowerCase(), "q7z")
      }
    }),
    { numRuns: 1000 }
  )
})

describe("hostile input", () => {
  /** Whether it takes a moment, at best of five: what is quadratic takes a minute at these sizes. */
  const isFast = (work: () => unknown): boolean =>
    [1, 2, 3, 4, 5].some(() => {
      const start = performance.now()
      work()
      return performance.now() - start < 150
    })
  const pieces = [
    "a",
    "/",
    "/a",
    "/a/*",
    "a.",
    "a@",
    "@",
    "-",
    ".",
    "%",
    "%%",
    "%%a",
    "%%EMAIL%%",
    "1",
    "1 ",
    "1:",
    "0:30:00 ",
    " ",
    "api-",
    "*",
    "..",
    "é",
    "\ud800",
    `"api_key":"`,
    `"api_key"        :        `,
    `"api_key":"api-`,
    `{"data":`,
    "[",
    "\n"
  ]
  const size = 200_000
  const runs: ReadonlyArray<readonly [name: string, run: (text: string) => unknown]> = [
    ["checkEndpoint", checkEndpoint],
    ["isEmail", isEmail],
    ["isFooter", isFooter],
    ["isFooter, just short enough", (text) => isFooter(text.slice(0, 50_000))],
    ["checkKey", checkKey],
    ["checkKey, just short enough", (text) => checkKey(`api-${text}`.slice(0, 4096))],
    ["looksLikeKey", looksLikeKey],
    ["parsePeriod", parsePeriod],
    ["salvageKey, of text", salvageKey],
    ["salvageKey, of JSON", (text) => salvageKey({ data: [text] })],
    ["readRefusal", (text) => readRefusal({ data: { error: text, error_code: text } })],
    ["readKeys", (text) => readKeys({ data: [{ api_key: text, username: text, custom_ratelimit_period: text }] })]
  ]
  for (const [name, run] of runs) {
    it(`${name} takes a moment for 200 kB`, () => {
      for (const piece of pieces) {
        const text = piece.repeat(Math.ceil(size / piece.length))
        for (const value of [text, `${text}!`, `/${text}`, `1 hour ${text}`]) {
          assert.isTrue(
            isFast(() => run(value)),
            `${name} of ${JSON.stringify(piece)}`
          )
        }
      }
    })
  }

  it("a period of any numbers is said or refused, and never throws", () => {
    const amount = fc.oneof(
      fc.integer({ min: 1, max: 99 }),
      fc.maxSafeNat().map((value) => Math.max(1, value))
    )
    fc.assert(
      fc.property(
        fc.record(
          { months: amount, weeks: amount, days: amount, hours: amount, minutes: amount, seconds: amount },
          { requiredKeys: ["days"] }
        ),
        (period) => {
          const said = formatPeriod(period)
          if (Result.isSuccess(said)) assert.isTrue(isPeriod(said.success), said.success)
          else assert.isBelow(said.failure.length, 120)
        }
      ),
      { numRuns: 2000 }
    )
  })

  it("salvaged is only a key that is the one of its reply", () => {
    const key = "api-api_test_00000000000000000000000"
    const other = "api-api_test_00000000000000000000001"
    for (const [reply, expected] of [
      [{ a: { b: { c: key } } }, key],
      [[key, key], key],
      [[key, other], undefined],
      [{ a: { b: { c: { d: { e: key } } } } }, undefined],
      [`"api_key":"${key}"`, key],
      [`{"api_key" : "${key}", "api_key":"${key}"`, key],
      [`{"api_key":"${key}","api_key":"${other}"`, undefined],
      [`{"api_key":"${key}`, undefined],
      [`{"old":"${key}"`, undefined],
      [`x ${key} y`, undefined],
      [key, key],
      [{ data: { error: "no" }, key }, undefined],
      [{ error_code: "E", key }, undefined],
      [undefined, undefined],
      [null, undefined],
      [7, undefined]
    ] as const) {
      const [found] = readKeys(Option.getOrUndefined(salvageKey(reply)))
      assert.strictEqual(
        found === undefined ? undefined : Option.getOrUndefined(Option.map(found.key, Redacted.value)),
        expected,
        JSON.stringify(reply)
      )
    }
  })
})

describe("the vendor", () => {
  it.effect("takes everything that the checks let through", () =>
    Effect.gen(function* () {
      const { credential } = yield* MailerPatchSandbox.MailerPatchSandbox
      const add = HttpClientRequest.post("https://api.smtp2go.com/v3/api_keys/add").pipe(
        HttpClientRequest.setHeader("x-smtp2go-api-key", Redacted.value(credential))
      )
      const values = (arbitrary: fc.Arbitrary<string>, check: (text: string) => boolean, seed: number) =>
        fc.sample(arbitrary, { numRuns: 1000, seed }).filter(check)
      const period = fc.record(
        {
          weeks: fc.integer({ min: 1, max: 60 }),
          hours: fc.integer({ min: 1, max: 90 }),
          seconds: fc.integer({ min: 1, max: 90_000 })
        },
        { requiredKeys: ["hours"] }
      )
      const played = [
        ...values(nearEndpoint, isEndpoint, 1).map((one) => ({ endpoints: [one] })),
        ...values(nearEmail, isEmail, 2).map((one) => ({ audit_email: one, bounce_notifications: one })),
        ...values(nearFooter, isFooter, 3).map((one) => ({ feedback_html: one, feedback_text: one })),
        ...fc.sample(period, { numRuns: 200, seed: 4 }).map((one) => ({
          custom_ratelimit: true,
          custom_ratelimit_value: 1,
          custom_ratelimit_period: Result.getOrThrow(formatPeriod(one))
        }))
      ]
      assert.isAbove(played.length, 600)
      for (const body of played) {
        const response = yield* HttpClient.execute(HttpClientRequest.bodyJsonUnsafe(add, body))
        assert.strictEqual(response.status, 200, JSON.stringify(body))
      }
    }).pipe(
      Effect.provide(
        MailerPatchSandbox.layerClient({
          addsPerMinute: Number.POSITIVE_INFINITY,
          requestsPerMinute: Number.POSITIVE_INFINITY
        })
      )
    )
  )
})
