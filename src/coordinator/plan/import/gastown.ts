import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BosunError } from "../../../protocol/error.ts";
import {
  asProcess,
  type DraftRig,
  type DraftSession,
  holdsPlaceholder,
  type Imported,
  quoted,
  writePlan,
} from "./draft.ts";
import { at, entriesAt, isTable, type TownFile, TownFolder } from "./town-folder.ts";
import { expandWords, formerNames, nameNear, sessionNameOf, type Who } from "./town-names.ts";
import { TownAgents, type TownRole, TownRoles } from "./town-roles.ts";

/** What a floor plan may have, in bytes; see the reader. */
const MAX_PLAN_BYTES = 262_144;

/** The registry of rigs; the second is the copy Gas Town keeps in case git takes the first away. */
const RIG_FILES = ["mayor/rigs.json", "rigs.json"];
const MARKS = ["mayor/town.json", ...RIG_FILES];

/** Gas Town's own, for a rig that registered none. */
const DEFAULT_PREFIX = "gt";

const WORK_DIRS: Record<TownRole, string> = {
  mayor: "{town}/mayor",
  deacon: "{town}/deacon",
  boot: "{town}/deacon/dogs/boot",
  witness: "{town}/{rig}/witness",
  refinery: "{town}/{rig}/refinery/rig",
  crew: "{town}/{rig}/crew/{name}",
  polecat: "{town}/{rig}/polecats/{name}",
};

const ABOUT: Record<TownRole, (rig: string) => string> = {
  mayor: () => "Hands out work and answers people",
  deacon: () => "Patrols the town",
  boot: () => "Watches the deacon",
  witness: (rig) => `Watches the polecats of ${rig}`,
  refinery: (rig) => `Merges what is finished in ${rig}`,
  crew: (rig) => `A long-lived member of the crew of ${rig}`,
  polecat: (rig) => `Does one task at a time in ${rig}`,
};

/** What Gas Town's daemon brings back is always started again; people's crew and finished polecats never are. */
const RESTART: Record<TownRole, DraftSession["restart"]> = {
  mayor: "on-failure",
  deacon: "always",
  boot: "always",
  witness: "always",
  refinery: "always",
  crew: "never",
  polecat: "never",
};

const WORKERS = { crew: "crew", polecat: "polecats" };

export interface Surroundings {
  env: Record<string, string | undefined>;
  uid: number;
  /** Paths of sockets that somebody listens on; null where that cannot be told. */
  listening: ReadonlySet<string> | null;
}

/**
 * A Gas Town root as a floor plan. Its rigs, crew and polecats are the folders and files it has; sessions that run under its
 * names stand as `was`, so that `bosun up` takes them over. Nothing is written, started or asked.
 *
 * Throws NOT_FOUND for a folder that is not there; PLAN_INVALID, with the place, for one that is no Gas Town root and for files
 * that cannot be read; TOO_LARGE.
 */
export function importGastown(given: string, around: Surroundings): Imported {
  const root = rootAt(given);
  const folder = new TownFolder(root);
  const town = new TownImport(folder, root);
  const { name, sessions, rigs } = town.draft();
  const imported = writePlan(
    {
      kind: "gastown",
      file: root,
      socket: socketOf(root, around),
      ...(name === basename(root) ? {} : { town: name }),
      names: "gastown",
      defaults: { env: { GT_ROOT: root } },
      sessions,
      rigs,
    },
    folder.dropped,
  );
  const bytes = Buffer.byteLength(imported.yaml);
  if (bytes > MAX_PLAN_BYTES)
    throw new BosunError({
      code: "TOO_LARGE",
      what: `the floor plan of ${root} would have ${Math.ceil(bytes / 1024)} KiB`,
      why: `${MAX_PLAN_BYTES / 1024} KiB are read`,
      fix: "take folders of crew and polecats that are gone out of the rigs, and import again",
    });
  return { ...imported, next: nextSteps(root) };
}

