import { describe, expect, test } from "vitest";
import type { StoredEvent } from "../../protocol/event.ts";
import { GENESIS, stamp } from "./chain.ts";
import type { Head, Log } from "./port.ts";

/** `count` entries that continue `head`. */
function next(head: Head, count: number): StoredEvent[] {
  const entries: StoredEvent[] = [];
  for (let index = 0; index < count; index++) {
    const data = { pid: head.position + index + 1, because: 'a "quote", a \0, a lone \ud800, ünïcode 🛟' };
    entries.push(
      stamp(entries.at(-1) ?? head, { atMs: 1000, actor: "person:é\0x", event: { type: "coordinator.stopped", data } }),
    );
  }
  return entries;
}

/**
 * What every driver of the log keeps to. `open` gives an empty log; `reopen`, for a driver that outlives its process,
 * closes it and opens the same one again.
 */
export function describeLog(name: string, open: () => Promise<Log>, reopen?: (log: Log) => Promise<Log>): void {
  describe(`log on ${name}`, () => {
    test("an empty log begins at position 0", async () => {
      const log = await open();
      expect([log.head(), log.read(0, 10)]).toEqual([{ position: 0, hash: GENESIS }, []]);
      log.close();
    });

    test("entries come back in order, byte for byte, from any position", async () => {
      const log = await open();
      const entries = next(log.head(), 7);
      await log.append(() => entries.slice(0, 3));
      await log.append((head) => {
        expect(head).toEqual({ position: 3, hash: entries[2]!.hash });
        return entries.slice(3);
      });
      expect(log.read(0, 100)).toEqual(entries);
      expect(log.read(2, 3)).toEqual(entries.slice(2, 5));
      expect(log.head()).toEqual({ position: 7, hash: entries[6]!.hash });
      log.close();
    });

    test("entries that do not continue the head are refused, all of them", async () => {
      const log = await open();
      await log.append((head) => next(head, 2));
      const before = log.read(0, 100);
      const [third, fourth, fifth] = next(log.head(), 3);
      for (const wrong of [[fourth!], [third!, fifth!], [before[1]!]]) {
        await expect(log.append(() => wrong)).rejects.toMatchObject({ code: "CONFLICT" });
      }
      expect([log.read(0, 100), log.head().position]).toEqual([before, 2]);
      log.close();
    });

    test("a writer that changes its mind leaves nothing behind, and the next one is not disturbed", async () => {
      const log = await open();
      const regret = new Error("no");
      await expect(
        log.append(() => {
          throw regret;
        }),
      ).rejects.toBe(regret);
      await log.append(() => []);
      expect(log.head().position).toBe(0);
      await log.append((head) => next(head, 1));
      expect(log.head().position).toBe(1);
      log.close();
    });

    test("whoever follows hears each entry once, in order, when it can be read, until they leave", async () => {
      const log = await open();
      const heard: [number, number][] = [];
      const leave = log.tail(({ position }) => heard.push([position, log.read(position - 1, 1)[0]!.position]));
      await log.append((head) => next(head, 2));
      await expect(log.append((head) => next({ ...head, position: 9 }, 1))).rejects.toThrow();
      await log.append((head) => next(head, 1));
      leave();
      await log.append((head) => next(head, 1));
      expect(heard).toEqual([
        [1, 1],
        [2, 2],
        [3, 3],
      ]);
      log.close();
    });

    test("forgetting the oldest entries keeps the rest and the chain", async () => {
      const log = await open();
      await log.append((head) => next(head, 5));
      const [fourth, fifth] = log.read(3, 2);
      log.truncate(3);
      expect(log.read(0, 10)).toEqual([fourth, fifth]);
      log.truncate(5);
      expect([log.read(0, 10), log.head()]).toEqual([[], { position: 5, hash: fifth!.hash }]);
      expect(() => log.truncate(6)).toThrow();
      await log.append((head) => next(head, 1));
      expect(log.head().position).toBe(6);
      log.close();
    });

    test.skipIf(!reopen)("everything is there after closing and opening again", async () => {
      const log = await open();
      await log.append((head) => next(head, 4));
      log.truncate(1);
      const before = [log.head(), log.read(0, 10)];
      const again = await reopen!(log);
      expect([again.head(), again.read(0, 10)]).toEqual(before);
      await again.append((head) => next(head, 1));
      expect(again.head().position).toBe(5);
      again.truncate(5);
      const empty = await reopen!(again);
      expect(empty.head().position).toBe(5);
      empty.close();
    });
  });
}
