import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** What keeps something from being done: words of our own, and the names of an account and a slot. */
export interface Fault {
  readonly account?: string | undefined
  /** Not where it is the account's. */
  readonly slot?: string | undefined
  readonly problem: string
}

/** Says faults in the log that are met again and again, by whoever looks every few minutes. */
export interface Faults {
  /** Says a fault when it begins, and once a day while it lasts. */
  readonly say: (text: string, fault: Fault) => Effect.Effect<void>
  /**
   * A look is over that has met all faults there are: one that it has not met has ended, and is said anew when it comes back.
   * Where nobody tells of looks, each is said once a day.
   */
  readonly looked: Effect.Effect<void>
}

const again = Duration.toMillis("1 day")

/** How soon one that has ended is said when it begins anew: something may fail at every second look. */
const anew = Duration.toMillis("1 hour")

/** How many are remembered, and said one by one. */
const most = 100

interface Said {
  readonly at: number
  met: boolean
  ended: boolean
}

export const make = (): Faults => {
  const said = new Map<string, Said>()

  const isNews = (before: Said | undefined, now: number): boolean =>
    before === undefined || now < before.at || now - before.at >= (before.ended ? anew : again)

  const tell = (text: string, { account, problem, slot }: Fault) =>
    Effect.logWarning(text, {
      ...(account === undefined ? {} : { account }),
      ...(slot === undefined ? {} : { slot }),
      problem
    })

  const say = (text: string, fault: Fault, key: string, now: number): Effect.Effect<void> => {
    const before = said.get(key)
    if (before !== undefined) before.met = true
    if (!isNews(before, now)) return Effect.void
    said.set(key, { at: now, met: true, ended: false })
    return tell(text, fault)
  }

  /** Whether there is room for one more. */
  const hasRoom = (now: number): boolean => {
    if (said.size < most) return true
    for (const [key, { at }] of said) if (now - at >= again) said.delete(key)
    return said.size < most
  }

  return {
    say: (text, fault) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const key = [text, fault.account, fault.slot, fault.problem].join("\u0000")
        return said.has(key) || hasRoom(now)
          ? say(text, fault, key, now)
          : say(
              "there are more faults like this one, which are not named one by one",
              { problem: fault.problem },
              "",
              now
            )
      }),
    looked: Effect.map(Clock.currentTimeMillis, (now) => {
      for (const [key, one] of said) {
        if (one.met) one.met = false
        else if (now - one.at >= anew) said.delete(key)
        else one.ended = true
      }
    })
  }
}
