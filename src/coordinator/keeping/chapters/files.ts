import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ChapterSpec } from "../../../protocol/chapter.ts";
import { digestOf, sessionsEntry, todoText } from "../../chapters/handshake.ts";
import { type ChapterRow, chaptersOf, handoffOf, handoffRow, isVersion } from "../../chapters/projection.ts";
import type { Ledger } from "../../log/ledger.ts";
import { replaceFile } from "../replace-file.ts";

/** Chapters whose entry is looked for in SESSIONS.md: a crash leaves the newest out, not older ones. */
const LOOKED_AT = 20;

type Views = Ledger["views"];

/** Where the files of one series are. */
export interface SeriesFiles {
  folder: string;
  handshake: string;
  sessions: string;
  todo: string | null;
  /** One word that a script can read: opening, work, closing, closed. */
  phase: string;
  brief(number: number): string;
}

export function filesOf(stateFolder: string, series: string, spec: ChapterSpec | null): SeriesFiles {
  const folder = join(stateFolder, "series", series);
  return {
    folder,
    handshake: spec?.handshake ?? join(folder, "HANDSHAKE.md"),
    sessions: spec?.sessions ?? join(folder, "SESSIONS.md"),
    todo: spec?.todo ?? null,
    phase: join(folder, "phase"),
    brief: (number) => join(folder, `brief-${number}.md`),
  };
}

export function textOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** What stands in the handshake that no version of the log is: somebody wrote it by hand. Null: nothing. */
export function handWritten(views: Views, series: string, files: SeriesFiles): string | null {
  const text = textOf(files.handshake);
  if (text === null || text.trim() === "") return null;
  const digest = digestOf(text);
  return isVersion(views, series, digest) ? null : text;
}

/** Brings the files of a series to what the log says. Repeated, it changes nothing. */
export function publish(views: Views, series: string, spec: ChapterSpec | null, stateFolder: string): void {
  const files = filesOf(stateFolder, series, spec);
  const newest = handoffRow(views, series);
  if (newest) {
    const there = textOf(files.handshake);
    if (there === null || digestOf(there) !== newest.digest) {
      // Written by hand between the last look and now: it is kept beside.
      if (there !== null && handWritten(views, series, files) !== null)
        replaceFile(`${files.handshake}.${Date.now()}.kept`, there);
      replaceFile(files.handshake, newest.text);
    }
  }
  const chapters = chaptersOf(views, series, LOOKED_AT);
  enter(views, files, spec, chapters);
  if (files.todo !== null && newest) {
    const text = todoText(series, newest.parts.pending ?? [], new Date(newest.atMs).toISOString());
    if (textOf(files.todo) !== text) replaceFile(files.todo, text);
  }
  const phase = `${chapters[0]?.phase ?? "closed"}\n`;
  if (textOf(files.phase) !== phase) replaceFile(files.phase, phase);
}

/** An entry for each closed chapter that has none. */
function enter(views: Views, files: SeriesFiles, spec: ChapterSpec | null, chapters: readonly ChapterRow[]): void {
  const closed = chapters.filter((row) => row.phase === "closed").toReversed();
  if (closed.length === 0) return;
  const there = textOf(files.sessions) ?? "";
  const missing = closed.flatMap((row) => {
    const handoff = handoffOf(views, row.series, row.number);
    const { key, text } = sessionsEntry({
      at: new Date(row.closedAtMs!).toISOString(),
      label: spec?.label ?? row.series.toUpperCase(),
      series: row.series,
      number: row.number,
      heading: row.heading,
      reason: row.endReason!,
      burned: row.burned,
      digest: handoff?.digest ?? null,
      parts: handoff?.parts ?? {},
    });
    return there.includes(key) ? [] : [text];
  });
  if (missing.length === 0) return;
  mkdirSync(dirname(files.sessions), { recursive: true, mode: 0o700 });
  const gap = there === "" || there.endsWith("\n\n") ? "" : there.endsWith("\n") ? "\n" : "\n\n";
  appendFileSync(files.sessions, gap + missing.join(""), { mode: 0o600 });
}
