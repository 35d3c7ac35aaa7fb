import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BosunError, type ErrorBody } from "../../protocol/error.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { InputOf, OutputOf, Role } from "../../protocol/operation.ts";
import type { PlanRoom } from "../../protocol/plan.ts";
import type { Line, RoomInfo, roomRead, roomWatch } from "../../protocol/room.ts";
import { compose, type PostInput, repeatedIn } from "./compose.ts";
import { Mirror } from "./mirror.ts";
import { newest, nextTurn, type Stretch, select, wantedBy } from "./select.ts";
import { Sources } from "./sources.ts";
import { type Draft, type FileMark, type Head, isoOf, type Posted, RoomStore, type StoredLine } from "./store.ts";
import { EVENT_BYTES, EVENT_LINES, type Sink, Watcher } from "./watcher.ts";

export type { Sink } from "./watcher.ts";

/** Who reads: the name as it stands in `private` lists, and the rights of the credential. */
export interface Reader {
  name: string;
  role: Role;
}

export interface RoomsOptions {
  /** Existing or not; `rooms.db` lies in it. */
  folder: string;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Hears of trouble that stops nobody: a mirror that cannot be written, a source that cannot be read. Once for each trouble. */
  report?: (trouble: ErrorBody) => void;
  /** Shortest time between two rotations of a mirror; see MIRROR_ROTATION_PAUSE_MS. */
  mirrorRotationPauseMs?: number;
}

/** An answer must fit into one frame of the wire. */
const ANSWER = { lines: 1_000, bytes: 786_432 };
/** What a watcher that names neither cursors nor a number is shown first: a screenful or two. */
const DEFAULT_BACKLOG_LINES = 100;
/** Ages are kept to the minute. */
const PRUNE_EVERY_MS = 60_000;
/** A room may exceed its count by so many lines before the next pruning; deleting singly would cost an fsync for each line. */
const PRUNE_SLACK_LINES = 256;

/** Opens the rooms of a town. Nobody else may have the same folder open. Throws FAILED when a newer version wrote it. */
export function openRooms(options: RoomsOptions): Rooms {
  return new Rooms(options);
}

/** Ordered, durable, bounded feeds: what is said is stored, then shown to every watcher and written to the mirror. */
export class Rooms {
  readonly #store: RoomStore;
  readonly #now: () => number;
  readonly #report: (trouble: ErrorBody) => void;
  readonly #options: RoomsOptions;
  #plan = new Map<string, PlanRoom>();
  readonly #watchers = new Map<Watcher, { reader: Reader; every: boolean }>();
  /** room → session → why its lines are old. */
  readonly #stale = new Map<string, Map<string, { since: string; because: string }>>();
  readonly #mirrors = new Map<string, Mirror>();
  /** Mirrors on their way out; the store stays open for them. */
  readonly #leaving: Promise<void>[] = [];
  readonly #sources: Sources;
  readonly #pruneTimer: NodeJS.Timeout;
  #pruning: Promise<void> | null = null;
  #closed = false;

