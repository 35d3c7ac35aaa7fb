import { readFileSync } from "node:fs";
import { type Connection, openConnection } from "../src/client/connection.ts";
import { call } from "../src/client/index.ts";
import { fill } from "./fill.ts";
import { type Bench, Ground, median, ratio, series, timed } from "./measure.ts";

/** Messages stored; sessions and values beside them are at most ten thousand and a tenth. */
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const CALLS = 200;
const SESSIONS = 10_000;

/** What is asked, as an agent with much mail asks it; pages are a hundred. */
const QUESTIONS: Record<string, (connection: Connection) => Promise<unknown>> = {
  "inbox, a page of 100": (connection) => connection.call("message.inbox", { unread: true, bodies: false, limit: 100 }),
  "list, a page of 100": (connection) => connection.call("agent.list", { limit: 100 }),
  "memory get": (connection) => connection.call("memory.get", { key: "key/77" }),
  "memory search by tag, a page of 20": (connection) =>
    connection.call("memory.search", { tags: ["tag-7"], limit: 20 }),
  stats: (connection) => connection.call("message.stats", {}),
  send: (connection) =>
    connection.call("message.send", { to: ["agent-2"], type: "notification", subject: "one more", body: "" }),
};

/** What stays the same when much is stored. */
export const hubScale: Bench = {
  name: "hub-scale",
  question:
    "what the hub's questions cost with a thousand messages and with a million, and what making all views anew costs",
  async run(runs) {
    const bySize = new Map<number, Map<string, number[]>>();
    const rebuildS = new Map<number, number>();
    for (const messages of SIZES) {
      const ground = new Ground();
      try {
        const sessions = Math.min(messages, SESSIONS);
        await fill(ground.stateFolder, { messages, sessions, values: Math.max(1_000, messages / 10) });
        await ground.bosun("start");
        const connection = await openConnection(ground.place.socket, undefined, "agent-1");
        await quiet(ground);
        const measured = new Map<string, number[]>();
        for (const [what, ask] of Object.entries(QUESTIONS)) {
          for (let n = 0; n < 20; n++) await ask(connection);
          const medians: number[] = [];
          for (let run = 0; run < runs; run++) {
            const ms: number[] = [];
            for (let n = 0; n < CALLS; n++) ms.push(await timed(() => ask(connection)));
            medians.push(median(ms));
          }
          measured.set(what, medians);
        }
        connection.close();
        bySize.set(messages, measured);
        rebuildS.set(messages, (await timed(() => call("log.rebuild", {}, { place: ground.place }))) / 1000);
      } finally {
        await ground.close();
      }
    }
    const [smallest, largest] = [SIZES[0]!, SIZES.at(-1)!];
    return {
      series: [
        ...Object.keys(QUESTIONS).flatMap((what) =>
          SIZES.map((size) => series(`${what}, ${size} messages`, "ms", bySize.get(size)!.get(what)!)),
        ),
        ...SIZES.map((size) => series(`all views replayed and compared, ${size} messages`, "s", [rebuildS.get(size)!])),
      ],
      ratios: [
        ...Object.keys(QUESTIONS).map((what) => {
          const times = median(bySize.get(largest)!.get(what)!) / median(bySize.get(smallest)!.get(what)!);
          const most = what === "stats" ? 3 : 1.5;
          return ratio(`${what}: ${largest} / ${smallest}`, times, `≤ ${most}`, times <= most);
        }),
        ratio(
          `all views replayed and compared at ${largest}, s`,
          rebuildS.get(largest)!,
          "< 60",
          rebuildS.get(largest)! < 60,
        ),
      ],
      notes: [
        `as agent-1, who has every seventh message unread; ${CALLS} calls a run over one socket, the median of each run; sessions: as many as messages, at most ${SESSIONS}; values: a tenth of the messages, at least a thousand`,
        "stats sums a row per mailbox, and there are ten times the mailboxes",
        "making anew replays the log beside the views and compares row by row; others wait meanwhile",
      ],
    };
  },
};

/** Words of the past are taken into the search in the background after a start; the coordinator is idle once that is done. */
async function quiet(ground: Ground): Promise<void> {
  const status = JSON.parse(await ground.bosun("status", "--json")) as { coordinator: { pid: number } };
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${status.coordinator.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  for (let before = -100, now = ticks(); now - before > 5; ) {
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    now = ticks();
  }
}
