import { BosunError } from "../../protocol/error.ts";
import type { Event } from "../../protocol/event.ts";
import type { PlanAgent } from "../../protocol/plan.ts";
import { type AgentStatus, LEASE_S } from "../../protocol/registry.ts";
import type { AgentRow } from "./projection.ts";

/** Whose word silence, panes and the plan are. */
export const COORDINATOR = "coordinator";

/** Who asks for it. */
export interface Applicant {
  /** `person:steve`, `agent:dev-001`, … */
  name: string;
  id: string;
  kind: string;
}

/** Everything known about an id somebody wants to register. */
export interface Claimed {
  id: string;
  /** Who holds it now; null when nobody does. */
  holder: AgentRow | null;
  /** It is there: registered and not offline, silence considered. */
  live: boolean;
  /** Its last sign of life, RFC 3339; for the text of a conflict. */
  lastSeen: string;
  /** Of the last registration under this id, the present one or an ended one. */
  last: { epoch: number; registeredBy: string } | null;
  /** Why the id is nobody's to register: `an agent of the floor plan`, `a user of the floor plan`. Null when it is free. */
  reserved: string | null;
  takeover: boolean;
}

/** What registering does: the same run with other facts, or the next one. */
export type Registration = { epoch: number; next: boolean; returning: boolean };

/**
 * Whether `applicant` gets the id, and in which epoch.
 *
 *   its own credential          → the same epoch, other facts
 *   never registered            → epoch 1, anybody
 *   offline, or taken off       → the next epoch: a person, or who registered it before
 *   live                        → CONFLICT; a person takes over with `takeover`: the next epoch
 *
 * An id of the floor plan belongs to the plan, in every state. Throws REFUSED or CONFLICT.
 */
export function decideRegistration(applicant: Applicant, claimed: Claimed): Registration {
  const { id, holder, last } = claimed;
  if (holder && applicant.kind === "agent" && applicant.id === id) {
    return { epoch: holder.epoch, next: false, returning: true };
  }
  if (claimed.reserved !== null) throw reserved(id, claimed.reserved);
  const person = applicant.kind === "person";
  if (claimed.takeover && !person) {
    throw new BosunError({
      code: "REFUSED",
      what: `${applicant.id} may not take ${id} over`,
      why: "only people take an id from its holder",
      fix: "register under another id, or ask a person",
    });
  }
  if (!last) return { epoch: 1, next: true, returning: false };
  const mine = person || last.registeredBy === applicant.name;
  if (holder && claimed.live && !claimed.takeover) throw held(holder, claimed.lastSeen);
  if (!mine) {
    throw new BosunError({
      code: "REFUSED",
      what: `${applicant.id} may not register ${id}`,
      why: `${last.registeredBy} registered it before, and its mail goes with the id`,
      fix: "register under another id, or ask a person",
    });
  }
  return { epoch: last.epoch + 1, next: true, returning: true };
}

function reserved(id: string, why: string): BosunError {
  return new BosunError({
    code: "CONFLICT",
    what: `${id} is ${why}`,
    why: "what the floor plan names belongs to the plan",
    fix: "choose another id",
  });
}

function held(holder: AgentRow, lastSeen: string): BosunError {
  const since = new Date(holder.startedAtMs).toISOString();
  return new BosunError({
    code: "CONFLICT",
    what: `${holder.id} is registered, and its holder is there`,
    why: `${holder.name} (${holder.type}) holds it since ${since}, registered by ${holder.registeredBy}, last seen ${lastSeen}`,
    fix: `bosun register ${holder.id} NAME TYPE --takeover   takes it from them; or choose another id`,
  });
}

type Registered = Extract<Event, { type: "agent.registered" }>;

/** Of an agent of the plan that is about to run, or runs on under another plan. */
export function registrationOf(agent: PlanAgent, session: string, epoch: number): Registered {
  return {
    type: "agent.registered",
    data: {
      agent: agent.id,
      name: agent.id,
      agentType: agent.type,
      user: agent.user,
      capabilities: agent.capabilities,
      location: null,
      metadata: {},
      groups: [],
      task: null,
      epoch,
      leaseS: LEASE_S,
      session,
      status: "active",
      startedAtMs: null,
    },
  };
}

/** What a registration takes from the plan, to compare. */
export function factsOf(agent: PlanAgent, session: string): string {
  return JSON.stringify([agent.type, agent.user, agent.capabilities, session]);
}

/** Offline by silence or by the end of its pane: a sign of life ends that. Who said so itself stays so until it pings. */
export function mayReturn(row: AgentRow): boolean {
  return row.status === "offline" && row.statusBy === COORDINATOR;
}

/** Keeps the task. */
export function statusEvent(row: AgentRow, status: AgentStatus, because: string): Event {
  return { type: "agent.status", data: { agent: row.id, epoch: row.epoch, status, because } };
}
