import { z } from "zod";
import { Id } from "./id-schema.ts";
import { defineOperation } from "./operation.ts";

/** How loud a line is; the order is ascending. */
export const LEVELS = ["debug", "info", "warn", "alert"] as const;
export const Level = z.enum(LEVELS);
export type Level = z.infer<typeof Level>;

/** The longest text of one line, in bytes of UTF-8: a screenful; longer things belong in files or messages. */
export const MAX_LINE_BYTES = 65_536;

/** One entry of a room, the same for everybody who reads it, in the feed, the JSONL mirror and on the wire. */
export const Line = z.strictObject({
  /** `<room>-<seq>`: the same id in the agent's pane, the mirror file and every view. */
  id: z.string(),
  /** Place in the room: 1, 2, 3 … without gaps. */
  seq: z.number().int(),
  room: Id,
  /** RFC 3339 in UTC with milliseconds, stamped by the coordinator; never runs backwards inside a room. */
  ts: z.string(),
  /** Who said it, from the credential. */
  from: z.string(),
  /** `narrative`, `alert`, `signal`, `status` … free. */
  type: z.string(),
  level: Level,
  msg: z.string(),
  tags: z.array(z.string()),
  data: z.unknown().optional(),
});
export type Line = z.infer<typeof Line>;

/** Which lines of the watched rooms are wanted. Each given field must match; within a field any of the values is enough. */
export const LineFilter = z.strictObject({
  /** Full id (`butterfly-spx`) or its first part (`butterfly`). */
  agent: z.array(z.string()).optional().describe("only lines from these agents"),
  tag: z.array(z.string()).optional().describe("only lines with one of these tags"),
  type: z.array(z.string()).optional(),
  level: Level.optional().describe("this level and louder"),
});
export type LineFilter = z.infer<typeof LineFilter>;

export const roomPost = defineOperation({
  name: "room.post",
  summary: "Say a line in a room",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    room: Id,
    /** The text. `content` is read as `msg`, the spelling of other systems. */
    msg: z.string().optional(),
    content: z.string().optional(),
    type: z.string().max(64).optional(),
    level: Level.optional(),
    tags: z.array(z.string().max(64)).max(32).optional(),
    data: z.unknown().optional(),
  }),
  output: z.strictObject({ id: z.string(), seq: z.number(), ts: z.string(), duplicate: z.boolean() }),
  errors: ["UNKNOWN_ROOM", "TOO_LARGE", "REFUSED"],
});

/** Rooms by id; `*` is every room the caller may read. */
const RoomsWanted = z.array(z.string()).min(1);

/** Cursors: the last `seq` already seen, per room. */
const After = z.record(z.string(), z.number().int().min(0));

export const roomRead = defineOperation({
  name: "room.read",
  summary: "Read a stretch of one or more rooms, merged in time order",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    rooms: RoomsWanted,
    after: After.optional(),
    /** RFC 3339; both ends included. */
    from: z.string().optional(),
    to: z.string().optional(),
    /** The newest `last` lines of what the other fields select. */
    last: z.number().int().min(0).max(100_000).optional(),
    limit: z.number().int().min(1).max(10_000).optional(),
    filter: LineFilter.optional(),
  }),
  output: z.strictObject({
    lines: z.array(Line),
    /** Per room the `seq` up to which this answer looked: ask again with it as `after`. */
    cursors: z.record(z.string(), z.number()),
    /** More lines wait behind `limit`. */
    more: z.boolean(),
    /** Rooms whose oldest kept line is younger than `after` asked for: how many lines are gone. */
    gone: z.record(z.string(), z.number()),
  }),
});

/** What a watcher receives after the answer. */
export const RoomEvent = z.union([
  z.strictObject({ line: Line }),
  /** Several lines at once, in order; a burst is sent so. */
  z.strictObject({ lines: z.array(Line) }),
  /** The agents that fill this room are down: what is shown is old. `since` is RFC 3339. */
  z.strictObject({
    stale: z.strictObject({ room: z.string(), session: z.string(), since: z.string(), because: z.string() }),
  }),
  z.strictObject({ live: z.strictObject({ room: z.string(), session: z.string() }) }),
  /** The room has left the floor plan; nothing more will come. */
  z.strictObject({ ended: z.strictObject({ room: z.string() }) }),
  /** Lines `from`…`to` of a room are no longer kept. */
  z.strictObject({ gap: z.strictObject({ room: z.string(), from: z.number(), to: z.number() }) }),
]);
export type RoomEvent = z.infer<typeof RoomEvent>;

export const roomWatch = defineOperation({
  name: "room.watch",
  summary: "Follow rooms live: a backlog, then every new line once and in order",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    rooms: RoomsWanted,
    /** Resume: everything after these cursors, then live. Without it: `last` lines, then live. */
    after: After.optional(),
    last: z.number().int().min(0).max(100_000).optional(),
    filter: LineFilter.optional(),
  }),
  output: z.strictObject({ rooms: z.array(z.string()) }),
  streams: RoomEvent,
  errors: ["UNKNOWN_ROOM", "REFUSED"],
});

export const RoomInfo = z.strictObject({
  room: z.string(),
  about: z.string(),
  /** Lines ever said. */
  seq: z.number(),
  /** Oldest line still kept. */
  oldest: z.number(),
  agents: z.array(z.string()),
  watchers: z.number(),
  lastAt: z.string().nullable(),
  /** Set while the room's session is down. */
  staleSince: z.string().nullable(),
  jsonl: z.string().nullable(),
  ended: z.boolean(),
});
export type RoomInfo = z.infer<typeof RoomInfo>;

export const roomList = defineOperation({
  name: "room.list",
  summary: "List the rooms",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.strictObject({ rooms: z.array(RoomInfo) }),
});
