import type { Connection } from "../../client/connection.ts";
import type { OperationInput } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import type { InboxMessage, MessageType, Outcome, Priority } from "../../protocol/message.ts";
import { sanitise } from "../../protocol/text.ts";
import { durationOf, numberOf, stdinText, usage, wordsOf } from "../arguments.ts";
import { type Command, type Invocation, isSet, listOf, textOf } from "../command.ts";
import { follow } from "../follow.ts";
import { sinceText } from "../time.ts";
import { sessionNamed, watchSession } from "../watch-session.ts";

const PRIORITIES = ["critical", "important", "normal", "low"] as const;
const OUTCOMES = ["seen", "accepted", "declined", "done"] as const;

const SEND_FLAGS = {
  type: { value: "TYPE", about: "request, response, notification, task_offer, handoff …" },
  priority: { value: "PRIORITY", about: PRIORITIES.join(", ") },
  data: { value: "JSON", about: "anything structured, kept byte for byte" },
  key: { value: "KEY", about: "sending again with the same key counts once" },
  ack: { about: "wait for an acknowledgement: shown again to a restarted recipient" },
} as const;

interface SendWish {
  type?: MessageType;
  priority?: Priority;
  dataJson?: string;
  ack?: true;
}

function sendWish(invocation: Invocation, command: Command): SendWish {
  const priority = textOf(invocation, "priority");
  const known = PRIORITIES.find((each) => each === priority);
  if (priority !== undefined && !known)
    throw usage(`--priority ${priority}`, command, `one of ${PRIORITIES.join(", ")}`);
  const dataJson = textOf(invocation, "data");
  if (dataJson !== undefined && !isJson(dataJson)) {
    throw usage("--data is not JSON", command, `for example --data '{"files": ["api.py"]}'`);
  }
  const type = textOf(invocation, "type") as MessageType | undefined;
  return {
    ...(type && { type }),
    ...(known && { priority: known }),
    ...(dataJson !== undefined && { dataJson }),
    ...(isSet(invocation, "ack") && { ack: true }),
  };
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Recipients without a session of ours read their mail when they like: that is no failure of the message. */
async function wake({ out }: Invocation, connection: Connection, recipients: readonly string[]): Promise<void> {
  for (const session of recipients) {
    try {
      const { outcome, why } = await connection.call("session.nudge", { session });
      out.say(`${session}: ${outcome}, ${why}`);
    } catch (error) {
      out.say(`${session}: not woken, ${error instanceof BosunError ? error.body.what : String(error)}`);
    }
  }
}

const send: Command = {
  name: "send",
  args: "[FROM] TO SUBJECT BODY",
  group: "mail",
  anywhere: true,
  ops: ["message.send", "message.carry"],
  flags: {
    ...SEND_FLAGS,
    "in-reply-to": { value: "ID", about: "the message this answers" },
    task: { value: "TASK" },
    "ttl-s": { value: "SECONDS" },
    queue: {},
    wake: { about: "then type one fixed line where each recipient works, once that harms nobody" },
  },
  examples: [
    'bosun send dev-001 "Review" "Can you look at the parser?"',
    'bosun send cece-001 agent-002 "Need code review" "Can you review my changes?" --type request',
    'bosun send @builders,any:python "Build is red" "Who takes it?" --type task_offer',
    "echo long text | bosun send dev-001 Notes -",
  ],
  async run(invocation) {
    const { args } = invocation;
    if (args.length < 3 || args.length > 4) throw usage("send needs a recipient, a subject and a body", send);
    const [to, subject, body] = args.slice(-3) as [string, string, string];
    const wish = sendWish(invocation, send);
    const ttlS = numberOf(invocation, "ttl-s", send);
    const [inReplyTo, task, key] = ["in-reply-to", "task", "key"].map((flag) => textOf(invocation, flag));
    const input: OperationInput<"message.send"> = {
      to: to.split(","),
      subject,
      body: body === "-" ? await stdinText() : body,
      ...wish,
      ...(inReplyTo !== undefined && { inReplyTo }),
      ...(task !== undefined && { task }),
      ...(ttlS !== undefined && { ttlS }),
      ...(isSet(invocation, "queue") && { queue: true }),
    };
    const connection = await invocation.connect(args.length === 4 ? { as: args[0]! } : {});
    const sent = await connection.call("message.send", input, key ? { key } : {});
    printSent(invocation, "Message", sent);
    if (isSet(invocation, "wake")) await wake(invocation, connection, sent.recipients);
    return 0;
  },
};

interface Sent {
  id: string;
  recipients: string[];
  duplicate: boolean;
  signal: string;
  task: string | null;
}

function printSent({ out }: Invocation, what: string, sent: Sent): void {
  if (out.wish.json) {
    out.json(sent);
    return;
  }
  out.lines([`✅ ${what} sent: ${sent.id}${sent.duplicate ? " (sent before)" : ""}`, `   ${sent.signal}`]);
  const several = sent.recipients.length !== 1 || !sent.signal.includes(` → ${sent.recipients[0]} : `);
  if (several) out.line(`   to ${sent.recipients.length}: ${sent.recipients.join(", ") || "nobody is there"}`);
  if (sent.task !== null) out.line(`   task ${sent.task}`);
}

const broadcast: Command = {
  name: "broadcast",
  args: "[FROM] SUBJECT BODY",
  group: "mail",
  anywhere: true,
  ops: ["message.send"],
  summary: "Write to everybody who is there, but yourself",
  flags: SEND_FLAGS,
  examples: ['bosun broadcast cece-001 "Deployment starting" "Production, in 5 minutes"'],
  async run(invocation) {
    const { args } = invocation;
    if (args.length < 2 || args.length > 3) throw usage("broadcast needs a subject and a body", broadcast);
    const [subject, body] = args.slice(-2) as [string, string];
    const key = textOf(invocation, "key");
    const text = body === "-" ? await stdinText() : body;
    const input: OperationInput<"message.send"> = {
      to: ["*"],
      subject,
      body: text,
      type: "broadcast",
      ...sendWish(invocation, broadcast),
    };
    const connection = await invocation.connect(args.length === 3 ? { as: args[0]! } : {});
    printSent(invocation, "Broadcast", await connection.call("message.send", input, key ? { key } : {}));
    return 0;
  },
};

const reply: Command = {
  name: "reply",
  args: "[FROM] ID BODY",
  group: "mail",
  anywhere: true,
  ops: ["message.reply"],
  flags: SEND_FLAGS,
  examples: ['bosun reply 5f0c… "Reviewed. LGTM with minor comments."'],
  async run(invocation) {
    const { args } = invocation;
    if (args.length < 2 || args.length > 3) throw usage("reply needs the id of a message and a body", reply);
    const [to, body] = args.slice(-2) as [string, string];
    const key = textOf(invocation, "key");
    const input: OperationInput<"message.reply"> = {
      to,
      body: body === "-" ? await stdinText() : body,
      ...sendWish(invocation, reply),
    };
    const connection = await invocation.connect(args.length === 3 ? { as: args[0]! } : {});
    printSent(invocation, "Reply", await connection.call("message.reply", input, key ? { key } : {}));
    return 0;
  },
};

const inbox: Command = {
  name: "inbox",
  args: "[WHO]",
  group: "mail",
  anywhere: true,
  ops: ["message.inbox"],
  flags: {
    unread: { short: "u", about: "only what has not been handed over, loud ones first" },
    open: {},
    bodies: { short: "b", about: "with the texts; handing them to their owner marks them read" },
    type: { value: "TYPE", many: true, about: "only of these types" },
    from: { value: "ID", about: "only from this sender" },
    priority: { value: "PRIORITY", many: true, about: "only of these priorities" },
    last: { value: "N" },
    after: { value: "SEQ", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
    wait: { value: "30s", about: "wait that long for mail when there is none" },
  },
  examples: ["bosun inbox", "bosun inbox dev-001 --bodies --json", "bosun inbox --as dev-001 --unread -b --wait 50s"],
  async run(invocation) {
    const mail = await readInbox(invocation, inbox, isSet(invocation, "bodies"));
    if (invocation.out.wish.json) invocation.out.json(mail, "messages");
    else printMail(invocation, mail);
    return 0;
  },
};

async function readInbox(invocation: Invocation, command: Command, bodies: boolean) {
  const [who] = invocation.args;
  const [after, limit, last] = ["after", "limit", "last"].map((flag) => numberOf(invocation, flag, command));
  const type = wordsOf(invocation, "type") as MessageType[];
  const priority = wordsOf(invocation, "priority") as Priority[];
  const from = textOf(invocation, "from");
  const waitMs = durationOf(invocation, "wait", command);
  const connection = await invocation.connect();
  return connection.call("message.inbox", {
    bodies,
    ...(who && { who }),
    ...(after !== undefined && { after }),
    ...(limit !== undefined && { limit }),
    ...(last !== undefined && { last }),
    ...(type.length > 0 && { type }),
    ...(priority.length > 0 && { priority }),
    ...(from !== undefined && { from }),
    ...(waitMs !== undefined && { waitMs }),
    ...(isSet(invocation, "unread") && { unread: true }),
    ...(isSet(invocation, "open") && { open: true }),
  });
}

interface MailPage {
  unread: number;
  messages: InboxMessage[];
}

const MARKS: Record<string, string> = { critical: "!!", important: "!" };

export function printMail({ out }: Pick<Invocation, "out">, mail: MailPage): void {
  const now = Date.now();
  if (!out.wish.plain) out.line(`${mail.unread} unread`);
  if (mail.messages.length === 0) return;
  out.table(
    [
      { title: "" },
      { title: "FROM" },
      { title: "SUBJECT", flexible: true },
      { title: "TYPE", flexible: true },
      { title: "AGE", align: "right" },
      { title: "STATE" },
      { title: "ID" },
    ],
    mail.messages.map((one) => [
      MARKS[one.priority] ?? "",
      sanitise(one.from),
      sanitise(one.subject).replaceAll("\n", " "),
      one.type,
      sinceText(one.ts, now),
      one.outcome ?? one.state,
      one.id,
    ]),
  );
  for (const { id, body } of mail.messages) {
    if (body !== undefined && !out.wish.plain) out.line(`\n${id}\n${sanitise(body).replace(/^/gm, "  ")}`);
  }
}

/** The inbox as the system prints it that this mail comes from: whole messages, oldest first. */
const messages: Command = {
  name: "messages",
  args: "[WHO]",
  group: "mail",
  anywhere: true,
  ops: ["message.inbox"],
  summary: "Mail of an agent with its texts, message by message",
  flags: inbox.flags!,
  examples: ["bosun messages agent-002 --type request"],
  async run(invocation) {
    const { out } = invocation;
    const mail = await readInbox(invocation, messages, true);
    if (out.wish.json) out.json(mail, "messages");
    else if (mail.messages.length === 0) out.line(`No messages for session: ${sanitise(mail.who)}`);
    else {
      out.lines(["", `📬 Messages for ${sanitise(mail.who)}:`, "=".repeat(Math.min(90, out.columns))]);
      for (const message of mail.messages) out.lines(["", ...wholeMessage(message)]);
    }
    return 0;
  },
};

function wholeMessage(message: InboxMessage): string[] {
  const lines = [
    message.ts,
    `  From: ${sanitise(message.from)} → ${message.type === "broadcast" ? "ALL" : sanitise(message.to)}`,
    `  Type: ${message.type}`,
    `  Subject: ${sanitise(message.subject).replaceAll("\n", " ")}`,
    `  Body: ${sanitise(message.body ?? "").replaceAll("\n", "\n        ")}`,
  ];
  if (message.priority !== "normal") lines.push(`  Priority: ${message.priority}`);
  if (message.task !== null) lines.push(`  Task: ${sanitise(message.task)}`);
  if (message.data_json !== undefined) {
    lines.push(`  Data: ${sanitise(JSON.stringify(message.data, null, 2)).replaceAll("\n", "\n  ")}`);
  }
  lines.push(`  Id: ${message.id}`);
  return lines;
}

const show: Command = {
  name: "message",
  args: "ID",
  group: "mail",
  anywhere: true,
  ops: ["message.show"],
  async run(invocation) {
    const [id] = invocation.args;
    if (id === undefined) throw usage("message needs an id", show);
    const connection = await invocation.connect();
    const answer = await connection.call("message.show", { id });
    const { out } = invocation;
    if (out.wish.json) {
      out.json(answer);
      return 0;
    }
    out.lines(wholeMessage(answer.message));
    for (const { to, state, outcome, note, presented_at, acked_at } of answer.deliveries) {
      const when = acked_at ?? presented_at;
      const said = [outcome ?? state, when === null ? "" : `at ${when}`, note === null ? "" : sanitise(note)];
      out.line(`  ${sanitise(to)}: ${said.filter((part) => part !== "").join(" ")}`);
    }
    return 0;
  },
};

const thread: Command = {
  name: "thread",
  args: "ID",
  group: "mail",
  anywhere: true,
  ops: ["message.thread"],
  flags: {
    after: { value: "SEQ", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
    "max-chars": { value: "N", about: "cut each text here" },
  },
  async run(invocation) {
    const [id] = invocation.args;
    if (id === undefined) throw usage("thread needs the id of any of its messages", thread);
    const [after, limit, maxChars] = ["after", "limit", "max-chars"].map((flag) => numberOf(invocation, flag, thread));
    const connection = await invocation.connect();
    const answer = await connection.call("message.thread", {
      id,
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
      ...(maxChars !== undefined && { maxChars }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer, "messages");
    else for (const message of answer.messages) invocation.out.lines([...wholeMessage(message), ""]);
    return 0;
  },
};

const ack: Command = {
  name: "ack",
  args: "ID…",
  group: "mail",
  anywhere: true,
  ops: ["message.ack"],
  flags: {
    outcome: { value: "OUTCOME", about: "seen, accepted, declined, done; the last three also settle a task" },
    note: { value: "TEXT", about: "what its sender should know" },
  },
  examples: ["bosun ack m-7d1", 'bosun ack m-7d1 --outcome done --note "merged in 4f2a"'],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("ack needs the id of a message", ack);
    const text = textOf(invocation, "outcome");
    const outcome = OUTCOMES.find((each) => each === text) as Outcome | undefined;
    if (text !== undefined && !outcome) throw usage(`--outcome ${text}`, ack, `one of ${OUTCOMES.join(", ")}`);
    const note = textOf(invocation, "note");
    const connection = await invocation.connect();
    const done = await connection.call("message.ack", {
      ids: invocation.args,
      ...(outcome && { outcome }),
      ...(note !== undefined && { note }),
    });
    if (invocation.out.wish.json) invocation.out.json(done);
    else invocation.out.line(`acknowledged ${done.acked.join(" ")}`);
    return 0;
  },
};

const watch: Command = {
  name: "watch",
  args: "[WHO]",
  group: "mail",
  anywhere: true,
  ops: ["message.watch", "message.pong"],
  flags: {
    all: { about: "every message of the town, without texts" },
    after: { value: "SEQ", about: "resume behind this place; without it only what is new" },
    bodies: { short: "b", about: "with texts; handing them to their owner marks them read" },
  },
  examples: ["bosun watch --as dev-001", "bosun watch --all --json", "bosun watch deacon   # a session: its life"],
  async run(invocation) {
    const { out } = invocation;
    const [who] = invocation.args;
    const session = who === undefined ? null : await sessionNamed(await invocation.connect(), who);
    if (session !== null) {
      await watchSession(invocation, session);
      return 0;
    }
    let after = numberOf(invocation, "after", watch);
    const own = textOf(invocation, "as") ?? process.env.BOSUN_AGENT ?? null;
    await follow(invocation, async (connection) => {
      const stream = await connection.stream(
        "message.watch",
        {
          bodies: isSet(invocation, "bodies"),
          ...(who && { who }),
          ...(isSet(invocation, "all") && { all: true }),
          ...(after !== undefined && { after }),
        },
        (event) => {
          const { message } = event as { message: InboxMessage };
          after = message.seq;
          // Whoever follows their own mail is there to answer.
          if (message.type === "ping" && message.to === own && who === undefined) {
            connection.call("message.pong", { ping: message.id }).catch(() => {});
          }
          if (out.wish.json) out.json({ message });
          else if (message.body === undefined) out.line(`${message.signal}  ${out.style(message.id, "dim")}`);
          else out.lines([...wholeMessage(message), ""]);
        },
      );
      after ??= stream.ok.seq;
      return stream;
    });
    return 0;
  },
};

const dead: Command = {
  name: "dead",
  group: "mail",
  anywhere: true,
  ops: ["message.dead"],
  flags: {
    after: { value: "SEQ", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  async run(invocation) {
    const [after, limit] = ["after", "limit"].map((flag) => numberOf(invocation, flag, dead));
    const connection = await invocation.connect();
    const answer = await connection.call("message.dead", {
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
    });
    const { out } = invocation;
    if (out.wish.json) out.json(answer, "messages");
    else if (answer.messages.length === 0 && !out.wish.plain) out.line("all mail has reached somebody, or still can");
    else {
      const now = Date.now();
      out.table(
        [
          { title: "REASON" },
          { title: "FROM" },
          { title: "TO" },
          { title: "SUBJECT", flexible: true },
          { title: "AGE", align: "right" },
          { title: "ID" },
        ],
        answer.messages.map(({ reason, message }) => [
          reason,
          sanitise(message.from),
          sanitise(message.to),
          sanitise(message.subject).replaceAll("\n", " "),
          sinceText(message.ts, now),
          message.id,
        ]),
      );
    }
    return 0;
  },
};

const listAll: Command = {
  name: "mail",
  group: "mail",
  anywhere: true,
  ops: ["message.list", "message.stats"],
  flags: {
    stats: { about: "count it instead" },
    type: { value: "TYPE", many: true, about: "only of these types" },
    after: { value: "SEQ", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  async run(invocation) {
    const { out } = invocation;
    const [after, limit] = ["after", "limit"].map((flag) => numberOf(invocation, flag, listAll));
    const type = wordsOf(invocation, "type") as MessageType[];
    const connection = await invocation.connect();
    if (isSet(invocation, "stats")) {
      const stats = await connection.call("message.stats", {});
      if (out.wish.json) out.json(stats);
      else out.lines(Object.entries(stats).map(([name, value]) => `${name.padEnd(16)} ${JSON.stringify(value)}`));
      return 0;
    }
    const answer = await connection.call("message.list", {
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
      ...(type.length > 0 && { type }),
    });
    if (out.wish.json) out.json(answer, "messages");
    else
      for (const message of answer.messages)
        out.line(`${message.ts}  ${message.signal}  ${out.style(message.id, "dim")}`);
    return 0;
  },
};

const search: Command = {
  name: "search",
  args: "WORDS…",
  group: "mail",
  anywhere: true,
  ops: ["search.text"],
  flags: {
    in: { value: "KIND", many: true, about: "message, memory" },
    since: { value: "TIME", about: "RFC 3339" },
    after: { value: "SEQ", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  examples: ["bosun search gamma wall", `bosun search '"exact phrase" migrat*' --in memory`],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("search needs words", search);
    const [after, limit] = ["after", "limit"].map((flag) => numberOf(invocation, flag, search));
    const kinds = listOf(invocation, "in") as ("message" | "memory")[];
    const since = textOf(invocation, "since");
    const connection = await invocation.connect();
    const answer = await connection.call("search.text", {
      query: invocation.args.join(" "),
      ...(kinds.length > 0 && { in: kinds }),
      ...(since !== undefined && { since }),
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
    });
    const { out } = invocation;
    if (out.wish.json) out.json(answer, "hits");
    else if (answer.hits.length === 0 && !out.wish.plain) out.line("nothing found");
    else {
      const now = Date.now();
      out.table(
        [{ title: "IN" }, { title: "FROM" }, { title: "AGE", align: "right" }, { title: "TEXT", flexible: true }],
        answer.hits.map((hit) => [hit.kind, sanitise(hit.from), sinceText(hit.at, now), sanitise(hit.line)]),
      );
    }
    return 0;
  },
};

export const MAIL_COMMANDS = [send, reply, broadcast, inbox, messages, show, thread, ack, watch, dead, listAll, search];
