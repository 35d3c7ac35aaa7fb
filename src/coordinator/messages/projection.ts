import type { DatabaseSync } from "node:sqlite";
import { DELIVERY_STATES, type DeliveryState, type Outcome, PRIORITIES } from "../../protocol/message.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** Numbers of the delivery states, in the order a delivery goes through them. */
const [QUEUED, NOTIFIED, PRESENTED, ACKED] = [0, 1, 2, 3] as const;

/**
 * Mail. A delivery, one per message and recipient, goes queued → notified → presented → acked, may leave steps
 * out, and never goes back; it keeps the epoch of the run it was presented to.
 *
 * `mailboxes` and `mail_counts` are kept with every change, so that totals cost the same with ten messages and with a
 * million. Unread mail with a time to live is not among `unread` and `urgent`: it stops counting by the clock, and is counted
 * when asked for, through an index of its own.
 */
export const messagesProjection = defineProjection({
  name: "messages",
  revision: 2,
  tables: ["messages", "deliveries", "mailboxes", "mail_counts"],
  create: `
    CREATE TABLE messages(
      position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, thread TEXT NOT NULL, sender TEXT NOT NULL, human INTEGER NOT NULL,
      type TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, data_json TEXT, priority TEXT NOT NULL, in_reply_to TEXT,
      addressed_json TEXT NOT NULL, ack INTEGER NOT NULL, expires_at_ms INTEGER, task TEXT, open INTEGER, at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_thread ON messages(thread, position);
    CREATE INDEX messages_open_task ON messages(task) WHERE open = 1 AND task IS NOT NULL;
    CREATE TABLE deliveries(
      recipient TEXT NOT NULL, position INTEGER NOT NULL, rank INTEGER NOT NULL, state INTEGER NOT NULL, ack INTEGER NOT NULL,
      expires_at_ms INTEGER, epoch INTEGER NOT NULL, outcome TEXT, note TEXT,
      notified_at_ms INTEGER, presented_at_ms INTEGER, acked_at_ms INTEGER,
      PRIMARY KEY (recipient, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_position ON deliveries(position);
    CREATE INDEX deliveries_unread ON deliveries(recipient, rank, position) WHERE state < 2;
    CREATE INDEX deliveries_unacked ON deliveries(recipient, rank, position) WHERE ack = 1 AND state = 2;
    CREATE INDEX deliveries_passing ON deliveries(recipient, expires_at_ms) WHERE state < 2 AND expires_at_ms IS NOT NULL;
    CREATE INDEX deliveries_expired ON deliveries(expires_at_ms) WHERE state < 2 AND expires_at_ms IS NOT NULL;
    CREATE TABLE mailboxes(
      who TEXT PRIMARY KEY, sent INTEGER NOT NULL, received INTEGER NOT NULL, handed INTEGER NOT NULL, acked INTEGER NOT NULL,
      unread INTEGER NOT NULL, urgent INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mail_counts(
      kind TEXT NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, value)
    ) STRICT, WITHOUT ROWID;`,
  on: {
    "message.sent": (db, data, { position, atMs }) => {
      const rank = Math.max(0, PRIORITIES.indexOf(data.priority as (typeof PRIORITIES)[number]));
      const open = data.type === "request" || data.type === "task_offer" ? 1 : null;
      const ack = data.ack ? 1 : 0;
      const expires = data.expiresAtMs ?? null;
      statement(db, "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
        position,
        data.id,
        data.thread,
        data.from,
        data.human ? 1 : 0,
        data.type,
        data.subject,
        data.body,
        data.dataJson,
        data.priority,
        data.inReplyTo,
        // Written before addresses were kept, a message has only its recipients.
        JSON.stringify(data.addressed ?? data.to),
        ack,
        expires,
        data.task ?? null,
        open,
        data.sentAtMs ?? atMs,
      );
      const deliver = statement(
        db,
        "INSERT INTO deliveries VALUES (?, ?, ?, 0, ?, ?, 0, NULL, NULL, NULL, NULL, NULL)",
      );
      const recipients = [...new Set(data.to)];
      for (const recipient of recipients) {
        deliver.run(recipient, position, rank, ack, expires);
        tally(db, recipient, { received: 1, ...unreadBy(1, rank, expires) });
      }
      tally(db, data.from, { sent: 1 });
      bump(db, "type", data.type, 1);
      bump(db, "priority", data.priority, 1);
      bump(db, "state", DELIVERY_STATES[QUEUED], recipients.length);
      if (open) bump(db, "open", data.type, 1);
      if (data.type === "response" && data.inReplyTo !== null)
        answered(db, data.inReplyTo, data.answersFor ?? data.from);
    },
    "delivery.notified": (db, { messages, to }, { atMs }) => {
      for (const delivery of found(db, messages, to)) {
        if (delivery.state !== QUEUED) continue;
        statement(db, "UPDATE deliveries SET state = 1, notified_at_ms = ? WHERE recipient = ? AND position = ?").run(
          atMs,
          to,
          delivery.position,
        );
        moved(db, delivery.state, NOTIFIED);
      }
    },
    "delivery.presented": (db, data, { atMs }) => {
      const { to, epoch = 0 } = data;
      for (const delivery of found(db, idsOf(data), to)) {
        if (delivery.state === ACKED) continue;
        statement(
          db,
          `UPDATE deliveries SET state = 2, epoch = ?, presented_at_ms = COALESCE(presented_at_ms, ?)
           WHERE recipient = ? AND position = ?`,
        ).run(epoch, atMs, to, delivery.position);
        moved(db, delivery.state, PRESENTED);
        tally(db, to, { handed: 1, ...(delivery.state < PRESENTED && unreadBy(-1, delivery.rank, delivery.expires)) });
      }
    },
    "delivery.acked": (db, data, { atMs }) => {
      const { to, outcome = "seen", note = null } = data;
      for (const delivery of found(db, idsOf(data), to)) {
        if (delivery.state === ACKED) continue;
        statement(
          db,
          "UPDATE deliveries SET state = 3, outcome = ?, note = ?, acked_at_ms = ? WHERE recipient = ? AND position = ?",
        ).run(outcome, note, atMs, to, delivery.position);
        moved(db, delivery.state, ACKED);
        tally(db, to, { acked: 1, ...(delivery.state < PRESENTED && unreadBy(-1, delivery.rank, delivery.expires)) });
        if (outcome === "declined") closeDeclined(db, delivery.position);
      }
    },
    "task.accepted": (db, { task }) => closeOffers(db, task),
    "task.handed": (db, { task }) => closeOffers(db, task),
    "task.done": (db, { task }) => closeOffers(db, task),
  },
});

