import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { BosunError } from "../../protocol/error.ts";
import { LEVELS } from "../../protocol/room.ts";

/** A line as it is about to be stored: checked, cleaned, from a known sender; seq and time are still open. */
export interface Draft {
  room: string;
  from: string;
  type: string;
  /** Index into LEVELS. */
  level: number;
  msg: string;
  tags: string[];
  /** JSON text of `data`, or null for none. */
  dataJson: string | null;
  /** Counts once per sender; null = counts always. */
  key: string | null;
  /** Rooms that repeat the line, in the same transaction. Copies are never copied again, so there is no circle. */
  alsoIn: string[];
}

/** A line as it lies in the store. `json` is the one encoding that mirror, wire and readers share. */
export interface StoredLine {
  room: string;
  seq: number;
  atMs: number;
  from: string;
  type: string;
  level: number;
  tags: string[];
  json: string;
}

export interface Posted {
  id: string;
  seq: number;
  ts: string;
  duplicate: boolean;
}

/** How far a followed file has been read; saved in the transaction of the lines it gave, so a restart neither repeats nor loses. */
export interface FileMark {
  /** `<room>:<path>`. */
  source: string;
  inode: number;
  offsetBytes: number;
  /** SHA-1 of the first `headBytes` bytes: the same inode with another beginning is another file. */
  head: string;
  headBytes: number;
}

/** What the store knows of a room without asking the disk. */
export interface Head {
  readonly number: number;
  readonly room: string;
  /** Lines ever said. */
  seq: number;
  lastAtMs: number;
  /** Oldest line still kept; `seq + 1` when none is. */
  oldest: number;
  ended: boolean;
  /** Who may read and speak; null = everybody of the town. Kept here so that a private room stays private after its end. */
  members: string[] | null;
  speakers: Set<string>;
}

interface Group {
  drafts: Draft[];
  mark: FileMark | null;
  resolve: (posted: Posted[]) => void;
  reject: (error: unknown) => void;
}

interface Row {
  seq: number;
  at_ms: number;
  sender: string;
  type: string;
  level: number;
  tags: string;
  json: string;
}

