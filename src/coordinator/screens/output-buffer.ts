/** What a session's buffer holds unless told otherwise: ten megabytes, as in the design this follows. */
export const BUFFER_BYTES = 10 * 1_048_576;

/**
 * The newest output of a pane, at most so many bytes: whole pieces are forgotten from the oldest on, and how much that was is
 * kept. Places count every byte since the beginning.
 */
export class OutputBuffer {
  readonly #most: number;
  #pieces: Buffer[] = [];
  /** Pieces before this one are forgotten; taking them off the array one by one would move all others each time. */
  #first = 0;
  #held = 0;
  #end = 0;

  constructor(most: number = BUFFER_BYTES) {
    this.#most = most;
  }

  /** Bytes there ever were: the place behind the newest. */
  get end(): number {
    return this.#end;
  }

  get held(): number {
    return this.#held;
  }

  get dropped(): number {
    return this.#end - this.#held;
  }

  add(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#held += bytes.length;
    this.#end += bytes.length;
    while (this.#held > this.#most && this.#first < this.#pieces.length - 1) {
      this.#held -= this.#pieces[this.#first]!.length;
      this.#first += 1;
    }
    if (this.#first > 1_024 && this.#first * 2 > this.#pieces.length) {
      this.#pieces = this.#pieces.slice(this.#first);
      this.#first = 0;
    }
  }

  /** From the place `from` on, or from the oldest held; `from` in the answer says which it was. */
  since(from: number): { from: number; bytes: Buffer } {
    let place = this.dropped;
    const wanted: Buffer[] = [];
    for (const piece of this.#pieces.slice(this.#first)) {
      const end = place + piece.length;
      if (end > from) wanted.push(place >= from ? piece : piece.subarray(from - place));
      place = end;
    }
    return { from: Math.max(from, this.dropped), bytes: Buffer.concat(wanted) };
  }
}
