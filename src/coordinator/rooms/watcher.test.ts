import fc from "fast-check";
import { expect, test } from "vitest";
import type { Line } from "../../protocol/room.ts";
import { ALICE, numbers, planRoom, roomsForTest, Screen, STEVE } from "./rooms.fixture.ts";

const ROOMS = ["spx", "qqq", "iwm"];

/** What happens, step by step, to a few watchers of a few rooms. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ say: fc.array(fc.nat(2), { minLength: 1, maxLength: 40 }), awaited: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ drain: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 5 }) }) },
);
const watcher = fc.record({
  rooms: fc.constantFrom<string[]>(["*"], ["spx"], ["qqq", "iwm"]),
  tag: fc.option(fc.constant<string>("even"), { nil: undefined }),
  /** After how many events in a row the sink is full. */
  takes: fc.integer({ min: 1, max: 4 }),
  /** Backlog; null = from the start. */
  last: fc.option(fc.nat(50), { nil: null }),
});

test("however often its sink is full, a viewer gets exactly the right lines, once and in order, and nothing while it is full", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(2), { maxLength: 60 }),
      fc.array(watcher, { minLength: 1, maxLength: 3 }),
      fc.array(step, { maxLength: 25 }),
      async (before, watchers, steps) => {
        const { rooms } = roomsForTest();
        rooms.declare(ROOMS.map((id) => planRoom(id)));
        let spoken = 0;
        const say = (picks: number[]) =>
          Promise.all(
            picks.map((pick) => {
              spoken += 1;
              const tags = spoken % 2 ? ["odd"] : ["even"];
              return rooms.post("a", { room: ROOMS[pick]!, msg: `${spoken}`, tags });
            }),
          );
        const posts = [say(before)];
        await posts[0];
        const everything = () => rooms.read(STEVE, { rooms: ["*"], limit: 10_000 });
        const known = (await everything()).lines;
        const screens = watchers.map(({ rooms: wanted, tag, takes, last }) => {
          const screen = new Screen();
          let taken = 0;
          screen.takesMore = () => ++taken % takes !== 0;
          const filter = tag ? { tag: [tag] } : {};
          rooms.watch(STEVE, { rooms: wanted, filter, ...(last === null ? { after: {} } : { last }) }, screen);
          return screen;
        });
        // The backlog counts from the moment the watcher starts to look.
        await new Promise((resolve) => setImmediate(resolve));
        for (const happens of steps) {
          if ("say" in happens) {
            posts.push(say(happens.say));
            if (happens.awaited) await posts.at(-1);
          } else if ("drain" in happens) screens[happens.drain % screens.length]!.drain();
          else for (const _ of numbers(happens.turns)) await new Promise((resolve) => setImmediate(resolve));
        }
        await Promise.all(posts);
        const all = (await everything()).lines;
        for (const [at, { rooms: wanted, tag, last }] of watchers.entries()) {
          const screen = screens[at]!;
          const wants = (line: Line) =>
            (wanted[0] === "*" || wanted.includes(line.room)) && (!tag || line.tags.includes(tag));
          const shown = new Set(known.map((line) => line.id));
          const old = known.filter(wants);
          const expected = [
            ...(last === null ? old : old.slice(old.length - Math.min(last, old.length))),
            ...all.filter((line) => wants(line) && !shown.has(line.id)),
          ];
          screen.takesMore = () => true;
          screen.drain();
          await screen.until(({ lines }) => lines.length >= expected.length);
          // Turns enough for a line too many to arrive.
          for (const _ of numbers(5)) await new Promise((resolve) => setImmediate(resolve));
          expect(screen.ids.toSorted()).toEqual(expected.map((line) => line.id).toSorted());
          for (const room of ROOMS) {
            const seqs = screen.lines.filter((line) => line.room === room).map((line) => line.seq);
            expect(seqs).toEqual(seqs.toSorted((one, other) => one - other));
          }
          expect(screen.pushedWhileFull).toBe(0);
        }
        await rooms.close();
      },
    ),
    { numRuns: 60, endOnFailure: true },
  );
});

test("a viewer that never drains costs nothing but its cursor, and misses nothing when it comes back", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const stuck = new Screen();
  stuck.takesMore = () => false;
  rooms.watch(STEVE, { rooms: ["spx"] }, stuck);
  for (const round of numbers(10))
    await Promise.all(numbers(300).map((n) => rooms.post("a", { room: "spx", msg: `${round} ${n}` })));
  expect(stuck.events).toHaveLength(1);
  stuck.takesMore = () => true;
  stuck.drain();
  await stuck.until(({ lines }) => lines.at(-1)?.seq === 3_000);
  const first = stuck.lines[0]!.seq;
  expect(stuck.lines.map((line) => line.seq)).toEqual(numbers(3_001 - first, first));
});

test("lines forgotten while a viewer was stuck are told as a gap, the rest follows", async () => {
  const { rooms } = roomsForTest();
  const keep = { ageMs: null, count: 100 };
  rooms.declare([planRoom("spx", { keep })]);
  const stuck = new Screen();
  stuck.takesMore = () => false;
  rooms.watch(STEVE, { rooms: ["spx"], after: {} }, stuck);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await rooms.post("a", { room: "spx", msg: "first" });
  await stuck.until(({ lines }) => lines.length === 1);
  await Promise.all(numbers(499).map((n) => rooms.post("a", { room: "spx", msg: `${n}` })));
  await rooms.prune();
  stuck.takesMore = () => true;
  stuck.drain();
  await stuck.until(({ lines }) => lines.at(-1)?.seq === 500);
  expect(stuck.events[1]).toEqual({ gap: { room: "spx", from: 2, to: 400 } });
  expect(stuck.lines.map((line) => line.seq)).toEqual([1, ...numbers(100, 401)]);
});

test("news about a room reach a stuck viewer after the lines it missed, the newest state only", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const stuck = new Screen();
  stuck.takesMore = () => false;
  rooms.watch(STEVE, { rooms: ["spx"], after: {} }, stuck);
  await rooms.post("a", { room: "spx", msg: "1" });
  await stuck.until(({ lines }) => lines.length === 1);
  for (const n of numbers(50)) {
    rooms.setStale("spx", "agents-spx", `2026-05-01T00:00:${String(n).padStart(2, "0")}.000Z`, "signal 9");
    rooms.setLive("spx", "agents-spx");
  }
  await rooms.post("a", { room: "spx", msg: "2" });
  stuck.takesMore = () => true;
  stuck.drain();
  await stuck.until(({ events }) => events.length === 3);
  expect(stuck.events.slice(1)).toMatchObject([{ line: { seq: 2 } }, { live: { room: "spx", session: "agents-spx" } }]);
});

test("viewers of the same lines are handed one and the same text", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx"), planRoom("qqq")]);
  const screens = [STEVE, ALICE, STEVE].map((reader) => {
    const screen = new Screen();
    rooms.watch(reader, { rooms: ["*"] }, screen);
    return screen;
  });
  const only = new Screen();
  rooms.watch(ALICE, { rooms: ["spx"], filter: { level: "warn" } }, only);
  for (const screen of [...screens, only]) await new Promise((resolve) => setImmediate(resolve, screen));
  await Promise.all(
    ["spx", "qqq", "spx"].map((room, at) => rooms.post("a", { room, msg: `${at}`, level: at === 2 ? "warn" : "info" })),
  );
  await Promise.all(screens.map((screen) => screen.until(({ lines }) => lines.length === 3)));
  expect(new Set(screens.map((screen) => screen.texts.join())).size).toBe(1);
  expect(only.ids).toEqual(["spx-2"]);
});
