/** What the names of tables may begin with: what SQLite and PostgreSQL read alike, quoted or not, and neither keeps for itself. */
const pattern = /^(?!sqlite)[a-z0-9_]+$/

/** Whether the names of tables may begin with this; `longest` is what the names of their indexes leave. */
export const isPrefix = (input: unknown, longest: number): input is string =>
  typeof input === "string" && input.length <= longest && pattern.test(input)

/** What {@link isPrefix} asks for, in words. */
export const rule = (longest: number): string =>
  `must be 1 to ${longest} of the letters a to z, digits and \`_\`, and not begin with \`sqlite\``
