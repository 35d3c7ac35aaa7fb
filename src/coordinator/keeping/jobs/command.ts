import { spawn } from "node:child_process";
import type { PlanJob } from "../../../protocol/plan.ts";
import { sanitise } from "../../../protocol/text.ts";
import type { Bench, Work } from "./work.ts";

/** Between TERM and KILL for one that takes too long. */
const GRACE_MS = 5_000;

/** The last line is what it said, so much of it. */
const SAID_CHARS = 300;

/** A command line, in a process group of its own, so that what it starts ends with it. */
export function command(job: PlanJob, { town }: Bench, say: (line: string) => void): Work {
  let running: number | null = null;
  const end = (signal: NodeJS.Signals): void => {
    if (running === null) return;
    try {
      process.kill(-running, signal);
    } catch {
      // It has just ended.
    }
  };
  return {
    run: () =>
      new Promise((resolve, reject) => {
        const child = spawn("/bin/sh", ["-c", job.target], {
          cwd: job.cwd,
          env: {
            ...process.env,
            BOSUN_HOME: town.cradle.home,
            BOSUN_TOWN: town.cradle.town,
            BOSUN_SOCKET: town.cradle.socketPath,
            BOSUN_JOB: job.id,
            PATH: `${town.cradle.stateFolder}/bin:${process.env.PATH ?? "/usr/bin:/bin"}`,
            ...job.env,
          },
          stdio: ["ignore", "pipe", "pipe"],
          detached: true,
        });
        running = child.pid ?? null;
        let last = "";
        let half = "";
        let late = false;
        const hear = (bytes: Buffer): void => {
          const lines = (half + bytes.toString("utf8")).split("\n");
          half = (lines.pop() ?? "").slice(-10_000);
          for (const line of lines) {
            say(sanitise(line));
            if (line.trim() !== "") last = line;
          }
        };
        child.stdout.on("data", hear);
        child.stderr.on("data", hear);
        const timer = setTimeout(() => {
          late = true;
          end("SIGTERM");
          setTimeout(() => end("SIGKILL"), GRACE_MS).unref();
        }, job.timeoutMs);
        child.on("error", (error) => {
          clearTimeout(timer);
          running = null;
          reject(error);
        });
        child.on("close", (code, signal) => {
          clearTimeout(timer);
          running = null;
          if (half !== "") hear(Buffer.from("\n"));
          const said = sanitise(last).slice(0, SAID_CHARS);
          resolve({
            exit: code ?? 1,
            said: late ? `ended after ${job.timeoutMs / 1_000} s` : signal ? `ended by ${signal}` : said,
          });
        });
      }),
    // The job is the coordinator's; what it runs may finish without it.
    close() {},
  };
}
