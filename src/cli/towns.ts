import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, openConnection } from "../client/connection.ts";
import { bosunHome, socketPath, townHome, townsKept } from "../client/home.ts";
import type { Answer } from "../client/operations.gen.ts";
import { rememberedPlaceFile } from "../client/place.ts";
import { BosunError } from "../protocol/error.ts";
import type { Command, Invocation } from "./command.ts";

type Status = Answer<"town.status">;
type Session = Status["sessions"][number];

/** A coordinator that does not answer within this is told as such. */
const ANSWER_WITHIN_MS = 2_000;

/** A town of this machine as far as it could be seen without starting anything. */
export interface SeenTown {
  town: string;
  /** What its coordinator says; null when it does not run or does not answer: then tmux says what runs. */
  status: Status | null;
  connection: Connection | null;
  /** Why there is no status. */
  why: string | null;
  plan: string | null;
  /** The tmux server; null when nothing of the town runs and nobody answers. */
  tmuxSocket: string | null;
  sessions: Session[];
}

interface Servers {
  sessionsByMarks(towns: readonly { town: string; socket: string }[]): Promise<{
    byTown: Map<string, (Session & { tmux_socket: string })[]>;
    silent: string[];
  }>;
}

/** Every town of this machine. No coordinator is started, none is waited for long. */
export async function seenTowns(invocation: Invocation): Promise<SeenTown[]> {
  const home = bosunHome();
  const towns = await Promise.all(townsKept(home).map((town) => ask(home, town)));
  const mute = towns.filter((town) => town.status === null);
  if (mute.length === 0) return towns;
  const { pathToFileURL } = process.getBuiltinModule("node:url");
  const { sessionsByMarks } = (await import(pathToFileURL(join(invocation.distFolder, "servers.js")).href)) as Servers;
  const { byTown, silent } = await sessionsByMarks(
    mute.map(({ town }) => ({ town, socket: socketPath(home, town) })),
  ).catch((error: unknown) => ({ byTown: new Map<string, never[]>(), silent: [String(error)] }));
  for (const town of mute) {
    const found = byTown.get(town.town) ?? [];
    town.sessions = found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const sockets = [...new Set(found.map((session) => session.tmux_socket))];
    town.tmuxSocket = sockets.length > 0 ? sockets.join(", ") : null;
    if (silent.length > 0) town.why = `${town.why}, nor does the tmux server ${silent.join(", ")} answer`;
  }
  return towns;
}

async function ask(home: string, town: string): Promise<SeenTown> {
  const mute = { town, status: null, connection: null, plan: planOf(home, town), tmuxSocket: null, sessions: [] };
  let connection: Connection;
  try {
    connection = await openConnection(socketPath(home, town));
  } catch {
    // Nobody listens, or it is not ours to ask: either way it tells nothing.
    return { ...mute, why: "its coordinator does not run" };
  }
  try {
    const status = await within(connection.call("town.status", {}), ANSWER_WITHIN_MS);
    const { sessions, tmux } = status;
    return { ...mute, status, connection, why: null, tmuxSocket: tmux.socket, sessions };
  } catch (error) {
    connection.close();
    return { ...mute, why: `its coordinator does not answer: ${error instanceof Error ? error.message : error}` };
  }
}

function planOf(home: string, town: string): string | null {
  try {
    return (JSON.parse(readFileSync(rememberedPlaceFile(home, town), "utf8")) as { plan: string | null }).plan;
  } catch {
    // Started by hand or by a service: its coordinator knows, and does not answer.
    return null;
  }
}

function within<T>(answer: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`nothing within ${ms} ms`)), ms);
  return Promise.race([answer, late.promise]).finally(() => clearTimeout(timer));
}

/** A town as `status --all-towns --json` tells it: its own status, or what is known without its coordinator. */
export function townDocument({ town, status, why, plan, tmuxSocket, sessions }: SeenTown): object {
  if (status) return status;
  const tmux = { socket: tmuxSocket, pid: null, version: null, mode: "off" };
  return {
    town,
    from: null,
    coordinator: null,
    why,
    plan: plan && { file: plan },
    tmux,
    sessions,
    ghosts: [],
    services: [],
  };
}

