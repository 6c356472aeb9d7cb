import * as Aead from "effect/crypto/Aead"
import * as Kdf from "effect/crypto/Kdf"
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { VaultError } from "../VaultError.ts"

/** What secrets are sealed with. */
export type SealingKeys = {
  /** The id of the key that seals from now on. */
  readonly current: string
  /** Keys of 32 bytes in base64 or base64url, by ids of 1 to 32 letters, digits, `_` and `-`. */
  readonly keys: Readonly<Record<string, Redacted.Redacted<string>>>
}

/** Seals secrets, opens them again, and gives keyed hashes by which a leaked one is found. */
export interface Sealer {
  /** Gives `v1.<key id>.<nonce and ciphertext>`, which opens with the same binding alone. */
  readonly seal: (plaintext: string, binding: ReadonlyArray<string | number>) => Effect.Effect<string, VaultError>
  readonly open: (sealed: string, binding: ReadonlyArray<string | number>) => Effect.Effect<string, VaultError>
  /** The keyed hash under the current key. */
  readonly fingerprint: (text: Redacted.Redacted<string>, kind?: HashKind) => Effect.Effect<string>
  /** The keyed hashes under every key: what was written before a change of keys has those of its time. */
  readonly fingerprints: (text: Redacted.Redacted<string>, kind?: HashKind) => Effect.Effect<ReadonlyArray<string>>
}

/**
 * What a hash is looked up for: a string that has leaked, or the key that has this address. They are hashed under keys of their
 * own, so that no string that leaks is ever found as an address, nor an address as such a string.
 */
export type HashKind = "leak" | "address"

const version = "v1"
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const idPattern = /^[A-Za-z0-9_-]{1,32}$/
const sealedPattern = /^v1\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]+)$/

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const services = Layer.mergeAll(Aead.layerWebCrypto, Mac.layerWebCrypto, Kdf.layerWebCrypto).pipe(
  Layer.provideMerge(SecureRandom.layerWebCrypto)
)

const invalid = (operation: string, detail: string) => new VaultError({ operation, problem: "Invalid", detail })

/** One answer for whatever is wrong with the contents: which part it was is of use to whoever changed them alone. */
const unreadable = (detail = "it was changed, or belongs elsewhere") =>
  new VaultError({ operation: "open", problem: "Unreadable", detail })

/** Decodes the one spelling that encoding gives: others of the same bytes would let a sealed text be changed and still open. */
const decodeStrictly = (text: string): Option.Option<Uint8Array> =>
  Option.filter(Result.getSuccess(Base64Url.decode(text)), (bytes) => Base64Url.encode(bytes) === text)

const decodeKey = (text: string): Option.Option<Uint8Array> =>
  Option.filter(
    decodeStrictly(
      text
        .replace(/={0,2}$/, "")
        .replaceAll("+", "-")
        .replaceAll("/", "_")
    ),
    (bytes) => bytes.length === keyBytes
  )

/** The binding as bytes. Two different bindings never give the same ones: strings stand in quotes, and numbers as objects. */
const additionalData = (keyId: string, binding: ReadonlyArray<string | number>): Uint8Array =>
  utf8.encode(
    JSON.stringify([
      "effect-api-keys/rotation",
      version,
      keyId,
      // JSON writes each number that is not finite as `null`.
      ...binding.map((part) => (typeof part === "number" ? { number: String(part) } : part))
    ])
  )

/** The id of the key that a text was sealed with; none where it is not a sealed text of this version. */
export const keyIdOf = (sealed: string): Option.Option<string> =>
  Option.fromUndefinedOr(sealedPattern.exec(sealed)?.[1])

interface SealingKey {
  readonly encryption: Aead.Key
  readonly hashing: Readonly<Record<HashKind, Mac.Key>>
}

const deriveHashing = Effect.fnUntraced(function* (bytes: Uint8Array, info: string) {
  const kdf = yield* Kdf.Kdf
  const derived = yield* kdf.derive(Kdf.hkdfSha256, bytes, {
    salt: utf8.encode("effect-api-keys/rotation"),
    info: utf8.encode(info),
    length: keyBytes
  })
  return yield* Mac.key(Mac.hmacSha256, derived)
})

const deriveKey = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const key: SealingKey = {
    encryption: yield* Aead.key(Aead.aes256Gcm, bytes),
    hashing: {
      leak: yield* deriveHashing(bytes, "fingerprint v1"),
      address: yield* deriveHashing(bytes, "address v1")
    }
  }
  return key
}, Effect.orDie)

