import type { Period } from "@effect-api-keys/core/Restrictions"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/**
 * The vendor's words for a span of time: `<n> hour[s]|day[s]|week[s]|month[s]`, `[h]h:mm:ss`, or the first and then the
 * second. Source: `custom_ratelimit_period` on the page "Patch an API key". Group 1 and 2 are count and unit, 3 to 5 the clock.
 */
const grammar = /^(?:(\d{1,6}) (hour|day|week|month)s?)?(?:(?:^| )(\d{1,3}):([0-5]\d):([0-5]\d))?$/

const secondsOf = { hour: 3600, day: 86_400, week: 604_800 } as const
const day = secondsOf.day

const words = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? "" : "s"}`

const clock = (seconds: number): string => {
  const two = (number: number) => String(number).padStart(2, "0")
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

const totalSeconds = ({ days = 0, hours = 0, minutes = 0, seconds = 0, weeks = 0 }: Period): number =>
  weeks * secondsOf.week + days * day + hours * secondsOf.hour + minutes * 60 + seconds

/**
 * A period in the vendor's words. One unit stays as it is; several are added up. The clock stays below a day, as in the
 * vendor's examples: whether it may be more is not said.
 */
export const formatPeriod = (period: Period): Result.Result<string, string> => {
  const { months = 0 } = period
  const seconds = totalSeconds(period)
  if (Math.max(months, seconds / secondsOf.hour) > 999_999) return Result.fail("is too long a period")
  if (months > 0) {
    if (seconds >= day)
      return Result.fail("months can be combined with less than a day only: SMTP2GO has no words for more")
    return Result.succeed(seconds === 0 ? words(months, "month") : `${words(months, "month")} ${clock(seconds)}`)
  }
  const units = Object.keys(period)
  for (const unit of ["hour", "day", "week"] as const) {
    if (units.length === 1 && units[0] === `${unit}s`) return Result.succeed(words(seconds / secondsOf[unit], unit))
  }
  if (seconds < day) return Result.succeed(clock(seconds))
  const days = words(Math.floor(seconds / day), "day")
  return Result.succeed(seconds % day === 0 ? days : `${days} ${clock(seconds % day)}`)
}

/** A period from the vendor's words; none where they are not of the grammar, or mean no time at all (`0:00:00`). */
export const parsePeriod = (text: string): Option.Option<Period> => {
  const match = grammar.exec(text)
  if (match === null) return Option.none()
  const [, count = "0", unit, ...clockParts] = match
  const [hours = 0, minutes = 0, seconds = 0] = clockParts.map((part) => Number(part ?? 0))
  const units = {
    months: unit === "month" ? Number(count) : 0,
    weeks: unit === "week" ? Number(count) : 0,
    days: unit === "day" ? Number(count) : 0,
    hours: (unit === "hour" ? Number(count) : 0) + hours,
    minutes,
    seconds
  }
  const given = Object.entries(units).filter(([, amount]) => amount > 0)
  return given.length === 0 ? Option.none() : Option.some(Object.fromEntries(given))
}
