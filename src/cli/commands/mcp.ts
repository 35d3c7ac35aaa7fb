import { join } from "node:path";
import { serverSettings } from "../agent-settings/servers.ts";
import { SETTINGS_FLAGS, settle } from "../agent-settings/settle.ts";
import { usage } from "../arguments.ts";
import { type Command, textOf } from "../command.ts";

const mcp: Command = {
  name: "mcp",
  group: "shell",
  summary: "Serve the town's tools to an agent, over MCP",
  flags: { profile: { value: "NAME", about: "what is listed: full (16 tools, default), core (7) or original (9)" } },
  examples: ["bosun mcp", "bosun mcp --profile core --town floor", "bosun mcp config claude"],
  async run(invocation) {
    const profile = textOf(invocation, "profile");
    const town = textOf(invocation, "town");
    const words = [...(profile ? ["--profile", profile] : []), ...(town ? ["--town", town] : [])];
    const program = join(invocation.distFolder, "mcp.js");
    process.argv = [process.execPath, program, ...words];
    // It ends the process itself when standard input does.
    await import(process.getBuiltinModule("node:url").pathToFileURL(program).href);
    return 0;
  },
};

const mcpConfig: Command = {
  name: "mcp config",
  args: "AGENT",
  group: "shell",
  summary: "Show what gives claude, codex … bosun's tools",
  flags: SETTINGS_FLAGS,
  examples: ["bosun mcp config claude", "bosun mcp config codex --write", "bosun mcp config codex --undo"],
  async run(invocation) {
    const all = serverSettings(process.execPath, [join(invocation.distFolder, "bosun.js"), "mcp"]);
    const agent = all.find((each) => each.name === invocation.args[0]);
    if (!agent)
      throw usage(
        "mcp config needs the name of an agent",
        mcpConfig,
        `one of ${all.map((each) => each.name).join(", ")}`,
      );
    return settle(invocation, agent, "bosun mcp config");
  },
};

export const MCP_COMMANDS = [mcp, mcpConfig];
