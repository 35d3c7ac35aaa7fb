import { expect, test } from "vitest";
import type { ErrorBody } from "./error.ts";
import { renderPlanError } from "./plan-error.ts";

const at = (line: number, column: number, file = "floorplan.yaml") => ({ file, line, column });
const mistake = (more: Partial<ErrorBody>): ErrorBody => ({ code: "PLAN_INVALID", what: "wrong", ...more });

test("a misspelt key is shown in its line, marked, with the word that was meant", () => {
  const body = mistake({
    what: 'unknown key "lifecyle" in sessions.agents',
    why: "known here: about, lifecycle",
    fix: "did you mean lifecycle",
    at: at(3, 5),
  });
  expect(renderPlanError(body, "sessions:\n  agents:\n    lifecyle: persistent\n")).toBe(
    `error: floorplan.yaml:3:5: unknown key "lifecyle" in sessions.agents [plan-invalid]
  did you mean  lifecycle
     2 |   agents:
  >  3 |     lifecyle: persistent
             ^^^^^^^^`,
  );
});

test("each of several mistakes comes with its own line; one in an included file without", () => {
  const body = mistake({
    why: "expected text",
    fix: 'put it in quotes: "7"',
    at: at(1, 6),
    more: [mistake({ at: at(2, 6) }), mistake({ at: at(2, 1, "base.yaml") })],
  });
  expect(renderPlanError(body, 'run: 7\r\nabc: "a b": c\r\n')).toBe(
    `error: floorplan.yaml:1:6: wrong [plan-invalid]
  because       expected text
  try           put it in quotes: "7"
  >  1 | run: 7
              ^
error: floorplan.yaml:2:6: wrong [plan-invalid]
     1 | run: 7
  >  2 | abc: "a b": c
              ^^^^^
error: base.yaml:2:1: wrong [plan-invalid]`,
  );
});

test("the marks stand under their word after wide characters and tabs, and in a line too long to show", () => {
  const marked = (text: string, column: number): string => {
    const [line, marks] = renderPlanError(mistake({ at: at(1, column) }), text)
      .split("\n")
      .slice(-2);
    expect(line!.length).toBeLessThan(90);
    return `${line}\n${marks}`;
  };
  expect(marked("日本: wrong", 5)).toBe("  >  1 | 日本: wrong\n               ^^^^^");
  expect(marked("a:\twrong", 4)).toBe("  >  1 | a: wrong\n            ^^^^^");
  const far = marked(`${"x".repeat(300)} wrong ${"y".repeat(300)}`, 302);
  const [line, marks] = far.split("\n");
  expect(line!.slice(marks!.indexOf("^"), marks!.lastIndexOf("^") + 1)).toBe("wrong");
});

test("a plan cannot speak to the terminal through its own mistakes", () => {
  const body = mistake({ what: "unknown key \x1b]0;owned\x07", fix: "\x1b[2J", at: at(1, 3) });
  expect(renderPlanError(body, "a\x1b[31m: b\x9b2J\n")).not.toMatch(/[\x1b\x07\x9b]/);
});

test("a place behind the end of the file still gives the message", () => {
  expect(renderPlanError(mistake({ at: at(9, 1) }), "a: b\n")).toBe("error: floorplan.yaml:9:1: wrong [plan-invalid]");
});
