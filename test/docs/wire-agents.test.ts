import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TownUnderTest, until } from "../e2e/town-under-test.ts";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../docs/wire.md"), "utf8");

/** The programs of the page, in its order, as somebody would copy them. */
const [python] = blocks("python");
const [listen, fifo] = blocks("sh");

const AGENTS = [
  { name: "python", run: "python3", file: "agent.py", program: python!, route: "socket" },
  { name: "sh", run: "sh", file: "listen.sh", program: listen!, route: "socket" },
  { name: "fifo", run: "sh", file: "fifo.sh", program: fifo!, route: "fifo" },
];

/** Python is no prerequisite of bosun; its agent is left out where there is none. */
const missing = spawnSync("python3", ["-c", ""]).status === 0 ? "" : "python";

const town = new TownUnderTest();

beforeAll(async () => {
  for (const { file, program } of AGENTS) writeFileSync(join(town.folder, file), program);
  town.plan(
    [
      "version: 1",
      "rooms: { floor: {} }",
      "sessions:",
      ...AGENTS.map(
        ({ name, run, file }) =>
          `  agents-${name}: { run: ${run} ${file}, room: floor, agent: { id: ${name}, type: script } }`,
      ),
      "",
    ].join("\n"),
  );
  await town.ok("up");
});
afterAll(() => town.close());

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map((block) => block[1]!);
}

test("the Python agent of docs/wire.md has the ten lines it is said to have", () => {
  expect(python!.trimEnd().split("\n")).toHaveLength(10);
});

test.for(AGENTS)(
  "$name, copied from docs/wire.md, says its line and answers two questions by $route",
  async ({ name, route }, { skip }) => {
    skip(name === missing, "python3 is not installed");
    await until(
      async () => (await town.json("route", "explain", name)).hops[1].by === route,
      `${name} reachable by ${route}`,
      20_000,
    );
    for (const question of ["status", "and now?"])
      expect(await town.json("ask", name, question)).toMatchObject({ answer: "all is well", route });
    expect(await town.ok("feed", "floor", "--agent", name, "--msg")).toBe(`${name} is here\n`);
  },
);
