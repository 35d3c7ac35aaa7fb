import type { Connection } from "../../client/connection.ts";
import type { Answer } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import { shellWord } from "../../protocol/shell.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { onlyReading, ownTown, readingsOf, townAndName } from "../towns.ts";

const attach: Command = {
  name: "attach",
  aliases: ["a"],
  args: "NAME",
  anywhere: true,
  group: "session",
  ops: ["session.attach"],
  flags: { "read-only": { short: "r", about: "watch without typing" }, force: { about: "also a headless session" } },
  examples: ["bosun attach moo-steve", "bosun attach agents-spx -r", "bosun attach gt12/mayor"],
  async run(invocation) {
    const [session] = invocation.args;
    if (session === undefined) throw usage("attach needs the name of a session", attach);
    const readOnly = isSet(invocation, "read-only");
    const where = await whereToAttach(invocation, session, {
      ...(readOnly && { readOnly }),
      ...(isSet(invocation, "force") && { force: true }),
    });
    if (invocation.out.wish.json) {
      invocation.out.json(where);
      return 0;
    }
    return becomeTmux(invocation, where, readOnly);
  },
};

type Where = Answer<"session.attach">;

/** In the town that is meant here; a session that only another town of this machine has is attached there. */
async function whereToAttach(
  invocation: Invocation,
  text: string,
  wish: { readOnly?: boolean; force?: boolean },
): Promise<Where> {
  const attached = async (connection: Connection, session: string): Promise<Where> => {
    const where = await connection.call("session.attach", { session, ...wish });
    connection.close();
    return where;
  };
  let refusal: unknown = new BosunError({
    code: "UNKNOWN_SESSION",
    what: `no session is called "${text}"`,
    why: "no town is meant here, and none of this machine has it",
    fix: "bosun ls --all-towns",
  });
  try {
    const connection = await ownTown(invocation, text);
    if (connection) return await attached(connection, text);
  } catch (error) {
    refusal = error;
    if (!(error instanceof BosunError && error.code === "UNKNOWN_SESSION")) throw error;
  }
  if (invocation.flags["town"] !== undefined) throw refusal;
  const named = townAndName(text);
  if (named) return attached(await invocation.connect({ town: named.town }), named.name);
  const readings = await readingsOf(invocation, text);
  // Ours, and it does not run: another town's of that name is not what was meant.
  if (readings.some(({ town }) => town.town === invocation.place().town)) throw refusal;
  const other = onlyReading(readings, text, "attach");
  if (!other) throw refusal;
  invocation.out.say(`${other.session.name} is of the town ${other.town.town}`);
  return attached(await invocation.connect({ town: other.town.town }), other.session.id);
}

/** From here on the terminal is tmux's: this process becomes it, so that nothing stands between the two. */
function becomeTmux({ out }: Invocation, where: Answer<"session.attach">, readOnly: boolean): number {
  const inside = process.env.TMUX;
  if (!inside && !(out.stdoutIsTerminal && process.stdin.isTTY)) {
    throw new BosunError({
      code: "UNREACHABLE",
      what: "there is no terminal to attach",
      why: "standard input and output are not one",
      fix: `tmux ${where.socket.join(" ")} attach -t '=${where.name}'`,
    });
  }
  const rest = [...(readOnly ? ["-r"] : []), "-t", where.target];
  const argv = ["-u", ...where.socket, "attach-session", ...rest];
  const { execFileSync, spawnSync } = process.getBuiltinModule("node:child_process");
  if (inside) {
    const client = terminalHere(where);
    const sameServer = inside.split(",")[1] === String(where.serverPid);
    // A session inside a session swallows each other's keys: on another server this terminal leaves the one and goes to the other.
    const there = ["exec", "tmux", ...argv].map(shellWord).join(" ");
    const go = sameServer
      ? ["-u", ...where.socket, "switch-client", "-c", client, ...rest]
      : ["detach-client", "-t", client, "-E", there];
    return spawnSync("tmux", go, { stdio: "inherit" }).status ?? 1;
  }
  if (typeof process.execve === "function") {
    const program = execFileSync("sh", ["-c", "command -v tmux"], { encoding: "utf8" }).trim();
    process.execve(program, ["tmux", ...argv], process.env);
  }
  return spawnSync("tmux", argv, { stdio: "inherit" }).status ?? 1;
}

