/**
 * Does something again and again, while there is a reason to. A timer that finds nothing to do still wakes the process: ten such
 * were most of what an idle coordinator cost.
 */
export class Ticker {
  readonly #everyMs: number;
  readonly #work: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(everyMs: number, work: () => void) {
    this.#everyMs = everyMs;
    this.#work = work;
  }

  set(wanted: boolean): void {
    if (wanted === (this.#timer !== null)) return;
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = wanted ? setInterval(this.#work, this.#everyMs) : null;
    this.#timer?.unref();
  }

  close(): void {
    this.set(false);
  }
}
