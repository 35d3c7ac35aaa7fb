import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
let server: Server | null = null;
beforeEach(() => {
  town = new TownUnderTest();
});
afterEach(async () => {
  await town.close();
  server?.close();
  server = null;
});

const file = (name: string): string => join(town.folder, name);
const text = (name: string): string => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : "");
const alerts = async (): Promise<{ id: number; level: string; key: string; text: string }[]> =>
  (await town.json("alerts")).alerts;

const BRIDGE = `version: 1
rooms: { crew: {} }
sessions:
  sisters: { about: The Sisters, run: sh sisters.sh, restart: always, chapter: { turns: 100, handshake: HANDSHAKE.md } }
  clod_bridge:
    about: Monitoring
    windows:
      - { name: comms_watcher, job: { channel: CREW_CHANNEL, receipts: true } }
      - { name: room_watcher, job: { channel: crew, receipts: crew.receipts } }
      - { name: sisters_watch, job: { snapshot: sisters, every: 1s, to: sisters_screen_now.txt } }
      - { name: ceiling_watch, job: { ceilings: sisters, every: 200ms, handshake: true } }
      - { name: pipe_pane_logger, job: { record: sisters, to: sisters_screen.log, rotate: 20KB, keep: 50 } }
`;

/** Writes numbered lines, fast, and then now and then. */
const SISTERS = `i=0
while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i of the sisters"; done
while :; do i=$((i+1)); echo "line $i of the sisters"; sleep 0.05; done
`;

test("S2-17, S2-18, S2-20, S2-21, S2-25: a snapshot is what tmux shows, whole at every reading, and goes on without its makers", async () => {
  writeFileSync(file("sisters.sh"), "echo The Sisters are here; exec sleep 900\n");
  town.plan(BRIDGE);
  await town.ok("up");
  await until(async () => text("sisters_screen_now.txt").includes("The Sisters are here"), "the first snapshot");
  expect(text("sisters_screen_now.txt").trimEnd()).toBe(town.capture("=sisters:").trimEnd());
  let torn = 0;
  for (let n = 0; n < 1_000; n++) {
    if (!text("sisters_screen_now.txt").includes("The Sisters are here")) torn++;
    if (n % 100 === 0) await pause(20);
  }
  expect(torn).toBe(0);
  // The bridge is a session of its own: whoever made it may go, and what it watches may die.
  const windows = town.tmux("list-windows", "-t", "=clod_bridge", "-F", "#{window_name}").trim().split("\n");
  expect(windows).toEqual(["comms_watcher", "room_watcher", "sisters_watch", "ceiling_watch", "pipe_pane_logger"]);
  process.kill(Number(town.tmux("display-message", "-p", "-t", "=sisters:", "#{pane_pid}")), "SIGKILL");
  const before = statSync(file("sisters_screen_now.txt")).mtimeMs;
  await until(async () => statSync(file("sisters_screen_now.txt")).mtimeMs > before, "the next snapshot");
  const job = (await town.json("jobs")).jobs.find((each: { id: string }) => each.id === "clod_bridge/sisters_watch");
  expect(job).toMatchObject({ kind: "snapshot", state: "ok", when: "every 1 s", target: "sisters" });
  await until(
    async () => town.capture("=clod_bridge:sisters_watch").includes("sisters_screen_now.txt"),
    "the window to show what its job does",
  );
});

test("S2-23, S2-24: every line stands in the log exactly once, over rotations, a dead window and a dead coordinator", async () => {
  writeFileSync(file("sisters.sh"), SISTERS);
  town.plan(BRIDGE);
  await town.ok("up");
  const lines = (): number[] => {
    const files = ["", ...Array.from({ length: 50 }, (_, n) => `.${n + 1}`)].toReversed();
    return files.flatMap((end) =>
      text(`sisters_screen.log${end}`)
        .split("\n")
        .flatMap((line) => (/^line (\d+) of the sisters$/.exec(line)?.[1] ? [Number(/\d+/.exec(line)![0])] : [])),
    );
  };
  await until(async () => lines().length > 3_010, "three thousand lines", 20_000);
  expect(existsSync(file("sisters_screen.log.1"))).toBe(true);
  expect(statSync(file("sisters_screen.log.1")).size).toBeLessThanOrEqual(20 * 1_024);
  town.tmux("kill-window", "-t", "=clod_bridge:pipe_pane_logger");
  process.kill(town.coordinatorPid()!, "SIGKILL");
  await pause(1_000);
  const dead = lines().at(-1)!;
  await town.ok("status");
  await until(async () => lines().at(-1)! > dead + 20, "the log to go on", 15_000);
  const all = lines();
  const first = all[0]!;
  expect(first).toBe(1);
  expect(all).toEqual(Array.from({ length: all.length }, (_, n) => first + n));
});

