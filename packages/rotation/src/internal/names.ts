/** How long a name of an account, a slot or a rotation may be. Names are bound into seals, and stand in keys of tables. */
const longest = 512

/** Whether a text can be such a name. */
export const isName = (input: unknown): input is string =>
  typeof input === "string" &&
  input.length > 0 &&
  input.length <= longest &&
  input.isWellFormed() &&
  !/\p{Cc}/u.test(input)

/** What {@link isName} asks for, in words. */
export const rule = `must be 1 to ${longest} characters, without control characters`
