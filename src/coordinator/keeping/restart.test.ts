import fc from "fast-check";
import { expect, test } from "vitest";
import { afterEnd, decideRestart, type Ends, type RestartDecision, rulesOf } from "./restart.ts";

const NOW = 1_000_000_000;
const DEFAULT = rulesOf({ policy: "always", spec: {} });
const fresh = (): Ends => ({ failedAtMs: [], startedAtMs: NOW, streak: 0, exhausted: false });

/** Starts of a process that lives as long as `lives` says each time, until nothing more is to come or `untilMs`. */
function history(
  spec: Record<string, unknown>,
  lives: (start: number) => { ms: number; exit: string },
  untilMs: number,
) {
  const rules = rulesOf({ policy: "always", spec });
  let ends: Ends = { ...fresh(), startedAtMs: 0 };
  const startsMs = [0];
  const decisions: RestartDecision[] = [];
  for (let nowMs = 0; nowMs < untilMs; ) {
    const { ms, exit } = lives(startsMs.length);
    nowMs += ms;
    const decision = decideRestart("always", rules, exit, ends, nowMs, "x");
    ends = afterEnd(ends, decision, nowMs);
    decisions.push(decision);
    if (decision.afterMs === null) break;
    nowMs += decision.afterMs;
    ends.startedAtMs = nowMs;
    if (nowMs < untilMs) startsMs.push(nowMs);
  }
  return { startsMs, decisions, rules };
}

test("the first retry comes at once, the next ones double up to a minute with a fifth left to chance, the eleventh never", () => {
  const { decisions } = history({}, () => ({ ms: 10, exit: "signal 9" }), 3_600_000);
  const waits = decisions.map((each) => each.afterMs);
  expect(waits[0]).toBe(200);
  [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000].forEach((whole, index) => {
    expect(Math.abs(waits[index + 1]! - whole)).toBeLessThanOrEqual(whole * 0.2);
  });
  expect(decisions.at(-1)).toMatchObject({
    do: "park",
    because: expect.stringMatching(/parked: it failed 10 times in 10 min/),
  });
  expect(history({}, () => ({ ms: 10, exit: "signal 9" }), 3_600_000).decisions).toEqual(decisions);
});

test("a clean end is no failure, and what cannot run as configured is not tried again", () => {
  const decide = (policy: "always" | "on-failure", exit: string, spec = {}) =>
    decideRestart(policy, rulesOf({ policy, spec }), exit, fresh(), NOW, "x").do;
  expect(decide("on-failure", "exit 0")).toBe("leave");
  expect(decide("always", "exit 0")).toBe("again");
  for (const exit of ["exit 126", "exit 127", "exit 78"]) expect(decide("always", exit)).toBe("leave");
  expect(decide("on-failure", "exit 3", { success_exit: [0, 3] })).toBe("leave");
  expect(decide("always", "exit 4", { never_exit: [4] })).toBe("leave");
  expect(decide("always", "exit 127", { never_exit: [4] })).toBe("restart");
  expect(
    decideRestart(
      "always",
      rulesOf({ policy: "always", spec: { wait_exit: { 75: "5m" } } }),
      "exit 75",
      fresh(),
      NOW,
      "x",
    ),
  ).toMatchObject({
    do: "wait",
    afterMs: 300_000,
    attempt: 0,
  });
  expect(decideRestart("never", DEFAULT, "signal 9", fresh(), NOW, "x").do).toBe("leave");
});

test("starts in the first hour, for causes that stay, are mended early, or come back each ninety seconds", () => {
  const always = history({ exhausted: "probe" }, () => ({ ms: 1, exit: "exit 1" }), 3_600_000);
  // Ten retries in some four minutes, then one each quarter of an hour.
  expect(always.startsMs.filter((at) => at < 300_000)).toHaveLength(11);
  expect(always.startsMs.length).toBeLessThanOrEqual(15);
  const mended = history({}, (start) => ({ ms: start > 5 ? 1e9 : 10, exit: "exit 1" }), 600_000);
  expect(mended.startsMs.at(-1)).toBeLessThan(25_000);
  const slow = history({}, () => ({ ms: 90_000, exit: "exit 1" }), 7_200_000);
  expect(slow.startsMs).toHaveLength(21);
});

test("a thousand histories: never more starts than a budget allows, and none after it is spent but probes", () => {
  const duration = fc.integer({ min: 1, max: 900 }).map((seconds) => `${seconds}s`);
  fc.assert(
    fc.property(
      fc.array(fc.record({ starts: fc.integer({ min: 1, max: 12 }), per: duration }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom("probe", "park"),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 400_000 }), fc.constantFrom("exit 1", "signal 9", "exit 0")), {
        minLength: 5,
        maxLength: 80,
      }),
      (budget, exhausted, lives) => {
        const spec = { budget, exhausted, reset_after: "20m", probe_every: "15m" };
        const run = history(
          spec,
          (start) => {
            const [ms, exit] = lives[(start - 1) % lives.length]!;
            return { ms, exit };
          },
          12 * 3_600_000,
        );
        let nowMs = 0;
        const failures: { atMs: number }[] = [];
        run.decisions.forEach((decision, index) => {
          const [ms, exit] = lives[index % lives.length]!;
          nowMs += ms;
          const failure = exit !== "exit 0";
          if (failure && decision.do === "restart")
            for (const { starts, perMs } of run.rules.budget)
              expect(failures.filter((each) => nowMs - each.atMs < perMs).length).toBeLessThan(starts);
          if (failure) failures.push({ atMs: nowMs });
          if (decision.do === "probe") expect(decision.afterMs).toBe(900_000);
          if (decision.do === "park") expect(index).toBe(run.decisions.length - 1);
          expect(decision.do === "park" ? exhausted : "park").toBe("park");
          nowMs += decision.afterMs ?? 0;
        });
      },
    ),
    { numRuns: 1_000, seed: 7 },
  );
});
