/**
 * Cuts a byte stream into lines, across chunks and in the middle of a UTF-8 character. Amortised linear: a frame that comes
 * in a thousand pieces is joined once.
 */
export class FrameReader {
  readonly #onFrame: (text: string) => void;
  #parts: Buffer[] = [];

  constructor(onFrame: (text: string) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    let start = 0;
    let end = chunk.indexOf(10);
    while (end !== -1) {
      const piece = chunk.subarray(start, end);
      if (this.#parts.length === 0) this.#onFrame(piece.toString("utf8"));
      else {
        this.#parts.push(piece);
        const whole = Buffer.concat(this.#parts).toString("utf8");
        this.#parts = [];
        this.#onFrame(whole);
      }
      start = end + 1;
      end = chunk.indexOf(10, start);
    }
    // A copy: the chunk's memory is read into again.
    if (start < chunk.length) this.#parts.push(Buffer.from(chunk.subarray(start)));
  }
}
