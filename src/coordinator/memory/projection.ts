import type { DatabaseSync } from "node:sqlite";
import type { MemorySet } from "../../protocol/event.ts";
import type { MemoryType } from "../../protocol/memory.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";
import { globOf } from "./pattern.ts";

/**
 * What agents remember for each other, and who holds which lease.
 *
 * `memory_values` keeps every value, with deletions and expiries between them; `memory_keys` and `memory_tags` only the newest
 * value of each key. Whether a value has expired is for the reader's clock to say; the entry that says so follows, for those
 * who watch. `memory_counts` is kept with every change. The token of a lease is the place in the log where it was acquired.
 */
export const memoryProjection = defineProjection({
  name: "memory",
  revision: 3,
  tables: ["memory_values", "memory_keys", "memory_tags", "memory_counts", "leases"],
  create: `
    CREATE TABLE memory_values(
      position INTEGER PRIMARY KEY, id TEXT NOT NULL, key TEXT NOT NULL, change TEXT NOT NULL, value_json TEXT NOT NULL,
      type TEXT NOT NULL, tags_json TEXT NOT NULL, writer TEXT NOT NULL, expires_at_ms INTEGER, metadata_json TEXT NOT NULL,
      at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX memory_values_key ON memory_values(key, position);
    CREATE INDEX memory_values_id ON memory_values(id);
    CREATE TABLE memory_keys(
      key TEXT PRIMARY KEY, position INTEGER NOT NULL, live INTEGER NOT NULL, type TEXT NOT NULL, writer TEXT NOT NULL,
      expires_at_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memory_keys_newest ON memory_keys(position) WHERE live = 1;
    CREATE INDEX memory_keys_writer ON memory_keys(writer, position) WHERE live = 1;
    CREATE INDEX memory_keys_type ON memory_keys(type, position) WHERE live = 1;
    CREATE INDEX memory_keys_expiring ON memory_keys(expires_at_ms) WHERE live = 1 AND expires_at_ms IS NOT NULL;
    CREATE TABLE memory_tags(
      tag TEXT NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tag, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memory_tags_key ON memory_tags(key);
    CREATE TABLE memory_counts(
      kind TEXT NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, value)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE leases(
      name TEXT NOT NULL, holder TEXT NOT NULL, token INTEGER NOT NULL, shared INTEGER NOT NULL, why TEXT NOT NULL,
      since_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL, PRIMARY KEY (name, holder)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX leases_expiring ON leases(expires_at_ms);`,
  on: {
    "memory.set": (db, data, { position, atMs }) => {
      insertValue(db, position, "set", data, data.setAtMs ?? atMs);
      forget(db, data.key);
      statement(db, "INSERT OR REPLACE INTO memory_keys VALUES (?, ?, 1, ?, ?, ?)").run(
        data.key,
        position,
        data.type,
        data.by,
        data.expiresAtMs,
      );
      const tag = statement(db, "INSERT OR IGNORE INTO memory_tags VALUES (?, ?, ?)");
      for (const each of data.tags) tag.run(each, position, data.key);
      bump(db, "values", "", 1);
      bump(db, "keys", "", 1);
      bump(db, "type", data.type, 1);
    },
    "memory.deleted": (db, { key, by }, { position, atMs }) => end(db, key, position, "deleted", by, atMs),
    "memory.expired": (db, { key, rev }, { position, atMs }) => {
      const newest = keyRow(db, key);
      if (newest?.live && newest.position === rev) end(db, key, position, "expired", newest.writer, atMs);
    },
    "lease.acquired": (db, { names, holder, shared, expiresAtMs, why }, { position, atMs }) => {
      const free = statement(db, "DELETE FROM leases WHERE name = ? AND (holder = ? OR expires_at_ms <= ?)");
      const hold = statement(db, "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)");
      for (const name of new Set(names)) {
        free.run(name, holder, atMs);
        hold.run(name, holder, position, shared ? 1 : 0, why, atMs, expiresAtMs);
      }
    },
    "lease.renewed": (db, { names, holder, expiresAtMs }) => {
      const renew = statement(db, "UPDATE leases SET expires_at_ms = ? WHERE name = ? AND holder = ?");
      for (const name of names) renew.run(expiresAtMs, name, holder);
    },
    "lease.released": (db, { names, holder }) => {
      const free = statement(db, "DELETE FROM leases WHERE name = ? AND holder = ?");
      for (const name of names) free.run(name, holder);
    },
  },
});

