import { roleOfOldName, STOPPED_LAST } from "../../protocol/names.ts";
import type { Plan, PlanSession } from "../../protocol/plan.ts";
import type { Step } from "../../protocol/session.ts";
import type { TmuxPane, TmuxSession, World } from "../tmux/port.ts";

/** An unmarked session that may be a declared one, from before bosun ran it. */
export interface Former {
  session: TmuxSession;
  /** What shows that it is this town's; null: nothing does. */
  proof: string | null;
  /** The plan gives its name (`was`). */
  named: boolean;
}

/** What the log remembers of a session. */
export interface Remembered {
  id: string;
  wanted: "running" | "stopped" | null;
  epoch: number;
  /** What it was called before its last renaming. */
  former?: string | null;
}

export interface DiffOptions {
  /** Plan ids asked for by name; null = the whole floor. */
  only: ReadonlySet<string> | null;
  /** Drifted sessions may be restarted. */
  restart: boolean;
  /** What left the plan may be stopped; attached and protected sessions may be touched. */
  yes: boolean;
  /** By the id of the declared session. */
  formers?: ReadonlyMap<string, Former>;
}

export interface Difference {
  /** In the order they should happen; `none` for what is as declared. */
  steps: PlannedStep[];
  /** tmux sessions that carry no mark of this town and no declared name. */
  strangers: TmuxSession[];
}

export interface PlannedStep extends Step {
  declared: PlanSession | null;
  found: TmuxSession | null;
  /** For `respawn`: the dead panes. */
  panes: TmuxPane[];
}

/**
 * From the plan, the world and what is remembered to the steps between them. Pure: the same arguments give the same steps.
 *
 * - A session is found by its marks alone. A session that merely bears a declared name is a stranger in our place: nothing
 *   is done to it, and the declared one is held until a person decides.
 * - What has a name that a declared session had before, and proves to be this town's, is taken over as it runs. What may be
 *   it, and is not taken over, holds it: nothing is started twice.
 * - What runs and matches is left alone, whatever else changed. What runs and differs is only restarted when asked.
 * - Two found sessions with one id: the one with the higher epoch is it, the other is stopped.
 */
export function diff(
  plan: Plan,
  world: World | null,
  remembered: ReadonlyMap<string, Remembered>,
  options: DiffOptions,
): Difference {
  const ours = new Map<string, TmuxSession[]>();
  const byName = new Map<string, TmuxSession>();
  for (const session of world?.sessions ?? []) {
    byName.set(session.name, session);
    if (session.marks?.town !== plan.town) continue;
    ours.set(session.marks.id, [...(ours.get(session.marks.id) ?? []), session]);
  }

  const steps: PlannedStep[] = [];
  const declaredIds = new Set<string>();
  for (const declared of plan.sessions) {
    declaredIds.add(declared.id);
    if (options.only && !options.only.has(declared.id)) continue;
    const [found, ...doubles] = (ours.get(declared.id) ?? []).toSorted((a, b) => b.marks!.epoch - a.marks!.epoch);
    for (const double of doubles)
      steps.push(stopStep(double, declared, "a second session with the same id; the newer one stays", options));
    steps.push(
      found ? forFound(plan, declared, found, byName, remembered, options) : forMissing(declared, byName, options),
    );
  }
  if (!options.only) {
    for (const [id, sessions] of ours) {
      if (declaredIds.has(id)) continue;
      for (const session of sessions) steps.push(stopStep(session, null, "it has left the plan", options, "--yes"));
    }
  }
  const strangers = (world?.sessions ?? []).filter(
    (session) => session.marks === null || session.marks.town !== plan.town,
  );
  return { steps: inOrder(steps, plan), strangers };
}

function forMissing(declared: PlanSession, byName: Map<string, TmuxSession>, options: DiffOptions): PlannedStep {
  const step = { session: declared.id, name: declared.name, declared, found: null, panes: [] };
  const former = options.formers?.get(declared.id);
  const inPlace = byName.get(declared.name);
  if (former && (!inPlace || inPlace.id === former.session.id)) {
    const held = whyFormerWaits(former);
    if (held === null)
      return {
        ...step,
        do: "adopt",
        why: `it runs as ${former.session.name} (${former.proof})`,
        destructive: false,
        needs: null,
        found: former.session,
      };
    if (held && !inPlace) return { ...step, do: "none", ...held, destructive: false, found: former.session };
  }
  if (inPlace) {
    const whose = inPlace.marks ? `town ${inPlace.marks.town} owns it` : "nobody declared it";
    return {
      ...step,
      do: "none",
      why: `a session of this name exists and ${whose}`,
      destructive: false,
      needs: "name-taken",
      found: inPlace,
    };
  }
  if (declared.start !== "boot" && !options.only) {
    return {
      ...step,
      do: "none",
      why: `starts ${declared.start === "manual" ? `by hand: bosun up ${declared.name}` : "by its schedule"}`,
      destructive: false,
      needs: null,
    };
  }
  return { ...step, do: "create", why: "declared, not running", destructive: false, needs: null };
}

