import { expect, test } from "vitest";
import { postOf } from "./say.ts";
import { ageText, durationMs, momentOf } from "./time.ts";

test("a line of input is a text, or a JSON object with a text; anything else that begins with a brace is a text", () => {
  const base = { room: "spx", level: "info" as const };
  expect(
    [
      "gamma flips",
      '{"msg":"wall","level":"warn","tags":["gamma"],"from":"somebody else","room":"qqq"}',
      '{"content":"of another system"}',
      '{"price":5840}',
      "{not json",
      "",
      "   ",
    ].map((text) => postOf(text, base)),
  ).toEqual([
    { ...base, msg: "gamma flips" },
    // Neither sender nor room come from the text.
    { room: "spx", level: "warn", msg: "wall", tags: ["gamma"] },
    { ...base, msg: "of another system" },
    { ...base, msg: '{"price":5840}' },
    { ...base, msg: "{not json" },
    null,
    null,
  ]);
});

test("moments are clock times of today, durations ago, or RFC 3339", () => {
  const now = new Date(2026, 10, 20, 15, 0, 0);
  const local = (hour: number, minute: number): string => new Date(2026, 10, 20, hour, minute).toISOString();
  expect([momentOf("14:30", +now), momentOf("10m", +now), momentOf("2026-01-31T14:30:00+02:00", +now)]).toEqual([
    local(14, 30),
    local(14, 50),
    "2026-01-31T12:30:00.000Z",
  ]);
  for (const wrong of ["yesterday", "14", "25m ago", "2026-99-99"])
    expect(() => momentOf(wrong, +now)).toThrow(/is not a time/);
});

test("ages have one unit, durations are read exactly", () => {
  expect([0, 119_000, 120_000, 7_100_000, 7_200_000, 172_800_000].map(ageText)).toEqual([
    "0 s",
    "119 s",
    "2 m",
    "118 m",
    "2 h",
    "2 d",
  ]);
  expect(["200ms", "1.5s", "10m", "24h", "7d", "5", "m", "-5s"].map(durationMs)).toEqual([
    200,
    1500,
    600_000,
    86_400_000,
    604_800_000,
    null,
    null,
    null,
  ]);
});
