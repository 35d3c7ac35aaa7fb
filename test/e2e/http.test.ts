import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { TownUnderTest, until } from "./town-under-test.ts";

const PLAN = `version: 1
rooms:
  spx: { about: A room }
sessions: {}
`;

let town: TownUnderTest;
let follower: Follower | null = null;

beforeEach(async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
});

afterEach(async () => {
  follower?.close();
  follower = null;
  await town.close();
});

const socketPath = (): string => join(town.stateFolder, "bosun.sock");

interface Answered {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the answer itself
  json: any;
  text: string;
}

function http(to: object, path: string, input?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...to,
        path,
        method: input === undefined ? "GET" : "POST",
        headers: { ...(input === undefined ? {} : { "content-type": "application/json" }), ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode!, text, json: /^[{[]/.test(text) ? JSON.parse(text) : null }),
        );
      },
    );
    sent.on("error", reject);
    sent.end(input === undefined ? undefined : JSON.stringify(input));
  });
}

/** The answer of an operation over the Unix socket; a failure of it is a failure of the test. */
async function call(op: string, input: unknown, as?: string): Promise<Answered["json"]> {
  const answered = await http({ socketPath: socketPath() }, `/v1/${op}`, input, as ? { "bosun-as": as } : {});
  if (answered.status !== 200) throw new Error(`${op}: ${answered.text}`);
  return answered.json;
}

const register = (id: string, more: object = {}) => call("agent.register", { id, name: id, type: "script", ...more });

