import { BosunError } from "../../protocol/error.ts";
import { agentsOf, type Plan, type PlanSession } from "../../protocol/plan.ts";

/** The sessions that a group's members are or live in, in the plan's order; groups in groups included. Throws NOT_FOUND. */
export function sessionsOfGroup(plan: Plan, group: string): PlanSession[] {
  const members = new Set<string>();
  const add = (name: string): void => {
    for (const member of Object.hasOwn(plan.groups, name) ? plan.groups[name]! : []) {
      if (members.has(member)) continue;
      members.add(member);
      add(member);
    }
  };
  add(group);
  const housing = new Map(agentsOf(plan.sessions).map(({ agent, session }) => [agent.id, session.id]));
  const wanted = new Set([...members].map((member) => housing.get(member) ?? member));
  const found = plan.sessions.filter(
    (session) => wanted.has(session.id) || wanted.has(session.name) || wanted.has(session.label ?? ""),
  );
  if (found.length > 0) return found;
  const known = Object.keys(plan.groups);
  throw new BosunError({
    code: "NOT_FOUND",
    what: Object.hasOwn(plan.groups, group) ? `@${group} has no session` : `there is no group @${group}`,
    why: known.length > 0 ? `the plan has ${known.map((name) => `@${name}`).join(", ")}` : "the plan has no groups",
    fix: "groups: { NAME: [AGENT or SESSION, …] } in the floor plan",
  });
}
