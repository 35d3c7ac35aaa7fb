import { Agent, request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { CATALOGUE } from "../../src/protocol/catalogue.ts";
import type { Operation } from "../../src/protocol/operation.ts";
import { TownUnderTest } from "./town-under-test.ts";

const CALLS = 7_000;
const AT_ONCE = 16;
const SEED = 20_260_718;

/** They stop the coordinator, start or end processes, open ports, or read the whole log for each call. */
const LEFT_OUT = new Set([
  "coordinator.stop",
  "town.up",
  "town.down",
  "session.restart",
  "session.attach",
  "view.open",
  "view.share",
  "view.unshare",
  "http.open",
  "http.close",
  "log.rebuild",
  "audit.verify",
]);

const PLAN = `version: 1
rooms:
  spx: { about: A room, keep: 100000 }
  ndx: { about: Another, keep: 100000 }
sessions:
  quiet: { about: Never started, run: "exec sleep 3600", start: manual, agent: { id: quiet-one, type: none } }
`;

let town: TownUnderTest;
let agent: Agent;

beforeAll(async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
}, 60_000);

afterAll(async () => {
  agent?.destroy();
  await town?.close();
});

interface Schema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  additionalProperties?: Schema | boolean;
  maximum?: number;
  minimum?: number;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = generator(SEED);
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
const chance = (share: number): boolean => random() < share;

const IDS = ["dev-001", "rev-002", "cece-001", "quiet-one", "nobody", "spx", "ndx", "builders"];
const TEXTS = [
  "",
  " ",
  "a",
  "python",
  "Ping",
  "日本語 🔔 ‮override",
  "../../etc/passwd",
  "'; DROP TABLE messages; --",
  '"unbalanced',
  "* ? [a",
  "\u0000\u0007\u001b[31m",
  "%s%n{{7*7}}$(id)`id`",
  "x".repeat(600),
  "2026-01-31T14:30:00Z",
  "__proto__",
  "constructor",
  "NEAR/5 AND NOT",
];
const GARBAGE: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  1e308,
  "",
  "text",
  [],
  {},
  [[]],
  { toString: 1 },
  [null],
  ["*"],
  "\ud800",
];
/** Waits are short: it is answers that are tried, not patience. */
const SHORT: Record<string, number> = { waitMs: 3, timeoutMs: 3 };

function sample(schema: Schema, name: string, depth = 0): unknown {
  if (chance(0.04) || depth > 4) return pick(GARBAGE);
  if (name in SHORT) return SHORT[name];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return pick(schema.enum);
  if (schema.anyOf) return sample(pick(schema.anyOf), name, depth);
  const type = Array.isArray(schema.type) ? pick(schema.type) : schema.type;
  if (type === "string") {
    if (/json$/i.test(name)) return pick(['{"a":1}', "null", "[1, 2]", "{", '"é"']);
    if (/^(room|rooms)$/.test(name)) return pick(["spx", "ndx", "*", "none"]);
    return chance(0.6) ? pick(IDS) : pick(TEXTS);
  }
  if (type === "number" || type === "integer") return pick([0, 1, 2, 10, 100, 1e6, -5, schema.maximum ?? 7]);
  if (type === "boolean") return chance(0.5);
  if (type === "null") return null;
  if (type === "array")
    return Array.from({ length: Math.floor(random() * 4) }, () => sample(schema.items ?? {}, name, depth + 1));
  if (type === "object") {
    const properties = Object.entries(schema.properties ?? {});
    const made: Record<string, unknown> = {};
    for (const [key, field] of properties) {
      if (schema.required?.includes(key) ? chance(0.97) : chance(0.3)) made[key] = sample(field, key, depth + 1);
    }
    if (properties.length === 0 && chance(0.5)) made[pick(IDS)] = pick(GARBAGE);
    if (chance(0.02)) made[pick(["extra", "__proto__", "from"])] = pick(GARBAGE);
    return made;
  }
  return pick(GARBAGE);
}

interface Sent {
  method: string;
  path: string;
  body: string | undefined;
  headers: Record<string, string>;
}

function send({ method, path, body, headers }: Sent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const out = request(
      { socketPath: join(town.stateFolder, "bosun.sock"), host: "bosun", agent, method, path, headers },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode!, text }));
        response.on("error", reject);
      },
    );
    out.on("error", reject);
    out.end(body);
  });
}

const call = async (op: string, input: unknown): Promise<Record<string, unknown>> => {
  const answered = await send({
    method: "POST",
    path: `/v1/${op}`,
    body: JSON.stringify(input),
    headers: { "content-type": "application/json" },
  });
  if (answered.status !== 200) throw new Error(`${op}: ${answered.status} ${answered.text}`);
  return JSON.parse(answered.text) as Record<string, unknown>;
};

const OPERATIONS = [...CATALOGUE.values()].filter((operation) => !LEFT_OUT.has(operation.name));
const SCHEMAS = new Map(
  OPERATIONS.map((operation) => [
    operation.name,
    z.toJSONSchema(operation.input, { io: "input", unrepresentable: "any" }) as Schema,
  ]),
);
/** Every second call is one of these, so that there is something to find again. */
const WRITES = ["room.post", "message.send", "memory.set", "agent.register"];

