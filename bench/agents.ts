import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { openConnection } from "../src/client/connection.ts";
import type { RosterEntry } from "../src/protocol/screen.ts";
import { ModelServer } from "../test/agents/model-server.ts";
import { type Bench, Ground, median, percentile, ratio, series } from "./measure.ts";

const BIN = resolve(import.meta.dirname, "../.runtime/agents/node_modules/.bin");
const TURNS = 15;

/** A real agent at work: how long after its own screen has changed the roster says so. */
export const agents: Bench = {
  name: "agents",
  question: `${TURNS} turns of a real Claude Code, offline: from its screen to the roster`,
  async run() {
    if (!existsSync(join(BIN, "claude")))
      return {
        series: [],
        ratios: [],
        notes: ["left out: bin/setup --test installs the agents, and has not been run"],
      };
    const models = new ModelServer();
    const ground = new Ground();
    try {
      const url = await models.start();
      ground.env.PATH = `${BIN}:${ground.env.PATH}`;
      ground.write("floorplan.yaml", "version: 1\nsessions: {}\n");
      writeFileSync(
        join(ground.env.HOME!, ".claude.json"),
        JSON.stringify({ hasCompletedOnboarding: true, theme: "dark" }),
      );
      execFileSync("git", ["init", "-q", join(ground.folder, "project")]);
      await ground.bosun("up", "--quiet");
      const { socket } = JSON.parse(await ground.bosun("status", "--json")) as { socket: string };
      const connection = await openConnection(socket);
      await connection.call("session.open", {
        name: "claude",
        run: "claude",
        cwd: join(ground.folder, "project"),
        env: {
          ANTHROPIC_BASE_URL: url,
          ANTHROPIC_API_KEY: "sk-ant-test-0000000000000000000000",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        },
      });
      const screen = (): string => ground.tmux("capture-pane", "-p", "-t", "=claude:");
      const keys = (...typed: string[]): string => ground.tmux("send-keys", "-t", "=claude:", ...typed);
      await walkIn(screen, keys);

      let state = "";
      let changedMs = 0;
      const told = (roster: RosterEntry[]): void => {
        const now = roster[0]?.activity.state ?? "";
        if (now === state) return;
        state = now;
        changedMs = performance.now();
      };
      const follow = await connection.stream("session.roster", { follow: true }, (event) =>
        told((event as { sessions: RosterEntry[] }).sessions),
      );
      told(follow.ok.sessions);
      const working: number[] = [];
      const resting: number[] = [];
      for (let turn = 0; turn < TURNS; turn++) {
        keys("-l", "slow please");
        await pause(400);
        keys("Enter");
        working.push(
          await lag(
            () => SPINS.test(screen()),
            () => state === "working",
            () => changedMs,
          ),
        );
        resting.push(
          await lag(
            () => !SPINS.test(screen()),
            () => state !== "working",
            () => changedMs,
          ),
        );
        await pause(1_000);
      }
      follow.cancel();
      connection.close();
      const all = [...working, ...resting];
      const p95 = percentile(all, 0.95);
      return {
        series: [
          series("at work: from its screen to the roster, median", "ms", [median(working)]),
          series("at rest: from its screen to the roster, median", "ms", [median(resting)]),
          series("both, p95", "ms", [p95]),
        ],
        ratios: [ratio("from a real agent's screen to the roster, p95 ms", p95, "≤ 500", p95 <= 500)],
        notes: [
          "its screen is looked at every 10 ms; what the roster says before the screen does counts as 0 (its state file is faster than its screen)",
        ],
      };
    } finally {
      await ground.close();
      await models.stop();
    }
  },
};

/** What it shows while it works. */
const SPINS = /esc to interrupt|^\s*[✳✶✻✽✢·*] \S+…/m;

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));

/** Trust and key, as a person would answer them. */
async function walkIn(screen: () => string, keys: (...typed: string[]) => string): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!/❯\s*\n─/.test(screen())) {
    if (performance.now() > endMs) throw new Error(`claude did not get ready:\n${screen()}`);
    if (/❯ (Yes|1\. Yes)/.test(screen())) keys("Enter");
    else if (/trust this folder|Do you want to use this API key/.test(screen())) keys("Down");
    await pause(500);
  }
  await pause(1_000);
}

/** Milliseconds by which the roster is later than the screen; 0 where it is not. */
async function lag(shown: () => boolean, known: () => boolean, atMs: () => number): Promise<number> {
  const endMs = performance.now() + 20_000;
  while (!shown()) {
    if (performance.now() > endMs) throw new Error("the screen did not change");
    await pause(10);
  }
  const shownMs = performance.now();
  while (!known()) {
    if (performance.now() > endMs) throw new Error("the roster did not change");
    await pause(5);
  }
  return Math.max(0, atMs() - shownMs);
}
