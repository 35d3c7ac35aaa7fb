import { existsSync } from "node:fs";
import { join } from "node:path";
import { withEntry, withoutEntry } from "./jsonc.ts";
import { withoutTable, withTable } from "./toml.ts";

/** How a program is told of an MCP server for good: which file, and what stands in it. */
export interface AgentSettings {
  name: string;
  file(home: string, env: Record<string, string | undefined>): string;
  /** The file's text with our server; null when the file is written in a way that is not understood. */
  put(text: string, command: string, args: string[]): string | null;
  /** The file's text without it. */
  take(text: string): string | null;
}

const SERVER = "bosun";

function jsonSettings(
  name: string,
  section: string,
  file: AgentSettings["file"],
  entry: (command: string, args: string[]) => unknown,
): AgentSettings {
  return {
    name,
    file,
    put: (text, command, args) => withEntry(text, section, SERVER, entry(command, args)),
    take: (text) => withoutEntry(text, section, SERVER),
  };
}

function openCodeFile(home: string, env: Record<string, string | undefined>): string {
  const folder = join(env.XDG_CONFIG_HOME?.startsWith("/") ? env.XDG_CONFIG_HOME : join(home, ".config"), "opencode");
  const jsonc = join(folder, "opencode.jsonc");
  return existsSync(jsonc) ? jsonc : join(folder, "opencode.json");
}

export const AGENTS: readonly AgentSettings[] = [
  // Servers of all a user's projects: https://code.claude.com/docs/en/mcp#user-scope
  jsonSettings(
    "claude",
    "mcpServers",
    (home) => join(home, ".claude.json"),
    (command, args) => ({ type: "stdio", command, args, env: {} }),
  ),
  // https://developers.openai.com/codex/mcp
  {
    name: "codex",
    file: (home, env) => join(env.CODEX_HOME || join(home, ".codex"), "config.toml"),
    put: (text, command, args) => withTable(text, "mcp_servers", SERVER, { command, args }),
    take: (text) => withoutTable(text, "mcp_servers", SERVER),
  },
  // https://geminicli.com/docs/tools/mcp-server
  jsonSettings(
    "gemini",
    "mcpServers",
    (home) => join(home, ".gemini", "settings.json"),
    (command, args) => ({ command, args }),
  ),
  // https://opencode.ai/docs/mcp-servers/
  jsonSettings("opencode", "mcp", openCodeFile, (command, args) => ({
    type: "local",
    command: [command, ...args],
    enabled: true,
  })),
];
