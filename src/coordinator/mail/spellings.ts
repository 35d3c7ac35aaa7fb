import { parseName } from "../../protocol/names.ts";
import { agentsOf, type Plan, type PlanSession } from "../../protocol/plan.ts";

/** Whose mailbox an address of a session can mean: its agents, or the session itself where it has none. */
export function mailboxesOf(session: PlanSession): string[] {
  const agents = agentsOf([session]).map(({ agent }) => agent.id);
  return agents.length > 0 ? agents : [session.id];
}

const indexes = new WeakMap<Plan, Map<string, Set<string>>>();

/** Mailboxes of sessions that this may mean; more than one when it is not clear. Agents by their bare ids are not among them. */
export function spelled(plan: Plan, text: string): string[] {
  const index = indexOf(plan);
  const found = index.get(text);
  if (found) return [...found];
  const old = parseName(plan.names, text);
  return old?.legacy ? [...(index.get(old.role) ?? [])] : [];
}

/** The ways to write this mailbox, the longest first. */
export function spellingsFor(plan: Plan, mailbox: string): string[] {
  return [...indexOf(plan)].flatMap(([text, mailboxes]) => (mailboxes.has(mailbox) ? [text] : []));
}

function indexOf(plan: Plan): Map<string, Set<string>> {
  let index = indexes.get(plan);
  if (index) return index;
  index = new Map();
  for (const session of plan.sessions) {
    if (session.kind === "view") continue;
    const mailboxes = mailboxesOf(session);
    for (const text of spellingsOf(session, plan)) for (const mailbox of mailboxes) add(index, text, mailbox);
    for (const { agent } of agentsOf([session])) {
      add(index, session.rig === null ? agent.id : `${session.rig}/${agent.id}`, agent.id);
    }
  }
  indexes.set(plan, index);
  return index;
}

function add(index: Map<string, Set<string>>, text: string, mailbox: string): void {
  const known = index.get(text);
  if (known) known.add(mailbox);
  else index.set(text, new Set([mailbox]));
}

/**
 * How people and agents write a session, the longest first: by path (`gastown/crew/max`), short (`gastown/max`), as it is said
 * in prompts, where it must not look like a folder (`crew max (rig: gastown)`), by its id, and by its name in tmux.
 */
function* spellingsOf(session: PlanSession, plan: Plan): Generator<string> {
  const { id, name, label, role, rig } = session;
  const key = rig === null ? id : id.slice(rig.length + 1);
  const members = [...new Set([session.member ?? key, key])];
  const under = rig === null ? "" : `${rig}/`;
  const said = rig === null ? "" : ` (rig: ${rig})`;
  // Who has no name of their own is called by what they do.
  if (role !== null && !isNamed(plan, role)) {
    yield `${under}${role}`;
    if (rig !== null) yield `${role}${said}`;
    // A deacon's watchdog and dogs stand under it in older towns.
    if (rig === null && role === "boot") yield "deacon/boot";
  } else if (role !== null) {
    for (const member of members) {
      yield `${under}${role}/${member}`;
      yield `${under}${pluralOf(role)}/${member}`;
      if (rig !== null) yield `${role} ${member}${said}`;
      if (rig === null && role === "dog") yield `deacon/dogs/${member}`;
    }
  }
  for (const member of members) yield `${under}${member}`;
  yield id;
  yield name;
  if (label !== undefined) yield label;
}

/** Whether several in one place can have this role: its names hold another word than town and rig. */
function isNamed(plan: Plan, role: string): boolean {
  return /<(?!town>|rig>|role>)/.test(plan.names.templates[role] ?? "");
}

export function pluralOf(role: string): string {
  if (/[^aeiou]y$/.test(role)) return `${role.slice(0, -1)}ies`;
  return /(?:s|x|ch|sh)$/.test(role) ? `${role}es` : `${role}s`;
}
