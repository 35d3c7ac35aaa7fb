import type { Socket } from "node:net";
import type { HttpFace } from "./face.ts";

/** What a client is told when the HTTP part of this installation cannot be loaded any more. */
const GONE = JSON.stringify({
  type: "urn:bosun:failed",
  title: "HTTP cannot be served",
  status: 503,
  code: "FAILED",
  what: "HTTP cannot be served",
  why: "bosun was updated while this coordinator ran, or its installation was removed",
  fix: "bosun stop && bosun start",
});

/** HTTP as the coordinator holds it: nothing is loaded before somebody needs it, because few towns ever do. */
export class HttpDoor {
  readonly #load: () => Promise<HttpFace>;
  readonly #report: (error: unknown) => void;
  #face: Promise<HttpFace> | null = null;

  constructor(load: () => Promise<HttpFace>, report: (error: unknown) => void) {
    this.#load = load;
    this.#report = report;
  }

  /** Loads at the first call; after a failure the next one tries again. */
  face(): Promise<HttpFace> {
    this.#face ??= this.#load().catch((error: unknown) => {
      this.#face = null;
      throw error;
    });
    return this.#face;
  }

  /** Takes over a paused connection whose first bytes are HTTP. */
  take(socket: Socket): void {
    this.face().then(
      (face) => face.take(socket),
      (error: unknown) => {
        this.#report(error);
        socket.end(
          `HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(GONE)}\r\nconnection: close\r\n\r\n${GONE}`,
        );
        socket.resume();
      },
    );
  }

  async close(): Promise<void> {
    const face = await this.#face?.catch(() => null);
    await face?.close();
  }
}
