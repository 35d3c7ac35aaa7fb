/**
 * Hooks of agent programs: commands they run at the turns of their work. Ours tells the coordinator what the program does, and
 * the program of mail. What each event means stands in `profiles/*.yaml`; here is which are asked for, and how that is written.
 */
export const HOOK_EVENTS: Readonly<Record<string, readonly string[]>> = {
  /** https://code.claude.com/docs/en/hooks */
  claude: [
    "SessionStart",
    "UserPromptSubmit",
    "PostToolUse",
    "PermissionRequest",
    "Notification",
    "PreCompact",
    "Stop",
  ],
  /** https://developers.openai.com/codex/hooks */
  codex: ["SessionStart", "UserPromptSubmit", "PostToolUse", "PermissionRequest", "Stop"],
  /** https://geminicli.com/docs/hooks/reference (PreCompress runs at each turn, whether or not it compresses: seen in 0.61) */
  gemini: ["SessionStart", "BeforeAgent", "AfterTool", "Notification", "AfterAgent"],
  /** https://kiro.dev/docs/cli/hooks */
  kiro: ["agentSpawn", "userPromptSubmit", "postToolUse", "stop"],
  /** https://opencode.ai/docs/plugins/ */
  opencode: [
    "session.status",
    "session.idle",
    "permission.asked",
    "permission.updated",
    "permission.replied",
    "question.asked",
  ],
};

/** A hook that takes longer is ended by the program; ours ends itself after a second. */
const WITHIN_S = 5;

/** One entry under an event, as the settings of the program have it. `command` is a shell command line. */
export function hookEntry(program: string, command: string): Record<string, unknown> {
  if (program === "kiro") return { command, timeout_ms: WITHIN_S * 1_000 };
  // Gemini counts in milliseconds, the others in seconds.
  return { hooks: [{ type: "command", command, timeout: program === "gemini" ? WITHIN_S * 1_000 : WITHIN_S }] };
}

/** What hook settings look like whole: every event with our entry. */
export function hookSettings(program: string, command: string): Record<string, unknown[]> {
  return Object.fromEntries((HOOK_EVENTS[program] ?? []).map((event) => [event, [hookEntry(program, command)]]));
}

/** opencode has plugins instead: a module that gets every event. */
export function openCodePlugin(command: readonly string[]): string {
  return `// Tells bosun what opencode is doing. Written by bosun.
const { spawn } = await import("node:child_process");
const [command, ...args] = ${JSON.stringify(command)};
const wanted = new Set(${JSON.stringify(HOOK_EVENTS.opencode)});

const tell = (event) =>
  new Promise((done) => {
    const child = spawn(command, args, { stdio: ["pipe", "ignore", "ignore"] });
    child.on("error", done);
    child.on("close", done);
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(event));
  });

// One after the other: they would overtake each other.
let last = Promise.resolve();
export const Bosun = async () => ({
  event: async ({ event }) => {
    if (wanted.has(event.type)) last = last.then(() => tell(event));
  },
});
`;
}
