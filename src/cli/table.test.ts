import { describe, expect, test } from "vitest";
import { cut, displayWidth, pad } from "../protocol/width.ts";
import { table, tabSeparated } from "./table.ts";

describe("cells of a terminal", () => {
  test("wide, combined and joined characters count what a terminal gives them", () => {
    const texts = ["spx", "反転", "한글", "é", "e\u0301", "🦀", "👩‍🚀", "🇩🇪", "ﾃｽﾄ", "1️⃣", "─", "ＡＢ", ""];
    expect(texts.map(displayWidth)).toEqual([3, 4, 4, 1, 1, 2, 2, 2, 3, 2, 1, 4, 0]);
  });

  test("what is cut ends with an ellipsis, never inside a character, and fills its cells exactly", () => {
    expect([cut("butterfly", 6), cut("反転反転", 6), cut("反転反転", 4), cut("ab", 4), cut("👩‍🚀👩‍🚀", 3)]).toEqual([
      "butte…",
      "反転… ",
      "反… ",
      "ab  ",
      "👩‍🚀…",
    ]);
    expect(pad("反", 4)).toBe("反  ");
  });
});

describe("tables", () => {
  const columns = [
    { title: "SESSION" },
    { title: "ABOUT", flexible: true },
    { title: "MAIL", align: "right" as const },
  ];

  test("wide characters do not push the columns behind them", () => {
    expect(
      table(
        columns,
        [
          ["spx", "反転を見る", "2"],
          ["🦀-crew", "x", "10"],
        ],
        80,
      ),
    ).toEqual(["SESSION  ABOUT       MAIL", "spx      反転を見る     2", "🦀-crew  x             10"]);
  });

  test("no line is wider than the terminal; names are never cut, texts are", () => {
    const rows = [["a-session-with-a-long-name", "x".repeat(200), "1"]];
    const lines = table(columns, rows, 60);
    expect(lines.map(displayWidth)).toEqual([60, 60]);
    expect(lines[1]).toMatch(/^a-session-with-a-long-name {2}x+… {2} {3}1$/);
  });

  test("a column that says nothing in any row is left out", () => {
    const some = [{ title: "NAME" }, { title: "EXIT", whenSaid: true }, { title: "MAIL", whenSaid: true }];
    expect(
      table(
        some,
        [
          ["a", "-", "0"],
          ["b", "exit 1", "0"],
        ],
        80,
      ),
    ).toEqual(["NAME  EXIT", "a     -", "b     exit 1"]);
  });

  test("records are never cut, and have one line and the same fields each", () => {
    expect(tabSeparated(columns, [["a", `${"x".repeat(300)}\n\ty`, "0"]])).toEqual([
      "session\tabout\tmail",
      `a\t${"x".repeat(300)} y\t0`,
    ]);
  });
});
