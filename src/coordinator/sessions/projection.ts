import type { DatabaseSync } from "node:sqlite";
import type { RestartDecided } from "../../protocol/event.ts";
import { defineProjection } from "../log/projection.ts";
import { statement } from "../log/statement.ts";

/** What the log says about sessions, views of people, credentials and the floor plan. Liveness is not here: ask tmux. */
export const sessionsProjection = defineProjection({
  name: "sessions",
  revision: 6,
  tables: [
    "sessions",
    "opened",
    "numbers",
    "active",
    "inputs",
    "restarts",
    "layouts",
    "shares",
    "credentials",
    "plan_revisions",
  ],
  create: `
    CREATE TABLE sessions(
      id TEXT PRIMARY KEY, name TEXT NOT NULL,
      wanted TEXT, wanted_because TEXT, wanted_at_ms INTEGER,
      state TEXT NOT NULL, since_ms INTEGER NOT NULL,
      epoch INTEGER NOT NULL, restarts INTEGER NOT NULL,
      tmux_id TEXT, server TEXT, shape TEXT, adopted INTEGER NOT NULL,
      last_exit TEXT, last_exit_because TEXT, last_exit_at_ms INTEGER, former TEXT
    ) STRICT;
    CREATE INDEX sessions_name ON sessions(name);
    CREATE TABLE opened(
      session TEXT PRIMARY KEY, label TEXT NOT NULL, purpose TEXT, entry_json TEXT NOT NULL, worktree_json TEXT, by_actor TEXT NOT NULL,
      opened_at_ms INTEGER NOT NULL, closed_at_ms INTEGER, closed_because TEXT
    ) STRICT;
    CREATE UNIQUE INDEX opened_label ON opened(label) WHERE closed_at_ms IS NULL;
    CREATE TABLE numbers(number INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE active(person TEXT PRIMARY KEY, session TEXT NOT NULL, before_session TEXT) STRICT;
    CREATE TABLE inputs(
      id TEXT PRIMARY KEY, session TEXT NOT NULL, slot TEXT, text TEXT NOT NULL, by_actor TEXT NOT NULL, at_ms INTEGER NOT NULL,
      position INTEGER NOT NULL, outcome TEXT, because TEXT
    ) STRICT;
    CREATE INDEX inputs_waiting ON inputs(session, position) WHERE outcome IS NULL;
    CREATE TABLE restarts(
      session TEXT NOT NULL, pane TEXT NOT NULL, decided_json TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (session, pane)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE layouts(
      session TEXT NOT NULL, window TEXT NOT NULL, layout TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (session, window)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE shares(
      source TEXT NOT NULL, window TEXT NOT NULL, view TEXT NOT NULL, window_index INTEGER NOT NULL, mode TEXT NOT NULL,
      by_actor TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (source, window, view)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE credentials(
      hash TEXT PRIMARY KEY, actor TEXT NOT NULL, role TEXT NOT NULL, session TEXT, epoch INTEGER NOT NULL,
      revoked TEXT, at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX credentials_session ON credentials(session);
    CREATE INDEX credentials_actor ON credentials(actor) WHERE revoked IS NULL;
    CREATE TABLE plan_revisions(
      revision INTEGER PRIMARY KEY, file TEXT NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL, about_json TEXT NOT NULL,
      by_actor TEXT NOT NULL, at_ms INTEGER NOT NULL
    ) STRICT;`,
  on: {
    "session.wanted": (db, { session, name, wanted, because }, { atMs }) => {
      number(db, session);
      // Asked for anew after a stop, a session starts with a clean count.
      statement(
        db,
        `INSERT INTO sessions VALUES (:id, :name, :wanted, :because, :at, 'declared', :at, 0, 0, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL)
         ON CONFLICT (id) DO UPDATE SET
           name = :name,
           restarts = CASE WHEN :wanted = 'running' AND wanted = 'stopped' THEN 0 ELSE restarts END,
           wanted = :wanted, wanted_because = :because, wanted_at_ms = :at`,
      ).run({ id: session, name, wanted, because, at: atMs });
    },
    "session.started": (db, { session, name, epoch, tmuxId, server, shape, adopted }, { atMs }) => {
      // A restart is a start that follows an exit; taking over what already runs is none.
      statement(
        db,
        `INSERT INTO sessions VALUES (:id, :name, NULL, NULL, NULL, 'started', :at, :epoch, 0, :tmuxId, :server, :shape, :adopted, NULL, NULL, NULL, NULL)
         ON CONFLICT (id) DO UPDATE SET
           name = :name,
           restarts = restarts + (state = 'exited' AND NOT :adopted),
           state = 'started', since_ms = :at, epoch = :epoch, tmux_id = :tmuxId, server = :server, shape = :shape,
           adopted = :adopted, former = CASE WHEN :adopted THEN former ELSE NULL END`,
      ).run({ id: session, name, epoch, tmuxId, server, shape, adopted: adopted ? 1 : 0, at: atMs });
    },
    "session.exited": (db, { session, exit, because }, { atMs }) => {
      statement(
        db,
        `UPDATE sessions SET state = 'exited', since_ms = :at, tmux_id = NULL, last_exit = :exit, last_exit_because = :because,
           last_exit_at_ms = :at WHERE id = :id`,
      ).run({ id: session, exit, because, at: atMs });
    },
    "session.failed": (db, { session, attempt, because }, { atMs }) => {
      statement(
        db,
        `UPDATE sessions SET state = 'exited', since_ms = :at, tmux_id = NULL, last_exit = 'not started',
           last_exit_because = :because, last_exit_at_ms = :at WHERE id = :id`,
      ).run({ id: session, because: `${because} (attempt ${attempt})`, at: atMs });
    },
    "session.stopped": (db, { session }, { atMs }) => {
      statement(db, "UPDATE sessions SET state = 'stopped', since_ms = ?, tmux_id = NULL WHERE id = ?").run(
        atMs,
        session,
      );
    },
    "session.renamed": (db, { session, from, to }) => {
      statement(db, "UPDATE sessions SET name = ?, former = ? WHERE id = ?").run(to, from, session);
    },
    "session.opened": (db, { session, label, purpose, entry, worktree }, { atMs, actor }) => {
      statement(db, "INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)").run(
        session,
        label,
        purpose,
        JSON.stringify(entry),
        worktree && JSON.stringify(worktree),
        actor,
        atMs,
      );
      number(db, session);
    },
    "session.closed": (db, { session, because }, { atMs }) => {
      statement(db, "UPDATE opened SET closed_at_ms = ?, closed_because = ? WHERE session = ?").run(
        atMs,
        because,
        session,
      );
      statement(db, "DELETE FROM numbers WHERE session = ?").run(session);
      statement(db, "DELETE FROM active WHERE session = ?").run(session);
      statement(db, "UPDATE active SET before_session = NULL WHERE before_session = ?").run(session);
    },
    "session.labelled": (db, { session, label }) => {
      statement(db, "UPDATE opened SET label = ? WHERE session = ?").run(label, session);
    },
    "input.queued": (db, { id, session, slot, text }, { atMs, actor, position }) => {
      statement(db, "INSERT INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)").run(
        id,
        session,
        slot,
        text,
        actor,
        atMs,
        position,
      );
    },
    "input.settled": (db, { id, outcome, because }) => {
      statement(db, "UPDATE inputs SET outcome = ?, because = ? WHERE id = ?").run(outcome, because, id);
    },
    "session.switched": (db, { person, session }) => {
      statement(
        db,
        `INSERT INTO active VALUES (:person, :session, NULL) ON CONFLICT (person) DO UPDATE SET
           before_session = CASE WHEN session = :session THEN before_session ELSE session END, session = :session`,
      ).run({ person, session });
    },
    "pane.respawned": (db, { session }) => {
      statement(db, "UPDATE sessions SET restarts = restarts + 1 WHERE id = ?").run(session);
    },
    "restart.decided": (db, decided, { atMs }) => {
      statement(db, "INSERT OR REPLACE INTO restarts VALUES (?, ?, ?, ?)").run(
        decided.session,
        decided.pane,
        JSON.stringify(decided),
        atMs,
      );
    },
    "restart.reset": (db, { session }) => {
      statement(db, "DELETE FROM restarts WHERE session = ?").run(session);
    },
    "view.layout": (db, { session, window, layout }, { atMs }) => {
      statement(db, "INSERT OR REPLACE INTO layouts VALUES (?, ?, ?, ?)").run(session, window, layout, atMs);
    },
    "view.shared": (db, { source, window, view, index, mode }, { atMs, actor }) => {
      statement(db, "INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?, ?, ?)").run(
        source,
        window,
        view,
        index,
        mode,
        actor,
        atMs,
      );
    },
    "view.unshared": (db, { source, window, view }) => {
      statement(db, "DELETE FROM shares WHERE source = ? AND window = ? AND view = ?").run(source, window, view);
    },
    "credential.issued": (db, { hash, actor, role, session, epoch }, { atMs }) => {
      // An agent runs once: whoever still holds its older token belongs to a run that has ended. A session's programs and a
      // person's panes share theirs, and go on with it until the session's next epoch.
      if (actor.startsWith("agent:"))
        statement(
          db,
          "UPDATE credentials SET revoked = 'it was started or registered again since' WHERE actor = ? AND revoked IS NULL",
        ).run(actor);
      statement(db, "INSERT INTO credentials VALUES (?, ?, ?, ?, ?, NULL, ?)").run(
        hash,
        actor,
        role,
        session,
        epoch,
        atMs,
      );
    },
    "credential.revoked": (db, { hash, because }) => {
      statement(db, "UPDATE credentials SET revoked = ? WHERE hash = ? AND revoked IS NULL").run(because, hash);
    },
    "plan.applied": (db, { file, digest, text, about }, { atMs, actor }) => {
      statement(
        db,
        "INSERT INTO plan_revisions SELECT COALESCE(MAX(revision), 0) + 1, ?, ?, ?, ?, ?, ? FROM plan_revisions",
      ).run(file, digest, text, JSON.stringify(about), actor, atMs);
    },
  },
});

