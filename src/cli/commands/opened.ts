import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Connection } from "../../client/connection.ts";
import type { Answer, OperationInput } from "../../client/operations.gen.ts";
import { BosunError, toErrorBody } from "../../protocol/error.ts";
import { SESSION_TYPES, type SessionType } from "../../protocol/labels.ts";
import type { RosterEntry } from "../../protocol/screen.ts";
import { shellWord } from "../../protocol/shell.ts";
import { sanitise } from "../../protocol/text.ts";
import { durationOf, numberOf, stdinText, usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, listOf, textOf } from "../command.ts";

const open: Command = {
  name: "new",
  aliases: ["sessions new", "open"],
  args: "[NAME] [-- COMMAND…]",
  group: "session",
  anywhere: true,
  ops: ["session.open"],
  flags: {
    type: { value: "TYPE", about: SESSION_TYPES.join(", ") },
    cwd: { value: "DIR", about: "where it starts; default here" },
    env: { value: "NAME=VALUE", many: true, about: "a variable of its environment" },
    agent: { value: "TYPE", about: "what lives in it; default by the command" },
    worktree: { about: "a git worktree and branch of its own" },
    idle: { value: "TIME", about: "closed after resting so long: 1h" },
    "instance-of": { value: "NAME" },
    forked: {},
  },
  examples: [
    "bosun new --instance-of sisters",
    "bosun new hello",
    "bosun new reviewer --worktree -- claude",
    "bosun new",
  ],
  async run(invocation) {
    const { out } = invocation;
    const [name, ...command] = invocation.args;
    const type = textOf(invocation, "type");
    if (type !== undefined && !SESSION_TYPES.includes(type as SessionType))
      throw usage(`--type ${type}`, open, `one of ${SESSION_TYPES.join(", ")}`);
    const idleMs = durationOf(invocation, "idle", open);
    const connection = await invocation.connect();
    const opened = await connection.call("session.open", {
      ...(name !== undefined && { name }),
      ...(command.length > 0 && { run: command.length === 1 ? command[0]! : command.map(shellWord).join(" ") }),
      cwd: resolve(textOf(invocation, "cwd") ?? "."),
      ...(type !== undefined && { type: type as SessionType }),
      ...(isSet(invocation, "env") && { env: Object.fromEntries(listOf(invocation, "env").map(assignment)) }),
      ...(textOf(invocation, "agent") !== undefined && { agent: textOf(invocation, "agent")! }),
      ...(isSet(invocation, "worktree") && { worktree: true }),
      ...(textOf(invocation, "instance-of") !== undefined && { instanceOf: textOf(invocation, "instance-of")! }),
      ...(isSet(invocation, "forked") && { forked: true }),
      ...(idleMs !== undefined && { idleMs }),
    });
    if (out.wish.json) out.json(opened);
    else {
      out.line(`✓ Created session '${opened.name}' (${opened.number})`);
      if (opened.branch) out.line(`   Branch: ${opened.branch} in ${opened.cwd}`);
      out.say(`next  bosun attach "${opened.name}" · bosun`);
    }
    return 0;
  },
};

const exportOpened: Command = {
  name: "sessions export",
  args: "[NAME…]",
  group: "session",
  anywhere: true,
  ops: ["session.export"],
  examples: ["bosun sessions export > crew.json", "bosun sessions export reviewer | ssh lab bosun sessions import -"],
  async run({ args, out, connect }) {
    const exported = await (await connect()).call("session.export", { ...(args.length > 0 && { sessions: args }) });
    out.write(`${JSON.stringify(exported, null, 2)}\n`);
    return 0;
  },
};

