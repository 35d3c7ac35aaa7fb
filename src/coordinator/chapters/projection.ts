import type { DatabaseSync } from "node:sqlite";
import type { Ceilings, EndReason, HandoffParts, Phase } from "../../protocol/chapter.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** Chapters, their handoffs and their progress, as the log has them. */
export const chaptersProjection = defineProjection({
  name: "chapters",
  revision: 1,
  tables: ["series", "chapters", "chapter_notes", "handoffs"],
  create: `
    CREATE TABLE series(
      series TEXT PRIMARY KEY, closed_at_ms INTEGER, closed_by TEXT, closed_because TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE chapters(
      series TEXT NOT NULL, number INTEGER NOT NULL, session TEXT NOT NULL, epoch INTEGER NOT NULL, phase TEXT NOT NULL,
      opened_at_ms INTEGER NOT NULL, ceilings_json TEXT NOT NULL, previous TEXT, recovery INTEGER NOT NULL,
      ack_at_ms INTEGER, ack_by TEXT, ack_forced INTEGER NOT NULL DEFAULT 0, heading TEXT, heading_by TEXT,
      blind INTEGER NOT NULL DEFAULT 0, turns INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
      tokens INTEGER NOT NULL DEFAULT 0, extended INTEGER NOT NULL DEFAULT 0,
      closed_at_ms INTEGER, end_reason TEXT, written_by TEXT, burned INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (series, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX chapters_open ON chapters(session) WHERE phase <> 'closed';
    CREATE TABLE chapter_notes(
      position INTEGER PRIMARY KEY, series TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX chapter_notes_of ON chapter_notes(series, number);
    CREATE TABLE handoffs(
      series TEXT NOT NULL, version INTEGER NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, previous TEXT,
      written_by TEXT NOT NULL, at_ms INTEGER NOT NULL, text TEXT NOT NULL, parts_json TEXT NOT NULL,
      PRIMARY KEY (series, version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX handoffs_number ON handoffs(series, number);
    CREATE INDEX handoffs_digest ON handoffs(series, digest);`,
  on: {
    "chapter.opened": (db, { series, number, session, epoch, ceilings, previous, recovery }, { atMs }) => {
      statement(db, "INSERT OR IGNORE INTO series VALUES (?, NULL, NULL, NULL)").run(series);
      statement(
        db,
        `INSERT OR REPLACE INTO chapters(series, number, session, epoch, phase, opened_at_ms, ceilings_json, previous, recovery)
         VALUES (?, ?, ?, ?, 'opening', ?, ?, ?, ?)`,
      ).run(series, number, session, epoch, atMs, JSON.stringify(ceilings), previous, recovery ? 1 : 0);
    },
    "chapter.acknowledged": (db, { series, number, forced }, { atMs, actor }) => {
      statement(
        db,
        "UPDATE chapters SET ack_at_ms = ?, ack_by = ?, ack_forced = ? WHERE series = ? AND number = ?",
      ).run(atMs, actor, forced ? 1 : 0, series, number);
    },
    "chapter.headed": (db, { series, number, heading }, { actor }) => {
      statement(db, "UPDATE chapters SET heading = ?, heading_by = ? WHERE series = ? AND number = ?").run(
        heading,
        actor,
        series,
        number,
      );
    },
    "chapter.turned": (db, { series, number, phase, blind }) => {
      statement(db, "UPDATE chapters SET phase = ?, blind = MAX(blind, ?) WHERE series = ? AND number = ?").run(
        phase,
        blind ? 1 : 0,
        series,
        number,
      );
    },
    "chapter.noted": (db, { series, number, text, turns, bytes, tokens }, { atMs, position }) => {
      if (text !== null)
        statement(db, "INSERT INTO chapter_notes VALUES (?, ?, ?, ?, ?)").run(position, series, number, text, atMs);
      statement(db, "UPDATE chapters SET turns = ?, bytes = ?, tokens = ? WHERE series = ? AND number = ?").run(
        turns,
        bytes,
        tokens,
        series,
        number,
      );
    },
    "chapter.extended": (db, { series, number, ceilings }) => {
      // What is far from its ceiling again works again.
      statement(
        db,
        `UPDATE chapters SET ceilings_json = ?, extended = 1, phase = CASE phase WHEN 'closing' THEN 'work' ELSE phase END
         WHERE series = ? AND number = ?`,
      ).run(JSON.stringify(ceilings), series, number);
    },
    "handoff.written": (db, { series, number, digest, previous, writtenBy, text, parts }, { atMs }) => {
      statement(
        db,
        `INSERT INTO handoffs
         SELECT :series, 1 + COALESCE(MAX(version), 0), :number, :digest, :previous, :writtenBy, :at, :text, :parts
         FROM handoffs WHERE series = :series`,
      ).run({ series, number, digest, previous, writtenBy, at: atMs, text, parts: JSON.stringify(parts) });
    },
    "chapter.closed": (db, { series, number, reason, writtenBy, burned }, { atMs }) => {
      statement(
        db,
        `UPDATE chapters SET phase = 'closed', closed_at_ms = ?, end_reason = ?, written_by = ?, burned = ?
         WHERE series = ? AND number = ?`,
      ).run(atMs, reason, writtenBy, burned ? 1 : 0, series, number);
    },
    "series.closed": (db, { series, because }, { atMs, actor }) => {
      statement(db, "UPDATE series SET closed_at_ms = ?, closed_by = ?, closed_because = ? WHERE series = ?").run(
        atMs,
        actor,
        because,
        series,
      );
    },
    "series.reopened": (db, { series }) => {
      statement(
        db,
        "UPDATE series SET closed_at_ms = NULL, closed_by = NULL, closed_because = NULL WHERE series = ?",
      ).run(series);
    },
  },
});

