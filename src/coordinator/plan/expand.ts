import { createHash } from "node:crypto";
import { basename } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import { ID_PATTERN } from "../../protocol/id.ts";
import { findClashes, schemeOf, whyBadName } from "../../protocol/names.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { Plan, PlanRoom, PlanSource, PlanUser } from "../../protocol/plan.ts";
import { parseDuration, parseSize } from "./durations.ts";
import { combinations, fill, type Values } from "./fill.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import { pathFrom } from "./paths.ts";
import type { FloorPlan, RoomEntry, SessionEntry } from "./schema.ts";
import { expandSession, type Placed, type SessionContext } from "./session-entry.ts";

export interface ExpandOptions {
  file: string;
  folder: string;
  town: { name: string; from: string } | undefined;
  env: Record<string, string | undefined>;
  mistakes: Mistakes;
}

const DEFAULT_SIZE = { columns: 200, rows: 50 };
const DEFAULT_KEEP = { ageMs: 30 * 86_400_000, count: 100_000 };
const DEFAULT_ROTATE_BYTES = 50 * 1_048_576;
const DEFAULT_ROTATE_KEEP = 5;

/** Fills placeholders, multiplies `each` out, applies defaults, formats names, and checks what no schema can. */
export function expand(entry: FloorPlan, options: ExpandOptions): Plan {
  const { mistakes, folder, file } = options;
  const town = townOf(entry, options);
  const names = namesOf(entry, mistakes);
  const context: SessionContext = {
    town,
    names,
    named: entry.names !== undefined,
    folder,
    env: options.env,
    defaults: entry.defaults ?? {},
    mistakes,
  };
  const rooms = roomsOf(entry, town, options);
  const sessions = sessionsOf(entry, context);
  const { users, views } = usersOf(entry, context, mistakes);
  const all = [...sessions, ...views];
  checkTogether(entry, all, rooms, users, mistakes);
  return {
    version: 1,
    town,
    file,
    digest: createHash("sha256").update(file).digest("hex"),
    about: aboutOf(entry),
    names,
    tmux: tmuxOf(entry, options),
    rooms,
    sessions: all.map(({ path: _path, ...session }) => session),
    rigs: Object.entries(entry.rigs ?? {}).map(([id, rig]) => ({
      id,
      about: rig?.about ?? "",
      path: rig?.path === undefined ? null : pathFrom(folder, rig.path, options.env),
      prefix: rig?.prefix ?? null,
    })),
    users,
    groups: entry.groups ?? {},
    services: Object.entries(entry.services ?? {}).map(([id, spec]) => ({ id, spec })),
    jobs: Object.entries(entry.jobs ?? {}).map(([id, spec]) => ({ id, spec })),
    alerts: entry.alerts ?? {},
    hosts: entry.hosts ?? {},
    broker: entry.broker ?? null,
  };
}

function townOf(entry: FloorPlan, options: ExpandOptions): string {
  const name = options.town?.name ?? entry.town ?? basename(options.folder);
  if (ID_PATTERN.test(name)) return name;
  options.mistakes.add(["town"], {
    what: `${show(name)} cannot be a town's name`,
    why: "letters, digits, _ . and -, at most 64, not starting with - or .",
    fix: "town: moo",
  });
  return "town";
}

function namesOf(entry: FloorPlan, mistakes: Mistakes): Plan["names"] {
  try {
    return schemeOf(entry.names);
  } catch (error) {
    const body = error instanceof BosunError ? error.body : { what: String(error) };
    mistakes.add(["names"], {
      what: body.what,
      ...("why" in body && body.why ? { why: body.why } : {}),
      ...("fix" in body && body.fix ? { fix: body.fix } : {}),
    });
    return schemeOf(undefined);
  }
}

function aboutOf(entry: FloorPlan): Plan["about"] {
  const { purpose, author, since, date, because } = entry.about ?? {};
  const begun = since ?? date;
  return {
    ...(purpose === undefined ? {} : { purpose }),
    ...(author === undefined ? {} : { author }),
    ...(begun === undefined ? {} : { since: begun instanceof Date ? begun.toISOString().slice(0, 10) : begun }),
    ...(because === undefined ? {} : { because }),
  };
}

