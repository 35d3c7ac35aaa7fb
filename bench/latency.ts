import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { type Bench, CLI, Ground, has, percentile, ratio, series } from "./measure.ts";

const WRITERS = 10;
const VIEWERS = 36;
const LINES_PER_WRITER = 100;
/** Each writer says a line this often: 100 lines a second on the floor, 3,600 arrivals a second in views. */
const EVERY_MS = 100;

const PLAN = `version: 1
rooms:
  spx: { about: The room everybody watches, keep: 1000000 }
sessions: {}
`;

interface Seen {
  latencies: number[];
  lost: number;
  repeated: number;
  disordered: number;
}

/** From an agent's write to the bytes leaving a view, with everybody watching. */
export const latency: Bench = {
  name: "latency",
  question: `agent write → view with ${WRITERS} writers and ${VIEWERS} viewers, against tail -F | jq`,
  async run(runs) {
    const ours: Seen[] = [];
    const tails: Seen[] = [];
    for (let run = 0; run < runs; run++) {
      ours.push(await withBosun());
      if (has("jq")) tails.push(await withTail());
    }
    const lines = [...describe("bosun feed -f", ours), ...describe("tail -F | jq --unbuffered", tails)];
    const p99 = lines.find((each) => each.label === "bosun feed -f p99")!.median;
    const peer = lines.find((each) => each.label === "tail -F | jq --unbuffered p99")?.median;
    const lost = ours.reduce((sum, seen) => sum + seen.lost + seen.repeated + seen.disordered, 0);
    const total = ours.reduce((sum, seen) => sum + seen.latencies.length, 0);
    return {
      series: lines,
      ratios: [
        ratio("bosun p99, ms", p99, "≤ 15", p99 <= 15),
        ...(peer === undefined ? [] : [ratio("bosun p99 / tail|jq p99", p99 / peer, "< 1", p99 < peer)]),
        ratio(`lost, repeated or out of order in ${total} arrivals`, lost, "0", lost === 0),
      ],
      notes: [
        `${WRITERS} writers each say ${1000 / EVERY_MS} lines a second; every arrival at every viewer counts; bosun's lines are fsynced before they are shown, the file's are not`,
      ],
    };
  },
};

function describe(label: string, all: Seen[]) {
  if (all.length === 0) return [];
  return [50, 95, 99, 100].map((share) =>
    series(
      `${label} ${share === 100 ? "max" : `p${share}`}`,
      "ms",
      all.map((seen) => percentile(seen.latencies, share / 100)),
    ),
  );
}

async function withBosun(): Promise<Seen> {
  const ground = new Ground();
  try {
    ground.write("floorplan.yaml", PLAN);
    await ground.bosun("up", "--quiet");
    const { socket } = JSON.parse(await ground.bosun("status", "--json")) as { socket: string };
    const viewers = Array.from({ length: VIEWERS }, () =>
      spawn(process.execPath, [CLI, "feed", "spx", "-f", "--msg", "--last", "1000"], {
        cwd: ground.folder,
        env: ground.env,
        stdio: ["ignore", "pipe", "ignore"],
      }),
    );
    const sockets = await Promise.all(Array.from({ length: WRITERS }, () => dial(socket)));
    const seen = await measure(viewers, (writer, text) =>
      sockets[writer]!.write(`${JSON.stringify({ id: 1, op: "room.post", in: { room: "spx", msg: text } })}\n`),
    );
    for (const each of sockets) each.destroy();
    return seen;
  } finally {
    await ground.close();
  }
}

async function withTail(): Promise<Seen> {
  const ground = new Ground();
  try {
    const file = ground.write("spx.jsonl", "");
    writeFileSync(file, "");
    const viewers = Array.from({ length: VIEWERS }, () =>
      spawn("sh", ["-c", `tail -n +1 -F ${file} 2>/dev/null | jq --unbuffered -r .msg`], {
        env: ground.env,
        stdio: ["ignore", "pipe", "ignore"],
        detached: true,
      }),
    );
    let seq = 0;
    return await measure(viewers, (_writer, text) => {
      seq++;
      appendFileSync(
        file,
        `${JSON.stringify({ id: `spx-${seq}`, seq, room: "spx", ts: new Date().toISOString(), from: "w", type: "narrative", level: "info", msg: text, tags: [] })}\n`,
      );
    });
  } finally {
    await ground.close();
  }
}

/** Writes on a schedule, reads every viewer's standard output, and compares. A line is `<writer>:<n>:<when, ms>`. */
async function measure(viewers: ChildProcess[], write: (writer: number, text: string) => void): Promise<Seen> {
  const seen: Seen = { latencies: [], lost: 0, repeated: 0, disordered: 0 };
  const counts = viewers.map(() => Array.from({ length: WRITERS }, () => 0));
  const ready = viewers.map(() => false);
  viewers.forEach((viewer, index) => {
    let held = "";
    viewer.stdout!.setEncoding("utf8");
    viewer.stdout!.on("data", (chunk: string) => {
      const nowMs = performance.now();
      held += chunk;
      const lines = held.split("\n");
      held = lines.pop()!;
      for (const line of lines) {
        if (line === "warm") {
          ready[index] = true;
          continue;
        }
        const [writer, n, sentMs] = line.split(":").map(Number) as [number, number, number];
        const expected = counts[index]![writer]! + 1;
        if (n < expected) seen.repeated++;
        else if (n > expected) seen.disordered++;
        counts[index]![writer] = n;
        seen.latencies.push(nowMs - sentMs);
      }
    });
  });
  write(0, "warm");
  await waitFor(
    () => ready.every(Boolean),
    30_000,
    () => `${ready.filter(Boolean).length} viewers are ready`,
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      await new Promise((resolve) => setTimeout(resolve, (writer * EVERY_MS) / WRITERS));
      for (let n = 1; n <= LINES_PER_WRITER; n++) {
        write(writer, `${writer}:${n}:${performance.now().toFixed(3)}`);
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      }
    }),
  );
  const wanted = VIEWERS * WRITERS * LINES_PER_WRITER;
  await waitFor(
    () => seen.latencies.length >= wanted,
    10_000,
    () => "",
  ).catch(() => {});
  seen.lost = Math.max(0, wanted - seen.latencies.length);
  for (const viewer of viewers) {
    try {
      // tail | jq is a pipeline: the whole group goes.
      if (viewer.spawnfile === "sh") process.kill(-viewer.pid!, "SIGKILL");
      else viewer.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }
  return seen;
}

async function waitFor(done: () => boolean, timeoutMs: number, state: () => string): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!done()) {
    if (performance.now() > untilMs) throw new Error(`waited in vain: ${state()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.on("error", reject);
    socket.resume();
  });
}
