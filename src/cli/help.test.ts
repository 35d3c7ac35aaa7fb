import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CATALOGUE } from "../protocol/catalogue.ts";
import { GLOBAL_FLAGS } from "./arguments.ts";
import { completion, helpOf, overview, summaryOf } from "./help.ts";
import { errorLines } from "./print-error.ts";
import { COMMANDS } from "./run.ts";

const ROOT = join(import.meta.dirname, "../..");
const PROGRAM = join(ROOT, "dist/bosun.js");

describe("help", () => {
  test("every operation can be reached by some command, and every command names operations that exist", () => {
    const reached = new Set(COMMANDS.flatMap((command) => command.ops ?? []));
    expect([...CATALOGUE.keys()].filter((name) => !reached.has(name as never))).toEqual([]);
    expect([...reached].filter((name) => !CATALOGUE.has(name))).toEqual([]);
  });

  test("the overview lists every command once, in 80 columns", () => {
    const lines = overview(COMMANDS, "1.2.3");
    for (const command of COMMANDS.filter((each) => !each.hidden)) {
      // With its arguments: `mcp` is also the first word of `mcp config`.
      const call = `${command.name} ${command.args ?? ""}`.trim().padEnd(28);
      expect(lines.filter((line) => line.startsWith(`  ${call} `))).toHaveLength(1);
    }
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
  });

  test("every command says what it does, and every flag what it is for", () => {
    const silent = COMMANDS.flatMap((command) => {
      const lines = helpOf(command);
      const flags = Object.keys({ ...command.flags, ...GLOBAL_FLAGS });
      const bare = flags.filter((flag) =>
        lines.some((line) => new RegExp(`^ {2}(?:-\\w, | {4})--${flag}(?:\\[=\\S+| \\S+)?$`).test(line.trimEnd())),
      );
      return [...(summaryOf(command) ? [] : [command.name]), ...bare.map((flag) => `${command.name} --${flag}`)];
    });
    expect(silent).toEqual([]);
  });

  test("no two commands share a name, and no two flags of one command a letter", () => {
    const names = COMMANDS.flatMap((command) => [command.name, ...(command.aliases ?? [])]);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    for (const command of COMMANDS) {
      const letters = Object.values(command.flags ?? {}).flatMap((flag) => flag.short ?? []);
      expect([command.name, new Set(letters).size]).toEqual([command.name, letters.length]);
    }
  });

  test("the completion scripts are valid where their shell is here", () => {
    const script = completion("bash", COMMANDS)!;
    expect(spawnSync("bash", ["-n"], { input: script, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
    const typed = `${script}\nCOMP_WORDS=(bosun statu); COMP_CWORD=1; _bosun; echo "\${COMPREPLY[*]}"`;
    expect(execFileSync("bash", ["-c", typed], { encoding: "utf8" })).toBe("status\n");
    expect(completion("tcsh", COMMANDS)).toBeNull();
  });
});

test("an error says what, why and what to type, for each mistake, and obeys no escape sequence in it", () => {
  const lines = errorLines({
    code: "PLAN_INVALID",
    what: 'unknown key "sesions"',
    why: "did you mean sessions?",
    fix: "bosun check",
    at: { file: "floorplan.yaml", line: 3, column: 1 },
    more: [{ code: "BAD_NAME", what: "\x1b[31mhq.mayor\x1b[0m", why: "no dots" }],
  });
  expect(lines).toEqual([
    'error: floorplan.yaml:3:1: unknown key "sesions" [plan-invalid]',
    "  did you mean  sessions",
    "  try           bosun check",
    "error: hq.mayor [bad-name]",
    "  because       no dots",
  ]);
});

describe("the program", () => {
  test("it is small and carries no schema library, YAML reader, logger or daemon", () => {
    const files = [PROGRAM, join(ROOT, "dist/cli.js")];
    expect(files.reduce((bytes, file) => bytes + statSync(file).size, 0)).toBeLessThan(250_000);
    const carried = files.map((file) => readFileSync(file, "utf8")).join("");
    // Words that stand in the texts of those libraries, which no minifier touches.
    for (const word of ["ZodError", "YAMLParseError", "pino", "node:sqlite", "PRAGMA"])
      expect(carried).not.toContain(word);
  });

  test("what it loads at the start stays short: everything else is loaded when a command needs it", () => {
    const loaded = [PROGRAM, join(ROOT, "dist/cli.js")].flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/\bfrom\s*"(node:[^"]+)"/g)].map((match) => match[1]!),
    );
    expect([...new Set(loaded)].sort()).toEqual([
      "node:fs",
      "node:module",
      "node:net",
      "node:os",
      "node:path",
      "node:tty",
    ]);
  });

  test("usage errors end with 2, missing things with 3, and with --json the error is the answer", () => {
    const folder = mkdtempSync(join(tmpdir(), "bosun-cli-"));
    const env = { PATH: process.env.PATH, HOME: folder, BOSUN_HOME: join(folder, "home") };
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [PROGRAM, ...args], { cwd: folder, env, encoding: "utf8" });
    const mistyped = run("statsu", "--json");
    const nowhere = run("status", "--json");
    expect([mistyped.status, mistyped.stdout]).toEqual([2, ""]);
    expect(mistyped.stderr).toMatch(/did you mean {2}status/);
    expect([nowhere.status, (JSON.parse(nowhere.stdout) as { error: { code: string } }).error.code]).toEqual([
      3,
      "NOT_FOUND",
    ]);
    expect(run("stop", "--town", "nobody").status).toBe(0);
    expect(run("status", "--town", "nobody", "--no-start").status).toBe(6);
    expect(run("help").stderr).toBe("");
    rmSync(folder, { recursive: true });
  });

  test("a reader that leaves early ends it quietly", () => {
    const piped = spawnSync("bash", ["-c", `"${process.execPath}" "${PROGRAM}" help | head -1`], { encoding: "utf8" });
    expect([piped.stderr, piped.stdout.split("\n").length]).toEqual(["", 2]);
  });
});

test("texts, types and reference page are as the declarations say (npm run generate)", () => {
  const checked = spawnSync(process.execPath, ["scripts/generate.ts", "--check"], { cwd: ROOT, encoding: "utf8" });
  expect([checked.stderr, checked.status]).toEqual(["", 0]);
});
