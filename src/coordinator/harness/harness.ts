/**
 * A command-line agent that can be given an MCP server for one run, by flags or environment, so that nobody's settings are
 * touched. Data, one entry per program; what runs them is `launch.ts`.
 */
export interface Harness {
  /** Name of the executable, and of the shim that stands before it. */
  command: string;
  /** What an agent's `type` in the floor plan may say. */
  types: readonly string[];
  /** Words put before the caller's own. */
  args(server: ServerCommand, file: (name: string, text: string) => string): string[];
  /** Variables that are set, unless the caller has set them. */
  env(server: ServerCommand, file: (name: string, text: string) => string): Record<string, string>;
}

/** How our MCP server is started. */
export interface ServerCommand {
  command: string;
  args: string[];
}

const NAME = "bosun";

function asMap(server: ServerCommand): string {
  return JSON.stringify({ mcpServers: { [NAME]: { command: server.command, args: server.args } } }, null, 2);
}

/**
 * `--mcp-config FILE` loads servers for the session, in addition to the configured ones unless `--strict-mcp-config` is
 * given. The flag takes several values, so `=` ties it to one and the prompt stays a prompt.
 * https://code.claude.com/docs/en/cli-reference
 */
const claude: Harness = {
  command: "claude",
  types: ["claude", "claude-code"],
  args: (server, file) => [`--mcp-config=${file("claude.json", asMap(server))}`],
  env: () => ({}),
};

/**
 * Codex takes no file for one run: each `-c key=value` overrides one key of config.toml, the value read as TOML. It passes
 * only a few variables on to servers; `env_vars` names more. https://developers.openai.com/codex/mcp
 */
const codex: Harness = {
  command: "codex",
  types: ["codex", "openai-codex"],
  args: (server) => [
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
  args: () => [],
  env: (server) => ({
    OPENCODE_CONFIG_CONTENT: JSON.stringify({
      mcp: { [NAME]: { type: "local", command: [server.command, ...server.args], enabled: true } },
    }),
  }),
};

/**
 * The system defaults are the lowest of four layers of settings, and `mcpServers` of all layers are merged, so the user's own
 * win. The servers get the variables that their entry names. https://geminicli.com/docs/cli/enterprise
 */
const gemini: Harness = {
  command: "gemini",
  types: ["gemini", "gemini-cli"],
  args: () => [],
  env: (server, file) => ({
    GEMINI_CLI_SYSTEM_DEFAULTS_PATH: file(
      "gemini.json",
      JSON.stringify({
        mcpServers: {
          [NAME]: {
            command: server.command,
            args: server.args,
            // A variable that is not set would come as the text "$BOSUN_ROOM"; the others every agent has.
            env: Object.fromEntries(PASSED_ON.flatMap((name) => (name === "BOSUN_ROOM" ? [] : [[name, `$${name}`]]))),
          },
        },
      }),
    ),
  }),
};

/** What tells our server whose it is. */
const PASSED_ON = ["BOSUN_HOME", "BOSUN_TOWN", "BOSUN_SOCKET", "BOSUN_TOKEN_FILE", "BOSUN_AGENT", "BOSUN_ROOM"];

export const HARNESSES: readonly Harness[] = [claude, codex, opencode, gemini];
