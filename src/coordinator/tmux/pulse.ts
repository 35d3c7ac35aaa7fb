import { closeSync, openSync, readSync } from "node:fs";

/**
 * Tells when processes have ended that are not our children. Each is felt through one file of /proc that is kept open: what
 * `statm` begins with costs one system call and no memory, and is 0 for a process that has ended and was not yet waited for. Linux
 * only; elsewhere nothing is felt, and ends are found by looking.
 */
export class Pulse {
  readonly #felt = new Map<number, number>();
  readonly #byte = Buffer.alloc(2);

  get size(): number {
    return this.#felt.size;
  }

  /** From now on these and no others. */
  follow(pids: ReadonlySet<number>): void {
    for (const [pid, file] of this.#felt) {
      if (pids.has(pid)) continue;
      closeSync(file);
      this.#felt.delete(pid);
    }
    for (const pid of pids) {
      if (this.#felt.has(pid)) continue;
      try {
        this.#felt.set(pid, openSync(`/proc/${pid}/statm`, "r"));
      } catch {
        // It has gone already: the look that follows tells.
      }
    }
  }

  /** True when one has ended since; it is not felt again. */
  ended(): boolean {
    let ended = false;
    for (const [pid, file] of this.#felt) {
      if (this.#lives(file)) continue;
      closeSync(file);
      this.#felt.delete(pid);
      ended = true;
    }
    return ended;
  }

  #lives(file: number): boolean {
    try {
      return readSync(file, this.#byte, 0, 2, 0) === 2 && !(this.#byte[0] === 0x30 && this.#byte[1] === 0x20);
    } catch {
      // ESRCH: it has gone, and its number may be another's.
      return false;
    }
  }
}