test("bosun serve opens a port for those with the token, which outlives the coordinator until it is closed", async () => {
  const opened = await town.json("serve");
  expect(opened.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(statSync(opened.tokenFile).mode & 0o777).toBe(0o600);
  const token = readFileSync(opened.tokenFile, "utf8");
  expect(JSON.stringify(opened)).not.toContain(token);
  const tcp = { host: "127.0.0.1", port: Number(new URL(opened.url).port) };
  const bearer = { authorization: `Bearer ${token}` };
  expect((await http(tcp, "/v1/town.status")).status).toBe(401);
  expect((await http(tcp, "/v1/town.status", undefined, { authorization: "Bearer bosun_tok_wrong" })).status).toBe(401);
  expect((await http(tcp, "/v1/town.status", undefined, { ...bearer, host: "evil.example" })).status).toBe(403);
  expect((await http(tcp, "/v1/town.status", undefined, bearer)).json.town).toBe(town.town);
  expect((await http(tcp, "/v1/http.close", {}, bearer)).status).toBe(403);

  expect(await town.json("serve")).toEqual(opened);
  expect(await town.json("serve", "--port", String(tcp.port))).toEqual(opened);
  const elsewhere = await town.run(["serve", "--port", String(tcp.port === 65_535 ? 1024 : tcp.port + 1)]);
  expect([elsewhere.code, elsewhere.stderr]).toEqual([5, expect.stringContaining(opened.url)]);
  const page = { ...bearer, origin: "https://desk.example" };
  expect((await http(tcp, "/v1/town.status", undefined, page)).status).toBe(403);
  expect(await town.json("serve", "--origin", "https://desk.example")).toEqual(opened);
  expect((await http(tcp, "/v1/town.status", undefined, page)).status).toBe(200);

  await town.ok("stop");
  await town.ok("status");
  await until(async () => (await http(tcp, "/healthz", undefined, bearer)).status === 200, "the port is open again");
  expect(await town.json("serve", "--show")).toMatchObject(opened);
  expect(await town.json("serve", "--close")).toEqual({ closed: true });
  await expect(http(tcp, "/healthz", undefined, bearer)).rejects.toThrow(/ECONNREFUSED/);
  expect(await town.json("serve", "--show")).toEqual({ url: null, tokenFile: null });

  expect((await town.run(["serve", "--origin", "desk"])).code).toBe(2);
  const remote = await town.run(["serve", "--host", "0.0.0.0"]);
  expect([remote.code, remote.stderr]).toEqual([4, expect.stringContaining("unencrypted")]);
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const taken = await town.run(["serve", "--port", String((other.address() as AddressInfo).port)]);
  other.close();
  expect([taken.code, taken.stderr]).toEqual([5, expect.stringContaining("another program has it")]);
});

/** Follows mail over WebSockets that are cut off again and again, as a careful program would: it resumes behind what it has. */
class Follower {
  readonly seen: { seq: number; id: string; atMs: number }[] = [];
  cuts = 0;
  #socket: WebSocket | null = null;
  #after: number;
  #closed = false;

  constructor(after: number) {
    this.#after = after;
  }

  open(): void {
    const socket = new WebSocket(`ws+unix:${socketPath()}:/v1/ws`);
    this.#socket = socket;
    // A connection cut while it was being made says so; "close" follows.
    socket.on("error", () => {});
    socket.on("close", () => {
      if (!this.#closed) this.open();
    });
    socket.on("open", () => {
      socket.send(JSON.stringify({ hello: { v: 1, as: "rev-002" } }));
      socket.send(JSON.stringify({ id: 1, op: "message.watch", in: { after: this.#after } }));
    });
    socket.on("message", (data) => {
      if (this.#socket !== socket) return;
      const frame = JSON.parse(String(data)) as { event?: { message: { seq: number; id: string } } };
      if (!frame.event) return;
      const { seq, id } = frame.event.message;
      this.#after = seq;
      this.seen.push({ seq, id, atMs: performance.now() });
    });
  }

  cut(): void {
    const socket = this.#socket;
    // From now on nothing of it counts, as if this program had been killed.
    this.#socket = null;
    socket?.terminate();
    this.cuts++;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }
}

test("S4-81: a subscriber cut off 50 times while mail flows gets every message once, in order, within a second", async () => {
  await register("dev-001");
  await register("rev-002");
  follower = new Follower((await call("event.list", { last: 1 })).next);
  const { seen } = follower;
  follower.open();
  const sentAt = new Map<string, number>();
  let flowing = true;
  const senders = Array.from({ length: 2 }, async (_, sender) => {
    for (let n = 0; flowing; n++) {
      const beganMs = performance.now();
      const { id } = await call("message.send", { to: ["rev-002"], subject: `${sender}:${n}`, body: "x" }, "dev-001");
      sentAt.set(id, beganMs);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 6));
    }
  });
  while (follower.cuts < 50) {
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 60));
    follower.cut();
  }
  await until(() => seen.length > 0 && sentAt.size > 100, "mail flows");
  flowing = false;
  await Promise.all(senders);
  await until(() => seen.length >= sentAt.size, "everything has arrived");
  // Long enough for a repetition to show.
  await new Promise((resolve) => setTimeout(resolve, 100));
  follower.close();
  expect(seen.map((each) => each.id).sort()).toEqual([...sentAt.keys()].sort());
  const places = seen.map((each) => each.seq);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  const lateMs = seen.map((each) => each.atMs - sentAt.get(each.id)!);
  expect(Math.max(...lateMs)).toBeLessThan(1_000);
}, 60_000);

const beaconFile = () => JSON.parse(readFileSync(join(town.stateFolder, "status.json"), "utf8"));

test("S4-79 O4-10: the status beacon, as file, command and endpoint, follows within a second, and rests while nothing changes", async () => {
  await register("cece-001", { type: "Claude", name: "Cece" });
  await register("dev-002");
  await call("agent.status", { id: "cece-001", status: "working", task: "Building" });
  await call("message.send", { to: ["cece-001"], subject: "s", body: "b" }, "dev-002");
  await call("memory.set", { key: "k", value: 1 }, "dev-002");
  const changedMs = Date.now();
  await until(() => beaconFile().shared_memory_entries === 1, "the file has followed", 1_000);
  expect(Date.now() - changedMs).toBeLessThan(1_000);
  const beacon = beaconFile();
  expect(beacon).toEqual({
    town: town.town,
    updated_at: expect.any(String),
    total_sessions: 2,
    active_sessions: 2,
    collaboration_messages: 1,
    shared_memory_entries: 1,
    unread: 1,
    sessions: [
      {
        session_id: "cece-001",
        agent_name: "Cece",
        agent_type: "Claude",
        status: "working",
        emoji: "⚙️",
        current_task: "Building",
      },
      expect.objectContaining({ session_id: "dev-002", status: "active", emoji: "🟢" }),
    ],
  });
  expect((await http({ socketPath: socketPath() }, "/status.json")).json).toEqual(beacon);
  expect(await town.json("beacon")).toEqual(beacon);

  const inode = statSync(join(town.stateFolder, "status.json")).ino;
  await call("agent.ping", { id: "dev-002" });
  await call("room.post", { room: "spx", msg: "nothing of this is in the beacon" });
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(statSync(join(town.stateFolder, "status.json")).ino).toBe(inode);

  for (const [id, status] of [
    ["a-idle", "idle"],
    ["a-waiting", "waiting"],
    ["a-off", "offline"],
  ] as const) {
    await register(id);
    await call("agent.status", { id, status });
  }
  await until(() => beaconFile().total_sessions === 5 && beaconFile().active_sessions === 4, "five are there", 1_500);
  expect(beaconFile().sessions.map((each: { emoji: string }) => each.emoji)).toEqual(["⚙️", "🟢", "⏳", "⏸️", "⚪"]);
  for (let n = 0; n < 9; n++) await register(`more-${n}`);
  await until(() => beaconFile().total_sessions === 14, "fourteen are there", 1_500);
  expect(beaconFile().sessions).toHaveLength(10);
});

test("S4-86: a report per agent and metrics for all: mail, time to acknowledge, tasks, memory, time up", async () => {
  await register("dev-001");
  await register("rev-002");
  const ids: string[] = [];
  for (let n = 0; n < 4; n++) {
    ids.push((await call("message.send", { to: ["rev-002"], subject: `${n}`, body: "b" }, "dev-001")).id);
  }
  await call("message.inbox", { limit: 3 }, "rev-002");
  await new Promise((resolve) => setTimeout(resolve, 30));
  await call("message.ack", { ids: ids.slice(0, 2) }, "rev-002");
  const offered = await call(
    "message.send",
    { to: ["rev-002"], subject: "T", body: "b", type: "task_offer" },
    "dev-001",
  );
  await call("message.ack", { ids: [offered.id], outcome: "accepted" }, "rev-002");
  await call("memory.set", { key: "a", value: 1 }, "rev-002");
  await call("memory.set", { key: "a", value: 2 }, "rev-002");
  await call("memory.set", { key: "b", value: 3 }, "rev-002");

  const { sessions } = await town.json("report");
  const of = (id: string) => sessions.find((each: { session_id: string }) => each.session_id === id);
  // The acceptance of its offer came back to it.
  expect(of("dev-001")).toMatchObject({ status: "active", sent: 5, received: 1, acked: 0, ack_ms: null, memory: 0 });
  expect(of("rev-002")).toMatchObject({
    received: 5,
    unread: 1,
    acked: 3,
    ack_ms: { p50: expect.any(Number), p95: expect.any(Number), max: expect.any(Number) },
    tasks: { owned: 1, done: 0 },
    memory: 2,
  });
  const { p50, p95, max } = of("rev-002").ack_ms;
  expect(max).toBeGreaterThanOrEqual(30);
  expect(p50 <= p95 && p95 <= max).toBe(true);
  expect(of("rev-002").up_s).toBeGreaterThanOrEqual(0);
  expect((await town.json("report", "rev-002")).sessions).toHaveLength(1);
  expect((await town.run(["report", "nobody"])).code).toBe(3);

  const { text } = await http({ socketPath: socketPath() }, "/metrics");
  const value = (line: string) =>
    Number(
      text
        .split("\n")
        .find((each) => each.startsWith(line))
        ?.split(" ")
        .at(-1),
    );
  expect(value('bosun_agents{status="active"')).toBe(2);
  expect(value('bosun_messages_total{type="task_offer"')).toBe(1);
  expect(value('bosun_deliveries{state="acked"')).toBe(3);
  expect(value("bosun_unread_messages")).toBe(2);
  expect(value('bosun_memory_values{type="note"')).toBe(2);
  expect(value('bosun_requests_total{door="http",operation="memory.set",outcome="ok"')).toBe(3);
  expect(value("bosun_log_bytes")).toBeGreaterThan(10_000);
  expect(value("bosun_log_head")).toBeGreaterThan(10);
});

test("S4-68: stats counts agents, messages by type and memory by type", async () => {
  await register("dev-001", { user: "Alexa" });
  await register("rev-002");
  await call("message.send", { to: ["rev-002"], subject: "s", body: "b", type: "request" }, "dev-001");
  await call("memory.set", { key: "k", value: null, type: "decision" }, "dev-001");
  const stats = await town.json("stats");
  expect(stats).toMatchObject({
    sessions: { total_sessions: 2, active_sessions: 2, by_status: { active: 2 }, by_user: { Alexa: 1 } },
    messages: { total_messages: 1, unread: 1, open_requests: 1, dead: 0 },
    memory: { total_entries: 1, unique_keys: 1 },
  });
  expect(Object.keys(stats.messages.by_type)).toHaveLength(9);
  expect(stats.messages.by_type).toMatchObject({ request: 1, ping: 0 });
  expect(Object.keys(stats.memory.by_type)).toHaveLength(7);
  expect(stats.memory.by_type).toMatchObject({ decision: 1, fact: 0 });
  const text = await town.ok("stats");
  expect(text).toMatch(/Total: 2\n {3}Active: 2\n {3}By status: active 2\n/);
  expect(text).toMatch(/Total messages: 1\n {3}By type: request 1\n/);
  expect(text).toMatch(/Unique keys: 1\n {3}By type: decision 1\n/);
});