function tmuxOf(entry: FloorPlan, { mistakes, folder, env }: ExpandOptions): Plan["tmux"] {
  const socket = entry.tmux?.socket ?? "default";
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(socket)) {
    mistakes.add(["tmux", "socket"], {
      what: `${show(socket)} cannot name a tmux server`,
      why: "letters, digits, _ . and -: it is the NAME of tmux -L NAME, not a path",
      fix: "tmux: { socket: town }",
    });
  }
  const given = entry.tmux?.size;
  const match = typeof given === "string" ? /^(\d+)x(\d+)$/.exec(given) : null;
  const size =
    given === undefined
      ? DEFAULT_SIZE
      : typeof given === "string"
        ? match
          ? { columns: Number(match[1]), rows: Number(match[2]) }
          : null
        : given;
  if (!size || size.columns < 20 || size.columns > 1_000 || size.rows < 5 || size.rows > 500) {
    mistakes.add(["tmux", "size"], {
      what: `tmux.size: ${show(given)} does not fit`,
      why: "columns (20 to 1000) x rows (5 to 500)",
      fix: "size: 200x50",
    });
  }
  return {
    socket,
    config: entry.tmux?.config === undefined ? null : pathFrom(folder, entry.tmux.config, env),
    size: size ?? DEFAULT_SIZE,
  };
}

function roomsOf(entry: FloorPlan, town: string, options: ExpandOptions): PlanRoom[] {
  const rooms = Object.entries(entry.rooms ?? {}).flatMap(([key, room]) => {
    const { each, ...rest } = room ?? {};
    return combinations(each).map((values) => {
      const path = ["rooms", key];
      const id = fill(key, { ...values, town });
      return { room: roomOf(id, fill(rest, { ...values, town }), path, options), path };
    });
  });
  const seen = new Set<string>();
  for (const { room, path } of rooms) {
    if (seen.has(room.id))
      options.mistakes.add(
        path,
        { what: `two rooms are called ${room.id}`, why: "a room is known by its name", fix: "give one another name" },
        "key",
      );
    seen.add(room.id);
  }
  return rooms.map(({ room }) => room);
}

function roomOf(
  id: string,
  entry: Omit<RoomEntry, "each">,
  path: Path,
  { mistakes, folder, env }: ExpandOptions,
): PlanRoom {
  if (!ID_PATTERN.test(id))
    mistakes.add(
      path,
      {
        what: `${show(id)} cannot be a room's name`,
        why: "letters, digits, _ . and -, at most 64",
        fix: "call it by a plain word",
      },
      "key",
    );
  const jsonl = typeof entry.jsonl === "string" ? { path: entry.jsonl } : entry.jsonl;
  const rotate = jsonl?.rotate === undefined ? DEFAULT_ROTATE_BYTES : parseSize(jsonl.rotate);
  if (rotate === null)
    mistakes.add([...path, "jsonl", "rotate"], {
      what: `${show(jsonl?.rotate)} is not a size`,
      why: "a number and KB, MB or GB",
      fix: "rotate: 50MB",
    });
  return {
    id,
    about: entry.about ?? "",
    keep: keepOf(entry.keep, path, mistakes),
    jsonl: jsonl
      ? {
          path: pathFrom(folder, jsonl.path, env),
          rotateBytes: rotate ?? DEFAULT_ROTATE_BYTES,
          rotateKeep: jsonl.keep ?? DEFAULT_ROTATE_KEEP,
        }
      : null,
    sources: (entry.sources ?? []).map((source, index) =>
      sourceOf(source, [...path, "sources", index], { mistakes, folder, env }),
    ),
    private: entry.private ?? null,
  };
}

function keepOf(keep: RoomEntry["keep"], path: Path, mistakes: Mistakes): PlanRoom["keep"] {
  if (keep === undefined) return DEFAULT_KEEP;
  if (typeof keep === "number") return { ageMs: null, count: keep };
  const given = typeof keep === "string" ? { age: keep, count: undefined } : keep;
  const ageMs = given.age === undefined ? null : parseDuration(given.age);
  if (given.age !== undefined && ageMs === null)
    mistakes.add([...path, "keep"], {
      what: `keep: ${show(given.age)} is neither an age nor a number of lines`,
      why: "an age is a number and s, m, h, d or w",
      fix: "keep: 30d, keep: 5000, or keep: { age: 30d, count: 5000 }",
    });
  return { ageMs, count: given.count ?? null };
}

function sourceOf(
  source: NonNullable<RoomEntry["sources"]>[number],
  path: Path,
  options: Pick<ExpandOptions, "mistakes" | "folder" | "env">,
): PlanSource {
  if ("jsonl" in source)
    return { kind: "jsonl", path: pathFrom(options.folder, source.jsonl, options.env), from: source.from ?? null };
  if ("rooms" in source)
    return { kind: "rooms", rooms: [source.rooms].flat(), level: source.level ?? null, tags: source.tags ?? [] };
  checkPattern(source.pattern, [...path, "pattern"], options.mistakes);
  return {
    kind: "pane",
    session: source.pane,
    agent: source.agent ?? null,
    pattern: source.pattern,
    level: source.level ?? null,
    tags: source.tags ?? [],
  };
}

