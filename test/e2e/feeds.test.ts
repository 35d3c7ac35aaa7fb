import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, renameSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const PLAN = `version: 1
names: floor
rooms:
  spx: { about: SPX, jsonl: log/spx-narrative.jsonl }
  qqq: { about: QQQ }
  alerts: { about: Across instruments, sources: [ { rooms: [spx, qqq], level: alert } ] }
sessions:
  agents-spx:
    about: Agents of SPX
    room: spx
    headless: true
    windows:
      - name: agents
        panes:
          - { agent: { id: deacon-spx, type: narrator }, run: "exec sleep 3600" }
          - { agent: { id: butterfly-spx, type: scanner }, run: "exec sleep 3600" }
  agents-qqq:
    about: Agents of QQQ
    room: qqq
    headless: true
    windows:
      - name: agents
        panes: [ { agent: { id: deacon-qqq, type: narrator }, run: "exec sleep 3600" } ]
users:
  steve: { view: [ { name: main, panes: [ { feed: spx }, { feed: qqq }, command ] } ] }
  alice: { view: [ { name: main, panes: [ { feed: qqq }, { feed: alerts } ] } ] }
`;

/** Runs as the program in that pane would: with its credential. */
function as(pane: string): Record<string, string> {
  const pid = Number(town.tmux("display-message", "-p", "-t", pane, "#{pane_pid}"));
  const environment = Object.fromEntries(
    readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
  return { BOSUN_TOKEN_FILE: environment.BOSUN_TOKEN_FILE! };
}

function paneOf(session: string, title: string): string {
  const line = town
    .tmux("list-panes", "-s", "-t", `=${session}`, "-F", "#{pane_id} #{pane_title}")
    .split("\n")
    .find((each) => each.endsWith(` ${title}`));
  return line!.split(" ")[0]!;
}

/** A `feed -f` process and the lines it has printed. */
function viewer(args: string[]): { lines: string[]; kill: () => void } {
  const lines: string[] = [];
  const child = town.start(["feed", ...args, "-f"]);
  let held = "";
  child.stdout!.setEncoding("utf8");
  child.stdout!.on("data", (chunk: string) => {
    held += chunk;
    const parts = held.split("\n");
    held = parts.pop()!;
    lines.push(...parts);
  });
  return { lines, kill: () => child.kill("SIGKILL") };
}

/** Posts through one socket without waiting, as a busy agent does. */
function burst(path: string, room: string, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let answers = 0;
    const socket = connect(path, () => {
      let text = "";
      for (let n = 1; n <= count; n++)
        text += `${JSON.stringify({ id: n, op: "room.post", in: { room, msg: `line ${n}` } })}\n`;
      socket.write(text);
    });
    socket.on("data", (chunk) => {
      answers += chunk.toString("latin1").split("\n").length - 1;
      if (answers >= count) {
        socket.destroy();
        resolve();
      }
    });
    socket.on("error", reject);
  });
}

test("S0-36 S0-37 S0-38 S0-40: one line, the same id in the pane's answer, the mirror file and the channel", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const watching = viewer(["spx", "--json", "--last", "0"]);
  await until(
    async () => (await town.json("rooms")).rooms.find((room: { room: string }) => room.room === "spx").watchers >= 2,
    "the watcher",
  );
  const said = await town.run(["say", "spx", "gamma flips at 5840", "--json"], {
    env: as(paneOf("agents-spx", "deacon-spx")),
  });
  const { id } = JSON.parse(said.stdout);
  await until(() => watching.lines.length > 0, "the line on the channel");
  const heard = JSON.parse(watching.lines[0]!);
  expect(heard).toMatchObject({ id, room: "spx", from: "deacon-spx", msg: "gamma flips at 5840" });
  const file = join(town.folder, "log/spx-narrative.jsonl");
  const mirrored = JSON.parse(await until(() => readFileSync(file, "utf8").trim(), "the line in the mirror"));
  expect(mirrored).toMatchObject({ id, seq: heard.seq, msg: heard.msg, from: "deacon-spx" });
});

