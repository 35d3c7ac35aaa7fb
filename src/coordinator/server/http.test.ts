import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { CATALOGUE } from "../../protocol/catalogue.ts";
import { BosunError, type ErrorCode } from "../../protocol/error.ts";
import { MAX_FRAME_BYTES } from "../../protocol/frames.ts";
import { agentList } from "../../protocol/registry.ts";
import { roomList, roomPost, roomRead } from "../../protocol/room.ts";
import { eventList } from "../../protocol/session.ts";
import type { Stream } from "../dispatch.ts";
import { HttpDoor } from "./http-door.ts";
import { problemOf } from "./problem.ts";
import { inputFromQuery } from "./query.ts";
import { Doors } from "./server.fixture.ts";
import { listen } from "./socket.ts";

let doors: Doors;
let stream: Stream | null = null;
/** What the last event.list asked for. */
let asked: unknown;

beforeEach(async () => {
  doors = new Doors(async (request, caller) => {
    const listed = await caller.call("room.list", {});
    return Response.json({ who: caller.actor.id, got: await request.text(), listed }, { status: 202 });
  });
  const { dispatch } = doors.house;
  dispatch.handle(roomList, () => ({ rooms: [] }));
  dispatch.handle(roomPost, (input, call) => {
    if (input.msg === "fail") throw new Error("something broke");
    if (input.msg === "busy") throw new BosunError({ code: "OVER_QUOTA", what: "too many", retryAfterMs: 1_500 });
    return { id: `${call.actor.id} ${call.key ?? "-"} ${input.msg}`, seq: 1, ts: "", duplicate: false };
  });
  dispatch.handle(eventList, (input, call) => {
    asked = input;
    stream = call.stream;
    return { events: [], next: 0 };
  });
  await doors.open();
});

afterEach(() => doors.close());

const post = (msg: string, headers: Record<string, string> = {}) => ({ body: { room: "spx", msg }, headers });

test("one socket for both: lines are answered with lines and HTTP with HTTP, also when the first bytes come one by one", async () => {
  const wire = connect(doors.path);
  wire.write('{"id":1,"op":"room.list"}\n');
  expect(String((await once(wire, "data"))[0])).toBe('{"id":1,"ok":{"rooms":[]}}\n');
  wire.destroy();

  const slow = connect(doors.path);
  let got = "";
  slow.on("data", (chunk) => {
    got += chunk;
  });
  for (const letter of "GET /v1/room.list HTTP/1.1\r\nHost: bosun\r\nConnection: close\r\n\r\n") {
    slow.write(letter);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(slow, "close");
  expect(got).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\{"rooms":\[\]\}$/);

  const neither = connect(doors.path);
  neither.write("GETTING STARTED\n");
  expect(String((await once(neither, "data"))[0])).toContain('"USAGE"');
  neither.destroy();
});

test("where HTTP cannot be loaded a client is told what to do, and lines go on", async () => {
  const path = join(doors.folder, "broken");
  const reported: unknown[] = [];
  const broken = new HttpDoor(
    () => Promise.reject(new Error("no such file")),
    (error) => reported.push(error),
  );
  const server = await listen(path, doors.house, (socket) => broken.take(socket));
  const client = connect(path);
  client.write("GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n");
  expect(String((await once(client, "data"))[0])).toMatch(/^HTTP\/1\.1 503 [\s\S]*bosun stop && bosun start/);
  expect(reported).toHaveLength(1);
  const wire = connect(path);
  wire.write('{"id":1,"op":"room.list"}\n');
  expect(String((await once(wire, "data"))[0])).toContain('"ok"');
  wire.destroy();
  client.destroy();
  await broken.close();
  await server.close();
});

