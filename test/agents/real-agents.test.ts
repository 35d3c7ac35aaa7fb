import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TownUnderTest, until } from "../e2e/town-under-test.ts";
import { ModelServer } from "./model-server.ts";

/** Where `bin/setup --test` puts them. */
const BIN = resolve(import.meta.dirname, "../../.runtime/agents/node_modules/.bin");
const FIXTURES = resolve(import.meta.dirname, "../../profiles/fixtures");

const installed = (name: string): boolean => existsSync(join(BIN, name));

let town: TownUnderTest;
let models: ModelServer;
let url: string;

beforeEach(async () => {
  models = new ModelServer();
  url = await models.start();
  town = new TownUnderTest();
  town.env.PATH = `${BIN}:${town.env.PATH}`;
  execFileSync("git", ["init", "-q", join(town.folder, "project")]);
});
afterEach(async () => {
  await town.close();
  await models.stop();
});

/** Settings in the HOME of this test alone. */
function settings(name: string, text: string): void {
  const file = join(town.env.HOME!, name);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
}

async function start(agent: string, env: Record<string, string> = {}, ...args: string[]): Promise<void> {
  const variables = Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
  await town.ok("new", agent, "--cwd", join(town.folder, "project"), ...variables, "--", [agent, ...args].join(" "));
}

const keys = (agent: string, ...typed: string[]): string => town.tmux("send-keys", "-t", `=${agent}:`, ...typed);

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));

/** Moves to the choice and takes it: a dialog that has just come may not hear the first keys. */
async function choose(agent: string, choice: RegExp): Promise<void> {
  const screen = (): string => town.capture(`=${agent}:`);
  for (let tries = 0; tries < 20 && !choice.test(screen()); tries++) {
    keys(agent, "Down");
    await pause(300);
  }
  for (let tries = 0; tries < 20 && choice.test(screen()); tries++) {
    keys(agent, "Enter");
    await pause(700);
  }
}

async function wish(agent: string, text: string): Promise<void> {
  town.tmux("send-keys", "-t", `=${agent}:`, "-l", text);
  // Programs that watch for pastes swallow an Enter that comes with it.
  await pause(400);
  keys(agent, "Enter");
}

/**
 * Waits until bosun says so, and the agent's own profile knows its screen for that; keeps the true screen when asked to.
 * `source` is who said it: the program itself, where it does.
 */
