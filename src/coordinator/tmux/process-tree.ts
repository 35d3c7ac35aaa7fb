import { readdirSync, readFileSync } from "node:fs";

/** A process by number and start time: a number alone may belong to another one a moment later. */
export interface ProcessRef {
  pid: number;
  /** Clock ticks since boot. */
  startedTicks: string;
}

interface Stat {
  pid: number;
  state: string;
  parent: number;
  startedTicks: string;
  comm: string;
}

/** Null when there is no such process. */
export function statOf(pid: number): Stat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // ENOENT and ESRCH: it has gone.
    return null;
  }
  // The name stands in brackets and may hold brackets and spaces itself.
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  return {
    pid,
    state: fields[0]!,
    parent: Number(fields[1]),
    startedTicks: fields[19]!,
    comm: text.slice(text.indexOf("(") + 1, end),
  };
}

export function lives(process: ProcessRef): boolean {
  const stat = statOf(process.pid);
  return stat !== null && stat.startedTicks === process.startedTicks && stat.state !== "Z";
}

/**
 * The given processes and all that descend from them, and whatever carries all of `markers` in its environment: a child that called
 * setsid, or whose parent died, is found by that.
 */
export function treeOf(roots: readonly number[], markers: readonly string[]): (ProcessRef & { comm: string })[] {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (statOf(Number(name)) ?? []) : []));
  const children = Map.groupBy(all, (stat) => stat.parent);
  const found = new Map<number, Stat>();
  // A tmux server that somebody started in one of the sessions holds sessions of its own: they are none of ours.
  const spared = new Set<number>();
  const spare = (stat: Stat): void => {
    if (spared.has(stat.pid)) return;
    spared.add(stat.pid);
    for (const child of children.get(stat.pid) ?? []) spare(child);
  };
  if (markers.length > 0)
    for (const stat of all) if (stat.comm.startsWith("tmux: server") && carries(stat.pid, markers)) spare(stat);
  const add = (stat: Stat): void => {
    if (found.has(stat.pid) || spared.has(stat.pid) || stat.pid === process.pid) return;
    found.set(stat.pid, stat);
    for (const child of children.get(stat.pid) ?? []) add(child);
  };
  const wanted = new Set(roots);
  for (const stat of all) if (wanted.has(stat.pid) || (markers.length > 0 && carries(stat.pid, markers))) add(stat);
  return [...found.values()].filter((stat) => stat.state !== "Z");
}

/** The process and those that descend from it, it first; by what the kernel says of each alone, without a look at all others. */
export function descendantsOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ");
    return [pid, ...children.flatMap((child) => (/^\d+$/.test(child) ? descendantsOf(Number(child)) : []))];
  } catch {
    // It has gone.
    return [];
  }
}

function carries(pid: number, markers: readonly string[]): boolean {
  try {
    const environment = `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`;
    return markers.every((marker) => environment.includes(`\0${marker}\0`));
  } catch {
    // EACCES: another user's process, so not ours. ENOENT: it has gone.
    return false;
  }
}

/** Processes of this user whose command line has all of these words. */
export function processesOf(words: readonly string[]): ProcessRef[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const given = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      return words.every((word) => given.includes(word)) ? (statOf(Number(name)) ?? []) : [];
    } catch {
      // It has ended, or is another user's.
      return [];
    }
  });
}

/** False when it was gone already. */
export function signal(process_: ProcessRef, name: NodeJS.Signals): boolean {
  if (!lives(process_)) return false;
  try {
    process.kill(process_.pid, name);
    return true;
  } catch {
    // ESRCH: it ended between the look and the signal.
    return false;
  }
}