test("requests on one connection, sent at once, are all answered in their order", async () => {
  const socket = connect(doors.path);
  let got = "";
  const all = new Promise<void>((resolve) =>
    socket.on("data", (chunk) => {
      got += chunk;
      if (got.split("HTTP/1.1 200").length === 51) resolve();
    }),
  );
  const one = (n: number): string => {
    const body = JSON.stringify({ room: "spx", msg: `m${n}.` });
    return `POST /v1/room.post HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };
  socket.write(Array.from({ length: 50 }, (_, n) => one(n)).join(""));
  await all;
  expect([...got.matchAll(/m(\d+)\./g)].map((match) => Number(match[1]))).toEqual(
    Array.from({ length: 50 }, (_, n) => n),
  );
  socket.destroy();
});

test("a write takes its key and its speaker from headers; answers are JSON, failures say what to do", async () => {
  const headers = { "idempotency-key": "k1", "bosun-as": "dev-001" };
  expect(await doors.ask("/v1/room.post", post("hi", headers))).toMatchObject({
    status: 200,
    json: { id: "dev-001 k1 hi" },
  });
  expect(await doors.ask("/v1/room.post", { body: { room: 1 } })).toMatchObject({
    status: 400,
    headers: { "content-type": "application/problem+json; charset=utf-8" },
    json: { type: "urn:bosun:usage", code: "USAGE", status: 400, fix: expect.any(String) },
  });
  expect(await doors.ask("/v1/room.post", post("busy"))).toMatchObject({
    status: 429,
    headers: { "retry-after": "2" },
  });
  expect(await doors.ask("/v1/room.post", post("fail"))).toMatchObject({ status: 500, json: { code: "FAILED" } });
  expect(await doors.ask("/v1/room.post", { raw: "{" })).toMatchObject({ status: 400 });
  expect(await doors.ask("/v1/room.post")).toMatchObject({ status: 405, headers: { allow: "POST" } });
  expect(await doors.ask("/v1/room.bang", { body: {} })).toMatchObject({ status: 404, json: { code: "NOT_FOUND" } });
  expect(await doors.ask("/elsewhere")).toMatchObject({ status: 404, json: { code: "NOT_FOUND" } });
  expect(await doors.ask("/v1/room.post", { ...post("hi", { "content-type": "text/plain" }) })).toMatchObject({
    status: 415,
  });
  expect(await doors.ask("/v1/room.post", post("x".repeat(MAX_FRAME_BYTES)))).toMatchObject({
    status: 413,
    json: { code: "TOO_LARGE" },
  });
});

test("who may not is 403, who is not known or of an ended run is 401", async () => {
  const as = (token: string, more = {}) => post("hi", { authorization: `Bearer ${token}`, ...more });
  expect((await doors.ask("/v1/room.post", as("good"))).json.id).toBe("deacon - hi");
  expect(await doors.ask("/v1/room.post", as("view"))).toMatchObject({ status: 403, json: { code: "REFUSED" } });
  expect(await doors.ask("/v1/room.post", as("good", { "bosun-as": "boss" }))).toMatchObject({ status: 403 });
  for (const [token, code] of [
    ["old", "STALE_EPOCH"],
    ["nobody's", "REFUSED"],
  ]) {
    expect(await doors.ask("/v1/room.post", as(token!))).toMatchObject({
      status: 401,
      headers: { "www-authenticate": 'Bearer realm="bosun"' },
      json: { code },
    });
  }
  expect((await doors.ask("/v1/room.list", { headers: { authorization: "Basic Zm9v" } })).status).toBe(401);
});

test("on TCP nothing is answered without a token, to another host's name, or to a page that is not on the list", async () => {
  await doors.openTcp(["https://good.example"]);
  const good = { authorization: "Bearer good" };
  expect((await doors.askTcp("/v1/room.list", { headers: good })).status).toBe(200);
  for (const path of ["/v1/room.list", "/openapi.json", "/healthz", "/status.json", "/mcp"]) {
    expect(await doors.askTcp(path), path).toMatchObject({ status: 401, json: { code: "REFUSED" } });
    expect((await doors.askTcp(path, { headers: { authorization: "Bearer wrong" } })).status, path).toBe(401);
    expect((await doors.askTcp(`${path}?token=good`)).status, path).toBe(400);
  }
  for (const nothing of [{ raw: "{" }, { method: "PUT" }]) {
    expect((await doors.askTcp("/v1/room.bang", nothing)).status).toBe(401);
  }
  expect(await doors.askTcp("/v1/room.list?token=good", { headers: good })).toMatchObject({
    status: 400,
    json: { fix: expect.stringContaining("Authorization") },
  });
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "127.0.0.1@evil", "localhost:x"]) {
    expect((await doors.askTcp("/v1/room.list", { headers: { ...good, host } })).status, host).toBe(403);
  }
  for (const host of ["localhost", "LOCALHOST:80", `127.0.0.1:${doors.port}`, "[::1]:1"]) {
    expect((await doors.askTcp("/v1/room.list", { headers: { ...good, host } })).status, host).toBe(200);
  }
  for (const origin of ["https://evil.example", "null", "http://good.example", "https://good.example.evil"]) {
    expect((await doors.askTcp("/v1/room.list", { headers: { ...good, origin } })).status, origin).toBe(403);
  }
  const origin = "https://good.example";
  expect(await doors.askTcp("/v1/room.list", { headers: { ...good, origin } })).toMatchObject({
    status: 200,
    headers: { "access-control-allow-origin": origin },
  });
  expect((await doors.askTcp("/v1/room.list", { method: "OPTIONS", headers: { origin } })).status).toBe(204);
});

test("a WebSocket on TCP needs a token: a header, a subprotocol, or the first frame; never the address", async () => {
  await doors.openTcp();
  const url = `ws://127.0.0.1:${doors.port}/v1/ws`;
  const refused = (address: string, protocols: string[] = [], headers = {}): Promise<number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(address, protocols, { headers });
      socket.on("unexpected-response", (_request, response) => {
        resolve(response.statusCode!);
        socket.terminate();
      });
      socket.on("error", () => {});
    });
  expect(await refused(`${url}?token=good`)).toBe(400);
  expect(await refused(url, ["bosun.v1", "token.wrong"])).toBe(401);
  expect(await refused(url, [], { authorization: "Bearer old" })).toBe(401);
  expect(await refused(url, [], { origin: "https://evil.example" })).toBe(403);
  expect(await refused(url, [], { host: "evil.example" })).toBe(403);
  expect(await refused(`ws://127.0.0.1:${doors.port}/elsewhere`)).toBe(404);

  const first = async (socket: WebSocket, ...frames: unknown[]): Promise<unknown> => {
    if (socket.readyState !== socket.OPEN) await once(socket, "open");
    for (const frame of frames) socket.send(JSON.stringify(frame));
    const [data] = await once(socket, "message");
    return JSON.parse(String(data));
  };
  const list = { id: 1, op: "room.list" };
  const byProtocol = new WebSocket(url, ["bosun.v1", "token.good"]);
  expect(await first(byProtocol, list)).toEqual({ id: 1, ok: { rooms: [] } });
  expect(byProtocol.protocol).toBe("bosun.v1");
  const byFrame = new WebSocket(url);
  expect(await first(byFrame, list)).toMatchObject({ id: 1, error: { code: "REFUSED" } });
  expect(await first(byFrame, { hello: { v: 1, token: "good" } }, list)).toEqual({ id: 1, ok: { rooms: [] } });
  expect(await first(byFrame, { hello: { v: 1, token: 7 } }, list)).toMatchObject({ error: { code: "REFUSED" } });
  byFrame.send(" ".repeat(5_000));
  expect((await once(byFrame, "close"))[0]).toBe(1008);
  expect(await first(byProtocol, { ...list, more: " ".repeat(5_000) })).toMatchObject({ ok: { rooms: [] } });
  byProtocol.terminate();
});

