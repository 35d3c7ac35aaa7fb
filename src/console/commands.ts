import type { Connection } from "../client/connection.ts";
import type { RosterEntry } from "../protocol/screen.ts";

/** What a command may use of the console. */
export interface Desk {
  connection: Connection;
  roster(): readonly RosterEntry[];
  /** Shows a session; nothing is written to it. */
  show(session: string): Promise<void>;
  /** One line where everybody sees it. */
  say(text: string): void;
  /** Many lines over the session's screen, until a key. */
  page(title: string, lines: string[]): void;
  leave(): void;
}

interface Slash {
  names: string[];
  args: string;
  about: string;
  run(words: string[], desk: Desk): Promise<void>;
}

const open: Slash["run"] = async ([name, ...command], desk) => {
  const { number, ...opened } = await desk.connection.call("session.open", {
    ...(name !== undefined && { name }),
    ...(command.length > 0 && { run: command.join(" ") }),
    cwd: process.cwd(),
  });
  desk.say(`✓ Created session '${opened.name}' (${number})`);
  await desk.show(opened.session);
};

const switchTo: Slash["run"] = async (words, desk) => {
  const session = words.join(" ");
  if (session === "") throw new Error("which one? /switch NAME, its number, - for the one before");
  const now = await desk.connection.call("session.switch", { session });
  await desk.show(now.session);
  desk.say(
    now.previous && now.previous !== now.name ? `→ Switched from '${now.previous}' to '${now.name}'` : `✓ ${now.name}`,
  );
};

const close: Slash["run"] = async (words, desk) => {
  const yes = words.includes("--yes");
  const session = words.filter((word) => word !== "--yes").join(" ");
  const closed = await desk.connection.call("session.close", {
    ...(session && { session }),
    ...(yes && { yes: true }),
  });
  desk.say(`✓ Closed session '${closed.name}'${closed.worktree ? ` · worktree ${closed.worktree}` : ""}`);
  if (closed.active) {
    const now = await desk.connection.call("session.switch", { session: closed.active });
    await desk.show(now.session);
  }
};

const rename: Slash["run"] = async (words, desk) => {
  const known = desk.roster().find((entry) => entry.name === words[0]);
  const [session, to] = words.length > 1 && known ? [words[0], words.slice(1).join(" ")] : [undefined, words.join(" ")];
  const renamed = await desk.connection.call("session.rename", { to, ...(session !== undefined && { session }) });
  desk.say(`✓ '${renamed.from}' is now '${renamed.name}'`);
};

const list: Slash["run"] = async (words, desk) => {
  const { sessions, closed } = await desk.connection.call("session.roster", {
    ...(words.includes("--waiting") && { waiting: true }),
    ...(words.includes("--all") && { all: true }),
  });
  const lines = sessions.map((entry) => {
    const mark = entry.active ? "▶" : entry.unseen > 0 ? "📬" : "○";
    const { state, reason } = entry.activity;
    return `${mark} [${entry.number ?? "-"}] ${entry.name}  ${state}${reason ? ` (${reason})` : ""}  ${entry.state}`;
  });
  const none = words.includes("--waiting") ? "No sessions waiting for input" : "No active sessions";
  desk.page("Sessions", [
    ...(lines.length === 0 ? [none] : lines),
    ...closed.map(
      (entry) => `  closed ${entry.closed.slice(0, 16).replace("T", " ")}  ${entry.name}  ${entry.because}`,
    ),
  ]);
};

