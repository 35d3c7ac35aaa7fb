import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { Event, MessageSent, StoredEvent } from "../../protocol/event.ts";
import {
  ackDelays,
  deadCount,
  deadPage,
  deliveriesOf,
  deliveryOf,
  inboxPage,
  mailboxRow,
  mailCounts,
  messageRow,
  messagesProjection,
  takesPart,
  threadOf,
  unreadCounts,
  unreadOf,
  unreadPlaces,
  unreadTotal,
} from "./projection.ts";

function after(...events: Event[]): DatabaseSync {
  const db = new DatabaseSync(":memory:");
  messagesProjection.create(db);
  events.forEach((event, index) => {
    const entry: StoredEvent = { position: index + 1, atMs: (index + 1) * 1000, actor: "agent:a", event, hash: "" };
    messagesProjection.apply(db, entry);
  });
  return db;
}

const ABOUT: Omit<MessageSent, "id" | "to" | "addressed" | "subject"> = {
  thread: "t",
  from: "mayor",
  type: "notification",
  body: "body",
  dataJson: '{"a": 1.0}',
  priority: "normal",
  inReplyTo: null,
  human: false,
  ack: false,
  expiresAtMs: null,
  task: null,
  sentAtMs: null,
};

const mail = (id: string, to: string[], more: Partial<MessageSent> = {}): Event => ({
  type: "message.sent",
  data: { id, to, addressed: to, subject: `about ${id}`, ...ABOUT, ...more },
});
const sent = (id: string, ...to: string[]): Event => mail(id, to);
const presented = (message: string, to: string, epoch = 1): Event => ({
  type: "delivery.presented",
  data: { messages: [message], to, epoch },
});
const notified = (message: string, to: string): Event => ({
  type: "delivery.notified",
  data: { messages: [message], to, route: "watch" },
});
const acked = (message: string, to: string, outcome: "seen" | "declined" = "seen"): Event => ({
  type: "delivery.acked",
  data: { messages: [message], to, outcome, note: null },
});

const READER = { who: "al", epoch: 1, nowMs: 0 };
const states = (db: DatabaseSync, id: string) => deliveriesOf(db, id).map(({ to, state }) => `${to} ${state}`);

test("S4-31, O4-06: a message comes back with all its fields, as it was sent", () => {
  const db = after(mail("m1", ["al"], { addressed: ["@crew"], human: true, ack: true, expiresAtMs: 9e12, task: "t1" }));
  const message = {
    position: 1,
    id: "m1",
    thread: "t",
    from: "mayor",
    human: true,
    type: "notification",
    subject: "about m1",
    body: "body",
    dataJson: '{"a": 1.0}',
    priority: "normal",
    inReplyTo: null,
    addressed: ["@crew"],
    ack: true,
    expiresAtMs: 9e12,
    task: "t1",
    open: null,
    atMs: 1000,
  };
  expect([messageRow(db, "m1"), messageRow(db, "m2"), deliveryOf(db, "m1", "bo")]).toEqual([message, null, null]);
  expect(deliveryOf(db, "m1", "al")).toMatchObject({
    ...message,
    to: "al",
    state: "queued",
    outcome: null,
    note: null,
  });
});

test("each recipient's copy goes its own way, and never back", () => {
  const db = after(
    sent("m1", "al", "bo", "cy", "di", "al"),
    acked("m1", "bo"),
    presented("m1", "al"),
    presented("m1", "bo"),
    notified("m1", "al"),
    notified("m1", "di"),
    acked("m1", "nobody"),
  );
  expect(states(db, "m1")).toEqual(["al presented", "bo acked", "cy queued", "di notified"]);
  expect(["al", "bo", "cy", "di"].map((who) => unreadOf(db, { who, epoch: 1, nowMs: 0 }).unread)).toEqual([0, 0, 1, 1]);
  expect(mailCounts(db, "state")).toEqual({ queued: 1, notified: 1, presented: 1, acked: 1 });
});

test("an inbox is read page by page without gap or repeat", () => {
  const ids = ["m1", "m2", "m3", "m4", "m5"];
  const db = after(...ids.map((id) => sent(id, "al", "bo")), presented("m2", "al"), acked("m4", "al"));
  const pages: string[][] = [];
  for (let from = 0; ; ) {
    const page = inboxPage(db, READER, {}, from, 2);
    if (page.length === 0) break;
    pages.push(page.map(({ id }) => id));
    from = page.at(-1)!.position;
  }
  expect(pages).toEqual([["m1", "m2"], ["m3", "m4"], ["m5"]]);
  expect(unreadPlaces(db, READER, {}, 0, 10)[2]!.map(({ position }) => position)).toEqual([1, 3, 5]);
});

