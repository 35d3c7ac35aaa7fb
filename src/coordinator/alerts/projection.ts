import type { DatabaseSync } from "node:sqlite";
import type { AlertLevel } from "../../protocol/alert.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** Alerts, with who has them. */
export const alertsProjection = defineProjection({
  name: "alerts",
  revision: 1,
  tables: ["alerts"],
  create: `
    CREATE TABLE alerts(
      id INTEGER PRIMARY KEY, level TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, by_actor TEXT NOT NULL,
      raised_at_ms INTEGER NOT NULL, ack_at_ms INTEGER, ack_by TEXT, ack_note TEXT, cleared_at_ms INTEGER
    ) STRICT;
    CREATE INDEX alerts_open ON alerts(key) WHERE cleared_at_ms IS NULL;`,
  on: {
    "alert.raised": (db, { id, level, key, text, by }, { atMs }) => {
      statement(db, "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)").run(
        id,
        level,
        key,
        text,
        by,
        atMs,
      );
    },
    "alert.acknowledged": (db, { ids, note }, { atMs, actor }) => {
      for (const id of ids)
        statement(db, "UPDATE alerts SET ack_at_ms = ?, ack_by = ?, ack_note = ? WHERE id = ?").run(
          atMs,
          actor,
          note,
          id,
        );
    },
    "alert.cleared": (db, { ids }, { atMs }) => {
      for (const id of ids) statement(db, "UPDATE alerts SET cleared_at_ms = ? WHERE id = ?").run(atMs, id);
    },
  },
});

export interface AlertRow {
  id: number;
  level: AlertLevel;
  key: string;
  text: string;
  by: string;
  raisedAtMs: number;
  ackAtMs: number | null;
  ackBy: string | null;
  ackNote: string | null;
  clearedAtMs: number | null;
}

const COLUMNS = `id, level, key, text, by_actor AS "by", raised_at_ms AS raisedAtMs, ack_at_ms AS ackAtMs, ack_by AS ackBy,
  ack_note AS ackNote, cleared_at_ms AS clearedAtMs`;

/** Loudest first, then newest; without `all` those that nobody has and that have not passed. */
export function alertRows(db: DatabaseSync, all: boolean, limit: number): AlertRow[] {
  return statement(
    db,
    `SELECT ${COLUMNS} FROM alerts WHERE ? OR (ack_at_ms IS NULL AND cleared_at_ms IS NULL)
     ORDER BY ${all ? "id DESC" : "level, id DESC"} LIMIT ?`,
  )
    .all(all ? 1 : 0, limit)
    .map((row) => ({ ...row }) as unknown as AlertRow);
}

/** The alert that is about this and has not passed, or null. */
export function openAlert(db: DatabaseSync, key: string): AlertRow | null {
  const row = statement(
    db,
    `SELECT ${COLUMNS} FROM alerts WHERE key = ? AND cleared_at_ms IS NULL ORDER BY id DESC`,
  ).get(key);
  return row ? ({ ...row } as unknown as AlertRow) : null;
}

export function alertRow(db: DatabaseSync, id: number): AlertRow | null {
  const row = statement(db, `SELECT ${COLUMNS} FROM alerts WHERE id = ?`).get(id);
  return row ? ({ ...row } as unknown as AlertRow) : null;
}

export function newestAlert(db: DatabaseSync): number {
  return (statement(db, "SELECT COALESCE(MAX(id), 0) AS id FROM alerts").get() as { id: number }).id;
}
