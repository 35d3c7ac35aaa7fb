import type { LineFilter } from "../../protocol/room.ts";
import { matches } from "./filter.ts";
import type { RoomStore, StoredLine } from "./store.ts";

/** The caller's end: one event as JSON text; false = full, `onDrain` says when to go on. */
export interface Sink {
  push(json: string): boolean;
  onDrain(listener: () => void): void;
}

/** Lines in one event, and lines read at a time: a burst travels in few pieces, none of them large. */
const BATCH_LINES = 256;

/**
 * One follower of some rooms. `live`: new lines are pushed as they are committed. `behind`: its sink was full, or it asked for
 * older lines; it reads the store from its own place until it has caught up. Each line is sent once, in order, either way.
 */
export class Watcher {
  readonly rooms: Set<string>;
  readonly all: boolean;
  readonly filter: LineFilter | undefined;
  /** Watchers with equal keys are sent the same bytes. */
  readonly key: string;
  readonly reader: string;
  readonly #store: RoomStore;
  readonly #sink: Sink;
  /** Everything up to here was sent or did not match. */
  #position: number;
  #behind: boolean;
  #closed = false;

  constructor(options: {
    reader: string;
    rooms: Set<string>;
    all: boolean;
    filter: LineFilter | undefined;
    store: RoomStore;
    sink: Sink;
    position: number;
  }) {
    this.reader = options.reader;
    this.rooms = options.rooms;
    this.all = options.all;
    this.filter = options.filter;
    this.key = `${[...options.rooms].sort().join(" ")}|${JSON.stringify(options.filter ?? null)}`;
    this.#store = options.store;
    this.#sink = options.sink;
    this.#position = options.position;
    this.#behind = true;
  }

  /** Sends what the store has behind our place, as far as the sink takes it. `skip` drops lines a cursor has passed. */
  catchUp(skip: (stored: StoredLine) => boolean = () => false): void {
    while (!this.#closed) {
      const head = this.#store.head();
      if (this.#position >= head) {
        this.#behind = false;
        return;
      }
      const lines = this.#store.after(this.rooms, this.#position, BATCH_LINES);
      this.#position = Math.max(lines.at(-1)?.position ?? 0, Math.min(this.#position + BATCH_LINES, head));
      const wanted = lines.filter((stored) => !skip(stored) && matches(stored.line, this.filter));
      if (wanted.length > 0 && !this.#sink.push(eventOf(wanted))) {
        this.#behind = true;
        this.#sink.onDrain(() => this.catchUp(skip));
        return;
      }
    }
  }

  /** Sends given lines, for a backlog chosen by somebody else; the place is set by the constructor. */
  send(lines: readonly StoredLine[]): void {
    for (let at = 0; at < lines.length; at += BATCH_LINES) this.#sink.push(eventOf(lines.slice(at, at + BATCH_LINES)));
  }

  /** New lines were committed. `events` holds the encoded batch per key, made once for all watchers that share it. */
  offer(committed: readonly StoredLine[], events: Map<string, string | null>): void {
    if (this.#behind || this.#closed) return;
    let event = events.get(this.key);
    if (event === undefined) {
      const wanted = committed.filter(
        (stored) => this.rooms.has(stored.line.room) && matches(stored.line, this.filter),
      );
      event = wanted.length === 0 ? null : eventOf(wanted);
      events.set(this.key, event);
    }
    this.#position = committed.at(-1)!.position;
    if (event === null || this.#sink.push(event)) return;
    this.#behind = true;
    this.#sink.onDrain(() => this.catchUp());
  }

  /** News about a room rather than a line of it. */
  tell(event: string): void {
    if (!this.#closed) this.#sink.push(event);
  }

  close(): void {
    this.#closed = true;
  }
}

export function eventOf(lines: readonly StoredLine[]): string {
  return lines.length === 1
    ? `{"line":${lines[0]!.json}}`
    : `{"lines":[${lines.map((stored) => stored.json).join(",")}]}`;
}