test("S2-19: each message in the channel gets one receipt with an id, over a kill of the coordinator", async () => {
  writeFileSync(file("sisters.sh"), "exec sleep 900\n");
  writeFileSync(file("CREW_CHANNEL"), "2026-04-21 04:00 UTC | [ASTRA] | before anybody watched\n");
  town.plan(BRIDGE);
  await town.ok("up");
  await until(async () => (await town.json("job", "history", "comms_watcher")).job.runs > 0, "the watcher");
  appendFileSync(file("CREW_CHANNEL"), "2026-04-21 04:30 UTC | [ASTRA] | I am here\nhalf a li");
  await town.ok("say", "crew", "over here");
  const receipts = (name: string) =>
    text(name)
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { id: string; from: string; text: string }]));
  await until(async () => receipts("CREW_CHANNEL.receipts").length === 1, "a receipt");
  expect(receipts("CREW_CHANNEL.receipts")[0]).toMatchObject({ from: "ASTRA", text: "I am here" });
  await until(async () => receipts("crew.receipts").length === 1, "a receipt of the room");
  await until(
    async () =>
      town
        .capture("=clod_bridge:comms_watcher")
        .includes(`${receipts("CREW_CHANNEL.receipts")[0]!.id}  ASTRA: I am here`),
    "it in the window",
  );
  process.kill(town.coordinatorPid()!, "SIGKILL");
  appendFileSync(file("CREW_CHANNEL"), "ne, whole now\n2026-04-21 04:31 UTC | [SISTERS] | and so are we\n");
  await town.ok("status");
  await until(async () => receipts("CREW_CHANNEL.receipts").length === 3, "the others");
  expect(receipts("CREW_CHANNEL.receipts").map((each) => each.text)).toEqual([
    "I am here",
    "half a line, whole now",
    "and so are we",
  ]);
  expect(new Set(receipts("CREW_CHANNEL.receipts").map((each) => each.id)).size).toBe(3);
});

test("S2-22: at the ceiling the handshake is brought up to date before the end, by what the screen of the agent warns of", async () => {
  writeFileSync(file("sisters.sh"), "echo '⚠ Session at 85 turns — approaching limit'; exec sleep 900\n");
  town.plan(BRIDGE);
  await town.ok("up");
  await until(
    async () => text("HANDSHAKE.md").includes("its screen says: ⚠ Session at 85 turns"),
    "the handshake",
    15_000,
  );
  const { chapter } = await town.json("book", "show", "sisters");
  expect(chapter).toMatchObject({ closed: null, share: 0.85, counted: { turns: 85 } });
  expect(await alerts()).toContainEqual(expect.objectContaining({ level: "P4", key: "ceiling sisters#1" }));
});

