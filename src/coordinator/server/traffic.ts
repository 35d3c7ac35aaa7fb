import { CATALOGUE } from "../../protocol/catalogue.ts";
import type { ErrorCode } from "../../protocol/error.ts";
import type { HeldStream } from "./held-stream.ts";

/** The ways in: lines on the Unix socket, HTTP, WebSocket, MCP over HTTP. */
export type DoorName = "wire" | "http" | "websocket" | "mcp";

/** Upper bounds in seconds: a read is answered in a tenth of a millisecond, a durable write in one, a long poll in fifty seconds. */
export const DURATION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60] as const;

/** Calls of one operation through one door. */
export interface Tally {
  door: DoorName;
  op: string;
  /** By outcome: `ok` or the code of the error. */
  outcomes: Map<string, number>;
  count: number;
  seconds: number;
  /** Calls that took at most the bound of the same index, and longer than the one before it. */
  buckets: number[];
}

/** Requests counted while the coordinator runs. Costs a request a microsecond, so that it is always on. */
export class Traffic {
  readonly #tallies = new Map<string, Tally>();
  readonly #streams = new Map<DoorName, number>();

  /** A request has come; call the function it gives when it is answered, with the error's code or null. */
  begin(door: DoorName, op: string): (code: ErrorCode | null) => void {
    const startedMs = performance.now();
    return (code) => this.#count(door, op, code ?? "ok", (performance.now() - startedMs) / 1000);
  }

  /** Counts a stream while it is open. */
  follow(door: DoorName, stream: HeldStream): void {
    if (!stream.watched) return;
    this.#streams.set(door, this.streams(door) + 1);
    stream.onClose(() => this.#streams.set(door, this.streams(door) - 1));
  }

  /** How many streams are open through a door. */
  streams(door: DoorName): number {
    return this.#streams.get(door) ?? 0;
  }

  tallies(): Iterable<Tally> {
    return this.#tallies.values();
  }

  #count(door: DoorName, asked: string, outcome: string, seconds: number): void {
    // A caller can make up any number of names; they all count as one.
    const op = CATALOGUE.has(asked) ? asked : "unknown";
    const name = `${door} ${op}`;
    let tally = this.#tallies.get(name);
    if (!tally) {
      tally = { door, op, outcomes: new Map(), count: 0, seconds: 0, buckets: DURATION_BUCKETS_S.map(() => 0) };
      this.#tallies.set(name, tally);
    }
    tally.count++;
    tally.seconds += seconds;
    tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1);
    const bucket = DURATION_BUCKETS_S.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) tally.buckets[bucket]!++;
  }
}
