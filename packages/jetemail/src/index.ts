/**
 * JetEmail's transactional keys: `import * as JetEmail from "@effect-api-keys/jetemail"`.
 *
 * @since 0.1.0
 */
export * from "./JetEmail.ts"
export { JetEmailClient, provider } from "./JetEmailClient.ts"
export type { JetEmailKey } from "./JetEmailSchema.ts"
