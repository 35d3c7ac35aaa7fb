import { join } from "node:path";
import type { Answer } from "../../client/operations.gen.ts";
import { hookSettingsOf } from "../agent-settings/hooks.ts";
import { SETTINGS_FLAGS, settle } from "../agent-settings/settle.ts";
import { stdinText, usage } from "../arguments.ts";
import type { Command } from "../command.ts";

/** An agent waits for its hooks: ours is gone after this, whatever happened. */
const WITHIN_MS = 1_000;

/** Of what a hook is given, so much of each text is told: what an agent waits for, or has answered. */
const TEXT_CHARS = 16_000;
const LIST_ITEMS = 20;

const hook: Command = {
  name: "hook",
  args: "PROGRAM",
  group: "shell",
  ops: ["agent.hook"],
  summary: "Tell the coordinator what an agent's program does (its hooks call this)",
  examples: ["bosun hooks config claude   # what calls it"],
  hidden: true,
  async run(invocation) {
    const [program] = invocation.args;
    if (program === undefined) throw usage("hook needs the name of a program", hook, "bosun hooks config claude");
    // Outside of bosun's sessions there is nobody to tell, and an agent is never held up or stopped by us.
    if (!process.env.BOSUN_SOCKET) return 0;
    const late = setTimeout(() => process.exit(0), WITHIN_MS);
    try {
      const payload = shortened(JSON.parse(await stdinText())) as Record<string, unknown>;
      const connection = await invocation.connect({ start: false });
      const pane = process.env.TMUX_PANE;
      const { tell, block } = (await connection.call("agent.hook", {
        program,
        payload,
        ...(pane && { pane }),
      })) as Answer<"agent.hook">;
      invocation.out.write(block === null ? answerOf(program, payload, tell) : keepOn(program, block));
    } catch {
      // No coordinator, no JSON, a session that is not ours: nothing of that is the agent's concern.
      invocation.out.write(answerOf(program, {}, null));
    }
    clearTimeout(late);
    return 0;
  },
};

/** What the program adds to the conversation, in its own form. */
function answerOf(program: string, payload: Record<string, unknown>, tell: string | null): string {
  if (tell === null) return program === "gemini" ? "{}\n" : "";
  if (program === "kiro") return `${tell}\n`;
  return `${JSON.stringify({
    hookSpecificOutput: { hookEventName: payload.hook_event_name, additionalContext: tell },
  })}\n`;
}

/** Its turn goes on: what is missing is said as the reason. https://code.claude.com/docs/en/hooks (Stop) */
function keepOn(program: string, why: string): string {
  if (program !== "claude" && program !== "codex") return answerOf(program, {}, null);
  return `${JSON.stringify({ decision: "block", reason: why })}\n`;
}

function shortened(value: unknown): unknown {
  if (typeof value === "string") return value.slice(0, TEXT_CHARS);
  if (Array.isArray(value)) return value.slice(0, LIST_ITEMS).map(shortened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, LIST_ITEMS * 2)
      .map(([key, inner]) => [key, shortened(inner)]),
  );
}

const hooksConfig: Command = {
  name: "hooks config",
  aliases: ["hooks install"],
  args: "AGENT",
  group: "shell",
  summary: "Show the hooks by which claude, codex … say what they are doing",
  flags: SETTINGS_FLAGS,
  examples: ["bosun hooks config claude", "bosun hooks config codex --write", "bosun hooks config codex --undo"],
  async run(invocation) {
    const all = hookSettingsOf([process.execPath, join(invocation.distFolder, "bosun.js"), "hook"]);
    const agent = all.find((each) => each.name === invocation.args[0]);
    if (!agent)
      throw usage(
        "hooks config needs the name of an agent",
        hooksConfig,
        `one of ${all.map((each) => each.name).join(", ")}`,
      );
    return settle(invocation, agent, "bosun hooks config");
  },
};

export const HOOK_COMMANDS = [hook, hooksConfig];
