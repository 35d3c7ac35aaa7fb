import { execFile, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import type { Line } from "../../protocol/room.ts";
import { folderForTest, jsonl, numbers, planRoom, roomsForTest, Screen, STEVE } from "./rooms.fixture.ts";
import type { Rooms } from "./rooms.ts";

function linesIn(path: string): Line[] {
  const text = readFileSync(path, "utf8");
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

async function stored(rooms: Rooms): Promise<Line[]> {
  return (await rooms.read(STEVE, { rooms: ["spx"], limit: 10_000 })).lines;
}

test("S0-36 S0-37: the mirror holds one JSON object a line, with the ids that a subscriber received", async () => {
  const { rooms, folder } = roomsForTest();
  const path = join(folder, "log", "moo", "spx-narrative.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path) })]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  for (const n of numbers(20))
    await rooms.post("deacon-spx", { room: "spx", msg: `line ${n}\nsecond row "quoted"`, data: { n } });
  await screen.until(({ lines }) => lines.length === 20);
  await rooms.close();
  expect(linesIn(path)).toEqual(screen.lines);
  expect(Object.keys(linesIn(path)[0]!)).toEqual([
    "id",
    "seq",
    "room",
    "ts",
    "from",
    "type",
    "level",
    "msg",
    "tags",
    "data",
  ]);
});

test("S0-40: `jq -r .msg` over the mirror prints what a view shows", async () => {
  const { rooms, folder } = roomsForTest();
  const path = join(folder, "spx.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path) })]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  const said = [
    "plain",
    "äöü ✓ 日本 🦋",
    "tab\there",
    "two\nrows",
    'back\\slash "q"',
    "esc \u001b[1mbold\u001b[0m",
    "half \ud800 pair",
  ];
  for (const msg of said) await rooms.post("a", { room: "spx", msg });
  await screen.until(({ lines }) => lines.length === said.length);
  await rooms.close();
  const { stdout } = await promisify(execFile)("jq", ["-r", ".msg", path]);
  expect(stdout).toBe(screen.lines.map((line) => `${line.msg}\n`).join(""));
  expect(stdout).not.toContain("\u001b");
});

test("S0-38: whatever a crash left of the mirror, it is completed to what the store holds, without a repeat", async () => {
  const damages: [string, (path: string) => void][] = [
    ["nothing missing", () => {}],
    ["last lines missing", (path) => truncateSync(path, readFileSync(path).indexOf('{"id":"spx-7"'))],
    ["a line cut in half", (path) => truncateSync(path, readFileSync(path).indexOf('{"id":"spx-7"') + 25)],
    ["a line without its end", (path) => truncateSync(path, statSync(path).size - 1)],
    ["cut within a character", (path) => truncateSync(path, readFileSync(path).indexOf("✓") + 1)],
    ["zeros after a power cut", (path) => appendFileSync(path, Buffer.alloc(100))],
    ["the file empty", (path) => truncateSync(path, 0)],
    ["the file gone", (path) => rmSync(path)],
    ["foreign whole lines at its end", (path) => appendFileSync(path, '{"hello":1}\nplain\n')],
  ];
  for (const [damage, apply] of damages) {
    const folder = folderForTest();
    const path = join(folder, "spx.jsonl");
    const plan = [planRoom("spx", { jsonl: jsonl(path) })];
    const first = roomsForTest({ folder }).rooms;
    first.declare(plan);
    for (const n of numbers(10)) await first.post("a", { room: "spx", msg: `line ${n} ✓` });
    await first.close();
    apply(path);
    const again = roomsForTest({ folder }).rooms;
    again.declare(plan);
    await again.post("a", { room: "spx", msg: "after the crash" });
    const expected = await stored(again);
    await again.close();
    const text = readFileSync(path, "utf8").replace('{"hello":1}\nplain\n', "");
    expect(text, damage).toBe(expected.map((line) => `${JSON.stringify(line)}\n`).join(""));
  }
});

test("a mirror left from an earlier life of the store is continued, not believed", async () => {
  const folder = folderForTest();
  const path = join(folder, "spx.jsonl");
  writeFileSync(path, `${JSON.stringify({ id: "spx-5000", seq: 5000, room: "spx", msg: "old" })}\n`);
  const { rooms } = roomsForTest({ folder });
  rooms.declare([planRoom("spx", { jsonl: jsonl(path) })]);
  await rooms.post("a", { room: "spx", msg: "new" });
  await rooms.close();
  expect(linesIn(path).map((line) => line.id)).toEqual(["spx-5000", "spx-1"]);
});

/** `tail -n +1 -F`, as a feed pane runs it, of a mirror that has just been declared. */
async function tail(path: string): Promise<{ lines: string[]; until: (count: number) => Promise<void> }> {
  await expect.poll(() => existsSync(path)).toBe(true);
  const child = spawn("tail", ["-n", "+1", "-F", path], { stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void child.kill());
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = () => {
        if (lines.length < count) return;
        reader.off("line", look);
        resolve();
      };
      reader.on("line", look);
      look();
    });
  return { lines, until };
}

test("S0-57: the mirror rotates by size while `tail -F` and a view follow: both get every line, once and in order", async () => {
  const { rooms, folder } = roomsForTest({ mirrorRotationPauseMs: 300 });
  const path = join(folder, "spx.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path, 4_000) })]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  const followed = await tail(path);
  const rotated = () => readdirSync(folder).filter((name) => /^spx\.jsonl\.\d+$/.test(name)).length;
  let spoken = 0;
  while (rotated() < 4) {
    await Promise.all(
      numbers(20).map(() => rooms.post("a", { room: "spx", msg: `line ${++spoken} ${"x".repeat(100)}` })),
    );
    await followed.until(spoken - 20);
  }
  await Promise.all([followed.until(spoken), screen.until(({ lines }) => lines.length === spoken)]);
  expect(followed.lines.map((line) => (JSON.parse(line) as Line).seq)).toEqual(numbers(spoken));
  expect(screen.lines.map((line) => line.seq)).toEqual(numbers(spoken));
  await rooms.close();
  const files = numbers(rotated())
    .toReversed()
    .map((n) => `${path}.${n}`);
  expect([...files, path].flatMap(linesIn).map((line) => line.seq)).toEqual(numbers(spoken));
});

test("S0-57: somebody else renames the mirror, or copies and truncates it: views and the files lose nothing", async () => {
  const { rooms, folder } = roomsForTest();
  const path = join(folder, "spx.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path) })]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  const followed = await tail(path);
  const say = () => Promise.all(numbers(30).map((n) => rooms.post("a", { room: "spx", msg: `${n}` })));
  await say();
  await followed.until(30);
  renameSync(path, join(folder, "renamed"));
  await say();
  await followed.until(60);
  expect(followed.lines.map((line) => (JSON.parse(line) as Line).seq)).toEqual(numbers(60));
  // What tail makes of a file that shrinks and grows again is its own affair.
  copyFileSync(path, join(folder, "copied"));
  truncateSync(path, 0);
  await say();
  await screen.until(({ lines }) => lines.length === 90);
  await rooms.close();
  const files = ["renamed", "copied", "spx.jsonl"].flatMap((name) => linesIn(join(folder, name)));
  expect(files.map((line) => line.seq)).toEqual(numbers(90));
  expect(screen.lines.map((line) => line.seq)).toEqual(numbers(90));
});

test("after a restart in the middle of a rotation the mirror goes on where the rotated file ends", async () => {
  const folder = folderForTest();
  const path = join(folder, "spx.jsonl");
  const plan = [planRoom("spx", { jsonl: jsonl(path) })];
  const first = roomsForTest({ folder }).rooms;
  first.declare(plan);
  for (const n of numbers(5)) await first.post("a", { room: "spx", msg: `${n}` });
  await first.close();
  renameSync(path, `${path}.1`);
  const again = roomsForTest({ folder }).rooms;
  again.declare(plan);
  await again.post("a", { room: "spx", msg: "6" });
  await again.close();
  expect(linesIn(path).map((line) => line.seq)).toEqual([6]);
});

test("a mirror that cannot be written is told once, stops no post, and is complete when the disk is right again", async () => {
  const { rooms, folder, troubles } = roomsForTest();
  const blocked = join(folder, "log");
  writeFileSync(blocked, "a file where the folder should be");
  const path = join(blocked, "spx.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path) })]);
  for (const n of numbers(5)) await rooms.post("a", { room: "spx", msg: `${n}` });
  await expect.poll(() => troubles.length, { timeout: 5_000 }).toBe(1);
  expect(troubles[0]).toMatchObject({ code: "FAILED", what: `the mirror ${path} cannot be written` });
  rmSync(blocked);
  await expect.poll(() => existsSync(path) && linesIn(path).length, { timeout: 10_000 }).toBe(5);
  expect(troubles).toHaveLength(1);
});

test("the mirror of a private room is for its owner's account only", async () => {
  const { rooms, folder } = roomsForTest();
  mkdirSync(join(folder, "log"));
  chmodSync(join(folder, "log"), 0o755);
  const path = join(folder, "log", "pair.jsonl");
  rooms.declare([planRoom("pair", { private: ["a"], jsonl: jsonl(path) })]);
  await rooms.post("a", { room: "pair", msg: "x" });
  await rooms.close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "rooms.db")).mode & 0o777).toBe(0o600);
});
