import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MESSAGE_TYPES, PRIORITIES } from "../../protocol/message.ts";
import { formatSignal } from "../../protocol/signal.ts";
import { Ear } from "../ear.fixture.ts";
import { ANN, agent, Clock, openFloor, planAgent, planOf } from "../registry.fixture.ts";

let folder: string;
let clock: Clock;
let floor: ReturnType<typeof openFloor>;

/** `cece`, `dev` and `rev` by their own credentials. */
const CECE = agent("cece");
const DEV = agent("dev");
const REV = agent("rev");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-mail-"));
  clock = new Clock();
  floor = openFloor(folder, clock);
  await floor.register("cece", { capabilities: ["planning"] });
  await floor.register("dev", { capabilities: ["python", "review"] });
  await floor.register("rev", { capabilities: ["python"] });
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true });
});

const send = (from: typeof CECE, to: string | string[], more: Record<string, unknown> = {}, key?: string) =>
  floor.call(from, "message.send", { to: [to].flat(), subject: "Subject", body: "Body", ...more }, key);

/** Subjects of somebody's inbox, without handing anything over. */
async function subjects(who: typeof CECE, more: Record<string, unknown> = {}): Promise<string[]> {
  const { messages } = await floor.call(who, "message.inbox", { bodies: false, ...more });
  return messages.map((message: { subject: string }) => message.subject);
}

const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

interface Told {
  message: { subject: string; seq: number; body?: string };
}

const watch = (who: typeof CECE, ear: Ear<Told>, input: Record<string, unknown> = {}) =>
  floor.dispatch.enter(() => who, "message.watch", input, { key: undefined, stream: ear });

const heard = async (ear: Ear<Told>, count: number): Promise<string[]> =>
  (await ear.until(count)).map(({ message }) => message.subject);

test("S4-31, S4-32, O4-06: a message is stored with all its fields, its data byte for byte", async () => {
  const dataJson = '{"task_id": "t-1",  "priority":"high", "n": 1.0, "ü": "\\u00fc"}';
  const sent = await send(CECE, "dev", {
    type: "request",
    priority: "important",
    dataJson,
    task: "t-1",
    ack: true,
    ttlS: 60,
  });
  const { messages } = await floor.call(DEV, "message.inbox");
  expect(messages).toEqual([
    {
      id: sent.id,
      seq: sent.seq,
      from: "cece",
      human: false,
      to: "dev",
      type: "request",
      subject: "Subject",
      body: "Body",
      data: { task_id: "t-1", priority: "high", n: 1, ü: "ü" },
      data_json: dataJson,
      priority: "important",
      thread: sent.id,
      in_reply_to: null,
      ts: sent.ts,
      state: "queued",
      outcome: null,
      ack: true,
      redelivered: false,
      expires: new Date(clock.ms + 60_000).toISOString(),
      open: true,
      task: "t-1",
      signal: "❓ cece → dev : [COLLABORATION] Subject",
    },
  ]);
  expect(sent.recipients).toEqual(["dev"]);
});

test("S4-32: any JSON comes back byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), async (dataJson) => {
      const { id } = await send(CECE, "dev", { dataJson });
      const { message } = await floor.call(DEV, "message.show", { id });
      expect(message.data_json).toBe(dataJson);
    }),
    { numRuns: 100 },
  );
});

test("S4-27, S4-33, S4-40: a broadcast goes to everybody there once, not to the sender nor to the absent", async () => {
  await floor.register("gone");
  await floor.call(ANN, "agent.status", { id: "gone", status: "offline" });
  const sent = await send(CECE, "*", { subject: "All hands" });
  expect([sent.recipients, sent.signal]).toEqual([["dev", "rev"], "📡 cece → ALL : [COLLABORATION] All hands"]);
  expect(await Promise.all([CECE, DEV, REV, agent("gone")].map((who) => subjects(who)))).toEqual([
    [],
    ["All hands"],
    ["All hands"],
    [],
  ]);
});