/** Null: it is taken over. Undefined: it has no say in what happens to the declared one. */
function whyFormerWaits({
  session: { name },
  proof,
  named,
}: Former): { why: string; needs: string } | null | undefined {
  if (proof !== null) return null;
  if (!named) return undefined;
  return {
    why: `${name} may be it, and nothing shows that it is this town's`,
    needs: `bosun adopt ${name} --purpose WHAT-FOR, or bosun ignore ${name} --because WHY`,
  };
}

function forFound(
  plan: Plan,
  declared: PlanSession,
  found: TmuxSession,
  byName: Map<string, TmuxSession>,
  remembered: ReadonlyMap<string, Remembered>,
  options: DiffOptions,
): PlannedStep {
  const step = { session: declared.id, name: declared.name, declared, found, panes: [] as TmuxPane[] };
  const dead = declaredPanes(found).filter((pane) => pane.dead);
  if (found.marks!.shape !== declared.shape) {
    return {
      ...step,
      do: "restart",
      why: driftOf(declared, found).join("; ") || "its command, environment or folder changed",
      destructive: true,
      needs: consent(found, declared, options, options.restart ? null : "--restart"),
    };
  }
  // Called back by somebody: it stays so until it is renamed by name.
  const undone = declared.was.includes(found.name) && remembered.get(declared.id)?.former === declared.name;
  const old = undone || keepsOldName(plan, declared, found);
  if (found.name !== declared.name && !old) {
    const taken = byName.has(declared.name);
    return {
      ...step,
      do: taken ? "none" : "rename",
      why: taken ? `should be called ${declared.name}, but that name is taken` : `is called ${found.name}`,
      destructive: false,
      needs: taken ? "name-taken" : null,
    };
  }
  if (dead.length > 0) {
    return {
      ...step,
      do: "respawn",
      why: `${dead.map((pane) => `${pane.title || pane.id} ended (${pane.exit ?? "?"})`).join(", ")}`,
      destructive: false,
      needs: null,
      panes: dead,
    };
  }
  const row = remembered.get(declared.id);
  if (!row || row.epoch !== found.marks!.epoch || row.wanted !== "running") {
    return { ...step, do: "adopt", why: "it runs and carries our mark", destructive: false, needs: null };
  }
  const why = old ? `as declared, under its old name ${found.name}` : "as declared";
  return { ...step, do: "none", why, destructive: false, needs: null };
}

/**
 * Whether a session goes on under the name it had before towns shared a machine: until somebody says that it is to be renamed. One that
 * the plan gives itself (`was`) is renamed when it is taken over.
 */
export function keepsOldName(plan: Plan, declared: PlanSession, found: TmuxSession): boolean {
  if (found.name === declared.name || declared.was.includes(found.name) || declared.rig !== null) return false;
  const role = plan.names.legacy === "accept" ? roleOfOldName(plan.names, found.name) : null;
  return role !== null && role === declared.role;
}

function stopStep(
  found: TmuxSession,
  declared: PlanSession | null,
  why: string,
  options: DiffOptions,
  needs: string | null = null,
): PlannedStep {
  return {
    do: "stop",
    session: found.marks!.id,
    name: found.name,
    why,
    destructive: true,
    needs: consent(found, declared, options, options.yes ? null : needs),
    declared,
    found,
    panes: [],
  };
}

/** A person is looking, or the plan protects it: only an explicit yes goes on. */
function consent(
  found: TmuxSession,
  declared: PlanSession | null,
  options: DiffOptions,
  otherwise: string | null,
): string | null {
  if (options.yes) return otherwise === "--yes" ? null : otherwise;
  if (found.attached > 0 && declared?.kind !== "view") return "--yes (somebody is attached)";
  if (declared?.protect) return "--yes (protected)";
  return otherwise;
}

