import { BosunError } from "../../protocol/error.ts";
import { ID_PATTERN } from "../../protocol/id.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { Plan, PlanSession } from "../../protocol/plan.ts";
import { owner } from "../credentials.ts";
import { agentRow } from "../registry/projection.ts";
import type { Town } from "../town.ts";
import { type Far, farId, farOf } from "./far.ts";
import type { Neighbours } from "./neighbours.ts";
import { mailboxesOf, pluralOf, spelled, spellingsFor } from "./spellings.ts";

/** Whom a message goes to. */
export interface Addressed {
  /** Each once, in the order they were named. */
  recipients: string[];
  /** Named one by one, not as members of something. */
  direct: ReadonlySet<string>;
}

/**
 * Who is meant by what a sender wrote: an agent, a person, a session by path, by role or by name, `@group`, `#topic`, `*`,
 * `any:python+review`, and any of these behind the name of another town (`gt12/mayor`). Whatever can be read in two ways is
 * refused with both; nothing is ever taken for something that it is only like.
 */
export class Addresses {
  readonly #town: Town;
  readonly #neighbours: Neighbours;

  constructor(town: Town, neighbours: Neighbours) {
    this.#town = town;
    this.#neighbours = neighbours;
  }

  /**
   * The sender is left out of what has members. Throws UNKNOWN_AGENT with names near to it, and REFUSED with all readings of what
   * is ambiguous; with `queue` mail for somebody unknown is kept for them instead.
   */
  resolve(to: readonly string[], sender: string, queue: boolean): Addressed {
    const recipients = new Set<string>();
    const direct = new Set<string>();
    for (const address of to) {
      const members = this.#membersOf(address, sender, queue);
      if (members) for (const member of members) recipients.add(member);
      else {
        const id = this.whoIs(address, queue);
        direct.add(id);
        recipients.add(id);
      }
    }
    return { recipients: [...recipients], direct };
  }

  /** One mailbox: of an agent, a person or a session here, or of somebody in another town. Throws as `resolve`. */
  whoIs(address: string, queue = false): string {
    if (this.#isSomebody(address)) return address;
    const far = address.includes("/") ? this.#farOf(address) : null;
    const readings = [...this.#readingsHere(address), ...(far ? [farId(far)] : [])];
    const [first, second] = readings;
    if (first !== undefined && second === undefined) return first;
    if (first !== undefined) throw this.#ambiguous(address, readings);
    if (queue && ID_PATTERN.test(address)) return address;
    throw this.#nobody(address);
  }

  /** Whether that recipient is in a town that is known. */
  reaches(recipient: string): boolean {
    return farOf(recipient) !== null && this.#farOf(recipient) !== null;
  }

  /** What an address means in another town; null: nothing. */
  #farOf(text: string): Far | null {
    const far = farOf(text.startsWith("//") ? text : `//${text}`);
    const other = far !== null && far.town !== this.#town.name.name && this.#neighbours.towns().includes(far.town);
    return other ? far : null;
  }

  /** Agents and people have the first right to their ids. */
  #isSomebody(id: string): boolean {
    const { registry, plan } = this.#town;
    if (registry.declared(id)) return true;
    return registry.known(id) && !plan?.sessions.some((session) => session.id === id && session.kind !== "view");
  }

  #readingsHere(address: string): string[] {
    const { plan, name } = this.#town;
    const text = address.replace(/\/$/, "");
    const own = [`//${name.name}/`, `${name.name}/`].find((each) => text.startsWith(each));
    const inTown = own === undefined ? [] : [text.slice(own.length)];
    const texts = text.startsWith("//") ? inTown : [text, ...inTown];
    const ids = texts.flatMap((each) => [
      ...(plan ? spelled(plan, each) : []),
      ...(each !== address && this.#isSomebody(each) ? [each] : []),
      ...this.#guestOf(each),
    ]);
    return [...new Set(ids)];
  }

  #ambiguous(address: string, readings: readonly string[]): BosunError {
    const plain = (id: string): string => {
      const spellings = this.#town.plan ? spellingsFor(this.#town.plan, id) : [];
      const own = spellings.map((text) => `${this.#town.name.name}/${text}`);
      const ways = farOf(id) ? [id] : [...spellings, ...own];
      return ways.find((text) => this.#isSomebody(text) || this.#meanings(text) === 1) ?? id;
    };
    return new BosunError({
      code: "REFUSED",
      what: `"${address}" could be ${readings.join(" or ")}`,
      why: "mail never goes to one of several by chance",
      fix: `write ${readings.map((id) => `"${plain(id)}"`).join(" or ")}`,
    });
  }

