/** How the time of each validator grows with its input: no input makes one slower than in proportion to its length. */
import * as WireValue from "@effect-api-keys/core/WireValue"
import { salvageToken } from "@effect-api-keys/jetemail/JetEmailSchema"
import * as JetEmailToken from "../../packages/jetemail/src/internal/token.ts"
import * as JetEmail from "../../packages/jetemail/src/internal/validators.ts"
import * as MailerPatchSecret from "../../packages/mailer-patch/src/internal/secret.ts"
import * as MailerPatch from "../../packages/mailer-patch/src/internal/validators.ts"
import * as Names from "../../packages/rotation/src/internal/names.ts"
import * as Voiceable from "../../packages/voiceable/src/internal/validators.ts"
import { type Row, round, type Size, target } from "./rows.ts"

const lengths = { "10²": 1e2, "10³": 1e3, "10⁴": 1e4, "10⁵": 1e5, "10⁶": 1e6 }

const filled = (pattern: string, end: string) => (length: number) =>
  pattern.repeat(Math.ceil(length / pattern.length)).slice(0, length - end.length) + end

/** What makes patterns backtrack: long runs that almost match, and fail at their end. */
const inputs: ReadonlyArray<(length: number) => string> = [
  filled("a", "!"),
  filled("a-", "!"),
  filled("a.", "!"),
  filled("1:", "!"),
  filled("/a", "!"),
  filled("%%A", "!"),
  filled(" ", "!"),
  filled('"api_token": ', "!"),
  filled('"api_token":"a', "!")
]

/** With what each wants an input to begin with, so that it is looked at further. */
const validators: Readonly<Record<string, readonly [begin: string, check: (text: string) => unknown]>> = {
  "JetEmail: name": ["", JetEmail.checkName],
  "JetEmail: domain": ["", JetEmail.checkDomain],
  "JetEmail: IP": ["", JetEmail.checkIp],
  "JetEmail: token": ["transactional_", JetEmailToken.checkToken],
  "JetEmail: a token in text that is no JSON": ["", (text) => salvageToken(text, [])],
  "JetEmail: a token in JSON": ["transactional_1", (text) => salvageToken({ value: text }, [])],
  "SMTP2GO: endpoint": ["/", MailerPatch.checkEndpoint],
  "SMTP2GO: e-mail": ["a", MailerPatch.isEmail],
  "SMTP2GO: footer": ["", MailerPatch.isFooter],
  "SMTP2GO: key": ["api-", MailerPatchSecret.checkKey],
  "SMTP2GO: username": ["api-", MailerPatchSecret.readUsername],
  "Voiceable: id": ["1", Voiceable.checkId],
  "Voiceable: origin": ["https://", Voiceable.checkOrigin],
  "Voiceable: assistant": ["", Voiceable.checkAssistant],
  "replies: secret": ["", WireValue.isPlainSecret],
  "replies: number": ["1", WireValue.readNumber],
  "replies: date": ["2026-01-01T", WireValue.readIsoDate],
  "vault: name": ["", Names.isName]
}

const batches = { full: 12, quick: 6 }

/** How often a check is run before the clock is looked at: often enough for the clock to tell. */
const leastMicros = 100

const batch = (check: () => unknown, calls: number): number => {
  const from = performance.now()
  for (let call = 0; call < calls; call++) check()
  return ((performance.now() - from) * 1000) / calls
}

/** Microseconds a call, in the best of some batches: whatever else the machine does only makes one slower. */
const micros = (check: () => unknown, count: number): number => {
  let calls = 1
  let best = batch(check, calls)
  for (let done = 1; done < count; done++) {
    calls = Math.max(1, Math.ceil(leastMicros / Math.max(best, 0.01)))
    best = Math.min(best, batch(check, calls))
  }
  return best
}

export const measure = async (size: Size): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  let steepest = 0
  for (const [name, [begin, check]] of Object.entries(validators)) {
    const worst = Object.values(lengths).map((length) =>
      Math.max(
        ...inputs.map((make) => {
          const text = begin + make(length)
          return micros(() => check(text), batches[size])
        })
      )
    )
    // How the time grows with ten times the input, by what it is for a hundred times, where that is more than a moment.
    const growth = Math.max(
      ...worst.slice(2).map((time, index) => (time < 20 ? 1 : Math.sqrt(time / (worst[index] ?? time))))
    )
    steepest = Math.max(steepest, growth)
    rows.push({
      group: "validators, worst of nine inputs, µs by length",
      name,
      ...Object.fromEntries(Object.keys(lengths).map((length, index) => [length, round(worst[index] ?? 0, 1)])),
      "growth for 10 × the length": round(growth, 1)
    })
  }
  return [...rows, target("validators, time for 10 × the length", steepest, 20, "×")]
}
