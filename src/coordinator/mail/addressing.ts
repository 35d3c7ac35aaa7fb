import { BosunError } from "../../protocol/error.ts";
import { ID_PATTERN } from "../../protocol/id.ts";
import type { Town } from "../town.ts";

/** Whom a message goes to. */
export interface Addressed {
  /** Each once, in the order they were named. */
  recipients: string[];
  /** Named one by one, not as members of something. */
  direct: ReadonlySet<string>;
}

/**
 * Addresses as the sender wrote them, as recipients: `agent`, `town/rig/agent`, a person, `@group`, `#topic`, `*`,
 * `any:python+review`. The sender is left out of what has members. Throws UNKNOWN_AGENT with names near to it; with `queue`
 * mail for somebody unknown is kept for them instead.
 */
export function resolve(town: Town, to: readonly string[], sender: string, queue: boolean): Addressed {
  const recipients = new Set<string>();
  const direct = new Set<string>();
  for (const address of to) {
    const members = membersOf(town, address, sender, queue);
    if (members) for (const member of members) recipients.add(member);
    else {
      const id = whoIs(town, address, queue);
      direct.add(id);
      recipients.add(id);
    }
  }
  return { recipients: [...recipients], direct };
}

/** One agent or person: `agent`, `town/rig/agent`. Throws UNKNOWN_AGENT. */
export function whoIs(town: Town, address: string, queue = false): string {
  const parts = address.split("/");
  const id = parts.at(-1)!;
  if (parts.length > 1 && parts[0] !== town.name.name) {
    const rigs = (town.plan?.rigs ?? []).map((rig) => rig.id);
    if (!rigs.includes(parts[0]!)) throw otherTown(town, address, parts[0]!);
  }
  if (town.registry.known(id)) return id;
  if (queue && ID_PATTERN.test(id)) return id;
  throw nobody(town, address, id);
}

/** Null: the address names one, not several. */
function membersOf(town: Town, address: string, sender: string, queue: boolean): string[] | null {
  const others = (ids: readonly string[]): string[] => ids.filter((id) => id !== sender);
  if (address === "*") return others(town.registry.present());
  if (address.startsWith("any:")) return [capable(town, address, sender)];
  const kind = address.startsWith("#") ? "topic" : "group";
  if (address.startsWith("@") || kind === "topic") {
    const members = town.registry.members(kind, address.slice(1));
    if (members) return others(members);
    if (queue && kind === "topic") return [];
    throw noSuchGroup(town, address, kind);
  }
  // A group of the plan may be written without its sign, where nobody has that name.
  return town.registry.known(address) ? null : (membersByPlan(town, address, sender) ?? null);
}

function membersByPlan(town: Town, name: string, sender: string): string[] | undefined {
  return town.registry.declaredMembers("group", name)?.filter((id) => id !== sender);
}

/** One that has all of these: idle before busy, then the least unread mail. */
function capable(town: Town, address: string, sender: string): string {
  const wanted = address
    .slice("any:".length)
    .split("+")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (wanted.length === 0) {
    throw new BosunError({
      code: "USAGE",
      what: `"${address}" names no capability`,
      fix: "any:python, any:python+review",
    });
  }
  const found = town.registry.withCapabilities(wanted).find((id) => id !== sender);
  if (found !== undefined) return found;
  throw new BosunError({
    code: "UNKNOWN_AGENT",
    what: `nobody here can do ${wanted.join(" and ")}`,
    why: "no other agent that is there has all of these capabilities",
    fix: "bosun list   shows who can do what",
  });
}

function noSuchGroup(town: Town, address: string, kind: "group" | "topic"): BosunError {
  if (kind === "topic") {
    return new BosunError({
      code: "UNKNOWN_AGENT",
      what: `nobody follows ${address}`,
      fix: `bosun group join ${address}   follows it; --queue sends all the same`,
    });
  }
  const groups = Object.keys(town.plan?.groups ?? {});
  return new BosunError({
    code: "UNKNOWN_AGENT",
    what: `there is no group ${address}`,
    ...(groups.length > 0 && { why: `the floor plan has ${groups.map((name) => `@${name}`).join(", ")}` }),
    fix: "bosun group list   shows groups and topics",
  });
}

function otherTown(town: Town, address: string, other: string): BosunError {
  return new BosunError({
    code: "UNKNOWN_AGENT",
    what: `${address} is not here`,
    why: `this is the town ${town.name.name}, and "${other}" is neither that nor one of its rigs`,
    fix: `bosun send --town ${other} …   writes to another town`,
  });
}

function nobody(town: Town, address: string, id: string): BosunError {
  const near = town.registry.near(id);
  return new BosunError({
    code: "UNKNOWN_AGENT",
    what: `nobody here is called "${address}"`,
    ...(near.length > 0 && { why: `near it: ${near.join(", ")}` }),
    fix: "bosun list --all   shows who is registered; --queue keeps the mail until they come",
  });
}
