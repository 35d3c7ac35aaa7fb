import { BosunError } from "../protocol/error.ts";
import { parseName, schemeOf } from "../protocol/names.ts";
import { agentAt, agentsOf, type Plan, type PlanSession } from "../protocol/plan.ts";
import { planShow, type SessionState, type SessionStatus, sessionWhois, townStatus } from "../protocol/session.ts";
import { alertRows } from "./alerts/projection.ts";
import type { Dispatch } from "./dispatch.ts";
import { commandOf } from "./ghosts/investigate.ts";
import { unreadCounts } from "./messages/projection.ts";
import { roomsOf } from "./narrate.ts";
import { declaredPanes, driftOf } from "./plan/diff.ts";
import { planRevisions, type SessionRow, sessionNumbers, sessionRows } from "./sessions/projection.ts";
import type { TmuxSession, World } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** A look younger than this answers `status` without asking tmux again. */
const FRESH_MS = 2_500;

/** `status` counts no further. */
const ALERTS_SHOWN = 1_000;

export function registerStatus(dispatch: Dispatch, town: Town): void {
  dispatch.handle(townStatus, async (input, call) => {
    await freshen(town);
    const sessions = statuses(town);
    const revisions = planRevisions(town.ledger.views);
    const wanted = input.session === undefined ? null : town.declared(input.session).id;
    return {
      town: town.name.name,
      from: town.name.from,
      coordinator: { pid: process.pid, since: town.startedAt.toISOString() },
      socket: town.cradle.socketPath,
      plan:
        town.plan && town.plan.file !== ""
          ? { file: town.plan.file, digest: town.plan.digest, revision: revisions.length }
          : null,
      tmux: {
        socket: town.cradle.tmuxSocket,
        pid: town.world?.serverPid ?? null,
        version: town.world?.version ?? null,
        mode: town.tmux.mode,
        ...(town.blind ? { problem: town.blind } : {}),
      },
      sessions: wanted === null ? sessions : sessions.filter((session) => session.id === wanted),
      rooms: roomsOf(town, call.actor),
      ghosts: strangersOf(town),
      services: [...town.servicesOf()],
      alerts: alertRows(town.ledger.views, false, ALERTS_SHOWN).length,
    };
  });
  dispatch.handle(planShow, (input) => {
    const plan = town.planFrom(input.file);
    const amendments = planRevisions(town.ledger.views).map((row) => ({
      revision: row.revision,
      at: new Date(row.atMs).toISOString(),
      by: row.by,
      digest: row.digest,
      about: row.about,
    }));
    return { plan, amendments };
  });
  dispatch.handle(sessionWhois, async (input) => {
    await freshen(town);
    return whois(town, input.name);
  });
}

async function freshen(town: Town): Promise<void> {
  const ageMs = town.world ? performance.now() - town.world.atMs : Number.POSITIVE_INFINITY;
  if (town.world === null && town.blind === null && town.tmux.mode !== "off") return;
  if (ageMs <= FRESH_MS) return;
  // Blind is an answer too: the states then say `unknown`, with the reason as evidence.
  await town.look().catch((error: unknown) => town.log.warn({ err: error }, "tmux cannot be asked"));
}

export function statuses(town: Town): SessionStatus[] {
  const plan = town.plan;
  if (!plan) return [];
  const rows = new Map(sessionRows(town.ledger.views).map((row) => [row.id, row]));
  const found = new Map(
    (town.world?.sessions ?? [])
      .filter((session) => session.marks?.town === plan.town)
      .map((session) => [session.marks!.id, session]),
  );
  const unread = unreadCounts(town.ledger.views, town.now());
  const numbers = sessionNumbers(town.ledger.views);
  return plan.sessions.map((declared) =>
    statusOf(town, plan, declared, rows.get(declared.id), found.get(declared.id), unread, numbers),
  );
}

