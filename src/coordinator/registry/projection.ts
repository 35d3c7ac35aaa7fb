import type { DatabaseSync } from "node:sqlite";
import type { AgentRegistered } from "../../protocol/event.ts";
import type { AgentStatus } from "../../protocol/registry.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/**
 * Who is registered, and who belongs to which group or topic. Signs of life are not here: see `signs.ts`.
 *
 * `agent_counts` is kept with every change, so that totals cost the same with ten agents and with ten thousand.
 * `agent_epochs` outlives an unregistered agent: an id never gets an epoch twice.
 */
export const registryProjection = defineProjection({
  name: "registry",
  revision: 2,
  tables: ["agents", "agent_capabilities", "agent_epochs", "agent_counts", "memberships"],
  create: `
    CREATE TABLE agents(
      id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, user TEXT, status TEXT NOT NULL, since_ms INTEGER NOT NULL,
      because TEXT NOT NULL, status_by TEXT NOT NULL, capabilities_json TEXT NOT NULL, location TEXT, metadata_json TEXT NOT NULL,
      task TEXT, epoch INTEGER NOT NULL, lease_s INTEGER NOT NULL, session TEXT, started_at_ms INTEGER NOT NULL,
      registered_at_ms INTEGER NOT NULL, registered_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX agents_status ON agents(status, id);
    CREATE INDEX agents_type ON agents(type, status, id);
    CREATE INDEX agents_user ON agents(user, status, id);
    CREATE INDEX agents_session ON agents(session) WHERE session IS NOT NULL;
    CREATE TABLE agent_capabilities(
      capability TEXT NOT NULL, agent TEXT NOT NULL, PRIMARY KEY (capability, agent)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX agent_capabilities_agent ON agent_capabilities(agent);
    CREATE TABLE agent_epochs(
      agent TEXT PRIMARY KEY, epoch INTEGER NOT NULL, registered_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE agent_counts(
      kind TEXT NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, value)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE memberships(
      kind TEXT NOT NULL, name TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (kind, name, member)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memberships_member ON memberships(member);`,
  on: {
    "agent.registered": (db, data, { atMs, actor }) => {
      const before = counted(db, data.agent);
      if (before) count(db, before, -1);
      insertAgent(db, data, atMs, actor);
      statement(db, "DELETE FROM agent_capabilities WHERE agent = ?").run(data.agent);
      const can = statement(db, "INSERT OR IGNORE INTO agent_capabilities VALUES (?, ?)");
      for (const capability of data.capabilities) can.run(capability, data.agent);
      const join = statement(db, "INSERT OR IGNORE INTO memberships VALUES ('group', ?, ?)");
      for (const group of data.groups) join.run(group, data.agent);
      count(db, { status: data.status, type: data.agentType, user: data.user }, 1);
      statement(db, "INSERT OR REPLACE INTO agent_epochs VALUES (?, ?, ?)").run(data.agent, data.epoch, actor);
    },
    "agent.status": (db, { agent, status, task, because }, { atMs, actor }) => {
      const before = counted(db, agent);
      if (!before) return;
      bump(db, "status", before.status, -1);
      bump(db, "status", status, 1);
      statement(
        db,
        `UPDATE agents SET since_ms = CASE WHEN status = :status THEN since_ms ELSE :at END, status = :status,
           because = :because, status_by = :by, task = CASE WHEN :keep THEN task ELSE :task END WHERE id = :id`,
      ).run({ id: agent, status, at: atMs, because, by: actor, keep: task === undefined ? 1 : 0, task: task ?? null });
    },
    "agent.unregistered": (db, { agent }) => {
      const before = counted(db, agent);
      if (!before) return;
      count(db, before, -1);
      statement(db, "DELETE FROM agents WHERE id = ?").run(agent);
      statement(db, "DELETE FROM agent_capabilities WHERE agent = ?").run(agent);
      statement(db, "DELETE FROM memberships WHERE member = ?").run(agent);
    },
    "group.joined": (db, { group, kind, member }) => {
      statement(db, "INSERT OR IGNORE INTO memberships VALUES (?, ?, ?)").run(kind, group, member);
    },
    "group.left": (db, { group, kind, member }) => {
      statement(db, "DELETE FROM memberships WHERE kind = ? AND name = ? AND member = ?").run(kind, group, member);
    },
  },
});

/** What of an agent is counted. */
interface Counted {
  status: string;
  type: string;
  user: string | null;
}

function counted(db: DatabaseSync, agent: string): Counted | null {
  return (
    (statement(db, "SELECT status, type, user FROM agents WHERE id = ?").get(agent) as Counted | undefined) ?? null
  );
}

function count(db: DatabaseSync, agent: Counted, by: 1 | -1): void {
  bump(db, "all", "", by);
  bump(db, "status", agent.status, by);
  bump(db, "type", agent.type, by);
  if (agent.user !== null) bump(db, "user", agent.user, by);
}

