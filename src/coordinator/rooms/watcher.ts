import type { LineFilter, RoomEvent } from "../../protocol/room.ts";
import { Merge, newest, type Stretch, type Wanted, wantedBy } from "./select.ts";
import type { Head, RoomStore, StoredLine } from "./store.ts";

/** Where events of one watcher go: a socket, a browser, a mirror in a test. */
export interface Sink {
  /**
   * Takes the JSON text of one RoomEvent. The same string object goes to every watcher that gets the same lines, so a server
   * may cache what it makes of it. `false`: taken, but send no more until drained. Throws when the other side is gone.
   */
  push(event: string): boolean;
  /** Called once; `drained` is to be called each time the sink takes events again after a `false`. */
  onDrain(drained: () => void): void;
}

/** A burst travels in events of at most so much: one frame stays well below what both sides accept. */
export const EVENT_LINES = 256;
export const EVENT_BYTES = 262_144;

/** Lines a catching-up watcher looks at before others get their turn. */
const LINES_PER_TURN = 2_000;

/**
 * One follower of rooms. Its cursor per room is the last line it has been offered; from there everything follows:
 *
 *   seeking   finding where the last N lines begin
 *   behind    reading from the store, oldest first, until the cursors reach the heads
 *   live      handed each commit as it happens; cursors equal the heads
 *   full      the sink said so: nothing is kept for it but the cursors; drained leads to behind
 *
 * A watcher goes live in the same turn in which it finds nothing more to read, so no commit falls between.
 */
export class Watcher {
  readonly filterKey: string;
  readonly cursors: Map<Head, number>;
  /** Told when the lines before them are out, newest state only: at most one for each room and session. */
  readonly #notices = new Map<string, string>();
  readonly #store: RoomStore;
  readonly #sink: Sink;
  readonly #wanted: Wanted;
  /** With an error when it was our side that failed. */
  readonly #onGone: (error?: unknown) => void;
  #state: "seeking" | "behind" | "live" | "full" = "seeking";
  #merge: Merge | null = null;
  #turnPlanned = false;
  closed = false;

