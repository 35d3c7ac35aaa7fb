import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { PlanSession } from "../protocol/plan.ts";
import type { Actor } from "./dispatch.ts";
import { nextEpoch } from "./starting.ts";
import type { SessionId, TmuxSession } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/**
 * Unmarked sessions become declared ones while they run: they get the marks, and the names that are wanted, and their processes go on as they
 * are. Returns each by the id of its entry as it is then, or why it could not be: it may end, or lose the name to another,
 * meanwhile. Marks come first and the log after them: what is marked and not logged is found by the next `up`.
 */
export async function takeOver(
  town: Town,
  wanted: readonly { declared: PlanSession; session: TmuxSession; name: string }[],
  actor: Actor,
  because: string,
): Promise<Map<string, TmuxSession | Error>> {
  const results = new Map<string, TmuxSession | Error>();
  for (const { declared, session, name } of wanted) {
    const marks = {
      town: town.name.name,
      id: declared.id,
      epoch: nextEpoch(town, declared.id),
      shape: declared.shape,
    };
    try {
      await town.tmux.mark(session, marks);
    } catch (error) {
      results.set(declared.id, error instanceof Error ? error : new Error(String(error)));
      continue;
    }
    // Ours already: what cannot be renamed now is renamed by the next `up`.
    if (name !== session.name)
      await town.tmux
        .rename(session.id, name)
        .catch((error: unknown) => town.log.warn({ err: error, session: declared.id }, "it keeps its old name"));
  }
  const world = await town.look();
  const events: Event[] = [];
  for (const { declared, session } of wanted) {
    if (results.has(declared.id)) continue;
    const ours = world?.sessions.find(
      ({ id, marks }) => id === session.id && marks?.town === town.name.name && marks.id === declared.id,
    );
    results.set(declared.id, ours ?? endedMeanwhile(session, declared));
    if (!ours) continue;
    events.push(...adoption(declared, ours, world!.server, because));
    if (ours.name !== session.name)
      events.push({ type: "session.renamed", data: { session: declared.id, from: session.name, to: ours.name } });
  }
  if (events.length > 0) await town.ledger.write({ actor: actor.name, decide: () => ({ events, result: null }) });
  return results;
}

function endedMeanwhile(session: TmuxSession, declared: PlanSession): BosunError {
  return new BosunError({
    code: "UNKNOWN_SESSION",
    what: `${session.name} has ended meanwhile`,
    fix: `bosun up ${declared.name}   starts it`,
  });
}

/** The facts of a session that runs already and is under watch from now on. */
export function adoption(declared: PlanSession, found: TmuxSession, server: string, because: string): Event[] {
  const marks = found.marks!;
  return [
    { type: "session.wanted", data: { session: declared.id, name: found.name, wanted: "running", because } },
    {
      type: "session.started",
      data: {
        session: declared.id,
        name: found.name,
        epoch: marks.epoch,
        tmuxId: found.id as SessionId,
        server,
        shape: marks.shape,
        adopted: true,
      },
    },
  ];
}
