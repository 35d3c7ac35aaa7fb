import { chmodSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { House } from "./house.ts";
import { WireConnection } from "./wire.ts";

export interface SocketServer {
  path: string;
  close(): Promise<void>;
}

/** Takes over connections that speak HTTP. Each is paused, with what came of it so far still to be read. */
export type TakeHttp = (socket: Socket) => void;

/**
 * The coordinator's door: a Unix socket that only its owner may open. The first bytes decide whether a caller speaks newline
 * JSON or HTTP. The caller of `listen` must hold the town's lock: a leftover socket file is then nobody's and is replaced.
 */
export async function listen(path: string, house: House, http: TakeHttp | null = null): Promise<SocketServer> {
  rmSync(path, { force: true });
  const open = new Set<WireConnection>();
  const undecided = new Set<Socket>();
  const server: Server = createServer((socket) => {
    // A caller that vanishes (EPIPE, ECONNRESET) is an ordinary end; "close" follows and cleans up.
    socket.on("error", () => {});
    undecided.add(socket);
    socket.once("close", () => undecided.delete(socket));
    choose(socket, (speaksHttp) => {
      undecided.delete(socket);
      if (speaksHttp && http) return http(socket);
      const connection = new WireConnection(socket, house);
      open.add(connection);
      socket.once("close", () => open.delete(connection));
      socket.resume();
    });
  });
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
  const inode = statSync(path).ino;
  return {
    path,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of undecided) socket.destroy();
      for (const connection of open) connection.leave();
      // Ours only: a successor may already have put its own socket here.
      if (statSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
      await closed;
    },
  };
}

/** Begins of an HTTP/1 request; PRI is that of HTTP/2, which gets a proper refusal. */
const METHODS = ["GET ", "POST ", "HEAD ", "OPTIONS ", "PUT ", "PATCH ", "DELETE ", "PRI "];

/** True: HTTP; false: something else; null: too short to tell. */
function looksLikeHttp(start: string): boolean | null {
  if (METHODS.some((method) => start.startsWith(method))) return true;
  return METHODS.some((method) => method.startsWith(start)) ? null : false;
}

/** Reads just enough to tell who is there; gives it back unread, and the socket paused. */
function choose(socket: Socket, chosen: (http: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const look = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const http = looksLikeHttp(seen.subarray(0, 8).toString("latin1"));
    if (http === null) return;
    socket.off("data", look);
    socket.pause();
    socket.unshift(seen);
    chosen(http);
  };
  socket.on("data", look);
}