export interface ChapterRow {
  series: string;
  number: number;
  session: string;
  epoch: number;
  phase: Phase;
  openedAtMs: number;
  ceilings: Ceilings;
  previous: string | null;
  recovery: boolean;
  ackAtMs: number | null;
  ackBy: string | null;
  ackForced: boolean;
  heading: string | null;
  headingBy: string | null;
  blind: boolean;
  turns: number;
  bytes: number;
  tokens: number;
  extended: boolean;
  closedAtMs: number | null;
  endReason: EndReason | null;
  writtenBy: string | null;
  burned: boolean;
}

const CHAPTER_COLUMNS = `series, number, session, epoch, phase, opened_at_ms AS openedAtMs, ceilings_json, previous, recovery,
  ack_at_ms AS ackAtMs, ack_by AS ackBy, ack_forced AS ackForced, heading, heading_by AS headingBy, blind, turns, bytes, tokens,
  extended, closed_at_ms AS closedAtMs, end_reason AS endReason, written_by AS writtenBy, burned`;

function toChapter({ ceilings_json, ...row }: Record<string, unknown>): ChapterRow {
  const flags = ["recovery", "ackForced", "blind", "extended", "burned"] as const;
  return {
    ...row,
    ...Object.fromEntries(flags.map((flag) => [flag, row[flag] === 1])),
    ceilings: JSON.parse(ceilings_json as string),
  } as ChapterRow;
}

/** The chapter that a session is in, or null. */
export function openChapter(db: DatabaseSync, session: string): ChapterRow | null {
  const row = statement(db, `SELECT ${CHAPTER_COLUMNS} FROM chapters WHERE session = ? AND phase <> 'closed'`).get(
    session,
  );
  return row ? toChapter(row) : null;
}

export function openChapters(db: DatabaseSync): ChapterRow[] {
  return statement(db, `SELECT ${CHAPTER_COLUMNS} FROM chapters WHERE phase <> 'closed' ORDER BY series, number`)
    .all()
    .map(toChapter);
}

/** Newest first. */
export function chaptersOf(db: DatabaseSync, series: string, limit: number): ChapterRow[] {
  return statement(db, `SELECT ${CHAPTER_COLUMNS} FROM chapters WHERE series = ? ORDER BY number DESC LIMIT ?`)
    .all(series, limit)
    .map(toChapter);
}

