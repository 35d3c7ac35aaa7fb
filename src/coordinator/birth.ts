import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { PaneFace, Plan, PlanAgent, PlanPane, PlanSession, PlanWindow } from "../protocol/plan.ts";
import type { Credentials } from "./credentials.ts";
import { harnessFolder, harnessOf, writeHarnessShims } from "./harness/launch.ts";
import type { Ledger } from "./log/ledger.ts";
import type { PaneBirth, SessionBirth } from "./tmux/port.ts";

/** What every pane of a town is told and given. */
export interface Cradle {
  town: string;
  /** State folder of the town. */
  stateFolder: string;
  home: string;
  socketPath: string;
  /** NAME of `tmux -L` of the server the town is on. */
  tmuxSocket: string;
  /** What BOSUN_TMUX_SOCKET says, over the plan; null without it. */
  tmuxOverride: string | null;
  planFile: string;
  /** Program that runs the command line: node and the bundle. */
  cli: { node: string; script: string };
  credentials: Credentials;
  /** The layout a person last gave a window of their view, or null. */
  keptLayout(session: string, window: string): string | null;
  /** The registration of an agent whose pane is about to start, in this epoch of its session. */
  housed(agent: PlanAgent, session: string, epoch: number): Event;
  /** The chapter that begins with this run: its events, and what its processes are told. Null for sessions without. */
  opening(session: PlanSession, epoch: number): { decide: Late; env: Record<string, string> } | null;
}

/** Events that depend on what the log says at the moment they are written. */
export type Late = (views: Ledger["views"]) => Event[];

export interface Prepared {
  birth: SessionBirth;
  /** Credentials given out; appended together with the start, and those of `late` behind them. */
  events: Event[];
  late: Late[];
}

/**
 * Everything a session needs to be born: commands as the panes' own processes, environment, credentials, size. Writes the
 * token files. Throws when a folder does not exist: tmux would silently start somewhere else.
 */
export function prepare(plan: Plan, session: PlanSession, epoch: number, cradle: Cradle): Prepared {
  const events: Event[] = [];
  const shared = sessionCredential(plan, session, epoch, cradle, events);
  const opening = cradle.opening(session, epoch);
  const told = opening?.env ?? {};
  const windows = session.windows.map((window, w) => ({
    name: window.name,
    layout: cradle.keptLayout(session.id, window.name) ?? window.layout,
    panes: window.panes.map((pane, p) =>
      paneBirth(session, window, pane, `${w}.${p}`, epoch, cradle, shared, told, events),
    ),
  }));
  return {
    birth: {
      name: session.name,
      marks: { town: plan.town, id: session.id, epoch, shape: session.shape },
      size: plan.tmux.size,
      sizing: session.kind === "view" ? "follow" : "fixed",
      windows,
    },
    events,
    late: opening ? [opening.decide] : [],
  };
}

/** One pane of a session that is (re)started alone: same command, its credential as it is. */
export function prepareRespawn(
  plan: Plan,
  session: PlanSession,
  slot: string,
  epoch: number,
  cradle: Cradle,
): { birth: PaneBirth; events: Event[]; late: Late[] } | null {
  const [windowIndex, paneIndex] = slot.split(".").map(Number);
  const window = session.windows[windowIndex ?? -1];
  const pane = window?.panes[paneIndex ?? -1];
  if (!window || !pane) return null;
  const events: Event[] = [];
  const shared = sessionCredential(plan, session, epoch, cradle, events);
  // The run of a session is that of its first pane; a process beside it goes on in the same chapter.
  const opening = slot === "0.0" ? cradle.opening(session, epoch) : null;
  const birth = paneBirth(session, window, pane, slot, epoch, cradle, shared, opening?.env ?? {}, events);
  return { birth, events, late: opening ? [opening.decide] : [] };
}

function sessionCredential(plan: Plan, session: PlanSession, epoch: number, cradle: Cradle, events: Event[]): string {
  const isView = session.kind === "view" && session.member !== null;
  const actor = isView ? `person:${session.member}` : `program:${session.id}`;
  const role = isView ? (plan.users.find((user) => user.id === session.member)?.role ?? "viewer") : "agent";
  const issued = cradle.credentials.issue(actor, role, session.id, epoch);
  events.push(issued.event);
  return issued.tokenFile;
}