function rootAt(given: string): string {
  const wanted = resolve(given);
  const found = statSync(wanted, { throwIfNoEntry: false });
  if (!found?.isDirectory())
    throw new BosunError({
      code: "NOT_FOUND",
      what: `there is no folder ${wanted}`,
      ...(found ? { why: "it is a file" } : {}),
      fix: "name the root of the town: bosun import gastown ~/gt",
    });
  const root = realpathSync(wanted);
  if (!MARKS.some((file) => existsSync(join(root, file)))) {
    let above = dirname(root);
    while (above !== dirname(above) && !MARKS.some((file) => existsSync(join(above, file)))) above = dirname(above);
    throw new BosunError({
      code: "PLAN_INVALID",
      what: `${root} is not the root of a Gas Town`,
      why: `it has none of ${MARKS.join(", ")}`,
      fix: `bosun import gastown ${above === dirname(above) ? "~/gt" : shellWord(above)}`,
    });
  }
  if (holdsPlaceholder(root) || /\p{C}/u.test(root))
    throw new BosunError({
      code: "PLAN_INVALID",
      what: `the folder ${JSON.stringify(root)} cannot stand in a floor plan`,
      why: "it holds control characters, or words in <> that a plan fills in",
      fix: "give the folder a plain name",
    });
  return root;
}

/** The tmux server the town uses, where it can be told: one named by the environment, or one of its own that runs. */
function socketOf(root: string, around: Surroundings): string | null {
  const { env, uid } = around;
  const given = env.GT_TMUX_SOCKET;
  if (given === "default") return null;
  if (given && !["default", "auto"].includes(given) && /^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(given)) return given;
  const plain =
    basename(root)
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, "-")
      .replace(/^-+|-+$/g, "") || "default";
  const own = `${plain}-${createHash("sha256").update(root).digest("hex").slice(0, 6)}`;
  const folder = join(env.TMUX_TMPDIR || "/tmp", `tmux-${uid}`);
  // Sockets of servers that have ended stay behind.
  const runs = (path: string): boolean => existsSync(path) && (around.listening?.has(path) ?? true);
  return [own, plain].find((name) => name !== "default" && runs(join(folder, name))) ?? null;
}

function nextSteps(root: string): { run: string; why: string }[] {
  const daemon = daemonOf(root);
  return [
    ...(daemon === null
      ? []
      : [
          {
            run: "gt daemon stop",
            why: `the town's own daemon (pid ${daemon}) would start again what it does not find under the old names; sessions go on`,
          },
        ]),
    { run: "bosun up --dry-run", why: "says what is taken over as it runs, and what is started" },
    { run: "bosun up", why: "does it; nothing that runs is ended" },
  ];
}

/** The process id of the town's daemon while it lives. */
function daemonOf(root: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(join(root, "daemon", "daemon.pid"), "utf8"), 10);
    return pid > 1 && existsSync(`/proc/${pid}`) ? pid : null;
  } catch {
    // No daemon has run here.
    return null;
  }
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./~-]+$/.test(text) ? text : quoted(text);
}

/** A rig by the town's own words, and by the plan's. */
interface Rig {
  /** As the town calls it, which is also its folder. */
  own: string;
  id: string;
  prefix: string;
  settings: TownFile | null;
  draft: DraftRig;
}

class TownImport {
  readonly #folder: TownFolder;
  readonly #root: string;
  readonly #roles: TownRoles;
  readonly #agents: TownAgents;
  /** As the town calls itself, and as its sessions are named. */
  #ownName = "";
  #name = "";
  /** By its place in the plan, for the names it had. */
  readonly #made: { id: string; name: string; draft: DraftSession }[] = [];

  constructor(folder: TownFolder, root: string) {
    this.#folder = folder;
    this.#root = root;
    this.#roles = new TownRoles(folder);
    this.#agents = new TownAgents(folder);
  }