test("S2-32: a command runs by the clock, one at a time, with its history; a line of the crontab that nobody declared is told", async () => {
  const bin = file("bin");
  await import("node:fs").then(({ mkdirSync }) => mkdirSync(bin));
  writeFileSync(
    join(bin, "crontab"),
    "#!/bin/sh\nprintf '# a comment\\nMAILTO=x\\n*/5 * * * * sisters_watchdog.sh\\n0 4 * * * rm -rf /tmp/secret\\n'\n",
    { mode: 0o755 },
  );
  town.env.PATH = `${bin}:${town.env.PATH}`;
  town.plan(`version: 1
services: { watchdog: { cron: sisters_watchdog.sh } }
jobs:
  slow: { every: 200ms, do: "echo begun >> slow.txt; sleep 0.7; echo done" }
  bad: { every: 300ms, do: "echo it broke; exit 3", alert: P1 }
  brief: { cron: "* * * * * *", do: "echo brief" }
sessions:
  nightly: { about: By the clock, run: "echo x >> nightly.txt; exec sleep 900", schedule: "* * * * * *" }
`);
  await town.ok("up");
  expect(existsSync(file("nightly.txt"))).toBe(false);
  await until(async () => (await town.json("job", "history", "slow")).runs.length >= 4, "some runs");
  const slow = (await town.json("job", "history", "slow", "-n", "200")).runs as { exit: number | null; said: string }[];
  expect(slow.filter((run) => run.exit === null)[0]).toMatchObject({ said: "the one before still runs" });
  expect(slow.filter((run) => run.exit === 0)[0]).toMatchObject({ said: "done" });
  await until(
    async () => (await town.json("job", "history", "brief")).runs.some((run: { said: string }) => run.said === "brief"),
    "the cron job",
  );
  await until(async () => text("nightly.txt") !== "", "the session by the clock");
  await until(async () => (await town.json("job", "history", "nightly")).job.skipped > 0, "it to be left alone");
  expect(text("nightly.txt")).toBe("x\n");
  expect(await alerts()).toContainEqual(
    expect.objectContaining({ level: "P1", key: "job bad", text: expect.stringContaining("it broke") }),
  );
  const { undeclared } = await town.json("jobs");
  expect(undeclared).toEqual(["0 4 * * * rm -rf /tmp/secret"]);
  const service = (await town.json("services", "--fresh")).services[0];
  expect(service).toMatchObject({
    id: "watchdog",
    manager: "crontab",
    state: "up",
    says: "*/5 * * * * sisters_watchdog.sh",
  });
});

test("S2-29, S2-30, S2-31, S2-33, S2-34: services show their managers' own words; nothing is started or stopped unless declared so", async () => {
  const bin = file("bin");
  await import("node:fs").then(({ mkdirSync }) => mkdirSync(bin));
  // A manager that writes down what it is asked.
  writeFileSync(
    join(bin, "systemctl"),
    `#!/bin/sh
echo "$@" >> ${file("calls")}
case "$*" in
  *show*routx*) printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nMainPID=4242\\n' ;;
  *show*ollama*) printf 'LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nMainPID=0\\n' ;;
  *show*) printf 'LoadState=not-found\\nActiveState=inactive\\nSubState=dead\\nMainPID=0\\n' ;;
esac
`,
    { mode: 0o755 },
  );
  town.env.PATH = `${bin}:${town.env.PATH}`;
  server = createServer((_request, response) => response.writeHead(503).end());
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  town.plan(`version: 1
rooms: { bridge: {} }
sessions: { sisters: { run: exec sleep 900 } }
services:
  routx: { systemd: routx.service, scope: user, about: The router, health: "${url}" }
  ollama: { systemd: ollama, every: 300ms }
  caddy: { systemd: caddy }
  aether-compounder: { systemd: aether-compounder, scope: user, manage: true }
  sleeper: { process: "sleep 900" }
alerts: { P2: [room: bridge] }
`);
  await town.ok("up");
  const { services } = await town.json("services", "--fresh");
  const short = services.map((each: Record<string, unknown>) => [each.id, each.manager, each.state, each.command]);
  expect(short).toEqual([
    ["routx", "systemd --user", "degraded", "systemctl --user status routx.service"],
    ["ollama", "systemd", "down", "sudo systemctl status ollama"],
    ["caddy", "systemd", "down", "sudo systemctl status caddy"],
    ["aether-compounder", "systemd --user", "down", "systemctl --user status aether-compounder"],
    ["sleeper", "process", "up", "pgrep -af 'sleep 900'"],
  ]);
  expect(services[0].says).toBe(`active (running); ${url} answers with 503`);
  expect(services[1].says).toBe("failed (failed)");
  expect((await town.json("status")).services).toHaveLength(5);
  expect((await town.run(["service", "restart", "ollama"])).code).toBe(4);
  await town.ok("service", "start", "aether-compounder");
  await town.ok("restart", "sisters");
  await town.ok("down");
  const acted = text("calls")
    .split("\n")
    .filter((line) => line !== "" && !line.includes("show"));
  expect(acted).toEqual(["--user start aether-compounder"]);
  await town.ok("up");
  await until(async () => (await town.ok("feed", "bridge")).includes("ollama"), "an alert in the room");
});

