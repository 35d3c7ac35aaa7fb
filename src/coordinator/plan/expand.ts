import { createHash } from "node:crypto";
import { basename } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import { ID_PATTERN } from "../../protocol/id.ts";
import { MAX_OPENED } from "../../protocol/labels.ts";
import { schemeOf } from "../../protocol/names.ts";
import { MAX_UNREAD, type Plan, type PlanRoom, type PlanSource, type PlanUser } from "../../protocol/plan.ts";
import { checkTogether, type PlacedRoom } from "./check-together.ts";
import { parseDuration, parseSize } from "./durations.ts";
import { combinations, copiesOf, fill, type Values, wrongChange } from "./fill.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import { notesOf } from "./notes.ts";
import { pathFrom } from "./paths.ts";
import { whyBadPattern } from "./pattern.ts";
import type { FloorPlan, RoomEntry, SessionEntry, WindowEntry } from "./schema.ts";
import { checkVariables, expandSession, type Placed, type SessionContext } from "./session-entry.ts";
import { alertsOf, checkJobs, jobOf } from "./watch-entries.ts";

export interface ExpandOptions {
  file: string;
  folder: string;
  town: { name: string; from: string } | undefined;
  env: Record<string, string | undefined>;
  mistakes: Mistakes;
}

/** What one coordinator is built and measured for; `each` could ask for more than memory holds. */
const MAX_SESSIONS = 2_000;
const MAX_ALL_PANES = 10_000;
const MAX_ROOMS = 2_000;

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
    file,
    folder,
    env: options.env,
    defaults: entry.defaults ?? {},
    mistakes,
  };
  if (tooMany(entry, mistakes)) mistakes.throwIfAny();
  checkVariables(entry.defaults?.env, ["defaults", "env"], mistakes);
  checkVariables(entry.defaults?.env_pass, ["defaults", "env_pass"], mistakes);
  const rooms = roomsOf(entry, town, options);
  const sessions = sessionsOf(entry, context);
  const { users, views } = usersOf(entry, context, rooms.length > 0);
  const placed = [...sessions, ...views];
  const planRooms = [...rooms.map(({ room }) => room), ...roomsForAlerts(entry.alerts, rooms)];
  const jobs = Object.entries(entry.jobs ?? {}).map(([id, spec]) => {
    const path = ["jobs", id];
    return { path, job: jobOf(id, spec, path, { folder, env: options.env, mistakes }) };
  });
  const inWindows = placed.flatMap(({ session, path }) =>
    session.windows.flatMap(({ job }, index) => (job ? [{ job, path: [...path, "windows", index, "job"] }] : [])),
  );
  checkJobs(
    [...jobs, ...inWindows],
    placed.map(({ session }) => session),
    planRooms,
    mistakes,
  );
  if (names.preset === "ship") checkAboard(entry, sessions, mistakes);
  checkTogether({ sessions: placed, rooms, users, groups: entry.groups ?? {}, hosts: entry.hosts ?? {} }, mistakes);
  return {
    version: 1,
    town,
    file,
    digest: createHash("sha256").update(file).digest("hex"),
    about: aboutOf(entry),
    names,
    tmux: tmuxOf(entry, options),
    rooms: planRooms,
    sessions: placed.map(({ session }) => session),
    rigs: Object.entries(entry.rigs ?? {}).map(([id, rig]) => ({
      id,
      about: rig?.about ?? "",
      path: rig?.path === undefined ? null : pathFrom(folder, rig.path, options.env),
      prefix: rig?.prefix ?? null,
    })),
    users,
    groups: entry.groups ?? {},
    limits: {
      sendsPerMinute: entry.limits?.sends_per_minute ?? null,
      unread: entry.limits?.unread ?? MAX_UNREAD,
      sessions: entry.limits?.sessions ?? MAX_OPENED,
      disk: (entry.limits?.disk ?? 95) / 100,
    },
    services: Object.entries(entry.services ?? {}).map(([id, spec]) => ({ id, spec })),
    jobs: jobs.map(({ job }) => job),
    alerts: alertsOf(entry.alerts, options),
    hosts: entry.hosts ?? {},
    broker: entry.broker ?? null,
    notes: notesOf(
      entry,
      placed.map(({ session }) => session),
      names.preset,
    ),
  };
}