/** The smallest one that no session has; a session keeps its number until it is closed. */
function number(db: DatabaseSync, session: string): void {
  statement(
    db,
    `INSERT OR IGNORE INTO numbers SELECT n, :session FROM (
       SELECT 1 AS n UNION ALL SELECT number + 1 FROM numbers
     ) WHERE n NOT IN (SELECT number FROM numbers) AND :session NOT IN (SELECT session FROM numbers) ORDER BY n LIMIT 1`,
  ).run({ session });
}

/** Numbers that people know sessions by. */
export function sessionNumbers(db: DatabaseSync): Map<string, number> {
  return new Map(
    statement(db, "SELECT session, number FROM numbers")
      .all()
      .map((row) => [row.session as string, row.number as number]),
  );
}

export interface OpenedRow {
  session: string;
  label: string;
  purpose: string | null;
  entry: Record<string, unknown>;
  worktree: { folder: string; branch: string; repository: string } | null;
  by: string;
  openedAtMs: number;
  closedAtMs: number | null;
  closedBecause: string | null;
  /** Why the record cannot be read; `entry` is empty then. */
  damaged: string | null;
}

/** Sessions opened beside the plan, oldest first; with `all` also those that were closed. One bad record harms no other. */
export function openedRows(db: DatabaseSync, all = false): OpenedRow[] {
  return statement(
    db,
    `SELECT session, label, purpose, entry_json AS entryJson, worktree_json AS worktreeJson, by_actor AS "by",
       opened_at_ms AS openedAtMs, closed_at_ms AS closedAtMs, closed_because AS closedBecause
     FROM opened WHERE :all OR closed_at_ms IS NULL ORDER BY opened_at_ms, rowid`,
  )
    .all({ all: all ? 1 : 0 })
    .map(({ entryJson, worktreeJson, ...row }) => {
      try {
        return {
          ...(row as unknown as OpenedRow),
          entry: JSON.parse(entryJson as string) as Record<string, unknown>,
          worktree: worktreeJson === null ? null : JSON.parse(worktreeJson as string),
          damaged: null,
        };
      } catch (error) {
        const damaged = error instanceof Error ? error.message : String(error);
        return { ...(row as unknown as OpenedRow), entry: {}, worktree: null, damaged };
      }
    });
}

