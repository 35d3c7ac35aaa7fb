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
  | { type: "session.exited"; data: { session: string; name: string; epoch: number; exit: string; because: string } }
  | { type: "session.stopped"; data: { session: string; name: string; epoch: number; because: string } }
  | { type: "session.renamed"; data: { session: string; from: string; to: string } }
  /** A pane's process ended while its session goes on. */
  | { type: "pane.exited"; data: { session: string; epoch: number; pane: string; agent: string | null; exit: string } }
  | {
      type: "pane.respawned";
      data: { session: string; epoch: number; pane: string; agent: string | null; because: string; attempt: number };
    }
  | { type: "session.unknown"; data: { name: string; tmuxId: string; evidence: string } }
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
  | { type: "delivery.presented"; data: { message: string; to: string } }
  | { type: "delivery.acked"; data: { message: string; to: string } }
  | { type: "ask.asked"; data: { ask: string; from: string; agent: string; text: string; route: string } }
  | { type: "ask.answered"; data: { ask: string; agent: string; text: string } }
  | { type: "ask.failed"; data: { ask: string; agent: string; because: string } };

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
  "session.stopped": true,
  "session.renamed": true,
  "session.unknown": true,
  "pane.exited": true,
  "pane.respawned": true,
  "view.layout": true,
  "view.shared": true,
  "view.unshared": true,
  "credential.issued": true,
  "credential.revoked": true,
  "message.sent": true,
  "delivery.presented": true,
  "delivery.acked": true,
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