test("S4-28, S4-35: an inbox holds one's own mail and broadcasts, and can be narrowed", async () => {
  await send(CECE, "dev", { subject: "one", type: "request" });
  await send(CECE, "*", { subject: "two" });
  await send(REV, "dev", { subject: "three", priority: "critical" });
  expect(await subjects(DEV)).toEqual(["one", "two", "three"]);
  expect(await subjects(DEV, { type: ["broadcast"] })).toEqual(["two"]);
  expect(await subjects(DEV, { from: "rev" })).toEqual(["three"]);
  expect(await subjects(DEV, { priority: ["critical", "important"] })).toEqual(["three"]);
  expect(await subjects(DEV, { last: 2 })).toEqual(["two", "three"]);
  expect(await subjects(DEV, { open: true })).toEqual(["one"]);
});

test("S4-30, S4-34, S4-39: a reply is a response in the same thread, says Re: once, and closes the request", async () => {
  const request = await send(CECE, "dev", { type: "request", subject: "Review?" });
  expect((await floor.call(ANN, "message.stats")).open_requests).toBe(1);
  const reply = await floor.call(DEV, "message.reply", { to: request.id, body: "Fine", data: { ok: true } });
  expect(reply).toMatchObject({
    thread: request.id,
    recipients: ["cece"],
    signal: "✅ dev → cece : [COLLABORATION] Re: Review?",
  });
  const { messages } = await floor.call(CECE, "message.inbox");
  expect(messages).toMatchObject([
    { type: "response", subject: "Re: Review?", in_reply_to: request.id, data: { ok: true } },
  ]);
  expect((await floor.call(CECE, "message.show", { id: request.id })).message.open).toBe(false);
  expect((await floor.call(ANN, "message.stats")).open_requests).toBe(0);
  const again = await floor.call(CECE, "message.reply", { to: reply.id, body: "Thanks", type: "notification" });
  expect(again.signal).toBe("📢 cece → dev : [COLLABORATION] Re: Review?");
});

test("S4-36: a thread is whole from any message in it; a reply to what does not exist yet is impossible", async () => {
  const first = await send(CECE, ["dev", "rev"], { subject: "a" });
  const second = await floor.call(DEV, "message.reply", { to: first.id, body: "b" });
  const third = await floor.call(REV, "message.reply", { to: first.id, body: "c" });
  const fourth = await floor.call(CECE, "message.reply", { to: third.id, body: "d" });
  for (const id of [first.id, second.id, third.id, fourth.id]) {
    const { thread, messages } = await floor.call(CECE, "message.thread", { id });
    expect([thread, messages.map((each: { id: string }) => each.id)]).toEqual([
      first.id,
      [first.id, second.id, third.id, fourth.id],
    ]);
  }
  expect(await codeOf(floor.call(DEV, "message.reply", { to: "not-yet", body: "x" }))).toBe("NOT_FOUND");
  expect(await codeOf(send(DEV, "rev", { inReplyTo: "not-yet" }))).toBe("NOT_FOUND");
  await floor.register("eve");
  expect(await codeOf(floor.call(agent("eve"), "message.thread", { id: first.id }))).toBe("NOT_FOUND");
  expect(await codeOf(floor.call(agent("eve"), "message.reply", { to: first.id, body: "x" }))).toBe("NOT_FOUND");
});

test("S4-29, S4-37: a ping to one that is there is answered for it, with the time it took; the dead stay silent", async () => {
  const ping = await floor.call(CECE, "message.ping", { to: "dev" });
  expect(ping).toMatchObject({ alive: true, by: "coordinator", signal: "🔔 cece → dev : [COLLABORATION] Ping" });
  expect(ping.rtt_ms).toBeGreaterThanOrEqual(0);
  const { messages } = await floor.call(CECE, "message.inbox");
  expect(messages).toMatchObject([
    { id: ping.pong, from: "dev", type: "response", in_reply_to: ping.id, subject: "Pong" },
  ]);
  expect(await subjects(DEV)).toEqual(["Ping"]);

  clock.pass(301);
  await floor.registry.settle();
  const silent = await floor.call(ANN, "message.ping", { to: "dev" });
  expect(silent).toMatchObject({ alive: false, by: "coordinator", pong: null, rtt_ms: null });
  expect(silent.evidence).toContain("no sign of life");
  expect(await codeOf(floor.call(CECE, "message.ping", { to: "nobody" }))).toBe("UNKNOWN_AGENT");
});