test("S4-89: what waits for an acknowledgement is unread again for the next run, until it is acknowledged", () => {
  const db = after(
    mail("m1", ["al"], { ack: true }),
    sent("m2", "al"),
    presented("m1", "al", 1),
    presented("m2", "al", 1),
  );
  const unreadIn = (epoch: number) => ({
    count: unreadOf(db, { ...READER, epoch }).unread,
    places: unreadPlaces(db, { ...READER, epoch }, {}, 0, 9).flat().length,
  });
  expect([unreadIn(1), unreadIn(2)]).toEqual([
    { count: 0, places: 0 },
    { count: 1, places: 1 },
  ]);
  messagesProjection.apply(db, { position: 9, atMs: 9, actor: "", event: presented("m1", "al", 2), hash: "" });
  expect([unreadIn(2), unreadIn(3)]).toEqual([
    { count: 0, places: 0 },
    { count: 1, places: 1 },
  ]);
  messagesProjection.apply(db, { position: 10, atMs: 10, actor: "", event: acked("m1", "al"), hash: "" });
  expect(unreadIn(3)).toEqual({ count: 0, places: 0 });
});

test("S4-89: mail past its time leaves the inbox and every count of it, and is dead", () => {
  const db = after(mail("m1", ["al", "bo"], { expiresAtMs: 5000 }), sent("m2", "al"), presented("m1", "bo"));
  const at = (nowMs: number) => ({
    inbox: inboxPage(db, { ...READER, nowMs }, {}, 0, 9).map(({ id }) => id),
    unread: unreadOf(db, { ...READER, nowMs }).unread,
    all: [...unreadCounts(db, nowMs)],
    total: unreadTotal(db, nowMs),
    dead: deadPage(db, [], nowMs, 0, 9).rows.map(({ id, to }) => `${id} ${to}`),
    count: deadCount(db, [], nowMs),
  });
  expect(at(4999)).toEqual({ inbox: ["m1", "m2"], unread: 2, all: [["al", 2]], total: 2, dead: [], count: 0 });
  expect(at(5000)).toEqual({ inbox: ["m2"], unread: 1, all: [["al", 1]], total: 1, dead: ["m1 al"], count: 1 });
});

test("dead mail is paged by message, all its recipients together", () => {
  const db = after(sent("m1", "x", "y"), sent("m2", "x"), sent("m3", "al"));
  const first = deadPage(db, ["x", "y"], 0, 0, 1);
  expect([first.rows.map(({ id, to }) => id + to), first.next]).toEqual([["m1x", "m1y"], 1]);
  const second = deadPage(db, ["x", "y"], 0, 1, 1);
  expect([second.rows.map(({ id, to }) => id + to), second.next, deadCount(db, ["x", "y"], 0)]).toEqual([
    ["m2x"],
    null,
    3,
  ]);
});

test("S4-38, S4-39: a request is open until one it was sent to responds", () => {
  const request = mail("m1", ["al"], { type: "request" });
  const response = (from: string, type = "response") =>
    mail(`r-${from}-${type}`, ["mayor"], { from, type, inReplyTo: "m1" });
  const open = (...events: Event[]) => {
    const db = after(request, ...events);
    return [messageRow(db, "m1")!.open, mailCounts(db, "open").request ?? 0];
  };
  expect([open(), open(response("bo")), open(response("al", "notification")), open(response("al"))]).toEqual([
    [true, 1],
    [true, 1],
    [true, 1],
    [false, 0],
  ]);
});

test("S4-42: an offer is open until it is accepted, or all have declined", () => {
  const offer = mail("m1", ["al", "bo"], { type: "task_offer", task: "t1" });
  const open = (...events: Event[]) => messageRow(after(offer, ...events), "m1")!.open;
  const accepted: Event = { type: "task.accepted", data: { task: "t1", by: "al", message: null, note: null } };
  expect([
    open(acked("m1", "al", "declined")),
    open(acked("m1", "al", "declined"), acked("m1", "bo", "declined")),
    open(accepted),
  ]).toEqual([true, false, false]);
});

test("mailboxes and delays are counted as mail moves", () => {
  const db = after(sent("m1", "al"), sent("m2", "al"), presented("m1", "al"), acked("m1", "al"), acked("m2", "al"));
  expect([mailboxRow(db, "al"), mailboxRow(db, "mayor").sent, ackDelays(db, "al")]).toEqual([
    { sent: 0, received: 2, handed: 1, acked: 2 },
    2,
    [3000, 3000],
  ]);
});

test("a thread is known by its name and by its messages, and to those who take part", () => {
  const db = after(sent("m1", "al"));
  expect([threadOf(db, "m1"), threadOf(db, "t"), threadOf(db, "m9")]).toEqual(["t", "t", null]);
  expect(["al", "mayor", "bo"].map((who) => takesPart(db, "t", who))).toEqual([true, true, false]);
});

test("entries of the first kind, with one message each and without addresses, are still understood", () => {
  const { human, ack, expiresAtMs, task, sentAtMs, ...old } = ABOUT;
  const db = after(
    { type: "message.sent", data: { id: "m1", to: ["al"], subject: "s", ...old } } as unknown as Event,
    { type: "delivery.presented", data: { message: "m1", to: "al" } } as unknown as Event,
    { type: "delivery.acked", data: { message: "m1", to: "al" } } as unknown as Event,
  );
  expect(deliveryOf(db, "m1", "al")).toMatchObject({
    addressed: ["al"],
    state: "acked",
    outcome: "seen",
    human: false,
  });
});
