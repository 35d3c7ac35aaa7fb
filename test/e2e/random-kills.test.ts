import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

/** Five minutes by hand (KILLS_S=300); what the suite has time for otherwise. */
const SECONDS = Number(process.env.KILLS_S ?? 30);

let town: TownUnderTest;
beforeEach(() => {
  town = new TownUnderTest();
});
afterEach(() => town.close());

/** Processes of this town's session, by what stands in their environment. */
function running(session: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
      const command = readFileSync(`/proc/${name}/cmdline`, "latin1");
      const ours = environment.includes(`BOSUN_TOWN=${town.town}`) && environment.includes(`BOSUN_SESSION=${session}`);
      return ours && command.startsWith("sleep\0") ? [Number(name)] : [];
    } catch {
      // It has ended, or is somebody else's.
      return [];
    }
  });
}

test(
  "S2-65, S2-78: kill -9 of tmux, coordinator and agents at random: the floor returns each time, nothing runs twice, no chapter is lost unmarked",
  async () => {
    const budget = "budget: [ { starts: 100000, per: 10m } ]";
    town.plan(`version: 1
defaults: { restart: { policy: always, delay: 20ms, backoff: { base: 20ms, max: 100ms }, ${budget} } }
sessions:
  sisters: { about: The Sisters, run: exec sleep 86401, chapter: { minutes: 60, handshake: HANDSHAKE.md, sessions: SESSIONS.md } }
  bridge: { about: Two windows, windows: [ { name: a, run: exec sleep 86402 }, { name: b, run: exec sleep 86403 } ] }
  astra: { about: Heartbeat, run: exec sleep 86404, after: sisters }
`);
    await town.ok("up");
    const expected: Record<string, number> = { sisters: 1, bridge: 2, astra: 1 };
    const asDeclared = async (): Promise<boolean> => {
      const ran = await town.run(["status", "--json"]);
      if (ran.code !== 0) return false;
      const { sessions } = JSON.parse(ran.stdout) as { sessions: { id: string; state: string; drift: string[] }[] };
      return (
        sessions.every((each) => each.state === "running" && each.drift.length === 0) &&
        Object.entries(expected).every(([id, count]) => running(id).length === count)
      );
    };
    await until(asDeclared, "the first start");
    // The same order in every run that has the same length.
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const kills: Record<string, () => void> = {
      agent: () => {
        const pids = running(["sisters", "bridge", "astra"][random(3)]!);
        if (pids.length > 0) process.kill(pids[random(pids.length)]!, "SIGKILL");
      },
      session: () => {
        try {
          town.tmux("kill-session", "-t", `=${["sisters", "bridge", "astra"][random(3)]}`);
        } catch {
          // Gone with its server a moment ago.
        }
      },
      tmux: () => {
        try {
          process.kill(Number(town.tmux("display-message", "-p", "#{pid}")), "SIGKILL");
        } catch {
          // It is just coming back.
        }
      },
      coordinator: () => {
        const pid = town.coordinatorPid();
        if (pid !== null) process.kill(pid, "SIGKILL");
      },
    };
    const names = ["agent", "agent", "session", "tmux", "coordinator"];
    const done: string[] = [];
    const endMs = Date.now() + SECONDS * 1_000;
    while (Date.now() < endMs) {
      // One, two or three of them at once, and then some more before all is well.
      for (let n = random(3); n >= 0; n--) {
        const name = names[random(names.length)]!;
        done.push(name);
        kills[name]!();
        await pause(random(60));
      }
      await until(
        asDeclared,
        `the floor to be as declared after ${done.slice(-4).join(", ")} (${done.length} kills)`,
        30_000,
      ).catch(async (error: unknown) => {
        const counts = Object.keys(expected).map((id) => `${id} ${running(id).length}`);
        const { stdout } = await town.run(["status"]);
        const events = (await town.run(["events", "-n", "25"])).stdout;
        throw new Error(`${(error as Error).message}\n${counts.join(", ")}\n${stdout}\n${events}`);
      });
    }
    const { chapters, ok, burned } = await town.json("series", "verify", "sisters");
    expect(ok).toBe(true);
    const book = (await town.json("books", "sisters", "-n", "1000")).series[0].chapters as {
      number: number;
      phase: string;
      burned: boolean;
      end_reason: string | null;
    }[];
    expect(book.map((each) => each.number)).toEqual(Array.from({ length: chapters }, (_, n) => chapters - n));
    expect(book[0]).toMatchObject({ phase: "opening" });
    expect(book.slice(1).every((each) => each.phase === "closed" && each.burned && each.end_reason !== null)).toBe(
      true,
    );
    expect(burned).toHaveLength(chapters - 1);
    const entries = readFileSync(join(town.folder, "SESSIONS.md"), "utf8").match(/^## .*sisters#\d+ /gm)!;
    expect(new Set(entries.map((line) => line.split(" ")[3])).size).toBe(entries.length);
    expect(entries).toHaveLength(chapters - 1);
    expect(existsSync(join(town.folder, "HANDSHAKE.md"))).toBe(true);
    expect((await town.json("audit", "verify")).ok).toBe(true);
    console.log(
      `${done.length} kills in ${SECONDS} s, ${chapters} chapters: ${JSON.stringify(Object.fromEntries(names.map((name) => [name, done.filter((each) => each === name).length])))}`,
    );
  },
  (SECONDS + 120) * 1_000,
);
