/** What a session's buffer holds unless told otherwise: ten megabytes, as in the design this follows. */
export const BUFFER_BYTES = 10 * 1_048_576;

/** Pieces are gathered into blocks of this size: a small piece would keep alive the whole chunk it was cut from. */
const BLOCK_BYTES = 65_536;

/**
 * The newest output of a pane, at most so many bytes: whole blocks are forgotten from the oldest on, and how much that was is
 * kept. Places count every byte since the beginning.
 */
export class OutputBuffer {
  readonly #most: number;
  readonly #blockBytes: number;
  readonly #blocks: Buffer[] = [];
  /** Bytes of the newest block that are filled; all others are full. */
  #filled = 0;
  #held = 0;
  #end = 0;

  constructor(most: number = BUFFER_BYTES) {
    this.#most = most;
    // A small buffer forgets in small steps.
    this.#blockBytes = Math.max(1, Math.min(BLOCK_BYTES, Math.floor(most / 16)));
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
    for (let from = 0; from < bytes.length; ) {
      let block = this.#blocks.at(-1);
      if (!block || this.#filled === block.length) {
        block = Buffer.allocUnsafeSlow(this.#blockBytes);
        this.#blocks.push(block);
        this.#filled = 0;
      }
      const copied = bytes.copy(block, this.#filled, from);
      this.#filled += copied;
      from += copied;
    }
    this.#held += bytes.length;
    this.#end += bytes.length;
    let forgotten = 0;
    while (this.#held > this.#most) {
      this.#held -= this.#blockBytes;
      forgotten++;
    }
    if (forgotten > 0) this.#blocks.splice(0, forgotten);
  }

  /** From the place `from` on, or from the oldest held; `from` in the answer says which it was. */
  since(from: number): { from: number; bytes: Buffer } {
    let place = this.dropped;
    const wanted: Buffer[] = [];
    this.#blocks.forEach((block, index) => {
      const piece = index === this.#blocks.length - 1 ? block.subarray(0, this.#filled) : block;
      const end = place + piece.length;
      if (end > from) wanted.push(place >= from ? piece : piece.subarray(from - place));
      place = end;
    });
    return { from: Math.max(from, this.dropped), bytes: Buffer.concat(wanted) };
  }
}