function insertValue(
  db: DatabaseSync,
  position: number,
  change: "set" | "deleted" | "expired",
  data: Pick<MemorySet, "id" | "key" | "valueJson" | "type" | "tags" | "by" | "expiresAtMs" | "metadata">,
  atMs: number,
): void {
  statement(db, "INSERT INTO memory_values VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
    position,
    data.id,
    data.key,
    change,
    data.valueJson,
    data.type,
    JSON.stringify(data.tags),
    data.by,
    data.expiresAtMs,
    JSON.stringify(data.metadata),
    atMs,
  );
}

/** The key has no value any more; its history says since when and by whom. */
function end(
  db: DatabaseSync,
  key: string,
  position: number,
  change: "deleted" | "expired",
  by: string,
  atMs: number,
): void {
  const last = newestChange(db, key);
  if (!last) return;
  forget(db, key);
  insertValue(db, position, change, { ...last, valueJson: "null", by }, atMs);
  statement(db, "UPDATE memory_keys SET position = ?, live = 0 WHERE key = ?").run(position, key);
}

/** Takes the newest value out of tags and counts. */
function forget(db: DatabaseSync, key: string): void {
  const newest = keyRow(db, key);
  if (!newest?.live) return;
  bump(db, "keys", "", -1);
  bump(db, "type", newest.type, -1);
  statement(db, "DELETE FROM memory_tags WHERE key = ?").run(key);
}

function bump(db: DatabaseSync, kind: string, value: string, by: number): void {
  statement(
    db,
    "INSERT INTO memory_counts VALUES (:kind, :value, :by) ON CONFLICT (kind, value) DO UPDATE SET n = n + :by",
  ).run({ kind, value, by });
}

interface KeyRow {
  key: string;
  /** Of its last change: a value, a deletion or an expiry. */
  position: number;
  live: boolean;
  type: MemoryType;
  writer: string;
  expiresAtMs: number | null;
}

/** What stands of a key; null when it never had a value. */
export function keyRow(db: DatabaseSync, key: string): KeyRow | null {
  const row = statement(
    db,
    "SELECT key, position, live, type, writer, expires_at_ms AS expiresAtMs FROM memory_keys WHERE key = ?",
  ).get(key);
  return row ? ({ ...row, live: row.live === 1 } as unknown as KeyRow) : null;
}

export interface ValueRow {
  /** Place in the log; the revision. */
  position: number;
  id: string;
  key: string;
  change: "set" | "deleted" | "expired";
  valueJson: string;
  type: MemoryType;
  tags: string[];
  by: string;
  expiresAtMs: number | null;
  metadata: Record<string, unknown>;
  atMs: number;
}

const VALUE_COLUMNS = `memory_values.position, id, memory_values.key AS key, change, value_json AS valueJson,
  memory_values.type AS type, tags_json AS tags, memory_values.writer AS by, memory_values.expires_at_ms AS expiresAtMs,
  metadata_json AS metadata, at_ms AS atMs`;

function toValueRow(row: Record<string, unknown>): ValueRow {
  return {
    ...(row as unknown as ValueRow),
    tags: JSON.parse(row.tags as string) as string[],
    metadata: JSON.parse(row.metadata as string) as Record<string, unknown>,
  };
}

function newestChange(db: DatabaseSync, key: string): ValueRow | null {
  const row = statement(
    db,
    `SELECT ${VALUE_COLUMNS} FROM memory_values WHERE key = ? ORDER BY position DESC LIMIT 1`,
  ).get(key);
  return row ? toValueRow(row) : null;
}

/** The newest value of a key, unless it was deleted or has expired by `nowMs`. */
export function valueRow(db: DatabaseSync, key: string, nowMs: number): ValueRow | null {
  const newest = keyRow(db, key);
  if (!newest?.live || (newest.expiresAtMs !== null && newest.expiresAtMs <= nowMs)) return null;
  return valueAt(db, newest.position);
}

/** What was written at this place of the log. */
export function valueAt(db: DatabaseSync, position: number): ValueRow | null {
  const row = statement(db, `SELECT ${VALUE_COLUMNS} FROM memory_values WHERE position = ?`).get(position);
  return row ? toValueRow(row) : null;
}

