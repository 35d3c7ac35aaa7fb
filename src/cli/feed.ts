import type { Connection } from "../client/connection.ts";
import { BosunError } from "../protocol/error.ts";
import type { Line, LineFilter, RoomEvent } from "../protocol/room.ts";
import { FeedLines, type FeedLook, noticeOf, rule } from "./feed-lines.ts";
import type { Output } from "./output.ts";
import { clockText, pause } from "./time.ts";

/** Last `seq` seen, per room. */
export type Cursors = Record<string, number>;

export interface FeedWish {
  rooms: string[];
  filter: LineFilter | null;
  /** Start after these; null = elsewhere. */
  after: Cursors | null;
  /** RFC 3339. */
  from: string | null;
  to: string | null;
  last: number | null;
}

const PAGE_LINES = 1000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2000;
/** Lost time between two lines of a replay is not shown longer than this. */
const LONGEST_PAUSE_MS = 60_000;

/** How long to wait before trying again: doubling, with jitter because 36 feeds lose the same coordinator at once. */
export function retryAfterMs(attempt: number, random: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10)) * (0.5 + random / 2);
}

/** Pages through what is stored, oldest first; gives the cursors from which everything later follows. */
export async function readFeed(
  connection: Connection,
  wish: FeedWish,
  onLines: (lines: Line[]) => void | Promise<void>,
  onGone: (room: string, count: number) => void = () => {},
): Promise<Cursors> {
  const cursors: Cursors = { ...wish.after };
  let last = wish.last;
  for (let more = true, first = true; more; first = false) {
    const page = await connection.call("room.read", {
      rooms: wish.rooms,
      ...((!first || wish.after) && { after: cursors }),
      ...(wish.from && { from: wish.from }),
      ...(wish.to && { to: wish.to }),
      ...(wish.filter && { filter: wish.filter }),
      ...(last === null ? { limit: PAGE_LINES } : { last }),
    });
    for (const [room, count] of Object.entries(page.gone)) if (count > 0) onGone(room, count);
    if (page.lines.length > 0) await onLines(page.lines as Line[]);
    const moved = Object.entries(page.cursors).some(([room, seq]) => cursors[room] !== seq);
    Object.assign(cursors, page.cursors);
    // `last` selected the newest lines already: nothing of what was asked for is left.
    more = page.more && last === null && moved;
    last = null;
  }
  return cursors;
}

/**
 * Follows rooms for ever: every line once and in order, over lost connections and restarted coordinators, by asking again
 * from the cursors. Resolves when every room has ended. `reconnect` must not start a coordinator: one that was stopped on
 * purpose would never stay so while somebody watches.
 */
export class FeedFollower {
  readonly cursors: Cursors = {};
  readonly #wish: FeedWish;
  readonly #lines: FeedLines;
  readonly #out: Output;
  readonly #notice: (text: string) => void;
  readonly #ended = new Set<string>();
  #batch = "";

  constructor(wish: FeedWish, look: FeedLook, out: Output) {
    this.#wish = wish;
    this.#lines = new FeedLines(look, wish.rooms);
    this.#out = out;
    // Records on stdout stay records: a program reads them.
    this.#notice =
      look.form === "pane"
        ? (text) => {
            this.#batch += `${look.style(text, "dim")}\n`;
          }
        : (text) => out.say(text);
  }

  async backlog(connection: Connection): Promise<void> {
    const read = await readFeed(
      connection,
      this.#wish,
      (lines) => this.#add(lines),
      (room, count) => this.#notice(rule(`gap: ${count} lines of ${room} are no longer kept`)),
    );
    Object.assign(this.cursors, read);
    this.#flush();
  }

  async follow(connection: Connection | null, reconnect: () => Promise<Connection>): Promise<void> {
    let staleSince: string | null = null;
    let current = connection;
    for (let attempt = 0; ; attempt++) {
      try {
        current ??= await reconnect();
        if (Object.keys(this.cursors).length === 0) await this.backlog(current);
        const { rooms, filter } = this.#wish;
        const stream = await current.stream(
          "room.watch",
          { rooms, after: this.cursors, ...(filter && { filter }) },
          (event) => this.#receive(event as RoomEvent),
          { onBatchEnd: () => this.#flush() },
        );
        if (staleSince !== null) this.#notice(rule("live again"));
        staleSince = null;
        attempt = 0;
        this.#flush();
        await stream.ended;
        if (this.#ended.size > 0 && this.#ended.size >= stream.ok.rooms.length) return;
      } catch (error) {
        if (!(error instanceof BosunError) || error.exitCode !== UNREACHABLE_EXIT) throw error;
      }
      current?.close();
      current = null;
      if (staleSince === null) {
        staleSince = clockText(new Date());
        this.#notice(rule(`stale since ${staleSince}: coordinator gone`));
        this.#flush();
      }
      await pause(retryAfterMs(attempt, Math.random()));
    }
  }

  #receive(event: RoomEvent): void {
    if ("lines" in event) this.#add(event.lines);
    else if ("line" in event) this.#add([event.line]);
    else {
      if ("ended" in event) this.#ended.add(event.ended.room);
      const text = noticeOf(event);
      if (text) this.#notice(text);
    }
  }

  #add(lines: readonly Line[]): void {
    for (const line of lines) {
      // A line that was on its way when the connection went comes again after it; once is enough.
      if (line.seq <= (this.cursors[line.room] ?? 0)) continue;
      this.cursors[line.room] = line.seq;
      this.#batch += this.#lines.text(line);
    }
  }

  /** One write per piece of input, however many lines it held. */
  #flush(): void {
    if (this.#batch === "") return;
    this.#out.write(this.#batch);
    this.#batch = "";
  }
}

const UNREACHABLE_EXIT = 6;

/** Shows a stretch again with the pauses it had, divided by `speed`. */
export async function replayFeed(
  connection: Connection,
  wish: FeedWish,
  look: FeedLook,
  speed: number,
  out: Output,
): Promise<void> {
  const feedLines = new FeedLines(look, wish.rooms);
  let startedMs = 0;
  let shownMs: number | null = null;
  await readFeed(connection, wish, async (lines) => {
    for (const line of lines) {
      const saidMs = Date.parse(line.ts);
      if (shownMs === null) startedMs = Date.now();
      else {
        const pauseMs = Math.min(LONGEST_PAUSE_MS, (saidMs - shownMs) / speed);
        startedMs += pauseMs;
        // Against the clock, not line by line, so that thousands of short timers do not add up.
        if (startedMs - Date.now() > 1) await pause(startedMs - Date.now());
      }
      shownMs = saidMs;
      out.write(feedLines.text(line));
    }
  });
}