/** Lines of one transaction: keeps the daemon answering while a burst of thousands is stored. */
const COMMIT_LINES = 512;
/** Rows of one deletion: some milliseconds. */
const PRUNE_ROWS = 500;
/** How long a repeated key is recognised. A sender that retries for longer than a month has lost its answer otherwise. */
const KEY_KEPT_MS = 30 * 24 * 3_600_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS rooms(number INTEGER PRIMARY KEY, room TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL,
    last_at_ms INTEGER NOT NULL, ended INTEGER NOT NULL, members TEXT) STRICT;
  CREATE TABLE IF NOT EXISTS lines(room INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, sender TEXT NOT NULL,
    type TEXT NOT NULL, level INTEGER NOT NULL, tags TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY(room, seq)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS speakers(room INTEGER NOT NULL, sender TEXT NOT NULL, PRIMARY KEY(room, sender)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS keys(sender TEXT NOT NULL, key TEXT NOT NULL, room TEXT NOT NULL, seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY(sender, key)) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS keys_by_age ON keys(at_ms);
  CREATE TABLE IF NOT EXISTS files(source TEXT PRIMARY KEY, inode INTEGER NOT NULL, offset_bytes INTEGER NOT NULL,
    head TEXT NOT NULL, head_bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;
const SCHEMA_VERSION = 1;

/**
 * The lines of every room in one SQLite file. Posts that arrive in one turn of the event loop share a transaction and one
 * fsync; an answer means the line is on disk. Numbers of a room have no gaps: one is used up only by a commit.
 */
export class RoomStore {
  readonly #db: DatabaseSync;
  readonly #now: () => number;
  readonly #heads = new Map<string, Head>();
  readonly #sql: Record<
    "line" | "head" | "speaker" | "keyGet" | "keyPut" | "file" | "prune" | "at" | "up" | "down",
    StatementSync
  >;
  #queue: Group[] = [];
  #scheduled = false;
  #closed = false;
  /** Called after each commit, in order, before the posters are answered. */
  onCommit: (lines: StoredLine[]) => void = () => {};

  constructor(file: string, now: () => number) {
    this.#now = now;
    // Private rooms lie in it: only its owner reads the file. SQLite gives its side files the same mode.
    closeSync(openSync(file, "a", 0o600));
    this.#db = new DatabaseSync(file, { timeout: 5_000 });
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    const version = Number(this.#db.prepare("PRAGMA user_version").get()!.user_version);
    if (version > SCHEMA_VERSION) {
      this.#db.close();
      throw new BosunError({
        code: "FAILED",
        what: `${file} was written by a newer bosun`,
        why: `it has layout ${version}, this version knows ${SCHEMA_VERSION}`,
        fix: "install the newer version again with `npm install -g bosun@latest`",
      });
    }
    this.#db.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION};`);
    const prepare = (sql: string) => this.#db.prepare(sql);
    const columns = "seq, at_ms, sender, type, level, tags, json";
    this.#sql = {
      line: prepare(`INSERT INTO lines(room, ${columns}) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`),
      head: prepare("UPDATE rooms SET seq = ?, last_at_ms = ? WHERE number = ?"),
      speaker: prepare("INSERT OR IGNORE INTO speakers(room, sender) VALUES(?, ?)"),
      keyGet: prepare("SELECT room, seq, at_ms FROM keys WHERE sender = ? AND key = ?"),
      keyPut: prepare("INSERT INTO keys(sender, key, room, seq, at_ms) VALUES(?, ?, ?, ?, ?)"),
      file: prepare(
        "INSERT OR REPLACE INTO files(source, inode, offset_bytes, head, head_bytes) VALUES(?, ?, ?, ?, ?)",
      ),
      prune: prepare("DELETE FROM lines WHERE room = ? AND seq >= ? AND seq < ?"),
      at: prepare("SELECT at_ms FROM lines WHERE room = ? AND seq = ?"),
      up: prepare(`SELECT ${columns} FROM lines WHERE room = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`),
      down: prepare(`SELECT ${columns} FROM lines WHERE room = ? AND seq > ? AND seq <= ? ORDER BY seq DESC LIMIT ?`),
    };
    this.#load();
  }

  #load(): void {
    const oldest = this.#db.prepare("SELECT min(seq) AS oldest FROM lines WHERE room = ?");
    const speakers = this.#db.prepare("SELECT sender FROM speakers WHERE room = ?");
    for (const row of this.#db.prepare("SELECT number, room, seq, last_at_ms, ended, members FROM rooms").all()) {
      const number = Number(row.number);
      const seq = Number(row.seq);
      this.#heads.set(String(row.room), {
        number,
        room: String(row.room),
        seq,
        lastAtMs: Number(row.last_at_ms),
        oldest: Number(oldest.get(number)!.oldest ?? seq + 1),
        ended: row.ended === 1,
        members: row.members === null ? null : (JSON.parse(String(row.members)) as string[]),
        speakers: new Set(speakers.all(number).map((speaker) => String(speaker.sender))),
      });
    }
  }

  /** Every room that ever was, ended ones included. */
  heads(): Iterable<Head> {
    return this.#heads.values();
  }

  head(room: string): Head | undefined {
    return this.#heads.get(room);
  }

  /** Makes exactly these rooms the living ones; others keep their lines and become `ended`. Nothing is written if all is so already. */
  declare(rooms: { id: string; members: string[] | null }[]): void {
    const wanted = new Map(rooms.map((room) => [room.id, room.members]));
    const born = rooms.filter((room) => !this.#heads.has(room.id));
    const changes = [...this.#heads.values()]
      .map((head) => ({ head, ended: !wanted.has(head.room), members: wanted.get(head.room) ?? null }))
      .map((next) => (next.ended ? { ...next, members: next.head.members } : next))
      .filter(({ head, ended, members }) => head.ended !== ended || !sameMembers(head.members, members));
    if (born.length === 0 && changes.length === 0) return;
    const insert = this.#db.prepare("INSERT INTO rooms(room, seq, last_at_ms, ended, members) VALUES(?, 0, 0, 0, ?)");
    const change = this.#db.prepare("UPDATE rooms SET ended = ?, members = ? WHERE number = ?");
    const numbers = this.#transaction(() => {
      for (const { head, ended, members } of changes) change.run(ended ? 1 : 0, membersText(members), head.number);
      return born.map(({ id, members }) => Number(insert.run(id, membersText(members)).lastInsertRowid));
    });
    for (const { head, ended, members } of changes) Object.assign(head, { ended, members });
    for (const [at, { id, members }] of born.entries()) {
      const number = numbers[at]!;
      const speakers = new Set<string>();
      this.#heads.set(id, { number, room: id, seq: 0, lastAtMs: 0, oldest: 1, ended: false, members, speakers });
    }
  }

  /** Stores the drafts in order, all or none, with the mark; resolves when they are durable. Their rooms must be declared. */
  append(drafts: Draft[], mark: FileMark | null = null): Promise<Posted[]> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#queue.push({ drafts, mark, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    });
  }

  /** One transaction with what has gathered. */
  #flush(): void {
    this.#scheduled = false;
    if (this.#queue.length === 0) return;
    let lines = 0;
    const fits = this.#queue.findIndex((group, at) => {
      lines += group.drafts.length;
      return at > 0 && lines > COMMIT_LINES;
    });
    const groups = this.#queue.splice(0, fits === -1 ? this.#queue.length : fits);
    if (this.#queue.length > 0) {
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    }
    const writing = new Writing(this.#sql, this.#heads, this.#now());
    let answers: Posted[][];
    try {
      answers = this.#transaction(() => {
        const posted = groups.map((group) => {
          if (group.mark) this.#putMark(group.mark);
          return group.drafts.map((draft) => writing.add(draft));
        });
        writing.finish();
        return posted;
      });
    } catch (error) {
      for (const group of groups) group.reject(storageError(error));
      return;
    }
    writing.settle();
    if (writing.lines.length > 0) this.onCommit(writing.lines);
    for (const [at, group] of groups.entries()) group.resolve(answers[at]!);
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      // SQLite has already rolled back by itself after some errors (disk full).
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #putMark(mark: FileMark): void {
    this.#sql.file.run(mark.source, mark.inode, mark.offsetBytes, mark.head, mark.headBytes);
  }

  saveMark(mark: FileMark): void {
    this.#putMark(mark);
  }

  mark(source: string): FileMark | null {
    const row = this.#db
      .prepare("SELECT inode, offset_bytes, head, head_bytes FROM files WHERE source = ?")
      .get(source);
    if (!row) return null;
    return {
      source,
      inode: Number(row.inode),
      offsetBytes: Number(row.offset_bytes),
      head: String(row.head),
      headBytes: Number(row.head_bytes),
    };
  }

  /**
   * Lines with `after` < seq ≤ `upTo`, oldest first or newest first, until `maxLines` or `maxBytes` of JSON are reached;
   * always at least one if there is one.
   */
  range(
    head: Head,
    after: number,
    upTo: number,
    bounds: { maxLines: number; maxBytes: number; newestFirst?: boolean },
  ): StoredLine[] {
    const lines: StoredLine[] = [];
    let bytes = 0;
    const statement = bounds.newestFirst ? this.#sql.down : this.#sql.up;
    for (const row of statement.iterate(head.number, after, upTo, bounds.maxLines) as Iterable<unknown>) {
      const line = row as Row;
      lines.push({
        room: head.room,
        seq: line.seq,
        atMs: line.at_ms,
        from: line.sender,
        type: line.type,
        level: line.level,
        tags: line.tags === "[]" ? [] : JSON.parse(line.tags),
        json: line.json,
      });
      bytes += line.json.length;
      if (bytes >= bounds.maxBytes) break;
    }
    return lines;
  }

  /** The first kept seq stamped at or after `atMs`; `seq + 1` when there is none. Stamps never run backwards, so halving finds it. */
  firstSeqAt(head: Head, atMs: number): number {
    let low = head.oldest;
    let high = head.seq + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const row = this.#sql.at.get(head.number, middle);
      if (row && Number(row.at_ms) < atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Forgets lines before `seq`, at most a small batch. Gives whether more remain to forget. */
  pruneBefore(head: Head, seq: number): boolean {
    const before = Math.min(seq, head.seq + 1);
    if (head.oldest >= before) return false;
    const end = Math.min(before, head.oldest + PRUNE_ROWS);
    this.#sql.prune.run(head.number, head.oldest, end);
    head.oldest = end;
    return end < before;
  }

  pruneKeys(): void {
    this.#db
      .prepare("DELETE FROM keys WHERE (sender, key) IN (SELECT sender, key FROM keys WHERE at_ms < ? LIMIT ?)")
      .run(this.#now() - KEY_KEPT_MS, PRUNE_ROWS);
  }

  /** Stores what still waits, now; further lines are refused. */
  flush(): void {
    this.#closed = true;
    while (this.#queue.length > 0) this.#flush();
  }

  close(): void {
    if (!this.#db.isOpen) return;
    this.flush();
    this.#db.close();
  }
}

type Statements = Record<"line" | "head" | "speaker" | "keyGet" | "keyPut", StatementSync>;

/** The lines of one transaction while it runs: heads move only in `settle`, after the commit. */
class Writing {
  readonly lines: StoredLine[] = [];
  readonly #sql: Statements;
  readonly #heads: Map<string, Head>;
  readonly #nowMs: number;
  readonly #moved = new Map<Head, { seq: number; lastAtMs: number; speakers: string[] }>();

  constructor(sql: Statements, heads: Map<string, Head>, nowMs: number) {
    this.#sql = sql;
    this.#heads = heads;
    this.#nowMs = nowMs;
  }

  add(draft: Draft): Posted {
    if (draft.key !== null) {
      const known = this.#sql.keyGet.get(draft.from, draft.key);
      if (known) {
        const seq = Number(known.seq);
        return { id: `${known.room}-${seq}`, seq, ts: isoOf(Number(known.at_ms)), duplicate: true };
      }
    }
    const line = this.#insert(draft.room, draft, draft.dataJson);
    const id = `${line.room}-${line.seq}`;
    if (draft.key !== null) this.#sql.keyPut.run(draft.from, draft.key, line.room, line.seq, line.atMs);
    for (const room of draft.alsoIn) this.#insert(room, draft, withOrigin(draft.dataJson, id));
    return { id, seq: line.seq, ts: isoOf(line.atMs), duplicate: false };
  }

  #insert(room: string, draft: Draft, dataJson: string | null): StoredLine {
    const head = this.#heads.get(room)!;
    let moved = this.#moved.get(head);
    if (!moved) {
      moved = { seq: head.seq, lastAtMs: head.lastAtMs, speakers: [] };
      this.#moved.set(head, moved);
    }
    moved.seq += 1;
    // A clock that was set back must not reorder what readers merge by time.
    moved.lastAtMs = Math.max(this.#nowMs, moved.lastAtMs);
    const { from, type, level, tags } = draft;
    const json = lineJson(room, moved.seq, moved.lastAtMs, draft, dataJson);
    this.#sql.line.run(head.number, moved.seq, moved.lastAtMs, from, type, level, JSON.stringify(tags), json);
    if (!head.speakers.has(from) && !moved.speakers.includes(from)) {
      moved.speakers.push(from);
      this.#sql.speaker.run(head.number, from);
    }
    const line: StoredLine = { room, seq: moved.seq, atMs: moved.lastAtMs, from, type, level, tags, json };
    this.lines.push(line);
    return line;
  }

  finish(): void {
    for (const [head, moved] of this.#moved) this.#sql.head.run(moved.seq, moved.lastAtMs, head.number);
  }

  settle(): void {
    for (const [head, moved] of this.#moved) {
      head.seq = moved.seq;
      head.lastAtMs = moved.lastAtMs;
      for (const speaker of moved.speakers) head.speakers.add(speaker);
    }
  }
}

function lineJson(room: string, seq: number, atMs: number, draft: Draft, dataJson: string | null): string {
  const { from, type, msg, tags } = draft;
  const level = LEVELS[draft.level];
  const json = JSON.stringify({ id: `${room}-${seq}`, seq, room, ts: isoOf(atMs), from, type, level, msg, tags });
  return dataJson === null ? json : `${json.slice(0, -1)},"data":${dataJson}}`;
}

/** The data of a copy names the line it repeats; data that is no object moves under `value`. */
function withOrigin(dataJson: string | null, origin: string): string {
  if (dataJson === null) return JSON.stringify({ origin });
  const data: unknown = JSON.parse(dataJson);
  if (typeof data === "object" && data !== null && !Array.isArray(data)) return JSON.stringify({ ...data, origin });
  return JSON.stringify({ origin, value: data });
}

export function isoOf(atMs: number): string {
  return new Date(atMs).toISOString();
}

function membersText(members: string[] | null): string | null {
  return members === null ? null : JSON.stringify(members);
}

function sameMembers(one: string[] | null, other: string[] | null): boolean {
  return membersText(one) === membersText(other);
}

function storageError(cause: unknown): BosunError {
  return new BosunError({
    code: "FAILED",
    what: "the line was not stored",
    why: cause instanceof Error ? cause.message : String(cause),
    fix: "free some disk space (`df -h`), then say it again",
  });
}

function closedError(): BosunError {
  return new BosunError({
    code: "UNREACHABLE",
    what: "the coordinator is stopping",
    fix: "start it again with `bosun up`",
  });
}
