/**
 * Voiceable's API keys: `import * as Voiceable from "@effect-api-keys/voiceable"`.
 *
 * @since 0.1.0
 */
export * from "./Voiceable.ts"
export { provider, VoiceableClient } from "./VoiceableClient.ts"
export type { VoiceableKey } from "./VoiceableSchema.ts"
