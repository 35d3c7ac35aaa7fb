import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Line, MAX_LINE_BYTES, roomList, roomPost, roomRead } from "../../protocol/room.ts";
import { ALICE, folderForTest, INSTRUMENTS, numbers, planRoom, roomsForTest, Screen, STEVE } from "./rooms.fixture.ts";
import { openRooms } from "./rooms.ts";

test("a line that was said is read back whole, with id, time and sender of the coordinator", async () => {
  const { rooms } = roomsForTest({ now: () => Date.UTC(2026, 4, 1, 12) });
  rooms.declare([planRoom("spx")]);
  const posted = await rooms.post("deacon-spx", {
    room: "spx",
    msg: "opening range set",
    type: "status",
    level: "warn",
    tags: ["gamma", "open"],
    data: { high: 5120.5 },
  });
  expect(roomPost.output.parse(posted)).toEqual({
    id: "spx-1",
    seq: 1,
    ts: "2026-05-01T12:00:00.000Z",
    duplicate: false,
  });
  const answer = roomRead.output.parse(await rooms.read(STEVE, { rooms: ["spx"] }));
  expect(answer).toEqual({
    lines: [
      {
        id: "spx-1",
        seq: 1,
        room: "spx",
        ts: "2026-05-01T12:00:00.000Z",
        from: "deacon-spx",
        type: "status",
        level: "warn",
        msg: "opening range set",
        tags: ["gamma", "open"],
        data: { high: 5120.5 },
      },
    ],
    cursors: { spx: 1 },
    more: false,
    gone: {},
  });
});

test("`content` is read as `msg`, and escape sequences never reach a reader", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  await rooms.post("a", { room: "spx", content: "red \u001b[31malert\u001b]0;title\u0007!" });
  expect((await rooms.read(STEVE, { rooms: ["spx"] })).lines[0]?.msg).toBe("red alert!");
});

test("what cannot be said is refused with the reason", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx"), planRoom("qqq")]);
  await expect(rooms.post("a", { room: "spy", msg: "x" })).rejects.toMatchObject({
    body: { code: "UNKNOWN_ROOM", why: 'did you mean "spx"?' },
  });
  await expect(rooms.post("a", { room: "spx", msg: " \u001b[2J\n" })).rejects.toMatchObject({
    body: { code: "USAGE" },
  });
  await expect(rooms.post("a", { room: "spx" })).rejects.toMatchObject({ body: { code: "USAGE" } });
  await expect(rooms.post("a", { room: "spx", msg: "é".repeat(MAX_LINE_BYTES / 2 + 1) })).rejects.toMatchObject({
    body: { code: "TOO_LARGE" },
  });
  expect((await rooms.post("a", { room: "spx", msg: "é".repeat(MAX_LINE_BYTES / 2) })).seq).toBe(1);
});

test("a repeated key counts once for its sender, at the same moment and after a restart", async () => {
  const { rooms, folder } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const say = (from: string, key: string) => rooms.post(from, { room: "spx", msg: "once" }, key);
  const together = await Promise.all([say("a", "k"), say("a", "k"), say("b", "k"), say("a", "l")]);
  expect(together.map(({ id, duplicate }) => [id, duplicate])).toEqual([
    ["spx-1", false],
    ["spx-1", true],
    ["spx-2", false],
    ["spx-3", false],
  ]);
  await rooms.close();
  const again = roomsForTest({ folder }).rooms;
  again.declare([planRoom("spx")]);
  expect(await again.post("a", { room: "spx", msg: "once" }, "k")).toEqual({ ...together[0], duplicate: true });
  expect(again.list(STEVE)[0]?.seq).toBe(3);
});

test("times never run backwards in a room, though the clock was set back", async () => {
  let nowMs = 1_000_000;
  const { rooms } = roomsForTest({ now: () => nowMs });
  rooms.declare([planRoom("spx")]);
  const first = await rooms.post("a", { room: "spx", msg: "1" });
  nowMs -= 3_600_000;
  const second = await rooms.post("a", { room: "spx", msg: "2" });
  expect(second.ts).toBe(first.ts);
});

