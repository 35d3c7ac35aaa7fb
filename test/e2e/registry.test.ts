import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Connection, openConnection } from "../../src/client/connection.ts";
import type { OperationInput } from "../../src/client/operations.gen.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
const open: Connection[] = [];

afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  await town.close();
});

const FLOOR = `version: 1
about: { purpose: A floor for the tests, author: vela, since: 2026-04-21, because: nobody wrote it down }
rooms: { main: { about: The only room } }
groups: { desk: [d1, d2] }
sessions:
  desk:
    about: Works
    room: main
    restart: always
    windows:
      - name: main
        panes:
          - { run: "exec sleep 3600", agent: { id: d1, type: Codex, capabilities: [greeks, python], user: steve } }
          - { run: "exec sleep 3600", agent: { id: d2, type: script } }
`;

async function dial(token?: string, as?: string): Promise<Connection> {
  const { socket } = await town.json("status");
  const connection = await openConnection(socket, token, as);
  open.push(connection);
  return connection;
}

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

/** Entries of the log, as anybody sees them. */
async function logged(connection: Connection): Promise<Record<string, unknown>[]> {
  const { events } = await connection.call("event.list", { last: 10_000 });
  return events as Record<string, unknown>[];
}

const tokenOf = ({ tokenFile }: { tokenFile: string }): string => readFileSync(tokenFile, "utf8");

/** Status, epoch and evidence by id. */
async function roll(ann: Connection) {
  const { sessions } = await ann.call("agent.list", { all: true });
  return Object.fromEntries(sessions.map((each) => [each.session_id, each]));
}

test("S4-06, S4-12, S4-13, S4-24: an agent registers, calls with its credential, pings, says what it does, and is counted", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  const registered = await ann.call("agent.register", {
    id: "cece-001",
    name: "Cece",
    type: "Claude",
    user: "Alexa",
    capabilities: ["python", "review"],
  });
  expect(registered.agent).toMatchObject({ session_id: "cece-001", agent_name: "Cece", human_user: "Alexa", epoch: 1 });
  const cece = await dial(tokenOf(registered));
  expect((await cece.call("agent.status", { status: "working", task: "greet" })).agent).toMatchObject({
    status: "working",
    current_task: "greet",
  });
  const pinged = await cece.call("agent.ping", {});
  expect(Date.parse(pinged.agent.last_ping)).toBeGreaterThan(Date.parse(registered.agent.last_ping));
  expect(await code(ann.call("agent.ping", { id: "nobody" }))).toBe("UNKNOWN_AGENT");
  expect(await code(ann.call("agent.status", { id: "cece-001", status: "asleep" as "idle" }))).toBe("USAGE");
  expect(await ann.call("agent.stats", {})).toEqual({
    total_sessions: 1,
    active_sessions: 1,
    by_status: { working: 1 },
    by_type: { Claude: 1 },
    by_user: { Alexa: 1 },
  });
});

test("S4-11, S4-17, S4-22, S4-23, O4-08: agents are found by user, status and capability, taken off, and cleared when offline", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  const some = [
    ["planner", { user: "Alexa", capabilities: ["planning"] }],
    ["dev", { user: "Alexa", capabilities: ["python", "review"] }],
    ["reviewer", { user: "Bo", capabilities: ["review"] }],
  ] as const;
  for (const [id, more] of some) {
    await ann.call("agent.register", {
      id,
      name: id,
      type: "Claude",
      user: more.user,
      capabilities: [...more.capabilities],
    });
  }
  await ann.call("agent.status", { id: "dev", status: "working", task: "build" });
  await ann.call("agent.status", { id: "reviewer", status: "offline" });
  const find = async (input: OperationInput<"agent.list">) =>
    (await ann.call("agent.list", input)).sessions.map((each) => each.session_id);
  expect({
    there: await find({}),
    all: await find({ all: true }),
    user: await find({ user: "Alexa" }),
    working: await find({ status: ["working"] }),
    review: await find({ capability: ["review"], all: true }),
  }).toEqual({
    there: ["dev", "planner"],
    all: ["dev", "planner", "reviewer"],
    user: ["dev", "planner"],
    working: ["dev"],
    review: ["dev", "reviewer"],
  });
  expect(await ann.call("agent.clear", {})).toEqual({ removed: ["reviewer"] });
  expect(await ann.call("agent.unregister", { id: "dev" })).toEqual({ id: "dev", unread: 0 });
  expect(await code(ann.call("agent.show", { id: "dev" }))).toBe("UNKNOWN_AGENT");
  expect(await find({ all: true })).toEqual(["planner"]);
});

test("S4-90: two hundred registrations at once are two hundred agents; twenty of one id are one agent", async () => {
  town = new TownUnderTest();
  const doors = await Promise.all(Array.from({ length: 8 }, () => dial()));
  const ids = Array.from({ length: 200 }, (_, index) => `agent-${index}`);
  await Promise.all(ids.map((id, index) => doors[index % 8]!.call("agent.register", { id, name: id, type: "script" })));
  const same = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      code(doors[index % 8]!.call("agent.register", { id: "one", name: `n${index}`, type: "script" })),
    ),
  );
  expect(same.sort()).toEqual([...Array.from({ length: 19 }, () => "CONFLICT"), "accepted"]);
  const { sessions, total } = await doors[0]!.call("agent.list", { limit: 10_000 });
  expect([sessions.length, total]).toEqual([201, 201]);
  const one = await doors[0]!.call("agent.show", { id: "one" });
  expect(await dial(readFileSync(join(town.stateFolder, "tokens", tokenName("agent_one")), "utf8"))).toBeDefined();
  expect(one.agent.epoch).toBe(1);
});

