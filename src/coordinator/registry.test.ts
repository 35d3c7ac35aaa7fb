import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Event } from "../protocol/event.ts";
import type { AgentInfo } from "../protocol/registry.ts";
import { ANN, agent, Clock, openFloor, planAgent, planOf, worldOf } from "./registry.fixture.ts";

let folder: string;
let clock: Clock;
let floor: ReturnType<typeof openFloor>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bosun-registry-"));
  clock = new Clock();
  floor = openFloor(folder, clock);
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true, force: true });
});

const ids = (answer: { sessions: AgentInfo[] }): string[] => answer.sessions.map((each) => each.session_id);
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable("it was not refused"),
    (error: { body: { code: string; what: string; why: string; fix: string } }) => error.body,
  );
const token = (answer: unknown): string => readFileSync((answer as { tokenFile: string }).tokenFile, "utf8");

test("S4-06, O4-05: register gives the agent with all its fields, and a file with its credential that only its owner reads", async () => {
  const answer = await floor.call(ANN, "agent.register", {
    id: "cece-001",
    name: "Cece",
    type: "Claude",
    user: "Alexa",
    capabilities: ["python", "review", "planning", "python"],
    location: "box-1:/srv",
    metadata: { model: "m", tries: 3, none: null },
    task: "greet",
  });
  expect(answer).toEqual({
    agent: {
      session_id: "cece-001",
      agent_name: "Cece",
      agent_type: "Claude",
      status: "active",
      started_at: "2026-04-21T10:00:00.000Z",
      last_ping: "2026-04-21T10:00:00.000Z",
      human_user: "Alexa",
      location: "box-1:/srv",
      capabilities: ["python", "review", "planning"],
      current_task: "greet",
      metadata: { model: "m", tries: 3, none: null },
      groups: [],
      epoch: 1,
      lease_s: 300,
      session: null,
      since: "2026-04-21T10:00:00.000Z",
      evidence: "registered by person:ann, just now",
      unread: 0,
    },
    tokenFile: expect.stringContaining("agent_cece-001"),
    socket: join(folder, "socket"),
    returning: false,
  });
  expect(statSync(answer.tokenFile).mode & 0o777).toBe(0o600);
  expect(floor.credentials.identify({ token: token(answer) })).toEqual(agent("cece-001"));
});

test("S4-16: an agent's type is any text", async () => {
  for (const [index, type] of ["Claude", "GPT-4", "a script of mine ✓", "日本"].entries()) {
    await floor.register(`a${index}`, { type });
  }
  const { sessions } = await floor.call(ANN, "agent.list");
  expect(sessions.map((each: AgentInfo) => each.agent_type)).toEqual(["Claude", "GPT-4", "a script of mine ✓", "日本"]);
});

test("S4-07, S4-08, S4-17, S4-22, S4-23: find gives exactly the agents with that user, type, capabilities, status, group or text", async () => {
  await floor.register("a", { user: "Alexa", capabilities: ["python", "review"], groups: ["builders"] });
  await floor.register("b", { user: "Alexa", type: "GPT-4", capabilities: ["python"], task: "Deploy STAGE 2" });
  await floor.register("c", { user: "Bo", capabilities: ["pythonic", "review"], groups: ["builders"] });
  await floor.call(agent("b"), "agent.status", { status: "working" });
  await floor.call(agent("c"), "agent.status", { status: "offline" });
  const find = async (input: unknown) => ids(await floor.call(ANN, "agent.list", input));
  expect({
    user: await find({ user: "Alexa" }),
    type: await find({ type: "GPT-4" }),
    capability: await find({ capability: ["python"] }),
    both: await find({ capability: ["python", "review"] }),
    none: await find({ capability: ["pyth"] }),
    working: await find({ status: ["working"] }),
    either: await find({ status: ["offline", "active"] }),
    group: await find({ group: "@builders" }),
    text: await find({ query: "stage" }),
    together: await find({ user: "Alexa", capability: ["python"], status: ["active"] }),
    there: await find({}),
    all: await find({ all: true }),
  }).toEqual({
    user: ["a", "b"],
    type: ["b"],
    capability: ["a", "b"],
    both: ["a"],
    none: [],
    working: ["b"],
    either: ["a", "c"],
    group: ["a"],
    text: ["b"],
    together: ["a"],
    there: ["a", "b"],
    all: ["a", "b", "c"],
  });
});

