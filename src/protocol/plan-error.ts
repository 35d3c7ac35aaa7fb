import type { ErrorBody, SourcePlace } from "./error.ts";
import { sanitise } from "./text.ts";

type Style = (text: string, ...how: ("red" | "bold" | "dim")[]) => string;

/** The widest piece of a line that is shown; the place stays in sight. */
const MOST_CELLS = 76;
const LABEL_CELLS = "did you mean".length + 2;

/**
 * The mistakes of a floor plan for the person who wrote it: for each what is wrong and where, why or what was meant, and the
 * line with the place marked, in three to six lines. `text` is that of the file the first mistake is in; mistakes in other
 * files come without their line.
 */
export function renderPlanError(body: ErrorBody, text: string, style: Style = (plain) => plain): string {
  const { more = [], ...first } = body;
  const lines = text.split(/\r\n|\r|\n/);
  return [first, ...more]
    .flatMap((mistake) => rendered(mistake, mistake.at?.file === first.at?.file ? lines : [], style))
    .join("\n");
}

function rendered(mistake: ErrorBody, lines: string[], style: Style): string[] {
  const { at, what, why, fix } = mistake;
  const place = at ? `${sanitise(at.file)}:${at.line}:${at.column}: ` : "";
  const code = `[${mistake.code.toLowerCase().replaceAll("_", "-")}]`;
  const guess = /^did you mean (.+)$/.exec(fix ?? "")?.[1];
  return [
    `${style("error:", "red", "bold")} ${place}${sanitise(what)} ${style(code, "dim")}`,
    // With a guess at hand, the list of all that would fit is noise.
    ...(why && !guess ? [labelled("because", why)] : []),
    ...(guess ? [labelled("did you mean", guess)] : fix ? [labelled("try", fix)] : []),
    ...(at ? excerpt(lines, at, style) : []),
  ];
}

function labelled(label: string, text: string): string {
  return `  ${label.padEnd(LABEL_CELLS)}${sanitise(text).replaceAll("\n", " ")}`;
}

/** The line before, the line itself, and carets under the word that begins at the place. */
function excerpt(lines: string[], at: SourcePlace, style: Style): string[] {
  const line = lines[at.line - 1];
  if (line === undefined) return [];
  const before = lines[at.line - 2];
  const start = at.column - 1;
  const from = start > MOST_CELLS - 20 ? start - 20 : 0;
  const shown = (one: string): string => sanitise(one.replaceAll("\t", " ").slice(from, from + MOST_CELLS));
  const gutter = String(at.line).length + 2;
  const number = (count: number, mark: string): string => `  ${mark}${String(count).padStart(gutter)} | `;
  const word = Math.min(wordAt(line, start), Math.max(1, MOST_CELLS - (start - from)));
  const indent = " ".repeat(number(at.line, ">").length + cells(shown(line.slice(0, start))));
  return [
    ...(before?.trim() ? [style(`${number(at.line - 1, " ")}${shown(before)}`.trimEnd(), "dim")] : []),
    `${number(at.line, ">")}${shown(line)}`.trimEnd(),
    `${indent}${style("^".repeat(word), "red")}`,
  ];
}

/** Characters of the word, or the quoted text, that begins there; at least 1. */
function wordAt(line: string, start: number): number {
  const rest = line.slice(start, start + 200);
  const word = /^"(?:[^"\\]|\\.)*"|^'[^']*'|^[^\s,:{}[\]#]+(?::[^\s,:{}[\]#]+)*/.exec(rest);
  return Math.max(1, word ? cells(word[0]) : 1);
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Columns of a terminal that a text takes. */
function cells(text: string): number {
  let sum = 0;
  for (const character of text) sum += /\p{Mn}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return sum;
}