/** Where in the log the value of this id was set; null when none ever was. */
export function placeOfValue(db: DatabaseSync, id: string): number | null {
  const row = statement(db, "SELECT MIN(position) AS position FROM memory_values WHERE id = ?").get(id)!;
  return row.position as number | null;
}

/** Changes of a key before `before`, newest first. */
export function historyPage(db: DatabaseSync, key: string, before: number, limit: number): ValueRow[] {
  return statement(
    db,
    `SELECT ${VALUE_COLUMNS} FROM memory_values WHERE key = ? AND position < ? ORDER BY position DESC LIMIT ?`,
  )
    .all(key, before, limit)
    .map(toValueRow);
}

/** Place of the last deletion of a key; 0 without one. */
export function lastDeletion(db: DatabaseSync, key: string): number {
  const row = statement(
    db,
    "SELECT MAX(position) AS position FROM memory_values WHERE key = ? AND change = 'deleted'",
  ).get(key)!;
  return (row.position as number | null) ?? 0;
}

/** Values of a key since its last deletion that have not expired, counted. */
export function liveValues(db: DatabaseSync, key: string, nowMs: number): number {
  return statement(
    db,
    `SELECT COUNT(*) AS n FROM memory_values WHERE key = ? AND position > ? AND change = 'set'
     AND (expires_at_ms IS NULL OR expires_at_ms > ?)`,
  ).get(key, lastDeletion(db, key), nowMs)!.n as number;
}

/** Changes of all keys after `after`, in order, of keys that fit the pattern. */
export function changesAfter(db: DatabaseSync, pattern: string | undefined, after: number, limit: number): ValueRow[] {
  return statement(
    db,
    `SELECT ${VALUE_COLUMNS} FROM memory_values WHERE position > :after AND (:glob IS NULL OR key GLOB :glob)
     ORDER BY position LIMIT :limit`,
  )
    .all({ after, limit, glob: pattern === undefined ? null : globOf(pattern).glob })
    .map(toValueRow);
}

export interface MemoryFilter {
  pattern?: string | undefined;
  tags?: readonly string[] | undefined;
  match?: "any" | "all" | undefined;
  writer?: string | undefined;
  type?: string | undefined;
}

/**
 * Newest values of the keys that fit, newest first, before `before`. What is read is what the narrowest filter leaves: keys
 * of a tag, keys that begin alike, else the newest of the writer, of the type, or of all.
 */
export function searchPage(
  db: DatabaseSync,
  filter: MemoryFilter,
  nowMs: number,
  before: number,
  limit: number,
): ValueRow[] {
  const tags = [...new Set(filter.tags ?? [])];
  // One with all of them is found under any of them; with any of them, under each.
  const led = tags.length === 0 ? [undefined] : filter.match === "all" ? tags.slice(0, 1) : tags;
  const places = led.flatMap((tag) => placesOf(db, { ...filter, tags }, tag, nowMs, before, limit));
  return [...new Set(places)]
    .toSorted((a, b) => b - a)
    .slice(0, limit)
    .flatMap((position) => valueAt(db, position) ?? []);
}

function placesOf(
  db: DatabaseSync,
  { pattern, tags, match, writer, type }: MemoryFilter,
  tag: string | undefined,
  nowMs: number,
  before: number,
  limit: number,
): number[] {
  const values: Record<string, string | number> = { now: nowMs, before, limit };
  const where = ["k.live = 1", "(k.expires_at_ms IS NULL OR k.expires_at_ms > :now)"];
  let from = "memory_keys AS k";
  let position = "k.position";
  const glob = pattern === undefined ? null : globOf(pattern);
  if (glob) {
    where.push("k.key GLOB :glob");
    values.glob = glob.glob;
  }
  if (tag !== undefined) {
    values.tag = tag;
    position = "t.position";
    from = "memory_tags AS t CROSS JOIN memory_keys AS k ON k.key = t.key";
    where.push("t.tag = :tag");
    if (match === "all" && tags && tags.length > 1) {
      values.tags = JSON.stringify(tags);
      where.push(`NOT EXISTS (SELECT 1 FROM json_each(:tags) AS also WHERE NOT EXISTS
        (SELECT 1 FROM memory_tags AS other WHERE other.tag = also.value AND other.position = t.position))`);
    }
  } else if (glob && glob.prefix !== "") {
    position = "+k.position";
    where.push("k.key >= :prefix AND k.key < :beyond");
    values.prefix = glob.prefix;
    values.beyond = `${glob.prefix}\u{10ffff}`;
  } else if (writer !== undefined) from += " INDEXED BY memory_keys_writer";
  else if (type !== undefined) from += " INDEXED BY memory_keys_type";
  else from += " INDEXED BY memory_keys_newest";
  if (writer !== undefined) {
    where.push("k.writer = :writer");
    values.writer = writer;
  }
  if (type !== undefined) {
    where.push("k.type = :type");
    values.type = type;
  }
  return statement(
    db,
    `SELECT ${position} AS position FROM ${from} WHERE ${where.join(" AND ")} AND ${position} < :before ORDER BY ${position} DESC LIMIT :limit`,
  )
    .all(values)
    .map((row) => row.position as number);
}