const readKeys = Effect.fnUntraced(function* ({ current, keys }: SealingKeys) {
  const found = new Map<string, SealingKey>()
  for (const [id, key] of Object.entries(keys)) {
    if (!idPattern.test(id)) {
      // The id may be a key that stands in the wrong place, so it is not shown.
      return yield* invalid("sealingKeys", "the id of a sealing key must be 1 to 32 letters, digits, `_` or `-`")
    }
    if (!Redacted.isRedacted(key)) return yield* invalid("sealingKeys", `the sealing key ${id} is not \`Redacted\``)
    const text: unknown = Redacted.value(key)
    const bytes = typeof text === "string" ? decodeKey(text) : Option.none()
    if (Option.isNone(bytes)) {
      return yield* invalid("sealingKeys", `the sealing key ${id} is not ${keyBytes} bytes in base64, and nothing else`)
    }
    found.set(id, yield* deriveKey(bytes.value))
  }
  const key = found.get(current)
  if (key === undefined) {
    return yield* invalid(
      "sealingKeys",
      found.size === 0 ? "there is no sealing key" : `\`current\` must be one of ${[...found.keys()].join(", ")}`
    )
  }
  return { all: found, current: { id: current, ...key } }
})

/**
 * Makes a sealer of these keys; fails with `Invalid` where one of them is none.
 *
 * Nonces are random, so one key must not seal more than 2^32 texts; at one a second that takes 136 years.
 */
export const make = Effect.fnUntraced(function* (
  sealingKeys: SealingKeys
): Effect.fn.Return<Sealer, VaultError, Aead.Aead | Mac.Mac | Kdf.Kdf | SecureRandom.SecureRandom> {
  const { all, current } = yield* readKeys(sealingKeys)
  const aead = yield* Aead.Aead
  const mac = yield* Mac.Mac
  const random = yield* SecureRandom.SecureRandom

  const seal = Effect.fnUntraced(function* (plaintext: string, binding: ReadonlyArray<string | number>) {
    // Half of a surrogate pair would come back as another character.
    if (!plaintext.isWellFormed()) return yield* invalid("seal", "the text is not well-formed Unicode")
    const nonce = yield* random.randomBytes(nonceBytes)
    const aad = additionalData(current.id, binding)
    const ciphertext = yield* Effect.mapError(
      aead.encrypt(current.encryption, utf8.encode(plaintext), { nonce, aad }),
      () => invalid("seal", "the text is too long")
    )
    const body = new Uint8Array(nonceBytes + ciphertext.length)
    body.set(nonce)
    body.set(ciphertext, nonceBytes)
    return `${version}.${current.id}.${Base64Url.encode(body)}`
  })

  const open = Effect.fnUntraced(function* (sealed: string, binding: ReadonlyArray<string | number>) {
    const [, keyId, text] = sealedPattern.exec(sealed) ?? []
    if (keyId === undefined || text === undefined) return yield* unreadable("it is not of this version")
    const key = all.get(keyId)
    if (key === undefined) return yield* unreadable(`it was sealed with the key ${keyId}, which is not given`)
    const body = decodeStrictly(text)
    if (Option.isNone(body) || body.value.length < nonceBytes + tagBytes) return yield* unreadable()
    const nonce = body.value.slice(0, nonceBytes)
    const aad = additionalData(keyId, binding)
    const plaintext = yield* Effect.mapError(
      aead.decrypt(key.encryption, body.value.slice(nonceBytes), { nonce, aad }),
      () => unreadable()
    )
    return yield* Effect.try({ try: () => fromUtf8.decode(plaintext), catch: () => unreadable() })
  })

  const hash = (
    keyId: string,
    key: SealingKey,
    text: Redacted.Redacted<string>,
    kind: HashKind = "leak"
  ): Effect.Effect<string> =>
    Effect.suspend(() => mac.sign(key.hashing[kind], utf8.encode(Redacted.value(text)))).pipe(
      Effect.map((tag) => `${keyId}.${Hex.encode(tag)}`),
      Effect.orDie
    )

  return {
    seal,
    open,
    fingerprint: (text, kind) => hash(current.id, current, text, kind),
    fingerprints: (text, kind) => Effect.forEach(all, ([keyId, key]) => hash(keyId, key, text, kind))
  }
}, Effect.provide(services))