test("S4-91: a lease of one second of silence ends in offline, by an event; a ping ends that", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  const registered = await ann.call("agent.register", { id: "a", name: "a", type: "script", leaseS: 1 });
  const gone = await until(async () => {
    return (await logged(ann)).find((event) => event.type === "agent.status");
  }, "its silence in the log");
  expect(gone).toMatchObject({
    agent: "a",
    status: "offline",
    because: "no sign of life for 1 s",
    actor: "coordinator",
  });
  const back = await (await dial(tokenOf(registered))).call("agent.ping", {});
  expect([back.was, back.agent.status]).toEqual(["offline", "active"]);
});

test("S4-90: what is known of agents, and when they were seen, outlives the coordinator, by stop and by kill -9", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  const registered = await ann.call("agent.register", { id: "a", name: "a", type: "script", groups: ["crew"] });
  const token = tokenOf(registered);
  const seen = (await (await dial(token)).call("agent.ping", {})).agent.last_ping;
  const first = town.coordinatorPid()!;
  await town.ok("stop");
  await town.ok("start");
  const again = await dial(token);
  const { agent } = await (await dial()).call("agent.show", { id: "a" });
  expect(agent).toMatchObject({ status: "active", groups: ["crew"], last_ping: seen });
  const second = (await again.call("town.status", {})).coordinator.pid;
  expect(second).not.toBe(first);
  process.kill(second, "SIGKILL");
  await until(() => town.coordinatorPid() !== second, "it is gone");
  expect((await (await dial(token)).call("agent.ping", {})).agent.epoch).toBe(1);
});

test("agents of the floor plan are registered with their start, live with their pane, and go with their session", async () => {
  town = new TownUnderTest(FLOOR);
  await town.ok("up");
  const ann = await dial();
  const there = await until(async () => {
    const found = await roll(ann);
    return found.d1?.evidence.startsWith("pane") && found.d2?.evidence.startsWith("pane") ? found : null;
  }, "both panes seen");
  expect(there.d1).toMatchObject({
    agent_type: "Codex",
    capabilities: ["greeks", "python"],
    human_user: "steve",
    session: "desk",
    status: "active",
    epoch: 1,
    groups: ["desk"],
  });
  expect(there.d1!.evidence).toMatch(/^pane %\d+ lives, pid \d+, /);
  const token = readFileSync(join(town.stateFolder, "tokens", tokenName("agent_d1")), "utf8");
  const mine = await dial(token);
  expect((await mine.call("agent.status", { status: "working" })).agent.session_id).toBe("d1");
  expect(await code(ann.call("agent.register", { id: "d1", name: "x", type: "x", takeover: true }))).toBe("CONFLICT");

  const pid = Number(/pid (\d+)/.exec(there.d1!.evidence)![1]);
  process.kill(pid, "SIGKILL");
  const ended = await until(async () => (await roll(ann)).d1?.epoch === 2 && (await roll(ann)).d1, "its next run");
  expect(ended).toMatchObject({ status: "active", session: "desk" });
  expect(await code(mine.call("agent.ping", {}))).toBe("STALE_EPOCH");
  const handed = readFileSync(join(town.stateFolder, "tokens", tokenName("agent_d1")), "utf8");
  expect((await (await dial(handed)).call("agent.ping", {})).agent).toMatchObject({ session_id: "d1", epoch: 2 });
  const events = await logged(ann);
  expect(
    events.filter((event) => event.type === "agent.status" && event.agent === "d1" && event.status === "offline"),
  ).toMatchObject([{ because: expect.stringMatching(/^pane %\d+ ended: /) }]);

  await town.ok("down", "--yes");
  const stopped = await until(async () => {
    const found = await roll(ann);
    return found.d1?.status === "offline" && found.d2?.status === "offline" ? found : null;
  }, "both offline");
  expect([stopped.d1!.evidence, stopped.d2!.epoch]).toEqual(["its session does not run", 1]);
  await town.ok("up");
  await until(async () => {
    const found = await roll(ann);
    return found.d1?.epoch === 3 && found.d2?.epoch === 2 && found.d1.status === "active";
  }, "both back in their next epoch");
});

test("an admin speaks as a registered agent; what it does is the agent's, and counts as its sign of life", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  expect(await code((await dial(undefined, "dev-001")).call("agent.ping", {}))).toBe("UNKNOWN_AGENT");
  await ann.call("agent.register", { id: "dev-001", name: "Dev", type: "Claude" });
  const dev = await dial(undefined, "dev-001");
  const { agent } = await dev.call("agent.status", { status: "working", task: "build" });
  expect(agent).toMatchObject({ session_id: "dev-001", current_task: "build" });
  expect((await logged(ann)).at(-1)).toMatchObject({ type: "agent.status", actor: "agent:dev-001" });
  await dev.call("agent.stats", {});
  expect((await ann.call("agent.show", { id: "dev-001" })).agent.evidence).toMatch(/^a call of person:\S+ as it, /);
});

test("a log of before there were digests is opened, and its keys still count", async () => {
  town = new TownUnderTest();
  const ann = await dial();
  const input = { id: "a", name: "a", type: "script" };
  await ann.call("agent.register", input, { key: "k" });
  await town.ok("stop");
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(join(town.stateFolder, "log.sqlite"));
  db.exec("ALTER TABLE commands DROP COLUMN digest");
  db.close();
  const again = await (await dial()).call<"agent.register">("agent.register", input, { key: "k" });
  expect(again.agent.epoch).toBe(1);
});

/** The file of a credential, without the hash that keeps two ids apart. */
function tokenName(begin: string): string {
  return readdirSync(join(town.stateFolder, "tokens")).find((name) => name.startsWith(`${begin}.`))!;
}
