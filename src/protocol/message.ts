import { z } from "zod";
import { Json, JsonText } from "./json.ts";
import { defineOperation } from "./operation.ts";

/** The longest message body, in bytes of UTF-8; longer things are files. */
export const MAX_BODY_BYTES = 65_536;

/** The longest `data` of a message, in bytes of its JSON text. */
export const MAX_DATA_BYTES = 65_536;

/**
 * What a message is for.
 *
 * `ping`         is anybody there? answered with a pong; see `message.ping`
 * `request`      asks for something; stays open until a recipient answers with a `response`
 * `response`     answers; closes the request it replies to
 * `broadcast`    to everybody there is now
 * `notification` tells; expects nothing
 * `task_offer`   offers a task; one recipient can accept it, once
 * `task_accept`  accepts an offer; whoever comes second is told who won
 * `sync`         asks for the recipient's state; the coordinator answers with a snapshot of it
 * `handoff`      gives a task to another; ownership moves, history stays
 */
export const MESSAGE_TYPES = [
  "ping",
  "request",
  "response",
  "broadcast",
  "notification",
  "task_offer",
  "task_accept",
  "sync",
  "handoff",
] as const;
export const MessageType = z.enum(MESSAGE_TYPES);
export type MessageType = z.infer<typeof MessageType>;

/** From loud to quiet; the order inboxes are worked through. */
export const PRIORITIES = ["critical", "important", "normal", "low"] as const;
export const Priority = z.enum(PRIORITIES);
export type Priority = z.infer<typeof Priority>;

/** In the priority order every eleventh place goes to the oldest message left, so that a flood of loud ones starves nobody. */
export const LOUD_BEFORE_OLDEST = 10;

/**
 * One delivery, per message and recipient, moves forward only. `queued`: durable. `notified`: the recipient was told that
 * there is mail. `presented`: the body was handed over. `acked`: the recipient said so, with an outcome.
 */
export const DELIVERY_STATES = ["queued", "notified", "presented", "acked"] as const;
export const DeliveryState = z.enum(DELIVERY_STATES);
export type DeliveryState = z.infer<typeof DeliveryState>;

export const OUTCOMES = ["seen", "accepted", "declined", "done"] as const;
export const Outcome = z.enum(OUTCOMES);
export type Outcome = z.infer<typeof Outcome>;

/**
 * What a recipient may look like: an agent, a person, a session (`mayor`, `gastown/crew/max`, `gastown/max`, its name), `@group`,
 * `#topic`, `*` (everybody registered and not offline, but the sender), `any:python+review` (one agent with all these capabilities,
 * idle ones first), and any of these in another town of this machine: `gt12/mayor`.
 */
const To = z
  .array(z.string().min(1).max(256))
  .min(1)
  .max(1000)
  .describe("agent, session, person, @group, #topic, *, any:CAPABILITY; TOWN/… for another town");

const Subject = z.string().max(512);
const ReplyTo = z.string().describe("id of the message this replies to");
/** Claims about the sender: taken from the credential. Saying something else is refused and recorded. */
const Claims = {
  from: z.string().optional().describe("who you are; anything else than your credential says is refused"),
  human: z.boolean().optional().describe("only a person's credential may say true"),
};

const Sent = z.looseObject({
  id: z.string(),
  thread: z.string(),
  /** Whom it reached: groups, topics and capabilities resolved. */
  recipients: z.array(z.string()),
  /** Place in the log. */
  seq: z.number(),
  ts: z.string(),
  duplicate: z.boolean(),
  /** `🔔 cece-001 → agent-002 : [COLLABORATION] Ping` */
  signal: z.string(),
  /** Of a task_offer, task_accept or handoff: the task. */
  task: z.string().nullable(),
  /** Of a sync: the message that carries the recipient's state. */
  answer: z.string().nullable(),
});

export const messageSend = defineOperation({
  name: "message.send",
  summary: "Write to an agent, a person, a group, a topic, or everybody",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    to: To,
    subject: Subject,
    body: z.string().describe("at most 65,536 bytes"),
    type: MessageType.optional().describe("default notification; broadcast to *"),
    priority: Priority.optional(),
    data: Json.optional().describe("any JSON"),
    dataJson: JsonText.optional().describe("instead of data: JSON as text, kept byte for byte"),
    inReplyTo: ReplyTo.optional(),
    task: z.string().max(256).optional().describe("the task that an offer, acceptance or handoff is about"),
    ttlS: z.number().positive().max(31_536_000).optional().describe("seconds until it is no longer worth reading"),
    ack: z.boolean().optional().describe("wait for an acknowledgement: shown again to a restarted recipient"),
    queue: z.boolean().optional().describe("keep mail for recipients nobody knows yet"),
    ...Claims,
  }),
  output: Sent,
  errors: ["UNKNOWN_AGENT", "NOT_FOUND", "CONFLICT", "TOO_LARGE", "OVER_QUOTA", "REFUSED"],
});

