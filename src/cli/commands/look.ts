import type { Connection } from "../../client/connection.ts";
import type { Answer } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import type { RosterEntry } from "../../protocol/screen.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";
import { onlyReading, ownTown, readingsOf, type SeenTown, seenTowns, townAndName, townDocument } from "../towns.ts";
import { updateStatus } from "./agent.ts";

type Status = Answer<"town.status">;
type Session = Status["sessions"][number];

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
    task: { value: "TEXT", about: "with an agent and its status: what it works on" },
    why: { about: "with evidence, source and age of every state" },
    "no-start": { about: "do not start a coordinator" },
    "all-towns": { about: "of every town on this machine; none is started for it" },
  },
  examples: [
    "bosun status",
    "bosun status --all-towns",
    "bosun status agents-spx --why",
    "bosun status --json=name,state",
  ],
  async run(invocation) {
    if (invocation.args.length > 1) return updateStatus(invocation, status);
    if (isSet(invocation, "all-towns")) return statusOfAll(invocation);
    const connection = await invocation.connect({ start: !isSet(invocation, "no-start") });
    const [session] = invocation.args;
    const answer = await connection.call("town.status", session ? { session } : {});
    if (invocation.out.wish.json) invocation.out.json(answer, "sessions");
    else printStatus(invocation, answer, isSet(invocation, "why") || session !== undefined);
    return 0;
  },
};

async function statusOfAll(invocation: Invocation): Promise<number> {
  const { out, args } = invocation;
  const [name] = args;
  const towns = (await seenTowns(invocation)).map((town) => ({
    ...town,
    sessions: town.sessions.filter((session) => name === undefined || [session.name, session.id].includes(name)),
  }));
  if (out.wish.json) {
    out.json({ towns: towns.map((town) => ({ ...townDocument(town), sessions: town.sessions })) }, "towns");
    return 0;
  }
  if (!out.wish.plain) out.lines(towns.map(townLine));
  printSessions(
    invocation,
    towns.flatMap((town) => town.sessions),
  );
  return 0;
}

function townLine({ town, status: told, why, tmuxSocket, sessions }: SeenTown): string {
  const coordinator = told
    ? `coordinator pid ${told.coordinator.pid}, up ${sinceText(told.coordinator.since, Date.now())}`
    : `${why}${sessions.length > 0 ? "; tmux tells what runs" : ", and tmux has nothing of it"}`;
  const count = `${sessions.length} session${sessions.length === 1 ? "" : "s"}`;
  return [town, coordinator, ...(tmuxSocket === null ? [] : [`tmux -L ${tmuxSocket}`]), count].join(" · ");
}

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
      for (const { check, healthy, evidence } of session.health)
        out.line(`  ${check.padEnd(9)} ${healthy === null ? "?" : healthy ? "well" : "FAILED"}  ${sanitise(evidence)}`);
      if (session.instance) out.line(`  instance  ${session.instance.kind} of ${session.instance.of}`);
      const { chapter } = session;
      if (chapter)
        out.line(
          `  chapter   ${chapter.series} #${chapter.number}, ${chapter.phase}${chapter.burned ? ", burned" : ""}: ${sanitise(chapter.heading ?? "no heading")}`,
        );
      for (const drift of session.drift) out.line(`  differs   ${drift}`);
    }
  }
  if (out.wish.plain) return;
  const stale = (answer.rooms as { room: string; staleSince?: string | null }[]).filter((room) => room.staleSince);
  const drifted = answer.sessions.filter((session) => session.drift.length > 0).length;
  const ghosts = answer.ghosts.length;
  out.line(
    `\n${answer.rooms.length} rooms${stale.length > 0 ? `, stale: ${stale.map((room) => room.room).join(", ")}` : ""} · ${drifted === 0 ? "as declared" : `${drifted} differ from the plan`} · ${ghosts} unknown session${ghosts === 1 ? "" : "s"}${servicesText(answer)}${answer.alerts > 0 ? ` · ${answer.alerts} alert${answer.alerts === 1 ? "" : "s"}: bosun alerts` : ""}`,
  );
}

