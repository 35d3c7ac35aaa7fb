import type { AgentInfo } from "../../protocol/registry.ts";
import { sanitise } from "../../protocol/text.ts";
import { durationOf, numberOf, usage, wordsOf } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";
import { countsText } from "./figures.ts";

const STATUSES = ["active", "idle", "working", "waiting", "offline"] as const;
type Status = (typeof STATUSES)[number];

function statusOf(text: string, command: Command): Status {
  const found = STATUSES.find((status) => status === text);
  if (found) return found;
  throw usage(`"${text}" is no status`, command, `one of ${STATUSES.join(", ")}`);
}

const register: Command = {
  name: "register",
  args: "ID NAME TYPE",
  group: "agent",
  anywhere: true,
  ops: ["agent.register"],
  flags: {
    user: { value: "USER" },
    capabilities: { value: "A,B", many: true, about: "what it can do: python,review" },
    group: { value: "NAME", many: true, about: "groups it belongs to" },
    location: { value: "TEXT", about: "where it works" },
    task: { value: "TEXT", about: "what it works on" },
    "lease-s": { value: "SECONDS" },
    takeover: {},
  },
  examples: ["bosun register cece-001 Cece Claude --user Alexa --capabilities python,review,planning"],
  async run(invocation) {
    const [id, name, type, ...more] = invocation.args;
    if (id === undefined || name === undefined || type === undefined || more.length > 0) {
      throw usage("register needs an id, a name and a type", register);
    }
    const [user, location, task] = ["user", "location", "task"].map((flag) => textOf(invocation, flag));
    const capabilities = wordsOf(invocation, "capabilities");
    const groups = wordsOf(invocation, "group");
    const leaseS = numberOf(invocation, "lease-s", register);
    const connection = await invocation.connect();
    const { agent, tokenFile, socket, returning } = await connection.call("agent.register", {
      id,
      name,
      type,
      ...(user !== undefined && { user }),
      ...(location !== undefined && { location }),
      ...(task !== undefined && { task }),
      ...(capabilities.length > 0 && { capabilities }),
      ...(groups.length > 0 && { groups }),
      ...(leaseS !== undefined && { leaseS }),
      ...(isSet(invocation, "takeover") && { takeover: true }),
    });
    const { out } = invocation;
    if (out.wish.json) {
      out.json({ ...agent, tokenFile, socket, returning });
      return 0;
    }
    out.lines([
      `✅ Registered session: ${agent.session_id}${returning ? ` (epoch ${agent.epoch})` : ""}`,
      `   Agent: ${sanitise(agent.agent_name)} (${sanitise(agent.agent_type)})`,
      `   User: ${sanitise(agent.human_user ?? "-")}`,
      `   Started: ${agent.started_at}`,
    ]);
    out.say(`its credential: BOSUN_SOCKET=${socket} BOSUN_TOKEN_FILE=${tokenFile}`);
    return 0;
  },
};

/** The table of the registry, and beneath it how many there are. */
function printAgents({ out }: Invocation, answer: AgentList): void {
  const { sessions, total, active, by_status } = answer;
  const now = Date.now();
  if (sessions.length === 0 && !out.wish.plain) out.line("No active sessions found.");
  else {
    out.table(
      [
        { title: "SESSION ID" },
        { title: "AGENT", flexible: true },
        { title: "TYPE", flexible: true },
        { title: "STATUS" },
        { title: "USER", flexible: true },
        { title: "SEEN", align: "right" },
        { title: "UNREAD", align: "right", whenSaid: true },
        { title: "TASK", flexible: true, whenSaid: true },
      ],
      sessions.map((agent) => [
        agent.session_id,
        sanitise(agent.agent_name),
        sanitise(agent.agent_type),
        agent.status,
        sanitise(agent.human_user ?? "-"),
        sinceText(agent.last_ping, now),
        String(agent.unread),
        sanitise(agent.current_task ?? ""),
      ]),
    );
  }
  if (out.wish.plain) return;
  out.lines(["", "📊 Stats:", `   Total: ${total}`, `   Active: ${active}`, `   By status: ${countsText(by_status)}`]);
}

interface AgentList {
  sessions: AgentInfo[];
  total: number;
  active: number;
  by_status: Record<string, number>;
  next: string | null;
}

/** Agents of one answer for people; `--after` has the rest. */
const PAGE = 1_000;

const FILTERS = {
  all: { about: "offline ones too" },
  status: { value: "STATUS", many: true, about: STATUSES.join(", ") },
  capability: { value: "WORD", many: true, about: "has all of these" },
  type: { value: "TYPE", about: "of this type" },
  user: { value: "USER", about: "works for this human" },
  group: { value: "NAME", about: "belongs to this group" },
  limit: { short: "n", value: "N", about: `at most N (default ${PAGE})` },
  after: { value: "ID", about: "cursor: `next` of the answer before" },
} as const;

