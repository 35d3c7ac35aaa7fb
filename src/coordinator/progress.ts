import type { Stream } from "./dispatch.ts";

/** Tells the caller of a long piece of work how far it is. */
export class Progress {
  readonly #stream: Stream | null;
  readonly #total: number;
  #done = 0;

  constructor(stream: Stream | null, total: number) {
    this.#stream = stream;
    this.#total = total;
  }

  step(session: string, did: string): void {
    this.#done++;
    this.#stream?.push(JSON.stringify({ done: this.#done, total: this.#total, session, did }));
  }
}
