import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { Event, StoredEvent } from "../../protocol/event.ts";
import {
  askRow,
  deliveriesOf,
  deliveryOf,
  inbox,
  messageRow,
  messagesProjection,
  openAsks,
  unreadCount,
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

const sent = (id: string, ...to: string[]): Event => ({
  type: "message.sent",
  data: {
    id,
    thread: "t",
    from: "mayor",
    to,
    type: "note",
    subject: `about ${id}`,
    body: "body",
    dataJson: '{"a": 1.0}',
    priority: "normal",
    inReplyTo: null,
  },
});
const presented = (message: string, to: string): Event => ({ type: "delivery.presented", data: { message, to } });
const acked = (message: string, to: string): Event => ({ type: "delivery.acked", data: { message, to } });

test("a message comes back as it was sent", () => {
  const db = after(sent("m1", "al"));
  const message = {
    position: 1,
    id: "m1",
    thread: "t",
    from: "mayor",
    type: "note",
    subject: "about m1",
    body: "body",
    dataJson: '{"a": 1.0}',
    priority: "normal",
    inReplyTo: null,
    atMs: 1000,
  };
  expect([messageRow(db, "m1"), messageRow(db, "m2"), deliveryOf(db, "m1", "bo")]).toEqual([message, null, null]);
  expect(deliveryOf(db, "m1", "al")).toEqual({
    ...message,
    to: "al",
    state: "queued",
    presentedAtMs: null,
    ackedAtMs: null,
  });
});

test("each recipient's copy goes its own way, and never back", () => {
  const db = after(
    sent("m1", "al", "bo", "cy", "al"),
    acked("m1", "bo"),
    presented("m1", "al"),
    presented("m1", "bo"),
    acked("m1", "nobody"),
  );
  expect(deliveriesOf(db, "m1")).toEqual([
    { to: "al", state: "presented" },
    { to: "bo", state: "acked" },
    { to: "cy", state: "queued" },
  ]);
  expect(["al", "bo", "cy"].map((who) => unreadCount(db, who))).toEqual([0, 0, 1]);
});

test("an inbox is read page by page without gap or repeat, and can leave out what was handed over", () => {
  const ids = ["m1", "m2", "m3", "m4", "m5"];
  const db = after(...ids.map((id) => sent(id, "al", "bo")), presented("m2", "al"), acked("m4", "al"));
  const pages: string[][] = [];
  for (let from: number | null = 0; from !== null; ) {
    const page = inbox(db, "al", { after: from, limit: 2 });
    pages.push(page.messages.map(({ id }) => id));
    from = page.next;
  }
  expect(pages).toEqual([["m1", "m2"], ["m3", "m4"], ["m5"]]);
  const unread = inbox(db, "al", { unread: true });
  expect([unread.messages.map(({ id }) => id), unread.next, unread.unreadCount]).toEqual([["m1", "m3", "m5"], null, 3]);
});

test("a question is open until it is answered or given up, and only the first end counts", () => {
  const asked = (ask: string): Event => ({
    type: "ask.asked",
    data: { ask, from: "steve", agent: "gamma", text: "how much?", route: "socket" },
  });
  const db = after(
    asked("q1"),
    asked("q2"),
    asked("q3"),
    { type: "ask.answered", data: { ask: "q1", agent: "gamma", text: "42" } },
    { type: "ask.failed", data: { ask: "q2", agent: "gamma", because: "timeout" } },
    { type: "ask.answered", data: { ask: "q2", agent: "gamma", text: "late" } },
  );
  const question = { from: "steve", agent: "gamma", text: "how much?", route: "socket", answer: null, because: null };
  const open = { ...question, id: "q3", state: "asked", askedAtMs: 3000, endedAtMs: null };
  expect(["q1", "q2", "q3"].map((id) => askRow(db, id))).toEqual([
    { ...question, id: "q1", state: "answered", answer: "42", askedAtMs: 1000, endedAtMs: 4000 },
    { ...question, id: "q2", state: "failed", because: "timeout", askedAtMs: 2000, endedAtMs: 5000 },
    open,
  ]);
  expect(openAsks(db, "gamma")).toEqual([open]);
});
