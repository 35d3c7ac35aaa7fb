import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BosunError } from "../protocol/error.ts";
import { timedId } from "../protocol/id.ts";
import { startCoordinator } from "./autostart.ts";
import { type Connection, openConnection, readToken } from "./connection.ts";
import type { Answer, OperationInput, OperationName } from "./operations.gen.ts";
import { findPlaceAnywhere, type Place } from "./place.ts";

/** A coordinator that is being started again answers well within this. */
const GIVE_UP_AFTER_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1_000;

export interface LinkOptions {
  /** The town; default what `bosun` without flags would mean here, and the town `default` where nothing names one. */
  town?: string;
  /** The same, found already. */
  place?: Place;
  /** Path of the coordinator's program; default the one that came with this library. */
  program?: string;
}

/**
 * The way to a coordinator for objects that live long: connects when first used, starting the coordinator if need be, once
 * for each agent that is spoken for; after a lost connection it connects again and asks again. Every request has a key, so
 * that one whose answer was lost counts once. Keeps no process alive but while it waits for an answer or follows something.
 */
export class Link {
  readonly #options: LinkOptions;
  #place: Place | null = null;
  readonly #open = new Map<string, Promise<Connection>>();
  readonly #waiting = new Map<Connection, number>();
  #closed = false;

  constructor(options: LinkOptions = {}) {
    this.#options = options;
  }

  /** Rejects with the coordinator's BosunError; UNREACHABLE after ten seconds without one. `as`: the agent to speak as. */
  async call<Name extends OperationName>(
    op: Name,
    input: OperationInput<Name>,
    as?: string,
    key: string = timedId(crypto.randomUUID(), Date.now()),
  ): Promise<Answer<Name>> {
    return this.#insist(as, (connection) => connection.call(op, input, { key }));
  }

  /**
   * Follows a streaming operation from cursor to cursor: after a lost connection it goes on behind the last event seen.
   * `inputAt` gives the input for a cursor (undefined at first), `cursorOf` the cursor of an event. Ends with `stop`.
   */
  async *follow<Event>(
    op: OperationName,
    inputAt: (cursor: number | undefined) => object,
    cursorOf: (event: Event) => number,
    as?: string,
  ): AsyncGenerator<Event, void, void> {
    let cursor: number | undefined;
    for (;;) {
      const queue: Event[] = [];
      let wake = (): void => {};
      const { connection, stream } = await this.#insist(as, async (open) => ({
        connection: open,
        stream: (await open.stream(op as string, inputAt(cursor), (event) => {
          queue.push(event as Event);
          wake();
        })) as { ok: { seq: number }; ended: Promise<string>; cancel(): void },
      }));
      cursor ??= stream.ok.seq;
      let over: unknown = null;
      const ended = stream.ended.then(
        () => new BosunError({ code: "UNREACHABLE", what: "the coordinator ended the stream" }),
        (error: unknown) => error,
      );
      void ended.then((why) => {
        over = why;
        wake();
      });
      this.#wait(connection, 1);
      try {
        while (over === null || queue.length > 0) {
          const event = queue.shift();
          if (event !== undefined) {
            cursor = cursorOf(event);
            yield event;
          } else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        this.#wait(connection, -1);
        stream.cancel();
      }
      if (this.#closed) return;
      if (!isUnreachable(over)) throw over;
    }
  }

  close(): void {
    this.#closed = true;
    for (const open of this.#open.values())
      void open.then(
        (connection) => connection.close(),
        () => {},
      );
    this.#open.clear();
  }

  async #insist<T>(as: string | undefined, ask: (connection: Connection) => Promise<T>): Promise<T> {
    const giveUpAtMs = Date.now() + GIVE_UP_AFTER_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        const connection = await this.#connection(as);
        this.#wait(connection, 1);
        try {
          return await ask(connection);
        } finally {
          this.#wait(connection, -1);
        }
      } catch (error) {
        if (this.#closed || !isUnreachable(error) || Date.now() > giveUpAtMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  #connection(as = ""): Promise<Connection> {
    if (this.#closed) throw new BosunError({ code: "UNREACHABLE", what: "this was closed", fix: "make a new one" });
    const there = this.#open.get(as);
    if (there) return there;
    const opening = this.#connect(as === "" ? undefined : as);
    this.#open.set(as, opening);
    const forget = (): void => {
      if (this.#open.get(as) === opening) this.#open.delete(as);
    };
    opening.then((connection) => {
      connection.unref();
      void connection.closed.then(forget);
    }, forget);
    return opening;
  }

  async #connect(as: string | undefined): Promise<Connection> {
    const { town, place, program = ownProgram() } = this.#options;
    this.#place ??= place ?? findPlaceAnywhere({ town });
    const here = this.#place;
    const token = readToken(here.tokenFile);
    try {
      return await openConnection(here.socket, token, as);
    } catch (error) {
      if (here.given || program === null || !isUnreachable(error)) throw error;
      await startCoordinator(program, here);
      return await openConnection(here.socket, token, as);
    }
  }

  /** The process lives as long as an answer is awaited. */
  #wait(connection: Connection, by: 1 | -1): void {
    const waiting = (this.#waiting.get(connection) ?? 0) + by;
    if (waiting > 0) this.#waiting.set(connection, waiting);
    else this.#waiting.delete(connection);
    if (waiting === 1 && by === 1) connection.ref();
    if (waiting === 0) connection.unref();
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof BosunError && error.code === "UNREACHABLE";
}

/** The coordinator beside this file, as installed and as in a checkout that was built. */
function ownProgram(): string | null {
  const places = ["./coordinator.js", "../../dist/coordinator.js"];
  const files = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return files.find((file) => existsSync(file)) ?? null;
}
