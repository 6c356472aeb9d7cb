/**
 * Reads single values out of vendors' replies, leniently: a value that is missing, `null` or of another shape is none, so
 * that one odd field does not hide the rest of a reply.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/**
 * An object, or an empty one: its fields are then none.
 *
 * @since 0.1.0
 * @category readers
 */
export const readObject = (value: unknown): { readonly [field: PropertyKey]: unknown } =>
  Predicate.isObject(value) ? value : {}

/**
 * A string that is not empty.
 *
 * @since 0.1.0
 * @category readers
 */
export const readString = (value: unknown): Option.Option<string> =>
  Predicate.isString(value) && value !== "" ? Option.some(value) : Option.none()

/**
 * A finite number, or a string that holds one.
 *
 * @since 0.1.0
 * @category readers
 */
export const readNumber = (value: unknown): Option.Option<number> => {
  const number = Predicate.isString(value) && value.trim() !== "" ? Number(value) : value
  return Predicate.isNumber(number) && Number.isFinite(number) ? Option.some(number) : Option.none()
}

/**
 * A boolean, 1 or 0, or a string that holds one of them.
 *
 * @since 0.1.0
 * @category readers
 */
export const readBoolean = (value: unknown): Option.Option<boolean> =>
  value === true || value === 1 || value === "true" || value === "1"
    ? Option.some(true)
    : value === false || value === 0 || value === "false" || value === "0"
      ? Option.some(false)
      : Option.none()

/**
 * A list in which every entry is a string; one that holds anything else is none, since what is left would be another list.
 *
 * @since 0.1.0
 * @category readers
 */
export const readStrings = (value: unknown): Option.Option<ReadonlyArray<string>> =>
  Array.isArray(value) && value.every(Predicate.isString) ? Option.some(value) : Option.none()

/**
 * A date from ISO 8601 text with an offset.
 *
 * @since 0.1.0
 * @category readers
 */
export const readIsoDate = (value: unknown): Option.Option<DateTime.Utc> =>
  Option.flatMap(
    Option.filter(readString(value), (text) => /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:?\d\d)$/.test(text)),
    DateTime.make
  )

/**
 * Whether a string can be a whole secret: visible ASCII of a sane length, and not masked or shortened (`*`, `..`).
 *
 * @since 0.1.0
 * @category secrets
 */
export const isPlainSecret = (text: string): boolean =>
  text.length > 0 && text.length <= 4096 && /^[\x21-\x7e]+$/.test(text) && !/\*|\.{2,}/.test(text)

/**
 * The objects of a reply, however deep (four levels at the most): where a secret is looked for by its name in a reply of an
 * unknown shape.
 *
 * @since 0.1.0
 * @category secrets
 */
export const objectsIn = (reply: unknown): ReadonlyArray<{ readonly [field: PropertyKey]: unknown }> => {
  const found: Array<{ readonly [field: PropertyKey]: unknown }> = []
  const visit = (value: unknown, depth: number): void => {
    if (!Predicate.isObjectOrArray(value)) return
    if (Predicate.isObject(value)) found.push(value)
    if (depth < 4) for (const inner of Object.values(value)) visit(inner, depth + 1)
  }
  visit(reply, 0)
  return found
}

/**
 * The strings of a reply, as deep: where a secret is looked for by its form.
 *
 * @since 0.1.0
 * @category secrets
 */
export const stringsIn = (reply: unknown): ReadonlyArray<string> => {
  const found: Array<string> = []
  const visit = (value: unknown, depth: number): void => {
    if (Predicate.isString(value)) found.push(value)
    else if (depth < 4 && Predicate.isObjectOrArray(value)) {
      for (const inner of Object.values(value)) visit(inner, depth + 1)
    }
  }
  visit(reply, 0)
  return found
}
