import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MEMORY_TYPES } from "../../src/protocol/memory.ts";
import { displayWidth } from "../../src/protocol/width.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

/** No plan, no town named: what somebody has who only wants agents to write to each other. */
let town: TownUnderTest;

beforeEach(() => {
  town = new TownUnderTest();
});
afterEach(() => town.close());

const register = (id: string, name: string, type: string, ...more: string[]) =>
  town.ok("register", id, name, type, ...more);

async function crew(): Promise<void> {
  await register("cece-001", "Cece", "Claude", "--user", "Alexa", "--capabilities", "python,review,planning");
  await register("agent-002", "Agent-2", "GPT-4", "--user", "Alexa");
}

test("S4-02, S4-06, S4-07, S4-65: register prints id, agent, user and start; the user is shown in the list", async () => {
  const printed = await register(
    "cece-001",
    "Cece",
    "Claude",
    "--user",
    "Alexa",
    "--capabilities",
    "python,review,planning",
  );
  expect(printed).toMatch(
    /^✅ Registered session: cece-001\n {3}Agent: Cece \(Claude\)\n {3}User: Alexa\n {3}Started: \d{4}-\d\d-\d\dT[\d:.]+Z\n$/,
  );
  expect(await town.json("agent", "cece-001")).toMatchObject({
    session_id: "cece-001",
    agent_name: "Cece",
    agent_type: "Claude",
    status: "active",
    human_user: "Alexa",
    capabilities: ["python", "review", "planning"],
  });
  expect(await town.ok("list")).toContain("Alexa");
  const taken = await town.run(["register", "cece-001", "Other", "Claude"]);
  expect([taken.code, taken.stderr]).toEqual([5, expect.stringContaining("cece-001")]);
  expect(await register("cece-001", "Cece", "Claude", "--takeover")).toContain("(epoch 2)");
});

test("S4-09, S4-10: the list has its columns, aligned under long and wide values, and the right numbers beneath", async () => {
  await register("a", "エージェント", "Claude");
  await register("a-very-long-session-identifier-001", "🎯 sharp", "GPT-4", "--user", "Алекса");
  await town.ok("status", "a", "working", "--task", "Code review");
  const lines = (await town.ok("list")).split("\n");
  const title = lines[0]!;
  for (const column of ["SESSION ID", "AGENT", "TYPE", "STATUS", "USER"]) expect(title).toContain(column);
  const at = (line: string, text: string): number => displayWidth(line.slice(0, line.indexOf(text)));
  const [first, second] = [
    lines.find((line) => line.startsWith("a ")),
    lines.find((line) => line.startsWith("a-very")),
  ];
  for (const [column, one, other] of [
    ["AGENT", "エー", "🎯 sh"],
    ["TYPE", "Claude", "GPT-4"],
    ["STATUS", "working", "active"],
    ["USER", "- ", "Алекса"],
  ] as const) {
    const place = at(title, column);
    expect([at(first!, one), at(second!, other)]).toEqual([place, place]);
  }
  expect(lines.join("\n")).toContain("📊 Stats:\n   Total: 2\n   Active: 2\n   By status: active 1 · working 1");
});

test("S4-12, S4-13, S4-91: ping and status, in the words of the original; what is wrong is refused with what is right", async () => {
  await crew();
  expect(await town.ok("ping", "cece-001")).toBe("✅ Pinged session: cece-001\n");
  expect((await town.run(["ping", "nobody"])).code).toBe(3);
  expect(await town.ok("status", "agent-002", "working", "--task", "Code review")).toBe(
    "✅ Updated session agent-002\n   Status: working\n   Task: Code review\n",
  );
  const wrong = await town.run(["status", "agent-002", "asleep"]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/active, idle, working, waiting, offline/)]);
  await town.ok("set-status", "agent-002", "offline");
  expect(await town.ok("list")).not.toContain("agent-002");
  expect(await town.ok("list", "--all")).toContain("agent-002");
  expect(await town.ok("ping", "agent-002")).toContain("it was offline; now active");
});

