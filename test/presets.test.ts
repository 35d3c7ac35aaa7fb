import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { parseDocument, visit } from "yaml";

const FOLDER = resolve(import.meta.dirname, "../presets");
const PRESETS = readdirSync(FOLDER).map((name) => [name, readFileSync(join(FOLDER, name), "utf8")] as const);

/** The values of every `run:`, placeholders filled as the plan would. */
function commandsOf(text: string): string[] {
  const commands: string[] = [];
  visit(parseDocument(text), {
    Pair: (_, pair) => {
      if (String(pair.key) === "run") commands.push(String(pair.value).replaceAll(/<[a-z|]+>/g, "spx"));
    },
  });
  return commands;
}

test("there is a preset for each way to begin", () => {
  expect(PRESETS.map(([name]) => name)).toEqual([
    "floor.yaml",
    "gastown.yaml",
    "per-instrument.yaml",
    "per-user.yaml",
    "ship.yaml",
    "solo.yaml",
  ]);
});

test.each(PRESETS)("%s is short, sound YAML, and an editor knows its schema", (_, text) => {
  const lines = text.trimEnd().split("\n");
  expect(lines[0]).toBe("# yaml-language-server: $schema=./floorplan.schema.json");
  expect(lines.length).toBeLessThan(80);
  expect(lines.filter((line) => line.length > 120)).toEqual([]);
  const document = parseDocument(text);
  expect([...document.errors, ...document.warnings]).toEqual([]);
  expect(Object.keys(document.toJS())).toEqual(expect.arrayContaining(["version", "about"]));
});

test.each(PRESETS)("%s runs nothing but bosun and what every machine has", (_, text) => {
  const commands = commandsOf(text);
  expect(commands.length).toBeGreaterThan(1);
  for (const command of commands) execFileSync("sh", ["-n", "-c", command]);
  const words = commands.flatMap(
    (command) => command.replace(/"[^"]*"/g, '""').match(/(?:^|[\n;|&]|\bdo\b)\s*[a-z]+/g) ?? [],
  );
  const programs = new Set(words.map((word) => word.match(/[a-z]+$/)![0]));
  const known = ["bash", "bosun", "sleep", "while", "do", "done", "tick", "mkdir", "tee"];
  expect([...programs].filter((program) => !known.includes(program))).toEqual([]);
});
