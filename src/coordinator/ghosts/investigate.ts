import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { sanitise } from "../../protocol/text.ts";
import { statOf } from "../tmux/process-tree.ts";

/** Of a program with thousands of open files these are named. */
const MOST_FILES = 20;

/** What the kernel says of a process; null for one that has gone, or that we may not look at. */
export interface ProcessFacts {
  uid: number;
  user: string;
  command: string;
  words: string[];
  cwd: string | null;
  startedMs: number | null;
  parent: string | null;
}

export function factsOf(pid: number): ProcessFacts | null {
  const stat = statOf(pid);
  if (!stat) return null;
  try {
    const { uid } = statSync(`/proc/${pid}`);
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .filter((word) => word !== "");
    return {
      uid,
      user: userName(uid),
      command: sanitise(words.join(" ")).slice(0, 500) || `(${stat.comm})`,
      words,
      cwd: tryTo(() => readlinkSync(`/proc/${pid}/cwd`)),
      startedMs: startedMs(stat.startedTicks),
      parent: tryTo(() => `${stat.parent} ${commandOf(stat.parent)}`),
    };
  } catch {
    // It ended in between.
    return null;
  }
}

/** What the processes hold open: files, sockets, and where they listen. */
export function touchesOf(pids: readonly number[]): { files: string[]; sockets: number; listens: string[] } {
  const files = new Set<string>();
  const inodes = new Set<string>();
  for (const pid of pids) {
    for (const name of tryTo(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const path = tryTo(() => readlinkSync(`/proc/${pid}/fd/${name}`));
      const inode = /^socket:\[(\d+)\]$/.exec(path ?? "")?.[1];
      if (inode) inodes.add(inode);
      else if (path?.startsWith("/") && !/^\/(dev|proc|sys)\//.test(path)) files.add(sanitise(path));
    }
  }
  return { files: [...files].slice(0, MOST_FILES), sockets: inodes.size, listens: listening(inodes) };
}

export function commandOf(pid: number): string {
  const text = tryTo(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "";
  return sanitise(text.replaceAll("\0", " ").trim()).slice(0, 200) || (statOf(pid)?.comm ?? "");
}

/** TCP sockets in the state LISTEN (0A), from the kernel's table: address and port in hexadecimal, inode in the tenth column. */
function listening(inodes: ReadonlySet<string>): string[] {
  return ["tcp", "tcp6"].flatMap((table) =>
    (tryTo(() => readFileSync(`/proc/net/${table}`, "latin1")) ?? "").split("\n").flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== "0A" || !inodes.has(fields[9] ?? "")) return [];
      return [`${table}:${Number.parseInt(fields[1]!.split(":")[1]!, 16)}`];
    }),
  );
}

function userName(uid: number): string {
  const line = (tryTo(() => readFileSync("/etc/passwd", "utf8")) ?? "")
    .split("\n")
    .find((each) => each.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? String(uid);
}

/** /proc counts in ticks since boot, a hundred to the second on Linux. */
function startedMs(ticks: string): number | null {
  const uptimeS = Number.parseFloat(tryTo(() => readFileSync("/proc/uptime", "utf8")) ?? "");
  return Number.isNaN(uptimeS) ? null : Date.now() - uptimeS * 1_000 + Number(ticks) * 10;
}

function tryTo<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    // Gone, or somebody else's.
    return null;
  }
}