/** A count that reaches nothing is deleted: a replay must not know values that are gone. */
function bump(db: DatabaseSync, kind: string, value: string, by: 1 | -1): void {
  statement(
    db,
    "INSERT INTO agent_counts VALUES (:kind, :value, :by) ON CONFLICT (kind, value) DO UPDATE SET n = n + :by",
  ).run({ kind, value, by });
  if (by < 0) statement(db, "DELETE FROM agent_counts WHERE kind = ? AND value = ? AND n = 0").run(kind, value);
}

/** The start is that of the epoch: the same run with other facts keeps its own. */
function insertAgent(db: DatabaseSync, data: AgentRegistered, atMs: number, actor: string): void {
  statement(
    db,
    `INSERT INTO agents VALUES (:id, :name, :type, :user, :status, :at, 'registered', :by, :capabilities, :location, :metadata,
       :task, :epoch, :lease, :session, :started, :at, :by)
     ON CONFLICT (id) DO UPDATE SET
       since_ms = CASE WHEN status = :status AND epoch = :epoch THEN since_ms ELSE :at END,
       started_at_ms = CASE WHEN epoch = :epoch THEN started_at_ms ELSE :started END,
       name = :name, type = :type, user = :user, status = :status, because = 'registered', status_by = :by,
       capabilities_json = :capabilities, location = :location, metadata_json = :metadata, task = :task, epoch = :epoch,
       lease_s = :lease, session = :session, registered_at_ms = :at, registered_by = :by`,
  ).run({
    id: data.agent,
    name: data.name,
    type: data.agentType,
    user: data.user,
    status: data.status,
    at: atMs,
    by: actor,
    capabilities: JSON.stringify(data.capabilities),
    location: data.location,
    metadata: JSON.stringify(data.metadata),
    task: data.task,
    epoch: data.epoch,
    lease: data.leaseS,
    session: data.session,
    started: data.startedAtMs ?? atMs,
  });
}

/** A registered agent as the log last heard of it. */
export interface AgentRow {
  id: string;
  name: string;
  type: string;
  user: string | null;
  status: AgentStatus;
  /** When the status began, why, and whose word it is: an actor's name, `coordinator` included. */
  sinceMs: number;
  because: string;
  statusBy: string;
  capabilities: string[];
  location: string | null;
  metadata: AgentRegistered["metadata"];
  task: string | null;
  epoch: number;
  leaseS: number;
  /** Plan id of the session it lives in; null from outside. */
  session: string | null;
  startedAtMs: number;
  registeredAtMs: number;
  registeredBy: string;
}

const AGENT_COLUMNS = `id, name, type, user, status, since_ms AS sinceMs, because, status_by AS statusBy,
  capabilities_json AS capabilities, location, metadata_json AS metadata, task, epoch, lease_s AS leaseS, session,
  started_at_ms AS startedAtMs, registered_at_ms AS registeredAtMs, registered_by AS registeredBy`;

function toAgentRow(row: Record<string, unknown>): AgentRow {
  return {
    ...(row as unknown as AgentRow),
    capabilities: JSON.parse(row.capabilities as string) as string[],
    metadata: JSON.parse(row.metadata as string) as AgentRow["metadata"],
  };
}

export function agentRow(db: DatabaseSync, id: string): AgentRow | null {
  const row = statement(db, `SELECT ${AGENT_COLUMNS} FROM agents WHERE id = ?`).get(id);
  return row ? toAgentRow(row) : null;
}

/** Null when nobody is registered under this id. */
export function agentEpoch(db: DatabaseSync, id: string): number | null {
  return (statement(db, "SELECT epoch FROM agents WHERE id = ?").get(id)?.epoch as number | undefined) ?? null;
}

/** The epoch of the last registration under this id and who made it; null when there never was one. */
export function lastEpoch(db: DatabaseSync, id: string): { epoch: number; registeredBy: string } | null {
  const row = statement(db, "SELECT epoch, registered_by AS registeredBy FROM agent_epochs WHERE agent = ?").get(id);
  return row ? (row as { epoch: number; registeredBy: string }) : null;
}

/** All that live in sessions of the plan. */
export function housedAgents(db: DatabaseSync): AgentRow[] {
  return statement(db, `SELECT ${AGENT_COLUMNS} FROM agents WHERE session IS NOT NULL ORDER BY id`)
    .all()
    .map(toAgentRow);
}

/** Ids and leases of those whose status is another than offline. */
export function presentAgents(db: DatabaseSync): { id: string; leaseS: number }[] {
  return statement(
    db,
    "SELECT id, lease_s AS leaseS FROM agents WHERE status IN ('active', 'idle', 'waiting', 'working') ORDER BY id",
  ).all() as unknown as { id: string; leaseS: number }[];
}

export interface AgentFilter {
  /** Has all of these. */
  capabilities?: readonly string[] | undefined;
  type?: string | undefined;
  user?: string | undefined;
  /** Member of this group or declared by the plan to be: one of these ids, or joined. */
  group?: { name: string; declared: readonly string[] } | undefined;
  /** Part of id, name or task, in any case. */
  query?: string | undefined;
}