test("S4-26, S4-30, S4-32, O4-07: send as the original spells it; data is kept, bad data is refused", async () => {
  await crew();
  const printed = await town.ok(
    "send",
    "cece-001",
    "agent-002",
    "Need code review",
    "Can you review my Python changes?",
    "--type",
    "request",
    "--data",
    '{"pr":  123}',
  );
  expect(printed).toMatch(
    /^✅ Message sent: [0-9a-f-]{36}\n {3}❓ cece-001 → agent-002 : \[COLLABORATION\] Need code review\n$/,
  );
  const { messages } = await town.json("messages", "agent-002", "--type", "request");
  expect(messages).toMatchObject([{ from: "cece-001", to: "agent-002", type: "request", data_json: '{"pr":  123}' }]);
  const bad = await town.run(["send", "cece-001", "agent-002", "s", "b", "--data", "{pr: 1"]);
  expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("--data is not JSON")]);
  const type = await town.run(["send", "cece-001", "agent-002", "s", "b", "--type", "shout"]);
  expect([type.code, type.stderr]).toEqual([2, expect.stringContaining("task_offer")]);
  expect((await town.run(["send", "cece-001", "nobody", "s", "b"])).code).toBe(3);
  expect((await town.run(["send", "nobody", "cece-001", "s", "b"])).code).toBe(3);
});

test("S4-27, S4-28, S4-35: broadcast counts whom it reaches; messages lists an inbox, of one type if wished", async () => {
  await crew();
  await register("dev-003", "Dev", "script");
  expect(await town.ok("broadcast", "cece-001", "Deployment starting", "In 5 minutes")).toMatch(
    /^✅ Broadcast sent: [0-9a-f-]{36}\n {3}📡 cece-001 → ALL : \[COLLABORATION\] Deployment starting\n {3}to 2: agent-002, dev-003\n$/,
  );
  await town.ok("send", "dev-003", "agent-002", "Hello", "line one\nline two");
  const listed = await town.ok("messages", "agent-002");
  expect(listed).toContain("📬 Messages for agent-002:");
  expect(listed).toContain(
    "  From: cece-001 → ALL\n  Type: broadcast\n  Subject: Deployment starting\n  Body: In 5 minutes",
  );
  expect(listed).toContain("  Body: line one\n        line two");
  expect(await town.ok("messages", "agent-002", "--type", "broadcast")).not.toContain("Hello");
  expect(await town.ok("messages", "cece-001")).toBe("No messages for session: cece-001\n");
  expect((await town.json("inbox", "agent-002")).unread).toBe(2);
  const read = await town.json("inbox", "--as", "agent-002", "--unread", "--bodies");
  expect([read.messages.length, (await town.json("inbox", "agent-002")).unread]).toEqual([2, 0]);
});

test("S4-34, S4-36, S4-66: a reply, and the thread from any of its messages", async () => {
  await crew();
  const { id } = await town.json("send", "cece-001", "agent-002", "Review?", "Please", "--type", "request");
  const reply = await town.json("reply", "agent-002", id, "LGTM", "--data", '{"approved":true}');
  for (const any of [id, reply.id]) {
    const { messages } = await town.json("thread", any);
    expect(messages.map((each: { subject: string; type: string }) => `${each.type} ${each.subject}`)).toEqual([
      "request Review?",
      "response Re: Review?",
    ]);
  }
  expect(await town.ok("thread", id)).toContain('  Data: {\n    "approved": true\n  }');
  await town.ok("ack", reply.id, "--outcome", "done", "--as", "cece-001");
  expect((await town.json("message", reply.id)).deliveries).toMatchObject([{ to: "cece-001", state: "acked" }]);
  expect(await town.ok("search", "LGTM")).toContain("Re: Review?: LGTM");
});

