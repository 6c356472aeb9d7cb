import type { VaultProblem } from "../VaultError.ts"

/** What a problem of the vault means, and what to do, where nobody knows it better. */
export const texts: { readonly [P in VaultProblem]: string } = {
  Unavailable: "the store did not take or give the slot; whether a write took place is not known. Try again",
  NotFound: "there is no such slot: take a key in with `adopt` first",
  Taken:
    "the slot holds another key already, or another slot holds this one: choose another name, or rotate the key that is held",
  Fenced: "someone else has gone on with this slot since; nothing was written",
  InProgress:
    "another rotation of this slot is open, or something of it is not done: wait for its end, resume it, or settle what is left",
  Unreadable:
    "what is stored for this slot cannot be opened: give the vault the sealing key that it was written with, and a version of this library that is not older",
  Invalid: "the request makes no sense"
}
