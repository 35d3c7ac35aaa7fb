import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const PLAN = `version: 1
names: floor
rooms: { spx: { about: SPX }, qqq: { about: QQQ } }
sessions:
  agents-spx:
    about: Agents of SPX
    room: spx
    headless: true
    windows: [ { name: agents, panes: [ { agent: { id: deacon-spx, type: narrator }, run: "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2; done" } ] } ]
users:
  steve: { view: [ { name: main, layout: even-vertical, panes: [ { feed: spx }, { feed: qqq }, command ] } ] }
  alice: { view: [ { name: main, layout: even-vertical, panes: [ { feed: spx }, { feed: qqq }, command ] } ] }
`;

function attach(session: string, size = "120x40"): { kill: () => void } {
  const [columns, rows] = size.split("x");
  const client = spawn(
    "script",
    ["-qfc", `stty cols ${columns} rows ${rows}; exec tmux -L ${town.socket} attach -t =${session}`, "/dev/null"],
    {
      env: town.env,
      stdio: ["pipe", "pipe", "ignore"],
    },
  );
  client.stdout.resume();
  return { kill: () => client.kill("SIGKILL") };
}

test("S0-41 S0-42: a shared window is the same window at index 9; unshare takes it away and leaves the source", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const source = town.tmux("list-windows", "-t", "=agents-spx", "-F", "#{window_id}").trim();
  const current = town.tmux("display-message", "-p", "-t", "=moo-steve:", "#{window_index}").trim();
  const shared = await town.json("share", "agents-spx", "--with", "steve");
  expect(shared).toMatchObject({
    index: 9,
    view: "moo-steve",
    present: expect.arrayContaining(["agents-spx", "moo-steve"]),
  });
  await town.ok("share", "agents-spx", "--with", "alice");
  expect(town.tmux("list-windows", "-t", "=moo-steve", "-F", "#{window_index} #{window_id}")).toContain(`9 ${source}`);
  expect(town.tmux("display-message", "-p", "-t", "=moo-steve:", "#{window_index}").trim()).toBe(current);
  const { views } = await town.json("view", "ls");
  expect(views.find((view: { user: string }) => view.user === "steve").shared[0].with).toEqual(
    expect.arrayContaining(["agents-spx", "moo-alice"]),
  );
  await town.ok("unshare", "agents-spx", "--with", "steve");
  expect(town.tmux("list-windows", "-t", "=moo-steve", "-F", "#{window_id}")).not.toContain(source);
  expect(town.tmux("list-windows", "-t", "=agents-spx", "-F", "#{window_id}").trim()).toBe(source);
});

test("S0-41, lesson 63: stopping a view never ends an agent's window that was shared into it", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const pid = town.tmux("list-panes", "-t", "=agents-spx:", "-F", "#{pane_pid}").trim();
  await town.ok("share", "agents-spx", "--with", "steve");
  await town.ok("down", "view/steve");
  expect(town.sessions()).toEqual(["agents-spx", "moo-alice"]);
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  expect(town.tmux("list-panes", "-t", "=agents-spx:", "-F", "#{pane_pid}").trim()).toBe(pid);
});

test("S0-43: a replica shows the bytes of its source", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const shared = await town.json("share", "agents-spx", "--with", "steve", "--mode", "replicate");
  const replica = `=moo-steve:${shared.index}`;
  const ticks = (target: string): string[] => town.capture(target).match(/tick \d+/g) ?? [];
  const copied = await until(() => (ticks(replica).length >= 5 ? ticks(replica) : null), "lines in the replica");
  const numbers = copied.map((tick) => Number(tick.split(" ")[1]));
  expect(numbers).toEqual(numbers.map((_, index) => numbers[0]! + index));
  expect(town.tmux("display-message", "-p", "-t", replica, "#{window_id}")).not.toBe(
    town.tmux("display-message", "-p", "-t", "=agents-spx:", "#{window_id}"),
  );
});

test("S0-15 S0-22: a person's layout is kept through a restart of the view, and nobody else's changes", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const client = attach("moo-steve");
  await until(() => town.tmux("list-clients").includes("moo-steve"), "steve attached");
  const alice = town.tmux("display-message", "-p", "-t", "=moo-alice:main", "#{window_layout}");
  const heights = (): string =>
    town.tmux("list-panes", "-t", "=moo-steve:main", "-F", "#{pane_height}").trim().replaceAll("\n", " ");
  const shape = (): number[] => heights().split(" ").map(Number);
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  town.tmux("resize-pane", "-t", "=moo-steve:main.{top}", "-y", "4");
  await until(
    async () =>
      (await town.json("events", "--session", "view/steve")).events.some(
        (event: { type: string }) => event.type === "view.layout",
      ),
    "the layout being kept",
    15_000,
  );
  const [first, ...rest] = shape();
  expect(first).toBe(4);
  await town.ok("restart", "view/steve", "--yes");
  client.kill();
  const again = shape();
  expect(again).toHaveLength(rest.length + 1);
  expect(again[0]).toBeLessThan(again[1]!);
  expect(town.tmux("display-message", "-p", "-t", "=moo-alice:main", "#{window_layout}")).toBe(alice);
});

test("S0-39: a view is opened on demand, once", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up", "agents-spx");
  expect(town.sessions()).toEqual(["agents-spx"]);
  expect(await town.json("view", "open", "steve")).toMatchObject({ name: "moo-steve", created: true });
  expect(await town.json("view", "open", "steve")).toMatchObject({ name: "moo-steve", created: false });
  expect(town.sessions()).toEqual(["agents-spx", "moo-steve"]);
  const unknown = await town.run(["view", "open", "nobody"]);
  expect(unknown.code).toBe(3);
  expect(unknown.stderr).toMatch(/steve, alice/);
});

test("a small terminal in a view never resizes an agent, not even through a shared window's own session", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const size = (): string =>
    town.tmux("display-message", "-p", "-t", "=agents-spx:", "#{window_width}x#{window_height}").trim();
  const before = size();
  const client = attach("agents-spx", "40x10");
  await until(() => town.tmux("list-clients").includes("agents-spx"), "the small client");
  expect(size()).toBe(before);
  client.kill();
});
