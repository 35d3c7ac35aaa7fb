import { pathToFileURL } from "node:url";
import { hookSettings, openCodePlugin } from "../../protocol/agent-hooks.ts";

/**
 * A command-line agent that can be given an MCP server and hooks for one run, by flags or environment, so that nobody's
 * settings are touched. Data, one entry per program; what runs them is `launch.ts`.
 */
export interface Harness {
  /** Name of the executable, and of the shim that stands before it. */
  command: string;
  /** What an agent's `type` in the floor plan may say. */
  types: readonly string[];
  /** Its hooks run from the start on, and what they say becomes part of the conversation. */
  opens: boolean;
  /** Words put before the caller's own. */
  args(given: Given, file: (name: string, text: string) => string): string[];
  /** Variables that are set, unless the caller has set them. */
  env(given: Given, file: (name: string, text: string) => string): Record<string, string>;
}

/** What an agent is given. */
export interface Given {
  /** How our MCP server is started. */
  server: { command: string; args: string[] };
  /** Words that a hook runs; the name of the program follows. */
  hook: string[];
}

const NAME = "bosun";

function hooksOf(program: string, { hook }: Given): Record<string, unknown> {
  return hookSettings(program, [...hook, program].map(quoted).join(" "));
}

/** A word for a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * `--mcp-config FILE` loads servers for the session, in addition to the configured ones unless `--strict-mcp-config` is
 * given. The flag takes several values, so `=` ties it to one and the prompt stays a prompt. `--settings FILE` adds settings to
 * the user's own; hooks of all layers run. https://code.claude.com/docs/en/cli-reference
 */
const claude: Harness = {
  command: "claude",
  types: ["claude", "claude-code"],
  opens: true,
  args: (given, file) => [
    `--mcp-config=${file("claude.json", JSON.stringify({ mcpServers: { [NAME]: given.server } }, null, 2))}`,
    `--settings=${file("claude-settings.json", JSON.stringify({ hooks: hooksOf("claude", given) }, null, 2))}`,
  ],
  env: () => ({}),
};

/**
 * Codex takes no file for one run: each `-c key=value` overrides one key of config.toml, the value read as TOML. It passes
 * only a few variables on to servers; `env_vars` names more. https://developers.openai.com/codex/mcp
 * It gets no hooks: each start would stop at a dialog that asks whether they are trusted. What it does stands in its transcript.
 */
const codex: Harness = {
  command: "codex",
  types: ["codex", "openai-codex"],
  opens: false,
  args: ({ server }) => [
    ...["-c", `mcp_servers.${NAME}.command=${JSON.stringify(server.command)}`],
    ...["-c", `mcp_servers.${NAME}.args=${JSON.stringify(server.args)}`],
    ...["-c", `mcp_servers.${NAME}.env_vars=${JSON.stringify(PASSED_ON)}`],
  ],
  env: () => ({}),
};

/**
 * `OPENCODE_CONFIG_CONTENT` is merged over all config files of the user and the project; other keys stay.
 * https://opencode.ai/docs/config/ (precedence order)
 */
const opencode: Harness = {
  command: "opencode",
  types: ["opencode"],
  opens: false,
  args: () => [],
  env: ({ server, hook }, file) => ({
    OPENCODE_CONFIG_CONTENT: JSON.stringify({
      mcp: { [NAME]: { type: "local", command: [server.command, ...server.args], enabled: true } },
      plugin: [pathToFileURL(file("opencode-plugin.js", openCodePlugin([...hook, "opencode"]))).href],
    }),
  }),
};

/**
 * The system defaults are the lowest of four layers of settings, and `mcpServers` of all layers are merged, so the user's own
 * win; so do their hooks of the same event. The file is skipped where others could write to its folder. The servers get the variables that their entry names. https://geminicli.com/docs/cli/enterprise
 */
const gemini: Harness = {
  command: "gemini",
  types: ["gemini", "gemini-cli"],
  opens: true,
  args: () => [],
  env: (given, file) => ({
    GEMINI_CLI_SYSTEM_DEFAULTS_PATH: file(
      "gemini.json",
      JSON.stringify({
        mcpServers: {
          [NAME]: {
            ...given.server,
            // A variable that is not set would come as the text "$BOSUN_ROOM"; the others every agent has.
            env: Object.fromEntries(PASSED_ON.flatMap((name) => (name === "BOSUN_ROOM" ? [] : [[name, `$${name}`]]))),
          },
        },
        hooks: hooksOf("gemini", given),
      }),
    ),
  }),
};

/** What tells our server whose it is. */
const PASSED_ON = ["BOSUN_HOME", "BOSUN_TOWN", "BOSUN_SOCKET", "BOSUN_TOKEN_FILE", "BOSUN_AGENT", "BOSUN_ROOM"];

export const HARNESSES: readonly Harness[] = [claude, codex, opencode, gemini];