/** What coordinators carry for each other: messages, and the acknowledgements of them. */
const CarriedType = z.enum([...MESSAGE_TYPES, "receipt"]);
export type CarriedType = z.infer<typeof CarriedType>;

/** A message from another town of this machine, by that town's coordinator; written once, whatever is brought how often. */
export const messageCarry = defineOperation({
  name: "message.carry",
  summary: "Bring a message from another town; coordinators do this for each other",
  effect: "write",
  role: "admin",
  input: z.strictObject({
    town: z.string().min(1).max(64).describe("the sender's town"),
    from: z.string().min(1).max(256).describe("the sender, as their town calls them"),
    to: z.array(z.string().min(1).max(256)).min(1).max(1000).describe("as this town is to read them"),
    id: z.string().min(1).max(64),
    thread: z.string().min(1).max(64),
    type: CarriedType,
    subject: Subject,
    body: z.string(),
    dataJson: JsonText.nullable(),
    priority: Priority,
    inReplyTo: ReplyTo.nullable(),
    answersAs: z
      .string()
      .nullable()
      .describe("the address, in this town's words, under which the message it answers came there"),
    human: z.boolean(),
    ack: z.boolean(),
    expiresAtMs: z.number().nullable(),
    sentAtMs: z.number(),
    dry: z.boolean().optional().describe("only say who would get it"),
  }),
  output: z.looseObject({
    recipients: z.array(z.string()),
    refused: z.array(z.object({ to: z.string(), code: z.string(), what: z.string(), why: z.string().nullable() })),
    duplicate: z.boolean(),
  }),
  errors: ["REFUSED"],
});

export const messageReply = defineOperation({
  name: "message.reply",
  summary: "Answer a message: same thread, subject Re: …, closes the request",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    to: ReplyTo,
    body: z.string(),
    type: MessageType.optional().describe("default response"),
    priority: Priority.optional(),
    data: Json.optional(),
    dataJson: JsonText.optional(),
    ack: z.boolean().optional(),
    ...Claims,
  }),
  output: Sent,
  errors: ["NOT_FOUND", "CONFLICT", "TOO_LARGE", "OVER_QUOTA", "REFUSED"],
});

export const messagePing = defineOperation({
  name: "message.ping",
  summary: "Is an agent there? Sends a ping and tells of the pong, with the round-trip time",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    to: z.string(),
    timeoutMs: z.number().int().min(1).max(60_000).optional().describe("how long its own answer is waited for"),
  }),
  output: z.looseObject({
    id: z.string(),
    thread: z.string(),
    signal: z.string(),
    /** Null: nobody can tell. */
    alive: z.boolean().nullable(),
    /** `agent`: it answered itself. `coordinator`: it does not listen, and is alive by its process or its last sign of life. */
    by: z.enum(["agent", "coordinator"]).nullable(),
    rtt_ms: z.number().nullable(),
    /** What says so, one line. */
    evidence: z.string(),
    /** Age of its last sign of life. */
    seen_ms: z.number().nullable(),
    /** Id of the pong in the sender's inbox. */
    pong: z.string().nullable(),
  }),
  errors: ["UNKNOWN_AGENT"],
});

/** A program that holds a `message.watch` answers pings with this; client libraries do it by themselves. */
export const messagePong = defineOperation({
  name: "message.pong",
  summary: "Answer a ping as the agent it was sent to",
  effect: "write",
  role: "agent",
  input: z.strictObject({ ping: z.string() }),
  output: z.strictObject({ accepted: z.boolean() }),
  errors: ["NOT_FOUND"],
});

export const InboxMessage = z.looseObject({
  id: z.string(),
  /** Place in the log; cursors count in it. */
  seq: z.number(),
  from: z.string(),
  /** Whether a person wrote it, from the credential. */
  human: z.boolean(),
  to: z.string(),
  type: MessageType,
  subject: z.string(),
  priority: Priority,
  thread: z.string(),
  in_reply_to: z.string().nullable(),
  ts: z.string(),
  state: DeliveryState,
  outcome: Outcome.nullable(),
  /** An acknowledgement is waited for. */
  ack: z.boolean(),
  /** It was handed to an earlier run of the recipient, which ended without acknowledging it. */
  redelivered: z.boolean(),
  expires: z.string().nullable(),
  /** Of a request or offer: nobody has answered yet. Null for other types. */
  open: z.boolean().nullable(),
  task: z.string().nullable(),
  signal: z.string(),
  body: z.string().optional(),
  /** The body was longer than `maxChars`; `message.show` gives it whole. */
  cut: z.boolean().optional(),
  data: z.unknown().optional(),
  /** `data` as it was written. */
  data_json: z.string().optional(),
});
export type InboxMessage = z.infer<typeof InboxMessage>;

