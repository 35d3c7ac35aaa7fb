import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";

/** A recording goes on in a new file at this size; so many old ones stay. */
const ROTATE_BYTES = 50 * 1_048_576;
const KEPT_FILES = 4;

/** Output is gathered this long before it is written. */
const WRITE_AFTER_MS = 200;

/**
 * Everything a pane wrote, as asciicast version 2 (https://docs.asciinema.org/manual/asciicast/v2/): a header line, then one
 * `[seconds, "o", text]` per piece. Bytes that are no UTF-8 become U+FFFD, as in any terminal.
 */
export class Recording {
  readonly #folder: string;
  readonly #name: string;
  readonly #size: { columns: number; rows: number };
  readonly #title: string;
  readonly #decoder = new StringDecoder("utf8");
  #lines = "";
  #startedAtMs = 0;
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #failed: string | null = null;

  /** `name` without its ending, unique in `folder` for one run of one pane. */
  constructor(folder: string, name: string, size: { columns: number; rows: number }, title: string) {
    this.#folder = folder;
    this.#name = name;
    this.#size = size;
    this.#title = title;
  }

  /** Why nothing is written any more (a full disk), or null. */
  get failed(): string | null {
    return this.#failed;
  }

  get file(): string {
    return join(this.#folder, `${this.#name}.cast`);
  }

  add(bytes: Buffer, atMs: number): void {
    const text = this.#decoder.write(bytes);
    if (text === "" || this.#failed !== null) return;
    if (this.#startedAtMs === 0 && !this.#tried(() => this.#begin(atMs))) return;
    this.#lines += `${JSON.stringify([Math.max(0, atMs - this.#startedAtMs) / 1_000, "o", text])}\n`;
    this.#timer ??= setTimeout(() => this.flush(), WRITE_AFTER_MS).unref();
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#lines === "" || this.#failed !== null) return;
    this.#tried(() => {
      appendFileSync(this.file, this.#lines, { mode: 0o600 });
      this.#bytes += this.#lines.length;
      this.#lines = "";
      if (this.#bytes >= ROTATE_BYTES) this.#rotate();
    });
  }

  /** A disk that takes no more ends the recording, and nothing else. */
  #tried(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.#failed = error instanceof Error ? error.message : String(error);
      this.#lines = "";
      return false;
    }
  }

  /** What is in the file already, of a run that goes on while the coordinator was away: the newest pieces, at most `most` bytes. */
  before(most: number): Buffer[] {
    if (!existsSync(this.file)) return [];
    const pieces: Buffer[] = [];
    let size = 0;
    for (const line of readFileSync(this.file, "utf8").split("\n").slice(1).toReversed()) {
      const bytes = pieceOf(line);
      if (!bytes) continue;
      size += bytes.length;
      if (size > most) break;
      pieces.push(bytes);
    }
    return pieces.reverse();
  }

  /** A run that goes on goes on in its file, and on the file's clock. */
  #begin(atMs: number): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const started = existsSync(this.file) ? startOf(this.file) : null;
    if (started !== null) {
      this.#startedAtMs = started;
      this.#bytes = statSync(this.file).size;
      return;
    }
    this.#startedAtMs = atMs;
    this.#lines = `${JSON.stringify({
      version: 2,
      width: this.#size.columns,
      height: this.#size.rows,
      timestamp: Math.floor(atMs / 1_000),
      title: this.#title,
    })}\n`;
    this.#bytes = 0;
  }

  #rotate(): void {
    const stamp = Math.floor(statSync(this.file).mtimeMs);
    renameSync(this.file, join(this.#folder, `${this.#name}.${stamp}.cast`));
    const old = readdirSync(this.#folder)
      .filter((file) => file.startsWith(`${this.#name}.`) && file !== `${this.#name}.cast`)
      .sort();
    for (const file of old.slice(0, Math.max(0, old.length - KEPT_FILES))) rmSync(join(this.#folder, file));
    this.#startedAtMs = 0;
  }
}

/** Null for a line that is no output, or that a crash cut. */
function pieceOf(line: string): Buffer | null {
  try {
    const [, kind, text] = JSON.parse(line) as [number, string, string];
    return kind === "o" ? Buffer.from(text) : null;
  } catch {
    return null;
  }
}

function startOf(file: string): number | null {
  try {
    const { timestamp } = JSON.parse(readFileSync(file, "utf8").split("\n", 1)[0]!) as { timestamp: number };
    return Number.isFinite(timestamp) ? timestamp * 1_000 : null;
  } catch {
    return null;
  }
}
