import { usage } from "../arguments.ts";
import { type Command, textOf } from "../command.ts";

const DEFAULT_LINES = 200;
/** Between two lines: a busy room's pace, far from what would queue. */
const EVERY_MS = 10;
const GIVE_UP_MS = 10_000;

/** Write to view, measured on the running town: lines of its own in one room, seen by a watcher of its own. */
const latency: Command = {
  name: "bench latency",
  args: "ROOM",
  group: "keep",
  summary: "How long a line takes from being said to being seen, here and now",
  flags: { lines: { short: "n", value: "N", about: `how many lines to say (default ${DEFAULT_LINES})` } },
  examples: ["bosun bench latency spx"],
  async run(invocation) {
    const [room] = invocation.args;
    if (room === undefined) throw usage("bench latency needs a room to say its lines in", latency);
    const count = Number(textOf(invocation, "lines") ?? DEFAULT_LINES);
    if (!Number.isInteger(count) || count < 1) throw usage("--lines is a whole number", latency);
    const [writer, viewer] = [await invocation.connect(), await invocation.connect()];
    const sentMs = new Map<string, number>();
    const took: number[] = [];
    const mark = `latency ${process.pid}-${Date.now()}`;
    const see = (line: { msg: string }): void => {
      const sent = sentMs.get(line.msg);
      if (sent !== undefined) took.push(performance.now() - sent);
    };
    await viewer.stream("room.watch", { rooms: [room], last: 0 }, (event) => {
      const { line, lines } = event as { line?: { msg: string }; lines?: { msg: string }[] };
      for (const each of lines ?? (line ? [line] : [])) see(each);
    });
    for (let n = 0; n < count; n++) {
      const msg = `${mark} ${n}`;
      sentMs.set(msg, performance.now());
      void writer.call("room.post", { room, msg, type: "bench", level: "debug", tags: ["bench"] }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
    const untilMs = performance.now() + GIVE_UP_MS;
    while (took.length < count && performance.now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    took.sort((a, b) => a - b);
    const at = (share: number): number =>
      Number((took[Math.max(0, Math.ceil(share * took.length) - 1)] ?? Number.NaN).toFixed(2));
    const answer = {
      room,
      lines: count,
      seen: took.length,
      p50_ms: at(0.5),
      p95_ms: at(0.95),
      p99_ms: at(0.99),
      max_ms: at(1),
    };
    if (invocation.out.wish.json) invocation.out.json(answer);
    else
      invocation.out.line(
        `${answer.seen} of ${count} lines seen · p50 ${answer.p50_ms} ms · p95 ${answer.p95_ms} ms · p99 ${answer.p99_ms} ms · max ${answer.max_ms} ms`,
      );
    return took.length === count ? 0 : 1;
  },
};

export const BENCH_COMMANDS = [latency];
