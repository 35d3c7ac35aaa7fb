import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isatty } from "node:tty";
import type { OperationInput } from "../../client/operations.gen.ts";
import { BosunError, type ErrorBody } from "../../protocol/error.ts";
import {
  endpointOf,
  KEYED_PROVIDERS,
  keyFile,
  keyVariables,
  missingKey,
  providerOf,
} from "../../protocol/providers.ts";
import { sanitise } from "../../protocol/text.ts";
import { numberOf, stdinText, usage } from "../arguments.ts";
import { type Command, type Invocation, listOf, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

type Spec = NonNullable<OperationInput<"session.open">["chat"]>;

/** Somebody waits at the terminal for the endpoint to say that it is there. */
const ENDPOINT_WITHIN_MS = 2_000;

const chatNew: Command = {
  name: "chat new",
  args: "[NAME]",
  group: "session",
  anywhere: true,
  ops: ["session.open"],
  summary: "Open a conversation with a model: a session like any other, with tools and a history",
  flags: {
    model: { value: "PROVIDER/MODEL", about: "anthropic/…, openai/…, google/…, ollama/…, or any name with --base-url" },
    "base-url": { value: "URL", about: "an endpoint that speaks OpenAI's chat format" },
    system: { value: "TEXT", about: "what the model is told first" },
    tool: { value: "SERVER", many: true, about: "an MCP server: bosun (default), NAME=COMMAND, NAME=URL, or none" },
    approve: { value: "WHICH", about: "tool calls that wait for a person: all, writes (default), none" },
    "max-tokens": { value: "N", about: "it ends after so many, sent and received" },
    "max-cost": { value: "DOLLARS", about: "the same in dollars; needs --price" },
    price: { value: "IN/OUT", about: "dollars for a million tokens sent and received" },
    cwd: { value: "DIR", about: "where its tools start; default here" },
  },
  examples: [
    "bosun chat new planner --model anthropic/claude-sonnet-4-5",
    "bosun chat new --model ollama/llama3.1 --tool none",
    "bosun chat new --model lab/qwen --base-url http://127.0.0.1:8000/v1 --max-tokens 200000",
  ],
  async run(invocation) {
    const { out } = invocation;
    const model = textOf(invocation, "model");
    if (model === undefined) throw usage("chat new needs a model", chatNew, "bosun chat new --model ollama/llama3.1");
    if (!/^[\w.-]+\/\S+$/.test(model))
      throw usage(`--model ${model}`, chatNew, "it is provider/model: ollama/llama3.1");
    const spec = specOf(invocation, model);
    const { home } = invocation.place();
    keepKey(invocation, home, providerOf(spec));
    await checkEndpoint(spec);
    const [name] = invocation.args;
    const connection = await invocation.connect();
    const opened = await connection.call("session.open", {
      ...(name !== undefined && { name }),
      chat: spec,
      cwd: resolve(textOf(invocation, "cwd") ?? "."),
    });
    if (out.wish.json) out.json(opened);
    else {
      out.line(`✓ Created session '${opened.name}' (${opened.number}), a conversation with ${model}`);
      out.say(`next  bosun attach "${opened.name}" · bosun · bosun nudge "${opened.name}" "hello"`);
    }
    return 0;
  },
};

function specOf(invocation: Invocation, model: string): Spec {
  const given = <Key extends keyof Spec>(key: Key, value: Spec[Key] | undefined): Partial<Spec> =>
    value === undefined ? {} : ({ [key]: value } as Partial<Spec>);
  const tools = listOf(invocation, "tool");
  const approve = textOf(invocation, "approve");
  if (approve !== undefined && !["all", "writes", "none"].includes(approve))
    throw usage(`--approve ${approve}`, chatNew, "all, writes or none");
  const cost = textOf(invocation, "max-cost");
  if (cost !== undefined && !(Number(cost) > 0))
    throw usage(`--max-cost ${cost}`, chatNew, "an amount: --max-cost 2.50");
  const price = priceOf(textOf(invocation, "price"));
  if (cost !== undefined && price === undefined) throw usage("--max-cost needs --price", chatNew, "--price 3/15");
  return {
    model,
    ...given("base_url", textOf(invocation, "base-url")),
    ...given("system", textOf(invocation, "system")),
    ...(tools.length > 0 && { tools: tools.filter((each) => each !== "none") }),
    ...given("approve", approve as Spec["approve"]),
    ...given("max_tokens", numberOf(invocation, "max-tokens", chatNew)),
    ...given("max_cost", cost === undefined ? undefined : Number(cost)),
    ...given("price", price),
  };
}

function priceOf(text: string | undefined): Spec["price"] {
  if (text === undefined) return undefined;
  const [input, output] = text.split("/").map(Number);
  if (input === undefined || output === undefined || !(input >= 0) || !(output >= 0))
    throw usage(`--price ${text}`, chatNew, "dollars for a million tokens in and out: --price 3/15");
  return { input, output };
}

/** A session outlives the terminal it was opened from: the key of its environment is kept, in words. Throws NOT_FOUND. */
function keepKey({ out }: Invocation, home: string, provider: string): void {
  const file = keyFile(home, provider);
  if (existsSync(file)) return;
  const name = keyVariables(provider).find((each) => process.env[each]);
  if (name !== undefined) {
    writeKey(file, process.env[name]!);
    out.say(`the key in ${name} is kept in ${file}, for you alone, so that the session has it after a restart`);
    return;
  }
  if (Object.hasOwn(KEYED_PROVIDERS, provider)) throw missingKey(provider, home);
}

function writeKey(file: string, key: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${key.trim()}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
}

/** Throws UNREACHABLE where nothing listens. */
async function checkEndpoint(spec: Spec): Promise<void> {
  const url = endpointOf(spec, process.env);
  if (url === undefined) return;
  try {
    await fetch(`${url}/models`, { signal: AbortSignal.timeout(ENDPOINT_WITHIN_MS) });
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    throw new BosunError({
      code: "UNREACHABLE",
      what: `no model answers at ${url}`,
      why: cause ?? (error instanceof Error ? error.message : String(error)),
      fix:
        providerOf(spec) === "ollama"
          ? `install it from https://ollama.com, then: ollama serve & ollama pull ${spec.model.slice("ollama/".length)}\nor use a key: bosun chat key anthropic; bosun chat new --model anthropic/claude-sonnet-4-5`
          : "start the server, or say where it is: --base-url http://HOST:PORT/v1",
    });
  }
}

const chatKey: Command = {
  name: "chat key",
  args: "PROVIDER",
  group: "session",
  anywhere: true,
  summary: "Keep the key for a provider of models, in a file that only you can read",
  examples: ["bosun chat key anthropic", "pass show anthropic | bosun chat key anthropic"],
  async run(invocation) {
    const [provider] = invocation.args;
    if (provider === undefined || !/^[\w.-]+$/.test(provider))
      throw usage("chat key needs the name of a provider", chatKey, "bosun chat key anthropic");
    if (isatty(0)) invocation.out.say("paste the key, then enter and ctrl-d:");
    const key = (await stdinText()).trim();
    if (!/^\S+$/.test(key)) throw usage("that is no key", chatKey, "one word on standard input");
    const file = keyFile(invocation.place().home, provider);
    writeKey(file, key);
    if (invocation.out.wish.json) invocation.out.json({ provider, file });
    else invocation.out.line(`kept in ${file}`);
    return 0;
  },
};

const chatLs: Command = {
  name: "chat ls",
  aliases: ["chat", "chats"],
  group: "session",
  anywhere: true,
  ops: ["chat.list"],
  examples: ["bosun chat ls --json"],
  async run({ out, connect }) {
    const answer = await (await connect()).call("chat.list", {});
    if (out.wish.json) out.json(answer);
    else if (answer.chats.length === 0) out.say("no conversations yet  bosun chat new --model ollama/llama3.1");
    else
      out.table(
        ["NAME", "MODEL", "STATE", "TURNS", "IN", "OUT", "COST"].map((title) => ({ title })),
        answer.chats.map((each) => [
          each.name,
          each.model,
          each.state,
          String(each.turns),
          String(each.input_tokens),
          String(each.output_tokens),
          each.cost === null ? "" : `$${each.cost.toFixed(4)}`,
        ]),
      );
    return 0;
  },
};

const chatHistory: Command = {
  name: "chat history",
  args: "NAME",
  group: "session",
  anywhere: true,
  ops: ["chat.history"],
  flags: { last: { short: "n", value: "N" } },
  examples: ["bosun chat history planner -n 10"],
  async run(invocation) {
    const [session] = invocation.args;
    if (session === undefined) throw usage("chat history needs a session", chatHistory, "bosun chat ls");
    const last = numberOf(invocation, "last", chatHistory);
    const answer = await (await invocation.connect()).call("chat.history", {
      session,
      ...(last !== undefined && { last }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else {
      for (const { at, role, text, tool } of answer.messages)
        invocation.out.line(
          `${sinceText(at, Date.now())} ${tool === null ? role : `${role} ${tool}`}: ${sanitise(text)}`,
        );
      if (answer.damaged > 0) invocation.out.say(`${answer.damaged} lines of its file cannot be read`);
    }
    return 0;
  },
};

/** What `chat.js` holds; it is a file of its own, so that no other command loads it. */
interface ChatModule {
  run(spec: unknown, own: readonly string[], colour: boolean): Promise<void>;
}

const chatRun: Command = {
  name: "chat run",
  args: "SPEC",
  group: "session",
  summary: "The conversation itself, in the pane of its session",
  examples: ["bosun chat new --model ollama/llama3.1   # what starts it"],
  hidden: true,
  async run({ args, distFolder, out }) {
    if (!process.env.BOSUN_SESSION) throw usage("chat run is what a chat session runs", chatRun, "bosun chat new");
    const file = join(distFolder, "chat.js");
    const { run }: ChatModule = await import(process.getBuiltinModule("node:url").pathToFileURL(file).href);
    const plain = process.env.NO_COLOR !== undefined && process.env.NO_COLOR !== "";
    try {
      await run(
        JSON.parse(args[0] ?? "null"),
        [process.execPath, join(distFolder, "mcp.js")],
        out.wish.colour && !plain,
      );
    } catch (error) {
      // Of the other file's class: the same in all but name.
      const body = (error as { body?: ErrorBody }).body;
      throw body ? new BosunError(body) : error;
    }
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  },
};

export const CHAT_COMMANDS = [chatNew, chatLs, chatHistory, chatKey, chatRun];
