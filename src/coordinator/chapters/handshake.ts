import { createHash } from "node:crypto";
import { parse, stringify } from "yaml";
import { type HandoffParts, PENDING_STATES, type Pending } from "../../protocol/chapter.ts";

/**
 * HANDSHAKE.md: what one chapter hands to the next. Front matter for programs, then plain text for whoever reads it first,
 * in sections of a fixed order. Each writing is a version; its front matter holds the digest of the one before, so that the
 * versions of a series are a chain.
 */
export const SECTIONS = [
  "Protocol",
  "Identity",
  "State",
  "Decisions and why",
  "Open questions",
  "Pending items",
  "Next time",
  "Contradictions",
  "Gaps",
] as const;
type Section = (typeof SECTIONS)[number];

/** Of the section State. */
const STATES = ["Built", "Broken", "Left open"] as const;

/** Larger, nobody reads it: 256 KiB. */
export const MAX_HANDSHAKE_BYTES = 262_144;

/** What stands in the front matter. */
export interface Head {
  series: string;
  session_no: number;
  session_id: string;
  crew: string;
  opened_at: string;
  closed_at: string | null;
  end_reason: string | null;
  written_by: string;
  prev_digest: string | null;
  version: number;
}

const HEAD_KEYS: readonly (keyof Head)[] = [
  "series",
  "session_no",
  "session_id",
  "crew",
  "opened_at",
  "closed_at",
  "end_reason",
  "written_by",
  "prev_digest",
  "version",
];

const PROTOCOL = `Read all of this before you do anything else, then say so: \`bosun brief\` shows and acknowledges it.
Set or read the heading, work on that one thing, and close with \`bosun handoff write --close\`. Do not edit the sections of
the past; add to Contradictions who said what and what speaks against it, to Gaps what is missing and where it may be found.`;

export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * The text of a version. `before` is the one it follows: what people wrote into its Protocol and Identity, and sections of
 * their own, stay.
 */
