import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Plan } from "../protocol/plan.ts";
import { diskUsed } from "./disk.ts";
import type { PlannedStep } from "./plan/diff.ts";
import { planRevisions } from "./sessions/projection.ts";
import type { Town } from "./town.ts";

/** Two towns on one server that need the same names: the second is refused whole, before anything of it starts. */
export function checkNames(town: Town, plan: Plan, held: readonly PlannedStep[]): void {
  const sessions = town.world?.sessions ?? [];
  const taken = held.flatMap((step) => {
    const there = step.needs === "name-taken" ? sessions.find((each) => each.name === step.name) : undefined;
    return there?.marks && there.marks.town !== plan.town ? [{ name: step.name, town: there.marks.town }] : [];
  });
  if (taken.length === 0) return;
  throw new BosunError({
    code: "NAME_TAKEN",
    what: `${taken.map((each) => each.name).join(", ")} ${taken.length === 1 ? "is" : "are"} of the town ${taken[0]!.town}`,
    why: `${plan.town} declares the same, and both use the tmux server ${town.cradle.tmuxSocket}; nothing was started`,
    fix: "put <town> into the names (names: { preset: gastown, witness: gt-<town>-<rig>-witness }), or give each town a server: tmux: { socket: town }",
  });
}

/** A town has one root: another folder of the same name is another town that wants another name. */
export function checkRoot(town: Town, plan: Plan): void {
  const last = planRevisions(town.ledger.views).at(-1);
  if (!last || plan.file === "" || last.file === "" || dirname(last.file) === dirname(plan.file)) return;
  // It was moved.
  if (!existsSync(last.file)) return;
  throw new BosunError({
    code: "CONFLICT",
    what: `the town ${plan.town} is that of ${last.file}, and this is ${plan.file}`,
    why: "two roots of one name would take each other's sessions for their own",
    fix: "give this one a name of its own: town: NAME in the plan, --town NAME or GT_TOWN_NAME; or remove the other plan, if it has moved",
  });
}

/** Nothing is started where the log could not be written soon. */
export function checkDisk(town: Town, plan: Plan): void {
  const { stateFolder } = town.cradle;
  const used = diskUsed(stateFolder);
  if (used <= plan.limits.disk) return;
  throw new BosunError({
    code: "DISK_FULL",
    what: `the disk of ${stateFolder} is ${Math.floor(used * 100)} % full`,
    why: `above ${Math.round(plan.limits.disk * 100)} % nothing is started: the log would take no more soon`,
    fix: "make room; limits: { disk: 98 } in the floor plan moves the limit",
  });
}