function statusOf(
  town: Town,
  plan: Plan,
  declared: PlanSession,
  row: SessionRow | undefined,
  found: TmuxSession | undefined,
  unread: ReadonlyMap<string, number>,
  numbers: ReadonlyMap<string, number>,
): SessionStatus {
  const panes = found ? declaredPanes(found) : [];
  const agents = agentsOf([declared]).map((placed) => placed.agent.id);
  const judged = judge(town, row, found);
  const dead = panes.filter((pane) => pane.dead);
  return {
    id: declared.id,
    name: found?.name ?? declared.name,
    state: judged.state,
    since: new Date(judged.sinceMs).toISOString(),
    evidence: judged.evidence,
    source: judged.source,
    age_ms: town.world ? Math.max(0, Math.round(performance.now() - town.world.atMs)) : 0,
    town: plan.town,
    role: declared.role,
    rig: declared.rig,
    room: declared.room,
    kind: declared.kind,
    about: declared.about,
    agents,
    pid: panes[0]?.pid ?? null,
    panes: (found?.windows ?? []).flatMap((window) =>
      window.panes.map((pane) => ({
        id: pane.id,
        window: window.name,
        title: pane.title,
        pid: pane.pid,
        agent: agentAt(declared, pane.slot),
        dead: pane.dead,
        exit: pane.exit,
        command: commandOf(pane.pid),
      })),
    ),
    restarts: row?.restarts ?? 0,
    exit: dead[0]?.exit ?? (judged.state === "exited" ? (row?.lastExit ?? null) : null),
    attached: found?.attached ?? 0,
    headless: declared.headless,
    protect: declared.protect,
    chapter: town.chapterOf(declared.id),
    unread: agents.reduce((sum, agent) => sum + (unread.get(agent) ?? 0), 0),
    drift: found ? driftOf(declared, found) : [],
    epoch: row?.epoch ?? 0,
    tmux_id: found?.id ?? null,
    label: declared.label ?? found?.name ?? declared.name,
    number: numbers.get(declared.id) ?? null,
    opened: declared.label !== undefined,
    instance: declared.instance,
    health: town.healthOf(declared.id).map(({ check, healthy, sinceMs, evidence, misses }) => ({
      check,
      healthy,
      since: new Date(sinceMs).toISOString(),
      evidence,
      misses,
    })),
  };
}

interface Judgement {
  state: SessionState;
  sinceMs: number;
  evidence: string;
  source: string;
}

function judge(town: Town, row: SessionRow | undefined, found: TmuxSession | undefined): Judgement {
  const startMs = town.startedAt.getTime();
  const sinceMs = row?.sinceMs ?? startMs;
  if (town.blind) return { state: "unknown", sinceMs, evidence: `tmux cannot be asked: ${town.blind}`, source: "tmux" };
  if (!found) {
    if (!row) return { state: "declared", sinceMs: startMs, evidence: "in the plan, never started", source: "log" };
    if (row.wanted === "stopped")
      return { state: "stopped", sinceMs, evidence: `stopped: ${row.wantedBecause ?? "down"}`, source: "log" };
    return { state: "exited", sinceMs, evidence: row.lastExitBecause ?? "tmux does not have it", source: "tmux" };
  }
  const panes = declaredPanes(found);
  const dead = panes.filter((pane) => pane.dead);
  const source = "tmux";
  if (panes.length > 0 && dead.length === panes.length)
    return { state: "exited", sinceMs, evidence: `all ${panes.length} panes ended: ${dead[0]!.exit ?? "?"}`, source };
  if (dead.length > 0)
    return {
      state: "degraded",
      sinceMs,
      evidence: dead.map((pane) => `${pane.title} ended: ${pane.exit ?? "?"}`).join(", "),
      source,
    };
  return {
    state: "running",
    sinceMs: row?.state === "started" ? row.sinceMs : found.createdAtS * 1000,
    evidence: `tmux ${found.id}, ${panes.length} of ${panes.length} panes alive, pid ${panes[0]?.pid ?? "?"}`,
    source,
  };
}

/** tmux sessions nobody of this town declared; those that carry another town's mark are that town's, not ghosts. */
function strangersOf(town: Town) {
  return unmarked(town.world ?? null).map((session) => ({
    name: session.name,
    tmux_id: session.id,
    since: new Date(session.createdAtS * 1000).toISOString(),
    attached: session.attached,
    windows: session.windows.length,
  }));
}

function unmarked(world: World | null): TmuxSession[] {
  return (world?.sessions ?? []).filter((session) => session.marks === null);
}

function whois(town: Town, name: string) {
  // Names of Gas Town are understood everywhere: its sessions may stand beside ours on one server.
  const identity = parseName(town.plan?.names ?? schemeOf(undefined), name) ?? parseName(schemeOf("gastown"), name);
  const declared = town.plan?.sessions.find((session) => session.name === name || session.id === name);
  const found = town.world?.sessions.find((session) => session.name === (declared?.name ?? name));
  const named = {
    name: declared?.name ?? name,
    town: identity?.town ?? "",
    role: identity?.role ?? "",
    rig: identity?.rig ?? "",
    crew: identity?.name ?? "",
  };
  if (declared) {
    return {
      ...named,
      town: town.name.name,
      role: declared.role ?? named.role,
      rig: declared.rig ?? named.rig,
      crew: declared.member ?? named.crew,
      known: "declared" as const,
    };
  }
  if (found?.marks && found.marks.town !== town.name.name)
    return { ...named, town: found.marks.town, known: "foreign" as const };
  if (identity?.legacy) return { ...named, known: "legacy" as const };
  if (found) return { ...named, known: "ghost" as const };
  if (identity)
    return {
      ...named,
      known: identity.town !== "" && identity.town !== town.name.name ? ("foreign" as const) : ("ghost" as const),
    };
  throw new BosunError({
    code: "NOT_FOUND",
    what: `"${name}" is no session here, and no naming scheme explains it`,
    why: "neither the plan, nor tmux, nor the names of towns and rigs fit it",
    fix: "bosun ls   shows the sessions of this town",
  });
}
