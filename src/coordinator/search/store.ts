import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { statement } from "../log/statement.ts";
import { queryOf, spaced } from "./words.ts";

/** A text of the log: what a message or a value says. */
export interface Found {
  /** Place in the log. */
  position: number;
  kind: "message" | "memory";
}

/** Raised when texts are indexed in another way: the index is then made anew. */
const REVISION = 1;

/**
 * The words of messages and memory, by place in the log. Derived from the log and nothing else: a missing, older or damaged
 * file is made anew. Not durable to the last entry either: after a crash it goes on from where it stood.
 */
export class SearchStore {
  readonly #db: DatabaseSync;

  /** `head` is the newest place of the log: an index that knows more is of another log. */
  constructor(file: string, head: number) {
    this.#db = open(file, head);
  }

  /** Entries up to here are in it. */
  get position(): number {
    return statement(this.#db, "SELECT position FROM progress").get()!.position as number;
  }

  /** Adds texts, and that all entries up to `position` have been looked at. */
  add(texts: readonly (Found & { text: string })[], position: number): void {
    const db = this.#db;
    db.exec("BEGIN");
    try {
      for (const { position: place, kind, text } of texts) {
        statement(db, "INSERT INTO words(rowid, text) VALUES (?, ?)").run(place, spaced(text));
        statement(db, "INSERT INTO kinds VALUES (?, ?)").run(place, kind);
      }
      statement(db, "UPDATE progress SET position = ?").run(position);
      db.exec("COMMIT");
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
  }

  /** Texts that hold all of the words, newest first, before place `before`. Throws USAGE for a query without words. */
  find(query: string, kinds: readonly string[], before: number, limit: number): Found[] {
    return statement(
      this.#db,
      `SELECT words.rowid AS position, kind FROM words JOIN kinds ON kinds.position = words.rowid
       WHERE words MATCH :query AND words.rowid < :before AND kind IN (SELECT value FROM json_each(:kinds))
       ORDER BY words.rowid DESC LIMIT :limit`,
    ).all({ query: queryOf(query), before, limit, kinds: JSON.stringify(kinds) }) as unknown as Found[];
  }

  close(): void {
    this.#db.close();
  }
}

function open(file: string, head: number): DatabaseSync {
  try {
    return prepare(new DatabaseSync(file), head);
  } catch {
    for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(file + end, { force: true });
    return prepare(new DatabaseSync(file), head);
  }
}

function prepare(db: DatabaseSync, head: number): DatabaseSync {
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;");
    const revision = db.prepare("PRAGMA user_version").get()!.user_version as number;
    if (revision !== 0 && revision !== REVISION) throw new Error("an index of another kind");
    if (revision === REVISION) {
      const position = db.prepare("SELECT position FROM progress").get()!.position as number;
      if (position > head) throw new Error("an index of another log");
      return db;
    }
    db.exec(`
      CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');
      CREATE TABLE kinds(position INTEGER PRIMARY KEY, kind TEXT NOT NULL) STRICT;
      CREATE TABLE progress(position INTEGER NOT NULL) STRICT;
      INSERT INTO progress VALUES (0);
      PRAGMA user_version = ${REVISION};`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
