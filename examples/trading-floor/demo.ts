/**
 * `bosun demo`: the trading floor for half a minute, in a state folder and on a tmux server of its own. Shows the rooms as they
 * fill, asks an agent something, kills one and lets you see it come back, then takes everything down again.
 *
 * Exit code 0 when every room was heard, 1 otherwise.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "24" }, stay: { type: "boolean", default: false } },
});
const folder = import.meta.dirname;
const cli = join(folder, "../../dist/bosun.js");
const state = mkdtempSync(join(tmpdir(), "bosun-demo-"));
const socket = `bosun-demo-${process.pid}`;
const env = {
  ...process.env,
  BOSUN_HOME: state,
  BOSUN_TMUX_SOCKET: socket,
  FLOOR_PACE_MS: process.env["FLOOR_PACE_MS"] ?? "2000",
};
for (const name of ["BOSUN_TOWN", "BOSUN_SOCKET", "BOSUN_TOKEN_FILE", "GT_ROOT", "GT_TOWN_NAME"])
  delete (env as Record<string, string | undefined>)[name];
const hadLog = existsSync(join(folder, "log"));
const terminal = process.stdout.isTTY === true;

interface Room {
  room: string;
  seq: number;
}

function bosun(...args: string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { cwd: folder, env, maxBuffer: 64 * 1_048_576 },
      (error, stdout, stderr) => (error ? fail(new Error(stderr || error.message)) : done(stdout)),
    );
  });
}

function tell(text: string): void {
  process.stdout.write(terminal ? `\x1b[1m${text}\x1b[0m\n` : `${text}\n`);
}

const pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1_000));

let feed: ChildProcess | null = null;
let closing = false;

async function takeDown(): Promise<void> {
  if (closing) return;
  closing = true;
  feed?.kill("SIGTERM");
  await bosun("down", "--yes").catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  await bosun("stop").catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  rmSync(state, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  if (!hadLog) rmSync(join(folder, "log"), { recursive: true, force: true });
}

async function main(): Promise<number> {
  tell("bosun demo · a trading floor on real prices: 9 instruments, 27 agents, 4 people · nothing of yours is touched");
  await bosun("up", "--quiet");
  process.stdout.write(
    `\n  in another terminal   tmux -L ${socket} attach -t moo-steve      a person's view (leave it with Ctrl-b d)\n                        tmux -L ${socket} attach -t moo-alice      volatility over all instruments\n  leave                 Ctrl-C\n\n`,
  );
  if (values.stay) {
    process.stdout.write(
      `It stays. To look:\n  export BOSUN_HOME=${state} BOSUN_TMUX_SOCKET=${socket}; cd ${folder}\n  bosun status; bosun feed '*' -f; bosun ask spx/deacon status\nTo end it:\n  bosun down --yes && bosun stop && rm -r ${state}\n`,
    );
    return 0;
  }
  feed = spawn(process.execPath, [cli, "feed", "*", "-f", "--last", "0"], {
    cwd: folder,
    env: { ...env, ...(terminal ? { FORCE_COLOR: "1" } : {}) },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const seconds = Math.max(10, Number(values.seconds) || 24);
  await pause(seconds * 0.35);
  tell("\n$ bosun ask spx/deacon status");
  process.stdout.write(await bosun("ask", "spx/deacon", "status"));
  await pause(seconds * 0.2);
  const { sessions } = JSON.parse(await bosun("status", "agents-aapl", "--json")) as {
    sessions: { panes: { agent: string; pid: number }[] }[];
  };
  const victim = sessions[0]!.panes.find((pane) => pane.agent === "deacon-aapl")!;
  tell(`\n$ kill -9 ${victim.pid}      # deacon-aapl; watch the room go stale and come back`);
  process.kill(victim.pid, "SIGKILL");
  await pause(seconds * 0.45);
  feed.kill("SIGTERM");
  tell("\n$ bosun status");
  process.stdout.write(await bosun("status"));
  const { rooms } = JSON.parse(await bosun("rooms", "--json")) as { rooms: Room[] };
  const silent = rooms.filter((room) => room.room !== "alerts" && room.seq === 0).map((room) => room.room);
  const lines = rooms.reduce((sum, room) => sum + room.seq, 0);
  tell(
    `\n${lines} lines in ${rooms.length} rooms${silent.length > 0 ? `; nothing was heard in ${silent.join(", ")}` : ""}. Taking it down.`,
  );
  await takeDown();
  tell("nothing is left running. Your own: bosun init && bosun up");
  return silent.length > 0 ? 1 : 0;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    tell("\ntaking it down …");
    void takeDown().then(() => process.exit(130));
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await takeDown();
  process.exitCode = 1;
}
