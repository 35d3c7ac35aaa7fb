import { z } from "zod";
import { BosunError } from "../protocol/error.ts";
import { MemoryType } from "../protocol/memory.ts";
import { type InboxMessage, MessageType } from "../protocol/message.ts";
import { sanitise } from "../protocol/text.ts";
import { ADDS, type Facts, READS, REPLACES, SETS, tool } from "./tool.ts";

/**
 * The nine tools of the server this one replaces, with its arguments and the shape of its replies. There one server spoke for
 * every session, so each names who speaks: believed of a person, of an agent only when it is itself.
 */

const Id = z.string().min(1).max(256);
const ORIGINAL = { asJson: true, mailLine: false } as const;

const sessionRegister = tool({
  ...ORIGINAL,
  name: "session_register",
  about: "Register a session",
  hints: SETS,
  next: { CONFLICT: "call session_register with another session_id" },
  input: z.strictObject({
    session_id: Id,
    agent_name: z.string().min(1).max(128),
    agent_type: z.string().min(1).max(64),
    human_user: z.string().max(128).optional(),
    capabilities: z.array(z.string().min(1).max(64)).max(64).optional(),
  }),
  async run({ session_id, agent_name, agent_type, human_user, capabilities }, guest) {
    const session = await guest.open({
      id: session_id,
      name: agent_name,
      type: agent_type,
      ...(human_user && { user: human_user }),
      ...(capabilities && { capabilities }),
    });
    return { success: true, message: `Session ${session_id} registered`, session };
  },
});

const sessionList = tool({
  ...ORIGINAL,
  name: "session_list",
  about: "List sessions",
  hints: READS,
  input: z.strictObject({ include_offline: z.boolean().optional() }),
  async run({ include_offline }, guest) {
    const { sessions } = await (await guest.caller()).call("agent.list", { all: include_offline ?? false, limit: 200 });
    return { sessions, count: sessions.length };
  },
});

const sessionPing = tool({
  ...ORIGINAL,
  name: "session_ping",
  about: "Ping a session",
  hints: ADDS,
  next: { UNKNOWN_AGENT: "call session_list to see who is there" },
  input: z.strictObject({ from_session: Id, to_session: Id }),
  async run({ from_session, to_session }, guest) {
    const pinged = await (await guest.as(from_session)).call("message.ping", { to: to_session });
    return { success: pinged.alive !== false, message: pinged.evidence, signal: pinged.signal };
  },
});

const collabSend = tool({
  ...ORIGINAL,
  name: "collab_send",
  about: "Send a message to a session",
  hints: ADDS,
  next: { UNKNOWN_AGENT: "call session_list to see who is there" },
  input: z.strictObject({
    from_session: Id,
    to_session: Id,
    message_type: MessageType.optional(),
    subject: z.string().max(512),
    body: z.string().max(65_536),
    data: z.record(z.string(), z.json()).optional(),
  }),
  async run({ from_session, to_session, message_type, subject, body, data }, guest) {
    const sent = await (await guest.as(from_session)).call("message.send", {
      to: [to_session],
      subject,
      body,
      type: message_type ?? "request",
      ...(data && { data }),
    });
    const message = { message_id: sent.id, from_session, to_session, timestamp: sent.ts };
    return { success: true, message, signal: sent.signal };
  },
});

const collabBroadcast = tool({
  ...ORIGINAL,
  name: "collab_broadcast",
  about: "Send a message to every session",
  hints: ADDS,
  input: z.strictObject({ from_session: Id, subject: z.string().max(512), body: z.string().max(65_536) }),
  async run({ from_session, subject, body }, guest) {
    const caller = await guest.as(from_session);
    const sent = await caller.call("message.send", { to: ["*"], subject, body, type: "broadcast" });
    const message = { message_id: sent.id, from_session, to_session: null, timestamp: sent.ts };
    return { success: true, message, signal: sent.signal };
  },
});

function originalMessage(message: InboxMessage): Facts {
  return {
    message_id: message.id,
    type: message.type,
    from_session: message.from,
    to_session: message.type === "broadcast" ? null : message.to,
    subject: sanitise(message.subject),
    body: message.body ?? "",
    data: message.data ?? {},
    timestamp: message.ts,
    in_reply_to: message.in_reply_to,
  };
}

const collabGetMessages = tool({
  ...ORIGINAL,
  name: "collab_get_messages",
  about: "Messages sent to a session",
  hints: SETS,
  input: z.strictObject({ session_id: Id, message_type: MessageType.optional() }),
  async run({ session_id, message_type }, guest) {
    const { messages } = await (await guest.as(session_id)).call("message.inbox", {
      bodies: true,
      last: 100,
      ...(message_type && { type: [message_type] }),
    });
    return { messages: messages.map(originalMessage), count: messages.length };
  },
});

const Key = z
  .string()
  .min(1)
  .max(512)
  .refine((key) => !/[\p{Cc}]/u.test(key), "must not contain control characters");
const Tags = z.array(z.string().min(1).max(64)).max(64).optional();

const memorySet = tool({
  ...ORIGINAL,
  name: "memory_set",
  about: "Store a value",
  hints: REPLACES,
  input: z.strictObject({
    session_id: Id,
    key: Key,
    value: z.json(),
    memory_type: MemoryType.optional(),
    tags: Tags,
  }),
  async run({ session_id, key, value, memory_type, tags }, guest) {
    const type = memory_type ?? "state";
    const set = await (await guest.as(session_id)).call("memory.set", { key, value, type, ...(tags && { tags }) });
    const entry = { entry_id: set.id, key, type, session_id, timestamp: set.ts };
    return { success: true, entry };
  },
});

const memoryGet = tool({
  ...ORIGINAL,
  name: "memory_get",
  about: "Read a value",
  hints: READS,
  input: z.strictObject({ key: z.string().min(1).max(512) }),
  async run({ key }, guest) {
    try {
      const { value } = await (await guest.caller()).call("memory.get", { key });
      return { found: true, key, value };
    } catch (error) {
      if (error instanceof BosunError && error.code === "NOT_FOUND") return { found: false, key, value: null };
      throw error;
    }
  },
});

const memorySearch = tool({
  ...ORIGINAL,
  name: "memory_search",
  about: "Find values by pattern, tags or session",
  hints: READS,
  input: z.strictObject({ pattern: z.string().max(512).optional(), tags: Tags, session_id: Id.optional() }),
  async run({ pattern, tags, session_id }, guest) {
    const { entries } = await (await guest.caller()).call("memory.search", {
      ...(pattern && { pattern }),
      ...(tags && { tags }),
      ...(session_id && { session: session_id }),
      limit: 200,
    });
    const originals = entries.map((entry) => ({
      entry_id: entry.id,
      type: entry.type,
      key: entry.key,
      value: entry.value ?? null,
      session_id: entry.by,
      timestamp: entry.ts,
      tags: entry.tags,
      metadata: entry.metadata,
    }));
    return { entries: originals, count: entries.length };
  },
});

export const ORIGINAL_TOOLS = [
  sessionRegister,
  sessionList,
  sessionPing,
  collabSend,
  collabBroadcast,
  collabGetMessages,
  memorySet,
  memoryGet,
  memorySearch,
];
