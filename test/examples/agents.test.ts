import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TownUnderTest, until } from "../e2e/town-under-test.ts";

const AGENTS = ["fifo", "listen", "python", "typescript"];

/** Python is no prerequisite of bosun; its agent is left out where there is none. */
const missing = spawnSync("python3", ["-c", ""]).status === 0 ? "" : "python";

const town = new TownUnderTest();
const plan = ["--file", resolve(import.meta.dirname, "../../examples/agents/floorplan.yaml")];

beforeAll(async () => {
  await town.ok("up", ...plan);
});
afterAll(() => town.close());

interface Line {
  room: string;
  from: string;
  msg: string;
}

async function linesOf(room: string): Promise<Line[]> {
  const text = await town.ok("feed", room, "--json");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

test("S0-03: four agents, four rooms, one agent each; tmux shows them", async () => {
  const { rooms } = await town.json<{ rooms: { room: string; agents: string[] }[] }>("status");
  expect(rooms.map(({ room, agents }) => [room, agents]).sort()).toEqual(AGENTS.map((name) => [name, [name]]));
  expect(town.sessions()).toEqual(AGENTS);
});

test.for(AGENTS)("%s says its ticks in its room, in its own name and in order", async (name, { skip }) => {
  skip(name === missing, "python3 is not installed");
  await until(async () => (await linesOf(name)).length >= 3, `three lines of ${name}`, 20_000);
  expect((await linesOf(name)).slice(0, 3).map(({ from, msg }) => [from, msg])).toEqual([
    [name, "tick 1"],
    [name, "tick 2"],
    [name, "tick 3"],
  ]);
});

test.for([
  ["listen", "socket", /^ticking since \d\d:\d\d:\d\d$/],
  ["fifo", "fifo", /^ticking since \d\d:\d\d:\d\d$/],
  ["python", "socket", /^ticking$/],
  ["typescript", "socket", /^tick \d+$/],
] as const)("%s answers, reached by %s, and says what can be asked", async ([name, route, expected], { skip }) => {
  skip(name === missing, "python3 is not installed");
  const status = await until(
    async () => {
      const answer = await town.json<{ answer: string; route: string }>("ask", name, "status", "--timeout", "5s");
      return answer.route === route ? answer : null;
    },
    `an answer of ${name} by ${route}`,
    20_000,
  );
  expect(status.answer).toMatch(expected);
  expect((await town.json<{ answer: string }>("ask", name, "dance")).answer).toBe("ask me: status");
});