test("a WebSocket speaks the frames of the wire, ends its streams with it, and takes no message over 1 MiB", async () => {
  const socket = new WebSocket(`ws+unix:${doors.path}:/v1/ws`);
  await once(socket, "open");
  expect(socket.extensions).toBe("");
  const frames: unknown[] = [];
  const waiting: (() => void)[] = [];
  socket.on("message", (data) => {
    frames.push(JSON.parse(String(data)));
    waiting.shift()?.();
  });
  const next = async (): Promise<unknown> => {
    if (frames.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return frames.shift();
  };
  socket.send("nonsense");
  expect(await next()).toMatchObject({ id: 0, error: { code: "USAGE" } });
  socket.send(JSON.stringify({ id: 1, op: "room.post", in: { room: "spx", msg: "hi" }, key: "k" }));
  expect(await next()).toMatchObject({ id: 1, ok: { id: "owner k hi" } });
  socket.send(JSON.stringify({ id: 2, op: "event.list", in: { follow: true } }));
  expect(await next()).toMatchObject({ id: 2, ok: { events: [] } });
  let left = 0;
  stream!.onClose(() => left++);
  stream!.push('{"seq":1}');
  expect(await next()).toEqual({ id: 2, event: { seq: 1 } });
  socket.send(JSON.stringify({ id: 2, cancel: true }));
  socket.send(JSON.stringify({ id: 3, op: "room.list" }));
  expect(await next()).toMatchObject({ id: 3 });
  expect(left).toBe(1);
  socket.send(JSON.stringify({ id: 4, op: "event.list", in: { follow: true } }));
  await next();
  const gone = new Promise<void>((resolve) => stream!.onClose(resolve));
  socket.send("x".repeat(MAX_FRAME_BYTES + 1));
  expect((await once(socket, "close"))[0]).toBe(1009);
  await gone;
});

test("Server-Sent Events carry the answer, then events with their place; a client that leaves ends them, and resumes", async () => {
  const open = (lastEventId?: number) => {
    const socket = connect(doors.path);
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk;
    });
    socket.write(
      `GET /v1/event.list?follow=true HTTP/1.1\r\nHost: b\r\nAccept: text/event-stream\r\n${lastEventId === undefined ? "" : `Last-Event-ID: ${lastEventId}\r\n`}\r\n`,
    );
    const until = async (text: string): Promise<string> => {
      while (!got.includes(text)) await once(socket, "data");
      return got;
    };
    return { socket, until };
  };
  const first = open();
  expect(await first.until('event: ok\ndata: {"events":[],"next":0}\n\n')).toContain("text/event-stream");
  expect(asked).toEqual({ follow: true });
  stream!.push('{"seq":41,"type":"x"}');
  await first.until('id: 41\ndata: {"seq":41,"type":"x"}\n\n');
  const gone = new Promise<void>((resolve) => stream!.onClose(resolve));
  first.socket.destroy();
  await gone;
  const second = open(41);
  await second.until("event: ok");
  expect(asked).toEqual({ follow: true, after: 41 });
  stream!.end("the coordinator is stopping");
  await second.until('event: end\ndata: "the coordinator is stopping"\n\n');
  second.socket.destroy();
});

