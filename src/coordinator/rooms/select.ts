import { LEVELS, type LineFilter } from "../../protocol/room.ts";
import type { Head, RoomStore, StoredLine } from "./store.ts";

/** Lines read from the store at a time for each merged room; 64 lines are a screenful, 64 KiB bound the memory of 300 rooms. */
const CHUNK = { maxLines: 64, maxBytes: 65_536 };
const CHUNK_OF_ONE_ROOM = { maxLines: 256, maxBytes: 262_144 };

/** Lines looked at before other work gets its turn: some milliseconds. */
const LINES_PER_TURN = 2_000;

export type Wanted = (line: Pick<StoredLine, "from" | "type" | "level" | "tags">) => boolean;

/** The filter as a test of one line; every face and both ways of reading (live, from the store) use this one. */
export function wantedBy(filter: LineFilter | undefined): Wanted {
  if (!filter) return () => true;
  const { agent, tag, type } = filter;
  const least = filter.level ? LEVELS.indexOf(filter.level) : 0;
  return (line) =>
    line.level >= least &&
    (!agent || agent.some((name) => isAgent(line.from, name))) &&
    (!type || type.includes(line.type)) &&
    (!tag || tag.some((name) => line.tags.includes(name)));
}

/** `name` is the full id, or what stands before its first or its last hyphen: `butterfly` finds `butterfly-spx`. */
function isAgent(from: string, name: string): boolean {
  if (from === name) return true;
  if (!from.startsWith(`${name}-`)) return false;
  return name.length === from.indexOf("-") || name.length === from.lastIndexOf("-");
}

/** A part of one room: `after` < seq ≤ `upTo`. */
export interface Stretch {
  head: Head;
  after: number;
  upTo: number;
}

/** Order of a merged feed: by time; lines of one millisecond by room, then seq. */
function compare(one: StoredLine, other: StoredLine): number {
  if (one.atMs !== other.atMs) return one.atMs - other.atMs;
  if (one.room !== other.room) return one.room < other.room ? -1 : 1;
  return one.seq - other.seq;
}

interface Run extends Stretch {
  chunk: StoredLine[];
  /** Place in the chunk. */
  at: number;
}

/** Walks stretches of several rooms as one list in time order, a chunk of each in memory at a time. */
export class Merge {
  readonly #store: RoomStore;
  readonly #newestFirst: boolean;
  readonly #chunk: { maxLines: number; maxBytes: number };
  readonly #runs: Run[];

  constructor(store: RoomStore, stretches: Stretch[], order: "oldest first" | "newest first") {
    this.#store = store;
    this.#newestFirst = order === "newest first";
    this.#chunk = stretches.length === 1 ? CHUNK_OF_ONE_ROOM : CHUNK;
    this.#runs = stretches.map((stretch) => ({ ...stretch, chunk: [], at: 0 }));
  }

  /** The next line without taking it, or null at the end. */
  peek(): StoredLine | null {
    let best: StoredLine | null = null;
    for (const run of this.#runs) {
      if (run.at === run.chunk.length) this.#refill(run);
      const line = run.chunk[run.at];
      if (!line) continue;
      if (best === null || compare(line, best) < 0 !== this.#newestFirst) best = line;
    }
    return best;
  }

  next(): StoredLine | null {
    const line = this.peek();
    if (line) this.#runs.find((run) => run.chunk[run.at] === line)!.at += 1;
    return line;
  }

  #refill(run: Run): void {
    if (run.after >= run.upTo) return;
    run.chunk = this.#store.range(run.head, run.after, run.upTo, { ...this.#chunk, newestFirst: this.#newestFirst });
    run.at = 0;
    const last = run.chunk.at(-1);
    if (!last) run.after = run.upTo;
    else if (this.#newestFirst) run.upTo = last.seq - 1;
    else run.after = last.seq;
  }
}

/** Shortens the stretches so that together they begin at the `count`-th newest wanted line. */
export async function newest(
  store: RoomStore,
  stretches: Stretch[],
  count: number,
  wanted: Wanted,
  stopped: () => boolean = () => false,
): Promise<Stretch[]> {
  const starts = new Map(stretches.map(({ head, upTo }) => [head, upTo]));
  const merge = new Merge(store, stretches, "newest first");
  const heads = new Map(stretches.map(({ head }) => [head.room, head]));
  let found = 0;
  for (let looked = 1; found < count && !stopped(); looked++) {
    const line = merge.next();
    if (!line) break;
    if (wanted(line)) {
      found += 1;
      starts.set(heads.get(line.room)!, line.seq - 1);
    }
    if (looked % LINES_PER_TURN === 0) await nextTurn();
  }
  return stretches.map((stretch) => ({ ...stretch, after: starts.get(stretch.head)! }));
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Where a bounded answer stopped. */
export interface Selection {
  lines: StoredLine[];
  cursors: Map<string, number>;
  more: boolean;
}

/** The wanted lines of the stretches in time order, until a bound is reached. */
export async function select(
  store: RoomStore,
  stretches: Stretch[],
  wanted: Wanted,
  bounds: { lines: number; bytes: number },
): Promise<Selection> {
  const lines: StoredLine[] = [];
  const cursors = new Map(stretches.map(({ head, after }) => [head.room, after]));
  const merge = new Merge(store, stretches, "oldest first");
  let bytes = 0;
  for (let looked = 1; ; looked++) {
    const line = merge.peek();
    if (!line) break;
    if (wanted(line)) {
      bytes += Buffer.byteLength(line.json);
      const full = lines.length >= bounds.lines || (lines.length > 0 && bytes > bounds.bytes);
      if (full) return { lines, cursors, more: true };
      lines.push(line);
    }
    cursors.set(line.room, line.seq);
    merge.next();
    if (looked % LINES_PER_TURN === 0) await nextTurn();
  }
  for (const { head, upTo } of stretches) cursors.set(head.room, Math.max(upTo, cursors.get(head.room)!));
  return { lines, cursors, more: false };
}
