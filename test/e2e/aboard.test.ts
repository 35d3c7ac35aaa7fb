import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
beforeEach(() => {
  town = new TownUnderTest();
  // Its own folder for tmux's sockets too: what asks all servers of a user finds this one only.
  town.env.TMUX_TMPDIR = town.folder;
});
afterEach(() => town.close());

const file = (name: string): string => join(town.folder, name);
const text = (name: string): string => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : "");
interface Shown {
  id: string;
  state: string;
  pid: number | null;
  restarts: number;
}
const shown = async (id: string): Promise<Shown> =>
  (await town.json("status")).sessions.find((each: Shown) => each.id === id);
interface Found {
  id: string;
  level: string;
  finding: string;
  remedy: string;
  fixed: boolean;
}
const findings = async (...args: string[]): Promise<Found[]> => {
  const ran = await town.run(["doctor", "--json", ...args]);
  return JSON.parse(ran.stdout).findings;
};

test("S2-11: restart --fresh ends and starts it again with a new context, and says so in the log", async () => {
  town.plan(`version: 1
sessions: { sisters: { about: The Sisters, run: exec sleep 900, chapter: { minutes: 60 } } }
`);
  await town.ok("up");
  const before = await shown("sisters");
  await town.ok("restart", "--fresh", "sisters", "--because", "its context is used up");
  const after = await shown("sisters");
  expect(after.pid).not.toBe(before.pid);
  const { events } = await town.json("events", "--last", "50");
  const stopped = events.find((each: { type: string }) => each.type === "session.stopped");
  expect(stopped).toMatchObject({ session: "sisters", because: "restart, fresh: its context is used up" });
  expect((await town.json("book", "show", "sisters")).chapter.number).toBe(2);
});

test("S2-13, S2-88: what feeds what stands in the graph; who is fed is told when it dies, and when it is back", async () => {
  town.plan(`version: 1
rooms: { bridge: {} }
sessions:
  astra: { about: Heartbeat, run: exec sleep 900, restart: { policy: always, delay: 300ms }, feeds: [monitor, bridge, Vital 1] }
  monitor: { about: Watches, run: exec sleep 900, agent: { id: monitor, type: watcher }, after: astra }
`);
  await town.ok("up");
  const { edges } = await town.json("plan", "graph");
  expect(edges).toEqual([
    { from: "astra", to: "monitor", kind: "feeds" },
    { from: "astra", to: "bridge", kind: "feeds" },
    { from: "astra", to: "Vital 1", kind: "feeds" },
    { from: "monitor", to: "astra", kind: "after" },
  ]);
  expect(await town.ok("plan", "graph", "--dot")).toContain('"astra" -> "Vital 1" [label="feeds"];');
  process.kill((await shown("astra")).pid!, "SIGKILL");
  await until(async () => (await town.json("inbox", "monitor")).messages.length === 2, "both messages");
  const subjects = (await town.json("inbox", "monitor")).messages.map((each: { subject: string }) => each.subject);
  expect(subjects.toSorted()).toEqual([
    "astra, which feeds monitor, ended: signal 9",
    "astra, which feeds monitor, runs again",
  ]);
  expect(await town.ok("feed", "bridge")).toMatch(/astra, which feeds bridge, ended/);
  const { alerts } = await town.json("alerts", "--all");
  expect(alerts.find((each: { key: string }) => each.key === "feed astra Vital 1")).toMatchObject({
    cleared: expect.any(String),
  });
});

