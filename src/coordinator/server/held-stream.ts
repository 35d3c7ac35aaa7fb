import type { Stream } from "../dispatch.ts";

/** How the events of one stream leave the house. */
export interface Outlet {
  /** False: it was taken, and the caller is slow. */
  event(json: string): boolean;
  end(because: string): void;
}

/** Events of one streaming request, on any door. Held back until its answer has gone out. */
export class HeldStream implements Stream {
  readonly #outlet: Outlet;
  readonly #drains: Set<() => void>;
  readonly #closers: (() => void)[] = [];
  #held: (() => void)[] | null = [];
  #closed = false;

  /** `drains` run when the caller has taken what was sent. */
  constructor(outlet: Outlet, drains: Set<() => void>) {
    this.#outlet = outlet;
    this.#drains = drains;
  }

  push(json: string): boolean {
    if (this.#closed) return true;
    if (!this.#held) return this.#outlet.event(json);
    this.#held.push(() => this.#outlet.event(json));
    return true;
  }

  end(because: string): void {
    if (this.#closed) return;
    if (this.#held) {
      this.#held.push(() => this.end(because));
      return;
    }
    this.#outlet.end(because);
    this.close();
  }

  onDrain(listener: () => void): void {
    this.#drains.add(listener);
    this.onClose(() => this.#drains.delete(listener));
  }

  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closers.push(listener);
  }

  /** Somebody follows it: more may come until it is closed. */
  get watched(): boolean {
    return !this.#closed && this.#closers.length > 0;
  }

  /** The answer has gone out. */
  open(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const send of held) send();
  }

  /** The caller has gone or cancelled. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const closer of this.#closers) closer();
  }
}
