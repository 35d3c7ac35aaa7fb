import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest } from "./town-under-test.ts";

let town: TownUnderTest;

beforeEach(() => {
  town = new TownUnderTest(`version: 1
names: ship
sessions:
  sisters:
    about: The Sisters' interactive session
    meaning: who speaks there
    run: "exec sleep 900"
    lifecycle: persistent
    restart: always
    created: { by: clod, date: 2026-02-11, note: boot phase 4 }
    registry: SPEC_SESSIONS.md
    feeds: [clod_bridge]
  clod_bridge: { about: Monitoring, lifecycle: permanent, restart: always, run: "exec sleep 900", after: [sisters] }
  aether: { about: Older than all, run: "exec sleep 900", lifecycle: manual, naming_exception: older than the rule }
hosts: { here: localhost }
`);
});
afterEach(() => town.close());

test("S2-06, S2-07, S2-08, S2-09, S2-10, S2-12, S2-38: what is written down of each session is shown, and its process stands beside", async () => {
  const shown = await town.ok("plan", "show");
  const sisters = shown.slice(shown.indexOf("  sisters\n"), shown.indexOf("\n  clod_bridge\n"));
  for (const said of [
    "for       The Sisters' interactive session",
    "means     who speaks there",
    "created   by clod, date 2026-02-11, note boot phase 4",
    "registry  SPEC_SESSIONS.md",
    "feeds     clod_bridge",
    "life      persistent, starts with up, restart always",
  ])
    expect(sisters).toContain(said);
  expect(shown).toContain("life      manual, starts manual, restart never");
  await town.ok("up");
  const { sessions } = await town.json("status");
  // What starts by hand has not been started.
  expect(sessions.map((each: { id: string; state: string }) => [each.id, each.state])).toEqual([
    ["sisters", "running"],
    ["clod_bridge", "running"],
    ["aether", "declared"],
  ]);
  expect(sessions[0].panes).toMatchObject([{ command: expect.stringContaining("sleep 900"), window: "main" }]);
  town.tmux("new-window", "-d", "-t", "=sisters:", "-n", "extra", "exec sleep 9");
  town.tmux("rename-window", "-t", "=clod_bridge:", "renamed");
  const drifted = (await town.json("status")).sessions as { id: string; drift: string[] }[];
  expect(drifted.find((each) => each.id === "sisters")!.drift.join()).toContain("extra");
});

test("S2-35, S2-37: a name without a function is noted, unless its exception is written down; so is what nothing acts on yet", async () => {
  const ran = await town.run(["check"]);
  expect(ran.code).toBe(0);
  expect(ran.stderr).toContain("sisters: its name has no function");
  expect(ran.stderr).not.toContain("aether: its name");
  expect(ran.stderr).toContain("hosts: is understood, and nothing acts on it");
  expect((await town.json("check")).notes).toHaveLength(2);
});

test("S2-39, S2-41, S2-42: aboard a ship a session without a purpose, or without a word on what restarts it, is refused with its place", async () => {
  town.plan(`version: 1
names: ship
sessions:
  clod_bridge: { run: "exec sleep 900" }
`);
  const ran = await town.run(["up"]);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/:4:3: clod_bridge has no purpose[\s\S]*about: what this session does/);
  expect(ran.stderr).toMatch(/nothing says what restarts clod_bridge[\s\S]*restart: always/);
  town.plan(`version: 1
sessions:
  clod_bridge: { run: "exec sleep 900" }
`);
  town.plan(`version: 1
sessions:
  clod_bridge: { about: Monitoring, lifecycle: persistent, run: "exec sleep 900" }
`);
  const unkept = await town.run(["up"]);
  expect(unkept.code).toBe(2);
  expect(unkept.stderr).toMatch(/clod_bridge is persistent and nothing restarts it[\s\S]*restart: always/);
  town.plan(`version: 1
sessions:
  clod_bridge: { run: "exec sleep 900" }
`);
  // Elsewhere it is a note.
  expect((await town.run(["check"])).stderr).toContain("clod_bridge: nobody wrote down what it is for");
});