export const SLASHES: readonly Slash[] = [
  {
    names: ["/sessions"],
    args: "[list|new|switch|close|rename] [--all|--waiting]",
    about: "the sessions, and all that can be done with them",
    run: ([verb = "list", ...words], desk) => {
      const verbs: Record<string, Slash["run"]> = { list, new: open, switch: switchTo, close, rename };
      if (verb.startsWith("--")) return list([verb, ...words], desk);
      const run = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
      if (!run) throw new Error(`/sessions knows ${Object.keys(verbs).join(", ")}`);
      return run(words, desk);
    },
  },
  { names: ["/new"], args: "[NAME [COMMAND…]]", about: "open a session", run: open },
  {
    names: ["/switch", "/s"],
    args: "NAME|NUMBER|-|next|previous",
    about: "show another session; all run on",
    run: switchTo,
  },
  { names: ["/close"], args: "[NAME]", about: "end an opened session and archive it", run: close },
  { names: ["/rename", "/session-name"], args: "[NAME] NEW", about: "another name", run: rename },
  {
    names: ["/ask"],
    args: "AGENT TEXT…",
    about: "ask an agent and wait for its answer",
    run: async ([agent, ...words], desk) => {
      if (agent === undefined || words.length === 0) throw new Error("/ask AGENT TEXT…");
      desk.say(`→ ${agent} …`);
      const answer = await desk.connection.call("ask.send", { agent, text: words.join(" ") });
      desk.page(`${agent} answers`, String((answer as { text?: string }).text ?? JSON.stringify(answer)).split("\n"));
    },
  },
  {
    names: ["/say"],
    args: "ROOM TEXT…",
    about: "say a line in a room",
    run: async ([room, ...words], desk) => {
      if (room === undefined || words.length === 0) throw new Error("/say ROOM TEXT…");
      const said = await desk.connection.call("room.post", { room, msg: words.join(" ") });
      desk.say(`said in ${room} as line ${(said as { seq?: number }).seq ?? ""}`);
    },
  },
  {
    names: ["/broadcast"],
    args: "TEXT…",
    about: "write to every agent that is there",
    run: async (words, desk) => {
      const text = words.join(" ");
      if (text === "") throw new Error("/broadcast TEXT…");
      const sent = await desk.connection.call("message.send", {
        to: ["*"],
        type: "broadcast",
        subject: text.slice(0, 80),
        body: text,
      });
      desk.say(`sent to ${sent.recipients.length}: ${sent.recipients.slice(0, 5).join(", ")}`);
    },
  },
  {
    names: ["/inbox"],
    args: "[NAME]",
    about: "mail: yours, or an agent's",
    run: async ([who], desk) => {
      const { messages, unread } = await desk.connection.call("message.inbox", {
        ...(who !== undefined && { who }),
        last: 50,
        bodies: true,
      });
      const lines = messages.flatMap((message) => [
        `${message.ts.slice(0, 16).replace("T", " ")}  ${message.from} → ${message.to}  [${message.type}] ${message.subject}`,
        ...(message.body ? message.body.split("\n").map((line: string) => `    ${line}`) : []),
      ]);
      desk.page(`Mail · ${unread} unread`, lines.length === 0 ? ["No messages."] : lines);
    },
  },
  {
    names: ["/explain"],
    args: "[NAME]",
    about: "which rule says what a session is doing",
    run: async (words, desk) => {
      const session = words.join(" ") || desk.roster().find((entry) => entry.active)?.session;
      if (!session) throw new Error("/explain NAME");
      const { name, activity, fitting, profiles } = await desk.connection.call("session.explain", { session });
      desk.page(`${name} is ${activity.state}${activity.reason ? ` (${activity.reason})` : ""}`, [
        `evidence   ${activity.evidence}`,
        `source     ${activity.source}, ${activity.age_ms} ms ago; since ${activity.since}`,
        `profiles   ${profiles.join(", ")}`,
        ...fitting.map((rule) => `fits       ${rule.name}   ${rule.row.trim()}`),
      ]);
    },
  },
  {
    names: ["/help"],
    args: "",
    about: "this",
    run: async (_, desk) => desk.page("Help", helpLines()),
  },
  { names: ["/quit", "/exit"], args: "", about: "leave; everything runs on", run: async (_, desk) => desk.leave() },
];

const KEYS: readonly [string, string][] = [
  ["ctrl-n ctrl-p", "next, previous session"],
  ["alt-1 … alt-9", "session by number"],
  ["ctrl-g", "the next that needs you"],
  ["ctrl-o", "the session before"],
  ["ctrl-f", "find by letters"],
  ["ctrl-t", "keys go to the session, ctrl-] ends it"],
  ["page-up", "what the session wrote"],
  ["tab", "complete a name"],
  ["ctrl-q", "leave; everything runs on"],
];

export function helpLines(): string[] {
  return [
    "/ begins a command; all else goes to the session.",
    ...SLASHES.flatMap((slash) => [`${slash.names.join(", ")} ${slash.args}`.trim(), `    ${slash.about}`]),
    "",
    ...KEYS.map(([key, about]) => `${key.padEnd(16)}${about}`),
  ];
}

/** Words of a command line; quotes keep spaces together. */
export function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!);
}

/** Runs a line that begins with a slash. Only its first word decides: a name may hold any word. */
export async function runSlash(line: string, desk: Desk): Promise<void> {
  const [name, ...words] = wordsOf(line);
  const slash = SLASHES.find((each) => each.names.includes(name!));
  if (!slash) throw new Error(`there is no ${name}; /help shows all`);
  await slash.run(words, desk);
}
