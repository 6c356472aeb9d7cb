/** Makes one customer at Stripe, whose client has no call that mints a key of the account. */
import Stripe from "stripe"

export const create = (apiKey: string, name: string) => new Stripe(apiKey).customers.create({ name })
