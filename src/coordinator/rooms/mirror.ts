import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { PlanRoom } from "../../protocol/plan.ts";
import type { StoredLine } from "./store.ts";

/** How much of a file's end is read to find its last line: more than the longest line there can be. */
const TAIL_BYTES = 262_144;

/**
 * A room as a JSONL file for other programs: `tail -F FILE | jq -r .msg` shows what a view shows. The store is the truth; the
 * file follows it. After a crash it is caught up from its own last line, so it is never behind for good and never repeats.
 */
export class Mirror {
  readonly #path: string;
  readonly #rotateBytes: number;
  readonly #keep: number;
  readonly #trouble: (what: string) => void;
  #file: number | null = null;
  #inode = 0;
  #bytes = 0;
  #lastSeq: number | null = null;
  #complained = false;

  constructor(options: NonNullable<PlanRoom["jsonl"]>, trouble: (what: string) => void) {
    this.#path = options.path;
    this.#rotateBytes = options.rotateBytes;
    this.#keep = options.rotateKeep;
    this.#trouble = trouble;
  }

  /** Appends the lines that are not there yet. `older` reads the store from a place on, for what was missed. */
  write(lines: readonly StoredLine[], older: (afterSeq: number) => StoredLine[]): void {
    try {
      this.#open();
      this.#lastSeq ??= this.#seqOfLastLine();
      const first = lines[0]?.line.seq;
      if (first === undefined || first > this.#lastSeq + 1) this.#catchUp(older);
      this.#append(lines.filter((stored) => stored.line.seq > this.#lastSeq!));
      this.#complained = false;
    } catch (error) {
      // A full disk or a folder taken away must not stop the room; the file is caught up when it can be written again.
      this.#lastSeq = null;
      this.#close();
      if (!this.#complained) this.#trouble(`${this.#path}: ${error instanceof Error ? error.message : String(error)}`);
      this.#complained = true;
    }
  }

  close(): void {
    this.#close();
  }

  #catchUp(older: (afterSeq: number) => StoredLine[]): void {
    for (;;) {
      const missed = older(this.#lastSeq!);
      if (missed.length === 0) return;
      this.#append(missed);
    }
  }

  #append(lines: readonly StoredLine[]): void {
    if (lines.length === 0) return;
    const bytes = Buffer.from(lines.map((stored) => `${stored.json}\n`).join(""));
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#rotateBytes) this.#rotate();
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file!, bytes, at);
    this.#bytes += bytes.length;
    this.#lastSeq = lines.at(-1)!.line.seq;
  }

  /** FILE becomes FILE.1, FILE.1 becomes FILE.2 …; `tail -F` reads the old one to its end and follows the new one. */
  #rotate(): void {
    this.#close();
    const name = (n: number): string => (n === 0 ? this.#path : `${this.#path}.${n}`);
    if (existsSync(name(this.#keep))) unlinkSync(name(this.#keep));
    for (let n = this.#keep - 1; n >= 0; n--) if (existsSync(name(n))) renameSync(name(n), name(n + 1));
    this.#open();
  }

  /** Somebody else may have rotated the file: what the name points to now is what is written. */
  #open(): void {
    if (this.#file !== null) {
      const there = statSync(this.#path, { throwIfNoEntry: false });
      if (there?.ino === this.#inode) return;
      this.#close();
    }
    mkdirSync(dirname(this.#path), { recursive: true });
    this.#file = openSync(this.#path, "a+", 0o644);
    const { ino, size } = fstatSync(this.#file);
    this.#inode = ino;
    this.#bytes = size;
  }

  #close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  /** Number in the last whole line; half a line, from a crash in the middle of a write, is cut off. */
  #seqOfLastLine(): number {
    for (const path of [this.#path, `${this.#path}.1`]) {
      if (!existsSync(path)) continue;
      const file = openSync(path, "r+");
      try {
        const { size } = fstatSync(file);
        const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
        readSync(file, bytes, 0, bytes.length, size - bytes.length);
        const end = bytes.lastIndexOf(10);
        if (end < bytes.length - 1) {
          ftruncateSync(file, size - (bytes.length - 1 - end));
          if (path === this.#path) this.#bytes = size - (bytes.length - 1 - end);
        }
        const seq = /"seq":(\d+)/.exec(
          bytes.subarray(bytes.lastIndexOf(10, end - 1) + 1, Math.max(end, 0)).toString("utf8"),
        );
        if (seq) return Number(seq[1]);
      } finally {
        closeSync(file);
      }
    }
    return 0;
  }
}