test("S4-47, S4-48, S4-49, S4-50, S4-51: memory-set and memory-get in the words of the original; null is not nothing", async () => {
  await crew();
  const printed = await town.ok(
    "memory-set",
    "cece-001",
    "current_task",
    "Building collaboration system",
    "--type",
    "state",
    "--tags",
    "task,active",
  );
  expect(printed).toMatch(
    /^✅ Stored in shared memory\n {3}Key: current_task\n {3}Type: state\n {3}Value: Building collaboration system\n {3}Entry ID: [0-9a-f-]{36}\n/,
  );
  expect(await town.ok("memory-get", "current_task")).toBe("✅ Value: Building collaboration system\n");
  expect(await town.json("memory", "get", "current_task")).toMatchObject({
    value: "Building collaboration system",
    type: "state",
    tags: ["task", "active"],
    by: "cece-001",
  });
  await town.ok("memory-set", "cece-001", "current_task", '{"n": 1}');
  expect(await town.ok("memory-get", "current_task", "--all")).toMatch(
    /^📝 Entries for key 'current_task':\n[\s\S]*Value: \{"n":1\}[\s\S]*Value: Building collaboration system/,
  );
  await town.ok("memory", "set", "nothing", "null");
  expect(await town.ok("memory-get", "nothing")).toBe("✅ Value: null\n");
  const missing = await town.run(["memory-get", "never"]);
  expect([missing.code, missing.stdout]).toEqual([3, ""]);
  const wrong = await town.run(["memory-set", "cece-001", "k", "v", "--type", "dream"]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining(MEMORY_TYPES.join(", "))]);
  for (const type of MEMORY_TYPES) await town.ok("memory-set", "cece-001", `of-${type}`, "1", "--type", type);
});

test("S4-57, S4-58, S4-59, S4-60, S4-61, S4-62, S4-63: state, fact, decision, task, context, note and config are settable, counted and filtered by", async () => {
  await register("cece-001", "Cece", "Claude");
  for (const [index, type] of MEMORY_TYPES.entries())
    for (let n = 0; n <= index; n++) await town.ok("memory-set", "cece-001", `${type}-${n}`, "1", "--type", type);
  const { by_type } = await town.json("memory", "stats");
  expect(by_type).toEqual(Object.fromEntries(MEMORY_TYPES.map((type, index) => [type, index + 1])));
  for (const [index, type] of MEMORY_TYPES.entries()) {
    const { entries } = await town.json("memory-search", "--type", type);
    expect(entries.map((entry: { key: string; type: string }) => [entry.key, entry.type])).toEqual(
      Array.from({ length: index + 1 }, (_, n) => [`${type}-${index - n}`, type]),
    );
  }
});

test("S4-52, S4-53, S4-54, S4-56: memory-search by pattern, tags and session; delete tells how many", async () => {
  await crew();
  for (const [by, key, tags] of [
    ["cece-001", "task_a", "x"],
    ["agent-002", "task_b", "x,y"],
    ["agent-002", "note_c", "y"],
  ] as const) {
    await town.ok("memory-set", by, key, "1", "--tags", tags);
  }
  const found = async (...flags: string[]) =>
    (await town.json("memory-search", ...flags)).entries.map((entry: { key: string }) => entry.key);
  expect(await found("--pattern", "task_*")).toEqual(["task_b", "task_a"]);
  expect(await found("--tags", "x,y")).toEqual(["note_c", "task_b", "task_a"]);
  expect(await found("--tags", "x,y", "--match", "all")).toEqual(["task_b"]);
  expect(await found("--session", "agent-002")).toEqual(["note_c", "task_b"]);
  expect(await town.ok("memory-search", "--pattern", "task_*")).toContain("📝 Found 2 entries:");
  expect(await town.ok("memory", "delete", "task_a")).toBe("deleted 1 value of task_a\n");
  expect((await town.run(["memory", "delete", "task_a"])).code).toBe(3);
  expect(await town.json("memory", "stats")).toMatchObject({ total_entries: 3, unique_keys: 2 });
});

test("S4-64, S4-67: a value with two seconds to live is readable, then gone from get, search and export", async () => {
  await town.ok("memory", "set", "short", "1", "--ttl", "2s");
  await town.ok("memory", "set", "long", "1");
  expect(await town.ok("memory-get", "short")).toBe("✅ Value: 1\n");
  await until(async () => (await town.run(["memory-get", "short"])).code === 3, "the value gone");
  expect((await town.json("memory", "search")).entries).toMatchObject([{ key: "long" }]);
  const out = join(town.folder, "out");
  await town.ok("export", "sessions", out);
  const { entries } = JSON.parse(readFileSync(join(out, "shared_memory/memory.json"), "utf8"));
  expect(Object.values(entries)).toMatchObject([{ key: "long" }]);
});

