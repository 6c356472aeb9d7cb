/** Mints one key at Resend. */
import { Resend } from "resend"

export const create = (apiKey: string, name: string) => new Resend(apiKey).apiKeys.create({ name })
