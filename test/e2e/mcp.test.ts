import { execFile, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openConnection } from "../../src/client/connection.ts";
import { GOOD_CALLS } from "../../src/mcp/good-calls.fixture.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

const CLI = resolve(import.meta.dirname, "../../dist/bosun.js");

let town: TownUnderTest;
beforeAll(() => {
  town = new TownUnderTest();
});
const clients: Client[] = [];
afterAll(async () => {
  for (const client of clients) await client.close();
  await town.close();
});

/** A client of the official package on `bosun mcp`; what the server writes to standard output is kept in `file`. */
async function connected(file: string, ...words: string[]): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const args = ["-c", `"$0" "$@" | tee ${file}`, process.execPath, CLI, "mcp", ...words];
  const env = { ...town.env, BOSUN_LOG: "debug" };
  await client.connect(new StdioClientTransport({ command: "/bin/sh", args, env, stderr: "ignore" }));
  clients.push(client);
  return client;
}

interface Answer {
  isError?: boolean;
  content: { text: string }[];
  structuredContent: Record<string, unknown>;
}

const call = async (client: Client, name: string, args: Record<string, unknown>): Promise<Answer> =>
  (await client.callTool({ name, arguments: args })) as unknown as Answer;

test("S4-77: a client lists and calls every tool while the log level is debug; stdout carries only JSON-RPC", async () => {
  const output = join(town.folder, "stdout");
  const client = await connected(output);
  const { tools } = await client.listTools();
  expect(tools.map((each) => each.name).sort()).toEqual(GOOD_CALLS.map(([name]) => name).sort());
  await call(client, "session_open", { name: "Dev One" });
  let message = "";
  const failed: string[] = [];
  for (const [name, good] of GOOD_CALLS) {
    const args = JSON.parse(
      JSON.stringify(good).replaceAll('"m1"', JSON.stringify(message)).replaceAll('"dev-001"', '"dev-one"'),
    ) as Record<string, unknown>;
    const answer = await call(client, name, args);
    // No room and nobody to ask in a town without a plan: those three say so, and what to do.
    const refused = ["feed_post", "ask", "handoff"].includes(name);
    const text = answer.content[0]!.text;
    if (refused ? !/next: call/.test(text) : answer.isError) failed.push(`${name}: ${text}`);
    if (name === "message_send") message = String(answer.structuredContent.id);
  }
  await client.close();
  const lines = readFileSync(output, "utf8").trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(GOOD_CALLS.length);
  for (const line of lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: "2.0" });
  expect(failed).toEqual([]);
});

test("O4-09: the nine names of the original server answer in its shapes, listed or not", async () => {
  const client = await connected("/dev/null", "--profile", "original");
  expect((await client.listTools()).tools).toHaveLength(9);
  const shapes: [string, Record<string, unknown>, string[]][] = [
    ["session_register", { session_id: "cece-001", agent_name: "Cece", agent_type: "Claude" }, ["success", "session"]],
    ["session_list", { include_offline: true }, ["sessions", "count"]],
    ["session_ping", { from_session: "cece-001", to_session: "cece-001" }, ["success", "signal"]],
    [
      "collab_send",
      { from_session: "cece-001", to_session: "cece-001", subject: "s", body: "b" },
      ["success", "message"],
    ],
    ["collab_broadcast", { from_session: "cece-001", subject: "s", body: "b" }, ["success", "message", "signal"]],
    ["collab_get_messages", { session_id: "cece-001" }, ["messages", "count"]],
    ["memory_set", { session_id: "cece-001", key: "k", value: "v", tags: ["t"] }, ["success", "entry"]],
    ["memory_get", { key: "k" }, ["found", "key", "value"]],
    ["memory_search", { pattern: "k*" }, ["entries", "count"]],
  ];
  for (const [name, args, fields] of shapes) {
    const answer = await call(client, name, args);
    expect(answer.isError, `${name}: ${answer.content[0]!.text}`).toBeUndefined();
    expect(Object.keys(answer.structuredContent), name).toEqual(expect.arrayContaining(fields));
  }
  await client.close();
});

/** Says lines to `bosun mcp` and gives as many answers as were asked for. */
async function raw(requests: object[]): Promise<Record<string, { [field: string]: unknown }>[]> {
  const child = spawn(process.execPath, [CLI, "mcp"], { env: town.env, stdio: ["pipe", "pipe", "ignore"] });
  const answers: Record<string, { [field: string]: unknown }>[] = [];
  const gathered = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      if (answers.push(JSON.parse(line)) === requests.length) break;
    }
  })();
  child.stdin.write(`${requests.map((each) => JSON.stringify({ jsonrpc: "2.0", ...each })).join("\n")}\n`);
  await gathered;
  child.stdin.end();
  await new Promise((ended) => child.once("close", ended));
  return answers;
}

test("both eras of the protocol are answered by the same server", async () => {
  const clientInfo = { name: "raw", version: "1" };
  const [older] = await raw([
    { id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo } },
  ]);
  expect(older!.result).toMatchObject({ protocolVersion: "2025-11-25", serverInfo: { name: "bosun" } });
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": clientInfo,
  };
  const [newer] = await raw([{ id: 1, method: "server/discover", params: { _meta } }]);
  expect(newer!.result).toMatchObject({ supportedVersions: expect.arrayContaining(["2026-07-28"]) });
});

