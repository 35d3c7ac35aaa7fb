import type { ServerResponse } from "node:http";
import type { Outlet } from "./held-stream.ts";
import { FULL_BYTES } from "./wire.ts";

/** Proxies and clients give up on a silent connection after a minute or so; a comment keeps it. */
const KEEPALIVE_MS = 15_000;

/**
 * Server-Sent Events: first `ok` with the answer, then one unnamed event each, `end` with the reason at last. Events that have
 * a place in the log carry it as `id`, which a client that comes back sends as `Last-Event-ID`.
 */
export class EventSourceOutlet implements Outlet {
  readonly #response: ServerResponse;
  readonly #keepalive: NodeJS.Timeout;

  constructor(response: ServerResponse, answer: unknown) {
    this.#response = response;
    response.writeHead(200, {
      ...(response.getHeaders() as Record<string, string>),
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    response.write(`event: ok\ndata: ${JSON.stringify(answer ?? {})}\n\n`);
    this.#keepalive = setInterval(() => response.write(": still here\n\n"), KEEPALIVE_MS);
    response.once("close", () => clearInterval(this.#keepalive));
  }

  event(json: string): boolean {
    if (this.#response.destroyed) return true;
    const place = placeOf(json);
    this.#response.write(`${place === null ? "" : `id: ${place}\n`}data: ${json}\n\n`);
    return this.#response.writableLength < FULL_BYTES;
  }

  end(because: string): void {
    this.#response.end(`event: end\ndata: ${JSON.stringify(because)}\n\n`);
  }
}

/** Where to resume behind an event: the `after` of its operation; null when one number cannot say it (several rooms). */
function placeOf(json: string): number | null {
  const event = JSON.parse(json) as { seq?: unknown; rev?: unknown; message?: { seq?: unknown } };
  const place = event.seq ?? event.rev ?? event.message?.seq;
  return typeof place === "number" ? place : null;
}
