/**
 * What JetEmail accepts as a name, a domain and an address, decided before anything is sent.
 *
 * Pure and linear: the length is checked before anything else, and the patterns on the vendor's pages are never compiled
 * (the one for domains backtracks exponentially, the one for addresses accepts what it should not). These rules are
 * stricter than the published patterns where those are broken, and never looser.
 *
 * A failure is a sentence for a person. It never holds the value.
 *
 * @since 0.1.0
 */
import * as IpInterface from "effect/net/IpInterface"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** The longest name. Source: the pages "Create new" and "Update transactional API key", `maxLength`. */
export const maxName = 64

const MAX_DOMAIN = 253
const MAX_LABEL = 63
// Eight groups of four digits with their seven colons, and "/128".
const MAX_IP = 43

const isLetter = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
const isNameCharacter = (code: number): boolean =>
  isLetter(code) || isDigit(code) || code === 0x20 || code === 0x2d || code === 0x5f

const every = (text: string, test: (code: number) => boolean): boolean => {
  for (let index = 0; index < text.length; index++) {
    if (!test(text.charCodeAt(index))) return false
  }
  return true
}

/**
 * Checks the name of a key: 1 to 64 of `A-Z a-z 0-9 _ -` and the ASCII space, not all spaces.
 *
 * **Details**
 *
 * Source: `name` on the pages "Create new transactional API key" and "Update transactional API key". Their `\s` also
 * takes line breaks and Unicode spaces, which are refused here, and a name of spaces alone.
 *
 * @since 0.1.0
 * @category validators
 */
export const checkName = (name: string): Result.Result<string, string> => {
  if (name.length === 0) return Result.fail("a name is required: give 1 to 64 characters")
  if (name.length > maxName) return Result.fail("is too long: a name has at most 64 characters")
  if (!every(name, isNameCharacter)) {
    return Result.fail('may hold only the letters A to Z, digits, "-", "_" and spaces: leave out all other characters')
  }
  if (every(name, (code) => code === 0x20)) return Result.fail("is blank: give at least one letter or digit")
  return Result.succeed(name)
}

/** Why a character has no place in a domain; undefined if it has one. */
const domainCharacter = (code: number): string | undefined => {
  if (isLetter(code) || isDigit(code) || code === 0x2d || code === 0x2e) return undefined
  if (code > 0x7f) return 'has a character that is not ASCII: write the label in punycode ("xn--…")'
  switch (code) {
    case 0x40:
      return 'looks like an e-mail address: give only what follows the "@"'
    case 0x2a:
      return "wildcards are not accepted: list each domain by itself"
    case 0x5f:
      return 'has an underscore, which is no part of a domain name: use letters, digits and "-"'
    case 0x3a:
    case 0x2f:
      return "has a scheme, a port or a path: give the bare domain name"
    default:
      return code <= 0x20 || code === 0x7f || code === 0x2c || code === 0x3b
        ? "has a space, a separator or a control character: give one domain name an entry, with nothing around it"
        : 'has a character that is no part of a domain name: use letters, digits, "-" and "."'
  }
}

/**
 * Checks a domain and lower-cases it: at most 253 characters, two or more labels of 1 to 63 letters, digits and inner
 * hyphens, the last label letters only and at least two of them.
 *
 * **Details**
 *
 * Source: the items of `approvedDomains` on the pages "Create new transactional API key" and "Update transactional API
 * key", read as if the dot were escaped; the bound of 253 characters is DNS's.
 *
 * **Gotchas**
 *
 * Top-level domains in punycode are refused, because the vendor's pattern refuses their digits and hyphens.
 *
 * @since 0.1.0
 * @category validators
 */
export const checkDomain = (domain: string): Result.Result<string, string> => {
  if (domain.length === 0) return Result.fail("a domain is required: give a name like example.com")
  if (domain.length > MAX_DOMAIN) return Result.fail("is too long: a domain has at most 253 characters")
  for (let index = 0; index < domain.length; index++) {
    const problem = domainCharacter(domain.charCodeAt(index))
    if (problem !== undefined) return Result.fail(problem)
  }
  const labels = domain.split(".")
  const last = labels[labels.length - 1] ?? ""
  if (last === "") return Result.fail('ends with a dot: leave the last "." out')
  if (labels.length < 2) return Result.fail("has one label only: give the full name, like example.com")
  for (const label of labels) {
    if (label === "") return Result.fail("has an empty label: put exactly one dot between labels")
    if (label.length > MAX_LABEL) return Result.fail("has a label of more than 63 characters: check the dots")
    if (label.startsWith("-") || label.endsWith("-")) {
      return Result.fail('has a label that starts or ends with "-": check its hyphens')
    }
  }
  if (last.length < 2 || !every(last, isLetter)) {
    return Result.fail(
      "must end in a top-level domain of two letters or more: JetEmail takes no numeric ones and none in punycode"
    )
  }
  return Result.succeed(domain.toLowerCase())
}

/**
 * Checks an IPv4 or IPv6 address with an optional prefix length, and writes it in canonical form (RFC 5952).
 *
 * **Details**
 *
 * Source: the items of `ipRestrictions` on the pages "Create new transactional API key" and "Update transactional API
 * key", read as if the dots were escaped and the two branches grouped. Bits of the host are kept: `10.0.0.7/24` stays.
 *
 * **Gotchas**
 *
 * Leading zeros are refused (some readers take them as octal), and so are zone ids and IPv4 inside IPv6 in either
 * spelling (`::ffff:192.0.2.1`, `::ffff:c000:201`), and ranges of every address (`0.0.0.0/0`): open access is `"any"`.
 *
 * @since 0.1.0
 * @category validators
 */
export const checkIp = (ip: string): Result.Result<string, string> => {
  if (ip.length === 0)
    return Result.fail("an address is required: give one like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")
  if (ip.length > MAX_IP)
    return Result.fail("is too long: give one IPv4 or IPv6 address, or one range such as 192.0.2.0/24")
  if (ip.includes("%")) return Result.fail('has a zone id: leave out what follows the "%"')
  const isV6 = ip.includes(":")
  if (isV6 && ip.includes(".")) {
    return Result.fail("is an IPv4 address inside an IPv6 one, or has a port: give the plain IPv4 address")
  }
  const parsed = IpInterface.fromString(ip)
  if (Result.isFailure(parsed)) {
    return Result.fail(
      isV6
        ? "is not an IPv6 address: give groups of hexadecimal digits, with a prefix length of 1 to 128 if it is a range"
        : "is not an IPv4 address: give four numbers of 0 to 255 without leading zeros, with a prefix length of 1 to 32 if it is a range"
    )
  }
  const address = parsed.success.address
  if (NetAddress.isIpv6Address(address) && NetAddress.isIpv4Mapped(address)) {
    return Result.fail("is an IPv4 address inside an IPv6 one: give the plain IPv4 address")
  }
  if (ip.includes("/") && parsed.success.prefixLength === 0) {
    return Result.fail('is a range of every address: write "any" in place of the list if that is meant')
  }
  const text = NetAddress.formatIp(address)
  return Result.succeed(ip.includes("/") ? `${text}/${parsed.success.prefixLength}` : text)
}
