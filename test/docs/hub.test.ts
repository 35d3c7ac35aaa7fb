import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest } from "../e2e/town-under-test.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/hub.md"), "utf8");
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map((block) => block[1]!);

let town: TownUnderTest;
afterEach(() => town.close());

function shell(script: string): string {
  const bin = join(town.folder, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "bosun"), `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "dist/bosun.js")}" "$@"\n`);
  chmodSync(join(bin, "bosun"), 0o755);
  return execFileSync("sh", ["-eu", "-c", script], {
    cwd: town.folder,
    encoding: "utf8",
    env: { ...town.env, PATH: `${bin}:${town.env.PATH}` },
  });
}

test("the commands of the page do what it says, one block after the other", async () => {
  town = new TownUnderTest();
  const printed = shell(blocks("sh").join("\n"));
  for (const part of [
    "❓ cece-001 → agent-002 : [COLLABORATION] Need review",
    '✅ Value: {"stage":"testing"}',
    "Subject: Accepted: Deploy",
    "second draft",
    "first draft",
    "free: deploy, src/parser.ts",
  ])
    expect(printed).toContain(part);
  expect(await town.json("memory", "get", "plan")).toMatchObject({ value: "second draft" });
  expect(await town.json("lease", "list")).toMatchObject({ leases: [] });
});

test("the program of the page runs against the library as it is shipped", async () => {
  town = new TownUnderTest();
  const [program] = blocks("ts");
  const file = join(town.folder, "program.ts");
  writeFileSync(file, program!.replace('"bosun"', JSON.stringify(join(ROOT, "dist/index.js"))));
  const printed = execFileSync(process.execPath, [file], { cwd: town.folder, encoding: "utf8", env: town.env });
  expect(printed).toBe("❓ planner-001 → dev-001 : [COLLABORATION] API\n{ style: 'REST' } 2\n");
});