test("S0-27 S0-50: two viewers see the same sequence numbers and text, one of them after many reconnects", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const steady = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"], after: {} }, steady);
  const seen: Line[] = [];
  for (let round = 0; round < 20; round++) {
    const screen = new Screen();
    const cursor = seen.at(-1)?.seq ?? 0;
    const { close } = rooms.watch(ALICE, { rooms: ["spx"], after: { spx: cursor } }, screen);
    await Promise.all(numbers(10).map((n) => rooms.post("deacon-spx", { room: "spx", msg: `${round}/${n}` })));
    // Leaves at any moment: behind, within the backlog, or live.
    await screen.until(({ lines }) => lines.length >= 1 + (round % 10));
    close();
    seen.push(...screen.lines);
    await rooms.post("deacon-spx", { room: "spx", msg: `${round}: nobody of alice's is there` });
  }
  const last = new Screen();
  rooms.watch(ALICE, { rooms: ["spx"], after: { spx: seen.at(-1)!.seq } }, last);
  await Promise.all([
    last.until(({ lines }) => lines.at(-1)?.seq === 220),
    steady.until(({ lines }) => lines.length === 220),
  ]);
  const hash = (lines: Line[]) => createHash("sha256").update(JSON.stringify(lines)).digest("hex");
  expect(steady.lines.map((line) => line.seq)).toEqual(numbers(220));
  expect(hash([...seen, ...last.lines])).toBe(hash(steady.lines));
});

test("S0-28: a view filtered by agent shows only that agent's lines, by first part or full id, old and new", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const agents = ["butterfly-spx", "deacon-spx", "butterfly", "butterflies-spx", "butterfly-spx-2", "my-butterfly-spx"];
  const sayAll = () => Promise.all(agents.map((from) => rooms.post(from, { room: "spx", msg: from })));
  await sayAll();
  const byFirstPart = new Screen();
  const byId = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"], filter: { agent: ["butterfly"] } }, byFirstPart);
  rooms.watch(STEVE, { rooms: ["spx"], filter: { agent: ["butterfly-spx"] } }, byId);
  await byFirstPart.until(({ lines }) => lines.length === 3);
  await sayAll();
  const everybody = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, everybody);
  await everybody.until(({ lines }) => lines.length === 12);
  const found = ["butterfly-spx", "butterfly", "butterfly-spx-2"];
  expect(byFirstPart.lines.map((line) => line.from)).toEqual([...found, ...found]);
  const withId = ["butterfly-spx", "butterfly-spx-2"];
  expect(byId.lines.map((line) => line.from)).toEqual([...withId, ...withId]);
});

test("S0-29: a tag over all feeds gives lines of several instruments, merged in time order", async () => {
  let nowMs = Date.UTC(2026, 4, 1);
  const { rooms } = roomsForTest({ now: () => nowMs });
  rooms.declare(INSTRUMENTS.map((id) => planRoom(id)));
  const expected: string[] = [];
  for (const n of numbers(60)) {
    nowMs += 1_000;
    const room = INSTRUMENTS[(n * 7) % 9]!;
    const posted = await rooms.post(`gamma-${room}`, { room, msg: `${n}`, tags: n % 2 ? ["gamma"] : ["flow"] });
    if (n % 2) expected.push(posted.id);
  }
  const screen = new Screen();
  rooms.watch(ALICE, { rooms: ["*"], last: 20, filter: { tag: ["gamma"] } }, screen);
  await screen.until(({ lines }) => lines.length === 20);
  const live = await rooms.post("gamma-tlt", { room: "tlt", msg: "live", tags: ["gamma"] });
  expect(screen.ids).toEqual([...expected.slice(-20), live.id]);
  const read = await rooms.read(ALICE, { rooms: ["*"], filter: { tag: ["gamma"] } });
  expect(read.lines.map((line) => line.id)).toEqual([...expected, live.id]);
});

test("level and type select lines as well", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  for (const level of ["debug", "info", "warn", "alert"] as const)
    for (const type of ["signal", "status"])
      await rooms.post("a", { room: "spx", msg: `${level} ${type}`, level, type });
  const read = await rooms.read(STEVE, { rooms: ["spx"], filter: { level: "warn", type: ["signal"] } });
  expect(read.lines.map((line) => line.msg)).toEqual(["warn signal", "alert signal"]);
});

