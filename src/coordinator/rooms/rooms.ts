import { join } from "node:path";
import type { z } from "zod";
import { BosunError } from "../../protocol/error.ts";
import type { Role } from "../../protocol/operation.ts";
import type { PlanRoom, PlanSource } from "../../protocol/plan.ts";
import {
  LEVELS,
  type Level,
  MAX_LINE_BYTES,
  type RoomInfo,
  type roomPost,
  type roomRead,
  type roomWatch,
} from "../../protocol/room.ts";
import { matches } from "./filter.ts";
import { Mirror } from "./mirror.ts";
import { type FollowedLine, followFile, fromJsonl, PaneLines, pick } from "./sources.ts";
import { type Draft, RoomStore, type StoredLine } from "./store.ts";
import { type Sink, Watcher } from "./watcher.ts";

/** Who reads or writes, from the credential. */
export interface Reader {
  name: string;
  role: Role;
}

type PostInput = z.output<typeof roomPost.input>;
type ReadInput = z.output<typeof roomRead.input>;
type WatchInput = z.output<typeof roomWatch.input>;
type Posted = z.infer<typeof roomPost.output>;

/** Lines shown to a follower who asks for no number. */
const DEFAULT_BACKLOG = 50;
const DEFAULT_READ = 1_000;
/** Old lines are forgotten in pieces, beside the work. */
const PRUNE_EVERY_MS = 5_000;
const PRUNE_LINES = 500;

interface Room {
  plan: PlanRoom;
  ended: boolean;
  mirror: Mirror | null;
  stale: Map<string, { since: string; because: string }>;
  sources: (() => void)[];
}

interface Waiting {
  draft: Draft;
  resolve: (posted: Posted) => void;
  reject: (error: unknown) => void;
}

/**
 * The rooms of a town: one ordered feed each, the same for everybody who may read it. A line is shown after it is durable,
 * never before. Posts that arrive together share one fsync.
 */
export class Rooms {
  readonly #store: RoomStore;
  readonly #now: () => number;
  readonly #trouble: (what: string) => void;
  readonly #rooms = new Map<string, Room>();
  readonly #watchers = new Set<Watcher>();
  readonly #paneLines = new Map<string, PaneLines>();
  readonly #pruning: NodeJS.Timeout;
  #waiting: Waiting[] = [];

  constructor(options: { folder: string; now?: () => number; trouble?: (what: string) => void }) {
    this.#store = new RoomStore(join(options.folder, "rooms.db"));
    this.#now = options.now ?? Date.now;
    this.#trouble = options.trouble ?? (() => {});
    this.#pruning = setInterval(() => this.#prune(), PRUNE_EVERY_MS);
    this.#pruning.unref();
  }

