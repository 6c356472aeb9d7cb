/**
 * Voiceable in memory, for tests of the programs that use it.
 *
 * @since 0.1.0
 */
export * as VoiceableSandbox from "./VoiceableSandbox.ts"