test("leases and groups by the command line", async () => {
  await crew();
  const { held } = await town.json("lease", "acquire", "parser.ts", "--as", "cece-001", "--why", "refactoring");
  const refused = await town.run(["lease", "acquire", "parser.ts", "--as", "agent-002"]);
  expect([refused.code, refused.stderr]).toEqual([5, expect.stringMatching(/held by cece-001[\s\S]*refactoring/)]);
  const fence = `parser.ts:${held[0].token}`;
  await town.ok("memory", "set", "k", "1", "--fence", fence, "--as", "cece-001");
  expect((await town.run(["memory", "set", "k", "2", "--fence", fence, "--as", "agent-002"])).code).toBe(5);
  expect(await town.ok("lease", "list")).toContain("parser.ts");
  expect(await town.ok("lease", "release", "parser.ts", "--as", "cece-001")).toBe("free: parser.ts\n");

  expect(await town.ok("group", "join", "@builders", "cece-001")).toBe("@builders: cece-001\n");
  await town.ok("group", "join", "#deploys", "--as", "agent-002");
  expect((await town.json("send", "#deploys,@builders", "s", "b")).recipients).toEqual(["agent-002", "cece-001"]);
  expect(await town.ok("group", "list")).toContain("#deploys");
});

test("S4-72: what is asked of a town that nobody named goes to the town default, and plan commands still ask for a plan", async () => {
  const own = new TownUnderTest(undefined, { town: "" });
  try {
    await own.ok("register", "cece-001", "Cece", "Claude");
    expect(existsSync(join(own.env.BOSUN_HOME!, "default"))).toBe(true);
    expect(await own.ok("find", "--capability", "python")).toContain("No active sessions found.");
    const up = await own.run(["up"]);
    expect([up.code, up.stderr]).toEqual([3, expect.stringContaining("floorplan.yaml")]);
  } finally {
    await own.run(["stop", "--town", "default"]);
    await own.close();
  }
});

test("a watcher by the command line sees each message once, over a restart of the coordinator", async () => {
  await crew();
  const watcher = town.start(["watch", "--as", "agent-002", "--json", "--after", "0"]);
  let seen = "";
  watcher.stdout!.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  const subjects = () =>
    seen
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line).message.subject);
  await town.ok("send", "cece-001", "agent-002", "one", "b");
  await until(() => subjects().length === 1, "the first");
  process.kill(town.coordinatorPid()!, "SIGKILL");
  await until(
    async () => (await town.run(["send", "cece-001", "agent-002", "two", "b"])).code === 0,
    "a coordinator again",
  );
  await until(() => subjects().length === 2, "the second");
  expect(subjects()).toEqual(["one", "two"]);
});

/** Runs a command line as its own process; only its exit code counts. */
function bosun(args: string[]): Promise<number> {
  const cli = join(import.meta.dirname, "../../dist/bosun.js");
  return new Promise((done) => {
    const child = spawn(process.execPath, [cli, ...args], { cwd: town.folder, env: town.env, stdio: "ignore" });
    child.on("close", (code) => done(code ?? 1));
  });
}

async function atOnce(count: number, lanes: number, one: (n: number) => Promise<number>): Promise<number[]> {
  const codes: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) codes.push(await one(next++));
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return codes;
}

