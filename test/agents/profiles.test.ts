import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { judge } from "../../src/coordinator/screens/activity.ts";
import { profileFor, readProfiles } from "../../src/coordinator/screens/profile.ts";

const FOLDER = resolve(import.meta.dirname, "../../profiles");
const PROFILES = readProfiles([FOLDER]);

const screens = readdirSync(join(FOLDER, "fixtures"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(FOLDER, "fixtures", name)).map((file) => [name, file] as const));

test("there are screens of at least three agents", () => {
  expect(new Set(screens.map(([agent]) => agent)).size).toBeGreaterThanOrEqual(3);
});

test.each(screens)("the screen %s/%s is read as its name says, by the agent's own profile", (agent, file) => {
  const [state, ...rule] = file.replace(".txt", "").split("-");
  const profile = profileFor(PROFILES, { profile: null, type: null, run: agent });
  const text = readFileSync(join(FOLDER, "fixtures", agent, file), "utf8")
    .split("\n")
    .map((row) => row.trimEnd());
  const judged = judge([profile, PROFILES.get("generic")!], {
    text,
    signals: { prompt: null },
    wroteAtMs: 0,
    exit: null,
    nowMs: 1_000,
  });
  expect([judged.rule, judged.state]).toEqual([`${agent}/${rule.join("-")}`, state]);
});
