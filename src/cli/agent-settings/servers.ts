import { existsSync } from "node:fs";
import { join } from "node:path";
import { withEntry, withoutEntry } from "./jsonc.ts";
import type { AgentSettings } from "./settle.ts";
import { withoutTable, withTable } from "./toml.ts";

const SERVER = "bosun";

function jsonSettings(name: string, section: string, file: AgentSettings["file"], entry: unknown): AgentSettings {
  return {
    name,
    file,
    put: (text) => withEntry(text, [section, SERVER], entry),
    take: (text) => withoutEntry(text, [section, SERVER]),
  };
}

/** Where opencode keeps what is its user's. */
export function openCodeFolder(home: string, env: Record<string, string | undefined>): string {
  return join(env.XDG_CONFIG_HOME?.startsWith("/") ? env.XDG_CONFIG_HOME : join(home, ".config"), "opencode");
}

function openCodeFile(home: string, env: Record<string, string | undefined>): string {
  const folder = openCodeFolder(home, env);
  const jsonc = join(folder, "opencode.jsonc");
  return existsSync(jsonc) ? jsonc : join(folder, "opencode.json");
}

/** How programs are told of an MCP server for good. */
export function serverSettings(command: string, args: string[]): AgentSettings[] {
  return [
    // Servers of all a user's projects: https://code.claude.com/docs/en/mcp#user-scope
    jsonSettings("claude", "mcpServers", (home) => join(home, ".claude.json"), {
      type: "stdio",
      command,
      args,
      env: {},
    }),
    // https://developers.openai.com/codex/mcp
    {
      name: "codex",
      file: (home, env) => join(env.CODEX_HOME || join(home, ".codex"), "config.toml"),
      put: (text) => withTable(text, "mcp_servers", SERVER, { command, args }),
      take: (text) => withoutTable(text, "mcp_servers", SERVER),
    },
    // https://geminicli.com/docs/tools/mcp-server
    jsonSettings("gemini", "mcpServers", (home) => join(home, ".gemini", "settings.json"), { command, args }),
    // https://opencode.ai/docs/mcp-servers/
    jsonSettings("opencode", "mcp", openCodeFile, { type: "local", command: [command, ...args], enabled: true }),
  ];
}