test("S4-37: an agent that follows its mail answers a ping itself; one that follows and does not answer is told of", async () => {
  const ear = new Ear<Told>();
  await watch(DEV, ear);
  const asked = floor.call(CECE, "message.ping", { to: "dev", timeoutMs: 5_000 });
  await heard(ear, 1);
  const [{ messages }] = await Promise.all([floor.call(DEV, "message.inbox", { bodies: false })]);
  expect(await floor.call(REV, "message.pong", { ping: messages[0].id }).catch((error) => error.code)).toBe(
    "NOT_FOUND",
  );
  expect(await floor.call(DEV, "message.pong", { ping: messages[0].id })).toEqual({ accepted: true });
  expect(await floor.call(DEV, "message.pong", { ping: messages[0].id })).toEqual({ accepted: false });
  expect(await asked).toMatchObject({ alive: true, by: "agent", evidence: "it answered itself" });

  const mute = await floor.call(CECE, "message.ping", { to: "dev", timeoutMs: 20 });
  expect(mute).toMatchObject({ alive: true, by: "coordinator" });
  expect(mute.evidence).toContain("did not answer within 20 ms");
  ear.leave();
});

test("S4-37: a message of type ping is answered as well", async () => {
  await send(CECE, "dev", { type: "ping", subject: "Ping" });
  expect(await subjects(CECE)).toEqual(["Pong"]);
});

test("S4-42, S4-43: an offer is accepted once; whoever comes second is told who was first", async () => {
  const offer = await send(CECE, ["dev", "rev"], { type: "task_offer", subject: "Parser", task: "t-1" });
  expect(await floor.call(DEV, "task.list", { offeredTo: "dev", state: ["offered"] })).toMatchObject({
    tasks: [{ task: "t-1", title: "Parser", state: "offered", owner: null, by: "cece", offered_to: ["dev", "rev"] }],
  });
  const [first, second] = await Promise.allSettled([
    send(DEV, "cece", { type: "task_accept", subject: "Mine", inReplyTo: offer.id }),
    send(REV, "cece", { type: "task_accept", subject: "Mine", inReplyTo: offer.id }),
  ]);
  expect(first.status).toBe("fulfilled");
  expect((second as PromiseRejectedResult).reason).toMatchObject({ code: "CONFLICT" });
  expect((second as PromiseRejectedResult).reason.message).toContain("dev accepted it");
  const { task, history } = await floor.call(CECE, "task.show", { task: "t-1" });
  expect(task).toMatchObject({ state: "accepted", owner: "dev", offered_to: [] });
  expect(history.map((step: { what: string; by: string }) => `${step.what} ${step.by}`)).toEqual([
    "offered cece",
    "accepted dev",
  ]);
  expect((await floor.call(DEV, "message.show", { id: offer.id })).message).toMatchObject({
    open: false,
    state: "acked",
    outcome: "accepted",
  });
  expect(await subjects(CECE, { type: ["task_accept"] })).toEqual(["Mine"]);
});

test("S4-43: an acceptance that names no task means the newest that its recipient offers", async () => {
  await send(CECE, "rev", { type: "task_offer", subject: "Old", task: "t-1" });
  clock.pass(1);
  const offer = await send(CECE, "rev", { type: "task_offer", subject: "New", task: "t-2" });
  expect(await codeOf(send(REV, "dev", { type: "task_accept" }))).toBe("NOT_FOUND");
  const accepted = await send(REV, "cece", { type: "task_accept", subject: "On it" });
  expect([accepted.task, accepted.thread]).toEqual(["t-2", offer.id]);
  await send(REV, "cece", { type: "task_accept", task: "t-1" });
  expect((await floor.call(REV, "task.list", { owner: "rev" })).tasks).toHaveLength(2);
});

