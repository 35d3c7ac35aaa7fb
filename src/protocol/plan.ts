import type { AlertLevel, AlertSink } from "./alert.ts";
import type { ChapterSpec } from "./chapter.ts";
import type { ChatSpec } from "./chat.ts";
import type { HealthSpec } from "./health.ts";
import type { JobKind } from "./job.ts";
import type { ServiceSpec } from "./service.ts";

/** Unread messages that one mailbox holds unless the plan says otherwise: an agent that never reads must not fill the disk. */
export const MAX_UNREAD = 100_000;

/**
 * The floor plan after reading, checking and expanding: every `each` multiplied out, every default filled in, every name
 * formatted. Plain data, in the order of the file; what reconcile compares with the world.
 */
export interface Plan {
  version: 1;
  town: string;
  /** Absolute path of the file; relative paths inside it start from its folder. */
  file: string;
  /** SHA-256 of the text (with includes), hex. */
  digest: string;
  about: { purpose?: string; author?: string; since?: string; because?: string };
  names: { preset: string; templates: Record<string, string>; legacy: "accept" | "refuse" };
  tmux: { socket: string; config: string | null; size: { columns: number; rows: number } };
  rooms: PlanRoom[];
  sessions: PlanSession[];
  rigs: { id: string; about: string; path: string | null; prefix: string | null }[];
  users: PlanUser[];
  groups: Record<string, string[]>;
  /** How much is too much: mail of one sender in a minute (null = any), unread in one mailbox; sessions open beside the plan. */
  limits: { sendsPerMinute: number | null; unread: number; sessions: number; disk: number };
  services: { id: string; spec: ServiceSpec }[];
  /** By the clock; those with a window of their own stand there. */
  jobs: PlanJob[];
  alerts: PlanAlerts;
  hosts: Record<string, unknown>;
  /** NATS server for agents reached over a broker, or null. */
  broker: string | null;
  /** What is right and yet worth a word: one line each. */
  notes: string[];
}

export interface PlanRoom {
  id: string;
  about: string;
  /** Whichever bound is reached first; null = unbounded. */
  keep: { ageMs: number | null; count: number | null };
  /** Absolute path of the mirror, or null. Rotated at `rotateBytes`, `rotateKeep` old files kept. */
  jsonl: { path: string; rotateBytes: number; rotateKeep: number } | null;
  sources: PlanSource[];
  /** Members only; null = everybody of the town. */
  private: string[] | null;
}

/** Where lines come from besides `say`. */
export type PlanSource =
  /** Lines of a session's pane output matching `pattern` (a regular expression; group 1, or the whole match, is the text). */
  | { kind: "pane"; session: string; agent: string | null; pattern: string; level: string | null; tags: string[] }
  /** Lines appended to a JSONL file; `msg` or `content` is the text. */
  | { kind: "jsonl"; path: string; from: string | null }
  /** Lines of other rooms at this level or with these tags are repeated here (alerts across rooms). */
  | { kind: "rooms"; rooms: string[]; level: string | null; tags: string[] };

export interface PlanAgent {
  id: string;
  type: string;
  profile: string | null;
  capabilities: string[];
  user: string | null;
  /** How `ask` reaches it; `auto` = socket when the agent listens there, then FIFO, then typed text. */
  ask: "auto" | "socket" | "fifo" | "keys" | "broker";
  /** False: it is started without our MCP server. */
  mcp?: false;
}

export interface PlanPane {
  title: string;
  /** Given to `shell -c` as the pane's process; null = an interactive shell. */
  run: string | null;
  cwd: string;
  env: Record<string, string>;
  agent: PlanAgent | null;
  /** What bosun itself runs here: the panes of views, and of conversations with a model. */
  face: PaneFace | null;
}

export type PaneFace =
  | { kind: "feed"; rooms: string[]; agent: string[]; tag: string[]; level: string | null; last: number }
  | { kind: "command" }
  | { kind: "link"; target: string }
  | { kind: "review"; room: string }
  | { kind: "job"; job: string }
  | { kind: "chat"; chat: ChatSpec };

export interface PlanWindow {
  name: string;
  /** A tmux layout name or layout string; null = tmux's own. */
  layout: string | null;
  panes: PlanPane[];
  job: PlanJob | null;
}

export type PlanAlerts = Record<AlertLevel, AlertSink[]>;

