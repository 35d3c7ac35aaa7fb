import { existsSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { BROKEN_PLANS } from "../../src/coordinator/plan/broken-plans.fixture.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const PLAN = `version: 1
about: { purpose: A floor for the tests, author: vela, since: 2026-04-21, because: nobody wrote it down }
rooms: { main: { about: The only room } }
sessions:
  one_worker: { about: Works, room: main, run: "exec sleep 3600" }
  two_worker: { about: Works too, run: "exec sleep 3600", after: [one_worker] }
`;

test("twenty commands at once start one coordinator", async () => {
  town = new TownUnderTest(PLAN);
  const ran = await Promise.all(Array.from({ length: 20 }, () => town.json("status")));
  expect(new Set(ran.map((status) => status.coordinator.pid)).size).toBe(1);
  expect(statSync(ran[0].socket).mode & 0o777).toBe(0o600);
});

test("killed with -9 it is started by the next command, and finds its sessions again by their marks", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const panes = town.panes("#{session_name} #{pane_pid}");
  const before = await town.json("status");
  process.kill(before.coordinator.pid, "SIGKILL");
  const after = await town.json("status");
  expect(after.coordinator.pid).not.toBe(before.coordinator.pid);
  expect(after.sessions.map((session: { state: string; pid: number }) => [session.state, session.pid])).toEqual(
    before.sessions.map((session: { state: string; pid: number }) => [session.state, session.pid]),
  );
  expect(
    town
      .panes("#{session_name} #{pane_pid}")
      .split("\n")
      .filter((line) => !line.startsWith("_bosun")),
  ).toEqual(panes.split("\n").filter((line) => !line.startsWith("_bosun")));
  expect(await town.json("up")).toMatchObject({ created: [], unchanged: 2 });
});

test("stop leaves the sessions; start finds them", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const { coordinator } = await town.json("status");
  await town.ok("stop");
  await until(() => !existsSync(`/proc/${coordinator.pid}`), "the coordinator gone");
  expect(town.sessions()).toEqual(["one_worker", "two_worker"]);
  await town.ok("start");
  expect((await town.json("status")).sessions.map((session: { state: string }) => session.state)).toEqual([
    "running",
    "running",
  ]);
});

test("what was stopped stays stopped, through a crash of the coordinator", async () => {
  town = new TownUnderTest(PLAN.replace("about: Works,", "about: Works, restart: always,"));
  await town.ok("up");
  await town.ok("down", "one_worker");
  process.kill((await town.json("status")).coordinator.pid, "SIGKILL");
  const status = await town.json("status", "one_worker");
  expect(status.sessions[0].state).toBe("stopped");
  expect(town.sessions()).toEqual(["two_worker"]);
});

test("S3-32: a session ended behind bosun's back is noticed, with evidence, and brought back when its policy says so", async () => {
  town = new TownUnderTest(PLAN.replace("about: Works,", "about: Works, restart: always,"));
  await town.ok("up");
  town.tmux("kill-session", "-t", "=one_worker");
  town.tmux("kill-session", "-t", "=two_worker");
  await until(() => town.sessions().includes("one_worker"), "one_worker back");
  const [, two] = (await town.json("status")).sessions;
  expect(two).toMatchObject({ state: "exited", evidence: expect.stringMatching(/gone/) });
  const types = (await town.json("events", "--last", "100")).events.map(
    (event: { type: string; session?: string }) => `${event.type} ${event.session ?? ""}`,
  );
  expect(types).toEqual(expect.arrayContaining(["session.exited one_worker", "session.exited two_worker"]));
  expect(town.sessions()).not.toContain("two_worker");
});

test("S2-01 S2-03 S2-05 S2-88: plan show says which sessions exist, what each does, how they relate, and the plan's history", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  town.plan(PLAN.replace("about: Works too,", `about: "Works too, amended",`));
  await town.ok("up");
  const shown = await town.ok("plan", "show");
  expect(shown).toMatch(/one_worker[\s\S]*Works/);
  expect(shown).toMatch(/two_worker[\s\S]*Works too, amended/);
  expect(shown).toMatch(/after.*one_worker/);
  expect(shown).toMatch(/main[\s\S]*The only room/);
  expect(shown).toMatch(/vela/);
  const { amendments } = await town.json("plan", "show");
  expect(amendments).toHaveLength(2);
  expect((await town.json("status")).rooms).toEqual([expect.objectContaining({ room: "main" })]);
});

test("drift is shown by diff and status, and restarted only when asked", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const pid = (await town.json("status", "one_worker")).sessions[0].pid;
  town.plan(PLAN.replace('room: main, run: "exec sleep 3600"', 'room: main, run: "exec sleep 7200"'));
  const { steps } = await town.json("diff");
  expect(steps).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ session: "one_worker", do: "restart", destructive: true, needs: "--restart" }),
    ]),
  );
  const kept = await town.json("up");
  expect(kept.held).toHaveLength(1);
  expect((await town.json("status", "one_worker")).sessions[0].pid).toBe(pid);
  expect((await town.json("status", "one_worker")).sessions[0].drift).not.toEqual([]);
  expect((await town.json("up", "--restart")).restarted).toEqual(["one_worker"]);
  expect((await town.json("status", "one_worker")).sessions[0].pid).not.toBe(pid);
});

test("a session of the same name that is not ours is left alone, and up says so", async () => {
  town = new TownUnderTest(PLAN);
  town.tmux("-f", "/dev/null", "new-session", "-d", "-s", "one_worker", "exec sleep 3600");
  const pid = town.tmux("list-panes", "-t", "=one_worker:", "-F", "#{pane_pid}").trim();
  const ran = await town.run(["up"]);
  expect(ran.code).toBe(5);
  expect(ran.stderr + ran.stdout).toMatch(/one_worker/);
  expect(town.tmux("list-panes", "-t", "=one_worker:", "-F", "#{pane_pid}").trim()).toBe(pid);
  await town.run(["down", "--yes"]);
  expect(existsSync(`/proc/${pid}`)).toBe(true);
});

test("the log proves itself: verify holds, rebuild gives equal views, tail shows what happened", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  expect(await town.json("audit", "verify")).toMatchObject({ ok: true });
  expect(await town.json("rebuild")).toMatchObject({ equal: true });
  expect((await town.ok("audit", "tail")).split("\n").length).toBeGreaterThan(3);
});

test("a credential of an ended run cannot write", async () => {
  town = new TownUnderTest(
    PLAN.replace('run: "exec sleep 3600" }', 'agent: { id: worker-1, type: none }, run: "exec sleep 3600" }'),
  );
  await town.ok("up");
  const pid = (await town.json("status", "one_worker")).sessions[0].pid;
  const file = /BOSUN_TOKEN_FILE=([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))![1]!;
  const token = readFileSync(file, "utf8");
  const { socket } = await town.json("status");
  expect(await post(socket, token)).toHaveProperty("ok");
  await town.ok("restart", "one_worker");
  expect(await post(socket, token)).toMatchObject({ error: { code: "STALE_EPOCH" } });
});

test("the environment of whoever starts bosun does not leak into panes", async () => {
  town = new TownUnderTest(PLAN);
  const ran = await town.run(["up"], { env: { CANARY_SECRET: "hunter2", CLAUDECODE: "1" } });
  expect(ran.code).toBe(0);
  for (const { pid } of (await town.json("status")).sessions) {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    expect(environment).not.toMatch(/CANARY_SECRET|CLAUDECODE/);
    expect(environment).toContain(`BOSUN_TOWN=${town.town}`);
  }
});

function post(socket: string, token: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket, () =>
      connection.write(
        `${JSON.stringify({ hello: { v: 1, token } })}\n${JSON.stringify({ id: 1, op: "room.post", in: { room: "main", msg: "hi" } })}\n`,
      ),
    );
    connection.once("data", (chunk) => {
      connection.destroy();
      resolve(JSON.parse(chunk.toString("utf8").split("\n")[0]!));
    });
    connection.once("error", reject);
  });
}

test("a broken plan changes nothing, whichever of forty ways: exit 2, its place, no state, no server", async () => {
  town = new TownUnderTest();
  for (const [what, text, at] of BROKEN_PLANS) {
    town.plan(text);
    const ran = await town.run(["up"]);
    expect([what, ran.code]).toEqual([what, 2]);
    expect(ran.stderr, what).toContain(`floorplan.yaml:${at}: `);
    expect(ran.stderr, what).not.toMatch(/at \w+ \(.*\.ts|node:internal/);
  }
  expect(existsSync(join(town.folder, "state"))).toBe(false);
  expect(() => town.sessions()).toThrow();
}, 120_000);

test("a plan that is broken while its floor runs changes nothing on the floor", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const processes = () => town.panes("#{pane_id} #{pane_pid}");
  const panes = processes();
  const { next } = await town.json("events", "--last", "1");
  for (const [what, text] of BROKEN_PLANS.slice(0, 6)) {
    town.plan(text);
    expect([what, (await town.run(["up", "--yes", "--restart"])).code]).toEqual([what, 2]);
  }
  expect(processes()).toBe(panes);
  expect((await town.json("events", "--last", "1")).next).toBe(next);
});
