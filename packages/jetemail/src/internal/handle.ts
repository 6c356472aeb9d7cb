import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"

/** Enough to tell the keys of any account apart, and too little to say anything of a token. */
const handleBytes = 10

/** A key for handles, from the manager's credential: stable as long as the credential is. */
export const deriveHandleKey = (credential: string): string =>
  bytesToHex(hmac(sha256, utf8ToBytes(credential), utf8ToBytes("@effect-api-keys/jetemail/handle")))

/**
 * The printable handle of a token: a keyed hash, because JetEmail's tokens may be short enough for an unkeyed one to be
 * searched.
 */
export const hashToken = (key: string): ((token: string) => string) => {
  const keyed = hmac.create(sha256, utf8ToBytes(key))
  return (token) => `jetemail_${bytesToHex(keyed.clone().update(utf8ToBytes(token)).digest().subarray(0, handleBytes))}`
}
