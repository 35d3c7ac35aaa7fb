import { join } from "node:path";
import { HOOK_EVENTS, hookEntry, openCodePlugin } from "../../protocol/agent-hooks.ts";
import { shellWord } from "../../protocol/shell.ts";
import { withItem, withoutItem } from "./jsonc.ts";
import { openCodeFolder } from "./servers.ts";
import type { AgentSettings } from "./settle.ts";

/** How programs are told of our hooks for good. `command` begins the words that call us; the program's name follows. */
export function hookSettingsOf(command: readonly string[]): AgentSettings[] {
  const file = (name: string, path: AgentSettings["file"]): AgentSettings => {
    const line = [...command, name].map(shellWord).join(" ");
    const events = HOOK_EVENTS[name]!;
    const isOurs = (item: unknown): boolean => JSON.stringify(item).includes(` hook ${name}`);
    return {
      name,
      file: path,
      put: (text) =>
        events.reduce<string | null>(
          (done, event) => done && withItem(done, ["hooks", event], hookEntry(name, line), isOurs),
          text === "" ? "{}\n" : text,
        ),
      take: (text) =>
        events.reduce<string | null>((done, event) => done && withoutItem(done, ["hooks", event], isOurs), text),
    };
  };
  return [
    file("claude", (home, env) => join(env.CLAUDE_CONFIG_DIR || join(home, ".claude"), "settings.json")),
    file("codex", (home, env) => join(env.CODEX_HOME || join(home, ".codex"), "hooks.json")),
    file("gemini", (home) => join(home, ".gemini", "settings.json")),
    {
      name: "opencode",
      file: (home, env) => join(openCodeFolder(home, env), "plugins", "bosun.js"),
      put: () => openCodePlugin([...command, "opencode"]),
      take: () => "",
    },
    // Its hooks belong to one of its agents; this one is made for them, and chosen with `kiro-cli chat --agent bosun`.
    file("kiro", (home) => join(home, ".kiro", "agents", "bosun.json")),
  ];
}
