import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject
} from "node:crypto"
import * as WebCrypto from "effect/crypto/WebCrypto"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { VaultError } from "../../src/VaultError.ts"
import { type StoredSlot, VaultStore } from "../../src/VaultStore.ts"

/** Where something may happen to a process: around every request and every write. */
export type Boundary =
  | {
      readonly at: "request"
      readonly when: "before" | "committed"
      readonly label: string
      readonly request: HttpClientRequest.HttpClientRequest
    }
  | { readonly at: "store"; readonly when: "before" | "committed"; readonly label: string; readonly row: StoredSlot }

/**
 * What happens to a process at a boundary.
 *
 * - `stop`: it is killed: nothing of it reaches the vendor or the store any more, and not one of its finalizers runs.
 * - `pause`: it stands still until the simulation wakes it, and then goes on from just here.
 * - `interrupt`: its program is interrupted, and its layers are closed, with all their finalizers.
 * - `reset`: the connection breaks; after the commit the reply is lost with it. Of a write, nobody knows whether it took place.
 * - `hang`: no reply ever comes.
 * - `error`: the answer is a 500. `missing`: it is a 404.
 * - `relieve`: it goes on, and another process is started beside it.
 * - `cut`: half of the reply arrives. `stale`: the reply is the list as it was at first.
 * - `late`: the connection breaks, and the request reaches the vendor when the simulation says so. `lateStop`: the process is
 *   killed as well.
 */
export type Happening =
  | "go"
  | "stop"
  | "pause"
  | "interrupt"
  | "reset"
  | "hang"
  | "error"
  | "missing"
  | "relieve"
  | "cut"
  | "stale"
  | "late"
  | "lateStop"

/** Called at every boundary, by its number from 1. */
export type Observer = (boundary: Boundary, number: number, process: Process) => Effect.Effect<Happening>

const broken = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({
        request,
        cause: Object.assign(new Error("ECONNRESET"), { code: "ECONNRESET", syscall: "read" })
      })
    })
  )

const answered = (request: HttpClientRequest.HttpClientRequest, status: number, body: string) =>
  HttpClientResponse.fromWeb(
    request,
    new Response(status === 204 ? null : body, { status, headers: { "content-type": "application/json" } })
  )

const unavailable = (operation: string) => new VaultError({ operation, problem: "Unavailable" })

/** A program's process, as seen from outside. Its fibers hang for ever once it is stopped, as those of a killed one do. */
export class Process {
  stopped = false
  /** Whether the store cannot be reached from here, while the vendor can. */
  partitioned = false
  /** Whether nothing of what the store answers is heard here, while writes take place. */
  deaf = false
  boundaries = 0
  /** Requests that are on their way, and that the vendor has not seen. */
  readonly late: Array<Effect.Effect<unknown, unknown>> = []
  readonly observer: Observer
  readonly firstList: string
  private readonly awake = Latch.makeUnsafe(true)

  constructor(observer: Observer, firstList: string) {
    this.observer = observer
    this.firstList = firstList
  }

  get paused(): boolean {
    return !this.awake.isOpen()
  }

  readonly wake = (): boolean => this.awake.openUnsafe()

  readonly pass = (boundary: Boundary): Effect.Effect<Happening> =>
    Effect.suspend(() => {
      if (this.stopped) return Effect.never
      return Effect.andThen(
        this.awake.await,
        Effect.suspend(() => {
          if (this.stopped) return Effect.never
          this.boundaries++
          return Effect.flatMap(this.observer(boundary, this.boundaries, this), (happening) => {
            if (happening === "stop" || happening === "lateStop") this.stopped = true
            if (happening === "pause") this.awake.closeUnsafe()
            return this.stopped && happening !== "lateStop" ? Effect.never : Effect.as(this.awake.await, happening)
          })
        })
      )
    })

  /** The vendor, as this process reaches it. */
  readonly httpClient = (vendor: HttpClient.HttpClient): HttpClient.HttpClient =>
    HttpClient.transform(vendor, (send, request) => {
      const label = `${request.method} ${new URL(request.url).pathname}`
      const boundary = { at: "request", label, request } as const
      /** The request as it leaves, and what becomes of its reply. What has left, no time-out holds back. */
      const exchange = Effect.uninterruptible(
        Effect.gen({ self: this }, function* () {
          const first = yield* this.pass({ ...boundary, when: "before" })
          if (first === "late" || first === "lateStop") {
            this.late.push(send)
            return first === "lateStop" ? "hang" : "reset"
          }
          if (first === "reset" || first === "hang") return first
          if (first === "error") return answered(request, 500, "{}")
          if (first === "missing") return answered(request, 404, "{}")
          const response = yield* send
          const then = yield* this.pass({ ...boundary, when: "committed" })
          const text = yield* Effect.orElseSucceed(response.text, () => "")
          switch (then) {
            case "reset":
            case "hang":
              return then
            case "error":
              return answered(request, 500, "{}")
            case "cut":
              return answered(request, response.status, text.slice(0, Math.floor(text.length / 2)))
            case "stale":
              return answered(request, response.status, this.firstList)
            default:
              return response
          }
        })
      )
      return Effect.flatMap(exchange, (end) =>
        end === "reset" ? broken(request) : end === "hang" ? Effect.never : Effect.succeed(end)
      )
    })

