import type { AlertLevel } from "./alert.ts";
import type { Ceilings, EndReason, HandoffParts } from "./chapter.ts";
import type { GhostAnswers, GhostClass, GhostDecision } from "./ghost.ts";
import type { HealthCheck } from "./health.ts";
import type { MemoryType } from "./memory.ts";
import type { Outcome } from "./message.ts";
import type { AgentStatus } from "./registry.ts";

/**
 * The facts of a town, one strictly ordered list. An event is never changed or removed; what is true now is a function of
 * them. A new kind is added here with the version that first writes it, and every reader must know it: an unknown kind stops
 * the projector.
 */
export type Event =
  | { type: "coordinator.started"; data: { pid: number; version: string } }
  | { type: "coordinator.stopped"; data: { pid: number; because: string } }
  | { type: "plan.applied"; data: { file: string; digest: string; text: string; about: Record<string, string> } }
  /** A durable intent: this session shall run (`up`) or shall not (`down`). */
  | { type: "session.wanted"; data: { session: string; name: string; wanted: "running" | "stopped"; because: string } }
  | {
      type: "session.started";
      data: {
        session: string;
        name: string;
        epoch: number;
        tmuxId: string;
        server: string;
        shape: string;
        adopted: boolean;
      };
    }
  /** One that was to come back did not start; it is tried again. */
  | { type: "session.failed"; data: { session: string; name: string; attempt: number; because: string } }
  | { type: "session.exited"; data: { session: string; name: string; epoch: number; exit: string; because: string } }
  | { type: "session.stopped"; data: { session: string; name: string; epoch: number; because: string } }
  | { type: "session.renamed"; data: { session: string; from: string; to: string } }
  /** Beside the floor plan. `entry` is what a plan would hold under `sessions:`. */
  | { type: "session.opened"; data: SessionOpened }
  | { type: "session.closed"; data: { session: string; because: string } }
  | { type: "session.labelled"; data: { session: string; label: string } }
  /** Text for a session's program, kept until it can be typed; and what became of it. */
  | { type: "input.queued"; data: { id: string; session: string; slot: string | null; text: string } }
  | { type: "input.settled"; data: { id: string; outcome: "submitted" | "unproven" | "dropped"; because: string } }
  /** The session a person looks at. */
  | { type: "session.switched"; data: { person: string; session: string } }
  /** A pane's process ended while its session goes on. */
  | { type: "pane.exited"; data: { session: string; epoch: number; pane: string; agent: string | null; exit: string } }
  | {
      type: "pane.respawned";
      data: { session: string; epoch: number; pane: string; agent: string | null; because: string; attempt: number };
    }
  /** What was decided when a process of ours ended by itself: the state of its restarts from then on. `pane` `*` is the whole session. */
  | { type: "restart.decided"; data: RestartDecided }
  /** A check of a session's health changed its mind; `did` is what followed. */
  | {
      type: "health.changed";
      data: {
        session: string;
        check: HealthCheck;
        healthy: boolean;
        evidence: string;
        did: "restart" | "alert" | null;
      };
    }
  /** A run of a session begins with what the run before handed over: `previous` is the digest of that. */
  | { type: "chapter.opened"; data: ChapterOpened }
  | {
      type: "chapter.acknowledged";
      data: { series: string; number: number; digest: string | null; forced: boolean; because: string | null };
    }
  | { type: "chapter.headed"; data: { series: string; number: number; heading: string; because: string | null } }
  | {
      type: "chapter.turned";
      data: { series: string; number: number; phase: "work" | "closing"; blind: boolean; because: string };
    }
  /** Progress in words, and everything counted so far. */
  | {
      type: "chapter.noted";
      data: { series: string; number: number; text: string | null; turns: number; bytes: number; tokens: number };
    }
  | { type: "chapter.extended"; data: { series: string; number: number; ceilings: Ceilings; because: string } }
  /** A version of the handshake. `text` is the file, `digest` its SHA-256. */
  | { type: "handoff.written"; data: HandoffWritten }
  | {
      type: "chapter.closed";
      data: { series: string; number: number; reason: EndReason; writtenBy: string; burned: boolean; because: string };
    }
  | { type: "alert.raised"; data: { id: number; level: AlertLevel; key: string; text: string; by: string } }
  | { type: "alert.acknowledged"; data: { ids: number[]; note: string | null } }
  /** What it was about has passed. */
  | { type: "alert.cleared"; data: { ids: number[]; because: string } }
  | { type: "service.acted"; data: { service: string; action: "start" | "stop" | "restart"; exit: string } }
  | { type: "series.closed"; data: { series: string; because: string } }
  | { type: "series.reopened"; data: { series: string; because: string } }
  /** A person has looked: its count of failures begins again. */
  | { type: "restart.reset"; data: { session: string } }
  /** `server`: process and start of the tmux server, without which an id means nothing. */
  | { type: "session.unknown"; data: { name: string; tmuxId: string; evidence: string; server?: string } }
  | { type: "ghost.decided"; data: GhostDecided }
  /** A person's own arrangement of a window of their view. */
  | { type: "view.layout"; data: { session: string; window: string; layout: string } }
  | {
      type: "view.shared";
      data: { source: string; window: string; view: string; index: number; mode: "link" | "replicate" };
    }
  | { type: "view.unshared"; data: { source: string; window: string; view: string } }
  /** SHA-256 of the token; the token itself is only in its file. Session null = a credential for a program outside. */
  | {
      type: "credential.issued";
      data: { hash: string; actor: string; role: string; session: string | null; epoch: number };
    }
  | { type: "credential.revoked"; data: { hash: string; because: string } }
  | { type: "message.sent"; data: MessageSent }
  /** Some way of telling the recipient ran: `watch`, later hooks and typed lines. */
  | { type: "delivery.notified"; data: { messages: string[]; to: string; route: string } }
  /** The bodies were handed over, to the run `epoch` of the recipient. */
  | { type: "delivery.presented"; data: { messages: string[]; to: string; epoch: number } }
  | { type: "delivery.acked"; data: { messages: string[]; to: string; outcome: Outcome; note: string | null } }
  /** Registered anew, again, or with other facts; `epoch` grows when somebody else takes the id over. */
  | { type: "agent.registered"; data: AgentRegistered }
  /** Also when silence made it `offline` or a sign of life brought it back; `task` undefined = as before. */
  | {
      type: "agent.status";
      data: { agent: string; epoch: number; status: AgentStatus; task?: string | null; because: string };
    }
  | { type: "agent.unregistered"; data: { agent: string; because: string } }
  | { type: "group.joined"; data: { group: string; kind: "group" | "topic"; member: string } }
  | { type: "group.left"; data: { group: string; kind: "group" | "topic"; member: string } }
  | { type: "task.offered"; data: { task: string; title: string; by: string; to: string[]; message: string } }
  | { type: "task.accepted"; data: { task: string; by: string; message: string | null; note: string | null } }
  | { type: "task.declined"; data: { task: string; by: string; note: string | null } }
  | { type: "task.handed"; data: { task: string; title: string; from: string; to: string; message: string } }
  | { type: "task.done"; data: { task: string; by: string; note: string | null } }
  | { type: "memory.set"; data: MemorySet }
  | { type: "memory.deleted"; data: { key: string; by: string } }
  /** The newest value of `key`, set at `rev`, has outlived its TTL. For those who watch; reads look at the clock themselves. */
  | { type: "memory.expired"; data: { key: string; rev: number } }
  | {
      type: "lease.acquired";
      data: { names: string[]; holder: string; shared: boolean; expiresAtMs: number; why: string };
    }
  | { type: "lease.renewed"; data: { names: string[]; holder: string; expiresAtMs: number } }
  | { type: "lease.released"; data: { names: string[]; holder: string; because: string } }
  /** Somebody tried what they may not: a wrong or old credential, another's name. `count` alike ones since the last entry. */
  | {
      type: "access.refused";
      data: { op: string; code: string; because: string; claimed: string | null; count: number };
    }
  | { type: "ask.asked"; data: { ask: string; from: string; agent: string; text: string; route: string } }
  | { type: "ask.answered"; data: { ask: string; agent: string; text: string } }
  | { type: "ask.failed"; data: { ask: string; agent: string; because: string } };

