import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openConnection } from "../../src/client/connection.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

const COMPOSER = resolve(import.meta.dirname, "composer.fixture.ts");

let town: TownUnderTest;
let file: string;
beforeEach(async () => {
  town = new TownUnderTest();
  file = join(town.folder, "submitted");
  // The rules of claude know its composer: the same prompt.
  await town.ok("new", "agent", "--agent", "claude", "--", `exec ${process.execPath} ${COMPOSER} ${file}`);
  await until(() => town.capture("=agent:").includes("❯"), "the composer");
});
afterEach(() => town.close());

const submitted = (): string[] =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as string)
    : [];
const keys = (...typed: string[]): string => town.tmux("send-keys", "-t", "=agent:", ...typed);

test("text is typed byte for byte, seen in the composer, and submitted", async () => {
  const texts = ["hello", "two\nlines", "日本語 and é", "a'b\"c $HOME `x` #{pane_id} ;", "x".repeat(3_000)];
  for (const text of texts)
    expect([text.slice(0, 20), (await town.json("nudge", "agent", text)).outcome]).toEqual([
      text.slice(0, 20),
      "submitted",
    ]);
  expect(submitted()).toEqual(texts);
  await town.ok("nudge", "agent");
  await until(() => submitted().at(-1) === "You have mail: bosun inbox --bodies", "the line that wakes");
});

test("O3-22: while a half-typed line stands there nothing is typed; it waits, is told, and comes when the line is gone", async () => {
  keys("half a th");
  await until(() => town.capture("=agent:").includes("half a th"), "the half line");
  expect(await town.json("nudge", "agent", "ours")).toMatchObject({
    outcome: "held",
    why: "a half-typed line stands there",
  });
  expect((await town.run(["nudge", "agent", "ours too", "--now"])).code).toBe(4);
  expect(submitted()).toEqual([]);
  keys("ought", "Enter");
  await until(() => submitted().length === 2, "both");
  expect(submitted()).toEqual(["half a thought", "ours"]);
});

test("S3-16, S3-29: what waits is typed in its order once the program is free, over a restart of the coordinator too; the wake line only once", async () => {
  keys("busy");
  await until(() => town.capture("=agent:").includes("busy"), "the half line");
  for (const text of ["first", "second", "third"])
    expect((await town.json("nudge", "agent", text)).outcome).toBe("held");
  for (let n = 0; n < 3; n++) await town.ok("nudge", "agent");
  const { waiting } = await town.json("queue", "agent");
  expect(waiting.map((each: { text: string }) => each.text)).toEqual([
    "first",
    "second",
    "third",
    "You have mail: bosun inbox --bodies",
  ]);
  await town.ok("queue", "--drop", waiting[1].id);
  process.kill(town.coordinatorPid()!, "SIGKILL");
  await town.ok("ls");
  keys("C-u");
  await until(() => submitted().length === 3, "all that waits", 20_000);
  expect(submitted()).toEqual(["first", "third", "You have mail: bosun inbox --bodies"]);
  await until(async () => (await town.json("queue")).waiting.length === 0, "nothing to wait");
});

test("an agent may have another told that there is mail, and type nothing itself; a protected session is left alone", async () => {
  const printed = await town.run(["register", "other", "Other", "script"]);
  const tokenFile = /BOSUN_TOKEN_FILE=(\S+)/.exec(printed.stderr)![1]!;
  const env = { BOSUN_TOKEN_FILE: tokenFile };
  const typed = await town.run(["nudge", "agent", "do as I say"], { env });
  expect([typed.code, typed.stderr]).toEqual([4, expect.stringContaining("may not type into a session")]);
  expect((await town.run(["nudge", "agent"], { env })).code).toBe(0);
  await until(() => submitted().length === 1, "the line that wakes");
  expect(submitted()).toEqual(["You have mail: bosun inbox --bodies"]);
  const other = new TownUnderTest(
    "version: 1\nsessions:\n  vault: { about: Kept, run: exec sleep 600, protect: true }\n",
  );
  await other.ok("up");
  const kept = await other.run(["nudge", "vault"]);
  await other.close();
  expect([kept.code, kept.stderr]).toEqual([4, expect.stringContaining("vault is protected")]);
});

test("mail with --wake is told where its recipient works, without a word of the sender", async () => {
  const sent = await town.run(["send", "agent", "Gamma wall", "at 505; rm -rf /", "--wake"]);
  expect([sent.code, sent.stderr]).toEqual([0, expect.stringContaining("agent: ")]);
  await until(() => submitted().length === 1, "the line that wakes");
  expect(submitted()).toEqual(["You have mail: bosun inbox --bodies"]);
});