test("S0-25: a deleted feed shows its viewers that it ended and keeps its history; declared again it goes on", async () => {
  const { rooms, folder } = roomsForTest();
  rooms.declare([planRoom("spx"), planRoom("qqq")]);
  await rooms.post("a", { room: "spx", msg: "before" });
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx", "qqq"] }, screen);
  await screen.until(({ lines }) => lines.length === 1);
  rooms.declare([planRoom("qqq")]);
  await screen.until(({ events }) => events.length === 2);
  expect(screen.events.at(-1)).toEqual({ ended: { room: "spx" } });
  await expect(rooms.post("a", { room: "spx", msg: "x" })).rejects.toMatchObject({ body: { code: "UNKNOWN_ROOM" } });
  await rooms.close();

  const again = roomsForTest({ folder }).rooms;
  again.declare([planRoom("qqq")]);
  expect((await again.read(STEVE, { rooms: ["spx"] })).lines.map((line) => line.msg)).toEqual(["before"]);
  const late = new Screen();
  again.watch(STEVE, { rooms: ["spx"] }, late);
  await late.until(({ events }) => events.length === 2);
  expect(late.events.at(-1)).toEqual({ ended: { room: "spx" } });
  again.declare([planRoom("spx"), planRoom("qqq")]);
  expect((await again.post("a", { room: "spx", msg: "after" })).seq).toBe(2);
  await late.until(({ lines }) => lines.length === 2);
  expect(late.ids).toEqual(["spx-1", "spx-2"]);
});

test("a view that goes away leaves the feed and its other viewers as they were", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const [gone, stays] = [new Screen(), new Screen()];
  const { close } = rooms.watch(STEVE, { rooms: ["spx"] }, gone);
  rooms.watch(ALICE, { rooms: ["spx"] }, stays);
  gone.push = () => {
    throw new Error("socket closed");
  };
  await rooms.post("a", { room: "spx", msg: "1" });
  await stays.until(({ lines }) => lines.length === 1);
  close();
  await rooms.post("a", { room: "spx", msg: "2" });
  expect(stays.ids).toEqual(["spx-1", "spx-2"]);
  expect(rooms.list(STEVE)[0]).toMatchObject({ watchers: 1, seq: 2 });
});

test("S0-31: five subscribers get each line once", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const screens = numbers(5).map(() => new Screen());
  for (const screen of screens) rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  await Promise.all(numbers(50).map((n) => rooms.post(`agent-${n % 4}`, { room: "spx", msg: `${n}` })));
  await Promise.all(screens.map((screen) => screen.until(({ lines }) => lines.length >= 50)));
  const ids = numbers(50).map((n) => `spx-${n}`);
  expect(screens.map((screen) => screen.ids)).toEqual(screens.map(() => ids));
});

test("S0-32: one view over nine feeds loses nothing and repeats nothing, from history into live", async () => {
  const { rooms } = roomsForTest();
  rooms.declare(INSTRUMENTS.map((id) => planRoom(id)));
  const sayEverywhere = (count: number) =>
    Promise.all(numbers(count * 9).map((n) => rooms.post("a", { room: INSTRUMENTS[n % 9]!, msg: `${n}` })));
  await sayEverywhere(100);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["*"], after: {} }, screen);
  for (const _ of numbers(10)) await sayEverywhere(20);
  await screen.until(({ lines }) => lines.length >= 2_700);
  expect(new Set(screen.ids).size).toBe(2_700);
  for (const room of INSTRUMENTS)
    expect(screen.lines.filter((line) => line.room === room).map((line) => line.seq)).toEqual(numbers(300));
  const times = screen.lines.map((line) => line.ts);
  expect(times).toEqual(times.toSorted());
});

test("S0-02: 36 viewers each get a burst of 1,000 lines whole and in order", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const screens = numbers(36).map(() => new Screen());
  for (const screen of screens) rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  await Promise.all(numbers(1_000).map((n) => rooms.post("deacon-spx", { room: "spx", msg: `line ${n}` })));
  await Promise.all(screens.map((screen) => screen.until(({ lines }) => lines.length >= 1_000)));
  const expected = numbers(1_000).map((n) => `spx-${n} line ${n}`);
  for (const screen of screens) expect(screen.lines.map((line) => `${line.id} ${line.msg}`)).toEqual(expected);
  // A burst is few events, and live ones are one string for all.
  expect(Math.max(...screens.map((screen) => screen.events.length))).toBeLessThan(20);
});