/** The first entries of this kind named one message each. */
function idsOf(data: { messages?: string[]; message?: string }): string[] {
  return data.messages ?? [data.message!];
}

interface Found {
  position: number;
  rank: number;
  state: number;
  expires: number | null;
}

function found(db: DatabaseSync, ids: readonly string[], to: string): Found[] {
  const select = statement(
    db,
    `SELECT deliveries.position, rank, state, deliveries.expires_at_ms AS expires FROM messages
     JOIN deliveries ON deliveries.recipient = ? AND deliveries.position = messages.position WHERE id = ?`,
  );
  return ids.flatMap((id) => (select.get(to, id) as Found | undefined) ?? []);
}

interface Tally {
  sent?: number;
  received?: number;
  handed?: number;
  acked?: number;
  unread?: number;
  urgent?: number;
}

/** What one unread message, more or less, does to its mailbox. */
function unreadBy(by: 1 | -1, rank: number, expires: number | null): Tally {
  return expires === null ? { unread: by, urgent: rank <= 1 ? by : 0 } : {};
}

function tally(db: DatabaseSync, who: string, by: Tally): void {
  statement(
    db,
    `INSERT INTO mailboxes VALUES (:who, :sent, :received, :handed, :acked, :unread, :urgent) ON CONFLICT (who) DO UPDATE SET
       sent = sent + :sent, received = received + :received, handed = handed + :handed, acked = acked + :acked,
       unread = unread + :unread, urgent = urgent + :urgent`,
  ).run({ who, sent: 0, received: 0, handed: 0, acked: 0, unread: 0, urgent: 0, ...by });
}

function bump(db: DatabaseSync, kind: string, value: string, by: number): void {
  statement(
    db,
    "INSERT INTO mail_counts VALUES (:kind, :value, :by) ON CONFLICT (kind, value) DO UPDATE SET n = n + :by",
  ).run({ kind, value, by });
}

function moved(db: DatabaseSync, from: number, to: number): void {
  if (from === to) return;
  bump(db, "state", DELIVERY_STATES[from]!, -1);
  bump(db, "state", DELIVERY_STATES[to]!, 1);
}

