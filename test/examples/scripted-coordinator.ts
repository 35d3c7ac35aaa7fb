import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Stored {
  key: string;
  msg: string;
  data: unknown;
}

/**
 * The wire as an agent sees it, with every answer in the hands of the test: lines are stored once for each key, questions are
 * asked when the test says so, and the whole thing can go away with answers unsent.
 */
export class ScriptedCoordinator {
  readonly folder = mkdtempSync(join(tmpdir(), "bosun-examples-"));
  readonly path = join(this.folder, "socket");
  readonly lines: Stored[] = [];
  readonly answers: { ask: string; text: string }[] = [];
  /** Posts are stored but not answered while true: what a crash right after the write looks like. */
  mute = false;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();
  #listener: { socket: Socket; id: number } | null = null;

  async start(): Promise<void> {
    rmSync(this.path, { force: true });
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      let rest = "";
      socket.setEncoding("utf8");
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", (text: string) => {
        const frames = (rest + text).split("\n");
        rest = frames.pop()!;
        for (const frame of frames) this.#receive(socket, JSON.parse(frame));
      });
    });
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
    this.#server = server;
  }

  /** Gone in the middle of whatever it was doing. */
  async vanish(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#listener = null;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
  }

  ask(ask: string, text: string): boolean {
    if (!this.#listener) return false;
    const { socket, id } = this.#listener;
    socket.write(`${JSON.stringify({ id, event: { ask, from: "steve", text } })}\n`);
    return true;
  }

  async close(): Promise<void> {
    await this.vanish();
    rmSync(this.folder, { recursive: true, force: true });
  }

  // biome-ignore lint/suspicious/noExplicitAny: frames of many shapes, read by the field they have
  #receive(socket: Socket, frame: any): void {
    const ok = (answer: unknown): void => {
      socket.write(`${JSON.stringify({ id: frame.id, ok: answer })}\n`);
    };
    if (frame.op === "agent.listen") {
      this.#listener = { socket, id: frame.id };
      ok({ agent: "deacon-spx" });
    } else if (frame.op === "room.read") ok({ lines: this.lines.slice(-1), cursors: {}, more: false, gone: {} });
    else if (frame.op === "ask.answer") {
      this.answers.push(frame.in);
      ok({ accepted: true });
    } else if (frame.op === "room.post") {
      const known = this.lines.findIndex((line) => line.key === frame.key);
      if (known < 0) this.lines.push({ key: frame.key, msg: frame.in.msg, data: frame.in.data });
      const seq = known < 0 ? this.lines.length : known + 1;
      if (!this.mute) ok({ id: `spx-${seq}`, seq, ts: "2026-01-01T00:00:00.000Z", duplicate: known >= 0 });
    }
  }
}
