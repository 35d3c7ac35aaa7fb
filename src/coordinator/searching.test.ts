import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ANN, agent, Clock, openFloor } from "./registry.fixture.ts";

let folder: string;
let clock: Clock;
let floor: ReturnType<typeof openFloor>;

const A = agent("a");
const B = agent("b");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-search-"));
  clock = new Clock();
  floor = openFloor(folder, clock);
  for (const id of ["a", "b", "c"]) await floor.register(id);
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true });
});

const write = (subject: string, body: string, to = "b") => floor.call(A, "message.send", { to: [to], subject, body });
const set = (key: string, value: unknown, more: object = {}) => floor.call(A, "memory.set", { key, value, ...more });
const find = async (query: string, more: object = {}, who = ANN): Promise<string[]> =>
  (await floor.call(who, "search.text", { query, ...more })).hits.map((hit: { line: string }) => hit.line);

test("mail and memory are found by their words at once, newest first, with a line that shows why", async () => {
  await write("Deploy", "step one\nthe gamma wall moved to 505\nstep three");
  await set("deploy_state", { stage: "canary wall" });
  expect(await find("wall")).toEqual(['deploy_state: {"stage":"canary wall"}', "Deploy: the gamma wall moved to 505"]);
  expect(await find("gamma 505")).toEqual(["Deploy: the gamma wall moved to 505"]);
  expect(await find('"wall moved"')).toHaveLength(1);
  expect(await find('"moved wall"')).toEqual([]);
  expect(await find("mov*")).toHaveLength(1);
  expect(await find("mov")).toEqual([]);
  expect(await find("DEPLOY state")).toEqual(['deploy_state: {"stage":"canary wall"}']);
  expect(await find("wall", { in: ["memory"] })).toHaveLength(1);
});

test("scripts without spaces and letters with marks are found", async () => {
  await write("会议", "记忆体在共享空间里");
  await write("Café", "naïve résumé");
  expect(await find("共享")).toEqual(["会议: 记忆体在共享空间里"]);
  expect(await find("享共")).toEqual([]);
  expect(await find("resume cafe")).toEqual(["Café: naïve résumé"]);
});

test("nobody finds mail that is not theirs", async () => {
  await write("Secret", "the password is swordfish", "b");
  await set("shared", "swordfish too");
  expect(await find("swordfish", {}, B)).toHaveLength(2);
  expect(await find("swordfish", {}, agent("c"))).toEqual(['shared: "swordfish too"']);
});

test("a value is found as long as it is the newest", async () => {
  await set("k", "apple");
  await set("k", "pear", { ttlS: 5 });
  expect([await find("apple"), await find("pear")]).toEqual([[], ['k: "pear"']]);
  clock.pass(5);
  expect(await find("pear")).toEqual([]);
});

test("pages are whole; a time narrows", async () => {
  for (let n = 0; n < 25; n++) await write(`n${n}`, "common");
  clock.pass(60);
  await write("late", "common");
  const first = await floor.call(ANN, "search.text", { query: "common", limit: 20 });
  const second = await floor.call(ANN, "search.text", { query: "common", limit: 20, after: first.next });
  expect([first.hits.length, second.hits.length, second.next]).toEqual([20, 6, null]);
  expect(await find("common", { since: new Date(clock.ms - 1000).toISOString() })).toEqual(["late: common"]);
});

test("whatever is typed is text: no operator, no error but for no words at all", async () => {
  await write("x", "y");
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1, maxLength: 60 }), async (query) => {
      const answer = await find(query).catch((error: { code: string }) => error.code);
      expect(Array.isArray(answer) || answer === "USAGE").toBe(true);
    }),
    { numRuns: 300 },
  );
  for (const query of ["a OR b", "NEAR(a b)", 'x" OR "y', "text:x", "*", "-x", "(", "x AND"]) {
    const answer = await find(query).catch((error: { code: string }) => error.code);
    expect(Array.isArray(answer) || answer === "USAGE").toBe(true);
  }
});

test("the index goes on after a restart, and is made anew when it is damaged", async () => {
  await write("before", "needle");
  expect(await find("needle")).toHaveLength(1);
  await floor.close();
  writeFileSync(join(folder, "town", "search.sqlite"), "no database any more");
  floor = openFloor(folder, clock);
  await write("after", "needle");
  expect(await find("needle")).toEqual(["after: needle", "before: needle"]);
});
