/**
 * Manage other vendors' API keys from Effect.
 *
 * What adapters are built with (`ApiKeyDriver`, `ProviderClient`) has subpaths of its own.
 *
 * @since 0.1.0
 */
export * from "./ApiKey.ts"
export * from "./ApiKeyError.ts"
export * from "./ApiKeyService.ts"
export type * from "./ProviderOptions.ts"
export * from "./Recovery.ts"
export * from "./Restrictions.ts"
