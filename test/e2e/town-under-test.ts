import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const CLI = resolve(import.meta.dirname, "../../dist/bosun.js");

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

let count = 0;

/**
 * A town of its own for one test: folder, HOME, state and tmux server, all with names nobody else uses. `close` ends what it
 * started and nothing else.
 */
export class TownUnderTest {
  readonly folder: string;
  readonly socket: string;
  readonly town: string;
  readonly env: Record<string, string>;
  readonly #children: ChildProcess[] = [];
  /** Sessions that the test itself has made. */
  readonly #strangers = new Set<string>();

  constructor(plan?: string, options: { town?: string; socket?: string; home?: string } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "bosun-e2e-"));
    const unique = `${process.pid}-${++count}`;
    this.socket = options.socket ?? `bosun-test-${unique}`;
    this.town = options.town ?? `t${process.pid}x${count}`;
    mkdirSync(join(this.folder, "home"));
    this.env = {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: join(this.folder, "home"),
      USER: process.env.USER ?? "tester",
      TERM: "xterm-256color",
      LANG: "C.UTF-8",
      BOSUN_HOME: options.home ?? join(this.folder, "state"),
      BOSUN_TMUX_SOCKET: this.socket,
      ...(options.town === "" ? {} : { BOSUN_TOWN: this.town }),
    };
    if (plan !== undefined) this.plan(plan);
  }

  get planFile(): string {
    return join(this.folder, "floorplan.yaml");
  }

  get stateFolder(): string {
    return join(this.env.BOSUN_HOME!, this.town);
  }

  plan(text: string): void {
    writeFileSync(this.planFile, text);
  }

  /** Runs the command line to its end; never throws for an exit code. */
  run(
    args: string[],
    options: { env?: Record<string, string | undefined>; input?: string; cwd?: string; timeoutMs?: number } = {},
  ): Promise<Ran> {
    return new Promise((done) => {
      const env = Object.fromEntries(
        Object.entries({ ...this.env, ...options.env }).filter(([, value]) => value !== undefined),
      );
      const child = execFile(
        process.execPath,
        [CLI, ...args],
        {
          cwd: options.cwd ?? this.folder,
          env: env as Record<string, string>,
          timeout: options.timeoutMs ?? 60_000,
          maxBuffer: 64 * 1_048_576,
        },
        (error, stdout, stderr) => {
          const code = error ? (typeof error.code === "number" ? error.code : 1) : 0;
          done({ code, stdout, stderr });
        },
      );
      if (options.input !== undefined) child.stdin!.end(options.input);
      else child.stdin!.end();
    });
  }

  /** As `run`, but a failure of the command is a failure of the test. */
  async ok(...args: string[]): Promise<string> {
    const ran = await this.run(args);
    if (ran.code !== 0) throw new Error(`bosun ${args.join(" ")} gave ${ran.code}\n${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the answer itself
  async json<T = any>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args, "--json")) as T;
  }

  /** Starts the command line and leaves it running; ended at `close`. */
  start(args: string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: this.folder,
      env: { ...this.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#children.push(child);
    return child;
  }

  tmux(...args: string[]): string {
    if (args.includes("new-session")) this.#strangers.add(args[args.indexOf("-s") + 1]!);
    return execFileSync("tmux", ["-L", this.socket, "-u", ...args], {
      encoding: "utf8",
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** A line for each pane, without the copies in the coordinator's own session, through which it hears them. */
  panes(format: string): string {
    return this.tmux("list-panes", "-a", "-f", "#{?#{m:_bosun*,#{session_name}},,1}", "-F", format);
  }

  /** Session names tmux has, without the coordinator's own control session. */
  sessions(): string[] {
    return this.tmux("list-sessions", "-F", "#{session_name}")
      .split("\n")
      .filter((name) => name !== "" && !name.startsWith("_bosun"))
      .sort();
  }

  capture(target: string): string {
    return this.tmux("capture-pane", "-p", "-t", target);
  }

  coordinatorPid(): number | null {
    try {
      const log = readFileSync(join(this.stateFolder, "coordinator.log"), "utf8");
      const pids = [...log.matchAll(/"pid":(\d+)/g)].map((match) => Number(match[1]));
      const pid = pids.at(-1);
      return pid !== undefined && existsSync(`/proc/${pid}`) ? pid : null;
    } catch {
      return null;
    }
  }

  /** A control client whose coordinator a test killed keeps a server of tmux 3.3a from ending; see the driver. */
  #endControlClients(): void {
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        if (words[0] === "tmux" && words.includes(this.socket) && words.includes("-C"))
          process.kill(Number(name), "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    const pid = this.coordinatorPid();
    await this.run(["stop"]).catch(() => {});
    if (pid !== null && existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
    const nameless = this.#withoutTown();
    try {
      this.tmux("kill-server");
    } catch {
      // No server any more: nothing of ours is left.
    }
    this.#endControlClients();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    if (nameless.length > 0) throw new Error(`made by us, and without the town in their names: ${nameless.join(", ")}`);
  }

  /** Sessions that carry our mark under a name that only one town of a machine could have: whatever was tested, none is left. */
  #withoutTown(): string[] {
    try {
      return this.tmux("list-sessions", "-f", "#{@town}", "-F", "#{session_name}")
        .split("\n")
        .filter((name) => /^(?:hq-(?:mayor|deacon|boot)|gt-boot)$/.test(name) && !this.#strangers.has(name));
    } catch {
      // No server any more.
      return [];
    }
  }
}

/** Waits until `look` gives something other than null, undefined or false; fails with what was seen last. */
export async function until<T>(look: () => T | Promise<T>, what: string, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const untilMs = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < untilMs) {
    try {
      const seen = await look();
      if (seen !== null && seen !== undefined && seen !== false) return seen as NonNullable<T>;
      last = seen;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  throw new Error(`waited ${timeoutMs} ms in vain for: ${what}; last: ${String(last)}`);
}

export const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));
