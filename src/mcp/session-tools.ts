import { z } from "zod";
import { BosunError } from "../protocol/error.ts";
import { AgentStatus } from "../protocol/registry.ts";
import type { Caller } from "./guest.ts";
import { ageS, Cursor, type Facts, Limit, present, READS, SETS, tool } from "./tool.ts";

/** Key of what an agent leaves for whoever goes on. */
export function handoffKey(agent: string): string {
  return `handoff/${agent}`;
}

/** The newest value of a key, or undefined when there is none. */
export async function valueAt(caller: Caller, key: string): Promise<unknown> {
  try {
    return (await caller.call("memory.get", { key })).value;
  } catch (error) {
    if (error instanceof BosunError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** Memory entries with this tag are shown to everybody who opens a session. */
const PIN_TAG = "pin";
const PINS = 10;

export const sessionOpen = tool({
  name: "session_open",
  about: "Start here, again after a restart: who you are, unread mail, the last handoff, pinned memory",
  hints: SETS,
  mailLine: false,
  input: z.strictObject({
    name: z.string().min(1).max(128).optional(),
    capabilities: z.array(z.string().min(1).max(64)).max(64).optional(),
  }),
  next: { CONFLICT: "call session_open with another name" },
  async run({ name, capabilities }, guest) {
    const agent = await guest.open({ ...(name && { name }), ...(capabilities && { capabilities }) });
    const caller = await guest.caller();
    const self = await guest.self();
    const mail = await caller.call("message.inbox", { unread: true, bodies: false, limit: 1 });
    const pins = await caller.call("memory.search", { tags: [PIN_TAG], limit: PINS });
    return present({
      session: self,
      agent: agent?.agent_name ?? `${self} (a person)`,
      room: guest.room,
      task: agent?.current_task,
      unread: mail.unread,
      urgent: mail.urgent,
      handoff: await valueAt(caller, handoffKey(self)),
      pins: pins.entries.map(({ key, value, rev }) => ({ key, value, rev })),
    });
  },
});

/** `task (40%)` is how progress is shown everywhere else. */
function withProgress(task: string | null, progress: number | undefined): string | null {
  if (progress === undefined) return task;
  return `${(task ?? "").replace(/ ?\(\d+%\)$/, "")} (${progress}%)`.trim();
}

export const sessionStatus = tool({
  name: "session_status",
  about: "Say what you do; also a sign of life",
  hints: SETS,
  input: z.strictObject({
    status: AgentStatus,
    task: z.string().max(500).optional(),
    progress: z.number().int().min(0).max(100).optional().describe("percent"),
  }),
  next: { UNKNOWN_AGENT: "call session_open" },
  async run({ status, task, progress }, guest) {
    const caller = await guest.caller();
    const before = task ?? (progress === undefined ? null : (await caller.call("agent.ping", {})).agent.current_task);
    const said = task === undefined && progress === undefined ? {} : { task: withProgress(before, progress) };
    const { agent } = await caller.call("agent.status", { status, ...said });
    return present({ status: agent.status, task: agent.current_task, since: agent.since });
  },
});

export const sessionList = tool({
  name: "session_list",
  about: "Who is there and what they do",
  hints: READS,
  input: z.strictObject({
    query: z.string().max(256).optional().describe("part of id, name or task"),
    capability: z.string().max(64).optional(),
    group: z.string().max(64).optional(),
    status: AgentStatus.optional().describe("offline: who was there"),
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ query, capability, group, status, cursor, limit }, guest) {
    const answer = await (await guest.caller()).call("agent.list", {
      ...(query && { query }),
      ...(capability && { capability: [capability] }),
      ...(group && { group }),
      ...(status && { status: [status], all: status === "offline" }),
      ...(cursor && { after: cursor }),
      limit: limit ?? 50,
    });
    return present({
      sessions: answer.sessions.map((agent) =>
        present({
          id: agent.session_id,
          agent: agent.agent_name,
          type: agent.agent_type,
          room: agent.session,
          status: agent.status,
          task: agent.current_task,
          capabilities: agent.capabilities.length > 0 ? agent.capabilities : null,
          seen_s: ageS(agent.last_ping),
        }),
      ),
      next: answer.next,
    });
  },
});

export const sessionClose = tool({
  name: "session_close",
  about: "End your work: what you leave is stored and shown at the next session_open",
  hints: SETS,
  mailLine: false,
  input: z.strictObject({
    summary: z.string().max(20_000),
    next: z.string().max(20_000).describe("what to do first when work goes on"),
    todos: z.array(z.string().max(2_000)).max(100).optional(),
    facts: z.record(z.string().min(1).max(200), z.json()).optional().describe("memory key: value to keep"),
  }),
  async run({ summary, next, todos, facts }, guest) {
    const caller = await guest.caller();
    const self = await guest.self();
    const kept: string[] = [];
    for (const [key, value] of Object.entries(facts ?? {})) {
      await caller.call("memory.set", { key, value, type: "fact" });
      kept.push(key);
    }
    const value = { summary, next, todos: todos ?? [], facts: kept };
    const stored = await caller.call("memory.set", { key: handoffKey(self), value, type: "context" });
    const gone = await leave(caller);
    const answer: Facts = { handoff_id: handoffKey(self), rev: stored.rev, facts: kept.length };
    return gone ? { ...answer, status: "offline" } : answer;
  },
});

/** False for people: they have no status to change. */
async function leave(caller: Caller): Promise<boolean> {
  try {
    await caller.call("agent.status", { status: "offline" });
    return true;
  } catch (error) {
    if (error instanceof BosunError && ["UNKNOWN_AGENT", "REFUSED", "USAGE"].includes(error.code)) return false;
    throw error;
  }
}
