import type { DatabaseSync } from "node:sqlite";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/**
 * Mail and questions. A delivery, one per message and recipient, goes
 *
 *   queued → presented → acked        or straight from queued to acked, never back
 *
 * `queued`: durable, the body not yet handed over · `presented`: the body was handed over · `acked`: dealt with.
 */
export const messagesProjection = defineProjection({
  name: "messages",
  revision: 1,
  tables: ["messages", "deliveries", "asks"],
  create: `
    CREATE TABLE messages(
      position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, thread TEXT NOT NULL, sender TEXT NOT NULL, type TEXT NOT NULL,
      subject TEXT NOT NULL, body TEXT NOT NULL, data_json TEXT, priority TEXT NOT NULL, in_reply_to TEXT, at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_thread ON messages(thread, position);
    CREATE TABLE deliveries(
      recipient TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL, presented_at_ms INTEGER, acked_at_ms INTEGER,
      PRIMARY KEY (recipient, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_queued ON deliveries(recipient, position) WHERE state = 'queued';
    CREATE INDEX deliveries_position ON deliveries(position);
    CREATE TABLE asks(
      id TEXT PRIMARY KEY, sender TEXT NOT NULL, agent TEXT NOT NULL, text TEXT NOT NULL, route TEXT NOT NULL, state TEXT NOT NULL,
      answer TEXT, because TEXT, asked_at_ms INTEGER NOT NULL, ended_at_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX asks_open ON asks(agent) WHERE state = 'asked';`,
  on: {
    "message.sent": (db, data, { position, atMs }) => {
      statement(db, "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
        position,
        data.id,
        data.thread,
        data.from,
        data.type,
        data.subject,
        data.body,
        data.dataJson,
        data.priority,
        data.inReplyTo,
        atMs,
      );
      const deliver = statement(db, "INSERT INTO deliveries VALUES (?, ?, 'queued', NULL, NULL)");
      for (const recipient of new Set(data.to)) deliver.run(recipient, position);
    },
    "delivery.presented": (db, { message, to }, { atMs }) => {
      statement(
        db,
        `UPDATE deliveries SET state = 'presented', presented_at_ms = ?
         WHERE recipient = ? AND position = (SELECT position FROM messages WHERE id = ?) AND state = 'queued'`,
      ).run(atMs, to, message);
    },
    "delivery.acked": (db, { message, to }, { atMs }) => {
      statement(
        db,
        `UPDATE deliveries SET state = 'acked', acked_at_ms = ?
         WHERE recipient = ? AND position = (SELECT position FROM messages WHERE id = ?) AND state <> 'acked'`,
      ).run(atMs, to, message);
    },
    "ask.asked": (db, { ask, from, agent, text, route }, { atMs }) => {
      statement(db, "INSERT INTO asks VALUES (?, ?, ?, ?, ?, 'asked', NULL, NULL, ?, NULL)").run(
        ask,
        from,
        agent,
        text,
        route,
        atMs,
      );
    },
    "ask.answered": (db, { ask, text }, { atMs }) => {
      statement(
        db,
        "UPDATE asks SET state = 'answered', answer = ?, ended_at_ms = ? WHERE id = ? AND state = 'asked'",
      ).run(text, atMs, ask);
    },
    "ask.failed": (db, { ask, because }, { atMs }) => {
      statement(
        db,
        "UPDATE asks SET state = 'failed', because = ?, ended_at_ms = ? WHERE id = ? AND state = 'asked'",
      ).run(because, atMs, ask);
    },
  },
});

export interface MessageRow {
  /** Place in the log; what `after` counts in. */
  position: number;
  id: string;
  thread: string;
  from: string;
  type: string;
  subject: string;
  body: string;
  dataJson: string | null;
  priority: string;
  inReplyTo: string | null;
  atMs: number;
}

export type DeliveryState = "queued" | "presented" | "acked";

/** A message as one recipient has it. */
export interface InboxRow extends MessageRow {
  to: string;
  state: DeliveryState;
  presentedAtMs: number | null;
  ackedAtMs: number | null;
}

const MESSAGE_COLUMNS = `messages.position, id, thread, sender AS "from", type, subject, body, data_json AS dataJson, priority,
  in_reply_to AS inReplyTo, at_ms AS atMs`;

export function messageRow(db: DatabaseSync, id: string): MessageRow | null {
  const row = statement(db, `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE id = ?`).get(id);
  return row ? ({ ...row } as unknown as MessageRow) : null;
}

const INBOX_COLUMNS = `${MESSAGE_COLUMNS}, recipient AS "to", state, presented_at_ms AS presentedAtMs, acked_at_ms AS ackedAtMs
  FROM deliveries JOIN messages ON messages.position = deliveries.position`;

/**
 * Mail of `who` after position `after`, oldest first, at most `limit`; `unread` leaves only what is `queued`. `next` is the
 * `after` for the rest, null at the end. `unreadCount` counts the whole inbox.
 */
