import { closeSync, constants, openSync, writeSync } from "node:fs";

/** A FIFO write up to this size is one piece (PIPE_BUF on Linux); a longer line cannot go this way. */
export const FIFO_BYTES = 4_096;

/**
 * Our end of one agent's FIFO. It stays open between two questions, so that an agent reading in a loop does not meet an end
 * of file after each; nothing here ever waits for a reader.
 */
export class Fifo {
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether somebody has it open for reading now. */
  hasReader(): boolean {
    return this.#open() === null;
  }

  /** Null when written; otherwise why not. */
  write(line: Buffer): string | null {
    const closed = this.#open();
    if (closed !== null) return closed;
    try {
      return writeSync(this.#file!, line) === line.length ? null : "it stopped reading";
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return "it is full: the reader has stopped";
      this.close();
      if (code === "EPIPE") return "its reader has gone";
      throw error;
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #open(): string | null {
    if (this.#file !== null) return null;
    try {
      this.#file = openSync(this.#path, constants.O_WRONLY | constants.O_NONBLOCK);
      return null;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENXIO") return "nobody has it open for reading";
      if (code === "ENOENT") return "there is no FIFO for this agent";
      throw error;
    }
  }
}