test("S4-87: 2 × 200 sends, values and registrations from processes at the same time: 400 of 400 each", {
  timeout: 240_000,
}, async () => {
  await crew();
  const writers = ["cece-001", "agent-002"];
  const by = (n: number): string => writers[n % 2]!;
  const failed = async (one: (n: number) => string[]) =>
    (await atOnce(400, 4, (n) => bosun(one(n)))).filter((code) => code !== 0).length;
  expect(await failed((n) => ["send", by(n), by(n + 1), `s${n}`, "b"])).toBe(0);
  expect(await failed((n) => ["memory-set", by(n), `k${n}`, String(n)])).toBe(0);
  expect(await failed((n) => ["register", `many-${n}`, "Many", "script"])).toBe(0);
  const stats = await town.json("stats");
  expect([stats.messages.total_messages, stats.memory.unique_keys, stats.sessions.total_sessions]).toEqual([
    400, 400, 402,
  ]);
  const subjects = new Set<string>();
  for (const who of writers) {
    const { messages } = await town.json("inbox", who, "--limit", "1000");
    for (const message of messages) subjects.add(message.subject);
  }
  expect(subjects.size).toBe(400);
});

const ORIGIN = {
  "active_sessions.json": `{"sessions":{"cece-001":{"session_id":"cece-001","agent_name":"Cece","agent_type":"Claude","status":"working","started_at":"2026-01-27T21:11:11.490417","last_ping":"2026-01-27T21:11:11.490810","human_user":"Alexa","location":"BlackRoad-OS/.github","capabilities":["python","planning","review"],"current_task":"Building collaboration system","metadata":{}},"agent-002":{"session_id":"agent-002","agent_name":"Agent-2","agent_type":"GPT-4","status":"active","started_at":"2026-01-27T21:11:11.490417","last_ping":"2026-01-27T21:11:11.490810","human_user":null,"location":null,"capabilities":[],"current_task":null,"metadata":{}}},"updated_at":"2026-01-27T21:11:11"}`,
  "messages/recent_messages.json": `{"messages":[{"message_id":"8512000c-6978-4653-ad2e-5156acd7f827","type":"request","from_session":"cece-001","to_session":"agent-002","subject":"React component review","body":"Can you review this React component for me?","data":{"component":"UserProfile.jsx","lines":150},"timestamp":"2026-01-27T21:11:11.491598","in_reply_to":null},{"message_id":"b","type":"broadcast","from_session":"cece-001","to_session":null,"subject":"All","body":"hands","data":{},"timestamp":"2026-01-27T21:11:12","in_reply_to":null}],"updated_at":"x"}`,
  "shared_memory/memory.json": `{"entries":{"f628f9f0":{"entry_id":"f628f9f0","type":"task","key":"task_api-design","value":{"status":"completed","owner":"agent-002","completed_at":"2026-01-27"},"session_id":"agent-002","timestamp":"2026-01-27T21:11:11.492905","ttl":null,"tags":["task","completed"],"metadata":{}}},"updated_at":"x"}`,
};

function originFolder(change: (name: string, text: string) => string = (_name, text) => text): string {
  const folder = join(town.folder, ".sessions");
  for (const [name, text] of Object.entries(ORIGIN)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), change(name, text));
  }
  return folder;
}

test("S4-69, S4-70, S4-71: a .sessions folder moves in with its own times and ids, once", async () => {
  const folder = originFolder();
  expect(await town.ok("import", "sessions", folder)).toBe("imported 2 agents, 2 messages, 1 values\n");
  expect(await town.json("import", "sessions", town.folder)).toMatchObject({
    imported: { agents: 0, messages: 0, memory: 0 },
    known: 5,
    refused: [],
  });
  expect((await town.json("list", "--all")).sessions).toMatchObject([
    { session_id: "agent-002", status: "offline" },
    {
      session_id: "cece-001",
      started_at: "2026-01-27T21:11:11.490Z",
      current_task: "Building collaboration system",
      capabilities: ["python", "planning", "review"],
    },
  ]);
  const { messages } = await town.json("messages", "agent-002");
  expect(messages).toMatchObject([
    { id: "8512000c-6978-4653-ad2e-5156acd7f827", ts: "2026-01-27T21:11:11.491Z", data: { lines: 150 } },
    { id: "b", type: "broadcast" },
  ]);
  expect(await town.json("memory", "get", "task_api-design")).toMatchObject({ id: "f628f9f0", by: "agent-002" });
});

