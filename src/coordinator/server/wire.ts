import type { Socket } from "node:net";
import { MAX_FRAME_BYTES } from "../../protocol/frames.ts";
import { Caller, tooLarge } from "./caller.ts";
import type { House } from "./house.ts";

/**
 * A caller that does not read holds at most this much of ours; beyond it streams stop pushing and catch up later. 1 MiB is
 * some 5,000 lines: a screen's worth of every room, far from what 300 stuck viewers would cost a machine.
 */
export const FULL_BYTES = 1_048_576;

/** One caller that writes newline JSON into a socket. */
export class WireConnection {
  readonly #socket: Socket;
  readonly #caller: Caller;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #skipping = false;

  constructor(socket: Socket, house: House) {
    this.#socket = socket;
    this.#caller = new Caller("wire", house, {
      send: (json) => {
        if (socket.destroyed) return true;
        socket.write(`${json}\n`);
        return socket.writableLength < FULL_BYTES;
      },
    });
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("drain", () => this.#caller.drained());
    socket.on("close", () => this.#caller.left());
  }

  /** Says goodbye: what is written still goes out. */
  leave(): void {
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 200).unref();
  }

  receive(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#hold(chunk.subarray(start, end));
      start = end + 1;
      const line = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
      const skip = this.#skipping;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#skipping = false;
      if (!skip && line.length > 0) this.#caller.receive(line.toString("utf8"));
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
    this.#caller.fail(Number(/"id":\s*(\d+)/.exec(head)?.[1] ?? 0), tooLarge());
  }
}
