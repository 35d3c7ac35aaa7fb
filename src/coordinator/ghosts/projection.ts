import type { DatabaseSync } from "node:sqlite";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** What the log says of sessions that nobody declared: when each was first seen, and what was decided. */
export const ghostsProjection = defineProjection({
  name: "ghosts",
  revision: 1,
  tables: ["ghosts"],
  create: `
    CREATE TABLE ghosts(
      server TEXT NOT NULL, tmux_id TEXT NOT NULL, name TEXT NOT NULL, first_seen_ms INTEGER NOT NULL,
      decision TEXT, because TEXT, by_actor TEXT, decided_at_ms INTEGER, archive TEXT, PRIMARY KEY (server, tmux_id)
    ) STRICT, WITHOUT ROWID;
  `,
  on: {
    "session.unknown": (db, { server, tmuxId, name }, { atMs }) => {
      if (server === undefined) return;
      statement(
        db,
        `INSERT INTO ghosts(server, tmux_id, name, first_seen_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (server, tmux_id) DO UPDATE SET name = excluded.name`,
      ).run(server, tmuxId, name, atMs);
    },
    "ghost.decided": (db, { server, tmuxId, name, decision, because, archive }, { atMs, actor }) => {
      statement(
        db,
        `INSERT INTO ghosts(server, tmux_id, name, first_seen_ms, decision, because, by_actor, decided_at_ms, archive)
         VALUES (:server, :tmuxId, :name, :at, :decision, :because, :actor, :at, :archive)
         ON CONFLICT (server, tmux_id) DO UPDATE SET
           decision = :decision, because = :because, by_actor = :actor, decided_at_ms = :at, archive = :archive`,
      ).run({ server, tmuxId, name, decision, because, archive, actor, at: atMs });
    },
  },
});

export interface GhostRow {
  tmuxId: string;
  name: string;
  firstSeenMs: number;
  decision: "adopted" | "ignored" | "quarantined" | "retired" | null;
  because: string | null;
  by: string | null;
}

/** Those of one server, by tmux id: ids begin again with the next server. */
export function ghostRows(db: DatabaseSync, server: string): Map<string, GhostRow> {
  const rows = statement(
    db,
    `SELECT tmux_id AS tmuxId, name, first_seen_ms AS firstSeenMs, decision, because, by_actor AS "by"
     FROM ghosts WHERE server = ?`,
  ).all(server) as unknown as GhostRow[];
  return new Map(rows.map((row) => [row.tmuxId, row]));
}
