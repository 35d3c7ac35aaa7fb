import { existsSync, readdirSync } from "node:fs";
import { openConnection } from "../../client/connection.ts";
import { bosunHome, socketPath } from "../../client/home.ts";
import type { Answer } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

type Status = Answer<"town.status">;
type Session = Status["sessions"][number];
type Up = Answer<"town.up">;

const up: Command = {
  name: "up",
  args: "[NAME…]",
  group: "plan",
  ops: ["town.up"],
  flags: {
    restart: { about: "also restart sessions that differ from the plan" },
    "dry-run": { about: "only show what would be done" },
  },
  examples: ["bosun up", "bosun up agents-spx", "bosun up --restart"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const input = {
      ...planOf(invocation),
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
      ...(isSet(invocation, "restart") && { restart: true }),
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "dry-run") && { dryRun: true }),
    };
    const done = await connection.call("town.up", input, {
      onEvent: (event) => {
        const {
          done: count,
          total,
          session,
          did,
        } = event as { done: number; total: number; session: string; did: string };
        out.progress(`${bar(count, total)}  ${count}/${total}  ${session} ${did}`);
      },
    });
    out.clearProgress();
    if (out.wish.json) out.json(done);
    else printUp(invocation, done);
    return done.failed.length > 0 ? 5 : 0;
  },
};

const BAR_CELLS = 20;

function bar(done: number, total: number): string {
  const full = Math.round((done / Math.max(total, 1)) * BAR_CELLS);
  return "█".repeat(full) + "░".repeat(BAR_CELLS - full);
}

function printUp(invocation: Invocation, done: Up): void {
  const { out } = invocation;
  const sets: [string, string, string[]][] = [
    ["+", "created", done.created],
    ["=", "found again", done.adopted],
    ["↻", "started again", done.restarted],
    ["-", "stopped", done.stopped],
  ];
  if (isSet(invocation, "dry-run")) printSteps(invocation, (done as { steps?: Step[] }).steps ?? []);
  for (const [mark, word, names] of sets)
    if (names.length > 0)
      out.line(
        `  ${mark}  ${word.padEnd(14)} ${String(names.length).padStart(3)}  ${shortList(names, out.columns - 28)}`,
      );
  for (const step of done.held.filter((each) => each.needs !== "name-taken"))
    out.say(`  !  ${step.name}: ${step.why}; waits for ${step.needs}`);
  for (const { session, error } of done.failed) out.complain(`  ✕  ${session}: ${error}`);
  const changed = done.created.length + done.adopted.length + done.restarted.length + done.stopped.length;
  const running = changed + done.unchanged - done.stopped.length;
  if (changed === 0 && done.failed.length === 0)
    out.line(`town ${done.town}: nothing to do (${done.unchanged} as declared)`);
  else
    out.line(
      `town ${done.town}: ${running} as declared, ${done.failed.length} failed · ${(done.ms / 1000).toFixed(1)} s`,
    );
  if (changed > 0) out.say("next  bosun status · bosun feed '*' -f · bosun attach NAME");
}

function shortList(names: readonly string[], cells: number): string {
  let text = "";
  for (const [index, name] of names.entries()) {
    const next = text === "" ? name : `${text}, ${name}`;
    if (next.length > cells - 8) return `${text} … ${names.length - index} more`;
    text = next;
  }
  return text;
}

const down: Command = {
  name: "down",
  args: "[NAME…]",
  group: "plan",
  ops: ["town.down"],
  flags: { "dry-run": { about: "only show what would be stopped" } },
  examples: ["bosun down", "bosun down agents-spx"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const done = await connection.call("town.down", {
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "dry-run") && { dryRun: true }),
    });
    if (out.wish.json) out.json(done);
    else {
      if (isSet(invocation, "dry-run")) printSteps(invocation, (done as { steps?: Step[] }).steps ?? []);
      else
        out.line(
          done.stopped.length === 0
            ? "nothing to stop"
            : `stopped ${done.stopped.length}: ${shortList(done.stopped, out.columns - 14)}`,
        );
      for (const step of done.held) out.complain(`  !  ${step.name} goes on: ${step.needs}`);
    }
    return done.held.length > 0 ? 5 : 0;
  },
};