test("a list is paged by id without gap or repeat, and its totals are of all", async () => {
  const names = Array.from({ length: 23 }, (_, index) => `n${String(index).padStart(2, "0")}`);
  for (const name of names) await floor.register(name);
  for (const name of names.slice(0, 5)) await floor.call(agent(name), "agent.status", { status: "idle" });
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await floor.call(ANN, "agent.list", { limit: 5, ...(after === undefined ? {} : { after }) });
    expect([page.total, page.active, page.by_status]).toEqual([23, 23, { active: 18, idle: 5 }]);
    seen.push(...ids(page));
    after = page.next ?? undefined;
  } while (after !== undefined);
  expect(seen).toEqual(names);
});

test("S4-24: statistics count all, active, by status, type and user, and forget who went", async () => {
  await floor.register("a", { user: "Alexa" });
  await floor.register("b", { user: "Alexa", type: "GPT-4" });
  await floor.register("c");
  await floor.register("gone", { user: "Zoe", type: "Zed" });
  await floor.call(agent("b"), "agent.status", { status: "waiting" });
  await floor.call(agent("c"), "agent.status", { status: "offline" });
  await floor.call(agent("gone"), "agent.unregister");
  await floor.register("a", { user: "Bo" }, agent("a"));
  expect(await floor.call(ANN, "agent.stats")).toEqual({
    total_sessions: 3,
    active_sessions: 2,
    by_status: { active: 1, offline: 1, waiting: 1 },
    by_type: { Claude: 2, "GPT-4": 1 },
    by_user: { Alexa: 1, Bo: 1 },
  });
  expect(floor.ledger.rebuild()).toMatchObject({ equal: true, differing: [] });
});

test("S4-12: a ping moves last_ping; an unknown id is refused, with names near to it", async () => {
  await floor.register("cece-001");
  clock.pass(60);
  const { agent: pinged, was } = await floor.call(agent("cece-001"), "agent.ping");
  expect([pinged.last_ping, was]).toEqual(["2026-04-21T10:01:00.000Z", "active"]);
  expect(await failure(floor.call(ANN, "agent.ping", { id: "cece-002" }))).toMatchObject({
    code: "UNKNOWN_AGENT",
    why: "near it: cece-001",
  });
});

test("S4-13, S4-14, S4-15, O4-01: every status can be set and is shown, the task with it; another one is refused with the choices", async () => {
  await floor.register("a", { task: "first" });
  const set = (input: unknown) => floor.call(agent("a"), "agent.status", input);
  for (const status of ["working", "idle", "waiting", "active", "offline"]) {
    expect((await set({ status })).agent).toMatchObject({ status, current_task: "first" });
  }
  expect((await set({ status: "working", task: "second" })).agent.current_task).toBe("second");
  expect((await set({ status: "working", task: null })).agent.current_task).toBe(null);
  const refused = await failure(set({ status: "sleeping" }));
  expect(refused.code).toBe("USAGE");
  for (const status of ["active", "idle", "working", "waiting", "offline"]) expect(refused.what).toContain(status);
});

test("saying the same status again writes nothing", async () => {
  await floor.register("a");
  await floor.call(agent("a"), "agent.status", { status: "working", task: "t" });
  const { position } = floor.ledger.head();
  await floor.call(agent("a"), "agent.status", { status: "working", task: "t" });
  await floor.call(agent("a"), "agent.ping");
  expect(floor.ledger.head().position).toBe(position);
});

