import type { Town } from "../town.ts";

/** One in which nobody is answered for so long is noticed by people. */
const STALL_MS = 500;

/** A stall is measured as that much shorter at most. */
const TICK_MS = 500;

/** Moments in which the coordinator did nothing for anybody: counted, with the longest, and written into its own log. */
export class Stalls {
  readonly #every: NodeJS.Timeout;

  constructor(town: Town) {
    let tickedMs = performance.now();
    this.#every = setInterval(() => {
      const nowMs = performance.now();
      const ms = Math.round(nowMs - tickedMs - TICK_MS);
      tickedMs = nowMs;
      if (ms < STALL_MS) return;
      town.stalls.count++;
      town.stalls.longestMs = Math.max(town.stalls.longestMs, ms);
      town.log.warn({ ms }, "the coordinator stood still");
    }, TICK_MS);
    this.#every.unref();
  }

  close(): void {
    clearInterval(this.#every);
  }
}