function paneBirth(
  session: PlanSession,
  window: PlanWindow,
  pane: PlanPane,
  slot: string,
  epoch: number,
  cradle: Cradle,
  sharedTokenFile: string,
  told: Record<string, string>,
  events: Event[],
): PaneBirth {
  if (!existsSync(pane.cwd)) {
    throw new BosunError({
      code: "PLAN_INVALID",
      what: `the folder ${pane.cwd} of session ${session.name} does not exist`,
      why: "tmux would start the command somewhere else without a word",
      fix: `mkdir -p ${pane.cwd}, or change cwd in the floor plan`,
      at: { file: cradle.planFile, ...session.at },
    });
  }
  let tokenFile = sharedTokenFile;
  if (pane.agent) {
    const issued = cradle.credentials.issue(`agent:${pane.agent.id}`, "agent", session.id, epoch);
    events.push(issued.event, cradle.housed(pane.agent, session.id, epoch));
    tokenFile = issued.tokenFile;
  }
  const near = roomsNear(session, window);
  return {
    slot,
    title: pane.title,
    cwd: pane.cwd,
    argv: pane.face ? faceArgv(pane.face, cradle) : commandArgv(session.shell, pane.run),
    env: {
      PATH: pathOf(pane, cradle.stateFolder),
      BOSUN_HOME: cradle.home,
      BOSUN_TOWN: cradle.town,
      BOSUN_SOCKET: cradle.socketPath,
      BOSUN_TOKEN_FILE: tokenFile,
      BOSUN_SESSION: session.id,
      BOSUN_EPOCH: String(epoch),
      BOSUN_NODE: cradle.cli.node,
      ...(near.length > 0 ? { BOSUN_NEAR: near.join(",") } : {}),
      ...(session.room ? { BOSUN_ROOM: session.room } : {}),
      ...(pane.agent ? { BOSUN_AGENT: pane.agent.id, BOSUN_ASK_FIFO: fifoOf(cradle.stateFolder, pane.agent.id) } : {}),
      ...told,
      ...pane.env,
    },
  };
}

/** Agents of a known kind find the shim that gives them our MCP server before the program itself. */
function pathOf(pane: PanePath, stateFolder: string): string {
  const { agent, run } = pane;
  const withTools = agent !== null && agent.mcp !== false && harnessOf(agent.type, run) !== null;
  const folders = [...(withTools ? [harnessFolder(stateFolder)] : []), join(stateFolder, "bin")];
  return [...folders, process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin"].join(":");
}

type PanePath = Pick<PlanPane, "agent" | "run">;

/** Rooms a command pane means when it names none: those shown beside it first, then the session's own. */
function roomsNear(session: PlanSession, window: PlanWindow): string[] {
  const shown = [window, ...session.windows]
    .flatMap((each) => each.panes)
    .flatMap((pane) => (pane.face?.kind === "feed" ? pane.face.rooms : []));
  return [...new Set([...shown.filter((room) => room !== "*"), ...(session.room ? [session.room] : [])])];
}

export function fifoOf(stateFolder: string, agent: string): string {
  return join(stateFolder, "fifo", agent);
}

/** `run` is one shell command line; the shell replaces itself with a simple command, so the process is the declared one. */
function commandArgv(shell: string, run: string | null): string[] {
  return run === null ? [shell] : [shell, "-c", run];
}

function faceArgv(face: PaneFace, cradle: Cradle): string[] {
  const bosun = [cradle.cli.node, cradle.cli.script];
  switch (face.kind) {
    case "feed":
      return [
        ...bosun,
        "feed",
        ...face.rooms,
        "-f",
        "--last",
        String(face.last),
        ...face.agent.flatMap((agent) => ["--agent", agent]),
        ...face.tag.flatMap((tag) => ["--tag", tag]),
        ...(face.level ? ["--level", face.level] : []),
      ];
    case "command":
      return [...bosun, "command"];
    case "review":
      return [...bosun, "feed", face.room, "--review"];
    case "link":
      return [...bosun, "peek", face.target, "-f"];
    case "job":
      return [...bosun, "job", "show", face.job, "-f"];
    case "chat":
      return [...bosun, "chat", "run", JSON.stringify(face.chat)];
  }
}

/** `bosun` on the panes' PATH, without looking for a Node first; and the agents that get our MCP server. */
export function writeShim(cradle: Pick<Cradle, "stateFolder" | "cli">): void {
  const folder = join(cradle.stateFolder, "bin");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  writeFileSync(join(folder, "bosun"), `#!/bin/sh\nexec ${quote(cradle.cli.node)} ${quote(cradle.cli.script)} "$@"\n`, {
    mode: 0o755,
  });
  writeHarnessShims(cradle.stateFolder, cradle.cli);
}
