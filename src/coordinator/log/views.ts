import { hash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { BosunError } from "../../protocol/error.ts";
import { EVENT_TYPES, type StoredEvent } from "../../protocol/event.ts";
import type { Projection } from "./projection.ts";
import { baseOf, type SqliteLog } from "./sqlite.ts";
import { statement } from "./statement.ts";

/** Entries replayed in one transaction; bounds memory, and what a crash during a long replay repeats. */
const REPLAY_CHUNK = 1000;

const KNOWN: ReadonlySet<string> = new Set(EVENT_TYPES);

/** All projections of a ledger as one: which position they show, bringing them up to the log, comparing them with it. */
export class Views {
  readonly #log: SqliteLog;
  readonly #projections: readonly Projection[];
  readonly #progress: (done: number, total: number) => void;
  readonly #byType = new Map<string, Projection[]>();

  constructor(
    log: SqliteLog,
    projections: readonly Projection[],
    progress: (done: number, total: number) => void = () => {},
  ) {
    this.#log = log;
    this.#progress = progress;
    this.#projections = projections;
    for (const projection of projections) {
      for (const type of projection.handles) this.#byType.set(type, [...(this.#byType.get(type) ?? []), projection]);
    }
  }

  /** Makes the tables where they are missing or of another making, then replays what they have not seen. */
  catchUp(): void {
    const db = this.#log.db;
    db.exec(
      "CREATE TABLE IF NOT EXISTS ledger(applied INTEGER NOT NULL, making TEXT NOT NULL, tables TEXT NOT NULL) STRICT",
    );
    const row = db.prepare("SELECT applied, making FROM ledger").get() as
      | { applied: number; making: string }
      | undefined;
    // Views that know more than the log: the log was cut. Made anew they say what it says now; `verify` tells of the cut.
    if (row?.making !== this.#making() || row.applied > this.#log.head().position) this.remake();
    else this.#replay(db, row.applied);
  }

  /** Throws away every view and fills it again from the log. A crash in between is mended by the next `catchUp`. */
  remake(): void {
    const db = this.#log.db;
    db.exec("BEGIN IMMEDIATE");
    try {
      const old = db.prepare("SELECT tables FROM ledger").get() as { tables: string } | undefined;
      const tables = this.#projections.flatMap((projection) => projection.tables);
      for (const table of new Set([...tables, ...((old ? JSON.parse(old.tables) : []) as string[])])) {
        db.exec(`DROP TABLE IF EXISTS "${table}"`);
      }
      for (const projection of this.#projections) projection.create(db);
      db.exec("DELETE FROM ledger");
      db.prepare("INSERT INTO ledger VALUES (?, ?, ?)").run(
        baseOf(db).position,
        this.#making(),
        JSON.stringify(tables),
      );
      db.exec("COMMIT");
    } catch (thrown) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw thrown;
    }
    this.#replay(db, baseOf(db).position);
  }

  /** Shows `entry` in every view it concerns. Throws LOG_DAMAGED on a kind of event this version does not know. */
  apply(db: DatabaseSync, entry: StoredEvent): void {
    const { type } = entry.event;
    if (!KNOWN.has(type)) {
      throw new BosunError({
        code: "LOG_DAMAGED",
        what: `entry ${entry.position} of the log is of the unknown kind "${type}"`,
        why: "a newer bosun wrote it, or the log was changed; skipping it would make every view wrong",
        fix: "start the newer bosun, or check the log with `bosun audit verify`",
      });
    }
    for (const projection of this.#byType.get(type) ?? []) projection.apply(db, entry);
  }

  /** Notes, in the open transaction, that the views now show everything up to `position`. */
  setApplied(position: number): void {
    statement(this.#log.db, "UPDATE ledger SET applied = ?").run(position);
  }

  #replay(db: DatabaseSync, from: number): void {
    let applied = from;
    for (let chunk = this.#chunk(applied); chunk.length > 0; chunk = this.#chunk(applied)) {
      db.exec("BEGIN IMMEDIATE");
      try {
        for (const entry of chunk) this.apply(db, entry);
        applied = chunk.at(-1)!.position;
        this.setApplied(applied);
        db.exec("COMMIT");
        this.#progress(applied, this.#log.head().position);
      } catch (thrown) {
        if (db.isTransaction) db.exec("ROLLBACK");
        throw thrown;
      }
    }
  }

  /** The entries after `position`; throws LOG_DAMAGED when one is missing among them. */
  #chunk(position: number): StoredEvent[] {
    const chunk = this.#log.read(position, REPLAY_CHUNK);
    chunk.forEach((entry, index) => {
      if (entry.position === position + index + 1) return;
      throw new BosunError({
        code: "LOG_DAMAGED",
        what: `entry ${position + index + 1} of the log is missing`,
        why: `the next one found is ${entry.position}`,
        fix: "put back the newest backup of the town's folder, then `bosun audit verify`",
      });
    });
    return chunk;
  }

  /**
   * Replays the whole log into an empty database and compares table by table, row by row. Gives the tables that differ,
   * each with the first row that does. Everything else waits meanwhile: about half a minute per million entries.
   */
  compareWithReplay(): { entries: number; differing: string[] } {
    const live = this.#log.db;
    const base = baseOf(live).position;
    if (base > 0) {
      throw new BosunError({
        code: "REFUSED",
        what: "the views cannot be rebuilt from this log",
        why: `entries 1 to ${base} were archived; put them back first`,
      });
    }
    const fresh = new DatabaseSync(":memory:");
    try {
      // Nothing of it is ever taken back.
      fresh.exec("PRAGMA journal_mode=OFF");
      for (const projection of this.#projections) projection.create(fresh);
      fresh.exec("BEGIN");
      let position = 0;
      for (let chunk = this.#chunk(0); chunk.length > 0; chunk = this.#chunk(position)) {
        for (const entry of chunk) this.apply(fresh, entry);
        position = chunk.at(-1)!.position;
      }
      const tables = this.#projections.flatMap((projection) => projection.tables);
      return { entries: position, differing: tables.flatMap((table) => firstDifference(table, live, fresh) ?? []) };
    } finally {
      fresh.close();
    }
  }

  /** Changes when any projection comes, goes, or is made otherwise. */
  #making(): string {
    const scratch = new DatabaseSync(":memory:");
    try {
      for (const projection of this.#projections) projection.create(scratch);
      const schema = scratch.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").all();
      const parts = this.#projections.map(({ name, revision, handles }) => ({ name, revision, handles }));
      return hash("sha256", JSON.stringify([schema, parts]));
    } finally {
      scratch.close();
    }
  }
}

/** `null`, or the table and its first differing row, counted from 1 in the order of its columns. Never shows content. */
function firstDifference(table: string, live: DatabaseSync, fresh: DatabaseSync): string | null {
  const expected = rowsOf(table, fresh);
  let row = 0;
  for (const found of rowsOf(table, live)) {
    row += 1;
    const wanted = expected.next();
    if (wanted.done || JSON.stringify(wanted.value) !== JSON.stringify(found)) return `${table}: row ${row}`;
  }
  return expected.next().done ? null : `${table}: row ${row + 1}`;
}

function rowsOf(table: string, db: DatabaseSync): Iterator<unknown> & Iterable<unknown> {
  const columns = db.prepare(`SELECT * FROM "${table}"`).columns();
  return db.prepare(`SELECT * FROM "${table}" ORDER BY ${columns.map((_, index) => index + 1).join(", ")}`).iterate();
}
