import { CATALOGUE } from "../../protocol/catalogue.ts";
import { BosunError, toErrorBody } from "../../protocol/error.ts";
import { MAX_FRAME_BYTES, WIRE_VERSION } from "../../protocol/frames.ts";
import type { Introduction } from "../credentials.ts";
import type { Actor } from "../dispatch.ts";
import { HeldStream } from "./held-stream.ts";
import type { House } from "./house.ts";
import type { DoorName } from "./traffic.ts";

/** Carries frames to one caller: a line on a socket, a message of a WebSocket. */
export interface Pipe {
  /** One frame as JSON text. False: it was taken, and the caller is slow. */
  send(json: string): boolean;
}

/**
 * One caller that speaks frames (protocol/frames.ts), whatever carries them. Requests run side by side; their answers go out
 * in the order they are ready.
 */
export class Caller {
  readonly #door: DoorName;
  readonly #house: House;
  readonly #pipe: Pipe;
  readonly #shown: Introduction;
  #introduction: Introduction | BosunError;
  /** Of requests that are worked on, and of streams that go on. */
  readonly #streams = new Map<number, HeldStream>();
  readonly #drains = new Set<() => void>();

  /** `shown` is what the caller has said before its first frame; what a hello says replaces it. */
  constructor(door: DoorName, house: House, pipe: Pipe, shown: Introduction = {}) {
    this.#door = door;
    this.#house = house;
    this.#pipe = pipe;
    this.#shown = shown;
    this.#introduction = shown;
  }

  /** One frame as text. */
  receive(text: string): void {
    let frame: Record<string, unknown>;
    try {
      frame = JSON.parse(text) as Record<string, unknown>;
      if (typeof frame !== "object" || frame === null) throw new Error("not an object");
    } catch {
      this.fail(
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
      this.fail(0, usage('a request needs a whole number as "id"', 'for example {"id":1,"op":"town.status"}'));
      return;
    }
    if (frame.cancel === true) this.#forget(id);
    else void this.#request(id, String(frame.op), frame.in, typeof frame.key === "string" ? frame.key : undefined);
  }

  /** Whether the credential shown so far counts, at this moment. */
  get known(): boolean {
    try {
      this.#who();
      return true;
    } catch {
      // Why not is told to whoever asks for something.
      return false;
    }
  }

  /** What was sent has gone out: slow streams go on. */
  drained(): void {
    for (const listener of this.#drains) listener();
  }

  /** The caller has gone; its streams end. */
  left(): void {
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  /** Says why request `id` failed; 0 = what came was no request. */
  fail(id: number, thrown: unknown): void {
    this.#pipe.send(`{"id":${id},"error":${JSON.stringify(toErrorBody(thrown))}}`);
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
      ...this.#shown,
      ...(hello.token == null ? {} : { token: String(hello.token) }),
      ...(hello.as == null ? {} : { as: String(hello.as) }),
    };
  }

  #who(): Actor {
    if (this.#introduction instanceof BosunError) throw this.#introduction;
    return this.#house.identify(this.#introduction);
  }

  async #request(id: number, op: string, input: unknown, key: string | undefined): Promise<void> {
    const prefix = `{"id":${id},`;
    const stream = new HeldStream(
      {
        event: (json) => this.#pipe.send(`${prefix}"event":${json}}`),
        end: (because) => {
          this.#pipe.send(`${prefix}"end":${JSON.stringify(because)}}`);
          this.#streams.delete(id);
        },
      },
      this.#drains,
    );
    // From the start: a caller may leave before its answer is ready.
    this.#streams.set(id, stream);
    const done = this.#house.traffic.begin(this.#door, op);
    try {
      const answer = await this.#house.dispatch.enter(() => this.#who(), op, input, { key, stream });
      this.#pipe.send(`${prefix}"ok":${JSON.stringify(answer ?? {})}}`);
      done(null);
      stream.open();
      if (CATALOGUE.get(op)?.streams) this.#house.traffic.follow(this.#door, stream);
      else this.#forget(id);
    } catch (thrown) {
      this.#forget(id);
      this.fail(id, thrown);
      done(toErrorBody(thrown).code);
    }
  }

  #forget(id: number): void {
    this.#streams.get(id)?.close();
    this.#streams.delete(id);
  }
}

export function tooLarge(): BosunError {
  return new BosunError({
    code: "TOO_LARGE",
    what: "the request is larger than one line may be",
    why: `the limit is ${MAX_FRAME_BYTES} bytes`,
    fix: "send it in parts, or put it in a file and send the path",
  });
}

function usage(what: string, fix: string): BosunError {
  return new BosunError({ code: "USAGE", what, fix });
}
