import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Connection, openConnection } from "../../src/client/connection.ts";
import type { OperationInput } from "../../src/client/operations.gen.ts";
import { TownUnderTest } from "./town-under-test.ts";

/** Two users, so that there is a viewer's credential: that of their view. */
const FLOOR = `version: 1
about: { purpose: A floor for the tests, author: vela, since: 2026-04-21, because: nobody wrote it down }
rooms: { main: { about: The only room } }
sessions:
  worker: { about: Works, room: main, run: "exec sleep 3600" }
users:
  steve: { role: viewer, view: [ { name: main, panes: [ { feed: main } ] } ] }
`;

let town: TownUnderTest;
let socket: string;
let owner: Connection;
/** The agents `ann` and `bob`, each by its own credential. */
let ann: Connection;
let annsToken: string;
const open: Connection[] = [];

async function dial(token?: string, as?: string): Promise<Connection> {
  const connection = await openConnection(socket, token, as);
  open.push(connection);
  return connection;
}

const tokenOf = ({ tokenFile }: { tokenFile: string }): string => readFileSync(tokenFile, "utf8");

beforeEach(async () => {
  town = new TownUnderTest(FLOOR);
  socket = (await town.json("status")).socket;
  owner = await dial();
  annsToken = tokenOf(await owner.call("agent.register", { id: "ann", name: "Ann", type: "Claude" }));
  await owner.call("agent.register", { id: "bob", name: "Bob", type: "Claude" });
  ann = await dial(annsToken);
});

afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  await town.close();
});

/** Does something that must be refused; gives its code and what the log says about it, having checked that it says nothing else. */
async function refused(attempt: () => Promise<unknown>) {
  const before = (await owner.call("event.list", { last: 1 })).next;
  const code = await attempt().then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );
  // What the coordinator sees of tmux meanwhile is nobody's doing.
  const events = (await logged(owner, { after: before })).filter((event) => event.actor !== "coordinator");
  expect(events.map((event) => event.type)).toEqual(["access.refused"]);
  expect(JSON.stringify(events)).not.toContain("bosun_tok_");
  const { actor, op, code: written, claimed, count } = events[0]!;
  expect([written, count]).toEqual([code, 1]);
  return { code, actor, op, claimed };
}

/** Entries of the log, as anybody sees them. */
async function logged(connection: Connection, which: OperationInput<"event.list">) {
  const { events } = await connection.call<"event.list">("event.list", which);
  return events as Record<string, unknown>[];
}

const MAIL = { to: ["bob"], subject: "s", body: "b" };

test("a token nobody gave out is refused, and written down without it", async () => {
  const thief = await dial("bosun_tok_guessed");
  expect(await refused(() => thief.call("message.send", MAIL))).toEqual({
    code: "REFUSED",
    actor: "unknown",
    op: "message.send",
    claimed: null,
  });
});

test("a token that is no text does not make its bearer the owner", async () => {
  for (const [op, token] of Object.entries({
    "agent.clear": 0,
    "agent.list": false,
    "agent.stats": {},
    "town.status": [],
    "coordinator.stop": "",
  })) {
    const caller = await dial(token as unknown as string);
    expect(await refused(() => caller.call(op, {}))).toMatchObject({ code: "REFUSED", actor: "unknown", op });
  }
});

test("a token of another town is refused", async () => {
  const other = new TownUnderTest();
  try {
    const door = await openConnection((await other.json("status")).socket);
    open.push(door);
    const foreign = await dial(tokenOf(await door.call("agent.register", { id: "ann", name: "Ann", type: "Claude" })));
    expect(await refused(() => foreign.call("agent.ping", {}))).toMatchObject({ code: "REFUSED", actor: "unknown" });
  } finally {
    await other.close();
  }
});

test("a credential of an earlier epoch is refused, on a connection that is open already too", async () => {
  const next = await owner.call("agent.register", { id: "ann", name: "Ann", type: "Claude", takeover: true });
  const stale = { code: "STALE_EPOCH", actor: "agent:ann", claimed: null };
  expect(await refused(() => ann.call("message.send", MAIL))).toEqual({ ...stale, op: "message.send" });
  expect(await refused(async () => (await dial(annsToken)).call("memory.set", { key: "k", value: 1 }))).toEqual({
    ...stale,
    op: "memory.set",
  });
  expect((await (await dial(tokenOf(next))).call("agent.ping", {})).agent.epoch).toBe(2);
});

