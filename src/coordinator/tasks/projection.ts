import type { DatabaseSync } from "node:sqlite";
import type { TaskState } from "../../protocol/task.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** Work that was offered or handed over, whose it is, and all that happened to it. */
export const tasksProjection = defineProjection({
  name: "tasks",
  revision: 1,
  tables: ["tasks", "task_offers", "task_history"],
  create: `
    CREATE TABLE tasks(
      id TEXT PRIMARY KEY, title TEXT NOT NULL, state TEXT NOT NULL, owner TEXT, offered_by TEXT NOT NULL, message TEXT NOT NULL,
      since_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tasks_owner ON tasks(owner, state, id);
    CREATE INDEX tasks_state ON tasks(state, id);
    CREATE TABLE task_offers(
      agent TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (agent, task)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX task_offers_task ON task_offers(task);
    CREATE TABLE task_history(
      task TEXT NOT NULL, position INTEGER NOT NULL, what TEXT NOT NULL, actor TEXT NOT NULL, to_json TEXT NOT NULL,
      at_ms INTEGER NOT NULL, message TEXT, note TEXT, PRIMARY KEY (task, position)
    ) STRICT, WITHOUT ROWID;`,
  on: {
    "task.offered": (db, { task, title, by, to, message }, { position, atMs }) => {
      // Whoever offers their own task keeps it until somebody accepts.
      statement(
        db,
        `INSERT INTO tasks VALUES (:task, :title, 'offered', NULL, :by, :message, :at)
         ON CONFLICT (id) DO UPDATE SET title = :title, state = 'offered', offered_by = :by, message = :message, since_ms = :at`,
      ).run({ task, title, by, message, at: atMs });
      const offer = statement(db, "INSERT OR IGNORE INTO task_offers VALUES (?, ?)");
      for (const agent of to) offer.run(agent, task);
      remember(db, task, position, "offered", by, to, atMs, message, null);
    },
    "task.accepted": (db, { task, by, message, note }, { position, atMs }) => {
      settle(db, task, "accepted", by, atMs);
      remember(db, task, position, "accepted", by, [], atMs, message, note);
    },
    "task.declined": (db, { task, by, note }, { position, atMs }) => {
      statement(db, "DELETE FROM task_offers WHERE agent = ? AND task = ?").run(by, task);
      // Nobody is left: it stays with its owner, if it has one.
      statement(
        db,
        `UPDATE tasks SET state = CASE WHEN owner IS NULL THEN 'declined' ELSE 'accepted' END, since_ms = :at
         WHERE id = :task AND state = 'offered' AND NOT EXISTS (SELECT 1 FROM task_offers WHERE task = :task)`,
      ).run({ task, at: atMs });
      remember(db, task, position, "declined", by, [], atMs, null, note);
    },
    "task.handed": (db, { task, title, from, to, message }, { position, atMs }) => {
      statement(
        db,
        `INSERT INTO tasks VALUES (:task, :title, 'accepted', :to, :from, :message, :at)
         ON CONFLICT (id) DO UPDATE SET title = :title, state = 'accepted', owner = :to, offered_by = :from,
           message = :message, since_ms = :at`,
      ).run({ task, title, from, to, message, at: atMs });
      statement(db, "DELETE FROM task_offers WHERE task = ?").run(task);
      remember(db, task, position, "handed", from, [to], atMs, message, null);
    },
    "task.done": (db, { task, by, note }, { position, atMs }) => {
      settle(db, task, "done", by, atMs);
      remember(db, task, position, "done", by, [], atMs, null, note);
    },
  },
});

function settle(db: DatabaseSync, task: string, state: TaskState, owner: string, atMs: number): void {
  statement(db, "UPDATE tasks SET state = ?, owner = ?, since_ms = ? WHERE id = ?").run(state, owner, atMs, task);
  statement(db, "DELETE FROM task_offers WHERE task = ?").run(task);
}

export interface TaskStep {
  what: "offered" | "accepted" | "declined" | "handed" | "done";
  by: string;
  to: string[];
  atMs: number;
  message: string | null;
  note: string | null;
}

function remember(
  db: DatabaseSync,
  task: string,
  position: number,
  what: TaskStep["what"],
  by: string,
  to: readonly string[],
  atMs: number,
  message: string | null,
  note: string | null,
): void {
  statement(db, "INSERT INTO task_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)").run(
    task,
    position,
    what,
    by,
    JSON.stringify(to),
    atMs,
    message,
    note,
  );
}

export interface TaskRow {
  id: string;
  title: string;
  state: TaskState;
  /** Whose it is; null while nobody has accepted it. */
  owner: string | null;
  /** Who offered it, or handed it over last. */
  by: string;
  /** Who may still accept it. */
  offeredTo: string[];
  /** The offer or the last handoff. */
  message: string;
  sinceMs: number;
}

const COLUMNS = `id, title, state, owner, offered_by AS by, message, since_ms AS sinceMs,
  (SELECT json_group_array(agent) FROM (SELECT agent FROM task_offers WHERE task = tasks.id ORDER BY agent)) AS offeredTo`;

function toTaskRow(row: Record<string, unknown>): TaskRow {
  return { ...(row as unknown as TaskRow), offeredTo: JSON.parse(row.offeredTo as string) as string[] };
}

export function taskRow(db: DatabaseSync, id: string): TaskRow | null {
  const row = statement(db, `SELECT ${COLUMNS} FROM tasks WHERE id = ?`).get(id);
  return row ? toTaskRow(row) : null;
}

export interface TaskFilter {
  owner?: string | undefined;
  states?: readonly string[] | undefined;
  offeredTo?: string | undefined;
}

/** By id, after `after`, at most `limit`. */
export function tasksPage(db: DatabaseSync, filter: TaskFilter, after: string, limit: number): TaskRow[] {
  const where = ["id > :after"];
  const values: Record<string, string | number> = { after, limit };
  if (filter.owner !== undefined) {
    where.push("owner = :owner");
    values.owner = filter.owner;
  }
  if (filter.states !== undefined) {
    where.push("state IN (SELECT value FROM json_each(:states))");
    values.states = JSON.stringify(filter.states);
  }
  if (filter.offeredTo !== undefined) {
    where.push("id IN (SELECT task FROM task_offers WHERE agent = :offered)");
    values.offered = filter.offeredTo;
  }
  return statement(db, `SELECT ${COLUMNS} FROM tasks WHERE ${where.join(" AND ")} ORDER BY id LIMIT :limit`)
    .all(values)
    .map(toTaskRow);
}

/** How many tasks are whose, in these states. */
export function taskCount(db: DatabaseSync, owner: string, state: TaskState): number {
  return statement(db, "SELECT COUNT(*) AS n FROM tasks WHERE owner = ? AND state = ?").get(owner, state)!.n as number;
}

/** All that happened to it, oldest first. */
export function taskHistory(db: DatabaseSync, id: string): TaskStep[] {
  return statement(
    db,
    `SELECT what, actor AS by, to_json AS "to", at_ms AS atMs, message, note FROM task_history WHERE task = ? ORDER BY position`,
  )
    .all(id)
    .map((row) => ({ ...(row as unknown as TaskStep), to: JSON.parse(row.to as string) as string[] }));
}