export interface ChapterOpened {
  series: string;
  number: number;
  session: string;
  epoch: number;
  ceilings: Ceilings;
  previous: string | null;
  /** The one before was burned: its opening tells what could be found out. */
  recovery: boolean;
}

export interface HandoffWritten {
  series: string;
  number: number;
  digest: string;
  previous: string | null;
  writtenBy: string;
  text: string;
  parts: HandoffParts;
}

export interface MessageSent {
  id: string;
  thread: string;
  from: string;
  to: string[];
  type: string;
  subject: string;
  body: string;
  /** JSON text, kept byte for byte. */
  dataJson: string | null;
  priority: string;
  inReplyTo: string | null;
  /** As the sender wrote it: `@builders`, `any:python`. */
  addressed: string[];
  /** Whether a person's credential sent it. */
  human: boolean;
  ack: boolean;
  expiresAtMs: number | null;
  task: string | null;
  /** Moved in from elsewhere: when it was written there. */
  sentAtMs: number | null;
  /** Answers for this recipient of the message before; absent: for its sender. */
  answersFor?: string;
}

export interface RestartDecided {
  session: string;
  /** Of the session: a person who restarts it begins a new one, with nothing counted. */
  epoch: number;
  pane: string;
  exit: string;
  do: "restart" | "again" | "wait" | "probe" | "park" | "leave";
  because: string;
  /** Milliseconds since 1970 of the next try; null = none. */
  nextAtMs: number | null;
  failedAtMs: number[];
  streak: number;
  exhausted: boolean;
  /** Of the process that ended, and when it had been started; null where it is not known. */
  pid: number | null;
  startedAtMs: number;
}