async function printList(invocation: Invocation, query: string | undefined, command: Command): Promise<number> {
  const status = wordsOf(invocation, "status").map((text) => statusOf(text, command));
  const capability = wordsOf(invocation, "capability");
  const [type, user, group, after] = ["type", "user", "group", "after"].map((flag) => textOf(invocation, flag));
  const connection = await invocation.connect();
  const answer = await connection.call("agent.list", {
    limit: numberOf(invocation, "limit", command) ?? PAGE,
    ...((isSet(invocation, "all") || status.includes("offline")) && { all: true }),
    ...(status.length > 0 && { status }),
    ...(capability.length > 0 && { capability }),
    ...(type !== undefined && { type }),
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
    ...(after !== undefined && { after }),
    ...(query !== undefined && { query }),
  });
  if (invocation.out.wish.json) invocation.out.json(answer, "sessions");
  else printAgents(invocation, answer);
  if (answer.next !== null) invocation.out.say(`there are more: --after ${answer.next}`);
  return 0;
}

const list: Command = {
  name: "list",
  aliases: ["agents"],
  group: "agent",
  anywhere: true,
  ops: ["agent.list", "agent.stats"],
  flags: { ...FILTERS, stats: { about: "count them instead" } },
  examples: ["bosun list", "bosun list --all --json=session_id,status"],
  run: (invocation) => (isSet(invocation, "stats") ? printCounts(invocation) : printList(invocation, undefined, list)),
};

async function printCounts(invocation: Invocation): Promise<number> {
  const connection = await invocation.connect();
  const stats = await connection.call("agent.stats", {});
  if (invocation.out.wish.json) invocation.out.json(stats);
  else {
    invocation.out.lines([
      `Total: ${stats.total_sessions}`,
      `Active: ${stats.active_sessions}`,
      `By status: ${countsText(stats.by_status)}`,
      `By type: ${countsText(stats.by_type)}`,
      `By user: ${countsText(stats.by_user)}`,
    ]);
  }
  return 0;
}

const find: Command = {
  name: "find",
  args: "[TEXT]",
  group: "agent",
  anywhere: true,
  ops: ["agent.list"],
  summary: "Find agents by what they can do, their user, status, or a part of their name",
  flags: FILTERS,
  examples: ["bosun find --capability python --status idle", "bosun find parser"],
  run: (invocation) => printList(invocation, invocation.args[0], find),
};

const ping: Command = {
  name: "ping",
  args: "[FROM] ID",
  group: "agent",
  anywhere: true,
  ops: ["agent.ping", "message.ping"],
  summary: "A sign of life for ID; with FROM, ask whether ID is there and how fast it answers",
  flags: { timeout: { value: "2s", about: "how long its own answer is waited for" } },
  examples: ["bosun ping cece-001", "bosun ping cece-001 agent-002"],
  async run(invocation) {
    const { args, out } = invocation;
    if (args.length === 0 || args.length > 2) throw usage("ping needs an id", ping);
    if (args.length === 1) {
      const connection = await invocation.connect();
      const { agent, was } = await connection.call("agent.ping", { id: args[0]! });
      if (out.wish.json) out.json({ ...agent, was });
      else
        out.line(
          `✅ Pinged session: ${agent.session_id}${was === "offline" ? ` (it was offline; now ${agent.status})` : ""}`,
        );
      return 0;
    }
    const [from, to] = args as [string, string];
    const timeoutMs = durationOf(invocation, "timeout", ping);
    const connection = await invocation.connect({ as: from });
    const pong = await connection.call("message.ping", { to, ...(timeoutMs !== undefined && { timeoutMs }) });
    if (out.wish.json) out.json(pong);
    else {
      const how = pong.rtt_ms === null ? "" : ` in ${pong.rtt_ms} ms`;
      const said = pong.alive === null ? "nobody can tell" : pong.alive ? `it is there${how}` : "it does not answer";
      out.lines([pong.signal, `   ${said}: ${sanitise(pong.evidence)}`]);
    }
    return pong.alive === false ? 1 : 0;
  },
};

const setStatus: Command = {
  name: "set-status",
  args: "ID STATUS",
  group: "agent",
  anywhere: true,
  ops: ["agent.status"],
  flags: { task: { value: "TEXT", about: "what it works on; empty clears it" } },
  examples: ['bosun set-status agent-002 working --task "Code review"', "bosun status agent-002 idle"],
  run: (invocation) => updateStatus(invocation, setStatus),
};

/** Also `status ID STATUS`, as the system says it that this registry comes from. */
export async function updateStatus(invocation: Invocation, command: Command): Promise<number> {
  const [id, status, ...more] = invocation.args;
  if (id === undefined || status === undefined || more.length > 0) throw usage("it needs an id and a status", command);
  const task = textOf(invocation, "task");
  const wanted = statusOf(status, command);
  const connection = await invocation.connect({ anywhere: true });
  const { agent } = await connection.call("agent.status", {
    id,
    status: wanted,
    ...(task !== undefined && { task: task === "" ? null : task }),
  });
  const { out } = invocation;
  if (out.wish.json) out.json(agent);
  else {
    const lines = [`✅ Updated session ${agent.session_id}`, `   Status: ${agent.status}`];
    if (agent.current_task !== null) lines.push(`   Task: ${sanitise(agent.current_task)}`);
    out.lines(lines);
  }
  return 0;
}

