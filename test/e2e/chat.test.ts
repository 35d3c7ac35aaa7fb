import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ModelServer } from "../agents/model-server.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
let models: ModelServer;
let url: string;

beforeEach(async () => {
  models = new ModelServer();
  url = await models.start();
  town = new TownUnderTest();
});
afterEach(async () => {
  await town.close();
  await models.stop();
});

const lab = (): string[] => ["--model", "lab/small", "--base-url", `${url}/v1`];

const activity = async (name: string) => (await town.json("explain", name)).activity;

async function is(name: string, ...states: string[]): Promise<void> {
  let last = "";
  await until(
    async () => {
      const { state, evidence } = await activity(name);
      last = `${state}: ${evidence}`;
      return states.includes(state);
    },
    `${name} to be ${states.join(" or ")}`,
    20_000,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; ${last}\n${town.capture(`=${name}:`)}`);
  });
}

const done = (name: string) => is(name, "idle", "done-unseen");

const said = async (name: string): Promise<{ role: string; text: string; tool: string | null }[]> =>
  (await town.json("chat", "history", name)).messages;

test("S3-14, S3-23: two conversations with a model, each with its own history, while only one is looked at", async () => {
  await town.ok("chat", "new", "ann", ...lab());
  await town.ok("chat", "new", "bob", ...lab(), "--system", "You are terse.");
  await Promise.all([done("ann"), done("bob")]);
  await town.ok("nudge", "ann", "slow, ann is asked");
  await is("ann", "working");
  await town.ok("nudge", "bob", "bob is asked");
  await done("bob");
  await done("ann");
  expect((await said("ann")).map(({ role, text }) => [role, text])).toEqual([
    ["user", "slow, ann is asked"],
    ["assistant", "All done here."],
  ]);
  expect((await said("bob")).map(({ text }) => text)).toEqual(["bob is asked", "All done here."]);
  expect((await town.json("ask", "bob", "again?")).answer).toBe("All done here.");
  expect((await town.json("chat", "ls")).chats).toMatchObject([
    { name: "ann", model: "lab/small", turns: 1, input_tokens: 5, output_tokens: 5, cost: null },
    { name: "bob", turns: 2 },
  ]);
  const [entry] = (await town.json("ls")).sessions;
  expect(entry).toMatchObject({ label: "ann", kind: "chat" });
}, 60_000);

test("a tool of ours that changes something waits for a person's word, and acts in the session's name", async () => {
  await town.ok("chat", "new", "ann", ...lab());
  await done("ann");
  await town.ok("nudge", "ann", 'call memory_put {"key":"plan","value":"go"}');
  await is("ann", "waiting");
  expect(await activity("ann")).toMatchObject({ reason: "permission", text: expect.stringContaining("memory_put") });
  expect((await town.run(["memory", "get", "plan"])).code).toBe(3);
  await town.ok("type", "ann", "y");
  await done("ann");
  expect(await town.json("memory", "get", "plan")).toMatchObject({ value: "go", by: "ann" });
  // A refusal is told to the model, which goes on without it.
  await town.ok("nudge", "ann", 'call memory_put {"key":"plan","value":"stop"}');
  await is("ann", "waiting");
  await town.ok("type", "ann", "n");
  await done("ann");
  expect(await town.json("memory", "get", "plan")).toMatchObject({ value: "go" });
  expect((await said("ann")).filter(({ tool }) => tool !== null).at(-1)!.text).toContain("refused");
  // What only reads asks nobody.
  await town.ok("nudge", "ann", 'call memory_get {"key":"plan"}');
  await done("ann");
  expect((await said("ann")).filter(({ tool }) => tool !== null).at(-1)!.text).toContain("go");
}, 90_000);

test("O3-15: killed in the middle of an answer, it is there again, shows what had come, and asks anew", async () => {
  await town.ok("chat", "new", "ann", ...lab());
  await done("ann");
  await town.ok("nudge", "ann", "trickle it");
  await until(() => town.capture("=ann:").includes("word9"), "half of the answer");
  const { pid } = (await town.json("ls")).sessions[0];
  process.kill(pid, "SIGKILL");
  await until(() => town.capture("=ann:").includes("interrupted here"), "it to come back", 20_000);
  expect(town.capture("=ann:")).toContain("word3");
  await done("ann");
  const messages = await said("ann");
  expect(messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
  expect(messages[1]!.text).toContain("word20");
  expect(models.asked.filter((each) => each.includes("trickle"))).toHaveLength(2);
}, 60_000);

test("an answer is stopped by escape, and what was typed meanwhile comes next; a ceiling ends it in words", async () => {
  await town.ok("chat", "new", "ann", ...lab(), "--max-tokens", "15", "--price", "3/15");
  await done("ann");
  await town.ok("nudge", "ann", "trickle it");
  await is("ann", "working");
  await town.ok("type", "ann", "the next");
  town.tmux("send-keys", "-t", "=ann:", "Escape");
  await until(async () => (await said("ann")).some(({ text }) => text === "All done here."), "the next to be answered");
  await town.ok("nudge", "ann", "once more");
  await done("ann");
  await town.ok("nudge", "ann", "too much");
  await is("ann", "waiting");
  expect(await activity("ann")).toMatchObject({ reason: "error", text: expect.stringContaining("max_tokens") });
  const [chat] = (await town.json("chat", "ls")).chats;
  expect(chat.cost).toBeCloseTo(((chat.input_tokens * 3 + chat.output_tokens * 15) / 1_000_000) as number, 9);
}, 90_000);

test("anthropic, openai and google by key; the key is kept for the session alone", async () => {
  const keys = { ANTHROPIC_API_KEY: "sk-1", OPENAI_API_KEY: "sk-2", GEMINI_API_KEY: "sk-3" };
  const wire = { anthropic: `${url}/v1`, openai: `${url}/v1`, google: `${url}/v1beta` };
  for (const [provider, base] of Object.entries(wire)) {
    const ran = await town.run(
      ["chat", "new", provider, "--model", `${provider}/m`, "--base-url", base, "--tool", "none"],
      {
        env: keys,
      },
    );
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const file = join(town.env.BOSUN_HOME!, "keys", provider);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(ran.stderr).toContain(file);
    await done(provider);
    await town.ok("nudge", provider, "hello");
    await until(async () => (await said(provider)).length === 2, `${provider} to answer`, 15_000);
  }
  const events = await town.ok("events", "--json");
  for (const key of Object.values(keys)) expect(events).not.toContain(key);
}, 90_000);

test("without key or endpoint it says how to get one, and nothing is opened", async () => {
  const keyless = await town.run(["chat", "new", "ann", "--model", "anthropic/claude-sonnet-4-5"]);
  expect(keyless).toMatchObject({ code: 3 });
  expect(keyless.stderr).toContain("https://console.anthropic.com/settings/keys");
  expect(keyless.stderr).toContain("ollama serve");
  const gone = await town.run(["chat", "new", "ann", "--model", "ollama/llama3.1"], {
    env: { OLLAMA_HOST: "127.0.0.1:9" },
  });
  expect(gone).toMatchObject({ code: 6 });
  expect(gone.stderr).toContain("ollama pull llama3.1");
  for (const bad of [["--model", "gpt"], ["--model", "a/b", "--price", "x"], [], ["--model", "who/m"]])
    expect((await town.run(["chat", "new", "ann", ...bad])).code, bad.join(" ")).not.toBe(0);
  expect((await town.json("ls")).sessions).toEqual([]);
  expect((await town.run(["chat", "key", "lab"], { input: "two words" })).code).toBe(2);
  expect(await town.run(["chat", "key", "lab"], { input: "k\n" })).toMatchObject({ code: 0 });
  expect(readFileSync(join(town.env.BOSUN_HOME!, "keys", "lab"), "utf8")).toBe("k\n");
}, 60_000);

test("a conversation of the floor plan starts with up, and goes on after down and up", async () => {
  town.plan(`version: 1
sessions:
  planner: { chat: { model: lab/small, base_url: "${url}/v1", tools: [] }, agent: { id: planner-001, type: Claude } }
`);
  await town.ok("up");
  await done("planner");
  await town.ok("nudge", "planner", "hello");
  await until(async () => (await said("planner")).length === 2, "the answer");
  await town.ok("down");
  await town.ok("up");
  await done("planner");
  expect(town.capture("=planner:")).toContain("All done here.");
  const [chat] = (await town.json("chat", "ls")).chats;
  expect(chat).toMatchObject({ name: "planner", turns: 1 });
  expect(existsSync(chat.file)).toBe(true);
}, 60_000);

test("S2-54: a conversation in a chapter is opened with the handoff, and its turns and tokens are counted", async () => {
  town.plan(`version: 1
sessions:
  planner:
    chat: { model: lab/small, base_url: "${url}/v1" }
    chapter: { turns: 100, heading: Plan the harbour }
`);
  await town.ok("up");
  await done("planner");
  await until(
    async () => (await town.json("book", "show", "planner")).chapter.acknowledged !== null,
    "the opening to be read",
  );
  for (const text of ["first", "second"]) {
    await town.ok("nudge", "planner", text);
    await until(async () => (await said("planner")).some((each) => each.text === text), text);
    await done("planner");
  }
  await until(async () => (await town.json("book", "show", "planner")).chapter.counted.turns === 2, "two turns");
  expect((await town.json("book", "show", "planner")).chapter).toMatchObject({ phase: "work", blind: false });
  await until(async () => (await town.json("book", "show", "planner")).chapter.counted.tokens > 0, "tokens");
  expect(models.told.every((text) => text.includes("# Opening of planner #1"))).toBe(true);
});