test("S4-42: an acknowledgement settles an offer too, and whoever offered it hears of it", async () => {
  const offer = await send(CECE, ["dev", "rev"], { type: "task_offer", subject: "Parser" });
  await floor.call(DEV, "message.ack", { ids: [offer.id], outcome: "declined", note: "no time" });
  await floor.call(REV, "message.ack", { ids: [offer.id], outcome: "accepted" });
  expect(await codeOf(floor.call(DEV, "message.ack", { ids: [offer.id], outcome: "accepted" }))).toBe("CONFLICT");
  await floor.call(REV, "message.ack", { ids: [offer.id], outcome: "done", note: "merged" });
  const { history, task } = await floor.call(CECE, "task.show", { task: offer.task });
  expect(history.map((step: { what: string; note: string | null }) => [step.what, step.note])).toEqual([
    ["offered", null],
    ["declined", "no time"],
    ["accepted", null],
    ["done", "merged"],
  ]);
  expect([task.state, task.owner]).toEqual(["done", "rev"]);
  expect(await subjects(CECE)).toEqual(["Declined: Parser", "Accepted: Parser", "Done: Parser"]);
});

test("S4-42: an offer that all have declined is over; only its owner can offer it on", async () => {
  const offer = await send(CECE, ["dev"], { type: "task_offer", subject: "Parser", task: "t-1" });
  expect(await codeOf(send(REV, "cece", { type: "task_accept", task: "t-1" }))).toBe("REFUSED");
  await floor.call(DEV, "message.ack", { ids: [offer.id], outcome: "declined" });
  expect((await floor.call(CECE, "task.show", { task: "t-1" })).task.state).toBe("declined");
  expect(await codeOf(send(REV, "dev", { type: "task_offer", task: "t-1" }))).toBe("CONFLICT");
  await send(CECE, ["rev"], { type: "task_offer", subject: "Parser", task: "t-1" });
  expect((await floor.call(CECE, "task.show", { task: "t-1" })).task).toMatchObject({
    state: "offered",
    offered_to: ["rev"],
  });
});

test("S4-45: a handoff moves a task at once and keeps its history; the old owner cannot hand it on; declined it goes back", async () => {
  const first = await send(CECE, "dev", { type: "handoff", subject: "Deploy", task: "deploy", body: "stage 2 of 3" });
  expect(first.task).toBe("deploy");
  expect(await codeOf(send(CECE, "rev", { type: "handoff", task: "deploy" }))).toBe("CONFLICT");
  const second = await send(DEV, "rev", { type: "handoff", subject: "Deploy", task: "deploy" });
  expect((await floor.call(ANN, "task.show", { task: "deploy" })).task).toMatchObject({
    owner: "rev",
    state: "accepted",
  });
  await floor.call(REV, "message.ack", { ids: [second.id], outcome: "declined", note: "no access" });
  const { task, history } = await floor.call(ANN, "task.show", { task: "deploy" });
  expect([task.owner, history.map((step: { by: string; to: string[] }) => `${step.by}→${step.to}`)]).toEqual([
    "dev",
    ["cece→dev", "dev→rev", "rev→dev"],
  ]);
  expect(await subjects(DEV)).toEqual(["Deploy", "Declined: Deploy"]);
});

test("S4-44: a sync is answered with the state of whom it asks", async () => {
  await floor.call(DEV, "memory.set", { key: "dev/plan", value: { step: 2 }, type: "state" });
  await send(CECE, "dev", { type: "request", subject: "Review?" });
  await send(CECE, "dev", { type: "handoff", subject: "Parser", task: "t-1" });
  const sync = await send(REV, "dev", { type: "sync", subject: "How far are you?" });
  const { messages } = await floor.call(REV, "message.inbox");
  expect(messages).toMatchObject([{ id: sync.answer, from: "dev", type: "response", in_reply_to: sync.id }]);
  expect(messages[0].data).toMatchObject({
    session: { session_id: "dev", status: "active" },
    unread: 3,
    open: [{ subject: "Review?" }],
    tasks: [{ task: "t-1", owner: "dev" }],
    memory: [{ key: "dev/plan", value: { step: 2 } }],
  });
  const again = await send(REV, "dev", { type: "sync" }, "same");
  expect((await send(REV, "dev", { type: "sync" }, "same")).answer).toBe(again.answer);
  expect(await subjects(REV)).toHaveLength(2);
});

