import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { forkTmux } from "./fork.ts";

/** Where the kernel does not list the living, each socket is tried so long. */
const ANSWER_WITHIN_MS = 200;

/** A server that does not list its sessions within this is hung, and is told as such. */
const LIST_WITHIN_MS = 1_500;

/** Servers asked at a time. */
const AT_ONCE = 16;

/** A session with a town's mark, on any tmux server of this user. */
export interface MarkedSession {
  /** NAME of `tmux -L NAME`; for a server in another folder than ours, the path for `tmux -S`. */
  socket: string;
  /** tmux flags that select the server. */
  flags: string[];
  serverPid: number;
  tmuxId: string;
  name: string;
  town: string;
  /** Plan id; empty where somebody marked it by hand. */
  id: string;
  /** Whose it is among towns of one name, as `coordinatorMark` says it; null when nothing tells. */
  coordinator: string | null;
  createdAtS: number;
  attached: number;
  panes: { id: string; pid: number; dead: boolean }[];
}

export interface Marked {
  sessions: MarkedSession[];
  /** Servers that run and do not answer: what is on them is not known. */
  silent: string[];
}

/** Towns of one name in two homes have coordinators that listen in two places: that tells their sessions apart. */
export function coordinatorMark(socketPath: string): string {
  return createHash("sha256").update(socketPath).digest("hex").slice(0, 16);
}

/**
 * Sessions with a town's mark on all tmux servers of this user but `own`. Only asks; nothing is started, and a server that is
 * hung costs a second and a half.
 */
export async function markedSessions(environment: NodeJS.ProcessEnv, own: string | null = null): Promise<Marked> {
  const servers = (await living(environment)).filter(({ socket }) => socket !== own);
  const env = Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[0] !== "TMUX",
    ),
  );
  const found: Marked = { sessions: [], silent: [] };
  const worker = async (): Promise<void> => {
    for (let next = servers.shift(); next; next = servers.shift()) {
      const { socket, flags } = next;
      try {
        const argv = ["-u", ...flags, "list-panes", "-a", "-f", "#{!=:#{@town},}", "-F", FORMAT];
        found.sessions.push(...sessionsOf(await forkTmux(argv, env, undefined, LIST_WITHIN_MS), socket, flags));
      } catch {
        // Killed for its silence, or it let nobody in: either way unknown, which is not the same as empty.
        found.silent.push(socket);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return found;
}

/** What of `marked` is of this town; what nothing tells apart from another town of its name counts, since it may be. */
export function sessionsOfTown(marked: Marked, town: string, mark: string): MarkedSession[] {
  return marked.sessions.filter(
    (each) => each.town === town && (each.coordinator === null || each.coordinator === mark),
  );
}

/** A user option only if it is made of harmless characters: anybody can set one, also with a line feed in it. */
const option = (name: string): string => `#{?#{m/r:^[A-Za-z0-9_./-]+$,#{${name}}},#{${name}},}`;

const FORMAT = [
  "#{pid}",
  "#{session_id}",
  option("@town"),
  option("@id"),
  option("@coordinator"),
  "#{session_created}",
  "#{session_attached}",
  "#{pane_id}",
  "#{pane_pid}",
  "#{pane_dead}",
  "#{session_name}",
].join("\t");

const LINE = /^(\d+)\t(\$\d+)\t([^\t]+)\t([^\t]*)\t([^\t]*)\t(\d+)\t(\d+)\t(%\d+)\t(\d+)\t([01])\t([^\t]*)$/;

function sessionsOf(text: string | null, socket: string, flags: string[]): MarkedSession[] {
  const sessions = new Map<string, MarkedSession>();
  for (const line of (text ?? "").split("\n")) {
    const found = LINE.exec(line);
    if (!found) continue;
    const [, server, tmuxId, town, id, coordinator, created, attached, pane, pid, dead, name] =
      found as unknown as string[];
    const session = sessions.get(tmuxId!) ?? {
      ...{ socket, flags, serverPid: Number(server), tmuxId: tmuxId!, name: name!, town: town!, id: id! },
      ...{ coordinator: coordinator || coordinatorOf(Number(pid)), createdAtS: Number(created) },
      ...{ attached: Number(attached), panes: [] },
    };
    session.panes.push({ id: pane!, pid: Number(pid), dead: dead === "1" });
    sessions.set(tmuxId!, session);
  }
  return [...sessions.values()];
}

/** Of a session that an older version marked: what its process was given. */
function coordinatorOf(pid: number): string | null {
  try {
    const path = /\0BOSUN_SOCKET=([^\0]*)\0/.exec(`\0${readFileSync(`/proc/${pid}/environ`, "utf8")}`)?.[1];
    return path ? coordinatorMark(path) : null;
  } catch {
    // It has ended, or there is no /proc.
    return null;
  }
}

/** Servers that listen. `TMUX_TMPDIR` moves the folder of the sockets; others may have been started without it. */
async function living(environment: NodeJS.ProcessEnv): Promise<{ socket: string; flags: string[] }[]> {
  const ownFolder = folderOf(environment.TMUX_TMPDIR || "/tmp");
  const listening = listeningPaths();
  const found: { socket: string; flags: string[] }[] = [];
  for (const folder of new Set([ownFolder, folderOf("/tmp")])) {
    // Sockets of servers that have ended stay behind, in hundreds: where the kernel lists the living, the folder is not read.
    const there = listening
      ? [...listening].filter((path) => dirname(path) === folder)
      : await answering(socketsIn(folder));
    for (const path of there) {
      const name = path.slice(folder.length + 1);
      found.push(folder === ownFolder ? { socket: name, flags: ["-L", name] } : { socket: path, flags: ["-S", path] });
    }
  }
  return found;
}

function socketsIn(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    // No server of this user ever ran there.
    return [];
  }
}

/** As tmux binds it: without symbolic links. */
function folderOf(base: string): string {
  const folder = `tmux-${process.getuid!()}`;
  try {
    return join(realpathSync(base), folder);
  } catch {
    return join(base, folder);
  }
}

/** Paths of Unix sockets that somebody listens on, as Linux lists them; null elsewhere. */
export function listeningPaths(): Set<string> | null {
  try {
    const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
    return new Set(lines.flatMap((line) => /^\S+ \S+ \S+ 00010000 \S+ \S+ +\d+ (\/.*)$/.exec(line)?.slice(1, 2) ?? []));
  } catch {
    // Not Linux.
    return null;
  }
}

async function answering(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(async (path) => ((await answers(path)) ? [path] : [])));
  return found.flat();
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(ANSWER_WITHIN_MS, () => end(false));
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}
