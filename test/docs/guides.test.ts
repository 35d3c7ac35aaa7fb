import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { TownUnderTest } from "../e2e/town-under-test.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGES = [
  ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
  ...readdirSync(ROOT),
  "examples/agents/README.md",
  "examples/trading-floor/README.md",
].filter((name) => name.endsWith(".md"));

const town = new TownUnderTest();
afterAll(() => town.close());

function text(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

function yamlOf(page: string): string[] {
  return [...text(page).matchAll(/```yaml\n([\s\S]*?)```/g)].map((block) => block[1]!);
}

describe.each(PAGES)("%s", (page) => {
  test("names only commands that exist", async () => {
    const overview = await town.ok("help");
    const known = new Set([...overview.matchAll(/^ {2}([a-z-]+)/gm)].map((match) => match[1]!));
    for (const verb of ["help", "demo"]) known.add(verb);
    // Commands stand in backticks or in indented blocks; elsewhere "bosun" is the name of the thing.
    const code = [...text(page).matchAll(/`([^`\n]+)`|^ {4}(.+)$/gm)].map((match) => match[1] ?? match[2]!);
    const verbs = code.flatMap((line) =>
      [...line.matchAll(/(?:^|[|;&·] ?|bin\/)bosun ([a-z-]+)/g)].map(([, verb]) => verb!),
    );
    expect(verbs.filter((verb) => !known.has(verb))).toEqual([]);
  });

  test("links only to what is there", () => {
    const links = [...text(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!);
    const missing = links.filter((link) => {
      try {
        readFileSync(resolve(ROOT, page, "..", link));
        return false;
      } catch {
        return true;
      }
    });
    expect(missing).toEqual([]);
  });
});

test("the pieces of docs/floorplan.md together are a plan", async () => {
  const [, smallest, ...pieces] = yamlOf("docs/floorplan.md");
  town.plan(smallest!);
  expect(await town.ok("check")).toContain("1 sessions");
  town.plan(`version: 1\nnames: floor\n${pieces.join("\n")}`);
  expect(await town.ok("check")).toContain("5 sessions, 4 rooms, 2 users");
});

test("the sources of docs/rooms.md are a plan with the rooms they name", async () => {
  const rooms = yamlOf("docs/rooms.md")[0]!;
  town.plan(`version: 1\n${rooms}  qqq: {}\n  iwm: {}\nsessions: { agents-spx: { run: sh } }\n`);
  expect(await town.ok("check")).toContain("3 rooms");
});