  #meanings(text: string): number {
    return this.#readingsHere(text).length + (this.#farOf(text) ? 1 : 0);
  }

  /** Somebody who registered and said that they are at a rig: `gastown/nux`. */
  #guestOf(text: string): string[] {
    const [rig, id, more] = text.split("/");
    if (id === undefined || more !== undefined || !this.#rigs().includes(rig!)) return [];
    return agentRow(this.#town.ledger.views, id)?.location === rig ? [id] : [];
  }

  #rigs(): string[] {
    return (this.#town.plan?.rigs ?? []).map((rig) => rig.id);
  }

  /** Null: the address names one, not several. */
  #membersOf(address: string, sender: string, queue: boolean): string[] | null {
    const { registry } = this.#town;
    const others = (ids: readonly string[]): string[] => ids.filter((id) => id !== sender);
    if (address === "*") return others(registry.present());
    if (address.startsWith("any:")) return [this.#capable(address, sender)];
    if (address.startsWith("#")) {
      const followers = registry.members("topic", address.slice(1));
      if (followers) return others(followers);
      if (queue) return [];
      throw nobodyFollows(address);
    }
    if (address.startsWith("@")) {
      const name = address.slice(1);
      const members = registry.members("group", name) ?? this.#membersByPlace(name);
      if (members) return others(members);
      throw this.#noSuchGroup(address);
    }
    // A group of the plan may be written without its sign, where nobody has that name.
    if (registry.known(address)) return null;
    const declared = registry.declaredMembers("group", address);
    return declared && others(declared);
  }

  /** Groups that nobody declares: `town`, `rig/<rig>`, `witnesses`, `crew/<rig>`, `polecats/<rig>`, `overseer`. */
  #membersByPlace(name: string): string[] | null {
    const { plan } = this.#town;
    const sessions = (plan?.sessions ?? []).filter((session) => session.kind !== "view");
    const [kind, rig, more] = name.split("/");
    if (more !== undefined || (rig !== undefined && !this.#rigs().includes(rig))) return null;
    const among = rig === undefined ? sessions : sessions.filter((session) => session.rig === rig);
    const mailboxes = (of: readonly PlanSession[]): string[] => [...new Set(of.flatMap(mailboxesOf))];
    if (kind === "town") return rig === undefined ? mailboxes(sessions) : null;
    if (kind === "rig") return rig === undefined ? null : mailboxes(among);
    const role = rolesOf(plan).find((each) => each === kind || pluralOf(each) === kind);
    const found = mailboxes(role === undefined ? [] : among.filter((session) => session.role === role));
    // Where nobody else is the overseer, it is the person whose town this is.
    if (kind === "overseer" && rig === undefined && found.length === 0) return [owner().id];
    return role === undefined ? null : found;
  }

  /** One that has all of these: idle before busy, then the least unread mail. */
  #capable(address: string, sender: string): string {
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
    const found = this.#town.registry.withCapabilities(wanted).find((id) => id !== sender);
    if (found !== undefined) return found;
    throw new BosunError({
      code: "UNKNOWN_AGENT",
      what: `nobody here can do ${wanted.join(" and ")}`,
      why: "no other agent that is there has all of these capabilities",
      fix: "bosun list   shows who can do what",
    });
  }

  #noSuchGroup(address: string): BosunError {
    const declared = Object.keys(this.#town.plan?.groups ?? {});
    const roles = rolesOf(this.#town.plan).map(pluralOf);
    const known = [...declared, "town", ...this.#rigs().map((rig) => `rig/${rig}`), ...roles];
    return new BosunError({
      code: "UNKNOWN_AGENT",
      what: `there is no group ${address}`,
      why: `there are ${known.map((name) => `@${name}`).join(", ")}`,
      fix: "bosun group list   shows groups and topics that have been joined",
    });
  }

  #nobody(address: string): BosunError {
    const { registry, name } = this.#town;
    const [first, ...rest] = address.split("/");
    const rigs = this.#rigs();
    if (rest.length > 0 && first !== name.name && !rigs.includes(first!)) {
      const near = nearest(first!, [...rigs, ...this.#neighbours.towns()]);
      return new BosunError({
        code: "UNKNOWN_AGENT",
        what: `${address} is nobody here`,
        why: `"${first}" is no rig of the town ${name.name}, and no other town of this machine${near === null ? "" : `; near it: ${near}`}`,
        fix: "bosun ls --all-towns   shows towns and rigs",
      });
    }
    const near = [...new Set([...this.#nearPath(address), ...(rest.length > 0 ? [] : registry.near(address))])].slice(
      0,
      5,
    );
    return new BosunError({
      code: "UNKNOWN_AGENT",
      what: `nobody here is called "${address}"`,
      ...(near.length > 0 && { why: `near it: ${near.join(", ")}` }),
      fix: "bosun list --all   shows who is registered; --queue keeps the mail until they come",
    });
  }

  #nearPath(address: string): string[] {
    const ids = (this.#town.plan?.sessions ?? []).map((session) => session.id);
    const near = nearest(address, ids);
    const rig = address.slice(0, address.indexOf("/") + 1);
    const beside = rig === "" ? [] : ids.filter((id) => id.startsWith(rig));
    return [...new Set([...(near === null ? [] : [near]), ...beside])];
  }
}

function rolesOf(plan: Plan | null): string[] {
  if (!plan) return [];
  const used = plan.sessions.flatMap((session) => (session.role === null ? [] : [session.role]));
  return [...new Set([...Object.keys(plan.names.templates), ...used])].filter((role) => role !== "view");
}

function nobodyFollows(address: string): BosunError {
  return new BosunError({
    code: "UNKNOWN_AGENT",
    what: `nobody follows ${address}`,
    fix: `bosun group join ${address}   follows it; --queue sends all the same`,
  });
}