/** Who shows the pane we are in, the last who pressed a key. Left to itself, tmux takes anybody's terminal where nobody shows it. */
function terminalHere(where: Where): string {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const format = "#{client_control_mode}\t#{client_activity}\t#{client_name}";
  const listed = spawnSync("tmux", ["list-clients", "-t", process.env.TMUX_PANE ?? "", "-F", format], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const people = (listed.stdout ?? "").split("\n").flatMap((line) => {
    const [control, activity, name] = line.split("\t");
    return control === "0" && name ? [{ name, activity: Number(activity) }] : [];
  });
  const [last] = people.toSorted((a, b) => b.activity - a.activity);
  if (last) return last.name;
  throw new BosunError({
    code: "UNREACHABLE",
    what: "there is no terminal to attach",
    why: "nobody looks at the tmux pane this runs in",
    fix: `tmux ${where.socket.join(" ")} attach -t '=${where.name}'`,
  });
}

const logs: Command = {
  name: "logs",
  args: "NAME",
  anywhere: true,
  group: "session",
  ops: ["session.logs"],
  flags: {
    follow: { short: "f", about: "go on with what is added" },
    lines: { short: "n", value: "N", about: "the newest N lines" },
    pane: { value: "PANE", about: "one pane, by title or id" },
  },
  examples: ["bosun logs agents-spx", "bosun logs agents-spx --pane deacon-spx -f"],
  run: (invocation) => showText(invocation, logs, numberIn(invocation, "lines")),
};

/** A screenful, as somebody who looks over a shoulder sees it. */
const SCREEN_LINES = 50;

const peek: Command = {
  name: "peek",
  args: "NAME",
  anywhere: true,
  group: "session",
  ops: ["session.logs"],
  summary: "What a session's screens show now",
  flags: {
    follow: { short: "f", about: "go on with what is added" },
    pane: { value: "PANE", about: "one pane, by title or id" },
  },
  run: (invocation) => showText(invocation, peek, SCREEN_LINES),
};

function numberIn(invocation: Invocation, flag: string): number | undefined {
  const text = textOf(invocation, flag);
  if (text === undefined) return undefined;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw usage(`--${flag} ${text}`, logs, "a whole number is wanted");
}

async function showText(invocation: Invocation, command: Command, lines: number | undefined): Promise<number> {
  const { out } = invocation;
  const [named] = invocation.args;
  if (named === undefined) throw usage(`${command.name} needs the name of a session`, command);
  const [session, window] = named.split(":") as [string, string | undefined];
  const pane = textOf(invocation, "pane") ?? (window?.startsWith("%") ? window : undefined);
  const connection = await invocation.connect();
  const input = {
    session,
    ...(pane && { pane }),
    ...(lines && { lines }),
    ...(isSet(invocation, "follow") && { follow: true }),
  };
  const titles = new Map<string, string>();
  const print = (answer: Answer<"session.logs">): void => {
    for (const { id, title, text } of answer.panes) {
      titles.set(id, title);
      if (answer.panes.length > 1 && !out.wish.plain) out.line(out.style(`── ${sanitise(title)} ──`, "dim"));
      if (text !== "") out.line(sanitise(text));
    }
  };
  if (!isSet(invocation, "follow")) {
    const answer = await connection.call("session.logs", input);
    if (out.wish.json) out.json(answer, "panes");
    else print(answer);
    return 0;
  }
  const stream = await connection.stream("session.logs", input, (event) => {
    const { pane: id, text } = event as { pane: string; text: string };
    out.lines(
      text
        .split("\n")
        .map((line) => (titles.size > 1 ? `${sanitise(titles.get(id) ?? id)}  ${sanitise(line)}` : sanitise(line))),
    );
  });
  print(stream.ok);
  await stream.ended;
  return 0;
}

/** The raw bytes of a pane, in a terminal of its own: a window that shows what another shows. */
const replicate: Command = {
  name: "replicate",
  args: "NAME[:PANE]",
  group: "session",
  ops: ["session.output"],
  hidden: true,
  async run(invocation) {
    const [named] = invocation.args;
    if (named === undefined) throw usage("replicate needs the name of a session", replicate);
    const at = named.lastIndexOf(":");
    const [session, pane] = at < 0 ? [named, undefined] : [named.slice(0, at), named.slice(at + 1)];
    const connection = await invocation.connect();
    const stream = await connection.stream("session.output", { session, ...(pane && { pane }) }, (event) => {
      process.stdout.write(Buffer.from((event as { base64: string }).base64, "base64"));
    });
    await stream.ended;
    return 0;
  },
};

export const SESSION_COMMANDS = [attach, logs, peek, replicate];
