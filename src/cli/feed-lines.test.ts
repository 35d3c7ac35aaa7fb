import { describe, expect, test } from "vitest";
import type { Line } from "../protocol/room.ts";
import { FeedLines, type FeedLook, noticeOf } from "./feed-lines.ts";
import { clockText } from "./time.ts";

const TS = "2026-11-20T14:30:02.113Z";
const CLOCK = clockText(new Date(TS));
const pane: FeedLook = { form: "pane", roomColumn: false, fields: null, toTerminal: true, style: (text) => text };

function line(given: Partial<Line> = {}): Line {
  const usual: Line = {
    id: "spx-1",
    seq: 1,
    room: "spx",
    ts: TS,
    from: "deacon-spx",
    type: "narrative",
    level: "info",
    msg: "open",
    tags: [],
  };
  return { ...usual, ...given };
}

describe("a line in a pane", () => {
  test("shows when, who, what and tags; the room only where several are shown", () => {
    const tagged = line({ msg: "flips at 5840", tags: ["gamma", "spx"] });
    expect(new FeedLines(pane).text(tagged)).toBe(`${CLOCK}  deacon-spx  flips at 5840  #gamma #spx\n`);
    expect(new FeedLines({ ...pane, roomColumn: true }).text(tagged)).toBe(
      `${CLOCK}  spx  deacon-spx  flips at 5840  #gamma #spx\n`,
    );
  });

  test("lines of several agents stay in columns", () => {
    const lines = new FeedLines(pane);
    lines.text(line({ from: "butterfly-spx" }));
    expect(lines.text(line({ from: "gamma", msg: "wall" }))).toBe(`${CLOCK}  gamma          wall\n`);
  });

  test("the following lines of a text stand under its first", () => {
    expect(new FeedLines(pane).text(line({ msg: "one\ntwo\n" }))).toBe(
      `${CLOCK}  deacon-spx  one\n${" ".repeat(22)}two\n`,
    );
  });

  test("a loud line says so in words, not only in colour", () => {
    const text = (level: Line["level"]): string => new FeedLines(pane).text(line({ level }));
    expect([text("warn"), text("alert")]).toEqual([
      `${CLOCK}  deacon-spx  ! open\n`,
      `${CLOCK}  deacon-spx  !! open\n`,
    ]);
  });

  test("nothing in a line can move the cursor, retitle the terminal or make it answer", () => {
    const evil = "\x1b]0;owned\x07\x1b[2J\x1b[6n\x9b31mred\r\x08\u202eabc";
    const text = new FeedLines({ ...pane, roomColumn: true }).text(
      line({ msg: evil, from: evil, room: evil, tags: [evil] }),
    );
    expect(text.slice(0, -1)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    for (const form of ["plain", "msg"] as const)
      expect(new FeedLines({ ...pane, form }).text(line({ msg: evil })).slice(0, -1)).not.toMatch(
        /[\x00-\x08\x0b-\x1f\x7f-\x9f]/,
      );
  });
});

describe("a line for a program", () => {
  test("json is the line as stored, or the fields asked for", () => {
    const stored = line({ data: { a: null } });
    expect(JSON.parse(new FeedLines({ ...pane, form: "json" }).text(stored))).toEqual(stored);
    expect(new FeedLines({ ...pane, form: "json", fields: ["seq", "msg"] }).text(stored)).toBe(
      '{"seq":1,"msg":"open"}\n',
    );
  });

  test("a chosen field is whole: what is inside its data stays", () => {
    const stored = line({ data: { strike: 5840, legs: [{ side: "buy" }] } });
    expect(JSON.parse(new FeedLines({ ...pane, form: "json", fields: ["data"] }).text(stored))).toEqual({
      data: { strike: 5840, legs: [{ side: "buy" }] },
    });
  });

  test("S0-40: --msg into a pipe is the text byte for byte, as `jq -r .msg` prints it", () => {
    const msg = "flips\tat 5840 \x1b[1m✓";
    expect(new FeedLines({ ...pane, form: "msg", toTerminal: false }).text(line({ msg }))).toBe(`${msg}\n`);
  });

  test("plain is one record of seven fields, whatever the text holds", () => {
    const text = new FeedLines({ ...pane, form: "plain" }).text(line({ msg: "a\tb\nc", tags: ["x", "y"] }));
    expect(text).toBe(`spx-1\t${TS}\tspx\tdeacon-spx\tinfo\ta b c\tx,y\n`);
  });
});

test("what happens to a room is told in one line", () => {
  const since = TS;
  expect([
    noticeOf({ stale: { room: "spx", session: "agents-spx", since, because: "signal 9" } }),
    noticeOf({ live: { room: "spx", session: "agents-spx" } }),
    noticeOf({ ended: { room: "spx" } }),
    noticeOf({ gap: { room: "spx", from: 3, to: 7 } }),
    noticeOf({ line: line() }),
  ]).toEqual([
    `── stale since ${CLOCK}: spx, agents-spx is down (signal 9) ──`,
    "── live again: spx, agents-spx ──",
    "── ended: spx has left the floor plan ──",
    "── gap: lines 3 to 7 of spx are no longer kept ──",
    null,
  ]);
});
