import { z } from "zod";
import { BosunError } from "../protocol/error.ts";
import { Level } from "../protocol/room.ts";
import { packed, unpacked } from "./cursor.ts";
import type { Caller, Guest } from "./guest.ts";
import { ADDS, Cursor, type Facts, Limit, present, READS, tool, WaitS } from "./tool.ts";

const ROOMS = { UNKNOWN_ROOM: "call feed_read without room: it names the rooms" };
/** How long an answer is waited for, unless the call says. */
const ASK_WAIT_S = 30;

export const feedPost = tool({
  name: "feed_post",
  about: "Say a line in a room for those who watch",
  hints: ADDS,
  next: ROOMS,
  input: z.strictObject({
    text: z.string().min(1).max(65_536),
    room: z.string().max(64).optional().describe("default your own"),
    level: Level.optional(),
    data: z.json().optional(),
  }),
  async run({ text, room, level, data }, guest) {
    const wanted = room ?? guest.room;
    if (wanted === null) {
      throw new BosunError({
        code: "USAGE",
        what: "room is missing: you have none of your own",
        fix: ROOMS.UNKNOWN_ROOM,
      });
    }
    const line = { room: wanted, msg: text, ...(level && { level }), ...(data !== undefined && { data }) };
    const { id } = await (await guest.caller()).call("room.post", line);
    return { id };
  },
});

export const feedRead = tool({
  name: "feed_read",
  about: "Lines of a room, or of all; next is where to go on later",
  hints: READS,
  next: ROOMS,
  input: z.strictObject({
    room: z.string().max(64).optional(),
    since: z.iso.datetime({ offset: true }).optional().describe("RFC 3339"),
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ room, since, cursor, limit }, guest) {
    const caller = await guest.caller();
    const count = limit ?? 20;
    const page = await caller.call("room.read", {
      rooms: [room ?? "*"],
      ...(since && { from: since }),
      ...(cursor ? { after: unpacked(cursor), limit: count } : since ? { limit: count } : { last: count }),
    });
    const rooms = room === undefined ? (await caller.call("room.list", {})).rooms.map((each) => each.room) : null;
    return present({
      rooms,
      lines: page.lines.map(({ id, ts, from, level, msg, data }) =>
        present({ id, at: ts, from, level: level === "info" ? null : level, data, text: msg }),
      ),
      next: packed(page.cursors),
    });
  },
});

export const ask = tool({
  name: "ask",
  about: "Ask an agent and wait for its answer",
  hints: ADDS,
  next: { UNKNOWN_AGENT: "call session_list to see who is there" },
  input: z.strictObject({ to: z.string().min(1).max(256), command: z.string().min(1).max(65_536), wait_s: WaitS }),
  async run({ to, command, wait_s }, guest) {
    const timeoutMs = Math.max(1, Math.round((wait_s ?? ASK_WAIT_S) * 1000));
    try {
      const given = await (await guest.caller()).call("ask.send", { agent: to, text: command, timeoutMs });
      return { id: given.ask, state: "answered", from: given.agent, answer: given.answer };
    } catch (error) {
      if (!(error instanceof BosunError)) throw error;
      const why = error.message;
      if (error.code === "TIMEOUT") return { state: "pending", why };
      if (error.code === "REFUSED") return { state: "refused", why };
      throw error;
    }
  },
});

export const handoff = tool({
  name: "handoff",
  about: "Give a task to another, or take one that is offered to you",
  hints: ADDS,
  next: {
    UNKNOWN_AGENT: "call session_list to see who is there",
    NOT_FOUND: "call handoff with action list for what is offered to you",
    CONFLICT: "somebody was faster: call handoff with action list",
  },
  input: z.strictObject({
    action: z.enum(["offer", "accept", "decline", "list"]),
    to: z.string().min(1).max(256).optional(),
    task: z.string().min(1).max(256).optional(),
    state: z.string().max(65_536).optional().describe("of an offer: where the work stands"),
    id: z.string().optional().describe("of accept, decline: the offer"),
  }),
  async run({ action, to, task, state, id }, guest) {
    const caller = await guest.caller();
    if (action === "list") return { state: "listed", offers: await offers(caller, guest) };
    if (action === "offer") {
      if (to === undefined || task === undefined) throw missing("offer", "to and task");
      const type = (await isMine(caller, guest, task)) ? "handoff" : "task_offer";
      const sent = await caller.call("message.send", { to: [to], subject: task, body: state ?? "", type, task });
      return { id: sent.id, state: type === "handoff" ? "handed over" : "offered", offers: [] };
    }
    if (id === undefined) throw missing(action, "id");
    const outcome = action === "accept" ? "accepted" : "declined";
    await caller.call("message.ack", { ids: [id], outcome });
    return { id, state: outcome, offers: [] };
  },
});