test("a stranger is registered by its first call, and off again when its host ends it", async () => {
  const client = await connected("/dev/null");
  await call(client, "session_status", { status: "working", task: "parser", progress: 10 });
  const person = await openConnection(join(town.stateFolder, "bosun.sock"));
  const { sessions } = await person.call("agent.list", { status: ["working"] });
  const working = sessions.filter((each) => each.current_task === "parser (10%)");
  expect(working).toMatchObject([{ agent_type: "mcp" }]);
  await client.close();
  const id = working[0]!.session_id;
  await until(async () => (await person.call("agent.show", { id })).agent.status === "offline", "it is off");
  person.close();
});

test("an agent that bosun starts finds our server before the program; with mcp: false it does not", async () => {
  const bin = join(town.folder, "real");
  mkdirSync(bin);
  writeFileSync(
    join(bin, "claude"),
    `#!/bin/sh\nprintf '%s\\n' "$@" > "$OUT.new"\nmv "$OUT.new" "$OUT"\nexec sleep 600\n`,
  );
  chmodSync(join(bin, "claude"), 0o755);
  const floor = new TownUnderTest();
  floor.env.PATH = `${bin}:${floor.env.PATH}`;
  const outputs = ["with", "without"].map((name) => join(floor.folder, name));
  floor.plan(`version: 1
town: ${floor.town}
sessions:
  one: { run: claude hello, agent: { id: a-one, type: claude }, env: { OUT: ${outputs[0]} } }
  two: { run: claude hello, agent: { id: a-two, type: claude, mcp: false }, env: { OUT: ${outputs[1]} } }
`);
  try {
    await floor.ok("up");
    await until(() => outputs.every(existsSync), "both have started");
    expect(readFileSync(outputs[0]!, "utf8")).toMatch(
      /^--mcp-config=.*\/harness\/config\/claude\.json\n--settings=.*\/harness\/config\/claude-settings\.json\nhello\n$/,
    );
    expect(readFileSync(outputs[1]!, "utf8")).toBe("hello\n");
  } finally {
    await floor.close();
  }
});

test("over HTTP each request is whoever its credential says", async () => {
  const { url, tokenFile } = await town.json("serve");
  const headers = {
    authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const answered = await fetch(`${url}/mcp?profile=core`, { method: "POST", headers, body });
  const text = await answered.text();
  expect(answered.status).toBe(200);
  expect(text.match(/"name":"/g)).toHaveLength(7);
  expect((await fetch(`${url}/mcp`, { method: "POST", body })).status).toBe(401);
});

/** `bin/setup --test` puts it there; it brings a web interface with it, and so is no dependency. */
const INSPECTOR =
  process.env.MCP_INSPECTOR ?? resolve(import.meta.dirname, "../../.runtime/inspector/node_modules/.bin/mcp-inspector");

test.skipIf(!existsSync(INSPECTOR))("the inspector lists and calls tools", async () => {
  const ask = async (...words: string[]) => {
    // It gives servers little of its environment.
    const ours = ["BOSUN_HOME", "BOSUN_TOWN", "BOSUN_TMUX_SOCKET"].map((name) => `${name}=${town.env[name]}`);
    const args = ["--cli", "/usr/bin/env", ...ours, process.execPath, CLI, "mcp", ...words];
    return JSON.parse((await promisify(execFile)(INSPECTOR, args, { env: town.env })).stdout);
  };
  expect((await ask("--method", "tools/list")).tools).toHaveLength(GOOD_CALLS.length);
  const said = await ask("--method", "tools/call", "--tool-name", "session_status", "--tool-arg", "status=idle");
  expect(said.structuredContent).toMatchObject({ status: "idle" });
});

test("3,000 calls of any shape over stdio: each has an answer, no error of the protocol, the server lives", async () => {
  const client = await connected("/dev/null");
  const named = fc.constantFrom(...GOOD_CALLS.filter(([name]) => name !== "session_close"));
  const bent = fc
    .tuple(named, fc.string(), fc.jsonValue(), fc.integer({ min: 0, max: 3 }))
    .map(([[name, args], field, value, dice]) => ({
      name,
      args: dice === 0 ? args : { ...args, [field || "to"]: value },
    }));
  let posted = 0;
  for (const { name, args } of fc.sample(bent, { numRuns: 3_000, seed: 20_261_121 })) {
    const answer = await call(client, name, args as Record<string, unknown>);
    expect(answer.content[0]!.text, name).not.toBe("");
    expect(answer.structuredContent.error, `${name}: ${answer.content[0]!.text}`).not.toBe("FAILED");
    if (name === "session_status" && !answer.isError) posted += 1;
  }
  expect(posted).toBeGreaterThan(10);
  await client.close();
}, 120_000);

test("S2-68: the handoff of a series is a resource, as it stands in its file", async () => {
  const ship = new TownUnderTest(`version: 1
sessions:
  sisters: { run: exec sleep 900, chapter: { minutes: 60, handshake: HANDSHAKE.md } }
`);
  try {
    await ship.ok("up");
    await ship.ok("book", "close", "sisters", "--summary", "over to you");
    const client = new Client({ name: "test", version: "1" });
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args: [CLI, "mcp"], env: ship.env, cwd: ship.folder }),
    );
    clients.push(client);
    const { contents } = await client.readResource({ uri: "crew://handoff/sisters" });
    const handoff = JSON.parse((contents[0] as { text: string }).text);
    expect(handoff.text).toBe(readFileSync(join(ship.folder, "HANDSHAKE.md"), "utf8"));
    expect(handoff.text).toContain("over to you");
  } finally {
    await ship.close();
  }
});
