import { BosunError } from "../../protocol/error.ts";
import { messageWatch } from "../../protocol/message.ts";
import type { Call, Dispatch, Stream } from "../dispatch.ts";
import { type InboxRow, inboxPage, messagesPage, slowestState } from "../messages/projection.ts";
import { PORTION, Pump } from "../pump.ts";
import type { Town } from "../town.ts";
import { type Handing, readerOf } from "./handing.ts";
import { letter } from "./letter.ts";
import { runsFloor } from "./sending.ts";

/** One who follows mail: reads on from its cursor whenever there may be more. */
interface Watcher {
  wake(): void;
}

/**
 * Mail as it comes. A watcher has a cursor and reads on behind it whenever a new message wakes it.
 */
export class MailWatch {
  readonly #town: Town;
  readonly #handing: Handing;
  /** By whose mail it is. */
  readonly #watchers = new Map<string, Set<Watcher>>();
  /** Those who follow everything. */
  readonly #everything = new Set<Watcher>();
  /** How many streams each follows of their own mail: they can answer a ping themselves. */
  readonly #own = new Map<string, number>();
  readonly #leave: () => void;

  constructor(town: Town, handing: Handing) {
    this.#town = town;
    this.#handing = handing;
    this.#leave = town.ledger.tail(({ event }) => {
      if (event.type !== "message.sent") return;
      for (const watcher of this.#everything) watcher.wake();
      if (this.#watchers.size === 0) return;
      for (const who of new Set(event.data.to)) for (const watcher of this.#watchers.get(who) ?? []) watcher.wake();
    });
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(messageWatch, ({ who, all, after, bodies = false }, call) => {
      const from = after ?? this.#town.ledger.head().position;
      if (all) {
        this.#followAll(from, call);
        return { who: "*", seq: from };
      }
      const reader = readerOf(this.#town, who, call.actor);
      this.#follow(reader.who, from, bodies, call);
      return { who: reader.who, seq: from };
    });
  }

  /** Whether its own program follows its mail, and so can answer for itself. */
  listens(who: string): boolean {
    return this.#own.has(who);
  }

  /** Until a message comes for `who`, the time is over, or the caller leaves. */
  mailFor(who: string, waitMs: number, stream: Stream): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#remove(who, watcher);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      const watcher = { wake: done };
      this.#add(who, watcher);
      stream.onClose(done);
    });
  }

  close(): void {
    this.#leave();
  }

  #follow(who: string, from: number, bodies: boolean, { actor, stream }: Call): void {
    const mine = who === actor.id;
    const read = (cursor: number): InboxRow[] => {
      const reader = { who, epoch: actor.epoch, nowMs: this.#town.now() };
      return inboxPage(this.#town.ledger.views, reader, {}, cursor, PORTION);
    };
    const pump = new Pump(from, stream, read, (row) =>
      JSON.stringify({ message: letter(row, { bodies }, actor.epoch) }),
    );
    if (mine) {
      pump.onSent = (rows) => {
        if (!bodies) this.#handing.told(rows, who, "watch");
        else
          void this.#handing.present(rows, { who, epoch: actor.epoch }).catch((error: unknown) => this.#failed(error));
      };
      this.#own.set(who, (this.#own.get(who) ?? 0) + 1);
    }
    this.#add(who, pump);
    stream.onClose(() => {
      pump.stop();
      this.#remove(who, pump);
      const left = (this.#own.get(who) ?? 0) - 1;
      if (mine && left > 0) this.#own.set(who, left);
      else if (mine) this.#own.delete(who);
    });
  }

  #followAll(from: number, { actor, stream }: Call): void {
    if (!runsFloor(actor)) {
      throw new BosunError({
        code: "REFUSED",
        what: `${actor.id} may not follow everybody's mail`,
        why: "that needs the role operator",
        fix: "leave `all` away to follow your own",
      });
    }
    const { views } = this.#town.ledger;
    const pump = new Pump(
      from,
      stream,
      (cursor) => messagesPage(views, undefined, cursor, PORTION),
      (row) =>
        JSON.stringify({ message: letter({ ...row, state: slowestState(views, row.position) }, { bodies: false }) }),
    );
    this.#everything.add(pump);
    stream.onClose(() => {
      pump.stop();
      this.#everything.delete(pump);
    });
  }

  #add(who: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(who) ?? new Set();
    watchers.add(watcher);
    this.#watchers.set(who, watchers);
  }

  #remove(who: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(who);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#watchers.delete(who);
  }

  #failed(error: unknown): void {
    this.#town.log.warn({ err: error }, "handing over cannot be written down");
  }
}
