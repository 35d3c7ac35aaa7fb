import type { ChapterSpec } from "../../protocol/chapter.ts";
import { parseDuration, parseSize } from "./durations.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import { pathFrom } from "./paths.ts";
import type { ChapterEntry } from "./schema.ts";

/** A chapter that has ended its act, or reached its ceiling, has this long for its last words. */
const GRACE_MS = 120_000;

/** Words of the entry, with those of the defaults below them, as the coordinator needs them. */
export function chapterOf(
  id: string,
  entry: ChapterEntry | undefined,
  defaults: ChapterEntry | undefined,
  restarted: boolean,
  where: { path: Path; folder: string; env: Record<string, string | undefined>; mistakes: Mistakes },
): ChapterSpec | null {
  if (entry === undefined && defaults === undefined) return null;
  const given = { ...defaults, ...entry };
  const { path, folder, env, mistakes } = where;
  const graceMs = given.grace === undefined ? GRACE_MS : parseDuration(given.grace);
  const bytes = given.bytes === undefined ? null : parseSize(given.bytes);
  if (given.bytes !== undefined && bytes === null)
    mistakes.add([...path, "chapter", "bytes"], {
      what: `bytes: ${show(given.bytes)} is no size`,
      why: "a number of bytes, or one with KB, MB or GB",
      fix: "bytes: 50MB",
    });
  const file = (name: string | undefined): string | null => (name === undefined ? null : pathFrom(folder, name, env));
  const series = given.series ?? id.replaceAll("/", "-");
  return {
    series,
    handshake: file(given.handshake),
    sessions: file(given.sessions),
    todo: file(given.todo),
    label: given.label ?? series.toUpperCase(),
    heading: given.heading ?? null,
    ceilings: { minutes: given.minutes ?? null, turns: given.turns ?? null, bytes, tokens: given.tokens ?? null },
    graceMs: graceMs ?? GRACE_MS,
    next: given.next ?? (restarted ? "roll" : "end"),
  };
}
