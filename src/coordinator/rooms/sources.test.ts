import { appendFileSync, copyFileSync, mkdirSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { PlanSource } from "../../protocol/plan.ts";
import { jsonl, numbers, planRoom, roomsForTest, Screen, STEVE } from "./rooms.fixture.ts";
import { PaneText } from "./sources.ts";

function linesOf(raw: string): string[] {
  return new PaneText().push(Buffer.from(raw));
}

test("pane bytes become the lines that a person reads: no escapes, overwritten text gone", () => {
  expect(linesOf("\u001b[1;32mgamma\u001b[0m flips\r\n")).toEqual(["gamma flips"]);
  expect(linesOf("10 %\r20 %\r100 %\n")).toEqual(["100 %"]);
  expect(linesOf("loading everything\r\u001b[Kdone\n")).toEqual(["done"]);
  expect(linesOf("loading\rdone\n")).toEqual(["doneing"]);
  expect(linesOf("\u001b]0;title\u0007one\n\n  \ntwo\nunfinished")).toEqual(["one", "two"]);
  expect(linesOf("\u001b[2;1Hrow two\u001b[3;1Hrow three\n")).toEqual(["row two", "row three"]);
});

test("wherever the chunks of a pane's output are cut, the lines are the same", () => {
  const output =
    "é \u001b[31m🦋 narrative\u001b[0m: opening\r\nprogress 1\rprogress 2\n\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\\nlast\n";
  const whole = linesOf(output);
  const bytes = Buffer.from(output);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
      const places = [0, ...cuts.toSorted((one, other) => one - other), bytes.length];
      const text = new PaneText();
      const lines = places.slice(1).flatMap((end, at) => text.push(bytes.subarray(places[at]!, end)));
      expect(lines).toEqual(whole);
    }),
  );
  expect(whole).toEqual(["é 🦋 narrative: opening", "progress 2", "link", "last"]);
});

test("what an agent prints and the room's pattern finds becomes a line of the room, from that agent", async () => {
  const { rooms, troubles } = roomsForTest();
  const pane: PlanSource = {
    kind: "pane",
    session: "agents-spx",
    agent: "deacon-spx",
    pattern: "^NARRATE (.*)",
    level: "warn",
    tags: ["pane"],
  };
  const broken: PlanSource = { ...pane, pattern: "(" };
  rooms.declare([planRoom("spx", { sources: [pane, broken] }), planRoom("qqq")]);
  expect(troubles).toMatchObject([{ code: "PLAN_INVALID" }]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["*"] }, screen);
  const feed = (agent: string, text: string) => rooms.feedPaneOutput("agents-spx", agent, Buffer.from(text));
  feed("deacon-spx", "noise\nNARRATE open");
  feed("butterfly-spx", "NARRATE not mine\n");
  feed("deacon-spx", "ing range \u001b[1mset\u001b[0m\r\nNARRATE \n");
  rooms.feedPaneOutput("agents-qqq", "deacon-spx", Buffer.from("NARRATE other session\n"));
  await screen.until(({ lines }) => lines.length === 1);
  await rooms.post("a", { room: "spx", msg: "end" });
  await screen.until(({ lines }) => lines.length === 2);
  expect(screen.lines[0]).toMatchObject({
    from: "deacon-spx",
    msg: "opening range set",
    level: "warn",
    tags: ["pane"],
  });
  expect(screen.lines[1]?.msg).toBe("end");
});

function following(more: { folder?: string } = {}) {
  const opened = roomsForTest(more);
  const path = join(opened.folder, "logs", "agent.jsonl");
  mkdirSync(join(opened.folder, "logs"), { recursive: true });
  const source: PlanSource = { kind: "jsonl", path, from: null };
  const plan = [planRoom("spx", { sources: [source] })];
  opened.rooms.declare(plan);
  const screen = new Screen();
  opened.rooms.watch(STEVE, { rooms: ["spx"], after: {} }, screen);
  return { ...opened, path, plan, screen };
}

test("lines that a program appends to its JSONL file are said in the room, once each", async () => {
  const { path, screen } = following();
  writeFileSync(
    path,
    '{"content":"first","agent":"deacon-spx","level":"alert","tags":["gamma"],"data":{"x":1}}\n{"msg":"half',
  );
  await screen.until(({ lines }) => lines.length === 1);
  appendFileSync(path, ' and half"}\nplain text\n\n');
  await screen.until(({ lines }) => lines.length === 3);
  expect(screen.lines).toMatchObject([
    { from: "deacon-spx", msg: "first", level: "alert", tags: ["gamma"], data: { x: 1 } },
    { from: "agent.jsonl", msg: "half and half", level: "info" },
    { from: "agent.jsonl", msg: "plain text" },
  ]);
});

test("a followed file may be rotated or truncated, also while nobody follows: no line is lost or repeated", async () => {
  const first = following();
  const { path, folder } = first;
  const write = (from: number, count: number, to = path) =>
    appendFileSync(
      to,
      numbers(count, from)
        .map((n) => `{"msg":"line ${n} ${"x".repeat(n % 7)}"}\n`)
        .join(""),
    );
  const said = (screen: Screen) => screen.lines.map((line) => Number(line.msg.split(" ")[1]));
  write(1, 100);
  await first.screen.until(({ lines }) => lines.length === 100);
  write(101, 10);
  renameSync(path, `${path}.1`);
  write(111, 10);
  await first.screen.until(({ lines }) => lines.length === 120);
  truncateSync(path, 0);
  write(121, 10);
  await first.screen.until(({ lines }) => lines.length === 130);
  await first.rooms.close();
  // Nobody follows: some more, a rotation, a new file.
  write(131, 10);
  renameSync(path, `${path}.2`);
  write(141, 10);
  const second = following({ folder });
  await second.screen.until(({ lines }) => lines.length >= 150);
  write(151, 10);
  await second.screen.until(({ lines }) => lines.length >= 160);
  await second.rooms.close();
  // Nobody follows: emptied in place and longer again than before.
  copyFileSync(path, `${path}.3`);
  truncateSync(path, 0);
  write(161, 200);
  const third = following({ folder });
  await third.screen.until(({ lines }) => lines.length >= 360);
  expect(said(third.screen)).toEqual(numbers(360));
});

test("a file that was there before its room is followed from its end; a line too long is shown by its beginning", async () => {
  const { rooms, folder } = roomsForTest();
  const path = join(folder, "old.jsonl");
  writeFileSync(path, '{"msg":"yesterday"}\n');
  rooms.declare([planRoom("spx", { sources: [{ kind: "jsonl", path, from: "importer" }] })]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"], after: {} }, screen);
  appendFileSync(path, `${JSON.stringify({ msg: `${"é".repeat(100_000)}` })}\n{"msg":"today","from":"x"}\n`);
  await screen.until(({ lines }) => lines.at(-1)?.msg === "today");
  expect(screen.lines.at(-1)?.from).toBe("importer");
  expect(screen.lines.map((line) => line.msg)).not.toContain("yesterday");
});

test("a room never follows its own mirror", async () => {
  const { rooms, folder, troubles } = roomsForTest();
  const path = join(folder, "spx.jsonl");
  rooms.declare([planRoom("spx", { jsonl: jsonl(path), sources: [{ kind: "jsonl", path, from: null }] })]);
  expect(troubles).toMatchObject([{ code: "PLAN_INVALID", why: expect.stringContaining("come back") }]);
});