async function says(agent: string, rule: string, state: string, source = /./, withinMs = 20_000): Promise<void> {
  let last = "";
  await until(
    async () => {
      const { activity, fitting } = await town.json("explain", agent);
      last = `${activity.state} by ${activity.rule}: ${activity.evidence}; fitting ${JSON.stringify(fitting)}`;
      const known = fitting[0]?.name === `${agent}/${rule}`;
      return known && source.test(activity.source) && [state, "done-unseen"].includes(activity.state);
    },
    `${agent} to be ${state} by ${rule}`,
    withinMs,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; ${last}\n${town.capture(`=${agent}:`)}`);
  });
  if (process.env.KEEP_SCREENS !== undefined) {
    mkdirSync(join(FIXTURES, agent), { recursive: true });
    const text = town.capture(`=${agent}:`).replaceAll(town.folder, "/home/ann");
    writeFileSync(join(FIXTURES, agent, `${state}-${rule}.txt`), text);
  }
}

describe("real agents, offline, against a model on loopback", () => {
  test.skipIf(!installed("claude"))(
    "O3-20, S0-46, S0-49: claude: trust, the key, idle, working, a permission, done",
    async () => {
      settings(".claude.json", JSON.stringify({ hasCompletedOnboarding: true, theme: "dark" }));
      await start(
        "claude",
        {
          ANTHROPIC_BASE_URL: url,
          ANTHROPIC_API_KEY: "sk-ant-test-0000000000000000000000",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        },
        "--permission-mode",
        "default",
      );
      await says("claude", "trust", "waiting");
      await choose("claude", /❯ Yes, I trust this folder/);
      await says("claude", "api-key", "waiting");
      await choose("claude", /❯ Yes/);
      await says("claude", "prompt", "idle", /^state-file$/);
      expect(await town.json("ask", "claude", "what is the status?", "--timeout", "20s")).toMatchObject({
        answer: "All done here.",
        route: "keys",
      });
      await town.ok("send", "claude", "Ping", "are you there?");
      await wish("claude", "slow please");
      await says("claude", "working", "working", /^state-file$/);
      // The hook of its turn has told it, in our words and without the sender's.
      await until(() => models.asked.some((each) => each.includes("bosun: 1 unread message")), "the model to be told");
      expect(models.asked.join()).not.toContain("are you there?");
      await says("claude", "prompt", "idle", /^state-file$/);
      await wish("claude", "make-a-file");
      await says("claude", "permission", "waiting", /^state-file$/);
      // A dialog is open: nothing is typed, and why is told.
      const refused = await town.run(["ask", "claude", "and now?"]);
      expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining("it waits for a person: permission")]);
      expect((await town.json("ls", "--waiting")).sessions).toMatchObject([{ label: "claude" }]);
      await choose("claude", /❯ 1\. Yes/);
      await says("claude", "prompt", "idle");
      expect(existsSync(join(town.folder, "project", "made-by-agent"))).toBe(true);
      await wish("claude", "make-a-file");
      await says("claude", "permission", "waiting", /^state-file$/);
      keys("claude", "Escape");
      // No hook tells of this; the file does.
      await says("claude", "prompt", "idle", /^state-file$/);
    },
    120_000,
  );

  test.skipIf(!installed("codex"))(
    "O3-20, S0-46, S0-49: codex: login, trust, idle, working, a permission",
    async () => {
      await start("codex");
      await says("codex", "login", "waiting");
      await town.ok("close", "codex");
      settings(
        ".codex/config.toml",
        `model = "gpt-5"\nmodel_provider = "local"\n[model_providers.local]\nname = "local"\nbase_url = "${url}/v1"\nenv_key = "LOCAL_KEY"\nwire_api = "responses"\n`,
      );
      await start("codex", { LOCAL_KEY: "x" });
      await says("codex", "trust", "waiting");
      await choose("codex", /› 1\. Trust and continue/);
      await says("codex", "prompt", "idle");
      expect(await town.json("ask", "codex", "what is the status?", "--timeout", "20s")).toMatchObject({
        answer: "All done here.",
        route: "keys",
      });
      await wish("codex", "slow please");
      await says("codex", "working", "working", /^transcript$/);
      await says("codex", "prompt", "idle", /^transcript$/);
      await wish("codex", "make-a-file");
      await says("codex", "permission", "waiting", /^screen$/);
      keys("codex", "Escape");
      await says("codex", "prompt", "idle", /^transcript$/);
    },
    120_000,
  );

  test.skipIf(!installed("gemini"))(
    "O3-20, S0-46, S0-49: gemini: trust, idle, working, a permission",
    async () => {
      settings(".gemini/settings.json", JSON.stringify({ security: { auth: { selectedType: "gemini-api-key" } } }));
      await town.ok("hooks", "config", "gemini", "--write", "--yes");
      await start("gemini", { GEMINI_API_KEY: "x", GOOGLE_GEMINI_BASE_URL: url });
      await says("gemini", "trust", "waiting");
      await choose("gemini", /● 1\. Trust folder(?![\s\S]*restarting)/);
      await says("gemini", "prompt", "idle");
      // In the run in which it comes to trust a folder, it runs no hooks.
      await town.ok("close", "gemini");
      await start("gemini", { GEMINI_API_KEY: "x", GOOGLE_GEMINI_BASE_URL: url });
      await says("gemini", "prompt", "idle", /^hook:SessionStart$/);
      expect(await town.json("ask", "gemini", "what is the status?", "--timeout", "20s")).toMatchObject({
        answer: "All done here.",
        route: "keys",
      });
      await wish("gemini", "slow please");
      await says("gemini", "working", "working", /^hook:BeforeAgent$/);
      await says("gemini", "prompt", "idle", /^hook:AfterAgent$/);
      await wish("gemini", "make-a-file");
      await says("gemini", "permission", "waiting", /^hook:Notification$/);
      keys("gemini", "Escape");
      // Whatever ended it without a word: what is on its screen since then is newer.
      await says("gemini", "prompt", "idle");
    },
    120_000,
  );

  test.skipIf(!installed("opencode"))(
    "O3-20: opencode: idle, working, a permission, done",
    async () => {
      const model = { m: { name: "M" } };
      const local = { npm: "@ai-sdk/openai-compatible", name: "L", options: { baseURL: `${url}/v1`, apiKey: "x" } };
      settings(
        ".config/opencode/opencode.json",
        JSON.stringify({
          model: "local/m",
          permission: { bash: "ask" },
          provider: { local: { ...local, models: model } },
        }),
      );
      await start("opencode", { OPENCODE_DISABLE_MODELS_FETCH: "1", OPENCODE_DISABLE_AUTOUPDATE: "1" });
      // Without a network it tries for a while before it paints anything.
      await says("opencode", "prompt", "idle", /./, 75_000);
      await wish("opencode", "slow please");
      await says("opencode", "working", "working", /^hook:session.status$/);
      await says("opencode", "prompt", "idle", /^hook:session/);
      await wish("opencode", "make-a-file");
      await says("opencode", "permission", "waiting", /^hook:permission/);
      keys("opencode", "Enter");
      await says("opencode", "prompt", "idle", /^hook:session/);
      expect(existsSync(join(town.folder, "project", "made-by-agent"))).toBe(true);
    },
    120_000,
  );

  test("a model that is asked says what its script says", async () => {
    const answer = await fetch(`${url}/v1/messages`, {
      method: "POST",
      body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "hello" }] }),
    });
    expect(await answer.json()).toMatchObject({ content: [{ text: "All done here." }], stop_reason: "end_turn" });
    expect(models.asked).toEqual([expect.stringContaining("/v1/messages")]);
    expect(readFileSync(join(FIXTURES, "README.md"), "utf8")).toContain("KEEP_SCREENS");
  });
});