const show: Command = {
  name: "agent",
  args: "ID",
  group: "agent",
  anywhere: true,
  ops: ["agent.show"],
  summary: "Everything known of one agent",
  async run(invocation) {
    const [id] = invocation.args;
    if (id === undefined) throw usage("agent needs an id", show);
    const connection = await invocation.connect();
    const { agent } = await connection.call("agent.show", { id });
    const { out } = invocation;
    if (out.wish.json) {
      out.json(agent);
      return 0;
    }
    const said: [string, unknown][] = [
      ["agent", `${agent.agent_name} (${agent.agent_type})`],
      ["status", `${agent.status} since ${agent.since}`],
      ["because", agent.evidence],
      ["user", agent.human_user],
      ["task", agent.current_task],
      ["can", agent.capabilities.join(", ")],
      ["groups", agent.groups.join(", ")],
      ["location", agent.location],
      ["session", agent.session],
      ["seen", agent.last_ping],
      ["started", `${agent.started_at}, epoch ${agent.epoch}, silent for ${agent.lease_s} s it is offline`],
      ["unread", agent.unread],
      ["metadata", Object.keys(agent.metadata).length > 0 ? JSON.stringify(agent.metadata) : null],
    ];
    out.line(agent.session_id);
    for (const [title, text] of said) {
      if (text !== null && text !== "") out.line(`  ${title.padEnd(10)} ${sanitise(String(text))}`);
    }
    return 0;
  },
};

const unregister: Command = {
  name: "unregister",
  args: "[ID]",
  group: "agent",
  anywhere: true,
  ops: ["agent.unregister", "agent.clear"],
  flags: { offline: { about: "every offline agent from outside" } },
  examples: ["bosun unregister agent-002", "bosun unregister --offline"],
  async run(invocation) {
    const { args, out } = invocation;
    const connection = await invocation.connect();
    if (isSet(invocation, "offline")) {
      const { removed } = await connection.call("agent.clear", {});
      if (out.wish.json) out.json({ removed });
      else out.line(removed.length > 0 ? `taken off: ${removed.join(", ")}` : "nobody is offline");
      return 0;
    }
    const [id] = args;
    const gone = await connection.call("agent.unregister", id === undefined ? {} : { id });
    if (out.wish.json) out.json(gone);
    else
      out.line(`✅ Unregistered session: ${gone.id}${gone.unread > 0 ? ` (${gone.unread} unread messages stay)` : ""}`);
    return 0;
  },
};

const groupList: Command = {
  name: "group list",
  group: "agent",
  anywhere: true,
  ops: ["group.list"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("group.list", {});
    if (invocation.out.wish.json) invocation.out.json(answer, "groups");
    else {
      invocation.out.table(
        [{ title: "GROUP" }, { title: "FROM" }, { title: "MEMBERS", flexible: true }],
        answer.groups.map((each) => [
          `${each.kind === "topic" ? "#" : "@"}${each.group}`,
          each.declared ? "plan" : "joined",
          each.members.join(", "),
        ]),
      );
    }
    return 0;
  },
};

/** `@builders`, `#deploys`, or a bare name, which is a group unless `--topic` says otherwise. */
async function changeGroup(invocation: Invocation, op: "group.join" | "group.leave", command: Command) {
  const [address, member] = invocation.args;
  if (address === undefined) throw usage(`${command.name} needs a group`, command);
  const topic = address.startsWith("#") || isSet(invocation, "topic");
  const connection = await invocation.connect();
  const { group, members } = await connection.call(op, {
    group: address.replace(/^[@#]/, ""),
    ...(topic && { topic: true }),
    ...(member !== undefined && { member }),
  });
  const { out } = invocation;
  if (out.wish.json) out.json({ group, members });
  else out.line(`${topic ? "#" : "@"}${group}: ${members.join(", ") || "nobody"}`);
  return 0;
}

const groupJoin: Command = {
  name: "group join",
  args: "@GROUP|#TOPIC [ID]",
  group: "agent",
  anywhere: true,
  ops: ["group.join"],
  flags: { topic: {} },
  examples: ["bosun group join @builders dev-001", "bosun group join '#deploys' dev-001"],
  run: (invocation) => changeGroup(invocation, "group.join", groupJoin),
};

const groupLeave: Command = {
  name: "group leave",
  args: "@GROUP|#TOPIC [ID]",
  group: "agent",
  anywhere: true,
  ops: ["group.leave"],
  flags: { topic: {} },
  run: (invocation) => changeGroup(invocation, "group.leave", groupLeave),
};

export const AGENT_COMMANDS = [
  register,
  list,
  find,
  show,
  ping,
  setStatus,
  unregister,
  groupList,
  groupJoin,
  groupLeave,
];
