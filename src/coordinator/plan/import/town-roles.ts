import { holdsPlaceholder, quoted } from "./draft.ts";
import { at, entriesAt, isTable, type Table, type TownFile, type TownFolder } from "./town-folder.ts";

/** Roles of a Gas Town that a floor plan has sessions for. */
export type TownRole = "mayor" | "deacon" | "boot" | "witness" | "refinery" | "crew" | "polecat";

/** What a town's own role files say of a role, the rig's over the town's. What they do not say is Gas Town's default. */
export interface RoleSettings {
  pattern?: string;
  workDir?: string;
  startCommand?: string;
  env: Record<string, string>;
  envPass: string[];
  silence?: string;
}

/** Where Gas Town looks for role files, and where a copy of its own sources has them. */
const ROLE_FOLDERS = ["roles", "config/roles"];

/** What Gas Town itself sets; the import writes these as they are for each session. */
const IDENTITY = new Set(["GT_ROLE", "GT_RIG", "GT_CREW", "GT_POLECAT", "GT_ROOT", "GT_SCOPE", "BD_ACTOR"]);

/** A variable that by its name should not be copied into a plan which is kept in a repository. */
const SECRET = /(?:TOKEN|SECRET|PASSWORD|API_?KEY|ACCESS_?KEY|CREDENTIALS?)(?:_|$)/i;

const WHY_DROPPED: Record<string, string> = {
  nudge: "nothing is typed when a session starts; write to it with `bosun nudge`, or give its command the prompt",
  prompt_template: "prompts are the agent's own: its CLAUDE.md, AGENTS.md, or an argument of its command",
  "session.needs_pre_sync": "nothing is fetched before a start; put it into the command",
  "health.ping_timeout": "no agent is asked whether it lives; `health: { exec: … }` asks a command",
  "health.consecutive_failures": "no agent is asked whether it lives; `health: { exec: { misses: … } }` counts",
  "health.kill_cooldown": "nothing that lives is killed; the pauses between starts are `restart: { backoff: … }`",
};

/** Role files that exist, and what stands in them that the plan does not have, each told once. */
export class TownRoles {
  readonly #folder: TownFolder;
  readonly #read = new Map<string, RoleSettings | null>();

  constructor(folder: TownFolder) {
    this.#folder = folder;
    for (const base of ROLE_FOLDERS) this.#noteUnknown(base);
  }

  #noteUnknown(base: string): void {
    for (const role of ["dog", "overseer", "headless", "librarian"])
      if (this.#folder.isThere(`${base}/${role}.toml`))
        this.#folder.note(
          `${base}/${role}.toml`,
          null,
          role,
          "the plan has no such role; give it a session of its own",
        );
  }

  /** `rig`: the rig's folder; null for the roles of the town. */
  settingsOf(role: TownRole, rig: string | null): RoleSettings {
    const bases = [...ROLE_FOLDERS, ...(rig === null ? [] : ROLE_FOLDERS.map((base) => `${rig}/${base}`))];
    const merged: RoleSettings = { env: {}, envPass: [] };
    for (const base of bases) {
      const own = this.#fileOf(`${base}/${role}.toml`, role);
      if (!own) continue;
      const { env, envPass } = merged;
      Object.assign(merged, own, { env: { ...env, ...own.env }, envPass: [...new Set([...envPass, ...own.envPass])] });
    }
    return merged;
  }

  #fileOf(file: string, role: TownRole): RoleSettings | null {
    const known = this.#read.get(file);
    if (known !== undefined) return known;
    const found = this.#folder.toml(file);
    const settings = found && this.#settingsIn(found, role);
    this.#read.set(file, settings);
    return settings;
  }

  #settingsIn(from: TownFile, role: TownRole): RoleSettings {
    const text = (path: string): string | undefined => this.#folder.textIn(from, path.split("."));
    const note = (path: string[], why: string): void =>
      this.#folder.note(from.file, from.lineOf(path), path.join("."), why);
    const said = text("role");
    if (said !== undefined && said !== role)
      note(["role"], `the file is ${role}.toml, and ${said} stands in it; it is read as ${role}`);
    const settings: RoleSettings = { env: {}, envPass: [] };
    const pattern = text("session.pattern");
    if (pattern !== undefined) settings.pattern = pattern;
    const workDir = text("session.work_dir");
    if (workDir !== undefined) settings.workDir = workDir;
    const startCommand = text("session.start_command");
    if (startCommand !== undefined) settings.startCommand = startCommand;
    const { env, envPass } = environmentIn(this.#folder, from, ["env"]);
    settings.env = env;
    settings.envPass = envPass;
    const stuck = text("health.stuck_threshold");
    const silence = stuck === undefined ? undefined : durationOf(stuck);
    if (silence) settings.silence = silence;
    if (stuck !== undefined && !silence) note(["health", "stuck_threshold"], "it is no duration");
    const taken = ["role", "scope", "session.pattern", "session.work_dir", "session.start_command"];
    for (const path of pathsIn(from.value)) {
      const key = path.join(".");
      if (taken.includes(key) || path[0] === "env" || key === "health.stuck_threshold") continue;
      note(path, WHY_DROPPED[key] ?? "the floor plan has nothing like it");
    }
    return settings;
  }
}

/** Two levels: tables of a role file hold plain values. */
function pathsIn(value: Table): string[][] {
  return Object.entries(value).flatMap(([key, inner]) =>
    isTable(inner) ? Object.keys(inner).map((second) => [key, second]) : [[key]],
  );
}

/**
 * Variables of a map in a file. What Gas Town sets itself is left to the session; what looks like a secret is taken from
 * whoever runs `bosun up` instead of being copied.
 */