export interface InputRow {
  id: string;
  session: string;
  slot: string | null;
  text: string;
  by: string;
  atMs: number;
}

/** Text that waits to be typed, oldest first; of one session, or of all. */
export function waitingInputs(db: DatabaseSync, session?: string): InputRow[] {
  return statement(
    db,
    `SELECT id, session, slot, text, by_actor AS "by", at_ms AS atMs FROM inputs
     WHERE outcome IS NULL AND (:session IS NULL OR session = :session) ORDER BY position`,
  )
    .all({ session: session ?? null })
    .map((row) => ({ ...row }) as unknown as InputRow);
}

/** The session a person looks at and the one before it. */
export function activeOf(db: DatabaseSync, person: string): { session: string; before: string | null } | null {
  const row = statement(db, "SELECT session, before_session AS before FROM active WHERE person = ?").get(person);
  return row ? (row as { session: string; before: string | null }) : null;
}

/** A session as the log last heard of it. */
export interface SessionRow {
  /** Plan id. */
  id: string;
  /** tmux session name. */
  name: string;
  /** The durable intent; null when nobody stated one. */
  wanted: "running" | "stopped" | null;
  wantedBecause: string | null;
  wantedAtMs: number | null;
  /** The last thing that happened to it; `declared` = wanted, never started. */
  state: "declared" | "started" | "exited" | "stopped";
  sinceMs: number;
  /** Counts runs; 0 before the first. */
  epoch: number;
  /** Starts after an exit and respawned panes, since it was last wanted anew. */
  restarts: number;
  /** `$3`, while started. Means something only together with `server`. */
  tmuxId: string | null;
  server: string | null;
  shape: string | null;
  adopted: boolean;
  /** What this run was called before it was renamed. */
  former: string | null;
  lastExit: string | null;
  lastExitBecause: string | null;
  lastExitAtMs: number | null;
}

