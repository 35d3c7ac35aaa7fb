import { BosunError } from "../protocol/error.ts";
import type { AgentInfo } from "../protocol/registry.ts";
import { Link, type LinkOptions } from "./link.ts";

/** What a session says it does; `offline` also follows from silence. */
export const SessionStatus = {
  ACTIVE: "active",
  IDLE: "idle",
  WORKING: "working",
  WAITING: "waiting",
  OFFLINE: "offline",
} as const;
export type SessionStatus = (typeof SessionStatus)[keyof typeof SessionStatus];

/** A registered session: an agent and what is known of it. Times are RFC 3339. */
export interface Session {
  sessionId: string;
  agentName: string;
  /** Any text: `Claude`, `GPT-4`. */
  agentType: string;
  status: SessionStatus;
  startedAt: string;
  /** Last sign of life. */
  lastPing: string;
  humanUser: string | null;
  location: string | null;
  capabilities: string[];
  currentTask: string | null;
  metadata: Record<string, unknown>;
  groups: string[];
  /** Counts the registrations of this id. */
  epoch: number;
  /** Mail it has not read. */
  unread: number;
  /** What says that the status is so. */
  evidence: string;
}

export interface Registration {
  sessionId: string;
  agentName: string;
  agentType: string;
  humanUser?: string;
  capabilities?: string[];
  location?: string;
  metadata?: Record<string, unknown>;
  groups?: string[];
  currentTask?: string;
  /** Seconds of silence until it counts as offline; default 300. */
  leaseS?: number;
  /** Take the id from a live holder. */
  takeover?: boolean;
}

/** All that are given must fit. */
export interface SessionFilter {
  status?: SessionStatus;
  capability?: string;
  agentType?: string;
  humanUser?: string;
  group?: string;
}

export interface RegistryStats {
  totalSessions: number;
  activeSessions: number;
  byStatus: Record<string, number>;
  byType: Record<string, number>;
  byUser: Record<string, number>;
}

/** Entries of one page. */
const PAGE = 1_000;

/**
 * Who is there. Connects by itself; every method rejects with BosunError. A process that has its own credential
 * (`BOSUN_TOKEN_FILE`) speaks for itself; a person may speak for every session they name.
 */
export class SessionRegistry {
  readonly #link: Link;

  constructor(options: LinkOptions = {}) {
    this.#link = new Link(options);
  }

  /** Rejects with CONFLICT when a live session has this id. The same id after its end is its next epoch. */
  register(registration: Registration): Promise<Session>;
  register(
    sessionId: string,
    agentName: string,
    agentType: string,
    more?: Omit<Registration, "sessionId" | "agentName" | "agentType">,
  ): Promise<Session>;
  async register(
    first: Registration | string,
    agentName = "",
    agentType = "",
    more: Partial<Registration> = {},
  ): Promise<Session> {
    const wish = typeof first === "string" ? { sessionId: first, agentName, agentType, ...more } : first;
    const { sessionId: id, agentName: name, agentType: type, humanUser: user, currentTask: task, ...rest } = wish;
    const input = { id, name, type, ...rest, ...(user !== undefined && { user }), ...(task !== undefined && { task }) };
    const { agent } = await this.#link.call("agent.register", input as never);
    return sessionOf(agent);
  }

  /** Sessions that are there; with `includeOffline` all that are registered. */
  listSessions(includeOffline = false): Promise<Session[]> {
    return this.#list({ all: includeOffline });
  }

  async findSessions({ status, capability, agentType, humanUser, group }: SessionFilter = {}): Promise<Session[]> {
    return this.#list({
      all: status === "offline" || status === undefined,
      ...(status !== undefined && { status: [status] }),
      ...(capability !== undefined && { capability: [capability] }),
      ...(agentType !== undefined && { type: agentType }),
      ...(humanUser !== undefined && { user: humanUser }),
      ...(group !== undefined && { group }),
    });
  }

  /** Null when nobody is registered under this id. */
  async getSession(sessionId: string): Promise<Session | null> {
    return unlessUnknown(async () => sessionOf((await this.#link.call("agent.show", { id: sessionId })).agent), null);
  }

  /** A sign of life; brings an offline session back. False when nobody is registered under this id. */
  ping(sessionId: string): Promise<boolean> {
    return unlessUnknown(async () => {
      await this.#link.call("agent.ping", { id: sessionId });
      return true;
    }, false);
  }

  /** False when nobody is registered under this id. `currentTask` null clears it. */
  updateStatus(
    sessionId: string,
    status: SessionStatus,
    { currentTask }: { currentTask?: string | null } = {},
  ): Promise<boolean> {
    const task = currentTask === undefined ? {} : { task: currentTask };
    return unlessUnknown(async () => {
      await this.#link.call("agent.status", { id: sessionId, status, ...task });
      return true;
    }, false);
  }

  /** False when nobody is registered under this id. Its mail and memory stay. */
  unregister(sessionId: string): Promise<boolean> {
    return unlessUnknown(async () => {
      await this.#link.call("agent.unregister", { id: sessionId });
      return true;
    }, false);
  }

  /** Takes every offline session from outside off the registry; gives their ids. */
  async clearOffline(): Promise<string[]> {
    return (await this.#link.call("agent.clear", {})).removed;
  }

  async getStats(): Promise<RegistryStats> {
    const stats = await this.#link.call("agent.stats", {});
    return {
      totalSessions: stats.total_sessions,
      activeSessions: stats.active_sessions,
      byStatus: stats.by_status,
      byType: stats.by_type,
      byUser: stats.by_user,
    };
  }

  close(): void {
    this.#link.close();
  }

  async #list(filter: object): Promise<Session[]> {
    const found: Session[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const page: { sessions: AgentInfo[]; next: string | null } = await this.#link.call("agent.list", {
        ...filter,
        limit: PAGE,
        ...(after !== undefined && { after }),
      });
      found.push(...page.sessions.map(sessionOf));
      after = page.next;
    }
    return found;
  }
}

async function unlessUnknown<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof BosunError && error.code === "UNKNOWN_AGENT") return otherwise;
    throw error;
  }
}

function sessionOf(agent: AgentInfo): Session {
  return {
    sessionId: agent.session_id,
    agentName: agent.agent_name,
    agentType: agent.agent_type,
    status: agent.status,
    startedAt: agent.started_at,
    lastPing: agent.last_ping,
    humanUser: agent.human_user,
    location: agent.location,
    capabilities: agent.capabilities,
    currentTask: agent.current_task,
    metadata: agent.metadata,
    groups: agent.groups,
    epoch: agent.epoch,
    unread: agent.unread,
    evidence: agent.evidence,
  };
}
