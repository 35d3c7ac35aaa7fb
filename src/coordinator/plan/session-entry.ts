import { createHash } from "node:crypto";
import { constants } from "node:os";
import { BosunError } from "../../protocol/error.ts";
import { formatName, identityOf, roleOfOldName } from "../../protocol/names.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { PaneFace, Plan, PlanAgent, PlanPane, PlanSession, PlanWindow } from "../../protocol/plan.ts";
import { chapterOf } from "./chapter-entry.ts";
import { parseDuration } from "./durations.ts";
import { unfilled, type Values } from "./fill.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import { pathFrom } from "./paths.ts";
import { whyBadPattern } from "./pattern.ts";
import type { FloorPlan, PaneEntry, SessionEntry, WindowEntry } from "./schema.ts";
import { checkCron, jobOf } from "./watch-entries.ts";

export interface SessionContext {
  town: string;
  names: Plan["names"];
  /** Whether the plan chose a scheme; without one a view is called after its town. */
  named: boolean;
  file: string;
  folder: string;
  env: Record<string, string | undefined>;
  defaults: NonNullable<FloorPlan["defaults"]>;
  mistakes: Mistakes;
}

/** A session with the places in the file it came from. */
export interface Placed {
  session: PlanSession;
  path: Path;
  /** By window and pane. */
  panePaths: Path[][];
}

interface Rig {
  id: string;
  path: string | null;
}

const DEFAULT_SHELL = "/bin/sh";
const DEFAULT_BACKLOG = 200;
const MAX_PANES = 64;

/** One entry, placeholders filled, with defaults applied and its names formatted. `user` is set for a view. */
export function expandSession(
  key: string,
  entry: Omit<SessionEntry, "each">,
  values: Values,
  path: Path,
  rig: Rig | null,
  context: SessionContext,
  user: string | null = null,
): Placed {
  const { mistakes, defaults } = context;
  const id = rig ? `${rig.id}/${key}` : key;
  checkShape(key, entry, path, mistakes);
  const restart = restartOf(entry, defaults);
  const persistent = entry.lifecycle === "persistent" || entry.lifecycle === "permanent";
  if (persistent && restart.policy === "never") {
    mistakes.add([...path, "lifecycle"], {
      what: `${id} is ${entry.lifecycle} and nothing restarts it`,
      why: "what must always run needs a restart policy",
      fix: "restart: always",
    });
  }
  const pattern = entry.health?.pattern;
  const wrong = pattern === undefined ? null : whyBadPattern(typeof pattern === "string" ? pattern : pattern.regex);
  if (wrong) mistakes.add([...path, "health", "pattern"], wrong);
  checkVariables(entry.env, [...path, "env"], mistakes);
  checkVariables(entry.env_pass, [...path, "env_pass"], mistakes);
  const role = entry.role ?? (rig && Object.hasOwn(context.names.templates, "polecat") ? "polecat" : null);
  // A conversation is somebody: it has mail, and may use tools in its own name.
  const agent = entry.agent ?? (entry.chat && { id: id.replaceAll("/", "-"), type: "chat" });
  const windows = windowsOf({ ...entry, ...(agent && { agent }) }, path, rig, context, user !== null, id);
  const shell = entry.shell ?? defaults.shell ?? DEFAULT_SHELL;
  const session: PlanSession = {
    id,
    name: nameOf(key, { name: entry.name, role: user ? "view" : role }, values, path, rig, context, user),
    was: [entry.was ?? []].flat(),
    kind: entry.chat ? "chat" : user ? "view" : "agents",
    about: entry.about ?? entry.purpose ?? "",
    role,
    rig: rig?.id ?? null,
    member: user ?? entry.name ?? (rig && (role === "crew" || role === "polecat") ? key : null),
    room: entry.room ?? null,
    headless: entry.headless ?? false,
    protect: entry.protect ?? defaults.protect ?? false,
    access: entry.access ?? defaults.access ?? null,
    start:
      entry.start ??
      (entry.schedule !== undefined
        ? "schedule"
        : entry.lifecycle === "manual" || entry.lifecycle === "on-demand"
          ? "manual"
          : "boot"),
    schedule: scheduleOf(entry, path, mistakes),
    restart,
    idleMs: idleOf(entry.idle, [...path, "idle"], mistakes),
    health: entry.health ?? null,
    chapter: user
      ? null
      : chapterOf(id, entry.chapter, defaults.chapter, restart.policy === "always", {
          path,
          folder: context.folder,
          env: context.env,
          mistakes,
        }),
    chat: entry.chat ?? null,
    after: [...new Set([entry.after ?? [], entry.needs ?? [], dependsOn(entry)].flat())],
    needs: [...new Set([entry.needs ?? [], dependsOn(entry)].flat())],
    ...keptOf(restart.spec, [...path, "restart"], mistakes),
    host: entry.host ?? null,
    worktree: entry.worktree ?? false,
    shell,
    windows: windows.map((window) => window.plan),
    shape: createHash("sha256")
      .update(JSON.stringify([shell, windows.map((window) => window.shape)]))
      .digest("hex")
      .slice(0, 16),
    instance: entry.instance ?? null,
    documented: documentedOf(entry),
    at: placeOf(path, context),
  };
  return { session, path, panePaths: windows.map((window) => window.panePaths) };
}