const importOpened: Command = {
  name: "sessions import",
  args: "FILE|-",
  group: "session",
  anywhere: true,
  summary: "Open the sessions that sessions export has written, with what they ran",
  examples: ["bosun sessions import crew.json"],
  async run(invocation) {
    const [file] = invocation.args;
    if (file === undefined) throw usage("sessions import needs a file, or -", importOpened, "bosun sessions export");
    const text = file === "-" ? await stdinText() : readFileSync(file, "utf8");
    const connection = await invocation.connect();
    const failed: unknown[] = [];
    const opened: unknown[] = [];
    for (const { name, type, entry } of recordsIn(text)) {
      const idleMs = typeof entry.idle === "string" ? Number.parseInt(entry.idle, 10) : undefined;
      try {
        const { run, chat, cwd, env, agent } = entry;
        const done: Answer<"session.open"> = await connection.call("session.open", {
          name,
          ...(type && { type }),
          ...(chat ? { chat } : { run: run ?? "" }),
          cwd: cwd && existsSync(cwd) ? cwd : process.cwd(),
          ...(env && { env }),
          ...(agent?.type !== undefined && { agent: agent.type }),
          ...(idleMs && { idleMs }),
        });
        opened.push(done);
        if (!invocation.out.wish.json) invocation.out.line(`✓ Created session '${done.name}' (${done.number})`);
      } catch (error) {
        failed.push({ name, error: toErrorBody(error) });
        invocation.out.say(`✗ ${sanitise(String(name))}: ${toErrorBody(error).what}`);
      }
    }
    if (invocation.out.wish.json) invocation.out.json({ opened, failed });
    return failed.length > 0 ? 5 : 0;
  },
};

interface Exported {
  name: string;
  type: SessionType | null;
  entry: Pick<OperationInput<"session.open">, "run" | "chat" | "cwd" | "env"> & {
    agent?: { type?: string };
    idle?: string;
  };
}

/** Throws USAGE for a text that is no export. */
function recordsIn(text: string): Exported[] {
  try {
    const { version, sessions } = JSON.parse(text) as { version: number; sessions: Exported[] };
    if (version === 1 && Array.isArray(sessions) && sessions.every((each) => typeof each?.entry === "object"))
      return sessions;
  } catch {
    // Said below.
  }
  throw usage("that is no export of sessions", importOpened, "a file that bosun sessions export has written");
}

function assignment(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw usage(`--env ${text}`, open, "it is NAME=VALUE");
  return [text.slice(0, at), text.slice(at + 1)];
}

const close: Command = {
  name: "close",
  aliases: ["sessions close"],
  args: "[NAME]",
  group: "session",
  anywhere: true,
  ops: ["session.close"],
  flags: { "drop-branch": { about: "also give up a worktree whose branch is not merged" } },
  examples: ["bosun close hello", "bosun close"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const closed = await connection.call("session.close", {
      ...named(invocation, close),
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "drop-branch") && { dropBranch: true }),
    });
    if (out.wish.json) out.json(closed);
    else {
      out.line(`✓ Closed session '${closed.name}'`);
      if (closed.worktree) out.line(`   Worktree ${sanitise(closed.worktree)}`);
      if (closed.active) out.line(`→ Active is '${closed.active}'`);
    }
    return 0;
  },
};

const rename: Command = {
  name: "rename",
  aliases: ["sessions rename", "session-name"],
  args: "[NAME] NEW",
  group: "session",
  anywhere: true,
  ops: ["session.rename"],
  examples: ["bosun rename hello greeting", "bosun rename greeting"],
  async run(invocation) {
    const { args, out } = invocation;
    if (args.length < 1 || args.length > 2) throw usage("rename needs the new name", rename);
    const [session, to] = args.length === 2 ? (args as [string, string]) : [undefined, args[0]!];
    const connection = await invocation.connect();
    const renamed = await connection.call("session.rename", { to, ...(session !== undefined && { session }) });
    if (out.wish.json) out.json(renamed);
    else out.line(`✓ '${renamed.from}' is now '${renamed.name}'`);
    return 0;
  },
};

/** What the design this follows shows with a switch. */
const SHOWN_WITH_SWITCH = 10;

/** Of a session that does not run there are none. */
async function lastLines(connection: Connection, session: string, lines: number): Promise<string[]> {
  try {
    return (await connection.call("screen.history", { session, lines })).lines;
  } catch (error) {
    if (error instanceof BosunError && error.code === "UNKNOWN_SESSION") return [];
    throw error;
  }
}