const SESSION_COLUMNS = `id, name, wanted, wanted_because AS wantedBecause, wanted_at_ms AS wantedAtMs, state, since_ms AS sinceMs,
  epoch, restarts, tmux_id AS tmuxId, server, shape, adopted, former, last_exit AS lastExit, last_exit_because AS lastExitBecause,
  last_exit_at_ms AS lastExitAtMs`;

function toSessionRow(row: Record<string, unknown>): SessionRow {
  return { ...(row as unknown as SessionRow), adopted: row.adopted === 1 };
}

export function sessionRow(db: DatabaseSync, id: string): SessionRow | null {
  const row = statement(db, `SELECT ${SESSION_COLUMNS} FROM sessions WHERE id = ?`).get(id);
  return row ? toSessionRow(row) : null;
}

/** By plan id. */
export function sessionRows(db: DatabaseSync): SessionRow[] {
  return statement(db, `SELECT ${SESSION_COLUMNS} FROM sessions ORDER BY id`).all().map(toSessionRow);
}

export function layoutOf(db: DatabaseSync, session: string, window: string): string | null {
  const row = statement(db, "SELECT layout FROM layouts WHERE session = ? AND window = ?").get(session, window);
  return row ? (row.layout as string) : null;
}

/** A window of one session shown in a person's view. */
export interface ShareRow {
  source: string;
  window: string;
  view: string;
  index: number;
  mode: "link" | "replicate";
  by: string;
  atMs: number;
}