/** A watch job. Its id is its key under `jobs:`, or `<session>/<window>`. */
export interface PlanJob {
  id: string;
  kind: JobKind;
  about: string;
  /** Command line, plan id of the session it watches, or the channel. */
  target: string;
  cron: string | null;
  timezone: string | null;
  /** 0: always, or by its cron line. */
  everyMs: number;
  timeoutMs: number;
  cwd: string;
  env: Record<string, string>;
  /** Absolute. */
  to: string | null;
  rotateBytes: number;
  keep: number;
  /** Of a channel that is a file; null for a room. */
  channel: string | null;
  receipts: string | null;
  handshake: boolean;
  pattern: string;
  alert: AlertLevel;
}

/** Every job of a plan, with those that have windows. */
export function jobsOf(plan: Plan): PlanJob[] {
  return [
    ...plan.jobs,
    ...plan.sessions.flatMap((session) => session.windows.flatMap((window) => (window.job ? [window.job] : []))),
  ];
}

export type RestartPolicy = "always" | "on-failure" | "never";

export interface PlanSession {
  /** Unique in the town: `mayor`, `gastown/witness`, `agents-spx`, `view/steve`. Never changes while the session lives. */
  id: string;
  /** The tmux session name, after the scheme. */
  name: string;
  /** What it was called before bosun ran it: a session of such a name, proven to be this town's, is taken over as it runs. */
  was: string[];
  kind: "agents" | "view" | "chat";
  about: string;
  role: string | null;
  rig: string | null;
  /** Crew or polecat name; user of a view. */
  member: string | null;
  room: string | null;
  headless: boolean;
  protect: boolean;
  access: string[] | null;
  start: "boot" | "manual" | "schedule";
  /** When one with `start: schedule` starts, as a cron line; null for others. */
  schedule: string | null;
  restart: { policy: RestartPolicy; spec: Record<string, unknown> };
  /** It is ended after resting for so long; null = never. */
  idleMs: number | null;
  health: HealthSpec | null;
  chapter: ChapterSpec | null;
  chat: ChatSpec | null;
  /** What people call a session that was opened beside the plan. */
  label?: string;
  /** Sessions that start before it, those of `needs` among them. */
  after: string[];
  /** Sessions that must run, and be well, before it starts. */
  needs: string[];
  /** Which others start again with it when it is: none, all of its group, or those that stand on it. */
  groupStrategy: "one" | "all" | "rest";
  /** How its processes are ended, and how long a start may take. */
  stop: { signal: string | null; graceMs: number; last: string; scope: "tree" | "process" };
  startTimeoutMs: number;
  host: string | null;
  worktree: boolean;
  shell: string;
  windows: PlanWindow[];
  /**
   * SHA-256 (first 16 hex digits) over everything that shapes the running session: windows, panes, commands, env, cwd. A
   * running session whose mark differs has drifted. `about`, restart and access rules are not part of it.
   */
  shape: string;
  /** Another one of a session that is meant to be one; null for the primary, and for all that have no second. */
  instance: { of: string; kind: "secondary" | "forked" } | null;
  /** What its author wrote down about it, besides `about`; absent where nothing was. */
  documented: {
    meaning?: string;
    lifecycle?: string;
    /** By whom, when, and on what occasion. */
    created?: Record<string, unknown>;
    registry?: string;
    feeds?: string[];
    naming_exception?: string;
  };
  /** Where the entry stands; `file` (absolute) only when that is an included one. */
  at: { file?: string; line: number; column: number };
}

export interface PlanUser {
  id: string;
  role: "viewer" | "operator" | "admin";
  /** Id of the view session, or null for a user without one. */
  view: string | null;
}

/** What people call it. */
export function nameOf(session: PlanSession): string {
  return session.label ?? session.name;
}

/** An agent of the plan and its place: `slot` is `<window index>.<pane index>`, the mark its pane carries in tmux. */
export interface PlacedAgent {
  agent: PlanAgent;
  session: PlanSession;
  slot: string;
}

export function agentsOf(sessions: readonly PlanSession[]): PlacedAgent[] {
  return sessions.flatMap((session) =>
    session.windows.flatMap((window, w) =>
      window.panes.flatMap((pane, p) => (pane.agent ? [{ agent: pane.agent, session, slot: `${w}.${p}` }] : [])),
    ),
  );
}

/** The agent in that place of the session, or null. */
export function agentAt(session: PlanSession | undefined, slot: string | null): string | null {
  return paneAt(session, slot)?.agent?.id ?? null;
}

export function paneAt(session: PlanSession | undefined, slot: string | null): PlanPane | null {
  const [window, pane] = (slot ?? "").split(".").map(Number);
  return session?.windows[window ?? -1]?.panes[pane ?? -1] ?? null;
}