/** A request is answered by one it was sent to. */
function answered(db: DatabaseSync, request: string, by: string): void {
  const { changes } = statement(
    db,
    `UPDATE messages SET open = 0 WHERE id = ? AND type = 'request' AND open = 1
     AND EXISTS (SELECT 1 FROM deliveries WHERE recipient = ? AND deliveries.position = messages.position)`,
  ).run(request, by);
  if (changes > 0) bump(db, "open", "request", -1);
}

function closeOffers(db: DatabaseSync, task: string): void {
  const { changes } = statement(db, "UPDATE messages SET open = 0 WHERE task = ? AND open = 1").run(task);
  if (changes > 0) bump(db, "open", "task_offer", -Number(changes));
}

/** An offer that everybody has declined waits for nobody. */
function closeDeclined(db: DatabaseSync, position: number): void {
  const { changes } = statement(
    db,
    `UPDATE messages SET open = 0 WHERE position = :position AND type = 'task_offer' AND open = 1
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE position = :position AND outcome IS NOT 'declined')`,
  ).run({ position });
  if (changes > 0) bump(db, "open", "task_offer", -1);
}

export interface MessageRow {
  /** Place in the log; what cursors count in. */
  position: number;
  id: string;
  thread: string;
  from: string;
  human: boolean;
  type: string;
  subject: string;
  body: string;
  dataJson: string | null;
  priority: string;
  inReplyTo: string | null;
  /** As the sender wrote it. */
  addressed: string[];
  /** An acknowledgement is waited for. */
  ack: boolean;
  expiresAtMs: number | null;
  task: string | null;
  /** Of a request or offer: nobody has answered yet. Null for other types. */
  open: boolean | null;
  atMs: number;
}

/** A message as one recipient has it. */
export interface InboxRow extends MessageRow {
  to: string;
  state: DeliveryState;
  outcome: Outcome | null;
  note: string | null;
  /** Of the run it was handed to. */
  epoch: number;
  notifiedAtMs: number | null;
  presentedAtMs: number | null;
  ackedAtMs: number | null;
}

const MESSAGE_COLUMNS = `messages.position, id, thread, sender AS "from", human, type, subject, body, data_json AS dataJson,
  priority, in_reply_to AS inReplyTo, addressed_json AS addressed, messages.ack AS ack, messages.expires_at_ms AS expiresAtMs,
  task, open, at_ms AS atMs`;

const INBOX_COLUMNS = `${MESSAGE_COLUMNS}, recipient AS "to", state, outcome, note, epoch, notified_at_ms AS notifiedAtMs,
  presented_at_ms AS presentedAtMs, acked_at_ms AS ackedAtMs
  FROM deliveries JOIN messages ON messages.position = deliveries.position`;

type Row = Record<string, unknown>;

function toMessageRow(row: Row): MessageRow {
  return {
    ...(row as unknown as MessageRow),
    human: row.human === 1,
    addressed: JSON.parse(row.addressed as string) as string[],
    ack: row.ack === 1,
    open: row.open === null ? null : row.open === 1,
  };
}

function toInboxRow(row: Row): InboxRow {
  return { ...(toMessageRow(row) as InboxRow), state: DELIVERY_STATES[row.state as number]! };
}

export function messageRow(db: DatabaseSync, id: string): MessageRow | null {
  const row = statement(db, `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE id = ?`).get(id);
  return row ? toMessageRow(row) : null;
}

/** The message at this place of the log. */
export function messageAt(db: DatabaseSync, position: number): MessageRow | null {
  const row = statement(db, `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE position = ?`).get(position);
  return row ? toMessageRow(row) : null;
}

/** One message as `who` has it; null when it was not written to them. */
export function deliveryOf(db: DatabaseSync, message: string, who: string): InboxRow | null {
  const row = statement(db, `SELECT ${INBOX_COLUMNS} WHERE recipient = ? AND id = ?`).get(who, message);
  return row ? toInboxRow(row) : null;
}

/** A message as each of its recipients has it, by recipient. */
export function deliveriesOf(db: DatabaseSync, message: string): InboxRow[] {
  return statement(
    db,
    `SELECT ${INBOX_COLUMNS} WHERE deliveries.position = (SELECT position FROM messages WHERE id = ?) ORDER BY recipient`,
  )
    .all(message)
    .map(toInboxRow);
}