const switchTo: Command = {
  name: "switch",
  aliases: ["s", "sessions switch"],
  args: "NAME|NUMBER|-",
  group: "session",
  anywhere: true,
  ops: ["session.switch"],
  flags: {
    last: { value: "N", about: "then print the last N lines it wrote; default 10 on a terminal" },
    "pause-on-switch": { about: "stop the processes of the one you leave until it is switched to again" },
  },
  examples: ["bosun switch hello", "bosun s 2", "bosun s -", "bosun s next"],
  async run(invocation) {
    const { out } = invocation;
    const [session] = invocation.args;
    if (session === undefined || invocation.args.length > 1) throw usage("switch needs one session", switchTo);
    const connection = await invocation.connect();
    const now = await connection.call("session.switch", {
      session,
      ...(isSet(invocation, "pause-on-switch") && { pause: true }),
    });
    const last = numberOf(invocation, "last", switchTo) ?? (out.stdoutIsTerminal ? SHOWN_WITH_SWITCH : 0);
    const lines = last > 0 ? await lastLines(connection, now.session, last) : [];
    if (out.wish.json) out.json({ ...now, lines });
    else if (now.previous && now.previous !== now.name) {
      out.line(`→ Switched from '${now.previous}' to '${now.name}'`);
      if (now.paused === false)
        out.say("it goes on: tmux keeps a pane's first process awake; what a shell has started can be paused");
    } else out.line(`✓ Switched to '${now.name}'`);
    if (!out.wish.json) out.lines(lines.map((line) => out.style(sanitise(line), "dim")));
    return 0;
  },
};

const type: Command = {
  name: "type",
  args: "[NAME] TEXT",
  group: "session",
  anywhere: true,
  ops: ["session.type"],
  summary: "Type a line into a session, with Enter",
  flags: {
    pane: { value: "PANE", about: "one pane, by title or id" },
    force: { about: "also into a headless or protected session" },
  },
  examples: ['bosun type hello "make test"'],
  async run(invocation) {
    const { args, out } = invocation;
    if (args.length < 1 || args.length > 2) throw usage("type needs the text", type);
    const [session, line] = args.length === 2 ? (args as [string, string]) : [undefined, args[0]!];
    const pane = textOf(invocation, "pane");
    const connection = await invocation.connect();
    const typed = await connection.call("session.type", {
      line,
      ...(session !== undefined && { session }),
      ...(pane !== undefined && { pane }),
      ...(isSet(invocation, "force") && { force: true }),
    });
    if (out.wish.json) out.json(typed);
    return 0;
  },
};

function named(invocation: Invocation, command: Command): { session?: string } {
  const [session, more] = invocation.args;
  if (more !== undefined) throw usage(`${command.name} takes one session`, command);
  return session === undefined ? {} : { session };
}

const screen: Command = {
  name: "screen",
  args: "[NAME]",
  group: "session",
  anywhere: true,
  ops: ["screen.show"],
  flags: {
    pane: { value: "PANE", about: "one pane, by title or id" },
    colour: { about: "with its colours" },
  },
  examples: ["bosun screen reviewer", "bosun screen reviewer --colour"],
  async run(invocation) {
    const { out } = invocation;
    const pane = textOf(invocation, "pane");
    const connection = await invocation.connect();
    const shown = await connection.call("screen.show", {
      ...named(invocation, screen),
      ...(pane !== undefined && { pane }),
      ...(isSet(invocation, "colour") && { colour: true }),
    });
    if (out.wish.json) out.json(shown, "lines");
    // Made by our own emulator: nothing but text, and colours where they were asked for.
    else out.lines(shown.lines.slice(0, shown.lines.findLastIndex((line) => line !== "") + 1));
    return 0;
  },
};

/** What `wait --for` knows, and the activities that are it. */
const WAITS: Record<string, readonly string[]> = {
  idle: ["idle", "done-unseen"],
  working: ["working"],
  "needs-me": ["waiting", "stalled"],
  exit: ["dead"],
};

const DEFAULT_WAIT_MS = 600_000;

