import type { InboxMessage, Outcome, Priority, MessageType as WireType } from "../protocol/message.ts";
import { formatSignal } from "../protocol/signal.ts";
import { Link, type LinkOptions } from "./link.ts";

/** What a message is for. */
export const MessageType = {
  PING: "ping",
  REQUEST: "request",
  RESPONSE: "response",
  BROADCAST: "broadcast",
  NOTIFICATION: "notification",
  TASK_OFFER: "task_offer",
  TASK_ACCEPT: "task_accept",
  SYNC: "sync",
  HANDOFF: "handoff",
} as const;
export type MessageType = WireType;

/** A message, as its sender or one of its recipients has it. */
export class Message {
  readonly messageId: string;
  readonly type: MessageType;
  readonly fromSession: string;
  /** Null: everybody. */
  readonly toSession: string | null;
  readonly subject: string;
  readonly body: string;
  readonly data: unknown;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly inReplyTo: string | null;
  readonly thread: string;
  readonly priority: Priority;
  /** Of an offer, an acceptance or a handoff. */
  readonly task: string | null;
  /** Place in the log: what cursors count in. */
  readonly seq: number;
  /** Of a message just sent: whom it reached. */
  readonly recipients: string[];

  constructor(fields: Omit<Message, "formatSignal">) {
    this.messageId = fields.messageId;
    this.type = fields.type;
    this.fromSession = fields.fromSession;
    this.toSession = fields.toSession;
    this.subject = fields.subject;
    this.body = fields.body;
    this.data = fields.data;
    this.timestamp = fields.timestamp;
    this.inReplyTo = fields.inReplyTo;
    this.thread = fields.thread;
    this.priority = fields.priority;
    this.task = fields.task;
    this.seq = fields.seq;
    this.recipients = fields.recipients;
  }

  /** `🔔 cece-001 → agent-002 : [COLLABORATION] Ping` */
  formatSignal(): string {
    return formatSignal({ type: this.type, from: this.fromSession, to: this.toSession, subject: this.subject });
  }
}

/** What may be said of a message beside its text. */
export interface MessageOptions {
  /** Any JSON. */
  data?: unknown;
  priority?: Priority;
  /** Id of the message this replies to. */
  inReplyTo?: string;
  /** The task that an offer, acceptance or handoff is about. */
  task?: string;
  /** Seconds until it is no longer worth reading. */
  ttlS?: number;
  /** Wait for an acknowledgement. */
  ack?: boolean;
  /** Keep mail for recipients nobody knows yet. */
  queue?: boolean;
  /** Sent again with the same key it counts once. */
  key?: string;
}

export interface Outgoing extends MessageOptions {
  fromSession: string;
  /** An agent, a person, `@group`, `#topic`, `*`, `any:capability`; or several. */
  toSession: string | string[];
  type: MessageType;
  subject: string;
  body: string;
}

export interface Broadcast extends MessageOptions {
  fromSession: string;
  subject: string;
  body: string;
}

export interface Reply extends Pick<MessageOptions, "data" | "priority" | "ack" | "key"> {
  fromSession: string;
  toMessage: Message | string;
  body: string;
  /** Default `response`. */
  type?: MessageType;
}

/** Answer to a ping. */
export interface Ping {
  message: Message;
  /** Null: nobody can tell. */
  alive: boolean | null;
  /** Whose word that is: the agent's own, or the coordinator's. */
  by: "agent" | "coordinator" | null;
  rttMs: number | null;
  evidence: string;
  formatSignal(): string;
}

export interface HubStats {
  totalMessages: number;
  byType: Record<string, number>;
  byPriority: Record<string, number>;
  unread: number;
  openRequests: number;
  dead: number;
}

/** Messages of one page. */
const PAGE = 1_000;

/**
 * Messages between sessions. Connects by itself; every method rejects with BosunError. Who writes is the session named first:
 * it must be registered, and be the process's own or spoken for by a person.
 */
export class CollaborationHub {
  readonly #link: Link;
  readonly #handlers: (() => void)[] = [];

  constructor(options: LinkOptions = {}) {
    this.#link = new Link(options);
  }

