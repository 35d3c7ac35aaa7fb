import type { z } from "zod";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import {
  AGENT_STATUSES,
  type AgentStatus,
  agentClear,
  agentList,
  agentPing,
  agentRegister,
  agentShow,
  agentStats,
  agentStatus,
  agentUnregister,
  LEASE_S,
} from "../protocol/registry.ts";
import { agentEnrol } from "../protocol/view.ts";
import type { Minted } from "./credentials.ts";
import { type Actor, type Call, type Dispatch, once } from "./dispatch.ts";
import { unreadOf } from "./messages/projection.ts";
import { decideRegistration, type Registration } from "./registry/decide.ts";
import {
  type AgentRow,
  agentCounts,
  agentRow,
  agentsPage,
  agentTotal,
  countsOf,
  lastEpoch,
} from "./registry/projection.ts";
import { credentialInForce } from "./sessions/projection.ts";
import type { Town } from "./town.ts";

/** Agents of one page, unless the caller says how many. */
const PAGE = 100;

/** Offline agents taken off in one command. */
const CLEAR_LIMIT = 10_000;

const PRESENT: readonly AgentStatus[] = AGENT_STATUSES.filter((status) => status !== "offline");

type RegisterInput = z.output<typeof agentRegister.input>;

/** Agents coming, being there, changing and going. */
export function registerAgents(dispatch: Dispatch, town: Town): void {
  dispatch.handle(agentRegister, (input, call) => enter(town, input, call));
  dispatch.handle(agentEnrol, async (input, call) => {
    if (call.actor.kind !== "person") {
      throw new BosunError({
        code: "REFUSED",
        what: `${call.actor.id} may not enrol others`,
        why: "only a person gives out names",
      });
    }
    const facts = { id: input.agent, name: input.agent, type: "program", takeover: true };
    const { tokenFile, socket } = await enter(town, facts, call);
    return { agent: input.agent, tokenFile, socket };
  });
  dispatch.handle(agentList, (input) => list(town, input));
  dispatch.handle(agentShow, async (input) => {
    await town.registry.settle();
    return { agent: town.registry.describe(town.registry.row(input.id)) };
  });
  dispatch.handle(agentStats, async () => {
    await town.registry.settle();
    const { total, byStatus, byType, byUser } = agentCounts(town.ledger.views);
    return {
      total_sessions: total,
      active_sessions: total - (byStatus.offline ?? 0),
      by_status: byStatus,
      by_type: byType,
      by_user: byUser,
    };
  });
  dispatch.handle(agentPing, (input, call) => ping(town, input.id, call));
  dispatch.handle(agentStatus, (input, call) => say(town, input, call));
  dispatch.handle(agentUnregister, (input, call) => leave(town, input.id, call));
  dispatch.handle(agentClear, (_input, call) => clear(town, call));
}

/** The token file is written after the registration is durable: who is refused replaces nobody's credential. */
async function enter(town: Town, input: RegisterInput, call: Call) {
  const { registry, cradle } = town;
  const { actor } = call;
  let minted: Minted | null = null;
  const { result, duplicate } = await town.ledger.write({
    actor: actor.name,
    ...once(call),
    decide: (views) => {
      const holder = agentRow(views, input.id);
      const decided = decideRegistration(actor, {
        id: input.id,
        holder,
        live: holder !== null && registry.statusOf(holder) !== "offline",
        lastSeen: holder ? registry.describe(holder).last_ping : "",
        last: lastEpoch(views, input.id),
        reserved: registry.reserved(input.id),
        takeover: input.takeover ?? false,
      });
      const events: Event[] = [registered(input, decided, holder)];
      if (decided.next) {
        minted = cradle.credentials.mint(`agent:${input.id}`, "agent", null, decided.epoch);
        events.push(minted.event);
      }
      return { events, result: { returning: decided.next && decided.returning } };
    },
  });
  if (!duplicate) (minted as Minted | null)?.save();
  return {
    agent: registry.describe(registry.row(input.id)),
    tokenFile: cradle.credentials.fileOf(`agent:${input.id}`),
    socket: cradle.socketPath,
    returning: result.returning,
  };
}

/** In the same run what is not said stays as it was; the next run starts with what is said. */
function registered(input: RegisterInput, { epoch, next }: Registration, holder: AgentRow | null): Event {
  const before = next ? null : holder;
  return {
    type: "agent.registered",
    data: {
      agent: input.id,
      name: input.name,
      agentType: input.type,
      user: input.user ?? before?.user ?? null,
      capabilities: [...new Set(input.capabilities ?? before?.capabilities ?? [])],
      location: input.location ?? before?.location ?? null,
      metadata: input.metadata ?? before?.metadata ?? {},
      groups: input.groups ?? [],
      task: input.task ?? before?.task ?? null,
      epoch,
      leaseS: input.leaseS ?? before?.leaseS ?? LEASE_S,
      session: before?.session ?? null,
      status: before && before.status !== "offline" ? before.status : "active",
      startedAtMs: null,
    },
  };
}

