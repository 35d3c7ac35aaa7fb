import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { parseName } from "../../protocol/names.ts";
import type { PlanSession } from "../../protocol/plan.ts";
import { factsOf } from "../ghosts/investigate.ts";
import type { TmuxSession } from "../tmux/port.ts";
import type { Town } from "../town.ts";

/** A session that runs under a name from the days of one town for a machine (`hq-mayor`, `gt-boot`). */
export interface Legacy {
  session: TmuxSession;
  /** The session of this plan that it is. */
  declared: PlanSession;
  pid: number | null;
  /** What shows that it is this town's: its environment, or where it runs. Null: nothing does, and a name proves nothing. */
  proof: string | null;
  /** Why it is not renamed by itself. Null: it may be. */
  held: string | null;
}

/** Those on the server that are this town's, or might be; what another town proves is left out. */
export function legacySessions(town: Town): Legacy[] {
  const { plan, world } = town;
  if (!plan || !world) return [];
  return world.sessions.flatMap((session): Legacy[] => {
    const identity = session.marks === null ? parseName(plan.names, session.name) : null;
    if (!identity?.legacy) return [];
    const fitting = plan.sessions.filter((each) => each.role === identity.role && each.rig === null);
    const [declared] = fitting;
    if (!declared || fitting.length > 1) return [];
    const pid = session.windows[0]?.panes[0]?.pid ?? null;
    const proof = pid === null ? null : proofOf(pid, town);
    if (proof?.other) return [];
    const taken = world.sessions.some((each) => each.name === declared.name);
    const runs = world.sessions.some((each) => each.marks?.town === plan.town && each.marks.id === declared.id);
    const held = taken
      ? `${declared.name} is taken`
      : runs
        ? `${declared.id} runs already`
        : session.attached > 0
          ? "somebody is attached"
          : declared.protect
            ? "it is protected"
            : proof === null
              ? "nothing shows that it is this town's"
              : null;
    return [{ session, declared, pid, proof: proof?.text ?? null, held }];
  });
}

/** By what its process was given, then by where it runs. `other`: it is another town's. */
function proofOf(pid: number, town: Town): { text: string; other: boolean } | null {
  const environment = environmentOf(pid);
  for (const name of ["BOSUN_TOWN", "GT_TOWN_NAME"]) {
    const value = environment.get(name);
    if (value) return { text: `${name}=${value}`, other: value !== town.name.name };
  }
  const root = environment.get("GT_ROOT");
  if (root) return { text: `GT_ROOT=${root}`, other: basename(root) !== town.name.name };
  const folder = town.plan && town.plan.file !== "" ? dirname(town.plan.file) : null;
  const cwd = factsOf(pid)?.cwd ?? null;
  if (folder !== null && cwd !== null && (cwd === folder || cwd.startsWith(`${folder}/`)))
    return { text: `it runs in ${cwd}`, other: false };
  return null;
}

function environmentOf(pid: number): Map<string, string> {
  try {
    return new Map(
      readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .map((each): [string, string] => {
          const at = each.indexOf("=");
          return at < 0 ? [each, ""] : [each.slice(0, at), each.slice(at + 1)];
        }),
    );
  } catch {
    // It has gone, or is another user's.
    return new Map();
  }
}