test("S4-46: an unknown type is refused, and the nine are named", async () => {
  const refused = await send(CECE, "dev", { type: "shout" }).catch((error: Error) => error.message);
  for (const type of MESSAGE_TYPES) expect(refused).toContain(type);
});

test("O4-04, S4-41: every type has its sign", async () => {
  const signal = (type: string) => formatSignal({ type, from: "a", to: "b", subject: "s" });
  expect(MESSAGE_TYPES.map(signal)).toEqual(
    ["🔔", "❓", "✅", "📡", "📢", "🤝", "👍", "🔄", "🎯"].map((sign) => `${sign} a → b : [COLLABORATION] s`),
  );
  expect(formatSignal({ type: "ping", from: "cece-001", to: "agent-002", subject: "Ping" })).toBe(
    "🔔 cece-001 → agent-002 : [COLLABORATION] Ping",
  );
});

test("S4-78: mail to a capability reaches one that has it: idle before busy, then the least unread, never the sender", async () => {
  await floor.call(ANN, "agent.status", { id: "dev", status: "working" });
  await floor.call(ANN, "agent.status", { id: "rev", status: "idle" });
  const to = async (address: string, from = CECE) => (await send(from, address)).recipients;
  expect(await to("any:python")).toEqual(["rev"]);
  expect(await to("any:python", REV)).toEqual(["dev"]);
  expect(await to("any:python+review")).toEqual(["dev"]);
  expect(await codeOf(send(CECE, "any:cobol"))).toBe("UNKNOWN_AGENT");
  await floor.call(ANN, "agent.status", { id: "dev", status: "idle" });
  const spread = await Promise.all(Array.from({ length: 10 }, () => to("any:python")));
  expect(spread.filter(([who]) => who === "dev").length).toBeGreaterThan(3);
});

test("S4-82: mail to a group reaches who belongs to it at that moment, once each", async () => {
  floor.town.plan = planOf([planAgent("deacon")], { builders: ["dev", "deacon"] });
  await floor.call(REV, "group.join", { group: "builders" });
  expect((await send(CECE, ["@builders", "dev", "rev"])).recipients).toEqual(["deacon", "dev", "rev"]);
  expect((await send(DEV, "builders")).recipients).toEqual(["deacon"]);
  await floor.call(REV, "group.leave", { group: "builders" });
  expect((await send(CECE, "@builders")).recipients).toEqual(["deacon", "dev"]);
  expect(await codeOf(send(CECE, "@nobody"))).toBe("UNKNOWN_AGENT");
});

test("S0-31: what is published on a topic reaches its followers once each", async () => {
  for (const who of [DEV, REV, CECE]) await floor.call(who, "group.join", { group: "deploys", topic: true });
  const sent = await send(CECE, ["#deploys", "#deploys"], { subject: "v2 is out" });
  expect(sent.recipients.sort()).toEqual(["dev", "rev"]);
  expect(await Promise.all([DEV, REV].map((who) => subjects(who)))).toEqual([["v2 is out"], ["v2 is out"]]);
  expect(await codeOf(send(CECE, "#silence"))).toBe("UNKNOWN_AGENT");
  expect((await send(CECE, "#silence", { queue: true })).recipients).toEqual([]);
});

test("S4-83, O4-13, O3-15: unread mail is worked through by priority, order kept inside one, and low mail is not starved", async () => {
  await send(CECE, "dev", { subject: "low", priority: "low" });
  for (let n = 0; n < 24; n++) await send(CECE, "dev", { subject: `c${n}`, priority: "critical" });
  const order: string[] = [];
  for (;;) {
    const { messages } = await floor.call(DEV, "message.inbox", { unread: true, limit: 1 });
    if (messages.length === 0) break;
    order.push(messages[0].subject);
  }
  expect(order.indexOf("low")).toBe(10);
  expect(order.filter((subject) => subject !== "low")).toEqual(Array.from({ length: 24 }, (_, n) => `c${n}`));
  expect(PRIORITIES).toEqual(["critical", "important", "normal", "low"]);
});

