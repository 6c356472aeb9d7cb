import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { checkAssistant, checkId, checkOrigin } from "../src/internal/validators.ts"

type Check = (value: string) => Result.Result<string, string>

const accepts = (check: Check, value: string, normalised = value) =>
  assert.deepStrictEqual(check(value), Result.succeed(normalised), JSON.stringify(value))

const problem = (check: Check, value: string): string => {
  const result = check(value)
  assert.isTrue(Result.isFailure(result), `accepted ${JSON.stringify(value.slice(0, 80))}`)
  return Result.isFailure(result) ? result.failure : ""
}

const refuses = (check: Check, values: ReadonlyArray<string>) => {
  for (const value of values) assert.isNotEmpty(problem(check, value))
}

/** Text of the characters that matter, so that near misses are common. */
const textOf = (alphabet: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), maxLength })

const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.constantFrom("localhost", "[::1]", "[2001:db8::1]", "xn--bcher-kva.de")
)
const port = fc.integer({ min: 1, max: 65535 })
const validOrigin = fc
  .tuple(fc.constantFrom("http://", "https://"), host, fc.option(port), fc.constantFrom("", "/"))
  .map(([scheme, host, port, end]) => `${scheme}${host}${port === null ? "" : `:${port}`}${end}`)
  // A port that goes without saying is not said by browsers.
  .filter((origin) => new URL(origin).origin === origin.toLowerCase().replace(/\/$/, ""))

const nearId = fc.oneof(textOf("0123456789", 18), textOf("019 -+.ex_\n", 6), fc.nat().map(String))
const nearOrigin = fc.oneof(
  validOrigin,
  textOf("htps:/", 12),
  textOf("aZ0-.:[]@/?#* é\n", 20).map((rest) => `https://${rest}`),
  validOrigin.map((origin) => origin.toUpperCase()),
  fc.webUrl({ withQueryParameters: true, withFragments: true })
)
const nearAssistant = fc.oneof(textOf("aZ09_-", 70), textOf("a0_-*./ \né", 8), fc.uuid())

/**
 * Works on a large input: what is linear takes milliseconds, and what is quadratic longer than the time-out of a test. The two
 * are so far apart that a busy machine does not matter.
 */
const assertLinear = (work: (size: number) => () => unknown) => {
  work(1_000_000)()
}

const checks = [
  { name: "checkId", check: checkId, near: nearId, fixed: /^[1-9][0-9]{0,15}$/ },
  {
    name: "checkOrigin",
    check: checkOrigin,
    near: nearOrigin,
    fixed: /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?\/?$/
  },
  { name: "checkAssistant", check: checkAssistant, near: nearAssistant, fixed: /^[A-Za-z0-9_-]{1,64}$/ }
]

describe("checkId", () => {
  it("accepts whole numbers, as they are written in JSON", () => {
    for (const id of ["1", "9", "10", "42", "999999999999999"]) accepts(checkId, id)
  })

  it("refuses what is none, and says what to do with a secret", () => {
    refuses(checkId, [
      "",
      "0",
      "-1",
      "+1",
      "1.0",
      "1.",
      ".5",
      "1e3",
      "01",
      "00",
      " 1",
      "1 ",
      "1\n",
      "\n1",
      "1\r",
      "1\u2028"
    ])
    refuses(checkId, ["0x1", "1_000", "1,000", "１", "١", "NaN", "Infinity", "null", "undefined", "true"])
    refuses(checkId, ["../x", ".", "..", "1/2", "1?a", "1#", "1%20", "1;", "*", "9".repeat(16), "1".repeat(1000)])
    for (const secret of ["api_test_voiceable_0001", "a".repeat(64), "sk-1234567890"]) {
      const message = problem(checkId, secret)
      assert.include(message, "the key's id, a whole number")
      assert.include(message, "a secret does not name its key")
      assert.include(message, "find the ref that you stored beside a hash of it")
    }
  })
})

