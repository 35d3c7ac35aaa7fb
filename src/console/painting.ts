import { displayWidth } from "../protocol/width.ts";

const SGR = /\x1b\[[\d;]*m/g;

/** A painted row in exactly `cells` cells, from the cell `from` on: cut or filled, and without any colour at its end. */
export function window(row: string, cells: number, from = 0): string {
  let painted = "";
  let at = 0;
  let used = 0;
  let before = "";
  for (const piece of row.split(/(\x1b\[[\d;]*m)/)) {
    if (piece.startsWith("\x1b[")) {
      if (used > 0 || at >= from) painted += piece;
      before = piece;
      continue;
    }
    for (const character of graphemes(piece)) {
      const width = displayWidth(character);
      if (at >= from && used + width <= cells) {
        if (used === 0 && painted === "" && before !== "") painted = before;
        painted += character;
        used += width;
      }
      at += width;
      if (used >= cells) break;
    }
    if (used >= cells) break;
  }
  return `${painted}\x1b[m${" ".repeat(Math.max(0, cells - used))}`;
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

function graphemes(text: string): Iterable<string> {
  // Most of what stands on screens is ASCII, one cell each.
  return /^[\x20-\x7e]*$/.test(text) ? text : [...segmenter.segment(text)].map(({ segment }) => segment);
}

export function withoutColour(row: string): string {
  return row.replace(SGR, "");
}

/** Writes a picture to a terminal row by row, and of the next ones only the rows that differ. */
export class Painter {
  readonly #write: (text: string) => void;
  #shown: string[] = [];

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  paint(rows: readonly string[], cursor: { x: number; y: number } | null): void {
    let text = "";
    rows.forEach((row, y) => {
      if (row !== this.#shown[y]) text += `\x1b[${y + 1};1H${row}\x1b[m`;
    });
    this.#shown = [...rows];
    const place = cursor ? `\x1b[${cursor.y + 1};${cursor.x + 1}H\x1b[?25h` : "\x1b[?25l";
    this.#write(text === "" ? place : `\x1b[?25l${text}${place}`);
  }

  /** After the terminal changed its size, or something else wrote to it. */
  forget(): void {
    this.#shown = [];
    this.#write("\x1b[2J");
  }
}

/**
 * Numbers of the rows to show of a picture that is taller than the place for it: its lowest ones that hold the cursor, after
 * all but one of each run of empty rows have been left out, as far as that is needed.
 */
export function rowsThatFit(rows: readonly string[], cursor: number, space: number): number[] {
  const bottom =
    Math.max(
      cursor,
      rows.findLastIndex((row) => withoutColour(row).trim() !== ""),
    ) + 1;
  let shown = Array.from({ length: bottom }, (_, y) => y);
  const empty = (y: number): boolean => y !== cursor && withoutColour(rows[y] ?? "").trim() === "";
  for (let excess = shown.length - space; excess > 0; ) {
    const before = shown.length;
    // From the lowest run upwards: what stands above it comes into sight.
    const spare = shown.findLastIndex((y, at) => empty(y) && at > 0 && empty(shown[at - 1]!));
    if (spare < 0) break;
    shown = shown.filter((_, at) => at !== spare);
    excess -= before - shown.length;
  }
  const end = Math.max(shown.indexOf(cursor) + 1, Math.min(shown.length, space));
  const last = shown.indexOf(cursor) < shown.length - space ? end : shown.length;
  return shown.slice(Math.max(0, last - space), last);
}
