import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hubBeacon } from "../protocol/hub.ts";
import { memoryStats } from "../protocol/memory.ts";
import { messageStats } from "../protocol/message.ts";
import { type AgentInfo, type AgentStatus, agentList, agentStats } from "../protocol/registry.ts";
import { Dispatch } from "./dispatch.ts";
import { Figures } from "./figures.ts";
import { type Ledger, openLedger } from "./log/ledger.ts";
import { reportLine } from "./report.ts";
import type { Town } from "./town.ts";

let folder: string;
let ledger: Ledger;
let figures: Figures;
let agents: [string, AgentStatus][];
let nowMs: number;
let dispatch: Dispatch;

const info = (id: string, status: AgentStatus): AgentInfo => ({
  session_id: id,
  agent_name: id.toUpperCase(),
  agent_type: "script",
  status,
  started_at: "2026-01-01T00:00:00.000Z",
  last_ping: "2026-01-01T00:00:00.000Z",
  human_user: null,
  location: null,
  capabilities: [],
  current_task: status === "working" ? "digging" : null,
  metadata: {},
  groups: [],
  epoch: 1,
  lease_s: 300,
  session: null,
  since: "2026-01-01T00:00:10.000Z",
  evidence: "",
  unread: 2,
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bosun-figures-"));
  ledger = openLedger({ folder, projections: [] });
  agents = [];
  nowMs = Date.parse("2026-01-01T12:00:00Z");
  dispatch = new Dispatch();
  dispatch.handle(agentStats, () => ({
    total_sessions: agents.length,
    active_sessions: agents.filter(([, status]) => status !== "offline").length,
    by_status: {},
    by_type: {},
    by_user: {},
  }));
  dispatch.handle(agentList, (input) => ({
    sessions: agents
      .filter(([, status]) => input.status!.includes(status))
      .slice(0, input.limit)
      .map(([id, status]) => info(id, status)),
    total: agents.length,
    active: 0,
    by_status: {},
    next: null,
  }));
  dispatch.handle(messageStats, () => ({
    total_messages: 12,
    by_type: {},
    by_priority: {},
    unread: 4,
    open_requests: 0,
    dead: 0,
  }));
  dispatch.handle(memoryStats, () => ({ total_entries: 7, unique_keys: 5, by_type: {} }));
  const town = {
    cradle: { stateFolder: folder },
    ledger,
    now: () => nowMs,
    log: pino({ level: "silent" }),
    name: { name: "desk", from: "flag" },
  };
  figures = new Figures(dispatch, town as unknown as Town);
});

afterEach(async () => {
  figures.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, "status.json");
const beacon = async () =>
  (await dispatch.call(
    hubBeacon.name,
    {},
    {
      actor: { name: "person:me", id: "me", kind: "person", role: "viewer", session: null, epoch: 0 },
      key: undefined,
      stream: { push: () => true, onDrain: () => {}, onClose: () => {}, end: () => {} },
    },
  )) as { updated_at: string; sessions: { session_id: string; emoji: string }[] };

/** An event that concerns the beacon, or does not. */
const happen = (type: "agent.unregistered" | "coordinator.stopped") =>
  ledger.write({
    actor: "coordinator",
    decide: () => ({
      events: [
        type === "agent.unregistered"
          ? { type, data: { agent: "x", because: "" } }
          : { type, data: { pid: 1, because: "" } },
      ],
      result: null,
    }),
  });

async function seen(what: () => boolean): Promise<void> {
  const untilMs = Date.now() + 1_000;
  while (!what()) {
    if (Date.now() > untilMs) throw new Error("a second has passed");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("S4-79: the beacon file follows within a second, is whole, and is left alone while it says the same", async () => {
  await seen(() => existsSync(file()));
  expect(JSON.parse(readFileSync(file(), "utf8"))).toEqual({
    town: "desk",
    updated_at: "2026-01-01T12:00:00.000Z",
    total_sessions: 0,
    active_sessions: 0,
    collaboration_messages: 12,
    shared_memory_entries: 7,
    unread: 4,
    sessions: [],
  });
  const { ino } = statSync(file());
  nowMs += 60_000;
  await happen("agent.unregistered");
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(statSync(file()).ino).toBe(ino);
  expect((await beacon()).updated_at).toBe("2026-01-01T12:00:00.000Z");
  agents = [["cece-001", "working"]];
  await happen("agent.unregistered");
  await seen(() => JSON.parse(readFileSync(file(), "utf8")).total_sessions === 1);
  expect(JSON.parse(readFileSync(file(), "utf8")).updated_at).toBe("2026-01-01T12:01:00.000Z");
});

test("O4-10: ten sessions at most, the busiest first, each with its sign", async () => {
  agents = [
    ["off", "offline"],
    ["idle", "idle"],
    ["wait", "waiting"],
    ["act", "active"],
    ["work", "working"],
  ];
  expect((await beacon()).sessions.map((each) => `${each.emoji} ${each.session_id}`)).toEqual([
    "⚙️ work",
    "🟢 act",
    "⏳ wait",
    "⏸️ idle",
    "⚪ off",
  ]);
  agents = [...agents, ...Array.from({ length: 8 }, (_, n): [string, AgentStatus] => [`more-${n}`, "idle"])];
  const { sessions } = await beacon();
  expect([sessions.length, sessions[3]!.session_id, sessions.at(-1)!.emoji]).toEqual([10, "idle", "⏸️"]);
});

test("S4-86: a line of the report: percentiles by nearest rank, and the time up ends when somebody went offline", () => {
  const mail = { sent: 1, received: 9, acked: 4, ackDelaysMs: [10, 20, 30, 1_000] };
  const doings = { tasks: { owned: 1, done: 2 }, memory: 3 };
  const at = Date.parse("2026-01-01T00:01:00Z");
  expect(reportLine(info("a", "active"), mail, doings, at)).toEqual({
    session_id: "a",
    status: "active",
    sent: 1,
    received: 9,
    unread: 2,
    acked: 4,
    ack_ms: { p50: 20, p95: 1_000, max: 1_000 },
    tasks: { owned: 1, done: 2 },
    memory: 3,
    up_s: 60,
  });
  expect(reportLine(info("a", "offline"), { ...mail, ackDelaysMs: [] }, doings, at)).toMatchObject({
    ack_ms: null,
    up_s: 10,
  });
});
