import type { GhostClass } from "../../protocol/ghost.ts";
import { parseName, type Scheme } from "../../protocol/names.ts";
import type { TmuxSession } from "../tmux/port.ts";

export interface Known {
  town: string;
  scheme: Scheme;
  /** Rigs of the plan. */
  rigs: ReadonlySet<string>;
  /** Ids and names of declared sessions, and what else they were called. */
  ids: ReadonlySet<string>;
  names: ReadonlySet<string>;
  /** tmux ids of the sessions that are declared ones. */
  ours: ReadonlySet<string>;
  /** User id of this process, and of the session's first process; null: it cannot be told. */
  uid: number;
  ownerUid: number | null;
}

export type Standing =
  | { kind: "declared" }
  | { kind: "foreign"; town: string }
  | { kind: "ghost"; class: GhostClass; why: string };

/** What a session on the server is to this town. Pure; a name alone never makes anything ours. */
export function classify(session: TmuxSession, known: Known): Standing {
  const ghost = (of: GhostClass, why: string): Standing => ({ kind: "ghost", class: of, why });
  const { marks, name } = session;
  if (known.ours.has(session.id)) return { kind: "declared" };
  if (marks && marks.town !== known.town) return { kind: "foreign", town: marks.town };
  if (known.ownerUid === null) return ghost("unknown", "its process could not be looked at");
  if (known.ownerUid !== known.uid) return ghost("G4", `it runs for another user (uid ${known.ownerUid})`);
  if (marks && known.ids.has(marks.id)) return ghost("G4", `it carries the mark of ${marks.id}, which runs beside it`);
  if (marks) return ghost("G2", `it is marked as ${marks.id} of this town, which the plan does not declare`);
  if (known.names.has(name)) return ghost("G1", "it has the name of a declared session, and no mark of ours");
  const identity = parseName(known.scheme, name);
  if (identity?.legacy) return ghost("G1", `it has the old name of the ${identity.role}, and no mark of ours`);
  if (identity && (identity.town === known.town || known.rigs.has(identity.rig)))
    return ghost(
      "G2",
      `by its name it is ${identity.role} of ${identity.rig || identity.town}, which the plan does not declare`,
    );
  return ghost("G3", "nothing is known of it");
}
