import type { ErrorBody } from "../../protocol/error.ts";
import type { PlanRoom, PlanSource } from "../../protocol/plan.ts";
import { LEVELS, type Level, MAX_LINE_BYTES } from "../../protocol/room.ts";
import { sanitise } from "../../protocol/text.ts";
import type { PostInput } from "./compose.ts";
import { FileFollower } from "./follow.ts";
import type { FileMark } from "./store.ts";

interface Said {
  from: string;
  input: PostInput;
}

export interface SourceWorld {
  /** Stores the lines and the mark in one transaction. */
  say: (said: Said[], mark: FileMark | null) => Promise<void>;
  mark: (source: string) => FileMark | null;
  saveMark: (mark: FileMark) => void;
  report: (trouble: ErrorBody) => void;
}

type PaneSource = Extract<PlanSource, { kind: "pane" }>;

/** Lines that come into rooms by themselves: from what panes print and from files that programs append to. */
export class Sources {
  readonly #world: SourceWorld;
  #panes: { room: string; source: PaneSource; pattern: RegExp }[] = [];
  readonly #texts = new Map<string, PaneText>();
  readonly #followers = new Map<string, { follower: FileFollower; from: string | null }>();

  /** Followers on their way out; the store stays open for them. */
  readonly #leaving: Promise<void>[] = [];

  constructor(world: SourceWorld) {
    this.#world = world;
  }

  declare(rooms: PlanRoom[]): void {
    this.#panes = rooms.flatMap((room) =>
      room.sources.flatMap((source) => {
        const pattern = source.kind === "pane" ? this.#patternOf(room.id, source) : null;
        return source.kind === "pane" && pattern ? [{ room: room.id, source, pattern }] : [];
      }),
    );
    for (const key of this.#texts.keys()) {
      const [session] = JSON.parse(key) as [string];
      if (!this.#panes.some(({ source }) => source.session === session)) this.#texts.delete(key);
    }
    this.#declareFiles(rooms);
  }

  #patternOf(room: string, source: PaneSource): RegExp | null {
    try {
      return new RegExp(source.pattern, "u");
    } catch (error) {
      this.#world.report({
        code: "PLAN_INVALID",
        what: `the pattern of room "${room}" over session "${source.session}" cannot be used`,
        why: error instanceof Error ? error.message : String(error),
        fix: "correct `pattern` in the floor plan, then `bosun up`",
      });
      return null;
    }
  }

  #declareFiles(rooms: PlanRoom[]): void {
    const mirrors = new Set(rooms.map((room) => room.jsonl?.path));
    const wanted = new Map<string, { room: string; path: string; from: string | null }>();
    for (const room of rooms) {
      for (const source of room.sources) {
        if (source.kind !== "jsonl") continue;
        if (mirrors.has(source.path)) this.#tellCircle(room.id, source.path);
        else wanted.set(`${room.id}:${source.path}`, { room: room.id, path: source.path, from: source.from });
      }
    }
    for (const [key, { follower }] of this.#followers) {
      if (wanted.has(key)) continue;
      this.#followers.delete(key);
      this.#leaving.push(follower.close());
    }
    for (const [key, { room, path, from }] of wanted) {
      const known = this.#followers.get(key);
      if (known) known.from = from;
      else this.#follow(key, room, path, from);
    }
  }

  #follow(key: string, room: string, path: string, from: string | null): void {
    const follower = new FileFollower(path, this.#world.mark(key), {
      take: (lines, mark) => {
        const name = this.#followers.get(key)?.from ?? from;
        return this.#world.say(
          lines.flatMap((line) => saidByJson(room, path, name, line) ?? []),
          { ...mark, source: key },
        );
      },
      saveMark: (mark) => this.#world.saveMark({ ...mark, source: key }),
      report: this.#world.report,
    });
    this.#followers.set(key, { follower, from });
  }

  #tellCircle(room: string, path: string): void {
    this.#world.report({
      code: "PLAN_INVALID",
      what: `room "${room}" does not follow ${path}`,
      why: "a room's mirror is written there: each line would come back as a new one",
      fix: "let the programs write to another file, or remove the source from the floor plan",
    });
  }

  feedPaneOutput(session: string, agent: string | null, bytes: Uint8Array): void {
    const heard = this.#panes.filter(
      ({ source }) => source.session === session && (source.agent === null || source.agent === agent),
    );
    if (heard.length === 0) return;
    const key = JSON.stringify([session, agent]);
    const text = this.#texts.get(key) ?? new PaneText();
    this.#texts.set(key, text);
    const said = text
      .push(bytes)
      .flatMap((line) =>
        heard.flatMap(({ room, source, pattern }) => saidByPane(room, source, pattern, agent, line) ?? []),
      );
    if (said.length === 0) return;
    this.#world.say(said, null).catch((error: unknown) =>
      this.#world.report({
        code: "FAILED",
        what: `lines printed by "${session}" were not stored`,
        why: String(error),
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#leaving, ...[...this.#followers.values()].map(({ follower }) => follower.close())]);
    this.#followers.clear();
  }
}

