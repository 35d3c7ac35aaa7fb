import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import { groupJoin, groupLeave, groupList } from "../protocol/registry.ts";
import { type Actor, type Call, type Dispatch, once } from "./dispatch.ts";
import { agentRow, allMemberships, type GroupKind, membersOf } from "./registry/projection.ts";
import type { Town } from "./town.ts";

interface Wish {
  group: string;
  topic?: boolean | undefined;
  member?: string | undefined;
}

/**
 * Groups and topics: names that mail goes to, for whoever is a member at that moment. The floor plan's groups and those that
 * agents join are one; what the plan says only the plan can take back.
 */
export function registerGroups(dispatch: Dispatch, town: Town): void {
  dispatch.handle(groupJoin, async (input, call) => {
    const { kind, member } = wished(town, input, call.actor);
    const declared = town.registry.declaredMembers(kind, input.group) ?? [];
    await write(town, call, kind, input.group, member, (joined) =>
      joined || declared.includes(member) ? [] : [{ type: "group.joined", data: { group: input.group, kind, member } }],
    );
    return { group: input.group, members: town.registry.members(kind, input.group) ?? [] };
  });

  dispatch.handle(groupLeave, async (input, call) => {
    const { kind, member } = wished(town, input, call.actor);
    const declared = town.registry.declaredMembers(kind, input.group) ?? [];
    await write(town, call, kind, input.group, member, (joined) => {
      if (joined) return [{ type: "group.left", data: { group: input.group, kind, member } }];
      throw declared.includes(member) ? byPlan(input.group, member) : noMember(kind, input.group, member);
    });
    return { group: input.group, members: town.registry.members(kind, input.group) ?? [] };
  });

  dispatch.handle(groupList, () => {
    const groups = new Map<string, { group: string; kind: GroupKind; members: string[]; declared: boolean }>();
    for (const [name, members] of Object.entries(town.plan?.groups ?? {})) {
      groups.set(`group ${name}`, { group: name, kind: "group", members: [...members], declared: true });
    }
    for (const { kind, name, member } of allMemberships(town.ledger.views)) {
      const key = `${kind} ${name}`;
      const entry = groups.get(key) ?? { group: name, kind, members: [], declared: false };
      if (!entry.members.includes(member)) entry.members.push(member);
      groups.set(key, entry);
    }
    return { groups: [...groups.values()].map((entry) => ({ ...entry, members: entry.members.sort() })) };
  });
}

/** A member may be an agent or a person; only for oneself, unless one runs the floor. Throws UNKNOWN_AGENT or REFUSED. */
function wished(town: Town, { topic, member = undefined }: Wish, actor: Actor): { kind: GroupKind; member: string } {
  const kind = topic ? "topic" : "group";
  const who = member ?? actor.id;
  const mine = who === actor.id || agentRow(town.ledger.views, who)?.registeredBy === actor.name;
  if (!mine && actor.role !== "operator" && actor.role !== "admin") {
    throw new BosunError({
      code: "REFUSED",
      what: `${actor.id} may not change where ${who} belongs`,
      why: "everybody joins and leaves for themselves; for others it needs the role operator",
      fix: `use the credential of ${who}, or ask a person`,
    });
  }
  if (!town.registry.known(who)) throw town.registry.unknown(who);
  return { kind, member: who };
}

async function write(
  town: Town,
  call: Call,
  kind: GroupKind,
  group: string,
  member: string,
  decide: (joined: boolean) => Event[],
): Promise<void> {
  await town.ledger.write({
    actor: call.actor.name,
    ...once(call),
    decide: (views) => ({ events: decide(membersOf(views, kind, group).includes(member)), result: null }),
  });
}

function byPlan(group: string, member: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `${member} is in ${group} by the floor plan`,
    why: "what the plan says only the plan takes back",
    fix: `take it out of groups: ${group} in the floor plan, then bosun up`,
  });
}

function noMember(kind: GroupKind, group: string, member: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `${member} ${kind === "topic" ? "does not follow" : "is no member of"} ${group}`,
    fix: "bosun group list   shows who belongs where",
  });
}
