import { chmodSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { BosunError, toErrorBody } from "../../protocol/error.ts";
import { MAX_FRAME_BYTES, WIRE_VERSION } from "../../protocol/frames.ts";
import type { Introduction } from "../credentials.ts";
import type { Actor, Dispatch, Stream } from "../dispatch.ts";

/**
 * A caller that does not read holds at most this much of ours; beyond it streams stop pushing and catch up later. 1 MiB is
 * some 5,000 lines: a screen's worth of every room, far from what 300 stuck viewers would cost a machine.
 */
const FULL_BYTES = 1_048_576;

export interface SocketServer {
  path: string;
  connections(): number;
  close(): Promise<void>;
}

/**
 * The coordinator's door: newline JSON on a Unix socket that only its owner may open. The caller must hold the town's lock:
 * a leftover socket file is then nobody's and is replaced.
 */
export async function listen(
  path: string,
  dispatch: Dispatch,
  identify: (introduction: Introduction) => Actor,
): Promise<SocketServer> {
  rmSync(path, { force: true });
  const open = new Set<Connection>();
  const server: Server = createServer((socket) => {
    const connection = new Connection(socket, dispatch, identify);
    open.add(connection);
    socket.once("close", () => open.delete(connection));
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
    connections: () => open.size,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of open) connection.leave();
      // Ours only: a successor may already have put its own socket here.
      if (statSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
      await closed;
    },
  };
}

/** One caller. Requests run side by side; their answers go out in the order they are ready. */
class Connection {
  readonly #socket: Socket;
  readonly #dispatch: Dispatch;
  readonly #identify: (introduction: Introduction) => Actor;
  #introduction: Introduction | BosunError = {};
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #skipping = false;
  readonly #streams = new Map<number, () => void>();
  readonly #drains = new Set<() => void>();

  constructor(socket: Socket, dispatch: Dispatch, identify: (introduction: Introduction) => Actor) {
    this.#socket = socket;
    this.#dispatch = dispatch;
    this.#identify = identify;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("drain", () => {
      for (const listener of this.#drains) listener();
    });
    // A caller that vanishes (EPIPE, ECONNRESET) is an ordinary end; "close" follows and cleans up.
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const close of this.#streams.values()) close();
      this.#streams.clear();
    });
  }

  /** Says goodbye: what is written still goes out. */
  leave(): void {
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 200).unref();
  }

  #receive(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#hold(chunk.subarray(start, end));
      start = end + 1;
      const line = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
      const skip = this.#skipping;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#skipping = false;
      if (!skip) this.#line(line);
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
  }

  /** Keeps part of a line; past the limit the rest of it is read and thrown away, and the caller is told. */
  #hold(part: Buffer): void {
    if (this.#skipping) return;
    this.#pendingBytes += part.length;
    if (this.#pendingBytes <= MAX_FRAME_BYTES) {
      this.#pending.push(part);
      return;
    }
    const head = Buffer.concat([...this.#pending, part])
      .subarray(0, 64)
      .toString("latin1");
    this.#pending = [];
    this.#skipping = true;
    this.#fail(
      Number(/"id":\s*(\d+)/.exec(head)?.[1] ?? 0),
      new BosunError({
        code: "TOO_LARGE",
        what: "the request is larger than one line may be",
        why: `the limit is ${MAX_FRAME_BYTES} bytes`,
        fix: "send it in parts, or put it in a file and send the path",
      }),
    );
  }

  #line(line: Buffer): void {
    if (line.length === 0) return;
    let frame: Record<string, unknown>;
    try {
      frame = JSON.parse(line.toString("utf8")) as Record<string, unknown>;
      if (typeof frame !== "object" || frame === null) throw new Error("not an object");
    } catch {
      this.#fail(
        0,
        usage(
          "a line is not a JSON object",
          'send one JSON document per line, for example {"id":1,"op":"town.status"}',
        ),
      );
      return;
    }
    if ("hello" in frame) {
      this.#hello(frame.hello);
      return;
    }
    const id = frame.id;
    if (typeof id !== "number" || !Number.isSafeInteger(id)) {
      this.#fail(0, usage('a request needs a whole number as "id"', 'for example {"id":1,"op":"town.status"}'));
      return;
    }
    if (frame.cancel === true) {
      this.#streams.get(id)?.();
      this.#streams.delete(id);
      return;
    }
    void this.#request(id, String(frame.op), frame.in, typeof frame.key === "string" ? frame.key : undefined);
  }

  #hello(value: unknown): void {
    const hello = (value ?? {}) as { v?: unknown; token?: unknown; as?: unknown };
    if (hello.v !== WIRE_VERSION) {
      this.#introduction = new BosunError({
        code: "USAGE",
        what: `this coordinator speaks version ${WIRE_VERSION} of the wire, the caller ${String(hello.v)}`,
        why: "one of the two is older",
        fix: "`bosun stop`, then run the command again with the newer bosun",
      });
      return;
    }
    // Something else than text is no absence: it must not make the caller the owner.
    this.#introduction = {
      ...(hello.token == null ? {} : { token: String(hello.token) }),
      ...(hello.as == null ? {} : { as: String(hello.as) }),
    };
  }

  /** Asked for at every request: a credential may have been revoked since the last one. */
  #who(): Actor {
    if (this.#introduction instanceof BosunError) throw this.#introduction;
    return this.#identify(this.#introduction);
  }

  async #request(id: number, op: string, input: unknown, key: string | undefined): Promise<void> {
    const stream = new SocketStream(id, this.#socket, this.#drains, (close) => this.#streams.set(id, close));
    try {
      const answer = await this.#dispatch.enter(() => this.#who(), op, input, { key, stream });
      this.#send(`{"id":${id},"ok":${JSON.stringify(answer ?? {})}}\n`);
      stream.open();
    } catch (thrown) {
      this.#streams.get(id)?.();
      this.#streams.delete(id);
      this.#fail(id, thrown);
    }
  }

  #fail(id: number, thrown: unknown): void {
    this.#send(`{"id":${id},"error":${JSON.stringify(toErrorBody(thrown))}}\n`);
  }

  #send(text: string): void {
    if (!this.#socket.destroyed) this.#socket.write(text);
  }
}

