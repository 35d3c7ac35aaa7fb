import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Connection, openConnection } from "../src/client/connection.ts";
import type { RosterEntry } from "../src/protocol/screen.ts";
import { type Bench, Ground, median, percentile, ratio, series, timed } from "./measure.ts";

const SESSIONS = 50;
const CHATTY = 10;
const LINES_PER_SECOND = 100;
const LOAD_S = 600;
const SWITCHES = 200;
const QUESTIONS = 40;

/** Fifty sessions side by side: what switching takes, what listening costs, how soon a question is seen. */
export const sessions: Bench = {
  name: "sessions",
  question: `${SESSIONS} sessions, ${CHATTY} of them with ${LINES_PER_SECOND} lines a second: switching, CPU, memory, bytes lost, time to see a question`,
  async run(runs) {
    const ground = new Ground();
    try {
      ground.write("floorplan.yaml", `version: 1\nlimits: { sessions: ${SESSIONS + 5} }\nsessions: {}\n`);
      await ground.bosun("up", "--quiet");
      const { socket } = JSON.parse(await ground.bosun("status", "--json")) as { socket: string };
      const connection = await openConnection(socket);
      const go = join(ground.folder, "go");
      // A counter that keeps its pace whatever it costs, and ends with a line that says so.
      const chatty = `while [ ! -e ${go} ]; do sleep 0.1; done; exec ${process.execPath} -e 'let n = 0; const t = setInterval(() => { let s = ""; for (let i = 0; i < ${LINES_PER_SECOND / 10}; i++) s += "line " + ++n + " the quick brown fox jumps over the lazy dog and says so\\n"; process.stdout.write(s); if (n >= ${LINES_PER_SECOND * LOAD_S}) { clearInterval(t); console.log("the-end"); setTimeout(() => {}, 1e8); } }, 100)'`;
      for (let n = 0; n < SESSIONS; n++)
        await connection.call("session.open", { name: `s${n}`, run: n < CHATTY ? chatty : "exec sleep 100000" });
      const pid = (JSON.parse(await ground.bosun("status", "--json")) as { coordinator: { pid: number } }).coordinator
        .pid;
      await new Promise((resolve) => setTimeout(resolve, 2_000));

      const switching: number[] = [];
      for (let run = 0; run < runs; run++) switching.push(...(await switches(connection, SWITCHES / runs)));

      const before = cpuMs(pid);
      const startedMs = performance.now();
      await ground.run("touch", [go]);
      const peak = await memoryDuring(pid, LOAD_S * 1_000 + 3_000);
      const share = ((cpuMs(pid) - before) / (performance.now() - startedMs)) * 100;
      let lost = 0;
      for (let n = 0; n < CHATTY; n++) {
        const { recording } = await connection.call("screen.history", { session: `s${n}`, lines: 1 });
        lost += LINES_PER_SECOND * LOAD_S - linesIn(recording!);
      }

      const seen = await questions(connection, socket, ground);
      connection.close();
      const [switchMs, seenMs] = [median(switching), percentile(seen, 0.95)];
      return {
        series: [
          series("switch to the first full picture, median", "ms", [switchMs]),
          series("switch to the first full picture, p95", "ms", [percentile(switching, 0.95)]),
          series("coordinator, share of a core under load", "%", [share]),
          series("coordinator, most memory", "MiB", [peak]),
          series("a question on the screen → in the roster, median", "ms", [median(seen)]),
          series("a question on the screen → in the roster, p95", "ms", [seenMs]),
        ],
        ratios: [
          ratio("switch, median ms", switchMs, "≤ 50", switchMs <= 50),
          ratio("coordinator, % of a core", share, "≤ 30", share <= 30),
          ratio("coordinator, MiB", peak, "≤ 400", peak <= 400),
          ratio(
            `lines lost of ${CHATTY * LINES_PER_SECOND * LOAD_S} between pane and recording`,
            lost,
            "0",
            lost === 0,
          ),
          ratio("question seen, p95 ms", seenMs, "≤ 500", seenMs <= 500),
        ],
        notes: [
          `${SWITCHES} switches; ${LOAD_S} s of load, once; ${QUESTIONS} questions while the others rest; a question is a shell's [y/N], not a real agent's dialog`,
        ],
      };
    } finally {
      await ground.close();
    }
  },
};

async function switches(connection: Connection, many: number): Promise<number[]> {
  const ms: number[] = [];
  for (let n = 0; n < many; n++) {
    const session = `s${(n * 7) % SESSIONS}`;
    ms.push(
      await timed(async () => {
        await connection.call("session.switch", { session });
        const stream = await connection.stream("screen.watch", { session }, () => {});
        stream.cancel();
      }),
    );
  }
  return ms;
}

/** From the moment the program writes its question to the roster's event that says so. */
async function questions(connection: Connection, socket: string, ground: Ground): Promise<number[]> {
  const file = join(ground.folder, "asked-at");
  const program = `while read x; do date +%s%3N > ${file}; printf 'Go on? [y/N] '; read y; echo; done`;
  await connection.call("session.open", { name: "asker", run: program });
  const follower = await openConnection(socket);
  let waiting: (() => void) | null = null;
  const stream = await follower.stream("session.roster", { follow: true }, (event) => {
    const { sessions: all } = event as { sessions: RosterEntry[] };
    if (all.find((each) => each.name === "asker")?.activity.state === "waiting") waiting?.();
  });
  const ms: number[] = [];
  for (let n = 0; n < QUESTIONS; n++) {
    const heard = new Promise<number>((resolve) => {
      waiting = () => resolve(Date.now());
    });
    await connection.call("session.type", { session: "asker", line: "ask" });
    const heardAt = await heard;
    ms.push(heardAt - Number(readFileSync(file, "utf8")));
    waiting = null;
    await connection.call("session.type", { session: "asker", line: "y" });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  }
  stream.cancel();
  follower.close();
  return ms;
}

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function memoryDuring(pid: number, ms: number): Promise<number> {
  let most = 0;
  for (const endMs = performance.now() + ms; performance.now() < endMs; ) {
    const kib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
    most = Math.max(most, kib / 1_024);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return most;
}

/** Numbered lines in a recording, each counted once and only in its turn. */
function linesIn(recording: string): number {
  if (statSync(recording).size === 0) return 0;
  const text = readFileSync(recording, "utf8")
    .split("\n")
    .slice(1, -1)
    .map((line) => (JSON.parse(line) as [number, string, string])[2])
    .join("");
  let next = 1;
  for (const match of text.matchAll(/line (\d+) the quick/g)) if (Number(match[1]) === next) next += 1;
  return next - 1;
}