export function composeHandshake(
  head: Head,
  heading: string | null,
  parts: HandoffParts,
  before: string | null,
): string {
  const kept = before === null ? null : sectionsOf(before);
  const own = kept ? [...kept].filter(([name]) => !(SECTIONS as readonly string[]).includes(name)) : [];
  const list = (items: readonly string[] | undefined): string =>
    items && items.length > 0 ? items.map((item) => `- ${oneLine(item)}`).join("\n") : "nothing";
  const body: Record<Section, string> = {
    Protocol: kept?.get("Protocol") || PROTOCOL,
    Identity: kept?.get("Identity") || `${head.crew}, chapter ${head.session_no} of the series ${head.series}.`,
    State: [
      ...(heading === null ? [] : [`Heading: ${oneLine(heading)}`, ""]),
      ...(parts.summary ? [parts.summary.trim().replace(/^#/gm, "\\#"), ""] : []),
      ...STATES.flatMap((name, index) => [
        `### ${name}`,
        list([parts.built, parts.broken, parts.open][index]),
        ...(index < STATES.length - 1 ? [""] : []),
      ]),
    ].join("\n"),
    "Decisions and why": list(parts.decisions),
    "Open questions": list(parts.questions),
    "Pending items": pendingTable(parts.pending ?? []),
    "Next time": [
      `Next time on ${head.series} …`,
      "",
      "### Read these",
      list(parts.read),
      "",
      "### Pick up",
      list(parts.pickup),
      "",
      "### Open questions",
      list(parts.questions),
    ].join("\n"),
    Contradictions: list(parts.contradictions),
    Gaps: list(parts.gaps),
  };
  return [
    "---",
    stringify(head).trim(),
    "---",
    `# HANDSHAKE · ${head.series} #${head.session_no}`,
    "",
    ...SECTIONS.flatMap((name) => [`## ${name}`, "", body[name], ""]),
    ...own.flatMap(([name, text]) => [`## ${name}`, "", text, ""]),
  ].join("\n");
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}

function pendingTable(items: readonly Pending[]): string {
  if (items.length === 0) return "nothing";
  const cell = (text: string | undefined): string => oneLine(text ?? "?").replaceAll("|", "\\|");
  return [
    "| id | item | state | owner |",
    "| --- | --- | --- | --- |",
    ...items.map((item) => `| ${cell(item.id)} | ${cell(item.text)} | ${cell(item.state)} | ${cell(item.owner)} |`),
  ].join("\n");
}

/** TODO file of a series: the same items, for people who keep one. */
export function todoText(series: string, items: readonly Pending[], at: string): string {
  return `# Pending items of ${series}\n\nWritten ${at} at a closing.\n\n${pendingTable(items)}\n`;
}

/** By heading of the second level, in order; the text without the heading. */
function sectionsOf(text: string): Map<string, string> {
  const sections = new Map<string, string>();
  let name: string | null = null;
  let lines: string[] = [];
  const end = (): void => {
    if (name !== null && !sections.has(name)) sections.set(name, lines.join("\n").trim());
    lines = [];
  };
  for (const line of bodyOf(text).split("\n")) {
    const found = /^## (.+?)\s*$/.exec(line);
    if (found) {
      end();
      name = found[1]!;
    } else lines.push(line);
  }
  end();
  return sections;
}

function bodyOf(text: string): string {
  return text.replace(/^---\n[\s\S]*?\n---\n/, "");
}

function headOf(text: string): Record<string, unknown> | null {
  const found = /^---\n([\s\S]*?)\n---\n/.exec(text);
  if (!found) return null;
  try {
    const head: unknown = parse(found[1]!);
    return typeof head === "object" && head !== null ? (head as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function itemsIn(text: string | undefined): string[] {
  return (text ?? "").split("\n").flatMap((line) => /^\s*[-*] (.+)$/.exec(line)?.[1]?.trim() ?? []);
}

/** A part of a section: what stands under that heading of the third level. */
function partIn(section: string | undefined, heading: string): string {
  const lines = (section ?? "").split("\n");
  const from = lines.findIndex((line) => line.trim() === `### ${heading}`);
  if (from < 0) return "";
  const rest = lines.slice(from + 1);
  const to = rest.findIndex((line) => line.startsWith("### "));
  return rest.slice(0, to < 0 ? undefined : to).join("\n");
}

function pendingIn(text: string | undefined): Pending[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const cells = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("\\|", "|"));
    if (cells.length !== 4 || cells[0] === "id" || /^-+$/.test(cells[0]!)) return [];
    const [id = "?", item = "", state = "?", owner = "?"] = cells;
    return [
      {
        text: item,
        ...(id !== "?" && id !== "" && { id }),
        ...((PENDING_STATES as readonly string[]).includes(state) && { state: state as Pending["state"] }),
        ...(owner !== "?" && owner !== "" && { owner }),
      },
    ];
  });
}

/** What a text that somebody wrote by hand hands over. */
export function partsOf(text: string): HandoffParts {
  const sections = sectionsOf(text);
  const state = sections.get("State");
  const next = sections.get("Next time");
  return {
    built: itemsIn(partIn(state, "Built")),
    broken: itemsIn(partIn(state, "Broken")),
    open: itemsIn(partIn(state, "Left open")),
    decisions: itemsIn(sections.get("Decisions and why")),
    questions: itemsIn(sections.get("Open questions")),
    pending: pendingIn(sections.get("Pending items")),
    read: itemsIn(partIn(next, "Read these")),
    pickup: itemsIn(partIn(next, "Pick up")),
    contradictions: itemsIn(sections.get("Contradictions")),
    gaps: itemsIn(sections.get("Gaps")),
  };
}

export type LintMistake = {
  line: number;
  what: string;
  fix: string;
};

/** What a reader of that text will miss, by line. Empty: nothing. */
export function lintHandshake(text: string): LintMistake[] {
  const mistakes: LintMistake[] = [];
  const lines = text.split("\n");
  const add = (line: number, what: string, fix: string): void => void mistakes.push({ line, what, fix });
  const head = headOf(text);
  if (!head) add(1, "it has no front matter", "begin with --- and series, session_no, written_by …");
  else
    for (const key of HEAD_KEYS)
      if (!(key in head)) add(1, `the front matter has no ${key}`, `${key}: … between the --- lines`);
  const places = SECTIONS.map((name) => ({ name, at: lines.findIndex((line) => line.trim() === `## ${name}`) }));
  let last = { name: "", at: -1 };
  for (const place of places) {
    if (place.at < 0) add(lines.length, `the section ${place.name} is missing`, `## ${place.name}`);
    else {
      if (place.at < last.at)
        add(place.at + 1, `${place.name} stands before ${last.name}`, `the order is ${SECTIONS.join(", ")}`);
      else last = place;
    }
  }
  const found = sectionsOf(text);
  for (const [name, heading] of [
    ...STATES.map((state) => ["State", state] as const),
    ["Next time", "Read these"] as const,
    ["Next time", "Pick up"] as const,
  ]) {
    const section = found.get(name);
    if (section !== undefined && !section.split("\n").some((line) => line.trim() === `### ${heading}`))
      add(lineOf(lines, `## ${name}`), `${name} does not say: ${heading}`, `### ${heading}`);
  }
  for (const item of pendingIn(found.get("Pending items"))) {
    const at = lines.findIndex((line) => line.startsWith("|") && line.includes(item.text.replaceAll("|", "\\|"))) + 1;
    if (!item.state) add(at, `"${item.text}" has no state`, PENDING_STATES.join(", "));
    if (!item.owner) add(at, `"${item.text}" has no owner`, "name who does it, an agent or a person");
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_HANDSHAKE_BYTES)
    add(1, `it has ${bytes} bytes`, `${MAX_HANDSHAKE_BYTES} at most; put the rest into files and name them`);
  return mistakes;
}

function lineOf(lines: readonly string[], wanted: string): number {
  return lines.findIndex((line) => line.trim() === wanted) + 1;
}

/**
 * The items of the series after a closing: those named now as they are said now, the others as they were. What was done
 * before is gone. Items without an id get the next free one.
 */
export function mergePending(before: readonly Pending[], now: readonly Pending[]): Pending[] {
  const merged = before.filter((item) => item.state !== "done").map((item) => ({ ...item }));
  for (const item of now) {
    const known = merged.findIndex((each) => (item.id !== undefined ? each.id === item.id : each.text === item.text));
    if (known >= 0) merged[known] = { ...merged[known]!, ...item };
    else merged.push({ ...item });
  }
  const taken = new Set(merged.map((item) => item.id));
  let next = 1;
  return merged.map((item) => {
    if (item.id !== undefined) return item;
    while (taken.has(`t${next}`)) next++;
    taken.add(`t${next}`);
    return { id: `t${next}`, ...item };
  });
}

/** What contradicts itself without anybody having said so: the same thing built and broken, or done and left open. */
export function contradictionsIn(parts: HandoffParts): string[] {
  const same = (a: readonly string[] = [], b: readonly string[] = []): string[] =>
    a.filter((each) => b.some((other) => other.toLowerCase() === each.toLowerCase()));
  const done = (parts.pending ?? []).flatMap((item) => (item.state === "done" ? [item.text] : []));
  return [
    ...same(parts.built, parts.broken).map((each) => `"${each}" is said to be built, and broken`),
    ...same(done, parts.open).map((each) => `"${each}" is said to be done, and left open`),
  ];
}

/** Lines that differ, `-` and `+`, by the longest common subsequence of two short texts. */
export function diffLines(from: string, to: string): string[] {
  const a = from.split("\n");
  const b = to.split("\n");
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const out: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      i++;
      j++;
    } else if (j < b.length && (i === a.length || common[i]![j + 1]! > common[i + 1]![j]!)) out.push(`+ ${b[j++]}`);
    else out.push(`- ${a[i++]}`);
  }
  return out;
}

/** What an opening tells. */
export interface Opening {
  series: string;
  number: number;
  heading: string | null;
  handoff: { digest: string; text: string; parts: HandoffParts; number: number } | null;
  crew: readonly string[];
  services: readonly string[];
  alerts: readonly string[];
  /** Of a chapter before that burned; null = it closed. */
  recovery: { number: number; reason: string; lines: readonly string[]; facts: readonly string[] } | null;
}

/** The briefing of a chapter, in the order of the seed: handshake, crew, heading, previously on. */
export function openingText(opening: Opening): string {
  const { series, number, handoff, recovery } = opening;
  const list = (items: readonly string[] | undefined, none = "nothing"): string =>
    items && items.length > 0 ? items.map((item) => `- ${item}`).join("\n") : none;
  const parts = handoff?.parts;
  return [
    `# Opening of ${series} #${number}`,
    "",
    "Read this before you do anything. `bosun brief` acknowledges it; then `bosun heading TEXT` if there is none, and `bosun book work`.",
    "",
    "## Heading",
    "",
    opening.heading ?? "None is set. The captain sets it, or you propose one: bosun heading TEXT",
    "",
    `## Previously on ${series} …`,
    "",
    ...(handoff
      ? [
          ...(parts?.summary ? [parts.summary.trim(), ""] : []),
          "What was built:",
          list(parts?.built),
          "",
          "What was broken:",
          list(parts?.broken),
          "",
          "What was left open:",
          list([
            ...(parts?.open ?? []),
            ...(parts?.pending ?? []).filter((item) => item.state !== "done").map(pendingLine),
          ]),
          "",
          "Pick up:",
          list(parts?.pickup),
        ]
      : ["This is the first chapter; nothing was handed over."]),
    "",
    ...(recovery
      ? [
          `## Recovery: ${series} #${recovery.number} burned (${recovery.reason})`,
          "",
          "It ended without a handoff of its own. This is what was found:",
          "",
          list(recovery.facts),
          "",
          "The last lines of its screen:",
          "",
          ...(recovery.lines.length > 0 ? recovery.lines.map((line) => `    ${line}`) : ["    nothing is left of it"]),
          "",
        ]
      : []),
    "## Crew",
    "",
    list(opening.crew, "nobody else is here"),
    "",
    "## Services",
    "",
    list(opening.services, "none are declared"),
    "",
    "## Alerts",
    "",
    list(opening.alerts, "none are open"),
    "",
    ...(handoff
      ? [`## The handshake (of #${handoff.number}, digest ${handoff.digest})`, "", handoff.text]
      : ["## The handshake", "", "There is none yet."]),
  ].join("\n");
}

function pendingLine(item: Pending): string {
  return `${item.text} (${item.id ?? "?"}, ${item.state ?? "no state"}, ${item.owner ?? "nobody's"})`;
}

/** One chapter in SESSIONS.md. The first line is what tells it apart. */
export function sessionsEntry(of: {
  at: string;
  label: string;
  series: string;
  number: number;
  heading: string | null;
  reason: string;
  burned: boolean;
  digest: string | null;
  parts: HandoffParts;
}): { key: string; text: string } {
  const key = `] ${of.series}#${of.number} `;
  const said = (name: string, items: readonly string[] | undefined): string[] =>
    items && items.length > 0 ? [`- ${name}: ${items.map(oneLine).join("; ")}`] : [];
  const summary = of.parts.summary ? oneLine(of.parts.summary).slice(0, 600) : null;
  return {
    key,
    text: [
      `## ${of.at} [${of.label}${key}${of.heading === null ? "(no heading)" : oneLine(of.heading)}`,
      ...(summary ? [summary] : []),
      ...said("built", of.parts.built),
      ...said("broken", of.parts.broken),
      ...said("left open", of.parts.open),
      ...said("next", of.parts.pickup),
      `- ended: ${of.reason}${of.burned ? ", burned: without a handoff of its own" : ""}`,
      `- handoff: ${of.digest ?? "none"}`,
      "",
      "",
    ].join("\n"),
  };
}