test("S0-02 S0-27 S0-32: 36 views at once each get a 1,000-line burst whole and in order", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const { socket } = await town.json("status");
  const views = Array.from({ length: 36 }, () => viewer(["spx", "--msg", "--last", "0"]));
  await until(
    async () => (await town.json("rooms")).rooms[0].watchers >= 37,
    "36 watchers and the pane of steve",
    60_000,
  );
  await burst(socket, "spx", 1_000);
  const wanted = Array.from({ length: 1_000 }, (_, n) => `line ${n + 1}`);
  await until(() => views.every((view) => view.lines.length >= 1_000), "every line everywhere", 60_000);
  for (const view of views) expect(view.lines).toEqual(wanted);
}, 120_000);

test("S0-50 S0-51: coordinator killed with -9; views stay, say stale, catch up, and agree", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const views = [viewer(["spx", "--last", "0"]), viewer(["spx", "--last", "0"])];
  await until(async () => (await town.json("rooms")).rooms[0].watchers >= 3, "the watchers");
  for (let n = 1; n <= 5; n++) await town.ok("say", "spx", `before ${n}`);
  const pid = (await town.json("status")).coordinator.pid;
  process.kill(pid, "SIGKILL");
  await until(() => views.every((view) => view.lines.some((line) => /stale since/.test(line))), "the stale mark");
  expect(town.sessions()).toEqual(["agents-qqq", "agents-spx", "moo-alice", "moo-steve"]);
  for (let n = 1; n <= 5; n++) await town.ok("say", "spx", `after ${n}`);
  expect((await town.json("status")).coordinator.pid).not.toBe(pid);
  const said = (view: { lines: string[] }): string[] =>
    view.lines.flatMap((line) => /(before|after) \d/.exec(line)?.[0] ?? []);
  const wanted = [1, 2, 3, 4, 5].flatMap((n) => [`before ${n}`]).concat([1, 2, 3, 4, 5].map((n) => `after ${n}`));
  await until(() => views.every((view) => said(view).length >= 10), "catching up");
  const digests = views.map((view) => createHash("sha256").update(said(view).join("\n")).digest("hex"));
  expect(said(views[0]!)).toEqual(wanted);
  expect(digests[0]).toBe(digests[1]);
  expect((await town.json("audit", "verify")).ok).toBe(true);
});

test("S0-51: one agent killed with -9; its view says stale with the reason, and live again after the restart", async () => {
  town = new TownUnderTest(PLAN.replace("room: spx", "room: spx\n    restart: never"));
  await town.ok("up");
  const view = viewer(["spx", "--last", "0"]);
  await until(async () => (await town.json("rooms")).rooms[0].watchers >= 2, "the watcher");
  const pane = paneOf("agents-spx", "deacon-spx");
  process.kill(Number(town.tmux("display-message", "-p", "-t", pane, "#{pane_pid}")), "SIGKILL");
  await until(() => view.lines.some((line) => /stale since .*deacon-spx/.test(line)), "the stale mark");
  const { sessions } = await town.json("status", "agents-spx");
  expect(sessions[0]).toMatchObject({ state: "degraded", exit: "signal 9" });
  expect((await town.json("rooms")).rooms[0].staleSince).not.toBeNull();
  await town.ok("up");
  await until(() => view.lines.some((line) => /live again/.test(line)), "the live mark");
  await town.ok("say", "spx", "caught up");
  await until(() => view.lines.some((line) => line.includes("caught up")), "the next line");
});

test("S0-12: an alert in one room reaches a view of another that subscribes to alerts", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  await town.ok("say", "spx", "--level", "alert", "circuit breaker");
  await until(
    () => town.capture(paneOf("moo-alice", "alerts-feed")).includes("circuit breaker"),
    "the alert in alice's view",
    5_000,
  );
});

test("S0-28 S0-29: one agent only, and one tag over all rooms merged in time order", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  await town.run(["say", "spx", "butterfly 5830", "--tag", "gamma"], {
    env: as(paneOf("agents-spx", "butterfly-spx")),
  });
  await town.run(["say", "spx", "deacon speaks"], { env: as(paneOf("agents-spx", "deacon-spx")) });
  await town.run(["say", "qqq", "wall at 505", "--tag", "gamma"], { env: as(paneOf("agents-qqq", "deacon-qqq")) });
  expect((await town.ok("feed", "spx", "--filter", "agent=butterfly", "--msg")).trim()).toBe("butterfly 5830");
  const merged = await town.ok("feed", "*", "--filter", "tag=gamma", "--json");
  const lines = merged
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map((line) => [line.room, line.msg])).toEqual([
    ["spx", "butterfly 5830"],
    ["qqq", "wall at 505"],
  ]);
});

