/**
 * `bosun demo`: the trading floor for 40 s, in a state folder and on a tmux server of its own. Shows the rooms as they fill,
 * asks an agent something, kills one and lets you see it come back, then takes everything down again.
 *
 * Exit code 0 when every room was heard, the question answered and the killed agent back; 1 otherwise.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "40" }, stay: { type: "boolean", default: false } },
});
const example = import.meta.dirname;
const cli = join(example, "../../dist/bosun.js");
/** Everything the demo writes lies here: state, mirror files, compile cache. */
const folder = mkdtempSync(join(tmpdir(), "bosun-demo-"));
const socket = `bosun-demo-${process.pid}`;
const ours = {
  BOSUN_HOME: join(folder, "state"),
  BOSUN_TMUX_SOCKET: socket,
  NODE_COMPILE_CACHE: join(folder, "cache"),
};
const env: Record<string, string | undefined> = { ...process.env, ...ours };
// A demo started inside a session of ours, or of another town, is still a town of its own.
for (const name of Object.keys(env))
  if (/^(BOSUN_(?!HOME|TMUX_SOCKET)|GT_(ROOT|TOWN_NAME)$|TMUX)/.test(name)) delete env[name];
const terminal = process.stdout.isTTY === true;

interface Status {
  sessions: { panes: { agent: string | null; pid: number; dead: boolean }[] }[];
}

function bosun(...args: string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile(
      process.execPath,
      [cli, ...args],
      { cwd: folder, env: env as NodeJS.ProcessEnv, maxBuffer: 64 * 1_048_576 },
      (error, stdout, stderr) => (error ? fail(new Error(stderr || error.message)) : done(stdout)),
    );
  });
}

function tell(text: string): void {
  process.stdout.write(terminal ? `\x1b[1m${text}\x1b[0m\n` : `${text}\n`);
}

const pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1_000));

async function pidOf(session: string, agent: string): Promise<number | null> {
  const { sessions } = JSON.parse(await bosun("status", session, "--json")) as Status;
  const pane = sessions.flatMap((each) => each.panes).find((each) => each.agent === agent);
  return pane && !pane.dead ? pane.pid : null;
}

let feed: ChildProcess | null = null;
let leaving: Promise<void> | null = null;

function takeDown(): Promise<void> {
  leaving ??= (async () => {
    feed?.kill("SIGTERM");
    for (const command of [["down", "--yes"], ["stop"]])
      await bosun(...command).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
    // `stop` leaves the tmux server to whoever else uses it; this one is nobody else's.
    await new Promise((done) => execFile("tmux", ["-L", socket, "kill-server"], done));
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  })();
  return leaving;
}

async function main(): Promise<number> {
  tell("bosun demo · a trading floor on real prices: 9 instruments, 27 agents, 5 people · nothing of yours is touched");
  mkdirSync(ours.BOSUN_HOME);
  copyFileSync(join(example, "floorplan.yaml"), join(folder, "floorplan.yaml"));
  for (const agent of ["deacon", "butterfly", "gamma"]) symlinkSync(join(example, agent), join(folder, agent));
  await bosun("up", "--quiet");
  process.stdout.write(`
  in another terminal   tmux -L ${socket} attach -t moo-steve      a person's view (leave it with Ctrl-b d)
                        tmux -L ${socket} attach -t moo-alice      volatility over all instruments
  leave                 Ctrl-C

`);
  if (values.stay) {
    sayHowToStay();
    return 0;
  }
  feed = spawn(process.execPath, [cli, "feed", "*", "-f", "--last", "0"], {
    cwd: folder,
    env: { ...env, ...(terminal ? { FORCE_COLOR: "1" } : {}) } as NodeJS.ProcessEnv,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const seconds = Math.max(10, Number(values.seconds) || 40);
  await pause(seconds * 0.35);
  await askSomething();
  await pause(seconds * 0.2);
  const back = await killAnAgent(seconds * 0.45);
  feed.kill("SIGTERM");
  tell("\n$ bosun status");
  process.stdout.write(await bosun("status"));
  const silent = await silentRooms();
  if (silent.length > 0) tell(`\nnothing was heard in ${silent.join(", ")}`);
  if (!back) tell("\nthe killed agent did not come back");
  await takeDown();
  tell("\nnothing is left running. Your own: bosun init && bosun up");
  return silent.length === 0 && back ? 0 : 1;
}

async function askSomething(): Promise<void> {
  for (const text of ["status", "why"]) {
    tell(`\n$ bosun ask spx/deacon ${text}`);
    process.stdout.write(await bosun("ask", "spx/deacon", text));
  }
  process.stdout.write("\n");
}

/** True when another process runs in the killed one's place within `seconds`. */
async function killAnAgent(seconds: number): Promise<boolean> {
  const victim = await pidOf("agents-aapl", "deacon-aapl");
  if (victim === null) return false;
  tell(
    `\n$ kill -9 ${victim}      # deacon-aapl; its room goes stale, the agent is started again and takes up its tape`,
  );
  process.kill(victim, "SIGKILL");
  await pause(seconds);
  const now = await pidOf("agents-aapl", "deacon-aapl");
  return now !== null && now !== victim;
}

async function silentRooms(): Promise<string[]> {
  const { rooms } = JSON.parse(await bosun("rooms", "--json")) as { rooms: { room: string; seq: number }[] };
  const lines = rooms.reduce((sum, room) => sum + room.seq, 0);
  tell(`\n${lines} lines in ${rooms.length} rooms`);
  return rooms.filter((room) => room.room !== "alerts" && room.seq === 0).map((room) => room.room);
}

function sayHowToStay(): void {
  const exported = Object.entries(ours).map(([name, value]) => `${name}=${value}`);
  process.stdout.write(`It stays. To look:
  cd ${folder}; export ${exported.join(" ")}
  bosun status; bosun feed '*' -f; bosun ask spx/deacon status
To end it:
  bosun down --yes; bosun stop; tmux -L ${socket} kill-server; rm -r ${folder}
`);
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
  if (leaving === null) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await takeDown();
  process.exitCode = 1;
}