const restart: Command = {
  name: "restart",
  args: "NAME…",
  group: "plan",
  ops: ["session.restart"],
  examples: ["bosun restart agents-spx"],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("restart needs the name of a session", restart);
    const connection = await invocation.connect();
    const done = await connection.call("session.restart", {
      sessions: invocation.args,
      ...(isSet(invocation, "yes") && { yes: true }),
    });
    if (invocation.out.wish.json) invocation.out.json(done);
    else {
      if (done.restarted.length > 0) invocation.out.line(`restarted ${done.restarted.join(", ")}`);
      for (const step of done.held) invocation.out.complain(`  !  ${step.name} was left alone: ${step.needs}`);
    }
    return done.held.length > 0 ? 5 : 0;
  },
};

type Step = Answer<"plan.diff">["steps"][number];

const MARKS: Record<Step["do"], string> = {
  create: "+",
  adopt: "=",
  rename: "~",
  restart: "↻",
  respawn: "↻",
  stop: "-",
  none: " ",
};

function printSteps({ out }: Invocation, steps: readonly Step[]): void {
  const shown = steps.filter((step) => step.do !== "none" || step.needs !== null);
  if (shown.length === 0) {
    out.line(`as declared: ${steps.length} sessions`);
    return;
  }
  out.table(
    [{ title: "" }, { title: "DO" }, { title: "SESSION" }, { title: "WHY", flexible: true }, { title: "WAITS FOR" }],
    shown.map((step) => [
      step.needs === "name-taken" ? "!" : MARKS[step.do],
      step.do,
      step.name,
      step.why,
      step.needs ?? "",
    ]),
  );
}

