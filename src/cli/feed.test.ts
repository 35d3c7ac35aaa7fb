import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openConnection } from "../client/connection.ts";
import { FrameReader } from "../client/frame-reader.ts";
import type { Line } from "../protocol/room.ts";
import { FeedFollower, type FeedWish, readFeed, replayFeed, retryAfterMs } from "./feed.ts";
import type { FeedLook } from "./feed-lines.ts";
import { Output } from "./output.ts";

const JSON_LOOK: FeedLook = { form: "json", roomColumn: false, fields: null, toTerminal: false, style: (text) => text };
const WISH: FeedWish = { rooms: ["spx"], filter: null, after: null, from: null, to: null, last: null };

/** An Output that keeps what it is given. */
class Kept extends Output {
  text = "";
  talk: string[] = [];
  #wake: (() => void)[] = [];

  constructor() {
    super({ json: false, fields: null, plain: false, quiet: false, colour: false });
  }

  override write(text: string): void {
    this.text += text;
    for (const wake of this.#wake.splice(0)) wake();
  }

  override say(text: string): void {
    this.talk.push(text);
    for (const wake of this.#wake.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  get seqs(): number[] {
    return this.text.split("\n").flatMap((line) => (line ? [(JSON.parse(line) as Line).seq] : []));
  }
}

interface Asked {
  id: number;
  op: string;
  in: { after?: Record<string, number>; last?: number; limit?: number; from?: string };
}

/** One room on the wire: stored lines, paging, a live tail, and the power to drop everybody. */
class RoomOnTheWire {
  lines: Line[] = [];
  readonly peers = new Map<Socket, number | null>();
  server: Server | null = null;
  readonly asked: Asked[] = [];
  readonly path: string;
  pageLines = 1000;

  constructor(path: string) {
    this.path = path;
  }

  async open(): Promise<void> {
    this.server = createServer((peer) => {
      this.peers.set(peer, null);
      const reader = new FrameReader((text) => this.#answer(JSON.parse(text) as Asked, peer));
      peer.on("data", (chunk: Buffer) => reader.push(chunk));
      peer.on("error", () => {});
      peer.on("close", () => this.peers.delete(peer));
    });
    await new Promise<void>((resolve) => this.server!.listen(this.path, resolve));
  }

  async close(): Promise<void> {
    for (const peer of this.peers.keys()) peer.destroy();
    await new Promise<void>((resolve) => (this.server ? this.server.close(() => resolve()) : resolve()));
    this.server = null;
  }

  say(count: number): void {
    for (let at = 0; at < count; at++) {
      const seq = this.lines.length + 1;
      const ts = new Date(Date.UTC(2026, 0, 1) + seq * 100).toISOString();
      const said: Line = {
        id: `spx-${seq}`,
        seq,
        room: "spx",
        ts,
        from: "a",
        type: "narrative",
        level: "info",
        msg: `line ${seq}`,
        tags: [],
      };
      this.lines.push(said);
      for (const [peer, id] of this.peers)
        if (id !== null) peer.write(`${JSON.stringify({ id, event: { line: said } })}\n`);
    }
  }

  #answer(request: Asked, peer: Socket): void {
    this.asked.push(request);
    const after = request.in.after?.spx ?? 0;
    const newer = this.lines.filter((each) => each.seq > after);
    if (request.op === "room.read") {
      const { last } = request.in;
      const lines =
        last === undefined ? newer.slice(0, this.pageLines) : newer.slice(newer.length - Math.min(last, newer.length));
      const head = last === undefined ? (lines.at(-1)?.seq ?? after) : this.lines.length;
      const ok = { lines, cursors: { spx: head }, more: last === undefined && newer.length > lines.length, gone: {} };
      peer.write(`${JSON.stringify({ id: request.id, ok })}\n`);
    }
    if (request.op === "room.watch") {
      peer.write(`${JSON.stringify({ id: request.id, ok: { rooms: ["spx"] } })}\n`);
      if (newer.length > 0) peer.write(`${JSON.stringify({ id: request.id, event: { lines: newer } })}\n`);
      this.peers.set(peer, request.id);
    }
  }
}

let folder: string;
let room: RoomOnTheWire;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-feed-"));
  room = new RoomOnTheWire(join(folder, "s.sock"));
  await room.open();
});