/** One meaning of a name: a session of a town. */
export interface Reading {
  town: SeenTown;
  session: Session;
}

/** `gt12/mayor`, when there is a town gt12 here. */
export function townAndName(text: string): { town: string; name: string } | null {
  const at = text.indexOf("/");
  if (at <= 0 || at === text.length - 1) return null;
  const town = text.slice(0, at);
  return townsKept(bosunHome()).includes(town) ? { town, name: text.slice(at + 1) } : null;
}

/**
 * Which sessions of this machine's towns bear just this name, or that name in the town said before it: tmux names before plan ids
 * and labels.
 */
export async function readingsOf(invocation: Invocation, text: string): Promise<Reading[]> {
  const named = townAndName(text);
  const all = (await seenTowns(invocation)).flatMap((town) =>
    town.sessions.map((session): Reading => ({ town, session })),
  );
  const fitting = (namesOf: (session: Session) => unknown[]): Reading[] =>
    all.filter(({ town, session }) => {
      const names = namesOf(session);
      return names.includes(text) || (named?.town === town.town && names.includes(named.name));
    });
  const byName = fitting((session) => [session.name]);
  return byName.length > 0 ? byName : fitting((session) => [session.id, session["label"]]);
}

/**
 * The one reading, null for none; one that runs before what is only declared. Throws CONFLICT with all of them, and how to say
 * each, when there are several.
 */
export function onlyReading(all: readonly Reading[], name: string, command: string): Reading | null {
  const running = all.filter(({ session }) => !["declared", "stopped", "exited"].includes(session.state));
  const readings = running.length > 0 ? running : all;
  if (readings.length <= 1) return readings[0] ?? null;
  throw new BosunError({
    code: "CONFLICT",
    what: `"${name}" is a session of ${readings.map(({ town }) => town.town).join(" and of ")}`,
    why: readings
      .map(({ town, session }) => `${session.name} of ${town.town} on tmux -L ${town.tmuxSocket}`)
      .join("; "),
    fix: readings.map(({ town, session }) => `bosun --town ${town.town} ${command} ${session.id}`).join("\n"),
  });
}

/** That a session is unknown here, told with the town that has it: a command is about one town. */
export async function withTown(error: unknown, command: Command, invocation: Invocation): Promise<unknown> {
  const { args, flags } = invocation;
  if (!(error instanceof BosunError) || error.code !== "UNKNOWN_SESSION") return error;
  if (flags["town"] !== undefined || flags["file"] !== undefined) return error;
  const own = invocation.place().town;
  for (const [at, arg] of args.entries()) {
    const [name, ...pane] = arg.split(":") as [string, ...string[]];
    if (!error.body.what.includes(`"${name}"`)) continue;
    const readings = (await readingsOf(invocation, name)).filter(({ town }) => town.town !== own);
    if (readings.length === 0) continue;
    const said = ({ town, session }: Reading): string => {
      const words = [...(at > 0 ? ["…"] : []), [session.id, ...pane].join(":"), ...(at < args.length - 1 ? ["…"] : [])];
      return `bosun --town ${town.town} ${command.name} ${words.join(" ")}`;
    };
    return new BosunError({
      code: error.code,
      what: `${readings[0]!.session.name} is a session of the town ${readings.map(({ town }) => town.town).join(" and of ")}`,
      why: `${command.name} is about one town, and this is ${own}`,
      fix: readings.map(said).join("\n"),
    });
  }
  return error;
}

/**
 * Connects to the town that is meant here, whose own names come first: `gastown/witness` may be a session of a rig here, though
 * there is a town of that name. Null where it has nothing to say: it was never started, or another town is named and it does not
 * run; then looking must not be what starts it.
 */
export function ownTown(invocation: Invocation, text: string): Promise<Connection | null> {
  const { plan, given, home, town } = invocation.place();
  if (plan === null && !given && !existsSync(townHome(home, town))) return Promise.resolve(null);
  if (!townAndName(text)) return invocation.connect();
  return invocation.connect({ start: false }).catch((error: unknown) => {
    if (error instanceof BosunError && error.code === "UNREACHABLE") return null;
    throw error;
  });
}