describe("checkOrigin", () => {
  it("accepts, as browsers write them", () => {
    for (const origin of [
      "https://example.com",
      "http://localhost:3000",
      "https://app.example.com:8443",
      "http://127.0.0.1:8080",
      "http://[::1]:3000",
      "https://xn--bcher-kva.example",
      "https://intranet"
    ]) {
      accepts(checkOrigin, origin)
      accepts(checkOrigin, `${origin}/`, origin)
    }
    accepts(checkOrigin, "https://ACME.Example", "https://acme.example")
    accepts(checkOrigin, "http://acme.example:443")
    accepts(checkOrigin, "https://acme.example:80")
    accepts(checkOrigin, "http://[2001:DB8::1]", "http://[2001:db8::1]")
    accepts(checkOrigin, "https://a--b.example")
    accepts(checkOrigin, `https://${"a".repeat(63)}.example`)
    const longest = `https://${"a.".repeat(145)}bc`
    assert.lengthOf(longest, 300)
    accepts(checkOrigin, longest)
    refuses(checkOrigin, [`${longest}d`])
  })

  it("refuses what browsers would write in another way: it would never match", () => {
    refuses(checkOrigin, ["https://a.example:443", "http://a.example:80", "https://a.example:443/", "http://[::1]:80"])
    refuses(checkOrigin, ["https://a.example:080", "https://a.example:00443", "https://a.example:"])
    refuses(checkOrigin, [
      "http://2130706433",
      "http://127.1",
      "http://0x7f000001",
      "http://0x7f.0.0.1",
      "http://017700000001"
    ])
    refuses(checkOrigin, ["http://127.0.0.01", "http://127.0.0.1.", "http://1.2.3"])
    refuses(checkOrigin, [
      "http://[2001:0db8::1]",
      "http://[0:0:0:0:0:0:0:1]",
      "http://[::ffff:127.0.0.1]",
      "http://[::]a"
    ])
    refuses(checkOrigin, [
      "https://a..b",
      "https://a.example.",
      "https://a.example..",
      "https://.a.example",
      "https://."
    ])
    refuses(checkOrigin, ["https://-a.example", "https://a-.example", "https://-", "https://a.-b", "https://a.b-"])
    refuses(checkOrigin, [`https://${"a".repeat(64)}.example`, `https://a.${"a".repeat(64)}`])
  })

  it("refuses what is more or less than an origin", () => {
    refuses(checkOrigin, ["", "https://", "https:", "https:///", "http:/a.example", "a.example", "//a.example", "null"])
    refuses(checkOrigin, [
      "https://a.example/path",
      "https://a.example//",
      "https://a.example/?",
      "https://a.example?q"
    ])
    refuses(checkOrigin, [
      "https://a.example#",
      "https://a.example/#f",
      "https://user@a.example",
      "https://u:p@a.example"
    ])
    refuses(checkOrigin, ["ftp://a.example", "ws://a.example", "file://a", "javascript://a", "HTTPS://a.example"])
    refuses(checkOrigin, ["https://*.example.com", "https://*", "https://a.example:*", "https://a.*"])
    refuses(checkOrigin, [
      "https://a.example:99999",
      "https://a.example:-1",
      "https://a:b",
      "https://[::1",
      "https://::1"
    ])
    refuses(checkOrigin, [" https://a.example", "https://a.example ", "https://a.example\n", "https://a\t.example"])
    refuses(checkOrigin, [
      "https://a.example,https://b.example",
      "https://a.example https://b.example",
      "https://a_b.example"
    ])
    refuses(checkOrigin, [
      "https://bücher.example",
      "https://a\uff0eexample",
      "https://\u212aelvin.example",
      "https://a%2eb"
    ])
    refuses(checkOrigin, [
      "https://a\\b",
      "https://a.example\\",
      "https://256.256.256.256",
      `https://${"a".repeat(293)}`
    ])
  })

  it("says what to do", () => {
    assert.include(problem(checkOrigin, "*"), `write "any" in place of the list`)
    for (const value of ["acme.example", "https://*.acme.example", "https://acme.example/path", "a".repeat(1000)]) {
      assert.include(
        problem(checkOrigin, value),
        "must be an origin as browsers send it, such as https://app.example.com"
      )
    }
  })
})

describe("checkAssistant", () => {
  it("accepts", () => {
    for (const id of ["123", "0", "007", "a", "A-b_9", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "1".repeat(64)]) {
      accepts(checkAssistant, id)
    }
  })

  it("refuses, and says what to do", () => {
    refuses(checkAssistant, [
      "",
      " ",
      "1 ",
      "\n1",
      "1\n",
      "1,2",
      "a.b",
      "../x",
      "a/b",
      "é",
      "１",
      "1".repeat(65),
      "[1]"
    ])
    assert.include(problem(checkAssistant, "*"), `write "any" in place of the list`)
  })
})

for (const { name, check, near, fixed } of checks) {
  describe(`${name}, for all strings`, () => {
    it("never throws, and never says the value", () => {
      const marker = "q7z"
      const text = fc.oneof(near, fc.string({ unit: "binary", maxLength: 300 }))
      fc.assert(
        fc.property(text, fc.boolean(), (value, before) => {
          const marked = before ? marker + value : value + marker
          const result = check(marked)
          return Result.isSuccess(result) || !result.failure.includes(marker)
        }),
        { numRuns: 2000 }
      )
    })

    it("accepts nothing that its rule, written again, refuses", () => {
      let accepted = 0
      fc.assert(
        fc.property(near, (value) => {
          const result = check(value)
          if (Result.isFailure(result)) return true
          accepted++
          return fixed.test(value) && fixed.test(result.success)
        }),
        { numRuns: 3000 }
      )
      assert.isAbove(accepted, 100, "the property hardly ever met an accepted value")
    })

    it("keeps what it made", () => {
      fc.assert(
        fc.property(near, (value) => {
          const result = check(value)
          return Result.isFailure(result) || Result.getOrUndefined(check(result.success)) === result.success
        }),
        { numRuns: 2000 }
      )
    })

    it("refuses what is too long, however it is made, and tries no pattern on it twice", () => {
      const pieces = ["1", "a", "a.", "a-", ":", "[", "]", "/", "https://", "1:", "!", " ", "\n", "é", "\ud800"]
      for (const piece of pieces) {
        for (const start of ["", "1", "https://", "https://[", "https://a:"]) {
          assert.isTrue(Result.isFailure(check(start + piece.repeat(1_000_000 / piece.length))))
          // The work on what is ten times as long is about ten times as much at the very most, and never a hundred times.
          assertLinear((size) => {
            const value = start + piece.repeat(size / piece.length)
            return () => check(value)
          })
        }
      }
    })
  })
}

describe("checkOrigin, for all that is well formed", () => {
  it("accepts, and gives what a browser would send", () => {
    fc.assert(
      fc.property(validOrigin, (value) => Result.getOrUndefined(checkOrigin(value)) === new URL(value).origin),
      { numRuns: 1000 }
    )
  })

  it("refuses everything behind the host", () => {
    const behind = fc.constantFrom("/x", "//", "?", "#", "?a=b", "/..", "/*", "@b.example", "\\", " ", ".*")
    fc.assert(
      fc.property(validOrigin, behind, (value, more) => Result.isFailure(checkOrigin(value.replace(/\/$/, "") + more))),
      { numRuns: 1000 }
    )
  })
})
