import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const MESH = resolve(import.meta.dirname, "../../examples/mesh");

/** Runs an example as its README says, in a shell where nothing names a town. */
function run(command: string, ...args: string[]): string {
  const { PATH, HOME, USER } = process.env;
  return execFileSync(command, args, { encoding: "utf8", cwd: tmpdir(), env: { PATH, HOME, USER, LANG: "C.UTF-8" } });
}

test("S4-80: the workflow of planner, developer and reviewer ends with the statistics one expects, in TypeScript", () => {
  const printed = run(process.execPath, join(MESH, "workflow.ts"));
  expect(printed).toContain("the plan: design, architecture, api-design, database");
  expect(printed).toContain("👍 reviewer-001 → dev-001 : [COLLABORATION] Starting review");
  for (const line of [
    "totalSessions: 3",
    "activeSessions: 3",
    "byUser: { Alexa: 3 }",
    "totalMessages: 4",
    "openRequests: 1",
  ]) {
    expect(printed).toContain(line);
  }
  for (const line of ["request: 1", "broadcast: 1", "task_offer: 1", "task_accept: 1", "response: 0"]) {
    expect(printed).toContain(line);
  }
  for (const line of ["totalEntries: 2", "uniqueKeys: 2", "state: 2"]) expect(printed).toContain(line);
});

test("S4-80: the same as a shell script", () => {
  const printed = run("sh", join(MESH, "workflow.sh"));
  expect(printed).toContain('✅ Value: {"phase":"design","tasks":["architecture","api-design","database"]}');
  expect(printed).toContain("   Total: 3\n   Active: 3\n   By status: active 3\n");
  expect(printed).toContain(
    "   Total messages: 4\n   By type: request 1 · broadcast 1 · task_offer 1 · task_accept 1\n",
  );
  expect(printed).toContain("   Total entries: 2\n   Unique keys: 2\n   By type: state 2\n");
});

test("S4-72, S4-73, S4-74, S4-75: discovery, review, handoff and shared context", () => {
  expect(run(process.execPath, join(MESH, "use-cases.ts"))).toBe(
    [
      "Cece (Claude) - active",
      "Reviewer (GPT-4) - active",
      "❓ cece-001 → reviewer-002 : [COLLABORATION] Code review needed",
      "✅ reviewer-002 → cece-001 : [COLLABORATION] Re: Code review needed",
      "going on with the stage testing",
      "GET /users, POST /users, DELETE /users/:id",
      "",
    ].join("\n"),
  );
});

test("nothing of the examples is left", () => {
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith("bosun-mesh-"))).toEqual([]);
});
