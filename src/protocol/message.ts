import { z } from "zod";
import { defineOperation } from "./operation.ts";

/** The longest message body, in bytes of UTF-8; longer things are files. */
export const MAX_BODY_BYTES = 65_536;

export const messageSend = defineOperation({
  name: "message.send",
  summary: "Write to an agent, a person or a group",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    to: z.array(z.string()).min(1),
    subject: z.string().max(512),
    body: z.string(),
    type: z.string().max(64).optional(),
    priority: z.enum(["critical", "important", "normal", "low"]).optional(),
    /** Any JSON, as text; kept byte for byte. */
    dataJson: z.string().optional(),
    inReplyTo: z.string().optional(),
  }),
  output: z.looseObject({
    id: z.string(),
    thread: z.string(),
    recipients: z.array(z.string()),
    seq: z.number(),
    duplicate: z.boolean(),
  }),
  errors: ["UNKNOWN_AGENT", "TOO_LARGE"],
});

export const InboxMessage = z.looseObject({
  id: z.string(),
  from: z.string(),
  to: z.string(),
  type: z.string(),
  subject: z.string(),
  priority: z.string(),
  thread: z.string(),
  in_reply_to: z.string().nullable(),
  ts: z.string(),
  state: z.enum(["queued", "presented", "acked"]),
  body: z.string().optional(),
  data: z.unknown().optional(),
});

export const messageInbox = defineOperation({
  name: "message.inbox",
  summary: "Mail of an agent or person, newest last; handing over a body marks it presented",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    who: z.string().optional(),
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(1000).optional(),
    unread: z.boolean().optional(),
    bodies: z.boolean().optional(),
  }),
  output: z.looseObject({ unread: z.number(), messages: z.array(InboxMessage), next: z.number().nullable() }),
});

export const messageAck = defineOperation({
  name: "message.ack",
  summary: "Close mail: it has been dealt with",
  effect: "write",
  role: "agent",
  input: z.strictObject({ ids: z.array(z.string()).min(1) }),
  output: z.looseObject({ acked: z.array(z.string()) }),
  errors: ["NOT_FOUND"],
});

/** One hop of a line or a question on its way, for people. */
export const Hop = z.strictObject({ from: z.string(), to: z.string(), by: z.string(), because: z.string() });

export const askAgent = defineOperation({
  name: "ask.send",
  summary: "Ask an agent and wait for its answer",
  effect: "write",
  role: "viewer",
  input: z.strictObject({
    agent: z.string().describe("agent id, its first part, or room/agent"),
    text: z.string(),
    /** Rooms of the asker's view; the agent nearest to them is meant. */
    near: z.array(z.string()).optional(),
    timeoutMs: z.number().int().min(1).max(3_600_000).optional(),
    via: z.enum(["auto", "socket", "fifo", "keys", "broker"]).optional(),
  }),
  output: z.looseObject({
    ask: z.string(),
    agent: z.string(),
    answer: z.string(),
    route: z.string(),
    /** Others the short name also fits. */
    also: z.array(z.string()),
    ms: z.number(),
  }),
  errors: ["UNKNOWN_AGENT", "TIMEOUT", "REFUSED"],
});

/** An agent says: questions for me come here. Each is answered with `ask.answer`. */
export const agentListen = defineOperation({
  name: "agent.listen",
  summary: "Receive questions as an agent",
  effect: "read",
  role: "agent",
  input: z.strictObject({ agent: z.string().optional().describe("default: the agent of the credential") }),
  output: z.looseObject({ agent: z.string() }),
  streams: z.looseObject({ ask: z.string(), from: z.string(), text: z.string() }),
  errors: ["REFUSED"],
});

export const askAnswer = defineOperation({
  name: "ask.answer",
  summary: "Answer a question",
  effect: "write",
  role: "agent",
  input: z.strictObject({ ask: z.string(), text: z.string() }),
  output: z.looseObject({ accepted: z.boolean() }),
  errors: ["NOT_FOUND"],
});

export const routeExplain = defineOperation({
  name: "route.explain",
  summary: "Every hop a line of a room, or a question to an agent, takes",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    to: z.string().describe("a room, an agent, or room/agent"),
    near: z.array(z.string()).optional(),
  }),
  output: z.looseObject({ hops: z.array(Hop) }),
  errors: ["NOT_FOUND"],
});
