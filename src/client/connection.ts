import { readFileSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { BosunError, type ErrorBody } from "../protocol/error.ts";
import {
  type Cancel,
  type Hello,
  MAX_FRAME_BYTES,
  type Request,
  type ServerFrame,
  WIRE_VERSION,
} from "../protocol/frames.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Answer, OperationInput, OperationName } from "./operations.gen.ts";

export interface CallOptions {
  /** Counts once per actor: the same key again gives the first answer, also over a new connection. */
  key?: string;
  /** Progress of a long call, before its answer. */
  onEvent?: (event: unknown) => void;
}

export interface StreamOptions {
  /** After the last event of one piece of input from the socket: the moment to write a whole batch at once. */
  onBatchEnd?: () => void;
}

const READ_BYTES = 65_536;

/** Where bytes from the socket go; they are the receiver's only during the call. */
interface Input {
  receive: (chunk: Buffer) => void;
}

/** A stream that was accepted. */
export interface Stream<Output> {
  readonly ok: Output;
  /** Resolves with the coordinator's reason when it ends the stream; rejects with UNREACHABLE when the connection goes. */
  readonly ended: Promise<string>;
  cancel(): void;
}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: BosunError) => void;
  onEvent: ((event: unknown) => void) | undefined;
  onBatchEnd: (() => void) | undefined;
  /** Set once a stream was accepted. */
  end: ((because: string) => void) | undefined;
  fail: ((error: BosunError) => void) | undefined;
}

/**
 * One connection to a coordinator. Calls are pipelined; answers find their callers by id. When the connection goes, every
 * open call rejects with UNREACHABLE, and `closed` resolves: reconnecting, and resuming from a cursor, is the caller's,
 * because only the caller knows what it has already seen.
 */
export class Connection {
  readonly closed: Promise<BosunError>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #touched = new Set<Pending>();
  #nextId = 1;
  #gone: BosunError | undefined;

