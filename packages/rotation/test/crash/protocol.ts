/** What the parent tells a rotating process, as JSON in its first argument. */
export interface Job {
  readonly store:
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "pg"; readonly url: string; readonly port: number; readonly transport: "socket" | "http" }
  /** Names the rotations: asked for again, they are the same. */
  readonly round: string
  readonly accounts: ReadonlyArray<{
    readonly name: "jetemail" | "smtp2go" | "voiceable"
    readonly baseUrl: string
    readonly credential: string
  }>
}

/** What it says, a line each. */
export type Said =
  | { readonly said: "ready" }
  | { readonly said: "ended"; readonly account: string; readonly outcome: string; readonly problem?: string }
  | { readonly said: "done" }

export const slot = "tenant-42/mail"

export const sealingKeys = { current: "test", key: Buffer.from("api_test_sealing_key_of_32_bytes").toString("base64") }

export const prefix = "crash"