  constructor(options: RoomsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#report = options.report ?? (() => {});
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    this.#store = new RoomStore(join(options.folder, "rooms.db"), this.#now);
    this.#store.onCommit = (lines) => this.#committed(lines);
    this.#sources = new Sources({
      say: (said, mark) => this.#sayFromSource(said, mark),
      mark: (source) => this.#store.mark(source),
      saveMark: (mark) => this.#store.saveMark(mark),
      report: this.#report,
    });
    this.#pruneTimer = setInterval(() => void this.prune(), PRUNE_EVERY_MS);
    this.#pruneTimer.unref();
  }

  /** The rooms of the plan from now on. A room that left keeps its lines and tells its watchers; one that came back goes on. */
  declare(rooms: PlanRoom[]): void {
    const before = this.#plan;
    this.#plan = new Map(rooms.map((room) => [room.id, room]));
    this.#store.declare(rooms.map((room) => ({ id: room.id, members: room.private })));
    for (const [watcher, { reader, every }] of this.#watchers) {
      for (const head of [...watcher.cursors.keys()]) {
        const readable = mayRead(reader, head);
        if (!readable || (before.has(head.room) && head.ended))
          watcher.notify(`end ${head.room}`, { ended: { room: head.room } });
        if (!readable) watcher.leave(head);
      }
      if (every) for (const head of this.#everyRoom(reader)) if (!head.ended) watcher.join(head, head.seq);
    }
    for (const id of before.keys()) if (!this.#plan.has(id)) this.#stale.delete(id);
    this.#declareMirrors(rooms);
    this.#sources.declare(rooms);
  }

  #declareMirrors(rooms: PlanRoom[]): void {
    const wanted = new Map(rooms.filter((room) => room.jsonl !== null).map((room) => [room.id, room]));
    for (const [id, mirror] of this.#mirrors) {
      if (wanted.get(id)?.jsonl?.path === mirror.path) continue;
      this.#mirrors.delete(id);
      this.#leaving.push(mirror.close());
    }
    for (const room of wanted.values()) {
      const known = this.#mirrors.get(room.id);
      if (known) {
        known.bounds = room.jsonl!;
        continue;
      }
      const mirror = new Mirror({
        store: this.#store,
        head: this.#store.head(room.id)!,
        jsonl: room.jsonl!,
        private: room.private !== null,
        report: this.#report,
        rotationPauseMs: this.#options.mirrorRotationPauseMs,
      });
      this.#mirrors.set(room.id, mirror);
      mirror.nudge();
    }
  }

  /**
   * Says a line; resolves when it is on disk. `from` comes from the credential. A repeated `key` of one sender gives the first
   * answer again. Throws UNKNOWN_ROOM, REFUSED (private), USAGE (empty), TOO_LARGE.
   */
  async post(from: string, input: PostInput, key?: string): Promise<Posted> {
    const room = this.#plan.get(input.room) ?? this.#unknownRoom(input.room, { name: from, role: "agent" });
    if (room.private !== null && !room.private.includes(from)) this.#refuse(input.room, "post");
    const [posted] = await this.#store.append([this.#compose(room, from, input, key ?? null)]);
    return posted!;
  }

  #compose(room: PlanRoom, from: string, input: PostInput, key: string | null): Draft {
    const draft = compose(from, input, key, []);
    return { ...draft, alsoIn: repeatedIn(this.#plan.values(), room, draft) };
  }

  async #sayFromSource(said: { from: string; input: PostInput }[], mark: FileMark | null): Promise<void> {
    const drafts = said.flatMap(({ from, input }) => {
      const room = this.#plan.get(input.room);
      return room ? [this.#compose(room, from, input, null)] : [];
    });
    await this.#store.append(drafts, mark);
  }

  /** Bytes that a pane wrote, in order; rooms with a `pane` source over it get the lines that match. `agent` null = a plain pane. */
  feedPaneOutput(session: string, agent: string | null, bytes: Uint8Array): void {
    this.#sources.feedPaneOutput(session, agent, bytes);
  }

  /** A stretch of one or more rooms, merged in time order. Throws UNKNOWN_ROOM, REFUSED, USAGE. */
  async read(reader: Reader, input: InputOf<typeof roomRead>): Promise<OutputOf<typeof roomRead>> {
    const heads = this.#resolve(reader, input.rooms, true).heads;
    const gone: Record<string, number> = {};
    const asked: Stretch[] = heads.map((head) => {
      const cursor = input.after?.[head.room];
      if (cursor !== undefined && head.oldest - 1 > cursor) gone[head.room] = head.oldest - 1 - cursor;
      const first = input.from === undefined ? head.oldest : this.#store.firstSeqAt(head, msOf(input.from));
      const end = input.to === undefined ? head.seq : this.#store.firstSeqAt(head, msOf(input.to) + 1) - 1;
      return { head, after: Math.max(Math.min(cursor ?? 0, head.seq), first - 1), upTo: end };
    });
    const wanted = wantedBy(input.filter);
    const stretches = input.last === undefined ? asked : await newest(this.#store, asked, input.last, wanted);
    const bounds = { lines: input.limit ?? Math.max(ANSWER.lines, input.last ?? 0), bytes: ANSWER.bytes };
    const { lines, cursors, more } = await select(this.#store, stretches, wanted, bounds);
    return {
      lines: lines.map((line) => JSON.parse(line.json) as Line),
      cursors: Object.fromEntries(cursors),
      more,
      gone,
    };
  }

  /**
   * Follows rooms: what waits behind the cursors (or the last lines), then every new line once and in order. Nothing is pushed
   * before this call has returned. Throws UNKNOWN_ROOM, REFUSED.
   */
  watch(reader: Reader, input: InputOf<typeof roomWatch>, sink: Sink): { rooms: string[]; close(): void } {
    const { heads, every } = this.#resolve(reader, input.rooms, false);
    const starts = heads.map((head) => {
      const cursor = input.after?.[head.room];
      // A cursor beyond the head belongs to an older life of the store; a room the caller has not seen starts at what is kept.
      return { head, after: cursor === undefined ? head.oldest - 1 : Math.min(cursor, head.seq), upTo: head.seq };
    });
    const watcher = new Watcher(this.#store, starts, input.filter, sink, (error) => {
      this.#watchers.delete(watcher);
      if (error !== undefined) this.#report({ code: "FAILED", what: "a watcher was dropped", why: String(error) });
    });
    this.#watchers.set(watcher, { reader, every });
    for (const head of heads) {
      for (const [session, { since, because }] of this.#stale.get(head.room) ?? [])
        watcher.notify(staleKey(head.room, session), { stale: { room: head.room, session, since, because } });
      if (head.ended) watcher.notify(`end ${head.room}`, { ended: { room: head.room } });
    }
    watcher.start(input.last ?? (input.after === undefined ? DEFAULT_BACKLOG_LINES : null));
    return { rooms: heads.map((head) => head.room), close: () => watcher.close() };
  }

  /** The rooms the reader may see, ended ones last. `agents` are those who have spoken. */
  list(reader: Reader): RoomInfo[] {
    return [...this.#store.heads()]
      .filter((head) => mayRead(reader, head))
      .sort((one, other) => Number(one.ended) - Number(other.ended) || (one.room < other.room ? -1 : 1))
      .map((head) => {
        const room = this.#plan.get(head.room);
        const since = [...(this.#stale.get(head.room)?.values() ?? [])].map((stale) => stale.since).sort()[0];
        return {
          room: head.room,
          about: room?.about ?? "",
          seq: head.seq,
          oldest: head.oldest,
          agents: [...head.speakers].sort(),
          watchers: [...this.#watchers.keys()].filter((watcher) => watcher.cursors.has(head)).length,
          lastAt: head.seq === 0 ? null : isoOf(head.lastAtMs),
          staleSince: since ?? null,
          jsonl: room?.jsonl?.path ?? null,
          ended: head.ended,
        };
      });
  }

  /** The agents of `session` that fill `room` are down since `since` (RFC 3339); told to watchers now and to come. */
  setStale(room: string, session: string, since: string, because: string): void {
    const head = this.#store.head(room);
    if (!head) return;
    const sessions = this.#stale.get(room) ?? new Map<string, { since: string; because: string }>();
    const known = sessions.get(session);
    if (known?.since === since && known.because === because) return;
    this.#stale.set(room, sessions.set(session, { since, because }));
    this.#notify(head, staleKey(room, session), { stale: { room, session, since, because } });
  }

  /** The session runs again. Nothing is told if it was not stale. */
  setLive(room: string, session: string): void {
    const head = this.#store.head(room);
    if (!head || !this.#stale.get(room)?.delete(session)) return;
    this.#notify(head, staleKey(room, session), { live: { room, session } });
  }

  #notify(head: Head, key: string, event: Parameters<Watcher["notify"]>[1]): void {
    for (const watcher of this.#watchers.keys()) if (watcher.cursors.has(head)) watcher.notify(key, event);
  }

  /** Right after the commit, before the posters are answered: order of watchers' events = order of commits. */
  #committed(lines: StoredLine[]): void {
    for (const slice of slices(lines)) {
      const ends = new Map<Head, number>();
      for (const line of slice) ends.set(this.#store.head(line.room)!, line.seq);
      const encoded = new Map<string, string>();
      for (const watcher of this.#watchers.keys()) watcher.offer(slice, ends, encoded);
    }
    for (const id of new Set(lines.map((line) => line.room))) {
      this.#mirrors.get(id)?.nudge();
      const head = this.#store.head(id)!;
      const count = this.#plan.get(id)?.keep.count ?? null;
      if (count !== null && head.seq - head.oldest + 1 >= count + PRUNE_SLACK_LINES) void this.prune();
    }
  }

  /** Forgets what the plan does not keep, in small batches between other work. Runs by itself; resolves when done. */
  prune(): Promise<void> {
    this.#pruning ??= this.#pruneAll()
      .catch((error: unknown) =>
        this.#report({ code: "FAILED", what: "old lines were not removed", why: String(error) }),
      )
      .finally(() => {
        this.#pruning = null;
      });
    return this.#pruning;
  }

  async #pruneAll(): Promise<void> {
    await nextTurn();
    if (this.#closed) return;
    this.#store.pruneKeys();
    for (const { id, keep } of this.#plan.values()) {
      const head = this.#store.head(id)!;
      const byCount = keep.count === null ? 0 : head.seq - keep.count + 1;
      const byAge = keep.ageMs === null ? 0 : this.#store.firstSeqAt(head, this.#now() - keep.ageMs);
      while (!this.#closed && this.#store.pruneBefore(head, Math.max(byCount, byAge))) await nextTurn();
    }
  }

  /** What `*` means: no private room but one's own, not even for admins, whose wall may be seen by others. */
  #everyRoom(reader: Reader): Head[] {
    return [...this.#store.heads()].filter(({ members }) => members === null || members.includes(reader.name));
  }

  /** Rooms by id, `*` for every one; `withEnded`: `*` means ended rooms too. */
  #resolve(reader: Reader, wanted: string[], withEnded: boolean): { heads: Head[]; every: boolean } {
    const every = wanted.includes("*");
    const heads = new Set(every ? this.#everyRoom(reader).filter((head) => withEnded || !head.ended) : []);
    for (const id of wanted) {
      if (id === "*") continue;
      const head = this.#store.head(id);
      if (!head) this.#unknownRoom(id, reader);
      else if (!mayRead(reader, head)) this.#refuse(id, "read");
      else heads.add(head);
    }
    return { heads: [...heads], every };
  }

  #unknownRoom(id: string, reader: Reader): never {
    const ended = this.#store.head(id) !== undefined;
    const visible = [...this.#store.heads()]
      .filter((head) => !head.ended && mayRead(reader, head))
      .map((head) => head.room);
    const near = ended ? null : nearest(id, visible);
    throw new BosunError({
      code: "UNKNOWN_ROOM",
      what: ended ? `room "${id}" has ended` : `there is no room "${id}"`,
      why: ended
        ? "it has left the floor plan; what was said there can still be read"
        : near
          ? `did you mean "${near}"?`
          : "the floor plan declares no such room",
      fix: "list the rooms with `bosun rooms`",
    });
  }

  #refuse(id: string, act: "post" | "read"): never {
    throw new BosunError({
      code: "REFUSED",
      what: `room "${id}" is private`,
      why: `only its members may ${act === "post" ? "speak" : "read"} there`,
      fix: `ask for your name under \`rooms: ${id}: private:\` in the floor plan`,
    });
  }

  /** Stores and mirrors what was accepted, then closes. Watchers get nothing more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pruneTimer);
    await this.#sources.close();
    this.#store.flush();
    for (const watcher of [...this.#watchers.keys()]) watcher.close();
    await Promise.all([...this.#leaving, ...[...this.#mirrors.values()].map((mirror) => mirror.close())]);
    this.#store.close();
  }
}

/** Members read a private room; admins may, for audit, when they name it. */
function mayRead(reader: Reader, head: Head): boolean {
  return head.members === null || reader.role === "admin" || head.members.includes(reader.name);
}

function staleKey(room: string, session: string): string {
  return `stale ${room} ${session}`;
}

/** A commit in parts of one event each. */
function slices(lines: StoredLine[]): StoredLine[][] {
  const parts: StoredLine[][] = [];
  let part: StoredLine[] = [];
  let bytes = 0;
  for (const line of lines) {
    if (part.length > 0 && (part.length >= EVENT_LINES || bytes + line.json.length > EVENT_BYTES)) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(line);
    bytes += line.json.length;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

function msOf(time: string): number {
  const atMs = Date.parse(time);
  if (!Number.isNaN(atMs)) return atMs;
  throw new BosunError({
    code: "USAGE",
    what: `"${time}" is no time`,
    why: "a time is written like 2026-05-01T12:00:00Z",
  });
}
