import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Line } from "../../protocol/room.ts";

/** A stored line: its place in the order of all rooms, and its JSON as every reader gets it. */
export interface StoredLine {
  position: number;
  line: Line;
  json: string;
}

/** What was posted, before it has a place. */
export interface Draft {
  room: string;
  from: string;
  type: string;
  level: Line["level"];
  msg: string;
  tags: string[];
  data: unknown;
  /** (from, key) counts once. */
  key: string | undefined;
}

interface Row {
  position: number;
  room: string;
  seq: number;
  json: string;
}

/**
 * All rooms' lines in one SQLite file of their own, in the order they came. Places in a room have no gaps; `ts` never runs
 * backwards. A commit is durable (`synchronous = FULL`): what was acknowledged is there after a power cut.
 */
export class RoomStore {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #seqs = new Map<string, number>();
  #lastAtMs: number;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 0;
      CREATE TABLE IF NOT EXISTS lines (position INTEGER PRIMARY KEY, room TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
      CREATE UNIQUE INDEX IF NOT EXISTS lines_place ON lines (room, seq);
      CREATE TABLE IF NOT EXISTS rooms (room TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS keys (sender TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, ts TEXT NOT NULL, PRIMARY KEY (sender, key)) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS offsets (path TEXT PRIMARY KEY, inode INTEGER NOT NULL, offset INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    `);
    for (const row of this.#all<{ room: string; seq: number }>("SELECT room, seq FROM rooms"))
      this.#seqs.set(row.room, row.seq);
    this.#lastAtMs = this.#all<{ at: number | null }>("SELECT max(at_ms) AS at FROM rooms")[0]?.at ?? 0;
  }

  /** Runs `work` in one durable transaction; a throw takes everything back. */
  transact<T>(work: () => T): T {
    const seqs = new Map(this.#seqs);
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#seqs.clear();
      for (const [room, seq] of seqs) this.#seqs.set(room, seq);
      throw error;
    }
  }

  /** Inside `transact`. */
  add(draft: Draft, nowMs: number): StoredLine {
    const seq = (this.#seqs.get(draft.room) ?? 0) + 1;
    const atMs = Math.max(nowMs, this.#lastAtMs);
    const line: Line = {
      id: `${draft.room}-${seq}`,
      seq,
      room: draft.room,
      ts: new Date(atMs).toISOString(),
      from: draft.from,
      type: draft.type,
      level: draft.level,
      msg: draft.msg,
      tags: draft.tags,
      ...(draft.data === undefined ? {} : { data: draft.data }),
    };
    const json = JSON.stringify(line);
    const { lastInsertRowid } = this.#run(
      "INSERT INTO lines (room, seq, at_ms, json) VALUES (?, ?, ?, ?)",
      draft.room,
      seq,
      atMs,
      json,
    );
    this.#run(
      "INSERT INTO rooms (room, seq, at_ms) VALUES (?, ?, ?) ON CONFLICT (room) DO UPDATE SET seq = excluded.seq, at_ms = excluded.at_ms",
      draft.room,
      seq,
      atMs,
    );
    if (draft.key !== undefined)
      this.#run(
        "INSERT INTO keys (sender, key, id, seq, ts) VALUES (?, ?, ?, ?, ?)",
        draft.from,
        draft.key,
        line.id,
        seq,
        line.ts,
      );
    this.#seqs.set(draft.room, seq);
    this.#lastAtMs = atMs;
    return { position: Number(lastInsertRowid), line, json };
  }

  byKey(from: string, key: string): { id: string; seq: number; ts: string } | undefined {
    return this.#all<{ id: string; seq: number; ts: string }>(
      "SELECT id, seq, ts FROM keys WHERE sender = ? AND key = ?",
      from,
      key,
    )[0];
  }

  /** Lines ever said in the room. */
  seq(room: string): number {
    return this.#seqs.get(room) ?? 0;
  }

  /** The oldest line still kept; one more than the newest when none is. */
  oldest(room: string): number {
    return (
      this.#all<{ seq: number | null }>("SELECT min(seq) AS seq FROM lines WHERE room = ?", room)[0]?.seq ??
      this.seq(room) + 1
    );
  }

  lastAt(room: string): string | null {
    const row = this.#all<{ at_ms: number }>("SELECT at_ms FROM rooms WHERE room = ?", room)[0];
    return row ? new Date(row.at_ms).toISOString() : null;
  }

  /** Rooms that have ever had a line. */
  rooms(): string[] {
    return [...this.#seqs.keys()].sort();
  }

  head(): number {
    return this.#all<{ position: number | null }>("SELECT max(position) AS position FROM lines")[0]?.position ?? 0;
  }

  /** Lines of any of `rooms` behind `position`, in order. */
  after(rooms: ReadonlySet<string>, position: number, limit: number): StoredLine[] {
    return this.#lines(
      "SELECT position, room, seq, json FROM lines WHERE position > ? ORDER BY position LIMIT ?",
      position,
      limit,
    ).filter((stored) => rooms.has(stored.line.room));
  }

  /** As `after`, for one room and by its own numbers. */
  afterSeq(room: string, seq: number, limit: number): StoredLine[] {
    return this.#lines(
      "SELECT position, room, seq, json FROM lines WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?",
      room,
      seq,
      limit,
    );
  }

  /** Newest first, before `seq`. */
  beforeSeq(room: string, seq: number, limit: number): StoredLine[] {
    return this.#lines(
      "SELECT position, room, seq, json FROM lines WHERE room = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
      room,
      seq,
      limit,
    );
  }

  /** The place just before the first line of `room` behind `seq`; null when there is none. */
  positionBefore(room: string, seq: number): number | null {
    const row = this.#all<{ position: number }>(
      "SELECT position FROM lines WHERE room = ? AND seq > ? ORDER BY seq LIMIT 1",
      room,
      seq,
    )[0];
    return row ? row.position - 1 : null;
  }

  /** Number of the last line of `room` said before `atMs`. */
  seqBefore(room: string, atMs: number): number {
    return (
      this.#all<{ seq: number | null }>("SELECT max(seq) AS seq FROM lines WHERE room = ? AND at_ms < ?", room, atMs)[0]
        ?.seq ?? 0
    );
  }

  /** Forgets at most `limit` lines up to `seq`. Gives how many went. */
  prune(room: string, upToSeq: number, olderThanMs: number, limit: number): number {
    const { changes } = this.#run(
      "DELETE FROM lines WHERE position IN (SELECT position FROM lines WHERE room = ? AND (seq <= ? OR at_ms < ?) ORDER BY seq LIMIT ?)",
      room,
      upToSeq,
      olderThanMs,
      limit,
    );
    return Number(changes);
  }

  offset(path: string): { inode: number; offset: number } | undefined {
    return this.#all<{ inode: number; offset: number }>("SELECT inode, offset FROM offsets WHERE path = ?", path)[0];
  }

  setOffset(path: string, inode: number, offset: number): void {
    this.#run(
      "INSERT INTO offsets (path, inode, offset) VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE SET inode = excluded.inode, offset = excluded.offset",
      path,
      inode,
      offset,
    );
  }

  close(): void {
    this.#database.close();
  }

  #lines(sql: string, ...values: SQLInputValue[]): StoredLine[] {
    return this.#all<Row>(sql, ...values).map((row) => ({
      position: row.position,
      json: row.json,
      line: JSON.parse(row.json) as Line,
    }));
  }

  #all<R>(sql: string, ...values: SQLInputValue[]): R[] {
    return this.#statement(sql).all(...values) as unknown as R[];
  }

  #run(sql: string, ...values: SQLInputValue[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement(sql).run(...values);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