test("O4-02, S4-91: after 299 s of silence an agent is active, after 301 s offline; a ping or a call brings it back", async () => {
  await floor.register("a");
  await floor.register("b");
  const states = async () =>
    (await floor.call(ANN, "agent.list", { all: true })).sessions.map((each: AgentInfo) => each.status);
  clock.pass(299);
  expect([floor.registry.present(), await states()]).toEqual([
    ["a", "b"],
    ["active", "active"],
  ]);
  clock.pass(2);
  expect([floor.registry.present(), floor.registry.info("a")?.status]).toEqual([[], "offline"]);
  expect(floor.registry.info("a")?.evidence).toBe("no sign of life since 2026-04-21T10:00:00.000Z");
  expect(await states()).toEqual(["offline", "offline"]);
  expect(await floor.call(ANN, "agent.list")).toMatchObject({ sessions: [], total: 2, active: 0 });
  expect(floor.entries("agent.status").map((each) => [each.actor, each.agent, each.status, each.because])).toEqual([
    ["coordinator", "a", "offline", "no sign of life for 300 s"],
    ["coordinator", "b", "offline", "no sign of life for 300 s"],
  ]);
  const back = await floor.call(agent("a"), "agent.ping");
  expect([back.was, back.agent.status]).toEqual(["offline", "active"]);
  await floor.call(agent("b"), "agent.list");
  expect(await states()).toEqual(["active", "active"]);
  clock.pass(301);
  expect(await states()).toEqual(["offline", "offline"]);
});

test("S4-91: the lease is each agent's own", async () => {
  await floor.register("short", { leaseS: 10 });
  await floor.register("long", { leaseS: 1000 });
  clock.pass(11);
  expect(floor.registry.present()).toEqual(["long"]);
  await floor.register("short", { leaseS: 2000 }, agent("short"));
  clock.pass(999);
  expect(floor.registry.present()).toEqual(["short"]);
});

test("any call by an agent's own credential keeps it there", async () => {
  await floor.register("a");
  for (let minute = 0; minute < 10; minute++) {
    clock.pass(60);
    await floor.call(agent("a"), "agent.stats");
  }
  expect(floor.registry.info("a")).toMatchObject({ status: "active", evidence: "its own call, just now" });
});

test("an agent that follows something is there while its connection is, and for a lease after it", async () => {
  await floor.register("a");
  await floor.call(agent("a"), "event.list", { follow: true });
  clock.pass(1000);
  expect(floor.registry.info("a")).toMatchObject({ status: "active", evidence: "it is listening, just now" });
  floor.leave();
  clock.pass(299);
  expect(floor.registry.present()).toEqual(["a"]);
  clock.pass(2);
  expect(floor.registry.present()).toEqual([]);
});

test("streams of a run that has ended end with it", async () => {
  await floor.register("a");
  await floor.call(agent("a"), "event.list", { follow: true });
  await floor.register("a", { task: "other facts" }, agent("a"));
  expect(floor.ended).toEqual([]);
  await floor.register("a", { takeover: true });
  expect(floor.ended).toEqual(["this run of a has ended: its credential does not count any more"]);
});

test("who said that it is offline stays so until it pings", async () => {
  await floor.register("a");
  await floor.call(agent("a"), "agent.status", { status: "offline" });
  await floor.call(agent("a"), "agent.stats");
  expect(floor.registry.info("a")).toMatchObject({ status: "offline", evidence: "agent:a said so" });
  expect((await floor.call(agent("a"), "agent.ping")).agent.status).toBe("active");
});

test("after a restart nobody is offline because the coordinator was away; what was seen is still known", async () => {
  await floor.register("a");
  clock.pass(120);
  await floor.call(agent("a"), "agent.ping");
  await floor.close();
  expect(statSync(join(folder, "town", "presence.json")).mode & 0o777).toBe(0o600);
  clock.pass(10_000);
  floor = openFloor(folder, clock);
  expect(floor.registry.info("a")).toMatchObject({ status: "active", last_ping: "2026-04-21T10:02:00.000Z" });
  clock.pass(299);
  expect(floor.registry.present()).toEqual(["a"]);
  clock.pass(2);
  expect(floor.registry.present()).toEqual([]);
});

test("an agent moved in from elsewhere keeps its own start, and is there only until its lease ends", async () => {
  const { data } = floor.registry.housed(planAgent("old"), "spx", 1) as Extract<Event, { type: "agent.registered" }>;
  const startedAtMs = clock.ms - 5_000_000;
  clock.pass(301);
  await floor.ledger.write({
    actor: "person:ann",
    decide: () => ({
      events: [{ type: "agent.registered", data: { ...data, session: null, startedAtMs } }],
      result: null,
    }),
  });
  expect(floor.registry.info("old")).toMatchObject({
    started_at: new Date(startedAtMs).toISOString(),
    status: "offline",
    epoch: 1,
  });
});