test("S0-56: a viewer who comes late sees the declared backlog, then live lines, without a gap", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  await Promise.all(numbers(500).map((n) => rooms.post("a", { room: "spx", msg: `${n}` })));
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"], last: 120 }, screen);
  // Said while the backlog is on its way.
  await Promise.all(numbers(300).map((n) => rooms.post("a", { room: "spx", msg: `${500 + n}` })));
  await screen.until(({ lines }) => lines.at(-1)?.seq === 800);
  const first = screen.lines[0]!.seq;
  expect(screen.lines.map((line) => line.seq)).toEqual(numbers(801 - first, first));
  expect(first).toBeGreaterThanOrEqual(381);
});

test("S0-51: a crash of a room's agents shows as stale with its age to viewers present and to come, until they run again", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const present = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, present);
  await rooms.post("a", { room: "spx", msg: "last words" });
  await present.until(({ lines }) => lines.length === 1);
  const stale = { room: "spx", session: "agents-spx", since: "2026-05-01T12:00:00.000Z", because: "signal 9" };
  rooms.setStale("spx", "agents-spx", stale.since, stale.because);
  rooms.setStale("spx", "agents-spx", stale.since, stale.because);
  const late = new Screen();
  rooms.watch(ALICE, { rooms: ["spx"] }, late);
  await late.until(({ events }) => events.length === 2);
  expect(late.events.at(-1)).toEqual({ stale });
  expect(rooms.list(STEVE)[0]?.staleSince).toBe(stale.since);
  rooms.setLive("spx", "agents-spx");
  await rooms.post("a", { room: "spx", msg: "back" });
  for (const screen of [present, late]) {
    expect(screen.ids).toEqual(["spx-1", "spx-2"]);
    expect(screen.events.slice(1, 3)).toEqual([{ stale }, { live: { room: "spx", session: "agents-spx" } }]);
  }
  expect(rooms.list(STEVE)[0]?.staleSince).toBeNull();
});

test("O2-08: a private room is open to its members and, by name, to admins for audit; nobody else sees it, even after its end", async () => {
  const { rooms, folder } = roomsForTest();
  const pair = planRoom("pair", { private: ["steve", "astra"] });
  rooms.declare([pair, planRoom("spx")]);
  const alices = new Screen();
  rooms.watch(ALICE, { rooms: ["*"] }, alices);
  await rooms.post("astra", { room: "pair", msg: "between us" });
  await rooms.post("astra", { room: "spx", msg: "for all" });
  await alices.until(({ lines }) => lines.length === 1);
  const admin = { name: "root", role: "admin" } as const;
  const check = async (feed: typeof rooms) => {
    expect((await feed.read(STEVE, { rooms: ["pair"] })).lines.map((line) => line.msg)).toEqual(["between us"]);
    expect((await feed.read(admin, { rooms: ["pair"] })).lines).toHaveLength(1);
    await expect(feed.read(ALICE, { rooms: ["pair"] })).rejects.toMatchObject({ body: { code: "REFUSED" } });
    expect(() => feed.watch(ALICE, { rooms: ["pair"] }, new Screen())).toThrow("private");
    expect((await feed.read(ALICE, { rooms: ["*"] })).lines.map((line) => line.room)).toEqual(["spx"]);
    expect(feed.list(ALICE).map((info) => info.room)).toEqual(["spx"]);
  };
  await check(rooms);
  await expect(rooms.post("alice", { room: "pair", msg: "hi" })).rejects.toMatchObject({ body: { code: "REFUSED" } });
  await expect(rooms.post("alice", { room: "pairs", msg: "hi" })).rejects.not.toThrow(/pair"\?/);
  expect(alices.ids).toEqual(["spx-1"]);
  rooms.declare([planRoom("spx")]);
  await check(rooms);
  await rooms.close();
  const again = roomsForTest({ folder }).rooms;
  again.declare([planRoom("spx")]);
  await check(again);
});

test("who loses the right to a room stops seeing it at once", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const screen = new Screen();
  rooms.watch(ALICE, { rooms: ["spx"] }, screen);
  await rooms.post("a", { room: "spx", msg: "1" });
  await screen.until(({ lines }) => lines.length === 1);
  rooms.declare([planRoom("spx", { private: ["a"] })]);
  await rooms.post("a", { room: "spx", msg: "2" });
  expect(screen.events.slice(1)).toEqual([{ ended: { room: "spx" } }]);
});