  constructor(
    store: RoomStore,
    starts: Stretch[],
    filter: LineFilter | undefined,
    sink: Sink,
    onGone: (error?: unknown) => void,
  ) {
    this.#store = store;
    this.#sink = sink;
    this.#wanted = wantedBy(filter);
    this.#onGone = onGone;
    this.filterKey = JSON.stringify([filter?.agent, filter?.tag, filter?.type, filter?.level]);
    this.cursors = new Map(starts.map(({ head, after }) => [head, after]));
    sink.onDrain(() => {
      if (this.#state !== "full") return;
      this.#state = "behind";
      this.#planTurn();
    });
  }

  /** Begins after the caller's answer is out: nothing is pushed in this turn. `last` = only so many of what waits. */
  start(last: number | null): void {
    setImmediate(() => {
      this.#seek(last).catch((error: unknown) => this.#fail(error));
    });
  }

  async #seek(last: number | null): Promise<void> {
    if (last !== null) {
      const waiting = [...this.cursors].map(([head, after]) => ({ head, after, upTo: head.seq }));
      const shortened = await newest(this.#store, waiting, last, this.#wanted, () => this.closed);
      for (const { head, after } of shortened) if (this.cursors.has(head)) this.cursors.set(head, after);
    }
    this.#state = "behind";
    this.#planTurn();
  }

  /** Another room from now on; lines before `after` are not shown. */
  join(head: Head, after: number): void {
    if (!this.cursors.has(head)) this.cursors.set(head, after);
  }

  leave(head: Head): void {
    this.cursors.delete(head);
    this.#merge = null;
  }

  /** Something to tell besides lines; a later notice with the same key replaces one not yet told. */
  notify(key: string, event: RoomEvent): void {
    this.#notices.delete(key);
    this.#notices.set(key, JSON.stringify(event));
    if (this.#state === "live") this.#tellNotices();
  }

  /** Lines just committed, at most one event's worth. `encoded` holds what was made for watchers of the same lines. */
  offer(lines: StoredLine[], ends: Map<Head, number>, encoded: Map<string, string>): void {
    if (this.#state !== "live") return;
    const rooms: Head[] = [];
    for (const head of ends.keys()) if (this.cursors.has(head)) rooms.push(head);
    if (rooms.length === 0) return;
    for (const head of rooms) this.cursors.set(head, ends.get(head)!);
    const key = `${this.filterKey} ${rooms.length === ends.size ? "" : rooms.map((head) => head.number)}`;
    let event = encoded.get(key);
    if (event === undefined) {
      const names = new Set(rooms.map((head) => head.room));
      event = eventOf(lines.filter((line) => names.has(line.room) && this.#wanted(line)));
      encoded.set(key, event);
    }
    if (event !== "") this.#push(event);
  }

  /** A push has just filled or closed the sink. */
  get #paused(): boolean {
    return this.closed || this.#state === "full";
  }

  #planTurn(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    setImmediate(() => {
      this.#turnPlanned = false;
      try {
        this.#turn();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** One event's worth from the store, or live when nothing waits. */
  #turn(): void {
    if (this.closed || this.#state !== "behind") return;
    const merge = this.#merge ?? this.#open();
    if (this.#paused) return;
    if (merge === null) {
      this.#state = "live";
      this.#tellNotices();
      return;
    }
    this.#merge = merge;
    const batch: StoredLine[] = [];
    let bytes = 0;
    for (let looked = 0; looked < LINES_PER_TURN && batch.length < EVENT_LINES; looked++) {
      const line = merge.peek();
      if (line === null) {
        this.#merge = null;
        break;
      }
      const head = this.#store.head(line.room)!;
      const expected = this.cursors.get(head)! + 1;
      if (line.seq > expected) {
        // Lines that were forgotten before they could be shown. What was collected goes first.
        if (batch.length > 0) break;
        this.cursors.set(head, line.seq - 1);
        if (!this.#push(JSON.stringify(gapOf(head, expected, line.seq - 1)))) return;
      }
      if (this.#wanted(line)) {
        if (batch.length > 0 && bytes + line.json.length > EVENT_BYTES) break;
        bytes += line.json.length;
        batch.push(line);
      }
      this.cursors.set(head, line.seq);
      merge.next();
    }
    if (batch.length > 0 && !this.#push(eventOf(batch))) return;
    this.#planTurn();
  }

  /** The rooms whose head is ahead of the cursor; null when there is none. Rooms of which nothing waiting is kept count as seen. */
  #open(): Merge | null {
    const waiting: Stretch[] = [];
    for (const [head, after] of this.cursors) {
      if (head.seq > after && head.oldest <= head.seq) waiting.push({ head, after, upTo: head.seq });
      else if (head.seq > after) {
        this.cursors.set(head, head.seq);
        if (!this.#push(JSON.stringify(gapOf(head, after + 1, head.seq)))) break;
      }
    }
    return waiting.length === 0 ? null : new Merge(this.#store, waiting, "oldest first");
  }

  #tellNotices(): void {
    for (const [key, event] of this.#notices) {
      if (this.#state !== "live") return;
      this.#notices.delete(key);
      this.#push(event);
    }
  }

  /** False when the watcher must pause or has gone. */
  #push(event: string): boolean {
    try {
      if (this.#sink.push(event)) return true;
      this.#state = "full";
      this.#merge = null;
    } catch {
      // The other side is gone; its server tells it in its own way.
      this.close();
    }
    return false;
  }

  #fail(error: unknown): void {
    if (this.closed) return;
    this.close();
    this.#onGone(error);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#state = "full";
    this.#merge = null;
    this.#onGone();
  }
}

function gapOf(head: Head, from: number, to: number): RoomEvent {
  return { gap: { room: head.room, from, to } };
}

/** The JSON of a RoomEvent from lines that are JSON already; empty for no lines. */
function eventOf(lines: StoredLine[]): string {
  if (lines.length === 0) return "";
  if (lines.length === 1) return `{"line":${lines[0]!.json}}`;
  return `{"lines":[${lines.map((line) => line.json).join(",")}]}`;
}
