import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HARNESSES } from "./harness.ts";
import { harnessFolder, harnessOf, writeHarnessShims } from "./launch.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bosun-harness-"));
  mkdirSync(join(folder, "real"));
  for (const { command } of HARNESSES) {
    const program = join(folder, "real", command);
    writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$@"\nenv | grep -E '^(OPENCODE|GEMINI)_' || true\n`);
    chmodSync(program, 0o755);
  }
  writeHarnessShims(folder, { node: "/opt/no de/node", script: "/opt/it's/bosun.js" });
});
afterAll(() => rmSync(folder, { recursive: true }));

function started(command: string, args: string[], env: Record<string, string> = {}): string[] {
  const PATH = `${harnessFolder(folder)}:${join(folder, "real")}:/usr/bin:/bin`;
  return execFileSync(join(harnessFolder(folder), command), args, { encoding: "utf8", env: { PATH, ...env } })
    .trimEnd()
    .split("\n");
}

test("claude gets files with our server and hooks, and its own words behind them", () => {
  const [flag, settings, ...rest] = started("claude", ["--model", "x", "fix the bug"]);
  const file = flag!.slice("--mcp-config=".length);
  expect(rest).toEqual(["--model", "x", "fix the bug"]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
    mcpServers: { bosun: { command: "/opt/no de/node", args: ["/opt/it's/bosun.js", "mcp"] } },
  });
  const { hooks } = JSON.parse(readFileSync(settings!.slice("--settings=".length), "utf8")) as { hooks: object };
  expect(Object.keys(hooks)).toContain("UserPromptSubmit");
  expect(JSON.stringify(hooks)).toContain(JSON.stringify(`'/opt/no de/node' '/opt/it'\\''s/bosun.js' 'hook' 'claude'`));
});

test("codex gets our server as overrides of its configuration", () => {
  const words = started("codex", ["resume"]);
  expect(words.slice(0, 4)).toEqual([
    "-c",
    'mcp_servers.bosun.command="/opt/no de/node"',
    "-c",
    'mcp_servers.bosun.args=["/opt/it\'s/bosun.js","mcp"]',
  ]);
  expect(words.at(-1)).toBe("resume");
});

test("opencode and gemini get it by a variable, unless one is set already", () => {
  const [word, variable] = started("opencode", ["run"]);
  expect(word).toBe("run");
  expect(JSON.parse(variable!.slice("OPENCODE_CONFIG_CONTENT=".length))).toMatchObject({
    mcp: { bosun: { type: "local", command: ["/opt/no de/node", "/opt/it's/bosun.js", "mcp"] } },
    plugin: [expect.stringMatching(/^file:.*opencode-plugin\.js$/)],
  });
  expect(started("opencode", ["run"], { OPENCODE_CONFIG_CONTENT: "{}" })[1]).toBe("OPENCODE_CONFIG_CONTENT={}");
  const file = started("gemini", ["-p"])[1]!.slice("GEMINI_CLI_SYSTEM_DEFAULTS_PATH=".length);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
    mcpServers: { bosun: { command: "/opt/no de/node" } },
    hooks: { BeforeAgent: [{ hooks: [{ type: "command" }] }] },
  });
});

test("an agent is known by the program it starts, or by its type", () => {
  expect(harnessOf("narrator", "claude --continue")?.command).toBe("claude");
  expect(harnessOf("narrator", "exec env A=1 /opt/bin/codex")?.command).toBe("codex");
  expect(harnessOf("Claude-Code", "./start.sh")?.command).toBe("claude");
  expect(harnessOf("narrator", "bash claude.sh")).toBeNull();
});
