import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

const CLI = resolve(import.meta.dirname, "../../dist/bosun.js");

/** A terminal with the console in it, as a person has one: a tmux of its own, so that its screen can be read. */
class Seat {
  readonly #socket: string;
  readonly #env: Record<string, string>;

  constructor(town: TownUnderTest, name: string, columns = 80, rows = 24, env: Record<string, string> = {}) {
    this.#socket = `${town.socket}-seat-${name}`;
    this.#env = { ...town.env, ...env };
    this.tmux("-f", "/dev/null", "new-session", "-d", "-x", `${columns}`, "-y", `${rows}`, "-c", town.folder, "sh");
    this.tmux("set-option", "-g", "status", "off");
    this.keys(`exec ${process.execPath} ${CLI} console`, "Enter");
  }

  tmux(...args: string[]): string {
    return execFileSync("tmux", ["-L", this.#socket, "-u", ...args], { encoding: "utf8", env: this.#env });
  }

  keys(...keys: string[]): void {
    this.tmux("send-keys", ...keys);
  }

  line(text: string): void {
    this.tmux("send-keys", "-l", text);
    this.keys("Enter");
  }

  screen(): string {
    return this.tmux("capture-pane", "-p");
  }

  async shows(what: string | RegExp): Promise<void> {
    try {
      await until(
        () => (typeof what === "string" ? this.screen().includes(what) : what.test(this.screen())),
        `${what}`,
        5_000,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.screen()}`);
    }
  }

  pid(): number {
    return Number(this.tmux("display-message", "-p", "#{pane_pid}"));
  }

  close(): void {
    try {
      this.tmux("kill-server");
    } catch {
      // It has ended by itself with its last session.
    }
  }
}

let town: TownUnderTest;
const seats: Seat[] = [];
const sit = (...args: [string, number?, number?, Record<string, string>?]): Seat => {
  const seat = new Seat(town, ...args);
  seats.push(seat);
  return seat;
};

beforeEach(() => {
  town = new TownUnderTest();
  town.env.SHELL = "/bin/sh";
});
afterEach(async () => {
  for (const seat of seats.splice(0)) seat.close();
  await town.close();
});

const COUNTER = 'i=0; while true; do i=$((i+1)); echo "A counts $i"; sleep 0.1; done';

test("S3-11, S3-12, S3-13, S3-17, S3-22: start A, /sessions new hello, /switch hello, type: it reaches hello, A goes on, switching back shows all of it", async () => {
  await town.ok("new", "A", "--", COUNTER);
  const seat = sit("one");
  await seat.shows(/▶ 1 ● A/);
  await seat.shows(/│A counts \d+/);
  seat.line("/sessions new hello");
  await seat.shows("✓ Created session 'hello' (2)");
  await seat.shows(/▶ 2 . hello/);
  const counted = async () => Number(/(\d+)$/.exec((await town.json("history", "A", "-n", "1")).lines[0])![1]);
  const before = await counted();
  seat.line("/switch hello");
  seat.line("echo it-reaches $((6*7))");
  await seat.shows("it-reaches 42");
  expect((await town.json("history", "A")).lines.join("\n")).not.toContain("it-reaches");
  await until(async () => (await counted()) > before + 10, "A to go on");
  expect(seat.screen()).not.toMatch(/A counts/);
  seat.line("/s A");
  await seat.shows(/A counts \d+/);
  seat.keys("PageUp");
  await seat.shows("What A wrote");
  const lines = (await town.json("history", "A")).lines as string[];
  const numbers = lines.map((line) => Number(/\d+$/.exec(line)![0]));
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => numbers[0]! + n));
  expect(numbers[0]).toBe(1);
});

test("O3-07, O3-08, O3-20: within a second a session in the background that asks is named, counted and one key away; one that is done, too", async () => {
  await town.ok("new", "front", "--", "exec sleep 600");
  const go = join(town.folder, "go");
  await town.ok(
    "new",
    "asker",
    "--",
    `while [ ! -e ${go} ]; do sleep 0.05; done; printf 'Delete everything? [y/N] '; read x; echo "chose $x"; exec sleep 600`,
  );
  await town.ok("switch", "front");
  const seat = sit("one");
  await seat.shows("nobody needs you");
  execFileSync("touch", [go]);
  const startedMs = Date.now();
  await seat.shows("◐ asker needs you: question");
  expect(Date.now() - startedMs).toBeLessThan(3_000);
  await seat.shows("1 needs you");
  seat.keys("C-g");
  await seat.shows(/▶ 2 ◐ asker/);
  await seat.shows("Delete everything? [y/N]");
  seat.line("n");
  await seat.shows("chose n");
  await seat.shows("nobody needs you");
});

test("S3-31, S3-33, S3-20: the console holds nothing: killed and started again it shows the same; two of them may look at different sessions", async () => {
  await town.ok("new", "left", "--", "echo left-text; exec sleep 600");
  await town.ok("new", "right", "--", "echo right-text; exec sleep 600");
  const one = sit("one");
  await one.shows("right-text");
  const two = sit("two");
  await two.shows("right-text");
  two.line("/switch left");
  await two.shows("left-text");
  expect(one.screen()).toContain("right-text");
  const before = two.screen();
  const pids = async () => (await town.json("ls")).sessions.map((each: { pid: number }) => each.pid);
  const alive = await pids();
  process.kill(two.pid(), "SIGKILL");
  two.close();
  const again = sit("three");
  await again.shows("left-text");
  const body = (screen: string): string[] => screen.split("\n").slice(0, 20);
  await until(() => JSON.stringify(body(again.screen())) === JSON.stringify(body(before)), "the same picture");
  expect(await pids()).toEqual(alive);
});

test("keys go to the session as they are until ctrl-]; a name is found by letters; a command that is none is told", async () => {
  const file = join(town.folder, "keys");
  await town.ok(
    "new",
    "raw",
    "--",
    `stty raw -echo; echo ready; dd bs=1 count=8 of=${file} 2>/dev/null; echo taken; exec sleep 600`,
  );
  await town.ok("new", "other", "--", "echo other-text; exec sleep 600");
  const seat = sit("one");
  await seat.shows("other-text");
  seat.keys("C-f");
  await seat.shows("find:");
  seat.tmux("send-keys", "-l", "rw");
  seat.keys("Enter");
  await seat.shows("ready");
  seat.keys("C-t");
  await seat.shows("keys go to the session");
  seat.tmux("send-keys", "-l", "a/");
  seat.keys("C-c", "Up");
  seat.tmux("send-keys", "-l", "é");
  await seat.shows("taken");
  expect(readFileSync(file)).toEqual(Buffer.from("a/\x03\x1b[Aé"));
  seat.keys("C-]");
  seat.line("/nonsense");
  await seat.shows("there is no /nonsense; /help shows all");
  seat.line("/help");
  await seat.shows("/ begins a command");
  seat.keys("Escape");
  seat.keys("C-q");
  await until(() => {
    try {
      seat.screen();
      return false;
    } catch {
      return true;
    }
  }, "the console to leave");
});

test("it fits 40 × 10 and 200 × 60, goes along when the terminal changes, and says everything without colour", async () => {
  await town.ok("new", "wide", "--", "printf '\\033[31mred\\033[0m 日本語\\n'; exec sleep 600");
  const small = sit("small", 40, 10);
  await small.shows("red 日本語");
  expect(small.screen()).not.toContain("│");
  const large = sit("large", 200, 60, { NO_COLOR: "1" });
  await large.shows(/▶ 1 . wide/);
  await large.shows("red 日本語");
  const painted = large.tmux("capture-pane", "-p", "-e");
  expect(painted).not.toMatch(/\x1b\[[\d;]*3[0-7]m/);
  small.tmux("resize-window", "-x", "100", "-y", "30");
  await small.shows(/▶ 1 . wide.*│/);
  for (const line of small.screen().split("\n")) expect(line.length).toBeLessThanOrEqual(100);
});

test("/ask, /say, /broadcast and /inbox reach agents, rooms and mail", async () => {
  town.plan(`version: 1
rooms: { main: { about: All } }
sessions:
  desk: { about: Works, room: main, run: ./deacon.sh, agent: { id: deacon, type: script } }
`);
  const script = `bosun listen | while read -r question; do bosun answer "$(echo "$question" | jq -r .ask)" "all is well"; done`;
  writeFileSync(join(town.folder, "deacon.sh"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await town.ok("up");
  const seat = sit("one", 100, 30);
  await seat.shows(/▶ 1 . desk/);
  seat.line("/say main from the console");
  await seat.shows(/said in main as line \d/);
  expect(await town.ok("feed", "main", "--last", "5")).toContain("from the console");
  seat.line("/ask deacon status");
  await seat.shows("all is well");
  seat.keys("Escape");
  seat.line("/broadcast lunch is at noon");
  await seat.shows("sent to 1: deacon");
  seat.line("/inbox deacon");
  await seat.shows("lunch is at noon");
});