/** What a printed line says in a room, or null when it does not match or holds nothing. */
function saidByPane(
  room: string,
  source: PaneSource,
  pattern: RegExp,
  agent: string | null,
  line: string,
): Said | null {
  const match = pattern.exec(line);
  const msg = match ? cut(match[1] ?? match[0]) : "";
  if (msg.trim() === "") return null;
  const level = levelOf(source.level);
  return { from: agent ?? source.session, input: { room, msg, tags: source.tags, ...(level && { level }) } };
}

/**
 * What a line of a file says in a room: a JSON object with `msg` or `content`, or plain text as it stands. `from` of the
 * source wins over the line's own, else its `from` or `agent`, else the file's name. Null for an empty line.
 */
function saidByJson(room: string, path: string, from: string | null, line: string): Said | null {
  const object = objectOf(line);
  const text = (name: string): string | null => (typeof object?.[name] === "string" ? (object[name] as string) : null);
  const msg = cut(object ? (text("msg") ?? text("content") ?? line) : line);
  if (msg.trim() === "") return null;
  const level = levelOf(text("level"));
  const type = text("type")?.slice(0, 64);
  const tags = Array.isArray(object?.tags) ? object.tags.filter((tag) => typeof tag === "string").slice(0, 32) : [];
  const data = object?.data;
  const fits = data !== undefined && Buffer.byteLength(JSON.stringify(data)) <= MAX_LINE_BYTES;
  return {
    from: from ?? text("from") ?? text("agent") ?? path.slice(path.lastIndexOf("/") + 1),
    input: {
      room,
      msg,
      tags: tags.map((tag) => tag.slice(0, 64)),
      ...(level && { level }),
      ...(type && { type }),
      ...(fits && { data }),
    },
  };
}

function objectOf(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    // Plain text is said as it stands.
    return null;
  }
}

function levelOf(text: string | null): Level | null {
  return LEVELS.find((level) => level === text) ?? null;
}

/** Clean text; what a room would refuse as too long is shown by its beginning, since nobody is there to be told. */
function cut(text: string): string {
  const clean = sanitise(text.toWellFormed());
  if (Buffer.byteLength(clean) <= MAX_LINE_BYTES) return clean;
  const beginning = Buffer.from(clean).subarray(0, MAX_LINE_BYTES - 8);
  return `${new TextDecoder().decode(beginning).replace(/\ufffd+$/, "")} …`;
}

/** Unfinished output is cut into lines at this length, in characters. */
const LONGEST_UNFINISHED = 65_536;

/** Erasing the line, seen from its start: what stood there is gone. */
const ERASE_LINE = /\x1b\[[012]?K/;
/** Going to another row starts another line: `CSI … H f d E F` and reverse line feed. */
const OTHER_ROW = /\x1b\[[\d;]*[HfdEF]|\x1bM/g;

/** Raw pane bytes as lines of plain text: chunks may end anywhere, escapes go, a carriage return overwrites. */
export class PaneText {
  readonly #decoder = new TextDecoder("utf-8");
  #unfinished = "";

  /** The lines that these bytes finish. */
  push(bytes: Uint8Array): string[] {
    const raw = (this.#unfinished + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#unfinished = raw.pop()!;
    if (this.#unfinished.length > LONGEST_UNFINISHED) {
      raw.push(this.#unfinished);
      this.#unfinished = "";
    }
    return raw.flatMap((line) => line.split(OTHER_ROW).map(shownLine)).filter((line) => line.trim() !== "");
  }
}

/** What a terminal shows of one printed line. */
function shownLine(raw: string): string {
  let shown = "";
  for (const [at, part] of raw.split("\r").entries()) {
    if (at > 0 && ERASE_LINE.test(part)) shown = "";
    const over = sanitise(part);
    shown = over + shown.slice(over.length);
  }
  return shown.trimEnd();
}
