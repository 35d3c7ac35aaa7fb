import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deacon } from "../../examples/trading-floor/deacon.ts";
import { loadSeries } from "../../examples/trading-floor/series.ts";
import { until } from "../e2e/town-under-test.ts";
import { ScriptedCoordinator } from "./scripted-coordinator.ts";

const BOSUN = resolve(import.meta.dirname, "../../dist/bosun.js");
const EXAMPLE = resolve(import.meta.dirname, "../../examples/trading-floor");

let coordinator: ScriptedCoordinator;
let agents: ChildProcess[];

beforeEach(async () => {
  coordinator = new ScriptedCoordinator();
  agents = [];
  await coordinator.start();
});

afterEach(async () => {
  for (const agent of agents) agent.kill("SIGKILL");
  await coordinator.close();
});

/** Starts `./deacon --instrument SPX` as its pane would; what it prints is gathered in `pane`. */
function startDeacon(): { process: ChildProcess; pane: () => string } {
  const child = spawn(join(EXAMPLE, "deacon"), ["--instrument", "SPX", "--from", "2008-10", "--speed", "60"], {
    env: {
      ...process.env,
      BOSUN_SOCKET: coordinator.path,
      BOSUN_AGENT: "deacon-spx",
      BOSUN_ROOM: "spx",
      BOSUN_NODE: process.execPath,
      NODE_COMPILE_CACHE: join(coordinator.folder, "cache"),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  agents.push(child);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { process: child, pane: () => text };
}

/** What the tape says from October 2008 on. */
function expected(count: number): string[] {
  const series = loadSeries("SPX");
  const narrator = deacon(series);
  const lines: string[] = [];
  for (let bar = series.bars.findIndex(({ date }) => date >= "2008-10"); lines.length < count; bar++)
    lines.push(...narrator.tell(bar).map((line) => line.msg));
  return lines.slice(0, count);
}

const said = (): string[] => coordinator.lines.map((line) => line.msg);

test("an agent narrates the tape, and its pane shows each line under the id the room gave it", async () => {
  const { pane } = startDeacon();
  await until(() => coordinator.lines.length >= 8, "eight lines");
  await until(() => pane().includes("spx-8"), "the eighth line in the pane");
  expect(said().slice(0, 8)).toEqual(expected(8));
  const shown = pane().split("\n").slice(0, 8);
  expect(shown).toEqual(expected(8).map((msg, index) => `${`spx-${index + 1}`.padEnd(9)} ${msg}`));
});

test("while the coordinator is away an agent goes on in its pane; afterwards every line is there once and in order", async () => {
  const { pane } = startDeacon();
  await until(() => coordinator.lines.length >= 3, "three lines");
  // Stored and never answered: these the agent must send again, and they must not count twice.
  coordinator.mute = true;
  const muteAt = coordinator.lines.length;
  await until(() => coordinator.lines.length >= muteAt + 3, "three unanswered lines");
  await coordinator.vanish();
  await until(() => (pane().match(/^\(waits\)/gm) ?? []).length >= 5, "five lines in the pane meanwhile");
  coordinator.mute = false;
  const before = coordinator.lines.length;
  await coordinator.start();
  await until(() => coordinator.lines.length >= before + 10, "the waiting lines and more");
  expect(said()).toEqual(expected(coordinator.lines.length));
});

test("an agent killed with -9 takes up its tape where the room has it: no gap, nothing twice", async () => {
  const first = startDeacon();
  await until(() => coordinator.lines.length >= 7, "seven lines");
  first.process.kill("SIGKILL");
  await once(first.process, "exit");
  const before = coordinator.lines.length;
  const second = startDeacon();
  await until(() => coordinator.lines.length >= before + 7, "seven more");
  expect(second.pane()).toContain("-- going on from 2008-10-");
  expect(said()).toEqual(expected(coordinator.lines.length));
});

test("an agent answers status, last and why, and says what can be asked", async () => {
  startDeacon();
  await until(() => coordinator.lines.length >= 3, "three lines");
  for (const question of ["status", "last", "why", "dance"]) coordinator.ask(question, question);
  await until(() => coordinator.answers.length >= 4, "four answers");
  const answer = Object.fromEntries(coordinator.answers.map(({ ask, text }) => [ask, text]));
  expect(answer.status).toMatch(/^2008-10-.. +SPX .* below its peak; day \d+ of 5105/);
  expect(said()).toContain(answer.last);
  expect(answer.why).toMatch(/^50-day average 1,\d+\.\d\d, 200-day average 1,/);
  expect(answer.dance).toContain("ask me: status");
});

test("an instrument that does not exist is refused in one line that names those that do", async () => {
  const child = spawn(join(EXAMPLE, "gamma"), ["--instrument", "DOGE"], {
    env: { ...process.env, BOSUN_NODE: process.execPath, NODE_COMPILE_CACHE: join(coordinator.folder, "cache") },
  });
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = await once(child, "close");
  expect([code, text]).toEqual([
    2,
    "there is no series for DOGE; the instruments are SPX SPM VIX AAPL AMZN GOOG IBM MSFT TECH\n",
  ]);
});

interface Demo {
  process: ChildProcess;
  text: () => string;
  /** What it left in the folder for temporary files, and of tmux. */
  left: () => string[];
}

/** The demo as a shell starts it: in a process group that Ctrl-C reaches as a whole. */
function startDemo(...args: string[]): Demo {
  const temporary = mkdtempSync(join(coordinator.folder, "tmp-"));
  const child = spawn(process.execPath, [BOSUN, "demo", ...args], {
    env: { ...process.env, TMPDIR: temporary, TMUX_TMPDIR: temporary, FLOOR_SPEED: "2" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
  return {
    process: child,
    text: () => text,
    left: () =>
      readdirSync(temporary, { recursive: true, encoding: "utf8" })
        // Node keeps the compiled command line in a cache of its own there, demo or not; tmux keeps its folder.
        .filter((name) => !name.startsWith("node-compile-cache") && !/^tmux-\d+$/.test(name)),
  };
}

test("S0-52: the demo shows nine rooms, a question answered and an agent come back, and leaves nothing", async () => {
  const demo = startDemo("--seconds", "10");
  const [code] = await once(demo.process, "close");
  expect(demo.text()).toContain("deacon-spx: 200");
  expect(demo.text()).toMatch(/stale since .*: aapl/);
  expect(demo.text()).toContain("live again: aapl");
  expect({ code, left: demo.left() }).toEqual({ code: 0, left: [] });
}, 90_000);

test.each([
  ["while it starts", "nothing of yours is touched"],
  ["while it shows the rooms", "#close"],
])(
  "Ctrl-C %s ends the demo and leaves nothing",
  async (_, seen) => {
    const demo = startDemo("--seconds", "30");
    await until(() => demo.text().includes(seen), seen, 20_000);
    process.kill(-demo.process.pid!, "SIGINT");
    const [code] = await once(demo.process, "close");
    expect({ code, left: demo.left() }).toEqual({ code: 130, left: [] });
  },
  90_000,
);