test("S2-16, O2-09: one command boots in order; a phase that is not ready stops what needs it, and says why", async () => {
  town.plan(`version: 1
sessions:
  engine: { about: First, run: "sleep 0.5; touch warm; exec sleep 900", health: { exec: { cmd: test -f warm, every: 100ms } } }
  wheel: { about: Second, run: "ls warm > saw; exec sleep 900", needs: engine }
  broken: { about: Never, run: exit 9 }
  after_it: { about: Needs it, run: exec sleep 900, needs: broken, restart: { policy: never, start_timeout: 1s } }
`);
  const ran = await town.run(["up", "--json"]);
  const up = JSON.parse(ran.stdout);
  expect(ran.code).toBe(1);
  expect(up.created.toSorted()).toEqual(["broken", "engine", "wheel"]);
  expect(up.failed).toEqual([
    { session: "after_it", error: expect.stringContaining("it needs broken, which is not ready") },
  ]);
  await until(async () => text("saw") !== "", "the wheel to have found it warm");
  expect(text("saw")).toBe("warm\n");
  // Started by hand in the same order, it is the same.
  await town.ok("down");
  for (const name of ["engine", "wheel", "broken"]) await town.ok("up", name);
  expect((await town.json("status")).sessions.map((each: Shown) => each.state)).toEqual([
    "running",
    "running",
    "exited",
    "declared",
  ]);
  // Nothing is started where the log could not be written soon.
  town.plan(`version: 1
limits: { disk: 1 }
sessions: { engine: { about: First, run: exec sleep 901 } }
`);
  const full = await town.run(["up", "--restart"]);
  expect(full.code).not.toBe(0);
  expect(full.stderr).toMatch(/the disk of .* is \d+ % full[\s\S]*above 1 % nothing is started/);
});

test("S2-40, S2-48: who is unknown is found at boot, at each up, by doctor, by itself and on the console; declared in time, it is none", async () => {
  town.plan("version: 1\nsessions: { sisters: { about: The Sisters, run: exec sleep 900 } }\n");
  town.tmux("-f", "/dev/null", "new-session", "-d", "-s", "stranger", "exec sleep 900");
  // At boot, and with each up.
  expect((await town.json("up")).unknown).toEqual(["stranger"]);
  const unknown = async (): Promise<string[]> =>
    (await town.json("events", "--last", "200")).events
      .filter((each: { type: string }) => each.type === "session.unknown")
      .map((each: { name: string }) => each.name);
  await until(async () => (await unknown()).includes("stranger"), "the event");
  // By itself, without anybody's asking.
  town.tmux("new-session", "-d", "-s", "another", "exec sleep 900");
  await until(async () => (await unknown()).includes("another"), "the other", 6_000);
  expect(await findings("--only", "ghosts")).toMatchObject([
    { id: "ghosts.undecided", finding: expect.stringContaining("another") },
    { id: "ghosts.undecided", finding: expect.stringContaining("stranger") },
  ]);
  town.tmux(
    "new-session",
    "-d",
    "-s",
    "looker",
    "-x",
    "140",
    "-y",
    "30",
    `${process.execPath} ${join(import.meta.dirname, "../../dist/bosun.js")} console`,
  );
  await until(async () => town.capture("=looker:").includes("nobody declared"), "the console to say so");
  // Written down by whoever made it, it goes on as it is and is nobody's ghost.
  const pid = Number(town.tmux("display-message", "-p", "-t", "=another:", "#{pane_pid}"));
  await town.ok("adopt", "another", "--purpose", "Made by hand, declared at once");
  expect((await shown("another")).pid).toBe(pid);
  expect((await town.json("ghosts")).ghosts.map((each: { name: string }) => each.name)).not.toContain("another");
  expect(text("floorplan.yaml")).toContain("Made by hand, declared at once");
});