test("S4-90: a live id is refused, naming its holder; offline, its next registration is a new epoch and ends the old credential", async () => {
  const first = await floor.register("a", { name: "Ann's", type: "GPT-4" });
  const body = await failure(floor.register("a"));
  expect(body.code).toBe("CONFLICT");
  expect(body.why).toBe(
    "Ann's (GPT-4) holds it since 2026-04-21T10:00:00.000Z, registered by person:ann, last seen 2026-04-21T10:00:00.000Z",
  );
  expect(body.fix).toContain("bosun register a NAME TYPE --takeover");
  const old = token(first);
  expect(floor.credentials.identify({ token: old }).epoch).toBe(1);
  clock.pass(301);
  const second = (await floor.register("a")) as { returning: boolean; agent: AgentInfo };
  expect([second.returning, second.agent.epoch, second.agent.status]).toEqual([true, 2, "active"]);
  expect(() => floor.credentials.identify({ token: old })).toThrow(/from a run that has ended/);
  expect(floor.credentials.identify({ token: token(second) })).toMatchObject({ id: "a", epoch: 2 });
});

test("S4-90: a refused registration leaves the holder's credential file alone", async () => {
  const first = await floor.register("a");
  await failure(floor.register("a"));
  expect(floor.credentials.identify({ token: token(first) }).id).toBe("a");
});

test("S4-90: by its own credential an agent changes its facts in the same epoch, and keeps what it does not name", async () => {
  await floor.register("a", { user: "Alexa", capabilities: ["python"], leaseS: 60 });
  clock.pass(5);
  const again = await floor.call(agent("a"), "agent.register", { id: "a", name: "New", type: "GPT-4", task: "t" });
  expect(again).toMatchObject({
    returning: false,
    agent: {
      agent_name: "New",
      agent_type: "GPT-4",
      human_user: "Alexa",
      capabilities: ["python"],
      epoch: 1,
      lease_s: 60,
    },
  });
  expect(again.agent.started_at).toBe("2026-04-21T10:00:00.000Z");
  expect(floor.credentials.identify({ token: token(again) }).id).toBe("a");
});

test("a takeover is for people; agents get neither another's id nor its mail", async () => {
  await floor.register("a");
  await floor.register("b");
  expect(await failure(floor.register("a", { takeover: true }, agent("b")))).toMatchObject({ code: "REFUSED" });
  await floor.call(agent("a"), "agent.status", { status: "offline" });
  expect(await failure(floor.register("a", {}, agent("b")))).toMatchObject({ code: "REFUSED" });
  await floor.call(ANN, "agent.unregister", { id: "a" });
  expect(await failure(floor.register("a", {}, agent("b")))).toMatchObject({ code: "REFUSED" });
  expect(await floor.register("a", { takeover: true })).toMatchObject({ returning: true, agent: { epoch: 2 } });
  expect(await floor.register("helper-of-b", {}, agent("b"))).toMatchObject({ agent: { epoch: 1 } });
});

test("agents act for themselves, and for those they registered; operators for all", async () => {
  await floor.register("a");
  await floor.register("b");
  await floor.register("child", {}, agent("b"));
  for (const operation of ["agent.ping", "agent.status", "agent.unregister"]) {
    const input = { id: "a", ...(operation === "agent.status" ? { status: "idle" } : {}) };
    expect(await failure(floor.call(agent("b"), operation, input))).toMatchObject({ code: "REFUSED" });
  }
  await floor.call(agent("b"), "agent.status", { id: "child", status: "idle" });
  await floor.call(ANN, "agent.status", { id: "a", status: "waiting" });
  expect([floor.registry.info("child")?.status, floor.registry.info("a")?.status]).toEqual(["idle", "waiting"]);
});