  /** The rooms of the plan in force. One that left keeps its history and ends for its watchers. */
  declare(plans: readonly PlanRoom[]): void {
    const declared = new Set(plans.map((plan) => plan.id));
    for (const [id, room] of this.#rooms) {
      if (declared.has(id) || room.ended) continue;
      this.#end(room);
      room.ended = true;
      for (const watcher of this.#watching(id)) watcher.tell(JSON.stringify({ ended: { room: id } }));
    }
    for (const plan of plans) {
      const before = this.#rooms.get(plan.id);
      if (before) this.#end(before);
      const room: Room = {
        plan,
        ended: false,
        mirror: plan.jsonl && new Mirror(plan.jsonl, this.#trouble),
        stale: before?.stale ?? new Map(),
        sources: [],
      };
      this.#rooms.set(plan.id, room);
      room.mirror?.write([], (seq) => this.#store.afterSeq(plan.id, seq, 1_000));
      for (const watcher of this.#watchers) if (watcher.all) watcher.rooms.add(plan.id);
    }
    for (const plan of plans) this.#follow(plan);
  }

  async post(from: Reader, input: PostInput, key?: string): Promise<Posted> {
    const room = this.#writable(input.room, from);
    const msg = input.msg ?? input.content;
    if (msg === undefined || msg === "") {
      throw new BosunError({
        code: "USAGE",
        what: "the line has no text",
        why: '"msg" is missing or empty',
        fix: `bosun say ${room.plan.id} TEXT`,
      });
    }
    if (Buffer.byteLength(msg) > MAX_LINE_BYTES) {
      throw new BosunError({
        code: "TOO_LARGE",
        what: `the line has ${Buffer.byteLength(msg)} bytes`,
        why: `a line may have ${MAX_LINE_BYTES}`,
        fix: "put it in a file and say its path",
      });
    }
    return this.#queue({
      room: room.plan.id,
      from: from.name,
      type: input.type ?? "narrative",
      level: input.level ?? "info",
      msg: msg.toWellFormed(),
      tags: input.tags ?? [],
      data: input.data,
      key,
    });
  }

  read(reader: Reader, input: ReadInput): z.infer<typeof roomRead.output> {
    const rooms = this.#readable(input.rooms, reader);
    const fromMs = input.from === undefined ? null : Date.parse(input.from);
    const toMs = input.to === undefined ? null : Date.parse(input.to);
    const limit = input.limit ?? (input.last === undefined ? DEFAULT_READ : Math.min(input.last, 10_000));
    const wanted = (stored: StoredLine): boolean =>
      matches(stored.line, input.filter) && (toMs === null || Date.parse(stored.line.ts) <= toMs);
    const gone: Record<string, number> = {};
    const start = new Map<string, number>();
    for (const room of rooms) {
      const after = Math.max(input.after?.[room] ?? 0, fromMs === null ? 0 : this.#store.seqBefore(room, fromMs));
      const missing = this.#store.oldest(room) - 1 - (input.after?.[room] ?? Number.POSITIVE_INFINITY);
      if (missing > 0) gone[room] = missing;
      start.set(room, after);
    }
    const found = rooms.flatMap((room) =>
      input.last === undefined
        ? this.#forward(room, start.get(room)!, limit + 1, wanted)
        : this.#backward(room, start.get(room)!, input.last, wanted),
    );
    found.sort((a, b) => a.position - b.position);
    const lines =
      input.last === undefined ? found.slice(0, limit) : found.slice(-input.last || found.length, found.length);
    const kept = input.last === 0 ? [] : lines;
    const more = input.last === undefined && found.length > limit;
    const cursors: Record<string, number> = {};
    for (const room of rooms) {
      const last = kept.findLast((stored) => stored.line.room === room)?.line.seq;
      cursors[room] = more ? (last ?? start.get(room)!) : this.#store.seq(room);
    }
    return { lines: kept.map((stored) => stored.line), cursors, more, gone };
  }

  /** The backlog and everything after it go to `sink`; nothing is missed between the two. */
  watch(reader: Reader, input: WatchInput, sink: Sink): { rooms: string[]; close: () => void } {
    const rooms = this.#readable(input.rooms, reader);
    const all = input.rooms.includes("*");
    const position = input.after === undefined ? this.#store.head() : this.#placeOf(rooms, input.after);
    const watcher = new Watcher({
      reader: reader.name,
      rooms: new Set(rooms),
      all,
      filter: input.filter,
      store: this.#store,
      sink,
      position,
    });
    if (input.after === undefined) {
      const last = input.last ?? DEFAULT_BACKLOG;
      const backlog = rooms.flatMap((room) =>
        this.#backward(room, 0, last, (stored) => matches(stored.line, input.filter)),
      );
      backlog.sort((a, b) => a.position - b.position);
      watcher.send(last === 0 ? [] : backlog.slice(-last));
    } else this.#tellGaps(rooms, input.after, watcher);
    const after = input.after;
    watcher.catchUp(after === undefined ? undefined : (stored) => stored.line.seq <= (after[stored.line.room] ?? 0));
    for (const room of rooms) this.#tellState(room, watcher);
    this.#watchers.add(watcher);
    return {
      rooms,
      close: () => {
        watcher.close();
        this.#watchers.delete(watcher);
      },
    };
  }

  list(): RoomInfo[] {
    return [...this.#rooms.values()].map(({ plan, ended, stale }) => ({
      room: plan.id,
      about: plan.about,
      seq: this.#store.seq(plan.id),
      oldest: this.#store.oldest(plan.id),
      agents: [],
      watchers: this.#watching(plan.id).length,
      lastAt: this.#store.lastAt(plan.id),
      staleSince: [...stale.values()].map((each) => each.since).sort()[0] ?? null,
      jsonl: plan.jsonl?.path ?? null,
      ended,
    }));
  }

  setStale(room: string, session: string, since: string, because: string): void {
    const entry = this.#rooms.get(room);
    if (!entry || entry.stale.has(session)) return;
    entry.stale.set(session, { since, because });
    for (const watcher of this.#watching(room))
      watcher.tell(JSON.stringify({ stale: { room, session, since, because } }));
  }

  setLive(room: string, session: string): void {
    if (!this.#rooms.get(room)?.stale.delete(session)) return;
    for (const watcher of this.#watching(room)) watcher.tell(JSON.stringify({ live: { room, session } }));
  }

  /** Bytes a declared source's pane wrote; its whole lines that match go to the rooms that want them. */
  feedPaneOutput(session: string, agent: string | null, bytes: Buffer): void {
    const key = `${session} ${agent ?? ""}`;
    let lines = this.#paneLines.get(key);
    if (!lines) {
      lines = new PaneLines();
      this.#paneLines.set(key, lines);
    }
    for (const text of lines.push(bytes)) {
      for (const room of this.#rooms.values()) {
        if (room.ended) continue;
        for (const source of room.plan.sources)
          if (source.kind === "pane" && source.session === session) this.#fromPane(room, source, agent, session, text);
      }
    }
  }

  close(): void {
    clearInterval(this.#pruning);
    this.#flush();
    for (const room of this.#rooms.values()) this.#end(room);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
    this.#store.close();
  }

  #queue(draft: Draft): Promise<Posted> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ draft, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    const committed: StoredLine[] = [];
    const answers: Posted[] = [];
    try {
      this.#store.transact(() => {
        for (const { draft } of batch) {
          const known = draft.key === undefined ? undefined : this.#store.byKey(draft.from, draft.key);
          if (known) {
            answers.push({ ...known, duplicate: true });
            continue;
          }
          const stored = this.#store.add(draft, this.#now());
          committed.push(stored, ...this.#repeat(stored));
          answers.push({ id: stored.line.id, seq: stored.line.seq, ts: stored.line.ts, duplicate: false });
        }
      });
    } catch (error) {
      const body = {
        code: "FAILED" as const,
        what: "the line was not stored",
        why: error instanceof Error ? error.message : String(error),
        fix: "see that the disk has space, then say it again",
      };
      for (const { reject } of batch) reject(new BosunError(body));
      return;
    }
    for (const [index, { resolve }] of batch.entries()) resolve(answers[index]!);
    if (committed.length > 0) this.#fanOut(committed);
  }

  #fanOut(committed: StoredLine[]): void {
    const events = new Map<string, string | null>();
    for (const watcher of this.#watchers) watcher.offer(committed, events);
    const byRoom = Map.groupBy(committed, (stored) => stored.line.room);
    for (const [id, lines] of byRoom)
      this.#rooms.get(id)?.mirror?.write(lines, (seq) => this.#store.afterSeq(id, seq, 1_000));
  }

  /** Copies of a line in the rooms that collect such lines from others. A copy is never copied again. */
  #repeat(stored: StoredLine): StoredLine[] {
    const { line } = stored;
    const collectors = [...this.#rooms.values()].filter(
      (room) =>
        !room.ended &&
        room.plan.id !== line.room &&
        room.plan.sources.some(
          (source) => source.kind === "rooms" && collects(source, line.room, line.level, line.tags),
        ),
    );
    return collectors.map((room) =>
      this.#store.add(
        {
          room: room.plan.id,
          from: line.from,
          type: line.type,
          level: line.level,
          msg: line.msg,
          tags: line.tags,
          data: { origin: line.id },
          key: undefined,
        },
        this.#now(),
      ),
    );
  }

  #fromPane(
    room: Room,
    source: PlanSource & { kind: "pane" },
    agent: string | null,
    session: string,
    text: string,
  ): void {
    if (source.agent !== null && source.agent !== agent) return;
    const msg = pick(new RegExp(source.pattern), text);
    if (msg === null || msg === "") return;
    const draft: Draft = {
      room: room.plan.id,
      from: agent ?? session,
      type: "narrative",
      level: (source.level as Level | null) ?? "info",
      msg,
      tags: source.tags,
      data: undefined,
      key: undefined,
    };
    this.#queue(draft).catch((error: unknown) => this.#trouble(String(error)));
  }

  #follow(plan: PlanRoom): void {
    const room = this.#rooms.get(plan.id)!;
    for (const source of plan.sources) {
      if (source.kind !== "jsonl") continue;
      room.sources.push(
        followFile(source.path, this.#store.offset(source.path), (lines, at) =>
          this.#fromFile(plan.id, source, lines, at),
        ),
      );
    }
  }