export const messageInbox = defineOperation({
  name: "message.inbox",
  summary: "Mail of an agent or person; handing over a body to its owner marks it presented",
  effect: "write",
  role: "viewer",
  input: z.strictObject({
    who: z.string().optional().describe("whose; default your own"),
    unread: z.boolean().optional().describe("only what has not been handed over"),
    open: z.boolean().optional().describe("only requests and offers that wait for an answer"),
    type: z.array(MessageType).optional(),
    from: z.string().optional(),
    priority: z.array(Priority).optional(),
    order: z
      .enum(["time", "priority"])
      .optional()
      .describe("time: oldest first; priority (default with unread): loud ones overtake"),
    after: z.number().int().min(0).optional().describe("cursor: `next` of the answer before"),
    last: z.number().int().min(1).max(1000).optional().describe("the newest N"),
    limit: z.number().int().min(1).max(1000).optional(),
    bodies: z.boolean().optional().describe("with texts; default yes"),
    maxChars: z.number().int().min(0).max(65_536).optional().describe("cut each body here"),
    waitMs: z.number().int().min(0).max(50_000).optional().describe("wait that long for mail when there is none"),
  }),
  output: z.looseObject({
    who: z.string(),
    unread: z.number(),
    /** Unread and critical or important. */
    urgent: z.number(),
    messages: z.array(InboxMessage),
    next: z.number().nullable(),
  }),
  errors: ["REFUSED", "UNKNOWN_AGENT"],
});

export const messageShow = defineOperation({
  name: "message.show",
  summary: "One message whole, and how far it has come with each recipient",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ id: z.string() }),
  output: z.looseObject({
    message: InboxMessage,
    deliveries: z.array(
      z.looseObject({
        to: z.string(),
        state: DeliveryState,
        outcome: Outcome.nullable(),
        note: z.string().nullable(),
        notified_at: z.string().nullable(),
        presented_at: z.string().nullable(),
        acked_at: z.string().nullable(),
      }),
    ),
  }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const messageThread = defineOperation({
  name: "message.thread",
  summary: "The whole conversation around any of its messages, oldest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    id: z.string().describe("any message of the thread, or the thread's own id"),
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(1000).optional(),
    maxChars: z.number().int().min(0).max(65_536).optional(),
  }),
  output: z.looseObject({ thread: z.string(), messages: z.array(InboxMessage), next: z.number().nullable() }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const messageAck = defineOperation({
  name: "message.ack",
  summary: "Close mail: it has been dealt with",
  effect: "write",
  role: "viewer",
  input: z.strictObject({
    ids: z.array(z.string()).min(1).max(1000),
    outcome: Outcome.optional().describe("default seen; accepted, declined and done also settle a task"),
    note: z.string().max(4096).optional(),
  }),
  output: z.looseObject({ acked: z.array(z.string()) }),
  errors: ["NOT_FOUND", "CONFLICT"],
});

export const messageWatch = defineOperation({
  name: "message.watch",
  summary: "Follow mail live: everything behind the cursor, then each new message once and in order",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    who: z.string().optional().describe("whose; default your own"),
    all: z.boolean().optional().describe("every message of the town, without texts; operators only"),
    after: z.number().int().min(0).optional().describe("resume behind this seq; without it only what is new"),
    bodies: z.boolean().optional().describe("with texts: that hands them over; default no"),
  }),
  output: z.looseObject({ who: z.string(), seq: z.number() }),
  streams: z.looseObject({ message: InboxMessage }),
  errors: ["REFUSED", "UNKNOWN_AGENT"],
});

export const messageList = defineOperation({
  name: "message.list",
  summary: "Every message of the town, oldest first, with texts",
  effect: "read",
  role: "operator",
  input: z.strictObject({
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(1000).optional(),
    type: z.array(MessageType).optional(),
  }),
  output: z.looseObject({ messages: z.array(InboxMessage), next: z.number().nullable() }),
});

export const messageDead = defineOperation({
  name: "message.dead",
  summary: "Mail that reached nobody: expired unread, or its recipient is gone or never came",
  effect: "read",
  role: "operator",
  input: z.strictObject({
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(1000).optional(),
  }),
  output: z.looseObject({
    messages: z.array(z.looseObject({ message: InboxMessage, reason: z.enum(["expired", "unregistered", "unknown"]) })),
    next: z.number().nullable(),
  }),
});

export const messageStats = defineOperation({
  name: "message.stats",
  summary: "Messages counted: all, by type, by priority, unread, open, dead",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    total_messages: z.number(),
    /** All nine types, also those nobody used. */
    by_type: z.record(z.string(), z.number()),
    by_priority: z.record(z.string(), z.number()),
    unread: z.number(),
    open_requests: z.number(),
    dead: z.number(),
  }),
});