test("O4-08: unregister ends the credential and keeps the epoch counting; clear takes off the offline ones from outside", async () => {
  const left = await floor.register("a");
  const old = token(left);
  await floor.call(agent("a"), "agent.unregister");
  expect(() => floor.credentials.identify({ token: old })).toThrow(/from a run that has ended/);
  expect([floor.registry.known("a"), floor.registry.info("a"), floor.registry.epochOf("a")]).toEqual([false, null, 1]);
  expect(((await floor.register("a")) as { agent: AgentInfo }).agent.epoch).toBe(2);

  await floor.register("b");
  await floor.register("c");
  await floor.call(agent("b"), "agent.status", { status: "offline" });
  expect(await floor.call(ANN, "agent.clear")).toEqual({ removed: ["b"] });
  expect(ids(await floor.call(ANN, "agent.list", { all: true }))).toEqual(["a", "c"]);
  expect(floor.ledger.rebuild()).toMatchObject({ equal: true, differing: [] });
});

test("S4-11: list leaves the offline out, and shows them with all", async () => {
  await floor.register("a");
  await floor.register("b");
  await floor.call(agent("b"), "agent.status", { status: "offline" });
  expect([ids(await floor.call(ANN, "agent.list")), ids(await floor.call(ANN, "agent.list", { all: true }))]).toEqual([
    ["a"],
    ["a", "b"],
  ]);
});

test("somebody with all the capabilities is found, idle ones first", async () => {
  for (const [id, status] of [
    ["w", "working"],
    ["x", "waiting"],
    ["y", "active"],
    ["z", "idle"],
    ["o", "offline"],
  ] as const) {
    await floor.register(id, { capabilities: ["python", "review"] });
    await floor.call(agent(id), "agent.status", { status });
  }
  await floor.register("half", { capabilities: ["python"] });
  expect(floor.registry.withCapabilities(["python", "review"])).toEqual(["z", "y", "x", "w"]);
});

test("groups of the plan and joined ones are one; a group of nobody is none", async () => {
  floor.town.plan = planOf([planAgent("d1")], { builders: ["d1"] });
  await floor.register("a", { groups: ["builders", "own"] });
  await floor.register("b");
  await floor.call(agent("b"), "group.join", { group: "builders" });
  await floor.call(agent("b"), "group.join", { group: "news", topic: true });
  expect(floor.registry.members("group", "builders")).toEqual(["a", "b", "d1"]);
  expect(floor.registry.members("topic", "news")).toEqual(["b"]);
  expect([floor.registry.members("topic", "builders"), floor.registry.members("group", "nobody")]).toEqual([
    null,
    null,
  ]);
  expect(floor.registry.info("a")?.groups).toEqual(["builders", "own"]);
  expect(await failure(floor.call(ANN, "group.leave", { group: "builders", member: "d1" }))).toMatchObject({
    code: "REFUSED",
  });
  expect(await failure(floor.call(agent("b"), "group.leave", { group: "own" }))).toMatchObject({ code: "NOT_FOUND" });
  expect(await failure(floor.call(agent("b"), "group.join", { group: "g", member: "a" }))).toMatchObject({
    code: "REFUSED",
  });
  expect((await floor.call(agent("b"), "group.leave", { group: "builders" })).members).toEqual(["a", "d1"]);
  expect((await floor.call(ANN, "group.list")).groups).toEqual([
    { group: "builders", kind: "group", members: ["a", "d1"], declared: true },
    { group: "own", kind: "group", members: ["a"], declared: false },
    { group: "news", kind: "topic", members: ["b"], declared: false },
  ]);
  await floor.call(agent("a"), "agent.unregister");
  expect(floor.registry.members("group", "own")).toBe(null);
});

test("an id of the floor plan is nobody else's: not its agents', sessions', users', nor the owner's", async () => {
  floor.town.plan = planOf([planAgent("d1")]);
  for (const id of ["d1", "spx", "steve", "coordinator"]) {
    expect(await failure(floor.register(id, { takeover: true }))).toMatchObject({ code: "CONFLICT" });
  }
  expect(["d1", "steve", "stranger"].map((id) => floor.registry.known(id))).toEqual([true, true, false]);
});

