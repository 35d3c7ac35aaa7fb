import { renameSync, writeFileSync } from "node:fs";
import type { Logger } from "pino";
import type { Ledger } from "./log/ledger.ts";

/** From a change to the new file. Under a flood of changes the file is written this often at most. */
const WRITE_AFTER_MS = 300;

/** Looking may take at most this share of the coordinator's time; a town so large that it takes long is looked at less often. */
const LOOKING_SHARE = 0.05;

/** Only these kinds of events can change what the beacon shows. */
const CONCERNS = /^(agent|message|delivery|memory)\./;

/**
 * A small JSON file that says how things stand, for programs that only read files. Replaced whole, and only when what it says
 * has changed: `updated_at` is the time of the last change.
 */
export class Beacon<Facts extends object> {
  readonly #file: string;
  readonly #facts: () => Promise<Facts>;
  readonly #now: () => number;
  readonly #log: Pick<Logger, "warn">;
  readonly #leave: () => void;
  #last: { text: string; at: string } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lookedForMs = 0;
  #closed = false;

  constructor(file: string, facts: () => Promise<Facts>, around: { ledger: Ledger; now: () => number; log: Logger }) {
    this.#file = file;
    this.#facts = facts;
    this.#now = around.now;
    this.#log = around.log;
    this.#leave = around.ledger.tail((entry) => {
      if (CONCERNS.test(entry.event.type)) this.#soon();
    });
    this.#soon();
  }

  /** What the file says, brought up to this moment. */
  async read(): Promise<Facts & { updated_at: string }> {
    const facts = await this.#facts();
    const text = JSON.stringify(facts);
    if (this.#last?.text !== text && !this.#closed) {
      this.#last = { text, at: new Date(this.#now()).toISOString() };
      this.#write({ ...facts, updated_at: this.#last.at });
    }
    return { ...facts, updated_at: this.#last?.at ?? new Date(this.#now()).toISOString() };
  }

  close(): void {
    this.#closed = true;
    this.#leave();
    if (this.#timer) clearTimeout(this.#timer);
  }

  #soon(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        const startedMs = performance.now();
        this.read()
          .catch((err: unknown) => this.#log.warn({ err }, "the status beacon cannot be brought up to date"))
          .finally(() => {
            this.#lookedForMs = performance.now() - startedMs;
          });
      },
      Math.max(WRITE_AFTER_MS, this.#lookedForMs / LOOKING_SHARE),
    );
    this.#timer.unref();
  }

  #write(document: object): void {
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}
