import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BosunError } from "../protocol/error.ts";
import { type Connection, openConnection } from "./connection.ts";
import { FrameReader } from "./frame-reader.ts";

let folder: string;
let path: string;
let server: Server;
const peers: Socket[] = [];

/** The other end of the wire, as far as framing goes: each request is handed to `answer` with a way to write raw bytes. */
async function listen(answer: (request: Record<string, unknown>, peer: Socket) => void): Promise<Connection> {
  server = createServer((peer) => {
    peers.push(peer);
    const reader = new FrameReader((text) => answer(JSON.parse(text) as Record<string, unknown>, peer));
    peer.on("data", (chunk: Buffer) => reader.push(chunk));
    peer.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return openConnection(path, "secret");
}

function failure(promise: Promise<unknown>): Promise<BosunError> {
  return promise.then(
    (value) => {
      throw new Error(`not refused: ${JSON.stringify(value)}`);
    },
    (error: unknown) => {
      if (error instanceof BosunError) return error;
      throw error;
    },
  );
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bosun-client-"));
  path = join(folder, "s.sock");
});

afterEach(() => {
  for (const peer of peers.splice(0)) peer.destroy();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("answers find their callers in whatever order they come", async () => {
  const waiting: Record<string, unknown>[] = [];
  const connection = await listen((request, peer) => {
    if (request.hello) return;
    waiting.push(request);
    if (waiting.length < 3) return;
    for (const { id, op } of waiting.reverse()) peer.write(`${JSON.stringify({ id, ok: { op } })}\n`);
  });
  const answers = await Promise.all(["a.a", "b.b", "c.c"].map((op) => connection.call(op, {})));
  expect(answers).toEqual([{ op: "a.a" }, { op: "b.b" }, { op: "c.c" }]);
  connection.close();
});

test("the credential is the first thing said, the key goes with its request", async () => {
  const heard: unknown[] = [];
  const connection = await listen((request, peer) => {
    heard.push(request);
    if (request.id) peer.write(`${JSON.stringify({ id: request.id, ok: {} })}\n`);
  });
  await connection.call("room.post", { room: "spx", msg: "hi" }, { key: "k1" });
  expect(heard).toEqual([
    { hello: { v: 1, token: "secret" } },
    { id: 1, op: "room.post", in: { room: "spx", msg: "hi" }, key: "k1" },
  ]);
  connection.close();
});

test("text survives being cut inside a character and arriving byte by byte", async () => {
  const text = "gamma 反転 🦀 at 5840";
  const connection = await listen((request, peer) => {
    if (request.hello) return;
    const bytes = Buffer.from(`${JSON.stringify({ id: request.id, ok: { text } })}\n`);
    for (const byte of bytes) peer.write(Buffer.from([byte]));
  });
  expect(await connection.call("room.list", {})).toEqual({ text });
  connection.close();
});

test("an error of the coordinator keeps its code, reason and remedy", async () => {
  const body = { code: "UNKNOWN_ROOM", what: "there is no room spy", why: "did you mean spx?", fix: "bosun rooms" };
  const connection = await listen((request, peer) => {
    if (request.id) peer.write(`${JSON.stringify({ id: request.id, error: body })}\n`);
  });
  const error = await failure(connection.call("room.post", { room: "spy", msg: "x" }));
  expect([error.body, error.exitCode]).toEqual([body, 3]);
  connection.close();
});

test("when the coordinator goes, every open call and stream is told, and later calls fail at once", async () => {
  const connection = await listen((request, peer) => {
    if (request.op === "room.watch") peer.write(`${JSON.stringify({ id: request.id, ok: { rooms: ["spx"] } })}\n`);
    if (request.op === "room.list") peer.destroy();
  });
  const stream = await connection.stream("room.watch", { rooms: ["spx"] }, () => {});
  const errors = await Promise.all([failure(stream.ended), failure(connection.call("room.list", {}))]);
  expect(
    [...errors, await connection.closed, await failure(connection.call("room.list", {}))].map((e) => e.code),
  ).toEqual(["UNREACHABLE", "UNREACHABLE", "UNREACHABLE", "UNREACHABLE"]);
});

test("a token that is no longer good fails the open calls with the coordinator's reason", async () => {
  const connection = await listen((request, peer) => {
    if (request.hello)
      peer.write(`${JSON.stringify({ id: 0, error: { code: "STALE_EPOCH", what: "an older run" } })}\n`);
  });
  expect((await failure(connection.call("room.list", {}))).code).toBe("STALE_EPOCH");
});

test("events of one piece of input are one batch, in order; after cancel none come", async () => {
  const connection = await listen((request, peer) => {
    if (request.cancel)
      peer.write(`${JSON.stringify({ id: request.id, event: "late" })}\n${JSON.stringify({ id: 9, ok: 1 })}\n`);
    if (request.op !== "room.watch") return;
    const frames = [{ ok: {} }, { event: 1 }, { event: 2 }, { event: 3 }];
    peer.write(frames.map((frame) => `${JSON.stringify({ id: request.id, ...frame })}\n`).join(""));
  });
  const seen: unknown[] = [];
  const batch = Promise.withResolvers<void>();
  const stream = await connection.stream("room.watch", { rooms: ["spx"] }, (event) => seen.push(event), {
    onBatchEnd: () => {
      seen.push("batch");
      batch.resolve();
    },
  });
  await batch.promise;
  stream.cancel();
  expect(await stream.ended).toBe("cancelled");
  expect(seen).toEqual([1, 2, 3, "batch"]);
  connection.close();
});

test("progress of a long call comes before its answer", async () => {
  const connection = await listen((request, peer) => {
    if (request.hello) return;
    const frames = [{ event: { done: 1 } }, { event: { done: 2 } }, { ok: { ms: 5 } }];
    peer.write(frames.map((frame) => `${JSON.stringify({ id: request.id, ...frame })}\n`).join(""));
  });
  const progress: unknown[] = [];
  const answer = await connection.call("town.up", {}, { onEvent: (event) => progress.push(event) });
  expect([progress, answer]).toEqual([[{ done: 1 }, { done: 2 }], { ms: 5 }]);
  connection.close();
});

test("a request too large for the wire is refused here, and the connection goes on", async () => {
  const connection = await listen((request, peer) => {
    if (request.id) peer.write(`${JSON.stringify({ id: request.id, ok: "small" })}\n`);
  });
  const large = "é".repeat(600_000);
  expect((await failure(connection.call("room.post", { room: "spx", msg: large }))).code).toBe("TOO_LARGE");
  expect(await connection.call("room.list", {})).toBe("small");
  connection.close();
});

test("a socket where nobody listens is unreachable, with what to type", async () => {
  const error = await failure(openConnection(path));
  expect([error.code, error.exitCode, error.body.fix]).toEqual(["UNREACHABLE", 6, "bosun start"]);
});
