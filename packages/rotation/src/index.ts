/**
 * Rotate other vendors' API keys durably: a sealed vault that fences, and a workflow that survives crashes.
 *
 * @since 0.1.0
 */
export * from "./KeyVault.ts"
export * from "./Rotation.ts"
export * as RotationEngine from "./RotationEngine.ts"
export * from "./RotationError.ts"
export type { RotationEvent } from "./RotationEvent.ts"
export type { PlannedStep, RotationPlan } from "./RotationPlan.ts"
export type { ScheduleOptions } from "./RotationSchedule.ts"
export * from "./Slot.ts"
export * as SqlVaultStore from "./SqlVaultStore.ts"
export * from "./VaultError.ts"
export type { SlotFilter, SlotId, StoredSlot } from "./VaultStore.ts"
export * as VaultStore from "./VaultStore.ts"
export * from "./Verify.ts"
