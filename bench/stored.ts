import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fill } from "./fill.ts";
import { type Bench, Ground, median, ratio, series, timed } from "./measure.ts";

const SIZES = [10, 1_000, 10_000];
const WHOLE_FILE = join(import.meta.dirname, "whole-file.mjs");

/** A command of each, from its start to its end, by what is stored. */
export const stored: Bench = {
  name: "stored",
  question: "one command, start to end, with 10, 1,000 and 10,000 of everything stored; beside whole-file JSON",
  async run(runs) {
    const all: ReturnType<typeof series>[] = [];
    const ratios: ReturnType<typeof ratio>[] = [];
    const ours = new Map<string, number>();
    for (const size of SIZES) {
      const ground = new Ground();
      try {
        const stale = wholeFiles(join(ground.folder, "stale"), size, "2026-01-27T21:11:11Z");
        const fresh = wholeFiles(join(ground.folder, "fresh"), size, new Date().toISOString());
        await fill(ground.stateFolder, { messages: size, sessions: size, values: size });
        await ground.bosun("start");
        await ground.bosun("stats");
        const pairs: [string, (n: number) => Promise<string>, [string, (n: number) => Promise<string>][]][] = [
          [
            "list",
            () => ground.bosun("list"),
            [
              ["bosun list --limit 10000", () => ground.bosun("list", "--limit", "10000")],
              ["whole file, list", () => whole(ground, fresh, "list")],
              ["whole file, list, all stale", () => whole(ground, stale, "list")],
            ],
          ],
          [
            "register",
            (n) => ground.bosun("register", `new-${n}`, "New", "script"),
            [["whole file, register", (n) => whole(ground, fresh, "register", `new-${n}`)]],
          ],
          [
            "memory-set",
            (n) => ground.bosun("memory-set", "agent-1", `new-${n}`, "v"),
            [["whole file, memory-set", (n) => whole(ground, fresh, "memory-set", `new-${n}`)]],
          ],
          [
            "send",
            (n) => ground.bosun("send", "agent-1", "agent-2", `new ${n}`, "body"),
            [["whole file, send", (n) => whole(ground, fresh, "send", `new-${n}`)]],
          ],
        ];
        for (const [what, bosun, peers] of pairs) {
          const ms = await times(runs, bosun);
          ours.set(`${what} ${size}`, median(ms));
          all.push(series(`bosun ${what}, ${size} stored`, "ms", ms));
          for (const [name, peer] of peers) {
            const peerMs = await times(runs, peer);
            all.push(series(`${name}, ${size} stored`, "ms", peerMs));
          }
        }
      } finally {
        await ground.close();
      }
    }
    const largest = SIZES.at(-1)!;
    for (const what of ["list", "register", "memory-set", "send"]) {
      const ms = ours.get(`${what} ${largest}`)!;
      ratios.push(ratio(`bosun ${what} at ${largest}, ms`, ms, "< 150", ms < 150));
      const growth = ms / ours.get(`${what} ${SIZES[0]!}`)!;
      // A list prints up to a thousand lines.
      const most = what === "list" ? 3 : 1.5;
      ratios.push(ratio(`bosun ${what}: ${largest} / ${SIZES[0]} stored`, growth, `≤ ${most}`, growth <= most));
    }
    return {
      series: all,
      ratios,
      notes: [
        "whole file: bench/whole-file.mjs, the reading and writing of the system that the hub replaces, in the same Node.js; it locks nothing, syncs nothing, and keeps a hundred messages",
        "bosun list prints a thousand and says that there are more; --limit 10000 prints them all",
      ],
    };
  },
};

async function times(runs: number, work: (n: number) => Promise<unknown>): Promise<number[]> {
  await work(-1);
  const ms: number[] = [];
  for (let n = 0; n < runs; n++) ms.push(await timed(() => work(n)));
  return ms;
}

function whole(ground: Ground, folder: string, ...args: string[]): Promise<string> {
  return ground.run(process.execPath, [WHOLE_FILE, folder, ...args]);
}

function wholeFiles(folder: string, size: number, pinged: string): string {
  mkdirSync(folder);
  const ids = Array.from({ length: size }, (_, n) => `agent-${n}`);
  const write = (name: string, document: unknown): void =>
    writeFileSync(join(folder, name), JSON.stringify(document, null, 2));
  write("active_sessions.json", {
    sessions: Object.fromEntries(
      ids.map((id) => [
        id,
        {
          session_id: id,
          agent_name: id,
          agent_type: "script",
          status: "active",
          started_at: pinged,
          last_ping: pinged,
          human_user: "bench",
          location: null,
          capabilities: ["python", "review"],
          current_task: null,
          metadata: {},
        },
      ]),
    ),
  });
  write("recent_messages.json", {
    messages: ids.map((id) => ({
      message_id: id,
      type: "notification",
      from_session: id,
      to_session: "agent-1",
      subject: "Subject",
      body: "The quick brown fox jumps over the lazy dog",
      data: {},
      timestamp: pinged,
      in_reply_to: null,
    })),
  });
  write("memory.json", {
    entries: Object.fromEntries(
      ids.map((id) => [
        id,
        {
          entry_id: id,
          type: "fact",
          key: `key/${id}`,
          value: { text: "what was found out" },
          session_id: id,
          timestamp: pinged,
          ttl: null,
          tags: ["bench"],
          metadata: {},
        },
      ]),
    ),
  });
  return folder;
}