test("S4-83: pages of unread mail leave nothing out, handed over or only looked at", async () => {
  for (let n = 0; n < 25; n++) await send(CECE, "dev", { subject: `m${n}`, priority: PRIORITIES[n % 4] });
  const all = async (bodies: boolean): Promise<string[]> => {
    const seen: string[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page: { messages: { subject: string }[]; next: number | null } = await floor.call(DEV, "message.inbox", {
        unread: true,
        bodies,
        after,
        limit: 7,
      });
      seen.push(...page.messages.map((message) => message.subject));
      after = page.next;
    }
    return seen;
  };
  const looked = await all(false);
  const handed = await all(true);
  expect([new Set(looked).size, new Set(handed).size, handed.length]).toEqual([25, 25, 25]);
  expect(handed).toEqual(looked);
});

test("S4-88: mail to somebody unknown is refused with near names, or kept until they come", async () => {
  const refused = await send(CECE, "dew").catch((error: { code: string; message: string }) => error);
  expect(refused).toMatchObject({ code: "UNKNOWN_AGENT" });
  expect((refused as { message: string }).message).toContain("dev");
  expect(await codeOf(send(CECE, "bad name!", { queue: true }))).toBe("UNKNOWN_AGENT");
  await send(CECE, "late", { queue: true, subject: "Welcome" });
  expect(await floor.call(ANN, "message.dead")).toMatchObject({
    messages: [{ reason: "unknown", message: { to: "late" } }],
  });
  await floor.register("late");
  expect(await subjects(agent("late"))).toEqual(["Welcome"]);
  expect((await floor.call(ANN, "message.dead")).messages).toEqual([]);
  expect(await codeOf(send(CECE, "dev", { from: "rev" }))).toBe("REFUSED");
  expect(await codeOf(send(CECE, "elsewhere/dev"))).toBe("UNKNOWN_AGENT");
  expect((await send(CECE, "floor/dev")).recipients).toEqual(["dev"]);
  // A rig that is none is no way to somebody.
  expect(await codeOf(send(CECE, "floor/any-rig/dev"))).toBe("UNKNOWN_AGENT");
});

test("S4-89: queued, notified, presented, acked: only handing over the body to its owner is presented", async () => {
  const { id } = await send(CECE, "dev", { ack: true });
  const state = async () => (await floor.call(ANN, "message.show", { id })).deliveries[0].state;
  const unread = async () => (await floor.call(DEV, "message.inbox", { bodies: false })).unread;
  expect([await unread(), await state()]).toEqual([1, "queued"]);
  const ear = new Ear<Told>();
  await watch(DEV, ear, { after: 0 });
  await heard(ear, 1);
  for (let turn = 0; turn < 100 && (await state()) === "queued"; turn++)
    await new Promise((next) => setTimeout(next, 5));
  expect([await unread(), await state()]).toEqual([1, "notified"]);
  await floor.call(ANN, "message.inbox", { who: "dev" });
  expect(await state()).toBe("notified");
  expect((await floor.call(DEV, "message.inbox", {})).messages).toHaveLength(1);
  expect([await unread(), await state()]).toEqual([0, "presented"]);
  expect(await floor.call(DEV, "message.ack", { ids: [id], outcome: "done", note: "read" })).toEqual({ acked: [id] });
  expect((await floor.call(ANN, "message.show", { id })).deliveries[0]).toMatchObject({
    to: "dev",
    state: "acked",
    outcome: "done",
    note: "read",
  });
  expect(await codeOf(floor.call(REV, "message.ack", { ids: [id] }))).toBe("NOT_FOUND");
  ear.leave();
});

