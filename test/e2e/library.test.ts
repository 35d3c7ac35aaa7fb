import { execFile } from "node:child_process";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  CollaborationHub,
  findPlace,
  formatSignal,
  MemoryType,
  type Message,
  MessageType,
  SessionRegistry,
  SessionStatus,
  SharedMemory,
} from "../../src/client/index.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

/** The README of the system these three come from, line by line, in TypeScript. */
let town: TownUnderTest;
let registry: SessionRegistry;
let hub: CollaborationHub;
let memory: SharedMemory;

beforeEach(async () => {
  town = new TownUnderTest();
  // What `new SessionRegistry()` finds by itself in a shell with these variables.
  const options = { place: findPlace({}, town.env, town.folder) };
  registry = new SessionRegistry(options);
  hub = new CollaborationHub(options);
  memory = new SharedMemory(options);
});

afterEach(async () => {
  for (const each of [registry, hub, memory]) each.close();
  await town.close();
});

async function crew(): Promise<void> {
  await registry.register({
    sessionId: "cece-001",
    agentName: "Cece",
    agentType: "Claude",
    humanUser: "Alexa",
    capabilities: ["python", "review", "planning"],
  });
  await registry.register("agent-002", "Agent-2", "GPT-4", { humanUser: "Alexa" });
}

test("S4-18, S4-25: the library registers what the command line shows, and the other way round", async () => {
  const session = await registry.register({
    sessionId: "cece-001",
    agentName: "Cece",
    agentType: "Claude",
    humanUser: "Alexa",
    capabilities: ["python", "review", "planning"],
  });
  expect([session.agentName, session.agentType, session.status]).toEqual(["Cece", "Claude", "active"]);
  const byCli = await town.json("agent", "cece-001");
  expect(byCli).toMatchObject({
    agent_name: session.agentName,
    agent_type: session.agentType,
    status: session.status,
    human_user: session.humanUser,
    capabilities: session.capabilities,
    started_at: session.startedAt,
  });
  await town.ok("register", "agent-002", "Agent-2", "GPT-4");
  expect(await registry.getSession("agent-002")).toMatchObject({ agentName: "Agent-2", agentType: "GPT-4" });
  expect(await registry.getSession("nobody")).toBeNull();
});

test("S4-19, S4-20, S4-21, S4-22, S4-23, S4-24: the registry as the README uses it", async () => {
  await crew();
  expect((await registry.listSessions()).map((session) => session.sessionId)).toEqual(["agent-002", "cece-001"]);
  expect([await registry.ping("cece-001"), await registry.ping("nobody")]).toEqual([true, false]);
  expect(await registry.updateStatus("cece-001", SessionStatus.WORKING, { currentTask: "Code review" })).toBe(true);
  expect(await registry.updateStatus("nobody", SessionStatus.IDLE)).toBe(false);
  expect((await registry.getSession("cece-001"))!.currentTask).toBe("Code review");
  const ids = async (filter: Parameters<typeof registry.findSessions>[0]) =>
    (await registry.findSessions(filter)).map((session) => session.sessionId);
  expect(await ids({ status: SessionStatus.ACTIVE })).toEqual(["agent-002"]);
  expect(await ids({ capability: "python" })).toEqual(["cece-001"]);
  expect(await ids({ agentType: "GPT-4" })).toEqual(["agent-002"]);
  expect(await registry.getStats()).toEqual({
    totalSessions: 2,
    activeSessions: 2,
    byStatus: { active: 1, working: 1 },
    byType: { Claude: 1, "GPT-4": 1 },
    byUser: { Alexa: 2 },
  });
});

test("O4-08: unregister and clearOffline", async () => {
  await crew();
  expect([await registry.unregister("cece-001"), await registry.unregister("cece-001")]).toEqual([true, false]);
  await registry.updateStatus("agent-002", SessionStatus.OFFLINE);
  expect((await registry.listSessions()).length).toBe(0);
  expect((await registry.listSessions(true)).length).toBe(1);
  expect(await registry.clearOffline()).toEqual(["agent-002"]);
  expect(await registry.listSessions(true)).toEqual([]);
});