/** The smallest state among the recipients of a message: how far it has come with the last of them. `acked` with none. */
export function slowestState(db: DatabaseSync, position: number): DeliveryState {
  const row = statement(db, "SELECT MIN(state) AS state FROM deliveries WHERE position = ?").get(position)!;
  return DELIVERY_STATES[(row.state as number | null) ?? ACKED]!;
}

/** Whose mail, at which run of theirs, at what time; both decide what still counts as unread. */
export interface Reader {
  who: string;
  epoch: number;
  nowMs: number;
}

export interface InboxFilter {
  types?: readonly string[] | undefined;
  from?: string | undefined;
  priorities?: readonly string[] | undefined;
  /** Only requests and offers nobody has answered. */
  open?: boolean | undefined;
}

const FILTER = `(:types IS NULL OR type IN (SELECT value FROM json_each(:types))) AND (:from IS NULL OR sender = :from)
  AND (:priorities IS NULL OR priority IN (SELECT value FROM json_each(:priorities))) AND (:open = 0 OR messages.open = 1)`;

function filterValues({ types, from, priorities, open }: InboxFilter) {
  return {
    types: types === undefined ? null : JSON.stringify(types),
    from: from ?? null,
    priorities: priorities === undefined ? null : JSON.stringify(priorities),
    open: open ? 1 : 0,
  };
}

/** Mail after `after`, oldest first, at most `limit`; what has expired is left out. */
export function inboxPage(
  db: DatabaseSync,
  { who, nowMs }: Reader,
  filter: InboxFilter,
  after: number,
  limit: number,
): InboxRow[] {
  return statement(
    db,
    `SELECT ${INBOX_COLUMNS} WHERE recipient = :who AND deliveries.position > :after
     AND (deliveries.expires_at_ms IS NULL OR deliveries.expires_at_ms > :now) AND ${FILTER}
     ORDER BY deliveries.position LIMIT :limit`,
  )
    .all({ who, now: nowMs, after, limit, ...filterValues(filter) })
    .map(toInboxRow);
}

/** The newest `limit`, oldest of them first. */
export function inboxEnd(db: DatabaseSync, { who, nowMs }: Reader, filter: InboxFilter, limit: number): InboxRow[] {
  return statement(
    db,
    `SELECT ${INBOX_COLUMNS} WHERE recipient = :who
     AND (deliveries.expires_at_ms IS NULL OR deliveries.expires_at_ms > :now) AND ${FILTER}
     ORDER BY deliveries.position DESC LIMIT :limit`,
  )
    .all({ who, now: nowMs, limit, ...filterValues(filter) })
    .map(toInboxRow)
    .reverse();
}

/**
 * Places of unread mail after `after`, by priority (loudest first), each oldest first and at most `limit`. Unread is what was
 * not handed over, and what waits for an acknowledgement of an earlier run that ended without it.
 */
export function unreadPlaces(
  db: DatabaseSync,
  { who, epoch, nowMs }: Reader,
  filter: InboxFilter,
  after: number,
  limit: number,
): { position: number }[][] {
  // Named, because without statistics the planner walks all of a mailbox.
  const walk = (
    index: string,
    which: string,
  ): string => `SELECT deliveries.position AS position FROM deliveries INDEXED BY ${index}
    JOIN messages ON messages.position = deliveries.position WHERE recipient = :who AND rank = :rank AND ${which}
    AND deliveries.position > :after AND (deliveries.expires_at_ms IS NULL OR deliveries.expires_at_ms > :now) AND ${FILTER}
    ORDER BY deliveries.position LIMIT :limit`;
  const unread = statement(db, walk("deliveries_unread", "state < 2"));
  const unacked = statement(db, walk("deliveries_unacked", "deliveries.ack = 1 AND state = 2 AND epoch < :epoch"));
  return PRIORITIES.map((_, rank) => {
    const values = { who, rank, now: nowMs, after, limit, ...filterValues(filter) };
    const fresh = unread.all(values) as unknown as { position: number }[];
    const again = epoch === 0 ? [] : (unacked.all({ ...values, epoch }) as unknown as { position: number }[]);
    if (again.length === 0) return fresh;
    return [...fresh, ...again].sort((a, b) => a.position - b.position).slice(0, limit);
  });
}

