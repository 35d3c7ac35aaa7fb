import { closeSync, openSync, readSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { BosunError } from "../../protocol/error.ts";
import type { StoredEvent } from "../../protocol/event.ts";
import { GENESIS } from "./chain.ts";
import type { Head, Log } from "./port.ts";
import { statement } from "./statement.ts";
import { damaged, explainStorageFailure } from "./storage-error.ts";

/** `user_version` of the file. A file with a higher one was written by a newer bosun and is left alone. */
const SCHEMA = 1;

/** Pages in the WAL before they go into the main file: four times SQLite's own, so that a page written often goes there once. */
const CHECKPOINT_PAGES = 4_000;

/** A WAL larger than this is cut after a checkpoint; a long run of writes must not fill the disk twice. */
const WAL_LIMIT_BYTES = 67_108_864;

/** The SQLite driver also lends its connection, so that views share the log's transaction and its one fsync. */
export interface SqliteLog extends Log {
  readonly db: DatabaseSync;
}

/**
 * Opens or creates the log in `file` (`:memory:` for one that lasts as long as the process) and holds it alone: a second
 * opener, in whichever process, gets CONFLICT at once; the kernel frees the lock when the holder dies, however it dies.
 *
 * Throws LOG_DAMAGED when the file is not a database, REFUSED when a newer bosun wrote it; both leave it untouched.
 */
export function openSqliteLog(file: string): SqliteLog {
  if (file !== ":memory:") inspectHeader(file);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file);
    prepareFile(db, file);
    return new SqliteDriver(db, file);
  } catch (thrown) {
    if (db?.isOpen) db.close();
    throw explainStorageFailure(thrown, file);
  }
}

/** Reads the first 100 bytes without SQLite, which would already create side files. Creates a missing file, private. */
function inspectHeader(file: string): void {
  const header = Buffer.alloc(100);
  const handle = openSync(file, "a+", 0o600);
  try {
    const length = readSync(handle, header, 0, header.length, 0);
    if (length === 0) return;
    if (header.toString("latin1", 0, 16) !== "SQLite format 3\0")
      throw damaged(file, "it does not begin as a database");
    refuseNewer(header.readUInt32BE(60), file);
  } finally {
    closeSync(handle);
  }
}

function refuseNewer(version: number, file: string): void {
  if (version <= SCHEMA) return;
  throw new BosunError({
    code: "REFUSED",
    what: `${file} was written by a newer bosun`,
    why: `its format is ${version}, this bosun knows up to ${SCHEMA}; nothing was changed`,
    fix: "start the newer bosun again, or put back the backup made before the update",
  });
}

function prepareFile(db: DatabaseSync, file: string): void {
  // Exclusive before WAL: then the index of the WAL lives in our memory and nobody can delete or damage it.
  db.exec("PRAGMA locking_mode=EXCLUSIVE");
  db.exec("BEGIN EXCLUSIVE");
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  try {
    refuseNewer(version, file);
    // In the main file before there is a WAL, so that the bare header already tells the version.
    if (version === 0) {
      db.exec(`
        CREATE TABLE log(
          position INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,
          hash TEXT NOT NULL
        ) STRICT;
        CREATE TABLE log_base(position INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;
        PRAGMA user_version=${SCHEMA};
      `);
    }
    db.exec("COMMIT");
  } catch (thrown) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw thrown;
  }
  db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
  // Savepoints keep what they may have to undo in memory; in a file it was five times what went into the WAL.
  db.exec("PRAGMA temp_store=MEMORY");
  db.exec(`PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}; PRAGMA journal_size_limit=${WAL_LIMIT_BYTES}`);
}

interface Row {
  position: number;
  at_ms: number;
  actor: string;
  type: string;
  data: string;
  hash: string;
}

class SqliteDriver implements SqliteLog {
  readonly db: DatabaseSync;
  readonly #file: string;
  readonly #listeners = new Set<(entry: StoredEvent) => void>();
  #head: Head;

  constructor(db: DatabaseSync, file: string) {
    this.db = db;
    this.#file = file;
    const last = db.prepare("SELECT position, hash FROM log ORDER BY position DESC LIMIT 1").get() as Head | undefined;
    this.#head = last ? { position: last.position, hash: last.hash } : baseOf(db);
  }

  async append(prepare: (head: Head) => StoredEvent[]): Promise<void> {
    let entries: StoredEvent[];
    try {
      statement(this.db, "BEGIN IMMEDIATE").run();
      entries = prepare(this.head());
      this.#insert(entries);
      statement(this.db, "COMMIT").run();
    } catch (thrown) {
      // SQLite has already rolled back by itself after some failures of the disk.
      if (this.db.isTransaction) this.db.exec("ROLLBACK");
      throw explainStorageFailure(thrown, this.#file);
    }
    const last = entries.at(-1);
    if (!last) return;
    this.#head = { position: last.position, hash: last.hash };
    this.#tell(entries);
  }

  #insert(entries: StoredEvent[]): void {
    const insert = statement(this.db, "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)");
    let expected = this.#head.position;
    for (const { position, atMs, actor, event, hash } of entries) {
      expected += 1;
      if (position !== expected) {
        throw new BosunError({
          code: "CONFLICT",
          what: `entry ${position} does not follow the log's last, ${expected - 1}`,
          why: "somebody else wrote meanwhile, or the entries have a gap; nothing was stored",
        });
      }
      insert.run(position, atMs, actor, event.type, JSON.stringify(event.data), hash);
    }
  }

  #tell(entries: StoredEvent[]): void {
    for (const entry of entries) {
      for (const listener of [...this.#listeners]) {
        try {
          listener(entry);
        } catch (thrown) {
          // The entry is durable and must be answered as such; the fault is the listener's and is shown as its own.
          process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
        }
      }
    }
  }

  read(position: number, limit: number): StoredEvent[] {
    const rows = statement(this.db, "SELECT * FROM log WHERE position > ? ORDER BY position LIMIT ?").all(
      position,
      limit,
    );
    return (rows as unknown as Row[]).map((row) => ({
      position: row.position,
      atMs: row.at_ms,
      actor: row.actor,
      event: this.#eventOf(row),
      hash: row.hash,
    }));
  }

  #eventOf(row: Row): StoredEvent["event"] {
    try {
      return { type: row.type, data: JSON.parse(row.data) } as StoredEvent["event"];
    } catch {
      throw damaged(this.#file, `entry ${row.position} is not JSON`);
    }
  }

  tail(listener: (entry: StoredEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  truncate(position: number): void {
    const row = this.db.prepare("SELECT position, hash FROM log WHERE position = ?").get(position) as Head | undefined;
    if (!row) throw new BosunError({ code: "NOT_FOUND", what: `the log has no entry ${position}` });
    this.db.exec("BEGIN IMMEDIATE");
    this.db.exec("DELETE FROM log_base");
    this.db.prepare("INSERT INTO log_base VALUES (?, ?)").run(row.position, row.hash);
    this.db.prepare("DELETE FROM log WHERE position <= ?").run(position);
    this.db.exec("COMMIT");
  }

  head(): Head {
    return { ...this.#head };
  }

  close(): void {
    this.db.close();
  }
}

/** What the oldest kept entry follows: GENESIS, or the last forgotten entry. */
export function baseOf(db: DatabaseSync): Head {
  const row = db.prepare("SELECT position, hash FROM log_base").get() as Head | undefined;
  return row ? { position: row.position, hash: row.hash } : { position: 0, hash: GENESIS };
}
