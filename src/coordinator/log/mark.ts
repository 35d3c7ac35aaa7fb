import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { Head } from "./port.ts";

/** Writing the mark costs an fsync of its own; once a second bounds both that and what a cut could hide. */
const MARK_EVERY_MS = 1000;

/**
 * The high-water mark: position and hash of the log's head, in a file of its own beside it. The chain shows every change
 * inside the log; only something outside can show that its end is gone. One flipped bit in a WAL makes SQLite drop every
 * later commit and call the rest sound.
 *
 * Written after commits, never before, so a crash leaves it behind the log and never ahead. A mark that does not fit its
 * log is frozen: it stays as it is, as evidence, until a person moves it aside.
 */
export class Mark {
  readonly #file: string;
  #next: Head | null = null;
  #writtenAtMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #frozen = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** `null` when there is none yet; throws when the file is there and is not a mark. */
  read(): Head | null {
    let text: string;
    try {
      text = readFileSync(this.#file, "utf8");
    } catch (thrown) {
      // No mark yet: a new town, or a person accepted the log as it is.
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw thrown;
    }
    const { position, hash } = JSON.parse(text) as Head;
    if (!Number.isInteger(position) || typeof hash !== "string") throw new Error(`${this.#file} is not a mark`);
    return { position, hash };
  }

  /** From now on nothing is written: the mark there is evidence. */
  freeze(): void {
    this.#frozen = true;
  }

  /** The log has come this far. Writes at once when the last time is a second ago, else as soon as it is. */
  note(head: Head): void {
    this.#next = head;
    if (this.#timer) return;
    const waitMs = this.#writtenAtMs + MARK_EVERY_MS - performance.now();
    if (this.#writtenAtMs === 0 || waitMs <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), waitMs).unref();
  }

  /**
   * Writes what was noted, if anything. A failure (a full disk) is kept for the next time: the facts are already durable,
   * and an older mark only sees less.
   */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#next || this.#frozen) return;
    this.#writtenAtMs = performance.now();
    try {
      const fresh = `${this.#file}.new`;
      const handle = openSync(fresh, "w", 0o600);
      try {
        writeSync(handle, `${JSON.stringify(this.#next)}\n`);
        fsyncSync(handle);
      } finally {
        closeSync(handle);
      }
      renameSync(fresh, this.#file);
      this.#next = null;
    } catch {
      return;
    }
  }
}