export function chapterRow(db: DatabaseSync, series: string, number: number): ChapterRow | null {
  const row = statement(db, `SELECT ${CHAPTER_COLUMNS} FROM chapters WHERE series = ? AND number = ?`).get(
    series,
    number,
  );
  return row ? toChapter(row) : null;
}

/** The newest chapter of a session, whatever its series. */
export function newestChapter(db: DatabaseSync, session: string): ChapterRow | null {
  const row = statement(
    db,
    `SELECT ${CHAPTER_COLUMNS} FROM chapters WHERE session = ? ORDER BY opened_at_ms DESC, number DESC LIMIT 1`,
  ).get(session);
  return row ? toChapter(row) : null;
}

export interface SeriesRow {
  series: string;
  closedAtMs: number | null;
  closedBy: string | null;
  closedBecause: string | null;
}

export function seriesRows(db: DatabaseSync): SeriesRow[] {
  return statement(
    db,
    "SELECT series, closed_at_ms AS closedAtMs, closed_by AS closedBy, closed_because AS closedBecause FROM series ORDER BY series",
  )
    .all()
    .map((row) => ({ ...row }) as unknown as SeriesRow);
}

export interface NoteRow {
  text: string;
  atMs: number;
}

export function notesIn(db: DatabaseSync, series: string, number: number): NoteRow[] {
  return statement(
    db,
    "SELECT text, at_ms AS atMs FROM chapter_notes WHERE series = ? AND number = ? ORDER BY position",
  )
    .all(series, number)
    .map((row) => ({ ...row }) as unknown as NoteRow);
}

/** Who wrote a version that was found in the file. */
export const BY_HAND = "by hand";

export interface HandoffRow {
  series: string;
  version: number;
  number: number;
  digest: string;
  previous: string | null;
  writtenBy: string;
  atMs: number;
  text: string;
  parts: HandoffParts;
}

const HANDOFF_COLUMNS =
  "series, version, number, digest, previous, written_by AS writtenBy, at_ms AS atMs, text, parts_json";

function toHandoff({ parts_json, ...row }: Record<string, unknown>): HandoffRow {
  return { ...row, parts: JSON.parse(parts_json as string) } as HandoffRow;
}

/** The newest version, or the one asked for. */
export function handoffRow(db: DatabaseSync, series: string, version?: number): HandoffRow | null {
  const row = statement(
    db,
    `SELECT ${HANDOFF_COLUMNS} FROM handoffs WHERE series = :series AND (:version IS NULL OR version = :version)
     ORDER BY version DESC LIMIT 1`,
  ).get({ series, version: version ?? null });
  return row ? toHandoff(row) : null;
}

/** The newest version that a chapter has written; with `own` only what somebody in it wrote, not what was written about it. */
export function handoffOf(db: DatabaseSync, series: string, number: number, own = false): HandoffRow | null {
  const row = statement(
    db,
    `SELECT ${HANDOFF_COLUMNS} FROM handoffs WHERE series = :series AND number = :number
     AND NOT (:own AND written_by IN ('coordinator', '${BY_HAND}')) ORDER BY version DESC LIMIT 1`,
  ).get({ series, number, own: own ? 1 : 0 });
  return row ? toHandoff(row) : null;
}

/** The newest version that somebody wrote of that chapter. */
export function handoffBy(db: DatabaseSync, series: string, number: number, writtenBy: string): HandoffRow | null {
  const row = statement(
    db,
    `SELECT ${HANDOFF_COLUMNS} FROM handoffs WHERE series = ? AND number = ? AND written_by = ? ORDER BY version DESC LIMIT 1`,
  ).get(series, number, writtenBy);
  return row ? toHandoff(row) : null;
}

/** Whether a text with that digest is a version of the series. */
export function isVersion(db: DatabaseSync, series: string, digest: string): boolean {
  return statement(db, "SELECT 1 FROM handoffs WHERE series = ? AND digest = ?").get(series, digest) !== undefined;
}

/** Oldest first. */
export function handoffRows(db: DatabaseSync, series: string): HandoffRow[] {
  return statement(db, `SELECT ${HANDOFF_COLUMNS} FROM handoffs WHERE series = ? ORDER BY version`)
    .all(series)
    .map(toHandoff);
}