const wait: Command = {
  name: "wait",
  args: "NAME",
  group: "look",
  anywhere: true,
  ops: ["session.roster", "session.find"],
  summary: "Wait until a session is idle, works, needs you, or has ended",
  flags: {
    for: { value: "WHAT", about: `${Object.keys(WAITS).join(", ")}; default idle` },
    timeout: { value: "10m", about: "then give up with exit code 6" },
  },
  examples: [
    "bosun wait reviewer --for idle && bosun history reviewer -n 20",
    "bosun wait build --for exit --timeout 1h",
  ],
  async run(invocation) {
    const { args, out } = invocation;
    const [name] = args;
    if (name === undefined || args.length > 1) throw usage("wait needs one session", wait);
    const what = textOf(invocation, "for") ?? "idle";
    const wanted = Object.hasOwn(WAITS, what) ? WAITS[what]! : null;
    if (!wanted) throw usage(`--for ${what}`, wait, `one of ${Object.keys(WAITS).join(", ")}`);
    const timeoutMs = durationOf(invocation, "timeout", wait) ?? DEFAULT_WAIT_MS;
    const connection = await invocation.connect();
    let done: (entry: RosterEntry) => void = () => {};
    const reached = new Promise<RosterEntry>((resolve) => {
      done = resolve;
    });
    let wantedId: string | null = null;
    let last: RosterEntry | null = null;
    const look = (sessions: readonly RosterEntry[]): void => {
      last = sessions.find((each) => each.session === wantedId) ?? null;
      if (last && wanted.includes(last.activity.state)) done(last);
    };
    const stream = await connection.stream("session.roster", { follow: true }, (event) =>
      look((event as { sessions: RosterEntry[] }).sessions),
    );
    wantedId = (await connection.call("session.find", { session: name })).session;
    look(stream.ok.sessions);
    const timer = setTimeout(() => done(null as never), timeoutMs);
    const entry = (await reached) as RosterEntry | null;
    clearTimeout(timer);
    if (entry === null) {
      const now = last as RosterEntry | null;
      throw new BosunError({
        code: "TIMEOUT",
        what: `${name} was not ${what} within ${timeoutMs / 1_000} s`,
        why: now ? `it is ${now.activity.state}: ${now.activity.evidence}` : "it does not run",
        fix: "--timeout 1h waits longer",
      });
    }
    if (out.wish.json) out.json(entry);
    else out.line(`${entry.name} is ${entry.activity.state}: ${sanitise(entry.activity.evidence)}`);
    return 0;
  },
};

const explain: Command = {
  name: "explain",
  args: "NAME",
  group: "look",
  anywhere: true,
  ops: ["session.explain"],
  flags: {
    pane: { value: "PANE", about: "one pane, by title or id" },
    replay: { value: "FILE", about: "judge the text of a screen in this file instead" },
    profile: { value: "NAME", about: "judge by this profile" },
  },
  examples: ["bosun explain reviewer", "bosun explain reviewer --replay capture.txt --profile claude"],
  async run(invocation) {
    const { out } = invocation;
    const [session] = invocation.args;
    if (session === undefined) throw usage("explain needs a session", explain);
    const file = textOf(invocation, "replay");
    const pane = textOf(invocation, "pane");
    const profile = textOf(invocation, "profile");
    const connection = await invocation.connect();
    const found = await connection.call("session.explain", {
      session,
      ...(pane !== undefined && { pane }),
      ...(profile !== undefined && { profile }),
      ...(file !== undefined && { capture: readText(file) }),
    });
    if (out.wish.json) out.json(found);
    else {
      const { activity } = found;
      out.line(`${found.name} is ${activity.state}${activity.reason ? ` (${activity.reason})` : ""}`);
      out.line(`  evidence  ${sanitise(activity.evidence)}`);
      out.line(`  source    ${activity.source}, ${activity.age_ms} ms ago; since ${activity.since}`);
      out.line(`  profiles  ${found.profiles.join(", ")}`);
      for (const rule of found.fitting) out.line(`  fits      ${rule.name}  ${sanitise(rule.row.trim())}`);
    }
    return 0;
  },
};

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new BosunError({ code: "NOT_FOUND", what: `${file} cannot be read`, why: (error as Error).message });
  }
}

const history: Command = {
  name: "history",
  args: "[NAME]",
  group: "session",
  anywhere: true,
  ops: ["screen.history"],
  flags: {
    missed: { about: "only what you have not seen; it counts as seen from now on" },
    lines: { short: "n", value: "N", about: "the newest N lines" },
    pane: { value: "PANE", about: "one pane, by title or id" },
  },
  examples: ["bosun history reviewer --missed", "bosun history -n 10"],
  async run(invocation) {
    const { out } = invocation;
    const lines = numberOf(invocation, "lines", history);
    const pane = textOf(invocation, "pane");
    const connection = await invocation.connect();
    const found = await connection.call("screen.history", {
      ...named(invocation, history),
      ...(isSet(invocation, "missed") && { missed: true }),
      ...(lines !== undefined && { lines }),
      ...(pane !== undefined && { pane }),
    });
    if (out.wish.json) out.json(found, "lines");
    else {
      if (found.dropped > 0)
        out.say(
          `${found.dropped} bytes before this are no longer held${found.recording ? `; all is in ${found.recording}` : ""}`,
        );
      out.lines(found.lines.map(sanitise));
    }
    return 0;
  },
};

