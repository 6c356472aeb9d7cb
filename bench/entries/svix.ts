/** Makes one application at Svix. */
import { Svix } from "svix"

export const create = (token: string, name: string) => new Svix(token).application.create({ name })
