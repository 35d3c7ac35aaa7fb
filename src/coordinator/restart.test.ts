import fc from "fast-check";
import { expect, test } from "vitest";
import { decideRestart } from "./restart.ts";

const NOW = 1_000_000_000;
const ends = (count: number, everyMs = 1_000) => ({
  endedAtMs: Array.from({ length: count }, (_, n) => NOW - (count - n) * everyMs),
  startedAtMs: NOW - 500,
});

test("the first retry comes at once, the next ones double up to a minute, the eleventh never", () => {
  const waits = Array.from({ length: 11 }, (_, count) => {
    const decision = decideRestart("always", "signal 9", ends(count), NOW);
    return decision.do === "restart" ? decision.afterMs : decision.because;
  });
  expect(waits.slice(0, 10)).toEqual([200, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  expect(waits[10]).toMatch(/parked: it ended 10 times in 10 min/);
});

test("a clean end is no failure, and what cannot run as configured is not tried again", () => {
  expect(decideRestart("on-failure", "exit 0", ends(0), NOW).do).toBe("leave");
  expect(decideRestart("always", "exit 0", ends(0), NOW).do).toBe("restart");
  for (const exit of ["exit 126", "exit 127", "exit 78"])
    expect(decideRestart("always", exit, ends(0), NOW)).toMatchObject({
      do: "leave",
      because: expect.stringMatching(/as configured/),
    });
});

test("never means never, and nothing is started more than ten times in ten minutes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(1_200_000), { maxLength: 40 }),
      fc.constantFrom("exit 1", "signal 9", "gone"),
      (ages, exit) => {
        const history = { endedAtMs: ages.map((age) => NOW - age).sort(), startedAtMs: NOW - 10 };
        expect(decideRestart("never", exit, history, NOW).do).toBe("leave");
        const recent = ages.filter((age) => age < 600_000).length;
        expect(decideRestart("always", exit, history, NOW).do).toBe(recent < 10 ? "restart" : "leave");
      },
    ),
  );
});