/** Mail of `who` at these places, in their order. */
export function inboxAt(db: DatabaseSync, who: string, places: readonly { position: number }[]): InboxRow[] {
  const select = statement(db, `SELECT ${INBOX_COLUMNS} WHERE recipient = ? AND deliveries.position = ?`);
  return places.flatMap(({ position }) => {
    const row = select.get(who, position);
    return row ? [toInboxRow(row)] : [];
  });
}

export interface MailboxRow {
  sent: number;
  received: number;
  /** Bodies handed over, each time counted. */
  handed: number;
  acked: number;
}

const NEW_MAILBOX = { sent: 0, received: 0, handed: 0, acked: 0, unread: 0, urgent: 0 };

/** Zeroes for somebody who never had mail. */
export function mailboxRow(db: DatabaseSync, who: string): MailboxRow {
  const { sent, received, handed, acked } = boxOf(db, who);
  return { sent, received, handed, acked };
}

function boxOf(db: DatabaseSync, who: string): typeof NEW_MAILBOX {
  const row = statement(db, "SELECT sent, received, handed, acked, unread, urgent FROM mailboxes WHERE who = ?").get(
    who,
  );
  return (row as typeof NEW_MAILBOX | undefined) ?? NEW_MAILBOX;
}

/** How much unread mail there is, and how much of it is critical or important. */
export function unreadOf(db: DatabaseSync, { who, epoch, nowMs }: Reader): { unread: number; urgent: number } {
  const { unread, urgent } = boxOf(db, who);
  const passing = statement(
    db,
    `SELECT COUNT(*) AS unread, COALESCE(SUM(rank <= 1), 0) AS urgent FROM deliveries
     WHERE recipient = ? AND state < 2 AND expires_at_ms IS NOT NULL AND expires_at_ms > ?`,
  ).get(who, nowMs) as { unread: number; urgent: number };
  const again =
    epoch === 0
      ? { unread: 0, urgent: 0 }
      : (statement(
          db,
          `SELECT COUNT(*) AS unread, COALESCE(SUM(rank <= 1), 0) AS urgent FROM deliveries INDEXED BY deliveries_unacked
           WHERE recipient = ? AND ack = 1 AND state = 2 AND epoch < ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)`,
        ).get(who, epoch, nowMs) as { unread: number; urgent: number });
  return {
    unread: unread + passing.unread + again.unread,
    urgent: urgent + passing.urgent + again.urgent,
  };
}

/** Mail not handed over yet, per recipient that has any. */
export function unreadCounts(db: DatabaseSync, nowMs: number): Map<string, number> {
  const counts = new Map<string, number>();
  const add = ({ who, n }: Row): void =>
    void counts.set(who as string, (counts.get(who as string) ?? 0) + (n as number));
  statement(db, "SELECT who, unread AS n FROM mailboxes WHERE unread > 0").all().forEach(add);
  statement(
    db,
    `SELECT recipient AS who, COUNT(*) AS n FROM deliveries
     WHERE state < 2 AND expires_at_ms IS NOT NULL AND expires_at_ms > ? GROUP BY recipient`,
  )
    .all(nowMs)
    .forEach(add);
  return counts;
}

/** Messages of a thread after `after`, oldest first. */
export function threadPage(db: DatabaseSync, thread: string, after: number, limit: number): MessageRow[] {
  return statement(
    db,
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE thread = ? AND position > ? ORDER BY position LIMIT ?`,
  )
    .all(thread, after, limit)
    .map(toMessageRow);
}

/** Whether `who` wrote or received any message of the thread. */
export function takesPart(db: DatabaseSync, thread: string, who: string): boolean {
  return (
    statement(
      db,
      `SELECT 1 FROM messages WHERE thread = :thread AND (sender = :who
       OR EXISTS (SELECT 1 FROM deliveries WHERE recipient = :who AND deliveries.position = messages.position)) LIMIT 1`,
    ).get({ thread, who }) !== undefined
  );
}

/** The thread of a message, or of this name; null when there is neither. */
export function threadOf(db: DatabaseSync, id: string): string | null {
  const row =
    statement(db, "SELECT thread FROM messages WHERE id = ?").get(id) ??
    statement(db, "SELECT thread FROM messages WHERE thread = ? LIMIT 1").get(id);
  return (row?.thread as string | undefined) ?? null;
}

/** Every message after `after`, oldest first. */
export function messagesPage(
  db: DatabaseSync,
  types: readonly string[] | undefined,
  after: number,
  limit: number,
): MessageRow[] {
  return statement(
    db,
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE position > :after
     AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types))) ORDER BY position LIMIT :limit`,
  )
    .all({ after, limit, types: types === undefined ? null : JSON.stringify(types) })
    .map(toMessageRow);
}

