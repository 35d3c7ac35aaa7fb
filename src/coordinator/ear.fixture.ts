import type { Stream } from "./dispatch.ts";

/** A stream that keeps what it is given, and is slow when told to be. */
export class Ear<Heard> implements Stream {
  readonly heard: Heard[] = [];
  /** So many more are taken gladly. */
  room = Number.POSITIVE_INFINITY;
  readonly #drains: (() => void)[] = [];
  readonly #closers: (() => void)[] = [];

  push(json: string): boolean {
    this.heard.push(JSON.parse(json) as Heard);
    this.room--;
    return this.room > 0;
  }

  onDrain(listener: () => void): void {
    this.#drains.push(listener);
  }

  onClose(listener: () => void): void {
    this.#closers.push(listener);
  }

  end(): void {}

  drain(room: number): void {
    this.room = room;
    for (const listener of this.#drains) listener();
  }

  leave(): void {
    for (const closer of this.#closers.splice(0)) closer();
  }

  /** What came, once it is `count` long, or a thousand turns of the event loop later. */
  async until(count: number): Promise<Heard[]> {
    for (let turn = 0; turn < 1000 && this.heard.length < count; turn++)
      await new Promise((next) => setImmediate(next));
    return this.heard;
  }
}