/**
 * Agents of one of these statuses after `after`, by id, at most `limit`. Each status is a walk along its own index, so a page
 * costs its length, whatever else is registered; only `query` reads all that the rest leaves.
 */
export function agentsPage(
  db: DatabaseSync,
  statuses: readonly AgentStatus[],
  filter: AgentFilter,
  after: string,
  limit: number,
): AgentRow[] {
  const { where, values } = conditions(filter);
  const select = statement(
    db,
    `SELECT ${AGENT_COLUMNS} FROM agents WHERE status = :status AND id > :after ${where} ORDER BY id LIMIT :limit`,
  );
  return [...new Set(statuses)]
    .flatMap((status) => select.all({ ...values, status, after, limit }))
    .sort((a, b) => ((a.id as string) < (b.id as string) ? -1 : 1))
    .slice(0, limit)
    .map(toAgentRow);
}

function conditions(filter: AgentFilter): { where: string; values: Record<string, string> } {
  const where: string[] = [];
  const values: Record<string, string> = {};
  if (filter.type !== undefined) {
    where.push("type = :type");
    values.type = filter.type;
  }
  if (filter.user !== undefined) {
    where.push("user = :user");
    values.user = filter.user;
  }
  const [first, ...more] = filter.capabilities ?? [];
  if (first !== undefined) {
    where.push("id IN (SELECT agent FROM agent_capabilities WHERE capability = :first)");
    values.first = first;
  }
  if (more.length > 0) {
    where.push(`NOT EXISTS (SELECT 1 FROM json_each(:more) AS wanted WHERE NOT EXISTS
      (SELECT 1 FROM agent_capabilities WHERE capability = wanted.value AND agent = agents.id))`);
    values.more = JSON.stringify(more);
  }
  if (filter.group !== undefined) {
    where.push(`id IN (SELECT member FROM memberships WHERE kind = 'group' AND name = :group
      UNION SELECT value FROM json_each(:declared))`);
    values.group = filter.group.name;
    values.declared = JSON.stringify(filter.group.declared);
  }
  if (filter.query !== undefined) {
    where.push("instr(lower(id || char(10) || name || char(10) || COALESCE(task, '')), lower(:query)) > 0");
    values.query = filter.query;
  }
  return { where: where.map((each) => `AND ${each}`).join(" "), values };
}

/** Ids of all registered agents, offline ones too. */
export function allAgentIds(db: DatabaseSync): string[] {
  return statement(db, "SELECT id FROM agents ORDER BY id")
    .all()
    .map((row) => row.id as string);
}

/** Registered ids that begin as `prefix` does, a few. */
export function agentIdsFrom(db: DatabaseSync, prefix: string, limit: number): string[] {
  return statement(db, "SELECT id FROM agents WHERE id >= ? AND id < ? ORDER BY id LIMIT ?")
    .all(prefix, `${prefix}\u{10ffff}`, limit)
    .map((row) => row.id as string);
}

export interface AgentCounts {
  total: number;
  byStatus: Record<string, number>;
  byType: Record<string, number>;
  byUser: Record<string, number>;
}

/** What `agent_counts` holds; values nobody has are absent. */
export function agentCounts(db: DatabaseSync): AgentCounts {
  return {
    total: agentTotal(db),
    byStatus: countsOf(db, "status"),
    byType: countsOf(db, "type"),
    byUser: countsOf(db, "user"),
  };
}

export function agentTotal(db: DatabaseSync): number {
  return (statement(db, "SELECT n FROM agent_counts WHERE kind = 'all'").get()?.n as number | undefined) ?? 0;
}

export function countsOf(db: DatabaseSync, kind: "status" | "type" | "user"): Record<string, number> {
  const rows = statement(db, "SELECT value, n FROM agent_counts WHERE kind = ? ORDER BY value").all(kind);
  return Object.fromEntries(rows.map((row) => [row.value as string, row.n as number]));
}

export type GroupKind = "group" | "topic";

/** Who joined; by name. */
export function membersOf(db: DatabaseSync, kind: GroupKind, name: string): string[] {
  return statement(db, "SELECT member FROM memberships WHERE kind = ? AND name = ? ORDER BY member")
    .all(kind, name)
    .map((row) => row.member as string);
}

/** Groups, not topics, that `member` joined. */
export function groupsOf(db: DatabaseSync, member: string): string[] {
  return statement(db, "SELECT name FROM memberships WHERE member = ? AND kind = 'group' ORDER BY name")
    .all(member)
    .map((row) => row.name as string);
}

/** Every membership, by kind and name. */
export function allMemberships(db: DatabaseSync): { kind: GroupKind; name: string; member: string }[] {
  return statement(db, "SELECT kind, name, member FROM memberships ORDER BY kind, name, member")
    .all()
    .map((row) => ({ ...row }) as unknown as { kind: GroupKind; name: string; member: string });
}