test("S4-69: of damaged files what can be read moves in, and the rest is told", async () => {
  const folder = originFolder((name, text) => {
    if (name === "active_sessions.json") return `\ufeff${text.slice(0, text.indexOf('"agent-002":{') + 60)}`;
    if (name.startsWith("messages")) return text.replace('"type":"request"', '"type":"shout"');
    return text.replace('"session_id":"agent-002"', '"session_id":7');
  });
  const ran = await town.run(["import", "sessions", folder, "--json"]);
  const answer = JSON.parse(ran.stdout);
  expect(answer.imported).toEqual({ agents: 1, messages: 1, memory: 0 });
  expect(answer.damage).toMatchObject([
    { file: "active_sessions.json", why: expect.stringContaining("1 whole records") },
  ]);
  expect(answer.refused.map((each: { what: string }) => each.what)).toEqual([
    "message 8512000c-6978-4653-ad2e-5156acd7f827",
    "memory f628f9f0",
  ]);
  expect((await town.run(["import", "sessions", join(town.folder, "home")])).code).toBe(3);
});

/** Loads the files as the original does: every record must have exactly the fields of its class. */
const LOADER = `
import dataclasses, json, sys
from typing import Any
def cls(name, fields): return dataclasses.make_dataclass(name, [(f, Any) for f in fields])
Session = cls("Session", ["session_id","agent_name","agent_type","status","started_at","last_ping","human_user","location","capabilities","current_task","metadata"])
Message = cls("Message", ["message_id","type","from_session","to_session","subject","body","data","timestamp","in_reply_to"])
Entry = cls("Entry", ["entry_id","type","key","value","session_id","timestamp","ttl","tags","metadata"])
from datetime import datetime
d = sys.argv[1]
s = {k: Session(**v) for k, v in json.load(open(d + "/active_sessions.json"))["sessions"].items()}
m = [Message(**v) for v in json.load(open(d + "/messages/recent_messages.json"))["messages"]]
e = {k: Entry(**v) for k, v in json.load(open(d + "/shared_memory/memory.json"))["entries"].items()}
for t in [x.last_ping for x in s.values()] + [x.timestamp for x in m] + [x.timestamp for x in e.values()]:
    assert datetime.fromisoformat(t).tzinfo is None, t
print(json.dumps([sorted(s), [x.to_session for x in m], sorted(x.key for x in e.values())]))
`;

test("S4-69, S4-70, S4-71: what is exported can be loaded by the original, and moves in again unchanged", async (context) => {
  const { spawnSync } = await import("node:child_process");
  await crew();
  await town.ok("send", "cece-001", "agent-002", "s", "b", "--data", '{"n":1}');
  await town.ok("broadcast", "cece-001", "all", "b");
  await town.ok("memory-set", "cece-001", "k", "v", "--ttl", "1h");
  const out = join(town.folder, "out");
  expect(await town.ok("export", "sessions", out)).toBe(`${out}: 2 agents, 2 messages, 1 values\n`);
  expect((await town.run(["export", "sessions", out])).code).toBe(5);
  await town.ok("export", "sessions", out, "--force");
  expect(await town.json("import", "sessions", out)).toMatchObject({ known: 5, refused: [], damage: [] });
  if (spawnSync("python3", ["--version"]).status !== 0) context.skip("python3 is not here");
  const loaded = spawnSync("python3", ["-c", LOADER, out], { encoding: "utf8" });
  expect([loaded.stderr, loaded.stdout]).toEqual(["", '[["agent-002", "cece-001"], ["agent-002", null], ["k"]]\n']);
});

test("a task is offered and accepted by the words for handing over", async () => {
  await crew();
  const offered = await town.json("handoff", "offer", "agent-002", "Review", "the parser", "--as", "cece-001");
  expect(await town.ok("handoff", "accept", offered.id, "--note", "gladly", "--as", "agent-002")).toContain(
    "it is yours",
  );
  const { task } = await town.json("task", "show", offered.task);
  expect(task).toMatchObject({ title: "Review", state: "accepted", owner: "agent-002" });
  expect((await town.run(["handoff", "offer", "agent-002"])).code).toBe(2);
});
