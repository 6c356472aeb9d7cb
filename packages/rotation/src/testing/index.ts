/**
 * What tests of a vault are made of.
 *
 * @since 0.1.0
 */
export * as VaultConformance from "./VaultConformance.ts"