function nextCall(): { operation: Operation; input: unknown; sent: Sent } {
  const operation = chance(0.5) ? CATALOGUE.get(pick(WRITES))! : pick(OPERATIONS);
  const input = sample(SCHEMAS.get(operation.name)!, operation.name);
  const headers: Record<string, string> = {};
  if (chance(0.15)) headers["idempotency-key"] = pick(["k1", "k2", `k${Math.floor(random() * 1e6)}`]);
  if (chance(0.1)) headers["bosun-as"] = pick(IDS);
  if (chance(0.02)) headers.authorization = pick(["Bearer nobody", "Basic x", "Bearer"]);
  if (operation.effect === "read" && chance(0.3)) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries((input ?? {}) as object)) {
      for (const each of [value].flat())
        query.append(name, typeof each === "object" ? JSON.stringify(each) : String(each));
    }
    return {
      operation,
      input,
      sent: { method: "GET", path: `/v1/${operation.name}?${query}`, body: undefined, headers },
    };
  }
  headers["content-type"] = chance(0.02) ? pick(["text/plain", "application/xml"]) : "application/json";
  let body = JSON.stringify(input);
  if (chance(0.02)) body = pick(["{", "", "[]", "null", body.slice(0, -1), "\u0000", "1e999"]);
  const path = chance(0.01)
    ? pick(["/v1/", "/v1/none", "/v1/%00", "/..%2f", "/v1/room.post/x"])
    : `/v1/${operation.name}`;
  const method = chance(0.01) ? pick(["PUT", "DELETE", "PATCH"]) : "POST";
  return { operation, input, sent: { method, path, body, headers } };
}

interface Accepted {
  posts: Set<string>;
  messages: Set<string>;
  /** Ids of values, by key. */
  values: Map<string, Set<string>>;
  agents: Set<string>;
}

function note(accepted: Accepted, op: string, answer: Record<string, unknown>): void {
  if (op === "room.post") accepted.posts.add(String(answer.id));
  else if (op === "message.send" || op === "message.reply") accepted.messages.add(String(answer.id));
  else if (op === "memory.set") {
    const key = String(answer.key);
    accepted.values.set(key, (accepted.values.get(key) ?? new Set()).add(String(answer.id)));
  } else if (op === "agent.register") accepted.agents.add((answer.agent as { session_id: string }).session_id);
}

/** What of the accepted writes cannot be found any more. */
async function lost(accepted: Accepted): Promise<string[]> {
  const missing: string[] = [];
  const { lines } = (await call("room.read", { rooms: ["*"], last: 100_000 })) as { lines: { id: string }[] };
  const said = new Set(lines.map((line) => line.id));
  missing.push(...[...accepted.posts].filter((id) => !said.has(id)));
  for (const id of accepted.messages) {
    const shown = (await call("message.show", { id })) as { message: { id: string } };
    if (shown.message.id !== id) missing.push(id);
  }
  for (const [key, ids] of accepted.values) {
    const found = new Set<string>();
    for (let after: number | null = null; ; ) {
      const page = (await call("memory.history", { key, limit: 1000, ...(after !== null && { after }) })) as {
        entries: { id: string }[];
        next: number | null;
      };
      for (const entry of page.entries) found.add(entry.id);
      after = page.next;
      if (after === null) break;
    }
    missing.push(...[...ids].filter((id) => !found.has(id)));
  }
  const registered = new Set<string>();
  for (let after = 0, head = -1; after !== head; ) {
    const page = (await call("event.list", { after })) as { events: { type: string; agent: string }[]; next: number };
    for (const event of page.events) if (event.type === "agent.registered") registered.add(event.agent);
    head = after;
    after = page.next;
  }
  return [...missing, ...[...accepted.agents].filter((id) => !registered.has(id))];
}

test(`${CALLS} calls of every kind over HTTP: none breaks the coordinator, and whatever was accepted is there afterwards`, async () => {
  const accepted: Accepted = { posts: new Set(), messages: new Set(), values: new Map(), agents: new Set() };
  const broken: string[] = [];
  const statuses: Record<number, number> = {};
  const pid = town.coordinatorPid();
  let left = CALLS;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const { operation, input, sent } = nextCall();
        const { status, text } = await send(sent);
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (status >= 500) broken.push(`${operation.name} ${JSON.stringify(input)?.slice(0, 300)}: ${text}`);
        else if (status === 200 && sent.path === `/v1/${operation.name}` && sent.method === "POST")
          note(accepted, operation.name, JSON.parse(text) as Record<string, unknown>);
        else if (status >= 400) expect(JSON.parse(text)).toMatchObject({ status, code: expect.any(String) });
      }
    }),
  );
  expect(broken.slice(0, 10)).toEqual([]);
  expect(statuses[200]).toBeGreaterThan(CALLS / 10);
  expect(town.coordinatorPid()).toBe(pid);
  expect(accepted.posts.size).toBeGreaterThan(100);
  expect(accepted.messages.size).toBeGreaterThan(20);
  expect(accepted.values.size).toBeGreaterThan(3);
  expect(accepted.agents.size).toBeGreaterThan(0);
  expect(await lost(accepted)).toEqual([]);
  expect(await call("audit.verify", {})).toMatchObject({ ok: true });
  expect(await call("log.rebuild", {})).toMatchObject({ equal: true });
}, 120_000);
