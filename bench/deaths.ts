import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, openConnection } from "../src/client/connection.ts";
import { type Bench, cpuMs, Ground, percentile, ratio, type Series, series } from "./measure.ts";

const SESSIONS = 100;
const DEATHS = 300;

/** One that is not back within this is missed. */
const MISSED_AFTER_MS = 10_000;

const IDLE_MS = 20_000;

/** What each process does first: the moment it began, in ns, in a file of its own. */
const program = (folder: string, n: number): string => `date +%s%N >> ${folder}/${n}; exec sleep 86400`;

/** How soon a killed process is there again, and marked as such, beside pm2; and what watching a hundred of them costs. */
export const deaths: Bench = {
  name: "deaths",
  question: `${DEATHS} processes of ${SESSIONS} sessions killed one after the other: how soon each is there again, beside pm2`,
  async run() {
    const ground = new Ground();
    try {
      const ours = await ownDeaths(ground);
      const peer = await pm2Deaths(ground);
      const all: Series[] = [
        series("bosun: killed → its next process runs", "ms", ours.back),
        series("bosun: killed → its end stands in the log", "ms", ours.marked),
        series("bosun and tmux, idle, share of one core", "%", ours.cpu),
        ...(peer ? [series("pm2: killed → its next process runs", "ms", peer.back)] : []),
      ];
      const p95 = Math.round(percentile(ours.back, 0.95));
      return {
        series: all,
        ratios: [
          ratio("there again, p95 ms (declared delay: 0)", p95, "<= 150", p95 <= 150),
          ratio(`deaths missed, of ${DEATHS}`, ours.missed, "0", ours.missed === 0),
          ratio("CPU of watching 100 sessions, % of a core", all[2]!.median, "<= 1", all[2]!.median <= 1),
        ],
        notes: [
          `p95 of the mark ${Math.round(percentile(ours.marked, 0.95))} ms`,
          peer
            ? `pm2 ${peer.version}, the parent of what it runs (bosun is not, and writes the end down first): p95 ${Math.round(percentile(peer.back, 0.95))} ms, ${peer.missed} missed, of ${peer.back.length + peer.missed}`
            : "pm2 is not installed: npm install --prefix /tmp/pm2 pm2, then PM2=/tmp/pm2/node_modules/.bin/pm2",
          "systemd does not run here, or it would stand beside too",
        ],
      };
    } finally {
      await ground.close();
    }
  },
};

async function ownDeaths(ground: Ground) {
  const starts = join(ground.folder, "starts");
  mkdirSync(starts);
  const sessions = Array.from(
    { length: SESSIONS },
    (_, n) =>
      `  s${n}: { run: "${program(starts, n)}", restart: { policy: always, delay: 0ms, reset_after: 1s, budget: [ { starts: 1000, per: 10m } ] } }`,
  );
  ground.write("floorplan.yaml", `version: 1\nsessions:\n${sessions.join("\n")}\n`);
  await ground.bosun("up", "--quiet");
  const { socket, coordinator, tmux } = JSON.parse(await ground.bosun("status", "--json")) as {
    socket: string;
    coordinator: { pid: number };
    tmux: { pid: number };
  };
  const connection = await openConnection(socket);
  const exits = new Map<string, number[]>();
  await connection.stream("event.list", { follow: true, last: 1 }, (event) => {
    const { type, session, at } = event as { type: string; session?: string; at: string };
    if (type === "pane.exited") exits.set(session!, [...(exits.get(session!) ?? []), Date.parse(at)]);
  });
  // What a start compiles and clears away is no cost of watching.
  await pause(15_000);
  const before = cpuMs(coordinator.pid) + cpuMs(tmux.pid);
  await pause(IDLE_MS);
  const cpu = [((cpuMs(coordinator.pid) + cpuMs(tmux.pid) - before) / IDLE_MS) * 100];
  const back: number[] = [];
  const marked: number[] = [];
  let missed = 0;
  for (let n = 0; n < DEATHS; n++) {
    const which = (n * 37) % SESSIONS;
    const pid = await pidOf(connection, `s${which}`);
    const killedMs = Date.now();
    process.kill(pid, "SIGKILL");
    const next = await startAfter(join(starts, String(which)), killedMs);
    const mark = exits.get(`s${which}`)?.findLast((at) => at >= killedMs - 1);
    if (next === null || mark === undefined) missed++;
    else {
      back.push(next - killedMs);
      marked.push(Math.max(0, mark - killedMs));
    }
  }
  connection.close();
  await ground.bosun("down", "--yes", "--quiet");
  return { back, marked, missed, cpu };
}

async function pm2Deaths(ground: Ground) {
  const pm2 = process.env.PM2;
  if (!pm2 || !existsSync(pm2)) return null;
  const starts = join(ground.folder, "pm2-starts");
  mkdirSync(starts);
  const env = { PM2_HOME: join(ground.folder, "pm2") };
  const run = (...args: string[]): Promise<string> => ground.run(pm2, args, env);
  const apps = Array.from({ length: SESSIONS }, (_, n) => ({
    name: `s${n}`,
    script: "/bin/sh",
    args: ["-c", program(starts, n)],
    interpreter: "none",
    autorestart: true,
    max_restarts: 1_000,
  }));
  const file = ground.write("pm2.json", JSON.stringify({ apps }));
  try {
    await run("start", file);
    await pause(3_000);
    const list = JSON.parse(await run("jlist")) as { name: string; pid: number }[];
    const pids = new Map(list.map((each) => [each.name, each.pid]));
    const back: number[] = [];
    let missed = 0;
    // Each is killed once: asking pm2 for a process id costs half a second.
    for (let which = 0; which < SESSIONS; which++) {
      const killedMs = Date.now();
      process.kill(pids.get(`s${which}`)!, "SIGKILL");
      const next = await startAfter(join(starts, String(which)), killedMs);
      if (next === null) missed++;
      else back.push(next - killedMs);
    }
    return { back, missed, version: (await run("--version")).trim().split("\n").at(-1)! };
  } finally {
    await run("kill").catch(() => {});
  }
}

async function pidOf(connection: Connection, session: string): Promise<number> {
  for (;;) {
    const { sessions } = await connection.call("town.status", { session });
    const { pid, state } = sessions[0]!;
    if (pid !== null && state === "running") return pid;
    await pause(20);
  }
}

/** When the process began that wrote its line after `sinceMs`; null: none did in time. */
async function startAfter(file: string, sinceMs: number): Promise<number | null> {
  const untilMs = Date.now() + MISSED_AFTER_MS;
  while (Date.now() < untilMs) {
    if (existsSync(file)) {
      const last = readFileSync(file, "utf8").trimEnd().split("\n").at(-1);
      const ms = last === undefined ? 0 : Number(last) / 1e6;
      if (ms > sinceMs) return ms;
    }
    await pause(1);
  }
  return null;
}

function pause(ms: number): Promise<void> {
  return new Promise((next) => setTimeout(next, ms));
}
