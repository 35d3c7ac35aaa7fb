import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Event } from "../protocol/event.ts";
import { agentsOf, type Plan, type PlanSession } from "../protocol/plan.ts";
import { fifoOf, type Late, prepare, prepareRespawn } from "./birth.ts";
import type { Actor } from "./dispatch.ts";
import { declaredPanes, startWaves } from "./plan/diff.ts";
import type { Progress } from "./progress.ts";
import { sessionRow } from "./sessions/projection.ts";
import type { TmuxSession } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** Sessions started side by side: enough to keep two cores busy, few enough not to trip agents' sign-in limits. */
const PARALLEL_STARTS = 8;

/** What others need is asked this often whether it is there. */
const READY_EVERY_MS = 100;

/** A process that lives so long has started; one that cannot run ends sooner. */
const STARTED_AFTER_MS = 300;

/** Waves follow `after:`; inside a wave sessions start side by side. The mark is set with the birth, the log follows. */
export async function startSessions(
  town: Town,
  plan: Plan,
  sessions: readonly PlanSession[],
  { because, actor, progress }: { because: string; actor: Actor; progress: Progress },
) {
  const born: PlanSession[] = [];
  const failed: { session: string; error: string }[] = [];
  for (const whole of startWaves(sessions)) {
    const wave: PlanSession[] = [];
    const missing = await Promise.all(whole.map((session) => missingFor(town, session, failed)));
    for (const [index, session] of whole.entries()) {
      if (missing[index] === null) wave.push(session);
      else failed.push({ session: session.name, error: missing[index]! });
    }
    const prepared = new Map<string, { session: PlanSession; epoch: number }>();
    const births = [];
    const events: Event[] = [];
    const late: Late[] = [];
    for (const session of wave) {
      const epoch = nextEpoch(town, session.id);
      try {
        const ready = prepare(plan, session, epoch, town.cradle);
        births.push(ready.birth);
        events.push(
          { type: "session.wanted", data: { session: session.id, name: session.name, wanted: "running", because } },
          ...ready.events,
        );
        late.push(...ready.late);
        prepared.set(session.name, { session, epoch });
        town.busy.add(session.id);
      } catch (error) {
        failed.push({ session: session.name, error: error instanceof Error ? error.message : String(error) });
      }
    }
    if (births.length === 0) continue;
    try {
      const server = town.world?.server ?? "";
      await town.ledger.write({
        actor: actor.name,
        decide: (views) => ({ events: [...events, ...late.flatMap((each) => each(views))], result: null }),
      });
      const started: Event[] = [];
      await town.tmux.start(births, {
        parallel: PARALLEL_STARTS,
        onBorn: (one) => {
          const { session, epoch } = prepared.get(one.name)!;
          if ("error" in one) failed.push({ session: session.name, error: one.error });
          else {
            born.push(session);
            started.push({
              type: "session.started",
              data: {
                session: session.id,
                name: session.name,
                epoch,
                tmuxId: one.id,
                server,
                shape: session.shape,
                adopted: false,
              },
            });
          }
          progress.step(session.name, "error" in one ? "failed" : "started");
        },
      });
      await town.ledger.write({ actor: actor.name, decide: () => ({ events: started, result: null }) });
    } finally {
      // Whatever came of it: from now on what is seen of them is news again.
      for (const { session } of prepared.values()) town.busy.delete(session.id);
    }
  }
  return { born, failed };
}

/** Why a session cannot start: what it needs is not there, or not well, within its time. Null: it can. */
async function missingFor(
  town: Town,
  session: PlanSession,
  failed: readonly { session: string; error: string }[],
): Promise<string | null> {
  const until = performance.now() + session.startTimeoutMs;
  for (const need of session.needs) {
    const declared = town.plan?.sessions.find((each) => each.id === need);
    if (!declared) continue;
    for (;;) {
      const lost = failed.find((each) => each.session === declared.name);
      const why = lost ? lost.error : notReady(town, declared);
      if (why === null) break;
      if (lost || performance.now() >= until) return `it needs ${need}, which is not ready: ${why}`;
      await new Promise((resolve) => setTimeout(resolve, READY_EVERY_MS));
      // What cannot be asked is not ready; the reason comes with the next look.
      await town.look().catch((error: unknown) => town.log.warn({ err: error }, "tmux cannot be asked"));
    }
  }
  return null;
}

/** Null: it runs, and each check of its health that says anything says that it is well. */
function notReady(town: Town, session: PlanSession): string | null {
  const found = town.world?.sessions.find(
    (each) => each.marks?.town === town.name.name && each.marks.id === session.id,
  );
  if (!found) return "it does not run";
  const panes = declaredPanes(found);
  const dead = panes.find((pane) => pane.dead);
  if (dead) return `${dead.title} ended: ${dead.exit ?? "?"}`;
  const sinceMs = sessionRow(town.ledger.views, session.id)?.sinceMs ?? 0;
  if (town.now() - sinceMs < STARTED_AFTER_MS) return "it has just started";
  const states = town.healthOf(session.id);
  const asked =
    session.health?.http !== undefined || session.health?.tcp !== undefined || session.health?.exec !== undefined;
  if (asked && states.every((state) => state.healthy === null)) return "its health was not asked yet";
  const ill = states.find((state) => state.healthy === false);
  return ill ? `${ill.check} fails: ${ill.evidence}` : null;
}

/** A new process in one pane of a running session; its credential becomes a new one. */
export async function respawnPane(
  town: Town,
  plan: Plan,
  session: PlanSession,
  found: TmuxSession,
  slot: string,
  pane: Parameters<Town["tmux"]["respawn"]>[0],
  attempt: number,
  because: string,
  actor: string,
): Promise<void> {
  const epoch = found.marks!.epoch;
  const ready = prepareRespawn(plan, session, slot, epoch, town.cradle);
  if (!ready) return;
  const append = (events: Event[]) => town.ledger.write({ actor, decide: () => ({ events, result: null }) });
  // The new process may call at once: its credential is known before it runs. The pane that ended is no news meanwhile.
  const mine = !town.busy.has(session.id);
  town.busy.add(session.id);
  try {
    await town.ledger.write({
      actor,
      decide: (views) => ({ events: [...ready.events, ...ready.late.flatMap((each) => each(views))], result: null }),
    });
    await town.tmux.respawn(pane, ready.birth);
    const agent = ready.birth.env.BOSUN_AGENT ?? null;
    await append([
      { type: "pane.respawned", data: { session: session.id, epoch, pane: slot, agent, because, attempt } },
    ]);
  } finally {
    if (mine) town.busy.delete(session.id);
  }
}

/** Above anything this town, or a mark found in tmux, ever used. */
export function nextEpoch(town: Town, id: string): number {
  const marks = (town.world?.sessions ?? [])
    .filter((session) => session.marks?.town === town.name.name && session.marks.id === id)
    .map((session) => session.marks!.epoch);
  return 1 + Math.max(sessionRow(town.ledger.views, id)?.epoch ?? 0, 0, ...marks);
}

/** One FIFO per agent, made before it starts; existing ones stay. One fork for all of them. */
export function makeFifos(stateFolder: string, sessions: readonly PlanSession[]): void {
  const paths = agentsOf(sessions).map((placed) => fifoOf(stateFolder, placed.agent.id));
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length === 0) return;
  mkdirSync(join(stateFolder, "fifo"), { recursive: true, mode: 0o700 });
  execFileSync("mkfifo", ["-m", "600", "--", ...missing], { stdio: ["ignore", "ignore", "pipe"] });
}
