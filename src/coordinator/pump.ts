import type { Stream } from "./dispatch.ts";

/** Rows read at once for one stream. */
export const PORTION = 200;

/**
 * Carries rows behind a cursor to one stream, a portion per turn of the event loop, as fast as its reader takes them. What is
 * behind and what is new are one: news only wake it. So nothing is lost or doubled between them, and a slow reader costs a
 * number.
 */
export class Pump<Row extends { position: number }> {
  #cursor: number;
  readonly #stream: Stream;
  readonly #read: (cursor: number) => Row[];
  readonly #text: (row: Row) => string;
  #full = false;
  #planned = false;
  #stopped = false;
  /** Hears of what was given to the stream. */
  onSent: (rows: readonly Row[]) => void = () => {};

  /** `read` gives at most PORTION rows behind a cursor, in order; `text` one of them as JSON. */
  constructor(from: number, stream: Stream, read: (cursor: number) => Row[], text: (row: Row) => string) {
    this.#cursor = from;
    this.#stream = stream;
    this.#read = read;
    this.#text = text;
    stream.onDrain(() => {
      this.#full = false;
      this.wake();
    });
    this.wake();
  }

  /** There may be more. */
  wake(): void {
    if (this.#planned || this.#full || this.#stopped) return;
    this.#planned = true;
    setImmediate(() => this.#carry());
  }

  stop(): void {
    this.#stopped = true;
  }

  #carry(): void {
    this.#planned = false;
    if (this.#full || this.#stopped) return;
    const rows = this.#read(this.#cursor);
    const sent: Row[] = [];
    for (const row of rows) {
      if (this.#full) break;
      this.#full = !this.#stream.push(this.#text(row));
      this.#cursor = row.position;
      sent.push(row);
    }
    if (sent.length > 0) this.onSent(sent);
    if (rows.length === PORTION) this.wake();
  }
}