/** Counted before anything is multiplied out. */
function tooMany(entry: FloorPlan, mistakes: Mistakes): boolean {
  const totals = { sessions: 0, panes: 0, rooms: 0 };
  const most = { sessions: MAX_SESSIONS, panes: MAX_ALL_PANES, rooms: MAX_ROOMS };
  const add = (path: Path, copies: number, what: Partial<typeof totals>): void => {
    for (const kind of Object.keys(what) as (keyof typeof totals)[]) {
      const before = totals[kind];
      totals[kind] += copies * what[kind]!;
      if (before <= most[kind] && totals[kind] > most[kind])
        mistakes.add(
          path,
          {
            what: `the plan becomes more than ${most[kind]} ${kind} here`,
            why: copies > 1 ? `each: makes ${copies} copies of this` : "one coordinator is not made for more",
            fix: "shorten the lists, or make several towns of it",
          },
          "key",
        );
    }
  };
  for (const [key, room] of Object.entries(entry.rooms ?? {})) add(["rooms", key], copiesOf(room?.each), { rooms: 1 });
  const addSessions = (base: Path, sessions: Record<string, SessionEntry | null>): void => {
    for (const [key, session] of Object.entries(sessions))
      add([...base, key], copiesOf(session?.each), { sessions: 1, panes: panesIn(session?.windows) });
  };
  addSessions(["sessions"], entry.sessions ?? {});
  for (const [id, rig] of Object.entries(entry.rigs ?? {})) addSessions(["rigs", id, "sessions"], rig?.sessions ?? {});
  for (const [id, user] of Object.entries(entry.users ?? {}))
    add(["users", id], 1, { sessions: 1, panes: panesIn(typeof user?.view === "object" ? user.view : undefined) });
  return (Object.keys(totals) as (keyof typeof totals)[]).some((kind) => totals[kind] > most[kind]);
}

