import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { isSqlError, type SqlError, type SqlErrorReason } from "effect/sql/SqlError"

const texts: { readonly [Tag in Exclude<SqlErrorReason["_tag"], "UnknownError">]: string } = {
  ConnectionError: "the database cannot be reached, or its file cannot be opened",
  AuthenticationError: "the database does not take this user, or its password",
  AuthorizationError:
    "the database's user lacks a right: to read and write the tables, or to create them where there are none",
  SqlSyntaxError: "the tables are missing, or not as this version of the library makes them",
  UniqueViolation: "the database refuses the row: a rule of the tables that is not the library's",
  ConstraintError: "the database refuses the row: a rule of the tables that is not the library's",
  DeadlockError: "the database ended the transaction for the sake of another",
  SerializationError: "the database ended the transaction for the sake of another",
  LockTimeoutError: "someone else keeps the database, or the row, locked",
  StatementTimeoutError: "the database took too long"
}

/** Of the codes that Effect has no reason for: classes of SQLSTATE, codes of their own, and SQLite's names and numbers. */
const codes: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(53100|SQLITE_FULL|13)$/, "the database's disk is full"],
  [/^53/, "the database has no room left, or no connection"],
  [/^57P/, "the database is starting, or being shut down"],
  [/^(25006|SQLITE_READONLY.*|8)$/, "the database takes no writes: a replica, or a file that may only be read"],
  [/^(22021|22P05)$/, "the database cannot keep some character of the row: its encoding is not UTF-8"],
  [/^(58|F0|XX)|^(SQLITE_IOERR.*|10)$/, "the database cannot read or write its disk"],
  [/^(SQLITE_CORRUPT.*|SQLITE_NOTADB|11|26)$/, "the database is damaged, or is none"],
  [/^(SQLITE_ERROR|1)$/, texts.SqlSyntaxError]
]

/** PostgreSQL's code, or SQLite's without what extends it. */
const codeOf = (cause: unknown): string | undefined => {
  if (Predicate.hasProperty(cause, "errcode") && Predicate.isNumber(cause.errcode)) return String(cause.errcode & 0xff)
  if (!Predicate.hasProperty(cause, "code")) return undefined
  return Predicate.isString(cause.code) ? cause.code : undefined
}

const ofReason = (reason: SqlErrorReason): string | undefined => {
  if (reason._tag !== "UnknownError") return texts[reason._tag]
  const code = codeOf(reason.cause)
  return code === undefined ? undefined : codes.find(([pattern]) => pattern.test(code))?.[1]
}

/** What kept a database from it, in words of ours: what it says itself may hold parameters and rows, and goes no further. */
export const inWords = (cause: Cause.Cause<unknown>): string | undefined =>
  Option.getOrUndefined(
    Option.flatMap(
      Option.filter(Cause.findErrorOption(cause), (error): error is SqlError => isSqlError(error)),
      ({ reason }) => Option.fromUndefinedOr(ofReason(reason))
    )
  )