/** What was done about a session nobody declared, with what was known of it then. */
export interface GhostDecided {
  server: string;
  tmuxId: string;
  name: string;
  class: GhostClass;
  decision: GhostDecision;
  because: string;
  answers: GhostAnswers;
  /** Folder with screen, scrollback and processes. */
  archive: string | null;
  /** Plan id it has from now on. */
  session: string | null;
}

export interface SessionOpened {
  session: string;
  /** What people call it. */
  label: string;
  purpose: string | null;
  entry: Record<string, unknown>;
  /** Of a git worktree made for it. */
  worktree: { folder: string; branch: string; repository: string } | null;
}

export interface AgentRegistered {
  agent: string;
  name: string;
  agentType: string;
  user: string | null;
  capabilities: string[];
  location: string | null;
  metadata: Record<string, unknown>;
  groups: string[];
  task: string | null;
  epoch: number;
  leaseS: number;
  /** Plan id of its session, or null for one from outside. */
  session: string | null;
  status: AgentStatus;
  /** Moved in from elsewhere: when it started there. */
  startedAtMs: number | null;
}

export interface MemorySet {
  id: string;
  key: string;
  /** JSON text, kept byte for byte. */
  valueJson: string;
  type: MemoryType;
  tags: string[];
  by: string;
  expiresAtMs: number | null;
  metadata: Record<string, unknown>;
  /** Moved in from elsewhere: when it was set there. */
  setAtMs: number | null;
}

export type EventType = Event["type"];

/** The compiler refuses this record when a kind of event is missing from it or unknown. */
const KNOWN: Record<EventType, true> = {
  "coordinator.started": true,
  "coordinator.stopped": true,
  "plan.applied": true,
  "session.wanted": true,
  "session.started": true,
  "session.exited": true,
  "session.failed": true,
  "session.stopped": true,
  "session.renamed": true,
  "session.opened": true,
  "session.closed": true,
  "session.labelled": true,
  "session.switched": true,
  "input.queued": true,
  "input.settled": true,
  "session.unknown": true,
  "ghost.decided": true,
  "pane.exited": true,
  "pane.respawned": true,
  "restart.decided": true,
  "restart.reset": true,
  "chapter.opened": true,
  "chapter.acknowledged": true,
  "chapter.headed": true,
  "chapter.turned": true,
  "chapter.noted": true,
  "chapter.extended": true,
  "handoff.written": true,
  "chapter.closed": true,
  "alert.raised": true,
  "alert.acknowledged": true,
  "alert.cleared": true,
  "service.acted": true,
  "series.closed": true,
  "series.reopened": true,
  "health.changed": true,
  "view.layout": true,
  "view.shared": true,
  "view.unshared": true,
  "credential.issued": true,
  "credential.revoked": true,
  "message.sent": true,
  "delivery.notified": true,
  "delivery.presented": true,
  "delivery.acked": true,
  "agent.registered": true,
  "agent.status": true,
  "agent.unregistered": true,
  "group.joined": true,
  "group.left": true,
  "task.offered": true,
  "task.accepted": true,
  "task.declined": true,
  "task.handed": true,
  "task.done": true,
  "memory.set": true,
  "memory.deleted": true,
  "memory.expired": true,
  "lease.acquired": true,
  "lease.renewed": true,
  "lease.released": true,
  "access.refused": true,
  "ask.asked": true,
  "ask.answered": true,
  "ask.failed": true,
};

/** Every kind of event this version writes and understands. */
export const EVENT_TYPES = Object.keys(KNOWN) as readonly EventType[];

/** An event as the log holds it. */
export interface StoredEvent {
  /** 1, 2, 3 … without gaps. */
  position: number;
  /** Milliseconds since 1970, coordinator's clock; for people, never for order. */
  atMs: number;
  /** Who caused it, from the credential: `person:<name>`, `agent:<id>`, `coordinator`. */
  actor: string;
  event: Event;
  /** Hex SHA-256 over the previous entry's hash and this entry's bytes. */
  hash: string;
}