test("S4-89: what an ended run left unacknowledged is given to the next, and said to be", async () => {
  const { id } = await send(CECE, "dev", { ack: true });
  await send(CECE, "dev", { subject: "no ack" });
  await floor.call(DEV, "message.inbox", {});
  await floor.call(ANN, "agent.status", { id: "dev", status: "offline" });
  await floor.register("dev", { takeover: true });
  const next = { ...DEV, epoch: floor.registry.epochOf("dev") };
  expect(next.epoch).toBeGreaterThan(DEV.epoch);
  const { unread, messages } = await floor.call(next, "message.inbox", { unread: true });
  expect(messages).toMatchObject([{ id, redelivered: true }]);
  expect(unread).toBe(0);
  expect((await floor.call(next, "message.inbox", { unread: true })).messages).toEqual([]);
});

test("S4-89: mail past its time is not shown any more and stands among the dead", async () => {
  await send(CECE, "dev", { ttlS: 5 });
  expect(await subjects(DEV)).toEqual(["Subject"]);
  clock.pass(5);
  expect(await subjects(DEV)).toEqual([]);
  expect(await floor.call(ANN, "message.dead")).toMatchObject({ messages: [{ reason: "expired" }] });
  expect((await floor.call(ANN, "message.stats")).dead).toBe(1);
});

test("an unregistered agent's unread mail is dead, and is told of", async () => {
  await send(CECE, "rev");
  expect((await floor.call(ANN, "agent.unregister", { id: "rev" })).unread).toBe(1);
  expect(await floor.call(ANN, "message.dead")).toMatchObject({ messages: [{ reason: "unregistered" }] });
});

test("S4-89: a sender too fast and a mailbox too full are told when to come again", async () => {
  floor.town.plan = { ...planOf([]), limits: { sendsPerMinute: 3, unread: 2, sessions: 10, disk: 0.95 } };
  await send(CECE, "dev");
  await send(CECE, "dev");
  const full = await send(CECE, "dev").catch((error: { body: unknown }) => error.body);
  expect(full).toMatchObject({ code: "OVER_QUOTA", what: "the mailbox of dev is full", retryAfterMs: 60_000 });
  clock.pass(20);
  const fast = await send(CECE, "rev").catch((error: { body: unknown }) => error.body);
  expect(fast).toMatchObject({ code: "OVER_QUOTA", retryAfterMs: 40_000 });
  expect(await send(REV, "*")).toMatchObject({ recipients: ["cece"], skipped: ["dev"] });
  clock.pass(41);
  expect((await send(CECE, "rev")).recipients).toEqual(["rev"]);
});

test("O4-03: ten thousand messages are kept, each once, page by page", async () => {
  await Promise.all(Array.from({ length: 10_000 }, (_, n) => send(CECE, "dev", { subject: `m${n}` })));
  const seen = new Set<string>();
  for (let after: number | null = 0; after !== null; ) {
    const page: { messages: { subject: string }[]; next: number | null } = await floor.call(DEV, "message.inbox", {
      bodies: false,
      after,
      limit: 1000,
    });
    for (const message of page.messages) seen.add(message.subject);
    after = page.next;
  }
  expect([seen.size, (await floor.call(ANN, "message.stats")).total_messages]).toEqual([10_000, 10_000]);
}, 60_000);

test("the same key is one message; the same key for another message is refused", async () => {
  const first = await send(CECE, "dev", {}, "k1");
  const again = await send(CECE, "dev", {}, "k1");
  expect([again.id, again.seq, again.duplicate]).toEqual([first.id, first.seq, true]);
  expect(await codeOf(send(CECE, "dev", { body: "other" }, "k1"))).toBe("CONFLICT");
  expect(await subjects(DEV)).toHaveLength(1);
});

