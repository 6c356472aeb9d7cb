import { assert, describe, it } from "@effect/vitest"
import { JetEmailSandbox } from "@effect-api-keys/jetemail/testing"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { checkDomain, checkIp, checkName } from "../src/internal/validators.ts"

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

// The documented rules with their dots escaped and their alternatives grouped: linear, and not what the pages publish.
const fixedName = /^[a-zA-Z0-9_\s-]{1,64}$/
const fixedDomain = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,}$/
const octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
const hex = "[0-9a-fA-F]{1,4}"
const groups = [
  `(?:${hex}:){7}${hex}`,
  `(?:${hex}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((tail) => `(?:${hex}:){1,${7 - tail}}(?::${hex}){1,${tail}}`),
  `:(?::${hex}){1,7}`,
  "::"
]
const fixedIp = new RegExp(
  `^(?:(?:${octet}\\.){3}${octet}(?:/(?:3[0-2]|[12]?[0-9]))?|(?:${groups.join("|")})(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$`
)

/** Text of the characters that matter, so that near misses are common. */
const textOf = (alphabet: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), maxLength })

const nearName = textOf("aZ0 -_/.\n\u00a0\u2028é", 70)
const nearDomain = fc.oneof(
  textOf("aZ0-.", 40),
  textOf("aZ0-.@:/_* é\u212a", 20),
  fc.domain(),
  fc.domain().map((domain) => domain.toUpperCase())
)
const nearIp = fc.oneof(
  textOf("0129./", 20),
  textOf("01fF:/", 20),
  textOf("01f:./%", 45),
  fc.ipV4(),
  fc.ipV4Extended(),
  fc.ipV6(),
  fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: -1, max: 140 })).map(([ip, prefix]) => `${ip}/${prefix}`)
)

const label = fc.stringMatching(/^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?$/)
const validDomain = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 6 }), fc.stringMatching(/^[a-zA-Z]{2,20}$/))
  .map(([labels, top]) => [...labels, top].join("."))
const validIp = fc.oneof(
  fc.ipV4(),
  fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 32 })).map(([ip, prefix]) => `${ip}/${prefix}`),
  fc
    .tuple(
      fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 }),
      fc.option(fc.integer({ min: 1, max: 128 }))
    )
    // The first group keeps it out of the range of IPv4 inside IPv6.
    .map(([[, ...rest], prefix]) => {
      const address = [0x2001, ...rest].map((group) => group.toString(16)).join(":")
      return prefix === null ? address : `${address}/${prefix}`
    })
)

// How often a check looks at a character: what makes "linear" a count and not a matter of time.
const charactersRead = (check: Check, value: string): number => {
  const original = String.prototype.charCodeAt
  let count = 0
  String.prototype.charCodeAt = function (this: string, index: number) {
    count++
    return original.call(this, index)
  }
  try {
    check(value)
  } finally {
    String.prototype.charCodeAt = original
  }
  return count
}

const checks = [
  { name: "checkName", check: checkName, near: nearName, fixed: fixedName, max: 64 },
  { name: "checkDomain", check: checkDomain, near: nearDomain, fixed: fixedDomain, max: 253 },
  { name: "checkIp", check: checkIp, near: nearIp, fixed: fixedIp, max: 43 }
]

describe("checkName", () => {
  it("accepts", () => {
    for (const name of ["a", "0", "-", "_", "Production API Key", "a b-c_d", " a", "a".repeat(64)]) {
      accepts(checkName, name)
    }
  })

  it("refuses, the documented pattern's white space too", () => {
    refuses(checkName, ["", " ", "   ", "\n", "prod\nkey", "a\tb", "a\u00a0b", "a\u2028b", "a".repeat(65)])
    refuses(checkName, ["a/b", "é", "a.b", "a\u0000", "кey", "😀"])
  })
})

describe("checkDomain", () => {
  it("accepts, in lower case", () => {
    for (const domain of ["example.com", "a.bc", "1.example.com", "a--b.com", "xn--bcher-kva.example", "3com.com"]) {
      accepts(checkDomain, domain)
    }
    accepts(checkDomain, "Mail.EXAMPLE.Com", "mail.example.com")
    accepts(checkDomain, `${"a".repeat(63)}.com`)
    const longest = `${`${"a".repeat(49)}.`.repeat(5)}com`
    assert.lengthOf(longest, 253)
    accepts(checkDomain, longest)
  })

  it("refuses what the published pattern accepts by mistake", () => {
    refuses(checkDomain, ["localhost", "abcd", "foo bar", "example!com", "example,com", "a_b.com", "münchen.de"])
    refuses(checkDomain, ["user@example.com", "example.com evil.com", "xn--p1ai"])
    refuses(checkDomain, [`${"a".repeat(64)}.com`, `${"a".repeat(130)}.com`])
  })

  it("refuses what the published pattern refuses", () => {
    refuses(checkDomain, ["abc", "a..com", "-a.com", "*.example.com", "example.com.", "http://example.com"])
    refuses(checkDomain, ["192.168.1.1", "example.xn--p1ai", "xn--fiqs8s", "", ".", ".com", "a-.com", "a.b", "a.c0m"])
    refuses(checkDomain, [
      "example.com:443",
      "example.com/path",
      "a.com-",
      "a.-com",
      " a.com",
      "a.com\n",
      "a.com\u0000"
    ])
  })

  it("does not lower-case its way to ASCII", () => {
    // The Kelvin sign becomes a plain "k", and a fullwidth dot a plain one, for those who fold first and look later.
    refuses(checkDomain, ["\u212aelvin.com", "example\uff0ecom", "example\u3002com"])
  })

  it("refuses a name of more than 253 characters", () => {
    const tooLong = `${`${"a".repeat(49)}.`.repeat(5)}comm`
    assert.lengthOf(tooLong, 254)
    assert.include(problem(checkDomain, tooLong), "too long")
  })

  it("refuses the strings that the published pattern hangs on", () => {
    refuses(
      checkDomain,
      [40, 44, 48].map((count) => `${"a".repeat(count)}!`)
    )
    refuses(checkDomain, ["mail.production-service-eu-west-1.example-company.c0m1"])
  })

  it("says what to do", () => {
    assert.include(problem(checkDomain, "user@example.com"), "e-mail")
    assert.include(problem(checkDomain, "münchen.de"), "punycode")
    assert.include(problem(checkDomain, "*.example.com"), "wildcards")
    assert.include(problem(checkDomain, "http://example.com"), "bare domain")
    assert.include(problem(checkDomain, "example.com."), "ends with a dot")
    assert.include(problem(checkDomain, "a_b.com"), "underscore")
    assert.include(problem(checkDomain, "example.com evil.com"), "one domain name an entry")
    assert.include(problem(checkDomain, "example.xn--p1ai"), "punycode")
  })
})

describe("checkIp", () => {
  it("accepts, in canonical form", () => {
    for (const ip of [
      "192.168.1.1",
      "10.0.0.0/24",
      "2001:db8::1",
      "2001:db8::/32",
      "0.0.0.0",
      "255.255.255.255/32",
      "::"
    ]) {
      accepts(checkIp, ip)
    }
    accepts(checkIp, "10.0.0.7/24")
    accepts(checkIp, "2001:DB8:0:0:0:0:0:1/128", "2001:db8::1/128")
    accepts(checkIp, "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1")
    accepts(checkIp, "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0")
    accepts(checkIp, "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8")
    accepts(checkIp, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
  })

  it("refuses what the published pattern accepts by mistake", () => {
    refuses(checkIp, ["1x2x3x4", "1111111", "192168001001", "999.1.1.1", "1.2.3.256", "10.0.0.0/33", "10.0.0.0/"])
    refuses(checkIp, ["1.2.3.4 OR 1=1", "10.0.0.1,10.0.0.2", "10.0.0.1-10.0.0.5", "garbage::1", "hello 2001:db8::1"])
    refuses(checkIp, ["zzz::", "1:2:3:4:5:6:7:8:9", "01.02.03.04"])
  })

  it("refuses the ambiguous", () => {
    refuses(checkIp, ["::ffff:192.0.2.1", "::ffff:c000:201", "::192.0.2.1", "64:ff9b::192.0.2.1", "fe80::1%eth0"])
    refuses(checkIp, ["0.0.0.0/0", "1.2.3.4/0", "::/0", "2001:db8::/0"])
    refuses(checkIp, ["1.2.3.4/01", "1.2.3.4/-1", "1.2.3.4/+1", "::/129", "::/0128", "1.2.3.4/24/24", "1.2.3.4:80"])
    refuses(checkIp, [
      "[::1]",
      "",
      " 1.2.3.4",
      "1.2.3.4\n",
      "1.2.3",
      "0x7f.1.1.1",
      "١.2.3.4",
      ":::",
      "1::2::3",
      ":",
      "/24"
    ])
  })

  it("refuses bits that nobody could have meant", () => {
    refuses(checkIp, ["1.2.3.4/1e1", "1.2.3.4/ 8", "12345::", "::12345", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8::"])
  })
})

for (const { name, check, near, fixed, max } of checks) {
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

    it("accepts nothing that the documented rule, mended, refuses", () => {
      let accepted = 0
      fc.assert(
        fc.property(near, (value) => {
          const result = check(value)
          if (Result.isFailure(result)) return true
          accepted++
          return fixed.test(value) && fixed.test(result.success)
        }),
        { numRuns: 5000 }
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

    it("looks at no character of what is too long", () => {
      for (const piece of ["a", "a.", "a-", "1:", ":", "1.", "0", "/", "!", " ", "é", "\ud800"]) {
        const value = piece.repeat(1_000_000 / piece.length)
        assert.include(problem(check, value), "too long")
        assert.strictEqual(charactersRead(check, value), 0)
      }
      assert.include(problem(check, "a".repeat(max + 1)), "too long")
    })

    it("looks at each character a few times at most", () => {
      fc.assert(
        fc.property(near, (value) => charactersRead(check, value) <= 4 * value.length),
        { numRuns: 2000 }
      )
      const hostile = ["a".repeat(max), `${"a".repeat(max - 1)}!`, "a.".repeat(max / 2), "a-".repeat(max / 2)]
      for (const value of hostile) assert.isAtMost(charactersRead(check, value), 4 * value.length)
    })
  })
}

describe("checkDomain and checkIp, for all that is well formed", () => {
  it("accept", () => {
    fc.assert(fc.property(validDomain, (value) => Result.getOrUndefined(checkDomain(value)) === value.toLowerCase()))
    fc.assert(fc.property(validIp, (value) => Result.isSuccess(checkIp(value))))
  })

  it.effect("accept nothing that the sandbox refuses", () =>
    Effect.gen(function* () {
      const sandbox = yield* JetEmailSandbox.JetEmailSandbox
      const create = HttpClientRequest.post("https://api.jetemail.com/outbound/transactional-keys").pipe(
        HttpClientRequest.bearerToken(sandbox.credential)
      )
      const values = (arbitrary: fc.Arbitrary<string>, check: Check, seed: number) =>
        fc.sample(arbitrary, { numRuns: 1000, seed }).flatMap((value) =>
          Result.match(check(value), {
            onFailure: () => [],
            onSuccess: (normalised) => [normalised]
          })
        )
      const played = [
        ...values(nearName, checkName, 1).map((name) => ({ name })),
        ...values(fc.oneof(validDomain, nearDomain), checkDomain, 2).map((value) => ({
          name: "a",
          approvedDomains: [value]
        })),
        ...values(fc.oneof(validIp, nearIp), checkIp, 3).map((value) => ({ name: "a", ipRestrictions: [value] }))
      ]
      assert.isAbove(played.length, 1000)
      for (const body of played) {
        const response = yield* HttpClient.execute(HttpClientRequest.bodyJsonUnsafe(create, body))
        assert.strictEqual(response.status, 200, JSON.stringify(body))
      }
    }).pipe(
      Effect.provide(
        JetEmailSandbox.layerClient({ keyLimit: Number.POSITIVE_INFINITY, requestsPerMinute: Number.POSITIVE_INFINITY })
      )
    )
  )
})
