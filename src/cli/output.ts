import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { BosunError } from "../protocol/error.ts";
import { type Column, table, tabSeparated } from "./table.ts";

/** How the answer is wanted. */
export interface OutputWish {
  json: boolean;
  /** Only these fields; null = all. */
  fields: string[] | null;
  plain: boolean;
  quiet: boolean;
  colour: boolean;
}

/** Cells of a line when nobody can tell: the terminal width all tools agree on. */
const COLUMNS_UNKNOWN = 80;

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof STYLES;

/** Where a command prints: stdout is the answer, stderr the talk. */
export class Output {
  readonly wish: OutputWish;
  readonly stdoutIsTerminal: boolean = isatty(1);
  readonly stderrIsTerminal: boolean = isatty(2);
  #progressShown = false;

  constructor(wish: OutputWish) {
    this.wish = wish;
  }

  get columns(): number {
    return (this.stdoutIsTerminal && process.stdout.columns) || COLUMNS_UNKNOWN;
  }

  /** Answer text, written as it is. */
  write(text: string): void {
    writeAll(1, text);
  }

  line(text = ""): void {
    writeAll(1, `${text}\n`);
  }

  /** Answer lines in one write. */
  lines(lines: readonly string[]): void {
    if (lines.length > 0) writeAll(1, `${lines.join("\n")}\n`);
  }

  /** Talk; silent with `--quiet`. */
  say(text: string): void {
    if (this.wish.quiet) return;
    this.clearProgress();
    writeAll(2, `${text}\n`);
  }

  /** What must be seen even with `--quiet`. */
  complain(text: string): void {
    this.clearProgress();
    writeAll(2, `${text}\n`);
  }

  /** One line of talk that the next one replaces; only on a terminal. */
  progress(text: string): void {
    if (this.wish.quiet || !this.stderrIsTerminal) return;
    writeAll(2, `\r\x1b[K${text}`);
    this.#progressShown = true;
  }

  clearProgress(): void {
    if (this.#progressShown) writeAll(2, "\r\x1b[K");
    this.#progressShown = false;
  }

  style(text: string, ...styles: Style[]): string {
    if (!this.wish.colour || text === "") return text;
    return `\x1b[${styles.map((style) => STYLES[style]).join(";")}m${text}\x1b[0m`;
  }

  /**
   * The whole answer as one JSON document. With `--json=a,b` only those fields, of the document's own and of each entry of
   * its list `items`. Throws USAGE with the known ones when a field is unknown.
   */
  json(document: object, items?: string): void {
    this.clearProgress();
    writeAll(1, `${JSON.stringify(this.wish.fields ? pick(document, items, this.wish.fields) : document)}\n`);
  }

  /** A table for people, or records with `--plain`. */
  table(columns: readonly Column[], rows: readonly string[][]): void {
    this.lines(this.wish.plain ? tabSeparated(columns, rows) : table(columns, rows, this.columns));
  }
}

function pick(document: object, items: string | undefined, fields: readonly string[]): object {
  const whole = document as Record<string, unknown>;
  const entries = items ? (whole[items] as Record<string, unknown>[]) : [];
  const ofEntries = new Set(entries.flatMap((entry) => Object.keys(entry)));
  const unknown = fields.filter((field) => !(field in whole) && !ofEntries.has(field));
  // An empty list cannot tell which fields its entries would have.
  if (unknown.length > 0 && !(items && entries.length === 0)) {
    throw new BosunError({
      code: "USAGE",
      what: `there is no field ${unknown.join(", ")}`,
      why: `known: ${[...new Set([...ofEntries, ...Object.keys(whole)])].join(", ")}`,
      fix: "--json without fields prints all of them",
    });
  }
  const chosen = (from: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(fields.filter((field) => field in from).map((field) => [field, from[field]]));
  if (!items) return chosen(whole);
  const top = fields.filter((field) => field in whole && !ofEntries.has(field));
  return { ...Object.fromEntries(top.map((field) => [field, whole[field]])), [items]: entries.map(chosen) };
}

const SLEEPER = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes everything before it returns: exits then lose nothing, and 36 feeds need no stream objects. A reader that left
 * (`| head`) ends the program quietly, as it does for every other tool.
 */
function writeAll(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE" || code === "EIO") process.exit(0);
      if (code !== "EAGAIN") throw error;
      // Somebody made the shared pipe non-blocking and the reader is slow.
      Atomics.wait(SLEEPER, 0, 0, 5);
    }
  }
}