test("loud or tagged lines are repeated in an alerts room with their origin, copies never again", async () => {
  const { rooms } = roomsForTest();
  const source = { kind: "rooms", rooms: ["*"], level: "alert", tags: ["gamma"] } as const;
  rooms.declare([
    planRoom("spx"),
    planRoom("pair", { private: ["a"] }),
    planRoom("alerts", { sources: [{ ...source, rooms: ["*"], tags: ["gamma"] }] }),
    planRoom("wall", { sources: [{ kind: "rooms", rooms: ["*"], level: null, tags: [] }] }),
  ]);
  await rooms.post("a", { room: "spx", msg: "quiet", level: "warn" });
  await rooms.post("a", { room: "spx", msg: "loud", level: "alert", data: { strike: 5000 } });
  await rooms.post("a", { room: "spx", msg: "tagged", tags: ["gamma"], data: [1] });
  await rooms.post("a", { room: "pair", msg: "secret", level: "alert" });
  const copies = async (room: string) =>
    (await rooms.read(STEVE, { rooms: [room] })).lines.map((line) => [line.msg, line.from, line.level, line.data]);
  const loud = ["loud", "a", "alert", { strike: 5000, origin: "spx-2" }];
  const tagged = ["tagged", "a", "info", { origin: "spx-3", value: [1] }];
  expect(await copies("alerts")).toEqual([loud, tagged]);
  expect(await copies("wall")).toEqual([["quiet", "a", "warn", { origin: "spx-1" }], loud, tagged]);
});

test("a new room joins those who watch all; one that named its rooms stays with them", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const [all, one] = [new Screen(), new Screen()];
  rooms.watch(STEVE, { rooms: ["*"] }, all);
  rooms.watch(STEVE, { rooms: ["spx"] }, one);
  await rooms.post("a", { room: "spx", msg: "1" });
  await Promise.all([all, one].map((screen) => screen.until(({ lines }) => lines.length === 1)));
  rooms.declare([planRoom("spx"), planRoom("qqq")]);
  await rooms.post("a", { room: "qqq", msg: "2" });
  expect([all.ids, one.ids]).toEqual([["spx-1", "qqq-1"], ["spx-1"]]);
});

test("a room keeps what its plan says, by count and by age, and readers are told what is gone", async () => {
  let nowMs = Date.UTC(2026, 4, 1);
  const { rooms, folder } = roomsForTest({ now: () => nowMs });
  const day = 86_400_000;
  const plan = [
    planRoom("counted", { keep: { ageMs: null, count: 1_000 } }),
    planRoom("aged", { keep: { ageMs: 30 * day, count: null } }),
    planRoom("all"),
  ];
  rooms.declare(plan);
  for (const _ of numbers(2)) {
    await Promise.all(plan.flatMap(({ id }) => numbers(900).map((n) => rooms.post("a", { room: id, msg: `${n}` }))));
    nowMs += 20 * day;
  }
  await rooms.prune();
  const kept = () => Object.fromEntries(rooms.list(STEVE).map(({ room, oldest, seq }) => [room, [oldest, seq]]));
  expect(kept()).toEqual({ counted: [801, 1_800], aged: [901, 1_800], all: [1, 1_800] });
  const read = await rooms.read(STEVE, { rooms: ["counted", "all"], after: { counted: 790, all: 790 }, limit: 3 });
  expect([read.gone, read.more]).toEqual([{ counted: 10 }, true]);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["counted"], after: { counted: 790 } }, screen);
  await screen.until(({ lines }) => lines.at(-1)?.seq === 1_800);
  expect(screen.events[0]).toEqual({ gap: { room: "counted", from: 791, to: 800 } });
  expect(screen.lines.map((line) => line.seq)).toEqual(numbers(1_000, 801));
  nowMs += 60 * day;
  await rooms.prune();
  await rooms.close();
  const again = roomsForTest({ folder }).rooms;
  again.declare(plan);
  expect((await again.post("a", { room: "aged", msg: "numbers go on" })).seq).toBe(1_801);
  expect(again.list(STEVE).find((info) => info.room === "aged")?.oldest).toBe(1_801);
});