test("without asking for events a streaming operation only answers, and its stream is over", async () => {
  const answered = await doors.ask("/v1/event.list?follow=true&after=3");
  expect(answered).toMatchObject({ status: 200, json: { events: [] } });
  expect(asked).toEqual({ follow: true, after: 3 });
  let closed = false;
  stream!.onClose(() => {
    closed = true;
  });
  expect(closed).toBe(true);
});

test("MCP gets the request as it is, and calls in the name of whoever sent it", async () => {
  const answered = await doors.ask("/mcp", {
    raw: '{"jsonrpc": "2.0"}',
    headers: { authorization: "Bearer good" },
  });
  expect(answered).toMatchObject({
    status: 202,
    json: { who: "deacon", got: '{"jsonrpc": "2.0"}', listed: { rooms: [] } },
  });
  expect((await doors.ask("/mcp", { raw: "{}", headers: { authorization: "Bearer wrong" } })).status).toBe(401);
});

test("a query becomes the input its operation declares", () => {
  const input = (operation: Parameters<typeof inputFromQuery>[0], query: string) =>
    inputFromQuery(operation, new URLSearchParams(query));
  expect(input(agentList, "all=true&status=idle&status=working&capability=c%2B%2B&limit=5&query=1")).toEqual({
    all: true,
    status: ["idle", "working"],
    capability: ["c++"],
    limit: 5,
    query: "1",
  });
  expect(input(roomRead, 'rooms=spx&after={"spx":3}&last=0')).toEqual({ rooms: ["spx"], after: { spx: 3 }, last: 0 });
  expect(input(agentList, "limit=many&all=perhaps&__proto__=1&unknown=x")).toEqual(
    Object.assign(JSON.parse('{"__proto__":"1"}'), { limit: "many", all: "perhaps", unknown: "x" }),
  );
});