/** All shares, or those into one view. */
export function shareRows(db: DatabaseSync, view?: string): ShareRow[] {
  return statement(
    db,
    `SELECT source, window, view, window_index AS "index", mode, by_actor AS "by", at_ms AS atMs FROM shares
     WHERE :view IS NULL OR view = :view ORDER BY view, window_index, source, window`,
  )
    .all({ view: view ?? null })
    .map((row) => ({ ...row }) as unknown as ShareRow);
}

export interface CredentialRow {
  hash: string;
  actor: string;
  role: string;
  /** Null for a program outside our sessions. */
  session: string | null;
  epoch: number;
  /** Why it was revoked; null while it counts. */
  revoked: string | null;
  /** Its session has been started again since: whoever holds it belongs to a run that has ended. */
  stale: boolean;
  atMs: number;
}

const CREDENTIAL_COLUMNS = `credentials.hash, actor, role, session, credentials.epoch, revoked, at_ms AS atMs,
  COALESCE(credentials.epoch < sessions.epoch, 0) AS stale
  FROM credentials LEFT JOIN sessions ON sessions.id = credentials.session`;

function toCredentialRow(row: Record<string, unknown>): CredentialRow {
  return { ...(row as unknown as CredentialRow), stale: row.stale === 1 };
}

/** `hash` is the hex SHA-256 of the token. */
export function credentialByHash(db: DatabaseSync, hash: string): CredentialRow | null {
  const row = statement(db, `SELECT ${CREDENTIAL_COLUMNS} WHERE credentials.hash = ?`).get(hash);
  return row ? toCredentialRow(row) : null;
}

/** Hash of the credential in force of an actor that has one at a time, or null. */
export function credentialInForce(db: DatabaseSync, actor: string): string | null {
  const row = statement(db, "SELECT hash FROM credentials WHERE actor = ? AND revoked IS NULL").get(actor);
  return row ? (row.hash as string) : null;
}

/** Credentials of a session that nobody revoked, stale ones included. */
export function credentialsOf(db: DatabaseSync, session: string): CredentialRow[] {
  return statement(db, `SELECT ${CREDENTIAL_COLUMNS} WHERE session = ? AND revoked IS NULL ORDER BY credentials.hash`)
    .all(session)
    .map(toCredentialRow);
}

export interface PlanRevision {
  /** 1, 2, 3 … */
  revision: number;
  file: string;
  digest: string;
  text: string;
  about: Record<string, string>;
  by: string;
  atMs: number;
}

const PLAN_COLUMNS = `revision, file, digest, text, about_json, by_actor AS "by", at_ms AS atMs FROM plan_revisions`;

function toPlanRevision({ about_json, ...row }: Record<string, unknown>): PlanRevision {
  return { ...row, about: JSON.parse(about_json as string) } as PlanRevision;
}

/** Oldest first. */
export function planRevisions(db: DatabaseSync): PlanRevision[] {
  return statement(db, `SELECT ${PLAN_COLUMNS} ORDER BY revision`).all().map(toPlanRevision);
}

export function currentPlan(db: DatabaseSync): PlanRevision | null {
  const row = statement(db, `SELECT ${PLAN_COLUMNS} ORDER BY revision DESC LIMIT 1`).get();
  return row ? toPlanRevision(row) : null;
}

/** Whether a program outside our sessions holds a credential in force under this name. */
export function isEnrolled(db: DatabaseSync, agent: string): boolean {
  return (
    statement(db, "SELECT 1 FROM credentials WHERE actor = ? AND session IS NULL AND revoked IS NULL").get(
      `agent:${agent}`,
    ) !== undefined
  );
}

/** What was decided last about each pane of a session whose process ended by itself. */
export function restartRows(db: DatabaseSync, session: string): (RestartDecided & { atMs: number })[] {
  const rows = statement(
    db,
    "SELECT decided_json AS decided, at_ms AS atMs FROM restarts WHERE session = ? ORDER BY pane",
  ).all(session) as { decided: string; atMs: number }[];
  return rows.map(({ decided, atMs }) => ({ ...(JSON.parse(decided) as RestartDecided), atMs }));
}