  send(message: Outgoing): Promise<Message>;
  send(
    fromSession: string,
    toSession: string | string[],
    type: MessageType,
    subject: string,
    body: string,
    more?: MessageOptions,
  ): Promise<Message>;
  send(
    first: Outgoing | string,
    toSession: string | string[] = [],
    type: MessageType = "notification",
    subject = "",
    body = "",
    more: MessageOptions = {},
  ): Promise<Message> {
    return this.#send(
      typeof first === "string" ? { fromSession: first, toSession, type, subject, body, ...more } : first,
    );
  }

  /** To everybody who is there, but the sender. */
  broadcast(message: Broadcast): Promise<Message>;
  broadcast(fromSession: string, subject: string, body: string, more?: MessageOptions): Promise<Message>;
  broadcast(first: Broadcast | string, subject = "", body = "", more: MessageOptions = {}): Promise<Message> {
    const wish = typeof first === "string" ? { fromSession: first, subject, body, ...more } : first;
    return this.#send({ ...wish, toSession: "*", type: "broadcast" });
  }

  /** Answers a message: same thread, subject `Re: …`; a response closes its request. */
  reply(reply: Reply): Promise<Message>;
  reply(
    fromSession: string,
    toMessage: Message | string,
    body: string,
    more?: Omit<Reply, "fromSession" | "toMessage" | "body">,
  ): Promise<Message>;
  async reply(
    first: Reply | string,
    toMessage: Message | string = "",
    body = "",
    more: Partial<Reply> = {},
  ): Promise<Message> {
    const wish = typeof first === "string" ? { fromSession: first, toMessage, body, ...more } : first;
    const to = typeof wish.toMessage === "string" ? wish.toMessage : wish.toMessage.messageId;
    const { data, type, priority, ack, key } = wish;
    const sent = await this.#link.call(
      "message.reply",
      {
        to,
        body: wish.body,
        ...(data !== undefined && { dataJson: JSON.stringify(data) }),
        ...(type && { type }),
        ...(priority && { priority }),
        ...(ack !== undefined && { ack }),
      },
      wish.fromSession,
      key,
    );
    const { message } = await this.#link.call("message.show", { id: sent.id }, wish.fromSession);
    return messageOf(message, sent.recipients);
  }

  /**
   * Mail of a session, oldest first: its own and broadcasts, at most `limit` (default 1000) of the newest, or those behind
   * `after`. It is handed over: unread mail becomes read.
   */
  async getMessages(
    sessionId: string,
    {
      type,
      unreadOnly,
      limit = PAGE,
      after,
    }: { type?: MessageType; unreadOnly?: boolean; limit?: number; after?: number } = {},
  ): Promise<Message[]> {
    const filter = { ...(type && { type: [type] }), ...(unreadOnly && { unread: true, order: "time" as const }) };
    if (after === undefined && limit <= PAGE) {
      const { messages } = await this.#link.call("message.inbox", { ...filter, last: limit }, sessionId);
      return messages.map((message) => messageOf(message));
    }
    // The newest of very many are found from the oldest on.
    const found: Message[] = [];
    const most = after === undefined ? Number.POSITIVE_INFINITY : limit;
    for (let place: number | null = after ?? 0; place !== null && found.length < most; ) {
      const page: { messages: InboxMessage[]; next: number | null } = await this.#link.call(
        "message.inbox",
        { ...filter, after: place, limit: Math.min(PAGE, most - found.length) },
        sessionId,
      );
      found.push(...page.messages.map((message) => messageOf(message)));
      place = page.next;
    }
    return found.slice(-limit);
  }

  /** Is it there? Its own program answers when it follows its mail; else the coordinator says what is known. */
  async pingSession(fromSession: string, toSession: string, timeoutMs?: number): Promise<Ping> {
    const ping = await this.#link.call(
      "message.ping",
      { to: toSession, ...(timeoutMs !== undefined && { timeoutMs }) },
      fromSession,
    );
    const { message } = await this.#link.call("message.show", { id: ping.id }, fromSession);
    const { alive, by, rtt_ms: rttMs, evidence, signal } = ping;
    return { message: messageOf(message, [toSession]), alive, by, rttMs, evidence, formatSignal: () => signal };
  }

  /** The whole conversation around any of its messages, oldest first. */
  async getConversation(messageId: string): Promise<Message[]> {
    const found: Message[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page: { messages: InboxMessage[]; next: number | null } = await this.#link.call("message.thread", {
        id: messageId,
        after,
        limit: PAGE,
      });
      found.push(...page.messages.map((message) => messageOf(message)));
      after = page.next;
    }
    return found;
  }

  /** It has been dealt with; `accepted`, `declined` and `done` also settle a task. */
  async ack(
    sessionId: string,
    message: Message | string | readonly (Message | string)[],
    outcome?: Outcome,
    note?: string,
  ): Promise<void> {
    const ids = [message].flat().map((each) => (typeof each === "string" ? each : (each as Message).messageId));
    await this.#link.call("message.ack", { ids, ...(outcome && { outcome }), ...(note && { note }) }, sessionId);
  }

  /**
   * Follows the mail of a session: from now on, or everything behind `after` (a message's `seq`), each once and in order,
   * over lost connections too. Pings are answered by themselves. Leave the loop to stop.
   */
  async *watch(sessionId: string, { after }: { after?: number } = {}): AsyncGenerator<Message, void, void> {
    const events = this.#link.follow<{ message: InboxMessage }>(
      "message.watch",
      (cursor) => ({ bodies: true, ...((cursor ?? after) !== undefined && { after: cursor ?? after }) }),
      ({ message }) => message.seq,
      sessionId,
    );
    for await (const { message } of events) {
      if (message.type === "ping" && message.state !== "acked") await this.#pong(sessionId, message.id);
      yield messageOf(message);
    }
  }

  /** Calls `handler` with every message of this type that comes for the session; gives the function that ends it. */
  registerHandler(sessionId: string, type: MessageType, handler: (message: Message) => unknown): () => void {
    const watching = this.watch(sessionId);
    const stop = (): void => void watching.return();
    this.#handlers.push(stop);
    void (async () => {
      for await (const message of watching) if (message.type === type) await handler(message);
    })().catch(() => {});
    return stop;
  }

  async getStats(): Promise<HubStats> {
    const stats = await this.#link.call("message.stats", {});
    return {
      totalMessages: stats.total_messages,
      byType: stats.by_type,
      byPriority: stats.by_priority,
      unread: stats.unread,
      openRequests: stats.open_requests,
      dead: stats.dead,
    };
  }

  close(): void {
    for (const stop of this.#handlers.splice(0)) stop();
    this.#link.close();
  }

  async #send(wish: Outgoing): Promise<Message> {
    const { fromSession, toSession, type, subject, body, data, key, ...more } = wish;
    const to = [toSession].flat();
    const sent = await this.#link.call(
      "message.send",
      { to, subject, body, type, ...more, ...(data !== undefined && { dataJson: JSON.stringify(data) }) },
      fromSession,
      key,
    );
    return new Message({
      messageId: sent.id,
      type,
      fromSession,
      toSession: to.length === 1 && to[0] === "*" ? null : to.join(", "),
      subject,
      body,
      data: data ?? null,
      timestamp: sent.ts,
      inReplyTo: more.inReplyTo ?? null,
      thread: sent.thread,
      priority: more.priority ?? "normal",
      task: sent.task,
      seq: sent.seq,
      recipients: sent.recipients,
    });
  }

  async #pong(sessionId: string, ping: string): Promise<void> {
    await this.#link.call("message.pong", { ping }, sessionId);
  }
}

function messageOf(message: InboxMessage, recipients?: string[]): Message {
  return new Message({
    messageId: message.id,
    type: message.type,
    fromSession: message.from,
    toSession: message.type === "broadcast" ? null : message.to,
    subject: message.subject,
    body: message.body ?? "",
    data: message.data ?? null,
    timestamp: message.ts,
    inReplyTo: message.in_reply_to,
    thread: message.thread,
    priority: message.priority,
    task: message.task,
    seq: message.seq,
    recipients: recipients ?? [message.to],
  });
}
