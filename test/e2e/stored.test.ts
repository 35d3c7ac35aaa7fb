import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { fill } from "../../bench/fill.ts";
import { TownUnderTest } from "./town-under-test.ts";

const towns: TownUnderTest[] = [];
afterEach(async () => {
  for (const town of towns.splice(0)) await town.close();
});

/** What a command makes the coordinator read and write, in bytes, sockets included: no clock is asked. */
async function costs(stored: number): Promise<{ town: TownUnderTest; bytes: Record<string, number> }> {
  const town = new TownUnderTest();
  towns.push(town);
  await fill(town.stateFolder, { messages: stored, sessions: stored, values: stored });
  await town.ok("stats");
  const moved = (): number => {
    const io = readFileSync(`/proc/${town.coordinatorPid()}/io`, "utf8");
    return Number(/rchar: (\d+)/.exec(io)![1]) + Number(/wchar: (\d+)/.exec(io)![1]);
  };
  // Words of what was there are taken into the search first.
  for (let before = -1; before !== moved(); ) {
    before = moved();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const bytes: Record<string, number> = {};
  const commands = {
    register: (n: number) => ["register", `new-${n}`, "New", "script"],
    ping: () => ["ping", "agent-1"],
    "memory-set": (n: number) => ["memory-set", "agent-1", `new-${n}`, "v"],
    "memory-get": () => ["memory-get", "key/3"],
    send: () => ["send", "agent-1", "agent-2", "s", "b"],
    list: () => ["list", "--limit", "5"],
  };
  for (const [what, args] of Object.entries(commands)) {
    await town.ok(...args(0));
    const each: number[] = [];
    for (let n = 1; n <= 5; n++) {
      const before = moved();
      await town.ok(...args(n));
      each.push(moved() - before);
    }
    // The middle one: now and then the store moves what has gathered in its journal.
    bytes[what] = each.toSorted((a, b) => a - b)[2]!;
  }
  return { town, bytes };
}

test("O4-11: with 10,000 agents, messages and values no command reads or writes more than with 10", async () => {
  const few = await costs(10);
  const many = await costs(10_000);
  for (const [what, bytes] of Object.entries(many.bytes)) {
    // Whole files would be a thousand times more. A page or two of an index may come on top.
    expect(bytes, `${what}: ${few.bytes[what]} bytes with 10 stored`).toBeLessThan(few.bytes[what]! * 1.5 + 16_384);
  }
  expect((await many.town.json("list")).sessions).toHaveLength(1_000);
  expect(await many.town.ok("list")).toMatch(/Total: 10006/);
  expect(await many.town.json("stats")).toMatchObject({ memory: { unique_keys: 10_006 } });
}, 120_000);