test("a watcher gets what is behind its cursor and what comes, each once and in order, however slow it is", async () => {
  for (let n = 0; n < 450; n++) void send(CECE, "dev", { subject: `m${n}` });
  await send(CECE, "rev", { subject: "not for dev" });
  const ear = new Ear<Told>();
  ear.room = 3;
  await watch(DEV, ear, { after: 0 });
  expect(await heard(ear, 4)).toEqual(["m0", "m1", "m2"]);
  await send(CECE, "dev", { subject: "new" });
  ear.drain(100);
  await heard(ear, 103);
  ear.drain(Number.POSITIVE_INFINITY);
  expect(await heard(ear, 451)).toEqual([...Array.from({ length: 450 }, (_, n) => `m${n}`), "new"]);
  const late = new Ear<Told>();
  await watch(DEV, late, { after: ear.heard.at(-2)!.message.seq });
  expect(await heard(late, 1)).toEqual(["new"]);
  ear.leave();
  late.leave();
});

test("with bodies a watcher is handed its mail; somebody else's watching changes nothing", async () => {
  const own = new Ear<Told>();
  const other = new Ear<Told>();
  const all = new Ear<Told>();
  await watch(ANN, other, { who: "dev", bodies: true });
  await watch(ANN, all, { all: true });
  const { id } = await send(CECE, "dev", {});
  await heard(other, 1);
  await heard(all, 1);
  const state = async () => (await floor.call(ANN, "message.show", { id })).deliveries[0].state;
  expect([await state(), other.heard[0]!.message.body, all.heard[0]!.message.body]).toEqual([
    "queued",
    "Body",
    undefined,
  ]);
  await watch(DEV, own, { after: 0, bodies: true });
  await heard(own, 1);
  for (let turn = 0; turn < 100 && (await state()) !== "presented"; turn++)
    await new Promise((next) => setImmediate(next));
  expect(await state()).toBe("presented");
  expect(await codeOf(watch(DEV, own, { all: true }) as Promise<unknown>)).toBe("REFUSED");
  expect(await codeOf(watch(DEV, own, { who: "rev" }) as Promise<unknown>)).toBe("REFUSED");
  for (const ear of [own, other, all]) ear.leave();
});

test("whoever waits for mail is woken by it, or goes home empty-handed", async () => {
  const waiting = floor.call(DEV, "message.inbox", { unread: true, waitMs: 30_000 });
  await send(CECE, "dev");
  expect((await waiting).messages).toHaveLength(1);
  expect((await floor.call(DEV, "message.inbox", { unread: true, waitMs: 5 })).messages).toEqual([]);
});

test("a message too large is refused; a body is cut only when asked", async () => {
  expect(await codeOf(send(CECE, "dev", { body: "ü".repeat(32_769) }))).toBe("TOO_LARGE");
  expect(await codeOf(send(CECE, "dev", { data: "x".repeat(65_536) }))).toBe("TOO_LARGE");
  await send(CECE, "dev", { body: "x".repeat(100) });
  const { messages } = await floor.call(DEV, "message.inbox", { maxChars: 10 });
  expect(messages[0]).toMatchObject({ body: "x".repeat(10), cut: true });
});

test("S4-76: every message gives one entry with its signal on the event stream; its text only to those it is for", async () => {
  const { shown } = await import("../audit.ts");
  const { id } = await send(CECE, "dev", { body: "secret" });
  const entry = floor.ledger.read(0, 1000).find(({ event }) => event.type === "message.sent" && event.data.id === id)!;
  expect(shown(entry, DEV)).toMatchObject({ signal: "📢 cece → dev : [COLLABORATION] Subject", body: "secret" });
  expect(shown(entry, REV)).toMatchObject({ signal: "📢 cece → dev : [COLLABORATION] Subject", body: null });
});

test("a person may look into a mailbox, an agent only into its own", async () => {
  await send(CECE, "dev");
  expect((await floor.call(ANN, "message.inbox", { who: "dev" })).unread).toBe(1);
  expect(await codeOf(floor.call(REV, "message.inbox", { who: "dev" }))).toBe("REFUSED");
  expect(await codeOf(floor.call(ANN, "message.inbox", { who: "nobody" }))).toBe("UNKNOWN_AGENT");
  expect(await codeOf(floor.call(REV, "message.list", {}))).toBe("REFUSED");
  expect((await floor.call(ANN, "message.list", {})).messages).toMatchObject([{ from: "cece", body: "Body" }]);
});
