import { openConnection, readToken } from "../../client/connection.ts";
import { BosunError } from "../../protocol/error.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, listOf, textOf } from "../command.ts";
import { retryAfterMs } from "../feed.ts";
import { durationMs, pause, sinceText } from "../time.ts";

const PRIORITIES = ["critical", "important", "normal", "low"] as const;

/** Rooms of the view this runs in: the agent nearest to them is meant by a short name. */
export function nearRooms(given: string[] = []): string[] {
  const rooms = given.length > 0 ? given : [process.env.BOSUN_NEAR ?? ""];
  return rooms.flatMap((room) => room.split(",")).filter((room) => room !== "");
}

const ask: Command = {
  name: "ask",
  args: "AGENT TEXT…",
  group: "message",
  ops: ["ask.send"],
  flags: {
    near: { value: "ROOM", many: true, about: "of several agents of that name, the one of this room" },
    timeout: { value: "30s", about: "how long to wait for the answer" },
    via: { value: "WAY", about: "auto, socket, fifo, keys or broker" },
  },
  examples: ["bosun ask deacon-spx status", "bosun ask spx/deacon what is the gamma flip"],
  async run(invocation) {
    const [agent, ...words] = invocation.args;
    if (agent === undefined || words.length === 0) throw usage("ask needs an agent and a text", ask);
    const timeout = textOf(invocation, "timeout");
    const timeoutMs = timeout === undefined ? null : durationMs(timeout);
    if (timeout !== undefined && timeoutMs === null)
      throw usage(`--timeout ${timeout}`, ask, "a duration is 500ms, 30s or 5m");
    const near = nearRooms(listOf(invocation, "near"));
    const via = textOf(invocation, "via") as "auto" | undefined;
    const connection = await invocation.connect();
    const answer = await connection.call("ask.send", {
      agent,
      text: words.join(" "),
      ...(near.length > 0 && { near }),
      ...(timeoutMs !== null && { timeoutMs }),
      ...(via && { via }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else {
      invocation.out.line(`${answer.agent}: ${sanitise(answer.answer)}`);
      if (answer.also.length > 0) invocation.out.say(`also fits: ${answer.also.join(", ")}`);
    }
    return 0;
  },
};

const answer: Command = {
  name: "answer",
  args: "ASK TEXT…",
  group: "message",
  ops: ["ask.answer"],
  examples: ['bosun answer ask-12 "two open, none filled"'],
  async run(invocation) {
    const [id, ...words] = invocation.args;
    if (id === undefined || words.length === 0) throw usage("answer needs the question's id and a text", answer);
    const connection = await invocation.connect();
    const done = await connection.call("ask.answer", { ask: id, text: words.join(" ") });
    if (invocation.out.wish.json) invocation.out.json(done);
    return 0;
  },
};

const listen: Command = {
  name: "listen",
  args: "[AGENT]",
  group: "message",
  ops: ["agent.listen"],
  summary: "Receive questions as an agent: one JSON object per line",
  examples: ['bosun listen | while read -r q; do bosun answer "$(jq -r .ask <<<"$q")" "…"; done'],
  async run(invocation) {
    const place = invocation.place();
    const [agent] = invocation.args;
    let connection = await invocation.connect();
    for (let attempt = 0; ; attempt++) {
      try {
        const stream = await connection.stream("agent.listen", agent ? { agent } : {}, (question) =>
          invocation.out.write(`${JSON.stringify(question)}\n`),
        );
        attempt = 0;
        await stream.ended;
      } catch (error) {
        if (!(error instanceof BosunError) || error.code !== "UNREACHABLE") throw error;
      }
      connection.close();
      await pause(retryAfterMs(attempt, Math.random()));
      connection = await openConnection(place.socket, readToken(place.tokenFile)).catch(() => connection);
    }
  },
};

const routeExplain: Command = {
  name: "route explain",
  args: "ROOM|AGENT",
  group: "message",
  ops: ["route.explain"],
  flags: { near: { value: "ROOM", many: true, about: "as seen from these rooms" } },
  examples: ["bosun route explain spx", "bosun route explain deacon"],
  async run(invocation) {
    const [to] = invocation.args;
    if (to === undefined) throw usage("route explain needs a room or an agent", routeExplain);
    const near = nearRooms(listOf(invocation, "near"));
    const connection = await invocation.connect();
    const { hops, ...rest } = await connection.call("route.explain", { to, ...(near.length > 0 && { near }) });
    if (invocation.out.wish.json) invocation.out.json({ ...rest, hops }, "hops");
    else if (!invocation.out.wish.plain) {
      for (const [index, hop] of hops.entries())
        invocation.out.lines([
          `${String(index + 1).padStart(2)}  ${sanitise(hop.from)} → ${sanitise(hop.to)}`,
          `      by       ${sanitise(hop.by)}`,
          `      because  ${sanitise(hop.because)}`,
        ]);
    } else {
      invocation.out.table(
        [{ title: "FROM" }, { title: "TO" }, { title: "BY", flexible: true }, { title: "BECAUSE", flexible: true }],
        hops.map((hop) => [hop.from, hop.to, hop.by, hop.because]),
      );
    }
    return 0;
  },
};

const send: Command = {
  name: "send",
  args: "[FROM] TO SUBJECT BODY",
  group: "message",
  ops: ["message.send"],
  flags: {
    type: { value: "TYPE", about: "request, response, notification …" },
    priority: { value: "PRIORITY", about: PRIORITIES.join(", ") },
    data: { value: "JSON", about: "anything structured, kept byte for byte" },
    "in-reply-to": { value: "ID", about: "the message this answers" },
    key: { value: "KEY", about: "sending again with the same key counts once" },
  },
  examples: [
    'bosun send dev-001 "Review" "Can you look at the parser?"',
    "echo long text | bosun send dev-001 Notes -",
  ],
  async run(invocation) {
    const { args } = invocation;
    if (args.length < 3 || args.length > 4) throw usage("send needs a recipient, a subject and a body", send);
    const [to, subject, body] = args.slice(-3) as [string, string, string];
    if (args.length === 4) invocation.out.say("the sender is whoever holds the credential; FROM is not looked at");
    const priority = textOf(invocation, "priority") as (typeof PRIORITIES)[number] | undefined;
    if (priority && !PRIORITIES.includes(priority))
      throw usage(`--priority ${priority}`, send, `one of ${PRIORITIES.join(", ")}`);
    const text = body === "-" ? await stdinText() : body;
    const type = textOf(invocation, "type") as "request" | undefined;
    const dataJson = textOf(invocation, "data");
    const inReplyTo = textOf(invocation, "in-reply-to");
    const key = textOf(invocation, "key");
    const connection = await invocation.connect();
    const sent = await connection.call(
      "message.send",
      {
        to: to.split(","),
        subject,
        body: text,
        ...(type && { type }),
        ...(priority && { priority }),
        ...(dataJson !== undefined && { dataJson }),
        ...(inReplyTo && { inReplyTo }),
      },
      key ? { key } : {},
    );
    if (invocation.out.wish.json) invocation.out.json(sent);
    else invocation.out.line(`${sent.id}  to ${sent.recipients.join(", ")}${sent.duplicate ? "  (sent before)" : ""}`);
    return 0;
  },
};

async function stdinText(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

const inbox: Command = {
  name: "inbox",
  aliases: ["messages"],
  args: "[WHO]",
  group: "message",
  ops: ["message.inbox"],
  flags: {
    unread: { about: "only what is not acknowledged" },
    bodies: { short: "b", about: "with the texts; that counts as handing them over" },
    after: { value: "SEQ", about: "only newer ones" },
    limit: { value: "N", about: "at most N" },
  },
  examples: ["bosun inbox", "bosun inbox dev-001 --bodies --json"],
  async run(invocation) {
    const [who] = invocation.args;
    const after = textOf(invocation, "after");
    const limit = textOf(invocation, "limit");
    const connection = await invocation.connect();
    const mail = await connection.call("message.inbox", {
      ...(who && { who }),
      ...(after && { after: Number(after) }),
      ...(limit && { limit: Number(limit) }),
      ...(isSet(invocation, "unread") && { unread: true }),
      ...(isSet(invocation, "bodies") && { bodies: true }),
    });
    if (invocation.out.wish.json) invocation.out.json(mail, "messages");
    else printMail(invocation, mail);
    return 0;
  },
};

interface Mail {
  unread: number;
  messages: {
    id: string;
    from: string;
    subject: string;
    type: string;
    ts: string;
    state: string;
    priority: string;
    body?: string | undefined;
  }[];
}

const MARKS: Record<string, string> = { critical: "!!", important: "!" };

export function printMail({ out }: Pick<Invocation, "out">, mail: Mail): void {
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
      sanitise(one.type),
      sinceText(one.ts, now),
      one.state,
      one.id,
    ]),
  );
  for (const { id, body } of mail.messages) {
    if (body !== undefined && !out.wish.plain) out.line(`\n${id}\n${sanitise(body).replace(/^/gm, "  ")}`);
  }
}

const ack: Command = {
  name: "ack",
  args: "ID…",
  group: "message",
  ops: ["message.ack"],
  examples: ["bosun ack m-7d1"],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("ack needs the id of a message", ack);
    const connection = await invocation.connect();
    const done = await connection.call("message.ack", { ids: invocation.args });
    if (invocation.out.wish.json) invocation.out.json(done);
    else invocation.out.line(`acknowledged ${done.acked.join(" ") || "nothing new"}`);
    return 0;
  },
};

const enrol: Command = {
  name: "enrol",
  args: "AGENT",
  group: "message",
  ops: ["agent.enrol"],
  examples: ["bosun enrol feeder-1"],
  async run(invocation) {
    const [agent] = invocation.args;
    if (agent === undefined) throw usage("enrol needs a name for the program", enrol);
    const connection = await invocation.connect();
    const issued = await connection.call("agent.enrol", { agent });
    if (invocation.out.wish.json) invocation.out.json(issued);
    else invocation.out.lines([`BOSUN_SOCKET=${issued.socket}`, `BOSUN_TOKEN_FILE=${issued.tokenFile}`]);
    return 0;
  },
};

export const MESSAGE_COMMANDS = [ask, answer, listen, routeExplain, send, inbox, ack, enrol];