function panesIn(windows: WindowEntry[] | undefined): number {
  return (windows ?? [{ panes: undefined }]).reduce((sum, window) => sum + (window.panes?.length ?? 1), 0);
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
  if (typeof entry.about === "string") return { purpose: entry.about };
  const { purpose, author, since, date, because } = entry.about ?? {};
  const begun = since ?? date;
  return {
    ...(purpose === undefined ? {} : { purpose }),
    ...(author === undefined ? {} : { author }),
    ...(begun === undefined ? {} : { since: begun }),
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

function roomsOf(entry: FloorPlan, town: string, options: ExpandOptions): PlacedRoom[] {
  const rooms = Object.entries(entry.rooms ?? {}).flatMap(([key, room]) => {
    const { each, ...rest } = room ?? {};
    const path = ["rooms", key];
    checkChanges([key, rest], each, path, options.mistakes);
    return combinations(each).map((values) => {
      const id = fill(key, { ...values, town });
      return { room: roomOf(id, fill(rest, { ...values, town }), path, options), path };
    });
  });
  const seen = new Set<string>();
  const mirrors = new Map<string, string>();
  for (const { room, path } of rooms) {
    if (seen.has(room.id))
      options.mistakes.add(
        path,
        { what: `two rooms are called ${room.id}`, why: "a room is known by its name", fix: "give one another name" },
        "key",
      );
    const other = room.jsonl && mirrors.get(room.jsonl.path);
    if (other && !seen.has(room.id))
      options.mistakes.add([...path, "jsonl"], {
        what: `${room.id} and ${other} are mirrored into one file`,
        why: "each room writes and rotates its own",
        fix: `jsonl: log/${room.id}.jsonl`,
      });
    seen.add(room.id);
    if (room.jsonl) mirrors.set(room.jsonl.path, room.id);
  }
  return rooms;
}

/** A placeholder of `each` with a change that is none would stand in names as it is written. */
function checkChanges(
  value: unknown,
  each: Record<string, (string | number)[]> | undefined,
  path: Path,
  mistakes: Mistakes,
): void {
  const wrong = each && wrongChange(value, Object.keys(each));
  if (wrong)
    mistakes.add(
      path,
      {
        what: `${show(wrong)} is not a placeholder`,
        why: "a placeholder is <x>, <x|lower> or <x|upper>",
        fix: `${wrong.replace(/\s*[|:].*/, "")}|lower>`,
      },
      "key",
    );
}

function roomOf(
  id: string,
  entry: Omit<RoomEntry, "each">,
  path: Path,
  { mistakes, folder, env }: ExpandOptions,
): PlanRoom {
  checkId(id, "room", path, mistakes);
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

/** A room that alerts go into is there, whether or not it is declared. */
function roomsForAlerts(alerts: FloorPlan["alerts"], declared: readonly PlacedRoom[]): PlanRoom[] {
  const named = Object.values(alerts ?? {}).flatMap((sinks) =>
    (sinks ?? []).flatMap((sink) => (typeof sink === "object" && "room" in sink ? [sink.room] : [])),
  );
  return [...new Set(named)]
    .filter((id) => ID_PATTERN.test(id) && !declared.some(({ room }) => room.id === id))
    .map((id) => ({ id, about: "Alerts", keep: DEFAULT_KEEP, jsonl: null, sources: [], private: null }));
}

/**
 * What a new session needs aboard a ship: a documented purpose, and a word on what restarts it (seed 002, creating new
 * sessions). When it starts and how it ends have an answer by default: with `up`, by `down`.
 */
function checkAboard(entry: FloorPlan, sessions: readonly Placed[], mistakes: Mistakes): void {
  for (const { session, path } of sessions) {
    const written = path.reduce<unknown>(
      (node, key) => (node as Record<PropertyKey, unknown> | undefined)?.[key],
      entry,
    );
    const { restart, lifecycle } = (written ?? {}) as Pick<SessionEntry, "restart" | "lifecycle">;
    if (session.about === "")
      mistakes.add(
        path,
        {
          what: `${session.id} has no purpose`,
          why: "aboard a ship every session has a documented one",
          fix: "about: what this session does",
        },
        "key",
      );
    if (restart === undefined && lifecycle === undefined && entry.defaults?.restart === undefined)
      mistakes.add(
        path,
        {
          what: `nothing says what restarts ${session.id}`,
          why: "a session's lifecycle is when it starts, when it stops, and what restarts it",
          fix: "restart: always, on-failure or never; or defaults: { restart: always }",
        },
        "key",
      );
  }
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
  const wrong = whyBadPattern(source.pattern);
  if (wrong) options.mistakes.add([...path, "pattern"], wrong);
  return {
    kind: "pane",
    session: source.pane,
    agent: source.agent ?? null,
    pattern: source.pattern,
    level: source.level ?? null,
    tags: source.tags ?? [],
  };
}

function sessionsOf(entry: FloorPlan, context: SessionContext): Placed[] {
  const multiply = (
    key: string,
    session: SessionEntry,
    path: Path,
    rig: { id: string; path: string | null } | null,
  ): Placed[] => {
    const { each, ...rest } = session;
    checkChanges([key, rest], each, path, context.mistakes);
    return combinations(each).map((values) => {
      const all: Values = { ...values, town: context.town, ...(rig ? { rig: rig.id } : {}) };
      return expandSession(fill(key, all), fill(rest, all), values, path, rig, context);
    });
  };
  const ofTown = Object.entries(entry.sessions ?? {}).flatMap(([key, session]) =>
    multiply(key, session ?? {}, ["sessions", key], null),
  );
  const ofRigs = Object.entries(entry.rigs ?? {}).flatMap(([id, rig]) => {
    checkId(id, "rig", ["rigs", id], context.mistakes);
    const place = { id, path: rig?.path === undefined ? null : pathFrom(context.folder, rig.path, context.env) };
    return Object.entries(rig?.sessions ?? {}).flatMap(([key, session]) =>
      multiply(key, session ?? {}, ["rigs", id, "sessions", key], place),
    );
  });
  return [...ofTown, ...ofRigs];
}

function checkId(id: string, kind: "rig" | "user" | "room", path: Path, mistakes: Mistakes): void {
  if (ID_PATTERN.test(id)) return;
  mistakes.add(
    path,
    {
      what: `${show(id)} cannot be a ${kind}'s name`,
      why: "letters, digits, _ . and -, at most 64, not starting with - or .",
      fix: kind === "user" ? "use the name they log in with" : "call it by a plain word",
    },
    "key",
  );
}

function usersOf(entry: FloorPlan, context: SessionContext, hasRooms: boolean): { users: PlanUser[]; views: Placed[] } {
  const users: PlanUser[] = [];
  const views: Placed[] = [];
  for (const [id, user] of Object.entries(entry.users ?? {})) {
    const path = ["users", id];
    checkId(id, "user", path, context.mistakes);
    const hasView = user?.view !== "none";
    users.push({ id, role: user?.role ?? "viewer", view: hasView ? `view/${id}` : null });
    if (!hasView) continue;
    const values = { town: context.town, user: id };
    const own = typeof user?.view === "object" ? user.view : null;
    const view = expandSession(
      `view/${id}`,
      {
        about: `View of ${user?.name ?? id}`,
        windows: own ? fill(own, values) : defaultView(hasRooms),
        // A person who is only named gets a view when they ask for it (`bosun view open`), not one that `up` starts.
        ...(user?.view === undefined ? { start: "manual" } : {}),
      },
      values,
      own ? [...path, "view"] : path,
      null,
      context,
      id,
    );
    views.push(view);
  }
  return { users, views };
}

function defaultView(hasRooms: boolean): WindowEntry[] {
  const panes: WindowEntry["panes"] = hasRooms ? [{ feed: "*" }, "command"] : ["command"];
  return [{ name: "main", layout: "even-vertical", panes }];
}
