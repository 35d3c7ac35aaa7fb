import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Ran, TownUnderTest, until } from "./town-under-test.ts";

const open: { town: TownUnderTest; sockets: Set<string> }[] = [];
afterEach(async () => {
  // All of them before the first folder goes: one may keep its state in another's.
  for (const { town } of open) await town.run(["stop"], { env: { BOSUN_TMUX_SOCKET: undefined } });
  for (const { town, sockets } of open.splice(0)) {
    for (const socket of sockets) ended(town, socket);
    await town.close();
  }
});

function ended(town: TownUnderTest, socket: string): void {
  try {
    tmux(town, socket, "kill-server");
  } catch {
    // It went with its last session.
  }
}

/** A town whose plan alone says which server it is on; tmux's sockets in a folder of its own, so that all servers are its own. */
function planned(plan: (socket: string) => string, socket: string): TownUnderTest {
  const town = new TownUnderTest(plan(socket));
  town.env.TMUX_TMPDIR = town.folder;
  delete town.env.BOSUN_TMUX_SOCKET;
  open.push({ town, sockets: new Set() });
  return town;
}

function tmux(town: TownUnderTest, socket: string, ...args: string[]): string {
  open.find((each) => each.town === town)?.sockets.add(socket);
  return execFileSync("tmux", ["-L", socket, "-u", ...args], {
    encoding: "utf8",
    env: town.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** `name pid` of each pane on a server; none where no server runs. */
function on(town: TownUnderTest, socket: string): string[] {
  try {
    return tmux(town, socket, "list-panes", "-a", "-F", "#{session_name} #{pane_pid}")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("_bosun"))
      .sort();
  } catch {
    return [];
  }
}
const names = (lines: readonly string[]): string[] => lines.map((line) => line.split(" ")[0]!);

const PLAN = (socket: string, more = ""): string => `version: 1
tmux: { socket: ${socket} }
defaults: { restart: always }
sessions:
  one: { about: One, run: exec sleep 900 }
  two: { about: Two, run: exec sleep 901${more} }
  byhand: { about: Three, run: exec sleep 902, start: manual }
`;

const refusedBecause = (ran: Ran, from: string, to: string): void => {
  expect(ran.stderr).toContain(`run on the tmux server ${from}`);
  expect(ran.stderr).toContain(to);
  expect(ran.stderr).toMatch(/nothing was started[\s\S]*bosun up --move/);
  expect(ran.code).toBe(5);
};

test("another tmux.socket while sessions run is refused before anything starts, also after a restart of the coordinator", async () => {
  const town = planned(PLAN, "before");
  await town.ok("up");
  await town.ok("up", "byhand");
  const there = on(town, "before");
  expect(names(there)).toEqual(["byhand", "one", "two"]);
  town.plan(PLAN("after"));
  const refused = async (): Promise<void> => {
    refusedBecause(await town.run(["up"]), "before", "the plan says after");
    refusedBecause(await town.run(["up", "one"]), "before", "the plan says after");
    refusedBecause(await town.run(["diff"]), "before", "the plan says after");
    expect(on(town, "after")).toEqual([]);
    expect(on(town, "before")).toEqual(there);
    expect((await town.json("status")).tmux.socket).toBe("before");
  };
  await refused();
  // The new coordinator reads the new plan; what runs is still seen, and nothing of it starts a second time.
  await town.ok("stop");
  expect((await town.json("status")).sessions.map((each: { state: string }) => each.state)).toEqual([
    ...["running", "running", "running"],
  ]);
  await refused();
  // Without a word on what it was: the servers themselves tell.
  await town.ok("stop");
  rmSync(join(town.stateFolder, "tmux.json"));
  await refused();
  // Down, and it goes to the other by itself.
  await town.ok("down");
  await town.ok("up");
  expect(on(town, "before")).toEqual([]);
  expect(names(on(town, "after"))).toEqual(["one", "two"]);
  expect((await town.json("status")).tmux.socket).toBe("after");
  await town.ok("stop");
  expect((await town.json("status")).tmux.socket).toBe("after");
});

test("BOSUN_TMUX_SOCKET of another server than sessions run on is refused too, whether the coordinator was started with it or not", async () => {
  const town = planned(PLAN, "before");
  await town.ok("up");
  const there = on(town, "before");
  const env = { BOSUN_TMUX_SOCKET: "other" };
  refusedBecause(await town.run(["up"], { env }), "before", "BOSUN_TMUX_SOCKET says other");
  await town.ok("stop");
  refusedBecause(await town.run(["up"], { env }), "before", "BOSUN_TMUX_SOCKET says other");
  // The other way round: started by it, and then without.
  expect(on(town, "before")).toEqual(there);
  await town.ok("down");
  expect((await town.run(["up"], { env })).code).toBe(0);
  expect(names(on(town, "other"))).toEqual(["one", "two"]);
  await town.ok("up");
  await town.ok("stop");
  refusedBecause(await town.run(["up"]), "other", "the plan says before");
  expect(on(town, "before")).toEqual([]);
  // What ends by itself comes back where the town is: nobody asked for another server.
  tmux(town, "other", "kill-session", "-t", "=one");
  await until(() => names(on(town, "other")).includes("one"), "it to come back there");
  expect(on(town, "before")).toEqual([]);
});

test("up --move ends what runs on the old server and starts it on the new one, what was started by hand too", async () => {
  const town = planned(PLAN, "before");
  await town.ok("up");
  await town.ok("up", "byhand");
  const pids = on(town, "before").map((line) => Number(line.split(" ")[1]));
  town.plan(PLAN("after"));
  expect((await town.run(["up", "one", "--move"])).code).toBe(2);
  const moved = await town.json("up", "--move");
  expect(moved.created.toSorted()).toEqual(["byhand", "one", "two"]);
  expect(on(town, "before")).toEqual([]);
  expect(names(on(town, "after"))).toEqual(["byhand", "one", "two"]);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
  expect(await town.ok("up")).toContain("nothing to do");
});

test("up --move leaves all as it is when one session is protected, until a person says yes", async () => {
  const town = planned((socket) => PLAN(socket, ", protect: true"), "before");
  await town.ok("up");
  const there = on(town, "before");
  town.plan(PLAN("after", ", protect: true"));
  const held = await town.run(["up", "--move"]);
  expect(held.code).toBe(5);
  expect(held.stderr).toMatch(/two \(protected\)[\s\S]*--move --yes/);
  expect(on(town, "before")).toEqual(there);
  expect(on(town, "after")).toEqual([]);
  await town.ok("up", "--move", "--yes");
  expect(on(town, "before")).toEqual([]);
  expect(names(on(town, "after"))).toEqual(["one", "two"]);
});

test("a session of this town on any other server is found by doctor, and stops up from starting more; another home's is not ours", async () => {
  const town = planned(PLAN, "before");
  await town.ok("up", "one");
  // As somebody who moved the state's word about it would leave it.
  tmux(town, "third", "-f", "/dev/null", "new-session", "-d", "-s", "two", "exec sleep 900");
  for (const [name, value] of [
    ["@town", town.town],
    ["@id", "two"],
    ["@epoch", "1"],
  ])
    tmux(town, "third", "set-option", "-t", "=two:", name!, value!);
  const split = async (): Promise<string[]> =>
    JSON.parse((await town.run(["doctor", "--only", "tmux.split-brain", "--json"])).stdout).findings.map(
      (each: { finding: string }) => each.finding,
    );
  expect(await split()).toEqual(["two of this town runs on another tmux server, third"]);
  const refused = await town.run(["up"]);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toMatch(/two of .* runs on the tmux server third/);
  expect((await town.run(["restart", "two"])).code).toBe(5);
  expect(names(on(town, "before"))).toEqual(["one"]);
  tmux(town, "third", "set-option", "-t", "=two:", "@coordinator", "0123456789abcdef");
  expect(await split()).toEqual([]);
  await town.ok("up");
  expect(names(on(town, "before"))).toEqual(["one", "two"]);
});

const RIG = `version: 1
town: shop
tmux: { socket: town }
names: gastown
sessions:
  mayor: { role: mayor, run: exec sleep 900 }
rigs:
  gastown: { sessions: { witness: { role: witness, run: exec sleep 901 }, refinery: { role: refinery, run: exec sleep 902 } } }
`;

test("S1-62: two towns with the same rig run side by side, each on a server of its own; so do two of one name in two homes", async () => {
  const first = planned(() => RIG.replace("shop", "gt11"), "town");
  const towns = ["gt12", "gt11"].map((name, index) => {
    const town = planned(() => RIG.replace("shop", name), "town");
    town.env.TMUX_TMPDIR = first.env.TMUX_TMPDIR!;
    // gt12 beside gt11; the other gt11 has a home of its own.
    if (index === 0) town.env.BOSUN_HOME = first.env.BOSUN_HOME!;
    return town;
  });
  const servers: string[] = [];
  for (const town of [first, ...towns]) {
    delete town.env.BOSUN_TOWN;
    await town.ok("up");
    const { tmux: at, town: name } = await town.json("status");
    expect(at.socket).toMatch(new RegExp(`^bosun-${name}-[0-9a-f]{6}$`));
    servers.push(at.socket);
  }
  expect(new Set(servers).size).toBe(3);
  const expected = (town: string): string[] => ["gt-gastown-refinery", "gt-gastown-witness", `hq-${town}-mayor`];
  expect(servers.map((socket) => names(on(first, socket)))).toEqual(["gt11", "gt12", "gt11"].map(expected));
  // What one does is not the others'.
  const others = servers.slice(1).map((socket) => on(first, socket));
  await first.ok("down");
  expect(on(first, servers[0]!)).toEqual([]);
  expect(servers.slice(1).map((socket) => on(first, socket))).toEqual(others);
  await first.ok("up");
  expect(names(on(first, servers[0]!))).toEqual(expected("gt11"));
  expect(await first.ok("status")).toContain(`tmux -L ${servers[0]}`);
});