async function offers(caller: Caller, guest: Guest): Promise<Facts[]> {
  const { tasks } = await caller.call("task.list", { offeredTo: await guest.self(), state: ["offered"], limit: 50 });
  return tasks.map((each) => ({
    id: each.message,
    task: each.task,
    title: each.title,
    by: each.by,
    since: each.since,
  }));
}

/** One's own task changes hands; any other is on offer until somebody takes it. */
async function isMine(caller: Caller, guest: Guest, task: string): Promise<boolean> {
  try {
    const known = await caller.call("task.show", { task });
    return known.task.state === "accepted" && known.task.owner === (await guest.self());
  } catch (error) {
    if (error instanceof BosunError && error.code === "NOT_FOUND") return false;
    throw error;
  }
}

export const lease = tool({
  name: "lease",
  about: "Hold names (files, keys) alone for a time, so that two do not do the same work",
  hints: { ...ADDS, idempotentHint: true },
  next: { NOT_FOUND: "call lease with action acquire", CONFLICT: "call lease with action list for who holds it" },
  input: z.strictObject({
    action: z.enum(["acquire", "renew", "release", "list"]),
    names: z.array(z.string().min(1).max(256)).min(1).max(100).optional(),
    shared: z.boolean().optional(),
    ttl_s: z.number().positive().max(86_400).optional().describe("default 60"),
    why: z.string().max(512).optional(),
  }),
  async run({ action, names, shared, ttl_s, why }, guest) {
    const caller = await guest.caller();
    if (action === "list") return { held: await leases(caller, names), conflicts: [] };
    if (names === undefined) throw missing(action, "names");
    const ttl = ttl_s === undefined ? {} : { ttlS: ttl_s };
    if (action === "release") return { ...(await caller.call("lease.release", { names })) };
    if (action === "renew") return held((await caller.call("lease.renew", { names, ...ttl })).held);
    try {
      const wish = { names, ...ttl, ...(shared !== undefined && { shared }), ...(why !== undefined && { why }) };
      return held((await caller.call("lease.acquire", wish)).held);
    } catch (error) {
      // Somebody else having it is what one wants to know, not a failure.
      if (!(error instanceof BosunError && error.code === "CONFLICT")) throw error;
      return { held: [], conflicts: await leases(caller, names), why: error.message };
    }
  },
});

interface Held {
  name: string;
  holder: string;
  token: number;
  expires: string;
  why: string;
}

function held(list: readonly Held[]): Facts {
  return { held: list.map(({ name, token, expires }) => ({ name, token, expires })), conflicts: [] };
}

async function leases(caller: Caller, names: readonly string[] | undefined): Promise<Facts[]> {
  const found = await caller.call("lease.list", {});
  return found.leases
    .filter((each) => names === undefined || names.some((name) => overlap(name, each.name)))
    .map(({ name, holder, token, expires, why }) => ({ name, holder, token, expires, why }));
}

/** A name with `*` may mean another; without, only itself or a pattern in whose reach it is. */
function overlap(one: string, other: string): boolean {
  const fixed = (name: string): string => name.split(/[*?[]/, 1)[0]!;
  if (fixed(one) === one && fixed(other) === other) return one === other;
  return fixed(one).startsWith(fixed(other)) || fixed(other).startsWith(fixed(one));
}

function missing(action: string, what: string): BosunError {
  return new BosunError({ code: "USAGE", what: `${action} needs ${what}`, fix: `call it again with ${what}` });
}