test("S0-40 S0-45 S0-57: tail -F with jq shows the same text as the view, through a rotation", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  await town.ok("say", "spx", "first");
  const file = join(town.folder, "log/spx-narrative.jsonl");
  await until(() => readFileSync(file, "utf8").includes("first"), "the mirror");
  const tail = spawn("sh", ["-c", `tail -n +1 -F ${file} 2>/dev/null | jq --unbuffered -r .msg`], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  let text = "";
  tail.stdout.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  const view = viewer(["spx", "--msg", "--last", "10"]);
  await until(() => text.includes("first") && view.lines.includes("first"), "both started");
  renameSync(file, `${file}.1`);
  await town.ok("say", "spx", "second “quoted” ünïcode");
  await town.ok("say", "spx", "third");
  await until(() => text.includes("third") && view.lines.includes("third"), "both through the rotation", 15_000);
  expect(text.trim().split("\n")).toEqual(view.lines);
  process.kill(-tail.pid!, "SIGKILL");
});

test("S0-56: a view opened late shows the backlog, then live, no gap and no repeat", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  for (let n = 1; n <= 30; n++) await town.ok("say", "spx", `old ${n}`);
  const view = viewer(["spx", "--msg", "--last", "20"]);
  await until(() => view.lines.length >= 20, "the backlog");
  await town.ok("say", "spx", "new 1");
  await until(() => view.lines.includes("new 1"), "live");
  expect(view.lines).toEqual([...Array.from({ length: 20 }, (_, n) => `old ${n + 11}`), "new 1"]);
});

test("S0-25: a room that leaves the plan ends in its views, and its history stays", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  await town.ok("say", "qqq", "remember me");
  const view = viewer(["qqq"]);
  await until(() => view.lines.length > 0, "the line");
  town.plan(
    PLAN.replace("  qqq: { about: QQQ }\n", "")
      .replace("rooms: [spx, qqq]", "rooms: [spx]")
      .replaceAll("room: qqq", "room: spx")
      .replaceAll("feed: qqq", "feed: spx"),
  );
  await town.ok("up");
  await until(() => view.lines.some((line) => /ended/.test(line)), "the end mark");
  expect(await town.ok("feed", "qqq", "--msg")).toContain("remember me");
});

test("S0-06: a past period is replayed at the wanted speed", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  for (let n = 1; n <= 3; n++) await town.ok("say", "spx", `line ${n}`);
  const lines = (await town.ok("feed", "spx", "--json"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const replayed = await town.ok("feed", "spx", "--from", lines[0].ts, "--to", lines[1].ts, "--speed", "10", "--msg");
  expect(replayed.trim().split("\n")).toEqual(["line 1", "line 2"]);
});

test("some-agent | bosun say ROOM -: every line of standard input becomes a line, JSON lines keep their fields", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  const said = await town.run(["say", "spx", "-"], {
    input: 'plain words\n{"msg":"from json","level":"warn","tags":["gamma"]}\n{"content":"other spelling"}\n',
  });
  expect(said.code).toBe(0);
  const lines = (await town.ok("feed", "spx", "--json"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map((line) => [line.msg, line.level, line.tags])).toEqual([
    ["plain words", "info", []],
    ["from json", "warn", ["gamma"]],
    ["other spelling", "info", []],
  ]);
});

test("lines of a pane that match the room's pattern are said in the room", async () => {
  town = new TownUnderTest(
    PLAN.replace(
      "spx: { about: SPX,",
      `spx: { about: SPX, sources: [ { pane: agents-spx, pattern: "^NARRATE (.*)" } ],`,
    ).replace(
      '{ agent: { id: deacon-spx, type: narrator }, run: "exec sleep 3600" }',
      `{ agent: { id: deacon-spx, type: narrator }, run: 'while read -r line; do echo "$line"; done' }`,
    ),
  );
  await town.ok("up");
  const pane = paneOf("agents-spx", "deacon-spx");
  await until(async () => {
    town.tmux("send-keys", "-t", pane, "NARRATE heard from the pane", "Enter");
    return (await town.ok("feed", "spx", "--json")).includes("heard from the pane");
  }, "the line in the room");
  const line = JSON.parse((await town.ok("feed", "spx", "--json")).trim().split("\n")[0]!);
  expect(line).toMatchObject({ from: "deacon-spx", msg: "heard from the pane" });
});