test("a room that is spoken in prunes itself and stays near its bound", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx", { keep: { ageMs: null, count: 100 } })]);
  for (const round of numbers(10))
    await Promise.all(numbers(200).map((n) => rooms.post("a", { room: "spx", msg: `${round} ${n}` })));
  const { seq, oldest } = rooms.list(STEVE)[0]!;
  expect(seq - oldest).toBeLessThan(1_000);
});

test("a long stretch is read page by page with the cursors of each answer, filtered or by time", async () => {
  let nowMs = Date.UTC(2026, 4, 1);
  const { rooms } = roomsForTest({ now: () => nowMs });
  rooms.declare([planRoom("spx"), planRoom("qqq")]);
  const expected: string[] = [];
  for (const n of numbers(300)) {
    nowMs += 1_000;
    const room = n % 3 ? "spx" : "qqq";
    const { id } = await rooms.post("a", { room, msg: `${n}`, tags: n % 5 ? [] : ["five"] });
    if (n % 5 === 0) expected.push(id);
  }
  const ids: string[] = [];
  let after = {};
  for (let more = true; more; ) {
    const page = await rooms.read(STEVE, { rooms: ["*"], after, limit: 7, filter: { tag: ["five"] } });
    ids.push(...page.lines.map((line) => line.id));
    ({ more } = page);
    after = page.cursors;
  }
  expect(ids).toEqual(expected);
  const stretch = await rooms.read(STEVE, {
    rooms: ["*"],
    from: "2026-05-01T00:01:00.000Z",
    to: "2026-05-01T00:01:09.000Z",
  });
  expect(stretch.lines.map((line) => line.msg)).toEqual(numbers(10, 60).map(String));
  const newest = await rooms.read(STEVE, { rooms: ["*"], last: 4, filter: { tag: ["five"] } });
  expect(newest.lines.map((line) => line.id)).toEqual(expected.slice(-4));
});

test("an answer stays below one frame, however long the lines are", async () => {
  const { rooms } = roomsForTest();
  rooms.declare([planRoom("spx")]);
  const msg = "é".repeat(MAX_LINE_BYTES / 2);
  await Promise.all(numbers(40).map(() => rooms.post("a", { room: "spx", msg })));
  const page = await rooms.read(STEVE, { rooms: ["spx"], last: 40 });
  expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1_000_000);
  expect(page.more).toBe(true);
  const screen = new Screen();
  rooms.watch(STEVE, { rooms: ["spx"] }, screen);
  await screen.until(({ lines }) => lines.length === 40);
  expect(Math.max(...screen.texts.map((text) => Buffer.byteLength(text)))).toBeLessThan(1_000_000);
});

test("the list tells who speaks, who watches and since when nothing came", async () => {
  const { rooms } = roomsForTest({ now: () => Date.UTC(2026, 4, 1) });
  rooms.declare([planRoom("spx", { about: "S&P 500" }), planRoom("qqq")]);
  await rooms.post("deacon-spx", { room: "spx", msg: "x" });
  rooms.watch(STEVE, { rooms: ["*"] }, new Screen());
  const list = roomList.output.parse({ rooms: rooms.list(STEVE) }).rooms;
  const common = { watchers: 1, staleSince: null, jsonl: null, ended: false };
  expect(list).toEqual([
    { ...common, room: "qqq", about: "", seq: 0, oldest: 1, agents: [], lastAt: null },
    {
      ...common,
      room: "spx",
      about: "S&P 500",
      seq: 1,
      oldest: 1,
      agents: ["deacon-spx"],
      lastAt: "2026-05-01T00:00:00.000Z",
    },
  ]);
});

test("what was accepted while closing is stored; after that lines are refused, not lost in silence", async () => {
  const folder = folderForTest();
  const rooms = openRooms({ folder: join(folder, "new", "state") });
  rooms.declare([planRoom("spx")]);
  const accepted = rooms.post("a", { room: "spx", msg: "accepted" });
  const closed = rooms.close();
  expect((await accepted).seq).toBe(1);
  await expect(rooms.post("a", { room: "spx", msg: "late" })).rejects.toMatchObject({ body: { code: "UNREACHABLE" } });
  await closed;
});
