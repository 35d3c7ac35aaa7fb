import { coordinatorMark, markedSessions, sessionsOfTown } from "../coordinator/tmux/other-servers.ts";
import { parseName, schemeOf } from "../protocol/names.ts";

/**
 * For the command line, which does not run tmux itself: what the marks on all tmux servers of this user say about towns whose
 * coordinators do not answer. `silent`: servers that do not answer either.
 */
export async function sessionsByMarks(towns: readonly { town: string; socket: string }[]) {
  const marked = await markedSessions(process.env);
  const byTown = new Map(
    towns.map(({ town, socket }) => [town, sessionsOfTown(marked, town, coordinatorMark(socket)).map(shown)] as const),
  );
  return { byTown, silent: marked.silent };
}

/** The plan is not here; a name of the common scheme says whose it is too. */
const SCHEME = schemeOf("gastown");

/** As `status` tells a session, as far as tmux can: who it is, whether it runs. */
function shown(session: ReturnType<typeof sessionsOfTown>[number]) {
  const { id, name, town, socket, panes, attached, createdAtS, tmuxId } = session;
  const dead = panes.filter((pane) => pane.dead).length;
  const identity = parseName(SCHEME, name);
  return {
    ...{ id: id || name, name, label: name, town, tmux_id: tmuxId, tmux_socket: socket },
    state: dead === panes.length ? ("exited" as const) : dead > 0 ? ("degraded" as const) : ("running" as const),
    since: new Date(createdAtS * 1_000).toISOString(),
    evidence: `tmux ${tmuxId} carries its mark, ${panes.length - dead} of ${panes.length} panes alive`,
    ...{ source: "tmux", age_ms: 0 },
    ...{ role: identity?.role ?? null, rig: identity?.rig || null, room: null, kind: "session", about: "", agents: [] },
    ...{ pid: panes[0]?.pid ?? null, panes: [], restarts: 0, health: [], exit: null, attached, headless: false },
    ...{ protect: false, instance: null, chapter: null, unread: 0, drift: [], number: null },
  };
}
