import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { BosunError } from "../protocol/error.ts";
import { discoverTown, peekTown, type TownSource } from "../protocol/town.ts";
import { bosunHome, socketPath, townHome } from "./home.ts";

export const PLAN_FILE = "floorplan.yaml";

/** Everything that says which coordinator is meant. */
export interface Place {
  town: string;
  /** Where the town's name came from. */
  from: TownSource;
  /** Absolute folder of the town. */
  root: string;
  /** Absolute path of the floor plan, or null when there is none yet. */
  plan: string | null;
  home: string;
  socket: string;
  /** `BOSUN_SOCKET` decided: a session of ours, whose coordinator is somebody else's to start. */
  given: boolean;
  /** Whose credential to show: `BOSUN_TOKEN_FILE`, or null to speak as the person who owns the socket. */
  tokenFile: string | null;
  /** Name for `tmux -L`, over the plan. */
  tmuxSocket: string | null;
}

export interface PlaceFlags {
  file?: string | undefined;
  town?: string | undefined;
}

interface Environment extends Record<string, string | undefined> {}

/** What a coordinator's start leaves beside its socket, so that `--town NAME` works from any folder. */
interface RememberedPlace {
  root: string;
  plan: string | null;
}

export function rememberedPlaceFile(home: string, town: string): string {
  return join(townHome(home, town), "place.json");
}

/** Nearest folder from `start` upwards that holds a floor plan, or null. */
export function nearestPlan(start: string): string | null {
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    const file = join(folder, PLAN_FILE);
    if (existsSync(file)) return file;
    if (folder === dirname(folder)) return null;
  }
}

function recall(home: string, town: string): RememberedPlace | null {
  try {
    return JSON.parse(readFileSync(rememberedPlaceFile(home, town), "utf8")) as RememberedPlace;
  } catch {
    // Never started from here, or written by a version that knows better: both mean "not remembered".
    return null;
  }
}

function planHere(flags: PlaceFlags, env: Environment, cwd: string): string | null {
  if (flags.file) {
    const file = resolve(cwd, flags.file);
    if (existsSync(file)) return file;
    throw new BosunError({
      code: "NOT_FOUND",
      what: `there is no floor plan ${flags.file}`,
      fix: "bosun init",
    });
  }
  const near = nearestPlan(cwd);
  if (near) return near;
  const ofRoot = env.GT_ROOT ? join(resolve(env.GT_ROOT), PLAN_FILE) : null;
  return ofRoot && existsSync(ofRoot) ? ofRoot : null;
}

/**
 * Which town is meant, where it lives and where its coordinator listens: flags, then environment, then the nearest floor
 * plan upwards. A town named by flag or environment that has been started before is found again from any folder. Throws
 * NOT_FOUND when nothing names one.
 */
export function findPlace(flags: PlaceFlags, env: Environment = process.env, cwd: string = process.cwd()): Place {
  const home = bosunHome(env);
  const tmuxSocket = env.BOSUN_TMUX_SOCKET || null;
  const explicit = flags.town !== undefined || flags.file !== undefined;
  // A credential belongs to the socket it was given with, not to another town's.
  const tokenFile = env.BOSUN_SOCKET && explicit ? null : env.BOSUN_TOKEN_FILE || null;
  if (env.BOSUN_SOCKET && !explicit) {
    const town = env.BOSUN_TOWN || "";
    const remembered = town ? recall(home, town) : null;
    return {
      town,
      from: "environment",
      root: remembered?.root ?? resolve(cwd),
      plan: remembered?.plan ?? null,
      home,
      socket: env.BOSUN_SOCKET,
      given: true,
      tokenFile,
      tmuxSocket,
    };
  }
  const plan = planHere(flags, env, cwd);
  const planTown = plan ? peekTown(readFileSync(plan, "utf8")) : null;
  const root = plan ? dirname(plan) : env.GT_ROOT ? resolve(env.GT_ROOT) : resolve(cwd);
  // A folder's name alone says nothing: another town may be called like the folder somebody happens to stand in.
  const named = flags.town || env.BOSUN_TOWN || env.GT_TOWN_NAME || env.GT_ROOT;
  if (plan === null && !named) throw noTown(cwd);
  const { town, from } = discoverTown({ flag: flags.town ?? null, env, planTown, root });
  const socket = socketPath(home, town, env);
  const place: Place = { town, from, root, plan, home, socket, given: false, tokenFile, tmuxSocket };
  if (flags.file !== undefined || (plan !== null && planTown === town)) return place;
  const remembered = from === "flag" || from === "environment" || plan === null ? recall(home, town) : null;
  // A town that had no plan so far has this one, which names no other.
  if (remembered?.plan === null && plan !== null && planTown === null) return place;
  return remembered ? { ...place, ...remembered } : place;
}

/** The town of whoever stands in none. */
const DEFAULT_TOWN = "default";

/** As `findPlace`; but agents who only want to find and write to each other need no floor plan: theirs is the town `default`. */
export function findPlaceAnywhere(
  flags: PlaceFlags,
  env: Environment = process.env,
  cwd: string = process.cwd(),
): Place {
  try {
    return findPlace(flags, env, cwd);
  } catch (error) {
    if (flags.file !== undefined || !(error instanceof BosunError && error.code === "NOT_FOUND")) throw error;
    return findPlace({ town: DEFAULT_TOWN }, env, env.HOME || homedir());
  }
}

function noTown(cwd: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: "no town is meant here",
    why: `there is no ${PLAN_FILE} in ${cwd} or above, and neither --town nor BOSUN_TOWN names one`,
    fix: "bosun init",
  });
}
