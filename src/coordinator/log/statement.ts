import type { DatabaseSync, StatementSync } from "node:sqlite";

const PREPARED = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/**
 * The compiled form of `sql` on this connection, compiled once. For texts written in the code only: every different text
 * stays in memory while the connection lives.
 */
export function statement(db: DatabaseSync, sql: string): StatementSync {
  let known = PREPARED.get(db);
  if (!known) {
    known = new Map();
    PREPARED.set(db, known);
  }
  let found = known.get(sql);
  if (!found) {
    found = db.prepare(sql);
    known.set(sql, found);
  }
  return found;
}