/** Those who have mail that was not handed over. */
export function recipientsWaiting(db: DatabaseSync): string[] {
  return statement(
    db,
    `SELECT who FROM mailboxes WHERE unread > 0
     UNION SELECT recipient FROM deliveries WHERE state < 2 AND expires_at_ms IS NOT NULL`,
  )
    .all()
    .map((row) => row.who as string);
}

/**
 * Mail that was not handed over and never will be: it has expired, or `gone` names its recipient. Oldest first, at most `limit`
 * messages after `after`, each with every recipient it is dead for; `next` is the cursor for the rest.
 */
export function deadPage(
  db: DatabaseSync,
  gone: readonly string[],
  nowMs: number,
  after: number,
  limit: number,
): { rows: InboxRow[]; next: number | null } {
  const rows = statement(
    db,
    `WITH lost AS (
       SELECT recipient, position FROM deliveries
         WHERE state < 2 AND expires_at_ms IS NOT NULL AND expires_at_ms <= :now AND position > :after
       UNION SELECT recipient, position FROM deliveries INDEXED BY deliveries_unread
         WHERE state < 2 AND recipient IN (SELECT value FROM json_each(:gone)) AND position > :after),
     places AS (SELECT DISTINCT position FROM lost ORDER BY position LIMIT :limit)
     SELECT ${INBOX_COLUMNS} WHERE (recipient, deliveries.position) IN
       (SELECT recipient, position FROM lost WHERE position IN (SELECT position FROM places))
     ORDER BY deliveries.position, recipient`,
  )
    .all({ now: nowMs, gone: JSON.stringify(gone), after, limit: limit + 1 })
    .map(toInboxRow);
  const places = [...new Set(rows.map((row) => row.position))];
  if (places.length <= limit) return { rows, next: null };
  const next = places[limit - 1]!;
  return { rows: rows.filter((row) => row.position <= next), next };
}

export function deadCount(db: DatabaseSync, gone: readonly string[], nowMs: number): number {
  const expired = statement(
    db,
    `SELECT COUNT(*) AS n FROM deliveries WHERE state < 2 AND expires_at_ms IS NOT NULL AND expires_at_ms <= ?`,
  ).get(nowMs)!.n as number;
  if (gone.length === 0) return expired;
  const lost = statement(
    db,
    `SELECT COUNT(*) AS n FROM deliveries INDEXED BY deliveries_unread
     WHERE state < 2 AND recipient IN (SELECT value FROM json_each(?)) AND (expires_at_ms IS NULL OR expires_at_ms > ?)`,
  ).get(JSON.stringify(gone), nowMs)!.n as number;
  return expired + lost;
}

/** Unread mail of the whole town, expired mail left out. */
export function unreadTotal(db: DatabaseSync, nowMs: number): number {
  const lasting = statement(db, "SELECT COALESCE(SUM(unread), 0) AS n FROM mailboxes").get()!.n as number;
  const passing = statement(
    db,
    "SELECT COUNT(*) AS n FROM deliveries WHERE state < 2 AND expires_at_ms IS NOT NULL AND expires_at_ms > ?",
  ).get(nowMs)!.n as number;
  return lasting + passing;
}

/** Of `mail_counts`: by type, priority, delivery state, and of open ones by type. */
export function mailCounts(db: DatabaseSync, kind: "type" | "priority" | "state" | "open"): Record<string, number> {
  const rows = statement(db, "SELECT value, n FROM mail_counts WHERE kind = ? AND n > 0").all(kind);
  return Object.fromEntries(rows.map((row) => [row.value as string, row.n as number]));
}

/** Newest acknowledged deliveries whose delays a report looks at; older ones say little about today. */
const DELAYS = 10_000;

/** From sent to acknowledged, ms, ascending; of the newest 10,000 of `who`. */
export function ackDelays(db: DatabaseSync, who: string): number[] {
  return statement(
    db,
    `SELECT acked_at_ms - at_ms AS ms FROM deliveries JOIN messages ON messages.position = deliveries.position
     WHERE recipient = ? AND state = 3 ORDER BY deliveries.position DESC LIMIT ${DELAYS}`,
  )
    .all(who)
    .map((row) => row.ms as number)
    .sort((a, b) => a - b);
}