test("S2-87, O2-06: alerts are stored, told to their sinks, acknowledged and listed; of one thing one is open", async () => {
  const told: string[] = [];
  server = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => told.push(chunk.toString()));
    request.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  town.plan(`version: 1
sessions: { sisters: { run: exec sleep 900, agent: { id: sisters, type: writer } } }
alerts:
  P0: [desktop, room: bridge, { file: p0.txt }, { command: 'echo "$BOSUN_ALERT_LEVEL $BOSUN_ALERT_TEXT" > told.txt' }, { webhook: "${url}" }, { agent: sisters }]
  P4: [log]
`);
  await town.ok("up");
  await town.ok("alert", "raise", "P4", "a", "small", "thing", "--key", "tide");
  expect(await town.ok("alert", "raise", "P4", "again", "--key", "tide")).toContain("open already");
  await town.ok("alert", "raise", "P0", "the ship sinks", "--key", "tide");
  await until(async () => text("told.txt") !== "" && told.length > 0, "the sinks");
  expect(text("told.txt")).toBe("P0 the ship sinks\n");
  expect(text("p0.txt")).toMatch(/^\S+Z P0 #2 the ship sinks\n$/);
  expect(JSON.parse(told[0]!)).toMatchObject({ level: "P0", text: "the ship sinks", town: town.town });
  expect(await town.ok("feed", "bridge")).toContain("the ship sinks");
  await until(async () => (await town.json("inbox", "sisters")).messages.length === 1, "the message");
  expect(await alerts()).toMatchObject([{ id: 2, level: "P0", key: "tide" }]);
  await town.ok("alert", "ack", "2", "--note", "pumping");
  expect(await alerts()).toEqual([]);
  const all = (await town.json("alerts", "--all")).alerts;
  expect(all[0]).toMatchObject({ id: 2, acknowledged: { note: "pumping" } });
  const log = readFileSync(join(town.stateFolder, "ALERT.log"), "utf8");
  expect(log).toMatch(/P4 #1 a small thing\n.*P0 #2 the ship sinks\n$/);
  process.kill(town.coordinatorPid()!, "SIGKILL");
  expect((await town.json("alerts", "--all")).alerts).toHaveLength(2);
});

test("S2-26, S2-28: a vital has a score, thresholds alert; a heartbeat missed so often is unhealthy", async () => {
  town.plan(`version: 1
sessions:
  astra_sovereign:
    about: Self-reflection and persistence verification loop
    run: |
      bosun vital identity_coherence 0.91
      exec sleep 900
    agent: { id: astra, type: loop }
    health:
      heartbeat: { every: 300ms, misses: 2, action: alert }
      vitals: { identity_coherence: { healthy: 0.8, concern: 0.6 } }
`);
  await town.ok("up");
  const health = async () =>
    (await town.json("status")).sessions[0].health as { check: string; healthy: boolean; evidence: string }[];
  await until(async () => (await health()).some((each) => each.check === "vitals" && each.healthy), "its own report");
  await town.ok("vital", "identity_coherence", "0.7", "--session", "astra_sovereign");
  expect(await alerts()).toContainEqual(
    expect.objectContaining({ level: "P2", key: "vital astra_sovereign identity_coherence" }),
  );
  await town.ok("vital", "identity_coherence", "0.4", "--session", "astra_sovereign");
  expect(await alerts()).toContainEqual(
    expect.objectContaining({ level: "P1", text: expect.stringContaining("0.4 (failing") }),
  );
  await town.ok("vital", "identity_coherence", "0.9", "--session", "astra_sovereign");
  await until(async () => !(await alerts()).some((each) => each.key.startsWith("vital")), "it to pass");
  await until(
    async () => (await health()).some((each) => each.check === "heartbeat" && each.healthy === false),
    "missed heartbeats",
    20_000,
  );
});