export function inbox(
  db: DatabaseSync,
  who: string,
  options: { after?: number; limit?: number; unread?: boolean } = {},
): { messages: InboxRow[]; next: number | null; unreadCount: number } {
  const { after = 0, limit = 100, unread = false } = options;
  const which = unread ? "AND state = 'queued'" : "";
  const rows = statement(
    db,
    `SELECT ${INBOX_COLUMNS} WHERE recipient = ? AND deliveries.position > ? ${which} ORDER BY deliveries.position LIMIT ?`,
  ).all(who, after, limit + 1);
  const messages = rows.slice(0, limit).map((row) => ({ ...row }) as unknown as InboxRow);
  const next = rows.length > limit ? messages.at(-1)!.position : null;
  return { messages, next, unreadCount: unreadCount(db, who) };
}

/** Deliveries of `who` that are still `queued`. */
export function unreadCount(db: DatabaseSync, who: string): number {
  return statement(db, "SELECT COUNT(*) AS count FROM deliveries WHERE recipient = ? AND state = 'queued'").get(who)!
    .count as number;
}

/** One message as `who` has it; null when it was not written to them. */
export function deliveryOf(db: DatabaseSync, message: string, who: string): InboxRow | null {
  const row = statement(db, `SELECT ${INBOX_COLUMNS} WHERE recipient = ? AND id = ?`).get(who, message);
  return row ? ({ ...row } as unknown as InboxRow) : null;
}

/** How far a message has come with each recipient, by recipient. */
export function deliveriesOf(db: DatabaseSync, message: string): { to: string; state: DeliveryState }[] {
  return statement(
    db,
    `SELECT recipient AS "to", state FROM deliveries
     WHERE position = (SELECT position FROM messages WHERE id = ?) ORDER BY recipient`,
  )
    .all(message)
    .map((row) => ({ ...row }) as unknown as { to: string; state: DeliveryState });
}

export interface AskRow {
  id: string;
  from: string;
  agent: string;
  text: string;
  route: string;
  state: "asked" | "answered" | "failed";
  answer: string | null;
  /** Why it failed. */
  because: string | null;
  askedAtMs: number;
  endedAtMs: number | null;
}

const ASK_COLUMNS = `id, sender AS "from", agent, text, route, state, answer, because, asked_at_ms AS askedAtMs,
  ended_at_ms AS endedAtMs FROM asks`;

export function askRow(db: DatabaseSync, id: string): AskRow | null {
  const row = statement(db, `SELECT ${ASK_COLUMNS} WHERE id = ?`).get(id);
  return row ? ({ ...row } as unknown as AskRow) : null;
}

/** Questions to `agent` without an answer yet, oldest first. */
export function openAsks(db: DatabaseSync, agent: string): AskRow[] {
  return statement(db, `SELECT ${ASK_COLUMNS} WHERE agent = ? AND state = 'asked' ORDER BY asked_at_ms, id`)
    .all(agent)
    .map((row) => ({ ...row }) as unknown as AskRow);
}

/** Mail not handed over yet, per recipient that has any. */
export function unreadCounts(db: DatabaseSync): Map<string, number> {
  const rows = statement(
    db,
    "SELECT recipient, count(*) AS n FROM deliveries WHERE state = 'queued' GROUP BY recipient",
  ).all();
  return new Map((rows as unknown as { recipient: string; n: number }[]).map((row) => [row.recipient, row.n]));
}

/** Newest acknowledged deliveries whose delays a report looks at; older ones say little about today. */
const DELAYS = 10_000;

/** Mail of one agent, counted. */
export interface MailFigures {
  sent: number;
  received: number;
  acked: number;
  /** From sent to acknowledged, ms, ascending; of the newest 10,000. */
  ackDelaysMs: number[];
}

export function mailFigures(db: DatabaseSync, who: string): MailFigures {
  const count = (sql: string): number => statement(db, sql).get(who)!.n as number;
  return {
    sent: count("SELECT COUNT(*) AS n FROM messages WHERE sender = ?"),
    received: count("SELECT COUNT(*) AS n FROM deliveries WHERE recipient = ?"),
    acked: count("SELECT COUNT(*) AS n FROM deliveries WHERE recipient = ? AND state = 'acked'"),
    ackDelaysMs: statement(
      db,
      `SELECT acked_at_ms - at_ms AS ms FROM deliveries JOIN messages ON messages.position = deliveries.position
       WHERE recipient = ? AND state = 'acked' ORDER BY deliveries.position DESC LIMIT ${DELAYS}`,
    )
      .all(who)
      .map((row) => row.ms as number)
      .sort((a, b) => a - b),
  };
}

/** Deliveries by state; states that nobody has are absent. */
export function deliveryCounts(db: DatabaseSync): Record<string, number> {
  const rows = statement(db, "SELECT state, COUNT(*) AS n FROM deliveries GROUP BY state").all();
  return Object.fromEntries(rows.map((row) => [row.state as string, row.n as number]));
}