/** Keys whose value has expired by `nowMs` and still stands as the newest; and when the next one will. */
export function expired(
  db: DatabaseSync,
  nowMs: number,
  limit: number,
): { due: { key: string; position: number }[]; nextAtMs: number | null } {
  const due = statement(
    db,
    `SELECT key, position FROM memory_keys INDEXED BY memory_keys_expiring
     WHERE live = 1 AND expires_at_ms IS NOT NULL AND expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?`,
  ).all(nowMs, limit) as unknown as { key: string; position: number }[];
  const next = statement(
    db,
    "SELECT MIN(expires_at_ms) AS at FROM memory_keys WHERE live = 1 AND expires_at_ms IS NOT NULL AND expires_at_ms > ?",
  ).get(nowMs)!;
  return { due, nextAtMs: next.at as number | null };
}

/** Every value ever set; keys that have one by `nowMs`, of them by type. */
export function memoryCounts(
  db: DatabaseSync,
  nowMs: number,
): { values: number; keys: number; byType: Record<string, number> } {
  const n = (kind: string): number =>
    (statement(db, "SELECT n FROM memory_counts WHERE kind = ?").get(kind)?.n as number | undefined) ?? 0;
  const byType = Object.fromEntries(
    statement(db, "SELECT value, n FROM memory_counts WHERE kind = 'type' AND n > 0")
      .all()
      .map((row) => [row.value as string, row.n as number]),
  );
  const gone = statement(
    db,
    `SELECT type, COUNT(*) AS n FROM memory_keys
     WHERE live = 1 AND expires_at_ms IS NOT NULL AND expires_at_ms <= ? GROUP BY type`,
  ).all(nowMs) as unknown as { type: string; n: number }[];
  for (const { type, n: past } of gone) byType[type] = (byType[type] ?? 0) - past;
  return { values: n("values"), keys: n("keys") - gone.reduce((sum, each) => sum + each.n, 0), byType };
}

/** How many keys have a value that `writer` wrote. */
export function keysOf(db: DatabaseSync, writer: string, nowMs: number): number {
  return statement(
    db,
    `SELECT COUNT(*) AS n FROM memory_keys INDEXED BY memory_keys_writer
     WHERE live = 1 AND writer = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)`,
  ).get(writer, nowMs)!.n as number;
}

export interface LeaseRow {
  name: string;
  holder: string;
  token: number;
  shared: boolean;
  why: string;
  sinceMs: number;
  expiresAtMs: number;
}

const LEASE_COLUMNS = `name, holder, token, shared, why, since_ms AS sinceMs, expires_at_ms AS expiresAtMs`;

function toLeaseRow(row: Record<string, unknown>): LeaseRow {
  return { ...(row as unknown as LeaseRow), shared: row.shared === 1 };
}

/** Who holds a name at `nowMs`. */
export function holdersOf(db: DatabaseSync, name: string, nowMs: number): LeaseRow[] {
  return statement(db, `SELECT ${LEASE_COLUMNS} FROM leases WHERE name = ? AND expires_at_ms > ? ORDER BY holder`)
    .all(name, nowMs)
    .map(toLeaseRow);
}

/** Leases held at `nowMs`, by name. */
export function leaseRows(db: DatabaseSync, pattern: string | undefined, nowMs: number): LeaseRow[] {
  return statement(
    db,
    `SELECT ${LEASE_COLUMNS} FROM leases WHERE expires_at_ms > :now AND (:glob IS NULL OR name GLOB :glob)
     ORDER BY name, holder`,
  )
    .all({ now: nowMs, glob: pattern === undefined ? null : globOf(pattern).glob })
    .map(toLeaseRow);
}