const diff: Command = {
  name: "diff",
  args: "[NAME…]",
  group: "plan",
  ops: ["plan.diff"],
  examples: ["bosun diff", "bosun diff --json"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("plan.diff", {
      ...planOf(invocation),
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer, "steps");
    else printSteps(invocation, answer.steps);
    return 0;
  },
};

/** The plan file a command works on; without one the plan in force is meant. */
export function planOf(invocation: Invocation): { file?: string } {
  const { plan } = invocation.place();
  return plan === null ? {} : { file: plan };
}

const start: Command = {
  name: "start",
  group: "keep",
  summary: "Start the coordinator; any command that needs it does the same",
  async run(invocation) {
    const connection = await invocation.connect();
    const { coordinator, town } = await connection.call("town.status", {});
    if (invocation.out.wish.json) invocation.out.json({ town, coordinator });
    else invocation.out.line(`coordinator of ${town} runs, pid ${coordinator.pid}`);
    return 0;
  },
};

const stop: Command = {
  name: "stop",
  group: "keep",
  ops: ["coordinator.stop"],
  async run(invocation) {
    const connection = await invocation.connect({ start: false }).catch((error: unknown) => {
      if (error instanceof BosunError && error.code === "UNREACHABLE") return null;
      throw error;
    });
    if (!connection) {
      invocation.out.say("the coordinator does not run");
      return 0;
    }
    const { pid } = await connection.call("coordinator.stop", {});
    await connection.closed;
    if (invocation.out.wish.json) invocation.out.json({ pid });
    else invocation.out.line(`coordinator stopped (pid ${pid}); the sessions go on`);
    return 0;
  },
};

const GLYPHS: Record<Session["state"], string> = {
  running: "●",
  starting: "◌",
  degraded: "◐",
  exited: "✕",
  stopped: "○",
  declared: "·",
  unknown: "?",
};

const status: Command = {
  name: "status",
  args: "[NAME]",
  group: "look",
  ops: ["town.status"],
  flags: {
    why: { about: "with evidence, source and age of every state" },
    "no-start": { about: "do not start a coordinator" },
  },
  examples: ["bosun status", "bosun status agents-spx --why", "bosun status --json=name,state"],
  async run(invocation) {
    const connection = await invocation.connect({ start: !isSet(invocation, "no-start") });
    const [session] = invocation.args;
    const answer = await connection.call("town.status", session ? { session } : {});
    if (invocation.out.wish.json) invocation.out.json(answer, "sessions");
    else printStatus(invocation, answer, isSet(invocation, "why") || session !== undefined);
    return 0;
  },
};

function printStatus(invocation: Invocation, answer: Status, why: boolean): void {
  const { out } = invocation;
  const now = Date.now();
  if (!out.wish.plain) {
    const plan = answer.plan ? `plan rev ${answer.plan.revision}` : "no plan yet";
    out.line(
      `${answer.town} (from ${answer.from}) · ${plan} · coordinator pid ${answer.coordinator.pid}, up ${sinceText(answer.coordinator.since, now)} · tmux -L ${answer.tmux.socket}`,
    );
  }
  printSessions(invocation, answer.sessions);
  if (why) {
    for (const session of answer.sessions) {
      out.line(`\n${session.name}  ${session.state} for ${sinceText(session.since, now)}`);
      out.line(`  because   ${sanitise(session.evidence)}`);
      out.line(`  source    ${session.source}, looked at ${session.age_ms} ms ago`);
      for (const pane of session.panes)
        out.line(
          `  pane      ${pane.id} ${sanitise(pane.title)}  pid ${pane.pid ?? "-"}  ${pane.dead ? (pane.exit ?? "ended") : sanitise(pane.command)}`,
        );
      for (const drift of session.drift) out.line(`  differs   ${drift}`);
    }
  }
  if (out.wish.plain) return;
  const stale = (answer.rooms as { room: string; staleSince?: string | null }[]).filter((room) => room.staleSince);
  const drifted = answer.sessions.filter((session) => session.drift.length > 0).length;
  const ghosts = answer.ghosts.length;
  out.line(
    `\n${answer.rooms.length} rooms${stale.length > 0 ? `, stale: ${stale.map((room) => room.room).join(", ")}` : ""} · ${drifted === 0 ? "as declared" : `${drifted} differ from the plan`} · ${ghosts} unknown session${ghosts === 1 ? "" : "s"}`,
  );
}

function printSessions({ out }: Invocation, sessions: readonly Session[]): void {
  if (sessions.length === 0) {
    out.line(out.wish.plain ? "" : "no sessions");
    return;
  }
  const now = Date.now();
  out.table(
    [
      { title: "SESSION" },
      { title: "TOWN" },
      { title: "STATE" },
      { title: "FOR", align: "right" },
      { title: "ROOM", whenSaid: true },
      { title: "AGENTS", flexible: true, whenSaid: true },
      { title: "HERE", align: "right", whenSaid: true },
      { title: "RESTARTS", align: "right", whenSaid: true },
      { title: "EXIT", whenSaid: true },
      { title: "MAIL", align: "right", whenSaid: true },
    ],
    sessions.map((session) => [
      session.name,
      session.town,
      out.wish.plain ? session.state : `${GLYPHS[session.state]} ${session.state}`,
      sinceText(session.since, now),
      session.room ?? "-",
      session.agents.length > 0 ? session.agents.join(" ") : "-",
      String(session.attached),
      String(session.restarts),
      session.exit ?? "-",
      String(session.unread),
    ]),
  );
}

const ls: Command = {
  name: "ls",
  aliases: ["ps"],
  group: "look",
  ops: ["town.status"],
  summary: "The sessions",
  flags: {
    "needs-me": { about: "only what has ended or is degraded" },
    "all-towns": { about: "of every town on this machine" },
  },
  async run(invocation) {
    const connections = isSet(invocation, "all-towns") ? await everyTown(invocation) : [await invocation.connect()];
    const answers = await Promise.all(connections.map((connection) => connection.call("town.status", {})));
    const all = answers.flatMap((answer) => answer.sessions);
    const wanted = isSet(invocation, "needs-me")
      ? all.filter((session) => ["exited", "degraded", "unknown"].includes(session.state))
      : all;
    if (invocation.out.wish.json)
      invocation.out.json({ count: wanted.length, total: all.length, sessions: wanted }, "sessions");
    else printSessions(invocation, wanted);
    return 0;
  },
};

/** Towns whose coordinator answers; one that does not run has nothing to tell, and is not started for this. */
async function everyTown({ out }: Invocation) {
  const home = bosunHome();
  const towns = existsSync(home)
    ? readdirSync(home, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    : [];
  const open = await Promise.all(
    towns.map((town) =>
      openConnection(socketPath(home, town)).catch(() => {
        out.say(`${town}: its coordinator does not run`);
        return null;
      }),
    ),
  );
  return open.filter((connection) => connection !== null);
}

const tree: Command = {
  name: "tree",
  group: "look",
  ops: ["town.status"],
  summary: "Town, rigs, sessions and agents as a tree",
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("town.status", {});
    if (invocation.out.wish.json) {
      invocation.out.json(answer, "sessions");
      return 0;
    }
    const { out } = invocation;
    const groups = Map.groupBy(answer.sessions, (session) => session.rig ?? "");
    out.line(answer.town);
    const rigs = [...groups.entries()];
    rigs.forEach(([rig, sessions], index) => {
      const last = index === rigs.length - 1;
      if (rig !== "") out.line(`${last ? "└──" : "├──"} ${rig}`);
      const indent = rig === "" ? "" : last ? "    " : "│   ";
      sessions.forEach((session, at) => {
        const end = at === sessions.length - 1 && (rig !== "" || last);
        out.line(
          `${indent}${end ? "└──" : "├──"} ${session.name}${session.role ? `  (${session.role})` : ""}  ${GLYPHS[session.state]} ${session.state}`,
        );
        for (const [n, agent] of session.agents.entries()) {
          out.line(`${indent}${end ? "    " : "│   "}${n === session.agents.length - 1 ? "└──" : "├──"} ${agent}`);
        }
      });
    });
    return 0;
  },
};

const whois: Command = {
  name: "whois",
  args: "NAME",
  group: "look",
  ops: ["session.whois"],
  examples: ["bosun whois hq-gt12-mayor"],
  async run(invocation) {
    const [name] = invocation.args;
    if (name === undefined) throw usage("whois needs the name of a session", whois);
    const connection = await invocation.connect();
    const who = await connection.call("session.whois", { name });
    if (invocation.out.wish.json) invocation.out.json(who);
    else
      invocation.out.line(
        [
          `${who.name}:`,
          `town ${who.town || "-"}`,
          `role ${who.role || "-"}`,
          `rig ${who.rig || "-"}`,
          `crew ${who.crew || "-"}`,
          `(${who.known})`,
        ].join("  "),
      );
    return 0;
  },
};

const attach: Command = {
  name: "attach",
  aliases: ["a"],
  args: "NAME",
  group: "session",
  ops: ["session.attach"],
  flags: { "read-only": { short: "r", about: "watch without typing" }, force: { about: "also a headless session" } },
  examples: ["bosun attach moo-steve", "bosun attach agents-spx -r"],
  async run(invocation) {
    const [session] = invocation.args;
    if (session === undefined) throw usage("attach needs the name of a session", attach);
    const readOnly = isSet(invocation, "read-only");
    const connection = await invocation.connect();
    const where = await connection.call("session.attach", {
      session,
      ...(readOnly && { readOnly }),
      ...(isSet(invocation, "force") && { force: true }),
    });
    connection.close();
    if (invocation.out.wish.json) {
      invocation.out.json(where);
      return 0;
    }
    return becomeTmux(invocation, where, readOnly);
  },
};

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
  const sameServer = inside !== undefined && inside.split(",")[1] === String(where.serverPid);
  if (inside && !sameServer) {
    throw new BosunError({
      code: "REFUSED",
      what: "this terminal is inside another tmux server",
      why: "a session inside a session swallows each other's keys",
      fix: `detach first, then bosun attach ${where.name}`,
    });
  }
  const argv = sameServer
    ? ["-u", ...where.socket, "switch-client", ...(readOnly ? ["-r"] : []), "-t", where.target]
    : ["-u", ...where.socket, "attach-session", ...(readOnly ? ["-r"] : []), "-t", where.target];
  const { execFileSync, spawnSync } = process.getBuiltinModule("node:child_process");
  if (!sameServer && typeof process.execve === "function") {
    const program = execFileSync("sh", ["-c", "command -v tmux"], { encoding: "utf8" }).trim();
    process.execve(program, ["tmux", ...argv], process.env);
  }
  return spawnSync("tmux", argv, { stdio: "inherit" }).status ?? 1;
}

const logs: Command = {
  name: "logs",
  args: "NAME",
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

export const SESSION_COMMANDS = [
  up,
  down,
  restart,
  diff,
  start,
  stop,
  status,
  ls,
  tree,
  whois,
  attach,
  logs,
  peek,
  replicate,
];
