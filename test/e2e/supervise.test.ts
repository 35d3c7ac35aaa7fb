import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
let starts: string;

beforeEach(() => {
  town = new TownUnderTest();
  starts = join(town.folder, "starts");
});
afterEach(() => town.close());

interface Shown {
  id: string;
  state: string;
  pid: number | null;
  restarts: number;
}
const shown = async (id: string): Promise<Shown> =>
  (await town.json("status")).sessions.find((each: Shown) => each.id === id);
const started = (): number => {
  try {
    return readFileSync(starts, "utf8").trim().split("\n").length;
  } catch {
    return 0;
  }
};

test("S2-15, S2-78: every session that is to run always is there again after a kill, with its windows", async () => {
  town.plan(`version: 1
defaults: { restart: always }
sessions:
  sisters: { run: "exec sleep 900" }
  clod_bridge:
    windows:
      - { name: comms_watcher, run: "exec sleep 901" }
      - { name: sisters_watch, run: "exec sleep 902" }
`);
  await town.ok("up");
  for (const id of ["sisters", "clod_bridge"]) {
    const { pid } = await shown(id);
    process.kill(pid!, "SIGKILL");
    await until(
      async () => {
        const now = await shown(id);
        return now.state === "running" && now.pid !== pid;
      },
      `${id} to be there again`,
      5_000,
    );
  }
  town.tmux("kill-session", "-t", "=clod_bridge");
  await until(async () => (await shown("clod_bridge")).state === "running", "the whole of it", 10_000);
  expect(town.tmux("list-windows", "-t", "=clod_bridge", "-F", "#{window_name}").trim().split("\n")).toEqual([
    "comms_watcher",
    "sisters_watch",
  ]);
  const { ends } = await town.json("why", "sisters");
  expect(ends).toMatchObject([{ exit: "signal 9", decided: "restart", streak: 1, failures: 1 }]);
});

test("a crash loop makes exactly as many starts as declared, over a kill of the coordinator too; then a person decides", async () => {
  town.plan(`version: 1
sessions:
  loop:
    run: "echo x >> ${starts}; sleep 0.1; exit 7"
    restart: { policy: always, delay: 50ms, backoff: { base: 100ms, max: 300ms }, budget: [ { starts: 5, per: 10m } ] }
`);
  await town.ok("up");
  await until(() => started() >= 3, "three starts");
  process.kill(town.coordinatorPid()!, "SIGKILL");
  await until(async () => (await town.json("why", "loop")).ends[0]?.decided === "park", "it to be given up", 15_000);
  await pause(1_000);
  // The first, and five retries.
  expect(started()).toBe(6);
  const why = await town.ok("why", "loop");
  expect(why).toContain("parked: it failed 5 times in 10 min");
  await town.ok("reset-failed", "loop");
  await until(() => started() === 12, "as many again", 10_000);
  await pause(700);
  expect(started()).toBe(12);
  // A person who restarts it begins anew, too.
  writeFileSync(starts, "");
  await town.ok("restart", "loop", "--yes");
  await until(() => started() >= 3, "it to be tried again", 10_000);
}, 60_000);

test("exit codes: what is no failure, what is never tried again, what is tried later", async () => {
  town.plan(`version: 1
sessions:
  done: { run: "exit 3", restart: { policy: on-failure, success_exit: [0, 3] } }
  broken: { run: "exit 42", restart: { policy: always, never_exit: [42] } }
  later: { run: "echo x >> ${starts}; exit 75", restart: { policy: always, wait_exit: { 75: 1s } } }
`);
  await town.ok("up");
  await until(() => started() >= 3, "it to be tried later", 10_000);
  expect((await town.json("why", "later")).ends).toMatchObject([{ decided: "wait", streak: 0, failures: 0 }]);
  expect((await town.json("why", "done")).ends).toMatchObject([{ decided: "leave", next_at: null }]);
  expect((await town.json("why", "broken")).ends[0].because).toContain("cannot run as configured");
});

test("a session that was ended as a whole and given up is brought back by a reset", async () => {
  town.plan(`version: 1
sessions:
  one: { run: "exec sleep 900", restart: { policy: always, budget: [ { starts: 1, per: 10m } ] } }
`);
  await town.ok("up");
  town.tmux("kill-session", "-t", "=one");
  await until(async () => (await town.json("why", "one")).ends[0]?.decided === "restart", "it to be brought back");
  await until(async () => (await shown("one")).state === "running", "it to run");
  town.tmux("kill-session", "-t", "=one");
  await until(async () => (await town.json("why", "one")).ends[0]?.decided === "park", "it to be given up");
  await pause(500);
  expect((await shown("one")).state).toBe("exited");
  await town.ok("reset-failed", "one");
  await until(async () => (await shown("one")).state === "running", "it to run again");
});

test("S1-65: a deacon that dies is brought back, and its watchdog says so; a watchdog that dies leaves the deacon alone", async () => {
  town.plan(`version: 1
names: gastown
defaults: { restart: { policy: always, delay: 50ms } }
sessions:
  deacon: { role: deacon, run: exec sleep 900 }
  boot: { role: boot, run: bosun watch deacon, after: [deacon] }
`);
  await town.ok("up");
  const boot = `hq-${town.town}-boot`;
  await until(() => town.capture(`=${boot}:`).includes("is running"), "the watchdog to watch");
  const deacon = (await shown("deacon")).pid!;
  process.kill(deacon, "SIGKILL");
  await until(async () => {
    const now = await shown("deacon");
    return now.state === "running" && now.pid !== deacon;
  }, "the deacon");
  await until(
    () => /pane\.exited {2}signal 9[\s\S]*pane\.respawned/.test(town.capture(`=${boot}:`)),
    "the watchdog to say so",
  );
  const again = (await shown("deacon")).pid;
  const watchdog = (await shown("boot")).pid!;
  process.kill(watchdog, "SIGKILL");
  await until(async () => {
    const now = await shown("boot");
    return now.state === "running" && now.pid !== watchdog;
  }, "the watchdog");
  expect((await shown("deacon")).pid).toBe(again);
});

test("S1-63: two towns of one name, in two homes, never end each other's processes", async () => {
  const plan =
    "version: 1\ndefaults: { restart: always }\nsessions: { sisters: { run: sh -c 'while :; do sleep 0.1; done' } }\n";
  const other = new TownUnderTest(plan, { town: town.town });
  try {
    town.plan(plan);
    await town.ok("up");
    await other.ok("up");
    const theirs = (await other.json("status")).sessions[0].pid;
    const own = (await shown("sisters")).pid;
    town.tmux("kill-session", "-t", "=sisters");
    await until(async () => {
      const now = await shown("sisters");
      return now.state === "running" && now.pid !== own;
    }, "it to be back");
    await town.ok("down");
    expect((await other.json("status")).sessions[0]).toMatchObject({ pid: theirs, restarts: 0, state: "running" });
  } finally {
    await other.close();
  }
});
