import { BosunError } from "../../protocol/error.ts";

/** Primary SQLite result codes that speak of the disk or the file, not of the statement. */
const SQLITE_BUSY = 5;
const SQLITE_NOMEM = 7;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;
const OF_THE_STORE = [
  SQLITE_BUSY,
  SQLITE_NOMEM,
  SQLITE_READONLY,
  SQLITE_IOERR,
  SQLITE_CORRUPT,
  SQLITE_FULL,
  SQLITE_CANTOPEN,
  SQLITE_NOTADB,
];

function resultCode(thrown: unknown): number | null {
  const code = (thrown as { errcode?: unknown } | null)?.errcode;
  // The low byte is the primary code, the rest says which kind of it.
  return typeof code === "number" ? code & 0xff : null;
}

/** Whether the store itself failed, so that nothing else in the same transaction can be trusted to land either. */
export function isStorageFailure(thrown: unknown): boolean {
  const code = resultCode(thrown);
  return code !== null && OF_THE_STORE.includes(code);
}

/** A failure of the store in words a person can act on; anything else comes back as it is. */
export function explainStorageFailure(thrown: unknown, file: string): unknown {
  const code = resultCode(thrown);
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  if (code === SQLITE_FULL) {
    return new BosunError({
      code: "DISK_FULL",
      what: `nothing was stored: no room for ${file}`,
      why,
      fix: "free some space and repeat the command; the coordinator goes on by itself",
    });
  }
  if (code === SQLITE_BUSY) {
    return new BosunError({
      code: "CONFLICT",
      what: `another process has ${file} open`,
      why: "a town's log has one writer, its coordinator",
      fix: "bosun status",
    });
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) return damaged(file, why);
  if (code !== null && isStorageFailure(thrown)) {
    return new BosunError({
      code: "FAILED",
      what: `nothing was stored: ${file} could not be written or read`,
      why,
      fix: "check the disk (`df`, `dmesg`) and the rights of the folder, then repeat the command",
    });
  }
  return thrown;
}

export function damaged(file: string, why: string): BosunError {
  return new BosunError({
    code: "LOG_DAMAGED",
    what: `${file} is damaged`,
    why,
    fix: "stop the coordinator, keep a copy of the file for study, put the newest backup in its place, then `bosun audit verify`",
  });
}
