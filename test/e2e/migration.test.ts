import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
beforeEach(() => {
  town = new TownUnderTest(undefined, { town: "gt11" });
  town.env.TMUX_TMPDIR = town.folder;
});
afterEach(() => town.close());

const PLAN = (more = ""): string => `version: 1
names: gastown
${more}defaults: { restart: always }
sessions:
  mayor: { role: mayor, about: Hands out work, run: exec sleep 900 }
  deacon: { role: deacon, about: Patrols, run: exec sleep 901 }
  boot: { role: boot, about: Watches the deacon, run: exec sleep 902, after: deacon }
`;

/** As an older system started it: unmarked, in the town's folder, counting into a file of its own. */
function legacy(name: string, cwd = town.folder): number {
  const file = join(town.folder, `${name}.count`);
  town.tmux(
    ...["-f", "/dev/null", "new-session", "-d", "-s", name, "-c", cwd, "-e", "BOSUN_TOWN="],
    `n=0; while :; do n=$((n+1)); echo $n >> ${file}; sleep 0.02; done`,
  );
  return pidOf(name);
}
const pidOf = (name: string): number =>
  Number(town.tmux("display-message", "-p", "-t", `=${name}:`, "#{pane_pid}").trim());
const counts = (name: string): number[] =>
  readFileSync(join(town.folder, `${name}.count`), "utf8")
    .trim()
    .split("\n")
    .map(Number);
const findings = async (...args: string[]) =>
  JSON.parse((await town.run(["doctor", "--only", "names.legacy", "--json", ...args])).stdout).findings as {
    finding: string;
    fixed: boolean;
    fixable: boolean;
  }[];

test("S1-47, S1-48, S1-52, S1-61: live sessions under old names are renamed as they run: same process, counter unbroken", async () => {
  const before = { "hq-mayor": legacy("hq-mayor"), "hq-deacon": legacy("hq-deacon"), "gt-boot": legacy("gt-boot") };
  town.plan(PLAN());
  await town.ok("status");
  await town.ok("up", "mayor").catch(() => "");
  // Without --fix nothing changes.
  await town.ok("down", "mayor").catch(() => "");
  expect(town.sessions()).toEqual(expect.arrayContaining(["gt-boot", "hq-deacon", "hq-mayor"]));
  const told = await findings();
  expect(told).toHaveLength(3);
  expect(told.every((each) => each.fixable && !each.fixed)).toBe(true);
  expect(town.sessions()).toEqual(["gt-boot", "hq-deacon", "hq-mayor"]);
  const fixed = await findings("--fix");
  expect(fixed.filter((each) => each.fixed)).toHaveLength(3);
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  for (const [name, pid] of Object.entries(before)) {
    expect(pidOf(name === "gt-boot" ? "hq-gt11-boot" : name.replace("hq-", "hq-gt11-"))).toBe(pid);
    await new Promise((next) => setTimeout(next, 100));
    const all = counts(name);
    expect(all).toEqual(Array.from({ length: all.length }, (_, n) => n + 1));
  }
  const { sessions } = await town.json("status");
  expect(sessions.map((each: { id: string; state: string }) => [each.id, each.state])).toEqual([
    ["mayor", "running"],
    ["deacon", "running"],
    ["boot", "running"],
  ]);
});

test("S1-44, S1-53: the log has both names, and every command understands both", async () => {
  legacy("hq-mayor");
  town.plan(PLAN());
  await town.ok("up", "boot");
  await findings("--fix");
  const { events } = await town.json("events", "--last", "100");
  expect(events).toContainEqual(
    expect.objectContaining({ type: "session.renamed", session: "mayor", from: "hq-mayor", to: "hq-gt11-mayor" }),
  );
  for (const name of ["hq-mayor", "hq-gt11-mayor", "mayor"]) {
    expect((await town.json("status", name)).sessions).toMatchObject([{ id: "mayor", state: "running" }]);
    expect((await town.json("why", name)).session).toBe("mayor");
    expect((await town.run(["peek", name])).code).toBe(0);
    expect((await town.run(["logs", name])).code).toBe(0);
    expect((await town.json("explain", name)).session).toBe("mayor");
  }
});

test("what somebody uses, what is protected, and what nothing proves to be this town's is renamed only when it is named", async () => {
  legacy("hq-mayor", "/");
  town.plan(PLAN());
  await town.ok("up", "boot");
  const told = await findings("--fix");
  expect(told).toMatchObject([{ fixable: false, fixed: false }]);
  expect(told[0]!.finding).toContain("nothing shows that it is this town's");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-mayor"]);
  expect((await findings("--fix", "hq-mayor")).filter((each) => each.fixed)).toHaveLength(1);
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-mayor"]);
  // One that says that it is another town's is none of this one's business.
  town.tmux("new-session", "-d", "-s", "hq-deacon", "-e", "BOSUN_TOWN=", "-e", "GT_TOWN_NAME=gt12", "exec sleep 900");
  expect(await findings("--fix", "hq-deacon")).toEqual([]);
  expect(town.sessions()).toContain("hq-deacon");
});

test("S1-46, S1-49, S1-50: a fresh plan has new names alone; in strict mode an old one is like any unknown one", async () => {
  town.plan(PLAN());
  await town.ok("up");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  await town.ok("down");
  await town.ok("up");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  await town.ok("down", "deacon");
  writeFileSync(town.planFile, PLAN().replace("names: gastown\n", "names: { preset: gastown, legacy: refuse }\n"));
  await town.ok("up", "mayor");
  legacy("hq-deacon");
  await until(async () => (await town.json("ghosts")).ghosts.length === 1, "it to be seen");
  expect(await findings()).toEqual([]);
  expect((await town.json("ghosts")).ghosts[0]).toMatchObject({ name: "hq-deacon", class: "G3" });
  expect((await town.run(["status", "hq-mayor"])).code).toBe(3);
});