afterEach(async () => {
  await room.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a followed feed", () => {
  test("over lost connections and restarts of the coordinator, every line comes once and in order", async () => {
    room.say(30);
    const out = new Kept();
    const follower = new FeedFollower({ ...WISH, last: 5 }, JSON_LOOK, out);
    const first = await openConnection(room.path);
    await follower.backlog(first);
    void follower.follow(first, () => openConnection(room.path)).catch(() => {});
    await out.until(() => out.seqs.length === 5);
    room.say(3);
    await out.until(() => out.seqs.length === 8);
    for (let restart = 0; restart < 3; restart++) {
      await room.close();
      await out.until(() => out.talk.filter((text) => text.startsWith("── stale since ")).length === restart + 1);
      room.say(4);
      await room.open();
      await out.until(() => out.talk.filter((text) => text === "── live again ──").length === restart + 1);
      room.say(1);
      await out.until(() => out.seqs.length === 8 + 5 * (restart + 1));
    }
    expect(out.seqs).toEqual(Array.from({ length: 23 }, (_, at) => 26 + at));
    // What is talk stays off the records.
    expect(out.talk.map((text) => text.replace(/\d\d:\d\d:\d\d/, "T"))).toEqual(
      Array.from({ length: 3 }, () => ["── stale since T: coordinator gone ──", "── live again ──"]).flat(),
    );
  });

  test("opened on an empty room, lines said while the coordinator was away are not lost", async () => {
    const out = new Kept();
    const follower = new FeedFollower({ ...WISH, last: 20 }, JSON_LOOK, out);
    const first = await openConnection(room.path);
    await follower.backlog(first);
    void follower.follow(first, () => openConnection(room.path)).catch(() => {});
    await room.close();
    await out.until(() => out.talk.length === 1);
    room.say(50);
    await room.open();
    await out.until(() => out.seqs.length === 50);
    expect(out.seqs).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
  });

  test("begins although the coordinator is still on its way", async () => {
    await room.close();
    const out = new Kept();
    const follower = new FeedFollower({ ...WISH, last: 2 }, JSON_LOOK, out);
    void follower.follow(null, () => openConnection(room.path)).catch(() => {});
    await out.until(() => out.talk.length === 1);
    room.say(9);
    await room.open();
    await out.until(() => out.seqs.length === 2);
    expect(out.seqs).toEqual([8, 9]);
  });
});

test("a long past is read page by page, whole and in order", async () => {
  room.pageLines = 40;
  room.say(130);
  const seen: number[] = [];
  const connection = await openConnection(room.path);
  const cursors = await readFeed(connection, { ...WISH, after: { spx: 7 } }, (lines) => {
    seen.push(...lines.map((each) => each.seq));
  });
  connection.close();
  expect(seen).toEqual(Array.from({ length: 123 }, (_, at) => at + 8));
  expect(cursors).toEqual({ spx: 130 });
  // 123 lines in pages of 40; a follower of an earlier test may ask once more as it leaves.
  expect(room.asked.length).toBeGreaterThanOrEqual(4);
});

test("a replay keeps the pauses, divided by the speed", async () => {
  room.say(9);
  const connection = await openConnection(room.path);
  const out = new Kept();
  const startedMs = performance.now();
  await replayFeed(connection, WISH, JSON_LOOK, 4, out);
  const tookMs = performance.now() - startedMs;
  connection.close();
  // Eight pauses of 100 ms at four times the speed; a busy machine may take longer, never less.
  expect(tookMs).toBeGreaterThan(190);
  expect(out.seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("retries double up to two seconds, and never come at the same moment for everybody", () => {
  expect([0, 1, 2, 3, 20].map((attempt) => retryAfterMs(attempt, 1))).toEqual([100, 200, 400, 800, 2000]);
  expect(retryAfterMs(20, 0)).toBe(1000);
});
