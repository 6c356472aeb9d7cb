/**
 * A service of your own over `ApiKeyService`: the rest of your program knows mailboxes, and nothing of keys or vendors.
 *
 * `can` in its layer says what it relies on; whoever provides that layer with a vendor that lacks it gets a compile error.
 * It is tested twice, see `test/userService.test.ts`: with `layerTest`, where the test says what the verbs do, and against a
 * vendor's sandbox, where the vendor does.
 */
import { type ApiKeyError, ApiKeyService } from "@effect-api-keys/core"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Vault } from "./Vault.ts"

/** Try again later; anything else that goes wrong is ours to mend, and a defect to the caller. */
export class MailIsBusy extends Data.TaggedError("MailIsBusy")<{ readonly tenant: string }> {}

export class Mailboxes extends Context.Service<
  Mailboxes,
  {
    /** Opens a tenant's mailbox; its key is in the vault under the tenant's name. Gives a name for logs. */
    readonly open: (tenant: string, domain: string) => Effect.Effect<string, MailIsBusy>
    /** Closes it for good; closing one that is not open is no error. */
    readonly close: (tenant: string) => Effect.Effect<void, MailIsBusy>
  }
>()("@effect-api-keys/examples/Mailboxes") {}

const busy = (tenant: string) => (error: ApiKeyError) =>
  error.isRetryable ? Effect.fail(new MailIsBusy({ tenant })) : Effect.die(error)

export const layer = Layer.effect(
  Mailboxes,
  Effect.gen(function* () {
    const keys = yield* ApiKeyService.can("create", "delete", "domains")
    const vault = yield* Vault
    return {
      open: (tenant, domain) =>
        keys.create({ name: tenant, domains: [domain] }, { deliver: vault.put(tenant) }).pipe(
          Effect.map(({ handle }) => handle),
          Effect.catchTag("ApiKeyError", busy(tenant))
        ),
      close: Effect.fnUntraced(function* (tenant) {
        const key = yield* vault.read(tenant)
        if (Option.isNone(key)) return
        yield* keys.delete(key.value.ref).pipe(
          Effect.catchReason("ApiKeyError", "KeyNotFound", () => Effect.void),
          Effect.catchTag("ApiKeyError", busy(tenant))
        )
      })
    }
  })
)