test("S2-79, O2-03, S1-40: doctor names what is wrong, what comes of it and what to do; it mends what is safe and looks again", async () => {
  town.plan(`version: 1
sessions:
  sisters: { about: The Sisters, run: exec sleep 900, restart: always, chapter: { minutes: 60, handshake: HANDSHAKE.md } }
  gone: { about: Parked, run: exit 1, restart: { policy: always, delay: 10ms, budget: [ { starts: 1, per: 10m } ] } }
services: { nothing: { process: no-such-process-at-all } }
`);
  await town.ok("up");
  process.kill((await shown("sisters")).pid!, "SIGKILL");
  await until(async () => (await town.json("book", "show", "sisters")).chapter.number === 2, "the second chapter");
  await town.ok("book", "work", "sisters", "--force");
  await until(async () => (await town.json("why", "gone")).ends[0]?.decided === "park", "it to be given up");
  await town.ok("services", "--fresh");
  writeFileSync(file("HANDSHAKE.md"), "");
  const { rmSync, chmodSync } = await import("node:fs");
  rmSync(file("HANDSHAKE.md"));
  chmodSync(join(town.stateFolder, "tokens"), 0o755);
  writeFileSync(file("floorplan.yaml"), `${text("floorplan.yaml")}# changed\n`);
  // A session of this town on another server, and one of another town here: the second is none of ours to report.
  const other = `${town.socket}-other`;
  const tmux = (...args: string[]): void => {
    const { execFileSync } = process.getBuiltinModule("node:child_process");
    execFileSync("tmux", ["-L", other, "-f", "/dev/null", ...args], { env: town.env });
  };
  tmux("new-session", "-d", "-s", "astray", "exec sleep 900");
  tmux("set-option", "-t", "=astray:", "@town", town.town);
  town.tmux("new-session", "-d", "-s", "hq-gt12-mayor", "exec sleep 900");
  for (const [name, value] of [
    ["@town", "gt12"],
    ["@id", "mayor"],
    ["@epoch", "1"],
    ["@shape", "x"],
  ])
    town.tmux("set-option", "-t", "=hq-gt12-mayor:", name!, value!);
  const found = await findings();
  const ids = (level: string): string[] =>
    [...new Set(found.filter((each) => each.level === level).map((each) => each.id))].toSorted();
  expect(ids("problem")).toEqual(["sessions.parked", "state.modes", "tmux.split-brain"]);
  expect(ids("warning")).toEqual(
    expect.arrayContaining(["chapters.blind", "chapters.burned", "chapters.files", "services.down"]),
  );
  expect(ids("unknown")).toEqual([]);
  expect(JSON.stringify(found)).not.toContain("gt12");
  expect(found.every((each) => each.finding !== "" && each.remedy !== "")).toBe(true);
  const fixed = await findings("--fix");
  expect(
    fixed
      .filter((each) => each.fixed)
      .map((each) => each.id)
      .toSorted(),
  ).toEqual(["chapters.files", "state.modes"]);
  expect(text("HANDSHAKE.md")).toContain("## Protocol");
  expect(await findings("--only", "state.modes")).toEqual([]);
  expect((await town.run(["doctor"])).code).toBe(1);
  tmux("kill-server");
});

test("O2-02: another one of a session is labelled, and writes no rooms; the first goes on speaking", async () => {
  town.plan(`version: 1
rooms: { bridge: {} }
sessions:
  sisters:
    about: The Sisters
    run: 'bosun say bridge "here is $BOSUN_SESSION" > said-$BOSUN_AGENT.txt 2>&1; exec sleep 900'
    agent: { id: sisters, type: writer }
    room: bridge
`);
  await town.ok("up");
  await until(async () => (await town.ok("feed", "bridge")).includes("here is sisters"), "the first");
  const second = await town.json("new", "--instance-of", "sisters");
  expect(second.name).toBe("sisters-2");
  await until(
    async () => text("said-sisters-2.txt").includes("secondary instance of sisters"),
    "the second to be refused",
  );
  const sessions = (await town.json("status")).sessions as { label: string; instance: unknown }[];
  expect(sessions.find((each) => each.label === "sisters-2")!.instance).toEqual({ of: "sisters", kind: "secondary" });
  expect((await town.ok("feed", "bridge")).split("\n").filter((line) => line.includes("here is"))).toHaveLength(1);
  await town.json("new", "aside", "--instance-of", "sisters", "--forked");
  const again = (await town.json("status")).sessions as { label: string; instance: unknown }[];
  expect(again.find((each) => each.label === "aside")!.instance).toEqual({ of: "sisters", kind: "forked" });
});

test("O2-07: a room as ships write their channel, one line for each message", async () => {
  town.plan("version: 1\nrooms: { crew: {} }\nsessions: { sisters: { run: exec sleep 900 } }\n");
  await town.ok("up");
  await town.ok("say", "crew", "two\nlines");
  expect(await town.ok("feed", "crew", "--channel")).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d UTC \| \[[A-Z0-9_-]+\] \| two lines\n$/,
  );
});

