import type { RosterEntry } from "../protocol/screen.ts";
import { cut } from "../protocol/width.ts";

export const GROUPS = ["Needs you", "Working", "Idle", "Done"] as const;
export type Group = (typeof GROUPS)[number];

/** Where a session stands in the roster. What ended, and what ended its work unseen, wants to be looked at too, but less. */
export function groupOf({ activity, state }: RosterEntry): Group {
  if (activity.state === "waiting" || activity.state === "stalled") return "Needs you";
  if (activity.state === "dead" || state === "exited" || state === "stopped") return "Done";
  if (activity.state === "working") return "Working";
  return "Idle";
}

const GLYPHS: Record<RosterEntry["activity"]["state"], string> = {
  working: "●",
  idle: "○",
  "done-unseen": "✓",
  waiting: "◐",
  stalled: "!",
  dead: "✕",
  unknown: "·",
};

/** What a session is for, before its name. */
const PREFIXES: Record<string, string> = {
  shell: "sh/",
  debug: "debug/",
  planning: "plan/",
  development: "dev/",
  review: "review/",
  feature: "feature/",
  hotfix: "hotfix/",
  refactor: "refactor/",
  experiment: "exp/",
};

const COLOURS: Record<Group, string> = { "Needs you": "33", Working: "32", Idle: "2", Done: "2" };

/** One row of the roster: active mark, number, name, and at its right what there is to see. */
export function rosterRow(entry: RosterEntry, cells: number, colour: boolean): string {
  const mark = entry.active ? "▶" : " ";
  const news = [
    entry.activity.reason ?? (entry.activity.state === "done-unseen" ? "done" : ""),
    entry.unread > 0 ? `✉${entry.unread}` : "",
    entry.unseen > 0 && !entry.active ? "•" : "",
  ]
    .filter((word) => word !== "")
    .join(" ");
  const left = `${mark}${String(entry.number ?? "-").padStart(2)} ${GLYPHS[entry.activity.state]} ${PREFIXES[entry.purpose ?? ""] ?? ""}${entry.name}`;
  const room = Math.max(4, cells - (news === "" ? 0 : news.length + 1));
  const text = news === "" ? cut(left, cells) : `${cut(left, room)} ${news}`;
  if (!colour) return cut(text, cells);
  const paint = entry.active ? `1;${COLOURS[groupOf(entry)]}` : COLOURS[groupOf(entry)];
  return `\x1b[0;${paint}m${cut(text, cells)}\x1b[m`;
}

/** In the order they are shown: by group, then by number. */
export function inOrder(entries: readonly RosterEntry[]): RosterEntry[] {
  return entries.toSorted(
    (a, b) =>
      GROUPS.indexOf(groupOf(a)) - GROUPS.indexOf(groupOf(b)) ||
      (a.number ?? 1e9) - (b.number ?? 1e9) ||
      a.name.localeCompare(b.name),
  );
}

/** Rows with a title over each group that has somebody. */
export function rosterRows(entries: readonly RosterEntry[], cells: number, colour: boolean): string[] {
  const rows: string[] = [];
  for (const group of GROUPS) {
    const own = inOrder(entries).filter((entry) => groupOf(entry) === group);
    if (own.length === 0) continue;
    const title = cut(`${group} (${own.length})`, cells);
    rows.push(colour ? `\x1b[0;1m${title}\x1b[m` : title);
    rows.push(...own.map((entry) => rosterRow(entry, cells, colour)));
  }
  return rows;
}

/** The nearest to what was typed: letters in this order, the closer together the better; best first. */
export function fuzzy(typed: string, entries: readonly RosterEntry[]): RosterEntry[] {
  const wanted = typed.toLowerCase();
  const scored = entries.flatMap((entry) => {
    const name = entry.name.toLowerCase();
    let at = -1;
    let spread = 0;
    for (const letter of wanted) {
      const next = name.indexOf(letter, at + 1);
      if (next < 0) return [];
      spread += next - at;
      at = next;
    }
    return [{ entry, score: spread + name.length / 100 }];
  });
  return scored.toSorted((a, b) => a.score - b.score).map(({ entry }) => entry);
}