function documentedOf(entry: Omit<SessionEntry, "each">): PlanSession["documented"] {
  const { meaning, lifecycle, created, registry, feeds, naming_exception } = entry;
  const all = { meaning, lifecycle, created, registry, feeds, naming_exception };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function scheduleOf(entry: Omit<SessionEntry, "each">, path: Path, mistakes: Mistakes): string | null {
  const { schedule = null, start } = entry;
  if (schedule === null) return null;
  checkCron(schedule, undefined, [...path, "schedule"], mistakes);
  if (start !== undefined && start !== "schedule")
    mistakes.add([...path, "start"], {
      what: `start: ${start} and a schedule`,
      why: "what starts by the clock does not start otherwise",
      fix: "start: schedule",
    });
  return schedule;
}

function idleOf(text: string | undefined, path: Path, mistakes: Mistakes): number | null {
  if (text === undefined) return null;
  const ms = parseDuration(text);
  if (ms === null || ms === 0)
    mistakes.add(path, {
      what: `idle: ${show(text)} is no duration`,
      why: "a number and ms, s, m, h, d or w",
      fix: "idle: 1h",
    });
  return ms;
}

/** Ten seconds is what docker compose gives; agents save their state in it. */
const STOP_GRACE_MS = 10_000;
const START_TIMEOUT_MS = 60_000;

interface WrittenKeeping {
  stop?: { signal?: string; timeout?: string; then?: string; scope?: "tree" | "process" };
  start_timeout?: string;
  group_strategy?: "one" | "all" | "rest";
}

/** `TERM` and `SIGTERM` are the same. */
function signalOf(text: string | undefined, path: Path, mistakes: Mistakes): string | null {
  if (text === undefined) return null;
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  if (!Object.hasOwn(constants.signals, name))
    mistakes.add(path, {
      what: `${show(text)} is no signal`,
      why: "TERM, INT, HUP, QUIT, USR1, USR2, KILL …",
      fix: "signal: TERM",
    });
  return name;
}

function keptOf(
  spec: Record<string, unknown>,
  path: Path,
  mistakes: Mistakes,
): Pick<PlanSession, "groupStrategy" | "stop" | "startTimeoutMs"> {
  const { stop = {}, start_timeout, group_strategy } = spec as WrittenKeeping;
  const ms = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : (parseDuration(text) ?? otherwise);
  return {
    groupStrategy: group_strategy ?? "one",
    stop: {
      signal: signalOf(stop.signal, [...path, "stop", "signal"], mistakes),
      graceMs: ms(stop.timeout, STOP_GRACE_MS),
      last: signalOf(stop.then, [...path, "stop", "then"], mistakes) ?? "SIGKILL",
      scope: stop.scope ?? "tree",
    },
    startTimeoutMs: ms(start_timeout, START_TIMEOUT_MS),
  };
}

function dependsOn(entry: Omit<SessionEntry, "each">): string[] {
  return typeof entry.restart === "object" ? (entry.restart.depends_on ?? []) : [];
}

function placeOf(path: Path, context: SessionContext): PlanSession["at"] {
  const { file, line, column } = context.mistakes.placeOf(path, "key");
  return file === context.file ? { line, column } : { file, line, column };
}

function checkShape(key: string, entry: Omit<SessionEntry, "each">, path: Path, mistakes: Mistakes): void {
  const ways = (["run", "windows", "chat"] as const).filter((way) => entry[way] !== undefined);
  if (ways.length > 1)
    mistakes.add(
      [...path, ways[1]!],
      {
        what: `${key} has ${ways.join(" and ")}`,
        why: "a session is one command, or windows, or a chat",
        fix: `keep one of ${ways.join(", ")}`,
      },
      "key",
    );
  if (entry.agent && entry.windows)
    mistakes.add(
      [...path, "agent"],
      {
        what: `${key} has an agent beside windows`,
        why: "with windows, an agent stands in its pane",
        fix: "panes: [ { agent: { id: … }, run: … } ]",
      },
      "key",
    );
  if (entry.about !== undefined && entry.purpose !== undefined)
    mistakes.add(
      [...path, "purpose"],
      { what: `${key} has about and purpose`, why: "they mean the same", fix: "keep about" },
      "key",
    );
  for (const text of unfilled(key))
    mistakes.add(
      path,
      {
        what: `nothing fills ${text} in the key`,
        why: "placeholders are filled from each:, <town> and <rig>",
        fix: `each: { ${text.replace(/[<>]|\|.*/g, "")}: [A, B] }`,
      },
      "key",
    );
}

function restartOf(entry: Omit<SessionEntry, "each">, defaults: SessionContext["defaults"]): PlanSession["restart"] {
  const given = entry.restart ?? defaults.restart ?? "never";
  if (typeof given === "string") return { policy: given, spec: {} };
  const { policy, ...spec } = given;
  return { policy, spec };
}

/** With a role, the scheme's template; a view is called by the scheme's `view`; otherwise the key is the name. */
function nameOf(
  key: string,
  entry: { name: string | undefined; role: string | null },
  values: Values,
  path: Path,
  rig: { id: string } | null,
  context: SessionContext,
  user: string | null,
): string {
  const { names, town, mistakes } = context;
  if (user && !(context.named && Object.hasOwn(names.templates, "view"))) return `${town}-${user}`;
  const roles = Object.keys(names.templates);
  const { role } = entry;
  if (role === null) {
    const name = rig ? `${rig.id}-${key}` : key;
    const old = roleOfOldName(names, name);
    if (old !== null)
      mistakes.add(
        path,
        {
          what: `${show(name)} is the old name of the ${old}`,
          why: "it does not say of which town, so two towns on one machine would fight for it",
          fix: `${old}: { role: ${old} }   is called ${names.templates[old]?.replace("<town>", town)}`,
        },
        "key",
      );
    return name;
  }
  if (!Object.hasOwn(names.templates, role)) {
    mistakes.add([...path, "role"], {
      what: `${show(role)} is not a role of the ${names.preset} scheme`,
      why: `its roles are ${roles.join(", ")}`,
      fix: roleFix(role, roles, names.preset),
    });
    return key;
  }
  if (!rig && names.templates[role]!.includes("<rig>")) {
    mistakes.add([...path, "role"], {
      what: `${show(key)} has the role ${role} and stands in no rig`,
      why: `its name is made as ${names.templates[role]}`,
      fix: `rigs: { RIG: { sessions: { ${key}: { role: ${role} } } } }`,
    });
    return key;
  }
  const name = user ?? entry.name ?? (rig ? key : (Object.values(values).at(-1) ?? key));
  try {
    return formatName(names, identityOf(names, role, { town, rig: rig?.id ?? "", name }));
  } catch (error) {
    const body = error instanceof BosunError ? error.body : { what: String(error) };
    mistakes.add(
      path,
      {
        what: body.what,
        ...("why" in body && body.why ? { why: body.why } : {}),
        ...("fix" in body && body.fix ? { fix: body.fix } : {}),
      },
      "key",
    );
    return key;
  }
}

function roleFix(role: string, roles: string[], preset: string): string {
  const near = nearest(role, roles);
  return near
    ? `did you mean ${near}`
    : `choose one of them, or add a template: names: { preset: ${preset}, ${show(role).slice(1, -1)}: TEMPLATE }`;
}

interface Shaped<T> {
  plan: T;
  /** What of it makes a running session differ. */
  shape: unknown;
}

interface ShapedWindow extends Shaped<PlanWindow> {
  panePaths: Path[];
}

function windowsOf(
  entry: Omit<SessionEntry, "each">,
  path: Path,
  rig: Rig | null,
  context: SessionContext,
  isView: boolean,
  id: string,
): ShapedWindow[] {
  const windows: WindowEntry[] = entry.windows ?? [
    {
      name: "main",
      panes: [
        { ...(entry.run === undefined ? {} : { run: entry.run }), ...(entry.agent ? { agent: entry.agent } : {}) },
      ],
    },
  ];
  const panes = windows.reduce((sum, window) => sum + (window.panes?.length ?? 1), 0);
  if (panes > MAX_PANES)
    context.mistakes.add([...path, "windows"], {
      what: `${panes} panes in one session`,
      why: `${MAX_PANES} is the most a screen can be divided into usefully`,
      fix: "make several sessions of it",
    });
  const seen = new Set<string>();
  return windows.map((window, index) => {
    // A view is itself the list of its windows.
    const here = isView ? [...path, index] : entry.windows ? [...path, "windows", index] : path;
    checkWindow(window, here, context.mistakes);
    if (seen.has(window.name))
      context.mistakes.add([...here, "name"], {
        what: `two windows are called ${show(window.name)}`,
        why: "status and share name them",
        fix: "give one another name",
      });
    seen.add(window.name);
    return windowOf(window, here, entry, rig, context, id);
  });
}

const LAYOUTS = ["even-horizontal", "even-vertical", "main-horizontal", "main-vertical", "tiled"];
/** As `tmux list-windows` prints it: a checksum, then sizes and places. */
const LAYOUT_STRING = /^[0-9a-f]{4},\d+x\d+,[0-9x,{}[\]]+$/;

function checkWindow(window: WindowEntry, path: Path, mistakes: Mistakes): void {
  const { name, layout } = window;
  if (!/^[^\p{C}:]{1,64}$/u.test(name))
    mistakes.add([...path, "name"], {
      what: `${show(name)} cannot be a window's name`,
      why: "1 to 64 characters, without a colon (session:window)",
      fix: "name: main",
    });
  if (layout === undefined || LAYOUTS.includes(layout) || LAYOUT_STRING.test(layout)) return;
  const near = nearest(layout, LAYOUTS);
  mistakes.add([...path, "layout"], {
    what: `${show(layout)} is not a layout`,
    why: `the layouts are ${LAYOUTS.join(", ")}, or a layout string of tmux list-windows`,
    fix: near ? `did you mean ${near}` : "layout: tiled",
  });
}

function windowOf(
  window: WindowEntry,
  path: Path,
  entry: Omit<SessionEntry, "each">,
  rig: Rig | null,
  context: SessionContext,
  id: string,
): ShapedWindow {
  const ways = (["panes", "run", "job"] as const).filter((way) => window[way] !== undefined);
  if (ways.length > 1)
    context.mistakes.add(
      [...path, ways[1]!],
      {
        what: `window ${window.name} has ${ways.join(" and ")}`,
        why: "a window is panes, or one command, or a job",
        fix: `keep one of ${ways.join(", ")}`,
      },
      "key",
    );
  const panes: PaneEntry[] = window.panes ?? [window.run === undefined ? {} : { run: window.run }];
  const panePaths = panes.map((_, index): Path => (entry.windows && window.panes ? [...path, "panes", index] : path));
  const shaped = panes.map((pane, index) => paneOf(pane, panePaths[index]!, window, entry, rig, context));
  const cwd = entry.cwd === undefined ? {} : { cwd: pathFrom(context.folder, entry.cwd, context.env) };
  const job = window.job ? jobOf(`${id}/${window.name}`, window.job, [...path, "job"], { ...context, ...cwd }) : null;
  // The coordinator does the work; the window shows it.
  if (job) shaped[0]!.plan.face = { kind: "job", job: job.id };
  return {
    panePaths,
    plan: {
      name: window.name,
      layout: window.layout ?? null,
      panes: shaped.map((pane) => pane.plan),
      job,
    },
    shape: [window.name, shaped.map((pane) => pane.shape), ...(job ? [job.id] : [])],
  };
}

function paneOf(
  pane: PaneEntry,
  path: Path,
  window: WindowEntry,
  entry: Omit<SessionEntry, "each">,
  rig: Rig | null,
  context: SessionContext,
): Shaped<PlanPane> {
  const given = pane === "command" ? { command: true as const } : typeof pane === "string" ? { run: pane } : pane;
  const ways = (["run", "feed", "command", "link", "review"] as const).filter((way) => given[way] !== undefined);
  if (ways.length > 1)
    context.mistakes.add(path, {
      what: `a pane has ${ways.join(" and ")}`,
      why: "a pane is one thing",
      fix: `keep one of ${ways.join(", ")}`,
    });
  const chat: PaneFace | null = entry.chat && !entry.windows ? { kind: "chat", chat: entry.chat } : null;
  const face = chat ?? faceOf(given, path, context.mistakes);
  const agent = face && !chat ? null : agentOf(given.agent, path, context.mistakes);
  const folder = given.cwd ?? entry.cwd ?? context.defaults.cwd;
  const cwd = folder === undefined ? (rig?.path ?? context.folder) : pathFrom(context.folder, folder, context.env);
  const declared = Object.fromEntries(
    Object.entries({ ...context.defaults.env, ...entry.env, ...given.env }).map(([key, value]) => [key, String(value)]),
  );
  const passed = [...new Set([...(context.defaults.env_pass ?? []), ...(entry.env_pass ?? [])])];
  checkVariables(given.env, [...path, "env"], context.mistakes);
  const taken = Object.fromEntries(
    passed.flatMap((key) => (context.env[key] === undefined ? [] : [[key, context.env[key]]])),
  );
  return {
    plan: {
      title: given.title ?? agent?.id ?? titleOf(face) ?? window.name,
      run: given.run ?? null,
      cwd,
      env: { ...taken, ...declared },
      agent,
      face,
    },
    shape: [given.run ?? null, cwd, declared, passed, agent?.id ?? null, face],
  };
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function checkVariables(names: string[] | object | undefined, path: Path, mistakes: Mistakes): void {
  const isList = Array.isArray(names);
  (isList ? names : Object.keys(names ?? {})).forEach((name, index) => {
    if (VARIABLE.test(name)) return;
    mistakes.add(
      [...path, isList ? index : name],
      {
        what: `${show(name)} cannot name an environment variable`,
        why: "letters, digits and _, not starting with a digit",
        fix: "env: { KEY: value }",
      },
      "key",
    );
  });
}

type PaneMap = Exclude<PaneEntry, string>;

function faceOf(pane: PaneMap, path: Path, mistakes: Mistakes): PaneFace | null {
  if (pane.feed !== undefined) {
    const filter =
      pane.agent === undefined
        ? []
        : typeof pane.agent === "object" && !Array.isArray(pane.agent)
          ? null
          : [pane.agent].flat();
    if (filter === null)
      mistakes.add([...path, "agent"], {
        what: "agent: of a feed is a map",
        why: "there it is a filter: whose lines to show",
        fix: "agent: butterfly-spx",
      });
    return {
      kind: "feed",
      rooms: [pane.feed].flat(),
      agent: filter ?? [],
      tag: [pane.tag ?? []].flat(),
      level: pane.level ?? null,
      last: pane.last ?? DEFAULT_BACKLOG,
    };
  }
  for (const key of ["tag", "level", "last"] as const) {
    if (pane[key] !== undefined)
      mistakes.add(
        [...path, key],
        { what: `${key}: stands in a pane without feed:`, why: "it chooses lines of a feed", fix: "feed: ROOM" },
        "key",
      );
  }
  if (pane.command) return { kind: "command" };
  if (pane.link !== undefined) return { kind: "link", target: pane.link };
  if (pane.review !== undefined) return { kind: "review", room: pane.review };
  return null;
}

function agentOf(agent: PaneMap["agent"], path: Path, mistakes: Mistakes): PlanAgent | null {
  if (agent === undefined) return null;
  if (typeof agent === "string" || Array.isArray(agent)) {
    mistakes.add([...path, "agent"], {
      what: `agent: ${show(agent)} is not a map`,
      why: "a pane that runs something has one agent, with an id",
      fix: `agent: { id: ${[agent].flat()[0] ?? "deacon-spx"}, type: narrator }`,
    });
    return null;
  }
  return planAgent(agent);
}

function planAgent(agent: NonNullable<SessionEntry["agent"]>): PlanAgent {
  return {
    id: agent.id,
    type: agent.type ?? "agent",
    profile: agent.profile ?? null,
    capabilities: agent.capabilities ?? [],
    user: agent.user ?? null,
    ask: agent.ask ?? "auto",
    ...(agent.mcp === false ? { mcp: false } : {}),
  };
}

function titleOf(face: PaneFace | null): string | null {
  switch (face?.kind) {
    case "feed":
      return `${face.rooms.includes("*") ? "all" : face.rooms.join("+")}-feed`;
    case "command":
    case "review":
      return face.kind;
    case "link":
      return face.target;
    default:
      return null;
  }
}