test("every code of the catalogue has its status", () => {
  const status = (code: ErrorCode): number => problemOf(new BosunError({ code, what: "" })).status;
  const codes = new Set([...CATALOGUE.values()].flatMap((operation) => operation.errors ?? []));
  expect(Object.fromEntries([...codes].sort().map((code) => [code, status(code)]))).toMatchObject({
    CONFLICT: 409,
    NOT_FOUND: 404,
    OVER_QUOTA: 429,
    REFUSED: 403,
    TIMEOUT: 408,
    TOO_LARGE: 413,
    UNKNOWN_AGENT: 404,
  });
  expect([...codes].map(status).every((each) => each >= 400 && each < 500)).toBe(true);
  expect([status("DISK_FULL"), status("LOG_DAMAGED"), status("UNREACHABLE")]).toEqual([507, 500, 424]);
});

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
  components: { schemas: Record<string, object> };
}

test("openapi.json describes every operation, and each of its references leads somewhere", async () => {
  const { json } = await doors.ask("/openapi.json");
  const document = json as Document;
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths).sort()).toEqual([...CATALOGUE.keys()].map((name) => `/v1/${name}`).sort());
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  const ids = operations.map((operation) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [path, methods] of Object.entries(document.paths)) {
    expect("get" in methods, path).toBe(CATALOGUE.get(path.slice("/v1/".length))!.effect === "read");
  }
  const lost: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, each] of Object.entries(value)) {
      if (key !== "$ref") visit(each);
      else if (!found(document, String(each))) lost.push(String(each));
    }
  };
  visit(document);
  expect(lost).toEqual([]);
  expect(Object.keys(document.components.schemas).filter((name) => !/^[\w.-]+$/.test(name))).toEqual([]);
  expect(document.components.schemas["message.send.in"]).toMatchObject({ required: ["to", "subject", "body"] });
});

function found(document: unknown, reference: string): boolean {
  const words = reference.replace(/^#\//, "").split("/");
  return (
    words.reduce<unknown>((at, word) => (at as Record<string, unknown> | undefined)?.[word], document) !== undefined
  );
}

test("S4-86: metrics tell of the town and of every request by operation, door and outcome", async () => {
  await doors.ask("/v1/room.post", post("hi"));
  await doors.ask("/v1/room.post", post("busy"));
  const wire = connect(doors.path);
  wire.write('{"id":1,"op":"room.list"}\n{"id":2,"op":"made.up"}\n{"id":3,"op":"event.list","in":{"follow":true}}\n');
  for (let got = ""; got.split("\n").length < 4; ) got += (await once(wire, "data"))[0];
  stream!.onClose(() => {});
  const { text, headers } = await doors.ask("/metrics");
  expect(headers["content-type"]).toMatch(/^text\/plain; version=0.0.4/);
  for (const line of [
    'bosun_agents{status="active",town="t"} 2',
    'bosun_messages_total{type="ping",town="t"} 3',
    'bosun_unread_messages{town="t"} 4',
    'bosun_dead_letters{town="t"} 5',
    'bosun_memory_values{type="fact",town="t"} 7',
    'bosun_tmux_sessions{state="running",town="t"} 9',
    'bosun_log_head{town="t"} 10',
    'bosun_log_bytes{town="t"} 11',
    'bosun_requests_total{door="http",operation="room.post",outcome="ok",town="t"} 1',
    'bosun_requests_total{door="http",operation="room.post",outcome="OVER_QUOTA",town="t"} 1',
    'bosun_requests_total{door="wire",operation="unknown",outcome="NOT_FOUND",town="t"} 1',
    'bosun_request_seconds_bucket{le="+Inf",door="http",operation="room.post",town="t"} 2',
    'bosun_request_seconds_count{door="wire",operation="room.list",town="t"} 1',
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(text).toMatch(/^nodejs_eventloop_lag_seconds\{town="t"\} [\d.e-]+$/m);
  wire.destroy();
});