function servicesText({ services }: Status): string {
  const bad = services.filter((each) => each.state === "down" || each.state === "degraded");
  if (services.length === 0) return "";
  return ` · ${services.length} service${services.length === 1 ? "" : "s"}${bad.length === 0 ? "" : `, not well: ${bad.map((each) => each.id).join(", ")}`}`;
}

/** `#3 work 45 %`; of a session that runs. */
function chapterOf({ chapter, state }: Session): string {
  if (!chapter || state !== "running" || chapter.phase === "closed") return "-";
  return `#${chapter.number} ${chapter.phase}${chapter.nearest === null ? "" : ` ${Math.round(chapter.share * 100)} %`}`;
}

/** What it is doing, and for what it waits. */
function doingOf({ activity }: Listed): string {
  if (!activity || activity.state === "unknown" || activity.state === "dead") return "-";
  return activity.reason ? `${activity.state}: ${activity.reason}` : activity.state;
}

function printSessions({ out }: Invocation, sessions: readonly Listed[]): void {
  if (sessions.length === 0) {
    out.line(out.wish.plain ? "" : "no sessions");
    return;
  }
  const now = Date.now();
  out.table(
    [
      { title: "SESSION" },
      { title: "NO", align: "right", whenSaid: true },
      { title: "TOWN" },
      { title: "STATE" },
      { title: "FOR", align: "right" },
      { title: "TYPE", whenSaid: true },
      { title: "DOING", whenSaid: true },
      { title: "CHAPTER", whenSaid: true },
      { title: "ROOM", whenSaid: true },
      { title: "AGENTS", flexible: true, whenSaid: true },
      { title: "HERE", align: "right", whenSaid: true },
      { title: "RESTARTS", align: "right", whenSaid: true },
      { title: "EXIT", whenSaid: true },
      { title: "MAIL", align: "right", whenSaid: true },
    ],
    sessions.map((session) => [
      String(session.label ?? session.name),
      typeof session.number === "number" ? `${session.active && !out.wish.plain ? "▶" : ""}${session.number}` : "-",
      session.town,
      out.wish.plain ? session.state : `${GLYPHS[session.state]} ${session.state}`,
      sinceText(session.since, now),
      session.purpose ?? "-",
      doingOf(session),
      chapterOf(session),
      session.room ?? "-",
      session.agents.length > 0 ? session.agents.join(" ") : "-",
      String(session.attached),
      String(session.restarts),
      session.exit ?? "-",
      String(session.unread),
    ]),
  );
}

type Listed = Session & Partial<Pick<RosterEntry, "activity" | "active" | "unseen" | "purpose" | "buffer" | "title">>;

/** Views have no entry in the roster: they are people's own. */
function seenOf(entry: RosterEntry | undefined): Partial<Listed> {
  if (!entry) return {};
  const { activity, active, unseen, purpose, buffer, title } = entry;
  return { activity, active, unseen, purpose, buffer, title };
}

