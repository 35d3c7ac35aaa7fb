import { readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const SAMPLES = resolve(import.meta.dirname, "../import");
const samples = readdirSync(SAMPLES, { recursive: true, encoding: "utf8" }).filter(
  (name) => /tmuxp|tmuxinator|procfile/i.test(name) && /\.(ya?ml|json|procfile)$|Procfile/i.test(name),
);

test("every sample of tmuxp, tmuxinator and Procfile becomes a plan that check accepts", async () => {
  town = new TownUnderTest();
  expect(samples.length).toBeGreaterThanOrEqual(5);
  for (const sample of samples) {
    const kind = /tmuxp|tmuxinator|procfile/i.exec(sample)![0].toLowerCase();
    const made = await town.run(["import", kind, join(SAMPLES, sample)]);
    expect([sample, made.code, made.stderr.slice(0, 200)]).toEqual([sample, 0, expect.any(String)]);
    writeFileSync(town.planFile, made.stdout);
    const checked = await town.run(["check"]);
    expect([sample, checked.stderr]).toEqual([sample, ""]);
  }
}, 120_000);
