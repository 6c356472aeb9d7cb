/**
 * What needs Node itself.
 *
 * @since 0.1.0
 */
export * as NodeSqlite from "./NodeSqlite.ts"
