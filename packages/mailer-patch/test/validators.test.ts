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
import { checkKey, isWholeKey, looksLikeKey, readUsername, usernameOf } from "../src/internal/secret.ts"
import { checkEndpoint, isEmail, isFooter } from "../src/internal/validators.ts"
import { readKeys, readRefusal, salvageKey } from "../src/MailerPatchSchema.ts"

type Sent = Parameters<typeof salvageKey>[1]

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

const isSegment = within(`${lower}${digits}_-`)
const endpointByHand = (text: string): boolean => {
  if (text.length > 200) return false
  const [first, ...segments] = text.split("/")
  if (first !== "" || segments.length === 0) return false
  const named = segments.at(-1) === "*" ? segments.slice(0, -1) : segments
  return named.length > 0 && named.every((segment) => segment !== "" && isSegment(segment))
}

const isAtom = within(`${lower}${digits}!#$%&'*+/=?^_\`{|}~-`)
const isLabel = within(`${lower}${digits}-`)
const emailByHand = (text: string): boolean => {
  const at = text.indexOf("@")
  if (at < 1 || at > 64 || at !== text.lastIndexOf("@") || text.length > 254) return false
  const atoms = text.slice(0, at).split(".")
  const labels = text.slice(at + 1).split(".")
  return (
    atoms.every((atom) => atom !== "" && isAtom(atom)) &&
    labels.length > 1 &&
    Array.from(labels.at(-1) ?? "").some((character) => lower.includes(character)) &&
    labels.every(
      (label) => label !== "" && label.length < 64 && isLabel(label) && !label.startsWith("-") && !label.endsWith("-")
    )
  )
}

const footerByHand = (text: string): boolean => {
  if (text.length > 50_000 || !text.isWellFormed() || text.includes("\r")) return false
  let from = 0
  for (;;) {
    const start = text.indexOf("%%", from)
    if (start < 0) return true
    const end = text.indexOf("%%", start + 2)
    const name = end < 0 ? "" : text.slice(start + 2, end)
    if (name !== "" && name.length <= 40 && !name.includes("%") && name[0]?.trim() !== "") {
      if (name !== "UNSUBSCRIBE" && name !== "EMAIL") return false
      from = end + 2
    } else from = start + 1
  }
}

const textOf = (alphabet: ReadonlyArray<string>, maxLength: number) =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map((parts) => parts.join(""))

