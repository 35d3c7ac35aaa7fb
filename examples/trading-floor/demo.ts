/**
 * `bosun demo`: the trading floor for 40 s, in a state folder and on a tmux server of its own. Shows the rooms as they fill,
 * asks an agent something, kills one and lets you see it come back, then takes everything down again.
 *
 * Exit code 0 when every room was heard, the question answered and the killed agent back; 1 otherwise.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
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

/** Gives what it printed. In a process group of its own: Ctrl-C and a closed terminal reach the demo, not its cleaning up. */
async function run(program: string, ...args: string[]): Promise<string> {
  const child = spawn(program, args, { cwd: folder, env: env as NodeJS.ProcessEnv, detached: true });
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    said.out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    said.err += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(said.err || `${program} ${args.join(" ")} ended with ${code}`);
  return said.out;
}

const bosun = (...args: string[]): Promise<string> => run(process.execPath, cli, ...args);

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
let starting: Promise<void> = Promise.resolve();
let leaving: Promise<void> | null = null;

function takeDown(): Promise<void> {
  leaving ??= (async () => {
    feed?.kill("SIGTERM");
    // What has begun to start is found by `down` only when it has started.
    await starting.catch(() => {});
    for (const command of [["down", "--yes"], ["stop"]])
      await bosun(...command).catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
    // `stop` leaves a tmux server to whoever else uses it; this one is nobody else's.
    await run("tmux", "-L", socket, "kill-server").catch(() => {});
    rmSync(join(process.env.TMUX_TMPDIR ?? "/tmp", `tmux-${process.getuid?.()}`, socket), { force: true });
    await removeFolder();
  })();
  return leaving;
}

/** Programs on their last way may still write there: again, until it is gone, for 3 s at most. */
async function removeFolder(): Promise<void> {
  for (let attempt = 0; attempt < 60 && existsSync(folder); attempt++) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (attempt === 59) process.stderr.write(`${folder} could not be removed: ${String(error)}\n`);
    }
    await pause(0.05);
  }
}

/** Without an instrument an agent ends at once, and leaves its types stripped for the 27 that follow. */
async function start(): Promise<void> {
  await run(process.execPath, join(example, "agent.ts")).catch(() => {});
  if (leaving === null) await bosun("up", "--quiet");
}

async function main(): Promise<number> {
  tell("bosun demo · a trading floor on real prices: 9 instruments, 27 agents, 5 people · nothing of yours is touched");
  mkdirSync(ours.BOSUN_HOME);
  copyFileSync(join(example, "floorplan.yaml"), join(folder, "floorplan.yaml"));
  for (const agent of ["deacon", "butterfly", "gamma"]) symlinkSync(join(example, agent), join(folder, agent));
  starting = start();
  await starting;
  if (leaving !== null) await leaving.then(() => process.exit(130));
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

// A terminal that has gone takes no more text; that must not stop the cleaning up.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

let cut = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (cut) return;
    cut = true;
    tell("\ntaking it down …");
    void takeDown().then(() => process.exit(130));
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!cut) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await takeDown();
  process.exitCode = cut ? 130 : 1;
}
