import { sanitise } from "../../protocol/text.ts";
import { durationOf, usage } from "../arguments.ts";
import { type Command, listOf, textOf } from "../command.ts";
import { follow } from "../follow.ts";

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
    const timeoutMs = durationOf(invocation, "timeout", ask);
    const near = nearRooms(listOf(invocation, "near"));
    const via = textOf(invocation, "via") as "auto" | undefined;
    const connection = await invocation.connect();
    const answer = await connection.call("ask.send", {
      agent,
      text: words.join(" "),
      ...(near.length > 0 && { near }),
      ...(timeoutMs !== undefined && { timeoutMs }),
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
    const [agent] = invocation.args;
    await follow(invocation, (connection) =>
      connection.stream("agent.listen", agent ? { agent } : {}, (question) =>
        invocation.out.write(`${JSON.stringify(question)}\n`),
      ),
    );
    return 0;
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

export const MESSAGE_COMMANDS = [ask, answer, listen, routeExplain, enrol];
