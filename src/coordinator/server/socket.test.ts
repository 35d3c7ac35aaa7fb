import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BosunError } from "../../protocol/error.ts";
import { MAX_FRAME_BYTES } from "../../protocol/frames.ts";
import { roomList, roomPost, roomWatch } from "../../protocol/room.ts";
import type { Introduction } from "../credentials.ts";
import { type Actor, Dispatch, type Stream } from "../dispatch.ts";
import { listen, type SocketServer } from "./socket.ts";
import { Traffic } from "./traffic.ts";

let folder: string;
let server: SocketServer;
let stream: Stream | null;
const sockets: Socket[] = [];

const identify = ({ token }: Introduction): Actor => {
  if (token === "old") throw new BosunError({ code: "STALE_EPOCH", what: "an ended run" });
  return {
    name: `agent:${token ?? "me"}`,
    id: token ?? "me",
    kind: "agent",
    role: token === "viewer" ? "viewer" : "agent",
    session: null,
    epoch: 0,
  };
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-socket-"));
  const dispatch = new Dispatch();
  dispatch.handle(roomList, () => ({ rooms: [] }));
  dispatch.handle(roomPost, (input, call) => ({
    id: `${input.room}-1 from ${call.actor.id}`,
    seq: input.msg?.length ?? 0,
    ts: "",
    duplicate: false,
  }));
  dispatch.handle(roomWatch, (_input, call) => {
    stream = call.stream;
    call.stream.push('{"early":true}');
    return { rooms: [] };
  });
  server = await listen(join(folder, "s"), { dispatch, identify, traffic: new Traffic() });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

function dial(): {
  send: (frame: unknown) => void;
  raw: (text: string | Buffer) => void;
  // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the answer itself
  next: () => Promise<any>;
  socket: Socket;
} {
  const socket = connect(server.path);
  sockets.push(socket);
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let held = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const parts = (held + chunk).split("\n");
    held = parts.pop()!;
    for (const part of parts) (waiting.shift() ?? ((line: string) => lines.push(line)))(part);
  });
  return {
    socket,
    raw: (text) => socket.write(text),
    send: (frame) => socket.write(`${JSON.stringify(frame)}\n`),
    next: () =>
      new Promise((resolve) =>
        lines.length > 0 ? resolve(JSON.parse(lines.shift()!)) : waiting.push((line) => resolve(JSON.parse(line))),
      ),
  };
}

test("the door is its owner's alone, and a leftover socket file does not keep it shut", async () => {
  expect(statSync(server.path).mode & 0o777).toBe(0o600);
  await server.close();
  writeFileSync(server.path, "left over");
  server = await listen(server.path, { dispatch: new Dispatch(), identify, traffic: new Traffic() });
  expect(statSync(server.path).isSocket()).toBe(true);
});

test("who calls comes from the credential; a `from` in the request is refused", async () => {
  const caller = dial();
  caller.send({ hello: { v: 1, token: "deacon" } });
  caller.send({ id: 1, op: "room.post", in: { room: "spx", msg: "hi" } });
  expect((await caller.next()).ok.id).toBe("spx-1 from deacon");
  caller.send({ id: 2, op: "room.post", in: { room: "spx", msg: "hi", from: "overseer" } });
  expect((await caller.next()).error).toMatchObject({ code: "USAGE", what: expect.stringMatching(/from/) });
});

test("a viewer's words, an ended run's words, another version and an unknown operation are refused, each by its name", async () => {
  const ask = async (hello: unknown, request: unknown) => {
    const caller = dial();
    caller.send({ hello });
    caller.send(request);
    return (await caller.next()).error.code;
  };
  const post = { id: 1, op: "room.post", in: { room: "spx", msg: "hi" } };
  expect(await ask({ v: 1, token: "viewer" }, post)).toBe("REFUSED");
  expect(await ask({ v: 1, token: "old" }, post)).toBe("STALE_EPOCH");
  expect(await ask({ v: 9 }, post)).toBe("USAGE");
  expect(await ask({ v: 1 }, { id: 1, op: "room.delete" })).toBe("NOT_FOUND");
});

test("events wait for the answer, and end with the caller", async () => {
  const caller = dial();
  caller.send({ id: 3, op: "room.watch", in: { rooms: ["*"] } });
  expect(await caller.next()).toEqual({ id: 3, ok: { rooms: [] } });
  expect(await caller.next()).toEqual({ id: 3, event: { early: true } });
  const closed = new Promise<void>((resolve) => stream!.onClose(resolve));
  caller.send({ id: 3, cancel: true });
  await closed;
});

test("a line too long is refused, and the connection goes on", async () => {
  const caller = dial();
  caller.raw(`{"id":7,"op":"room.post","in":{"room":"spx","msg":"${"x".repeat(MAX_FRAME_BYTES)}"}}\n`);
  expect(await caller.next()).toMatchObject({ id: 7, error: { code: "TOO_LARGE" } });
  caller.send({ id: 8, op: "room.list" });
  expect(await caller.next()).toMatchObject({ id: 8, ok: { rooms: [] } });
});

test("whatever bytes arrive, the next good request is answered", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.constantFrom("{}", '{"id":1}', '{"id":"x"}', "[]", "null", '{"id":1,"op":5}', "\u0000"),
        ),
        { maxLength: 8 },
      ),
      fc.integer({ min: 1, max: 9 }),
      async (lines, cut) => {
        const caller = dial();
        const bytes = Buffer.from(
          `${lines.map((line) => line.replaceAll("\n", " ")).join("\n")}\n${JSON.stringify({ id: 4242, op: "room.list", in: {} })}\n`,
        );
        for (let at = 0; at < bytes.length; at += cut * 50) caller.raw(bytes.subarray(at, at + cut * 50));
        for (;;) {
          const answer = await caller.next();
          if (answer.id === 4242) {
            expect(answer).toEqual({ id: 4242, ok: { rooms: [] } });
            break;
          }
        }
        caller.socket.destroy();
      },
    ),
    { numRuns: 60 },
  );
});

test("a caller that does not read is told apart from one that does: pushing says when to stop", async () => {
  const slow = dial();
  slow.send({ id: 1, op: "room.watch", in: { rooms: ["*"] } });
  await slow.next();
  slow.socket.pause();
  let taken = 0;
  while (stream!.push(JSON.stringify({ n: taken, text: "x".repeat(1_000) })) && taken < 20_000) taken++;
  expect(taken).toBeLessThan(20_000);
  const drained = new Promise<void>((resolve) => stream!.onDrain(resolve));
  slow.socket.resume();
  await drained;
  expect(stream!.push('{"again":true}')).toBe(true);
});