/** A repeated group that is itself repeated can take hours on one line: `(a+)+$` against 26 letters took 4 s. */
const NESTED_REPEAT = /\([^)]*[+*}][^)]*\)[+*{]/;

function checkPattern(pattern: string, path: Path, mistakes: Mistakes): void {
  try {
    new RegExp(pattern);
  } catch (error) {
    mistakes.add(path, {
      what: `${show(pattern)} is not a regular expression`,
      why: error instanceof Error ? error.message : String(error),
      fix: 'for example pattern: "^NARRATE (.*)"',
    });
    return;
  }
  if (NESTED_REPEAT.test(pattern))
    mistakes.add(path, {
      what: `${show(pattern)} repeats something that is repeated`,
      why: "one hostile line could keep it busy for hours",
      fix: "write it without + or * inside a repeated group",
    });
}

function sessionsOf(entry: FloorPlan, context: SessionContext): Placed[] {
  const multiply = (
    key: string,
    session: SessionEntry,
    path: Path,
    rig: { id: string; path: string | null } | null,
  ): Placed[] => {
    const { each, ...rest } = session;
    return combinations(each).map((values) => {
      const all: Values = { ...values, town: context.town, ...(rig ? { rig: rig.id } : {}) };
      return expandSession(fill(key, all), fill(rest, all), values, path, rig, context);
    });
  };
  const ofTown = Object.entries(entry.sessions ?? {}).flatMap(([key, session]) =>
    multiply(key, session, ["sessions", key], null),
  );
  const ofRigs = Object.entries(entry.rigs ?? {}).flatMap(([id, rig]) => {
    const place = { id, path: rig?.path === undefined ? null : pathFrom(context.folder, rig.path, context.env) };
    return Object.entries(rig?.sessions ?? {}).flatMap(([key, session]) =>
      multiply(key, session ?? {}, ["rigs", id, "sessions", key], place),
    );
  });
  return [...ofTown, ...ofRigs];
}

function usersOf(
  entry: FloorPlan,
  context: SessionContext,
  mistakes: Mistakes,
): { users: PlanUser[]; views: Placed[] } {
  const users: PlanUser[] = [];
  const views: Placed[] = [];
  for (const [id, user] of Object.entries(entry.users ?? {})) {
    const path = ["users", id];
    if (!ID_PATTERN.test(id))
      mistakes.add(
        path,
        {
          what: `${show(id)} cannot be a user's name`,
          why: "letters, digits, _ . and -, at most 64",
          fix: "use the name they log in with",
        },
        "key",
      );
    const values = { town: context.town, user: id };
    users.push({ id, role: user?.role ?? "viewer", view: user?.view ? `view/${id}` : null });
    if (user?.view)
      views.push(
        expandSession(
          `view/${id}`,
          { about: `View of ${user.name ?? id}`, windows: fill(user.view, values) },
          values,
          [...path, "view"],
          null,
          context,
          id,
        ),
      );
  }
  return { users, views };
}

function checkTogether(
  entry: FloorPlan,
  sessions: Placed[],
  rooms: PlanRoom[],
  users: PlanUser[],
  mistakes: Mistakes,
): void {
  const roomIds = new Set(rooms.map((room) => room.id));
  const unknownRoom = (id: string, path: Path): void => {
    if (id === "*" || roomIds.has(id)) return;
    const near = nearest(id, [...roomIds]);
    mistakes.add(path, {
      what: `there is no room "${id}"`,
      why: `the rooms are ${[...roomIds].slice(0, 12).join(", ") || "none"}`,
      fix: near ? `did you mean ${near}` : `add ${id}: {} under rooms:`,
    });
  };
  for (const session of sessions) {
    if (session.room !== null) unknownRoom(session.room, [...session.path, "room"]);
    for (const pane of session.windows.flatMap((window) => window.panes)) {
      if (pane.face?.kind === "feed") for (const room of pane.face.rooms) unknownRoom(room, session.path);
      if (pane.face?.kind === "review") unknownRoom(pane.face.room, session.path);
    }
  }
  rooms.forEach((room) => {
    const path = [
      "rooms",
      Object.keys(entry.rooms ?? {}).find((key) => key === room.id) ?? Object.keys(entry.rooms ?? {})[0] ?? "",
    ];
    for (const source of room.sources) {
      if (source.kind === "rooms") for (const id of source.rooms) unknownRoom(id, path);
      if (source.kind === "pane" && !sessions.some((session) => session.id === source.session)) {
        mistakes.add(path, {
          what: `room ${room.id} listens to "${source.session}", and no session is called that`,
          why: `the sessions are ${sessions
            .map((session) => session.id)
            .slice(0, 12)
            .join(", ")}`,
          fix: "name a session as it stands under sessions:",
        });
      }
    }
  });
  checkOrder(sessions, mistakes);
  checkNames(sessions, mistakes);
  checkAgents(sessions, users, mistakes);
}

/** `after` may name an id, a tmux name, or a sibling in the same rig; it becomes ids here. */
function checkOrder(sessions: Placed[], mistakes: Mistakes): void {
  const ids = sessions.map((session) => session.id);
  for (const session of sessions) {
    session.after = session.after.flatMap((wanted) => {
      const found = sessions.find(
        (other) =>
          [other.id, other.name].includes(wanted) || (session.rig !== null && other.id === `${session.rig}/${wanted}`),
      );
      if (found) return [found.id];
      const near = nearest(wanted, ids);
      mistakes.add([...session.path, "after"], {
        what: `${session.id} starts after "${wanted}", and no session is called that`,
        why: `the sessions are ${ids.slice(0, 12).join(", ")}`,
        fix: near ? `did you mean ${near}` : "take it out, or declare that session",
      });
      return [];
    });
  }
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const done = new Set<string>();
  const walk = (session: Placed, path: string[]): void => {
    if (done.has(session.id)) return;
    if (path.includes(session.id)) {
      const circle = [...path.slice(path.indexOf(session.id)), session.id];
      mistakes.add([...session.path, "after"], {
        what: `these wait for each other: ${circle.join(" → ")}`,
        why: "none of them could ever start",
        fix: "take one after: out",
      });
      done.add(session.id);
      return;
    }
    for (const id of session.after) walk(byId.get(id)!, [...path, session.id]);
    done.add(session.id);
  };
  for (const session of sessions) walk(session, []);
}

function checkNames(sessions: Placed[], mistakes: Mistakes): void {
  const byId = Map.groupBy(sessions, (session) => session.id);
  for (const [id, same] of byId) {
    if (same.length > 1)
      mistakes.add(
        same[1]!.path,
        {
          what: `two sessions have the id "${id}"`,
          why: "an id is for one session",
          fix: "put a placeholder of each: into the key, or use another key",
        },
        "key",
      );
  }
  const clashes = findClashes(sessions.map((session) => ({ name: session.name, label: session.id })));
  for (const { name, labels } of clashes) {
    if (new Set(labels).size < 2) continue;
    const places = labels.map((label) => sessions.find((session) => session.id === label)!);
    const at = places.map((place) => `${place.id} (line ${place.at.line})`).join(" and ");
    mistakes.add(
      places[1]!.path,
      {
        what: `${at} would both be the tmux session ${name}`,
        why: "tmux tells sessions apart by name, and turns . and : into _",
        fix: "give one another key, role or name",
      },
      "key",
    );
  }
  for (const session of sessions) {
    const why = whyBadName(session.name);
    if (why)
      mistakes.add(
        session.path,
        {
          what: `${show(session.name)} cannot be a session's name`,
          why,
          fix: "a name says who works there and what they do: clod_bridge, agents-spx",
        },
        "key",
      );
  }
}

function checkAgents(sessions: Placed[], users: PlanUser[], mistakes: Mistakes): void {
  const seen = new Map<string, Placed>();
  const people = new Set(users.map((user) => user.id));
  for (const session of sessions) {
    for (const pane of session.windows.flatMap((window) => window.panes)) {
      if (!pane.agent) continue;
      const { id } = pane.agent;
      const before = seen.get(id);
      if (!ID_PATTERN.test(id))
        mistakes.add(session.path, {
          what: `${show(id)} cannot be an agent's id`,
          why: "letters, digits, _ . and -, at most 64, and no unfilled <placeholder>",
          fix: "agent: { id: deacon-spx, type: narrator }",
        });
      else if (before)
        mistakes.add(session.path, {
          what: `two agents are called ${id}: in ${before.id} (line ${before.at.line}) and in ${session.id}`,
          why: "mail and questions go by this name",
          fix: "put <instrument> or a number into the id",
        });
      else if (people.has(id))
        mistakes.add(session.path, {
          what: `${id} is an agent and a user`,
          why: "mail and questions go by this name",
          fix: "call the agent something else",
        });
      seen.set(id, session);
    }
  }
}