  draft(): { name: string; sessions: Record<string, DraftSession>; rigs: Record<string, DraftRig> } {
    this.#nameTown();
    const sessions: Record<string, DraftSession> = {};
    for (const role of ["mayor", "deacon", "boot"] as const)
      sessions[role] = this.#session(this.#who(role, null), role, null);
    const rigs: Record<string, DraftRig> = {};
    for (const rig of this.#rigs()) rigs[rig.id] = rig.draft;
    this.#separateOldNames();
    this.#noteTheRest();
    return { name: this.#name, sessions, rigs };
  }

  #nameTown(): void {
    const file = this.#folder.json("mayor/town.json");
    const given = file && this.#folder.textIn(file, ["name"]);
    this.#ownName = given ?? basename(this.#root);
    const found = nameNear(this.#ownName, new Set(), (town) =>
      (["mayor", "deacon", "boot"] as const).map((role) => ({ role, town, rig: null, name: "" })),
    );
    this.#name = found?.name ?? "town";
    if (this.#name === this.#ownName) return;
    this.#folder.note(
      given ? file!.file : ".",
      given ? file!.lineOf(["name"]) : null,
      this.#ownName,
      `this cannot be a town's name (${found?.why ?? "nothing of it can"}); the town is called ${this.#name}`,
    );
  }

  *#rigs(): Generator<Rig> {
    const file = RIG_FILES.map((each) => this.#folder.json(each)).find((each) => each !== null) ?? null;
    if (file && !isTable(at(file.value, ["rigs"])))
      throw new BosunError({
        code: "PLAN_INVALID",
        what: `${join(this.#root, file.file)} is not a registry of rigs`,
        why: "it has no map `rigs`",
        fix: 'write { "rigs": {} } into it, or put back the file Gas Town wrote',
        at: { file: join(this.#root, file.file), line: file.lineOf(["rigs"]), column: 1 },
      });
    const taken = new Set<string>();
    const registered = entriesAt(file?.value, ["rigs"]);
    const canStay = ([own]: [string, unknown]): boolean => nameNear(own, new Set(), this.#rigSessions)?.why === null;
    for (const [own, entry] of [...registered.filter(canStay), ...registered.filter((each) => !canStay(each))]) {
      const rig = this.#rig(own, entry, file!, taken);
      if (rig === null) continue;
      taken.add(rig.id);
      this.#fill(rig);
      yield rig;
    }
    const known = new Set(registered.map(([own]) => own));
    for (const name of this.#folder.foldersIn("."))
      if (!known.has(name) && at(this.#jsonIfAny(`${name}/config.json`)?.value, ["type"]) === "rig")
        this.#folder.note(name, null, name, "it looks like a rig, and the town does not register it");
  }

  /** A file of something that may be no rig at all: what cannot be read there is nobody's mistake. */
  #jsonIfAny(file: string): TownFile | null {
    try {
      return this.#folder.json(file);
    } catch {
      // Another project's config.json may be anything.
      return null;
    }
  }

  readonly #rigSessions = (rig: string): Who[] =>
    (["witness", "refinery"] as const).map((role) => ({ role, town: this.#name, rig, name: "" }));

  #rig(own: string, entry: unknown, file: TownFile, taken: ReadonlySet<string>): Rig | null {
    const path = ["rigs", own];
    const note = (why: string): null => {
      this.#folder.note(file.file, file.lineOf(path), path.join("."), why);
      return null;
    };
    if (own === "" || own === "." || own === ".." || own.includes("/") || holdsPlaceholder(own) || /\p{C}/u.test(own))
      return note("a rig is a folder in the root, and this names none");
    if (!isTable(entry)) return note("it is no map");
    if (!this.#folder.isFolder(own)) return note("its folder is not there");
    const found = nameNear(own, taken, this.#rigSessions);
    if (found === null) return note("no session can be called after it; give it another name");
    if (found.why !== null) note(`this cannot be a rig's name (${found.why}); the rig is called ${found.name}`);
    const url = this.#folder.textIn(file, [...path, "git_url"]);
    const config = this.#folder.json(`${own}/config.json`);
    const prefix = (
      this.#folder.textIn(file, [...path, "beads", "prefix"]) ??
      (config && this.#folder.textIn(config, ["beads", "prefix"]))
    )?.replace(/-+$/, "");
    return {
      own,
      id: found.name,
      prefix: prefix || DEFAULT_PREFIX,
      settings: this.#folder.json(`${own}/settings/config.json`),
      draft: {
        ...(url === undefined ? {} : { about: `Code of ${withoutCredentials(url)}` }),
        path: join(this.#root, own),
        ...(prefix ? { prefix } : {}),
        sessions: {},
      },
    };
  }

  #fill(rig: Rig): void {
    const { sessions } = rig.draft;
    for (const role of ["witness", "refinery"] as const)
      sessions[role] = this.#session(this.#who(role, rig), role, rig);
    const started = this.#startedCrew(rig);
    for (const role of ["crew", "polecat"] as const) {
      const whoWith = (name: string): Who[] => [this.#who(role, rig, name)];
      const folders = this.#folder.foldersIn(`${rig.own}/${WORKERS[role]}`);
      const [good = [], bad = []] = [true, false].map((wanted) =>
        folders.filter((own) => (nameNear(own, new Set(), whoWith)?.why === null) === wanted),
      );
      const taken = new Set<string>();
      // Those whose name can stay keep it; the others find one beside them.
      for (const own of [...good, ...bad]) this.#worker(role, rig, own, taken, role === "crew" && started(own));
    }
  }

  #who(role: TownRole, rig: Rig | null, name = ""): Who {
    return { role, town: this.#name, rig: rig?.id ?? null, name };
  }

  #worker(role: "crew" | "polecat", rig: Rig, own: string, taken: Set<string>, started: boolean): void {
    const place = `${rig.own}/${WORKERS[role]}/${own}`;
    const { sessions } = rig.draft;
    const note = (why: string): void => this.#folder.note(place, null, own, why);
    if (holdsPlaceholder(own) || /\p{C}/u.test(own)) {
      note("the folder cannot stand in a plan: give it a plain name");
      return;
    }
    const found = nameNear(own, taken, (name) => [this.#who(role, rig, name)]);
    // Crew and polecats have names of their own: a polecat gives way where both want one key.
    const key =
      found && [found.name, `${role}-${found.name}`.slice(0, 64)].find((each) => !Object.hasOwn(sessions, each));
    if (!found || !key) {
      note(`no session of ${rig.id} can be called after it`);
      return;
    }
    if (found.why !== null) note(`this cannot be its name (${found.why}); it is called ${found.name}`);
    taken.add(found.name);
    sessions[key] = this.#session(this.#who(role, rig, found.name), key, rig, own, !started);
  }

  /** `own`: as the town calls it, where that is not its role. `manual`: it starts by name only. */
  #session(who: Who, key: string, rig: Rig | null, own: string = who.role, manual = false): DraftSession {
    const { role } = who;
    const settings = this.#roles.settingsOf(role, rig?.own ?? null);
    const words = { town: this.#ownName, rig: rig?.own ?? "", name: own, prefix: rig?.prefix ?? "hq", role };
    const cwd = this.#folderOf(
      expandWords(settings.workDir ?? WORK_DIRS[role], { ...words, root: this.#root }),
      role,
      rig,
      own,
      settings.workDir !== undefined,
    );
    const agent = this.#agents.commandOf(role, own, rig?.settings ?? null);
    const ownCommand = settings.startCommand && expandWords(settings.startCommand, { ...words, root: this.#root });
    const isBoot = role === "boot" && ownCommand === undefined;
    const envPass = [...new Set([...(ownCommand ? [] : agent.envPass), ...settings.envPass])];
    const session: DraftSession = {
      role,
      ...(who.name === "" || key === who.name ? {} : { name: who.name }),
      about: ABOUT[role](rig?.id ?? ""),
      ...(role === "crew" ? { protect: true } : {}),
      ...(manual ? { start: "manual" } : {}),
      ...(role === "boot" ? { after: ["deacon"] } : {}),
      restart: RESTART[role],
      // Gas Town's boot looks at the deacon once and ends, again and again; its place here is taken by one that stays.
      run: isBoot ? "bosun watch deacon" : asProcess(ownCommand ?? agent.run),
      ...(cwd === null ? {} : { cwd }),
      env: { ...(ownCommand ? {} : agent.env), ...settings.env, ...identityOf(role, rig?.own ?? "", own) },
      ...(envPass.length > 0 ? { env_pass: envPass } : {}),
      ...(settings.silence === undefined ? {} : { health: { silence: settings.silence } }),
      was: formerNames(who, { ...words, pattern: settings.pattern }),
    };
    this.#made.push({ id: rig === null ? key : `${rig.id}/${key}`, name: sessionNameOf(who), draft: session });
    return session;
  }

  /** Null: where its rig is. The folder that is written must be there: tmux would start it in the home folder otherwise. */
  #folderOf(wanted: string, role: TownRole, rig: Rig | null, own: string, said: boolean): string | null {
    const base = rig === null ? this.#root : join(this.#root, rig.own);
    // A polecat's folder may hold its copy of the rig beside notes of its own.
    const inner = role === "polecat" && rig !== null ? join(wanted, rig.own) : null;
    let path = resolve(this.#root, wanted);
    if (inner !== null && isFolder(inner)) path = inner;
    const isWritable = !holdsPlaceholder(path) && !/[{}\p{C}]/u.test(path);
    if (said && (!isWritable || !isFolder(path)))
      this.#folder.note(
        rig?.own ?? ".",
        null,
        `${role} ${own}`,
        `its work_dir ${path} is not there; it starts in ${base}`,
      );
    while (path.startsWith(`${base}/`) && !isFolder(path)) path = dirname(path);
    if (!isWritable || !isFolder(path)) path = base;
    return path === base && rig !== null ? null : path;
  }

  /** Gas Town starts the crew that a sentence names; plain ones are understood, others are left to a person. */
  #startedCrew(rig: Rig): (name: string) => boolean {
    const said = rig.settings ? this.#folder.textIn(rig.settings, ["crew", "startup"]) : undefined;
    const text = said?.trim().toLowerCase() ?? "";
    if (text === "" || text === "none") return () => false;
    if (text === "all") return () => true;
    const words = text.split(/[\s,]+/).filter((word) => word !== "and" && word !== "");
    const crew = this.#folder.foldersIn(`${rig.own}/crew`).map((name) => name.toLowerCase());
    if (words.every((word) => crew.includes(word))) return (name) => words.includes(name.toLowerCase());
    const { file } = rig.settings!;
    this.#folder.note(
      file,
      rig.settings!.lineOf(["crew", "startup"]),
      "crew.startup",
      "it is a sentence for a model; take `start: manual` away from the crew that should start with `bosun up`",
    );
    return () => false;
  }

  /** An old name that two sessions may have had tells nothing: it is taken from both, and a person decides. */
  #separateOldNames(): void {
    const claims = new Map<string, Set<string>>();
    const claim = (name: string, id: string): void => void claims.set(name, (claims.get(name) ?? new Set()).add(id));
    for (const { id, name, draft } of this.#made) for (const each of [name, ...draft.was!]) claim(each, id);
    const names = new Map(this.#made.map(({ id, name }) => [name, id]));
    for (const { id, draft } of this.#made)
      draft.was = draft.was!.filter((name) => claims.get(name)!.size === 1 || names.get(name) === id);
    for (const [name, ids] of claims)
      if (ids.size > 1)
        this.#folder.note(
          ".",
          null,
          name,
          `a session of this name may be ${[...ids].slice(0, 3).join(" or ")}; put \`was: ${name}\` into the right one`,
        );
  }

  #noteTheRest(): void {
    const folder = this.#folder;
    const dogs = folder.foldersIn("deacon/dogs").filter((name) => name !== "boot");
    if (dogs.length > 0)
      folder.note(
        "deacon/dogs",
        null,
        dogs.slice(0, 5).join(", "),
        "dogs have no place in `names: gastown`; give them sessions of their own",
      );
    for (const file of ["mayor/daemon.json", "mayor/config.json"])
      if (folder.isThere(file))
        folder.note(file, null, file, "bosun keeps sessions itself: `restart`, `health`, and `schedule` in the plan");
    if (folder.isThere(".beads"))
      folder.note(
        ".beads",
        null,
        "mail and nudges",
        "Gas Town mail and nudges cannot be imported or bridged; agents use `bosun send` and `bosun inbox`",
      );
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** What tells Gas Town's own programs in a session who they are. */
function identityOf(role: TownRole, rig: string, name: string): Record<string, string> {
  switch (role) {
    case "mayor":
    case "deacon":
      return { GT_ROLE: role, BD_ACTOR: role, GIT_AUTHOR_NAME: role };
    case "boot":
      return { GT_ROLE: "deacon/boot", BD_ACTOR: "deacon-boot", GIT_AUTHOR_NAME: "boot" };
    case "witness":
    case "refinery": {
      const path = `${rig}/${role}`;
      return { GT_ROLE: path, GT_RIG: rig, BD_ACTOR: path, GIT_AUTHOR_NAME: path };
    }
    case "crew": {
      const path = `${rig}/crew/${name}`;
      return { GT_ROLE: path, GT_RIG: rig, GT_CREW: name, BD_ACTOR: path, GIT_AUTHOR_NAME: name };
    }
    case "polecat": {
      const path = `${rig}/polecats/${name}`;
      return { GT_ROLE: path, GT_RIG: rig, GT_POLECAT: name, BD_ACTOR: path, GIT_AUTHOR_NAME: name };
    }
  }
}

/** `https://user:secret@host/x` without what stands before the host. */
function withoutCredentials(url: string): string {
  return url.replace(/(\/\/)[^/@\s]*@/, "$1").replace(/[<>\p{C}]/gu, "");
}
