import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RosterEntry } from "../protocol/screen.ts";
import { displayWidth } from "../protocol/width.ts";
import { keysOf } from "../terminal/keys.ts";
import { LineEditor } from "../terminal/line-editor.ts";
import { wordsOf } from "./commands.ts";
import { Painter, rowsThatFit, window, withoutColour } from "./painting.ts";
import { fuzzy, groupOf, inOrder, rosterRows } from "./roster.ts";

const entry = (name: string, state: string, more: Partial<RosterEntry> = {}): RosterEntry =>
  ({
    session: name,
    name,
    number: 1,
    purpose: null,
    state: "running",
    unseen: 0,
    unread: 0,
    active: false,
    activity: { state, reason: state === "waiting" ? "permission" : null },
    ...more,
  }) as unknown as RosterEntry;

describe("a painted row in a place", () => {
  test("has exactly its cells, keeps its colours, and ends without any", () => {
    expect(window("\x1b[31mred\x1b[m plain", 6)).toBe("\x1b[31mred\x1b[m pl\x1b[m");
    expect(window("ab", 4)).toBe("ab\x1b[m  ");
    expect(withoutColour(window("\x1b[31mabcdef", 3, 2))).toBe("cde");
    expect(window("\x1b[31mabcdef", 3, 2)).toContain("\x1b[31m");
  });

  test("whatever it holds", () => {
    const piece = fc.constantFrom("a", "日", "é", " ", "\x1b[31m", "\x1b[0;1;44m", "🎯", "-");
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.integer({ min: 1, max: 30 }),
        fc.nat(20),
        (row, cells, from) => {
          expect(displayWidth(withoutColour(window(row.join(""), cells, from)))).toBe(cells);
        },
      ),
    );
  });

  test("of a tall picture the lowest rows stay, and runs of empty ones go first", () => {
    const rows = ["top", "", "", "", "answer", "", "", "❯ ", "hint"];
    expect(rowsThatFit(rows, 7, 20)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(rowsThatFit(rows, 7, 6).map((y) => rows[y])).toEqual(["top", "", "answer", "", "❯ ", "hint"]);
    expect(rowsThatFit(rows, 7, 3).map((y) => rows[y])).toEqual(["", "❯ ", "hint"]);
    expect(rowsThatFit(["cursor here", ...Array.from({ length: 30 }, (_, n) => `${n}`)], 0, 5)).toContain(0);
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("", "x"), { maxLength: 60 }),
        fc.nat(59),
        fc.integer({ min: 1, max: 30 }),
        (some, at, space) => {
          const cursor = Math.min(at, Math.max(0, some.length - 1));
          const shown = rowsThatFit(some, cursor, space);
          expect(shown.length).toBeLessThanOrEqual(space);
          expect(shown).toContain(cursor);
          expect(shown).toEqual(shown.toSorted((a, b) => a - b));
        },
      ),
    );
  });
});

test("only rows that differ are written", () => {
  const written: string[] = [];
  const painter = new Painter((text) => written.push(text));
  painter.paint(["one", "two"], { x: 1, y: 1 });
  painter.paint(["one", "TWO"], { x: 1, y: 1 });
  painter.paint(["one", "TWO"], null);
  expect(written[1]).toContain("\x1b[2;1HTWO");
  expect(written[1]).not.toContain("one");
  expect(written[2]).toBe("\x1b[?25l");
});

test("keys, pastes and text are told apart", () => {
  expect(keysOf("ab\r\x1b[A\x0e\x1b3\x1b[200~two\nlines\x1b[201~é\x1b[6~\x1b[99;9Z")).toEqual([
    { text: "ab" },
    { key: "enter" },
    { key: "up" },
    { key: "ctrl-n" },
    { key: "alt-3" },
    { text: "two\nlines" },
    { text: "é" },
    { key: "page-down" },
  ]);
});

test("a line is edited as in a shell, and what was typed before comes back", () => {
  const line = new LineEditor();
  line.insert("make tests");
  line.key("ctrl-w");
  line.insert("bench");
  line.key("home");
  line.insert("time ");
  expect(line.take()).toBe("time make bench");
  line.insert("second");
  line.take();
  line.key("up");
  line.key("up");
  expect(line.text).toBe("time make bench");
  line.key("down");
  expect(line.text).toBe("second");
  line.key("ctrl-u");
  expect([line.text, line.key("f13")]).toEqual(["", false]);
});

test("the roster puts who needs you first, and says so without colour", () => {
  const all = [
    entry("idle-one", "idle", { number: 1 }),
    entry("busy", "working", { number: 2, active: true }),
    entry("asks", "waiting", { number: 3 }),
    entry("over", "dead", { number: 4, state: "exited" }),
    entry("news", "done-unseen", { number: 5, unread: 2, unseen: 9 }),
  ];
  expect(inOrder(all).map((each) => [groupOf(each), each.name])).toEqual([
    ["Needs you", "asks"],
    ["Working", "busy"],
    ["Idle", "idle-one"],
    ["Idle", "news"],
    ["Done", "over"],
  ]);
  const rows = rosterRows(all, 30, false);
  expect(rows.map((row) => row.trimEnd())).toEqual([
    "Needs you (1)",
    "  3 ◐ asks          permission",
    "Working (1)",
    "▶ 2 ● busy",
    "Idle (2)",
    "  1 ○ idle-one",
    "  5 ✓ news           done ✉2 •",
    "Done (1)",
    "  4 ✕ over",
  ]);
  for (const row of rosterRows(all, 17, true)) expect(displayWidth(withoutColour(row))).toBe(17);
  expect(fuzzy("bs", all).map((each) => each.name)).toEqual(["busy"]);
  expect(fuzzy("", all)).toHaveLength(5);
});

test("quotes keep words of a command together", () => {
  expect(wordsOf(`/rename "my hotfix" 'a b' c`)).toEqual(["/rename", "my hotfix", "a b", "c"]);
});