test("the coordinator is kept alive by a unit or by cron, and what ran comes back after everything has died", async () => {
  const bin = file("bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "systemctl"), `#!/bin/sh\necho "$@" >> ${file("calls")}\n`, { mode: 0o755 });
  writeFileSync(
    join(bin, "crontab"),
    `#!/bin/sh\nif [ "$1" = - ]; then cat > ${file("tab")}; else cat ${file("tab")} 2>/dev/null || { echo "no crontab for x" >&2; exit 1; }; fi\n`,
    { mode: 0o755 },
  );
  town.env.PATH = `${bin}:${town.env.PATH}`;
  writeFileSync(file("tab"), "0 4 * * * mine\n");
  town.plan(`version: 1
sessions:
  sisters: { about: Persistent, run: exec sleep 900, restart: always }
  once: { about: Not kept by itself, run: exec sleep 901 }
  stopped: { about: Stopped by a person, run: exec sleep 902, restart: always }
`);
  await town.ok("up");
  await town.ok("down", "stopped");
  await town.ok("service", "install");
  expect(text("calls")).toBe(`--user daemon-reload\n--user enable --now bosun-${town.town}.service\n`);
  const unit = readFileSync(join(town.env.HOME!, ".config/systemd/user", `bosun-${town.town}.service`), "utf8");
  expect(unit).toMatch(/Restart=always[\s\S]*KillMode=process/);
  await town.ok("service", "install", "--cron");
  await town.ok("service", "install", "--cron");
  const lines = text("tab").trim().split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[0]).toBe("0 4 * * * mine");
  // As cron runs it, with nothing in its environment, after a reboot.
  process.kill(town.coordinatorPid()!, "SIGKILL");
  town.tmux("kill-server");
  const { execFileSync } = await import("node:child_process");
  const line = /^\* \* \* \* \* (.*)$/.exec(lines[2]!)![1]!.replaceAll("\\%", "%");
  execFileSync("/bin/sh", ["-c", line], { env: { HOME: town.env.HOME!, TMUX_TMPDIR: town.folder }, stdio: "pipe" });
  const states = (await town.json("status")).sessions.map((each: Shown) => [each.id, each.state]);
  expect(states).toEqual([
    ["sisters", "running"],
    ["once", "running"],
    ["stopped", "stopped"],
  ]);
  expect(await shown("sisters")).toMatchObject({ restarts: expect.any(Number) });
  await town.ok("service", "uninstall", "--cron");
  expect(text("tab")).toBe("0 4 * * * mine\n");
  await town.ok("service", "uninstall");
  expect(existsSync(join(town.env.HOME!, ".config/systemd/user", `bosun-${town.town}.service`))).toBe(false);
});

test("tmux's own death is one incident: what is to run always comes back, and no budget is touched", async () => {
  town.plan(`version: 1
sessions:
  sisters: { about: Persistent, run: exec sleep 900, restart: { policy: always, budget: [ { starts: 1, per: 10m } ] } }
  once: { about: Not kept, run: exec sleep 901 }
`);
  await town.ok("up");
  for (let n = 0; n < 3; n++) {
    town.tmux("kill-server");
    await until(async () => (await shown("sisters")).state === "running", `it to be there again (${n})`, 10_000);
    await pause(300);
  }
  expect((await town.json("why", "sisters")).ends).toEqual([]);
  expect((await shown("once")).state).toBe("exited");
});

test("others start again with it, as declared; each is ended as its plan says, and what stands on others goes first", async () => {
  town.plan(`version: 1
sessions:
  base: { about: Below, run: "trap 'echo base >> ended; exit' TERM; while :; do sleep 0.05; done", restart: { policy: always, delay: 50ms, group_strategy: rest, stop: { signal: TERM } } }
  top: { about: Stands on it, run: "trap 'sleep 0.3; echo top >> ended; exit' USR1; while :; do sleep 0.05; done", after: base, restart: { policy: always, stop: { signal: USR1, timeout: 5s, scope: process } } }
  aside: { about: Alone, run: exec sleep 900 }
`);
  await town.ok("up");
  const before = { base: await shown("base"), top: await shown("top"), aside: await shown("aside") };
  process.kill(before.base.pid!, "SIGKILL");
  await until(
    async () => (await shown("top")).pid !== before.top.pid && (await shown("top")).state === "running",
    "the one above",
    10_000,
  );
  expect((await shown("aside")).pid).toBe(before.aside.pid);
  expect(text("ended")).toBe("top\n");
  await town.ok("down");
  expect(text("ended")).toBe("top\ntop\nbase\n");
});
