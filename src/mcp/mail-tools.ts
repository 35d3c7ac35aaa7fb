import { z } from "zod";
import { type InboxMessage, MessageType, Outcome, Priority } from "../protocol/message.ts";
import { placeOf } from "./cursor.ts";
import {
  ADDS,
  ageS,
  Cursor,
  type Facts,
  Limit,
  MAX_CHARS,
  MaxChars,
  present,
  READS,
  SETS,
  tool,
  WaitS,
} from "./tool.ts";

const WHO = { UNKNOWN_AGENT: "call session_list to see who is there" };

export const messageSend = tool({
  name: "message_send",
  about: "Write to agents (id), people, @group, #topic, * (all) or any:CAPABILITY",
  hints: ADDS,
  next: { ...WHO, NOT_FOUND: "call inbox_read for the ids of your messages" },
  input: z.strictObject({
    to: z.array(z.string().min(1).max(256)).min(1).max(100),
    subject: z.string().max(512),
    body: z.string().max(65_536),
    type: MessageType.optional(),
    reply_to: z.string().optional().describe("message id"),
    priority: Priority.optional(),
    ack: z.boolean().optional().describe("ask for message_ack"),
    data: z.json().optional(),
    ttl_s: z.number().positive().max(31_536_000).optional(),
    key: z.string().min(1).max(128).optional().describe("same key: sent once"),
  }),
  async run({ to, subject, body, type, reply_to, priority, ack, data, ttl_s, key }, guest) {
    const sent = await (await guest.caller()).call(
      "message.send",
      {
        to,
        subject,
        body,
        ...(type && { type }),
        ...(reply_to !== undefined && { inReplyTo: reply_to }),
        ...(priority && { priority }),
        ...(ack !== undefined && { ack }),
        ...(data !== undefined && { data }),
        ...(ttl_s !== undefined && { ttlS: ttl_s }),
      },
      key === undefined ? {} : { key },
    );
    return { id: sent.id, thread: sent.thread, recipients: sent.recipients, duplicate: sent.duplicate };
  },
});

/** One message for a list; a body only when the operation gave one. */
function line(message: InboxMessage): Facts {
  return present({
    id: message.id,
    from: message.from,
    subject: message.subject,
    type: message.type === "notification" ? null : message.type,
    prio: message.priority,
    thread: message.thread,
    age_s: ageS(message.ts),
    ack: message.ack && message.state !== "acked" ? "wanted" : null,
    task: message.task,
    data: message.body === undefined ? null : message.data,
    cut: message.cut || null,
    body: message.body,
  });
}

export const inboxRead = tool({
  name: "inbox_read",
  about: "Your unread mail; bodies only when asked for, which marks them read",
  hints: SETS,
  mailLine: false,
  input: z.strictObject({
    bodies: z.boolean().optional(),
    max_chars: MaxChars.describe("of each body, default 2000"),
    priority: Priority.optional(),
    wait_s: WaitS.describe("wait for mail"),
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ bodies, max_chars, priority, wait_s, cursor, limit }, guest) {
    const caller = await guest.caller();
    const page = await caller.call("message.inbox", {
      unread: true,
      bodies: bodies ?? false,
      ...(bodies && { maxChars: max_chars ?? MAX_CHARS }),
      ...(priority && { priority: [priority] }),
      ...(wait_s && { waitMs: Math.round(wait_s * 1000) }),
      ...placeOf(cursor),
      limit: limit ?? 20,
    });
    const now =
      page.next === null ? null : await caller.call("message.inbox", { unread: true, bodies: false, limit: 1 });
    const left = now === null ? 0 : bodies ? now.unread : Math.max(0, now.unread - page.messages.length);
    return present({ messages: page.messages.map(line), next: page.next?.toString(), left });
  },
});

export const messageAck = tool({
  name: "message_ack",
  about: "Say that mail has been dealt with",
  hints: SETS,
  next: { NOT_FOUND: "call inbox_read for the ids of your messages" },
  input: z.strictObject({
    ids: z.array(z.string()).min(1).max(100),
    outcome: Outcome,
    note: z.string().max(4096).optional(),
  }),
  async run({ ids, outcome, note }, guest) {
    const input = { ids, outcome, ...(note !== undefined && { note }) };
    return { acked: (await (await guest.caller()).call("message.ack", input)).acked };
  },
});

export const threadRead = tool({
  name: "thread_read",
  about: "A whole conversation, oldest first",
  hints: READS,
  next: { NOT_FOUND: "call inbox_read or search for ids" },
  input: z.strictObject({
    thread: z.string().describe("thread id or any message id"),
    max_chars: MaxChars,
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ thread, max_chars, cursor, limit }, guest) {
    const page = await (await guest.caller()).call("message.thread", {
      id: thread,
      maxChars: max_chars ?? MAX_CHARS,
      ...placeOf(cursor),
      limit: limit ?? 20,
    });
    return present({ messages: page.messages.map(line), next: page.next?.toString() });
  },
});

export const search = tool({
  name: "search",
  about: "Full-text search in mail and memory, newest first",
  hints: READS,
  input: z.strictObject({
    query: z.string().min(1).max(512).describe('words; "a phrase"; prefix*'),
    in: z.array(z.enum(["message", "memory"])).optional(),
    since: z.iso.datetime({ offset: true }).optional().describe("RFC 3339"),
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ query, in: places, since, cursor, limit }, guest) {
    const page = await (await guest.caller()).call("search.text", {
      query,
      ...(places && { in: places }),
      ...(since && { since }),
      ...placeOf(cursor),
      limit: limit ?? 20,
    });
    return present({
      hits: page.hits.map(({ kind, id, line: found, from, at }) => ({ kind, id, line: found, from, at })),
      next: page.next?.toString(),
    });
  },
});
