import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { forkTmux } from "./fork.ts";

/** Sockets of servers that have ended stay behind, in hundreds; a dead one says so within this. */
const ANSWER_WITHIN_MS = 200;

/** More servers than this are not asked. */
const MOST = 40;

/** A session on another server than ours, by the town it is marked for. */
export interface ElsewhereSession {
  socket: string;
  name: string;
  town: string;
}

/** Sessions with a town's mark on other servers of this user (`tmux -L NAME`). Only asks; nothing is started. */
export async function sessionsElsewhere(own: string, environment: NodeJS.ProcessEnv): Promise<ElsewhereSession[]> {
  const folder = join(environment.TMUX_TMPDIR || "/tmp", `tmux-${process.getuid!()}`);
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name !== own);
  } catch {
    // No server of this user ever ran.
    return [];
  }
  const alive: string[] = [];
  for (const name of names) {
    if (alive.length >= MOST) break;
    if (await answers(join(folder, name))) alive.push(name);
  }
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && name !== "TMUX") env[name] = value;
  const listed = await Promise.all(
    alive.map(async (socket) => {
      const text = await forkTmux(["-u", "-L", socket, "list-sessions", "-F", "#{@town}\t#{session_name}"], env).catch(
        () => null,
      );
      return (text ?? "").split("\n").flatMap((line): ElsewhereSession[] => {
        const [town = "", name = ""] = line.split("\t");
        return town === "" ? [] : [{ socket, name, town }];
      });
    }),
  );
  return listed.flat();
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