const nudge: Command = {
  name: "nudge",
  args: "NAME [TEXT]",
  group: "session",
  anywhere: true,
  ops: ["session.nudge"],
  flags: {
    now: { about: "do not wait: what would be held is refused" },
    pane: { value: "PANE", about: "one pane, by place or id" },
  },
  examples: ["bosun nudge reviewer", 'bosun nudge reviewer "Please look at the parser"'],
  async run(invocation) {
    const { args, out } = invocation;
    const [session, text] = args;
    if (session === undefined || args.length > 2) throw usage("nudge needs a session, and at most one text", nudge);
    const pane = textOf(invocation, "pane");
    const connection = await invocation.connect();
    const done = await connection.call("session.nudge", {
      session,
      ...(text !== undefined && { text }),
      ...(pane !== undefined && { pane }),
      ...(isSet(invocation, "now") && { now: true }),
    });
    if (out.wish.json) out.json(done);
    else out.line(`${done.outcome}: ${done.why}`);
    return done.outcome === "unproven" ? 1 : 0;
  },
};

const queue: Command = {
  name: "queue",
  args: "[NAME]",
  group: "session",
  anywhere: true,
  ops: ["session.queue"],
  flags: { drop: { value: "ID", about: "take one of it back" } },
  async run(invocation) {
    const { out } = invocation;
    const drop = textOf(invocation, "drop");
    const connection = await invocation.connect();
    const { waiting } = await connection.call("session.queue", {
      ...named(invocation, queue),
      ...(drop !== undefined && { drop }),
    });
    if (out.wish.json) out.json({ waiting }, "waiting");
    else if (waiting.length === 0) out.line(out.wish.plain ? "" : "nothing waits to be typed");
    else
      out.table(
        [{ title: "ID" }, { title: "SESSION" }, { title: "BY" }, { title: "AT" }, { title: "TEXT", flexible: true }],
        waiting.map((each) => [each.id, each.session, each.by, each.at, each.text]),
      );
    return 0;
  },
};

/** Waits longer than this are cut when a recording is played. */
const MOST_IDLE_S = 2;

const replay: Command = {
  name: "replay",
  args: "NAME",
  group: "session",
  anywhere: true,
  ops: ["screen.history"],
  summary: "Play what a session wrote, from its recording",
  flags: {
    speed: { value: "N", about: "so many times as fast; 0 = at once" },
    pane: { value: "PANE", about: "one pane, by title or id" },
  },
  examples: ["bosun replay reviewer --speed 4"],
  async run(invocation) {
    const { out } = invocation;
    const speedText = textOf(invocation, "speed") ?? "1";
    const speed = Number(speedText);
    if (!Number.isFinite(speed) || speed < 0) throw usage(`--speed ${speedText}`, replay, "a number, 0 or more");
    const pane = textOf(invocation, "pane");
    const connection = await invocation.connect();
    const { recording, name } = await connection.call("screen.history", {
      ...named(invocation, replay),
      lines: 1,
      ...(pane !== undefined && { pane }),
    });
    if (recording === null) throw new BosunError({ code: "NOT_FOUND", what: `${name} has written nothing yet` });
    if (out.wish.json) {
      out.json({ session: name, recording });
      return 0;
    }
    let before = 0;
    for (const line of readText(recording).split("\n").slice(1)) {
      if (line === "") continue;
      const [at, kind, text] = JSON.parse(line) as [number, string, string];
      if (kind !== "o") continue;
      const waitS = speed === 0 ? 0 : Math.min(MOST_IDLE_S, at - before) / speed;
      if (waitS > 0) await new Promise((resolve) => setTimeout(resolve, waitS * 1_000));
      before = at;
      out.write(text);
    }
    return 0;
  },
};

export const OPENED_COMMANDS = [
  open,
  exportOpened,
  importOpened,
  switchTo,
  rename,
  close,
  type,
  nudge,
  queue,
  history,
  replay,
  screen,
  wait,
  explain,
];