test("S4-03, S4-30, S4-31, S4-33, S4-34, S4-35, S4-36: the hub as the README uses it", async () => {
  await crew();
  const ping = await hub.pingSession("cece-001", "agent-002");
  expect(ping.formatSignal()).toBe("🔔 cece-001 → agent-002 : [COLLABORATION] Ping");
  expect(ping).toMatchObject({ alive: true, by: "coordinator" });
  const msg = await hub.send({
    fromSession: "cece-001",
    toSession: "agent-002",
    type: MessageType.REQUEST,
    subject: "Need help",
    body: "Can you assist with this task?",
    data: { task_id: "123", priority: "high" },
  });
  const all = await hub.broadcast({ fromSession: "cece-001", subject: "System update", body: "Deploying new version" });
  expect([all.toSession, all.recipients]).toEqual([null, ["agent-002"]]);
  const reply = await hub.reply({ fromSession: "agent-002", toMessage: msg, body: "Sure, I can help!" });
  expect(reply).toMatchObject({
    type: "response",
    subject: "Re: Need help",
    inReplyTo: msg.messageId,
    toSession: "cece-001",
  });
  const messages = await hub.getMessages("agent-002");
  expect(messages.map((message) => [message.type, message.subject, message.data])).toEqual([
    ["ping", "Ping", null],
    ["request", "Need help", { task_id: "123", priority: "high" }],
    ["broadcast", "System update", null],
  ]);
  expect((await hub.getMessages("agent-002", { type: MessageType.REQUEST })).length).toBe(1);
  expect(await hub.getMessages("agent-002", { unreadOnly: true })).toEqual([]);
  for (const id of [msg.messageId, reply.messageId]) {
    expect((await hub.getConversation(id)).map((message) => message.messageId)).toEqual([
      msg.messageId,
      reply.messageId,
    ]);
  }
  await hub.ack("cece-001", reply, "done");
  expect(await hub.getStats()).toMatchObject({
    totalMessages: 5,
    byType: { ping: 1, request: 1, response: 2, broadcast: 1 },
    openRequests: 0,
  });
  expect(formatSignal({ type: "ping", from: "cece-001", to: null, subject: "Ping" })).toBe(
    "🔔 cece-001 → ALL : [COLLABORATION] Ping",
  );
});

test("S4-04, S4-50, S4-55, S4-56: the memory as the README uses it", async () => {
  await crew();
  const value = { name: "Build collaboration", status: "in_progress" };
  const entry = await memory.set({
    sessionId: "cece-001",
    key: "current_task",
    value,
    type: MemoryType.STATE,
    tags: ["task", "active"],
  });
  await memory.set("agent-002", "task_next", [1, null, "x"], { tags: ["task"] });
  expect(await memory.get("current_task")).toEqual(value);
  expect(await memory.getEntry("current_task")).toEqual({ ...entry, timestamp: expect.any(String) });
  expect([await memory.get("never"), await memory.getEntry("never")]).toEqual([undefined, null]);
  await memory.set("cece-001", "nothing", null);
  expect(await memory.get("nothing")).toBeNull();
  await memory.set("cece-001", "current_task", 2, { type: MemoryType.STATE });
  expect((await memory.getAll("current_task")).map((each) => each.value)).toEqual([2, value]);
  expect(await memory.getAll("never")).toEqual([]);
  const keys = (entries: { key: string }[]): string[] => entries.map((each) => each.key);
  expect(keys(await memory.search("*_task"))).toEqual(["current_task"]);
  expect(keys(await memory.getByTags(["active", "task"]))).toEqual(["task_next"]);
  expect(keys(await memory.getByTags(["active", "task"], true))).toEqual([]);
  expect(keys(await memory.getBySession("agent-002"))).toEqual(["task_next"]);
  expect([await memory.delete("current_task"), await memory.delete("old_key")]).toEqual([2, 0]);
  expect(await memory.getStats()).toMatchObject({ totalEntries: 4, uniqueKeys: 2, byType: { state: 0, note: 2 } });
  await expect(memory.set("cece-001", "k", undefined)).rejects.toMatchObject({ code: "USAGE" });
  await expect(memory.set("cece-001", "nothing", 1, { ifRev: 0 })).rejects.toMatchObject({ code: "CONFLICT" });
});

