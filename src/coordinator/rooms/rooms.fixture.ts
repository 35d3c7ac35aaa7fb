import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { ErrorBody } from "../../protocol/error.ts";
import type { Line, RoomEvent } from "../../protocol/room.ts";
import { openRooms, type Reader, type Rooms, type RoomsOptions, type Sink } from "./rooms.ts";

export { jsonl, planRoom } from "./plan.fixture.ts";

export const STEVE: Reader = { name: "steve", role: "viewer" };
export const ALICE: Reader = { name: "alice", role: "viewer" };
export const INSTRUMENTS = ["spx", "qqq", "iwm", "dia", "ndx", "vix", "tlt", "gld", "uso"];

export function folderForTest(): string {
  const folder = mkdtempSync(join(tmpdir(), "bosun-rooms-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Rooms in a folder of their own; closed with the test. */
export function roomsForTest(options: Partial<RoomsOptions> = {}): {
  rooms: Rooms;
  folder: string;
  troubles: ErrorBody[];
} {
  const folder = options.folder ?? folderForTest();
  const troubles: ErrorBody[] = [];
  const rooms = openRooms({ report: (trouble) => troubles.push(trouble), ...options, folder });
  onTestFinished(() => rooms.close());
  return { rooms, folder, troubles };
}

/** A watcher's side: keeps what comes, and can be told to be full after each push. */
export class Screen implements Sink {
  readonly events: RoomEvent[] = [];
  /** Each event's text as pushed. */
  readonly texts: string[] = [];
  /** Asked after each push: is there room for more? */
  takesMore: () => boolean = () => true;
  #drained: () => void = () => {};
  #full = false;
  pushedWhileFull = 0;
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  push(event: string): boolean {
    if (this.#full) this.pushedWhileFull += 1;
    this.texts.push(event);
    this.events.push(JSON.parse(event) as RoomEvent);
    this.#full = !this.takesMore();
    this.#waiting = this.#waiting.filter(({ done, resolve }) => !done() || resolve());
    return !this.#full;
  }

  onDrain(drained: () => void): void {
    this.#drained = drained;
  }

  get full(): boolean {
    return this.#full;
  }

  drain(): void {
    this.#full = false;
    this.#drained();
  }

  get lines(): Line[] {
    return this.events.flatMap((event) => ("line" in event ? [event.line] : "lines" in event ? event.lines : []));
  }

  get ids(): string[] {
    return this.lines.map((line) => line.id);
  }

  /** Resolves when `done` holds; it is asked after each event. */
  until(done: (screen: Screen) => boolean): Promise<void> {
    if (done(this)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done: () => done(this), resolve }));
  }
}

export function numbers(count: number, first = 1): number[] {
  return Array.from({ length: count }, (_, at) => first + at);
}
