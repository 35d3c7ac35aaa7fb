import { existsSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseName } from "../../protocol/names.ts";
import type { Plan, PlanSession } from "../../protocol/plan.ts";
import type { TmuxSession, World } from "../tmux/port.ts";
import { factsOf } from "./investigate.ts";

/**
 * An unmarked session that may be a declared one from before bosun ran it: under a name that its entry gives (`was`), or
 * under one of the days of one town for a machine (`hq-mayor`, `gt-boot`).
 */
export interface Predecessor {
  session: TmuxSession;
  /** The session of this plan that it is. */
  declared: PlanSession;
  /** Null: its process has ended. */
  pid: number | null;
  /** The plan gives the name itself; a name of the scheme alone is nobody's word for taking it over. */
  named: boolean;
  /** What shows that it is this town's: its environment, or where it runs. Null: nothing does, and a name proves nothing. */
  proof: string | null;
  /** Why it is not taken over by itself. Null: it may be. */
  held: string | null;
}

/** Those on the server that are this town's, or might be; what proves to be another town's is left out. */
export function predecessorsOf(plan: Plan, world: World): Predecessor[] {
  const names = new Set(world.sessions.map((session) => session.name));
  const running = new Set(
    world.sessions.flatMap(({ marks }) => (marks !== null && marks.town === plan.town ? [marks.id] : [])),
  );
  return world.sessions.flatMap((session): Predecessor[] => {
    const meant = session.marks === null ? declaredFor(plan, session.name) : null;
    if (meant === null) return [];
    const { declared, named } = meant;
    const pane = session.windows[0]?.panes[0];
    const pid = pane === undefined || pane.dead ? null : pane.pid;
    const proof = pid === null ? null : proofOf(pid, plan, declared);
    if (proof?.other) return [];
    const held = running.has(declared.id)
      ? `${declared.id} runs already`
      : declared.name !== session.name && names.has(declared.name)
        ? `${declared.name} is taken`
        : !named && session.attached > 0
          ? "somebody is attached"
          : !named && declared.protect
            ? "it is protected"
            : proof === null
              ? "nothing shows that it is this town's"
              : null;
    return [{ session, declared, pid, named, proof: proof?.text ?? null, held }];
  });
}

function declaredFor(plan: Plan, name: string): { declared: PlanSession; named: boolean } | null {
  const given = plan.sessions.find((each) => each.was.includes(name));
  if (given) return { declared: given, named: true };
  const identity = parseName(plan.names, name);
  if (!identity?.legacy) return null;
  const fitting = plan.sessions.filter((each) => each.role === identity.role && each.rig === null);
  return fitting.length === 1 ? { declared: fitting[0]!, named: false } : null;
}

interface Proof {
  text: string;
  /** It is another town's. */
  other: boolean;
}

/** By what its process was given, then by where it runs. What points at another rig is no proof either way. */
function proofOf(pid: number, plan: Plan, declared: PlanSession): Proof | null {
  const environment = environmentOf(pid);
  const root = rootOf(plan, declared);
  const given = givenTown(environment, plan, root);
  if (given?.other) return given;
  const rig = environment.get("GT_RIG");
  if (rig && declared.rig !== null && rig !== declared.rig) return null;
  if (given) return given;
  const cwd = factsOf(pid)?.cwd ?? null;
  if (root === null || cwd === null) return null;
  // A folder proves nothing when another town's root lies nearer.
  const nearest = nearestRoot(cwd);
  const rigs = plan.rigs.flatMap(({ id, path }) => (path === null ? [] : [{ id, path: realPath(path) }]));
  const around = rigs.filter(({ path }) => isInside(cwd, path) && (nearest === null || isInside(path, nearest)));
  const ownRig = around.some(({ id }) => id === declared.rig);
  const ownRoot = isInside(cwd, root.folder) && (nearest === null || nearest === root.folder);
  if (!ownRig && (!ownRoot || (declared.rig !== null && around.length > 0))) return null;
  return { text: `it runs in ${cwd}`, other: false };
}

/** The town's root: what the plan gives the session as GT_ROOT, or else the folder the plan lies in. */
function rootOf(plan: Plan, declared: PlanSession): { folder: string; given: boolean } | null {
  const given = declared.windows[0]?.panes[0]?.env.GT_ROOT;
  if (given) return { folder: realPath(given), given: true };
  return plan.file === "" ? null : { folder: realPath(dirname(plan.file)), given: false };
}

function givenTown(
  environment: ReadonlyMap<string, string>,
  plan: Plan,
  root: { folder: string; given: boolean } | null,
): Proof | null {
  for (const name of ["BOSUN_TOWN", "GT_TOWN_NAME"]) {
    const value = environment.get(name);
    if (value) return { text: `${name}=${value}`, other: value !== plan.town };
  }
  const said = environment.get("GT_ROOT");
  return said ? { text: `GT_ROOT=${said}`, other: !isRoot(said, plan, root) } : null;
}

/**
 * Whether `said` is this town's root. Two roots may have one last part, so folders are compared; its last part alone counts
 * only for a plan that lies outside of any root and names none.
 */
function isRoot(said: string, plan: Plan, root: { folder: string; given: boolean } | null): boolean {
  if (root !== null && realPath(said) === root.folder) return true;
  const elsewhere =
    root === null || (!root.given && basename(root.folder) !== plan.town && !existsSync(join(root.folder, "mayor")));
  return elsewhere && basename(said) === plan.town;
}

/** The nearest folder upwards that holds a floor plan, or is the root of a Gas Town; null: none does. */
function nearestRoot(cwd: string): string | null {
  for (let folder = cwd; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "floorplan.yaml")) || existsSync(join(folder, "mayor", "town.json"))) return folder;
    if (folder === dirname(folder)) return null;
  }
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there (any more): compared as it is written.
    return path.replace(/(?<=.)\/+$/, "");
  }
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