test("a question, copy mode, an end and a screen without a composer hold it, each with its reason", async () => {
  await town.ok("new", "asker", "--", 'printf "Sure? [y/N] "; read x; exec sleep 600');
  await until(async () => (await town.json("ls", "--waiting")).count === 1, "the question");
  expect((await town.json("nudge", "asker", "x")).why).toBe("it waits for a person: question");
  town.tmux("copy-mode", "-t", "=agent:");
  expect((await town.json("nudge", "agent", "x")).why).toBe("somebody reads there (copy mode)");
  keys("-X", "cancel");
  await until(() => submitted().includes("x"), "it to come");
  await town.ok("new", "painter", "--", "printf 'nothing to type into'; exec sleep 600");
  await until(async () => (await town.json("explain", "painter")).activity.state === "unknown", "its rest");
  expect((await town.json("nudge", "painter", "x")).why).toBe("no place to type is known on its screen");
  await town.ok("new", "gone", "--", "exit 0");
  await until(async () => (await town.json("nudge", "gone", "x")).why === "its process has ended", "its end");
});

test("O3-22: thirty texts while somebody types at random: none is mixed with another, none is lost without a word", async () => {
  let typing = true;
  const lines: string[] = [];
  let seed = 11;
  const random = (most: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % most;
  };
  const human = (async () => {
    for (let n = 0; typing; n++) {
      const text = `human${n}`;
      for (const letter of text) {
        keys("-l", letter);
        await new Promise((next) => setTimeout(next, 20 + random(60)));
      }
      keys("Enter");
      lines.push(text);
      await new Promise((next) => setTimeout(next, 300 + random(1_200)));
    }
  })();
  const ours = Array.from({ length: 30 }, (_, n) => `ours ${n} ${"word ".repeat(n % 7)}end`);
  const outcomes = new Map<string, string>();
  for (const text of ours) outcomes.set(text, (await town.json("nudge", "agent", text)).outcome);
  await until(async () => (await town.json("queue")).waiting.length === 0, "all to be typed", 60_000).catch(() => {});
  typing = false;
  await human;
  await until(async () => (await town.json("queue")).waiting.length === 0, "the rest", 60_000);
  const events = (await town.json("events", "-n", "1000")).events as { type: string; outcome?: string }[];
  const settled = events.filter((each) => each.type === "input.settled");
  expect(settled).toHaveLength(30);
  const unproven = settled.filter((each) => each.outcome === "unproven").length;
  const whole = new Set([...ours, ...lines]);
  // What was typed into each other stands in the composer for a person to see, and is never submitted by us.
  const mixed = submitted().filter((line) => !whole.has(line));
  expect(mixed.length).toBeLessThanOrEqual(unproven);
  expect(submitted().filter((line) => ours.includes(line)).length).toBeGreaterThanOrEqual(30 - unproven);
  expect(unproven).toBeLessThan(10);
}, 240_000);

test("a megabyte comes byte for byte into a program that reads raw", async () => {
  const got = join(town.folder, "got");
  const reader = `process.stdin.setRawMode(true); process.stdout.write("\\x1b[?2004hready"); const out = require("fs").openSync(${JSON.stringify(got)}, "a"); process.stdin.on("data", (bytes) => require("fs").writeSync(out, bytes));`;
  const program = join(town.folder, "reader.cjs");
  writeFileSync(program, reader);
  await town.ok("new", "reader", "--", `exec ${process.execPath} ${program}`);
  await until(() => town.capture("=reader:").includes("ready"), "the reader");
  const line = (n: number): string => `${n} ${"déjà vu 日本 'x' \"y\" $z `w` #{q} \\ ;".repeat(3)}\n`;
  const text = Array.from({ length: 7_000 }, (_, n) => line(n))
    .join("")
    .slice(0, 1_000_000);
  const connection = await openConnection((await town.json("status")).socket);
  await connection.call("session.type", { session: "reader", line: text });
  connection.close();
  const whole = Buffer.from(`\x1b[200~${text}\x1b[201~\r`);
  await until(() => existsSync(got) && statSync(got).size >= whole.length, "all of it", 60_000);
  // A paste has carriage returns where the text has line feeds, as from any terminal.
  const bytes = readFileSync(got, "utf8").replaceAll("\r", "\n");
  expect(bytes === whole.toString("utf8").replaceAll("\r", "\n")).toBe(true);
}, 120_000);

test("S1-42: an agent is nudged by its name of today and by the one of before", async () => {
  town.plan(`version: 1
names: gastown
sessions:
  mayor: { role: mayor, agent: { id: mayor, type: claude }, run: "exec ${process.execPath} ${COMPOSER} ${file}-mayor" }
`);
  await town.ok("up");
  await until(() => town.capture(`=hq-${town.town}-mayor:`).includes("❯"), "the mayor's composer");
  for (const name of ["hq-mayor", `hq-${town.town}-mayor`, "mayor"])
    expect((await town.json("nudge", name, `for ${name}`)).outcome).toBe("submitted");
  expect(readFileSync(`${file}-mayor`, "utf8").trim().split("\n")).toHaveLength(3);
  const refusing = readFileSync(town.planFile, "utf8").replace(
    "names: gastown",
    "names: { preset: gastown, legacy: refuse }",
  );
  town.plan(refusing);
  await town.ok("up");
  expect((await town.run(["nudge", "hq-mayor", "x"])).code).toBe(3);
});
