import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, isSet, listOf, textOf } from "../command.ts";
import { ageText } from "../time.ts";

const serve: Command = {
  name: "serve",
  anywhere: true,
  group: "shell",
  ops: ["http.open", "http.close", "http.show"],
  flags: {
    host: { value: "HOST" },
    port: { value: "PORT" },
    origin: { value: "URL", many: true },
    "allow-remote": { about: "listen where other machines can come; what is sent is not encrypted" },
    close: { about: "stop listening on TCP" },
    show: { about: "say whether and where it listens" },
  },
  examples: ["bosun serve", "bosun serve --port 4077 --origin https://desk.example", "bosun serve --close"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    if (isSet(invocation, "close")) {
      const { closed } = await connection.call("http.close", {});
      if (out.wish.json) out.json({ closed });
      else out.line(closed ? "no longer on TCP; the Unix socket goes on" : "it did not listen on TCP");
      return 0;
    }
    if (isSet(invocation, "show")) {
      const shown = await connection.call("http.show", {});
      if (out.wish.json) out.json(shown);
      else if (shown.url) printOpen(out.line.bind(out), shown.url, shown.tokenFile!);
      else out.line("not on TCP; bosun serve   opens a port");
      return 0;
    }
    const host = textOf(invocation, "host");
    const port = portOf(textOf(invocation, "port"));
    const origin = listOf(invocation, "origin");
    const opened = await connection.call("http.open", {
      ...(host !== undefined && { host }),
      ...(port !== undefined && { port }),
      ...(origin.length > 0 && { origin }),
      ...(isSet(invocation, "allow-remote") && { allowRemote: true }),
    });
    if (out.wish.json) out.json(opened);
    else printOpen(out.line.bind(out), opened.url, opened.tokenFile);
    if (typeof opened.risk === "string") out.complain(`careful: ${opened.risk}`);
    return 0;
  },
};

function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw usage(`--port ${text}`, serve, "a port is a number up to 65535; 0 is any free one");
}

function printOpen(line: (text: string) => void, url: string, tokenFile: string): void {
  line(`listening on ${url}`);
  line(`token in     ${tokenFile}`);
  line(`try          curl -H "Authorization: Bearer $(cat ${tokenFile})" ${url}/v1/town.status`);
}

/** `working 2 · idle 1`; what nobody has is left out. */
export function countsText(counts: unknown): string {
  const said = Object.entries((counts ?? {}) as Record<string, number>).filter(([, count]) => count > 0);
  return said.map(([name, count]) => `${sanitise(name)} ${count}`).join(" · ") || "none";
}

const stats: Command = {
  name: "stats",
  anywhere: true,
  group: "look",
  ops: ["hub.stats"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const answer = await connection.call("hub.stats", {});
    if (out.wish.json) {
      out.json(answer);
      return 0;
    }
    const { sessions, messages, memory } = answer as Record<string, Record<string, unknown>>;
    out.lines([
      "📊 Session Statistics",
      "",
      "🔗 Sessions",
      `   Total: ${sessions!.total_sessions}`,
      `   Active: ${sessions!.active_sessions}`,
      `   By status: ${countsText(sessions!.by_status)}`,
      `   By type: ${countsText(sessions!.by_type)}`,
      `   By user: ${countsText(sessions!.by_user)}`,
      "",
      "💬 Collaboration",
      `   Total messages: ${messages!.total_messages}`,
      `   By type: ${countsText(messages!.by_type)}`,
      `   Unread: ${messages!.unread}`,
      `   Open requests: ${messages!.open_requests}`,
      `   Dead letters: ${messages!.dead}`,
      "",
      "🧠 Shared Memory",
      `   Total entries: ${memory!.total_entries}`,
      `   Unique keys: ${memory!.unique_keys}`,
      `   By type: ${countsText(memory!.by_type)}`,
    ]);
    return 0;
  },
};

const report: Command = {
  name: "report",
  anywhere: true,
  args: "[ID]",
  group: "look",
  ops: ["hub.report"],
  flags: { limit: { short: "n", value: "N", about: "at most N agents (default 100)" } },
  async run(invocation) {
    const { out, args } = invocation;
    const limit = textOf(invocation, "limit");
    const connection = await invocation.connect();
    const answer = await connection.call("hub.report", {
      ...(args[0] !== undefined && { id: args[0] }),
      ...(limit !== undefined && { limit: Number(limit) }),
    });
    if (out.wish.json) {
      out.json(answer, "sessions");
      return 0;
    }
    const rows = answer.sessions.map((each) => [
      each.session_id,
      each.status,
      String(each.sent),
      String(each.received),
      String(each.unread),
      String(each.acked),
      each.ack_ms ? `${ageText(each.ack_ms.p50)} / ${ageText(each.ack_ms.p95)} / ${ageText(each.ack_ms.max)}` : "-",
      `${each.tasks.owned} / ${each.tasks.done}`,
      String(each.memory),
      ageText(each.up_s * 1000),
    ]);
    const right = { align: "right" } as const;
    out.table(
      [
        { title: "ID" },
        { title: "STATUS" },
        { title: "SENT", ...right },
        { title: "GOT", ...right },
        { title: "UNREAD", ...right },
        { title: "ACKED", ...right },
        { title: "ACK 50/95/MAX" },
        { title: "TASKS/DONE" },
        { title: "MEMORY", ...right },
        { title: "UP", ...right },
      ],
      rows,
    );
    return 0;
  },
};

const beacon: Command = {
  name: "beacon",
  anywhere: true,
  group: "look",
  ops: ["hub.beacon"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const answer = await connection.call("hub.beacon", {});
    if (out.wish.json) {
      out.json(answer, "sessions");
      return 0;
    }
    out.line(
      `${answer.town}: ${answer.active_sessions} of ${answer.total_sessions} sessions active · ${answer.collaboration_messages} messages, ${answer.unread} unread · ${answer.shared_memory_entries} in shared memory`,
    );
    for (const each of answer.sessions) {
      const task = each.current_task === null ? "" : ` · ${each.current_task}`;
      out.line(sanitise(`${each.emoji} ${each.session_id} ${each.agent_name} (${each.agent_type})${task}`));
    }
    return 0;
  },
};

export const FIGURE_COMMANDS = [stats, report, beacon, serve];