async function list(town: Town, input: z.output<typeof agentList.input>) {
  const { registry, ledger } = town;
  await registry.settle();
  const limit = input.limit ?? PAGE;
  const group = input.group?.replace(/^@/, "");
  const filter = {
    capabilities: input.capability,
    type: input.type,
    user: input.user,
    query: input.query,
    group: group === undefined ? undefined : { name: group, declared: registry.declaredMembers("group", group) ?? [] },
  };
  const statuses = input.status ?? (input.all ? AGENT_STATUSES : PRESENT);
  const rows = agentsPage(ledger.views, statuses, filter, input.after ?? "", limit + 1);
  const page = rows.slice(0, limit);
  const byStatus = countsOf(ledger.views, "status");
  const total = agentTotal(ledger.views);
  return {
    sessions: page.map((row) => registry.describe(row)),
    total,
    active: total - (byStatus.offline ?? 0),
    by_status: byStatus,
    next: rows.length > limit ? page.at(-1)!.id : null,
  };
}

async function ping(town: Town, id: string | undefined, call: Call) {
  const { registry } = town;
  const row = actingFor(town, id, call.actor);
  const was = registry.statusOf(row);
  registry.seen(row.id, call.actor.id === row.id ? "its own ping" : `a ping by ${call.actor.name}`);
  // Who said that it is offline comes back by a ping, and by nothing else.
  if (row.status === "offline") await write(town, call, row, "active", undefined, "ping");
  return { agent: registry.describe(registry.row(row.id)), was };
}

async function say(town: Town, input: z.output<typeof agentStatus.input>, call: Call) {
  const { registry } = town;
  const row = actingFor(town, input.id, call.actor);
  const same = registry.statusOf(row) === input.status && (input.task === undefined || input.task === row.task);
  const own = call.actor.id === row.id;
  if (!same || registry.statusOf(row) !== row.status) {
    await write(town, call, row, input.status, input.task, own ? "said so itself" : `set by ${call.actor.name}`);
  } else if (own && input.status !== "offline") registry.seen(row.id);
  return { agent: registry.describe(registry.row(row.id)) };
}

async function write(
  town: Town,
  call: Call,
  { id }: AgentRow,
  status: AgentStatus,
  task: string | null | undefined,
  because: string,
): Promise<void> {
  await town.ledger.write({
    actor: call.actor.name,
    ...once(call),
    decide: (views) => {
      const row = agentRow(views, id);
      if (!row) throw town.registry.unknown(id);
      const data = { agent: id, epoch: row.epoch, status, because };
      return { events: [{ type: "agent.status", data: task === undefined ? data : { ...data, task } }], result: null };
    },
  });
}

async function leave(town: Town, id: string | undefined, call: Call) {
  const row = actingFor(town, id, call.actor);
  const { result, duplicate } = await town.ledger.write({
    actor: call.actor.name,
    ...once(call),
    decide: (views) => {
      if (!agentRow(views, row.id)) throw town.registry.unknown(row.id);
      const declared = town.registry.declared(row.id);
      if (declared) {
        throw new BosunError({
          code: "REFUSED",
          what: `${row.id} is an agent of the floor plan`,
          why: "the plan says it exists; off the registry it would come back with the next look",
          fix: `bosun down ${declared.session.id}   stops it; take it out of the plan to be rid of it`,
        });
      }
      const left = unreadOf(views, { who: row.id, epoch: row.epoch, nowMs: town.now() });
      return { events: departure(views, row.id, `asked by ${call.actor.name}`), result: left.unread };
    },
  });
  if (!duplicate) town.cradle.credentials.forget(`agent:${row.id}`);
  return { id: row.id, unread: result };
}

async function clear(town: Town, call: Call) {
  await town.registry.settle();
  const { result, duplicate } = await town.ledger.write({
    actor: call.actor.name,
    ...once(call),
    decide: (views) => {
      const removed = agentsPage(views, ["offline"], {}, "", CLEAR_LIMIT)
        .filter((row) => town.registry.statusOf(row) === "offline" && !town.registry.declared(row.id))
        .map((row) => row.id);
      const because = `offline, cleared by ${call.actor.name}`;
      return { events: removed.flatMap((id) => departure(views, id, because)), result: removed };
    },
  });
  if (!duplicate) for (const id of result) town.cradle.credentials.forget(`agent:${id}`);
  return { removed: result };
}

/** Its credential ends with it. */
function departure(views: Parameters<typeof agentRow>[0], id: string, because: string): Event[] {
  const hash = credentialInForce(views, `agent:${id}`);
  return [
    { type: "agent.unregistered", data: { agent: id, because } },
    ...(hash === null
      ? []
      : [{ type: "credential.revoked", data: { hash, because: "it was taken off the registry" } } as const]),
  ];
}

/**
 * The agent that `actor` may act for: itself, one it registered, or, for those who run the floor, any. Throws UNKNOWN_AGENT or
 * REFUSED.
 */
function actingFor(town: Town, id: string | undefined, actor: Actor): AgentRow {
  if (id === undefined && actor.kind !== "agent") {
    throw new BosunError({
      code: "USAGE",
      what: `${actor.id} is not an agent`,
      why: "only an agent can leave its id away",
      fix: "name the agent; bosun list --all   shows them",
    });
  }
  const row = town.registry.row(id ?? actor.id);
  const own = actor.kind === "agent" && actor.id === row.id;
  if (own || actor.role === "operator" || actor.role === "admin" || row.registeredBy === actor.name) return row;
  throw new BosunError({
    code: "REFUSED",
    what: `${actor.id} may not act for ${row.id}`,
    why: "an agent speaks for itself; others need the role operator",
    fix: `use the credential of ${row.id}, or ask a person`,
  });
}