export function declaredPanes(found: TmuxSession): TmuxPane[] {
  return found.windows.flatMap((window) => window.panes).filter((pane) => pane.slot !== null);
}

/** In words, how a running session differs from its entry: windows and panes that are missing, too many, or renamed. */
export function driftOf(declared: PlanSession, found: TmuxSession): string[] {
  const drift: string[] = [];
  const slots = new Map(
    found.windows.flatMap((window) => window.panes.map((pane) => [pane.slot, { window, pane }] as const)),
  );
  declared.windows.forEach((window, w) => {
    const there = window.panes.map((_, p) => slots.get(`${w}.${p}`));
    if (there.every((entry) => entry === undefined)) {
      drift.push(`window ${window.name} is missing`);
      return;
    }
    there.forEach((entry, p) => {
      if (!entry) drift.push(`pane ${window.panes[p]!.title} of window ${window.name} is missing`);
    });
    const name = there.find((entry) => entry)?.window.name;
    if (name !== undefined && name !== window.name) drift.push(`window ${window.name} is called ${name}`);
  });
  for (const window of found.windows) {
    if (window.panes.every((pane) => pane.slot === null)) drift.push(`window ${window.name} is extra`);
    else if (window.panes.some((pane) => pane.slot === null)) drift.push(`window ${window.name} has an extra pane`);
  }
  if (found.marks!.shape !== declared.shape && drift.length === 0)
    drift.push("its command, environment or folder changed in the plan");
  return drift;
}

/** Stops first (names become free), then creation in `after` order, the rest as in the plan. */
function inOrder(steps: PlannedStep[], plan: Plan): PlannedStep[] {
  const rank = new Map(startOrder(plan.sessions).map((id, index) => [id, index]));
  const weight = (step: PlannedStep): number => (step.do === "stop" ? -1 : (rank.get(step.session) ?? 0));
  return steps.toSorted((a, b) => weight(a) - weight(b));
}

/** Ids so that everything stands behind what it comes `after`; the plan's order otherwise. Cycles were refused at reading. */
export function startOrder(sessions: readonly Pick<PlanSession, "id" | "after">[]): string[] {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const order: string[] = [];
  const placed = new Set<string>();
  const place = (id: string): void => {
    const session = byId.get(id);
    if (!session || placed.has(id)) return;
    placed.add(id);
    for (const before of session.after) place(before);
    order.push(id);
  };
  for (const session of sessions) place(session.id);
  return order;
}

/** Groups that may start side by side: all of a group's `after` lie in earlier groups. */
export function startWaves<S extends Pick<PlanSession, "id" | "after">>(sessions: readonly S[]): S[][] {
  const depth = new Map<string, number>();
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const depthOf = (id: string): number => {
    const known = depth.get(id);
    if (known !== undefined) return known;
    depth.set(id, 0);
    const before = byId.get(id)?.after.filter((other) => byId.has(other)) ?? [];
    const value = before.length === 0 ? 0 : 1 + Math.max(...before.map(depthOf));
    depth.set(id, value);
    return value;
  };
  const waves: S[][] = [];
  for (const session of sessions) {
    const wave = depthOf(session.id);
    waves[wave] = [...(waves[wave] ?? []), session];
  }
  return waves;
}

/**
 * Groups to end one after the other: what stands on others first, and of a town its workers, then Mayor, Boot and Deacon. An `after`
 * of the plan that says otherwise counts more.
 */
export function stopWaves<S extends Pick<PlanSession, "id" | "after" | "role" | "rig">>(sessions: readonly S[]): S[][] {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const standsOn = (from: string, to: string, seen = new Set<string>()): boolean =>
    (byId.get(from)?.after ?? []).some(
      (other) => other === to || (!seen.has(other) && standsOn(other, to, seen.add(other))),
    );
  const heads = sessions.filter((session) => rankOf(session) > 0);
  const ranked = sessions.map((session) => ({
    session,
    id: session.id,
    after: [
      ...session.after,
      ...heads
        .filter((head) => rankOf(head) > rankOf(session) && !standsOn(head.id, session.id))
        .map((head) => head.id),
    ],
  }));
  return startWaves(ranked)
    .toReversed()
    .map((wave) => wave.map(({ session }) => session));
}

/** Of a town's heads, in the order they end; 0 for everybody else. */
function rankOf({ role, rig }: Pick<PlanSession, "role" | "rig">): number {
  return rig === null && role !== null ? STOPPED_LAST.indexOf(role) + 1 : 0;
}
