import type { Event } from "../protocol/event.ts";
import type { Actor } from "./dispatch.ts";
import { type PlannedStep, stopWaves } from "./plan/diff.ts";
import type { Progress } from "./progress.ts";
import type { StopOptions, Tmux } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** Ends sessions in order, and writes down those that are gone. */
export async function stopSessions(
  town: Town,
  steps: readonly PlannedStep[],
  { actor, progress, server = town.tmux }: { actor: Actor; progress: Progress; server?: Tmux },
): Promise<void> {
  if (steps.length === 0) return;
  for (const step of steps) town.busy.add(step.session);
  try {
    const gone = await endInOrder(steps, server);
    const events: Event[] = steps
      .filter((step) => gone.has(step.found!.id))
      .map((step) => ({
        type: "session.stopped",
        data: { session: step.session, name: step.name, epoch: step.found!.marks?.epoch ?? 0, because: step.why },
      }));
    await town.ledger.write({ actor: actor.name, decide: () => ({ events, result: null }) });
  } finally {
    // Whatever came of it: from now on what is seen of them is news again.
    for (const step of steps) town.busy.delete(step.session);
  }
  for (const step of steps) progress.step(step.name, "stopped");
}

/** What stands on others goes before them; each as its plan says. */
async function endInOrder(steps: readonly PlannedStep[], server: Tmux): Promise<Set<string>> {
  const waves = stopWaves(steps.flatMap((step) => step.declared ?? []));
  const undeclared = steps.filter((step) => step.declared === null);
  const ordered = [
    undeclared,
    ...waves.map((wave) => steps.filter((step) => wave.some((session) => session.id === step.session))),
  ];
  const gone = new Set<string>();
  for (const wave of ordered) {
    const groups = Map.groupBy(wave, (step) => JSON.stringify(step.declared?.stop ?? null));
    await Promise.all(
      [...groups.values()].map(async (group) => {
        const stop = group[0]!.declared?.stop;
        const options: StopOptions = {
          ...(stop && {
            graceMs: stop.graceMs,
            scope: stop.scope,
            last: stop.last as NodeJS.Signals,
            ...(stop.signal !== null && { signal: stop.signal as NodeJS.Signals }),
          }),
        };
        for (const id of await server.stop(
          group.map((step) => step.found!.id),
          options,
        ))
          gone.add(id);
      }),
    );
  }
  return gone;
}