  constructor(socket: Socket, path: string, input: Input) {
    this.#socket = socket;
    const reader = new FrameReader((text) => this.#receive(text));
    input.receive = (chunk) => {
      reader.push(chunk);
      for (const pending of this.#touched) pending.onBatchEnd?.();
      this.#touched.clear();
    };
    this.closed = new Promise((resolve) => {
      const lost = (why: string): void => {
        this.#gone ??= unreachable(path, why);
        this.#failAll(this.#gone);
        resolve(this.#gone);
      };
      socket.on("error", (error) => lost(error.message));
      socket.on("close", () => lost("the coordinator closed the connection"));
    });
  }

  /** Rejects with the coordinator's BosunError, or UNREACHABLE. */
  call<Name extends OperationName>(op: Name, input: OperationInput<Name>, options?: CallOptions): Promise<Answer<Name>>;
  call(op: string, input: unknown, options?: CallOptions): Promise<unknown>;
  call(op: string, input: unknown, { key, onEvent }: CallOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#request(op, input, key, {
        resolve,
        reject,
        onEvent,
        onBatchEnd: undefined,
        end: undefined,
        fail: undefined,
      });
    });
  }

  /**
   * Resolves when the coordinator accepts. Events that came in the same piece of input reach `onEvent` before the code after
   * the caller's `await` runs, in order and none lost.
   */
  stream<Name extends OperationName>(
    op: Name,
    input: OperationInput<Name>,
    onEvent: (event: unknown) => void,
    options?: StreamOptions,
  ): Promise<Stream<Answer<Name>>>;
  stream(
    op: string,
    input: unknown,
    onEvent: (event: unknown) => void,
    options?: StreamOptions,
  ): Promise<Stream<unknown>>;
  stream(
    op: string,
    input: unknown,
    onEvent: (event: unknown) => void,
    { onBatchEnd }: StreamOptions = {},
  ): Promise<Stream<unknown>> {
    return new Promise((resolve, reject) => {
      const pending: Pending = { resolve: () => {}, reject, onEvent, onBatchEnd, end: undefined, fail: undefined };
      const id = this.#request(op, input, undefined, pending);
      pending.resolve = (ok) => {
        const ended = new Promise<string>((end, fail) => {
          pending.end = end;
          pending.fail = fail;
        });
        // A caller that only listens to events need not also listen to the end.
        ended.catch(() => {});
        resolve({ ok, ended, cancel: () => this.#cancel(id) });
      };
    });
  }

  /** Lets the process end although the connection is open; `ref` takes that back. */
  unref(): void {
    this.#socket.unref();
  }

  ref(): void {
    this.#socket.ref();
  }

  close(): void {
    this.#gone ??= new BosunError({ code: "UNREACHABLE", what: "the connection was closed here" });
    this.#socket.destroy();
  }

  #request(op: string, input: unknown, key: string | undefined, pending: Pending): number {
    const id = this.#nextId++;
    if (this.#gone) {
      pending.reject(this.#gone);
      return id;
    }
    const request: Request = key === undefined ? { id, op, in: input } : { id, op, in: input, key };
    const frame = `${JSON.stringify(request)}\n`;
    if (frame.length > MAX_FRAME_BYTES / 4 && Buffer.byteLength(frame) > MAX_FRAME_BYTES) {
      pending.reject(
        new BosunError({
          code: "TOO_LARGE",
          what: `the request for ${op} is ${Buffer.byteLength(frame)} bytes`,
          why: `one request holds at most ${MAX_FRAME_BYTES} bytes`,
          fix: "put long text into a file and send its path",
        }),
      );
      return id;
    }
    this.#pending.set(id, pending);
    this.#socket.write(frame);
    return id;
  }

  #cancel(id: number): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    const frame: Cancel = { id, cancel: true };
    if (!this.#gone) this.#socket.write(`${JSON.stringify(frame)}\n`);
    pending.end?.("cancelled");
  }

  #receive(text: string): void {
    if (text === "") return;
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      this.#socket.destroy(new Error("the other side does not speak bosun's protocol"));
      return;
    }
    const pending = this.#pending.get(frame.id);
    if (!pending) {
      // An error without a caller is about the connection itself, such as a token that is no longer good.
      if ("error" in frame && !frame.id) this.#refuse(frame.error);
      return;
    }
    if ("event" in frame) {
      pending.onEvent?.(frame.event);
      if (pending.onBatchEnd) this.#touched.add(pending);
    } else if ("ok" in frame) {
      pending.resolve(frame.ok);
      if (!pending.end) this.#pending.delete(frame.id);
    } else if ("error" in frame) {
      this.#pending.delete(frame.id);
      const error = new BosunError(frame.error);
      (pending.fail ?? pending.reject)(error);
    } else if ("end" in frame) {
      this.#pending.delete(frame.id);
      pending.end?.(frame.end);
    }
  }

  #refuse(body: ErrorBody): void {
    this.#gone = new BosunError(body);
    this.#failAll(this.#gone);
    this.#socket.destroy();
  }

  #failAll(error: BosunError): void {
    const open = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of open) (pending.fail ?? pending.reject)(error);
  }
}

/**
 * Opens the Unix socket at `path` and says hello with `token`, if there is one, and with `as`, the registered agent to speak
 * as. Rejects with UNREACHABLE when nobody listens there.
 */
export function openConnection(path: string, token?: string, as?: string): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const input: Input = { receive: () => {} };
    // One buffer for all input, past the stream machinery: a feed that shows every line spends a third less on each.
    const socket = connectSocket({
      path,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (length, buffer) => {
          input.receive(buffer.subarray(0, length) as Buffer);
          return true;
        },
      },
    });
    const refused = (error: Error): void => reject(unreachable(path, error.message));
    socket.once("error", refused);
    socket.once("connect", () => {
      socket.off("error", refused);
      if (token !== undefined || as !== undefined) {
        const hello: Hello = {
          hello: { v: WIRE_VERSION, ...(token === undefined ? {} : { token }), ...(as === undefined ? {} : { as }) },
        };
        socket.write(`${JSON.stringify(hello)}\n`);
      }
      resolve(new Connection(socket, path, input));
    });
  });
}

/** The token in `file`, or undefined for no file. Throws REFUSED when it cannot be read. */
export function readToken(file: string | null): string | undefined {
  if (file === null) return undefined;
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new BosunError({
      code: "REFUSED",
      what: "the token file of BOSUN_TOKEN_FILE cannot be read",
      why: (error as NodeJS.ErrnoException).code ?? "unknown",
      fix: "unset BOSUN_TOKEN_FILE to speak as the person who owns the coordinator",
    });
  }
}

function unreachable(path: string, why: string): BosunError {
  return new BosunError({
    code: "UNREACHABLE",
    what: "the coordinator does not answer",
    why: `${path}: ${why}`,
    fix: "bosun start",
  });
}