test("O4-08: a handler is called for mail of its type, a watcher sees each message once, and answers pings itself", async () => {
  await crew();
  const handled: string[] = [];
  hub.registerHandler("agent-002", MessageType.REQUEST, (message) => handled.push(message.subject));
  const seen: string[] = [];
  void (async () => {
    for await (const message of hub.watch("agent-002", { after: 0 })) seen.push(message.subject);
  })().catch(() => {});
  await until(async () => {
    const ping = await hub.pingSession("cece-001", "agent-002", 2_000);
    return ping.by === "agent";
  }, "the watcher's own answer");
  await hub.send("cece-001", "agent-002", MessageType.NOTIFICATION, "one", "b");
  await hub.send("cece-001", "agent-002", MessageType.REQUEST, "two", "b");
  // Which of the two answered the ping is chance, and so is when the other hears of it.
  const mail = (): string[] => seen.filter((subject) => subject !== "Ping");
  await until(() => mail().length === 2 && handled.length === 1, "both");
  expect([mail(), handled]).toEqual([["one", "two"], ["two"]]);
});

test("a coordinator killed under a library's hands loses and doubles nothing", async () => {
  await crew();
  const seen: string[] = [];
  void (async () => {
    for await (const message of hub.watch("agent-002", { after: 0 })) seen.push(message.subject);
  })().catch(() => {});
  const changes: string[] = [];
  void (async () => {
    for await (const { key } of memory.watch({ after: 0 })) changes.push(key);
  })().catch(() => {});
  let kills = 0;
  const killer = setInterval(() => {
    const pid = town.coordinatorPid();
    if (pid !== null && kills++ < 4) process.kill(pid, "SIGKILL");
  }, 400);
  const sent: Promise<Message>[] = [];
  for (let n = 0; n < 200; n++) {
    sent.push(hub.send("cece-001", "agent-002", MessageType.NOTIFICATION, `m${n}`, "b"));
    if (n % 4 === 0) sent.push(memory.set("cece-001", `k${n}`, n) as never);
    await new Promise((next) => setTimeout(next, 8));
  }
  await Promise.all(sent);
  clearInterval(killer);
  await until(() => seen.length >= 200 && changes.length >= 50, "all of it", 20_000);
  expect(kills).toBeGreaterThan(1);
  expect([...seen].sort()).toEqual(Array.from({ length: 200 }, (_, n) => `m${n}`).sort());
  expect([...changes].sort()).toEqual(Array.from({ length: 50 }, (_, n) => `k${4 * n}`).sort());
}, 60_000);

test("S4-87: eight processes send a thousand messages each while the coordinator is killed; all are there, once, in each one's order", async () => {
  await crew();
  await registry.register("inbox", "Inbox", "script");
  const ids = Array.from({ length: 8 }, (_, n) => `sender-${n}`);
  for (const id of ids) await registry.register(id, id, "script");
  let done = 0;
  const senders = ids.map((id) =>
    new Promise<void>((resolve, reject) => {
      execFile(
        process.execPath,
        [join(import.meta.dirname, "sender.fixture.ts"), id, "inbox", "1000"],
        { cwd: town.folder, env: town.env },
        (error, _, stderr) => (error ? reject(new Error(stderr)) : resolve()),
      );
    }).then(() => {
      done += 1;
    }),
  );
  for (let kills = 0; kills < 3 && done === 0; kills++) {
    await new Promise((next) => setTimeout(next, 800));
    const pid = town.coordinatorPid();
    if (pid !== null) process.kill(pid, "SIGKILL");
  }
  await Promise.all(senders);
  const subjects = (await hub.getMessages("inbox", { limit: 10_000 })).map((message) => message.subject);
  expect(subjects).toHaveLength(8_000);
  for (const id of ids) {
    const own = subjects.filter((subject) => subject.startsWith(`${id} `));
    expect(own).toEqual(Array.from({ length: 1_000 }, (_, n) => `${id} ${n}`));
  }
}, 120_000);
