import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { findPlaceAnywhere, type Place } from "../src/client/place.ts";

export const CLI = resolve(import.meta.dirname, "../dist/bosun.js");

/** One thing measured several times, in the unit its label names. */
export interface Series {
  label: string;
  unit: string;
  runs: number[];
  median: number;
}

export interface Result {
  bench: string;
  question: string;
  at: string;
  machine: { cpus: number; model: string; memoryGiB: number; node: string; tmux: string };
  series: Series[];
  /** `value` = numerator's median over denominator's; `goal` in words. */
  ratios: { label: string; value: number; goal: string; holds: boolean }[];
  notes: string[];
}

export interface Bench {
  name: string;
  question: string;
  run(runs: number): Promise<Pick<Result, "series" | "ratios" | "notes">>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function series(label: string, unit: string, runs: number[]): Series {
  return {
    label,
    unit,
    runs: runs.map((value) => Number(value.toPrecision(5))),
    median: Number(median(runs).toPrecision(5)),
  };
}

export function ratio(label: string, value: number, goal: string, holds: boolean): Result["ratios"][number] {
  return { label, value: Number(value.toFixed(3)), goal, holds };
}

export async function timed(work: () => unknown): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

let count = 0;

/** A folder, a HOME, a state folder and a tmux server of this bench alone. */
export class Ground {
  readonly folder = mkdtempSync(join(tmpdir(), "bosun-bench-"));
  readonly socket = `bosun-bench-${process.pid}-${++count}`;
  readonly env: Record<string, string>;

  constructor() {
    mkdirSync(join(this.folder, "home"));
    this.env = {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: join(this.folder, "home"),
      USER: process.env.USER ?? "bench",
      TERM: "xterm-256color",
      LANG: "C.UTF-8",
      SHELL: "/bin/sh",
      BOSUN_HOME: join(this.folder, "state"),
      BOSUN_TMUX_SOCKET: this.socket,
      BOSUN_TOWN: `bench${count}`,
    };
  }

  /** Where the library finds this ground's coordinator, as the command line would. */
  get place(): Place {
    return findPlaceAnywhere({}, this.env, this.folder);
  }

  get stateFolder(): string {
    return join(this.env.BOSUN_HOME!, this.env.BOSUN_TOWN!);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  run(file: string, args: string[], env: Record<string, string> = {}): Promise<string> {
    return new Promise((done, fail) => {
      execFile(
        file,
        args,
        { cwd: this.folder, env: { ...this.env, ...env }, maxBuffer: 256 * 1_048_576 },
        (error, stdout, stderr) => {
          if (error) fail(new Error(`${file} ${args.slice(0, 6).join(" ")}: ${stderr || stdout || error.message}`));
          else done(stdout);
        },
      );
    });
  }

  bosun(...args: string[]): Promise<string> {
    return this.run(process.execPath, [CLI, ...args]);
  }

  tmux(...args: string[]): string {
    return execFileSync("tmux", ["-L", this.socket, "-f", "/dev/null", ...args], {
      encoding: "utf8",
      env: this.env,
      stdio: ["ignore", "pipe", "ignore"],
    });
  }

  async close(): Promise<void> {
    await this.bosun("stop").catch(() => {});
    try {
      this.tmux("kill-server");
    } catch {
      // No server: this ground never started one.
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

export function has(tool: string): boolean {
  try {
    execFileSync("which", [tool], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export function machine(): Result["machine"] {
  return {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? "?",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    tmux: execFileSync("tmux", ["-V"], { encoding: "utf8" }).trim(),
  };
}

/**
 * Time on a CPU so far, of all threads, from the scheduler's own count in ns: the ticks of `stat` charge a process that wakes with
 * the timer for the whole tick.
 */
export function cpuMs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e6,
    0,
  );
}

export function rssMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}