test("what an agent follows ends when another takes its id", async () => {
  const told: unknown[] = [];
  const stream = await ann.stream("event.list", { follow: true }, (event) => told.push(event));
  await owner.call("agent.register", { id: "ann", name: "Ann", type: "Claude", takeover: true });
  expect(await stream.ended).toContain("this run of ann has ended");
  const before = told.length;
  await owner.call("agent.status", { id: "bob", status: "idle" });
  expect(told.length).toBe(before);
});

test("a credential of an agent that was taken off is refused", async () => {
  await owner.call("agent.unregister", { id: "ann" });
  expect(await refused(() => ann.call("message.send", MAIL))).toMatchObject({
    code: "STALE_EPOCH",
    actor: "agent:ann",
  });
});

test("another's name as `from` is refused", async () => {
  expect(await refused(() => ann.call("message.send", { ...MAIL, from: "bob" }))).toEqual({
    code: "REFUSED",
    actor: "agent:ann",
    op: "message.send",
    claimed: "from bob",
  });
  await ann.call("message.send", { ...MAIL, from: "ann" });
});

test("an agent that says it is human is refused", async () => {
  expect(await refused(() => ann.call("message.send", { ...MAIL, human: true }))).toEqual({
    code: "REFUSED",
    actor: "agent:ann",
    op: "message.send",
    claimed: "human",
  });
});

test("nobody but an admin speaks as another: no agent, no person of the plan, not the coordinator", async () => {
  expect(await refused(async () => (await dial(annsToken, "bob")).call("message.send", MAIL))).toEqual({
    code: "REFUSED",
    actor: "agent:ann",
    op: "message.send",
    claimed: "bob",
  });
  expect(await refused(async () => (await dial(annsToken, "coordinator")).call("agent.clear", {}))).toMatchObject({
    code: "REFUSED",
    claimed: "coordinator",
  });
  expect((await (await dial(annsToken, "ann")).call("agent.ping", {})).agent.session_id).toBe("ann");
});

test("an agent does not ping, unregister, or set the status of another", async () => {
  for (const [op, input] of [
    ["agent.ping", { id: "bob" }],
    ["agent.status", { id: "bob", status: "offline" }],
    ["agent.unregister", { id: "bob" }],
    ["agent.register", { id: "bob", name: "x", type: "x", takeover: true }],
    ["group.join", { group: "g", member: "bob" }],
  ] as const) {
    expect(await refused(() => ann.call(op as string, input))).toMatchObject({
      code: "REFUSED",
      actor: "agent:ann",
      op,
    });
  }
});

test("the key of a request with another body is a conflict; with the same it is the first answer", async () => {
  const first = await ann.call<"message.send">("message.send", MAIL, { key: "k" });
  expect(await refused(() => ann.call("message.send", { ...MAIL, body: "other" }, { key: "k" }))).toMatchObject({
    code: "CONFLICT",
    actor: "agent:ann",
    op: "message.send",
  });
  expect(await ann.call("message.send", MAIL, { key: "k" })).toMatchObject({ id: first.id, duplicate: true });
});

test("a viewer's and an agent's credential do not reach what operators do", async () => {
  await town.ok("up");
  const folder = `${town.stateFolder}/tokens`;
  const file = readdirSync(folder).find((name) => name.startsWith("person_steve"))!;
  const steve = await dial(readFileSync(`${folder}/${file}`, "utf8"));
  for (const op of ["agent.clear", "town.down", "agent.register"]) {
    const input = op === "agent.register" ? { id: "x", name: "x", type: "x" } : {};
    expect(await refused(() => steve.call(op, input))).toMatchObject({ code: "REFUSED", actor: "person:steve", op });
  }
  expect(await refused(() => ann.call("agent.clear", {}))).toMatchObject({ code: "REFUSED", actor: "agent:ann" });
  expect(await refused(() => ann.call("agent.enrol", { agent: "x" }))).toMatchObject({ code: "REFUSED" });
  await steve.call("agent.stats", {});
});

test("a flood of wrong tokens leaves a handful of entries, and their count is right", async () => {
  const thief = await dial("bosun_tok_guessed");
  await Promise.all(
    Array.from({ length: 2_000 }, () =>
      thief.call("agent.list", {}).then(
        () => expect.unreachable(),
        () => {},
      ),
    ),
  );
  await town.ok("stop");
  const { socket: next } = await town.json("status");
  const door = await openConnection(next);
  open.push(door);
  const counts = (await logged(door, { last: 10_000 }))
    .filter((event) => event.type === "access.refused")
    .map((event) => event.count as number);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2_000);
  expect(counts.length).toBeLessThan(20);
});
