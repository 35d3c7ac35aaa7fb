import { join } from "node:path";
import { CollaborationHub, SessionRegistry } from "../src/client/index.ts";
import { type Bench, Ground, median, percentile, ratio, series, timed } from "./measure.ts";
import { rawSqlite } from "./writes.ts";

const SENDS = 2_000;
const CLIENTS = 8;
const PUSHES = 500;

/** Mail through the library, as an agent's program sends and receives it. */
export const hub: Bench = {
  name: "hub",
  question:
    "acknowledged sends through the library, one client and eight, beside raw SQLite; push to a waiting subscriber",
  async run(runs) {
    const ground = new Ground();
    try {
      await ground.bosun("start");
      const place = ground.place;
      const registry = new SessionRegistry({ place });
      await registry.register("sender", "Sender", "script");
      await registry.register("reader", "Reader", "script");
      for (let n = 0; n < CLIENTS; n++) await registry.register(`to-${n}`, `To ${n}`, "script");
      const raw: number[] = [];
      const one: number[] = [];
      const eight: number[] = [];
      const p50: number[] = [];
      const p99: number[] = [];
      const push50: number[] = [];
      const push99: number[] = [];
      for (let run = 0; run < runs; run++) {
        raw.push(rawSqlite(join(ground.stateFolder, `raw-${run}.db`), SENDS));
        const alone = await sending(ground, 1);
        one.push(alone.perSecond);
        p50.push(percentile(alone.ms, 0.5));
        p99.push(percentile(alone.ms, 0.99));
        eight.push((await sending(ground, CLIENTS)).perSecond);
        const pushes = await pushing(ground);
        push50.push(percentile(pushes, 0.5));
        push99.push(percentile(pushes, 0.99));
      }
      registry.close();
      const [rawS, oneS, eightS, p99Ms, pushMs] = [raw, one, eight, p99, push99].map(median) as [
        number,
        number,
        number,
        number,
        number,
      ];
      return {
        series: [
          series("raw SQLite, one row and one fsync per commit", "/s", raw),
          series("sends, one client waiting for each answer", "/s", one),
          series("sends, eight such clients", "/s", eight),
          series("one send, p50", "ms", p50),
          series("one send, p99", "ms", p99),
          series("send → waiting subscriber, p50", "ms", push50),
          series("send → waiting subscriber, p99", "ms", push99),
        ],
        ratios: [
          ratio("send p99, ms", p99Ms, "≤ 5", p99Ms <= 5),
          ratio("sends, one client / raw", oneS / rawS, "≥ 0.3", oneS / rawS >= 0.3),
          ratio("sends, eight clients / one", eightS / oneS, "≥ 3", eightS / oneS >= 3),
          ratio("sends, eight clients / raw", eightS / rawS, "≥ 0.9", eightS / rawS >= 0.9),
          ratio("push p99, ms", pushMs, "≤ 10", pushMs <= 10),
        ],
        notes: [
          `${SENDS} sends and ${PUSHES} pushes a run; sender, subscriber and this measurement share one process, all of it two cores with the coordinator`,
        ],
      };
    } finally {
      await ground.close();
    }
  },
};

async function sending(ground: Ground, clients: number): Promise<{ perSecond: number; ms: number[] }> {
  const hubs = Array.from({ length: clients }, () => new CollaborationHub({ place: ground.place }));
  const ms: number[] = [];
  await Promise.all(hubs.map((each, n) => each.send("sender", `to-${n}`, "notification", "warm", "up")));
  const wholeMs = await timed(() =>
    Promise.all(
      hubs.map(async (each, client) => {
        for (let n = 0; n < SENDS / clients; n++)
          ms.push(await timed(() => each.send("sender", `to-${client}`, "notification", "bench", `message ${n}`)));
      }),
    ),
  );
  for (const each of hubs) each.close();
  return { perSecond: SENDS / (wholeMs / 1000), ms };
}

/** From the call of `send` in one client to the message in the hands of another that waits for it. */
async function pushing(ground: Ground): Promise<number[]> {
  const from = new CollaborationHub({ place: ground.place });
  const to = new CollaborationHub({ place: ground.place });
  const { seq } = await from.send("sender", "reader", "notification", "first", "");
  const sentMs = new Map<string, number>();
  const ms: number[] = [];
  const watching = (async () => {
    for await (const message of to.watch("reader", { after: seq })) {
      ms.push(performance.now() - sentMs.get(message.subject)!);
      if (ms.length === PUSHES) return;
    }
  })();
  for (let n = 0; n < PUSHES; n++) {
    sentMs.set(`push ${n}`, performance.now());
    await from.send("sender", "reader", "notification", `push ${n}`, "");
  }
  await watching;
  from.close();
  to.close();
  return ms;
}
