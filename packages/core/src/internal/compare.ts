import type { AllowList, Period, RateLimit, Restriction, Restrictions } from "../Restrictions.ts"

/** How far an observed value is from the wanted one, as access goes. */
export type Difference = "equal" | "wider" | "other"

const seconds = (period: Period): number =>
  (((period.weeks ?? 0) * 7 + (period.days ?? 0)) * 24 + (period.hours ?? 0)) * 3600 +
  (period.minutes ?? 0) * 60 +
  (period.seconds ?? 0)

const compareLists = (wanted: AllowList, observed: AllowList): Difference => {
  if (wanted === "any" || observed === "any")
    return wanted === observed ? "equal" : observed === "any" ? "wider" : "other"
  const allowed = new Set(wanted)
  if (observed.some((entry) => !allowed.has(entry))) return "wider"
  return new Set(observed).size === allowed.size ? "equal" : "other"
}

const compareQuotas = (wanted: "unlimited" | number, observed: "unlimited" | number): Difference => {
  if (wanted === observed) return "equal"
  if (observed === "unlimited") return "wider"
  return wanted !== "unlimited" && observed > wanted ? "wider" : "other"
}

const compareRates = (wanted: "unlimited" | RateLimit, observed: "unlimited" | RateLimit): Difference => {
  if (wanted === "unlimited" || observed === "unlimited") {
    return wanted === observed ? "equal" : observed === "unlimited" ? "wider" : "other"
  }
  const samePeriod =
    (wanted.per.months ?? 0) === (observed.per.months ?? 0) && seconds(wanted.per) === seconds(observed.per)
  if (samePeriod) return observed.max === wanted.max ? "equal" : observed.max > wanted.max ? "wider" : "other"
  return observed.max <= wanted.max &&
    (observed.per.months ?? 0) >= (wanted.per.months ?? 0) &&
    seconds(observed.per) >= seconds(wanted.per)
    ? "other"
    : "wider"
}

const comparisons: { readonly [K in Restriction]: (wanted: Restrictions[K], observed: Restrictions[K]) => Difference } =
  {
    domains: compareLists,
    ips: compareLists,
    origins: compareLists,
    scopes: compareLists,
    resources: compareLists,
    quota: compareQuotas,
    rate: compareRates
  }

/**
 * Compares an observed value of one restriction with the wanted one.
 *
 * Lists are compared as sets. `"wider"` means that the observed value allows something that the wanted one does not;
 * where two rates cannot be ordered the answer is `"wider"`, the safe reading.
 */
export const compareRestriction = <K extends Restriction>(
  restriction: K,
  wanted: Restrictions[K],
  observed: Restrictions[K]
): Difference => comparisons[restriction](wanted, observed)

/** Whether a value leaves its restriction open: `"any"` or `"unlimited"`. */
export const isUnrestricted = (value: Restrictions[Restriction]): value is "any" | "unlimited" =>
  value === "any" || value === "unlimited"