  #fromFile(
    room: string,
    source: PlanSource & { kind: "jsonl" },
    lines: FollowedLine[],
    at: { inode: number; offset: number },
  ): void {
    const posts = lines.flatMap(({ text, key }) => {
      const post = fromJsonl(text);
      if (!post) return [];
      const draft: Draft = {
        room,
        from: source.from ?? post.from ?? source.path,
        type: post.type ?? "narrative",
        level: post.level ?? "info",
        msg: post.msg,
        tags: post.tags,
        data: post.data,
        key: `${source.path}:${key}`,
      };
      return [this.#queue(draft)];
    });
    Promise.all(posts)
      .then(() => this.#store.setOffset(source.path, at.inode, at.offset))
      .catch((error: unknown) => this.#trouble(String(error)));
  }

  #forward(room: string, after: number, limit: number, wanted: (stored: StoredLine) => boolean): StoredLine[] {
    const found: StoredLine[] = [];
    for (let seq = after; found.length < limit; ) {
      const page = this.#store.afterSeq(room, seq, 1_000);
      if (page.length === 0) break;
      found.push(...page.filter(wanted));
      seq = page.at(-1)!.line.seq;
    }
    return found.slice(0, limit);
  }

  #backward(room: string, after: number, count: number, wanted: (stored: StoredLine) => boolean): StoredLine[] {
    const found: StoredLine[] = [];
    for (let seq = Number.MAX_SAFE_INTEGER; found.length < count; ) {
      const page = this.#store.beforeSeq(room, seq, Math.min(1_000, Math.max(count, 50)));
      if (page.length === 0) break;
      found.push(...page.filter((stored) => stored.line.seq > after && wanted(stored)));
      seq = page.at(-1)!.line.seq;
      if (seq <= after + 1) break;
    }
    return found.slice(0, count);
  }

  /** The earliest place at which any of the cursors still wants something. */
  #placeOf(rooms: string[], after: Record<string, number>): number {
    const places = rooms.flatMap((room) => this.#store.positionBefore(room, after[room] ?? 0) ?? []);
    return places.length === 0 ? this.#store.head() : Math.min(...places);
  }

  #tellGaps(rooms: string[], after: Record<string, number>, watcher: Watcher): void {
    for (const room of rooms) {
      const from = (after[room] ?? 0) + 1;
      const to = this.#store.oldest(room) - 1;
      if (room in after && to >= from) watcher.tell(JSON.stringify({ gap: { room, from, to } }));
    }
  }

  #tellState(id: string, watcher: Watcher): void {
    const room = this.#rooms.get(id);
    for (const [session, { since, because }] of room?.stale ?? [])
      watcher.tell(JSON.stringify({ stale: { room: id, session, since, because } }));
    if (!room || room.ended) watcher.tell(JSON.stringify({ ended: { room: id } }));
  }

  #watching(room: string): Watcher[] {
    return [...this.#watchers].filter((watcher) => watcher.rooms.has(room));
  }

  #writable(id: string, from: Reader): Room {
    const room = this.#rooms.get(id);
    if (!room || room.ended) throw this.#unknown(id);
    if (!mayRead(room, from)) throw refused(id, from);
    return room;
  }

  /** Rooms by id, `*` for all the reader may see. One that has left the plan can still be read. */
  #readable(ids: readonly string[], reader: Reader): string[] {
    const known = new Set([...this.#rooms.keys(), ...this.#store.rooms()]);
    const wanted = ids.flatMap((id) => {
      if (id === "*") return [...this.#rooms.keys()].filter((each) => mayRead(this.#rooms.get(each), reader));
      if (!known.has(id)) throw this.#unknown(id);
      if (!mayRead(this.#rooms.get(id), reader)) throw refused(id, reader);
      return [id];
    });
    return [...new Set(wanted)];
  }

  #unknown(id: string): BosunError {
    const rooms = [...this.#rooms.values()].filter((room) => !room.ended).map((room) => room.plan.id);
    return new BosunError({
      code: "UNKNOWN_ROOM",
      what: `there is no room "${id}"`,
      why:
        rooms.length === 0
          ? "the floor plan has no rooms"
          : `the rooms are ${rooms.slice(0, 12).join(", ")}${rooms.length > 12 ? " …" : ""}`,
      fix: `add ${id}: {} under rooms: in the floor plan, then bosun up`,
    });
  }

  #end(room: Room): void {
    room.mirror?.close();
    for (const stop of room.sources) stop();
    room.sources = [];
  }

  #prune(): void {
    for (const { plan } of this.#rooms.values()) {
      const upTo = plan.keep.count === null ? 0 : this.#store.seq(plan.id) - plan.keep.count;
      const olderThanMs = plan.keep.ageMs === null ? 0 : this.#now() - plan.keep.ageMs;
      if (upTo > 0 || olderThanMs > 0) this.#store.prune(plan.id, upTo, olderThanMs, PRUNE_LINES);
    }
  }
}

function collects(source: PlanSource & { kind: "rooms" }, room: string, level: Level, tags: string[]): boolean {
  if (!source.rooms.includes(room) && !source.rooms.includes("*")) return false;
  const loud = source.level !== null && LEVELS.indexOf(level) >= LEVELS.indexOf(source.level as Level);
  return loud || source.tags.some((tag) => tags.includes(tag)) || (source.level === null && source.tags.length === 0);
}

/** A private room is its members'; the town's owner can look into it, as into its files. */
function mayRead(room: Room | undefined, reader: Reader): boolean {
  const members = room?.plan.private;
  return !members || members.includes(reader.name) || reader.role === "admin";
}

function refused(room: string, reader: Reader): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `${room} is private`,
    why: `${reader.name} is not one of its members`,
    fix: `add ${reader.name} to private: of ${room} in the floor plan`,
  });
}