export function environmentIn(
  folder: TownFolder,
  from: TownFile,
  path: readonly string[],
): { env: Record<string, string>; envPass: string[] } {
  const env = new Map<string, string>();
  const envPass: string[] = [];
  for (const [name, value] of entriesAt(from.value, path)) {
    const here = [...path, name];
    const note = (why: string): void => folder.note(from.file, from.lineOf(here), here.join("."), why);
    const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    if (IDENTITY.has(name)) continue;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) note("this is not a name of a variable");
    else if (!isPlain) note("its value is not a text");
    else if (SECRET.test(name)) {
      note("it looks like a secret and is not copied; `env_pass` takes it from whoever runs `bosun up`");
      envPass.push(name);
    } else if (holdsPlaceholder(String(value)) || /\{[a-z_]+\}/.test(String(value)))
      note("its value refers to something else; write the value itself");
    else env.set(name, String(value));
  }
  return { env: Object.fromEntries(env), envPass };
}

const UNIT_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `1h30m` as the floor plan writes it (`90m`); null for what is no duration, or none at all. */
export function durationOf(text: string): string | null {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return null;
  const ms = Math.round(
    [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)].reduce(
      (sum, [, count, unit]) => sum + Number(count) * UNIT_MS[unit!]!,
      0,
    ),
  );
  if (ms <= 0 || !Number.isSafeInteger(ms)) return null;
  const unit = ["h", "m", "s"].find((each) => ms % UNIT_MS[each]! === 0) ?? "ms";
  return `${ms / UNIT_MS[unit]!}${unit}`;
}

/** The programs Gas Town knows by name, and the words it starts them with. */
const PRESETS: ReadonlyMap<string, { command: string; args: string[] }> = new Map([
  ["claude", { command: "claude", args: ["--dangerously-skip-permissions"] }],
  ["gemini", { command: "gemini", args: ["--approval-mode", "yolo"] }],
  ["codex", { command: "codex", args: ["--dangerously-bypass-approvals-and-sandbox"] }],
  ["cursor", { command: "cursor-agent", args: ["-f"] }],
  ["auggie", { command: "auggie", args: ["--allow-indexing"] }],
  ["amp", { command: "amp", args: ["--dangerously-allow-all", "--no-ide"] }],
  ["opencode", { command: "opencode", args: [] }],
]);
const DEFAULT_AGENT = "claude";

export interface AgentCommand {
  run: string;
  env: Record<string, string>;
  envPass: string[];
}

/** Which program runs in a session where no role file says it: the settings of the rig, then of the town. */
export class TownAgents {
  readonly #folder: TownFolder;
  readonly #town: TownFile | null;
  readonly #shared: TownFile | null;
  readonly #unknown = new Set<string>();

  constructor(folder: TownFolder) {
    this.#folder = folder;
    this.#town = folder.json("settings/config.json");
    this.#shared = folder.json("settings/agents.json");
  }

  commandOf(role: TownRole, name: string, rig: TownFile | null): AgentCommand {
    const runtime = rig && isTable(at(rig.value, ["runtime"])) ? this.#command(rig, ["runtime"], null) : null;
    const chosen =
      this.#choice(rig, role === "crew" ? ["worker_agents", name] : null) ??
      this.#choice(rig, ["role_agents", role]) ??
      this.#choice(rig, ["agent"]);
    if (chosen === null && runtime) return runtime;
    const agent =
      chosen ??
      this.#choice(this.#town, role === "crew" ? ["crew_agents", name] : null) ??
      this.#choice(this.#town, ["role_agents", role]) ??
      this.#choice(this.#town, ["default_agent"]);
    return this.#byName(agent?.name ?? DEFAULT_AGENT, agent, rig);
  }

  #choice(from: TownFile | null, path: readonly string[] | null): Choice | null {
    const name = from && path && this.#folder.textIn(from, path);
    return name ? { name, from, path: path! } : null;
  }

  #byName(name: string, choice: Choice | null, rig: TownFile | null): AgentCommand {
    for (const from of [rig, this.#town, this.#shared]) {
      const path = ["agents", name];
      if (from && isTable(at(from.value, path))) return this.#command(from, path, name);
    }
    const preset = PRESETS.get(name);
    if (preset) return { run: [preset.command, ...preset.args].join(" "), env: {}, envPass: [] };
    if (choice && !this.#unknown.has(name)) {
      this.#unknown.add(name);
      this.#folder.note(
        choice.from!.file,
        choice.from!.lineOf(choice.path),
        choice.path.join("."),
        `there is no agent ${name} in the settings; it is run as a command of that name`,
      );
    }
    return { run: wordOf(name), env: {}, envPass: [] };
  }

  /** A custom agent; what it leaves out is that of the program it is named after, or of claude. */
  #command(from: TownFile, path: readonly string[], name: string | null): AgentCommand {
    const command = this.#folder.textIn(from, [...path, "command"]);
    const provider = this.#folder.textIn(from, [...path, "provider"]);
    const base = PRESETS.get(provider ?? name ?? "") ?? PRESETS.get(command ?? "") ?? PRESETS.get(DEFAULT_AGENT)!;
    const given = at(from.value, [...path, "args"]);
    const args = Array.isArray(given)
      ? given.map(String)
      : command === undefined || command === base.command
        ? base.args
        : [];
    const { env, envPass } = environmentIn(this.#folder, from, [...path, "env"]);
    return { run: [command ?? base.command, ...args.map(wordOf)].join(" "), env, envPass };
  }
}

interface Choice {
  name: string;
  from: TownFile | null;
  path: readonly string[];
}

function wordOf(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : quoted(word);
}
