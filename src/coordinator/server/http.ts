import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import fastify from "fastify";
import { MAX_FRAME_BYTES } from "../../protocol/frames.ts";
import type { FaceParts, HttpFace } from "./face.ts";
import type { Rules } from "./gate.ts";
import { HttpRefusal, problemOf } from "./problem.ts";
import { addRoutes, type RulesOf } from "./routes.ts";
import { openWebSockets } from "./websocket.ts";

/** Longer than the pause between two requests of somebody who works with it, shorter than proxies keep idle connections. */
const KEEP_ALIVE_MS = 72_000;

/** As for callers of the wire. */
const LEAVE_MS = 200;

/** Opens the HTTP face of a coordinator; it serves what is given to it with `take`, and TCP after `listen`. */
export async function openHttp(parts: FaceParts): Promise<HttpFace> {
  const rules = new WeakMap<Socket, Rules>();
  const rulesOf: RulesOf = (socket) => rules.get(socket) ?? null;
  let handler: RequestListener = () => {};
  const app = fastify({
    bodyLimit: MAX_FRAME_BYTES,
    exposeHeadRoutes: false,
    serverFactory: (own) => {
      handler = own;
      return createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, own);
    },
    clientErrorHandler: (_error, socket) => refuseBytes(socket),
  });
  addRoutes(app, parts, rulesOf);
  await app.ready();

  const sockets = openWebSockets(parts.house, rulesOf);
  app.server.on("upgrade", sockets.upgrade);
  const taken = new Set<Socket>();
  let tcp: { server: Server; sockets: Set<Socket> } | null = null;

  const unlisten = async (): Promise<void> => {
    if (!tcp) return;
    const { server, sockets: open } = tcp;
    tcp = null;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) leave(socket);
    await closed;
  };
  return {
    take(socket) {
      keep(taken, socket);
      app.server.emit("connection", socket);
      process.nextTick(() => socket.resume());
    },
    async listen(host, port, given) {
      const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, handler);
      const open = new Set<Socket>();
      server.on("connection", (socket) => {
        rules.set(socket, given);
        keep(open, socket);
      });
      server.on("upgrade", sockets.upgrade);
      server.on("clientError", (_error, socket) => refuseBytes(socket as Socket));
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, resolve);
      });
      tcp = { server, sockets: open };
      return (server.address() as AddressInfo).port;
    },
    unlisten,
    async close() {
      sockets.close();
      await unlisten();
      for (const socket of taken) leave(socket);
      await app.close();
    },
  };
}

function keep(open: Set<Socket>, socket: Socket): void {
  open.add(socket);
  socket.once("close", () => open.delete(socket));
}

/** What is written still goes out; who does not read it is not waited for. */
function leave(socket: Socket): void {
  socket.destroySoon();
  setTimeout(() => socket.destroy(), LEAVE_MS).unref();
}

/** Bytes that are no HTTP, or a header that is too large. */
function refuseBytes(socket: Socket): void {
  if (!socket.writable) return;
  const body = JSON.stringify(problemOf(new HttpRefusal(400, { code: "USAGE", what: "this is no HTTP/1.1" })).body);
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