test("an agent of the plan lives as long as the process of its pane; its next start is its next epoch", async () => {
  floor.town.plan = planOf([planAgent("d1", { type: "Codex", capabilities: ["greeks"], user: "steve" })]);
  const look = async (world: Parameters<typeof worldOf>[0]) => {
    floor.town.emit("world", worldOf(world));
    await floor.registry.settle();
    await floor.ledger.write({ actor: "x", decide: () => ({ events: [], result: null }) });
    return floor.registry.info("d1")!;
  };
  expect(await look([{ pid: 4711 }])).toMatchObject({
    agent_type: "Codex",
    capabilities: ["greeks"],
    human_user: "steve",
    session: "spx",
    status: "active",
    epoch: 1,
  });
  clock.pass(1000);
  expect(await look([{ pid: 4711 }])).toMatchObject({
    status: "active",
    evidence: "pane %0 lives, pid 4711, just now",
  });
  expect(await look([{ pid: 4711, dead: true, exit: "exit 7" }])).toMatchObject({
    status: "offline",
    evidence: "pane %0 ended: exit 7",
  });
  const seen = floor.ledger.head().position;
  await look([{ pid: 4711, dead: true, exit: "exit 7" }]);
  expect(floor.ledger.head().position).toBe(seen);
  expect(floor.registry.housed(planAgent("d1"), "spx", 1)).toMatchObject({ data: { epoch: 2, status: "active" } });
  expect(await failure(floor.call(agent("d1"), "agent.unregister"))).toMatchObject({ code: "REFUSED" });
});

test("while tmux cannot be asked, an agent of the plan is not declared offline", async () => {
  floor.town.plan = planOf([planAgent("d1")]);
  floor.town.emit("world", worldOf([{ pid: 1 }]));
  await floor.ledger.write({ actor: "x", decide: () => ({ events: [], result: null }) });
  floor.town.blind = "tmux does not answer";
  clock.pass(1000);
  expect(floor.registry.present()).toEqual(["d1"]);
  floor.town.blind = null;
  floor.town.emit("world", null);
  expect(floor.registry.present()).toEqual([]);
});

test("another plan says other things of a running agent: registered with them, same epoch", async () => {
  floor.town.plan = planOf([planAgent("d1")]);
  floor.town.emit("plan", floor.town.plan);
  floor.town.emit("world", worldOf([{ pid: 1 }]));
  await floor.ledger.write({ actor: "x", decide: () => ({ events: [], result: null }) });
  await floor.call(agent("d1"), "agent.status", { status: "working", task: "t" });
  floor.town.plan = planOf([planAgent("d1", { capabilities: ["new"] })]);
  floor.town.emit("plan", floor.town.plan);
  await floor.ledger.write({ actor: "x", decide: () => ({ events: [], result: null }) });
  expect(floor.registry.info("d1")).toMatchObject({
    capabilities: ["new"],
    epoch: 1,
    status: "working",
    current_task: "t",
  });
});

test("a repeated key registers once; with another request it is a conflict, and is written down", async () => {
  const input = { id: "a", name: "a", type: "Claude" };
  const first = await floor.call(ANN, "agent.register", input, "k1");
  const credential = token(first);
  const again = await floor.call(ANN, "agent.register", { type: "Claude", name: "a", id: "a" }, "k1");
  expect([again.agent.epoch, token(again)]).toEqual([1, credential]);
  expect(await failure(floor.call(ANN, "agent.register", { ...input, id: "b" }, "k1"))).toMatchObject({
    code: "CONFLICT",
  });
  expect(await failure(floor.call(ANN, "agent.unregister", { id: "a" }, "k1"))).toMatchObject({ code: "CONFLICT" });
  expect(floor.registry.known("b")).toBe(false);
  expect(floor.entries("access.refused")).toMatchObject([
    { actor: "person:ann", op: "agent.register", code: "CONFLICT", count: 1 },
    { actor: "person:ann", op: "agent.unregister", code: "CONFLICT", count: 1 },
  ]);
});

test("a flood of refusals is two entries, one with the count", async () => {
  await floor.register("a");
  await floor.register("b");
  for (let round = 0; round < 500; round++) await failure(floor.call(agent("b"), "agent.ping", { id: "a" }));
  await floor.close();
  floor = openFloor(folder, clock);
  const counts = floor.entries("access.refused").map((each) => each.count);
  expect(counts[0]).toBe(1);
  expect(counts.reduce((sum, count) => sum + count)).toBe(500);
  expect(counts.length).toBeLessThan(6);
});
