import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { MAX_FRAME_BYTES } from "../../protocol/frames.ts";
import type { Introduction } from "../credentials.ts";
import { Caller, type Pipe } from "./caller.ts";
import { bearer, checkDoor, headerOf, type Rules, whoIs } from "./gate.ts";
import { HeldStream } from "./held-stream.ts";
import type { House } from "./house.ts";
import { HttpRefusal, problemOf } from "./problem.ts";
import { FULL_BYTES } from "./wire.ts";

/** A caller that does not answer a ping until the next one is gone: its streams end, and it resumes from its cursor. */
const PING_MS = 30_000;

/** Time for the first frame of a caller on TCP that has shown no token yet: a page cannot set headers. */
const HELLO_WITHIN_MS = 10_000;

/** The longest message of a caller on TCP that nobody knows: room for a hello, and little to work on. */
const STRANGER_BYTES = 4_096;

const PROTOCOL = "bosun.v1";

export interface WebSockets {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): void;
}

/** `/v1/ws`: the frames of the wire, one JSON document per message. */
export function openWebSockets(house: House, rulesOf: (socket: Socket) => Rules | null): WebSockets {
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  return {
    upgrade(request, duplex, head) {
      const socket = duplex as Socket;
      const rules = rulesOf(socket);
      admitted(request, house, rules).then(
        (callerFor) =>
          server.handleUpgrade(request, socket, head, (webSocket) =>
            serve(webSocket, socket, callerFor, rules !== null),
          ),
        (thrown: unknown) => refuse(socket, thrown),
      );
    },
    close() {
      for (const client of server.clients) client.close(1001, "the coordinator is stopping");
      setTimeout(() => server.clients.forEach((client) => void client.terminate()), 200).unref();
      server.close();
    },
  };
}

type CallerFor = (pipe: Pipe) => Caller;

/** Looks at where the request came from and at the credential it brings. Rejects with what is wrong. */
async function admitted(request: IncomingMessage, house: House, rules: Rules | null): Promise<CallerFor> {
  checkDoor(request, rules);
  if (request.url!.split("?")[0] !== "/v1/ws") {
    throw new HttpRefusal(404, { code: "NOT_FOUND", what: "WebSockets are at /v1/ws" });
  }
  const offered = (headerOf(request, "sec-websocket-protocol") ?? "").split(",").map((word) => word.trim());
  const token = bearer(request) ?? offered.find((word) => word.startsWith("token."))?.slice("token.".length);
  const shown: Introduction = { token, as: headerOf(request, "bosun-as") };
  if (token !== undefined) {
    const stream = new HeldStream({ event: () => true, end: () => {} }, new Set());
    await house.dispatch.enter(() => whoIs(house, shown, rules), "http.show", {}, { key: undefined, stream });
  }
  const guarded: House = { ...house, identify: (introduction) => whoIs(house, introduction, rules) };
  return (pipe) => new Caller("websocket", guarded, pipe, shown);
}

function serve(webSocket: WebSocket, socket: Socket, callerFor: CallerFor, mustIntroduce: boolean): void {
  const caller = callerFor({
    send(json) {
      if (webSocket.readyState !== webSocket.OPEN) return true;
      webSocket.send(json);
      return webSocket.bufferedAmount < FULL_BYTES;
    },
  });
  let answered = true;
  const pings = setInterval(() => {
    if (!answered) return webSocket.terminate();
    answered = false;
    webSocket.ping();
  }, PING_MS);
  const hello = setTimeout(() => {
    if (mustIntroduce && !caller.known) webSocket.close(1008, "no hello with a good token came");
  }, HELLO_WITHIN_MS);
  webSocket.on("pong", () => {
    answered = true;
  });
  webSocket.on("message", (data, isBinary) => {
    if (isBinary) webSocket.close(1003, "send text");
    else if (mustIntroduce && sizeOf(data) > STRANGER_BYTES && !caller.known) webSocket.close(1008, "say hello first");
    else caller.receive(String(data));
  });
  socket.on("drain", () => caller.drained());
  // Broken frames and vanished callers are ordinary ends; "close" follows.
  webSocket.on("error", () => {});
  webSocket.on("close", () => {
    clearInterval(pings);
    clearTimeout(hello);
    caller.left();
  });
}

function sizeOf(data: RawData): number {
  return Array.isArray(data) ? data.reduce((sum, part) => sum + part.length, 0) : data.byteLength;
}

function refuse(socket: Socket, thrown: unknown): void {
  const { status, headers, body } = problemOf(thrown);
  const text = JSON.stringify(body);
  const lines = Object.entries({
    ...headers,
    "content-type": "application/problem+json; charset=utf-8",
    "content-length": String(Buffer.byteLength(text)),
    connection: "close",
  }).map(([name, value]) => `${name}: ${value}`);
  socket.end(
    `HTTP/1.1 ${status} ${status === 401 ? "Unauthorized" : "Refused"}\r\n${lines.join("\r\n")}\r\n\r\n${text}`,
  );
}