const ls: Command = {
  name: "ls",
  aliases: ["ps", "sessions", "sessions list"],
  anywhere: true,
  group: "look",
  ops: ["town.status", "session.roster"],
  summary: "The sessions, and what each is doing",
  flags: {
    "needs-me": { about: "only what waits for a person, has ended or is degraded" },
    waiting: { about: "only what waits for a person" },
    all: { about: "also what was closed" },
    "all-towns": { about: "of every town on this machine; none is started for it" },
    level: { value: "LEVEL", about: "only sessions of the town itself (town), or of its rigs (rig)" },
  },
  async run(invocation) {
    const level = textOf(invocation, "level");
    if (level !== undefined && !["town", "rig"].includes(level))
      throw usage(`--level ${level}`, ls, "the levels are town and rig");
    const towns = isSet(invocation, "all-towns")
      ? await listedOfAll(invocation)
      : [await listedOf(invocation, await invocation.connect())];
    const all = towns.flatMap((town) => town.sessions);
    const wanted = all.filter((session) => {
      if (level !== undefined && (session.rig === null) !== (level === "town")) return false;
      const waits = session.activity?.state === "waiting";
      if (isSet(invocation, "waiting")) return waits;
      return !isSet(invocation, "needs-me") || waits || ["exited", "degraded", "unknown"].includes(session.state);
    });
    const { out } = invocation;
    for (const bad of towns.flatMap((town) => town.damaged))
      out.say(`${bad.name}: its record cannot be read (${bad.why}); the others are none the worse`);
    const closed = towns.flatMap((town) => town.closed);
    if (out.wish.json) out.json({ count: wanted.length, total: all.length, sessions: wanted, closed }, "sessions");
    else {
      printSessions(invocation, wanted);
      for (const each of closed) out.line(`closed ${each.closed}  ${sanitise(each.name)}  ${sanitise(each.because)}`);
    }
    return 0;
  },
};

async function listedOf(invocation: Invocation, connection: Pick<Connection, "call">, known?: Status) {
  const [told, roster] = await Promise.all([
    known ?? connection.call("town.status", {}),
    connection.call("session.roster", isSet(invocation, "all") ? { all: true } : {}),
  ]);
  const doing = new Map(roster.sessions.map((entry) => [entry.session, entry]));
  const sessions = told.sessions.map((session): Listed => ({ ...session, ...seenOf(doing.get(session.id)) }));
  return { sessions, closed: roster.closed, damaged: roster.damaged };
}

/** Of a town whose coordinator does not answer only what tmux shows: that it runs, not what it does. */
async function listedOfAll(invocation: Invocation) {
  return Promise.all(
    (await seenTowns(invocation)).map(async ({ town, why, connection, status: told, sessions }) => {
      if (connection && told) return listedOf(invocation, connection, told);
      invocation.out.say(`${town}: ${why}`);
      return { sessions: sessions as Listed[], closed: [], damaged: [] };
    }),
  );
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

type Who = Answer<"session.whois">;

/** The town that is meant here says it; a name it does not declare is looked for in the others of this machine. */
async function whoIs(invocation: Invocation, text: string): Promise<Who> {
  const named = townAndName(text);
  const connection = await ownTown(invocation, text);
  let own: Who | null = null;
  let refusal: unknown = new BosunError({ code: "NOT_FOUND", what: `no town here has a session "${text}"` });
  try {
    own = connection && (await connection.call("session.whois", { name: text }));
  } catch (error) {
    refusal = error;
    if (!(error instanceof BosunError && error.code === "NOT_FOUND")) throw error;
  }
  if (own?.known === "declared" || (own && invocation.flags["town"] !== undefined)) return own;
  const here = named ? null : invocation.place().town;
  const readings = (await readingsOf(invocation, text)).filter(({ town }) => town.town !== here);
  const other = onlyReading(readings, text, "whois");
  if (!other && own) return own;
  if (!other) throw refusal;
  const { town, session } = other;
  const told = await town.connection?.call("session.whois", { name: session.name });
  return {
    ...{ name: session.name, role: session.role ?? "", rig: session.rig ?? "", crew: "" },
    ...(told ?? own),
    ...{ town: town.town, session: session.id, tmux: town.tmuxSocket, known: "foreign" },
  };
}

const whois: Command = {
  name: "whois",
  args: "NAME",
  anywhere: true,
  group: "look",
  ops: ["session.whois"],
  examples: ["bosun whois hq-gt12-mayor", "bosun whois gt12/mayor"],
  async run(invocation) {
    const [name] = invocation.args;
    if (name === undefined) throw usage("whois needs the name of a session", whois);
    const who = await whoIs(invocation, name);
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

export const LOOK_COMMANDS = [status, ls, tree, whois];
