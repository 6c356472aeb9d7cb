/**
 * SMTP2GO's API keys: `import * as MailerPatch from "@effect-api-keys/mailer-patch"`.
 *
 * @since 0.1.0
 */
export * from "./MailerPatch.ts"
export { MailerPatchClient, provider, type Region } from "./MailerPatchClient.ts"
export type { MailerPatchKey } from "./MailerPatchSchema.ts"
