/**
 * What tests are made of: vendors in memory, faults, and what every adapter must do.
 *
 * @since 0.1.0
 */
export * as Conformance from "./Conformance.ts"
export * as HttpFaults from "./HttpFaults.ts"
export * as HttpSandbox from "./HttpSandbox.ts"
export { issuedKey, layerTest } from "./layerTest.ts"
export * as MemoryProvider from "./MemoryProvider.ts"
export * as Witness from "./Witness.ts"