  /** The store, as this process reaches it. */
  readonly store = (store: VaultStore["Service"]): Layer.Layer<VaultStore> => {
    // Reading leaves no trace: to be stopped before it is to be stopped before what comes next.
    const reached = <A>(operation: string, read: Effect.Effect<A, VaultError>): Effect.Effect<A, VaultError> =>
      Effect.suspend(() => {
        if (this.stopped) return Effect.never
        const answer = Effect.suspend(() =>
          this.partitioned || this.deaf ? Effect.fail(unavailable(operation)) : read
        )
        return Effect.andThen(this.awake.await, answer)
      })
    return Layer.succeed(VaultStore, {
      read: (id) => reached("read", store.read(id)),
      find: (fingerprints) => reached("find", store.find(fingerprints)),
      list: (filter) => Stream.unwrap(Effect.as(reached("list", Effect.void), store.list(filter))),
      write: (row) => {
        const boundary = { at: "store", label: "write", row } as const
        return Effect.gen({ self: this }, function* () {
          const first = yield* this.pass({ ...boundary, when: "before" })
          if (this.partitioned || first === "reset") return yield* unavailable("write")
          const wrote = yield* store.write(row)
          const then = yield* this.pass({ ...boundary, when: "committed" })
          return this.deaf || then === "reset" ? yield* unavailable("write") : wrote
        })
      }
    })
  }
}

const bytesOf = (data: BufferSource): Buffer =>
  ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(new Uint8Array(data))

const tagBytes = 16

/** Importing a key costs more than sealing with it. */
const imported = new Map<string, KeyObject>()

/**
 * The part of WebCrypto that seals and hashes, answered at once: the platform's own runs beside the program, and the test's clock
 * would have to wait for it.
 */
const subtle = {
  importKey: async (_format: string, data: BufferSource): Promise<KeyObject> => {
    const bytes = bytesOf(data)
    const name = bytes.toString("hex")
    const key = imported.get(name) ?? createSecretKey(Buffer.from(bytes))
    imported.set(name, key)
    return key
  },
  digest: async (_algorithm: unknown, data: BufferSource) =>
    toArrayBuffer(createHash("sha256").update(bytesOf(data)).digest()),
  sign: async (_algorithm: unknown, key: KeyObject, data: BufferSource) =>
    toArrayBuffer(createHmac("sha256", key).update(bytesOf(data)).digest()),
  deriveBits: async (
    { info, salt }: { readonly info: BufferSource; readonly salt: BufferSource },
    key: KeyObject,
    bits: number
  ) => hkdfSync("sha256", key, bytesOf(salt), bytesOf(info), bits / 8),
  encrypt: async ({ additionalData, iv }: AesGcmParams, key: KeyObject, data: BufferSource) => {
    const cipher = createCipheriv("aes-256-gcm", key, bytesOf(iv))
    if (additionalData !== undefined) cipher.setAAD(bytesOf(additionalData))
    return toArrayBuffer(Buffer.concat([cipher.update(bytesOf(data)), cipher.final(), cipher.getAuthTag()]))
  },
  decrypt: async ({ additionalData, iv }: AesGcmParams, key: KeyObject, data: BufferSource) => {
    const sealed = bytesOf(data)
    const decipher = createDecipheriv("aes-256-gcm", key, bytesOf(iv))
    if (additionalData !== undefined) decipher.setAAD(bytesOf(additionalData))
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes))
    return toArrayBuffer(
      Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - tagBytes)), decipher.final()])
    )
  }
}

const toArrayBuffer = (buffer: Buffer): ArrayBuffer => new Uint8Array(buffer).buffer

/** WebCrypto whose sealing is {@link subtle}; its randomness is the platform's. */
export const layerCrypto: Layer.Layer<never> = WebCrypto.layer(
  new Proxy(globalThis.crypto, {
    get: (target, name) => {
      if (name === "subtle") return subtle
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    }
  })
)