const nearEndpoint = textOf(["/", "/", "/email", "/send", "a", "-", "_", "9", "*", "/*", ".", "A", " ", "é", "\n"], 12)
const nearLabel = textOf(["a", "b9", "9", "B", "-", "acme", "x".repeat(62)], 3)
const nearEmail = fc.oneof(
  textOf(["@", "a", "b", ".", ".", "-", "acme", "+", "'", `"`, " ", "é", "\n", "<", ","], 10),
  fc
    .tuple(textOf(["a", "z9", "Z", ".", "+", "_", "x".repeat(31), " "], 4), fc.array(nearLabel, { maxLength: 5 }))
    .map(([local, labels]) => `${local}@${labels.join(".")}`)
)
const nearFooter = textOf(
  [
    "%",
    "%%",
    "%%",
    "UNSUBSCRIBE",
    "EMAIL",
    "email",
    "X",
    "_",
    "1",
    " ",
    "\u2003",
    "<p>",
    "é",
    "\r",
    "\ud800",
    "x".repeat(20)
  ],
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
      text.length >= 32 &&
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
      "a.b@acme.example",
      "a@1.example",
      "a@b.c9",
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
      // A vendor that lower-cases, or drops what it does not understand, would seem to have set another.
      "A@b.cd",
      "a@B.cd",
      "a@b.cD",
      "a..b@c.de",
      ".a@b.cd",
      "a.@b.cd",
      "a@192.0.2.1",
      "a@b.1",
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
      "two\nlines\n",
      "50%% off, then 60%% off",
      `%%${"x".repeat(41)}%%`,
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
      "%%1%%",
      "%%é%%",
      "%%EMAIL %%",
      "%%first name%%",
      "%%{{x}}%%",
      `%%${"x".repeat(40)}%%`,
      "two\r\nlines",
      "\r",
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
    // The vendor's documents speak of 32 characters, once with "api-" in front of them and once with it among them.
    assert.isTrue(isWholeKey(key.slice(0, 32)))
    assert.isFalse(isWholeKey(key.slice(0, 31)))
    // In a reply of an unknown shape only what has the documented length is taken for a key.
    assert.isFalse(looksLikeKey(key.slice(0, 35)))
    assert.isFalse(looksLikeKey(`${key}0`))
    assert.isFalse(looksLikeKey(`${key.slice(0, 35)}.`))
  })

  it("a username says no more than the vendor's own", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12, maxLength: 60 }), (text) => usernameOf(`api-${text}`).length === 16)
    )
  })

  it("a username is read from a mask, or is shown as it is; nothing else is one", () => {
    const username = usernameOf(key)
    for (const shown of [username, `${username}*`, `${username}${"*".repeat(20)}`, `${username}0000****`]) {
      assert.deepStrictEqual(readUsername(shown), Option.some(username), shown)
    }
    assert.deepStrictEqual(readUsername("API-Ab_-9012abcd"), Option.some("API-Ab_-9012abcd"))
    for (const shown of [
      "",
      "*",
      "*".repeat(36),
      key,
      `${username}0`,
      username.slice(0, 15),
      `${username.slice(0, 15)}*`,
      `*${username}`,
      `${username}…`,
      `${username.slice(0, 15)}…****`,
      `${username.slice(0, 15)} ****`,
      `${username.slice(0, 15)}\n****`,
      "smtp-username-00",
      "someone@acme.exa",
      "x".repeat(99)
    ]) {
      assert.deepStrictEqual(readUsername(shown), Option.none(), shown)
    }
  })

  it("whatever is shown, what is read of it is 16 characters, and plain", () => {
    const shown = fc
      .tuple(nearKey, fc.constantFrom("", "*", "*".repeat(20), "…"), fc.string({ maxLength: 4 }))
      .map((parts) => parts.join(""))
    const said = { some: 0, none: 0 }
    fc.assert(
      fc.property(shown, (text) => {
        const [key] = readKeys({ data: [{ api_key: text, username: text }] })
        const read = key === undefined ? Option.none() : key.username
        said[Option.isSome(read) ? "some" : "none"]++
        if (Option.isSome(read)) assert.match(read.value, /^api-[A-Za-z0-9_-]{12}$/i)
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(Math.min(said.some, said.none), 20)
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
  /** What is quadratic takes longer for such a text than the time-out of a test, and what is linear no time. */
  const large = 400_000
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
  const runs: ReadonlyArray<readonly [name: string, run: (text: string) => unknown]> = [
    ["checkEndpoint", checkEndpoint],
    ["isEmail", isEmail],
    ["isFooter", isFooter],
    ["isFooter, just short enough", (text) => isFooter(text.slice(0, 50_000))],
    ["checkKey", checkKey],
    ["checkKey, just short enough", (text) => checkKey(`api-${text}`.slice(0, 4096))],
    ["looksLikeKey", looksLikeKey],
    ["parsePeriod", parsePeriod],
    ["salvageKey, of text", (text) => salvageKey(text, { description: text })],
    ["salvageKey, of JSON", (text) => salvageKey({ data: [{ api_key: text }] }, {})],
    ["readUsername", readUsername],
    ["readRefusal", (text) => readRefusal({ data: { error: text, error_code: text } })],
    ["readKeys", (text) => readKeys({ data: [{ api_key: text, username: text, custom_ratelimit_period: text }] })]
  ]
  for (const [name, run] of runs) {
    it(`${name} does not take far more for a long text`, () => {
      for (const piece of pieces) {
        const text = piece.repeat(large / piece.length)
        for (const enclosed of [text, `${text}!`, `/${text}`, `1 hour ${text}`]) run(enclosed)
      }
    })
  }

  it("a reply of a hundred thousand rows, or as deep, is read to its end", () => {
    const rows = Array.from({ length: 100_000 }, () => ({ username: "api-api_test_000" }))
    assert.lengthOf(readKeys({ data: rows }), rows.length)
    const deep: unknown = JSON.parse(`${`{"data":[`.repeat(5_000)}7${"]}".repeat(5_000)}`)
    assert.lengthOf(readKeys(deep), 1)
    assert.deepStrictEqual(salvageKey(deep, {}), Option.none())
    assert.deepStrictEqual(readRefusal(deep), Option.none())
  })

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

  it("salvaged is only a key that is the one of its reply, and was not sent", () => {
    const key = "api-api_test_00000000000000000000000"
    const other = "api-api_test_00000000000000000000001"
    const cases: ReadonlyArray<readonly [reply: unknown, expected: string | undefined, sent?: Sent]> = [
      [{ api_key: key }, key],
      [{ a: { b: { c: { api_key: key } } } }, key],
      [[{ api_key: key }, [{ api_key: key }]], key],
      [[{ api_key: key }, { api_key: other }], undefined],
      [{ a: { b: { c: { d: { e: { api_key: key } } } } } }, undefined],
      // By another name it may be anything: a name that looks like a key, or the key that a header held.
      [{ a: { b: { c: key } } }, undefined],
      [{ description: key, "x-smtp2go-api-key": key, key, id: key }, undefined],
      [[key, key], undefined],
      [{ api_key: { value: key } }, undefined],
      [{ api_key: [key] }, undefined],
      [{ api_key: `${key}0` }, undefined],
      [{ api_key: key.slice(0, -1) }, undefined],
      [`"api_key":"${key}"`, key],
      [`{"api_key" : "${key}", "api_key":"${key}"`, key],
      [`{"api_key":"${key}","api_key":"${other}"`, undefined],
      [`{"api_key":"${key}`, undefined],
      [`{"old_api_key":"${key}"`, undefined],
      [`{"old":"${key}"`, undefined],
      [`x ${key} y`, undefined],
      [key, undefined],
      // What was sent comes back in whatever field.
      [{ api_key: key }, undefined, { description: key }],
      [{ api_key: other, description: key }, other, { description: key }],
      [[{ api_key: other }, { api_key: key }], other, { description: key }],
      [`{"api_key":"${key}"`, undefined, { feedbackText: key }],
      [`{"api_key":"${key}","api_key":"${other}"`, other, { feedbackHtml: key }],
      [{ data: { error: "no" }, api_key: key }, undefined],
      [{ error_code: "E", api_key: key }, undefined],
      [undefined, undefined],
      [null, undefined],
      [7, undefined]
    ]
    for (const [reply, expected, sent = {}] of cases) {
      const [found] = readKeys(Option.getOrUndefined(salvageKey(reply, sent)))
      assert.strictEqual(
        found === undefined ? undefined : Option.getOrUndefined(Option.map(found.key, Redacted.value)),
        expected,
        JSON.stringify([reply, sent])
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