/** Events of one streaming request. Held back until its answer has gone out. */
class SocketStream implements Stream {
  readonly #prefix: string;
  readonly #socket: Socket;
  readonly #drains: Set<() => void>;
  readonly #register: (close: () => void) => void;
  readonly #closers: (() => void)[] = [];
  #held: string[] | null = [];
  #closed = false;

  constructor(id: number, socket: Socket, drains: Set<() => void>, register: (close: () => void) => void) {
    this.#prefix = `{"id":${id},`;
    this.#socket = socket;
    this.#drains = drains;
    this.#register = register;
  }

  push(json: string): boolean {
    return this.#write(`${this.#prefix}"event":${json}}\n`);
  }

  end(because: string): void {
    this.#write(`${this.#prefix}"end":${JSON.stringify(because)}}\n`);
    this.#close();
  }

  onDrain(listener: () => void): void {
    this.#drains.add(listener);
    this.onClose(() => this.#drains.delete(listener));
  }

  onClose(listener: () => void): void {
    if (this.#closers.length === 0) this.#register(() => this.#close());
    this.#closers.push(listener);
  }

  open(): void {
    const held = this.#held;
    this.#held = null;
    if (held && held.length > 0) this.#socket.write(held.join(""));
  }

  #write(text: string): boolean {
    if (this.#closed || this.#socket.destroyed) return true;
    if (this.#held) {
      this.#held.push(text);
      return true;
    }
    this.#socket.write(text);
    return this.#socket.writableLength < FULL_BYTES;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const closer of this.#closers) closer();
  }
}

function usage(what: string, fix: string): BosunError {
  return new BosunError({ code: "USAGE", what, fix });
}
